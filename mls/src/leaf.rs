//! What a single leaf must be: bound to a certificate, of one fixed form, with keys that are keys.

use openmls::prelude::{
    Capabilities, Ciphersuite, CredentialType, ExtensionType, LeafNode, Lifetime, ProtocolVersion,
    PublicGroup,
};
use openmls::treesync::LeafNodeSource;
use oplog::{DeviceId, Digest, UserId};
use tls_codec::Serialize as _;

use crate::device::{Certs, LeafName};
use crate::error::Refusal;
use crate::provider::CIPHERSUITE;

/// Whose leaf it is. Equal exactly when credential and signature key are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Leaf {
    pub(crate) device: DeviceId,
    pub(crate) user: UserId,
    /// Hash of the certificate, which names device, user and signature key.
    cert: Digest,
}

/// The lifetime of every leaf: all time. OpenMLS compares lifetimes with the wall clock, which
/// no replica may depend on; a key package's age is judged by the HLC of its op (B1).
pub(crate) fn lifetime() -> Lifetime {
    Lifetime::init(0, u64::MAX)
}

/// The capabilities of every leaf: what we use, and `last_resort` for key packages.
pub(crate) fn capabilities() -> Capabilities {
    const SUITES: [Ciphersuite; 1] = [CIPHERSUITE];
    Capabilities::new(
        Some(&[ProtocolVersion::Mls10]),
        Some(&SUITES),
        Some(&[ExtensionType::LastResort]),
        Some(&[]),
        Some(&[CredentialType::Basic]),
    )
}

/// Checks one leaf against its certificate (C.2-1, C.2-4) and says whose it is.
pub(crate) fn check_leaf(index: u32, node: &LeafNode, certs: &impl Certs) -> Result<Leaf, Refusal> {
    let leaf = index;
    if node.credential().credential_type() != CredentialType::Basic {
        return Err(Refusal::BadCredential { leaf });
    }
    let name = LeafName::decode(node.credential().serialized_content())
        .ok_or(Refusal::BadCredential { leaf })?;
    let cert = certs
        .by_hash(&name.cert)
        .ok_or(Refusal::UnknownCert { leaf })?;
    if cert.user != name.user || cert.mls_key.as_bytes() != node.signature_key().as_slice() {
        return Err(Refusal::CertMismatch { leaf });
    }
    let source_fits = match node.leaf_node_source() {
        LeafNodeSource::KeyPackage(found) => *found == lifetime(),
        LeafNodeSource::Commit(_) => true,
        // Only an Update proposal makes such a leaf, and we allow none.
        LeafNodeSource::Update => false,
    };
    if !source_fits {
        return Err(Refusal::Lifetime { leaf });
    }
    if *node.capabilities() != capabilities() || node.extensions().iter().next().is_some() {
        return Err(Refusal::Capabilities { leaf });
    }
    Ok(Leaf {
        device: cert.device,
        user: cert.user,
        cert: name.cert,
    })
}

/// A21: no key of the tree is of low order. One such key makes every later commit fail to
/// build, and members whom a path does not reach cannot see it in any other way.
pub(crate) fn check_tree_keys(tree: &PublicGroup) -> Result<(), Refusal> {
    let tree = tree.treesync();
    for (_, leaf) in tree.full_leaves() {
        check_encoded_key(leaf.encryption_key().tls_serialize_detached())?;
    }
    for (_, parent) in tree.full_parents() {
        // A parent node begins with its key (RFC 9420 §7.1).
        check_encoded_key(parent.tls_serialize_detached())?;
    }
    Ok(())
}

/// Checks the key with which an encoding begins: one length byte, then 32 bytes.
pub(crate) fn check_encoded_key(encoded: Result<Vec<u8>, tls_codec::Error>) -> Result<(), Refusal> {
    let encoded = encoded.map_err(|_cause| Refusal::WeakKey)?;
    match encoded.split_first() {
        Some((32, rest)) => match rest.first_chunk::<32>() {
            Some(key) => check_x25519(key),
            None => Err(Refusal::WeakKey),
        },
        _ => Err(Refusal::WeakKey),
    }
}

/// A21: refuses the public keys with which every exchange gives zero.
///
/// # Errors
/// [`Refusal::WeakKey`] when the key is of low order, whatever form it is written in.
pub fn check_x25519(key: &[u8; 32]) -> Result<(), Refusal> {
    let mut masked = *key;
    // X25519 ignores the top bit (RFC 7748 §5).
    let [.., last] = &mut masked;
    *last &= 0x7f;
    if LOW_ORDER.contains(&masked) {
        Err(Refusal::WeakKey)
    } else {
        Ok(())
    }
}

/// The u-coordinates of low order, with the non-canonical ones (Bernstein, "Curve25519", and
/// the list of libsodium): 0, 1, two points of order 8, p − 1, p, p + 1.
pub(crate) const LOW_ORDER: [[u8; 32]; 7] = [
    [0; 32],
    ends(1, 0, 0),
    [
        0xe0, 0xeb, 0x7a, 0x7c, 0x3b, 0x41, 0xb8, 0xae, 0x16, 0x56, 0xe3, 0xfa, 0xf1, 0x9f, 0xc4,
        0x6a, 0xda, 0x09, 0x8d, 0xeb, 0x9c, 0x32, 0xb1, 0xfd, 0x86, 0x62, 0x05, 0x16, 0x5f, 0x49,
        0xb8, 0x00,
    ],
    [
        0x5f, 0x9c, 0x95, 0xbc, 0xa3, 0x50, 0x8c, 0x24, 0xb1, 0xd0, 0xb1, 0x55, 0x9c, 0x83, 0xef,
        0x5b, 0x04, 0x44, 0x5c, 0xc4, 0x58, 0x1c, 0x8e, 0x86, 0xd8, 0x22, 0x4e, 0xdd, 0xd0, 0x9f,
        0x11, 0x57,
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
    use crate::hpke::Context;

    #[test]
    fn every_listed_key_gives_zero_in_both_forms_and_is_refused() {
        for key in LOW_ORDER {
            let mut high = key;
            high[31] |= 0x80;
            for form in [key, high] {
                assert_eq!(check_x25519(&form), Err(Refusal::WeakKey), "{form:02x?}");
                assert!(
                    Context::sender(&form, b"", &[1; 32]).is_err(),
                    "{form:02x?}"
                );
            }
        }
    }

    #[test]
    fn ordinary_keys_pass() {
        for seed in 0..50u8 {
            let (_, public) = crate::hpke::derive_key_pair(&[seed; 32]).unwrap();
            assert_eq!(check_x25519(&public.try_into().unwrap()), Ok(()));
        }
        assert_eq!(check_x25519(&ends(9, 0, 0)), Ok(()), "the base point");
    }
}
