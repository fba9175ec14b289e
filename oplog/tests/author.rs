//! Headers that acceptance takes, and what must come first when it would not.

#![cfg(test)]

mod world;

use oplog::testing::{Device, post};
use oplog::{Accept, DraftError, Hlc, Intent, Kind, OpId, Payload, Scope, SignedOp, Timestamp};
use world::World;

fn intent<'a>(w: &World, by: &Device, kind: Kind, prev: &'a [OpId]) -> Intent<'a> {
    Intent {
        user: by.user(),
        device: by.id(),
        kind,
        scope: match kind.is_control() {
            true => Scope::Control,
            false => Scope::Channel(w.chat),
        },
        prev,
        epoch: w.space.epoch(),
        now: w.space.now,
    }
}

fn write(w: &mut World, by: &Device, payload: &Payload, prev: &[OpId]) -> SignedOp {
    let intent = intent(w, by, payload.kind(), prev);
    let header = w
        .replica
        .log
        .draft(&intent, &w.replica.store)
        .expect("nothing first");
    let op = SignedOp::sign(header, payload, by.key());
    w.accepts(&op);
    op
}

#[test]
fn drafts_are_accepted_op_after_op() {
    let mut w = World::new();
    let (member, other) = (w.member.clone(), w.second_member.clone());
    let first = write(&mut w, &member, &post("one"), &[]);
    let second = write(&mut w, &member, &post("two"), &[first.id()]);
    assert_eq!(second.header().back, Some(first.id()));
    let reaction = Payload::React(oplog::payload::React {
        emoji: "👍".into()
    });
    write(&mut w, &other, &reaction, &[second.id()]);
    write(&mut w, &other, &Payload::Merge, &[]);
    // A clock that stands still, or runs behind, still moves on.
    w.space.now = Timestamp::from_ms(0);
    let third = write(&mut w, &member, &post("three"), &[]);
    assert!(third.header().hlc > second.header().hlc);
    w.replica.commit();
    w.replica.restart();
    let fourth = write(&mut w, &member, &post("four"), &[third.id()]);
    assert_eq!(fourth.header().seq, 3);
}

#[test]
fn many_heads_are_merged_first() {
    let mut w = World::new();
    let heads = w.space.heads();
    let everyone = [
        w.owner.clone(),
        w.admin.clone(),
        w.moderator.clone(),
        w.second_moderator.clone(),
        w.member.clone(),
    ];
    for device in &everyone {
        let op = w.space.op(device, Payload::Merge).ctl(&heads).sign();
        w.accepts(&op);
    }
    let member = w.second_member.clone();
    let draft = |w: &World, kind| {
        let intent = intent(w, &member, kind, &[]);
        w.replica.log.draft(&intent, &w.replica.store)
    };
    assert!(matches!(
        draft(&w, Kind::Post),
        Err(DraftError::MergeFirst { heads: 5 })
    ));
    assert!(draft(&w, Kind::InviteCreate).is_ok());
    write(&mut w, &member, &Payload::Merge, &[]);
    assert_eq!(w.replica.log.dag().heads().len(), 1);
    assert!(draft(&w, Kind::Post).is_ok());
}

#[test]
fn what_cannot_be_written_says_why() {
    let mut w = World::new();
    let member = w.member.clone();
    let absent = [OpId::from_bytes([9; 32])];
    let wanted = intent(&w, &member, Kind::Post, &absent);
    let error = w.replica.log.draft(&wanted, &w.replica.store);
    assert!(matches!(error, Err(DraftError::Missing { op }) if op == absent[0]));

    let first = write(&mut w, &member, &post("one"), &[]);
    w.space.record(&first);
    let fork = w.space.post(&member, w.chat, "fork").after(None).forge();
    w.accepts(&fork);
    let wanted = intent(&w, &member, Kind::Post, &[]);
    let error = w.replica.log.draft(&wanted, &w.replica.store);
    assert!(matches!(error, Err(DraftError::Forked { heads }) if heads.len() == 2));
}

#[test]
fn a_fast_writer_is_told_until_when_to_wait() {
    let mut w = World::new();
    let member = w.member.clone();
    for kind in [post("fast"), Payload::Merge] {
        let pace = if kind.kind().is_control() { 60 } else { 120 };
        for _ in 0..pace {
            write(&mut w, &member, &kind, &[]);
        }
        let wanted = intent(&w, &member, kind.kind(), &[]);
        let until = match w.replica.log.draft(&wanted, &w.replica.store) {
            Err(DraftError::TooFast { until }) => until,
            other => panic!("not too fast: {other:?}"),
        };
        let wanted = Intent {
            now: until,
            ..wanted
        };
        let header = w
            .replica
            .log
            .draft(&wanted, &w.replica.store)
            .expect("slow enough");
        assert!(header.hlc >= Hlc::from_wall(until));
        let op = SignedOp::sign(header, &kind, member.key());
        assert!(matches!(w.replica.deliver(&op), Ok(Accept::Applied { .. })));
        w.space.now = until;
    }
}

#[test]
fn what_is_missing_of_the_own_lane_is_named_and_not_what_is_here() {
    let mut w = World::new();
    let member = w.member.clone();
    let chain: Vec<SignedOp> = (0..4)
        .map(|n| w.space.post(&member, w.chat, &n.to_string()).sign())
        .collect();
    let draft = |w: &World| {
        let wanted = intent(w, &member, Kind::Post, &[]);
        w.replica.log.draft(&wanted, &w.replica.store)
    };
    let lacks = |w: &World, missing: &SignedOp| {
        let error = draft(w).expect_err("a second op would stand at one place");
        assert!(
            matches!(error, DraftError::Lost { op } if op == missing.id()),
            "{error}"
        );
    };
    // All that came back of an older copy is the end, then the beginning.
    assert!(matches!(
        w.replica.deliver(&chain[3]),
        Ok(Accept::Held { .. })
    ));
    lacks(&w, &chain[2]);
    w.accepts(&chain[0]);
    lacks(&w, &chain[2]);
    assert!(matches!(
        w.replica.deliver(&chain[2]),
        Ok(Accept::Held { .. })
    ));
    lacks(&w, &chain[1]);
    assert!(w.replica.has(&chain[0].id()));
    w.accepts(&chain[1]);
    assert_eq!(draft(&w).expect("whole").seq, 4);
}
