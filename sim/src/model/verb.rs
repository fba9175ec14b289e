//! The permission table (B4).

use super::act::Act;
use super::op::Op;
use super::state::State;

/// What can be permitted; numbers as in `docs/format.md`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Verb {
    Post,
    React,
    Thread,
    Pin,
    Tombstone,
    Mute,
    Kick,
    Invite,
    Ban,
    Channels,
    Roles,
    Policy,
    Own,
    Upkeep,
}

impl Verb {
    /// The least weight where nobody said otherwise.
    pub(super) const fn default_least(self) -> u8 {
        match self {
            Self::Upkeep => 1,
            Self::Post | Self::React | Self::Thread | Self::Own => 10,
            Self::Pin | Self::Tombstone | Self::Mute | Self::Kick | Self::Invite => 20,
            Self::Ban | Self::Channels | Self::Roles | Self::Policy => 50,
        }
    }
}

/// The verb of a kind; `None` for Genesis.
pub(super) const fn of(kind: u16) -> Option<Verb> {
    Some(match kind {
        1 | 11 | 15..=20 | 22 => Verb::Upkeep,
        2 | 3 => Verb::Channels,
        4 | 23 => Verb::Policy,
        5..=7 => Verb::Invite,
        8 => Verb::Kick,
        9 | 10 => Verb::Ban,
        12 => Verb::Roles,
        13 | 14 => Verb::Mute,
        64 | 65 => Verb::Thread,
        66 => Verb::Post,
        67 | 70 => Verb::Own,
        68 | 69 => Verb::React,
        21 | 71 | 72 => Verb::Tombstone,
        73 | 74 => Verb::Pin,
        _ => return None,
    })
}

/// The least weight to give somebody a role: above moderator only owners.
pub(super) const fn to_give(weight: u8) -> u8 {
    if weight > 20 { 100 } else { 50 }
}

/// The least weight to let somebody in as this.
pub(super) const fn to_admit_as(weight: u8) -> u8 {
    if weight > 10 { to_give(weight) } else { 0 }
}

/// R6: the weight that an op needs, in the view of its past. Of content: by its kind alone.
pub(super) fn needed(o: &Op, view: &State<'_, '_>) -> u8 {
    let Some(verb) = of(o.kind) else { return 100 };
    // Anybody brings what others decided.
    if o.quorum().is_some() {
        return 1;
    }
    match o.deed() {
        // Stepping down needs nobody's leave.
        Some(Act::RoleSet(role)) if role.target == o.user => 1,
        Some(Act::RoleSet(role)) => view.least(verb, None).max(to_give(role.weight)),
        Some(Act::MemberAdd(add)) => match add.invite {
            Some(invite) if view.invite(&invite).is_some_and(|i| i.approval) => {
                view.least(verb, None)
            }
            Some(_) => 10,
            None => {
                let most = add.members.iter().map(|m| m.weight).max().unwrap_or(0);
                view.least(verb, None).max(to_admit_as(most))
            }
        },
        Some(Act::PolicySet(policy)) if policy.features.is_some() => 100,
        Some(Act::Mute(mute)) => view.least(verb, mute.channel.as_ref()),
        Some(Act::Unmute(mute)) => view.least(verb, mute.channel.as_ref()),
        _ => view.least(verb, o.channel.as_ref()),
    }
}

/// B4: the weight without which its author could not have done it: what R6 needs, what it gives,
/// and one more than its target's; but never more than the author had, since what one was
/// allowed by seniority alone needs all of one's weight.
pub(super) fn stood_on(o: &Op, view: &State<'_, '_>) -> u8 {
    // Of each of its signers.
    if o.quorum().is_some() {
        return 50;
    }
    let above = |target: &crate::model::id::Id| view.weight(target).map_or(0, |w| w + 1);
    let also = match o.deed() {
        Some(Act::Kick(r) | Act::Ban(r)) => above(&r.target),
        Some(Act::Mute(m)) => above(&m.target),
        // Giving up needs no more than what is kept.
        Some(Act::RoleSet(role)) if role.target == o.user => role.weight,
        Some(Act::RoleSet(role)) => role.weight.max(above(&role.target)),
        Some(Act::MemberAdd(add)) if add.invite.is_none() => {
            add.members.iter().map(|m| m.weight).max().unwrap_or(0)
        }
        Some(Act::InviteCreate(invite)) => invite.weight,
        _ => 0,
    };
    let had = view.weight(&o.user).unwrap_or(0);
    needed(o, view).max(also).min(had).max(1)
}
