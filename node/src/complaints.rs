//! Saying that a commit cannot be followed: its keys do not open here, or are others than it says.
//!
//! Without that a member could lock the group up by one commit that decrypts for nobody else. Enough
//! complaints make the group go on from before it (B5); until then each asks to be added again behind
//! it. A complaint is written by the client, since no person can judge a commit.
//!
//! # Invariants
//! - A complaint is about a commit on the branch that counts, processed anew from the stored state
//!   that it follows: what lost is no harm, and a fault of this process must not speak against
//!   somebody.
//! - At most one for each commit, and one in 8 epochs against one author: more do not count.

use mls::{Expected, commit_aad};
use oplog::authority::Authority;
use oplog::payload::Payload;
use oplog::store::{Store, StoreError};
use oplog::{EpochId, Hlc, SpaceId, UserId};
use rand_core::CryptoRng;

use crate::blobs::ChunkStore;
use crate::error::CommandError;
use crate::node::Node;
use crate::space::Space;

/// In how many epochs one complaint of a person against one author counts (A3).
const EPOCHS: u64 = 8;

/// What a complaint is about.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Complaint {
    /// The epoch that the commit begins.
    pub(crate) epoch: EpochId,
    /// The epoch that it follows.
    pub(crate) parent: EpochId,
}

impl<S: Store, C: ChunkStore, R: CryptoRng> Node<S, C, R> {
    /// Housekeeping: complains about commits that the group goes on from and that cannot be followed.
    pub(crate) fn consider_complaints(&mut self) -> Result<(), StoreError> {
        if !self.online() {
            return Ok(());
        }
        let (user, device, now) = (
            self.me.user(),
            self.me.device_id(),
            Hlc::from_wall(self.now),
        );
        let spaces: Vec<SpaceId> = self.spaces.keys().copied().collect();
        for space in spaces {
            let Some(s) = self.spaces.get(&space) else {
                continue;
            };
            // Added again just now, this device stands behind that commit, or will.
            if s.unfollowable.is_empty() || s.readded_lately(&s.canonical, &device, now) {
                continue;
            }
            let about = s.unfollowable.keys().filter_map(|epoch| {
                let record = s.authority.epoch(epoch)?;
                let complaint = Complaint {
                    epoch: *epoch,
                    parent: record.parent?,
                };
                let counts = s.authority.epochs().is_ancestor(epoch, &s.canonical);
                let inside = record.roster.get(&device).is_some_and(|(u, _)| *u == user);
                let mine = record.user == user;
                (counts && inside && !mine && !s.has_complained(&user, epoch)).then_some(complaint)
            });
            let Some(complaint) = about.min_by_key(|complaint| s.number_of(&complaint.epoch))
            else {
                continue;
            };
            if !s.is_member(&user) || self.can_follow(&space, &complaint)? {
                continue;
            }
            match self.ask_for_keys(&space, Some(complaint)) {
                Ok(()) => {}
                Err(CommandError::Store { source }) => return Err(source),
                Err(error) => tracing::debug!(%error, "cannot complain about a commit"),
            }
        }
        Ok(())
    }

    /// Whether a commit can be followed after all: another try, from the state as it is stored.
    /// True, too, where that state is gone: then nothing can be said against the commit.
    fn can_follow(&self, space: &SpaceId, complaint: &Complaint) -> Result<bool, StoreError> {
        let state = match self.load_state(space, &complaint.parent) {
            Ok(Some(state)) => state,
            Err(CommandError::Store { source }) => return Err(source),
            Ok(None) | Err(_) => return Ok(true),
        };
        let Some(s) = self.spaces.get(space) else {
            return Ok(true);
        };
        let Some((op, commit)) = s.commit_of(&complaint.epoch) else {
            return Ok(true);
        };
        let aad = commit_aad(&op.header().binding(), &commit.parent);
        let expected = Expected {
            aad: &aad,
            device: op.header().device,
            delta: &commit.delta,
            root_commit: commit.root_commit,
            roster_hash: commit.roster_hash,
        };
        Ok(mls::process(&state, &commit.mls, &expected, &s.certs()).is_ok())
    }
}

impl Space {
    fn number_of(&self, epoch: &EpochId) -> u64 {
        let record = self.authority.epochs().epoch(epoch);
        record.map_or(0, |record| record.number)
    }

    /// Whether a person has complained about this commit, or about one of the same author so near
    /// that only one of the two would count.
    fn has_complained(&self, user: &UserId, epoch: &EpochId) -> bool {
        let author = |epoch: &EpochId| self.authority.epochs().epoch(epoch).map(|r| r.user);
        self.log.dag().iter().any(|node| {
            node.op.header().user == *user
                && matches!(node.op.payload(), Ok(Some(Payload::CommitComplaint(earlier)))
                    if earlier.epoch == *epoch
                        || (author(&earlier.epoch) == author(epoch)
                            && self.number_of(&earlier.epoch).abs_diff(self.number_of(epoch)) < EPOCHS))
        })
    }
}
