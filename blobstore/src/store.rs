//! Where chunks are kept: the trait, and an implementation in memory.

use core::ops::ControlFlow;
use std::collections::BTreeMap;

use oplog::BlobId;
use oplog::store::StoreError;

use crate::chunk::SealedChunk;

/// Sealed chunks by id. Every implementation runs the suite `conformance` (feature `test-utils`).
///
/// Holds chunks of any origin: it never opens one and keeps no order between them. A
/// chunk may vanish (a cache was emptied, a disk was damaged); readers fetch it again.
pub trait ChunkStore {
    /// Keeps a chunk. Keeping it twice is keeping it once.
    ///
    /// # Errors
    /// When storage fails; then it is not kept.
    fn put(&mut self, chunk: &SealedChunk) -> Result<(), StoreError>;

    /// Returns a chunk, `None` when it is not here.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] when the bytes kept no longer hash to the id, and when storage fails.
    fn get(&self, id: &BlobId) -> Result<Option<SealedChunk>, StoreError>;

    /// Returns whether a chunk is here, without reading it.
    ///
    /// # Errors
    /// When storage fails.
    fn has(&self, id: &BlobId) -> Result<bool, StoreError>;

    /// Lets go of a chunk; returns whether it was here.
    ///
    /// # Errors
    /// When storage fails; then it may still be here.
    fn remove(&mut self, id: &BlobId) -> Result<bool, StoreError>;

    /// Returns the sealed bytes of all chunks together.
    ///
    /// # Errors
    /// When storage fails.
    fn size_bytes(&self) -> Result<u64, StoreError>;

    /// Visits every chunk's id and sealed length in bytes, by ascending id, until told to stop.
    ///
    /// # Errors
    /// When storage fails.
    fn visit(&self, each: &mut dyn FnMut(BlobId, u64) -> ControlFlow<()>)
    -> Result<(), StoreError>;
}

/// Chunks in memory, for tests and the simulator.
#[derive(Clone, Debug, Default)]
pub struct MemChunks(BTreeMap<BlobId, SealedChunk>);

impl MemChunks {
    /// Returns an empty store.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }
}

impl ChunkStore for MemChunks {
    fn put(&mut self, chunk: &SealedChunk) -> Result<(), StoreError> {
        self.0.insert(chunk.id(), chunk.clone());
        Ok(())
    }

    fn get(&self, id: &BlobId) -> Result<Option<SealedChunk>, StoreError> {
        Ok(self.0.get(id).cloned())
    }

    fn has(&self, id: &BlobId) -> Result<bool, StoreError> {
        Ok(self.0.contains_key(id))
    }

    fn remove(&mut self, id: &BlobId) -> Result<bool, StoreError> {
        Ok(self.0.remove(id).is_some())
    }

    fn size_bytes(&self) -> Result<u64, StoreError> {
        Ok(self.0.values().map(|c| c.bytes().len() as u64).sum())
    }

    fn visit(
        &self,
        each: &mut dyn FnMut(BlobId, u64) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        let _ = self
            .0
            .iter()
            .try_for_each(|(id, chunk)| each(*id, chunk.bytes().len() as u64));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_conforms() {
        crate::conformance::check(MemChunks::new).unwrap();
    }
}
