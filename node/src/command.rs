//! What a person asks of the node, and what they get back.
//!
//! A command either becomes ops or asks for an exchange with a relay. Its answer
//! comes when what it tells is durable: a post is acknowledged after the disk has it,
//! whether or not a relay is reachable.

use oplog::payload::{
    Attachment, ChannelKind, ChannelPermission, History, LatePolicy, PurgeFrom, Weight,
};
use oplog::{BlobId, ChannelId, DeviceId, OpId, SpaceId, UserId};

use crate::invite::InviteLink;
use crate::quorum::Motion;

/// Numbers the commands of one run, so that answers find their way back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct CommandId(pub u64);

/// Something a person wants done.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Command {
    /// Founds a Space with a general chat, a forum and an announcement channel.
    CreateSpace {
        /// Its name.
        name: String,
    },
    /// Makes a channel.
    CreateChannel {
        /// Where.
        space: SpaceId,
        /// Its name.
        name: String,
        /// How it is used.
        kind: ChannelKind,
        /// What it is about.
        topic: String,
        /// The heading it stands under.
        category: Option<String>,
        /// How much newcomers see.
        history: History,
    },
    /// Changes a channel; what is `None` stays.
    UpdateChannel {
        /// Where.
        space: SpaceId,
        /// Which.
        channel: ChannelId,
        /// A new name.
        name: Option<String>,
        /// A new topic.
        topic: Option<String>,
        /// Whether it is closed for posting.
        archived: Option<bool>,
        /// Least weights to override.
        permissions: Vec<ChannelPermission>,
    },
    /// Sets policies; what is `None` stays.
    SetPolicy {
        /// Where.
        space: SpaceId,
        /// A new name of the Space.
        name: Option<String>,
        /// What late posts of kicked people become.
        kick_late: Option<LatePolicy>,
        /// What late posts of banned people become.
        ban_late: Option<LatePolicy>,
        /// After how many commits clients seal by themselves; 0: never.
        seal_every: Option<u32>,
    },
    /// Makes the newest epoch final, and closes removals that may be closed (B9). Answer:
    /// [`Answer::Op`].
    Seal {
        /// Where.
        space: SpaceId,
    },
    /// Opens an invite. Answer: [`Answer::Invite`].
    CreateInvite {
        /// To where.
        space: SpaceId,
        /// The role newcomers get: guest or member.
        weight: Weight,
        /// How many may come.
        max_uses: u32,
        /// For how long, in seconds.
        valid_secs: u64,
        /// The channel newcomers see first.
        channel: Option<ChannelId>,
        /// Whether a moderator must admit each.
        approval: bool,
    },
    /// Closes an invite.
    RevokeInvite {
        /// Where.
        space: SpaceId,
        /// The op that opened it.
        invite: OpId,
    },
    /// Asks to join. Answer: [`Answer::Joined`], once a member who is online has admitted us.
    Join {
        /// The link.
        link: InviteLink,
    },
    /// Admits somebody whose invite wants approval.
    Approve {
        /// Where.
        space: SpaceId,
        /// Whom.
        user: UserId,
    },
    /// Opens a thread in a forum.
    CreateThread {
        /// Where.
        space: SpaceId,
        /// In which channel.
        channel: ChannelId,
        /// The title.
        title: String,
        /// Tags, in any order.
        tags: Vec<String>,
        /// The first post, Markdown.
        body: String,
        /// Its files, already stored by the runtime's attach.
        attachments: Vec<Attachment>,
    },
    /// Changes an own thread's title or tags.
    UpdateThread {
        /// Where.
        space: SpaceId,
        /// Which.
        thread: OpId,
        /// A new title.
        title: Option<String>,
        /// New tags.
        tags: Option<Vec<String>>,
    },
    /// Says something. People named as `@name` or `@id` in the text are mentioned ([`mention`](crate::mention)).
    Post {
        /// Where.
        space: SpaceId,
        /// In which channel.
        channel: ChannelId,
        /// In which thread; `None` in a chat.
        thread: Option<OpId>,
        /// Which post it answers.
        reply_to: Option<OpId>,
        /// The text, Markdown.
        body: String,
        /// Its files.
        attachments: Vec<Attachment>,
    },
    /// Replaces the text of an own post.
    Edit {
        /// Where.
        space: SpaceId,
        /// Which post.
        target: OpId,
        /// The new text.
        body: String,
    },
    /// Deletes: an own post for its author, anybody's as a moderator.
    Delete {
        /// Where.
        space: SpaceId,
        /// Which post or thread.
        target: OpId,
        /// Why, when it is a moderator's act.
        reason: String,
    },
    /// Shows again what a moderator hid.
    Restore {
        /// Where.
        space: SpaceId,
        /// Which post or thread.
        target: OpId,
    },
    /// Adds or takes back a reaction.
    React {
        /// Where.
        space: SpaceId,
        /// On which post.
        target: OpId,
        /// The emoji.
        emoji: String,
        /// Whether to add it.
        add: bool,
    },
    /// Pins or unpins a post.
    Pin {
        /// Where.
        space: SpaceId,
        /// Which post.
        target: OpId,
        /// Whether to pin it.
        pin: bool,
    },
    /// Gives a member a role.
    SetRole {
        /// Where.
        space: SpaceId,
        /// Whom.
        user: UserId,
        /// The role's weight.
        weight: Weight,
        /// Why.
        reason: String,
    },
    /// Silences a member.
    Mute {
        /// Where.
        space: SpaceId,
        /// Whom.
        user: UserId,
        /// In which channel; `None`: everywhere.
        channel: Option<ChannelId>,
        /// For how long, in seconds; `None`: until an unmute.
        for_secs: Option<u64>,
        /// Why.
        reason: String,
    },
    /// Lifts a mute.
    Unmute {
        /// Where.
        space: SpaceId,
        /// Whose.
        user: UserId,
        /// In which channel; `None`: the one everywhere.
        channel: Option<ChannelId>,
    },
    /// Removes a member, who may come back by an invite.
    Kick {
        /// Where.
        space: SpaceId,
        /// Whom.
        user: UserId,
        /// Why.
        reason: String,
        /// What becomes of posts not seen here; `None`: the Space's policy.
        late: Option<LatePolicy>,
        /// Lanes to tombstone in bulk.
        purge: Vec<PurgeFrom>,
    },
    /// Removes a member until an unban.
    Ban {
        /// Where.
        space: SpaceId,
        /// Whom.
        user: UserId,
        /// Why.
        reason: String,
        /// What becomes of posts not seen here; `None`: the Space's policy.
        late: Option<LatePolicy>,
        /// Lanes to tombstone in bulk.
        purge: Vec<PurgeFrom>,
    },
    /// Lifts a ban.
    Unban {
        /// Where.
        space: SpaceId,
        /// Whose.
        user: UserId,
    },
    /// Goes.
    Leave {
        /// From where.
        space: SpaceId,
        /// Why, if one says.
        reason: String,
    },
    /// Revokes another device of one's own, for good. Answer: [`Answer::Op`].
    RevokeDevice {
        /// Where.
        space: SpaceId,
        /// Which.
        device: DeviceId,
        /// Whether somebody else may have had it: then nothing counts that was not seen of it here.
        compromised: bool,
        /// Why, for the audit log.
        reason: String,
    },
    /// Does an own act that does not count once more. Answer: [`Answer::Op`].
    Reapply {
        /// Where.
        space: SpaceId,
        /// The op that is void.
        op: OpId,
    },
    /// Founds a Space as [`Command::CreateSpace`] does, in which a quorum of admins may make and
    /// remove owners, or may not. Answer: [`Answer::Space`].
    FoundSpace {
        /// Its name.
        name: String,
        /// Whether they may.
        owner_removable: bool,
    },
    /// Proposes an act to the admins: a Kick, Ban, Unban, SetRole, Mute, Unmute, UpdateChannel,
    /// SetPolicy or RevokeInvite. Answer: [`Answer::Motion`].
    ProposeQuorum {
        /// Where; the Space that the act names is not looked at.
        space: SpaceId,
        /// What.
        act: Box<Self>,
        /// How long it may be signed and brought, in seconds.
        valid_secs: u64,
        /// The device that brings it: this one if none is named. The signatures name it, so no other
        /// can later.
        device: Option<DeviceId>,
    },
    /// Keeps a motion that was shown to this person, with the signatures on it, for
    /// [`Node::motions`](crate::Node::motions). Answer: [`Answer::Done`].
    KeepMotion {
        /// A copy of it.
        motion: Box<Motion>,
    },
    /// Brings an act that enough admins have signed, on copies of one motion. Answer:
    /// [`Answer::Op`].
    BringQuorum {
        /// The copies that came back.
        copies: Vec<Motion>,
    },
    /// Says of a late post that it was seen in time (B8). Answer: [`Answer::Op`].
    Attest {
        /// Where.
        space: SpaceId,
        /// Which post.
        target: OpId,
    },
    /// Proves that a device signed two ops for one place, which ends it for good (B11). Answer:
    /// [`Answer::Op`].
    Freeze {
        /// Where.
        space: SpaceId,
        /// Which device.
        device: DeviceId,
    },
    /// Gives up a request to join that nobody has answered. Answer: [`Answer::Done`].
    CancelJoin {
        /// Into where.
        space: SpaceId,
    },
    /// Renews this device's keys in a Space's group (MLS self-update).
    UpdateKeys {
        /// Where.
        space: SpaceId,
    },
    /// Exchanges everything with the relays. Answer: [`Answer::Synced`], when nothing is left to get
    /// or send, or an error when no relay could be reached.
    Sync,
    /// Fetches the sealed chunks of an attachment that are not here. Answer: [`Answer::Done`].
    FetchBlob {
        /// Where.
        space: SpaceId,
        /// The attachment.
        attachment: Attachment,
    },
    /// Tells the node that these sealed chunks are in the chunk store and want uploading.
    Upload {
        /// Where.
        space: SpaceId,
        /// The chunks and the manifest.
        chunks: Vec<BlobId>,
    },
    /// Keeps something of a shell's own, such as a draft, under a name, for
    /// [`Node::keepsakes`](crate::Node::keepsakes); an empty value is forgotten. Answer: [`Answer::Done`].
    Keep {
        /// Under which name.
        name: String,
        /// What.
        value: Vec<u8>,
    },
    /// Uses one more relay for every Space.
    AddRelay {
        /// Its address, ending in `/p2p/…`.
        address: String,
    },
    /// Stops using a relay.
    RemoveRelay {
        /// Its address.
        address: String,
    },
    /// Takes in an export of a Space. Answer: [`Answer::Imported`].
    Import {
        /// The bundle's bytes.
        bundle: Vec<u8>,
    },
    /// For the demo and tests: publishes a post that breaks the rules
    /// ([`Node::danger_publish_forged`](crate::Node::danger_publish_forged)). Answer: [`Answer::Op`].
    DangerPublishForged {
        /// Where.
        space: SpaceId,
        /// In which channel.
        channel: ChannelId,
        /// Its text.
        body: String,
    },
}

/// What a command came to.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Answer {
    /// Done; there is nothing to tell.
    Done,
    /// The Space that was founded.
    Space(SpaceId),
    /// The channel that was made.
    Channel(ChannelId),
    /// The op that was written; durable here, not yet anywhere else.
    Op(OpId),
    /// An invite was opened.
    Invite {
        /// What to hand over.
        link: InviteLink,
        /// The op that opened it.
        op: OpId,
    },
    /// What admins are asked to sign.
    Motion(Box<Motion>),
    /// We are in.
    Joined {
        /// The Space.
        space: SpaceId,
    },
    /// All exchanged.
    Synced {
        /// How many ops came in.
        received: u64,
        /// How many own ops went out.
        sent: u64,
        /// How many relays took part.
        relays: usize,
    },
    /// An export was taken in.
    Imported {
        /// The Space.
        space: SpaceId,
        /// Ops that were new.
        new: u64,
        /// Ops that were known.
        known: u64,
        /// What in it is no op.
        unreadable: u64,
        /// Ops that build on something that is not here, or are dated in the future. They are only
        /// in memory until it comes.
        waiting: u64,
        /// Ops that were refused, each with the rule that refused it.
        refused: Vec<(OpId, String)>,
    },
}
