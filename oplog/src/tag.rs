//! What proves the right to file an envelope under a tag (A23).
//!
//! A tag is the hash of a public key; only who holds the secret half may write to
//! it. The relay checks this without learning anything but the key of one day.
//! Deriving the keys belongs to `mls`; the message both sides agree on is here.

use crate::hash::{H, hash};
use crate::ids::{Digest, Signature, Tag};
use crate::keys::{self, SecretKey, SignatureError};

/// Why a PUT has no right to its tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PutError {
    /// A23. The tag is not the hash of this key.
    #[error("the key does not open this tag")]
    WrongKey,
    /// A23. The key did not sign this envelope under this tag.
    #[error("the signature of the put does not hold")]
    BadSignature(#[from] SignatureError),
}

/// Returns `H("env", envelope)`, the name of an envelope.
#[must_use]
pub fn envelope_hash(envelope: &[u8]) -> Digest {
    Digest::from_bytes(hash("env", &[envelope]))
}

/// Returns what is signed to file an envelope: `H("put", tag ‖ envelope hash ‖ ttl)`.
/// `ttl` is in seconds.
#[must_use]
pub fn put_message(tag: &Tag, envelope: &Digest, ttl: u32) -> Vec<u8> {
    let digest = H::new("put")
        .field(tag.as_bytes())
        .field(envelope.as_bytes())
        .field(&ttl.to_be_bytes())
        .finish();
    [b"decent put v1".as_slice(), &digest].concat()
}

/// Signs a PUT with the key whose hash is the tag.
#[must_use]
pub fn sign_put(key: &SecretKey, envelope: &Digest, ttl: u32) -> Signature {
    key.sign(&put_message(&Tag::of_key(&key.public()), envelope, ttl))
}

/// Checks a PUT: the key hashes to the tag, and it signed.
///
/// # Errors
/// When either does not hold.
pub fn verify_put(
    tag: &Tag,
    public: &[u8; 32],
    envelope: &Digest,
    ttl: u32,
    sig: &Signature,
) -> Result<(), PutError> {
    if *tag != Tag::of_key(public) {
        return Err(PutError::WrongKey);
    }
    keys::verify(public, &put_message(tag, envelope, ttl), sig)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_key_of_the_tag_may_put_and_only_what_it_signed() {
        let (key, other) = (
            SecretKey::from_seed(&[1; 32]),
            SecretKey::from_seed(&[2; 32]),
        );
        let (tag, env) = (Tag::of_key(&key.public()), envelope_hash(b"sealed"));
        let sig = sign_put(&key, &env, 60);
        let check = |public: [u8; 32], env: &Digest, ttl, sig: &Signature| {
            verify_put(&tag, &public, env, ttl, sig)
        };
        assert_eq!(check(key.public(), &env, 60, &sig), Ok(()));
        let stolen = sign_put(&other, &env, 60);
        for (name, outcome) in [
            ("another key", check(other.public(), &env, 60, &stolen)),
            (
                "another's signature",
                check(key.public(), &env, 60, &stolen),
            ),
            (
                "another envelope",
                check(key.public(), &envelope_hash(b"x"), 60, &sig),
            ),
            ("another ttl", check(key.public(), &env, 61, &sig)),
        ] {
            assert!(outcome.is_err(), "{name}");
        }
    }
}
