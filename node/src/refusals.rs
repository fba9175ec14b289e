//! Ops that were refused: by which rule and when, so that the answer outlives the process.
//!
//! Only verdicts are noted, never what merely this delivery is to blame for: a bad signature
//! beside somebody's op says nothing about that op. Ops themselves are not kept.

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

    /// Notes a verdict, once.
    pub(crate) fn note_refusal(
        &mut self,
        space: &SpaceId,
        op: &OpId,
        rule: Rule,
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
        if let Some(old) = next.checked_sub(REFUSALS_MAX) {
            let key = row(no, Some(old));
            if let Some(gone) = self.store.get(QUEUE_TABLE, &key)?.as_deref().and_then(read) {
                self.store.delete(QUEUE_TABLE, &by_op_row(no, &gone.op));
            }
            self.store.delete(QUEUE_TABLE, &key);
        }
        let value = [
            self.now.as_ms().to_be_bytes().as_slice(),
            op.as_bytes(),
            rule.id().as_bytes(),
        ]
        .concat();
        self.store.put(QUEUE_TABLE, &row(no, Some(next)), &value);
        self.store
            .put(QUEUE_TABLE, &by_op_row(no, op), &next.to_be_bytes());
        Ok(())
    }
}

fn row(no: SpaceNo, at: Option<u64>) -> Vec<u8> {
    let at = at.map(u64::to_be_bytes);
    let at = at.as_ref().map_or(&[][..], |at| at);
    [b"refused/".as_slice(), &no.0.to_be_bytes(), at].concat()
}

fn by_op_row(no: SpaceNo, op: &OpId) -> Vec<u8> {
    [b"refusal/".as_slice(), &no.0.to_be_bytes(), op.as_bytes()].concat()
}

fn read(value: &[u8]) -> Option<RefusedOp> {
    let (when, rest) = value.split_first_chunk::<8>()?;
    let (op, rule) = rest.split_first_chunk::<32>()?;
    let rule = Rule::ALL.iter().find(|r| r.id().as_bytes() == rule)?;
    Some(RefusedOp {
        op: OpId::from_bytes(*op),
        rule: rule.id(),
        text: rule.text(),
        when: Timestamp::from_ms(u64::from_be_bytes(*when)),
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
            node.note_refusal(&space, &op(n), Rule::R4).unwrap();
            node.note_refusal(&space, &op(n), Rule::R6).unwrap();
        }
        let all = node.refused_ops(space, usize::MAX).unwrap();
        assert_eq!(all.len() as u64, REFUSALS_MAX);
        assert_eq!((all[0].op, all[0].rule), (op(REFUSALS_MAX + 4), "R4"));
        assert_eq!(all.last().unwrap().op, op(5));
        assert_eq!(node.refusal(&space, &op(4)).unwrap(), None);
        assert_eq!(node.refusal(&space, &op(5)).unwrap().unwrap().when, now);
    }
}
