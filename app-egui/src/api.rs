//! The names of `node` that this shell uses, in one place.
//!
//! The shell knows nothing below `node`.

pub use node::audit::{Explanation, Outcome, Snapshot, Until};
pub use node::command::{Answer, Command};
pub use node::error::CommandError;
pub use node::invite::{InviteLink, LinkError};
pub use node::mention;
pub use node::runtime::{
    ATTACHMENT_BYTES_MAX, AttachError, Content, Created, Handle, KeySource, LiveNode, Look,
    Options, StartError, check_relay, create, look, open, restore,
};
pub use node::view::{
    ChannelView, Delivery, DeviceView, InviteView, JoinRequestView, JoinStatus, Me, MemberView,
    Membership, Notice, PageFrom, Place, PolicyView, PostState, PostView, RelayStatus, SpaceStatus,
    SpaceSummary, Status, ThreadSummary, Unread, VoidedOp,
};
pub use node::{
    ATTACHMENTS_MAX, Attachment, BlobId, ChannelId, ChannelKind, ChannelPermission, DeviceId,
    History, Hlc, LatePolicy, OpId, SpaceId, THUMBNAIL_BYTES_MAX, Timestamp, UserId, Verb, Weight,
    file_name,
};
