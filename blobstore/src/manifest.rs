//! The list of a blob's chunks, and what the file is.
//!
//! Sealed like a chunk and of a chunk's sizes, so that a holder cannot tell which is
//! which. One level only: 4,096 ids fit, and a tree of manifests would be a second
//! format for files that nobody can send yet.

use std::collections::BTreeSet;

use minicbor::bytes::ByteVec;
use minicbor::{Decode, Encode};
use oplog::codec::{self, CodecError};
use oplog::{BlobId, aead};
use rand_core::CryptoRng;

use crate::chunk::{BLOB_BYTES_MAX, CHUNK_BYTES, CHUNKS_MAX, ChunkIndex, SealedChunk};
use crate::key::{BlobKey, BlobRef, Salt};
use crate::pad::padded_len;

/// Longest encoded manifest in bytes, so that sealed it is no longer than a chunk.
pub const MANIFEST_BYTES_MAX: usize = CHUNK_BYTES - LENGTH_BYTES;
/// Longest thumbnail in bytes: with it and 4,096 chunk ids a manifest still fits.
pub const THUMBNAIL_BYTES_MAX: usize = 48 * 1024;
/// Longest name and media type in bytes of UTF-8, as in an op's attachment.
const TEXT_BYTES_MAX: usize = 255;
/// The encoded length stands before the manifest, big-endian, and padding behind it.
const LENGTH_BYTES: usize = 4;
/// The manifest's key seals one thing once, so its nonce need not vary.
const NONCE: [u8; aead::NONCE_LEN] = [0; aead::NONCE_LEN];

/// Why a manifest is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ManifestError {
    /// The bytes are not those that the op names.
    #[error("asked for manifest {expected}, the bytes are {found}")]
    NotTheOne {
        /// The id in the op.
        expected: BlobId,
        /// The id of what came.
        found: BlobId,
    },
    /// The op's key and salt do not open it.
    #[error("the manifest does not open")]
    Seal(#[from] aead::OpenError),
    /// The padding is not what sealing would have added.
    #[error("the manifest's padding is wrong")]
    Padding,
    /// Not canonical CBOR of a manifest.
    #[error("cannot read the manifest")]
    Codec(#[from] CodecError),
    /// More than [`CHUNKS_MAX`] chunks, or more than [`BLOB_BYTES_MAX`] bytes.
    #[error("{chunks} chunks and {len} bytes are too many")]
    TooLong {
        /// How many chunks are listed.
        chunks: usize,
        /// How many bytes are claimed.
        len: u64,
    },
    /// The claimed length needs another number of chunks.
    #[error("{len} bytes do not make {chunks} chunks")]
    LengthLies {
        /// How many chunks are listed.
        chunks: usize,
        /// How many bytes are claimed.
        len: u64,
    },
    /// One chunk stands at two places, which no two seals give.
    #[error("chunk {chunk} is listed twice")]
    ChunkTwice {
        /// Which.
        chunk: BlobId,
    },
    /// A name, media type or thumbnail above its limit.
    #[error("the {what} has {len} bytes, at most {max} allowed")]
    DescriptionTooLong {
        /// Which field.
        what: &'static str,
        /// How long it is.
        len: usize,
        /// How long it may be.
        max: usize,
    },
}

/// What the sender says of a file. None of it is to be believed before it is made harmless.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Description {
    /// Its name.
    pub name: String,
    /// Its media type.
    pub media_type: String,
    /// A small picture of it, encoded by the sender.
    pub thumbnail: Option<Vec<u8>>,
}

/// A blob's chunks in order, its length, and what it is. Only one that respects every limit exists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    len: u64,
    chunks: Vec<BlobId>,
    description: Description,
}

/// The bytes of a manifest: a canonical CBOR map.
#[derive(Encode, Decode)]
#[cbor(map)]
struct Wire {
    #[n(0)]
    len: u64,
    #[n(1)]
    chunks: Vec<BlobId>,
    #[n(2)]
    media_type: String,
    #[n(3)]
    name: String,
    #[n(4)]
    thumbnail: Option<ByteVec>,
}

impl Manifest {
    /// Checks every limit.
    pub(crate) fn new(
        len: u64,
        chunks: Vec<BlobId>,
        description: Description,
    ) -> Result<Self, ManifestError> {
        if chunks.len() > CHUNKS_MAX || len > BLOB_BYTES_MAX {
            return Err(ManifestError::TooLong {
                chunks: chunks.len(),
                len,
            });
        }
        // An empty file still has one chunk, so that it looks like any small one.
        let needed = len.div_ceil(CHUNK_BYTES as u64).max(1);
        if needed != chunks.len() as u64 {
            return Err(ManifestError::LengthLies {
                chunks: chunks.len(),
                len,
            });
        }
        let mut seen = BTreeSet::new();
        if let Some(twice) = chunks.iter().find(|id| !seen.insert(**id)) {
            return Err(ManifestError::ChunkTwice { chunk: *twice });
        }
        let thumbnail = description.thumbnail.as_ref().map_or(0, Vec::len);
        for (what, len, max) in [
            ("name", description.name.len(), TEXT_BYTES_MAX),
            ("media type", description.media_type.len(), TEXT_BYTES_MAX),
            ("thumbnail", thumbnail, THUMBNAIL_BYTES_MAX),
        ] {
            if len > max {
                return Err(ManifestError::DescriptionTooLong { what, len, max });
            }
        }
        Ok(Self {
            len,
            chunks,
            description,
        })
    }

    /// Opens the sealed manifest that an op refers to.
    ///
    /// # Errors
    /// When it is another one, does not open, or claims what cannot be.
    pub fn open(blob: &BlobRef, sealed: &SealedChunk) -> Result<Self, ManifestError> {
        if sealed.id() != blob.manifest {
            return Err(ManifestError::NotTheOne {
                expected: blob.manifest,
                found: sealed.id(),
            });
        }
        let key = blob.key.manifest(&blob.salt);
        let padded = aead::open(&key, &NONCE, &[], sealed.bytes())?;
        let wire: Wire = codec::decode("blob manifest", strip(&padded)?)?;
        let description = Description {
            name: wire.name,
            media_type: wire.media_type,
            thumbnail: wire.thumbnail.map(Vec::from),
        };
        Self::new(wire.len, wire.chunks, description)
    }

    /// Seals under a key of its own, drawn from the blob's key and a fresh salt.
    pub(crate) fn seal(
        self,
        key: BlobKey,
        rng: &mut impl CryptoRng,
    ) -> Result<(BlobRef, SealedChunk), ManifestError> {
        let bytes = codec::encode(&Wire {
            len: self.len,
            chunks: self.chunks,
            media_type: self.description.media_type,
            name: self.description.name,
            thumbnail: self.description.thumbnail.map(ByteVec::from),
        });
        debug_assert!(bytes.len() <= MANIFEST_BYTES_MAX, "the limits add up");
        let len = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        let mut padded = Vec::with_capacity(padded_len(LENGTH_BYTES + bytes.len()));
        padded.extend_from_slice(&len.to_be_bytes());
        padded.extend_from_slice(&bytes);
        padded.resize(padded_len(padded.len()), 0);
        let salt = Salt::generate(rng);
        let sealed =
            SealedChunk::sealed_here(aead::seal(&key.manifest(&salt), &NONCE, &[], &padded));
        let blob = BlobRef {
            manifest: sealed.id(),
            key,
            salt,
        };
        Ok((blob, sealed))
    }

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

    /// Returns what the sender says of the file.
    #[must_use]
    pub const fn description(&self) -> &Description {
        &self.description
    }

    /// Returns whether this is the place of the last chunk.
    pub(crate) fn is_last(&self, index: ChunkIndex) -> bool {
        index.as_len() + 1 == self.chunks.len()
    }

    /// Returns how many bytes of content the chunk at this place holds.
    pub(crate) fn content_len(&self, index: ChunkIndex) -> usize {
        if !self.is_last(index) {
            return CHUNK_BYTES;
        }
        let before = u64::from(index.get()) * CHUNK_BYTES as u64;
        usize::try_from(self.len.saturating_sub(before)).unwrap_or(CHUNK_BYTES)
    }
}

/// Takes length and padding off.
fn strip(padded: &[u8]) -> Result<&[u8], ManifestError> {
    let (len, rest) = padded
        .split_first_chunk::<LENGTH_BYTES>()
        .ok_or(ManifestError::Padding)?;
    let len = usize::try_from(u32::from_be_bytes(*len)).unwrap_or(usize::MAX);
    let (bytes, padding) = rest.split_at_checked(len).ok_or(ManifestError::Padding)?;
    let as_sealed = padded.len() == padded_len(LENGTH_BYTES + len);
    if !as_sealed || padding.iter().any(|b| *b != 0) {
        return Err(ManifestError::Padding);
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand_chacha::ChaCha20Rng;
    use rand_chacha::rand_core::SeedableRng;

    fn ids(count: usize) -> Vec<BlobId> {
        (0..count as u64)
            .map(|n| BlobId::of_sealed(&n.to_be_bytes()))
            .collect()
    }

    fn largest() -> Manifest {
        let description = Description {
            name: "n".repeat(TEXT_BYTES_MAX),
            media_type: "m".repeat(TEXT_BYTES_MAX),
            thumbnail: Some(vec![9; THUMBNAIL_BYTES_MAX]),
        };
        Manifest::new(BLOB_BYTES_MAX, ids(CHUNKS_MAX), description).unwrap()
    }

    #[test]
    fn the_largest_manifest_is_no_longer_than_a_chunk_and_opens() {
        let rng = &mut ChaCha20Rng::from_seed([5; 32]);
        let (blob, sealed) = largest().seal(BlobKey::generate(rng), rng).unwrap();
        assert!(sealed.bytes().len() <= crate::SEALED_BYTES_MAX);
        assert_eq!(Manifest::open(&blob, &sealed), Ok(largest()));
    }

    #[test]
    fn limits_hold_on_both_sides() {
        let plain = Description::default;
        let chunk = CHUNK_BYTES as u64;
        for (len, count, fine) in [
            (0, 1, true),
            (0, 0, false),
            (1, 1, true),
            (chunk, 1, true),
            (chunk, 2, false),
            (chunk + 1, 2, true),
            (chunk + 1, 1, false),
            (BLOB_BYTES_MAX, CHUNKS_MAX, true),
            (BLOB_BYTES_MAX + 1, CHUNKS_MAX + 1, false),
            (u64::MAX, 1, false),
        ] {
            let made = Manifest::new(len, ids(count), plain());
            assert_eq!(made.is_ok(), fine, "{len} bytes in {count}");
        }
        let twice = vec![BlobId::ZERO; 2];
        assert_eq!(
            Manifest::new(chunk + 1, twice, plain()),
            Err(ManifestError::ChunkTwice {
                chunk: BlobId::ZERO
            })
        );
        for description in [
            Description {
                name: "n".repeat(256),
                ..plain()
            },
            Description {
                media_type: "n".repeat(256),
                ..plain()
            },
            Description {
                thumbnail: Some(vec![0; THUMBNAIL_BYTES_MAX + 1]),
                ..plain()
            },
        ] {
            assert!(matches!(
                Manifest::new(0, ids(1), description),
                Err(ManifestError::DescriptionTooLong { .. })
            ));
        }
    }

    /// Seals any bytes as if they were a manifest, as a hostile member can.
    fn forge(padded: &[u8]) -> (BlobRef, SealedChunk) {
        let rng = &mut ChaCha20Rng::from_seed([6; 32]);
        let (key, salt) = (BlobKey::generate(rng), Salt::generate(rng));
        let sealed = aead::seal(&key.manifest(&salt), &NONCE, &[], padded);
        let sealed = SealedChunk::from_bytes(sealed).unwrap();
        let blob = BlobRef {
            manifest: sealed.id(),
            key,
            salt,
        };
        (blob, sealed)
    }

    fn padded(bytes: &[u8]) -> Vec<u8> {
        let mut out = u32::try_from(bytes.len()).unwrap().to_be_bytes().to_vec();
        out.extend_from_slice(bytes);
        out.resize(padded_len(out.len()), 0);
        out
    }

    #[test]
    fn what_a_hostile_member_seals_is_refused_with_the_reason() {
        let lie = codec::encode(&Wire {
            len: 1 << 40,
            chunks: ids(1),
            media_type: String::new(),
            name: String::new(),
            thumbnail: None,
        });
        let fine = codec::encode(&Wire {
            len: 3,
            chunks: ids(1),
            media_type: String::new(),
            name: String::new(),
            thumbnail: None,
        });
        let mut dirty = padded(&fine);
        *dirty.last_mut().unwrap() = 1;
        let mut long = padded(&fine);
        long.push(0);
        let mut claims = padded(&fine);
        claims[..4].copy_from_slice(&u32::MAX.to_be_bytes());
        for (bytes, reason) in [
            (padded(&lie), "too many"),
            (padded(b"\xff"), "cannot read"),
            (padded(&[fine.clone(), vec![0]].concat()), "cannot read"),
            (dirty, "padding"),
            (long, "padding"),
            (claims, "padding"),
            (vec![], "padding"),
        ] {
            let (blob, sealed) = forge(&bytes);
            let error = Manifest::open(&blob, &sealed).unwrap_err();
            assert!(error.to_string().contains(reason), "{error}: {reason}");
        }
        let (blob, sealed) = forge(&padded(&fine));
        assert_eq!(Manifest::open(&blob, &sealed).unwrap().len(), 3);
    }

    #[test]
    fn another_salt_or_another_manifest_does_not_open() {
        let rng = &mut ChaCha20Rng::from_seed([7; 32]);
        let (blob, sealed) = largest().seal(BlobKey::generate(rng), rng).unwrap();
        let salted = BlobRef {
            salt: Salt::generate(rng),
            ..blob.clone()
        };
        assert!(matches!(
            Manifest::open(&salted, &sealed),
            Err(ManifestError::Seal(_))
        ));
        let (other, _) = largest().seal(blob.key.clone(), rng).unwrap();
        assert!(matches!(
            Manifest::open(&other, &sealed),
            Err(ManifestError::NotTheOne { .. })
        ));
    }
}
