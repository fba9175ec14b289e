//! The profile as a whole: health, relays, exports, backups.

use std::collections::BTreeMap;
use std::pin::pin;

use tokio::time::Instant;

use super::reach::Looks;
use super::{Context, ask, lookup, reach};
use crate::api::{
    Answer, Command, Handle, LiveNode, Membership, Notice, SpaceId, SpaceSummary, check_relay,
};
use crate::args::{BackupArgs, ExportArgs, ImportArgs, RelaysCmd, StatusArgs};
use crate::error::CliError;
use crate::files;
use crate::output::{Done, Output, StatusPage, WaitingFor};
use crate::progress::Bar;
use crate::render::clean;

pub(super) async fn sync(handle: &Handle, context: &Context) -> Result<Output, CliError> {
    if context.offline {
        return Err(CliError::usage(
            "--offline connects to nothing: there is nothing to do",
        ));
    }
    let began = Instant::now();
    let mut outside = handle.query(LiveNode::spaces).await?;
    outside.retain(waits);
    let bar = Bar::spinner("asking the relays", context.bars);
    let synced = tokio::time::timeout(context.timeout, handle.command(Command::Sync));
    let answer = synced.await.map_err(|_late| CliError::TimedOut {
        doing: "exchanging with the relays; what came so far is kept",
    })?;
    let Answer::Synced {
        mut received,
        mut sent,
        relays,
    } = answer?
    else {
        return Err(CliError::Unexpected);
    };
    drop(bar);
    let waiting = let_in(handle, context, began, outside).await?;
    let had_turns = turns(handle, context, began).await?;
    if had_turns || !waiting.came_in.is_empty() {
        // with the keys comes what was written meanwhile, and what we did has to go out
        let left = context.timeout.saturating_sub(began.elapsed());
        let again = tokio::time::timeout(left, handle.command(Command::Sync)).await;
        if let Ok(Ok(Answer::Synced {
            received: more,
            sent: gone,
            ..
        })) = again
        {
            received += more;
            sent += gone;
        }
    }
    Ok(Output::Synced {
        received,
        sent,
        relays,
        waiting: waiting.still,
        came_in: waiting.came_in,
    })
}

/// Waits for the turn of this device to let others in and out: where all come for a moment only,
/// nobody else would. Returns whether there was anything to do.
async fn turns(handle: &Handle, context: &Context, began: Instant) -> Result<bool, CliError> {
    if !handle.query(LiveNode::has_turns).await? {
        return Ok(false);
    }
    let _bar = Bar::spinner("changing keys for who came or went", context.bars);
    let mut looks = Looks::until(handle, context.timeout.saturating_sub(began.elapsed()));
    while handle.query(LiveNode::has_turns).await? && looks.again().await {}
    Ok(true)
}

/// Whether this device is to be let into a Space (again).
const fn waits(space: &SpaceSummary) -> bool {
    matches!(space.membership, Membership::Waiting(_))
}

/// What waiting to be let in came to.
struct LetIn {
    came_in: Vec<SpaceSummary>,
    still: Vec<WaitingFor>,
}

/// Waits while this device has not been let into some Space and a relay could bring the
/// answer. Who came back from a backup is let in by a program of another member.
async fn let_in(
    handle: &Handle,
    context: &Context,
    began: Instant,
    first: Vec<SpaceSummary>,
) -> Result<LetIn, CliError> {
    let left = context.timeout.saturating_sub(began.elapsed());
    let names: Vec<_> = first.iter().map(|s| clean::line(&s.name)).collect();
    let _bar = (!first.is_empty()).then(|| {
        let what = format!("waiting to be let into {}", names.join(", "));
        Bar::spinner(&what, context.bars)
    });
    let mut looks = Looks::until(handle, left);
    loop {
        let (spaces, relays) = handle.query(|node| (node.spaces(), node.relays())).await?;
        let still: Vec<_> = spaces
            .iter()
            .filter(|space| waits(space))
            .cloned()
            .collect();
        let reachable = relays.iter().any(|relay| relay.connected);
        if !still.is_empty() && reachable && looks.again().await {
            continue;
        }
        let came_in = first
            .into_iter()
            .filter(|was| !still.iter().any(|space| space.id == was.id))
            .collect();
        let mut out = Vec::new();
        for space in still {
            out.push(WaitingFor {
                by: others(handle, space.id).await?,
                space,
            });
        }
        return Ok(LetIn {
            came_in,
            still: out,
        });
    }
}

/// Returns the other members of a Space.
async fn others(handle: &Handle, space: SpaceId) -> Result<Vec<String>, CliError> {
    let members = ask(handle, move |node| {
        let me = node.me().user;
        let mut members = node.members(space)?;
        members.retain(|member| member.user != me && member.weight.is_some());
        Ok(members)
    });
    Ok(members
        .await?
        .into_iter()
        .map(|member| member.name)
        .collect())
}

pub(super) async fn status(
    handle: &Handle,
    args: &StatusArgs,
    context: &Context,
) -> Result<Output, CliError> {
    reach::before_report(handle, context).await?;
    let wanted = match &args.at.space {
        Some(space) => Some(lookup::space(handle, Some(space)).await?.id),
        None => None,
    };
    let limit = args.limit.get();
    let page = ask(handle, move |node| {
        let mut status = node.status()?;
        status
            .spaces
            .retain(|space| wanted.is_none_or(|id| space.summary.id == id));
        let mut own = BTreeMap::new();
        let mut damaged = BTreeMap::new();
        for space in &status.spaces {
            let id = space.summary.id;
            own.insert(id, node.own_ops(id, limit)?);
            damaged.insert(id, node.damaged(id)?);
        }
        Ok(StatusPage {
            status,
            own,
            damaged,
        })
    });
    Ok(Output::Status(Box::new(page.await?)))
}

pub(super) async fn export(
    handle: &Handle,
    args: &ExportArgs,
    context: &Context,
) -> Result<Output, CliError> {
    files::vacant(&args.file, args.force)?;
    let space = lookup::space(handle, args.at.space.as_deref()).await?;
    let bar = Bar::ops("exporting", context.bars);
    let bundle = handle.export(space.id, |done, total| bar.at(done, total));
    let bundle = bundle.await?;
    drop(bar);
    let left_out = ask(handle, move |node| node.damaged(space.id)).await?.len();
    written("export", args.file.clone(), &bundle, args.force, left_out)
}

pub(super) async fn import(
    handle: &Handle,
    args: &ImportArgs,
    context: &Context,
) -> Result<Output, CliError> {
    let bundle = files::read(&args.file)?;
    let bar = Bar::ops("importing", context.bars);
    let mut notices = handle.notices();
    let mut import = pin!(handle.command(Command::Import { bundle }));
    let answer = loop {
        tokio::select! {
            answer = &mut import => break answer?,
            Ok(Notice::Importing { done, total, .. }) = notices.recv() => bar.at(done, total),
        }
    };
    let Answer::Imported {
        space,
        new,
        known,
        unreadable,
        waiting,
        refused,
    } = answer
    else {
        return Err(CliError::Unexpected);
    };
    Ok(Output::Imported {
        space,
        new,
        known,
        unreadable,
        waiting,
        refused,
    })
}

pub(super) async fn backup(
    handle: &Handle,
    args: &BackupArgs,
    context: &Context,
) -> Result<Output, CliError> {
    files::vacant(&args.file, args.force)?;
    let bar = Bar::ops("backing up", context.bars);
    let backup = handle.backup(|done, total| bar.at(done, total)).await?;
    drop(bar);
    let left_out = ask(handle, |node| {
        let spaces = node.spaces().into_iter();
        spaces.map(|s| Ok(node.damaged(s.id)?.len())).sum()
    });
    let left_out: usize = left_out.await?;
    written("backup", args.file.clone(), &backup, args.force, left_out)
}

pub(super) async fn relays(
    handle: &Handle,
    cmd: RelaysCmd,
    context: &Context,
) -> Result<Output, CliError> {
    let (name, said) = match cmd {
        RelaysCmd::List => return Ok(Output::Relays(reach::relays(handle, context).await?)),
        RelaysCmd::Add { address } => {
            check_relay(&address).map_err(|why| {
                CliError::usage(format!("{address:?} is no address of a relay: {why}"))
            })?;
            let command = Command::AddRelay {
                address: address.clone(),
            };
            handle.command(command).await?;
            let found = answers(handle, &address, context).await?;
            let said = format!("using {}{found}", clean::line(&address));
            ("relays add", said)
        }
        RelaysCmd::Remove { address } => {
            let known = handle.query(LiveNode::relays).await?;
            if !known.iter().any(|relay| relay.address == address) {
                return Err(CliError::Nothing {
                    what: format!("{address:?} is not among the relays; `decent relays list`"),
                });
            }
            let said = format!("no longer using {}", clean::line(&address));
            handle.command(Command::RemoveRelay { address }).await?;
            ("relays remove", said)
        }
    };
    Ok(Output::Done(Done {
        command: name,
        said,
        space: None,
        channel: None,
        op: None,
        sent: None,
    }))
}

/// Says whether a relay answers. That it does not, now, is no reason not to use it.
async fn answers(handle: &Handle, address: &str, context: &Context) -> Result<String, CliError> {
    if context.offline {
        return Ok(String::new());
    }
    let relays = reach::relays(handle, context).await?;
    let relay = relays.into_iter().find(|relay| relay.address == address);
    Ok(match relay {
        Some(relay) if relay.connected => "; it answers".to_owned(),
        Some(relay) => match relay.error {
            Some(why) => format!("; it does not answer now: {}", clean::line(&why)),
            None => "; it has not answered yet".to_owned(),
        },
        // one with the same key is used already, by another address
        None => "; it is known already".to_owned(),
    })
}

fn written(
    what: &'static str,
    path: std::path::PathBuf,
    bytes: &[u8],
    force: bool,
    left_out: usize,
) -> Result<Output, CliError> {
    files::write(&path, bytes, force)?;
    Ok(Output::File {
        what,
        path,
        bytes: bytes.len() as u64,
        left_out: Some(left_out),
    })
}
