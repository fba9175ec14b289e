//! [`Index`] in memory, with crash semantics: a batch is there whole or not at all, and a power
//! cut takes the last ones that were not synced. For tests, the simulator, and a crate without
//! the feature `disk`.

use core::fmt;
use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use oplog::store::{Direction, StoreError, Visit};

use crate::rows::{Index, RowChange, Rows};

/// An index in memory with crash semantics. Clones mean the same index.
#[derive(Clone, Default)]
pub struct MemIndex(Arc<RwLock<MemState>>);

#[derive(Clone, Default)]
struct MemState {
    now: Tables,
    /// What each batch since the last sync replaced, oldest first.
    undo: Vec<Vec<Undo>>,
    condemned: bool,
    /// Opened by a process that has died since: what it holds is dead.
    boots: u64,
    fails_after: Option<u64>,
}

/// A row as it was: table, key, value.
type Undo = (String, Vec<u8>, Option<Vec<u8>>);
type Tables = BTreeMap<String, BTreeMap<Vec<u8>, Vec<u8>>>;

impl MemState {
    /// Sets or removes a row; returns what was there.
    fn set(&mut self, table: &str, key: Vec<u8>, value: Option<Vec<u8>>) -> Option<Vec<u8>> {
        if !self.now.contains_key(table) {
            self.now.insert(table.to_owned(), BTreeMap::new());
        }
        let rows = self.now.get_mut(table)?;
        match value {
            Some(value) => rows.insert(key, value),
            None => rows.remove(&key),
        }
    }
}

impl MemIndex {
    /// Returns an empty index.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The process dies: nothing applied is lost.
    pub fn kill(&self) {
        self.lock().boots += 1;
    }

    /// The power goes: what was not synced is gone.
    pub fn power_cut(&self) {
        self.power_cut_keeping(0);
    }

    /// The power goes, and of the batches that were not synced the first `kept` are there.
    pub fn power_cut_keeping(&self, kept: usize) {
        let mut state = self.lock();
        state.boots += 1;
        state.fails_after = None;
        let keep = kept.min(state.undo.len());
        for batch in state.undo.split_off(keep).into_iter().rev() {
            for (table, key, value) in batch.into_iter().rev() {
                state.set(&table, key, value);
            }
        }
        state.undo.clear();
    }

    /// Returns how many batches are not synced.
    #[must_use]
    pub fn unsynced_count(&self) -> usize {
        self.view().undo.len()
    }

    /// Puts back what a [`MemIndex::copy`] kept, as when somebody restores an old backup.
    pub fn roll_back(&self, to: &Self) {
        let to = to.view().clone();
        let mut state = self.lock();
        let boots = state.boots + 1;
        *state = MemState { boots, ..to };
    }

    /// Lets `batches` more batches through, then fails each until [`MemIndex::power_cut`].
    pub fn fail_after(&self, batches: u64) {
        self.lock().fails_after = Some(batches);
    }

    /// Returns another index with the same content.
    #[must_use]
    pub fn copy(&self) -> Self {
        let copied = MemState {
            condemned: false,
            boots: 0,
            fails_after: None,
            ..self.view().clone()
        };
        Self(Arc::new(RwLock::new(copied)))
    }

    fn lock(&self) -> RwLockWriteGuard<'_, MemState> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Shared, so that a visitor of rows may read others.
    fn view(&self) -> RwLockReadGuard<'_, MemState> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for MemIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MemIndex({} tables)", self.view().now.len())
    }
}

impl Index for MemIndex {
    type Rows = MemRows;

    fn open(&self) -> Result<MemRows, StoreError> {
        let state = self.view();
        if state.condemned {
            return Err(crate::disk::damaged("the index was found damaged"));
        }
        Ok(MemRows {
            index: self.clone(),
            boots: state.boots,
        })
    }

    fn condemn(&self) -> Result<(), StoreError> {
        self.lock().condemned = true;
        Ok(())
    }

    fn discard(&self) -> Result<(), StoreError> {
        let mut state = self.lock();
        state.now.clear();
        state.undo.clear();
        state.condemned = false;
        Ok(())
    }
}

/// An open [`MemIndex`].
#[derive(Debug)]
pub struct MemRows {
    index: MemIndex,
    boots: u64,
}

impl MemRows {
    fn state(&self) -> Result<RwLockReadGuard<'_, MemState>, StoreError> {
        let state = self.index.view();
        self.check(state.boots).map(|()| state)
    }

    fn check(&self, boots: u64) -> Result<(), StoreError> {
        if boots == self.boots {
            return Ok(());
        }
        let why = "it was opened before a crash";
        Err(crate::disk::failed("use the index", why))
    }
}

impl Rows for MemRows {
    fn get(&self, table: &str, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        let state = self.state()?;
        Ok(state.now.get(table).and_then(|t| t.get(key)).cloned())
    }

    fn scan(
        &self,
        table: &str,
        from: &[u8],
        to: &[u8],
        order: Direction,
        visit: Visit<'_>,
    ) -> Result<(), StoreError> {
        let state = self.state()?;
        if let Some(rows) = state.now.get(table) {
            scan_map(rows, (from, to), order, visit);
        }
        Ok(())
    }

    fn tables(&self) -> Result<Vec<String>, StoreError> {
        Ok(self.state()?.now.keys().cloned().collect())
    }

    fn apply(&mut self, changes: &[RowChange]) -> Result<(), StoreError> {
        let mut state = self.index.lock();
        self.check(state.boots)?;
        if state.fails_after == Some(0) {
            return Err(crate::disk::failed("write the index", "told to"));
        }
        state.fails_after = state.fails_after.map(|n| n - 1);
        let mut undo = Vec::with_capacity(changes.len());
        for change in changes {
            let (table, key) = (change.table.to_string(), change.key.clone());
            let old = state.set(&table, key.clone(), change.value.clone());
            undo.push((table, key, old));
        }
        state.undo.push(undo);
        Ok(())
    }

    fn sync(&mut self) -> Result<(), StoreError> {
        let mut state = self.index.lock();
        self.check(state.boots)?;
        state.undo.clear();
        Ok(())
    }

    fn flush_idle(&mut self) -> Result<(), StoreError> {
        Ok(())
    }

    fn flush_last(&mut self) -> Result<(), StoreError> {
        Ok(())
    }

    fn bytes(&self) -> u64 {
        let state = self.index.view();
        let rows = state.now.values().flatten();
        rows.map(|(key, value)| (key.len() + value.len()) as u64)
            .sum()
    }
}

/// Visits a range of a map in either order.
fn scan_map(
    rows: &BTreeMap<Vec<u8>, Vec<u8>>,
    (from, to): (&[u8], &[u8]),
    order: Direction,
    visit: Visit<'_>,
) {
    if from >= to {
        return;
    }
    let range = rows.range(from.to_vec()..to.to_vec());
    let mut each = |(key, value): (&Vec<u8>, &Vec<u8>)| visit(key, value);
    let _ = match order {
        Direction::Forward => range.into_iter().try_for_each(&mut each),
        Direction::Backward => range.rev().try_for_each(&mut each),
    };
}
