//! What honest devices do with each other.

use oplog::payload::CommitClass;

use super::world::{AAD, World, certs, device, expected, expected_join, id, no_delta, rng};
use crate::{
    Change, Error, GroupState, KeyPackageSecret, Processed, Refusal, check_key_package, commit,
    commit_class, join, key_package, process,
};

#[test]
fn everybody_exports_the_same_root_after_every_kind_of_commit() {
    let mut world = World::new(&[2, 3, 4]);
    let mut roots = vec![world.members[&1].root.commitment()];
    for (by, add, remove, force, class) in [
        (2, vec![5, 6], vec![], false, CommitClass::Add),
        (3, vec![], vec![], false, CommitClass::Update),
        (4, vec![7], vec![], true, CommitClass::Add),
        (5, vec![], vec![3], false, CommitClass::Remove),
        (6, vec![3, 8], vec![1], false, CommitClass::Remove),
        (3, vec![2], vec![2], false, CommitClass::Add), // re-added in one commit
        (2, vec![14], vec![], false, CommitClass::Add),
        (14, vec![], vec![4], false, CommitClass::Add), // one's own other device
    ] {
        let made = world.commit(by, &add, &remove, force).unwrap();
        assert_eq!(made.class, class, "by {by}: +{add:?} -{remove:?}");
        assert!(made.group_info.len() < 300, "{}", made.group_info.len());
        roots.push(made.root_commit);
    }
    let members: Vec<u8> = world.members.keys().copied().collect();
    assert_eq!(members, [2, 3, 5, 6, 7, 8, 14]);
    let distinct: std::collections::BTreeSet<_> = roots.iter().collect();
    assert_eq!(distinct.len(), roots.len());
}

#[test]
fn a_commit_that_only_adds_has_no_path() {
    let mut world = World::new(&[2, 3, 4, 5, 6, 7, 8]);
    let without = world.commit(1, &[9], &[], false).unwrap().message.len();
    let with = world.commit(1, &[10], &[], true).unwrap().message.len();
    assert!(without < 700, "{without}");
    assert!(with > without + 500, "{with}");
}

#[test]
fn branches_of_one_epoch_do_not_touch_each_other() {
    let mut left = World::new(&[2, 3]);
    let start = left.members.clone();
    left.commit(1, &[], &[3], false).unwrap();
    let left_root = left.members[&2].root.clone();
    let mut right = World {
        members: start.clone(),
        seed: 500,
    };
    right.commit(2, &[4], &[], false).unwrap();
    assert_ne!(right.members[&1].root, left_root);
    // Back to the left from the untouched start, and on.
    left.members = start;
    left.seed = 1_000;
    left.commit(3, &[], &[], false).unwrap();
    left.commit(1, &[5], &[2], false).unwrap();
}

#[test]
fn one_key_package_answers_two_branches() {
    let world = World::new(&[2]);
    let (bytes, secret) = key_package(&device(3), &mut rng(77)).unwrap();
    let change = Change {
        add: vec![(device(3).cert().clone(), bytes)],
        ..Change::default()
    };
    let made: Vec<_> = [1, 2]
        .into_iter()
        .map(|by| {
            let from = &world.members[&by].state;
            let made = commit(
                &device(by),
                from,
                &change,
                AAD,
                &certs(),
                &mut rng(by.into()),
            );
            (by, made.unwrap())
        })
        .collect();
    let roots: Vec<_> = made
        .iter()
        .map(|(by, made)| {
            let welcome = made.welcome.as_deref().unwrap();
            join(&secret, welcome, &expected_join(made, *by), &certs()).unwrap()
        })
        .map(|epoch| epoch.root)
        .collect();
    assert_ne!(roots[0], roots[1]);
}

#[test]
fn a_joiners_state_does_not_hold_the_init_key() {
    let mut world = World::new(&[]);
    let (change, secrets) = world.change(&[2], &[]);
    let from = &world.members[&1].state;
    let made = commit(&device(1), from, &change, AAD, &certs(), &mut rng(9)).unwrap();
    let welcome = made.welcome.as_deref().unwrap();
    let epoch = join(&secrets[0], welcome, &expected_join(&made, 1), &certs()).unwrap();
    let rows: Vec<_> = epoch.state.rows.iter().map(|(k, _)| k.clone()).collect();
    for (key, _) in secrets[0].rows.iter() {
        assert!(!rows.contains(key));
    }
}

#[test]
fn states_and_secrets_survive_encoding() {
    let mut world = World::new(&[2, 3]);
    for epoch in world.members.values_mut() {
        let bytes = epoch.state.encode();
        assert!(bytes.len() < epoch.state.size_bytes());
        epoch.state = GroupState::decode(&bytes).unwrap();
    }
    world.commit(3, &[4], &[2], false).unwrap();
    let (_, secret) = key_package(&device(2), &mut rng(1)).unwrap();
    assert_eq!(KeyPackageSecret::decode(&secret.encode()).unwrap(), secret);
}

#[test]
fn a_change_that_makes_no_sense_is_not_committed() {
    let mut world = World::new(&[2]);
    let (bytes, _) = key_package(&device(3), &mut rng(5)).unwrap();
    let third = (device(3).cert().clone(), bytes.clone());
    let (own, _) = key_package(&device(2), &mut rng(6)).unwrap();
    let cases: [(&str, Change); 6] = [
        ("removes itself", world.change(&[], &[1]).0),
        ("removes a stranger", world.change(&[], &[5]).0),
        ("adds who is there", world.change(&[2], &[]).0),
        (
            "adds one twice",
            Change {
                add: vec![third.clone(), third.clone()],
                ..Change::default()
            },
        ),
        (
            "another's key package",
            Change {
                add: vec![(device(3).cert().clone(), own)],
                ..Change::default()
            },
        ),
        (
            "garbage for a key package",
            Change {
                add: vec![(third.0.clone(), vec![1; 40])],
                ..Change::default()
            },
        ),
    ];
    for (name, change) in cases {
        let from = &world.members[&1].state;
        let made = commit(&device(1), from, &change, AAD, &certs(), &mut rng(3));
        assert!(made.is_err(), "{name}");
    }
    world.commit(1, &[4], &[], false).unwrap();
}

#[test]
fn a_key_package_is_good_for_its_own_device_only() {
    let (bytes, secret) = key_package(&device(2), &mut rng(5)).unwrap();
    let digest = check_key_package(&bytes, device(2).cert()).unwrap();
    assert_eq!(digest, *secret.digest());
    assert!(bytes.len() < 600, "{}", bytes.len());
    assert!(check_key_package(&bytes, device(3).cert()).is_err());
    for at in 0..bytes.len() {
        let mut bad = bytes.clone();
        bad[at] ^= 1;
        assert!(
            check_key_package(&bad, device(2).cert()).is_err(),
            "byte {at}"
        );
    }
    let longer = [bytes.as_slice(), &[0]].concat();
    assert_eq!(
        check_key_package(&longer, device(2).cert()),
        Err(Refusal::Malformed {
            what: "key package"
        })
    );
}

#[test]
fn the_class_of_a_delta_is_that_of_its_heaviest_part() {
    let world = World::new(&[2, 3, 4, 14]);
    let roster = world.members[&1].roster();
    let (user_1, user_4) = (device(1).cert().user, device(4).cert().user);
    let mut delta = no_delta();
    assert_eq!(commit_class(&delta, roster, &user_1), CommitClass::Update);
    delta.removed = vec![id(14)];
    assert_eq!(commit_class(&delta, roster, &user_1), CommitClass::Remove);
    assert_eq!(commit_class(&delta, roster, &user_4), CommitClass::Add);
}

#[test]
fn ones_own_commit_is_not_processed_again() {
    let mut world = World::new(&[2]);
    let before = world.members[&1].state.clone();
    let made = world.commit(1, &[], &[], false).unwrap();
    let again = process(&before, &made.message, &expected(&made, 1), &certs());
    assert!(matches!(again, Err(Error::Refused(_))), "{again:?}");
}

#[test]
fn a_removed_device_learns_it_and_nothing_of_the_new_root() {
    let mut world = World::new(&[2, 3]);
    let out = world.members[&3].state.clone();
    let made = world.commit(1, &[], &[3], false).unwrap();
    match process(&out, &made.message, &expected(&made, 1), &certs()).unwrap() {
        Processed::Removed { roster } => assert_eq!(&roster, made.next.roster()),
        Processed::Next(_) => panic!("still in"),
    }
}

#[test]
fn debug_shows_no_secret() {
    let mut world = World::new(&[2]);
    let made = world.commit(1, &[3], &[], false).unwrap();
    let (_, secret) = key_package(&device(4), &mut rng(1)).unwrap();
    let provider = crate::Provider::new(&made.next.state.rows, &mut rng(1));
    let shown = format!(
        "{:?} {:?} {secret:?} {provider:?} {:?}",
        made.next,
        device(1),
        crate::EpochKeys::new(&made.next.root)
    );
    let root = made.next.root.secret().as_bytes();
    let seed = device(1).mls_key().to_seed();
    let decimal = |bytes: &[u8]| format!("{:?}", &bytes[..4]);
    for secret in [root.as_slice(), seed.as_slice()] {
        assert!(!shown.contains(&hex::encode(secret)));
        assert!(!shown.contains(decimal(secret).trim_matches(['[', ']'])));
    }
    for (_, row) in made
        .next
        .state
        .rows
        .iter()
        .filter(|(_, row)| row.len() > 16)
    {
        assert!(!shown.contains(std::str::from_utf8(row).unwrap()));
    }
}
