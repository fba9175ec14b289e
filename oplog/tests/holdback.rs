//! Holdback and deferral stay within their bounds, whatever comes (I18), and honest chains still drain.

#![cfg(test)]
#![expect(
    clippy::cast_possible_truncation,
    reason = "a test counts small things"
)]

mod world;

use std::collections::{BTreeMap, BTreeSet};

use oplog::deferral::{AHEAD_MS_MAX, DEFERRED_PER_DEVICE_MAX, Deferral};
use oplog::holdback::{HELD_BYTES_MAX, HELD_MS_MAX, HELD_OPS_MAX, HELD_PER_DEVICE_MAX, Holdback};
use oplog::keys::SecretKey;
use oplog::testing::START;
use oplog::{
    Accept, Authoring, ChannelId, DeviceId, EpochId, Hlc, Kind, OpId, Scope, SignedOp, SpaceId,
    Timestamp, UserId, VerifiedOp,
};
use proptest::prelude::*;
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;
use world::World;

/// An op of device `n` at time `at` with a payload of this many bytes; what it names is up to the test.
fn op(n: u8, at: u64, bytes: usize) -> SignedOp {
    let key = SecretKey::from_seed(&[n; 32]);
    let header = Authoring {
        space: SpaceId::from_bytes([1; 32]),
        user: UserId::from_bytes([2; 32]),
        device: DeviceId::from_bytes(key.public()),
        scope: Scope::Channel(ChannelId::from_bytes([3; 16])),
        head: None,
        ctl: vec![],
        prev: vec![],
        epoch: EpochId::from_bytes([4; 32]),
        now: START.plus_ms(at),
    };
    let header = header.header(Kind::Post).expect("few references");
    SignedOp::sign_raw(header, vec![n; bytes], &key)
}

fn verified(ops: Vec<SignedOp>) -> Vec<VerifiedOp> {
    let mut rng = ChaCha20Rng::seed_from_u64(1);
    let ops = SignedOp::verify_batch(ops, &mut rng);
    ops.into_iter().map(|op| op.expect("signed")).collect()
}

fn id(n: u64) -> OpId {
    OpId::of_header(&n.to_be_bytes())
}

#[test]
fn one_device_holds_500_and_keeps_what_is_nearest_to_release() {
    let mut holdback = Holdback::default();
    let ops = verified((0..600).map(|at| op(1, at, 1)).collect());
    let ids: Vec<OpId> = ops.iter().map(|op| op.id()).collect();
    // The deepest come first, as when a lane is fetched backwards.
    for op in ops.into_iter().rev() {
        holdback.hold(op, BTreeSet::from([id(0)]), START);
        assert!(holdback.len() <= HELD_PER_DEVICE_MAX);
    }
    assert_eq!(holdback.len(), HELD_PER_DEVICE_MAX);
    assert!(ids[..500].iter().all(|id| holdback.contains(id)));
    assert_eq!(holdback.missing(10), vec![id(0)]);
    let ready: Vec<OpId> = holdback.settle(&id(0)).iter().map(|op| op.id()).collect();
    assert_eq!(ready, ids[..500]);
    assert!(holdback.is_empty() && holdback.bytes() == 0);
    assert_eq!(holdback.missing(10), vec![]);
}

#[test]
fn a_space_holds_32_mib() {
    let mut holdback = Holdback::default();
    let mebibyte = 1024 * 1024;
    for n in 0..40 {
        let op = op(n, u64::from(n), mebibyte).verify().expect("signed");
        holdback.hold(op, BTreeSet::from([id(0)]), START.plus_ms(u64::from(n)));
        assert!(holdback.bytes() <= HELD_BYTES_MAX);
    }
    assert_eq!(holdback.len(), 31);
}

#[test]
fn a_space_holds_10_000_ops_and_lets_the_oldest_go() {
    let mut holdback = Holdback::default();
    let ops = (0..21).flat_map(|n| (0..500).map(move |at| op(n, at, 1)));
    let ops = verified(ops.collect());
    let first = ops[0].id();
    for (n, op) in ops.into_iter().enumerate() {
        let now = START.plus_ms(n as u64);
        holdback.hold(op, BTreeSet::from([id(0)]), now);
        assert!(holdback.len() <= HELD_OPS_MAX);
    }
    assert_eq!(holdback.len(), HELD_OPS_MAX);
    assert!(!holdback.contains(&first));
}

#[test]
fn nothing_is_held_longer_than_14_days() {
    let mut holdback = Holdback::default();
    let [old, new] = [op(1, 1, 1), op(1, 2, 1)].map(|op| op.verify().expect("signed"));
    let (old_id, new_id) = (old.id(), new.id());
    holdback.hold(old, BTreeSet::from([id(0)]), START);
    holdback.hold(new, BTreeSet::from([id(0)]), START.plus_ms(1));
    let edge = START.plus_ms(HELD_MS_MAX);
    assert_eq!(holdback.expire(edge), vec![]);
    assert_eq!(holdback.expire(edge.plus_ms(1)), vec![old_id]);
    assert!(holdback.contains(&new_id));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Against the plainest model: a map from op to what it misses.
    #[test]
    fn ops_leave_when_the_last_missing_one_is_settled(
        calls in proptest::collection::vec((0..30_u64, proptest::collection::btree_set(0..8_u64, 0..4), any::<bool>()), 1..60),
    ) {
        let pool = verified((0..30).map(|at| op(1, at, 1)).collect());
        let mut holdback = Holdback::default();
        let mut model: BTreeMap<OpId, BTreeSet<OpId>> = BTreeMap::new();
        for (n, deps, settle) in calls {
            if settle {
                let dep = id(n % 8);
                let ready: BTreeSet<OpId> = holdback.settle(&dep).iter().map(|op| op.id()).collect();
                let mut expected = BTreeSet::new();
                for (op, missing) in &mut model {
                    if missing.remove(&dep) && missing.is_empty() {
                        expected.insert(*op);
                    }
                }
                model.retain(|_, missing| !missing.is_empty());
                prop_assert_eq!(ready, expected);
            } else {
                let op = pool[n as usize].clone();
                let missing: BTreeSet<OpId> = deps.into_iter().map(id).collect();
                if !missing.is_empty() {
                    model.entry(op.id()).or_insert_with(|| missing.clone());
                }
                holdback.hold(op, missing, START);
            }
            prop_assert_eq!(holdback.len(), model.len());
            let missing: BTreeSet<OpId> = model.values().flatten().copied().collect();
            prop_assert_eq!(holdback.missing(99), missing.into_iter().collect::<Vec<_>>());
        }
    }
}

#[test]
fn an_honest_chain_drains_through_a_flood() {
    let mut w = World::new();
    let member = w.member.clone();
    let chain: Vec<SignedOp> = (0..20)
        .map(|n| w.space.post(&member, w.chat, &n.to_string()).sign())
        .collect();
    // Strangers send ops that name nothing real, as many as one may sign.
    let flood: Vec<SignedOp> = (0..600)
        .map(|n| {
            let stranger = w.space.person(&format!("stranger {}", n % 3)).device(0);
            w.space.now = w.space.now.plus_ms(1);
            let draft = w.space.post(&stranger, w.chat, &n.to_string());
            draft.ctl(&[id(n)]).forge()
        })
        .collect();
    for op in flood {
        assert!(matches!(w.replica.deliver(&op), Ok(Accept::Held { .. })));
    }
    for op in chain.iter().skip(1).rev() {
        assert!(matches!(w.replica.deliver(op), Ok(Accept::Held { .. })));
    }
    match w.replica.deliver(&chain[0]) {
        Ok(Accept::Applied { accepted, .. }) => {
            let accepted: Vec<OpId> = accepted.iter().map(|op| op.id()).collect();
            let expected: Vec<OpId> = chain.iter().map(SignedOp::id).collect();
            assert_eq!(accepted, expected);
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_builds_on_an_invalid_op_falls_with_it() {
    let mut w = World::new();
    let guest = w.guest.clone();
    let bad = w.space.post(&guest, w.chat, "I may only read").sign();
    let child = w.space.post(&guest, w.chat, "still").sign();
    let grandchild = w.space.post(&guest, w.chat, "and still").sign();
    for op in [&grandchild, &child] {
        assert!(matches!(w.replica.deliver(op), Ok(Accept::Held { .. })));
    }
    assert!(w.replica.deliver(&bad).is_err());
    assert!(w.replica.log.holdback().is_empty());
    for op in [&child, &grandchild] {
        assert_eq!(w.replica.log.refused_by(&op.id()), Some(oplog::Rule::S1));
    }
}

#[test]
fn a_released_op_that_is_invalid_is_reported() {
    let mut w = World::new();
    let (member, guest) = (w.member.clone(), w.guest.clone());
    let said = w.space.post(&member, w.chat, "words").sign();
    let reaction = oplog::Payload::React(oplog::payload::React {
        emoji: "👍".into()
    });
    let bad = w.space.op(&guest, reaction.clone()).channel(w.chat);
    let bad = bad.prev(&[said.id()]).sign();
    let worse = w.space.op(&guest, reaction).channel(w.chat);
    let worse = worse.prev(&[said.id()]).sign();
    for op in [&bad, &worse] {
        assert!(matches!(w.replica.deliver(op), Ok(Accept::Held { .. })));
    }
    let Ok(Accept::Applied { accepted, refused }) = w.replica.deliver(&said) else {
        panic!("not applied");
    };
    assert_eq!(accepted.len(), 1);
    let refused: Vec<_> = refused.iter().map(|r| (r.id, r.error.rule())).collect();
    let (r6, s1) = (Some(oplog::Rule::R6), Some(oplog::Rule::S1));
    assert_eq!(refused, vec![(bad.id(), r6), (worse.id(), s1)]);
}

#[test]
fn ops_from_the_future_wait_until_their_time() {
    let mut w = World::new();
    let member = w.member.clone();
    let now = w.space.now;
    w.replica.now = now;
    w.space.now = now.plus_ms(AHEAD_MS_MAX + 1_000);
    let early = w.space.post(&member, w.chat, "tomorrow").sign();
    let child = w.space.post(&member, w.chat, "and on").sign();
    // The child is deferred too, and comes after its parent whatever came first.
    for op in [&child, &early] {
        assert!(matches!(w.replica.deliver(op), Ok(Accept::Deferred { .. })));
    }
    // Nobody may send them a second time: a restart changes nothing.
    w.replica.commit();
    w.replica.restart();
    let due = w.replica.log.deferral().next_due().expect("two wait");
    for (now, expected) in [(now, 0), (due, 1), (due.plus_ms(2_000), 1)] {
        let r = &mut w.replica;
        let done = r.log.due(now, &mut r.store, &mut r.authority);
        assert_eq!(done.len(), expected);
        for (_, result) in done {
            assert!(matches!(result, Ok(Accept::Applied { .. })), "{result:?}");
        }
    }
    assert!(w.replica.has(&child.id()) && w.replica.log.deferral().is_empty());
}

#[test]
fn deferral_is_bounded_and_drops_what_is_furthest_ahead() {
    let mut deferral = Deferral::default();
    let ops = verified((0..700).map(|at| op(1, 1_000_000 + at, 1)).collect());
    let dropped: usize = ops.into_iter().map(|op| deferral.put(op).len()).sum();
    assert_eq!(dropped, 700 - DEFERRED_PER_DEVICE_MAX);
    assert_eq!(deferral.len(), DEFERRED_PER_DEVICE_MAX);
    let ready = deferral.due(START.plus_ms(1_000_000 + 499 - AHEAD_MS_MAX));
    assert_eq!(ready.len(), DEFERRED_PER_DEVICE_MAX);
}

#[test]
fn the_edge_of_the_future_is_a_whole_millisecond() {
    let now = Timestamp::from_ms(START.as_ms());
    let edge = Hlc::from_wall(now.plus_ms(AHEAD_MS_MAX));
    assert_eq!(Deferral::until(edge, now), None);
    // An own op, a tick after one at the edge, is not deferred by its own node.
    let tick = Hlc::tick(now, edge, []);
    assert_eq!(Deferral::until(tick, now), None);
    let ahead = Hlc::from_wall(now.plus_ms(AHEAD_MS_MAX + 2));
    assert!(Deferral::until(ahead, now).is_some());
}
