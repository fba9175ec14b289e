//! Getting and giving through relays: requests, their answers, and what follows from each exchange.
//!
//! A relay is caught up with once every tag was fetched to its end and is subscribed to (`listen`).
//! Only then does anything of ours go out (`outbox`), so that what we write is sealed for the group
//! as it is and not as it was.

use std::collections::BTreeMap;

use net::wire::{Hour, Push, RecvId, RelayError, Request, Response, SendId};
use oplog::store::{Store, StoreError};
use oplog::{SpaceId, Tag, Timestamp};
use rand_core::CryptoRng;

use crate::blobs::ChunkStore;
use crate::compare::Comparison;
use crate::event::{Effect, RelayId, RequestId, Timer};
use crate::listen::TagSync;
use crate::mailbox::Reading;
use crate::node::Node;
use crate::outbox::{PUTS_MAX, Queued, Rest};
use crate::relays::relay_key;
use crate::tags::TagSpan;
use crate::view::{Notice, RelayStatus};

/// How often housekeeping runs, in milliseconds.
pub(crate) const TICK_MS: u64 = 30_000;

/// Everything this node knows of one relay.
#[derive(Debug)]
pub(crate) struct Relay {
    pub(crate) address: String,
    /// Stands for it in rows.
    key: oplog::Digest,
    pub(crate) connected: bool,
    pub(crate) error: Option<String>,
    /// What mailbox owners sign on this connection.
    pub(crate) challenge: Option<net::wire::Challenge>,
    pub(crate) tags: BTreeMap<Tag, TagSync>,
    /// Nothing left to get.
    pub(crate) caught_up: bool,
    /// Whether it was never caught up with on this connection.
    pub(crate) new: bool,
    /// Whether it was ever caught up or failed since the start: `sync` waits for that.
    pub(crate) tried: bool,
    pub(crate) fetching: usize,
    pub(crate) subscribing: bool,
    pub(crate) putting: usize,
    /// How long nothing is put there: it said to come back later.
    pub(crate) rests: Rest,
    /// Own ops that it refused, for a reason of their own.
    pub(crate) resting: BTreeMap<Queued, Rest>,
    /// Under way: what is there against what we have seen.
    pub(crate) comparison: Option<Comparison>,
    /// Mailboxes that it pushes from, or was asked to.
    pub(crate) reading: BTreeMap<RecvId, Reading>,
}

/// Why a request was sent, to know what its answer means.
#[derive(Debug)]
pub(crate) enum Purpose {
    Ping,
    Fetch(Tag),
    /// A round of comparing.
    Compare(Tag),
    /// What a comparison showed to be missing here.
    FetchIds(Tag),
    Subscribe(Vec<Tag>),
    /// An envelope with these own ops.
    Put {
        space: SpaceId,
        ops: Vec<Queued>,
    },
    /// An envelope nobody waits for.
    Gossip,
    OpenMailbox(SpaceId),
    ReadMailbox(SpaceId, RecvId),
    /// A request to be let in that names this mailbox for the answer.
    AskToJoin(SpaceId, SendId),
    /// A message in the mail queue.
    Mail(Vec<u8>),
    PutChunk(oplog::BlobId),
    GetChunk(oplog::BlobId),
}

impl Relay {
    pub(crate) fn new(address: String) -> Self {
        Self {
            key: relay_key(&address),
            address,
            connected: false,
            error: None,
            challenge: None,
            tags: BTreeMap::new(),
            caught_up: false,
            new: true,
            tried: false,
            fetching: 0,
            subscribing: false,
            putting: 0,
            rests: Rest::default(),
            resting: BTreeMap::new(),
            comparison: None,
            reading: BTreeMap::new(),
        }
    }

    /// Stands for the relay in rows.
    pub(crate) const fn key(&self) -> oplog::Digest {
        self.key
    }

    pub(crate) fn status(&self) -> RelayStatus {
        RelayStatus {
            address: self.address.clone(),
            connected: self.connected,
            error: self.error.clone(),
        }
    }

    /// Forgets what was under way on a connection that is still up.
    pub(crate) fn begin_again(&mut self) {
        *self = Self {
            tried: self.tried,
            ..Self::new(std::mem::take(&mut self.address))
        };
    }

    fn disconnected(&mut self, reason: String) {
        *self = Self {
            error: Some(reason),
            tried: true,
            ..Self::new(std::mem::take(&mut self.address))
        };
    }
}

impl<S: Store, C: ChunkStore, R: CryptoRng> Node<S, C, R> {
    pub(crate) fn relay_connected(&mut self, id: RelayId) -> Result<(), StoreError> {
        let Some(relay) = self.relays.get_mut(&id) else {
            return Ok(());
        };
        relay.connected = true;
        relay.error = None;
        let status = relay.status();
        self.effects.push(Effect::Notify(Notice::Relay(status)));
        self.request(id, Purpose::Ping, Request::Ping);
        let book = self.tag_book()?;
        self.listen(id, &book)
    }

    /// A connection whose first question was not answered: without the challenge no mailbox is read on it.
    fn ping_again(&mut self, id: RelayId) {
        let unknown = |r: &Relay| r.connected && r.challenge.is_none();
        let mut flying = self.requests.values();
        let asked =
            |(at, purpose): &(RelayId, Purpose)| *at == id && matches!(purpose, Purpose::Ping);
        if self.relays.get(&id).is_some_and(unknown) && !flying.any(asked) {
            self.request(id, Purpose::Ping, Request::Ping);
        }
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
            Purpose::Compare(tag) => self.compare_answered(id, &tag, result)?,
            Purpose::FetchIds(tag) => self.ids_fetched(id, &tag, result)?,
            Purpose::Subscribe(tags) => self.subscribed(id, &tags, result.is_ok()),
            Purpose::Put { space, ops } => self.put_answered(id, space, &ops, result)?,
            Purpose::Gossip => self.put_done(id),
            Purpose::OpenMailbox(space) => self.mailbox_opened(id, space, result)?,
            Purpose::ReadMailbox(space, mailbox) => {
                self.mailbox_read(id, space, mailbox, result)?
            }
            Purpose::AskToJoin(space, reply_to) => self.asked_to_join(id, space, reply_to, result),
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
            Push::Mail {
                recv_id,
                items,
                prev,
            } => self.mail_received(id, recv_id, prev, items)?,
            Push::MailBehind { recv_id } => {
                self.read_again(&recv_id);
                self.continue_joins(id)?;
            }
        }
        self.after_exchange()
    }

    /// What happens after every exchange: more tags may matter now, more may be sent.
    pub(crate) fn after_exchange(&mut self) -> Result<(), StoreError> {
        if std::mem::take(&mut self.tags_changed) {
            let book = self.tag_book()?;
            for id in self.relays.keys().copied().collect::<Vec<_>>() {
                self.listen(id, &book)?;
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

    fn on_caught_up(&mut self, id: RelayId) -> Result<(), StoreError> {
        // A relay whose answers get lost is fetched from at every tick, and heads would make heads: what
        // is new tells of itself.
        let relay = self.relays.get_mut(&id);
        let new = relay.is_some_and(|relay| std::mem::take(&mut relay.new));
        let spaces: Vec<SpaceId> = self.spaces.keys().copied().collect();
        for space in spaces {
            self.consider_reconcile(&space)?;
            if new {
                if let Some(s) = self.spaces.get_mut(&space) {
                    s.repair.caught_up();
                }
                self.consider_repair(&space);
            }
            self.letters_again(&space);
        }
        self.consider_applicants()?;
        self.consider_comparing(id)?;
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

    /// Returns whether at least one relay is connected and caught up with.
    pub(crate) fn online(&self) -> bool {
        self.relays
            .values()
            .any(|relay| relay.connected && relay.caught_up)
    }

    /// Housekeeping: days change, refusals are tried again, old things go.
    pub(crate) fn tick(&mut self) -> Result<(), StoreError> {
        for relay in self.relays.values_mut().filter(|r| r.putting >= PUTS_MAX) {
            relay.putting = 0;
        }
        let span = TagSpan {
            days: self.days()?,
            hour: Hour::of(self.now),
        };
        self.tags_changed |= self.tags_span.replace(span) != Some(span);
        self.ask_again();
        for id in self.relays.keys().copied().collect::<Vec<_>>() {
            self.ping_again(id);
            self.continue_joins(id)?;
            self.subscribe_again(id);
            self.consider_comparing(id)?;
        }
        for space in self.spaces.keys().copied().collect::<Vec<_>>() {
            self.mend(&space)?;
        }
        self.take_early()?;
        self.consider_complaints()?;
        self.consider_readds()?;
        self.consider_rekeys()?;
        self.consider_seals()?;
        self.consider_attests()?;
        self.expire()?;
        self.expire_welcomes()?;
        self.tidy_chunks()?;
        self.set_timer(Timer::Tick, TICK_MS);
        self.after_exchange()
    }

    pub(crate) fn set_timer(&mut self, timer: Timer, after_ms: u64) {
        let at: Timestamp = self.now.plus_ms(after_ms);
        self.effects.push(Effect::SetTimer { timer, at });
    }
}
