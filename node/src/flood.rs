//! The arrival bucket (A20): what one device sends unasked is taken at a bounded pace.
//!
//! 240 ops a minute, 5,000 at once. What is beyond is not refused: it waits in rows and is taken in
//! its order as the bucket fills. Whether an op is accepted never depends on it. What we asked for
//! (a backlog, envelopes by id, bundles, imports) and what we wrote is not slowed.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use oplog::store::{Direction, Store, StoreError, Table, prefix_end};
use oplog::{DeviceId, SignedOp, SpaceId, SpaceNo, VerifiedOp};
use rand_core::CryptoRng;

use crate::blobs::ChunkStore;
use crate::node::Node;

/// Ops that wait. A rebuild may drop them: cursors go too, and all is fetched again.
const SLOWED: Table = Table("slowed");
/// One op's share of the pace, in milliseconds: 240 a minute.
const OP_MS: u64 = 250;
/// How far a device may be ahead of the pace, in milliseconds: 5,000 ops at once.
const BURST_MS: u64 = 5_000 * OP_MS;
/// Most ops that wait in one Space; beyond that they are dropped, and members give them again.
const SLOWED_OPS_MAX: usize = 10_000;
/// Most bytes of ops that wait in one Space.
const SLOWED_BYTES_MAX: usize = 32 * 1024 * 1024;

/// Whether ops are held to the pace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pace {
    /// We asked for them.
    Free,
    /// They came of themselves.
    Slowed,
}

/// The buckets of one Space.
#[derive(Debug, Default)]
pub(crate) struct Flood {
    /// When each device will be back on pace, in milliseconds; on it already when not listed.
    due: BTreeMap<DeviceId, u64>,
    /// Devices of which ops wait: what follows waits behind.
    waiting: BTreeSet<DeviceId>,
    /// How many ops wait; `None` until they were counted.
    count: Option<usize>,
    bytes: usize,
}

impl Flood {
    /// Takes a place in a device's bucket, if there is one.
    fn take(&mut self, device: &DeviceId, now: u64) -> bool {
        let due = self.due.get(device).copied();
        let due = due.filter(|due| is_ahead(*due, now)).unwrap_or(now);
        let next = due.saturating_add(OP_MS);
        let fits = next.saturating_sub(now) <= BURST_MS;
        if fits {
            self.due.insert(*device, next);
        }
        fits
    }
}

/// Whether a device that is back on pace at `due` is ahead of it. Nobody is ahead by more than a burst: then
/// this device's clock was set back, and it would take nothing in until it is there again.
const fn is_ahead(due: u64, now: u64) -> bool {
    due > now && due - now <= BURST_MS
}

impl<S: Store, C: ChunkStore, R: CryptoRng> Node<S, C, R> {
    /// Returns the ops that are on pace; the others wait.
    pub(crate) fn pace(
        &mut self,
        space: &SpaceId,
        ops: Vec<VerifiedOp>,
    ) -> Result<Vec<VerifiedOp>, StoreError> {
        let now = self.now.as_ms();
        let own = self.me.device_id();
        self.count_slowed(space)?;
        let mut on_pace = Vec::with_capacity(ops.len());
        for op in ops {
            let device = op.header().device;
            let Some(s) = self.spaces.get_mut(space) else {
                return Ok(on_pace);
            };
            // Strangers cost acceptance next to nothing, and have no bucket that could grow.
            let known = device != own && s.view.device(&device).is_some();
            let flood = &mut s.flood;
            if !known || (!flood.waiting.contains(&device) && flood.take(&device, now)) {
                on_pace.push(op);
                continue;
            }
            let count = flood.count.unwrap_or(0);
            if count >= SLOWED_OPS_MAX || flood.bytes + op.size() > SLOWED_BYTES_MAX {
                tracing::debug!(op = %op.id().short(), "dropped: its device sends too much");
                continue;
            }
            flood.waiting.insert(device);
            let key = row(s.no, op.header().hlc, &op.id());
            if self.store.get(SLOWED, &key)?.is_none() {
                flood.count = Some(count + 1);
                flood.bytes += op.size();
                self.store.put(SLOWED, &key, &op.encode());
            }
        }
        Ok(on_pace)
    }

    /// At every tick: takes in what waited, as far as the pace allows.
    pub(crate) fn take_slowed(&mut self, space: &SpaceId) -> Result<(), StoreError> {
        let now = self.now.as_ms();
        self.count_slowed(space)?;
        let Some(s) = self.spaces.get_mut(space) else {
            return Ok(());
        };
        s.flood.due.retain(|_, due| is_ahead(*due, now));
        if s.flood.count == Some(0) {
            return Ok(());
        }
        let no = s.no;
        let mut ready = Vec::new();
        let mut still = BTreeSet::new();
        for (key, bytes) in self.slowed_rows(no)? {
            let op = SignedOp::decode(&bytes).ok();
            let Some(s) = self.spaces.get_mut(space) else {
                return Ok(());
            };
            if let Some(op) = &op {
                let device = op.header().device;
                if still.contains(&device) || !s.flood.take(&device, now) {
                    still.insert(device);
                    continue;
                }
            }
            s.flood.count = s.flood.count.map(|count| count.saturating_sub(1));
            s.flood.bytes = s.flood.bytes.saturating_sub(bytes.len());
            self.store.delete(SLOWED, &key);
            ready.extend(op.map(|op| op.encode()));
        }
        if let Some(s) = self.spaces.get_mut(space) {
            s.flood.waiting = still;
        }
        self.take_ops(space, ready).map(|_| ())
    }

    fn slowed_rows(&self, no: SpaceNo) -> Result<Vec<SlowedRow>, StoreError> {
        let prefix = no.0.to_be_bytes();
        let mut rows = Vec::new();
        self.store.scan(
            SLOWED,
            &prefix,
            &prefix_end(&prefix),
            Direction::Forward,
            &mut |key, value| {
                rows.push((key.to_vec(), value.to_vec()));
                ControlFlow::Continue(())
            },
        )?;
        Ok(rows)
    }

    /// Once a run: what waits since the last one.
    fn count_slowed(&mut self, space: &SpaceId) -> Result<(), StoreError> {
        let Some(no) = self
            .spaces
            .get(space)
            .filter(|s| s.flood.count.is_none())
            .map(|s| s.no)
        else {
            return Ok(());
        };
        let rows = self.slowed_rows(no)?;
        let Some(s) = self.spaces.get_mut(space) else {
            return Ok(());
        };
        s.flood.count = Some(rows.len());
        s.flood.bytes = rows.iter().map(|(_, bytes)| bytes.len()).sum();
        s.flood.waiting = rows
            .iter()
            .filter_map(|(_, bytes)| SignedOp::decode(bytes).ok())
            .map(|op| op.header().device)
            .collect();
        Ok(())
    }
}

/// Its key, and the op.
type SlowedRow = (Vec<u8>, Vec<u8>);

/// In the order of their times, hence parents first.
fn row(no: SpaceNo, hlc: oplog::Hlc, id: &oplog::OpId) -> Vec<u8> {
    [
        no.0.to_be_bytes().as_slice(),
        &hlc.as_raw().to_be_bytes(),
        id.as_bytes(),
    ]
    .concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::blobs::MemChunks;
    use crate::identity::Identity;
    use oplog::store::MemStore;
    use oplog::{Authoring, Timestamp};
    use rand_chacha::ChaCha20Rng;
    use rand_core::SeedableRng;

    const START: Timestamp = Timestamp::from_ms(1_767_225_600_000);

    #[test]
    fn a_bucket_holds_5000_and_fills_by_240_a_minute() {
        let mut flood = Flood::default();
        let device = DeviceId::from_bytes([1; 32]);
        let taken =
            |flood: &mut Flood, now| (0..6_000).filter(|_| flood.take(&device, now)).count();
        assert_eq!(taken(&mut flood, 1_000_000), 5_000);
        assert_eq!(taken(&mut flood, 1_000_000), 0);
        assert_eq!(taken(&mut flood, 1_060_000), 240);
        let other = DeviceId::from_bytes([2; 32]);
        assert!(flood.take(&other, 1_060_000), "each device has its own");
        assert_eq!(taken(&mut flood, 9_000_000), 5_000);
    }

    #[test]
    fn a_clock_that_was_set_back_leaves_nobody_without_a_bucket() {
        let mut flood = Flood::default();
        let device = DeviceId::from_bytes([1; 32]);
        assert!(flood.take(&device, 9_000_000_000));
        let taken = (0..6_000).filter(|_| flood.take(&device, 1_000_000));
        assert_eq!(taken.count(), 5_000);
    }

    #[test]
    fn what_is_too_much_waits_on_disk_and_is_taken_in_its_order() {
        let mut rng = ChaCha20Rng::seed_from_u64(1);
        let author = Identity::generate("Mallory", START, &mut rng);
        let key = author.device.clone();
        let (user, device) = (author.user(), author.device_id());
        let reader = Identity::generate("Alice", START, &mut rng);
        let mut node = Node::create(MemStore::new(), MemChunks::new(), rng, author, START).unwrap();
        let space = node.create_space("Club").unwrap();
        // Somebody else's device now reads what Mallory sends.
        node.me = reader;
        let ops: Vec<VerifiedOp> = (0..5u64)
            .map(|n| {
                let header = Authoring::genesis(user, device, START.plus_ms(n));
                let op = SignedOp::sign_raw(header, n.to_be_bytes().to_vec(), &key);
                op.verify().unwrap()
            })
            .collect();
        let ids: Vec<_> = ops.iter().map(|op| op.id()).collect();
        let full = START.as_ms() + BURST_MS - 2 * OP_MS;
        node.spaces
            .get_mut(&space)
            .unwrap()
            .flood
            .due
            .insert(device, full);
        let on_pace = node.pace(&space, ops.clone()).unwrap();
        assert_eq!(
            on_pace.iter().map(|op| op.id()).collect::<Vec<_>>(),
            ids[..2]
        );
        // The same again, after a restart: what waits is known, and waits once.
        node.store.commit().unwrap();
        node.reload().unwrap();
        assert_eq!(node.pace(&space, ops[2..].to_vec()).unwrap(), []);
        let waiting = |node: &mut Node<MemStore, MemChunks, ChaCha20Rng>| {
            let rows = node.slowed_rows(SpaceNo(1)).unwrap();
            rows.iter()
                .map(|(_, bytes)| SignedOp::decode(bytes).unwrap().id())
                .collect::<Vec<_>>()
        };
        assert_eq!(waiting(&mut node), ids[2..]);
        let full = START.as_ms() + BURST_MS - OP_MS;
        node.spaces
            .get_mut(&space)
            .unwrap()
            .flood
            .due
            .insert(device, full);
        node.take_slowed(&space).unwrap();
        assert_eq!(waiting(&mut node), ids[3..]);
        node.now = START.plus_ms(BURST_MS);
        node.take_slowed(&space).unwrap();
        assert_eq!(waiting(&mut node), []);
    }
}
