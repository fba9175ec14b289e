//! Why an op is not accepted.

use crate::codec::CodecError;
use crate::hlc::Hlc;
use crate::ids::{ChannelId, DeviceId, EpochId, OpId, SpaceId, UserId};
use crate::kind::Kind;
use crate::payload::{Verb, Weight};
use crate::store::StoreError;

use super::Rule;

/// Why an op is not accepted. Every variant but [`AcceptError::Store`] names the rule it breaks.
///
/// All verdicts follow from the op and its causal past alone, so every replica reaches the same
/// one; [`AcceptError::is_verdict`] tells them from what only this delivery or this disk is to blame for.
#[derive(Debug, thiserror::Error)]
pub enum AcceptError {
    /// S0. It was sent to the wrong log.
    #[error("it belongs to space {space}")]
    OtherSpace {
        /// Where it belongs.
        space: SpaceId,
    },
    /// S0. A limit of the format is broken; decoding from the wire finds this first.
    #[error("the header breaks a limit")]
    Limit(#[source] CodecError),
    /// S0. Somebody stripped the payload of a control op. The op itself may be fine.
    #[error("a control op came without its payload")]
    PayloadMissing,
    /// S1. What it builds on is invalid.
    #[error("it names {dep}, which is invalid")]
    DependsOnInvalid {
        /// The first invalid op it names.
        dep: OpId,
    },
    /// S1. It names a content op as control head, or a control op as content.
    #[error("it names {dep} in the wrong plane")]
    WrongPlane {
        /// What it names wrongly.
        dep: OpId,
    },
    /// The op was refused before; the rule it broke then.
    #[error("refused before, by {rule}")]
    RefusedBefore {
        /// The rule it broke.
        rule: Rule,
    },
    /// R1. It is not the next op of its lane after `back`.
    #[error("it does not continue its lane at {seq}")]
    BrokenLane {
        /// The position it claims.
        seq: u64,
    },
    /// R2. Its time is not after that of an op it names.
    #[error("its time {hlc} is not after {floor}")]
    NotAfter {
        /// The time it claims.
        hlc: Hlc,
        /// The greatest time among what it names.
        floor: Hlc,
    },
    /// R2. Its time lies more than 366 days after everything it names.
    #[error("its time {hlc} is too far after {floor}")]
    TooFarAhead {
        /// The time it claims.
        hlc: Hlc,
        /// The greatest time among what it names.
        floor: Hlc,
    },
    /// R3. It claims not to have seen control ops that `dep` had seen.
    #[error("it forgets control ops that {dep} had seen")]
    Forgets {
        /// The earlier op.
        dep: OpId,
    },
    /// R4. Its author is no member as far as the op has seen.
    #[error("{user} is not a member")]
    NotMember {
        /// The author.
        user: UserId,
    },
    /// R4. Its device is not certified for its author, or is revoked.
    #[error("device {device} does not belong to {user}")]
    NotTheirDevice {
        /// The author.
        user: UserId,
        /// The device.
        device: DeviceId,
    },
    /// R5. The op that began its epoch is not in its past.
    #[error("epoch {epoch} is not in its past")]
    UnseenEpoch {
        /// The epoch it names.
        epoch: EpochId,
    },
    /// R5. The device is not in the group of that epoch.
    #[error("device {device} is not in the group of epoch {epoch}")]
    NotInRoster {
        /// The device.
        device: DeviceId,
        /// The epoch it names.
        epoch: EpochId,
    },
    /// R6. The author's weight is too small.
    #[error("to {verb} takes {needs}, and the author is {has}")]
    NotPermitted {
        /// What for.
        verb: Verb,
        /// The least weight.
        needs: Weight,
        /// The author's.
        has: Weight,
    },
    /// R6. The author does not outrank whom they act on.
    #[error("the author does not outrank {target}")]
    RankTooLow {
        /// Whom they act on.
        target: UserId,
    },
    /// R6. Nobody gives more than they have, nor more than their role may give.
    #[error("may not make anybody {weight}")]
    GrantTooHigh {
        /// What was given.
        weight: Weight,
    },
    /// R6. Too few admins signed.
    #[error("{has} of {needs} signatures")]
    NoQuorum {
        /// How many did.
        has: usize,
        /// How many must.
        needs: usize,
    },
    /// R6. Only an owner may do this.
    #[error("only an owner may do this")]
    OwnersOnly,
    /// R6. A Space keeps an owner.
    #[error("the only owner may not go")]
    LastOwner,
    /// R6. The author is muted.
    #[error("muted by {by}")]
    Muted {
        /// The op that muted.
        by: OpId,
    },
    /// R6. There is no such channel.
    #[error("channel {channel} does not exist")]
    NoChannel {
        /// The channel.
        channel: ChannelId,
    },
    /// R6. The channel is archived.
    #[error("channel {channel} is archived")]
    Archived {
        /// The channel.
        channel: ChannelId,
    },
    /// R6. The invite is unknown, void or revoked.
    #[error("invite {invite} is not live")]
    InviteNotLive {
        /// The invite.
        invite: OpId,
    },
    /// R6. The invite has ended.
    #[error("invite {invite} has expired")]
    InviteExpired {
        /// The invite.
        invite: OpId,
    },
    /// R7. The lane is too fast.
    #[error("the lane is too fast")]
    TooFast,
    /// R8. The payload is not one of its kind.
    #[error("the payload is malformed")]
    Payload(#[source] CodecError),
    /// R8. A control kind in a channel, or a content kind in the control plane.
    #[error("{kind} does not belong in this scope")]
    WrongScope {
        /// What it does.
        kind: Kind,
    },
    /// R8. A founding op of another shape than B1 demands.
    #[error("not a founding op: {detail}")]
    BadGenesis {
        /// What is wrong with it.
        detail: &'static str,
    },
    /// R8. It acts on exactly one op and names another number of them.
    #[error("{kind} names one op, not {named}")]
    NotOneTarget {
        /// What it does.
        kind: Kind,
        /// How many it names.
        named: usize,
    },
    /// R8. Content names only content of its channel.
    #[error("it names {dep} of another channel")]
    OtherChannel {
        /// What it names.
        dep: OpId,
    },
    /// R8. Its target is not what its kind acts on.
    #[error("{kind} does not act on the kind of op that {target} is")]
    WrongTarget {
        /// What it does.
        kind: Kind,
        /// What it names.
        target: OpId,
    },
    /// R8. Only the author of the target may do this.
    #[error("{target} is somebody else's")]
    NotOwn {
        /// What it names.
        target: OpId,
    },
    /// R8. The certificate is not signed by its person, or not of the author.
    #[error("the certificate of device {device} does not hold")]
    BadCertificate {
        /// The device.
        device: DeviceId,
    },
    /// R8. A signature inside the payload does not hold.
    #[error("a proof inside the payload does not hold")]
    BadProof,
    /// R8. The device is taken already.
    #[error("device {device} is certified already")]
    DeviceTaken {
        /// The device.
        device: DeviceId,
    },
    /// R8. A revoked device never comes back (A1).
    #[error("device {device} was revoked")]
    DeviceRevoked {
        /// The device.
        device: DeviceId,
    },
    /// R8. Only one's own devices are revoked.
    #[error("device {device} is not the author's")]
    NotOwnDevice {
        /// The device.
        device: DeviceId,
    },
    /// R8. Two headers that prove nothing.
    #[error("no proof of equivocation: {detail}")]
    NotEquivocation {
        /// What is wrong with it.
        detail: &'static str,
    },
    /// R8. What it adds to takes nobody out, or is not in its past.
    #[error("{op} is no removal that it has seen")]
    NotRemoval {
        /// What it names.
        op: OpId,
    },
    /// R8. The signatures of a quorum do not hold for this op.
    #[error("no act of a quorum: {detail}")]
    BadQuorum {
        /// What is wrong with it.
        detail: &'static str,
    },
    /// R8. Eight live devices are enough.
    #[error("{user} has too many devices")]
    TooManyDevices {
        /// The person.
        user: UserId,
    },
    /// R8. They are a member already.
    #[error("{user} is a member already")]
    AlreadyMember {
        /// The person.
        user: UserId,
    },
    /// R8. The target is not a member.
    #[error("{target} is not a member")]
    TargetNotMember {
        /// The person.
        target: UserId,
    },
    /// R8. Nothing would change: no restriction to lift, or one at least as strict stands (A10).
    #[error("it would change nothing")]
    NoEffect,
    /// R8. The invite has been used as often as it may (A17).
    #[error("invite {invite} is used up")]
    InviteUsedUp {
        /// The invite.
        invite: OpId,
    },
    /// R9. The author's rank is below that of what they undo.
    #[error("undoing {undone} needs a higher rank")]
    UndoRank {
        /// What they undo.
        undone: OpId,
    },
    /// R9. The person is banned; only an Unban opens the door (A10).
    #[error("{user} is banned by {by}")]
    Banned {
        /// The person.
        user: UserId,
        /// The ban.
        by: OpId,
    },
    /// K1. The payload names another parent than the header.
    #[error("the commit follows {parent}, its header says otherwise")]
    WrongParent {
        /// What the payload names.
        parent: EpochId,
    },
    /// K2. The change of the group is not one that its past authorises.
    #[error("device {device}: {detail}")]
    Delta {
        /// About which leaf.
        device: DeviceId,
        /// What is wrong with it.
        detail: &'static str,
    },
    /// K2. The declared class or roster hash is not that of the declared change.
    #[error("the declared {what} is not that of the change")]
    WrongDeclaration {
        /// Which declaration.
        what: &'static str,
    },
    /// K2. The group would be too large.
    #[error("the group would have {devices} devices")]
    GroupTooLarge {
        /// How many.
        devices: usize,
    },
    /// K4. The device committed on this epoch before.
    #[error("second commit on epoch {parent}, after {first}")]
    SecondCommit {
        /// The epoch.
        parent: EpochId,
        /// The first one.
        first: OpId,
    },
    /// K5. Two updates of one person are too close.
    #[error("too soon after the update {last}")]
    UpdateTooSoon {
        /// The one before.
        last: OpId,
    },
    /// K6. Too many commits in a day.
    #[error("more than 32 commits in 24 hours")]
    TooManyCommits,
    /// K6. Too many bytes in a day.
    #[error("more than 8 MiB of control payload in 24 hours")]
    TooManyBytes,
    /// K6. The device was re-added a moment ago.
    #[error("device {device} was re-added less than 6 hours ago")]
    ReaddTooSoon {
        /// The device.
        device: DeviceId,
    },
    /// K6. Too many new devices in a day.
    #[error("more than 4 new devices in 24 hours")]
    TooManyNewDevices,
    /// K7. It is not about a commit that its device could have followed.
    #[error("no complaint: {detail}")]
    WrongComplaint {
        /// What is wrong with it.
        detail: &'static str,
    },
    /// K7. The person complained about this commit before.
    #[error("second complaint about one commit, after {first}")]
    SecondComplaint {
        /// The first one.
        first: OpId,
    },
    /// K8. The epoch is not on the canonical branch as far as the op has seen.
    #[error("epoch {epoch} is not canonical in its past")]
    NotCanonical {
        /// The epoch.
        epoch: EpochId,
    },
    /// K8. The Seal would make nothing final that is not.
    #[error("it seals nothing new")]
    NothingSealed,
    /// K8. A removal that cannot be closed, or not like this.
    #[error("removal {removal} cannot be closed: {detail}")]
    BadClosure {
        /// The removal.
        removal: OpId,
        /// Why.
        detail: &'static str,
    },
    /// A18. No owner switched on the feature that this kind needs.
    #[error("kind {kind} is not switched on")]
    FeatureOff {
        /// The kind's number.
        kind: u16,
    },
    /// The op was not judged, because its past could not be read.
    #[error("cannot read or write the log")]
    Store(#[from] StoreError),
}

/// Whose fault it is, hence what to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The op is invalid: drop it. Who signed it is to blame, not who passed it on.
    Author,
    /// This delivery is bad, the op may be fine: drop it, score the peer, ask another.
    Peer,
    /// This node's disk: nothing was decided, try again.
    Local,
}

impl AcceptError {
    /// Returns the rule it breaks, `None` when storage failed.
    #[must_use]
    pub const fn rule(&self) -> Option<Rule> {
        Some(match self {
            Self::OtherSpace { .. } | Self::Limit(_) | Self::PayloadMissing => Rule::S0,
            Self::DependsOnInvalid { .. } | Self::WrongPlane { .. } => Rule::S1,
            Self::RefusedBefore { rule } => *rule,
            Self::BrokenLane { .. } => Rule::R1,
            Self::NotAfter { .. } | Self::TooFarAhead { .. } => Rule::R2,
            Self::Forgets { .. } => Rule::R3,
            Self::NotMember { .. } | Self::NotTheirDevice { .. } => Rule::R4,
            Self::UnseenEpoch { .. } | Self::NotInRoster { .. } => Rule::R5,
            Self::NotPermitted { .. }
            | Self::RankTooLow { .. }
            | Self::GrantTooHigh { .. }
            | Self::NoQuorum { .. }
            | Self::OwnersOnly
            | Self::LastOwner
            | Self::Muted { .. }
            | Self::NoChannel { .. }
            | Self::Archived { .. }
            | Self::InviteNotLive { .. }
            | Self::InviteExpired { .. } => Rule::R6,
            Self::TooFast => Rule::R7,
            Self::Payload(_)
            | Self::WrongScope { .. }
            | Self::BadGenesis { .. }
            | Self::NotOneTarget { .. }
            | Self::OtherChannel { .. }
            | Self::WrongTarget { .. }
            | Self::NotOwn { .. }
            | Self::BadCertificate { .. }
            | Self::BadProof
            | Self::DeviceTaken { .. }
            | Self::DeviceRevoked { .. }
            | Self::NotOwnDevice { .. }
            | Self::NotEquivocation { .. }
            | Self::NotRemoval { .. }
            | Self::BadQuorum { .. }
            | Self::TooManyDevices { .. }
            | Self::AlreadyMember { .. }
            | Self::TargetNotMember { .. }
            | Self::NoEffect
            | Self::InviteUsedUp { .. } => Rule::R8,
            Self::UndoRank { .. } | Self::Banned { .. } => Rule::R9,
            Self::WrongParent { .. } => Rule::K1,
            Self::Delta { .. } | Self::WrongDeclaration { .. } | Self::GroupTooLarge { .. } => {
                Rule::K2
            }
            Self::SecondCommit { .. } => Rule::K4,
            Self::UpdateTooSoon { .. } => Rule::K5,
            Self::TooManyCommits
            | Self::TooManyBytes
            | Self::ReaddTooSoon { .. }
            | Self::TooManyNewDevices => Rule::K6,
            Self::WrongComplaint { .. } | Self::SecondComplaint { .. } => Rule::K7,
            Self::NotCanonical { .. } | Self::NothingSealed | Self::BadClosure { .. } => Rule::K8,
            Self::FeatureOff { .. } => Rule::A18,
            Self::Store(_) => return None,
        })
    }

    /// Returns whose fault it is.
    #[must_use]
    pub const fn fault(&self) -> Fault {
        match self {
            Self::OtherSpace { .. } | Self::PayloadMissing => Fault::Peer,
            Self::Store(_) => Fault::Local,
            Self::Limit(_)
            | Self::DependsOnInvalid { .. }
            | Self::WrongPlane { .. }
            | Self::RefusedBefore { .. }
            | Self::BrokenLane { .. }
            | Self::NotAfter { .. }
            | Self::TooFarAhead { .. }
            | Self::Forgets { .. }
            | Self::NotMember { .. }
            | Self::NotTheirDevice { .. }
            | Self::UnseenEpoch { .. }
            | Self::NotInRoster { .. }
            | Self::NotPermitted { .. }
            | Self::RankTooLow { .. }
            | Self::GrantTooHigh { .. }
            | Self::NoQuorum { .. }
            | Self::OwnersOnly
            | Self::LastOwner
            | Self::Muted { .. }
            | Self::NoChannel { .. }
            | Self::Archived { .. }
            | Self::InviteNotLive { .. }
            | Self::InviteExpired { .. }
            | Self::TooFast
            | Self::Payload(_)
            | Self::WrongScope { .. }
            | Self::BadGenesis { .. }
            | Self::NotOneTarget { .. }
            | Self::OtherChannel { .. }
            | Self::WrongTarget { .. }
            | Self::NotOwn { .. }
            | Self::BadCertificate { .. }
            | Self::BadProof
            | Self::DeviceTaken { .. }
            | Self::DeviceRevoked { .. }
            | Self::NotOwnDevice { .. }
            | Self::NotEquivocation { .. }
            | Self::NotRemoval { .. }
            | Self::BadQuorum { .. }
            | Self::TooManyDevices { .. }
            | Self::AlreadyMember { .. }
            | Self::TargetNotMember { .. }
            | Self::NoEffect
            | Self::InviteUsedUp { .. }
            | Self::UndoRank { .. }
            | Self::Banned { .. }
            | Self::WrongParent { .. }
            | Self::Delta { .. }
            | Self::WrongDeclaration { .. }
            | Self::GroupTooLarge { .. }
            | Self::SecondCommit { .. }
            | Self::UpdateTooSoon { .. }
            | Self::TooManyCommits
            | Self::TooManyBytes
            | Self::ReaddTooSoon { .. }
            | Self::TooManyNewDevices
            | Self::WrongComplaint { .. }
            | Self::SecondComplaint { .. }
            | Self::NotCanonical { .. }
            | Self::NothingSealed
            | Self::BadClosure { .. }
            | Self::FeatureOff { .. } => Fault::Author,
        }
    }

    /// Returns whether the op is invalid for good, on every replica.
    #[must_use]
    pub const fn is_verdict(&self) -> bool {
        matches!(self.fault(), Fault::Author)
    }
}
