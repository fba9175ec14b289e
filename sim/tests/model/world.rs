//! A Space in which everybody knows something else, and its production log and folds.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use fold::{AuthorityFold, AuthorityView};
use oplog::authority::Authority;
use oplog::payload::{
    ChannelKind, CutHead, Edit, InviteCreate, LatePolicy, ModTombstone, Payload, Post, PurgeFrom,
    React, Removal, ScopeCut, ThreadCreate, Weight,
};
use oplog::store::MemStore;
use oplog::testing::{Device, Draft, START, TestSpace, channel_create, invite};
use oplog::{
    Accept, ChannelId, DeviceId, EpochId, Hlc, Kind, OpId, Rule, Scope, SecretKey, SignedOp,
    SpaceLog, SpaceNo, Timestamp, UserId,
};

/// Long after everything: nothing is from the future.
const LATER: Timestamp = START.plus_ms(10 * 366 * 86_400_000);

/// What one device knows.
#[derive(Clone, Default)]
pub(crate) struct Mind {
    /// Every op it has, closed under references.
    pub(crate) knows: BTreeSet<OpId>,
    /// Its last op in each place.
    pub(crate) last: BTreeMap<Scope, OpId>,
}

pub(crate) struct World {
    pub(crate) space: TestSpace,
    pub(crate) devices: Vec<Device>,
    pub(crate) minds: Vec<Mind>,
    pub(crate) chat: ChannelId,
    pub(crate) forum: ChannelId,
    pub(crate) news: ChannelId,
    pub(crate) invites: Vec<(OpId, SecretKey)>,
    pub(crate) ops: BTreeMap<OpId, SignedOp>,
    /// In the order of arrival.
    pub(crate) order: Vec<OpId>,
    /// Ops that a rule refused, with how many had been accepted by then.
    pub(crate) refused: Vec<(SignedOp, &'static str, usize)>,
    pub(crate) fold: AuthorityFold,
    log: SpaceLog<AuthorityView>,
    store: MemStore,
}

/// Owner, two admins (the first with two devices), two moderators, two members, a guest; and three
/// who are not in yet.
pub(crate) const OWNER: usize = 0;
pub(crate) const PEOPLE: usize = 12;

impl World {
    pub(crate) fn new() -> Self {
        let space = TestSpace::found(1);
        let genesis = space.genesis().clone();
        let device = |name: &str| space.person(name).device(0);
        let mut devices = vec![space.founder()];
        devices.push(device("ada"));
        devices.push(space.person("ada").device(1));
        devices.extend(
            [
                "ben", "mia", "max", "pia", "quin", "gus", "xan", "yve", "zoe",
            ]
            .map(device),
        );
        let id = space.id();
        let mut world = Self {
            minds: vec![Mind::default(); devices.len()],
            devices,
            chat: ChannelId::from_bytes([0; 16]),
            forum: ChannelId::from_bytes([0; 16]),
            news: ChannelId::from_bytes([0; 16]),
            invites: Vec::new(),
            ops: BTreeMap::new(),
            order: Vec::new(),
            refused: Vec::new(),
            fold: AuthorityFold::new(),
            log: SpaceLog::new(id, SpaceNo(1)),
            store: MemStore::new(),
            space,
        };
        assert!(world.deliver(&genesis, OWNER));
        let add = |world: &Self, list: &[(usize, u8)]| {
            let list: Vec<(&Device, Weight)> = list
                .iter()
                .map(|(at, weight)| (&world.devices[*at], Weight::new(*weight)))
                .collect();
            oplog::testing::member_add(&list, None)
        };
        let first = add(&world, &[(1, 50), (3, 50), (4, 20), (5, 20)]);
        world.must(OWNER, first);
        world.let_in(OWNER, &[1, 3, 4, 5]);
        let second = add(&world, &[(6, 10), (7, 10), (8, 5)]);
        world.must(1, second);
        world.let_in(1, &[6, 7, 8]);
        let link = Payload::DeviceAdd(oplog::payload::DeviceAdd {
            cert: world.devices[2].cert().clone(),
            key_package: world.devices[2].key_package().into(),
            identity_sig: None,
        });
        world.must(OWNER, channel_create("chat", ChannelKind::Chat));
        world.chat = ChannelId::of_create(world.order.last().unwrap());
        world.must(OWNER, channel_create("forum", ChannelKind::Forum));
        world.forum = ChannelId::of_create(world.order.last().unwrap());
        world.must(OWNER, channel_create("news", ChannelKind::Announcement));
        world.news = ChannelId::of_create(world.order.last().unwrap());
        world.tell_all();
        world.must(1, link);
        world.let_in(1, &[2]);
        world
    }

    /// Somebody commits these devices into the group, and all hear of it.
    fn let_in(&mut self, by: usize, who: &[usize]) {
        let leaves: Vec<Device> = who.iter().map(|at| self.devices[*at].clone()).collect();
        let leaves: Vec<&Device> = leaves.iter().collect();
        let parent = self.epoch_of(by, 0);
        let by_device = self.devices[by].clone();
        let commit = self.space.commit_payload(parent, &by_device, &leaves, &[]);
        self.must(by, Payload::Commit(commit));
        self.tell_all();
    }

    pub(crate) fn tell_all(&mut self) {
        let all: BTreeSet<OpId> = self.ops.keys().copied().collect();
        for mind in &mut self.minds {
            mind.knows.clone_from(&all);
        }
    }

    /// One learns all that another knows.
    pub(crate) fn tell(&mut self, from: usize, to: usize) {
        let news = self.minds[from].knows.clone();
        self.minds[to].knows.extend(news);
    }

    fn must(&mut self, who: usize, payload: Payload) {
        let act = Saying::new(payload);
        let said = self.say(who, act);
        assert!(said.is_ok(), "{said:?}");
    }

    /// The control heads of what somebody knows.
    pub(crate) fn heads(&self, who: usize) -> Vec<OpId> {
        self.heads_of(&self.minds[who].knows)
    }

    fn heads_of(&self, known: &BTreeSet<OpId>) -> Vec<OpId> {
        let control = |id: &&OpId| self.ops[*id].header().is_control();
        let mut heads: BTreeSet<OpId> = known.iter().filter(control).copied().collect();
        for id in known.iter().filter(control) {
            let h = self.ops[id].header();
            for parent in h.ctl.iter().chain(&h.back) {
                heads.remove(parent);
            }
        }
        heads.into_iter().collect()
    }

    pub(crate) fn view(&mut self, who: usize) -> Arc<AuthorityView> {
        let heads = self.heads(who);
        self.fold.view(self.log.dag(), &heads)
    }

    /// An epoch that somebody knows: the deepest, or one of the others.
    pub(crate) fn epoch_of(&self, who: usize, back: usize) -> EpochId {
        let mut epochs: Vec<(u64, EpochId)> = self.minds[who]
            .knows
            .iter()
            .filter_map(|id| {
                let kind = self.ops[id].header().kind();
                let epoch = match kind {
                    Some(Kind::Genesis) => EpochId::genesis(&self.space.id()),
                    Some(Kind::Commit) => EpochId::of_commit(id),
                    _ => return None,
                };
                Some((self.fold.epoch(&epoch)?.number, epoch))
            })
            .collect();
        epochs.sort();
        let at = epochs.len().saturating_sub(1 + back);
        epochs[at].1
    }

    pub(crate) fn known(&self, who: usize, wanted: impl Fn(&SignedOp) -> bool) -> Vec<OpId> {
        let known = self.minds[who].knows.iter();
        known.filter(|id| wanted(&self.ops[*id])).copied().collect()
    }

    /// Somebody says something. The error is the rule that refused it.
    pub(crate) fn say(&mut self, who: usize, saying: Saying) -> Result<OpId, &'static str> {
        let device = self.devices[who].clone();
        let mut heads = self.heads(who);
        if saying.channel.is_some() && heads.len() > 4 {
            self.say(who, Saying::new(Payload::Merge))?;
            heads = self.heads(who);
        }
        heads.truncate(16);
        if let Some(n) = saying.forgets {
            heads.truncate(n.max(1));
        }
        let epoch = match &saying.payload {
            Payload::Commit(commit) => commit.parent,
            _ => saying.epoch.unwrap_or_else(|| self.epoch_of(who, 0)),
        };
        let scope = saying.channel.map_or(Scope::Control, Scope::Channel);
        let back = match saying.after {
            Some(op) => Some(op),
            None => self.minds[who].last.get(&scope).copied(),
        };
        let back = back.map(|id| self.ops[&id].clone());
        let mut draft: Draft<'_> = self
            .space
            .op(&device, saying.payload)
            .ctl(&heads)
            .prev(&saying.prev)
            .epoch(epoch)
            .after(back.as_ref());
        if let Some(channel) = saying.channel {
            draft = draft.channel(channel);
        }
        if let Some(bytes) = saying.bytes {
            draft = draft.bytes(bytes);
        }
        if let Some(hlc) = saying.hlc {
            draft = draft.hlc(hlc);
        }
        if saying.identity {
            draft = draft.identity_signed();
        }
        let mut op = draft.forge();
        if saying.pruned {
            op = op.pruned();
        }
        if self.deliver(&op, who) {
            Ok(op.id())
        } else {
            Err(self.refused.last().unwrap().1)
        }
    }

    fn deliver(&mut self, op: &SignedOp, who: usize) -> bool {
        let verified = op.clone().verify().expect("tests sign what they send");
        let result = self
            .log
            .accept(verified, LATER, &mut self.store, &mut self.fold);
        match result {
            Ok(Accept::Applied { .. }) => {
                let id = op.id();
                self.space.record(op);
                self.ops.insert(id, op.clone());
                self.order.push(id);
                self.minds[who].knows.insert(id);
                self.minds[who].last.insert(op.header().scope, id);
                true
            }
            Ok(Accept::Duplicate) => true,
            Ok(other) => panic!("{other:?}"),
            Err(error) => {
                let rule = error.rule().map_or("?", Rule::id);
                self.refused.push((op.clone(), rule, self.order.len()));
                false
            }
        }
    }

    /// Everything accepted, in causal order.
    pub(crate) fn accepted(&self) -> Vec<SignedOp> {
        let mut ops: Vec<SignedOp> = self.ops.values().cloned().collect();
        ops.sort_by_key(|op| (op.header().hlc, op.id()));
        ops
    }

    pub(crate) fn dump(&self) -> Vec<String> {
        let dump = node::audit::dump_of(self.space.id(), self.accepted()).expect("accepted ops");
        sim::dump::lines(&dump)
    }

    /// What somebody knows of a person's lanes.
    pub(crate) fn cut(&self, who: usize, target: &UserId, scopes: &[ChannelId]) -> Vec<ScopeCut> {
        let mut scopes = scopes.to_vec();
        scopes.sort();
        scopes.dedup();
        scopes
            .into_iter()
            .map(|scope| {
                let mut last: BTreeMap<DeviceId, CutHead> = BTreeMap::new();
                for id in &self.minds[who].knows {
                    let h = self.ops[id].header();
                    let newer = last.get(&h.device).is_none_or(|head| head.seq < h.seq);
                    if h.user == *target && h.scope == Scope::Channel(scope) && newer {
                        let head = CutHead {
                            device: h.device,
                            seq: h.seq,
                            op: *id,
                        };
                        last.insert(h.device, head);
                    }
                }
                ScopeCut {
                    scope: Scope::Channel(scope),
                    heads: last.into_values().collect(),
                }
            })
            .collect()
    }
}

/// What is said, where, and with which tricks.
pub(crate) struct Saying {
    pub(crate) payload: Payload,
    pub(crate) channel: Option<ChannelId>,
    pub(crate) prev: Vec<OpId>,
    pub(crate) epoch: Option<EpochId>,
    pub(crate) after: Option<OpId>,
    pub(crate) forgets: Option<usize>,
    pub(crate) hlc: Option<Hlc>,
    pub(crate) bytes: Option<Vec<u8>>,
    pub(crate) pruned: bool,
    pub(crate) identity: bool,
}

impl Saying {
    pub(crate) const fn new(payload: Payload) -> Self {
        Self {
            payload,
            channel: None,
            prev: Vec::new(),
            epoch: None,
            after: None,
            forgets: None,
            hlc: None,
            bytes: None,
            pruned: false,
            identity: false,
        }
    }

    pub(crate) fn on(mut self, channel: ChannelId, prev: &[OpId]) -> Self {
        self.channel = Some(channel);
        self.prev = prev.to_vec();
        self
    }
}

pub(crate) fn post(thread: Option<OpId>, reply_to: Option<OpId>, body: &str) -> Payload {
    Payload::Post(Post {
        thread,
        reply_to,
        body: body.to_owned(),
        attachments: vec![],
        mentions: vec![],
    })
}

pub(crate) fn thread(title: &str) -> Payload {
    Payload::ThreadCreate(ThreadCreate {
        title: title.to_owned(),
        tags: vec![],
        body: format!("about {title}"),
        attachments: vec![],
        mentions: vec![],
    })
}

pub(crate) fn edit(body: &str) -> Payload {
    Payload::Edit(Edit {
        body: body.to_owned(),
        mentions: vec![],
    })
}

pub(crate) fn react(emoji: &str) -> Payload {
    Payload::React(React {
        emoji: emoji.to_owned(),
    })
}

pub(crate) fn tombstone(reason: &str) -> Payload {
    Payload::ModTombstone(ModTombstone {
        reason: reason.to_owned(),
    })
}

pub(crate) fn removal(
    target: UserId,
    cut: Vec<ScopeCut>,
    late: Option<LatePolicy>,
    purge: Vec<PurgeFrom>,
) -> Removal {
    Removal {
        target,
        cut,
        late,
        reason: "because".to_owned(),
        purge,
    }
}

pub(crate) fn open_invite(n: u64, max_uses: u32) -> (InviteCreate, SecretKey) {
    invite(n, max_uses, Hlc::from_wall(LATER))
}
