//! [`Disk`] in memory, which loses, tears, flips, fills and fails as told.
//!
//! What was written and not synced is at the mercy of [`MemDisk::power_cut`]:
//! each 512-byte sector of each such write is kept or lost by the toss of a
//! seeded coin, names that were not synced too (in order within a folder). A
//! failed sync leaves what it should have written in doubt for ever, as Linux does.
//!
//! Nothing here draws by itself: with one seed everything happens alike. Copies
//! share their pages, so that a snapshot costs little and a thousand profiles fit.

mod inner;
mod pages;

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use oplog::store::StoreError;
use rand_core::Rng;

use crate::disk::{Disk, DiskFile, damaged, failed, parent};
use inner::{Content, Entry, Inner, Pending, folder_of};

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

    /// Makes the `n`th read from now fail once with an error of the device, 0 being the next.
    pub fn fail_read(&self, n: u64) {
        self.lock().fail_read = Some(n);
    }

    /// Makes every read fail that touches this sector of 512 bytes of a file, until it is
    /// written again: what a disk does with a sector that it has lost.
    pub fn rot(&self, path: &str, sector: u64) {
        let mut inner = self.lock();
        if let Some(Entry::File(node)) = inner.names.get(path).copied() {
            let sector = usize::try_from(sector).unwrap_or(usize::MAX);
            inner.rotten.insert((node, sector));
        }
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
        inner.fail_read = None;
        inner.rotten.clear();
        inner.capacity = None;
    }

    /// Keeps whatever is written from now on, also what is overwritten or removed later.
    pub fn remember(&self) {
        self.lock().history.get_or_insert_default();
    }

    /// Returns every stretch that was written since [`MemDisk::remember`], with what stood around it.
    #[must_use]
    pub fn history(&self) -> Vec<Vec<u8>> {
        self.lock().history.clone().unwrap_or_default()
    }

    /// Puts back what a [`MemDisk::copy`] kept, as when somebody restores an old backup or image of
    /// the machine. Open files are closed; faults that were asked for stay.
    pub fn roll_back(&self, to: &Self) {
        let to = to.lock().clone();
        let mut inner = self.lock();
        inner.boots += 1;
        inner.next_node = inner.next_node.max(to.next_node);
        inner.names = to.names;
        inner.durable_names = to.durable_names;
        inner.unsynced_names = to.unsynced_names;
        inner.files = to.files;
    }

    /// The process dies: open files are closed, nothing written is lost.
    pub fn kill(&self) {
        let mut inner = self.lock();
        inner.boots += 1;
        inner.dies_after = None;
        inner.forget_nameless();
    }

    /// The power goes: what was not synced is kept or lost sector by sector, by the toss of a coin.
    pub fn power_cut(&self, rng: &mut impl Rng) {
        self.power_cut_keeping(&mut |_| rng.next_u32() & 1 == 0);
    }

    /// The power goes, and `keeps` says of each thing that was not synced whether it reached the
    /// disk: of names in order, folder by folder, where what follows a lost one is lost too; then
    /// of each sector, file by file, in the order of the writes. A thing is asked about once.
    pub fn power_cut_keeping(&self, keeps: &mut dyn FnMut(Unsynced<'_>) -> bool) {
        let mut inner = self.lock();
        inner.boots += 1;
        inner.dies_after = None;
        inner.fall_back(keeps);
    }

    /// Returns how many things a power cut would ask about now, if it kept all names.
    #[must_use]
    pub fn unsynced_count(&self) -> usize {
        let copy = self.copy();
        let mut count = 0;
        copy.power_cut_keeping(&mut |_| {
            count += 1;
            true
        });
        count
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
            let mut byte = [0];
            if content.read(offset, &mut byte) {
                content.write(offset, &[byte[0] ^ (1 << (bit % 8))]);
            }
        }
    }

    /// Flips one bit somewhere in some file, for good; returns where.
    pub fn flip_any(&self, rng: &mut impl Rng) -> Option<(String, usize)> {
        let files = self.files();
        let filled: Vec<_> = files.iter().filter(|(_, c)| !c.is_empty()).collect();
        let pick = |rng: &mut dyn FnMut() -> u32, n: usize| rng() as usize % n.max(1);
        let mut draw = || rng.next_u32();
        let (path, content) = filled.get(pick(&mut draw, filled.len()))?;
        let at = pick(&mut draw, content.len());
        let bit = u8::try_from(draw() % 8).unwrap_or(0);
        self.flip(path, at, bit);
        Some((path.clone(), at))
    }

    /// Returns every file's path and content.
    #[must_use]
    pub fn files(&self) -> Vec<(String, Vec<u8>)> {
        let inner = self.lock();
        let each = inner.names.iter().filter_map(|(path, entry)| match entry {
            Entry::File(node) => Some((path.clone(), inner.files.get(node)?.now.to_vec())),
            Entry::Folder => None,
        });
        each.collect()
    }

    /// Returns the bytes that the files take in memory: zeros take none.
    #[must_use]
    pub fn stored_bytes(&self) -> usize {
        let inner = self.lock();
        let files = inner.files.values();
        files
            .map(|f| f.now.stored_bytes().max(f.durable.stored_bytes()))
            .sum()
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
        let mut inner = self.inner()?;
        let start = usize::try_from(offset).unwrap_or(usize::MAX);
        if let Some(n) = inner.fail_read {
            inner.fail_read = n.checked_sub(1);
            if n == 0 {
                return Err(failed("read a file", "told to"));
            }
        }
        let sectors = start / SECTOR..=start.saturating_add(buf.len().max(1) - 1) / SECTOR;
        let (from, to) = ((self.node, *sectors.start()), (self.node, *sectors.end()));
        if inner.rotten.range(from..=to).next().is_some() {
            return Err(failed("read a file", "the sector is lost"));
        }
        let file = inner.files.get(&self.node);
        if file.is_some_and(|file| file.now.read(start, buf)) {
            return Ok(());
        }
        Err(damaged("a file is shorter than it was"))
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
        inner.remember(self.node, start, fitting.len());
        let written = start.div_ceil(SECTOR)..(start + fitting.len()) / SECTOR;
        let node = self.node;
        inner
            .rotten
            .retain(|(of, sector)| *of != node || !written.contains(sector));
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

/// Something that a power cut keeps or loses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unsynced<'a> {
    /// The creation, removal or renaming of a file or folder.
    Name {
        /// The name that appears or goes; of a renaming, the old one.
        path: &'a str,
    },
    /// A new length.
    Length {
        /// Of which file; empty when no name leads to it any more.
        path: &'a str,
    },
    /// 512 bytes of one write, or the part of them that it wrote.
    Sector {
        /// Of which file; empty when no name leads to it any more.
        path: &'a str,
        /// Which of its sectors.
        sector: u64,
    },
}
