//! The state that control ops fold to, as persistent maps: a copy shares all that did not change.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use imbl::{OrdMap, OrdSet};
use oplog::mutants::{Mutant, on};
use oplog::payload::{DeviceCert, DeviceRevoke, Verb};
use oplog::{ChannelId, DeviceId, Digest, Features, OpId, UserId};

use super::act::{Act, Facet};
use crate::explain::Verdict;

/// The fold of one causal past: who may do what there.
///
/// Equal sets of ops give equal views, however they came. Cheap to clone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuthorityView {
    pub(super) frontier: Vec<OpId>,
    pub(super) users: OrdMap<UserId, Arc<UserState>>,
    pub(super) devices: OrdMap<DeviceId, Arc<DeviceState>>,
    pub(super) mutes: OrdMap<MuteKey, Arc<MuteState>>,
    pub(super) channels: OrdMap<ChannelId, Arc<ChannelState>>,
    pub(super) policy: Arc<PolicyState>,
    pub(super) invites: OrdMap<OpId, Arc<InviteState>>,
    pub(super) seals: Arc<SealState>,
    /// By removal: the effective attests that add to its cut, by depth.
    pub(super) attests: OrdMap<OpId, Vec<Arc<Act>>>,
    pub(super) key_packages: OrdMap<DeviceId, OrdSet<(OpId, Digest)>>,
    /// What is not here is effective.
    pub(super) void: OrdMap<OpId, Arc<Verdict>>,
}

/// Whose mute, and where; `None`: everywhere.
pub(super) type MuteKey = (UserId, Option<ChannelId>);

/// One key of the fold: its causally maximal effective writers, the deciding one first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Register(pub(super) Vec<Arc<Act>>);

impl Register {
    /// Keeps of these writers those that no other one saw.
    pub(super) fn of(writers: impl IntoIterator<Item = Arc<Act>>) -> Self {
        Self::sorted(maxima(writers.into_iter().collect()))
    }

    fn sorted(mut acts: Vec<Arc<Act>>) -> Self {
        acts.sort_by_key(|act| core::cmp::Reverse(act.order()));
        Self(acts)
    }

    pub(super) fn winner(&self) -> Option<&Arc<Act>> {
        self.0.first()
    }

    /// Lets later writers supersede what stands, if there are any.
    pub(super) fn supersede(&mut self, writers: impl IntoIterator<Item = Arc<Act>>) {
        let later = Self::of(writers);
        if later.0.is_empty() {
            return;
        }
        *self = if on(Mutant::PastDecides) {
            Self::sorted([later.0, self.0.clone()].concat())
        } else {
            later
        };
    }
}

/// Returns those acts that lie in no other one's past.
pub(super) fn maxima(mut acts: Vec<Arc<Act>>) -> Vec<Arc<Act>> {
    if acts.len() < 2 {
        return acts;
    }
    // From the deepest on: whatever an act precedes is deeper and already kept, or below something kept.
    acts.sort_by_key(|act| core::cmp::Reverse((act.depth, act.id)));
    let mut kept: Vec<Arc<Act>> = Vec::new();
    for act in acts {
        if !kept.iter().any(|k| act.precedes(k)) {
            kept.push(act);
        }
    }
    kept
}

/// Everything about one person.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct UserState {
    pub(super) member: Register,
    pub(super) role: Register,
    /// The admissions among the writers of `member`, also below a promotion that confirmed them.
    pub(super) added: Register,
    /// The admissions that ever reached this person, in force or not. Like `removals` it only grows,
    /// so a copy must share it: else who often comes and goes makes every op about them dear.
    pub(super) admissions: OrdSet<OpId>,
    pub(super) member_log: Vec<Logged>,
    pub(super) role_log: Vec<Logged>,
    /// Bans that no reversal of sufficient rank followed.
    pub(super) bans: Vec<Arc<Act>>,
    /// Demotions that no promotion of sufficient rank followed.
    pub(super) demotions: Vec<Arc<Act>>,
    /// Every effective removal that no concurrent higher-ranked admission overrode, by depth.
    pub(super) removals: OrdMap<(u64, OpId), Arc<Act>>,
    /// Live ones.
    pub(super) devices: BTreeSet<DeviceId>,
    /// Those that never come back.
    pub(super) dead_devices: BTreeSet<DeviceId>,
}

impl UserState {
    pub(super) fn log(&self, facet: Facet) -> &[Logged] {
        match facet {
            Facet::Member => &self.member_log,
            Facet::Role => &self.role_log,
        }
    }

    /// Returns whether the person is a member, and the op that makes them one.
    pub(super) fn membership(&self, user: &UserId) -> Option<&Arc<Act>> {
        self.member
            .winner()
            .filter(|act| act.makes_member(user) == Some(true))
    }
}

/// A writer of a person's membership or role that some later op may still lean on.
///
/// The pass asks for a grant *above the rank of the op that it judges* (A9), so the
/// deciding writer alone is not enough: an older one may qualify where it does not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Logged {
    pub(super) act: Arc<Act>,
    pub(super) effective: bool,
}

/// Who holds a device key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct DeviceState {
    /// The first claims to this key. Their deciding one says whose it is: a certificate
    /// does not prove that the device agreed, so later claims by others count for nothing.
    pub(super) first: Register,
    /// The newest certificates of the holder.
    pub(super) newest: Register,
    /// The deciding claim's certificate.
    pub(super) cert: Option<Arc<DeviceCert>>,
    /// Every effective revocation of it, by whomever: only the holder's count, and who that is
    /// more ops may tell.
    pub(super) revokes: Vec<Arc<Act>>,
    /// Every proof that it equivocated.
    pub(super) proofs: Vec<Arc<Act>>,
}

impl DeviceState {
    /// Returns what ended it for good, earliest first: the revocations that count, and proofs.
    pub(super) fn ended_by(&self) -> impl Iterator<Item = &Arc<Act>> {
        let holder = self.cert.as_ref().map(|cert| cert.user);
        let revokes = self.revokes.iter().filter(move |r| Some(r.user) == holder);
        let mut ends: Vec<&Arc<Act>> = revokes.chain(&self.proofs).collect();
        ends.sort_by_key(|act| (act.depth, act.id));
        ends.into_iter()
    }

    pub(super) fn is_dead(&self) -> bool {
        self.ended_by().next().is_some()
    }

    /// Returns whose device it is, `None` when it is nobody's or never comes back.
    pub(super) fn live_user(&self) -> Option<UserId> {
        let user = self.cert.as_ref()?.user;
        (!self.is_dead()).then_some(user)
    }
}

impl AuthorityView {
    /// Returns the sub-rank of revoking a device from another one (B4).
    pub(super) fn revoker(&self, by: &DeviceId, revoke: &DeviceRevoke) -> i8 {
        if revoke.identity_sig.is_some() {
            return 2;
        }
        let since = |device| {
            let first = self.devices.get(device)?.first.winner()?;
            Some((first.depth, first.id))
        };
        let older = since(by)
            .zip(since(&revoke.device))
            .is_some_and(|(own, other)| own < other);
        i8::from(older)
    }
}

/// The Seals that authority lets count, and which of them fit each other (B9).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct SealState {
    pub(super) all: Vec<Arc<Act>>,
    /// The chain of those that count, by the number of their epoch.
    pub(super) chain: BTreeMap<(u64, OpId), Arc<Act>>,
    /// By removal, the Seal that closed it.
    pub(super) closed: BTreeMap<OpId, Arc<Act>>,
}

/// The mutes of one person in one place.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct MuteState {
    pub(super) register: Register,
    /// Mutes that no unmute of sufficient rank followed.
    pub(super) standing: Vec<Arc<Act>>,
}

/// One channel, each field a key of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ChannelState {
    pub(super) create: Arc<Act>,
    pub(super) name: Register,
    pub(super) topic: Register,
    pub(super) category: Register,
    pub(super) archived: Register,
    pub(super) permissions: BTreeMap<Verb, Register>,
}

/// The Space's policies, each a key of its own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct PolicyState {
    pub(super) genesis: Option<Arc<Act>>,
    pub(super) name: Register,
    pub(super) kick_late: Register,
    pub(super) ban_late: Register,
    pub(super) timing_privacy: Register,
    pub(super) dedup: Register,
    pub(super) seal_every: Register,
    pub(super) features: Features,
}

/// One invite.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct InviteState {
    pub(super) create: Arc<Act>,
    /// Attempts to close it, effective or not.
    pub(super) revokes: Vec<Logged>,
    /// People admitted by it.
    pub(super) uses: u32,
}
