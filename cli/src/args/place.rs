//! Spaces, channels, invites.

use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};

use super::{LateArg, Role, Where};
use crate::api::{ChannelKind, ChannelPermission, History, SEAL_EVERY_MAX, Verb, Weight};
use crate::duration;

/// What to do with Spaces.
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum SpaceCmd {
    /// Found a Space with a general chat, a forum and an announcement channel.
    #[command(
        after_help = "Examples:\n  decent space create \"Allotment\"\n  decent space create \"Allotment\" --owner-removable"
    )]
    Create {
        /// Its name.
        name: String,
        /// Let the admins together make and remove owners, for when an owner is gone. This cannot
        /// be changed later.
        #[arg(long)]
        owner_removable: bool,
    },
    /// List the Spaces of this profile.
    #[command(after_help = "Examples:\n  decent space list")]
    List,
    /// Show one Space: channels, members, epoch.
    #[command(after_help = "Examples:\n  decent space show\n  decent space show Allotment")]
    Show {
        /// Which, by name or id; may be left out when there is only one.
        #[arg(value_name = "SPACE")]
        which: Option<String>,
    },
    /// Change a Space's name or policies.
    Update(SpaceUpdateArgs),
    /// Make the past final: keys from before count on one branch only, and removals older than 72
    /// hours take no more late posts. Nobody can take it back.
    #[command(after_help = "Examples:\n  decent space seal\n  decent space seal --space Allotment")]
    Seal(Where),
}

/// Changes of a Space.
#[derive(Clone, Debug, Args)]
#[command(
    after_help = "Examples:\n  decent space update --name \"Allotment 2\"\n  decent space update --kick-late accept --ban-late quarantine\n  decent space update --seal-every off"
)]
#[group(id = "space-change", required = true, multiple = true, args = ["name", "kick_late", "ban_late", "seal_every"])]
pub(crate) struct SpaceUpdateArgs {
    /// Where.
    #[command(flatten)]
    pub(crate) at: Where,
    /// A new name.
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// What becomes of posts that a kicked person wrote before seeing the kick.
    #[arg(long, value_enum, value_name = "POLICY")]
    pub(crate) kick_late: Option<LateArg>,
    /// What becomes of posts that a banned person wrote before seeing the ban.
    #[arg(long, value_enum, value_name = "POLICY")]
    pub(crate) ban_late: Option<LateArg>,
    /// After how many commits of the group's keys clients make the past final by themselves; `off`: never.
    #[arg(long, value_name = "COMMITS|off", value_parser = seal_every)]
    pub(crate) seal_every: Option<u32>,
}

fn seal_every(text: &str) -> Result<u32, String> {
    if text == "off" {
        return Ok(0);
    }
    match text.parse() {
        Ok(every @ 1..=SEAL_EVERY_MAX) => Ok(every),
        _ => Err(format!(
            "write `off`, or a number from 1 to {SEAL_EVERY_MAX}"
        )),
    }
}

/// What to do with channels.
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum ChannelCmd {
    /// Make a channel.
    Create(ChannelCreateArgs),
    /// List the channels of a Space.
    #[command(after_help = "Examples:\n  decent channel list")]
    List(Where),
    /// Change a channel.
    Update(ChannelUpdateArgs),
}

/// A new channel.
#[derive(Clone, Debug, Args)]
#[command(
    after_help = "Examples:\n  decent channel create harvest\n  decent channel create plans --kind forum --topic \"What to plant\""
)]
pub(crate) struct ChannelCreateArgs {
    /// Where.
    #[command(flatten)]
    pub(crate) at: Where,
    /// Its name.
    pub(crate) name: String,
    /// How it is used.
    #[arg(long, value_enum, default_value = "chat")]
    pub(crate) kind: Kind,
    /// What it is about.
    #[arg(long, default_value = "")]
    pub(crate) topic: String,
    /// The heading it stands under.
    #[arg(long)]
    pub(crate) category: Option<String>,
    /// How much newcomers see.
    #[arg(long, value_enum, default_value = "recent")]
    pub(crate) history: HistoryArg,
}

/// Changes of a channel.
#[derive(Clone, Debug, Args)]
#[command(
    after_help = "Examples:\n  decent channel update harvest --topic \"Who has too many courgettes\"\n  decent channel update harvest --archive\n  decent channel update news --least post=admin"
)]
#[group(id = "channel-change", required = true, multiple = true, args = ["name", "topic", "archive", "unarchive", "least"])]
pub(crate) struct ChannelUpdateArgs {
    /// Where.
    #[command(flatten)]
    pub(crate) at: Where,
    /// Which channel, by name or id.
    pub(crate) channel: String,
    /// A new name.
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// A new topic.
    #[arg(long)]
    pub(crate) topic: Option<String>,
    /// Close it for posting.
    #[arg(long, conflicts_with = "unarchive")]
    pub(crate) archive: bool,
    /// Open it again.
    #[arg(long)]
    pub(crate) unarchive: bool,
    /// The least role for something, like post=moderator; may be given again.
    #[arg(long, value_name = "VERB=ROLE", value_parser = permission)]
    pub(crate) least: Vec<Permission>,
}

/// The least role for a verb.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Permission {
    /// For what.
    pub(crate) verb: VerbArg,
    /// From which role on.
    pub(crate) least: Role,
}

impl From<Permission> for ChannelPermission {
    fn from(permission: Permission) -> Self {
        Self {
            verb: permission.verb.into(),
            least: permission.least.into(),
        }
    }
}

fn permission(text: &str) -> Result<Permission, String> {
    let form = "write it as VERB=ROLE, like post=moderator";
    let (verb, least) = text.split_once('=').ok_or(form)?;
    let verb = VerbArg::from_str(verb, true)
        .map_err(|_unknown| format!("{verb:?} is not one of post, react, thread, pin; {form}"))?;
    let least = Role::from_str(least, true).map_err(|_unknown| {
        format!("{least:?} is not one of guest, member, moderator, admin, owner; {form}")
    })?;
    Ok(Permission { verb, least })
}

/// What to do with invites.
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum InviteCmd {
    /// Open an invite and show its link and QR code.
    Create(InviteCreateArgs),
    /// List open invites.
    #[command(after_help = "Examples:\n  decent invite list")]
    List(Where),
    /// Close an invite.
    #[command(after_help = "Examples:\n  decent invite revoke 5a6b7c8d")]
    Revoke {
        /// Where.
        #[command(flatten)]
        at: Where,
        /// Which invite, by id.
        invite: String,
    },
}

/// A new invite.
#[derive(Clone, Debug, Args)]
#[command(
    after_help = "Examples:\n  decent invite create\n  decent invite create --expires 1d --max-uses 1 --approval\n  decent invite create --role guest --no-qr"
)]
pub(crate) struct InviteCreateArgs {
    /// To where.
    #[command(flatten)]
    pub(crate) at: Where,
    /// How long it is valid.
    #[arg(long, value_name = "TIME", default_value = "7d", value_parser = duration::parse)]
    pub(crate) expires: Duration,
    /// How many may come.
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) max_uses: u32,
    /// The role newcomers get.
    #[arg(long, value_enum, default_value = "member")]
    pub(crate) role: NewcomerRole,
    /// The channel newcomers see first.
    #[arg(long)]
    pub(crate) channel: Option<String>,
    /// A moderator must let in each.
    #[arg(long)]
    pub(crate) approval: bool,
    /// Leave out the QR code.
    #[arg(long)]
    pub(crate) no_qr: bool,
}

/// What somebody can come in as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum NewcomerRole {
    /// May read.
    Guest,
    /// May post.
    Member,
}

impl From<NewcomerRole> for Weight {
    fn from(role: NewcomerRole) -> Self {
        match role {
            NewcomerRole::Guest => Self::GUEST,
            NewcomerRole::Member => Self::MEMBER,
        }
    }
}

/// Joining.
#[derive(Clone, Debug, Args)]
#[command(
    after_help = "Examples:\n  decent join decent://join/…\n  decent join - < invite.txt\n  decent join --cancel Allotment"
)]
pub(crate) struct JoinArgs {
    /// The link; `-` reads it from standard input, so that no list of processes shows it.
    pub(crate) link: String,
    /// Give up a request that nobody has answered; LINK may be the Space as `decent space list` shows it.
    #[arg(long)]
    pub(crate) cancel: bool,
}

/// How a channel is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Kind {
    /// One running conversation.
    Chat,
    /// Titled threads with replies.
    Forum,
    /// A chat in which only moderators post.
    Announcement,
}

impl From<Kind> for ChannelKind {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Chat => Self::Chat,
            Kind::Forum => Self::Forum,
            Kind::Announcement => Self::Announcement,
        }
    }
}

/// How much of the past newcomers see.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum HistoryArg {
    /// The newest posts.
    Recent,
    /// Nothing from before they came.
    SinceJoin,
}

impl From<HistoryArg> for History {
    fn from(history: HistoryArg) -> Self {
        match history {
            HistoryArg::Recent => Self::Recent,
            HistoryArg::SinceJoin => Self::SinceJoin,
        }
    }
}

/// What a channel's least role can be set for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum VerbArg {
    /// Post and reply.
    Post,
    /// React.
    React,
    /// Open a thread.
    Thread,
    /// Pin and unpin.
    Pin,
}

impl From<VerbArg> for Verb {
    fn from(verb: VerbArg) -> Self {
        match verb {
            VerbArg::Post => Self::Post,
            VerbArg::React => Self::React,
            VerbArg::Thread => Self::Thread,
            VerbArg::Pin => Self::Pin,
        }
    }
}
