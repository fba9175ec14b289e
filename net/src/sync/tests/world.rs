//! Lanes of real signed ops, and nodes that hold some of them.

use std::collections::{BTreeMap, BTreeSet};

use oplog::hash::H;
use oplog::store::StoreError;
use oplog::{
    ChannelId, DeviceId, Digest, EpochId, Header, Hlc, Lane, OpId, Scope, Secret, SecretKey,
    Signature, SignedOp, SpaceId, Timestamp, UserId,
};

use crate::sync::{LaneState, Standing, SyncKey, SyncSource};

pub(super) struct Lanes {
    pub(super) devices: usize,
    pub(super) channels: usize,
    pub(super) length: u64,
    /// Whether device 0 forks each of its lanes in the middle.
    pub(super) fork: bool,
}

fn byte(n: usize) -> u8 {
    u8::try_from(n).unwrap()
}

/// Every op there is.
pub(super) struct World {
    space: SpaceId,
    keys: Vec<SecretKey>,
    pub(super) ops: BTreeMap<OpId, SignedOp>,
    pub(super) lanes: BTreeMap<Lane, Vec<OpId>>,
}

impl World {
    pub(super) fn new(shape: &Lanes) -> Self {
        let mut world = Self {
            space: SpaceId::from_bytes([1; 32]),
            keys: (0..shape.devices.max(3))
                .map(|n| SecretKey::from_seed(&[byte(n) + 1; 32]))
                .collect(),
            ops: BTreeMap::new(),
            lanes: BTreeMap::new(),
        };
        let mut scopes = vec![Scope::Control];
        scopes.extend(
            (0..shape.channels).map(|n| Scope::Channel(ChannelId::from_bytes([byte(n); 16]))),
        );
        let mut hlc = 1_700_000_000u64 << 32;
        let mut last_control: Option<OpId> = None;
        for seq in 0..shape.length {
            for device in 0..shape.devices {
                for scope in &scopes {
                    hlc += 1 << 31;
                    let forks = shape.fork && device == 0 && seq == shape.length / 2;
                    let id = world.write(device, *scope, seq, hlc, last_control, 0);
                    if forks {
                        world.write(device, *scope, seq, hlc, last_control, 1);
                    }
                    if *scope == Scope::Control {
                        last_control = Some(id);
                    }
                }
            }
        }
        world
    }

    fn write(
        &mut self,
        device: usize,
        scope: Scope,
        seq: u64,
        hlc: u64,
        control: Option<OpId>,
        salt: u64,
    ) -> OpId {
        let lane = self.lane(device, scope);
        let before = self.lanes.get(&lane).into_iter().flatten();
        let back = before
            .filter(|id| self.ops[id].header().seq + 1 == seq)
            .min()
            .copied();
        let header = Header {
            space: self.space,
            kind: 1,
            user: UserId::ZERO,
            device: lane.device,
            scope,
            seq,
            back,
            ctl: control.into_iter().collect(),
            prev: Vec::new(),
            epoch: EpochId::ZERO,
            hlc: Hlc::from_raw(hlc),
            wall: Timestamp::from_ms(salt),
            payload_hash: Digest::ZERO,
            payload_len: 0,
        };
        let payload = vec![7; 40 + usize::try_from(seq * 37 % 200).unwrap()];
        let op = SignedOp::sign_raw(header, payload, &self.keys[device]);
        let id = op.id();
        self.ops.insert(id, op);
        self.lanes.entry(lane).or_default().push(id);
        id
    }

    pub(super) fn device(&self, n: usize) -> DeviceId {
        DeviceId::from_bytes(self.keys[n].public())
    }

    pub(super) fn lane(&self, device: usize, scope: Scope) -> Lane {
        Lane {
            device: self.device(device),
            scope,
        }
    }

    /// An op and every control op before it.
    pub(super) fn control_past(&self, op: &OpId) -> BTreeSet<OpId> {
        let mut past = BTreeSet::new();
        let mut next = vec![*op];
        while let Some(id) = next.pop() {
            if past.insert(id) {
                next.extend(self.ops[&id].header().refs());
            }
        }
        past
    }

    /// A node with device `n` that holds these ops.
    pub(super) fn peer(&self, n: usize, have: &BTreeSet<OpId>) -> Peer {
        let keys = (0u8..4).map(|e| {
            let root = H::new("test-epoch").field(&[e]).finish();
            SyncKey {
                space: self.space,
                epoch: EpochId::from_bytes([e; 32]),
                key: Secret::from_bytes(root),
                offered: true,
            }
        });
        Peer {
            space: self.space,
            key: self.keys[n].clone(),
            keys: keys.collect(),
            ops: have.iter().map(|id| (*id, self.ops[id].clone())).collect(),
            received: Vec::new(),
            met: Vec::new(),
            removed: BTreeMap::new(),
            papers: BTreeMap::new(),
            claims_to_be: None,
        }
    }
}

pub(super) struct Peer {
    pub(super) space: SpaceId,
    key: SecretKey,
    pub(super) keys: Vec<SyncKey>,
    pub(super) ops: BTreeMap<OpId, SignedOp>,
    /// In order of arrival.
    pub(super) received: Vec<SignedOp>,
    pub(super) met: Vec<DeviceId>,
    /// Devices that were removed, with the ops that did it.
    pub(super) removed: BTreeMap<DeviceId, Vec<OpId>>,
    /// Devices that are unknown until an op is here.
    pub(super) papers: BTreeMap<DeviceId, OpId>,
    /// Lies about its device.
    pub(super) claims_to_be: Option<DeviceId>,
}

pub(super) fn hold(peer: &Peer) -> BTreeSet<OpId> {
    peer.ops.keys().copied().collect()
}

impl Peer {
    pub(super) fn receive(&mut self, ops: Vec<Vec<u8>>) {
        for bytes in ops {
            // As a node does: what is not signed is dropped.
            let Some(op) = SignedOp::decode(&bytes)
                .ok()
                .and_then(|op| op.verify().ok())
            else {
                continue;
            };
            let op = op.into_op();
            self.received.push(op.clone());
            self.ops.insert(op.id(), op);
        }
    }

    fn lane_of(&self, lane: &Lane) -> Vec<&SignedOp> {
        let mut ops: Vec<&SignedOp> = self
            .ops
            .values()
            .filter(|op| op.header().lane() == *lane)
            .collect();
        ops.sort_by_key(|op| (op.header().seq, op.id()));
        ops
    }
}

impl SyncSource for Peer {
    fn standing(&self, _: &SpaceId, device: &DeviceId) -> Standing {
        if let Some(at) = self.removed.get(device) {
            return Standing::Removed { at: at.clone() };
        }
        match self.papers.get(device) {
            Some(papers) if !self.ops.contains_key(papers) => Standing::Unknown,
            _ => Standing::Member,
        }
    }

    fn sign(&self, space: &SpaceId, message: &[u8]) -> Option<(DeviceId, Signature)> {
        Some((self.device(space)?, self.key.sign(message)))
    }

    fn device(&self, _: &SpaceId) -> Option<DeviceId> {
        let own = DeviceId::from_bytes(self.key.public());
        Some(self.claims_to_be.unwrap_or(own))
    }

    fn heads(&self, _: &SpaceId) -> Result<Vec<OpId>, StoreError> {
        let control = self.ops.values().filter(|op| op.header().is_control());
        let named: BTreeSet<OpId> = control.clone().flat_map(|op| op.header().refs()).collect();
        let heads = control.map(SignedOp::id).filter(|id| !named.contains(id));
        // Nodes hold closed pasts; these test nodes need not, and then heads say nothing.
        let closed = self
            .ops
            .values()
            .filter(|op| op.header().is_control())
            .all(|op| op.header().refs().all(|r| self.ops.contains_key(&r)));
        Ok(if closed { heads.collect() } else { Vec::new() })
    }

    fn in_control_past(&self, _: &SpaceId, frontier: &[OpId], op: &OpId) -> bool {
        let mut seen = BTreeSet::new();
        let mut next = frontier.to_vec();
        while let Some(id) = next.pop() {
            if let Some(found) = self.ops.get(&id)
                && seen.insert(id)
            {
                next.extend(found.header().refs());
            }
        }
        seen.contains(op)
    }

    fn channels(&self, _: &SpaceId) -> Result<Vec<ChannelId>, StoreError> {
        let all: BTreeSet<ChannelId> = self
            .ops
            .values()
            .filter_map(|op| op.header().scope.channel())
            .collect();
        Ok(all.into_iter().collect())
    }

    fn lanes(&self, _: &SpaceId, scope: &Scope) -> Result<Vec<LaneState>, StoreError> {
        let devices: BTreeSet<DeviceId> = self
            .ops
            .values()
            .filter(|op| op.header().scope == *scope)
            .map(|op| op.header().device)
            .collect();
        let state = |device: DeviceId| {
            let ops = self.lane_of(&Lane {
                device,
                scope: *scope,
            });
            let (min, max) = (ops[0].header().seq, ops[ops.len() - 1].header().seq);
            let head = ops.iter().find(|op| op.header().seq == max).unwrap().id();
            LaneState {
                device,
                min,
                max,
                head,
                dense: ops.len() as u64 == max - min + 1
                    && ops
                        .windows(2)
                        .all(|w| w[0].header().seq + 1 == w[1].header().seq),
            }
        };
        Ok(devices.into_iter().map(state).collect())
    }

    fn op_at(&self, _: &SpaceId, lane: &Lane, seq: u64) -> Result<Option<OpId>, StoreError> {
        let ops = self.lane_of(lane);
        Ok(ops
            .iter()
            .find(|op| op.header().seq == seq)
            .map(|op| op.id()))
    }

    fn lane_ops(
        &self,
        _: &SpaceId,
        lane: &Lane,
        from: u64,
        to: u64,
        max: usize,
    ) -> Result<Vec<(Hlc, OpId)>, StoreError> {
        let ops = self.lane_of(lane).into_iter();
        let range = ops.filter(|op| (from..=to).contains(&op.header().seq));
        Ok(range
            .map(|op| (op.header().hlc, op.id()))
            .take(max)
            .collect())
    }

    fn scope_ops(
        &self,
        _: &SpaceId,
        scope: &Scope,
        max: usize,
    ) -> Result<Vec<(Hlc, OpId)>, StoreError> {
        let ops = self.ops.values().filter(|op| op.header().scope == *scope);
        Ok(ops.map(|op| (op.header().hlc, op.id())).take(max).collect())
    }

    fn locate(&self, _: &SpaceId, op: &OpId) -> Result<Option<(Scope, Hlc)>, StoreError> {
        let op = self.ops.get(op);
        Ok(op.map(|op| (op.header().scope, op.header().hlc)))
    }

    fn op(&self, _: &SpaceId, op: &OpId) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.ops.get(op).map(SignedOp::encode))
    }
}
