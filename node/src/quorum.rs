//! What admins decide together: proposing an act, signing it, bringing it (B4, *Quorums*).
//!
//! A motion is a text that people hand to each other however they like, as an invite link is: it
//! holds the act, what its proposer had seen, and the signatures so far. It grants nothing to who
//! reads it. Only the device that proposed can bring it, because the signatures name that device; so
//! the signed texts go back there.
//!
//! # Invariants
//! - A motion is trusted in nothing: whatever it says is judged here before a signature is added,
//!   and by everybody's acceptance once it is brought.
//! - Signing changes nothing in the profile.

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
use crate::view::QuorumView;

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

/// An act that admins may sign, with the signatures so far. Nothing in it is trusted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Motion {
    /// Where.
    pub space: SpaceId,
    /// The device that proposed it, and alone can bring it.
    pub device: DeviceId,
    /// The act.
    act: QuorumAct,
}

#[derive(Encode, Decode)]
#[cbor(map)]
struct Wire {
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
        let mut wire = Wire {
            space: self.space,
            device: self.device,
            act: ByteVec::from(codec::encode(&self.act)),
            check: 0,
        };
        wire.check = wire.checksum();
        f.write_str(&linktext::write(PREFIX, &wire))
    }
}

impl FromStr for Motion {
    type Err = MotionError;

    fn from_str(text: &str) -> Result<Self, MotionError> {
        let wire: Wire = linktext::read(PREFIX, "motion", text, MOTION_BYTES_MAX)?;
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
}

impl<S: Store, C: ChunkStore, R: CryptoRng> Node<S, C, R> {
    /// Proposes an act to the admins, and signs it if this person has a vote.
    pub(crate) fn propose(
        &mut self,
        space: SpaceId,
        act: Command,
        valid_secs: u64,
    ) -> Result<Motion, CommandError> {
        self.may_write(&space)?;
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
        let motion = Motion {
            space,
            device: self.me.device_id(),
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
            Ok(self.with_signature(motion))
        } else {
            Ok(motion)
        }
    }

    /// Adds this person's signature to a motion.
    ///
    /// # Errors
    /// When they have no vote in it, or it is not sound.
    pub fn sign_motion(&self, motion: &Motion) -> Result<Motion, CommandError> {
        self.may_write(&motion.space)?;
        let judged = self.judge(motion)?;
        let me = self.me.user();
        if judged.signed.contains(&me) {
            return invalid("you have signed this already");
        }
        if !judged.may_sign(&me) {
            return Err(CommandError::NotAllowed {
                rule: "R8",
                why: "only an admin has a vote, and nobody in what is about themself".to_owned(),
            });
        }
        Ok(self.with_signature(motion.clone()))
    }

    /// Brings an act that enough admins have signed: the copies that came back are put together.
    pub(crate) fn bring(&mut self, copies: &[Motion]) -> Result<OpId, CommandError> {
        let Some(first) = copies.first() else {
            return invalid("there is no motion to bring");
        };
        self.may_write(&first.space)?;
        if first.device != self.me.device_id() {
            return invalid("only the device that proposed this can bring it");
        }
        let mut all = first.clone();
        for copy in copies {
            if !copy.is_copy_of(first) {
                return invalid("these are not copies of one motion");
            }
            // A bad signature on one copy must not spoil the others.
            self.judge(copy)?;
            for signer in &copy.act.signers {
                all.sign(signer.clone());
            }
        }
        let judged = self.judge(&all)?;
        if judged.signed.len() < judged.needs {
            return Err(CommandError::NotAllowed {
                rule: "R6",
                why: format!(
                    "{} of {} admins have signed, and {} must",
                    judged.signed.len(),
                    judged.electorate.len(),
                    judged.needs
                ),
            });
        }
        self.govern(&all.space, Payload::QuorumAct(all.act))
    }

    /// Says what a motion is about, who signed it, and what it needs.
    ///
    /// # Errors
    /// When its Space is not here, or it is not sound.
    pub fn look_at_motion(&self, motion: &Motion) -> Result<QuorumView, CommandError> {
        let judged = self.judge(motion)?;
        let s = self.known_space(&motion.space)?;
        let me = self.me.user();
        let named = |user: &UserId| (*user, s.person(user));
        let proposer = s.device_user(&motion.device);
        Ok(QuorumView {
            space: motion.space,
            kind: judged.action.kind().name(),
            about: s.act_words(&judged.action),
            proposer: proposer.as_ref().map(named),
            device: motion.device,
            expires: motion.act.expires,
            signed: judged.signed.iter().map(named).collect(),
            unsigned: judged
                .electorate
                .iter()
                .filter(|user| !judged.signed.contains(user))
                .map(named)
                .collect(),
            needs: judged.needs,
            may_sign: judged.may_sign(&me),
            may_bring: motion.device == self.me.device_id(),
        })
    }

    /// Judges a motion by what is known here, as acceptance will.
    fn judge(&self, motion: &Motion) -> Result<Judged, CommandError> {
        let s = self.known_space(&motion.space)?;
        let act = &motion.act;
        let Some(action) = act.action() else {
            return invalid("no quorum does this");
        };
        let dag = s.log.dag();
        if !act.frontier.iter().all(|id| dag.contains(id)) {
            return invalid(
                "its proposer had seen more than is here: exchange with the relays first",
            );
        }
        if Hlc::from_wall(self.now) >= act.expires {
            return invalid("the time to sign and bring this is over");
        }
        let target = quorum_target(&action);
        let mut electorate = s.view.admins();
        electorate.retain(|admin| Some(*admin) != target);
        let message = act.message(&motion.space, &motion.device);
        let mut signed = Vec::with_capacity(act.signers.len());
        for signer in &act.signers {
            if keys::verify(signer.device.as_bytes(), &message, &signer.sig).is_err() {
                return invalid("a signature in it is not good");
            }
            let own = s.view.device_user(&signer.device) == Some(signer.user);
            if !own || electorate.binary_search(&signer.user).is_err() {
                return Err(CommandError::Invalid {
                    what: format!(
                        "{} has signed it, and has no vote in it",
                        s.person(&signer.user)
                    ),
                });
            }
            if signed.last().is_some_and(|last| *last >= signer.user) {
                return invalid("its signatures are not in order");
            }
            signed.push(signer.user);
        }
        let needs = quorum_of(electorate.len(), &action);
        Ok(Judged {
            action,
            electorate,
            signed,
            needs,
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
            _ => return invalid("no quorum does this"),
        })
    }
}

impl Motion {
    /// Whether two texts ask for the same, whoever has signed which.
    #[must_use]
    pub fn is_copy_of(&self, other: &Self) -> bool {
        self.digest() == other.digest()
    }

    fn digest(&self) -> Digest {
        self.act.digest(&self.space, &self.device)
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

/// What of a motion was checked.
struct Judged {
    action: Payload,
    /// Who has a vote, sorted.
    electorate: Vec<UserId>,
    /// Whose good signatures it has, sorted.
    signed: Vec<UserId>,
    needs: usize,
}

impl Judged {
    fn may_sign(&self, user: &UserId) -> bool {
        self.electorate.contains(user) && !self.signed.contains(user)
    }
}

impl Space {
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

fn invalid<T>(what: &str) -> Result<T, CommandError> {
    Err(CommandError::Invalid {
        what: what.to_owned(),
    })
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
