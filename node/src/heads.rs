//! The ends of lanes: what we tell of ours, what those of others say about what they or we lack.
//!
//! A lane is told of by its last op, one that has forked by the last op of each branch (B11). A
//! position alone would not do: of two branches of one length each side would think it had all.
//!
//! # Invariants
//! - What is told is only what is here: a lane with a gap is told of up to the gap.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use oplog::store::{Store, StoreError};
use oplog::{DeviceId, Lane, OpId, VerifiedOp};

use crate::message::{HAVE_LANES_MAX, Head8, LaneHead, head8};
use crate::space::Space;

/// How far below a position others are given a branch they do not know, when nobody knows where it
/// begins. Guess: a restored copy is soon noticed; what is deeper is asked for by id.
const LOOK_BACK: u64 = 64;

/// Most ops that somebody is given of their own lanes at once and that only wait here: as many as wait of
/// one device.
const GIVE_ASIDE_MAX: usize = 500;

/// By lane, where it ends.
pub(crate) type LaneEnds<T> = BTreeMap<Lane, Vec<(u64, T)>>;

/// Sorts what somebody told by lane.
pub(crate) fn by_lane(heads: &[LaneHead]) -> LaneEnds<Head8> {
    let mut lanes = LaneEnds::<Head8>::new();
    for head in heads {
        let ends = lanes.entry(head.lane()).or_default();
        ends.push((head.seq, head.head8));
    }
    lanes
}

/// What we tell of our lanes, at most as much as one message lists.
pub(crate) fn told(ends: &LaneEnds<OpId>) -> Vec<LaneHead> {
    let mut heads: Vec<LaneHead> = ends
        .iter()
        .flat_map(|(lane, ends)| ends.iter().map(move |end| (lane, end)))
        .map(|(lane, (seq, id))| LaneHead {
            device: lane.device,
            scope: lane.scope,
            seq: *seq,
            head8: head8(id),
        })
        .take(HAVE_LANES_MAX)
        .collect();
    heads.sort_unstable();
    heads
}

/// Whether somebody told just these ends, in the order in which [`told`] tells them.
pub(crate) fn is_told(ends: &LaneEnds<OpId>, heads: &[LaneHead]) -> bool {
    let ends = ends
        .iter()
        .flat_map(|(lane, ends)| ends.iter().map(move |end| (lane, end)));
    ends.map(|(lane, (seq, id))| (*lane, *seq, head8(id)))
        .eq(heads.iter().map(|h| (h.lane(), h.seq, h.head8)))
}

impl Space {
    /// Returns where every lane ends that we hold.
    pub(crate) fn lane_ends<S: Store>(&self, store: &S) -> Result<Arc<LaneEnds<OpId>>, StoreError> {
        let heads = self.log.heads(store)?;
        if self.log.lost().is_empty() && self.log.branches().is_empty() {
            return Ok(heads);
        }
        let mut gaps: BTreeMap<Lane, u64> = BTreeMap::new();
        for (lane, seq) in self.log.lost().values().flatten() {
            let gap = gaps.entry(*lane).or_insert(*seq);
            *gap = (*gap).min(*seq);
        }
        // Where an op lay that turned out to be damaged is not always known: at an end it shows.
        let lost = |id: &OpId| self.log.lost().contains_key(id);
        for (lane, ends) in heads.iter() {
            for (seq, _) in ends.iter().filter(|(_, id)| lost(id)) {
                let gap = gaps.entry(*lane).or_insert(*seq);
                *gap = (*gap).min(*seq);
            }
        }
        let mut ends = LaneEnds::<OpId>::new();
        for (lane, head) in heads.iter() {
            let own: Vec<(u64, OpId)> = match (gaps.get(lane), self.log.branches().get(lane)) {
                (Some(gap), _) => {
                    let mut before = self.table.last_before(store, lane, *gap)?;
                    while let Some((seq, _)) = before.filter(|(_, id)| lost(id)) {
                        before = self.table.last_before(store, lane, seq)?;
                    }
                    before.into_iter().collect()
                }
                (None, Some(branches)) => branches.iter().copied().collect(),
                (None, None) => head.clone(),
            };
            if !own.is_empty() {
                ends.insert(*lane, own);
            }
        }
        Ok(Arc::new(ends))
    }

    /// Returns whether somebody holds an op of a lane that we do not.
    pub(crate) fn lacks_of<S: Store>(
        &self,
        store: &S,
        lane: &Lane,
        ours: &[(u64, OpId)],
        theirs: &[(u64, Head8)],
    ) -> Result<bool, StoreError> {
        for (seq, start) in theirs {
            let same = |(s, id): &(u64, OpId)| s == seq && head8(id) == *start;
            if !ours.iter().any(same) && !self.holds(store, lane, *seq, start)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Returns the ops of a device that wait here and lie beyond what it tells of its own lanes, at most
    /// [`GIVE_ASIDE_MAX`], oldest first: it has lost them.
    pub(crate) fn lost_by(&self, device: &DeviceId, theirs: &[LaneHead]) -> BTreeSet<OpId> {
        let mut aside = self.log.aside_of(device).peekable();
        if aside.peek().is_none() {
            return BTreeSet::new();
        }
        let theirs = by_lane(theirs);
        let beyond = |op: &&VerifiedOp| {
            let lane = op.header().lane();
            let ends = theirs.get(&lane).into_iter().flatten();
            ends.map(|(seq, _)| *seq).max() < Some(op.header().seq)
        };
        let lost = aside.filter(beyond).take(GIVE_ASIDE_MAX);
        lost.map(|op| op.id()).collect()
    }

    /// Returns ops of a lane that somebody lacks, at most so many. Where their ends name nothing that
    /// we know, they may have more of the same branch, or another one.
    pub(crate) fn to_give<S: Store>(
        &self,
        store: &S,
        lane: &Lane,
        ours: &[(u64, OpId)],
        theirs: &[(u64, Head8)],
        limit: usize,
    ) -> Result<Vec<OpId>, StoreError> {
        let told = |seq: u64, id: &OpId| theirs.contains(&(seq, head8(id)));
        if ours.iter().all(|(seq, id)| told(*seq, id)) {
            return Ok(Vec::new());
        }
        let mut known: Option<u64> = None;
        for (seq, start) in theirs {
            if self.holds(store, lane, *seq, start)? {
                known = known.max(Some(*seq));
            }
        }
        let lowest = theirs.iter().map(|(seq, _)| *seq).min();
        let highest = theirs.iter().map(|(seq, _)| *seq).max();
        let from = match (known, lowest) {
            (Some(known), _) => known.saturating_add(1),
            (None, None) => 0,
            (None, Some(lowest)) => lowest.saturating_sub(LOOK_BACK),
        };
        if let [(top, _)] = ours
            && !self.log.branches().contains_key(lane)
        {
            // They are ahead: once we have what they have, it shows whether they lack anything.
            if known.is_none() && highest.is_some_and(|highest| highest > *top) {
                return Ok(Vec::new());
            }
            let ops = self
                .table
                .range(store, lane, from, Some(top.saturating_add(1)), limit)?;
            return Ok(ops.into_iter().map(|(_, id)| id).collect());
        }
        let mut give = Vec::new();
        let mut seen = BTreeSet::new();
        for end in ours {
            let mut at = Some(*end);
            while let Some((seq, id)) = at.take() {
                let shared = seq < from && (known.is_none() || self.is_lone(store, lane, seq)?);
                if give.len() >= limit || told(seq, &id) || shared || !seen.insert(id) {
                    break;
                }
                give.push(id);
                let back = self.op(store, &id)?.and_then(|op| op.header().back);
                at = seq.checked_sub(1).zip(back);
            }
        }
        Ok(give)
    }

    /// Whether an op stands at this position whose id begins so.
    fn holds<S: Store>(
        &self,
        store: &S,
        lane: &Lane,
        seq: u64,
        start: &Head8,
    ) -> Result<bool, StoreError> {
        let here = self.table.at(store, lane, seq)?;
        let lost = self.log.lost();
        Ok(here
            .iter()
            .any(|id| head8(id) == *start && !lost.contains_key(id)))
    }

    fn is_lone<S: Store>(&self, store: &S, lane: &Lane, seq: u64) -> Result<bool, StoreError> {
        Ok(self.table.at(store, lane, seq)?.len() <= 1)
    }
}
