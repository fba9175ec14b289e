//! [`oplog::store::Store`] over log, vault, journal and index.
//!
//! # The order of effects in a commit, and why a crash anywhere is harmless
//! 0. Keys of new segments go into the vault, synced. A crash leaves a key that no file
//!    names; opening erases it.
//! 1. New secrets go into the vault, synced, marked as not yet committed. A crash leaves
//!    marks above the recorded counter; opening erases them. The old values are still there.
//! 2. When kept rows or secrets are part of the commit, one synced batch in the journal
//!    `state/` holds all of it: kept rows, bytes for the logs, rows for the index, erased
//!    labels. **This is the commit.** Opening writes the bytes and rows again that are missing.
//!    Whatever earlier commits left unsynced is synced before, so that this batch is never
//!    durable ahead of what it builds on.
//! 3. Bytes go into the logs.
//! 4. One batch of rows, with how far each log is indexed, goes into the index. Without step 2
//!    **this is the commit**: a crash between 3 and 4 leaves records beyond the mark, which
//!    [`Profile::take_unindexed`] hands out to be judged and indexed like any that arrive.
//! 5. Replaced and erased secrets are zeroed, synced. A crash before leaves them named in the
//!    last batch of the journal; opening zeroes them.
//!
//! After an error beyond the point where a commit can be undone, or a failed sync, only the
//! disk knows what counts: the store refuses to write until [`Profile::resume`] has read it
//! again, which is a crash without the crash. Callers reload what they hold in memory.

use core::fmt;
use std::collections::{BTreeMap, BTreeSet};

use oplog::keys::Secret;
use oplog::store::{Direction, Label, Location, Store, StoreError, Table, Visit};
use oplog::{Digest, SpaceId};

use crate::chance::Chance;
use crate::disk::{Disk, DiskFile, failed};
use crate::log::{Log, Mark};
use crate::recovery::{BadPart, Behind, Recovery};
use crate::rows::{Index, RowChange, Rows, Staged};
use crate::segment::{RECORDS_AT, Scanned};
use crate::state::{Batch, FileKey, State, encode_mark};
use crate::superblock::Unlock;
use crate::vault::{SlotKind, Vault, VaultError};

/// Tables that hold what nothing can derive again, so that no rebuild drops them.
pub const KEPT_TABLES: [&str; 3] = ["mls", "node", "blob"];

/// The file of the vault.
pub(crate) const VAULT_PATH: &str = "vault.bin";
const RESERVE_PATH: &str = "reserve.bin";
/// The table of the store's own rows.
pub(crate) const META: &str = "#meta";
pub(crate) const HEAD_KEY: &[u8] = b"head";
pub(crate) const MARK_PREFIX: u8 = b'm';
/// The reserve comes back when this many times its size is free.
const RESERVE_MARGIN: u64 = 4;

/// How a profile is kept.
#[derive(Clone, Debug)]
pub struct Options {
    /// Names the shape of all derived rows; another value than the index was written with
    /// rebuilds it.
    pub schema: Digest,
    /// Tables that no rebuild drops.
    pub kept: BTreeSet<&'static str>,
    /// Bytes kept back for when the disk is full.
    pub reserve_bytes: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            schema: Digest::ZERO,
            kept: KEPT_TABLES.into(),
            reserve_bytes: 16 * 1024 * 1024,
        }
    }
}

/// Why a profile does not open.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has it open.
    #[error("the profile is in use")]
    InUse,
    /// There is one already.
    #[error("there is a profile already")]
    Exists,
    /// There is none.
    #[error("there is no profile")]
    Missing,
    /// The passphrase, or the kind of root key, is not the one it was closed with.
    #[error("wrong passphrase")]
    WrongPassphrase,
    /// The vault does not open: enrol as a new device.
    #[error("the vault does not open")]
    Vault(#[source] VaultError),
    /// The disk failed.
    #[error("cannot read the profile")]
    Store(#[from] StoreError),
}

impl From<VaultError> for OpenError {
    fn from(error: VaultError) -> Self {
        match error {
            VaultError::WrongPassphrase => Self::WrongPassphrase,
            VaultError::Missing => Self::Missing,
            VaultError::Store(inner) => Self::Store(inner),
            other @ (VaultError::Damaged | VaultError::TableFull | VaultError::Cost(_)) => {
                Self::Vault(other)
            }
        }
    }
}

/// A record that the index does not know yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unindexed {
    /// Whose log.
    pub space: SpaceId,
    /// Where it stands.
    pub at: Location,
    /// What was appended.
    pub record: Vec<u8>,
}

/// How much there is of everything, for "Health". All in bytes but the slots.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stats {
    /// Logs of all Spaces.
    pub log_bytes: u64,
    /// The index.
    pub index_bytes: u64,
    /// The journal of kept rows.
    pub kept_bytes: u64,
    /// Left on the disk; unknown where nobody can say.
    pub free_bytes: Option<u64>,
    /// Slots of the vault that are free.
    pub vault_free_count: usize,
    /// The reserve is there. When not, the disk was full: write only what matters.
    pub reserve_held: bool,
}

/// A profile: log, vault, kept rows and index of one person's device.
pub struct Profile<D: Disk, I: Index + Clone> {
    pub(crate) disk: D,
    pub(crate) index: I,
    pub(crate) options: Options,
    pub(crate) chance: Chance,
    pub(crate) vault: Vault<D::File>,
    pub(crate) state: State<D>,
    pub(crate) log: Log<D>,
    /// `None` only while, or after, opening it again failed.
    pub(crate) rows: Option<I::Rows>,
    pub(crate) profile_id: [u8; 16],
    pub(crate) seq: u64,
    pub(crate) durable: BTreeMap<SpaceId, Mark>,
    pub(crate) behind: BTreeMap<SpaceId, Behind>,
    /// As of the last commit.
    pub(crate) behind_committed: BTreeMap<SpaceId, Behind>,
    pub(crate) marks_moved: BTreeSet<SpaceId>,
    pub(crate) recovery: Recovery,
    pub(crate) reserve_held: bool,
    pub(crate) staged: Staged,
    pub(crate) secrets: BTreeMap<Label, Option<Secret>>,
    /// Something was staged that cannot be stored.
    pub(crate) unfit: Option<&'static str>,
    /// Committed and not synced.
    pub(crate) unsynced: bool,
    pub(crate) poisoned: bool,
}

impl<D: Disk, I: Index + Clone> Profile<D, I> {
    /// Creates an empty profile.
    ///
    /// # Errors
    /// [`OpenError::Exists`], or when the disk fails.
    pub fn create_in(
        disk: D,
        index: I,
        with: Unlock<'_>,
        options: Options,
        seed: &Secret,
    ) -> Result<Self, OpenError> {
        if disk.open(VAULT_PATH)?.is_some() {
            return Err(OpenError::Exists);
        }
        let mut chance = Chance::new(seed);
        let vault_seed = Secret::from_bytes(chance.bytes());
        let vault = Vault::create(&disk, VAULT_PATH, with, &vault_seed)?;
        Ok(Self::assemble(disk, index, vault, options, chance)?)
    }

    /// Opens a profile, whatever state it is in, and says in [`Profile::recovery`] what it found.
    /// `seed` must be fresh: nonces come from it.
    ///
    /// # Errors
    /// Only for a wrong root key, a vault without a whole superblock, or a disk that fails.
    pub fn open_in(
        disk: D,
        index: I,
        with: Unlock<'_>,
        options: Options,
        seed: &Secret,
    ) -> Result<Self, OpenError> {
        let vault = Vault::open(&disk, VAULT_PATH, with)?;
        let chance = Chance::new(seed);
        Ok(Self::assemble(disk, index, vault, options, chance)?)
    }

    /// Reads everything from the disk again, as after a crash, and allows writing again. For
    /// when a commit or sync failed for good, an index row was damaged, or space has returned.
    /// Whoever holds anything in memory that came from here must load it again.
    ///
    /// # Errors
    /// When the disk fails; the store then still refuses to write.
    pub fn resume(&mut self) -> Result<(), StoreError> {
        self.poisoned = true;
        // An index admits one owner at a time.
        self.rows = None;
        let vault = self.vault.reopen(&self.disk, VAULT_PATH)?;
        let chance = Chance::new(&Secret::from_bytes(self.chance.bytes()));
        *self = Self::assemble(
            self.disk.clone(),
            self.index.clone(),
            vault,
            self.options.clone(),
            chance,
        )?;
        Ok(())
    }

    /// Says whether writing is refused until [`Profile::resume`].
    #[must_use]
    pub const fn is_poisoned(&self) -> bool {
        self.poisoned
    }

    /// Returns what opening found, and what reading found since.
    #[must_use]
    pub const fn recovery(&self) -> &Recovery {
        &self.recovery
    }

    /// Says whether [`Profile::take_unindexed`] has anything.
    #[must_use]
    pub fn has_unindexed(&self) -> bool {
        !self.behind.is_empty()
    }

    /// Returns the next records that the index does not know, at most `max`, each Space's in
    /// the order they were appended. The next commit counts them as indexed, so index them all
    /// before it. Empty at the end. Some may be known already: indexing must not mind.
    ///
    /// # Errors
    /// When the disk fails. Damage is no error: see [`Profile::recovery`].
    pub fn take_unindexed(&mut self, max: usize) -> Result<Vec<Unindexed>, StoreError> {
        let mut out = Vec::new();
        while let Some((space, behind)) = self.behind.iter().next().map(|(s, b)| (*s, *b)) {
            let left = max - out.len();
            if left == 0 {
                break;
            }
            let cursor = self.read_on(&space, behind, left, &mut out)?;
            self.marks_moved.insert(space);
            match cursor {
                Some(cursor) => self.behind.insert(space, Behind { cursor, ..behind }),
                None => self.behind.remove(&space),
            };
        }
        Ok(out)
    }

    /// Visits every whole record of a Space in order: for exports, audits and checks. Returns
    /// the parts that are no record.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn records(
        &self,
        space: &SpaceId,
        visit: &mut dyn FnMut(Location, Vec<u8>),
    ) -> Result<Vec<BadPart>, StoreError> {
        let mut bad = Vec::new();
        for number in self.log.segments(space) {
            let mut scanner = self.log.scanner(space, number, RECORDS_AT)?;
            loop {
                match self.log.scan_next(space, number, &mut scanner)? {
                    Scanned::Record(at, record) => visit(at, record),
                    Scanned::Bad(at) => bad.push(BadPart {
                        space: Some(*space),
                        at,
                    }),
                    Scanned::End { at, full } => {
                        let size = self.log.segment_end(space, number);
                        if size > at && !full {
                            bad.push(BadPart::tail(space, number, at, size));
                        }
                        break;
                    }
                }
            }
        }
        Ok(bad)
    }

    /// Returns the Spaces that have a log.
    #[must_use]
    pub fn spaces(&self) -> Vec<SpaceId> {
        self.log.spaces().collect()
    }

    /// Stages an empty log for a Space, so that [`Profile::spaces`] knows it once committed.
    pub fn new_space(&mut self, space: &SpaceId) {
        self.log.begin_space(space, &mut self.chance);
    }

    /// Removes the log of a Space and erases its keys, for good. Its rows are the caller's to
    /// remove. Nothing may be staged.
    ///
    /// # Errors
    /// When something is staged, or the disk fails.
    pub fn remove_space(&mut self, space: &SpaceId) -> Result<(), StoreError> {
        self.behind.remove(space);
        self.behind_committed.remove(space);
        self.durable.remove(space);
        self.marks_moved.remove(space);
        let unmark = RowChange {
            table: META.to_owned(),
            key: mark_key(space),
            value: None,
        };
        self.supersede(vec![unmark])?;
        let keys = self.log.remove_space(space)?;
        self.vault.erase_now(&keys)?;
        Ok(())
    }

    /// Returns the numbers of a Space's segments, in order.
    #[must_use]
    pub fn segments(&self, space: &SpaceId) -> Vec<u32> {
        self.log.segments(space)
    }

    /// Erases one segment and its key, for good; not the newest. Rows that point into it are
    /// the caller's to remove. Nothing may be staged.
    ///
    /// # Errors
    /// When something is staged, it is the newest segment, or the disk fails.
    pub fn erase_segment(&mut self, space: &SpaceId, number: u32) -> Result<(), StoreError> {
        self.supersede(Vec::new())?;
        let key = self.log.remove_segment(space, number)?;
        self.vault.erase_now(&BTreeSet::from([key]))?;
        Ok(())
    }

    /// Checks every full segment against its footer; returns those that fail.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn verify(&self) -> Result<Vec<(SpaceId, u32)>, StoreError> {
        self.log.verify()
    }

    /// Seals the vault under another root key. The old one opens nothing afterwards.
    ///
    /// # Errors
    /// When the disk fails; then either opens it.
    pub fn change_root(&mut self, to: Unlock<'_>) -> Result<(), VaultError> {
        self.vault.change_root(to, &mut self.chance)
    }

    /// Does what can wait for an idle moment: moves the index's recent rows to where a start
    /// need not replay them, rewrites the journal of kept rows, takes the reserve back.
    ///
    /// # Errors
    /// When the index fails.
    pub fn flush_idle(&mut self) -> Result<(), StoreError> {
        self.nothing_staged()?;
        Store::sync(self)?;
        self.rewrite_state();
        self.hold_reserve();
        // The next opening then need not look at what is known to be whole.
        let marks = self.log.spaces().map(|s| self.mark_row(&s));
        let marks: Vec<RowChange> = marks.collect();
        let rows = self.rows_mut()?;
        rows.apply(&marks)
            .and_then(|()| rows.sync())
            .inspect_err(|_| self.poisoned = true)?;
        self.rows_mut()?.flush_idle()
    }

    /// Returns how much there is of everything.
    #[must_use]
    pub fn stats(&self) -> Stats {
        Stats {
            log_bytes: self.log.bytes(),
            index_bytes: self.rows.as_ref().map_or(0, Rows::bytes),
            kept_bytes: self.state.bytes(),
            free_bytes: self.disk.free_bytes(),
            vault_free_count: self.vault.free_count(),
            reserve_held: self.reserve_held,
        }
    }

    pub(crate) fn usable(&self) -> Result<(), StoreError> {
        if self.poisoned {
            let why = "an earlier write failed for good; resume first";
            return Err(failed("write to the store", why));
        }
        Ok(())
    }

    fn rows(&self) -> Result<&I::Rows, StoreError> {
        let rows = self.rows.as_ref();
        rows.ok_or_else(|| failed("use the index", "it is closed"))
    }

    pub(crate) fn rows_mut(&mut self) -> Result<&mut I::Rows, StoreError> {
        let rows = self.rows.as_mut();
        rows.ok_or_else(|| failed("use the index", "it is closed"))
    }

    /// A damaged row condemns the index: the next opening, or resuming, builds a new one.
    fn judge<T>(&self, result: Result<T, StoreError>) -> Result<T, StoreError> {
        if matches!(result, Err(StoreError::Damaged { .. }))
            && let Err(error) = self.index.condemn()
        {
            tracing::debug!(%error, "cannot mark the index as damaged");
        }
        result
    }

    fn is_kept(&self, table: &str) -> bool {
        self.options.kept.contains(table)
    }

    fn try_commit(&mut self) -> Result<(), StoreError> {
        if let Some(why) = self.unfit {
            return Err(failed("store a row", why));
        }
        if self.staged.is_empty()
            && self.secrets.is_empty()
            && self.log.staged().is_empty()
            && self.marks_moved.is_empty()
        {
            return Ok(());
        }
        let begun = self
            .log
            .begun_keys()
            .map(|(label, key)| (label, key.clone()));
        for (label, key) in begun.collect::<Vec<_>>() {
            self.vault
                .put_now(SlotKind::Segment, label, &key, &mut self.chance)?;
        }
        let kept = self.staged.changes(|table| self.is_kept(table));
        let rows = self.staged.changes(|table| !self.is_kept(table));
        let in_journal = !kept.is_empty() || !self.secrets.is_empty();
        if in_journal && self.unsynced {
            self.sync()?;
        }
        let rows = self.commit_point(kept, rows, in_journal)?;
        let applied = self.rows_mut().and_then(|r| r.apply(&rows));
        if applied.is_err() {
            self.poisoned = true;
            return applied;
        }
        if !self.secrets.is_empty() {
            self.vault.finish().inspect_err(|_| self.poisoned = true)?;
        }
        Ok(())
    }

    /// Everything up to the point where the commit stands, and the bytes of the logs. Returns
    /// the rows that the index still needs.
    fn commit_point(
        &mut self,
        kept: Vec<RowChange>,
        mut rows: Vec<RowChange>,
        in_journal: bool,
    ) -> Result<Vec<RowChange>, StoreError> {
        let seq = self.seq + 1;
        let mut vault_counter = self.vault.counter();
        if !self.secrets.is_empty() {
            match self.vault.begin(&self.secrets, &mut self.chance) {
                Ok(counter) => vault_counter = counter,
                Err(e) => {
                    self.undo_vault();
                    return Err(e.into());
                }
            }
        }
        let state_seq = if in_journal {
            seq
        } else {
            self.state.last().seq
        };
        rows.extend(self.meta_rows(seq, state_seq, vault_counter));
        if in_journal {
            let erased = self.secrets.iter().filter(|(_, s)| s.is_none());
            let batch = Batch {
                seq,
                vault_counter,
                kept,
                erased: erased.map(|(label, _)| *label).collect(),
                writes: self.log.staged().to_vec(),
                rows: rows.clone(),
            };
            if let Err((error, unknown)) = self.state.commit(batch, &mut self.chance) {
                if unknown {
                    self.poisoned = true;
                } else {
                    self.undo_vault();
                }
                return Err(error);
            }
        }
        self.unsynced = true;
        let mut written = self.log.write_staged();
        if in_journal {
            // The commit stands, so the bytes must go in; the reserve is for this.
            if written.is_err() && self.release_reserve() {
                written = self.log.write_staged();
            }
            self.poisoned |= written.is_err();
        }
        written?;
        self.seq = seq;
        Ok(rows)
    }

    fn meta_rows(&self, seq: u64, state_seq: u64, vault_counter: u64) -> Vec<RowChange> {
        let mut rows = vec![self.head_row(seq, state_seq, vault_counter)];
        let touched = self.log.staged().iter().map(|w| w.space);
        let touched: BTreeSet<SpaceId> = touched.chain(self.marks_moved.clone()).collect();
        rows.extend(touched.iter().map(|space| self.mark_row(space)));
        rows
    }

    pub(crate) fn head_row(&self, seq: u64, state_seq: u64, vault_counter: u64) -> RowChange {
        let head = [
            self.options.schema.as_bytes().as_slice(),
            &self.profile_id,
            &seq.to_le_bytes(),
            &state_seq.to_le_bytes(),
            &vault_counter.to_le_bytes(),
        ];
        RowChange {
            table: META.to_owned(),
            key: HEAD_KEY.to_vec(),
            value: Some(head.concat()),
        }
    }

    fn mark_row(&self, space: &SpaceId) -> RowChange {
        let end = self.log.end(space);
        let indexed = self.behind.get(space).map_or(end, |b| b.cursor);
        let durable = self.durable.get(space).copied().unwrap_or_default();
        RowChange {
            table: META.to_owned(),
            key: mark_key(space),
            value: Some(encode_mark(indexed, durable)),
        }
    }

    fn undo_vault(&mut self) {
        if !self.secrets.is_empty() && self.vault.abort().is_err() {
            self.poisoned = true;
        }
    }

    /// Forgets what is staged, on disk too where it got there.
    fn drop_staged(&mut self) {
        let dropped = self.log.drop_staged();
        let erased = dropped.and_then(|keys| Ok(self.vault.erase_now(&keys)?));
        if erased.is_err() {
            self.poisoned = true;
        }
    }

    fn clear_staged(&mut self) {
        self.staged.clear();
        self.secrets.clear();
        self.unfit = None;
    }

    /// Records an empty commit, so that no opening completes the one before once more.
    fn supersede(&mut self, mut rows: Vec<RowChange>) -> Result<(), StoreError> {
        self.usable()?;
        self.nothing_staged()?;
        self.sync()?;
        let (seq, vault_counter) = (self.seq + 1, self.vault.counter());
        rows.extend(self.meta_rows(seq, seq, vault_counter));
        let batch = Batch {
            seq,
            vault_counter,
            rows: rows.clone(),
            ..Batch::default()
        };
        self.state
            .commit(batch, &mut self.chance)
            .map_err(|(error, unknown)| {
                self.poisoned |= unknown;
                error
            })?;
        self.seq = seq;
        self.unsynced = true;
        let applied = self.rows_mut().and_then(|r| r.apply(&rows));
        applied.inspect_err(|_| self.poisoned = true)?;
        self.sync()
    }

    /// Rows handed out to be indexed count as staged: their commit is still to come.
    fn nothing_staged(&self) -> Result<(), StoreError> {
        let nothing = self.staged.is_empty()
            && self.secrets.is_empty()
            && self.marks_moved.is_empty()
            && self.log.staged().is_empty();
        if nothing {
            return Ok(());
        }
        Err(failed("do this between commits", "something is staged"))
    }

    fn rewrite_state(&mut self) {
        if !self.state.wants_rewrite() {
            return;
        }
        let key = FileKey::draw(&mut self.chance);
        let label = key.label;
        let kept = self
            .vault
            .put_now(SlotKind::Segment, label, &key.key, &mut self.chance);
        let outcome = kept.map_err(|e| (e.into(), false));
        let outcome = outcome.and_then(|()| self.state.rewrite(key, &mut self.chance));
        let unneeded = match outcome {
            Ok(old) => old,
            Err((error, unknown)) => {
                tracing::debug!(%error, "cannot rewrite the journal of kept rows");
                self.poisoned |= unknown;
                label
            }
        };
        // A key that stays is erased at the next opening; while it is not known which file
        // counts, both keys must stay.
        if !self.poisoned && self.vault.erase_now(&BTreeSet::from([unneeded])).is_err() {
            self.poisoned = true;
        }
    }

    /// Gives the reserved room back to the disk. Returns whether there was any.
    fn release_reserve(&mut self) -> bool {
        let held = core::mem::take(&mut self.reserve_held);
        held && self.disk.remove(RESERVE_PATH).is_ok()
    }

    /// Takes the reserve, when there is room enough not to be in the way.
    pub(crate) fn hold_reserve(&mut self) {
        let bytes = self.options.reserve_bytes;
        if self.reserve_held || bytes == 0 {
            return;
        }
        let roomy = |free| free >= bytes.saturating_mul(RESERVE_MARGIN);
        if self.disk.free_bytes().is_none_or(roomy) {
            self.reserve_held = fill(&self.disk, bytes).is_ok();
            if !self.reserve_held && self.disk.remove(RESERVE_PATH).is_err() {
                tracing::debug!("a partial reserve stays");
            }
        }
    }

    pub(crate) fn reserve_is_there(disk: &D, bytes: u64) -> Result<bool, StoreError> {
        match disk.open(RESERVE_PATH)? {
            Some(file) => Ok(file.size()? >= bytes),
            None => Ok(false),
        }
    }
}

impl<D: Disk, I: Index + Clone> Store for Profile<D, I> {
    fn append(&mut self, space: &SpaceId, record: &[u8]) -> Result<Location, StoreError> {
        self.log.append(space, record, &mut self.chance)
    }

    fn read(&self, space: &SpaceId, at: &Location) -> Result<Vec<u8>, StoreError> {
        self.log.read(space, at)
    }

    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        if let Some(staged) = self.staged.get(table, key) {
            return Ok(staged.map(<[u8]>::to_vec));
        }
        if self.is_kept(table.0) {
            return self.state.get(table.0, key);
        }
        self.judge(self.rows()?.get(table.0, key))
    }

    fn scan(
        &self,
        table: Table,
        from: &[u8],
        to: &[u8],
        order: Direction,
        visit: Visit<'_>,
    ) -> Result<(), StoreError> {
        let range = (from, to);
        if self.is_kept(table.0) {
            return self.staged.scan_over(table, range, order, visit, |v| {
                self.state.scan(table.0, range, order, v)
            });
        }
        let rows = self.rows()?;
        let scanned = self.staged.scan_over(table, range, order, visit, |v| {
            rows.scan(table.0, from, to, order, v)
        });
        self.judge(scanned)
    }

    fn put(&mut self, table: Table, key: &[u8], value: &[u8]) {
        if key.is_empty() {
            self.unfit = Some("its key is empty");
        }
        self.staged.set(table, key, Some(value));
    }

    fn delete(&mut self, table: Table, key: &[u8]) {
        if !key.is_empty() {
            self.staged.set(table, key, None);
        }
    }

    fn keep_secret(&mut self, label: Label, secret: &Secret) {
        self.secrets.insert(label, Some(secret.clone()));
    }

    fn erase_secret(&mut self, label: Label) {
        self.secrets.insert(label, None);
    }

    fn secret(&self, label: Label) -> Option<Secret> {
        match self.secrets.get(&label) {
            Some(staged) => staged.clone(),
            None => self.vault.secret(label),
        }
    }

    fn commit(&mut self) -> Result<(), StoreError> {
        let mut result = self.usable().and_then(|()| self.try_commit());
        if matches!(result, Err(StoreError::Full)) && !self.poisoned && self.release_reserve() {
            result = self.try_commit();
        }
        if result.is_ok() {
            self.marks_moved.clear();
            self.behind_committed.clone_from(&self.behind);
        } else if !self.poisoned {
            self.drop_staged();
            // Handed out and not indexed after all.
            self.marks_moved.clear();
            self.behind.clone_from(&self.behind_committed);
        }
        self.clear_staged();
        if result.is_ok() {
            self.rewrite_state();
        }
        result
    }

    fn sync(&mut self) -> Result<(), StoreError> {
        self.usable()?;
        if !self.unsynced {
            return Ok(());
        }
        let rows = self.rows.as_mut();
        let rows = rows.ok_or_else(|| failed("use the index", "it is closed"))?;
        let synced = self.log.sync().and_then(|()| rows.sync());
        // What the kernel dropped it will not write again: no later sync may be trusted.
        synced.inspect_err(|_| self.poisoned = true)?;
        for space in self.log.spaces() {
            self.durable.insert(space, self.log.written_end(&space));
        }
        self.unsynced = false;
        Ok(())
    }
}

impl<D: Disk, I: Index + Clone> fmt::Debug for Profile<D, I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Profile({:?}, {:?})", self.log, self.vault)
    }
}

pub(crate) fn mark_key(space: &SpaceId) -> Vec<u8> {
    [&[MARK_PREFIX], space.as_bytes().as_slice()].concat()
}

fn fill(disk: &impl Disk, bytes: u64) -> Result<(), StoreError> {
    let file = disk.create(RESERVE_PATH)?;
    let zeros = vec![0; 1024 * 1024];
    let mut at = 0;
    while at < bytes {
        let n = usize::try_from(bytes - at).map_or(zeros.len(), |left| left.min(zeros.len()));
        file.write_at(at, zeros.get(..n).unwrap_or_default())?;
        at += n as u64;
    }
    file.sync()
}
