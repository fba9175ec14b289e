//! The state machine of one session.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use oplog::hash::H;
use oplog::store::StoreError;
use oplog::{ChannelId, CodecError, DeviceId, Digest, Hlc, OpId, Scope, SpaceId};
use rand_core::CryptoRng;

use crate::neg::{self, Items, NEG_ITEMS_MAX, NegError, NegStep, Reconciler};
use crate::sync::frame::{Frame, Page, SYNC_VERSION, Salted, ScopeHave, is_malformed};
use crate::sync::give::{self, Outgoing};
use crate::sync::handshake::{Handshake, Role, SyncKey};
use crate::sync::source::{Standing, SyncSource};
use crate::sync::{
    BATCH_BYTES_MAX, GIVE_OPS_MAX, HEADS_MAX, LANES_MAX, ROUNDS_MAX, SCOPES_MAX, WANT_IDS_MAX,
};

/// What a session starts from.
#[derive(Clone, Debug)]
pub struct SyncSetup {
    /// Which side this is.
    pub role: Role,
    /// What names the channel on both ends alike, such as both peer ids; a session that somebody
    /// forwards between two channels then fails. Empty when the channel has no name.
    pub binding: Vec<u8>,
    /// Keys of all retained epochs.
    pub keys: Vec<SyncKey>,
    /// Most bytes of ops in one batch; less than [`BATCH_BYTES_MAX`] where frames must fit elsewhere.
    pub batch_bytes_max: usize,
}

impl SyncSetup {
    /// A session over a stream.
    #[must_use]
    pub const fn new(role: Role, binding: Vec<u8>, keys: Vec<SyncKey>) -> Self {
        Self {
            role,
            binding,
            keys,
            batch_bytes_max: BATCH_BYTES_MAX,
        }
    }
}

/// What the driver must do, in this order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SyncAction {
    /// Send these bytes as one frame.
    Send(Vec<u8>),
    /// The peer is this device, and shares this Space.
    Peer {
        /// Which Space.
        space: SpaceId,
        /// Which device: proved by its signature.
        device: DeviceId,
    },
    /// Judge these ops, before the next frame is handed in. Nothing about them was checked.
    DeliverOps {
        /// The Space that the peer filed them under.
        space: SpaceId,
        /// Each as `SignedOp::encode` gives it.
        ops: Vec<Vec<u8>>,
    },
    /// Both sides have what they may have. The last action.
    Done,
    /// It is over. The last action.
    Fail(SyncFailure),
}

/// Why a session ended early.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SyncFailure {
    /// The peer sent bytes that are no frame.
    #[error("malformed frame: {0}")]
    Malformed(CodecError),
    /// The peer speaks another version.
    #[error("the peer speaks version {0}")]
    Version(u8),
    /// A frame came that has no place here.
    #[error("unexpected {0}")]
    Unexpected(&'static str),
    /// The peer claimed a device or a key that it does not hold.
    #[error("forged claim")]
    Forged,
    /// The peer's reconciliation is malformed or does not end.
    #[error("reconciliation failed: {0}")]
    Reconcile(NegError),
    /// The peer asks before it took the last answer, or for more than one answer holds.
    #[error("the peer asks for too much at once")]
    Greedy,
    /// This node's storage failed.
    #[error("storage failed: {0}")]
    Store(String),
    /// The session was over already.
    #[error("the session is over")]
    Over,
}

/// One side of one conversation.
#[derive(Debug)]
pub struct SyncSession {
    role: Role,
    binding: Vec<u8>,
    keys: Vec<SyncKey>,
    nonce: Digest,
    padding: [u8; 32],
    stage: Stage,
    handshake: Option<Handshake>,
    peer_interests: Vec<Salted>,
    /// Shared Spaces, with the peer's device in each.
    peers: BTreeMap<SpaceId, DeviceId>,
    outgoing: Outgoing,
    /// Initiator: what is still to be asked.
    tasks: VecDeque<Task>,
    /// Responder: channels named in the current round of each Space.
    named: BTreeMap<SpaceId, BTreeSet<ChannelId>>,
    /// Responder: ids asked for so far.
    wanted: BTreeSet<OpId>,
}

#[derive(Debug)]
enum Stage {
    Open,
    Hello,
    Auth,
    /// Responder: the initiator's second claims.
    LastAuth,
    /// Responder: whatever is asked.
    Serving,
    /// Initiator: the answer to the task in hand.
    Asking(Asked),
    /// Initiator: `Done` of the responder. Responder: the acks of what it gave last.
    Closing,
    Over,
}

#[derive(Debug)]
enum Task {
    Control(Round),
    Neg(SpaceId, Scope),
    Want(SpaceId, VecDeque<OpId>),
    Content(Round),
    ContentPage(Round, VecDeque<ChannelId>, Page),
}

/// One pass over a plane of a Space.
#[derive(Clone, Debug)]
struct Round {
    space: SpaceId,
    number: u32,
    /// What both sides had in the pass before: when it is the same again, no further pass helps.
    before: Digest,
    /// What both sides have in this one, so far.
    now: Digest,
    /// Something was left for the next pass.
    again: bool,
}

#[derive(Debug)]
enum Asked {
    Control(Round, Vec<OpId>),
    Content {
        round: Round,
        rest: VecDeque<ChannelId>,
        asked: BTreeSet<Scope>,
        last: bool,
    },
    Neg {
        space: SpaceId,
        scope: Scope,
        reconciler: Reconciler,
        times: BTreeMap<OpId, Hlc>,
    },
    Want(SpaceId),
}

enum Stop {
    Fail(SyncFailure),
}

impl From<StoreError> for Stop {
    fn from(error: StoreError) -> Self {
        Self::Fail(SyncFailure::Store(error.to_string()))
    }
}

impl From<SyncFailure> for Stop {
    fn from(failure: SyncFailure) -> Self {
        Self::Fail(failure)
    }
}

impl SyncSession {
    /// Begins a session. The initiator's first frame is among the actions.
    pub fn new(setup: SyncSetup, rng: &mut impl CryptoRng) -> (Self, Vec<SyncAction>) {
        let mut nonce = [0; 32];
        let mut padding = [0; 32];
        rng.fill_bytes(&mut nonce);
        rng.fill_bytes(&mut padding);
        let this = Self {
            role: setup.role,
            binding: setup.binding,
            keys: setup.keys,
            nonce: Digest::from_bytes(nonce),
            padding,
            stage: Stage::Open,
            handshake: None,
            peer_interests: Vec::new(),
            peers: BTreeMap::new(),
            outgoing: Outgoing::new(setup.batch_bytes_max.clamp(1, BATCH_BYTES_MAX)),
            tasks: VecDeque::new(),
            named: BTreeMap::new(),
            wanted: BTreeSet::new(),
        };
        let first = match this.role {
            Role::Initiator => vec![SyncAction::Send(this.open().encode())],
            Role::Responder => Vec::new(),
        };
        (this, first)
    }

    /// Takes one frame. Every action must have been carried out before the next frame is taken,
    /// since the source must show what was delivered.
    pub fn on_frame(&mut self, bytes: &[u8], source: &impl SyncSource) -> Vec<SyncAction> {
        let mut actions = Vec::new();
        if matches!(self.stage, Stage::Over) {
            return vec![SyncAction::Fail(SyncFailure::Over)];
        }
        let outcome = Frame::decode(bytes)
            .map_err(|e| Stop::Fail(SyncFailure::Malformed(e)))
            .and_then(|frame| self.take(frame, source, &mut actions))
            .and_then(|()| self.flush(source, &mut actions));
        if let Err(Stop::Fail(failure)) = outcome {
            self.stage = Stage::Over;
            actions.push(SyncAction::Fail(failure));
        }
        actions
    }

    /// Returns whether nothing more will come of this session.
    #[must_use]
    pub const fn is_over(&self) -> bool {
        matches!(self.stage, Stage::Over)
    }

    fn take(
        &mut self,
        frame: Frame,
        source: &impl SyncSource,
        actions: &mut Vec<SyncAction>,
    ) -> Result<(), Stop> {
        match frame {
            Frame::Open { version, nonce } => self.on_open(version, &nonce, actions),
            Frame::Hello { interests } => self.on_hello(interests, source),
            Frame::Auth { claims } => self.on_auth(&claims, source, actions),
            Frame::Ops { space, ops } => {
                self.expect_peer(&space)?;
                let ops = ops.into_iter().map(Into::into).collect();
                actions.push(SyncAction::DeliverOps { space, ops });
                actions.push(SyncAction::Send(Frame::OpsAck.encode()));
                Ok(())
            }
            Frame::OpsAck => {
                if self.outgoing.acked() {
                    Ok(())
                } else {
                    Err(SyncFailure::Unexpected("ack").into())
                }
            }
            Frame::Done => self.on_done(),
            Frame::CtlHave { .. }
            | Frame::ChanHave { .. }
            | Frame::Neg { .. }
            | Frame::WantOps { .. }
            | Frame::Given { .. } => match self.role {
                Role::Initiator => self.on_answer(frame, source),
                Role::Responder => self.on_question(frame, source),
            },
        }
    }

    /// Sends what may go, and sees whether that was all.
    fn flush(
        &mut self,
        source: &impl SyncSource,
        actions: &mut Vec<SyncAction>,
    ) -> Result<(), Stop> {
        for frame in self.outgoing.pump(source)? {
            actions.push(SyncAction::Send(frame.encode()));
        }
        if self.role == Role::Responder
            && matches!(self.stage, Stage::Closing)
            && self.outgoing.is_idle()
        {
            self.stage = Stage::Over;
        }
        if matches!(self.stage, Stage::Over) {
            actions.push(SyncAction::Done);
        }
        Ok(())
    }

    fn on_open(
        &mut self,
        version: u8,
        theirs: &Digest,
        actions: &mut Vec<SyncAction>,
    ) -> Result<(), Stop> {
        if !matches!(self.stage, Stage::Open) {
            return Err(SyncFailure::Unexpected("open").into());
        }
        if version != SYNC_VERSION {
            return Err(SyncFailure::Version(version).into());
        }
        let keys = core::mem::take(&mut self.keys);
        let mut handshake = Handshake::new(self.role, keys, &self.nonce, theirs, &self.binding);
        let interests = handshake.interests(&self.padding);
        self.handshake = Some(handshake);
        if self.role == Role::Responder {
            actions.push(SyncAction::Send(self.open().encode()));
        }
        // The initiator's goes out with its claims.
        self.outgoing.frame(Frame::Hello { interests });
        self.stage = Stage::Hello;
        Ok(())
    }

    fn on_hello(&mut self, interests: Vec<Salted>, source: &impl SyncSource) -> Result<(), Stop> {
        let (Stage::Hello, Some(handshake)) = (&self.stage, &mut self.handshake) else {
            return Err(SyncFailure::Unexpected("hello").into());
        };
        handshake.match_interests(&interests);
        self.peer_interests = interests;
        if self.role == Role::Initiator {
            let claims = handshake.claims(&self.peer_interests, source);
            self.outgoing.frame(Frame::Auth { claims });
        }
        self.stage = Stage::Auth;
        Ok(())
    }

    fn on_auth(
        &mut self,
        claims: &[crate::sync::frame::Claim],
        source: &impl SyncSource,
        actions: &mut Vec<SyncAction>,
    ) -> Result<(), Stop> {
        let last = matches!(self.stage, Stage::LastAuth);
        let (Stage::Auth | Stage::LastAuth, Some(handshake)) = (&self.stage, &mut self.handshake)
        else {
            return Err(SyncFailure::Unexpected("auth").into());
        };
        if !handshake.check_claims(claims) {
            return Err(SyncFailure::Forged.into());
        }
        if !last {
            let claims = handshake.claims(&self.peer_interests, source);
            self.outgoing.frame(Frame::Auth { claims });
        }
        if self.role == Role::Responder && !last {
            self.stage = Stage::LastAuth;
            return Ok(());
        }
        self.peers = handshake.shared();
        for (space, device) in &self.peers {
            actions.push(SyncAction::Peer {
                space: *space,
                device: *device,
            });
        }
        if self.role == Role::Responder {
            self.stage = Stage::Serving;
            return Ok(());
        }
        self.tasks = self
            .peers
            .keys()
            .map(|s| Task::Control(Round::first(*s)))
            .collect();
        self.next_task(source)
    }

    fn on_done(&mut self) -> Result<(), Stop> {
        match (&self.stage, self.role) {
            (Stage::Serving, Role::Responder) => {
                self.outgoing.frame(Frame::Done);
                self.stage = Stage::Closing;
                Ok(())
            }
            (Stage::Closing, Role::Initiator) if self.outgoing.is_idle() => {
                self.stage = Stage::Over;
                Ok(())
            }
            _ => Err(SyncFailure::Unexpected("done").into()),
        }
    }

    // The initiator.

    /// Asks the next question.
    fn next_task(&mut self, source: &impl SyncSource) -> Result<(), Stop> {
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

    fn on_answer(&mut self, frame: Frame, source: &impl SyncSource) -> Result<(), Stop> {
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

    // The responder.

    fn on_question(&mut self, frame: Frame, source: &impl SyncSource) -> Result<(), Stop> {
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

    const fn open(&self) -> Frame {
        Frame::Open {
            version: SYNC_VERSION,
            nonce: self.nonce,
        }
    }

    fn expect_peer(&self, space: &SpaceId) -> Result<DeviceId, Stop> {
        let device = self.peers.get(space).copied();
        device.ok_or_else(|| SyncFailure::Unexpected("space").into())
    }

    fn standing(&self, source: &impl SyncSource, space: &SpaceId) -> Standing {
        let device = self.peers.get(space);
        device.map_or(Standing::Unknown, |d| source.standing(space, d))
    }
}

impl Round {
    const fn first(space: SpaceId) -> Self {
        Self {
            space,
            number: 1,
            before: Digest::ZERO,
            now: Digest::ZERO,
            again: false,
        }
    }

    const fn next(self) -> Self {
        Self {
            space: self.space,
            number: self.number + 1,
            before: self.now,
            now: Digest::ZERO,
            again: false,
        }
    }

    fn note(&mut self, frame: &Frame) {
        let digest = H::new("sync-round")
            .field(self.now.as_bytes())
            .field(&frame.encode())
            .finish();
        self.now = Digest::from_bytes(digest);
    }
}

/// Returns the heads to name: all, or none when there are too many or the peer may not know them.
fn named_heads(
    source: &impl SyncSource,
    space: &SpaceId,
    standing: &Standing,
) -> Result<Vec<OpId>, StoreError> {
    let mut heads = match standing {
        Standing::Member => source.heads(space)?,
        Standing::Removed { .. } | Standing::Unknown => Vec::new(),
    };
    if heads.len() > HEADS_MAX {
        heads.clear();
    }
    Ok(heads)
}

fn to_items(times: &BTreeMap<OpId, Hlc>) -> Result<Items, Stop> {
    let items = times
        .iter()
        .map(|(id, hlc)| (hlc.to_wall().as_ms(), Digest::from_bytes(*id.as_bytes())));
    Items::new(items).map_err(failed)
}

fn failed(error: NegError) -> Stop {
    debug_assert!(
        is_malformed(&error) || matches!(error, NegError::TooMany(_)),
        "every reconciliation error is one of these"
    );
    Stop::Fail(SyncFailure::Reconcile(error))
}
