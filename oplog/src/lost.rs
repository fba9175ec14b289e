//! Ops that were accepted and can be read no more: which they are, until they come again.
//!
//! | table | key | value |
//! |---|---|---|
//! | `lost` | space no ‖ op id | where it stood in its lane, if that is known: scope length 1 ‖ scope ‖ device ‖ seq |
//!
//! A disk that damages a record takes one op away, and nothing else tells that it is missing: what
//! came after it is here. So it is noted, asked for by id, and judged again when it comes. Its row in
//! its lane stays, or the lane would look shorter than it is, and its author would write two ops at
//! one place.
//!
//! # Invariants
//! - An op that is lost has no row in `op`: it counts as not here.

use core::ops::ControlFlow;
use std::collections::BTreeMap;

use crate::ids::{ChannelId, DeviceId, Lane, OpId, Scope};
use crate::store::{Direction, Store, StoreError, Table, prefix_end};
use crate::table::OpTable;

/// Ops that are lost.
const LOST: Table = Table("lost");

/// Where an op stood in its lane.
pub type Place = (Lane, u64);

/// The ops that are lost, each with its place where that is known.
pub type LostOps = BTreeMap<OpId, Option<Place>>;

impl OpTable {
    /// Stages that an op is lost: its record cannot be read, or was never indexed.
    pub fn lose<S: Store>(&self, store: &mut S, id: &OpId, place: Option<&Place>) {
        self.forget(store, id);
        store.put(LOST, &self.op_key(id), &encode(place));
    }

    /// Stages that an op is lost no more.
    pub fn found<S: Store>(&self, store: &mut S, id: &OpId) {
        store.delete(LOST, &self.op_key(id));
    }

    /// Returns whether an op is noted as lost.
    ///
    /// # Errors
    /// When storage fails.
    pub fn is_lost<S: Store>(&self, store: &S, id: &OpId) -> Result<bool, StoreError> {
        Ok(store.get(LOST, &self.op_key(id))?.is_some())
    }

    /// Returns every op that is lost.
    ///
    /// # Errors
    /// When storage fails.
    pub fn lost<S: Store>(&self, store: &S) -> Result<LostOps, StoreError> {
        let prefix = self.no().0.to_be_bytes();
        let mut lost = LostOps::new();
        let end = prefix_end(&prefix);
        store.scan(
            LOST,
            &prefix,
            &end,
            Direction::Forward,
            &mut |key, value| {
                let id = key.get(prefix.len()..).and_then(|id| id.try_into().ok());
                if let Some(id) = id.map(OpId::from_bytes) {
                    lost.insert(id, decode(value));
                }
                ControlFlow::Continue(())
            },
        )?;
        Ok(lost)
    }
}

fn encode(place: Option<&Place>) -> Vec<u8> {
    let Some((lane, seq)) = place else {
        return Vec::new();
    };
    let scope = lane.scope.as_bytes();
    let len = u8::try_from(scope.len()).unwrap_or(u8::MAX);
    [&[len], scope, lane.device.as_bytes(), &seq.to_be_bytes()].concat()
}

fn decode(value: &[u8]) -> Option<Place> {
    let (len, rest) = value.split_first()?;
    let (scope, rest) = rest.split_at_checked(usize::from(*len))?;
    let (device, seq) = rest.split_first_chunk::<32>()?;
    let scope = match scope {
        [] => Scope::Control,
        bytes => Scope::Channel(ChannelId::from_bytes(bytes.try_into().ok()?)),
    };
    let device = DeviceId::from_bytes(*device);
    Some((
        Lane { device, scope },
        u64::from_be_bytes(seq.try_into().ok()?),
    ))
}
