//! R3 and R4: without faults everything is everywhere at once, and relays forget in time.

use net::wire::{PutRequest, Response};
use oplog::{Digest, OpId, Tag};
use relay::Shelf;

use crate::queue::Millis;
use crate::world::World;

/// How long an op may take to whoever is online when nothing goes wrong: a put and a push at the
/// ends of a line of 20 ms, and one such round more for the commit that opens it. Repair by
/// members begins after two seconds, so what it had to mend is late.
const PROMPT_MS: Millis = 1_500;

/// An envelope that a relay said it filed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FiledAt {
    relay: u16,
    tag: Tag,
    id: Digest,
    /// By the true time, in milliseconds since the world began.
    until: Millis,
}

impl World {
    /// R3: in a quiet world, what somebody wrote comes promptly to whoever was there by then.
    pub(crate) fn check_prompt(&mut self, node: u16, ops: &[OpId]) {
        if !self.config.is_quiet() {
            return;
        }
        let now = self.now();
        let since = self.devices[usize::from(node)].joined_at;
        for op in ops {
            let born = *self.memory.born.entry(*op).or_insert(now);
            let there = since.is_some_and(|since| since < born);
            if there && now > born + PROMPT_MS {
                let what = format!(
                    "got {} after {} ms in a quiet world",
                    op.short(),
                    now - born
                );
                return self.fail("R3", Some(node), what);
            }
        }
    }

    /// R3: and nobody waits for it still.
    pub(crate) fn check_nobody_waits(&mut self) {
        if !self.config.is_quiet() || self.core.is_some() {
            return;
        }
        let now = self.now();
        for at in 0..self.devices.len() {
            let device = &self.devices[at];
            let (index, Some(since)) = (device.index, device.joined_at) else {
                continue;
            };
            let lacks = self.memory.born.iter().find(|(op, born)| {
                **born > since && **born + PROMPT_MS < now && !device.accepted.contains(*op)
            });
            if let Some((op, born)) = lacks {
                let what = format!(
                    "still lacks {} after {} ms in a quiet world",
                    op.short(),
                    now - born
                );
                return self.fail("R3", Some(index), what);
            }
        }
        if !self.memory.born.is_empty() {
            self.sometimes
                .note("all of a quiet world was up to date when it was looked at");
        }
    }

    /// Notes until when a relay may keep an envelope.
    pub(crate) fn note_filed(&mut self, relay: u16, put: &PutRequest, answer: Option<&Response>) {
        if !matches!(answer, Some(Response::Filed { .. })) {
            return;
        }
        let filed = FiledAt {
            relay,
            tag: put.tag,
            id: put.envelope.id(),
            until: self.now() + u64::from(put.ttl_secs) * 1_000,
        };
        self.memory.filed.push(filed);
    }

    /// R4: what a relay was asked to keep for so long it does not give after.
    pub(crate) fn check_expired(&mut self) {
        let now = self.now();
        let time = self.time();
        let (over, still): (Vec<_>, Vec<_>) = std::mem::take(&mut self.memory.filed)
            .into_iter()
            .partition(|filed| filed.until < now);
        self.memory.filed = still;
        for filed in over {
            let there = self
                .host(filed.relay)
                .holds(time, &Shelf::Tag(filed.tag), &filed.id);
            if there {
                let late = (now - filed.until) / 1_000;
                let what = format!("relay {} gives an envelope {late} s late", filed.relay);
                return self.fail("R4", None, what);
            }
            self.sometimes.note("a relay let go of what had expired");
        }
    }
}
