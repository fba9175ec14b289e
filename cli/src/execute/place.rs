//! Spaces, channels, invites.

use super::lookup::{self, names};
use super::{Context, ask, reach, sent, write};
use crate::api::{Answer, ChannelKind, Command, Handle, InviteLink, LiveNode, SpaceId};
use crate::args::{
    ApproveArgs, ChannelCmd, ChannelCreateArgs, ChannelUpdateArgs, InviteCmd, InviteCreateArgs,
    JoinArgs, SpaceCmd, SpaceUpdateArgs, Where,
};
use crate::error::CliError;
use crate::files;
use crate::output::{Done, NewInvite, Output, SpacePage};
use crate::progress::Bar;
use crate::render::{clean, counted};
use crate::resolve::{Candidate, pick};

pub(super) async fn space(
    handle: &Handle,
    cmd: SpaceCmd,
    context: &Context,
) -> Result<Output, CliError> {
    match cmd {
        SpaceCmd::Create {
            name,
            owner_removable,
        } => create_space(handle, name, owner_removable, context).await,
        SpaceCmd::List => {
            let both = |node: &LiveNode| (node.spaces(), node.join_statuses());
            let (spaces, mut joins) = handle.query(both).await?;
            // What was refused stands in the health report.
            joins.retain(|join| join.failed.is_none());
            Ok(Output::Spaces { spaces, joins })
        }
        SpaceCmd::Show { which } => {
            let summary = lookup::space(handle, which.as_deref()).await?;
            let id = summary.id;
            let (channels, members) = ask(handle, move |node| {
                Ok((node.channels(id)?, node.members(id)?))
            })
            .await?;
            Ok(Output::Space(Box::new(SpacePage {
                summary,
                channels,
                members,
            })))
        }
        SpaceCmd::Update(args) => update_space(handle, args, context).await,
        SpaceCmd::Seal(at) => seal(handle, &at, context).await,
    }
}

async fn seal(handle: &Handle, at: &Where, context: &Context) -> Result<Output, CliError> {
    let space = lookup::space(handle, at.space.as_deref()).await?.id;
    let command = Command::Seal { space };
    let answer = handle.command(command).await?;
    let op = super::op_of(&answer);
    let sealed = ask(handle, move |node| node.seal(space)).await?;
    let sent = sent::wait(handle, space, op, context).await?;
    let said = sealed.filter(|seal| Some(seal.op) == op).map_or_else(
        || format!("sealed ({})", super::short(op)),
        |seal| {
            format!(
                "the past is final up to epoch {}, and {} closed ({})",
                seal.epoch_number,
                counted(seal.closed, "removal"),
                super::short(op)
            )
        },
    );
    Ok(Output::Done(Done {
        command: "space seal",
        said,
        space: Some(space),
        channel: None,
        op,
        sent: Some(sent),
    }))
}

async fn create_space(
    handle: &Handle,
    name: String,
    owner_removable: bool,
    context: &Context,
) -> Result<Output, CliError> {
    let answer = handle.command(Command::FoundSpace {
        name: name.clone(),
        owner_removable,
    });
    let Answer::Space(space) = answer.await? else {
        return Err(CliError::Unexpected);
    };
    let sent = sent::wait(handle, space, None, context).await?;
    Ok(Output::Done(Done {
        command: "space create",
        said: format!("founded {} ({})", clean::line(&name), space.short()),
        space: Some(space),
        channel: None,
        op: None,
        sent: Some(sent),
    }))
}

async fn update_space(
    handle: &Handle,
    args: SpaceUpdateArgs,
    context: &Context,
) -> Result<Output, CliError> {
    let space = lookup::space(handle, args.at.space.as_deref()).await?;
    let command = Command::SetPolicy {
        space: space.id,
        name: args.name,
        kick_late: args.kick_late.map(Into::into),
        ban_late: args.ban_late.map(Into::into),
        seal_every: args.seal_every,
    };
    write(handle, context, "space update", space.id, command, |_| {
        format!("changed {}", space.name)
    })
    .await
}

pub(super) async fn channel(
    handle: &Handle,
    cmd: ChannelCmd,
    context: &Context,
) -> Result<Output, CliError> {
    match cmd {
        ChannelCmd::Create(args) => create_channel(handle, args, context).await,
        ChannelCmd::List(at) => {
            let space = lookup::space(handle, at.space.as_deref()).await?.id;
            let channels = ask(handle, move |node| node.channels(space)).await?;
            Ok(Output::Channels(channels))
        }
        ChannelCmd::Update(args) => update_channel(handle, args, context).await,
    }
}

async fn create_channel(
    handle: &Handle,
    args: ChannelCreateArgs,
    context: &Context,
) -> Result<Output, CliError> {
    let space = lookup::space(handle, args.at.space.as_deref()).await?.id;
    unused(handle, space, &args.name).await?;
    let said = format!("made #{}", args.name);
    let answer = handle.command(Command::CreateChannel {
        space,
        name: args.name,
        kind: args.kind.into(),
        topic: args.topic,
        category: args.category,
        history: args.history.into(),
    });
    let Answer::Channel(channel) = answer.await? else {
        return Err(CliError::Unexpected);
    };
    let sent = sent::wait(handle, space, None, context).await?;
    Ok(Output::Done(Done {
        command: "channel create",
        said: format!("{said} ({})", channel.short()),
        space: Some(space),
        channel: Some(channel),
        op: None,
        sent: Some(sent),
    }))
}

/// Makes sure that no channel goes by a name. Two people may still take it at the same time;
/// then ids tell the channels apart.
async fn unused(handle: &Handle, space: SpaceId, name: &str) -> Result<(), CliError> {
    let channels = ask(handle, move |node| node.channels(space)).await?;
    match channels.iter().find(|c| c.name == name) {
        Some(channel) => Err(CliError::Input {
            what: format!(
                "there is a channel {} already ({})",
                clean::line(name),
                channel.id.short()
            ),
        }),
        None => Ok(()),
    }
}

async fn update_channel(
    handle: &Handle,
    args: ChannelUpdateArgs,
    context: &Context,
) -> Result<Output, CliError> {
    let space = lookup::space(handle, args.at.space.as_deref()).await?.id;
    let wanted = Some(args.channel.as_str());
    let channel = lookup::channel(handle, space, wanted, ChannelKind::Chat).await?;
    if let Some(name) = args.name.as_ref().filter(|name| **name != channel.name) {
        unused(handle, space, name).await?;
    }
    let archived = match (args.archive, args.unarchive) {
        (true, _) => Some(true),
        (_, true) => Some(false),
        (false, false) => None,
    };
    let command = Command::UpdateChannel {
        space,
        channel: channel.id,
        name: args.name,
        topic: args.topic,
        archived,
        permissions: args.least.into_iter().map(Into::into).collect(),
    };
    write(handle, context, "channel update", space, command, |_| {
        format!("changed #{}", channel.name)
    })
    .await
}

pub(super) async fn invite(
    handle: &Handle,
    cmd: InviteCmd,
    context: &Context,
) -> Result<Output, CliError> {
    match cmd {
        InviteCmd::Create(args) => create_invite(handle, args, context).await,
        InviteCmd::List(at) => {
            let space = lookup::space(handle, at.space.as_deref()).await?.id;
            let invites = ask(handle, move |node| node.invites(space)).await?;
            Ok(Output::Invites(invites))
        }
        InviteCmd::Revoke { at, invite } => {
            let space = lookup::space(handle, at.space.as_deref()).await?.id;
            let invite = lookup::invite(handle, space, &invite).await?.op;
            let command = Command::RevokeInvite { space, invite };
            write(handle, context, "invite revoke", space, command, |_| {
                format!("closed the invite {}", invite.short())
            })
            .await
        }
    }
}

async fn create_invite(
    handle: &Handle,
    args: InviteCreateArgs,
    context: &Context,
) -> Result<Output, CliError> {
    let space = lookup::space(handle, args.at.space.as_deref()).await?.id;
    let channel = match &args.channel {
        Some(wanted) => {
            let channel = lookup::channel(handle, space, Some(wanted), ChannelKind::Chat);
            Some(channel.await?.id)
        }
        None => None,
    };
    let answer = handle.command(Command::CreateInvite {
        space,
        weight: args.role.into(),
        max_uses: args.max_uses,
        valid_secs: args.expires.as_secs(),
        channel,
        approval: args.approval,
    });
    let Answer::Invite { link, op } = answer.await? else {
        return Err(CliError::Unexpected);
    };
    let sent = sent::wait(handle, space, Some(op), context).await?;
    Ok(Output::Invite(Box::new(NewInvite {
        link,
        op,
        valid_secs: args.expires.as_secs(),
        max_uses: args.max_uses,
        approval: args.approval,
        qr: !args.no_qr,
        sent,
    })))
}

pub(super) async fn requests(handle: &Handle, at: &Where) -> Result<Output, CliError> {
    let space = lookup::space(handle, at.space.as_deref()).await?.id;
    let requests = ask(handle, move |node| node.join_requests(space)).await?;
    Ok(Output::Requests(requests))
}

pub(super) async fn approve(
    handle: &Handle,
    args: &ApproveArgs,
    context: &Context,
) -> Result<Output, CliError> {
    let space = lookup::space(handle, args.at.space.as_deref()).await?.id;
    let request = lookup::request(handle, space, &args.who).await?;
    let user = request.user;
    let command = Command::Approve { space, user };
    write(handle, context, "approve", space, command, |_| {
        format!("let in {} ({})", request.name, user.short())
    })
    .await
}

pub(super) async fn join(
    handle: &Handle,
    args: &JoinArgs,
    context: &Context,
) -> Result<Output, CliError> {
    if args.cancel {
        return cancel_join(handle, &args.link).await;
    }
    let text = match args.link.as_str() {
        "-" if context.shell => {
            return Err(CliError::usage("in the shell the link stands on the line"));
        }
        "-" => files::text_from_stdin("the link")?,
        link => link.to_owned(),
    };
    let link: InviteLink = text.trim().parse()?;
    let name = link.name.clone();
    // Whoever was removed and may come back has perhaps not heard of the removal.
    let known = handle.query(LiveNode::spaces).await?;
    if known.iter().any(|space| space.id == link.space) {
        reach::news(handle, context).await?;
    }
    let bar = Bar::spinner("waiting to be let in", context.bars);
    let joined = tokio::time::timeout(context.timeout, handle.command(Command::Join { link }));
    let answer = joined.await.map_err(|_late| CliError::TimedOut {
        doing: "waiting to be let in; the request stays: ask a member to be online, then `decent sync` \
                or join again (`decent join --cancel` gives it up)",
    })?;
    drop(bar);
    let Answer::Joined { space } = answer? else {
        return Err(CliError::Unexpected);
    };
    let people = names(handle, space).await?.len();
    let landing = ask(handle, move |node| node.landing(space)).await?;
    Ok(Output::Done(Done {
        command: "join",
        said: format!(
            "joined {} ({}): {people} people",
            clean::line(&name),
            space.short()
        ),
        space: Some(space),
        channel: landing,
        op: None,
        sent: None,
    }))
}

/// Gives up a request to join, named by its link or as `space list` shows it.
async fn cancel_join(handle: &Handle, wanted: &str) -> Result<Output, CliError> {
    let joins = handle.query(LiveNode::join_statuses).await?;
    let link = wanted.parse::<InviteLink>().ok();
    let (space, name) = match link {
        Some(link) => (link.space, link.name),
        None => {
            let candidates: Vec<_> = joins
                .into_iter()
                .map(|join| Candidate {
                    id: join.space.to_string(),
                    name: join.name.clone(),
                    key: (join.space, join.name),
                })
                .collect();
            pick("request to join", wanted, &candidates)?
        }
    };
    handle.command(Command::CancelJoin { space }).await?;
    Ok(Output::Done(Done {
        command: "join",
        said: format!(
            "gave up joining {} ({}); whoever let you in already lists you",
            clean::line(&name),
            space.short()
        ),
        space: Some(space),
        channel: None,
        op: None,
        sent: None,
    }))
}
