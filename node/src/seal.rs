//! Sealing ops for the group: which go into one envelope, and under which epoch.
//!
//! # Invariants
//! - No content is sealed for a group that holds somebody whom the Space removed.

use std::collections::{BTreeMap, BTreeSet};

use minicbor::bytes::ByteVec;
use mls::envelope::{Day, SealKeys, TagKey};
use net::wire::PutRequest;
use oplog::store::{Store, StoreError};
use oplog::{AcceptedOp, EpochId, Hlc, Kind, OpId, Scope, SpaceId, codec};
use rand_core::CryptoRng;

use crate::blobs::ChunkStore;
use crate::message::Sealed;
use crate::node::Node;
use crate::outbox::{ENVELOPE_TTL_SECS, Queued};
use crate::repair::GOSSIP_TTL_SECS;

/// Most bytes of ops in one envelope, so that it fits the 256 KiB bucket; a longer single op gets its own.
const ENVELOPE_OPS_BYTES_MAX: usize = 240 * 1024;

/// An envelope ready to be put, with the queued ops inside.
#[derive(Clone, Debug)]
pub(crate) struct Put {
    pub(crate) ops: Vec<Queued>,
    pub(crate) request: PutRequest,
}

impl<S: Store, C: ChunkStore, R: CryptoRng> Node<S, C, R> {
    /// Seals queued ops into envelopes, in the order of their writing.
    pub(crate) fn seal_ops(
        &mut self,
        space: &SpaceId,
        queued: &[Queued],
    ) -> Result<Vec<Put>, StoreError> {
        let Some(s) = self.spaces.get(space) else {
            return Ok(Vec::new());
        };
        let blocked = s.holds_removed() && s.is_member(&self.me.user());
        let tip = s.tip;
        let mut ops: Vec<(Queued, AcceptedOp)> = Vec::with_capacity(queued.len());
        for q in queued {
            // A damaged record is found and fetched again elsewhere; here it only cannot be sent.
            ops.extend(s.table.op(&self.store, &q.op)?.map(|op| (*q, op)));
        }
        // Until the relay has our last commit, its readers are in the epoch before it.
        let last_commit = ops
            .iter()
            .rposition(|(_, op)| op.header().kind() == Some(Kind::Commit));
        let mut groups: Vec<Group> = Vec::new();
        for (at, (q, op)) in ops.iter().enumerate() {
            let h = op.header();
            if blocked && !h.is_control() {
                continue;
            }
            let unsent_commit_follows =
                h.is_control() && last_commit.is_some_and(|last| at <= last);
            let genesis = h.kind() == Some(Kind::Genesis);
            let epoch = if genesis {
                EpochId::genesis(space)
            } else if unsent_commit_follows {
                h.epoch
            } else {
                tip
            };
            let bytes = op.encode();
            let fits = |list: &[(Queued, Vec<u8>)]| {
                list.iter().map(|(_, b)| b.len()).sum::<usize>() + bytes.len()
                    <= ENVELOPE_OPS_BYTES_MAX
            };
            match groups.last_mut() {
                Some((scope, of, list)) if *scope == h.scope && *of == epoch && fits(list) => {
                    list.push((*q, bytes));
                }
                _ => groups.push((h.scope, epoch, vec![(*q, bytes)])),
            }
        }
        let mut puts = Vec::with_capacity(groups.len());
        for (scope, epoch, list) in groups {
            let (ops, bytes): (Vec<Queued>, Vec<Vec<u8>>) = list.into_iter().unzip();
            let sealed = Sealed::Ops(bytes.into_iter().map(ByteVec::from).collect());
            if let Some(request) = self.seal_under(space, scope, &epoch, &sealed)? {
                puts.push(Put { ops, request });
            }
        }
        Ok(puts)
    }

    /// Seals accepted ops of anybody again, for the group as it is now.
    pub(crate) fn seal_again(
        &mut self,
        space: &SpaceId,
        ops: &BTreeSet<OpId>,
    ) -> Result<Vec<PutRequest>, StoreError> {
        let Some(s) = self.spaces.get(space) else {
            return Ok(Vec::new());
        };
        if s.holds_removed() {
            return Ok(Vec::new());
        }
        let mut by_scope: BTreeMap<Scope, Vec<(Hlc, Vec<u8>)>> = BTreeMap::new();
        for id in ops {
            if let Some(op) = s.table.op(&self.store, id)? {
                by_scope
                    .entry(op.header().scope)
                    .or_default()
                    .push((op.header().hlc, op.encode()));
            }
        }
        let mut puts = Vec::new();
        for (scope, mut list) in by_scope {
            list.sort_unstable();
            let mut rest = list.as_slice();
            while !rest.is_empty() {
                let mut bytes = 0;
                let fit = rest.iter().take_while(|(_, op)| {
                    bytes += op.len();
                    bytes <= ENVELOPE_OPS_BYTES_MAX
                });
                let (now, later) = rest.split_at(fit.count().max(1).min(rest.len()));
                let sealed = Sealed::Ops(
                    now.iter()
                        .map(|(_, op)| ByteVec::from(op.clone()))
                        .collect(),
                );
                puts.extend(self.seal_for(space, scope, &sealed)?);
                rest = later;
            }
        }
        Ok(puts)
    }

    /// Seals for the group as it is now.
    pub(crate) fn seal_for(
        &mut self,
        space: &SpaceId,
        scope: Scope,
        sealed: &Sealed,
    ) -> Result<Option<PutRequest>, StoreError> {
        let Some(tip) = self.spaces.get(space).map(|s| s.tip) else {
            return Ok(None);
        };
        self.seal_under(space, scope, &tip, sealed)
    }

    pub(crate) fn seal_under(
        &mut self,
        space: &SpaceId,
        scope: Scope,
        epoch: &EpochId,
        sealed: &Sealed,
    ) -> Result<Option<PutRequest>, StoreError> {
        let day = Day::of(self.now);
        let Some(s) = self.spaces.get(space) else {
            return Ok(None);
        };
        let (Some(keys), Some(generation)) =
            (s.keys.get(epoch), s.generation(&s.generation_of(epoch)))
        else {
            return Ok(None);
        };
        let writer = TagKey::derive(&generation.topic, &scope, day);
        let plain = codec::encode(sealed);
        let envelope = mls::envelope::seal(
            &SealKeys::new(keys, &scope),
            &writer.tag(),
            &plain,
            &mut self.rng,
        );
        let ttl_secs = match sealed {
            Sealed::Ops(_) => ENVELOPE_TTL_SECS,
            Sealed::Gossip(_) => GOSSIP_TTL_SECS,
        };
        Ok(envelope
            .ok()
            .map(|envelope| PutRequest::sign(writer.secret(), envelope, ttl_secs)))
    }
}

/// Ops that go into one envelope: where, under which epoch, and which.
type Group = (Scope, EpochId, Vec<(Queued, Vec<u8>)>);
