//! How many connections one address may have.
//!
//! Keys cost nothing, addresses do: without this, one machine under fresh keys takes every place. An
//! IPv6 address counts by its first 64 bits, which is what one machine is given. What comes from
//! this machine itself is not counted: so come all clients of an onion service or a proxy.

use core::convert::Infallible;
use core::net::{IpAddr, Ipv4Addr};
use core::task::{Context, Poll};
use std::collections::BTreeMap;

use libp2p::core::Endpoint;
use libp2p::core::transport::PortUse;
use libp2p::multiaddr::Protocol;
use libp2p::swarm::{
    ConnectionClosed, ConnectionDenied, ConnectionId, FromSwarm, ListenFailure, NetworkBehaviour,
    THandler, THandlerInEvent, THandlerOutEvent, ToSwarm, dummy,
};
use libp2p::{Multiaddr, PeerId};

/// Refuses the connections of an address that has enough, before their handshake.
pub(super) struct Addresses {
    max: usize,
    /// Bounded by the connections and handshakes that there may be.
    sources: BTreeMap<ConnectionId, Source>,
    counts: BTreeMap<Source, usize>,
}

/// What counts as one address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Source {
    V4(Ipv4Addr),
    /// The first 64 bits.
    V6([u16; 4]),
}

/// The address has all the connections it may have.
#[derive(Debug, thiserror::Error)]
#[error("too many connections from one address")]
struct TooMany;

impl Addresses {
    pub(super) fn new(max: usize) -> Self {
        Self {
            max,
            sources: BTreeMap::new(),
            counts: BTreeMap::new(),
        }
    }

    fn ended(&mut self, connection: ConnectionId) {
        let Some(source) = self.sources.remove(&connection) else {
            return;
        };
        if let Some(count) = self.counts.get_mut(&source) {
            *count -= 1;
            if *count == 0 {
                self.counts.remove(&source);
            }
        }
    }
}

/// What an address counts as; `None` for this machine's own.
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "addresses have many parts, and two of them are numbers of machines"
)]
fn source(addr: &Multiaddr) -> Option<Source> {
    let ip = addr.iter().find_map(|part| match part {
        Protocol::Ip4(ip) => Some(IpAddr::from(ip)),
        Protocol::Ip6(ip) => Some(ip.to_canonical()),
        _ => None,
    })?;
    if ip.is_loopback() {
        return None;
    }
    Some(match ip {
        IpAddr::V4(ip) => Source::V4(ip),
        IpAddr::V6(ip) => {
            let [a, b, c, d, ..] = ip.segments();
            Source::V6([a, b, c, d])
        }
    })
}

impl NetworkBehaviour for Addresses {
    type ConnectionHandler = dummy::ConnectionHandler;
    type ToSwarm = Infallible;

    fn handle_pending_inbound_connection(
        &mut self,
        connection: ConnectionId,
        _: &Multiaddr,
        remote: &Multiaddr,
    ) -> Result<(), ConnectionDenied> {
        let Some(source) = source(remote) else {
            return Ok(());
        };
        let count = self.counts.entry(source).or_default();
        if *count >= self.max {
            return Err(ConnectionDenied::new(TooMany));
        }
        *count += 1;
        self.sources.insert(connection, source);
        Ok(())
    }

    fn handle_established_inbound_connection(
        &mut self,
        _: ConnectionId,
        _: PeerId,
        _: &Multiaddr,
        _: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        Ok(dummy::ConnectionHandler)
    }

    fn handle_established_outbound_connection(
        &mut self,
        _: ConnectionId,
        _: PeerId,
        _: &Multiaddr,
        _: Endpoint,
        _: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        Ok(dummy::ConnectionHandler)
    }

    fn on_swarm_event(&mut self, event: FromSwarm<'_>) {
        if let FromSwarm::ConnectionClosed(ConnectionClosed { connection_id, .. })
        | FromSwarm::ListenFailure(ListenFailure { connection_id, .. }) = event
        {
            self.ended(connection_id);
        }
    }

    fn on_connection_handler_event(
        &mut self,
        _: PeerId,
        _: ConnectionId,
        event: THandlerOutEvent<Self>,
    ) {
        match event {}
    }

    fn poll(&mut self, _: &mut Context<'_>) -> Poll<ToSwarm<Self::ToSwarm, THandlerInEvent<Self>>> {
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addr(text: &str) -> Multiaddr {
        text.parse().unwrap()
    }

    /// Whether a connection with this number may come from there.
    fn comes(addresses: &mut Addresses, connection: usize, from: &str) -> bool {
        let id = ConnectionId::new_unchecked(connection);
        let here = addr("/ip4/192.0.2.1/tcp/4001");
        addresses
            .handle_pending_inbound_connection(id, &here, &addr(from))
            .is_ok()
    }

    #[test]
    fn an_address_has_so_many_and_gets_places_back() {
        let mut addresses = Addresses::new(2);
        assert!(comes(&mut addresses, 1, "/ip4/198.51.100.7/tcp/1"));
        assert!(comes(&mut addresses, 2, "/ip4/198.51.100.7/udp/2/quic-v1"));
        assert!(!comes(&mut addresses, 3, "/ip4/198.51.100.7/tcp/3"));
        assert!(comes(&mut addresses, 4, "/ip4/198.51.100.8/tcp/1"));
        // The one that was refused is told of as ended too.
        addresses.ended(ConnectionId::new_unchecked(3));
        assert!(!comes(&mut addresses, 5, "/ip4/198.51.100.7/tcp/4"));
        addresses.ended(ConnectionId::new_unchecked(1));
        assert!(comes(&mut addresses, 6, "/ip4/198.51.100.7/tcp/5"));
        for connection in [2, 4, 6] {
            addresses.ended(ConnectionId::new_unchecked(connection));
        }
        assert!(addresses.sources.is_empty() && addresses.counts.is_empty());
    }

    #[test]
    fn what_one_machine_can_have_counts_as_one() {
        let same = [
            (
                "/ip6/2001:db8:1:2::1/tcp/1",
                "/ip6/2001:db8:1:2:ffff::9/udp/5/quic-v1",
            ),
            ("/ip4/198.51.100.7/tcp/1", "/ip6/::ffff:198.51.100.7/tcp/1"),
        ];
        for (one, other) in same {
            assert_eq!(source(&addr(one)), source(&addr(other)));
        }
        assert_ne!(
            source(&addr("/ip6/2001:db8:1:2::1/tcp/1")),
            source(&addr("/ip6/2001:db8:1:3::1/tcp/1"))
        );
        for own in [
            "/ip4/127.0.0.1/tcp/1",
            "/ip6/::1/tcp/1",
            "/ip6/::ffff:127.0.0.2/tcp/1",
        ] {
            assert_eq!(source(&addr(own)), None);
        }
        let mut addresses = Addresses::new(1);
        assert!((0..10).all(|n| comes(&mut addresses, n, "/ip4/127.0.0.1/tcp/1")));
    }
}
