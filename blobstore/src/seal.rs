//! Turning a stream of bytes into sealed chunks.

use core::fmt;

use oplog::{BlobId, aead};
use rand_core::CryptoRng;
use zeroize::Zeroizing;

use crate::chunk::{CHUNK_BYTES, CHUNKS_MAX, ChunkIndex, SealedChunk};
use crate::key::{BlobKey, ContentDigest, ContentHasher, DedupKey};
use crate::manifest::{Description, Manifest, ManifestError};
use crate::pad::padded_len;

/// Why a blob cannot be sealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// More than [`crate::BLOB_BYTES_MAX`].
    #[error("the blob has more than {CHUNKS_MAX} chunks")]
    TooLong,
    /// The bytes sealed are not those that were digested for the convergent key. Chunks that came
    /// out must be thrown away: two contents sealed under one key reveal each other.
    #[error("the content changed between digest and seal")]
    ContentChanged,
}

/// Takes bytes, gives chunks. Holds at most one chunk.
///
/// ```
/// # use blobstore::{Sealer, SealError};
/// # use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};
/// # let rng = &mut ChaCha20Rng::from_seed([0; 32]);
/// let mut sealer = Sealer::new(rng);
/// let mut chunks = Vec::new();
/// for piece in [b"first ".as_slice(), b"second"] {
///     let mut rest = piece;
///     while let Some(chunk) = sealer.push(&mut rest)? {
///         chunks.push(chunk);
///     }
/// }
/// let (last, sealed) = sealer.finish()?;
/// chunks.push(last);
/// assert_eq!(sealed.len(), 12);
/// # Ok::<(), SealError>(())
/// ```
pub struct Sealer {
    key: BlobKey,
    data_key: Zeroizing<[u8; 32]>,
    /// The chunk being filled. Full, it waits for one byte more, since only then is it not the last.
    open: Zeroizing<Vec<u8>>,
    chunks: Vec<BlobId>,
    len: u64,
    promised: Option<(ContentHasher, ContentDigest)>,
}

impl Sealer {
    /// Begins a blob under a fresh random key.
    pub fn new(rng: &mut impl CryptoRng) -> Self {
        Self::with_key(BlobKey::generate(rng), None)
    }

    /// Begins a blob whose key comes from its content, so that equal content of one channel and key
    /// generation gives equal chunks. Upload nothing before [`Sealer::finish`] has agreed that the
    /// bytes are those of the digest.
    #[must_use]
    pub fn convergent(dedup: &DedupKey, content: ContentDigest) -> Self {
        let promised = Some((ContentHasher::new(), content));
        Self::with_key(dedup.blob_key(&content), promised)
    }

    fn with_key(key: BlobKey, promised: Option<(ContentHasher, ContentDigest)>) -> Self {
        Self {
            data_key: key.data(),
            key,
            open: Zeroizing::new(Vec::with_capacity(CHUNK_BYTES)),
            chunks: Vec::new(),
            len: 0,
            promised,
        }
    }

    /// Takes bytes from the front of `bytes` until a chunk is done or none are left: call it until it
    /// returns `None`, then all are taken.
    ///
    /// # Errors
    /// When the blob grows too long.
    pub fn push(&mut self, bytes: &mut &[u8]) -> Result<Option<SealedChunk>, SealError> {
        let room = CHUNK_BYTES - self.open.len();
        let (now, later) = bytes.split_at(room.min(bytes.len()));
        self.open.extend_from_slice(now);
        self.len += now.len() as u64;
        if let Some((hasher, _)) = &mut self.promised {
            hasher.push(now);
        }
        *bytes = later;
        if later.is_empty() {
            return Ok(None);
        }
        // More follows, so the full chunk is not the last; but the last must still fit.
        if self.chunks.len() + 1 >= CHUNKS_MAX {
            return Err(SealError::TooLong);
        }
        Ok(Some(self.seal_open(false)))
    }

    /// Ends the blob: returns its last chunk and what is known of the whole.
    ///
    /// # Errors
    /// When the key came from other content.
    pub fn finish(mut self) -> Result<(SealedChunk, Sealed), SealError> {
        if let Some((hasher, promised)) = &self.promised
            && hasher.finish() != *promised
        {
            return Err(SealError::ContentChanged);
        }
        let padded = padded_len(self.open.len());
        self.open.resize(padded, 0);
        let last = self.seal_open(true);
        let sealed = Sealed {
            key: self.key,
            chunks: self.chunks,
            len: self.len,
        };
        Ok((last, sealed))
    }

    fn seal_open(&mut self, last: bool) -> SealedChunk {
        let nonce = ChunkIndex::from_len(self.chunks.len()).nonce(last);
        let chunk = SealedChunk::sealed_here(aead::seal(&self.data_key, &nonce, &[], &self.open));
        self.open.clear();
        self.chunks.push(chunk.id());
        chunk
    }
}

impl fmt::Debug for Sealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sealer({} bytes so far)", self.len)
    }
}

/// A blob all of whose chunks are sealed, and that lacks only its manifest.
#[derive(Clone, Debug)]
pub struct Sealed {
    key: BlobKey,
    chunks: Vec<BlobId>,
    len: u64,
}

impl Sealed {
    /// Returns the length of the content in bytes.
    #[must_use]
    pub const fn len(&self) -> u64 {
        self.len
    }

    /// Returns whether the content has no bytes.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Returns the ids of the chunks, in order.
    #[must_use]
    pub fn chunks(&self) -> &[BlobId] {
        &self.chunks
    }

    /// Writes and seals the manifest: the reference for the op, and the sealed manifest, which is
    /// stored and sent like a chunk.
    ///
    /// # Errors
    /// When the description breaks a limit.
    pub fn describe(
        self,
        description: Description,
        rng: &mut impl CryptoRng,
    ) -> Result<(crate::BlobRef, SealedChunk), ManifestError> {
        Manifest::new(self.len, self.chunks, description)?.seal(self.key, rng)
    }
}
