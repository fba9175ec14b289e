//! The devices of the person at this node: which there are, and revoking one for good (B14).
//!
//! A revocation is signed by the identity key too: so it counts whatever the revoked device says
//! meanwhile, of this one as of any other (B4), and a device that the group has not let in yet can
//! write it.

use oplog::payload::{DeviceRevoke, Payload};
use oplog::store::Store;
use oplog::{DeviceId, Hlc, Kind, OpId, Scope, Signature, SpaceId};
use rand_core::CryptoRng;

use crate::blobs::ChunkStore;
use crate::error::CommandError;
use crate::node::Node;
use crate::view::DeviceView;

impl<S: Store, C: ChunkStore, R: CryptoRng> Node<S, C, R> {
    /// Returns this person's devices in a Space, those that were ended too, in the order in which their
    /// certificates were made.
    ///
    /// # Errors
    /// When the Space is not here.
    pub fn devices(&self, space: SpaceId) -> Result<Vec<DeviceView>, CommandError> {
        let s = self.known_space(&space)?;
        let (user, this) = (self.me.user(), self.me.device_id());
        let own = s.view.devices().filter(|device| device.user == user);
        let mut devices: Vec<DeviceView> = own
            .map(|device| DeviceView {
                device: device.device,
                name: device.cert.name.clone(),
                is_this: device.device == this,
                added: s
                    .log
                    .dag()
                    .node(&device.op)
                    .map_or(Hlc::ZERO, |node| node.op.header().hlc),
                in_group: s.roster().any(|there| there == device.device),
                ended: device.ended_by,
            })
            .collect();
        devices.sort_by_key(|device| (device.added, device.device));
        Ok(devices)
    }

    /// Revokes another device of this person, and takes it out of the group.
    pub(crate) fn revoke_device(
        &mut self,
        space: &SpaceId,
        device: DeviceId,
        compromised: bool,
        reason: String,
    ) -> Result<OpId, CommandError> {
        self.may_write(space)?;
        if device == self.me.device_id() {
            return Err(CommandError::Invalid {
                what:
                    "this very device cannot revoke itself; leave the Space, or use another device"
                        .to_owned(),
            });
        }
        let mut cut = self.cut_of(space, &self.me.user())?;
        for scope in &mut cut {
            scope.heads.retain(|head| head.device == device);
        }
        let mut revoke = DeviceRevoke {
            device,
            cut,
            late: None,
            reason,
            purge: Vec::new(),
            compromised,
            identity_sig: Some(Signature::ZERO),
        };
        // Decoding checks the limits, before the op takes a place in the lane.
        let bytes = Payload::DeviceRevoke(revoke.clone()).encode();
        Payload::decode(Kind::DeviceRevoke, &bytes).map_err(|e| CommandError::Invalid {
            what: e.to_string(),
        })?;
        let header = self.next_header(space, Kind::DeviceRevoke, Scope::Control, &[])?;
        let message = DeviceRevoke::identity_message(&header.binding(), &device);
        revoke.identity_sig = Some(self.me.identity.sign(&message));
        let op = self.sign_and_take(space, header, &Payload::DeviceRevoke(revoke))?;
        self.reconcile_own(space)?;
        Ok(op)
    }
}
