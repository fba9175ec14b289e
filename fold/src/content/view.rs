//! The reader: one store, one place for bodies, one answer about authority.

use core::cell::RefCell;
use core::fmt;
use core::ops::ControlFlow;
use std::collections::{BTreeMap, BTreeSet};

use oplog::store::{Direction, Location, Store, StoreError, Table};
use oplog::{AcceptedOp, ChannelId, OpId, SignedOp};

use super::Bodies;
use super::index::Entry;
use super::judge::{Judge, Verdict};
use super::order::OrderKey;
use super::post::PostState;
use super::standing::Standing;

/// Reads the content of one Space as it stands now.
///
/// Make one for each query, or for a few: it borrows what it reads, so nothing it remembers while
/// it lives can go stale.
pub struct ContentView<'a, S: ?Sized, B: ?Sized, A: ?Sized> {
    pub(super) prefix: &'a [u8],
    pub(super) store: &'a S,
    pub(super) judge: Judge<'a, B, A>,
    /// Of each thread asked about, the tombstone that hides it.
    pub(super) hidden_threads: RefCell<BTreeMap<OpId, Option<PostState>>>,
    /// Of each channel counted, what some deletion names.
    pub(super) deleted: RefCell<BTreeMap<ChannelId, BTreeSet<OpId>>>,
    damaged: RefCell<BTreeSet<OpId>>,
}

impl<'a, S: Store + ?Sized, B: Bodies + ?Sized, A: Standing + ?Sized> ContentView<'a, S, B, A> {
    /// Returns a view of the rows under this prefix.
    #[must_use]
    pub const fn new(prefix: &'a [u8], store: &'a S, bodies: &'a B, standing: &'a A) -> Self {
        Self {
            prefix,
            store,
            judge: Judge::new(bodies, standing),
            hidden_threads: RefCell::new(BTreeMap::new()),
            deleted: RefCell::new(BTreeMap::new()),
            damaged: RefCell::new(BTreeSet::new()),
        }
    }

    /// Returns what the D-rules say about an accepted content op of any kind, for explanations.
    ///
    /// # Errors
    /// When storage fails.
    pub fn verdict(&self, op: &SignedOp) -> Result<Verdict, StoreError> {
        self.judge.verdict(op)
    }

    /// Returns the ops that queries of this view wanted and found damaged: to be fetched again.
    #[must_use]
    pub fn damaged(&self) -> Vec<OpId> {
        self.damaged.borrow().iter().copied().collect()
    }

    /// Reads a body; a damaged one is noted and left out, so that one bad record costs one op.
    pub(super) fn read(&self, id: &OpId, at: &Location) -> Result<Option<AcceptedOp>, StoreError> {
        match self.judge.bodies.read(id, at) {
            Ok(op) if op.id() == *id => Ok(Some(op)),
            Ok(_) | Err(StoreError::Damaged { .. }) => {
                self.damaged.borrow_mut().insert(*id);
                Ok(None)
            }
            Err(error @ (StoreError::Full | StoreError::Io { .. })) => Err(error),
        }
    }

    /// Returns at most `limit` rows of a range, in this order.
    pub(super) fn rows(
        &self,
        table: Table,
        (from, to): (&[u8], &[u8]),
        order: Direction,
        limit: usize,
    ) -> Result<Vec<Row>, StoreError> {
        let mut rows = Vec::new();
        if limit == 0 {
            return Ok(rows);
        }
        self.store.scan(table, from, to, order, &mut |key, value| {
            let tail = key.get(key.len().saturating_sub(OrderKey::LEN)..);
            let row = tail
                .and_then(OrderKey::from_bytes)
                .zip(Entry::from_bytes(value))
                .map(|(at, entry)| Row {
                    key: key.to_vec(),
                    at,
                    entry,
                });
            rows.extend(row);
            if rows.len() == limit {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        })?;
        Ok(rows)
    }
}

impl<S: ?Sized, B: ?Sized, A: ?Sized> fmt::Debug for ContentView<'_, S, B, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ContentView").finish_non_exhaustive()
    }
}

/// A row of any table of the index, its order key taken off its key.
#[derive(Clone)]
pub(super) struct Row {
    pub(super) key: Vec<u8>,
    pub(super) at: OrderKey,
    pub(super) entry: Entry,
}
