//! Random histories: people who duel, moderate, talk, leave and come back, each knowing something
//! else, some of them cheating.

use std::collections::{BTreeMap, BTreeSet};

use oplog::authority::View;
use oplog::payload::{
    ChannelUpdate, Closure, CommitComplaint, CutAttest, CutHead, DeviceRevoke, EquivocationProof,
    InviteRevoke, LatePolicy, Leave, Mute, Payload, PolicySet, PurgeFrom, QuorumAct, QuorumSigner,
    ReaddRequest, RoleSet, ScopeCut, Seal, SignedHeader, ThreadUpdate, Unban, Unmute, Verb, Weight,
};
use oplog::testing::{START, member_add};
use oplog::{DeviceId, Digest, EpochId, Hlc, Kind, OpId, Scope, SignedOp, UserId};
use proptest::prelude::*;
use proptest::strategy::ValueTree;

use crate::world::{
    OWNER, PEOPLE, Saying, World, edit, open_invite, post, react, removal, thread, tombstone,
};

/// One step: who, what, about whom or what, two arguments, who tells whom, when, which trick.
type Step = [u8; 9];

/// What a history is mostly about.
#[derive(Clone, Copy, Debug)]
enum Mood {
    Authority,
    Content,
    Both,
}

fn history(mood: Mood, steps: &[Step]) -> World {
    let mut world = World::new();
    world.space.now = START.plus_ms(500_000);
    if !matches!(mood, Mood::Authority) {
        let forum = world.forum;
        let _opened = world.say(OWNER, Saying::new(thread("the first")).on(forum, &[]));
        for who in 1..8 {
            let chat = world.chat;
            let _said = world.say(who, Saying::new(post(None, None, "hello")).on(chat, &[]));
        }
        world.tell_all();
    }
    // Two camps in which news spread fast, and between which they rarely do.
    let camps = steps
        .first()
        .map_or(0, |s| u16::from_be_bytes([s[7], s[8]]));
    let same_camp = |a: usize, b: usize| (camps >> a & 1) == (camps >> b & 1);
    for (n, step) in (0..).zip(steps) {
        let [who, what, target, a, b, from, to, when, trick] = *step;
        // Everybody's clock is a little off.
        let jitter = u64::from(when % 16) * 700;
        world.space.now = START.plus_ms(1_000_000 + n * 2_000 + jitter);
        if when >= 250 {
            world.space.now = world.space.now.plus_ms(7 * 3_600_000);
        }
        let choice = match mood {
            // The last ones are about devices, seals and quorums.
            Mood::Authority => [what % 24, EVIDENCE + what / 4 % 8][usize::from(what % 4 == 3)],
            Mood::Content => 24 + what % 16,
            Mood::Both => what % 48,
        };
        // Most of what comes to mind nobody may do: try others, and on others.
        for other in 0..5 {
            let who = usize::from(who.wrapping_add(other)) % PEOPLE;
            let target = target.wrapping_add(other.wrapping_mul(3));
            let Some(saying) = saying(&mut world, who, choice, target, a, b) else {
                continue;
            };
            let trick = if other == 0 { trick } else { u8::MAX };
            let saying = tricked(&world, who, saying, trick, b);
            if world.say(who, saying).is_ok() {
                break;
            }
        }
        let (teller, hearer) = (usize::from(from) % PEOPLE, usize::from(to) % PEOPLE);
        if from < 20 {
            world.tell(teller, hearer);
        }
        if from < 170 {
            for other in (0..PEOPLE).filter(|other| same_camp(teller, *other)) {
                world.tell(other, teller);
            }
            for other in (0..PEOPLE).filter(|other| same_camp(teller, *other)) {
                world.tell(teller, other);
            }
        }
        if from > 249 {
            world.tell_all();
        }
    }
    world
}

fn tricked(world: &World, who: usize, mut saying: Saying, trick: u8, b: u8) -> Saying {
    match trick {
        // Claims to have seen less.
        0..=7 => saying.forgets = Some(usize::from(b % 3)),
        // An older epoch, or one off the chain.
        8..=30 => saying.epoch = Some(world.epoch_of(who, usize::from(b % 4))),
        // The lane forks.
        31..=36 => {
            let scope = saying.channel.map_or(Scope::Control, Scope::Channel);
            let own = world.known(who, |op| {
                op.header().scope == scope && op.header().device == world.devices[who].id()
            });
            if !own.is_empty() {
                saying.after = Some(own[usize::from(b) % own.len()]);
            }
        }
        37..=42 if saying.channel.is_some() => saying.bytes = Some(vec![0xa1, 0x18]),
        43..=46 if saying.channel.is_some() => saying.pruned = true,
        _ => {}
    }
    saying
}

#[expect(clippy::too_many_lines, reason = "a list of choices")]
fn saying(world: &mut World, who: usize, what: u8, target: u8, a: u8, b: u8) -> Option<Saying> {
    let person = usize::from(target) % PEOPLE;
    let user = world.devices[person].user();
    let scopes = [world.chat, world.forum, world.news];
    let scope = scopes[usize::from(a) % 3];
    let maybe_scope = (b.is_multiple_of(3)).then_some(scope);
    let weights = [5, 10, 20, 50, 100, 10];
    let weight = Weight::new(weights[usize::from(a) % weights.len()]);
    let reason = String::new();
    let control = |payload| Some(Saying::new(payload));
    match what {
        0 => control(Payload::Kick(a_removal(world, who, user, a, b))),
        1 | 2 => control(Payload::Ban(a_removal(world, who, user, a, b))),
        3 => control(Payload::Unban(Unban { target: user })),
        4 | 5 | 19 => control(Payload::RoleSet(RoleSet {
            target: user,
            weight,
            reason,
        })),
        6 => control(Payload::Mute(Mute {
            target: user,
            channel: maybe_scope,
            expires: (b.is_multiple_of(2))
                .then(|| Hlc::from_wall(world.space.now.plus_ms(u64::from(a) * 400))),
            reason,
        })),
        7 => control(Payload::Unmute(Unmute {
            target: user,
            channel: maybe_scope,
        })),
        8 if a < 128 => control(Payload::Leave(Leave { reason })),
        9 => {
            let (invite, key) = open_invite(world.order.len() as u64, u32::from(b % 3) + 1);
            let id = world.say(who, Saying::new(Payload::InviteCreate(invite)));
            world.invites.extend(id.ok().map(|id| (id, key)));
            None
        }
        10 => {
            let (invite, _) = world
                .invites
                .get(usize::from(a) % world.invites.len().max(1))?;
            control(Payload::InviteRevoke(InviteRevoke { invite: *invite }))
        }
        11 | 12 => {
            let (invite, key) = world
                .invites
                .get(usize::from(a) % world.invites.len().max(1))?;
            let add = [(&world.devices[person], Weight::MEMBER)];
            control(member_add(&add, Some((*invite, key))))
        }
        13 => {
            let two = &world.devices[(person + 1) % PEOPLE];
            let mut add = vec![(&world.devices[person], weight)];
            if b.is_multiple_of(4) && two.user() != user {
                add.push((two, Weight::MEMBER));
            }
            control(member_add(&add, None))
        }
        14 | 15 => reconcile(world, who, a),
        16 => control(Payload::PolicySet(PolicySet {
            name: (b.is_multiple_of(3)).then(|| format!("name {b}")),
            kick_late: (b % 3 == 1).then_some(late(a)),
            ban_late: (b % 3 == 2).then_some(late(a)),
            features: None,
            timing_privacy: None,
            dedup: None,
            seal_every: b.is_multiple_of(5).then_some(u32::from(b)),
        })),
        17 => control(Payload::ChannelUpdate(ChannelUpdate {
            channel: scope,
            name: (b.is_multiple_of(5)).then(|| format!("channel {b}")),
            topic: (b % 5 == 1).then(|| format!("topic {b}")),
            category: None,
            archived: (b % 5 == 2).then_some(b.is_multiple_of(2)),
            permissions: if b % 5 > 2 {
                vec![node::ChannelPermission {
                    verb: [
                        Verb::Post,
                        Verb::Tombstone,
                        Verb::Own,
                        Verb::Pin,
                        Verb::Mute,
                    ][usize::from(b / 5) % 5],
                    least: Weight::new([10, 20, 50, 5][usize::from(b / 25) % 4]),
                }]
            } else {
                vec![]
            },
        })),
        18 if b < 100 => {
            let package = world.devices[who].clone().renewed();
            world.devices[who] = package;
            let key_package = world.devices[who].key_package().into();
            control(Payload::ReaddRequest(ReaddRequest {
                key_package,
                nonce: Digest::from_bytes([b; 32]),
            }))
        }
        18 => control(Payload::Merge),
        20 | 21 => welcome(world, who, target, a, b),
        22 | 23 => control(match b % 4 {
            0 => Payload::Kick(a_removal(world, who, user, a, b)),
            1 => Payload::Ban(a_removal(world, who, user, a, b)),
            _ => Payload::RoleSet(RoleSet {
                target: user,
                weight: Weight::new([20, 50][usize::from(a % 2)]),
                reason,
            }),
        }),
        24..=27 => {
            let prev = some_ops(world, who, scope, a, usize::from(b % 2));
            Some(
                Saying::new(post(None, prev.first().copied(), &format!("post {a}")))
                    .on(scope, &prev),
            )
        }
        28 => Some(Saying::new(thread(&format!("thread {a}"))).on(world.forum, &[])),
        29 | 30 => {
            // Sometimes something that is no thread.
            let kind = if b % 16 == 1 {
                Kind::Post
            } else {
                Kind::ThreadCreate
            };
            let threads = world.known(who, |op| op.header().kind() == Some(kind));
            let thread = *threads.get(usize::from(a) % threads.len().max(1))?;
            let scope = world.ops[&thread].header().scope.channel()?;
            let prev = if b.is_multiple_of(5) {
                vec![]
            } else {
                vec![thread]
            };
            Some(Saying::new(post(Some(thread), None, &format!("reply {b}"))).on(scope, &prev))
        }
        EVIDENCE.. => evidence(world, who, what, target, a, b),
        _ => acting(world, who, what, target, a, b),
    }
}

/// From here on the choices are what devices, witnesses and several people say.
const EVIDENCE: u8 = 40;

/// Revocations, proofs, attests, complaints, seals and what admins do together.
fn evidence(world: &mut World, who: usize, what: u8, target: u8, a: u8, b: u8) -> Option<Saying> {
    let person = usize::from(target) % PEOPLE;
    let user = world.devices[person].user();
    match what - EVIDENCE {
        0 => {
            let own = world.devices[who].user();
            let siblings = (0..PEOPLE).filter(|i| world.devices[*i].user() == own);
            let siblings: Vec<usize> = siblings.collect();
            let device = world.devices[siblings[usize::from(a) % siblings.len()]].id();
            let like = a_removal(world, who, own, a / 2, b);
            let mut saying = Saying::new(Payload::DeviceRevoke(DeviceRevoke {
                device,
                cut: of_device(like.cut, device),
                late: like.late,
                reason: "lost".to_owned(),
                purge: like
                    .purge
                    .into_iter()
                    .filter(|p| p.device == device)
                    .collect(),
                compromised: b.is_multiple_of(4),
                identity_sig: None,
            }));
            saying.identity = b.is_multiple_of(3);
            Some(saying)
        }
        1 => Some(Saying::new(proof(world, who, person, a, b))),
        2 => {
            let removals = world.known(who, |op| {
                let kind = op.header().kind();
                matches!(
                    kind,
                    Some(Kind::Kick | Kind::Ban | Kind::DeviceRevoke | Kind::EquivocationProof)
                ) || (b.is_multiple_of(16) && kind == Some(Kind::Leave))
            });
            let removal = *removals.get(usize::from(a) % removals.len().max(1))?;
            let mut cut = world.cut(who, &target_of(world, &removal)?, &[world.chat, world.news]);
            if b.is_multiple_of(2) {
                cut.pop();
            }
            Some(Saying::new(Payload::CutAttest(CutAttest { removal, cut })))
        }
        3 => {
            let commits = world.known(who, |op| op.header().kind() == Some(Kind::Commit));
            // The newest, mostly.
            let mut commits: Vec<OpId> = commits;
            commits.sort_by_key(|id| world.ops[id].header().hlc);
            let back = usize::from(a % 3) + 1;
            let commit = *commits.get(commits.len().checked_sub(back)?)?;
            let device = world.devices[who].clone().renewed();
            let key_package = device.key_package().into();
            world.devices[who] = device;
            let complaint = CommitComplaint {
                epoch: EpochId::of_commit(&commit),
                key_package,
                nonce: Digest::from_bytes([b; 32]),
            };
            let mut saying = Saying::new(Payload::CommitComplaint(complaint));
            if !b.is_multiple_of(16) {
                saying.epoch = Some(world.ops[&commit].header().epoch);
            }
            Some(saying)
        }
        4 | 5 => Some(seal(world, who, a, b)),
        _ => quorum(world, who, user, a, b),
    }
}

fn of_device(mut cut: Vec<ScopeCut>, device: DeviceId) -> Vec<ScopeCut> {
    for scope in &mut cut {
        scope.heads.retain(|head| head.device == device);
    }
    cut
}

/// Whom a removal is about.
fn target_of(world: &World, removal: &OpId) -> Option<UserId> {
    let op = &world.ops[removal];
    match op.payload().ok().flatten()? {
        Payload::Kick(removal) | Payload::Ban(removal) => Some(removal.target),
        Payload::EquivocationProof(proof) => {
            let device = proof.device()?;
            world
                .devices
                .iter()
                .find(|d| d.id() == device)
                .map(oplog::testing::Device::user)
        }
        _ => Some(op.header().user),
    }
}

/// A proof out of a fork that somebody knows; else out of two headers that nobody ever sent.
fn proof(world: &mut World, who: usize, person: usize, a: u8, b: u8) -> Payload {
    let mut places: BTreeMap<(DeviceId, Scope, u64), Vec<OpId>> = BTreeMap::new();
    for id in world.known(who, |_| true) {
        let h = world.ops[&id].header();
        places
            .entry((h.device, h.scope, h.seq))
            .or_default()
            .push(id);
    }
    places.retain(|_, ops| ops.len() > 1);
    let forks: Vec<Vec<OpId>> = places.into_values().collect();
    let pair = match forks.get(usize::from(a) % forks.len().max(1)) {
        Some(fork) => fork
            .iter()
            .take(2)
            .map(|id| world.ops[id].clone())
            .collect(),
        None => {
            let device = world.devices[person].clone();
            let chat = world.chat;
            let mut header = |text| world.space.post(&device, chat, text).forge();
            vec![header("one"), header("another")]
        }
    };
    let device = pair[0].header().device;
    let mut halves: Vec<SignedHeader> = pair
        .iter()
        .map(|op: &SignedOp| SignedHeader {
            header: op.header_bytes().to_vec().into(),
            sig: *op.signature(),
        })
        .collect();
    halves.sort();
    let user = pair[0].header().user;
    let mut cut = of_device(world.cut(who, &user, &[world.chat]), device);
    let control = world.known(who, |op| {
        op.header().is_control() && op.header().device == device
    });
    if b.is_multiple_of(2)
        && let Some(op) = control.get(usize::from(b) % control.len().max(1))
    {
        let head = CutHead {
            device,
            seq: world.ops[op].header().seq,
            op: *op,
        };
        let control = ScopeCut {
            scope: Scope::Control,
            heads: vec![head],
        };
        cut.insert(0, control);
    }
    if b.is_multiple_of(5) {
        cut.pop();
    }
    Payload::EquivocationProof(EquivocationProof {
        first: halves[0].clone(),
        second: halves[1].clone(),
        cut,
    })
}

/// Some epoch, and the removals that are known, days later.
fn seal(world: &mut World, who: usize, a: u8, b: u8) -> Saying {
    let view = world.view(who);
    let removals = world.known(who, |op| {
        matches!(
            op.header().kind(),
            Some(Kind::Kick | Kind::Ban | Kind::DeviceRevoke | Kind::EquivocationProof)
        )
    });
    let mut closures: Vec<Closure> = removals
        .into_iter()
        .filter(|removal| !view.is_closed(removal))
        .filter_map(|removal| {
            let cut = view.removal_cut(&removal)?;
            let content = cut.iter().all(|c| c.scope != Scope::Control);
            (content && !cut.is_empty()).then_some(Closure { removal, cut })
        })
        .collect();
    closures.truncate(usize::from(b % 3));
    let mut saying = Saying::new(Payload::Seal(Seal {
        epoch: world.epoch_of(who, usize::from(a % 3)),
        public_state: Digest::from_bytes([a; 32]),
        closures,
        strata: None,
    }));
    if !b.is_multiple_of(7) {
        saying.hlc = Some(Hlc::from_wall(world.space.now).plus_secs(80 * 3_600));
    }
    saying
}

/// What the admins that somebody knows do together, one of them missing at times.
fn quorum(world: &mut World, who: usize, target: UserId, a: u8, b: u8) -> Option<Saying> {
    let view = world.view(who);
    let admins = view.admins();
    let mut signers: Vec<usize> = (0..PEOPLE)
        .filter(|i| {
            let device = &world.devices[*i];
            let user = device.user();
            admins.contains(&user)
                && (user != target || b.is_multiple_of(16))
                && view.device_user(&device.id()) == Some(user)
        })
        .collect();
    signers.dedup_by_key(|i| world.devices[*i].user());
    if b.is_multiple_of(5) {
        signers.pop();
    }
    let reason = String::new();
    let removal = removal(target, world.cut(who, &target, &[world.chat]), None, vec![]);
    let action = match a % 8 {
        0 | 1 => Payload::Kick(removal),
        2 => Payload::Ban(removal),
        3 => Payload::Unban(Unban { target }),
        4 | 5 => Payload::RoleSet(RoleSet {
            target,
            weight: Weight::new([10, 20, 50, 100][usize::from(b / 4) % 4]),
            reason,
        }),
        6 => Payload::Mute(Mute {
            target,
            channel: None,
            expires: None,
            reason,
        }),
        _ => Payload::PolicySet(PolicySet {
            name: Some(format!("ours {b}")),
            kick_late: None,
            ban_late: None,
            features: None,
            timing_privacy: None,
            dedup: None,
            seal_every: None,
        }),
    };
    let mut act = QuorumAct {
        frontier: world.heads(who).into_iter().take(16).collect(),
        kind: action.kind().number(),
        action: action.encode().into(),
        nonce: Digest::from_bytes([b; 32]),
        expires: Hlc::from_wall(world.space.now.plus_ms(3_600_000)),
        signers: vec![],
    };
    let message = act.message(&world.space.id(), &world.devices[who].id());
    act.signers = signers
        .iter()
        .map(|i| &world.devices[*i])
        .map(|device| QuorumSigner {
            user: device.user(),
            device: device.id(),
            sig: device.key().sign(&message),
        })
        .collect();
    act.signers.sort_by_key(|signer| signer.user);
    Some(Saying::new(Payload::QuorumAct(act)))
}

/// Ops that act on an earlier one.
fn acting(world: &World, who: usize, what: u8, target: u8, a: u8, b: u8) -> Option<Saying> {
    let user = world.devices[who].user();
    let posts = world.known(who, |op| {
        matches!(op.header().kind(), Some(Kind::Post | Kind::ThreadCreate))
            && (!matches!(what, 31 | 32) || b.is_multiple_of(16) || op.header().user == user)
    });
    let on = *posts.get(usize::from(target) % posts.len().max(1))?;
    let payload = match what {
        31 => edit(&format!("edit {a}")),
        32 if a < 100 => Payload::SelfDelete,
        32 | 33 => react(["+", "-"][usize::from(a) % 2]),
        34 => Payload::Unreact(oplog::payload::React {
            emoji: ["+", "-"][usize::from(a) % 2].to_owned(),
        }),
        35 | 36 => tombstone(&format!("reason {a}")),
        37 => Payload::ModRestore,
        38 => Payload::Pin,
        39 if a < 128 => Payload::Unpin,
        39 => Payload::ThreadUpdate(ThreadUpdate {
            title: Some(format!("title {b}")),
            tags: None,
        }),
        _ => return None,
    };
    let scope = world.ops[&on].header().scope.channel()?;
    Some(Saying::new(payload).on(scope, &[on]))
}

/// Somebody lets a newcomer in, by right or by an invite, and into the group; who came then acts, so
/// that more depends on the grant than the grant.
fn welcome(world: &mut World, who: usize, target: u8, a: u8, b: u8) -> Option<Saying> {
    let newcomer = PEOPLE - 1 - usize::from(target) % 3;
    let weight = Weight::new([10, 20, 10, 50][usize::from(a) % 4]);
    let invite = world
        .invites
        .get(usize::from(a) % world.invites.len().max(1));
    let add = match invite {
        Some((invite, key)) if b.is_multiple_of(2) => member_add(
            &[(&world.devices[newcomer], Weight::MEMBER)],
            Some((*invite, key)),
        ),
        _ => member_add(&[(&world.devices[newcomer], weight)], None),
    };
    world.say(who, Saying::new(add)).ok()?;
    let commit = reconcile(world, who, 1)?;
    world.say(who, commit).ok()?;
    world.tell(who, newcomer);
    let (invite, key) = open_invite(world.order.len() as u64, 1);
    if let Ok(id) = world.say(newcomer, Saying::new(Payload::InviteCreate(invite))) {
        world.invites.push((id, key));
    }
    let what = [24, 24, 36, 9, 0, 6, 28, 35][usize::from(b / 2) % 8];
    let saying = saying(world, newcomer, what, a, b, target)?;
    let _said = world.say(newcomer, saying);
    world.tell(newcomer, who);
    None
}

fn late(a: u8) -> LatePolicy {
    [
        LatePolicy::Accept,
        LatePolicy::Quarantine,
        LatePolicy::Reject,
    ][usize::from(a) % 3]
}

fn a_removal(world: &World, who: usize, target: UserId, a: u8, b: u8) -> oplog::payload::Removal {
    let listed: Vec<_> = [world.chat, world.forum, world.news]
        .into_iter()
        .enumerate()
        .filter(|(bit, _)| a >> bit & 1 == 1)
        .map(|(_, scope)| scope)
        .collect();
    let cut = world.cut(who, &target, &listed);
    let purge = if b.is_multiple_of(6) {
        let device = world.devices.iter().find(|d| d.user() == target);
        device
            .map(|device| PurgeFrom {
                device: device.id(),
                scope: Scope::Channel(world.chat),
                seq: u64::from(b % 4),
            })
            .into_iter()
            .collect()
    } else {
        vec![]
    };
    let policy = [None, Some(late(a / 8))][usize::from(b % 2)];
    removal(target, cut, policy, purge)
}

/// Some known ops of a channel.
fn some_ops(world: &World, who: usize, scope: oplog::ChannelId, a: u8, n: usize) -> Vec<OpId> {
    let known = world.known(who, |op| {
        op.header().scope == Scope::Channel(scope) && op.header().kind() == Some(Kind::Post)
    });
    let picked: BTreeSet<OpId> = (0..n)
        .filter_map(|i| {
            known
                .get((usize::from(a) + 7 * i) % known.len().max(1))
                .copied()
        })
        .collect();
    picked.into_iter().collect()
}

/// Commits the difference between group and authority, as its author knows them.
fn reconcile(world: &mut World, who: usize, a: u8) -> Option<Saying> {
    let parent = world.epoch_of(who, usize::from(a >= 200));
    let roster = world.space.roster(&parent);
    let view = world.view(who);
    let authorised = view.authorised_devices();
    let mut removed: Vec<DeviceId> = roster
        .keys()
        .filter(|device| !authorised.contains_key(device))
        .copied()
        .collect();
    let mut added = Vec::new();
    for device in &world.devices {
        let asked = view
            .key_packages(&device.id())
            .iter()
            .any(|(package, _)| *package == device.key_package_hash());
        let had = roster.get(&device.id()).map(|(_, package)| *package);
        if !asked || !authorised.contains_key(&device.id()) {
            continue;
        }
        if had.is_none() {
            added.push(device.clone());
        } else if had != Some(device.key_package_hash()) && a.is_multiple_of(2) {
            removed.push(device.id());
            added.push(device.clone());
        }
    }
    if a.is_multiple_of(11) {
        removed.pop();
    }
    if a.is_multiple_of(13) {
        added.pop();
    }
    let added: Vec<_> = added.iter().collect();
    let by = world.devices[who].clone();
    let commit = world.space.commit_payload(parent, &by, &added, &removed);
    Some(Saying::new(Payload::Commit(commit)))
}

/// Production and model agree on everything in a history.
pub(crate) fn agree(world: &World) -> Result<(), TestCaseError> {
    let lines = world.dump();
    if let Err(differences) = sim::model::check(lines.iter().map(String::as_str)) {
        let told: Vec<String> = differences
            .iter()
            .take(12)
            .map(ToString::to_string)
            .collect();
        return Err(TestCaseError::fail(format!(
            "{}\n{}",
            told.join("\n"),
            story(world)
        )));
    }
    Ok(())
}

/// Every refused op is refused by the model too, for the same rule.
pub(crate) fn refuses_alike(world: &World) -> Result<(), TestCaseError> {
    for (op, rule, known) in world.refused.iter().step_by(3).take(8) {
        let past = world.order.iter().take(*known);
        let rows: Vec<(Hlc, OpId, String)> = past
            .map(|id| {
                let op = &world.ops[id];
                let row = serde_json::json!({
                    "type": "dump-op", "op": id.to_string(), "bytes": hex::encode(op.encode()),
                });
                (op.header().hlc, *id, row.to_string())
            })
            .collect();
        let mut rows = rows;
        rows.sort();
        let lines = rows.iter().map(|(_, _, row)| row.as_str());
        let model = sim::model::judge(lines, &op.encode());
        if !model.contains(rule) {
            return Err(TestCaseError::fail(format!(
                "{} by {}: production refuses by {rule}, the model says {model:?}\n{:?}\n{}",
                op.id(),
                name(world, op),
                op.payload(),
                story(world)
            )));
        }
    }
    Ok(())
}

fn name(world: &World, op: &SignedOp) -> String {
    let who = world
        .devices
        .iter()
        .position(|d| d.id() == op.header().device);
    let names = [
        "owner", "ada", "ada2", "ben", "mia", "max", "pia", "quin", "gus", "xan", "yve", "zoe",
    ];
    who.map_or("?", |who| names[who]).to_owned()
}

/// What happened, one line an op, without the founding.
fn story(world: &World) -> String {
    let numbers: BTreeMap<OpId, usize> = world.order.iter().copied().zip(0..).collect();
    let people: BTreeMap<UserId, String> = world
        .devices
        .iter()
        .map(|d| (d.user(), d.cert().name.clone()))
        .collect();
    let mut out = String::new();
    for (n, id) in world.order.iter().enumerate() {
        let op = &world.ops[id];
        let h = op.header();
        let of = |ids: &[OpId]| ids.iter().map(|id| numbers[id]).collect::<Vec<_>>();
        let mut what = format!("{:?}", op.payload().ok().flatten());
        for (user, name) in &people {
            what = what.replace(&format!("{user:?}"), name);
        }
        let kind = h.kind().map_or("?", Kind::name);
        let what = if n < 10 || kind == "commit" || kind == "member-add" {
            String::new()
        } else {
            what.chars().take(240).collect()
        };
        out.push_str(&format!(
            "{n} {}: {} {kind} ctl {:?} back {:?} prev {:?} hlc {} {what}\n",
            &id.to_string()[..8],
            name(world, op),
            of(&h.ctl),
            h.back.map(|b| numbers[&b]),
            of(&h.prev),
            h.hlc.to_wall().as_ms() - START.as_ms(),
        ));
    }
    out
}

fn steps(n: usize) -> impl Strategy<Value = Vec<Step>> {
    proptest::collection::vec(any::<Step>(), n / 3..n)
}

/// As many as `PROPTEST_CASES` says, else this many.
fn cases(n: u32) -> ProptestConfig {
    let mut config = ProptestConfig::default();
    if std::env::var_os("PROPTEST_CASES").is_none() {
        config.cases = n;
    }
    config.failure_persistence = None;
    config
}

proptest! {
    #![proptest_config(cases(100))]

    #[test]
    fn authority_agrees(steps in steps(50)) {
        let world = history(Mood::Authority, &steps);
        agree(&world)?;
    }

    #[test]
    fn content_agrees(steps in steps(40)) {
        let world = history(Mood::Content, &steps);
        agree(&world)?;
    }

    #[test]
    fn everything_agrees(steps in steps(80)) {
        let world = history(Mood::Both, &steps);
        agree(&world)?;
    }

    #[test]
    fn refusals_agree(steps in steps(30)) {
        let world = history(Mood::Both, &steps);
        refuses_alike(&world)?;
    }
}

/// A proof out of two headers that name more heads than content may: neither is an op's (B2).
#[test]
fn headers_that_name_too_many_heads_prove_nothing() {
    let steps: &[Step] = &[
        [211, 14, 0, 0, 0, 20, 0, 1, 39],
        [71, 57, 0, 0, 0, 27, 0, 0, 0],
        [7, 0, 0, 0, 0, 147, 0, 0, 0],
        [4, 0, 21, 0, 0, 0, 0, 0, 0],
        [0, 233, 0, 0, 0, 0, 0, 0, 0],
        [0, 0, 0, 0, 0, 0, 0, 0, 3],
        [88, 69, 108, 61, 99, 110, 72, 208, 40],
        [51, 46, 214, 128, 249, 254, 197, 30, 234],
        [18, 49, 40, 13, 135, 201, 184, 126, 45],
        [28, 202, 55, 195, 249, 212, 161, 118, 41],
    ];
    let world = history(Mood::Both, steps);
    let proofs = world
        .refused
        .iter()
        .filter(|(op, ..)| op.header().kind() == Some(Kind::EquivocationProof));
    assert!(proofs.count() > 0);
    if let Err(error) = refuses_alike(&world) {
        panic!("{error}");
    }
}

#[test]
fn the_founding_agrees() {
    let world = World::new();
    assert_eq!(world.refused.len(), 0);
    assert!(world.devices[OWNER].user() == world.space.founder().user());
    if let Err(error) = agree(&world) {
        panic!("{error}");
    }
}

/// Random histories are worth nothing when everybody is refused at once: every state, every rule of
/// the folds and every rule of acceptance that one step can break comes up.
#[test]
fn the_histories_have_everything_in_them() {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let mut came_up: BTreeMap<String, usize> = BTreeMap::new();
    for n in 0..150 {
        let mood = [Mood::Authority, Mood::Content, Mood::Both][n % 3];
        let steps = steps(70).new_tree(&mut runner).unwrap().current();
        let world = history(mood, &steps);
        for line in world.dump() {
            let row: serde_json::Value = serde_json::from_str(&line).unwrap();
            if row["type"] == "dump-op" {
                let state = row["state"].as_str().unwrap();
                let rule = row["rule"].as_str().unwrap_or("-");
                *came_up.entry(format!("{state} {rule}")).or_default() += 1;
            }
        }
        for (_, rule, _) in &world.refused {
            *came_up.entry(format!("refused by {rule}")).or_default() += 1;
        }
    }
    for wanted in [
        "effective -",
        "void A1",
        "void A12",
        "void A17",
        "void A9",
        "void A19",
        "void B11",
        "void B4",
        "normal -",
        "late D2",
        "muted B10",
        "hidden B10",
        "hidden B8",
        "deleted B10",
        "unreadable -",
        "refused D0",
        "refused D3",
        "refused D4",
        "refused by R4",
        "refused by R5",
        "refused by R6",
        "refused by R8",
        "refused by R9",
        "refused by K2",
        "refused by K4",
        "refused by K5",
        "refused by K7",
        "refused by K8",
    ] {
        assert!(came_up.contains_key(wanted), "{wanted}: {came_up:#?}");
    }
}

/// A history of some length.
pub(crate) fn a_world() -> World {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let steps = steps(80).new_tree(&mut runner).unwrap().current();
    history(Mood::Both, &steps)
}

/// A dump with something in every field.
pub(crate) fn a_full_dump() -> Vec<String> {
    let mut world = a_world();
    let (chat, forum) = (world.chat, world.forum);
    world.tell_all();
    let attachment = oplog::payload::Attachment {
        manifest: oplog::BlobId::from_bytes([7; 32]),
        key: Digest::from_bytes([8; 32]),
        salt: [9; 16].into(),
        size: 10,
        name: "plan.png".into(),
        media_type: "image/png".into(),
    };
    let mentions = vec![world.devices[OWNER].user()];
    let first = Saying::new(post(None, None, "first")).on(chat, &[]);
    let first = world.say(OWNER, first).unwrap();
    let full = Payload::Post(oplog::payload::Post {
        thread: None,
        reply_to: Some(first),
        body: "second".into(),
        attachments: vec![attachment],
        mentions,
    });
    let full = Saying::new(full).on(chat, &[first]);
    let full = world.say(OWNER, full).unwrap();
    for payload in [react("+"), Payload::Pin] {
        world
            .say(OWNER, Saying::new(payload).on(chat, &[full]))
            .unwrap();
    }
    let opening = Saying::new(thread("a thread")).on(forum, &[]);
    let opening = world.say(OWNER, opening).unwrap();
    let retitled = Saying::new(edit("edited")).on(forum, &[opening]);
    world.say(OWNER, retitled).unwrap();
    let update = Payload::ChannelUpdate(ChannelUpdate {
        channel: chat,
        name: None,
        topic: Some("topic".into()),
        category: Some("category".into()),
        archived: None,
        permissions: vec![],
    });
    world.say(OWNER, Saying::new(update)).unwrap();
    let view = world.view(OWNER);
    let member = |who: &usize| view.weight(&world.devices[*who].user()).is_some();
    let heard = |who: &usize| {
        let user = world.devices[*who].user();
        view.mute_at_key(&user, None).is_none()
    };
    let others: Vec<usize> = (1..PEOPLE).filter(member).filter(heard).collect();
    let mute = |world: &mut World, who: usize, expires| {
        let target = world.devices[who].user();
        let reason = String::new();
        let mute = Payload::Mute(Mute {
            target,
            channel: None,
            expires,
            reason,
        });
        world.say(OWNER, Saying::new(mute))
    };
    // Seals are of some days later.
    let soon = Some(Hlc::from_wall(world.space.now.plus_ms(30 * 86_400_000)));
    mute(&mut world, others[0], soon).unwrap();
    let target = world.devices[*others.last().unwrap()].user();
    let ban = removal(target, vec![], None, vec![]);
    world.say(OWNER, Saying::new(Payload::Ban(ban))).unwrap();
    world.dump()
}
