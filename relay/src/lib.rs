//! The relay: a dumb mailbox that keeps sealed bytes under tags until they expire.
//!
//! [`RelayCore`] decides everything and does no IO: requests in, responses and pushes out,
//! time and randomness as arguments, storage behind [`EnvelopeStore`]. [`server`] (feature
//! `server`) gives it sockets and [`LogStore`] a disk. Limits and what bounds each structure:
//! `docs/relay.md`.
//!
//! # Invariants
//! - Nothing here holds or derives a Space, an author, an op or an epoch: tags, sealed bytes,
//!   sizes and arrival times are all there is.
//! - What was answered with a cursor or `Ok` is on disk, and survives `kill -9` and a power cut.
//! - Every structure is bounded by a field of [`Limits`]; what does not fit is refused or marked
//!   as behind, never queued without end.

mod bucket;
#[cfg(test)]
mod conformance;
mod conn;
mod core;
mod index;
mod limits;
mod mem;
mod store;

#[cfg(feature = "server")]
mod log;
#[cfg(feature = "server")]
mod segment;
#[cfg(feature = "server")]
pub mod server;

pub use self::core::{Answer, Pushed, RelayCore, Stats};
pub use conn::{ConnId, PushId};
pub use limits::{Limits, Rate};
#[cfg(feature = "server")]
pub use log::LogStore;
pub use mem::MemStore;
pub use store::{Entry, EnvelopeStore, Mailbox, Shelf, Usage};
