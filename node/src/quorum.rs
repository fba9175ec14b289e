//! What admins decide together: proposing an act, signing it, bringing it (B4, *Quorums*).
//!
//! A motion is a text that people hand to each other however they like, as an invite link is: it
//! holds the act, what its proposer had seen, and the signatures so far. It grants nothing to who
//! reads it. The signatures name the device that brings it, the proposer's unless they chose another,
//! and no other can: whoever reads them could else place the act again beside what came after it
//! (A19). So the signed texts go to that device. `motions` keeps them.
//!
//! # Invariants
//! - A motion is trusted in nothing: whatever it says is judged here before a signature is added,
//!   and by everybody's acceptance once it is brought.

use core::fmt;
use core::str::FromStr;

use minicbor::bytes::ByteVec;
use minicbor::{Decode, Encode};
use oplog::authority::View;
use oplog::payload::{
    ChannelUpdate, InviteRevoke, Mute, PolicySet, QuorumAct, QuorumSigner, RoleSet, Unban, Unmute,
    quorum_of, quorum_target,
};
use oplog::store::Store;
use oplog::{DeviceId, Digest, Hlc, Kind, OpId, Payload, Scope, SpaceId, UserId, codec, keys};
use rand_core::CryptoRng;

use crate::blobs::ChunkStore;
use crate::command::Command;
use crate::error::CommandError;
use crate::linktext::{self, Unreadable};
use crate::node::Node;
use crate::space::Space;
use crate::view::{MotionState, QuorumView};

/// Longest motion in bytes of text: the largest cut of a removal fits several times.
pub const MOTION_BYTES_MAX: usize = 1 << 20;
const PREFIX: &str = "decent://quorum/";

/// Why a text is not a motion.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MotionError {
    /// Not `decent://quorum/…`.
    #[error("not a motion: it does not begin with {PREFIX}")]
    NotAMotion,
    /// A letter is missing, added or wrong.
    #[error("the motion is incomplete or mistyped")]
    Damaged,
    /// More than a motion may have.
    #[error("the motion is too long")]
    TooLong,
}

impl From<Unreadable> for MotionError {
    fn from(why: Unreadable) -> Self {
        match why {
            Unreadable::Other => Self::NotAMotion,
            Unreadable::TooLong => Self::TooLong,
            Unreadable::Damaged => Self::Damaged,
        }
    }
}

/// Why a motion cannot be signed or brought as it is.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MotionRefused {
    /// Another kind of act.
    #[error("no quorum does this")]
    NotForQuorum,
    /// What it rests on has not come here.
    #[error("its proposer had seen more than is here: exchange with the relays first")]
    Behind,
    /// It has expired.
    #[error("the time to sign and bring this is over")]
    Over,
    /// It was changed, or made up.
    #[error("a signature in it is not good")]
    BadSignature,
    /// A signer is no admin here, or the act is about them.
    #[error("{name} has signed it, and has no vote in it")]
    NoVote {
        /// Who, by name.
        name: String,
    },
    /// Signatures stand by person, once each.
    #[error("its signatures are not in order")]
    Unordered,
    /// Once is enough.
    #[error("you have signed this already")]
    Signed,
    /// R8.
    #[error("not allowed (R8): only an admin has a vote, and nobody in what is about themself")]
    MayNotSign,
    /// Nothing was handed in.
    #[error("there is no motion to bring")]
    Nothing,
    /// The signatures name another device.
    #[error("only device {}, which it names, can bring it", device.short())]
    OtherDevice {
        /// Which.
        device: DeviceId,
    },
    /// Nobody would bring it.
    #[error("device {} is not of a member of this Space", device.short())]
    NoDevice {
        /// Which.
        device: DeviceId,
    },
    /// Copies of different motions.
    #[error("these are not copies of one motion")]
    NotCopies,
    /// R6.
    #[error("not allowed (R6): {signed} of {admins} admins have signed, and {needs} must")]
    TooFew {
        /// How many have.
        signed: usize,
        /// How many have a vote.
        admins: usize,
        /// How many must.
        needs: usize,
    },
    /// R8: the signatures were used.
    #[error("not allowed (R8): op {} has brought this already", op.short())]
    Taken {
        /// By which op.
        op: OpId,
    },
}

impl MotionRefused {
    /// Returns the rule in `docs/acceptance.md` that refuses it, if the Space does and not its text.
    #[must_use]
    pub const fn rule(&self) -> Option<&'static str> {
        match self {
            Self::TooFew { .. } => Some("R6"),
            Self::MayNotSign | Self::Taken { .. } => Some("R8"),
            Self::NotForQuorum
            | Self::Behind
            | Self::Over
            | Self::BadSignature
            | Self::NoVote { .. }
            | Self::Unordered
            | Self::Signed
            | Self::Nothing
            | Self::OtherDevice { .. }
            | Self::NoDevice { .. }
            | Self::NotCopies => None,
        }
    }
}

/// An act that admins may sign, with the signatures so far. Nothing in it is trusted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Motion {
    /// Where.
    pub space: SpaceId,
    /// The device that alone can bring it.
    pub device: DeviceId,
    /// The act.
    pub(crate) act: QuorumAct,
}

#[derive(Clone, Debug, Encode, Decode)]
#[cbor(map)]
pub(crate) struct Wire {
    #[n(0)]
    space: SpaceId,
    #[n(1)]
    device: DeviceId,
    #[n(2)]
    act: ByteVec,
    /// First bytes of a hash over the rest: tells a typing error from a forgery.
    #[n(3)]
    check: u32,
}

impl Wire {
    fn checksum(&self) -> u32 {
        let parts = [self.space.as_bytes(), self.device.as_bytes(), &self.act[..]];
        linktext::checksum("quorum-check", &parts)
    }
}

impl fmt::Display for Motion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&linktext::write(PREFIX, &self.to_wire()))
    }
}

impl FromStr for Motion {
    type Err = MotionError;

    fn from_str(text: &str) -> Result<Self, MotionError> {
        let wire: Wire = linktext::read(PREFIX, "motion", text, MOTION_BYTES_MAX)?;
        Self::from_wire(&wire)
    }
}

impl<S: Store, C: ChunkStore, R: CryptoRng> Node<S, C, R> {
    /// Proposes an act to the admins, and signs it if this person has a vote.
    pub(crate) fn propose(
        &mut self,
        space: SpaceId,
        act: Command,
        valid_secs: u64,
        device: Option<DeviceId>,
    ) -> Result<Motion, CommandError> {
        self.may_write(&space)?;
        let device = device.unwrap_or_else(|| self.me.device_id());
        if self
            .known_space(&space)?
            .view
            .device_user(&device)
            .is_none()
        {
            return Err(MotionRefused::NoDevice { device }.into());
        }
        let action = self.action_of(&space, act)?;
        let bytes = action.encode();
        Payload::decode(action.kind(), &bytes).map_err(|e| CommandError::Invalid {
            what: e.to_string(),
        })?;
        // Too many heads are joined on the way.
        self.next_header(&space, Kind::QuorumAct, Scope::Control, &[])?;
        let mut frontier = self.known_space(&space)?.log.dag().heads().to_vec();
        frontier.sort_unstable();
        let mut nonce = [0; 32];
        self.rng.fill_bytes(&mut nonce);
        let mut motion = Motion {
            space,
            device,
            act: QuorumAct {
                frontier,
                kind: action.kind().number(),
                action: ByteVec::from(bytes),
                nonce: Digest::from_bytes(nonce),
                expires: Hlc::from_wall(self.now.plus_ms(valid_secs.saturating_mul(1000))),
                signers: Vec::new(),
            },
        };
        let judged = self.judge(&motion)?;
        if judged.may_sign(&self.me.user()) {
            motion = self.with_signature(motion);
        }
        self.keep_motion(&motion, true)?;
        Ok(motion)
    }

    /// Adds this person's signature to a motion. [`Command::KeepMotion`] keeps it.
    ///
    /// # Errors
    /// When they have no vote in it, or it is not sound.
    pub fn sign_motion(&self, motion: &Motion) -> Result<Motion, CommandError> {
        self.may_write(&motion.space)?;
        let judged = self.judge(motion)?;
        let me = self.me.user();
        if judged.signed.contains(&me) {
            return Err(MotionRefused::Signed.into());
        }
        if !judged.may_sign(&me) {
            return Err(MotionRefused::MayNotSign.into());
        }
        Ok(self.with_signature(motion.clone()))
    }

    /// Brings an act that enough admins have signed: the copies that came back are put together, with
    /// what is kept here.
    pub(crate) fn bring(&mut self, copies: &[Motion]) -> Result<OpId, CommandError> {
        let first = copies.first().ok_or(MotionRefused::Nothing)?;
        self.may_write(&first.space)?;
        if copies.iter().any(|copy| !copy.is_copy_of(first)) {
            return Err(MotionRefused::NotCopies.into());
        }
        let mut all = first.clone();
        for copy in copies {
            // A bad signature on one copy must not spoil the others.
            self.judge(copy)?;
            all.take_signatures(copy);
        }
        if let Some(kept) = self.kept_motion(&all.space, &all.id())? {
            all.take_signatures(&kept);
        }
        let judged = self.judge(&all)?;
        if all.device != self.me.device_id() {
            return Err(MotionRefused::OtherDevice { device: all.device }.into());
        }
        if judged.signed.len() < judged.needs {
            return Err(MotionRefused::TooFew {
                signed: judged.signed.len(),
                admins: judged.electorate.len(),
                needs: judged.needs,
            }
            .into());
        }
        let op = self.govern(&all.space, Payload::QuorumAct(all.act.clone()))?;
        self.keep_motion(&all, false)?;
        Ok(op)
    }

    /// Says what a motion is about, who signed it, what it needs, and whether it can still be brought.
    ///
    /// # Errors
    /// When its Space is not here, or no quorum does what it asks for.
    pub fn look_at_motion(&self, motion: &Motion) -> Result<QuorumView, CommandError> {
        let weighed = self.weigh(motion)?;
        let s = self.known_space(&motion.space)?;
        let me = self.me.user();
        let named = |user: &UserId| (*user, s.person(user));
        let submitter = s.device_user(&motion.device);
        let ready = weighed.signed.len() >= weighed.needs;
        let state = match &weighed.fault {
            None if ready => MotionState::Ready,
            None => MotionState::Open,
            Some(MotionRefused::Taken { op }) => MotionState::Taken {
                op: *op,
                void: match s.view.verdict(op) {
                    fold::Verdict::Void(reason) => Some(reason.to_string()),
                    fold::Verdict::Effective => None,
                },
            },
            Some(MotionRefused::Over) => MotionState::Over,
            Some(MotionRefused::Behind) => MotionState::Behind,
            Some(other) => MotionState::Void {
                why: other.to_string(),
            },
        };
        Ok(QuorumView {
            id: motion.id(),
            space: motion.space,
            kind: weighed.action.kind().name(),
            about: s.act_words(&weighed.action),
            submitter: submitter.as_ref().map(named),
            device: motion.device,
            expires: motion.act.expires,
            state,
            signed: weighed.signed.iter().map(named).collect(),
            unsigned: weighed
                .electorate
                .iter()
                .filter(|user| !weighed.signed.contains(user))
                .map(named)
                .collect(),
            needs: weighed.needs,
            may_sign: weighed.fault.is_none() && weighed.may_sign(&me),
            may_bring: weighed.fault.is_none() && motion.device == self.me.device_id(),
        })
    }

    /// Judges a motion by what is known here, as acceptance will.
    fn judge(&self, motion: &Motion) -> Result<Weighed, CommandError> {
        let mut weighed = self.weigh(motion)?;
        match weighed.fault.take() {
            None => Ok(weighed),
            Some(fault) => Err(fault.into()),
        }
    }

    /// Counts the signatures of a motion that are good here, and says what is wrong with it.
    pub(crate) fn weigh(&self, motion: &Motion) -> Result<Weighed, CommandError> {
        let s = self.known_space(&motion.space)?;
        let act = &motion.act;
        let action = act.action().ok_or(MotionRefused::NotForQuorum)?;
        let dag = s.log.dag();
        let mut fault = s.taken(motion).map(|op| MotionRefused::Taken { op });
        if Hlc::from_wall(self.now) >= act.expires {
            fault = fault.or(Some(MotionRefused::Over));
        }
        if !act.frontier.iter().all(|id| dag.contains(id)) {
            fault = fault.or(Some(MotionRefused::Behind));
        }
        let target = quorum_target(&action);
        let mut electorate = s.view.admins();
        electorate.retain(|admin| Some(*admin) != target);
        let message = act.message(&motion.space, &motion.device);
        let mut signed: Vec<UserId> = Vec::with_capacity(act.signers.len());
        for signer in &act.signers {
            let own = s.view.device_user(&signer.device) == Some(signer.user);
            if keys::verify(signer.device.as_bytes(), &message, &signer.sig).is_err() {
                fault = fault.or(Some(MotionRefused::BadSignature));
            } else if !own || electorate.binary_search(&signer.user).is_err() {
                let name = s.person(&signer.user);
                fault = fault.or(Some(MotionRefused::NoVote { name }));
            } else if signed.last().is_some_and(|last| *last >= signer.user) {
                fault = fault.or(Some(MotionRefused::Unordered));
            } else {
                signed.push(signer.user);
            }
        }
        let needs = quorum_of(electorate.len(), &action);
        Ok(Weighed {
            action,
            electorate,
            signed,
            needs,
            fault,
        })
    }

    fn with_signature(&self, mut motion: Motion) -> Motion {
        let message = motion.act.message(&motion.space, &motion.device);
        motion.sign(QuorumSigner {
            user: self.me.user(),
            device: self.me.device_id(),
            sig: self.me.device.sign(&message),
        });
        motion
    }

    /// The payload of a command that a quorum can carry out.
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "a quorum does what is listed, and a new command only once it is"
    )]
    fn action_of(&self, space: &SpaceId, act: Command) -> Result<Payload, CommandError> {
        let until = |secs: u64| Hlc::from_wall(self.now.plus_ms(secs.saturating_mul(1000)));
        Ok(match act {
            Command::Kick {
                user,
                reason,
                late,
                purge,
                ..
            } => Payload::Kick(self.removal(space, user, reason, late, purge)?),
            Command::Ban {
                user,
                reason,
                late,
                purge,
                ..
            } => Payload::Ban(self.removal(space, user, reason, late, purge)?),
            Command::Unban { user, .. } => Payload::Unban(Unban { target: user }),
            Command::SetRole {
                user,
                weight,
                reason,
                ..
            } => Payload::RoleSet(RoleSet {
                target: user,
                weight,
                reason,
            }),
            Command::Mute {
                user,
                channel,
                for_secs,
                reason,
                ..
            } => Payload::Mute(Mute {
                target: user,
                channel,
                expires: for_secs.map(until),
                reason,
            }),
            Command::Unmute { user, channel, .. } => Payload::Unmute(Unmute {
                target: user,
                channel,
            }),
            Command::UpdateChannel {
                channel,
                name,
                topic,
                archived,
                mut permissions,
                ..
            } => {
                permissions.sort_unstable();
                Payload::ChannelUpdate(ChannelUpdate {
                    channel,
                    name,
                    topic,
                    category: None,
                    archived,
                    permissions,
                })
            }
            Command::SetPolicy {
                name,
                kick_late,
                ban_late,
                seal_every,
                ..
            } => Payload::PolicySet(PolicySet {
                name,
                kick_late,
                ban_late,
                seal_every,
                ..PolicySet::default()
            }),
            Command::RevokeInvite { invite, .. } => Payload::InviteRevoke(InviteRevoke { invite }),
            _ => return Err(MotionRefused::NotForQuorum.into()),
        })
    }
}

impl Motion {
    /// Whether two texts ask for the same, whoever has signed which.
    #[must_use]
    pub fn is_copy_of(&self, other: &Self) -> bool {
        self.id() == other.id()
    }

    /// Returns what all copies of a motion have in common: the hash that is signed.
    #[must_use]
    pub fn id(&self) -> Digest {
        self.act.digest(&self.space, &self.device)
    }

    /// Adds the signatures of another copy.
    pub(crate) fn take_signatures(&mut self, copy: &Self) {
        for signer in &copy.act.signers {
            self.sign(signer.clone());
        }
    }

    pub(crate) fn to_wire(&self) -> Wire {
        let mut wire = Wire {
            space: self.space,
            device: self.device,
            act: ByteVec::from(codec::encode(&self.act)),
            check: 0,
        };
        wire.check = wire.checksum();
        wire
    }

    pub(crate) fn from_wire(wire: &Wire) -> Result<Self, MotionError> {
        let act: QuorumAct =
            codec::decode("motion", &wire.act).map_err(|_cause| MotionError::Damaged)?;
        if wire.check != wire.checksum() || act.action().is_none() {
            return Err(MotionError::Damaged);
        }
        Ok(Self {
            space: wire.space,
            device: wire.device,
            act,
        })
    }

    /// Adds a signature, if its person has not signed.
    fn sign(&mut self, signer: QuorumSigner) {
        let signers = &mut self.act.signers;
        let at = signers.partition_point(|other| other.user < signer.user);
        if signers
            .get(at)
            .is_none_or(|other| other.user != signer.user)
        {
            signers.insert(at, signer);
        }
    }
}

/// What a motion comes to by what is known here.
pub(crate) struct Weighed {
    action: Payload,
    /// Who has a vote, sorted.
    electorate: Vec<UserId>,
    /// Whose good signatures it has, sorted.
    pub(crate) signed: Vec<UserId>,
    needs: usize,
    /// The first thing that is wrong with it.
    pub(crate) fault: Option<MotionRefused>,
}

impl Weighed {
    fn may_sign(&self, user: &UserId) -> bool {
        self.electorate.contains(user) && !self.signed.contains(user)
    }
}

impl Space {
    /// Returns the op that used the signatures of a motion, if one is here.
    fn taken(&self, motion: &Motion) -> Option<OpId> {
        let id = motion.id();
        let of_it = |op: &&oplog::AcceptedOp| {
            let h = op.header();
            h.kind == Kind::QuorumAct.number()
                && h.device == motion.device
                && matches!(op.payload(), Ok(Some(Payload::QuorumAct(act)))
                    if act.digest(&h.space, &h.device) == id)
        };
        let ops = self.log.dag().iter().map(|node| node.op.as_ref());
        ops.filter(of_it).map(|op| op.id()).min()
    }

    /// What a quorum would do, in words.
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "no other payload is an act of a quorum"
    )]
    fn act_words(&self, action: &Payload) -> String {
        let because = |reason: &str| {
            if reason.is_empty() {
                String::new()
            } else {
                format!(" ({})", fold::content::text::sanitise(reason))
            }
        };
        let place = |channel: &Option<oplog::ChannelId>| match channel {
            Some(channel) => format!(" in #{}", self.channel_name(channel)),
            None => String::new(),
        };
        match action {
            Payload::Kick(p) => format!("kick {}{}", self.person(&p.target), because(&p.reason)),
            Payload::Ban(p) => format!("ban {}{}", self.person(&p.target), because(&p.reason)),
            Payload::Unban(p) => format!("lift the ban of {}", self.person(&p.target)),
            Payload::RoleSet(p) => format!(
                "give {} the role {}{}",
                self.person(&p.target),
                p.weight.role_name().unwrap_or("?"),
                because(&p.reason)
            ),
            Payload::Mute(p) => format!(
                "mute {}{}{}{}",
                self.person(&p.target),
                place(&p.channel),
                match p.expires {
                    Some(_) => " for a time",
                    None => " until an unmute",
                },
                because(&p.reason)
            ),
            Payload::Unmute(p) => format!(
                "lift the mute of {}{}",
                self.person(&p.target),
                place(&p.channel)
            ),
            Payload::ChannelUpdate(p) => {
                format!("change channel #{}", self.channel_name(&p.channel))
            }
            Payload::PolicySet(p) => match &p.name {
                Some(name) => format!(
                    "rename the Space to {}",
                    fold::content::text::display_name(name)
                ),
                None => "change the Space's policies".to_owned(),
            },
            Payload::InviteRevoke(p) => format!("close invite {}", p.invite.short()),
            other => other.kind().name().to_owned(),
        }
    }

    fn channel_name(&self, id: &oplog::ChannelId) -> String {
        let channel = self.view.channel(id);
        channel.map_or_else(
            || id.short(),
            |channel| fold::content::text::display_name(&channel.name),
        )
    }
}

#[cfg(test)]
mod tests {
    use oplog::Signature;

    use super::*;

    fn sample() -> Motion {
        let action = Payload::Unban(Unban {
            target: UserId::from_bytes([7; 32]),
        });
        Motion {
            space: SpaceId::from_bytes([1; 32]),
            device: DeviceId::from_bytes([2; 32]),
            act: QuorumAct {
                frontier: vec![OpId::from_bytes([3; 32])],
                kind: action.kind().number(),
                action: ByteVec::from(action.encode()),
                nonce: Digest::from_bytes([4; 32]),
                expires: Hlc::from_raw(5),
                signers: vec![QuorumSigner {
                    user: UserId::from_bytes([6; 32]),
                    device: DeviceId::from_bytes([6; 32]),
                    sig: Signature::ZERO,
                }],
            },
        }
    }

    #[test]
    fn a_motion_survives_the_round_trip_in_any_case() {
        let text = sample().to_string();
        assert_eq!(text.parse(), Ok(sample()));
        let code = text.strip_prefix(PREFIX).unwrap().to_uppercase();
        assert_eq!(format!(" {PREFIX}{code}\n").parse(), Ok(sample()));
    }

    #[test]
    fn what_is_no_motion_is_refused() {
        let text = sample().to_string();
        for at in PREFIX.len()..text.len() {
            for letter in ["a", "7"] {
                let mut wrong = text.clone();
                wrong.replace_range(at..=at, letter);
                let read = wrong.parse::<Motion>();
                assert!(wrong == text || read.is_err(), "letter {at} → {letter}");
            }
            let cut: String = text.chars().take(at).collect();
            assert!(cut.parse::<Motion>().is_err(), "cut at {at}");
        }
        assert_eq!("".parse::<Motion>(), Err(MotionError::NotAMotion));
        let long = format!("{PREFIX}{}", "a".repeat(MOTION_BYTES_MAX));
        assert_eq!(long.parse::<Motion>(), Err(MotionError::TooLong));
        let mut other = sample();
        other.act.kind = Kind::Genesis.number();
        assert_eq!(
            other.to_string().parse::<Motion>(),
            Err(MotionError::Damaged)
        );
    }
}
