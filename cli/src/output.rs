//! What a command came to, before anybody decides how it is printed.
//!
//! [`Output::text`] is for people and may change; [`Output::rows`] is for programs
//! and stays as `docs/cli.md` describes it.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde_json::Value;

use crate::api::{
    Care, ChannelId, ChannelView, DamagedOp, Delivery, DeviceView, EquivocationView, Examination,
    InviteLink, InviteView, JoinRequestView, JoinStatus, KeptMotion, Me, MemberView, OpId, OwnOp,
    PostView, QuorumView, RelayStatus, SpaceId, SpaceSummary, Status, ThreadSummary, UserId,
};
use crate::audit;
use crate::error::Code;
use crate::render::{Look, json, text};

/// The answer to one command.
#[derive(Debug)]
pub(crate) enum Output {
    /// Something was written.
    Done(Done),
    /// Who this profile is.
    Me(Me),
    /// Spaces of the profile.
    Spaces {
        /// Those that are here.
        spaces: Vec<SpaceSummary>,
        /// Those that this profile asked to be let into.
        joins: Vec<JoinStatus>,
    },
    /// One Space.
    Space(Box<SpacePage>),
    /// Channels of a Space.
    Channels(Vec<ChannelView>),
    /// A new invite.
    Invite(Box<NewInvite>),
    /// Open invites.
    Invites(Vec<InviteView>),
    /// What admins are asked to sign.
    Motion(Box<MotionPage>),
    /// Motions that are kept here.
    Motions(Vec<KeptMotion>),
    /// Devices that signed two ops for one place.
    Equivocations(Vec<EquivocationView>),
    /// Own devices.
    Devices(Vec<DeviceView>),
    /// Who asks to come in.
    Requests(Vec<JoinRequestView>),
    /// Threads of a forum.
    Threads {
        /// Its name.
        forum: String,
        /// Those with the newest activity first.
        threads: Vec<ThreadSummary>,
    },
    /// Posts of a channel or thread.
    Posts(Page),
    /// Members, present and former.
    Members(Vec<MemberView>),
    /// The health report.
    Status(Box<StatusPage>),
    /// What looking at everything found.
    Doctor(Box<DoctorPage>),
    /// Relays.
    Relays(Vec<RelayStatus>),
    /// An exchange with the relays.
    Synced {
        /// Ops that came in.
        received: u64,
        /// Own ops that went out.
        sent: u64,
        /// Relays that took part.
        relays: usize,
        /// Spaces that let this device in meanwhile.
        came_in: Vec<SpaceSummary>,
        /// Spaces that have not let this device in.
        waiting: Vec<WaitingFor>,
    },
    /// An export was taken in.
    Imported {
        /// Of which Space.
        space: SpaceId,
        /// Ops that were new.
        new: u64,
        /// Ops that were known.
        known: u64,
        /// What in it is no op.
        unreadable: u64,
        /// Ops that build on what is not here.
        waiting: u64,
        /// Ops that were refused, with the rule.
        refused: Vec<(OpId, String)>,
    },
    /// Why things are as they are.
    Audit(audit::Page),
    /// A file was written.
    File {
        /// What it is: `attachment`, `export`, `backup`, `proof`.
        what: &'static str,
        /// Where it is.
        path: PathBuf,
        /// Its length in bytes.
        bytes: u64,
        /// Of an export or a backup: ops that the disk has damaged, which are not in it.
        left_out: Option<usize>,
    },
}

impl Output {
    /// Returns what people read; every line ends with a line break.
    pub(crate) fn text(&self, look: Look) -> String {
        text::render(self, look)
    }

    /// Returns what programs read: objects for one line each.
    pub(crate) fn rows(&self) -> Vec<Value> {
        json::rows(self)
    }

    /// Returns the exit code: not ok where the answer is that not all is well.
    pub(crate) fn code(&self) -> Option<Code> {
        match self {
            Self::Doctor(page) => page
                .worst()
                .filter(|care| *care > Care::Mended)
                .map(|_| Code::Profile),
            Self::Done(_)
            | Self::Me(_)
            | Self::Spaces { .. }
            | Self::Space(_)
            | Self::Channels(_)
            | Self::Invite(_)
            | Self::Invites(_)
            | Self::Motion(_)
            | Self::Motions(_)
            | Self::Equivocations(_)
            | Self::Devices(_)
            | Self::Requests(_)
            | Self::Threads { .. }
            | Self::Posts(_)
            | Self::Members(_)
            | Self::Status(_)
            | Self::Relays(_)
            | Self::Synced { .. }
            | Self::Imported { .. }
            | Self::Audit(_)
            | Self::File { .. } => None,
        }
    }
}

/// A Space that has not let this device in yet.
#[derive(Clone, Debug)]
pub(crate) struct WaitingFor {
    /// Which.
    pub(crate) space: SpaceSummary,
    /// Names of the members who can let it in.
    pub(crate) by: Vec<String>,
}

/// Something was written.
#[derive(Clone, Debug)]
pub(crate) struct Done {
    /// The command's name; stable.
    pub(crate) command: &'static str,
    /// What happened, in words.
    pub(crate) said: String,
    /// Where.
    pub(crate) space: Option<SpaceId>,
    /// The channel that was made.
    pub(crate) channel: Option<ChannelId>,
    /// The op that was written.
    pub(crate) op: Option<OpId>,
    /// How far it got; `None` when nothing is to be sent.
    pub(crate) sent: Option<Sent>,
}

/// How far what was written got by the time the command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sent {
    /// As far as the node says.
    Reached(Delivery),
    /// Some relay has it.
    OnRelay,
    /// Saved; no relay took it in time.
    Later,
    /// Saved; this run connects to nothing.
    Offline,
    /// Saved; there is no relay to send it to.
    NoRelay,
}

/// Posts to show.
#[derive(Clone, Debug)]
pub(crate) struct Page {
    /// The heading; `None` while following.
    pub(crate) heading: Option<String>,
    /// The posts, oldest first.
    pub(crate) posts: Vec<PostView>,
    /// Names of people.
    pub(crate) people: BTreeMap<UserId, String>,
    /// Whether to show quarantined texts and earlier versions.
    pub(crate) all: bool,
}

/// One Space in full.
#[derive(Clone, Debug)]
pub(crate) struct SpacePage {
    /// The Space.
    pub(crate) summary: SpaceSummary,
    /// Its channels.
    pub(crate) channels: Vec<ChannelView>,
    /// Its members.
    pub(crate) members: Vec<MemberView>,
}

/// An invite to hand over.
#[derive(Clone, Debug)]
pub(crate) struct NewInvite {
    /// The link.
    pub(crate) link: InviteLink,
    /// The op that opened it.
    pub(crate) op: OpId,
    /// How long it is valid, in seconds.
    pub(crate) valid_secs: u64,
    /// How many may come.
    pub(crate) max_uses: u32,
    /// Whether a moderator must admit each.
    pub(crate) approval: bool,
    /// Whether to draw its QR code.
    pub(crate) qr: bool,
    /// How far the op got.
    pub(crate) sent: Sent,
}

/// A motion to the admins.
#[derive(Clone, Debug)]
pub(crate) struct MotionPage {
    /// The command that gave it; stable.
    pub(crate) command: &'static str,
    /// What it says, and how far it is.
    pub(crate) view: QuorumView,
    /// The text to hand on.
    pub(crate) text: String,
}

/// The health report with own messages.
#[derive(Clone, Debug)]
pub(crate) struct StatusPage {
    /// The report.
    pub(crate) status: Status,
    /// Own ops by Space, newest first.
    pub(crate) own: BTreeMap<SpaceId, Vec<OwnOp>>,
    /// Ops by Space that the disk has damaged.
    pub(crate) damaged: BTreeMap<SpaceId, Vec<DamagedOp>>,
}

/// What looking at everything found.
#[derive(Clone, Debug)]
pub(crate) struct DoctorPage {
    /// What was read, and what was not as it should be, the worst first.
    pub(crate) examination: Examination,
    /// What was mended since the start, in words.
    pub(crate) recovered: Vec<String>,
}

impl DoctorPage {
    /// Returns who cares for the worst of it, `None` when all is as it should be.
    pub(crate) fn worst(&self) -> Option<Care> {
        let findings = self.examination.findings.iter();
        findings.map(|finding| finding.care).max()
    }
}
