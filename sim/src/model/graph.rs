//! The ops of a Space and who had seen what.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use super::id::{Channel, Id};
use super::op::Op;

/// A set of ops.
pub(super) type Set = BTreeSet<Id>;

/// Every op, with the control plane that its author had seen.
#[derive(Default)]
pub(super) struct Graph {
    ops: BTreeMap<Id, Op>,
    pasts: BTreeMap<Id, Rc<Set>>,
    depths: BTreeMap<Id, u64>,
    /// Of each lane, how many ops each position has.
    lanes: BTreeMap<(Id, Option<Channel>), BTreeMap<u64, usize>>,
}

impl Graph {
    /// Puts an op in whose references are in. The error names one that is not.
    pub(super) fn insert(&mut self, op: Op) -> Result<(), Id> {
        if let Some(missing) = op.refs().find(|id| !self.ops.contains_key(*id)) {
            return Err(*missing);
        }
        let mut past = Set::new();
        let mut depth = 0;
        for parent in control_refs(&op) {
            past.insert(*parent);
            past.extend(self.past(parent).iter());
            depth = depth.max(self.depth(parent));
        }
        let lane = self.lanes.entry((op.device, op.channel)).or_default();
        *lane.entry(op.seq).or_default() += 1;
        self.pasts.insert(op.id, Rc::new(past));
        self.depths.insert(op.id, depth + 1);
        self.ops.insert(op.id, op);
        Ok(())
    }

    pub(super) fn op(&self, id: &Id) -> Option<&Op> {
        self.ops.get(id)
    }

    pub(super) fn ops(&self) -> impl Iterator<Item = &Op> {
        self.ops.values()
    }

    /// ctlpast: every control op reachable through `ctl`, and for control ops through `back`.
    pub(super) fn past(&self, id: &Id) -> Rc<Set> {
        self.pasts.get(id).cloned().unwrap_or_default()
    }

    /// Whether the author of `later` had seen the control op `earlier`.
    pub(super) fn sees(&self, later: &Id, earlier: &Id) -> bool {
        self.pasts.get(later).is_some_and(|p| p.contains(earlier))
    }

    pub(super) fn concurrent(&self, a: &Id, b: &Id) -> bool {
        a != b && !self.sees(a, b) && !self.sees(b, a)
    }

    /// `g(op) = 1 + max g(control refs)`.
    pub(super) fn depth(&self, id: &Id) -> u64 {
        self.depths.get(id).copied().unwrap_or(0)
    }

    /// Every control op.
    pub(super) fn control(&self) -> Set {
        let control = self.ops().filter(|op| op.is_control());
        control.map(|op| op.id).collect()
    }

    /// The control ops that no other control op names.
    pub(super) fn heads(&self) -> Set {
        let mut heads = self.control();
        for op in self.ops().filter(|op| op.is_control()) {
            control_refs(op).for_each(|parent| {
                heads.remove(parent);
            });
        }
        heads
    }

    /// The first position in an op's lane that has two ops.
    pub(super) fn first_fork(&self, op: &Op) -> Option<u64> {
        let lane = self.lanes.get(&(op.device, op.channel))?;
        let forked = lane.iter().find(|(_, ops)| **ops > 1);
        forked.map(|(seq, _)| *seq)
    }

    /// An op and those before it in its lane, the newest first.
    pub(super) fn lane<'a>(&'a self, op: &'a Op) -> impl Iterator<Item = &'a Op> {
        core::iter::successors(Some(op), |op| self.op(op.back.as_ref()?))
    }
}

fn control_refs(op: &Op) -> impl Iterator<Item = &Id> {
    let back = op.back.iter().filter(|_| op.is_control());
    back.chain(&op.ctl)
}
