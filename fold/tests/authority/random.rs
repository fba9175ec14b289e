//! Larger control planes at random: the oracle again, and that arrival order and what came
//! later are irrelevant.

use oplog::authority::View;
use proptest::prelude::*;

use crate::check::{PEOPLE, check, tell};
use crate::oracle::Oracle;
use crate::world::{Do, P, World};

/// How one op is chosen: actor, action, and what it has seen.
type Choice = (u8, u16, [u8; 3]);

fn arb_history(ops: usize) -> impl Strategy<Value = (World, Oracle)> {
    let choice = (0..PEOPLE - 2, any::<u16>(), any::<[u8; 3]>());
    proptest::collection::vec(choice, ops / 2..=ops).prop_map(|choices| told_by(&choices))
}

/// Makes the chosen ops, each among those that acceptance would allow there and then.
fn told_by(choices: &[Choice]) -> (World, Oracle) {
    let mut world = World::with(&[(1, 50), (2, 50), (3, 20), (4, 10)]);
    let mut oracle = Oracle::default();
    for (actor, action, seen) in choices {
        while oracle.ops.len() < world.ids.len() {
            tell(&mut oracle, &world);
        }
        let n = world.ids.len();
        // Recent ops are likelier parents; with all of them old, little would ever conflict twice.
        let mut picks: Vec<usize> = seen
            .iter()
            .map(|s| n - 1 - usize::from(*s) % n.min(6))
            .collect();
        picks.sort_unstable();
        picks.dedup();
        let all = picks.clone();
        picks.retain(|a| !all.iter().any(|b| oracle.sees(*b, *a)));
        let menu = menu(&world);
        // Most people have one device, so that the rest of the menu is not crowded out.
        let device = if action % 5 == 0 { seen[0] % 3 } else { 0 };
        let allowed: Vec<&Do> = menu
            .iter()
            .filter(|what| world.is_allowed_on(device, P(*actor), what, &picks))
            .collect();
        if let Some(what) = allowed.get(usize::from(*action) % allowed.len().max(1)) {
            let what = (*what).clone();
            world.act_on(device, P(*actor), what, &picks);
        }
    }
    while oracle.ops.len() < world.ids.len() {
        tell(&mut oracle, &world);
    }
    (world, oracle)
}

fn menu(world: &World) -> Vec<Do> {
    let mut menu = vec![
        Do::Leave,
        Do::Merge,
        Do::Invite(1),
        Do::Invite(2),
        Do::Add(vec![(P(4), 10), (P(5), 10), (P(6), 20)]),
    ];
    for n in 0..3 {
        menu.extend([Do::Device(n), Do::Revoke(n, false), Do::Revoke(n, true)]);
    }
    for p in (0..PEOPLE).map(P) {
        menu.extend([
            Do::Kick(p),
            Do::Ban(p),
            Do::Unban(p),
            Do::Mute(p),
            Do::Unmute(p),
            Do::Add(vec![(p, 10)]),
            Do::Add(vec![(p, 20)]),
            Do::Role(p, 5),
            Do::Role(p, 10),
            Do::Role(p, 20),
            Do::Role(p, 50),
        ]);
    }
    let quorum = |signers: &[u8], action| {
        Do::Quorum(signers.iter().map(|p| P(*p)).collect(), Box::new(action))
    };
    for signers in [&[1, 2][..], &[1, 2, 3], &[2, 3], &[1, 3]] {
        menu.extend([1, 2, 3, 4].map(|p| quorum(signers, Do::Kick(P(p)))));
        menu.extend([3, 4].map(|p| quorum(signers, Do::Ban(P(p)))));
        menu.push(quorum(signers, Do::Unban(P(4))));
        menu.push(quorum(signers, Do::Role(P(4), 50)));
        menu.push(quorum(signers, Do::Role(P(1), 10)));
    }
    let last = world.ids.len() - 1;
    for (p, n) in [(1, 0), (2, 0), (2, 1), (4, 0)] {
        let device = |i: &usize| world.told[*i].0 == P(p) && world.devices[*i] == n;
        let theirs = (0..=last).rev().find(device);
        menu.extend([Do::Prove(P(p), n, None), Do::Prove(P(p), n, theirs)]);
    }
    for (i, (_, what, _)) in world.told.iter().enumerate() {
        if matches!(what, Do::Invite(_)) {
            menu.push(Do::CloseInvite(i));
            menu.extend([4, 5, 6].map(|p| Do::Admit(vec![P(p)], i)));
        }
    }
    menu
}

/// Every op in an order in which parents come first, chosen by these numbers.
pub(crate) fn some_order(parents: &[Vec<usize>], picks: &[u8]) -> Vec<usize> {
    let mut order: Vec<usize> = Vec::new();
    for pick in picks.iter().cycle() {
        let ready: Vec<usize> = (0..parents.len())
            .filter(|i| !order.contains(i))
            .filter(|i| parents[*i].iter().all(|seen| order.contains(seen)))
            .collect();
        if ready.is_empty() {
            break;
        }
        order.push(ready[usize::from(*pick) % ready.len()]);
    }
    order
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_500))]

    #[test]
    fn twelve_random_ops_fold_as_the_oracle_says((mut world, mut oracle) in arb_history(12)) {
        check(&mut world, &mut oracle);
    }

    #[test]
    fn arrival_order_is_irrelevant(
        (mut world, _) in arb_history(14),
        picks in proptest::collection::vec(any::<u8>(), 16),
    ) {
        let parents: Vec<_> = world.told.iter().map(|(_, _, seen)| seen.clone()).collect();
        let order = some_order(&parents, &picks);
        prop_assert_eq!(order.len(), world.ids.len());
        let mut other = world.replayed(&order);
        let (a, b) = (world.all(), other.all());
        prop_assert_eq!(&a, &b);
        prop_assert_eq!(a.state_hash(), b.state_hash());
    }

    #[test]
    fn a_view_of_the_past_is_the_fold_of_that_past(
        (mut world, mut oracle) in arb_history(12),
        at in any::<[prop::sample::Index; 2]>(),
    ) {
        let n = world.ids.len();
        let heads = [at[0].index(n), at[1].index(n)];
        let view = world.view(&heads);
        let past: Vec<usize> = (0..n)
            .filter(|i| heads.iter().any(|h| h == i || oracle.sees(*h, *i)))
            .collect();
        let mut alone = world.replayed(&past);
        prop_assert_eq!(&*view, &*alone.all());

        let set = past.iter().fold(0, |set, i| set | 1 << i);
        let outcome = oracle.fold(set);
        for i in past {
            let counts = view.verdict(&world.ids[i]).is_effective();
            prop_assert_eq!(counts, outcome.counts & (1 << i) != 0);
        }
    }

    #[test]
    fn equal_hashes_mean_equal_views((mut a, _) in arb_history(6), (mut b, _) in arb_history(6)) {
        let (a, b) = (a.all(), b.all());
        prop_assert_eq!(a == b, a.state_hash() == b.state_hash());
    }

    #[test]
    fn a_device_counts_alone_as_among_all((mut world, _) in arb_history(12)) {
        let all = world.all();
        let authorised = all.authorised_devices();
        for device in all.devices().map(|device| device.device) {
            prop_assert_eq!(all.authorised_user(&device), authorised.get(&device).copied());
        }
    }

    /// A25: content by people whose membership is void never shows.
    #[test]
    fn nobody_speaks_by_void_grants_alone((mut world, _) in arb_history(12)) {
        let all = world.all();
        for seen in 0..world.ids.len() {
            let past = world.view(&[seen]);
            for p in (0..PEOPLE).map(P).filter(|p| past.is_member(&p.user())) {
                let lets_in = |what: &Do| match what {
                    Do::Found => p == P(0),
                    Do::Add(members) => members.iter().any(|(m, _)| *m == p),
                    Do::Admit(people, _) => people.contains(&p),
                    Do::Role(t, _) => *t == p,
                    _ => false,
                };
                let by_right = world.told.iter().zip(&world.ids).any(|((_, what, _), id)| {
                    lets_in(what) && all.verdict(id).is_effective()
                });
                let speaks = all.is_sponsored(&p.user(), &p.device(), &past);
                prop_assert!(by_right || !speaks, "{:?} in {:?}", p, world);
                let weight = past.weight(&p.user()).expect("a member");
                prop_assert!(by_right || !all.is_weight_sponsored(&p.user(), weight, &past));
            }
        }
    }
}
