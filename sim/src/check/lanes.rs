//! S9 and L6: both halves of an equivocation are kept where both came, and whoever holds the same
//! ops finds the same branch of the group's keys canonical.

use std::collections::BTreeMap;

use crate::check::agreement::set_key;
use crate::world::World;

impl World {
    /// S9: an honest device that has held two ops at one place still holds both, as proof.
    pub(crate) fn check_halves(&mut self) {
        let Some(space) = self.space else {
            return;
        };
        for (one, other) in self.memory.halves.clone() {
            for at in 0..self.devices.len() {
                let device = &self.devices[at];
                let index = device.index;
                let both = device.accepted.contains(&one) && device.accepted.contains(&other);
                let (true, Some(node)) = (both && !device.byzantine, &device.node) else {
                    continue;
                };
                let Ok(dump) = node.dump(space) else {
                    continue;
                };
                let place = |id| {
                    let op = dump.ops.iter().find(|op| op.outcome.op == id)?;
                    Some((op.header.device, op.header.scope, op.header.seq))
                };
                if place(one).is_none() || place(one) != place(other) {
                    let what = format!("has lost {} or {}", one.short(), other.short());
                    return self.fail("S9", Some(index), what);
                }
                self.sometimes
                    .note("a device held both halves of an equivocation");
            }
        }
    }

    /// L6, as far as branches are chosen by now: the choice depends on the ops alone.
    pub(crate) fn check_branch(&mut self) {
        let Some(space) = self.space else {
            return;
        };
        let mut chosen = BTreeMap::new();
        for device in self.devices.iter().filter(|d| !d.byzantine && !d.damaged) {
            let Some(node) = &device.node else { continue };
            let (Some(tip), index) = (node.peek_canonical(&space), device.index) else {
                continue;
            };
            let (other, who) = *chosen
                .entry(set_key(&device.accepted))
                .or_insert((tip, index));
            if other != tip {
                let (tip, other) = (tip.short(), other.short());
                let what =
                    format!("holds {tip} canonical, and node {who} {other}, by the same ops");
                return self.fail("L6", Some(index), what);
            }
        }
    }
}
