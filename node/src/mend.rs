//! What a disk damaged: noticed when it is read, asked for again, and until then kept from doing harm.
//!
//! Members give lost ops again (`repair`), and they are judged like any other; relays are asked for the
//! envelopes that held them (`compare`). Two cases are left to
//! this device alone. An own op that nobody else has cannot come again: it is written off, with what builds
//! on it, once it is clear that no relay took it and no member has it, or, where a relay took it and lost
//! it, once relays had hours to give it. And damage that nothing names may have taken the end of an own
//! lane: nothing is written until others had time to give more of it, or two ops would stand at one
//! place (B11).

use std::collections::BTreeSet;

use fold::content::index;
use mls::stored;
use oplog::store::{Store, StoreError};
use oplog::{EpochId, OpId, SpaceId};
use rand_core::CryptoRng;

use crate::blobs::ChunkStore;
use crate::identity::NODE_TABLE;
use crate::node::Node;
use crate::outbox::{OutRow, Queued};
use crate::space::Space;
use crate::view::Notice;

/// How long others have to give what is asked for, in milliseconds: their turns are over after six
/// seconds, and whoever sleeps has it from a relay.
pub(crate) const GIVEN_WITHIN_MS: u64 = 60_000;
/// How long others and relays have to give an own op of which it is not known who has it, in milliseconds:
/// relays are asked once members had their time.
const ASKED_WITHIN_MS: u64 = 5 * GIVEN_WITHIN_MS;
/// How long an own op that a relay took and nobody has is looked for, in milliseconds: relays are asked for
/// it once an hour.
const LOOKED_FOR_MS: u64 = 2 * 3_600_000;
const DOUBT: &[u8] = b"doubt/";

impl<S: Store, C: ChunkStore, R: CryptoRng> Node<S, C, R> {
    /// Takes note that the log of a Space, or of any when it is not known, has lost records. Which ops
    /// they held is not known; some may be the last of our own lanes. The next event makes it durable.
    pub fn note_lost_records(&mut self, space: Option<&SpaceId>) {
        for (id, s) in &mut self.spaces {
            if space.is_none_or(|space| space == id) {
                s.doubted = true;
                self.store.put(NODE_TABLE, &doubt_row(id), &[1]);
            }
        }
        // A Space of which nothing is left comes back by a bundle; whatever it is, its lanes were longer.
        let row = space.map_or_else(|| DOUBT.to_vec(), doubt_row);
        self.store.put(NODE_TABLE, &row, &[1]);
    }

    pub(crate) fn is_doubted(&self, space: &SpaceId) -> Result<bool, StoreError> {
        Ok(self.store.get(NODE_TABLE, &doubt_row(space))?.is_some())
    }

    /// A Space is here (again), by a bundle or an import: where the log has lost records, this device may
    /// have written in it before.
    pub(crate) fn doubt_returned(&mut self, space: &SpaceId) -> Result<(), StoreError> {
        let doubted = self.is_doubted(space)? || self.store.get(NODE_TABLE, DOUBT)?.is_some();
        if let Some(s) = self.spaces.get_mut(space).filter(|_| doubted) {
            s.doubted = true;
            self.store.put(NODE_TABLE, &doubt_row(space), &[1]);
        }
        Ok(())
    }

    /// Deals with the records that turned out to be damaged since the last event.
    pub(crate) fn lose_damaged(&mut self) -> Result<(), StoreError> {
        let harmed = |s: &Space| !s.damaged.borrow().is_empty();
        let spaces = self.spaces.values().filter(|s| harmed(s)).map(|s| s.id);
        for space in spaces.collect::<Vec<_>>() {
            if let Some(s) = self.spaces.get_mut(&space) {
                for id in s.damaged.take() {
                    s.log.lose(&mut self.store, &id)?;
                }
            }
            self.consider_repair(&space);
        }
        Ok(())
    }

    /// At every tick: ends what others cannot mend.
    pub(crate) fn mend(&mut self, space: &SpaceId) -> Result<(), StoreError> {
        let now = self.now.as_ms();
        if let Some(s) = self.spaces.get_mut(space) {
            s.repair.note_lost(!s.log.lost().is_empty(), now);
        }
        self.ask_for_missing_again(space);
        self.copy_lone_state(space);
        self.end_doubt(space);
        self.forget_traceless(space)?;
        self.write_off(space)
    }

    /// Whoever is alone in a group has nobody who adds them again once its state is damaged: it is kept
    /// twice.
    fn copy_lone_state(&mut self, space: &SpaceId) {
        let me = self.me.device_id();
        let Some(s) = self.spaces.get_mut(space) else {
            return;
        };
        let tip = s.tip;
        let alone = s.in_group(&me) && s.roster().all(|device| device == me);
        if !alone || s.state_copied == Some(tip) {
            return;
        }
        s.state_copied = Some(tip);
        // A damaged one shows when it is used.
        if let Err(error) = stored::copy_state(&mut self.store, space, &tip, &mut self.rng) {
            tracing::debug!(%error, "no second copy of the group's state");
        }
    }

    /// Forgets queued ops whose records are gone without a trace: the index that named them was made
    /// anew. Whoever has them gave them back while own lanes were in doubt.
    fn forget_traceless(&mut self, space: &SpaceId) -> Result<(), StoreError> {
        let online = self.online();
        let Some(s) = self.spaces.get(space).filter(|s| online && !s.doubted) else {
            return Ok(());
        };
        let (mut gone, mut elsewhere) = (Vec::new(), Vec::new());
        for (queued, row) in self.waiting_to_send(space)? {
            if s.table.contains(&self.store, &queued.op)? || s.log.lost().contains_key(&queued.op) {
                continue;
            }
            if row.taken.is_empty() && !row.again {
                gone.push(queued);
            } else {
                elsewhere.push(queued);
            }
        }
        for queued in &elsewhere {
            self.dequeue(space, queued);
        }
        self.give_up(space, &gone);
        Ok(())
    }

    /// Own lanes are as long as they look when whoever knew more of them had time to say so.
    fn end_doubt(&mut self, space: &SpaceId) {
        let now = self.now.as_ms();
        let (me, online) = (self.me.device_id(), self.online());
        let nowhere = self.relays.is_empty();
        let Some(s) = self.spaces.get_mut(space).filter(|s| s.doubted) else {
            return;
        };
        let alone = s.roster().all(|device| device == me);
        let said_at = s.repair.said_have_at();
        let had_time = online && said_at > 0 && now.saturating_sub(said_at) >= GIVEN_WITHIN_MS;
        // Who is alone and uses no relay has shown nobody anything.
        if had_time && (alone || s.repair.heard_anybody()) || alone && nowhere {
            s.doubted = false;
            self.store.delete(NODE_TABLE, &doubt_row(space));
            if self.joins.is_empty() {
                // Nothing is to come back any more.
                self.store.delete(NODE_TABLE, DOUBT);
            }
        }
    }

    /// Forgets own ops that are lost and were on no relay yet, and those that build on them.
    fn write_off(&mut self, space: &SpaceId) -> Result<(), StoreError> {
        let now = self.now.as_ms();
        let Some(s) = self.spaces.get(space).filter(|_| self.online()) else {
            return Ok(());
        };
        let asked = s.repair.said_want_at;
        if s.log.lost().is_empty()
            || asked.is_none_or(|at| now.saturating_sub(at) < GIVEN_WITHIN_MS)
        {
            return Ok(());
        }
        let gone = self.lost_for_good(space)?;
        if gone.is_empty() {
            return Ok(());
        }
        let ids: BTreeSet<OpId> = gone.iter().map(|queued| queued.op).collect();
        let me = self.me.device_id();
        if let Some(s) = self.spaces.get_mut(space) {
            s.log.write_off(&mut self.store, &me, &ids)?;
            index::remove(&mut self.store, &s.no.0.to_be_bytes(), &ids)?;
        }
        self.give_up(space, &gone);
        Ok(())
    }

    /// Takes ops out of the queue that are gone, and says so.
    fn give_up(&mut self, space: &SpaceId, gone: &[Queued]) {
        if gone.is_empty() {
            return;
        }
        let ops: BTreeSet<OpId> = gone.iter().map(|queued| queued.op).collect();
        for queued in gone {
            self.dequeue(space, queued);
        }
        self.recovered.push(format!(
            "{} own ops were damaged before anybody else had them, and are gone",
            ops.len()
        ));
        self.notify(Notice::Gone {
            space: *space,
            ops: ops.into_iter().collect(),
        });
    }

    /// Returns the own ops that are lost and can come from nowhere, and those that build on them, which
    /// would be of no use to anybody.
    pub(crate) fn lost_for_good(&self, space: &SpaceId) -> Result<Vec<Queued>, StoreError> {
        let Some(s) = self.spaces.get(space).filter(|s| !s.log.lost().is_empty()) else {
            return Ok(Vec::new());
        };
        // Of what was sent it is not known who has it: each device of the group must have shown that it
        // does not.
        let me = self.me.device_id();
        let others = || s.roster().filter(|device| *device != me);
        let now = self.now.as_ms();
        let asked = s.repair.nobody_has_lost(others(), now, ASKED_WITHIN_MS);
        let nowhere = asked && s.repair.nobody_has_lost(others(), now, LOOKED_FOR_MS);
        // The keys of our own commit are in use: it cannot be undone here.
        let in_use = |op: &OpId| s.keys.contains_key(&EpochId::of_commit(op));
        let waiting = self.waiting_to_send(space)?;
        let ends = |row: &OutRow| {
            let taken = !row.taken.is_empty();
            (!taken || nowhere) && (!row.again || asked)
        };
        let mut gone: Vec<Queued> = Vec::new();
        for (op, place) in s.log.lost().iter().filter(|(op, _)| !in_use(op)) {
            let queued = waiting.iter().find(|(queued, _)| queued.op == *op);
            let ends = match queued {
                Some((_, row)) => ends(row),
                None if self.taken_by(space, op)? > 0 => nowhere,
                // The index was made again when the record was damaged already: then no row queues it.
                None => asked && place.is_some_and(|(lane, _)| lane.device == me),
            };
            if ends {
                gone.push(queued.map_or_else(|| Queued::unqueued(*op), |(queued, _)| *queued));
            }
        }
        let mut ids: BTreeSet<OpId> = gone.iter().map(|queued| queued.op).collect();
        for (queued, row) in waiting {
            if ids.contains(&queued.op) || !ends(&row) || in_use(&queued.op) {
                continue;
            }
            let op = s.table.op(&self.store, &queued.op);
            if matches!(op, Ok(Some(op)) if op.header().refs().any(|id| ids.contains(&id))) {
                ids.insert(queued.op);
                gone.push(queued);
            }
        }
        gone.extend(self.built_on(s, ids)?);
        Ok(gone)
    }

    /// Returns the own ops that build on these and have left the queue, earliest first: nobody can take them
    /// in either.
    fn built_on(&self, s: &Space, mut ids: BTreeSet<OpId>) -> Result<Vec<Queued>, StoreError> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let me = self.me.device_id();
        let mut own = Vec::new();
        for head in s.table.all_lanes(&self.store)? {
            if head.lane.device != me {
                continue;
            }
            let lane = s
                .table
                .range(&self.store, &head.lane, 0, None, usize::MAX)?;
            // What comes before the first that is gone builds on none of its lane, nor on later ones.
            let first = lane.iter().position(|(_, id)| ids.contains(id));
            for (_, id) in lane.iter().skip(first.unwrap_or(0)) {
                if !ids.contains(id) {
                    own.extend(s.table.op(&self.store, id).ok().flatten());
                }
            }
        }
        own.sort_unstable_by_key(|op| (op.header().hlc, op.id()));
        let mut builds = Vec::new();
        // The keys of our own commit are in use here as well.
        own.retain(|op| !s.keys.contains_key(&EpochId::of_commit(&op.id())));
        for op in own {
            if op.header().refs().any(|id| ids.contains(&id)) {
                ids.insert(op.id());
                builds.push(Queued::unqueued(op.id()));
            }
        }
        Ok(builds)
    }
}

fn doubt_row(space: &SpaceId) -> Vec<u8> {
    [DOUBT, space.as_bytes()].concat()
}
