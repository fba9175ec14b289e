//! The authority fold: which control ops count, and what they add up to (B4, B5).
//!
//! Every op is judged twice. *Static*: its rank and the weight it needed follow from
//! its own past and never change (module `act`). *Dynamic*: whether it counts follows from the
//! whole set, in one sweep by descending rank (module `pass`). Time takes part in neither,
//! except to break ties between writers of equal rank.
//!
//! # Invariants
//! - The view of a frontier depends on the ops up to that frontier alone, not on their order
//!   of arrival, nor on what else is known. Equal sets give equal [`AuthorityView::state_hash`].
//! - An op inserted on all heads changes no verdict but its own: O(log n) on persistent maps.
//! - An op inserted beside others costs one sweep over the bubble: everything that does not
//!   lie in the past of the last op that every op of the bubble had seen. Module `pass` says why
//!   that is exact. The one exception, a second proof against a device, costs a sweep over all.
//! - Nothing here panics or recurses on odd graphs; acceptance is assumed, not needed.

mod act;
mod apply;
mod digest;
mod pass;
mod records;
mod state;
mod view;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use oplog::authority::{Authority, EpochRecord, Rank};
use oplog::dag::{ControlDag, ControlNode, Past};
use oplog::payload::Weight;
use oplog::{EpochId, OpId, Payload, UserId};

use act::{Act, Deed};

pub use records::{
    Channel, Device, FormerMember, Invite, Member, MuteRecord, Policies, RemovalKind, RemovalRecord,
};
pub use state::AuthorityView;

use crate::epochs::{Complaints, EpochTree, Seen, WonBy};
use crate::explain::Verdict;

/// Folds a growing control plane: the view at any frontier, and the tree of epochs.
///
/// Derived state: made again from the ops at any time.
#[derive(Clone, Debug, Default)]
pub struct AuthorityFold {
    acts: BTreeMap<OpId, Arc<Act>>,
    /// Views at single ops.
    snapshots: BTreeMap<OpId, Arc<AuthorityView>>,
    /// Ops whose snapshot may go when they are no longer recent, oldest first.
    recent: VecDeque<OpId>,
    joins: Joins,
    epochs: EpochTree,
    empty: Arc<AuthorityView>,
}

/// What the fold holds about one op, apart from its verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// The rank with which it counts against concurrent ops.
    pub rank: Rank,
    /// The least weight with which its author could have done it.
    pub needed: Weight,
}

impl AuthorityFold {
    /// Returns the fold of nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Returns the fold of this control plane.
    #[must_use]
    pub fn of(dag: &ControlDag) -> Self {
        let mut fold = Self::new();
        fold.catch_up(dag);
        fold
    }

    /// Returns the fold of everything known.
    pub fn view_all(&mut self, dag: &ControlDag) -> Arc<AuthorityView> {
        self.view(dag, dag.heads())
    }

    /// Returns an op's verdict within everything known, `None` for an op that is not here.
    pub fn verdict(&mut self, dag: &ControlDag, op: &OpId) -> Option<Verdict> {
        dag.contains(op)
            .then(|| self.view_all(dag).verdict(op).clone())
    }

    /// Returns the tip of the canonical chain from the effective Seal on, `None` before Genesis.
    /// `eligible` says which epochs may be on it at all (K1), complaints aside; it must not depend
    /// on arrival.
    pub fn canonical_tip(
        &mut self,
        dag: &ControlDag,
        eligible: impl Fn(&EpochId) -> bool,
    ) -> Option<EpochId> {
        let all = self.view_all(dag);
        let seen = Seen {
            member: &|user| all.is_member(user),
            eligible: &eligible,
            complaint: &|op| all.verdict(op).is_effective(),
        };
        self.epochs.canonical_tip_after(self.start(&all)?, &seen)
    }

    /// Returns what complaints come to about a commit in the view of everything known; `None` for an
    /// unknown epoch.
    #[must_use]
    pub fn complaints_about(&self, all: &AuthorityView, epoch: &EpochId) -> Option<Complaints> {
        let seen = Seen {
            member: &|user| all.is_member(user),
            eligible: &|_| true,
            complaint: &|op| all.verdict(op).is_effective(),
        };
        self.epochs.complaints_about(epoch, &seen)
    }

    /// Returns what decides for one commit's epoch against a sibling of it, in the view of everything
    /// known; `None` when nothing does: they are no siblings, or the other one wins.
    #[must_use]
    pub fn won_by(
        &self,
        all: &AuthorityView,
        winner: &EpochId,
        loser: &EpochId,
        eligible: impl Fn(&EpochId) -> bool,
    ) -> Option<WonBy> {
        let sealed = |epoch: &EpochId| {
            all.seal()
                .is_some_and(|(seal, _)| self.epochs.is_ancestor(epoch, seal))
        };
        if sealed(winner) != sealed(loser) {
            return sealed(winner).then_some(WonBy::Seal);
        }
        let seen = Seen {
            member: &|user| all.is_member(user),
            eligible: &eligible,
            complaint: &|op| all.verdict(op).is_effective(),
        };
        self.epochs.won_by(winner, loser, &seen)
    }

    /// Returns where the search begins: at the epoch of the effective Seal, or at the first.
    fn start<'a>(&'a self, view: &'a AuthorityView) -> Option<&'a EpochId> {
        view.seal()
            .map(|(epoch, _)| epoch)
            .or(self.epochs.genesis())
    }

    /// Returns the epochs.
    #[must_use]
    pub const fn epochs(&self) -> &EpochTree {
        &self.epochs
    }

    /// Returns how an op ranks and what it needed, `None` for an op that is not here.
    #[must_use]
    pub fn standing(&self, op: &OpId) -> Option<Standing> {
        self.acts.get(op).map(|act| Standing {
            rank: act.rank,
            needed: act.needed,
        })
    }

    /// Returns the grants to `user` of at least this weight that `op` had in its past and that
    /// `view` holds void, by depth: the trail to follow from "no live grant".
    #[must_use]
    pub fn void_grants(
        &self,
        dag: &ControlDag,
        op: &OpId,
        user: &UserId,
        weight: Weight,
        view: &AuthorityView,
    ) -> Vec<OpId> {
        let mut grants: Vec<&Arc<Act>> = self
            .acts
            .values()
            .filter(|act| {
                act.level(user).is_some_and(|w| w >= weight.get())
                    && !view.verdict(&act.id).is_effective()
                    && dag.precedes(&act.id, op)
            })
            .collect();
        grants.sort_by_key(|act| (act.depth, act.id));
        grants.into_iter().map(|act| act.id).collect()
    }

    /// Returns the ops that would have written `user`'s membership or role and that `view` holds void:
    /// where they counted, what `user` did might not.
    #[must_use]
    pub fn void_acts_on(&self, user: &UserId, view: &AuthorityView) -> Vec<OpId> {
        let writes = |op: &&OpId| {
            let act = self.acts.get(*op);
            act.is_some_and(|act| act.subjects().contains(user))
        };
        let void = view.void_ops().map(|(op, _)| op);
        void.filter(writes).copied().collect()
    }

    /// Folds a frontier in one sweep over its whole past, with nothing remembered: the
    /// definition that the quick way is measured against. O(n log n).
    #[must_use]
    pub fn recompute(&self, dag: &ControlDag, frontier: &[OpId]) -> AuthorityView {
        Arc::unwrap_or_clone(self.fold_all(dag, dag.minimal(&self.known(frontier))))
    }

    fn fold_all(&self, dag: &ControlDag, frontier: Vec<OpId>) -> Arc<AuthorityView> {
        let past = dag.past_of(&frontier);
        let acts = self.acts.values();
        let acts = acts.filter(|act| frontier.contains(&act.id) || dag.in_past(&act.id, &past));
        let acts = acts.cloned().collect();
        apply::fold_onto(&self.epochs, Arc::clone(&self.empty), acts, frontier)
    }

    /// Returns how many ops it takes to fold a frontier, on top of a view that is remembered.
    #[must_use]
    pub fn reach(&self, dag: &ControlDag, frontier: &[OpId]) -> usize {
        self.bubble(dag, frontier).1.len()
    }

    /// Takes every op of the graph that was not admitted yet.
    fn catch_up(&mut self, dag: &ControlDag) {
        let had_none = self.acts.is_empty();
        let mut left = dag.len().saturating_sub(self.acts.len());
        for node in dag.iter() {
            if had_none || !self.acts.contains_key(&node.op.id()) {
                self.take(dag, node, left > SNAPSHOTS_RECENT_MAX);
                left = left.saturating_sub(1);
            }
        }
    }

    /// Judges an op all of whose parents are taken. The view before an `old` one would not be recent
    /// any more once all are taken.
    fn take(&mut self, dag: &ControlDag, node: &ControlNode, old: bool) {
        let id = node.op.id();
        let at = self.view_of(dag, &node.follows);
        // Acceptance refuses a control op whose payload does not parse (R8).
        let payload = node.op.payload().ok().flatten();
        self.begin_epoch(node, payload.as_ref(), &at);
        let invite_rank = |invite: &OpId| {
            let create = self.acts.get(invite)?;
            let opens = matches!(create.deed, Deed::InviteCreate(_));
            (opens && dag.in_past(invite, &node.past)).then_some(create.rank)
        };
        let act = Arc::new(Act::judge(node, payload, &at, invite_rank));
        self.acts.insert(id, act.clone());
        let acts = vec![act];
        let view = if apply::changes_nothing_before(&at, &acts) {
            if old {
                self.pass_on(dag, &node.follows);
            }
            apply::fold_onto(&self.epochs, at, acts, vec![id])
        } else {
            self.fold_all(dag, vec![id])
        };
        self.remember(id, view);
    }

    /// Forgets the last view if nobody but the op that is being taken will ask for it: then that op's
    /// own is made in its place, with nothing copied. No bubble ends at an op with one follower which
    /// follows nothing else: it would have ended at the follower.
    fn pass_on(&mut self, dag: &ControlDag, follows: &[OpId]) {
        if let [last] = follows
            && self.recent.back() == Some(last)
            && dag.node(last).is_some_and(|node| node.followers == 1)
        {
            self.recent.pop_back();
            self.snapshots.remove(last);
        }
    }

    fn begin_epoch(&mut self, node: &ControlNode, payload: Option<&Payload>, at: &AuthorityView) {
        use oplog::authority::View;
        match payload {
            Some(Payload::Genesis(genesis)) if node.past.is_empty() => {
                self.epochs.found(&node.op, genesis);
            }
            Some(Payload::Commit(commit)) => {
                let weight = at.weight(&node.op.header().user);
                self.epochs
                    .branch(&node.op, commit, weight.unwrap_or(Weight::new(0)));
            }
            Some(Payload::CommitComplaint(complaint)) => {
                let user = node.op.header().user;
                self.epochs.complain(complaint.epoch, user, node.op.id());
            }
            _ => {}
        }
    }

    /// Keeps the view at one op, and lets an old one go.
    ///
    /// Each costs up to about 3 KiB (200 members, 4,000 snapshots, measured). Without one, a
    /// view is folded again from the nearest that is kept.
    fn remember(&mut self, op: OpId, view: Arc<AuthorityView>) {
        self.snapshots.insert(op, view);
        if !self.acts.len().is_multiple_of(SNAPSHOT_EVERY) {
            self.recent.push_back(op);
        }
        if self.recent.len() > SNAPSHOTS_RECENT_MAX
            && let Some(old) = self.recent.pop_front()
        {
            self.snapshots.remove(&old);
        }
    }

    fn view_of(&mut self, dag: &ControlDag, frontier: &[OpId]) -> Arc<AuthorityView> {
        if let [op] = frontier
            && let Some(view) = self.snapshots.get(op)
        {
            return view.clone();
        }
        let frontier = dag.minimal(&self.known(frontier));
        if frontier.is_empty() {
            return self.empty.clone();
        }
        if let [op] = frontier.as_slice()
            && let Some(view) = self.snapshots.get(op)
        {
            return view.clone();
        }
        if let Some(view) = self.joins.find(&frontier) {
            return view;
        }
        let view = self.fold_bubble(dag, &frontier);
        self.joins.keep(frontier, view.clone());
        view
    }

    fn fold_bubble(&self, dag: &ControlDag, frontier: &[OpId]) -> Arc<AuthorityView> {
        let (base, acts) = self.bubble(dag, frontier);
        if apply::changes_nothing_before(base, &acts) {
            apply::fold_onto(&self.epochs, base.clone(), acts, frontier.to_vec())
        } else {
            self.fold_all(dag, frontier.to_vec())
        }
    }

    /// Returns the view at the last remembered op that everything after it had seen, and what is after
    /// it.
    ///
    /// Walks back from the deepest op on, so that an op comes up after all its followers.
    /// When a single op is left open, every path from what was walked down to what was not leads
    /// through it: it lies in the past of all the former and the latter in its own. What an op names
    /// but does not follow is no path: the way there along lanes would leave as many ops open as
    /// there are devices.
    fn bubble(&self, dag: &ControlDag, frontier: &[OpId]) -> (&Arc<AuthorityView>, Vec<Arc<Act>>) {
        let at = |id: &OpId| dag.node(id).map(|node| (node.depth, *id));
        let mut open: BTreeSet<(u64, OpId)> = frontier.iter().filter_map(at).collect();
        let mut bubble = Vec::new();
        let mut passed_a_root = false;
        loop {
            if let Some((_, id)) = open.first()
                && open.len() == 1
                && !passed_a_root
                && let Some(view) = self.snapshots.get(id)
            {
                return (view, bubble);
            }
            let Some((_, id)) = open.pop_last() else {
                return (&self.empty, bubble);
            };
            bubble.extend(self.acts.get(&id).cloned());
            if let Some(node) = dag.node(&id) {
                passed_a_root |= node.past.is_empty();
                open.extend(node.follows.iter().filter_map(at));
            }
        }
    }

    fn known(&self, frontier: &[OpId]) -> Vec<OpId> {
        let known = frontier.iter().filter(|id| self.acts.contains_key(id));
        known.copied().collect()
    }
}

impl Authority for AuthorityFold {
    type View = AuthorityView;

    fn view(&mut self, dag: &ControlDag, frontier: &[OpId]) -> Arc<AuthorityView> {
        if self.acts.len() != dag.len() {
            self.catch_up(dag);
        }
        self.view_of(dag, frontier)
    }

    fn admit(&mut self, dag: &ControlDag, op: &OpId) {
        let Some(node) = dag.node(op) else { return };
        if self.acts.contains_key(op) {
            return;
        }
        if self.acts.len() + 1 == dag.len() {
            self.take(dag, node, false);
        } else {
            self.catch_up(dag);
        }
    }

    fn is_canonical(
        &self,
        dag: &ControlDag,
        past: &Past,
        view: &AuthorityView,
        epoch: &EpochId,
    ) -> bool {
        let known = |epoch: &EpochId| {
            let record = self.epochs.epoch(epoch);
            record.is_some_and(|record| dag.in_past(&record.commit, past))
        };
        let Some(start) = self.start(view).filter(|_| known(epoch)) else {
            return false;
        };
        let seen = Seen {
            member: &|user| view.is_member(user),
            eligible: &known,
            complaint: &|op| dag.in_past(op, past) && view.verdict(op).is_effective(),
        };
        let tip = self.epochs.canonical_tip_after(start, &seen);
        tip.is_some_and(|tip| {
            self.epochs.is_ancestor(epoch, &tip) && self.epochs.is_ancestor(start, epoch)
        })
    }

    fn epoch(&self, epoch: &EpochId) -> Option<&EpochRecord> {
        self.epochs.epoch(epoch)
    }
}

/// Views at frontiers of several heads, the least recently used dropped first.
#[derive(Clone, Debug, Default)]
struct Joins {
    views: BTreeMap<Vec<OpId>, (u64, Arc<AuthorityView>)>,
    uses: u64,
}

impl Joins {
    fn find(&mut self, frontier: &[OpId]) -> Option<Arc<AuthorityView>> {
        let (used, view) = self.views.get_mut(frontier)?;
        self.uses += 1;
        *used = self.uses;
        Some(view.clone())
    }

    fn keep(&mut self, frontier: Vec<OpId>, view: Arc<AuthorityView>) {
        self.uses += 1;
        self.views.insert(frontier, (self.uses, view));
        if self.views.len() > JOINS_MAX {
            let oldest = self.views.iter().min_by_key(|(_, (used, _))| *used);
            if let Some(oldest) = oldest.map(|(frontier, _)| frontier.clone()) {
                self.views.remove(&oldest);
            }
        }
    }
}

/// Snapshots of single ops kept beyond every [`SNAPSHOT_EVERY`]th. Guess: longer than any
/// honest bubble, some MiB in all.
const SNAPSHOTS_RECENT_MAX: usize = 4096;
/// How far apart old snapshots lie, in ops: one costs at most so many ops to fold again,
/// unless ops ran concurrently all along.
const SNAPSHOT_EVERY: usize = 32;
/// Joins kept: frontiers that content ops of the last minutes name. Guess, unmeasured.
const JOINS_MAX: usize = 256;
