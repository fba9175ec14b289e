//! Identifiers: newtypes without arithmetic, ordered bytewise, shown in hex.
//!
//! Every id is a hash or a public key, so that holding the thing is enough to
//! recompute its name (`docs/protocol.md` B1). Nothing here derives one from
//! the other except where B1 says so.

use core::fmt;
use core::str::FromStr;

use minicbor::decode::{Decoder, Error as DecodeError};
use minicbor::encode::{Encoder, Error as EncodeError, Write};

use crate::hash::{hash, hash16};
use data_encoding::HEXLOWER_PERMISSIVE;

/// Text that is not the hex of an id.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a {kind}: expected {expected} hex digits")]
pub struct ParseIdError {
    /// The name of the id that was asked for.
    pub kind: &'static str,
    /// How many hex digits its text form has.
    pub expected: usize,
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $len:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name([u8; $len]);

        impl $name {
            /// Bytes of this id.
            pub const LEN: usize = $len;
            /// All zero: stands for "none yet" where the format says so.
            pub const ZERO: Self = Self([0; $len]);

            /// Wraps raw bytes.
            #[must_use]
            pub const fn from_bytes(bytes: [u8; $len]) -> Self {
                Self(bytes)
            }

            /// Returns the raw bytes.
            #[must_use]
            pub const fn as_bytes(&self) -> &[u8; $len] {
                &self.0
            }

            /// Returns the first eight hex digits, for logs and lists.
            #[must_use]
            pub fn short(&self) -> String {
                let mut text = self.to_string();
                text.truncate(8);
                text
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&HEXLOWER_PERMISSIVE.encode(&self.0))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({})", stringify!($name), self.short())
            }
        }

        impl FromStr for $name {
            type Err = ParseIdError;

            fn from_str(text: &str) -> Result<Self, ParseIdError> {
                let wrong = ParseIdError { kind: stringify!($name), expected: 2 * $len };
                let bytes = HEXLOWER_PERMISSIVE.decode(text.as_bytes()).ok();
                bytes.and_then(|b| <[u8; $len]>::try_from(b).ok()).map(Self).ok_or(wrong)
            }
        }

        $crate::fixed_bytes!($name, $len);
    };
}

id!(
    /// A person: the Ed25519 identity public key.
    UserId, 32
);
id!(
    /// A device: its Ed25519 public key. Ops are signed by devices.
    DeviceId, 32
);
id!(
    /// A Space: `H("space", header of its Genesis)`; certifies itself.
    SpaceId, 32
);
id!(
    /// An op: `H("op", header bytes)`. The signature is not part of it.
    OpId, 32
);
id!(
    /// An MLS epoch: `H("epoch", id of the commit op)`; the number is only a label.
    EpochId, 32
);
id!(
    /// A channel: the first 16 bytes of the op that created it.
    ChannelId, 16
);
id!(
    /// A sealed chunk or manifest: BLAKE3 of the sealed bytes.
    BlobId, 32
);
id!(
    /// Where an envelope is filed at a relay: `H("tag", pk)[..16]`.
    Tag, 16
);
id!(
    /// A 32-byte digest that names no object of its own.
    Digest, 32
);
id!(
    /// A detached Ed25519 signature.
    Signature, 64
);

impl OpId {
    /// The id of an op whose header has these bytes.
    #[must_use]
    pub fn of_header(header: &[u8]) -> Self {
        Self(hash("op", &[header]))
    }
}

impl SpaceId {
    /// The Space that a Genesis header with these bytes founds.
    #[must_use]
    pub fn of_genesis(header: &[u8]) -> Self {
        Self(hash("space", &[header]))
    }
}

impl EpochId {
    /// The epoch that a commit op begins.
    #[must_use]
    pub fn of_commit(commit: &OpId) -> Self {
        Self(hash("epoch", &[commit.as_bytes()]))
    }

    /// The first epoch of a Space.
    #[must_use]
    pub fn genesis(space: &SpaceId) -> Self {
        Self(hash("epoch", &[space.as_bytes()]))
    }
}

impl ChannelId {
    /// The channel that this op creates.
    #[must_use]
    pub fn of_create(op: &OpId) -> Self {
        let mut bytes = [0; 16];
        bytes.copy_from_slice(op.as_bytes().split_at(16).0);
        Self(bytes)
    }
}

impl BlobId {
    /// The id of these sealed bytes.
    #[must_use]
    pub fn of_sealed(sealed: &[u8]) -> Self {
        Self(*blake3::hash(sealed).as_bytes())
    }
}

impl Tag {
    /// The tag that only the holder of `pk`'s secret key may write to.
    #[must_use]
    pub fn of_key(pk: &[u8; 32]) -> Self {
        Self(hash16("tag", &[pk]))
    }
}

/// Where an op belongs: the control plane, or one channel.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// Membership, roles, channels, epochs. Encoded as the integer 0.
    Control,
    /// What people say in one channel. Encoded as its 16 bytes.
    Channel(ChannelId),
}

impl Scope {
    /// Returns the channel, unless this is the control plane.
    #[must_use]
    pub const fn channel(&self) -> Option<ChannelId> {
        match self {
            Self::Control => None,
            Self::Channel(id) => Some(*id),
        }
    }

    /// Returns the bytes that stand for this scope inside key derivations: empty for control.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Control => &[],
            Self::Channel(id) => id.as_bytes(),
        }
    }
}

impl fmt::Debug for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Control => f.write_str("control"),
            Self::Channel(id) => write!(f, "{id:?}"),
        }
    }
}

impl<C> minicbor::Encode<C> for Scope {
    fn encode<W: Write>(
        &self,
        e: &mut Encoder<W>,
        ctx: &mut C,
    ) -> Result<(), EncodeError<W::Error>> {
        match self {
            Self::Control => e.u8(0)?.ok(),
            Self::Channel(id) => id.encode(e, ctx),
        }
    }
}

impl<'b, C> minicbor::Decode<'b, C> for Scope {
    fn decode(d: &mut Decoder<'b>, ctx: &mut C) -> Result<Self, DecodeError> {
        if d.datatype()? == minicbor::data::Type::Bytes {
            return ChannelId::decode(d, ctx).map(Self::Channel);
        }
        match d.u8()? {
            0 => Ok(Self::Control),
            _ => Err(DecodeError::message("scope is neither 0 nor a channel id")),
        }
    }
}

/// One author's chain of ops in one scope: the op with `seq` n points back to n − 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Lane {
    /// Whose ops.
    pub device: DeviceId,
    /// Where.
    pub scope: Scope,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_round_trip_as_text_and_refuse_anything_else() {
        let id = OpId::of_header(b"x");
        assert_eq!(id.to_string().parse::<OpId>(), Ok(id));
        for bad in ["", "zz", &id.short(), &format!("{id}00")] {
            assert!(bad.parse::<OpId>().is_err(), "{bad:?}");
        }
    }
}
