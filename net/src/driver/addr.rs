//! Relay addresses: a multiaddr that ends in the relay's key.

use core::fmt;
use core::str::FromStr;

use libp2p::multiaddr::Protocol;
use libp2p::{Multiaddr, PeerId, identity};

use crate::RelayId;

/// An address that cannot be dialed safely.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddrError {
    /// Not a multiaddr at all.
    #[error("not a multiaddr: {0}")]
    Malformed(String),
    /// It does not say whose key must answer.
    #[error("a relay address ends in /p2p/ and the relay's id")]
    NoPeer,
    /// The key is not Ed25519.
    #[error("the relay's id is not an Ed25519 key")]
    KeyType,
}

/// Where a relay is and whose key must answer there: `/ip4/192.0.2.1/udp/4001/quic-v1/p2p/12D3…`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RelayAddr {
    id: RelayId,
    peer: PeerId,
    addr: Multiaddr,
}

impl RelayAddr {
    /// Returns whose key must answer.
    #[must_use]
    pub const fn id(&self) -> RelayId {
        self.id
    }

    /// Returns the libp2p name of that key.
    #[must_use]
    pub const fn peer(&self) -> PeerId {
        self.peer
    }

    /// Returns the address, with the key.
    #[must_use]
    pub const fn multiaddr(&self) -> &Multiaddr {
        &self.addr
    }
}

impl fmt::Display for RelayAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.addr.fmt(f)
    }
}

impl TryFrom<Multiaddr> for RelayAddr {
    type Error = AddrError;

    fn try_from(addr: Multiaddr) -> Result<Self, AddrError> {
        let Some(Protocol::P2p(peer)) = addr.iter().last() else {
            return Err(AddrError::NoPeer);
        };
        let id = relay_id(&peer).ok_or(AddrError::KeyType)?;
        Ok(Self { id, peer, addr })
    }
}

impl FromStr for RelayAddr {
    type Err = AddrError;

    fn from_str(text: &str) -> Result<Self, AddrError> {
        let addr: Multiaddr = text
            .parse()
            .map_err(|e: libp2p::multiaddr::Error| AddrError::Malformed(e.to_string()))?;
        Self::try_from(addr)
    }
}

/// Returns the Ed25519 key that a peer id holds, `None` for other keys.
#[must_use]
pub fn relay_id(peer: &PeerId) -> Option<RelayId> {
    // An Ed25519 peer id is the identity multihash of the key's protobuf.
    let hash = peer.as_ref();
    if hash.code() != 0 {
        return None;
    }
    let key = identity::PublicKey::try_decode_protobuf(hash.digest()).ok()?;
    Some(RelayId::from_bytes(key.try_into_ed25519().ok()?.to_bytes()))
}

/// Returns the peer id of a key, `None` when it is no point of the curve.
#[must_use]
pub fn peer_id(relay: &RelayId) -> Option<PeerId> {
    let key = identity::ed25519::PublicKey::try_from_bytes(relay.as_bytes()).ok()?;
    Some(identity::PublicKey::from(key).to_peer_id())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_without_an_ed25519_key_is_refused() {
        let peer = identity::Keypair::generate_ed25519().public().to_peer_id();
        let good: RelayAddr = format!("/ip4/127.0.0.1/tcp/1/p2p/{peer}").parse().unwrap();
        assert_eq!(peer_id(&good.id()), Some(peer));
        for (bad, why) in [
            ("nonsense", None),
            ("/ip4/127.0.0.1/tcp/1", Some(AddrError::NoPeer)),
            (
                "/ip4/127.0.0.1/tcp/1/p2p/QmYyQSo1c1Ym7orWxLYvCrM2EmxFTANf8wXmmE7DWjhx5N",
                Some(AddrError::KeyType),
            ),
        ] {
            let error = bad.parse::<RelayAddr>().unwrap_err();
            assert!(why.is_none_or(|why| why == error), "{bad}: {error}");
        }
    }
}
