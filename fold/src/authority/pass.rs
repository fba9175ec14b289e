//! The pass: which control ops count, decided in one sweep by descending rank (B4).
//!
//! An op's verdict depends only on ops that come before it in [`Act::turn`]: those of an earlier
//! [`Stage`], then strictly higher ranks, and among equals on the author's own
//! self-revocations (A12). So one sweep is the least fixed point, and no duel can be circular.
//!
//! The pass runs on top of a `base` view *all of whose ops lie in the past of every op
//! judged here*. That loses nothing:
//! - No op of the base is concurrent with an op judged here, so none can revoke one or be
//!   revoked by one, and a grant or reversal judged here lies in no past of the base. The
//!   verdicts of the base are the verdicts of the whole. (But see `apply::changes_nothing_before`.)
//! - What an op judged here asks of the base is what stands there, and `UserState` keeps
//!   every writer that can matter for an op of any rank. Because ranks are compared, and
//!   not places in the sweep, an op of the base counts as decided exactly if it would have
//!   been decided first in a sweep over everything.
//!
//! With an empty base the pass is the definition itself.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use oplog::mutants::{Mutant, on};
use oplog::{DeviceId, Digest, OpId, Scope, UserId};

use super::act::{Act, Deed, Facet, Quorum, Stage};
use super::state::{AuthorityView, MuteKey, maxima};
use crate::explain::VoidReason;

/// What a pass found out about the ops it judged.
#[derive(Default)]
pub(super) struct Verdicts {
    /// The ops judged, in the order of their turns.
    pub(super) acts: Vec<Arc<Act>>,
    /// By person: the ops that write their membership or role, or lift their ban.
    pub(super) about: BTreeMap<UserId, Vec<Arc<Act>>>,
    pub(super) mutes: BTreeMap<MuteKey, Vec<Arc<Act>>>,
    pub(super) void: BTreeMap<OpId, VoidReason>,
    /// Admissions that do not reach one of their people, since what stands against them
    /// ranks higher; the op itself may count for others.
    blocked: BTreeSet<(OpId, UserId, Facet)>,
}

/// A pass on its way: what is found out so far, and where later turns look for it.
struct Pass<'a> {
    base: &'a AuthorityView,
    found: Verdicts,
    revocations: BTreeMap<UserId, Vec<Arc<Act>>>,
    /// By device: the effective ops by which its person revokes it.
    device_revokes: BTreeMap<DeviceId, Vec<Arc<Act>>>,
    /// By device: the ops that prove it to have equivocated.
    proofs: BTreeMap<DeviceId, Vec<Arc<Act>>>,
    /// Control ops of such a device that a proof names as seen, as far as they are judged here: a
    /// view must not depend on what else this replica holds.
    named: BTreeMap<DeviceId, Vec<Arc<Act>>>,
    /// The acts of quorums that count, by what was signed.
    quorums: BTreeMap<Digest, Vec<Arc<Act>>>,
    invites: BTreeMap<OpId, Arc<Act>>,
    invite_revokes: BTreeMap<OpId, Vec<Arc<Act>>>,
    admissions: BTreeMap<(OpId, UserId), Vec<Arc<Act>>>,
}

/// Judges these ops. Every op of `base` must lie in the past of each of them.
pub(super) fn judge(base: &AuthorityView, mut acts: Vec<Arc<Act>>) -> Verdicts {
    acts.sort_by_cached_key(|act| act.turn());
    let mut pass = Pass {
        base,
        found: Verdicts::default(),
        revocations: BTreeMap::new(),
        device_revokes: BTreeMap::new(),
        proofs: BTreeMap::new(),
        named: BTreeMap::new(),
        quorums: BTreeMap::new(),
        invites: BTreeMap::new(),
        invite_revokes: BTreeMap::new(),
        admissions: BTreeMap::new(),
    };
    for act in &acts {
        pass.index(act);
    }
    pass.find_named(&acts);
    for act in &acts {
        match pass.judge(act) {
            Ok(()) => pass.count(act),
            Err(reason) => {
                pass.found.void.insert(act.id, reason);
            }
        }
    }
    Verdicts { acts, ..pass.found }
}

impl Verdicts {
    /// Returns whether an op of this pass, already judged, counts.
    pub(super) fn is_effective(&self, act: &Act) -> bool {
        !self.void.contains_key(&act.id)
    }

    /// Returns whether an op of this pass counts for this facet of this person.
    pub(super) fn reaches(&self, act: &Act, user: &UserId, facet: Facet) -> bool {
        self.is_effective(act) && !self.blocked.contains(&(act.id, *user, facet))
    }

    pub(super) fn about(&self, user: &UserId) -> &[Arc<Act>] {
        self.about.get(user).map_or(&[], Vec::as_slice)
    }

    /// Returns whether an effective op of this pass, before `until` if given, undid a
    /// restriction with sufficient rank.
    pub(super) fn is_reversed(
        &self,
        restriction: &Act,
        user: &UserId,
        facet: Facet,
        until: Option<&Act>,
    ) -> bool {
        self.about(user).iter().any(|y| {
            y.rank >= restriction.rank
                && relaxes(y, restriction, user, facet)
                && self.reaches(y, user, facet)
                && until.is_none_or(|act| y.precedes(act))
                && restriction.precedes(y)
        })
    }

    /// Like [`Self::is_reversed`], for mutes.
    pub(super) fn is_unmuted(&self, mute: &Act, key: &MuteKey, until: Option<&Act>) -> bool {
        let acts = self.mutes.get(key).map_or(&[][..], Vec::as_slice);
        acts.iter().any(|y| {
            matches!(y.deed, Deed::Unmute(_))
                && y.rank >= mute.rank
                && self.is_effective(y)
                && until.is_none_or(|act| y.precedes(act))
                && mute.precedes(y)
        })
    }
}

impl Pass<'_> {
    fn index(&mut self, act: &Arc<Act>) {
        for user in act.subjects() {
            self.found.about.entry(user).or_default().push(act.clone());
        }
        if let Some(key) = act.mute_key() {
            self.found.mutes.entry(key).or_default().push(act.clone());
        }
        if let Some((device, _)) = act.freezes() {
            self.proofs.entry(device).or_default().push(act.clone());
        }
        if let Deed::InviteCreate(_) = act.deed {
            self.invites.insert(act.id, act.clone());
        }
        if let Deed::InviteRevoke(invite) = act.deed {
            self.invite_revokes
                .entry(invite)
                .or_default()
                .push(act.clone());
        }
    }

    fn find_named(&mut self, acts: &[Arc<Act>]) {
        let heads: BTreeSet<(DeviceId, OpId)> = self
            .proofs
            .values()
            .flatten()
            .filter_map(|proof| proof.freezes())
            .flat_map(|(device, cut)| cut.iter().map(move |c| (device, c)))
            .filter(|(_, cut)| cut.scope == Scope::Control)
            .flat_map(|(device, cut)| cut.heads.iter().map(move |head| (device, head.op)))
            .collect();
        for act in acts {
            if heads.contains(&(act.device, act.id)) {
                let named = self.named.entry(act.device).or_default();
                named.push(act.clone());
            }
        }
    }

    fn judge(&mut self, act: &Arc<Act>) -> Result<(), VoidReason> {
        if !act.by_member {
            return Err(VoidReason::NotMember);
        }
        let stage = act.stage();
        if stage == Stage::Fact {
            return Ok(());
        }
        if let Some(quorum) = &act.quorum {
            self.quorum_stands(act, quorum)?;
            return self.undoes_nothing_higher(act);
        }
        self.device_is_honest(act)?;
        self.device_holds(act)?;
        if stage < Stage::Ranked {
            return Ok(());
        }
        self.not_revoked(act)?;
        match act.admission_by_invite() {
            Some((members, invite)) => self.admitted_by(act, &invite, members.len())?,
            None => self.has_live_grant(act)?,
        }
        self.undoes_nothing_higher(act)
    }

    /// Files an effective op where later turns look for it.
    fn count(&mut self, act: &Arc<Act>) {
        if let Some(device) = act.revoked_device() {
            let revokes = self.device_revokes.entry(device).or_default();
            revokes.push(act.clone());
        }
        if let Some(quorum) = &act.quorum {
            let used = self.quorums.entry(quorum.digest).or_default();
            used.push(act.clone());
        }
        if let Some((target, _)) = act.revokes() {
            self.revocations
                .entry(target)
                .or_default()
                .push(act.clone());
        }
        if let Some((_, invite)) = act.admission_by_invite() {
            let by_author = self.admissions.entry((invite, act.user)).or_default();
            by_author.push(act.clone());
        }
    }

    /// A19: so many signers as were needed still have the right, as far as owners and earlier quorums
    /// decided, and the signatures were not used beside this act.
    fn quorum_stands(&self, act: &Act, quorum: &Quorum) -> Result<(), VoidReason> {
        let used = self.quorums.get(&quorum.digest).into_iter().flatten();
        if let Some(by) = used
            .filter(|other| other.is_concurrent(act))
            .map(|other| other.id)
            .min()
        {
            return Err(VoidReason::QuorumUsed { by });
        }
        let mut taken_by = BTreeSet::new();
        let mut left = 0;
        for (user, device) in &quorum.signers {
            match self.vote_lost(act, user, device) {
                None => left += 1,
                Some(by) => taken_by.extend(by),
            }
        }
        if left >= quorum.needs {
            Ok(())
        } else {
            Err(VoidReason::NoQuorum {
                taken_by: taken_by.into_iter().collect(),
            })
        }
    }

    /// Returns what took a signer's vote, if anything did; `Some(None)` where no grant of theirs counts.
    fn vote_lost(&self, act: &Act, user: &UserId, device: &DeviceId) -> Option<Option<OpId>> {
        let before = self.base.devices.get(device);
        let before = before
            .into_iter()
            .flat_map(|s| s.revokes.iter().chain(&s.proofs));
        let revoked = self.device_revokes.get(device).into_iter().flatten();
        let proved = self.proofs.get(device).into_iter().flatten();
        let ended = before
            .chain(revoked)
            .chain(proved)
            .filter(|r| r.freezes().is_some() || r.user == *user)
            .find(|r| !act.precedes(r));
        if let Some(by) = ended {
            return Some(Some(by.id));
        }
        let revocations = self.revocations.get(user).into_iter().flatten();
        let by = revocations
            .filter(|r| {
                r.is_decided_before(act)
                    && r.revokes().is_some_and(|(_, left)| left < act.needed.get())
                    && r.is_concurrent(act)
            })
            .max_by_key(|r| r.order());
        if let Some(by) = by {
            return Some(Some(by.id));
        }
        self.grant_lost(act, user)
    }

    /// B11: nobody proved that the device equivocates, or some proof had seen this op or names what
    /// builds on it. What the identity key signed is not the device's word.
    fn device_is_honest(&self, act: &Act) -> Result<(), VoidReason> {
        let before = self.base.devices.get(&act.device);
        let before = before.map_or(&[][..], |state| state.proofs.as_slice());
        let here = self.proofs.get(&act.device);
        let proofs = || before.iter().chain(here.into_iter().flatten());
        let Some(by) = proofs().min_by_key(|p| (p.depth, p.id)) else {
            return Ok(());
        };
        let named = self.named.get(&act.device).into_iter().flatten();
        let seen = proofs().any(|p| act.precedes(p))
            || named
                .into_iter()
                .any(|head| act.id == head.id || act.precedes(head));
        let by_identity = act.device_revoke().is_some() && act.rank.sub == 2;
        if seen || by_identity {
            Ok(())
        } else {
            Err(VoidReason::Frozen { by: by.id })
        }
    }

    /// A1: the person did not revoke the device, but after having seen this op. Terminal, so an
    /// op that builds on a revocation which it took for void falls too.
    fn device_holds(&self, act: &Act) -> Result<(), VoidReason> {
        let before = self.base.devices.get(&act.device);
        let before = before.map_or(&[][..], |state| state.revokes.as_slice());
        let here = self.device_revokes.get(&act.device);
        let by = before
            .iter()
            .chain(here.into_iter().flatten())
            .filter(|r| {
                r.user == act.user
                    && r.id != act.id
                    && !act.precedes(r)
                    && !(act.is_self_revocation() && r.rank.sub <= act.rank.sub)
            })
            .max_by_key(|r| r.order());
        match by {
            None => Ok(()),
            Some(r) => Err(VoidReason::DeviceRevoked { by: r.id }),
        }
    }

    /// B4 and A12: no concurrent effective op took the authority away that this one needed.
    fn not_revoked(&self, act: &Act) -> Result<(), VoidReason> {
        let Some(revocations) = self.revocations.get(&act.user) else {
            return Ok(());
        };
        let by = revocations
            .iter()
            .filter(|r| {
                r.is_decided_before(act)
                    && r.revokes().is_some_and(|(_, left)| left < act.needed.get())
                    && (r.is_concurrent(act) || on(Mutant::RevokesPast))
            })
            .max_by_key(|r| r.order());
        match by {
            _ if on(Mutant::RevokesNothing) => Ok(()),
            None => Ok(()),
            Some(r) if r.is_self_revocation() => Err(VoidReason::SelfRevoked { by: r.id }),
            Some(r) => Err(VoidReason::Revoked { by: r.id }),
        }
    }

    /// A9: what was decided before, within the op's own past, makes its author a member
    /// with the weight it needed.
    fn has_live_grant(&self, act: &Act) -> Result<(), VoidReason> {
        match self.grant_lost(act, &act.user) {
            None => Ok(()),
            Some(taken_by) => Err(VoidReason::NoLiveGrant { taken_by }),
        }
    }

    /// Returns what stands against somebody who has a part in this op instead of a grant, if none
    /// does; `Some(None)` where nothing stands at all.
    fn grant_lost(&self, act: &Act, user: &UserId) -> Option<Option<OpId>> {
        let member = self.standing_in_past(act, user, Facet::Member);
        let role = self.standing_in_past(act, user, Facet::Role);
        let is_member = member
            .as_ref()
            .is_some_and(|w| w.makes_member(user) == Some(true));
        let level = role.as_ref().and_then(|w| w.level(user)).unwrap_or(0);
        if (is_member && level >= act.needed.get()) || on(Mutant::GrantNotNeeded) {
            return None;
        }
        let taken_by = if is_member { role } else { member };
        Some(taken_by.map(|w| w.id))
    }

    /// The writer that decides a facet of a person in the op's own past, by what was
    /// decided before the op. What was not counts if it takes authority and not if it
    /// gives some: whether it is effective may depend on the op itself.
    fn standing_in_past(&self, act: &Act, user: &UserId, facet: Facet) -> Option<Arc<Act>> {
        let takes = |w: &Act| match facet {
            Facet::Member => w.makes_member(user) == Some(false),
            Facet::Role => w.level(user).is_some_and(|level| level < act.needed.get()),
        };
        let counts = |w: &Act, effective: bool| {
            if w.is_decided_before(act) {
                effective
            } else {
                takes(w)
            }
        };
        let mut writers: Vec<Arc<Act>> = self
            .found
            .about(user)
            .iter()
            .filter(|w| {
                w.writes(user, facet)
                    && counts(w, self.found.reaches(w, user, facet))
                    && w.precedes(act)
            })
            .cloned()
            .collect();
        // All of the base lies before whatever is judged here: one writer here supersedes it.
        if writers.is_empty()
            && let Some(state) = self.base.users.get(user)
        {
            let log = state.log(facet).iter();
            writers = log
                .filter(|l| counts(&l.act, l.effective))
                .map(|l| l.act.clone())
                .collect();
        }
        maxima(writers).into_iter().max_by_key(|w| w.order())
    }

    /// A17: the invite counts, was not closed before, and this author does not stretch it.
    fn admitted_by(&self, act: &Act, invite: &OpId, people: usize) -> Result<(), VoidReason> {
        let here = self
            .invites
            .get(invite)
            .filter(|i| self.found.is_effective(i) && i.is_decided_before(act) && i.precedes(act));
        let before = self.base.invites.get(invite);
        let Some(create) = here.or(before.map(|i| &i.create)) else {
            return Err(VoidReason::InviteVoid { invite: *invite });
        };
        let closes = |w: &Act, effective: bool| effective || !w.is_decided_before(act);
        let closed_here = self
            .invite_revokes
            .get(invite)
            .into_iter()
            .flatten()
            .filter(|r| closes(r, self.found.is_effective(r)) && r.precedes(act));
        let closed_before = before
            .into_iter()
            .flat_map(|i| &i.revokes)
            .filter(|l| closes(&l.act, l.effective))
            .map(|l| &l.act);
        if let Some(by) = closed_here.chain(closed_before).max_by_key(|w| w.order()) {
            return Err(VoidReason::InviteRevoked {
                invite: *invite,
                by: by.id,
            });
        }
        let Some(terms) = create.invite_terms() else {
            return Err(VoidReason::InviteVoid { invite: *invite });
        };
        let unseen: usize = self
            .admissions
            .get(&(*invite, act.user))
            .into_iter()
            .flatten()
            .filter(|a| a.is_concurrent(act))
            .map(|a| a.subjects().len())
            .sum();
        if u32::try_from(unseen + people).is_ok_and(|n| n <= terms.max_uses) {
            Ok(())
        } else {
            Err(VoidReason::InviteOverused { invite: *invite })
        }
    }

    /// A10: what relaxes a restriction ranks at least as high. Acceptance demands it by the
    /// op's own past (R9); here it also holds for restrictions that its author took for void.
    fn undoes_nothing_higher(&mut self, act: &Arc<Act>) -> Result<(), VoidReason> {
        for member in act.admission().map_or(&[][..], |(members, _)| members) {
            let user = member.cert.user;
            for facet in [Facet::Member, Facet::Role] {
                if self.barrier(act, &user, facet).is_some() {
                    self.found.blocked.insert((act.id, user, facet));
                }
            }
        }
        let barrier = if let Deed::Unban(target) = &act.deed {
            self.barrier(act, target, Facet::Member)
        } else if let Deed::RoleSet { target, down, .. } = &act.deed {
            let ban = (!down).then(|| self.barrier(act, target, Facet::Member));
            ban.flatten()
                .or_else(|| self.barrier(act, target, Facet::Role))
        } else if let Deed::Unmute(_) = act.deed {
            self.mute_barrier(act)
        } else {
            None
        };
        match barrier {
            None => Ok(()),
            Some(by) => Err(VoidReason::Outranked { by }),
        }
    }

    /// The ban (for membership) or demotion (for the role) that stands at this op, ranks
    /// higher, and that the op would undo.
    fn barrier(&self, act: &Act, user: &UserId, facet: Facet) -> Option<OpId> {
        let state = self.base.users.get(user);
        let before = state.map_or(&[][..], |s| match facet {
            Facet::Member => s.bans.as_slice(),
            Facet::Role => s.demotions.as_slice(),
        });
        let higher =
            |r: &Act| r.rank > act.rank || (r.rank == act.rank && on(Mutant::OwnBanStands));
        let undoes = |r: &Act| higher(r) && relaxes(act, r, user, facet);
        let here =
            self.found.about(user).iter().filter(|r| {
                restricts(r, user, facet) && self.found.is_effective(r) && r.precedes(act)
            });
        before
            .iter()
            .chain(here)
            .filter(|r| undoes(r) && !self.found.is_reversed(r, user, facet, Some(act)))
            .max_by_key(|r| r.order())
            .map(|r| r.id)
    }

    fn mute_barrier(&self, act: &Act) -> Option<OpId> {
        let key = act.mute_key()?;
        let before = self.base.mutes.get(&key);
        let before = before.map_or(&[][..], |m| m.standing.as_slice());
        let acts = self.found.mutes.get(&key).map_or(&[][..], Vec::as_slice);
        let here = acts
            .iter()
            .filter(|r| r.muted_until().is_some() && self.found.is_effective(r) && r.precedes(act));
        before
            .iter()
            .chain(here)
            .filter(|r| r.rank > act.rank && !self.found.is_unmuted(r, &key, Some(act)))
            .max_by_key(|r| r.order())
            .map(|r| r.id)
    }
}

/// Returns whether this is a restriction that only sufficient rank undoes.
pub(super) fn restricts(act: &Act, user: &UserId, facet: Facet) -> bool {
    match facet {
        Facet::Member => matches!(&act.deed, Deed::Ban(removal) if removal.target == *user),
        Facet::Role => {
            matches!(&act.deed, Deed::RoleSet { target, down: true, .. } if target == user)
        }
    }
}

/// Returns whether the act would undo the restriction, were its rank sufficient.
fn relaxes(act: &Act, restriction: &Act, user: &UserId, facet: Facet) -> bool {
    match facet {
        Facet::Member => act.lifts_ban(user),
        Facet::Role => act.level(user) > restriction.level(user) && act.level(user).is_some(),
    }
}
