//! Welcomes that must lead nowhere.

use oplog::Digest;
use oplog::payload::RosterDelta;

use super::cases::*;
use super::forge::cheat;
use super::world::{AAD, GROUP, World, certs, device, expected_join, id, rng};
use crate::leaf::{capabilities, lifetime};
use crate::{Committed, Error, ExpectedJoin, KeyPackageSecret, Refusal, commit, join, key_package};

/// A Welcome for device 4, with everything needed to enter by it.
fn welcome() -> (World, KeyPackageSecret, Committed) {
    let mut world = world();
    let (change, mut secrets) = world.change(&[4], &[]);
    let from = &world.members[&2].state;
    let made = commit(&device(2), from, &change, AAD, &certs(), &mut rng(1)).unwrap();
    (world, secrets.remove(0), made)
}

#[test]
fn a_welcome_leads_nowhere_but_where_its_commit_does() {
    let (world, secret, made) = welcome();
    let bytes = made.welcome.clone().unwrap();
    let right = || expected_join(&made, 2);
    assert!(join(&secret, &bytes, &right(), &certs()).is_ok());
    let smaller = world.members[&1].roster().clone();
    let other_device = {
        let delta = RosterDelta {
            added: added(5, &package_of(5)).added,
            removed: removed(3).removed,
        };
        made.next.roster().apply(&delta).unwrap()
    };
    let (_, other_secret) = key_package(&device(4), &mut rng(70)).unwrap();
    let without_three: std::collections::BTreeMap<_, _> = certs()
        .into_iter()
        .filter(|(_, cert)| cert.device != id(3))
        .collect();
    let all = certs();
    let longer = [bytes.as_slice(), &[0]].concat();
    let cases: Vec<(&str, ExpectedJoin<'_>, &[u8], &KeyPackageSecret, Refusal)> = vec![
        (
            "another group",
            ExpectedJoin {
                group_id: Digest::ZERO,
                ..right()
            },
            &bytes,
            &secret,
            Refusal::WrongGroup,
        ),
        (
            "another epoch",
            ExpectedJoin {
                number: 2,
                ..right()
            },
            &bytes,
            &secret,
            Refusal::WrongGroup,
        ),
        (
            "another committer",
            ExpectedJoin {
                device: id(3),
                ..right()
            },
            &bytes,
            &secret,
            Refusal::WrongSender { expected: id(3) },
        ),
        (
            "one leaf too many",
            ExpectedJoin {
                roster: &smaller,
                ..right()
            },
            &bytes,
            &secret,
            Refusal::RosterMismatch,
        ),
        (
            "another member",
            ExpectedJoin {
                roster: &other_device,
                ..right()
            },
            &bytes,
            &secret,
            Refusal::RosterMismatch,
        ),
        (
            "another roster hash",
            ExpectedJoin {
                roster_hash: Digest::ZERO,
                ..right()
            },
            &bytes,
            &secret,
            Refusal::RosterHash,
        ),
        (
            "another root",
            ExpectedJoin {
                root_commit: Digest::ZERO,
                ..right()
            },
            &bytes,
            &secret,
            Refusal::RootMismatch,
        ),
        (
            "not for this key package",
            right(),
            &bytes,
            &other_secret,
            Refusal::NotForUs,
        ),
        (
            "a byte behind it",
            right(),
            &longer,
            &secret,
            Refusal::Malformed { what: "welcome" },
        ),
        (
            "a commit",
            right(),
            &made.message,
            &secret,
            Refusal::Malformed { what: "welcome" },
        ),
    ];
    for (name, expected, bytes, secret, refusal) in cases {
        let outcome = join(secret, bytes, &expected, &all);
        assert_eq!(outcome.unwrap_err(), Error::Refused(refusal), "{name}");
    }
    let stranger = join(&secret, &bytes, &right(), &without_three);
    assert_eq!(
        stranger.unwrap_err(),
        Error::Refused(Refusal::UnknownCert { leaf: 2 })
    );
    for at in 0..bytes.len() {
        let mut bad = bytes.clone();
        bad[at] ^= 1 << (at % 8);
        let outcome = join(&secret, &bad, &right(), &all);
        assert!(
            matches!(outcome, Err(Error::Refused(_))),
            "byte {at}: {outcome:?}"
        );
    }
}

/// A committer who lets somebody in under a false name is found out at the joiner too.
#[test]
fn a_welcome_into_a_tree_with_a_false_leaf_is_refused() {
    let world = world();
    let from = &world.members[&2].state;
    let (bytes, secret) = key_package(&device(4), &mut rng(70)).unwrap();
    let false_name = named(
        device(3)
            .credential()
            .credential
            .serialized_content()
            .to_vec(),
        &device(9),
    );
    let intruder = odd_package(false_name, &device(9), lifetime(), capabilities(), true);
    let welcome = cheat(from, &device(2), |group, provider, signer| {
        let (_, welcome, _) = group
            .add_members(provider, signer, &[valid(&bytes), valid(&intruder)])
            .unwrap();
        welcome.to_bytes().unwrap()
    });
    let roster = from.roster().apply(&added(4, &bytes)).unwrap();
    let expected = ExpectedJoin {
        group_id: GROUP,
        number: from.number() + 1,
        device: id(2),
        roster: &roster,
        root_commit: Digest::ZERO,
        roster_hash: roster.hash(),
    };
    let outcome = join(&secret, &welcome, &expected, &certs());
    assert_eq!(
        outcome.unwrap_err(),
        Error::Refused(Refusal::CertMismatch { leaf: 4 })
    );
}
