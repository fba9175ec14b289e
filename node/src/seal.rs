//! Sealing ops for the group: which go into one envelope, and under which epoch.
//!
//! # Invariants
//! - No content is sealed for a group that holds somebody whom the Space removed.

use std::collections::{BTreeMap, BTreeSet};

use minicbor::bytes::ByteVec;
use mls::envelope::{Day, SealKeys, TagKey};
use net::wire::PutRequest;
use oplog::mutants::{Mutant, on};
use oplog::store::{Store, StoreError};
use oplog::{
    AcceptedOp, CONTENT_PAYLOAD_BYTES_MAX, CONTROL_PAYLOAD_BYTES_MAX, DeviceId, EpochId, Hlc, Kind,
    OP_BYTES_MAX, OpId, Scope, SignedOp, SpaceId, codec,
};
use rand_core::CryptoRng;

use crate::blobs::ChunkStore;
use crate::error::CommandError;
use crate::letters::Letter;
use crate::message::Sealed;
use crate::node::Node;
use crate::outbox::{ENVELOPE_TTL_SECS, Queued};
use crate::repair::GOSSIP_TTL_SECS;
use crate::space::Space;

/// Most bytes of ops in one envelope, so that it fits the 256 KiB bucket; a longer single op gets its own.
const ENVELOPE_OPS_BYTES_MAX: usize = 240 * 1024;

/// An envelope ready to be put, with the queued ops inside.
#[derive(Clone, Debug)]
pub(crate) struct Put {
    pub(crate) ops: Vec<Queued>,
    pub(crate) request: PutRequest,
}

/// An encoded op and its time.
type DatedOp = (Hlc, Vec<u8>);

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
        let blocked =
            s.holds_removed() && s.is_member(&self.me.user()) && !on(Mutant::SealedForRemoved);
        let tip = s.tip;
        let mut ops: Vec<(Queued, AcceptedOp)> = Vec::with_capacity(queued.len());
        let list = queued.iter().map(|q| q.op);
        for (q, op) in queued.iter().zip(sendable(s, &self.store, list)?) {
            ops.extend(op.map(|op| (*q, op)));
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
            let unsent_commit_follows = h.is_control()
                && last_commit.is_some_and(|last| at <= last)
                && !on(Mutant::CommitSealedAhead);
            let genesis = h.kind() == Some(Kind::Genesis);
            let epoch = if genesis {
                EpochId::genesis(space)
            } else if unsent_commit_follows {
                h.epoch
            } else {
                tip
            };
            // Damage took the keys of that epoch: whoever has the present ones takes it too.
            let epoch = if s.keys.contains_key(&epoch) {
                epoch
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

    /// Seals accepted ops of anybody again for the group as it is now, and control ops also for the
    /// epoch they were written in.
    ///
    /// Whoever missed a commit has no later key, so a commit sealed for anything but its own
    /// parent would never open there; what else the commit rests on goes the same way. And whoever
    /// came in later has no key of that epoch, and may have lost what came with their bundle.
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
        let mut lists: BTreeMap<(Scope, EpochId), Vec<DatedOp>> = BTreeMap::new();
        for op in sendable(s, &self.store, ops.iter().copied())?
            .into_iter()
            .flatten()
        {
            let h = op.header();
            let written_in = Some(h.epoch).filter(|e| h.is_control() && s.keys.contains_key(e));
            let epochs: BTreeSet<EpochId> = written_in.into_iter().chain([s.tip]).collect();
            for epoch in epochs {
                let list = lists.entry((h.scope, epoch)).or_default();
                list.push((h.hlc, op.encode()));
            }
        }
        self.seal_lists(space, lists)
    }

    /// Seals ops of others that wait here, for the group as it is now: whoever wrote them has lost them.
    pub(crate) fn seal_aside(
        &mut self,
        space: &SpaceId,
        device: &DeviceId,
        ops: &BTreeSet<OpId>,
    ) -> Result<Vec<PutRequest>, StoreError> {
        let Some(s) = self.spaces.get(space).filter(|s| !s.holds_removed()) else {
            return Ok(Vec::new());
        };
        let mut lists: BTreeMap<(Scope, EpochId), Vec<DatedOp>> = BTreeMap::new();
        for op in s.log.aside_of(device).filter(|op| ops.contains(&op.id())) {
            let h = op.header();
            let list = lists.entry((h.scope, s.tip)).or_default();
            list.push((h.hlc, op.encode()));
        }
        self.seal_lists(space, lists)
    }

    fn seal_lists(
        &mut self,
        space: &SpaceId,
        lists: BTreeMap<(Scope, EpochId), Vec<DatedOp>>,
    ) -> Result<Vec<PutRequest>, StoreError> {
        // Oldest first: each commit opens the next epoch to whoever lacked it.
        let mut lists: Vec<_> = lists.into_iter().collect();
        for (_, list) in &mut lists {
            list.sort_unstable();
        }
        lists.sort_by_key(|((scope, _), list)| (*scope, list.first().map(|(hlc, _)| *hlc)));
        let mut puts = Vec::new();
        for ((scope, epoch), list) in lists {
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
                puts.extend(self.seal_under(space, scope, &epoch, &sealed)?);
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
        let (Some(keys), Some(generation)) = (s.keys.get(epoch), s.generation_for(epoch)) else {
            return Ok(None);
        };
        let writer = TagKey::derive(&generation.topic, &scope, day);
        let keys = SealKeys::new(keys, &scope);
        Ok(self.seal_with(&keys, &writer, sealed))
    }

    /// Seals a letter for whoever was here in a generation (B5). `None` when its topic key is not here.
    pub(crate) fn seal_letter(
        &mut self,
        space: &SpaceId,
        generation: &EpochId,
        letter: Letter,
    ) -> Option<PutRequest> {
        let day = Day::of(self.now);
        let generation = self.spaces.get(space)?.generation(generation)?;
        let writer = TagKey::derive(&generation.topic, &Scope::Control, day);
        let keys = generation.letters.clone();
        self.seal_with(&keys, &writer, &Sealed::Letter(letter))
    }

    fn seal_with(
        &mut self,
        keys: &SealKeys,
        writer: &TagKey,
        sealed: &Sealed,
    ) -> Option<PutRequest> {
        let plain = codec::encode(sealed);
        let envelope = match mls::envelope::seal(keys, &writer.tag(), &plain, &mut self.rng) {
            Ok(envelope) => envelope,
            Err(error) => {
                // Every valid op fits (below), so this is a bug of ours: the health report says so.
                self.note_unsealed(&error);
                return None;
            }
        };
        let ttl_secs = match sealed {
            Sealed::Ops(_) | Sealed::Letter(_) => ENVELOPE_TTL_SECS,
            Sealed::Gossip(_) => GOSSIP_TTL_SECS,
        };
        Some(PutRequest::sign(writer.secret(), envelope, ttl_secs))
    }

    fn note_unsealed(&mut self, error: &mls::envelope::EnvelopeError) {
        let what = format!("something could not be sealed for the group: {error}");
        if !self.recovered.contains(&what) {
            self.recovered.push(what);
        }
    }
}

/// Ops that go into one envelope: where, under which epoch, and which.
type Group = (Scope, EpochId, Vec<(Queued, Vec<u8>)>);

/// Bytes around one op in an envelope's content: its type, two lists, the op's length.
const FRAMING_BYTES_MAX: usize = 16;

const _: () = assert!(
    OP_BYTES_MAX + FRAMING_BYTES_MAX <= mls::envelope::CONTENT_BYTES_MAX,
    "the longest valid op must fit an envelope"
);

/// Reads ops to send them, `None` for those that cannot be. A damaged record is found and fetched again
/// elsewhere. What builds on it waits for it: should it be gone for good, nobody could take that in.
fn sendable<S: Store>(
    s: &Space,
    store: &S,
    ops: impl Iterator<Item = OpId>,
) -> Result<Vec<Option<AcceptedOp>>, StoreError> {
    let mut read: Vec<(OpId, Option<AcceptedOp>)> = Vec::new();
    let mut unsent: BTreeSet<OpId> = s.log.lost().keys().copied().collect();
    for id in ops {
        let op = s.op(store, &id)?;
        if op.is_none() {
            unsent.insert(id);
        }
        read.push((id, op));
    }
    if unsent.is_empty() {
        return Ok(read.into_iter().map(|(_, op)| op).collect());
    }
    // Parents first, whatever order they were asked for in.
    let mut by_time: Vec<&(OpId, Option<AcceptedOp>)> = read.iter().collect();
    by_time.sort_by_key(|(id, op)| (op.as_ref().map(|op| op.header().hlc), *id));
    for (id, op) in by_time {
        let builds = |op: &AcceptedOp| op.header().refs().any(|id| unsent.contains(&id));
        if op.as_ref().is_some_and(builds) {
            unsent.insert(*id);
        }
    }
    let sends = |(id, op): (OpId, Option<AcceptedOp>)| op.filter(|_| !unsent.contains(&id));
    Ok(read.into_iter().map(sends).collect())
}

/// Refuses an own op that no envelope could carry, before anything is stored.
///
/// # Errors
/// When it is longer than any valid op.
pub(crate) fn check_fits(op: &SignedOp) -> Result<(), CommandError> {
    let header = op.header();
    let len = usize::try_from(header.payload_len).unwrap_or(usize::MAX);
    let max = if header.is_control() {
        CONTROL_PAYLOAD_BYTES_MAX
    } else {
        CONTENT_PAYLOAD_BYTES_MAX
    };
    if len > max {
        return Err(CommandError::TooLong { len, max });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use mls::{EpochKeys, EpochRoot};
    use oplog::{Authoring, DeviceId, Secret, SecretKey, Timestamp, UserId};
    use rand_chacha::ChaCha20Rng;
    use rand_core::SeedableRng;

    fn op(payload_len: usize) -> SignedOp {
        let device = SecretKey::from_seed(&[1; 32]);
        let user = UserId::from_bytes(device.public());
        let me = DeviceId::from_bytes(device.public());
        let header = Authoring::genesis(user, me, Timestamp::from_ms(1));
        SignedOp::sign_raw(header, vec![0; payload_len], &device)
    }

    #[test]
    fn the_longest_valid_op_fits_an_envelope_and_a_longer_one_is_refused_when_written() {
        let longest = op(CONTROL_PAYLOAD_BYTES_MAX);
        check_fits(&longest).unwrap();
        // As long as any op on the wire may be, whatever its header holds.
        let mut bytes = longest.encode();
        bytes.resize(OP_BYTES_MAX, 0);
        let content = codec::encode(&Sealed::Ops(vec![ByteVec::from(bytes)]));
        let root = EpochRoot::new(Secret::from_bytes([2; 32]));
        let keys = EpochKeys::new(&root);
        let writer = TagKey::derive(&keys.topic(), &Scope::Control, Day::from_number(1));
        let seal = SealKeys::new(&keys, &Scope::Control);
        let mut rng = ChaCha20Rng::seed_from_u64(1);
        let envelope = mls::envelope::seal(&seal, &writer.tag(), &content, &mut rng).unwrap();
        assert_eq!(envelope.len(), net::wire::ENVELOPE_BYTES_MAX);
        let refused = check_fits(&op(CONTROL_PAYLOAD_BYTES_MAX + 1)).unwrap_err();
        assert!(matches!(refused, CommandError::TooLong { .. }), "{refused}");
    }
}
