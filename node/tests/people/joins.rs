//! Coming in with a machine that fails at any moment of it.

use crate::scene::{ALICE, BOB, JOHN, invite, join, scene};
use crate::world::World;
use net::wire::{Request, Response};
use node::view::Membership;
use node::{Answer, Command, InviteLink, SpaceId};

/// Messages that are on their way when somebody joins: more than there ever are.
const STEPS_MAX: usize = 60;

const TWELVE: [&str; 12] = [
    "Alice", "Bob", "John", "Mary", "Ann", "Tom", "Sue", "Max", "Eve", "Joe", "Kim", "Lee",
];

/// Alice is online and founds a Space.
fn founded(mut world: World) -> (World, SpaceId) {
    world.connect(ALICE);
    let name = "Allotment".into();
    let Ok(Answer::Space(space)) = world.command(ALICE, Command::CreateSpace { name }) else {
        panic!("no Space");
    };
    (world, space)
}

fn is_member(world: &World, who: usize, space: SpaceId) -> bool {
    let spaces = world.people[who].node.spaces();
    spaces
        .iter()
        .any(|s| s.id == space && matches!(s.membership, Membership::Member(_)))
}

/// Alice's Space, and two links into it; she is offline, Bob is not.
fn two_links() -> (World, SpaceId, [InviteLink; 2]) {
    let (mut world, space) = founded(World::new(&["Alice", "Bob"]));
    world.connect(BOB);
    let links = [0, 1].map(|_| invite(&mut world, ALICE, space));
    world.disconnect(ALICE);
    (world, space, links)
}

fn asks(world: &World) -> Vec<SpaceId> {
    let asks = world.people[BOB].node.join_statuses();
    asks.into_iter().map(|join| join.space).collect()
}

#[test]
fn who_gave_up_and_asks_again_is_let_in() {
    for again in [0, 1] {
        for answered in [false, true] {
            let case = format!("link {again}, answered: {answered}");
            let (mut world, space, links) = two_links();
            let first = links[0].clone();
            world.begin(BOB, Command::Join { link: first });
            world.settle();
            assert_eq!(asks(&world), [space], "{case}");
            world.command(BOB, Command::CancelJoin { space }).unwrap();
            assert!(asks(&world).is_empty(), "{case}");
            assert!(world.command(BOB, Command::CancelJoin { space }).is_err());
            if answered {
                // Alice finds the first request, and lets in whoever waits no more.
                world.connect(ALICE);
                world.pass(20_000);
                assert_eq!(world.people[ALICE].node.members(space).unwrap().len(), 2);
                assert!(!is_member(&world, BOB, space), "{case}");
            }
            world.restart(BOB);
            world.connect(BOB);
            world.connect(ALICE);
            join(&mut world, BOB, links[again].clone());
            world.pass(60_000);
            assert_eq!(world.people[ALICE].node.members(space).unwrap().len(), 2);
            let hash = |who: usize| world.people[who].node.state_hash(space).unwrap();
            assert_eq!(hash(ALICE), hash(BOB), "{case}");
        }
    }
}

#[test]
fn an_answer_to_an_earlier_link_counts_and_a_refusal_of_it_does_not() {
    let (mut world, space, links) = two_links();
    world.connect(ALICE);
    let invite = links[0].invite;
    let revoke = Command::RevokeInvite { space, invite };
    world.command(ALICE, revoke).unwrap();
    world.disconnect(ALICE);
    for link in &links {
        world.begin(BOB, Command::Join { link: link.clone() });
        world.settle();
    }
    world.connect(ALICE);
    world.pass(20_000);
    assert!(is_member(&world, BOB, space));
    assert!(asks(&world).is_empty());
}

#[test]
fn a_member_who_asks_with_keys_that_nobody_was_given_is_told_so() {
    let (mut world, space, links) = two_links();
    world.connect(ALICE);
    let words = world.phrase(BOB);
    let backup = world.people[BOB].node.backup().unwrap();
    join(&mut world, BOB, links[0].clone());
    // The same person on another device, which knows nothing of the Space.
    world.disconnect(BOB);
    world.restore(BOB, &words, &backup);
    world.connect(BOB);
    let link = links[1].clone();
    let id = world.begin(BOB, Command::Join { link });
    world.settle();
    world.pass(20_000);
    let refused = world.answer(BOB, id).expect("no answer").unwrap_err();
    assert!(
        refused.to_string().contains("a member already"),
        "{refused}"
    );
    assert!(!is_member(&world, BOB, space));
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

/// A clock that is ten minutes slow: what the others write is dated too far ahead to be looked at, and
/// so is the answer to the request. It is the only one, so it waits.
#[test]
fn who_has_a_slow_clock_is_let_in_once_it_is_there() {
    for set_right in [false, true] {
        let (mut world, space, [link, _]) = two_links();
        world.people[BOB].late_ms = 600_000;
        world.begin(BOB, Command::Join { link });
        world.settle();
        world.connect(ALICE);
        world.pass(60_000);
        assert_eq!(world.people[ALICE].node.members(space).unwrap().len(), 2);
        assert!(!is_member(&world, BOB, space));
        world.restart(BOB);
        world.connect(BOB);
        world.disconnect(ALICE);
        let asks = world.people[BOB].node.join_statuses();
        assert_eq!(asks.len(), 1);
        assert_eq!(asks[0].failed, None);
        let until = asks[0].early_until.unwrap();
        let wait = until.as_ms() - (world.now.as_ms() - 600_000);
        assert!((230_000..300_000).contains(&wait), "{wait} ms");
        if set_right {
            world.people[BOB].late_ms = 0;
            world.pass(31_000);
        } else {
            world.pass(wait - 31_000);
            assert!(!is_member(&world, BOB, space));
            world.pass(62_000);
        }
        assert!(is_member(&world, BOB, space));
        assert!(world.people[BOB].node.join_statuses().is_empty());
        world.connect(ALICE);
        world.pass(60_000);
        let hash = |who: usize| world.people[who].node.state_hash(space).unwrap();
        assert_eq!(hash(ALICE), hash(BOB));
    }
}

/// An answer that waits for its time is there, and whoever gave up meanwhile does not come in by it,
/// until they ask again.
#[test]
fn who_gave_up_is_not_let_in_by_an_answer_that_waited() {
    let (mut world, space, [link, _]) = two_links();
    world.people[BOB].late_ms = 600_000;
    world.begin(BOB, Command::Join { link: link.clone() });
    world.settle();
    world.connect(ALICE);
    world.pass(60_000);
    world.command(BOB, Command::CancelJoin { space }).unwrap();
    world.people[BOB].late_ms = 0;
    world.pass(600_000);
    assert!(!is_member(&world, BOB, space));
    join(&mut world, BOB, link);
    world.pass(60_000);
    assert!(is_member(&world, BOB, space));
}

fn epoch(world: &World, who: usize, space: SpaceId) -> u64 {
    let spaces = world.people[who].node.spaces();
    let found = spaces.iter().find(|s| s.id == space);
    found.expect("in the Space").epoch_number
}

/// Twelve people, of whom the first founded a Space and all others ask to come in at the same moment.
/// `opener` says whether the first is there, or only the second, who came in before.
fn crowd(opener: bool) -> (World, SpaceId, u64) {
    let (mut world, space) = founded(World::new(&TWELVE));
    let links = [0, 1].map(|_| invite(&mut world, ALICE, space));
    for who in [BOB, JOHN] {
        world.connect(who);
        join(&mut world, who, links[0].clone());
    }
    if !opener {
        world.disconnect(ALICE);
    }
    let before = epoch(&world, BOB, space);
    let all = JOHN + 1..world.people.len();
    for who in all.clone() {
        world.connect(who);
        let link = links[1].clone();
        world.begin(who, Command::Join { link });
    }
    world.settle();
    world.pass(60_000);
    let commits = epoch(&world, BOB, space) - before;
    for who in all {
        assert!(is_member(&world, who, space), "{who}");
        assert_eq!(epoch(&world, who, space), before + commits, "{who}");
    }
    (world, space, commits)
}

#[test]
fn a_crowd_comes_in_by_few_commits() {
    // The first at once, whoever came in that second together.
    let (world, space, commits) = crowd(true);
    assert!((1..=2).contains(&commits), "{commits} commits");
    let members = world.people[ALICE].node.members(space).unwrap();
    assert_eq!(members.len(), world.people.len());
    // Nobody opened the link who is there: one of the members does it, and the others find it done.
    let (_, _, commits) = crowd(false);
    assert!((1..=2).contains(&commits), "{commits} commits");
}

#[test]
fn who_comes_too_late_for_an_invite_is_told_so_and_keeps_nobody_out() {
    let (mut world, space) = founded(World::new(&TWELVE));
    // For ten, and eleven ask.
    let link = invite(&mut world, ALICE, space);
    let asked: Vec<_> = (1..world.people.len())
        .map(|who| {
            world.connect(who);
            let link = link.clone();
            (who, world.begin(who, Command::Join { link }))
        })
        .collect();
    world.settle();
    world.pass(60_000);
    assert_eq!(world.people[ALICE].node.members(space).unwrap().len(), 11);
    let mut refused = 0;
    for (who, id) in asked {
        match world.answer(who, id).expect("an answer") {
            Ok(_) => assert!(is_member(&world, who, space), "{who}"),
            Err(error) => {
                assert!(error.to_string().contains("used up"), "{error}");
                refused += 1;
            }
        }
    }
    assert_eq!(refused, 1);
}

#[test]
fn an_answer_that_a_relay_forgot_is_given_again_without_another_commit() {
    let (mut world, space, links) = two_links();
    let link = links[0].clone();
    world.begin(BOB, Command::Join { link });
    world.settle();
    world.disconnect(BOB);
    world.connect(ALICE);
    world.pass(20_000);
    let admitted = epoch(&world, ALICE, space);
    assert_eq!(world.people[ALICE].node.members(space).unwrap().len(), 2);
    // It keeps every envelope, and forgets the mailbox with the bundle in it.
    world.lose_at(0, |_| false);
    world.restart(ALICE);
    world.connect(ALICE);
    world.connect(BOB);
    world.pass(60_000);
    assert!(is_member(&world, BOB, space));
    assert_eq!(epoch(&world, ALICE, space), admitted);
    assert_eq!(epoch(&world, BOB, space), admitted);
    let hash = |who: usize| world.people[who].node.state_hash(space).unwrap();
    assert_eq!(hash(ALICE), hash(BOB));
}

#[test]
fn one_relay_that_loses_the_answer_keeps_nobody_out() {
    for bad in [0, 1] {
        let (mut world, space) = founded(World::with_relays(&["Alice", "Bob"], 2));
        world.connect(BOB);
        let link = invite(&mut world, ALICE, space);
        // It says that it took the message, and never gives it.
        world.relays[bad].silent = true;
        world.relays[bad].lie = Some(Box::new(|who, request, response| match request {
            Request::MboxSubscribe { .. } if who == BOB => Response::Ok,
            _ => response,
        }));
        join(&mut world, BOB, link);
        assert!(is_member(&world, BOB, space), "relay {bad}");
    }
}

#[test]
fn a_request_that_a_relay_took_and_nobody_heard_of_is_put_again() {
    let (mut world, space, links) = two_links();
    world.connect(ALICE);
    world.relays[0].silent = true;
    let link = links[0].clone();
    world.begin(BOB, Command::Join { link });
    world.settle();
    world.relays[0].silent = false;
    world.pass(9 * 60_000);
    assert!(!is_member(&world, BOB, space), "nobody could know");
    world.pass(3 * 60_000);
    assert!(is_member(&world, BOB, space));
}
