//! Connections that mean no good, over real sockets.
#![allow(dead_code, reason = "each user takes its part")]
#![allow(unreachable_pub, reason = "shared by test crates")]

use std::io;
use std::time::Duration;

use futures::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, StreamExt};
use libp2p::request_response::{self, Event, Message, ProtocolSupport};
use libp2p::swarm::{NetworkBehaviour, SwarmEvent};
use libp2p::{Multiaddr, PeerId, StreamProtocol, Swarm, SwarmBuilder, noise, tcp, yamux};
use net::driver::{RELAY_PROTOCOL, RelayAddr};
use net::wire::{Call, Cursor, MailboxVerb, RecvAuth, RecvId, Request, encode_call};
use oplog::{BlobId, Digest, SecretKey, Tag};
use tokio::net::TcpStream;
use tokio::sync::mpsc::UnboundedSender;

/// What such a connection does, again and again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Begins a handshake and says no more.
    Slow,
    /// Sends a part of a message and keeps the stream.
    Half,
    /// Says that 4 GiB will come.
    Claim,
    /// Sends bytes that are no message.
    Garbage,
    /// Puts the same envelope, which is signed.
    Replay,
    /// Tries tokens of a chunk, and a mailbox with another's signature.
    Token,
    /// Asks for all of a tag.
    Greedy,
}

pub const KINDS: [Kind; 7] = [
    Kind::Slow,
    Kind::Half,
    Kind::Claim,
    Kind::Garbage,
    Kind::Replay,
    Kind::Token,
    Kind::Greedy,
];

/// Bytes as they are; whether the stream stays open behind them.
#[derive(Clone, Debug)]
pub struct Rough {
    bytes: Vec<u8>,
    keep: bool,
}

#[derive(Clone, Copy, Debug, Default)]
pub struct RoughCodec;

impl request_response::Codec for RoughCodec {
    type Protocol = StreamProtocol;
    type Request = Rough;
    type Response = Vec<u8>;

    async fn read_request<T>(&mut self, _: &StreamProtocol, _: &mut T) -> io::Result<Rough>
    where
        T: AsyncRead + Unpin + Send,
    {
        Err(io::ErrorKind::Unsupported.into())
    }

    async fn read_response<T>(&mut self, _: &StreamProtocol, io: &mut T) -> io::Result<Vec<u8>>
    where
        T: AsyncRead + Unpin + Send,
    {
        let mut bytes = Vec::new();
        io.take(2 << 20).read_to_end(&mut bytes).await?;
        if bytes.is_empty() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(bytes)
    }

    async fn write_request<T>(
        &mut self,
        _: &StreamProtocol,
        io: &mut T,
        rough: Rough,
    ) -> io::Result<()>
    where
        T: AsyncWrite + Unpin + Send,
    {
        io.write_all(&rough.bytes).await?;
        io.flush().await?;
        if rough.keep {
            futures::future::pending::<()>().await;
        }
        Ok(())
    }

    async fn write_response<T>(
        &mut self,
        _: &StreamProtocol,
        _: &mut T,
        _: Vec<u8>,
    ) -> io::Result<()>
    where
        T: AsyncWrite + Unpin + Send,
    {
        Err(io::ErrorKind::Unsupported.into())
    }
}

#[derive(NetworkBehaviour)]
struct Behaviour {
    calls: request_response::Behaviour<RoughCodec>,
}

fn swarm() -> Swarm<Behaviour> {
    SwarmBuilder::with_new_identity()
        .with_tokio()
        .with_tcp(
            tcp::Config::default().nodelay(true),
            noise::Config::new,
            yamux::Config::default,
        )
        .unwrap()
        .with_behaviour(|_| Behaviour {
            calls: request_response::Behaviour::with_codec(
                RoughCodec,
                [(RELAY_PROTOCOL, ProtocolSupport::Full)],
                request_response::Config::default().with_request_timeout(Duration::from_secs(5)),
            ),
        })
        .unwrap()
        .with_swarm_config(|c| c.with_idle_connection_timeout(Duration::from_secs(600)))
        .build()
}

/// What one of them saw.
#[derive(Clone, Copy, Debug, Default)]
pub struct Seen {
    /// Whether it was ever connected.
    pub connected: bool,
    /// Whether the relay closed the connection, or refused it.
    pub shed: bool,
    pub sent: u64,
    pub answered: u64,
    pub failed: u64,
}

fn message(kind: Kind, n: u64) -> Rough {
    let framed = |request: Request| {
        let call = encode_call(Call::Request(request));
        let len = u32::try_from(call.len()).unwrap();
        [&len.to_be_bytes()[..], &call].concat()
    };
    let key = crate::common::tag_key(66);
    match kind {
        Kind::Slow | Kind::Half => {
            let bytes = [&900_000_u32.to_be_bytes()[..], &[0x82; 100]].concat();
            Rough { bytes, keep: true }
        }
        Kind::Claim => {
            let bytes = [&u32::MAX.to_be_bytes()[..], &[0; 64]].concat();
            Rough { bytes, keep: false }
        }
        Kind::Garbage => {
            let bytes = [&1_000_u32.to_be_bytes()[..], &[0x9f; 1_000]].concat();
            Rough { bytes, keep: false }
        }
        Kind::Replay => {
            let bytes = framed(crate::common::put(&key, 7));
            Rough { bytes, keep: false }
        }
        Kind::Token if n.is_multiple_of(2) => {
            let id = BlobId::from_bytes([3; 32]);
            let token = Digest::from_bytes([(n % 251) as u8; 32]);
            let bytes = framed(Request::DeleteChunk { id, token });
            Rough { bytes, keep: false }
        }
        Kind::Token => {
            let recv_id = RecvId::from_bytes([4; 16]);
            let challenge = net::wire::Challenge::from_bytes([5; 32]);
            let thief = SecretKey::from_seed(&[6; 32]);
            let auth = RecvAuth::sign(
                &thief,
                MailboxVerb::Get,
                &recv_id,
                Cursor::START,
                &challenge,
            );
            let bytes = framed(Request::MboxGet {
                recv_id,
                after: Cursor::START,
                auth,
            });
            Rough { bytes, keep: false }
        }
        Kind::Greedy => {
            let tag = Tag::of_key(&key.public());
            let bytes = framed(Request::Fetch {
                tag,
                after: Cursor::START,
                limit: u16::MAX,
            });
            Rough { bytes, keep: false }
        }
    }
}

/// Attacks until told to stop: `most` messages, one every so often. Says when it has sent them and knows
/// what became of them, or was sent away.
pub async fn attack(
    kind: Kind,
    addr: RelayAddr,
    most: u64,
    every: Duration,
    done: UnboundedSender<()>,
    mut stop: tokio::sync::watch::Receiver<bool>,
) -> Seen {
    let mut done = Some(done);
    let mut say = move || {
        if let Some(done) = done.take() {
            let _ = done.send(());
        }
    };
    let mut seen = Seen::default();
    let text = addr.to_string();
    if kind == Kind::Slow {
        let mut parts = text.split('/').skip(2);
        let host = parts.next().unwrap().to_owned();
        let port: u16 = parts.nth(1).unwrap().parse().unwrap();
        let Ok(mut stream) = TcpStream::connect((host.as_str(), port)).await else {
            seen.shed = true;
            say();
            return seen;
        };
        seen.connected = true;
        let _ = tokio::io::AsyncWriteExt::write_all(&mut stream, b"\x13/multi").await;
        say();
        let mut rest = [0; 64];
        let closed = async {
            while let Ok(n) = tokio::io::AsyncReadExt::read(&mut stream, &mut rest).await {
                if n == 0 {
                    break;
                }
            }
        };
        tokio::select! {
            () = closed => seen.shed = true,
            _ = stop.wait_for(|stop| *stop) => {}
        }
        return seen;
    }
    let mut swarm = swarm();
    let target: Multiaddr = text.parse().unwrap();
    swarm.dial(target).unwrap();
    let mut peer: Option<PeerId> = None;
    let mut pace = tokio::time::interval(every);
    pace.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        let heard = kind == Kind::Half || seen.answered + seen.failed >= most;
        if seen.sent >= most && heard {
            say();
        }
        tokio::select! {
            _ = stop.wait_for(|stop| *stop) => return seen,
            _ = pace.tick(), if peer.is_some() && seen.sent < most => {
                if let Some(peer) = &peer {
                    swarm.behaviour_mut().calls.send_request(peer, message(kind, seen.sent));
                    seen.sent += 1;
                }
            }
            event = swarm.select_next_some() => match event {
                SwarmEvent::ConnectionEstablished { peer_id, .. } => {
                    peer = Some(peer_id);
                    seen.connected = true;
                }
                SwarmEvent::ConnectionClosed { .. } | SwarmEvent::OutgoingConnectionError { .. } => {
                    seen.shed = true;
                    say();
                    return seen;
                }
                SwarmEvent::Behaviour(BehaviourEvent::Calls(event)) => match event {
                    Event::Message { message: Message::Response { .. }, .. } => seen.answered += 1,
                    Event::OutboundFailure { .. } => seen.failed += 1,
                    _ => {}
                },
                _ => {}
            },
        }
    }
}
