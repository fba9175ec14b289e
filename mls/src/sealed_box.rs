//! Sealing to one device: for mailboxes, where no epoch is shared yet (B13, B19).
//!
//! HPKE base mode (RFC 9180): DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, ChaCha20-Poly1305. It does
//! not say who sealed; what is inside must be signed. Bytes: encapsulated key (32) ‖ ciphertext of
//! u32 length ‖ content ‖ zeros, the whole as large as a bucket of [`crate::envelope::SIZES`].

use oplog::{Digest, Secret};
use rand_core::CryptoRng;

use crate::hpke::{Context, KEY_LEN, TAG_LEN, derive_key_pair};
use crate::padding::{BUCKETS, PREFIX_LEN, pad, unpad};

/// Bytes of a box besides its padded content.
pub const OVERHEAD: usize = KEY_LEN + TAG_LEN;
/// Longest content of one box in bytes. Larger things travel as sealed blobs.
pub const CONTENT_BYTES_MAX: usize = (1 << 20) - OVERHEAD - PREFIX_LEN;

/// Why a box could not be made or opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BoxError {
    /// A21. The recipient's key is of low order.
    #[error("the recipient's key is unusable")]
    BadKey,
    /// B13. The content does not fit the largest size.
    #[error("{len} bytes do not fit a sealed box")]
    TooLong {
        /// How long the content is, in bytes.
        len: usize,
    },
    /// Not sealed to this key with this info and associated data, or changed since.
    #[error("not sealed to this key")]
    NotForUs,
}

/// An X25519 key pair to which boxes are sealed, from 32 secret bytes (RFC 9180 §7.1.3).
#[derive(Clone, Debug)]
pub struct BoxKey {
    secret: Secret,
    public: Digest,
}

impl BoxKey {
    /// Draws a key.
    pub fn generate(rng: &mut impl CryptoRng) -> Self {
        Self::from_seed(&Secret::generate(rng))
    }

    /// Makes the key of this seed.
    #[must_use]
    pub fn from_seed(seed: &Secret) -> Self {
        // Fails for no seed: HKDF's output has 32 bytes, and all of them make a key.
        let pair = derive_key_pair(seed.as_bytes()).ok();
        let (secret, public) = pair.unwrap_or_default();
        let array = |bytes: &[u8]| bytes.try_into().unwrap_or([0; 32]);
        Self {
            secret: Secret::from_bytes(array(&secret)),
            public: Digest::from_bytes(array(&public)),
        }
    }

    /// Returns the public half: what a certificate names as `hpke_key`.
    #[must_use]
    pub const fn public(&self) -> &Digest {
        &self.public
    }
}

/// Seals content to a public key. `info` names the purpose, `ad` what it belongs to.
///
/// # Errors
/// When the key is weak or the content too long.
pub fn seal_to(
    public: &Digest,
    info: &[u8],
    ad: &[u8],
    content: &[u8],
    rng: &mut impl CryptoRng,
) -> Result<Vec<u8>, BoxError> {
    let padded = pad(content, OVERHEAD).ok_or(BoxError::TooLong { len: content.len() })?;
    let padded = zeroize::Zeroizing::new(padded);
    let ikm = Secret::generate(rng);
    let (enc, context) = Context::sender(public.as_bytes(), info, ikm.as_bytes())
        .map_err(|_cause| BoxError::BadKey)?;
    let sealed = context
        .seal(ad, &padded)
        .map_err(|_cause| BoxError::BadKey)?;
    Ok([enc, sealed].concat())
}

/// Opens what [`seal_to`] made.
///
/// # Errors
/// [`BoxError::NotForUs`] whatever the reason, so that nobody learns it.
pub fn open_with(key: &BoxKey, info: &[u8], ad: &[u8], sealed: &[u8]) -> Result<Vec<u8>, BoxError> {
    if !BUCKETS.contains(&sealed.len()) {
        return Err(BoxError::NotForUs);
    }
    let (enc, sealed) = sealed
        .split_first_chunk::<KEY_LEN>()
        .ok_or(BoxError::NotForUs)?;
    Context::receiver(enc, key.secret.as_bytes(), info)
        .and_then(|context| context.open(ad, sealed))
        .ok()
        .and_then(unpad)
        .ok_or(BoxError::NotForUs)
}

/// Bytes of a wrapped key.
pub const WRAPPED_LEN: usize = KEY_LEN + 32 + TAG_LEN;

/// Seals a bare key to a public key. Not padded: for the inside of an envelope, where one content
/// is sealed once and its key to each of many.
///
/// # Errors
/// When the public key is weak.
pub fn wrap_key(
    public: &Digest,
    info: &[u8],
    ad: &[u8],
    key: &Secret,
    rng: &mut impl CryptoRng,
) -> Result<Vec<u8>, BoxError> {
    let ikm = Secret::generate(rng);
    let (enc, context) = Context::sender(public.as_bytes(), info, ikm.as_bytes())
        .map_err(|_cause| BoxError::BadKey)?;
    let sealed = context
        .seal(ad, key.as_bytes())
        .map_err(|_cause| BoxError::BadKey)?;
    Ok([enc, sealed].concat())
}

/// Opens what [`wrap_key`] made.
///
/// # Errors
/// [`BoxError::NotForUs`] whatever the reason.
pub fn unwrap_key(
    key: &BoxKey,
    info: &[u8],
    ad: &[u8],
    wrapped: &[u8],
) -> Result<Secret, BoxError> {
    let (enc, sealed) = wrapped
        .split_first_chunk::<KEY_LEN>()
        .ok_or(BoxError::NotForUs)?;
    let opened = Context::receiver(enc, key.secret.as_bytes(), info)
        .and_then(|context| context.open(ad, sealed))
        .map(zeroize::Zeroizing::new);
    let opened = opened.map_err(|_cause| BoxError::NotForUs)?;
    let bytes = <[u8; 32]>::try_from(opened.as_slice());
    bytes
        .map(Secret::from_bytes)
        .map_err(|_cause| BoxError::NotForUs)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand_chacha::ChaCha20Rng;
    use rand_core::SeedableRng;

    #[test]
    fn only_the_recipient_unwraps_a_key() {
        let mut rng = ChaCha20Rng::seed_from_u64(4);
        let (alice, bob) = (BoxKey::generate(&mut rng), BoxKey::generate(&mut rng));
        let key = Secret::from_bytes([9; 32]);
        let wrapped = wrap_key(alice.public(), b"letter", b"space", &key, &mut rng).unwrap();
        assert_eq!(wrapped.len(), WRAPPED_LEN);
        let opened = unwrap_key(&alice, b"letter", b"space", &wrapped).unwrap();
        assert_eq!(opened.as_bytes(), key.as_bytes());
        for at in 0..wrapped.len() {
            let mut bad = wrapped.clone();
            bad[at] ^= 1;
            assert!(
                unwrap_key(&alice, b"letter", b"space", &bad).is_err(),
                "{at}"
            );
        }
        for (who, info, ad, len) in [
            (&bob, b"letter", b"space", WRAPPED_LEN),
            (&alice, b"Letter", b"space", WRAPPED_LEN),
            (&alice, b"letter", b"Space", WRAPPED_LEN),
            (&alice, b"letter", b"space", WRAPPED_LEN - 1),
            (&alice, b"letter", b"space", 0),
        ] {
            assert!(unwrap_key(who, info, ad, &wrapped[..len]).is_err());
        }
    }

    #[test]
    fn only_the_recipient_opens_and_only_for_the_purpose() {
        let mut rng = ChaCha20Rng::seed_from_u64(3);
        let (alice, bob) = (BoxKey::generate(&mut rng), BoxKey::generate(&mut rng));
        let sealed = seal_to(alice.public(), b"welcome", b"mbox", b"come in", &mut rng).unwrap();
        let opened = open_with(&alice, b"welcome", b"mbox", &sealed);
        assert_eq!(opened, Ok(b"come in".to_vec()));
        for (name, key, info, ad) in [
            (
                "another key",
                &bob,
                b"welcome".as_slice(),
                b"mbox".as_slice(),
            ),
            ("another purpose", &alice, b"readd", b"mbox"),
            ("another mailbox", &alice, b"welcome", b"m"),
        ] {
            assert_eq!(
                open_with(key, info, ad, &sealed),
                Err(BoxError::NotForUs),
                "{name}"
            );
        }
        for at in (0..sealed.len()).step_by(37) {
            let mut bad = sealed.clone();
            bad[at] ^= 0x10;
            assert!(
                open_with(&alice, b"welcome", b"mbox", &bad).is_err(),
                "byte {at}"
            );
        }
    }

    #[test]
    fn weak_recipients_and_long_contents_are_refused() {
        let mut rng = ChaCha20Rng::seed_from_u64(3);
        let weak = seal_to(&Digest::ZERO, b"", b"", b"x", &mut rng);
        assert_eq!(weak, Err(BoxError::BadKey));
        let key = BoxKey::generate(&mut rng);
        let long = vec![0; CONTENT_BYTES_MAX + 1];
        assert!(seal_to(key.public(), b"", b"", &long, &mut rng).is_err());
    }

    #[test]
    fn a_seed_gives_one_key() {
        let seed = Secret::from_bytes([1; 32]);
        assert_eq!(
            BoxKey::from_seed(&seed).public(),
            BoxKey::from_seed(&seed).public()
        );
        assert_ne!(BoxKey::from_seed(&seed).public(), &Digest::ZERO);
    }
}
