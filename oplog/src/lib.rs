//! The op log of a Space: signed, append-only ops, when they are accepted, and in what order they count.
//!
//! Knows none of the other crates. Pure: no IO, no clock, no chance; time and
//! randomness come in as arguments, and what it must remember it asks of a small
//! trait. The rules, with their ids, are in `docs/acceptance.md`, the bytes in
//! `docs/format.md`, the reasons in `docs/protocol.md`.
//!
//! # Invariants
//! - Closed: the causal past of an accepted op is accepted.
//! - Order-free: which ops are accepted depends on their bytes and their causal past, never on when they came.
//! - Bounded: nothing a peer sends makes this crate allocate, loop or recurse beyond a named limit.

pub mod accept;
pub mod aead;
pub mod authority;
pub mod codec;
pub mod dag;
pub mod deferral;
pub mod hash;
pub mod holdback;
pub mod keys;
pub mod mutants;
pub mod payload;
pub mod recorder;
pub mod store;
#[cfg(feature = "stub-crypto")]
pub mod stub;
pub mod table;
pub mod tag;
#[cfg(feature = "test-utils")]
pub mod testing;
pub mod tuning;

mod author;
mod bounded;
mod branches;
mod header;
mod hlc;
mod ids;
mod kind;
mod log;
mod lost;
mod op;

pub use accept::{AcceptError, Fault, Rule, roster_hash};
pub use author::{Authoring, DraftError, Intent, LaneEnd, MERGE_ABOVE};
pub use branches::{ENDS_MAX, Ends};
pub use codec::CodecError;
pub use header::{
    CONTENT_CTL_REFS_MAX, CONTENT_PAYLOAD_BYTES_MAX, CONTROL_PAYLOAD_BYTES_MAX, HEADER_BYTES_MAX,
    Header, REFS_MAX, VERSION, payload_hash,
};
pub use hlc::{Hlc, Timestamp};
pub use ids::{
    BlobId, ChannelId, DeviceId, Digest, EpochId, Lane, OpId, ParseIdError, Scope, Signature,
    SpaceId, Tag, UserId,
};
pub use keys::{Secret, SecretKey, SignatureError};
pub use kind::{Features, Kind};
pub use log::{Accept, Heads, Refused, Resumed, SpaceLog, WAITING_BYTES_MAX};
pub use lost::{LostOps, Place};
pub use op::{AcceptedOp, OP_BYTES_MAX, SignedOp, VerifiedOp};
pub use payload::Payload;
pub use table::{LaneHead, OpTable, SpaceNo, Stored};
