//! Write access to tags: what the holder of a tag's key signs to file an envelope (A23).
//!
//! A tag is `Tag::of_key(pk)`. A PUT carries `pk` and a signature by it over the tag,
//! the hash of the envelope and its time to live, so that a relay can refuse what a
//! stranger would file there without learning anything about the Space.

use crate::hash::H;
use crate::ids::{Digest, Tag};

/// Returns what the tag's key signs for one PUT: `"decent put v1" ‖ H("put", tag, envelope hash, ttl)`.
///
/// `ttl_secs` is how long the relay should keep the envelope, in seconds, hashed as u32 big-endian.
#[must_use]
pub fn put_message(tag: &Tag, envelope_hash: &Digest, ttl_secs: u32) -> Vec<u8> {
    let digest = H::new("put")
        .field(tag.as_bytes())
        .field(envelope_hash.as_bytes())
        .field(&ttl_secs.to_be_bytes())
        .finish();
    [b"decent put v1".as_slice(), &digest].concat()
}

/// Returns `H("env", envelope)`: the id of an envelope, and the hash that [`put_message`] covers.
#[must_use]
pub fn envelope_id(envelope: &[u8]) -> Digest {
    Digest::from_bytes(H::new("env").field(envelope).finish())
}
