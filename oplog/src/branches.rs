//! The ends of lanes that have forked: what must be told so that everybody comes to hold every branch.
//!
//! | table | key | value |
//! |---|---|---|
//! | `fork` | as the lane's rows in `lane`, up to the device | seq 8 ‖ op id 32, for each end |
//!
//! Two ops of one device at one position are an equivocation (B11), and both stay. A lane with one
//! end is told of by that end; one with several needs each, since a branch that is shorter would
//! never be missed by whoever holds the longer one.
//!
//! # Invariants
//! - A lane has a row here if and only if two of its ops stood at one position when the later came.
//! - Bounded: at most [`ENDS_MAX`] ends a lane; a cheat who makes more is not waited for.

use core::ops::ControlFlow;
use std::collections::{BTreeMap, BTreeSet};

use crate::ids::{Lane, OpId};
use crate::op::SignedOp;
use crate::store::{Direction, Store, StoreError, Table, prefix_end};
use crate::table::{OpTable, parse_lane};

/// Lanes that have forked.
const FORK: Table = Table("fork");
/// Most ends noted of one lane. Guess: a restored copy makes two.
pub const ENDS_MAX: usize = 64;

/// The ends of one lane.
pub type Ends = BTreeSet<(u64, OpId)>;

impl OpTable {
    /// Stages the ends of an op's lane if the lane has forked, or does by this op. Call it before
    /// the op's rows are staged. Returns the ends then.
    ///
    /// # Errors
    /// When storage fails.
    pub fn note_branch<S: Store>(
        &self,
        store: &mut S,
        op: &SignedOp,
    ) -> Result<Option<Ends>, StoreError> {
        let (h, id) = (op.header(), op.id());
        let lane = h.lane();
        let here = self.at(store, &lane, h.seq)?;
        let known = store.get(FORK, &self.lane_prefix(&lane))?;
        let mut ends = match known {
            // Here again: what builds on it was counted.
            Some(row) if here.contains(&id) => return Ok(Some(decode(&row))),
            Some(row) => decode(&row),
            None if here.iter().all(|other| *other == id) => return Ok(None),
            None => self.ends_from(store, &lane, h.seq)?,
        };
        if let Some(back) = h.back {
            ends.retain(|(_, end)| *end != back);
        }
        if !here.contains(&id) {
            ends.insert((h.seq, id));
        }
        while ends.len() > ENDS_MAX {
            ends.pop_first();
        }
        store.put(FORK, &self.lane_prefix(&lane), &encode(&ends));
        Ok(Some(ends))
    }

    /// Returns the ends of every lane that has forked.
    ///
    /// # Errors
    /// When storage fails.
    pub fn branches<S: Store>(&self, store: &S) -> Result<BTreeMap<Lane, Ends>, StoreError> {
        let prefix = self.no().0.to_be_bytes();
        let mut all = BTreeMap::new();
        let end = prefix_end(&prefix);
        store.scan(
            FORK,
            &prefix,
            &end,
            Direction::Forward,
            &mut |key, value| {
                if let Some((lane, [])) = parse_lane(key) {
                    all.insert(lane, decode(value));
                }
                ControlFlow::Continue(())
            },
        )?;
        Ok(all)
    }

    /// Finds the ends of a lane from one position on: the ops that no other builds on.
    fn ends_from<S: Store>(&self, store: &S, lane: &Lane, seq: u64) -> Result<Ends, StoreError> {
        let ops = self.range(store, lane, seq, None, usize::MAX)?;
        let mut ends: Ends = ops.iter().copied().collect();
        for (_, id) in &ops {
            // What cannot be read is found and fetched again elsewhere.
            let back = match self.op(store, id) {
                Ok(op) => op.and_then(|op| op.header().back),
                Err(StoreError::Damaged { .. }) => None,
                Err(error) => return Err(error),
            };
            if let Some(back) = back {
                ends.retain(|(_, end)| *end != back);
            }
        }
        Ok(ends)
    }
}

fn encode(ends: &Ends) -> Vec<u8> {
    let mut out = Vec::with_capacity(ends.len() * 40);
    for (seq, id) in ends {
        out.extend_from_slice(&seq.to_be_bytes());
        out.extend_from_slice(id.as_bytes());
    }
    out
}

fn decode(row: &[u8]) -> Ends {
    let read = |end: &[u8]| {
        let (seq, id) = end.split_first_chunk::<8>()?;
        let id = OpId::from_bytes(id.try_into().ok()?);
        Some((u64::from_be_bytes(*seq), id))
    };
    row.chunks(40).filter_map(read).collect()
}
