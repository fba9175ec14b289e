//! One control op as the fold sees it: what it does, how it ranks, what weight it needs.
//!
//! Everything here is static: it follows from the op and its own causal past, is
//! computed once when the op is admitted, and never changes as other ops arrive.

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "each question here is about a few deeds; `Deed::read` and `Deed::needed` name them all"
)]

use core::cmp::Reverse;
use std::sync::Arc;

use oplog::accept::least_to_give;
use oplog::authority::{Rank, View};
use oplog::dag::{ControlNode, Place};
use oplog::hash::H;
use oplog::mutants::{Mutant, on};
use oplog::payload::{
    ChannelCreate, ChannelUpdate, CutAttest, DeviceCert, DeviceRevoke, InviteCreate, Mute,
    NewMember, PolicySet, Removal, ScopeCut, Seal, Unmute, Verb, Weight, quorum_of, quorum_target,
};
use oplog::{ChannelId, DeviceId, Digest, Hlc, OpId, Payload, Timestamp, UserId};

use super::state::AuthorityView;

/// A control op, ready to be folded.
pub(super) struct Act {
    pub(super) id: OpId,
    pub(super) user: UserId,
    pub(super) device: DeviceId,
    pub(super) hlc: Hlc,
    pub(super) wall: Timestamp,
    /// `g` of B4: grows along causality.
    pub(super) depth: u64,
    place: Place,
    /// Where it stands among those it may conflict with.
    pub(super) rank: Rank,
    /// The least weight with which its author could have done this. A concurrent
    /// demotion that leaves this much does not touch the op.
    pub(super) needed: Weight,
    /// Whether the author was a member in the op's own past. Acceptance demands it (R4).
    pub(super) by_member: bool,
    /// Who does it together with others, if it is the act of a quorum (A19). Then its author only
    /// brought it.
    pub(super) quorum: Option<Quorum>,
    pub(super) deed: Deed,
}

/// The admins behind an act.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Quorum {
    pub(super) signers: Vec<(UserId, DeviceId)>,
    /// How many of them must still have the right when all is known.
    pub(super) needs: usize,
    /// What they signed: it is used once.
    pub(super) digest: Digest,
}

/// What a control op does to the state.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Deed {
    Genesis {
        name: String,
        cert: Arc<DeviceCert>,
        leaf: Digest,
        owner_removable: bool,
    },
    MemberAdd {
        members: Vec<Admitted>,
        invite: Option<OpId>,
    },
    Kick(Removal),
    Ban(Removal),
    Leave {
        reason: String,
    },
    Unban(UserId),
    RoleSet {
        target: UserId,
        weight: Weight,
        /// Whether it lowered the target in the op's own past. Only such a RoleSet revokes.
        down: bool,
        /// Whether it raised a member, or left them where they were.
        confirms: bool,
    },
    Mute(Mute),
    Unmute(Unmute),
    ChannelCreate(ChannelCreate),
    ChannelUpdate(ChannelUpdate),
    PolicySet(PolicySet),
    InviteCreate(InviteCreate),
    InviteRevoke(OpId),
    DeviceAdd {
        cert: Arc<DeviceCert>,
        key_package: Digest,
    },
    DeviceRevoke(DeviceRevoke),
    EquivocationProof {
        device: DeviceId,
        cut: Vec<ScopeCut>,
    },
    CutAttest(CutAttest),
    Seal(Seal),
    ReaddRequest {
        key_package: Digest,
    },
    /// Key-plane facts are never void (K2).
    Commit,
    /// Merges, and whatever this version cannot read.
    Inert,
}

/// The turns of the pass: an op's verdict depends on ops of an earlier stage, and within
/// [`Stage::Ranked`] on those of higher rank. Within [`Stage::Device`] on those of higher sub-rank.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Stage {
    /// What nothing undoes: the root, facts of the key plane, and what is proved.
    Fact,
    /// What somebody's devices say of each other, the more trustworthy first (A1). Nobody else
    /// has a say in it, so the person's own rank and removal play no part.
    Device(Reverse<i8>),
    /// Going away, which needs nobody's leave, but a device that is one's own.
    Leave,
    /// Everything else.
    Ranked,
}

/// One person in a MemberAdd; of the key package only its hash.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Admitted {
    pub(super) cert: Arc<DeviceCert>,
    pub(super) weight: Weight,
    pub(super) key_package: Digest,
}

/// Two facets of a person's standing, each a key of the fold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Facet {
    Member,
    Role,
}

/// Without the place, whose numbers are of one replica.
impl PartialEq for Act {
    fn eq(&self, other: &Self) -> bool {
        let Self {
            id,
            user,
            device,
            hlc,
            wall,
            depth,
            place: _,
            rank,
            needed,
            by_member,
            quorum,
            deed,
        } = self;
        (*id, *user, *device, *hlc, *wall, *depth)
            == (
                other.id,
                other.user,
                other.device,
                other.hlc,
                other.wall,
                other.depth,
            )
            && (*rank, *needed, *by_member) == (other.rank, other.needed, other.by_member)
            && (quorum, deed) == (&other.quorum, &other.deed)
    }
}

impl Eq for Act {}

/// Only which op it is: views share acts and would print each many times over.
impl core::fmt::Debug for Act {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Act({})", self.id.short())
    }
}

impl Act {
    /// Judges an op by the view of its own past.
    pub(super) fn judge(
        node: &ControlNode,
        payload: Option<Payload>,
        at: &AuthorityView,
        invite_rank: impl Fn(&OpId) -> Option<Rank>,
    ) -> Self {
        let header = node.op.header();
        let is_root = node.past.is_empty();
        let (quorum, payload) = Quorum::read(node, payload, at);
        let deed = Deed::read(payload, at, is_root);
        let founds = matches!(deed, Deed::Genesis { .. });
        let own = at.rank(&header.user);
        let rank = match &deed {
            Deed::Genesis { .. } | Deed::EquivocationProof { .. } => Some(Rank::TOP),
            // A17: the authority is the inviter's, whoever holds the door open.
            Deed::MemberAdd {
                invite: Some(invite),
                ..
            } => invite_rank(invite).map(Rank::just_below),
            Deed::DeviceRevoke(revoke) => {
                let sub = at.revoker(&header.device, revoke);
                own.map(|rank| Rank { sub, ..rank })
            }
            _ => own,
        };
        let rank = match quorum {
            Some(_) => Some(Rank {
                weight: Weight::QUORUM.get(),
                seniority: Reverse((node.depth, node.op.id(), UserId::ZERO)),
                sub: 0,
            }),
            None => rank,
        };
        let weight = at.weight(&header.user).unwrap_or(Weight::new(0));
        Self {
            id: node.op.id(),
            user: header.user,
            device: header.device,
            hlc: header.hlc,
            wall: header.wall,
            depth: node.depth,
            place: node.place(),
            rank: rank.unwrap_or(LOWEST),
            needed: match quorum {
                Some(_) => Weight::ADMIN,
                None => deed.needed(&header.user, weight, at),
            },
            by_member: founds || own.is_some(),
            quorum,
            deed,
        }
    }

    /// Returns whether the author of another op had seen this one. What was seen is less deep, which
    /// is cheaper to ask than the graph.
    pub(super) fn precedes(&self, other: &Self) -> bool {
        self.depth < other.depth && self.place.precedes(&other.place)
    }

    /// Returns whether neither author had seen the other's op.
    pub(super) fn is_concurrent(&self, other: &Self) -> bool {
        self.id != other.id && !self.precedes(other) && !other.precedes(self)
    }

    /// How concurrent writers of one key compare; the greatest decides (B4).
    ///
    /// A Leave stands above all: nobody, of whatever rank, keeps a person in who goes.
    pub(super) fn order(&self) -> (Rank, u8, Hlc, Timestamp, DeviceId, OpId) {
        let rank = match self.mutant_rank() {
            Some(rank) => rank,
            None if self.is_leave() => Rank::TOP,
            None => self.rank,
        };
        (
            rank,
            self.restrictiveness(),
            self.hlc,
            self.wall,
            self.device,
            self.id,
        )
    }

    /// Where the op comes in the pass: whatever its verdict may depend on comes before it.
    pub(super) fn turn(&self) -> (Stage, Reverse<Rank>, bool, u64, OpId) {
        (
            self.stage(),
            Reverse(self.rank),
            !self.is_self_revocation(),
            self.depth,
            self.id,
        )
    }

    /// Returns whether this op's verdict is known when `other`, of the last stage, is judged, and
    /// may count there.
    pub(super) fn is_decided_before(&self, other: &Self) -> bool {
        self.stage() < Stage::Ranked
            || self.rank > other.rank
            || (self.rank == other.rank
                && self.user == other.user
                && self.is_self_revocation()
                && !other.is_self_revocation())
    }

    /// Returns what an op's verdict may depend on at all.
    pub(super) fn stage(&self) -> Stage {
        match &self.deed {
            Deed::Genesis { .. } | Deed::Commit | Deed::EquivocationProof { .. } => Stage::Fact,
            Deed::DeviceRevoke(_) => Stage::Device(Reverse(self.rank.sub)),
            Deed::Leave { .. } => Stage::Leave,
            _ => Stage::Ranked,
        }
    }

    pub(super) const fn is_leave(&self) -> bool {
        matches!(self.deed, Deed::Leave { .. })
    }

    /// Returns whether its author gives up own authority (A12).
    pub(super) fn is_self_revocation(&self) -> bool {
        let own = |(target, _)| target == self.user && self.quorum.is_none();
        self.revokes().is_some_and(own) || self.revoked_device().is_some()
    }

    /// Returns which device of its author it revokes.
    pub(super) const fn revoked_device(&self) -> Option<DeviceId> {
        match &self.deed {
            Deed::DeviceRevoke(revoke) => Some(revoke.device),
            _ => None,
        }
    }

    /// Returns which device it proves to have equivocated, and what of it the author had seen.
    pub(super) fn freezes(&self) -> Option<(DeviceId, &[ScopeCut])> {
        match &self.deed {
            Deed::EquivocationProof { device, cut } => Some((*device, cut)),
            _ => None,
        }
    }

    /// Returns what it says, if it adds to a removal.
    pub(super) const fn attest(&self) -> Option<&CutAttest> {
        match &self.deed {
            Deed::CutAttest(attest) => Some(attest),
            _ => None,
        }
    }

    /// Returns what it makes final, if it is a Seal.
    pub(super) const fn seal(&self) -> Option<&Seal> {
        match &self.deed {
            Deed::Seal(seal) => Some(seal),
            _ => None,
        }
    }

    /// Returns what it says, if it revokes a device.
    pub(super) const fn device_revoke(&self) -> Option<&DeviceRevoke> {
        match &self.deed {
            Deed::DeviceRevoke(revoke) => Some(revoke),
            _ => None,
        }
    }

    /// Returns whose authority it takes, and the weight that remains.
    pub(super) fn revokes(&self) -> Option<(UserId, u8)> {
        match &self.deed {
            Deed::Kick(removal) | Deed::Ban(removal) => Some((removal.target, 0)),
            Deed::Leave { .. } => Some((self.user, 0)),
            Deed::RoleSet {
                target,
                weight,
                down: true,
                ..
            } => Some((*target, weight.get())),
            _ => None,
        }
    }

    /// Returns whether it makes (`true`) or unmakes (`false`) this person a member, `None`
    /// when it does neither. A promotion confirms membership: it must, since someone
    /// raised above whoever admitted them acts on the promotion alone (A9).
    pub(super) fn makes_member(&self, user: &UserId) -> Option<bool> {
        match &self.deed {
            Deed::Kick(removal) | Deed::Ban(removal) if removal.target == *user => Some(false),
            Deed::Leave { .. } if self.user == *user => Some(false),
            Deed::RoleSet {
                target,
                confirms: true,
                ..
            } if target == user => Some(true),
            Deed::Genesis { .. } | Deed::MemberAdd { .. } => self.level(user).map(|_| true),
            _ => None,
        }
    }

    /// Returns the weight that it gives this person, `None` when it gives none.
    pub(super) fn level(&self, user: &UserId) -> Option<u8> {
        match &self.deed {
            Deed::Genesis { .. } if self.user == *user => Some(Weight::OWNER.get()),
            Deed::MemberAdd { members, .. } => {
                let at = members.binary_search_by(|m| m.cert.user.cmp(user)).ok()?;
                members.get(at).map(|m| m.weight.get())
            }
            Deed::RoleSet { target, weight, .. } if target == user => Some(weight.get()),
            _ => None,
        }
    }

    /// Returns whether it writes this facet of this person.
    pub(super) fn writes(&self, user: &UserId, facet: Facet) -> bool {
        match facet {
            Facet::Member => self.makes_member(user).is_some(),
            Facet::Role => self.level(user).is_some(),
        }
    }

    /// Returns everyone whose membership or role it writes.
    pub(super) fn subjects(&self) -> Vec<UserId> {
        match &self.deed {
            Deed::Genesis { .. } | Deed::Leave { .. } => vec![self.user],
            Deed::MemberAdd { members, .. } => members.iter().map(|m| m.cert.user).collect(),
            Deed::Kick(removal) | Deed::Ban(removal) => vec![removal.target],
            Deed::Unban(target) | Deed::RoleSet { target, .. } => vec![*target],
            _ => Vec::new(),
        }
    }

    /// Returns whether it lifts a ban on this person, if its rank suffices.
    pub(super) fn lifts_ban(&self, user: &UserId) -> bool {
        matches!(&self.deed, Deed::Unban(target) if target == user)
            || self.makes_member(user) == Some(true)
    }

    /// Returns the certificates it brings, with the hash of the key package that came along.
    pub(super) fn certs(&self) -> Vec<(&Arc<DeviceCert>, Digest)> {
        match &self.deed {
            Deed::Genesis { cert, leaf, .. } => vec![(cert, *leaf)],
            Deed::MemberAdd { members, .. } => {
                members.iter().map(|m| (&m.cert, m.key_package)).collect()
            }
            Deed::DeviceAdd { cert, key_package } if cert.user == self.user => {
                vec![(cert, *key_package)]
            }
            _ => Vec::new(),
        }
    }

    /// Returns what it says, if it makes a channel.
    pub(super) fn channel_create(&self) -> Option<&ChannelCreate> {
        match &self.deed {
            Deed::ChannelCreate(create) => Some(create),
            _ => None,
        }
    }

    /// Returns what it says, if it changes a channel.
    pub(super) fn channel_update(&self) -> Option<&ChannelUpdate> {
        match &self.deed {
            Deed::ChannelUpdate(update) => Some(update),
            _ => None,
        }
    }

    /// Returns the least weight that it sets for a verb in a channel.
    pub(super) fn permission(&self, verb: Verb) -> Option<Weight> {
        let permissions = &self.channel_update()?.permissions;
        permissions.iter().find(|p| p.verb == verb).map(|p| p.least)
    }

    /// Returns what it says, if it sets policies.
    pub(super) fn policy_set(&self) -> Option<&PolicySet> {
        match &self.deed {
            Deed::PolicySet(set) => Some(set),
            _ => None,
        }
    }

    /// Returns its terms, if it opens an invite.
    pub(super) fn invite_terms(&self) -> Option<&InviteCreate> {
        match &self.deed {
            Deed::InviteCreate(terms) => Some(terms),
            _ => None,
        }
    }

    /// Returns the invite it closes.
    pub(super) fn closes_invite(&self) -> Option<OpId> {
        match self.deed {
            Deed::InviteRevoke(invite) => Some(invite),
            _ => None,
        }
    }

    /// Returns the people it admits, and by which invite.
    pub(super) fn admission(&self) -> Option<(&[Admitted], Option<OpId>)> {
        match &self.deed {
            Deed::MemberAdd { members, invite } => Some((members, *invite)),
            _ => None,
        }
    }

    /// Returns the people it admits by an invite.
    pub(super) fn admission_by_invite(&self) -> Option<(&[Admitted], OpId)> {
        let (members, invite) = self.admission()?;
        Some((members, invite?))
    }

    /// Returns what it says, if it kicks or bans.
    pub(super) fn removal(&self) -> Option<&Removal> {
        match &self.deed {
            Deed::Kick(removal) | Deed::Ban(removal) => Some(removal),
            _ => None,
        }
    }

    /// Returns which mute it sets or lifts.
    pub(super) fn mute_key(&self) -> Option<(UserId, Option<ChannelId>)> {
        match &self.deed {
            Deed::Mute(mute) => Some((mute.target, mute.channel)),
            Deed::Unmute(unmute) => Some((unmute.target, unmute.channel)),
            _ => None,
        }
    }

    /// Returns until when it mutes, [`FOREVER`] when without end; `None` unless it is a Mute.
    pub(super) fn muted_until(&self) -> Option<Hlc> {
        match &self.deed {
            Deed::Mute(mute) => Some(mute.expires.unwrap_or(FOREVER)),
            _ => None,
        }
    }

    /// For tests of the checkers: something else than rank decides first.
    fn mutant_rank(&self) -> Option<Rank> {
        let [first, ..] = *self.id.as_bytes();
        let instead = match () {
            () if on(Mutant::DigestFirst) => first,
            () if on(Mutant::StrictestFirst) => self.restrictiveness(),
            () => return None,
        };
        Some(Rank {
            weight: instead,
            ..self.rank
        })
    }

    const fn restrictiveness(&self) -> u8 {
        match self.deed {
            Deed::Ban(_) => 5,
            Deed::Kick(_) | Deed::Leave { .. } | Deed::DeviceRevoke(_) => 4,
            Deed::RoleSet { down: true, .. } => 3,
            Deed::Mute(_) => 2,
            _ => 0,
        }
    }
}

impl Quorum {
    /// Takes an act of a quorum apart: who, and what.
    fn read(
        node: &ControlNode,
        payload: Option<Payload>,
        at: &AuthorityView,
    ) -> (Option<Self>, Option<Payload>) {
        let Some(Payload::QuorumAct(act)) = payload else {
            return (None, payload);
        };
        let Some(action) = act.action() else {
            return (None, None);
        };
        let target = quorum_target(&action);
        let admins = at.admins().into_iter();
        let voters = admins.filter(|admin| Some(*admin) != target).count();
        let header = node.op.header();
        let quorum = Self {
            signers: act.signers.iter().map(|s| (s.user, s.device)).collect(),
            needs: quorum_of(voters, &action),
            digest: act.digest(&header.space, &header.device),
        };
        (Some(quorum), Some(action))
    }
}

impl Deed {
    fn read(payload: Option<Payload>, at: &AuthorityView, is_root: bool) -> Self {
        let Some(payload) = payload else {
            return Self::Inert;
        };
        match payload {
            // There is one root. Acceptance refuses any other Genesis.
            Payload::Genesis(genesis) if is_root => Self::Genesis {
                name: genesis.name,
                cert: Arc::new(genesis.cert),
                leaf: genesis.leaf,
                owner_removable: genesis.owner_removable,
            },
            Payload::MemberAdd(add) => Self::MemberAdd {
                members: add.members.into_iter().map(Admitted::from).collect(),
                invite: add.invite,
            },
            Payload::Kick(removal) => Self::Kick(removal),
            Payload::Ban(removal) => Self::Ban(removal),
            Payload::Leave(leave) => Self::Leave {
                reason: leave.reason,
            },
            Payload::Unban(unban) => Self::Unban(unban.target),
            Payload::RoleSet(set) => {
                let now = at.weight(&set.target);
                Self::RoleSet {
                    down: now.is_some_and(|now| set.weight < now),
                    confirms: now.is_some_and(|now| set.weight >= now),
                    target: set.target,
                    weight: set.weight,
                }
            }
            Payload::Mute(mute) => Self::Mute(mute),
            Payload::Unmute(unmute) => Self::Unmute(unmute),
            Payload::ChannelCreate(create) => Self::ChannelCreate(create),
            Payload::ChannelUpdate(update) => Self::ChannelUpdate(update),
            Payload::PolicySet(set) => Self::PolicySet(set),
            Payload::InviteCreate(create) => Self::InviteCreate(create),
            Payload::InviteRevoke(revoke) => Self::InviteRevoke(revoke.invite),
            Payload::DeviceAdd(add) => Self::DeviceAdd {
                key_package: key_package_hash(&add.key_package),
                cert: Arc::new(add.cert),
            },
            Payload::DeviceRevoke(revoke) => Self::DeviceRevoke(revoke),
            Payload::EquivocationProof(proof) => match proof.device() {
                Some(device) => Self::EquivocationProof {
                    device,
                    cut: proof.cut,
                },
                None => Self::Inert,
            },
            Payload::CutAttest(attest) => Self::CutAttest(attest),
            Payload::Seal(seal) => Self::Seal(seal),
            // What it says of the commit, the tree of epochs keeps.
            Payload::CommitComplaint(complaint) => Self::ReaddRequest {
                key_package: key_package_hash(&complaint.key_package),
            },
            Payload::ReaddRequest(request) => Self::ReaddRequest {
                key_package: key_package_hash(&request.key_package),
            },
            Payload::Commit(_) => Self::Commit,
            Payload::Genesis(_)
            | Payload::Merge
            | Payload::QuorumAct(_)
            | Payload::ThreadCreate(_)
            | Payload::ThreadUpdate(_)
            | Payload::Post(_)
            | Payload::Edit(_)
            | Payload::React(_)
            | Payload::Unreact(_)
            | Payload::SelfDelete
            | Payload::ModTombstone(_)
            | Payload::ModRestore
            | Payload::Pin
            | Payload::Unpin => Self::Inert,
        }
    }

    /// The least weight that suffices, never more than the author had: what an op was
    /// allowed for by seniority alone needs all of the author's weight.
    fn needed(&self, author: &UserId, weight: Weight, at: &AuthorityView) -> Weight {
        let least = |verb, channel: Option<&ChannelId>| at.least(verb, channel);
        let above = |target: &UserId| {
            at.weight(target)
                .map_or(Weight::new(0), |w| Weight::new(w.get().saturating_add(1)))
        };
        let needed = match self {
            Self::MemberAdd {
                invite: Some(invite),
                ..
            } => match at.invite(invite) {
                Some((invite, _)) if invite.approval => Weight::MODERATOR,
                _ => Weight::MEMBER,
            },
            Self::MemberAdd { members, .. } => members
                .iter()
                .map(|m| least_to_admit(m.weight))
                .fold(least(Verb::Invite, None), Weight::max),
            Self::Kick(removal) => least(Verb::Kick, None).max(above(&removal.target)),
            Self::Ban(removal) => least(Verb::Ban, None).max(above(&removal.target)),
            Self::Unban(_) => least(Verb::Ban, None),
            // Giving up needs no more than what is kept.
            Self::RoleSet { target, weight, .. } if target == author => *weight,
            Self::RoleSet { target, weight, .. } => least(Verb::Roles, None)
                .max(least_to_give(*weight))
                .max(above(target)),
            Self::Mute(mute) => least(Verb::Mute, mute.channel.as_ref()).max(above(&mute.target)),
            Self::Unmute(unmute) => least(Verb::Mute, unmute.channel.as_ref()),
            Self::ChannelCreate(_) => least(Verb::Channels, None),
            // As acceptance has it: a channel's overrides are about what happens in it.
            Self::ChannelUpdate(_) => least(Verb::Channels, None),
            // A18: features are the owner's.
            Self::PolicySet(set) if set.features.is_some() => Weight::OWNER,
            Self::PolicySet(_) => least(Verb::Policy, None),
            Self::InviteCreate(create) => least(Verb::Invite, None).max(create.weight),
            Self::InviteRevoke(_) => least(Verb::Invite, None),
            Self::CutAttest(_) => least(Verb::Tombstone, None),
            Self::Seal(_) => least(Verb::Policy, None),
            Self::Genesis { .. }
            | Self::Leave { .. }
            | Self::DeviceAdd { .. }
            | Self::DeviceRevoke(_)
            | Self::EquivocationProof { .. }
            | Self::ReaddRequest { .. }
            | Self::Commit
            | Self::Inert => least(Verb::Upkeep, None),
        };
        needed.min(weight).max(Weight::new(1))
    }
}

/// The least weight that lets somebody in with this one: above member, that of giving the role.
fn least_to_admit(weight: Weight) -> Weight {
    if weight > Weight::MEMBER {
        least_to_give(weight)
    } else {
        weight
    }
}

impl From<NewMember> for Admitted {
    fn from(member: NewMember) -> Self {
        Self {
            key_package: key_package_hash(&member.key_package),
            cert: Arc::new(member.cert),
            weight: member.weight,
        }
    }
}

fn key_package_hash(bytes: &[u8]) -> Digest {
    Digest::from_bytes(H::new("key-package").field(bytes).finish())
}

/// An end that never comes.
const FOREVER: Hlc = Hlc::from_raw(u64::MAX);

/// Below every member: the rank of an op whose author was nobody in its own past.
const LOWEST: Rank = Rank {
    weight: 0,
    seniority: Reverse((
        u64::MAX,
        OpId::from_bytes([0xff; 32]),
        UserId::from_bytes([0xff; 32]),
    )),
    sub: i8::MIN,
};
