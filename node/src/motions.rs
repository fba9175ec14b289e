//! The motions that this person proposed, signed or was shown (B4, *Quorums*).
//!
//! A motion travels as a text from hand to hand, and the copies come back one by one: what is kept
//! here puts their signatures together, so nobody has to keep the texts. It is a note and nothing
//! else: each time it is read, the motion is judged anew by what is known then.
//!
//! # Invariants
//! - At most [`KEPT_MAX`] motions of a Space are kept; those that are over go first.
//! - Only signatures that were good here, of admins, are kept.

use core::ops::ControlFlow;

use minicbor::{Decode, Encode};
use oplog::store::{Direction, Store, StoreError, prefix_end};
use oplog::{Digest, SpaceId, Timestamp, codec};
use rand_core::CryptoRng;

use crate::blobs::ChunkStore;
use crate::error::CommandError;
use crate::identity::NODE_TABLE;
use crate::node::Node;
use crate::quorum::{Motion, MotionRefused, Wire};
use crate::view::{KeptMotion, MotionState};

const MOTION: &[u8] = b"motion/";
/// Most motions of one Space that are kept. A guess: admins who talk about more at once use another
/// way; with the largest texts it is 20 MiB.
pub const KEPT_MAX: usize = 32;

#[derive(Clone, Debug, Encode, Decode)]
#[cbor(map)]
struct Kept {
    #[n(0)]
    motion: Wire,
    /// When it was first seen, in milliseconds by the own clock.
    #[n(1)]
    since: u64,
    /// It was proposed here.
    #[n(2)]
    proposed: bool,
}

impl<S: Store, C: ChunkStore, R: CryptoRng> Node<S, C, R> {
    /// Returns the motions that this person proposed, signed or was shown, newest first.
    ///
    /// # Errors
    /// When the Space is not here.
    pub fn motions(&self, space: SpaceId) -> Result<Vec<KeptMotion>, CommandError> {
        self.known_space(&space)?;
        let mut all = Vec::new();
        for kept in self.kept_rows(&space)? {
            // What the disk damaged is gone: the text can be shown again.
            let Ok(motion) = Motion::from_wire(&kept.motion) else {
                continue;
            };
            let motion = self.sound_part(motion)?;
            all.push(KeptMotion {
                view: self.look_at_motion(&motion)?,
                motion,
                proposed: kept.proposed,
                since: Timestamp::from_ms(kept.since),
            });
        }
        all.sort_unstable_by_key(|kept| (core::cmp::Reverse(kept.since), kept.view.id));
        Ok(all)
    }

    /// Keeps a motion, or adds the signatures of another copy of it.
    pub(crate) fn keep_motion(
        &mut self,
        motion: &Motion,
        proposed: bool,
    ) -> Result<(), CommandError> {
        let (space, id) = (motion.space, motion.id());
        match self.weigh(motion)?.fault {
            None
            | Some(MotionRefused::Taken { .. } | MotionRefused::Over | MotionRefused::Behind) => {}
            Some(fault) => return Err(fault.into()),
        }
        let motion = self.sound_part(motion.clone())?;
        let mut kept = Kept {
            motion: motion.to_wire(),
            since: self.now.as_ms(),
            proposed,
        };
        let earlier = self.store.get(NODE_TABLE, &row(&space, &id))?;
        let earlier = earlier.and_then(|bytes| codec::decode::<Kept>("kept motion", &bytes).ok());
        if let Some(earlier) = earlier {
            let mut all = motion.clone();
            if let Ok(before) = Motion::from_wire(&earlier.motion) {
                all.take_signatures(&before);
            }
            kept.motion = all.to_wire();
            kept.since = earlier.since;
            kept.proposed |= earlier.proposed;
        }
        self.store
            .put(NODE_TABLE, &row(&space, &id), &codec::encode(&kept));
        self.crowd_out(&space, &id)
    }

    /// Returns what is kept of a motion, with the signatures that are good now.
    pub(crate) fn kept_motion(
        &self,
        space: &SpaceId,
        id: &Digest,
    ) -> Result<Option<Motion>, CommandError> {
        let bytes = self.store.get(NODE_TABLE, &row(space, id))?;
        let kept = bytes.and_then(|bytes| codec::decode::<Kept>("kept motion", &bytes).ok());
        let motion = kept.and_then(|kept| Motion::from_wire(&kept.motion).ok());
        motion.map(|motion| self.sound_part(motion)).transpose()
    }

    /// A motion without the signatures that are not good here, or not any more.
    fn sound_part(&self, mut motion: Motion) -> Result<Motion, CommandError> {
        let signed = self.weigh(&motion)?.signed;
        motion.act.signers.retain(|s| signed.contains(&s.user));
        Ok(motion)
    }

    /// Forgets what does not fit: first what nobody can bring any more, then what is oldest.
    fn crowd_out(&mut self, space: &SpaceId, newest: &Digest) -> Result<(), CommandError> {
        let mut all = self.motions(*space)?;
        let over = all.len().saturating_sub(KEPT_MAX);
        all.retain(|kept| kept.view.id != *newest);
        all.sort_by_key(|kept| {
            let live = match kept.view.state {
                MotionState::Open | MotionState::Ready | MotionState::Behind => true,
                MotionState::Taken { .. } | MotionState::Over | MotionState::Void { .. } => false,
            };
            (live, kept.since)
        });
        for kept in all.iter().take(over) {
            self.store.delete(NODE_TABLE, &row(space, &kept.view.id));
        }
        Ok(())
    }

    fn kept_rows(&self, space: &SpaceId) -> Result<Vec<Kept>, StoreError> {
        let prefix = [MOTION, space.as_bytes()].concat();
        let mut rows = Vec::new();
        self.store.scan(
            NODE_TABLE,
            &prefix,
            &prefix_end(&prefix),
            Direction::Forward,
            &mut |_key, value| {
                rows.extend(codec::decode::<Kept>("kept motion", value).ok());
                ControlFlow::Continue(())
            },
        )?;
        Ok(rows)
    }
}

fn row(space: &SpaceId, id: &Digest) -> Vec<u8> {
    [MOTION, space.as_bytes(), id.as_bytes()].concat()
}
