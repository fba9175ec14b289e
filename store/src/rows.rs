//! Rows: what an index must do, and reading through what is staged.
//!
//! An index is derived state: it may be lost, and then [`Index::discard`] clears
//! what is left of it and the log fills a new one. So it promises atomic batches
//! and honest errors, no more.

use core::ops::ControlFlow;
use std::borrow::Cow;
use std::collections::BTreeMap;

use oplog::store::{Direction, StoreError, Table, Visit};

/// One change of one row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RowChange {
    /// The name of its table. Borrowed but for what is read back from a journal.
    pub table: Cow<'static, str>,
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

    /// Returns the names of the tables that ever had a row.
    ///
    /// # Errors
    /// When the index fails.
    fn tables(&self) -> Result<Vec<String>, StoreError>;

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

    /// The same before closing: returns when it is done.
    ///
    /// # Errors
    /// When the index fails.
    fn flush_last(&mut self) -> Result<(), StoreError>;

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

    /// Returns every change: those whose table `kept` accepts, and the others.
    pub(crate) fn split(self, kept: impl Fn(&str) -> bool) -> (Vec<RowChange>, Vec<RowChange>) {
        let (mut of_kept, mut others) = (Vec::new(), Vec::new());
        for (table, rows) in self.0 {
            let out = if kept(table.0) {
                &mut of_kept
            } else {
                &mut others
            };
            out.extend(rows.into_iter().map(|(key, value)| RowChange {
                table: Cow::Borrowed(table.0),
                key,
                value,
            }));
        }
        (of_kept, others)
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
