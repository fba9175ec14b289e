//! Storage on disk: a log of sealed records, a vault of secrets, an index of rows, chunks of blobs.
//!
//! Implements [`oplog::store::Store`]. Three kinds of state in three places
//! (`docs/storage.md`): what is true is in the log, what is secret is in the
//! vault, what is derived is in the index and may be dropped at any time. Rows
//! that nothing can derive again are kept in a small journal of their own.
//!
//! `segment`, `log`, `vault`, `state` and `profile` are pure over [`Disk`] and
//! [`Index`], so that the simulator can tear, lose, flip and fill; the real file
//! system and fjall come with the feature `disk`.
//!
//! # Invariants
//! - Opening never fails because of damaged records, a damaged index or a torn write.
//! - What was committed is there after a crash of the process, all of it or nothing.
//! - What was synced is there after a power cut.
//! - A secret is on disk only sealed, and in no file once it is erased.

mod chance;
mod chunks;
mod commit;
mod disk;
mod log;
mod mem_index;
mod profile;
mod recovery;
mod rows;
mod sealed_rows;
mod segment;
mod state;
mod superblock;
mod upkeep;
mod vault;

#[cfg(any(test, feature = "test-utils"))]
pub mod conformance;
#[cfg(feature = "disk")]
mod folder;
#[cfg(feature = "disk")]
mod index;
#[cfg(any(test, feature = "test-utils"))]
mod mem_disk;
#[cfg(feature = "disk")]
mod real_disk;

pub use chance::Chance;
pub use chunks::ChunkDir;
pub use disk::{Disk, DiskFile};
#[cfg(feature = "disk")]
pub use folder::{DiskStore, ProfileLock};
#[cfg(feature = "disk")]
pub use index::FjallIndex;
pub use log::{Log, Mark, Write};
#[cfg(any(test, feature = "test-utils"))]
pub use mem_disk::{MemDisk, MemFile, Unsynced};
pub use mem_index::{MemIndex, MemRows};
pub use profile::{KEPT_TABLES, OpenError, Options, Profile, Stats, Unindexed};
#[cfg(feature = "disk")]
pub use real_disk::RealDisk;
pub use recovery::{BadPart, Recovery};
pub use rows::{Index, RowChange, Rows};
pub use segment::{SEGMENT_BYTES, Scanned, Scanner, SegmentContext};
pub use superblock::{KdfCost, RootKey, Unlock};
pub use vault::{BANK_SLOTS, BANKS_MAX, SlotKind, Vault, VaultError, VaultReport};
