//! The Space's MLS group on this device: founding it, following commits, forgetting old epochs.
//!
//! Until concurrent commits are healed by choosing a branch, a node keeps the one it merged,
//! reports the fork and commits no more. Making commits is in `commit`, sealing in `seal`.
//!
//! # Invariants
//! - A commit's MLS bytes are checked by `mls` before its epoch is entered, whoever sent it.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use mls::{EpochKeys, Expected, LocalDevice, Processed, cert_book, commit_aad, stored};
use oplog::authority::Authority;
use oplog::mutants::{Mutant, on};
use oplog::payload::{DeviceCert, Genesis, SpaceKind};
use oplog::store::{Direction, Store, StoreError, prefix_end};
use oplog::{
    AcceptedOp, Authoring, Digest, EpochId, Kind, OpId, Payload, Scope, SecretKey, Signature,
    SignedOp, SpaceId,
};
use rand_core::CryptoRng;

use crate::blobs::ChunkStore;
use crate::error::CommandError;
use crate::ingest::Outcome;
use crate::node::Node;
use crate::outbox::Queued;
use crate::space::{ROOT_AGE_MS_MAX, Space};
use crate::view::Notice;

/// Snapshots kept of the branch this device is on (B6).
const SNAPSHOTS_MAX: usize = 8;

impl<S: Store, C: ChunkStore, R: CryptoRng> Node<S, C, R> {
    pub(crate) fn local_device(&self) -> Result<LocalDevice, CommandError> {
        LocalDevice::new(self.me.cert.clone(), self.me.mls.clone()).map_err(group_error)
    }

    /// Founds a Space: the group, Genesis, the first channels.
    pub(crate) fn create_space(&mut self, name: &str) -> Result<SpaceId, CommandError> {
        let me = self.local_device()?;
        let mut group_id = [0; 32];
        self.rng.fill_bytes(&mut group_id);
        let group_id = Digest::from_bytes(group_id);
        let epoch = mls::found(&me, &group_id, &mut self.rng).map_err(group_error)?;
        let payload = Payload::Genesis(Genesis {
            name: name.trim().to_owned(),
            kind: SpaceKind::Community,
            cert: self.me.cert.clone(),
            group_id,
            root_commit: epoch.root.commitment(),
            owner_removable: false,
            leaf: epoch
                .roster()
                .as_map()
                .get(&self.me.device_id())
                .map_or(Digest::ZERO, |(_, leaf)| *leaf),
        });
        let bytes = payload.encode();
        Payload::decode(Kind::Genesis, &bytes).map_err(|e| CommandError::Invalid {
            what: e.to_string(),
        })?;
        let header = Authoring::genesis(self.me.user(), self.me.device_id(), self.now);
        let op = SignedOp::sign(header, &payload, &self.me.device);
        let space = op.space();
        let queued = Queued {
            hlc: op.header().hlc,
            op: op.id(),
        };
        let fresh = self.new_space(space);
        self.spaces.insert(space, fresh);
        let genesis = EpochId::genesis(&space);
        self.enter_epoch(&space, genesis, &epoch)?;
        let verified = op.verify().map_err(|e| CommandError::Invalid {
            what: e.to_string(),
        })?;
        let mut outcome = Outcome::default();
        self.accept_all(&space, vec![verified], &mut outcome)?;
        if let Some((_, rule, why)) = outcome.refused.into_iter().next() {
            self.spaces.remove(&space);
            return Err(CommandError::NotAllowed { rule, why });
        }
        self.enqueue(&space, &queued);
        for channel in Self::first_channels() {
            self.write(
                &space,
                Scope::Control,
                Payload::ChannelCreate(channel),
                Vec::new(),
            )?;
        }
        Ok(space)
    }

    /// Moves this device to an epoch whose state it holds: keys, snapshot, topic.
    pub(crate) fn enter_epoch(
        &mut self,
        space: &SpaceId,
        id: EpochId,
        epoch: &mls::Epoch,
    ) -> Result<(), StoreError> {
        stored::save_epoch(&mut self.store, space, &id, epoch, &mut self.rng);
        let now = self.now.as_ms();
        self.store.put(
            crate::identity::NODE_TABLE,
            &epoch_row(space, &id),
            &now.to_be_bytes(),
        );
        let keys = EpochKeys::new(&epoch.root);
        let topic = keys.topic();
        let Some(s) = self.spaces.get_mut(space) else {
            return Ok(());
        };
        s.keys.insert(id, keys);
        s.tip = id;
        s.stuck = None;
        let generation = s.generation_of(&id);
        // A generation is named by the topic key of the epoch that began it; others inherit it.
        if generation == id || s.generations.is_empty() {
            self.keep_topic(space, generation, topic);
        }
        self.save_space(space);
        self.tags_changed = true;
        self.notify(Notice::Epoch {
            space: *space,
            epoch: id,
        });
        Ok(())
    }

    pub(crate) fn load_state(
        &self,
        space: &SpaceId,
        epoch: &EpochId,
    ) -> Result<Option<mls::GroupState>, CommandError> {
        stored::load_state(&self.store, space, epoch).map_err(|error| match error {
            stored::StoredError::Store(source) => CommandError::Store { source },
            stored::StoredError::Mls(error) => group_error(error),
        })
    }

    /// Follows an accepted commit, if it goes on from the epoch we are in.
    pub(crate) fn follow_commit(
        &mut self,
        space: &SpaceId,
        op: &AcceptedOp,
    ) -> Result<(), StoreError> {
        let id = EpochId::of_commit(&op.id());
        let Some(s) = self.spaces.get(space) else {
            return Ok(());
        };
        if s.keys.contains_key(&id) || op.header().device == self.me.device_id() {
            return Ok(());
        }
        let Ok(Some(Payload::Commit(commit))) = op.payload() else {
            return Ok(());
        };
        if commit.parent != s.tip {
            if s.keys.contains_key(&commit.parent) && s.is_forked() {
                self.notify(Notice::Fork {
                    space: *space,
                    parent: commit.parent,
                });
            }
            return Ok(());
        }
        let state = match self.load_state(space, &commit.parent) {
            Ok(Some(state)) => state,
            Ok(None) => return Ok(()),
            Err(CommandError::Store { source }) => return Err(source),
            Err(error) => return self.stick(space, op.id(), &error.to_string()),
        };
        let certs = s.certs();
        let aad = commit_aad(&op.header().binding(), &commit.parent);
        let expected = Expected {
            aad: &aad,
            device: op.header().device,
            delta: &commit.delta,
            root_commit: commit.root_commit,
            roster_hash: commit.roster_hash,
        };
        match mls::process(&state, &commit.mls, &expected, &certs) {
            Ok(Processed::Next(epoch)) => self.enter_epoch(space, id, &epoch),
            // We are out: the last epoch we were in stays, for what we may still read.
            Ok(Processed::Removed { .. }) => Ok(()),
            Err(error) => self.stick(space, op.id(), &error.to_string()),
        }
    }

    /// The commit's keys cannot be followed: its author's fault. Reported; re-adding is to come.
    fn stick(&mut self, space: &SpaceId, commit: OpId, why: &str) -> Result<(), StoreError> {
        if let Some(s) = self.spaces.get_mut(space) {
            s.stuck = Some((commit, why.to_owned()));
        }
        self.notify(Notice::Refused {
            space: *space,
            op: commit,
            rule: "K1",
            why: why.to_owned(),
        });
        Ok(())
    }

    /// Forgets snapshots beyond the newest few and roots beyond their age (B6).
    pub(crate) fn expire_snapshots(&mut self, space: &SpaceId) {
        let Some(s) = self.spaces.get(space) else {
            return;
        };
        let mut chain = vec![s.tip];
        while let Some(parent) = chain
            .last()
            .and_then(|e| s.authority.epoch(e))
            .and_then(|r| r.parent)
        {
            chain.push(parent);
        }
        let now = self.now.as_ms();
        let mut dropped = Vec::new();
        for (age, epoch) in chain.iter().enumerate() {
            if age >= SNAPSHOTS_MAX && !on(Mutant::StateKept) {
                stored::erase_state(&mut self.store, space, epoch);
            }
            let entered = self
                .store
                .get(crate::identity::NODE_TABLE, &epoch_row(space, epoch))
                .ok()
                .flatten();
            let entered = entered
                .and_then(|v| v.try_into().ok())
                .map_or(now, u64::from_be_bytes);
            if age > 0 && now.saturating_sub(entered) > ROOT_AGE_MS_MAX {
                stored::erase_root(&mut self.store, space, epoch);
                dropped.push(*epoch);
            }
        }
        if let Some(s) = self.spaces.get_mut(space) {
            for epoch in dropped {
                s.keys.remove(&epoch);
            }
        }
    }
}

impl Space {
    /// The certificates that accepted ops carry, as the group's leaves name them.
    pub(crate) fn certs(&self) -> BTreeMap<Digest, DeviceCert> {
        let certs: Vec<_> = self.view.devices().map(|device| device.cert).collect();
        cert_book(certs.iter().map(|cert| &**cert))
    }
}

#[expect(clippy::needless_pass_by_value, reason = "shaped for map_err")]
pub(crate) fn group_error(error: mls::Error) -> CommandError {
    CommandError::Group {
        why: error.to_string(),
    }
}

/// When this device entered an epoch.
/// When this device entered an epoch. These rows also say which epochs it was in, whatever the log holds.
fn epoch_row(space: &SpaceId, epoch: &EpochId) -> Vec<u8> {
    [epoch_rows(space).as_slice(), epoch.as_bytes()].concat()
}

fn epoch_rows(space: &SpaceId) -> Vec<u8> {
    [b"epoch/".as_slice(), space.as_bytes()].concat()
}

/// Loads the keys of every epoch this device was in and whose root is kept.
///
/// The log is not asked: where it is damaged, these keys open what mends it.
pub(crate) fn load_keys(
    store: &impl Store,
    space: &SpaceId,
) -> Result<BTreeMap<EpochId, EpochKeys>, StoreError> {
    let prefix = epoch_rows(space);
    let mut entered = Vec::new();
    store.scan(
        crate::identity::NODE_TABLE,
        &prefix,
        &prefix_end(&prefix),
        Direction::Forward,
        &mut |key, _| {
            let id = key.get(prefix.len()..).and_then(|id| id.try_into().ok());
            entered.extend(id.map(EpochId::from_bytes));
            ControlFlow::Continue(())
        },
    )?;
    let keys = entered.into_iter().filter_map(|id| {
        let root = stored::load_root(store, space, &id)?;
        Some((id, EpochKeys::new(&root)))
    });
    Ok(keys.collect())
}

/// An identity key's signature for a device that is in no roster (A1).
pub(crate) fn identity_signature(identity: &SecretKey, header: &oplog::Header) -> Signature {
    identity.sign(&oplog::payload::DeviceAdd::identity_message(
        &header.binding(),
    ))
}
