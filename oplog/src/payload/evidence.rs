//! Payloads that bear witness: what a device signed twice, what more was seen of somebody removed,
//! which commit cannot be followed, and what is final.

use minicbor::bytes::ByteVec;
use minicbor::{Decode, Encode};

use super::control::{CUT_HEADS_MAX, ScopeCut, check_content_scope, check_cut};
use super::member::KEY_PACKAGE_BYTES_MAX;
use super::{Limit, limit};
use crate::header::{HEADER_BYTES_MAX, Header};
use crate::ids::{DeviceId, Digest, EpochId, OpId, Signature};
use crate::keys;
use crate::op::signed_message;

/// The signed part of an op, without its payload.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
#[cbor(map)]
pub struct SignedHeader {
    /// The header's bytes.
    #[n(0)]
    pub header: ByteVec,
    /// The device's signature over their id.
    #[n(1)]
    pub sig: Signature,
}

impl SignedHeader {
    /// Returns the id that the op has.
    #[must_use]
    pub fn id(&self) -> OpId {
        OpId::of_header(&self.header)
    }

    /// Returns the header, `None` when its bytes are none or the device did not sign them: S0, as
    /// far as it can be judged without the payload.
    #[must_use]
    pub fn verify(&self) -> Option<Header> {
        let header = Header::decode(&self.header).ok()?;
        let message = signed_message(&self.id());
        keys::verify(header.device.as_bytes(), &message, &self.sig).ok()?;
        Some(header)
    }
}

/// Proves that a device signed two ops for one place of a lane, and freezes it (B11).
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct EquivocationProof {
    /// One of them; the one whose bytes are smaller.
    #[n(0)]
    pub first: SignedHeader,
    /// The other.
    #[n(1)]
    pub second: SignedHeader,
    /// What of the device the author had seen, sorted by scope; of the control plane too, and more
    /// than one head where a lane forked.
    #[n(2)]
    pub cut: Vec<ScopeCut>,
}

impl EquivocationProof {
    /// Returns the device that it freezes, as far as the bytes of the first header tell one.
    #[must_use]
    pub fn device(&self) -> Option<DeviceId> {
        Header::decode(&self.first.header).ok().map(|h| h.device)
    }

    pub(super) fn check_limits(&self) -> Limit {
        let headers = [&self.first, &self.second];
        limit(
            headers.iter().all(|h| h.header.len() <= HEADER_BYTES_MAX),
            "a header is too long",
        )?;
        limit(
            self.first.header < self.second.header,
            "the headers are equal or not sorted",
        )?;
        check_cut(&self.cut)
    }
}

/// Adds to what a removal's author had seen of whom they removed (A13).
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct CutAttest {
    /// The removal, of a person or a device.
    #[n(0)]
    pub removal: OpId,
    /// What else was seen, sorted by scope; several heads of a device where its lane forked.
    #[n(1)]
    pub cut: Vec<ScopeCut>,
}

impl CutAttest {
    pub(super) fn check_limits(&self) -> Limit {
        limit(!self.cut.is_empty(), "it attests nothing")?;
        check_cut(&self.cut)?;
        self.cut.iter().try_for_each(check_content_scope)
    }
}

/// Says that a commit cannot be followed: its path does not decrypt, or its epoch has another root
/// than it says (A3). Asks to be added again, as a [`ReaddRequest`](super::ReaddRequest) does.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct CommitComplaint {
    /// The epoch that the commit begins; the header names its parent.
    #[n(0)]
    pub epoch: EpochId,
    /// A fresh key package.
    #[n(1)]
    pub key_package: ByteVec,
    /// Random; the Welcome that answers repeats it.
    #[n(2)]
    pub nonce: Digest,
}

impl CommitComplaint {
    pub(super) fn check_limits(&self) -> Limit {
        limit(
            self.key_package.len() <= KEY_PACKAGE_BYTES_MAX,
            "the key package is too long",
        )
    }
}

/// What stays of somebody removed, for good: everything else of theirs in these scopes is refused.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Closure {
    /// The removal that is closed.
    #[n(0)]
    pub removal: OpId,
    /// At least everything that cut and attests named, sorted by scope.
    #[n(1)]
    pub cut: Vec<ScopeCut>,
}

/// Makes the past final: the epoch from which the canonical branch is sought, and what of the
/// removed still counts (B9).
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Seal {
    /// The epoch.
    #[n(0)]
    pub epoch: EpochId,
    /// Hash of the group's public state there, as a sealed blob.
    #[n(1)]
    pub public_state: Digest,
    /// Removals that it closes, sorted by removal.
    #[n(2)]
    pub closures: Vec<Closure>,
    /// Root of the manifest of bundled history; reserved.
    #[n(3)]
    pub strata: Option<Digest>,
}

impl Seal {
    pub(super) fn check_limits(&self) -> Limit {
        let closures = &self.closures;
        limit(
            closures.is_sorted_by(|a, b| a.removal < b.removal),
            "the closures are not sorted",
        )?;
        let scopes = closures.iter().flat_map(|closure| &closure.cut);
        let heads: usize = scopes.map(|scope| scope.heads.len() + 1).sum();
        limit(
            closures.len() <= CUT_HEADS_MAX && heads <= CUT_HEADS_MAX,
            "the closures are too long",
        )?;
        for closure in closures {
            limit(!closure.cut.is_empty(), "a closure closes nothing")?;
            check_cut(&closure.cut)?;
            closure.cut.iter().try_for_each(check_content_scope)?;
        }
        limit(self.strata.is_none(), "bundled history is not built yet")
    }
}
