//! The responder: gives what the other side lacks and may see.

use std::collections::BTreeSet;

use oplog::store::StoreError;
use oplog::{ChannelId, OpId, Scope, SpaceId};

use super::{Stage, Stop, SyncFailure, SyncSession, failed, named_heads, to_items};
use crate::neg::{self, NEG_ITEMS_MAX};
use crate::sync::frame::{Frame, Page, ScopeHave};
use crate::sync::source::{Standing, SyncSource};
use crate::sync::{GIVE_OPS_MAX, LANES_MAX, give};

impl SyncSession {
    pub(super) fn on_question(
        &mut self,
        frame: Frame,
        source: &impl SyncSource,
    ) -> Result<(), Stop> {
        if !matches!(self.stage, Stage::Serving) {
            return Err(SyncFailure::Unexpected("question").into());
        }
        // One question at a time: the last answer is sent behind everything it gave.
        if !self.outgoing.is_sent() {
            return Err(SyncFailure::Greedy.into());
        }
        match frame {
            Frame::CtlHave {
                space, heads, have, ..
            } if have.scope == Scope::Control => self.answer_control(space, &heads, &have, source),
            Frame::ChanHave {
                space,
                scopes,
                page,
                ..
            } => self.answer_content(space, &scopes, page, source),
            Frame::Neg {
                space,
                scope,
                frame,
            } => self.answer_neg(space, scope, &frame, source),
            Frame::WantOps { space, ids, more } => self.answer_want(space, ids, more, source),
            Frame::Open { .. }
            | Frame::Hello { .. }
            | Frame::Auth { .. }
            | Frame::CtlHave { .. }
            | Frame::Ops { .. }
            | Frame::OpsAck
            | Frame::Given { .. }
            | Frame::Done => Err(SyncFailure::Unexpected("question").into()),
        }
    }

    fn answer_control(
        &mut self,
        space: SpaceId,
        their_heads: &[OpId],
        theirs: &ScopeHave,
        source: &impl SyncSource,
    ) -> Result<(), Stop> {
        let standing = self
            .expect_peer(&space)
            .map(|d| source.standing(&space, &d))?;
        let heads = named_heads(source, &space, &standing)?;
        let mut have = ScopeHave {
            scope: Scope::Control,
            reconcile: false,
            lanes: Vec::new(),
        };
        let mut again = standing == Standing::Unknown;
        if heads.is_empty() || heads != their_heads {
            let gap = give::lacking(source, &space, theirs, &standing, GIVE_OPS_MAX)?;
            have = give::summary(source, &space, Scope::Control, &standing)?;
            // An unknown device has nothing to reconcile with: it gives first.
            have.reconcile |= gap.reconcile && standing != Standing::Unknown;
            again |= gap.truncated;
            self.outgoing.ops(space, gap.ids);
        }
        self.outgoing.frame(Frame::CtlHave {
            space,
            heads,
            have,
            again,
        });
        Ok(())
    }

    fn answer_content(
        &mut self,
        space: SpaceId,
        theirs: &[ScopeHave],
        page: Page,
        source: &impl SyncSource,
    ) -> Result<(), Stop> {
        let standing = self
            .expect_peer(&space)
            .map(|d| source.standing(&space, &d))?;
        let mut again = false;
        let mut room = GIVE_OPS_MAX;
        let mut scopes = Vec::new();
        if standing == Standing::Member {
            let named = self.named.entry(space).or_default();
            if page.is_first() {
                named.clear();
            }
            let mut lanes = 0;
            for their in theirs {
                let Some(channel) = their.scope.channel() else {
                    return Err(SyncFailure::Unexpected("scope").into());
                };
                named.insert(channel);
                let gap = give::lacking(source, &space, their, &standing, room)?;
                let mut have = give::summary(source, &space, their.scope, &standing)?;
                have.reconcile |= gap.reconcile;
                lanes += have.lanes.len();
                if lanes > LANES_MAX {
                    have.lanes.clear();
                    have.reconcile = true;
                }
                again |= gap.truncated;
                if !have.reconcile {
                    room -= gap.ids.len().min(room);
                    self.outgoing.ops(space, gap.ids);
                }
                scopes.push(have);
            }
            if page.is_last() {
                let named = self.named.remove(&space).unwrap_or_default();
                again |= self.give_unnamed(&space, &named, room, source)?;
            } else if named.len() > GIVE_OPS_MAX {
                return Err(SyncFailure::Greedy.into());
            }
        }
        self.outgoing.frame(Frame::ChanHave {
            space,
            scopes,
            page,
            again,
            refused: standing != Standing::Member,
        });
        Ok(())
    }

    /// Gives the channels that the peer has nothing of. Returns whether something is left.
    fn give_unnamed(
        &mut self,
        space: &SpaceId,
        named: &BTreeSet<ChannelId>,
        room: usize,
        source: &impl SyncSource,
    ) -> Result<bool, StoreError> {
        let mut room = room;
        for channel in source.channels(space)? {
            if named.contains(&channel) {
                continue;
            }
            let nothing = ScopeHave {
                scope: Scope::Channel(channel),
                reconcile: false,
                lanes: Vec::new(),
            };
            let gap = give::lacking(source, space, &nothing, &Standing::Member, room)?;
            room -= gap.ids.len().min(room);
            self.outgoing.ops(*space, gap.ids);
            if gap.truncated {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn answer_neg(
        &mut self,
        space: SpaceId,
        scope: Scope,
        frame: &[u8],
        source: &impl SyncSource,
    ) -> Result<(), Stop> {
        let standing = self
            .expect_peer(&space)
            .map(|d| source.standing(&space, &d))?;
        let allowed = match standing {
            Standing::Member => true,
            Standing::Removed { .. } => scope == Scope::Control,
            Standing::Unknown => false,
        };
        let times = if allowed {
            give::items(source, &space, scope, &standing, NEG_ITEMS_MAX)?
        } else {
            None
        };
        let answer = match times {
            Some(times) => neg::answer(&to_items(&times)?, frame).map_err(failed)?,
            None => Vec::new(),
        };
        self.outgoing.frame(Frame::Neg {
            space,
            scope,
            frame: answer.into(),
        });
        Ok(())
    }

    fn answer_want(
        &mut self,
        space: SpaceId,
        ids: Vec<OpId>,
        more: bool,
        source: &impl SyncSource,
    ) -> Result<(), Stop> {
        let standing = self
            .expect_peer(&space)
            .map(|d| source.standing(&space, &d))?;
        self.wanted.extend(ids);
        if self.wanted.len() > GIVE_OPS_MAX {
            return Err(SyncFailure::Greedy.into());
        }
        if !more {
            let wanted = core::mem::take(&mut self.wanted);
            let ids = give::in_order(source, &space, wanted, &standing)?;
            self.outgoing.ops(space, ids);
            self.outgoing.frame(Frame::Given { space });
        }
        Ok(())
    }
}
