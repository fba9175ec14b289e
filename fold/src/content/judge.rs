//! The D-rules: what becomes of an accepted op of somebody who was removed (B8, A2, A14).
//!
//! A verdict depends on the op, on [`Standing`], and on the author's lane where
//! that lane was cut; on nothing else.
//!
//! | rule | says |
//! |---|---|
//! | D0 | an author whose membership rests on nothing effective is not heard |
//! | D1 | covered: on the chain that ends in a head some removal names; like any other |
//! | D2 | not covered: late, shown with a flag; *unverified* in a scope no removal lists |
//! | D3 | late and refused: of the removal's first epoch or one after it; behind 512 uncovered ops of its lane in a listed scope; or by policy in a listed scope |
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
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use oplog::accept::verb;
use oplog::payload::{CutHead, LatePolicy, Verb};
use oplog::store::StoreError;
use oplog::{Header, Kind, Lane, OpId, SignedOp};

use crate::authority::RemovalKind;

use super::Bodies;
use super::standing::{EffectiveRemoval, Sponsorship, Standing};

/// Most uncovered ops of one lane that are accepted in a listed scope (B16).
pub const LANE_LATE_OPS_MAX: u64 = 512;

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
    /// D3: too many late ops of its lane before it.
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
            Self::Epoch | Self::Quota | Self::Policy => "D3",
            Self::ActVoid => "D4",
        }
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let why = match self {
            Self::Unsponsored => "the author's membership rests on nothing effective",
            Self::Epoch => "it claims an epoch that had seen the removal",
            Self::Quota => "more than 512 late ops in its lane",
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
}

/// The ops at every position of a lane that has more than one.
type Forks = BTreeMap<u64, BTreeSet<OpId>>;

impl<'a, B: Bodies + ?Sized, A: Standing + ?Sized> Judge<'a, B, A> {
    pub(super) const fn new(bodies: &'a B, standing: &'a A) -> Self {
        Self {
            bodies,
            standing,
            lanes: RefCell::new(BTreeMap::new()),
            chains: RefCell::new(BTreeMap::new()),
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
        let heads = heads_in(&header.lane(), &removals);
        if self.covered(&header.lane(), (header.seq, id), &heads)? {
            return Ok(Verdict::Accepted);
        }
        let refused = |rule, by| Ok(Verdict::Refused { rule, by });
        let bound = |r: &&Arc<EffectiveRemoval>| {
            r.first_epoch
                .is_some_and(|first| self.standing.descends(&header.epoch, &first))
        };
        if let Some(r) = removals.iter().find(bound) {
            return refused(Rule::Epoch, r.op);
        }
        let listed = removals
            .iter()
            .any(|r| r.cut.iter().any(|cut| cut.scope == header.scope));
        if listed && strictest.late == LatePolicy::Reject {
            return refused(Rule::Policy, strictest.op);
        }
        if listed && self.uncovered_before(header, id, &heads)? >= LANE_LATE_OPS_MAX {
            return refused(Rule::Quota, strictest.op);
        }
        Ok(Verdict::Late(Late {
            quarantined: strictest.late > LatePolicy::Accept,
            unverified: !listed,
            removal: strictest.op,
        }))
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

    /// Returns how many ops of the lane, by position and then id, stand before this one and are not covered.
    fn uncovered_before(
        &self,
        header: &Header,
        id: OpId,
        heads: &[CutHead],
    ) -> Result<u64, StoreError> {
        let lane = header.lane();
        if self.forks(&lane)?.is_empty() {
            // Positions have no gaps (R1), and this op is behind every head.
            let covered = heads.iter().map(|h| h.seq.saturating_add(1)).max();
            return Ok(header.seq.saturating_sub(covered.unwrap_or(0)));
        }
        let mut before = Vec::new();
        self.bodies
            .lane(&lane, 0..header.seq.saturating_add(1), &mut |seq, other| {
                if (seq, other) < (header.seq, id) {
                    before.push((seq, other));
                }
            })?;
        let mut uncovered = 0;
        for op in before {
            uncovered += u64::from(!self.covered(&lane, op, heads)?);
            if uncovered == LANE_LATE_OPS_MAX {
                break;
            }
        }
        Ok(uncovered)
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

fn heads_in(lane: &Lane, removals: &[Arc<EffectiveRemoval>]) -> Vec<CutHead> {
    removals
        .iter()
        .flat_map(|r| &r.cut)
        .filter(|cut| cut.scope == lane.scope)
        .flat_map(|cut| &cut.heads)
        .filter(|head| head.device == lane.device)
        .copied()
        .collect()
}
