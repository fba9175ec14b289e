//! For the simulator: a member with valid keys who writes whatever he likes.
//!
//! Nothing here enters the own log or asks the own acceptance. What is written goes out sealed
//! as honest ops are, so that others open it and judge it.

use minicbor::bytes::{ByteArray, ByteVec};
use mls::{Change, EpochKeys, EpochRoot, commit_aad, stored};
use oplog::payload::Commit;
use oplog::store::{Store, StoreError};
use oplog::{
    DeviceId, Digest, EpochId, Header, Kind, OpId, Payload, Scope, SecretKey, SignedOp, SpaceId,
    codec,
};
use rand_core::CryptoRng;

use crate::blobs::ChunkStore;
use crate::error::CommandError;
use crate::event::Effect;
use crate::group::group_error;
use crate::message::{Gossip, Have, LaneHead, Sealed};
use crate::node::Node;

impl<S: Store, C: ChunkStore, R: CryptoRng> Node<S, C, R> {
    /// Returns the header that an honest op would have now.
    ///
    /// # Errors
    /// When the Space is not here, or the op would name what is not.
    pub fn danger_header(
        &mut self,
        space: &SpaceId,
        kind: Kind,
        scope: Scope,
        prev: &[OpId],
    ) -> Result<Header, CommandError> {
        self.next_header(space, kind, scope, prev)
    }

    /// Signs any header with this device's key.
    pub fn danger_sign(&self, header: Header, payload: &Payload) -> SignedOp {
        SignedOp::sign(header, payload, &self.me.device)
    }

    /// Returns this device's key.
    pub const fn danger_key(&self) -> &SecretKey {
        &self.me.device
    }

    /// Sends bytes as if they were ops, sealed for the group; returns what the driver must run.
    ///
    /// # Errors
    /// When storage fails.
    pub fn danger_send(
        &mut self,
        space: &SpaceId,
        scope: Scope,
        ops: Vec<Vec<u8>>,
    ) -> Result<Vec<Effect>, StoreError> {
        let ops = ops.into_iter().map(ByteVec::from).collect();
        self.danger_publish(space, scope, &Sealed::Ops(ops))
    }

    /// Sends a commit that gives this device new keys, and says of its epoch's root what is not so:
    /// whoever processes it comes to other keys than its author may have. Returns the op, and what
    /// the driver must run.
    ///
    /// # Errors
    /// When the Space or the group's state is not here.
    pub fn danger_commit(&mut self, space: &SpaceId) -> Result<(OpId, Vec<Effect>), CommandError> {
        let me = self.local_device()?;
        let header = self.next_header(space, Kind::Commit, Scope::Control, &[])?;
        let parent = self.known_space(space)?.tip;
        let state = self
            .load_state(space, &parent)?
            .ok_or(CommandError::KeysBehind)?;
        let certs = self.known_space(space)?.certs();
        let aad = commit_aad(&header.binding(), &parent);
        let change = Change {
            add: Vec::new(),
            remove: Vec::new(),
            force_path: true,
        };
        let made = mls::commit(&me, &state, &change, &aad, &certs, &mut self.rng);
        let made = made.map_err(group_error)?;
        let payload = Payload::Commit(Commit {
            parent,
            mls: ByteVec::from(made.message),
            root_commit: Digest::from_bytes([0x66; 32]),
            roster_hash: made.roster_hash,
            class: made.class,
            delta: made.delta,
            group_info: ByteVec::from(made.group_info),
            welcomes: Vec::new(),
        });
        let op = self.danger_sign(header, &payload);
        let effects = self.danger_send(space, Scope::Control, vec![op.encode()])?;
        Ok((op.id(), effects))
    }

    /// Renews this device's keys by a commit whose path one device cannot open, and everybody else
    /// can; this device goes on with it. Returns the op.
    ///
    /// # Errors
    /// When the Space or the group's state is not here, or nothing is sealed to the victim alone.
    pub fn danger_commit_without(
        &mut self,
        space: &SpaceId,
        victim: &DeviceId,
    ) -> Result<OpId, CommandError> {
        let me = self.local_device()?;
        let header = self.next_header(space, Kind::Commit, Scope::Control, &[])?;
        let parent = self.known_space(space)?.tip;
        let state = self
            .load_state(space, &parent)?
            .ok_or(CommandError::KeysBehind)?;
        let certs = self.known_space(space)?.certs();
        let aad = commit_aad(&header.binding(), &parent);
        let rng = &mut self.rng;
        let made = mls::danger_commit_without(&me, &state, &aad, &certs, victim, rng);
        let made = made.map_err(group_error)?;
        let op = self.take_own_commit(space, header, parent, made)?.op;
        self.store.commit()?;
        Ok(op)
    }

    /// Gives this device the keys of an epoch as a Welcome would, and nothing of the group's state: it
    /// opens what is sealed there, and can follow no commit.
    ///
    /// # Errors
    /// When storage fails.
    pub fn danger_enter(
        &mut self,
        space: &SpaceId,
        epoch: EpochId,
        root: &EpochRoot,
    ) -> Result<(), StoreError> {
        self.store
            .keep_secret(stored::root_label(space, &epoch), root.secret());
        self.note_entered(space, &epoch);
        let keys = EpochKeys::new(root);
        let topic = keys.topic();
        if let Some(s) = self.spaces.get_mut(space) {
            s.keys.insert(epoch, keys);
            s.tip = epoch;
            let generation = s.generation_of(&epoch);
            self.keep_topic(space, generation, topic);
        }
        self.use_generation(space, &epoch);
        self.save_space(space);
        self.store.commit()
    }

    /// Claims to have seen `seq` ops of every lane there is.
    ///
    /// # Errors
    /// When storage fails.
    pub fn danger_claim(&mut self, space: &SpaceId, seq: u64) -> Result<Vec<Effect>, StoreError> {
        let lanes = match self.spaces.get(space) {
            Some(s) => s.table.all_lanes(&self.store)?,
            None => Vec::new(),
        };
        let mut lanes: Vec<LaneHead> = lanes
            .into_iter()
            .map(|head| LaneHead {
                device: head.lane.device,
                scope: head.lane.scope,
                seq,
                // Of an op that nobody has.
                head8: ByteArray::from([0; 8]),
            })
            .collect();
        lanes.sort_unstable();
        let have = Have::signed(space, lanes, &self.me.device);
        let bytes = codec::encode(&Gossip::Have(have));
        self.danger_publish(space, Scope::Control, &Sealed::Gossip(ByteVec::from(bytes)))
    }

    /// Asks everybody for these ops.
    ///
    /// # Errors
    /// When storage fails.
    pub fn danger_want(
        &mut self,
        space: &SpaceId,
        mut ids: Vec<OpId>,
    ) -> Result<Vec<Effect>, StoreError> {
        ids.sort_unstable();
        ids.dedup();
        let bytes = codec::encode(&Gossip::Want(ids));
        self.danger_publish(space, Scope::Control, &Sealed::Gossip(ByteVec::from(bytes)))
    }

    fn danger_publish(
        &mut self,
        space: &SpaceId,
        scope: Scope,
        sealed: &Sealed,
    ) -> Result<Vec<Effect>, StoreError> {
        let Some(tip) = self.spaces.get(space).map(|s| s.tip) else {
            return Ok(Vec::new());
        };
        if let Some(request) = self.seal_under(space, scope, &tip, sealed)? {
            self.publish(&request);
        }
        self.store.commit()?;
        Ok(std::mem::take(&mut self.effects))
    }
}
