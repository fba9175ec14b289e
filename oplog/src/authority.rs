//! What acceptance asks about authority, and of whom: the crate `fold` answers.
//!
//! A [`View`] is the fold of one causal past. Acceptance judges an op against the
//! view at its own control frontier, never against what this replica knows by now.

use core::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::Arc;

use crate::dag::{ControlDag, Past};
use crate::hlc::Hlc;
use crate::ids::{ChannelId, DeviceId, Digest, EpochId, OpId, UserId};
use crate::kind::Features;
use crate::payload::{CommitClass, InviteCreate, RosterDelta, ScopeCut, Verb, Weight};

/// How an op ranks among those it may conflict with. Greater wins; no time takes part (B4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rank {
    /// Weight of the author in the view at the op; Genesis is above every weight.
    pub weight: u8,
    /// Earlier grants are senior: smaller depth, then smaller id, then smaller user, since
    /// one MemberAdd can grant to many.
    pub seniority: Reverse<(u64, OpId, UserId)>,
    /// 0 normally; of a DeviceRevoke 1 by an older device of the same person and 2 with the
    /// identity key's signature; −1 for admissions by an invite.
    pub sub: i8,
}

impl Rank {
    /// The rank of Genesis.
    pub const TOP: Self = Self {
        weight: u8::MAX,
        seniority: Reverse((0, OpId::ZERO, UserId::ZERO)),
        sub: i8::MAX,
    };

    /// The rank just below this one, given to what an invite admits (A17): same weight and
    /// seniority, after everything its author did.
    #[must_use]
    pub const fn just_below(self) -> Self {
        Self {
            weight: self.weight,
            seniority: self.seniority,
            sub: -1,
        }
    }
}

/// The state of a restrictive act on a person, for R9 and A10.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Restriction {
    /// The op that stands.
    pub op: OpId,
    /// The greatest rank among the standing restrictive ops; undoing needs as much.
    pub rank: Rank,
    /// For mutes: until when.
    pub expires: Option<Hlc>,
}

/// An epoch as the control plane knows it; kept for ever.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EpochRecord {
    /// The epoch.
    pub id: EpochId,
    /// The one before it; `None` for the first.
    pub parent: Option<EpochId>,
    /// Its number, a label: 0 for the first.
    pub number: u64,
    /// The op that began it: Commit or Genesis.
    pub commit: OpId,
    /// How much that commit changed.
    pub class: CommitClass,
    /// Who committed.
    pub user: UserId,
    /// With which device.
    pub device: DeviceId,
    /// What changed.
    pub delta: RosterDelta,
    /// Commitment to the epoch root.
    pub root_commit: Digest,
    /// Every device in the group in this epoch, with its user and the hash of its key package.
    pub roster: Arc<BTreeMap<DeviceId, (UserId, Digest)>>,
}

/// The fold of one causal past: who may do what there.
pub trait View {
    /// Returns the person's weight, `None` unless they are a member.
    fn weight(&self, user: &UserId) -> Option<Weight>;
    /// Returns the rank of an ordinary op by this person, `None` unless they are a member.
    fn rank(&self, user: &UserId) -> Option<Rank>;
    /// Returns whose device this is, `None` unless it is certified and not revoked.
    fn device_user(&self, device: &DeviceId) -> Option<UserId>;
    /// Returns whether the device was ever revoked (A1: then it never comes back).
    fn is_device_revoked(&self, device: &DeviceId) -> bool;
    /// Returns how many live devices the person has.
    fn device_count(&self, user: &UserId) -> usize;
    /// Returns whether the channel exists.
    fn has_channel(&self, channel: &ChannelId) -> bool;
    /// Returns whether the channel is closed for posting.
    fn is_archived(&self, channel: &ChannelId) -> bool;
    /// Returns the least weight for a verb, in a channel or in the Space.
    fn least(&self, verb: Verb, channel: Option<&ChannelId>) -> Weight;
    /// Returns the mute in force on a person at this time, in this channel or everywhere.
    fn mute(&self, user: &UserId, channel: Option<&ChannelId>, at: Hlc) -> Option<Restriction>;
    /// Returns the mute that stands under exactly this key, expired or not.
    fn mute_at_key(&self, user: &UserId, channel: Option<&ChannelId>) -> Option<Restriction>;
    /// Returns the standing ban on a person.
    fn ban(&self, user: &UserId) -> Option<Restriction>;
    /// Returns the last demotion of a person that no sufficient promotion followed.
    fn demotion(&self, user: &UserId) -> Option<Restriction>;
    /// Returns an invite that is effective and not revoked, with the rank of its op.
    fn invite(&self, invite: &OpId) -> Option<(InviteCreate, Rank)>;
    /// Returns how many effective admissions by this invite are in this past.
    fn invite_uses(&self, invite: &OpId) -> u32;
    /// Returns the features switched on.
    fn features(&self) -> Features;
    /// Returns every live device of every member, with its user: who should be in the group.
    fn authorised_devices(&self) -> BTreeMap<DeviceId, UserId>;
    /// Returns every admin, owners not among them, sorted: who decides together (A19).
    fn admins(&self) -> Vec<UserId>;
    /// Returns whether a quorum of admins may make and remove owners.
    fn owner_removable(&self) -> bool;
    /// Returns the epoch of the effective Seal, `None` before there is one.
    fn sealed_epoch(&self) -> Option<EpochId>;
    /// Returns whether an effective Seal closed this removal.
    fn is_closed(&self, removal: &OpId) -> bool;
    /// Returns what an effective removal of a person or device named as seen, united with what
    /// effective attests add, sorted; `None` for any other op. Slow: looks at everybody.
    fn removal_cut(&self, removal: &OpId) -> Option<Vec<ScopeCut>>;
    /// Returns the key packages offered for a device in this past by MemberAdd, DeviceAdd,
    /// ReaddRequest or CommitComplaint, as `H("key-package", bytes)`, and for re-adds the op that asked.
    fn key_packages(&self, device: &DeviceId) -> Vec<(Digest, OpId)>;
}

/// The authority fold over a growing control plane.
pub trait Authority {
    /// What a past folds to.
    type View: View;

    /// Folds everything up to and including these control ops.
    fn view(&mut self, dag: &ControlDag, frontier: &[OpId]) -> Arc<Self::View>;

    /// Takes note of a control op that was just inserted into the graph.
    fn admit(&mut self, dag: &ControlDag, op: &OpId);

    /// Returns whether this epoch is on the canonical chain of a past, behind its effective Seal;
    /// `view` is the fold of that past.
    fn is_canonical(
        &self,
        dag: &ControlDag,
        past: &Past,
        view: &Self::View,
        epoch: &EpochId,
    ) -> bool;

    /// Returns an epoch that an accepted op began.
    fn epoch(&self, epoch: &EpochId) -> Option<&EpochRecord>;
}
