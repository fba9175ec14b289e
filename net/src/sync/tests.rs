//! Two nodes in memory, a channel between them, and what must hold when they have talked.

mod world;

use std::collections::{BTreeMap, BTreeSet};

use oplog::{DeviceId, OpId, Scope};
use proptest::prelude::*;
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;

use super::*;
use world::{Lanes, Peer, World, hold};

/// What a session cost.
#[derive(Debug, Default)]
struct Cost {
    frames: usize,
    bytes: usize,
    delivered: usize,
    /// Times the direction of talk turned: what latency multiplies.
    turns: usize,
}

fn setup(role: Role, peer: &Peer, binding: &[u8]) -> SyncSetup {
    SyncSetup::new(role, binding.to_vec(), peer.keys.clone())
}

/// Runs a session to its end on both sides.
fn talk(a: &mut Peer, b: &mut Peer) -> Result<Cost, SyncFailure> {
    let (left, right) = (
        setup(Role::Initiator, a, b"ab"),
        setup(Role::Responder, b, b"ab"),
    );
    talk_with(a, b, left, right)
}

fn talk_with(
    a: &mut Peer,
    b: &mut Peer,
    left: SyncSetup,
    right: SyncSetup,
) -> Result<Cost, SyncFailure> {
    let rng = &mut ChaCha20Rng::from_seed([3; 32]);
    let (mut left, first) = SyncSession::new(left, rng);
    let (mut right, none) = SyncSession::new(right, rng);
    assert!(none.is_empty());
    let mut cost = Cost::default();
    let mut to_right: Vec<Vec<u8>> = perform(a, first, &mut cost)?.0;
    let mut done = (false, false);
    while !to_right.is_empty() {
        cost.turns += 1;
        let mut to_left = Vec::new();
        for frame in core::mem::take(&mut to_right) {
            let (frames, over) = perform(b, right.on_frame(&frame, &*b), &mut cost)?;
            to_left.extend(frames);
            done.1 |= over;
        }
        cost.turns += 1;
        for frame in to_left {
            let (frames, over) = perform(a, left.on_frame(&frame, &*a), &mut cost)?;
            to_right.extend(frames);
            done.0 |= over;
        }
        assert!(cost.frames < 100_000, "endless");
    }
    assert_eq!(done, (true, true), "both sides know that it is over");
    Ok(cost)
}

fn perform(
    peer: &mut Peer,
    actions: Vec<SyncAction>,
    cost: &mut Cost,
) -> Result<(Vec<Vec<u8>>, bool), SyncFailure> {
    let mut frames = Vec::new();
    let mut over = false;
    for action in actions {
        match action {
            SyncAction::Send(frame) => {
                assert!(frame.len() <= FRAME_BYTES_MAX);
                cost.frames += 1;
                cost.bytes += frame.len();
                frames.push(frame);
            }
            SyncAction::Peer { device, .. } => peer.met.push(device),
            SyncAction::DeliverOps { space, ops } => {
                assert_eq!(space, peer.space);
                cost.delivered += ops.len();
                peer.receive(ops);
            }
            SyncAction::Done => over = true,
            SyncAction::Fail(failure) => return Err(failure),
        }
    }
    Ok((frames, over))
}

/// Which part of a lane a node starts with.
#[derive(Clone, Copy, Debug)]
enum Part {
    Nothing,
    All,
    /// The first so many per cent.
    Begin(u8),
    /// The last so many per cent.
    End(u8),
    /// Every op that this seed picks.
    Random(u8),
}

fn part() -> impl Strategy<Value = Part> {
    prop_oneof![
        Just(Part::Nothing),
        Just(Part::All),
        (0u8..100).prop_map(Part::Begin),
        (0u8..100).prop_map(Part::End),
        any::<u8>().prop_map(Part::Random),
    ]
}

fn take(world: &World, parts: &[Part]) -> BTreeSet<OpId> {
    let mut out = BTreeSet::new();
    for (lane, part) in world.lanes.values().zip(parts.iter().cycle()) {
        let n = lane.len();
        let picked: Vec<OpId> = match *part {
            Part::Nothing => Vec::new(),
            Part::All => lane.clone(),
            Part::Begin(p) => lane[..n * usize::from(p) / 100].to_vec(),
            Part::End(p) => lane[n - n * usize::from(p) / 100..].to_vec(),
            Part::Random(seed) => lane
                .iter()
                .filter(|id| id.as_bytes()[0].wrapping_add(seed) % 3 == 0)
                .copied()
                .collect(),
        };
        out.extend(picked);
    }
    out
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn both_end_with_the_union(
        devices in 1usize..6,
        channels in 0usize..4,
        length in 1u64..30,
        fork in any::<bool>(),
        left in prop::collection::vec(part(), 1..20),
        right in prop::collection::vec(part(), 1..20),
    ) {
        let world = World::new(&Lanes { devices, channels, length, fork });
        let (have_a, have_b) = (take(&world, &left), take(&world, &right));
        let union: BTreeSet<OpId> = have_a.union(&have_b).copied().collect();
        let mut a = world.peer(0, &have_a);
        let mut b = world.peer(1, &have_b);
        let cost = talk(&mut a, &mut b).unwrap();
        prop_assert_eq!(hold(&a), union.clone());
        prop_assert_eq!(hold(&b), union.clone());
        // Nothing is sent twice.
        let missing = 2 * union.len() - have_a.len() - have_b.len();
        prop_assert_eq!(cost.delivered, missing);
        // A constant, the summaries, and what was missing with its framing.
        let ops: usize = 700 * missing;
        prop_assert!(cost.bytes < 16_000 + 100 * world.lanes.len() + 40 * union.len() + ops, "{cost:?}");
        // Control, content and their reconciliations: each a few turns.
        prop_assert!(cost.turns < 20 + 12 * (channels + 1), "{cost:?}");
        // Once more: they are equal, and know it at once.
        let again = talk(&mut a, &mut b).unwrap();
        prop_assert_eq!(again.delivered, 0);
    }

    #[test]
    fn any_frame_at_any_point_is_taken_or_fails_cleanly(
        garbage in prop::collection::vec(any::<u8>(), 0..300),
        at in 0usize..20,
        flip in any::<(u16, u8)>(),
        mode in 0u8..3,
    ) {
        let world = World::new(&Lanes { devices: 3, channels: 2, length: 6, fork: true });
        let mut a = world.peer(0, &take(&world, &[Part::Begin(50), Part::Random(1)]));
        let mut b = world.peer(1, &take(&world, &[Part::All, Part::Random(7)]));
        let rng = &mut ChaCha20Rng::from_seed([5; 32]);
        let (mut left, first) = SyncSession::new(setup(Role::Initiator, &a, b""), rng);
        let (mut right, _) = SyncSession::new(setup(Role::Responder, &b, b""), rng);
        let mut cost = Cost::default();
        let mut queue: std::collections::VecDeque<(bool, Vec<u8>)> =
            perform(&mut a, first, &mut cost).unwrap().0.into_iter().map(|f| (true, f)).collect();
        let mut n = 0;
        while let Some((rightwards, mut frame)) = queue.pop_front() {
            if n == at {
                match mode {
                    0 => frame = garbage.clone(),
                    1 if !frame.is_empty() => {
                        let i = usize::from(flip.0) % frame.len();
                        frame[i] ^= flip.1;
                    }
                    _ => frame.truncate(usize::from(flip.0) % (frame.len() + 1)),
                }
            }
            n += 1;
            prop_assert!(n < 5_000, "endless");
            let actions = if rightwards { right.on_frame(&frame, &b) } else { left.on_frame(&frame, &a) };
            let peer = if rightwards { &mut b } else { &mut a };
            match perform(peer, actions, &mut cost) {
                Ok((frames, _)) => queue.extend(frames.into_iter().map(|f| (!rightwards, f))),
                Err(_) => break,
            }
        }
    }
}

fn all(world: &World) -> BTreeSet<OpId> {
    world.ops.keys().copied().collect()
}

const SMALL: Lanes = Lanes {
    devices: 3,
    channels: 2,
    length: 10,
    fork: false,
};

#[test]
fn a_newcomer_gets_everything_in_causal_order_and_few_turns() {
    let world = World::new(&Lanes {
        devices: 20,
        channels: 10,
        length: 50,
        fork: false,
    });
    let mut a = world.peer(0, &BTreeSet::new());
    let mut b = world.peer(1, &all(&world));
    let cost = talk(&mut a, &mut b).unwrap();
    assert_eq!(hold(&a), all(&world));
    // Each plane in one question, though ten channels were unknown.
    assert!(cost.turns <= 30, "{cost:?}");
    let mut hlcs: BTreeMap<bool, Vec<_>> = BTreeMap::new();
    for op in &a.received {
        hlcs.entry(op.header().is_control())
            .or_default()
            .push(op.header().hlc);
    }
    assert!(
        a.received.is_sorted_by_key(|op| !op.header().is_control()),
        "control first"
    );
    assert!(hlcs[&true].is_sorted());
}

#[test]
fn equal_nodes_need_a_handful_of_frames() {
    let world = World::new(&SMALL);
    let mut a = world.peer(0, &all(&world));
    let mut b = world.peer(1, &all(&world));
    let cost = talk(&mut a, &mut b).unwrap();
    assert_eq!(cost.delivered, 0);
    assert!(cost.frames <= 14 && cost.bytes < 4_000, "{cost:?}");
}

#[test]
fn strangers_learn_nothing() {
    let world = World::new(&SMALL);
    let mut a = world.peer(0, &all(&world));
    let mut b = world.peer(1, &BTreeSet::new());
    for key in &mut b.keys {
        key.key = oplog::Secret::from_bytes([0xee; 32]);
    }
    let cost = talk(&mut a, &mut b).unwrap();
    assert!(b.ops.is_empty() && a.met.is_empty() && b.met.is_empty());
    assert_eq!(cost.delivered, 0);
}

#[test]
fn neighbours_several_epochs_apart_still_meet() {
    let world = World::new(&SMALL);
    // The first is far behind: it offers only what the second retains and does not offer.
    for swap in [false, true] {
        let mut a = world.peer(0, &all(&world));
        let mut b = world.peer(1, &BTreeSet::new());
        for (n, key) in b.keys.iter_mut().enumerate() {
            key.offered = n >= 2;
        }
        a.keys.truncate(2);
        if swap {
            core::mem::swap(&mut a, &mut b);
        }
        talk(&mut a, &mut b).unwrap();
        assert_eq!((a.met.len(), b.met.len()), (1, 1));
        assert_eq!(hold(&a), all(&world));
        assert_eq!(hold(&b), all(&world));
    }
}

#[test]
fn a_forwarded_session_fails() {
    let world = World::new(&SMALL);
    let mut a = world.peer(0, &all(&world));
    let mut b = world.peer(1, &BTreeSet::new());
    // Somebody between them: each end sees another channel.
    let left = setup(Role::Initiator, &a, b"a-mallory");
    let right = setup(Role::Responder, &b, b"mallory-b");
    talk_with(&mut a, &mut b, left, right).unwrap();
    assert!(b.ops.is_empty() && a.met.is_empty());
}

#[test]
fn a_device_needs_its_own_key() {
    let world = World::new(&SMALL);
    let mut a = world.peer(0, &all(&world));
    let mut b = world.peer(1, &BTreeSet::new());
    b.claims_to_be = Some(world.device(2));
    assert_eq!(talk(&mut a, &mut b).unwrap_err(), SyncFailure::Forged);
}

#[test]
fn a_removed_device_gets_control_up_to_its_removal_and_no_content() {
    let world = World::new(&SMALL);
    let removal = world.lanes[&world.lane(0, Scope::Control)][6];
    let past = world.control_past(&removal);
    for removed_leads in [true, false] {
        let mut member = world.peer(0, &all(&world));
        let mut removed = world.peer(1, &BTreeSet::new());
        member.removed.insert(world.device(1), vec![removal]);
        let cost = if removed_leads {
            talk(&mut removed, &mut member)
        } else {
            talk(&mut member, &mut removed)
        };
        cost.unwrap();
        assert_eq!(hold(&removed), past, "removed leads: {removed_leads}");
    }
}

#[test]
fn an_unknown_device_gives_first_and_then_gets() {
    let world = World::new(&SMALL);
    let papers = world.lanes[&world.lane(1, Scope::Control)][0];
    for unknown_leads in [true, false] {
        let own: BTreeSet<OpId> = world.control_past(&papers);
        let mut member = world.peer(0, &all(&world).difference(&own).copied().collect());
        let mut unknown = world.peer(1, &own);
        // Known once this op is here.
        member.papers.insert(world.device(1), papers);
        if unknown_leads {
            talk(&mut unknown, &mut member).unwrap();
        } else {
            talk(&mut member, &mut unknown).unwrap();
        }
        assert_eq!(hold(&unknown), all(&world));
        assert_eq!(hold(&member), all(&world));
        // Without papers, it gets nothing, and it ends.
        let mut member = world.peer(0, &all(&world).difference(&own).copied().collect());
        let mut unknown = world.peer(1, &BTreeSet::new());
        member.papers.insert(world.device(1), papers);
        talk(&mut unknown, &mut member).unwrap();
        assert!(unknown.ops.is_empty());
    }
}

#[test]
fn small_batches_and_acks_carry_large_differences() {
    let world = World::new(&Lanes {
        devices: 4,
        channels: 2,
        length: 200,
        fork: false,
    });
    let mut a = world.peer(0, &BTreeSet::new());
    let mut b = world.peer(1, &all(&world));
    let mut left = setup(Role::Initiator, &a, b"");
    let mut right = setup(Role::Responder, &b, b"");
    left.batch_bytes_max = 4_096;
    right.batch_bytes_max = 4_096;
    talk_with(&mut a, &mut b, left, right).unwrap();
    assert_eq!(hold(&a), all(&world));
}

#[test]
fn a_responder_answers_one_question_at_a_time_and_nothing_after_the_end() {
    let world = World::new(&SMALL);
    let mut a = world.peer(0, &all(&world));
    let mut b = world.peer(1, &all(&world));
    talk(&mut a, &mut b).unwrap();
    let (mut session, _) = SyncSession::new(
        setup(Role::Responder, &b, b""),
        &mut ChaCha20Rng::from_seed([1; 32]),
    );
    let bad = session.on_frame(&[0xff], &b);
    assert!(matches!(
        bad[..],
        [SyncAction::Fail(SyncFailure::Malformed(_))]
    ));
    assert!(session.is_over());
    let after = session.on_frame(&[0xff], &b);
    assert_eq!(after, vec![SyncAction::Fail(SyncFailure::Over)]);
}

#[test]
fn met_devices_are_the_ones_that_signed() {
    let world = World::new(&SMALL);
    let mut a = world.peer(0, &BTreeSet::new());
    let mut b = world.peer(2, &BTreeSet::new());
    talk(&mut a, &mut b).unwrap();
    let expected: (Vec<DeviceId>, Vec<DeviceId>) = (vec![world.device(2)], vec![world.device(0)]);
    assert_eq!((a.met, b.met), expected);
}
