//! What the node told, as plain data: drawing reads it, only the worker's answers change it.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::api::{
    ChannelId, ChannelKind, ChannelView, DeviceView, InviteView, JoinRequestView, JoinStatus, Me,
    MemberView, Membership, OpId, Outcome, Place, PolicyView, PostView, RelayStatus, Snapshot,
    SpaceId, SpaceSummary, Status, ThreadSummary, Unread, UserId, VoidedOp, Weight,
};
use crate::markdown::Block;

/// Where on the screen one is: a Space, a channel in it, a thread in that.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Spot {
    /// The Space.
    pub space: Option<SpaceId>,
    /// The channel.
    pub channel: Option<ChannelId>,
    /// The thread.
    pub thread: Option<OpId>,
}

/// One line of posts: a channel's main line, or a thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LineId {
    /// The Space.
    pub space: SpaceId,
    /// The channel.
    pub channel: ChannelId,
    /// The thread.
    pub thread: Option<OpId>,
}

impl LineId {
    /// Returns the name under which something about this line is kept.
    #[must_use]
    pub fn keepsake(&self, what: &str) -> String {
        let thread = self.thread.map_or_else(String::new, |t| t.to_string());
        format!("{what}/{}/{}/{thread}", self.space, self.channel)
    }
}

/// What the whole window shows, whichever Space is open.
#[derive(Clone, Debug, PartialEq)]
pub struct Home {
    /// Who this profile is.
    pub me: Me,
    /// All Spaces.
    pub spaces: Vec<SpaceItem>,
    /// Requests that wait for an answer.
    pub joins: Vec<JoinStatus>,
    /// Relays.
    pub relays: Vec<RelayStatus>,
}

/// A Space in the rail.
#[derive(Clone, Debug, PartialEq)]
pub struct SpaceItem {
    /// What the node tells of it.
    pub summary: SpaceSummary,
    /// What is unread in all its channels.
    pub unread: Unread,
}

/// The Space that is open.
#[derive(Clone, Debug, PartialEq)]
pub struct SpaceData {
    /// Which.
    pub id: SpaceId,
    /// Its channels.
    pub channels: Vec<ChannelItem>,
    /// Members and former members.
    pub members: Vec<MemberView>,
    /// Those who ask to come in.
    pub requests: Vec<JoinRequestView>,
    /// This person's devices.
    pub devices: Vec<DeviceView>,
    /// What holds for all.
    pub policies: PolicyView,
    /// Invites that are open.
    pub invites: Vec<InviteView>,
    /// Own acts that do not count.
    pub voided: Vec<VoidedOp>,
    /// Branches of the group's keys that members have not yet left for one.
    pub forks: usize,
    /// Own ops that no relay has.
    pub queued: usize,
    /// Envelopes that wait for a key.
    pub unopened: usize,
}

/// A channel in the list.
#[derive(Clone, Debug, PartialEq)]
pub struct ChannelItem {
    /// What the node tells of it.
    pub view: ChannelView,
    /// What is unread in it.
    pub unread: Unread,
}

/// The topics of a forum.
#[derive(Clone, Debug, PartialEq)]
pub struct Topics {
    /// Of which Space.
    pub space: SpaceId,
    /// Of which channel.
    pub channel: ChannelId,
    /// Newest activity first.
    pub topics: Vec<Topic>,
}

/// A topic in the list.
#[derive(Clone, Debug, PartialEq)]
pub struct Topic {
    /// What the node tells of it.
    pub summary: ThreadSummary,
    /// What is unread in it.
    pub unread: Unread,
}

/// The posts of one line, as far as they were asked for.
#[derive(Clone, Debug, PartialEq)]
pub struct Line {
    /// Which.
    pub id: LineId,
    /// Oldest first.
    pub posts: Vec<Arc<Post>>,
    /// Whether there are older ones.
    pub older: bool,
    /// Up to where it was read when it was opened; `None`: everything is new.
    pub read: Option<Place>,
}

/// A post, ready to be drawn.
#[derive(Clone, Debug, PartialEq)]
pub struct Post {
    /// What the node tells of it.
    pub view: PostView,
    /// Its text.
    pub blocks: Vec<Block>,
    /// The beginning of what it answers: who, with which key, what.
    pub quote: Option<(String, UserId, String)>,
}

/// What the audit page shows.
#[derive(Clone, Debug, PartialEq)]
pub struct Audit {
    /// Of which Space.
    pub space: SpaceId,
    /// What was decided, newest first.
    pub outcomes: Vec<Outcome>,
}

/// A Space as it stood at some time.
#[derive(Clone, Debug)]
pub struct Then {
    /// Of which Space.
    pub space: SpaceId,
    /// At what time, in milliseconds.
    pub at_ms: u64,
    /// How it stood, or why that cannot be said.
    pub shown: Result<Arc<Snapshot>, String>,
}

/// Why an op came out as it did.
#[derive(Clone, Debug, PartialEq)]
pub struct Why {
    /// Which.
    pub op: OpId,
    /// What became of it, one word.
    pub state: String,
    /// What it does and who wrote it.
    pub about: String,
    /// Step by step.
    pub steps: Vec<String>,
    /// The ops that decided.
    pub deciding: Vec<String>,
}

/// Everything that is known here.
#[derive(Clone, Debug, Default)]
pub struct Model {
    /// The window as a whole; `None` until the profile is open.
    pub home: Option<Arc<Home>>,
    /// The Space that is open.
    pub space: Option<Arc<SpaceData>>,
    /// The forum that is open.
    pub topics: Option<Arc<Topics>>,
    /// The lines on the screen: of the channel, and of the thread beside it.
    pub lines: BTreeMap<LineId, Arc<Line>>,
    /// The health report, while somebody looks at it.
    pub status: Option<Arc<Status>>,
    /// The audit log, while somebody looks at it.
    pub audit: Option<Arc<Audit>>,
    /// The Space as it stood, while somebody looks at it.
    pub then: Option<Arc<Then>>,
    /// The explanation that was asked for.
    pub why: Option<Arc<Why>>,
}

impl Model {
    /// Returns the person.
    #[must_use]
    pub fn me(&self) -> Option<&Me> {
        self.home.as_deref().map(|home| &home.me)
    }

    /// Returns the open Space, if it is this one.
    #[must_use]
    pub fn space(&self, id: SpaceId) -> Option<&SpaceData> {
        self.space.as_deref().filter(|space| space.id == id)
    }

    /// Returns a Space of the rail.
    #[must_use]
    pub fn summary(&self, id: SpaceId) -> Option<&SpaceSummary> {
        let home = self.home.as_deref()?;
        let item = home.spaces.iter().find(|item| item.summary.id == id)?;
        Some(&item.summary)
    }

    /// Returns this person's weight in a Space, if they are a member.
    #[must_use]
    pub fn weight(&self, space: SpaceId) -> Option<Weight> {
        match self.summary(space)?.membership {
            Membership::Member(weight) | Membership::Waiting(weight) => Some(weight),
            Membership::Removed(_) => None,
        }
    }

    /// Returns a channel of the open Space.
    #[must_use]
    pub fn channel(&self, space: SpaceId, channel: ChannelId) -> Option<&ChannelView> {
        let channels = &self.space(space)?.channels;
        let item = channels.iter().find(|item| item.view.id == channel)?;
        Some(&item.view)
    }

    /// Returns somebody of the open Space.
    #[must_use]
    pub fn member(&self, space: SpaceId, user: UserId) -> Option<&MemberView> {
        self.space(space)?.members.iter().find(|m| m.user == user)
    }

    /// Returns the name of a channel's kind for whoever looks for an icon.
    #[must_use]
    pub fn kind(&self, space: SpaceId, channel: ChannelId) -> Option<ChannelKind> {
        self.channel(space, channel).map(|channel| channel.kind)
    }
}
