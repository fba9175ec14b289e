//! The provider under OpenMLS: our primitives, the caller's randomness, and a map in memory.
//!
//! Nothing here reaches for a clock, a file or the system's randomness: one seed drawn from the
//! caller's generator fixes every byte an operation makes. OpenMLS seals paths on a pool of
//! threads, so ephemeral keys are not drawn in turn: each is derived from the seed and from
//! everything that is sealed with it. Equal inputs give equal ciphertexts, different ones
//! independent keys, in whatever order and on whatever thread. (A thread-local generator would
//! be unseeded on the pool's threads.)
//!
//! # Invariants
//! - Ed25519 is checked by the one rule of the protocol, ZIP-215 ([`oplog::keys::verify`]).
//! - One ciphersuite; every other algorithm is refused.

use core::fmt;
use std::sync::{Mutex, PoisonError};

use hpke_rs_crypto::HpkeCrypto;
use hpke_rs_crypto::types::KdfAlgorithm;
use hpke_rs_rust_crypto::HpkeRustCrypto as Primitives;
use openmls_memory_storage::MemoryStorage;
use openmls_traits::OpenMlsProvider;
use openmls_traits::crypto::OpenMlsCrypto;
use openmls_traits::random::OpenMlsRand;
use openmls_traits::signatures::{Signer, SignerError};
use openmls_traits::types::{
    AeadType, Ciphersuite, CryptoError, ExporterSecret, HashType, HpkeAeadType, HpkeCiphertext,
    HpkeConfig, HpkeKdfType, HpkeKemType, HpkeKeyPair, KemOutput, SignatureScheme,
};
use oplog::hash::hkdf;
use oplog::keys::{self, SecretKey};
use oplog::{Secret, Signature, recorder};
use rand_core::CryptoRng;
use sha2::{Digest as _, Sha256};
use tls_codec::SecretVLBytes;
use zeroize::Zeroize;

use crate::hpke::{self, Context, HpkeError};
use crate::state::Rows;

/// The one ciphersuite (B1).
pub const CIPHERSUITE: Ciphersuite =
    Ciphersuite::MLS_128_DHKEMX25519_CHACHA20POLY1305_SHA256_Ed25519;

/// Everything OpenMLS asks for during one operation. Dropped with it; what storage holds is wiped.
pub struct Provider {
    crypto: Crypto,
    rand: Rand,
    storage: MemoryStorage,
}

impl Provider {
    /// Prepares an operation that may draw randomness, over these rows.
    pub fn new(rows: &Rows, rng: &mut impl CryptoRng) -> Self {
        let seed = Secret::generate(rng);
        let derive = |label| Secret::from_bytes(*hkdf(seed.as_bytes(), label, &[]));
        let mut provider = Self::without_randomness(rows);
        provider.crypto.ephemeral = Some(derive("mls-ephemeral"));
        provider.rand = Rand::new(&derive("mls-rand"));
        provider
    }

    /// Prepares an operation that only reads what others made. Drawing anything is an error.
    #[must_use]
    pub fn without_randomness(rows: &Rows) -> Self {
        let storage = MemoryStorage::default();
        // A lock of a value that nobody else has yet is never poisoned.
        let values = storage.values.write();
        values.unwrap_or_else(PoisonError::into_inner).extend(
            rows.iter()
                .map(|(key, value)| (key.clone(), value.to_vec())),
        );
        Self {
            crypto: Crypto {
                ephemeral: None,
                primitives: Kind::here(),
                #[cfg(feature = "test-utils")]
                spoilt: None,
            },
            rand: Rand(None),
            storage,
        }
    }

    /// Takes the rows out as they are now.
    #[must_use]
    pub fn into_rows(self) -> Rows {
        let values = self.storage.values.write();
        let mut values = values.unwrap_or_else(PoisonError::into_inner);
        Rows::from_storage(values.drain().map(|(key, value)| {
            let value = if key.starts_with(b"MessageSecrets") {
                without_clock(value)
            } else {
                value
            };
            (key, value)
        }))
    }
}

impl fmt::Debug for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Provider(..)")
    }
}

impl Drop for Provider {
    fn drop(&mut self) {
        let values = self.storage.values.get_mut();
        let values = values.unwrap_or_else(PoisonError::into_inner);
        values.values_mut().for_each(Zeroize::zeroize);
    }
}

impl OpenMlsProvider for Provider {
    type CryptoProvider = Crypto;
    type RandProvider = Rand;
    type StorageProvider = MemoryStorage;

    fn storage(&self) -> &MemoryStorage {
        &self.storage
    }

    fn crypto(&self) -> &Crypto {
        &self.crypto
    }

    fn rand(&self) -> &Rand {
        &self.rand
    }
}

/// Takes out when, by the wall clock, OpenMLS began an epoch. It uses that only to delete past
/// epochs by age, which we do not; left in, equal states would differ in their bytes.
fn without_clock(mut json: Vec<u8>) -> Vec<u8> {
    const FIELD: &[u8] = b"\"added_at\":{";
    let start = json.windows(FIELD.len()).rposition(|w| w == FIELD);
    let Some(start) = start.map(|at| at + FIELD.len() - 1) else {
        return json;
    };
    let len = json.iter().skip(start).position(|byte| *byte == b'}');
    if let Some(len) = len {
        json.splice(start..=start + len, *b"null");
    }
    json
}

/// Signs leaves and commits with a device's MLS key.
pub(crate) struct MlsSigner<'a>(pub(crate) &'a SecretKey);

impl Signer for MlsSigner<'_> {
    fn sign(&self, payload: &[u8]) -> Result<Vec<u8>, SignerError> {
        Ok(self.0.sign(payload).as_bytes().to_vec())
    }

    fn signature_scheme(&self) -> SignatureScheme {
        SignatureScheme::ED25519
    }
}

/// The operation was not given randomness, and wanted some.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this operation was given no randomness")]
pub struct NoRandomness;

/// Bytes for OpenMLS, in turn, from one seed: BLAKE3's extendable output.
pub struct Rand(Option<Mutex<blake3::OutputReader>>);

impl fmt::Debug for Rand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Rand(..)")
    }
}

impl Rand {
    fn new(seed: &Secret) -> Self {
        let reader = blake3::Hasher::new_keyed(seed.as_bytes()).finalize_xof();
        Self(Some(Mutex::new(reader)))
    }

    fn fill(&self, out: &mut [u8]) -> Result<(), NoRandomness> {
        let reader = self.0.as_ref().ok_or(NoRandomness)?;
        let mut reader = reader.lock().unwrap_or_else(PoisonError::into_inner);
        reader.fill(out);
        Ok(())
    }
}

impl Drop for Rand {
    fn drop(&mut self) {
        if let Some(reader) = &mut self.0 {
            let reader = reader.get_mut().unwrap_or_else(PoisonError::into_inner);
            reader.zeroize();
        }
    }
}

impl OpenMlsRand for Rand {
    type Error = NoRandomness;

    fn random_array<const N: usize>(&self) -> Result<[u8; N], NoRandomness> {
        let mut out = [0; N];
        self.fill(&mut out)?;
        Ok(out)
    }

    fn random_vec(&self, len: usize) -> Result<Vec<u8>, NoRandomness> {
        let mut out = vec![0; len];
        self.fill(&mut out)?;
        Ok(out)
    }
}

/// The primitives of [`CIPHERSUITE`]. Holds the secret from which ephemeral keys are derived.
#[derive(Debug)]
pub struct Crypto {
    ephemeral: Option<Secret>,
    primitives: Kind,
    #[cfg(feature = "test-utils")]
    spoilt: Option<Spoilt>,
}

/// Whoever has this public key cannot open what is sealed to it.
#[cfg(feature = "test-utils")]
#[derive(Debug)]
struct Spoilt {
    public: Vec<u8>,
    /// Whether something was sealed to it.
    hit: std::sync::Arc<core::sync::atomic::AtomicBool>,
}

#[cfg(feature = "test-utils")]
impl Provider {
    /// Spoils everything that is sealed to this key, and tells whether there was something.
    pub(crate) fn spoil(
        &mut self,
        public: Vec<u8>,
    ) -> std::sync::Arc<core::sync::atomic::AtomicBool> {
        let hit = std::sync::Arc::default();
        self.crypto.spoilt = Some(Spoilt {
            public,
            hit: std::sync::Arc::clone(&hit),
        });
        hit
    }
}

/// Which primitives: those of the thread that began the operation, on every thread of the pool too.
#[derive(Clone, Copy, Debug)]
struct Kind {
    #[cfg(feature = "stub-crypto")]
    stub: bool,
}

impl Kind {
    fn here() -> Self {
        Self {
            #[cfg(feature = "stub-crypto")]
            stub: oplog::stub::is_on(),
        }
    }

    fn compute<T>(self, with: impl FnOnce() -> T) -> T {
        #[cfg(feature = "stub-crypto")]
        let _entered = oplog::stub::enter(self.stub);
        with()
    }
}

impl Crypto {
    /// Returns the key material for one encapsulation: bound to all that it seals.
    fn ephemeral_ikm(&self, fields: &[&[u8]]) -> Result<Secret, CryptoError> {
        let secret = self.ephemeral.as_ref();
        let secret = secret.ok_or(CryptoError::InsufficientRandomness)?;
        let ikm = hkdf(secret.as_bytes(), "hpke-ephemeral", fields);
        Ok(Secret::from_bytes(*ikm))
    }
}

fn only_sha256(hash: HashType) -> Result<KdfAlgorithm, CryptoError> {
    match hash {
        HashType::Sha2_256 => Ok(KdfAlgorithm::HkdfSha256),
        HashType::Sha2_384 | HashType::Sha2_512 => Err(CryptoError::UnsupportedHashAlgorithm),
    }
}

fn extract(hash: KdfAlgorithm, salt: &[u8], ikm: &[u8]) -> Result<Vec<u8>, CryptoError> {
    Primitives::kdf_extract(hash, salt, ikm).map_err(|_cause| CryptoError::CryptoLibraryError)
}

fn only_chacha(aead: AeadType) -> Result<(), CryptoError> {
    match aead {
        AeadType::ChaCha20Poly1305 => Ok(()),
        AeadType::Aes128Gcm | AeadType::Aes256Gcm => Err(CryptoError::UnsupportedAeadAlgorithm),
    }
}

fn only_our_hpke(config: HpkeConfig) -> Result<(), CryptoError> {
    let HpkeConfig(kem, kdf, aead) = config;
    let ours = (
        HpkeKemType::DhKem25519,
        HpkeKdfType::HkdfSha256,
        HpkeAeadType::ChaCha20Poly1305,
    );
    if (kem, kdf, aead) == ours {
        Ok(())
    } else {
        Err(CryptoError::UnsupportedCiphersuite)
    }
}

fn only_ed25519(scheme: SignatureScheme) -> Result<(), CryptoError> {
    if scheme == SignatureScheme::ED25519 {
        Ok(())
    } else {
        Err(CryptoError::UnsupportedSignatureScheme)
    }
}

impl OpenMlsCrypto for Crypto {
    fn supports(&self, ciphersuite: Ciphersuite) -> Result<(), CryptoError> {
        if ciphersuite == CIPHERSUITE {
            Ok(())
        } else {
            Err(CryptoError::UnsupportedCiphersuite)
        }
    }

    fn supported_ciphersuites(&self) -> Vec<Ciphersuite> {
        vec![CIPHERSUITE]
    }

    fn hkdf_extract(
        &self,
        hash: HashType,
        salt: &[u8],
        ikm: &[u8],
    ) -> Result<SecretVLBytes, CryptoError> {
        recorder::secret("mls extract, salt", salt);
        recorder::secret("mls extract, input", ikm);
        let prk = extract(only_sha256(hash)?, salt, ikm)?;
        recorder::secret("mls extract", &prk);
        Ok(prk.into())
    }

    /// HMAC is what HKDF-Extract computes (RFC 5869 §2.2), with the key as salt.
    fn hmac(
        &self,
        hash: HashType,
        key: &[u8],
        message: &[u8],
    ) -> Result<SecretVLBytes, CryptoError> {
        recorder::secret("mls mac", key);
        // What comes out goes to everybody.
        Ok(extract(only_sha256(hash)?, key, message)?.into())
    }

    fn hkdf_expand(
        &self,
        hash: HashType,
        prk: &[u8],
        info: &[u8],
        len: usize,
    ) -> Result<SecretVLBytes, CryptoError> {
        recorder::secret("mls expand, key", prk);
        let okm = Primitives::kdf_expand(only_sha256(hash)?, prk, info, len);
        let okm = okm.map_err(|_cause| CryptoError::HkdfOutputLengthInvalid)?;
        recorder::secret("mls expand", &okm);
        Ok(okm.into())
    }

    fn hash(&self, hash: HashType, data: &[u8]) -> Result<Vec<u8>, CryptoError> {
        only_sha256(hash)?;
        Ok(Sha256::digest(data).to_vec())
    }

    fn aead_encrypt(
        &self,
        alg: AeadType,
        key: &[u8],
        data: &[u8],
        nonce: &[u8],
        ad: &[u8],
    ) -> Result<Vec<u8>, CryptoError> {
        only_chacha(alg)?;
        recorder::secret("mls aead", key);
        self.primitives
            .compute(|| hpke::aead_seal(key, nonce, ad, data))
            .map_err(|_cause| CryptoError::CryptoLibraryError)
    }

    fn aead_decrypt(
        &self,
        alg: AeadType,
        key: &[u8],
        sealed: &[u8],
        nonce: &[u8],
        ad: &[u8],
    ) -> Result<Vec<u8>, CryptoError> {
        only_chacha(alg)?;
        recorder::secret("mls aead", key);
        self.primitives
            .compute(|| hpke::aead_open(key, nonce, ad, sealed))
            .map_err(|_cause| CryptoError::AeadDecryptionError)
    }

    /// Devices make their MLS keys themselves; OpenMLS never asks.
    fn signature_key_gen(&self, _: SignatureScheme) -> Result<(Vec<u8>, Vec<u8>), CryptoError> {
        Err(CryptoError::UnsupportedSignatureScheme)
    }

    fn verify_signature(
        &self,
        alg: SignatureScheme,
        data: &[u8],
        public: &[u8],
        signature: &[u8],
    ) -> Result<(), CryptoError> {
        only_ed25519(alg)?;
        let public = public
            .try_into()
            .map_err(|_cause| CryptoError::InvalidLength)?;
        let signature =
            <[u8; 64]>::try_from(signature).map_err(|_cause| CryptoError::InvalidSignature)?;
        self.primitives
            .compute(|| keys::verify(public, data, &Signature::from_bytes(signature)))
            .map_err(|_cause| CryptoError::InvalidSignature)
    }

    fn sign(&self, alg: SignatureScheme, data: &[u8], key: &[u8]) -> Result<Vec<u8>, CryptoError> {
        only_ed25519(alg)?;
        let seed = key
            .try_into()
            .map_err(|_cause| CryptoError::InvalidLength)?;
        let sig = self
            .primitives
            .compute(|| SecretKey::from_seed(seed).sign(data));
        Ok(sig.as_bytes().to_vec())
    }

    fn hpke_seal(
        &self,
        config: HpkeConfig,
        public: &[u8],
        info: &[u8],
        ad: &[u8],
        plain: &[u8],
    ) -> Result<HpkeCiphertext, CryptoError> {
        only_our_hpke(config)?;
        let ikm = self.ephemeral_ikm(&[b"seal", public, info, ad, plain])?;
        let sealed = self.primitives.compute(|| {
            let (enc, context) = Context::sender(public, info, ikm.as_bytes())?;
            Ok((enc, context.seal(ad, plain)?))
        });
        let (enc, sealed) = sealed.map_err(|_cause: HpkeError| CryptoError::HpkeEncryptionError)?;
        #[cfg(feature = "test-utils")]
        let sealed = match &self.spoilt {
            Some(spoilt) if spoilt.public == public => {
                spoilt
                    .hit
                    .store(true, core::sync::atomic::Ordering::Relaxed);
                sealed.into_iter().map(|byte| !byte).collect::<Vec<u8>>()
            }
            _ => sealed,
        };
        Ok(HpkeCiphertext {
            kem_output: enc.into(),
            ciphertext: sealed.into(),
        })
    }

    fn hpke_open(
        &self,
        config: HpkeConfig,
        input: &HpkeCiphertext,
        secret: &[u8],
        info: &[u8],
        ad: &[u8],
    ) -> Result<Vec<u8>, CryptoError> {
        only_our_hpke(config)?;
        recorder::secret("mls hpke", secret);
        self.primitives
            .compute(|| {
                Context::receiver(input.kem_output.as_slice(), secret, info)?
                    .open(ad, input.ciphertext.as_slice())
            })
            .map_err(|_cause| CryptoError::HpkeDecryptionError)
    }

    fn hpke_setup_sender_and_export(
        &self,
        config: HpkeConfig,
        public: &[u8],
        info: &[u8],
        exporter_context: &[u8],
        len: usize,
    ) -> Result<(KemOutput, ExporterSecret), CryptoError> {
        only_our_hpke(config)?;
        let ikm = self.ephemeral_ikm(&[b"export", public, info])?;
        let (enc, context) = self
            .primitives
            .compute(|| Context::sender(public, info, ikm.as_bytes()))
            .map_err(|_cause| CryptoError::SenderSetupError)?;
        let secret = context
            .export(exporter_context, len)
            .map_err(|_cause| CryptoError::ExporterError)?;
        recorder::secret("mls export", &secret);
        Ok((enc, secret.to_vec().into()))
    }

    fn hpke_setup_receiver_and_export(
        &self,
        config: HpkeConfig,
        enc: &[u8],
        secret: &[u8],
        info: &[u8],
        exporter_context: &[u8],
        len: usize,
    ) -> Result<ExporterSecret, CryptoError> {
        only_our_hpke(config)?;
        let context = self
            .primitives
            .compute(|| Context::receiver(enc, secret, info))
            .map_err(|_cause| CryptoError::ReceiverSetupError)?;
        let secret = context
            .export(exporter_context, len)
            .map_err(|_cause| CryptoError::ExporterError)?;
        recorder::secret("mls export", &secret);
        Ok(secret.to_vec().into())
    }

    fn derive_hpke_keypair(
        &self,
        config: HpkeConfig,
        ikm: &[u8],
    ) -> Result<HpkeKeyPair, CryptoError> {
        only_our_hpke(config)?;
        let (secret, public) = self
            .primitives
            .compute(|| hpke::derive_key_pair(ikm))
            .map_err(|_cause| CryptoError::CryptoLibraryError)?;
        recorder::secret("mls key pair, seed", ikm);
        recorder::secret("mls key pair", &secret[..]);
        Ok(HpkeKeyPair {
            private: secret.to_vec().into(),
            public,
        })
    }
}
