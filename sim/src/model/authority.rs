//! The authority fold (B4): which control ops count, out of any closed set of them.

use core::cmp::{Ordering, Reverse};
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use super::act::{
    Act, DeviceRevoke, Head, InviteCreate, MemberAdd, Proof, QuorumAct, Seal, Signer,
};
use super::epoch::Epochs;
use super::graph::{Graph, Set};
use super::id::{Bytes, Channel, Id};
use super::op::{Op, Order};
use super::state::State;
use super::verb;

/// How an op ranks; greater wins. Genesis is above every weight.
pub(super) type Rank = (u16, Reverse<(u64, Id, Id)>, i8);

const TOP: u16 = u16::MAX;
const QUORUM: u16 = 90;

/// Why an op does not count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Void {
    pub(super) rule: &'static str,
    pub(super) deciding: Vec<Id>,
}

/// The two things that admissions and roles say about a person.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Facet {
    Member,
    Role,
}

/// A closed set of control ops, folded.
#[derive(Default)]
pub(super) struct Fold {
    /// Why each of the others is void.
    pub(super) void: BTreeMap<Id, Void>,
    /// Those that count.
    pub(super) effective: Set,
    /// Admissions that count, but not for this person: what stands against them ranks higher.
    pub(super) blocked: BTreeSet<(Id, Id, Facet)>,
    /// The Seals that count, by the place of their epoch.
    pub(super) seals: Vec<Id>,
}

/// Folds sets, and remembers them: every op's past is asked for often.
pub(super) struct Authority<'a> {
    pub(super) graph: &'a Graph,
    pub(super) epochs: Epochs,
    folds: RefCell<BTreeMap<Rc<Set>, Rc<Fold>>>,
    stands: RefCell<BTreeMap<Id, Stand>>,
}

/// What follows from an op's own past, once and for all.
#[derive(Clone, Copy)]
struct Stand {
    rank: Option<Rank>,
    needed: u8,
    /// Of a RoleSet: how the role compares with what its target had.
    change: Option<Ordering>,
}

impl<'a> Authority<'a> {
    pub(super) fn new(graph: &'a Graph) -> Self {
        Self {
            graph,
            epochs: Epochs::of(graph),
            folds: RefCell::default(),
            stands: RefCell::default(),
        }
    }

    /// What a set comes to.
    pub(super) fn state(&self, set: Rc<Set>) -> State<'_, 'a> {
        State {
            authority: self,
            fold: self.fold(set),
        }
    }

    /// What the author of an op had seen it come to.
    pub(super) fn state_before(&self, op: &Id) -> State<'_, 'a> {
        self.state(self.graph.past(op))
    }

    fn stand(&self, op: &Op) -> Stand {
        if let Some(known) = self.stands.borrow().get(&op.id) {
            return *known;
        }
        let before = self.state_before(&op.id);
        let rank = match (op.deed(), self.invite_of(op)) {
            _ if op.quorum().is_some() => {
                Some((QUORUM, Reverse((self.graph.depth(&op.id), op.id, ZERO)), 0))
            }
            (Some(Act::Genesis(_)), _) => Some((TOP, Reverse((0, op.id, op.user)), 0)),
            (Some(Act::Proof(_)), _) => Some((TOP, Reverse((0, ZERO, ZERO)), 0)),
            (Some(Act::DeviceRevoke(revoke)), _) => {
                let own = before.rank(&op.user);
                let sub = Self::sub_rank(op, revoke, &before);
                own.map(|(weight, seniority, _)| (weight, seniority, sub))
            }
            // Just below the op that opened the invite (A17).
            (_, Some(invite)) => invite
                .and_then(|(invite, _)| self.rank(invite))
                .map(|(weight, seniority, _)| (weight, seniority, -1)),
            (_, None) => before.rank(&op.user),
        };
        let change = match op.deed() {
            Some(Act::RoleSet(role)) => before.weight(&role.target).map(|w| role.weight.cmp(&w)),
            _ => None,
        };
        let stand = Stand {
            rank,
            needed: verb::stood_on(op, &before),
            change,
        };
        self.stands.borrow_mut().insert(op.id, stand);
        stand
    }

    /// The identity key is above the devices, and of these the older above the younger.
    fn sub_rank(op: &Op, revoke: &DeviceRevoke, before: &State<'_, 'a>) -> i8 {
        let since = |device: &Id| {
            let first = before.first_claim(device)?;
            Some((before.authority.graph.depth(&first.id), first.id))
        };
        let older = since(&op.device).zip(since(&revoke.device));
        match older {
            _ if revoke.identity_sig.is_some() => 2,
            Some((own, other)) if own < other => 1,
            _ => 0,
        }
    }

    /// The rank of an op; `None` when its author was no member, or its invite no invite.
    pub(super) fn rank(&self, op: &Op) -> Option<Rank> {
        self.stand(op).rank
    }

    /// What decides between those who write one key without having seen each other. Going away
    /// is above all: nobody keeps in a person who goes.
    pub(super) fn order(&self, op: &Op) -> Claim {
        let (rank, restricts) = match op.deed() {
            Some(Act::Leave) => (Some((TOP, Reverse((0, ZERO, ZERO)), i8::MAX)), 4),
            Some(Act::Ban(_)) => (self.rank(op), 5),
            Some(Act::Kick(_) | Act::DeviceRevoke(_)) => (self.rank(op), 4),
            Some(Act::RoleSet(_)) if self.is_demotion(op) => (self.rank(op), 3),
            Some(Act::Mute(_)) => (self.rank(op), 2),
            _ => (self.rank(op), 0),
        };
        (rank, restricts, op.order())
    }

    /// Of an admission by invite: the op that opened it, `Some(None)` when there is none.
    fn invite_of(&self, op: &Op) -> Option<Option<(&'a Op, &'a InviteCreate)>> {
        let Some(Act::MemberAdd(MemberAdd {
            invite: Some(invite),
            ..
        })) = op.deed()
        else {
            return None;
        };
        let seen = self.graph.sees(&op.id, invite);
        let found = self.graph.op(invite).filter(|_| seen);
        Some(found.and_then(|op| match op.deed() {
            Some(Act::InviteCreate(terms)) => Some((op, terms)),
            _ => None,
        }))
    }

    fn fold(&self, set: Rc<Set>) -> Rc<Fold> {
        if let Some(known) = self.folds.borrow().get(&set) {
            return known.clone();
        }
        let fold = Rc::new(self.pass(&set));
        self.folds.borrow_mut().insert(set, fold.clone());
        fold
    }

    /// The one pass: by stage, then by descending rank; among equals what takes authority from its
    /// own author, then by depth, then by id. Of the Seals that are left those count that fit.
    fn pass(&self, set: &Set) -> Fold {
        let mut ops: Vec<&Op> = set.iter().filter_map(|id| self.graph.op(id)).collect();
        ops.sort_by_cached_key(|op| self.turn(op));
        let mut fold = Fold::default();
        for op in ops {
            match self.judge(op, set, &mut fold) {
                None => {
                    fold.effective.insert(op.id);
                }
                Some(void) => {
                    fold.void.insert(op.id, void);
                }
            }
        }
        self.chain_seals(&mut fold);
        fold
    }

    fn turn(&self, op: &Op) -> Turn {
        let depth = self.graph.depth(&op.id);
        let rank = Reverse(self.rank(op));
        (self.stage(op), rank, !self.gives_up(op), depth, op.id)
    }

    /// A16: by descending rank, then depth, then id each Seal counts that is on one branch with all
    /// chosen before.
    fn chain_seals(&self, fold: &mut Fold) {
        let key = |op: &Op| (Reverse(self.rank(op)), self.graph.depth(&op.id), op.id);
        let mut seals: Vec<(&Op, &Seal)> = self
            .known(&fold.effective)
            .filter_map(|op| match op.deed() {
                Some(Act::Seal(seal)) => Some((op, seal)),
                _ => None,
            })
            .collect();
        seals.sort_by_cached_key(|(op, _)| key(op));
        let on_one_branch = |a: &Seal, b: &Seal| {
            self.epochs.descends(&a.epoch, &b.epoch) || self.epochs.descends(&b.epoch, &a.epoch)
        };
        let mut chain: Vec<(&Op, &Seal)> = Vec::new();
        let mut others = Vec::new();
        for (op, seal) in seals {
            if chain.iter().all(|(_, other)| on_one_branch(seal, other)) {
                chain.push((op, seal));
            } else {
                others.push((op, seal));
            }
        }
        for (op, seal) in others {
            // They were chosen from the greatest down.
            let by = chain.iter().find(|(_, other)| !on_one_branch(seal, other));
            fold.effective.remove(&op.id);
            let deciding = by.map(|(by, _)| by.id).into_iter().collect();
            let rule = "B9";
            fold.void.insert(op.id, Void { rule, deciding });
        }
        chain.sort_by_key(|(op, seal)| (self.epochs.chain(&seal.epoch).count(), op.id));
        fold.seals = chain.into_iter().map(|(op, _)| op.id).collect();
    }

    /// Says why an op is void, when all that comes before it is decided.
    fn judge(&self, o: &Op, set: &Set, decided: &mut Fold) -> Option<Void> {
        let stage = self.stage(o);
        if stage == Stage::Fact {
            return None;
        }
        let Some(rank) = self.rank(o) else {
            return void("R4", Vec::new());
        };
        if let Some(quorum) = o.quorum() {
            let fallen = self.judge_quorum(o, quorum, decided);
            return fallen.or_else(|| self.judge_undoing(o, &rank, decided));
        }
        let ended = self.judge_honesty(o, set);
        let ended = ended.or_else(|| self.judge_device(o, decided));
        if ended.is_some() || stage != Stage::Ranked {
            return ended;
        }
        let revoked = self
            .known(&decided.effective)
            .filter(|r| self.is_decided_before(r, o) && self.takes(r, &o.user, self.needed(o)))
            .filter(|r| self.graph.concurrent(&r.id, &o.id))
            .max_by_key(|r| self.order(r));
        if let Some(r) = revoked {
            return void(if self.gives_up(r) { "A12" } else { "B4" }, vec![r.id]);
        }
        let unfounded = match self.invite_of(o) {
            Some(invite) => self.judge_invite(o, invite, decided),
            None => self
                .ungranted(o, &o.user, decided)
                .and_then(|by| void("A9", by.into_iter().collect())),
        };
        if unfounded.is_some() {
            return unfounded;
        }
        self.judge_undoing(o, &rank, decided)
    }

    /// B11: no proof names its device, or some proof had seen it or names what builds on it.
    fn judge_honesty(&self, o: &Op, set: &Set) -> Option<Void> {
        let proofs: Vec<(&Op, &Proof)> = self
            .known(set)
            .filter_map(|op| match op.deed() {
                Some(Act::Proof(proof)) if proof.device == o.device => Some((op, proof)),
                _ => None,
            })
            .collect();
        let builds_on = |head: &Head| {
            let named = self.graph.op(&head.op).filter(|op| op.device == o.device);
            set.contains(&head.op)
                && named.is_some()
                && (head.op == o.id || self.graph.sees(&head.op, &o.id))
        };
        let names = |proof: &Proof| {
            let control = proof.cut.iter().filter(|cut| cut.scope.is_none());
            control.flat_map(|cut| &cut.heads).any(builds_on)
        };
        let kept = proofs
            .iter()
            .any(|(op, proof)| self.graph.sees(&op.id, &o.id) || names(proof));
        // What the identity key signed is not the device's word.
        let by_identity =
            matches!(o.deed(), Some(Act::DeviceRevoke(r)) if r.identity_sig.is_some());
        if kept || by_identity {
            return None;
        }
        let first = proofs
            .iter()
            .min_by_key(|(op, _)| (self.graph.depth(&op.id), op.id))?;
        void("B11", vec![first.0.id])
    }

    /// A1: its person did not revoke the device, but after having seen this op. What gives up falls
    /// to a greater sub alone.
    fn judge_device(&self, o: &Op, decided: &Fold) -> Option<Void> {
        let sub = |op: &Op| self.rank(op).map(|(_, _, sub)| sub);
        let by = self
            .known(&decided.effective)
            .filter(|r| revokes(r, &o.device) && r.user == o.user)
            .filter(|r| !self.graph.sees(&r.id, &o.id))
            .filter(|r| !self.gives_up(o) || sub(r) > sub(o))
            .max_by_key(|r| self.order(r))?;
        void("A1", vec![by.id])
    }

    /// A19: enough of its signers still have the right, and their signatures were not used beside it.
    fn judge_quorum(&self, o: &Op, quorum: &QuorumAct, decided: &Fold) -> Option<Void> {
        let digest = |op: &Op| Some(op.quorum()?.digest(&op.space, &op.device));
        let used = self
            .known(&decided.effective)
            .find(|other| digest(other) == digest(o) && self.graph.concurrent(&other.id, &o.id));
        if let Some(used) = used {
            return void("A19", vec![used.id]);
        }
        let lost: Vec<Option<Id>> = quorum
            .signers
            .iter()
            .filter_map(|signer| self.vote_lost(o, signer, decided))
            .collect();
        let admins = self.state_before(&o.id).admins(quorum.target());
        if quorum.signers.len() - lost.len() >= quorum.needs(admins.len()) {
            return None;
        }
        let taken_by: BTreeSet<Id> = lost.into_iter().flatten().collect();
        void("A19", taken_by.into_iter().collect())
    }

    /// What took the vote of a signer; `Some(None)` where no grant of theirs counts.
    fn vote_lost(&self, o: &Op, signer: &Signer, decided: &Fold) -> Option<Option<Id>> {
        let ended = self
            .known(&decided.effective)
            .filter(|r| match r.deed() {
                Some(Act::Proof(proof)) => proof.device == signer.device,
                _ => revokes(r, &signer.device) && r.user == signer.user,
            })
            .filter(|r| !self.graph.sees(&r.id, &o.id))
            // The person's own word is named before a proof.
            .min_by_key(|r| (self.stage(r) == Stage::Fact, self.turn(r)));
        if let Some(ended) = ended {
            return Some(Some(ended.id));
        }
        let revoked = self
            .known(&decided.effective)
            .filter(|r| self.is_decided_before(r, o) && self.takes(r, &signer.user, 50))
            .filter(|r| self.graph.concurrent(&r.id, &o.id))
            .max_by_key(|r| self.order(r));
        if let Some(r) = revoked {
            return Some(Some(r.id));
        }
        self.ungranted(o, &signer.user, decided)
    }

    fn known<'s>(&'s self, ids: &'s Set) -> impl Iterator<Item = &'a Op> + use<'s, 'a> {
        ids.iter().filter_map(|id| self.graph.op(id))
    }

    /// Whether `r` is decided when `o` is judged, and may count there.
    fn is_decided_before(&self, r: &Op, o: &Op) -> bool {
        self.stage(r) != Stage::Ranked
            || self.rank(r) > self.rank(o)
            || (self.rank(r) == self.rank(o)
                && r.user == o.user
                && self.gives_up(r)
                && !self.gives_up(o))
    }

    /// A9: of the ops in its past that speak of somebody who has a part in it, by what was decided
    /// before it. Of the undecided those count that take. Returns what stands instead of a grant, if
    /// none does.
    fn ungranted(&self, o: &Op, user: &Id, decided: &Fold) -> Option<Option<Id>> {
        let needed = self.needed(o);
        let past = self.graph.past(&o.id);
        let deciding = |facet: Facet| -> Option<&Op> {
            let writers = self.known(&past).filter(|w| {
                let Some(level) = self.says(w, user, facet) else {
                    return false;
                };
                if self.is_decided_before(w, o) {
                    decided.reaches(&w.id, user, facet)
                } else {
                    level < if facet == Facet::Member { 1 } else { needed }
                }
            });
            self.greatest(writers.collect())
        };
        let member = deciding(Facet::Member);
        let role = deciding(Facet::Role);
        let says = |op: Option<&Op>, facet| op.and_then(|op| self.says(op, user, facet));
        let is_member = says(member, Facet::Member) == Some(1);
        if is_member && says(role, Facet::Role) >= Some(needed) {
            return None;
        }
        let taken_by = if is_member { role } else { member };
        Some(taken_by.map(|w| w.id))
    }

    /// The greatest of the causally maximal.
    pub(super) fn greatest<'o>(&self, writers: Vec<&'o Op>) -> Option<&'o Op> {
        let last = writers
            .iter()
            .filter(|a| !writers.iter().any(|b| self.graph.sees(&b.id, &a.id)));
        last.max_by_key(|op| self.order(op)).copied()
    }

    /// A17: the invite must count and be open in the past of the admission, and one person
    /// admits by it, out of sight of their other admissions, no more than it allows.
    fn judge_invite(
        &self,
        o: &Op,
        invite: Option<(&Op, &InviteCreate)>,
        decided: &Fold,
    ) -> Option<Void> {
        let Some((invite, terms)) = invite else {
            return void("A17", Vec::new());
        };
        if !decided.effective.contains(&invite.id) {
            return void("A17", vec![invite.id]);
        }
        let past = self.graph.past(&o.id);
        let closed = self
            .known(&past)
            .filter(
                |op| matches!(op.deed(), Some(Act::InviteRevoke { invite: i }) if *i == invite.id),
            )
            .filter(|op| !(self.is_decided_before(op, o) && decided.void.contains_key(&op.id)))
            .max_by_key(|op| self.order(op));
        if let Some(closed) = closed {
            return void("A17", vec![closed.id, invite.id]);
        }
        let people = |op: &Op| match op.deed() {
            Some(Act::MemberAdd(add)) if add.invite == Some(invite.id) => add.members.len() as u64,
            _ => 0,
        };
        let others = self.known(&decided.effective);
        let others = others.filter(|x| x.user == o.user && self.graph.concurrent(&x.id, &o.id));
        let uses = people(o) + others.map(people).sum::<u64>();
        if uses > terms.max_uses {
            return void("A17", vec![invite.id]);
        }
        None
    }

    /// A10: what stands in its past against an op that would undo it, and ranks higher. An
    /// admission is not void by that: it does not reach that person.
    fn judge_undoing(&self, o: &Op, rank: &Rank, decided: &mut Fold) -> Option<Void> {
        let past = self.graph.past(&o.id);
        let seen = Fold {
            effective: past.intersection(&decided.effective).copied().collect(),
            blocked: decided.blocked.clone(),
            ..Fold::default()
        };
        let state = State::of(self, seen);
        let higher = |standing: Vec<Id>| -> Option<Id> {
            let standing = standing.iter().filter_map(|id| self.graph.op(id));
            let higher = standing.filter(|r| self.rank(r).as_ref() > Some(rank));
            higher.max_by_key(|r| self.order(r)).map(|r| r.id)
        };
        let raised = |user: &Id| -> Vec<Id> {
            let mut demotions = state.demotions(user);
            let given = self.says(o, user, Facet::Role);
            demotions.retain(|d| {
                let kept = self
                    .graph
                    .op(d)
                    .and_then(|d| self.says(d, user, Facet::Role));
                given > kept
            });
            demotions
        };
        let stands = match o.deed() {
            Some(Act::MemberAdd(add)) => {
                for user in add.members.iter().map(|m| m.cert.user) {
                    if higher(state.bans(&user)).is_some() {
                        decided.blocked.insert((o.id, user, Facet::Member));
                    }
                    if higher(raised(&user)).is_some() {
                        decided.blocked.insert((o.id, user, Facet::Role));
                    }
                }
                None
            }
            Some(Act::Unban { target }) => higher(state.bans(target)),
            Some(Act::Unmute(u)) => higher(state.unlifted_mutes(&u.target, u.channel)),
            Some(Act::RoleSet(role)) => {
                let bans = if self.is_demotion(o) {
                    Vec::new()
                } else {
                    state.bans(&role.target)
                };
                higher(bans).or_else(|| higher(raised(&role.target)))
            }
            _ => None,
        };
        stands.and_then(|op| void("A10", vec![op]))
    }

    /// The weight without which its author could not have done it.
    pub(super) fn needed(&self, o: &Op) -> u8 {
        self.stand(o).needed
    }

    /// What an op says of somebody: as a member 1 or 0; as a role its weight.
    pub(super) fn says(&self, op: &Op, user: &Id, facet: Facet) -> Option<u8> {
        match (op.deed(), facet) {
            (Some(Act::Genesis(_)), Facet::Member) if op.user == *user => Some(1),
            (Some(Act::Genesis(_)), Facet::Role) if op.user == *user => Some(100),
            (Some(Act::MemberAdd(add)), _) => {
                let mut members = add.members.iter();
                let member = members.find(|m| m.cert.user == *user)?;
                Some(if facet == Facet::Member {
                    1
                } else {
                    member.weight
                })
            }
            (Some(Act::RoleSet(role)), Facet::Role) if role.target == *user => Some(role.weight),
            // Who is given no less than they had is confirmed as a member.
            (Some(Act::RoleSet(role)), Facet::Member) if role.target == *user => {
                self.stand(op).change.filter(|c| c.is_ge()).map(|_| 1)
            }
            (Some(Act::Kick(r) | Act::Ban(r)), Facet::Member) if r.target == *user => Some(0),
            (Some(Act::Leave), Facet::Member) if op.user == *user => Some(0),
            _ => None,
        }
    }

    /// Whether an op takes from somebody what an act needs: all, or the role above a weight.
    fn takes(&self, r: &Op, user: &Id, needed: u8) -> bool {
        match r.deed() {
            Some(Act::Kick(removal) | Act::Ban(removal)) => removal.target == *user,
            Some(Act::Leave) => r.user == *user,
            Some(Act::RoleSet(role)) => {
                role.target == *user && role.weight < needed && self.is_demotion(r)
            }
            _ => false,
        }
    }

    /// Whether a RoleSet lowers the role that its target has in its author's eyes.
    pub(super) fn is_demotion(&self, op: &Op) -> bool {
        self.stand(op).change == Some(Ordering::Less)
    }

    /// What its verdict may depend on at all.
    fn stage(&self, op: &Op) -> Stage {
        match op.deed() {
            Some(Act::Genesis(_) | Act::Commit(_) | Act::Proof(_)) => Stage::Fact,
            Some(Act::DeviceRevoke(_)) => {
                let sub = self.rank(op).map_or(0, |(_, _, sub)| sub);
                Stage::Device(Reverse(sub))
            }
            Some(Act::Leave) => Stage::Leave,
            _ => Stage::Ranked,
        }
    }

    /// Leaving, lowering one's own role (A12), and revoking one's own device.
    fn gives_up(&self, op: &Op) -> bool {
        match op.deed() {
            Some(Act::Leave | Act::DeviceRevoke(_)) => true,
            Some(Act::RoleSet(role)) => {
                role.target == op.user && op.quorum().is_none() && self.is_demotion(op)
            }
            _ => false,
        }
    }
}

/// Whether an op says that it revokes a device.
pub(super) fn revokes(op: &Op, device: &Id) -> bool {
    matches!(op.deed(), Some(Act::DeviceRevoke(revoke)) if revoke.device == *device)
}

/// The turns of the pass, the first first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    /// What nobody undoes: the root, facts of the key plane, and what anybody can check.
    Fact,
    /// What a person's devices say of each other, by descending sub.
    Device(Reverse<i8>),
    /// Going away.
    Leave,
    Ranked,
}

type Turn = (Stage, Reverse<Option<Rank>>, bool, u64, Id);

impl Fold {
    /// Whether an op counts, and for this person.
    pub(super) fn reaches(&self, op: &Id, user: &Id, facet: Facet) -> bool {
        self.effective.contains(op) && !self.blocked.contains(&(*op, *user, facet))
    }
}

fn void(rule: &'static str, deciding: Vec<Id>) -> Option<Void> {
    Some(Void { rule, deciding })
}

const ZERO: Id = Bytes([0; 32]);

/// What decides between writers of one key that had not seen each other.
pub(super) type Claim = (Option<Rank>, u8, Order);

/// Where a mute holds; `None`: everywhere.
pub(super) type MuteKey = Option<Channel>;
