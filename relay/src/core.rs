//! The relay itself, without IO: one request in, one response and some pushes out.
//!
//! The driver appends, syncs the store, and only then sends what an [`Answer`] holds: a client
//! that was told of a cursor must find it after any crash.

mod filing;
mod mailboxes;
mod reading;
mod subscriptions;

use std::collections::{BTreeMap, BTreeSet};

use net::wire::{
    Challenge, ErrorCode, Hour, MailboxVerb, PAGE_BYTES_MAX, PAGE_ITEMS_MAX, Push, RelayError,
    Request, Response, token_hash,
};
use oplog::Timestamp;
use oplog::store::StoreError;
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
