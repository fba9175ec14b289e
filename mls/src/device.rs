//! A device as MLS knows it: its certificate, its signature key, and the credential that names both.

use std::collections::BTreeMap;

use minicbor::{Decode, Encode};
use openmls::prelude::{BasicCredential, CredentialWithKey};
use oplog::codec;
use oplog::payload::DeviceCert;
use oplog::{Digest, SecretKey, UserId};

use crate::error::Error;

/// This device, with the key that signs its leaves and commits.
#[derive(Clone, Debug)]
pub struct LocalDevice {
    cert: DeviceCert,
    mls_key: SecretKey,
}

impl LocalDevice {
    /// Pairs a certificate with its MLS key.
    ///
    /// # Errors
    /// [`Error::Damaged`] when the certificate names another key.
    pub fn new(cert: DeviceCert, mls_key: SecretKey) -> Result<Self, Error> {
        if cert.mls_key.as_bytes() == &mls_key.public() {
            Ok(Self { cert, mls_key })
        } else {
            Err(Error::Damaged {
                what: "the device's mls key",
            })
        }
    }

    /// Returns the certificate.
    #[must_use]
    pub const fn cert(&self) -> &DeviceCert {
        &self.cert
    }

    pub(crate) const fn mls_key(&self) -> &SecretKey {
        &self.mls_key
    }

    pub(crate) fn credential(&self) -> CredentialWithKey {
        CredentialWithKey {
            credential: BasicCredential::new(LeafName::of(&self.cert).encode()).into(),
            signature_key: self.mls_key.public().to_vec().into(),
        }
    }
}

/// The device certificates that accepted ops carry, by [`DeviceCert::hash`].
///
/// What is found is trusted: only certificates of accepted ops (signature checked, user a
/// member) belong in it. Whether a device is still authorised is not asked here (K2 does).
pub trait Certs {
    /// Returns the certificate with this hash.
    fn by_hash(&self, hash: &Digest) -> Option<&DeviceCert>;
}

impl Certs for BTreeMap<Digest, DeviceCert> {
    fn by_hash(&self, hash: &Digest) -> Option<&DeviceCert> {
        self.get(hash)
    }
}

/// Collects certificates under their hashes.
#[must_use]
pub fn cert_book<'a>(
    certs: impl IntoIterator<Item = &'a DeviceCert>,
) -> BTreeMap<Digest, DeviceCert> {
    let certs = certs.into_iter();
    certs.map(|cert| (cert.hash(), cert.clone())).collect()
}

/// Some certificates on top of others: those of a change that nobody else has seen yet.
pub(crate) struct MoreCerts<'a, C> {
    pub(crate) more: &'a BTreeMap<Digest, DeviceCert>,
    pub(crate) base: &'a C,
}

impl<C: Certs> Certs for MoreCerts<'_, C> {
    fn by_hash(&self, hash: &Digest) -> Option<&DeviceCert> {
        self.more.get(hash).or_else(|| self.base.by_hash(hash))
    }
}

/// What a leaf's BasicCredential says (B1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub(crate) struct LeafName {
    #[n(0)]
    pub(crate) user: UserId,
    #[n(1)]
    pub(crate) cert: Digest,
}

impl LeafName {
    pub(crate) fn of(cert: &DeviceCert) -> Self {
        Self {
            user: cert.user,
            cert: cert.hash(),
        }
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        codec::encode(self)
    }

    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        codec::decode_bounded("credential", bytes, 128).ok()
    }
}
