//! One Space on this device: its log, its fold, its place in the group, its tags.

use std::cell::RefCell;
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use fold::{AuthorityFold, AuthorityView, Verdict, VoidReason};
use minicbor::{Decode, Encode};
use mls::envelope::SealKeys;
use mls::{EpochKeys, TopicKey, stored};
use oplog::authority::{Authority, View};
use oplog::payload::{CommitClass, Payload, Weight};
use oplog::store::{Direction, Label, Store, StoreError, prefix_end};
use oplog::{
    AcceptedOp, ChannelId, DeviceId, EpochId, Header, Kind, Lane, OpId, OpTable, Scope, Secret,
    SpaceId, SpaceLog, SpaceNo, UserId, codec,
};
use rand_core::CryptoRng;

use crate::attest::AllWitnessed;
use crate::blobs::ChunkStore;
use crate::error::CommandError;
use crate::flood::Flood;
use crate::identity::NODE_TABLE;
use crate::letters::Letters;
use crate::node::Node;
use crate::rekey::RekeyTurn;
use crate::repair::Repair;
use crate::retention::load_keys;
use crate::seals::SealTurn;
use crate::standing::Pasts;
use crate::view::{DamagedOp, Membership};

/// How long tags of an older generation are still listened to, in milliseconds: 7 days (B13).
const OLD_GENERATION_MS: u64 = 7 * 86_400_000;
pub(crate) const SPACE: &[u8] = b"space/";
/// A Space that this device is in, or was.
#[derive(Debug)]
pub(crate) struct Space {
    pub(crate) no: SpaceNo,
    pub(crate) id: SpaceId,
    pub(crate) table: OpTable,
    pub(crate) log: SpaceLog<AuthorityView>,
    pub(crate) authority: AuthorityFold,
    /// The fold of everything.
    pub(crate) view: Arc<AuthorityView>,
    /// The epoch this device is in; the last one it was in, once removed.
    pub(crate) tip: EpochId,
    /// The tip of the canonical branch by all that is known: an op is judged alike by a device that
    /// cannot follow any more, or not yet, and by one that does.
    pub(crate) canonical: EpochId,
    /// Keys of the epochs whose root is here.
    pub(crate) keys: BTreeMap<EpochId, EpochKeys>,
    /// Topic keys of generations, with the time from which they are old.
    pub(crate) generations: Vec<Generation>,
    /// Whether keys came since envelopes that no key opened were tried.
    pub(crate) keys_are_new: bool,
    /// When the next epoch is to be forgotten, in milliseconds; 0 when that must be found out.
    pub(crate) epochs_due: u64,
    /// Epochs entered since any were last forgotten.
    pub(crate) epochs_new: usize,
    /// Whether they are being tried.
    pub(crate) retrying: bool,
    /// Epochs whose commits could not be followed, and why; since the start of the process.
    pub(crate) unfollowable: BTreeMap<EpochId, String>,
    /// Since when it lacks keys that the Space goes on with, in milliseconds, as far as noticed.
    pub(crate) behind_since: Option<u64>,
    /// When it is our turn to renew our keys, once that is due.
    pub(crate) rekey_turn: Option<RekeyTurn>,
    /// When this device looks whether a Seal is due.
    pub(crate) seal_turn: SealTurn,
    /// What this device attests in its turn.
    pub(crate) witnessed: AllWitnessed,
    pub(crate) letters: Letters,
    /// Folds of what authors had seen.
    pub(crate) pasts: RefCell<Pasts>,
    pub(crate) repair: Repair,
    /// Ops whose records turned out to be damaged when somebody wanted them, until that is dealt with.
    pub(crate) damaged: RefCell<BTreeSet<OpId>>,
    /// How many ops came again after their records were lost, since the start.
    pub(crate) mended: usize,
    /// The log lost records that nothing names: own lanes may be longer than they look.
    pub(crate) doubted: bool,
    /// The epoch whose state is kept twice.
    pub(crate) state_copied: Option<EpochId>,
    /// How many envelopes wait for a key.
    pub(crate) unopened: usize,
    /// When the newest of those that came since the start was put at its relay, in milliseconds, to the hour.
    pub(crate) unopened_last: u64,
    /// How many envelopes are remembered, once counted.
    pub(crate) arrivals: Option<usize>,
    pub(crate) flood: Flood,
}

/// A stretch of epochs between two removals: its topic key names the tags (B13).
#[derive(Clone, Debug)]
pub(crate) struct Generation {
    /// The epoch that began it.
    pub(crate) epoch: EpochId,
    pub(crate) topic: TopicKey,
    /// The keys that letters of this generation lie under (B5).
    pub(crate) letters: SealKeys,
    /// From when on a newer one is used; `None` for the current one.
    pub(crate) old_since: Option<u64>,
}

impl Generation {
    fn new(epoch: EpochId, topic: TopicKey, old_since: Option<u64>) -> Self {
        Self {
            epoch,
            letters: SealKeys::of_letters(&topic),
            topic,
            old_since,
        }
    }
}

/// What is stored of a Space beside its log: where this device stands in the group.
#[derive(Clone, Debug, Encode, Decode)]
#[cbor(map)]
pub(crate) struct SpaceRow {
    #[n(0)]
    pub(crate) id: SpaceId,
    #[n(1)]
    tip: EpochId,
    #[n(2)]
    generations: Vec<GenerationRow>,
}

#[derive(Clone, Debug, Encode, Decode)]
#[cbor(map)]
struct GenerationRow {
    #[n(0)]
    epoch: EpochId,
    #[n(1)]
    old_since: Option<u64>,
}

impl Space {
    /// Puts a Space together from its log and fold; keys and tags come after.
    pub(crate) fn new(
        no: SpaceNo,
        id: SpaceId,
        log: SpaceLog<AuthorityView>,
        mut authority: AuthorityFold,
    ) -> Self {
        let view = authority.view_all(log.dag());
        let genesis = EpochId::genesis(&id);
        let mut space = Self {
            no,
            id,
            table: OpTable::new(id, no),
            log,
            authority,
            view,
            tip: genesis,
            canonical: genesis,
            keys: BTreeMap::new(),
            generations: Vec::new(),
            keys_are_new: false,
            epochs_due: 0,
            epochs_new: 0,
            retrying: false,
            unfollowable: BTreeMap::new(),
            behind_since: None,
            rekey_turn: None,
            seal_turn: SealTurn::default(),
            witnessed: AllWitnessed::new(),
            letters: Letters::default(),
            pasts: RefCell::default(),
            repair: Repair::default(),
            damaged: RefCell::default(),
            mended: 0,
            doubted: false,
            state_copied: None,
            unopened: 0,
            unopened_last: 0,
            arrivals: None,
            flood: Flood::default(),
        };
        space.refresh();
        space
    }

    /// Recomputes the fold of everything, and where the keys go on from.
    pub(crate) fn refresh(&mut self) {
        self.view = self.authority.view_all(self.log.dag());
        let tip = self.authority.canonical_tip(self.log.dag(), |_| true);
        self.canonical = tip.unwrap_or_else(|| EpochId::genesis(&self.id));
    }

    pub(crate) fn name(&self) -> String {
        fold::content::text::display_name(&self.view.policies().name)
    }

    pub(crate) fn is_member(&self, user: &UserId) -> bool {
        self.view.weight(user).is_some()
    }

    /// Whose device this is or was, by any certificate in the log.
    pub(crate) fn device_user(&self, device: &DeviceId) -> Option<UserId> {
        self.view.device(device).map(|d| d.user)
    }

    /// The devices in the group in our epoch.
    pub(crate) fn roster(&self) -> impl Iterator<Item = DeviceId> + '_ {
        self.authority
            .epoch(&self.tip)
            .into_iter()
            .flat_map(|record| record.roster.keys().copied())
    }

    pub(crate) fn in_group(&self, device: &DeviceId) -> bool {
        self.authority
            .epoch(&self.tip)
            .is_some_and(|record| record.roster.contains_key(device))
            && self.keys.contains_key(&self.tip)
    }

    /// Whether the group holds somebody whom the Space has removed: then no content is sealed for it.
    pub(crate) fn holds_removed(&self) -> bool {
        let authorised = self.view.authorised_devices();
        self.roster()
            .any(|device| !authorised.contains_key(&device))
    }

    /// The epoch that began the generation of this one: the last on its chain that removed a leaf.
    pub(crate) fn generation_of(&self, epoch: &EpochId) -> EpochId {
        generation_of(&self.authority, epoch)
    }

    pub(crate) fn generation(&self, epoch: &EpochId) -> Option<&Generation> {
        self.generations.iter().find(|g| g.epoch == *epoch)
    }

    /// The generation whose topic key names the tags of what is sealed for this epoch. Where damage
    /// has taken the epoch's record it is the newest: who lacks the chain can still ask for it.
    pub(crate) fn generation_for(&self, epoch: &EpochId) -> Option<&Generation> {
        let known = self.generation(&self.generation_of(epoch));
        let newest = || self.generations.iter().rfind(|g| g.old_since.is_none());
        known.or_else(|| newest().filter(|_| self.authority.epoch(epoch).is_none()))
    }

    /// Returns an op, `None` when it is not here. One that the disk has damaged counts as not here:
    /// that is noted, and it is asked for. The control plane lies in memory.
    pub(crate) fn op<S: Store>(
        &self,
        store: &S,
        id: &OpId,
    ) -> Result<Option<AcceptedOp>, StoreError> {
        if let Some(node) = self.log.dag().node(id) {
            return Ok(Some((*node.op).clone()));
        }
        match self.table.op(store, id) {
            Err(StoreError::Damaged { .. }) => {
                self.note_damaged(id);
                Ok(None)
            }
            // It waits for one that is lost.
            Ok(Some(op)) if op.header().is_control() => Ok(None),
            other => other,
        }
    }

    /// Notes that an op's record cannot be read.
    pub(crate) fn note_damaged(&self, id: &OpId) {
        if !self.log.lost().contains_key(id) {
            self.damaged.borrow_mut().insert(*id);
        }
    }

    /// Returns every op that was accepted here and cannot be read any more, lane by lane. Cost: all
    /// ops are read.
    pub(crate) fn damaged<S: Store>(&self, store: &S) -> Result<Vec<DamagedOp>, StoreError> {
        let mut damaged = Vec::new();
        for head in self.table.all_lanes(store)? {
            for (seq, op) in self.table.range(store, &head.lane, 0, None, usize::MAX)? {
                if self.op(store, &op)?.is_none() {
                    let Lane { device, scope } = head.lane;
                    damaged.push(DamagedOp {
                        op,
                        device,
                        scope,
                        seq,
                    });
                }
            }
        }
        Ok(damaged)
    }

    /// Every scope that has tags: the control plane and the channels.
    pub(crate) fn scopes(&self) -> Vec<Scope> {
        let channels = self
            .view
            .channels()
            .map(|channel| Scope::Channel(channel.id));
        std::iter::once(Scope::Control).chain(channels).collect()
    }

    /// Every scope that members may have written in: also channels that turned out void. Who made one,
    /// and whoever believed it meanwhile, posted there by all rules of their causal past.
    pub(crate) fn scopes_heard(&self) -> Vec<Scope> {
        let dag = self.log.dag();
        let creates = |op: &OpId| {
            let header = dag.node(op).map(|node| node.op.header());
            header.is_some_and(|header| header.kind() == Some(Kind::ChannelCreate))
        };
        let void = self.view.void_ops().map(|(op, _)| op);
        let void = void.filter(|op| creates(op));
        let void = void.map(|op| Scope::Channel(ChannelId::of_create(op)));
        self.scopes().into_iter().chain(void).collect()
    }

    pub(crate) fn membership(&self, me: &UserId, device: &DeviceId) -> Membership {
        // It never comes back (A1), whatever becomes of the person.
        if let Some(end) = self.view.ends_of(device).first() {
            return Membership::Removed(end.op);
        }
        match self.view.weight(me) {
            Some(weight) if self.in_group(device) => Membership::Member(weight),
            Some(weight) => Membership::Waiting(weight),
            None => Membership::Removed(self.out_by(me).last().copied().unwrap_or(OpId::ZERO)),
        }
    }

    /// What took a person out, if they are out: the last removal, or what made void whatever let them in
    /// after it.
    pub(crate) fn out_by(&self, user: &UserId) -> BTreeSet<OpId> {
        if self.view.is_member(user) {
            return BTreeSet::new();
        }
        let dag = self.log.dag();
        let removal = self.view.removals_of(user).last().map(|removal| removal.op);
        let admits = |op: &OpId| {
            let node = dag.node(op);
            let node = node.filter(|node| node.op.header().kind() == Some(Kind::MemberAdd));
            let payload = node.and_then(|node| node.op.payload().ok()?);
            matches!(payload, Some(Payload::MemberAdd(add)) if add.members.iter().any(|m| m.cert.user == *user))
        };
        let readmits = |op: &OpId| removal.is_none_or(|removal| dag.precedes(&removal, op));
        let void = self.view.void_ops().map(|(op, _)| *op);
        let void: Vec<OpId> = void.filter(|op| readmits(op) && admits(op)).collect();
        if void.is_empty() {
            return removal.into_iter().collect();
        }
        self.voided_by(void)
    }

    /// What somebody has to know who is out and does not believe it: what took them out, and what keeps
    /// others from having undone that before.
    pub(crate) fn why_out(&self, user: &UserId) -> BTreeSet<OpId> {
        let mut why = self.out_by(user);
        let mut open = why.clone();
        while let Some(op) = open.pop_first() {
            let author = self.log.dag().node(&op).map(|node| node.op.header().user);
            let against = author.map(|author| self.authority.void_acts_on(&author, &self.view));
            let decided = self.voided_by(against.unwrap_or_default());
            open.extend(decided.into_iter().filter(|op| why.insert(*op)));
        }
        why
    }

    /// The effective ops for which these are void.
    fn voided_by(&self, mut open: Vec<OpId>) -> BTreeSet<OpId> {
        let void: BTreeMap<&OpId, &Verdict> = self.view.void_ops().collect();
        // An invite decides about those it lets in, and is void itself for a reason.
        let (mut seen, mut decided) = (BTreeSet::new(), BTreeSet::new());
        while let Some(op) = open.pop() {
            match void.get(&op).and_then(|verdict| verdict.reason()) {
                Some(reason) if seen.insert(op) => {
                    open.extend(reason.deciding());
                    open.extend(self.void_grants_of(&op, reason));
                }
                Some(_) => {}
                None => {
                    decided.insert(op);
                }
            }
        }
        decided
    }

    /// The grants whose fall took an op with them, where nothing else decided.
    fn void_grants_of(&self, op: &OpId, reason: &VoidReason) -> Vec<OpId> {
        let dag = self.log.dag();
        let Some(node) = dag.node(op) else {
            return Vec::new();
        };
        if !matches!(reason, VoidReason::NoLiveGrant { taken_by: None }) {
            return Vec::new();
        }
        let author = &node.op.header().user;
        let any = Weight::MEMBER;
        let authority = &self.authority;
        authority.void_grants(dag, op, author, any, &self.view)
    }

    /// Whether an op is one of these, or in the past of one.
    pub(crate) fn led_to(&self, op: &OpId, ends: &BTreeSet<OpId>) -> bool {
        let dag = self.log.dag();
        ends.iter().any(|end| op == end || dag.precedes(op, end))
    }

    fn row(&self) -> SpaceRow {
        let generations = self
            .generations
            .iter()
            .map(|g| GenerationRow {
                epoch: g.epoch,
                old_since: g.old_since,
            })
            .collect();
        SpaceRow {
            id: self.id,
            tip: self.tip,
            generations,
        }
    }
}

impl<S: Store, C: ChunkStore, R: CryptoRng> Node<S, C, R> {
    pub(crate) fn known_space(&self, space: &SpaceId) -> Result<&Space, CommandError> {
        self.spaces
            .get(space)
            .ok_or(CommandError::UnknownSpace { space: *space })
    }

    pub(crate) fn is_in(&self, space: &SpaceId) -> bool {
        let (user, device) = (self.me.user(), self.me.device_id());
        self.spaces
            .get(space)
            .is_some_and(|s| s.in_group(&device) && s.is_member(&user))
    }

    /// Returns the header of an accepted op.
    pub(crate) fn header(&self, space: &SpaceId, op: &OpId) -> Result<Header, CommandError> {
        let s = self.known_space(space)?;
        let found = s.op(&self.store, op)?;
        match found {
            Some(op) => Ok(op.header().clone()),
            None => Err(self.lacks(space, op)?),
        }
    }

    /// Says why an op cannot be read: it never came, or the disk has damaged it.
    pub(crate) fn lacks(&self, space: &SpaceId, op: &OpId) -> Result<CommandError, StoreError> {
        let lost = self
            .known_space(space)
            .is_ok_and(|s| s.log.lost().contains_key(op));
        Ok(if lost || self.has_op(space, op)? {
            CommandError::DamagedOp { op: *op }
        } else {
            CommandError::UnknownOp { op: *op }
        })
    }

    pub(crate) fn has_op(&self, space: &SpaceId, op: &OpId) -> Result<bool, StoreError> {
        self.spaces
            .get(space)
            .map_or(Ok(false), |s| s.table.contains(&self.store, op))
    }

    /// Makes room for a Space that is new here.
    pub(crate) fn new_space(&mut self, id: SpaceId) -> Space {
        let no = SpaceNo(
            self.spaces
                .values()
                .map(|s| s.no.0)
                .max()
                .map_or(1, |last| last.saturating_add(1)),
        );
        Space::new(no, id, SpaceLog::new(id, no), AuthorityFold::new())
    }

    pub(crate) fn load_spaces(&mut self) -> Result<(), StoreError> {
        let mut rows: Vec<(SpaceNo, SpaceRow)> = Vec::new();
        self.store.scan(
            NODE_TABLE,
            SPACE,
            &prefix_end(SPACE),
            Direction::Forward,
            &mut |key, value| {
                let no = key
                    .get(SPACE.len()..)
                    .and_then(|k| k.try_into().ok())
                    .map(u16::from_be_bytes);
                if let (Some(no), Ok(row)) = (no, codec::decode::<SpaceRow>("space", value)) {
                    rows.push((SpaceNo(no), row));
                }
                std::ops::ControlFlow::Continue(())
            },
        )?;
        for (no, row) in rows {
            let space = self.load_space(no, row)?;
            self.spaces.insert(space.id, space);
        }
        Ok(())
    }

    fn load_space(&mut self, no: SpaceNo, row: SpaceRow) -> Result<Space, StoreError> {
        let mut authority = AuthorityFold::new();
        let (log, _) = SpaceLog::resume(row.id, no, self.now, &mut self.store, &mut authority)?;
        let generations = row.generations.iter().filter_map(|g| {
            let topic = TopicKey::new(self.store.secret(topic_label(&row.id, &g.epoch))?);
            Some(Generation::new(g.epoch, topic, g.old_since))
        });
        let generations = generations.collect();
        let mut space = Space::new(no, row.id, log, authority);
        let (tip, generation) = self.kept_place(&row.id);
        // Rows may be older copies, after damage; the vault is not.
        space.tip = tip.unwrap_or(row.tip);
        space.keys = load_keys(&self.store, &row.id)?;
        // Damage may have taken the rows that tell which epochs this device was in.
        let known = space.authority.epochs().iter().map(|record| record.id);
        for id in known.chain(tip) {
            if let Entry::Vacant(entry) = space.keys.entry(id)
                && let Some(root) = stored::load_root(&self.store, &row.id, &id)
            {
                entry.insert(EpochKeys::new(&root));
            }
        }
        space.generations = generations;
        if let Some(generation) = generation.filter(|g| space.generation(&g.epoch).is_none()) {
            space.generations.push(generation);
        }
        space.unopened = self.count_unopened(no)?;
        space.doubted = self.is_doubted(&row.id)?;
        Ok(space)
    }

    /// Stages where this device stands in the group.
    pub(crate) fn save_space(&mut self, id: &SpaceId) {
        let Some(space) = self.spaces.get(id) else {
            return;
        };
        let key = [SPACE, &space.no.0.to_be_bytes()].concat();
        let row = codec::encode(&space.row());
        // Without the record of the epoch its generation is not known: then what is kept stays.
        let whole = space.authority.epoch(&space.tip).is_some();
        let generation = whole.then(|| space.generation_of(&space.tip));
        let tip = (tip_label(id), space.tip);
        let generation = generation.map(|generation| (generation_label(id), generation));
        self.store.put(NODE_TABLE, &key, &row);
        for (label, epoch) in [tip].into_iter().chain(generation) {
            let bytes = *epoch.as_bytes();
            let same = |kept: &Secret| *kept.as_bytes() == bytes;
            if !self.store.secret(label).as_ref().is_some_and(same) {
                self.store.keep_secret(label, &Secret::from_bytes(bytes));
            }
        }
    }

    /// Where this device stood in the group, by the vault: its epoch, if the keys of it are here, and the
    /// generation of that. With log and index damaged alike nothing else tells which keys are here.
    fn kept_place(&self, id: &SpaceId) -> (Option<EpochId>, Option<Generation>) {
        let kept = |label| {
            let secret = self.store.secret(label)?;
            Some(EpochId::from_bytes(*secret.as_bytes()))
        };
        let tip = kept(tip_label(id));
        let tip = tip.filter(|tip| stored::load_root(&self.store, id, tip).is_some());
        let generation = kept(generation_label(id)).and_then(|epoch| {
            let topic = TopicKey::new(self.store.secret(topic_label(id, &epoch))?);
            Some(Generation::new(epoch, topic, None))
        });
        (tip, generation)
    }

    /// Keeps the topic key of a generation: its tags are listened to, as those of an older one until
    /// this device stands in it.
    pub(crate) fn keep_topic(&mut self, id: &SpaceId, generation: EpochId, topic: TopicKey) {
        self.store
            .keep_secret(topic_label(id, &generation), topic.secret());
        let now = self.now.as_ms();
        let Some(space) = self.spaces.get_mut(id) else {
            return;
        };
        if space.generation(&generation).is_none() {
            let generation = Generation::new(generation, topic, Some(now));
            space.generations.push(generation);
            self.tags_changed = true;
        }
    }

    /// Makes the generation of an epoch the one whose tags are written under.
    pub(crate) fn use_generation(&mut self, id: &SpaceId, epoch: &EpochId) {
        let now = self.time_of(id, epoch);
        let Some(space) = self.spaces.get(id) else {
            return;
        };
        let generation = space.generation_of(epoch);
        if space.authority.epoch(&generation).is_none() {
            // Damage took the records that tell which it is.
            return;
        }
        if space.generation(&generation).is_none() {
            // Damage took the row that names it, or its topic key: one is in the vault, the other
            // follows from the epoch's root.
            let kept = self.store.secret(topic_label(id, &generation));
            let derived = || space.keys.get(&generation).map(EpochKeys::topic);
            if let Some(topic) = kept.map(TopicKey::new).or_else(derived) {
                self.keep_topic(id, generation, topic);
            }
        }
        let Some(space) = self.spaces.get_mut(id) else {
            return;
        };
        for kept in &mut space.generations {
            kept.old_since = match kept.old_since {
                _ if kept.epoch == generation => None,
                None => Some(now),
                since => since,
            };
        }
        self.tags_changed = true;
    }

    /// Recomputes the fold of everything after control ops came in.
    pub(crate) fn refresh_view(&mut self, id: &SpaceId) {
        if let Some(space) = self.spaces.get_mut(id) {
            space.refresh();
            space.epochs_due = 0;
        }
        self.tags_changed = true;
    }

    /// Forgets topic keys, roots and snapshots that are past their time (B6, B13).
    pub(crate) fn expire(&mut self) -> Result<(), StoreError> {
        let now = self.now.as_ms();
        let ids: Vec<SpaceId> = self.spaces.keys().copied().collect();
        for id in ids {
            let Some(space) = self.spaces.get_mut(&id) else {
                continue;
            };
            let old: Vec<EpochId> = space
                .generations
                .iter()
                .filter(|g| {
                    g.old_since
                        .is_some_and(|since| now.saturating_sub(since) > OLD_GENERATION_MS)
                })
                .map(|g| g.epoch)
                .collect();
            if !old.is_empty() {
                self.tags_changed = true;
                space.generations.retain(|g| !old.contains(&g.epoch));
                for epoch in &old {
                    self.store.erase_secret(topic_label(&id, epoch));
                }
                self.save_space(&id);
            }
            self.expire_ops(&id)?;
            self.expire_epochs(&id)?;
        }
        Ok(())
    }
}

/// The epoch that began the generation of this one: the last on its chain that removed a leaf.
pub(crate) fn generation_of(authority: &AuthorityFold, epoch: &EpochId) -> EpochId {
    let mut at = *epoch;
    while let Some(record) = authority.epoch(&at) {
        match record.parent {
            Some(parent) if record.class != CommitClass::Remove => at = parent,
            _ => return at,
        }
    }
    at
}

fn tip_label(space: &SpaceId) -> Label {
    Label::new("tip", &[space.as_bytes()])
}

fn generation_label(space: &SpaceId) -> Label {
    Label::new("tip-generation", &[space.as_bytes()])
}

fn topic_label(space: &SpaceId, generation: &EpochId) -> Label {
    Label::new("topic", &[space.as_bytes(), generation.as_bytes()])
}
