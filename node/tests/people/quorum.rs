//! Admins who decide together, with signatures that travel as texts (B4, *Quorums*).

use node::audit::Explanation;
use node::quorum::{Motion, MotionError};
use node::{Answer, Command, CommandError, OpId, SpaceId, UserId, Weight};

use crate::scene::{ALICE, BOB, JOHN, Scene, invite, join, op};
use crate::world::World;

const CAROL: usize = 3;
const DAVE: usize = 4;
const DAY_SECS: u64 = 86_400;

/// Alice owns the Space; Bob, Carol and Dave are admins, in that order; John is a member.
fn board(owner_removable: bool) -> Scene {
    let mut world = World::new(&["Alice", "Bob", "John", "Carol", "Dave"]);
    for who in [ALICE, BOB, JOHN, CAROL, DAVE] {
        world.connect(who);
    }
    let name = "Allotment".to_owned();
    let found = Command::FoundSpace {
        name,
        owner_removable,
    };
    let Answer::Space(space) = world.command(ALICE, found).unwrap() else {
        panic!("no Space");
    };
    let link = invite(&mut world, ALICE, space);
    for who in [BOB, JOHN, CAROL, DAVE] {
        join(&mut world, who, link.clone());
    }
    let channels = world.people[ALICE].node.channels(space).unwrap();
    let find = |name: &str| channels.iter().find(|c| c.name == name).unwrap().id;
    let (general, forum) = (find("general"), find("forum"));
    let mut scene = Scene {
        world,
        space,
        general,
        forum,
    };
    for who in [BOB, CAROL, DAVE] {
        scene.make_admin(who);
        scene.world.pass(2_000);
    }
    scene
}

fn user(scene: &Scene, who: usize) -> UserId {
    scene.world.people[who].node.me().user
}

fn ban(scene: &Scene, whom: usize) -> Command {
    Command::Ban {
        space: scene.space,
        user: user(scene, whom),
        reason: "took the key of the shed".into(),
        late: None,
        purge: Vec::new(),
    }
}

fn role(scene: &Scene, whom: usize, weight: Weight) -> Command {
    Command::SetRole {
        space: scene.space,
        user: user(scene, whom),
        weight,
        reason: String::new(),
    }
}

fn propose(scene: &mut Scene, who: usize, act: Command) -> Result<Motion, CommandError> {
    let propose = Command::ProposeQuorum {
        space: scene.space,
        act: Box::new(act),
        valid_secs: DAY_SECS,
    };
    scene
        .world
        .command(who, propose)
        .map(|answer| match answer {
            Answer::Motion(motion) => *motion,
            other => panic!("{other:?}"),
        })
}

/// Hands the text over, and back once it is signed.
fn sign(scene: &Scene, who: usize, motion: &Motion) -> Result<Motion, CommandError> {
    let handed: Motion = motion.to_string().parse().unwrap();
    let signed = scene.world.people[who].node.sign_motion(&handed)?;
    Ok(signed.to_string().parse().unwrap())
}

fn bring(scene: &mut Scene, who: usize, copies: &[&Motion]) -> Result<OpId, CommandError> {
    let copies = copies.iter().map(|copy| (*copy).clone()).collect();
    scene
        .world
        .command(who, Command::BringQuorum { copies })
        .map(op)
}

fn weight(scene: &Scene, by: usize, of: usize) -> Option<Weight> {
    let members = scene.world.people[by].node.members(scene.space).unwrap();
    members
        .iter()
        .find(|m| m.user == user(scene, of))
        .unwrap()
        .weight
}

fn rule(error: &CommandError) -> &'static str {
    match error {
        CommandError::NotAllowed { rule, .. } => rule,
        _ => "",
    }
}

#[test]
fn two_admins_remove_the_one_who_outranks_them() {
    let mut scene = board(false);
    // Alone nobody can: Bob is the senior.
    let command = ban(&scene, BOB);
    let alone = scene.world.command(CAROL, command).unwrap_err();
    assert_eq!(rule(&alone), "R6", "{alone}");

    let act = ban(&scene, BOB);
    let motion = propose(&mut scene, CAROL, act).unwrap();
    let view = scene.world.people[DAVE]
        .node
        .look_at_motion(&motion)
        .unwrap();
    assert_eq!(view.about, "ban Bob (took the key of the shed)");
    assert_eq!((view.signed.len(), view.needs), (1, 2));
    assert!(view.may_sign && !view.may_bring);

    let few = bring(&mut scene, CAROL, &[&motion]).unwrap_err();
    assert_eq!(rule(&few), "R6", "{few}");
    let signed = sign(&scene, DAVE, &motion).unwrap();
    let act = bring(&mut scene, CAROL, &[&motion, &signed]).unwrap();
    scene.world.pass(30_000);
    for who in [ALICE, JOHN, CAROL, DAVE] {
        assert_eq!(weight(&scene, who, BOB), None, "{who}");
    }
    scene.post(ALICE, "after");
    scene.world.pass(5_000);
    assert_eq!(scene.texts(DAVE), ["after"]);
    assert!(scene.texts(BOB).is_empty());
    scene.assert_converged(&[ALICE, JOHN, CAROL, DAVE]);
    let node = &scene.world.people[JOHN].node;
    let explained = node.explain(scene.space, act).unwrap();
    let Explanation::Accepted { outcome, .. } = explained else {
        panic!("{act} is not here");
    };
    assert_eq!(outcome.state, "effective");

    // Nobody uses the signatures again.
    let again = bring(&mut scene, CAROL, &[&signed]).unwrap_err();
    assert_eq!(rule(&again), "R8", "{again}");
}

#[test]
fn signatures_are_of_those_who_have_a_vote_and_hold_for_one_act() {
    let mut scene = board(false);
    let act = ban(&scene, BOB);
    let motion = propose(&mut scene, CAROL, act).unwrap();
    // Whom it is about, a member, an owner, and somebody for the second time.
    for (who, expected) in [(BOB, "R8"), (JOHN, "R8"), (ALICE, "R8"), (CAROL, "")] {
        let refused = sign(&scene, who, &motion).unwrap_err();
        assert_eq!(rule(&refused), expected, "{who}: {refused}");
    }
    let signed = sign(&scene, DAVE, &motion).unwrap();
    let elsewhere = bring(&mut scene, DAVE, &[&signed]).unwrap_err();
    assert!(
        matches!(elsewhere, CommandError::Invalid { .. }),
        "{elsewhere}"
    );
    let act = ban(&scene, JOHN);
    let other = propose(&mut scene, CAROL, act).unwrap();
    let mixed = bring(&mut scene, CAROL, &[&signed, &other]).unwrap_err();
    assert!(matches!(mixed, CommandError::Invalid { .. }), "{mixed}");
    let none = bring(&mut scene, CAROL, &[]).unwrap_err();
    assert!(matches!(none, CommandError::Invalid { .. }), "{none}");

    // In a day it is over.
    scene.world.sleep((DAY_SECS + 1) * 1_000);
    let over = bring(&mut scene, CAROL, &[&signed]).unwrap_err();
    assert!(matches!(over, CommandError::Invalid { .. }), "{over}");
    assert_eq!(weight(&scene, ALICE, BOB), Some(Weight::ADMIN));
}

/// A member may carry it; admins sign.
#[test]
fn a_member_can_bring_what_admins_signed_and_a_stranger_can_not_sign() {
    let mut scene = board(false);
    let act = Command::SetPolicy {
        space: scene.space,
        name: Some("Garden".into()),
        kick_late: None,
        ban_late: None,
        seal_every: None,
    };
    let motion = propose(&mut scene, JOHN, act).unwrap();
    let copies = [BOB, DAVE].map(|who| sign(&scene, who, &motion).unwrap());
    bring(&mut scene, JOHN, &[&copies[0], &copies[1]]).unwrap();
    scene.world.pass(5_000);
    for who in [ALICE, BOB, JOHN, CAROL, DAVE] {
        assert_eq!(scene.world.people[who].node.spaces()[0].name, "Garden");
    }
    scene.assert_converged(&[ALICE, BOB, JOHN, CAROL, DAVE]);
    let mut outside = World::new(&["Eve"]);
    let stranger = outside.people.remove(0).node.sign_motion(&motion);
    assert!(matches!(stranger, Err(CommandError::UnknownSpace { .. })));
}

#[test]
fn all_admins_make_an_owner_and_two_thirds_remove_one_where_that_was_founded_so() {
    let mut scene = board(true);
    let act = ban(&scene, ALICE);
    let motion = propose(&mut scene, BOB, act).unwrap();
    let signed = sign(&scene, CAROL, &motion).unwrap();
    // The only owner stays.
    let last = bring(&mut scene, BOB, &[&signed]).unwrap_err();
    assert_eq!(rule(&last), "R6", "{last}");

    // To make an owner all must sign but the one who becomes it.
    let act = role(&scene, CAROL, Weight::OWNER);
    let motion = propose(&mut scene, BOB, act).unwrap();
    let few = bring(&mut scene, BOB, &[&motion]).unwrap_err();
    assert_eq!(rule(&few), "R6", "{few}");
    let signed = sign(&scene, DAVE, &motion).unwrap();
    bring(&mut scene, BOB, &[&signed]).unwrap();
    scene.world.pass(5_000);
    assert_eq!(weight(&scene, JOHN, CAROL), Some(Weight::OWNER));

    let act = ban(&scene, ALICE);
    let motion = propose(&mut scene, BOB, act).unwrap();
    let signed = sign(&scene, DAVE, &motion).unwrap();
    bring(&mut scene, BOB, &[&signed]).unwrap();
    scene.world.pass(60_000);
    assert_eq!(weight(&scene, JOHN, ALICE), None);
    scene.post(CAROL, "after");
    scene.world.pass(5_000);
    assert!(scene.texts(ALICE).is_empty());
    scene.assert_converged(&[BOB, JOHN, CAROL, DAVE]);
}

#[test]
fn where_it_was_not_founded_so_no_quorum_reaches_an_owner_or_makes_one() {
    let mut scene = board(false);
    for act in [ban(&scene, ALICE), role(&scene, CAROL, Weight::OWNER)] {
        let motion = propose(&mut scene, BOB, act).unwrap();
        let signed = sign(&scene, DAVE, &motion).unwrap();
        let refused = bring(&mut scene, BOB, &[&signed]).unwrap_err();
        assert_eq!(rule(&refused), "R6", "{refused}");
    }
    assert_eq!(weight(&scene, BOB, ALICE), Some(Weight::OWNER));
}

#[test]
fn a_motion_is_trusted_in_nothing() {
    let mut scene = board(false);
    let act = ban(&scene, BOB);
    let motion = propose(&mut scene, CAROL, act).unwrap();
    // Not an act for a quorum.
    let space = scene.space;
    let act = Command::Leave {
        space,
        reason: String::new(),
    };
    let refused = propose(&mut scene, CAROL, act).unwrap_err();
    assert!(matches!(refused, CommandError::Invalid { .. }), "{refused}");
    // Nor one that breaks a limit.
    let Command::Ban { user, .. } = ban(&scene, BOB) else {
        panic!("no ban")
    };
    let act = Command::Kick {
        space,
        user,
        reason: "x".repeat(2_000),
        late: None,
        purge: Vec::new(),
    };
    let refused = propose(&mut scene, CAROL, act).unwrap_err();
    assert!(matches!(refused, CommandError::Invalid { .. }), "{refused}");

    // Turned to another device, its signature is none.
    let mut forged = motion.clone();
    forged.device = scene.world.people[DAVE].node.me().device;
    let refused = sign(&scene, DAVE, &forged).unwrap_err();
    assert!(matches!(refused, CommandError::Invalid { .. }), "{refused}");
    forged = motion;
    forged.space = SpaceId::from_bytes([9; 32]);
    let refused = sign(&scene, DAVE, &forged).unwrap_err();
    assert!(matches!(refused, CommandError::UnknownSpace { .. }));
    let garbage = "decent://quorum/aaaa".parse::<Motion>();
    assert_eq!(garbage, Err(MotionError::Damaged));
}

/// Who signed and was demoted at the same time is subtracted, and then too few are left.
#[test]
fn a_signature_counts_for_nothing_once_its_admin_was_demoted_beside_it() {
    let mut scene = board(false);
    let act = ban(&scene, JOHN);
    let motion = propose(&mut scene, CAROL, act).unwrap();
    let signed = sign(&scene, DAVE, &motion).unwrap();
    scene.world.disconnect(CAROL);
    let command = role(&scene, DAVE, Weight::MEMBER);
    scene.world.command(ALICE, command).unwrap();
    let act = bring(&mut scene, CAROL, &[&signed]).unwrap();
    scene.world.connect(CAROL);
    scene.world.pass(60_000);
    for who in [ALICE, BOB, CAROL] {
        assert_eq!(weight(&scene, who, JOHN), Some(Weight::MEMBER), "{who}");
        let node = &scene.world.people[who].node;
        let Explanation::Accepted { outcome, .. } = node.explain(scene.space, act).unwrap() else {
            panic!("{act} is not here");
        };
        assert_eq!((outcome.state, outcome.rule), ("void", Some("A19")));
    }
    scene.assert_converged(&[ALICE, BOB, CAROL]);
}
