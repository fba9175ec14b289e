//! Ops that were refused: by which rule and when, so that the answer outlives the process.
//!
//! Only verdicts are noted, never what merely this delivery is to blame for: a bad signature
//! beside somebody's op says nothing about that op. The ops themselves are kept beside, as far as
//! there is room, so that an outsider can judge them too; nothing else ever reads them.

use std::ops::ControlFlow;

use oplog::mutants::{Mutant, on};
use oplog::store::{Direction, Store, StoreError, prefix_end};
use oplog::{OpId, Rule, SpaceId, SpaceNo, Timestamp};
use rand_core::CryptoRng;

use crate::blobs::ChunkStore;
use crate::error::CommandError;
use crate::identity::QUEUE_TABLE;
use crate::node::Node;

/// Most refused ops remembered of one Space; the oldest goes first.
const REFUSALS_MAX: u64 = 1_000;
/// Most bytes of refused ops kept of one Space; the oldest go first.
const REFUSED_BYTES_MAX: u64 = 8 * 1024 * 1024;

/// An op that was refused when it came, and is not kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefusedOp {
    /// Which.
    pub op: OpId,
    /// The rule's id.
    pub rule: &'static str,
    /// The rule in words.
    pub text: &'static str,
    /// When it was refused here.
    pub when: Timestamp,
    /// How long the op was, in bytes; 0 when nobody had it any more.
    len: u32,
}

/// What is kept of refused ops, in bytes.
struct Kept {
    /// All of them together.
    bytes: u64,
    /// The first that is kept.
    from: u64,
}

impl<S: Store, C: ChunkStore, R: CryptoRng> Node<S, C, R> {
    /// Returns the ops of a Space that were refused, newest first.
    ///
    /// # Errors
    /// When the Space is not here, or storage fails.
    pub fn refused_ops(
        &self,
        space: SpaceId,
        limit: usize,
    ) -> Result<Vec<RefusedOp>, CommandError> {
        let prefix = row(self.known_space(&space)?.no, None);
        let mut list = Vec::new();
        self.store.scan(
            QUEUE_TABLE,
            &prefix,
            &prefix_end(&prefix),
            Direction::Backward,
            &mut |_, value| {
                if list.len() >= limit {
                    return ControlFlow::Break(());
                }
                list.extend(read(value));
                ControlFlow::Continue(())
            },
        )?;
        Ok(list)
    }

    /// Returns a refused op as it came, as far as it is kept.
    ///
    /// # Errors
    /// When the Space is not here, or storage fails.
    pub(crate) fn refused_bytes(
        &self,
        space: &SpaceId,
        op: &OpId,
    ) -> Result<Option<Vec<u8>>, CommandError> {
        let no = self.known_space(space)?.no;
        let Some(at) = self.store.get(QUEUE_TABLE, &by_op_row(no, op))? else {
            return Ok(None);
        };
        Ok(self
            .store
            .get(QUEUE_TABLE, &[bytes_row(no, None), at].concat())?)
    }

    /// Returns why an op was refused, as far as that is remembered.
    pub(crate) fn refusal(
        &self,
        space: &SpaceId,
        op: &OpId,
    ) -> Result<Option<RefusedOp>, StoreError> {
        let Some(no) = self.spaces.get(space).map(|s| s.no) else {
            return Ok(None);
        };
        let Some(at) = self.store.get(QUEUE_TABLE, &by_op_row(no, op))? else {
            return Ok(None);
        };
        let value = self.store.get(QUEUE_TABLE, &[row(no, None), at].concat())?;
        Ok(value.as_deref().and_then(read))
    }

    /// Notes a verdict, once, and keeps the op as it came.
    pub(crate) fn note_refusal(
        &mut self,
        space: &SpaceId,
        op: &OpId,
        rule: Rule,
        bytes: &[u8],
    ) -> Result<(), StoreError> {
        let Some(no) = self.spaces.get(space).map(|s| s.no) else {
            return Ok(());
        };
        let noted = self.store.get(QUEUE_TABLE, &by_op_row(no, op))?.is_some();
        if noted || on(Mutant::RefusalsForgotten) {
            return Ok(());
        }
        let prefix = row(no, None);
        let mut last = None;
        self.store.scan(
            QUEUE_TABLE,
            &prefix,
            &prefix_end(&prefix),
            Direction::Backward,
            &mut |key, _| {
                last = key.get(prefix.len()..).and_then(|n| n.try_into().ok());
                ControlFlow::Break(())
            },
        )?;
        let next = last.map_or(0, |last| u64::from_be_bytes(last).saturating_add(1));
        let mut kept = self.kept_now(no)?;
        if let Some(old) = next.checked_sub(REFUSALS_MAX) {
            let key = row(no, Some(old));
            if let Some(gone) = self.store.get(QUEUE_TABLE, &key)?.as_deref().and_then(read) {
                self.store.delete(QUEUE_TABLE, &by_op_row(no, &gone.op));
            }
            while kept.from <= old {
                self.forget_bytes(no, &mut kept)?;
            }
            self.store.delete(QUEUE_TABLE, &key);
        }
        let len = u32::try_from(bytes.len()).unwrap_or(0);
        let value = [
            self.now.as_ms().to_be_bytes().as_slice(),
            op.as_bytes(),
            &len.to_be_bytes(),
            rule.id().as_bytes(),
        ]
        .concat();
        self.store.put(QUEUE_TABLE, &row(no, Some(next)), &value);
        self.store
            .put(QUEUE_TABLE, &by_op_row(no, op), &next.to_be_bytes());
        if len > 0 {
            self.store
                .put(QUEUE_TABLE, &bytes_row(no, Some(next)), bytes);
        }
        kept.bytes += u64::from(len);
        while kept.bytes > REFUSED_BYTES_MAX && kept.from <= next {
            self.forget_bytes(no, &mut kept)?;
        }
        let value = [kept.bytes.to_be_bytes(), kept.from.to_be_bytes()].concat();
        self.store.put(QUEUE_TABLE, &kept_row(no), &value);
        Ok(())
    }

    /// Lets go of the oldest refused op that is kept.
    fn forget_bytes(&mut self, no: SpaceNo, kept: &mut Kept) -> Result<(), StoreError> {
        let noted = self.store.get(QUEUE_TABLE, &row(no, Some(kept.from)))?;
        let len = noted.as_deref().and_then(read).map_or(0, |noted| noted.len);
        self.store
            .delete(QUEUE_TABLE, &bytes_row(no, Some(kept.from)));
        kept.bytes = kept.bytes.saturating_sub(u64::from(len));
        kept.from += 1;
        Ok(())
    }

    fn kept_now(&self, no: SpaceNo) -> Result<Kept, StoreError> {
        let value = self.store.get(QUEUE_TABLE, &kept_row(no))?;
        let read = |value: &[u8]| {
            let (bytes, from) = value.split_first_chunk::<8>()?;
            Some(Kept {
                bytes: u64::from_be_bytes(*bytes),
                from: u64::from_be_bytes(from.try_into().ok()?),
            })
        };
        let nothing = Kept { bytes: 0, from: 0 };
        Ok(value.as_deref().and_then(read).unwrap_or(nothing))
    }
}

fn row(no: SpaceNo, at: Option<u64>) -> Vec<u8> {
    let at = at.map(u64::to_be_bytes);
    let at = at.as_ref().map_or(&[][..], |at| at);
    [b"refused/".as_slice(), &no.0.to_be_bytes(), at].concat()
}

fn bytes_row(no: SpaceNo, at: Option<u64>) -> Vec<u8> {
    let at = at.map(u64::to_be_bytes);
    let at = at.as_ref().map_or(&[][..], |at| at);
    [b"refused-op/".as_slice(), &no.0.to_be_bytes(), at].concat()
}

fn kept_row(no: SpaceNo) -> Vec<u8> {
    [b"refused-kept/".as_slice(), &no.0.to_be_bytes()].concat()
}

fn by_op_row(no: SpaceNo, op: &OpId) -> Vec<u8> {
    [b"refusal/".as_slice(), &no.0.to_be_bytes(), op.as_bytes()].concat()
}

fn read(value: &[u8]) -> Option<RefusedOp> {
    let (when, rest) = value.split_first_chunk::<8>()?;
    let (op, rest) = rest.split_first_chunk::<32>()?;
    let (len, rule) = rest.split_first_chunk::<4>()?;
    let rule = Rule::ALL.iter().find(|r| r.id().as_bytes() == rule)?;
    Some(RefusedOp {
        op: OpId::from_bytes(*op),
        rule: rule.id(),
        text: rule.text(),
        when: Timestamp::from_ms(u64::from_be_bytes(*when)),
        len: u32::from_be_bytes(*len),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::blobs::MemChunks;
    use crate::identity::Identity;
    use oplog::store::MemStore;
    use rand_chacha::ChaCha20Rng;
    use rand_core::SeedableRng;

    #[test]
    fn the_newest_thousand_are_remembered_each_once() {
        let now = Timestamp::from_ms(1_767_225_600_000);
        let mut rng = ChaCha20Rng::seed_from_u64(1);
        let me = Identity::generate("Alice", now, &mut rng);
        let mut node = Node::create(MemStore::new(), MemChunks::new(), rng, me, now).unwrap();
        let space = node.create_space("Club").unwrap();
        let op = |n: u64| OpId::of_header(&n.to_be_bytes());
        for n in 0..REFUSALS_MAX + 5 {
            node.note_refusal(&space, &op(n), Rule::R4, b"op").unwrap();
            node.note_refusal(&space, &op(n), Rule::R6, b"").unwrap();
        }
        let all = node.refused_ops(space, usize::MAX).unwrap();
        assert_eq!(all.len() as u64, REFUSALS_MAX);
        assert_eq!((all[0].op, all[0].rule), (op(REFUSALS_MAX + 4), "R4"));
        assert_eq!(all.last().unwrap().op, op(5));
        assert_eq!(node.refusal(&space, &op(4)).unwrap(), None);
        assert_eq!(node.refusal(&space, &op(5)).unwrap().unwrap().when, now);
    }
    #[test]
    fn eight_mebibytes_of_them_are_kept_the_newest() {
        let now = Timestamp::from_ms(1_767_225_600_000);
        let mut rng = ChaCha20Rng::seed_from_u64(1);
        let me = Identity::generate("Alice", now, &mut rng);
        let mut node = Node::create(MemStore::new(), MemChunks::new(), rng, me, now).unwrap();
        let space = node.create_space("Club").unwrap();
        let op = |n: u64| OpId::of_header(&n.to_be_bytes());
        let large = vec![7; 1024 * 1024];
        for n in 0..20 {
            node.note_refusal(&space, &op(n), Rule::R4, &large).unwrap();
        }
        let kept = |node: &Node<_, _, _>, n| node.refused_bytes(&space, &op(n)).unwrap();
        assert_eq!(kept(&node, 11), None);
        assert_eq!(kept(&node, 12), Some(large.clone()));
        // Small ones take the place of few, and with the record of a verdict its op goes too.
        for n in 20..REFUSALS_MAX + 15 {
            node.note_refusal(&space, &op(n), Rule::R4, b"small")
                .unwrap();
        }
        assert_eq!(kept(&node, 14), None);
        assert_eq!(kept(&node, 15), Some(large));
        assert_eq!(kept(&node, REFUSALS_MAX + 14), Some(b"small".to_vec()));
        let all = node.refused_ops(space, usize::MAX).unwrap();
        assert_eq!(all.len() as u64, REFUSALS_MAX);
        let bytes = node.kept_now(node.spaces[&space].no).unwrap().bytes;
        assert_eq!(bytes, 5 * 1024 * 1024 + 5 * (REFUSALS_MAX - 5));
    }
}
