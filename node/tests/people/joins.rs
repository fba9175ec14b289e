//! Coming in with a machine that fails at any moment of it.

use crate::scene::{ALICE, BOB, JOHN, invite, join, scene};
use crate::world::World;
use node::view::Membership;
use node::{Answer, Command, SpaceId};

/// Messages that are on their way when somebody joins: more than there ever are.
const STEPS_MAX: usize = 60;

fn is_member(world: &World, who: usize, space: SpaceId) -> bool {
    let spaces = world.people[who].node.spaces();
    spaces
        .iter()
        .any(|s| s.id == space && matches!(s.membership, Membership::Member(_)))
}

/// Kills Bob's node after so many messages, in the middle of joining; he joins again. Returns
/// whether everything had happened before.
fn killed_while_joining(steps: usize) -> bool {
    let mut world = World::new(&["Alice", "Bob"]);
    world.connect(ALICE);
    let name = "Allotment".into();
    let command = Command::CreateSpace { name };
    let Ok(Answer::Space(space)) = world.command(ALICE, command) else {
        panic!("no Space");
    };
    let link = invite(&mut world, ALICE, space);
    world.begin(BOB, Command::Join { link: link.clone() });
    let relays = world.relays.len();
    for relay in 0..relays {
        world.connect_slowly(BOB, relay);
    }
    let over = world.deliver(steps) < steps;
    world.restart(BOB);
    world.connect(BOB);
    if !is_member(&world, BOB, space) {
        let id = world.begin(BOB, Command::Join { link });
        world.settle();
        world.pass(60_000);
        let answer = world.answer(BOB, id).expect("still waiting to be let in");
        assert_eq!(answer.unwrap(), Answer::Joined { space }, "{steps}");
    }
    world.pass(60_000);
    let general = world.people[BOB].node.channels(space).unwrap();
    let post = Command::Post {
        space,
        channel: general.iter().find(|c| c.name == "general").unwrap().id,
        thread: None,
        reply_to: None,
        body: "here".into(),
        attachments: vec![],
    };
    world.command(BOB, post).unwrap();
    let hash = |who: usize| world.people[who].node.state_hash(space).unwrap();
    assert_eq!(hash(ALICE), hash(BOB), "{steps}");
    over
}

#[test]
fn whoever_is_killed_at_any_moment_of_joining_gets_in_by_joining_again() {
    let over = (0..STEPS_MAX).position(killed_while_joining);
    // The request goes out, is answered and followed: that many moments at least.
    assert!(over.is_some_and(|steps| steps > 10), "{over:?}");
}

/// The same for a device that comes back from a backup.
fn killed_while_returning(steps: usize) -> bool {
    let mut scene = scene();
    let space = scene.space;
    scene.post(BOB, "before");
    let backup = scene.world.people[BOB].node.backup().unwrap();
    let words = scene.world.phrase(BOB);
    scene.world.disconnect(BOB);
    scene.world.restore(BOB, &words, &backup);
    scene.world.connect_slowly(BOB, 0);
    let over = scene.world.deliver(steps) < steps;
    scene.world.restart(BOB);
    scene.world.connect(BOB);
    scene.world.pass(60_000);
    assert!(is_member(&scene.world, BOB, space), "{steps}");
    scene.post(BOB, "back");
    scene.assert_converged(&[ALICE, BOB]);
    over
}

#[test]
fn a_device_that_returns_is_let_in_whenever_it_is_killed() {
    let over = (0..STEPS_MAX).position(killed_while_returning);
    assert!(over.is_some_and(|steps| steps > 10), "{over:?}");
}

/// Alice's invite has room, and Bob, whom she kicks, does nothing: his request still lies at the relay.
#[test]
fn who_was_kicked_comes_back_by_a_new_request_only() {
    let mut scene = scene();
    let (space, bob) = (scene.space, scene.world.people[BOB].node.me().user);
    let link = invite(&mut scene.world, ALICE, space);
    let kick = Command::Kick {
        space,
        user: bob,
        reason: String::new(),
        late: None,
        purge: vec![],
    };
    scene.world.command(ALICE, kick).unwrap();
    // Tags change with the kick, and whoever starts anew fetches all of them.
    scene.world.restart(JOHN);
    scene.world.connect(JOHN);
    scene.world.pass(10 * 60_000);
    for who in [ALICE, JOHN] {
        let members = scene.world.people[who].node.members(space).unwrap();
        let inside = |m: &node::view::MemberView| m.user == bob && m.weight.is_some();
        assert!(!members.iter().any(inside), "{who} counts Bob");
    }
    join(&mut scene.world, BOB, link);
    scene.assert_converged(&[ALICE, BOB, JOHN]);
    // Only the secrets of the key package that let him in last are kept.
    let store = scene.world.people[BOB].node.store();
    let kept = mls::stored::list_key_packages(store, &space).unwrap();
    assert_eq!(kept.len(), 1, "{kept:?}");
}
