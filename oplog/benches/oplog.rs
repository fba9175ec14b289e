//! What one op costs: encoding, decoding, checking signatures one by one and in batches, accepting.
//!
//! Run with `cargo bench -p oplog`; ratios within one run are what counts (`docs/performance.md`).

#![expect(
    clippy::indexing_slicing,
    reason = "the workload has as many as are asked for"
)]

use std::hint::black_box;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use oplog::payload::{ChannelKind, Weight};
use oplog::store::MemStore;
use oplog::testing::{Device, NaiveAuthority, NaiveView, START, TestSpace};
use oplog::{SignedOp, SpaceLog, SpaceNo, VerifiedOp};
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;

const AUTHORS: usize = 20;
/// As in the ingest workload: 300 characters a post.
const BODY: usize = 300;

/// A Space of 20 authors who post in turn: its control ops, and then `posts` of content.
fn workload(posts: usize) -> (TestSpace, Vec<SignedOp>, Vec<SignedOp>) {
    let mut space = TestSpace::found(1);
    let owner = space.founder();
    let authors: Vec<Device> = (0..AUTHORS)
        .map(|n| space.person(&format!("author {n}")).device(0))
        .collect();
    let members: Vec<(&Device, Weight)> = authors.iter().map(|d| (d, Weight::MEMBER)).collect();
    space.add(&owner, &members);
    let devices: Vec<&Device> = authors.iter().collect();
    space.commit(&owner, &devices, &[]).sign();
    let chat = space.channel(&owner, ChannelKind::Chat);
    let control = space.ops().to_vec();
    let body = "x".repeat(BODY);
    let content = (0..posts)
        .map(|n| space.post(&authors[n % AUTHORS], chat, &body).sign())
        .collect();
    (space, control, content)
}

fn verified(ops: &[SignedOp]) -> Vec<VerifiedOp> {
    let mut rng = ChaCha20Rng::seed_from_u64(1);
    let ops = SignedOp::verify_batch(ops.to_vec(), &mut rng);
    ops.into_iter().filter_map(Result::ok).collect()
}

fn codec(c: &mut Criterion) {
    let (_, _, posts) = workload(1);
    let op = &posts[0];
    let wire = op.encode();
    let mut group = c.benchmark_group("codec");
    group.throughput(Throughput::Bytes(wire.len() as u64));
    group.bench_function("encode", |b| b.iter(|| black_box(op).encode()));
    group.bench_function("decode", |b| b.iter(|| SignedOp::decode(black_box(&wire))));
    group.finish();
}

fn verify(c: &mut Criterion) {
    let (_, _, posts) = workload(1_024);
    let mut group = c.benchmark_group("verify");
    group.throughput(Throughput::Elements(1));
    group.bench_function("single", |b| {
        b.iter_batched(|| posts[0].clone(), SignedOp::verify, BatchSize::SmallInput);
    });
    for size in [64, 1_024] {
        group.throughput(Throughput::Elements(size as u64));
        group.bench_function(format!("batch {size}"), |b| {
            let mut rng = ChaCha20Rng::seed_from_u64(1);
            b.iter_batched(
                || posts[..size].to_vec(),
                |ops| SignedOp::verify_batch(ops, &mut rng),
                BatchSize::LargeInput,
            );
        });
    }
    group.finish();
}

/// The log alone: signatures are checked before, the store is a map in memory.
fn accept(c: &mut Criterion) {
    let (space, control, posts) = workload(4_000);
    let (control, posts) = (verified(&control), verified(&posts));
    let now = START.plus_ms(366 * 86_400_000);
    let fresh = || {
        let mut log: SpaceLog<NaiveView> = SpaceLog::new(space.id(), SpaceNo(0));
        let (mut store, mut authority) = (MemStore::new(), NaiveAuthority::new());
        for op in &control {
            let done = log.accept(op.clone(), now, &mut store, &mut authority);
            assert!(done.is_ok());
        }
        (log, store, authority, posts.clone())
    };
    let mut group = c.benchmark_group("accept");
    group.throughput(Throughput::Elements(posts.len() as u64));
    group.sample_size(20);
    group.bench_function("4,000 posts", |b| {
        b.iter_batched(
            fresh,
            |(mut log, mut store, mut authority, posts)| {
                for op in posts {
                    let done = log.accept(op, now, &mut store, &mut authority);
                    assert!(done.is_ok());
                }
                (log, store)
            },
            BatchSize::LargeInput,
        );
    });
    group.finish();
}

criterion_group!(benches, codec, verify, accept);
criterion_main!(benches);
