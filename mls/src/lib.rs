//! Keys for a Space: an MLS group of its devices, and envelopes under keys exported from it.
//!
//! MLS carries the handshake only. Ops are sealed under keys derived from a secret that each
//! epoch exports; who may be in the group is decided elsewhere, by control ops, and handed in.
//! Every function takes a state and gives back a new one; nothing is kept here, and time does
//! not come in at all. Randomness is an argument.
//!
//! # Invariants
//! - Isolated: each epoch's state is a value of its own; branches never share (I17).
//! - Checked once: every way into an epoch passes the same check of who is in it.
//! - Deterministic: the same state, inputs and seed give the same bytes.
//! - Bounded: lengths are checked before anything is parsed.

pub mod envelope;
pub mod keys;
pub mod sealed_box;
pub mod stored;

mod device;
mod digits;
mod error;
mod group;
mod hpke;
mod key_package;
mod leaf;
mod padding;
mod provider;
mod roster;
mod state;

#[cfg(test)]
mod tests;

pub use device::{Certs, LocalDevice, cert_book};
pub use error::{Error, Refusal};
#[cfg(feature = "test-utils")]
pub use group::danger_commit_without;
pub use group::{
    COMMIT_BYTES_MAX, Change, Committed, Epoch, Expected, ExpectedJoin, Processed,
    WELCOME_BYTES_MAX, commit, commit_aad, commit_class, found, join, process,
};
pub use key_package::{KeyPackageSecret, check_key_package, key_package, key_package_digest};
pub use keys::{EpochKeys, EpochRoot, TopicKey};
pub use leaf::check_x25519;
pub use provider::{CIPHERSUITE, Crypto, NoRandomness, Provider, Rand};
pub use roster::{DEVICES_MAX, Roster};
pub use state::{GroupState, Rows, STATE_BYTES_MAX};
