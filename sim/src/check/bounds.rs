//! R1 and R2: nothing grows beyond its cap, and nothing goes on for ever.

use crate::world::World;

/// Ops held back in one Space (B12).
const HELD_MAX: usize = 10_000;
/// Envelopes that no key opens yet, in one Space.
const UNOPENED_MAX: usize = 2_000;
/// Events that may wait in a world: more means that somebody talks to himself.
const WAITING_MAX: usize = 400_000;
/// Events of a whole world: the longest and largest that seeds draw have a quarter of it.
const EVENTS_MAX: u64 = 3_000_000;

impl World {
    pub(crate) fn check_bounds(&mut self) {
        if self.queue.len() > WAITING_MAX {
            let what = format!("{} events wait", self.queue.len());
            return self.fail("R2", None, what);
        }
        if self.events > EVENTS_MAX {
            return self.fail("R2", None, format!("{} events and no end", self.events));
        }
        let Some(space) = self.space else {
            return;
        };
        for at in 0..self.devices.len() {
            let device = &self.devices[at];
            let index = device.index;
            let rooms = device.node.as_ref().and_then(|n| n.rooms(space).ok());
            let Some(rooms) = rooms else {
                continue;
            };
            let (held, unopened) = (rooms.held, rooms.unopened);
            if held > HELD_MAX || unopened > UNOPENED_MAX {
                let what = format!("{held} ops held back, {unopened} envelopes unopened");
                return self.fail("R1", Some(index), what);
            }
            if held > 0 {
                self.sometimes.note("an op was held back");
            }
            if unopened > 0 {
                self.sometimes.note("an envelope waited for a key");
            }
        }
    }
}
