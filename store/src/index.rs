//! [`Index`] on fjall: one database, one keyspace a table.
//!
//! Small memtables and the least journal fjall allows bound what a start has to
//! replay. A successful open proves little (a damaged manifest can yield an empty
//! keyspace), so every table has a row that must be there. A damaged database may
//! panic inside fjall, even abort; the first is caught, the second is counted by a
//! file that outlives the process, and both end in a new index.

use core::fmt;
use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};
use oplog::store::{Direction, StoreError, Visit};
use xxhash_rust::xxh3::xxh3_128;

use crate::disk::{damaged, failed};
use crate::real_disk::{io, is_full};
use crate::rows::{Index, RowChange, Rows};

/// Replayed at a start is at most this, a table. Measured beside fjall's 64 MiB: 86 ms
/// instead of 4.1 s to open a million records.
const MEMTABLE_BYTES: u64 = 4 * 1024 * 1024;
/// The least that fjall takes.
const JOURNAL_BYTES: u64 = 64 * 1024 * 1024;
/// Blocks kept in memory. Guess.
const CACHE_BYTES: u64 = 32 * 1024 * 1024;
/// With less than this in memory nothing leaves it: replaying it costs an opening some milliseconds, and many
/// small tables cost every read.
const FLUSH_BYTES_MIN: u64 = 1024 * 1024;
/// With so much unflushed tables leave memory at once: what a start after a crash replays is
/// bounded by this.
const FLUSH_BYTES_MAX: u64 = 16 * 1024 * 1024;
/// This many openings in a row that the process did not survive, and the index is not trusted.
const OPENINGS_MAX: u8 = 2;
/// How fjall names the one checksum that it has (lsm-tree 3.1.10, `version/persist.rs`).
const XXH3: u8 = 0;
/// Lists the tables, so that a lost one is noticed.
const TABLES: &str = "#tables";
/// Above every key that a scan can reach (`oplog::store::prefix_end`).
const SENTINEL: [u8; 65] = [u8::MAX; 65];
const SENTINEL_VALUE: &[u8] = b"decent";

/// The index of a profile folder.
#[derive(Clone, Debug)]
pub struct FjallIndex {
    dir: PathBuf,
    /// Says that the index is damaged.
    condemned: PathBuf,
    /// One byte: how many openings in a row did not end. Stays there, and is written in place:
    /// that works on a full disk too.
    opening: PathBuf,
    /// Where a dropped index lies until it is removed.
    dropped: PathBuf,
}

impl FjallIndex {
    /// Means `index/` in this folder.
    #[must_use]
    pub fn new(profile: &Path) -> Self {
        Self {
            dir: profile.join("index"),
            condemned: profile.join("index.condemned"),
            opening: profile.join("index.opening"),
            dropped: profile.join("index.dropped"),
        }
    }

    /// Notes how many openings did not end, where that can be noted: a full disk, or anything else
    /// in the way, makes no index suspect.
    fn note_openings(&self, count: u8) {
        let mut how = File::options();
        how.write(true).create(true).truncate(false);
        let file = how.open(&self.opening);
        if let Err(error) = file.and_then(|mut file| file.write_all(&[count])) {
            tracing::debug!(%error, "cannot note an opening");
        }
    }

    /// Looks for folders where fjall expects none: it panics on them in the middle of opening, and
    /// again while it closes what it has opened, which ends the process.
    fn check_names(&self) -> Result<(), StoreError> {
        for keyspace in folders(&self.dir.join("keyspaces"))? {
            let name = keyspace.file_name().unwrap_or_default();
            if name.to_str().is_none_or(|n| n.parse::<u64>().is_err()) {
                return Err(damaged("the index: a folder that is not its own"));
            }
            if !folders(&keyspace.join("tables"))?.is_empty() {
                return Err(damaged("the index: a folder in the place of a table"));
            }
        }
        Ok(())
    }

    /// Compares the manifest of each table with the checksum that fjall keeps beside it and does not look at:
    /// it asserts what stands in a manifest, and makes room for as many entries as that claims, which ends the
    /// process. One flipped bit is enough.
    fn check_manifests(&self) -> Result<(), StoreError> {
        for keyspace in folders(&self.dir.join("keyspaces"))? {
            let wrong = || damaged("the manifest of a table");
            let current = match fs::read(keyspace.join("current")) {
                Ok(current) => current,
                // The table was never written.
                Err(error) if error.kind() == ErrorKind::NotFound => continue,
                Err(_cause) => return Err(wrong()),
            };
            let (id, rest) = current.split_first_chunk().ok_or_else(wrong)?;
            let (checksum, kind) = rest.split_first_chunk().ok_or_else(wrong)?;
            let id = u64::from_le_bytes(*id);
            let manifest = fs::read(keyspace.join(format!("v{id}"))).map_err(|_cause| wrong())?;
            if kind != [XXH3] || xxh3_128(&manifest) != u128::from_le_bytes(*checksum) {
                return Err(wrong());
            }
        }
        Ok(())
    }

    fn open_checked(&self) -> Result<FjallRows, StoreError> {
        self.check_names()?;
        self.check_manifests()?;
        let database = Database::builder(&self.dir)
            .cache_size(CACHE_BYTES)
            .max_journaling_size(JOURNAL_BYTES)
            .worker_threads(2)
            .open()
            .map_err(|e| error("open the index", e))?;
        let rows = FjallRows {
            database,
            keyspaces: Mutex::default(),
            listed: BTreeSet::new(),
            unflushed: 0,
        };
        rows.check_tables()?;
        let listed = rows.tables()?.into_iter().collect();
        Ok(FjallRows { listed, ..rows })
    }
}

impl Index for FjallIndex {
    type Rows = FjallRows;

    fn open(&self) -> Result<FjallRows, StoreError> {
        let before = fs::read(&self.opening).unwrap_or_default();
        let before = before.first().copied().unwrap_or(0);
        if self.condemned.exists() || before >= OPENINGS_MAX {
            return Err(damaged("the index was found damaged"));
        }
        self.note_openings(before.saturating_add(1));
        let opened = catch_unwind(AssertUnwindSafe(|| self.open_checked()));
        self.note_openings(0);
        opened.unwrap_or_else(|_| Err(damaged("the index: opening it panicked")))
    }

    fn condemn(&self) -> Result<(), StoreError> {
        fs::write(&self.condemned, b"").map_err(|e| io("mark the index", e))
    }

    fn discard(&self) -> Result<(), StoreError> {
        // Aside first, in one step: half a removed index must not be opened.
        gone(remove_all(&self.dropped), "remove the old index")?;
        gone(fs::rename(&self.dir, &self.dropped), "drop the index")?;
        gone(remove_all(&self.condemned), "drop the index")?;
        gone(remove_all(&self.opening), "drop the index")?;
        gone(remove_all(&self.dropped), "remove the old index")
    }
}

/// An open [`FjallIndex`].
pub struct FjallRows {
    database: Database,
    keyspaces: Mutex<BTreeMap<String, Keyspace>>,
    /// Tables whose loss would be noticed.
    listed: BTreeSet<String>,
    /// Bytes of keys and values applied since tables were last asked to leave memory.
    unflushed: u64,
}

impl FjallRows {
    fn check_tables(&self) -> Result<(), StoreError> {
        for name in self.tables()? {
            let sentinel = match self.keyspace(&name)? {
                Some(table) => table.get(SENTINEL).map_err(|e| error("read a row", e))?,
                None => None,
            };
            if sentinel.as_deref() != Some(SENTINEL_VALUE) {
                return Err(damaged(format!("table {name} of the index")));
            }
        }
        Ok(())
    }

    /// Has every table leave memory, so that opening need not replay it from the journal.
    fn flush(&mut self, how: impl Fn(&Keyspace) -> fjall::Result<bool>) -> Result<(), StoreError> {
        for keyspace in self.open_keyspaces().values() {
            how(keyspace).map_err(|e| error("flush the index", e))?;
        }
        self.unflushed = 0;
        Ok(())
    }

    /// Returns the keyspace of a table; `None` when it never had a row.
    fn keyspace(&self, table: &str) -> Result<Option<Keyspace>, StoreError> {
        if self.open_keyspaces().contains_key(table) || self.database.keyspace_exists(table) {
            return self.open_keyspace(table).map(Some);
        }
        Ok(None)
    }

    fn open_keyspace(&self, table: &str) -> Result<Keyspace, StoreError> {
        if let Some(found) = self.open_keyspaces().get(table) {
            return Ok(found.clone());
        }
        let options = || KeyspaceCreateOptions::default().max_memtable_size(MEMTABLE_BYTES);
        let keyspace = self.database.keyspace(table, options);
        let keyspace = keyspace.map_err(|e| error("open a table", e))?;
        let mut open = self.open_keyspaces();
        open.insert(table.to_owned(), keyspace.clone());
        Ok(keyspace)
    }

    fn open_keyspaces(&self) -> MutexGuard<'_, BTreeMap<String, Keyspace>> {
        self.keyspaces
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Rows for FjallRows {
    fn get(&self, table: &str, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        let Some(keyspace) = self.keyspace(table)?.filter(|_| !key.is_empty()) else {
            return Ok(None);
        };
        let found = keyspace.get(key).map_err(|e| error("read a row", e))?;
        Ok(found.map(|value| value.to_vec()))
    }

    fn scan(
        &self,
        table: &str,
        from: &[u8],
        to: &[u8],
        order: Direction,
        visit: Visit<'_>,
    ) -> Result<(), StoreError> {
        let Some(keyspace) = self.keyspace(table)?.filter(|_| from < to) else {
            return Ok(());
        };
        let mut range = keyspace.range(from..to);
        loop {
            let next = match order {
                Direction::Forward => range.next(),
                Direction::Backward => range.next_back(),
            };
            let Some(guard) = next else {
                return Ok(());
            };
            let (key, value) = guard.into_inner().map_err(|e| error("read a row", e))?;
            if *key != SENTINEL && visit(&key, &value).is_break() {
                return Ok(());
            }
        }
    }

    fn tables(&self) -> Result<Vec<String>, StoreError> {
        let Some(tables) = self.keyspace(TABLES)? else {
            return Ok(Vec::new());
        };
        let mut names = Vec::new();
        for guard in tables.iter() {
            let name = guard.key().map_err(|e| error("list the tables", e))?;
            names.push(String::from_utf8(name.to_vec()).map_err(|_why| damaged("a table's name"))?);
        }
        Ok(names)
    }

    fn apply(&mut self, changes: &[RowChange]) -> Result<(), StoreError> {
        let mode = Some(PersistMode::Buffer);
        let mut batch = self.database.batch().durability(mode);
        // Rows come table by table: look each table up once.
        let mut last: Option<(&str, Keyspace)> = None;
        let mut fresh = BTreeSet::new();
        let mut bytes = 0;
        for change in changes {
            bytes += change.key.len() + change.value.as_ref().map_or(0, Vec::len);
            let table = &*change.table;
            let keyspace = match last.take().filter(|(name, _)| *name == table) {
                Some((_, keyspace)) => keyspace,
                None => {
                    let keyspace = self.open_keyspace(table)?;
                    // It may be there without being listed, where making it failed: then nobody would notice
                    // that a power cut took it.
                    if !self.listed.contains(table) && !fresh.contains(table) {
                        let tables = self.open_keyspace(TABLES)?;
                        batch.insert(&keyspace, SENTINEL, SENTINEL_VALUE);
                        batch.insert(&tables, table.as_bytes(), b"");
                        fresh.insert(table.to_owned());
                    }
                    keyspace
                }
            };
            match &change.value {
                Some(value) => batch.insert(&keyspace, change.key.as_slice(), value.as_slice()),
                None => batch.remove(&keyspace, change.key.as_slice()),
            }
            last = Some((table, keyspace));
        }
        batch.commit().map_err(|e| error("write the index", e))?;
        self.listed.append(&mut fresh);
        self.unflushed += bytes as u64;
        if self.unflushed >= FLUSH_BYTES_MAX {
            self.flush(Keyspace::rotate_memtable)?;
        }
        Ok(())
    }

    fn sync(&mut self) -> Result<(), StoreError> {
        let synced = self.database.persist(PersistMode::SyncData);
        synced.map_err(|e| error("sync the index", e))
    }

    fn flush_idle(&mut self) -> Result<(), StoreError> {
        if self.database.write_buffer_size() < FLUSH_BYTES_MIN {
            return Ok(());
        }
        self.flush(Keyspace::rotate_memtable)
    }

    fn flush_last(&mut self) -> Result<(), StoreError> {
        if self.database.write_buffer_size() < FLUSH_BYTES_MIN {
            return Ok(());
        }
        self.flush(|keyspace| keyspace.rotate_memtable_and_wait().map(|()| true))
    }

    fn bytes(&self) -> u64 {
        self.database.disk_space().unwrap_or(0)
    }
}

impl fmt::Debug for FjallRows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FjallRows({} tables open)", self.open_keyspaces().len())
    }
}

/// Sorts fjall's errors: a refusal of the operating system, a refusal to go on, and damage, which
/// is everything else. A file that is missing, or in the way, or lies on a bad sector is damage
/// too: an index that is made again has them all as they should be.
fn error(doing: &'static str, error: fjall::Error) -> StoreError {
    if matches!(error, fjall::Error::Locked | fjall::Error::Poisoned) {
        return failed(doing, error);
    }
    let mut cause: Option<&(dyn Error + 'static)> = Some(&error);
    while let Some(at) = cause {
        if let Some(said) = at.downcast_ref::<std::io::Error>() {
            if is_full(said) {
                return StoreError::Full;
            }
            if is_refusal(said) {
                return failed(doing, error);
            }
            return damaged(format!("the index: {said}"));
        }
        cause = at.source();
    }
    damaged(format!("the index: {error}"))
}

/// Whether the system would say the same of any other file.
fn is_refusal(error: &std::io::Error) -> bool {
    let kind = matches!(
        error.kind(),
        ErrorKind::PermissionDenied
            | ErrorKind::ReadOnlyFilesystem
            | ErrorKind::OutOfMemory
            | ErrorKind::ResourceBusy
            | ErrorKind::Interrupted
            | ErrorKind::WouldBlock
            | ErrorKind::TimedOut
    );
    kind || too_many_files(error)
}

#[cfg(unix)]
fn too_many_files(error: &std::io::Error) -> bool {
    use rustix::io::Errno;
    let of = Errno::from_io_error(error);
    matches!(of, Some(Errno::MFILE | Errno::NFILE))
}

#[cfg(not(unix))]
const fn too_many_files(_: &std::io::Error) -> bool {
    false
}

/// Returns the folders in a folder; none where there is no such folder.
fn folders(dir: &Path) -> Result<Vec<PathBuf>, StoreError> {
    let Ok(entries) = fs::read_dir(dir) else {
        return Ok(Vec::new());
    };
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry.map_err(|e| io("list the index", e))?;
        if entry.file_type().is_ok_and(|of| of.is_dir()) {
            found.push(entry.path());
        }
    }
    Ok(found)
}

/// Removes a folder, or whatever has its name.
fn remove_all(path: &Path) -> std::io::Result<()> {
    match fs::symlink_metadata(path) {
        Ok(meta) if meta.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(error) => Err(error),
    }
}

fn gone(result: std::io::Result<()>, doing: &'static str) -> Result<(), StoreError> {
    match result {
        Err(e) if e.kind() != ErrorKind::NotFound => Err(io(doing, e)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_that_was_made_and_not_listed_is_listed_with_its_first_row() {
        let dir = tempfile::tempdir().unwrap();
        let index = FjallIndex::new(dir.path());
        let mut rows = index.open().unwrap();
        // As where the database made it and then failed.
        rows.database
            .keyspace("things", KeyspaceCreateOptions::default)
            .unwrap();
        let change = RowChange {
            table: "things".into(),
            key: vec![1],
            value: Some(vec![2]),
        };
        rows.apply(&[change]).unwrap();
        rows.sync().unwrap();
        drop(rows);
        let rows = index.open().unwrap();
        assert_eq!(rows.tables().unwrap(), ["things"]);
        // A power cut takes it, and that is noticed.
        let table = rows.keyspace("things").unwrap().unwrap();
        rows.open_keyspaces().clear();
        rows.database.delete_keyspace(table).unwrap();
        drop(rows);
        index.open().unwrap_err();
    }

    #[test]
    fn no_flipped_bit_of_a_manifest_comes_to_fjall() {
        let dir = tempfile::tempdir().unwrap();
        let index = FjallIndex::new(dir.path());
        let mut rows = index.open().unwrap();
        let change = |n: u8| RowChange {
            table: "things".into(),
            key: vec![n],
            value: Some(vec![n; 100]),
        };
        let changes: Vec<_> = (0..200).map(change).collect();
        rows.apply(&changes).unwrap();
        rows.flush_last().unwrap();
        rows.sync().unwrap();
        drop(rows);
        index.check_manifests().unwrap();
        let mut tried = 0;
        for keyspace in folders(&dir.path().join("index/keyspaces")).unwrap() {
            let current = keyspace.join("current");
            let id = fs::read(&current).unwrap();
            let id = u64::from_le_bytes(*id.first_chunk().unwrap());
            for path in [current, keyspace.join(format!("v{id}"))] {
                let whole = fs::read(&path).unwrap();
                for bit in (0..whole.len() * 8).step_by(3) {
                    let mut bytes = whole.clone();
                    *bytes.get_mut(bit / 8).unwrap() ^= 1 << (bit % 8);
                    fs::write(&path, bytes).unwrap();
                    let found = index.check_manifests();
                    assert!(found.is_err(), "bit {bit} of {}", path.display());
                    tried += 1;
                }
                fs::write(&path, whole).unwrap();
            }
        }
        assert!(tried > 500, "{tried} bits");
        index.check_manifests().unwrap();
    }
}
