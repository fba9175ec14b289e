//! Commits and key packages that must not get in, each by the rule that keeps it out.

use openmls::prelude::{
    Capabilities, CredentialWithKey, Extension, Extensions, KeyPackage, LeafNodeIndex,
    LeafNodeParameters, Lifetime, MlsGroup, MlsGroupJoinConfig, NewSignerBundle,
    PURE_CIPHERTEXT_WIRE_FORMAT_POLICY, PreSharedKeyProposal, Proposal,
    RequiredCapabilitiesExtension,
};
use openmls::schedule::{ExternalPsk, PreSharedKeyId, Psk};
use openmls_traits::OpenMlsProvider as _;
use oplog::payload::RosterDelta;
use oplog::{Digest, UserId};
use tls_codec::Serialize as _;

use super::cases::*;
use super::forge::{Parts, Weak, cheat, varint};
use super::world::{AAD, GROUP, World, certified, certs, device, expected, id, rng};
use crate::leaf::{capabilities, lifetime};
use crate::provider::{CIPHERSUITE, MlsSigner};
use crate::{
    COMMIT_BYTES_MAX, Change, Error, GroupState, Processed, Refusal, Rows, check_key_package,
    commit, danger_commit_without, found, key_package, process,
};

#[test]
fn what_a_commit_does_must_be_what_its_op_declares() {
    let world = world();
    let from = &world.members[&2].state;
    let update = raw(from, |b| b.force_self_update(true));
    let four = package_of(4);
    let adds = raw(from, |b| b.propose_adds([valid(&four)]));
    let removes = raw(from, |b| b.propose_removals([LeafNodeIndex::new(2)]));
    let wrong_user = {
        let mut delta = added(4, &four);
        delta.added[0].user = UserId::from_bytes([9; 32]);
        delta
    };
    let both = RosterDelta {
        added: added(4, &four).added,
        removed: removed(3).removed,
    };
    let wrong_aad = Case {
        aad: b"another op",
        ..Case::new(
            "bound to another op",
            update.clone(),
            by!(Refusal::WrongAad),
        )
    };
    let wrong_sender = Case {
        device: id(3),
        ..Case::new(
            "another's op",
            update.clone(),
            by!(Refusal::WrongSender { .. }),
        )
    };
    let mismatch: fn(&Refusal) -> bool = by!(Refusal::DeltaMismatch);
    check(
        &world,
        vec![
            wrong_aad,
            wrong_sender,
            Case::new("adds undeclared", adds.clone(), mismatch),
            Case::new("removes undeclared", removes.clone(), mismatch),
            Case::new("declares an add it lacks", update.clone(), mismatch)
                .declaring(added(4, &four)),
            Case::new("declares a removal it lacks", update.clone(), mismatch)
                .declaring(removed(3)),
            Case::new("adds another", adds.clone(), mismatch).declaring(added(5, &package_of(5))),
            Case::new("adds by another key package", adds.clone(), mismatch)
                .declaring(added(4, &package_of(5))),
            Case::new("adds for another user", adds.clone(), mismatch).declaring(wrong_user),
            Case::new("does half of it", adds, mismatch).declaring(both),
            Case::new("removes another", removes, mismatch).declaring(removed(1)),
            Case::new(
                "declares the wrong roster",
                update,
                by!(Refusal::RosterHash),
            ),
        ],
    );
}

#[test]
fn a_commitment_to_another_root_is_refused() {
    let world = world();
    let from = &world.members[&2].state;
    let change = Change::default();
    let made = commit(&device(2), from, &change, AAD, &certs(), &mut rng(1)).unwrap();
    let mut expected = expected(&made, 2);
    expected.root_commit = Digest::ZERO;
    let refused = process(&world.members[&1].state, &made.message, &expected, &certs());
    assert_eq!(refused.unwrap_err(), Error::Refused(Refusal::RootMismatch));
}

/// Nothing shows from outside: the others come to the epoch that is declared.
#[test]
fn a_path_that_one_member_cannot_open_keeps_out_that_member_alone() {
    let world = World::new(&[2, 3, 4]);
    let from = &world.members[&2].state;
    let no_one = danger_commit_without(&device(2), from, AAD, &certs(), &id(9), &mut rng(1));
    assert!(matches!(no_one, Err(Error::CannotCommit { .. })));
    let made = danger_commit_without(&device(2), from, AAD, &certs(), &id(3), &mut rng(1)).unwrap();
    for (by, opens) in [(1, true), (3, false), (4, true)] {
        let state = &world.members[&by].state;
        let came = process(state, &made.message, &expected(&made, 2), &certs());
        match came {
            Ok(Processed::Next(epoch)) => {
                assert!(opens, "{by}");
                assert_eq!(epoch.root, made.next.root, "{by}");
            }
            Ok(Processed::Removed { .. }) => panic!("{by} was removed"),
            Err(error) => {
                assert!(!opens, "{by}: {error}");
                assert!(matches!(error, Error::Refused(_)), "{by}: {error}");
            }
        }
    }
}

#[test]
fn nobody_becomes_another_on_the_way() {
    let world = world();
    let from = &world.members[&2].state;
    let two = device(2);
    let path = |name: CredentialWithKey| {
        let parameters = LeafNodeParameters::builder()
            .with_credential_with_key(name)
            .build();
        raw(from, |b| b.leaf_node_parameters(parameters))
    };
    // Certificate 99 is a second one of device 2; OpenMLS allows the change of keys.
    let rekeyed = certified(2, 99);
    let new_key = cheat(from, &two, |group, provider, signer| {
        group.set_aad(AAD.to_vec());
        let new = NewSignerBundle {
            signer: &MlsSigner(rekeyed.mls_key()),
            credential_with_key: rekeyed.credential(),
        };
        group
            .commit_builder()
            .load_psks(provider.storage())
            .unwrap()
            .build_with_new_signer(provider.rand(), provider.crypto(), signer, new, |_| true)
            .unwrap()
            .stage_commit(provider)
            .unwrap()
            .commit()
            .to_bytes()
            .unwrap()
    });
    let unknown = crate::device::LeafName {
        user: two.cert().user,
        cert: Digest::from_bytes([1; 32]),
    };
    let other_user = crate::device::LeafName {
        user: device(3).cert().user,
        cert: two.cert().hash(),
    };
    let wide = LeafNodeParameters::builder()
        .with_capabilities(Capabilities::default())
        .build();
    let long_name = [two.credential().credential.serialized_content(), &[0]].concat();
    check(
        &world,
        vec![
            Case::new(
                "takes another's credential",
                path(named(
                    device(3)
                        .credential()
                        .credential
                        .serialized_content()
                        .to_vec(),
                    &two,
                )),
                by!(Refusal::CertMismatch { .. }),
            ),
            Case::new(
                "a certificate of its own making",
                path(named(unknown.encode(), &two)),
                by!(Refusal::UnknownCert { .. }),
            ),
            Case::new(
                "its certificate, another user",
                path(named(other_user.encode(), &two)),
                by!(Refusal::CertMismatch { .. }),
            ),
            Case::new(
                "no credential at all",
                path(named(b"admin".to_vec(), &two)),
                by!(Refusal::BadCredential { .. }),
            ),
            Case::new(
                "bytes behind the credential",
                path(named(long_name, &two)),
                by!(Refusal::BadCredential { .. }),
            ),
            Case::new(
                "another certificate of the device",
                new_key,
                by!(Refusal::IdentityChanged { .. }),
            ),
            Case::new(
                "other capabilities",
                raw(from, |b| b.leaf_node_parameters(wide)),
                by!(Refusal::Capabilities { .. }),
            ),
        ],
    );
}

#[test]
fn only_good_leaves_are_added() {
    let world = world();
    let from = &world.members[&2].state;
    let (two, four) = (device(2), device(4));
    let life = lifetime();
    let caps = capabilities;
    let add = |bytes: &[u8]| {
        let package = valid(bytes);
        raw(from, |b| b.propose_adds([package]))
    };
    let four_named_by_two = named(
        four.credential().credential.serialized_content().to_vec(),
        &device(9),
    );
    let odd = [
        (
            "named by another's key",
            odd_package(four_named_by_two, &device(9), life, caps(), true),
            by!(Refusal::CertMismatch { .. }) as fn(&Refusal) -> bool,
        ),
        (
            "of limited life",
            odd_package(
                four.credential(),
                &four,
                Lifetime::init(0, u64::MAX - 1),
                caps(),
                true,
            ),
            by!(Refusal::Lifetime { .. }),
        ),
        (
            "with every capability",
            odd_package(
                four.credential(),
                &four,
                life,
                Capabilities::builder()
                    .extensions(vec![openmls::prelude::ExtensionType::LastResort])
                    .build(),
                true,
            ),
            by!(Refusal::Capabilities { .. }),
        ),
        (
            "not marked last_resort",
            odd_package(four.credential(), &four, life, caps(), false),
            by!(Refusal::KeyPackageForm),
        ),
        (
            "of nobody known",
            odd_package(named(vec![1; 40], &four), &four, life, caps(), true),
            by!(Refusal::BadCredential { .. }),
        ),
    ];
    let mut cases = Vec::new();
    for (name, bytes, refused) in odd {
        let alone = check_key_package(&bytes, four.cert());
        assert!(
            alone.as_ref().is_err_and(refused),
            "{name} alone: {alone:?}"
        );
        cases.push(Case::new(name, add(&bytes), refused).declaring(added(4, &bytes)));
    }
    // The same device a second time, under another certificate and key.
    let again = certified(2, 99);
    let second = key_package(&again, &mut rng(8)).unwrap().0;
    let twice: fn(&Refusal) -> bool = by!(Refusal::DeltaMisfit { .. });
    cases.push(
        Case::new("a device that is there", add(&second), twice).declaring(added(2, &second)),
    );
    assert_eq!(again.cert().device, two.cert().device);
    check(&world, cases);
}

#[test]
fn weak_keys_get_in_nowhere() {
    let world = world();
    let from = &world.members[&2].state;
    let weak: fn(&Refusal) -> bool = by!(Refusal::WeakKey);
    let mut cases = Vec::new();
    // Key packages: the init key, then the leaf's.
    for at in 0..2 {
        let provider = Weak::new(&Rows::default(), at);
        let four = device(4);
        let bundle = KeyPackage::builder()
            .key_package_lifetime(lifetime())
            .leaf_node_capabilities(capabilities())
            .mark_as_last_resort()
            .build(
                CIPHERSUITE,
                &provider,
                &MlsSigner(four.mls_key()),
                four.credential(),
            )
            .unwrap();
        assert!(provider.spoiled());
        let package = bundle.key_package().clone();
        let bytes = package.tls_serialize_detached().unwrap();
        assert_eq!(
            check_key_package(&bytes, four.cert()),
            Err(Refusal::WeakKey),
            "key {at}"
        );
        let message = weak_commit(from, usize::MAX, |b| b.propose_adds([package])).unwrap();
        cases.push(Case::new("adds a weak key", message, weak).declaring(added(4, &bytes)));
    }
    // Paths: every key of it in turn. Those that device 1 derives itself fail as a mismatch.
    let either: fn(&Refusal) -> bool = by!(Refusal::WeakKey | Refusal::Invalid { .. });
    let (mut spoilt, mut at) = (0, 0);
    while let Some(message) = weak_commit(from, at, |b| b.force_self_update(true)) {
        cases.push(Case::new("a weak key in the path", message, either));
        (spoilt, at) = (spoilt + 1, at + 1);
    }
    assert!(spoilt >= 2, "a leaf and at least one node: {spoilt}");
    check(&world, cases);
}

/// A commit of device 2 in which the `weak`-th derived key is of low order; `None` when there
/// is no such key.
fn weak_commit(
    from: &GroupState,
    weak: usize,
    build: impl for<'a> FnOnce(Builder<'a>) -> Builder<'a>,
) -> Option<Vec<u8>> {
    let provider = Weak::new(&from.rows, weak);
    let id = openmls::prelude::GroupId::from_slice(GROUP.as_bytes());
    let mut group = MlsGroup::load(provider.storage(), &id).unwrap().unwrap();
    group.set_aad(AAD.to_vec());
    let two = device(2);
    let message = build(group.commit_builder())
        .load_psks(provider.storage())
        .unwrap()
        .create_group_info(false)
        .build(
            provider.rand(),
            provider.crypto(),
            &MlsSigner(two.mls_key()),
            |_| true,
        )
        .unwrap()
        .stage_commit(&provider)
        .unwrap()
        .commit()
        .to_bytes()
        .unwrap();
    (weak == usize::MAX || provider.spoiled()).then_some(message)
}

#[test]
fn only_commits_of_members_in_plain_form_are_processed() {
    let mut world = world();
    let from = world.members[&2].state.clone();
    let two = device(2);
    let application = cheat(&from, &two, |group, provider, signer| {
        group.set_aad(AAD.to_vec());
        let message = group.create_message(provider, signer, b"hi").unwrap();
        message.to_bytes().unwrap()
    });
    let encrypted = cheat(&from, &two, |group, provider, signer| {
        let config = MlsGroupJoinConfig::builder()
            .wire_format_policy(PURE_CIPHERTEXT_WIRE_FORMAT_POLICY)
            .build();
        group
            .set_configuration(provider.storage(), &config)
            .unwrap();
        group.set_aad(AAD.to_vec());
        finish_raw(group, provider, signer, |b| b.force_self_update(true))
    });
    let (lone, by_reference) = cheat(&from, &two, |group, provider, signer| {
        group.set_aad(AAD.to_vec());
        let (lone, _) = group
            .propose_remove_member(provider, signer, LeafNodeIndex::new(2))
            .unwrap();
        group.set_aad(AAD.to_vec());
        let commit = finish_raw(group, provider, signer, |b| b);
        (lone.to_bytes().unwrap(), commit)
    });
    let (info, _) = super::external::public(&from, &two);
    let (outside, _) = super::external::enter(&from, &device(4));
    let update = raw(&from, |b| b.force_self_update(true));
    let foreign = {
        let other = found(&two, &Digest::from_bytes([1; 32]), &mut rng(3)).unwrap();
        raw(&other.state, |b| b.force_self_update(true))
    };
    let welcome = {
        let (change, _) = world.change(&[4], &[]);
        let made = commit(&two, &from, &change, AAD, &certs(), &mut rng(1)).unwrap();
        made.welcome.unwrap()
    };
    let malformed: fn(&Refusal) -> bool = by!(Refusal::Malformed { .. });
    let invalid: fn(&Refusal) -> bool = by!(Refusal::Invalid { .. });
    let not_a_commit: fn(&Refusal) -> bool = by!(Refusal::NotACommit);
    check(
        &world,
        vec![
            Case::new("an application message", application, not_a_commit),
            Case::new("an encrypted commit", encrypted, not_a_commit),
            Case::new("a lone proposal", lone, not_a_commit),
            Case::new("a Welcome", welcome, not_a_commit),
            Case::new("a GroupInfo", info, not_a_commit),
            Case::new("proposals by reference", by_reference, invalid).declaring(removed(3)),
            Case::new("an external commit", outside, by!(Refusal::External)),
            Case::new("another group's", foreign, invalid),
            Case::new(
                "a byte behind it",
                [update.as_slice(), &[0]].concat(),
                malformed,
            ),
            Case::new("half of it", update[..update.len() / 2].to_vec(), malformed),
            Case::new("nothing", Vec::new(), malformed),
            Case::new(
                "more than its delta can take",
                vec![0; 16 * 1024],
                by!(Refusal::TooLong { .. }),
            ),
            Case::new(
                "too much",
                vec![0; COMMIT_BYTES_MAX + 1],
                by!(Refusal::TooLong { .. }),
            ),
        ],
    );
    // Epochs: the same update once the group has moved on.
    world.commit(3, &[], &[], false).unwrap();
    check(&world, vec![Case::new("a past epoch", update, invalid)]);
    let ahead = {
        let mut later = World::new(&[2, 3]);
        later.seed = 9;
        later.commit(3, &[], &[], false).unwrap();
        later.commit(1, &[], &[], false).unwrap();
        raw(&later.members[&2].state, |b| b.force_self_update(true))
    };
    check(
        &world,
        vec![Case::new(
            "a future epoch of another branch",
            ahead,
            invalid,
        )],
    );
}

#[test]
fn other_proposals_are_refused() {
    let world = world();
    let from = &world.members[&2].state;
    let two = device(2);
    let psk = cheat(from, &two, |group, provider, signer| {
        let psk = Psk::External(ExternalPsk::new(b"psk".to_vec()));
        let psk = PreSharedKeyId::new(CIPHERSUITE, provider.rand(), psk).unwrap();
        psk.store(provider, &[7; 32]).unwrap();
        group.set_aad(AAD.to_vec());
        let proposal = Proposal::PreSharedKey(Box::new(PreSharedKeyProposal::new(psk)));
        finish_raw(group, provider, signer, |b| b.add_proposal(proposal))
    });
    let extensions = Extensions::single(Extension::RequiredCapabilities(
        RequiredCapabilitiesExtension::new(&[], &[], &[]),
    ))
    .unwrap();
    let context = raw(from, |b| {
        b.propose_group_context_extensions(extensions).unwrap()
    });
    check(
        &world,
        vec![
            Case::new("a pre-shared key", psk, by!(Refusal::Invalid { .. })),
            Case::new(
                "another group context",
                context,
                by!(Refusal::ContextChanged | Refusal::ForbiddenProposal { .. }),
            ),
        ],
    );
}

/// Proposal lists that OpenMLS would not write, in commits with good signatures.
#[test]
fn forged_proposal_lists_are_refused_without_a_panic() {
    let world = world();
    let from = &world.members[&2].state;
    let two = device(2);
    let parts = Parts::read(&raw(from, |b| b.force_self_update(true)));
    assert_eq!(
        parts.content[parts.commit_at], 0,
        "an update has no proposals"
    );
    let four = package_of(4);
    let remove = |leaf: u32| [[1, 0, 3].as_slice(), &leaf.to_be_bytes()].concat();
    let add = [&[1, 0, 1], four.as_slice()].concat();
    let lists: Vec<(&'static str, Vec<u8>)> = vec![
        ("a removal out of range", remove(7)),
        ("a removal far out of range", remove(u32::MAX)),
        ("a removal of nobody", remove(3)),
        ("a removal half the range away", remove(u32::MAX / 2)),
        ("a removal of itself", remove(1)),
        ("a removal twice", [remove(2), remove(2)].concat()),
        ("an add twice", [add.clone(), add.clone()].concat()),
        ("an add cut short", add[..add.len() - 9].to_vec()),
        (
            "a ReInit",
            [[1, 0, 5, 1, 9, 0, 1, 0, 3, 0].as_slice()].concat(),
        ),
        (
            "an ExternalInit",
            [[1, 0, 6, 32].as_slice(), &[5; 32]].concat(),
        ),
        (
            "a PSK",
            [[1, 0, 4, 1, 1, 9, 32].as_slice(), &[5; 32]].concat(),
        ),
        (
            "a resumption PSK",
            [
                [1, 0, 4, 2, 1, 32].as_slice(),
                &[0x99; 32],
                &[0; 8],
                &[32],
                &[5; 32],
            ]
            .concat(),
        ),
        ("an empty GroupContextExtensions", vec![1, 0, 7, 0]),
        ("a SelfRemove", vec![1, 0, 10]),
        ("an unknown proposal", vec![1, 0xf0, 0x01, 2, 1, 2]),
        (
            "an unknown reference",
            [[2, 32].as_slice(), &[5; 32]].concat(),
        ),
        ("neither value nor reference", vec![3, 0, 0]),
    ];
    let mut cases = Vec::new();
    for (name, list) in &lists {
        for with_path in [true, false] {
            let mut forged = Parts::read(&raw(from, |b| b.force_self_update(true)));
            let path = if with_path {
                &parts.content[parts.commit_at + 1..]
            } else {
                &[0]
            };
            forged.content.truncate(parts.commit_at);
            forged.content.extend(varint(list.len()));
            forged.content.extend_from_slice(list);
            forged.content.extend_from_slice(path);
            let message = forged.signed_again(from, &two);
            cases.push(Case::new(
                name,
                message,
                by!(Refusal::Malformed { .. }
                    | Refusal::Invalid { .. }
                    | Refusal::ForbiddenProposal { .. }),
            ));
        }
    }
    // The tool itself is sound: signed again unchanged, the commit gets as far as an honest one.
    let again = parts.signed_again(from, &two);
    cases.push(Case::new("unchanged", again, by!(Refusal::RosterHash)));
    // Somebody else's place, with the own signature.
    let mut other = Parts::read(&raw(from, |b| b.force_self_update(true)));
    let leaf_at = 33 + 8 + 1;
    other.content[leaf_at..leaf_at + 4].copy_from_slice(&2u32.to_be_bytes());
    cases.push(Case::new(
        "in another's place",
        other.signed_again(from, &two),
        by!(Refusal::Invalid { .. }),
    ));
    for leaf in [9, u32::MAX] {
        let mut nowhere = Parts::read(&raw(from, |b| b.force_self_update(true)));
        nowhere.content[leaf_at..leaf_at + 4].copy_from_slice(&leaf.to_be_bytes());
        cases.push(Case::new(
            "from no leaf",
            nowhere.signed_again(from, &two),
            by!(Refusal::Invalid { .. }),
        ));
    }
    check(&world, cases);
}

#[test]
fn any_flipped_byte_of_a_commit_is_refused() {
    let world = world();
    let from = &world.members[&2].state;
    let change = Change {
        add: vec![(device(4).cert().clone(), package_of(4))],
        remove: vec![id(3)],
        force_path: true,
    };
    let made = commit(&device(2), from, &change, AAD, &certs(), &mut rng(1)).unwrap();
    let receiver = &world.members[&1].state;
    assert!(process(receiver, &made.message, &expected(&made, 2), &certs()).is_ok());
    for at in 0..made.message.len() {
        let mut bad = made.message.clone();
        bad[at] ^= 1 << (at % 8);
        let outcome = process(receiver, &bad, &expected(&made, 2), &certs());
        assert!(
            matches!(outcome, Err(Error::Refused(_))),
            "byte {at}: {outcome:?}"
        );
    }
}
