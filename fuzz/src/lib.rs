//! Hostile bytes for every decoder and every way in. A target of cargo-fuzz is one call of this.
//!
//! Bytes alone rarely get past a signature or a seal. So where there are such, the input is a list of
//! [`edits`] of something valid, or what a member with valid keys seals.
//!
//! What must hold: no panic, no hang; what was there before is there after; what decodes encodes to the
//! same bytes; and before anything is known of who sent them, bytes cost no more memory than twice their
//! length and 64 KiB ([`bounded`]).

mod decoders;
mod disk;
mod edits;
mod group;
mod memory;
mod people;
mod relays;

#[allow(dead_code, reason = "the tests of node use more of it")]
#[path = "../../node/tests/people/scene.rs"]
mod scene;
#[allow(dead_code, reason = "the tests of node use more of it")]
#[path = "../../node/tests/people/world.rs"]
mod world;

pub use decoders::{
    envelope, header, key_package, link, manifest, neg, op, payload, proof, relay_call,
    relay_reply, sealed_box, text,
};
pub use disk::profile;
pub use edits::edits;
pub use group::{commit, welcome};
pub use memory::bounded;
pub use people::{backup, export, join_request, mail, member, peer};
pub use relays::relay;
