//! Turns: who does what any of many devices could do.
//!
//! An order is drawn by hash for every question; whoever comes first in it and is online acts after
//! its turn, and the others find it done. Nobody knows who is online, so the order goes on: where the
//! turns of many ended together, all of them would act at once.

use oplog::authority::View;
use oplog::hash::H;
use oplog::tuning::{Knob, tuned};
use oplog::{DeviceId, EpochId, Hlc, OpId};

use crate::space::Space;

/// The places with a turn of their own. Whoever comes later has one of as many that follow, by draw: in
/// a group of thousands nobody waits for hours.
const PLACES: u64 = 128;
/// For how long a fork makes turns longer, in seconds.
const FORK_SECS: u32 = 30 * 60;
/// Most epochs looked at for forks.
const EPOCHS_MAX: usize = 64;
/// How often turns double at most.
const DOUBLED_MAX: u64 = 4;

impl Space {
    /// The place of a device in the order that B5 draws for this epoch, from 0.
    pub(crate) fn place_in_group(&self, device: &DeviceId) -> u64 {
        let draw = |device: &DeviceId| {
            let order = H::new("elect").field(self.tip.as_bytes());
            order.field(device.as_bytes()).finish()
        };
        self.place(device, draw, |_| true)
    }

    /// The place of a device in the order drawn for who answers about this op, from 0.
    pub(crate) fn place_about(&self, op: &OpId, device: &DeviceId) -> u64 {
        let draw = |device: &DeviceId| {
            let order = H::new("turn").field(op.as_bytes());
            order.field(device.as_bytes()).finish()
        };
        self.place(device, draw, |_| true)
    }

    /// The place of a device in the order drawn for who attests what they had when this removal came.
    pub(crate) fn place_to_attest(&self, removal: &OpId, device: &DeviceId) -> u64 {
        let draw = |device: &DeviceId| {
            let order = H::new("attest-turn").field(removal.as_bytes());
            order.field(device.as_bytes()).finish()
        };
        let devices = self.view.authorised_devices();
        let may = |device: &DeviceId| devices.get(device).is_some_and(|u| self.may_attest(u));
        self.place(device, draw, may)
    }

    fn place(
        &self,
        device: &DeviceId,
        draw: impl Fn(&DeviceId) -> [u8; 32],
        may: impl Fn(&DeviceId) -> bool,
    ) -> u64 {
        let own = draw(device);
        let before = self
            .roster()
            .filter(|device| may(device) && draw(device) < own)
            .count();
        slot(u64::try_from(before).unwrap_or(u64::MAX), own)
    }

    /// By how much turns about the group's keys take longer than on quick lines: twice for each fork of
    /// the last half hour, since a fork tells that turns ended before what was done in them came here.
    pub(crate) fn slack(&self, now: Hlc) -> u64 {
        let epochs = self.authority.epochs();
        let time = |commit| self.log.dag().node(commit).map(|node| node.op.header().hlc);
        let most = tuned(Knob::ForkDoublings, DOUBLED_MAX);
        let mut forks = 0_u64;
        let mut at = epochs.epoch(&self.canonical);
        for _ in 0..EPOCHS_MAX {
            let Some(record) = at.filter(|_| forks < most) else {
                break;
            };
            if time(&record.commit).is_none_or(|then| then.plus_secs(FORK_SECS) < now) {
                break;
            }
            let parent: Option<EpochId> = record.parent;
            let forked = parent.is_some_and(|parent| epochs.children(&parent).len() > 1);
            forks += u64::from(forked);
            at = parent.and_then(|parent| epochs.epoch(&parent));
        }
        1 << forks
    }
}

/// The turn of a place in an order, given what was drawn for its device.
fn slot(place: u64, draw: [u8; 32]) -> u64 {
    if place < PLACES {
        return place;
    }
    let [a, b, ..] = draw;
    PLACES + u64::from(u16::from_le_bytes([a, b])) % PLACES
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn late_places_have_turns_apart_and_none_is_far_off() {
        for place in 0..PLACES {
            assert_eq!(slot(place, [0xff; 32]), place);
        }
        let late = |n: u64| slot(PLACES + n, H::new("draw").field(&n.to_le_bytes()).finish());
        let turns: std::collections::BTreeSet<u64> = (0..PLACES).map(late).collect();
        assert!(turns.iter().all(|turn| (PLACES..2 * PLACES).contains(turn)));
        // As many draws as places fill about 63 % of them.
        assert!(turns.len() > 64, "{} turns", turns.len());
    }
}
