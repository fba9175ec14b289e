//! Payloads about who belongs: the founding of a Space, members, devices.

use minicbor::bytes::ByteVec;
use minicbor::decode::{Decoder, Error as DecodeError};
use minicbor::encode::{Encoder, Error as EncodeError, Write};
use minicbor::{Decode, Encode};

use super::{Limit, limit};
use crate::hash::H;
use crate::hlc::Hlc;
use crate::ids::{DeviceId, Digest, OpId, Signature, UserId};
use crate::{codec, keys};

/// Longest name of a person, Space, channel or category, in bytes of UTF-8.
pub const NAME_BYTES_MAX: usize = 64;
/// Longest encoded [`DeviceCert`] in bytes.
pub const CERT_BYTES_MAX: usize = 512;
/// Longest MLS key package in bytes; ours have about 300.
pub const KEY_PACKAGE_BYTES_MAX: usize = 2 * 1024;
/// Most people one [`MemberAdd`] admits (B2).
pub const MEMBERS_PER_ADD_MAX: usize = 100;

/// How much someone may do: owner 100, quorum 90, admin 50, moderator 20, member 10, guest 5.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Weight(u8);

impl Weight {
    /// May read.
    pub const GUEST: Self = Self(5);
    /// May post.
    pub const MEMBER: Self = Self(10);
    /// May moderate.
    pub const MODERATOR: Self = Self(20);
    /// May govern.
    pub const ADMIN: Self = Self(50);
    /// Admins acting together.
    pub const QUORUM: Self = Self(90);
    /// May do everything.
    pub const OWNER: Self = Self(100);
    /// The weights that a role can have.
    pub const ROLES: [Self; 5] = [
        Self::GUEST,
        Self::MEMBER,
        Self::MODERATOR,
        Self::ADMIN,
        Self::OWNER,
    ];

    /// Wraps a number from 0 to 100; larger ones count as 100.
    #[must_use]
    pub const fn new(weight: u8) -> Self {
        Self(if weight > 100 { 100 } else { weight })
    }

    /// Returns the number.
    #[must_use]
    pub const fn get(self) -> u8 {
        self.0
    }

    /// Returns the role's name, `None` for weights that are no role.
    #[must_use]
    pub const fn role_name(self) -> Option<&'static str> {
        match self.0 {
            5 => Some("guest"),
            10 => Some("member"),
            20 => Some("moderator"),
            50 => Some("admin"),
            100 => Some("owner"),
            _ => None,
        }
    }
}

/// As people say it: `a moderator`, or `weight 37` when no role has it.
impl core::fmt::Display for Weight {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self.role_name() {
            Some(role @ ("admin" | "owner")) => write!(f, "an {role}"),
            Some(role) => write!(f, "a {role}"),
            None => write!(f, "weight {}", self.0),
        }
    }
}

impl<C> Encode<C> for Weight {
    fn encode<W: Write>(&self, e: &mut Encoder<W>, _: &mut C) -> Result<(), EncodeError<W::Error>> {
        e.u8(self.0)?.ok()
    }
}

impl<'b, C> Decode<'b, C> for Weight {
    fn decode(d: &mut Decoder<'b>, _: &mut C) -> Result<Self, DecodeError> {
        match d.u8()? {
            weight @ 0..=100 => Ok(Self(weight)),
            _ => Err(DecodeError::message("weight above 100")),
        }
    }
}

/// What a Space is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(index_only)]
pub enum SpaceKind {
    /// Channels, roles, moderation.
    #[n(0)]
    Community,
    /// A direct conversation; reserved.
    #[n(1)]
    Direct,
}

/// An identity key says: this device is mine.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct DeviceCert {
    /// The person.
    #[n(0)]
    pub user: UserId,
    /// The key that signs ops.
    #[n(1)]
    pub device: DeviceId,
    /// The key that signs MLS leaves and commits.
    #[n(2)]
    pub mls_key: Digest,
    /// The X25519 key to which Welcomes and bundles are sealed.
    #[n(3)]
    pub hpke_key: Digest,
    /// When the certificate was made.
    #[n(4)]
    pub created: Hlc,
    /// The name the person goes by.
    #[n(5)]
    pub name: String,
    /// Signature of the identity key over all of the above.
    #[n(6)]
    pub sig: Signature,
}

impl DeviceCert {
    /// Returns what the identity key signs.
    #[must_use]
    pub fn message(&self) -> Vec<u8> {
        let mut unsigned = self.clone();
        unsigned.sig = Signature::ZERO;
        let digest = H::new("device-cert")
            .field(&codec::encode(&unsigned))
            .finish();
        [b"decent cert v1".as_slice(), &digest].concat()
    }

    /// Returns whether the identity key signed this certificate.
    #[must_use]
    pub fn is_signed(&self) -> bool {
        keys::verify(self.user.as_bytes(), &self.message(), &self.sig).is_ok()
    }

    /// Returns the hash that an MLS credential carries.
    #[must_use]
    pub fn hash(&self) -> Digest {
        Digest::from_bytes(H::new("cert").field(&codec::encode(self)).finish())
    }

    pub(super) fn check_limits(&self) -> Limit {
        limit(self.name.len() <= NAME_BYTES_MAX, "the name is too long")?;
        limit(!self.name.is_empty(), "the name is empty")
    }
}

/// Founds a Space. Its header names no Space and no epoch: both ids come from it.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Genesis {
    /// The Space's first name.
    #[n(0)]
    pub name: String,
    /// What it is for.
    #[n(1)]
    pub kind: SpaceKind,
    /// Certifies the founder's device, which signs this op.
    #[n(2)]
    pub cert: DeviceCert,
    /// Random MLS group id; never the Space id, which stays unknown outside.
    #[n(3)]
    pub group_id: Digest,
    /// `H("rc", epoch root)` of the first epoch.
    #[n(4)]
    pub root_commit: Digest,
    /// Whether a quorum of admins may remove the owner.
    #[n(5)]
    pub owner_removable: bool,
    /// The founder's MLS leaf as a hash of its bytes, for the first roster.
    #[n(6)]
    pub leaf: Digest,
}

impl Genesis {
    pub(super) fn check_limits(&self) -> Limit {
        limit(
            !self.name.is_empty() && self.name.len() <= NAME_BYTES_MAX,
            "the name is empty or too long",
        )?;
        self.cert.check_limits()
    }
}

/// One person admitted by a [`MemberAdd`].
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct NewMember {
    /// The person and the device they come with.
    #[n(0)]
    pub cert: DeviceCert,
    /// The device's MLS key package, made for this join alone.
    #[n(1)]
    pub key_package: ByteVec,
    /// The role they get.
    #[n(2)]
    pub weight: Weight,
    /// By invite: the invite key's signature over [`NewMember::proof_message`].
    #[n(3)]
    pub proof: Option<Signature>,
}

impl NewMember {
    /// Returns what the invite's secret key signs, so that nobody else can come in on a join request.
    #[must_use]
    pub fn proof_message(invite_pk: &Digest, cert: &DeviceCert, key_package: &[u8]) -> Vec<u8> {
        let digest = H::new("join-proof")
            .field(invite_pk.as_bytes())
            .field(&codec::encode(cert))
            .field(key_package)
            .finish();
        [b"decent join v1".as_slice(), &digest].concat()
    }
}

/// Makes people members, by right or by a live invite.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct MemberAdd {
    /// Who; sorted by user, no user twice.
    #[n(0)]
    pub members: Vec<NewMember>,
    /// The invite they used.
    #[n(1)]
    pub invite: Option<OpId>,
}

impl MemberAdd {
    pub(super) fn check_limits(&self) -> Limit {
        limit(
            (1..=MEMBERS_PER_ADD_MAX).contains(&self.members.len()),
            "not 1 to 100 members",
        )?;
        limit(
            self.members.is_sorted_by(|a, b| a.cert.user < b.cert.user),
            "members are not sorted",
        )?;
        for member in &self.members {
            member.cert.check_limits()?;
            limit(
                member.key_package.len() <= KEY_PACKAGE_BYTES_MAX,
                "the key package is too long",
            )?;
            limit(
                member.proof.is_some() == self.invite.is_some(),
                "a proof goes with an invite",
            )?;
        }
        Ok(())
    }
}

/// Adds a device of the author, who signs from it or from another one.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct DeviceAdd {
    /// The new device.
    #[n(0)]
    pub cert: DeviceCert,
    /// Its MLS key package.
    #[n(1)]
    pub key_package: ByteVec,
    /// The identity key's signature over the op's [`binding`](crate::Header::binding), fresh for this op (A1).
    /// With it the author's device need not be in any roster.
    #[n(2)]
    pub identity_sig: Option<Signature>,
}

impl DeviceAdd {
    /// Returns what the identity key signs for an op with this binding.
    #[must_use]
    pub fn identity_message(binding: &Digest) -> Vec<u8> {
        [b"decent device v1".as_slice(), binding.as_bytes()].concat()
    }

    pub(super) fn check_limits(&self) -> Limit {
        self.cert.check_limits()?;
        limit(
            self.key_package.len() <= KEY_PACKAGE_BYTES_MAX,
            "the key package is too long",
        )
    }
}

/// A device asks to be taken out of the group and put in again with a fresh key package.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct ReaddRequest {
    /// The fresh key package.
    #[n(0)]
    pub key_package: ByteVec,
    /// Random; the Welcome that answers repeats it.
    #[n(1)]
    pub nonce: Digest,
}

impl ReaddRequest {
    pub(super) fn check_limits(&self) -> Limit {
        limit(
            self.key_package.len() <= KEY_PACKAGE_BYTES_MAX,
            "the key package is too long",
        )
    }
}
