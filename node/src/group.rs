//! Founding a Space, and what its MLS group is told of devices.
//!
//! Making commits is in `commit`, following them in `branch`, sealing in `seal`.

use std::collections::BTreeMap;

use mls::cert_book;
use oplog::payload::{DeviceCert, Genesis, SpaceKind};
use oplog::store::Store;
use oplog::{
    Authoring, Digest, EpochId, Kind, Payload, Scope, SecretKey, Signature, SignedOp, SpaceId,
};
use rand_core::CryptoRng;

use crate::blobs::ChunkStore;
use crate::error::CommandError;
use crate::ingest::Outcome;
use crate::node::Node;
use crate::outbox::Queued;
use crate::space::Space;

impl<S: Store, C: ChunkStore, R: CryptoRng> Node<S, C, R> {
    /// Founds a Space: the group, Genesis, the first channels.
    pub(crate) fn create_space(&mut self, name: &str) -> Result<SpaceId, CommandError> {
        self.found_space(name, false)
    }

    /// Founds one in which a quorum of admins may make and remove owners, or may not.
    pub(crate) fn found_space(
        &mut self,
        name: &str,
        owner_removable: bool,
    ) -> Result<SpaceId, CommandError> {
        let me = self.local_device()?;
        let mut group_id = [0; 32];
        self.rng.fill_bytes(&mut group_id);
        let group_id = Digest::from_bytes(group_id);
        let epoch = mls::found(&me, &group_id, &mut self.rng).map_err(group_error)?;
        let payload = Payload::Genesis(Genesis {
            name: name.trim().to_owned(),
            kind: SpaceKind::Community,
            cert: self.me.cert.clone(),
            group_id,
            root_commit: epoch.root.commitment(),
            owner_removable,
            leaf: epoch
                .roster()
                .as_map()
                .get(&self.me.device_id())
                .map_or(Digest::ZERO, |(_, leaf)| *leaf),
        });
        let bytes = payload.encode();
        Payload::decode(Kind::Genesis, &bytes).map_err(|e| CommandError::Invalid {
            what: e.to_string(),
        })?;
        let header = Authoring::genesis(self.me.user(), self.me.device_id(), self.now);
        let op = SignedOp::sign(header, &payload, &self.me.device);
        let space = op.space();
        let queued = Queued {
            hlc: op.header().hlc,
            op: op.id(),
        };
        let fresh = self.new_space(space);
        self.spaces.insert(space, fresh);
        let genesis = EpochId::genesis(&space);
        self.enter_epoch(&space, genesis, &epoch);
        let verified = op.verify().map_err(|e| CommandError::Invalid {
            what: e.to_string(),
        })?;
        let mut outcome = Outcome::default();
        self.accept_all(&space, vec![verified], &mut outcome)?;
        if let Some((_, rule, why)) = outcome.refused.into_iter().next() {
            self.spaces.remove(&space);
            return Err(CommandError::NotAllowed { rule, why });
        }
        self.enqueue(&space, &queued);
        for channel in Self::first_channels() {
            self.write(
                &space,
                Scope::Control,
                Payload::ChannelCreate(channel),
                Vec::new(),
            )?;
        }
        Ok(space)
    }
}

impl Space {
    /// The certificates that accepted ops carry, as the group's leaves name them.
    pub(crate) fn certs(&self) -> BTreeMap<Digest, DeviceCert> {
        let certs: Vec<_> = self.view.devices().map(|device| device.cert).collect();
        cert_book(certs.iter().map(|cert| &**cert))
    }
}

#[expect(clippy::needless_pass_by_value, reason = "shaped for map_err")]
pub(crate) fn group_error(error: mls::Error) -> CommandError {
    CommandError::Group {
        why: error.to_string(),
    }
}

/// An identity key's signature for a device that is in no roster (A1).
pub(crate) fn identity_signature(identity: &SecretKey, header: &oplog::Header) -> Signature {
    identity.sign(&oplog::payload::DeviceAdd::identity_message(
        &header.binding(),
    ))
}
