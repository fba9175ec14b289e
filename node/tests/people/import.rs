//! Exports of a Space taken in: long ones, cut short, and things that are none.

use crate::world::World;
use node::view::Notice;
use node::{Answer, Command, CommandError};
use oplog::payload::{ChannelKind, Weight};
use oplog::testing::{Device, TestSpace};
use oplog::{ChannelId, SignedOp, SpaceId};

const ALICE: usize = 0;
/// More than two slices.
const POSTS: usize = 8_500;

/// A Space that somebody else kept, and its ops, parents first.
fn archive() -> (SpaceId, ChannelId, Vec<Vec<u8>>) {
    let mut space = TestSpace::found(7);
    let owner = space.founder();
    let authors: Vec<Device> = (0..5)
        .map(|n| space.person(&format!("author {n}")).device(0))
        .collect();
    let members: Vec<(&Device, Weight)> = authors.iter().map(|d| (d, Weight::MEMBER)).collect();
    space.add(&owner, &members);
    let devices: Vec<&Device> = authors.iter().collect();
    space.commit(&owner, &devices, &[]).sign();
    let chat = space.channel(&owner, ChannelKind::Chat);
    for n in 0..POSTS {
        space
            .post(&authors[n % 5], chat, &format!("post {n}"))
            .sign();
    }
    let ops = space.ops().iter().map(SignedOp::encode).collect();
    (space.id(), chat, ops)
}

fn bundle(space: SpaceId, ops: &[Vec<u8>]) -> Vec<u8> {
    node::export_of(space, ops.iter().cloned())
}

#[test]
fn a_long_import_goes_slice_by_slice_and_again_after_a_crash() {
    let (space, chat, ops) = archive();
    let all = ops.len() as u64;
    let bundle = bundle(space, &ops);
    let mut world = World::new(&["Alice"]);

    let import = || Command::Import {
        bundle: bundle.clone(),
    };
    let cut_off = world.begin(ALICE, import());
    assert!(
        world.answer(ALICE, cut_off).is_none(),
        "there is more to do"
    );
    world.restart(ALICE);
    let kept = world.people[ALICE]
        .node
        .posts(space, chat, None, POSTS)
        .unwrap();
    assert!(
        kept.len() > 4_000 && kept.len() < POSTS,
        "{} posts",
        kept.len()
    );

    let again = world.begin(ALICE, import());
    world.pass(0);
    let Answer::Imported {
        new,
        known,
        refused,
        ..
    } = world.answer(ALICE, again).expect("it is done").unwrap()
    else {
        panic!("another answer");
    };
    assert_eq!(known, 4_096, "one slice was taken in before the crash");
    assert_eq!(new + known, all);
    assert!(refused.is_empty(), "{refused:?}");
    let told = world.people[ALICE].notices.iter().any(|notice| {
        matches!(notice, Notice::Importing { total, done, .. } if *total == all && *done < all)
    });
    assert!(told, "progress was told");
    let posts = world.people[ALICE]
        .node
        .posts(space, chat, None, POSTS)
        .unwrap();
    assert_eq!(posts.len(), POSTS);
    assert_eq!(posts[POSTS - 1].body, format!("post {}", POSTS - 1));
}

#[test]
fn what_is_no_export_leaves_nothing() {
    let (space, _, ops) = archive();
    let whole = bundle(space, &ops[..20]);
    let without_genesis = bundle(space, &ops[1..20]);
    let other_space = bundle(SpaceId::from_bytes([1; 32]), &ops[..20]);
    let truncated = whole[..whole.len() - 1].to_vec();
    let mut flipped = whole.clone();
    flipped[whole.len() / 2] ^= 1;
    let trailing = [whole.as_slice(), b"x"].concat();
    let mut world = World::new(&["Alice"]);
    for (what, bytes) in [
        ("nothing", Vec::new()),
        ("zeros", vec![0; 1_000]),
        ("only the beginning", b"decent bundle v1".to_vec()),
        ("no founding op", without_genesis),
        ("the ops of another Space", other_space),
        ("truncated", truncated),
        ("one bit flipped", flipped),
        ("more at the end", trailing),
    ] {
        let result = world.command(ALICE, Command::Import { bundle: bytes });
        assert!(
            matches!(result, Err(CommandError::Bundle { .. })),
            "{what}: {result:?}"
        );
        assert!(
            world.people[ALICE].node.spaces().is_empty(),
            "{what} left a Space"
        );
    }
}

#[test]
fn what_of_an_export_cannot_be_read_and_what_waits_for_it_is_told() {
    let (space, chat, mut ops) = archive();
    ops.truncate(60);
    let all = ops.len() as u64;
    let harmed = ops.len() - 40;
    ops[harmed].pop();
    let mut world = World::new(&["Alice"]);
    let import = world.begin(
        ALICE,
        Command::Import {
            bundle: bundle(space, &ops),
        },
    );
    world.pass(0);
    let answer = world.answer(ALICE, import).expect("it is done").unwrap();
    let Answer::Imported {
        new,
        known: 0,
        unreadable: 1,
        waiting,
        refused,
        ..
    } = answer
    else {
        panic!("{answer:?}");
    };
    assert!(refused.is_empty(), "{refused:?}");
    assert!(waiting > 0);
    assert_eq!(new + 1 + waiting, all);
    let posts = world.people[ALICE].node.posts(space, chat, None, POSTS);
    assert!(!posts.unwrap().is_empty());
}
