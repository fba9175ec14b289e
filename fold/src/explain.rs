//! Why an outcome is what it is: verdicts with the rule and the ops that decided, for `audit`.

use core::fmt;

use oplog::authority::Rank;
use oplog::payload::Verb;
use oplog::{ChannelId, DeviceId, OpId, UserId};

/// Whether a control op counts, within some set of ops.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It counts.
    Effective,
    /// It stays in the log and changes nothing.
    Void(VoidReason),
}

impl Verdict {
    /// Returns whether the op counts.
    #[must_use]
    pub const fn is_effective(&self) -> bool {
        matches!(self, Self::Effective)
    }

    /// Returns why the op does not count, `None` when it does.
    #[must_use]
    pub const fn reason(&self) -> Option<&VoidReason> {
        match self {
            Self::Effective => None,
            Self::Void(reason) => Some(reason),
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Effective => f.write_str("effective"),
            Self::Void(reason) => write!(f, "void: {reason}"),
        }
    }
}

/// Why a control op does not count, with the ops that decided it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum VoidReason {
    /// R4. The author was no member in the op's own past; acceptance refuses such ops.
    NotMember,
    /// B4. A higher-ranked op that the author had not seen, and whose author had not seen
    /// this one, took the authority it needed.
    Revoked {
        /// The removal or demotion.
        by: OpId,
    },
    /// A12. The author gave up the authority on another device, without having seen this.
    SelfRevoked {
        /// The departure or self-demotion.
        by: OpId,
    },
    /// A1. Its author revoked the device it comes from, without having seen it.
    DeviceRevoked {
        /// The revocation.
        by: OpId,
    },
    /// B11. Its device signed two ops for one place, and no proof of that had seen this op.
    Frozen {
        /// The first proof.
        by: OpId,
    },
    /// B9. It seals another branch than a Seal of higher rank, or one that came before.
    Displaced {
        /// That Seal.
        by: OpId,
    },
    /// A19. Of the admins who signed it too few still had the right.
    NoQuorum {
        /// What took it from them, sorted.
        taken_by: Vec<OpId>,
    },
    /// A19. Its signatures were used beside it.
    QuorumUsed {
        /// Where.
        by: OpId,
    },
    /// A9. Nothing effective in its past, from above its own rank, still gave its author the
    /// authority it needed.
    NoLiveGrant {
        /// What stands against the author instead of a grant. `None`: every grant is void, and
        /// [`AuthorityFold::void_grants`](crate::AuthorityFold::void_grants) names them.
        taken_by: Option<OpId>,
    },
    /// A17. The invite it admits by is void or unknown.
    InviteVoid {
        /// The invite.
        invite: OpId,
    },
    /// A17. The invite it admits by was closed before.
    InviteRevoked {
        /// The invite.
        invite: OpId,
        /// What closed it.
        by: OpId,
    },
    /// A17. Its author admitted more people by this invite, out of each other's sight, than
    /// the invite allows in all.
    InviteOverused {
        /// The invite.
        invite: OpId,
    },
    /// A10. It would undo something of higher rank that still stands.
    Outranked {
        /// What stands.
        by: OpId,
    },
}

impl VoidReason {
    /// Returns the id of the rule (`docs/acceptance.md`).
    #[must_use]
    pub const fn rule(&self) -> &'static str {
        match self {
            Self::NotMember => "R4",
            Self::Revoked { .. } => "B4",
            Self::SelfRevoked { .. } => "A12",
            Self::DeviceRevoked { .. } => "A1",
            Self::Frozen { .. } => "B11",
            Self::Displaced { .. } => "B9",
            Self::NoQuorum { .. } | Self::QuorumUsed { .. } => "A19",
            Self::NoLiveGrant { .. } => "A9",
            Self::InviteVoid { .. } | Self::InviteRevoked { .. } | Self::InviteOverused { .. } => {
                "A17"
            }
            Self::Outranked { .. } => "A10",
        }
    }

    /// Returns the ops that decided.
    #[must_use]
    pub fn deciding(&self) -> Vec<OpId> {
        match self {
            Self::NotMember => Vec::new(),
            Self::Revoked { by }
            | Self::SelfRevoked { by }
            | Self::DeviceRevoked { by }
            | Self::Frozen { by }
            | Self::Displaced { by }
            | Self::QuorumUsed { by }
            | Self::Outranked { by } => vec![*by],
            Self::NoQuorum { taken_by } => taken_by.clone(),
            Self::NoLiveGrant { taken_by } => taken_by.iter().copied().collect(),
            Self::InviteVoid { invite } | Self::InviteOverused { invite } => vec![*invite],
            Self::InviteRevoked { invite, by } => vec![*by, *invite],
        }
    }
}

impl fmt::Display for VoidReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.rule())?;
        match self {
            Self::NotMember => f.write_str("its author was no member"),
            Self::Revoked { by } => {
                write!(f, "revoked by concurrent higher-ranked op {}", by.short())
            }
            Self::SelfRevoked { by } => {
                write!(f, "given up by its own author in op {}", by.short())
            }
            Self::DeviceRevoked { by } => {
                write!(f, "its device was revoked by op {}", by.short())
            }
            Self::Frozen { by } => write!(
                f,
                "its device equivocates, as op {} proves without having seen it",
                by.short()
            ),
            Self::Displaced { by } => {
                write!(f, "it seals another branch than op {}", by.short())
            }
            Self::NoQuorum { taken_by } => {
                f.write_str("too few of its signers kept the right to it")?;
                taken_by
                    .iter()
                    .try_for_each(|by| write!(f, ", taken by op {}", by.short()))
            }
            Self::QuorumUsed { by } => {
                write!(f, "its signatures were used in op {}", by.short())
            }
            Self::NoLiveGrant { taken_by: None } => f.write_str("no live grant"),
            Self::NoLiveGrant { taken_by: Some(by) } => {
                write!(f, "no live grant, taken by op {}", by.short())
            }
            Self::InviteVoid { invite } => write!(f, "invite {} is void", invite.short()),
            Self::InviteRevoked { invite, by } => write!(
                f,
                "invite {} was closed by op {}",
                invite.short(),
                by.short()
            ),
            Self::InviteOverused { invite } => write!(
                f,
                "its author admitted more people by invite {} than it allows",
                invite.short()
            ),
            Self::Outranked { by } => {
                write!(f, "op {} stands and ranks higher", by.short())
            }
        }
    }
}

/// One thing that the fold decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Key {
    /// Whether someone is a member.
    Member(UserId),
    /// Which role someone has.
    Role(UserId),
    /// Whether someone is muted, in a channel or everywhere.
    Mute(UserId, Option<ChannelId>),
    /// Whose device it is.
    Device(DeviceId),
    /// What ended a device for good.
    DeviceEnd(DeviceId),
    /// One field of a channel.
    Channel(ChannelId, ChannelField),
    /// The least weight for a verb in a channel.
    Permission(ChannelId, Verb),
    /// One policy of the Space.
    Policy(PolicyField),
    /// Whether an invite is open.
    Invite(OpId),
}

/// A field of a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "the fields of ChannelUpdate")]
pub enum ChannelField {
    Name,
    Topic,
    Category,
    Archived,
}

/// A policy of the Space.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "the fields of PolicySet")]
pub enum PolicyField {
    Name,
    KickLate,
    BanLate,
    TimingPrivacy,
    Dedup,
    SealEvery,
}

/// Which op decided a key, and over which others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// The op that counts.
    pub winner: OpId,
    /// Its author.
    pub user: UserId,
    /// Its rank, which decided if there are others.
    pub rank: Rank,
    /// Concurrent effective ops that wrote the same key and rank lower.
    pub over: Vec<OpId>,
}
