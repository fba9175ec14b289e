//! What can go wrong with a command, in words for the person who gave it.

use oplog::store::StoreError;
use oplog::{ChannelId, OpId, SpaceId, UserId};

use crate::quorum::MotionRefused;

/// Why a command was not carried out. Nothing was changed, unless the variant says so.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CommandError {
    /// No such Space in this profile.
    #[error("no Space {space} in this profile")]
    UnknownSpace {
        /// What was asked for.
        space: SpaceId,
    },
    /// Nothing was asked of the Space, or it was answered.
    #[error("no request to join {space} waits for an answer")]
    NoJoin {
        /// Which Space.
        space: SpaceId,
    },
    /// No such channel in the Space.
    #[error("no channel {channel} in this Space")]
    UnknownChannel {
        /// What was asked for.
        channel: ChannelId,
    },
    /// No such op in the Space.
    #[error("no post or thread {op} in this Space")]
    UnknownOp {
        /// What was asked for.
        op: OpId,
    },
    /// The op came, and the disk has damaged it since.
    #[error("op {op} was here, and the disk has damaged it")]
    DamagedOp {
        /// Which.
        op: OpId,
    },
    /// Not a member of the Space.
    #[error("{user} is not a member of this Space")]
    NotAMember {
        /// Who.
        user: UserId,
    },
    /// The Space's rules refuse it.
    #[error("not allowed ({rule}): {why}")]
    NotAllowed {
        /// The rule's id in `docs/acceptance.md`.
        rule: &'static str,
        /// In words.
        why: String,
    },
    /// We were removed from the Space, or left it.
    #[error("you are not a member of this Space; you can read it, not write")]
    Removed,
    /// The motion to the admins cannot be signed or brought as it is.
    #[error(transparent)]
    Motion(#[from] MotionRefused),
    /// The text or another value breaks a limit.
    #[error("{what}")]
    Invalid {
        /// Which value, and what is wrong with it.
        what: String,
    },
    /// What would be written is longer than an op may be, so it could not be sent.
    #[error("this is too long to be sent: {len} bytes, at most {max} allowed")]
    TooLong {
        /// Its length in bytes.
        len: usize,
        /// The longest payload.
        max: usize,
    },
    /// The disk has too little room for this.
    #[error("{why}")]
    NoRoom {
        /// What there is no room for, in words.
        why: &'static str,
    },
    /// The invite cannot be used.
    #[error("this invite cannot be used: {why}")]
    Invite {
        /// Why.
        why: String,
    },
    /// The bundle to import is truncated, damaged or forged.
    #[error("this bundle cannot be taken in: {why}")]
    Bundle {
        /// Why.
        why: String,
    },
    /// The disk failed in the middle of an import.
    #[error(
        "the import stopped after {done} of {total} ops because the profile cannot be written; \
         what was taken in is kept, and importing again goes on from there"
    )]
    ImportStopped {
        /// Ops that were looked at.
        done: u64,
        /// Ops in the bundle.
        total: u64,
    },
    /// The Space uses a feature that this version does not know.
    #[error("this Space uses a feature that this version does not know: update needed")]
    UpdateNeeded,
    /// The disk has damaged what the op would build on, such as the end of an own lane.
    #[error(
        "the disk has damaged what this would build on; it is fetched again from other members, \
         and this works once one of them is online"
    )]
    Damaged,
    /// The Space goes on from an epoch whose keys are not here; this device waits to be added again.
    #[error(
        "the keys that this Space goes on with are not on this device yet; it asks the members for them"
    )]
    KeysBehind,
    /// No relay is configured or reachable.
    #[error("no relay is reachable: {why}")]
    NoRelay {
        /// What was tried.
        why: String,
    },
    /// Nobody had what was asked for.
    #[error("nobody has {what}")]
    NotFound {
        /// What.
        what: String,
    },
    /// It took too long; what was saved stays saved.
    #[error("timed out while {doing}")]
    TimedOut {
        /// Doing what.
        doing: &'static str,
    },
    /// The disk failed.
    #[error("{}", store_words(source))]
    Store {
        /// Why.
        #[from]
        source: StoreError,
    },
    /// The disk failed after this had been written, before that was certain to last.
    #[error(
        "the disk failed while this was being saved; see whether it is there before you do it again"
    )]
    Unsure,
    /// The MLS library refused what this node itself made: a bug, or damaged state.
    #[error("the group state is damaged: {why}")]
    Group {
        /// Why.
        why: String,
    },
    /// The node is stopping.
    #[error("the node is stopping")]
    Stopping,
}

/// What a failed disk means for whoever gave the command.
const fn store_words(error: &StoreError) -> &'static str {
    match error {
        StoreError::Full => "the profile cannot be written",
        StoreError::Damaged { .. } => "the profile cannot be read",
        StoreError::Io { .. } => "the profile cannot be read or written",
    }
}
