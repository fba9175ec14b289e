//! Which of two content ops its author had seen when writing the other.
//!
//! Content ops of *one person* are ordered like this: in one lane, by the chain
//! (for a lane without forks, by position); across two devices of the person, by
//! order key. Two devices of one person seldom name each other's ops, so a graph
//! would call nearly everything concurrent; the order key extends causality, and
//! nobody but that person is concerned by the difference.
//!
//! Between *two people* time never decides (B0.5): only a path of references does.

use std::collections::BTreeSet;

use oplog::AcceptedOp;
use oplog::store::StoreError;

use super::order::OrderKey;
use super::standing::Standing;
use super::{Bodies, judge::Judge};

/// Most ops one search for a path visits, newest first. Guess, unmeasured: clients name what they
/// act on, so honest paths have one step; beyond the bound the answer is "not seen".
const PATH_OPS_MAX: usize = 1_024;

impl<B: Bodies + ?Sized, A: Standing + ?Sized> Judge<'_, B, A> {
    /// Returns whether a ≺ b, in the sense of the module header.
    pub(super) fn precedes(&self, a: &AcceptedOp, b: &AcceptedOp) -> Result<bool, StoreError> {
        let (ha, hb) = (a.header(), b.header());
        if ha.lane() == hb.lane() {
            return Ok(
                ha.seq < hb.seq && self.on_chain(&ha.lane(), (ha.seq, a.id()), (hb.seq, b.id()))?
            );
        }
        if ha.user == hb.user {
            return Ok(OrderKey::of(a) < OrderKey::of(b));
        }
        self.path_leads(a, b)
    }

    /// Returns whether references lead from b back to a.
    fn path_leads(&self, a: &AcceptedOp, b: &AcceptedOp) -> Result<bool, StoreError> {
        let goal = OrderKey::of(a);
        let mut waiting = BTreeSet::new();
        let mut seen = BTreeSet::new();
        let mut next = Some(b.clone());
        for _ in 0..PATH_OPS_MAX {
            let Some(op) = next.take() else {
                return Ok(false);
            };
            let header = op.header();
            for id in header.back.iter().chain(&header.prev) {
                if *id == goal.id {
                    return Ok(true);
                }
                if !seen.insert(*id) {
                    continue;
                }
                // R2: every op on the path is later than its end.
                if let Some(op) = self.bodies.op(id)?.filter(|op| OrderKey::of(op) > goal) {
                    waiting.insert(OrderKey::of(&op));
                }
            }
            next = match waiting.pop_last() {
                Some(key) => self.bodies.op(&key.id)?,
                None => None,
            };
        }
        Ok(false)
    }
}
