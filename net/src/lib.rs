//! How nodes talk: messages between client and relay, sync between peers, and the libp2p driver.
//!
//! [`wire`], [`neg`] and [`sync`] are pure: bytes in, bytes out, no socket, no clock; randomness
//! is an argument. [`driver`] (feature `driver`) alone names libp2p and tokio. Nothing here
//! judges an op: what a peer sends is handed to the node as bytes.
//!
//! # Invariants
//! - Bounded: no frame makes this crate allocate, loop or recurse beyond a named limit.
//! - Remote bytes never panic; what is wrong with them is a typed error.
//! - A relay learns tags, sealed bytes, sizes and times, never a Space, author, op or epoch.

pub mod neg;
pub mod sync;
pub mod wire;

#[cfg(feature = "driver")]
pub mod driver;

mod relay_id;

pub use relay_id::RelayId;
