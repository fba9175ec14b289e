//! Witness and finality: motions to the admins, late posts seen in time, devices that equivocate.

use std::io::{self, Read};

use super::people::{confirmed, everything_of, one_channel};
use super::{Context, ask, lookup, write};
use crate::api::{
    Answer, ChannelKind, Command, CommandError, DeviceId, EquivocationView, Handle, LiveNode,
    MOTION_BYTES_MAX, Motion, PurgeFrom, SpaceId, UserId,
};
use crate::args::{
    CloseInviteArgs, FreezeArgs, MotionArgs, ProposeArgs, QuorumActCmd, QuorumCmd, RemoveArgs,
    SubmitArgs, TargetArgs,
};
use crate::error::CliError;
use crate::output::{MotionPage, Output};
use crate::render::clean;
use crate::resolve::{Candidate, pick};

/// Most copies that one `submit` puts together: more admins than a Space has.
const COPIES_MAX: usize = 100;

pub(super) async fn quorum(
    handle: &Handle,
    cmd: QuorumCmd,
    context: &Context,
) -> Result<Output, CliError> {
    match cmd {
        QuorumCmd::Propose(args) => propose(handle, args).await,
        QuorumCmd::List(at) => {
            let space = lookup::space(handle, at.space.as_deref()).await?.id;
            let kept = ask(handle, move |node| node.motions(space)).await?;
            Ok(Output::Motions(kept))
        }
        QuorumCmd::Show(args) => {
            let motion = only(handle, &args, context).await?;
            let view = page(handle, motion.clone(), "quorum show").await?;
            match keep(handle, motion).await {
                // It was shown, and why it cannot be kept stands on the page.
                Ok(()) | Err(CliError::Command(CommandError::Motion(_))) => Ok(view),
                Err(error) => Err(error),
            }
        }
        QuorumCmd::Sign(args) => {
            let motion = only(handle, &args, context).await?;
            let signed = ask(handle, move |node| node.sign_motion(&motion)).await?;
            keep(handle, signed.clone()).await?;
            page(handle, signed, "quorum sign").await
        }
        QuorumCmd::Submit(args) => submit(handle, &args, context).await,
    }
}

async fn propose(handle: &Handle, args: ProposeArgs) -> Result<Output, CliError> {
    let (space, act) = act(handle, args.act).await?;
    let device = match args.submitter {
        Some(who) => Some(submitter(handle, space, &who).await?),
        None => None,
    };
    let command = Command::ProposeQuorum {
        space,
        act: Box::new(act),
        valid_secs: args.expires.as_secs(),
        device,
    };
    let Answer::Motion(motion) = handle.command(command).await? else {
        return Err(CliError::Unexpected);
    };
    page(handle, *motion, "quorum propose").await
}

/// Returns the device that is to bring a motion: one of a member, by its id or by who owns it.
async fn submitter(handle: &Handle, space: SpaceId, who: &str) -> Result<DeviceId, CliError> {
    let members = ask(handle, move |node| node.members(space)).await?;
    let mut candidates = Vec::new();
    for member in members.into_iter().filter(|m| m.weight.is_some()) {
        for device in member.devices {
            candidates.push(Candidate {
                key: device,
                id: device.to_string(),
                name: member.name.clone(),
            });
        }
    }
    pick("device", who, &candidates)
}

async fn keep(handle: &Handle, motion: Motion) -> Result<(), CliError> {
    let motion = Box::new(motion);
    handle.command(Command::KeepMotion { motion }).await?;
    Ok(())
}

async fn page(handle: &Handle, motion: Motion, command: &'static str) -> Result<Output, CliError> {
    let text = motion.to_string();
    let view = ask(handle, move |node| node.look_at_motion(&motion)).await?;
    Ok(Output::Motion(Box::new(MotionPage {
        command,
        view,
        text,
    })))
}

async fn submit(handle: &Handle, args: &SubmitArgs, context: &Context) -> Result<Output, CliError> {
    let copies = motions(handle, &args.copies, context).await?;
    let Some(first) = copies.first() else {
        return Err(CliError::Input {
            what: "there is no motion to submit".to_owned(),
        });
    };
    let (space, looked_at) = (first.space, first.clone());
    let about = ask(handle, move |node| node.look_at_motion(&looked_at)).await?;
    let command = Command::BringQuorum { copies };
    write(handle, context, "quorum submit", space, command, |op| {
        format!(
            "the admins did it: {} ({})",
            clean::line(&about.about),
            super::short(op)
        )
    })
    .await
}

/// Returns the act that was said, as the node takes it.
async fn act(handle: &Handle, act: QuorumActCmd) -> Result<(SpaceId, Command), CliError> {
    match act {
        QuorumActCmd::Kick(args) => {
            let (space, user, purge) = target(handle, &args).await?;
            let (reason, late) = (args.reason, args.late.map(Into::into));
            let kick = Command::Kick {
                space,
                user,
                reason,
                late,
                purge,
            };
            Ok((space, kick))
        }
        QuorumActCmd::Ban(args) => {
            let (space, user, purge) = target(handle, &args).await?;
            let (reason, late) = (args.reason, args.late.map(Into::into));
            let ban = Command::Ban {
                space,
                user,
                reason,
                late,
                purge,
            };
            Ok((space, ban))
        }
        QuorumActCmd::Unban(args) => {
            let space = lookup::space(handle, args.at.space.as_deref()).await?.id;
            let user = lookup::member(handle, space, &args.who).await?.user;
            Ok((space, Command::Unban { space, user }))
        }
        QuorumActCmd::Role(args) => {
            let space = lookup::space(handle, args.at.space.as_deref()).await?.id;
            let user = lookup::member(handle, space, &args.who).await?.user;
            let role = Command::SetRole {
                space,
                user,
                weight: args.role.into(),
                reason: args.reason,
            };
            Ok((space, role))
        }
        QuorumActCmd::Mute(args) => {
            let space = lookup::space(handle, args.at.space.as_deref()).await?.id;
            let user = lookup::member(handle, space, &args.who).await?.user;
            let channel = one_channel(handle, space, args.channel.as_deref()).await?;
            let mute = Command::Mute {
                space,
                user,
                channel: channel.map(|(id, _)| id),
                for_secs: args.lasting.map(|time| time.as_secs()),
                reason: args.reason,
            };
            Ok((space, mute))
        }
        QuorumActCmd::Unmute(args) => {
            let space = lookup::space(handle, args.at.space.as_deref()).await?.id;
            let user = lookup::member(handle, space, &args.who).await?.user;
            let channel = one_channel(handle, space, args.channel.as_deref()).await?;
            let unmute = Command::Unmute {
                space,
                user,
                channel: channel.map(|(id, _)| id),
            };
            Ok((space, unmute))
        }
        QuorumActCmd::Channel(args) => {
            let space = lookup::space(handle, args.at.space.as_deref()).await?.id;
            let kind = ChannelKind::Chat;
            let channel = lookup::channel(handle, space, Some(&args.channel), kind).await?;
            let archived = match (args.archive, args.unarchive) {
                (true, _) => Some(true),
                (_, true) => Some(false),
                _ => None,
            };
            let update = Command::UpdateChannel {
                space,
                channel: channel.id,
                name: args.name,
                topic: args.topic,
                archived,
                permissions: args.least.into_iter().map(Into::into).collect(),
            };
            Ok((space, update))
        }
        QuorumActCmd::Policy(args) => {
            let space = lookup::space(handle, args.at.space.as_deref()).await?.id;
            let policy = Command::SetPolicy {
                space,
                name: args.name,
                kick_late: args.kick_late.map(Into::into),
                ban_late: args.ban_late.map(Into::into),
                seal_every: args.seal_every,
            };
            Ok((space, policy))
        }
        QuorumActCmd::CloseInvite(CloseInviteArgs { at, invite }) => {
            let space = lookup::space(handle, at.space.as_deref()).await?.id;
            let invite = lookup::invite(handle, space, &invite).await?.op;
            Ok((space, Command::RevokeInvite { space, invite }))
        }
    }
}

async fn target(
    handle: &Handle,
    args: &RemoveArgs,
) -> Result<(SpaceId, UserId, Vec<PurgeFrom>), CliError> {
    let space = lookup::space(handle, args.at.space.as_deref()).await?.id;
    let member = lookup::member(handle, space, &args.who).await?;
    let purge = if args.purge {
        everything_of(handle, space, &member).await?
    } else {
        Vec::new()
    };
    Ok((space, member.user, purge))
}

async fn only(handle: &Handle, args: &MotionArgs, context: &Context) -> Result<Motion, CliError> {
    let mut all = motions(handle, std::slice::from_ref(&args.motion), context).await?;
    match (all.pop(), all.pop()) {
        (Some(motion), None) => Ok(motion),
        _ => Err(CliError::Input {
            what: "one motion is wanted, and nothing else".to_owned(),
        }),
    }
}

/// Reads motions from what was said, `-` for standard input: one in each word, or its id.
async fn motions(
    handle: &Handle,
    said: &[String],
    context: &Context,
) -> Result<Vec<Motion>, CliError> {
    let mut all = Vec::new();
    for word in said {
        let text = if word == "-" {
            from_stdin(context)?
        } else {
            word.clone()
        };
        for text in text.split_whitespace() {
            if all.len() >= COPIES_MAX {
                return Err(CliError::Input {
                    what: format!("more than {COPIES_MAX} copies"),
                });
            }
            all.push(if text.contains("://") {
                text.parse()?
            } else {
                kept(handle, text).await?
            });
        }
    }
    Ok(all)
}

/// Returns the motion of `quorum list` that is meant, in whatever Space.
async fn kept(handle: &Handle, id: &str) -> Result<Motion, CliError> {
    let mut candidates = Vec::new();
    for space in handle.query(LiveNode::spaces).await? {
        for kept in ask(handle, move |node| node.motions(space.id)).await? {
            candidates.push(Candidate {
                id: kept.view.id.to_string(),
                name: kept.view.about.clone(),
                key: kept.motion,
            });
        }
    }
    pick("motion", id, &candidates)
}

fn from_stdin(context: &Context) -> Result<String, CliError> {
    if context.shell {
        return Err(CliError::usage("in the shell a motion stands on the line"));
    }
    let max = u64::try_from(MOTION_BYTES_MAX).unwrap_or(u64::MAX);
    let mut text = String::new();
    let mut stdin = io::stdin().lock().take(max.saturating_mul(4));
    stdin.read_to_string(&mut text).map_err(|source| {
        if source.kind() == io::ErrorKind::InvalidData {
            return CliError::Input {
                what: "what stands on standard input is no motion, and no text".to_owned(),
            };
        }
        CliError::System {
            doing: "read standard input",
            source,
        }
    })?;
    Ok(text)
}

pub(super) async fn attest(
    handle: &Handle,
    args: &TargetArgs,
    context: &Context,
) -> Result<Output, CliError> {
    let space = lookup::space(handle, args.at.space.as_deref()).await?.id;
    let target = lookup::post(handle, space, &args.post, context).await?;
    let command = Command::Attest { space, target };
    write(handle, context, "attest", space, command, |op| {
        format!(
            "{} counts like any other, with what its author wrote there before it ({})",
            target.short(),
            super::short(op)
        )
    })
    .await
}

pub(super) async fn freeze(
    handle: &Handle,
    args: &FreezeArgs,
    context: &Context,
) -> Result<Output, CliError> {
    let space = lookup::space(handle, args.at.space.as_deref()).await?.id;
    let seen = ask(handle, move |node| node.equivocations(space)).await?;
    let mut candidates: Vec<Candidate<EquivocationView>> = Vec::new();
    for view in seen {
        // A device may have forked in several channels.
        if candidates
            .iter()
            .all(|other| other.key.device != view.device)
        {
            candidates.push(Candidate {
                id: view.device.to_string(),
                name: view.device_name.clone().unwrap_or_default(),
                key: view,
            });
        }
    }
    let view = match pick("device", &args.device, &candidates) {
        Err(CliError::Unknown { wanted, .. }) => {
            return Err(CliError::Unknown {
                what: "device",
                wanted,
                hint: " has signed two ops for one place, as far as is known here; `decent audit \
                       equivocations` lists those that have"
                    .to_owned(),
            });
        }
        other => other?,
    };
    let whose = view.user_name.as_deref().unwrap_or("somebody unknown");
    let device = view.device;
    let what = format!("device {} of {}", device.short(), clean::line(whose));
    if !args.yes && !context.shell && !confirmed(&format!("End {what} for good?"))? {
        return Err(CliError::usage(
            "not done; --yes ends the device without asking",
        ));
    }
    let command = Command::Freeze { space, device };
    write(handle, context, "freeze", space, command, |op| {
        format!("{what} is ended for good ({})", super::short(op))
    })
    .await
}
