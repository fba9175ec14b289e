//! libp2p under the wire messages: the client's link to its relays, and what both ends share.
//!
//! # Invariants
//! - A client listens nowhere, dials only the addresses it was given, and only the keys they
//!   name (`/p2p/…`). There is no identify, no DHT and no discovery, so no address leaks in one.
//! - The client's own peer id is drawn at every start.
//! - Every queue is bounded; a full one slows its writer or is answered with an error.

mod addr;
mod budget;
mod codec;
mod link;

pub use addr::{AddrError, RelayAddr, peer_id, relay_id};
pub use budget::{Budget, Carried, Held};
pub use codec::{Calls, RELAY_PROTOCOL, RelayCodec, calls};
pub use link::{Link, LinkCommand, LinkError, LinkEvent, RequestId, SpawnError, spawn};
