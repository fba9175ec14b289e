//! Members with valid keys who cheat: one trick for each class.
//!
//! Their ops go out sealed like honest ones. What no honest node may ever accept is noted in
//! [`World::forged`]; the rest (two ops at one place, ops from the future) is accepted, and must
//! leave everybody who holds it with the same state.

use node::{Effect, InviteLink, StoreError};
use oplog::accept::CONTENT_PACE;
use oplog::payload::{
    Commit, CommitClass, Edit, MEMBERS_PER_ADD_MAX, MemberAdd, ModTombstone, Mute, NewMember, Post,
    Removal, RoleSet, RosterDelta, Weight,
};
use oplog::testing::Person;
use oplog::{
    Digest, EpochId, Header, Hlc, Kind, OpId, Payload, Scope, SecretKey, SignedOp, SpaceId, UserId,
};

use crate::fault::Class;
use crate::rng::Stream;
use crate::schedule::{Act, Entry, What};
use crate::world::World;

/// Bytes to send, and which of them are ops that must be refused.
#[derive(Default)]
struct Trick {
    scope: Option<Scope>,
    ops: Vec<Vec<u8>>,
    never: Vec<OpId>,
}

impl World {
    /// Lets a cheat play one trick.
    pub(crate) fn cheat(&mut self, who: u16, class: Class, nth: u32) {
        let Some(space) = self.space else {
            return;
        };
        let mut s = self.seed.stream(&format!("cheat/{who}/{class:?}/{nth}"));
        let effects = match class {
            Class::ByzHave => {
                let seq = s.next() >> s.below(64);
                self.rogue(who).map(|node| node.danger_claim(&space, seq))
            }
            Class::ByzWantFlood => {
                let ids = (0..s.within(1, 256)).map(|_| any_op(&mut s)).collect();
                self.rogue(who).map(|node| node.danger_want(&space, ids))
            }
            _ => {
                let Some(trick) = self.trick(who, class, space, nth, &mut s) else {
                    return;
                };
                for op in &trick.never {
                    self.forged.insert(*op, class);
                }
                self.note_trick(class, &trick.ops);
                let scope = trick.scope.unwrap_or(Scope::Control);
                self.rogue(who)
                    .map(|node| node.danger_send(&space, scope, trick.ops))
            }
        };
        if let Some(effects) = effects {
            self.fired.note(class);
            self.play(who, effects);
        }
    }

    /// Tells checkers what to look for.
    fn note_trick(&mut self, class: Class, ops: &[Vec<u8>]) {
        let ops = ops.iter().filter_map(|bytes| SignedOp::decode(bytes).ok());
        let ops: Vec<SignedOp> = ops.collect();
        match (class, ops.as_slice()) {
            (Class::ByzEquivocate, [one, other]) => {
                self.memory.halves.push((one.id(), other.id()));
            }
            (Class::ByzFutureDefer, [op]) => {
                self.memory.ahead.insert(op.id(), op.header().hlc);
            }
            _ => {}
        }
    }

    fn rogue(&mut self, who: u16) -> Option<&mut crate::device::SimNode> {
        self.device(who).node.as_mut()
    }

    fn play(&mut self, who: u16, effects: Result<Vec<Effect>, StoreError>) {
        if let Ok(effects) = effects {
            self.rogue_effects(who, effects);
        }
    }

    fn trick(
        &mut self,
        who: u16,
        class: Class,
        space: SpaceId,
        nth: u32,
        s: &mut Stream,
    ) -> Option<Trick> {
        let channel = self.channel(who, (nth % 64) as u16)?;
        let scope = Scope::Channel(channel);
        let header = |node: &mut crate::device::SimNode, kind, scope, prev: &[OpId]| {
            node.danger_header(&space, kind, scope, prev).ok()
        };
        let victim = self.victim(who, s)?;
        let target = self.some_op(who, nth);
        let elsewhere = self
            .posts(who, space)
            .into_iter()
            .find(|p| p.channel != channel);
        let link = self.links.last().cloned();
        let node = self.device(who).node.as_mut()?;
        let me = node.me().user;

        let text = || Payload::Post(post("a trick"));
        let says =
            |payload: &Payload, header: Header, never: bool, node: &crate::device::SimNode| {
                let scope = header.scope;
                let op = node.danger_sign(header, payload);
                Trick {
                    scope: Some(scope),
                    never: if never { vec![op.id()] } else { Vec::new() },
                    ops: vec![op.encode()],
                }
            };
        Some(match class {
            Class::ByzEquivocate => {
                let header = header(node, Kind::Post, scope, &[])?;
                let a = node.danger_sign(header.clone(), &Payload::Post(post("one")));
                let b = node.danger_sign(header, &Payload::Post(post("another")));
                Trick {
                    scope: Some(scope),
                    ops: vec![a.encode(), b.encode()],
                    never: Vec::new(),
                }
            }
            Class::ByzBackdate => {
                let mut header = header(node, Kind::Post, scope, &[])?;
                header.hlc = Hlc::from_raw(header.hlc.as_raw() / 2);
                says(&text(), header, true, node)
            }
            Class::ByzFuture => {
                let mut header = header(node, Kind::Post, scope, &[])?;
                header.hlc = match s.below(3) {
                    0 => Hlc::from_raw(u64::MAX),
                    1 => header.hlc.plus_secs(367 * 86_400),
                    _ => header.hlc.plus_secs(50 * 365 * 86_400),
                };
                says(&text(), header, true, node)
            }
            Class::ByzFutureDefer => {
                let mut header = header(node, Kind::Post, scope, &[])?;
                header.hlc = header.hlc.plus_secs(s.within(1, 3_000) as u32);
                says(&text(), header, false, node)
            }
            Class::ByzSignature | Class::ByzMalleated => {
                let header = header(node, Kind::Post, scope, &[])?;
                let op = node.danger_sign(header, &text());
                let mut bytes = op.encode();
                let sig = op.signature().as_bytes().to_vec();
                let at = bytes.windows(sig.len()).position(|w| w == sig.as_slice())?;
                if class == Class::ByzSignature {
                    bytes[at + s.below(64) as usize] ^= 1 << s.below(8);
                } else {
                    add_order(&mut bytes[at + 32..at + 64]);
                }
                // The same header well signed could be accepted from elsewhere, but nobody sends it.
                Trick {
                    scope: Some(scope),
                    never: vec![op.id()],
                    ops: vec![bytes],
                }
            }
            Class::ByzImpersonate => {
                let mut header = header(node, Kind::Post, scope, &[])?;
                header.user = victim;
                says(&text(), header, true, node)
            }
            Class::ByzOtherSpace => {
                let mut header = header(node, Kind::Post, scope, &[])?;
                header.space = SpaceId::from_bytes(bytes32(s));
                says(&text(), header, true, node)
            }
            Class::ByzEpoch => {
                let mut header = header(node, Kind::Post, scope, &[])?;
                header.epoch = EpochId::from_bytes(bytes32(s));
                says(&text(), header, true, node)
            }
            Class::ByzCanonical => {
                let header = header(node, Kind::Post, scope, &[])?;
                let bytes = node.danger_sign(header, &text()).encode();
                // The same array of three with a length one byte longer than needed.
                let mut long = vec![0x98, 0x03];
                long.extend_from_slice(&bytes[1..]);
                Trick {
                    scope: Some(scope),
                    ops: vec![long],
                    never: Vec::new(),
                }
            }
            Class::ByzTrailing => {
                let header = header(node, Kind::Post, scope, &[])?;
                let mut bytes = node.danger_sign(header, &text()).encode();
                bytes.extend_from_slice(&bytes32(s));
                Trick {
                    scope: Some(scope),
                    ops: vec![bytes],
                    never: Vec::new(),
                }
            }
            Class::ByzGarbage => {
                let ops = (0..s.within(1, 20))
                    .map(|_| (0..s.below(600)).map(|_| s.next() as u8).collect())
                    .collect();
                Trick {
                    scope: Some(scope),
                    ops,
                    never: Vec::new(),
                }
            }
            Class::ByzDepth => {
                let ops = vec![
                    vec![0x81; 60_000],
                    vec![0x9f; 60_000],
                    vec![0xa1; 60_000],
                    vec![0xd8; 5_000],
                ];
                Trick {
                    scope: Some(scope),
                    ops,
                    never: Vec::new(),
                }
            }
            Class::ByzLength => {
                let ops = vec![
                    vec![0x5a, 0xff, 0xff, 0xff, 0xff],
                    vec![0x9b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
                    vec![0x83, 0x5b, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
                ];
                Trick {
                    scope: Some(scope),
                    ops,
                    never: Vec::new(),
                }
            }
            Class::ByzOversize => {
                let header = header(node, Kind::Post, scope, &[])?;
                let payload = vec![0x61; 61 * 1024 + s.below(10_000) as usize];
                let op = SignedOp::sign_raw(header, payload, node.danger_key());
                Trick {
                    scope: Some(scope),
                    never: vec![op.id()],
                    ops: vec![op.encode()],
                }
            }
            Class::ByzWithhold => {
                let mut header = header(node, Kind::Post, scope, &[])?;
                header.prev = vec![any_op(s)];
                says(&text(), header, true, node)
            }
            Class::ByzManyParents => {
                let mut header = header(node, Kind::Post, scope, &[])?;
                let mut prev: Vec<OpId> = (0..16).map(|_| any_op(s)).collect();
                prev.sort_unstable();
                header.prev = prev;
                says(&text(), header, true, node)
            }
            Class::ByzSelfParent => {
                let header = header(node, Kind::Post, scope, &[])?;
                let first = node.danger_sign(header.clone(), &text()).id();
                let mut second = header;
                second.prev = vec![first];
                second.back = Some(first);
                second.seq += 1;
                says(&text(), second, true, node)
            }
            Class::ByzWideFan => {
                let header = header(node, Kind::Post, scope, &[])?;
                let mut ops = Vec::new();
                for n in 0..s.within(2, 40) {
                    let mut one = header.clone();
                    one.hlc = one.hlc.plus_secs(n as u32);
                    ops.push(
                        node.danger_sign(one, &Payload::Post(post(&format!("fan {n}"))))
                            .encode(),
                    );
                }
                Trick {
                    scope: Some(scope),
                    ops,
                    never: Vec::new(),
                }
            }
            Class::ByzPromote => {
                let header = header(node, Kind::RoleSet, Scope::Control, &[])?;
                let payload = RoleSet {
                    target: me,
                    weight: Weight::OWNER,
                    reason: String::new(),
                };
                says(&Payload::RoleSet(payload), header, true, node)
            }
            Class::ByzTombstone => {
                let header = header(node, Kind::ModTombstone, scope, &[target?])?;
                let weight = weight_of(node, space, me);
                let payload = ModTombstone {
                    reason: String::new(),
                };
                let mine = node.post(space, target?).is_ok_and(|p| p.author == me);
                let never = weight < Weight::MODERATOR && !mine;
                says(&Payload::ModTombstone(payload), header, never, node)
            }
            Class::ByzEdit => {
                let target = target?;
                let theirs = node.post(space, target).is_ok_and(|p| p.author != me);
                let header = header(node, Kind::Edit, scope, &[target])?;
                let payload = Edit {
                    body: "not what was said".to_owned(),
                    mentions: Vec::new(),
                };
                says(&Payload::Edit(payload), header, theirs, node)
            }
            Class::ByzKick | Class::ByzGhostBan => {
                let owner = node
                    .members(space)
                    .ok()?
                    .iter()
                    .find(|m| m.weight == Some(Weight::OWNER))?
                    .user;
                let removal = Removal {
                    target: owner,
                    cut: Vec::new(),
                    late: None,
                    reason: String::new(),
                    purge: Vec::new(),
                };
                let kind = if class == Class::ByzKick {
                    Kind::Kick
                } else {
                    Kind::Ban
                };
                let header = header(node, kind, Scope::Control, &[])?;
                let payload = if class == Class::ByzKick {
                    Payload::Kick(removal)
                } else {
                    Payload::Ban(removal)
                };
                says(&payload, header, true, node)
            }
            Class::ByzAfterRemoval => {
                // Only somebody who was removed plays this one.
                let removed = node
                    .members(space)
                    .ok()?
                    .iter()
                    .any(|m| m.user == me && m.weight.is_none());
                let header = header(node, Kind::Post, scope, &[])?;
                if !removed {
                    return None;
                }
                says(&text(), header, true, node)
            }
            Class::ByzCommit | Class::ByzCommitStorm => {
                let count = if class == Class::ByzCommit { 1 } else { 5 };
                let mut header = header(node, Kind::Commit, Scope::Control, &[])?;
                let mut ops = Vec::new();
                for _ in 0..count {
                    let payload = Payload::Commit(Commit {
                        parent: if s.below(2) == 0 {
                            header.epoch
                        } else {
                            EpochId::from_bytes(bytes32(s))
                        },
                        mls: bytes32(s).to_vec().into(),
                        root_commit: Digest::from_bytes(bytes32(s)),
                        roster_hash: Digest::from_bytes(bytes32(s)),
                        class: CommitClass::Update,
                        delta: RosterDelta::default(),
                        group_info: bytes32(s).to_vec().into(),
                        welcomes: Vec::new(),
                    });
                    let op = node.danger_sign(header.clone(), &payload);
                    ops.push(op.encode());
                    header.back = Some(op.id());
                    header.seq += 1;
                    header.ctl = vec![op.id()];
                    header.hlc = header.hlc.plus_secs(1);
                }
                Trick {
                    scope: Some(Scope::Control),
                    ops,
                    never: Vec::new(),
                }
            }
            Class::ByzUnknownKind => {
                let mut header = header(node, Kind::Post, scope, &[])?;
                header.kind = 60_000 + s.below(5_000) as u16;
                let op = SignedOp::sign_raw(header, vec![0xa0], node.danger_key());
                Trick {
                    scope: Some(scope),
                    never: vec![op.id()],
                    ops: vec![op.encode()],
                }
            }
            Class::ByzJoinStranger => {
                let header = header(node, Kind::Mute, Scope::Control, &[])?;
                // A stranger's key signs as if it were a member's device.
                let key = SecretKey::from_seed(&bytes32(s));
                let payload = Payload::Mute(Mute {
                    target: victim,
                    channel: None,
                    expires: None,
                    reason: String::new(),
                });
                let op = SignedOp::sign(header, &payload, &key);
                Trick {
                    scope: Some(Scope::Control),
                    never: vec![op.id()],
                    ops: vec![op.encode()],
                }
            }
            Class::ByzLaneGap => {
                let mut header = header(node, Kind::Post, scope, &[])?;
                header.seq += s.within(1, 1_000);
                says(&text(), header, true, node)
            }
            Class::ByzForget => {
                let mut header = header(node, Kind::Post, scope, &[])?;
                let own = node.me().device;
                let dump = node.dump(space).ok()?;
                // Down the own lane its author had seen less and less.
                let at = |id| dump.ops.iter().find(|op| Some(op.outcome.op) == id);
                let back = &at(header.back).filter(|op| op.header.device == own)?.header;
                let mut first = back;
                while let Some(before) = at(first.back) {
                    first = &before.header;
                }
                if back.ctl == first.ctl {
                    return None;
                }
                header.ctl.clone_from(&first.ctl);
                header.epoch = first.epoch;
                says(&text(), header, true, node)
            }
            Class::ByzOldEpoch => {
                let mut header = header(node, Kind::Post, scope, &[])?;
                let (founder, first) = node.peek_founder(&space)?;
                if founder == node.me().device {
                    return None;
                }
                header.epoch = first;
                says(&text(), header, true, node)
            }
            Class::ByzTooFast => {
                let mut header = header(node, Kind::Post, scope, &[])?;
                let (mut ops, mut ids) = (Vec::new(), Vec::new());
                for _ in 0..CONTENT_PACE + 10 {
                    let op = node.danger_sign(header.clone(), &text());
                    header.back = Some(op.id());
                    header.seq += 1;
                    header.hlc = Hlc::from_raw(header.hlc.as_raw() + 1);
                    ids.push(op.id());
                    ops.push(op.encode());
                }
                Trick {
                    scope: Some(scope),
                    ops,
                    never: ids.split_off(CONTENT_PACE as usize),
                }
            }
            Class::ByzAcross => {
                let header = header(node, Kind::Post, scope, &[elsewhere?.id])?;
                says(&text(), header, true, node)
            }
            Class::ByzKickSelf => {
                let header = header(node, Kind::Kick, Scope::Control, &[])?;
                let removal = Removal {
                    target: me,
                    cut: Vec::new(),
                    late: None,
                    reason: String::new(),
                    purge: Vec::new(),
                };
                says(&Payload::Kick(removal), header, true, node)
            }
            Class::ByzEvict => {
                let header = header(node, Kind::Commit, Scope::Control, &[])?;
                let mut roster = node.peek_roster(&space, &header.epoch)?;
                let members = node.members(space).ok()?;
                let inside = |user: &UserId| {
                    members
                        .iter()
                        .any(|m| m.user == *user && m.weight.is_some())
                };
                let (device, _) = roster
                    .iter()
                    .find(|(_, (user, _))| *user != me && inside(user))?;
                let device = *device;
                roster.remove(&device);
                let delta = RosterDelta {
                    added: Vec::new(),
                    removed: vec![device],
                };
                let commit = commit(header.epoch, &roster, CommitClass::Remove, delta, s);
                says(&Payload::Commit(commit), header, true, node)
            }
            Class::ByzCommitTwice => {
                let mut header = header(node, Kind::Commit, Scope::Control, &[])?;
                let (_, parent) = node.peek_own_commit(&space)?;
                let roster = node.peek_roster(&space, &parent)?;
                header.epoch = parent;
                let delta = RosterDelta::default();
                let commit = commit(parent, &roster, CommitClass::Update, delta, s);
                says(&Payload::Commit(commit), header, true, node)
            }
            Class::ByzCrowd => {
                let link = link?;
                let header = header(node, Kind::MemberAdd, Scope::Control, &[])?;
                // Those that are used up or over are not listed.
                let open = node.invites(space).ok()?;
                let open = open.iter().find(|invite| invite.op == link.invite);
                let room = open.map_or(0, |invite| invite.max_uses - invite.uses);
                let count = usize::try_from(room).ok()? + 1;
                if count > MEMBERS_PER_ADD_MAX {
                    return None;
                }
                let crowd = Payload::MemberAdd(crowd(&link, count, s));
                says(&crowd, header, true, node)
            }
            Class::ByzBackdateAct => {
                let members = node.members(space).ok()?;
                let there = |m: &&node::view::MemberView| m.weight.is_some();
                if members.iter().filter(there).any(|m| m.user == me) {
                    return None;
                }
                let lowest = members.iter().filter(there).min_by_key(|m| m.weight)?;
                let (last, mut header) = node.peek_own_last(&space)?;
                header.back = Some(last);
                header.ctl = vec![last];
                header.seq += 1;
                header.hlc = header.hlc.plus_secs(1);
                let (kind, payload) = match nth % 3 {
                    0 => {
                        let removal = Removal {
                            target: lowest.user,
                            cut: Vec::new(),
                            late: None,
                            reason: String::new(),
                            purge: Vec::new(),
                        };
                        (Kind::Kick, Payload::Kick(removal))
                    }
                    1 => {
                        let role = RoleSet {
                            target: lowest.user,
                            weight: Weight::MODERATOR,
                            reason: String::new(),
                        };
                        (Kind::RoleSet, Payload::RoleSet(role))
                    }
                    _ => {
                        let roster = node.peek_roster(&space, &header.epoch)?;
                        let delta = RosterDelta::default();
                        let commit = commit(header.epoch, &roster, CommitClass::Update, delta, s);
                        (Kind::Commit, Payload::Commit(commit))
                    }
                };
                header.kind = kind.number();
                // It may come in: as far as anybody can tell it was made at the same time. What
                // may not is that it counts (S3 and the scenarios).
                says(&payload, header, false, node)
            }
            _ => return None,
        })
    }

    fn victim(&self, who: u16, s: &mut Stream) -> Option<UserId> {
        let others: Vec<UserId> = self
            .devices
            .iter()
            .filter(|d| d.index != who)
            .filter_map(|d| d.node.as_ref())
            .map(|node| node.me().user)
            .collect();
        s.pick(&others).copied()
    }
}

/// Draws when which cheat plays which trick.
pub(crate) fn draw(config: &crate::config::Config) -> Vec<Entry> {
    let seed = crate::rng::Seed(config.seed);
    let mut entries = Vec::new();
    for who in &config.byzantine {
        for class in config
            .on
            .iter()
            .filter(|class| class.group() == "byzantine")
        {
            let mut s = seed.stream(&format!("schedule/{who}/{class:?}"));
            for _ in 0..s.within(1, 3) {
                let at = config.calm_ms + s.below(config.lasts_ms.saturating_sub(config.calm_ms));
                let act = Act::Cheat {
                    class: *class,
                    nth: s.below(1_000) as u32,
                };
                entries.push(Entry {
                    at,
                    what: What::Act { who: *who, act },
                });
            }
        }
    }
    entries
}

fn weight_of(node: &crate::device::SimNode, space: SpaceId, user: UserId) -> Weight {
    let members = node.members(space).unwrap_or_default();
    let member = members.iter().find(|m| m.user == user);
    member.and_then(|m| m.weight).unwrap_or(Weight::GUEST)
}

fn post(body: &str) -> Post {
    Post {
        thread: None,
        reply_to: None,
        body: body.to_owned(),
        attachments: Vec::new(),
        mentions: Vec::new(),
    }
}

/// A commit that declares what it says and has no MLS bytes to show for it.
fn commit(
    parent: EpochId,
    roster: &node::Group,
    class: CommitClass,
    delta: RosterDelta,
    s: &mut Stream,
) -> Commit {
    Commit {
        parent,
        mls: bytes32(s).to_vec().into(),
        root_commit: Digest::from_bytes(bytes32(s)),
        roster_hash: oplog::roster_hash(roster),
        class,
        delta,
        group_info: bytes32(s).to_vec().into(),
        welcomes: Vec::new(),
    }
}

/// So many people whom nobody knows, who all hold the link.
fn crowd(link: &InviteLink, count: usize, s: &mut Stream) -> MemberAdd {
    let key = link.key();
    let public = Digest::from_bytes(key.public());
    let mut members: Vec<NewMember> = (0..count)
        .map(|nth| {
            let device = Person::new(s.next(), &format!("stranger {nth}")).device(0);
            let (cert, package) = (device.cert().clone(), device.key_package());
            let proof = key.sign(&NewMember::proof_message(&public, &cert, &package));
            NewMember {
                cert,
                key_package: package.into(),
                weight: Weight::MEMBER,
                proof: Some(proof),
            }
        })
        .collect();
    members.sort_by_key(|member| member.cert.user);
    MemberAdd {
        members,
        invite: Some(link.invite),
    }
}

fn bytes32(s: &mut Stream) -> [u8; 32] {
    let mut bytes = [0; 32];
    for part in bytes.chunks_mut(8) {
        part.copy_from_slice(&s.next().to_be_bytes());
    }
    bytes
}

fn any_op(s: &mut Stream) -> OpId {
    OpId::from_bytes(bytes32(s))
}

/// Adds the order of the group to a scalar: the equation still holds, the encoding is not the one.
fn add_order(scalar: &mut [u8]) {
    const ORDER: [u8; 32] = [
        0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde,
        0x14, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
    ];
    let mut carry = 0;
    for (byte, order) in scalar.iter_mut().zip(ORDER) {
        let sum = u16::from(*byte) + u16::from(order) + carry;
        *byte = sum as u8;
        carry = sum >> 8;
    }
}
