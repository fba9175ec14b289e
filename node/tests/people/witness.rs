//! What members bear witness of: late posts seen in time, equivocation, commits that nobody can
//! follow.

use node::audit::Explanation;
use node::view::{Branch, PostState};
use node::{Command, CommandError, DeviceId, LatePolicy, OpId, Scope, Weight};
use oplog::payload::{Payload, Post};
use oplog::{EpochId, Kind};

use crate::scene::{ALICE, BOB, JOHN, Scene, op, scene};
use crate::world::World;

const CAROL: usize = 3;

fn ban(scene: &mut Scene, by: usize, whom: usize, late: LatePolicy) -> OpId {
    let ban = Command::Ban {
        space: scene.space,
        user: scene.world.people[whom].node.me().user,
        reason: String::new(),
        late: Some(late),
        purge: Vec::new(),
    };
    op(scene.world.command(by, ban).unwrap())
}

fn attest(scene: &mut Scene, who: usize, target: OpId) -> Result<OpId, CommandError> {
    let space = scene.space;
    scene
        .world
        .command(who, Command::Attest { space, target })
        .map(op)
}

fn state(scene: &Scene, by: usize, post: OpId) -> PostState {
    let node = &scene.world.people[by].node;
    node.post(scene.space, post).unwrap().state
}

/// John said two things that Bob had not seen when he banned him.
fn late(policy: LatePolicy) -> (Scene, [OpId; 2], OpId) {
    let mut scene = scene();
    scene.world.disconnect(BOB);
    let posts = ["one", "two"].map(|text| scene.post(JOHN, text));
    scene.world.pass(5_000);
    scene.world.disconnect(ALICE);
    let banned = ban(&mut scene, BOB, JOHN, policy);
    scene.world.connect(BOB);
    scene.world.connect(ALICE);
    scene.world.pass(60_000);
    (scene, posts, banned)
}

#[test]
fn what_a_moderator_attests_counts_like_any_other_post() {
    for policy in [
        LatePolicy::Accept,
        LatePolicy::Quarantine,
        LatePolicy::Reject,
    ] {
        let (mut scene, [one, two], banned) = late(policy);
        assert_ne!(state(&scene, BOB, one), PostState::Normal);
        let node = &scene.world.people[BOB].node;
        let Explanation::Accepted { outcome, .. } = node.explain(scene.space, one).unwrap() else {
            panic!("{one} is not here");
        };
        assert!(
            policy == LatePolicy::Reject || outcome.why.contains("attest"),
            "{}",
            outcome.why
        );

        attest(&mut scene, ALICE, one).unwrap();
        scene.world.pass(5_000);
        for who in [ALICE, BOB] {
            assert_eq!(state(&scene, who, one), PostState::Normal, "{who}");
            let expected = match policy {
                LatePolicy::Reject => PostState::Refused {
                    rule: "D3",
                    by: Some(banned),
                },
                LatePolicy::Accept | LatePolicy::Quarantine => PostState::Late {
                    removal: banned,
                    unverified: false,
                    quarantined: policy == LatePolicy::Quarantine,
                },
            };
            assert_eq!(state(&scene, who, two), expected, "{who}");
        }
        let again = attest(&mut scene, ALICE, one).unwrap_err();
        assert!(matches!(again, CommandError::Invalid { .. }), "{again}");
        scene.assert_converged(&[ALICE, BOB]);
    }
}

/// Alice was in touch when the ban came, so she knows by herself what she had before it.
#[test]
fn who_was_in_touch_when_a_removal_came_attests_by_themselves() {
    for (policy, attested) in [
        (LatePolicy::Accept, true),
        (LatePolicy::Quarantine, true),
        (LatePolicy::Reject, false),
    ] {
        let mut scene = scene();
        scene.post(JOHN, "before");
        scene.world.pass(5_000);
        scene.world.disconnect(BOB);
        let posts = ["one", "two"].map(|text| scene.post(JOHN, text));
        scene.world.pass(5_000);
        scene.world.disconnect(JOHN);
        let after = scene.post(JOHN, "not seen by anybody");
        ban(&mut scene, BOB, JOHN, policy);
        scene.world.connect(BOB);
        scene.world.pass(600_000);
        for who in [ALICE, BOB] {
            for post in posts {
                let normal = state(&scene, who, post) == PostState::Normal;
                assert_eq!(normal, attested, "{policy:?} {who}");
            }
        }
        // What comes only now nobody had.
        scene.world.connect(JOHN);
        scene.world.pass(600_000);
        for who in [ALICE, BOB] {
            let node = &scene.world.people[who].node;
            let late = node.post(scene.space, after).map(|post| post.state);
            assert_ne!(late.ok(), Some(PostState::Normal), "{policy:?} {who}");
            let said = node.audit_log(scene.space, 100).unwrap();
            let said = said.iter().filter(|op| op.kind == "cut-attest").count();
            assert_eq!(said, usize::from(attested), "{policy:?}");
        }
        scene.assert_converged(&[ALICE, BOB]);
    }
}

#[test]
fn only_who_may_hide_posts_attests_and_only_what_is_late() {
    let (mut scene, [one, _], _) = late(LatePolicy::Quarantine);
    let normal = scene.post(ALICE, "hello");
    let refused = attest(&mut scene, BOB, normal).unwrap_err();
    assert!(matches!(refused, CommandError::Invalid { .. }), "{refused}");
    let nothing = attest(&mut scene, BOB, OpId::from_bytes([9; 32])).unwrap_err();
    assert!(
        matches!(nothing, CommandError::UnknownOp { .. }),
        "{nothing}"
    );
    // What helps is named where somebody asks for the wrong thing.
    let (space, target) = (scene.space, one);
    let wrong = scene
        .world
        .command(BOB, Command::Restore { space, target })
        .unwrap_err();
    assert!(wrong.to_string().contains("attest"), "{wrong}");

    let role = Command::SetRole {
        space,
        user: scene.world.people[BOB].node.me().user,
        weight: Weight::MEMBER,
        reason: String::new(),
    };
    scene.world.command(ALICE, role).unwrap();
    scene.world.pass(5_000);
    let refused = attest(&mut scene, BOB, one).unwrap_err();
    assert!(
        matches!(refused, CommandError::NotAllowed { rule: "R6", .. }),
        "{refused}"
    );
}

/// John's profile, copied: both copies write.
fn cloned() -> (Scene, DeviceId) {
    let mut scene = scene();
    scene.post(JOHN, "before");
    scene.world.pass(5_000);
    let space = scene.space;
    let scope = Scope::Channel(scene.general);
    let node = &mut scene.world.people[JOHN].node;
    let header = node.danger_header(&space, Kind::Post, scope, &[]).unwrap();
    let post = Payload::Post(Post {
        thread: None,
        reply_to: None,
        body: "by the copy".into(),
        attachments: vec![],
        mentions: vec![],
    });
    let copy = node.danger_sign(header, &post);
    let device = node.me().device;
    scene.world.disconnect(JOHN);
    let node = &mut scene.world.people[ALICE].node;
    let effects = node.danger_send(&space, scope, vec![copy.encode()]);
    scene.world.run(ALICE, effects.unwrap());
    scene.post(JOHN, "by the original");
    scene.world.connect(JOHN);
    scene.world.pass(60_000);
    (scene, device)
}

fn freeze(scene: &mut Scene, who: usize, device: DeviceId) -> Result<OpId, CommandError> {
    let space = scene.space;
    scene
        .world
        .command(who, Command::Freeze { space, device })
        .map(op)
}

#[test]
fn two_ops_at_one_place_are_shown_and_end_the_device_when_somebody_says_so() {
    let (mut scene, device) = cloned();
    let none = scene.world.people[ALICE].node.me().device;
    for who in [ALICE, BOB, JOHN] {
        let seen = scene.world.people[who]
            .node
            .equivocations(scene.space)
            .unwrap();
        let [seen] = seen.as_slice() else {
            panic!("{who}: {seen:?}");
        };
        assert_eq!((seen.device, seen.seq, seen.ops.len()), (device, 1, 2));
        assert_eq!((seen.is_this, seen.ended), (who == JOHN, None));
    }
    // Nothing happens by itself: it may be an honest mistake.
    scene.world.pass(3_600_000);
    assert_eq!(
        scene.texts(ALICE).iter().filter(|t| !t.is_empty()).count(),
        3
    );
    let innocent = freeze(&mut scene, BOB, none).unwrap_err();
    assert!(
        matches!(innocent, CommandError::Invalid { .. }),
        "{innocent}"
    );

    let proof = freeze(&mut scene, BOB, device).unwrap();
    scene.world.pass(60_000);
    for who in [ALICE, BOB] {
        let node = &scene.world.people[who].node;
        let seen = node.equivocations(scene.space).unwrap();
        assert_eq!(seen[0].ended, Some(proof), "{who}");
        // What the reporter had seen stays.
        assert_eq!(scene.texts(who).iter().filter(|t| !t.is_empty()).count(), 3);
        let members = node.members(scene.space).unwrap();
        let john = members.iter().find(|m| m.name == "John").unwrap();
        assert_eq!((john.weight, john.devices.len()), (Some(Weight::MEMBER), 0));
    }
    scene.post(ALICE, "after");
    scene.world.pass(5_000);
    assert!(!scene.texts(JOHN).contains(&"after".to_owned()));
    // Everybody proves it once: what another had seen stays, too.
    freeze(&mut scene, ALICE, device).unwrap();
    let again = freeze(&mut scene, BOB, device).unwrap_err();
    assert!(
        matches!(again, CommandError::NotAllowed { rule: "R8", .. }),
        "{again}"
    );
    scene.assert_converged(&[ALICE, BOB]);
}

#[test]
fn a_commit_that_cannot_be_followed_is_complained_about_and_left() {
    let world = World::new(&["Alice", "Bob", "John", "Carol"]);
    let mut scene = Scene::found(world, &[BOB, JOHN, CAROL]);
    scene.world.pass(60_000);
    let space = scene.space;
    let epoch = |scene: &Scene, who: usize| scene.world.people[who].node.spaces()[0].epoch;
    let before = epoch(&scene, ALICE);
    let (commit, effects) = scene.world.people[BOB].node.danger_commit(&space).unwrap();
    scene.world.run(BOB, effects);
    scene.world.settle();
    scene.world.disconnect(BOB);
    scene.world.pass(5 * 60_000);
    let honest = [ALICE, JOHN, CAROL];
    for who in honest {
        assert_ne!(epoch(&scene, who), EpochId::of_commit(&commit), "{who}");
        let log = scene.world.people[who]
            .node
            .audit_log(space, 1_000)
            .unwrap();
        let by: Vec<_> = log
            .iter()
            .filter(|o| o.kind == Kind::CommitComplaint.name())
            .map(|o| o.author)
            .collect();
        assert!((1..=3).contains(&by.len()), "{by:?}");
        let mut people = by.clone();
        people.sort_unstable();
        people.dedup();
        assert_eq!(people.len(), by.len(), "one a person");
    }
    // The group goes on from before it.
    scene
        .world
        .command(CAROL, Command::UpdateKeys { space })
        .unwrap();
    scene.world.pass(60_000);
    assert_ne!(epoch(&scene, ALICE), before);
    scene.post(JOHN, "still here");
    scene.world.pass(5_000);
    for who in honest {
        assert_eq!(scene.texts(who), ["still here"], "{who}");
        assert_eq!(epoch(&scene, who), epoch(&scene, ALICE), "{who}");
    }
    scene.assert_converged(&honest);
    // Nobody is asked for keys any more, nor complained about again.
    scene.world.pass(8 * 3_600_000);
    let status = scene.world.people[JOHN].node.status().unwrap();
    assert!(!status.spaces[0].behind);
}

/// Bob renews his keys by a commit that John alone cannot open. Returns what John wrote about it.
fn without_john(scene: &mut Scene) -> (OpId, OpId) {
    scene.world.pass(60_000);
    let space = scene.space;
    let john = scene.world.people[JOHN].node.me();
    let bob = &mut scene.world.people[BOB].node;
    let commit = bob.danger_commit_without(&space, &john.device).unwrap();
    scene.world.pass(5 * 60_000);
    let node = &scene.world.people[ALICE].node;
    let log = node.audit_log(space, 1_000).unwrap();
    let complaints: Vec<_> = log
        .iter()
        .filter(|o| o.kind == Kind::CommitComplaint.name())
        .collect();
    let [complaint] = complaints.as_slice() else {
        panic!("one complains: {complaints:?}");
    };
    assert_eq!(complaint.author, john.user);
    (commit, complaint.op)
}

fn branch(scene: &Scene, by: usize, commit: OpId) -> (Option<Branch>, String) {
    let node = &scene.world.people[by].node;
    let Explanation::Accepted { outcome, .. } = node.explain(scene.space, commit).unwrap() else {
        panic!("{commit} is not here");
    };
    assert_eq!(outcome.state, "effective", "{}", outcome.why);
    (outcome.branch, outcome.why)
}

/// Everybody stands on one epoch, and hears what everybody says.
fn assert_whole(scene: &mut Scene, who: &[usize]) {
    let epoch = |scene: &Scene, who: usize| scene.world.people[who].node.spaces()[0].epoch;
    for by in who {
        scene.post(*by, &format!("from {by}"));
        scene.world.pass(5_000);
    }
    let mut said: Vec<_> = who.iter().map(|by| format!("from {by}")).collect();
    said.sort_unstable();
    for by in who {
        assert_eq!(epoch(scene, *by), epoch(scene, ALICE), "{by}");
        let mut texts = scene.texts(*by);
        texts.sort_unstable();
        assert_eq!(texts, said, "{by}");
        let status = scene.world.people[*by].node.status().unwrap();
        assert!(!status.spaces[0].behind, "{by}");
    }
    scene.assert_converged(who);
}

/// In a small group one complaint is as many as it takes (θ), while nobody has built on the commit.
#[test]
fn in_a_small_group_one_complaint_sets_a_commit_aside_that_shuts_out_one_member() {
    let world = World::new(&["Alice", "Bob", "John", "Carol"]);
    let mut scene = Scene::found(world, &[BOB, JOHN, CAROL]);
    let (commit, complaint) = without_john(&mut scene);
    for by in [ALICE, BOB, JOHN, CAROL] {
        let (branch, why) = branch(&scene, by, commit);
        assert!(
            matches!(branch, Some(Branch::Lost { .. })),
            "{by}: {branch:?}"
        );
        assert!(
            why.contains("1 member says that it cannot be followed, it takes 1"),
            "{why}"
        );
        assert!(why.contains(&complaint.short()), "{why}");
    }
    assert_whole(&mut scene, &[ALICE, BOB, JOHN, CAROL]);
}

/// In a larger one it takes more: the group goes on, and puts whom it shut out in again by itself.
#[test]
fn in_a_larger_group_who_alone_cannot_follow_a_commit_is_added_again_behind_it() {
    let names = ["Alice", "Bob", "John", "Carol", "Dave", "Eve"];
    let mut scene = Scene::found(World::new(&names), &[BOB, JOHN, CAROL, 4, 5]);
    let (commit, complaint) = without_john(&mut scene);
    let all = [ALICE, BOB, JOHN, CAROL, 4, 5];
    for by in all {
        let (branch, why) = branch(&scene, by, commit);
        assert_eq!(branch, Some(Branch::Counts), "{by}: {why}");
        assert!(
            why.contains("1 member says that it cannot be followed, it takes 2"),
            "{why}"
        );
        assert!(why.contains(&complaint.short()), "{why}");
    }
    // John's leaf was put in again by the key package that he gave with the complaint.
    let node = &scene.world.people[CAROL].node;
    let Explanation::Accepted { outcome, steps, .. } =
        node.explain(scene.space, complaint).unwrap()
    else {
        panic!("{complaint} is not here");
    };
    assert_eq!(outcome.state, "effective");
    assert!(
        steps.iter().any(|s| s.contains("it is about Bob's commit")),
        "{steps:?}"
    );
    let log = node.audit_log(scene.space, 1_000).unwrap();
    let commits = log.iter().filter(|o| o.kind == Kind::Commit.name());
    assert!(commits.filter(|o| o.hlc > outcome.hlc).count() >= 1);
    assert_whole(&mut scene, &all);
}
