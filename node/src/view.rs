//! What people are shown: plain data, computed when asked for.
//!
//! Names and texts here are already made harmless (bidi controls, control
//! characters); ids are whole.

use std::collections::BTreeMap;

use fold::content::OrderKey;
use oplog::payload::{Attachment, ChannelKind, LatePolicy, Weight};
use oplog::{ChannelId, DeviceId, Digest, EpochId, Hlc, OpId, Scope, SpaceId, Timestamp, UserId};

use crate::quorum::Motion;

/// Who this profile is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Me {
    /// The person.
    pub user: UserId,
    /// This device.
    pub device: DeviceId,
    /// The name others see.
    pub name: String,
    /// The identity as a `did:key`.
    pub did: String,
}

/// A Space in a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpaceSummary {
    /// Which.
    pub id: SpaceId,
    /// Its name.
    pub name: String,
    /// Our standing in it.
    pub membership: Membership,
    /// How many members.
    pub members: usize,
    /// How many channels.
    pub channels: usize,
    /// The epoch we are in and its number.
    pub epoch: EpochId,
    /// Its number, a label.
    pub epoch_number: u64,
}

/// A request to come into a Space by invite that nobody has answered yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JoinStatus {
    /// Which Space.
    pub space: SpaceId,
    /// What the link calls it: the inviter's claim.
    pub name: String,
    /// When it was begun, by the own clock.
    pub asked: Option<Timestamp>,
    /// How many relays hold the request.
    pub relays: usize,
    /// Why it failed, if it did.
    pub failed: Option<String>,
    /// When an answer can be taken that is here and dated ahead of the own clock, by that clock.
    pub early_until: Option<Timestamp>,
}

/// Our standing in a Space.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Membership {
    /// A member, in the group.
    Member(Weight),
    /// A member whose device waits to be let into the group (again).
    Waiting(Weight),
    /// Removed, by this op.
    Removed(OpId),
}

/// A channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChannelView {
    /// Which.
    pub id: ChannelId,
    /// Its name.
    pub name: String,
    /// How it is used.
    pub kind: ChannelKind,
    /// What it is about.
    pub topic: String,
    /// The heading it stands under.
    pub category: Option<String>,
    /// Whether it is closed for posting.
    pub archived: bool,
    /// The least role to post and reply here.
    pub least_post: Weight,
    /// The least role to open threads here.
    pub least_thread: Weight,
}

/// The policies of a Space.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyView {
    /// Its name.
    pub name: String,
    /// What late posts of kicked people become.
    pub kick_late: LatePolicy,
    /// What late posts of banned people become.
    pub ban_late: LatePolicy,
    /// After how many commits clients seal by themselves; 0: never.
    pub seal_every: u32,
}

/// A thread in a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ThreadSummary {
    /// The op that opened it.
    pub id: OpId,
    /// Its title.
    pub title: String,
    /// Its tags.
    pub tags: Vec<String>,
    /// Who opened it.
    pub author: UserId,
    /// Their name.
    pub author_name: String,
    /// When, by the author's clock.
    pub created: Timestamp,
    /// How many replies are accepted.
    pub replies: u64,
    /// When the newest came, by its author's clock.
    pub last_activity: Timestamp,
    /// What became of the thread itself.
    pub state: PostState,
}

/// One post, or the first post of a thread.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PostView {
    /// Which op.
    pub id: OpId,
    /// Its channel.
    pub channel: ChannelId,
    /// Its thread.
    pub thread: Option<OpId>,
    /// The thread's title, on its first post.
    pub title: Option<String>,
    /// What it answers.
    pub reply_to: Option<OpId>,
    /// Who wrote it.
    pub author: UserId,
    /// Their name.
    pub author_name: String,
    /// With which device.
    pub device: DeviceId,
    /// Logical time.
    pub hlc: Hlc,
    /// The author's clock.
    pub wall: Timestamp,
    /// The text as it stands; empty when it may not be shown.
    pub body: String,
    /// Earlier texts, oldest first.
    pub history: Vec<String>,
    /// Files, with names that are safe for a file in a folder.
    pub attachments: Vec<Attachment>,
    /// Reactions: emoji and who.
    pub reactions: Vec<(String, Vec<UserId>)>,
    /// Whom it mentions.
    pub mentions: Vec<UserId>,
    /// Whether it is pinned.
    pub pinned: bool,
    /// What became of it.
    pub state: PostState,
    /// For own posts: how far it got.
    pub delivery: Option<Delivery>,
}

/// Where a post stands among those of its thread or channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place(pub(crate) OrderKey);

impl Place {
    /// Returns where a post stands.
    #[must_use]
    pub const fn of(post: &PostView) -> Self {
        Self(OrderKey {
            hlc: post.hlc,
            wall: post.wall,
            device: post.device,
            id: post.id,
        })
    }

    /// Returns it as bytes, to be kept.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        self.0.to_bytes().to_vec()
    }

    /// Reads [`Place::to_bytes`] back; `None` when it is something else.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        OrderKey::from_bytes(bytes).map(Self)
    }
}

/// Which posts a page has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PageFrom {
    /// The last ones.
    Newest,
    /// The last before a place.
    Before(Place),
    /// The first behind a place.
    After(Place),
}

/// Some posts of a thread or a channel's main line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PostPage {
    /// Oldest first.
    pub posts: Vec<PostView>,
    /// Whether there are more in that direction.
    pub more: bool,
}

/// What others wrote behind a place.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Unread {
    /// How many posts.
    pub posts: usize,
    /// How many of them mention this person.
    pub mentions: usize,
    /// Whether there are more than were looked at.
    pub more: bool,
}

/// What became of a post, with the rule and the op that decided where there is one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PostState {
    /// Shown like any other.
    Normal,
    /// Written without having seen its author's removal (D2).
    Late {
        /// The removal.
        removal: OpId,
        /// In a scope that nobody has listed.
        unverified: bool,
        /// Behind a click.
        quarantined: bool,
    },
    /// Concurrent with a mute of its author.
    Muted {
        /// The mute.
        mute: OpId,
    },
    /// Hidden by a moderator.
    Hidden {
        /// The tombstone.
        by: OpId,
        /// Who.
        moderator: UserId,
        /// Why.
        reason: String,
    },
    /// Deleted by its author.
    Deleted {
        /// The deletion.
        by: OpId,
    },
    /// Refused for good.
    Refused {
        /// The rule's id.
        rule: &'static str,
        /// The op that decided, if one did.
        by: Option<OpId>,
    },
    /// Its payload is malformed or pruned.
    Unreadable,
}

/// How far an own op got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// Durable on this disk.
    Saved,
    /// Taken by so many relays.
    OnRelay(usize),
    /// Seen by so many other people.
    SeenBy(usize),
}

/// A device of the person at this node, in one Space.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceView {
    /// Its key.
    pub device: DeviceId,
    /// The name in its certificate.
    pub name: String,
    /// Whether it is the one that runs this node.
    pub is_this: bool,
    /// When it was let in, by the certificate in force.
    pub added: Hlc,
    /// Whether the group holds it, so that it can read.
    pub in_group: bool,
    /// The op that ended it for good.
    pub ended: Option<OpId>,
}

/// A member, or somebody who was one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberView {
    /// Who.
    pub user: UserId,
    /// The name they go by.
    pub name: String,
    /// Others here whose names look the same: who is who, their keys tell.
    pub namesakes: Vec<UserId>,
    /// What they may do; `None` for former members.
    pub weight: Option<Weight>,
    /// Their live devices.
    pub devices: Vec<DeviceId>,
    /// Since when.
    pub joined: Hlc,
    /// Banned by this op.
    pub banned: Option<OpId>,
    /// Muted everywhere by this op, until this time.
    pub muted: Option<(OpId, Option<Hlc>)>,
    /// Removed by this op.
    pub removed: Option<OpId>,
}

/// An invite that is open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InviteView {
    /// The op that opened it.
    pub op: OpId,
    /// The role it gives.
    pub weight: Weight,
    /// How often it was used.
    pub uses: u32,
    /// How often it may be.
    pub max_uses: u32,
    /// Until when.
    pub expires: Hlc,
    /// Whether each needs approval.
    pub approval: bool,
}

/// Somebody who asks to come in and needs approval.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JoinRequestView {
    /// Who.
    pub user: UserId,
    /// The name they give.
    pub name: String,
    /// By which invite.
    pub invite: OpId,
}

/// What waits in a Space, without the cost of a whole [`Status`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rooms {
    /// Ops held back until what they rest on is here.
    pub held: usize,
    /// Envelopes that no key opens yet.
    pub unopened: usize,
    /// Own ops that no relay has.
    pub queued: usize,
    /// Places where two commits follow one epoch.
    pub forks: usize,
    /// Commits known, those of all branches.
    pub commits: usize,
}

/// One Space in the health report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpaceStatus {
    /// The Space.
    pub summary: SpaceSummary,
    /// Accepted control ops.
    pub control_ops: usize,
    /// Ops waiting for others.
    pub held: usize,
    /// Ops that the disk damaged, until they were fetched again.
    pub lost: usize,
    /// Envelopes waiting for a key.
    pub unopened: usize,
    /// Own ops no relay has yet.
    pub queued: usize,
    /// Epochs with more than one commit on them. All members come to one of the branches.
    pub forks: Vec<EpochId>,
    /// Whether the Space goes on with keys that are not here: the members are asked for them.
    pub behind: bool,
    /// Devices that should be in the group and are not, and the other way round.
    pub reconcile: usize,
    /// Whether the Space uses a feature this version lacks.
    pub update_needed: bool,
    /// What is final, if somebody sealed.
    pub seal: Option<SealView>,
    /// After how many commits clients seal by themselves; 0: never.
    pub seal_every: u32,
    /// Hash of everything visible: equal on every replica with the same ops.
    pub state_hash: Digest,
}

/// What is final in a Space: by the effective Seal whose epoch comes last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SealView {
    /// The Seal.
    pub op: OpId,
    /// Who sealed.
    pub author_name: String,
    /// The author's clock.
    pub wall: Timestamp,
    /// From this epoch on the branch that counts is sought.
    pub epoch: EpochId,
    /// Its number, a label.
    pub epoch_number: u64,
    /// How many removals all Seals together have closed.
    pub closed: usize,
}

/// What a motion to the admins says, and how far it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuorumView {
    /// What all copies of it have in common.
    pub id: Digest,
    /// Where.
    pub space: SpaceId,
    /// The kind of the act.
    pub kind: &'static str,
    /// The act in words.
    pub about: String,
    /// Whose device brings it, with their name: the proposer, unless they chose another.
    pub submitter: Option<(UserId, String)>,
    /// The device that alone can bring it.
    pub device: DeviceId,
    /// Until when it can be signed and brought.
    pub expires: Hlc,
    /// How far it is.
    pub state: MotionState,
    /// Who has signed, with their names.
    pub signed: Vec<(UserId, String)>,
    /// Who has a vote and has not signed, with their names.
    pub unsigned: Vec<(UserId, String)>,
    /// How many must sign.
    pub needs: usize,
    /// Whether this person may sign it.
    pub may_sign: bool,
    /// Whether this device can bring it.
    pub may_bring: bool,
}

/// How far a motion is, by what is known here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MotionState {
    /// More admins must sign.
    Open,
    /// Enough have signed; it waits to be brought.
    Ready,
    /// It was brought.
    Taken {
        /// By which op.
        op: OpId,
        /// Why that is void, if it is.
        void: Option<String>,
    },
    /// Its time is over.
    Over,
    /// What it rests on has not come here, so nothing can be said yet.
    Behind,
    /// It cannot be brought as it is.
    Void {
        /// Why.
        why: String,
    },
}

/// A motion that this profile keeps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptMotion {
    /// With all good signatures that were seen here.
    pub motion: Motion,
    /// What it says, and how far it is.
    pub view: QuorumView,
    /// Whether it was proposed here.
    pub proposed: bool,
    /// When it was first seen here, by the own clock.
    pub since: Timestamp,
}

/// A lane with two ops at one place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EquivocationView {
    /// Whose lane.
    pub device: DeviceId,
    /// The name in its certificate.
    pub device_name: Option<String>,
    /// Whose device.
    pub user: Option<UserId>,
    /// Their name.
    pub user_name: Option<String>,
    /// The control plane, or a channel.
    pub scope: Scope,
    /// The first place with two ops.
    pub seq: u64,
    /// Those.
    pub ops: Vec<OpId>,
    /// Whether it is the device that runs this node.
    pub is_this: bool,
    /// The op that ended the device, if one did.
    pub ended: Option<OpId>,
}

/// An op that was accepted here and that the disk has damaged since.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DamagedOp {
    /// Which.
    pub op: OpId,
    /// Whose lane it stands in.
    pub device: DeviceId,
    /// The control plane, or a channel.
    pub scope: Scope,
    /// Its place in the lane.
    pub seq: u64,
}

/// One relay in the health report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RelayStatus {
    /// Its address.
    pub address: String,
    /// Whether we are connected now.
    pub connected: bool,
    /// Why not, if not; or what was wrong with what it did last.
    pub error: Option<String>,
}

/// What an own op is waiting for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnOp {
    /// The op.
    pub op: OpId,
    /// What it does.
    pub kind: &'static str,
    /// The author's clock.
    pub wall: Timestamp,
    /// How far it got.
    pub delivery: Delivery,
    /// Whether it was sent again, since the keys it was written under are of a branch that lost.
    pub resent: bool,
}

/// An own act that does not count: somebody of higher rank had changed things at the same time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VoidedOp {
    /// Which.
    pub op: OpId,
    /// What it would have done.
    pub kind: &'static str,
    /// Whom or what it is about: a name.
    pub about: String,
    /// The rule that makes it void.
    pub rule: &'static str,
    /// The same in words.
    pub why: String,
}

/// What became of a branch of the group's keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Branch {
    /// The members' keys go on from here.
    Counts,
    /// They go on from elsewhere; what was written here was sent again under those keys.
    Lost {
        /// The commit that won over this branch, where it forked; `None` where none stands there.
        to: Option<OpId>,
    },
}

/// The health report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// Who we are.
    pub me: Me,
    /// Relays.
    pub relays: Vec<RelayStatus>,
    /// Spaces.
    pub spaces: Vec<SpaceStatus>,
    /// Own acts that are void and were not done again, by Space.
    pub voided: BTreeMap<SpaceId, Vec<VoidedOp>>,
    /// Spaces we asked to be let into.
    pub joins: Vec<JoinStatus>,
    /// What was found damaged since the last start and what became of it, in words.
    pub recovered: Vec<String>,
}

/// What an examination of a profile came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Examination {
    /// Rows read, of the index and settings.
    pub rows: u64,
    /// Spaces.
    pub spaces: Vec<ExaminedSpace>,
    /// Chunks of attachments read.
    pub chunks: u64,
    /// Bytes of all logs.
    pub log_bytes: u64,
    /// Bytes of the index.
    pub index_bytes: u64,
    /// Bytes left on the disk; unknown where nobody can say.
    pub free_bytes: Option<u64>,
    /// What was not as it should be.
    pub findings: Vec<Finding>,
}

/// How much was read of a Space.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExaminedSpace {
    /// Which.
    pub id: SpaceId,
    /// Its name.
    pub name: String,
    /// Records of its log.
    pub records: u64,
    /// Ops, each with its signature and the rows that find it.
    pub ops: u64,
}

/// Something that was not as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What was looked at.
    pub part: Part,
    /// Of which Space; `None` for the profile as a whole.
    pub space: Option<SpaceId>,
    /// What was found, in words.
    pub what: String,
    /// Who cares for it.
    pub care: Care,
}

impl Finding {
    /// Says what was found, and who cares for it.
    #[must_use]
    pub const fn new(part: Part, space: Option<SpaceId>, what: String, care: Care) -> Self {
        Self {
            part,
            space,
            what,
            care,
        }
    }
}

/// A part of a profile.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// The folder on the disk.
    Folder,
    /// The log of a Space: sealed records.
    Log,
    /// Its ops, and the rows that find them.
    Ops,
    /// The group's keys.
    Keys,
    /// Chunks of attachments.
    Chunks,
}

impl Part {
    /// Returns its name, one word.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Folder => "folder",
            Self::Log => "log",
            Self::Ops => "ops",
            Self::Keys => "keys",
            Self::Chunks => "chunks",
        }
    }
}

/// Who cares for something that was not as it should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Care {
    /// It is made good.
    Mended,
    /// Others can make it good, and are asked by themselves.
    Awaited,
    /// A person has to do something.
    Yours,
}

impl Care {
    /// Returns its name, one word.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Mended => "mended",
            Self::Awaited => "awaited",
            Self::Yours => "yours",
        }
    }
}

/// What changed, for those who watch.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Notice {
    /// Ops were accepted.
    Ops {
        /// Where.
        space: SpaceId,
        /// Which, parents first.
        ops: Vec<OpId>,
    },
    /// Own ops were damaged before anybody else had them: they are gone.
    Gone {
        /// Where.
        space: SpaceId,
        /// Which.
        ops: Vec<OpId>,
    },
    /// An op was refused, by this rule.
    Refused {
        /// Where.
        space: SpaceId,
        /// Which.
        op: OpId,
        /// The rule's id.
        rule: &'static str,
        /// In words.
        why: String,
    },
    /// The group moved to a new epoch.
    Epoch {
        /// Where.
        space: SpaceId,
        /// The epoch.
        epoch: EpochId,
    },
    /// Two commits follow one epoch.
    Fork {
        /// Where.
        space: SpaceId,
        /// The epoch they follow.
        parent: EpochId,
    },
    /// We are in a new Space.
    Joined {
        /// Which.
        space: SpaceId,
    },
    /// We are out of a Space.
    Removed {
        /// Which.
        space: SpaceId,
        /// By which op.
        by: OpId,
    },
    /// Somebody asks to come in.
    JoinRequest {
        /// Where.
        space: SpaceId,
        /// Who.
        request: JoinRequestView,
    },
    /// An import goes on.
    Importing {
        /// Into which Space.
        space: SpaceId,
        /// Ops looked at so far.
        done: u64,
        /// Ops in the bundle.
        total: u64,
    },
    /// A relay came or went.
    Relay(RelayStatus),
    /// Nothing is left to get from or send to the relays that are connected.
    CaughtUp,
}

/// What late posts become under a policy, in words.
#[must_use]
pub const fn late_policy_name(policy: LatePolicy) -> &'static str {
    match policy {
        LatePolicy::Accept => "accept",
        LatePolicy::Quarantine => "quarantine",
        LatePolicy::Reject => "reject",
    }
}
