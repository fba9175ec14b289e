//! What authority costs: everything from scratch, one op on the heads, one op from long ago.
#![expect(
    clippy::indexing_slicing,
    clippy::expect_used,
    clippy::wildcard_enum_match_arm,
    reason = "a bench may panic, and explains itself"
)]

#[expect(dead_code, reason = "shared with the tests")]
#[path = "../tests/authority/world.rs"]
mod world;

use std::collections::BTreeMap;

use criterion::measurement::WallTime;
use criterion::{BatchSize, BenchmarkGroup, Criterion, criterion_group, criterion_main};
use fold::AuthorityFold;
use oplog::authority::Authority;
use world::{Do, P, World};

/// Twenty moderators and admins govern two hundred members, one after the other, each in a lane.
fn linear(ops: usize) -> World {
    let mut members: Vec<(u8, u8)> = (1..6).map(|p| (p, 50)).collect();
    members.extend((6..26).map(|p| (p, 20)));
    members.extend((26..226).map(|p| (p, 10)));
    let mut world = World {
        lanes: Some(BTreeMap::new()),
        ..World::default()
    };
    world.act(P(0), Do::Found, &[]);
    for some in members.chunks(100) {
        let last = world.ids.len() - 1;
        let some = some.iter().map(|(p, w)| (P(*p), *w)).collect();
        world.act(P(0), Do::Add(some), &[last]);
    }
    let mut turn = 0_u8;
    while world.ids.len() < ops {
        let last = world.ids.len() - 1;
        turn = (turn + 1) % 100;
        let target = P(26 + turn);
        world.act(P(1 + turn % 5), Do::Mute(target), &[last]);
        world.act(P(1 + turn % 5), Do::Unmute(target), &[last + 1]);
        world.act(P(1 + turn % 5), Do::Kick(target), &[last + 2]);
        world.act(P(6 + turn % 20), Do::Add(vec![(target, 10)]), &[last + 3]);
    }
    world
}

fn authority(c: &mut Criterion) {
    let mut group = c.benchmark_group("authority");
    group.sample_size(10);
    let mut world = linear(10_000);
    world.all();
    let last = world.ids.len() - 1;

    group.bench_function("from scratch, 10 000 linear ops", |b| {
        b.iter_batched(
            || (),
            |()| AuthorityFold::of(&world.dag),
            BatchSize::PerIteration,
        );
    });

    let next = world.sign(P(1), 0, world.payload(&Do::Mute(P(200))), &[last]);
    group.bench_function("one op on the heads of 10 000, and the view", |b| {
        b.iter_batched(
            || {
                let mut dag = world.dag.clone();
                dag.insert(next.clone());
                (dag, world.fold.clone())
            },
            |(dag, mut fold)| {
                fold.admit(&dag, &next.id());
                let view = fold.view_all(&dag);
                (dag, fold, view)
            },
            BatchSize::PerIteration,
        );
    });

    for (name, seen) in [("1 000", last - 1_000), ("all 10 000", 3)] {
        let late = world.sign(P(0), 0, world.payload(&Do::Kick(P(2))), &[seen]);
        group.bench_function(
            format!("a kick concurrent with {name} ops, and the view"),
            |b| {
                b.iter_batched(
                    || {
                        let mut dag = world.dag.clone();
                        dag.insert(late.clone());
                        (dag, world.fold.clone())
                    },
                    |(dag, mut fold)| {
                        fold.admit(&dag, &late.id());
                        let view = fold.view_all(&dag);
                        (dag, fold, view)
                    },
                    BatchSize::PerIteration,
                );
            },
        );
    }
    drop(world);
    at_full_size(&mut group);
    group.finish();
}

/// What the design promises: 100 000 ops from scratch within a second, a late one within 20 ms.
fn at_full_size(group: &mut BenchmarkGroup<'_, WallTime>) {
    let mut world = linear(100_000);
    tell_processor_time(&world);
    world.all();
    let last = world.ids.len() - 1;
    group.bench_function("from scratch, 100 000 linear ops", |b| {
        b.iter_batched(
            || (),
            |()| AuthorityFold::of(&world.dag),
            BatchSize::PerIteration,
        );
    });
    let late = world.sign(P(0), 0, world.payload(&Do::Kick(P(2))), &[last - 1_000]);
    group.bench_function(
        "a kick concurrent with 1 000 of 100 000 ops, and the view",
        |b| {
            let mut dag = world.dag.clone();
            dag.insert(late.clone());
            b.iter_batched(
                || world.fold.clone(),
                |mut fold| {
                    fold.admit(&dag, &late.id());
                    let view = fold.view_all(&dag);
                    (fold, view)
                },
                BatchSize::PerIteration,
            );
        },
    );
}

/// Where much else runs on a machine, times by the wall say little.
fn tell_processor_time(world: &World) {
    let runs = (0..5).map(|_| {
        let since = processor_ms();
        let fold = AuthorityFold::of(&world.dag);
        let folded = processor_ms();
        drop(fold);
        (folded - since, processor_ms() - folded)
    });
    let mut runs: Vec<(i64, i64)> = runs.collect();
    runs.sort_unstable();
    println!(
        "from scratch, {} linear ops: {} ms of processor time at least, {} in the median of five; {} more to let go of it",
        world.ids.len(),
        runs[0].0,
        runs[2].0,
        runs[2].1,
    );
}

fn processor_ms() -> i64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    time.tv_sec * 1_000 + time.tv_nsec / 1_000_000
}

criterion_group!(benches, authority);
criterion_main!(benches);
