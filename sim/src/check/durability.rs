//! S2, S4 and S12: what was told survives, and after a start everything fits together.

use oplog::EpochId;

use crate::world::World;

impl World {
    /// After a start: what the person was told is there, and the epoch did not go back.
    pub(crate) fn check_after_start(&mut self, node: u16) {
        let Some(space) = self.space else {
            return;
        };
        let device = &self.devices[usize::from(node)];
        if device.byzantine || device.cloned {
            return;
        }
        let lost = device
            .acked
            .iter()
            .find(|op| !device.accepted.contains(op))
            .copied();
        if let Some(op) = lost
            && !device.damaged
        {
            let what = format!(
                "{} was acknowledged and is gone after start {}",
                op.short(),
                device.boots
            );
            return self.fail("S4", Some(node), what);
        }
        let Some(running) = &device.node else {
            return;
        };
        let stands = running.spaces().into_iter().find(|s| s.id == space);
        let (id, number) =
            stands.map_or((EpochId::genesis(&space), 0), |s| (s.epoch, s.epoch_number));
        // On another branch a lower number may be right; an epoch that it had left already is not.
        let forked = running.rooms(space).is_ok_and(|rooms| rooms.forks > 0);
        let left = device.epochs_told.iter().any(|(told, _)| *told == id);
        if let Some((last, before)) = device.epochs_told.last()
            && id != *last
            && number < *before
            && (left || !forked)
            && !device.damaged
        {
            let what = format!("epoch {number} after a start, {before} before");
            return self.fail("S12", Some(node), what);
        }
        self.sometimes
            .note("a device started again and had everything");
    }

    /// A profile that does not open again.
    pub(crate) fn check_broken(&mut self, node: u16, why: &str) {
        let device = &self.devices[usize::from(node)];
        if !device.damaged {
            self.fail(
                "S12",
                Some(node),
                format!("the profile does not open: {why}"),
            );
        }
    }

    /// S4 once more, at the end and without a start.
    pub(crate) fn check_kept(&mut self) {
        let Some(space) = self.space else {
            return;
        };
        for at in 0..self.devices.len() {
            let device = &self.devices[at];
            if device.byzantine || device.cloned || device.damaged || device.node.is_none() {
                continue;
            }
            let index = device.index;
            let held = device.ops(space);
            if held != device.accepted {
                let more = held.difference(&device.accepted).count();
                let less = device.accepted.difference(&held).count();
                let what =
                    format!("holds {more} ops it never told of, and lacks {less} that it did");
                return self.fail("S2", Some(index), what);
            }
            let lost = device.acked.iter().find(|op| !held.contains(op)).copied();
            if let Some(op) = lost {
                return self.fail(
                    "S4",
                    Some(index),
                    format!("{} was acknowledged and is gone", op.short()),
                );
            }
        }
    }
}
