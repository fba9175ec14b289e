//! Which chunks of attachments stay on this device when there are many (B17).
//!
//! Looked at once a day, and only when all chunks together exceed the budget: then everything that a
//! live op refers to, that waits for a relay, or that somebody waits for, is held, and of the rest the
//! least recently used goes. What is live is asked of the content as it stands now, so that no change
//! of authority leaves anything stale here.

use std::ops::ControlFlow;

use blobstore::{BlobRef, CachePolicy, Holder, Manifest};
use fold::content::PostState;
use oplog::payload::Attachment;
use oplog::store::{Store, StoreError};
use oplog::{BlobId, OpId, Payload, SpaceId};
use rand_core::CryptoRng;

use crate::blobs::ChunkStore;
use crate::node::Node;
use crate::room::Room;

/// Bytes for chunks that nothing holds. A guess: some hundred pictures.
pub(crate) const BUDGET_BYTES: u64 = 1 << 30;

impl<S: Store, C: ChunkStore, R: CryptoRng> Node<S, C, R> {
    /// Sets how many bytes of chunks may stay that no live op refers to; 1 GiB until then.
    pub const fn set_chunk_budget(&mut self, bytes: u64) {
        self.blobs.budget = bytes;
    }

    /// Once a day: lets chunks go that nothing holds, as far as they are beyond the budget.
    pub(crate) fn tidy_chunks(&mut self) -> Result<(), StoreError> {
        let today = self.now.day();
        if self.blobs.tidied == Some(today) {
            return Ok(());
        }
        self.blobs.tidied = Some(today);
        // On a full disk nothing is kept that nothing holds.
        let budget = if self.room < Room::Plenty {
            0
        } else {
            self.blobs.budget
        };
        if self.chunks.size_bytes()? <= budget {
            return Ok(());
        }
        let mut policy = CachePolicy::new(budget);
        for (manifest, chunks) in self.blobs_in_use()? {
            policy.hold(Holder::Pin(manifest), chunks);
        }
        let spaces: Vec<SpaceId> = self.spaces.keys().copied().collect();
        for space in spaces {
            match self.hold_live(&space, &mut policy) {
                Ok(()) => {}
                // What a damaged op refers to is not known: nothing goes before it was fetched again.
                Err(StoreError::Damaged { .. }) => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        let mut here: Vec<(u64, BlobId, u64)> = Vec::new();
        let used = &self.blobs.used;
        self.chunks.visit(&mut |id, len| {
            here.push((used.get(&id).copied().unwrap_or(0), id, len));
            ControlFlow::Continue(())
        })?;
        here.sort_unstable();
        for (_, id, len) in here {
            policy.used(id, len);
        }
        for id in policy.evict() {
            self.chunks.remove(&id)?;
            self.blobs.used.remove(&id);
        }
        Ok(())
    }

    /// Holds what the posts of a Space refer to that people can still see.
    fn hold_live(&self, space: &SpaceId, policy: &mut CachePolicy) -> Result<(), StoreError> {
        let Some(s) = self.spaces.get(space) else {
            return Ok(());
        };
        for head in s.table.all_lanes(&self.store)? {
            let lane = &head.lane;
            for (_, id) in s.table.range(&self.store, lane, 0, None, usize::MAX)? {
                let Some(op) = s.op(&self.store, &id)? else {
                    continue;
                };
                let attachments = match op.payload() {
                    Ok(Some(Payload::Post(post))) => post.attachments,
                    Ok(Some(Payload::ThreadCreate(thread))) => thread.attachments,
                    _ => continue,
                };
                if attachments.is_empty() || !self.is_live(space, &id)? {
                    continue;
                }
                for attachment in &attachments {
                    let chunks = self.chunks_of(attachment)?;
                    policy.hold(Holder::Op(id), chunks);
                }
            }
        }
        Ok(())
    }

    fn is_live(&self, space: &SpaceId, op: &OpId) -> Result<bool, StoreError> {
        let Some(s) = self.spaces.get(space) else {
            return Ok(false);
        };
        let post = s.with_content(&self.store, |content| content.post(op))?;
        Ok(post.is_some_and(|post| {
            !matches!(
                post.state,
                PostState::Hidden { .. }
                    | PostState::SelfDeleted { .. }
                    | PostState::NotAccepted { .. }
            )
        }))
    }

    /// Returns the manifest of an attachment and, when that is here, its chunks.
    pub(crate) fn chunks_of(&self, attachment: &Attachment) -> Result<Vec<BlobId>, StoreError> {
        let mut chunks = vec![attachment.manifest];
        if let Some(sealed) = self.store_chunk(&attachment.manifest)?
            && let Ok(manifest) = Manifest::open(&BlobRef::from(attachment), &sealed)
        {
            chunks.extend_from_slice(manifest.chunks());
        }
        Ok(chunks)
    }
}
