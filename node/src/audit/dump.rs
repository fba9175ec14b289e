//! Everything, so that another program can recompute every verdict.

use oplog::store::{Store, StoreError};
use oplog::{
    AcceptedOp, Digest, EpochId, Header, Hlc, OpId, Signature, SignedOp, SpaceId, Timestamp,
};
use rand_core::CryptoRng;

use super::outcome::Outcome;
use super::replay::{Snapshot, scratch_error};
use super::scratch::Scratch;
use super::shape::{self, Value};
use crate::blobs::ChunkStore;
use crate::error::CommandError;
use crate::node::Node;
use crate::refusals::RefusedOp;
use crate::space::Space;
use crate::view::DamagedOp;

/// One accepted op with all it says and what became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DumpOp {
    /// The header, whole.
    pub header: Header,
    /// The signature over the id.
    pub sig: Signature,
    /// The payload; `None` when it was pruned.
    pub payload: Option<Value>,
    /// The encoded op, for programs that verify it.
    pub bytes: Vec<u8>,
    /// What became of it.
    pub outcome: Outcome,
}

/// An op that was refused when it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DumpRefused {
    /// Which, by which rule, and when.
    pub refused: RefusedOp,
    /// The op, as far as it is kept.
    pub op: Option<SignedOp>,
    /// Its payload.
    pub payload: Option<Value>,
}

/// A Space in full.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dump {
    /// Which.
    pub space: SpaceId,
    /// The ends of the control plane.
    pub heads: Vec<OpId>,
    /// Every accepted op that can be read, by (hlc, id): parents first.
    pub ops: Vec<DumpOp>,
    /// Those that were refused when they came, as far as that is remembered, the oldest first.
    pub refused: Vec<DumpRefused>,
    /// Those that were accepted and that the disk has damaged since.
    pub damaged: Vec<DamagedOp>,
    /// What people see.
    pub end: Snapshot,
    /// The authority's part of the state hash.
    pub authority_hash: Digest,
    /// The last epoch of the branch by which late ops were judged.
    pub epoch: EpochId,
    /// The time at which mutes of members were looked at.
    pub at: Hlc,
}

/// Runs ops again from nothing, parents first, and returns what became of them.
///
/// # Errors
/// When a signature does not hold, a rule refuses an op, or something that it names is missing.
pub fn dump_of(space: SpaceId, ops: Vec<SignedOp>) -> Result<Dump, CommandError> {
    let last = ops.iter().map(|op| op.header().hlc.to_wall()).max();
    let scratch = Scratch::of(space, ops).map_err(scratch_error)?;
    let now = last.unwrap_or(Timestamp::from_ms(0));
    let ops = scratch.space.accepted_ops(&scratch.store)?;
    Ok(scratch.space.dump(&scratch.store, ops, now)?)
}

impl Space {
    fn dump<S: Store>(
        &self,
        store: &S,
        accepted: Vec<AcceptedOp>,
        now: Timestamp,
    ) -> Result<Dump, StoreError> {
        let mut ops = Vec::new();
        for op in accepted {
            let kind = op.header().kind();
            ops.push(DumpOp {
                header: op.header().clone(),
                sig: *op.signature(),
                payload: op.payload_bytes().map(|bytes| shape::payload(kind, bytes)),
                bytes: op.encode(),
                outcome: self.outcome(store, &op)?,
            });
        }
        let end = self.snapshot(store, now, ops.len())?;
        Ok(Dump {
            space: self.id,
            heads: self.log.dag().heads().to_vec(),
            ops,
            refused: Vec::new(),
            damaged: self.damaged(store)?,
            end,
            authority_hash: Digest::from_bytes(*self.view.state_hash().as_bytes()),
            epoch: self.canonical,
            at: Hlc::from_wall(now),
        })
    }
}

impl<S: Store, C: ChunkStore, R: CryptoRng> Node<S, C, R> {
    /// Returns every op with what became of it, and the state they make.
    ///
    /// # Errors
    /// When the Space is not here, or storage fails.
    pub fn dump(&self, space: SpaceId) -> Result<Dump, CommandError> {
        let ops = self.accepted_ops(&space)?;
        let s = self.known_space(&space)?;
        let mut dump = s.dump(&self.store, ops, self.now)?;
        for refused in self.refused_ops(space, usize::MAX)?.into_iter().rev() {
            let bytes = self.refused_bytes(&space, &refused.op)?;
            let op = bytes.and_then(|bytes| SignedOp::decode(&bytes).ok());
            dump.refused.push(DumpRefused {
                payload: op.as_ref().and_then(|op| {
                    let bytes = op.payload_bytes()?;
                    Some(shape::payload(op.header().kind(), bytes))
                }),
                refused,
                op,
            });
        }
        Ok(dump)
    }

    /// Returns what became of the newest `limit` ops, newest first.
    ///
    /// # Errors
    /// When the Space is not here, or storage fails.
    pub fn audit_log(&self, space: SpaceId, limit: usize) -> Result<Vec<Outcome>, CommandError> {
        let s = self.known_space(&space)?;
        let ops = self.accepted_ops(&space)?;
        let mut log = Vec::new();
        for op in ops.iter().rev().take(limit) {
            log.push(s.outcome(&self.store, op)?);
        }
        Ok(log)
    }

    /// Returns the ops whose id begins with these hex digits, with kind and time: accepted ones, and
    /// those that were refused, as far as that is remembered.
    ///
    /// # Errors
    /// When the Space is not here, or storage fails.
    pub fn ops_beginning(
        &self,
        space: SpaceId,
        digits: &str,
    ) -> Result<Vec<(OpId, &'static str, Hlc, Timestamp)>, CommandError> {
        let fits = |op: &OpId| op.to_string().starts_with(digits);
        let ops = self.accepted_ops(&space)?.into_iter();
        let mut found: Vec<_> = ops
            .filter(|op| fits(&op.id()))
            .map(|op| {
                let h = op.header();
                let kind = h.kind().map_or("unknown", oplog::Kind::name);
                (op.id(), kind, h.hlc, h.wall)
            })
            .collect();
        let refused = self.refused_ops(space, usize::MAX)?.into_iter();
        let refused = refused.filter(|refused| fits(&refused.op));
        found.extend(refused.map(|r| (r.op, "refused", Hlc::from_wall(r.when), r.when)));
        let damaged = self.damaged(space)?.into_iter();
        let damaged = damaged.filter(|damaged| fits(&damaged.op));
        found.extend(damaged.map(|d| (d.op, "damaged", Hlc::ZERO, Timestamp::from_ms(0))));
        Ok(found)
    }

    /// Returns every op that was accepted here and can be read, in causal order, for the simulator's
    /// checkers.
    ///
    /// # Errors
    /// When the Space is not here, or storage fails.
    #[cfg(feature = "test-utils")]
    pub fn held_ops(&self, space: SpaceId) -> Result<Vec<AcceptedOp>, CommandError> {
        self.accepted_ops(&space)
    }
}
