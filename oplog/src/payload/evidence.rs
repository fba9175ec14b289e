//! Payloads that bear witness: what a device signed twice, what more was seen of somebody removed,
//! which commit cannot be followed, what is final, and what admins do together.

use minicbor::bytes::ByteVec;
use minicbor::{Decode, Encode};

use super::control::{CUT_HEADS_MAX, ScopeCut, check_content_scope, check_cut};
use super::member::KEY_PACKAGE_BYTES_MAX;
use super::{Limit, Payload, Weight, limit};
use crate::codec::{self, is_sorted_set};
use crate::hash::H;
use crate::header::{HEADER_BYTES_MAX, Header, REFS_MAX};
use crate::hlc::Hlc;
use crate::ids::{DeviceId, Digest, EpochId, OpId, Signature, SpaceId, UserId};
use crate::keys;
use crate::kind::Kind;
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

/// One admin's word in a [`QuorumAct`].
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct QuorumSigner {
    /// Who.
    #[n(0)]
    pub user: UserId,
    /// Which device of theirs signed.
    #[n(1)]
    pub device: DeviceId,
    /// Over [`QuorumAct::message`].
    #[n(2)]
    pub sig: Signature,
}

/// What admins do together, against somebody senior or instead of an owner (A19).
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct QuorumAct {
    /// Control ops that the signers had seen, sorted.
    #[n(0)]
    pub frontier: Vec<OpId>,
    /// Number of the kind of what they do.
    #[n(1)]
    pub kind: u16,
    /// Its payload.
    #[n(2)]
    pub action: ByteVec,
    /// Random: the same act may be decided again.
    #[n(3)]
    pub nonce: Digest,
    /// Until when the signatures hold.
    #[n(4)]
    pub expires: Hlc,
    /// Who signed, sorted by user.
    #[n(5)]
    pub signers: Vec<QuorumSigner>,
}

impl QuorumAct {
    /// Returns what they do, `None` when no quorum may.
    #[must_use]
    pub fn action(&self) -> Option<Payload> {
        let kind = Kind::from_number(self.kind)?;
        let fit = matches!(
            kind,
            Kind::Kick
                | Kind::Ban
                | Kind::Unban
                | Kind::RoleSet
                | Kind::Mute
                | Kind::Unmute
                | Kind::ChannelUpdate
                | Kind::PolicySet
                | Kind::InviteRevoke
        );
        fit.then(|| Payload::decode(kind, &self.action).ok())?
    }

    /// Returns a hash of all that is decided, and of the device that may bring it into the log.
    ///
    /// It names that device, because its lane alone says whether it was used before: whoever reads
    /// the signatures could else place the act a second time, beside what came after it.
    #[must_use]
    pub fn digest(&self, space: &SpaceId, proposer: &DeviceId) -> Digest {
        let hash = H::new("quorum")
            .field(space.as_bytes())
            .field(proposer.as_bytes())
            .field(&codec::encode(&self.frontier))
            .field(&self.kind.to_be_bytes())
            .field(&self.action)
            .field(self.nonce.as_bytes())
            .field(&self.expires.as_raw().to_be_bytes());
        Digest::from_bytes(hash.finish())
    }

    /// Returns what each of them signs.
    #[must_use]
    pub fn message(&self, space: &SpaceId, proposer: &DeviceId) -> Vec<u8> {
        let digest = self.digest(space, proposer);
        [b"decent quorum v1".as_slice(), digest.as_bytes()].concat()
    }

    pub(super) fn check_limits(&self) -> Limit {
        limit(
            (1..=REFS_MAX).contains(&self.frontier.len()) && is_sorted_set(&self.frontier),
            "the frontier is empty, too long or not sorted",
        )?;
        limit(
            (2..=QUORUM_SIGNERS_MAX).contains(&self.signers.len())
                && self.signers.is_sorted_by(|a, b| a.user < b.user),
            "the signers are not sorted, or not 2 to 100",
        )?;
        limit(self.action().is_some(), "no quorum does this")
    }
}

/// Returns how many of these admins suffice: two thirds, at least two; to give a role from admin up,
/// all of them (A19).
#[must_use]
pub fn quorum_of(admins: usize, action: &Payload) -> usize {
    let gives = matches!(action, Payload::RoleSet(set) if set.weight >= Weight::ADMIN);
    let share = if gives {
        admins
    } else {
        admins.saturating_mul(2).div_ceil(3)
    };
    share.max(2)
}

/// Returns whom an action of a quorum is about, who has no vote in it.
#[must_use]
pub fn quorum_target(action: &Payload) -> Option<UserId> {
    if let Payload::Kick(p) | Payload::Ban(p) = action {
        Some(p.target)
    } else if let Payload::RoleSet(p) = action {
        Some(p.target)
    } else if let Payload::Mute(p) = action {
        Some(p.target)
    } else {
        None
    }
}

/// Most signatures on one act: more admins than a Space has.
const QUORUM_SIGNERS_MAX: usize = 100;
