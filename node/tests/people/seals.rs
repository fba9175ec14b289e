//! Making the past final: by hand and by the calendar (B9).

use node::audit::Explanation;
use node::view::PostState;
use node::{Answer, Command, CommandError, OpId};
use oplog::Kind;

use crate::scene::{ALICE, BOB, JOHN, Scene, op, scene};

const HOUR_MS: u64 = 3_600_000;
const DAY_MS: u64 = 24 * HOUR_MS;

fn seal(scene: &mut Scene, who: usize) -> Result<OpId, CommandError> {
    let seal = Command::Seal { space: scene.space };
    scene.world.command(who, seal).map(op)
}

fn seal_every(scene: &mut Scene, commits: u32) {
    let policy = Command::SetPolicy {
        space: scene.space,
        name: None,
        kick_late: None,
        ban_late: None,
        seal_every: Some(commits),
    };
    scene.world.command(ALICE, policy).unwrap();
}

fn rekey(scene: &mut Scene, who: usize) {
    let rekey = Command::UpdateKeys { space: scene.space };
    scene.world.command(who, rekey).unwrap();
    scene.world.pass(1_000);
}

/// The Seals of a Space: who wrote each.
fn seals(scene: &Scene, by: usize) -> Vec<usize> {
    let node = &scene.world.people[by].node;
    let log = node.audit_log(scene.space, 1_000).unwrap();
    let seals = log.iter().filter(|o| o.kind == Kind::Seal.name());
    let who = |author| {
        let people = scene.world.people.iter();
        people.map(|p| p.node.me().user).position(|u| u == author)
    };
    seals.map(|o| who(o.author).unwrap()).collect()
}

fn kick(scene: &mut Scene, by: usize, whom: usize) -> OpId {
    let kick = Command::Kick {
        space: scene.space,
        user: scene.world.people[whom].node.me().user,
        reason: String::new(),
        late: None,
        purge: Vec::new(),
    };
    op(scene.world.command(by, kick).unwrap())
}

fn state(scene: &Scene, by: usize, post: OpId) -> PostState {
    let node = &scene.world.people[by].node;
    node.post(scene.space, post).unwrap().state
}

#[test]
fn what_a_seal_does_not_name_of_a_removed_person_is_refused_for_good() {
    let mut scene = scene();
    scene.post(JOHN, "seen by Bob");
    scene.world.pass(5_000);
    // What John says next reaches Alice alone, before anybody seals.
    scene.world.disconnect(BOB);
    let named = scene.post(JOHN, "late, and named");
    scene.world.pass(5_000);
    scene.world.disconnect(JOHN);
    let unnamed = scene.post(JOHN, "late, and too late");
    scene.world.disconnect(ALICE);
    let kicked = kick(&mut scene, BOB, JOHN);
    scene.world.connect(BOB);
    scene.world.connect(ALICE);
    scene.world.pass(60_000);
    let shown = state(&scene, BOB, named);
    assert!(matches!(shown, PostState::Late { .. }), "{shown:?}");

    // Not before the third day.
    let early = seal(&mut scene, ALICE).unwrap();
    let node = &scene.world.people[ALICE].node;
    assert_eq!(node.seal(scene.space).unwrap().unwrap().closed, 0);
    scene.world.sleep(3 * DAY_MS + HOUR_MS);
    scene.world.pass(60_000);
    let closing = seal(&mut scene, ALICE).unwrap();
    assert_ne!(early, closing);
    let node = &scene.world.people[ALICE].node;
    let view = node.seal(scene.space).unwrap().unwrap();
    assert_eq!((view.op, view.closed), (closing, 1));
    scene.world.pass(60_000);

    scene.world.connect(JOHN);
    scene.world.pass(120_000);
    for who in [ALICE, BOB] {
        // What a Seal names it stands by.
        assert_eq!(state(&scene, who, named), PostState::Normal, "{who}");
        let refused = PostState::Refused {
            rule: "D3",
            by: Some(closing),
        };
        assert_eq!(state(&scene, who, unnamed), refused, "{who}");
    }
    scene.assert_converged(&[ALICE, BOB]);

    // The audit says so: of the Seal, and of what it closed.
    let node = &scene.world.people[BOB].node;
    for (what, words) in [
        (closing, "it closes Bob's kick"),
        (kicked, "closed by Alice's seal"),
    ] {
        let Explanation::Accepted { steps, .. } = node.explain(scene.space, what).unwrap() else {
            panic!("{what} is not here");
        };
        assert!(steps.iter().any(|s| s.contains(words)), "{steps:?}");
    }
}

/// What stands behind a click is not named: it ends with the Seal, unless a moderator attested it.
#[test]
fn a_seal_ends_what_is_quarantined_and_keeps_what_was_attested() {
    let mut scene = scene();
    scene.world.disconnect(BOB);
    let attested = scene.post(JOHN, "attested");
    let quarantined = scene.post(JOHN, "behind a click");
    scene.world.pass(5_000);
    scene.world.disconnect(ALICE);
    let ban = Command::Ban {
        space: scene.space,
        user: scene.world.people[JOHN].node.me().user,
        reason: String::new(),
        late: None,
        purge: Vec::new(),
    };
    scene.world.command(BOB, ban).unwrap();
    scene.world.connect(BOB);
    scene.world.connect(ALICE);
    scene.world.pass(60_000);
    let command = Command::Attest {
        space: scene.space,
        target: attested,
    };
    scene.world.command(BOB, command).unwrap();
    scene.world.sleep(3 * DAY_MS + HOUR_MS);
    scene.world.pass(60_000);
    let closing = seal(&mut scene, ALICE).unwrap();
    scene.world.pass(60_000);
    for who in [ALICE, BOB] {
        assert_eq!(state(&scene, who, attested), PostState::Normal, "{who}");
        let refused = PostState::Refused {
            rule: "D3",
            by: Some(closing),
        };
        assert_eq!(state(&scene, who, quarantined), refused, "{who}");
    }
    let command = Command::Attest {
        space: scene.space,
        target: quarantined,
    };
    let too_late = scene.world.command(BOB, command).unwrap_err();
    assert!(too_late.to_string().contains("seal"), "{too_late}");
    scene.assert_converged(&[ALICE, BOB]);
}

#[test]
fn who_may_set_policies_seals_and_only_what_is_new() {
    let mut scene = scene();
    let refused = seal(&mut scene, JOHN).unwrap_err();
    assert!(
        matches!(refused, CommandError::NotAllowed { rule: "R6", .. }),
        "{refused}"
    );
    seal(&mut scene, BOB).unwrap();
    scene.world.pass(5_000);
    let again = seal(&mut scene, ALICE).unwrap_err();
    assert!(
        matches!(again, CommandError::NotAllowed { rule: "K8", .. }),
        "{again}"
    );
    rekey(&mut scene, JOHN);
    seal(&mut scene, ALICE).unwrap();
    scene.world.pass(5_000);
    scene.assert_converged(&[ALICE, BOB, JOHN]);
}

/// An admin who removed somebody needs a witness, so that two admins cannot close at once.
#[test]
fn an_admin_closes_nothing_that_nobody_else_followed() {
    let mut scene = scene();
    scene.world.disconnect(ALICE);
    kick(&mut scene, BOB, JOHN);
    scene.world.sleep(4 * DAY_MS);
    scene.world.pass(60_000);
    rekey(&mut scene, BOB);
    seal(&mut scene, BOB).unwrap();
    let node = &scene.world.people[BOB].node;
    assert_eq!(node.seal(scene.space).unwrap().unwrap().closed, 0);
}

#[test]
fn clients_seal_by_themselves_in_turns_owners_first() {
    let mut scene = scene();
    seal_every(&mut scene, 2);
    for who in [ALICE, BOB, JOHN] {
        rekey(&mut scene, who);
    }
    scene.world.pass(12 * HOUR_MS);
    assert!(seals(&scene, JOHN).is_empty(), "too young to be final");
    scene.world.pass(14 * HOUR_MS);
    assert_eq!(seals(&scene, JOHN), [ALICE]);

    scene.world.disconnect(ALICE);
    rekey(&mut scene, BOB);
    rekey(&mut scene, JOHN);
    scene.world.pass(26 * HOUR_MS);
    // The newest first.
    assert_eq!(seals(&scene, JOHN), [BOB, ALICE]);
    scene.world.connect(ALICE);
    scene.world.pass(60_000);
    scene.assert_converged(&[ALICE, BOB, JOHN]);
}

#[test]
fn a_policy_switches_it_off() {
    let mut scene = scene();
    seal_every(&mut scene, 0);
    for who in [ALICE, BOB, JOHN] {
        rekey(&mut scene, who);
    }
    scene.world.sleep(9 * DAY_MS);
    scene.world.pass(3 * HOUR_MS);
    assert!(seals(&scene, ALICE).is_empty());
    seal(&mut scene, ALICE).unwrap();
}

#[test]
fn a_quiet_space_is_sealed_after_a_week_and_a_removal_closed_after_a_month() {
    let mut scene = scene();
    scene.post(JOHN, "before");
    scene.world.pass(5_000);
    let kicked = kick(&mut scene, BOB, JOHN);
    scene.world.pass(60_000);
    scene.world.sleep(8 * DAY_MS);
    scene.world.pass(3 * HOUR_MS);
    assert_eq!(seals(&scene, BOB), [ALICE]);
    let closed = |scene: &Scene| {
        let node = &scene.world.people[BOB].node;
        node.seal(scene.space).unwrap().unwrap().closed
    };
    assert_eq!(closed(&scene), 0);
    scene.world.sleep(23 * DAY_MS);
    scene.world.pass(3 * HOUR_MS);
    assert_eq!(closed(&scene), 1);
    let node = &scene.world.people[BOB].node;
    let Explanation::Accepted { steps, .. } = node.explain(scene.space, kicked).unwrap() else {
        panic!("{kicked} is not here");
    };
    assert!(steps.iter().any(|s| s.contains("closed by Alice's seal")));
    assert_eq!(scene.texts(BOB), ["before"]);
    scene.assert_converged(&[ALICE, BOB]);
}

#[test]
fn the_policy_has_a_limit() {
    let mut scene = scene();
    let policy = Command::SetPolicy {
        space: scene.space,
        name: None,
        kick_late: None,
        ban_late: None,
        seal_every: Some(10_001),
    };
    let refused = scene.world.command(ALICE, policy).unwrap_err();
    assert!(matches!(refused, CommandError::Invalid { .. }), "{refused}");
    seal_every(&mut scene, 10_000);
    assert!(matches!(
        scene
            .world
            .command(ALICE, Command::Seal { space: scene.space }),
        Ok(Answer::Op(_))
    ));
}
