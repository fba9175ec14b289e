//! Writing ops: the header that acceptance will take.
//!
//! Fills in what follows from the log (position, `back`, control heads, time) and
//! says when something must come first. Who may do what is left to acceptance,
//! which judges own ops like any other.

use crate::accept::{CONTENT_PACE, CONTROL_PACE, Facts, PACE_SECS};
use crate::authority::View;
use crate::dag::Past;
use crate::header::{CONTENT_CTL_REFS_MAX, Header, REFS_MAX};
use crate::hlc::{Hlc, Timestamp};
use crate::ids::{DeviceId, EpochId, Lane, OpId, Scope, SpaceId, UserId};
use crate::kind::Kind;
use crate::log::{LaneTime, SpaceLog};
use crate::store::{Store, StoreError};

/// Above so many control heads a client writes a Merge even if nothing forces it (B2).
pub const MERGE_ABOVE: usize = 12;

/// Everything from which a header follows. [`SpaceLog::draft`] fills it from a log.
#[derive(Clone, Debug)]
pub struct Authoring {
    /// The Space.
    pub space: SpaceId,
    /// Who writes.
    pub user: UserId,
    /// With which device.
    pub device: DeviceId,
    /// Where.
    pub scope: Scope,
    /// The last op of the device's lane there.
    pub head: Option<LaneEnd>,
    /// The control heads, with their times.
    pub ctl: Vec<(OpId, Hlc)>,
    /// The content ops that it refers to, with their times.
    pub prev: Vec<(OpId, Hlc)>,
    /// The epoch in which it is written: the canonical tip.
    pub epoch: EpochId,
    /// The wall clock.
    pub now: Timestamp,
}

/// The last op of a lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LaneEnd {
    /// The op.
    pub id: OpId,
    /// Its position.
    pub seq: u64,
    /// Its time.
    pub hlc: Hlc,
}

/// What must come before an op can be written.
#[derive(Debug, thiserror::Error)]
pub enum DraftError {
    /// There are more control heads than the op may name: write a Merge first.
    #[error("{heads} control heads: write a merge first")]
    MergeFirst {
        /// How many there are.
        heads: usize,
    },
    /// It would refer to more than 16 content ops.
    #[error("{refs} content references, at most 16 allowed")]
    TooManyRefs {
        /// How many.
        refs: usize,
    },
    /// It refers to an op that is not in the log.
    #[error("{op} is not in the log")]
    Missing {
        /// Which.
        op: OpId,
    },
    /// The lane is too fast (R7): write later.
    #[error("the lane is too fast")]
    TooFast {
        /// When the op may be written.
        until: Timestamp,
    },
    /// The own lane has two ends: this device was cloned or restored, and must stop (B11).
    #[error("this device's lane has forked")]
    Forked {
        /// The ends.
        heads: Vec<OpId>,
    },
    /// The end of the own lane, or something that it must name, is damaged or not here: it has to come
    /// back first, or two ops would stand at one place.
    #[error("{op} is damaged or gone and has to be fetched again first")]
    Lost {
        /// Which op.
        op: OpId,
    },
    /// Storage failed.
    #[error("cannot read the log")]
    Store(#[from] StoreError),
}

impl Authoring {
    /// Builds the header of an op of this kind; signing fills in the payload's hash and length.
    ///
    /// A Merge takes the first 16 heads when there are more, so that merging again ends it.
    ///
    /// # Errors
    /// When it would name more than it may.
    pub fn header(&self, kind: Kind) -> Result<Header, DraftError> {
        let max = if kind.is_control() {
            REFS_MAX
        } else {
            CONTENT_CTL_REFS_MAX
        };
        let mut ctl: Vec<OpId> = self.ctl.iter().map(|(id, _)| *id).collect();
        ctl.sort_unstable();
        ctl.dedup();
        if ctl.len() > max && kind != Kind::Merge {
            return Err(DraftError::MergeFirst { heads: ctl.len() });
        }
        ctl.truncate(max);
        let mut prev: Vec<OpId> = self.prev.iter().map(|(id, _)| *id).collect();
        prev.sort_unstable();
        prev.dedup();
        if prev.len() > REFS_MAX {
            return Err(DraftError::TooManyRefs { refs: prev.len() });
        }
        let times = self.ctl.iter().chain(&self.prev).map(|(_, hlc)| *hlc);
        let last = self.head.map_or(Hlc::ZERO, |head| head.hlc);
        Ok(Header {
            space: self.space,
            kind: kind.number(),
            user: self.user,
            device: self.device,
            scope: self.scope,
            seq: self.head.map_or(0, |head| head.seq + 1),
            back: self.head.map(|head| head.id),
            ctl,
            prev,
            epoch: self.epoch,
            hlc: Hlc::tick(self.now, last, times),
            wall: self.now,
            ..Header::blank()
        })
    }

    /// Builds the header of the op that founds a Space: it names no Space, epoch or other op.
    #[must_use]
    pub fn genesis(user: UserId, device: DeviceId, now: Timestamp) -> Header {
        Header {
            kind: Kind::Genesis.number(),
            user,
            device,
            hlc: Hlc::tick(now, Hlc::ZERO, []),
            wall: now,
            ..Header::blank()
        }
    }
}

/// What somebody wants to write.
#[derive(Clone, Debug)]
pub struct Intent<'a> {
    /// Who.
    pub user: UserId,
    /// With which device.
    pub device: DeviceId,
    /// What.
    pub kind: Kind,
    /// Where.
    pub scope: Scope,
    /// About which content ops; for kinds with a target exactly that.
    pub prev: &'a [OpId],
    /// In which epoch: the canonical tip.
    pub epoch: EpochId,
    /// When.
    pub now: Timestamp,
}

impl<V: View> SpaceLog<V> {
    /// Builds the header of an op that continues this log.
    ///
    /// # Errors
    /// What must come first, or that storage failed.
    pub fn draft<S: Store>(&self, intent: &Intent<'_>, store: &S) -> Result<Header, DraftError> {
        let lane = Lane {
            device: intent.device,
            scope: intent.scope,
        };
        let times = |ids: &[OpId]| {
            let timed = ids.iter().map(|id| match self.time_of(id, store)? {
                Some(hlc) => Ok((*id, hlc)),
                None => Err(self.absent(id, store)?),
            });
            timed.collect::<Result<Vec<_>, DraftError>>()
        };
        let head = self.lane_end(&lane, store)?;
        let authoring = Authoring {
            space: self.space(),
            user: intent.user,
            device: intent.device,
            scope: intent.scope,
            head,
            ctl: times(self.dag().heads())?,
            prev: times(intent.prev)?,
            epoch: intent.epoch,
            now: intent.now,
        };
        let header = authoring.header(intent.kind)?;
        if let Some(head) = head {
            self.pace(&header, &head, store)?;
        }
        Ok(header)
    }

    fn lane_end<S: Store>(&self, lane: &Lane, store: &S) -> Result<Option<LaneEnd>, DraftError> {
        if let Some(ends) = self.branches().get(lane) {
            let heads = ends.iter().map(|(_, id)| *id).collect();
            return Err(DraftError::Forked { heads });
        }
        let holdback = self.holdback();
        let head = self.table().lane_head(store, lane)?;
        // It ends beyond what is here. What is missing is named, not what is here.
        if let Some(held) = holdback.beyond(lane, head.as_ref().map(|head| head.seq)) {
            let op = holdback.waits_for(&held);
            return Err(DraftError::Lost { op });
        }
        let Some(head) = head else {
            return Ok(None);
        };
        let [id] = head.ops.as_slice() else {
            return Err(DraftError::Forked { heads: head.ops });
        };
        if self.lost().contains_key(id) {
            return Err(DraftError::Lost { op: *id });
        }
        // Held, it waits for one that is not here; it is the end all the same.
        if holdback.contains(id) {
            let op = holdback.waits_for(id);
            return Err(DraftError::Lost { op });
        }
        match self.time_of(id, store)? {
            Some(hlc) => Ok(Some(LaneEnd {
                id: *id,
                seq: head.seq,
                hlc,
            })),
            None => Err(self.absent(id, store)?),
        }
    }

    /// Why an op that must be named has no time.
    fn absent<S: Store>(&self, id: &OpId, store: &S) -> Result<DraftError, StoreError> {
        let here = self.lost().contains_key(id) || self.table().contains(store, id)?;
        Ok(if here {
            DraftError::Lost { op: *id }
        } else {
            DraftError::Missing { op: *id }
        })
    }

    fn pace<S: Store>(&self, header: &Header, head: &LaneEnd, store: &S) -> Result<(), DraftError> {
        let pace = if header.is_control() {
            CONTROL_PACE
        } else {
            CONTENT_PACE
        };
        let Some(seq) = header.seq.checked_sub(pace) else {
            return Ok(());
        };
        let last = Facts {
            id: head.id,
            kind: header.kind,
            user: header.user,
            device: header.device,
            scope: header.scope,
            seq: head.seq,
            hlc: head.hlc,
            past: Past::default(),
        };
        match self.lane_time(&last, seq, store)? {
            LaneTime::Lost(op) => Err(DraftError::Lost { op }),
            LaneTime::At(then) if header.hlc < then.plus_secs(PACE_SECS) => {
                Err(DraftError::TooFast {
                    // Rounded up, so that waiting until then is enough.
                    until: then.plus_secs(PACE_SECS).to_wall().plus_ms(1),
                })
            }
            LaneTime::At(_) | LaneTime::Open => Ok(()),
        }
    }
}
