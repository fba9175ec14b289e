//! What lies below a device's node: everything in memory, or the real profile over a disk that
//! fails as told.

use core::fmt;
use core::ops::ControlFlow;
use std::collections::BTreeSet;

use blobstore::{ChunkStore, MemChunks, SealedChunk};
use oplog::store::{Direction, Label, Location, MemStore, Store, StoreError, Table, Visit};
use oplog::{BlobId, Secret, SpaceId};
use store::{ChunkDir, Disk as _, MemDisk, MemIndex, Options, Profile, Unlock};

use crate::rng::{Seed, Stream};

/// The profile under test, over a disk and an index in memory.
pub(crate) type DiskProfile = Profile<MemDisk, MemIndex>;

/// Records indexed at once when an index is made again.
const REBUILD_BATCH: usize = 4096;

/// A node's store.
pub(crate) enum SimStore {
    Mem(Box<MemStore>),
    Disk(Box<DiskProfile>),
}

impl fmt::Debug for SimStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SimStore")
    }
}

/// A node's chunks.
pub(crate) enum SimChunks {
    Mem(Box<MemChunks>),
    Disk(Box<ChunkDir<MemDisk>>),
}

/// Calls the same method on whichever store it is.
macro_rules! either {
    ($self:ident, $inner:ident => $call:expr) => {
        match $self {
            Self::Mem($inner) => $call,
            Self::Disk($inner) => $call,
        }
    };
}

impl Store for SimStore {
    fn append(&mut self, space: &SpaceId, record: &[u8]) -> Result<Location, StoreError> {
        either!(self, s => s.append(space, record))
    }

    fn read(&self, space: &SpaceId, at: &Location) -> Result<Vec<u8>, StoreError> {
        either!(self, s => s.read(space, at))
    }

    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        either!(self, s => s.get(table, key))
    }

    fn scan(
        &self,
        table: Table,
        from: &[u8],
        to: &[u8],
        order: Direction,
        visit: Visit<'_>,
    ) -> Result<(), StoreError> {
        either!(self, s => s.scan(table, from, to, order, visit))
    }

    fn put(&mut self, table: Table, key: &[u8], value: &[u8]) {
        either!(self, s => s.put(table, key, value));
    }

    fn delete(&mut self, table: Table, key: &[u8]) {
        either!(self, s => s.delete(table, key));
    }

    fn keep_secret(&mut self, label: Label, secret: &Secret) {
        either!(self, s => s.keep_secret(label, secret));
    }

    fn erase_secret(&mut self, label: Label) {
        either!(self, s => s.erase_secret(label));
    }

    fn secret(&self, label: Label) -> Option<Secret> {
        either!(self, s => s.secret(label))
    }

    fn commit(&mut self) -> Result<(), StoreError> {
        either!(self, s => s.commit())
    }

    fn abandon(&mut self) {
        either!(self, s => s.abandon());
    }

    fn sync(&mut self) -> Result<(), StoreError> {
        either!(self, s => s.sync())
    }
}

impl ChunkStore for SimChunks {
    fn put(&mut self, chunk: &SealedChunk) -> Result<(), StoreError> {
        either!(self, s => ChunkStore::put(&mut **s, chunk))
    }

    fn get(&self, id: &BlobId) -> Result<Option<SealedChunk>, StoreError> {
        either!(self, s => ChunkStore::get(&**s, id))
    }

    fn has(&self, id: &BlobId) -> Result<bool, StoreError> {
        either!(self, s => ChunkStore::has(&**s, id))
    }

    fn remove(&mut self, id: &BlobId) -> Result<bool, StoreError> {
        either!(self, s => ChunkStore::remove(&mut **s, id))
    }

    fn size_bytes(&self) -> Result<u64, StoreError> {
        either!(self, s => ChunkStore::size_bytes(&**s))
    }

    fn visit(
        &self,
        each: &mut dyn FnMut(BlobId, u64) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        either!(self, s => ChunkStore::visit(&**s, each))
    }
}

/// The machine below a store: what survives the process.
#[derive(Debug)]
pub(crate) enum Machine {
    /// Memory that outlives the process; `MemStore` knows itself what a crash undoes.
    Mem,
    Disk {
        disk: MemDisk,
        index: MemIndex,
        root: Secret,
    },
}

/// A copy of a machine's disk.
pub(crate) enum Copy {
    Mem(Box<MemStore>),
    Disk { disk: MemDisk, index: MemIndex },
}

impl Machine {
    /// Makes a machine, and an empty store on it.
    pub(crate) fn new(on_disk: bool, seed: Seed, name: &str) -> (Self, SimStore, SimChunks) {
        if !on_disk {
            let store = SimStore::Mem(Box::default());
            return (Self::Mem, store, SimChunks::Mem(Box::default()));
        }
        let (disk, index) = (MemDisk::new(), MemIndex::new());
        let root = Secret::from_bytes(seed.derive(&format!("{name}/root")));
        let chance = Secret::from_bytes(seed.derive(&format!("{name}/disk/0")));
        let profile = DiskProfile::create_in(
            disk.clone(),
            index.clone(),
            Unlock::Key(&root),
            options(),
            &chance,
        )
        .expect("a new disk has no faults");
        let chunks = ChunkDir::open(disk.clone()).expect("a new disk has no faults");
        let store = SimStore::Disk(Box::new(profile));
        (
            Self::Disk { disk, index, root },
            store,
            SimChunks::Disk(Box::new(chunks)),
        )
    }

    /// The process ends: by itself, or with the power.
    pub(crate) fn crash(&self, store: &mut SimStore, power: bool, rng: &mut Stream) {
        match (self, store) {
            (Self::Mem, SimStore::Mem(store)) if power => store.power_cut(),
            (Self::Mem, SimStore::Mem(store)) => store.crash(),
            (Self::Disk { disk, index, .. }, _) if power => {
                disk.power_cut(rng.raw());
                // Of what the index was not told to sync a part may be there, ahead of the log.
                let unsynced = index.unsynced_count();
                index.power_cut_keeping(disk.changes() as usize % (unsynced + 1));
            }
            (Self::Disk { disk, index, .. }, _) => {
                disk.kill();
                index.kill();
            }
            (Self::Mem, SimStore::Disk(_)) => {}
        }
    }

    /// Opens what is on the machine again. `old` is the store of the process that ended.
    ///
    /// # Errors
    /// What the store said.
    pub(crate) fn open(
        &self,
        old: (SimStore, SimChunks),
        chance: [u8; 32],
    ) -> Result<(SimStore, SimChunks), String> {
        let Self::Disk { disk, index, root } = self else {
            return Ok(old);
        };
        drop(old);
        let chance = Secret::from_bytes(chance);
        let mut profile = DiskProfile::open_in(
            disk.clone(),
            index.clone(),
            Unlock::Key(root),
            options(),
            &chance,
        )
        .map_err(|e| chain(&e))?;
        index_rest(&mut profile).map_err(|e| chain(&e))?;
        let chunks = ChunkDir::open(disk.clone()).map_err(|e| chain(&e))?;
        Ok((
            SimStore::Disk(Box::new(profile)),
            SimChunks::Disk(Box::new(chunks)),
        ))
    }

    /// Copies everything that a copy of the disk would hold.
    pub(crate) fn copy(&self, store: &SimStore) -> Copy {
        match (self, store) {
            (Self::Disk { disk, index, .. }, _) => Copy::Disk {
                disk: disk.copy(),
                index: index.copy(),
            },
            (Self::Mem, SimStore::Mem(store)) => Copy::Mem(store.clone()),
            (Self::Mem, SimStore::Disk(_)) => Copy::Mem(Box::default()),
        }
    }

    /// Puts a copy in place of what is there.
    pub(crate) fn put_back(&mut self, copy: &Copy, store: &mut SimStore) {
        match copy {
            Copy::Mem(kept) => *store = SimStore::Mem(kept.clone()),
            Copy::Disk {
                disk: kept,
                index: rows,
            } => {
                if let Self::Disk { disk, index, .. } = self {
                    *disk = kept.copy();
                    *index = rows.copy();
                    disk.kill();
                    index.kill();
                }
            }
        }
    }

    /// Says whether the machine went off in the middle of something.
    pub(crate) fn is_off(&self) -> bool {
        self.disk()
            .is_some_and(|disk| disk.open("vault.bin").is_err())
    }

    pub(crate) const fn disk(&self) -> Option<&MemDisk> {
        match self {
            Self::Mem => None,
            Self::Disk { disk, .. } => Some(disk),
        }
    }

    /// The disk, and the key that opens its vault.
    pub(crate) const fn disk_and_root(&self) -> Option<(&MemDisk, &Secret)> {
        match self {
            Self::Mem => None,
            Self::Disk { disk, root, .. } => Some((disk, root)),
        }
    }

    pub(crate) const fn index(&self) -> Option<&MemIndex> {
        match self {
            Self::Mem => None,
            Self::Disk { index, .. } => Some(index),
        }
    }
}

impl SimStore {
    /// Says whether a write failed for good and nothing has been read again since.
    pub(crate) fn is_poisoned(&self) -> bool {
        match self {
            Self::Mem(_) => false,
            Self::Disk(profile) => profile.is_poisoned(),
        }
    }

    /// What the driver does when the store failed: reads it again if it gave up, and indexes what is
    /// not. Says whether it was read again.
    ///
    /// # Errors
    /// When it still fails.
    pub(crate) fn resume(&mut self) -> Result<bool, StoreError> {
        let Self::Disk(profile) = self else {
            return Ok(false);
        };
        let poisoned = profile.is_poisoned();
        if poisoned {
            profile.resume()?;
        } else {
            profile.abandon();
        }
        index_rest(profile)?;
        Ok(poisoned)
    }

    /// The logs that have lost records which nothing names.
    pub(crate) fn unnamed_losses(&self) -> BTreeSet<Option<SpaceId>> {
        match self {
            Self::Mem(_) => BTreeSet::new(),
            Self::Disk(profile) => profile.recovery().unnamed_losses(),
        }
    }

    /// What the driver does when nothing happens for a while.
    pub(crate) fn flush_idle(&mut self) -> Result<(), StoreError> {
        match self {
            Self::Mem(_) => Ok(()),
            Self::Disk(profile) => profile.flush_idle(),
        }
    }
}

/// Indexes what the index lacks, as the driver does before a node reads anything.
fn index_rest(profile: &mut DiskProfile) -> Result<(), StoreError> {
    loop {
        let records = profile.take_unindexed(REBUILD_BATCH)?;
        if records.is_empty() {
            return Ok(());
        }
        let records = records.into_iter().map(|r| (r.space, r.at, r.record));
        node::recover::index_records(profile, records.collect())?;
        profile.commit()?;
    }
}

fn options() -> Options {
    Options {
        // Small worlds: the reserve would dwarf them.
        reserve_bytes: 64 * 1024,
        ..Options::default()
    }
}

/// An error and its causes on one line.
pub(crate) fn chain(error: &dyn core::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(at) = cause {
        text.push_str(": ");
        text.push_str(&at.to_string());
        cause = at.source();
    }
    text
}
