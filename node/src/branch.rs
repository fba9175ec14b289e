//! Which branch of the group's keys this device is on.
//!
//! Commits fork when people make them without having seen each other's. Which branch counts
//! is a pure function of the ops (`fold`, B5); what a device does about it is local and here.
//! It processes every commit whose parent's state it holds, on whatever branch, so that it can
//! read what is sealed there, and it stands on the last epoch of the canonical branch whose keys
//! it has. Own ops of a branch that it leaves are sent again, the same ops under other keys.
//!
//! # Invariants
//! - A commit's MLS bytes are checked by `mls` before its epoch is kept, whoever sent it.
//! - Where a device stands follows from the ops and from the keys it has. Nothing is latched.

use mls::{EpochKeys, Expected, LocalDevice, Processed, commit_aad, stored};
use oplog::authority::Authority;
use oplog::payload::Commit;
use oplog::store::{Store, StoreError};
use oplog::{AcceptedOp, EpochId, Kind, OpId, Payload, SpaceId};
use rand_core::CryptoRng;

use crate::blobs::ChunkStore;
use crate::error::CommandError;
use crate::group::group_error;
use crate::node::Node;
use crate::outbox::Queued;
use crate::retention::EPOCHS_NEW_MAX;
use crate::space::Space;
use crate::view::{Branch, Notice};

impl<S: Store, C: ChunkStore, R: CryptoRng> Node<S, C, R> {
    pub(crate) fn local_device(&self) -> Result<LocalDevice, CommandError> {
        LocalDevice::new(self.me.cert.clone(), self.me.mls.clone()).map_err(group_error)
    }

    /// Learns the epochs of newly accepted commits, and stands where all that is known leads.
    pub(crate) fn follow_commits(
        &mut self,
        space: &SpaceId,
        commits: Vec<EpochId>,
    ) -> Result<(), StoreError> {
        for epoch in &commits {
            let Some(s) = self.spaces.get(space) else {
                return Ok(());
            };
            let parent = s.authority.epoch(epoch).and_then(|record| record.parent);
            let siblings = parent.map_or(0, |id| s.authority.epochs().children(&id).len());
            if let Some(parent) = parent.filter(|_| siblings > 1) {
                self.notify(Notice::Fork {
                    space: *space,
                    parent,
                });
            }
        }
        for epoch in &commits {
            self.consider_letter(space, epoch);
        }
        self.learn_epochs(space, commits)?;
        self.stand_on_canonical(space)
    }

    /// Processes these commits where the state before them is here, and what follows on them.
    pub(crate) fn learn_epochs(
        &mut self,
        space: &SpaceId,
        mut commits: Vec<EpochId>,
    ) -> Result<(), StoreError> {
        while let Some(epoch) = commits.pop() {
            if self.learn_epoch(space, &epoch)?
                && let Some(s) = self.spaces.get(space)
            {
                commits.extend(s.authority.epochs().children(&epoch));
            }
        }
        Ok(())
    }

    /// Returns whether the epoch's keys are here now and were not before.
    fn learn_epoch(&mut self, space: &SpaceId, epoch: &EpochId) -> Result<bool, StoreError> {
        let Some(s) = self.spaces.get(space) else {
            return Ok(false);
        };
        if s.keys.contains_key(epoch) || s.unfollowable.contains_key(epoch) {
            return Ok(false);
        }
        let Some((op, commit)) = s.commit_of(epoch) else {
            return Ok(false);
        };
        // The state after an own commit was kept with it; nobody can process their own.
        if op.header().device == self.me.device_id() || !s.keys.contains_key(&commit.parent) {
            return Ok(false);
        }
        let state = match self.load_state(space, &commit.parent) {
            Ok(Some(state)) => state,
            Ok(None) => return Ok(false),
            Err(CommandError::Store { source }) => return Err(source),
            Err(error) => {
                self.cannot_follow(space, epoch, op.id(), &error.to_string());
                return Ok(false);
            }
        };
        let certs = self.spaces.get(space).map(Space::certs).unwrap_or_default();
        let aad = commit_aad(&op.header().binding(), &commit.parent);
        let expected = Expected {
            aad: &aad,
            device: op.header().device,
            delta: &commit.delta,
            root_commit: commit.root_commit,
            roster_hash: commit.roster_hash,
        };
        match mls::process(&state, &commit.mls, &expected, &certs) {
            Ok(Processed::Next(next)) => {
                self.keep_epoch(space, *epoch, &next);
                Ok(true)
            }
            // This branch goes on without us: what is public of it is in the fold.
            Ok(Processed::Removed { .. }) => Ok(false),
            Err(error) => {
                self.cannot_follow(space, epoch, op.id(), &error.to_string());
                Ok(false)
            }
        }
    }

    /// The commit's keys cannot be followed: its author's fault. Reported once.
    fn cannot_follow(&mut self, space: &SpaceId, epoch: &EpochId, commit: OpId, why: &str) {
        if let Some(s) = self.spaces.get_mut(space) {
            s.unfollowable.insert(*epoch, why.to_owned());
        }
        self.notify(Notice::Refused {
            space: *space,
            op: commit,
            rule: "K1",
            why: why.to_owned(),
        });
    }

    /// Keeps what belongs to an epoch: state, root, and the topic key if it begins a generation.
    pub(crate) fn keep_epoch(&mut self, space: &SpaceId, id: EpochId, epoch: &mls::Epoch) {
        stored::save_epoch(&mut self.store, space, &id, epoch, &mut self.rng);
        self.note_entered(space, &id);
        let keys = EpochKeys::new(&epoch.root);
        let topic = keys.topic();
        let Some(s) = self.spaces.get_mut(space) else {
            return;
        };
        s.keys.insert(id, keys);
        s.keys_are_new = true;
        s.epochs_due = 0;
        s.epochs_new += 1;
        self.tags_changed = true;
        let generation = s.generation_of(&id);
        // A generation is named by the topic key of the epoch that began it; others inherit it.
        if generation == id || s.generations.is_empty() {
            self.keep_topic(space, generation, topic);
        }
    }

    /// Keeps an epoch and stands on it: one's own commit, or the one that a Welcome led to.
    pub(crate) fn enter_epoch(&mut self, space: &SpaceId, id: EpochId, epoch: &mls::Epoch) {
        self.keep_epoch(space, id, epoch);
        self.stand_on(space, id);
    }

    /// Moves to the last epoch of the canonical branch whose keys are here, if that is elsewhere.
    pub(crate) fn stand_on_canonical(&mut self, space: &SpaceId) -> Result<(), StoreError> {
        let Some(s) = self.spaces.get(space) else {
            return Ok(());
        };
        if let Some(to) = s.reachable_tip().filter(|to| *to != s.tip) {
            let from = s.tip;
            self.stand_on(space, to);
            self.wrap_again(space, &from, &to)?;
        }
        // Somebody may make commits faster than ticks come.
        if self
            .spaces
            .get(space)
            .is_some_and(|s| s.epochs_new >= EPOCHS_NEW_MAX)
        {
            self.expire_epochs(space)?;
        }
        Ok(())
    }

    fn stand_on(&mut self, space: &SpaceId, id: EpochId) {
        let Some(s) = self.spaces.get_mut(space) else {
            return;
        };
        s.tip = id;
        s.epochs_due = 0;
        self.tags_changed = true;
        self.use_generation(space, &id);
        self.save_space(space);
        self.notify(Notice::Epoch {
            space: *space,
            epoch: id,
        });
    }

    /// Queues own ops of a branch that was left: whoever is on the other one, and never had the keys
    /// of this one, gets the same ops under keys that they have. Commits stay where they are.
    fn wrap_again(
        &mut self,
        space: &SpaceId,
        from: &EpochId,
        to: &EpochId,
    ) -> Result<(), StoreError> {
        let Some(s) = self.spaces.get(space) else {
            return Ok(());
        };
        let epochs = s.authority.epochs();
        if epochs.is_ancestor(from, to) {
            return Ok(());
        }
        let own = self.me.device_id();
        let mut left = Vec::new();
        for head in s.table.all_lanes(&self.store)? {
            if head.lane.device != own {
                continue;
            }
            for seq in (0..=head.seq).rev() {
                let mut on_branch = true;
                for id in s.table.at(&self.store, &head.lane, seq)? {
                    let Some(op) = s.op(&self.store, &id)? else {
                        continue;
                    };
                    let h = op.header();
                    on_branch &= !epochs.is_ancestor(&h.epoch, to);
                    if on_branch && h.kind() != Some(Kind::Commit) {
                        left.push(Queued { hlc: h.hlc, op: id });
                    }
                }
                if !on_branch {
                    break;
                }
            }
        }
        for queued in &left {
            self.enqueue_again(space, queued);
        }
        Ok(())
    }

    /// Learns what was accepted and not followed when the process ended.
    pub(crate) fn follow_pending(&mut self) -> Result<(), StoreError> {
        let spaces: Vec<SpaceId> = self.spaces.keys().copied().collect();
        for space in spaces {
            let Some(s) = self.spaces.get(&space) else {
                continue;
            };
            let epochs = s.authority.epochs();
            let next = s.keys.keys().flat_map(|epoch| epochs.children(epoch));
            let commits = next.copied().collect();
            let tip = s.tip;
            self.use_generation(&space, &tip);
            self.learn_epochs(&space, commits)?;
            self.stand_on_canonical(&space)?;
        }
        self.effects.clear();
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
}

impl Space {
    /// The commit that began an epoch, as it was accepted.
    pub(crate) fn commit_of(&self, epoch: &EpochId) -> Option<(AcceptedOp, Commit)> {
        let record = self.authority.epoch(epoch)?;
        let op = (*self.log.dag().node(&record.commit)?.op).clone();
        match op.payload() {
            Ok(Some(Payload::Commit(commit))) => Some((op, commit)),
            Ok(_) | Err(_) => None,
        }
    }

    /// The last epoch of the canonical branch whose keys are here. None where damage has taken the
    /// record of the present epoch: then the fold knows less than this device did.
    fn reachable_tip(&self) -> Option<EpochId> {
        let epochs = self.authority.epochs();
        epochs.epoch(&self.tip)?;
        let mut at = epochs.epoch(&self.canonical);
        while let Some(record) = at {
            if self.keys.contains_key(&record.id) {
                return Some(record.id);
            }
            at = record.parent.and_then(|parent| epochs.epoch(&parent));
        }
        None
    }

    /// Whether an epoch is on the branch that counts, and else the commit that its branch lost to.
    pub(crate) fn branch_of(&self, epoch: &EpochId) -> Branch {
        let epochs = self.authority.epochs();
        // Of one that damage has taken nothing is known.
        if epochs.epoch(epoch).is_none() || epochs.is_ancestor(epoch, &self.canonical) {
            return Branch::Counts;
        }
        let (winner, _) = self.contest(epoch);
        let winner = winner.and_then(|winner| epochs.epoch(&winner));
        Branch::Lost {
            to: winner.map(|record| record.commit),
        }
    }

    /// Why the branch of an epoch lost, in words.
    pub(crate) fn lost_because(&self, epoch: &EpochId) -> Option<String> {
        let (winner, loser) = self.contest(epoch);
        let why = self
            .authority
            .won_by(&self.view, &winner?, &loser, |_| true);
        why.map(|why| why.to_string())
    }

    /// Where the branch of an epoch left the one that counts: the commit there that won, if one did,
    /// and the one that lost.
    fn contest(&self, epoch: &EpochId) -> (Option<EpochId>, EpochId) {
        let epochs = self.authority.epochs();
        let counts = |id: &EpochId| epochs.is_ancestor(id, &self.canonical);
        let above = |id: &EpochId| epochs.epoch(id).and_then(|record| record.parent);
        let mut loser = *epoch;
        while let Some(parent) = above(&loser) {
            if counts(&parent) {
                let winner = epochs.children(&parent).iter().copied().find(counts);
                return (winner, loser);
            }
            loser = parent;
        }
        (None, loser)
    }

    /// Whether this device stands where the Space goes on from.
    pub(crate) fn is_canonical(&self) -> bool {
        self.tip == self.canonical
    }
}
