//! Where a newcomer begins: the channel that their invite named.

use oplog::authority::View;
use oplog::store::{Store, StoreError};
use oplog::{ChannelId, OpId, SpaceId};
use rand_core::CryptoRng;

use crate::blobs::ChunkStore;
use crate::error::CommandError;
use crate::identity::NODE_TABLE;
use crate::node::Node;

impl<S: Store, C: ChunkStore, R: CryptoRng> Node<S, C, R> {
    /// Returns the channel to show first in a Space: the one that the invite named by which this
    /// person came in, as long as it is open. `None`: the invite named none.
    ///
    /// # Errors
    /// When the Space is not here, or storage fails.
    pub fn landing(&self, space: SpaceId) -> Result<Option<ChannelId>, CommandError> {
        let s = self.known_space(&space)?;
        let row = self.store.get(NODE_TABLE, &landing_row(&space))?;
        let channel = row
            .and_then(|id| id.try_into().ok())
            .map(ChannelId::from_bytes);
        let open = |id: &ChannelId| s.view.channels().any(|c| c.id == *id && !c.archived);
        Ok(channel.filter(open))
    }

    /// Notes the channel that an invite named, once we are in by it.
    pub(crate) fn note_landing(
        &mut self,
        space: &SpaceId,
        invite: &OpId,
    ) -> Result<(), StoreError> {
        let terms = self.spaces.get(space).and_then(|s| s.view.invite(invite));
        if let Some(channel) = terms.and_then(|(terms, _)| terms.channel) {
            self.store
                .put(NODE_TABLE, &landing_row(space), channel.as_bytes());
        }
        Ok(())
    }
}

fn landing_row(space: &SpaceId) -> Vec<u8> {
    [b"landing/".as_slice(), space.as_bytes()].concat()
}
