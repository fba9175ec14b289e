//! Hashes and signatures of `docs/format.md`.

use ed25519_zebra::{Signature, VerificationKey};

use super::cbor::Cbor;
use super::id::{Bytes, Id};

/// `H(d, f…)`.
pub(super) fn hash(domain: &str, fields: &[&[u8]]) -> Id {
    let mut hasher = blake3::Hasher::new_derive_key(&format!("decent/v1/{domain}"));
    for field in fields {
        // Nothing here is longer than an op.
        let len = u32::try_from(field.len()).unwrap_or(u32::MAX);
        hasher.update(&len.to_be_bytes());
        hasher.update(field);
    }
    Bytes(*hasher.finalize().as_bytes())
}

/// Points of small order, in every encoding: nobody holds such a key.
fn is_small_order(key: &Id) -> bool {
    // The y coordinates of the eight points of order 1, 2, 4, 8, and the two encodings with
    // y ≥ p; the sign bit does not matter.
    const Y: [&str; 7] = [
        "0000000000000000000000000000000000000000000000000000000000000000",
        "0100000000000000000000000000000000000000000000000000000000000000",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
    ];
    let mut key = key.0;
    key[31] &= 0x7f;
    Y.iter().any(|y| Bytes::parse(y) == Some(Bytes(key)))
}

/// What signatures in a dump are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Signatures {
    /// Ed25519 by ZIP-215.
    #[default]
    Ed25519,
    /// In simulated worlds with stub primitives: 64 bytes of BLAKE3 under the public key.
    Stub,
}

impl Signatures {
    /// Whether the key signed `sentence ‖ message`.
    pub(super) fn signed(self, key: &Id, sentence: &str, message: &Id, sig: &Bytes<64>) -> bool {
        let text = [sentence.as_bytes(), &message.0].concat();
        !is_small_order(key)
            && match self {
                Self::Ed25519 => VerificationKey::try_from(key.0)
                    .is_ok_and(|key| key.verify(&Signature::from_bytes(&sig.0), &text).is_ok()),
                Self::Stub => {
                    let mut hasher = blake3::Hasher::new_keyed(&key.0);
                    hasher.update(&text);
                    let mut expected = [0; 64];
                    hasher.finalize_xof().fill(&mut expected);
                    expected == sig.0
                }
            }
    }
}

/// What the identity key signs of a certificate, given as its map.
pub(super) fn cert_message(cert: &Cbor) -> Option<Id> {
    let Cbor::Map(fields) = cert else { return None };
    let mut fields = fields.clone();
    let (_, sig) = fields.iter_mut().find(|(key, _)| *key == 6)?;
    *sig = Cbor::Bytes(vec![0; 64]);
    Some(hash("device-cert", &[&Cbor::Map(fields).write()]))
}
