//! Giving: own ops wait in rows until every relay has acknowledged them.
//!
//! A crash between sending and acknowledging sends again, which is harmless: a relay files the same
//! envelope once, and the same op in another envelope is a duplicate to every reader.

use std::collections::BTreeSet;

use minicbor::{Decode, Encode};
use net::wire::{PutRequest, RelayError, Request, Response, TTL_SECS_MAX};
use oplog::mutants::{Mutant, on};
use oplog::store::{Direction, Store, StoreError, prefix_end};
use oplog::{Hlc, OpId, SpaceId, codec};
use rand_core::CryptoRng;

use crate::blobs::ChunkStore;
use crate::event::{RelayId, Timer};
use crate::exchange::{Purpose, Relay, TICK_MS};
use crate::identity::QUEUE_TABLE;
use crate::node::Node;
use crate::seal::Put;

/// Puts in flight at one relay.
pub(crate) const PUTS_MAX: usize = 16;
/// How long a relay that refused something is left alone, in milliseconds; twice as long each time.
const REST_MS_MIN: u64 = 1_000;
/// The longest time, in milliseconds: a quota is for a day.
const REST_MS_MAX: u64 = 600_000;
/// How long relays are asked to keep an envelope.
pub(crate) const ENVELOPE_TTL_SECS: u32 = TTL_SECS_MAX;

/// An own op in the queue: its logical time puts it in the order of writing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Queued {
    pub(crate) hlc: Hlc,
    pub(crate) op: OpId,
}

/// What is known of an own op that some relay has not taken yet.
#[derive(Clone, Debug, Default, Encode, Decode)]
#[cbor(map)]
pub(crate) struct OutRow {
    /// Relays that have it, by the hash of their address.
    #[n(0)]
    pub(crate) taken: Vec<oplog::Digest>,
    /// It was sent before, whatever was answered, or lay in the queue before the index was made anew:
    /// relays and members may well have it.
    #[n(1)]
    #[cbor(default)]
    pub(crate) again: bool,
}

/// How long not to try again what was refused.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Rest {
    until: u64,
    times: u32,
}

impl Rest {
    /// Whether it rests now. A clock that was set back makes nothing rest for longer than the longest.
    pub(crate) const fn is_on(self, now: u64) -> bool {
        now < self.until && self.until - now <= REST_MS_MAX
    }

    /// It was refused (again). Returns how long it rests, in milliseconds: what was asked for, if that is
    /// no longer than the longest.
    pub(crate) fn refused(&mut self, now: u64, least_ms: u64) -> u64 {
        // What was sent together is refused together, and counts once.
        if !self.is_on(now) {
            self.times = self.times.saturating_add(1);
        }
        let doubled = REST_MS_MIN.saturating_mul(1 << self.times.saturating_sub(1).min(16));
        let wait = doubled.max(least_ms).min(REST_MS_MAX);
        self.until = now.saturating_add(wait);
        wait
    }
}

impl Relay {
    /// Whether something may be put there now.
    pub(crate) const fn takes_puts(&self, now: u64) -> bool {
        self.putting < PUTS_MAX && !self.rests.is_on(now)
    }

    fn rest_ops(&mut self, ops: &[Queued], now: u64, least_ms: u64) -> u64 {
        let waits = ops
            .iter()
            .map(|op| self.resting.entry(*op).or_default().refused(now, least_ms));
        waits.max().unwrap_or(REST_MS_MIN)
    }
}

impl Queued {
    /// An own op without a row in the queue, and without a record that would tell its time.
    pub(crate) const fn unqueued(op: OpId) -> Self {
        Self {
            hlc: Hlc::from_raw(0),
            op,
        }
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (hlc, op) = bytes.split_first_chunk::<8>()?;
        let op = <[u8; 32]>::try_from(op).ok()?;
        Some(Self {
            hlc: Hlc::from_raw(u64::from_be_bytes(*hlc)),
            op: OpId::from_bytes(op),
        })
    }
}

impl<S: Store, C: ChunkStore, R: CryptoRng> Node<S, C, R> {
    /// Sends what waits, to every relay that is caught up and does not have it.
    pub(crate) fn send_outbox(&mut self) -> Result<(), StoreError> {
        let ready: Vec<RelayId> = self
            .relays
            .iter()
            .filter(|(_, r)| r.connected && r.caught_up)
            .map(|(id, _)| *id)
            .collect();
        if ready.is_empty() {
            return Ok(());
        }
        self.note_day()?;
        let now = self.now.as_ms();
        let spaces: Vec<SpaceId> = self.spaces.keys().copied().collect();
        for space in spaces {
            let mut waiting = self.waiting_to_send(&space)?;
            if waiting.is_empty() {
                continue;
            }
            // Nobody could take in what builds on an own op that is lost.
            let lost = self.lost_for_good(&space)?;
            waiting.retain(|(op, _)| !lost.contains(op));
            // Relays that lack the same get the same envelopes: so members see at once what both have.
            let mut sealed: Vec<(Vec<Queued>, Vec<Put>)> = Vec::new();
            for id in &ready {
                let Some(relay) = self.relays.get(id) else {
                    continue;
                };
                let key = relay.key();
                let flying = self.flying(*id);
                let own: Vec<Queued> = waiting
                    .iter()
                    .filter(|(op, row)| !row.taken.contains(&key) && !flying.contains(op))
                    .map(|(op, _)| *op)
                    .filter(|op| !relay.resting.get(op).is_some_and(|rest| rest.is_on(now)))
                    .collect();
                if own.is_empty() || !relay.takes_puts(now) {
                    continue;
                }
                let puts = match sealed.iter().find(|(ops, _)| *ops == own) {
                    Some((_, puts)) => puts.clone(),
                    None => {
                        let puts = self.seal_ops(&space, &own)?;
                        sealed.push((own.clone(), puts.clone()));
                        puts
                    }
                };
                for put in puts {
                    self.note_sent(&space, &mut waiting, &put.ops);
                    if on(Mutant::SentIsTaken) {
                        put.ops.iter().for_each(|op| self.dequeue(&space, op));
                    }
                    if let Some(relay) = self.relays.get_mut(id) {
                        relay.putting += 1;
                    }
                    self.request(
                        *id,
                        Purpose::Put {
                            space,
                            ops: put.ops,
                        },
                        Request::Put(put.request),
                    );
                }
            }
        }
        self.send_mail(&ready)?;
        self.send_chunks(&ready)
    }

    /// Notes, before they leave, that these ops may be elsewhere from now on, even if no answer comes.
    fn note_sent(&mut self, space: &SpaceId, waiting: &mut [(Queued, OutRow)], ops: &[Queued]) {
        let Some(no) = self.spaces.get(space).map(|s| s.no) else {
            return;
        };
        for (op, row) in waiting.iter_mut().filter(|(_, row)| !row.again) {
            if ops.contains(op) {
                row.again = true;
                self.store
                    .put(QUEUE_TABLE, &out_row(no, op), &codec::encode(row));
            }
        }
    }

    /// Sends one envelope to every relay that is connected, without waiting for it.
    pub(crate) fn publish(&mut self, request: &PutRequest) {
        let ready: Vec<RelayId> = self
            .relays
            .iter()
            .filter(|(_, r)| r.connected && r.takes_puts(self.now.as_ms()))
            .map(|(id, _)| *id)
            .collect();
        for id in ready {
            self.publish_at(id, request.clone());
        }
    }

    /// Sends one envelope to one relay, without waiting for it; not at all when too much is in flight.
    pub(crate) fn publish_at(&mut self, id: RelayId, request: PutRequest) {
        let now = self.now.as_ms();
        if let Some(relay) = self.relays.get_mut(&id).filter(|r| r.takes_puts(now)) {
            relay.putting += 1;
            self.request(id, Purpose::Gossip, Request::Put(request));
        }
    }

    fn flying(&self, relay: RelayId) -> BTreeSet<Queued> {
        let mut flying = BTreeSet::new();
        for (at, purpose) in self.requests.values() {
            if let Purpose::Put { ops, .. } = purpose
                && *at == relay
            {
                flying.extend(ops.iter().copied());
            }
        }
        flying
    }

    pub(crate) fn put_done(&mut self, id: RelayId) {
        if let Some(relay) = self.relays.get_mut(&id) {
            relay.putting = relay.putting.saturating_sub(1);
        }
    }

    pub(crate) fn put_answered(
        &mut self,
        id: RelayId,
        space: SpaceId,
        ops: &[Queued],
        result: Result<Response, RelayError>,
    ) -> Result<(), StoreError> {
        use net::wire::ErrorCode::{
            BadSignature, Full, Internal, Malformed, NotFound, QuotaExceeded, RateLimited,
            TooLarge, TooMany,
        };
        self.put_done(id);
        let Some(relay) = self.relays.get_mut(&id) else {
            return Ok(());
        };
        if let Ok(Response::Filed { cursor }) = &result
            && cursor.arrived().day().abs_diff(self.now.day()) > 1
        {
            // Tags change daily, and nobody looks at those of a day far off: as good as not sent.
            relay.error = Some("its clock and that of this device are days apart".to_owned());
            relay.tried = true;
            relay.putting = PUTS_MAX;
            self.set_timer(Timer::Tick, TICK_MS);
            return Ok(());
        }
        if let Err(error) = result {
            // What was refused stays queued and is tried again.
            relay.error = Some(error.to_string());
            relay.tried = true;
            let (now, least) = (self.now.as_ms(), u64::from(error.retry_after_ms));
            let wait = match error.code {
                // What lies under other tags may be taken.
                QuotaExceeded | Malformed | TooLarge | BadSignature => {
                    relay.rest_ops(ops, now, least)
                }
                RateLimited | Full | Internal | NotFound | TooMany => {
                    relay.rests.refused(now, least)
                }
            };
            if wait < TICK_MS {
                self.set_timer(Timer::Tick, wait);
            }
            return Ok(());
        }
        relay.rests = Rest::default();
        relay.resting.retain(|op, _| !ops.contains(op));
        let key = relay.key();
        let relays: BTreeSet<oplog::Digest> = self.relays.values().map(Relay::key).collect();
        let Some(no) = self.spaces.get(&space).map(|s| s.no) else {
            return Ok(());
        };
        for op in ops {
            let row_key = out_row(no, op);
            let Some(bytes) = self.store.get(QUEUE_TABLE, &row_key)? else {
                continue;
            };
            let mut row: OutRow = codec::decode("outbox", &bytes).unwrap_or_default();
            if !row.taken.contains(&key) {
                row.taken.push(key);
                row.taken.sort_unstable();
            }
            self.sent_count += 1;
            // Once every relay has it, the row only tells how many; it leaves the queue.
            if relays.iter().all(|relay| row.taken.contains(relay)) {
                self.dequeue(&space, op);
            } else {
                self.store.put(QUEUE_TABLE, &row_key, &codec::encode(&row));
            }
            let count = u32::try_from(row.taken.len()).unwrap_or(u32::MAX);
            self.store
                .put(QUEUE_TABLE, &taken_row(no, &op.op), &count.to_be_bytes());
            self.delivered.push((space, op.op));
        }
        Ok(())
    }

    /// Returns the own ops of a Space that some relay lacks, in the order of their writing.
    pub(crate) fn waiting_to_send(
        &self,
        space: &SpaceId,
    ) -> Result<Vec<(Queued, OutRow)>, StoreError> {
        let Some(no) = self.spaces.get(space).map(|s| s.no) else {
            return Ok(Vec::new());
        };
        let prefix = out_prefix(no);
        let mut rows = Vec::new();
        self.store.scan(
            QUEUE_TABLE,
            &prefix,
            &prefix_end(&prefix),
            Direction::Forward,
            &mut |key, value| {
                let queued = key.get(prefix.len()..).and_then(Queued::from_bytes);
                if let (Some(queued), Ok(row)) = (queued, codec::decode::<OutRow>("outbox", value))
                {
                    rows.push((queued, row));
                }
                std::ops::ControlFlow::Continue(())
            },
        )?;
        Ok(rows)
    }

    /// Puts an own op into the queue.
    pub(crate) fn enqueue(&mut self, space: &SpaceId, op: &Queued) {
        let no = self.spaces.get(space).map(|s| s.no);
        if let Some(no) = no.filter(|_| !on(Mutant::OutboxForgets)) {
            queue(&mut self.store, no, op);
        }
    }

    /// Puts an own op into the queue that was there before.
    pub(crate) fn enqueue_again(&mut self, space: &SpaceId, op: &Queued) {
        if let Some(no) = self.spaces.get(space).map(|s| s.no) {
            queue_again(&mut self.store, no, op);
        }
    }

    /// Takes an own op out of the queue.
    pub(crate) fn dequeue(&mut self, space: &SpaceId, op: &Queued) {
        if let Some(no) = self.spaces.get(space).map(|s| s.no) {
            self.store.delete(QUEUE_TABLE, &out_row(no, op));
        }
    }

    /// Returns how many relays have taken an own op.
    pub(crate) fn taken_by(&self, space: &SpaceId, op: &OpId) -> Result<usize, StoreError> {
        let Some(no) = self.spaces.get(space).map(|s| s.no) else {
            return Ok(0);
        };
        let row = self.store.get(QUEUE_TABLE, &taken_row(no, op))?;
        let count = row
            .and_then(|r| r.try_into().ok())
            .map_or(0, u32::from_be_bytes);
        Ok(usize::try_from(count).unwrap_or(usize::MAX))
    }
}

/// Puts an own op into the queue for every relay.
pub(crate) fn queue(store: &mut impl Store, no: oplog::SpaceNo, op: &Queued) {
    store.put(
        QUEUE_TABLE,
        &out_row(no, op),
        &codec::encode(&OutRow::default()),
    );
}

/// Puts an own op into the queue for every relay that was there before.
pub(crate) fn queue_again(store: &mut impl Store, no: oplog::SpaceNo, op: &Queued) {
    let row = OutRow {
        again: true,
        ..OutRow::default()
    };
    store.put(QUEUE_TABLE, &out_row(no, op), &codec::encode(&row));
}

fn out_prefix(no: oplog::SpaceNo) -> Vec<u8> {
    [b"out/".as_slice(), &no.0.to_be_bytes()].concat()
}

fn out_row(no: oplog::SpaceNo, queued: &Queued) -> Vec<u8> {
    [
        out_prefix(no).as_slice(),
        &queued.hlc.as_raw().to_be_bytes(),
        queued.op.as_bytes(),
    ]
    .concat()
}

fn taken_row(no: oplog::SpaceNo, op: &OpId) -> Vec<u8> {
    [b"taken/".as_slice(), &no.0.to_be_bytes(), op.as_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_refused_again_rests_twice_as_long() {
        let mut rest = Rest::default();
        assert!(!rest.is_on(0));
        let mut now = 5_000;
        let mut waits = Vec::new();
        for _ in 0..12 {
            let wait = rest.refused(now, 0);
            // Another answer to the same volley.
            assert_eq!(rest.refused(now + 1, 0), wait);
            now += wait + 1;
            assert!(rest.is_on(now - 1) && !rest.is_on(now));
            waits.push(wait / 1_000);
        }
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 600, 600]);
        let wait = Rest::default().refused(now, 30_000);
        assert_eq!(wait, 30_000, "as long as the relay wants");
        let wait = rest.refused(now, u64::from(u32::MAX));
        assert_eq!(wait, REST_MS_MAX, "but not for ever");
        assert!(
            rest.is_on(now) && !rest.is_on(1_000),
            "the clock was set back"
        );
    }
}
