//! Which commits are complained about (K7), and what a Seal makes final (K8).

use std::collections::BTreeSet;

use crate::authority::{Authority, EpochRecord, View};
use crate::ids::OpId;
use crate::payload::{Closure, CommitComplaint, CutHead, ScopeCut, Seal, Weight};

use super::{AcceptError, Judge};

/// How long a removal stays open to late posts at least, in seconds: 72 hours (A16).
const CLOSURE_SECS: u32 = 72 * 3_600;

impl<A: Authority> Judge<'_, A> {
    /// K7. That the device is in the parent's group is R5: the header names the parent.
    pub(super) fn complaint(&self, complaint: &CommitComplaint) -> Result<(), AcceptError> {
        let h = self.op.header();
        let wrong = |detail| Err(AcceptError::WrongComplaint { detail });
        let known = |record: &&EpochRecord| self.dag.in_past(&record.commit, self.past);
        let Some(record) = self.authority.epoch(&complaint.epoch).filter(known) else {
            return wrong("its past knows no such epoch");
        };
        if record.parent != Some(h.epoch) {
            return wrong("the commit does not follow the epoch it was written in");
        }
        if record.user == h.user {
            return wrong("the commit is its author's own");
        }
        if !record.roster.contains_key(&h.device) {
            return wrong("the commit removes its device");
        }
        let earlier = self.records.complaints(&h.user, &complaint.epoch);
        match earlier.iter().find(|id| self.dag.in_past(id, self.past)) {
            Some(first) => Err(AcceptError::SecondComplaint { first: *first }),
            None => Ok(()),
        }
    }

    /// K8.
    pub(super) fn seal(&self, seal: &Seal, weight: Weight) -> Result<(), AcceptError> {
        let epoch = seal.epoch;
        let canonical = self
            .authority
            .is_canonical(self.dag, self.past, self.view, &epoch);
        if !canonical {
            return Err(AcceptError::NotCanonical { epoch });
        }
        if seal.closures.is_empty() && self.view.sealed_epoch() == Some(epoch) {
            return Err(AcceptError::NothingSealed);
        }
        seal.closures
            .iter()
            .try_for_each(|closure| self.closes(closure, weight))
    }

    fn closes(&self, closure: &Closure, weight: Weight) -> Result<(), AcceptError> {
        let removal = closure.removal;
        let bad = |detail| Err(AcceptError::BadClosure { removal, detail });
        let known = self.view.removal_cut(&removal);
        let Some(known) = known.filter(|_| self.dag.in_past(&removal, self.past)) else {
            return bad("no effective removal that it has seen");
        };
        if self.view.is_closed(&removal) {
            return bad("it is closed already");
        }
        let scopes = |cut: &[ScopeCut]| cut.iter().map(|c| c.scope).collect::<Vec<_>>();
        if scopes(&known) != scopes(&closure.cut) {
            return bad("it names other scopes than cut and attests");
        }
        let names = |(seen, closed): (&ScopeCut, &ScopeCut)| {
            let closed: BTreeSet<&CutHead> = closed.heads.iter().collect();
            seen.heads.iter().all(|head| closed.contains(head))
        };
        if !known.iter().zip(&closure.cut).all(names) {
            return bad("it names less than cut and attests");
        }
        if self.is_ripe(&removal, weight) {
            Ok(())
        } else {
            bad("less than 72 hours after somebody else had seen it")
        }
    }

    /// A16: for 72 hours somebody besides remover and sealer has followed the removal, by the clock of
    /// their commit; an owner needs no witness.
    fn is_ripe(&self, removal: &OpId, weight: Weight) -> bool {
        let h = self.op.header();
        let Some(removed) = self.dag.node(removal) else {
            return false;
        };
        let r = removed.op.header();
        if h.hlc < r.hlc.plus_secs(CLOSURE_SECS) {
            return false;
        }
        weight == Weight::OWNER
            || self.records.all_commits().iter().any(|commit| {
                let witness = self.dag.node(commit).map(|node| node.op.header());
                witness.is_some_and(|c| {
                    c.user != h.user
                        && c.user != r.user
                        && h.hlc >= c.hlc.plus_secs(CLOSURE_SECS)
                        && self.dag.precedes(removal, commit)
                        && self.dag.in_past(commit, self.past)
                })
            })
    }
}
