//! Members, roles and what stands against them.

use std::io::{self, BufRead, IsTerminal};

use super::{Context, ask, lookup, write};
use crate::api::{ChannelKind, Command, Handle, MemberView, PurgeFrom, Scope, SpaceId};
use crate::args::{
    DeviceCmd, LeaveArgs, MuteArgs, ReapplyArgs, RemoveArgs, RevokeArgs, RoleArgs, UnmuteArgs,
    Where, WhoArgs,
};
use crate::duration;
use crate::error::CliError;
use crate::output::Output;
use crate::print::note;
use crate::render::clean;

/// How somebody is removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// They may come back by an invite.
    Kick,
    /// They may come back after an unban.
    Ban,
}

pub(super) async fn members(handle: &Handle, at: &Where) -> Result<Output, CliError> {
    let space = lookup::space(handle, at.space.as_deref()).await?.id;
    let members = ask(handle, move |node| node.members(space)).await?;
    Ok(Output::Members(members))
}

pub(super) async fn role(
    handle: &Handle,
    args: RoleArgs,
    context: &Context,
) -> Result<Output, CliError> {
    let space = lookup::space(handle, args.at.space.as_deref()).await?.id;
    let member = lookup::member(handle, space, &args.who).await?;
    let command = Command::SetRole {
        space,
        user: member.user,
        weight: args.role.into(),
        reason: args.reason,
    };
    write(handle, context, "role", space, command, |_| {
        let role = format!("{:?}", args.role).to_lowercase();
        format!("{} has the role {role} now", named(&member))
    })
    .await
}

pub(super) async fn mute(
    handle: &Handle,
    args: MuteArgs,
    context: &Context,
) -> Result<Output, CliError> {
    let space = lookup::space(handle, args.at.space.as_deref()).await?.id;
    let member = lookup::member(handle, space, &args.who).await?;
    let channel = one_channel(handle, space, args.channel.as_deref()).await?;
    let for_secs = args.lasting.map(|time| time.as_secs());
    let command = Command::Mute {
        space,
        user: member.user,
        channel: channel.as_ref().map(|(id, _)| *id),
        for_secs,
        reason: args.reason,
    };
    write(handle, context, "mute", space, command, |_| {
        let place = channel.map_or_else(String::new, |(_, name)| format!(" in #{name}"));
        let time = for_secs.map_or_else(
            || "until an unmute".to_owned(),
            |secs| format!("for {}", duration::words(secs)),
        );
        format!("{} is muted{place} {time}", named(&member))
    })
    .await
}

pub(super) async fn unmute(
    handle: &Handle,
    args: &UnmuteArgs,
    context: &Context,
) -> Result<Output, CliError> {
    let space = lookup::space(handle, args.at.space.as_deref()).await?.id;
    let member = lookup::member(handle, space, &args.who).await?;
    let channel = one_channel(handle, space, args.channel.as_deref()).await?;
    let command = Command::Unmute {
        space,
        user: member.user,
        channel: channel.map(|(id, _)| id),
    };
    write(handle, context, "unmute", space, command, |_| {
        format!("{} may speak again", named(&member))
    })
    .await
}

pub(super) async fn remove(
    handle: &Handle,
    args: RemoveArgs,
    way: Way,
    context: &Context,
) -> Result<Output, CliError> {
    let space = lookup::space(handle, args.at.space.as_deref()).await?.id;
    let member = lookup::member(handle, space, &args.who).await?;
    let purge = if args.purge {
        everything_of(handle, space, &member).await?
    } else {
        Vec::new()
    };
    let (user, reason, late) = (member.user, args.reason, args.late.map(Into::into));
    let (name, did, command) = match way {
        Way::Kick => (
            "kick",
            "removed",
            Command::Kick {
                space,
                user,
                reason,
                late,
                purge,
            },
        ),
        Way::Ban => (
            "ban",
            "banned",
            Command::Ban {
                space,
                user,
                reason,
                late,
                purge,
            },
        ),
    };
    write(handle, context, name, space, command, |op| {
        format!("{} is {did} ({})", named(&member), super::short(op))
    })
    .await
}

/// Returns the beginning of every lane that somebody has in a channel.
pub(super) async fn everything_of(
    handle: &Handle,
    space: SpaceId,
    member: &MemberView,
) -> Result<Vec<PurgeFrom>, CliError> {
    let channels = ask(handle, move |node| node.channels(space)).await?;
    let lanes = channels.iter().flat_map(|channel| {
        member.devices.iter().map(|device| PurgeFrom {
            device: *device,
            scope: Scope::Channel(channel.id),
            seq: 0,
        })
    });
    Ok(lanes.collect())
}

pub(super) async fn unban(
    handle: &Handle,
    args: &WhoArgs,
    context: &Context,
) -> Result<Output, CliError> {
    let space = lookup::space(handle, args.at.space.as_deref()).await?.id;
    let member = lookup::member(handle, space, &args.who).await?;
    let user = member.user;
    let command = Command::Unban { space, user };
    write(handle, context, "unban", space, command, |_| {
        format!("{} may come back by an invite", named(&member))
    })
    .await
}

pub(super) async fn leave(
    handle: &Handle,
    args: LeaveArgs,
    context: &Context,
) -> Result<Output, CliError> {
    let space = lookup::space(handle, args.at.space.as_deref()).await?;
    if !args.yes && !context.shell && !confirmed(&format!("Leave {}?", space.name))? {
        return Err(CliError::usage("not left; --yes leaves without asking"));
    }
    let command = Command::Leave {
        space: space.id,
        reason: args.reason,
    };
    write(handle, context, "leave", space.id, command, |_| {
        format!("left {}; what is here stays readable", space.name)
    })
    .await
}

pub(super) async fn device(
    handle: &Handle,
    cmd: DeviceCmd,
    context: &Context,
) -> Result<Output, CliError> {
    match cmd {
        DeviceCmd::List(at) => {
            let space = lookup::space(handle, at.space.as_deref()).await?.id;
            let devices = ask(handle, move |node| node.devices(space)).await?;
            Ok(Output::Devices(devices))
        }
        DeviceCmd::Revoke(args) => revoke(handle, args, context).await,
    }
}

async fn revoke(handle: &Handle, args: RevokeArgs, context: &Context) -> Result<Output, CliError> {
    let space = lookup::space(handle, args.at.space.as_deref()).await?.id;
    let device = lookup::device(handle, space, &args.device).await?;
    let command = Command::RevokeDevice {
        space,
        device: device.device,
        compromised: args.stolen,
        reason: args.reason,
    };
    write(handle, context, "device", space, command, |op| {
        let (name, id) = (clean::line(&device.name), device.device.short());
        format!("device {name} ({id}) is revoked ({})", super::short(op))
    })
    .await
}

pub(super) async fn rekey(
    handle: &Handle,
    at: &Where,
    context: &Context,
) -> Result<Output, CliError> {
    let space = lookup::space(handle, at.space.as_deref()).await?;
    let command = Command::UpdateKeys { space: space.id };
    write(handle, context, "rekey", space.id, command, |_| {
        format!("this device has new keys in {}", space.name)
    })
    .await
}

pub(super) async fn reapply(
    handle: &Handle,
    args: &ReapplyArgs,
    context: &Context,
) -> Result<Output, CliError> {
    let space = lookup::space(handle, args.at.space.as_deref()).await?.id;
    let op = crate::audit::op(handle, space, &args.op).await?;
    let command = Command::Reapply { space, op };
    write(handle, context, "reapply", space, command, |again| {
        format!(
            "done again as [{}]",
            again.map_or_else(String::new, |op| op.short())
        )
    })
    .await
}

pub(super) async fn one_channel(
    handle: &Handle,
    space: SpaceId,
    wanted: Option<&str>,
) -> Result<Option<(crate::api::ChannelId, String)>, CliError> {
    let Some(wanted) = wanted else {
        return Ok(None);
    };
    let channel = lookup::channel(handle, space, Some(wanted), ChannelKind::Chat).await?;
    Ok(Some((channel.id, channel.name)))
}

fn named(member: &MemberView) -> String {
    format!("{} ({})", member.name, member.user.short())
}

/// Asks on the terminal; without one the answer is no.
pub(super) fn confirmed(question: &str) -> Result<bool, CliError> {
    let stdin = io::stdin();
    if !stdin.is_terminal() {
        return Ok(false);
    }
    note(&format!("{question} [y/N]"));
    let mut answer = String::new();
    stdin
        .lock()
        .read_line(&mut answer)
        .map_err(|source| CliError::System {
            doing: "read the answer",
            source,
        })?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}
