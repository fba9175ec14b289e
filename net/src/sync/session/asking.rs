//! The initiator: control plane, lanes, repair and ids, one question at a time.

use std::collections::VecDeque;

use oplog::{ChannelId, Hlc, OpId, Scope, SpaceId};

use super::{
    Asked, Round, Stage, Stop, SyncFailure, SyncSession, Task, failed, named_heads, to_items,
};
use crate::neg::{NEG_ITEMS_MAX, NegStep, Reconciler};
use crate::sync::frame::{Frame, Page, ScopeHave};
use crate::sync::source::{Standing, SyncSource};
use crate::sync::{GIVE_OPS_MAX, LANES_MAX, ROUNDS_MAX, SCOPES_MAX, WANT_IDS_MAX, give};

impl SyncSession {
    /// Asks the next question.
    pub(super) fn next_task(&mut self, source: &impl SyncSource) -> Result<(), Stop> {
        while let Some(task) = self.tasks.pop_front() {
            let asked = match task {
                Task::Control(round) => self.ask_control(round, source)?,
                Task::Neg(space, scope) => self.ask_neg(space, scope, source)?,
                Task::Want(space, ids) => Some(self.ask_ops(space, ids)),
                Task::Content(round) => {
                    // Lanes of channels are content too: only members learn of them.
                    if self.standing(source, &round.space) == Standing::Member {
                        let channels = source.channels(&round.space)?.into();
                        let page = Page::First;
                        self.tasks
                            .push_front(Task::ContentPage(round, channels, page));
                    }
                    None
                }
                Task::ContentPage(round, channels, page) => {
                    Some(self.ask_content(round, channels, page, source)?)
                }
            };
            if let Some(asked) = asked {
                self.stage = Stage::Asking(asked);
                return Ok(());
            }
        }
        self.outgoing.frame(Frame::Done);
        self.stage = Stage::Closing;
        Ok(())
    }

    fn ask_control(
        &mut self,
        mut round: Round,
        source: &impl SyncSource,
    ) -> Result<Option<Asked>, Stop> {
        let space = round.space;
        let standing = self.standing(source, &space);
        let heads = named_heads(source, &space, &standing)?;
        let have = give::summary(source, &space, Scope::Control, &standing)?;
        // A device that is unknown here will show its papers; then there is more to give it.
        round.again = standing == Standing::Unknown;
        let frame = Frame::CtlHave {
            space,
            heads: heads.clone(),
            have,
            again: false,
        };
        round.note(&frame);
        self.outgoing.frame(frame);
        Ok(Some(Asked::Control(round, heads)))
    }

    fn ask_content(
        &mut self,
        mut round: Round,
        mut channels: VecDeque<ChannelId>,
        page: Page,
        source: &impl SyncSource,
    ) -> Result<Asked, Stop> {
        let space = round.space;
        let mut scopes: Vec<ScopeHave> = Vec::new();
        let mut lanes = 0;
        while let Some(channel) = channels.front() {
            let scope = Scope::Channel(*channel);
            let have = give::summary(source, &space, scope, &Standing::Member)?;
            lanes += have.lanes.len();
            if scopes.len() == SCOPES_MAX || (lanes > LANES_MAX && !scopes.is_empty()) {
                break;
            }
            scopes.push(have);
            channels.pop_front();
        }
        let last = channels.is_empty();
        let asked = scopes.iter().map(|s| s.scope).collect();
        let frame = Frame::ChanHave {
            space,
            scopes,
            page: Page::new(page.is_first(), last),
            again: false,
            refused: false,
        };
        round.note(&frame);
        self.outgoing.frame(frame);
        Ok(Asked::Content {
            round,
            rest: channels,
            asked,
            last,
        })
    }

    fn ask_neg(
        &mut self,
        space: SpaceId,
        scope: Scope,
        source: &impl SyncSource,
    ) -> Result<Option<Asked>, Stop> {
        let standing = self.standing(source, &space);
        let times = give::items(source, &space, scope, &standing, NEG_ITEMS_MAX)?;
        let Some(times) = times else {
            // Too many to reconcile at once: left to lanes, and to another peer.
            return Ok(None);
        };
        let (reconciler, frame) = Reconciler::start(to_items(&times)?).map_err(failed)?;
        self.outgoing.frame(Frame::Neg {
            space,
            scope,
            frame: frame.into(),
        });
        Ok(Some(Asked::Neg {
            space,
            scope,
            reconciler,
            times,
        }))
    }

    fn ask_ops(&mut self, space: SpaceId, mut ids: VecDeque<OpId>) -> Asked {
        loop {
            let page: Vec<OpId> = ids.drain(..ids.len().min(WANT_IDS_MAX)).collect();
            let more = !ids.is_empty();
            self.outgoing.frame(Frame::WantOps {
                space,
                ids: page,
                more,
            });
            if !more {
                return Asked::Want(space);
            }
        }
    }

    pub(super) fn on_answer(&mut self, frame: Frame, source: &impl SyncSource) -> Result<(), Stop> {
        let Stage::Asking(asked) = core::mem::replace(&mut self.stage, Stage::Closing) else {
            return Err(SyncFailure::Unexpected("answer").into());
        };
        match (asked, frame) {
            (
                Asked::Control(mut round, my_heads),
                Frame::CtlHave {
                    space,
                    heads,
                    have,
                    again,
                },
            ) if space == round.space && have.scope == Scope::Control => {
                round.again |= again;
                let same = !heads.is_empty() && heads == my_heads;
                round.note(&Frame::CtlHave {
                    space,
                    heads,
                    have: have.clone(),
                    again,
                });
                if !same {
                    let mut room = GIVE_OPS_MAX;
                    self.give_or_reconcile(&mut round, &have, &mut room, source)?;
                }
                self.end_round(round, Task::Control);
            }
            (
                Asked::Content {
                    mut round,
                    rest,
                    asked,
                    last,
                },
                Frame::ChanHave {
                    space,
                    scopes,
                    page,
                    again,
                    refused,
                },
            ) if space == round.space => {
                round.again |= again;
                round.note(&Frame::ChanHave {
                    space,
                    scopes: scopes.clone(),
                    page,
                    again,
                    refused,
                });
                let mut room = GIVE_OPS_MAX;
                for have in &scopes {
                    if !asked.contains(&have.scope) {
                        return Err(SyncFailure::Unexpected("channel").into());
                    }
                    self.give_or_reconcile(&mut round, have, &mut room, source)?;
                }
                if refused {
                    // Not a member in the peer's eyes: there is nothing more to ask.
                } else if last {
                    self.end_round(round, Task::Content);
                } else {
                    let next = Task::ContentPage(round, rest, Page::Middle);
                    self.tasks.push_front(next);
                }
            }
            (
                Asked::Neg {
                    space,
                    scope,
                    mut reconciler,
                    times,
                },
                Frame::Neg {
                    space: of,
                    scope: part,
                    frame,
                },
            ) if space == of && scope == part => {
                if frame.is_empty() {
                    return self.next_task(source);
                }
                match reconciler.step(&frame).map_err(failed)? {
                    NegStep::Send(next) => {
                        self.outgoing.frame(Frame::Neg {
                            space,
                            scope,
                            frame: next.into(),
                        });
                        self.stage = Stage::Asking(Asked::Neg {
                            space,
                            scope,
                            reconciler,
                            times,
                        });
                        return Ok(());
                    }
                    NegStep::Done { have, need } => {
                        let mut give: Vec<(Hlc, OpId)> = have
                            .into_iter()
                            .map(|id| OpId::from_bytes(*id.as_bytes()))
                            .filter_map(|id| times.get(&id).map(|hlc| (*hlc, id)))
                            .collect();
                        give.sort_unstable();
                        self.outgoing
                            .ops(space, give.into_iter().map(|(_, id)| id).collect());
                        let need: VecDeque<OpId> = need
                            .into_iter()
                            .map(|id| OpId::from_bytes(*id.as_bytes()))
                            .take(GIVE_OPS_MAX)
                            .collect();
                        if !need.is_empty() {
                            self.tasks.push_front(Task::Want(space, need));
                        }
                    }
                }
            }
            (Asked::Want(space), Frame::Given { space: of }) if space == of => {}
            _ => return Err(SyncFailure::Unexpected("answer").into()),
        }
        self.next_task(source)
    }

    /// Gives what lanes tell, as far as there is room, or plans a reconciliation where they cannot.
    fn give_or_reconcile(
        &mut self,
        round: &mut Round,
        theirs: &ScopeHave,
        room: &mut usize,
        source: &impl SyncSource,
    ) -> Result<(), Stop> {
        let standing = self.standing(source, &round.space);
        let gap = give::lacking(source, &round.space, theirs, &standing, *room)?;
        round.again |= gap.truncated;
        *room -= gap.ids.len().min(*room);
        if gap.reconcile {
            self.tasks.push_front(Task::Neg(round.space, theirs.scope));
        } else {
            self.outgoing.ops(round.space, gap.ids);
        }
        Ok(())
    }

    /// Plans another pass when something was left, and after the control plane, the content.
    fn end_round(&mut self, round: Round, same: fn(Round) -> Task) {
        let control = matches!(same(round.clone()), Task::Control(_));
        let moved = round.now != round.before;
        let next = if round.again && moved && round.number < ROUNDS_MAX {
            same(round.next())
        } else if control {
            Task::Content(Round::first(round.space))
        } else {
            return;
        };
        // Behind reconciliations of this Space, before the next Space.
        let at = self
            .tasks
            .iter()
            .position(|task| !matches!(task, Task::Neg(..) | Task::Want(..)))
            .unwrap_or(self.tasks.len());
        self.tasks.insert(at, next);
    }
}
