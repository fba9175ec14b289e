//! Decoding inverts encoding, for every kind; any bytes decode or fail cleanly.

#![cfg(test)]
#![expect(
    clippy::cast_possible_truncation,
    reason = "a test counts small things"
)]

mod samples;

use oplog::payload::Payload;
use oplog::testing::{START, TestSpace};
use oplog::{Authoring, ChannelId, Kind, OP_BYTES_MAX, Scope, SignedOp};
use proptest::prelude::*;
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;
use samples::Dice;

/// Signs a payload into a well-formed op; the rules are not at stake here.
fn signed(payload: &Payload) -> SignedOp {
    let space = TestSpace::found(1);
    let founder = space.founder();
    let kind = payload.kind();
    let header = Authoring {
        space: space.id(),
        user: founder.user(),
        device: founder.id(),
        scope: match kind.is_control() {
            true => Scope::Control,
            false => Scope::Channel(ChannelId::from_bytes([5; 16])),
        },
        head: None,
        ctl: vec![(space.genesis().id(), space.genesis().header().hlc)],
        prev: vec![],
        epoch: space.epoch(),
        now: START,
    };
    let header = header.header(kind).expect("one reference");
    SignedOp::sign(header, payload, founder.key())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn every_kind_survives_the_wire(seed in any::<u64>()) {
        let mut dice = Dice(seed);
        for kind in Kind::ALL {
            let Some(payload) = samples::payload(*kind, &mut dice) else {
                prop_assert!(Payload::decode(*kind, &[]).is_err());
                continue;
            };
            let bytes = payload.encode();
            prop_assert_eq!(Payload::decode(*kind, &bytes), Ok(payload.clone()), "{}", kind);
            let op = signed(&payload);
            let wire = op.encode();
            prop_assert!(wire.len() <= op.size());
            let back = SignedOp::decode(&wire);
            prop_assert_eq!(back.as_ref(), Ok(&op));
            prop_assert_eq!(back.expect("equal").payload(), Ok(Some(payload)));
            prop_assert!(op.clone().verify().is_ok());
            let pruned = op.pruned();
            prop_assert_eq!(SignedOp::decode(&pruned.encode()), Ok(pruned));
        }
    }

    #[test]
    fn a_changed_payload_is_another_one_or_none(seed in any::<u64>(), at in any::<prop::sample::Index>(), to in any::<u8>()) {
        let mut dice = Dice(seed);
        for kind in Kind::ALL {
            let Some(payload) = samples::payload(*kind, &mut dice) else { continue };
            let mut bytes = payload.encode();
            if bytes.is_empty() {
                continue;
            }
            let at = at.index(bytes.len());
            if bytes[at] == to {
                continue;
            }
            bytes[at] = to;
            if let Ok(other) = Payload::decode(*kind, &bytes) {
                prop_assert_ne!(&other, &payload);
                // Whatever is read has no second encoding.
                prop_assert_eq!(other.encode(), bytes);
            }
        }
    }

    #[test]
    fn a_changed_op_is_refused_or_another_one(seed in any::<u64>(), at in any::<prop::sample::Index>(), to in any::<u8>()) {
        let mut dice = Dice(seed);
        let kind = Kind::ALL[dice.up_to(35) as usize];
        let Some(payload) = samples::payload(kind, &mut dice) else { return Ok(()) };
        let op = signed(&payload);
        let mut wire = op.encode();
        let at = at.index(wire.len());
        prop_assume!(wire[at] != to);
        wire[at] = to;
        if let Ok(other) = SignedOp::decode(&wire) {
            prop_assert_eq!(other.encode(), wire);
            prop_assert!(other.verify().is_err(), "a changed byte kept the signature");
        }
    }

    #[test]
    fn a_batch_says_what_single_checks_say(bad in proptest::collection::btree_set(0..150_usize, 0..6), len in 0..150_usize) {
        let payload = Payload::Merge;
        let mut space = TestSpace::found(1);
        let founder = space.founder();
        let ops: Vec<SignedOp> = (0..len)
            .map(|n| {
                // A bad one names another device than the one whose key signs.
                let draft = space.op(&founder, payload.clone());
                match bad.contains(&n) {
                    true => draft.tweak(|h| h.device = oplog::DeviceId::from_bytes([3; 32])).forge(),
                    false => draft.sign(),
                }
            })
            .collect();
        let mut rng = ChaCha20Rng::seed_from_u64(1);
        let batch = SignedOp::verify_batch(ops.clone(), &mut rng);
        prop_assert_eq!(batch.len(), ops.len());
        for ((n, op), checked) in ops.into_iter().enumerate().zip(batch) {
            prop_assert_eq!(checked.is_ok(), !bad.contains(&n));
            match (checked, op.clone().verify()) {
                (Ok(a), Ok(b)) => prop_assert_eq!(a, b),
                (Err((back, a)), Err(b)) => prop_assert!(back == op && a == b),
                _ => prop_assert!(false, "batch and single check disagree"),
            }
        }
    }

    #[test]
    fn any_bytes_decode_or_fail_cleanly(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        if let Ok(op) = SignedOp::decode(&bytes) {
            prop_assert_eq!(op.encode(), bytes.clone());
        }
        for kind in Kind::ALL {
            if let Ok(payload) = Payload::decode(*kind, &bytes) {
                prop_assert_eq!(payload.encode(), bytes.clone());
            }
        }
    }

    #[test]
    fn a_cut_op_fails_cleanly(seed in any::<u64>(), at in any::<prop::sample::Index>()) {
        let mut dice = Dice(seed);
        let payload = samples::payload(Kind::Commit, &mut dice).expect("a kind we have");
        let wire = signed(&payload).encode();
        let cut = at.index(wire.len());
        prop_assert!(SignedOp::decode(&wire[..cut]).is_err());
    }
}

#[test]
fn nothing_longer_than_the_limit_is_read() {
    assert!(SignedOp::decode(&vec![0x83; OP_BYTES_MAX + 1]).is_err());
    // Nesting without end is an error, not a stack.
    assert!(SignedOp::decode(&vec![0x81; 100_000]).is_err());
    assert!(Payload::decode(Kind::Post, &vec![0x81; 100_000]).is_err());
}
