//! What a disk damages comes back from others, and until then does no harm.

use std::ops::ControlFlow;

use crate::scene::{ALICE, BOB, JOHN, Scene, scene};
use node::view::Notice;
use node::{Answer, Command, CommandError, OpId};
use oplog::SignedOp;
use oplog::store::{Direction, Store, Table};

/// Damages the record of an op on somebody's disk, whether they are running or not.
pub fn damage(scene: &mut Scene, who: usize, op: OpId) {
    let space = scene.space;
    let store = scene.world.people[who].node.store_mut();
    let is_op = |record: &Vec<u8>| SignedOp::decode(record).is_ok_and(|found| found.id() == op);
    let at = store.records(&space).iter().rposition(is_op).unwrap();
    store.damage(&space, at);
}

fn lost(scene: &Scene, who: usize) -> usize {
    scene.world.people[who].node.status().unwrap().spaces[0].lost
}

fn try_post(scene: &mut Scene, who: usize, body: &str) -> Result<Answer, CommandError> {
    let command = Command::Post {
        space: scene.space,
        channel: scene.general,
        thread: None,
        reply_to: None,
        body: body.into(),
        attachments: vec![],
    };
    scene.world.command(who, command)
}

#[test]
fn a_post_that_is_damaged_while_the_node_runs_is_fetched_again() {
    for restarted in [false, true] {
        for victim in 0..3 {
            let mut scene = scene();
            let posts = ["one", "two", "three"].map(|text| scene.post(ALICE, text));
            damage(&mut scene, BOB, posts[victim]);
            // Whoever looks at the channel notices.
            assert_eq!(scene.texts(BOB).len(), 2);
            assert_eq!(lost(&scene, BOB), 1);
            scene.world.pass(31_000);
            if restarted {
                scene.world.restart(BOB);
                scene.world.connect(BOB);
            }
            scene.world.pass(120_000);
            assert_eq!(scene.texts(BOB), ["one", "two", "three"]);
            assert_eq!(lost(&scene, BOB), 0);
            let told = scene.world.people[BOB].node.status().unwrap().recovered;
            assert!(
                restarted || told.iter().any(|t| t.contains("fetched again")),
                "{told:?}"
            );
            scene.assert_converged(&[ALICE, BOB, JOHN]);
        }
    }
}

#[test]
fn nobody_writes_after_a_damaged_post_of_their_own_before_it_is_back() {
    let mut scene = scene();
    scene.post(BOB, "one");
    let last = scene.post(BOB, "two");
    scene.world.disconnect(BOB);
    damage(&mut scene, BOB, last);
    scene.world.restart(BOB);
    for _ in 0..2 {
        let refused = try_post(&mut scene, BOB, "three").unwrap_err();
        assert!(matches!(refused, CommandError::Damaged), "{refused}");
    }
    scene.world.connect(BOB);
    scene.world.pass(120_000);
    scene.post(BOB, "three");
    scene.world.pass(10_000);
    for who in [ALICE, BOB, JOHN] {
        assert_eq!(scene.texts(who), ["one", "two", "three"], "{who}");
    }
    scene.assert_converged(&[ALICE, BOB, JOHN]);
}

/// Whether the damage shows when somebody reads or only when the post is sent: then what builds on it
/// must not go out in the same moment, for nobody could ever take it in.
#[test]
fn own_posts_that_nobody_else_had_are_given_up_and_said_so() {
    for read_first in [true, false] {
        let mut scene = scene();
        scene.post(JOHN, "before");
        scene.world.disconnect(JOHN);
        let first = scene.post(JOHN, "offline, one");
        let second = scene.post(JOHN, "offline, two");
        damage(&mut scene, JOHN, first);
        scene.world.restart(JOHN);
        if read_first {
            assert_eq!(scene.texts(JOHN), ["before", "offline, two"]);
        }
        scene.world.connect(JOHN);
        scene.world.pass(300_000);
        let notices = &scene.world.people[JOHN].notices;
        let gone = notices.iter().find_map(|notice| match notice {
            Notice::Gone { ops, .. } => Some(ops.clone()),
            _ => None,
        });
        let mut both = vec![first, second];
        both.sort_unstable();
        assert_eq!(gone, Some(both), "what builds on a lost op goes with it");
        scene.post(JOHN, "after");
        scene.world.pass(10_000);
        for who in [ALICE, BOB, JOHN] {
            assert_eq!(scene.texts(who), ["before", "after"], "{who}");
            let status = scene.world.people[who].node.status().unwrap();
            let space = &status.spaces[0];
            assert_eq!((space.queued, space.held), (0, 0), "{who}");
        }
        scene.assert_converged(&[ALICE, BOB, JOHN]);
    }
}

/// After the index was made again every own op is queued again, and it is not known who has it. Each
/// member must have shown that they do not.
#[test]
fn an_own_post_that_may_be_anywhere_is_given_up_once_everybody_shows_that_they_lack_it() {
    let mut scene = scene();
    scene.post(JOHN, "before");
    scene.world.disconnect(JOHN);
    let gone = scene.post(JOHN, "offline, one");
    scene.post(JOHN, "offline, two");
    damage(&mut scene, JOHN, gone);
    scene.world.restart_after(JOHN, |store| {
        // A map of the relays that took it, none, and that it is there again.
        let again = [0xa2, 0x00, 0x80, 0x01, 0xf5];
        let mut rows = Vec::new();
        let visit = &mut |key: &[u8], _: &[u8]| {
            rows.push(key.to_vec());
            ControlFlow::Continue(())
        };
        store
            .scan(Table("queue"), b"out/", b"out0", Direction::Forward, visit)
            .unwrap();
        assert_eq!(rows.len(), 2);
        rows.iter()
            .for_each(|row| store.put(Table("queue"), row, &again));
        store.commit().unwrap();
    });
    let told = |scene: &Scene| {
        let notices = &scene.world.people[JOHN].notices;
        notices
            .iter()
            .any(|notice| matches!(notice, Notice::Gone { .. }))
    };
    assert_eq!(scene.texts(JOHN), ["before", "offline, two"]);
    // Bob is away, and might have it.
    scene.world.disconnect(BOB);
    scene.world.connect(JOHN);
    scene.world.pass(600_000);
    assert!(!told(&scene));
    scene.world.connect(BOB);
    scene.world.pass(600_000);
    assert!(told(&scene));
    scene.post(JOHN, "after");
    scene.world.pass(10_000);
    for who in [ALICE, BOB, JOHN] {
        assert_eq!(scene.texts(who), ["before", "after"], "{who}");
    }
    scene.assert_converged(&[ALICE, BOB, JOHN]);
}

/// A relay took it, and lost all; nobody else was there. What builds on it is of no use to anybody.
#[test]
fn an_own_post_that_the_relay_lost_too_is_given_up_after_hours() {
    let mut scene = scene();
    scene.post(JOHN, "before");
    scene.world.pass(5_000);
    scene.world.disconnect(ALICE);
    scene.world.disconnect(BOB);
    let lost = scene.post(JOHN, "damaged");
    let after = scene.post(JOHN, "builds on it");
    scene.world.pass(5_000);
    scene.world.wipe_relay();
    damage(&mut scene, JOHN, lost);
    assert_eq!(scene.texts(JOHN), ["before", "builds on it"]);
    let gone = |scene: &Scene| {
        let notices = &scene.world.people[JOHN].notices;
        notices.iter().find_map(|notice| match notice {
            Notice::Gone { ops, .. } => Some(ops.clone()),
            _ => None,
        })
    };
    // Bob might have it.
    scene.world.connect(ALICE);
    scene.world.pass(3 * 3_600_000);
    assert_eq!(gone(&scene), None);
    scene.world.connect(BOB);
    scene.world.pass(3 * 3_600_000);
    let mut both = vec![lost, after];
    both.sort_unstable();
    assert_eq!(gone(&scene), Some(both));
    scene.post(JOHN, "and on");
    scene.world.pass(10_000);
    for who in [ALICE, BOB, JOHN] {
        assert_eq!(scene.texts(who), ["before", "and on"], "{who}");
    }
    scene.assert_converged(&[ALICE, BOB, JOHN]);
}

/// By the clocks of the others it is from the future: they hold it, and tell of it to nobody.
#[test]
fn an_own_post_that_only_waits_with_others_comes_back() {
    let mut scene = scene();
    scene.post(JOHN, "before");
    for who in [ALICE, BOB] {
        scene.world.people[who].late_ms = 3_600_000;
    }
    let ahead = scene.post(JOHN, "ahead");
    scene.world.pass(10_000);
    assert_eq!(scene.texts(ALICE), ["before"]);
    damage(&mut scene, JOHN, ahead);
    scene.world.restart(JOHN);
    assert_eq!(scene.texts(JOHN), ["before"]);
    scene.world.connect(JOHN);
    scene.world.pass(180_000);
    assert_eq!(scene.texts(JOHN), ["before", "ahead"]);
    assert_eq!(lost(&scene, JOHN), 0);
    scene.post(JOHN, "after");
    scene.world.pass(3_700_000);
    for who in [ALICE, BOB, JOHN] {
        assert_eq!(scene.texts(who), ["before", "ahead", "after"], "{who}");
    }
    scene.assert_converged(&[ALICE, BOB, JOHN]);
}

/// The record is damaged and the rows that name it are gone too, as after an index was made anew.
#[test]
fn an_own_post_that_is_gone_without_a_trace_leaves_the_queue() {
    let mut scene = scene();
    scene.world.disconnect(JOHN);
    let gone = scene.post(JOHN, "offline");
    let space = scene.space;
    damage(&mut scene, JOHN, gone);
    scene.world.restart_after(JOHN, |store| {
        for table in [Table("op"), Table("lane")] {
            let mut rows = Vec::new();
            let visit = &mut |key: &[u8], _: &[u8]| {
                rows.extend(key.ends_with(gone.as_bytes()).then(|| key.to_vec()));
                ControlFlow::Continue(())
            };
            store
                .scan(table, &[], &[0xff; 99], Direction::Forward, visit)
                .unwrap();
            assert_eq!(rows.len(), 1, "{table:?}");
            rows.iter().for_each(|row| store.delete(table, row));
        }
        store.commit().unwrap();
    });
    scene.world.people[JOHN]
        .node
        .note_lost_records(Some(&space));
    scene.world.connect(JOHN);
    scene.world.pass(300_000);
    let queued = scene.world.people[JOHN].node.status().unwrap().spaces[0].queued;
    assert_eq!(queued, 0);
    let told = |notice: &Notice| matches!(notice, Notice::Gone { ops, .. } if *ops == [gone]);
    assert!(scene.world.people[JOHN].notices.iter().any(told));
    scene.post(JOHN, "after");
    scene.world.pass(10_000);
    assert_eq!(scene.texts(ALICE), ["after"]);
    scene.assert_converged(&[ALICE, BOB, JOHN]);
}

/// A restored copy writes where the original wrote already. Nobody who has one branch would miss the
/// other by its length.
#[test]
fn everybody_comes_to_hold_both_branches_of_a_cloned_device_and_then_it_is_quiet() {
    for (len, other_len) in [(1, 1), (3, 1), (1, 3)] {
        let mut scene = scene();
        scene.post(JOHN, "before");
        let copy = scene.world.people[JOHN].node.store().clone();
        scene.world.disconnect(BOB);
        for n in 0..len {
            scene.post(JOHN, &format!("original {n}"));
        }
        scene.world.pass(5_000);
        scene.world.disconnect(ALICE);
        scene.world.restart_after(JOHN, |store| *store = copy);
        // The relay keeps nothing of either: members must tell each other.
        scene.world.wipe_relay();
        scene.world.connect(BOB);
        scene.world.connect(JOHN);
        for n in 0..other_len {
            scene.post(JOHN, &format!("copy {n}"));
        }
        scene.world.pass(5_000);
        scene.world.disconnect(JOHN);
        scene.world.wipe_relay();
        scene.world.connect(ALICE);
        scene.world.pass(900_000);
        for who in [ALICE, BOB] {
            assert_eq!(
                scene.texts(who).len(),
                1 + len + other_len,
                "{len} {other_len} {who}"
            );
        }
        scene.assert_converged(&[ALICE, BOB]);
        // What is put, not the hourly comparisons with the relay. John told of more and is gone, so he
        // is asked ever more rarely for an hour; a comparison puts again what the relay lost.
        let put = |scene: &Scene| scene.world.relays[0].taken.len();
        let before = put(&scene);
        scene.world.pass(3 * 3_600_000);
        let said = put(&scene) - before;
        assert!(said <= 16, "{said} envelopes in three hours");
        let before = put(&scene);
        scene.world.pass(12 * 3_600_000);
        assert_eq!(put(&scene), before, "they went on talking");
        // The device sees the fork too, and stops.
        scene.world.connect(JOHN);
        scene.world.pass(120_000);
        let refused = try_post(&mut scene, JOHN, "more").unwrap_err();
        assert!(matches!(refused, CommandError::Group { .. }), "{refused}");
    }
}
