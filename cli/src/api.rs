//! The names of `node` that this shell uses, in one place.
//!
//! The shell knows nothing below `node`; when `node` renames something, only this
//! file and `execute` follow.

pub(crate) use node::audit::{
    Dump as SpaceDump, DumpOp as Op, DumpRefused, Explanation, Outcome, Proof, ProofError,
    Snapshot, Until, Value as Field, verify as verify_proof,
};
pub(crate) use node::command::{Answer, Command};
pub(crate) use node::error::CommandError;
pub(crate) use node::invite::{InviteLink, LinkError};
pub(crate) use node::quorum::{MOTION_BYTES_MAX, Motion, MotionError};
pub(crate) use node::refusals::RefusedOp;
pub(crate) use node::runtime::{
    AttachError, Content, Created, Handle, KeySource, LiveNode, Options, StartError, check_relay,
    create, is_exposed, open, restore,
};
#[cfg(test)]
pub(crate) use node::view::ExaminedSpace;
pub(crate) use node::view::{
    Branch, Care, ChannelView, DamagedOp, Delivery, DeviceView, EquivocationView, Examination,
    Finding, InviteView, JoinRequestView, JoinStatus, KeptMotion, Me, MemberView, Membership,
    MotionState, Notice, OwnOp, Part, PostState, PostView, QuorumView, RelayStatus, SpaceStatus,
    SpaceSummary, Status, ThreadSummary, VoidedOp,
};
pub(crate) use node::{
    Attachment, ChannelId, ChannelKind, ChannelPermission, DeviceId, Header, History, LatePolicy,
    OpId, PurgeFrom, SEAL_EVERY_MAX, Scope, SpaceId, StoreError, Timestamp, UserId, Verb, Weight,
    file_name,
};
