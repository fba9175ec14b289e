//! One Space on this device: its log, its fold, its place in the group, its tags.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use fold::{AuthorityFold, AuthorityView};
use minicbor::{Decode, Encode};
use mls::envelope::SealKeys;
use mls::{EpochKeys, TopicKey};
use oplog::authority::{Authority, View};
use oplog::payload::CommitClass;
use oplog::store::{Direction, Label, Store, StoreError, prefix_end};
use oplog::{
    AcceptedOp, DeviceId, EpochId, Header, OpId, OpTable, Scope, SpaceId, SpaceLog, SpaceNo,
    UserId, codec,
};
use rand_core::CryptoRng;

use crate::blobs::ChunkStore;
use crate::error::CommandError;
use crate::flood::Flood;
use crate::group::load_keys;
use crate::identity::NODE_TABLE;
use crate::node::Node;
use crate::repair::Repair;
use crate::view::Membership;

/// How long tags of an older generation are still listened to, in milliseconds: 7 days (B13).
const OLD_GENERATION_MS: u64 = 7 * 86_400_000;
/// How many damaged ops are remembered for the health report, and how many it names. Guesses.
const DAMAGED_MAX: usize = 4096;
const DAMAGED_NAMED: usize = 8;
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
    /// Keys of the epochs whose root is here.
    pub(crate) keys: BTreeMap<EpochId, EpochKeys>,
    /// Topic keys of generations, newest last, with the time from which they are old.
    pub(crate) generations: Vec<Generation>,
    /// A commit that could not be followed, and why.
    pub(crate) stuck: Option<(OpId, String)>,
    pub(crate) repair: Repair,
    /// How many envelopes wait for a key.
    pub(crate) unopened: usize,
    /// How many envelopes are remembered, once counted.
    pub(crate) arrivals: Option<usize>,
    pub(crate) flood: Flood,
    /// Ops whose records were found damaged.
    pub(crate) damaged: RefCell<BTreeSet<OpId>>,
}

/// A stretch of epochs between two removals: its topic key names the tags (B13).
#[derive(Clone, Debug)]
pub(crate) struct Generation {
    /// The epoch that began it.
    pub(crate) epoch: EpochId,
    pub(crate) topic: TopicKey,
    /// From when on a newer one is used; `None` for the current one.
    pub(crate) old_since: Option<u64>,
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
    /// Returns an op; `None` when it is not here, or its record is damaged. One bad record costs
    /// one op, whatever it is wanted for.
    pub(crate) fn op<S: Store>(
        &self,
        store: &S,
        id: &OpId,
    ) -> Result<Option<AcceptedOp>, StoreError> {
        match self.table.op(store, id) {
            Err(StoreError::Damaged { .. }) => {
                self.note_damaged(vec![*id]);
                Ok(None)
            }
            found => found,
        }
    }

    /// Notes ops whose records are damaged, for the health report.
    pub(crate) fn note_damaged(&self, ops: Vec<OpId>) {
        let mut damaged = self.damaged.borrow_mut();
        let room = DAMAGED_MAX.saturating_sub(damaged.len());
        damaged.extend(ops.into_iter().take(room));
    }

    /// Says which ops were found damaged, if any.
    pub(crate) fn damage(&self) -> Option<String> {
        let damaged = self.damaged.borrow();
        let named: Vec<String> = damaged
            .iter()
            .take(DAMAGED_NAMED)
            .map(OpId::short)
            .collect();
        let more = if damaged.len() > named.len() {
            ", …"
        } else {
            ""
        };
        (!named.is_empty()).then(|| {
            format!(
                "ops of {} that are damaged on the disk are left out ({}): {}{more}",
                self.name(),
                damaged.len(),
                named.join(", ")
            )
        })
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

    /// Where the branch that we are on leads, by all that is known: an op is judged alike by a
    /// device that cannot follow any more, or not yet, and by one that does.
    pub(crate) fn known_tip(&self) -> EpochId {
        let epochs = self.authority.epochs();
        let member = |user: &UserId| self.view.is_member(user);
        epochs
            .canonical_tip_after(&self.tip, member, |_| true)
            .unwrap_or(self.tip)
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

    pub(crate) fn is_forked(&self) -> bool {
        self.authority.epochs().forks().next().is_some()
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

    /// Every scope that has tags: the control plane and the channels.
    pub(crate) fn scopes(&self) -> Vec<Scope> {
        let channels = self
            .view
            .channels()
            .map(|channel| Scope::Channel(channel.id));
        std::iter::once(Scope::Control).chain(channels).collect()
    }

    pub(crate) fn membership(&self, me: &UserId, device: &DeviceId) -> Membership {
        match self.view.weight(me) {
            Some(weight) if self.in_group(device) => Membership::Member(weight),
            Some(weight) => Membership::Waiting(weight),
            None => Membership::Removed(self.removal_of(me).unwrap_or(OpId::ZERO)),
        }
    }

    /// The op that took a person out, if they are out.
    pub(crate) fn removal_of(&self, user: &UserId) -> Option<OpId> {
        if self.view.is_member(user) {
            return None;
        }
        self.view.removals_of(user).last().map(|removal| removal.op)
    }

    /// The keys that open envelopes of a scope, newest epochs last.
    pub(crate) fn seal_keys(&self, scope: &Scope) -> Vec<SealKeys> {
        self.keys
            .values()
            .map(|keys| SealKeys::new(keys, scope))
            .collect()
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
        let found = s.table.op(&self.store, op)?;
        found
            .map(|op| op.header().clone())
            .ok_or(CommandError::UnknownOp { op: *op })
    }

    pub(crate) fn has_op(&self, space: &SpaceId, op: &OpId) -> Result<bool, StoreError> {
        self.spaces
            .get(space)
            .map_or(Ok(false), |s| s.table.contains(&self.store, op))
    }

    pub(crate) fn ops_at(
        &self,
        space: &SpaceId,
        lane: &oplog::Lane,
        seq: u64,
    ) -> Result<Vec<OpId>, StoreError> {
        self.spaces
            .get(space)
            .map_or(Ok(Vec::new()), |s| s.table.at(&self.store, lane, seq))
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
        let mut authority = AuthorityFold::new();
        let log = SpaceLog::new(id, no);
        let view = authority.view(log.dag(), &[]);
        Space {
            no,
            id,
            table: OpTable::new(id, no),
            log,
            authority,
            view,
            tip: EpochId::genesis(&id),
            keys: BTreeMap::new(),
            generations: Vec::new(),
            stuck: None,
            repair: Repair::default(),
            unopened: 0,
            arrivals: None,
            flood: Flood::default(),
            damaged: RefCell::default(),
        }
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
        let (log, resumed) =
            SpaceLog::resume(row.id, no, self.now, &mut self.store, &mut authority)?;
        if !resumed.damaged.is_empty() {
            self.recovered.push(format!(
                "{} damaged control ops are fetched again",
                resumed.damaged.len()
            ));
        }
        let view = authority.view_all(log.dag());
        let generations = row.generations.iter().filter_map(|g| {
            let topic = self.store.secret(topic_label(&row.id, &g.epoch))?;
            Some(Generation {
                epoch: g.epoch,
                topic: TopicKey::new(topic),
                old_since: g.old_since,
            })
        });
        let keys = load_keys(&self.store, &row.id)?;
        let mut space = Space {
            no,
            id: row.id,
            table: OpTable::new(row.id, no),
            view,
            tip: row.tip,
            keys,
            generations: generations.collect(),
            stuck: None,
            repair: Repair::default(),
            unopened: 0,
            arrivals: None,
            flood: Flood::default(),
            damaged: RefCell::default(),
            log,
            authority,
        };
        space.unopened = self.count_unopened(no)?;
        Ok(space)
    }

    /// Stages where this device stands in the group.
    pub(crate) fn save_space(&mut self, id: &SpaceId) {
        let Some(space) = self.spaces.get(id) else {
            return;
        };
        let key = [SPACE, &space.no.0.to_be_bytes()].concat();
        let row = codec::encode(&space.row());
        self.store.put(NODE_TABLE, &key, &row);
    }

    /// Notes the topic key of the generation that an epoch belongs to.
    pub(crate) fn keep_topic(&mut self, id: &SpaceId, generation: EpochId, topic: TopicKey) {
        self.store
            .keep_secret(topic_label(id, &generation), topic.secret());
        let now = self.now.as_ms();
        let Some(space) = self.spaces.get_mut(id) else {
            return;
        };
        if space.generation(&generation).is_some() {
            return;
        }
        for older in space
            .generations
            .iter_mut()
            .filter(|g| g.old_since.is_none())
        {
            older.old_since = Some(now);
        }
        space.generations.push(Generation {
            epoch: generation,
            topic,
            old_since: None,
        });
        self.tags_changed = true;
    }

    /// Recomputes the fold of everything after control ops came in.
    pub(crate) fn refresh_view(&mut self, id: &SpaceId) {
        if let Some(space) = self.spaces.get_mut(id) {
            space.view = space.authority.view_all(space.log.dag());
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
                space.generations.retain(|g| !old.contains(&g.epoch));
                for epoch in &old {
                    self.store.erase_secret(topic_label(&id, epoch));
                }
                self.save_space(&id);
            }
            self.expire_ops(&id)?;
            self.expire_snapshots(&id);
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

fn topic_label(space: &SpaceId, generation: &EpochId) -> Label {
    Label::new("topic", &[space.as_bytes(), generation.as_bytes()])
}

/// The roots of the epochs are kept for the retention of relays (B6).
pub(crate) const ROOT_AGE_MS_MAX: u64 = 30 * 86_400_000;
