//! Sealed chunks of blobs as plain files, named by their hash.
//!
//! They need no seal of their own (`blobstore` seals them) and no log: a chunk is
//! whole when its bytes have its name. Two levels of folders keep folders small.

use core::fmt;
use core::ops::ControlFlow;

use oplog::BlobId;
use oplog::store::StoreError;

use crate::disk::{Disk, DiskFile, damaged, parent};

const DIR: &str = "chunks";

/// The chunks of one profile.
pub struct ChunkDir<D: Disk> {
    disk: D,
    total_bytes: u64,
}

impl<D: Disk> ChunkDir<D> {
    /// Opens `chunks/` and counts what is there. Cost: one look at every file.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn open(disk: D) -> Result<Self, StoreError> {
        let mut chunks = Self {
            disk,
            total_bytes: 0,
        };
        for id in chunks.list()? {
            chunks.total_bytes += chunks.size(&id)?.unwrap_or(0);
        }
        Ok(chunks)
    }

    /// Keeps a chunk, durably on return. Nothing happens when it is there whole.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] when the bytes do not have this id, [`StoreError::Full`], or
    /// when the disk fails.
    pub fn put(&mut self, id: &BlobId, sealed: &[u8]) -> Result<(), StoreError> {
        if BlobId::of_sealed(sealed) != *id {
            return Err(damaged(format!("chunk {} to be stored", id.short())));
        }
        match self.get(id) {
            Ok(Some(_)) => return Ok(()),
            Ok(None) => {}
            // Here is the good copy.
            Err(StoreError::Damaged { .. }) => {
                self.remove(id)?;
            }
            Err(e) => return Err(e),
        }
        let path = path_of(id);
        let dir = parent(&path);
        self.disk.create_dir(dir)?;
        // Under another name first: a file by its name is whole.
        let new = format!("{path}.new");
        let file = self.disk.create(&new)?;
        let written = file.write_at(0, sealed).and_then(|()| file.sync());
        if written.is_err() {
            self.disk.remove(&new)?;
        }
        written?;
        self.disk.rename(&new, &path)?;
        for dir in [dir, parent(dir), DIR, ""] {
            self.disk.sync_dir(dir)?;
        }
        self.total_bytes += sealed.len() as u64;
        Ok(())
    }

    /// Returns a chunk, checked against its id; `None` when it is not here.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] when the bytes are no longer the chunk: remove it and fetch it
    /// again.
    pub fn get(&self, id: &BlobId) -> Result<Option<Vec<u8>>, StoreError> {
        let Some(file) = self.disk.open(&path_of(id))? else {
            return Ok(None);
        };
        let len = usize::try_from(file.size()?).map_err(|_big| damaged("a chunk's size"))?;
        let mut sealed = vec![0; len];
        file.read_at(0, &mut sealed)?;
        if BlobId::of_sealed(&sealed) != *id {
            return Err(damaged(format!("chunk {}", id.short())));
        }
        Ok(Some(sealed))
    }

    /// Says whether a file has this name. Does not read it.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn has(&self, id: &BlobId) -> Result<bool, StoreError> {
        Ok(self.disk.open(&path_of(id))?.is_some())
    }

    /// Removes a chunk; returns whether it was here.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn remove(&mut self, id: &BlobId) -> Result<bool, StoreError> {
        let Some(bytes) = self.size(id)? else {
            return Ok(false);
        };
        let path = path_of(id);
        self.disk.remove(&path)?;
        self.disk.sync_dir(parent(&path))?;
        self.total_bytes = self.total_bytes.saturating_sub(bytes);
        Ok(true)
    }

    /// Visits every chunk's id and sealed length in bytes, by ascending id, until told to stop.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn visit(
        &self,
        each: &mut dyn FnMut(BlobId, u64) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        for id in self.list()? {
            let bytes = self.size(&id)?.unwrap_or(0);
            if each(id, bytes).is_break() {
                break;
            }
        }
        Ok(())
    }

    /// Returns the ids of all chunks, ascending. Removes what an interrupted [`ChunkDir::put`] left.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn list(&self) -> Result<Vec<BlobId>, StoreError> {
        let mut ids = Vec::new();
        for first in self.disk.list(DIR)? {
            for second in self.disk.list(&format!("{DIR}/{first}"))? {
                let dir = format!("{DIR}/{first}/{second}");
                for name in self.disk.list(&dir)? {
                    if name.ends_with(".new") {
                        self.disk.remove(&format!("{dir}/{name}"))?;
                    }
                    ids.extend(name.parse::<BlobId>().ok());
                }
            }
        }
        Ok(ids)
    }

    /// Returns the bytes of all chunks.
    #[must_use]
    pub const fn total_bytes(&self) -> u64 {
        self.total_bytes
    }

    fn size(&self, id: &BlobId) -> Result<Option<u64>, StoreError> {
        match self.disk.open(&path_of(id))? {
            Some(file) => Ok(Some(file.size()?)),
            None => Ok(None),
        }
    }
}

impl<D: Disk> fmt::Debug for ChunkDir<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ChunkDir({} bytes)", self.total_bytes)
    }
}

fn path_of(id: &BlobId) -> String {
    let [first, second, ..] = id.as_bytes();
    format!("{DIR}/{first:02x}/{second:02x}/{id}")
}

impl<D: Disk> blobstore::ChunkStore for ChunkDir<D> {
    fn put(&mut self, chunk: &blobstore::SealedChunk) -> Result<(), StoreError> {
        Self::put(self, &chunk.id(), chunk.bytes())
    }

    fn get(&self, id: &BlobId) -> Result<Option<blobstore::SealedChunk>, StoreError> {
        let Some(bytes) = Self::get(self, id)? else {
            return Ok(None);
        };
        let chunk = blobstore::SealedChunk::expect(*id, bytes);
        chunk.map(Some).map_err(|error| StoreError::Damaged {
            what: error.to_string(),
        })
    }

    fn has(&self, id: &BlobId) -> Result<bool, StoreError> {
        Self::has(self, id)
    }

    fn remove(&mut self, id: &BlobId) -> Result<bool, StoreError> {
        Self::remove(self, id)
    }

    fn size_bytes(&self) -> Result<u64, StoreError> {
        Ok(self.total_bytes())
    }

    fn visit(
        &self,
        each: &mut dyn FnMut(BlobId, u64) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        Self::visit(self, each)
    }
}
