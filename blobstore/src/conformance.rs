//! What every [`ChunkStore`] must do, as one suite.

use core::ops::ControlFlow;

use oplog::BlobId;
use oplog::store::StoreError;

use crate::chunk::{ChunkError, SEALED_BYTES_MAX, SealedChunk};
use crate::store::ChunkStore;

/// Runs every check, each on an empty store from `make`.
///
/// # Errors
/// When the store fails, which no check provokes.
///
/// # Panics
/// When the store does not do what the trait says; the message names it.
pub fn check<S: ChunkStore>(mut make: impl FnMut() -> S) -> Result<(), StoreError> {
    an_empty_store_holds_nothing(&make())?;
    a_chunk_comes_back_as_it_went(&mut make())?;
    keeping_twice_is_keeping_once(&mut make())?;
    what_is_removed_is_gone(&mut make())?;
    visits_are_in_order_and_stop_when_told(&mut make())
}

fn an_empty_store_holds_nothing(store: &impl ChunkStore) -> Result<(), StoreError> {
    let id = BlobId::of_sealed(b"absent");
    assert_eq!(store.get(&id)?, None, "an absent chunk was returned");
    assert!(!store.has(&id)?, "an absent chunk is said to be here");
    assert_eq!(store.size_bytes()?, 0, "an empty store has a size");
    Ok(())
}

fn a_chunk_comes_back_as_it_went(store: &mut impl ChunkStore) -> Result<(), StoreError> {
    for len in [16, 17, 4096, SEALED_BYTES_MAX] {
        let chunk = sample(1, len)?;
        store.put(&chunk)?;
        assert!(store.has(&chunk.id())?, "a kept chunk is not here");
        let back = store.get(&chunk.id())?;
        assert_eq!(back.as_ref(), Some(&chunk), "a chunk came back changed");
    }
    Ok(())
}

fn keeping_twice_is_keeping_once(store: &mut impl ChunkStore) -> Result<(), StoreError> {
    let chunk = sample(2, 500)?;
    store.put(&chunk)?;
    store.put(&chunk)?;
    assert_eq!(store.size_bytes()?, 500, "a second copy was counted");
    assert!(
        store.remove(&chunk.id())?,
        "a kept chunk could not be removed"
    );
    assert!(!store.has(&chunk.id())?, "a second copy was kept");
    Ok(())
}

fn what_is_removed_is_gone(store: &mut impl ChunkStore) -> Result<(), StoreError> {
    let (gone, stays) = (sample(3, 100)?, sample(4, 200)?);
    store.put(&gone)?;
    store.put(&stays)?;
    assert!(
        store.remove(&gone.id())?,
        "a kept chunk could not be removed"
    );
    assert!(!store.remove(&gone.id())?, "a chunk was removed twice");
    assert_eq!(store.get(&gone.id())?, None, "a removed chunk was returned");
    assert_eq!(
        store.get(&stays.id())?.as_ref(),
        Some(&stays),
        "another chunk went too"
    );
    assert_eq!(
        store.size_bytes()?,
        200,
        "the size is not that of what is left"
    );
    store.put(&gone)?;
    assert!(
        store.has(&gone.id())?,
        "a removed chunk could not come back"
    );
    Ok(())
}

fn visits_are_in_order_and_stop_when_told(store: &mut impl ChunkStore) -> Result<(), StoreError> {
    let mut expected = Vec::new();
    for n in 0..20_u8 {
        let chunk = sample(n, 100 + usize::from(n))?;
        expected.push((chunk.id(), chunk.bytes().len() as u64));
        store.put(&chunk)?;
    }
    expected.sort_unstable();
    let mut seen = Vec::new();
    store.visit(&mut |id, len| {
        seen.push((id, len));
        ControlFlow::Continue(())
    })?;
    assert_eq!(seen, expected, "a visit missed chunks, or their order");
    let mut first = 0;
    store.visit(&mut |_, _| {
        first += 1;
        ControlFlow::Break(())
    })?;
    assert_eq!(first, 1, "a visit went on after it was told to stop");
    Ok(())
}

fn sample(fill: u8, len: usize) -> Result<SealedChunk, StoreError> {
    SealedChunk::from_bytes(vec![fill; len]).map_err(|error: ChunkError| StoreError::Io {
        doing: "make a sample chunk",
        source: Box::new(error),
    })
}
