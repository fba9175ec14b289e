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
//! After an error beyond the point where a commit can be undone, or a failed sync, only the
//! disk knows what counts: the store refuses to write until [`Profile::resume`] has read it
//! again, which is a crash without the crash. Callers reload what they hold in memory.

use std::collections::BTreeSet;

use oplog::SpaceId;
use oplog::store::{Store, StoreError};

use crate::disk::{Disk, failed};
use crate::profile::{HEAD_KEY, MARK_PREFIX, META, Profile};
use crate::rows::{Index, RowChange, Rows};
use crate::state::{Batch, encode_mark};
use crate::vault::SlotKind;

impl<D: Disk, I: Index + Clone> Profile<D, I> {
    /// Commits these rows with all else that is staged.
    pub(crate) fn try_commit(
        &mut self,
        kept: &[RowChange],
        rows: &mut Vec<RowChange>,
    ) -> Result<(), StoreError> {
        if let Some(why) = self.unfit {
            return Err(failed("store a row", why));
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
                .put_now(SlotKind::Segment, label, &key, &mut self.chance)?;
        }
        let in_journal = !kept.is_empty() || !self.secrets.is_empty();
        if in_journal && self.unsynced {
            self.sync()?;
        }
        let derived = rows.len();
        let reached = self.commit_point(kept, rows, in_journal);
        if reached.is_err() {
            rows.truncate(derived);
            return reached;
        }
        let applied = self.rows_mut().and_then(|r| r.apply(rows));
        if applied.is_err() {
            self.poisoned = true;
            return applied;
        }
        if !self.secrets.is_empty() {
            self.vault.finish().inspect_err(|_| self.poisoned = true)?;
        }
        Ok(())
    }

    /// Everything up to the point where the commit stands, and the bytes of the logs. Adds the
    /// store's own rows to those of the index.
    fn commit_point(
        &mut self,
        kept: &[RowChange],
        rows: &mut Vec<RowChange>,
        in_journal: bool,
    ) -> Result<(), StoreError> {
        let seq = self.seq + 1;
        let mut vault_counter = self.vault.counter();
        if !self.secrets.is_empty() {
            match self.vault.begin(&self.secrets, &mut self.chance) {
                Ok(counter) => vault_counter = counter,
                Err(e) => {
                    self.undo_vault();
                    return Err(e.into());
                }
            }
        }
        let state_seq = if in_journal {
            seq
        } else {
            self.state.last().seq
        };
        rows.extend(self.meta_rows(seq, state_seq, vault_counter));
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
            if let Err((error, unknown)) = self.state.commit(batch, &mut self.chance) {
                if unknown {
                    self.poisoned = true;
                } else {
                    self.undo_vault();
                }
                return Err(error);
            }
        }
        self.unsynced = true;
        let mut written = self.log.write_staged();
        if in_journal {
            // The commit stands, so the bytes must go in; the reserve is for this.
            if written.is_err() && self.release_reserve() {
                written = self.log.write_staged();
            }
            self.poisoned |= written.is_err();
        }
        written?;
        self.seq = seq;
        Ok(())
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

    /// Forgets what is staged, on disk too where it got there.
    pub(crate) fn drop_staged(&mut self) {
        let dropped = self.log.drop_staged();
        let erased = dropped.and_then(|keys| Ok(self.vault.erase_now(&keys)?));
        if erased.is_err() {
            self.poisoned = true;
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
        self.state
            .commit(batch, &mut self.chance)
            .map_err(|(error, unknown)| {
                self.poisoned |= unknown;
                error
            })?;
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
