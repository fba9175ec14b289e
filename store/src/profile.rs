//! [`oplog::store::Store`] over log, vault, journal and index.
//!
//! What a commit does, and in which order, is in `commit`; what opening does, in `recovery`.

use core::fmt;
use core::ops::ControlFlow;
use core::sync::atomic::{AtomicBool, Ordering};
use std::collections::{BTreeMap, BTreeSet};

use oplog::keys::Secret;
use oplog::mutants::{Mutant, on};
use oplog::store::{Direction, Label, Location, Store, StoreError, Table, Visit, prefix_end};
use oplog::{Digest, SpaceId};

use crate::chance::Chance;
use crate::disk::{Disk, failed};
use crate::log::{Log, Mark};
use crate::recovery::{BadPart, Behind, Recovery};
use crate::rows::{Index, RowChange, Rows, Staged};
use crate::sealed_rows::SealedRows;
use crate::segment::{RECORDS_AT, SEGMENT_BYTES, Scanned};
use crate::state::State;
use crate::superblock::Unlock;
use crate::upkeep::{BUNDLE_BYTES, SLOTS_LOW, remove_reserve};
use crate::vault::{Vault, VaultError};

/// Tables that hold what nothing can derive again, so that no rebuild drops them.
pub const KEPT_TABLES: [&str; 4] = ["mls", "mls-copy", "node", "blob"];

/// The file of the vault.
pub(crate) const VAULT_PATH: &str = "vault.bin";
/// The table of the store's own rows.
pub(crate) const META: &str = "#meta";
pub(crate) const HEAD_KEY: &[u8] = b"head";
pub(crate) const MARK_PREFIX: u8 = b'm';

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
    /// A segment of a log takes no record beyond this size, unless it is the first.
    pub segment_bytes: u32,
    /// Segments are merged into files of at most this size.
    pub bundle_bytes: u64,
    /// With fewer free slots than this in the vault, old segments are merged.
    pub slots_low: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            schema: Digest::ZERO,
            kept: KEPT_TABLES.into(),
            reserve_bytes: 16 * 1024 * 1024,
            segment_bytes: SEGMENT_BYTES,
            bundle_bytes: BUNDLE_BYTES,
            slots_low: SLOTS_LOW,
        }
    }
}

/// The loud name of the file that makes a profile insecure.
pub(crate) const PLAINTEXT_KEY_PATH: &str = "insecure-plaintext-key";

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
    /// The passphrase is not the one it was closed with.
    #[error("wrong passphrase")]
    WrongPassphrase,
    /// It is closed with a passphrase, and a plaintext key was tried.
    #[error("the profile has a passphrase")]
    HasPassphrase,
    /// It is closed with a plaintext key, and a passphrase was tried.
    #[error("the profile has no passphrase, but a plaintext key")]
    NoPassphrase,
    /// The plaintext key that opens it is gone, or is another one.
    #[error("the file {path} {what}", path = PLAINTEXT_KEY_PATH)]
    PlaintextKey {
        /// What is wrong with it.
        what: &'static str,
    },
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
    /// Slots of the vault that are free before it grows.
    pub vault_free_count: usize,
    /// Slots of the vault that hold a secret.
    pub vault_taken_count: usize,
    /// The reserve is there. When not, the disk was full: write only what matters.
    pub reserve_held: bool,
}

/// A profile: log, vault, kept rows and index of one person's device.
pub struct Profile<D: Disk, I: Index + Clone> {
    pub(crate) index: I,
    pub(crate) options: Options,
    pub(crate) chance: Chance,
    pub(crate) vault: Vault<D::File>,
    pub(crate) state: State<D>,
    pub(crate) log: Log<D>,
    /// `None` only while, or after, opening it again failed.
    pub(crate) rows: Option<SealedRows<I::Rows>>,
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
    /// What was refused could not be cut off.
    pub(crate) undo_due: bool,
    /// A row, of the index or a kept one, was found damaged.
    pub(crate) condemned: AtomicBool,
    // Dropped last: with it goes the lock, and nobody else may open what is still closing.
    pub(crate) disk: D,
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
    /// `seed` must be fresh: nonces come from it. When the disk is too full even for this, the
    /// reserve is let go.
    ///
    /// # Errors
    /// Only for a wrong root key, a vault without a whole superblock, or a disk that fails or is
    /// full without a reserve.
    pub fn open_in(
        disk: D,
        index: I,
        with: Unlock<'_>,
        options: Options,
        seed: &Secret,
    ) -> Result<Self, OpenError> {
        let mut chance = Chance::new(seed);
        let mut open = || {
            let vault = Vault::open(&disk, VAULT_PATH, with)?;
            // Each try draws its own: no nonce is used twice.
            let own = Chance::new(&chance.secret());
            let (disk, index) = (disk.clone(), index.clone());
            Ok(Self::assemble(disk, index, vault, options.clone(), own)?)
        };
        match open() {
            Err(OpenError::Store(StoreError::Full)) if remove_reserve(&disk)? => open(),
            opened => opened,
        }
    }

    /// Reads everything from the disk again, as after a crash, and allows writing again. For
    /// when a commit or sync failed for good, a row was damaged, or space has returned.
    /// Whoever holds anything in memory that came from here must load it again.
    ///
    /// # Errors
    /// When the disk fails; the store then still refuses to write.
    pub fn resume(&mut self) -> Result<(), StoreError> {
        self.poisoned = true;
        // An index admits one owner at a time.
        self.rows = None;
        if self.undo_due {
            // Keys that nothing needs now are erased on the way.
            self.log.drop_staged()?;
            self.undo_due = false;
        }
        *self = match self.assemble_again() {
            Err(StoreError::Full) if remove_reserve(&self.disk)? => self.assemble_again(),
            assembled => assembled,
        }?;
        Ok(())
    }

    fn assemble_again(&mut self) -> Result<Self, StoreError> {
        let vault = self.vault.reopen(&self.disk, VAULT_PATH)?;
        let chance = Chance::new(&self.chance.secret());
        let (disk, index) = (self.disk.clone(), self.index.clone());
        Self::assemble(disk, index, vault, self.options.clone(), chance)
    }

    /// Says whether [`Profile::resume`] is due: writing is refused until then, or a row was found
    /// damaged.
    #[must_use]
    pub fn is_poisoned(&self) -> bool {
        self.poisoned || self.condemned.load(Ordering::Relaxed)
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

    /// Returns the numbers of a Space's segments, in order.
    #[must_use]
    pub fn segments(&self, space: &SpaceId) -> Vec<u32> {
        self.log.segments(space)
    }

    /// Checks every full segment against its footer; returns those that fail.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn verify(&self) -> Result<Vec<(SpaceId, u32)>, StoreError> {
        self.log.verify()
    }

    /// Reads every row, of the index and kept ones. Returns how many there are, staged ones aside.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] at the first that is not as it was written: [`Profile::resume`] is due
    /// then, and makes anew what can be. Or when the disk fails.
    pub fn check_rows(&self) -> Result<u64, StoreError> {
        let kept = self.judge_kept(self.state.check())?;
        let indexed = self.judge(count_rows(self.rows()?))?;
        Ok(kept + indexed)
    }

    /// Seals the vault under another root key. The old one opens nothing afterwards.
    ///
    /// # Errors
    /// When the disk fails; then either opens it.
    pub fn change_root(&mut self, to: Unlock<'_>) -> Result<(), VaultError> {
        self.vault.change_root(to, &mut self.chance)
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
            vault_taken_count: self.vault.taken_count(),
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

    fn rows(&self) -> Result<&SealedRows<I::Rows>, StoreError> {
        let rows = self.rows.as_ref();
        rows.ok_or_else(|| failed("use the index", "it is closed"))
    }

    pub(crate) fn rows_mut(&mut self) -> Result<&mut SealedRows<I::Rows>, StoreError> {
        let rows = self.rows.as_mut();
        rows.ok_or_else(|| failed("use the index", "it is closed"))
    }

    /// A damaged row condemns the index: the next opening, or resuming, builds a new one.
    fn judge<T>(&self, result: Result<T, StoreError>) -> Result<T, StoreError> {
        if matches!(result, Err(StoreError::Damaged { .. })) {
            self.condemned.store(true, Ordering::Relaxed);
            if let Err(error) = self.index.condemn() {
                tracing::debug!(%error, "cannot mark the index as damaged");
            }
        }
        result
    }

    /// A damaged batch of kept rows is left out when the profile is read again; until then whoever
    /// comes by one of its rows could do nothing else.
    fn judge_kept<T>(&self, result: Result<T, StoreError>) -> Result<T, StoreError> {
        if matches!(result, Err(StoreError::Damaged { .. })) {
            self.condemned.store(true, Ordering::Relaxed);
        }
        result
    }

    /// Commits, with the reserve's room if need be. What is refused leaves nothing behind.
    fn commit_or_drop(
        &mut self,
        kept: &[RowChange],
        rows: &mut Vec<RowChange>,
    ) -> Result<(), StoreError> {
        let mut result = self.try_commit(kept, rows);
        let full = matches!(&result, Err(failed) if matches!(failed.error, StoreError::Full));
        if full && !self.poisoned && self.release_reserve() {
            result = self.try_commit(kept, rows);
        }
        match result {
            Ok(()) => Ok(()),
            Err(failed) if failed.unsure => Err(failed.error),
            // What is on the disk of it must not come back.
            Err(failed) => Err(self.drop_log().unwrap_or(failed.error)),
        }
    }

    pub(crate) fn is_kept(&self, table: &str) -> bool {
        self.options.kept.contains(table)
    }
}

/// Reads every row of an index.
fn count_rows(rows: &impl Rows) -> Result<u64, StoreError> {
    let mut count = 0;
    for table in rows.tables()? {
        rows.scan(
            &table,
            &[],
            &prefix_end(&[]),
            Direction::Forward,
            &mut |_, _| {
                count += 1;
                ControlFlow::Continue(())
            },
        )?;
    }
    Ok(count)
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
            return self.judge_kept(self.state.get(table.0, key));
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
            let scanned = self.staged.scan_over(table, range, order, visit, |v| {
                self.state.scan(table.0, range, order, v)
            });
            return self.judge_kept(scanned);
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
        let (kept, mut rows) =
            core::mem::take(&mut self.staged).split(|table| self.options.kept.contains(table));
        let result = match self.usable() {
            Ok(()) => self.commit_or_drop(&kept, &mut rows),
            // Resuming forgets what is staged.
            Err(error) => Err(error),
        };
        if result.is_ok() {
            self.behind_committed.clone_from(&self.behind);
        } else {
            // Handed out and not indexed after all.
            self.behind.clone_from(&self.behind_committed);
        }
        self.marks_moved.clear();
        self.clear_staged();
        if result.is_ok() && !self.poisoned {
            self.rewrite_state();
        }
        result
    }

    fn abandon(&mut self) {
        drop(core::mem::take(&mut self.staged));
        self.behind.clone_from(&self.behind_committed);
        self.marks_moved.clear();
        self.clear_staged();
        // A store that waits to be resumed reads the log again then.
        if !self.poisoned {
            self.drop_log();
        }
    }

    fn sync(&mut self) -> Result<(), StoreError> {
        self.usable()?;
        if !self.unsynced {
            return Ok(());
        }
        let rows = self.rows.as_mut();
        let rows = rows.ok_or_else(|| failed("use the index", "it is closed"))?;
        let log = if on(Mutant::LogUnsynced) {
            Ok(())
        } else {
            self.log.sync()
        };
        let synced = log.and_then(|()| rows.sync());
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
