//! Where ops lie in the store: two small rows for each, over one record in the log.
//!
//! | table | key | value |
//! |---|---|---|
//! | `op` | space no ‖ op id | [`Location`], and one byte more when the payload is pruned |
//! | `lane` | space no ‖ plane ‖ channel, if any ‖ device ‖ seq ‖ op id | – |
//! | `wait` | space no ‖ op id | [`Location`] |
//!
//! Two more are in `lost` and `branches`.
//!
//! The body stands once, in the log; a record is the op's bytes on the wire, or a
//! zero byte and those of an op that waits for a feature (A18). Lane rows begin with
//! the plane and the channel, so that start-up reads control ops alone and sync reads
//! one channel alone. All rows can be rebuilt from the records.
//!
//! # Invariants
//! - An op that is in the log has both rows; both are staged in one step.
//! - Nothing read back is believed: a record must decode to the op it is filed under.

use core::ops::ControlFlow;
use std::collections::BTreeSet;

use crate::ids::{ChannelId, DeviceId, Lane, OpId, Scope, SpaceId};
use crate::op::{AcceptedOp, SignedOp};
use crate::store::{Direction, Location, Store, StoreError, Table, prefix_end};

/// Op id → where its record lies.
const OP: Table = Table("op");
/// The ops of each lane in order.
const LANE: Table = Table("lane");
/// Ops that wait for a feature.
const WAIT: Table = Table("wait");
/// First byte of a record that holds a waiting op; ops themselves begin with 0x83, a CBOR array.
const WAITING_MARK: u8 = 0;

/// The short number by which this node's rows name a Space. Local: never sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SpaceNo(pub u16);

/// The ops of one Space in a store. Holds no data of its own.
#[derive(Clone, Copy, Debug)]
pub struct OpTable {
    space: SpaceId,
    no: SpaceNo,
}

/// Where a stored op lies, and whether all of it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stored {
    /// Its record.
    pub at: Location,
    /// Whether the payload is gone.
    pub pruned: bool,
}

/// The end of a lane. More than one op there is an equivocation (B11).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LaneHead {
    /// Which lane.
    pub lane: Lane,
    /// The greatest position.
    pub seq: u64,
    /// The ops there, sorted.
    pub ops: Vec<OpId>,
}

impl OpTable {
    /// Names the ops of a Space in any store.
    #[must_use]
    pub const fn new(space: SpaceId, no: SpaceNo) -> Self {
        Self { space, no }
    }

    /// Returns the Space.
    #[must_use]
    pub const fn space(&self) -> SpaceId {
        self.space
    }

    /// Returns the number under which its rows stand.
    #[must_use]
    pub const fn no(&self) -> SpaceNo {
        self.no
    }

    /// Appends an op to the log and stages its rows.
    ///
    /// # Errors
    /// When storage fails; then nothing was staged.
    pub fn put<S: Store>(&self, store: &mut S, op: &AcceptedOp) -> Result<Location, StoreError> {
        let at = store.append(&self.space, &op.encode())?;
        self.index(store, op, at);
        Ok(at)
    }

    /// Stages the rows of an op whose record stands at `at`.
    pub fn index<S: Store>(&self, store: &mut S, op: &SignedOp, at: Location) {
        let mut value = at.to_bytes().to_vec();
        if op.payload_bytes().is_none() {
            value.push(1);
        }
        store.put(OP, &self.op_key(&op.id()), &value);
        let h = op.header();
        store.put(LANE, &self.lane_key(&h.lane(), h.seq, &op.id()), &[]);
    }

    /// Stages the rows of any record of this Space's log, for a rebuild; later records win.
    /// Returns the op, unless it waits for a feature.
    ///
    /// # Errors
    /// When the record is none of ours.
    pub fn index_record<S: Store>(
        &self,
        store: &mut S,
        record: &[u8],
        at: Location,
    ) -> Result<Option<AcceptedOp>, StoreError> {
        let (op, waits) = match record.split_first() {
            Some((&WAITING_MARK, op)) => (op, true),
            _ => (record, false),
        };
        let op = SignedOp::decode(op).map_err(|e| StoreError::Damaged {
            what: format!("record at {at:?}: {e}"),
        })?;
        if waits {
            store.put(WAIT, &self.op_key(&op.id()), &at.to_bytes());
            return Ok(None);
        }
        self.note_branch(store, &op)?;
        self.note_gaps(store, &op)?;
        self.index(store, &op, at);
        Ok(Some(AcceptedOp::danger_from_own_store(op)))
    }

    /// A log is closed: what an op of it names was here, and is lost if it is not here any more.
    fn note_gaps<S: Store>(&self, store: &mut S, op: &SignedOp) -> Result<(), StoreError> {
        let h = op.header();
        for id in h.refs().collect::<BTreeSet<_>>() {
            if !self.contains(store, &id)? {
                let before = h.seq.checked_sub(1).filter(|_| h.back == Some(id));
                let place = before.map(|seq| (h.lane(), seq));
                self.lose(store, &id, place.as_ref());
            }
        }
        if self.is_lost(store, &op.id())? {
            self.found(store, &op.id());
        }
        Ok(())
    }

    /// Stages the removal of an op's `op` row, after its record turned out to be damaged, so that
    /// the op can be fetched and accepted again.
    pub fn forget<S: Store>(&self, store: &mut S, id: &OpId) {
        store.delete(OP, &self.op_key(id));
    }

    /// Like [`OpTable::forget`], with the lane row too.
    pub fn forget_in_lane<S: Store>(&self, store: &mut S, id: &OpId, lane: &Lane, seq: u64) {
        self.forget(store, id);
        store.delete(LANE, &self.lane_key(lane, seq, id));
    }

    /// Returns where an op lies, `None` when it is not here.
    ///
    /// # Errors
    /// When storage fails or the row is damaged.
    pub fn stored<S: Store>(&self, store: &S, id: &OpId) -> Result<Option<Stored>, StoreError> {
        let Some(row) = store.get(OP, &self.op_key(id))? else {
            return Ok(None);
        };
        let (at, rest) = row.split_at_checked(12).unwrap_or((&[], &[]));
        let at = Location::from_bytes(at).ok_or_else(|| damaged(id, "its row"))?;
        Ok(Some(Stored {
            at,
            pruned: !rest.is_empty(),
        }))
    }

    /// Returns whether an op is here.
    ///
    /// # Errors
    /// When storage fails.
    pub fn contains<S: Store>(&self, store: &S, id: &OpId) -> Result<bool, StoreError> {
        Ok(store.get(OP, &self.op_key(id))?.is_some())
    }

    /// Returns an op, `None` when it is not here.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] when its record is not that op; other errors when storage fails.
    pub fn op<S: Store>(&self, store: &S, id: &OpId) -> Result<Option<AcceptedOp>, StoreError> {
        match self.stored(store, id)? {
            Some(stored) => self.read(store, id, &stored.at).map(Some),
            None => Ok(None),
        }
    }

    /// Returns the op whose record stands at `at`, for indexes that keep locations of their own.
    ///
    /// # Errors
    /// As [`OpTable::op`].
    pub fn read<S: Store>(
        &self,
        store: &S,
        id: &OpId,
        at: &Location,
    ) -> Result<AcceptedOp, StoreError> {
        let record = store.read(&self.space, at)?;
        let op = SignedOp::decode_stored(&record).map_err(|e| damaged(id, &e.to_string()))?;
        if op.id() != *id {
            return Err(damaged(id, "another op lies there"));
        }
        Ok(AcceptedOp::danger_from_own_store(op))
    }

    /// Returns the ops at one position of a lane, sorted; more than one is an equivocation.
    ///
    /// # Errors
    /// When storage fails.
    pub fn at<S: Store>(&self, store: &S, lane: &Lane, seq: u64) -> Result<Vec<OpId>, StoreError> {
        let ops = self.range(store, lane, seq, seq.checked_add(1), usize::MAX)?;
        Ok(ops.into_iter().map(|(_, id)| id).collect())
    }

    /// Returns at most `limit` ops of a lane with `from <= seq < to`, in order.
    ///
    /// # Errors
    /// When storage fails.
    pub fn range<S: Store>(
        &self,
        store: &S,
        lane: &Lane,
        from: u64,
        to: Option<u64>,
        limit: usize,
    ) -> Result<Vec<(u64, OpId)>, StoreError> {
        let prefix = self.lane_prefix(lane);
        let start = [prefix.as_slice(), &from.to_be_bytes()].concat();
        let end = match to {
            Some(to) => [prefix.as_slice(), &to.to_be_bytes()].concat(),
            None => prefix_end(&prefix),
        };
        let mut found = Vec::new();
        let mut bad = None;
        store.scan(LANE, &start, &end, Direction::Forward, &mut |key, _| {
            match parse_lane_key(key) {
                _ if found.len() >= limit => return ControlFlow::Break(()),
                Some((_, seq, id)) => found.push((seq, id)),
                None => bad = Some(damaged_row()),
            }
            ControlFlow::Continue(())
        })?;
        bad.map_or(Ok(found), Err)
    }

    /// Returns the end of a lane, `None` when it is empty.
    ///
    /// # Errors
    /// When storage fails.
    pub fn lane_head<S: Store>(
        &self,
        store: &S,
        lane: &Lane,
    ) -> Result<Option<LaneHead>, StoreError> {
        let prefix = self.lane_prefix(lane);
        self.last_of(store, &prefix)
    }

    /// Returns the last op of a lane before a position; of several there the least id.
    ///
    /// # Errors
    /// When storage fails.
    pub fn last_before<S: Store>(
        &self,
        store: &S,
        lane: &Lane,
        seq: u64,
    ) -> Result<Option<(u64, OpId)>, StoreError> {
        let prefix = self.lane_prefix(lane);
        let end = [prefix.as_slice(), &seq.to_be_bytes()].concat();
        let mut found: Option<(u64, OpId)> = None;
        store.scan(LANE, &prefix, &end, Direction::Backward, &mut |key, _| {
            match (parse_lane_key(key), found) {
                (Some((_, seq, id)), None) => found = Some((seq, id)),
                (Some((_, seq, id)), Some((last, _))) if seq == last => found = Some((seq, id)),
                _ => return ControlFlow::Break(()),
            }
            ControlFlow::Continue(())
        })?;
        Ok(found)
    }

    /// Returns the ends of all lanes of the control plane or of one channel, by device.
    /// Cost: two seeks for each lane.
    ///
    /// # Errors
    /// When storage fails.
    pub fn lanes<S: Store>(&self, store: &S, scope: &Scope) -> Result<Vec<LaneHead>, StoreError> {
        self.heads_under(store, &self.scope_prefix(scope))
    }

    /// Returns the ends of all lanes of the Space: the control plane first, then channel by channel.
    ///
    /// # Errors
    /// When storage fails.
    pub fn all_lanes<S: Store>(&self, store: &S) -> Result<Vec<LaneHead>, StoreError> {
        self.heads_under(store, &self.no.0.to_be_bytes())
    }

    /// Returns every control op with its lane's device and position, by device and position.
    ///
    /// # Errors
    /// When storage fails.
    pub fn control_ops<S: Store>(&self, store: &S) -> Result<Vec<(Lane, u64, OpId)>, StoreError> {
        let prefix = self.scope_prefix(&Scope::Control);
        let mut found = Vec::new();
        let end = prefix_end(&prefix);
        store.scan(LANE, &prefix, &end, Direction::Forward, &mut |key, _| {
            found.extend(parse_lane_key(key));
            ControlFlow::Continue(())
        })?;
        Ok(found)
    }

    /// Appends an op that waits for a feature, and stages its row.
    pub(crate) fn put_waiting<S: Store>(
        &self,
        store: &mut S,
        op: &SignedOp,
    ) -> Result<(), StoreError> {
        let record = [&[WAITING_MARK][..], &op.encode()].concat();
        let at = store.append(&self.space, &record)?;
        store.put(WAIT, &self.op_key(&op.id()), &at.to_bytes());
        Ok(())
    }

    /// Returns the ops that wait, with the length of each record; damaged ones are left out.
    pub(crate) fn waiting<S: Store>(&self, store: &S) -> Result<Vec<(SignedOp, u64)>, StoreError> {
        let prefix = self.no.0.to_be_bytes();
        let mut rows = Vec::new();
        let end = prefix_end(&prefix);
        store.scan(WAIT, &prefix, &end, Direction::Forward, &mut |_, value| {
            rows.extend(Location::from_bytes(value));
            ControlFlow::Continue(())
        })?;
        let mut ops = Vec::new();
        for at in rows {
            let record = match store.read(&self.space, &at) {
                Ok(record) => record,
                Err(StoreError::Damaged { .. }) => continue,
                Err(error) => return Err(error),
            };
            if let Some((&WAITING_MARK, op)) = record.split_first() {
                ops.extend(SignedOp::decode(op).ok().map(|op| (op, u64::from(at.len))));
            }
        }
        Ok(ops)
    }

    /// Stages the removal of a waiting op's row.
    pub(crate) fn end_waiting<S: Store>(&self, store: &mut S, id: &OpId) {
        store.delete(WAIT, &self.op_key(id));
    }

    fn heads_under<S: Store>(&self, store: &S, prefix: &[u8]) -> Result<Vec<LaneHead>, StoreError> {
        let end = prefix_end(prefix);
        let mut from = prefix.to_vec();
        let mut heads = Vec::new();
        loop {
            let mut next = None;
            store.scan(LANE, &from, &end, Direction::Forward, &mut |key, _| {
                next = Some(parse_lane_key(key));
                ControlFlow::Break(())
            })?;
            let lane = match next {
                None => return Ok(heads),
                Some(None) => return Err(damaged_row()),
                Some(Some((lane, _, _))) => lane,
            };
            let lane_prefix = self.lane_prefix(&lane);
            heads.extend(self.last_of(store, &lane_prefix)?);
            from = prefix_end(&lane_prefix);
        }
    }

    fn last_of<S: Store>(&self, store: &S, prefix: &[u8]) -> Result<Option<LaneHead>, StoreError> {
        let mut head: Option<LaneHead> = None;
        let mut bad = None;
        let end = prefix_end(prefix);
        store.scan(LANE, prefix, &end, Direction::Backward, &mut |key, _| {
            let Some((lane, seq, id)) = parse_lane_key(key) else {
                bad = Some(damaged_row());
                return ControlFlow::Break(());
            };
            match &mut head {
                None => {
                    let ops = vec![id];
                    head = Some(LaneHead { lane, seq, ops });
                }
                Some(head) if head.seq == seq => head.ops.insert(0, id),
                Some(_) => return ControlFlow::Break(()),
            }
            ControlFlow::Continue(())
        })?;
        bad.map_or(Ok(head), Err)
    }

    pub(crate) fn op_key(&self, id: &OpId) -> Vec<u8> {
        [&self.no.0.to_be_bytes()[..], id.as_bytes()].concat()
    }

    /// Plane byte first: control lanes have no channel bytes, and nothing of one plane can be
    /// taken for the other.
    fn scope_prefix(&self, scope: &Scope) -> Vec<u8> {
        let plane = u8::from(*scope != Scope::Control);
        [&self.no.0.to_be_bytes()[..], &[plane], scope.as_bytes()].concat()
    }

    pub(crate) fn lane_prefix(&self, lane: &Lane) -> Vec<u8> {
        let mut key = self.scope_prefix(&lane.scope);
        key.extend_from_slice(lane.device.as_bytes());
        key
    }

    fn lane_key(&self, lane: &Lane, seq: u64, id: &OpId) -> Vec<u8> {
        let mut key = self.lane_prefix(lane);
        key.extend_from_slice(&seq.to_be_bytes());
        key.extend_from_slice(id.as_bytes());
        key
    }
}

fn parse_lane_key(key: &[u8]) -> Option<(Lane, u64, OpId)> {
    let (lane, key) = parse_lane(key)?;
    let (seq, key) = key.split_first_chunk::<8>()?;
    let id = <[u8; 32]>::try_from(key).ok()?;
    Some((lane, u64::from_be_bytes(*seq), OpId::from_bytes(id)))
}

/// Reads the lane that a key begins with; returns what follows too.
pub(crate) fn parse_lane(key: &[u8]) -> Option<(Lane, &[u8])> {
    let (_, key) = key.split_at_checked(2)?;
    let (plane, key) = key.split_first()?;
    let (scope, key) = match plane {
        0 => (Scope::Control, key),
        1 => {
            let (channel, key) = key.split_first_chunk::<16>()?;
            (Scope::Channel(ChannelId::from_bytes(*channel)), key)
        }
        _ => return None,
    };
    let (device, key) = key.split_first_chunk::<32>()?;
    let device = DeviceId::from_bytes(*device);
    Some((Lane { device, scope }, key))
}

fn damaged(id: &OpId, what: &str) -> StoreError {
    StoreError::Damaged {
        what: format!("op {id}: {what}"),
    }
}

fn damaged_row() -> StoreError {
    StoreError::Damaged {
        what: "a lane row".to_owned(),
    }
}
