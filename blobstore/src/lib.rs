//! Files as sealed chunks that anybody may hold and only members can read (`docs/protocol.md` B17).
//!
//! A file becomes chunks of 256 KiB, each sealed under the file's own key and named by
//! the hash of its sealed bytes, and a manifest that lists them, sealed likewise. The
//! manifest's id, the key and a salt travel inside the op ([`BlobRef`]); whoever holds
//! a chunk learns its size class and its id.
//!
//! Pure: no files, network, clock or chance. Bytes are pushed in and chunks come out;
//! where they are kept is behind [`ChunkStore`], which the crate `store` implements on
//! disk. Not here: compression, placement on relays, transfer.
//!
//! # Invariants
//! - A key seals one content: chunk nonces count, so a second content under one key would
//!   reveal both. [`Sealer`] therefore draws its key itself, or takes one made from the content.
//! - No byte of plaintext leaves [`Opener`] before its chunk's id, seal, place and size were checked.
//! - Memory is bounded: one chunk in, one chunk out, and a manifest of at most [`CHUNKS_MAX`] ids.

#[cfg(any(test, feature = "test-utils"))]
pub mod conformance;

mod cache;
mod chunk;
mod key;
mod manifest;
mod open;
mod pad;
mod seal;
mod store;

pub use cache::{CachePolicy, Holder};
pub use chunk::{
    BLOB_BYTES_MAX, CHUNK_BYTES, CHUNKS_MAX, ChunkError, ChunkIndex, SEALED_BYTES_MAX, SealedChunk,
};
pub use key::{BlobKey, BlobRef, ContentDigest, ContentHasher, DedupKey, DeleteToken, Salt};
pub use manifest::{Description, MANIFEST_BYTES_MAX, Manifest, ManifestError, THUMBNAIL_BYTES_MAX};
pub use open::{OpenError, Opener, missing};
pub use pad::{PADDED_BYTES_MIN, padded_len};
pub use seal::{SealError, Sealed, Sealer};
pub use store::{ChunkStore, MemChunks};
