//! L1–L5: once a core is healed it comes to one state, in one epoch, with nothing left to send.

use std::collections::BTreeSet;

use node::view::Membership;
use oplog::{DeviceId, OpId, SpaceId};

use crate::check::agreement::short;
use crate::device::SimNode;
use crate::world::World;

/// What a healed core still lacks, if it lacks anything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// All is well.
    Whole,
    /// Convergence cannot be demanded, and why.
    Excused(&'static str),
    /// Not yet.
    Lacks {
        checker: &'static str,
        node: u16,
        what: String,
    },
}

impl World {
    /// The members of the core who should agree: honest, running, in the Space.
    pub(crate) fn core_members(&self) -> Vec<u16> {
        let Some(space) = self.space else {
            return Vec::new();
        };
        let core = self.core.clone().unwrap_or_default();
        let inside = |index: &u16| {
            let device = &self.devices[usize::from(*index)];
            let Some(node) = device.node.as_ref().filter(|_| device.is_honest()) else {
                return false;
            };
            let spaces = node.spaces();
            spaces
                .iter()
                .any(|s| s.id == space && matches!(s.membership, Membership::Member(_)))
        };
        core.into_iter().filter(inside).collect()
    }

    /// Whether a member of the core waits for the answer of a device that is not in it.
    pub(crate) fn waits_for_outsiders(&self) -> bool {
        self.outsider_among(|node, space| node.peek_waits_for(&space).into_iter().collect())
    }

    /// Whether a device that is not in the core may have what the disk of a member has lost. Until it says
    /// so, the member does not give it up, and nobody in the core can have what builds on it.
    pub(crate) fn outsiders_may_have_lost(&self) -> bool {
        self.outsider_among(|node, space| node.peek_may_have_lost(&space))
    }

    fn outsider_among(&self, devices: impl Fn(&SimNode, SpaceId) -> Vec<DeviceId>) -> bool {
        let core = self.core.clone().unwrap_or_default();
        let of = |index: u16| self.devices[usize::from(index)].node.as_ref();
        let inside: BTreeSet<_> = core
            .iter()
            .filter_map(|index| Some(of(*index)?.me().device))
            .collect();
        let named = |node: &SimNode| Some(devices(node, self.space?));
        self.core_members()
            .into_iter()
            .filter_map(|index| of(index).and_then(named))
            .flatten()
            .any(|device| !inside.contains(&device))
    }

    /// Whether a device was put into its group by a commit of somebody outside the core of which another
    /// has not heard: then neither can read the other, and nobody in the core knows both.
    fn was_let_in_unseen(&self, by: u16, device: u16) -> bool {
        let of = |index: u16| self.devices[usize::from(index)].node.as_ref();
        let (Some(space), Some(by)) = (self.space, of(by)) else {
            return false;
        };
        let core = self.core.clone().unwrap_or_default();
        let inside = |device| {
            core.iter()
                .any(|m| of(*m).is_some_and(|n| n.me().device == device))
        };
        let let_in = of(device).and_then(|node| node.peek_let_in(&space));
        let_in.is_some_and(|(epoch, maker)| {
            by.peek_roster(&space, &epoch).is_none() && !inside(maker)
        })
    }

    /// What waits on a device, for reports.
    fn rooms(&self, index: u16) -> String {
        let node = self.devices[usize::from(index)].node.as_ref();
        let (Some(node), Some(space)) = (node, self.space) else {
            return String::new();
        };
        let Ok(rooms) = node.rooms(space) else {
            return String::new();
        };
        let epoch = node.spaces().into_iter().find(|s| s.id == space);
        format!(
            "; epoch {}, {} held back, {} unopened, {} queued",
            epoch.map_or(0, |s| s.epoch_number),
            rooms.held,
            rooms.unopened,
            rooms.queued
        )
    }

    /// Says what the core still lacks.
    pub(crate) fn core_lacks(&self) -> Verdict {
        let Some(space) = self.space else {
            return Verdict::Excused("nobody founded a Space");
        };
        let members = self.core_members();
        let Some(first) = members.first().copied() else {
            return Verdict::Excused("no member is in the core");
        };
        let node = |index: u16| self.devices[usize::from(index)].node.as_ref();
        let held = |index: u16| &self.devices[usize::from(index)].accepted;
        // Who is removed in anybody's eyes may have gone on alone.
        for index in &members {
            let all = node(*index)
                .and_then(|n| n.members(space).ok())
                .unwrap_or_default();
            let counted = |user| all.iter().any(|m| m.user == user && m.weight.is_some());
            let mut users = members
                .iter()
                .filter_map(|m| Some((*m, node(*m)?.me().user)));
            if let Some((other, _)) = users.find(|(_, user)| !counted(*user)) {
                if self.was_let_in_unseen(*index, other) {
                    return Verdict::Excused("somebody frozen let a member in, unseen by others");
                }
                let what = format!("does not count n{other} of the core among the members");
                return Verdict::Lacks {
                    checker: "L1",
                    node: *index,
                    what,
                };
            }
        }
        let union: BTreeSet<OpId> = members
            .iter()
            .flat_map(|m| held(*m).iter().copied())
            .collect();
        for index in &members {
            let lacks = union.difference(held(*index)).count();
            if lacks > 0 {
                let example = union
                    .difference(held(*index))
                    .next()
                    .map_or_else(String::new, |op| op.short());
                let own = members.iter().any(|m| {
                    self.devices[usize::from(*m)]
                        .acked
                        .iter()
                        .any(|op| !held(*index).contains(op))
                });
                let checker = if own { "L3" } else { "L1" };
                let what = format!(
                    "lacks {lacks} of {} ops, {example} for one{}",
                    union.len(),
                    self.rooms(*index)
                );
                return Verdict::Lacks {
                    checker,
                    node: *index,
                    what,
                };
            }
        }
        let state = |index: u16| node(index).and_then(|n| n.state_hash(space).ok());
        let of_first = state(first);
        for index in &members {
            let of_this = state(*index);
            if of_this != of_first {
                let hash = of_this.map_or_else(String::new, |s| short(&s));
                let what = format!("holds the same ops as node {first} and shows {hash}");
                let damaged = self.devices[usize::from(*index)].damaged
                    || self.devices[usize::from(first)].damaged;
                let checker = if damaged { "L5" } else { "L1" };
                return Verdict::Lacks {
                    checker,
                    node: *index,
                    what,
                };
            }
        }
        for index in &members {
            let rooms = node(*index).and_then(|n| n.rooms(space).ok());
            let queued = rooms.map_or(0, |rooms| rooms.queued);
            if queued > 0 {
                let what = format!("{queued} own ops are on no relay");
                return Verdict::Lacks {
                    checker: "L4",
                    node: *index,
                    what,
                };
            }
        }
        let epoch = |index: u16| {
            let spaces = node(index)?.spaces();
            spaces.iter().find(|s| s.id == space).map(|s| s.epoch)
        };
        for index in &members {
            if epoch(*index) != epoch(first) {
                let what = format!("is not in the epoch of node {first}");
                return Verdict::Lacks {
                    checker: "L2",
                    node: *index,
                    what,
                };
            }
        }
        self.lacks_in_keys_and_queue(&members)
    }

    /// L2 and L4 once more: nobody who was removed is in the group, and nothing left a queue that
    /// is on no relay.
    fn lacks_in_keys_and_queue(&self, members: &[u16]) -> Verdict {
        let Some(space) = self.space else {
            return Verdict::Whole;
        };
        for index in members {
            let device = &self.devices[usize::from(*index)];
            let Some(node) = &device.node else { continue };
            let all = node.members(space).unwrap_or_default();
            let inside: BTreeSet<_> = all
                .iter()
                .filter(|m| m.weight.is_some())
                .map(|m| m.user)
                .collect();
            let group = node.peek_group(&space).map(|(_, _, group)| group);
            let ghost = group.and_then(|group| {
                let ghost = group
                    .into_iter()
                    .find(|(_, (user, _))| !inside.contains(user));
                ghost.map(|(ghost, _)| ghost)
            });
            if let Some(ghost) = ghost {
                let what = format!("is in a group with {}, who was removed", ghost.short());
                return Verdict::Lacks {
                    checker: "L2",
                    node: *index,
                    what,
                };
            }
            // What a damaged index forgets of deliveries nothing can tell again.
            let told = device.acked.iter().filter(|_| !device.damaged);
            let taken = |op: &&OpId| node.peek_taken(&space, op).unwrap_or(0) == 0;
            if let Some(op) = told.clone().find(taken) {
                let what = format!("{} has left the queue and is on no relay", op.short());
                return Verdict::Lacks {
                    checker: "L4",
                    node: *index,
                    what,
                };
            }
        }
        Verdict::Whole
    }
}
