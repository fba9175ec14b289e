//! What nodes tell each other through a relay beside ops: join requests, bundles for newcomers, heads.
//!
//! All of it is sealed before a relay sees it. Every type here is decoded from bytes
//! of others: canonical, bounded, and trusted in nothing (`docs/protocol.md` B12, B19).

use minicbor::bytes::{ByteArray, ByteVec};
use minicbor::{Decode, Encode};
use oplog::hash::H;
use oplog::payload::{Attachment, DeviceCert};
use oplog::{
    CodecError, DeviceId, Digest, EpochId, Lane, OpId, Scope, SecretKey, Signature, SpaceId, codec,
};

use crate::letters::Letter;

/// Longest join request in bytes.
pub(crate) const JOIN_REQUEST_BYTES_MAX: usize = 8 * 1024;
/// Longest bundle at all.
pub(crate) const BUNDLE_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Most ops that one request asks for (B12).
pub(crate) const WANT_IDS_MAX: usize = 256;
/// Most topic keys of earlier generations in a bundle.
pub(crate) const EARLIER_TOPICS_MAX: usize = 8;
/// Most lanes that one message about heads lists (B12).
pub(crate) const HAVE_LANES_MAX: usize = 4096;

/// Asks the members who are online to let somebody in. Sealed under the invite's join key.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub(crate) struct JoinRequest {
    /// Who asks, and with which device.
    #[n(0)]
    pub(crate) cert: DeviceCert,
    /// The device's key package, made for this request alone.
    #[n(1)]
    pub(crate) key_package: ByteVec,
    /// Where the answer goes: a mailbox's send id at `relay`.
    #[n(2)]
    pub(crate) reply_to: Digest,
    /// The relay that holds the mailbox.
    #[n(3)]
    pub(crate) relay: String,
    /// By invite: the invite key's signature over cert and key package.
    #[n(4)]
    pub(crate) proof: Option<Signature>,
    /// By a member who comes back: the op that says so. A DeviceAdd signed by their identity key, or
    /// the ReaddRequest of a device that lost its keys.
    #[n(5)]
    pub(crate) comes_back: Option<ByteVec>,
}

impl JoinRequest {
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, CodecError> {
        codec::decode_bounded("join request", bytes, JOIN_REQUEST_BYTES_MAX)
    }
}

/// What a newcomer gets. Sealed to the device's HPKE key.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub(crate) enum Mail {
    /// The bundle itself.
    #[n(0)]
    Bundle(#[n(0)] Box<JoinBundle>),
    /// Where the bundle lies, sealed, as a blob at the same relay.
    #[n(1)]
    Blob(#[n(0)] Attachment),
    /// The request was refused, and why.
    #[n(2)]
    Refused(#[n(0)] String),
}

/// Everything a newcomer needs to be a member.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub(crate) struct JoinBundle {
    /// Which Space.
    #[n(0)]
    pub(crate) space: SpaceId,
    /// Every control op up to and including the commit, parents first.
    #[n(1)]
    pub(crate) control: Vec<ByteVec>,
    /// The commit that adds the newcomer.
    #[n(2)]
    pub(crate) commit: OpId,
    /// The MLS Welcome.
    #[n(3)]
    pub(crate) welcome: ByteVec,
    /// The epoch whose root names the current tags.
    #[n(4)]
    pub(crate) generation: EpochId,
    /// The topic key of that generation.
    #[n(5)]
    pub(crate) topic: Digest,
    /// The newest content ops, as far as the channels' history policies allow, parents first.
    #[n(6)]
    pub(crate) content: Vec<ByteVec>,
    /// Relays of the Space.
    #[n(7)]
    pub(crate) relays: Vec<String>,
    /// Earlier generations whose tags are still listened to: where another branch parted before this one
    /// removed somebody, letters of it lie under them, and no others reach the newcomer.
    #[n(8)]
    #[cbor(default)]
    pub(crate) earlier: Vec<Topic>,
}

/// The topic key of a generation.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub(crate) struct Topic {
    #[n(0)]
    pub(crate) generation: EpochId,
    #[n(1)]
    pub(crate) key: Digest,
}

/// The beginning of an op's id: tells two ops at one position apart.
pub(crate) type Head8 = ByteArray<8>;

pub(crate) fn head8(id: &OpId) -> Head8 {
    let first = id.as_bytes().first_chunk().copied();
    ByteArray::from(first.unwrap_or_default())
}

/// The last op of a lane, or of one branch of a lane that has forked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
#[cbor(map)]
pub(crate) struct LaneHead {
    #[n(0)]
    pub(crate) device: DeviceId,
    #[n(1)]
    pub(crate) scope: Scope,
    #[n(2)]
    pub(crate) seq: u64,
    #[n(3)]
    pub(crate) head8: Head8,
}

impl LaneHead {
    pub(crate) const fn lane(&self) -> Lane {
        Lane {
            device: self.device,
            scope: self.scope,
        }
    }
}

/// Said among members, sealed like ops.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub(crate) enum Gossip {
    /// What the sender has: the head of every lane. Others give what it lacks, ask for what it has more,
    /// and count its own user among those who have seen the ops below.
    #[n(0)]
    Have(#[n(0)] Have),
    /// Ops the sender lacks and somebody named.
    #[n(1)]
    Want(#[n(0)] Vec<OpId>),
}

/// Heads, signed by the device that has them.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub(crate) struct Have {
    #[n(0)]
    pub(crate) device: DeviceId,
    /// Sorted; more than one of a lane that has forked.
    #[n(1)]
    pub(crate) lanes: Vec<LaneHead>,
    #[n(2)]
    pub(crate) sig: Signature,
}

impl Have {
    pub(crate) fn signed(space: &SpaceId, lanes: Vec<LaneHead>, device: &SecretKey) -> Self {
        let mut have = Self {
            device: DeviceId::from_bytes(device.public()),
            lanes,
            sig: Signature::ZERO,
        };
        have.sig = device.sign(&have.message(space));
        have
    }

    /// Returns whether the device it names signed it, for this Space.
    pub(crate) fn is_signed(&self, space: &SpaceId) -> bool {
        oplog::keys::verify(self.device.as_bytes(), &self.message(space), &self.sig).is_ok()
    }

    fn message(&self, space: &SpaceId) -> Vec<u8> {
        let digest = H::new("have")
            .field(space.as_bytes())
            .field(&codec::encode(&self.lanes))
            .finish();
        [b"decent have v1".as_slice(), &digest].concat()
    }

    /// Stands for what was said.
    pub(crate) fn lanes_digest(lanes: &[LaneHead]) -> Digest {
        let lanes = codec::encode(&lanes);
        Digest::from_bytes(H::new("lanes").field(&lanes).finish())
    }
}

impl Gossip {
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, CodecError> {
        let message: Self = codec::decode("gossip", bytes)?;
        let bounded = match &message {
            Self::Have(have) => {
                have.lanes.len() <= HAVE_LANES_MAX && codec::is_sorted_set(&have.lanes)
            }
            Self::Want(ids) => ids.len() <= WANT_IDS_MAX && codec::is_sorted_set(ids),
        };
        if !bounded {
            return Err(CodecError::Forbidden {
                what: "gossip",
                detail: "too many items, or not sorted",
            });
        }
        Ok(message)
    }
}

/// What an envelope holds once opened.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub(crate) enum Sealed {
    /// Ops, parents first.
    #[n(0)]
    Ops(#[n(0)] Vec<ByteVec>),
    /// [`Gossip`].
    #[n(1)]
    Gossip(#[n(0)] ByteVec),
    /// Control ops for those on another branch of the keys.
    #[n(2)]
    Letter(#[n(0)] Letter),
}
