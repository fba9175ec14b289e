//! The permission table of B4, as data.

use crate::kind::Kind;
use crate::payload::{Verb, Weight};

/// Returns what a kind needs permission for. What one verb cannot say (own thread or another's,
/// by invite or by right) the judges of each kind add.
#[must_use]
pub const fn verb(kind: Kind) -> Verb {
    match kind {
        Kind::Genesis
        | Kind::Merge
        | Kind::Leave
        | Kind::DeviceAdd
        | Kind::DeviceRevoke
        | Kind::QuorumAct
        | Kind::Commit
        | Kind::ReaddRequest
        | Kind::CommitComplaint
        | Kind::EquivocationProof
        | Kind::ReadMarker => Verb::Upkeep,
        Kind::ChannelCreate | Kind::ChannelUpdate => Verb::Channels,
        Kind::PolicySet | Kind::Seal => Verb::Policy,
        Kind::InviteCreate | Kind::InviteRevoke | Kind::MemberAdd => Verb::Invite,
        Kind::Kick => Verb::Kick,
        Kind::Ban | Kind::Unban => Verb::Ban,
        Kind::RoleSet => Verb::Roles,
        Kind::Mute | Kind::Unmute => Verb::Mute,
        Kind::CutAttest | Kind::ModTombstone | Kind::ModRestore => Verb::Tombstone,
        Kind::ThreadCreate | Kind::ThreadUpdate => Verb::Thread,
        Kind::Post => Verb::Post,
        Kind::Edit | Kind::SelfDelete => Verb::Own,
        Kind::React | Kind::Unreact => Verb::React,
        Kind::Pin | Kind::Unpin => Verb::Pin,
    }
}

/// Returns the least weight for a verb where nothing overrides it (B4).
#[must_use]
pub const fn default_least(verb: Verb) -> Weight {
    match verb {
        Verb::Upkeep => Weight::new(1),
        Verb::Post | Verb::React | Verb::Thread | Verb::Own => Weight::MEMBER,
        Verb::Pin | Verb::Tombstone | Verb::Mute | Verb::Kick | Verb::Invite => Weight::MODERATOR,
        Verb::Ban | Verb::Channels | Verb::Roles | Verb::Policy => Weight::ADMIN,
    }
}

/// Returns the least weight that may give this weight: what RoleSet needs, and MemberAdd above member.
///
/// Admins give up to moderator; above that only an owner gives, and nobody more than they have.
#[must_use]
pub const fn least_to_give(weight: Weight) -> Weight {
    if weight.get() <= Weight::MODERATOR.get() {
        Weight::ADMIN
    } else {
        Weight::OWNER
    }
}
