//! Attachments on their way: chunks that wait for a relay, chunks that somebody waits for.
//!
//! Sealing and opening is `blobstore`'s; files are the runtime's. Here is only which
//! sealed chunk goes where. The upload queue lies in rows, so that a file survives the
//! process that attached it.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

pub use blobstore::ChunkStore;
#[cfg(test)]
pub(crate) use blobstore::MemChunks;
use blobstore::{BlobRef, Description, Manifest, Opener, SealedChunk, Sealer};
use net::wire::{RelayError, Request, Response, Sealed};
use oplog::payload::Attachment;
use oplog::store::{Direction, Store, StoreError, prefix_end};
use oplog::{BlobId, Digest, SpaceId};
use rand_core::CryptoRng;

use crate::command::{Answer, CommandId};
use crate::error::CommandError;
use crate::event::RelayId;
use crate::exchange::Purpose;
use crate::identity::NODE_TABLE;
use crate::join::Parcel;
use crate::node::{Node, Waiting};

/// Chunk transfers in flight at one relay.
const CHUNKS_IN_FLIGHT_MAX: usize = 4;
const UPLOAD: &[u8] = b"upload/";

/// What is moving.
#[derive(Debug)]
pub(crate) struct Blobs {
    /// Sealed chunks to upload, with the relays that have them.
    uploads: BTreeMap<BlobId, BTreeSet<Digest>>,
    /// Chunks asked for, with the relays that said they have none.
    wanted: BTreeMap<BlobId, BTreeSet<RelayId>>,
    /// When chunks were last used in this run, by a count.
    pub(crate) used: BTreeMap<BlobId, u64>,
    clock: u64,
    /// Bytes for chunks that nothing holds.
    pub(crate) budget: u64,
    /// The day on which chunks were last looked through.
    pub(crate) tidied: Option<u64>,
}

impl Blobs {
    pub(crate) const fn new(budget: u64) -> Self {
        Self {
            uploads: BTreeMap::new(),
            wanted: BTreeMap::new(),
            used: BTreeMap::new(),
            clock: 0,
            budget,
            tidied: None,
        }
    }

    fn note_used(&mut self, id: BlobId) {
        self.clock += 1;
        self.used.insert(id, self.clock);
    }
}

impl<S: Store, C: ChunkStore, R: CryptoRng> Node<S, C, R> {
    pub(crate) fn load_blobs(&mut self) -> Result<(), StoreError> {
        let mut uploads = BTreeMap::new();
        self.store.scan(
            NODE_TABLE,
            UPLOAD,
            &prefix_end(UPLOAD),
            Direction::Forward,
            &mut |key, _| {
                let id = key
                    .get(UPLOAD.len()..)
                    .and_then(|k| <[u8; 32]>::try_from(k).ok());
                uploads.extend(id.map(|id| (BlobId::from_bytes(id), BTreeSet::new())));
                ControlFlow::Continue(())
            },
        )?;
        self.blobs.uploads = uploads;
        Ok(())
    }

    /// Queues sealed chunks for every relay. They are in the chunk store already.
    pub(crate) fn queue_upload(&mut self, chunks: &[BlobId]) {
        for id in chunks {
            self.store.put(NODE_TABLE, &upload_row(id), &[]);
            self.blobs.uploads.entry(*id).or_default();
            self.blobs.note_used(*id);
        }
    }

    pub(crate) fn send_chunks(&mut self, relays: &[RelayId]) -> Result<(), StoreError> {
        for id in relays {
            let Some(key) = self.relays.get(id).map(crate::exchange::Relay::key) else {
                continue;
            };
            let flying = self.chunks_in_flight(*id);
            let room = CHUNKS_IN_FLIGHT_MAX.saturating_sub(flying.len());
            let due = self
                .blobs
                .uploads
                .iter()
                .filter(|(blob, at)| !at.contains(&key) && !flying.contains(blob));
            let due: Vec<BlobId> = due.map(|(blob, _)| *blob).take(room).collect();
            for blob in due {
                let Some(chunk) = self.store_chunk(&blob)? else {
                    // Emptied from the cache before it was sent: nothing to give.
                    self.forget_upload(&blob);
                    continue;
                };
                let mut token = [0; 32];
                self.rng.fill_bytes(&mut token);
                let token = Digest::from_bytes(token);
                self.store
                    .put(NODE_TABLE, &token_row(&blob, &key), token.as_bytes());
                let request = Request::PutChunk {
                    id: blob,
                    bytes: Sealed::new(chunk.bytes().to_vec()),
                    delete_token_hash: net::wire::token_hash(&token),
                };
                self.request(*id, Purpose::PutChunk(blob), request);
            }
        }
        self.ask_for_chunks(relays);
        Ok(())
    }

    pub(crate) fn chunk_put(
        &mut self,
        relay: RelayId,
        blob: BlobId,
        result: Result<Response, RelayError>,
    ) -> Result<(), StoreError> {
        let Some(key) = self.relays.get(&relay).map(crate::exchange::Relay::key) else {
            return Ok(());
        };
        if let Err(error) = result {
            if let Some(relay) = self.relays.get_mut(&relay) {
                relay.error = Some(error.to_string());
            }
            return Ok(());
        }
        let everyone: BTreeSet<Digest> = self
            .relays
            .values()
            .map(crate::exchange::Relay::key)
            .collect();
        if let Some(at) = self.blobs.uploads.get_mut(&blob) {
            at.insert(key);
            if at.is_superset(&everyone) {
                self.forget_upload(&blob);
            }
        }
        Ok(())
    }

    pub(crate) fn chunk_got(
        &mut self,
        relay: RelayId,
        blob: BlobId,
        result: Result<Response, RelayError>,
    ) -> Result<(), StoreError> {
        let chunk = match result {
            Ok(Response::Chunk { bytes }) => {
                SealedChunk::expect(blob, bytes.as_bytes().to_vec()).ok()
            }
            _ => None,
        };
        match chunk {
            Some(chunk) => {
                self.chunks.put(&chunk)?;
                self.blobs.wanted.remove(&blob);
                self.blobs.note_used(blob);
            }
            // It has none, or gave other bytes: ask the next relay.
            None => {
                if let Some(without) = self.blobs.wanted.get_mut(&blob) {
                    without.insert(relay);
                }
            }
        }
        Ok(())
    }

    pub(crate) fn fetch_blob(
        &mut self,
        id: CommandId,
        space: &SpaceId,
        attachment: &Attachment,
    ) -> Result<Option<Answer>, CommandError> {
        self.known_space(space)?;
        let Some(manifest) = self.store_chunk(&attachment.manifest)? else {
            return self.want_chunks(id, &[attachment.manifest]);
        };
        let blob = BlobRef::from(attachment);
        let manifest = Manifest::open(&blob, &manifest).map_err(|e| CommandError::Invalid {
            what: format!("the attachment's manifest: {e}"),
        })?;
        let missing: Vec<BlobId> = blobstore::missing(&manifest, &self.chunks)?
            .into_iter()
            .map(|(_, id)| id)
            .collect();
        if missing.is_empty() {
            return Ok(Some(Answer::Done));
        }
        self.want_chunks(id, &missing)
    }

    fn want_chunks(
        &mut self,
        id: CommandId,
        chunks: &[BlobId],
    ) -> Result<Option<Answer>, CommandError> {
        if self.relays.is_empty() {
            return Err(CommandError::NoRelay {
                why: "none is configured".to_owned(),
            });
        }
        for chunk in chunks {
            self.blobs.wanted.insert(*chunk, BTreeSet::new());
        }
        self.waiting
            .push((id, Waiting::Blob(chunks.iter().copied().collect())));
        Ok(None)
    }

    fn ask_for_chunks(&mut self, relays: &[RelayId]) {
        if self.room_for_chunks().is_err() {
            return;
        }
        for id in relays {
            let flying = self.chunks_in_flight(*id);
            let room = CHUNKS_IN_FLIGHT_MAX.saturating_sub(flying.len());
            let due = self
                .blobs
                .wanted
                .iter()
                .filter(|(blob, without)| !without.contains(id) && !self.is_in_flight(blob));
            let due: Vec<BlobId> = due.map(|(blob, _)| *blob).take(room).collect();
            for blob in due {
                self.request(*id, Purpose::GetChunk(blob), Request::GetChunk { id: blob });
            }
        }
    }

    /// Says how a fetch stands: `None` while chunks are on their way.
    pub(crate) fn blob_progress(
        &mut self,
        wanted: &BTreeSet<BlobId>,
    ) -> Result<Option<Result<Answer, CommandError>>, StoreError> {
        if wanted
            .iter()
            .all(|blob| !self.blobs.wanted.contains_key(blob))
        {
            return Ok(Some(Ok(Answer::Done)));
        }
        let reachable: BTreeSet<RelayId> = self
            .relays
            .iter()
            .filter(|(_, r)| r.connected)
            .map(|(id, _)| *id)
            .collect();
        if reachable.is_empty() && self.relays.values().all(|r| r.tried) {
            let why = "the attachment is not here and no relay answers".to_owned();
            return Ok(Some(Err(CommandError::NoRelay { why })));
        }
        let hopeless = wanted.iter().any(|blob| {
            let without = self.blobs.wanted.get(blob);
            !reachable.is_empty() && without.is_some_and(|without| reachable.is_subset(without))
        });
        if hopeless && self.relays.values().all(|r| r.tried) {
            for blob in wanted {
                self.blobs.wanted.remove(blob);
            }
            return Ok(Some(Err(CommandError::NotFound {
                what: "this attachment".to_owned(),
            })));
        }
        Ok(None)
    }

    pub(crate) fn store_chunk(&self, blob: &BlobId) -> Result<Option<SealedChunk>, StoreError> {
        match self.chunks.get(blob) {
            // A damaged chunk is a missing one: it can be fetched again.
            Err(StoreError::Damaged { .. }) => Ok(None),
            other => other,
        }
    }

    /// Returns the chunks that wait for a relay or that somebody waits for, each under a name for it.
    pub(crate) fn blobs_in_use(&self) -> Result<Vec<(BlobId, Vec<BlobId>)>, StoreError> {
        let moving = self.blobs.uploads.keys().chain(self.blobs.wanted.keys());
        let mut held: Vec<_> = moving.map(|id| (*id, vec![*id])).collect();
        for Parcel { blob, .. } in self.joins.values().flat_map(|join| &join.bundles) {
            held.push((blob.manifest, self.chunks_of(blob)?));
        }
        Ok(held)
    }

    /// Returns how many chunks wait for a relay.
    #[must_use]
    pub fn uploads_waiting(&self) -> usize {
        self.blobs.uploads.len()
    }

    fn forget_upload(&mut self, blob: &BlobId) {
        self.blobs.uploads.remove(blob);
        self.store.delete(NODE_TABLE, &upload_row(blob));
    }

    fn chunks_in_flight(&self, relay: RelayId) -> BTreeSet<BlobId> {
        let here = self.requests.values().filter(|(at, _)| *at == relay);
        let mut blobs = BTreeSet::new();
        for (_, purpose) in here {
            if let Purpose::PutChunk(blob) | Purpose::GetChunk(blob) = purpose {
                blobs.insert(*blob);
            }
        }
        blobs
    }

    fn is_in_flight(&self, blob: &BlobId) -> bool {
        self.requests
            .values()
            .any(|(_, purpose)| matches!(purpose, Purpose::GetChunk(b) if b == blob))
    }
}

fn upload_row(blob: &BlobId) -> Vec<u8> {
    [UPLOAD, blob.as_bytes()].concat()
}

/// Takes an upload back at one relay (A7).
fn token_row(blob: &BlobId, relay: &Digest) -> Vec<u8> {
    [b"token/".as_slice(), blob.as_bytes(), relay.as_bytes()].concat()
}

impl<S: Store, C: ChunkStore, R: CryptoRng> Node<S, C, R> {
    /// Seals bytes into chunks of the chunk store and queues them for every relay.
    pub(crate) fn store_blob(
        &mut self,
        bytes: &[u8],
        name: &str,
    ) -> Result<Attachment, CommandError> {
        let too_long = |e: blobstore::SealError| CommandError::Invalid {
            what: e.to_string(),
        };
        let mut sealer = Sealer::new(&mut self.rng);
        let mut ids = Vec::new();
        let mut rest = bytes;
        while let Some(chunk) = sealer.push(&mut rest).map_err(too_long)? {
            ids.push(chunk.id());
            self.chunks.put(&chunk)?;
        }
        let (last, sealed) = sealer.finish().map_err(too_long)?;
        ids.push(last.id());
        self.chunks.put(&last)?;
        let media_type = "application/octet-stream".to_owned();
        let about = Description {
            name: name.to_owned(),
            media_type: media_type.clone(),
            thumbnail: None,
        };
        let size = sealed.len();
        let (blob, manifest) =
            sealed
                .describe(about, &mut self.rng)
                .map_err(|e| CommandError::Invalid {
                    what: e.to_string(),
                })?;
        ids.push(manifest.id());
        self.chunks.put(&manifest)?;
        self.queue_upload(&ids);
        Ok(blob.to_attachment(size, name.to_owned(), media_type))
    }

    /// Returns the chunks of an attachment that are not here; the manifest alone while that is missing.
    pub(crate) fn blob_missing(&self, attachment: &Attachment) -> Result<Vec<BlobId>, StoreError> {
        let Some(sealed) = self.store_chunk(&attachment.manifest)? else {
            return Ok(vec![attachment.manifest]);
        };
        match Manifest::open(&BlobRef::from(attachment), &sealed) {
            Ok(manifest) => {
                let missing = blobstore::missing(&manifest, &self.chunks)?;
                Ok(missing.into_iter().map(|(_, id)| id).collect())
            }
            // Nothing more to fetch: opening it will say what is wrong.
            Err(_) => Ok(Vec::new()),
        }
    }

    pub(crate) fn want(&mut self, chunks: &[BlobId]) {
        for chunk in chunks {
            self.blobs.wanted.entry(*chunk).or_default();
        }
    }

    /// Reads an attachment that is wholly here; `None` when it cannot be opened.
    pub(crate) fn read_blob(&self, attachment: &Attachment) -> Result<Option<Vec<u8>>, StoreError> {
        let blob = BlobRef::from(attachment);
        let Some(sealed) = self.store_chunk(&attachment.manifest)? else {
            return Ok(None);
        };
        let Ok(manifest) = Manifest::open(&blob, &sealed) else {
            return Ok(None);
        };
        let mut opener = Opener::new(&blob, manifest);
        let mut bytes = Vec::new();
        while let Some((_, id)) = opener.wanted() {
            let Some(chunk) = self.store_chunk(&id)? else {
                return Ok(None);
            };
            match opener.push(&chunk) {
                Ok(plain) => bytes.extend_from_slice(&plain),
                Err(_) => return Ok(None),
            }
        }
        Ok(Some(bytes))
    }

    /// Whether chunks still wait to be taken by this relay.
    pub(crate) fn uploads_pending(&self, relay: RelayId) -> bool {
        let key = self.relays.get(&relay).map(crate::exchange::Relay::key);
        key.is_some_and(|key| self.blobs.uploads.values().any(|at| !at.contains(&key)))
    }
}
