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

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use crate::accept::{
    self, AcceptError, CONTENT_PACE, CONTROL_PACE, ControlRecords, Facts, Judge, PACE_SECS, Rule,
};
use crate::authority::{Authority, View};
use crate::bounded::Bounded;
use crate::dag::{ControlDag, Past};
use crate::deferral::Deferral;
use crate::hlc::{Hlc, Timestamp};
use crate::holdback::Holdback;
use crate::ids::{OpId, SpaceId};
use crate::kind::{Features, Kind};
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
/// Most views kept by frontier. Content clings to few: those of the last control ops.
const VIEWS_MAX: usize = 64;

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
    /// Why.
    pub error: AcceptError,
}

/// What a start found in the store.
#[derive(Debug, Default)]
pub struct Resumed {
    /// How many control ops are in the graph.
    pub control_ops: usize,
    /// Control ops whose records are damaged. Their rows are gone: fetch them again.
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
            refused: Bounded::new(REFUSED_MAX),
            recent: Bounded::new(RECENT_MAX),
            tails: Bounded::new(TAILS_MAX),
            pasts: Bounded::new(PASTS_MAX),
            views: Bounded::new(VIEWS_MAX),
        }
    }

    /// Takes up the log of a Space from the store, into an authority that knows nothing yet.
    ///
    /// Reads the control plane, no content. Holdback and deferral start empty. Rows of damaged
    /// records are staged for removal: commit after it.
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
        let mut resumed = Resumed::default();
        let mut ops = Vec::new();
        for (lane, seq, id) in log.table.control_ops(store)? {
            match log.table.op(store, &id) {
                Ok(Some(op)) if op.header().lane() == lane => ops.push(op),
                Ok(_) | Err(StoreError::Damaged { .. }) => {
                    log.table.forget_in_lane(store, &id, &lane, seq);
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
            let (lane, seq, id) = (op.header().lane(), op.header().seq, op.id());
            log.table.forget_in_lane(store, &id, &lane, seq);
            match SignedOp::clone(&op).verify() {
                Ok(op) => drop(log.holdback.hold(op, missing, now)),
                Err(_) => resumed.damaged.push(id),
            }
        }
        resumed.control_ops = log.dag.len();
        log.judge_waiting_again(store, authority, now, &mut resumed)?;
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
        if let Some(stored) = self.table.stored(store, &id)? {
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
        if let Some(until) = Deferral::until(op.header().hlc, now) {
            self.deferral.put(op);
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
            .map(|op| (op.id(), self.accept(op, now, store, authority)))
            .collect()
    }

    /// Drops from holdback what has waited too long. Returns what was dropped.
    pub fn expire(&mut self, now: Timestamp) -> Vec<OpId> {
        self.holdback.expire(now)
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

    /// Returns what waits for missing ops; [`Holdback::missing`] says what to fetch.
    #[must_use]
    pub const fn holdback(&self) -> &Holdback {
        &self.holdback
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
        let mut accepted = Vec::new();
        let mut refused = Vec::new();
        let mut outcome = None;
        let mut queue = BTreeMap::from([((first.header().hlc, first_id), first)]);
        while let Some(((_, id), op)) = queue.pop_first() {
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
                    if id == first_id {
                        for op in &fallen {
                            tracing::debug!(op = %op.id.short(), "dropped with what it builds on");
                        }
                        return Err(error);
                    }
                    refused.push(Refused { id, error });
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
                self.holdback.hold(op, missing.clone(), now);
                return Ok(Step::Held(missing));
            }
            Deps::Waits(features) => return self.keep_waiting(&op, features, store),
        };
        let h = op.header();
        let frontier = frontier(&op);
        let needs_no_feature = h.kind().is_some_and(|k| k.feature() == Features::NONE);
        if frontier.is_empty() || (needs_no_feature && self.records.is_stranger(&op)) {
            // Nothing it has seen makes its author a member.
            return Err(AcceptError::NotMember { user: h.user });
        }
        let (past, view) = self.fold(&frontier, h.is_control(), authority);
        let kind = match gate(h.kind(), view.features()) {
            Gate::Judge(kind) => kind,
            Gate::Wait(features) => return self.keep_waiting(&op, features, store),
            Gate::Off => return Err(AcceptError::FeatureOff { kind: h.kind }),
        };
        let judge = Judge {
            op: &op,
            back: deps.back.as_ref(),
            prev: &deps.prev,
            floor: deps.floor,
            paced: self.paced(&op, deps.back.as_ref(), store)?,
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
        self.table.put(store, &op)?;
        if let Some(waited) = self.waiting.remove(&id) {
            self.waiting_bytes -= waited.bytes;
            self.table.end_waiting(store, &id);
        }
        if op.header().is_control() {
            self.enter_control_plane(op.clone(), authority);
        } else {
            let tail = back.and_then(|back| self.tails.remove(&back.id));
            let mut tail = tail.unwrap_or_default();
            if u64::try_from(tail.len()).is_ok_and(|len| len >= CONTENT_PACE) {
                tail.pop_front();
            }
            tail.push_back(op.header().hlc);
            self.tails.insert(id, tail);
            self.recent.insert(id, Facts::of(&op, past));
        }
        Ok(Step::Accepted(op))
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
                self.table.forget(store, id);
                return Ok(Found::Missing(vec![*id]));
            }
            Err(error) => return Err(error),
        };
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
    ) -> Result<Option<Hlc>, StoreError> {
        let h = op.header();
        let pace = if h.is_control() {
            CONTROL_PACE
        } else {
            CONTENT_PACE
        };
        let (Some(back), Some(seq)) = (back, h.seq.checked_sub(pace)) else {
            return Ok(None);
        };
        let next_in_lane = back.device == h.device
            && back.scope == h.scope
            && back.seq.checked_add(1) == Some(h.seq);
        if !next_in_lane || h.hlc >= back.hlc.plus_secs(PACE_SECS) {
            return Ok(None);
        }
        self.lane_time(back, seq, store)
    }

    /// Returns the time of the op at `seq` on the branch of a lane that ends in `last`.
    pub(crate) fn lane_time<S: Store>(
        &self,
        last: &Facts,
        seq: u64,
        store: &S,
    ) -> Result<Option<Hlc>, StoreError> {
        if last.scope == crate::Scope::Control {
            return Ok(self.records.time_at(&last.id, seq));
        }
        if let Some(tail) = self.tails.get(&last.id) {
            let steps = usize::try_from(last.seq.saturating_sub(seq)).unwrap_or(usize::MAX);
            let at = tail.len().checked_sub(steps.saturating_add(1));
            if let Some(hlc) = at.and_then(|at| tail.get(at)) {
                return Ok(Some(*hlc));
            }
        }
        let lane = crate::Lane {
            device: last.device,
            scope: last.scope,
        };
        if let [only] = self.table.at(store, &lane, seq)?.as_slice() {
            return self.time_of(only, store);
        }
        // The lane forked: only its own branch counts, so walk it.
        let mut id = last.id;
        while let Some(op) = self.table.op(store, &id)? {
            match op.header().back {
                Some(back) if op.header().seq > seq => id = back,
                _ => return Ok(Some(op.header().hlc)),
            }
        }
        Ok(None)
    }

    /// Returns the time of an accepted op.
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
        Ok(self.table.op(store, id)?.map(|op| op.header().hlc))
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
