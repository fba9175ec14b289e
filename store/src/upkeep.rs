//! What can wait for an idle moment, and what goes for good: merging, rewriting, removing.

use std::collections::BTreeSet;

use oplog::SpaceId;
use oplog::store::{Store, StoreError};

use crate::disk::{Disk, DiskFile, failed};
use crate::log::Merging;
use crate::profile::{META, Profile};
use crate::rows::{Index, RowChange, Rows};
use crate::segment::RECORDS_AT;
use crate::state::FileKey;
use crate::vault::{BANK_SLOTS, SlotKind};

const RESERVE_PATH: &str = "reserve.bin";
/// The reserve comes back when this many times its size is free.
const RESERVE_MARGIN: u64 = 4;
/// With fewer free slots than this in the vault the oldest segments are merged. Guess: an eighth
/// of a bank.
pub(crate) const SLOTS_LOW: usize = BANK_SLOTS / 8;
/// Size of a file of merged segments. Guess: eight full segments.
pub(crate) const BUNDLE_BYTES: u64 = 8 * crate::segment::SEGMENT_BYTES as u64;
/// Neighbours that together are no larger than one segment are merged when there are this many.
const SMALL_FILES: usize = 4;

impl<D: Disk, I: Index + Clone> Profile<D, I> {
    /// Does what can wait for an idle moment: moves the index's recent rows to where a start
    /// need not replay them, rewrites the journal of kept rows, merges old segments when the vault
    /// runs out of slots and small ones anyway, takes the reserve back. At most one merge a call.
    ///
    /// # Errors
    /// When the index fails.
    pub fn flush_idle(&mut self) -> Result<(), StoreError> {
        self.nothing_staged()?;
        Store::sync(self)?;
        self.rewrite_state();
        self.merge_some()?;
        self.hold_reserve();
        self.mark_all()?;
        self.rows_mut()?.flush_idle()
    }

    /// What comes before closing: everything synced, and the index as a start reads it fastest.
    ///
    /// # Errors
    /// When the disk or the index fails.
    pub fn flush_last(&mut self) -> Result<(), StoreError> {
        self.nothing_staged()?;
        Store::sync(self)?;
        self.mark_all()?;
        self.rows_mut()?.flush_last()
    }

    /// Notes how far each log is whole: the next opening then need not look.
    fn mark_all(&mut self) -> Result<(), StoreError> {
        let marks = self.log.spaces().map(|s| self.mark_row(&s));
        let marks: Vec<RowChange> = marks.collect();
        let rows = self.rows_mut()?;
        rows.apply(&marks)
            .and_then(|()| rows.sync())
            .inspect_err(|_| self.poisoned = true)
    }

    /// Removes the log of a Space and erases its keys, for good. Its rows are the caller's to
    /// remove. Nothing may be staged.
    ///
    /// # Errors
    /// When something is staged, or the disk fails.
    pub fn remove_space(&mut self, space: &SpaceId) -> Result<(), StoreError> {
        self.behind.remove(space);
        self.behind_committed.remove(space);
        self.durable.remove(space);
        self.marks_moved.remove(space);
        let unmark = RowChange {
            table: META.into(),
            key: self.mark_key(space),
            value: None,
        };
        self.supersede(vec![unmark])?;
        let keys = self.log.remove_space(space)?;
        self.vault.erase_now(&keys)?;
        Ok(())
    }

    /// Erases one segment and its key, for good; not the newest. Rows that point into it are
    /// the caller's to remove. Nothing may be staged.
    ///
    /// # Errors
    /// When something is staged, it is the newest segment, or the disk fails.
    pub fn erase_segment(&mut self, space: &SpaceId, number: u32) -> Result<(), StoreError> {
        self.supersede(Vec::new())?;
        if self.log.segments(space).last() == Some(&number) {
            return Err(failed("erase a segment", "it is the newest"));
        }
        let others = self.log.bundled_with(space, number);
        if !others.is_empty() {
            return self.merge(space, &others);
        }
        let key = self.log.remove_segment(space, number)?;
        self.vault.erase_now(&BTreeSet::from([key]))?;
        Ok(())
    }

    /// Merges one run of segments, if any is worth it.
    fn merge_some(&mut self) -> Result<(), StoreError> {
        let small = Merging {
            bytes_max: self.options.segment_bytes.saturating_sub(RECORDS_AT).into(),
            files_min: SMALL_FILES,
        };
        let old = Merging {
            bytes_max: self.options.bundle_bytes,
            files_min: 2,
        };
        let pressed = self.vault.free_count() < self.options.slots_low;
        let run = pressed.then(|| self.log.mergeable(old)).flatten();
        let run = run.or_else(|| self.log.mergeable(small));
        let Some((space, numbers)) = run else {
            return Ok(());
        };
        // No opening may write once more into a file that is gone.
        self.supersede(Vec::new())?;
        match self.merge(&space, &numbers) {
            // Worth another try, or known as damaged from now on: neither is in anybody's way.
            Err(error) if !self.poisoned => {
                tracing::debug!(%error, "cannot merge segments");
                Ok(())
            }
            result => result,
        }
    }

    /// Puts segments into one file under a new key and erases the old keys.
    fn merge(&mut self, space: &SpaceId, numbers: &[u32]) -> Result<(), StoreError> {
        let key = FileKey::draw(&mut self.chance);
        self.vault
            .put_now(SlotKind::Segment, key.label, &key.key, &mut self.chance)?;
        let named = (key.label, &key.key);
        let merged = self.log.merge(space, numbers, named, &mut self.chance);
        let (unneeded, result) = match merged {
            Ok(unneeded) => (unneeded, Ok(())),
            Err((error, true)) => {
                self.poisoned = true;
                return Err(error);
            }
            Err((error, false)) => (BTreeSet::from([key.label]), Err(error)),
        };
        // A key that stays is erased at the next opening.
        let erased = self.vault.erase_now(&unneeded);
        erased.inspect_err(|_| self.poisoned = true)?;
        result
    }

    pub(crate) fn rewrite_state(&mut self) {
        if !self.state.wants_rewrite() {
            return;
        }
        let key = FileKey::draw(&mut self.chance);
        let label = key.label;
        let kept = self
            .vault
            .put_now(SlotKind::Segment, label, &key.key, &mut self.chance);
        let outcome = kept.map_err(|e| (e.into(), false));
        let outcome = outcome.and_then(|()| self.state.rewrite(key, &mut self.chance));
        let unneeded = match outcome {
            Ok(old) => old,
            Err((error, unknown)) => {
                tracing::debug!(%error, "cannot rewrite the journal of kept rows");
                self.poisoned |= unknown;
                label
            }
        };
        // A key that stays is erased at the next opening; while it is not known which file
        // counts, both keys must stay.
        if !self.poisoned && self.vault.erase_now(&BTreeSet::from([unneeded])).is_err() {
            self.poisoned = true;
        }
    }

    /// Gives the reserved room back to the disk. Returns whether there was any.
    pub(crate) fn release_reserve(&mut self) -> bool {
        let held = core::mem::take(&mut self.reserve_held);
        held && remove_reserve(&self.disk).unwrap_or(false)
    }

    /// Takes the reserve, when there is room enough not to be in the way.
    pub(crate) fn hold_reserve(&mut self) {
        let bytes = self.options.reserve_bytes;
        if self.reserve_held || bytes == 0 {
            return;
        }
        let roomy = |free| free >= bytes.saturating_mul(RESERVE_MARGIN);
        if self.disk.free_bytes().is_none_or(roomy) {
            self.reserve_held = fill(&self.disk, bytes).is_ok();
            if !self.reserve_held && self.disk.remove(RESERVE_PATH).is_err() {
                tracing::debug!("a partial reserve stays");
            }
        }
    }

    /// Whatever else lies there is in nobody's way.
    pub(crate) fn reserve_is_there(disk: &D, bytes: u64) -> bool {
        let file = disk.open(RESERVE_PATH).ok().flatten();
        file.is_some_and(|file| file.size().is_ok_and(|size| size >= bytes))
    }
}

/// Gives the reserved room back to the disk, whole or not. Returns whether there was any.
pub(crate) fn remove_reserve(disk: &impl Disk) -> Result<bool, StoreError> {
    let Some(file) = disk.open(RESERVE_PATH)? else {
        return Ok(false);
    };
    let bytes = file.size()?;
    // The room comes back once nobody holds the file open.
    drop(file);
    disk.remove(RESERVE_PATH)?;
    Ok(bytes > 0)
}

fn fill(disk: &impl Disk, bytes: u64) -> Result<(), StoreError> {
    let file = disk.create(RESERVE_PATH)?;
    let zeros = vec![0; 1024 * 1024];
    let mut at = 0;
    while at < bytes {
        let n = usize::try_from(bytes - at).map_or(zeros.len(), |left| left.min(zeros.len()));
        file.write_at(at, zeros.get(..n).unwrap_or_default())?;
        at += n as u64;
    }
    file.sync()
}
