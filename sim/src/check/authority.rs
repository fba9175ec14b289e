//! S3: what was forged is nowhere accepted. The independent model, for everything else.

use oplog::OpId;

use crate::world::World;

impl World {
    /// S3: none of these is one that breaks the rules for sure.
    pub(crate) fn check_accepted(&mut self, node: u16, ops: &[OpId]) {
        if self.devices[usize::from(node)].byzantine || self.forged.is_empty() {
            return;
        }
        let forged = ops
            .iter()
            .find_map(|op| self.forged.get(op).map(|class| (*op, *class)));
        if let Some((op, class)) = forged {
            let what = format!("accepted {}: {}", op.short(), class.what());
            self.fail("S3", Some(node), what);
        }
    }

    /// What the model says about one device's dump.
    pub(crate) fn check_model(&mut self) {}

    /// What one device holds, as lines of JSON.
    pub(crate) fn dump_lines(&self, node: u16) -> std::io::Result<Vec<String>> {
        let _ = node;
        Err(std::io::Error::other("not here yet"))
    }
}
