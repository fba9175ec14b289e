//! `decent doctor`: the parts of an examination, piece by piece, so that others need not wait long.

use std::path::Path;

use oplog::SpaceId;

use super::{Handle, LiveNode, READ_OPS};
use crate::error::CommandError;
use crate::view::{Care, Examination, ExaminedSpace, Finding, Part};

/// Chunks read at once: 16 MiB.
const READ_CHUNKS: usize = 64;

impl Handle {
    /// Reads everything that this profile holds, mends what it can, and says what it found. What has to
    /// come from others comes later: `LiveNode::status` tells. `progress` hears ops and chunks done,
    /// and how many there are in all.
    ///
    /// # Errors
    /// When storage fails.
    pub async fn examine(
        &self,
        mut progress: impl FnMut(u64, u64),
    ) -> Result<Examination, CommandError> {
        // A damaged row has the index made again; then this reads the new one.
        let rows = self.ask(|node| Ok(node.store().check_rows()?)).await?;
        let chunks = self.ask(LiveNode::chunk_ids).await?;
        let mut spaces = Vec::new();
        for space in self.query(LiveNode::spaces).await? {
            let ids = self.ask(move |node| node.op_ids(&space.id)).await?;
            spaces.push((space, ids));
        }
        let ops: usize = spaces.iter().map(|(_, ids)| ids.len()).sum();
        let (mut done, total) = (0, (ops + chunks.len()) as u64);
        let mut findings = Vec::new();
        let mut examined = Vec::new();
        for (space, ids) in spaces {
            let (records, bad_bytes) = self.ask(move |node| records(node, &space.id)).await?;
            let mut of_ops = Vec::new();
            for piece in ids.chunks(READ_OPS) {
                let wanted = piece.to_vec();
                let examined = self.with_node(move |node| node.examine_ops(&space.id, &wanted));
                of_ops.extend(examined.await??);
                done += piece.len() as u64;
                progress(done, total);
            }
            if bad_bytes > 0 {
                let what = format!("bytes that are no record, left out: {bad_bytes}");
                findings.push(Finding::new(Part::Log, Some(space.id), what, Care::Mended));
            }
            findings.extend(of_ops);
            findings.extend(self.ask(move |node| node.examine_keys(&space.id)).await?);
            examined.push(ExaminedSpace {
                id: space.id,
                name: space.name,
                records,
                ops: ids.len() as u64,
            });
        }
        let mut damaged = 0;
        for piece in chunks.chunks(READ_CHUNKS) {
            let wanted = piece.to_vec();
            let examined = self.with_node(move |node| node.examine_chunks(&wanted));
            damaged += examined.await??;
            done += piece.len() as u64;
            progress(done, total);
        }
        if damaged > 0 {
            let what = format!("damaged ones, removed and fetched again when wanted: {damaged}");
            findings.push(Finding::new(Part::Chunks, None, what, Care::Mended));
        }
        let stats = self.query(|node| node.store().stats()).await?;
        Ok(Examination {
            rows,
            spaces: examined,
            chunks: chunks.len() as u64,
            log_bytes: stats.log_bytes,
            index_bytes: stats.index_bytes,
            free_bytes: stats.free_bytes,
            findings,
        })
    }
}

/// Reads the whole log of a Space. Returns how many records are whole, and how many bytes are none.
fn records(node: &LiveNode, space: &SpaceId) -> Result<(u64, u64), CommandError> {
    let mut records = 0;
    let bad = node.store().records(space, &mut |_, _| records += 1)?;
    let bytes = bad.iter().map(|part| u64::from(part.at.len)).sum();
    Ok((records, bytes))
}

/// Says whether others on this machine can look into the folder of a profile.
#[must_use]
pub fn is_exposed(dir: &Path) -> bool {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        std::fs::metadata(dir).is_ok_and(|meta| meta.permissions().mode() & 0o077 != 0)
    }
    #[cfg(not(unix))]
    {
        let _ = dir;
        false
    }
}
