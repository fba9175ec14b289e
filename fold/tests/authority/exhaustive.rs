//! Every small control plane: all graphs, all statically allowed acts, checked after each op.

use crate::check::{check, tell};
use crate::oracle::Oracle;
use crate::world::{Do, P, World};

/// Who may do what in one enumeration.
struct Cast {
    members: &'static [(u8, u8)],
    /// Who acts, with which of their devices.
    actors: &'static [(u8, u8)],
    menu: fn(&World) -> Vec<Do>,
}

/// Grows the world by every allowed op on every set of heads, and checks each result.
///
/// Graphs that differ only in the order in which two concurrent ops were told are one: an
/// op that has not seen the one told just before comes after it in the menu.
fn grow(world: &World, oracle: &Oracle, cast: &Cast, more: usize, previous: usize, seen: &mut u64) {
    let menu = (cast.menu)(world);
    let last = world.ids.len() - 1;
    // One world is asked what is allowed, so that it makes each view of the past once.
    let mut asked = world.clone();
    for parents in antichains(oracle) {
        for (a, (actor, device)) in cast.actors.iter().enumerate() {
            for (m, what) in menu.iter().enumerate() {
                let code = a * menu.len() + m;
                let canonical = parents.contains(&last) || code >= previous;
                if !canonical || !asked.is_allowed_on(*device, P(*actor), what, &parents) {
                    continue;
                }
                let mut next = asked.clone();
                next.act_on(*device, P(*actor), what.clone(), &parents);
                let mut judge = oracle.clone();
                tell(&mut judge, &next);
                check(&mut next, &mut judge);
                *seen += 1;
                if more > 1 {
                    grow(&next, &judge, cast, more - 1, code, seen);
                }
            }
        }
    }
}

/// Every non-empty set of ops of which none has seen another.
fn antichains(oracle: &Oracle) -> Vec<Vec<usize>> {
    let n = oracle.ops.len();
    let sets = (1_usize..1 << n).map(|bits| (0..n).filter(|i| bits & (1 << i) != 0).collect());
    sets.filter(|set: &Vec<usize>| set.iter().all(|a| set.iter().all(|b| !oracle.sees(*a, *b))))
        .collect()
}

fn count(cast: &Cast, ops: usize) -> u64 {
    let mut world = World::with(cast.members);
    let mut oracle = Oracle::default();
    while oracle.ops.len() < world.ids.len() {
        tell(&mut oracle, &world);
    }
    check(&mut world, &mut oracle);
    let mut seen = 0;
    grow(&world, &oracle, cast, ops - world.ids.len(), 0, &mut seen);
    seen
}

#[test]
fn every_graph_of_five_ops_folds_as_the_oracle_says() {
    let cast = Cast {
        members: &[(1, 50), (2, 50), (3, 20)],
        actors: &[(0, 0), (1, 0), (2, 0), (3, 0)],
        menu: |_| {
            let targets = [P(1), P(2), P(3)];
            let mut menu = vec![Do::Leave];
            menu.extend(targets.map(Do::Kick));
            menu.extend(targets.map(Do::Ban));
            menu.extend(targets.map(Do::Unban));
            menu.extend(targets.map(|p| Do::Add(vec![(p, 10)])));
            menu.extend(targets.map(|p| Do::Role(p, 10)));
            menu.extend([Do::Role(P(3), 50), Do::Mute(P(3)), Do::Unmute(P(3))]);
            menu
        },
    };
    let graphs = count(&cast, 5);
    println!("{graphs} graphs");
    assert!(
        graphs > 10_000,
        "only {graphs}: the enumeration lost something"
    );
}

#[test]
fn every_graph_of_six_ops_folds_as_the_oracle_says() {
    let cast = Cast {
        members: &[(1, 50), (2, 20)],
        actors: &[(0, 0), (1, 0), (2, 0)],
        menu: |_| {
            vec![
                Do::Leave,
                Do::Kick(P(1)),
                Do::Kick(P(2)),
                Do::Ban(P(2)),
                Do::Unban(P(2)),
                Do::Add(vec![(P(2), 10)]),
                Do::Add(vec![(P(3), 10)]),
                Do::Role(P(1), 10),
            ]
        },
    };
    let graphs = count(&cast, 6);
    println!("{graphs} graphs");
    assert!(
        graphs > 10_000,
        "only {graphs}: the enumeration lost something"
    );
}

/// A person's devices against each other, while others act on the person.
#[test]
fn every_graph_of_devices_folds_as_the_oracle_says() {
    let cast = Cast {
        members: &[(1, 50)],
        actors: &[(0, 0), (1, 0), (1, 1)],
        menu: |world| {
            vec![
                Do::Prove(P(1), 0, None),
                Do::Prove(P(1), 0, Some(world.ids.len() - 1)),
                Do::Device(1),
                Do::Revoke(0, false),
                Do::Revoke(1, false),
                Do::Revoke(0, true),
                Do::Revoke(1, true),
                Do::Leave,
                Do::Kick(P(1)),
                Do::Add(vec![(P(2), 10)]),
            ]
        },
    };
    let graphs = count(&cast, 5);
    println!("{graphs} graphs");
    assert!(
        graphs > 5_000,
        "only {graphs}: the enumeration lost something"
    );
}

/// Three admins, of whom two act together, while the owner and the third do what they can.
#[test]
fn every_graph_of_a_quorum_folds_as_the_oracle_says() {
    let cast = Cast {
        members: &[(1, 50), (2, 50), (3, 50)],
        actors: &[(0, 0), (1, 0), (2, 0)],
        menu: |_| {
            let both = |a: Do| Do::Quorum(vec![P(2), P(3)], Box::new(a));
            vec![
                both(Do::Kick(P(1))),
                both(Do::Role(P(1), 10)),
                Do::Kick(P(1)),
                Do::Kick(P(2)),
                Do::Role(P(3), 10),
                Do::Role(P(2), 10),
                Do::Add(vec![(P(1), 50)]),
                Do::Revoke(0, false),
                Do::Leave,
            ]
        },
    };
    let graphs = count(&cast, 5);
    println!("{graphs} graphs");
    assert!(
        graphs > 5_000,
        "only {graphs}: the enumeration lost something"
    );
}
