//! HPKE base mode (RFC 9180) for the one suite we use: DHKEM(X25519, HKDF-SHA256), HKDF-SHA256,
//! ChaCha20-Poly1305.
//!
//! Only the composition is here; the primitives are those of `hpke-rs-rust-crypto`, called as
//! pure functions. `hpke-rs` itself cannot be used: it draws the ephemeral key from a PRNG that a
//! static function makes, so a given source could reach it only through thread-local state, and
//! OpenMLS seals on a pool of threads. Here the caller hands in the key material instead.
//! Tests hold it against the vectors of RFC 9180 and against `hpke-rs`.

use hpke_rs_crypto::HpkeCrypto;
use hpke_rs_crypto::types::{AeadAlgorithm, KdfAlgorithm, KemAlgorithm};
use hpke_rs_rust_crypto::HpkeRustCrypto as Primitives;
use zeroize::Zeroizing;

/// Bytes of an encapsulated key, and of every X25519 key.
pub(crate) const KEY_LEN: usize = 32;
/// Bytes that sealing adds to the plaintext, besides the encapsulated key.
pub(crate) const TAG_LEN: usize = 16;

const KEM: KemAlgorithm = KemAlgorithm::DhKem25519;
const KDF: KdfAlgorithm = KdfAlgorithm::HkdfSha256;
const AEAD: AeadAlgorithm = AeadAlgorithm::ChaCha20Poly1305;
/// "KEM" ‖ kem id (RFC 9180 §4.1).
const KEM_SUITE: &[u8] = b"KEM\x00\x20";
/// "HPKE" ‖ kem id ‖ kdf id ‖ aead id (RFC 9180 §5.1).
const HPKE_SUITE: &[u8] = b"HPKE\x00\x20\x00\x01\x00\x03";

/// An HPKE step failed: a key is malformed or of low order, or the bytes were not sealed to us.
/// Which of them is not told apart, since nobody may act on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("hpke failed")]
pub(crate) struct HpkeError;

type Bytes = Zeroizing<Vec<u8>>;
type Result<T> = core::result::Result<T, HpkeError>;

/// An X25519 key pair: (secret, public).
pub(crate) fn derive_key_pair(ikm: &[u8]) -> Result<(Bytes, Vec<u8>)> {
    #[cfg(feature = "stub-crypto")]
    if oplog::stub::is_on() {
        return Ok(stub::derive_key_pair(ikm));
    }
    let prk = labeled_extract(KEM_SUITE, &[], "dkp_prk", ikm)?;
    let secret = labeled_expand(KEM_SUITE, &prk, "sk", &[], KEY_LEN)?;
    let public = Primitives::secret_to_public(KEM, &secret).map_err(|_cause| HpkeError)?;
    Ok((secret, public))
}

/// A key schedule's result, good for one message (sequence number 0) and for exports.
pub(crate) struct Context {
    key: Bytes,
    nonce: Bytes,
    exporter: Bytes,
}

impl Context {
    /// Encapsulates to a public key; `ikm` are 32 bytes never used for another message.
    /// Returns the encapsulated key too.
    pub(crate) fn sender(public: &[u8], info: &[u8], ikm: &[u8]) -> Result<(Vec<u8>, Self)> {
        let (secret, enc) = derive_key_pair(ikm)?;
        #[cfg(feature = "stub-crypto")]
        if oplog::stub::is_on() {
            let context = stub::context(&enc, public, public, info)?;
            return Ok((enc, context));
        }
        let dh = dh(public, &secret)?;
        let shared = shared_secret(&dh, &enc, public)?;
        Ok((enc, Self::schedule(&shared, info)?))
    }

    /// Decapsulates with a secret key.
    pub(crate) fn receiver(enc: &[u8], secret: &[u8], info: &[u8]) -> Result<Self> {
        #[cfg(feature = "stub-crypto")]
        if oplog::stub::is_on() {
            return stub::context(enc, &stub::public_of(secret)?, enc, info);
        }
        let dh = dh(enc, secret)?;
        let public = Primitives::secret_to_public(KEM, secret).map_err(|_cause| HpkeError)?;
        Self::schedule(&shared_secret(&dh, enc, &public)?, info)
    }

    pub(crate) fn seal(&self, ad: &[u8], plain: &[u8]) -> Result<Vec<u8>> {
        aead_seal(&self.key, &self.nonce, ad, plain)
    }

    pub(crate) fn open(&self, ad: &[u8], sealed: &[u8]) -> Result<Vec<u8>> {
        aead_open(&self.key, &self.nonce, ad, sealed)
    }

    pub(crate) fn export(&self, context: &[u8], len: usize) -> Result<Bytes> {
        labeled_expand(HPKE_SUITE, &self.exporter, "sec", context, len)
    }

    /// RFC 9180 §5.1, mode base: no PSK.
    fn schedule(shared: &[u8], info: &[u8]) -> Result<Self> {
        let psk_id = labeled_extract(HPKE_SUITE, &[], "psk_id_hash", &[])?;
        let info = labeled_extract(HPKE_SUITE, &[], "info_hash", info)?;
        let context = [&[0], psk_id.as_slice(), info.as_slice()].concat();
        let secret = labeled_extract(HPKE_SUITE, shared, "secret", &[])?;
        let part = |label, len| labeled_expand(HPKE_SUITE, &secret, label, &context, len);
        Ok(Self {
            key: part("key", 32)?,
            nonce: part("base_nonce", 12)?,
            exporter: part("exp", 32)?,
        })
    }
}

/// ChaCha20-Poly1305.
pub(crate) fn aead_seal(key: &[u8], nonce: &[u8], ad: &[u8], plain: &[u8]) -> Result<Vec<u8>> {
    #[cfg(feature = "stub-crypto")]
    if oplog::stub::is_on() {
        return Ok(oplog::stub::seal(stub::key(key)?, nonce, ad, plain));
    }
    Primitives::aead_seal(AEAD, key, nonce, ad, plain).map_err(|_cause| HpkeError)
}

/// Reverses [`aead_seal`].
pub(crate) fn aead_open(key: &[u8], nonce: &[u8], ad: &[u8], sealed: &[u8]) -> Result<Vec<u8>> {
    #[cfg(feature = "stub-crypto")]
    if oplog::stub::is_on() {
        let opened = oplog::stub::open(stub::key(key)?, nonce, ad, sealed);
        return opened.map_err(|_opaque| HpkeError);
    }
    Primitives::aead_open(AEAD, key, nonce, ad, sealed).map_err(|_cause| HpkeError)
}

/// X25519; fails when the result is all zero, so low-order keys never reach the schedule.
fn dh(public: &[u8], secret: &[u8]) -> Result<Bytes> {
    Primitives::dh(KEM, public, secret)
        .map(Zeroizing::new)
        .map_err(|_cause| HpkeError)
}

fn shared_secret(dh: &[u8], enc: &[u8], public: &[u8]) -> Result<Bytes> {
    let prk = labeled_extract(KEM_SUITE, &[], "eae_prk", dh)?;
    let context = [enc, public].concat();
    labeled_expand(KEM_SUITE, &prk, "shared_secret", &context, KEY_LEN)
}

fn labeled_extract(suite: &[u8], salt: &[u8], label: &str, ikm: &[u8]) -> Result<Bytes> {
    let ikm = Zeroizing::new([b"HPKE-v1", suite, label.as_bytes(), ikm].concat());
    Primitives::kdf_extract(KDF, salt, &ikm)
        .map(Zeroizing::new)
        .map_err(|_cause| HpkeError)
}

fn labeled_expand(suite: &[u8], prk: &[u8], label: &str, info: &[u8], len: usize) -> Result<Bytes> {
    let len16 = u16::try_from(len)
        .map_err(|_cause| HpkeError)?
        .to_be_bytes();
    let info = [&len16, b"HPKE-v1".as_slice(), suite, label.as_bytes(), info].concat();
    Primitives::kdf_expand(KDF, prk, &info, len)
        .map(Zeroizing::new)
        .map_err(|_cause| HpkeError)
}

/// What stands for X25519 in simulated worlds ([`oplog::stub`]): both sides hash what both know.
#[cfg(feature = "stub-crypto")]
mod stub {
    use super::{Bytes, Context, HpkeError, KEY_LEN, Result, Zeroizing};
    use crate::leaf::check_x25519;
    use oplog::stub::{expand, public_of as public};

    pub(super) fn derive_key_pair(ikm: &[u8]) -> (Bytes, Vec<u8>) {
        let secret = blake3::derive_key("decent/stub/v1/hpke", ikm);
        (Zeroizing::new(secret.to_vec()), public(&secret).to_vec())
    }

    pub(super) fn public_of(secret: &[u8]) -> Result<[u8; KEY_LEN]> {
        key(secret).map(public)
    }

    /// `theirs` is the key that came from outside: a weak one fails, as its exchange would.
    pub(super) fn context(
        enc: &[u8],
        public: &[u8],
        theirs: &[u8],
        info: &[u8],
    ) -> Result<Context> {
        check_x25519(key(theirs)?).map_err(|_cause| HpkeError)?;
        let all = Zeroizing::new(expand(key(public)?, &[enc, info], 76));
        let part = |from: usize, to: usize| {
            let bytes = all.get(from..to).unwrap_or_default();
            Zeroizing::new(bytes.to_vec())
        };
        Ok(Context {
            key: part(0, 32),
            nonce: part(32, 44),
            exporter: part(44, 76),
        })
    }

    pub(super) fn key(bytes: &[u8]) -> Result<&[u8; KEY_LEN]> {
        bytes.try_into().map_err(|_cause| HpkeError)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(hex: &str) -> Vec<u8> {
        hex::decode(hex).unwrap()
    }

    /// RFC 9180 appendix A.2.1 (base mode), sequence number 0 and the first export.
    #[test]
    fn rfc_9180_a_2_1() {
        let info = bytes("4f6465206f6e2061204772656369616e2055726e");
        let ikm_e = bytes("909a9b35d3dc4713a5e72a4da274b55d3d3821a37e5d099e74a647db583a904b");
        let ikm_r = bytes("1ac01f181fdf9f352797655161c58b75c656a6cc2716dcb66372da835542e1df");
        let (sk_r, pk_r) = derive_key_pair(&ikm_r).unwrap();
        assert_eq!(
            pk_r,
            bytes("4310ee97d88cc1f088a5576c77ab0cf5c3ac797f3d95139c6c84b5429c59662a")
        );
        let (enc, sender) = Context::sender(&pk_r, &info, &ikm_e).unwrap();
        assert_eq!(
            enc,
            bytes("1afa08d3dec047a643885163f1180476fa7ddb54c6a8029ea33f95796bf2ac4a")
        );
        let plain = bytes("4265617574792069732074727574682c20747275746820626561757479");
        let ad = bytes("436f756e742d30");
        let sealed = sender.seal(&ad, &plain).unwrap();
        assert_eq!(
            sealed,
            bytes(
                "1c5250d8034ec2b784ba2cfd69dbdb8af406cfe3ff938e131f0def8c8b60b4db21993c62ce81883d2dd1b51a28"
            )
        );
        let receiver = Context::receiver(&enc, &sk_r, &info).unwrap();
        assert_eq!(receiver.open(&ad, &sealed), Ok(plain));
        assert_eq!(
            receiver.export(&[], 32).unwrap().to_vec(),
            bytes("4bbd6243b8bb54cec311fac9df81841b6fd61f56538a775e7c80a9f40160606e")
        );
    }

    #[test]
    fn low_order_keys_fail_instead_of_sealing_to_everyone() {
        for stub in [false, true] {
            let _entered = oplog::stub::enter(stub);
            for public in [
                [0; 32],
                crate::leaf::LOW_ORDER[2],
                crate::leaf::LOW_ORDER[6],
            ] {
                assert!(Context::sender(&public, b"", &[7; 32]).is_err());
                assert!(Context::receiver(&public, &[7; 32], b"").is_err());
            }
        }
    }

    #[test]
    fn stubs_have_the_sizes_of_the_real_ones_and_fail_alike() {
        for stub in [false, true] {
            let _entered = oplog::stub::enter(stub);
            let (secret, public) = derive_key_pair(&[1; 32]).unwrap();
            let (other, _) = derive_key_pair(&[2; 32]).unwrap();
            assert_eq!((secret.len(), public.len()), (KEY_LEN, KEY_LEN));
            let (enc, sender) = Context::sender(&public, b"info", &[3; 32]).unwrap();
            assert_eq!(enc.len(), KEY_LEN);
            let sealed = sender.seal(b"ad", b"plain").unwrap();
            assert_eq!(sealed.len(), b"plain".len() + TAG_LEN);
            let open = |enc: &[u8], secret: &[u8], info: &[u8], ad: &[u8], sealed: &[u8]| {
                Context::receiver(enc, secret, info).and_then(|c| c.open(ad, sealed))
            };
            let opened = open(&enc, &secret, b"info", b"ad", &sealed);
            assert_eq!(opened, Ok(b"plain".to_vec()));
            let exported = Context::receiver(&enc, &secret, b"info").unwrap();
            assert_eq!(exported.export(b"c", 40), sender.export(b"c", 40));
            for (name, failed) in [
                ("key", open(&enc, &other, b"info", b"ad", &sealed)),
                ("info", open(&enc, &secret, b"x", b"ad", &sealed)),
                ("ad", open(&enc, &secret, b"info", b"x", &sealed)),
                ("key length", open(&enc, b"short", b"info", b"ad", &sealed)),
                (
                    "enc length",
                    open(b"short", &secret, b"info", b"ad", &sealed),
                ),
            ] {
                assert_eq!(failed, Err(HpkeError), "{name}");
            }
            for at in 0..enc.len() + sealed.len() {
                let mut all = [enc.clone(), sealed.clone()].concat();
                all[at] ^= 1;
                let (enc, sealed) = all.split_at(KEY_LEN);
                let opened = open(enc, &secret, b"info", b"ad", sealed);
                assert_eq!(opened, Err(HpkeError), "byte {at}");
            }
        }
    }
}
