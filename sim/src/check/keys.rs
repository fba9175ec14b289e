//! S6 and I11: no key seals two things under one nonce, no place of a lane is written twice, and
//! whoever is in an epoch has its one root.

use std::collections::BTreeMap;

use net::wire::Sealed;
use oplog::Tag;

use crate::world::World;

/// Where nonce and commitment stand in an envelope (B13): the commitment stands for the key.
const NONCE_AND_KEY: core::ops::Range<usize> = Tag::LEN..Tag::LEN + 24 + 16;

impl World {
    /// S6: whoever it is, no two different envelopes have one key and one nonce.
    pub(crate) fn check_nonce(&mut self, node: u16, envelope: &Sealed) {
        let Some(used) = envelope.as_bytes().get(NONCE_AND_KEY) else {
            return;
        };
        let content = envelope.id();
        let before = self.memory.nonces.insert(used.to_vec(), content);
        if before.is_some_and(|before| before != content) {
            let what = "two envelopes were sealed with one key and nonce".to_owned();
            self.fail("S6", Some(node), what);
        }
    }

    /// S6: no honest device has written twice at one place of a lane.
    pub(crate) fn check_lanes(&mut self) {
        let honest: BTreeMap<_, _> = self
            .devices
            .iter()
            .filter(|d| d.is_honest())
            .filter_map(|d| Some((d.node.as_ref()?.me().device, d.index)))
            .collect();
        let Some(dump) = self.first_dump() else {
            return;
        };
        let mut places = BTreeMap::new();
        for op in &dump.ops {
            let h = &op.header;
            let place = (h.device, h.scope, h.seq);
            if let (Some(other), Some(node)) = (
                places.insert(place, op.outcome.op),
                honest.get(&h.device).copied(),
            ) {
                let (one, two) = (other.short(), op.outcome.op.short());
                let what = format!("{one} and {two} stand at one place of its lane");
                return self.fail("S6", Some(node), what);
            }
        }
    }

    /// I11: the root that a device holds of an epoch is the one that the epoch's commit declares.
    pub(crate) fn check_roots(&mut self) {
        let Some(space) = self.space else {
            return;
        };
        for at in 0..self.devices.len() {
            let device = &self.devices[at];
            let index = device.index;
            let (false, Some(node)) = (device.byzantine, &device.node) else {
                continue;
            };
            let Ok(kept) = node.peek_kept(&space) else {
                continue;
            };
            if let Some(epoch) = kept.wrong_roots.first() {
                let what = format!("holds another root of {} than declared", epoch.short());
                return self.fail("I11", Some(index), what);
            }
            if kept.roots > 1 {
                self.sometimes
                    .note("the roots of several epochs were compared with their commits");
            }
        }
    }

    /// What the first honest device that is on holds.
    pub(crate) fn first_dump(&self) -> Option<node::audit::Dump> {
        let mut honest = self.devices.iter().filter(|d| d.is_honest());
        honest.find_map(|d| d.node.as_ref()?.dump(self.space?).ok())
    }
}
