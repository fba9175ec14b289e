//! The tree of epochs: rosters, forks, and which chain counts.

use std::collections::BTreeSet;

use fold::{EpochTree, WonBy};
use oplog::authority::{Authority, View};
use oplog::payload::{
    Closure, Commit, CommitClass, CommitComplaint, RosterDelta, RosterEntry, ScopeCut, Seal,
};
use oplog::{ChannelId, Digest, EpochId, OpId, Payload, Scope, SpaceId, UserId};
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

/// What decides for the first against the second; nothing decides the other way round.
fn won_by(world: &mut World, winner: EpochId, loser: EpochId) -> WonBy {
    let all = world.all();
    let reverse = world.fold.won_by(&all, &loser, &winner, |_| true);
    assert_eq!(reverse, None);
    let why = world.fold.won_by(&all, &winner, &loser, |_| true);
    why.expect("one of them counts")
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
    assert_eq!(won_by(&mut world, removing, racing), WonBy::Class);

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
    let support = WonBy::Support {
        winner: 2,
        loser: 1,
    };
    assert_eq!(won_by(&mut world, followed, removal), support);
    // The owner removes one of the two: one supporter each, and the class decides.
    world.act(P(0), Do::Kick(P(3)), &[a]);
    assert_eq!(tip(&mut world), removal);
    assert_eq!(won_by(&mut world, removal, followed), WonBy::Class);
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
        let (_, b) = commit(&mut world, P(3), epoch, keep, 7, &[merge]);
        let first = tip(&mut world) == a;
        winners.insert(first);
        let (winner, loser) = if first { (a, b) } else { (b, a) };
        assert_eq!(won_by(&mut world, winner, loser), WonBy::Chance);
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

fn complain(world: &mut World, who: P, about: EpochId, seen: &[usize]) -> usize {
    let complaint = Payload::CommitComplaint(CommitComplaint {
        epoch: about,
        key_package: vec![who.0].into(),
        nonce: Digest::ZERO,
    });
    world.say(who, 0, complaint, seen)
}

fn keep() -> (CommitClass, RosterDelta) {
    (UPDATE, delta(&[], &[]))
}

/// Owner 0 and six members, all in the group: three people are few.
fn crowd() -> (World, usize, EpochId) {
    let mut world = World::with(&[(1, 50), (2, 10), (3, 10), (4, 10), (5, 10), (6, 10)]);
    let first = *world.fold.epochs().genesis().expect("founded");
    let everyone = delta(&(1..7).map(P).collect::<Vec<_>>(), &[]);
    let (op, epoch) = commit(&mut world, P(0), first, (ADD, everyone), 0, &[1]);
    (world, op, epoch)
}

#[test]
fn a_few_who_cannot_follow_take_a_lone_commit_out() {
    let (mut world, base, epoch) = crowd();
    let (bad, broken) = commit(&mut world, P(2), epoch, keep(), 0, &[base]);
    for (complaints, tip_is) in [(0, broken), (1, broken), (2, broken), (3, epoch)] {
        let mut world = world.clone();
        for p in 0..complaints {
            complain(&mut world, P(3 + p), broken, &[bad]);
        }
        assert_eq!(tip(&mut world), tip_is, "{complaints} complaints");
        let all = world.all();
        let about = world.fold.complaints_about(&all, &broken).expect("known");
        let raised = usize::from(complaints);
        assert_eq!((about.people, about.ops.len()), (raised, raised));
        assert_eq!((about.needed, about.set_aside), (3, complaints == 3));
    }
    // Not the author's own, not twice by one, not by people who are no members any more.
    for p in [2, 3, 3, 4] {
        complain(&mut world, P(p), broken, &[bad]);
    }
    assert_eq!(tip(&mut world), broken);
    let third = complain(&mut world, P(5), broken, &[bad]);
    assert_eq!(tip(&mut world), epoch);
    let (_, sibling) = commit(&mut world, P(6), epoch, keep(), 1, &[third]);
    assert_eq!(tip(&mut world), sibling);
    assert_eq!(won_by(&mut world, sibling, broken), WonBy::Complaints);
    world.act(P(0), Do::Kick(P(5)), &[third]);
    assert_ne!(tip(&mut world), epoch);
}

#[test]
fn a_commit_that_others_follow_bears_as_many_complaints() {
    let (mut world, base, epoch) = crowd();
    let (mut at, first) = commit(&mut world, P(2), epoch, keep(), 0, &[base]);
    let mut on = first;
    for p in [0, 1, 3, 4, 6] {
        (at, on) = commit(&mut world, P(p), on, keep(), p, &[at]);
    }
    // Five follow besides the author, so four complaints suffice and three do not.
    for p in [3, 4, 5] {
        complain(&mut world, P(p), first, &[base + 1]);
    }
    assert_eq!(tip(&mut world), on);
    complain(&mut world, P(6), first, &[base + 1]);
    assert_eq!(tip(&mut world), epoch);
    let all = world.all();
    let about = world.fold.complaints_about(&all, &first).expect("known");
    assert_eq!((about.people, about.needed, about.set_aside), (4, 4, true));
}

#[test]
fn one_person_counts_against_one_author_once_in_eight_epochs() {
    let (mut world, base, epoch) = crowd();
    let (mut at, mut on) = (base, epoch);
    let mut epochs = vec![];
    for i in 0..9 {
        (at, on) = commit(&mut world, P(2), on, keep(), i, &[at]);
        epochs.push((at, on));
    }
    for (op, about) in [epochs[1], epochs[8], epochs[7]] {
        for p in [3, 4, 5] {
            complain(&mut world, P(p), about, &[op]);
        }
    }
    assert_eq!(tip(&mut world), epochs[0].1, "the lowest goes first");
    // Without the one at number 3, the one at number 9 counts and that at 10 does not.
    let (mut world, base, epoch) = crowd();
    let (mut at, mut on) = (base, epoch);
    let mut epochs = vec![];
    for i in 0..9 {
        (at, on) = commit(&mut world, P(2), on, keep(), i, &[at]);
        epochs.push((at, on));
    }
    for (op, about) in [epochs[8], epochs[7]] {
        for p in [3, 4, 5] {
            complain(&mut world, P(p), about, &[op]);
        }
    }
    assert_eq!(tip(&mut world), epochs[6].1);
}

fn seal(world: &mut World, who: P, epoch: EpochId, closes: &[usize], seen: &[usize]) -> usize {
    let mut closures: Vec<Closure> = closes
        .iter()
        .map(|removal| Closure {
            removal: world.ids[*removal],
            cut: vec![ScopeCut {
                scope: Scope::Channel(ChannelId::from_bytes([7; 16])),
                heads: vec![],
            }],
        })
        .collect();
    closures.sort_by_key(|c| c.removal);
    let seal = Seal {
        epoch,
        public_state: Digest::ZERO,
        closures,
        strata: None,
    };
    world.say(who, 0, Payload::Seal(seal), seen)
}

#[test]
fn a_seal_ends_what_stood_beside_its_epoch() {
    let (mut world, base, epoch) = group();
    let (one, left) = commit(&mut world, P(2), epoch, keep(), 0, &[base]);
    let sealed = seal(&mut world, P(1), left, &[], &[one]);
    assert_eq!(tip(&mut world), left);
    // Three people follow another branch, which they had kept to themselves.
    let removes = (REMOVE, delta(&[], &[P(2)]));
    let (mut at, mut on) = commit(&mut world, P(3), epoch, removes, 0, &[base]);
    for p in [4, 0] {
        (at, on) = commit(&mut world, P(p), on, keep(), p, &[at]);
    }
    assert_eq!(tip(&mut world), left, "it is final");
    let all = world.all();
    assert_eq!(all.seal(), Some((&left, world.ids[sealed])));
    assert_eq!(all.sealed_epoch(), Some(left));
    // The owner, who had not seen that Seal, seals the other: rank decides.
    let above = seal(&mut world, P(0), on, &[], &[at]);
    assert_eq!(tip(&mut world), on);
    assert_eq!(world.rule(sealed), Some("B9"));
    let all = world.all();
    let reason = all.verdict(&world.ids[sealed]).reason().expect("void");
    assert_eq!(reason.deciding(), vec![world.ids[above]]);
    // And a Seal of somebody who is demoted at the same time counts for nothing.
    world.act(P(1), Do::Role(P(1), 20), &[base]);
    assert_eq!(world.rule(sealed), Some("A12"));
}

#[test]
fn canonical_in_a_past_knows_nothing_else() {
    let (mut world, base, epoch) = group();
    let (one, left) = commit(&mut world, P(2), epoch, keep(), 0, &[base]);
    let (two, right) = commit(&mut world, P(3), epoch, keep(), 0, &[base]);
    let best = tip(&mut world);
    for (heads, expected) in [
        (vec![one], vec![left]),
        (vec![two], vec![right]),
        (vec![one, two], vec![best]),
        (vec![base], vec![]),
    ] {
        let view = world.view(&heads);
        let ids: Vec<OpId> = heads.iter().map(|at| world.ids[*at]).collect();
        let past = world.dag.past_of(&ids);
        for e in [left, right] {
            let canonical = world.fold.is_canonical(&world.dag, &past, &view, &e);
            assert_eq!(canonical, expected.contains(&e));
        }
        assert!(world.fold.is_canonical(&world.dag, &past, &view, &epoch));
    }
}

#[test]
fn of_two_seals_that_close_one_removal_the_higher_says_what_stays() {
    let (mut world, base, epoch) = group();
    let kick = world.act(P(1), Do::Kick(P(4)), &[base]);
    let (at, on) = commit(
        &mut world,
        P(2),
        epoch,
        (REMOVE, delta(&[], &[P(4)])),
        0,
        &[kick],
    );
    let low = seal(&mut world, P(1), on, &[kick], &[at]);
    let closed = |world: &mut World| {
        let all = world.all();
        assert!(all.is_closed(&world.ids[kick]));
        let removals = all.removals_of(&P(4).user());
        removals[0].closure.map(|(seal, _)| seal)
    };
    assert_eq!(closed(&mut world), Some(world.ids[low]));
    let high = seal(&mut world, P(0), epoch, &[kick], &[at]);
    assert!(world.counts(low) && world.counts(high), "both fit");
    assert_eq!(closed(&mut world), Some(world.ids[high]));
    assert_eq!(world.all().seals().count(), 2);
    assert_eq!(tip(&mut world), on);
}

/// Whether an epoch is on the branch of another.
fn fits(tree: &EpochTree, a: &EpochId, b: &EpochId) -> bool {
    tree.is_ancestor(a, b) || tree.is_ancestor(b, a)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// I16: whoever seals what, wherever: the Seals that count are one chain, none of them yields
    /// to a lower rank, and arrival plays no part.
    #[test]
    fn effective_seals_form_a_chain(
        (mut world, epochs) in arb_tree(),
        seals in proptest::collection::vec(
            (0_u8..5, any::<prop::sample::Index>(), any::<prop::sample::Index>()), 1..8),
        picks in proptest::collection::vec(any::<u8>(), 16),
    ) {
        let mut places = vec![];
        for (who, at, seen) in seals {
            let epoch = epochs[at.index(epochs.len())];
            let commit = world.fold.epochs().epoch(&epoch).expect("known").commit;
            let commit = world.ids.iter().position(|id| *id == commit).expect("own");
            let mut parents = vec![commit];
            if let Some(place) = places.get(seen.index(places.len() + 1)) {
                parents.push(*place);
            }
            places.push(seal(&mut world, P(who), epoch, &[], &parents));
        }
        let all = world.all();
        let tree = world.fold.epochs();
        let chain: Vec<(EpochId, OpId)> = all.seals().collect();
        for pair in chain.windows(2) {
            prop_assert!(tree.is_ancestor(&pair[0].0, &pair[1].0));
        }
        let rank = |op: &OpId| world.fold.standing(op).map(|s| s.rank);
        for place in &places {
            let id = world.ids[*place];
            let Some(reason) = all.verdict(&id).reason().filter(|r| r.rule() == "B9") else {
                continue;
            };
            let by = reason.deciding()[0];
            prop_assert!(rank(&by) >= rank(&id));
            let of = |op: &OpId| match world.dag.node(op).map(|n| n.op.payload()) {
                Some(Ok(Some(Payload::Seal(seal)))) => seal.epoch,
                _ => EpochId::ZERO,
            };
            prop_assert!(!fits(tree, &of(&by), &of(&id)));
        }
        if let Some((last, _)) = chain.last() {
            let tip = world.fold.canonical_tip(&world.dag, |_| true).expect("founded");
            prop_assert!(world.fold.epochs().is_ancestor(last, &tip));
        }
        prop_assert_eq!(&*all, &world.fold.recompute(&world.dag, world.dag.heads()));
        let parents: Vec<Vec<usize>> = (0..world.ids.len()).map(|i| {
            let node = world.dag.node(&world.ids[i]).expect("own");
            let place = |id: OpId| world.ids.iter().position(|other| *other == id);
            node.op.header().refs().filter_map(place).collect()
        }).collect();
        let order = crate::random::some_order(&parents, &picks);
        let mut other = world.replayed(&order);
        prop_assert_eq!(all.state_hash(), other.all().state_hash());
    }

    /// I9: a target with one or two helpers, who withhold what they like and pretend not to have seen
    /// the removal, is out of the group after two rounds of reconcile, whatever they show between.
    #[test]
    fn a_few_helpers_do_not_keep_the_target_in(
        shown in proptest::collection::vec((0_u8..3, any::<prop::sample::Index>()), 0..12),
        withheld in proptest::collection::vec((0_u8..3, any::<prop::sample::Index>()), 0..12),
        helpers in 1_u8..3,
    ) {
        let (mut world, base, epoch) = crowd();
        // Person 2 is the target, 3 and 4 may help; the rest is honest.
        let kick = world.act(P(1), Do::Kick(P(2)), &[base]);
        let gone = || (REMOVE, delta(&[], &[P(2)]));
        let (_, first) = commit(&mut world, P(1), epoch, gone(), 0, &[kick]);
        let mut theirs = vec![(base, epoch)];
        let mut seen = kick;
        let mut salt = 0;
        let mut race = |world: &mut World, moves: &[(u8, prop::sample::Index)]| {
            for (who, at) in moves {
                let (op, parent) = theirs[at.index(theirs.len())];
                salt += 1;
                let who = P(2 + who % (helpers + 1));
                theirs.push(commit(world, who, parent, keep(), salt, &[op]));
            }
        };
        race(&mut world, &shown);
        for (round, honest) in [(0, P(5)), (1, P(6))] {
            if round == 1 {
                race(&mut world, &withheld);
            }
            let at = tip(&mut world);
            let roster = &world.fold.epochs().epoch(&at).expect("known").roster;
            if roster.contains_key(&P(2).device()) {
                let on = world.fold.epochs().epoch(&at).expect("known").commit;
                let on = world.ids.iter().position(|id| *id == on).expect("own");
                (seen, _) = commit(&mut world, honest, at, gone(), 0, &[seen, on]);
            }
        }
        let at = tip(&mut world);
        let roster = &world.fold.epochs().epoch(&at).expect("known").roster;
        prop_assert!(!roster.contains_key(&P(2).device()), "{} {:?}", first, world);
    }
}
