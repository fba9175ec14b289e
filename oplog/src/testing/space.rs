//! A Space in which a test writes whatever it likes.

use std::collections::{BTreeMap, BTreeSet};

use crate::accept::roster_hash;
use crate::author::{Authoring, LaneEnd};
use crate::header::Header;
use crate::hlc::{Hlc, Timestamp};
use crate::ids::{ChannelId, DeviceId, Digest, EpochId, Lane, OpId, Scope, SpaceId, UserId};
use crate::keys::SecretKey;
use crate::op::SignedOp;
use crate::payload::{
    ChannelCreate, ChannelKind, Commit, CommitClass, DeviceAdd, DeviceRevoke, Genesis, History,
    InviteCreate, MemberAdd, NewMember, Payload, Post, RosterDelta, RosterEntry, SpaceKind, Weight,
};

use super::{Device, Person, START, digest};

type Roster = BTreeMap<DeviceId, (UserId, Digest)>;

/// A Space under construction: knows every op signed through it, and offers each new one the
/// position, heads, epoch and time that an honest client would give it.
#[derive(Clone, Debug)]
pub struct TestSpace {
    seed: u64,
    founder: Device,
    genesis: SignedOp,
    ops: Vec<SignedOp>,
    times: BTreeMap<OpId, Hlc>,
    heads: BTreeSet<OpId>,
    lanes: BTreeMap<Lane, LaneEnd>,
    rosters: BTreeMap<EpochId, Roster>,
    epoch: EpochId,
    /// The clock of whoever writes next; every op moves it on by a second.
    pub now: Timestamp,
}

impl TestSpace {
    /// Founds a Space with an owner of one device.
    #[must_use]
    pub fn found(seed: u64) -> Self {
        let founder = Person::new(seed, "owner").device(0);
        let header = Authoring::genesis(founder.user(), founder.id(), START);
        let payload = Payload::Genesis(Genesis {
            name: "test".to_owned(),
            kind: SpaceKind::Community,
            cert: founder.cert().clone(),
            group_id: digest("test-group", seed, &[]),
            root_commit: digest("test-root", seed, &[]),
            owner_removable: false,
            leaf: founder.key_package_hash(),
        });
        let genesis = SignedOp::sign(header, &payload, founder.key());
        let epoch = EpochId::genesis(&genesis.space());
        let leaf = (founder.user(), founder.key_package_hash());
        let mut space = Self {
            seed,
            genesis: genesis.clone(),
            ops: Vec::new(),
            times: BTreeMap::new(),
            heads: BTreeSet::new(),
            lanes: BTreeMap::new(),
            rosters: BTreeMap::from([(epoch, Roster::from([(founder.id(), leaf)]))]),
            founder,
            epoch,
            now: START.plus_ms(1_000),
        };
        space.record(&genesis);
        space
    }

    /// Begins an op: honest in every field until the draft is told otherwise.
    pub fn op(&mut self, device: &Device, payload: Payload) -> Draft<'_> {
        Draft {
            kind: payload.kind().number(),
            bytes: None,
            payload,
            device: device.clone(),
            scope: Scope::Control,
            ctl: None,
            prev: Vec::new(),
            epoch: None,
            hlc: None,
            after: None,
            user: device.user(),
            sign_identity: false,
            tweak: None,
            space: self,
        }
    }

    /// Begins a post.
    pub fn post(&mut self, device: &Device, channel: ChannelId, body: &str) -> Draft<'_> {
        self.op(device, post(body)).channel(channel)
    }

    /// Begins a commit that adds and removes these devices on the current epoch; who is in both
    /// lists is re-added.
    pub fn commit(&mut self, by: &Device, added: &[&Device], removed: &[DeviceId]) -> Draft<'_> {
        let parent = self.epoch;
        self.commit_on(parent, by, added, removed)
    }

    /// Begins a commit on any epoch.
    pub fn commit_on(
        &mut self,
        parent: EpochId,
        by: &Device,
        added: &[&Device],
        removed: &[DeviceId],
    ) -> Draft<'_> {
        let payload = self.commit_payload(parent, by, added, removed);
        self.op(by, Payload::Commit(payload)).epoch(parent)
    }

    /// Returns the payload of a commit, to be spoiled before it is signed.
    #[must_use]
    pub fn commit_payload(
        &self,
        parent: EpochId,
        by: &Device,
        added: &[&Device],
        removed: &[DeviceId],
    ) -> Commit {
        let before = self.roster(&parent);
        let mut added: Vec<RosterEntry> = added
            .iter()
            .map(|device| RosterEntry {
                device: device.id(),
                user: device.user(),
                key_package: device.key_package_hash(),
            })
            .collect();
        added.sort();
        let mut removed = removed.to_vec();
        removed.sort();
        let delta = RosterDelta { added, removed };
        let after = apply(&before, &delta);
        let gone = |d: &DeviceId| {
            !after.contains_key(d) && before.get(d).is_some_and(|(user, _)| *user != by.user())
        };
        let class = if delta.removed.iter().any(gone) {
            CommitClass::Remove
        } else if delta == RosterDelta::default() {
            CommitClass::Update
        } else {
            CommitClass::Add
        };
        Commit {
            parent,
            mls: b"not an MLS message".to_vec().into(),
            root_commit: digest("test-root", self.seed, parent.as_bytes()),
            roster_hash: roster_hash(&after),
            class,
            delta,
            group_info: Vec::new().into(),
            welcomes: Vec::new(),
        }
    }

    /// Lets people in by right, and signs.
    pub fn add(&mut self, by: &Device, members: &[(&Device, Weight)]) -> SignedOp {
        let payload = member_add(members, None);
        self.op(by, payload).sign()
    }

    /// Lets one in and adds the device to the group. Returns both ops.
    pub fn join(&mut self, by: &Device, device: &Device, weight: Weight) -> [SignedOp; 2] {
        let add = self.add(by, &[(device, weight)]);
        [add, self.commit(by, &[device], &[]).sign()]
    }

    /// Makes a channel.
    pub fn channel(&mut self, by: &Device, kind: ChannelKind) -> ChannelId {
        let op = self.op(by, channel_create("a channel", kind)).sign();
        ChannelId::of_create(&op.id())
    }

    /// Takes note of an op, as if its author's device had been told of it.
    pub fn record(&mut self, op: &SignedOp) {
        let (h, id) = (op.header(), op.id());
        self.times.insert(id, h.hlc);
        let (seq, hlc) = (h.seq, h.hlc);
        self.lanes.insert(h.lane(), LaneEnd { id, seq, hlc });
        if h.is_control() {
            for parent in h.refs() {
                self.heads.remove(&parent);
            }
            self.heads.insert(id);
        }
        if let Ok(Some(Payload::Commit(commit))) = op.payload() {
            let after = apply(&self.roster(&commit.parent), &commit.delta);
            self.epoch = EpochId::of_commit(&id);
            self.rosters.insert(self.epoch, after);
        }
        self.ops.push(op.clone());
        self.now = self.now.plus_ms(1_000);
    }

    /// Returns the person of this name in this test.
    #[must_use]
    pub fn person(&self, name: &str) -> Person {
        Person::new(self.seed, name)
    }

    /// Returns the founder's device.
    #[must_use]
    pub fn founder(&self) -> Device {
        self.founder.clone()
    }

    /// Returns the founding op.
    #[must_use]
    pub const fn genesis(&self) -> &SignedOp {
        &self.genesis
    }

    /// Returns the Space's id.
    #[must_use]
    pub fn id(&self) -> SpaceId {
        self.genesis.space()
    }

    /// Returns every op signed so far, parents before children.
    #[must_use]
    pub fn ops(&self) -> &[SignedOp] {
        &self.ops
    }

    /// Returns the control heads of all that was signed.
    #[must_use]
    pub fn heads(&self) -> Vec<OpId> {
        self.heads.iter().copied().collect()
    }

    /// Returns the epoch of the commit signed last.
    #[must_use]
    pub const fn epoch(&self) -> EpochId {
        self.epoch
    }

    /// Returns the devices in an epoch; none when no commit signed here began it.
    #[must_use]
    pub fn roster(&self, epoch: &EpochId) -> BTreeMap<DeviceId, (UserId, Digest)> {
        self.rosters.get(epoch).cloned().unwrap_or_default()
    }
}

/// An op about to be signed.
#[derive(Debug)]
pub struct Draft<'a> {
    space: &'a mut TestSpace,
    device: Device,
    payload: Payload,
    bytes: Option<Vec<u8>>,
    kind: u16,
    scope: Scope,
    ctl: Option<Vec<OpId>>,
    prev: Vec<OpId>,
    epoch: Option<EpochId>,
    hlc: Option<Hlc>,
    after: Option<Option<LaneEnd>>,
    user: UserId,
    sign_identity: bool,
    tweak: Option<fn(&mut Header)>,
}

impl Draft<'_> {
    /// Puts it into a channel.
    #[must_use]
    pub fn channel(mut self, channel: ChannelId) -> Self {
        self.scope = Scope::Channel(channel);
        self
    }

    /// Claims to have seen these control heads, instead of all.
    #[must_use]
    pub fn ctl(mut self, heads: &[OpId]) -> Self {
        self.ctl = Some(heads.to_vec());
        self
    }

    /// Refers to these content ops.
    #[must_use]
    pub fn prev(mut self, ops: &[OpId]) -> Self {
        self.prev = ops.to_vec();
        self.prev.sort_unstable();
        self
    }

    /// Names this epoch, instead of that of the last commit.
    #[must_use]
    pub const fn epoch(mut self, epoch: EpochId) -> Self {
        self.epoch = Some(epoch);
        self
    }

    /// Claims this time, instead of the clock's.
    #[must_use]
    pub const fn hlc(mut self, hlc: Hlc) -> Self {
        self.hlc = Some(hlc);
        self
    }

    /// Continues the lane after this op, instead of the last; after nothing, begins it.
    #[must_use]
    pub fn after(mut self, op: Option<&SignedOp>) -> Self {
        self.after = Some(op.map(|op| LaneEnd {
            id: op.id(),
            seq: op.header().seq,
            hlc: op.header().hlc,
        }));
        self
    }

    /// Claims another author.
    #[must_use]
    pub const fn user(mut self, user: UserId) -> Self {
        self.user = user;
        self
    }

    /// Claims another kind.
    #[must_use]
    pub const fn kind(mut self, number: u16) -> Self {
        self.kind = number;
        self
    }

    /// Carries other bytes than the payload's.
    #[must_use]
    pub fn bytes(mut self, bytes: Vec<u8>) -> Self {
        self.bytes = Some(bytes);
        self
    }

    /// Of a DeviceAdd or DeviceRevoke: has the identity key sign too (A1).
    #[must_use]
    pub const fn identity_signed(mut self) -> Self {
        self.sign_identity = true;
        self
    }

    /// Spoils the header at last.
    #[must_use]
    pub fn tweak(mut self, tweak: fn(&mut Header)) -> Self {
        self.tweak = Some(tweak);
        self
    }

    /// Signs the op and takes note of it.
    pub fn sign(self) -> SignedOp {
        let (op, space) = self.build();
        space.record(&op);
        op
    }

    /// Signs the op and keeps it secret: later ops do not know of it.
    #[must_use]
    pub fn forge(self) -> SignedOp {
        self.build().0
    }
}

impl<'a> Draft<'a> {
    fn build(mut self) -> (SignedOp, &'a mut TestSpace) {
        let mut header = self.header();
        if let Some(tweak) = self.tweak {
            tweak(&mut header);
        }
        if let (true, Payload::DeviceAdd(add)) = (self.sign_identity, &mut self.payload) {
            let message = DeviceAdd::identity_message(&header.binding());
            add.identity_sig = Some(self.device.identity().sign(&message));
        }
        if let (true, Payload::DeviceRevoke(revoke)) = (self.sign_identity, &mut self.payload) {
            let message = DeviceRevoke::identity_message(&header.binding(), &revoke.device);
            revoke.identity_sig = Some(self.device.identity().sign(&message));
        }
        let bytes = self.bytes.unwrap_or_else(|| self.payload.encode());
        let op = SignedOp::sign_raw(header, bytes, self.device.key());
        (op, self.space)
    }

    fn header(&self) -> Header {
        let space = &*self.space;
        let lane = Lane {
            device: self.device.id(),
            scope: self.scope,
        };
        let head = match self.after {
            Some(after) => after,
            None => space.lanes.get(&lane).copied(),
        };
        let ctl = self.ctl.clone().unwrap_or_else(|| space.heads());
        let time = |id: &OpId| space.times.get(id).copied().unwrap_or(Hlc::ZERO);
        let deps = ctl.iter().chain(&self.prev).map(time);
        let last = head.map_or(Hlc::ZERO, |head| head.hlc);
        let hlc = Hlc::tick(space.now, last, deps);
        Header {
            space: space.id(),
            kind: self.kind,
            user: self.user,
            device: self.device.id(),
            scope: self.scope,
            seq: head.map_or(0, |head| head.seq + 1),
            back: head.map(|head| head.id),
            ctl: ctl
                .into_iter()
                .collect::<BTreeSet<_>>()
                .into_iter()
                .collect(),
            prev: self.prev.clone(),
            epoch: self.epoch.unwrap_or(space.epoch),
            hlc: self.hlc.unwrap_or(hlc),
            wall: space.now,
            ..Header::blank()
        }
    }
}

/// Returns a post.
#[must_use]
pub fn post(body: &str) -> Payload {
    Payload::Post(Post {
        thread: None,
        reply_to: None,
        body: body.to_owned(),
        attachments: Vec::new(),
        mentions: Vec::new(),
    })
}

/// Returns the creation of a channel.
#[must_use]
pub fn channel_create(name: &str, kind: ChannelKind) -> Payload {
    Payload::ChannelCreate(ChannelCreate {
        name: name.to_owned(),
        kind,
        topic: String::new(),
        category: None,
        history: History::Recent,
        private: false,
    })
}

/// Returns an invite and the secret of its key.
#[must_use]
pub fn invite(seed: u64, max_uses: u32, expires: Hlc) -> (InviteCreate, SecretKey) {
    let key = super::secret_key("test-invite", seed, &[]);
    let invite = InviteCreate {
        key: Digest::from_bytes(key.public()),
        weight: Weight::MEMBER,
        max_uses,
        expires,
        channel: None,
        approval: false,
    };
    (invite, key)
}

/// Returns an admission, by right or by the invite with this op and secret.
#[must_use]
pub fn member_add(members: &[(&Device, Weight)], invite: Option<(OpId, &SecretKey)>) -> Payload {
    let mut members: Vec<NewMember> = members
        .iter()
        .map(|(device, weight)| {
            let prove = |(_, key): (OpId, &SecretKey)| {
                let pk = Digest::from_bytes(key.public());
                key.sign(&NewMember::proof_message(
                    &pk,
                    device.cert(),
                    &device.key_package(),
                ))
            };
            NewMember {
                cert: device.cert().clone(),
                key_package: device.key_package().into(),
                weight: *weight,
                proof: invite.map(prove),
            }
        })
        .collect();
    members.sort_by_key(|member| member.cert.user);
    Payload::MemberAdd(MemberAdd {
        members,
        invite: invite.map(|(op, _)| op),
    })
}

fn apply(before: &Roster, delta: &RosterDelta) -> Roster {
    let mut after = before.clone();
    for device in &delta.removed {
        after.remove(device);
    }
    for leaf in &delta.added {
        after.insert(leaf.device, (leaf.user, leaf.key_package));
    }
    after
}
