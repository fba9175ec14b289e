//! Stub primitives for simulated worlds: quick, of the same sizes, and failing where the real ones fail.
//!
//! They protect nothing. A signature is a hash under the *public* key, so whoever wants to can forge
//! one; what the simulator needs is that nobody does by accident: a changed byte, another key and
//! another message fail as they do with Ed25519 and XChaCha20-Poly1305, and nothing sealed can be read
//! in passing.
//!
//! Behind a feature that only tests ask for, and even then used only on a thread that
//! [entered](enter) them: worlds with real and with stub primitives run side by side, and whoever
//! never asked keeps the real ones. Keys of one kind are worth nothing to the other.

use core::cell::Cell;

use crate::aead::{OpenError, TAG_LEN};
use crate::keys::SignatureError;

thread_local! {
    static ON: Cell<bool> = const { Cell::new(false) };
}

/// Until it is dropped, this thread computes as [`enter`] told it; then as before.
#[derive(Debug)]
#[must_use = "dropping it ends what it began"]
pub struct Entered {
    before: bool,
}

/// Switches this thread to stub primitives, or back to the real ones.
pub fn enter(on: bool) -> Entered {
    Entered {
        before: ON.replace(on),
    }
}

/// Returns whether this thread computes with stub primitives.
#[must_use]
pub fn is_on() -> bool {
    ON.get()
}

impl Drop for Entered {
    fn drop(&mut self) {
        ON.set(self.before);
    }
}

/// The public key that belongs to a seed: of a signing key, or of one to seal to.
#[must_use]
pub fn public_of(seed: &[u8; 32]) -> [u8; 32] {
    blake3::derive_key("decent/stub/v1/public", seed)
}

/// Returns `len` bytes that only the same key and fields give.
#[must_use]
pub fn expand(key: &[u8; 32], fields: &[&[u8]], len: usize) -> Vec<u8> {
    let mut out = vec![0; len];
    hash(key, fields).finalize_xof().fill(&mut out);
    out
}

/// Seals bytes as XOR with a stream, and adds a tag.
#[must_use]
pub fn seal(key: &[u8; 32], nonce: &[u8], ad: &[u8], plain: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(plain.len() + TAG_LEN);
    out.extend_from_slice(plain);
    mask(key, nonce, &mut out);
    let tag = tag(key, nonce, ad, &out);
    out.extend_from_slice(&tag);
    out
}

/// Opens what [`seal`] made.
///
/// # Errors
/// When anything differs from what was sealed.
pub fn open(key: &[u8; 32], nonce: &[u8], ad: &[u8], sealed: &[u8]) -> Result<Vec<u8>, OpenError> {
    let (body, claimed) = sealed.split_last_chunk::<TAG_LEN>().ok_or(OpenError)?;
    if tag(key, nonce, ad, body) != *claimed {
        return Err(OpenError);
    }
    let mut plain = body.to_vec();
    mask(key, nonce, &mut plain);
    Ok(plain)
}

pub(crate) fn sign(public: &[u8; 32], message: &[u8]) -> [u8; 64] {
    let mut sig = [0; 64];
    let mut hasher = blake3::Hasher::new_keyed(public);
    hasher.update(message);
    hasher.finalize_xof().fill(&mut sig);
    sig
}

pub(crate) fn verify(
    public: &[u8; 32],
    message: &[u8],
    sig: &[u8; 64],
) -> Result<(), SignatureError> {
    if is_small_order(public) {
        return Err(SignatureError::BadKey);
    }
    if sign(public, message) == *sig {
        Ok(())
    } else {
        Err(SignatureError::Mismatch)
    }
}

/// The encodings of points of small order, sign bit aside: weak keys stay weak. Other bytes that are
/// no point of the curve cannot be told from stub keys, and only fail to match.
fn is_small_order(public: &[u8; 32]) -> bool {
    let mut y = *public;
    let [.., last] = &mut y;
    *last &= 0x7f;
    SMALL_ORDER.contains(&y)
}

fn hash(key: &[u8; 32], fields: &[&[u8]]) -> blake3::Hasher {
    let mut hasher = blake3::Hasher::new_keyed(key);
    for field in fields {
        hasher.update(&(field.len() as u64).to_be_bytes());
        hasher.update(field);
    }
    hasher
}

fn tag(key: &[u8; 32], nonce: &[u8], ad: &[u8], body: &[u8]) -> [u8; TAG_LEN] {
    let mut tag = [0; TAG_LEN];
    hash(key, &[b"tag", nonce, ad, body])
        .finalize_xof()
        .fill(&mut tag);
    tag
}

/// XOR with SplitMix64 (Steele et al. 2014) from a hash of key and nonce.
fn mask(key: &[u8; 32], nonce: &[u8], bytes: &mut [u8]) {
    let mut start = [0; 8];
    hash(key, &[b"mask", nonce]).finalize_xof().fill(&mut start);
    let mut state = u64::from_le_bytes(start);
    let mut next = || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    };
    let (words, rest) = bytes.as_chunks_mut();
    for word in words {
        *word = (u64::from_le_bytes(*word) ^ next()).to_le_bytes();
    }
    for (byte, with) in rest.iter_mut().zip(next().to_le_bytes()) {
        *byte ^= with;
    }
}

/// 0, 1, the two of order 8, p − 1, p, p + 1, as y coordinates.
const SMALL_ORDER: [[u8; 32]; 7] = [
    [0; 32],
    ends(1, 0, 0),
    [
        0x26, 0xe8, 0x95, 0x8f, 0xc2, 0xb2, 0x27, 0xb0, 0x45, 0xc3, 0xf4, 0x89, 0xf2, 0xef, 0x98,
        0xf0, 0xd5, 0xdf, 0xac, 0x05, 0xd3, 0xc6, 0x33, 0x39, 0xb1, 0x38, 0x02, 0x88, 0x6d, 0x53,
        0xfc, 0x05,
    ],
    [
        0xc7, 0x17, 0x6a, 0x70, 0x3d, 0x4d, 0xd8, 0x4f, 0xba, 0x3c, 0x0b, 0x76, 0x0d, 0x10, 0x67,
        0x0f, 0x2a, 0x20, 0x53, 0xfa, 0x2c, 0x39, 0xcc, 0xc6, 0x4e, 0xc7, 0xfd, 0x77, 0x92, 0xac,
        0x03, 0x7a,
    ],
    ends(0xec, 0xff, 0x7f),
    ends(0xed, 0xff, 0x7f),
    ends(0xee, 0xff, 0x7f),
];

/// 32 bytes given by the first, all between, and the last.
const fn ends(first: u8, between: u8, last: u8) -> [u8; 32] {
    let mut out = [between; 32];
    let [a, .., z] = &mut out;
    *a = first;
    *z = last;
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::{self, SecretKey};
    use crate::{Signature, aead};
    use rand_chacha::ChaCha20Rng;
    use rand_core::SeedableRng;

    /// What the same calls come to with either kind of primitives.
    fn both(name: &str, check: impl Fn()) {
        for on in [false, true] {
            let _entered = enter(on);
            assert_eq!(is_on(), on, "{name}");
            check();
        }
        assert!(!is_on(), "{name}: as before");
    }

    #[test]
    fn signatures_fail_alike() {
        both("signatures", || {
            let mut rng = ChaCha20Rng::seed_from_u64(1);
            let (alice, bob) = (SecretKey::generate(&mut rng), SecretKey::generate(&mut rng));
            let again = SecretKey::from_seed(&alice.to_seed());
            assert_eq!(again.public(), alice.public());
            assert_eq!(alice.clone().sign(b"m"), again.sign(b"m"));
            let sig = alice.sign(b"message");
            let check = keys::verify;
            assert_eq!(check(&alice.public(), b"message", &sig), Ok(()));
            let mismatch = Err(SignatureError::Mismatch);
            assert_eq!(check(&alice.public(), b"massage", &sig), mismatch);
            assert_eq!(check(&bob.public(), b"message", &sig), mismatch);
            for at in 0..64 {
                let mut bytes = *sig.as_bytes();
                bytes[at] ^= 1;
                let bad = Signature::from_bytes(bytes);
                assert_eq!(check(&alice.public(), b"message", &bad), mismatch, "{at}");
            }
            let other = bob.sign(b"other");
            let (a, b) = (alice.public(), bob.public());
            let good = [(&a, b"message".as_slice(), &sig), (&b, b"other", &other)];
            assert!(keys::verify_all(good, &mut rng));
            let bad = [(&a, b"message".as_slice(), &sig), (&a, b"other", &other)];
            assert!(!keys::verify_all(bad, &mut rng));
        });
    }

    #[test]
    fn weak_keys_are_refused_alike_in_both_forms() {
        for key in SMALL_ORDER {
            let mut high = key;
            high[31] |= 0x80;
            for form in [key, high] {
                both("weak keys", || {
                    let sig = Signature::from_bytes(sign(&form, b"m"));
                    assert_eq!(
                        keys::verify(&form, b"m", &sig),
                        Err(SignatureError::BadKey),
                        "{form:02x?}"
                    );
                    let mut rng = ChaCha20Rng::seed_from_u64(1);
                    assert!(!keys::verify_all(
                        [(&form, b"m".as_slice(), &sig)],
                        &mut rng
                    ));
                });
            }
        }
    }

    #[test]
    fn seals_fail_alike_and_have_one_size() {
        both("seals", || {
            let (key, nonce) = ([1; 32], [2; aead::NONCE_LEN]);
            for len in [0, 1, 7, 8, 9, 300] {
                let plain = vec![b'x'; len];
                let sealed = aead::seal(&key, &nonce, b"ad", &plain);
                assert_eq!(sealed.len(), len + TAG_LEN);
                assert_eq!(aead::open(&key, &nonce, b"ad", &sealed), Ok(plain.clone()));
                assert!(len < 7 || !sealed.windows(3).any(|w| w == b"xxx"));
                let open = aead::open;
                assert_eq!(open(&[9; 32], &nonce, b"ad", &sealed), Err(OpenError));
                assert_eq!(open(&key, &[9; 24], b"ad", &sealed), Err(OpenError));
                assert_eq!(open(&key, &nonce, b"da", &sealed), Err(OpenError));
                for at in 0..sealed.len() {
                    let mut bad = sealed.clone();
                    bad[at] ^= 0x40;
                    assert_eq!(open(&key, &nonce, b"ad", &bad), Err(OpenError), "byte {at}");
                }
                for short in 0..sealed.len() {
                    assert_eq!(open(&key, &nonce, b"ad", &sealed[..short]), Err(OpenError));
                }
            }
        });
    }

    #[test]
    fn one_kind_is_worth_nothing_to_the_other() {
        let seed = [7; 32];
        let sign = || SecretKey::from_seed(&seed);
        let (real, stub) = (sign(), {
            let _entered = enter(true);
            sign()
        });
        assert_ne!(real.public(), stub.public());
        // A key stays what it was made as, on whatever thread it signs.
        let sig = stub.sign(b"m");
        assert!(keys::verify(&stub.public(), b"m", &sig).is_err());
        let _entered = enter(true);
        assert_eq!(keys::verify(&stub.public(), b"m", &sig), Ok(()));
        assert!(keys::verify(&real.public(), b"m", &real.sign(b"m")).is_err());
    }

    #[test]
    fn other_threads_keep_the_real_ones() {
        let _entered = enter(true);
        let other = std::thread::spawn(is_on).join();
        assert!(matches!(other, Ok(false)));
    }
}
