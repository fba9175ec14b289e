//! The state machine of one session: its parts, and which frame goes where.
//!
//! Both sides [open](opening) alike; then the initiator [asks](asking) and the responder
//! [answers](answering).

mod answering;
mod asking;
mod opening;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use oplog::hash::H;
use oplog::store::StoreError;
use oplog::{ChannelId, CodecError, DeviceId, Digest, Hlc, OpId, Scope, SpaceId};
use rand_core::CryptoRng;

use crate::neg::{Items, NegError, Reconciler};
use crate::sync::frame::{Frame, Page, SYNC_VERSION, Salted, is_malformed};
use crate::sync::give::Outgoing;
use crate::sync::handshake::{Handshake, Role, SyncKey};
use crate::sync::source::{Standing, SyncSource};
use crate::sync::{BATCH_BYTES_MAX, HEADS_MAX};

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
