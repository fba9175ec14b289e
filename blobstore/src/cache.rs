//! Which chunks to let go when there are too many: least recently used first, never what is held.
//!
//! Kept for sure is what a live op refers to and what is pinned (B17); the budget is for the
//! rest, such as what this node carries for others or has looked at and lost interest in.
//! Decides only; [`crate::ChunkStore`] keeps and removes.
//!
//! # Invariants
//! - A held chunk is never given up by [`CachePolicy::evict`].
//! - After `evict`, what is not held has at most the budget.
//! - The same calls in the same order give the same answers.

use std::collections::{BTreeMap, BTreeSet};

use oplog::{BlobId, OpId};

/// Why a chunk must stay.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Holder {
    /// A live op refers to its blob.
    Op(OpId),
    /// A person asked to keep the blob with this manifest.
    Pin(BlobId),
}

/// The order in which chunks were last used, and who holds which.
#[derive(Clone, Debug)]
pub struct CachePolicy {
    budget_bytes: u64,
    chunks: BTreeMap<BlobId, Use>,
    /// Chunks that nobody holds, least recently used first.
    loose: BTreeMap<u64, BlobId>,
    loose_bytes: u64,
    held_bytes: u64,
    held: BTreeMap<Holder, BTreeSet<BlobId>>,
    /// How many holders each id has; also of chunks that are not here yet.
    holders: BTreeMap<BlobId, u32>,
    clock: u64,
}

#[derive(Clone, Copy, Debug)]
struct Use {
    len: u64,
    at: u64,
}

impl CachePolicy {
    /// Begins empty, with this many bytes for chunks that nobody holds.
    #[must_use]
    pub const fn new(budget_bytes: u64) -> Self {
        Self {
            budget_bytes,
            chunks: BTreeMap::new(),
            loose: BTreeMap::new(),
            loose_bytes: 0,
            held_bytes: 0,
            held: BTreeMap::new(),
            holders: BTreeMap::new(),
            clock: 0,
        }
    }

    /// Takes note that a chunk of `len` sealed bytes was kept or used: it is now the last to go.
    pub fn used(&mut self, id: BlobId, len: u64) {
        self.forget(&id);
        self.clock += 1;
        let used = Use {
            len,
            at: self.clock,
        };
        self.chunks.insert(id, used);
        self.count(id, used);
    }

    /// Takes note that a chunk is gone from the store. Its holders stay, for when it comes back.
    pub fn forget(&mut self, id: &BlobId) {
        if let Some(used) = self.chunks.remove(id) {
            self.uncount(id, used);
        }
    }

    /// Adds chunks to what a holder holds, here or not yet.
    pub fn hold(&mut self, holder: Holder, chunks: impl IntoIterator<Item = BlobId>) {
        for id in chunks {
            if self.held.entry(holder).or_default().insert(id) {
                self.recount(id, |holders| {
                    *holders.entry(id).or_default() += 1;
                });
            }
        }
    }

    /// Ends a hold, because the op is no longer live or the pin was lifted. Returns the chunks that
    /// now nobody holds: only these may be deleted elsewhere (A7).
    pub fn release(&mut self, holder: Holder) -> Vec<BlobId> {
        let chunks = self.held.remove(&holder).unwrap_or_default();
        let mut freed = Vec::new();
        for id in chunks {
            self.recount(id, |holders| {
                if let Some(count) = holders.get_mut(&id) {
                    *count -= 1;
                    if *count == 0 {
                        holders.remove(&id);
                    }
                }
            });
            if !self.is_held(&id) {
                freed.push(id);
            }
        }
        freed
    }

    /// Gives up the least recently used chunks that nobody holds, until the rest is within the
    /// budget. The caller removes them from the store.
    #[must_use = "the chunks are still in the store"]
    pub fn evict(&mut self) -> Vec<BlobId> {
        let mut gone = Vec::new();
        while self.loose_bytes > self.budget_bytes {
            let Some((_, id)) = self.loose.first_key_value().map(|(at, id)| (*at, *id)) else {
                break;
            };
            self.forget(&id);
            gone.push(id);
        }
        gone
    }

    /// Sets another budget in bytes; takes effect at the next [`CachePolicy::evict`].
    pub const fn set_budget(&mut self, budget_bytes: u64) {
        self.budget_bytes = budget_bytes;
    }

    /// Returns whether anybody holds this chunk.
    #[must_use]
    pub fn is_held(&self, id: &BlobId) -> bool {
        self.holders.contains_key(id)
    }

    /// Returns the bytes of chunks that are here and held. No budget bounds them: the caller stops
    /// fetching when the disk runs low (`docs/storage.md`).
    #[must_use]
    pub const fn held_bytes(&self) -> u64 {
        self.held_bytes
    }

    /// Returns the bytes of chunks that are here and that nobody holds.
    #[must_use]
    pub const fn loose_bytes(&self) -> u64 {
        self.loose_bytes
    }

    /// Changes the holders of a chunk and moves it between the two sums.
    fn recount(&mut self, id: BlobId, change: impl FnOnce(&mut BTreeMap<BlobId, u32>)) {
        let used = self.chunks.get(&id).copied();
        if let Some(used) = used {
            self.uncount(&id, used);
        }
        change(&mut self.holders);
        if let Some(used) = used {
            self.count(id, used);
        }
    }

    fn count(&mut self, id: BlobId, used: Use) {
        if self.is_held(&id) {
            self.held_bytes += used.len;
        } else {
            self.loose_bytes += used.len;
            self.loose.insert(used.at, id);
        }
    }

    fn uncount(&mut self, id: &BlobId, used: Use) {
        if self.is_held(id) {
            self.held_bytes -= used.len;
        } else {
            self.loose_bytes -= used.len;
            self.loose.remove(&used.at);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn id(n: u8) -> BlobId {
        BlobId::of_sealed(&[n])
    }

    fn op(n: u8) -> Holder {
        Holder::Op(OpId::of_header(&[n]))
    }

    #[test]
    fn the_least_recently_used_goes_first() {
        let mut cache = CachePolicy::new(30);
        for n in 0..3 {
            cache.used(id(n), 10);
        }
        assert!(cache.evict().is_empty());
        cache.used(id(0), 10);
        cache.used(id(3), 10);
        assert_eq!(cache.evict(), [id(1)]);
        cache.set_budget(10);
        assert_eq!(cache.evict(), [id(2), id(0)]);
        assert_eq!(cache.loose_bytes(), 10);
    }

    #[test]
    fn what_is_held_stays_and_costs_no_budget() {
        let mut cache = CachePolicy::new(10);
        cache.hold(op(1), [id(0), id(1)]); // before they are here
        cache.hold(Holder::Pin(id(9)), [id(1)]);
        for n in 0..3 {
            cache.used(id(n), 10);
        }
        assert!(cache.evict().is_empty());
        assert_eq!((cache.held_bytes(), cache.loose_bytes()), (20, 10));
        // Chunk 1 is still pinned, so the op's end frees chunk 0 alone.
        assert_eq!(cache.release(op(1)), [id(0)]);
        assert_eq!(cache.evict(), [id(0)]);
        assert_eq!(cache.release(Holder::Pin(id(9))), [id(1)]);
        assert!(cache.release(op(1)).is_empty(), "released twice");
    }

    #[test]
    fn holding_twice_is_holding_once() {
        let mut cache = CachePolicy::new(0);
        cache.hold(op(1), [id(0)]);
        cache.hold(op(1), [id(0)]);
        assert_eq!(cache.release(op(1)), [id(0)]);
        assert!(!cache.is_held(&id(0)));
    }

    #[derive(Clone, Debug)]
    enum Step {
        Used(u8, u64),
        Forget(u8),
        Hold(u8, u8),
        Release(u8),
        Evict,
    }

    fn arb_step() -> impl Strategy<Value = Step> {
        prop_oneof![
            (0..12_u8, 1..50_u64).prop_map(|(n, len)| Step::Used(n, len)),
            (0..12_u8).prop_map(Step::Forget),
            (0..4_u8, 0..12_u8).prop_map(|(h, n)| Step::Hold(h, n)),
            (0..4_u8).prop_map(Step::Release),
            Just(Step::Evict),
        ]
    }

    proptest! {
        /// Against a model that keeps plain lists and adds up from scratch.
        #[test]
        fn sums_and_promises_hold_after_any_steps(steps in prop::collection::vec(arb_step(), 0..80)) {
            let mut cache = CachePolicy::new(60);
            let mut here: Vec<(u8, u64)> = Vec::new(); // least recently used first
            let mut holds: BTreeSet<(u8, u8)> = BTreeSet::new();
            for step in steps {
                match step {
                    Step::Used(n, len) => {
                        cache.used(id(n), len);
                        here.retain(|(m, _)| *m != n);
                        here.push((n, len));
                    }
                    Step::Forget(n) => {
                        cache.forget(&id(n));
                        here.retain(|(m, _)| *m != n);
                    }
                    Step::Hold(h, n) => {
                        cache.hold(op(h), [id(n)]);
                        holds.insert((h, n));
                    }
                    Step::Release(h) => {
                        let before: BTreeSet<u8> = holds.iter().map(|(_, n)| *n).collect();
                        holds.retain(|(o, _)| *o != h);
                        let after: BTreeSet<u8> = holds.iter().map(|(_, n)| *n).collect();
                        let freed: BTreeSet<BlobId> = before.difference(&after).map(|n| id(*n)).collect();
                        let told: BTreeSet<BlobId> = cache.release(op(h)).into_iter().collect();
                        prop_assert_eq!(told, freed);
                    }
                    Step::Evict => {
                        let held = |n: u8| holds.iter().any(|(_, m)| *m == n);
                        let mut loose: u64 = here.iter().filter(|(n, _)| !held(*n)).map(|(_, l)| l).sum();
                        let mut expected = Vec::new();
                        here.retain(|(n, len)| {
                            let goes = !held(*n) && loose > 60;
                            if goes {
                                loose -= len;
                                expected.push(id(*n));
                            }
                            !goes
                        });
                        prop_assert_eq!(cache.evict(), expected);
                    }
                }
                let held = |n: u8| holds.iter().any(|(_, m)| *m == n);
                let sum = |which: bool| here.iter().filter(|(n, _)| held(*n) == which).map(|(_, l)| l).sum::<u64>();
                prop_assert_eq!(cache.held_bytes(), sum(true));
                prop_assert_eq!(cache.loose_bytes(), sum(false));
            }
        }
    }
}
