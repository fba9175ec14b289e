//! Getting and giving through relays: which tags to listen to, what was received up to where, what waits to be sent.
//!
//! A relay is caught up with once every tag was fetched to its end and is subscribed to.
//! Only then does anything of ours go out, so that what we write is sealed for the group as it
//! is and not as it was. What goes out waits in rows until a relay has acknowledged it: a
//! crash between sending and acknowledging sends again, which is harmless.

use std::collections::{BTreeMap, BTreeSet};

use minicbor::{Decode, Encode};
use net::wire::{
    Cursor, Filed, Push, PutRequest, RelayError, Request, Response, Subscription, TTL_SECS_MAX,
};
use oplog::store::{Direction, Store, StoreError, prefix_end};
use oplog::{Hlc, OpId, SpaceId, Tag, Timestamp, codec};
use rand_core::CryptoRng;

use crate::blobs::ChunkStore;
use crate::event::{Effect, RelayId, RequestId, Timer};
use crate::identity::QUEUE_TABLE;
use crate::node::Node;
use crate::view::{Notice, RelayStatus};

/// How long a tag's backlog is looked for after an absence: what relays keep (B16).
const RETENTION_DAYS: u64 = 30;
/// Envelopes asked for in one page.
const PAGE_ITEMS: u16 = 64;
/// Fetches in flight at one relay.
const FETCHES_MAX: usize = 16;
/// Puts in flight at one relay.
pub(crate) const PUTS_MAX: usize = 16;
/// How often housekeeping runs, in milliseconds.
pub(crate) const TICK_MS: u64 = 30_000;

/// Everything this node knows of one relay.
#[derive(Debug)]
pub(crate) struct Relay {
    pub(crate) address: String,
    pub(crate) connected: bool,
    pub(crate) error: Option<String>,
    /// What mailbox owners sign on this connection.
    pub(crate) challenge: Option<net::wire::Challenge>,
    tags: BTreeMap<Tag, TagSync>,
    /// Nothing left to get.
    pub(crate) caught_up: bool,
    /// Whether it was ever caught up or failed since the start: `sync` waits for that.
    pub(crate) tried: bool,
    fetching: usize,
    subscribing: bool,
    pub(crate) putting: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct TagSync {
    cursor: Cursor,
    phase: Phase,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Phase {
    Unknown,
    Fetching,
    Fetched,
    Subscribing,
    Subscribed,
}

/// Why a request was sent, to know what its answer means.
#[derive(Debug)]
pub(crate) enum Purpose {
    Ping,
    Fetch(Tag),
    Subscribe(Vec<Tag>),
    /// An envelope with these own ops.
    Put {
        space: SpaceId,
        ops: Vec<Queued>,
    },
    /// An envelope nobody waits for.
    Gossip,
    OpenMailbox(SpaceId),
    ReadMailbox(SpaceId),
    AskToJoin(SpaceId),
    /// A message in the mail queue.
    Mail(Vec<u8>),
    PutChunk(oplog::BlobId),
    GetChunk(oplog::BlobId),
}

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
}

impl Queued {
    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (hlc, op) = bytes.split_first_chunk::<8>()?;
        let op = <[u8; 32]>::try_from(op).ok()?;
        Some(Self {
            hlc: Hlc::from_raw(u64::from_be_bytes(*hlc)),
            op: OpId::from_bytes(op),
        })
    }
}

impl Relay {
    pub(crate) fn new(address: String) -> Self {
        Self {
            address,
            connected: false,
            error: None,
            challenge: None,
            tags: BTreeMap::new(),
            caught_up: false,
            tried: false,
            fetching: 0,
            subscribing: false,
            putting: 0,
        }
    }

    /// Stands for the relay in rows.
    pub(crate) fn key(&self) -> oplog::Digest {
        relay_key(&self.address)
    }

    pub(crate) fn status(&self) -> RelayStatus {
        RelayStatus {
            address: self.address.clone(),
            connected: self.connected,
            error: self.error.clone(),
        }
    }

    fn disconnected(&mut self, reason: String) {
        *self = Self {
            error: Some(reason),
            tried: true,
            ..Self::new(std::mem::take(&mut self.address))
        };
    }
}

/// Stands for a relay in rows: its key, whatever way leads to it.
pub(crate) fn relay_key(address: &str) -> oplog::Digest {
    let address = address
        .rsplit_once("/p2p/")
        .map_or(address, |(_, peer)| peer);
    oplog::Digest::from_bytes(
        oplog::hash::H::new("relay")
            .field(address.as_bytes())
            .finish(),
    )
}

impl<S: Store, C: ChunkStore, R: CryptoRng> Node<S, C, R> {
    /// Uses a relay in this run, unless it is used already.
    pub fn use_relay(&mut self, address: &str) -> RelayId {
        let same = |relay: &Relay| relay_key(&relay.address) == relay_key(address);
        if let Some((id, _)) = self.relays.iter().find(|(_, relay)| same(relay)) {
            return *id;
        }
        let id = RelayId(self.relays.keys().last().map_or(0, |last| last.0 + 1));
        self.relays.insert(id, Relay::new(address.to_owned()));
        if self.started {
            self.effects.push(Effect::Connect {
                relay: id,
                address: address.to_owned(),
            });
        }
        id
    }

    pub(crate) fn relay_connected(&mut self, id: RelayId) -> Result<(), StoreError> {
        let Some(relay) = self.relays.get_mut(&id) else {
            return Ok(());
        };
        relay.connected = true;
        relay.error = None;
        let status = relay.status();
        self.effects.push(Effect::Notify(Notice::Relay(status)));
        self.request(id, Purpose::Ping, Request::Ping);
        self.listen(id)
    }

    pub(crate) fn relay_disconnected(
        &mut self,
        id: RelayId,
        reason: String,
    ) -> Result<(), StoreError> {
        let Some(relay) = self.relays.get_mut(&id) else {
            return Ok(());
        };
        relay.disconnected(reason);
        let status = relay.status();
        self.requests.retain(|_, (at, _)| *at != id);
        self.effects.push(Effect::Notify(Notice::Relay(status)));
        self.after_exchange()
    }

    pub(crate) fn request(&mut self, relay: RelayId, purpose: Purpose, request: Request) {
        let id = RequestId(self.next_request);
        self.next_request += 1;
        self.requests.insert(id, (relay, purpose));
        self.effects.push(Effect::Request { relay, id, request });
    }

    pub(crate) fn relay_answered(
        &mut self,
        id: RelayId,
        request: RequestId,
        result: Result<Response, RelayError>,
    ) -> Result<(), StoreError> {
        let Some((_, purpose)) = self.requests.remove(&request) else {
            return Ok(());
        };
        let result = match result {
            Ok(Response::Error(error)) | Err(error) => Err(error),
            Ok(response) => Ok(response),
        };
        match purpose {
            Purpose::Ping => {
                if let (Some(relay), Ok(Response::Pong { challenge })) =
                    (self.relays.get_mut(&id), result)
                {
                    relay.challenge = Some(challenge);
                }
                self.continue_joins(id)?;
            }
            Purpose::Fetch(tag) => self.fetched(id, tag, result)?,
            Purpose::Subscribe(tags) => self.subscribed(id, &tags, result.is_ok()),
            Purpose::Put { space, ops } => self.put_answered(id, space, &ops, result)?,
            Purpose::Gossip => self.put_done(id),
            Purpose::OpenMailbox(space) => self.mailbox_opened(id, space, result)?,
            Purpose::ReadMailbox(space) => self.mailbox_read(id, space, result)?,
            Purpose::AskToJoin(space) => self.asked_to_join(id, space, result),
            Purpose::Mail(key) => self.mail_answered(id, &key, result)?,
            Purpose::PutChunk(blob) => self.chunk_put(id, blob, result)?,
            Purpose::GetChunk(blob) => self.chunk_got(id, blob, result)?,
        }
        self.after_exchange()
    }

    pub(crate) fn relay_pushed(&mut self, id: RelayId, push: Push) -> Result<(), StoreError> {
        match push {
            Push::Envelopes { tag, prev, items } => {
                let known = self
                    .relays
                    .get(&id)
                    .and_then(|r| r.tags.get(&tag))
                    .map(|t| t.cursor);
                // A gap means that something was dropped on the way: fetch from where we are.
                if known.is_some_and(|known| prev > known) {
                    self.fetch_again(id, tag);
                } else {
                    self.received(id, tag, items)?;
                }
            }
            Push::Behind { tag } => self.fetch_again(id, tag),
            Push::Mail { recv_id, items } => self.mail_received(id, recv_id, items)?,
            Push::MailBehind { .. } => self.continue_joins(id)?,
        }
        self.after_exchange()
    }

    /// Brings what we ask of a relay in line with the tags that matter now.
    pub(crate) fn listen(&mut self, id: RelayId) -> Result<(), StoreError> {
        if !self.relays.get(&id).is_some_and(|relay| relay.connected) {
            return Ok(());
        }
        let wanted = self.wanted_tags(id)?;
        let Some(relay) = self.relays.get_mut(&id) else {
            return Ok(());
        };
        relay.tags.retain(|tag, _| wanted.contains(tag));
        let key = relay.key();
        for tag in wanted {
            if self
                .relays
                .get(&id)
                .is_some_and(|r| r.tags.contains_key(&tag))
            {
                continue;
            }
            let cursor = self.cursor(&key, &tag)?;
            if let Some(relay) = self.relays.get_mut(&id) {
                relay.caught_up = false;
                relay.tags.insert(
                    tag,
                    TagSync {
                        cursor,
                        phase: Phase::Unknown,
                    },
                );
            }
        }
        self.advance(id);
        Ok(())
    }

    /// Sends the next fetches and subscriptions.
    fn advance(&mut self, id: RelayId) {
        let Some(relay) = self.relays.get_mut(&id).filter(|r| r.connected) else {
            return;
        };
        let mut fetches = Vec::new();
        for (tag, sync) in &mut relay.tags {
            if sync.phase == Phase::Unknown && relay.fetching < FETCHES_MAX {
                sync.phase = Phase::Fetching;
                relay.fetching += 1;
                fetches.push((*tag, sync.cursor));
            }
        }
        let idle = relay.fetching == 0 && !relay.subscribing;
        let ready: Vec<Subscription> = relay
            .tags
            .iter()
            .filter(|(_, sync)| idle && sync.phase == Phase::Fetched)
            .map(|(tag, sync)| Subscription {
                tag: *tag,
                after: sync.cursor,
            })
            .take(net::wire::SUBSCRIBE_TAGS_MAX)
            .collect();
        for subscription in &ready {
            if let Some(sync) = relay.tags.get_mut(&subscription.tag) {
                sync.phase = Phase::Subscribing;
            }
        }
        relay.subscribing |= !ready.is_empty();
        let caught_up =
            idle && ready.is_empty() && relay.tags.values().all(|t| t.phase == Phase::Subscribed);
        let newly = caught_up && !relay.caught_up;
        relay.caught_up = caught_up;
        relay.tried |= caught_up;
        for (tag, after) in fetches {
            self.request(
                id,
                Purpose::Fetch(tag),
                Request::Fetch {
                    tag,
                    after,
                    limit: PAGE_ITEMS,
                },
            );
        }
        if !ready.is_empty() {
            let tags = ready.iter().map(|s| s.tag).collect();
            self.request(
                id,
                Purpose::Subscribe(tags),
                Request::Subscribe {
                    tags: ready,
                    replace: false,
                },
            );
        }
        if newly {
            self.caught_up_with.insert(id);
        }
    }

    fn fetch_again(&mut self, id: RelayId, tag: Tag) {
        if let Some(sync) = self.relays.get_mut(&id).and_then(|r| r.tags.get_mut(&tag))
            && sync.phase != Phase::Fetching
        {
            sync.phase = Phase::Unknown;
        }
        self.advance(id);
    }

    fn fetched(
        &mut self,
        id: RelayId,
        tag: Tag,
        result: Result<Response, RelayError>,
    ) -> Result<(), StoreError> {
        let Some(relay) = self.relays.get_mut(&id) else {
            return Ok(());
        };
        relay.fetching = relay.fetching.saturating_sub(1);
        let (items, more) = match result {
            Ok(Response::Page { items, more }) => (items, more),
            // Refused or nonsense: treat the tag as empty for now; the next connection asks again.
            _ => (Vec::new(), false),
        };
        let progressed = !items.is_empty();
        self.received(id, tag, items)?;
        if let Some(sync) = self.relays.get_mut(&id).and_then(|r| r.tags.get_mut(&tag)) {
            sync.phase = if more && progressed {
                Phase::Unknown
            } else {
                Phase::Fetched
            };
        }
        Ok(())
    }

    fn subscribed(&mut self, id: RelayId, tags: &[Tag], fine: bool) {
        let Some(relay) = self.relays.get_mut(&id) else {
            return;
        };
        relay.subscribing = false;
        for tag in tags {
            if let Some(sync) = relay
                .tags
                .get_mut(tag)
                .filter(|s| s.phase == Phase::Subscribing)
            {
                sync.phase = if fine {
                    Phase::Subscribed
                } else {
                    Phase::Fetched
                };
            }
        }
        if !fine {
            relay.error = Some("the relay refused a subscription".to_owned());
            relay.tried = true;
            // Without live push there is still the backlog: take it as it is.
            for sync in relay.tags.values_mut() {
                sync.phase = sync.phase.max(Phase::Subscribed);
            }
        }
    }

    fn received(&mut self, id: RelayId, tag: Tag, items: Vec<Filed>) -> Result<(), StoreError> {
        let Some(relay) = self.relays.get_mut(&id) else {
            return Ok(());
        };
        let key = relay.key();
        let Some(sync) = relay.tags.get_mut(&tag) else {
            return Ok(());
        };
        let new: Vec<Filed> = items
            .into_iter()
            .filter(|item| item.cursor > sync.cursor)
            .collect();
        let Some(last) = new.iter().map(|item| item.cursor).max() else {
            return Ok(());
        };
        sync.cursor = last;
        self.store.put(
            QUEUE_TABLE,
            &cursor_row(&key, &tag),
            &last.as_raw().to_be_bytes(),
        );
        let envelopes = new
            .into_iter()
            .map(|item| item.sealed.as_bytes().to_vec())
            .collect();
        self.open_envelopes(tag, envelopes)
    }

    /// What happens after every exchange: more tags may matter now, more may be sent.
    pub(crate) fn after_exchange(&mut self) -> Result<(), StoreError> {
        if std::mem::take(&mut self.tags_changed) {
            for id in self.relays.keys().copied().collect::<Vec<_>>() {
                self.listen(id)?;
            }
        }
        for id in self.relays.keys().copied().collect::<Vec<_>>() {
            self.advance(id);
        }
        for id in std::mem::take(&mut self.caught_up_with) {
            self.on_caught_up(id)?;
        }
        self.continue_bundles()?;
        self.send_outbox()?;
        self.settle_waiting()
    }

    fn on_caught_up(&mut self, _: RelayId) -> Result<(), StoreError> {
        let spaces: Vec<SpaceId> = self.spaces.keys().copied().collect();
        for space in spaces {
            self.consider_reconcile(&space)?;
            self.consider_repair(&space);
        }
        self.consider_applicants()?;
        if self
            .relays
            .values()
            .filter(|r| r.connected)
            .all(|r| r.caught_up)
        {
            self.effects.push(Effect::Notify(Notice::CaughtUp));
        }
        Ok(())
    }

    fn cursor(&self, relay: &oplog::Digest, tag: &Tag) -> Result<Cursor, StoreError> {
        let row = self.store.get(QUEUE_TABLE, &cursor_row(relay, tag))?;
        let raw = row
            .and_then(|r| r.try_into().ok())
            .map_or(0, u64::from_be_bytes);
        Ok(Cursor::from_raw(raw))
    }

    /// Returns whether at least one relay is connected and caught up with.
    pub(crate) fn online(&self) -> bool {
        self.relays
            .values()
            .any(|relay| relay.connected && relay.caught_up)
    }

    /// Returns the days whose tags matter: from the last time we were in touch to tomorrow.
    pub(crate) fn days(&self) -> Result<(u64, u64), StoreError> {
        let today = self.now.day();
        let row = self.store.get(QUEUE_TABLE, LAST_DAY_KEY)?;
        let last = row
            .and_then(|r| r.try_into().ok())
            .map_or(today, u64::from_be_bytes);
        let from = last
            .min(today)
            .saturating_sub(1)
            .max(today.saturating_sub(RETENTION_DAYS));
        Ok((from, today + 1))
    }

    /// Notes that everything up to now was received.
    pub(crate) fn note_day(&mut self) -> Result<(), StoreError> {
        let all = self
            .relays
            .values()
            .filter(|r| r.connected)
            .all(|r| r.caught_up);
        let today = self.now.day().to_be_bytes();
        if all
            && self.online()
            && self.store.get(QUEUE_TABLE, LAST_DAY_KEY)?.as_deref() != Some(&today)
        {
            self.store.put(QUEUE_TABLE, LAST_DAY_KEY, &today);
        }
        Ok(())
    }

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
        let spaces: Vec<SpaceId> = self.spaces.keys().copied().collect();
        for space in spaces {
            let waiting = self.waiting_to_send(&space)?;
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
                    .collect();
                if own.is_empty() || relay.putting >= PUTS_MAX {
                    continue;
                }
                for put in self.seal_ops(&space, &own)? {
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

    /// Sends one envelope to every relay that is connected, without waiting for it.
    pub(crate) fn publish(&mut self, request: &PutRequest) {
        let ready: Vec<RelayId> = self
            .relays
            .iter()
            .filter(|(_, r)| r.connected && r.putting < PUTS_MAX)
            .map(|(id, _)| *id)
            .collect();
        for id in ready {
            if let Some(relay) = self.relays.get_mut(&id) {
                relay.putting += 1;
            }
            self.request(id, Purpose::Gossip, Request::Put(request.clone()));
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

    fn put_done(&mut self, id: RelayId) {
        if let Some(relay) = self.relays.get_mut(&id) {
            relay.putting = relay.putting.saturating_sub(1);
        }
    }

    fn put_answered(
        &mut self,
        id: RelayId,
        space: SpaceId,
        ops: &[Queued],
        result: Result<Response, RelayError>,
    ) -> Result<(), StoreError> {
        self.put_done(id);
        let Some(relay) = self.relays.get_mut(&id) else {
            return Ok(());
        };
        if let Err(error) = result {
            // What was refused stays queued; the tick tries again.
            relay.error = Some(error.to_string());
            relay.tried = true;
            relay.putting = PUTS_MAX;
            self.set_timer(Timer::Tick, u64::from(error.retry_after_ms).max(1000));
            return Ok(());
        }
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
                self.store.delete(QUEUE_TABLE, &row_key);
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
        if let Some(no) = self.spaces.get(space).map(|s| s.no) {
            queue(&mut self.store, no, op);
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

    /// Housekeeping: days change, refusals are tried again, old things go.
    pub(crate) fn tick(&mut self) -> Result<(), StoreError> {
        for relay in self.relays.values_mut().filter(|r| r.putting >= PUTS_MAX) {
            relay.putting = 0;
        }
        self.tags_changed = true;
        for id in self.relays.keys().copied().collect::<Vec<_>>() {
            self.continue_joins(id)?;
        }
        self.expire()?;
        self.set_timer(Timer::Tick, TICK_MS);
        self.after_exchange()
    }

    pub(crate) fn set_timer(&mut self, timer: Timer, after_ms: u64) {
        let at: Timestamp = self.now.plus_ms(after_ms);
        self.effects.push(Effect::SetTimer { timer, at });
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

/// How long relays are asked to keep an envelope.
pub(crate) const ENVELOPE_TTL_SECS: u32 = TTL_SECS_MAX;

const LAST_DAY_KEY: &[u8] = b"last-day";

fn cursor_row(relay: &oplog::Digest, tag: &Tag) -> Vec<u8> {
    [b"cursor/", relay.as_bytes().as_slice(), tag.as_bytes()].concat()
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
