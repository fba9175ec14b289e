//! Outcomes explained, proofs that outsiders check, the past run again, and a cheat refused.

use crate::scene::{ALICE, BOB, JOHN, op, scene};
use crate::world::{TestNode, World};
use node::Command;
use node::audit::{Explanation, ProofError, Until, verify};
use node::view::{Notice, PostState};
use oplog::payload::Weight;
use oplog::{ChannelId, OpId, SpaceId};

/// Bob, an admin, banned John, who had written something Bob knew and something he did not.
struct Quarrel {
    world: World,
    space: SpaceId,
    general: ChannelId,
    seen: OpId,
    late: OpId,
    ban: OpId,
}

fn quarrel() -> Quarrel {
    let mut scene = scene();
    let seen = scene.post(JOHN, "case A");
    scene.world.pass(1_000);
    scene.world.disconnect(JOHN);
    let late = scene.post(JOHN, "case B");
    let ban = Command::Ban {
        space: scene.space,
        user: scene.world.people[JOHN].node.me().user,
        reason: "a quarrel".into(),
        late: Some(oplog::payload::LatePolicy::Accept),
        purge: vec![],
    };
    let ban = op(scene.world.command(BOB, ban).unwrap());
    scene.world.connect(JOHN);
    scene.world.pass(10_000);
    Quarrel {
        world: scene.world,
        space: scene.space,
        general: scene.general,
        seen,
        late,
        ban,
    }
}

impl Quarrel {
    fn alice(&self) -> &TestNode {
        &self.world.people[ALICE].node
    }
}

#[test]
fn outcomes_name_their_rule_and_the_op_that_decided() {
    let scene = quarrel();
    for (op, state, rule, deciding) in [
        (scene.seen, "normal", None, vec![]),
        (scene.late, "late", Some("D2"), vec![scene.ban]),
        (scene.ban, "effective", None, vec![]),
    ] {
        let explained = scene.alice().explain(scene.space, op).unwrap();
        let Explanation::Accepted { outcome, steps, .. } = explained else {
            panic!("{explained:?}")
        };
        assert_eq!(
            (outcome.state, outcome.rule, &outcome.deciding),
            (state, rule, &deciding)
        );
        if op == scene.late {
            assert!(outcome.why.contains("Bob's ban"), "{}", outcome.why);
        }
        if op == scene.ban {
            assert!(
                steps
                    .iter()
                    .any(|s| s == "it decides whether John is a member"),
                "{steps:?}"
            );
        }
    }
    let log = scene.alice().audit_log(scene.space, 5).unwrap();
    assert_eq!(log.len(), 5);
    assert!(log.is_sorted_by(|a, b| (a.hlc, a.op) > (b.hlc, b.op)));
}

#[test]
fn a_cheat_is_refused_with_a_rule_by_everybody_honest() {
    let mut scene = quarrel();
    let forge = Command::DangerPublishForged {
        space: scene.space,
        channel: scene.general,
        body: "case C".into(),
    };
    let forged = op(scene.world.command(JOHN, forge).unwrap());
    scene.world.pass(5_000);
    for who in [ALICE, BOB] {
        let person = &scene.world.people[who];
        let told = |n: &Notice| matches!(n, Notice::Refused { op, .. } if *op == forged);
        assert!(person.notices.iter().any(told), "{who} was not told");
        assert!(person.node.post(scene.space, forged).is_err());
        let explained = person.node.explain(scene.space, forged).unwrap();
        assert!(
            matches!(explained, Explanation::Refused { rule: "R4", .. }),
            "{explained:?}"
        );
    }
    scene.world.restart(ALICE);
    let node = &scene.world.people[ALICE].node;
    let explained = node.explain(scene.space, forged).unwrap();
    assert!(
        matches!(explained, Explanation::Refused { rule: "R4", .. }),
        "forgotten: {explained:?}"
    );
    let list = node.refused_ops(scene.space, 10).unwrap();
    assert_eq!((list.len(), list[0].op, list[0].rule), (1, forged, "R4"));
    // The op itself is kept, so that an outsider can judge it too.
    let dump = node.dump(scene.space).unwrap();
    let refused = &dump.refused[0];
    assert_eq!((dump.refused.len(), refused.refused.rule), (1, "R4"));
    let kept = refused.op.as_ref().unwrap();
    assert_eq!(kept.id(), forged);
    assert!(kept.clone().verify().is_ok());
    assert!(format!("{:?}", refused.payload).contains("case C"));
    let digits = forged.short();
    let found = node.ops_beginning(scene.space, &digits).unwrap();
    assert_eq!(
        (found.len(), found[0].0, found[0].1),
        (1, forged, "refused")
    );
}

#[test]
fn one_damaged_record_is_named_and_hides_nothing_else() {
    let mut scene = quarrel();
    // The records lie in the order in which they came; what John wrote unseen is content.
    let store = scene.world.people[ALICE].node.store();
    let records = store.records(&scene.space);
    let at = records.iter().position(|record| {
        let op = oplog::SignedOp::decode(record);
        op.is_ok_and(|op| op.id() == scene.seen)
    });
    let before = scene.alice().dump(scene.space).unwrap();
    scene
        .world
        .restart_after(ALICE, |store| store.damage(&scene.space, at.unwrap()));
    let node = scene.alice();
    let damaged: Vec<OpId> = node
        .damaged(scene.space)
        .unwrap()
        .iter()
        .map(|d| d.op)
        .collect();
    assert_eq!(damaged, [scene.seen]);
    let dump = node.dump(scene.space).unwrap();
    assert_eq!(dump.ops.len() + 1, before.ops.len());
    assert_eq!(dump.damaged.len(), 1);
    assert_eq!(
        node.audit_log(scene.space, 1_000).unwrap().len(),
        dump.ops.len()
    );
    let now = node
        .replay(scene.space, Until::Time(scene.world.now))
        .unwrap();
    assert_eq!(now.members.len(), before.end.members.len());
    assert!(now.posts.iter().any(|p| p.id == scene.late));
    node.export(&scene.space).unwrap();
    let error = node.explain(scene.space, scene.seen).unwrap_err();
    assert!(
        error.to_string().contains("the disk has damaged it"),
        "{error}"
    );
    scene.world.people[ALICE].node.backup().unwrap();
}

#[test]
fn outsiders_verify_what_members_prove_and_no_changed_byte_passes() {
    let mut scene = quarrel();
    let hide = Command::Delete {
        space: scene.space,
        target: scene.seen,
        reason: "names a neighbour".into(),
    };
    let grave = op(scene.world.command(BOB, hide).unwrap());
    scene.world.pass(5_000);
    for (op, state, by) in [
        (scene.seen, "hidden", Some(grave)),
        (scene.late, "late", Some(scene.ban)),
        (scene.ban, "effective", None),
        (grave, "normal", None),
    ] {
        let proof = scene.alice().prove(scene.space, op).unwrap();
        let shown = verify(&proof).unwrap();
        assert_eq!((shown.outcome.op, shown.outcome.state), (op, state));
        assert_eq!(shown.outcome.deciding, Vec::from_iter(by));
        assert_eq!(shown.name, "Allotment");
        assert_eq!(
            scene.world.people[BOB].node.prove(scene.space, op).unwrap(),
            proof
        );
    }
    let proof = scene.alice().prove(scene.space, scene.late).unwrap();
    assert_eq!(verify(&proof).unwrap().body.as_deref(), Some("case B"));
    for at in 0..proof.len() {
        let mut bad = proof.clone();
        bad[at] ^= 1 << (at % 8);
        assert!(
            matches!(
                verify(&bad),
                Err(ProofError::NotAProof | ProofError::Changed)
            ),
            "byte {at}"
        );
    }
    for len in [0, 14, 15, 46, 47, 48, proof.len() / 2, proof.len() - 1] {
        assert!(verify(&proof[..len]).is_err(), "{len} bytes");
    }
}

/// Bytes with a hash that fits them, as a forger would make them.
fn rehashed(proof: &[u8]) -> Vec<u8> {
    let body = &proof[47..];
    let hash = oplog::hash::H::new("proof").field(body).finish();
    [&proof[..15], &hash, body].concat()
}

#[test]
fn a_forger_who_mends_the_hash_still_changes_nothing_unseen() {
    let scene = quarrel();
    let proof = scene.alice().prove(scene.space, scene.late).unwrap();
    assert_eq!(rehashed(&proof), proof);
    // Every 37th byte of all there is: ids, claims, headers, signatures, payloads.
    for at in (47..proof.len()).step_by(37) {
        let mut bad = proof.clone();
        bad[at] ^= 0x11;
        assert!(verify(&rehashed(&bad)).is_err(), "byte {at}");
    }
    let claim = proof.windows(4).position(|w| w == b"late").unwrap();
    let mut bad = proof.clone();
    bad[claim..claim + 4].copy_from_slice(b"lost");
    let error = verify(&rehashed(&bad)).unwrap_err();
    assert!(matches!(error, ProofError::Differs { .. }), "{error}");
}

#[test]
fn the_past_stands_as_it_stood() {
    let scene = quarrel();
    let john = scene.world.people[JOHN].node.me().user;
    let node = scene.alice();
    let before = node.replay(scene.space, Until::Op(scene.late)).unwrap();
    let member = before.members.iter().find(|m| m.user == john).unwrap();
    assert_eq!(member.weight, Some(Weight::MEMBER));
    let late = before.posts.iter().find(|p| p.id == scene.late).unwrap();
    assert_eq!(late.state, PostState::Normal);
    let now = node
        .replay(scene.space, Until::Time(scene.world.now))
        .unwrap();
    let member = now.members.iter().find(|m| m.user == john).unwrap();
    assert_eq!((member.weight, member.banned), (None, Some(scene.ban)));
    assert_eq!(now.state_hash, node.state_hash(scene.space).unwrap());
    let late = now.posts.iter().find(|p| p.id == scene.late).unwrap();
    assert!(matches!(late.state, PostState::Late { .. }));
    // Of a control op: what its author had seen of control, and the posts dated until then.
    let ban = node.replay(scene.space, Until::Op(scene.ban)).unwrap();
    let member = ban.members.iter().find(|m| m.user == john).unwrap();
    assert_eq!(member.banned, Some(scene.ban));
    assert!(
        ban.posts.iter().any(|p| p.id == scene.seen),
        "{:?}",
        ban.posts
    );
    let first = node.dump(scene.space).unwrap().ops[0].outcome.op;
    let founding = node.replay(scene.space, Until::Op(first)).unwrap();
    assert_eq!(founding.ops, 1);
    assert_eq!(founding.members.len(), 1);
    let never = oplog::Timestamp::from_ms(1);
    assert!(node.replay(scene.space, Until::Time(never)).is_err());
}

#[test]
fn a_dump_holds_every_op_with_its_verdict_and_the_same_end() {
    let scene = quarrel();
    let dump = scene.alice().dump(scene.space).unwrap();
    assert!(dump.ops.len() > 8);
    assert!(
        dump.ops
            .is_sorted_by(|a, b| (a.outcome.hlc, a.outcome.op) < (b.outcome.hlc, b.outcome.op))
    );
    assert_eq!(
        dump.end.state_hash,
        scene.alice().state_hash(scene.space).unwrap()
    );
    for op in &dump.ops {
        let decoded = oplog::SignedOp::decode(&op.bytes).unwrap();
        assert_eq!(
            (decoded.id(), decoded.header()),
            (op.outcome.op, &op.header)
        );
        assert!(
            matches!(op.payload, Some(node::audit::Value::Map(_))),
            "{}: {:?}",
            op.outcome.kind,
            op.payload
        );
    }
    let state = |id| {
        dump.ops
            .iter()
            .find(|o| o.outcome.op == id)
            .unwrap()
            .outcome
            .state
    };
    assert_eq!(
        [state(scene.seen), state(scene.late), state(scene.ban)],
        ["normal", "late", "effective"]
    );
}

/// John's group ended with him; what he wrote is judged by the epochs of the others all the same.
#[test]
fn who_was_removed_judges_by_the_epochs_of_those_who_stay() {
    let scene = quarrel();
    let alice = scene.alice().dump(scene.space).unwrap();
    let john = scene.world.people[JOHN].node.dump(scene.space).unwrap();
    assert_eq!(john.heads, alice.heads);
    assert_eq!(john.epoch, alice.epoch);
    let spaces = scene.world.people[JOHN].node.spaces();
    assert_ne!(spaces[0].epoch, alice.epoch, "he is not in it");
}
