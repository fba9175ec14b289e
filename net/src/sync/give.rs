//! What the other side lacks, and the queue in which it goes out.

use std::collections::{BTreeMap, VecDeque};

use minicbor::bytes::ByteVec;
use oplog::store::StoreError;
use oplog::{Hlc, Lane, OpId, Scope, SpaceId};

use crate::sync::frame::{Frame, LaneHave, ScopeHave, short};
use crate::sync::source::{LaneState, Standing, SyncSource};
use crate::sync::{BATCH_OPS_MAX, GIVE_OPS_MAX, LANES_MAX, WINDOW};

/// What one side lacks, as far as lanes tell.
#[derive(Debug, Default)]
pub(super) struct Gap {
    /// In the order in which to give them.
    pub(super) ids: Vec<OpId>,
    /// Lanes cannot tell: reconcile, and give nothing before.
    pub(super) reconcile: bool,
    /// There is more than one round gives.
    pub(super) truncated: bool,
}

/// Returns what this node has of a scope, as far as the peer may know.
pub(super) fn summary(
    source: &impl SyncSource,
    space: &SpaceId,
    scope: Scope,
    standing: &Standing,
) -> Result<ScopeHave, StoreError> {
    let mut have = ScopeHave {
        scope,
        reconcile: false,
        lanes: Vec::new(),
    };
    for lane in visible_lanes(source, space, scope, standing)? {
        have.lanes.push(LaneHave {
            device: short(lane.device.as_bytes()),
            min: lane.min,
            max: lane.max,
            head: short(lane.head.as_bytes()),
            dense: lane.dense,
        });
    }
    if have.lanes.len() > LANES_MAX {
        have.lanes.clear();
        have.reconcile = true;
    }
    Ok(have)
}

/// Returns what a peer lacks that has this much of a scope, at most `max` ops of it.
pub(super) fn lacking(
    source: &impl SyncSource,
    space: &SpaceId,
    theirs: &ScopeHave,
    standing: &Standing,
    max: usize,
) -> Result<Gap, StoreError> {
    let mut gap = Gap::default();
    let mine = visible_lanes(source, space, theirs.scope, standing)?;
    let by_device: BTreeMap<[u8; 8], &LaneHave> =
        theirs.lanes.iter().map(|l| (*l.device, l)).collect();
    // Two devices with one short name on either side: lanes cannot tell them apart.
    let mut names: Vec<[u8; 8]> = mine.iter().map(|l| *short(l.device.as_bytes())).collect();
    names.sort_unstable();
    names.dedup();
    gap.reconcile = theirs.reconcile
        || mine.len() > LANES_MAX
        || by_device.len() < theirs.lanes.len()
        || names.len() < mine.len();
    let mut ids: Vec<(Hlc, OpId)> = Vec::new();
    for state in mine {
        if gap.reconcile {
            break;
        }
        let lane = Lane {
            device: state.device,
            scope: theirs.scope,
        };
        let ranges = match by_device.get(&*short(state.device.as_bytes())) {
            None => vec![(state.min, state.max)],
            Some(their) => {
                gap.reconcile = !lanes_agree(source, space, &lane, &state, their)?;
                outside(&state, their)
            }
        };
        for (from, to) in ranges {
            // One more than fits, so that the cut is seen.
            let ops = source.lane_ops(space, &lane, from, to, max + 1)?;
            ids.extend(ops);
        }
        if ids.len() > 4 * GIVE_OPS_MAX {
            keep_oldest(&mut ids, max, &mut gap.truncated);
        }
    }
    if !gap.reconcile {
        keep_oldest(&mut ids, max, &mut gap.truncated);
        gap.ids = ids.into_iter().map(|(_, id)| id).collect();
        gap.ids
            .retain(|id| may_see(source, space, theirs.scope, id, standing));
    }
    Ok(gap)
}

/// Returns the ops of a scope that the peer may see, `None` when there are more than `max`.
pub(super) fn items(
    source: &impl SyncSource,
    space: &SpaceId,
    scope: Scope,
    standing: &Standing,
    max: usize,
) -> Result<Option<BTreeMap<OpId, Hlc>>, StoreError> {
    let ops = source.scope_ops(space, &scope, max + 1)?;
    if ops.len() > max {
        return Ok(None);
    }
    let seen = ops
        .into_iter()
        .filter(|(_, id)| may_see(source, space, scope, id, standing));
    Ok(Some(seen.map(|(hlc, id)| (id, hlc)).collect()))
}

/// Returns these ops in the order in which to give them, without those the peer may not see.
pub(super) fn in_order(
    source: &impl SyncSource,
    space: &SpaceId,
    ids: impl IntoIterator<Item = OpId>,
    standing: &Standing,
) -> Result<Vec<OpId>, StoreError> {
    let mut out = Vec::new();
    for id in ids {
        if let Some((scope, hlc)) = source.locate(space, &id)?
            && may_see(source, space, scope, &id, standing)
        {
            out.push((hlc, id));
        }
    }
    out.sort_unstable();
    out.dedup();
    Ok(out.into_iter().map(|(_, id)| id).collect())
}

/// What waits to be sent: ops and frames, in order.
#[derive(Debug)]
pub(super) struct Outgoing {
    queue: VecDeque<Item>,
    /// Batches without an ack.
    in_flight: usize,
    batch_bytes_max: usize,
}

#[derive(Debug)]
enum Item {
    Op(SpaceId, OpId),
    Frame(Frame),
}

impl Outgoing {
    pub(super) const fn new(batch_bytes_max: usize) -> Self {
        Self {
            queue: VecDeque::new(),
            in_flight: 0,
            batch_bytes_max,
        }
    }

    pub(super) fn ops(&mut self, space: SpaceId, ids: Vec<OpId>) {
        self.queue
            .extend(ids.into_iter().map(|id| Item::Op(space, id)));
    }

    pub(super) fn frame(&mut self, frame: Frame) {
        self.queue.push_back(Item::Frame(frame));
    }

    /// Notes an ack; false when nothing was in flight.
    pub(super) const fn acked(&mut self) -> bool {
        let expected = self.in_flight > 0;
        self.in_flight = self.in_flight.saturating_sub(1);
        expected
    }

    pub(super) fn is_idle(&self) -> bool {
        self.queue.is_empty() && self.in_flight == 0
    }

    /// Returns whether everything was sent, acked or not.
    pub(super) fn is_sent(&self) -> bool {
        self.queue.is_empty()
    }

    /// Returns what may go out now.
    pub(super) fn pump(&mut self, source: &impl SyncSource) -> Result<Vec<Frame>, StoreError> {
        let mut out = Vec::new();
        loop {
            match self.queue.front() {
                None => return Ok(out),
                Some(Item::Frame(_)) => {
                    if let Some(Item::Frame(frame)) = self.queue.pop_front() {
                        out.push(frame);
                    }
                }
                Some(Item::Op(..)) if self.in_flight >= WINDOW => return Ok(out),
                Some(Item::Op(space, _)) => {
                    let space = *space;
                    let ops = self.batch(source, &space)?;
                    if !ops.is_empty() {
                        self.in_flight += 1;
                        out.push(Frame::Ops { space, ops });
                    }
                }
            }
        }
    }

    fn batch(
        &mut self,
        source: &impl SyncSource,
        space: &SpaceId,
    ) -> Result<Vec<ByteVec>, StoreError> {
        let mut ops: Vec<ByteVec> = Vec::new();
        let mut bytes = 0;
        while let Some(Item::Op(of, id)) = self.queue.front() {
            if of != space || ops.len() == BATCH_OPS_MAX {
                break;
            }
            if let Some(op) = source.op(space, id)? {
                bytes += op.len();
                if bytes > self.batch_bytes_max && !ops.is_empty() {
                    break;
                }
                ops.push(op.into());
            }
            self.queue.pop_front();
        }
        Ok(ops)
    }
}

/// Sorts by time, so that what an op refers to goes before it, and cuts what one round cannot give.
fn keep_oldest(ids: &mut Vec<(Hlc, OpId)>, max: usize, truncated: &mut bool) {
    ids.sort_unstable();
    if ids.len() > max {
        ids.truncate(max);
        *truncated = true;
    }
}

/// Returns the parts of our lane outside of theirs.
fn outside(mine: &LaneState, their: &LaneHave) -> Vec<(u64, u64)> {
    let mut out = Vec::new();
    if mine.min < their.min {
        out.push((mine.min, mine.max.min(their.min - 1)));
    }
    if mine.max > their.max {
        out.push((mine.min.max(their.max + 1), mine.max));
    }
    out
}

/// Returns whether both sides hold one chain without gaps, as far as this side can see.
fn lanes_agree(
    source: &impl SyncSource,
    space: &SpaceId,
    lane: &Lane,
    mine: &LaneState,
    their: &LaneHave,
) -> Result<bool, StoreError> {
    if !mine.dense || !their.dense || their.min > their.max {
        return Ok(false);
    }
    // Their head binds their whole chain; where it is above ours, they check our head.
    if their.max < mine.min || their.max > mine.max {
        return Ok(true);
    }
    let here = source.op_at(space, lane, their.max)?;
    Ok(here.is_some_and(|id| short(id.as_bytes()) == their.head))
}

fn may_see(
    source: &impl SyncSource,
    space: &SpaceId,
    scope: Scope,
    id: &OpId,
    standing: &Standing,
) -> bool {
    match (standing, scope) {
        (Standing::Member, _) => true,
        (Standing::Removed { at }, Scope::Control) => source.in_control_past(space, at, id),
        (Standing::Removed { .. }, Scope::Channel(_)) | (Standing::Unknown, _) => false,
    }
}

/// Returns our lanes of a scope, each up to what the peer may see.
fn visible_lanes(
    source: &impl SyncSource,
    space: &SpaceId,
    scope: Scope,
    standing: &Standing,
) -> Result<Vec<LaneState>, StoreError> {
    match (standing, scope) {
        (Standing::Member, _) => source.lanes(space, &scope),
        (Standing::Removed { .. }, Scope::Control) => {
            let mut out = Vec::new();
            for lane in source.lanes(space, &scope)? {
                out.extend(cut_lane(source, space, scope, lane, standing)?);
            }
            Ok(out)
        }
        (Standing::Removed { .. }, Scope::Channel(_)) | (Standing::Unknown, _) => Ok(Vec::new()),
    }
}

/// Cuts a lane to what the peer may see: a past holds the beginning of every lane, so the end of
/// it is found by halving.
fn cut_lane(
    source: &impl SyncSource,
    space: &SpaceId,
    scope: Scope,
    state: LaneState,
    standing: &Standing,
) -> Result<Option<LaneState>, StoreError> {
    let lane = Lane {
        device: state.device,
        scope,
    };
    let seen = |seq: u64| -> Result<Option<OpId>, StoreError> {
        let id = source.op_at(space, &lane, seq)?;
        Ok(id.filter(|id| may_see(source, space, scope, id, standing)))
    };
    let Some(mut head) = seen(state.min)? else {
        return Ok(None);
    };
    let (mut low, mut high) = (state.min, state.max);
    while low < high {
        let middle = low + (high - low).div_ceil(2);
        match seen(middle)? {
            Some(id) => (low, head) = (middle, id),
            None => high = middle - 1,
        }
    }
    Ok(Some(LaneState {
        max: low,
        head,
        ..state
    }))
}
