//! Which envelopes were seen in the last days, whoever brought them: what relays are compared with.
//!
//! A row for each envelope of ops, by Space, tag and id, holds the hour of its arrival and the ops
//! inside. Gossip has no row: relays drop it before its hour is compared. The rows are complete from
//! some hour on, which is noted beside them; when there are too many, the older half goes and that
//! hour moves.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use net::wire::{Hour, Sealed};
use oplog::store::{Direction, Store, StoreError, Table, prefix_end};
use oplog::{Digest, OpId, SpaceId, SpaceNo, Tag};
use rand_core::CryptoRng;

use crate::blobs::ChunkStore;
use crate::node::Node;

/// Rows that a rebuild may drop; they begin anew then.
const ARRIVALS: Table = Table("arrived");
/// How far back relays are compared, in hours: 7 days (B12).
pub(crate) const WINDOW_HOURS: u32 = 7 * 24;
/// Most envelopes remembered of one Space, some 150 bytes each.
const ARRIVALS_MAX: usize = 50_000;
/// Most ops noted of one envelope: those beyond are not put again from here.
const OPS_MAX: usize = 4_096;

/// An envelope as a relay gave it.
#[derive(Debug)]
pub(crate) struct Arrived {
    /// By the relay's clock.
    pub(crate) hour: Hour,
    pub(crate) sealed: Sealed,
}

/// Envelopes by tag and id, with the hour of their arrival.
pub(crate) type Arrivals = BTreeMap<Tag, BTreeMap<Digest, Hour>>;

/// Gets tag, id, hour and the ids of the ops inside, end to end.
type VisitArrival<'a> = &'a mut dyn FnMut(Tag, Digest, Hour, &[u8]);

impl<S: Store, C: ChunkStore, R: CryptoRng> Node<S, C, R> {
    /// Notes an envelope and the ops inside; none when it could not be opened yet.
    pub(crate) fn note_arrival(
        &mut self,
        space: &SpaceId,
        tag: &Tag,
        id: &Digest,
        hour: Hour,
        ops: &[OpId],
    ) -> Result<(), StoreError> {
        let Some(no) = self.spaces.get(space).map(|s| s.no) else {
            return Ok(());
        };
        let fresh = self.store.get(ARRIVALS, &row(no, tag, id))?.is_none();
        if fresh {
            self.make_room(space, no)?;
        }
        let mut value = hour.as_raw().to_be_bytes().to_vec();
        for op in ops.iter().take(OPS_MAX) {
            value.extend_from_slice(op.as_bytes());
        }
        self.store.put(ARRIVALS, &row(no, tag, id), &value);
        if let Some(s) = self.spaces.get_mut(space).filter(|_| fresh) {
            s.arrivals = s.arrivals.map(|count| count + 1);
        }
        Ok(())
    }

    /// Returns the hour of arrival of an envelope and the ops inside, `None` when it was never seen.
    pub(crate) fn arrival(
        &self,
        space: &SpaceId,
        tag: &Tag,
        id: &Digest,
    ) -> Result<Option<(Hour, Vec<OpId>)>, StoreError> {
        let Some(no) = self.spaces.get(space).map(|s| s.no) else {
            return Ok(None);
        };
        let value = self.store.get(ARRIVALS, &row(no, tag, id))?;
        Ok(value.and_then(|value| read(&value)))
    }

    /// Returns every envelope remembered of a Space.
    pub(crate) fn arrivals(&self, space: &SpaceId) -> Result<Arrivals, StoreError> {
        let mut all = Arrivals::new();
        self.each_arrival(space, &mut |tag, id, hour, _| {
            all.entry(tag).or_default().insert(id, hour);
        })?;
        Ok(all)
    }

    /// Visits every envelope remembered of a Space.
    pub(crate) fn each_arrival(
        &self,
        space: &SpaceId,
        visit: VisitArrival<'_>,
    ) -> Result<(), StoreError> {
        let Some(no) = self.spaces.get(space).map(|s| s.no) else {
            return Ok(());
        };
        let prefix = no.0.to_be_bytes();
        self.store.scan(
            ARRIVALS,
            &prefix,
            &prefix_end(&prefix),
            Direction::Forward,
            &mut |key, value| {
                if let (Some((tag, id)), Some((hour, ops))) = (read_key(key), split(value)) {
                    visit(tag, id, hour, ops);
                }
                ControlFlow::Continue(())
            },
        )
    }

    /// Returns the hour from which on nothing that arrived is missing in the rows.
    pub(crate) fn arrivals_from(&mut self, space: &SpaceId) -> Result<Hour, StoreError> {
        let now = Hour::of(self.now);
        let Some(no) = self.spaces.get(space).map(|s| s.no) else {
            return Ok(now);
        };
        let known = self.store.get(ARRIVALS, &no.0.to_be_bytes())?;
        if let Some(from) = known.and_then(|v| v.try_into().ok()) {
            return Ok(Hour::from_raw(u32::from_be_bytes(from)));
        }
        self.set_arrivals_from(no, now);
        Ok(now)
    }

    /// Forgets what is beyond the window.
    pub(crate) fn expire_arrivals(&mut self, space: &SpaceId) -> Result<(), StoreError> {
        let oldest = Hour::of(self.now)
            .as_raw()
            .saturating_sub(WINDOW_HOURS + 24);
        self.drop_arrivals_before(space, Hour::from_raw(oldest))
    }

    /// Lets the older half go when the rows are too many.
    fn make_room(&mut self, space: &SpaceId, no: SpaceNo) -> Result<(), StoreError> {
        let count = match self.spaces.get(space).and_then(|s| s.arrivals) {
            Some(count) => count,
            None => {
                // Counted once a run. The rows are complete from the first one on.
                self.arrivals_from(space)?;
                let mut count = 0;
                self.each_arrival(space, &mut |_, _, _, _| count += 1)?;
                count
            }
        };
        if let Some(s) = self.spaces.get_mut(space) {
            s.arrivals = Some(count);
        }
        if count < ARRIVALS_MAX {
            return Ok(());
        }
        let mut hours = Vec::with_capacity(count);
        self.each_arrival(space, &mut |_, _, hour, _| hours.push(hour))?;
        hours.sort_unstable();
        let middle = hours.get(hours.len() / 2).map_or(0, |hour| hour.as_raw());
        let keep = Hour::from_raw(middle.saturating_add(1));
        self.set_arrivals_from(no, keep);
        self.drop_arrivals_before(space, keep)
    }

    fn drop_arrivals_before(&mut self, space: &SpaceId, keep: Hour) -> Result<(), StoreError> {
        let Some(no) = self.spaces.get(space).map(|s| s.no) else {
            return Ok(());
        };
        let mut old = Vec::new();
        self.each_arrival(space, &mut |tag, id, hour, _| {
            if hour < keep {
                old.push(row(no, &tag, &id));
            }
        })?;
        for key in &old {
            self.store.delete(ARRIVALS, key);
        }
        if let Some(s) = self.spaces.get_mut(space) {
            s.arrivals = s.arrivals.map(|count| count.saturating_sub(old.len()));
        }
        Ok(())
    }

    fn set_arrivals_from(&mut self, no: SpaceNo, from: Hour) {
        let value = from.as_raw().to_be_bytes();
        self.store.put(ARRIVALS, &no.0.to_be_bytes(), &value);
    }
}

fn row(no: SpaceNo, tag: &Tag, id: &Digest) -> Vec<u8> {
    [no.0.to_be_bytes().as_slice(), tag.as_bytes(), id.as_bytes()].concat()
}

fn read_key(key: &[u8]) -> Option<(Tag, Digest)> {
    let (tag, id) = key.get(2..)?.split_first_chunk::<{ Tag::LEN }>()?;
    Some((
        Tag::from_bytes(*tag),
        Digest::from_bytes(id.try_into().ok()?),
    ))
}

fn split(value: &[u8]) -> Option<(Hour, &[u8])> {
    let (hour, ops) = value.split_first_chunk::<4>()?;
    Some((Hour::from_raw(u32::from_be_bytes(*hour)), ops))
}

fn read(value: &[u8]) -> Option<(Hour, Vec<OpId>)> {
    let (hour, ops) = split(value)?;
    Some((hour, op_ids(ops).collect()))
}

/// Reads the ids of ops that stand end to end.
pub(crate) fn op_ids(bytes: &[u8]) -> impl Iterator<Item = OpId> + '_ {
    let (ids, _) = bytes.as_chunks::<32>();
    ids.iter().map(|id| OpId::from_bytes(*id))
}
