//! Set reconciliation: who lacks what, in bytes that grow with the difference (negentropy, RBSR).
//!
//! A thin, bounded shell over the `negentropy` crate, used between client and relay over
//! (arrival hour, envelope id) and between peers over (HLC milliseconds, op id). It finds ids;
//! fetching what they name is up to the caller.

use negentropy::{Id, Negentropy, NegentropyStorageVector};
use oplog::Digest;

use crate::wire::NEG_FRAME_BYTES_MAX;

/// Most items one reconciliation may cover (B12).
pub const NEG_ITEMS_MAX: usize = 200_000;
/// Most rounds; a difference that needs more is reconciled in narrower ranges.
pub const NEG_ROUNDS_MAX: u32 = 64;

/// A reconciliation that cannot go on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NegError {
    /// More items than [`NEG_ITEMS_MAX`].
    #[error("{0} items are too many to reconcile at once")]
    TooMany(usize),
    /// More rounds than [`NEG_ROUNDS_MAX`].
    #[error("the reconciliation does not end")]
    Endless,
    /// The frame is too long or not negentropy.
    #[error("malformed reconciliation frame: {0}")]
    Malformed(String),
}

/// The sorted items of one side.
#[derive(Clone, Debug)]
pub struct Items(NegentropyStorageVector);

impl Items {
    /// Collects items: a coarse time and an id each. Order and duplicates do not matter.
    ///
    /// # Errors
    /// When there are too many.
    pub fn new(items: impl IntoIterator<Item = (u64, Digest)>) -> Result<Self, NegError> {
        let mut storage = NegentropyStorageVector::new();
        for (count, (time, id)) in items.into_iter().enumerate() {
            if count >= NEG_ITEMS_MAX {
                return Err(NegError::TooMany(count + 1));
            }
            storage
                .insert(time, Id::from_byte_array(*id.as_bytes()))
                .map_err(malformed)?;
        }
        storage.seal().map_err(malformed)?;
        Ok(Self(storage))
    }
}

/// What one frame led to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NegStep {
    /// Send this and wait for the answer.
    Send(Vec<u8>),
    /// Both sets are known to each other.
    Done {
        /// What the other side lacks, sorted.
        have: Vec<Digest>,
        /// What this side lacks, sorted.
        need: Vec<Digest>,
    },
}

/// The side that asks. It alone learns the difference.
#[derive(Debug)]
pub struct Reconciler {
    inner: Negentropy<'static, NegentropyStorageVector>,
    have: Vec<Id>,
    need: Vec<Id>,
    rounds: u32,
}

impl Reconciler {
    /// Begins, and returns the first frame.
    ///
    /// # Errors
    /// When the first frame cannot be built.
    pub fn start(items: Items) -> Result<(Self, Vec<u8>), NegError> {
        let mut inner = Negentropy::owned(items.0, frame_limit()).map_err(malformed)?;
        let frame = inner.initiate().map_err(malformed)?;
        let this = Self {
            inner,
            have: Vec::new(),
            need: Vec::new(),
            rounds: 0,
        };
        Ok((this, frame))
    }

    /// Takes the other side's answer.
    ///
    /// # Errors
    /// When the frame is malformed, or the rounds or the claimed difference exceed their limits.
    pub fn step(&mut self, frame: &[u8]) -> Result<NegStep, NegError> {
        check_frame(frame)?;
        self.rounds += 1;
        if self.rounds > NEG_ROUNDS_MAX {
            return Err(NegError::Endless);
        }
        let next = self
            .inner
            .reconcile_with_ids(frame, &mut self.have, &mut self.need)
            .map_err(malformed)?;
        let found = self.have.len().max(self.need.len());
        if found > 2 * NEG_ITEMS_MAX {
            return Err(NegError::TooMany(found));
        }
        Ok(match next {
            Some(frame) => NegStep::Send(frame),
            None => NegStep::Done {
                have: sorted(&self.have),
                need: sorted(&self.need),
            },
        })
    }
}

/// Answers one frame of the side that asks. Keeps nothing between rounds.
///
/// # Errors
/// When the frame is malformed.
pub fn answer(items: &Items, frame: &[u8]) -> Result<Vec<u8>, NegError> {
    check_frame(frame)?;
    Negentropy::borrowed(&items.0, frame_limit())
        .and_then(|mut n| n.reconcile(frame))
        .map_err(malformed)
}

const fn frame_limit() -> u64 {
    // One bucket of fingerprints may come on top of negentropy's own limit.
    NEG_FRAME_BYTES_MAX as u64 - 8 * 1024
}

fn check_frame(frame: &[u8]) -> Result<(), NegError> {
    if frame.is_empty() || frame.len() > NEG_FRAME_BYTES_MAX {
        return Err(NegError::Malformed(format!("{} bytes", frame.len())));
    }
    Ok(())
}

fn malformed(error: negentropy::Error) -> NegError {
    NegError::Malformed(error.to_string())
}

fn sorted(ids: &[Id]) -> Vec<Digest> {
    let mut out: Vec<Digest> = ids
        .iter()
        .map(|id| Digest::from_bytes(*id.as_bytes()))
        .collect();
    out.sort_unstable();
    out.dedup();
    out
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use oplog::hash::H;
    use proptest::prelude::*;

    use super::*;

    fn item(n: u32) -> (u64, Digest) {
        let id = H::new("t").field(&n.to_be_bytes()).finish();
        (u64::from(n % 97), Digest::from_bytes(id))
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        #[test]
        fn the_asking_side_learns_exactly_the_difference(
            sides in prop::collection::btree_map(0u32..5_000, 0u8..3, 0..800)
        ) {
            let side = |n: u8| -> BTreeMap<u32, (u64, Digest)> {
                sides.iter().filter(|(_, s)| **s == n || **s == 2).map(|(k, _)| (*k, item(*k))).collect()
            };
            let (a, b) = (side(0), side(1));
            let theirs = Items::new(b.values().copied()).unwrap();
            let (mut asker, mut frame) = Reconciler::start(Items::new(a.values().copied()).unwrap()).unwrap();
            let (have, need) = loop {
                match asker.step(&answer(&theirs, &frame).unwrap()).unwrap() {
                    NegStep::Send(next) => frame = next,
                    NegStep::Done { have, need } => break (have, need),
                }
            };
            let ids = |m: &BTreeMap<u32, (u64, Digest)>, other: &BTreeMap<u32, (u64, Digest)>| {
                let mut v: Vec<_> = m.iter().filter(|(k, _)| !other.contains_key(k)).map(|(_, v)| v.1).collect();
                v.sort();
                v
            };
            prop_assert_eq!(have, ids(&a, &b));
            prop_assert_eq!(need, ids(&b, &a));
        }

        #[test]
        fn any_frame_is_answered_or_refused(frame in prop::collection::vec(any::<u8>(), 0..400), v in any::<bool>()) {
            let mut frame = frame;
            if v { frame.insert(0, 0x61); }
            let items = Items::new((0..200).map(item)).unwrap();
            let _ = answer(&items, &frame);
            let (mut asker, _) = Reconciler::start(items).unwrap();
            let _ = asker.step(&frame);
        }
    }

    #[test]
    fn too_many_items_are_refused() {
        let many = (0..=NEG_ITEMS_MAX as u64).map(|n| (n, Digest::ZERO));
        assert!(matches!(Items::new(many), Err(NegError::TooMany(_))));
    }
}
