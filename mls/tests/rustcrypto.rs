//! Our provider against OpenMLS's own one: the same functions, and each opens what the other seals.

use mls::{CIPHERSUITE, Provider, Rows};
use openmls_rust_crypto::RustCrypto;
use openmls_traits::OpenMlsProvider as _;
use openmls_traits::crypto::OpenMlsCrypto;
use openmls_traits::random::OpenMlsRand as _;
use openmls_traits::types::{AeadType, Ciphersuite, HashType, SignatureScheme};
use proptest::prelude::*;
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;

fn seeded(seed: u64) -> Provider {
    Provider::new(&Rows::default(), &mut ChaCha20Rng::seed_from_u64(seed))
}

fn some_bytes() -> impl Strategy<Value = Vec<u8>> {
    proptest::collection::vec(any::<u8>(), 0..200)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn both_compute_the_same(key: [u8; 32], nonce: [u8; 12], a in some_bytes(), b in some_bytes()) {
        let (ours, theirs) = (seeded(1), RustCrypto::default());
        let ours = ours.crypto();
        let sha = HashType::Sha2_256;
        prop_assert_eq!(ours.hash(sha, &a).unwrap(), theirs.hash(sha, &a).unwrap());
        prop_assert_eq!(ours.hmac(sha, &a, &b).unwrap(), theirs.hmac(sha, &a, &b).unwrap());
        prop_assert_eq!(
            ours.hkdf_extract(sha, &a, &b).unwrap(),
            theirs.hkdf_extract(sha, &a, &b).unwrap()
        );
        prop_assert_eq!(
            ours.hkdf_expand(sha, &key, &a, 77).unwrap(),
            theirs.hkdf_expand(sha, &key, &a, 77).unwrap()
        );
        let chacha = AeadType::ChaCha20Poly1305;
        let sealed = ours.aead_encrypt(chacha, &key, &a, &nonce, &b).unwrap();
        prop_assert_eq!(&sealed, &theirs.aead_encrypt(chacha, &key, &a, &nonce, &b).unwrap());
        prop_assert_eq!(ours.aead_decrypt(chacha, &key, &sealed, &nonce, &b).unwrap(), a);
    }

    #[test]
    fn each_opens_what_the_other_seals(ikm: [u8; 32], info in some_bytes(), ad in some_bytes(), plain in some_bytes()) {
        let (ours, theirs) = (seeded(1), RustCrypto::default());
        let ours = ours.crypto();
        let suite = || CIPHERSUITE.hpke_config();
        let pair = ours.derive_hpke_keypair(suite(), &ikm).unwrap();
        let same = theirs.derive_hpke_keypair(suite(), &ikm).unwrap();
        prop_assert_eq!(&pair.public, &same.public);
        prop_assert_eq!(&*pair.private, &*same.private);
        let by_us = ours.hpke_seal(suite(), &pair.public, &info, &ad, &plain).unwrap();
        let by_them = theirs.hpke_seal(suite(), &pair.public, &info, &ad, &plain).unwrap();
        prop_assert_eq!(&theirs.hpke_open(suite(), &by_us, &pair.private, &info, &ad).unwrap(), &plain);
        prop_assert_eq!(&ours.hpke_open(suite(), &by_them, &pair.private, &info, &ad).unwrap(), &plain);
        let (enc, secret) = ours
            .hpke_setup_sender_and_export(suite(), &pair.public, &info, &ad, 32)
            .unwrap();
        let received = theirs
            .hpke_setup_receiver_and_export(suite(), &enc, &pair.private, &info, &ad, 32)
            .unwrap();
        prop_assert_eq!(&*secret, &*received);
    }
}

/// One operation must never use an ephemeral key twice, and must not depend on the order in
/// which OpenMLS's threads ask.
#[test]
fn ephemeral_keys_are_fixed_by_seed_and_content_alone() {
    let seal = |seed, ikm: u8, plain: &[u8]| {
        let provider = seeded(seed);
        let c = provider.crypto();
        let suite = || CIPHERSUITE.hpke_config();
        let pair = c.derive_hpke_keypair(suite(), &[ikm; 32]).unwrap();
        let _other = c.hpke_seal(suite(), &pair.public, b"", b"", b"asked before");
        let sealed = c
            .hpke_seal(suite(), &pair.public, b"i", b"a", plain)
            .unwrap();
        sealed.kem_output.as_slice().to_vec()
    };
    assert_eq!(seal(1, 1, b"x"), seal(1, 1, b"x"));
    assert_ne!(seal(1, 1, b"x"), seal(1, 1, b"y"), "another content");
    assert_ne!(seal(1, 1, b"x"), seal(1, 2, b"x"), "another recipient");
    assert_ne!(seal(1, 1, b"x"), seal(2, 1, b"x"), "another seed");
}

#[test]
fn without_randomness_nothing_can_be_drawn() {
    let provider = Provider::without_randomness(&Rows::default());
    let c = provider.crypto();
    let pair = c
        .derive_hpke_keypair(CIPHERSUITE.hpke_config(), &[1; 32])
        .unwrap();
    let sealed = c.hpke_seal(CIPHERSUITE.hpke_config(), &pair.public, b"", b"", b"x");
    assert!(sealed.is_err());
    assert!(provider.rand().random_vec(8).is_err());
    assert!(provider.rand().random_array::<8>().is_err());
}

#[test]
fn other_algorithms_are_refused() {
    let provider = seeded(1);
    let c = provider.crypto();
    assert_eq!(c.supported_ciphersuites(), [CIPHERSUITE]);
    let other = Ciphersuite::MLS_128_DHKEMX25519_AES128GCM_SHA256_Ed25519;
    assert!(c.supports(other).is_err());
    assert!(
        c.derive_hpke_keypair(other.hpke_config(), &[1; 32])
            .is_err()
    );
    assert!(c.hash(HashType::Sha2_512, b"").is_err());
    let aes = c.aead_encrypt(AeadType::Aes128Gcm, &[0; 16], b"", &[0; 12], b"");
    assert!(aes.is_err());
    let ecdsa = c.sign(SignatureScheme::ECDSA_SECP256R1_SHA256, b"", &[1; 32]);
    assert!(ecdsa.is_err());
    assert!(c.signature_key_gen(SignatureScheme::ED25519).is_err());
}

/// Signatures are judged by [`oplog::keys::verify`], which refuses weak keys before the cofactored
/// equation of ZIP-215 would let them sign anything.
#[test]
fn weak_signature_keys_and_wrong_lengths_are_refused() {
    let provider = seeded(1);
    let judge = |public: &[u8], signature: &[u8]| {
        let c = provider.crypto();
        c.verify_signature(SignatureScheme::ED25519, b"anything", public, signature)
    };
    // The neutral point as key and as R, s = 0: the equation holds for every message.
    let mut neutral = [0; 32];
    neutral[0] = 1;
    let signature = [neutral.as_slice(), &[0; 32]].concat();
    assert!(judge(&neutral, &signature).is_err());
    assert!(judge(&[7; 31], &signature).is_err());
    assert!(judge(&[7; 32], &signature[1..]).is_err());
}
