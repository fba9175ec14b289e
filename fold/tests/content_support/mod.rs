//! A small Space for tests of the content plane: people who write ops, a log, and a [`Standing`]
//! whose every answer is set by hand.

#![allow(
    dead_code,
    unreachable_pub,
    clippy::allow_attributes,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::missing_panics_doc,
    clippy::panic,
    clippy::unwrap_used,
    reason = "helpers of tests, of which each file uses its own part"
)]

use core::cmp::Reverse;
use core::ops::Range;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use fold::authority::RemovalKind;
use fold::content::{
    Bodies, ContentView, Cursor, EffectiveRemoval, Include, Line, PostState, PostView, Sponsorship,
    Standing, index,
};
use oplog::authority::Rank;
use oplog::payload::{
    CutHead, Edit, LatePolicy, ModTombstone, Payload, Post, PurgeFrom, React, ScopeCut,
    ThreadCreate, ThreadUpdate, Verb,
};
use oplog::store::{Location, MemStore, Store, StoreError};
use oplog::{
    AcceptedOp, ChannelId, DeviceId, Digest, EpochId, Header, Hlc, Lane, OpId, Scope, SecretKey,
    SignedOp, SpaceId, Timestamp, UserId,
};

pub const CHANNEL: ChannelId = ChannelId::from_bytes([0xc0; 16]);
pub const OTHER: ChannelId = ChannelId::from_bytes([0xc1; 16]);
pub const PREFIX: &[u8] = b"sp07";

/// One device and where its lanes end.
pub struct Author {
    pub user: UserId,
    key: SecretKey,
    ends: BTreeMap<ChannelId, (u64, OpId)>,
    /// Control ops its ops from now on have seen; a flat list stands for `ctlpast`.
    pub seen: BTreeSet<OpId>,
    pub epoch: EpochId,
}

impl Author {
    /// Person `user`, on device `device`.
    pub fn new(user: u8, device: u8) -> Self {
        Self {
            user: UserId::from_bytes([user; 32]),
            key: SecretKey::from_seed(&[device; 32]),
            ends: BTreeMap::new(),
            seen: BTreeSet::new(),
            epoch: epoch(0),
        }
    }

    pub fn device(&self) -> DeviceId {
        DeviceId::from_bytes(self.key.public())
    }

    /// Continues from before these ops, as a restored backup does.
    pub fn forget_after(&mut self, op: &AcceptedOp) {
        self.ends.insert(CHANNEL, (op.header().seq, op.id()));
    }

    /// Signs an op at this time.
    pub fn write(
        &mut self,
        at: u64,
        channel: ChannelId,
        prev: &[OpId],
        payload: &Payload,
    ) -> AcceptedOp {
        let header = self.header(at, channel, prev);
        self.keep(channel, SignedOp::sign(header, payload, &self.key))
    }

    /// Signs a post whose payload is nonsense.
    pub fn garble(&mut self, at: u64, kind: oplog::Kind, prev: &[OpId]) -> AcceptedOp {
        let mut header = self.header(at, CHANNEL, prev);
        header.kind = kind.number();
        self.keep(
            CHANNEL,
            SignedOp::sign_raw(header, vec![0xff, 0x00], &self.key),
        )
    }

    pub fn post(&mut self, at: u64, body: &str) -> AcceptedOp {
        self.write(at, CHANNEL, &[], &post(None, None, body, &[]))
    }

    pub fn thread(&mut self, at: u64, title: &str) -> AcceptedOp {
        let payload = Payload::ThreadCreate(ThreadCreate {
            title: title.into(),
            tags: vec![],
            body: format!("about {title}"),
            attachments: vec![],
            mentions: vec![],
        });
        self.write(at, CHANNEL, &[], &payload)
    }

    pub fn reply(&mut self, at: u64, thread: &AcceptedOp, body: &str) -> AcceptedOp {
        let payload = post(Some(thread.id()), None, body, &[]);
        self.write(at, CHANNEL, &[thread.id()], &payload)
    }

    pub fn edit(&mut self, at: u64, target: &AcceptedOp, body: &str) -> AcceptedOp {
        let payload = Payload::Edit(Edit {
            body: body.into(),
            mentions: vec![],
        });
        self.act(at, target, &payload)
    }

    pub fn react(&mut self, at: u64, target: &AcceptedOp, emoji: &str) -> AcceptedOp {
        let emoji = emoji.into();
        self.act(at, target, &Payload::React(React { emoji }))
    }

    pub fn unreact(&mut self, at: u64, target: &AcceptedOp, emoji: &str) -> AcceptedOp {
        let emoji = emoji.into();
        self.act(at, target, &Payload::Unreact(React { emoji }))
    }

    pub fn tombstone(&mut self, at: u64, target: &AcceptedOp, reason: &str) -> AcceptedOp {
        let reason = reason.into();
        self.act(at, target, &Payload::ModTombstone(ModTombstone { reason }))
    }

    pub fn retitle(&mut self, at: u64, target: &AcceptedOp, title: &str) -> AcceptedOp {
        let payload = Payload::ThreadUpdate(ThreadUpdate {
            title: Some(title.into()),
            tags: None,
        });
        self.act(at, target, &payload)
    }

    /// Signs an op that acts on one other.
    pub fn act(&mut self, at: u64, target: &AcceptedOp, payload: &Payload) -> AcceptedOp {
        let channel = target.header().scope.channel().unwrap();
        self.write(at, channel, &[target.id()], payload)
    }

    fn header(&self, at: u64, channel: ChannelId, prev: &[OpId]) -> Header {
        let end = self.ends.get(&channel);
        let mut prev = prev.to_vec();
        prev.sort_unstable();
        prev.dedup();
        Header {
            space: SpaceId::from_bytes([1; 32]),
            kind: 0,
            user: self.user,
            device: self.device(),
            scope: Scope::Channel(channel),
            seq: end.map_or(0, |(seq, _)| seq + 1),
            back: end.map(|(_, id)| *id),
            ctl: self.seen.iter().copied().collect(),
            prev,
            epoch: self.epoch,
            hlc: hlc(at),
            wall: Timestamp::from_ms(1_000 * at),
            payload_hash: Digest::ZERO,
            payload_len: 0,
        }
    }

    fn keep(&mut self, channel: ChannelId, op: SignedOp) -> AcceptedOp {
        self.ends.insert(channel, (op.header().seq, op.id()));
        let op = op.verify().unwrap().into_op();
        AcceptedOp::danger_from_own_store(op)
    }
}

pub fn post(
    thread: Option<OpId>,
    reply_to: Option<OpId>,
    body: &str,
    mentions: &[UserId],
) -> Payload {
    Payload::Post(Post {
        thread,
        reply_to,
        body: body.into(),
        attachments: vec![],
        mentions: mentions.to_vec(),
    })
}

pub fn hlc(at: u64) -> Hlc {
    Hlc::from_raw(at << 32)
}

pub fn epoch(n: u8) -> EpochId {
    EpochId::from_bytes([n; 32])
}

/// A control op that exists by name only.
pub fn control(n: u8) -> OpId {
    OpId::from_bytes([n; 32])
}

pub fn rank(weight: u8, seniority: u64) -> Rank {
    Rank {
        weight,
        seniority: Reverse((seniority, OpId::ZERO, UserId::ZERO)),
        sub: 0,
    }
}

/// A removal by somebody else that lists nothing.
pub fn removal(op: OpId, late: LatePolicy) -> EffectiveRemoval {
    EffectiveRemoval {
        op,
        kind: RemovalKind::Kick,
        device: None,
        by: UserId::from_bytes([0xad; 32]),
        hlc: hlc(1_000_000),
        rank: rank(50, 1),
        cut: vec![],
        late,
        purge: vec![],
        reason: "spam".into(),
        first_epoch: None,
        closure: None,
    }
}

/// The cut of one lane in the channel; no head: "synced, nothing there".
pub fn cut(head: Option<&AcceptedOp>) -> Vec<ScopeCut> {
    vec![ScopeCut {
        scope: Scope::Channel(CHANNEL),
        heads: head.into_iter().map(head_of).collect(),
    }]
}

pub fn head_of(op: &AcceptedOp) -> CutHead {
    CutHead {
        device: op.header().device,
        seq: op.header().seq,
        op: op.id(),
    }
}

pub fn purge_from(op: &AcceptedOp) -> Vec<PurgeFrom> {
    vec![PurgeFrom {
        device: op.header().device,
        scope: op.header().scope,
        seq: op.header().seq,
    }]
}

/// Authority set by hand. `ctlpast` of an op is what its header lists.
#[derive(Clone, Default)]
pub struct Fiat {
    /// D0: of these people, the grant that is void.
    pub unsponsored: BTreeMap<UserId, OpId>,
    /// Effective removals, by person.
    pub removals: Vec<(UserId, Arc<EffectiveRemoval>)>,
    /// Ranks above an ordinary member's.
    pub ranks: BTreeMap<UserId, Rank>,
    /// People whose role rests on a void grant.
    pub void_roles: BTreeMap<UserId, OpId>,
    /// Effective mutes: who, by which op.
    pub mutes: BTreeMap<UserId, OpId>,
    /// Parents of epochs.
    pub parents: BTreeMap<EpochId, EpochId>,
    /// Whether to answer [`Standing::is_quiet`] with yes where that is true.
    pub quick: bool,
    /// Whose devices are.
    pub devices: BTreeMap<DeviceId, UserId>,
}

impl Fiat {
    pub fn remove(&mut self, whom: &Author, removal: EffectiveRemoval) {
        self.removals.push((whom.user, Arc::new(removal)));
    }

    /// Makes somebody a moderator or more.
    pub fn promote(&mut self, whom: &Author, weight: u8, seniority: u64) {
        self.ranks.insert(whom.user, rank(weight, seniority));
    }
}

impl Standing for Fiat {
    fn sponsorship(&self, op: &Header) -> Sponsorship {
        match self.unsponsored.get(&op.user) {
            Some(by) => Sponsorship::Void { by: *by },
            None => Sponsorship::Held,
        }
    }

    fn removals(&self, op: &Header) -> Vec<Arc<EffectiveRemoval>> {
        let of_user = self.removals.iter().filter(|(user, _)| *user == op.user);
        of_user
            .filter(|(_, r)| r.device.is_none_or(|device| device == op.device))
            .filter(|(_, r)| !self.saw(op, &r.op))
            .map(|(_, r)| r.clone())
            .collect()
    }

    fn void_act(&self, op: &Header, verb: Verb) -> Option<OpId> {
        let needs_role = matches!(verb, Verb::Tombstone | Verb::Pin);
        self.void_roles
            .get(&op.user)
            .copied()
            .filter(|_| needs_role)
    }

    fn mute(&self, op: &Header) -> Option<OpId> {
        let mute = self.mutes.get(&op.user).copied();
        mute.filter(|mute| !self.saw(op, mute))
    }

    fn rank_at(&self, op: &Header) -> Option<Rank> {
        Some(self.ranks.get(&op.user).copied().unwrap_or(rank(10, 99)))
    }

    fn saw(&self, op: &Header, control: &OpId) -> bool {
        op.ctl.contains(control)
    }

    fn devices(&self, user: &UserId) -> Vec<DeviceId> {
        let theirs = self.devices.iter().filter(|(_, holder)| *holder == user);
        theirs.map(|(device, _)| *device).collect()
    }

    fn channels(&self) -> Vec<ChannelId> {
        vec![CHANNEL, OTHER]
    }

    fn descends(&self, epoch: &EpochId, ancestor: &EpochId) -> bool {
        let mut at = Some(epoch);
        while let Some(epoch) = at {
            if epoch == ancestor {
                return true;
            }
            at = self.parents.get(epoch);
        }
        false
    }

    fn is_quiet(&self, device: &DeviceId) -> bool {
        self.quick
            && self.devices.get(device).is_some_and(|user| {
                !self.unsponsored.contains_key(user)
                    && !self.void_roles.contains_key(user)
                    && self.removals.iter().all(|(removed, _)| removed != user)
            })
    }
}

/// A log in memory. Locations are given by id, so that replicas that differ in order have equal rows.
#[derive(Clone, Default)]
pub struct Log {
    ops: BTreeMap<OpId, AcceptedOp>,
    lanes: BTreeMap<Lane, BTreeSet<(u64, OpId)>>,
    /// Records that read as damaged.
    pub damaged: BTreeSet<OpId>,
}

impl Log {
    pub fn add(&mut self, op: &AcceptedOp) -> Location {
        let lane = self.lanes.entry(op.header().lane()).or_default();
        lane.insert((op.header().seq, op.id()));
        self.ops.insert(op.id(), op.clone());
        location(&op.id())
    }
}

fn location(id: &OpId) -> Location {
    let word = |at: usize| u32::from_be_bytes(id.as_bytes()[at..at + 4].try_into().unwrap());
    Location {
        segment: word(0),
        offset: word(4),
        len: word(8),
    }
}

impl Bodies for Log {
    fn read(&self, id: &OpId, at: &Location) -> Result<AcceptedOp, StoreError> {
        let found = self.ops.get(id);
        found
            .filter(|_| location(id) == *at && !self.damaged.contains(id))
            .cloned()
            .ok_or(StoreError::Damaged {
                what: "record".into(),
            })
    }

    fn op(&self, id: &OpId) -> Result<Option<AcceptedOp>, StoreError> {
        Ok(self.ops.get(id).cloned())
    }

    fn lane(
        &self,
        lane: &Lane,
        seqs: Range<u64>,
        visit: &mut dyn FnMut(u64, OpId),
    ) -> Result<(), StoreError> {
        for (seq, id) in self.lanes.get(lane).into_iter().flatten() {
            if seqs.contains(seq) {
                visit(*seq, *id);
            }
        }
        Ok(())
    }
}

/// One replica.
#[derive(Clone, Default)]
pub struct Replica {
    pub store: MemStore,
    pub log: Log,
    pub fiat: Fiat,
}

pub type View<'a> = ContentView<'a, MemStore, Log, Fiat>;

impl Replica {
    pub fn of<'a>(fiat: &Fiat, ops: impl IntoIterator<Item = &'a AcceptedOp>) -> Self {
        let mut replica = Self {
            fiat: fiat.clone(),
            ..Self::default()
        };
        for op in ops {
            replica.add(op);
        }
        replica
    }

    pub fn add(&mut self, op: &AcceptedOp) {
        let header = op.header();
        self.fiat.devices.insert(header.device, header.user);
        let at = self.log.add(op);
        index::insert(&mut self.store, PREFIX, op, at);
    }

    pub fn view(&self) -> View<'_> {
        ContentView::new(PREFIX, &self.store, &self.log, &self.fiat)
    }

    pub fn state(&self, op: &AcceptedOp) -> PostState {
        self.post(op).state
    }

    pub fn post(&self, op: &AcceptedOp) -> PostView {
        self.view().post(&op.id()).unwrap().expect("a post")
    }

    /// Every row of the index.
    pub fn rows(&self) -> Vec<index::Row> {
        let mut rows = Vec::new();
        for table in index::TABLES {
            let everything = oplog::store::prefix_end(&[]);
            let forward = oplog::store::Direction::Forward;
            self.store
                .scan(table, &[], &everything, forward, &mut |key, value| {
                    rows.push(index::Row {
                        table,
                        key: key.to_vec(),
                        value: value.to_vec(),
                    });
                    core::ops::ControlFlow::Continue(())
                })
                .unwrap();
        }
        rows
    }

    pub fn hash(&self) -> Digest {
        self.view().state_hash(&[CHANNEL, OTHER]).unwrap()
    }
}

pub fn main_line() -> Line {
    Line {
        channel: CHANNEL,
        thread: None,
    }
}

pub fn line_in(thread: &AcceptedOp) -> Line {
    Line {
        channel: CHANNEL,
        thread: Some(thread.id()),
    }
}

/// The bodies of a whole line that are shown.
pub fn bodies(view: &View<'_>, line: &Line) -> Vec<String> {
    let page = view.page(line, Cursor::Oldest, Include::Shown, 10_000);
    page.unwrap().posts.into_iter().map(|p| p.body).collect()
}

/// Every order of a few things.
pub fn permutations<T: Clone>(items: &[T]) -> Vec<Vec<T>> {
    let Some((first, rest)) = items.split_first() else {
        return vec![vec![]];
    };
    let mut all = Vec::new();
    for order in permutations(rest) {
        for at in 0..=order.len() {
            let mut order = order.clone();
            order.insert(at, first.clone());
            all.push(order);
        }
    }
    all
}
