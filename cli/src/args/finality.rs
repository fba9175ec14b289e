//! What members bear witness of, and what admins decide together.

use std::time::Duration;

use clap::{Args, Subcommand};

use super::{
    ChannelUpdateArgs, MuteArgs, RemoveArgs, RoleArgs, SpaceUpdateArgs, UnmuteArgs, Where, WhoArgs,
};
use crate::duration;

/// What admins do together.
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum QuorumCmd {
    /// Propose an act: prints a text for the other admins.
    Propose(ProposeArgs),
    /// List the motions that you proposed, signed or were shown.
    #[command(
        after_help = "Examples:\n  decent quorum list\n  decent quorum list --space Allotment"
    )]
    List(Where),
    /// Show what a motion says, and who has signed it.
    Show(MotionArgs),
    /// Sign a motion: prints it with your signature, to give back to whoever proposed it.
    Sign(MotionArgs),
    /// Publish what enough admins have signed; only the device that the motion names can.
    Submit(SubmitArgs),
}

/// A motion to make.
#[derive(Clone, Debug, Args)]
#[command(
    after_help = "Examples:\n  decent quorum propose kick John --reason \"spam\"\n  decent quorum propose --expires 2d role Bob owner\n  decent quorum propose policy --ban-late reject\n  decent quorum propose --submitter Bob ban John"
)]
pub(crate) struct ProposeArgs {
    /// How long it can be signed and published.
    #[arg(long, value_name = "TIME", default_value = "7d", value_parser = duration::parse)]
    pub(crate) expires: Duration,
    /// Who publishes it once enough have signed, a member or a device of one: you, unless told. The
    /// signatures name the device, so nobody else can later.
    #[arg(long, value_name = "WHO")]
    pub(crate) submitter: Option<String>,
    /// What to do.
    #[command(subcommand)]
    pub(crate) act: QuorumActCmd,
}

/// What a quorum may do.
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum QuorumActCmd {
    /// Remove a member, who may come back by an invite.
    #[command(after_help = "Examples:\n  decent quorum propose kick John --reason \"spam\"")]
    Kick(RemoveArgs),
    /// Remove a member until an unban.
    #[command(after_help = "Examples:\n  decent quorum propose ban John --reason \"spam\"")]
    Ban(RemoveArgs),
    /// Lift a ban.
    #[command(after_help = "Examples:\n  decent quorum propose unban John")]
    Unban(WhoArgs),
    /// Give a member a role; from admin up all other admins must sign.
    #[command(after_help = "Examples:\n  decent quorum propose role Bob owner")]
    Role(RoleArgs),
    /// Silence a member.
    #[command(after_help = "Examples:\n  decent quorum propose mute John --for 2d")]
    Mute(MuteArgs),
    /// Lift a mute.
    #[command(after_help = "Examples:\n  decent quorum propose unmute John")]
    Unmute(UnmuteArgs),
    /// Change a channel.
    #[command(after_help = "Examples:\n  decent quorum propose channel seeds --archive")]
    Channel(ChannelUpdateArgs),
    /// Change the Space's name or policies.
    #[command(after_help = "Examples:\n  decent quorum propose policy --name \"Allotment 2\"")]
    Policy(SpaceUpdateArgs),
    /// Close an invite.
    #[command(after_help = "Examples:\n  decent quorum propose close-invite 1f2e3d4c")]
    CloseInvite(CloseInviteArgs),
}

/// An invite to close.
#[derive(Clone, Debug, Args)]
pub(crate) struct CloseInviteArgs {
    /// Where.
    #[command(flatten)]
    pub(crate) at: Where,
    /// The invite, by id.
    pub(crate) invite: String,
}

/// A motion to look at or sign.
#[derive(Clone, Debug, Args)]
#[command(
    after_help = "Examples:\n  decent quorum show decent://quorum/…\n  decent quorum sign - < motion.txt\n  decent quorum sign 1f2e3d4c"
)]
pub(crate) struct MotionArgs {
    /// The text of it, or the id of one in `quorum list`; `-` reads it from standard input.
    #[arg(value_name = "MOTION")]
    pub(crate) motion: String,
}

/// Signed copies of a motion.
#[derive(Clone, Debug, Args)]
#[command(
    after_help = "Examples:\n  decent quorum submit decent://quorum/…\n  decent quorum submit - < signed.txt\n  decent quorum submit 1f2e3d4c"
)]
pub(crate) struct SubmitArgs {
    /// The copies that came back, in any order, or the id of one in `quorum list`; `-` reads them
    /// from standard input, one a line.
    #[arg(value_name = "MOTION", required = true)]
    pub(crate) copies: Vec<String>,
}

/// A device to end.
#[derive(Clone, Debug, Args)]
#[command(
    after_help = "`decent audit equivocations` lists such devices. A profile folder that was copied, or put\nback from a copy, does this by mistake: ask its owner first, who can revoke it themself.\n\nExamples:\n  decent freeze 1f2e3d4c"
)]
pub(crate) struct FreezeArgs {
    /// Where.
    #[command(flatten)]
    pub(crate) at: Where,
    /// The device, by name or id.
    pub(crate) device: String,
    /// Do not ask.
    #[arg(short, long)]
    pub(crate) yes: bool,
}
