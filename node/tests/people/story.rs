//! Three people and a relay: founding, joining, talking, leaving the network and coming back.

use crate::scene::{ALICE, BOB, JOHN, invite, join, scene};
use crate::world::World;
use node::view::{Membership, PostState};
use node::{Answer, ChannelKind, Command, CommandError, PurgeFrom};
use oplog::Scope;
use oplog::payload::Weight;

#[test]
fn three_people_meet_and_talk() {
    let mut scene = scene();
    scene.post(ALICE, "hello");
    scene.post(BOB, "hi Alice");
    scene.post(JOHN, "hi both");
    for who in [ALICE, BOB, JOHN] {
        assert_eq!(scene.texts(who), ["hello", "hi Alice", "hi both"], "{who}");
    }
    scene.assert_converged(&[ALICE, BOB, JOHN]);
}

#[test]
fn what_is_written_offline_arrives_later_and_what_was_missed_is_fetched() {
    let mut scene = scene();
    scene.world.disconnect(JOHN);
    scene.post(JOHN, "on the train");
    scene.post(ALICE, "while John is away");
    scene.world.sleep(3 * 86_400_000);
    scene.post(BOB, "three days later");
    scene.world.restart(JOHN);
    scene.world.connect(JOHN);
    scene.world.pass(10_000);
    let mut texts = scene.texts(ALICE);
    texts.sort();
    assert_eq!(
        texts,
        ["on the train", "three days later", "while John is away"]
    );
    scene.assert_converged(&[ALICE, BOB, JOHN]);
}

#[test]
fn a_removed_member_is_out_of_the_group_and_reads_no_more() {
    let mut scene = scene();
    let seen = scene.post(JOHN, "case A");
    let john = scene.world.people[JOHN].node.me().user;
    scene.world.disconnect(JOHN);
    let unseen = scene.post(JOHN, "case B");
    let kick = Command::Kick {
        space: scene.space,
        user: john,
        reason: "spam".into(),
        late: None,
        purge: vec![],
    };
    scene.world.command(BOB, kick).unwrap();
    let after = scene.post(ALICE, "without John");
    scene.world.connect(JOHN);
    scene.world.pass(10_000);
    for who in [ALICE, BOB] {
        let node = &scene.world.people[who].node;
        assert_eq!(
            node.post(scene.space, seen).unwrap().state,
            PostState::Normal,
            "A at {who}"
        );
        let late = node.post(scene.space, unseen).unwrap().state;
        assert!(
            matches!(late, PostState::Late { .. }),
            "B at {who}: {late:?}"
        );
    }
    assert!(
        scene.world.people[JOHN]
            .node
            .post(scene.space, after)
            .is_err()
    );
    let refused = scene.world.command(
        JOHN,
        Command::Leave {
            space: scene.space,
            reason: String::new(),
        },
    );
    assert!(refused.is_err());
    scene.assert_converged(&[ALICE, BOB]);
}

#[test]
fn forum_threads_edits_reactions_pins_and_tombstones() {
    let mut scene = scene();
    let (space, forum) = (scene.space, scene.forum);
    let thread = Command::CreateThread {
        space,
        channel: forum,
        title: "Seeds".into(),
        tags: vec!["spring".into()],
        body: "Who has some?".into(),
        attachments: vec![],
    };
    let Answer::Op(thread) = scene.world.command(ALICE, thread).unwrap() else {
        panic!()
    };
    let reply = Command::Post {
        space,
        channel: forum,
        thread: Some(thread),
        reply_to: Some(thread),
        body: "me".into(),
        attachments: vec![],
    };
    let Answer::Op(reply) = scene.world.command(JOHN, reply).unwrap() else {
        panic!()
    };
    scene
        .world
        .command(
            JOHN,
            Command::Edit {
                space,
                target: reply,
                body: "I do".into(),
            },
        )
        .unwrap();
    let react = Command::React {
        space,
        target: reply,
        emoji: "🌱".into(),
        add: true,
    };
    scene.world.command(ALICE, react).unwrap();
    scene
        .world
        .command(
            BOB,
            Command::Pin {
                space,
                target: reply,
                pin: true,
            },
        )
        .unwrap();
    let view = scene.world.people[ALICE].node.post(space, reply).unwrap();
    assert_eq!(
        (view.body.as_str(), view.history.len(), view.pinned),
        ("I do", 1, true)
    );
    assert_eq!(view.reactions.len(), 1);
    let threads = scene.world.people[JOHN]
        .node
        .threads(space, forum, 10)
        .unwrap();
    assert_eq!(
        (threads[0].title.as_str(), threads[0].replies),
        ("Seeds", 1)
    );
    let own = scene.world.command(
        JOHN,
        Command::Delete {
            space,
            target: thread,
            reason: "no".into(),
        },
    );
    assert!(own.is_err(), "a member hides nobody's thread");
    scene
        .world
        .command(
            BOB,
            Command::Delete {
                space,
                target: reply,
                reason: "off topic".into(),
            },
        )
        .unwrap();
    for who in [ALICE, BOB, JOHN] {
        let state = scene.world.people[who]
            .node
            .post(space, reply)
            .unwrap()
            .state;
        assert!(matches!(state, PostState::Hidden { .. }), "{state:?}");
    }
    scene
        .world
        .command(
            BOB,
            Command::Restore {
                space,
                target: reply,
            },
        )
        .unwrap();
    assert_eq!(
        scene.world.people[JOHN]
            .node
            .post(space, reply)
            .unwrap()
            .state,
        PostState::Normal
    );
    scene.assert_converged(&[ALICE, BOB, JOHN]);
}

#[test]
fn an_invite_works_while_its_author_is_offline() {
    let mut world = World::new(&["Alice", "Bob", "John"]);
    for who in [ALICE, BOB, JOHN] {
        world.connect(who);
    }
    let Answer::Space(space) = world
        .command(
            ALICE,
            Command::CreateSpace {
                name: "Club".into(),
            },
        )
        .unwrap()
    else {
        panic!("no Space");
    };
    let link = invite(&mut world, ALICE, space);
    join(&mut world, BOB, link.clone());
    world.disconnect(ALICE);
    join(&mut world, JOHN, link);
    world.connect(ALICE);
    world.pass(5_000);
    let hashes: Vec<_> = [ALICE, BOB, JOHN]
        .map(|who| world.people[who].node.state_hash(space).unwrap())
        .to_vec();
    assert!(hashes.windows(2).all(|p| p[0] == p[1]));
}

#[test]
fn the_relay_sees_no_id_of_ours() {
    let mut scene = scene();
    let op = scene.post(ALICE, "a secret");
    let node = &scene.world.people[ALICE].node;
    let me = node.me();
    let summary = node.spaces().remove(0);
    let needles: [&[u8]; 6] = [
        scene.space.as_bytes(),
        op.as_bytes(),
        me.user.as_bytes(),
        me.device.as_bytes(),
        summary.epoch.as_bytes(),
        b"a secret",
    ];
    for bytes in &scene.world.relay_saw {
        for needle in needles {
            assert!(!bytes.windows(needle.len()).any(|w| w == needle));
        }
    }
    assert!(scene.world.relay_saw.len() > 20);
}

#[test]
fn somebody_who_lost_their_device_comes_back_with_words_and_backup() {
    let mut scene = scene();
    scene.post(JOHN, "from the old phone");
    let phrase = scene.world.phrase(JOHN);
    let backup = scene.world.people[JOHN].node.backup().unwrap();
    scene.post(ALICE, "after the backup");
    scene.world.disconnect(JOHN);
    let user = scene.world.people[JOHN].node.me().user;
    let device = scene.world.people[JOHN].node.me().device;
    scene.world.restore(JOHN, &phrase, &backup);
    assert_eq!(
        scene.texts(JOHN),
        ["from the old phone"],
        "history is there at once"
    );
    scene.world.connect(JOHN);
    scene.world.pass(60_000);
    let me = scene.world.people[JOHN].node.me();
    assert_eq!(me.user, user);
    assert_ne!(me.device, device, "a restored profile is a new device");
    scene.post(JOHN, "from the new phone");
    scene.world.pass(5_000);
    for who in [ALICE, BOB, JOHN] {
        assert_eq!(
            scene.texts(who),
            [
                "from the old phone",
                "after the backup",
                "from the new phone"
            ],
            "{who}"
        );
    }
    scene.assert_converged(&[ALICE, BOB, JOHN]);
}

#[test]
fn an_invite_with_approval_waits_for_a_moderator() {
    let mut world = World::new(&["Alice", "Bob"]);
    world.connect(ALICE);
    world.connect(BOB);
    let name = Command::CreateSpace {
        name: "Club".into(),
    };
    let Answer::Space(space) = world.command(ALICE, name).unwrap() else {
        panic!("no Space");
    };
    let command = Command::CreateInvite {
        space,
        weight: Weight::GUEST,
        max_uses: 1,
        valid_secs: 3_600,
        channel: None,
        approval: true,
    };
    let Answer::Invite { link, .. } = world.command(ALICE, command).unwrap() else {
        panic!("no invite");
    };
    let id = world.begin(BOB, Command::Join { link });
    world.settle();
    world.pass(30_000);
    assert!(world.answer(BOB, id).is_none(), "nobody has approved");
    world.restart(ALICE);
    let requests = world.people[ALICE].node.join_requests(space).unwrap();
    assert_eq!(requests.len(), 1, "the request outlives the process");
    world.connect(ALICE);
    let user = requests[0].user;
    world
        .command(ALICE, Command::Approve { space, user })
        .unwrap();
    world.pass(5_000);
    assert_eq!(
        world.answer(BOB, id).unwrap().unwrap(),
        Answer::Joined { space }
    );
    let channel = world.people[BOB].node.channels(space).unwrap()[1].id;
    let post = Command::Post {
        space,
        channel,
        thread: None,
        reply_to: None,
        body: "may I?".into(),
        attachments: vec![],
    };
    assert!(world.command(BOB, post).is_err(), "a guest reads");
}

#[test]
fn an_invite_that_is_used_up_or_expired_says_so() {
    let mut world = World::new(&["Alice", "Bob", "John"]);
    for who in [ALICE, BOB, JOHN] {
        world.connect(who);
    }
    let name = Command::CreateSpace {
        name: "Club".into(),
    };
    let Answer::Space(space) = world.command(ALICE, name).unwrap() else {
        panic!("no Space");
    };
    let command = Command::CreateInvite {
        space,
        weight: Weight::MEMBER,
        max_uses: 1,
        valid_secs: 3_600,
        channel: None,
        approval: false,
    };
    let Answer::Invite { link, .. } = world.command(ALICE, command).unwrap() else {
        panic!("no invite");
    };
    join(&mut world, BOB, link.clone());
    let id = world.begin(JOHN, Command::Join { link });
    world.settle();
    world.pass(20_000);
    let refused = world
        .answer(JOHN, id)
        .expect("no answer")
        .unwrap_err()
        .to_string();
    assert!(refused.contains("used up"), "{refused}");
}

#[test]
fn a_member_gives_what_a_wiped_relay_has_lost() {
    let mut scene = scene();
    scene.world.disconnect(JOHN);
    for text in ["one", "two", "three"] {
        scene.post(ALICE, text);
    }
    scene.world.wipe_relay();
    scene.world.connect(JOHN);
    scene.world.pass(180_000);
    assert_eq!(scene.texts(JOHN), ["one", "two", "three"]);
    scene.assert_converged(&[ALICE, BOB, JOHN]);
}

#[test]
fn who_missed_a_commit_that_a_relay_lost_is_given_it() {
    let mut scene = scene();
    scene.world.disconnect(JOHN);
    for (who, text) in [(BOB, "one"), (ALICE, "two")] {
        let update = Command::UpdateKeys { space: scene.space };
        scene.world.command(who, update).unwrap();
        scene.post(ALICE, text);
    }
    scene.world.wipe_relay();
    scene.world.connect(JOHN);
    scene.world.pass(180_000);
    assert_eq!(scene.texts(JOHN), ["one", "two"]);
    scene.assert_converged(&[ALICE, BOB, JOHN]);
}

/// Whichever records of whose log a disk has damaged, a restart notices and members give them again.
#[test]
fn a_damaged_log_is_given_again_by_members() {
    for who in [ALICE, JOHN] {
        let records = {
            let scene = scene();
            let store = scene.world.people[who].node.store();
            store.records(&scene.space).len()
        };
        let every = 0..records;
        let mut harms: Vec<Vec<usize>> = every.clone().map(|at| vec![at]).collect();
        harms.push(every.collect());
        for harmed in harms {
            let mut scene = scene();
            scene.post(who, "before");
            let space = scene.space;
            scene.world.restart_after(who, |store| {
                for at in &harmed {
                    store.damage(&space, *at);
                }
            });
            scene.post(BOB, "meanwhile");
            scene.world.connect(who);
            scene.world.pass(180_000);
            let people = &scene.world.people;
            let missing = people[who].node.status().unwrap();
            let all = people[BOB].node.status().unwrap();
            let ops = |status: &node::view::Status| status.spaces[0].control_ops;
            assert_eq!(
                ops(&missing),
                ops(&all),
                "{who}: records {harmed:?} are back"
            );
            scene.post(who, "after");
            scene.world.pass(60_000);
            assert_eq!(
                scene.texts(who),
                ["before", "meanwhile", "after"],
                "{harmed:?}"
            );
            scene.assert_converged(&[ALICE, BOB, JOHN]);
        }
    }
}

#[test]
fn a_newcomer_begins_in_the_channel_that_the_invite_named() {
    let mut world = World::new(&["Alice", "Bob", "John"]);
    for who in [ALICE, BOB, JOHN] {
        world.connect(who);
    }
    let name = "Club".to_owned();
    let Answer::Space(space) = world.command(ALICE, Command::CreateSpace { name }).unwrap() else {
        panic!("no Space");
    };
    let channels = world.people[ALICE].node.channels(space).unwrap();
    let forum = channels.iter().find(|c| c.name == "forum").unwrap().id;
    let command = Command::CreateInvite {
        space,
        weight: Weight::MEMBER,
        max_uses: 1,
        valid_secs: 86_400,
        channel: Some(forum),
        approval: false,
    };
    let Answer::Invite { link, .. } = world.command(ALICE, command).unwrap() else {
        panic!("no invite");
    };
    join(&mut world, BOB, link);
    let plain = invite(&mut world, ALICE, space);
    join(&mut world, JOHN, plain);
    world.restart(BOB);
    world.connect(BOB);
    let landing = |world: &World, who: usize| world.people[who].node.landing(space).unwrap();
    assert_eq!(landing(&world, BOB), Some(forum));
    assert_eq!(landing(&world, JOHN), None);
    let archive = Command::UpdateChannel {
        space,
        channel: forum,
        name: None,
        topic: None,
        archived: Some(true),
        permissions: vec![],
    };
    world.command(ALICE, archive).unwrap();
    assert_eq!(
        landing(&world, BOB),
        None,
        "nobody begins in a closed channel"
    );
}

#[test]
fn everything_of_somebody_in_several_channels_can_be_hidden() {
    let mut scene = scene();
    let space = scene.space;
    for name in ["one", "two", "three", "four"] {
        let command = Command::CreateChannel {
            space,
            name: name.into(),
            kind: ChannelKind::Chat,
            topic: String::new(),
            category: None,
            history: node::History::Recent,
        };
        scene.world.command(ALICE, command).unwrap();
    }
    let channels = scene.world.people[ALICE].node.channels(space).unwrap();
    let chats = channels.into_iter().filter(|c| c.kind == ChannelKind::Chat);
    let chats: Vec<_> = chats.map(|c| c.id).collect();
    for channel in &chats {
        let command = Command::Post {
            space,
            channel: *channel,
            thread: None,
            reply_to: None,
            body: "spam".into(),
            attachments: vec![],
        };
        scene.world.command(JOHN, command).unwrap();
    }
    let john = scene.world.people[JOHN].node.me();
    let purge = |channel: &_| PurgeFrom {
        device: john.device,
        scope: Scope::Channel(*channel),
        seq: 0,
    };
    // In the order of their making, which is not that of their ids.
    let purge: Vec<_> = chats.iter().map(purge).collect();
    let command = Command::Ban {
        space,
        user: john.user,
        reason: "spam".into(),
        late: None,
        purge: [purge.clone(), purge].concat(),
    };
    scene.world.command(BOB, command).unwrap();
    for who in [ALICE, BOB] {
        for channel in &chats {
            let posts = scene.world.people[who].node.posts(space, *channel, None, 9);
            let posts = posts.unwrap();
            assert_eq!(posts.len(), 1);
            assert!(
                matches!(posts[0].state, PostState::Hidden { .. }),
                "{posts:?}"
            );
        }
    }
}

#[test]
fn r7_a_person_who_writes_too_fast_is_told_to_wait() {
    let mut scene = scene();
    let post = |scene: &mut crate::scene::Scene| {
        let command = Command::Post {
            space: scene.space,
            channel: scene.general,
            thread: None,
            reply_to: None,
            body: "again".into(),
            attachments: vec![],
        };
        scene.world.command(JOHN, command)
    };
    for _ in 0..120 {
        post(&mut scene).unwrap();
    }
    let refused = post(&mut scene).unwrap_err();
    let CommandError::NotAllowed { rule: "R7", why } = &refused else {
        panic!("{refused}");
    };
    assert!(why.contains("may go on in 61 s"), "{why}");
    scene.world.pass(61_000);
    post(&mut scene).unwrap();
}

/// What somebody writes is later than what they have seen, also when their clock is not: it must not
/// wait for that clock, or the next op would take its place.
#[test]
fn who_writes_with_a_clock_that_is_behind_writes_one_op_at_a_place() {
    let mut scene = scene();
    scene.post(ALICE, "one");
    let right = scene.world.now;
    scene.world.now = oplog::Timestamp::from_ms(1_000);
    scene.post(BOB, "two");
    scene.post(BOB, "three");
    scene.world.now = right;
    scene.world.pass(60_000);
    scene.post(BOB, "four");
    scene.world.pass(60_000);
    for who in [ALICE, BOB, JOHN] {
        assert_eq!(scene.texts(who), ["one", "two", "three", "four"], "{who}");
    }
    scene.assert_converged(&[ALICE, BOB, JOHN]);
}

/// Tags have the day in them: what was filed under those of 1970 has reached nobody.
#[test]
fn what_was_sent_with_a_wrong_clock_is_sent_again_with_the_right_one() {
    let mut scene = scene();
    scene.post(ALICE, "one");
    let right = scene.world.now;
    scene.world.people[BOB].late_ms = right.as_ms() - 1_000;
    scene.post(BOB, "two");
    scene.world.pass(60_000);
    assert_eq!(scene.texts(ALICE), ["one"]);
    assert_eq!(
        scene.world.people[BOB].node.status().unwrap().spaces[0].queued,
        1
    );
    scene.world.people[BOB].late_ms = 0;
    scene.world.pass(60_000);
    for who in [ALICE, BOB, JOHN] {
        assert_eq!(scene.texts(who), ["one", "two"], "{who}");
    }
}

/// What is kept for days must not be old the moment a clock is right again: the key under which a
/// removal is told to whom it concerns, and the tags under which they write.
#[test]
fn who_is_removed_by_somebody_with_a_wrong_clock_hears_of_it() {
    let mut scene = scene();
    scene.world.disconnect(JOHN);
    let right = scene.world.now;
    scene.world.people[ALICE].late_ms = right.as_ms() - 1_000;
    let john = scene.world.people[JOHN].node.me().user;
    let kick = Command::Kick {
        space: scene.space,
        user: john,
        reason: String::new(),
        late: None,
        purge: vec![],
    };
    scene.world.command(ALICE, kick).unwrap();
    scene.world.pass(60_000);
    scene.world.people[ALICE].late_ms = 0;
    scene.world.pass(60_000);
    scene.post(JOHN, "offline");
    scene.world.connect(JOHN);
    scene.world.pass(120_000);
    let spaces = scene.world.people[JOHN].node.spaces();
    let membership = spaces[0].membership;
    assert!(
        matches!(membership, Membership::Removed(_)),
        "{membership:?}"
    );
    let offline = scene.world.people[ALICE]
        .node
        .posts(scene.space, scene.general, None, 10)
        .unwrap();
    assert_eq!(offline.len(), 1, "Alice still reads what he wrote before");
    scene.assert_converged(&[ALICE, BOB]);
}
