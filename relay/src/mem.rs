//! A relay's store in memory, for tests and the simulator.

use net::wire::{Cursor, RecvId, Sealed, SendId};
use oplog::store::StoreError;
use oplog::{BlobId, Digest, Timestamp};

use crate::index::Index;
use crate::store::{Entry, EnvelopeStore, Mailbox, Shelf, Usage};

/// Everything in memory; gone with the process.
#[derive(Debug, Default)]
pub struct MemStore(Index<Sealed>);

impl MemStore {
    /// Returns an empty store.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }
}

impl EnvelopeStore for MemStore {
    fn append(&mut self, shelf: &Shelf, entry: &Entry, bytes: &Sealed) -> Result<(), StoreError> {
        self.0.append(shelf, entry, bytes.clone());
        Ok(())
    }

    fn remove_upto(&mut self, shelf: &Shelf, upto: Cursor, _: Timestamp) -> Result<(), StoreError> {
        self.0.remove_upto(shelf, upto);
        Ok(())
    }

    fn put_mailbox(&mut self, mailbox: &Mailbox) -> Result<(), StoreError> {
        self.0.put_mailbox(mailbox);
        Ok(())
    }

    fn put_chunk(
        &mut self,
        id: &BlobId,
        bytes: &Sealed,
        token_hash: &Digest,
        expires: Timestamp,
    ) -> Result<(), StoreError> {
        let len = u32::try_from(bytes.len()).or(Err(StoreError::Full))?;
        self.0
            .put_chunk(id, len, token_hash, expires, bytes.clone());
        Ok(())
    }

    fn drop_token(
        &mut self,
        id: &BlobId,
        token_hash: &Digest,
        _: Timestamp,
    ) -> Result<bool, StoreError> {
        Ok(self.0.drop_token(id, token_hash).0)
    }

    fn expire(&mut self, now: Timestamp) -> Result<(), StoreError> {
        self.0.expire(now);
        Ok(())
    }

    fn sync(&mut self) -> Result<(), StoreError> {
        Ok(())
    }

    fn list(&self, shelf: &Shelf, after: Cursor, max: usize) -> Vec<Entry> {
        self.0.list(shelf, after, max)
    }

    fn find(&self, shelf: &Shelf, id: &Digest) -> Option<Entry> {
        self.0.find(shelf, id)
    }

    fn head(&self, shelf: &Shelf) -> Cursor {
        self.0.head(shelf)
    }

    fn count(&self, shelf: &Shelf) -> usize {
        self.0.count(shelf)
    }

    fn shelf_bytes(&self, shelf: &Shelf) -> u64 {
        self.0.shelf_bytes(shelf)
    }

    fn day_bytes(&self, shelf: &Shelf, now: Timestamp) -> u64 {
        self.0.day_bytes(shelf, now)
    }

    fn last_cursor(&self) -> Cursor {
        self.0.last_cursor()
    }

    fn read(&self, shelf: &Shelf, cursor: Cursor) -> Result<Option<Sealed>, StoreError> {
        Ok(self.0.place(shelf, cursor).cloned())
    }

    fn mailbox(&self, recv: &RecvId) -> Option<Mailbox> {
        self.0.mailbox(recv)
    }

    fn mailbox_for(&self, send: &SendId) -> Option<Mailbox> {
        self.0.mailbox_for(send)
    }

    fn chunk(&self, id: &BlobId) -> Result<Option<Sealed>, StoreError> {
        Ok(self.0.chunk(id).cloned())
    }

    fn chunk_tokens(&self, id: &BlobId) -> usize {
        self.0.chunk_tokens(id)
    }

    fn usage(&self) -> Usage {
        self.0.usage()
    }
}
