//! Ed25519: keys, and the one rule by which signatures are valid.
//!
//! Keys sign with `ed25519-dalek`. Every check goes through `ed25519-zebra`, which
//! follows ZIP-215: checking one by one and in batches always agree, so replicas
//! that batch differently never differ on what is valid. Small-order public keys
//! are refused before, since under the cofactored rule they sign anything.

use core::convert::Infallible;
use core::fmt;

use ed25519_dalek::{Signer, SigningKey};
use ed25519_zebra::{VerificationKey, VerificationKeyBytes, batch};
use rand_core::{CryptoRng, TryCryptoRng, TryRng};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::ids::Signature;

/// Why a signature does not hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// The public key has small order or is no point of the curve.
    #[error("the public key is weak or malformed")]
    BadKey,
    /// The key did not sign these bytes.
    #[error("the signature does not match")]
    Mismatch,
}

/// An Ed25519 secret key. Its `Debug` shows nothing; it is wiped when dropped.
#[derive(Clone)]
pub struct SecretKey(Kind);

#[derive(Clone)]
enum Kind {
    Ed25519(SigningKey),
    #[cfg(feature = "stub-crypto")]
    Stub {
        seed: Secret,
        public: [u8; 32],
    },
}

impl SecretKey {
    /// Draws a key.
    pub fn generate(rng: &mut impl CryptoRng) -> Self {
        let mut seed = Zeroizing::new([0; 32]);
        rng.fill_bytes(seed.as_mut());
        Self::from_seed(&seed)
    }

    /// Makes the key of this seed (RFC 8032 §5.1.5).
    #[must_use]
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        #[cfg(feature = "stub-crypto")]
        if crate::stub::is_on() {
            return Self(Kind::Stub {
                seed: Secret::from_bytes(*seed),
                public: crate::stub::public_of(seed),
            });
        }
        Self(Kind::Ed25519(SigningKey::from_bytes(seed)))
    }

    /// Returns the seed, to be sealed and stored.
    #[must_use]
    pub fn to_seed(&self) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(match &self.0 {
            Kind::Ed25519(key) => key.to_bytes(),
            #[cfg(feature = "stub-crypto")]
            Kind::Stub { seed, .. } => *seed.as_bytes(),
        })
    }

    /// Returns the public key's bytes.
    #[must_use]
    pub fn public(&self) -> [u8; 32] {
        match &self.0 {
            Kind::Ed25519(key) => key.verifying_key().to_bytes(),
            #[cfg(feature = "stub-crypto")]
            Kind::Stub { public, .. } => *public,
        }
    }

    /// Signs.
    #[must_use]
    pub fn sign(&self, message: &[u8]) -> Signature {
        Signature::from_bytes(match &self.0 {
            Kind::Ed25519(key) => key.sign(message).to_bytes(),
            #[cfg(feature = "stub-crypto")]
            Kind::Stub { public, .. } => crate::stub::sign(public, message),
        })
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretKey(..)")
    }
}

// `SigningKey` and `Secret` wipe themselves on drop; this states it for types that hold one.
impl ZeroizeOnDrop for SecretKey {}

/// 32 secret bytes: a symmetric key or a seed. Its `Debug` shows nothing; wiped when dropped.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct Secret([u8; 32]);

impl Secret {
    /// Wraps secret bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Draws secret bytes.
    pub fn generate(rng: &mut impl CryptoRng) -> Self {
        let mut bytes = [0; 32];
        rng.fill_bytes(&mut bytes);
        Self(bytes)
    }

    /// Returns the bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// Checks one signature by the ZIP-215 rule, small-order keys refused.
///
/// # Errors
/// When the key is weak or malformed, or did not sign the message.
pub fn verify(public: &[u8; 32], message: &[u8], sig: &Signature) -> Result<(), SignatureError> {
    #[cfg(feature = "stub-crypto")]
    if crate::stub::is_on() {
        return crate::stub::verify(public, message, sig.as_bytes());
    }
    let key = usable_key(public)?;
    let sig = ed25519_zebra::Signature::from_bytes(sig.as_bytes());
    key.verify(&sig, message)
        .map_err(|_opaque| SignatureError::Mismatch)
}

/// Checks many signatures at once: every item is (public key, message, signature).
/// Returns whether *all* hold; when not, [`verify`] finds which.
///
/// Cost: about a quarter of single checks at 256 items and less with few keys, since equal
/// keys are used once.
pub fn verify_all<'a>(
    items: impl IntoIterator<Item = (&'a [u8; 32], &'a [u8], &'a Signature)>,
    rng: &mut impl CryptoRng,
) -> bool {
    #[cfg(feature = "stub-crypto")]
    if crate::stub::is_on() {
        let mut items = items.into_iter();
        return items.all(|(key, m, sig)| crate::stub::verify(key, m, sig.as_bytes()).is_ok());
    }
    let mut batch = batch::Verifier::new();
    let mut known = alloc_set();
    for (public, message, sig) in items {
        if known.insert(*public) && usable_key(public).is_err() {
            return false;
        }
        let sig = ed25519_zebra::Signature::from_bytes(sig.as_bytes());
        batch.queue((VerificationKeyBytes::from(*public), sig, &message));
    }
    batch.verify(Factors::new(rng)).is_ok()
}

/// What the signatures of one batch are multiplied with. The batch goes through a hash map and
/// stops at the first malformed one, so how many it draws is chance: from a source of its own, and
/// the caller's goes on the same whatever somebody sent.
struct Factors(blake3::OutputReader);

impl Factors {
    fn new(rng: &mut impl CryptoRng) -> Self {
        let mut seed = Zeroizing::new([0; 32]);
        rng.fill_bytes(seed.as_mut());
        Self(blake3::Hasher::new_keyed(&seed).finalize_xof())
    }
}

impl TryRng for Factors {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        let mut bytes = [0; 4];
        self.0.fill(&mut bytes);
        Ok(u32::from_le_bytes(bytes))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        let mut bytes = [0; 8];
        self.0.fill(&mut bytes);
        Ok(u64::from_le_bytes(bytes))
    }

    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), Infallible> {
        self.0.fill(out);
        Ok(())
    }
}

impl TryCryptoRng for Factors {}

fn alloc_set() -> std::collections::BTreeSet<[u8; 32]> {
    std::collections::BTreeSet::new()
}

fn usable_key(public: &[u8; 32]) -> Result<VerificationKey, SignatureError> {
    let weak = ed25519_dalek::VerifyingKey::from_bytes(public).is_ok_and(|key| key.is_weak());
    if weak {
        return Err(SignatureError::BadKey);
    }
    VerificationKey::try_from(*public).map_err(|_opaque| SignatureError::BadKey)
}

#[cfg(test)]
mod tests {
    use rand_chacha::ChaCha20Rng;
    use rand_core::{Rng as _, SeedableRng as _};

    use super::*;

    #[test]
    fn a_malformed_signature_changes_nothing_of_what_is_drawn_later() {
        let keys: Vec<SecretKey> = (1..=8).map(|n| SecretKey::from_seed(&[n; 32])).collect();
        let publics: Vec<[u8; 32]> = keys.iter().map(SecretKey::public).collect();
        let good: Vec<Signature> = keys.iter().map(|key| key.sign(b"message")).collect();
        let after = |sigs: &[Signature]| {
            let mut rng = ChaCha20Rng::seed_from_u64(1);
            let items = publics
                .iter()
                .zip(sigs)
                .map(|(p, s)| (p, b"message".as_slice(), s));
            (verify_all(items, &mut rng), rng.next_u64())
        };
        let (holds, next) = after(&good);
        assert!(holds);
        for at in 0..good.len() {
            let mut sigs = good.clone();
            let mut bytes = *good[at].as_bytes();
            // Above the order of the group: no scalar.
            bytes[63] = 0xff;
            sigs[at] = Signature::from_bytes(bytes);
            assert_eq!(after(&sigs), (false, next), "{at}");
        }
    }
}
