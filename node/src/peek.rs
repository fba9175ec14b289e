//! For the simulator's checkers: what a device could do with the keys that it has.
//!
//! Reads only, and tells about secrets without telling them.

use std::collections::BTreeMap;

use oplog::authority::EpochRecord;
use oplog::store::{Store, StoreError};
use oplog::{DeviceId, Digest, EpochId, Header, Hlc, OpId, Payload, SpaceId, UserId};
use rand_core::CryptoRng;

use crate::blobs::ChunkStore;
use crate::message::Sealed;
use crate::node::Node;
use crate::space::Space;

/// What is kept of a group's secrets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Kept {
    /// Secrets of key packages.
    pub key_packages: usize,
    /// How many of them may be needed: this device waits to be let in, or another branch may let it in.
    pub joining: usize,
    /// Epochs whose state can be loaded.
    pub states: usize,
    /// Epochs whose root is not the one that their commit declares.
    pub wrong_roots: Vec<EpochId>,
    /// Epochs whose root is here.
    pub roots: usize,
}

/// Who is in a group, with the hashes of their key packages.
pub type Group = BTreeMap<DeviceId, (UserId, Digest)>;

impl<S: Store, C: ChunkStore, R: CryptoRng> Node<S, C, R> {
    /// Returns whether this device can open an envelope and finds content in it.
    pub fn peek_opens_content(&self, space: &SpaceId, envelope: &[u8]) -> bool {
        let Some(s) = self.spaces.get(space) else {
            return false;
        };
        s.scopes()
            .iter()
            .filter(|scope| scope.channel().is_some())
            .filter_map(|scope| mls::envelope::open_in(envelope, scope, s.keys.values()).ok())
            .any(|plain| {
                let sealed = oplog::codec::decode("envelope content", &plain);
                matches!(sealed, Ok(Sealed::Ops(_)))
            })
    }

    /// Returns the epoch this device is in, its parent, and who is in the group.
    pub fn peek_group(&self, space: &SpaceId) -> Option<(EpochId, Option<EpochId>, Group)> {
        let s = self.spaces.get(space)?;
        let record = s.authority.epochs().epoch(&s.tip)?;
        Some((record.id, record.parent, (*record.roster).clone()))
    }

    /// Returns whose answer this device waits for: of the device that added it again on the branch that
    /// counts, lately, whose keys did not come.
    pub fn peek_waits_for(&self, space: &SpaceId) -> Option<DeviceId> {
        let s = self.spaces.get(space)?;
        let me = self.me.device_id();
        let waits = s.lacks_keys(&self.me.user(), &me)
            && s.readded_lately(&s.canonical, &me, Hlc::from_wall(self.now));
        let record = added_last(s, &s.canonical, &me);
        Some(record.filter(|_| waits)?.device)
    }

    /// Returns the devices that have not shown yet whether they have what the disk has lost here.
    pub fn peek_may_have_lost(&self, space: &SpaceId) -> Vec<DeviceId> {
        let me = self.me.device_id();
        let Some(s) = self.spaces.get(space).filter(|s| !s.log.lost().is_empty()) else {
            return Vec::new();
        };
        let shown = |device| {
            let only = core::iter::once(device);
            s.repair.nobody_has_lost(only, self.now.as_ms(), 0)
        };
        let others = s.roster().filter(|device| *device != me);
        others.filter(|device| !shown(*device)).collect()
    }

    /// Returns the epoch that put this device into the group it is in, and the device that made it.
    pub fn peek_let_in(&self, space: &SpaceId) -> Option<(EpochId, DeviceId)> {
        let s = self.spaces.get(space)?;
        let record = added_last(s, &s.tip, &self.me.device_id())?;
        Some((record.id, record.device))
    }

    /// Returns who was in the group of an epoch.
    pub fn peek_roster(&self, space: &SpaceId, epoch: &EpochId) -> Option<Group> {
        let s = self.spaces.get(space)?;
        let record = s.authority.epochs().epoch(epoch)?;
        Some((*record.roster).clone())
    }

    /// Returns where the chain of epochs leads that this device takes for canonical.
    pub fn peek_canonical(&self, space: &SpaceId) -> Option<EpochId> {
        Some(self.spaces.get(space)?.canonical)
    }

    /// Returns the device that founded the Space, and its epoch.
    pub fn peek_founder(&self, space: &SpaceId) -> Option<(DeviceId, EpochId)> {
        let epochs = self.spaces.get(space)?.authority.epochs();
        let first = epochs.genesis()?;
        Some((epochs.epoch(first)?.device, *first))
    }

    /// Returns what is kept of a group's secrets.
    ///
    /// # Errors
    /// When storage fails.
    pub fn peek_kept(&self, space: &SpaceId) -> Result<Kept, StoreError> {
        let stored = |error| match error {
            mls::stored::StoredError::Store(error) => error,
            mls::stored::StoredError::Mls(error) => StoreError::Damaged {
                what: error.to_string(),
            },
        };
        let mut kept = Kept {
            joining: self
                .joins
                .get(space)
                .map_or(0, |join| join.packages().count()),
            ..Kept::default()
        };
        for digest in mls::stored::list_key_packages(&self.store, space).map_err(stored)? {
            let there = mls::stored::load_key_package(&self.store, space, &digest);
            kept.key_packages += usize::from(there.map_err(stored)?.is_some());
        }
        for epoch in mls::stored::list(&self.store, space).map_err(stored)? {
            let state = mls::stored::load_state(&self.store, space, &epoch.epoch);
            kept.states += usize::from(state.map_err(stored)?.is_some());
            let Some(root) = mls::stored::load_root(&self.store, space, &epoch.epoch) else {
                continue;
            };
            kept.roots += 1;
            let declared = self.spaces.get(space).and_then(|s| {
                let record = s.authority.epochs().epoch(&epoch.epoch)?;
                Some(record.root_commit)
            });
            if declared.is_some_and(|declared| declared != root.commitment()) {
                kept.wrong_roots.push(epoch.epoch);
            }
        }
        Ok(kept)
    }

    /// Returns whether an op was refused here, as far as that is remembered.
    ///
    /// # Errors
    /// When storage fails.
    pub fn peek_refused(&self, space: &SpaceId, op: &OpId) -> Result<bool, StoreError> {
        Ok(self.refusal(space, op)?.is_some())
    }

    /// Returns how many relays have taken an own op.
    ///
    /// # Errors
    /// When storage fails.
    pub fn peek_taken(&self, space: &SpaceId, op: &OpId) -> Result<usize, StoreError> {
        self.taken_by(space, op)
    }

    /// Returns the newest op of this device's control lane, and its header.
    pub fn peek_own_last(&self, space: &SpaceId) -> Option<(OpId, Header)> {
        let own = self.me.device_id();
        let lane = self.spaces.get(space)?.log.dag().iter();
        let lane = lane.filter(|node| node.op.header().device == own);
        let last = lane.max_by_key(|node| node.op.header().seq)?;
        Some((last.op.id(), last.op.header().clone()))
    }

    /// Returns the last commit that this device made, and the epoch it followed.
    pub fn peek_own_commit(&self, space: &SpaceId) -> Option<(OpId, EpochId)> {
        let s = self.spaces.get(space)?;
        let own = self.me.device_id();
        let commits = s.log.dag().iter().filter(|node| {
            let h = node.op.header();
            h.device == own && h.kind() == Some(oplog::Kind::Commit)
        });
        let last = commits.max_by_key(|node| node.op.header().seq)?;
        match last.op.payload() {
            Ok(Some(Payload::Commit(commit))) => Some((last.op.id(), commit.parent)),
            _ => None,
        }
    }
}

/// The record of the epoch that added a device last, on the branch to this one.
fn added_last<'a>(s: &'a Space, tip: &EpochId, device: &DeviceId) -> Option<&'a EpochRecord> {
    let epochs = s.authority.epochs();
    let chain = epochs.chain(tip);
    let mut records = chain.iter().rev().filter_map(|id| epochs.epoch(id));
    records.find(|record| record.delta.added.iter().any(|e| e.device == *device))
}
