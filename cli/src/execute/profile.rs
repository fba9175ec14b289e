//! The profile as a whole: health, relays, exports, backups.

use std::collections::BTreeMap;
use std::pin::pin;

use super::{Context, ask, lookup};
use crate::api::{Answer, Command, Handle, LiveNode, Notice};
use crate::args::{BackupArgs, ExportArgs, ImportArgs, RelaysCmd, StatusArgs};
use crate::error::CliError;
use crate::files;
use crate::output::{Done, Output, StatusPage};
use crate::progress::Bar;
use crate::render::clean;

pub(super) async fn sync(handle: &Handle, context: &Context) -> Result<Output, CliError> {
    let _bar = Bar::spinner("asking the relays", context.bars);
    let synced = tokio::time::timeout(context.timeout, handle.command(Command::Sync));
    let answer = synced.await.map_err(|_late| CliError::TimedOut {
        doing: "exchanging with the relays; what came so far is kept",
    })?;
    let Answer::Synced {
        received,
        sent,
        relays,
    } = answer?
    else {
        return Err(CliError::Unexpected);
    };
    Ok(Output::Synced {
        received,
        sent,
        relays,
    })
}

pub(super) async fn status(handle: &Handle, args: &StatusArgs) -> Result<Output, CliError> {
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
        for space in &status.spaces {
            let id = space.summary.id;
            own.insert(id, node.own_ops(id, limit)?);
        }
        Ok(StatusPage { status, own })
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
    let bar = Bar::spinner("exporting", context.bars);
    let bundle = handle.export(space.id).await?;
    drop(bar);
    written("export", args.file.clone(), &bundle, args.force)
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
        refused,
    } = answer
    else {
        return Err(CliError::Unexpected);
    };
    Ok(Output::Imported {
        space,
        new,
        known,
        refused,
    })
}

pub(super) async fn backup(
    handle: &Handle,
    args: &BackupArgs,
    context: &Context,
) -> Result<Output, CliError> {
    files::vacant(&args.file, args.force)?;
    let bar = Bar::spinner("backing up", context.bars);
    let backup = handle.backup().await?;
    drop(bar);
    written("backup", args.file.clone(), &backup, args.force)
}

pub(super) async fn relays(handle: &Handle, cmd: RelaysCmd) -> Result<Output, CliError> {
    let (name, did, address, command) = match cmd {
        RelaysCmd::List => return Ok(Output::Relays(handle.query(LiveNode::relays).await?)),
        RelaysCmd::Add { address } => {
            let command = Command::AddRelay {
                address: address.clone(),
            };
            ("relays add", "using", address, command)
        }
        RelaysCmd::Remove { address } => {
            let command = Command::RemoveRelay {
                address: address.clone(),
            };
            ("relays remove", "no longer using", address, command)
        }
    };
    handle.command(command).await?;
    Ok(Output::Done(Done {
        command: name,
        said: format!("{did} {}", clean::line(&address)),
        space: None,
        channel: None,
        op: None,
        sent: None,
    }))
}

fn written(
    what: &'static str,
    path: std::path::PathBuf,
    bytes: &[u8],
    force: bool,
) -> Result<Output, CliError> {
    files::write(&path, bytes, force)?;
    Ok(Output::File {
        what,
        path,
        bytes: bytes.len() as u64,
    })
}
