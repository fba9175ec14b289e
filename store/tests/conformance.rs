//! The suite of `store::conformance`, run by every store there is.

use oplog::keys::Secret;
use oplog::store::MemStore;
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng;
use store::conformance::{Subject, run};
use store::{DiskStore, MemDisk, MemIndex, Options, Profile, RootKey, Unlock};
use tempfile::TempDir;

struct InMemory;

impl Subject for InMemory {
    type Store = MemStore;

    fn fresh(&mut self) -> MemStore {
        MemStore::new()
    }

    fn kill(&mut self, mut store: MemStore) -> MemStore {
        store.crash();
        store
    }

    fn power_cut(&mut self, mut store: MemStore) -> MemStore {
        store.power_cut();
        store
    }
}

struct OnMemDisk {
    disk: MemDisk,
    index: MemIndex,
    rng: ChaCha20Rng,
    opened: u8,
}

impl OnMemDisk {
    fn open(&mut self) -> Profile<MemDisk, MemIndex> {
        self.opened = self.opened.wrapping_add(1);
        Profile::open_in(
            self.disk.clone(),
            self.index.clone(),
            Unlock::Key(&Secret::from_bytes([1; 32])),
            small(),
            &Secret::from_bytes([self.opened; 32]),
        )
        .unwrap()
    }
}

impl Subject for OnMemDisk {
    type Store = Profile<MemDisk, MemIndex>;

    fn fresh(&mut self) -> Self::Store {
        self.disk = MemDisk::new();
        self.index = MemIndex::new();
        Profile::create_in(
            self.disk.clone(),
            self.index.clone(),
            Unlock::Key(&Secret::from_bytes([1; 32])),
            small(),
            &Secret::from_bytes([0; 32]),
        )
        .unwrap()
    }

    fn kill(&mut self, store: Self::Store) -> Self::Store {
        drop(store);
        self.disk.kill();
        self.index.kill();
        self.open()
    }

    fn power_cut(&mut self, store: Self::Store) -> Self::Store {
        drop(store);
        self.disk.power_cut(&mut self.rng);
        self.index.power_cut();
        self.open()
    }
}

struct OnDisk(TempDir);

impl OnDisk {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }
}

impl Subject for OnDisk {
    type Store = DiskStore;

    fn fresh(&mut self) -> DiskStore {
        *self = Self::new();
        DiskStore::create(self.0.path(), &RootKey::InsecurePlaintext, small()).unwrap()
    }

    fn kill(&mut self, store: DiskStore) -> DiskStore {
        drop(store);
        DiskStore::open(self.0.path(), &RootKey::InsecurePlaintext, small()).unwrap()
    }

    fn power_cut(&mut self, store: DiskStore) -> DiskStore {
        self.kill(store)
    }
}

fn small() -> Options {
    Options {
        reserve_bytes: 0,
        ..Options::default()
    }
}

#[test]
fn the_store_in_memory_conforms() {
    run(&mut InMemory).unwrap();
}

#[test]
fn a_profile_on_a_simulated_disk_conforms() {
    for seed in 0..8 {
        run(&mut OnMemDisk {
            disk: MemDisk::new(),
            index: MemIndex::new(),
            rng: ChaCha20Rng::seed_from_u64(seed),
            opened: 0,
        })
        .unwrap();
    }
}

#[test]
fn a_profile_on_disk_conforms() {
    run(&mut OnDisk::new()).unwrap();
}
