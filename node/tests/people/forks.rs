//! Members who change the group's keys without having seen each other's commits.

use std::collections::BTreeSet;

use mls::envelope::TagKey;
use net::wire::{ErrorCode, Request, Response};
use node::view::{Branch, Membership, Notice};
use node::{Answer, Command};
use oplog::payload::Weight;
use oplog::{EpochId, Kind};

use crate::scene::{ALICE, BOB, JOHN, Scene, invite, join, scene};
use crate::world::World;

const DAY: u64 = 86_400_000;
const CAROL: usize = 3;
const DAVE: usize = 4;

/// Five people and two relays, all online: Alice founded, Bob is an admin.
fn five() -> Scene {
    let world = World::with_relays(&["Alice", "Bob", "John", "Carol", "Dave"], 2);
    let mut scene = Scene::found(world, &[BOB, JOHN, CAROL, DAVE]);
    scene.make_admin(BOB);
    scene.world.pass(10_000);
    scene
}

impl Scene {
    fn epochs(&self, who: &[usize]) -> BTreeSet<EpochId> {
        let epoch = |w: &usize| self.world.people[*w].node.spaces()[0].epoch;
        who.iter().map(epoch).collect()
    }

    pub fn update_keys(&mut self, who: usize) -> Result<Answer, node::CommandError> {
        let space = self.space;
        self.world.command(who, Command::UpdateKeys { space })
    }

    fn kick(&mut self, by: usize, whom: usize) {
        let user = self.world.people[whom].node.me().user;
        let kick = Command::Kick {
            space: self.space,
            user,
            reason: String::new(),
            late: None,
            purge: vec![],
        };
        self.world.command(by, kick).unwrap();
    }

    /// Each group of people sees only its own relay.
    fn tear(&mut self, first: &[usize], second: &[usize]) {
        for who in 0..self.world.people.len() {
            self.world.disconnect(who);
        }
        for (relay, side) in [first, second].into_iter().enumerate() {
            for who in side {
                self.world.connect_to(*who, relay);
            }
        }
    }

    /// Everybody sees both relays again.
    fn mend(&mut self, who: &[usize]) {
        for who in 0..self.world.people.len() {
            self.world.disconnect(who);
        }
        for who in who {
            self.world.connect(*who);
        }
        self.world.pass(120_000);
    }

    fn sorted_texts(&self, who: usize) -> Vec<String> {
        let mut texts = self.texts(who);
        texts.sort();
        texts
    }
}

#[test]
fn two_commits_at_once_end_in_one_epoch() {
    let mut scene = scene();
    scene.world.disconnect(BOB);
    scene.world.disconnect(ALICE);
    for who in [ALICE, BOB] {
        scene.update_keys(who).unwrap();
        scene.post(who, "under my own keys");
    }
    assert_eq!(scene.epochs(&[ALICE, BOB]).len(), 2, "they forked");
    scene.world.connect(BOB);
    scene.world.connect(ALICE);
    scene.world.pass(60_000);
    let everybody = [ALICE, BOB, JOHN];
    assert_eq!(scene.epochs(&everybody).len(), 1);
    for who in everybody {
        let notices = &scene.world.people[who].notices;
        let told = notices.iter().any(|n| matches!(n, Notice::Fork { .. }));
        assert!(told, "{who} was told");
        assert_eq!(scene.texts(who), ["under my own keys", "under my own keys"]);
    }
    // Whose branch lost is told so: by the audit, and beside what was sent again.
    let space = scene.space;
    for who in everybody {
        let log = scene.world.people[who].node.audit_log(space, 100).unwrap();
        let lost: Vec<_> = log
            .iter()
            .filter_map(|o| match o.branch {
                Some(Branch::Lost { to }) => Some((o.author_name.clone(), to)),
                _ => None,
            })
            .collect();
        let [(loser, Some(to))] = &lost[..] else {
            panic!("{lost:?}");
        };
        let why = log.iter().find(|o| o.deciding.contains(to));
        let why = &why.unwrap().why;
        assert!(
            why.contains("because its author has the higher role"),
            "{why}"
        );
        let winner = log.iter().find(|o| o.op == *to).unwrap();
        assert_eq!(winner.branch, Some(Branch::Counts));
        assert_ne!(&winner.author_name, loser);
        let me = scene.world.people[who].node.me().name;
        let own = scene.world.people[who].node.own_ops(space, 100).unwrap();
        let resent = own.iter().filter(|op| op.resent).count();
        assert_eq!(resent, usize::from(&me == loser), "{me}");
    }
    // The group goes on: keys change, people come and go.
    scene.world.sleep(7 * 3_600_000);
    scene.update_keys(JOHN).unwrap();
    scene.world.pass(5_000);
    scene.post(BOB, "and on");
    assert_eq!(scene.epochs(&everybody).len(), 1);
    assert_eq!(scene.texts(JOHN).last().unwrap(), "and on");
    scene.assert_converged(&everybody);
}

#[test]
fn a_partition_heals_and_no_post_of_either_side_is_lost() {
    let mut scene = five();
    let (left, right) = ([ALICE, CAROL], [BOB, JOHN]);
    scene.tear(&left, &right);
    let mut said = Vec::new();
    for round in 0..6 {
        for who in left.into_iter().chain(right) {
            let text = format!("{round} of {who}");
            scene.post(who, &text);
            said.push(text);
            scene.update_keys(who).unwrap();
            scene.world.pass(3_000);
        }
        scene.world.sleep(7 * 3_600_000);
    }
    assert_eq!(scene.epochs(&left).len(), 1);
    assert_eq!(scene.epochs(&right).len(), 1);
    assert_eq!(scene.epochs(&[ALICE, BOB]).len(), 2, "two branches");
    let everybody = [ALICE, BOB, JOHN, CAROL];
    scene.mend(&everybody);
    said.sort();
    for who in everybody {
        assert_eq!(scene.sorted_texts(who), said, "{who}");
    }
    assert_eq!(scene.epochs(&everybody).len(), 1);
    scene.assert_converged(&everybody);
}

#[test]
fn a_removal_on_the_losing_branch_holds_on_the_winning_one() {
    let mut scene = five();
    // The kick makes its side's commit weigh more; whoever loses, Dave is out of both.
    for (kicker, other) in [(ALICE, BOB), (BOB, ALICE)] {
        let mut scene = five();
        scene.tear(&[kicker], &[other, JOHN, CAROL, DAVE]);
        scene.kick(kicker, DAVE);
        for who in [other, JOHN, CAROL] {
            scene.update_keys(who).unwrap();
            scene.world.pass(3_000);
        }
        scene.post(other, "not seen by the kicker");
        let everybody = [ALICE, BOB, JOHN, CAROL];
        scene.mend(&[ALICE, BOB, JOHN, CAROL, DAVE]);
        assert_eq!(scene.epochs(&everybody).len(), 1, "{kicker}");
        let after = scene.post(JOHN, "without Dave");
        scene.world.pass(10_000);
        for who in everybody {
            let node = &scene.world.people[who].node;
            assert!(node.post(scene.space, after).is_ok(), "{who}");
            let status = node.status().unwrap();
            assert_eq!(status.spaces[0].reconcile, 0, "{who}: nobody is left in");
        }
        let dave = &scene.world.people[DAVE].node;
        assert!(dave.post(scene.space, after).is_err(), "Dave reads on");
        scene.assert_converged(&everybody);
    }
    // Two removals at once: both hold.
    scene.tear(&[ALICE, CAROL], &[BOB, JOHN]);
    scene.kick(ALICE, DAVE);
    scene.kick(BOB, CAROL);
    scene.mend(&[ALICE, BOB, JOHN, CAROL, DAVE]);
    let left = [ALICE, BOB, JOHN];
    assert_eq!(scene.epochs(&left).len(), 1);
    for who in left {
        let members = scene.world.people[who].node.members(scene.space).unwrap();
        assert_eq!(members.iter().filter(|m| m.weight.is_some()).count(), 3);
    }
    scene.assert_converged(&left);
}

#[test]
fn who_is_hundreds_of_commits_behind_catches_up() {
    let mut scene = scene();
    scene.world.disconnect(JOHN);
    for at in 0..100 {
        scene.world.sleep(3 * 3_600_000 + 60_000);
        scene.update_keys([ALICE, BOB][at % 2]).unwrap();
        scene.world.pass(3_000);
    }
    scene.post(ALICE, "a hundred epochs later");
    scene.world.connect(JOHN);
    scene.world.pass(60_000);
    assert_eq!(scene.texts(JOHN), ["a hundred epochs later"]);
    assert_eq!(scene.epochs(&[ALICE, BOB, JOHN]).len(), 1);
}

#[test]
fn a_restart_in_the_middle_of_a_fork_loses_nothing() {
    let mut scene = scene();
    scene.world.disconnect(BOB);
    scene.world.disconnect(ALICE);
    for who in [ALICE, BOB] {
        scene.update_keys(who).unwrap();
        scene.post(who, "mine");
        scene.world.restart(who);
    }
    scene.world.connect(BOB);
    scene.world.restart(JOHN);
    scene.world.connect(JOHN);
    scene.world.connect(ALICE);
    for who in [ALICE, BOB, JOHN] {
        scene.world.restart(who);
        scene.world.connect(who);
    }
    scene.world.pass(60_000);
    let everybody = [ALICE, BOB, JOHN];
    assert_eq!(scene.epochs(&everybody).len(), 1);
    for who in everybody {
        assert_eq!(scene.texts(who), ["mine", "mine"], "{who}");
    }
    scene.assert_converged(&everybody);
}

#[test]
fn a_newcomer_of_the_losing_branch_is_let_in_on_the_other_without_asking_anybody() {
    let mut world = World::with_relays(&["Alice", "Bob", "John", "Carol", "Dave", "Erin"], 2);
    for who in 0..5 {
        world.connect(who);
    }
    let name = "Allotment".to_owned();
    let Answer::Space(space) = world.command(ALICE, Command::CreateSpace { name }).unwrap() else {
        panic!("no Space");
    };
    let link = invite(&mut world, ALICE, space);
    for who in [BOB, JOHN, CAROL, DAVE] {
        join(&mut world, who, link.clone());
    }
    let channels = world.people[ALICE].node.channels(space).unwrap();
    let general = channels.iter().find(|c| c.name == "general").unwrap().id;
    let mut scene = Scene {
        world,
        space,
        general,
        forum: general,
    };
    // Three commit on one side, so that it counts; Erin comes in on the other.
    scene.tear(&[ALICE], &[BOB, JOHN, CAROL, DAVE]);
    scene.world.connect_to(5, 0);
    join(&mut scene.world, 5, link);
    scene.post(5, "Erin is here");
    for who in [BOB, JOHN, CAROL, DAVE] {
        scene.update_keys(who).unwrap();
        scene.world.pass(3_000);
    }
    scene.mend(&[ALICE, BOB, JOHN, CAROL, DAVE, 5]);
    let everybody = [ALICE, BOB, JOHN, CAROL, DAVE, 5];
    assert_eq!(scene.epochs(&everybody).len(), 1);
    scene.post(BOB, "welcome, Erin");
    scene.world.pass(10_000);
    for who in everybody {
        assert_eq!(scene.texts(who), ["Erin is here", "welcome, Erin"], "{who}");
    }
    scene.assert_converged(&everybody);
}

/// Dave is kicked by a moderator, whom an admin bans at the same time, who was demoted before. Dave hears
/// of the kick and of the ban; what makes the ban void lies under keys that he has not.
#[test]
fn who_was_removed_hears_why_nobody_undid_it() {
    let mut scene = five();
    let space = scene.space;
    let user = |scene: &Scene, who: usize| scene.world.people[who].node.me().user;
    let role = |user, weight| Command::SetRole {
        space,
        user,
        weight,
        reason: String::new(),
    };
    let john = user(&scene, JOHN);
    scene
        .world
        .command(ALICE, role(john, Weight::MODERATOR))
        .unwrap();
    scene.world.pass(10_000);
    scene.tear(&[ALICE, JOHN, CAROL, DAVE], &[BOB]);
    scene.kick(JOHN, DAVE);
    scene.world.pass(10_000);
    let removed = |scene: &Scene| {
        let spaces = scene.world.people[DAVE].node.spaces();
        matches!(spaces[0].membership, Membership::Removed(_))
    };
    assert!(removed(&scene));
    let bob = user(&scene, BOB);
    scene
        .world
        .command(ALICE, role(bob, Weight::MEMBER))
        .unwrap();
    // It holds the group on this branch, which Dave is not on.
    scene.world.command(ALICE, Command::Seal { space }).unwrap();
    scene.world.pass(10_000);
    let ban = Command::Ban {
        space,
        user: john,
        reason: String::new(),
        late: None,
        purge: vec![],
    };
    scene.world.command(BOB, ban).unwrap();
    scene.mend(&[ALICE, BOB, JOHN, CAROL, DAVE]);
    scene.world.pass(600_000);
    assert!(removed(&scene), "Dave takes himself for a member");
    scene.assert_converged(&[ALICE, BOB, JOHN, CAROL]);
}

/// Somebody's disk loses the state of the group.
fn lose_group_state(scene: &mut Scene, who: usize) {
    scene.world.restart_after(who, |store| {
        use oplog::store::{Direction, Store as _, prefix_end};
        let mut keys = Vec::new();
        let visit = &mut |key: &[u8], _: &[u8]| {
            keys.push(key.to_vec());
            std::ops::ControlFlow::Continue(())
        };
        let table = mls::stored::TABLE;
        store
            .scan(table, b"s", &prefix_end(b"s"), Direction::Forward, visit)
            .unwrap();
        assert!(!keys.is_empty(), "there was a state");
        for key in keys {
            store.delete(table, &key);
        }
        store.commit().unwrap();
    });
}

/// Nobody is left who could add her again.
#[test]
fn who_is_alone_in_a_space_lets_people_in_though_the_group_state_is_gone() {
    let mut scene = four();
    for who in [BOB, JOHN] {
        scene.kick(ALICE, who);
    }
    scene.world.pass(61_000);
    lose_group_state(&mut scene, ALICE);
    scene.world.connect(ALICE);
    let link = invite(&mut scene.world, ALICE, scene.space);
    scene.world.connect(CAROL);
    join(&mut scene.world, CAROL, link);
    scene.world.pass(10_000);
    scene.post(ALICE, "you are the first");
    scene.world.pass(10_000);
    assert_eq!(scene.texts(CAROL), ["you are the first"]);
    assert_eq!(scene.epochs(&[ALICE, CAROL]).len(), 1);
}

#[test]
fn a_device_whose_group_state_is_gone_is_added_again_by_itself() {
    let mut scene = scene();
    lose_group_state(&mut scene, JOHN);
    scene.world.connect(JOHN);
    // Nothing shows until the keys change; then John cannot follow.
    scene.update_keys(ALICE).unwrap();
    scene.post(ALICE, "under new keys");
    scene.world.pass(120_000);
    assert_eq!(scene.epochs(&[ALICE, BOB, JOHN]).len(), 1);
    scene.post(JOHN, "I am whole again");
    scene.world.pass(10_000);
    for who in [ALICE, BOB, JOHN] {
        assert_eq!(
            scene.texts(who),
            ["under new keys", "I am whole again"],
            "{who}"
        );
    }
    scene.assert_converged(&[ALICE, BOB, JOHN]);
}

#[test]
fn a_request_that_a_relay_refuses_is_put_again_and_not_written_anew() {
    let mut scene = scene();
    lose_group_state(&mut scene, JOHN);
    // It takes nothing under the return tag, which is full.
    let tag = TagKey::of_return(&scene.space).tag();
    scene.world.relays[0].lie = Some(Box::new(move |_, request, response| match request {
        Request::Put(put) if put.tag == tag => Response::Error(ErrorCode::QuotaExceeded.into()),
        _ => response,
    }));
    scene.world.connect(JOHN);
    scene.update_keys(ALICE).unwrap();
    scene.world.pass(300_000);
    let requests = |scene: &Scene| {
        let dump = scene.world.people[JOHN].node.dump(scene.space).unwrap();
        let kinds = dump.ops.iter().map(|op| op.header.kind());
        kinds
            .filter(|kind| *kind == Some(Kind::ReaddRequest))
            .count()
    };
    assert_eq!(requests(&scene), 1);
    scene.world.relays[0].lie = None;
    scene.world.pass(60_000);
    assert_eq!(scene.epochs(&[ALICE, BOB, JOHN]).len(), 1);
    assert_eq!(requests(&scene), 1);
    scene.assert_converged(&[ALICE, BOB, JOHN]);
}

#[test]
fn who_acted_without_a_right_that_was_gone_is_offered_to_do_it_again() {
    let mut scene = scene();
    let space = scene.space;
    let user = |scene: &Scene, who: usize| scene.world.people[who].node.me().user;
    let (bob, john) = (user(&scene, BOB), user(&scene, JOHN));
    let role = |weight| Command::SetRole {
        space,
        user: bob,
        weight,
        reason: String::new(),
    };
    scene.world.disconnect(BOB);
    scene.world.command(ALICE, role(Weight::MEMBER)).unwrap();
    scene.kick(BOB, JOHN);
    scene.world.connect(BOB);
    scene.world.pass(120_000);
    let voided = |scene: &Scene| scene.world.people[BOB].node.voided(space).unwrap();
    let offered = voided(&scene);
    assert_eq!(offered.len(), 1, "{offered:?}");
    assert_eq!(
        (offered[0].kind, offered[0].about.as_str()),
        ("kick", "John")
    );
    assert!(
        scene.world.people[ALICE]
            .node
            .voided(space)
            .unwrap()
            .is_empty()
    );
    let op = offered[0].op;
    let again = Command::Reapply { space, op };
    // Still without the right to.
    assert!(scene.world.command(BOB, again.clone()).is_err());
    // Somebody else's is not theirs to repeat.
    assert!(scene.world.command(ALICE, again.clone()).is_err());
    scene.world.command(ALICE, role(Weight::ADMIN)).unwrap();
    scene.world.pass(20_000);
    let Answer::Op(done) = scene.world.command(BOB, again).unwrap() else {
        panic!("no op");
    };
    scene.world.pass(60_000);
    assert!(voided(&scene).is_empty());
    // What counts is not done twice.
    let twice = Command::Reapply { space, op: done };
    assert!(scene.world.command(BOB, twice).is_err());
    let members = scene.world.people[ALICE].node.members(space).unwrap();
    let gone = members.iter().find(|m| m.user == john).unwrap();
    assert_eq!(gone.weight, None);
    scene.assert_converged(&[ALICE, BOB]);
}

/// Bob let Carol in on a branch that lost, and is gone. Nobody but Alice can tell her, who never had
/// keys of the time before the branches parted.
#[test]
fn a_newcomer_of_a_branch_that_lost_hears_of_it() {
    let mut scene = four();
    let link = invite(&mut scene.world, ALICE, scene.space);
    scene.world.pass(10_000);
    scene.tear(&[ALICE], &[BOB]);
    scene.kick(ALICE, JOHN);
    let joins = Command::Join { link };
    scene.world.begin(CAROL, joins);
    scene.world.connect_to(CAROL, 1);
    scene.world.pass(60_000);
    assert_eq!(scene.epochs(&[BOB, CAROL]).len(), 1, "Bob let her in");
    scene.post(CAROL, "hello");
    scene.mend(&[ALICE, CAROL]);
    scene.world.pass(120_000);
    assert_eq!(scene.epochs(&[ALICE, CAROL]).len(), 1);
    scene.assert_converged(&[ALICE, CAROL]);
    assert_eq!(scene.texts(ALICE), ["hello"]);
}

/// Bob added John again on a branch that lost, and is gone. John was in the group before the branches
/// parted, and has no keys of that time all the same: his disk lost them, the state first.
#[test]
fn who_was_added_again_on_a_branch_that_lost_hears_of_it() {
    use mls::stored::TABLE;
    use oplog::store::{Direction, MemStore, Store as _, prefix_end};

    let rows = |store: &MemStore, kind: &[u8]| {
        let mut keys = Vec::new();
        let visit = &mut |key: &[u8], _: &[u8]| {
            keys.push(key.to_vec());
            std::ops::ControlFlow::Continue(())
        };
        store
            .scan(TABLE, kind, &prefix_end(kind), Direction::Forward, visit)
            .unwrap();
        assert!(!keys.is_empty());
        keys
    };
    let lose = |scene: &mut Scene, lost: Vec<Vec<u8>>| {
        scene.world.restart_after(JOHN, |store| {
            for key in lost {
                store.delete(TABLE, &key);
            }
            store.commit().unwrap();
        });
        scene.world.connect(JOHN);
    };
    let mut scene = four();
    let link = invite(&mut scene.world, ALICE, scene.space);
    scene.world.connect(CAROL);
    join(&mut scene.world, CAROL, link);
    let role = Command::SetRole {
        space: scene.space,
        user: scene.world.people[BOB].node.me().user,
        weight: Weight::ADMIN,
        reason: String::new(),
    };
    scene.world.command(ALICE, role).unwrap();
    scene.world.pass(10_000);
    scene.tear(&[], &[]);
    scene.kick(ALICE, CAROL);
    scene.world.connect(BOB);
    scene.world.connect(CAROL);
    let store = scene.world.people[JOHN].node.store();
    let (states, roots) = (rows(store, b"s"), rows(store, b"r"));
    lose(&mut scene, states);
    scene.update_keys(BOB).unwrap();
    scene.post(BOB, "under new keys");
    scene.world.pass(600_000);
    assert_eq!(scene.epochs(&[BOB, JOHN]).len(), 1, "John is back");
    lose(&mut scene, roots);
    scene.post(JOHN, "hello");
    scene.mend(&[ALICE, JOHN]);
    scene.world.pass(120_000);
    assert_eq!(scene.epochs(&[ALICE, JOHN]).len(), 1);
    scene.assert_converged(&[ALICE, JOHN]);
    assert_eq!(scene.sorted_texts(ALICE), ["hello", "under new keys"]);
}

/// Alice, Bob and John are in, Carol is not yet; two relays.
fn four() -> Scene {
    let world = World::with_relays(&["Alice", "Bob", "John", "Carol"], 2);
    Scene::found(world, &[BOB, JOHN])
}

#[test]
fn devices_that_are_online_renew_their_keys_about_once_a_week() {
    let mut scene = scene();
    let space = scene.space;
    let commits = |scene: &Scene| {
        let log = scene.world.people[ALICE]
            .node
            .audit_log(space, 1_000)
            .unwrap();
        let commits = log.into_iter().filter(|o| o.kind == "commit");
        commits.collect::<Vec<_>>()
    };
    let before = commits(&scene).len();
    scene.world.disconnect(JOHN);
    for _ in 0..4 {
        scene.world.sleep(DAY);
        scene.world.pass(60_000);
    }
    assert_eq!(commits(&scene).len(), before, "not before five days");
    for _ in 0..6 {
        scene.world.sleep(DAY);
        scene.world.pass(120_000);
    }
    // Each once, and nobody at the same time as another.
    let names = |scene: &Scene, since: usize| {
        let mut all = commits(scene);
        all.truncate(all.len() - since);
        assert!(all.iter().all(|o| o.branch == Some(Branch::Counts)));
        let mut names: Vec<String> = all.into_iter().map(|o| o.author_name).collect();
        names.sort();
        names
    };
    assert_eq!(names(&scene, before), ["Alice", "Bob"]);
    // Who comes back after a longer time catches up first, and then has new keys soon.
    scene.world.connect(JOHN);
    scene.world.pass(180_000);
    assert_eq!(names(&scene, before), ["Alice", "Bob", "John"]);
    scene.assert_converged(&[ALICE, BOB, JOHN]);
}

/// 50 devices, torn in two; each side changes its keys 20 times, and one side removes somebody.
#[test]
fn a_large_space_that_was_torn_apart_heals_within_two_rounds() {
    const PEOPLE: usize = 50;
    const COMMITS: usize = 20;
    let names: Vec<String> = (0..PEOPLE).map(|n| format!("person {n}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut scene = Scene::found(World::with_relays(&names, 2), &[]);
    let space = scene.space;
    let command = Command::CreateInvite {
        space,
        weight: Weight::MEMBER,
        max_uses: 100,
        valid_secs: 86_400,
        channel: None,
        approval: false,
    };
    let Answer::Invite { link, .. } = scene.world.command(ALICE, command).unwrap() else {
        panic!("no invite");
    };
    // All at once, which takes few commits.
    let mut asked = Vec::new();
    for who in 1..PEOPLE {
        scene.world.connect(who);
        let link = link.clone();
        asked.push((who, scene.world.begin(who, Command::Join { link })));
    }
    scene.world.settle();
    scene.world.pass(60_000);
    for (who, id) in asked {
        let joined = scene.world.answer(who, id).expect("no answer");
        assert!(joined.is_ok(), "{who}");
    }
    let (left, right): (Vec<usize>, Vec<usize>) = (0..PEOPLE).partition(|who| who % 2 == 0);
    scene.tear(&left, &right);
    let mut said = Vec::new();
    for round in 0..COMMITS {
        for who in [left[round], right[round]] {
            let text = format!("{round} of {who}");
            scene.post(who, &text);
            said.push(text);
            scene.update_keys(who).unwrap();
            scene.world.pass(1_000);
        }
    }
    let removed = *left.last().unwrap();
    scene.kick(ALICE, removed);
    scene.world.pass(5_000);
    assert_eq!(scene.epochs(&left[..24]).len(), 1);
    assert_eq!(scene.epochs(&right).len(), 1);
    let everybody: Vec<usize> = (0..PEOPLE).filter(|who| *who != removed).collect();
    for who in 0..PEOPLE {
        scene.world.disconnect(who);
    }
    for who in &everybody {
        scene.world.connect(*who);
    }
    let number = |scene: &Scene| scene.world.people[ALICE].node.spaces()[0].epoch_number;
    let torn = number(&scene);
    scene.world.pass(120_000);
    assert_eq!(scene.epochs(&everybody).len(), 1);
    assert!(number(&scene) <= torn + 2, "{torn} and {}", number(&scene));
    scene.post(BOB, "after");
    scene.world.pass(2_000);
    said.push("after".to_owned());
    said.sort();
    for who in &everybody {
        assert_eq!(scene.sorted_texts(*who), said, "{who}");
    }
    scene.assert_converged(&everybody);
    // Who was removed on one side only gets what is there, and opens nothing of what came after.
    scene.world.connect(removed);
    scene.world.pass(60_000);
    let read = scene.sorted_texts(removed);
    assert!(!read.contains(&"after".to_owned()), "{read:?}");
}

/// A commit that only adds somebody carries no new keys of its author.
#[test]
fn who_lets_people_in_all_the_time_has_new_keys_too() {
    let world = World::new(&["Alice", "Bob", "John"]);
    let mut scene = Scene::found(world, &[BOB]);
    for _ in 0..4 {
        scene.world.sleep(DAY);
        scene.world.pass(60_000);
    }
    let link = invite(&mut scene.world, ALICE, scene.space);
    scene.world.connect(JOHN);
    join(&mut scene.world, JOHN, link);
    for _ in 0..5 {
        scene.world.sleep(DAY);
        scene.world.pass(120_000);
    }
    let log = scene.world.people[ALICE].node.audit_log(scene.space, 1_000);
    let log = log.unwrap();
    let by_alice = |kind: &str| {
        let newest = log
            .iter()
            .filter(|o| o.kind == kind && o.author_name == "Alice");
        newest.map(|o| o.hlc).max().unwrap()
    };
    let commits = log
        .iter()
        .filter(|o| o.kind == "commit" && o.author_name == "Alice");
    let joined = by_alice("member-add");
    let since: Vec<_> = commits.filter(|o| o.hlc > joined).collect();
    // One that let John in, and one for her own keys.
    assert_eq!(since.len(), 2, "{since:?}");
}
