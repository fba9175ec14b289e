//! Holdback: verified ops that wait for something they name (S1, B12).
//!
//! Local and in memory: whatever is dropped here, or lost in a restart, is fetched
//! again. Deciding what an op is missing, and judging it, is the log's work.
//!
//! # Invariants
//! - At most [`HELD_OPS_MAX`] ops and [`HELD_BYTES_MAX`] bytes, [`HELD_PER_DEVICE_MAX`] ops of a device, none older than [`HELD_MS_MAX`].
//! - An op leaves when the last thing it misses is settled, and with it come no others.
//! - Which ops are held depends on the calls alone.

use core::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use crate::hlc::{Hlc, Timestamp};
use crate::ids::{DeviceId, Lane, OpId};
use crate::mutants::{Mutant, on};
use crate::op::{SignedOp, VerifiedOp};

/// Most ops held for one Space (B12).
pub const HELD_OPS_MAX: usize = 10_000;
/// Most bytes held for one Space (B12).
pub const HELD_BYTES_MAX: usize = 32 * 1024 * 1024;
/// Most ops held of one device (B12).
pub const HELD_PER_DEVICE_MAX: usize = 500;
/// How long an op is held, in milliseconds: 14 days (B12).
pub const HELD_MS_MAX: u64 = 14 * 86_400_000;

/// Ops that wait for something they name.
#[derive(Clone, Debug, Default)]
pub struct Holdback {
    held: BTreeMap<OpId, Held>,
    /// For each thing missed, who misses it.
    dependents: BTreeMap<OpId, BTreeSet<OpId>>,
    /// The order of eviction when the Space is full: oldest, then deepest.
    by_age: BTreeSet<(Timestamp, Reverse<Hlc>, OpId)>,
    /// The order of eviction when a device has too many: deepest, so that what is
    /// nearest to release stays. Times grow along references, so later is deeper.
    by_device: BTreeMap<DeviceId, BTreeSet<(Hlc, OpId)>>,
    bytes: usize,
}

#[derive(Clone, Debug)]
struct Held {
    op: VerifiedOp,
    missing: BTreeSet<OpId>,
    since: Timestamp,
    bytes: usize,
}

impl Holdback {
    /// Holds an op until everything in `missing` is settled. May drop others, or this one, to keep
    /// the bounds; returns what was dropped.
    pub fn hold(&mut self, op: VerifiedOp, missing: BTreeSet<OpId>, now: Timestamp) -> Vec<OpId> {
        let (id, device, hlc) = place(&op);
        if missing.is_empty() || self.held.contains_key(&id) {
            return Vec::new();
        }
        let bytes = op.size();
        for dep in &missing {
            self.dependents.entry(*dep).or_default().insert(id);
        }
        self.by_age.insert((now, Reverse(hlc), id));
        self.by_device.entry(device).or_default().insert((hlc, id));
        self.bytes += bytes;
        let held = Held {
            op,
            missing,
            since: now,
            bytes,
        };
        self.held.insert(id, held);
        self.evict(&device)
    }

    /// Takes note that something is in the log now. Returns the ops that missed nothing else, in
    /// the order of their times.
    pub fn settle(&mut self, dep: &OpId) -> Vec<VerifiedOp> {
        let mut ready = Vec::new();
        for id in self.dependents.remove(dep).unwrap_or_default() {
            let Some(held) = self.held.get_mut(&id) else {
                continue;
            };
            held.missing.remove(dep);
            if held.missing.is_empty() && !on(Mutant::HeldForever) {
                ready.extend(self.remove(&id));
            }
        }
        ready.sort_by_key(|op| (op.header().hlc, op.id()));
        ready
    }

    /// Takes out every op that misses this one, whatever else it misses: what builds on something
    /// invalid is invalid.
    pub fn dependents(&mut self, dep: &OpId) -> Vec<VerifiedOp> {
        let ids = self.dependents.remove(dep).unwrap_or_default();
        ids.iter().filter_map(|id| self.remove(id)).collect()
    }

    /// Drops what has waited too long. Returns what was dropped.
    pub fn expire(&mut self, now: Timestamp) -> Vec<OpId> {
        let mut dropped = Vec::new();
        while let Some((since, _, id)) = self.by_age.first().copied() {
            if now.since(since) <= HELD_MS_MAX {
                break;
            }
            self.remove(&id);
            dropped.push(id);
        }
        dropped
    }

    /// Lets go of an op that is not wanted any more.
    pub fn drop_op(&mut self, id: &OpId) {
        self.remove(id);
    }

    /// Returns the ops of a device that are held, oldest first.
    pub(crate) fn of_device(&self, device: &DeviceId) -> impl Iterator<Item = &VerifiedOp> {
        let ids = self.by_device.get(device).into_iter().flatten();
        ids.filter_map(|(_, id)| self.held.get(id).map(|held| &held.op))
    }

    /// Returns an op of a lane that is held and stands beyond a position, or anywhere.
    #[must_use]
    pub fn beyond(&self, lane: &Lane, seq: Option<u64>) -> Option<OpId> {
        let mut of_device = self.by_device.get(&lane.device).into_iter().flatten();
        let beyond = |id: &OpId| {
            let header = self.held.get(id).map(|held| held.op.header());
            header.is_some_and(|h| h.scope == lane.scope && seq.is_none_or(|seq| h.seq > seq))
        };
        of_device.find(|(_, id)| beyond(id)).map(|(_, id)| *id)
    }

    /// Returns what an op waits for in the end: something that it, or what it misses, misses and that is
    /// not held. The op itself, when it is not held.
    #[must_use]
    pub fn waits_for(&self, id: &OpId) -> OpId {
        let mut at = *id;
        // Nothing is in its own past, so this ends.
        while let Some(first) = self.missing_of(&at).and_then(BTreeSet::first) {
            at = *first;
        }
        at
    }

    /// Returns whether an op is held.
    #[must_use]
    pub fn contains(&self, id: &OpId) -> bool {
        self.held.contains_key(id)
    }

    /// Returns what an op still misses, `None` when it is not held.
    #[must_use]
    pub fn missing_of(&self, id: &OpId) -> Option<&BTreeSet<OpId>> {
        self.held.get(id).map(|held| &held.missing)
    }

    /// Returns at most `limit` ops that are missed and not held themselves: what to ask peers for.
    #[must_use]
    pub fn missing(&self, limit: usize) -> Vec<OpId> {
        let absent = self.dependents.keys().filter(|id| !self.contains(id));
        absent.take(limit).copied().collect()
    }

    /// Returns at most `limit` of those ops that come after this one.
    pub(crate) fn missing_after(&self, after: &OpId, limit: usize) -> impl Iterator<Item = OpId> {
        let later = (Bound::Excluded(*after), Bound::Unbounded);
        let absent = self.dependents.range(later).map(|(id, _)| *id);
        absent.filter(|id| !self.contains(id)).take(limit)
    }

    /// Returns how many ops are held.
    #[must_use]
    pub fn len(&self) -> usize {
        self.held.len()
    }

    /// Returns whether none is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.held.is_empty()
    }

    /// Returns how many bytes are held.
    #[must_use]
    pub const fn bytes(&self) -> usize {
        self.bytes
    }

    fn evict(&mut self, device: &DeviceId) -> Vec<OpId> {
        let mut dropped = Vec::new();
        loop {
            let of_device = self.by_device.get(device);
            let crowd = of_device.filter(|ops| ops.len() > HELD_PER_DEVICE_MAX);
            let full = self.held.len() > HELD_OPS_MAX || self.bytes > HELD_BYTES_MAX;
            let victim = match (crowd, full) {
                (Some(ops), _) => ops.last().map(|(_, id)| *id),
                // Oldest first, because anyone can sign ops that name nothing real: whoever fills
                // the place drives out his own in turn, and honest ops are fetched again.
                (None, true) => self.by_age.first().map(|(_, _, id)| *id),
                (None, false) => None,
            };
            let Some(id) = victim else {
                return dropped;
            };
            self.remove(&id);
            dropped.push(id);
        }
    }

    fn remove(&mut self, id: &OpId) -> Option<VerifiedOp> {
        let held = self.held.remove(id)?;
        let (_, device, hlc) = place(&held.op);
        self.bytes -= held.bytes;
        self.by_age.remove(&(held.since, Reverse(hlc), *id));
        if let Some(ops) = self.by_device.get_mut(&device) {
            ops.remove(&(hlc, *id));
            if ops.is_empty() {
                self.by_device.remove(&device);
            }
        }
        for dep in &held.missing {
            if let Some(ids) = self.dependents.get_mut(dep) {
                ids.remove(id);
                if ids.is_empty() {
                    self.dependents.remove(dep);
                }
            }
        }
        Some(held.op)
    }
}

fn place(op: &SignedOp) -> (OpId, DeviceId, Hlc) {
    (op.id(), op.header().device, op.header().hlc)
}
