//! What ops can do: the kinds, their numbers on the wire, and the features that switch new ones on.

use core::fmt;

macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident = $number:literal, $text:literal;)*) => {
        /// What an op does. Numbers are frozen (`docs/format.md`).
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        #[repr(u16)]
        pub enum Kind {
            $($(#[$doc])* $name = $number,)*
        }

        impl Kind {
            /// Every kind, in the order of its number.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// Returns the kind with this number, `None` when this version knows none.
            #[must_use]
            pub const fn from_number(number: u16) -> Option<Self> {
                match number {
                    $($number => Some(Self::$name),)*
                    _ => None,
                }
            }

            /// Returns its name in the audit log and on the command line.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)*
                }
            }
        }
    };
}

kinds! {
    /// Founds the Space.
    Genesis = 0, "genesis";
    /// Joins control heads; no payload.
    Merge = 1, "merge";
    /// Makes a channel.
    ChannelCreate = 2, "channel-create";
    /// Renames, archives or re-permits a channel.
    ChannelUpdate = 3, "channel-update";
    /// Sets policies of the Space.
    PolicySet = 4, "policy-set";
    /// Opens an invite.
    InviteCreate = 5, "invite-create";
    /// Closes an invite.
    InviteRevoke = 6, "invite-revoke";
    /// Makes people members.
    MemberAdd = 7, "member-add";
    /// Removes a member, who may be invited again.
    Kick = 8, "kick";
    /// Removes a member until an Unban.
    Ban = 9, "ban";
    /// Lifts a ban; does not make a member.
    Unban = 10, "unban";
    /// The author goes.
    Leave = 11, "leave";
    /// Gives a member a role.
    RoleSet = 12, "role-set";
    /// Silences a member, for good or for a while (timeout).
    Mute = 13, "mute";
    /// Lifts a mute.
    Unmute = 14, "unmute";
    /// Adds a device of the author.
    DeviceAdd = 15, "device-add";
    /// Revokes a device of the author, for good.
    DeviceRevoke = 16, "device-revoke";
    /// Admins act together.
    QuorumAct = 17, "quorum-act";
    /// Carries an MLS commit: begins an epoch.
    Commit = 18, "commit";
    /// Asks to be removed from and added to the group again.
    ReaddRequest = 19, "readd-request";
    /// Says that a commit cannot be followed, and asks to be added again.
    CommitComplaint = 20, "commit-complaint";
    /// Adds coverage to a removal.
    CutAttest = 21, "cut-attest";
    /// Proves two ops at one place of a lane, and freezes their device.
    EquivocationProof = 22, "equivocation-proof";
    /// Makes the past final.
    Seal = 23, "seal";
    /// Opens a thread.
    ThreadCreate = 64, "thread-create";
    /// Changes a thread's title or tags.
    ThreadUpdate = 65, "thread-update";
    /// Says something.
    Post = 66, "post";
    /// Replaces the text of an own post.
    Edit = 67, "edit";
    /// Adds a reaction.
    React = 68, "react";
    /// Takes an own reaction back.
    Unreact = 69, "unreact";
    /// The author deletes an own post.
    SelfDelete = 70, "self-delete";
    /// A moderator hides a post or thread.
    ModTombstone = 71, "mod-tombstone";
    /// A moderator shows it again.
    ModRestore = 72, "mod-restore";
    /// Pins a post.
    Pin = 73, "pin";
    /// Unpins a post.
    Unpin = 74, "unpin";
    /// Where the author has read to; lives in the private log only.
    ReadMarker = 75, "read-marker";
}

impl Kind {
    /// Returns the number on the wire.
    #[must_use]
    pub const fn number(self) -> u16 {
        self as u16
    }

    /// Returns whether it belongs to the control plane.
    #[must_use]
    pub const fn is_control(self) -> bool {
        self.number() < 64
    }

    /// Returns the feature that an owner must have enabled before this kind is valid (A18).
    #[must_use]
    pub const fn feature(self) -> Features {
        match self {
            Self::ReadMarker => Features::PRIVATE_LOG,
            Self::Genesis
            | Self::Merge
            | Self::ChannelCreate
            | Self::ChannelUpdate
            | Self::PolicySet
            | Self::InviteCreate
            | Self::InviteRevoke
            | Self::MemberAdd
            | Self::Kick
            | Self::Ban
            | Self::Unban
            | Self::Leave
            | Self::RoleSet
            | Self::Mute
            | Self::Unmute
            | Self::DeviceAdd
            | Self::DeviceRevoke
            | Self::Commit
            | Self::ReaddRequest
            | Self::QuorumAct
            | Self::CommitComplaint
            | Self::CutAttest
            | Self::EquivocationProof
            | Self::Seal
            | Self::ThreadCreate
            | Self::ThreadUpdate
            | Self::Post
            | Self::Edit
            | Self::React
            | Self::Unreact
            | Self::SelfDelete
            | Self::ModTombstone
            | Self::ModRestore
            | Self::Pin
            | Self::Unpin => Features::NONE,
        }
    }

    /// Returns whether the op acts on exactly one earlier content op, named as its only `prev` (R8).
    #[must_use]
    pub const fn has_content_target(self) -> bool {
        matches!(
            self,
            Self::ThreadUpdate
                | Self::Edit
                | Self::React
                | Self::Unreact
                | Self::SelfDelete
                | Self::ModTombstone
                | Self::ModRestore
                | Self::Pin
                | Self::Unpin
        )
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What a Space has switched on beyond the base of version 1, as a bit set that only grows.
///
/// A kind whose feature no owner's PolicySet in the op's causal past enables is invalid for
/// good; a node that meets an enabled feature it does not know stops writing (A18).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Features(u64);

impl Features {
    /// The base.
    pub const NONE: Self = Self(0);
    /// Read markers in a private log.
    pub const PRIVATE_LOG: Self = Self(1 << 4);
    /// What this version implements.
    pub const KNOWN: Self = Self::NONE;

    /// Wraps raw bits.
    #[must_use]
    pub const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    /// Returns the raw bits.
    #[must_use]
    pub const fn bits(self) -> u64 {
        self.0
    }

    /// Returns whether every feature of `other` is in this set.
    #[must_use]
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Returns the features of both sets.
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_kinds_are_one_to_one() {
        for number in 0..=u16::MAX {
            if let Some(kind) = Kind::from_number(number) {
                assert_eq!(kind.number(), number);
            }
        }
        assert_eq!(Kind::ALL.iter().filter(|k| k.is_control()).count(), 24);
        assert_eq!(Kind::ALL.len(), 36);
    }
}
