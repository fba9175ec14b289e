//! The client's side: one task that keeps a connection to every relay it was told of.

mod retry;

use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

use futures::StreamExt;
use libp2p::core::upgrade::Version;
use libp2p::identity::Keypair;
use libp2p::request_response::{
    Event as CallEvent, Message, OutboundFailure, OutboundRequestId, ResponseChannel,
};
use libp2p::swarm::dial_opts::{DialOpts, PeerCondition};
use libp2p::swarm::{DialError, NetworkBehaviour, SwarmEvent};
use libp2p::{Multiaddr, PeerId, Swarm, SwarmBuilder, TransportError, noise, ping, tcp, yamux};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until};
use tracing::debug;

use crate::RelayId;
use crate::driver::addr::RelayAddr;
use crate::driver::budget::{Budget, Carried};
use crate::driver::codec::{Calls, calls};
use crate::wire::{Call, Push, Reply, Request, Response};

use retry::Retry;

/// Most commands waiting for the task, and most events waiting for its owner.
const CHANNEL_LEN: usize = 256;
/// Most events held back for a slow owner; then nothing is read from the network, and relays
/// see their pushes unacked.
const EVENTS_HELD_MAX: usize = 256;
/// Most requests to one relay in flight; more are refused with [`LinkError::Busy`].
const IN_FLIGHT_MAX: usize = 128;
/// Exchanges with one relay at once, both ways: requests, and twice the pushes a relay keeps unacked.
const EXCHANGES_MAX: usize = 640;
/// Longest a request may take, with the transfer of a full page on a slow line.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
/// Longest a dial may take (reliability B.2: 3 to 5 s, since a dead port hangs for minutes).
const DIAL_TIMEOUT: Duration = Duration::from_secs(4);
/// How often a quiet connection is tried, and how long the answer may take.
const PING_INTERVAL: Duration = Duration::from_secs(15);
const PING_TIMEOUT: Duration = Duration::from_secs(5);
/// A link stays up while its relay is wanted: pings find the dead, idleness is no reason to close.
const IDLE_TIMEOUT: Duration = Duration::from_secs(24 * 3600);

/// The owner's name for a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RequestId(pub u64);

/// What the owner wants.
#[derive(Clone, Debug)]
pub enum LinkCommand {
    /// Ask a relay. Exactly one [`LinkEvent::Response`] follows. Requests in flight together
    /// may overtake each other: where order matters, wait for the answer.
    Request {
        /// Which relay.
        relay: RelayId,
        /// Its name in the response.
        id: RequestId,
        /// What to ask.
        request: Request,
    },
    /// Keep a connection to this relay; a further address of a known relay is tried as well.
    AddRelay(RelayAddr),
    /// Close the connection and forget all addresses.
    RemoveRelay(RelayId),
    /// The network has changed or the device woke up: drop every connection and dial at once.
    Redial,
    /// End the task.
    Shutdown,
}

/// What happened.
#[derive(Clone, Debug)]
pub enum LinkEvent {
    /// A relay can be asked. Subscriptions of an earlier connection are gone.
    Connected {
        /// Which relay.
        relay: RelayId,
    },
    /// A relay cannot be asked any more, or could not be reached; it is dialed again.
    Disconnected {
        /// Which relay.
        relay: RelayId,
        /// Why, for people.
        reason: String,
    },
    /// What became of a request.
    Response {
        /// Which relay.
        relay: RelayId,
        /// The owner's name for the request.
        id: RequestId,
        /// The relay's answer.
        result: Result<Response, LinkError>,
    },
    /// The relay tells something. It is acked when the event enters the channel. Pushes may
    /// overtake each other; `prev` in them shows what is missing.
    Push {
        /// Which relay.
        relay: RelayId,
        /// What.
        push: Push,
    },
}

/// Why a request has no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LinkError {
    /// There is no connection; nothing was sent.
    #[error("not connected to the relay")]
    NotConnected,
    /// Too many requests are in flight; nothing was sent.
    #[error("too many requests in flight")]
    Busy,
    /// The connection broke; the relay may have done what was asked.
    #[error("the connection broke before the answer")]
    Disconnected,
    /// No answer in time; the relay may have done what was asked.
    #[error("the relay did not answer in time")]
    Timeout,
    /// The relay answered in another language.
    #[error("the relay does not speak this protocol: {0}")]
    Protocol(String),
}

/// The task could not start.
#[derive(Debug, thiserror::Error)]
#[error("cannot set up the transport: {0}")]
pub struct SpawnError(String);

/// A running link.
#[derive(Debug)]
pub struct Link {
    /// Takes commands. Dropping it ends the task.
    pub commands: mpsc::Sender<LinkCommand>,
    /// Gives events. Dropping it ends the task.
    pub events: mpsc::Receiver<LinkEvent>,
    /// Ends when the task has ended.
    pub task: JoinHandle<()>,
}

/// Starts a link under a fresh peer id. Must be called inside a tokio runtime.
///
/// # Errors
/// When the transport cannot be set up.
pub fn spawn(relays: Vec<RelayAddr>) -> Result<Link, SpawnError> {
    let swarm = build_swarm()?;
    let (command_sender, commands) = mpsc::channel(CHANNEL_LEN);
    let (events, event_receiver) = mpsc::channel(CHANNEL_LEN);
    let mut driver = Driver {
        swarm,
        relays: BTreeMap::new(),
        names: BTreeMap::new(),
        asked: BTreeMap::new(),
        held: VecDeque::new(),
    };
    for relay in relays {
        driver.add_relay(&relay);
    }
    let task = tokio::spawn(driver.run(commands, events));
    Ok(Link {
        commands: command_sender,
        events: event_receiver,
        task,
    })
}

#[derive(NetworkBehaviour)]
struct Behaviour {
    calls: Calls,
    ping: ping::Behaviour,
}

struct Driver {
    swarm: Swarm<Behaviour>,
    relays: BTreeMap<RelayId, Relay>,
    names: BTreeMap<PeerId, RelayId>,
    /// Requests in flight, at most [`IN_FLIGHT_MAX`] a relay.
    asked: BTreeMap<OutboundRequestId, (RelayId, RequestId)>,
    /// Events the owner has not taken, each push with the channel of its ack.
    held: VecDeque<(LinkEvent, Option<ResponseChannel<Carried<Reply>>>)>,
}

struct Relay {
    peer: PeerId,
    addrs: Vec<Multiaddr>,
    connected: bool,
    in_flight: usize,
    retry: Retry,
    /// When to dial; `None` while connected or dialing.
    dial_at: Option<Instant>,
}

impl Driver {
    async fn run(
        mut self,
        mut commands: mpsc::Receiver<LinkCommand>,
        events: mpsc::Sender<LinkEvent>,
    ) {
        loop {
            self.dial_due();
            let next_dial = self.relays.values().filter_map(|r| r.dial_at).min();
            let wake = next_dial.unwrap_or_else(|| Instant::now() + IDLE_TIMEOUT);
            tokio::select! {
                permit = events.reserve(), if !self.held.is_empty() => {
                    let Ok(permit) = permit else { return };
                    if let Some((event, channel)) = self.held.pop_front() {
                        permit.send(event);
                        if let Some(channel) = channel {
                            // Fails only when the connection is gone, and the ack with it.
                            let _ = self.swarm.behaviour_mut().calls.send_response(channel, Reply::Ack.into());
                        }
                    }
                }
                () = events.closed() => return,
                command = commands.recv(), if self.held.len() < EVENTS_HELD_MAX => match command {
                    None | Some(LinkCommand::Shutdown) => return,
                    Some(command) => self.command(command),
                },
                event = self.swarm.select_next_some(), if self.held.len() < EVENTS_HELD_MAX => {
                    self.swarm_event(event);
                }
                () = sleep_until(wake) => {}
            }
        }
    }

    fn command(&mut self, command: LinkCommand) {
        match command {
            LinkCommand::Request { relay, id, request } => self.ask(relay, id, request),
            LinkCommand::AddRelay(addr) => self.add_relay(&addr),
            LinkCommand::RemoveRelay(id) => {
                if let Some(relay) = self.relays.remove(&id) {
                    self.names.remove(&relay.peer);
                    // An error means there was no connection.
                    let _ = self.swarm.disconnect_peer_id(relay.peer);
                }
            }
            LinkCommand::Redial => {
                for relay in self.relays.values_mut() {
                    relay.retry.at_once();
                    // A connected relay is dialed once its old connection is closed.
                    if self.swarm.disconnect_peer_id(relay.peer).is_err() {
                        relay.dial_at = Some(Instant::now());
                    }
                }
            }
            // Ends the loop before it gets here.
            LinkCommand::Shutdown => {}
        }
    }

    fn add_relay(&mut self, addr: &RelayAddr) {
        let salt = self.swarm.local_peer_id().to_bytes();
        let relay = self.relays.entry(addr.id()).or_insert_with(|| Relay {
            peer: addr.peer(),
            addrs: Vec::new(),
            connected: false,
            in_flight: 0,
            retry: Retry::new(addr.id(), salt),
            dial_at: Some(Instant::now()),
        });
        if !relay.addrs.contains(addr.multiaddr()) {
            relay.addrs.push(addr.multiaddr().clone());
        }
        self.names.insert(addr.peer(), addr.id());
    }

    fn ask(&mut self, id: RelayId, request_id: RequestId, request: Request) {
        let refused = match self.relays.get_mut(&id) {
            Some(relay) if relay.connected && relay.in_flight < IN_FLIGHT_MAX => {
                relay.in_flight += 1;
                let calls = &mut self.swarm.behaviour_mut().calls;
                let sent = calls.send_request(&relay.peer, Call::Request(request).into());
                self.asked.insert(sent, (id, request_id));
                return;
            }
            Some(relay) if relay.connected => LinkError::Busy,
            _ => LinkError::NotConnected,
        };
        self.hold(LinkEvent::Response {
            relay: id,
            id: request_id,
            result: Err(refused),
        });
    }

    fn dial_due(&mut self) {
        let now = Instant::now();
        let mut failed = Vec::new();
        for (id, relay) in &mut self.relays {
            if relay.dial_at.is_none_or(|at| at > now) {
                continue;
            }
            relay.dial_at = None;
            let opts = DialOpts::peer_id(relay.peer)
                .condition(PeerCondition::NotDialing)
                .addresses(relay.addrs.clone())
                .build();
            if let Err(error) = self.swarm.dial(opts) {
                failed.push((*id, why_not_dialed(&error)));
            }
        }
        for (id, reason) in failed {
            self.unreachable(id, reason);
        }
    }

    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "libp2p tells more than a link needs to know, and will tell more yet"
    )]
    fn swarm_event(&mut self, event: SwarmEvent<BehaviourEvent>) {
        match event {
            SwarmEvent::Behaviour(BehaviourEvent::Calls(event)) => self.call_event(event),
            SwarmEvent::Behaviour(BehaviourEvent::Ping(event)) if event.result.is_err() => {
                self.swarm.close_connection(event.connection);
            }
            SwarmEvent::ConnectionEstablished {
                peer_id,
                num_established,
                connection_id,
                ..
            } => {
                let Some(id) = self.names.get(&peer_id).copied() else {
                    self.swarm.close_connection(connection_id);
                    return;
                };
                if num_established.get() > 1 {
                    // Two addresses answered at once: the first one serves.
                    self.swarm.close_connection(connection_id);
                    return;
                }
                if let Some(relay) = self.relays.get_mut(&id) {
                    relay.connected = true;
                    relay.dial_at = None;
                    relay.retry.reset();
                    self.hold(LinkEvent::Connected { relay: id });
                }
            }
            SwarmEvent::ConnectionClosed {
                peer_id,
                num_established: 0,
                cause,
                ..
            } => {
                if let Some(id) = self.names.get(&peer_id).copied() {
                    let reason = cause
                        .map_or_else(|| "the connection was closed".to_owned(), |c| innermost(&c));
                    self.unreachable(id, reason);
                }
            }
            SwarmEvent::OutgoingConnectionError {
                peer_id: Some(peer),
                error,
                ..
            } => {
                if let Some(id) = self.names.get(&peer).copied()
                    && !self.swarm.is_connected(&peer)
                {
                    self.unreachable(id, why_not_dialed(&error));
                }
            }
            // Addresses stay out of the log.
            _ => {}
        }
    }

    fn call_event(&mut self, event: CallEvent<Carried<Call>, Carried<Reply>>) {
        match event {
            CallEvent::Message {
                peer,
                message:
                    Message::Request {
                        request:
                            Carried {
                                message: Call::Push(push),
                                ..
                            },
                        channel,
                        ..
                    },
                ..
            } => {
                if let Some(relay) = self.names.get(&peer).copied() {
                    self.held
                        .push_back((LinkEvent::Push { relay, push }, Some(channel)));
                }
            }
            // A relay does not ask us: dropping the channel ends the stream.
            CallEvent::Message {
                message: Message::Request { .. },
                ..
            } => {}
            CallEvent::Message {
                message:
                    Message::Response {
                        request_id,
                        response,
                    },
                ..
            } => {
                let result = match response.message {
                    Reply::Response(response) => Ok(response),
                    Reply::Ack => Err(LinkError::Protocol("an ack to a request".to_owned())),
                };
                self.answered(request_id, result);
            }
            CallEvent::OutboundFailure {
                request_id, error, ..
            } => {
                let error = match error {
                    OutboundFailure::DialFailure => LinkError::NotConnected,
                    OutboundFailure::Timeout => LinkError::Timeout,
                    OutboundFailure::ConnectionClosed => LinkError::Disconnected,
                    OutboundFailure::UnsupportedProtocols => {
                        LinkError::Protocol("unsupported".to_owned())
                    }
                    OutboundFailure::Io(error)
                        if error.kind() == std::io::ErrorKind::InvalidData =>
                    {
                        LinkError::Protocol(error.to_string())
                    }
                    OutboundFailure::Io(_) => LinkError::Disconnected,
                };
                self.answered(request_id, Err(error));
            }
            CallEvent::InboundFailure { error, .. } => debug!(%error, "push not acked"),
            CallEvent::ResponseSent { .. } => {}
        }
    }

    fn answered(&mut self, sent: OutboundRequestId, result: Result<Response, LinkError>) {
        if let Some((relay, id)) = self.asked.remove(&sent) {
            if let Some(state) = self.relays.get_mut(&relay) {
                state.in_flight = state.in_flight.saturating_sub(1);
            }
            self.hold(LinkEvent::Response { relay, id, result });
        }
    }

    fn unreachable(&mut self, id: RelayId, reason: String) {
        if let Some(relay) = self.relays.get_mut(&id) {
            relay.connected = false;
            relay.dial_at = Some(Instant::now() + relay.retry.next());
            self.hold(LinkEvent::Disconnected { relay: id, reason });
        }
    }

    fn hold(&mut self, event: LinkEvent) {
        self.held.push_back((event, None));
    }
}

/// Says why a relay was not reached, in words for people: libp2p's own text names every address
/// again and nests each layer's.
fn why_not_dialed(error: &DialError) -> String {
    match error {
        DialError::Transport(tried) => {
            let reasons: BTreeSet<String> = tried
                .iter()
                .map(|(_, error)| match error {
                    TransportError::MultiaddrNotSupported(_) => {
                        "this program cannot dial such an address".to_owned()
                    }
                    TransportError::Other(error) => innermost(error),
                })
                .collect();
            reasons.into_iter().collect::<Vec<_>>().join(", ")
        }
        DialError::WrongPeerId { .. } => "another relay answers at this address".to_owned(),
        DialError::NoAddresses
        | DialError::LocalPeerId { .. }
        | DialError::DialPeerConditionFalse(_)
        | DialError::Aborted
        | DialError::Denied { .. } => error.to_string(),
    }
}

/// Returns the text of the cause behind all others.
fn innermost(error: &dyn core::error::Error) -> String {
    let mut cause = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    cause.to_string()
}

fn build_swarm() -> Result<Swarm<Behaviour>, SpawnError> {
    // Without a usable resolver, relays named by number still work.
    swarm(true).or_else(|_| swarm(false))
}

fn swarm(dns: bool) -> Result<Swarm<Behaviour>, SpawnError> {
    let failed = |e: &dyn core::error::Error| SpawnError(e.to_string());
    let builder = SwarmBuilder::with_existing_identity(Keypair::generate_ed25519())
        .with_tokio()
        .with_tcp(
            tcp::Config::default().nodelay(true),
            noise::Config::new,
            yamux::Config::default,
        )
        .map_err(|e| failed(&e))?
        .with_quic();
    let behaviour = |_: &Keypair| Behaviour {
        calls: calls(REQUEST_TIMEOUT, EXCHANGES_MAX, Budget::unlimited()),
        ping: ping::Behaviour::new(
            ping::Config::new()
                .with_interval(PING_INTERVAL)
                .with_timeout(PING_TIMEOUT),
        ),
    };
    let config = |c: libp2p::swarm::Config| {
        c.with_idle_connection_timeout(IDLE_TIMEOUT)
            // The protocol is known, so that a request needs no round trip to agree on it.
            .with_substream_upgrade_protocol_override(Version::V1Lazy)
    };
    if dns {
        let built = builder.with_dns().map_err(|e| failed(&e))?;
        let built = built.with_behaviour(behaviour).map_err(|e| failed(&e))?;
        Ok(built
            .with_swarm_config(config)
            .with_connection_timeout(DIAL_TIMEOUT)
            .build())
    } else {
        let built = builder.with_behaviour(behaviour).map_err(|e| failed(&e))?;
        Ok(built
            .with_swarm_config(config)
            .with_connection_timeout(DIAL_TIMEOUT)
            .build())
    }
}
