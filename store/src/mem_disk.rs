//! [`Disk`] in memory, which loses, tears, flips, fills and fails as told.
//!
//! What was written and not synced is at the mercy of [`MemDisk::power_cut`]:
//! each 512-byte sector of each such write is kept or lost by the toss of a
//! seeded coin, names that were not synced too (in order within a folder). A
//! failed sync leaves what it should have written in doubt for ever, as Linux does.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use oplog::store::StoreError;
use rand_core::Rng;

use crate::disk::{Disk, DiskFile, damaged, failed, parent};

/// What a disk writes at once.
const SECTOR: usize = 512;

/// A folder in memory. Clones mean the same folder; [`MemDisk::copy`] is another one.
#[derive(Clone, Default)]
pub struct MemDisk(Arc<Mutex<Inner>>);

impl MemDisk {
    /// Returns an empty disk without limits or faults.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Returns another disk with the same content.
    #[must_use]
    pub fn copy(&self) -> Self {
        Self(Arc::new(Mutex::new(self.lock().clone())))
    }

    /// Lets `calls` more changing calls through (writes, syncs, names), then fails every call
    /// until [`MemDisk::power_cut`] or [`MemDisk::kill`].
    pub fn die_after(&self, calls: u64) {
        self.lock().dies_after = Some(calls);
    }

    /// Makes the `n`th sync from now fail once, 0 being the next.
    pub fn fail_sync(&self, n: u64) {
        self.lock().fail_sync = Some(n);
    }

    /// Makes the `n`th write from now fail once, 0 being the next.
    pub fn fail_write(&self, n: u64) {
        self.lock().fail_write = Some(n);
    }

    /// Sets how many bytes all files together may have.
    pub fn set_capacity(&self, bytes: Option<u64>) {
        self.lock().capacity = bytes;
    }

    /// Takes back every fault that was asked for and has not happened.
    pub fn heal(&self) {
        let mut inner = self.lock();
        inner.dies_after = None;
        inner.fail_sync = None;
        inner.fail_write = None;
        inner.capacity = None;
    }

    /// The process dies: open files are closed, nothing written is lost.
    pub fn kill(&self) {
        let mut inner = self.lock();
        inner.boots += 1;
        inner.dies_after = None;
    }

    /// The power goes: what was not synced is kept or lost sector by sector.
    pub fn power_cut(&self, rng: &mut impl Rng) {
        let mut inner = self.lock();
        inner.boots += 1;
        inner.dies_after = None;
        inner.fall_back(rng);
    }

    /// Flips one bit of a file, for good.
    pub fn flip(&self, path: &str, offset: usize, bit: u8) {
        let mut inner = self.lock();
        let Some(Entry::File(node)) = inner.names.get(path).copied() else {
            return;
        };
        let Some(file) = inner.files.get_mut(&node) else {
            return;
        };
        for content in [&mut file.now, &mut file.durable] {
            if let Some(byte) = content.get_mut(offset) {
                *byte ^= 1 << (bit % 8);
            }
        }
    }

    /// Returns every file's path and content.
    #[must_use]
    pub fn files(&self) -> Vec<(String, Vec<u8>)> {
        let inner = self.lock();
        let each = inner.names.iter().filter_map(|(path, entry)| match entry {
            Entry::File(node) => Some((path.clone(), inner.files.get(node)?.now.clone())),
            Entry::Folder => None,
        });
        each.collect()
    }

    /// Returns how many changing calls there were.
    #[must_use]
    pub fn changes(&self) -> u64 {
        self.lock().changes
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for MemDisk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MemDisk({} names)", self.lock().names.len())
    }
}

impl Disk for MemDisk {
    type File = MemFile;

    fn open(&self, path: &str) -> Result<Option<MemFile>, StoreError> {
        let inner = self.lock();
        inner.alive()?;
        Ok(match inner.names.get(path) {
            Some(Entry::File(node)) => Some(self.handle(*node, inner.boots)),
            _ => None,
        })
    }

    fn create(&self, path: &str) -> Result<MemFile, StoreError> {
        let mut inner = self.lock();
        inner.change()?;
        if !parent(path).is_empty() && inner.names.get(parent(path)) != Some(&Entry::Folder) {
            return Err(failed("create a file", "no such folder"));
        }
        let node = inner.next_node;
        inner.next_node += 1;
        inner.files.insert(node, Content::default());
        inner.set_name(path, Some(Entry::File(node)));
        Ok(self.handle(node, inner.boots))
    }

    fn create_dir(&self, path: &str) -> Result<(), StoreError> {
        let mut inner = self.lock();
        let mut at = String::new();
        for part in path.split('/') {
            if !at.is_empty() {
                at.push('/');
            }
            at.push_str(part);
            if !inner.names.contains_key(&at) {
                inner.change()?;
                inner.set_name(&at, Some(Entry::Folder));
            }
        }
        inner.alive()
    }

    fn list(&self, dir: &str) -> Result<Vec<String>, StoreError> {
        let inner = self.lock();
        inner.alive()?;
        let names = inner.names.keys().filter(|path| parent(path) == dir);
        Ok(names
            .map(|path| path.rsplit('/').next().unwrap_or_default().to_owned())
            .collect())
    }

    fn rename(&self, from: &str, to: &str) -> Result<(), StoreError> {
        let mut inner = self.lock();
        inner.change()?;
        if parent(from) != parent(to) {
            return Err(failed("rename a file", "not in the same folder"));
        }
        let entry = inner.names.get(from).copied();
        let entry = entry.ok_or_else(|| failed("rename a file", "no such file"))?;
        inner.names.remove(from);
        inner.names.insert(to.to_owned(), entry);
        // One step: a crash leaves either name, never both, never none.
        inner
            .unsynced_names
            .push(vec![(from.to_owned(), None), (to.to_owned(), Some(entry))]);
        Ok(())
    }

    fn remove(&self, path: &str) -> Result<(), StoreError> {
        let mut inner = self.lock();
        inner.change()?;
        if inner.names.contains_key(path) {
            inner.set_name(path, None);
        }
        Ok(())
    }

    fn remove_dir(&self, path: &str) -> Result<(), StoreError> {
        let mut inner = self.lock();
        inner.change()?;
        let below = format!("{path}/");
        let gone: Vec<String> = inner
            .names
            .keys()
            .filter(|p| *p == path || p.starts_with(&below))
            .rev()
            .cloned()
            .collect();
        for name in gone {
            inner.set_name(&name, None);
        }
        Ok(())
    }

    fn sync_dir(&self, dir: &str) -> Result<(), StoreError> {
        let mut inner = self.lock();
        inner.change()?;
        inner.take_sync_fault()?;
        let (done, rest) = core::mem::take(&mut inner.unsynced_names)
            .into_iter()
            .partition(|step| folder_of(step) == dir);
        inner.unsynced_names = rest;
        inner.settle_names(done);
        Ok(())
    }

    fn free_bytes(&self) -> Option<u64> {
        let inner = self.lock();
        Some(inner.capacity?.saturating_sub(inner.used()))
    }
}

impl MemDisk {
    fn handle(&self, node: u64, boots: u64) -> MemFile {
        MemFile {
            disk: self.clone(),
            node,
            boots,
        }
    }
}

/// A file in memory.
#[derive(Debug)]
pub struct MemFile {
    disk: MemDisk,
    node: u64,
    boots: u64,
}

impl MemFile {
    fn inner(&self) -> Result<MutexGuard<'_, Inner>, StoreError> {
        let inner = self.disk.lock();
        inner.alive()?;
        if inner.boots != self.boots {
            return Err(failed("use a file", "it was opened before a crash"));
        }
        Ok(inner)
    }
}

impl DiskFile for MemFile {
    fn size(&self) -> Result<u64, StoreError> {
        let inner = self.inner()?;
        let len = inner.files.get(&self.node).map_or(0, |f| f.now.len());
        Ok(len as u64)
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<(), StoreError> {
        let inner = self.inner()?;
        let start = usize::try_from(offset).unwrap_or(usize::MAX);
        let found = inner.files.get(&self.node).and_then(|f| {
            let end = start.checked_add(buf.len())?;
            f.now.get(start..end)
        });
        let found = found.ok_or_else(|| damaged("a file is shorter than it was"))?;
        buf.copy_from_slice(found);
        Ok(())
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<(), StoreError> {
        let mut inner = self.inner()?;
        inner.change()?;
        if let Some(n) = inner.fail_write {
            inner.fail_write = n.checked_sub(1);
            if n == 0 {
                return Err(failed("write a file", "told to"));
            }
        }
        let room = inner.capacity.map(|c| c.saturating_sub(inner.used()));
        let file = inner.files.entry(self.node).or_default();
        let end = offset + bytes.len() as u64;
        let growth = end.saturating_sub(file.now.len() as u64);
        let missing = growth.saturating_sub(room.unwrap_or(u64::MAX));
        let fits = bytes.len() - usize::try_from(missing).unwrap_or(0).min(bytes.len());
        let start = usize::try_from(offset).unwrap_or(usize::MAX);
        let fitting = bytes.get(..fits).unwrap_or_default();
        file.write(Pending::Write(start, fitting.to_vec()));
        match missing {
            0 => Ok(()),
            _ => Err(StoreError::Full),
        }
    }

    fn set_len(&self, len: u64) -> Result<(), StoreError> {
        let mut inner = self.inner()?;
        inner.change()?;
        let len = usize::try_from(len).unwrap_or(usize::MAX);
        let file = inner.files.entry(self.node).or_default();
        file.write(Pending::SetLen(len));
        Ok(())
    }

    fn sync(&self) -> Result<(), StoreError> {
        let mut inner = self.inner()?;
        inner.change()?;
        let fault = inner.take_sync_fault();
        let file = inner.files.entry(self.node).or_default();
        match fault {
            Ok(()) => {
                for step in core::mem::take(&mut file.pending) {
                    if file.doubtful.is_empty() {
                        step.apply(&mut file.durable);
                    } else {
                        file.doubtful.push((step, true));
                    }
                }
                Ok(())
            }
            Err(e) => {
                let pending = core::mem::take(&mut file.pending);
                file.doubtful
                    .extend(pending.into_iter().map(|step| (step, false)));
                Err(e)
            }
        }
    }
}

type NameStep = Vec<(String, Option<Entry>)>;

#[derive(Clone, Default)]
struct Inner {
    names: BTreeMap<String, Entry>,
    durable_names: BTreeMap<String, Entry>,
    unsynced_names: Vec<NameStep>,
    files: BTreeMap<u64, Content>,
    next_node: u64,
    boots: u64,
    changes: u64,
    dies_after: Option<u64>,
    fail_sync: Option<u64>,
    fail_write: Option<u64>,
    capacity: Option<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Entry {
    Folder,
    File(u64),
}

#[derive(Clone, Default)]
struct Content {
    now: Vec<u8>,
    durable: Vec<u8>,
    pending: Vec<Pending>,
    /// From the first failed sync on: what was written, and whether a later sync made it certain.
    doubtful: Vec<(Pending, bool)>,
}

#[derive(Clone)]
enum Pending {
    Write(usize, Vec<u8>),
    SetLen(usize),
}

impl Content {
    fn write(&mut self, step: Pending) {
        step.apply(&mut self.now);
        self.pending.push(step);
    }
}

impl Pending {
    fn apply(&self, content: &mut Vec<u8>) {
        match self {
            Self::SetLen(len) => content.resize(*len, 0),
            Self::Write(at, bytes) => {
                let end = at + bytes.len();
                if content.len() < end {
                    content.resize(end, 0);
                }
                if let Some(place) = content.get_mut(*at..end) {
                    place.copy_from_slice(bytes);
                }
            }
        }
    }

    fn apply_in_part(&self, content: &mut Vec<u8>, rng: &mut impl Rng) {
        match self {
            Self::SetLen(_) if coin(rng) => self.apply(content),
            Self::SetLen(_) => {}
            Self::Write(at, bytes) => {
                let mut done = 0;
                while done < bytes.len() {
                    let here = at + done;
                    let n = (SECTOR - here % SECTOR).min(bytes.len() - done);
                    if coin(rng) {
                        let part = bytes.get(done..done + n).unwrap_or_default();
                        Self::Write(here, part.to_vec()).apply(content);
                    }
                    done += n;
                }
            }
        }
    }
}

impl Inner {
    fn alive(&self) -> Result<(), StoreError> {
        match self.dies_after {
            Some(0) => Err(failed("use the disk", "the machine is off")),
            _ => Ok(()),
        }
    }

    fn change(&mut self) -> Result<(), StoreError> {
        self.alive()?;
        self.dies_after = self.dies_after.map(|n| n - 1);
        self.changes += 1;
        Ok(())
    }

    fn take_sync_fault(&mut self) -> Result<(), StoreError> {
        if let Some(n) = self.fail_sync {
            self.fail_sync = n.checked_sub(1);
            if n == 0 {
                return Err(failed("sync a file", "told to"));
            }
        }
        Ok(())
    }

    fn used(&self) -> u64 {
        let named = self.names.values().filter_map(|entry| match entry {
            Entry::File(node) => self.files.get(node),
            Entry::Folder => None,
        });
        named.map(|f| f.now.len() as u64).sum()
    }

    fn set_name(&mut self, path: &str, entry: Option<Entry>) {
        match entry {
            Some(entry) => self.names.insert(path.to_owned(), entry),
            None => self.names.remove(path),
        };
        self.unsynced_names.push(vec![(path.to_owned(), entry)]);
    }

    fn settle_names(&mut self, steps: Vec<NameStep>) {
        for (path, entry) in steps.into_iter().flatten() {
            match entry {
                Some(entry) => self.durable_names.insert(path, entry),
                None => self.durable_names.remove(&path),
            };
        }
    }

    fn fall_back(&mut self, rng: &mut impl Rng) {
        let mut lost_in: Vec<String> = Vec::new();
        let mut kept = Vec::new();
        for step in core::mem::take(&mut self.unsynced_names) {
            let folder = folder_of(&step).to_owned();
            if lost_in.contains(&folder) || !coin(rng) {
                lost_in.push(folder);
            } else {
                kept.push(step);
            }
        }
        self.settle_names(kept);
        let known = self.durable_names.clone();
        self.durable_names.retain(|path, _| {
            let mut above = parent(path);
            while !above.is_empty() {
                if known.get(above) != Some(&Entry::Folder) {
                    return false;
                }
                above = parent(above);
            }
            true
        });
        self.names = self.durable_names.clone();
        for file in self.files.values_mut() {
            let doubtful = core::mem::take(&mut file.doubtful);
            let pending = core::mem::take(&mut file.pending);
            let pending = pending.into_iter().map(|step| (step, false));
            for (step, certain) in doubtful.into_iter().chain(pending) {
                if certain {
                    step.apply(&mut file.durable);
                } else {
                    step.apply_in_part(&mut file.durable, rng);
                }
            }
            file.now = file.durable.clone();
        }
    }
}

fn folder_of(step: &NameStep) -> &str {
    step.first().map_or("", |(path, _)| parent(path))
}

fn coin(rng: &mut impl Rng) -> bool {
    rng.next_u32() & 1 == 0
}
