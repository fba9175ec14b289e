//! Admitting ops to the log of one Space: S0 and S1, then the judge, then store, graph and fold.
//!
//! Keeps in memory the control plane, and of content only what came last. It does
//! not commit: rows are staged, and the caller ends the step with [`Store::commit`].
//!
//! # Invariants
//! - Closed: the causal past of an accepted op is accepted.
//! - Order-free: which ops are accepted depends on which arrived, never on when; what is forgotten
//!   (refusals, caches, holdback) costs work, never a verdict.
//! - Bounded: everything that is not an accepted control op has a cap.

use core::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::Bound;
use std::sync::Arc;

use crate::accept::{
    self, AcceptError, CONTENT_PACE, CONTROL_PACE, ControlRecords, Facts, Judge, PACE_SECS, Rule,
};
use crate::authority::{Authority, View};
use crate::bounded::Bounded;
use crate::branches::Ends;
use crate::dag::{ControlDag, Past};
use crate::deferral::Deferral;
use crate::hlc::{Hlc, Timestamp};
use crate::holdback::Holdback;
use crate::ids::{DeviceId, Lane, OpId, Scope, SpaceId};
use crate::kind::{Features, Kind};
use crate::lost::{LostOps, Place};
use crate::op::{AcceptedOp, SignedOp, VerifiedOp};
use crate::store::{Store, StoreError};
use crate::table::{OpTable, SpaceNo};

/// Most bytes of ops that wait for a feature, for one Space: 64 MiB (A18).
pub const WAITING_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// Most refused ops remembered. Guess: a peer that resends more pays more than we do.
const REFUSED_MAX: usize = 20_000;
/// Most content ops whose facts are kept: about 250 bytes each.
const RECENT_MAX: usize = 16_384;
/// Most lanes whose last times are kept: about a kilobyte each.
const TAILS_MAX: usize = 2_048;
/// Most pasts kept by frontier; they share structure.
const PASTS_MAX: usize = 1_024;
/// Most lanes whose ends are kept: about 200 bytes each. With more they are read each time.
const HEADS_MAX: usize = 16_384;
/// Most views kept by frontier. Content clings to few: those of the last control ops.
const VIEWS_MAX: usize = 64;

/// By lane, its greatest position and the ops there, sorted: more than one is an equivocation (B11).
pub type Heads = BTreeMap<Lane, Vec<(u64, OpId)>>;

/// The log of one Space. `V` is what the authority's fold gives.
#[derive(Clone, Debug)]
pub struct SpaceLog<V> {
    table: OpTable,
    dag: ControlDag,
    records: ControlRecords,
    holdback: Holdback,
    deferral: Deferral,
    waiting: BTreeMap<OpId, Waiting>,
    waiting_bytes: u64,
    /// Accepted once, and to be judged again when they come again.
    lost: LostOps,
    /// The ends of the lanes that have forked.
    branches: BTreeMap<Lane, Ends>,
    /// The ends of all lanes by their rows, once asked for: every message about heads needs them.
    heads: RefCell<Option<Arc<Heads>>>,
    refused: Bounded<OpId, Rule>,
    recent: Bounded<OpId, Facts>,
    /// By the head of a lane, the times of its last ops, oldest first.
    tails: Bounded<OpId, VecDeque<Hlc>>,
    pasts: Bounded<Vec<OpId>, Past>,
    views: Bounded<Vec<OpId>, Arc<V>>,
}

/// What became of an op that broke no rule.
#[derive(Debug)]
pub enum Accept {
    /// It is in the log, and with it what waited for it.
    Applied {
        /// Parents before children. An op that was here without its payload and came whole is
        /// named again.
        accepted: Vec<AcceptedOp>,
        /// What waited for one of these and is invalid, or could not be judged.
        refused: Vec<Refused>,
    },
    /// In holdback until every missing op is here; dropped again if there is no room.
    Held {
        /// Everything it misses. Some may be held too: [`Holdback::missing`] says what to fetch.
        missing: BTreeSet<OpId>,
    },
    /// From the future: looked at again by [`SpaceLog::due`].
    Deferred {
        /// When.
        until: Timestamp,
    },
    /// Its Space uses features that this version lacks: kept until an update (A18).
    Waiting(Features),
    /// It was here already.
    Duplicate,
}

/// An op that left holdback without being accepted.
#[derive(Debug)]
pub struct Refused {
    /// The op.
    pub id: OpId,
    /// As it came.
    pub op: SignedOp,
    /// Why.
    pub error: AcceptError,
}

/// What a start found in the store.
#[derive(Debug, Default)]
pub struct Resumed {
    /// How many control ops are in the graph.
    pub control_ops: usize,
    /// Control ops whose records are damaged: [`SpaceLog::lost`] has them too.
    pub damaged: Vec<OpId>,
    /// Ops that had waited for a feature that this version knows, now accepted.
    pub accepted: Vec<AcceptedOp>,
}

#[derive(Clone, Copy, Debug)]
struct Waiting {
    features: Features,
    bytes: u64,
}

impl<V: View> SpaceLog<V> {
    /// Begins the log of a Space of which the store holds nothing.
    #[must_use]
    pub fn new(space: SpaceId, no: SpaceNo) -> Self {
        Self {
            table: OpTable::new(space, no),
            dag: ControlDag::new(),
            records: ControlRecords::default(),
            holdback: Holdback::default(),
            deferral: Deferral::default(),
            waiting: BTreeMap::new(),
            waiting_bytes: 0,
            lost: LostOps::new(),
            branches: BTreeMap::new(),
            heads: RefCell::new(None),
            refused: Bounded::new(REFUSED_MAX),
            recent: Bounded::new(RECENT_MAX),
            tails: Bounded::new(TAILS_MAX),
            pasts: Bounded::new(PASTS_MAX),
            views: Bounded::new(VIEWS_MAX),
        }
    }

    /// Takes up the log of a Space from the store, into an authority that knows nothing yet.
    ///
    /// Reads the control plane, no content, and what waits for its time. Holdback starts empty. Rows
    /// of damaged records are staged for removal: commit after it.
    ///
    /// # Errors
    /// When storage fails. Damage is no error: see [`Resumed::damaged`].
    pub fn resume<S: Store, A: Authority<View = V>>(
        space: SpaceId,
        no: SpaceNo,
        now: Timestamp,
        store: &mut S,
        authority: &mut A,
    ) -> Result<(Self, Resumed), StoreError> {
        let mut log = Self::new(space, no);
        log.lost = log.table.lost(store)?;
        log.branches = log.table.branches(store)?;
        let mut resumed = Resumed::default();
        let mut ops = Vec::new();
        for (lane, seq, id) in log.table.control_ops(store)? {
            match log.table.op(store, &id) {
                Ok(Some(op)) if op.header().lane() == lane => ops.push(op),
                Ok(_) | Err(StoreError::Damaged { .. }) => {
                    log.note_lost(store, &id, Some((lane, seq)));
                    resumed.damaged.push(id);
                }
                Err(error) => return Err(error),
            }
        }
        // Times grow along references (R2), so this order is causal.
        ops.sort_by_key(|op| (op.header().hlc, op.id()));
        for op in ops {
            let absent = |id: &OpId| !log.dag.contains(id);
            let missing: BTreeSet<OpId> = op.header().refs().filter(absent).collect();
            if missing.is_empty() {
                log.enter_control_plane(op, authority);
                continue;
            }
            // It builds on something damaged: it waits for that to be fetched, and is judged again.
            let (place, id) = ((op.header().lane(), op.header().seq), op.id());
            match SignedOp::clone(&op).verify() {
                Ok(op) => log.hold(op, missing, now, store)?,
                Err(_) => {
                    log.note_lost(store, &id, Some(place));
                    resumed.damaged.push(id);
                }
            }
        }
        resumed.control_ops = log.dag.len();
        log.judge_waiting_again(store, authority, now, &mut resumed)?;
        log.defer_again(store)?;
        Ok((log, resumed))
    }

    /// Takes an op in: judges it, or finds out why it cannot be judged yet.
    ///
    /// Stages rows and records in the store; the caller commits. If that commit fails, memory is
    /// ahead of the store: [`SpaceLog::resume`]. Cost: a few µs for a content op on a known
    /// frontier; a control op costs a view of its own.
    ///
    /// # Errors
    /// The rule that it breaks, and then what waited for it is dropped with it; or that storage
    /// failed, and then nothing was decided about it.
    pub fn accept<S: Store, A: Authority<View = V>>(
        &mut self,
        op: VerifiedOp,
        now: Timestamp,
        store: &mut S,
        authority: &mut A,
    ) -> Result<Accept, AcceptError> {
        self.take(op, now, Ahead::Waits, store, authority)
    }

    /// Takes in an op of this device. It may lie ahead of the clock, since it is later than everything
    /// it names: were it to wait, the next one would be written at the same place of its lane.
    ///
    /// # Errors
    /// As [`SpaceLog::accept`].
    pub fn accept_own<S: Store, A: Authority<View = V>>(
        &mut self,
        op: VerifiedOp,
        now: Timestamp,
        store: &mut S,
        authority: &mut A,
    ) -> Result<Accept, AcceptError> {
        self.take(op, now, Ahead::IsTaken, store, authority)
    }

    fn take<S: Store, A: Authority<View = V>>(
        &mut self,
        op: VerifiedOp,
        now: Timestamp,
        ahead: Ahead,
        store: &mut S,
        authority: &mut A,
    ) -> Result<Accept, AcceptError> {
        let id = op.id();
        if op.space() != self.space() {
            return Err(AcceptError::OtherSpace { space: op.space() });
        }
        if self.dag.contains(&id) {
            return Ok(Accept::Duplicate);
        }
        if let Some(rule) = self.refused.get(&id) {
            return Err(AcceptError::RefusedBefore { rule: *rule });
        }
        if let Some(missing) = self.holdback.missing_of(&id) {
            return Ok(Accept::Held {
                missing: missing.clone(),
            });
        }
        if let Some(waiting) = self.waiting.get(&id) {
            return Ok(Accept::Waiting(waiting.features));
        }
        let here = self.table.stored(store, &id)?;
        // A control op that is stored and not in the graph waited for one that was lost.
        if let Some(stored) = here.filter(|_| !op.header().is_control()) {
            if stored.pruned && op.payload_bytes().is_some() {
                let whole = AcceptedOp::new(op);
                self.table.put(store, &whole)?;
                return Ok(Accept::Applied {
                    accepted: vec![whole],
                    refused: Vec::new(),
                });
            }
            return Ok(Accept::Duplicate);
        }
        if ahead == Ahead::Waits
            && let Some(until) = Deferral::until(op.header().hlc, now)
        {
            self.defer(op, store);
            return Ok(Accept::Deferred { until });
        }
        self.run(op, now, store, authority)
    }

    /// Takes in the deferred ops whose time has come, parents first, each with what became of it.
    pub fn due<S: Store, A: Authority<View = V>>(
        &mut self,
        now: Timestamp,
        store: &mut S,
        authority: &mut A,
    ) -> Vec<(OpId, Result<Accept, AcceptError>)> {
        let due = self.deferral.due(now);
        due.into_iter()
            .map(|op| {
                self.table.end_deferral(store, &op.id());
                (op.id(), self.accept(op, now, store, authority))
            })
            .collect()
    }

    /// Drops from holdback what has waited too long. Returns what was dropped.
    ///
    /// # Errors
    /// When storage fails.
    pub fn expire<S: Store>(
        &mut self,
        now: Timestamp,
        store: &mut S,
    ) -> Result<Vec<OpId>, StoreError> {
        let dropped = self.holdback.expire(now);
        self.lose_stored(&dropped, store)?;
        Ok(dropped)
    }

    /// Takes note that an op's record cannot be read. What is in memory is written again; anything
    /// else counts as missing from now on. Nothing happens when the op is not here anyway.
    ///
    /// # Errors
    /// When storage fails.
    pub fn lose<S: Store>(&mut self, store: &mut S, id: &OpId) -> Result<(), StoreError> {
        if let Some(node) = self.dag.node(id) {
            self.table.put(store, &node.op)?;
        } else if self.table.contains(store, id)? {
            self.note_lost(store, id, None);
        }
        Ok(())
    }

    /// Forgets own ops that were lost before anybody else had them, and those that build on them:
    /// their lanes go on from before.
    ///
    /// # Errors
    /// When storage fails.
    pub fn write_off<S: Store>(
        &mut self,
        store: &mut S,
        device: &DeviceId,
        ids: &BTreeSet<OpId>,
    ) -> Result<(), StoreError> {
        for head in self.table.all_lanes(store)? {
            if head.lane.device != *device {
                continue;
            }
            for (seq, id) in self.table.range(store, &head.lane, 0, None, usize::MAX)? {
                if ids.contains(&id) {
                    self.table.forget_in_lane(store, &id, &head.lane, seq);
                    self.tails.remove(&id);
                }
            }
        }
        *self.heads.borrow_mut() = None;
        for id in ids {
            if self.lost.remove(id).is_some() {
                self.table.found(store, id);
            }
            self.holdback.drop_op(id);
            self.recent.remove(id);
        }
        Ok(())
    }

    /// Returns the Space.
    #[must_use]
    pub const fn space(&self) -> SpaceId {
        self.table.space()
    }

    /// Returns where its ops lie in the store.
    #[must_use]
    pub const fn table(&self) -> &OpTable {
        &self.table
    }

    /// Returns the control plane.
    #[must_use]
    pub const fn dag(&self) -> &ControlDag {
        &self.dag
    }

    /// Returns where an op stands that is in memory: every control op, and what came last of content.
    #[must_use]
    pub fn place_of(&self, id: &OpId) -> Option<(Lane, u64)> {
        if let Some(node) = self.dag.node(id) {
            let h = node.op.header();
            return Some((h.lane(), h.seq));
        }
        let facts = self.recent.get(id)?;
        let lane = Lane {
            device: facts.device,
            scope: facts.scope,
        };
        Some((lane, facts.seq))
    }

    /// Returns the ops that were accepted and are not here any more.
    #[must_use]
    pub const fn lost(&self) -> &LostOps {
        &self.lost
    }

    /// Returns at most `limit` ops to ask others for, sorted: what held ops miss, and what is lost.
    #[must_use]
    pub fn missing(&self, limit: usize) -> Vec<OpId> {
        let mut missing: BTreeSet<OpId> = self.holdback.missing(limit).into_iter().collect();
        let lost = self.lost.keys().filter(|id| !self.holdback.contains(id));
        missing.extend(lost.take(limit));
        missing.into_iter().take(limit).collect()
    }

    /// Returns at most `limit` ops to ask others for: those that come after this one, and then those from
    /// the first on. Somebody who names ops that do not exist must not keep others from being asked for.
    #[must_use]
    pub fn missing_after(&self, after: &OpId, limit: usize) -> Vec<OpId> {
        let mut later: BTreeSet<OpId> = self.holdback.missing_after(after, limit).collect();
        let lost = self.lost.range((Bound::Excluded(*after), Bound::Unbounded));
        let lost = lost.map(|(id, _)| *id);
        later.extend(lost.filter(|id| !self.holdback.contains(id)).take(limit));
        let mut missing: Vec<OpId> = later.into_iter().take(limit).collect();
        let first = self.missing(limit - missing.len());
        missing.extend(first.into_iter().filter(|id| id <= after));
        missing
    }

    /// Returns the ends of the lanes that have forked (B11).
    #[must_use]
    pub const fn branches(&self) -> &BTreeMap<Lane, Ends> {
        &self.branches
    }

    /// Returns the ends of all lanes as they lie in the store, lost ops included.
    ///
    /// # Errors
    /// When storage fails.
    pub fn heads<S: Store>(&self, store: &S) -> Result<Arc<Heads>, StoreError> {
        if let Some(heads) = &*self.heads.borrow() {
            return Ok(Arc::clone(heads));
        }
        let all = self.table.all_lanes(store)?.into_iter();
        let all = all.map(|head| {
            let ops = head.ops.into_iter().map(|id| (head.seq, id));
            (head.lane, ops.collect())
        });
        let heads = Arc::new(all.collect::<Heads>());
        if heads.len() <= HEADS_MAX {
            *self.heads.borrow_mut() = Some(Arc::clone(&heads));
        }
        Ok(heads)
    }

    /// An op has its row in its lane: what is kept of the ends follows.
    fn note_head(&mut self, op: &SignedOp) {
        let kept = self.heads.get_mut();
        let Some(heads) = kept else {
            return;
        };
        let (lane, end) = (op.header().lane(), (op.header().seq, op.id()));
        let heads = Arc::make_mut(heads);
        let ends = heads.entry(lane).or_default();
        match ends.first() {
            Some((seq, _)) if *seq > end.0 => {}
            Some((seq, _)) if *seq == end.0 => {
                if let Err(at) = ends.binary_search(&end) {
                    ends.insert(at, end);
                }
            }
            Some(_) | None => *ends = vec![end],
        }
        if heads.len() > HEADS_MAX {
            *kept = None;
        }
    }

    /// Returns what waits for missing ops; [`Holdback::missing`] says what to fetch.
    #[must_use]
    pub const fn holdback(&self) -> &Holdback {
        &self.holdback
    }

    /// Returns the ops of a device that are here and not in the log: they wait for others or for their
    /// time. Their signatures are right; nothing else of them is judged.
    pub fn aside_of(&self, device: &DeviceId) -> impl Iterator<Item = &VerifiedOp> {
        let held = self.holdback.of_device(device);
        held.chain(self.deferral.of_device(device))
    }

    /// Returns what waits for its time.
    #[must_use]
    pub const fn deferral(&self) -> &Deferral {
        &self.deferral
    }

    /// Returns the features that ops wait for; when there are any, this version must not write (A18).
    #[must_use]
    pub fn awaited_features(&self) -> Features {
        let all = self.waiting.values().map(|w| w.features);
        all.fold(Features::NONE, Features::union)
    }

    /// Returns how many ops wait for a feature.
    #[must_use]
    pub fn waiting_len(&self) -> usize {
        self.waiting.len()
    }

    /// Returns the rule by which an op was refused, as far as that is remembered.
    #[must_use]
    pub fn refused_by(&self, id: &OpId) -> Option<Rule> {
        self.refused.get(id).copied()
    }

    /// Judges an op and everything that is released by it.
    fn run<S: Store, A: Authority<View = V>>(
        &mut self,
        first: VerifiedOp,
        now: Timestamp,
        store: &mut S,
        authority: &mut A,
    ) -> Result<Accept, AcceptError> {
        let first_id = first.id();
        // Nearly always this one is all there is.
        let mut accepted = Vec::with_capacity(1);
        let mut refused = Vec::new();
        let mut outcome = None;
        let mut queue = BTreeMap::new();
        let mut next = Some(first);
        while let Some(op) = next.take().or_else(|| queue.pop_first().map(|(_, op)| op)) {
            let id = op.id();
            // Few are released by another; whoever brought the first has it.
            let copy = (id != first_id).then(|| op.op().clone());
            let released = match self.step(op, now, store, authority) {
                Ok(Step::Accepted(op)) => {
                    accepted.push(op);
                    self.holdback.settle(&id)
                }
                Ok(Step::Held(missing)) => {
                    outcome.get_or_insert(Accept::Held { missing });
                    Vec::new()
                }
                Ok(Step::Waits(features)) => {
                    outcome.get_or_insert(Accept::Waiting(features));
                    self.holdback.settle(&id)
                }
                Err(error) => {
                    let fallen = match error.rule() {
                        Some(rule) if error.is_verdict() => self.refuse(id, rule),
                        _ => Vec::new(),
                    };
                    let Some(op) = copy else {
                        for op in &fallen {
                            tracing::debug!(op = %op.id.short(), "dropped with what it builds on");
                        }
                        return Err(error);
                    };
                    refused.push(Refused { id, op, error });
                    refused.extend(fallen);
                    Vec::new()
                }
            };
            queue.extend(
                released
                    .into_iter()
                    .map(|op| ((op.header().hlc, op.id()), op)),
            );
        }
        if accepted.is_empty()
            && let Some(outcome) = outcome
        {
            return Ok(outcome);
        }
        Ok(Accept::Applied { accepted, refused })
    }

    /// Judges one op and, when it is valid, makes it part of the log.
    fn step<S: Store, A: Authority<View = V>>(
        &mut self,
        op: VerifiedOp,
        now: Timestamp,
        store: &mut S,
        authority: &mut A,
    ) -> Result<Step, AcceptError> {
        op.header().check_limits().map_err(AcceptError::Limit)?;
        if op.header().kind() == Some(Kind::Genesis) {
            accept::judge_genesis(&op, &self.space())?;
            return self.admit(op, Past::default(), None, store, authority);
        }
        let deps = match self.deps(&op, store)? {
            Deps::Here(deps) => deps,
            Deps::Missing(missing) => {
                self.hold(op, missing.clone(), now, store)?;
                return Ok(Step::Held(missing));
            }
            Deps::Waits(features) => return self.keep_waiting(&op, features, store),
        };
        let h = op.header();
        let frontier = frontier(&op);
        let needs_no_feature = h.kind().is_some_and(|k| k.feature() == Features::NONE);
        if frontier.is_empty() {
            // Nothing it has seen makes its author a member.
            return Err(AcceptError::NotMember { user: h.user });
        }
        if needs_no_feature && let Some(error) = self.records.stranger(&op) {
            return Err(error);
        }
        let (past, view) = self.fold(&frontier, h.is_control(), authority);
        let kind = match gate(h.kind(), view.features()) {
            Gate::Judge(kind) => kind,
            Gate::Wait(features) => return self.keep_waiting(&op, features, store),
            Gate::Off => return Err(AcceptError::FeatureOff { kind: h.kind }),
        };
        let paced = match self.paced(&op, deps.back.as_ref(), store)? {
            LaneTime::At(hlc) => Some(hlc),
            LaneTime::Open => None,
            // Judged without it, the verdict would be this device's alone.
            LaneTime::Lost(id) => {
                let missing = BTreeSet::from([id]);
                self.note_lost(store, &id, None);
                self.hold(op, missing.clone(), now, store)?;
                return Ok(Step::Held(missing));
            }
        };
        let judge = Judge {
            op: &op,
            back: deps.back.as_ref(),
            prev: &deps.prev,
            floor: deps.floor,
            paced,
            past: &past,
            view: view.as_ref(),
            authority: &*authority,
            dag: &self.dag,
            records: &self.records,
            quorum: None,
        };
        judge.judge(kind)?;
        self.admit(op, past, deps.back, store, authority)
    }

    /// Makes a valid op part of the log: store first, then memory.
    fn admit<S: Store, A: Authority<View = V>>(
        &mut self,
        op: VerifiedOp,
        past: Past,
        back: Option<Facts>,
        store: &mut S,
        authority: &mut A,
    ) -> Result<Step, AcceptError> {
        let op = AcceptedOp::new(op);
        let id = op.id();
        let control = op.header().is_control();
        let mut tail = back.and_then(|back| self.tails.remove(&back.id));
        // What follows the last op of a lane forks nothing; of any other it must be looked up.
        if (control || tail.is_none() || self.branches.contains_key(&op.header().lane()))
            && let Some(ends) = self.table.note_branch(store, &op)?
        {
            self.branches.insert(op.header().lane(), ends);
        }
        // Its record is here when it only waited for one that was lost.
        if !(control && self.table.contains(store, &id)?) {
            self.table.put(store, &op)?;
        }
        self.note_head(&op);
        if self.lost.remove(&id).is_some() {
            self.table.found(store, &id);
            // Others build on it: it is not the end of its lane.
            tail = None;
        } else if !control {
            let mut times = tail.take().unwrap_or_default();
            if u64::try_from(times.len()).is_ok_and(|len| len >= CONTENT_PACE) {
                times.pop_front();
            }
            times.push_back(op.header().hlc);
            tail = Some(times);
        }
        if let Some(waited) = self.waiting.remove(&id) {
            self.waiting_bytes -= waited.bytes;
            self.table.end_waiting(store, &id);
        }
        if control {
            self.enter_control_plane(op.clone(), authority);
        } else {
            if let Some(tail) = tail {
                self.tails.insert(id, tail);
            }
            self.recent.insert(id, Facts::of(&op, past));
        }
        Ok(Step::Accepted(op))
    }

    /// Holds an op back. What is dropped for that and lies in the log is lost until it comes again.
    fn hold<S: Store>(
        &mut self,
        op: VerifiedOp,
        missing: BTreeSet<OpId>,
        now: Timestamp,
        store: &mut S,
    ) -> Result<(), StoreError> {
        let dropped = self.holdback.hold(op, missing, now);
        self.lose_stored(&dropped, store)
    }

    fn lose_stored<S: Store>(&mut self, ids: &[OpId], store: &mut S) -> Result<(), StoreError> {
        for id in ids {
            if self.table.contains(store, id)? {
                self.note_lost(store, id, None);
            }
        }
        Ok(())
    }

    fn note_lost<S: Store>(&mut self, store: &mut S, id: &OpId, place: Option<Place>) {
        let known = self.lost.get(id).copied().flatten();
        let place = place.or(known);
        self.table.lose(store, id, place.as_ref());
        self.lost.insert(*id, place);
    }

    fn enter_control_plane<A: Authority<View = V>>(&mut self, op: AcceptedOp, authority: &mut A) {
        let id = op.id();
        self.records.insert(&op);
        self.dag.insert(Arc::new(op));
        authority.admit(&self.dag, &id);
    }

    /// S1: looks up what an op names.
    fn deps<S: Store>(&mut self, op: &SignedOp, store: &mut S) -> Result<Deps, AcceptError> {
        let h = op.header();
        let mut here = Here::default();
        let mut missing = BTreeSet::new();
        let mut waits = None;
        let control = h.ctl.iter().map(|id| (id, true));
        let back = h.back.iter().map(|id| (id, h.is_control()));
        let prev = h.prev.iter().map(|id| (id, false));
        for (id, in_control) in back.chain(control).chain(prev) {
            let facts = match self.look_up(id, in_control, store)? {
                Found::Control(facts) if in_control => facts,
                Found::Content(facts) if !in_control => facts,
                Found::Control(_) | Found::Content(_) => {
                    return Err(AcceptError::WrongPlane { dep: *id });
                }
                Found::Invalid => return Err(AcceptError::DependsOnInvalid { dep: *id }),
                Found::Waits(features) => {
                    waits.get_or_insert(features);
                    continue;
                }
                Found::Missing(ids) => {
                    missing.extend(ids);
                    continue;
                }
            };
            here.floor = here.floor.max(facts.hlc);
            if h.back.as_ref() == Some(id) && here.back.is_none() {
                here.back = Some(facts);
            } else if !in_control {
                here.prev.push(facts);
            }
        }
        Ok(match (missing.is_empty(), waits) {
            (false, _) => Deps::Missing(missing),
            (true, Some(features)) => Deps::Waits(features),
            (true, None) => Deps::Here(here),
        })
    }

    fn look_up<S: Store>(
        &mut self,
        id: &OpId,
        in_control: bool,
        store: &mut S,
    ) -> Result<Found, StoreError> {
        if let Some(node) = self.dag.node(id) {
            return Ok(Found::Control(Facts::of(&node.op, Past::default())));
        }
        if let Some(facts) = self.recent.get(id) {
            return Ok(Found::Content(facts.clone()));
        }
        if self.refused.get(id).is_some() {
            return Ok(Found::Invalid);
        }
        if let Some(waiting) = self.waiting.get(id) {
            return Ok(Found::Waits(waiting.features));
        }
        let op = match self.table.op(store, id) {
            Ok(Some(op)) => op,
            Ok(None) => return Ok(Found::Missing(vec![*id])),
            Err(StoreError::Damaged { .. }) => {
                // It was accepted once and will be again; until then it is as good as not here.
                self.note_lost(store, id, None);
                return Ok(Found::Missing(vec![*id]));
            }
            Err(error) => return Err(error),
        };
        if op.header().is_control() {
            // It waits for one that was lost.
            return Ok(Found::Missing(vec![*id]));
        }
        let ctl = &op.header().ctl;
        let absent: Vec<OpId> = ctl
            .iter()
            .filter(|id| !self.dag.contains(id))
            .copied()
            .collect();
        if !absent.is_empty() && !in_control {
            return Ok(Found::Missing(absent));
        }
        let facts = Facts::of(&op, self.past(ctl));
        self.recent.insert(*id, facts.clone());
        Ok(Found::Content(facts))
    }

    /// Returns past and view at a frontier. Control ops have frontiers of their own, not worth keeping.
    fn fold<A: Authority<View = V>>(
        &mut self,
        frontier: &Vec<OpId>,
        is_control: bool,
        authority: &mut A,
    ) -> (Past, Arc<V>) {
        if is_control {
            let past = self.dag.past_of(frontier);
            return (past, authority.view(&self.dag, frontier));
        }
        let past = self.past(frontier);
        let view = match self.views.get(frontier) {
            Some(view) => Arc::clone(view),
            None => {
                let view = authority.view(&self.dag, frontier);
                self.views.insert(frontier.clone(), Arc::clone(&view));
                view
            }
        };
        (past, view)
    }

    fn past(&mut self, frontier: &Vec<OpId>) -> Past {
        if let Some(past) = self.pasts.get(frontier) {
            return past.clone();
        }
        let past = self.dag.past_of(frontier);
        self.pasts.insert(frontier.clone(), past.clone());
        past
    }

    /// R7: when the lane stood one window of ops ago, if that can matter.
    fn paced<S: Store>(
        &self,
        op: &SignedOp,
        back: Option<&Facts>,
        store: &S,
    ) -> Result<LaneTime, StoreError> {
        let h = op.header();
        let pace = if h.is_control() {
            CONTROL_PACE
        } else {
            CONTENT_PACE
        };
        let (Some(back), Some(seq)) = (back, h.seq.checked_sub(pace)) else {
            return Ok(LaneTime::Open);
        };
        let next_in_lane = back.device == h.device
            && back.scope == h.scope
            && back.seq.checked_add(1) == Some(h.seq);
        if !next_in_lane || h.hlc >= back.hlc.plus_secs(PACE_SECS) {
            return Ok(LaneTime::Open);
        }
        self.lane_time(back, seq, store)
    }

    /// Returns the time of the op at `seq` on the branch of a lane that ends in `last`.
    pub(crate) fn lane_time<S: Store>(
        &self,
        last: &Facts,
        seq: u64,
        store: &S,
    ) -> Result<LaneTime, StoreError> {
        if last.scope == Scope::Control {
            let time = self.records.time_at(&last.id, seq);
            return Ok(time.map_or(LaneTime::Open, LaneTime::At));
        }
        if let Some(tail) = self.tails.get(&last.id) {
            let steps = usize::try_from(last.seq.saturating_sub(seq)).unwrap_or(usize::MAX);
            let at = tail.len().checked_sub(steps.saturating_add(1));
            if let Some(hlc) = at.and_then(|at| tail.get(at)) {
                return Ok(LaneTime::At(*hlc));
            }
        }
        let lane = Lane {
            device: last.device,
            scope: last.scope,
        };
        if let [only] = self.table.at(store, &lane, seq)?.as_slice() {
            let time = self.time_of(only, store)?;
            return Ok(time.map_or(LaneTime::Lost(*only), LaneTime::At));
        }
        // The lane forked: only its own branch counts, so walk it.
        let mut id = last.id;
        loop {
            let Some(op) = self.readable(&id, store)? else {
                return Ok(LaneTime::Lost(id));
            };
            match op.header().back {
                Some(back) if op.header().seq > seq => id = back,
                _ => return Ok(LaneTime::At(op.header().hlc)),
            }
        }
    }

    /// Returns the time of an accepted op; `None` when it is not here, or cannot be read.
    pub(crate) fn time_of<S: Store>(
        &self,
        id: &OpId,
        store: &S,
    ) -> Result<Option<Hlc>, StoreError> {
        if let Some(node) = self.dag.node(id) {
            return Ok(Some(node.op.header().hlc));
        }
        if let Some(facts) = self.recent.get(id) {
            return Ok(Some(facts.hlc));
        }
        Ok(self.readable(id, store)?.map(|op| op.header().hlc))
    }

    fn readable<S: Store>(&self, id: &OpId, store: &S) -> Result<Option<AcceptedOp>, StoreError> {
        match self.table.op(store, id) {
            Err(StoreError::Damaged { .. }) => Ok(None),
            other => other,
        }
    }

    /// Remembers an invalid op. Returns what falls with it: everything held that builds on it.
    fn refuse(&mut self, id: OpId, rule: Rule) -> Vec<Refused> {
        self.refused.insert(id, rule);
        let mut fallen = Vec::new();
        let mut invalid = vec![id];
        while let Some(dep) = invalid.pop() {
            for op in self.holdback.dependents(&dep) {
                self.refused.insert(op.id(), Rule::S1);
                invalid.push(op.id());
                fallen.push(Refused {
                    id: op.id(),
                    op: op.op().clone(),
                    error: AcceptError::DependsOnInvalid { dep },
                });
            }
        }
        fallen
    }

    fn keep_waiting<S: Store>(
        &mut self,
        op: &SignedOp,
        features: Features,
        store: &mut S,
    ) -> Result<Step, AcceptError> {
        let bytes = u64::try_from(op.size()).unwrap_or(u64::MAX);
        let room = WAITING_BYTES_MAX.saturating_sub(self.waiting_bytes);
        if bytes <= room && !self.waiting.contains_key(&op.id()) {
            self.table.put_waiting(store, op)?;
            self.note_waiting(op.id(), Waiting { features, bytes });
        }
        Ok(Step::Waits(features))
    }

    /// Puts an op from the future aside.
    fn defer<S: Store>(&mut self, op: VerifiedOp, store: &mut S) {
        let (hlc, id) = (op.header().hlc, op.id());
        if self.deferral.contains(hlc, id) {
            return;
        }
        self.table.defer(store, &op);
        for dropped in self.deferral.put(op) {
            self.table.end_deferral(store, &dropped);
        }
    }

    /// What waited for its time before a restart waits on.
    fn defer_again<S: Store>(&mut self, store: &mut S) -> Result<(), StoreError> {
        for op in self.table.deferred(store)? {
            let id = op.id();
            self.table.end_deferral(store, &id);
            let here = self.dag.contains(&id) || self.table.contains(store, &id)?;
            if let Some(op) = op.verify().ok().filter(|_| !here) {
                self.defer(op, store);
            }
        }
        Ok(())
    }

    fn note_waiting(&mut self, id: OpId, waiting: Waiting) {
        self.waiting_bytes += waiting.bytes;
        self.waiting.insert(id, waiting);
    }

    /// After an update ops that waited may be judged; in the same version they wait on.
    fn judge_waiting_again<S: Store, A: Authority<View = V>>(
        &mut self,
        store: &mut S,
        authority: &mut A,
        now: Timestamp,
        resumed: &mut Resumed,
    ) -> Result<(), StoreError> {
        let mut waiting = self.table.waiting(store)?;
        waiting.sort_by_key(|(op, _)| (op.header().hlc, op.id()));
        for (op, _) in waiting {
            let id = op.id();
            if self.table.contains(store, &id)? {
                self.table.end_waiting(store, &id);
                continue;
            }
            let bytes = u64::try_from(op.size()).unwrap_or(u64::MAX);
            let Ok(op) = op.verify() else {
                self.table.end_waiting(store, &id);
                continue;
            };
            // Noted first, so that it is not appended to the log a second time.
            let features = Features::NONE;
            self.note_waiting(id, Waiting { features, bytes });
            match self.run(op, now, store, authority) {
                Ok(Accept::Waiting(features)) => {
                    if let Some(waiting) = self.waiting.get_mut(&id) {
                        waiting.features = features;
                    }
                }
                Ok(Accept::Applied { accepted, .. }) => resumed.accepted.extend(accepted),
                Err(AcceptError::Store(error)) => return Err(error),
                Ok(_) | Err(_) => {
                    self.waiting.remove(&id);
                    self.waiting_bytes -= bytes;
                    self.table.end_waiting(store, &id);
                }
            }
        }
        Ok(())
    }
}

#[expect(
    clippy::large_enum_variant,
    reason = "one lives at a time, on the stack"
)]
enum Step {
    Accepted(AcceptedOp),
    Held(BTreeSet<OpId>),
    Waits(Features),
}

enum Deps {
    Here(Here),
    Missing(BTreeSet<OpId>),
    Waits(Features),
}

/// What an op names, looked up.
struct Here {
    back: Option<Facts>,
    prev: Vec<Facts>,
    floor: Hlc,
}

impl Default for Here {
    fn default() -> Self {
        Self {
            back: None,
            prev: Vec::new(),
            floor: Hlc::ZERO,
        }
    }
}

enum Found {
    Control(Facts),
    Content(Facts),
    Invalid,
    Waits(Features),
    Missing(Vec<OpId>),
}

/// What becomes of an op that lies ahead of the clock.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ahead {
    Waits,
    IsTaken,
}

/// When a lane stood at some position.
pub(crate) enum LaneTime {
    At(Hlc),
    /// It need not be known.
    Open,
    /// It would be told by an op that cannot be read.
    Lost(OpId),
}

enum Gate {
    Judge(Kind),
    Wait(Features),
    Off,
}

/// A18: which kinds this Space has switched on, and which of those this version can judge.
fn gate(kind: Option<Kind>, on: Features) -> Gate {
    let unknown = Features::from_bits(on.bits() & !Features::KNOWN.bits());
    match kind {
        Some(kind) if !on.contains(kind.feature()) => Gate::Off,
        Some(kind) if !Features::KNOWN.contains(kind.feature()) => Gate::Wait(kind.feature()),
        Some(kind) => Gate::Judge(kind),
        // Which bit a kind from the future needs is not known here; without any it is surely off.
        None if unknown == Features::NONE => Gate::Off,
        None => Gate::Wait(unknown),
    }
}

/// Returns the control ops from which ctlpast of an op is closed (A11), sorted.
fn frontier(op: &SignedOp) -> Vec<OpId> {
    let h = op.header();
    if !h.is_control() {
        return h.ctl.clone();
    }
    let all: BTreeSet<OpId> = h.refs().collect();
    all.into_iter().collect()
}
