//! What the store costs: commits of groups, with and without a sync, reads, a page.

#![expect(missing_docs, reason = "criterion's macros write functions without")]
#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a bench that fails may stop"
)]

use std::hint::black_box;
use std::ops::ControlFlow;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use oplog::SpaceId;
use oplog::store::{Direction, Location, Store, Table};
use store::{DiskStore, Options, RootKey};
use tempfile::TempDir;

const OPS: Table = Table("op");
const LANES: Table = Table("lane");
const SPACE: SpaceId = SpaceId::from_bytes([7; 32]);
/// About a post of 300 characters, signed.
const RECORD_BYTES: usize = 700;

fn open() -> (TempDir, DiskStore) {
    let dir = tempfile::tempdir().expect("a folder");
    let options = Options {
        reserve_bytes: 0,
        ..Options::default()
    };
    let store = DiskStore::create(dir.path(), &RootKey::InsecurePlaintext, options);
    (dir, store.expect("a profile"))
}

/// A record and its two rows, as the op log writes them.
fn append(store: &mut DiskStore, n: u64) -> Location {
    let id = blake3::hash(&n.to_be_bytes());
    let record = id.as_bytes().repeat(RECORD_BYTES / 32);
    let at = store.append(&SPACE, &record).expect("room");
    store.put(OPS, id.as_bytes(), &at.to_bytes());
    store.put(LANES, &n.to_be_bytes(), id.as_bytes());
    at
}

fn commits(c: &mut Criterion) {
    for group in [1_u64, 64, 1024] {
        let mut bench = c.benchmark_group(format!("commit/{group}"));
        bench
            .throughput(Throughput::Elements(group))
            .sample_size(20);
        for synced in [false, true] {
            let (_dir, mut store) = open();
            let mut next = 0;
            bench.bench_function(if synced { "synced" } else { "unsynced" }, |b| {
                b.iter(|| {
                    for _ in 0..group {
                        append(&mut store, next);
                        next += 1;
                    }
                    store.commit().expect("committed");
                    if synced {
                        store.sync().expect("synced");
                    }
                });
            });
        }
    }
}

fn reads(c: &mut Criterion) {
    let (_dir, mut store) = open();
    let mut places = Vec::new();
    for n in 0..50_000 {
        places.push(append(&mut store, n));
        if n % 1024 == 0 {
            store.commit().expect("committed");
        }
    }
    store.commit().expect("committed");
    store.flush_idle().expect("flushed");
    let mut n = 0_usize;
    c.bench_function("read/one", |b| {
        b.iter(|| {
            n = (n + 7919) % places.len();
            black_box(store.read(&SPACE, &places[n]).expect("read"))
        });
    });
    c.bench_function("read/row", |b| {
        b.iter_batched(
            || {
                n = (n + 7919) % places.len();
                *blake3::hash(&(n as u64).to_be_bytes()).as_bytes()
            },
            |id| black_box(store.get(OPS, &id).expect("read")),
            BatchSize::SmallInput,
        );
    });
    c.bench_function("read/page of 50", |b| {
        b.iter(|| {
            let mut ids = Vec::new();
            let to = 40_000_u64.to_be_bytes();
            store
                .scan(LANES, &[0], &to, Direction::Backward, &mut |_, id| {
                    ids.push(id.to_vec());
                    if ids.len() < 50 {
                        ControlFlow::Continue(())
                    } else {
                        ControlFlow::Break(())
                    }
                })
                .expect("scanned");
            for id in ids {
                let row = store.get(OPS, &id).expect("read").expect("a row");
                let at = Location::from_bytes(&row).expect("a location");
                black_box(store.read(&SPACE, &at).expect("read"));
            }
        });
    });
}

criterion_group!(benches, commits, reads);
criterion_main!(benches);
