//! Project Wycheproof's vectors against the primitives that Decent runs: signatures of ops and of MLS,
//! the seals at rest and under MLS, and X25519 as HPKE uses it.

use hpke_rs_crypto::HpkeCrypto;
use hpke_rs_crypto::types::KemAlgorithm;
use hpke_rs_rust_crypto::HpkeRustCrypto;
use mls::{Provider, Rows};
use openmls_traits::OpenMlsProvider as _;
use openmls_traits::crypto::OpenMlsCrypto;
use openmls_traits::types::{AeadType, SignatureScheme};
use oplog::{Signature, aead, keys};
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;
use wycheproof::{TestResult, aead as aeads, eddsa, xdh};

fn provider() -> Provider {
    Provider::new(&Rows::default(), &mut ChaCha20Rng::seed_from_u64(1))
}

/// Compares one outcome with the expected one, and counts both kinds: a file in which nothing is
/// refused, or nothing taken, would show nothing.
#[derive(Debug, Default)]
struct Seen {
    taken: usize,
    refused: usize,
}

impl Seen {
    fn judge(&mut self, case: usize, expected: TestResult, taken: bool) {
        match expected {
            TestResult::Valid => assert!(taken, "case {case} is valid and was refused"),
            TestResult::Invalid => assert!(!taken, "case {case} is invalid and was taken"),
            TestResult::Acceptable => {}
        }
        if taken {
            self.taken += 1;
        } else {
            self.refused += 1;
        }
    }
}

/// Cases that RFC 8032 refuses and ZIP-215 demands to be taken, so that batches and single checks agree:
/// R is written with another sign of an x that is zero. An op's id does not depend on its signature, so
/// a second spelling of one makes no second op.
const TAKEN_BY_ZIP_215: [usize; 1] = [151];

#[test]
fn ed25519_by_the_one_rule_of_the_protocol_and_through_mls() {
    let provider = provider();
    let mut seen = Seen::default();
    for group in eddsa::TestSet::load(eddsa::TestName::Ed25519)
        .unwrap()
        .test_groups
    {
        let public: [u8; 32] = group.key.pk.as_slice().try_into().unwrap();
        for test in group.tests {
            // Of another length it is no signature, and no type holds it.
            let sig = <[u8; 64]>::try_from(test.sig.as_slice()).ok();
            let taken = sig.is_some_and(|sig| {
                keys::verify(&public, &test.msg, &Signature::from_bytes(sig)).is_ok()
            });
            if TAKEN_BY_ZIP_215.contains(&test.tc_id) {
                assert!(taken, "case {}", test.tc_id);
            } else {
                seen.judge(test.tc_id, test.result, taken);
            }
            let through_mls = provider.crypto().verify_signature(
                SignatureScheme::ED25519,
                &test.msg,
                &public,
                &test.sig,
            );
            assert_eq!(through_mls.is_ok(), taken, "case {}", test.tc_id);
        }
    }
    assert!(seen.taken >= 50 && seen.refused >= 50, "{seen:?}");
}

#[test]
fn xchacha20_poly1305_of_seals_at_rest() {
    let mut seen = Seen::default();
    let set = aeads::TestSet::load(aeads::TestName::XChaCha20Poly1305).unwrap();
    for group in set.test_groups {
        for test in group.tests {
            let key = <[u8; 32]>::try_from(test.key.as_slice());
            let nonce = <[u8; aead::NONCE_LEN]>::try_from(test.nonce.as_slice());
            let (Ok(key), Ok(nonce)) = (key, nonce) else {
                seen.judge(test.tc_id, test.result, false);
                continue;
            };
            let sealed = [test.ct.as_slice(), &test.tag].concat();
            let opened = aead::open(&key, &nonce, &test.aad, &sealed);
            seen.judge(test.tc_id, test.result, opened.is_ok());
            if let Ok(plain) = opened {
                assert_eq!(plain, test.pt.as_slice(), "case {}", test.tc_id);
                assert_eq!(aead::seal(&key, &nonce, &test.aad, &plain), sealed);
            }
        }
    }
    assert!(seen.taken >= 50 && seen.refused >= 20, "{seen:?}");
}

#[test]
fn chacha20_poly1305_through_mls() {
    let provider = provider();
    let kind = AeadType::ChaCha20Poly1305;
    let mut seen = Seen::default();
    let set = aeads::TestSet::load(aeads::TestName::ChaCha20Poly1305).unwrap();
    for group in set.test_groups {
        for test in group.tests {
            let sealed = [test.ct.as_slice(), &test.tag].concat();
            let crypto = provider.crypto();
            let opened = crypto.aead_decrypt(kind, &test.key, &sealed, &test.nonce, &test.aad);
            seen.judge(test.tc_id, test.result, opened.is_ok());
            if let Ok(plain) = opened {
                assert_eq!(plain, test.pt.as_slice(), "case {}", test.tc_id);
                let again = crypto.aead_encrypt(kind, &test.key, &plain, &test.nonce, &test.aad);
                assert_eq!(again.unwrap(), sealed, "case {}", test.tc_id);
            }
        }
    }
    assert!(seen.taken >= 50 && seen.refused >= 20, "{seen:?}");
}

/// RFC 7748 §6.1 lets an implementation refuse an all-zero secret; ours does, or whoever offers a key
/// of low order could read what others seal to it.
#[test]
fn x25519_gives_the_right_secret_or_none_for_keys_of_low_order() {
    let mut seen = Seen::default();
    let mut zero = 0;
    for group in xdh::TestSet::load(xdh::TestName::X25519)
        .unwrap()
        .test_groups
    {
        for test in group.tests {
            let kem = KemAlgorithm::DhKem25519;
            let shared = HpkeRustCrypto::dh(kem, &test.public_key, &test.private_key);
            if test.shared_secret.iter().all(|byte| *byte == 0) {
                zero += 1;
                assert!(shared.is_err(), "case {} gives zero", test.tc_id);
                continue;
            }
            seen.judge(test.tc_id, test.result, shared.is_ok());
            if let Ok(shared) = shared {
                assert_eq!(shared, test.shared_secret.as_slice(), "case {}", test.tc_id);
            }
        }
    }
    assert!(seen.taken >= 200 && zero >= 20, "{seen:?}, {zero} zero");
}
