//! The front: sockets in, jobs out, and back.

use core::future::Future;
use core::num::NonZeroU32;
use core::pin::pin;
use core::time::Duration;
use std::collections::{BTreeMap, VecDeque};

use futures::StreamExt;
use libp2p::connection_limits::{self, ConnectionLimits};
use libp2p::core::upgrade::Version;
use libp2p::identity::Keypair;
use libp2p::multiaddr::Protocol;
use libp2p::request_response::{
    Event as CallEvent, InboundRequestId, Message, OutboundRequestId, ResponseChannel,
};
use libp2p::swarm::{ConnectionId, NetworkBehaviour, SwarmEvent};
use libp2p::{Multiaddr, PeerId, Swarm, SwarmBuilder, noise, ping, tcp, yamux};
use net::RelayId;
use net::driver::{Budget, Calls, Carried, RelayAddr, calls, relay_id};
use net::wire::{Call, ErrorCode, RelayError, Reply, Response};
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval};
use tracing::debug;

use crate::conn::{ConnId, PushId};
use crate::limits::Limits;
use crate::server::ServeError;
use crate::server::addresses::Addresses;
use crate::server::worker::{Job, Outcome, Ticket};

/// Most jobs held for a busy worker; then nothing is read from the network.
const JOBS_HELD_MAX: usize = 1024;
/// Most sealed bytes held for a busy worker.
const BYTES_HELD_MAX: usize = 32 << 20;
/// Most requests of all connections without an answer; more are refused at once.
const TICKETS_MAX: usize = 8_192;
/// Exchanges of one connection at once, both ways: twice what a client has in flight, and the pushes.
/// One that finds no place fails and is repeated.
const EXCHANGES_MAX: usize = 512;
/// Streams of one connection at once: exchanges, and those that are just closing.
const STREAMS_MAX: usize = 1_024;
/// One connection may have this part of all bytes on their way out to it, as a divisor.
const OUTGOING_SHARE: usize = 8;
/// When a client for which there is no room tries again, in milliseconds.
const FULL_RETRY_MS: u32 = 1_000;
/// Longest an exchange may take, with the transfer of a full page on a slow line.
const EXCHANGE_TIMEOUT: Duration = Duration::from_secs(30);
/// Longest a handshake may take.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// Most handshakes at once.
const HANDSHAKES_MAX: u32 = 256;
/// A silent connection is closed after this (SMP: 6 hours); pings find dead ones earlier.
const IDLE_TIMEOUT: Duration = Duration::from_secs(6 * 3600);
const PING_INTERVAL: Duration = Duration::from_secs(60);
const PING_TIMEOUT: Duration = Duration::from_secs(20);
/// How often what has expired is looked for when nobody asks.
const TICK: Duration = Duration::from_secs(60);

#[derive(NetworkBehaviour)]
struct Behaviour {
    calls: Calls,
    ping: ping::Behaviour,
    limits: connection_limits::Behaviour,
    addresses: Addresses,
}

/// The swarm and what it remembers; all of it bounded by connections, tickets and pushes.
pub(super) struct Front {
    swarm: Swarm<Behaviour>,
    /// The one connection that counts of each peer.
    peers: BTreeMap<PeerId, (ConnId, ConnectionId)>,
    names: BTreeMap<ConnId, Name>,
    last_conn: u64,
    last_ticket: u64,
    tickets: BTreeMap<Ticket, (ConnId, ResponseChannel<Carried<Reply>>)>,
    /// Which ticket an exchange belongs to, so that one that failed gives its ticket back.
    exchanges: BTreeMap<InboundRequestId, Ticket>,
    pushes: BTreeMap<OutboundRequestId, (ConnId, PushId)>,
    jobs: VecDeque<Job>,
    bytes_held: usize,
    /// What all messages on their way may take, in and out.
    messages: Budget,
}

/// Who a connection is with, and what may be on its way there.
struct Name {
    peer: PeerId,
    outgoing: Budget,
}

impl Front {
    pub(super) fn new(keypair: Keypair, limits: &Limits) -> Result<Self, ServeError> {
        let messages = Budget::new(limits.message_bytes_max);
        Ok(Self {
            swarm: build_swarm(keypair, limits, &messages)?,
            peers: BTreeMap::new(),
            names: BTreeMap::new(),
            last_conn: 0,
            last_ticket: 0,
            tickets: BTreeMap::new(),
            exchanges: BTreeMap::new(),
            pushes: BTreeMap::new(),
            jobs: VecDeque::new(),
            bytes_held: 0,
            messages,
        })
    }

    /// Serves until `shutdown` completes or the worker is gone.
    pub(super) async fn run(
        mut self,
        listen: Vec<Multiaddr>,
        jobs: mpsc::Sender<Job>,
        mut outcomes: mpsc::Receiver<Vec<Outcome>>,
        shutdown: impl Future<Output = ()>,
        ready: impl FnOnce(RelayId, Vec<RelayAddr>),
    ) -> Result<(), ServeError> {
        let mut shutdown = pin!(shutdown);
        let addrs = tokio::select! {
            addrs = self.bind(listen) => addrs?,
            () = &mut shutdown => return Ok(()),
        };
        let id = relay_id(self.swarm.local_peer_id()).ok_or(ServeError::Identity)?;
        ready(id, addrs);
        let mut tick = interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let room = self.jobs.len() < JOBS_HELD_MAX && self.bytes_held < BYTES_HELD_MAX;
            tokio::select! {
                () = &mut shutdown => return Ok(()),
                outcome = outcomes.recv() => match outcome {
                    Some(group) => group.into_iter().for_each(|o| self.outcome(o)),
                    None => return Ok(()),
                },
                permit = jobs.reserve(), if !self.jobs.is_empty() => {
                    let Ok(permit) = permit else { return Ok(()) };
                    if let Some(job) = self.jobs.pop_front() {
                        self.bytes_held = self.bytes_held.saturating_sub(job_bytes(&job));
                        permit.send(job);
                    }
                }
                event = self.swarm.select_next_some(), if room => self.event(event),
                _ = tick.tick() => self.hold(Job::Tick),
            }
        }
    }

    /// Listens, and waits until every address is bound.
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "libp2p tells more than a relay needs to know, and will tell more yet"
    )]
    async fn bind(&mut self, listen: Vec<Multiaddr>) -> Result<Vec<RelayAddr>, ServeError> {
        let mut waiting = BTreeMap::new();
        for addr in listen {
            let failed = |reason: String| ServeError::Listen {
                addr: addr.to_string(),
                reason,
            };
            let id = self
                .swarm
                .listen_on(addr.clone())
                .map_err(|e| failed(e.to_string()))?;
            waiting.insert(id.to_string(), addr.to_string());
        }
        let peer = *self.swarm.local_peer_id();
        let mut addrs = Vec::new();
        while !waiting.is_empty() {
            match self.swarm.select_next_some().await {
                SwarmEvent::NewListenAddr {
                    listener_id,
                    address,
                } => {
                    waiting.remove(&listener_id.to_string());
                    addrs.push(RelayAddr::try_from(address.with(Protocol::P2p(peer)))?);
                }
                SwarmEvent::ListenerClosed {
                    listener_id,
                    reason,
                    ..
                } => {
                    let addr = waiting.remove(&listener_id.to_string()).unwrap_or_default();
                    let reason = reason.err().map_or_else(String::new, |e| e.to_string());
                    return Err(ServeError::Listen { addr, reason });
                }
                other => self.event(other),
            }
        }
        Ok(addrs)
    }

    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "libp2p tells more than a relay needs to know, and will tell more yet"
    )]
    fn event(&mut self, event: SwarmEvent<BehaviourEvent>) {
        match event {
            SwarmEvent::Behaviour(BehaviourEvent::Calls(event)) => self.call(event),
            SwarmEvent::Behaviour(BehaviourEvent::Ping(event)) if event.result.is_err() => {
                self.swarm.close_connection(event.connection);
            }
            SwarmEvent::ConnectionEstablished {
                peer_id,
                connection_id,
                num_established,
                ..
            } => self.connected(peer_id, connection_id, num_established),
            SwarmEvent::ConnectionClosed {
                peer_id,
                connection_id,
                ..
            } => {
                let current = self.peers.get(&peer_id).copied();
                if let Some((conn, _)) = current.filter(|(_, id)| *id == connection_id) {
                    self.peers.remove(&peer_id);
                    self.names.remove(&conn);
                    self.hold(Job::Disconnected(conn));
                }
            }
            // Peers and addresses stay out of the log.
            _ => {}
        }
    }

    fn connected(&mut self, peer: PeerId, connection: ConnectionId, established: NonZeroU32) {
        self.last_conn += 1;
        let conn = ConnId(self.last_conn);
        if let Some((old, old_connection)) = self.peers.insert(peer, (conn, connection)) {
            debug_assert!(established.get() > 1, "a closed connection was told of");
            self.swarm.close_connection(old_connection);
            self.names.remove(&old);
            self.hold(Job::Disconnected(old));
        }
        let outgoing = self.messages.share(self.messages.max() / OUTGOING_SHARE);
        self.names.insert(conn, Name { peer, outgoing });
        self.hold(Job::Connected(conn));
    }

    fn call(&mut self, event: CallEvent<Carried<Call>, Carried<Reply>>) {
        match event {
            CallEvent::Message {
                peer,
                connection_id,
                message:
                    Message::Request {
                        request_id,
                        request:
                            Carried {
                                message: Call::Request(request),
                                held,
                            },
                        channel,
                    },
            } => {
                let current = self.peers.get(&peer).copied();
                let Some((conn, _)) = current.filter(|(_, id)| *id == connection_id) else {
                    return;
                };
                if self.tickets.len() >= TICKETS_MAX {
                    self.respond(
                        channel,
                        Reply::Response(ErrorCode::RateLimited.into()).into(),
                    );
                    return;
                }
                self.last_ticket += 1;
                let ticket = Ticket(self.last_ticket);
                self.tickets.insert(ticket, (conn, channel));
                self.exchanges.insert(request_id, ticket);
                self.hold(Job::Request {
                    conn,
                    ticket,
                    request,
                    held,
                });
            }
            // Only relays push.
            CallEvent::Message {
                message: Message::Request { channel, .. },
                ..
            } => self.respond(channel, Reply::Response(ErrorCode::Malformed.into()).into()),
            CallEvent::Message {
                message:
                    Message::Response {
                        request_id,
                        response,
                    },
                ..
            } => self.pushed(request_id, response.message == Reply::Ack),
            CallEvent::OutboundFailure { request_id, .. } => self.pushed(request_id, false),
            CallEvent::InboundFailure { request_id, .. }
            | CallEvent::ResponseSent { request_id, .. } => {
                if let Some(ticket) = self.exchanges.remove(&request_id) {
                    self.tickets.remove(&ticket);
                }
            }
        }
    }

    fn outcome(&mut self, outcome: Outcome) {
        match outcome {
            Outcome::Respond { ticket, response } => {
                if let Some((conn, channel)) = self.tickets.remove(&ticket) {
                    let name = self.names.get(&conn);
                    let outgoing = name.map_or(&self.messages, |name| &name.outgoing);
                    let reply = carried(response, outgoing);
                    self.respond(channel, reply);
                }
            }
            Outcome::Push { conn, id, push } => match self.names.get(&conn) {
                Some(Name { peer, outgoing }) => {
                    let held = outgoing.hold(push.sealed_len());
                    if held.is_none() {
                        // As one that got lost: the client is told to fetch.
                        self.hold(Job::PushDone {
                            conn,
                            id,
                            acked: false,
                        });
                        return;
                    }
                    let message = Call::Push(push);
                    let calls = &mut self.swarm.behaviour_mut().calls;
                    let sent = calls.send_request(peer, Carried { message, held });
                    self.pushes.insert(sent, (conn, id));
                }
                None => debug!("push to a closed connection"),
            },
            Outcome::Close(conn) => {
                let name = self.names.get(&conn);
                let peer = name.and_then(|name| self.peers.get(&name.peer));
                if let Some((_, connection)) = peer.copied() {
                    self.swarm.close_connection(connection);
                }
            }
        }
    }

    fn pushed(&mut self, sent: OutboundRequestId, acked: bool) {
        if let Some((conn, id)) = self.pushes.remove(&sent) {
            self.hold(Job::PushDone { conn, id, acked });
        }
    }

    fn respond(&mut self, channel: ResponseChannel<Carried<Reply>>, reply: Carried<Reply>) {
        let calls = &mut self.swarm.behaviour_mut().calls;
        // Fails only when the client is gone.
        let _ = calls.send_response(channel, reply);
    }

    fn hold(&mut self, job: Job) {
        self.bytes_held += job_bytes(&job);
        self.jobs.push_back(job);
    }
}

/// The answer, as far as more may be on its way to this client: one that reads nothing is told to wait.
fn carried(response: Response, outgoing: &Budget) -> Carried<Reply> {
    match outgoing.hold(response.sealed_len()) {
        Some(held) => Carried {
            message: Reply::Response(response),
            held: Some(held),
        },
        None => Reply::Response(Response::Error(RelayError {
            code: ErrorCode::RateLimited,
            retry_after_ms: FULL_RETRY_MS,
        }))
        .into(),
    }
}

fn job_bytes(job: &Job) -> usize {
    match job {
        Job::Request { request, .. } => request.upload_len(),
        Job::Connected(_) | Job::Disconnected(_) | Job::PushDone { .. } | Job::Tick => 0,
    }
}

fn build_swarm(
    keypair: Keypair,
    limits: &Limits,
    messages: &Budget,
) -> Result<Swarm<Behaviour>, ServeError> {
    // So that answers find room however much comes in.
    let incoming = messages.share(limits.message_bytes_max / 4 * 3);
    let connections = u32::try_from(limits.connections_max).unwrap_or(u32::MAX);
    let connection_limits = ConnectionLimits::default()
        .with_max_pending_incoming(Some(HANDSHAKES_MAX))
        .with_max_established_incoming(Some(connections))
        .with_max_pending_outgoing(Some(0))
        // The new one of a client that comes back stands beside the old one for a moment.
        .with_max_established_per_peer(Some(2));
    let failed = |e: &dyn core::error::Error| ServeError::Transport(e.to_string());
    let yamux = || {
        let mut config = yamux::Config::default();
        config.set_max_num_streams(STREAMS_MAX);
        config
    };
    let built = SwarmBuilder::with_existing_identity(keypair)
        .with_tokio()
        .with_tcp(
            tcp::Config::default().nodelay(true),
            noise::Config::new,
            yamux,
        )
        .map_err(|e| failed(&e))?
        .with_quic_config(|mut quic| {
            quic.max_concurrent_stream_limit = u32::try_from(STREAMS_MAX).unwrap_or(u32::MAX);
            // Twice the longest message on a stream, and some of them at once.
            quic.max_stream_data = 2 << 20;
            quic.max_connection_data = 8 << 20;
            quic
        })
        .with_behaviour(|_| Behaviour {
            calls: calls(EXCHANGE_TIMEOUT, EXCHANGES_MAX, incoming),
            ping: ping::Behaviour::new(
                ping::Config::new()
                    .with_interval(PING_INTERVAL)
                    .with_timeout(PING_TIMEOUT),
            ),
            limits: connection_limits::Behaviour::new(connection_limits),
            addresses: Addresses::new(limits.address_connections_max),
        })
        .map_err(|e| failed(&e))?
        .with_swarm_config(|c| {
            c.with_idle_connection_timeout(IDLE_TIMEOUT)
                // The protocol is known, so that a push needs no round trip to agree on it.
                .with_substream_upgrade_protocol_override(Version::V1Lazy)
        })
        .with_connection_timeout(HANDSHAKE_TIMEOUT)
        .build();
    Ok(built)
}
