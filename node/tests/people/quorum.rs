//! Admins who decide together, with signatures that travel as texts (B4, *Quorums*).

use node::audit::Explanation;
use node::quorum::{Motion, MotionError, MotionRefused};
use node::view::{KeptMotion, MotionState};
use node::{
    Answer, Command, CommandError, DeviceId, MOTIONS_KEPT_MAX, OpId, SpaceId, UserId, Weight,
};

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
    propose_for(scene, who, act, None)
}

/// Proposes what another device brings.
fn propose_for(
    scene: &mut Scene,
    who: usize,
    act: Command,
    device: Option<DeviceId>,
) -> Result<Motion, CommandError> {
    let propose = Command::ProposeQuorum {
        space: scene.space,
        act: Box::new(act),
        valid_secs: DAY_SECS,
        device,
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

/// What came of the motions that somebody keeps, newest first.
fn kept(scene: &Scene, who: usize) -> Vec<KeptMotion> {
    scene.world.people[who].node.motions(scene.space).unwrap()
}

fn keep(scene: &mut Scene, who: usize, motion: &Motion) -> Result<(), CommandError> {
    let motion = Box::new(motion.clone());
    let keep = Command::KeepMotion { motion };
    scene.world.command(who, keep).map(drop)
}

fn refused(error: CommandError) -> MotionRefused {
    match error {
        CommandError::Motion(refused) => refused,
        other => panic!("{other}"),
    }
}

fn rule(error: &CommandError) -> &'static str {
    match error {
        CommandError::NotAllowed { rule, .. } => rule,
        CommandError::Motion(refused) => refused.rule().unwrap_or(""),
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
    let device = scene.world.people[CAROL].node.me().device;
    assert_eq!(refused(elsewhere), MotionRefused::OtherDevice { device });
    let act = ban(&scene, JOHN);
    let other = propose(&mut scene, CAROL, act).unwrap();
    let mixed = bring(&mut scene, CAROL, &[&signed, &other]).unwrap_err();
    assert_eq!(refused(mixed), MotionRefused::NotCopies);
    let none = bring(&mut scene, CAROL, &[]).unwrap_err();
    assert_eq!(refused(none), MotionRefused::Nothing);

    // In a day it is over.
    scene.world.sleep((DAY_SECS + 1) * 1_000);
    let over = bring(&mut scene, CAROL, &[&signed]).unwrap_err();
    assert_eq!(refused(over), MotionRefused::Over);
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
    let leave = propose(&mut scene, CAROL, act).unwrap_err();
    assert_eq!(refused(leave), MotionRefused::NotForQuorum);
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
    let long = propose(&mut scene, CAROL, act).unwrap_err();
    assert!(matches!(long, CommandError::Invalid { .. }), "{long}");

    // Turned to another device, its signature is none.
    let mut forged = motion.clone();
    forged.device = scene.world.people[DAVE].node.me().device;
    let turned = sign(&scene, DAVE, &forged).unwrap_err();
    assert_eq!(refused(turned), MotionRefused::BadSignature);
    assert!(keep(&mut scene, DAVE, &forged).is_err());
    assert!(kept(&scene, DAVE).is_empty());
    forged = motion;
    forged.space = SpaceId::from_bytes([9; 32]);
    let unknown = CommandError::UnknownSpace {
        space: forged.space,
    }
    .to_string();
    for elsewhere in [
        sign(&scene, DAVE, &forged).map(drop),
        bring(&mut scene, CAROL, &[&forged]).map(drop),
        keep(&mut scene, DAVE, &forged),
    ] {
        assert_eq!(elsewhere.unwrap_err().to_string(), unknown);
    }
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

#[test]
fn motions_are_kept_by_whoever_proposed_signed_or_was_shown_them() {
    let mut scene = board(false);
    let act = ban(&scene, BOB);
    let motion = propose(&mut scene, CAROL, act).unwrap();
    keep(&mut scene, JOHN, &motion).unwrap();
    let signed = sign(&scene, DAVE, &motion).unwrap();
    keep(&mut scene, DAVE, &signed).unwrap();
    for (who, proposed, signatures, state) in [
        (CAROL, true, 1, MotionState::Open),
        (JOHN, false, 1, MotionState::Open),
        (DAVE, false, 2, MotionState::Ready),
    ] {
        let kept = kept(&scene, who);
        let [one] = kept.as_slice() else {
            panic!("{who}: {kept:?}")
        };
        assert_eq!(
            (one.proposed, one.view.signed.len(), &one.view.state),
            (proposed, signatures, &state),
            "{who}"
        );
        assert_eq!((one.view.id, one.view.needs), (motion.id(), 2));
        assert_eq!(one.view.may_bring, who == CAROL);
    }
    // Copies add up, and an earlier one takes nothing away.
    keep(&mut scene, CAROL, &signed).unwrap();
    keep(&mut scene, CAROL, &motion).unwrap();
    assert_eq!(kept(&scene, CAROL)[0].view.state, MotionState::Ready);
    scene.world.restart(CAROL);
    scene.world.connect(CAROL);
    let whole = kept(&scene, CAROL).remove(0);
    assert_eq!(
        (whole.view.state, whole.proposed),
        (MotionState::Ready, true)
    );

    // The signatures that are kept count when it is brought.
    let op = bring(&mut scene, CAROL, &[&motion]).unwrap();
    scene.world.pass(30_000);
    for who in [CAROL, JOHN, DAVE] {
        let taken = MotionState::Taken { op, void: None };
        assert_eq!(kept(&scene, who)[0].view.state, taken, "{who}");
    }
    let again = bring(&mut scene, CAROL, &[&motion]).unwrap_err();
    assert_eq!(refused(again), MotionRefused::Taken { op });
}

#[test]
fn a_kept_motion_says_that_it_is_over_or_was_void_and_what_is_over_goes_first() {
    let mut scene = board(false);
    let act = ban(&scene, JOHN);
    let motion = propose(&mut scene, CAROL, act).unwrap();
    let signed = sign(&scene, DAVE, &motion).unwrap();
    scene.world.disconnect(CAROL);
    let command = role(&scene, DAVE, Weight::MEMBER);
    scene.world.command(ALICE, command).unwrap();
    let op = bring(&mut scene, CAROL, &[&signed]).unwrap();
    scene.world.connect(CAROL);
    scene.world.pass(60_000);
    let state = kept(&scene, CAROL).remove(0).view.state;
    let MotionState::Taken {
        op: by,
        void: Some(why),
    } = state
    else {
        panic!("{state:?}")
    };
    assert_eq!(by, op);
    assert!(why.contains("quorum") || why.contains("sign"), "{why}");

    // A signature of who is no admin any more is not counted, and the rest stays.
    let act = ban(&scene, JOHN);
    let motion = propose(&mut scene, CAROL, act).unwrap();
    let signed = sign(&scene, BOB, &motion).unwrap();
    keep(&mut scene, CAROL, &signed).unwrap();
    assert_eq!(kept(&scene, CAROL)[0].view.signed.len(), 2);
    let command = role(&scene, BOB, Weight::MEMBER);
    scene.world.command(ALICE, command).unwrap();
    scene.world.pass(5_000);
    assert_eq!(kept(&scene, CAROL)[0].view.signed.len(), 1);
    let spoilt = bring(&mut scene, CAROL, &[&signed]).unwrap_err();
    assert!(matches!(refused(spoilt), MotionRefused::NoVote { .. }));

    scene.world.sleep((DAY_SECS + 1) * 1_000);
    assert_eq!(kept(&scene, CAROL)[0].view.state, MotionState::Over);
    for _ in 0..MOTIONS_KEPT_MAX {
        let act = ban(&scene, JOHN);
        propose(&mut scene, CAROL, act).unwrap();
    }
    let all = kept(&scene, CAROL);
    assert_eq!(all.len(), MOTIONS_KEPT_MAX);
    assert!(all.iter().all(|one| one.view.state == MotionState::Open));
}

/// The signatures name who brings it; the proposer chooses, before anybody signs.
#[test]
fn the_proposer_may_name_another_device_that_brings_it() {
    let mut scene = board(false);
    let john = scene.world.people[JOHN].node.me().device;
    let act = ban(&scene, BOB);
    let motion = propose_for(&mut scene, CAROL, act, Some(john)).unwrap();
    let signed = sign(&scene, DAVE, &motion).unwrap();
    let own = bring(&mut scene, CAROL, &[&signed]).unwrap_err();
    assert_eq!(refused(own), MotionRefused::OtherDevice { device: john });
    bring(&mut scene, JOHN, &[&signed]).unwrap();
    scene.world.pass(30_000);
    assert_eq!(weight(&scene, ALICE, BOB), None);

    let device = DeviceId::from_bytes([9; 32]);
    let act = ban(&scene, JOHN);
    let nobody = propose_for(&mut scene, CAROL, act, Some(device)).unwrap_err();
    assert_eq!(refused(nobody), MotionRefused::NoDevice { device });
}
