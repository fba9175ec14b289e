//! Taking things in: envelopes under tags and in mailboxes, chunks; what has room and who may.

use net::wire::{
    Cursor, ErrorCode, Filed, PutRequest, Response, Sealed, SendId, TTL_SECS_MAX, is_bucket,
};
use oplog::mutants::{Mutant, on};
use oplog::{BlobId, Digest, Timestamp};

use super::{ConnId, Entry, EnvelopeStore, Pushed, Refusal, RelayCore, Shelf};

/// How much more than twice what is at rest the disk may hold: what has expired and waits to be removed.
const DISK_SLACK_BYTES: u64 = 256 << 20;

impl<S: EnvelopeStore> RelayCore<S> {
    pub(super) fn put(
        &mut self,
        put: &PutRequest,
        now: Timestamp,
        pushes: &mut Vec<Pushed>,
    ) -> Result<Response, Refusal> {
        // Cheap checks first: a signature costs a hundred times as much.
        if !is_bucket(put.envelope.len()) || put.ttl_secs == 0 || put.ttl_secs > TTL_SECS_MAX {
            return Err(ErrorCode::Malformed.into());
        }
        let id = put
            .verify()
            .or(Err(Refusal::from(ErrorCode::BadSignature)))?;
        let shelf = Shelf::Tag(put.tag);
        if let Some(there) = self.store.find(&shelf, &id) {
            return Ok(Response::Filed {
                cursor: there.cursor,
            });
        }
        let len = put.envelope.len() as u64;
        let day = self.store.day_bytes(&shelf, now).saturating_add(len);
        let there = self.store.shelf_bytes(&shelf).saturating_add(len);
        if there > self.limits.tag_bytes_max || day > self.limits.tag_day_bytes_max {
            return Err(ErrorCode::QuotaExceeded.into());
        }
        let keep = put.ttl_secs.min(self.limits.retention_secs);
        self.file(shelf, id, &put.envelope, keep, now, pushes)
    }

    pub(super) fn mail(
        &mut self,
        send: &SendId,
        bytes: Sealed,
        ttl_secs: u32,
        now: Timestamp,
        pushes: &mut Vec<Pushed>,
    ) -> Result<Response, Refusal> {
        if !is_bucket(bytes.len()) || ttl_secs == 0 || ttl_secs > TTL_SECS_MAX {
            return Err(ErrorCode::Malformed.into());
        }
        let mailbox = self.store.mailbox_for(send).ok_or(ErrorCode::NotFound)?;
        let shelf = Shelf::Mailbox(mailbox.recv);
        let id = bytes.id();
        if let Some(there) = self.store.find(&shelf, &id) {
            return Ok(Response::Filed {
                cursor: there.cursor,
            });
        }
        if self.store.count(&shelf) >= self.limits.mailbox_messages_max {
            return Err(ErrorCode::QuotaExceeded.into());
        }
        let keep = ttl_secs.min(self.limits.mailbox_retention_secs);
        self.file(shelf, id, &bytes, keep, now, pushes)
    }

    /// Appends to a shelf and tells its subscribers.
    pub(super) fn file(
        &mut self,
        shelf: Shelf,
        id: Digest,
        bytes: &Sealed,
        keep_secs: u32,
        now: Timestamp,
        pushes: &mut Vec<Pushed>,
    ) -> Result<Response, Refusal> {
        self.reserve(bytes.len())?;
        let prev = self.store.head(&shelf);
        let cursor = Cursor::next(now, self.store.last_cursor());
        let entry = Entry {
            cursor,
            id,
            len: u32::try_from(bytes.len()).or(Err(Refusal::from(ErrorCode::TooLarge)))?,
            expires: now.plus_ms(u64::from(keep_secs) * 1000),
        };
        self.store.append(&shelf, &entry, bytes)?;
        let item = Filed {
            cursor,
            sealed: bytes.clone(),
        };
        let subscribers: Vec<ConnId> = self
            .subscribers
            .get(&shelf)
            .into_iter()
            .flatten()
            .copied()
            .collect();
        for conn in subscribers.into_iter().filter(|_| !on(Mutant::NobodyTold)) {
            self.push_items(conn, shelf, prev, vec![item.clone()], pushes);
        }
        Ok(Response::Filed { cursor })
    }

    pub(super) fn put_chunk(
        &mut self,
        id: &BlobId,
        bytes: &Sealed,
        token_hash: &Digest,
        now: Timestamp,
    ) -> Result<Response, Refusal> {
        if BlobId::of_sealed(bytes.as_bytes()) != *id {
            return Err(ErrorCode::Malformed.into());
        }
        match self.store.chunk_tokens(id) {
            0 => self.reserve(bytes.len())?,
            n if n >= self.limits.chunk_tokens_max => return Err(ErrorCode::QuotaExceeded.into()),
            _ => {}
        }
        let expires = now.plus_ms(u64::from(self.limits.retention_secs) * 1000);
        self.store.put_chunk(id, bytes, token_hash, expires)?;
        Ok(Response::Ok)
    }

    pub(super) fn reserve(&self, len: usize) -> Result<(), Refusal> {
        let (usage, len) = (self.store.usage(), len as u64);
        let disk_max = self.limits.total_bytes_max.saturating_mul(2);
        let disk_max = disk_max.saturating_add(DISK_SLACK_BYTES);
        if usage.bytes.saturating_add(len) > self.limits.total_bytes_max
            || usage.disk.saturating_add(len) > disk_max
        {
            return Err(ErrorCode::Full.into());
        }
        Ok(())
    }
}
