//! The few things log, vault and chunks ask of a file system.
//!
//! Paths are relative to the profile folder, with `/` between parts. The trait
//! is what the simulator implements to lose, tear and flip; so nothing here is
//! convenient, and nothing is hidden: a write is durable after [`DiskFile::sync`],
//! a name after [`Disk::sync_dir`] of its folder, and not before.

use oplog::store::StoreError;

/// An open file, read and written at positions.
pub trait DiskFile: Send + Sync {
    /// Returns the length in bytes.
    ///
    /// # Errors
    /// When the file system fails.
    fn size(&self) -> Result<u64, StoreError>;

    /// Fills `buf` from `offset`.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] when the file ends before.
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<(), StoreError>;

    /// Writes all of `bytes` at `offset`, growing the file as needed.
    ///
    /// # Errors
    /// [`StoreError::Full`] without room; then a part may have been written.
    fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<(), StoreError>;

    /// Cuts or grows the file; what is new is zero.
    ///
    /// # Errors
    /// When the file system fails.
    fn set_len(&self, len: u64) -> Result<(), StoreError>;

    /// Makes the content survive a power cut (`fdatasync`).
    ///
    /// # Errors
    /// When the file system fails. What was written since the last sync is then in doubt for
    /// ever: a later sync that succeeds says nothing about it.
    fn sync(&self) -> Result<(), StoreError>;
}

/// A folder of files. Clones mean the same folder.
pub trait Disk: Clone + Send {
    /// An open file.
    type File: DiskFile;

    /// Opens a file that exists; `None` when it does not.
    ///
    /// # Errors
    /// When the file system fails.
    fn open(&self, path: &str) -> Result<Option<Self::File>, StoreError>;

    /// Creates a file, empty, over whatever had the name.
    ///
    /// # Errors
    /// When the file system fails.
    fn create(&self, path: &str) -> Result<Self::File, StoreError>;

    /// Creates a folder and those above it, unless they exist.
    ///
    /// # Errors
    /// When the file system fails.
    fn create_dir(&self, path: &str) -> Result<(), StoreError>;

    /// Lists the names in a folder, sorted; none when there is no such folder.
    ///
    /// # Errors
    /// When the file system fails.
    fn list(&self, dir: &str) -> Result<Vec<String>, StoreError>;

    /// Gives a file another name in the same folder, over whatever had it.
    ///
    /// # Errors
    /// When the file system fails.
    fn rename(&self, from: &str, to: &str) -> Result<(), StoreError>;

    /// Removes a file; nothing happens when there is none.
    ///
    /// # Errors
    /// When the file system fails.
    fn remove(&self, path: &str) -> Result<(), StoreError>;

    /// Removes a folder with all it holds; nothing happens when there is none.
    ///
    /// # Errors
    /// When the file system fails.
    fn remove_dir(&self, path: &str) -> Result<(), StoreError>;

    /// Makes the names in a folder survive a power cut. The empty path is the profile folder.
    ///
    /// # Errors
    /// When the file system fails.
    fn sync_dir(&self, dir: &str) -> Result<(), StoreError>;

    /// Returns the bytes that can still be written; `None` when nobody can say.
    fn free_bytes(&self) -> Option<u64>;
}

/// Names something that is not what was written.
pub(crate) fn damaged(what: impl Into<String>) -> StoreError {
    StoreError::Damaged { what: what.into() }
}

/// Wraps what a library or the operating system said.
pub(crate) fn failed(
    doing: &'static str,
    source: impl Into<Box<dyn core::error::Error + Send + Sync>>,
) -> StoreError {
    StoreError::Io {
        doing,
        source: source.into(),
    }
}

/// Writes part of a file again as it reads, so that the next sync really writes it: after a sync
/// that failed, what reads well may be on no disk, and the kernel takes it for written.
pub(crate) fn write_again(file: &impl DiskFile, from: u64, to: u64) -> Result<(), StoreError> {
    let len = usize::try_from(to.saturating_sub(from)).map_err(|_long| StoreError::Full)?;
    let mut bytes = vec![0; len];
    file.read_at(from, &mut bytes)?;
    file.write_at(from, &bytes)
}

/// Returns the folder part of a path, empty at the top.
pub(crate) fn parent(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(dir, _)| dir)
}
