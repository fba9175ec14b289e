//! The name of a relay, without libp2p: its Ed25519 public key.

use core::fmt;
use core::str::FromStr;

use oplog::{Digest, ParseIdError};

/// A relay's identity key; a connection to anyone else fails. Shown in hex.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct RelayId([u8; 32]);

impl RelayId {
    /// Wraps a public key.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Returns the public key.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Returns the first eight hex digits, for logs and lists.
    #[must_use]
    pub fn short(&self) -> String {
        Digest::from_bytes(self.0).short()
    }
}

impl fmt::Display for RelayId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Digest::from_bytes(self.0).fmt(f)
    }
}

impl fmt::Debug for RelayId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RelayId({})", self.short())
    }
}

impl FromStr for RelayId {
    type Err = ParseIdError;

    fn from_str(text: &str) -> Result<Self, ParseIdError> {
        let digest: Digest = text.parse().map_err(|e: ParseIdError| ParseIdError {
            kind: "RelayId",
            ..e
        })?;
        Ok(Self(*digest.as_bytes()))
    }
}
