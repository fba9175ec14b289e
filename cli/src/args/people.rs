//! Members, roles and what stands against them.

use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};

use super::Where;
use crate::api::{LatePolicy, Weight};
use crate::duration;

/// Letting somebody in.
#[derive(Clone, Debug, Args)]
#[command(after_help = "Examples:\n  decent requests\n  decent approve John")]
pub(crate) struct ApproveArgs {
    /// Where.
    #[command(flatten)]
    pub(crate) at: Where,
    /// Whom, by the name they gave or by id.
    pub(crate) who: String,
}

/// One person.
#[derive(Clone, Debug, Args)]
pub(crate) struct WhoArgs {
    /// Where.
    #[command(flatten)]
    pub(crate) at: Where,
    /// Who, by name or id.
    pub(crate) who: String,
}

/// Your own devices.
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum DeviceCmd {
    /// List your devices in a Space.
    #[command(after_help = "Examples:\n  decent device list\n  decent device list --json")]
    List(Where),
    /// Revoke a device of yours, for good: it reads and writes no more.
    Revoke(RevokeArgs),
}

/// Revoking a device.
#[derive(Clone, Debug, Args)]
#[command(
    after_help = "Examples:\n  decent device revoke 1f2e3d4c\n  decent device revoke 1f2e3d4c --stolen"
)]
pub(crate) struct RevokeArgs {
    /// Where.
    #[command(flatten)]
    pub(crate) at: Where,
    /// Which, by name or the first digits of its id.
    pub(crate) device: String,
    /// Somebody else may have it: what you have not seen of it does not count.
    #[arg(long)]
    pub(crate) stolen: bool,
    /// Why; everybody sees it.
    #[arg(long, default_value = "")]
    pub(crate) reason: String,
}

/// A new role.
#[derive(Clone, Debug, Args)]
#[command(
    after_help = "Examples:\n  decent role Bob moderator\n  decent role Bob member --reason \"on his own wish\""
)]
pub(crate) struct RoleArgs {
    /// Where.
    #[command(flatten)]
    pub(crate) at: Where,
    /// Who, by name or id.
    pub(crate) who: String,
    /// Which role.
    #[arg(value_enum)]
    pub(crate) role: Role,
    /// Why; everybody sees it.
    #[arg(long, default_value = "")]
    pub(crate) reason: String,
}

/// A mute.
#[derive(Clone, Debug, Args)]
#[command(
    after_help = "Examples:\n  decent mute John --for 10m --reason \"cool down\"\n  decent mute John --channel general"
)]
pub(crate) struct MuteArgs {
    /// Where.
    #[command(flatten)]
    pub(crate) at: Where,
    /// Who, by name or id.
    pub(crate) who: String,
    /// For how long [default: until an unmute].
    #[arg(long = "for", value_name = "TIME", value_parser = duration::parse)]
    pub(crate) lasting: Option<Duration>,
    /// Only in this channel.
    #[arg(long)]
    pub(crate) channel: Option<String>,
    /// Why; everybody sees it.
    #[arg(long, default_value = "")]
    pub(crate) reason: String,
}

/// The end of a mute.
#[derive(Clone, Debug, Args)]
#[command(after_help = "Examples:\n  decent unmute John\n  decent unmute John --channel general")]
pub(crate) struct UnmuteArgs {
    /// Where.
    #[command(flatten)]
    pub(crate) at: Where,
    /// Who, by name or id.
    pub(crate) who: String,
    /// The mute of this channel, not the one everywhere.
    #[arg(long)]
    pub(crate) channel: Option<String>,
}

/// A kick or a ban.
#[derive(Clone, Debug, Args)]
pub(crate) struct RemoveArgs {
    /// Where.
    #[command(flatten)]
    pub(crate) at: Where,
    /// Who, by name or id.
    pub(crate) who: String,
    /// Why; everybody sees it.
    #[arg(long, default_value = "")]
    pub(crate) reason: String,
    /// What becomes of posts they wrote before seeing this [default: the Space's policy].
    #[arg(long, value_enum, value_name = "POLICY")]
    pub(crate) late: Option<LateArg>,
    /// Hide everything they ever wrote.
    #[arg(long)]
    pub(crate) purge: bool,
}

/// Leaving.
#[derive(Clone, Debug, Args)]
#[command(after_help = "Examples:\n  decent leave --space Allotment\n  decent leave --yes")]
pub(crate) struct LeaveArgs {
    /// From where.
    #[command(flatten)]
    pub(crate) at: Where,
    /// Why, if you like to say; everybody sees it.
    #[arg(long, default_value = "")]
    pub(crate) reason: String,
    /// Do not ask.
    #[arg(short, long)]
    pub(crate) yes: bool,
}

/// Doing again what does not count.
#[derive(Clone, Debug, Args)]
#[command(
    after_help = "`decent status` lists what of yours does not count, and why.\n\nExamples:\n  decent reapply 1f2e3d4c"
)]
pub(crate) struct ReapplyArgs {
    /// Where.
    #[command(flatten)]
    pub(crate) at: Where,
    /// The op, by id.
    pub(crate) op: String,
}

/// A role by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Role {
    /// May read.
    Guest,
    /// May post.
    Member,
    /// May mute, kick, hide, pin, invite.
    Moderator,
    /// May ban and change channels, policies and roles.
    Admin,
    /// May do everything.
    Owner,
}

impl From<Role> for Weight {
    fn from(role: Role) -> Self {
        match role {
            Role::Guest => Self::GUEST,
            Role::Member => Self::MEMBER,
            Role::Moderator => Self::MODERATOR,
            Role::Admin => Self::ADMIN,
            Role::Owner => Self::OWNER,
        }
    }
}

/// What becomes of posts written without having seen a removal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum LateArg {
    /// Shown, with a flag.
    Accept,
    /// Shown only when asked for.
    Quarantine,
    /// Refused.
    Reject,
}

impl From<LateArg> for LatePolicy {
    fn from(late: LateArg) -> Self {
        match late {
            LateArg::Accept => Self::Accept,
            LateArg::Quarantine => Self::Quarantine,
            LateArg::Reject => Self::Reject,
        }
    }
}
