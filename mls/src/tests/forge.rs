//! Tools of a member who cheats: OpenMLS without our checks, broken primitives, and commits
//! taken apart, changed and signed again.

use openmls::prelude::{GroupId, MlsGroup};
use openmls_memory_storage::MemoryStorage;
use openmls_traits::OpenMlsProvider;
use openmls_traits::crypto::OpenMlsCrypto;
use openmls_traits::types::{
    AeadType, Ciphersuite, CryptoError, ExporterSecret, HashType, HpkeCiphertext, HpkeConfig,
    HpkeKeyPair, KemOutput, SignatureScheme,
};
use std::sync::atomic::{AtomicUsize, Ordering};
use tls_codec::SecretVLBytes;

use super::world::rng;
use crate::leaf::LOW_ORDER;
use crate::provider::{Crypto, MlsSigner, Rand};
use crate::{GroupState, LocalDevice, Provider, Rows};

/// Runs OpenMLS itself on a member's state, past all of our checks.
pub(super) fn cheat<T>(
    from: &GroupState,
    me: &LocalDevice,
    act: impl FnOnce(&mut MlsGroup, &Provider, &MlsSigner<'_>) -> T,
) -> T {
    let provider = Provider::new(&from.rows, &mut rng(4242));
    let id = GroupId::from_slice(from.group_id.as_bytes());
    let mut group = MlsGroup::load(provider.storage(), &id).unwrap().unwrap();
    act(&mut group, &provider, &MlsSigner(me.mls_key()))
}

/// A provider whose `weak`-th derived key pair has a public key of low order, and that seals to
/// weak keys without complaint.
pub(super) struct Weak {
    inner: Provider,
    crypto: WeakCrypto,
}

pub(super) struct WeakCrypto {
    inner: Provider,
    weak: usize,
    derived: AtomicUsize,
}

impl Weak {
    pub(super) fn new(rows: &Rows, weak: usize) -> Self {
        Self {
            inner: Provider::new(rows, &mut rng(4242)),
            crypto: WeakCrypto {
                inner: Provider::new(&Rows::default(), &mut rng(4343)),
                weak,
                derived: AtomicUsize::new(0),
            },
        }
    }

    /// Whether there was a key pair to spoil.
    pub(super) fn spoiled(&self) -> bool {
        self.crypto.derived.load(Ordering::Relaxed) > self.crypto.weak
    }
}

impl OpenMlsProvider for Weak {
    type CryptoProvider = WeakCrypto;
    type RandProvider = Rand;
    type StorageProvider = MemoryStorage;

    fn storage(&self) -> &MemoryStorage {
        self.inner.storage()
    }
    fn crypto(&self) -> &WeakCrypto {
        &self.crypto
    }
    fn rand(&self) -> &Rand {
        self.inner.rand()
    }
}

impl WeakCrypto {
    fn good(&self) -> &Crypto {
        self.inner.crypto()
    }
}

type R<T> = Result<T, CryptoError>;

impl OpenMlsCrypto for WeakCrypto {
    fn supports(&self, c: Ciphersuite) -> R<()> {
        self.good().supports(c)
    }
    fn supported_ciphersuites(&self) -> Vec<Ciphersuite> {
        self.good().supported_ciphersuites()
    }
    fn hkdf_extract(&self, h: HashType, salt: &[u8], ikm: &[u8]) -> R<SecretVLBytes> {
        self.good().hkdf_extract(h, salt, ikm)
    }
    fn hmac(&self, h: HashType, key: &[u8], message: &[u8]) -> R<SecretVLBytes> {
        self.good().hmac(h, key, message)
    }
    fn hkdf_expand(&self, h: HashType, prk: &[u8], info: &[u8], len: usize) -> R<SecretVLBytes> {
        self.good().hkdf_expand(h, prk, info, len)
    }
    fn hash(&self, h: HashType, data: &[u8]) -> R<Vec<u8>> {
        self.good().hash(h, data)
    }
    fn aead_encrypt(&self, a: AeadType, k: &[u8], m: &[u8], n: &[u8], ad: &[u8]) -> R<Vec<u8>> {
        self.good().aead_encrypt(a, k, m, n, ad)
    }
    fn aead_decrypt(&self, a: AeadType, k: &[u8], c: &[u8], n: &[u8], ad: &[u8]) -> R<Vec<u8>> {
        self.good().aead_decrypt(a, k, c, n, ad)
    }
    fn signature_key_gen(&self, s: SignatureScheme) -> R<(Vec<u8>, Vec<u8>)> {
        self.good().signature_key_gen(s)
    }
    fn verify_signature(&self, s: SignatureScheme, m: &[u8], pk: &[u8], sig: &[u8]) -> R<()> {
        self.good().verify_signature(s, m, pk, sig)
    }
    fn sign(&self, s: SignatureScheme, m: &[u8], key: &[u8]) -> R<Vec<u8>> {
        self.good().sign(s, m, key)
    }
    fn hpke_seal(
        &self,
        c: HpkeConfig,
        pk: &[u8],
        info: &[u8],
        ad: &[u8],
        plain: &[u8],
    ) -> R<HpkeCiphertext> {
        let sealed = self.good().hpke_seal(c, pk, info, ad, plain);
        sealed.or_else(|_| {
            Ok(HpkeCiphertext {
                kem_output: vec![9; 32].into(),
                ciphertext: vec![9; plain.len() + 16].into(),
            })
        })
    }
    fn hpke_open(
        &self,
        c: HpkeConfig,
        input: &HpkeCiphertext,
        sk: &[u8],
        info: &[u8],
        ad: &[u8],
    ) -> R<Vec<u8>> {
        self.good().hpke_open(c, input, sk, info, ad)
    }
    fn hpke_setup_sender_and_export(
        &self,
        c: HpkeConfig,
        pk: &[u8],
        info: &[u8],
        context: &[u8],
        len: usize,
    ) -> R<(KemOutput, ExporterSecret)> {
        self.good()
            .hpke_setup_sender_and_export(c, pk, info, context, len)
    }
    fn hpke_setup_receiver_and_export(
        &self,
        c: HpkeConfig,
        enc: &[u8],
        sk: &[u8],
        info: &[u8],
        context: &[u8],
        len: usize,
    ) -> R<ExporterSecret> {
        self.good()
            .hpke_setup_receiver_and_export(c, enc, sk, info, context, len)
    }
    fn derive_hpke_keypair(&self, c: HpkeConfig, ikm: &[u8]) -> R<HpkeKeyPair> {
        let mut pair = self.good().derive_hpke_keypair(c, ikm)?;
        if self.derived.fetch_add(1, Ordering::Relaxed) == self.weak {
            pair.public = LOW_ORDER[self.weak % LOW_ORDER.len()].to_vec();
        }
        Ok(pair)
    }
}

/// A commit in plain form, taken apart (RFC 9420 §6).
pub(super) struct Parts {
    /// FramedContent, from group id to the end of the Commit.
    pub(super) content: Vec<u8>,
    /// Where in it the Commit begins.
    pub(super) commit_at: usize,
    pub(super) confirmation_tag: Vec<u8>,
}

impl Parts {
    pub(super) fn read(message: &[u8]) -> Self {
        // version, wire format; group id (32), epoch, sender type and leaf, authenticated data, type
        let aad_len = usize::from(message[4 + 33 + 8 + 5]);
        let commit_at = 33 + 8 + 5 + 1 + aad_len + 1;
        // at the end: signature (2 + 64), confirmation tag (33), membership tag (33)
        let tail = message.len() - 66 - 33 - 33;
        assert_eq!(
            message[tail..tail + 2],
            [0x40, 64],
            "signature where it should be"
        );
        Self {
            content: message[4..tail].to_vec(),
            commit_at,
            confirmation_tag: message[tail + 66..tail + 99].to_vec(),
        }
    }

    /// Puts it together again, with signature and membership tag made afresh by a member.
    pub(super) fn signed_again(&self, from: &GroupState, me: &LocalDevice) -> Vec<u8> {
        let provider = Provider::without_randomness(&Rows::default());
        let secrets = secrets(from);
        let framed = [b"\x00\x01\x00\x01".as_slice(), &self.content].concat();
        let tbs = [framed.as_slice(), &secrets.context].concat();
        let label = b"MLS 1.0 FramedContentTBS";
        let labelled = [
            &[u8::try_from(label.len()).unwrap()],
            label.as_slice(),
            &varint(tbs.len()),
            &tbs,
        ]
        .concat();
        let signature = me.mls_key().sign(&labelled);
        let auth = [
            b"\x40\x40".as_slice(),
            signature.as_bytes(),
            &self.confirmation_tag,
        ]
        .concat();
        let tbm = [tbs.as_slice(), &auth].concat();
        let tag = provider
            .crypto()
            .hmac(HashType::Sha2_256, &secrets.membership_key, &tbm)
            .unwrap();
        [framed.as_slice(), &auth, &[32], tag.as_slice()].concat()
    }
}

struct Secrets {
    membership_key: Vec<u8>,
    context: Vec<u8>,
}

fn secrets(from: &GroupState) -> Secrets {
    let (_, json) = from
        .rows
        .iter()
        .find(|(key, _)| key.starts_with(b"MessageSecrets"))
        .unwrap();
    let json: serde_json::Value = serde_json::from_slice(json).unwrap();
    let bytes = |value: &serde_json::Value| serde_json::from_value(value.clone()).unwrap();
    let secrets = &json["message_secrets"];
    Secrets {
        membership_key: bytes(&secrets["membership_key"]["secret"]["value"]["vec"]),
        context: bytes(&secrets["serialized_context"]),
    }
}

pub(super) fn varint(len: usize) -> Vec<u8> {
    match len {
        0..=63 => vec![u8::try_from(len).unwrap()],
        64..=16383 => (u16::try_from(len).unwrap() | 0x4000)
            .to_be_bytes()
            .to_vec(),
        _ => (u32::try_from(len).unwrap() | 0x8000_0000)
            .to_be_bytes()
            .to_vec(),
    }
}
