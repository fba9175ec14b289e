//! Which ops are accepted depends on which came, never on order, duplicates, batches or restarts (I1, I2).

#![cfg(test)]
#![expect(
    clippy::cast_possible_truncation,
    reason = "a test counts small things"
)]

mod world;

use std::collections::{BTreeMap, BTreeSet};

use oplog::authority::{Authority, View};
use oplog::payload::{
    ChannelKind, Edit, InviteCreate, Leave, ModTombstone, Mute, Payload, React, Removal, RoleSet,
    Unban, Unmute, Weight,
};
use oplog::testing::{Device, channel_create, invite, member_add, post};
use oplog::{Accept, DeviceId, EpochId, Heads, Hlc, OpId, SignedOp};
use proptest::prelude::*;
use world::{Replica, World};

/// One step of a random history.
#[derive(Clone, Copy, Debug)]
struct Move {
    author: usize,
    act: u8,
    target: usize,
    /// How many control ops the author has not heard of yet.
    behind: usize,
}

fn arb_move() -> impl Strategy<Value = Move> {
    (0..12_usize, 0..24_u8, any::<u8>(), 0..4_usize).prop_map(|(author, act, target, behind)| {
        Move {
            author,
            act,
            target: usize::from(target),
            behind,
        }
    })
}

/// A history written by people who are behind, mistaken or malicious, with what a log made of it
/// that saw it in the order of writing.
struct History {
    world: World,
    ops: Vec<SignedOp>,
    accepted: BTreeSet<OpId>,
}

impl History {
    fn play(moves: &[Move]) -> Self {
        let world = World::new();
        let ops = world.space.ops().to_vec();
        let mut history = Self {
            accepted: ops.iter().map(SignedOp::id).collect(),
            world,
            ops,
        };
        let start = (history.world.space.heads(), history.world.space.epoch());
        let mut frontiers = vec![start];
        let mut seen: BTreeMap<DeviceId, usize> = BTreeMap::new();
        for step in moves {
            // Those who may do more do more, or little would be accepted.
            let by =
                history.device([0, 0, 0, 1, 1, 2, 2, 3, 4, 4, 5, 6 + step.target % 2][step.author]);
            let newest = frontiers.len() - 1;
            let known = seen.get(&by.id()).copied().unwrap_or(0);
            let at = newest.saturating_sub(step.behind).max(known);
            let op = history.write(step, &by, &frontiers[at]);
            history.ops.push(op.clone());
            match history.world.replica.deliver(&op) {
                Ok(Accept::Applied { accepted, .. }) => {
                    history.accepted.extend(accepted.iter().map(|op| op.id()));
                    history.world.space.record(&op);
                    seen.insert(by.id(), at);
                    if op.header().is_control() {
                        let heads = history.world.replica.log.dag().heads().to_vec();
                        frontiers.push((heads, history.world.space.epoch()));
                        seen.insert(by.id(), newest + 1);
                    }
                }
                // Somebody builds on the bad op now and then.
                Err(_) if step.target.is_multiple_of(3) => {
                    let child = history.world.space.post(&by, history.world.chat, "child");
                    let child = match op.header().scope {
                        oplog::Scope::Control => child.ctl(&[op.id()]),
                        oplog::Scope::Channel(_) => child.after(Some(&op)),
                    };
                    let child = child.forge();
                    assert!(history.world.replica.deliver(&child).is_err());
                    history.ops.push(child);
                }
                Err(_) => {}
                Ok(other) => panic!("in order nothing waits: {other:?}"),
            }
        }
        history
    }

    fn device(&self, n: usize) -> Device {
        let w = &self.world;
        let named = [
            &w.owner,
            &w.admin,
            &w.moderator,
            &w.second_moderator,
            &w.member,
            &w.second_member,
            &w.guest,
        ];
        match named.get(n) {
            Some(device) => Device::clone(device),
            None => w.space.person("newcomer").device(0),
        }
    }

    fn write(
        &mut self,
        step: &Move,
        by: &Device,
        (frontier, epoch): &(Vec<OpId>, EpochId),
    ) -> SignedOp {
        let target = self.device(step.target % 8);
        let said: Vec<OpId> = self
            .world
            .space
            .ops()
            .iter()
            .filter(|op| !op.header().is_control())
            .map(SignedOp::id)
            .collect();
        let about = said
            .get(step.target % said.len().max(1))
            .copied()
            .unwrap_or(self.world.space.genesis().id());
        let now = Hlc::from_wall(self.world.space.now);
        let chat = self.world.chat;
        let user = target.user();
        let cut = || Removal {
            target: user,
            cut: vec![],
            late: None,
            reason: String::new(),
            purge: vec![],
        };
        let roles = Weight::ROLES;
        let (payload, content) = match step.act {
            4..=6 if said.is_empty() => (post("first words"), Some(vec![])),
            0..=3 => (post("words"), Some(vec![])),
            4 => (
                Payload::React(React {
                    emoji: "👍".into()
                }),
                Some(vec![about]),
            ),
            5 => (
                Payload::Edit(Edit {
                    body: "better words".into(),
                    mentions: vec![],
                }),
                Some(vec![about]),
            ),
            6 => (
                Payload::ModTombstone(ModTombstone {
                    reason: String::new(),
                }),
                Some(vec![about]),
            ),
            7 => (Payload::Kick(cut()), None),
            8 => (Payload::Ban(cut()), None),
            9 => (Payload::Unban(Unban { target: user }), None),
            10 | 11 => (
                Payload::RoleSet(RoleSet {
                    target: user,
                    weight: roles[step.target % roles.len()],
                    reason: String::new(),
                }),
                None,
            ),
            12 => (
                Payload::Mute(Mute {
                    target: user,
                    channel: step.target.is_multiple_of(2).then_some(chat),
                    expires: (step.target % 4 > 1).then(|| now.plus_secs(20)),
                    reason: String::new(),
                }),
                None,
            ),
            13 => (
                Payload::Unmute(Unmute {
                    target: user,
                    channel: step.target.is_multiple_of(2).then_some(chat),
                }),
                None,
            ),
            14 | 15 | 22 => (member_add(&[(&target, Weight::MEMBER)], None), None),
            16 | 17 | 23 => return self.reconcile(by, frontier, *epoch),
            18 => (Payload::Merge, None),
            19 => (channel_create("another", ChannelKind::Chat), None),
            20 => (
                Payload::Leave(Leave {
                    reason: String::new(),
                }),
                None,
            ),
            _ => {
                let (open, secret): (InviteCreate, _) = invite(1, 2, now.plus_secs(3_600));
                let live = self
                    .world
                    .space
                    .ops()
                    .iter()
                    .rev()
                    .find(|op| matches!(op.payload(), Ok(Some(Payload::InviteCreate(_)))));
                match live {
                    Some(op) if !step.target.is_multiple_of(3) => {
                        let by_invite = Some((op.id(), &secret));
                        (member_add(&[(&target, Weight::MEMBER)], by_invite), None)
                    }
                    _ => (Payload::InviteCreate(open), None),
                }
            }
        };
        let draft = self.world.space.op(by, payload).ctl(frontier).epoch(*epoch);
        match content {
            Some(prev) => draft.channel(chat).prev(&prev).forge(),
            None => draft.forge(),
        }
    }

    /// Commits what the author's view authorises on the epoch they know.
    fn reconcile(&mut self, by: &Device, frontier: &[OpId], epoch: EpochId) -> SignedOp {
        let w = &mut self.world;
        let view = w.replica.authority.view(w.replica.log.dag(), frontier);
        let authorised = view.authorised_devices();
        let roster = w.space.roster(&epoch);
        let gone: Vec<DeviceId> = roster
            .keys()
            .filter(|d| !authorised.contains_key(*d))
            .copied()
            .collect();
        let all: Vec<Device> = (0..8).map(|n| self.device(n)).collect();
        let new: Vec<&Device> = all
            .iter()
            .filter(|d| authorised.contains_key(&d.id()) && !roster.contains_key(&d.id()))
            .collect();
        let draft = self.world.space.commit_on(epoch, by, &new, &gone);
        draft.ctl(frontier).forge()
    }
}

/// Small pseudo-random numbers (SplitMix64), so that a failing delivery is one seed.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % sides.max(1) as u64) as usize
    }
}

/// The ends of lanes, read from their rows.
fn heads(replica: &Replica) -> Heads {
    let all = replica.log.table().all_lanes(&replica.store).expect("read");
    all.into_iter()
        .map(|head| {
            (
                head.lane,
                head.ops.iter().map(|id| (head.seq, *id)).collect(),
            )
        })
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn arrival_order_duplicates_batches_and_restarts_are_irrelevant(
        moves in proptest::collection::vec(arb_move(), 5..45),
        seed in any::<u64>(),
    ) {
        let mut history = History::play(&moves);
        let mut dice = Dice(seed);
        let mut order: Vec<usize> = (0..history.ops.len()).collect();
        for n in (1..order.len()).rev() {
            order.swap(n, dice.roll(n + 1));
        }
        let mut replica = Replica::of(&history.world.space);
        for n in &order {
            let _ = replica.deliver(&history.ops[*n]);
            let _ = replica.deliver(&history.ops[dice.roll(history.ops.len())]);
            prop_assert_eq!(&*replica.log.heads(&replica.store).expect("read"), &heads(&replica));
            match dice.roll(12) {
                0..=2 => replica.commit(),
                3 => {
                    let resumed = replica.restart();
                    prop_assert!(resumed.damaged.is_empty());
                }
                _ => {}
            }
        }
        // What a crash took is sent again, in an order of its own.
        for n in order.iter().rev() {
            let _ = replica.deliver(&history.ops[*n]);
        }
        prop_assert_eq!(replica.log.holdback().missing(9), vec![]);
        prop_assert!(replica.log.holdback().is_empty());
        for op in &history.ops {
            let (id, expected) = (op.id(), history.accepted.contains(&op.id()));
            prop_assert_eq!(replica.has(&id), expected, "{:?} {:?}", id, op.header().kind());
        }
        let heads = replica.log.dag().heads().to_vec();
        prop_assert_eq!(&heads, history.world.replica.log.dag().heads());
        let there = replica.authority.view(replica.log.dag(), &heads);
        let here = &mut history.world.replica;
        let here = here.authority.view(here.log.dag(), &heads);
        prop_assert_eq!(there, here);
    }
}

#[test]
fn holdback_waits_for_the_whole_causal_past() {
    // child<parents        outcome: + applied, ? missing, = duplicate
    for (arrivals, expected) in [
        ("a b<a", "+a +b"),
        ("d<b,c a c<a b<a", "?bc +a +c +bd"),
        ("b<a b<a a", "?a ?a +ab"),
        ("a a b<a b<a", "+a = +b ="),
        ("c<b b<a a", "?b ?a +abc"),
        ("e<d d<b,c c<a b<a a", "?d ?bc ?a ?a +abcde"),
    ] {
        assert_eq!(deliver(arrivals), expected, "arrivals: {arrivals}");
    }
}

/// Delivers posts named by letters; those that build on others answer them.
fn deliver(arrivals: &str) -> String {
    let mut w = World::new();
    let member = w.member.clone();
    let mut posts: BTreeMap<char, SignedOp> = BTreeMap::new();
    // Every post begins the lane anew, so that nothing but the named parents orders them.
    let spec: BTreeMap<char, Vec<char>> = arrivals
        .split(' ')
        .map(|word| {
            let (name, parents) = word.split_once('<').unwrap_or((word, ""));
            let parents = parents.split(',').filter_map(|p| p.chars().next());
            (name.chars().next().expect("a letter"), parents.collect())
        })
        .collect();
    for (name, parents) in &spec {
        let prev: Vec<OpId> = parents.iter().map(|p| posts[p].id()).collect();
        let draft = w.space.post(&member, w.chat, &name.to_string());
        let op = draft.after(None).prev(&prev).sign();
        posts.insert(*name, op);
    }
    let letter = |id: &OpId| posts.iter().find(|(_, op)| op.id() == *id).map(|(c, _)| *c);
    let letters = |ids: &mut dyn Iterator<Item = OpId>| {
        let mut out: Vec<char> = ids.filter_map(|id| letter(&id)).collect();
        out.sort_unstable();
        out.into_iter().collect::<String>()
    };
    let mut out = Vec::new();
    for word in arrivals.split(' ') {
        let op = &posts[&word.chars().next().expect("a letter")];
        out.push(match w.replica.deliver(op).expect("valid") {
            Accept::Applied { accepted, refused } => {
                assert!(refused.is_empty());
                let order: Vec<Hlc> = accepted.iter().map(|op| op.header().hlc).collect();
                assert!(order.is_sorted(), "parents come first");
                format!("+{}", letters(&mut accepted.iter().map(|op| op.id())))
            }
            Accept::Held { missing } => format!("?{}", letters(&mut missing.into_iter())),
            Accept::Duplicate => "=".to_owned(),
            other @ (Accept::Deferred { .. } | Accept::Waiting(_)) => panic!("{other:?}"),
        });
    }
    out.join(" ")
}

#[test]
fn what_is_missing_is_gone_through_from_any_place() {
    let mut w = World::new();
    let member = w.member.clone();
    let unknown = |n: u8| OpId::from_bytes([n; 32]);
    for first in [10, 20, 30] {
        let prev: Vec<OpId> = (first..first + 4).map(unknown).collect();
        let draft = w.space.post(&member, w.chat, &first.to_string());
        let op = draft.after(None).prev(&prev).sign();
        let held = w.replica.deliver(&op).expect("valid");
        assert!(matches!(held, Accept::Held { .. }), "{held:?}");
    }
    let all = w.replica.log.missing(99);
    assert_eq!(all.len(), 12);
    for limit in [1, 5, 12, 20] {
        for (at, after) in all.iter().enumerate() {
            let next = all.iter().cycle().skip(at + 1);
            let expected: Vec<OpId> = next.take(limit.min(all.len())).copied().collect();
            let missing = w.replica.log.missing_after(after, limit);
            assert_eq!(missing, expected, "{limit} after {at}");
        }
    }
    assert_eq!(w.replica.log.missing_after(&OpId::ZERO, 99), all);
}
