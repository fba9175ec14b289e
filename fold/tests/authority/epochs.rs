//! The tree of epochs: rosters, forks, and which chain counts.

use std::collections::BTreeSet;

use fold::EpochTree;
use oplog::payload::{Commit, CommitClass, RosterDelta, RosterEntry};
use oplog::{Digest, EpochId, OpId, Payload, SpaceId, UserId};
use proptest::prelude::*;

use crate::world::{Do, P, World};

const ADD: CommitClass = CommitClass::Add;
const UPDATE: CommitClass = CommitClass::Update;
const REMOVE: CommitClass = CommitClass::Remove;

fn delta(added: &[P], removed: &[P]) -> RosterDelta {
    let mut added: Vec<RosterEntry> = added
        .iter()
        .map(|p| RosterEntry {
            device: p.device(),
            user: p.user(),
            key_package: Digest::ZERO,
        })
        .collect();
    added.sort();
    let mut removed: Vec<_> = removed.iter().map(|p| p.device()).collect();
    removed.sort();
    RosterDelta { added, removed }
}

/// Commits on an epoch; `salt` stands for the bytes that the committer is free to choose.
fn commit(
    world: &mut World,
    who: P,
    parent: EpochId,
    (class, delta): (CommitClass, RosterDelta),
    salt: u8,
    seen: &[usize],
) -> (usize, EpochId) {
    let commit = Commit {
        parent,
        mls: vec![salt].into(),
        root_commit: Digest::ZERO,
        roster_hash: Digest::ZERO,
        class,
        delta,
        group_info: Vec::new().into(),
        welcomes: Vec::new(),
    };
    let op = world.say(who, 0, Payload::Commit(commit), seen);
    (op, EpochId::of_commit(&world.ids[op]))
}

/// Owner 0, admin 1, members 2, 3 and 4, all in the group.
fn group() -> (World, usize, EpochId) {
    let mut world = World::with(&[(1, 50), (2, 10), (3, 10), (4, 10)]);
    let first = *world.fold.epochs().genesis().expect("founded");
    let everyone = delta(&[P(1), P(2), P(3), P(4)], &[]);
    let (op, epoch) = commit(&mut world, P(0), first, (ADD, everyone), 0, &[1]);
    (world, op, epoch)
}

fn tip(world: &mut World) -> EpochId {
    world
        .fold
        .canonical_tip(&world.dag, |_| true)
        .expect("founded")
}

#[test]
fn the_first_epoch_comes_from_the_founding_header() {
    let (world, ..) = group();
    let genesis = world.dag.node(&world.ids[0]).expect("own op");
    let first = EpochId::genesis(&SpaceId::of_genesis(genesis.op.header_bytes()));
    let record = world.fold.epochs().epoch(&first).expect("founded");
    assert_eq!(
        (record.number, record.parent, record.commit),
        (0, None, world.ids[0])
    );
    assert_eq!(
        record.roster.keys().copied().collect::<Vec<_>>(),
        vec![P(0).device()]
    );
}

#[test]
fn rosters_follow_deltas_and_forks_are_kept() {
    let (mut world, base, epoch) = group();
    let (kick, removing) = {
        let kick = world.act(P(1), Do::Kick(P(4)), &[base]);
        let gone = (REMOVE, delta(&[], &[P(4)]));
        (kick, commit(&mut world, P(1), epoch, gone, 0, &[kick]).1)
    };
    let (_, racing) = commit(
        &mut world,
        P(4),
        epoch,
        (UPDATE, delta(&[], &[])),
        0,
        &[base],
    );
    let tree = world.fold.epochs();
    let devices = |e: &EpochId| tree.epoch(e).expect("known").roster.len();
    assert_eq!(
        (devices(&epoch), devices(&removing), devices(&racing)),
        (5, 4, 5)
    );
    assert_eq!(tree.forks().map(|r| r.id).collect::<Vec<_>>(), vec![epoch]);
    assert_eq!(tree.children(&epoch).len(), 2);
    assert!(tree.is_ancestor(&epoch, &racing) && !tree.is_ancestor(&removing, &racing));
    assert_eq!(
        tip(&mut world),
        removing,
        "a removal beats its target's race"
    );

    let chain = world.fold.epochs().chain(&removing);
    assert_eq!(chain.len(), 3);
    let tree = world.fold.epochs();
    let e1 = tree.first_seeing(&world.dag, &chain, &world.ids[kick]);
    assert_eq!(e1, Some(removing));
    let unseen = tree.chain(&racing);
    assert_eq!(
        tree.first_seeing(&world.dag, &unseen, &world.ids[kick]),
        None
    );
    assert!(tree.commit_sees(&world.dag, &removing, &world.ids[kick]));
}

#[test]
fn twice_the_support_outweighs_a_removal_but_the_removed_and_the_newly_added_give_none() {
    let (mut world, base, epoch) = group();
    let keep = || (UPDATE, delta(&[], &[]));
    // Two users follow an update; a lone removal of nobody they know comes late.
    let (a, followed) = commit(&mut world, P(2), epoch, keep(), 0, &[base]);
    let (_, end) = commit(&mut world, P(3), followed, keep(), 0, &[a]);
    let (lone, removal) = commit(
        &mut world,
        P(4),
        epoch,
        (REMOVE, delta(&[], &[P(1)])),
        0,
        &[base],
    );
    assert_eq!(tip(&mut world), end);
    // The owner removes one of the two: one supporter each, and the class decides.
    world.act(P(0), Do::Kick(P(3)), &[a]);
    assert_eq!(tip(&mut world), removal);
    // People added inside a branch do not carry it.
    let bloat = (ADD, delta(&[P(10), P(11), P(12)], &[]));
    let add = world.act(
        P(0),
        Do::Add((10..13).map(|p| (P(p), 10)).collect()),
        &[lone],
    );
    let (mut at, mut on) = commit(&mut world, P(2), followed, bloat, 0, &[add, a]);
    for p in 10..13 {
        (at, on) = commit(&mut world, P(p), on, keep(), 0, &[at]);
    }
    assert_eq!(tip(&mut world), removal);
    // Nor do commits that are not eligible.
    let (_, more) = commit(&mut world, P(1), on, keep(), 0, &[at]);
    assert_eq!(
        tip(&mut world),
        more,
        "a second supporter from the electorate"
    );
    let without = world.fold.canonical_tip(&world.dag, |e| *e != more);
    assert_eq!(without, Some(removal));
}

#[test]
fn nothing_in_a_commit_can_be_ground_for() {
    let mut winners = BTreeSet::new();
    for salt in 0..20 {
        let (mut world, base, epoch) = group();
        let keep = (UPDATE, delta(&[], &[]));
        let (_, a) = commit(&mut world, P(2), epoch, keep.clone(), salt, &[base]);
        let merge = world.act(P(3), Do::Mute(P(3)), &[base]);
        commit(&mut world, P(3), epoch, keep, 7, &[merge]);
        winners.insert(tip(&mut world) == a);
    }
    assert_eq!(
        winners.len(),
        1,
        "the same device wins whatever it writes, whenever"
    );
}

#[test]
fn a_commit_on_an_unknown_epoch_begins_nothing() {
    let (mut world, base, _) = group();
    let before = world.fold.epochs().clone();
    let nowhere = EpochId::from_bytes([9; 32]);
    commit(
        &mut world,
        P(0),
        nowhere,
        (UPDATE, delta(&[], &[])),
        0,
        &[base],
    );
    assert_eq!(*world.fold.epochs(), before);
}

/// A random tree: for each commit its author, its parent among those before, and its class.
fn arb_tree() -> impl Strategy<Value = (World, Vec<EpochId>)> {
    let commit_choice = (0_u8..5, any::<prop::sample::Index>(), 0_u8..3);
    proptest::collection::vec(commit_choice, 1..24).prop_map(|choices| {
        let (mut world, base, epoch) = group();
        let mut epochs = vec![(base, epoch)];
        for (i, (who, parent, class)) in choices.into_iter().enumerate() {
            let (seen, parent) = epochs[parent.index(epochs.len())];
            let class = [UPDATE, ADD, REMOVE][usize::from(class)];
            let change = (class, delta(&[], &[]));
            epochs.push(commit(&mut world, P(who), parent, change, i as u8, &[seen]));
        }
        (world, epochs.into_iter().map(|(_, e)| e).collect())
    })
}

/// B5 word for word: walks the whole subtree for every child of every epoch.
fn plain_tip(
    tree: &EpochTree,
    removed: &BTreeSet<UserId>,
    weight: impl Fn(&UserId) -> u8,
) -> EpochId {
    fn authors(tree: &EpochTree, at: &EpochId) -> BTreeSet<UserId> {
        let below = tree.children(at).iter().flat_map(|kid| authors(tree, kid));
        below.chain(tree.epoch(at).map(|r| r.user)).collect()
    }
    let mut at = *tree.genesis().expect("founded");
    loop {
        let roster = &tree.epoch(&at).expect("known").roster;
        let users: BTreeSet<UserId> = roster.values().map(|(user, _)| *user).collect();
        let best = tree.children(&at).iter().max_by_key(|kid| {
            let record = tree.epoch(kid).expect("known");
            let support = authors(tree, kid)
                .iter()
                .filter(|u| users.contains(u) && !removed.contains(u))
                .count();
            let chance = oplog::hash::H::new("rank")
                .field(at.as_bytes())
                .field(record.device.as_bytes())
                .finish();
            let not = |bytes: [u8; 32]| bytes.map(|b| !b);
            let bucket = (0..).take_while(|n| 1 << (n + 1) <= support.max(1)).count();
            let commit: OpId = record.commit;
            let last = (not(chance), not(*commit.as_bytes()));
            (bucket, record.class, weight(&record.user), support, last)
        });
        match best {
            Some(kid) => at = *kid,
            None => return at,
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn the_tip_is_what_the_rule_says((mut world, _) in arb_tree(), kick in 2_u8..5) {
        let weight = |u: &UserId| match u.as_bytes()[0] {
            1 => 100,
            2 => 50,
            _ => 10,
        };
        let nobody = BTreeSet::new();
        let plain = plain_tip(world.fold.epochs(), &nobody, weight);
        prop_assert_eq!(tip(&mut world), plain);
        world.act(P(0), Do::Kick(P(kick)), &[2]);
        let gone = BTreeSet::from([P(kick).user()]);
        let plain = plain_tip(world.fold.epochs(), &gone, weight);
        prop_assert_eq!(tip(&mut world), plain);
    }

    #[test]
    fn ancestors_are_those_of_the_chain((world, epochs) in arb_tree()) {
        let tree = world.fold.epochs();
        for b in &epochs {
            let chain = tree.chain(b);
            for a in &epochs {
                prop_assert_eq!(tree.is_ancestor(a, b), chain.contains(a));
            }
        }
    }
}

#[test]
fn ancestors_of_a_long_chain_are_found() {
    let (mut world, mut at, first) = group();
    let mut epochs = vec![first];
    for i in 0..300_u16 {
        let on = *epochs.last().expect("not empty");
        let (op, epoch) = commit(
            &mut world,
            P(0),
            on,
            (UPDATE, delta(&[], &[])),
            i as u8,
            &[at],
        );
        at = op;
        epochs.push(epoch);
    }
    let tree = world.fold.epochs();
    for (i, a) in epochs.iter().enumerate() {
        for (j, b) in epochs.iter().enumerate() {
            assert_eq!(tree.is_ancestor(a, b), i <= j);
        }
    }
}
