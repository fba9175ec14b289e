//! Bundles: a Space's ops in one file, to keep, to move, to take in again.
//!
//! A bundle holds accepted ops, parents first, and is trusted in nothing: taking one in is
//! the same as hearing its ops from a stranger. It holds no keys.
//!
//! Bytes: magic 16 ‖ hash 32 ‖ canonical CBOR of [`Bundle`]. The hash is `H("bundle")` over the
//! CBOR: a file that was cut or changed on the way is refused whole, and nothing of it taken in.

use minicbor::bytes::ByteVec;
use minicbor::{Decode, Encode};
use oplog::hash::H;
use oplog::store::Store;
use oplog::{Digest, Hlc, OpId, SpaceId, codec};
use rand_core::CryptoRng;

use crate::blobs::ChunkStore;
use crate::command::Answer;
use crate::error::CommandError;
use crate::node::Node;

/// What every bundle begins with.
pub(crate) const BUNDLE_MAGIC: &[u8; 16] = b"decent bundle v1";
/// Longest bundle that is taken in, in bytes.
const IMPORT_BYTES_MAX: usize = 1024 * 1024 * 1024;

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

fn hash(body: &[u8]) -> Digest {
    Digest::from_bytes(H::new("bundle").field(body).finish())
}

impl<S: Store, C: ChunkStore, R: CryptoRng> Node<S, C, R> {
    /// Returns everything this device holds of a Space, as one file.
    ///
    /// # Errors
    /// When the Space is not here, or storage fails.
    pub fn export(&self, space: &SpaceId) -> Result<Vec<u8>, CommandError> {
        let ops = self
            .all_ops(space)?
            .into_iter()
            .map(ByteVec::from)
            .collect();
        let bundle = Bundle { space: *space, ops };
        let body = codec::encode(&bundle);
        Ok([BUNDLE_MAGIC.as_slice(), hash(&body).as_bytes(), &body].concat())
    }

    /// Takes the ops of a bundle in.
    pub(crate) fn import(&mut self, bytes: &[u8]) -> Result<Answer, CommandError> {
        let bad = |why: &str| CommandError::Bundle {
            why: why.to_owned(),
        };
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
        let fresh = !self.spaces.contains_key(&space);
        if fresh {
            let new = self.new_space(space);
            self.spaces.insert(space, new);
        }
        let outcome = self.take_ops(&space, bundle.ops.into_iter().map(Vec::from).collect())?;
        if fresh
            && self
                .spaces
                .get(&space)
                .is_none_or(|s| s.log.dag().is_empty())
        {
            self.spaces.remove(&space);
            return Err(bad("it does not hold the op that founded its Space"));
        }
        self.save_space(&space);
        Ok(Answer::Imported {
            space,
            new: outcome.accepted.len() as u64,
            known: outcome.duplicates,
            refused: outcome
                .refused
                .into_iter()
                .map(|(op, rule, why)| (op, format!("{rule}: {why}")))
                .collect(),
        })
    }

    /// Returns the bytes of every op of a Space, parents first.
    pub(crate) fn all_ops(&self, space: &SpaceId) -> Result<Vec<Vec<u8>>, CommandError> {
        let s = self.known_space(space)?;
        let mut ops: Vec<(Hlc, OpId)> = Vec::new();
        for head in s.table.all_lanes(&self.store)? {
            for (_, id) in s
                .table
                .range(&self.store, &head.lane, 0, None, usize::MAX)?
            {
                if let Some(op) = s.table.op(&self.store, &id)? {
                    ops.push((op.header().hlc, id));
                }
            }
        }
        // Times grow along references (R2).
        ops.sort_unstable();
        let mut bytes = Vec::with_capacity(ops.len());
        for (_, id) in ops {
            bytes.extend(self.op_bytes(space, &id)?);
        }
        Ok(bytes)
    }
}
