//! The node: what apps talk to. One person's device as a state machine over log, fold, group and relays.
//!
//! Commands and events go into [`Node::handle`], effects come out; queries read. No domain rule
//! lives here that is not one of the crates below: this crate wires them. Sans-IO but for
//! `runtime` (feature `runtime`), which drives it over real disk and network.

pub mod audit;
pub mod backup;
pub mod blobs;
pub mod command;
pub mod error;
pub mod event;
pub mod identity;
pub mod invite;
pub mod mention;
pub mod quorum;
pub mod recover;
pub mod refusals;
pub mod room;
pub mod view;

#[cfg(feature = "runtime")]
pub mod runtime;

mod admit;
mod answers;
mod arrivals;
mod attest;
mod branch;
mod bundle;
mod cache;
mod commit;
mod compare;
mod complaints;
mod devices;
mod early;
mod equivocation;
mod examine;
mod exchange;
mod execute;
mod flood;
#[cfg(feature = "test-utils")]
mod forge;
mod group;
mod heads;
mod import;
mod ingest;
mod join;
mod keepsakes;
mod landing;
mod letters;
mod linktext;
mod listen;
mod mail;
mod mailbox;
mod mend;
mod message;
mod motions;
mod namesakes;
mod node;
mod outbox;
#[cfg(feature = "test-utils")]
mod peek;
mod query;
mod readd;
mod reapply;
mod rekey;
mod relays;
mod repair;
mod retention;
mod rogue;
mod seal;
mod seals;
mod space;
mod standing;
mod tags;
mod turns;
mod write;

pub use blobstore::THUMBNAIL_BYTES_MAX;
pub use command::{Answer, Command, CommandId};
pub use error::CommandError;
pub use event::{Effect, Event, RelayId, RequestId, Timer};
pub use fold::content::text::file_name;
pub use identity::{Identity, RecoveryPhrase};
pub use import::export_of;
pub use invite::InviteLink;
pub use keepsakes::{KEEPSAKE_BYTES_MAX, KEEPSAKE_NAME_BYTES_MAX};
pub use motions::KEPT_MAX as MOTIONS_KEPT_MAX;
pub use node::Node;
pub use oplog::payload::{
    ATTACHMENTS_MAX, Attachment, ChannelKind, ChannelPermission, History, LatePolicy, PurgeFrom,
    SEAL_EVERY_MAX, Verb, Weight,
};
pub use oplog::store::StoreError;
pub use oplog::{
    BlobId, ChannelId, DeviceId, Digest, EpochId, Header, Hlc, OpId, Scope, Secret, SpaceId,
    Timestamp, UserId,
};
#[cfg(feature = "test-utils")]
pub use peek::{Group, Kept};
