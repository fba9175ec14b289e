//! What a thread of 2,000 posts costs: to index, to open, to read to the end, to count.

#![allow(
    missing_docs,
    clippy::allow_attributes,
    clippy::unwrap_used,
    reason = "a bench is a test"
)]

#[path = "../tests/content_support/mod.rs"]
mod content_support;

use std::collections::BTreeSet;
use std::hint::black_box;

use content_support::{Author, CHANNEL, PREFIX, Replica, control, cut, line_in, removal};
use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use fold::content::{Cursor, Include, ThreadSort, index};
use oplog::AcceptedOp;
use oplog::payload::LatePolicy;
use oplog::store::{Location, MemStore};

const POSTS: u64 = 2_000;

/// A thread by five people; every tenth post edited, every fifth reacted to.
fn history() -> (Vec<Author>, Vec<AcceptedOp>) {
    let mut people: Vec<_> = (1..=5).map(|n| Author::new(n, 10 + n)).collect();
    let mut ops = Vec::new();
    let mut turn = people.iter_mut();
    let Some(first) = turn.next() else {
        return (Vec::new(), ops);
    };
    ops.push(first.thread(1, "bench"));
    let thread = ops.first().cloned().unwrap();
    let count = u64::try_from(people.len()).unwrap();
    for i in 0..POSTS {
        let who = usize::try_from(i % count).unwrap();
        let author = people.get_mut(who).unwrap();
        let reply = author.reply(10 + 3 * i, &thread, &"lorem ipsum ".repeat(8));
        if i % 10 == 0 {
            ops.push(author.edit(11 + 3 * i, &reply, "edited"));
        }
        if i % 5 == 0 {
            ops.push(author.react(12 + 3 * i, &reply, "👍"));
        }
        ops.push(reply);
    }
    (people, ops)
}

fn bench(c: &mut Criterion) {
    let (people, ops) = history();
    let thread = ops.first().cloned().unwrap();
    let line = line_in(&thread);
    let at = Location {
        segment: 0,
        offset: 0,
        len: 0,
    };
    let mut replica = Replica::of(&content_support::Fiat::default(), &ops);

    c.bench_function("content/insert rows of 2,601 ops", |b| {
        b.iter_batched(
            MemStore::new,
            |mut store| {
                for op in &ops {
                    index::insert(&mut store, PREFIX, op, at);
                }
                store
            },
            BatchSize::LargeInput,
        );
    });
    c.bench_function("content/newest 50 of 2,000", |b| {
        b.iter(|| {
            let view = replica.view();
            black_box(view.page(&line, Cursor::Newest, Include::Placeholders, 50)).unwrap()
        });
    });
    c.bench_function("content/all 2,000", |b| {
        b.iter(|| {
            let view = replica.view();
            black_box(view.page(&line, Cursor::Oldest, Include::Placeholders, 3_000)).unwrap()
        });
    });
    c.bench_function("content/state hash", |b| {
        b.iter(|| black_box(replica.view().state_hash(&[CHANNEL])).unwrap());
    });
    for quick in [false, true] {
        replica.fiat.quick = quick;
        c.bench_function(&format!("content/unread, quiet={quick}"), |b| {
            b.iter(|| black_box(replica.view().unread(&line, None, &BTreeSet::new())).unwrap());
        });
        c.bench_function(&format!("content/threads, quiet={quick}"), |b| {
            b.iter(|| {
                let view = replica.view();
                black_box(view.threads(&CHANNEL, ThreadSort::Activity, Include::Shown, 50)).unwrap()
            });
        });
    }

    // One author removed, nothing of theirs covered: every op of theirs asks about its lane.
    let removed = people.first().unwrap();
    let mut kick = removal(control(5), LatePolicy::Accept);
    kick.cut = cut(None);
    replica.fiat.remove(removed, kick);
    c.bench_function("content/newest 50 of 2,000, an author removed", |b| {
        b.iter(|| {
            let view = replica.view();
            black_box(view.page(&line, Cursor::Newest, Include::Placeholders, 50)).unwrap()
        });
    });
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(20);
    targets = bench
}
criterion_main!(benches);
