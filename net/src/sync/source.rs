//! What a session asks of the node it works for.

use oplog::store::StoreError;
use oplog::{ChannelId, DeviceId, Hlc, Lane, OpId, Scope, Signature, SpaceId};

/// What a peer's device may see of a Space, by the fold of everything this node knows now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// One of `authorised_devices`: everything.
    Member,
    /// It was a member's device: control ops up to and including these, no content.
    Removed {
        /// The ops that removed it.
        at: Vec<OpId>,
    },
    /// Never seen: nothing, until its own ops show that it belongs here.
    Unknown,
}

/// One lane as this node has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LaneState {
    /// Whose.
    pub device: DeviceId,
    /// The least `seq` held.
    pub min: u64,
    /// The greatest `seq` held.
    pub max: u64,
    /// The op at `max`; the least id when there are several.
    pub head: OpId,
    /// Whether every `seq` from `min` to `max` is held exactly once.
    pub dense: bool,
}

/// Read access to the accepted ops of a node, and its voice.
///
/// Only accepted ops are shown: what waits in holdback was vouched for by nobody.
pub trait SyncSource {
    /// Returns what a device may see of a Space.
    fn standing(&self, space: &SpaceId, device: &DeviceId) -> Standing;

    /// Signs as this node's device in a Space; `None` when it has none there.
    fn sign(&self, space: &SpaceId, message: &[u8]) -> Option<(DeviceId, Signature)>;

    /// Returns this node's device in a Space, the one that [`SyncSource::sign`] signs for.
    fn device(&self, space: &SpaceId) -> Option<DeviceId>;

    /// Returns the control heads, sorted.
    ///
    /// # Errors
    /// When storage fails.
    fn heads(&self, space: &SpaceId) -> Result<Vec<OpId>, StoreError>;

    /// Returns whether a control op is one of these or lies in their past.
    fn in_control_past(&self, space: &SpaceId, frontier: &[OpId], op: &OpId) -> bool;

    /// Returns the channels with ops, sorted.
    ///
    /// # Errors
    /// When storage fails.
    fn channels(&self, space: &SpaceId) -> Result<Vec<ChannelId>, StoreError>;

    /// Returns one state for each device with ops in a scope.
    ///
    /// # Errors
    /// When storage fails.
    fn lanes(&self, space: &SpaceId, scope: &Scope) -> Result<Vec<LaneState>, StoreError>;

    /// Returns the op at a position of a lane; the least id when there are several.
    ///
    /// # Errors
    /// When storage fails.
    fn op_at(&self, space: &SpaceId, lane: &Lane, seq: u64) -> Result<Option<OpId>, StoreError>;

    /// Returns all ops of a lane from one `seq` to another, both included, in ascending order;
    /// at most `max`.
    ///
    /// # Errors
    /// When storage fails.
    fn lane_ops(
        &self,
        space: &SpaceId,
        lane: &Lane,
        from: u64,
        to: u64,
        max: usize,
    ) -> Result<Vec<(Hlc, OpId)>, StoreError>;

    /// Returns all ops of a scope; at most `max`.
    ///
    /// # Errors
    /// When storage fails.
    fn scope_ops(
        &self,
        space: &SpaceId,
        scope: &Scope,
        max: usize,
    ) -> Result<Vec<(Hlc, OpId)>, StoreError>;

    /// Returns where an op belongs and its time, `None` when it is not here.
    ///
    /// # Errors
    /// When storage fails.
    fn locate(&self, space: &SpaceId, op: &OpId) -> Result<Option<(Scope, Hlc)>, StoreError>;

    /// Returns an op as `SignedOp::encode` gives it.
    ///
    /// # Errors
    /// When storage fails.
    fn op(&self, space: &SpaceId, op: &OpId) -> Result<Option<Vec<u8>>, StoreError>;
}
