//! Payloads that govern: channels, policies, invites, removals, roles, mutes, MLS commits.

use minicbor::bytes::ByteVec;
use minicbor::{Decode, Encode};

use super::member::{NAME_BYTES_MAX, Weight};
use super::{Limit, limit};
use crate::codec::is_sorted_set;
use crate::hash::H;
use crate::hlc::Hlc;
use crate::ids::{ChannelId, DeviceId, Digest, EpochId, OpId, Scope, Signature, UserId};
use crate::kind::Features;

/// Longest reason or channel topic, in bytes of UTF-8.
const REASON_BYTES_MAX: usize = 1024;
/// Most lanes that one removal's cut lists: 500 scopes of 8 devices.
pub(super) const CUT_HEADS_MAX: usize = 4_000;
/// Most overrides in one ChannelUpdate: every verb once.
const PERMISSIONS_MAX: usize = 32;

/// How a channel is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
#[cbor(index_only)]
pub enum ChannelKind {
    /// Titled topics with replies.
    #[n(0)]
    Forum,
    /// One running conversation.
    #[n(1)]
    Chat,
    /// A chat in which only moderators post.
    #[n(2)]
    Announcement,
}

/// How much of the past a newcomer is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
#[cbor(index_only)]
pub enum History {
    /// The newest posts, as many as a bundle carries.
    #[n(0)]
    Recent,
    /// Nothing from before they came.
    #[n(1)]
    SinceJoin,
}

/// What a permission is about; the least weight for it can be overridden in each channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
#[cbor(index_only)]
pub enum Verb {
    /// Post and reply.
    #[n(0)]
    Post,
    /// React.
    #[n(1)]
    React,
    /// Open a thread, change its title or tags.
    #[n(2)]
    Thread,
    /// Pin and unpin.
    #[n(3)]
    Pin,
    /// Hide and restore what others wrote.
    #[n(4)]
    Tombstone,
    /// Mute and unmute.
    #[n(5)]
    Mute,
    /// Kick.
    #[n(6)]
    Kick,
    /// Make and revoke invites, admit people without one.
    #[n(7)]
    Invite,
    /// Ban and unban.
    #[n(8)]
    Ban,
    /// Make and change channels.
    #[n(9)]
    Channels,
    /// Give roles.
    #[n(10)]
    Roles,
    /// Set policies.
    #[n(11)]
    Policy,
    /// Edit and delete one's own.
    #[n(12)]
    Own,
    /// What the group needs to run: commits, merges, devices, re-adds, leaving.
    #[n(13)]
    Upkeep,
}

/// What somebody does, after "to".
impl core::fmt::Display for Verb {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::Post => "post here",
            Self::React => "react here",
            Self::Thread => "open or change threads here",
            Self::Pin => "pin here",
            Self::Tombstone => "hide what others wrote",
            Self::Mute => "mute",
            Self::Kick => "kick",
            Self::Invite => "invite or admit people",
            Self::Ban => "ban",
            Self::Channels => "make or change channels",
            Self::Roles => "give roles",
            Self::Policy => "change the Space's policies",
            Self::Own => "edit or delete one's own",
            Self::Upkeep => "look after the group",
        })
    }
}

/// Makes a channel; its id comes from this op.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct ChannelCreate {
    /// Its name.
    #[n(0)]
    pub name: String,
    /// How it is used.
    #[n(1)]
    pub kind: ChannelKind,
    /// What it is about.
    #[n(2)]
    pub topic: String,
    /// The heading it stands under.
    #[n(3)]
    pub category: Option<String>,
    /// How much newcomers see.
    #[n(4)]
    pub history: History,
    /// Reserved for channels with a group of their own; refused when true.
    #[n(5)]
    pub private: bool,
}

impl ChannelCreate {
    pub(super) fn check_limits(&self) -> Limit {
        limit(
            !self.name.is_empty() && self.name.len() <= NAME_BYTES_MAX,
            "the name is empty or too long",
        )?;
        limit(
            self.topic.len() <= REASON_BYTES_MAX,
            "the topic is too long",
        )?;
        limit(
            self.category
                .as_ref()
                .is_none_or(|c| c.len() <= NAME_BYTES_MAX),
            "the category is too long",
        )?;
        limit(!self.private, "private channels are not built yet")
    }
}

/// The least weight for one verb in one channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
#[cbor(map)]
pub struct ChannelPermission {
    /// For what.
    #[n(0)]
    pub verb: Verb,
    /// The least weight.
    #[n(1)]
    pub least: Weight,
}

/// Changes a channel; what is absent stays.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct ChannelUpdate {
    /// Which.
    #[n(0)]
    pub channel: ChannelId,
    /// A new name.
    #[n(1)]
    pub name: Option<String>,
    /// A new topic.
    #[n(2)]
    pub topic: Option<String>,
    /// A new heading.
    #[n(3)]
    pub category: Option<String>,
    /// Closed for posting, still readable.
    #[n(4)]
    pub archived: Option<bool>,
    /// Permissions to override, sorted.
    #[n(5)]
    pub permissions: Vec<ChannelPermission>,
}

impl ChannelUpdate {
    pub(super) fn check_limits(&self) -> Limit {
        let short = |text: &Option<String>, max| text.as_ref().is_none_or(|t| t.len() <= max);
        limit(
            self.name.as_ref().is_none_or(|n| !n.is_empty()),
            "the name is empty",
        )?;
        limit(short(&self.name, NAME_BYTES_MAX), "the name is too long")?;
        limit(
            short(&self.topic, REASON_BYTES_MAX),
            "the topic is too long",
        )?;
        limit(
            short(&self.category, NAME_BYTES_MAX),
            "the category is too long",
        )?;
        limit(
            self.permissions.len() <= PERMISSIONS_MAX,
            "too many permissions",
        )?;
        limit(
            self.permissions.is_sorted_by(|a, b| a.verb < b.verb),
            "permissions are not sorted",
        )
    }
}

/// Sets policies of the Space; what is absent stays. Each field is a key of its own.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct PolicySet {
    /// A new name of the Space.
    #[n(0)]
    pub name: Option<String>,
    /// What late posts of kicked people become unless the kick says otherwise.
    #[n(1)]
    pub kick_late: Option<LatePolicy>,
    /// What late posts of banned people become unless the ban says otherwise.
    #[n(2)]
    pub ban_late: Option<LatePolicy>,
    /// Features to switch on, as bits; only an owner may (A18).
    #[n(3)]
    pub features: Option<u64>,
    /// Whether clients delay sends and add cover traffic.
    #[n(4)]
    pub timing_privacy: Option<bool>,
    /// Whether equal attachments are stored once (A7).
    #[n(5)]
    pub dedup: Option<bool>,
    /// After how many commits clients seal by themselves; 0: never. Says when they look, and
    /// decides about no op.
    #[n(6)]
    pub seal_every: Option<u32>,
}

/// Most commits between two Seals that a policy may say: guess, more than a busy Space has in a year.
pub const SEAL_EVERY_MAX: u32 = 10_000;

impl PolicySet {
    /// Returns the features it switches on.
    #[must_use]
    pub fn features(&self) -> Features {
        Features::from_bits(self.features.unwrap_or(0))
    }

    pub(super) fn check_limits(&self) -> Limit {
        let name = self.name.as_ref();
        limit(
            name.is_none_or(|n| !n.is_empty() && n.len() <= NAME_BYTES_MAX),
            "the name is empty or too long",
        )?;
        limit(
            self.seal_every.is_none_or(|every| every <= SEAL_EVERY_MAX),
            "too many commits between two seals",
        )
    }
}

/// Opens an invite. Whoever holds the secret of `key` may ask to join until it ends.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct InviteCreate {
    /// Ed25519 public key; its secret travels in the link alone.
    #[n(0)]
    pub key: Digest,
    /// The role that newcomers get, at most member.
    #[n(1)]
    pub weight: Weight,
    /// How many may come, from 1.
    #[n(2)]
    pub max_uses: u32,
    /// Until when.
    #[n(3)]
    pub expires: Hlc,
    /// The channel that newcomers are shown first.
    #[n(4)]
    pub channel: Option<ChannelId>,
    /// Whether a moderator must admit each.
    #[n(5)]
    pub approval: bool,
}

impl InviteCreate {
    pub(super) fn check_limits(&self) -> Limit {
        limit(self.max_uses > 0, "an invite for nobody")?;
        limit(
            matches!(self.weight, Weight::GUEST | Weight::MEMBER),
            "an invite above member",
        )
    }
}

/// Closes an invite.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct InviteRevoke {
    /// The op that opened it.
    #[n(0)]
    pub invite: OpId,
}

/// What becomes of posts that a removed person wrote without having seen the removal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
#[cbor(index_only)]
pub enum LatePolicy {
    /// Shown, with a flag.
    #[n(0)]
    Accept,
    /// Behind a click.
    #[n(1)]
    Quarantine,
    /// Not accepted where the cut lists the scope.
    #[n(2)]
    Reject,
}

/// The last op of one lane that a remover had seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
#[cbor(map)]
pub struct CutHead {
    /// Whose lane.
    #[n(0)]
    pub device: DeviceId,
    /// Position of the head.
    #[n(1)]
    pub seq: u64,
    /// The head.
    #[n(2)]
    pub op: OpId,
}

/// What a remover had seen of the target in one scope; no heads means "synced, nothing there" (A13).
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct ScopeCut {
    /// Where; content scopes only.
    #[n(0)]
    pub scope: Scope,
    /// Heads, sorted by device.
    #[n(1)]
    pub heads: Vec<CutHead>,
}

/// Tombstone everything of one lane from a position on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
#[cbor(map)]
pub struct PurgeFrom {
    /// Whose lane.
    #[n(0)]
    pub device: DeviceId,
    /// Where.
    #[n(1)]
    pub scope: Scope,
    /// From this position on.
    #[n(2)]
    pub seq: u64,
}

/// Takes someone out: the payload of Kick and Ban, and part of a demotion.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Removal {
    /// Whom.
    #[n(0)]
    pub target: UserId,
    /// What of theirs the remover had seen, sorted by scope.
    #[n(1)]
    pub cut: Vec<ScopeCut>,
    /// What becomes of the rest; absent: the Space's policy.
    #[n(2)]
    pub late: Option<LatePolicy>,
    /// Why, for the audit log.
    #[n(3)]
    pub reason: String,
    /// Lanes to tombstone in bulk, sorted.
    #[n(4)]
    pub purge: Vec<PurgeFrom>,
}

impl Removal {
    pub(super) fn check_limits(&self) -> Limit {
        limit(
            self.reason.len() <= REASON_BYTES_MAX,
            "the reason is too long",
        )?;
        check_cut(&self.cut)?;
        for scope in &self.cut {
            check_content_scope(scope)?;
            limit(
                scope.heads.is_sorted_by(|a, b| a.device < b.device),
                "the cut's heads are not sorted",
            )?;
        }
        check_purge(&self.purge)
    }
}

/// What every cut keeps to: sorted, each head once, not too long.
pub(super) fn check_cut(cut: &[ScopeCut]) -> Limit {
    limit(
        cut.is_sorted_by(|a, b| a.scope < b.scope),
        "the cut is not sorted",
    )?;
    limit(
        cut.iter().map(|c| c.heads.len() + 1).sum::<usize>() <= CUT_HEADS_MAX,
        "the cut is too long",
    )?;
    limit(
        cut.iter().all(|scope| is_sorted_set(&scope.heads)),
        "the cut's heads are not sorted",
    )
}

pub(super) fn check_content_scope(cut: &ScopeCut) -> Limit {
    limit(
        cut.scope != Scope::Control,
        "the cut names the control plane",
    )
}

fn check_purge(purge: &[PurgeFrom]) -> Limit {
    limit(
        purge.len() <= CUT_HEADS_MAX && is_sorted_set(purge),
        "the purge is not sorted",
    )
}

/// Revokes a device of the author, for good (A1).
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct DeviceRevoke {
    /// Which.
    #[n(0)]
    pub device: DeviceId,
    /// What of its content the author had seen, sorted by scope; one head a scope at most.
    #[n(1)]
    pub cut: Vec<ScopeCut>,
    /// What becomes of the rest; absent: rejected if compromised, else accepted.
    #[n(2)]
    pub late: Option<LatePolicy>,
    /// Why, for the audit log.
    #[n(3)]
    pub reason: String,
    /// Lanes of it to tombstone in bulk, sorted.
    #[n(4)]
    pub purge: Vec<PurgeFrom>,
    /// Whether somebody else may have had it, rather than that it was lost or is not used any more.
    #[n(5)]
    pub compromised: bool,
    /// The identity key's signature over [`DeviceRevoke::identity_message`]. With it the author's
    /// device need not be known, and the op outranks what the devices themselves say.
    #[n(6)]
    pub identity_sig: Option<Signature>,
}

impl DeviceRevoke {
    /// Returns what the identity key signs, for an op with this binding that revokes this device.
    ///
    /// It names the device, because the binding does not cover the payload: whoever steals the
    /// author's device later could else turn the signature against another one.
    #[must_use]
    pub fn identity_message(binding: &Digest, device: &DeviceId) -> Vec<u8> {
        let digest = H::new("device-revoke")
            .field(binding.as_bytes())
            .field(device.as_bytes())
            .finish();
        [b"decent revoke v1".as_slice(), &digest].concat()
    }

    pub(super) fn check_limits(&self) -> Limit {
        limit(
            self.reason.len() <= REASON_BYTES_MAX,
            "the reason is too long",
        )?;
        check_cut(&self.cut)?;
        for scope in &self.cut {
            check_content_scope(scope)?;
            limit(
                scope.heads.len() <= 1 && scope.heads.iter().all(|h| h.device == self.device),
                "the cut names another device, or one twice",
            )?;
        }
        limit(
            self.purge.iter().all(|p| p.device == self.device),
            "the purge names another device",
        )?;
        check_purge(&self.purge)
    }
}

/// Lifts a ban.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Unban {
    /// Whose.
    #[n(0)]
    pub target: UserId,
}

/// The author goes.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Leave {
    /// Why, if they say.
    #[n(0)]
    pub reason: String,
}

impl Leave {
    pub(super) fn check_limits(&self) -> Limit {
        limit(
            self.reason.len() <= REASON_BYTES_MAX,
            "the reason is too long",
        )
    }
}

/// Gives a member a role, higher or lower.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct RoleSet {
    /// Whom.
    #[n(0)]
    pub target: UserId,
    /// The role's weight.
    #[n(1)]
    pub weight: Weight,
    /// Why, for the audit log.
    #[n(2)]
    pub reason: String,
}

impl RoleSet {
    pub(super) fn check_limits(&self) -> Limit {
        limit(self.weight.role_name().is_some(), "no role has this weight")?;
        limit(
            self.reason.len() <= REASON_BYTES_MAX,
            "the reason is too long",
        )
    }
}

/// Silences a member; with an end it is a timeout.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Mute {
    /// Whom.
    #[n(0)]
    pub target: UserId,
    /// Where; absent: everywhere.
    #[n(1)]
    pub channel: Option<ChannelId>,
    /// Until when; absent: until an Unmute.
    #[n(2)]
    pub expires: Option<Hlc>,
    /// Why, for the audit log.
    #[n(3)]
    pub reason: String,
}

impl Mute {
    pub(super) fn check_limits(&self) -> Limit {
        limit(
            self.reason.len() <= REASON_BYTES_MAX,
            "the reason is too long",
        )
    }
}

/// Lifts a mute.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Unmute {
    /// Whose.
    #[n(0)]
    pub target: UserId,
    /// Where; absent: the mute everywhere.
    #[n(1)]
    pub channel: Option<ChannelId>,
}

/// How much a commit changes; the heavier wins between concurrent ones (B5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
#[cbor(index_only)]
pub enum CommitClass {
    /// New keys for the committer only.
    #[n(0)]
    Update,
    /// Adds or re-adds.
    #[n(1)]
    Add,
    /// Removes a leaf of somebody else.
    #[n(2)]
    Remove,
}

/// A leaf that a commit adds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
#[cbor(map)]
pub struct RosterEntry {
    /// The device.
    #[n(0)]
    pub device: DeviceId,
    /// Whose it is.
    #[n(1)]
    pub user: UserId,
    /// `H("key-package", bytes)` of the key package it came with.
    #[n(2)]
    pub key_package: Digest,
}

/// How a commit changes the set of devices in the group. Declared, so that a
/// commit can be judged for ever after its MLS bytes are gone (A15).
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct RosterDelta {
    /// Leaves added, sorted by device.
    #[n(0)]
    pub added: Vec<RosterEntry>,
    /// Leaves removed, sorted. A device in both lists is re-added.
    #[n(1)]
    pub removed: Vec<DeviceId>,
}

impl RosterDelta {
    /// Returns whether it puts exactly this device in, and takes out at most its old leaf.
    #[must_use]
    pub fn is_of_itself(&self, device: &DeviceId) -> bool {
        matches!(self.added.as_slice(), [leaf] if leaf.device == *device)
            && self.removed.iter().all(|removed| removed == device)
    }
}

/// Carries an MLS commit and begins an epoch.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Commit {
    /// The epoch it follows; the header names the same.
    #[n(0)]
    pub parent: EpochId,
    /// The MLS message, authenticated data = the op's binding and the parent.
    #[n(1)]
    pub mls: ByteVec,
    /// `H("rc", epoch root)` of the new epoch, so that members notice a split key.
    #[n(2)]
    pub root_commit: Digest,
    /// Hash of the roster after it.
    #[n(3)]
    pub roster_hash: Digest,
    /// How much it changes.
    #[n(4)]
    pub class: CommitClass,
    /// Which leaves it changes.
    #[n(5)]
    pub delta: RosterDelta,
    /// MLS GroupInfo without the tree: the way back for a device that lost its state (A5).
    #[n(6)]
    pub group_info: ByteVec,
    /// Hashes of the Welcomes that go with it, sorted.
    #[n(7)]
    pub welcomes: Vec<Digest>,
}

impl Commit {
    /// Returns whether the device commits itself in, or back in, by an MLS external commit (A5): no
    /// member can add its own leaf by any other commit.
    #[must_use]
    pub fn is_external(&self, author: &DeviceId) -> bool {
        self.delta.is_of_itself(author)
    }

    pub(super) fn check_limits(&self) -> Limit {
        let sorted = self.delta.added.is_sorted_by(|a, b| a.device < b.device)
            && is_sorted_set(&self.delta.removed);
        limit(sorted, "the roster delta is not sorted")?;
        limit(is_sorted_set(&self.welcomes), "the welcomes are not sorted")?;
        limit(
            self.group_info.len() <= 4 * 1024,
            "the group info is too long",
        )
    }
}
