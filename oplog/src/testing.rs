//! For tests of any crate: people, devices and Spaces made from a seed, and ops forged at will.
//!
//! Nothing here judges. [`TestSpace`] writes ops as an honest client would, unless
//! told otherwise, field by field; [`NaiveAuthority`] is an authority fold written to be
//! read, as slow as that makes it, for the log's own tests and as an oracle for `fold`.
//!
//! MLS does not take part: key packages and commits are made-up bytes, which is all that
//! acceptance looks at (A15).

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "of one key most payloads say nothing"
)]
mod naive;
mod space;

use crate::hash::H;
use crate::hlc::{Hlc, Timestamp};
use crate::ids::{DeviceId, Digest, UserId};
use crate::keys::SecretKey;
use crate::payload::DeviceCert;

pub use naive::{NaiveAuthority, NaiveView};
pub use space::{Draft, TestSpace, channel_create, invite, member_add, post};

/// When tests begin, unless they say otherwise: 2025-01-01 UTC.
pub const START: Timestamp = Timestamp::from_ms(1_735_689_600_000);

/// Someone with an identity key, made from a seed.
#[derive(Clone, Debug)]
pub struct Person {
    name: String,
    key: SecretKey,
}

impl Person {
    /// Makes a person; the same seed and name always give the same one.
    #[must_use]
    pub fn new(seed: u64, name: &str) -> Self {
        Self {
            name: name.to_owned(),
            key: secret_key("test-person", seed, name.as_bytes()),
        }
    }

    /// Returns who it is.
    #[must_use]
    pub fn id(&self) -> UserId {
        UserId::from_bytes(self.key.public())
    }

    /// Returns the identity key.
    #[must_use]
    pub const fn key(&self) -> &SecretKey {
        &self.key
    }

    /// Returns the person's `n`th device, certified.
    #[must_use]
    pub fn device(&self, n: u64) -> Device {
        let key = secret_key("test-device", n, self.id().as_bytes());
        self.certify(key, n)
    }

    /// Certifies any device key as this person's.
    #[must_use]
    pub fn certify(&self, key: SecretKey, n: u64) -> Device {
        let cert = DeviceCert {
            user: self.id(),
            device: DeviceId::from_bytes(key.public()),
            mls_key: digest("test-mls", n, &key.public()),
            hpke_key: digest("test-hpke", n, &key.public()),
            created: Hlc::from_wall(START),
            name: self.name.clone(),
            sig: crate::ids::Signature::ZERO,
        };
        let sig = self.key.sign(&cert.message());
        Device {
            identity: self.key.clone(),
            key,
            cert: DeviceCert { sig, ..cert },
            packages: 0,
        }
    }
}

/// A certified device with its keys and the key package it offers next.
#[derive(Clone, Debug)]
pub struct Device {
    identity: SecretKey,
    key: SecretKey,
    cert: DeviceCert,
    packages: u64,
}

impl Device {
    /// Returns its id.
    #[must_use]
    pub const fn id(&self) -> DeviceId {
        self.cert.device
    }

    /// Returns whose it is.
    #[must_use]
    pub const fn user(&self) -> UserId {
        self.cert.user
    }

    /// Returns its certificate.
    #[must_use]
    pub const fn cert(&self) -> &DeviceCert {
        &self.cert
    }

    /// Returns the key that signs its ops.
    #[must_use]
    pub const fn key(&self) -> &SecretKey {
        &self.key
    }

    /// Returns its person's identity key.
    #[must_use]
    pub const fn identity(&self) -> &SecretKey {
        &self.identity
    }

    /// Returns the bytes that stand for its key package.
    #[must_use]
    pub fn key_package(&self) -> Vec<u8> {
        let digest = digest("test-key-package", self.packages, self.id().as_bytes());
        digest.as_bytes().repeat(9)
    }

    /// Returns the hash of its key package, as rosters name it.
    #[must_use]
    pub fn key_package_hash(&self) -> Digest {
        key_package_hash(&self.key_package())
    }

    /// Returns the device with a fresh key package.
    #[must_use]
    pub fn renewed(mut self) -> Self {
        self.packages += 1;
        self
    }
}

/// Returns `H("key-package", bytes)`.
#[must_use]
pub fn key_package_hash(bytes: &[u8]) -> Digest {
    Digest::from_bytes(H::new("key-package").field(bytes).finish())
}

fn secret_key(domain: &str, seed: u64, of: &[u8]) -> SecretKey {
    SecretKey::from_seed(digest(domain, seed, of).as_bytes())
}

fn digest(domain: &str, seed: u64, of: &[u8]) -> Digest {
    let hash = H::new(domain).field(&seed.to_be_bytes()).field(of);
    Digest::from_bytes(hash.finish())
}
