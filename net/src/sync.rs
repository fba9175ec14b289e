//! Sync between two peers (B12): both end with the union of what either may see.
//!
//! A [`SyncSession`] is one conversation over any ordered channel: a libp2p stream, or sealed
//! envelopes. Frames in, [`SyncAction`]s out; what this node has is read through [`SyncSource`].
//! The initiator leads, one question at a time; the responder answers. Both sides give.
//!
//! ```text
//! I → Open                                    nonces: the transcript
//! R → Open, Hello                             salted interests (A8)
//! I → Hello, Auth    R → Auth    I → Auth     who, and proof of the key
//! each Space:  CtlHave ⇄ CtlHave              control first, until nothing moves
//!              ChanHave ⇄ ChanHave            then content, by lanes
//!              Neg ⇄ Neg, WantOps → Given     where lanes have gaps or forks
//! I → Done   R → Done
//! ```
//! Ops travel in `Ops` frames between these, at most [`WINDOW`] unacknowledged, in the order of
//! their HLC: no op arrives before what it refers to, as far as the giver has it.
//!
//! This module never judges an op: it hands bytes on. It only counts them.
//!
//! # Invariants
//! - No Space is named before the peer proved a key of it; content goes to members' devices only.
//! - A removed device gets control ops up to and including its removal (A8).
//! - One step of the session holds at most [`GIVE_OPS_MAX`] ids and [`WINDOW`] batches.

mod frame;
mod give;
mod handshake;
mod session;
mod source;

#[cfg(test)]
mod tests;

pub use frame::{FRAME_BYTES_MAX, SYNC_VERSION};
pub use handshake::{Role, SyncKey};
pub use session::{SyncAction, SyncFailure, SyncSession, SyncSetup};
pub use source::{LaneState, Standing, SyncSource};

/// Most interests in a Hello (B12).
pub const INTERESTS_MAX: usize = 64;
/// Most control heads named (B12); a node with more names none, and its lanes speak.
pub const HEADS_MAX: usize = 64;
/// Most lanes in one frame; a scope with more is reconciled (B12).
pub const LANES_MAX: usize = 4_096;
/// Most channels in one frame.
pub const SCOPES_MAX: usize = 256;
/// Most ids in one WantOps (B12).
pub const WANT_IDS_MAX: usize = 256;
/// Most ops in one batch.
pub const BATCH_OPS_MAX: usize = 4_096;
/// Most bytes of ops in one batch (B12), unless a single op is longer.
pub const BATCH_BYTES_MAX: usize = 1024 * 1024;
/// Most batches on their way without an ack: what the receiver must be ready to hold.
pub const WINDOW: usize = 4;
/// Most ops given in answer to one question; the rest comes with the next round.
pub const GIVE_OPS_MAX: usize = 65_536;
/// Most rounds over one plane of one Space in a session.
pub const ROUNDS_MAX: u32 = 256;
