//! Key packages: one made for each join, device-add or re-add request, used once, then erased.
//!
//! They are marked `last_resort` only so that OpenMLS keeps the init key when a Welcome is
//! processed: two branches may each add the device with the same one (B1, B5). Ours are still
//! offered once only.

use core::fmt;

use minicbor::{Decode, Encode};
use openmls::prelude::{ExtensionType, KeyPackage, KeyPackageIn, ProtocolVersion};
use openmls_traits::OpenMlsProvider as _;
use openmls_traits::crypto::OpenMlsCrypto;
use oplog::hash::H;
use oplog::payload::{DeviceCert, KEY_PACKAGE_BYTES_MAX};
use oplog::{Digest, codec};
use rand_core::CryptoRng;
use tls_codec::{Deserialize as _, Serialize as _};
use zeroize::Zeroizing;

use crate::device::{Certs, LocalDevice, cert_book};
use crate::error::{Error, Refusal};
use crate::leaf::{Leaf, capabilities, check_encoded_key, check_leaf, lifetime};
use crate::provider::{CIPHERSUITE, MlsSigner, Provider};
use crate::state::{Rows, pack, read, unpack};

/// The private half of a key package. Kept until its Welcomes can no longer come, then erased.
#[derive(Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct KeyPackageSecret {
    #[n(0)]
    digest: Digest,
    #[n(1)]
    pub(crate) rows: Rows,
}

impl KeyPackageSecret {
    /// Returns the hash of the public half: [`key_package_digest`].
    #[must_use]
    pub const fn digest(&self) -> &Digest {
        &self.digest
    }

    /// Returns the bytes to be sealed and stored. They are secret.
    #[must_use]
    pub fn encode(&self) -> Zeroizing<Vec<u8>> {
        pack(&Zeroizing::new(codec::encode(self)))
    }

    /// Reads [`KeyPackageSecret::encode`] back.
    ///
    /// # Errors
    /// [`Error::Damaged`] when the bytes are no such secret.
    pub fn decode(bytes: &[u8]) -> Result<Self, Error> {
        read(&unpack(bytes)?)
    }
}

impl fmt::Debug for KeyPackageSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyPackageSecret({})", self.digest.short())
    }
}

/// Returns `H("key-package", bytes)`: how rosters and deltas name a key package.
#[must_use]
pub fn key_package_digest(bytes: &[u8]) -> Digest {
    Digest::from_bytes(H::new("key-package").field(bytes).finish())
}

/// Makes a key package of this device (about 400 bytes) and the secret that goes with it.
///
/// # Errors
/// [`Error::Internal`] only.
pub fn key_package(
    me: &LocalDevice,
    rng: &mut impl CryptoRng,
) -> Result<(Vec<u8>, KeyPackageSecret), Error> {
    let provider = Provider::new(&Rows::default(), rng);
    let bundle = KeyPackage::builder()
        .key_package_lifetime(lifetime())
        .leaf_node_capabilities(capabilities())
        .mark_as_last_resort()
        .build(
            CIPHERSUITE,
            &provider,
            &MlsSigner(me.mls_key()),
            me.credential(),
        )
        .map_err(internal)?;
    let bytes = bundle
        .key_package()
        .tls_serialize_detached()
        .map_err(internal)?;
    let digest = key_package_digest(&bytes);
    let rows = provider.into_rows();
    Ok((bytes, KeyPackageSecret { digest, rows }))
}

/// Checks that a key package is one that a commit could add for this device, and returns its
/// [`key_package_digest`].
///
/// # Errors
/// [`Refusal`] by B1 (form, lifetime), C.2 (credential and signature key are the certificate's)
/// or A21 (weak X25519 keys).
pub fn check_key_package(bytes: &[u8], cert: &DeviceCert) -> Result<Digest, Refusal> {
    open_key_package(bytes, cert)?;
    Ok(key_package_digest(bytes))
}

pub(crate) fn open_key_package(bytes: &[u8], cert: &DeviceCert) -> Result<KeyPackage, Refusal> {
    const WHAT: &str = "key package";
    if bytes.len() > KEY_PACKAGE_BYTES_MAX {
        return Err(Refusal::TooLong {
            what: WHAT,
            len: bytes.len(),
            max: KEY_PACKAGE_BYTES_MAX,
        });
    }
    let package = KeyPackageIn::tls_deserialize_exact(bytes)
        .map_err(|_cause| Refusal::Malformed { what: WHAT })?;
    let provider = Provider::without_randomness(&Rows::default());
    let package = validate(package, provider.crypto())?;
    let leaf = check_form(&package, &cert_book([cert]))?;
    if leaf.device == cert.device {
        Ok(package)
    } else {
        Err(Refusal::KeyPackageOwner {
            expected: cert.device,
        })
    }
}

/// Signatures, version, lifetime. The wall clock that OpenMLS reads here decides nothing: only
/// the lifetime of all time passes [`check_form`], and it is current on every clock.
fn validate(package: KeyPackageIn, crypto: &impl OpenMlsCrypto) -> Result<KeyPackage, Refusal> {
    package
        .validate(crypto, ProtocolVersion::Mls10)
        .map_err(|e| Refusal::Invalid {
            detail: e.to_string(),
        })
}

/// What every key package must be like, whether it comes by itself or in a commit.
pub(crate) fn check_form(package: &KeyPackage, certs: &impl Certs) -> Result<Leaf, Refusal> {
    let extensions = package.extensions().iter().map(|e| e.extension_type());
    let expected = [ExtensionType::LastResort];
    if package.ciphersuite() != CIPHERSUITE || !extensions.eq(expected) {
        return Err(Refusal::KeyPackageForm);
    }
    check_encoded_key(package.hpke_init_key().tls_serialize_detached())?;
    check_encoded_key(
        package
            .leaf_node()
            .encryption_key()
            .tls_serialize_detached(),
    )?;
    check_leaf(u32::MAX, package.leaf_node(), certs)
}

fn internal(error: impl fmt::Display) -> Error {
    Error::Internal {
        detail: error.to_string(),
    }
}
