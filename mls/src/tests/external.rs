//! Devices that commit themselves in, or back in, from outside the group (A5).

use openmls::prelude::{
    LeafNodeParameters, MlsGroup, MlsMessageBodyIn, MlsMessageIn, RatchetTreeIn,
};
use openmls_traits::OpenMlsProvider as _;
use oplog::payload::{RosterDelta, RosterEntry};
use oplog::{Digest, Secret};
use tls_codec::{Deserialize as _, Serialize as _};

use super::cases::{Case, by, check, world};
use super::forge::cheat;
use super::world::{AAD, World, certified, certs, device, id, rng};
use crate::leaf::capabilities;
use crate::provider::MlsSigner;
use crate::roster::sorted_delta;
use crate::{
    EpochRoot, Error, Expected, GroupState, LocalDevice, Processed, Provider, Refusal, Rows,
    key_package_digest, process,
};

/// What is public of an epoch: GroupInfo without the tree, as commits carry it, and the tree.
pub(super) fn public(from: &GroupState, member: &LocalDevice) -> (Vec<u8>, Vec<u8>) {
    cheat(from, member, |group, provider, signer| {
        let info = group.export_group_info(provider.crypto(), signer, false);
        let tree = group.export_ratchet_tree().tls_serialize_detached();
        (info.unwrap().to_bytes().unwrap(), tree.unwrap())
    })
}

/// An external commit of a device that has nothing but what is public, and what it adds.
pub(super) fn enter(from: &GroupState, who: &LocalDevice) -> (Vec<u8>, RosterEntry) {
    let (message, entry, _) = enter_from(&public(from, &device(2)), who);
    (message, entry)
}

fn enter_from(
    (info, tree): &(Vec<u8>, Vec<u8>),
    who: &LocalDevice,
) -> (Vec<u8>, RosterEntry, EpochRoot) {
    let info = MlsMessageIn::tls_deserialize_exact(info).unwrap().extract();
    let MlsMessageBodyIn::GroupInfo(info) = info else {
        panic!("not a GroupInfo");
    };
    let tree = RatchetTreeIn::tls_deserialize_exact(tree).unwrap();
    let provider = Provider::new(&Rows::default(), &mut rng(66));
    let signer = MlsSigner(who.mls_key());
    let parameters = LeafNodeParameters::builder().with_capabilities(capabilities());
    let (mut group, bundle) = MlsGroup::external_commit_builder()
        .with_aad(AAD.to_vec())
        .with_ratchet_tree(tree)
        .skip_lifetime_validation()
        .build_group(&provider, info, who.credential())
        .unwrap()
        .leaf_node_parameters(parameters.build())
        .load_psks(provider.storage())
        .unwrap()
        .build(provider.rand(), provider.crypto(), &signer, |_| true)
        .unwrap()
        .finalize(&provider)
        .unwrap();
    let message = bundle.commit().to_bytes().unwrap();
    if group.pending_commit().is_some() {
        group.merge_pending_commit(&provider).unwrap();
    }
    let leaf = group.own_leaf_node().unwrap().tls_serialize_detached();
    let entry = RosterEntry {
        device: who.cert().device,
        user: who.cert().user,
        key_package: key_package_digest(&leaf.unwrap()),
    };
    let tag = group.confirmation_tag().tls_serialize_detached().unwrap();
    let root = group
        .export_secret(provider.crypto(), "space/epoch-root/v1", &tag[1..], 32)
        .unwrap();
    let root = EpochRoot::new(Secret::from_bytes(root.try_into().unwrap()));
    (message, entry, root)
}

/// Everybody in the group processes it, and comes to the epoch that the newcomer is in.
fn follows(world: &World, who: u8, delta: &RosterDelta, message: &[u8], root: &EpochRoot) {
    for (n, epoch) in world.members.iter().filter(|(n, _)| **n != who) {
        let roster = epoch.state.roster().apply(delta).unwrap();
        let expected = Expected {
            aad: AAD,
            device: id(who),
            delta,
            root_commit: root.commitment(),
            roster_hash: roster.hash(),
        };
        match process(&epoch.state, message, &expected, &certs()) {
            Ok(Processed::Next(next)) => {
                assert_eq!(next.root, *root, "device {n}");
                assert_eq!(next.number(), epoch.number() + 1, "device {n}");
                assert!(next.roster().contains(&id(who)), "device {n}");
            }
            other => panic!("device {n}: {other:?}"),
        }
    }
}

#[test]
fn a_device_commits_itself_in() {
    let world = world();
    let public = public(&world.members[&1].state, &device(1));
    let (message, entry, root) = enter_from(&public, &device(4));
    let delta = sorted_delta(vec![entry], vec![]);
    follows(&world, 4, &delta, &message, &root);
}

#[test]
fn a_device_that_lost_its_state_commits_itself_back_in() {
    let world = world();
    let public = public(&world.members[&1].state, &device(1));
    let (message, entry, root) = enter_from(&public, &device(3));
    let delta = sorted_delta(vec![entry], vec![id(3)]);
    follows(&world, 3, &delta, &message, &root);
}

#[test]
fn an_external_commit_does_what_its_op_declares() {
    let world = world();
    let from = &world.members[&2].state;
    let (new, of_new) = enter(from, &device(4));
    let (back, of_back) = enter(from, &device(3));
    let of = |entry: &RosterEntry, removed: &[u8]| {
        let removed = removed.iter().map(|n| id(*n)).collect();
        sorted_delta(vec![*entry], removed)
    };
    let other_leaf = RosterEntry {
        key_package: Digest::from_bytes([1; 32]),
        ..of_new
    };
    let mut two = of(&of_new, &[]);
    two.added.push(of_back);
    two.added.sort();
    let by = |n: u8, case: Case| Case {
        device: id(n),
        ..case
    };
    let other_key = certified(2, 99);
    let (stranger, of_stranger) = enter(from, &other_key);
    check(
        &world,
        vec![
            // Declared as nothing, as somebody else's act, or as more than itself.
            by(
                4,
                Case::new("undeclared", new.clone(), by!(Refusal::External)),
            ),
            by(
                3,
                Case::new("another's op", new.clone(), by!(Refusal::External))
                    .declaring(of(&of_new, &[])),
            ),
            by(
                4,
                Case::new("it removes others", new.clone(), by!(Refusal::External))
                    .declaring(of(&of_new, &[3])),
            ),
            by(
                4,
                Case::new("it adds two", new.clone(), by!(Refusal::DeltaMisfit { .. }))
                    .declaring(two),
            ),
            // Declared as what it does not do.
            by(
                4,
                Case::new("another leaf", new.clone(), by!(Refusal::DeltaMismatch))
                    .declaring(of(&other_leaf, &[])),
            ),
            by(
                3,
                Case::new(
                    "in, though it is in",
                    back.clone(),
                    by!(Refusal::DeltaMisfit { .. }),
                )
                .declaring(of(&of_back, &[])),
            ),
            // The keys of one device under the certificate of another.
            by(
                3,
                Case::new("another's leaf", new, by!(Refusal::WrongSender { .. })).declaring(
                    sorted_delta(
                        vec![RosterEntry {
                            device: id(3),
                            ..of_new
                        }],
                        vec![id(3)],
                    ),
                ),
            ),
            // A second leaf of a device that is in, with other keys.
            by(
                2,
                Case::new(
                    "a device twice",
                    stranger,
                    by!(Refusal::DeltaMismatch | Refusal::DuplicateDevice { .. }),
                )
                .declaring(of(&of_stranger, &[2])),
            ),
        ],
    );
}

#[test]
fn any_flipped_byte_of_an_external_commit_is_refused() {
    let world = world();
    let (message, entry) = enter(&world.members[&2].state, &device(4));
    let delta = sorted_delta(vec![entry], vec![]);
    let receiver = &world.members[&1].state;
    let expected = Expected {
        aad: AAD,
        device: id(4),
        delta: &delta,
        root_commit: Digest::ZERO,
        roster_hash: Digest::ZERO,
    };
    let verdict = |message: &[u8]| match process(receiver, message, &expected, &certs()) {
        Err(Error::Refused(why)) => why,
        other => panic!("{other:?}"),
    };
    // Whole, it gets as far as what the op would declare of the roster.
    assert!(matches!(verdict(&message), Refusal::RosterHash));
    for at in 0..message.len() {
        let mut bad = message.clone();
        bad[at] ^= 1 << (at % 8);
        let why = verdict(&bad);
        assert!(!matches!(why, Refusal::RosterHash), "byte {at}");
    }
}
