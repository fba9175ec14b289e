//! The relay itself, without IO: one request in, one response and some pushes out.
//!
//! The driver appends, syncs the store, and only then sends what an [`Answer`] holds: a client
//! that was told of a cursor must find it after any crash.

use std::collections::{BTreeMap, BTreeSet};

use net::neg::{self, Items};
use net::wire::{
    Challenge, Cursor, ErrorCode, Filed, Hour, HourRange, MailboxVerb, PAGE_BYTES_MAX,
    PAGE_ITEMS_MAX, Push, PutRequest, RecvAuth, RecvId, RelayError, Request, Response, Sealed,
    SendId, Subscription, TTL_SECS_MAX, is_bucket, token_hash,
};
use oplog::store::StoreError;
use oplog::{BlobId, Digest, Tag, Timestamp};
use rand_core::CryptoRng;

use crate::conn::{Conn, ConnId, PushId};
use crate::limits::Limits;
use crate::store::{Entry, EnvelopeStore, Mailbox, Shelf, Usage};

/// What one event leads to. Sent only after the store was synced.
#[derive(Debug, Default)]
pub struct Answer {
    /// For the request, when the event was one.
    pub response: Option<Response>,
    /// To whom it may concern.
    pub pushes: Vec<Pushed>,
}

/// A push for one connection. The driver reports its end with [`RelayCore::push_done`].
#[derive(Debug)]
pub struct Pushed {
    /// To whom.
    pub conn: ConnId,
    /// Its name in the report.
    pub id: PushId,
    /// What.
    pub push: Push,
}

/// Counters since the start, and what is there now. No names, no addresses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Open connections.
    pub connections: usize,
    /// Subscriptions of all connections.
    pub subscriptions: usize,
    /// What is stored.
    pub usage: Usage,
    /// Requests taken.
    pub requests: u64,
    /// Pushes sent.
    pub pushes: u64,
    /// Pushes that had no room and became `Behind`.
    pub behind: u64,
    /// Refusals by cause.
    pub refused: BTreeMap<ErrorCode, u64>,
}

/// Mailbox, subscriptions and quotas over a store.
#[derive(Debug)]
pub struct RelayCore<S> {
    store: S,
    limits: Limits,
    conns: BTreeMap<ConnId, Conn>,
    subscribers: BTreeMap<Shelf, BTreeSet<ConnId>>,
    subscriptions: usize,
    pushes: u64,
    requests: u64,
    behind: u64,
    refused: BTreeMap<ErrorCode, u64>,
}

impl<S: EnvelopeStore> RelayCore<S> {
    /// Serves what is in a store.
    pub const fn new(store: S, limits: Limits) -> Self {
        Self {
            store,
            limits,
            conns: BTreeMap::new(),
            subscribers: BTreeMap::new(),
            subscriptions: 0,
            pushes: 0,
            requests: 0,
            behind: 0,
            refused: BTreeMap::new(),
        }
    }

    /// Takes a new connection. Returns whether there is room for it.
    pub fn connected(&mut self, conn: ConnId, now: Timestamp, rng: &mut impl CryptoRng) -> bool {
        if self.conns.len() >= self.limits.connections_max {
            return false;
        }
        let mut challenge = [0; Challenge::LEN];
        rng.fill_bytes(&mut challenge);
        let challenge = Challenge::from_bytes(challenge);
        self.conns
            .insert(conn, Conn::new(challenge, &self.limits, now));
        true
    }

    /// Forgets a connection.
    pub fn disconnected(&mut self, conn: ConnId) {
        if let Some(state) = self.conns.remove(&conn) {
            for shelf in &state.shelves {
                self.forget_subscriber(shelf, conn);
            }
        }
    }

    /// Answers one request. A client's fault becomes a response, not an error.
    ///
    /// # Errors
    /// Only when the store fails: nothing of this request was done, and the driver decides what next.
    pub fn handle(
        &mut self,
        conn: ConnId,
        request: Request,
        now: Timestamp,
        rng: &mut impl CryptoRng,
    ) -> Result<Answer, StoreError> {
        self.store.expire(now)?;
        self.requests += 1;
        let mut pushes = Vec::new();
        let outcome = self
            .admit(conn, &request, now)
            .and_then(|()| self.dispatch(conn, request, now, rng, &mut pushes));
        let response = match outcome {
            Ok(response) => response,
            Err(Refusal::Store(StoreError::Full)) => ErrorCode::Full.into(),
            Err(Refusal::Store(error)) => return Err(error),
            Err(Refusal::Client(error)) => Response::Error(error),
        };
        if let Response::Error(error) = &response {
            *self.refused.entry(error.code).or_default() += 1;
        }
        self.drain_behind(conn, &mut pushes);
        Ok(Answer {
            response: Some(response),
            pushes,
        })
    }

    /// Notes that a push was acked, or lost.
    pub fn push_done(&mut self, conn: ConnId, id: PushId, acked: bool) -> Answer {
        let mut pushes = Vec::new();
        if let Some(state) = self.conns.get_mut(&conn) {
            state.finished(id, acked);
        }
        self.drain_behind(conn, &mut pushes);
        Answer {
            response: None,
            pushes,
        }
    }

    /// Forgets what has expired.
    ///
    /// # Errors
    /// When the store fails.
    pub fn expire(&mut self, now: Timestamp) -> Result<(), StoreError> {
        self.store.expire(now)
    }

    /// Makes everything answered so far durable.
    ///
    /// # Errors
    /// When the store fails; then no answer since the last sync may be sent.
    pub fn sync(&mut self) -> Result<(), StoreError> {
        self.store.sync()
    }

    /// Returns the store.
    pub const fn store(&self) -> &S {
        &self.store
    }

    /// Returns counters.
    pub fn stats(&self) -> Stats {
        Stats {
            connections: self.conns.len(),
            subscriptions: self.subscriptions,
            usage: self.store.usage(),
            requests: self.requests,
            pushes: self.pushes,
            behind: self.behind,
            refused: self.refused.clone(),
        }
    }

    /// Rate limits, before anything that costs.
    fn admit(&mut self, conn: ConnId, request: &Request, now: Timestamp) -> Result<(), Refusal> {
        let state = self.conns.get_mut(&conn).ok_or(ErrorCode::Internal)?;
        state
            .requests
            .take(request_cost(request), now)
            .map_err(Refusal::later)?;
        state
            .uploads
            .take(request.upload_len() as u64, now)
            .map_err(Refusal::later)
    }

    fn dispatch(
        &mut self,
        conn: ConnId,
        request: Request,
        now: Timestamp,
        rng: &mut impl CryptoRng,
        pushes: &mut Vec<Pushed>,
    ) -> Result<Response, Refusal> {
        match request {
            Request::Ping => Ok(Response::Pong {
                challenge: self.challenge(conn)?,
            }),
            Request::Put(put) => self.put(&put, now, pushes),
            Request::Subscribe { tags, replace } => self.subscribe(conn, &tags, replace, pushes),
            Request::Unsubscribe { tags } => {
                for tag in tags {
                    self.unsubscribe(conn, &Shelf::Tag(tag));
                }
                Ok(Response::Ok)
            }
            Request::Fetch { tag, after, limit } => {
                let limit = usize::from(limit).clamp(1, PAGE_ITEMS_MAX);
                self.page(&Shelf::Tag(tag), after, limit, PAGE_BYTES_MAX)
            }
            Request::Neg { tag, hours, frame } => self.reconcile(&tag, hours, &frame),
            Request::FetchIds { tag, ids } => self.fetch_ids(&tag, &ids),
            Request::PutChunk {
                id,
                bytes,
                delete_token_hash,
            } => self.put_chunk(&id, &bytes, &delete_token_hash, now),
            Request::GetChunk { id } => match self.store.chunk(&id)? {
                Some(bytes) => Ok(Response::Chunk { bytes }),
                None => Err(ErrorCode::NotFound.into()),
            },
            Request::HasChunks { ids } => Ok(Response::Has {
                has: ids
                    .iter()
                    .map(|id| self.store.chunk_tokens(id) > 0)
                    .collect(),
            }),
            Request::DeleteChunk { id, token } => {
                if self.store.drop_token(&id, &token_hash(&token), now)? {
                    Ok(Response::Ok)
                } else {
                    Err(ErrorCode::NotFound.into())
                }
            }
            Request::MboxNew { recv_pk } => self.new_mailbox(conn, recv_pk, now, rng),
            Request::MboxPut {
                send_id,
                bytes,
                ttl_secs,
            } => self.mail(&send_id, bytes, ttl_secs, now, pushes),
            Request::MboxGet {
                recv_id,
                after,
                auth,
            } => {
                self.owner(conn, MailboxVerb::Get, &recv_id, after, &auth, now)?;
                let shelf = Shelf::Mailbox(recv_id);
                self.page(&shelf, after, PAGE_ITEMS_MAX, PAGE_BYTES_MAX)
            }
            Request::MboxDel {
                recv_id,
                upto,
                auth,
            } => {
                self.owner(conn, MailboxVerb::Del, &recv_id, upto, &auth, now)?;
                self.store
                    .remove_upto(&Shelf::Mailbox(recv_id), upto, now)?;
                Ok(Response::Ok)
            }
            Request::MboxSubscribe {
                recv_id,
                after,
                auth,
            } => {
                self.owner(conn, MailboxVerb::Subscribe, &recv_id, after, &auth, now)?;
                let shelf = Shelf::Mailbox(recv_id);
                self.add_subscription(conn, shelf)?;
                self.push_backlog(conn, shelf, after, pushes)?;
                Ok(Response::Ok)
            }
        }
    }

    fn put(
        &mut self,
        put: &PutRequest,
        now: Timestamp,
        pushes: &mut Vec<Pushed>,
    ) -> Result<Response, Refusal> {
        // Cheap checks first: a signature costs a hundred times as much.
        if !is_bucket(put.envelope.len()) || put.ttl_secs == 0 || put.ttl_secs > TTL_SECS_MAX {
            return Err(ErrorCode::Malformed.into());
        }
        let id = put
            .verify()
            .or(Err(Refusal::from(ErrorCode::BadSignature)))?;
        let shelf = Shelf::Tag(put.tag);
        if let Some(there) = self.store.find(&shelf, &id) {
            return Ok(Response::Filed {
                cursor: there.cursor,
            });
        }
        let len = put.envelope.len() as u64;
        if self.store.day_bytes(&shelf, now) + len > self.limits.tag_day_bytes_max {
            return Err(ErrorCode::QuotaExceeded.into());
        }
        let keep = put.ttl_secs.min(self.limits.retention_secs);
        self.file(shelf, id, &put.envelope, keep, now, pushes)
    }

    fn mail(
        &mut self,
        send: &SendId,
        bytes: Sealed,
        ttl_secs: u32,
        now: Timestamp,
        pushes: &mut Vec<Pushed>,
    ) -> Result<Response, Refusal> {
        if !is_bucket(bytes.len()) || ttl_secs == 0 || ttl_secs > TTL_SECS_MAX {
            return Err(ErrorCode::Malformed.into());
        }
        let mailbox = self.store.mailbox_for(send).ok_or(ErrorCode::NotFound)?;
        let shelf = Shelf::Mailbox(mailbox.recv);
        let id = oplog::tag::envelope_hash(bytes.as_bytes());
        if let Some(there) = self.store.find(&shelf, &id) {
            return Ok(Response::Filed {
                cursor: there.cursor,
            });
        }
        if self.store.count(&shelf) >= self.limits.mailbox_messages_max {
            return Err(ErrorCode::QuotaExceeded.into());
        }
        let keep = ttl_secs.min(self.limits.mailbox_retention_secs);
        self.file(shelf, id, &bytes, keep, now, pushes)
    }

    /// Appends to a shelf and tells its subscribers.
    fn file(
        &mut self,
        shelf: Shelf,
        id: Digest,
        bytes: &Sealed,
        keep_secs: u32,
        now: Timestamp,
        pushes: &mut Vec<Pushed>,
    ) -> Result<Response, Refusal> {
        self.reserve(bytes.len())?;
        let prev = self.store.head(&shelf);
        let cursor = Cursor::next(now, self.store.last_cursor());
        let entry = Entry {
            cursor,
            id,
            len: u32::try_from(bytes.len()).or(Err(Refusal::from(ErrorCode::TooLarge)))?,
            expires: now.plus_ms(u64::from(keep_secs) * 1000),
        };
        self.store.append(&shelf, &entry, bytes)?;
        let item = Filed {
            cursor,
            sealed: bytes.clone(),
        };
        let subscribers: Vec<ConnId> = self
            .subscribers
            .get(&shelf)
            .into_iter()
            .flatten()
            .copied()
            .collect();
        for conn in subscribers {
            self.push_items(conn, shelf, prev, vec![item.clone()], pushes);
        }
        Ok(Response::Filed { cursor })
    }

    fn subscribe(
        &mut self,
        conn: ConnId,
        tags: &[Subscription],
        replace: bool,
        pushes: &mut Vec<Pushed>,
    ) -> Result<Response, Refusal> {
        if replace {
            let state = self.conns.get(&conn).ok_or(ErrorCode::Internal)?;
            let old: Vec<Shelf> = state
                .shelves
                .iter()
                .filter(|shelf| matches!(shelf, Shelf::Tag(_)))
                .copied()
                .collect();
            for shelf in old {
                self.unsubscribe(conn, &shelf);
            }
        }
        for Subscription { tag, .. } in tags {
            self.add_subscription(conn, Shelf::Tag(*tag))?;
        }
        for Subscription { tag, after } in tags {
            self.push_backlog(conn, Shelf::Tag(*tag), *after, pushes)?;
        }
        Ok(Response::Ok)
    }

    fn add_subscription(&mut self, conn: ConnId, shelf: Shelf) -> Result<(), Refusal> {
        let max = match shelf {
            Shelf::Tag(_) => self.limits.subscriptions_max,
            Shelf::Mailbox(_) => self.limits.mailbox_subscriptions_max,
        };
        let state = self.conns.get_mut(&conn).ok_or(ErrorCode::Internal)?;
        if state.shelves.contains(&shelf) {
            return Ok(());
        }
        if state.subscriptions_like(&shelf) >= max {
            return Err(ErrorCode::QuotaExceeded.into());
        }
        state.shelves.insert(shelf);
        self.subscribers.entry(shelf).or_default().insert(conn);
        self.subscriptions += 1;
        Ok(())
    }

    fn unsubscribe(&mut self, conn: ConnId, shelf: &Shelf) {
        let Some(state) = self.conns.get_mut(&conn) else {
            return;
        };
        if state.shelves.contains(shelf) {
            state.unsubscribe(shelf);
            self.forget_subscriber(shelf, conn);
        }
    }

    fn forget_subscriber(&mut self, shelf: &Shelf, conn: ConnId) {
        if let Some(conns) = self.subscribers.get_mut(shelf)
            && conns.remove(&conn)
        {
            self.subscriptions -= 1;
            if conns.is_empty() {
                self.subscribers.remove(shelf);
            }
        }
    }

    /// Pushes what arrived after a cursor, as far as there is room; the rest is announced as behind.
    fn push_backlog(
        &mut self,
        conn: ConnId,
        shelf: Shelf,
        after: Cursor,
        pushes: &mut Vec<Pushed>,
    ) -> Result<(), Refusal> {
        let mut after = after;
        while after < self.store.head(&shelf) {
            let room = self.conns.get(&conn).map_or(0, |c| c.room(&self.limits));
            let room = room.min(PAGE_BYTES_MAX);
            let (items, more) = self.read_page(&shelf, after, PAGE_ITEMS_MAX, room, false)?;
            let Some(last) = items.last().map(|item| item.cursor) else {
                if more && let Some(state) = self.conns.get_mut(&conn) {
                    self.behind += 1;
                    state.fell_behind(shelf);
                }
                return Ok(());
            };
            self.push_items(conn, shelf, after, items, pushes);
            after = last;
        }
        Ok(())
    }

    fn push_items(
        &mut self,
        conn: ConnId,
        shelf: Shelf,
        prev: Cursor,
        items: Vec<Filed>,
        pushes: &mut Vec<Pushed>,
    ) {
        let Some(state) = self.conns.get_mut(&conn) else {
            return;
        };
        let push = match shelf {
            Shelf::Tag(tag) => Push::Envelopes { tag, prev, items },
            Shelf::Mailbox(recv_id) => Push::Mail { recv_id, items },
        };
        if push.sealed_len() > state.room(&self.limits) {
            self.behind += 1;
            state.fell_behind(shelf);
            return;
        }
        self.pushes += 1;
        let id = PushId(self.pushes);
        state.sent(id, shelf, &push);
        pushes.push(Pushed { conn, id, push });
    }

    fn drain_behind(&mut self, conn: ConnId, pushes: &mut Vec<Pushed>) {
        let Some(state) = self.conns.get_mut(&conn) else {
            return;
        };
        while let Some(shelf) = state.next_behind(&self.limits) {
            let push = match shelf {
                Shelf::Tag(tag) => Push::Behind { tag },
                Shelf::Mailbox(recv_id) => Push::MailBehind { recv_id },
            };
            self.pushes += 1;
            let id = PushId(self.pushes);
            state.sent(id, shelf, &push);
            pushes.push(Pushed { conn, id, push });
        }
    }

    fn page(
        &self,
        shelf: &Shelf,
        after: Cursor,
        items_max: usize,
        bytes_max: usize,
    ) -> Result<Response, Refusal> {
        let (items, more) = self.read_page(shelf, after, items_max, bytes_max, true)?;
        Ok(Response::Page { items, more })
    }

    /// Reads entries after a cursor up to a number of bytes. With `at_least_one`, the first is
    /// given whatever its size.
    fn read_page(
        &self,
        shelf: &Shelf,
        after: Cursor,
        items_max: usize,
        bytes_max: usize,
        at_least_one: bool,
    ) -> Result<(Vec<Filed>, bool), Refusal> {
        let mut entries = self.store.list(shelf, after, items_max + 1);
        let mut more = entries.len() > items_max;
        entries.truncate(items_max);
        let mut items = Vec::new();
        let mut bytes = 0;
        for entry in entries {
            bytes += entry.len as usize;
            if bytes > bytes_max && !(items.is_empty() && at_least_one) {
                more = true;
                break;
            }
            if let Some(sealed) = self.store.read(shelf, entry.cursor)? {
                items.push(Filed {
                    cursor: entry.cursor,
                    sealed,
                });
            }
        }
        Ok((items, more))
    }

    fn reconcile(&self, tag: &Tag, hours: HourRange, frame: &Sealed) -> Result<Response, Refusal> {
        let start = Cursor::at(Timestamp::from_ms(
            u64::from(hours.from.as_raw()) * 3_600_000,
        ));
        let before = Cursor::from_raw(start.as_raw().saturating_sub(1));
        let shelf = Shelf::Tag(*tag);
        let entries = self
            .store
            .list(&shelf, before, neg::NEG_ITEMS_MAX + 1)
            .into_iter()
            .take_while(|entry| entry.cursor.hour() <= hours.to)
            .map(|entry| (hour_key(entry.cursor.hour()), entry.id));
        let items = Items::new(entries).or(Err(Refusal::from(ErrorCode::TooMany)))?;
        let frame =
            neg::answer(&items, frame.as_bytes()).or(Err(Refusal::from(ErrorCode::Malformed)))?;
        Ok(Response::Neg {
            frame: Sealed::new(frame),
        })
    }

    fn fetch_ids(&self, tag: &Tag, ids: &[Digest]) -> Result<Response, Refusal> {
        let shelf = Shelf::Tag(*tag);
        let mut found: Vec<Entry> = ids
            .iter()
            .filter_map(|id| self.store.find(&shelf, id))
            .collect();
        found.sort_unstable_by_key(|entry| entry.cursor);
        found.dedup_by_key(|entry| entry.cursor);
        let mut items = Vec::new();
        let mut bytes = 0;
        let mut more = false;
        for entry in found {
            bytes += entry.len as usize;
            if bytes > PAGE_BYTES_MAX && !items.is_empty() {
                more = true;
                break;
            }
            if let Some(sealed) = self.store.read(&shelf, entry.cursor)? {
                items.push(Filed {
                    cursor: entry.cursor,
                    sealed,
                });
            }
        }
        Ok(Response::Page { items, more })
    }

    fn put_chunk(
        &mut self,
        id: &BlobId,
        bytes: &Sealed,
        token_hash: &Digest,
        now: Timestamp,
    ) -> Result<Response, Refusal> {
        if BlobId::of_sealed(bytes.as_bytes()) != *id {
            return Err(ErrorCode::Malformed.into());
        }
        match self.store.chunk_tokens(id) {
            0 => self.reserve(bytes.len())?,
            n if n >= self.limits.chunk_tokens_max => return Err(ErrorCode::QuotaExceeded.into()),
            _ => {}
        }
        let expires = now.plus_ms(u64::from(self.limits.retention_secs) * 1000);
        self.store.put_chunk(id, bytes, token_hash, expires)?;
        Ok(Response::Ok)
    }

    fn new_mailbox(
        &mut self,
        conn: ConnId,
        recv_pk: Digest,
        now: Timestamp,
        rng: &mut impl CryptoRng,
    ) -> Result<Response, Refusal> {
        let state = self.conns.get_mut(&conn).ok_or(ErrorCode::Internal)?;
        state.new_mailboxes.take(1, now).map_err(Refusal::later)?;
        if self.store.usage().mailboxes >= self.limits.mailboxes_max {
            return Err(ErrorCode::Full.into());
        }
        let mut names = [0; RecvId::LEN + SendId::LEN];
        rng.fill_bytes(&mut names);
        let (recv, send) = names.split_at(RecvId::LEN);
        let mut mailbox = Mailbox {
            recv: RecvId::from_bytes([0; RecvId::LEN]),
            send: SendId::from_bytes([0; SendId::LEN]),
            recv_pk,
            expires: self.mailbox_expiry(now),
        };
        if let (Ok(recv), Ok(send)) = (recv.try_into(), send.try_into()) {
            mailbox.recv = RecvId::from_bytes(recv);
            mailbox.send = SendId::from_bytes(send);
        }
        self.store.put_mailbox(&mailbox)?;
        Ok(Response::Mailbox {
            recv_id: mailbox.recv,
            send_id: mailbox.send,
        })
    }

    /// Checks that the mailbox's owner asks, and renews the mailbox at most once a day.
    fn owner(
        &mut self,
        conn: ConnId,
        verb: MailboxVerb,
        recv: &RecvId,
        cursor: Cursor,
        auth: &RecvAuth,
        now: Timestamp,
    ) -> Result<(), Refusal> {
        let challenge = self.challenge(conn)?;
        let mut mailbox = self.store.mailbox(recv).ok_or(ErrorCode::NotFound)?;
        auth.verify(&mailbox.recv_pk, verb, recv, cursor, &challenge)
            .or(Err(Refusal::from(ErrorCode::BadSignature)))?;
        let renewed = self.mailbox_expiry(now);
        if renewed.since(mailbox.expires) > 24 * 3_600_000 {
            mailbox.expires = renewed;
            self.store.put_mailbox(&mailbox)?;
        }
        Ok(())
    }

    fn mailbox_expiry(&self, now: Timestamp) -> Timestamp {
        now.plus_ms(u64::from(self.limits.mailbox_idle_secs) * 1000)
    }

    fn challenge(&self, conn: ConnId) -> Result<Challenge, Refusal> {
        let state = self.conns.get(&conn).ok_or(ErrorCode::Internal)?;
        Ok(state.challenge)
    }

    fn reserve(&self, len: usize) -> Result<(), Refusal> {
        if self.store.usage().bytes.saturating_add(len as u64) > self.limits.total_bytes_max {
            return Err(ErrorCode::Full.into());
        }
        Ok(())
    }
}

/// Returns the time under which an hour goes into a reconciliation.
fn hour_key(hour: Hour) -> u64 {
    u64::from(hour.as_raw())
}

/// What a request costs, in requests: reconciling and large reads are dearer than the rest.
const fn request_cost(request: &Request) -> u64 {
    match request {
        Request::Neg { .. } => 20,
        Request::Fetch { .. } | Request::FetchIds { .. } | Request::Subscribe { .. } => 4,
        Request::Ping
        | Request::Put(_)
        | Request::Unsubscribe { .. }
        | Request::PutChunk { .. }
        | Request::GetChunk { .. }
        | Request::HasChunks { .. }
        | Request::DeleteChunk { .. }
        | Request::MboxNew { .. }
        | Request::MboxPut { .. }
        | Request::MboxGet { .. }
        | Request::MboxDel { .. }
        | Request::MboxSubscribe { .. } => 1,
    }
}

enum Refusal {
    Client(RelayError),
    Store(StoreError),
}

impl Refusal {
    const fn later(retry_after_ms: u32) -> Self {
        Self::Client(RelayError {
            code: ErrorCode::RateLimited,
            retry_after_ms,
        })
    }
}

impl From<ErrorCode> for Refusal {
    fn from(code: ErrorCode) -> Self {
        Self::Client(code.into())
    }
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}
