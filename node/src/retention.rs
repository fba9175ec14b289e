//! Epochs at rest: when each came here, and which are forgotten when (B6).

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use mls::{EpochKeys, stored};
use oplog::authority::Authority;
use oplog::mutants::{Mutant, on};
use oplog::store::{Direction, Store, StoreError, prefix_end};
use oplog::tuning::{Knob, tuned};
use oplog::{EpochId, SpaceId};
use rand_core::CryptoRng;

use crate::blobs::ChunkStore;
use crate::identity::NODE_TABLE;
use crate::node::Node;

/// Snapshots kept of the branch this device is on.
const SNAPSHOTS_MAX: u64 = 8;
/// Snapshots kept of other branches.
const SIDE_SNAPSHOTS_MAX: u64 = 4;
/// How long snapshots are kept, that of the present epoch aside, in milliseconds: 7 days.
const SNAPSHOT_AGE_MS_MAX: u64 = 7 * 86_400_000;
/// How long roots are kept, in milliseconds: as long as relays keep what they open, 30 days.
const ROOT_AGE_MS_MAX: u64 = 30 * 86_400_000;

/// Most epochs entered before some are forgotten without waiting for the tick.
pub(crate) const EPOCHS_NEW_MAX: usize = 8;

impl<S: Store, C: ChunkStore, R: CryptoRng> Node<S, C, R> {
    /// Notes that an epoch's state and root are here from now on.
    pub(crate) fn note_entered(&mut self, space: &SpaceId, epoch: &EpochId) {
        let at = self.time_of(space, epoch);
        self.store
            .put(NODE_TABLE, &epoch_row(space, epoch), &at.to_be_bytes());
    }

    /// When an epoch was entered that is entered now, in milliseconds. A clock that is years behind
    /// would else make its keys old the moment it is right again: a commit is later than all it names.
    pub(crate) fn time_of(&self, space: &SpaceId, epoch: &EpochId) -> u64 {
        let commit = self.spaces.get(space).and_then(|s| {
            let record = s.authority.epoch(epoch)?;
            s.log.dag().node(&record.commit)
        });
        let begun = commit.map(|node| node.op.header().hlc.to_wall());
        self.now.max(begun.unwrap_or(self.now)).as_ms()
    }

    /// Forgets snapshots beyond the newest few of each branch, and what is past its age. Nothing is
    /// read before there is something to forget: every tick asks.
    pub(crate) fn expire_epochs(&mut self, space: &SpaceId) -> Result<(), StoreError> {
        let now = self.now.as_ms();
        if self.spaces.get(space).is_none_or(|s| now < s.epochs_due) {
            return Ok(());
        }
        let here = match stored::list(&self.store, space) {
            Ok(here) => here,
            Err(stored::StoredError::Store(source)) => return Err(source),
            Err(stored::StoredError::Mls(_)) => return Ok(()),
        };
        let entered = entered(&self.store, space)?;
        let Some(s) = self.spaces.get(space) else {
            return Ok(());
        };
        let own: BTreeSet<EpochId> = s.authority.epochs().chain(&s.tip).into_iter().collect();
        let number = |id: &EpochId| s.authority.epoch(id).map_or(0, |record| record.number);
        let since = |id: &EpochId| entered.get(id).copied().unwrap_or(now);
        let aged = |id: &EpochId, max: u64| now.saturating_sub(since(id)) > max;
        // The highest first: what is lower on a branch is needed only where another begins.
        let mut states: Vec<EpochId> = here
            .iter()
            .filter(|e| e.has_state)
            .map(|e| e.epoch)
            .collect();
        states.sort_by_key(|id| core::cmp::Reverse((number(id), since(id), *id)));
        let (on_branch, aside): (Vec<EpochId>, Vec<EpochId>) =
            states.iter().partition(|id| own.contains(*id));
        let most = |knob, chosen| usize::try_from(tuned(knob, chosen)).unwrap_or(usize::MAX);
        let beyond = on_branch.iter().skip(most(Knob::Snapshots, SNAPSHOTS_MAX));
        let beyond_aside = aside
            .iter()
            .skip(most(Knob::SideSnapshots, SIDE_SNAPSHOTS_MAX));
        let beyond = beyond.chain(beyond_aside);
        let mut snapshots: BTreeSet<EpochId> = beyond.copied().collect();
        snapshots.extend(states.iter().filter(|id| aged(id, SNAPSHOT_AGE_MS_MAX)));
        snapshots.remove(&s.tip);
        let roots = here.iter().filter(|e| e.has_root).map(|e| e.epoch);
        let roots: Vec<EpochId> = roots
            .filter(|id| *id != s.tip && aged(id, ROOT_AGE_MS_MAX))
            .collect();
        // What has no row has no age.
        let ages = |id: &EpochId, max: u64| {
            let since = entered.get(id).filter(|_| *id != s.tip)?;
            Some(since.saturating_add(max).saturating_add(1))
        };
        let states = states.iter().filter(|id| !snapshots.contains(*id));
        let states = states.filter_map(|id| ages(id, SNAPSHOT_AGE_MS_MAX));
        let kept = here.iter().filter(|e| e.has_root).map(|e| e.epoch);
        let kept = kept.filter(|id| !roots.contains(id));
        let kept = kept.filter_map(|id| ages(&id, ROOT_AGE_MS_MAX));
        let due = states.chain(kept).min().unwrap_or(u64::MAX);
        for id in snapshots.iter().filter(|_| !on(Mutant::StateKept)) {
            stored::erase_state(&mut self.store, space, id);
        }
        for id in &roots {
            stored::erase_root(&mut self.store, space, id);
        }
        if let Some(s) = self.spaces.get_mut(space) {
            s.epochs_due = due;
            s.epochs_new = 0;
            for id in &roots {
                s.keys.remove(id);
            }
        }
        Ok(())
    }
}

/// Loads the keys of every epoch this device was in and whose root is kept.
///
/// The log is not asked: where it is damaged, these keys open what mends it.
pub(crate) fn load_keys(
    store: &impl Store,
    space: &SpaceId,
) -> Result<BTreeMap<EpochId, EpochKeys>, StoreError> {
    let ids = entered(store, space)?.into_keys();
    let keys = ids.filter_map(|id| {
        let root = stored::load_root(store, space, &id)?;
        Some((id, EpochKeys::new(&root)))
    });
    Ok(keys.collect())
}

/// The epochs that this device ever had the keys of, whatever the log holds, and since when.
fn entered(store: &impl Store, space: &SpaceId) -> Result<BTreeMap<EpochId, u64>, StoreError> {
    let prefix = epoch_rows(space);
    let mut entered = BTreeMap::new();
    store.scan(
        NODE_TABLE,
        &prefix,
        &prefix_end(&prefix),
        Direction::Forward,
        &mut |key, value| {
            let id = key.get(prefix.len()..).and_then(|id| id.try_into().ok());
            let since = value.try_into().map_or(0, u64::from_be_bytes);
            entered.extend(id.map(|id| (EpochId::from_bytes(id), since)));
            ControlFlow::Continue(())
        },
    )?;
    Ok(entered)
}

fn epoch_row(space: &SpaceId, epoch: &EpochId) -> Vec<u8> {
    [epoch_rows(space).as_slice(), epoch.as_bytes()].concat()
}

fn epoch_rows(space: &SpaceId) -> Vec<u8> {
    [b"epoch/".as_slice(), space.as_bytes()].concat()
}
