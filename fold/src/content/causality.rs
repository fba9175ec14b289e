//! Which of two content ops counts as having come first.
//!
//! In *one lane* the chain decides: a ≺ b when b's chain leads back to a, which in
//! a lane without forks is a matter of position. *Across lanes* the order key
//! decides. It extends causality (R2), so whatever an author had seen comes first;
//! and it also orders what nobody had seen, because ops that act on a post name
//! that post alone, and no path of references could tell one from the other.
//!
//! Where two people are concerned, in tombstone and restore, time alone never
//! wins (B0.5): the later one also needs the rank.

use oplog::AcceptedOp;
use oplog::store::StoreError;

use super::Bodies;
use super::judge::Judge;
use super::order::OrderKey;
use super::standing::Standing;

impl<B: Bodies + ?Sized, A: Standing + ?Sized> Judge<'_, B, A> {
    /// Returns whether a ≺ b, in the sense of the module header.
    pub(super) fn precedes(&self, a: &AcceptedOp, b: &AcceptedOp) -> Result<bool, StoreError> {
        let (ha, hb) = (a.header(), b.header());
        if ha.lane() != hb.lane() {
            return Ok(OrderKey::of(a) < OrderKey::of(b));
        }
        Ok(ha.seq < hb.seq && self.on_chain(&ha.lane(), (ha.seq, a.id()), (hb.seq, b.id()))?)
    }
}
