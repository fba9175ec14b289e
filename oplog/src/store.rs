//! What the core asks of storage: a log of records, ordered rows, and secrets that can be erased.
//!
//! One small synchronous trait for all pure crates. The crate `store` implements
//! it on disk; [`MemStore`] implements it here with the same crash semantics, for
//! tests and the simulator. `docs/storage.md` says which state is truth, which is
//! secret and which is derived.
//!
//! # Invariants
//! - Reads see everything staged before them.
//! - [`Store::commit`] is one step: after a crash of the process all of it is there or none.
//! - [`Store::sync`] makes what was committed survive a power cut. Nobody is told of anything before.
//! - An erased secret is gone from every file once `commit` returns.

use core::fmt;
use std::collections::BTreeMap;
use std::ops::{Bound, ControlFlow};

use crate::hash::hash16;
use crate::ids::SpaceId;
use crate::keys::Secret;

/// Where a record stands in the log of its Space.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Location {
    /// Which segment.
    pub segment: u32,
    /// Where in it, in bytes.
    pub offset: u32,
    /// Length on disk in bytes.
    pub len: u32,
}

impl Location {
    /// Returns twelve bytes for a row.
    #[must_use]
    pub fn to_bytes(self) -> [u8; 12] {
        let mut out = [0; 12];
        let (a, rest) = out.split_at_mut(4);
        let (b, c) = rest.split_at_mut(4);
        a.copy_from_slice(&self.segment.to_be_bytes());
        b.copy_from_slice(&self.offset.to_be_bytes());
        c.copy_from_slice(&self.len.to_be_bytes());
        out
    }

    /// Reads [`Location::to_bytes`] back; `None` when the row is damaged.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let word = |at: usize| {
            bytes
                .get(at..at + 4)
                .and_then(|b| b.try_into().ok())
                .map(u32::from_be_bytes)
        };
        (bytes.len() == 12).then_some(())?;
        Some(Self {
            segment: word(0)?,
            offset: word(4)?,
            len: word(8)?,
        })
    }
}

/// A set of rows with keys of one shape. Each crate declares its own.
#[derive(Clone, Copy, Debug, Eq, PartialOrd, Ord)]
pub struct Table(pub &'static str);

impl PartialEq for Table {
    fn eq(&self, other: &Self) -> bool {
        // Nearly always the same constant: its place tells at once.
        core::ptr::eq(self.0, other.0) || self.0 == other.0
    }
}

/// The name of one secret in the vault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Label([u8; 16]);

impl Label {
    /// Names a secret by its purpose and what it belongs to.
    #[must_use]
    pub fn new(purpose: &str, of: &[&[u8]]) -> Self {
        let mut fields = vec![purpose.as_bytes()];
        fields.extend_from_slice(of);
        Self(hash16("vault-label", &fields))
    }

    /// Returns the raw name.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// Wraps a raw name, as the vault reads it back.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }
}

/// In which order a scan visits rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From the least key.
    Forward,
    /// From the greatest key.
    Backward,
}

/// Storage failed. The event that asked was not taken.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The disk has no room; nothing already stored is lost.
    #[error("the disk is full")]
    Full,
    /// Something on disk is not what was written.
    #[error("damaged: {what}")]
    Damaged {
        /// Which thing.
        what: String,
    },
    /// The operating system refused.
    #[error("cannot {doing}")]
    Io {
        /// What was being done.
        doing: &'static str,
        /// What it said.
        source: Box<dyn core::error::Error + Send + Sync>,
    },
}

/// A visitor of rows: gets key and value, says whether to go on.
pub type Visit<'a> = &'a mut dyn FnMut(&[u8], &[u8]) -> ControlFlow<()>;

/// Log, rows and secrets of one profile.
pub trait Store {
    /// Appends a record to the log of a Space and says where.
    ///
    /// # Errors
    /// When storage fails; then nothing was appended.
    fn append(&mut self, space: &SpaceId, record: &[u8]) -> Result<Location, StoreError>;

    /// Reads a record back.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] when the bytes there are not the record that was appended.
    fn read(&self, space: &SpaceId, at: &Location) -> Result<Vec<u8>, StoreError>;

    /// Returns the value of a row.
    ///
    /// # Errors
    /// When storage fails.
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError>;

    /// Visits the rows with `from <= key < to` in order, until told to stop.
    ///
    /// # Errors
    /// When storage fails.
    fn scan(
        &self,
        table: Table,
        from: &[u8],
        to: &[u8],
        order: Direction,
        visit: Visit<'_>,
    ) -> Result<(), StoreError>;

    /// Stages a row.
    fn put(&mut self, table: Table, key: &[u8], value: &[u8]);

    /// Stages the removal of a row.
    fn delete(&mut self, table: Table, key: &[u8]);

    /// Stages a secret under a name, over what the name held before.
    fn keep_secret(&mut self, label: Label, secret: &Secret);

    /// Stages the erasure of a secret.
    fn erase_secret(&mut self, label: Label);

    /// Returns a secret.
    fn secret(&self, label: Label) -> Option<Secret>;

    /// Makes everything staged one step.
    ///
    /// # Errors
    /// When storage fails; then nothing staged was taken, and it is dropped.
    fn commit(&mut self) -> Result<(), StoreError>;

    /// Forgets everything staged: for when what belongs to a step cannot all be staged.
    fn abandon(&mut self);

    /// Makes everything committed survive a power cut.
    ///
    /// # Errors
    /// When storage fails; then nobody may be told of what was committed since the last sync.
    fn sync(&mut self) -> Result<(), StoreError>;
}

/// Returns the least key above every key that begins with `prefix`, for the end of a scan.
#[must_use]
pub fn prefix_end(prefix: &[u8]) -> Vec<u8> {
    let mut end = prefix.to_vec();
    while let Some(last) = end.pop() {
        if last < u8::MAX {
            end.push(last + 1);
            return end;
        }
    }
    // Nothing is above a prefix of 0xff bytes but longer keys of 0xff, which no table has.
    vec![u8::MAX; 64]
}

/// Everything in memory. [`MemStore::crash`] forgets what was not committed, or not synced.
///
/// It remembers how to undo each change, so that a commit costs what it changed and not what
/// there is.
#[derive(Clone, Default)]
pub struct MemStore {
    logs: BTreeMap<SpaceId, Vec<Vec<u8>>>,
    /// Tables are few: to go through them costs less than to sort by name.
    tables: Vec<(Table, Rows)>,
    secrets: BTreeMap<Label, Secret>,
    /// Undoes what is staged, newest last.
    staged: Vec<Undo>,
    /// Undoes what is committed and not synced, newest last.
    unsynced: Vec<Undo>,
}

type Rows = BTreeMap<Vec<u8>, Vec<u8>>;

/// How things were before one change.
#[derive(Clone)]
enum Undo {
    Append(SpaceId),
    Row(Table, Vec<u8>, Option<Vec<u8>>),
    Secret(Label, Option<Secret>),
}

impl MemStore {
    /// Returns an empty store.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The process dies: what was staged and not committed is gone.
    pub fn crash(&mut self) {
        self.abandon();
    }

    /// The power goes: what was not synced is gone too.
    pub fn power_cut(&mut self) {
        self.crash();
        let unsynced = core::mem::take(&mut self.unsynced);
        self.undo(unsynced);
    }

    /// Returns every record of a Space's log, in order.
    #[must_use]
    pub fn records(&self, space: &SpaceId) -> &[Vec<u8>] {
        self.logs.get(space).map_or(&[], Vec::as_slice)
    }

    /// Damages a record, as a disk may: reading it fails. Indexes are places in [`Self::records`].
    #[cfg(any(test, feature = "test-utils"))]
    pub fn damage(&mut self, space: &SpaceId, index: usize) {
        let log = self.logs.get_mut(space);
        if let Some(record) = log.and_then(|log| log.get_mut(index)) {
            record.clear();
        }
    }

    fn rows(&self, table: Table) -> Option<&Rows> {
        let found = self.tables.iter().find(|(name, _)| *name == table);
        found.map(|(_, rows)| rows)
    }

    fn rows_mut(&mut self, table: Table) -> Option<&mut Rows> {
        let found = self.tables.iter_mut().find(|(name, _)| *name == table);
        found.map(|(_, rows)| rows)
    }

    /// Returns what stood there before.
    fn set_row(&mut self, table: Table, key: Vec<u8>, value: Vec<u8>) -> Option<Vec<u8>> {
        match self.rows_mut(table) {
            Some(rows) => rows.insert(key, value),
            None => {
                self.tables.push((table, Rows::from([(key, value)])));
                None
            }
        }
    }

    fn undo(&mut self, changes: Vec<Undo>) {
        for change in changes.into_iter().rev() {
            match change {
                Undo::Append(space) => {
                    if let Some(log) = self.logs.get_mut(&space) {
                        log.pop();
                    }
                }
                Undo::Row(table, key, Some(value)) => {
                    self.set_row(table, key, value);
                }
                Undo::Row(table, key, None) => {
                    if let Some(rows) = self.rows_mut(table) {
                        rows.remove(&key);
                    }
                }
                Undo::Secret(label, Some(secret)) => {
                    self.secrets.insert(label, secret);
                }
                Undo::Secret(label, None) => {
                    self.secrets.remove(&label);
                }
            }
        }
    }
}

impl fmt::Debug for MemStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rows: usize = self.tables.iter().map(|(_, rows)| rows.len()).sum();
        write!(f, "MemStore({rows} rows)")
    }
}

impl Store for MemStore {
    fn append(&mut self, space: &SpaceId, record: &[u8]) -> Result<Location, StoreError> {
        let log = self.logs.entry(*space).or_default();
        let at = |n: usize| u32::try_from(n).map_err(|_too_long| StoreError::Full);
        let place = Location {
            segment: 0,
            offset: at(log.len())?,
            len: at(record.len())?,
        };
        log.push(record.to_vec());
        self.staged.push(Undo::Append(*space));
        Ok(place)
    }

    fn read(&self, space: &SpaceId, at: &Location) -> Result<Vec<u8>, StoreError> {
        let index = usize::try_from(at.offset).unwrap_or(usize::MAX);
        let found = self.logs.get(space).and_then(|log| log.get(index));
        found.cloned().ok_or_else(|| StoreError::Damaged {
            what: format!("record {index}"),
        })
    }

    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.rows(table).and_then(|rows| rows.get(key)).cloned())
    }

    fn scan(
        &self,
        table: Table,
        from: &[u8],
        to: &[u8],
        order: Direction,
        visit: Visit<'_>,
    ) -> Result<(), StoreError> {
        let Some(rows) = self.rows(table).filter(|_| from < to) else {
            return Ok(());
        };
        let range = rows.range::<[u8], _>((Bound::Included(from), Bound::Excluded(to)));
        let mut each = |(key, value): (&Vec<u8>, &Vec<u8>)| visit(key, value);
        let _ = match order {
            Direction::Forward => range.into_iter().try_for_each(&mut each),
            Direction::Backward => range.rev().try_for_each(&mut each),
        };
        Ok(())
    }

    fn put(&mut self, table: Table, key: &[u8], value: &[u8]) {
        let before = self.set_row(table, key.to_vec(), value.to_vec());
        self.staged.push(Undo::Row(table, key.to_vec(), before));
    }

    fn delete(&mut self, table: Table, key: &[u8]) {
        let rows = self.rows_mut(table);
        if let Some((key, before)) = rows.and_then(|rows| rows.remove_entry(key)) {
            self.staged.push(Undo::Row(table, key, Some(before)));
        }
    }

    fn keep_secret(&mut self, label: Label, secret: &Secret) {
        let before = self.secrets.insert(label, secret.clone());
        self.staged.push(Undo::Secret(label, before));
    }

    fn erase_secret(&mut self, label: Label) {
        if let Some(before) = self.secrets.remove(&label) {
            self.staged.push(Undo::Secret(label, Some(before)));
        }
    }

    fn secret(&self, label: Label) -> Option<Secret> {
        self.secrets.get(&label).cloned()
    }

    fn commit(&mut self) -> Result<(), StoreError> {
        self.unsynced.append(&mut self.staged);
        Ok(())
    }

    fn abandon(&mut self) {
        let staged = core::mem::take(&mut self.staged);
        self.undo(staged);
    }

    fn sync(&mut self) -> Result<(), StoreError> {
        self.unsynced.clear();
        Ok(())
    }
}
