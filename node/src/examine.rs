//! Looking at everything that a profile holds, and making good what can be made good at once.
//!
//! Opening mends what it comes by. This reads all of it: each op with its signature and the rows that
//! find it, the keys of the group, each chunk. What cannot be read is asked of members, as always
//! (`mend`); what others cannot give is told.

use std::ops::ControlFlow;

use fold::content::index::{self, Row};
use mls::stored;
use oplog::authority::Authority;
use oplog::store::{Store, StoreError};
use oplog::{BlobId, EpochId, OpId, SignedOp, SpaceId};
use rand_core::CryptoRng;

use crate::blobs::ChunkStore;
use crate::error::CommandError;
use crate::node::Node;
use crate::space::Space;
use crate::view::{Care, Finding, Part};

impl<S: Store, C: ChunkStore, R: CryptoRng> Node<S, C, R> {
    /// Reads some ops of a Space from the disk, each with its signature, and the rows that find it. What
    /// can be written again from memory is; what cannot be read counts as lost from now on.
    ///
    /// # Errors
    /// When the Space is not here, or storage fails.
    pub fn examine_ops(
        &mut self,
        space: &SpaceId,
        ids: &[OpId],
    ) -> Result<Vec<Finding>, CommandError> {
        let s = self.known_space(space)?;
        let prefix = s.no.0.to_be_bytes();
        let mut ops = Vec::with_capacity(ids.len());
        let mut missing: Vec<Row> = Vec::new();
        let mut rewritten = 0_usize;
        for id in ids {
            let Some(stored) = s.table.stored(&self.store, id)? else {
                continue;
            };
            let op = match s.table.read(&self.store, id, &stored.at) {
                Ok(op) => op,
                // What the control plane has in memory is written again from there.
                Err(StoreError::Damaged { .. }) => {
                    s.note_damaged(id);
                    rewritten += usize::from(s.log.dag().node(id).is_some());
                    continue;
                }
                Err(error) => return Err(error.into()),
            };
            for row in index::rows(&prefix, &op, stored.at) {
                if self.store.get(row.table, &row.key)?.as_deref() != Some(&row.value) {
                    missing.push(row);
                }
            }
            ops.push(op.encode());
        }
        let mut findings = Vec::new();
        let mut find = |what: String, care| {
            findings.push(Finding::new(Part::Ops, Some(*space), what, care));
        };
        if rewritten > 0 {
            let what = format!("damaged records, written again from memory: {rewritten}");
            find(what, Care::Mended);
        }
        if !missing.is_empty() {
            let what = format!(
                "rows that the index lacked, written again: {}",
                missing.len()
            );
            find(what, Care::Mended);
        }
        for op in &self.forged(ops)? {
            let what = format!(
                "op {op} does not bear its author's signature: something other than this program wrote it; \
                 restore from a backup, into another folder"
            );
            find(what, Care::Yours);
        }
        for row in &missing {
            self.store.put(row.table, &row.key, &row.value);
        }
        self.lose_damaged()?;
        self.store.commit()?;
        Ok(findings)
    }

    /// Returns those of these ops whose signature does not hold.
    fn forged(&mut self, ops: Vec<Vec<u8>>) -> Result<Vec<OpId>, CommandError> {
        let mut signed = Vec::with_capacity(ops.len());
        for op in ops {
            signed.push(
                SignedOp::decode(&op).map_err(|error| CommandError::Invalid {
                    what: error.to_string(),
                })?,
            );
        }
        let checks = SignedOp::verify_batch(signed, &mut self.rng).into_iter();
        Ok(checks
            .filter_map(Result::err)
            .map(|(op, _)| op.id())
            .collect())
    }

    /// Loads the group's state and compares it with what the log says of the group.
    ///
    /// # Errors
    /// When the Space is not here, or storage fails.
    pub fn examine_keys(&self, space: &SpaceId) -> Result<Vec<Finding>, CommandError> {
        let s = self.known_space(space)?;
        let (user, device) = (self.me.user(), self.me.device_id());
        let mut findings = Vec::new();
        let mut find = |what: String, care| {
            findings.push(Finding::new(Part::Keys, Some(*space), what, care));
        };
        for epoch in self.wrong_roots(s) {
            let what = format!(
                "the key of epoch {} is not the one that its commit declares; restore from a backup, into \
                 another folder",
                epoch.short()
            );
            find(what, Care::Yours);
        }
        if s.lacks_keys(&user, &device) {
            let what = "this device lacks keys that the Space goes on with: it asks the members to be added again";
            find(what.to_owned(), Care::Awaited);
            return Ok(findings);
        }
        let Some(record) = s.authority.epoch(&s.tip).filter(|_| s.in_group(&device)) else {
            return Ok(findings);
        };
        match self.load_state(space, &s.tip) {
            Ok(Some(state)) if *state.roster().as_map() == *record.roster => {}
            Ok(Some(_)) => {
                let what = "the group's state and the log disagree about who is in the group; restore from a \
                            backup, into another folder";
                find(what.to_owned(), Care::Yours);
            }
            Err(CommandError::Store { source })
                if !matches!(source, StoreError::Damaged { .. }) =>
            {
                return Err(source.into());
            }
            Ok(None) | Err(_) => {
                let what = "the group's state is damaged or gone: once keys change, the members add this device \
                            again";
                find(what.to_owned(), Care::Awaited);
            }
        }
        Ok(findings)
    }

    /// The epochs whose root is not the one that their commit declares.
    fn wrong_roots(&self, s: &Space) -> Vec<EpochId> {
        let records = s.authority.epochs().iter();
        let wrong = records.filter(|record| {
            let root = stored::load_root(&self.store, &s.id, &record.id);
            root.is_some_and(|root| root.commitment() != record.root_commit)
        });
        wrong.map(|record| record.id).collect()
    }

    /// Returns the chunks that are here.
    ///
    /// # Errors
    /// When storage fails.
    pub fn chunk_ids(&self) -> Result<Vec<BlobId>, CommandError> {
        let mut ids = Vec::new();
        self.chunks.visit(&mut |id, _| {
            ids.push(id);
            ControlFlow::Continue(())
        })?;
        Ok(ids)
    }

    /// Reads some chunks and removes the damaged ones, since a chunk that is not here can be fetched.
    /// Returns how many those were.
    ///
    /// # Errors
    /// When storage fails.
    pub fn examine_chunks(&mut self, ids: &[BlobId]) -> Result<usize, CommandError> {
        let mut damaged = 0;
        for id in ids {
            match self.chunks.get(id) {
                Ok(_) => {}
                Err(StoreError::Damaged { .. }) => {
                    self.chunks.remove(id)?;
                    damaged += 1;
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(damaged)
    }
}
