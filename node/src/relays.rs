//! The relays this profile uses, and what stands for each in rows.

use oplog::store::{Direction, Store, StoreError, prefix_end};
use rand_core::CryptoRng;

use crate::blobs::ChunkStore;
use crate::error::CommandError;
use crate::event::{Effect, RelayId};
use crate::exchange::Relay;
use crate::identity::NODE_TABLE;
use crate::node::Node;

const RELAY: &[u8] = b"relay/";

impl<S: Store, C: ChunkStore, R: CryptoRng> Node<S, C, R> {
    /// Uses a relay in this run, unless it is used already.
    pub fn use_relay(&mut self, address: &str) -> RelayId {
        let same = |relay: &Relay| peer_of(&relay.address) == peer_of(address);
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

    pub(crate) fn load_relays(&mut self) -> Result<(), StoreError> {
        let mut addresses = Vec::new();
        self.store.scan(
            NODE_TABLE,
            RELAY,
            &prefix_end(RELAY),
            Direction::Forward,
            &mut |_, value| {
                addresses.extend(std::str::from_utf8(value).map(str::to_owned));
                std::ops::ControlFlow::Continue(())
            },
        )?;
        for address in addresses {
            self.use_relay(&address);
        }
        Ok(())
    }

    pub(crate) fn add_relay(&mut self, address: &str) {
        let key = [RELAY, relay_key(address).as_bytes()].concat();
        self.store.put(NODE_TABLE, &key, address.as_bytes());
        self.use_relay(address);
    }

    pub(crate) fn remove_relay(&mut self, address: &str) -> Result<(), CommandError> {
        let known = self
            .relays
            .iter()
            .find(|(_, r)| r.address == address)
            .map(|(id, _)| *id);
        let Some(id) = known else {
            return Err(CommandError::NotFound {
                what: format!("the relay {address}"),
            });
        };
        self.store
            .delete(NODE_TABLE, &[RELAY, relay_key(address).as_bytes()].concat());
        self.relays.remove(&id);
        self.requests.retain(|_, (at, _)| *at != id);
        self.effects.push(Effect::Disconnect(id));
        Ok(())
    }
}

/// Stands for a relay in rows: its key, whatever way leads to it.
pub(crate) fn relay_key(address: &str) -> oplog::Digest {
    let peer = peer_of(address).as_bytes();
    oplog::Digest::from_bytes(oplog::hash::H::new("relay").field(peer).finish())
}

/// What [`relay_key`] is the hash of: the same for all ways that lead to a relay.
pub(crate) fn peer_of(address: &str) -> &str {
    address
        .rsplit_once("/p2p/")
        .map_or(address, |(_, peer)| peer)
}
