//! Rows: what an index must do, one in memory, and reading through what is staged.
//!
//! An index is derived state: it may be lost, and then [`Index::discard`] clears
//! what is left of it and the log fills a new one. So it promises atomic batches
//! and honest errors, no more.

use core::fmt;
use core::ops::ControlFlow;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use oplog::store::{Direction, StoreError, Table, Visit};

/// One change of one row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RowChange {
    /// The name of its table.
    pub table: String,
    /// Its key.
    pub key: Vec<u8>,
    /// Its value; `None` removes the row.
    pub value: Option<Vec<u8>>,
}

/// An open index.
pub trait Rows: Send {
    /// Returns the value of a row.
    ///
    /// # Errors
    /// When the index fails.
    fn get(&self, table: &str, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError>;

    /// Visits the rows with `from <= key < to` in order, until told to stop.
    ///
    /// # Errors
    /// When the index fails.
    fn scan(
        &self,
        table: &str,
        from: &[u8],
        to: &[u8],
        order: Direction,
        visit: Visit<'_>,
    ) -> Result<(), StoreError>;

    /// Applies all changes as one step.
    ///
    /// # Errors
    /// When the index fails; whether the step happened is then known only after opening it again.
    fn apply(&mut self, changes: &[RowChange]) -> Result<(), StoreError>;

    /// Makes everything applied survive a power cut.
    ///
    /// # Errors
    /// When the index fails.
    fn sync(&mut self) -> Result<(), StoreError>;

    /// Moves what a start would have to replay to where it need not. For idle moments.
    ///
    /// # Errors
    /// When the index fails.
    fn flush_idle(&mut self) -> Result<(), StoreError>;

    /// Returns the bytes on disk.
    fn bytes(&self) -> u64;
}

/// A place where an index lives.
pub trait Index: Send {
    /// An open index.
    type Rows: Rows;

    /// Opens the index, empty when there is none.
    ///
    /// # Errors
    /// When it is damaged, or was found damaged before ([`Index::condemn`]): then
    /// [`Index::discard`] it and open again.
    fn open(&self) -> Result<Self::Rows, StoreError>;

    /// Marks the index as damaged, so that no later open trusts it.
    ///
    /// # Errors
    /// When the disk fails.
    fn condemn(&self) -> Result<(), StoreError>;

    /// Clears whatever is there.
    ///
    /// # Errors
    /// When the disk fails.
    fn discard(&self) -> Result<(), StoreError>;
}

/// Row changes waiting for the next commit.
#[derive(Debug, Default)]
pub(crate) struct Staged(BTreeMap<Table, BTreeMap<Vec<u8>, Option<Vec<u8>>>>);

impl Staged {
    pub(crate) fn set(&mut self, table: Table, key: &[u8], value: Option<&[u8]>) {
        let rows = self.0.entry(table).or_default();
        rows.insert(key.to_vec(), value.map(<[u8]>::to_vec));
    }

    /// Returns the staged change of a row: `Some(None)` means it is removed.
    pub(crate) fn get(&self, table: Table, key: &[u8]) -> Option<Option<&[u8]>> {
        Some(self.0.get(&table)?.get(key)?.as_deref())
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    /// Returns every change whose table `wanted` accepts.
    pub(crate) fn changes(&self, wanted: impl Fn(&str) -> bool) -> Vec<RowChange> {
        let tables = self.0.iter().filter(|(table, _)| wanted(table.0));
        let rows = tables.flat_map(|(table, rows)| {
            rows.iter().map(|(key, value)| RowChange {
                table: table.0.to_owned(),
                key: key.clone(),
                value: value.clone(),
            })
        });
        rows.collect()
    }

    /// Visits what `base` would visit with the staged changes applied: both run in the same
    /// order, so this is one merge.
    pub(crate) fn scan_over(
        &self,
        table: Table,
        (from, to): (&[u8], &[u8]),
        order: Direction,
        visit: Visit<'_>,
        base: impl FnOnce(Visit<'_>) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        if from >= to {
            return Ok(());
        }
        let Some(rows) = self.0.get(&table) else {
            return base(visit);
        };
        let range = rows.range(from.to_vec()..to.to_vec());
        let mut staged: Box<dyn Iterator<Item = _>> = match order {
            Direction::Forward => Box::new(range),
            Direction::Backward => Box::new(range.rev()),
        };
        let mut next = staged.next();
        let mut stopped = false;
        base(&mut |key, value| {
            while let Some((k, v)) = next {
                let before = match order {
                    Direction::Forward => k.as_slice() <= key,
                    Direction::Backward => k.as_slice() >= key,
                };
                if !before {
                    break;
                }
                next = staged.next();
                if let Some(v) = v
                    && visit(k, v).is_break()
                {
                    stopped = true;
                    return ControlFlow::Break(());
                }
                // The staged row stood in for this one, or removed it.
                if k.as_slice() == key {
                    return ControlFlow::Continue(());
                }
            }
            let flow = visit(key, value);
            stopped = flow.is_break();
            flow
        })?;
        while let (Some((k, v)), false) = (next, stopped) {
            next = staged.next();
            stopped = v.as_ref().is_some_and(|v| visit(k, v).is_break());
        }
        Ok(())
    }
}

/// An index in memory with crash semantics. Clones mean the same index.
#[derive(Clone, Default)]
pub struct MemIndex(Arc<Mutex<MemState>>);

#[derive(Default)]
struct MemState {
    now: Tables,
    synced: Tables,
    condemned: bool,
    /// Opened by a process that has died since: what it holds is dead.
    boots: u64,
    fails_after: Option<u64>,
}

type Tables = BTreeMap<String, BTreeMap<Vec<u8>, Vec<u8>>>;

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
        let mut state = self.lock();
        state.boots += 1;
        state.fails_after = None;
        state.now = state.synced.clone();
    }

    /// Lets `batches` more batches through, then fails each until [`MemIndex::power_cut`].
    pub fn fail_after(&self, batches: u64) {
        self.lock().fails_after = Some(batches);
    }

    /// Returns another index with the same content.
    #[must_use]
    pub fn copy(&self) -> Self {
        let state = self.lock();
        Self(Arc::new(Mutex::new(MemState {
            now: state.now.clone(),
            synced: state.synced.clone(),
            ..MemState::default()
        })))
    }

    fn lock(&self) -> MutexGuard<'_, MemState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for MemIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MemIndex({} tables)", self.lock().now.len())
    }
}

impl Index for MemIndex {
    type Rows = MemRows;

    fn open(&self) -> Result<MemRows, StoreError> {
        let state = self.lock();
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
        state.synced.clear();
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
    fn state(&self) -> Result<MutexGuard<'_, MemState>, StoreError> {
        let state = self.index.lock();
        if state.boots == self.boots {
            Ok(state)
        } else {
            let why = "it was opened before a crash";
            Err(crate::disk::failed("use the index", why))
        }
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

    fn apply(&mut self, changes: &[RowChange]) -> Result<(), StoreError> {
        let mut state = self.state()?;
        if state.fails_after == Some(0) {
            return Err(crate::disk::failed("write the index", "told to"));
        }
        state.fails_after = state.fails_after.map(|n| n - 1);
        for change in changes {
            let rows = state.now.entry(change.table.clone()).or_default();
            match &change.value {
                Some(value) => rows.insert(change.key.clone(), value.clone()),
                None => rows.remove(&change.key),
            };
        }
        Ok(())
    }

    fn sync(&mut self) -> Result<(), StoreError> {
        let mut state = self.state()?;
        state.synced = state.now.clone();
        Ok(())
    }

    fn flush_idle(&mut self) -> Result<(), StoreError> {
        Ok(())
    }

    fn bytes(&self) -> u64 {
        let state = self.index.lock();
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
