//! What is filed where, in memory: shared by both stores, so that both count and expire alike.
//!
//! `P` is where the bytes lie: in memory, or at a place in a segment. About 200 bytes an entry.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use net::wire::{Cursor, RecvId, SendId};
use oplog::mutants::{Mutant, on};
use oplog::{BlobId, Digest, Timestamp};

use crate::store::{Entry, Mailbox, Shelf, Usage};

#[derive(Debug)]
pub(crate) struct Index<P> {
    shelves: BTreeMap<Shelf, Filing<P>>,
    mailboxes: BTreeMap<RecvId, Mailbox>,
    senders: BTreeMap<SendId, RecvId>,
    chunks: BTreeMap<BlobId, Chunk<P>>,
    /// When what ends.
    ends: BTreeSet<(Timestamp, End)>,
    last: Cursor,
    entries: usize,
    bytes: u64,
    /// Of the chunks among them.
    chunk_bytes: u64,
}

/// What has ended: chunks that went, and where entries lay, with the time that was theirs.
pub(crate) struct Ended<P> {
    pub(crate) chunks: Vec<BlobId>,
    pub(crate) places: Vec<(P, Timestamp)>,
}

#[derive(Debug)]
struct Filing<P> {
    entries: BTreeMap<Cursor, (Entry, P)>,
    ids: BTreeMap<Digest, Cursor>,
    /// Of the entries.
    bytes: u64,
    /// The UTC day that `day_bytes` counts.
    day: u64,
    day_bytes: u64,
}

#[derive(Debug)]
struct Chunk<P> {
    tokens: BTreeMap<Digest, Timestamp>,
    len: u32,
    place: P,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum End {
    Entry(Shelf, Cursor),
    /// The day whose bytes a shelf counts is over.
    Day(Shelf),
    Mailbox(RecvId),
    Token(BlobId, Digest),
}

const DAY_MS: u64 = 86_400_000;

impl<P> Default for Index<P> {
    fn default() -> Self {
        Self {
            shelves: BTreeMap::new(),
            mailboxes: BTreeMap::new(),
            senders: BTreeMap::new(),
            chunks: BTreeMap::new(),
            ends: BTreeSet::new(),
            last: Cursor::START,
            entries: 0,
            bytes: 0,
            chunk_bytes: 0,
        }
    }
}

impl<P> Index<P> {
    /// Files an entry. Does nothing when its cursor or its id is already there.
    pub(crate) fn append(&mut self, shelf: &Shelf, entry: &Entry, place: P) {
        self.last = self.last.max(entry.cursor);
        let day = entry.cursor.arrived().day();
        let filing = self.shelves.entry(*shelf).or_insert_with(|| Filing {
            entries: BTreeMap::new(),
            ids: BTreeMap::new(),
            bytes: 0,
            day,
            day_bytes: 0,
        });
        if filing.entries.contains_key(&entry.cursor) || filing.ids.contains_key(&entry.id) {
            return;
        }
        if filing.day < day {
            filing.day = day;
            filing.day_bytes = 0;
        }
        if filing.day == day {
            filing.day_bytes += u64::from(entry.len);
            let midnight = Timestamp::from_ms((day + 1).saturating_mul(DAY_MS));
            self.ends.insert((midnight, End::Day(*shelf)));
        }
        filing.bytes += u64::from(entry.len);
        filing.ids.insert(entry.id, entry.cursor);
        filing.entries.insert(entry.cursor, (*entry, place));
        self.ends
            .insert((entry.expires, End::Entry(*shelf, entry.cursor)));
        self.entries += 1;
        self.bytes += u64::from(entry.len);
    }

    /// Forgets what is filed up to a cursor, and returns where it lay.
    pub(crate) fn remove_upto(&mut self, shelf: &Shelf, upto: Cursor) -> Vec<P> {
        let mut freed = Vec::new();
        while let Some(first) = self.first(shelf).filter(|first| *first <= upto) {
            freed.extend(self.remove(shelf, first));
        }
        freed
    }

    pub(crate) fn put_mailbox(&mut self, mailbox: &Mailbox) {
        if let Some(old) = self.mailboxes.insert(mailbox.recv, *mailbox) {
            self.ends.remove(&(old.expires, End::Mailbox(old.recv)));
            self.senders.remove(&old.send);
        }
        self.senders.insert(mailbox.send, mailbox.recv);
        self.ends
            .insert((mailbox.expires, End::Mailbox(mailbox.recv)));
    }

    /// Adds a token, and the chunk with its first one.
    pub(crate) fn put_chunk(
        &mut self,
        id: &BlobId,
        len: u32,
        token: &Digest,
        expires: Timestamp,
        place: P,
    ) {
        let (bytes, of_chunks) = (&mut self.bytes, &mut self.chunk_bytes);
        let chunk = self.chunks.entry(*id).or_insert_with(|| {
            *bytes += u64::from(len);
            *of_chunks += u64::from(len);
            Chunk {
                tokens: BTreeMap::new(),
                len,
                place,
            }
        });
        if let Some(old) = chunk.tokens.insert(*token, expires) {
            self.ends.remove(&(old, End::Token(*id, *token)));
        }
        self.ends.insert((expires, End::Token(*id, *token)));
    }

    /// Removes a token, and the chunk with its last one. Returns whether the token was there, and
    /// the place of the chunk when it went.
    pub(crate) fn drop_token(&mut self, id: &BlobId, token: &Digest) -> (bool, Option<P>) {
        let Some(chunk) = self.chunks.get_mut(id) else {
            return (false, None);
        };
        let Some(expires) = chunk.tokens.remove(token) else {
            return (false, None);
        };
        self.ends.remove(&(expires, End::Token(*id, *token)));
        if !chunk.tokens.is_empty() {
            return (true, None);
        }
        let gone = self.chunks.remove(id);
        if let Some(gone) = &gone {
            self.bytes -= u64::from(gone.len);
            self.chunk_bytes -= u64::from(gone.len);
        }
        (true, gone.map(|chunk| chunk.place))
    }

    /// Forgets what has ended.
    pub(crate) fn expire(&mut self, now: Timestamp) -> Ended<P> {
        let mut ended = Ended {
            chunks: Vec::new(),
            places: Vec::new(),
        };
        let due = |at: &Timestamp| *at <= now && !on(Mutant::KeptTooLong);
        while self.ends.first().is_some_and(|(at, _)| due(at)) {
            let Some((at, end)) = self.ends.pop_first() else {
                break;
            };
            match end {
                End::Entry(shelf, cursor) => {
                    let place = self.remove(&shelf, cursor);
                    ended.places.extend(place.map(|place| (place, at)));
                }
                End::Day(shelf) => self.sweep(&shelf, now),
                End::Mailbox(recv) => {
                    if let Some(mailbox) = self.mailboxes.remove(&recv) {
                        self.senders.remove(&mailbox.send);
                    }
                    let shelf = Shelf::Mailbox(recv);
                    while let Some(first) = self.first(&shelf) {
                        let place = self.remove(&shelf, first);
                        ended.places.extend(place.map(|place| (place, at)));
                    }
                }
                End::Token(id, token) => {
                    if self.drop_token(&id, &token).1.is_some() {
                        ended.chunks.push(id);
                    }
                }
            }
        }
        ended
    }

    /// Notes that an entry lies elsewhere now.
    #[cfg(feature = "server")]
    pub(crate) fn moved(&mut self, shelf: &Shelf, cursor: Cursor, to: P) {
        let filing = self.shelves.get_mut(shelf);
        if let Some((_, place)) = filing.and_then(|f| f.entries.get_mut(&cursor)) {
            *place = to;
        }
    }

    /// Where each entry lies.
    #[cfg(feature = "server")]
    pub(crate) fn places(&self) -> impl Iterator<Item = (&Shelf, Cursor, &P)> {
        self.shelves.iter().flat_map(|(shelf, filing)| {
            let entries = filing.entries.iter();
            entries.map(move |(cursor, (_, place))| (shelf, *cursor, place))
        })
    }

    pub(crate) fn list(&self, shelf: &Shelf, after: Cursor, max: usize) -> Vec<Entry> {
        let Some(filing) = self.shelves.get(shelf) else {
            return Vec::new();
        };
        filing
            .entries
            .range((Bound::Excluded(after), Bound::Unbounded))
            .map(|(_, (entry, _))| *entry)
            .take(max)
            .collect()
    }

    pub(crate) fn find(&self, shelf: &Shelf, id: &Digest) -> Option<Entry> {
        let filing = self.shelves.get(shelf)?;
        let cursor = filing.ids.get(id)?;
        filing.entries.get(cursor).map(|(entry, _)| *entry)
    }

    pub(crate) fn place(&self, shelf: &Shelf, cursor: Cursor) -> Option<&P> {
        let filing = self.shelves.get(shelf)?;
        filing.entries.get(&cursor).map(|(_, place)| place)
    }

    pub(crate) fn head(&self, shelf: &Shelf) -> Cursor {
        let last = self
            .shelves
            .get(shelf)
            .and_then(|f| f.entries.last_key_value());
        last.map_or(Cursor::START, |(cursor, _)| *cursor)
    }

    pub(crate) fn count(&self, shelf: &Shelf) -> usize {
        self.shelves.get(shelf).map_or(0, |f| f.entries.len())
    }

    pub(crate) fn shelf_bytes(&self, shelf: &Shelf) -> u64 {
        self.shelves.get(shelf).map_or(0, |f| f.bytes)
    }

    pub(crate) fn day_bytes(&self, shelf: &Shelf, now: Timestamp) -> u64 {
        let filing = self.shelves.get(shelf).filter(|f| f.day == now.day());
        filing.map_or(0, |f| f.day_bytes)
    }

    pub(crate) const fn last_cursor(&self) -> Cursor {
        self.last
    }

    pub(crate) fn mailbox(&self, recv: &RecvId) -> Option<Mailbox> {
        self.mailboxes.get(recv).copied()
    }

    pub(crate) fn mailbox_for(&self, send: &SendId) -> Option<Mailbox> {
        self.mailbox(self.senders.get(send)?)
    }

    #[cfg(feature = "server")]
    pub(crate) fn mailboxes(&self) -> impl Iterator<Item = &Mailbox> {
        self.mailboxes.values()
    }

    pub(crate) fn chunk(&self, id: &BlobId) -> Option<&P> {
        self.chunks.get(id).map(|chunk| &chunk.place)
    }

    #[cfg(feature = "server")]
    pub(crate) fn chunks(&self) -> impl Iterator<Item = (&BlobId, u32)> {
        self.chunks.iter().map(|(id, chunk)| (id, chunk.len))
    }

    /// Forgets a chunk whose bytes turned out to be missing.
    #[cfg(feature = "server")]
    pub(crate) fn lose_chunk(&mut self, id: &BlobId) {
        if let Some(chunk) = self.chunks.remove(id) {
            self.bytes -= u64::from(chunk.len);
            self.chunk_bytes -= u64::from(chunk.len);
            for (token, expires) in chunk.tokens {
                self.ends.remove(&(expires, End::Token(*id, token)));
            }
        }
    }

    #[cfg(feature = "server")]
    pub(crate) fn has_token(&self, id: &BlobId, token: &Digest) -> bool {
        let chunk = self.chunks.get(id);
        chunk.is_some_and(|chunk| chunk.tokens.contains_key(token))
    }

    pub(crate) fn chunk_tokens(&self, id: &BlobId) -> usize {
        self.chunks.get(id).map_or(0, |chunk| chunk.tokens.len())
    }

    pub(crate) fn usage(&self) -> Usage {
        Usage {
            entries: self.entries,
            chunks: self.chunks.len(),
            mailboxes: self.mailboxes.len(),
            bytes: self.bytes,
            disk: self.bytes,
        }
    }

    /// Bytes of chunks alone.
    #[cfg(feature = "server")]
    pub(crate) const fn chunk_bytes(&self) -> u64 {
        self.chunk_bytes
    }

    fn first(&self, shelf: &Shelf) -> Option<Cursor> {
        let filing = self.shelves.get(shelf)?;
        filing.entries.first_key_value().map(|(cursor, _)| *cursor)
    }

    /// Forgets an entry, and returns where it lay.
    pub(crate) fn remove(&mut self, shelf: &Shelf, cursor: Cursor) -> Option<P> {
        let filing = self.shelves.get_mut(shelf)?;
        let (entry, place) = filing.entries.remove(&cursor)?;
        filing.bytes -= u64::from(entry.len);
        filing.ids.remove(&entry.id);
        self.ends
            .remove(&(entry.expires, End::Entry(*shelf, cursor)));
        self.entries -= 1;
        self.bytes -= u64::from(entry.len);
        let counts = filing.day_bytes > 0;
        if filing.entries.is_empty() && !counts {
            self.shelves.remove(shelf);
        }
        Some(place)
    }

    /// Stops counting a day that is over, and forgets a shelf that holds nothing.
    fn sweep(&mut self, shelf: &Shelf, now: Timestamp) {
        let Some(filing) = self.shelves.get_mut(shelf) else {
            return;
        };
        if filing.day < now.day() {
            filing.day_bytes = 0;
        }
        if filing.entries.is_empty() && filing.day_bytes == 0 {
            self.shelves.remove(shelf);
        }
    }
}
