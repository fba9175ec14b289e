//! Bundles: a Space's ops in one file, to keep, to move, to take in again.
//!
//! A bundle holds accepted ops, parents first, and is trusted in nothing: taking one in is
//! the same as hearing its ops from a stranger. It holds no keys. A long one is taken in by slices,
//! each a step of storage of its own, with other events in between: what a crash leaves is a
//! Space with the ops so far, and taking the bundle in again goes on from there.
//!
//! Bytes: magic 16 ‖ hash 32 ‖ canonical CBOR of [`Bundle`]. The hash is `H("bundle")` over the
//! CBOR: a file that was cut or changed on the way is refused whole, and nothing of it taken in.

use std::collections::VecDeque;

use minicbor::bytes::ByteVec;
use minicbor::{Decode, Encode};
use oplog::hash::H;
use oplog::store::{Store, StoreError};
use oplog::{Digest, Hlc, OpId, SpaceId, codec};
use rand_core::CryptoRng;

use crate::blobs::ChunkStore;
use crate::command::{Answer, CommandId};
use crate::error::CommandError;
use crate::event::Timer;
use crate::ingest::Outcome;
use crate::node::Node;
use crate::view::Notice;

/// What every bundle begins with.
pub(crate) const BUNDLE_MAGIC: &[u8; 16] = b"decent bundle v1";
/// Longest bundle that is taken in, in bytes.
const IMPORT_BYTES_MAX: usize = 1024 * 1024 * 1024;

/// Ops of an import in one step of storage: as many as pay for checking signatures together, and not so
/// many that others wait long.
const IMPORT_SLICE_OPS: usize = 4_096;

/// A bundle of which some ops are not taken in yet.
#[derive(Debug)]
pub(crate) struct Import {
    id: CommandId,
    space: SpaceId,
    total: u64,
    ops: VecDeque<ByteVec>,
    outcome: Outcome,
}

/// A Space's ops in one file.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub(crate) struct Bundle {
    #[n(0)]
    pub(crate) space: SpaceId,
    /// Parents first.
    #[n(1)]
    pub(crate) ops: Vec<ByteVec>,
}

/// Returns the file that holds these encoded ops of a Space, which come parents first.
#[must_use]
pub fn export_of(space: SpaceId, ops: impl IntoIterator<Item = Vec<u8>>) -> Vec<u8> {
    let ops = ops.into_iter().map(ByteVec::from).collect();
    let body = codec::encode(&Bundle { space, ops });
    [BUNDLE_MAGIC.as_slice(), hash(&body).as_bytes(), &body].concat()
}

fn hash(body: &[u8]) -> Digest {
    Digest::from_bytes(H::new("bundle").field(body).finish())
}

impl<S: Store, C: ChunkStore, R: CryptoRng> Node<S, C, R> {
    /// Returns everything this device holds of a Space, as one file.
    ///
    /// # Errors
    /// When the Space is not here, or storage fails.
    pub fn export(&self, space: &SpaceId) -> Result<Vec<u8>, CommandError> {
        Ok(export_of(*space, self.all_ops(space)?))
    }

    /// Begins to take the ops of a bundle in. `None`: the answer comes when the last slice is done.
    pub(crate) fn import(
        &mut self,
        id: CommandId,
        bytes: &[u8],
    ) -> Result<Option<Answer>, CommandError> {
        let body = bytes
            .strip_prefix(BUNDLE_MAGIC.as_slice())
            .ok_or_else(|| bad("it is not a Decent bundle"))?;
        let (_, body) = body
            .split_first_chunk::<32>()
            .filter(|(claimed, body)| hash(body).as_bytes() == *claimed)
            .ok_or_else(|| bad("it was cut or changed: its hash does not hold"))?;
        let bundle: Bundle = codec::decode_bounded("bundle", body, IMPORT_BYTES_MAX)
            .map_err(|e| bad(&e.to_string()))?;
        let space = bundle.space;
        let mut import = Import {
            id,
            space,
            total: bundle.ops.len() as u64,
            ops: bundle.ops.into(),
            outcome: Outcome::default(),
        };
        // The first slice says whether this is a Space at all, so that nothing is left of what is not.
        let fresh = !self.spaces.contains_key(&space);
        if fresh {
            let new = self.new_space(space);
            self.spaces.insert(space, new);
            self.doubt_returned(&space)?;
        }
        self.import_slice(&mut import)?;
        let founded = |s: &crate::space::Space| !s.log.dag().is_empty();
        if fresh && !self.spaces.get(&space).is_some_and(founded) {
            self.spaces.remove(&space);
            return Err(bad("it does not begin with the op that founded its Space"));
        }
        self.save_space(&space);
        self.import_later(import);
        Ok(None)
    }

    /// Takes in the next slice of the oldest import.
    pub(crate) fn import_more(&mut self) -> Result<(), StoreError> {
        let Some(mut import) = self.imports.pop_front() else {
            return Ok(());
        };
        let taken = self.import_slice(&mut import);
        if taken.is_err() {
            // Answered when memory is read from the store again.
            self.imports.push_front(import);
            return taken;
        }
        self.import_later(import);
        Ok(())
    }

    fn import_slice(&mut self, import: &mut Import) -> Result<(), StoreError> {
        let slice = import.ops.len().min(IMPORT_SLICE_OPS);
        let ops = import.ops.drain(..slice).map(Vec::from).collect();
        let outcome = self.take_ops(&import.space, ops)?;
        import.outcome.add(outcome);
        Ok(())
    }

    /// Answers an import that is done; another goes on after what else waits.
    fn import_later(&mut self, import: Import) {
        if import.ops.is_empty() {
            let new = import.outcome.accepted.len() as u64;
            let known = import.outcome.duplicates;
            let unreadable = import.outcome.malformed;
            let judged = new + known + unreadable + import.outcome.refused.len() as u64;
            let refused = import.outcome.refused.into_iter();
            let answer = Answer::Imported {
                space: import.space,
                new,
                known,
                unreadable,
                waiting: import.total.saturating_sub(judged),
                refused: refused
                    .map(|(op, rule, why)| (op, format!("{rule}: {why}")))
                    .collect(),
            };
            self.answer(import.id, Ok(answer));
        } else {
            self.notify(Notice::Importing {
                space: import.space,
                done: import.total - import.ops.len() as u64,
                total: import.total,
            });
            self.imports.push_front(import);
        }
        if !self.imports.is_empty() {
            self.set_timer(Timer::Import, 0);
        }
    }

    /// Ends what was being imported, after storage failed.
    pub(crate) fn stop_imports(&mut self) {
        for import in std::mem::take(&mut self.imports) {
            let stopped = CommandError::ImportStopped {
                done: import.total - import.ops.len() as u64,
                total: import.total,
            };
            self.answer(import.id, Err(stopped));
        }
    }

    /// Returns the bytes of every op of a Space that can be read, parents first.
    pub(crate) fn all_ops(&self, space: &SpaceId) -> Result<Vec<Vec<u8>>, CommandError> {
        let ids = self.op_ids(space)?;
        Ok(in_order(self.dated_ops(space, &ids)?))
    }

    /// Returns every op of a Space, lane by lane, without reading any.
    ///
    /// # Errors
    /// When the Space is not here, or storage fails.
    pub fn op_ids(&self, space: &SpaceId) -> Result<Vec<OpId>, CommandError> {
        let s = self.known_space(space)?;
        let mut ids = Vec::new();
        for head in s.table.all_lanes(&self.store)? {
            let lane = s
                .table
                .range(&self.store, &head.lane, 0, None, usize::MAX)?;
            ids.extend(lane.into_iter().map(|(_, id)| id));
        }
        Ok(ids)
    }

    /// Returns those of these ops that can be read, with time and bytes.
    pub(crate) fn dated_ops(
        &self,
        space: &SpaceId,
        ids: &[OpId],
    ) -> Result<Vec<DatedOp>, CommandError> {
        let s = self.known_space(space)?;
        let mut ops = Vec::with_capacity(ids.len());
        for id in ids {
            if let Some(op) = s.op(&self.store, id)? {
                ops.push((op.header().hlc, *id, op.encode()));
            }
        }
        Ok(ops)
    }
}

/// An op with its time.
pub(crate) type DatedOp = (Hlc, OpId, Vec<u8>);

/// Returns the bytes of ops, parents first: times grow along references (R2).
pub(crate) fn in_order(mut ops: Vec<DatedOp>) -> Vec<Vec<u8>> {
    ops.sort_unstable();
    ops.into_iter().map(|(_, _, bytes)| bytes).collect()
}

fn bad(why: &str) -> CommandError {
    CommandError::Bundle {
        why: why.to_owned(),
    }
}
