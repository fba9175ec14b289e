//! The journal of kept rows: what nothing can derive again, and the point where a commit happens.
//!
//! MLS state, cursors, the outbox: rows in tables that a rebuild of the index must
//! not touch. They live in memory and in one file of sealed batches, `state/`.
//! Large values stay on disk and are read when asked for.
//!
//! A batch also says what else belongs to its commit: the bytes for the logs, the
//! rows for the index, the erased secrets. One synced batch is thus the whole
//! commit, and opening completes what a crash cut off. fjall has no part in this:
//! after a power cut it may refuse to open, and what must not be lost cannot live there.
//!
//! # Invariants
//! - A batch counts whole or not at all.
//! - Rewriting the file takes a new key and erases the old one: removed rows are unreadable then.

mod batch;

use core::ops::ControlFlow;
use std::collections::BTreeMap;

use oplog::SpaceId;
use oplog::keys::Secret;
use oplog::mutants::{Mutant, on};
use oplog::store::{Direction, Label, Location, StoreError, Visit};

use crate::chance::Chance;
use crate::disk::{Disk, DiskFile, damaged, write_again};
use crate::rows::RowChange;
use crate::segment::{Header, RECORDS_AT, Scanned, Scanner, SegmentContext};
pub(crate) use batch::{Batch, decode_mark, encode_mark};
use batch::{decode, encode};

const DIR: &str = "state";
/// The name of a file that is being written.
const NEW: &str = "state/new";
/// The state's files are sealed like segments, of no Space.
const NO_SPACE: SpaceId = SpaceId::ZERO;
/// Longer values are read from the file when asked for. Guess: a page.
const INLINE_BYTES_MAX: usize = 4096;
/// Below this size the file is not rewritten. Guess: costs nothing to read at a start.
const REWRITE_BYTES_MIN: u64 = 4 * 1024 * 1024;
/// Bytes of one batch while rewriting.
const REWRITE_BATCH_BYTES: usize = 1024 * 1024;

/// The open journal.
pub(crate) struct State<D: Disk> {
    disk: D,
    file: D::File,
    label: Label,
    context: SegmentContext,
    end: u32,
    tables: BTreeMap<String, BTreeMap<Vec<u8>, Value>>,
    live_bytes: u64,
    /// Of the last batch, without its kept rows.
    last: Batch,
}

/// A batch that is in the file and nowhere else.
pub(crate) struct Recorded {
    at: Location,
    batch: Batch,
    places: Vec<usize>,
}

enum Value {
    Inline(Vec<u8>),
    /// Within the plain bytes of the batch at a location.
    At(Location, usize, usize),
}

/// A key for a state file, and how it got into the vault.
pub(crate) struct FileKey {
    pub(crate) label: Label,
    pub(crate) key: Secret,
}

impl FileKey {
    pub(crate) fn draw(chance: &mut Chance) -> Self {
        Self {
            label: Label::from_bytes(chance.bytes()),
            key: Secret::from_bytes(chance.bytes()),
        }
    }
}

/// How opening went.
pub(crate) enum Opened<D: Disk> {
    /// There is a journal. The flag says that some of it was damaged.
    Found(Box<State<D>>, bool),
    /// There is none that can be read. The flag says that there was one.
    Missing(bool),
}

impl<D: Disk> State<D> {
    /// Opens the newest journal whose key the vault holds, and removes the others.
    pub(crate) fn open(
        disk: D,
        key: impl Fn(Label) -> Option<Secret>,
    ) -> Result<Opened<D>, StoreError> {
        let names = disk.list(DIR)?;
        let mut skipped = false;
        for name in names.iter().rev().filter(|name| name.ends_with(".seg")) {
            let path = format!("{DIR}/{name}");
            let Some(file) = disk.open(&path)? else {
                continue;
            };
            let found = Header::read(&file).and_then(|header| {
                let key = key(header.label)?;
                header.open(&key).filter(|space| *space == NO_SPACE)?;
                Some((header.number, header.label, key))
            });
            let Some((number, label, key)) = found else {
                skipped = true;
                continue;
            };
            let context = SegmentContext {
                space: NO_SPACE,
                number,
                key,
            };
            let mut state = Self::empty(disk.clone(), file, label, context);
            let damaged = state.load()?;
            if !skipped {
                state.remove_others()?;
            }
            return Ok(Opened::Found(Box::new(state), damaged || skipped));
        }
        Ok(Opened::Missing(skipped))
    }

    /// Begins an empty journal. The key must be in the vault already.
    pub(crate) fn create(
        disk: D,
        key: FileKey,
        vault_counter: u64,
        chance: &mut Chance,
    ) -> Result<Self, StoreError> {
        let mut number = 0_u32;
        for name in disk.list(DIR)? {
            let hex = name.split('.').next().unwrap_or_default();
            let there = u32::from_str_radix(hex, 16).unwrap_or(0);
            number = number.max(there.saturating_add(1));
        }
        let first = Batch {
            vault_counter,
            ..Batch::default()
        };
        let state = Self::write_new(disk, key, number, vec![first], chance)?;
        state.adopt_name()?;
        Ok(state)
    }

    /// Records a commit, durable on return. It counts in memory once it is adopted
    /// ([`State::adopt`]); until then it can be withdrawn ([`State::withdraw`]).
    ///
    /// # Errors
    /// [`StoreError::Full`] and the like leave the journal as it was; the flag says that this
    /// could not be had, and only opening again tells whether the batch counts.
    pub(crate) fn record(
        &mut self,
        batch: Batch,
        chance: &mut Chance,
    ) -> Result<Recorded, (StoreError, bool)> {
        let (plain, places) = encode(&batch);
        let mut bytes = Vec::new();
        let at = self
            .context
            .seal(self.end, &chance.nonce(), &plain, &mut bytes)
            .map_err(|e| (e, false))?;
        let written = self.file.write_at(u64::from(self.end), &bytes);
        let sync = || {
            if on(Mutant::JournalUnsynced) {
                Ok(())
            } else {
                self.file.sync()
            }
        };
        if let Err(e) = written.and_then(|()| sync()) {
            return Err((e, self.withdraw().is_err()));
        }
        Ok(Recorded { at, batch, places })
    }

    /// Cuts off a batch that was recorded and not adopted: it never was.
    ///
    /// # Errors
    /// When the disk fails; only opening again tells whether the batch counts.
    pub(crate) fn withdraw(&self) -> Result<(), StoreError> {
        self.file.set_len(u64::from(self.end))?;
        self.file.sync()
    }

    /// Takes a recorded batch in.
    pub(crate) fn adopt(&mut self, recorded: Recorded) {
        let Recorded { at, batch, places } = recorded;
        self.end = at.offset + at.len;
        self.take(at, batch, &places);
    }

    pub(crate) fn get(&self, table: &str, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        let value = self.tables.get(table).and_then(|rows| rows.get(key));
        value.map(|value| self.read(value)).transpose()
    }

    pub(crate) fn scan(
        &self,
        table: &str,
        (from, to): (&[u8], &[u8]),
        order: Direction,
        visit: Visit<'_>,
    ) -> Result<(), StoreError> {
        let Some(rows) = self.tables.get(table).filter(|_| from < to) else {
            return Ok(());
        };
        let mut range = rows.range(from.to_vec()..to.to_vec());
        loop {
            let next = match order {
                Direction::Forward => range.next(),
                Direction::Backward => range.next_back(),
            };
            let Some((key, value)) = next else {
                return Ok(());
            };
            let flow = match value {
                Value::Inline(bytes) => visit(key, bytes),
                Value::At(..) => visit(key, &self.read(value)?),
            };
            if flow == ControlFlow::Break(()) {
                return Ok(());
            }
        }
    }

    /// Reads every row. Returns how many there are.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] at the first that is not as it was written.
    pub(crate) fn check(&self) -> Result<u64, StoreError> {
        let mut count = 0;
        for value in self.tables.values().flat_map(BTreeMap::values) {
            self.read(value)?;
            count += 1;
        }
        Ok(count)
    }

    /// Returns the last batch, without its kept rows.
    pub(crate) const fn last(&self) -> &Batch {
        &self.last
    }

    pub(crate) const fn label(&self) -> Label {
        self.label
    }

    pub(crate) const fn bytes(&self) -> u64 {
        self.end as u64
    }

    /// Says whether most of the file is no longer needed.
    pub(crate) const fn wants_rewrite(&self) -> bool {
        let size = self.end as u64;
        size > REWRITE_BYTES_MIN && size > self.live_bytes.saturating_mul(2)
    }

    /// Writes what still counts into a new file under a new key, already in the vault. Returns
    /// the label of the old key, for the caller to erase.
    ///
    /// # Errors
    /// When the disk fails; the old file still counts, unless the flag says that only opening
    /// again tells which.
    pub(crate) fn rewrite(
        &mut self,
        key: FileKey,
        chance: &mut Chance,
    ) -> Result<Label, (StoreError, bool)> {
        let batches = self.live_batches().map_err(|e| (e, false))?;
        let number = self.context.number.saturating_add(1);
        let new = Self::write_new(self.disk.clone(), key, number, batches, chance)
            .map_err(|e| (e, false))?;
        new.adopt_name().map_err(|e| (e, true))?;
        let old = core::mem::replace(self, new);
        // What is left over goes at the next opening.
        if let Err(error) = self.remove_others() {
            tracing::debug!(%error, "an old journal stays for now");
        }
        Ok(old.label)
    }

    /// Returns batches that make what is kept, the last one last: it may have to be completed once more.
    /// No batch holds rows of two tables: damage to one leaves the others.
    fn live_batches(&self) -> Result<Vec<Batch>, StoreError> {
        let mut batches = Vec::new();
        let mut batch = Batch::default();
        let mut size = 0;
        for (table, rows) in &self.tables {
            for (row, value) in rows {
                let value = self.read(value)?;
                size += row.len() + value.len() + table.len();
                batch.kept.push(RowChange {
                    table: table.clone().into(),
                    key: row.clone(),
                    value: Some(value),
                });
                if size >= REWRITE_BATCH_BYTES {
                    batches.push(core::mem::take(&mut batch));
                    size = 0;
                }
            }
            batches.push(core::mem::take(&mut batch));
            size = 0;
        }
        batches.push(self.last.clone());
        Ok(batches)
    }

    fn empty(disk: D, file: D::File, label: Label, context: SegmentContext) -> Self {
        Self {
            disk,
            file,
            label,
            context,
            end: RECORDS_AT,
            tables: BTreeMap::new(),
            live_bytes: 0,
            last: Batch::default(),
        }
    }

    /// Writes a whole file under another name; [`State::adopt_name`] gives it its own. A journal
    /// by its name is whole.
    fn write_new(
        disk: D,
        key: FileKey,
        number: u32,
        batches: Vec<Batch>,
        chance: &mut Chance,
    ) -> Result<Self, StoreError> {
        let context = SegmentContext {
            space: NO_SPACE,
            number,
            key: key.key,
        };
        disk.create_dir(DIR)?;
        disk.sync_dir("")?;
        let file = disk.create(NEW)?;
        file.write_at(0, &context.header(key.label, &chance.nonce()))?;
        let mut state = Self::empty(disk.clone(), file, key.label, context);
        for batch in batches {
            let (plain, places) = encode(&batch);
            let mut bytes = Vec::new();
            let at = state
                .context
                .seal(state.end, &chance.nonce(), &plain, &mut bytes)?;
            state.file.write_at(u64::from(state.end), &bytes)?;
            state.end = at.offset + at.len;
            state.take(at, batch, &places);
        }
        state.file.sync()?;
        Ok(state)
    }

    fn adopt_name(&self) -> Result<(), StoreError> {
        self.disk.rename(NEW, &self.path())?;
        self.disk.sync_dir(DIR)
    }

    fn path(&self) -> String {
        format!("{DIR}/{:08x}.seg", self.context.number)
    }

    /// Reads every batch; returns whether some were damaged.
    fn load(&mut self) -> Result<bool, StoreError> {
        let mut scanner = Scanner::new(self.context.clone(), &self.file, RECORDS_AT)?;
        let mut bad = false;
        let mut newest = RECORDS_AT;
        loop {
            match scanner.next_in(&self.file)? {
                Scanned::Record(at, plain) => match decode(&plain) {
                    Some((batch, places)) => {
                        newest = at.offset;
                        self.take(at, batch, &places);
                    }
                    None => bad = true,
                },
                Scanned::Bad(_) => bad = true,
                Scanned::End { at, .. } => {
                    self.end = at;
                    break;
                }
            }
        }
        if self.file.size()? > u64::from(self.end) {
            self.file.set_len(u64::from(self.end))?;
        }
        // The last batch counts from now on, whatever became of its sync. A file that was cut has none.
        if newest < self.end {
            write_again(&self.file, u64::from(newest), u64::from(self.end))?;
        }
        self.file.sync()?;
        Ok(bad)
    }

    fn take(&mut self, at: Location, mut batch: Batch, places: &[usize]) {
        let kept = core::mem::take(&mut batch.kept);
        for (change, place) in kept.into_iter().zip(places) {
            let key_len = change.key.len();
            let rows = self.tables.entry(change.table.into_owned()).or_default();
            let (old, added) = match change.value {
                None => (rows.remove(&change.key), 0),
                Some(value) => {
                    let len = value.len();
                    let value = if len > INLINE_BYTES_MAX {
                        Value::At(at, *place, len)
                    } else {
                        Value::Inline(value)
                    };
                    (rows.insert(change.key, value), key_len + len)
                }
            };
            let removed = old.map_or(0, |old| key_len + old.len());
            self.live_bytes = (self.live_bytes + added as u64).saturating_sub(removed as u64);
        }
        self.last = batch;
    }

    fn read(&self, value: &Value) -> Result<Vec<u8>, StoreError> {
        match value {
            Value::Inline(bytes) => Ok(bytes.clone()),
            Value::At(at, from, len) => {
                let mut bytes = vec![0; at.len as usize];
                self.file.read_at(u64::from(at.offset), &mut bytes)?;
                let plain = self.context.open(at.offset, &bytes)?;
                let value = plain.get(*from..from + len);
                value
                    .map(<[u8]>::to_vec)
                    .ok_or_else(|| damaged("a kept row"))
            }
        }
    }

    fn remove_others(&self) -> Result<(), StoreError> {
        let own = self.path();
        let names = self.disk.list(DIR)?;
        let mut others: Vec<String> = names.iter().map(|name| format!("{DIR}/{name}")).collect();
        others.retain(|path| *path != own);
        for path in &others {
            self.disk.remove(path)?;
        }
        if !others.is_empty() {
            self.disk.sync_dir(DIR)?;
        }
        Ok(())
    }
}

impl Value {
    const fn len(&self) -> usize {
        match self {
            Self::Inline(bytes) => bytes.len(),
            Self::At(_, _, len) => *len,
        }
    }
}
