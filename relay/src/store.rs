//! What the core asks of storage, and the words for it.

use minicbor::{Decode, Encode};
use net::wire::{Cursor, RecvId, Sealed, SendId};
use oplog::store::StoreError;
use oplog::{BlobId, Digest, Tag, Timestamp};

/// Where things are filed: under a tag, or in a mailbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
pub enum Shelf {
    /// Envelopes of a tag.
    #[n(0)]
    Tag(#[n(0)] Tag),
    /// Messages of a mailbox.
    #[n(1)]
    Mailbox(#[n(0)] RecvId),
}

/// One filed thing, without its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its place in the order of arrival.
    pub cursor: Cursor,
    /// `H("env", bytes)`.
    pub id: Digest,
    /// How many bytes.
    pub len: u32,
    /// Not given out from then on.
    pub expires: Timestamp,
}

/// A mailbox: two names that only the relay links, and the key of its owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mailbox {
    /// The owner's name for it.
    pub recv: RecvId,
    /// The writers' name for it.
    pub send: SendId,
    /// Whose signature reads and deletes.
    pub recv_pk: Digest,
    /// Closed from then on, unless its owner asks before.
    pub expires: Timestamp,
}

/// How much is stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Envelopes and messages.
    pub entries: usize,
    /// Chunks.
    pub chunks: usize,
    /// Mailboxes.
    pub mailboxes: usize,
    /// Bytes of envelopes, messages and chunks that have not expired.
    pub bytes: u64,
    /// Bytes that all this takes, with what has expired and has not left yet.
    pub disk: u64,
}

/// Envelopes, messages and chunks of one relay.
///
/// Reads see everything written before them. [`EnvelopeStore::sync`] makes what was written
/// survive a power cut; the caller tells nobody of it before.
pub trait EnvelopeStore {
    /// Files bytes. The entry's cursor is above every cursor used before.
    ///
    /// # Errors
    /// When storage fails; then nothing was filed.
    fn append(&mut self, shelf: &Shelf, entry: &Entry, bytes: &Sealed) -> Result<(), StoreError>;

    /// Removes what is filed there up to and including a cursor. `now` bounds how long the
    /// removal itself must be remembered.
    ///
    /// # Errors
    /// When storage fails.
    fn remove_upto(
        &mut self,
        shelf: &Shelf,
        upto: Cursor,
        now: Timestamp,
    ) -> Result<(), StoreError>;

    /// Opens a mailbox, or renews one that is there.
    ///
    /// # Errors
    /// When storage fails.
    fn put_mailbox(&mut self, mailbox: &Mailbox) -> Result<(), StoreError>;

    /// Files a chunk, or one more token for a chunk that is there.
    ///
    /// # Errors
    /// When storage fails; then nothing was filed.
    fn put_chunk(
        &mut self,
        id: &BlobId,
        bytes: &Sealed,
        token_hash: &Digest,
        expires: Timestamp,
    ) -> Result<(), StoreError>;

    /// Takes one upload of a chunk back, and the chunk with its last token. Returns whether there
    /// was such a token.
    ///
    /// # Errors
    /// When storage fails.
    fn drop_token(
        &mut self,
        id: &BlobId,
        token_hash: &Digest,
        now: Timestamp,
    ) -> Result<bool, StoreError>;

    /// Forgets what has expired.
    ///
    /// # Errors
    /// When storage fails.
    fn expire(&mut self, now: Timestamp) -> Result<(), StoreError>;

    /// Makes everything written survive a power cut.
    ///
    /// # Errors
    /// When storage fails; then nobody may be told of anything written since the last sync.
    fn sync(&mut self) -> Result<(), StoreError>;

    /// Returns the entries after a cursor, at most `max`, in order.
    fn list(&self, shelf: &Shelf, after: Cursor, max: usize) -> Vec<Entry>;

    /// Returns the entry with this id.
    fn find(&self, shelf: &Shelf, id: &Digest) -> Option<Entry>;

    /// Returns the cursor of the last entry, [`Cursor::START`] when there is none.
    fn head(&self, shelf: &Shelf) -> Cursor;

    /// Returns how many entries there are.
    fn count(&self, shelf: &Shelf) -> usize;

    /// Returns how many bytes lie there: what has expired, once that was said, does not.
    fn shelf_bytes(&self, shelf: &Shelf) -> u64;

    /// Returns how many bytes were filed there on the UTC day of `now`.
    fn day_bytes(&self, shelf: &Shelf, now: Timestamp) -> u64;

    /// Returns the greatest cursor ever used.
    fn last_cursor(&self) -> Cursor;

    /// Reads what an entry stands for, `None` when it is gone.
    ///
    /// # Errors
    /// When storage fails or is damaged.
    fn read(&self, shelf: &Shelf, cursor: Cursor) -> Result<Option<Sealed>, StoreError>;

    /// Returns a mailbox by its owner's name.
    fn mailbox(&self, recv: &RecvId) -> Option<Mailbox>;

    /// Returns a mailbox by its writers' name.
    fn mailbox_for(&self, send: &SendId) -> Option<Mailbox>;

    /// Reads a chunk.
    ///
    /// # Errors
    /// When storage fails.
    fn chunk(&self, id: &BlobId) -> Result<Option<Sealed>, StoreError>;

    /// Returns how many tokens hold a chunk: 0 when it is not there.
    fn chunk_tokens(&self, id: &BlobId) -> usize;

    /// Returns how much is stored.
    fn usage(&self) -> Usage;
}
