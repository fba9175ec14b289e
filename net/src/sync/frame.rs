//! The frames of a session, as canonical CBOR with measured lists.

use minicbor::bytes::{ByteArray, ByteVec};
use minicbor::decode::{Decoder, Error as DecodeError};
use minicbor::{Decode, Encode};
use oplog::codec;
use oplog::{CodecError, DeviceId, Digest, EpochId, OP_BYTES_MAX, OpId, Scope, Signature, SpaceId};

use crate::neg::NegError;
use crate::sync::{BATCH_OPS_MAX, HEADS_MAX, INTERESTS_MAX, LANES_MAX, SCOPES_MAX, WANT_IDS_MAX};
use crate::wire::NEG_FRAME_BYTES_MAX;
use crate::wire::list;

/// The version of these frames.
pub const SYNC_VERSION: u8 = 1;
/// Longest frame in bytes: a batch with one op of the longest kind.
pub const FRAME_BYTES_MAX: usize = OP_BYTES_MAX + 64 * 1024;

/// A salted interest: means something only to who holds the same key.
pub(super) type Salted = ByteArray<16>;
/// The first bytes of an id, enough to tell the devices of one scope apart.
pub(super) type Short = ByteArray<8>;

#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub(super) enum Frame {
    #[n(0)]
    Open {
        #[n(0)]
        version: u8,
        #[n(1)]
        nonce: Digest,
    },
    #[n(1)]
    Hello {
        #[cbor(n(0), decode_with = "list::<_, INTERESTS_MAX, _>")]
        interests: Vec<Salted>,
    },
    #[n(2)]
    Auth {
        #[cbor(n(0), decode_with = "list::<_, INTERESTS_MAX, _>")]
        claims: Vec<Claim>,
    },
    /// What the sender has of the control plane. The responder's comes after what it gave.
    #[n(3)]
    CtlHave {
        #[n(0)]
        space: SpaceId,
        /// Sorted; empty when there are too many, or when the peer may not know them.
        #[cbor(n(1), decode_with = "list::<_, HEADS_MAX, _>")]
        heads: Vec<OpId>,
        #[n(2)]
        have: ScopeHave,
        /// From the responder: there is more to give, ask again.
        #[n(3)]
        again: bool,
    },
    /// What the sender has of some channels.
    #[n(4)]
    ChanHave {
        #[n(0)]
        space: SpaceId,
        #[cbor(n(1), decode_with = "list::<_, SCOPES_MAX, _>")]
        scopes: Vec<ScopeHave>,
        /// From the initiator: where this page stands.
        #[n(2)]
        page: Page,
        /// From the responder: there is more to give, ask again.
        #[n(3)]
        again: bool,
        /// From the responder: you are not a member here.
        #[n(4)]
        refused: bool,
    },
    #[n(5)]
    Neg {
        #[n(0)]
        space: SpaceId,
        #[n(1)]
        scope: Scope,
        /// Empty from the responder: it cannot reconcile this.
        #[cbor(n(2), decode_with = "neg_bytes")]
        frame: ByteVec,
    },
    /// Asks for ops; answered by ops and `Given` once `more` is false.
    #[n(6)]
    WantOps {
        #[n(0)]
        space: SpaceId,
        #[cbor(n(1), decode_with = "list::<_, WANT_IDS_MAX, _>")]
        ids: Vec<OpId>,
        #[n(2)]
        more: bool,
    },
    #[n(7)]
    Ops {
        #[n(0)]
        space: SpaceId,
        #[cbor(n(1), decode_with = "list::<_, BATCH_OPS_MAX, _>")]
        ops: Vec<ByteVec>,
    },
    #[n(8)]
    OpsAck,
    #[n(9)]
    Given {
        #[n(0)]
        space: SpaceId,
    },
    #[n(10)]
    Done,
}

/// Where a page of channels stands among the pages of one round.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(index_only)]
pub(super) enum Page {
    #[n(0)]
    First,
    #[n(1)]
    Middle,
    #[n(2)]
    Last,
    /// First and last.
    #[n(3)]
    Only,
}

impl Page {
    pub(super) const fn new(first: bool, last: bool) -> Self {
        match (first, last) {
            (true, true) => Self::Only,
            (true, false) => Self::First,
            (false, true) => Self::Last,
            (false, false) => Self::Middle,
        }
    }

    pub(super) const fn is_first(self) -> bool {
        matches!(self, Self::First | Self::Only)
    }

    pub(super) const fn is_last(self) -> bool {
        matches!(self, Self::Last | Self::Only)
    }
}

/// "I am this device of that Space, and hold the key of this interest."
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub(super) struct Claim {
    /// An interest that either side offered.
    #[n(0)]
    pub(super) interest: Salted,
    #[n(1)]
    pub(super) device: DeviceId,
    /// Under the interest's key, over role, transcript and device.
    #[n(2)]
    pub(super) proof: Digest,
    /// By the device's key, over the same.
    #[n(3)]
    pub(super) sig: Signature,
}

/// What the sender has of a scope.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub(super) struct ScopeHave {
    #[n(0)]
    pub(super) scope: Scope,
    /// Lanes cannot tell the difference: reconcile.
    #[n(1)]
    pub(super) reconcile: bool,
    #[cbor(n(2), decode_with = "list::<_, LANES_MAX, _>")]
    pub(super) lanes: Vec<LaneHave>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub(super) struct LaneHave {
    #[n(0)]
    pub(super) device: Short,
    #[n(1)]
    pub(super) min: u64,
    #[n(2)]
    pub(super) max: u64,
    #[n(3)]
    pub(super) head: Short,
    #[n(4)]
    pub(super) dense: bool,
}

impl Frame {
    pub(super) fn encode(&self) -> Vec<u8> {
        codec::encode(self)
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, CodecError> {
        let frame: Self = codec::decode_bounded("sync frame", bytes, FRAME_BYTES_MAX)?;
        let lanes = |scopes: &[ScopeHave]| scopes.iter().map(|s| s.lanes.len()).sum::<usize>();
        if matches!(&frame, Self::ChanHave { scopes, .. } if lanes(scopes) > LANES_MAX) {
            return Err(CodecError::Forbidden {
                what: "sync frame",
                detail: "too many lanes",
            });
        }
        Ok(frame)
    }
}

/// Returns the first bytes of an id.
pub(super) fn short(id: &[u8; 32]) -> Short {
    let mut out = [0; 8];
    out.copy_from_slice(id.split_at(8).0);
    out.into()
}

/// Says which epoch a key belongs to, for MACs.
pub(super) fn epoch_field(epoch: &EpochId) -> &[u8] {
    epoch.as_bytes()
}

/// Returns whether a reconciliation failed by the peer's fault.
pub(super) const fn is_malformed(error: &NegError) -> bool {
    matches!(error, NegError::Malformed(_) | NegError::Endless)
}

fn neg_bytes<C>(d: &mut Decoder<'_>, _: &mut C) -> Result<ByteVec, DecodeError> {
    let bytes = d.bytes()?;
    if bytes.len() > NEG_FRAME_BYTES_MAX {
        return Err(DecodeError::message("too many bytes"));
    }
    Ok(bytes.to_vec().into())
}
