//! Judging one op whose dependencies are all in the log: S2, a pure function of the op and its causal past.
//!
//! Does not wait, store or remember; [`SpaceLog`](crate::SpaceLog) does. The order of
//! the checks is fixed, so that an op that breaks several rules is refused for the
//! same one everywhere.
//!
//! # Invariants
//! - Nothing here reads a clock, this replica's heads, or ops outside the past.
//! - Content ops are judged by headers alone (B2): a replica that pruned payloads judges alike.

mod commit;
mod content;
mod control;
mod error;
mod finality;
mod permission;
mod quorum;
mod records;
mod rule;

use crate::authority::{Authority, EpochRecord, Rank, View};
use crate::dag::{ControlDag, Past};
use crate::hlc::Hlc;
use crate::ids::{DeviceId, OpId, Scope, SpaceId, UserId};
use crate::kind::Kind;
use crate::op::SignedOp;
use crate::payload::{Payload, Verb, Weight};

pub use commit::{DEVICES_PER_GROUP_MAX, READD_SECS, roster_hash};
pub use error::{AcceptError, Fault};
pub use permission::{default_least, least_to_give, verb};
pub(crate) use records::ControlRecords;
pub use rule::Rule;

/// Most live devices of one person (B14).
pub const DEVICES_PER_USER_MAX: usize = 8;
/// How far an op's time may lie after everything it names, in seconds: 366 days (R2).
pub const JUMP_MAX_SECS: u32 = 366 * 86_400;
/// The span over which R7 counts ops, in seconds.
pub const PACE_SECS: u32 = 60;
/// Most content ops of a lane within [`PACE_SECS`] (R7).
pub const CONTENT_PACE: u64 = 120;
/// Most control ops of a lane within [`PACE_SECS`] (R7).
pub const CONTROL_PACE: u64 = 60;

/// What judging needs of an op that another one names.
#[derive(Clone, Debug)]
pub(crate) struct Facts {
    pub(crate) id: OpId,
    pub(crate) kind: u16,
    pub(crate) user: UserId,
    pub(crate) device: DeviceId,
    pub(crate) scope: Scope,
    pub(crate) seq: u64,
    pub(crate) hlc: Hlc,
    /// Its ctlpast; left empty for control ops, whose past the graph knows.
    pub(crate) past: Past,
}

impl Facts {
    pub(crate) fn of(op: &SignedOp, past: Past) -> Self {
        let h = op.header();
        Self {
            id: op.id(),
            kind: h.kind,
            user: h.user,
            device: h.device,
            scope: h.scope,
            seq: h.seq,
            hlc: h.hlc,
            past,
        }
    }
}

/// One op before its judge, with everything it names looked up.
pub(crate) struct Judge<'a, A: Authority> {
    pub(crate) op: &'a SignedOp,
    pub(crate) back: Option<&'a Facts>,
    pub(crate) prev: &'a [Facts],
    /// The greatest time among all refs.
    pub(crate) floor: Hlc,
    /// When the lane stood [`CONTENT_PACE`] or [`CONTROL_PACE`] ops ago; `None` when it is younger.
    pub(crate) paced: Option<Hlc>,
    /// ctlpast of the op.
    pub(crate) past: &'a Past,
    /// Its fold.
    pub(crate) view: &'a A::View,
    pub(crate) authority: &'a A,
    pub(crate) dag: &'a ControlDag,
    pub(crate) records: &'a ControlRecords,
    /// The rank of the quorum whose act is judged, instead of the author's (A19).
    pub(crate) quorum: Option<Rank>,
}

impl<A: Authority> Judge<'_, A> {
    /// Judges an op that is no Genesis and whose kind needs no feature.
    pub(crate) fn judge(&self, kind: Kind) -> Result<(), AcceptError> {
        let h = self.op.header();
        if kind == Kind::Genesis {
            return Err(AcceptError::BadGenesis {
                detail: "it has a past",
            });
        }
        if kind.is_control() != h.is_control() {
            return Err(AcceptError::WrongScope { kind });
        }
        let payload = self.control_payload(kind)?;
        self.lane_continues()?;
        self.time_follows()?;
        self.view_grows()?;
        let passport = self.passport(payload.as_ref())?;
        let weight = self.author_is_member(passport)?;
        let epoch = self.author_is_in_group(passport)?;
        match &payload {
            Some(payload) => {
                self.permitted(kind, payload, weight)?;
                self.not_too_fast()?;
                self.control_kind(payload, weight)?;
                if let (Payload::Commit(commit), Some(parent)) = (payload, epoch) {
                    self.commit(commit, parent, passport)?;
                }
                self.no_flood(kind)
            }
            None => {
                self.content_permitted(kind, weight)?;
                self.not_too_fast()?;
                self.content_kind(kind, weight)
            }
        }
    }

    /// R8, first half: control payloads parse.
    fn control_payload(&self, kind: Kind) -> Result<Option<Payload>, AcceptError> {
        if !kind.is_control() {
            return Ok(None);
        }
        let Some(bytes) = self.op.payload_bytes() else {
            return Err(AcceptError::PayloadMissing);
        };
        Payload::decode(kind, bytes)
            .map(Some)
            .map_err(AcceptError::Payload)
    }

    fn lane_continues(&self) -> Result<(), AcceptError> {
        let h = self.op.header();
        let continues = match self.back {
            None => h.seq == 0,
            Some(back) => {
                back.device == h.device
                    && back.scope == h.scope
                    && back.seq.checked_add(1) == Some(h.seq)
            }
        };
        if continues {
            Ok(())
        } else {
            Err(AcceptError::BrokenLane { seq: h.seq })
        }
    }

    fn time_follows(&self) -> Result<(), AcceptError> {
        let h = self.op.header();
        let (hlc, floor) = (h.hlc, self.floor);
        if hlc <= floor {
            return Err(AcceptError::NotAfter { hlc, floor });
        }
        // Somebody must be able to wake a Space that slept for a year.
        let may_wake = h.is_control()
            && self
                .view
                .weight(&h.user)
                .is_some_and(|weight| weight >= Weight::ADMIN);
        if hlc > floor.plus_secs(JUMP_MAX_SECS) && !may_wake {
            return Err(AcceptError::TooFarAhead { hlc, floor });
        }
        Ok(())
    }

    /// R3. For control ops it holds by itself: the graph closes their past over `back` (A11).
    fn view_grows(&self) -> Result<(), AcceptError> {
        if self.op.header().is_control() {
            return Ok(());
        }
        let forgotten = self
            .back
            .into_iter()
            .chain(self.prev)
            .find(|dep| !self.past.contains_all(&dep.past));
        match forgotten {
            Some(dep) => Err(AcceptError::Forgets { dep: dep.id }),
            None => Ok(()),
        }
    }

    fn author_is_member(&self, passport: Passport) -> Result<Weight, AcceptError> {
        let h = self.op.header();
        let Some(weight) = self.view.weight(&h.user) else {
            return Err(AcceptError::NotMember { user: h.user });
        };
        let own = passport == Passport::OwnCertificate
            || self.view.device_user(&h.device) == Some(h.user);
        if own {
            Ok(weight)
        } else {
            Err(AcceptError::NotTheirDevice {
                user: h.user,
                device: h.device,
            })
        }
    }

    /// R5. Returns the epoch the op names, when it is one its past knows.
    fn author_is_in_group(&self, passport: Passport) -> Result<Option<&EpochRecord>, AcceptError> {
        let h = self.op.header();
        let known = self
            .authority
            .epoch(&h.epoch)
            .filter(|record| self.dag.in_past(&record.commit, self.past));
        match passport {
            Passport::Identity | Passport::OwnCertificate | Passport::Readd => return Ok(known),
            Passport::Group | Passport::External => {}
        }
        let Some(record) = known else {
            return Err(AcceptError::UnseenEpoch { epoch: h.epoch });
        };
        let inside = record
            .roster
            .get(&h.device)
            .is_some_and(|(user, _)| *user == h.user);
        if inside || passport == Passport::External {
            Ok(known)
        } else {
            Err(AcceptError::NotInRoster {
                device: h.device,
                epoch: h.epoch,
            })
        }
    }

    fn not_too_fast(&self) -> Result<(), AcceptError> {
        match self.paced {
            Some(then) if self.op.header().hlc < then.plus_secs(PACE_SECS) => {
                Err(AcceptError::TooFast)
            }
            _ => Ok(()),
        }
    }

    /// R6: the author's weight suffices for a verb here.
    fn may(&self, verb: Verb, weight: Weight) -> Result<(), AcceptError> {
        let needs = self
            .view
            .least(verb, self.op.header().scope.channel().as_ref());
        self.has(verb, weight, needs)
    }

    fn has(&self, verb: Verb, has: Weight, needs: Weight) -> Result<(), AcceptError> {
        if has >= needs {
            Ok(())
        } else {
            Err(AcceptError::NotPermitted { verb, needs, has })
        }
    }

    fn rank(&self) -> Option<Rank> {
        if self.quorum.is_some() {
            return self.quorum;
        }
        self.view.rank(&self.op.header().user)
    }

    /// R6: the author outranks the target strictly, if the target is a member at all.
    fn outranks(&self, target: &UserId) -> Result<(), AcceptError> {
        if self.quorum.is_some() && self.view.owner_removable() {
            return Ok(());
        }
        let higher = match (self.rank(), self.view.rank(target)) {
            (Some(own), Some(theirs)) => own > theirs,
            (own, None) => own.is_some(),
            (None, Some(_)) => false,
        };
        if higher {
            Ok(())
        } else {
            Err(AcceptError::RankTooLow { target: *target })
        }
    }
}

/// By what right the author's device acts: R4 and R5 ask less of some.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Passport {
    /// It is in the group of its epoch. The rule.
    Group,
    /// It asks to be added again, because it is not.
    Readd,
    /// It comes in, or back, by an external commit of its own (A5).
    External,
    /// The identity key signed the op too (A1).
    Identity,
    /// So it did, and vouches for the device: one being certified, or any that revokes another.
    OwnCertificate,
}

/// Judges the op that founds a Space: exempt from R4–R6, it certifies itself (B1).
pub(crate) fn judge_genesis(op: &SignedOp, space: &SpaceId) -> Result<(), AcceptError> {
    let h = op.header();
    let bad = |detail| Err(AcceptError::BadGenesis { detail });
    if op.space() != *space {
        return Err(AcceptError::OtherSpace { space: op.space() });
    }
    if h.space != SpaceId::ZERO || h.epoch != crate::ids::EpochId::ZERO {
        return bad("it names a space or an epoch");
    }
    if !h.is_control() || h.seq != 0 || h.refs().next().is_some() {
        return bad("it has a past");
    }
    let Some(bytes) = op.payload_bytes() else {
        return Err(AcceptError::PayloadMissing);
    };
    let payload = Payload::decode(Kind::Genesis, bytes).map_err(AcceptError::Payload)?;
    let Payload::Genesis(genesis) = payload else {
        return bad("its payload is of another kind");
    };
    if genesis.kind != crate::payload::SpaceKind::Community {
        return bad("direct spaces are not built yet");
    }
    if genesis.cert.user != h.user || genesis.cert.device != h.device {
        return bad("the certificate is not its author's");
    }
    if !genesis.cert.is_signed() {
        return Err(AcceptError::BadCertificate { device: h.device });
    }
    Ok(())
}
