//! Turning sealed chunks back into the file, one checked chunk at a time.

use core::fmt;

use oplog::BlobId;
use oplog::aead;
use oplog::store::StoreError;
use zeroize::Zeroizing;

use crate::chunk::{ChunkIndex, SealedChunk};
use crate::key::BlobRef;
use crate::manifest::Manifest;
use crate::pad::padded_len;
use crate::store::ChunkStore;

/// Why a chunk, or the end of the blob, is refused. Nothing of that chunk was given out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// The chunk belongs to the blob, at another place.
    #[error("chunk {found:?} came in the place of {expected:?}")]
    Reordered {
        /// The place whose chunk was due.
        expected: ChunkIndex,
        /// The place of what came.
        found: ChunkIndex,
    },
    /// The chunk does not belong to the blob.
    #[error("chunk {found} does not belong at {at:?}")]
    WrongChunk {
        /// The place whose chunk was due.
        at: ChunkIndex,
        /// What came.
        found: BlobId,
    },
    /// More chunks than the manifest lists.
    #[error("a chunk after the last, at {at:?}")]
    TooMany {
        /// The place behind the last.
        at: ChunkIndex,
    },
    /// The end, before the last chunk.
    #[error("cut short: chunk {next:?} is missing")]
    Truncated {
        /// The place whose chunk was due.
        next: ChunkIndex,
    },
    /// The blob's key does not open it at this place.
    #[error("chunk {at:?} does not open")]
    Seal {
        /// Which.
        at: ChunkIndex,
    },
    /// The manifest's length and the chunk's content disagree.
    #[error("chunk {at:?} does not hold the {expected} bytes that the manifest claims")]
    LengthLies {
        /// Which.
        at: ChunkIndex,
        /// How many bytes of content it should hold.
        expected: usize,
    },
}

/// Opens a blob. Streams with [`Opener::push`]; [`Opener::open_at`] opens any chunk alone.
pub struct Opener {
    data_key: Zeroizing<[u8; 32]>,
    manifest: Manifest,
    next: ChunkIndex,
}

impl Opener {
    /// Begins at the first chunk.
    #[must_use]
    pub fn new(blob: &BlobRef, manifest: Manifest) -> Self {
        Self {
            data_key: blob.key.data(),
            manifest,
            next: ChunkIndex::new(0),
        }
    }

    /// Continues at a later chunk, after a restart that kept what came before.
    #[must_use]
    pub fn resume(blob: &BlobRef, manifest: Manifest, next: ChunkIndex) -> Self {
        Self {
            next,
            ..Self::new(blob, manifest)
        }
    }

    /// Returns the chunk that is due next, `None` at the end.
    #[must_use]
    pub fn wanted(&self) -> Option<(ChunkIndex, BlobId)> {
        let id = self.manifest.chunks().get(self.next.as_len())?;
        Some((self.next, *id))
    }

    /// Opens the chunk that is due and returns its content.
    ///
    /// # Errors
    /// When it is not the one, or not what the manifest says. The same place is due again.
    pub fn push(&mut self, chunk: &SealedChunk) -> Result<Vec<u8>, OpenError> {
        let content = self.open_at(self.next, chunk)?;
        self.next = ChunkIndex::new(self.next.get() + 1);
        Ok(content)
    }

    /// Opens the chunk of any place and returns its content.
    ///
    /// # Errors
    /// When it is not the one, or not what the manifest says.
    pub fn open_at(&self, at: ChunkIndex, chunk: &SealedChunk) -> Result<Vec<u8>, OpenError> {
        let chunks = self.manifest.chunks();
        let due = chunks.get(at.as_len()).ok_or(OpenError::TooMany { at })?;
        if *due != chunk.id() {
            return Err(match chunks.iter().position(|id| *id == chunk.id()) {
                Some(place) => OpenError::Reordered {
                    expected: at,
                    found: ChunkIndex::from_len(place),
                },
                None => OpenError::WrongChunk {
                    at,
                    found: chunk.id(),
                },
            });
        }
        let last = self.manifest.is_last(at);
        let opened = aead::open(&self.data_key, &at.nonce(last), &[], chunk.bytes());
        let mut content = opened.map_err(|aead::OpenError| OpenError::Seal { at })?;
        let expected = self.manifest.content_len(at);
        let sealed_len = if last { padded_len(expected) } else { expected };
        let padding = content.get(expected..).unwrap_or_default();
        if content.len() != sealed_len || padding.iter().any(|b| *b != 0) {
            return Err(OpenError::LengthLies { at, expected });
        }
        content.truncate(expected);
        Ok(content)
    }

    /// Ends the blob and gives the manifest back.
    ///
    /// # Errors
    /// When chunks are still due.
    pub fn finish(self) -> Result<Manifest, OpenError> {
        match self.wanted() {
            Some((next, _)) => Err(OpenError::Truncated { next }),
            None => Ok(self.manifest),
        }
    }
}

impl fmt::Debug for Opener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Opener(next {:?})", self.next)
    }
}

/// Returns the chunks that a store still lacks, in order: what to fetch, now or after a restart.
///
/// # Errors
/// When the store fails.
pub fn missing(
    manifest: &Manifest,
    store: &impl ChunkStore,
) -> Result<Vec<(ChunkIndex, BlobId)>, StoreError> {
    let mut lacking = Vec::new();
    for (place, id) in manifest.chunks().iter().enumerate() {
        if !store.has(id)? {
            lacking.push((ChunkIndex::from_len(place), *id));
        }
    }
    Ok(lacking)
}
