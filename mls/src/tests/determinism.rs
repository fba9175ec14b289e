//! The same seed gives the same bytes: key package, commit, Welcome, path, roots, states.

use super::world::{World, device, rng};
use crate::{GroupState, key_package};

/// Grows a group in which paths have many recipients, so that OpenMLS seals on several threads.
fn history(seed: u64) -> Vec<Vec<u8>> {
    let mut world = World::new(&[]);
    world.seed = seed;
    let mut out = Vec::new();
    for (by, add, remove, force) in [
        (1, vec![2, 3, 4, 5, 6, 7, 8, 9], vec![], true),
        (2, vec![], vec![], false),
        (3, vec![10, 11], vec![4], false),
        (9, vec![], vec![], false),
    ] {
        let made = world.commit(by, &add, &remove, force).unwrap();
        out.push(made.message);
        out.extend(made.welcome);
        out.push(made.group_info);
        out.push(made.root_commit.as_bytes().to_vec());
    }
    let states = world.members.values().map(|epoch| &epoch.state);
    out.extend(states.map(|state: &GroupState| state.encode().to_vec()));
    out
}

#[test]
fn the_same_seed_gives_the_same_bytes() {
    let first = history(40);
    for round in 0..3 {
        let again = history(40);
        for (at, (a, b)) in first.iter().zip(&again).enumerate() {
            assert!(a == b, "round {round}: item {at} differs");
        }
    }
    let other = history(1_000);
    let same = first.iter().zip(&other).filter(|(a, b)| a == b).count();
    assert_eq!(same, 0, "another seed, another everything");
}

#[test]
fn key_packages_depend_on_the_seed_alone() {
    let make = |seed| key_package(&device(2), &mut rng(seed)).unwrap();
    assert_eq!(make(1), make(1));
    assert_ne!(make(1).0, make(2).0);
}
