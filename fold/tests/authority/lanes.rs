//! Long histories as devices write them: each op also names the one before it in its lane.

use std::collections::BTreeMap;

use fold::AuthorityFold;
use oplog::authority::Authority;

use crate::world::{Do, P, World};

const ADMINS: u8 = 5;

fn in_lanes() -> World {
    let mut world = World {
        lanes: Some(BTreeMap::new()),
        ..World::default()
    };
    world.act(P(0), Do::Found, &[]);
    let admins = (1..=ADMINS).map(|p| (P(p), 50));
    let others = (ADMINS + 1..ADMINS + 20).map(|p| (P(p), 10));
    world.act(P(0), Do::Add(admins.chain(others).collect()), &[0]);
    world
}

/// The admins in turn mute one after the other, each having seen all before.
fn mute_in_turns(world: &mut World, ops: usize) {
    for n in 0..ops {
        let last = world.ids.len() - 1;
        let some = |n: usize, of: u8| (n % usize::from(of)) as u8;
        let target = P(ADMINS + 1 + some(n / 2, 19));
        let what = if n % 2 == 0 {
            Do::Mute(target)
        } else {
            Do::Unmute(target)
        };
        world.act(P(1 + some(n, ADMINS)), what, &[last]);
    }
}

#[test]
fn a_late_op_costs_what_it_is_concurrent_with_however_many_lanes_there_are() {
    let mut world = in_lanes();
    mute_in_turns(&mut world, 300);
    let last = world.ids.len() - 1;
    world.act(P(0), Do::Kick(P(2)), &[last - 10]);
    let heads = world.dag.heads().to_vec();
    assert_eq!(heads.len(), 2);
    assert_eq!(world.fold.reach(&world.dag, &heads), 11);
}

#[test]
fn catching_up_with_a_long_history_comes_to_the_same_as_taking_every_op_as_it_comes() {
    let mut world = in_lanes();
    for round in 0..60_u8 {
        mute_in_turns(&mut world, 80);
        // Three who do not know of each other, one of them from longer ago, and somebody who sees all.
        let last = world.ids.len() - 1;
        let ban = world.act(P(0), Do::Role(P(1 + round % ADMINS), 20), &[last]);
        let add = world.act(P(0), Do::Role(P(1 + round % ADMINS), 50), &[ban]);
        let mute = world.act(P(2), Do::Mute(P(9)), &[last]);
        let kick = world.act(P(1), Do::Kick(P(8)), &[last - 40]);
        let merge = world.act(P(0), Do::Merge, &[add, mute, kick]);
        world.act(P(0), Do::Add(vec![(P(8), 10)]), &[merge]);
    }
    assert!(world.ids.len() > 5_000);
    let mut at_once = AuthorityFold::of(&world.dag);
    let sampled = world.ids.iter().rev().step_by(61);
    for id in sampled.chain(world.dag.heads()) {
        let one_by_one = world.fold.view(&world.dag, &[*id]);
        assert_eq!(at_once.view(&world.dag, &[*id]), one_by_one);
    }
    let all = at_once.recompute(&world.dag, world.dag.heads());
    assert_eq!(*at_once.view_all(&world.dag), all);
}
