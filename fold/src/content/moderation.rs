//! Tombstones and what takes them back (B10).
//!
//! A tombstone wins over everything but an accepted ModRestore of at least its rank
//! that comes later. Acceptance lets a restore name a post or a thread and nothing
//! else, so from the ops alone it cannot be shown which tombstones its author had
//! seen; [`causality`](super::causality) says what counts as later. A restore that
//! names the *tombstone* is understood too, and is later by its bytes alone.

use core::cmp::Reverse;

use oplog::authority::Rank;
use oplog::mutants::{Mutant, on};
use oplog::payload::{Payload, PurgeFrom};
use oplog::store::{Store, StoreError};
use oplog::{AcceptedOp, Header, Kind, OpId, UserId};

use super::Bodies;
use super::post::{HiddenBy, PostState};
use super::relations::{Counted, Relations};
use super::standing::Standing;
use super::view::ContentView;

/// A moderator's deletion that stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tombstone {
    /// The deletion.
    pub op: OpId,
    /// Whose act.
    pub by: UserId,
    /// Why; empty when the payload is unreadable.
    pub reason: String,
}

impl<S: Store + ?Sized, B: Bodies + ?Sized, A: Standing + ?Sized> ContentView<'_, S, B, A> {
    /// Returns the deletions that hide this post or thread, the one of greatest rank first: a
    /// restore needs the rank of each.
    ///
    /// # Errors
    /// When storage fails.
    pub fn tombstones(&self, target: &OpId) -> Result<Vec<Tombstone>, StoreError> {
        self.tombstones_among(&self.relations(target)?)
    }

    pub(super) fn tombstones_among(
        &self,
        relations: &Relations,
    ) -> Result<Vec<Tombstone>, StoreError> {
        if !relations.has(Kind::ModTombstone) {
            return Ok(Vec::new());
        }
        let restores = self.counted(relations, &[Kind::ModRestore])?;
        let mut standing = Vec::new();
        for tombstone in self.counted(relations, &[Kind::ModTombstone])? {
            if !self.is_restored(&tombstone, &restores)? {
                let rank = self.judge.standing.rank_at(tombstone.op.header());
                standing.push(((Reverse(rank), tombstone.key), tombstone.op));
            }
        }
        standing.sort_by_key(|(key, _)| *key);
        Ok(standing
            .into_iter()
            .map(|(_, op)| Tombstone {
                op: op.id(),
                by: op.header().user,
                reason: reason_of(&op),
            })
            .collect())
    }

    /// Returns what hides a post by a moderator's will: a tombstone on it, a purge of its author,
    /// or a tombstone on its thread.
    pub(super) fn hidden(
        &self,
        op: &AcceptedOp,
        thread: Option<OpId>,
        relations: &Relations,
    ) -> Result<Option<PostState>, StoreError> {
        if let Some(state) = self.tombstoned(relations, HiddenBy::Tombstone)? {
            return Ok(Some(state));
        }
        if let Some(state) = self.purged(op.header(), relations)? {
            return Ok(Some(state));
        }
        match thread.filter(|thread| *thread != op.id()) {
            Some(thread) => self.hidden_thread(&thread),
            None => Ok(None),
        }
    }

    /// Returns the state that a tombstone on this thread gives its posts.
    pub(super) fn hidden_thread(&self, thread: &OpId) -> Result<Option<PostState>, StoreError> {
        if let Some(known) = self.hidden_threads.borrow().get(thread) {
            return Ok(known.clone());
        }
        let state = self.tombstoned(&self.relations(thread)?, HiddenBy::ThreadTombstone)?;
        self.hidden_threads
            .borrow_mut()
            .insert(*thread, state.clone());
        Ok(state)
    }

    fn tombstoned(
        &self,
        relations: &Relations,
        what: HiddenBy,
    ) -> Result<Option<PostState>, StoreError> {
        let first = self.tombstones_among(relations)?.into_iter().next();
        Ok(first.map(|t| PostState::Hidden {
            what,
            op: t.op,
            by: t.by,
            reason: t.reason,
        }))
    }

    /// A purge hides what its author had not been shown the removal for, and nothing else: not
    /// the replies of others in a purged thread, which a tombstone on the thread would.
    fn purged(
        &self,
        header: &Header,
        relations: &Relations,
    ) -> Result<Option<PostState>, StoreError> {
        let names = |p: &PurgeFrom| {
            p.device == header.device && p.scope == header.scope && p.seq <= header.seq
        };
        let mut removals = self.judge.standing.removals(header);
        removals.retain(|r| r.purge.iter().any(names));
        if removals.is_empty() {
            return Ok(None);
        }
        let restores = self.counted(relations, &[Kind::ModRestore])?;
        let restored = |rank: Rank, removal: &OpId| {
            restores.iter().any(|restore| {
                let header = restore.op.header();
                self.judge.standing.saw(header, removal)
                    && self.judge.standing.rank_at(header) >= Some(rank)
            })
        };
        removals.retain(|r| !restored(r.rank, &r.op));
        let strictest = removals.into_iter().max_by_key(|r| (r.rank, r.op));
        Ok(strictest.map(|r| PostState::Hidden {
            what: HiddenBy::Purge,
            op: r.op,
            by: r.by,
            reason: r.reason.clone(),
        }))
    }

    fn is_restored(&self, tombstone: &Counted, of_target: &[Counted]) -> Result<bool, StoreError> {
        let standing = self.judge.standing;
        let needed = standing.rank_at(tombstone.op.header());
        let direct = self.counted(&self.relations(&tombstone.key.id)?, &[Kind::ModRestore])?;
        for restore in direct.iter().chain(of_target) {
            let rank = standing.rank_at(restore.op.header());
            if rank.is_some()
                && (rank >= needed || on(Mutant::AnyRestore))
                && self.judge.precedes(&tombstone.op, &restore.op)?
            {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

fn reason_of(op: &AcceptedOp) -> String {
    // The deletion itself is in the header: a replica without the payload hides alike.
    let Ok(Some(Payload::ModTombstone(payload))) = op.payload() else {
        return String::new();
    };
    payload.reason
}
