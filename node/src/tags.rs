//! Which tags matter now, and what comes under each (B13).

use std::collections::BTreeMap;

use mls::envelope::{Day, TagKey};
use net::wire::Hour;
use oplog::store::{Store, StoreError};
use oplog::{EpochId, Hlc, OpId, Scope, SpaceId, Tag};
use rand_core::CryptoRng;

use crate::blobs::ChunkStore;
use crate::node::Node;

/// What an envelope under a tag can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TagUse {
    /// Ops and gossip of a scope.
    Scope(SpaceId, Scope),
    /// Join requests by an invite.
    Join(SpaceId, OpId),
    /// Requests of restored devices.
    Return(SpaceId),
}

/// What time alone changes of the tags that matter: the days, and which revoked invites are over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TagSpan {
    pub(crate) days: (u64, u64),
    pub(crate) hour: Hour,
}

/// Tags by what they are made of: a generation's scope and day, or the Space alone. Each costs a
/// key pair, and every change asks for all of them.
pub(crate) type TagsMade = BTreeMap<(SpaceId, Option<(EpochId, Scope, u64)>), Tag>;

impl<S: Store, C: ChunkStore, R: CryptoRng> Node<S, C, R> {
    /// Returns every tag to listen to now, at any relay, with what comes under it.
    pub(crate) fn tag_book(&self) -> Result<BTreeMap<Tag, TagUse>, StoreError> {
        let (from, to) = self.days()?;
        let mut book = BTreeMap::new();
        let mut memo = self.tags_made.borrow_mut();
        // What is not used any more is let go: the memo is never larger than the book.
        let known = std::mem::take(&mut *memo);
        for space in self.spaces.values() {
            for scope in space.scopes_heard() {
                for generation in &space.generations {
                    for day in from..=to {
                        let key = (space.id, Some((generation.epoch, scope, day)));
                        let tag = known.get(&key).copied().unwrap_or_else(|| {
                            TagKey::derive(&generation.topic, &scope, Day::from_number(day)).tag()
                        });
                        memo.insert(key, tag);
                        book.insert(tag, TagUse::Scope(space.id, scope));
                    }
                }
            }
            if space.in_group(&self.me.device_id()) {
                // Who holds a revoked one is told so, for as long as it would have been valid.
                for invite in space.view.invites().filter(|invite| {
                    invite.revoked_by.is_none() || invite.terms.expires > Hlc::from_wall(self.now)
                }) {
                    let tag = Tag::of_key(invite.terms.key.as_bytes());
                    book.insert(tag, TagUse::Join(space.id, invite.op));
                }
                let key = (space.id, None);
                let tag = known.get(&key).copied();
                let tag = tag.unwrap_or_else(|| TagKey::of_return(&space.id).tag());
                memo.insert(key, tag);
                book.insert(tag, TagUse::Return(space.id));
            }
        }
        Ok(book)
    }
}
