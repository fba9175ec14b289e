//! The D-rules: what becomes of an accepted op of somebody who was removed (B8, A2, A14).
//!
//! A verdict depends on the op, on [`Standing`], and on the lanes of a removed author; on
//! nothing else.
//!
//! | rule | says |
//! |---|---|
//! | D0 | an author whose membership rests on nothing effective is not heard |
//! | D1 | covered: on the chain that ends in a head some removal names; like any other |
//! | D2 | not covered: late, shown with a flag; *unverified* in a scope no removal lists |
//! | D3 | refused: a Seal closed the removal in its scope and does not name it; or late, and of the removal's first epoch or one after it, behind 512 late ops of its author in a listed scope or 2,048 in open ones, or by policy in a listed scope |
//! | D4 | an act that needs authority is void when late, or when no effective grant carries it |
//!
//! Decided here where the text is silent:
//! - A Leave has no cut. What the leaver dated before it counts as seen: nobody else's word is
//!   overridden, and else a goodbye would flag everything they ever wrote.
//! - Coverage is that of the removals the op had not seen, united; a Leave's own word covers
//!   against that Leave alone.
//! - A head that is not here covers the lane up to the first fork that *is* here, so that a
//!   replica still fetching never refuses more than a complete one without an equivocation in play.

use core::cell::RefCell;
use core::fmt;
use core::ops::Range;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use oplog::accept::verb;
use oplog::payload::{CutHead, LatePolicy, Verb};
use oplog::store::StoreError;
use oplog::{Header, Kind, Lane, OpId, Scope, SignedOp};

use crate::authority::RemovalKind;

use super::Bodies;
use super::standing::{EffectiveRemoval, Sponsorship, Standing};

/// Most late ops of one person that are accepted in a listed scope (A13).
pub const SCOPE_LATE_OPS_MAX: u64 = 512;
/// Most late ops of one person that are accepted in all open scopes together (A13).
pub const OPEN_LATE_OPS_MAX: u64 = 2_048;

/// What the D-rules say about an op.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Like any other.
    Accepted,
    /// D2: accepted as history, flagged.
    Late(Late),
    /// It never counts.
    Refused {
        /// By which rule.
        rule: Rule,
        /// The op that decided: a void grant, or a removal.
        by: OpId,
    },
}

impl Verdict {
    /// Returns whether the op counts, flagged or not.
    #[must_use]
    pub const fn is_accepted(&self) -> bool {
        !matches!(self, Self::Refused { .. })
    }
}

/// How an op is late.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Late {
    /// Behind a click: some removal's policy is Quarantine, or Reject in an open scope.
    pub quarantined: bool,
    /// No removal lists the scope, so nobody has said what had been there.
    pub unverified: bool,
    /// The strictest removal that the author had not seen.
    pub removal: OpId,
}

/// Why an op never counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rule {
    /// D0: its author's membership rests on a void grant.
    Unsponsored,
    /// D3: it claims an epoch that already had seen the removal.
    Epoch,
    /// D3: a Seal closed the removal and does not name it.
    Closed,
    /// D3: too many late ops of its author before it.
    Quota,
    /// D3: the removal rejects late ops.
    Policy,
    /// D4: it needs authority, and is late or rests on a void grant.
    ActVoid,
}

impl Rule {
    /// Returns the rule's id in `docs/acceptance.md`.
    #[must_use]
    pub const fn id(self) -> &'static str {
        match self {
            Self::Unsponsored => "D0",
            Self::Epoch | Self::Closed | Self::Quota | Self::Policy => "D3",
            Self::ActVoid => "D4",
        }
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let why = match self {
            Self::Unsponsored => "the author's membership rests on nothing effective",
            Self::Epoch => "it claims an epoch that had seen the removal",
            Self::Closed => "a seal closed the removal without naming it",
            Self::Quota => "too many late ops of its author before it",
            Self::Policy => "the removal rejects late ops",
            Self::ActVoid => "an act that needs authority, late or without an effective grant",
        };
        write!(f, "{}: {why}", self.id())
    }
}

/// Judges ops of one Space. Lives for one query: what it remembers about lanes is never stale.
pub(super) struct Judge<'a, B: ?Sized, A: ?Sized> {
    pub(super) bodies: &'a B,
    pub(super) standing: &'a A,
    lanes: RefCell<BTreeMap<Lane, Arc<Forks>>>,
    /// Which op stands at a forked position of the chain that ends in a head.
    chains: RefCell<BTreeMap<(OpId, u64), OpId>>,
    /// By lane and the removals asked about.
    runs: RefCell<Runs>,
}

/// The ops at every position of a lane that has more than one.
type Forks = BTreeMap<u64, BTreeSet<OpId>>;

type Runs = BTreeMap<(Lane, Vec<OpId>), Arc<Run>>;

/// The late ops of one lane: those that no cut covers and whose author had not seen every removal.
enum Run {
    /// Of a lane without forks they stand in a row (R1, R3).
    Row(Range<u64>),
    /// Of a forked one, the first of them.
    Scattered(Vec<(u64, OpId)>),
}

impl<'a, B: Bodies + ?Sized, A: Standing + ?Sized> Judge<'a, B, A> {
    pub(super) const fn new(bodies: &'a B, standing: &'a A) -> Self {
        Self {
            bodies,
            standing,
            lanes: RefCell::new(BTreeMap::new()),
            chains: RefCell::new(BTreeMap::new()),
            runs: RefCell::new(BTreeMap::new()),
        }
    }

    /// Returns what the D-rules say.
    pub(super) fn verdict(&self, op: &SignedOp) -> Result<Verdict, StoreError> {
        let header = op.header();
        if let Sponsorship::Void { by } = self.standing.sponsorship(header) {
            let rule = Rule::Unsponsored;
            return Ok(Verdict::Refused { rule, by });
        }
        let moderates = self.moderates(header)?;
        let verb = if moderates && header.kind() == Some(Kind::ThreadUpdate) {
            Some(Verb::Tombstone)
        } else {
            header.kind().map(verb)
        };
        if let Some(by) = verb.and_then(|verb| self.standing.void_act(header, verb)) {
            let rule = Rule::ActVoid;
            return Ok(Verdict::Refused { rule, by });
        }
        let verdict = self.lateness(header, op.id())?;
        Ok(match verdict {
            Verdict::Late(late) if moderates => Verdict::Refused {
                rule: Rule::ActVoid,
                by: late.removal,
            },
            Verdict::Late(_) | Verdict::Accepted | Verdict::Refused { .. } => verdict,
        })
    }

    /// Returns whether this is an act of authority, which D4 voids when it is late. To change
    /// what another person opened is one, as acceptance has it (R6).
    fn moderates(&self, header: &Header) -> Result<bool, StoreError> {
        match header.kind() {
            Some(Kind::ModTombstone | Kind::ModRestore | Kind::Pin | Kind::Unpin) => Ok(true),
            Some(Kind::ThreadUpdate) => {
                let Some(target) = header.prev.first() else {
                    return Ok(false);
                };
                let target = self.bodies.op(target)?;
                Ok(target.is_some_and(|target| target.header().user != header.user))
            }
            Some(_) | None => Ok(false),
        }
    }

    /// D1–D3.
    fn lateness(&self, header: &Header, id: OpId) -> Result<Verdict, StoreError> {
        let mut removals = self.standing.removals(header);
        removals.retain(|r| !is_before_own_leave(header, r));
        // The strictest decides, and is named; rank and id make that one op for everybody.
        let Some(strictest) = removals.iter().max_by_key(|r| (r.late, r.rank, r.op)) else {
            return Ok(Verdict::Accepted);
        };
        let refused = |rule, by| Ok(Verdict::Refused { rule, by });
        if let Some(seal) = self.closed_without(header, id, &removals)? {
            return refused(Rule::Closed, seal);
        }
        let heads = heads_in(&header.lane(), &removals);
        if self.covered(&header.lane(), (header.seq, id), &heads)? {
            return Ok(Verdict::Accepted);
        }
        let bound = |r: &&Arc<EffectiveRemoval>| {
            r.first_epoch
                .is_some_and(|first| self.standing.descends(&header.epoch, &first))
        };
        if let Some(r) = removals.iter().find(bound) {
            return refused(Rule::Epoch, r.op);
        }
        let listed = is_listed(&header.scope, &removals);
        if listed && strictest.late == LatePolicy::Reject {
            return refused(Rule::Policy, strictest.op);
        }
        if self.quota_is_spent(header, id, &removals, listed)? {
            return refused(Rule::Quota, strictest.op);
        }
        Ok(Verdict::Late(Late {
            quarantined: strictest.late > LatePolicy::Accept,
            unverified: !listed,
            removal: strictest.op,
        }))
    }

    /// D3: the Seal that closed a removal in this scope and does not name the op. Before D1, for it
    /// is final: no cut or attest that came later brings the op back.
    fn closed_without(
        &self,
        header: &Header,
        id: OpId,
        removals: &[Arc<EffectiveRemoval>],
    ) -> Result<Option<OpId>, StoreError> {
        for closure in removals.iter().filter_map(|r| r.closure.as_ref()) {
            let Some(scope) = closure.cut.iter().find(|c| c.scope == header.scope) else {
                continue;
            };
            let of_device = scope.heads.iter().filter(|h| h.device == header.device);
            let heads: Vec<CutHead> = of_device.copied().collect();
            if !self.covered(&header.lane(), (header.seq, id), &heads)? {
                return Ok(Some(closure.seal));
            }
        }
        Ok(None)
    }

    /// D1: whether one of these heads ends a chain that this op is on.
    fn covered(&self, lane: &Lane, op: (u64, OpId), heads: &[CutHead]) -> Result<bool, StoreError> {
        for head in heads {
            if self.on_chain(lane, op, (head.seq, head.op))? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// A13: whether so many late ops of the same person stand before this one, by position, device and
    /// id, that it is not accepted: in its scope, or in all open ones if nobody lists that.
    fn quota_is_spent(
        &self,
        header: &Header,
        id: OpId,
        removals: &[Arc<EffectiveRemoval>],
        listed: bool,
    ) -> Result<bool, StoreError> {
        let (scopes, max) = if listed {
            (BTreeSet::from([header.scope]), SCOPE_LATE_OPS_MAX)
        } else {
            let channels = self.standing.channels().into_iter().map(Scope::Channel);
            let open = channels.filter(|scope| !is_listed(scope, removals));
            (open.chain([header.scope]).collect(), OPEN_LATE_OPS_MAX)
        };
        let mut devices = BTreeSet::from([header.device]);
        devices.extend(self.standing.devices(&header.user));
        let mut late: u64 = 0;
        for device in devices {
            for scope in &scopes {
                let lane = Lane {
                    device,
                    scope: *scope,
                };
                let run = self.run(&lane, removals)?;
                late = late.saturating_add(self.before(&lane, &run, (header, id))?);
                if late >= max {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }

    /// Returns how many of these late ops stand before this op.
    fn before(
        &self,
        lane: &Lane,
        run: &Run,
        (header, id): (&Header, OpId),
    ) -> Result<u64, StoreError> {
        let at = (header.seq, header.device, id);
        match run {
            Run::Scattered(ops) => {
                let before = ops.iter().filter(|(s, op)| (*s, lane.device, *op) < at);
                Ok(u64::try_from(before.count()).unwrap_or(u64::MAX))
            }
            Run::Row(row) => {
                let below = row.end.min(header.seq).saturating_sub(row.start);
                if !row.contains(&header.seq) {
                    return Ok(below);
                }
                let beside = self.op_at(lane, header.seq)?;
                let is_before = beside.is_some_and(|op| (header.seq, lane.device, op) < at);
                Ok(below + u64::from(is_before))
            }
        }
    }

    fn op_at(&self, lane: &Lane, seq: u64) -> Result<Option<OpId>, StoreError> {
        let mut found = None;
        self.bodies
            .lane(lane, seq..seq.saturating_add(1), &mut |_, id| {
                found.get_or_insert(id);
            })?;
        Ok(found)
    }

    fn run(&self, lane: &Lane, removals: &[Arc<EffectiveRemoval>]) -> Result<Arc<Run>, StoreError> {
        let of_device = |r: &&Arc<EffectiveRemoval>| r.device.is_none_or(|d| d == lane.device);
        let about: Vec<OpId> = removals.iter().filter(of_device).map(|r| r.op).collect();
        let all: Vec<OpId> = removals.iter().map(|r| r.op).collect();
        let key = (*lane, all);
        if let Some(known) = self.runs.borrow().get(&key) {
            return Ok(known.clone());
        }
        let heads = heads_in(lane, removals);
        let run = Arc::new(self.find_run(lane, &about, &heads)?);
        self.runs.borrow_mut().insert(key, run.clone());
        Ok(run)
    }

    fn find_run(&self, lane: &Lane, about: &[OpId], heads: &[CutHead]) -> Result<Run, StoreError> {
        let unseen = |op: &OpId| -> Result<bool, StoreError> {
            let Some(op) = self.bodies.op(op)? else {
                return Ok(true);
            };
            let header = op.header();
            Ok(!about.iter().all(|r| self.standing.saw(header, r)))
        };
        if !self.forks(lane)?.is_empty() {
            let mut ops = Vec::new();
            self.bodies
                .lane(lane, 0..u64::MAX, &mut |seq, id| ops.push((seq, id)))?;
            let mut late = Vec::new();
            for (seq, id) in ops {
                if u64::try_from(late.len()).is_ok_and(|n| n >= OPEN_LATE_OPS_MAX) {
                    break;
                }
                if !self.covered(lane, (seq, id), heads)? && unseen(&id)? {
                    late.push((seq, id));
                }
            }
            return Ok(Run::Scattered(late));
        }
        let mut len = 0;
        self.bodies
            .lane(lane, 0..u64::MAX, &mut |seq, _| len = seq.saturating_add(1))?;
        let covered = heads.iter().map(|h| h.seq.saturating_add(1)).max();
        let start = covered.unwrap_or(0);
        // A lane never forgets (R3), so those that had not seen all come first.
        let (mut low, mut high) = (start, len.max(start));
        while low < high {
            let middle = low + (high - low) / 2;
            let late = match self.op_at(lane, middle)? {
                Some(op) => unseen(&op)?,
                None => true,
            };
            if late {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        Ok(Run::Row(start..low))
    }

    /// Returns whether an op of the lane is on the chain that ends in this head, itself included.
    pub(super) fn on_chain(
        &self,
        lane: &Lane,
        (seq, id): (u64, OpId),
        (head_seq, head): (u64, OpId),
    ) -> Result<bool, StoreError> {
        if seq > head_seq {
            return Ok(false);
        }
        let forks = self.forks(lane)?;
        let Some((first_fork, _)) = forks.first_key_value() else {
            return Ok(true);
        };
        if seq < *first_fork {
            return Ok(true);
        }
        let here = self.bodies.op(&head)?;
        if here.is_none_or(|h| h.header().lane() != *lane || h.header().seq != head_seq) {
            return Ok(false);
        }
        // A lone op is on every chain that reaches its position.
        if !forks.contains_key(&seq) {
            return Ok(true);
        }
        if let Some(known) = self.chains.borrow().get(&(head, seq)) {
            return Ok(*known == id);
        }
        // Walk down from the nearest position above that has one op only.
        let lone = (seq..head_seq).find(|s| !forks.contains_key(s));
        let mut at = Some(head);
        if let Some(lone) = lone {
            self.bodies
                .lane(lane, lone..lone + 1, &mut |_, op| at = Some(op))?;
        }
        while let Some(op) = at.map(|at| self.bodies.op(&at)).transpose()?.flatten() {
            let stands_at = op.header().seq;
            self.chains.borrow_mut().insert((head, stands_at), op.id());
            if stands_at <= seq {
                break;
            }
            at = op.header().back;
        }
        Ok(self.chains.borrow().get(&(head, seq)) == Some(&id))
    }

    fn forks(&self, lane: &Lane) -> Result<Arc<Forks>, StoreError> {
        if let Some(known) = self.lanes.borrow().get(lane) {
            return Ok(known.clone());
        }
        let mut forks = Forks::new();
        let mut last = None;
        self.bodies.lane(lane, 0..u64::MAX, &mut |seq, id| {
            if let Some((_, other)) = last.filter(|(s, _)| *s == seq) {
                forks.entry(seq).or_default().extend([id, other]);
            }
            last = Some((seq, id));
        })?;
        let forks = Arc::new(forks);
        self.lanes.borrow_mut().insert(*lane, forks.clone());
        Ok(forks)
    }
}

fn is_before_own_leave(header: &Header, removal: &EffectiveRemoval) -> bool {
    removal.kind == RemovalKind::Leave && header.hlc <= removal.hlc
}

fn is_listed(scope: &Scope, removals: &[Arc<EffectiveRemoval>]) -> bool {
    let mut cuts = removals.iter().flat_map(|r| &r.cut);
    cuts.any(|cut| cut.scope == *scope)
}

/// What any of these removals names of a lane, or the Seal that closed it.
fn heads_in(lane: &Lane, removals: &[Arc<EffectiveRemoval>]) -> Vec<CutHead> {
    removals
        .iter()
        .flat_map(|r| r.cut.iter().chain(r.closure.iter().flat_map(|c| &c.cut)))
        .filter(|cut| cut.scope == lane.scope)
        .flat_map(|cut| &cut.heads)
        .filter(|head| head.device == lane.device)
        .copied()
        .collect()
}
