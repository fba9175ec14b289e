//! A relay's store on disk: append-only segments, an index in memory, chunks as files.
//!
//! ```text
//! segments/0000000001.seg   what was filed, removed and uploaded, in order
//! mailboxes.log             mailboxes and their renewals; rewritten at every start
//! chunks/ab/ab12…           sealed chunks by id
//! ```
//!
//! Nothing is overwritten. What expires or is removed is forgotten at once and leaves the disk with its
//! whole segment, at most [`STALE_MS`] later: what else lies in the segment is copied to the end
//! first. So nobody keeps another's bytes on the disk by filing beside them what lasts longer, nor
//! makes it hold more than twice what counts. Sealed bytes are stored as they came: they are
//! ciphertext, and the tags beside them are all a relay knows.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use minicbor::{Decode, Encode};
use net::wire::{Cursor, RecvId, Sealed, SendId};
use oplog::store::StoreError;
use oplog::{BlobId, Digest, Timestamp, codec};
use tracing::warn;

use crate::index::Index;
use crate::segment::{self, Appender, Place, io_error, sync_parent};
use crate::store::{Entry, EnvelopeStore, Mailbox, Shelf, Usage};

/// A segment is closed at this size.
const SEGMENT_BYTES_MAX: u64 = 64 << 20;
/// A segment is closed at this age, so that things with one time to live leave the disk together.
const SEGMENT_AGE_MS: u64 = 3_600_000;
/// How long bytes that nobody may have any more lie on the disk, at most and a tick.
const STALE_MS: u64 = 3_600_000;
/// A segment of which more than half is nobody's leaves earlier, once it is this large.
const WORN_BYTES_MIN: u64 = 1 << 20;
/// How often segments are looked through for one that must leave. Each time one does at most, so that
/// requests in between do not wait for more than one.
const LOOK_MS: u64 = 1_000;
/// A removal is remembered as long as anything it removed could be on disk (30 days).
const REMOVAL_KEPT_MS: u64 = net::wire::TTL_SECS_MAX as u64 * 1000;
/// The mailbox file is rewritten when renewals have made it this much longer than its content.
const MAILBOX_GROWTH_BYTES: u64 = 16 << 20;
/// The file number under which mailbox records prove themselves.
const MAILBOX_FILE: u32 = 0;

/// Envelopes, messages and chunks in one folder.
#[derive(Debug)]
pub struct LogStore {
    dir: PathBuf,
    index: Index<Place>,
    active: Appender,
    /// When the active segment got its first record.
    active_since: Timestamp,
    segments: BTreeMap<u32, Segment>,
    /// When they were last looked through.
    looked: Timestamp,
    mailboxes: Appender,
    /// Chunk files not yet synced, and their folders.
    fresh_chunks: Vec<File>,
    fresh_dirs: BTreeSet<PathBuf>,
    /// The latest time anyone told.
    now: Timestamp,
}

/// What is known of a segment beside its file.
#[derive(Clone, Copy, Debug, Default)]
struct Segment {
    /// Until when it holds something.
    until: Timestamp,
    /// How long it is.
    len: u64,
    /// Bytes of records that count.
    live: u64,
    /// Since when it holds bytes that nobody may have.
    stale: Option<Timestamp>,
}

impl Segment {
    /// Whether what counts in it moves elsewhere.
    fn is_worn(&self, now: Timestamp) -> bool {
        let stale = self.stale.is_some_and(|at| now.since(at) >= STALE_MS);
        let dead = self.len.saturating_sub(self.live);
        stale || (self.stale.is_some() && self.len >= WORN_BYTES_MIN && dead > self.len / 2)
    }
}

#[derive(Encode, Decode)]
enum Record {
    #[n(0)]
    Filed {
        #[n(0)]
        shelf: Shelf,
        #[n(1)]
        cursor: Cursor,
        #[n(2)]
        id: Digest,
        #[n(3)]
        expires: Timestamp,
        #[n(4)]
        bytes: Sealed,
    },
    #[n(1)]
    Removed {
        #[n(0)]
        shelf: Shelf,
        #[n(1)]
        upto: Cursor,
    },
    #[n(2)]
    Token {
        #[n(0)]
        id: BlobId,
        #[n(1)]
        len: u32,
        #[n(2)]
        token_hash: Digest,
        #[n(3)]
        expires: Timestamp,
    },
    #[n(3)]
    TokenDropped {
        #[n(0)]
        id: BlobId,
        #[n(1)]
        token_hash: Digest,
    },
    #[n(4)]
    Mailbox {
        #[n(0)]
        recv: RecvId,
        #[n(1)]
        send: SendId,
        #[n(2)]
        recv_pk: Digest,
        #[n(3)]
        expires: Timestamp,
    },
}

impl LogStore {
    /// Opens or creates a store, reading every segment once.
    ///
    /// # Errors
    /// When the folder cannot be read or written. Damaged records are skipped and logged.
    pub fn open(dir: &Path, now: Timestamp) -> Result<Self, StoreError> {
        let segments = dir.join("segments");
        for folder in [dir, &segments, &dir.join("chunks")] {
            fs::create_dir_all(folder).map_err(io_error("create a folder"))?;
        }
        let mut index = Index::default();
        read_mailboxes(dir, &mut index)?;
        let mut kept: BTreeMap<u32, Segment> = BTreeMap::new();
        // Things filed in each segment, less those that are there in the end.
        let mut filed: BTreeMap<u32, usize> = BTreeMap::new();
        let numbers = segment::numbers(&segments)?;
        let mut end = 0;
        for number in &numbers {
            let path = segment::path_of(&segments, *number);
            let mut segment = Segment::default();
            end = segment::scan(&path, *number, |place, body| {
                match codec::decode("relay record", body) {
                    Ok(record) => {
                        // Of what is filed only that counts which is there in the end.
                        match record {
                            Record::Filed { .. } => *filed.entry(*number).or_default() += 1,
                            Record::Removed { .. }
                            | Record::Token { .. }
                            | Record::TokenDropped { .. }
                            | Record::Mailbox { .. } => segment.live += u64::from(place.len),
                        }
                        let until = replay(&mut index, record, place);
                        segment.until = segment.until.max(until);
                    }
                    Err(error) => warn!(segment = number, %error, "record skipped"),
                }
            })?;
            segment.len = end;
            let len = fs::metadata(&path)
                .map_err(io_error("read a segment"))?
                .len();
            if end < len {
                warn!(segment = number, at = end, len, "torn or damaged end");
            }
            kept.insert(*number, segment);
        }
        let active = match numbers.last() {
            Some(last) => Appender::resume(&segment::path_of(&segments, *last), *last, end)?,
            None => Appender::create(&segment::path_of(&segments, 1), 1)?,
        };
        index.expire(now);
        for (.., place) in index.places() {
            if let Some(segment) = kept.get_mut(&place.file) {
                segment.live += u64::from(place.len);
            }
            if let Some(filed) = filed.get_mut(&place.file) {
                *filed = filed.saturating_sub(1);
            }
        }
        for (number, segment) in &mut kept {
            let dead = filed.get(number).is_some_and(|filed| *filed > 0);
            segment.stale = dead.then_some(now);
        }
        let mut this = Self {
            dir: dir.to_owned(),
            mailboxes: rewrite_mailboxes(dir, &index)?,
            index,
            active,
            active_since: now,
            segments: kept,
            looked: Timestamp::default(),
            fresh_chunks: Vec::new(),
            fresh_dirs: BTreeSet::new(),
            now,
        };
        this.match_chunks_with_files()?;
        this.drop_segments()?;
        Ok(this)
    }

    /// Appends to the active segment, which becomes needed until `until`.
    fn append_record(&mut self, record: &Record, until: Timestamp) -> Result<Place, StoreError> {
        let old = !self.active.is_empty() && self.now.since(self.active_since) >= SEGMENT_AGE_MS;
        if old || self.active.len() >= SEGMENT_BYTES_MAX {
            self.roll()?;
        }
        if self.active.is_empty() {
            self.active_since = self.now;
        }
        let place = self.active.append(&codec::encode(record))?;
        let segment = self.segments.entry(self.active.number()).or_default();
        segment.until = segment.until.max(until);
        segment.live += u64::from(place.len);
        segment.len = self.active.len();
        Ok(place)
    }

    /// Notes that bytes count no more from a time on.
    fn free(&mut self, place: Place, at: Timestamp) {
        if let Some(segment) = self.segments.get_mut(&place.file) {
            segment.live = segment.live.saturating_sub(u64::from(place.len));
            segment.stale = Some(segment.stale.map_or(at, |since| since.min(at)));
        }
    }

    /// Lets one segment leave whose bytes nobody may have, or most of them.
    fn tidy(&mut self) -> Result<(), StoreError> {
        if self.now.since(self.looked) < LOOK_MS {
            return Ok(());
        }
        self.looked = self.now;
        let worn =
            |(number, segment): (&u32, &Segment)| segment.is_worn(self.now).then_some(*number);
        let Some(number) = self.segments.iter().find_map(worn) else {
            return Ok(());
        };
        match self.rewrite(number) {
            // Once there is room again.
            Err(StoreError::Full) => {
                if let Some(segment) = self.segments.get_mut(&number) {
                    segment.stale = Some(self.now);
                }
                Ok(())
            }
            done => done,
        }
    }

    /// Copies what counts in a segment to the end, and removes its file.
    fn rewrite(&mut self, number: u32) -> Result<(), StoreError> {
        if number == self.active.number() {
            self.roll()?;
        }
        let Some(old) = self.segments.get(&number).copied() else {
            return Ok(());
        };
        let path = segment::path_of(&self.dir.join("segments"), number);
        let mut failed = None;
        segment::scan(&path, number, |place, body| {
            if failed.is_none()
                && let Ok(record) = codec::decode("relay record", body)
            {
                failed = self.copy(&record, place, old.until).err();
            }
        })?;
        if let Some(error) = failed {
            return Err(error);
        }
        self.active.sync()?;
        // What the disk has damaged since it was read cannot be copied.
        let left = self
            .index
            .places()
            .filter(|(.., place)| place.file == number);
        let lost: Vec<(Shelf, Cursor)> = left.map(|(shelf, at, _)| (*shelf, at)).collect();
        for (shelf, cursor) in lost {
            warn!(segment = number, "a damaged record was lost");
            self.index.remove(&shelf, cursor);
        }
        remove_file(&path)?;
        self.segments.remove(&number);
        Ok(())
    }

    /// Copies a record to the end, if it counts.
    fn copy(&mut self, record: &Record, place: Place, until: Timestamp) -> Result<(), StoreError> {
        match record {
            Record::Filed {
                shelf,
                cursor,
                expires,
                ..
            } => {
                if self.index.place(shelf, *cursor) == Some(&place) {
                    let to = self.append_record(record, *expires)?;
                    self.index.moved(shelf, *cursor, to);
                }
            }
            Record::Token {
                id,
                token_hash,
                expires,
                ..
            } => {
                if self.index.has_token(id, token_hash) {
                    self.append_record(record, *expires)?;
                }
            }
            // What was filed before it may lie in an older segment.
            Record::Removed { .. } => {
                if until > self.now {
                    self.append_record(record, until)?;
                }
            }
            // Not behind a token that came again.
            Record::TokenDropped { id, token_hash } => {
                if until > self.now && !self.index.has_token(id, token_hash) {
                    self.append_record(record, until)?;
                }
            }
            Record::Mailbox { .. } => {}
        }
        Ok(())
    }

    fn roll(&mut self) -> Result<(), StoreError> {
        self.active.sync()?;
        let number = self.active.number() + 1;
        let path = segment::path_of(&self.dir.join("segments"), number);
        self.active = Appender::create(&path, number)?;
        self.active_since = self.now;
        Ok(())
    }

    /// Removes the segments that hold nothing any more.
    fn drop_segments(&mut self) -> Result<(), StoreError> {
        let now = self.now;
        let done = |segment: &Segment| segment.until <= now;
        let active = self.segments.get(&self.active.number());
        if !self.active.is_empty() && active.is_some_and(done) {
            self.roll()?;
        }
        let active = self.active.number();
        let over = self.segments.iter().filter(|(_, segment)| done(segment));
        let over: Vec<u32> = over.map(|(n, _)| *n).filter(|n| *n != active).collect();
        for number in over {
            let path = segment::path_of(&self.dir.join("segments"), number);
            remove_file(&path)?;
            self.segments.remove(&number);
        }
        Ok(())
    }

    /// Forgets chunks without a file, and removes files without a chunk.
    fn match_chunks_with_files(&mut self) -> Result<(), StoreError> {
        let lost: Vec<BlobId> = self
            .index
            .chunks()
            .filter(|(id, len)| {
                let there = fs::metadata(chunk_path(&self.dir, id)).map(|m| m.len());
                there.ok() != Some(u64::from(*len))
            })
            .map(|(id, _)| *id)
            .collect();
        for id in lost {
            warn!(chunk = %id.short(), "chunk file missing or torn");
            self.index.lose_chunk(&id);
        }
        let doing = "list chunks";
        for folder in fs::read_dir(self.dir.join("chunks")).map_err(io_error(doing))? {
            let folder = folder.map_err(io_error(doing))?.path();
            for file in fs::read_dir(folder).map_err(io_error(doing))? {
                let path = file.map_err(io_error(doing))?.path();
                let name = path.file_name().and_then(|n| n.to_str());
                let id = name.and_then(|n| n.parse().ok());
                if id.is_none_or(|id| self.index.chunk(&id).is_none()) {
                    remove_file(&path)?;
                }
            }
        }
        Ok(())
    }

    fn write_chunk(&mut self, id: &BlobId, bytes: &Sealed) -> Result<(), StoreError> {
        let doing = "write a chunk";
        let path = chunk_path(&self.dir, id);
        let Some(folder) = path.parent() else {
            return Ok(());
        };
        if !folder.is_dir() {
            fs::create_dir_all(folder).map_err(io_error(doing))?;
            self.fresh_dirs.insert(self.dir.join("chunks"));
        }
        let mut file = File::create(&path).map_err(io_error(doing))?;
        if let Err(error) = file.write_all(bytes.as_bytes()) {
            remove_file(&path)?;
            return Err(io_error(doing)(error));
        }
        self.fresh_chunks.push(file);
        self.fresh_dirs.insert(folder.to_owned());
        Ok(())
    }
}

impl EnvelopeStore for LogStore {
    fn append(&mut self, shelf: &Shelf, entry: &Entry, bytes: &Sealed) -> Result<(), StoreError> {
        let record = Record::Filed {
            shelf: *shelf,
            cursor: entry.cursor,
            id: entry.id,
            expires: entry.expires,
            bytes: bytes.clone(),
        };
        let place = self.append_record(&record, entry.expires)?;
        self.index.append(shelf, entry, place);
        Ok(())
    }

    fn remove_upto(
        &mut self,
        shelf: &Shelf,
        upto: Cursor,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        if self.index.list(shelf, Cursor::START, 1).is_empty() {
            return Ok(());
        }
        let record = Record::Removed {
            shelf: *shelf,
            upto,
        };
        self.append_record(&record, now.plus_ms(REMOVAL_KEPT_MS))?;
        for place in self.index.remove_upto(shelf, upto) {
            self.free(place, now);
        }
        Ok(())
    }

    fn put_mailbox(&mut self, mailbox: &Mailbox) -> Result<(), StoreError> {
        self.mailboxes
            .append(&codec::encode(&mailbox_record(mailbox)))?;
        self.index.put_mailbox(mailbox);
        if self.mailboxes.len() > MAILBOX_GROWTH_BYTES
            && self.mailboxes.len() > 4 * 128 * self.index.usage().mailboxes as u64
        {
            self.mailboxes = rewrite_mailboxes(&self.dir, &self.index)?;
        }
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
        if self.index.chunk(id).is_none() {
            self.write_chunk(id, bytes)?;
        }
        let record = Record::Token {
            id: *id,
            len,
            token_hash: *token_hash,
            expires,
        };
        let place = self.append_record(&record, expires)?;
        self.index.put_chunk(id, len, token_hash, expires, place);
        Ok(())
    }

    fn drop_token(
        &mut self,
        id: &BlobId,
        token_hash: &Digest,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        if !self.index.has_token(id, token_hash) {
            return Ok(false);
        }
        let record = Record::TokenDropped {
            id: *id,
            token_hash: *token_hash,
        };
        self.append_record(&record, now.plus_ms(REMOVAL_KEPT_MS))?;
        if self.index.drop_token(id, token_hash).1.is_some() {
            remove_file(&chunk_path(&self.dir, id))?;
        }
        Ok(true)
    }

    fn expire(&mut self, now: Timestamp) -> Result<(), StoreError> {
        self.now = self.now.max(now);
        let ended = self.index.expire(now);
        for id in ended.chunks {
            remove_file(&chunk_path(&self.dir, &id))?;
        }
        for (place, at) in ended.places {
            self.free(place, at);
        }
        if self.segments.values().any(|segment| segment.until <= now) {
            self.drop_segments()?;
        }
        self.tidy()
    }

    fn sync(&mut self) -> Result<(), StoreError> {
        for file in self.fresh_chunks.drain(..) {
            file.sync_data().map_err(io_error("sync a chunk"))?;
        }
        for folder in core::mem::take(&mut self.fresh_dirs) {
            sync_parent(&folder.join("."))?;
        }
        self.mailboxes.sync()?;
        self.active.sync()
    }

    fn list(&self, shelf: &Shelf, after: Cursor, max: usize) -> Vec<Entry> {
        self.index.list(shelf, after, max)
    }

    fn find(&self, shelf: &Shelf, id: &Digest) -> Option<Entry> {
        self.index.find(shelf, id)
    }

    fn head(&self, shelf: &Shelf) -> Cursor {
        self.index.head(shelf)
    }

    fn count(&self, shelf: &Shelf) -> usize {
        self.index.count(shelf)
    }

    fn shelf_bytes(&self, shelf: &Shelf) -> u64 {
        self.index.shelf_bytes(shelf)
    }

    fn day_bytes(&self, shelf: &Shelf, now: Timestamp) -> u64 {
        self.index.day_bytes(shelf, now)
    }

    fn last_cursor(&self) -> Cursor {
        self.index.last_cursor()
    }

    fn read(&self, shelf: &Shelf, cursor: Cursor) -> Result<Option<Sealed>, StoreError> {
        let Some(place) = self.index.place(shelf, cursor) else {
            return Ok(None);
        };
        let path = segment::path_of(&self.dir.join("segments"), place.file);
        let body = match segment::read(&path, *place) {
            Ok(body) => body,
            // One rotten record must not take the relay down: clients get it from elsewhere.
            Err(StoreError::Damaged { what }) => {
                warn!(what, "damaged");
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        match codec::decode("relay record", &body) {
            Ok(Record::Filed { bytes, .. }) => Ok(Some(bytes)),
            _ => Ok(None),
        }
    }

    fn mailbox(&self, recv: &RecvId) -> Option<Mailbox> {
        self.index.mailbox(recv)
    }

    fn mailbox_for(&self, send: &SendId) -> Option<Mailbox> {
        self.index.mailbox_for(send)
    }

    fn chunk(&self, id: &BlobId) -> Result<Option<Sealed>, StoreError> {
        if self.index.chunk(id).is_none() {
            return Ok(None);
        }
        let bytes = fs::read(chunk_path(&self.dir, id)).map_err(io_error("read a chunk"))?;
        if BlobId::of_sealed(&bytes) != *id {
            warn!(chunk = %id.short(), "damaged chunk");
            return Ok(None);
        }
        Ok(Some(Sealed::new(bytes)))
    }

    fn chunk_tokens(&self, id: &BlobId) -> usize {
        self.index.chunk_tokens(id)
    }

    fn usage(&self) -> Usage {
        let segments: u64 = self.segments.values().map(|segment| segment.len).sum();
        Usage {
            disk: segments + self.index.chunk_bytes(),
            ..self.index.usage()
        }
    }
}

/// Applies a record, and returns until when it is needed on disk.
fn replay(index: &mut Index<Place>, record: Record, place: Place) -> Timestamp {
    match record {
        Record::Filed {
            shelf,
            cursor,
            id,
            expires,
            bytes,
        } => {
            let entry = Entry {
                cursor,
                id,
                len: u32::try_from(bytes.len()).unwrap_or(u32::MAX),
                expires,
            };
            index.append(&shelf, &entry, place);
            expires
        }
        Record::Removed { shelf, upto } => {
            let _ = index.remove_upto(&shelf, upto);
            upto.arrived().plus_ms(REMOVAL_KEPT_MS)
        }
        Record::Token {
            id,
            len,
            token_hash,
            expires,
        } => {
            index.put_chunk(&id, len, &token_hash, expires, place);
            expires
        }
        Record::TokenDropped { id, token_hash } => {
            index.drop_token(&id, &token_hash);
            index.last_cursor().arrived().plus_ms(REMOVAL_KEPT_MS)
        }
        Record::Mailbox {
            recv,
            send,
            recv_pk,
            expires,
        } => {
            index.put_mailbox(&Mailbox {
                recv,
                send,
                recv_pk,
                expires,
            });
            expires
        }
    }
}

const fn mailbox_record(mailbox: &Mailbox) -> Record {
    Record::Mailbox {
        recv: mailbox.recv,
        send: mailbox.send,
        recv_pk: mailbox.recv_pk,
        expires: mailbox.expires,
    }
}

fn read_mailboxes(dir: &Path, index: &mut Index<Place>) -> Result<(), StoreError> {
    let path = dir.join("mailboxes.log");
    if path.exists() {
        segment::scan(&path, MAILBOX_FILE, |place, body| {
            match codec::decode("relay record", body) {
                Ok(record) => {
                    replay(index, record, place);
                }
                Err(error) => warn!(%error, "mailbox record skipped"),
            }
        })?;
    }
    Ok(())
}

/// Writes the mailboxes that are there into a new file that takes the place of the old one.
fn rewrite_mailboxes(dir: &Path, index: &Index<Place>) -> Result<Appender, StoreError> {
    let fresh = dir.join("mailboxes.new");
    remove_file(&fresh)?;
    let mut file = Appender::create(&fresh, MAILBOX_FILE)?;
    for mailbox in index.mailboxes() {
        file.append(&codec::encode(&mailbox_record(mailbox)))?;
    }
    file.sync()?;
    let path = dir.join("mailboxes.log");
    fs::rename(&fresh, &path).map_err(io_error("replace the mailbox file"))?;
    sync_parent(&path)?;
    Ok(file)
}

fn chunk_path(dir: &Path, id: &BlobId) -> PathBuf {
    let name = id.to_string();
    let folder: String = name.chars().take(2).collect();
    dir.join("chunks").join(folder).join(name)
}

fn remove_file(path: &Path) -> Result<(), StoreError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(io_error("remove a file")(error))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests;
