//! Deferral: ops from the future wait until their time comes (B3).
//!
//! | table | key | value |
//! |---|---|---|
//! | `ahead` | space no ‖ op id | the op as it came |
//!
//! A clock decides here *when* an op is looked at, never *whether* it is accepted;
//! how far a time may jump at all is R2's business. What waits outlives a restart: relays give an
//! envelope once, and whoever was removed is not told a second time. What is dropped is fetched
//! again. The arrival bucket of A20 is not here: only the node knows which ops it asked for, and
//! those must not be slowed.

use core::ops::ControlFlow;
use std::collections::{BTreeMap, BTreeSet};

use crate::hlc::{Hlc, Timestamp};
use crate::ids::{DeviceId, OpId};
use crate::mutants::{Mutant, on};
use crate::op::{SignedOp, VerifiedOp};
use crate::store::{Direction, Store, StoreError, Table, prefix_end};
use crate::table::OpTable;

/// Ops that wait for their time.
const AHEAD: Table = Table("ahead");

/// How far an op may be ahead of the local clock before it waits, in milliseconds: 5 minutes (B3).
pub const AHEAD_MS_MAX: u64 = 300_000;
/// Most ops that wait (as many as holdback keeps).
pub const DEFERRED_OPS_MAX: usize = 10_000;
/// Most bytes that wait.
pub const DEFERRED_BYTES_MAX: usize = 32 * 1024 * 1024;
/// Most ops of one device that wait.
pub const DEFERRED_PER_DEVICE_MAX: usize = 500;

/// Ops from the future, by their time.
#[derive(Clone, Debug, Default)]
pub struct Deferral {
    ops: BTreeMap<(Hlc, OpId), VerifiedOp>,
    by_device: BTreeMap<DeviceId, BTreeSet<(Hlc, OpId)>>,
    bytes: usize,
}

impl Deferral {
    /// Returns when an op may be looked at, `None` when that is now.
    #[must_use]
    pub fn until(hlc: Hlc, now: Timestamp) -> Option<Timestamp> {
        // Whole milliseconds: own ops, one tick after something at the very edge, are not caught.
        let wall = hlc.to_wall();
        (wall > now.plus_ms(AHEAD_MS_MAX) && !on(Mutant::FutureNow))
            .then(|| Timestamp::from_ms(wall.as_ms().saturating_sub(AHEAD_MS_MAX)))
    }

    /// Puts an op aside. When there are too many, those furthest ahead are dropped: returns which,
    /// perhaps this one.
    #[must_use]
    pub fn put(&mut self, op: VerifiedOp) -> Vec<OpId> {
        let mut dropped = Vec::new();
        let key = (op.header().hlc, op.id());
        let device = op.header().device;
        if self.ops.contains_key(&key) {
            return dropped;
        }
        self.bytes += op.size();
        self.by_device.entry(device).or_default().insert(key);
        self.ops.insert(key, op);
        loop {
            let of_device = self.by_device.get(&device);
            let crowd = of_device.filter(|ops| ops.len() > DEFERRED_PER_DEVICE_MAX);
            let full = self.ops.len() > DEFERRED_OPS_MAX || self.bytes > DEFERRED_BYTES_MAX;
            let victim = match (crowd, full) {
                (Some(ops), _) => ops.last().copied(),
                (None, true) => self.ops.keys().next_back().copied(),
                (None, false) => None,
            };
            let Some(key) = victim else {
                return dropped;
            };
            self.remove(&key);
            dropped.push(key.1);
        }
    }

    /// Takes out the ops whose time has come, in the order of their times, hence parents first.
    pub fn due(&mut self, now: Timestamp) -> Vec<VerifiedOp> {
        let mut due = Vec::new();
        while let Some(key) = self.ops.keys().next().copied() {
            if Self::until(key.0, now).is_some() {
                break;
            }
            due.extend(self.remove(&key));
        }
        due
    }

    /// Returns when the next op is due.
    #[must_use]
    pub fn next_due(&self) -> Option<Timestamp> {
        let (hlc, _) = self.ops.keys().next()?;
        let wall = hlc.to_wall().as_ms();
        Some(Timestamp::from_ms(wall.saturating_sub(AHEAD_MS_MAX)))
    }

    /// Returns the ops of a device that wait, oldest first.
    pub(crate) fn of_device(&self, device: &DeviceId) -> impl Iterator<Item = &VerifiedOp> {
        let keys = self.by_device.get(device).into_iter().flatten();
        keys.filter_map(|key| self.ops.get(key))
    }

    /// Returns whether this op waits.
    #[must_use]
    pub fn contains(&self, hlc: Hlc, id: OpId) -> bool {
        self.ops.contains_key(&(hlc, id))
    }

    /// Returns how many ops wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ops.len()
    }

    /// Returns whether none does.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ops.is_empty()
    }

    fn remove(&mut self, key: &(Hlc, OpId)) -> Option<VerifiedOp> {
        let op = self.ops.remove(key)?;
        self.bytes -= op.size();
        let device = op.header().device;
        if let Some(keys) = self.by_device.get_mut(&device) {
            keys.remove(key);
            if keys.is_empty() {
                self.by_device.remove(&device);
            }
        }
        Some(op)
    }
}

impl OpTable {
    /// Stages that an op waits for its time.
    pub(crate) fn defer<S: Store>(&self, store: &mut S, op: &SignedOp) {
        store.put(AHEAD, &self.op_key(&op.id()), &op.encode());
    }

    /// Stages that an op waits for its time no more.
    pub(crate) fn end_deferral<S: Store>(&self, store: &mut S, id: &OpId) {
        store.delete(AHEAD, &self.op_key(id));
    }

    /// Returns the ops that wait for their time; damaged ones are left out.
    pub(crate) fn deferred<S: Store>(&self, store: &S) -> Result<Vec<SignedOp>, StoreError> {
        let prefix = self.no().0.to_be_bytes();
        let end = prefix_end(&prefix);
        let mut ops = Vec::new();
        store.scan(AHEAD, &prefix, &end, Direction::Forward, &mut |_, op| {
            ops.extend(SignedOp::decode(op));
            ControlFlow::Continue(())
        })?;
        Ok(ops)
    }
}
