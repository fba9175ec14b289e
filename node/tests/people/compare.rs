//! Relays that lose, withhold and lie: comparing finds it, and nothing a relay says does harm.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::rc::Rc;

use crate::mend::damage;
use crate::scene::{ALICE, BOB, JOHN, Scene, invite, join, scene};
use crate::world::World;
use net::wire::{ErrorCode, Request, Response, Sealed};
use node::{Answer, Command};

const HOUR: u64 = 3_600_000;

fn hashes(scene: &Scene, who: &[usize]) -> BTreeSet<String> {
    who.iter()
        .map(|w| {
            let node = &scene.world.people[*w].node;
            node.state_hash(scene.space).unwrap().to_string()
        })
        .collect()
}

/// Everybody has been online for long enough that the hours so far are settled.
fn settled() -> Scene {
    let mut scene = scene();
    scene.post(ALICE, "before");
    scene.world.sleep(5 * HOUR);
    scene
}

#[test]
fn what_a_relay_lost_is_put_there_again_for_those_who_come_later() {
    let mut scene = settled();
    scene.world.disconnect(JOHN);
    for text in ["one", "two", "three"] {
        scene.post(ALICE, text);
    }
    scene.world.sleep(4 * HOUR);
    // Everything of the last hours is lost; nobody online lacks anything, so nobody asks.
    let from = scene.world.relays[0].taken.len() - 12;
    let mut at = 0;
    scene.world.lose_at(0, |_| {
        at += 1;
        at > from
    });
    scene.world.sleep(2 * HOUR);
    scene.world.disconnect(ALICE);
    scene.world.disconnect(BOB);
    scene.world.connect(JOHN);
    scene.world.pass(10_000);
    assert_eq!(scene.texts(JOHN), ["before", "one", "two", "three"]);
    assert_eq!(hashes(&scene, &[ALICE, BOB, JOHN]).len(), 1);
}

#[test]
fn a_damaged_post_comes_back_from_a_relay_when_nobody_else_has_it() {
    for (restarted, young) in [(false, false), (true, false), (false, true), (true, true)] {
        let mut scene = if young { scene() } else { settled() };
        let before: &[&str] = if young { &[] } else { &["before"] };
        scene.world.disconnect(BOB);
        scene.world.disconnect(JOHN);
        let posts = ["one", "two"].map(|text| scene.post(ALICE, text));
        scene.world.pass(5_000);
        damage(&mut scene, ALICE, posts[0]);
        if restarted {
            scene.world.restart(ALICE);
            scene.world.connect(ALICE);
        }
        assert_eq!(scene.texts(ALICE), [before, &["two"]].concat());
        scene.world.pass(200_000);
        assert_eq!(
            scene.texts(ALICE),
            [before, &["one", "two"]].concat(),
            "{restarted} {young}"
        );
        let status = scene.world.people[ALICE].node.status().unwrap();
        assert_eq!(status.spaces[0].lost, 0);
    }
}

/// It pushes, without what it pushes; asked for that, it says that there is more, and gives nothing.
#[test]
fn a_relay_that_withholds_what_it_tells_of_is_not_asked_without_end() {
    let mut scene = settled();
    scene.world.disconnect(JOHN);
    scene.world.relays[0].withholds = true;
    for text in ["one", "two", "three"] {
        scene.post(ALICE, text);
    }
    scene.world.pass(5_000);
    assert_eq!(scene.texts(BOB), ["before"]);
    let asked = |scene: &Scene| scene.world.relays[0].requests[&BOB];
    // Each time it says that there is something, it is asked for that a few times and not for ever.
    let before = asked(&scene);
    scene.world.pass(300_000);
    let after = asked(&scene) - before;
    assert!(after <= 400, "asked {after} times in 5 minutes");
    scene.world.relays[0].withholds = false;
    scene.world.pass(31_000);
    assert_eq!(scene.texts(BOB), ["before", "one", "two", "three"]);
}

#[test]
fn a_relay_that_calls_a_page_complete_is_found_out() {
    let mut scene = settled();
    scene.world.disconnect(JOHN);
    for text in ["one", "two", "three"] {
        scene.post(ALICE, text);
    }
    scene.world.sleep(4 * HOUR);
    scene.world.disconnect(ALICE);
    scene.world.disconnect(BOB);
    // John is told that there is nothing; only what he compares shows otherwise.
    scene.world.relays[0].silent = true;
    scene.world.relays[0].lie = Some(Box::new(|_, request, response| match request {
        Request::Fetch { .. } => Response::Page {
            items: Vec::new(),
            more: false,
        },
        _ => response,
    }));
    scene.world.connect(JOHN);
    scene.world.pass(10_000);
    assert_eq!(scene.texts(JOHN), ["before", "one", "two", "three"]);
    assert_eq!(hashes(&scene, &[ALICE, BOB, JOHN]).len(), 1);
}

#[test]
fn what_one_of_two_relays_withholds_comes_from_the_other_and_it_is_named() {
    let mut world = World::with_relays(&["Alice", "Bob", "John"], 2);
    for who in [ALICE, BOB, JOHN] {
        world.connect(who);
    }
    let name = "Club".to_owned();
    let Answer::Space(space) = world.command(ALICE, Command::CreateSpace { name }).unwrap() else {
        panic!("no Space");
    };
    let link = invite(&mut world, ALICE, space);
    join(&mut world, BOB, link.clone());
    join(&mut world, JOHN, link);
    let general = world.people[ALICE].node.channels(space).unwrap()[1].id;
    let mut scene = Scene {
        world,
        space,
        general,
        forum: general,
    };
    scene.world.disconnect(JOHN);
    scene.world.sleep(HOUR);
    scene.post(ALICE, "kept from John");
    let both: Vec<BTreeSet<_>> = scene
        .world
        .relays
        .iter()
        .map(|r| {
            r.taken
                .iter()
                .map(|(_, put)| put.verify().unwrap())
                .collect()
        })
        .collect();
    assert!(
        both[0].intersection(&both[1]).count() > 5,
        "the same envelopes go to both"
    );
    scene.world.sleep(4 * HOUR);
    scene.world.relays[1].silent = true;
    scene.world.relays[1].lie = Some(Box::new(|who, request, response| {
        match (who, request, response) {
            (JOHN, Request::Fetch { .. } | Request::FetchIds { .. }, Response::Page { .. }) => {
                Response::Page {
                    items: Vec::new(),
                    more: false,
                }
            }
            // Nothing at all, says the one who withholds: an empty side's answer.
            (JOHN, Request::Neg { frame, .. }, Response::Neg { .. }) => {
                let nothing = net::neg::Items::new([]).unwrap();
                let frame = net::neg::answer(&nothing, frame.as_bytes()).unwrap();
                Response::Neg {
                    frame: Sealed::new(frame),
                }
            }
            (_, _, response) => response,
        }
    }));
    scene.world.disconnect(ALICE);
    scene.world.disconnect(BOB);
    scene.world.connect(JOHN);
    scene.world.pass(10_000);
    assert_eq!(scene.texts(JOHN), ["kept from John"]);
    assert_eq!(hashes(&scene, &[ALICE, BOB, JOHN]).len(), 1);
    let relays = scene.world.people[JOHN].node.relays();
    assert_eq!(relays[0].error, None);
    let error = relays[1]
        .error
        .clone()
        .expect("the one who withholds is named");
    assert!(error.contains("withholds"), "{error}");
}

#[test]
fn nothing_a_relay_claims_in_a_comparison_does_harm() {
    type Claim = fn(&[u8], u64) -> Response;
    fn noise(frame: &[u8], n: u64) -> Response {
        let mut bytes = vec![0x61];
        bytes.extend(frame.iter().rev().map(|b| b.wrapping_add(n as u8)));
        Response::Neg {
            frame: Sealed::new(bytes),
        }
    }
    fn endless(_: &[u8], n: u64) -> Response {
        let items = (0..2_000).map(|i| {
            let id = blake3::hash(&[i as u8, (i >> 8) as u8, n as u8]);
            (i + n, oplog::Digest::from_bytes(*id.as_bytes()))
        });
        let items = net::neg::Items::new(items).unwrap();
        let (_, frame) = net::neg::Reconciler::start(items).unwrap();
        Response::Neg {
            frame: Sealed::new(frame),
        }
    }
    fn claims(frame: &[u8], _: u64) -> Response {
        let items = (0..3_000u64).map(|i| {
            let id = blake3::hash(&i.to_be_bytes());
            (490_000 + i % 100, oplog::Digest::from_bytes(*id.as_bytes()))
        });
        let items = net::neg::Items::new(items).unwrap();
        Response::Neg {
            frame: Sealed::new(net::neg::answer(&items, frame).unwrap()),
        }
    }
    fn echo(frame: &[u8], _: u64) -> Response {
        Response::Neg {
            frame: Sealed::new(frame.to_vec()),
        }
    }
    fn hurry(_: &[u8], _: u64) -> Response {
        ErrorCode::RateLimited.into()
    }
    fn wrong(_: &[u8], _: u64) -> Response {
        Response::Ok
    }
    let cases: [(&str, Claim); 6] = [
        ("noise", noise),
        ("endless", endless),
        ("claims", claims),
        ("echo", echo),
        ("hurry", hurry),
        ("wrong", wrong),
    ];
    for (name, claim) in cases {
        let mut scene = settled();
        scene.world.disconnect(JOHN);
        scene.world.sleep(HOUR);
        let before = hashes(&scene, &[ALICE, BOB, JOHN]);
        let rounds = Rc::new(RefCell::new(0));
        let counted = Rc::clone(&rounds);
        scene.world.relays[0].lie = Some(Box::new(move |_, request, response| match request {
            Request::Neg { frame, .. } => {
                *counted.borrow_mut() += 1;
                claim(frame.as_bytes(), *counted.borrow())
            }
            _ => response,
        }));
        scene.world.connect(JOHN);
        scene.world.pass(5 * 60_000);
        assert!(*rounds.borrow() > 0, "{name}: nothing was compared");
        let sent = scene.world.relays[0].requests[&JOHN];
        assert!(sent < 4_000, "{name}: {sent} requests");
        assert_eq!(hashes(&scene, &[ALICE, BOB, JOHN]), before, "{name}");
        scene.post(BOB, "and on we go");
        assert_eq!(scene.texts(JOHN), ["before", "and on we go"], "{name}");
    }
}

#[test]
fn when_nothing_differs_a_comparison_is_one_exchange_a_tag_and_puts_nothing() {
    let mut scene = settled();
    scene.world.disconnect(JOHN);
    scene.world.sleep(HOUR);
    let rounds = Rc::new(RefCell::new((0, BTreeSet::new(), 0)));
    let counted = Rc::clone(&rounds);
    let puts = scene.world.relays[0].taken.len();
    scene.world.relays[0].lie = Some(Box::new(move |who, request, response| {
        let mut counted = counted.borrow_mut();
        match request {
            Request::Neg { tag, frame, .. } if who == JOHN => {
                counted.0 += 1;
                counted.1.insert(*tag);
                counted.2 = counted.2.max(frame.len());
            }
            Request::FetchIds { .. } => panic!("nothing is missing"),
            _ => {}
        }
        response
    }));
    scene.world.connect(JOHN);
    let (rounds, tags, longest) = &*rounds.borrow();
    assert!(*rounds > 0);
    assert_eq!(*rounds, tags.len(), "one round a tag");
    assert!(*longest < 1_024, "{longest} bytes for a few envelopes");
    let later = scene.world.relays[0].taken.len() - puts;
    assert_eq!(later, 0, "put again what was there");
}

#[test]
fn a_tag_that_a_relay_did_not_subscribe_is_fetched_until_it_does() {
    let mut scene = scene();
    scene.world.disconnect(JOHN);
    // The first answers are lost, and the connection stays up.
    let failed = Rc::new(RefCell::new(0));
    let counted = Rc::clone(&failed);
    scene.world.relays[0].silent = true;
    scene.world.relays[0].lie = Some(Box::new(move |who, request, response| match request {
        Request::Subscribe { .. } if who == JOHN && *counted.borrow() < 3 => {
            *counted.borrow_mut() += 1;
            Response::Error(net::wire::RelayError {
                code: ErrorCode::Internal,
                retry_after_ms: 1_000,
            })
        }
        _ => response,
    }));
    scene.world.connect(JOHN);
    scene.post(ALICE, "not pushed");
    scene.world.pass(40_000);
    assert_eq!(scene.texts(JOHN), ["not pushed"]);
    scene.world.pass(60_000);
    assert_eq!(*failed.borrow(), 3);
    scene.world.relays[0].silent = false;
    scene.post(ALICE, "pushed");
    scene.world.settle();
    assert_eq!(scene.texts(JOHN), ["not pushed", "pushed"]);
}
