//! One sealed chunk, and the geometry of all of them.

use oplog::BlobId;
use oplog::aead::{NONCE_LEN, TAG_LEN};

/// Plain bytes of every chunk but the last (B17).
pub const CHUNK_BYTES: usize = 256 * 1024;
/// Longest sealed chunk in bytes. A relay takes 256 KiB + 64 (B12).
pub const SEALED_BYTES_MAX: usize = CHUNK_BYTES + TAG_LEN;
/// Most chunks of one blob. Their ids fill about half of the one chunk that a manifest may be;
/// a deeper manifest would be needed only for files that no relay's quota lets through today.
pub const CHUNKS_MAX: usize = 4096;
/// Longest blob in bytes: 1 GiB.
pub const BLOB_BYTES_MAX: u64 = CHUNKS_MAX as u64 * CHUNK_BYTES as u64;

/// The place of a chunk in its blob, from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ChunkIndex(u32);

impl ChunkIndex {
    /// Wraps a position.
    #[must_use]
    pub const fn new(position: u32) -> Self {
        Self(position)
    }

    /// Returns the position.
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0
    }

    pub(crate) fn from_len(len: usize) -> Self {
        Self(u32::try_from(len).unwrap_or(u32::MAX))
    }

    pub(crate) fn as_len(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }

    /// The nonce under which this chunk is sealed: index (u64 big-endian) ‖ last flag ‖ zeros.
    /// The flag keeps a blob from being cut short or continued.
    pub(crate) fn nonce(self, last: bool) -> [u8; NONCE_LEN] {
        let mut nonce = [0; NONCE_LEN];
        let (index, rest) = nonce.split_at_mut(8);
        index.copy_from_slice(&u64::from(self.0).to_be_bytes());
        if let Some(flag) = rest.first_mut() {
            *flag = u8::from(last);
        }
        nonce
    }
}

/// Bytes that cannot be a sealed chunk or manifest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChunkError {
    /// More than any chunk has; nothing was hashed.
    #[error("{len} bytes, a sealed chunk has at most {SEALED_BYTES_MAX}")]
    TooLong {
        /// How many bytes came.
        len: usize,
    },
    /// Fewer than a seal alone has.
    #[error("{len} bytes, a seal alone has {TAG_LEN}")]
    TooShort {
        /// How many bytes came.
        len: usize,
    },
    /// Not the bytes that were asked for.
    #[error("asked for chunk {expected}, the bytes are {found}")]
    NotTheOne {
        /// The id asked for.
        expected: BlobId,
        /// The id of what came.
        found: BlobId,
    },
}

/// Sealed bytes under the id that is their hash. Nothing more: who sealed them, and whether they
/// open, is not known.
#[derive(Clone, PartialEq, Eq)]
pub struct SealedChunk {
    id: BlobId,
    bytes: Vec<u8>,
}

impl SealedChunk {
    /// Names bytes of any origin by their hash.
    ///
    /// # Errors
    /// When no chunk has that length.
    pub fn from_bytes(bytes: Vec<u8>) -> Result<Self, ChunkError> {
        if bytes.len() > SEALED_BYTES_MAX {
            return Err(ChunkError::TooLong { len: bytes.len() });
        }
        if bytes.len() < TAG_LEN {
            return Err(ChunkError::TooShort { len: bytes.len() });
        }
        Ok(Self {
            id: BlobId::of_sealed(&bytes),
            bytes,
        })
    }

    /// Takes the answer to a request for this chunk.
    ///
    /// # Errors
    /// When it is something else.
    pub fn expect(expected: BlobId, bytes: Vec<u8>) -> Result<Self, ChunkError> {
        let chunk = Self::from_bytes(bytes)?;
        if chunk.id == expected {
            Ok(chunk)
        } else {
            Err(ChunkError::NotTheOne {
                expected,
                found: chunk.id,
            })
        }
    }

    /// Wraps what this crate sealed; its length is right by construction.
    pub(crate) fn sealed_here(bytes: Vec<u8>) -> Self {
        debug_assert!((TAG_LEN..=SEALED_BYTES_MAX).contains(&bytes.len()));
        Self {
            id: BlobId::of_sealed(&bytes),
            bytes,
        }
    }

    /// Returns the id: BLAKE3 of the sealed bytes.
    #[must_use]
    pub const fn id(&self) -> BlobId {
        self.id
    }

    /// Returns the sealed bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Gives the sealed bytes away.
    #[must_use]
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }
}

impl core::fmt::Debug for SealedChunk {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "SealedChunk({:?}, {} bytes)", self.id, self.bytes.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_taken_only_under_their_own_id_and_within_bounds() {
        let chunk = SealedChunk::from_bytes(vec![7; 100]).unwrap();
        assert_eq!(
            SealedChunk::expect(chunk.id(), vec![7; 100]),
            Ok(chunk.clone())
        );
        assert!(matches!(
            SealedChunk::expect(chunk.id(), vec![8; 100]),
            Err(ChunkError::NotTheOne { .. })
        ));
        for (len, fine) in [
            (TAG_LEN - 1, false),
            (TAG_LEN, true),
            (SEALED_BYTES_MAX, true),
            (SEALED_BYTES_MAX + 1, false),
        ] {
            assert_eq!(SealedChunk::from_bytes(vec![0; len]).is_ok(), fine, "{len}");
        }
    }

    #[test]
    fn nonces_differ_in_place_and_end() {
        let nonce = |i, last| ChunkIndex::new(i).nonce(last);
        assert_eq!(nonce(0x0102, true)[..10], [0, 0, 0, 0, 0, 0, 1, 2, 1, 0]);
        assert_ne!(nonce(0, false), nonce(0, true));
        assert_ne!(nonce(0, false), nonce(1, false));
    }
}
