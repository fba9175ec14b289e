//! S2: a verdict on an op is everybody's, and it is remembered.

use oplog::OpId;

use crate::world::World;

/// Rules whose refusal is a verdict on the op itself. Not S0 and S1, where the delivery may be to
/// blame, nor K1, by which a device also says that it cannot follow a commit that it accepted.
const VERDICTS: &[&str] = &[
    "R1", "R2", "R3", "R4", "R5", "R6", "R7", "R8", "R9", "K2", "K4", "K5", "K6", "A18",
];

impl World {
    /// S2: nobody accepts what another refuses.
    pub(crate) fn check_accepted_by_all(&mut self, node: u16, ops: &[OpId]) {
        if self.devices[usize::from(node)].byzantine {
            return;
        }
        for op in ops {
            let first = self.memory.accepted.entry(*op).or_insert(node);
            self.taken += u64::from(*first != node);
            if let Some((other, rule)) = self.memory.refused.get(op) {
                let what = format!(
                    "accepted {}, which node {other} refused by {rule}",
                    op.short()
                );
                return self.fail("S2", Some(node), what);
            }
        }
    }

    /// S2: nobody refuses what another accepts; and a verdict is noted.
    pub(crate) fn check_refused(&mut self, node: u16, op: &OpId, rule: &'static str) {
        let device = &self.devices[usize::from(node)];
        if device.byzantine || !VERDICTS.contains(&rule) {
            return;
        }
        if let Some(other) = self.memory.accepted.get(op) {
            let what = format!(
                "refused {} by {rule}, which node {other} accepted",
                op.short()
            );
            return self.fail("S2", Some(node), what);
        }
        self.memory.refused.insert(*op, (node, rule));
        let noted = self.space.zip(device.node.as_ref());
        let noted = noted.map(|(space, running)| running.peek_refused(&space, op));
        if matches!(noted, Some(Ok(false))) {
            let what = format!("refused {} by {rule} and forgot it at once", op.short());
            self.fail("S2", Some(node), what);
        }
    }
}
