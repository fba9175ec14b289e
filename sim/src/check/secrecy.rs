//! S10 and S13: nothing in clear leaves a device, and nobody's logical clock runs away.

use std::collections::BTreeMap;

use oplog::deferral::AHEAD_MS_MAX;
use oplog::{Hlc, OpId};

use crate::people::CANARY;
use crate::world::World;

/// What a clock may be ahead of everything it has seen, in milliseconds: rounding.
const SLACK_MS: u64 = 2;

impl World {
    /// S10: no frame to a relay holds a word that somebody said.
    pub(crate) fn check_frame(&mut self, node: u16, bytes: &[u8]) {
        let canary = CANARY.as_bytes();
        let found = bytes.len() >= canary.len()
            && bytes
                .windows(canary.len())
                .any(|w| w[0] == canary[0] && w == canary);
        if found {
            self.fail(
                "S10",
                Some(node),
                "a frame to a relay holds words in clear".to_owned(),
            );
        }
    }

    /// S13: an op that is dated ahead waits until it is at most so far ahead (B3).
    pub(crate) fn check_not_early(&mut self, node: u16, ops: &[OpId]) {
        let now = self.now();
        let device = &self.devices[usize::from(node)];
        if device.byzantine || self.memory.ahead.is_empty() {
            return;
        }
        let latest = device.clock.read(now).plus_ms(AHEAD_MS_MAX);
        let early = ops.iter().find(|op| {
            let hlc = self.memory.ahead.get(*op);
            hlc.is_some_and(|hlc| hlc.to_wall() > latest)
        });
        if let Some(op) = early.copied() {
            let what = format!("accepted {} before its time", op.short());
            return self.fail("S13", Some(node), what);
        }
        if ops.iter().any(|op| self.memory.ahead.contains_key(op)) {
            self.sometimes
                .note("an op from the future was accepted in its time");
        }
    }

    /// S13: an honest op's logical time comes from its author's clock or from what it refers to.
    pub(crate) fn check_times(&mut self) {
        let Some(space) = self.space else {
            return;
        };
        let honest: Vec<_> = self
            .devices
            .iter()
            .filter(|d| d.is_honest())
            .filter_map(|d| Some(d.node.as_ref()?.me().device))
            .collect();
        let Some(node) = self
            .devices
            .iter()
            .filter(|d| d.is_honest())
            .find_map(|d| d.node.as_ref())
        else {
            return;
        };
        let Ok(dump) = node.dump(space) else {
            return;
        };
        let times: BTreeMap<OpId, Hlc> = dump
            .ops
            .iter()
            .map(|op| (op.outcome.op, op.header.hlc))
            .collect();
        let wrong = dump
            .ops
            .iter()
            .filter(|op| honest.contains(&op.header.device))
            .find(|op| {
                let h = &op.header;
                // What the disk of this device has damaged may be what the op's time comes from.
                let refs: Option<Vec<Hlc>> = h.refs().map(|r| times.get(&r).copied()).collect();
                refs.is_some_and(|refs| {
                    let seen = refs.into_iter().max().unwrap_or(Hlc::ZERO);
                    let most = seen.to_wall().max(h.wall).plus_ms(SLACK_MS);
                    h.hlc.to_wall() > most
                })
            });
        if let Some(op) = wrong {
            let what = format!(
                "{} has a logical time above all it rests on",
                op.outcome.op.short()
            );
            self.fail("S13", None, what);
        }
    }
}
