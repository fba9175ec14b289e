//! Everything that acts on one op: one scan, then one read each.

use core::ops::ControlFlow;

use oplog::store::{Direction, Store, StoreError, prefix_end};
use oplog::{AcceptedOp, Kind, OpId};

use super::Bodies;
use super::index::{self, Entry, REL};
use super::judge::Verdict;
use super::order::OrderKey;
use super::standing::Standing;
use super::view::ContentView;

/// The rows that act on one op.
pub(super) struct Relations(Vec<(OrderKey, Entry)>);

/// An op that counts, with the verdict that says how.
pub(super) struct Counted {
    pub(super) key: OrderKey,
    pub(super) op: AcceptedOp,
    pub(super) verdict: Verdict,
}

impl Relations {
    /// Returns whether some op of this kind acts on the target, counted or not.
    pub(super) fn has(&self, kind: Kind) -> bool {
        self.0.iter().any(|(_, entry)| entry.kind == kind)
    }
}

impl<S: Store + ?Sized, B: Bodies + ?Sized, A: Standing + ?Sized> ContentView<'_, S, B, A> {
    pub(super) fn relations(&self, target: &OpId) -> Result<Relations, StoreError> {
        let start = index::target_start(self.prefix, target);
        let mut rows = Vec::new();
        let each = &mut |key: &[u8], value: &[u8]| {
            // A row that cannot be read is derived state gone bad: a rebuild's business.
            let tail = key.get(key.len().saturating_sub(OrderKey::LEN)..);
            let row = tail
                .and_then(OrderKey::from_bytes)
                .zip(Entry::from_bytes(value));
            rows.extend(row);
            ControlFlow::Continue(())
        };
        self.store
            .scan(REL, &start, &prefix_end(&start), Direction::Forward, each)?;
        Ok(Relations(rows))
    }

    /// Returns the ops of these kinds that are accepted, by order key within each kind.
    pub(super) fn counted(
        &self,
        relations: &Relations,
        kinds: &[Kind],
    ) -> Result<Vec<Counted>, StoreError> {
        let mut out = Vec::new();
        for (key, entry) in &relations.0 {
            if !kinds.contains(&entry.kind) {
                continue;
            }
            let Some(op) = self.read(&key.id, &entry.at)? else {
                continue;
            };
            let verdict = self.judge.verdict(&op)?;
            if verdict.is_accepted() {
                out.push(Counted {
                    key: *key,
                    op,
                    verdict,
                });
            }
        }
        Ok(out)
    }
}
