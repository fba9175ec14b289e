//! Commits: what happens in which order, and what an error leaves behind.
//!
//! # The order of effects, and why a crash anywhere is harmless
//! 0. Keys of new segments go into the vault, synced. A crash leaves a key that no file
//!    names; opening erases it.
//! 1. New secrets go into the vault, synced, marked as not yet committed. A crash leaves
//!    marks above the recorded counter; opening erases them. The old values are still there.
//! 2. When kept rows or secrets are part of the commit, one synced batch in the journal
//!    `state/` holds all of it: kept rows, bytes for the logs, rows for the index, erased
//!    labels. **This is the commit.** Opening writes the bytes and rows again that are missing.
//!    Whatever earlier commits left unsynced is synced before, so that this batch is never
//!    durable ahead of what it builds on.
//! 3. Bytes go into the logs.
//! 4. One batch of rows, with how far each log is indexed, goes into the index. Without step 2
//!    **this is the commit**: a crash between 3 and 4 leaves records beyond the mark, which
//!    [`Profile::take_unindexed`] hands out to be judged and indexed like any that arrive.
//! 5. Replaced and erased secrets are zeroed, synced. A crash before leaves them named in the
//!    last batch of the journal; opening zeroes them.
//!
//! # What an error leaves behind
//! Nothing: a commit that was refused must not come back, since whoever asked for it was told so,
//! and may have written something else in its place. Before the commit stands, what was written
//! is cut off again, durably: the bytes of the logs first, then the batch in the journal. Cutting
//! takes no room. When even that fails, the error says that it may be there, and resuming tries
//! again before it reads anything.
//!
//! Once the batch stands in the journal there is no way back, and no need: the commit is
//! reported as done, and the store refuses to go on until [`Profile::resume`] has completed it.
//! Syncing fails until then, so that nobody is told anything that cannot be read.
//!
//! After a failed sync only the disk knows what counts: the store refuses to write until
//! [`Profile::resume`] has read it again, which is a crash without the crash. Callers reload what
//! they hold in memory.

use std::collections::BTreeSet;

use oplog::SpaceId;
use oplog::store::{Store, StoreError};

use crate::disk::{Disk, failed};
use crate::profile::{HEAD_KEY, MARK_PREFIX, META, Profile};
use crate::rows::{Index, RowChange, Rows};
use crate::state::{Batch, Recorded, encode_mark};
use crate::vault::SlotKind;

/// Why a commit failed.
pub(crate) struct Failed {
    pub(crate) error: StoreError,
    /// It may count all the same. Otherwise nothing of it does, once what is staged is dropped.
    pub(crate) unsure: bool,
}

impl From<StoreError> for Failed {
    fn from(error: StoreError) -> Self {
        Self {
            error,
            unsure: false,
        }
    }
}

fn unsure(error: StoreError) -> StoreError {
    failed("take back what could not be saved; it may be there", error)
}

impl<D: Disk, I: Index + Clone> Profile<D, I> {
    /// Commits these rows with all else that is staged.
    pub(crate) fn try_commit(
        &mut self,
        kept: &[RowChange],
        rows: &mut Vec<RowChange>,
    ) -> Result<(), Failed> {
        if let Some(why) = self.unfit {
            return Err(failed("store a row", why).into());
        }
        if kept.is_empty()
            && rows.is_empty()
            && self.secrets.is_empty()
            && self.log.staged().is_empty()
            && self.marks_moved.is_empty()
        {
            return Ok(());
        }
        let begun = self
            .log
            .begun_keys()
            .map(|(label, key)| (label, key.clone()));
        for (label, key) in begun.collect::<Vec<_>>() {
            self.vault
                .put_now(SlotKind::Segment, label, &key, &mut self.chance)
                .map_err(StoreError::from)?;
        }
        let in_journal = !kept.is_empty() || !self.secrets.is_empty();
        if in_journal && self.unsynced {
            self.sync()?;
        }
        let derived = rows.len();
        let seq = self.seq + 1;
        let reached = self.commit_point(kept, rows, seq, in_journal);
        let recorded = match reached {
            Ok(recorded) => recorded,
            Err(failed) => {
                rows.truncate(derived);
                return Err(failed);
            }
        };
        if let Err(error) = self.apply_rows(rows, seq) {
            self.poisoned = true;
            if !in_journal {
                return Err(error.into());
            }
            // It stands in the journal: opening again completes it.
            tracing::debug!(%error, "the index takes no rows");
        }
        self.log.settle_staged();
        if let Some(recorded) = recorded {
            self.state.adopt(recorded);
        }
        self.seq = seq;
        if !self.secrets.is_empty()
            && let Err(error) = self.vault.finish()
        {
            // What is left over goes when the vault settles.
            tracing::debug!(%error, "replaced secrets are not erased yet");
            self.poisoned = true;
        }
        Ok(())
    }

    /// Everything up to the point where the commit stands, and the bytes of the logs. Adds the
    /// store's own rows to those of the index.
    fn commit_point(
        &mut self,
        kept: &[RowChange],
        rows: &mut Vec<RowChange>,
        seq: u64,
        in_journal: bool,
    ) -> Result<Option<Recorded>, Failed> {
        let mut vault_counter = self.vault.counter();
        if !self.secrets.is_empty() {
            match self.vault.begin(&self.secrets, &mut self.chance) {
                Ok(counter) => vault_counter = counter,
                Err(e) => {
                    self.undo_vault();
                    return Err(StoreError::from(e).into());
                }
            }
        }
        let state_seq = if in_journal {
            seq
        } else {
            self.state.last().seq
        };
        rows.extend(self.meta_rows(seq, state_seq, vault_counter));
        let mut recorded = None;
        if in_journal {
            let erased = self.secrets.iter().filter(|(_, s)| s.is_none());
            let batch = Batch {
                seq,
                vault_counter,
                kept: kept.to_vec(),
                erased: erased.map(|(label, _)| *label).collect(),
                writes: self.log.staged().to_vec(),
                rows: rows.clone(),
            };
            match self.state.record(batch, &mut self.chance) {
                Ok(done) => recorded = Some(done),
                Err((error, true)) => return Err(self.unsure(error)),
                Err((error, false)) => {
                    self.undo_vault();
                    return Err(error.into());
                }
            }
        }
        self.unsynced = true;
        let mut written = self.log.write_staged();
        if written.is_err() && in_journal && self.release_reserve() {
            // The reserve is for this.
            written = self.log.write_staged();
        }
        match written {
            Ok(()) => Ok(recorded),
            Err(error) if !in_journal => Err(error.into()),
            Err(error) => self.back_out(error).map(|()| recorded),
        }
    }

    /// The logs do not take their bytes: has the commit not happen. Returns without an error when
    /// it stands all the same, for opening to complete it.
    fn back_out(&mut self, error: StoreError) -> Result<(), Failed> {
        // The logs first: while the batch is in the journal, opening writes the bytes again.
        let Ok(unneeded) = self.log.drop_staged() else {
            tracing::debug!(%error, "the log takes no bytes");
            self.poisoned = true;
            return Ok(());
        };
        if let Err(error) = self.state.withdraw() {
            return Err(self.unsure(error));
        }
        self.undo_vault();
        self.poisoned |= self.vault.erase_now(&unneeded).is_err();
        Err(error.into())
    }

    /// Puts the rows of commit `seq` into the index. An index that failed once takes nothing more
    /// until it is opened again, and the reserve may help.
    fn apply_rows(&mut self, rows: &[RowChange], seq: u64) -> Result<(), StoreError> {
        let Err(error) = self.rows_mut().and_then(|r| r.apply(rows)) else {
            return Ok(());
        };
        // Closing it may still write what failed, so that comes before there is room again.
        self.rows = None;
        self.release_reserve();
        let applied = match self.reopen_rows() {
            Ok(Some(found)) if found == seq => Ok(()),
            Ok(Some(found)) if found == self.seq => self.rows_mut().and_then(|r| r.apply(rows)),
            Ok(_) => Err(error),
            Err(error) => Err(error),
        };
        if applied.is_err() {
            self.rows = None;
        }
        applied
    }

    /// Only opening again tells whether the commit counts.
    fn unsure(&mut self, error: StoreError) -> Failed {
        self.poisoned = true;
        Failed {
            error: unsure(error),
            unsure: true,
        }
    }

    fn meta_rows(&self, seq: u64, state_seq: u64, vault_counter: u64) -> Vec<RowChange> {
        let mut rows = vec![self.head_row(seq, state_seq, vault_counter)];
        let touched = self.log.staged().iter().map(|w| w.space);
        let touched: BTreeSet<SpaceId> = touched.chain(self.marks_moved.clone()).collect();
        rows.extend(touched.iter().map(|space| self.mark_row(space)));
        rows
    }

    pub(crate) fn head_row(&self, seq: u64, state_seq: u64, vault_counter: u64) -> RowChange {
        let head = [
            self.options.schema.as_bytes().as_slice(),
            &self.profile_id,
            &seq.to_le_bytes(),
            &state_seq.to_le_bytes(),
            &vault_counter.to_le_bytes(),
        ];
        RowChange {
            table: META.into(),
            key: HEAD_KEY.to_vec(),
            value: Some(head.concat()),
        }
    }

    pub(crate) fn mark_row(&self, space: &SpaceId) -> RowChange {
        let end = self.log.end(space);
        let indexed = self.behind.get(space).map_or(end, |b| b.cursor);
        let durable = self.durable.get(space).copied().unwrap_or_default();
        RowChange {
            table: META.into(),
            key: self.mark_key(space),
            value: Some(encode_mark(space, indexed, durable)),
        }
    }

    /// The key of [`Profile::mark_row`], which must not name the Space.
    pub(crate) fn mark_key(&self, space: &SpaceId) -> Vec<u8> {
        [&[MARK_PREFIX], self.log.mark_name(space).as_slice()].concat()
    }

    fn undo_vault(&mut self) {
        if !self.secrets.is_empty() && self.vault.abort().is_err() {
            self.poisoned = true;
        }
    }

    /// Forgets the records that are staged, on disk too where they got there. Returns why that
    /// is not certain, if it is not.
    pub(crate) fn drop_log(&mut self) -> Option<StoreError> {
        match self.log.drop_staged() {
            Ok(unneeded) => {
                self.poisoned |= self.vault.erase_now(&unneeded).is_err();
                None
            }
            Err(error) => {
                // Resuming begins with it.
                self.poisoned = true;
                self.undo_due = true;
                Some(unsure(error))
            }
        }
    }

    pub(crate) fn clear_staged(&mut self) {
        self.secrets.clear();
        self.unfit = None;
    }

    /// Records an empty commit, so that no opening completes the one before once more.
    pub(crate) fn supersede(&mut self, mut rows: Vec<RowChange>) -> Result<(), StoreError> {
        self.usable()?;
        self.nothing_staged()?;
        self.sync()?;
        let (seq, vault_counter) = (self.seq + 1, self.vault.counter());
        rows.extend(self.meta_rows(seq, seq, vault_counter));
        let batch = Batch {
            seq,
            vault_counter,
            rows: rows.clone(),
            ..Batch::default()
        };
        let recorded = self.state.record(batch, &mut self.chance);
        let recorded = recorded.map_err(|(error, unknown)| {
            self.poisoned |= unknown;
            error
        })?;
        self.state.adopt(recorded);
        self.seq = seq;
        self.unsynced = true;
        let applied = self.rows_mut().and_then(|r| r.apply(&rows));
        applied.inspect_err(|_| self.poisoned = true)?;
        self.sync()
    }

    /// Rows handed out to be indexed count as staged: their commit is still to come.
    pub(crate) fn nothing_staged(&self) -> Result<(), StoreError> {
        let nothing = self.staged.is_empty()
            && self.secrets.is_empty()
            && self.marks_moved.is_empty()
            && self.log.staged().is_empty();
        if nothing {
            return Ok(());
        }
        Err(failed("do this between commits", "something is staged"))
    }
}
