//! Threads, posts, reading, attachments.

use std::path::PathBuf;
use std::pin::pin;

use super::lookup::{self, names};
use super::{Context, ask, reach, short, write};
use crate::api::{
    Attachment, ChannelKind, ChannelView, Command, Content, Handle, LiveNode, OpId, SpaceId,
};
use crate::args::{
    DeleteArgs, EditArgs, PostArgs, ReactArgs, ReadArgs, SaveArgs, TargetArgs, ThreadCmd,
    ThreadListArgs, ThreadNewArgs, ThreadUpdateArgs,
};
use crate::error::CliError;
use crate::files;
use crate::output::{Output, Page};
use crate::progress::Bar;
use crate::render::clean;

pub(super) async fn thread(
    handle: &Handle,
    cmd: ThreadCmd,
    context: &Context,
) -> Result<Output, CliError> {
    match cmd {
        ThreadCmd::New(args) => new_thread(handle, args, context).await,
        ThreadCmd::List(args) => list_threads(handle, &args).await,
        ThreadCmd::Update(args) => update_thread(handle, args, context).await,
    }
}

async fn new_thread(
    handle: &Handle,
    args: ThreadNewArgs,
    context: &Context,
) -> Result<Output, CliError> {
    let space = lookup::space(handle, args.at.space.as_deref()).await?.id;
    let wanted = args.channel.as_deref();
    let channel = lookup::channel(handle, space, wanted, ChannelKind::Forum).await?;
    if channel.kind != ChannelKind::Forum {
        return Err(CliError::usage(format!(
            "#{} has no threads: `decent post` writes there",
            clean::line(&channel.name)
        )));
    }
    let body = text(args.text, context)?;
    let attachments = attach(handle, space, &args.attach, context).await?;
    let files = !attachments.is_empty();
    let title = args.title;
    let command = Command::CreateThread {
        space,
        channel: channel.id,
        title: title.clone(),
        tags: args.tags,
        body,
        attachments,
    };
    let said = |op| format!("opened \"{title}\" [{}] in #{}", short(op), channel.name);
    let output = write(handle, context, "thread new", space, command, said).await?;
    uploaded(handle, files, context).await;
    Ok(output)
}

async fn list_threads(handle: &Handle, args: &ThreadListArgs) -> Result<Output, CliError> {
    let space = lookup::space(handle, args.at.space.as_deref()).await?.id;
    let wanted = args.channel.as_deref();
    let forum = lookup::channel(handle, space, wanted, ChannelKind::Forum).await?;
    threads_of(handle, space, forum, args.limit.get()).await
}

async fn threads_of(
    handle: &Handle,
    space: SpaceId,
    forum: ChannelView,
    limit: usize,
) -> Result<Output, CliError> {
    let id = forum.id;
    let threads = ask(handle, move |node| node.threads(space, id, limit)).await?;
    let forum = forum.name;
    Ok(Output::Threads { forum, threads })
}

async fn update_thread(
    handle: &Handle,
    args: ThreadUpdateArgs,
    context: &Context,
) -> Result<Output, CliError> {
    let space = lookup::space(handle, args.at.space.as_deref()).await?.id;
    let (_, thread) = lookup::thread(handle, space, None, &args.thread).await?;
    let command = Command::UpdateThread {
        space,
        thread: thread.id,
        title: args.title,
        tags: (!args.tags.is_empty()).then_some(args.tags),
    };
    write(handle, context, "thread update", space, command, |_| {
        format!("changed \"{}\"", thread.title)
    })
    .await
}

pub(super) async fn post(
    handle: &Handle,
    args: PostArgs,
    context: &Context,
) -> Result<Output, CliError> {
    let space = lookup::space(handle, args.at.space.as_deref()).await?.id;
    let (channel, thread) = (args.channel.as_deref(), args.thread.as_deref());
    let (channel, thread) = match somewhere(handle, space, channel, thread).await {
        // opened elsewhere, perhaps
        Err(CliError::Unknown { .. }) if context.may_ask() => {
            reach::news(handle, context).await?;
            somewhere(handle, space, channel, thread).await?
        }
        found => found?,
    };
    // it would stand in no thread, where nobody looks
    if channel.kind == ChannelKind::Forum && thread.is_none() {
        return Err(CliError::usage(format!(
            "#{} is a forum: `decent thread new` opens a thread there, --thread answers in one",
            clean::line(&channel.name)
        )));
    }
    let reply_to = match &args.reply_to {
        Some(wanted) => Some(lookup::post(handle, space, wanted, context).await?),
        None => None,
    };
    let body = text(args.text, context)?;
    let attachments = attach(handle, space, &args.attach, context).await?;
    let files = !attachments.is_empty();
    let command = Command::Post {
        space,
        channel: channel.id,
        thread,
        reply_to,
        body,
        attachments,
    };
    let said = |op| format!("posted [{}] in #{}", short(op), channel.name);
    let output = write(handle, context, "post", space, command, said).await?;
    uploaded(handle, files, context).await;
    Ok(output)
}

pub(super) async fn edit(
    handle: &Handle,
    args: EditArgs,
    context: &Context,
) -> Result<Output, CliError> {
    let space = lookup::space(handle, args.at.space.as_deref()).await?.id;
    let target = lookup::post(handle, space, &args.post, context).await?;
    let body = text(args.text, context)?;
    if body.trim().is_empty() {
        return Err(CliError::Input {
            what: "the new text is empty; `decent delete` takes the post away".to_owned(),
        });
    }
    let command = Command::Edit {
        space,
        target,
        body,
    };
    write(handle, context, "edit", space, command, |_| {
        format!("changed [{}]", target.short())
    })
    .await
}

pub(super) async fn delete(
    handle: &Handle,
    args: DeleteArgs,
    context: &Context,
) -> Result<Output, CliError> {
    let space = lookup::space(handle, args.at.space.as_deref()).await?.id;
    let target = lookup::post(handle, space, &args.post, context).await?;
    let command = Command::Delete {
        space,
        target,
        reason: args.reason,
    };
    write(handle, context, "delete", space, command, |_| {
        format!(
            "deleted [{}]; honest programs no longer show it",
            target.short()
        )
    })
    .await
}

pub(super) async fn restore(
    handle: &Handle,
    args: &TargetArgs,
    context: &Context,
) -> Result<Output, CliError> {
    let space = lookup::space(handle, args.at.space.as_deref()).await?.id;
    let target = lookup::post(handle, space, &args.post, context).await?;
    let command = Command::Restore { space, target };
    write(handle, context, "restore-post", space, command, |_| {
        format!("[{}] is shown again", target.short())
    })
    .await
}

pub(super) async fn react(
    handle: &Handle,
    args: ReactArgs,
    add: bool,
    context: &Context,
) -> Result<Output, CliError> {
    let space = lookup::space(handle, args.at.space.as_deref()).await?.id;
    let target = lookup::post(handle, space, &args.post, context).await?;
    let emoji = args.emoji.clone();
    let command = Command::React {
        space,
        target,
        emoji: args.emoji,
        add,
    };
    let (name, did) = if add {
        ("react", "on")
    } else {
        ("unreact", "no longer on")
    };
    write(handle, context, name, space, command, |_| {
        format!("{emoji} {did} [{}]", target.short())
    })
    .await
}

pub(super) async fn pin(
    handle: &Handle,
    args: &TargetArgs,
    pin: bool,
    context: &Context,
) -> Result<Output, CliError> {
    let space = lookup::space(handle, args.at.space.as_deref()).await?.id;
    let target = lookup::post(handle, space, &args.post, context).await?;
    let command = Command::Pin { space, target, pin };
    let (name, did) = if pin {
        ("pin", "pinned")
    } else {
        ("unpin", "unpinned")
    };
    write(handle, context, name, space, command, |_| {
        format!("{did} [{}]", target.short())
    })
    .await
}

/// Where `decent read` reads.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    /// The Space.
    pub(crate) space: SpaceId,
    /// The channel.
    pub(crate) channel: ChannelView,
    /// One thread of it.
    pub(crate) thread: Option<OpId>,
}

/// Finds the place to read.
///
/// # Errors
/// When there is none of that name.
pub(crate) async fn place(handle: &Handle, args: &ReadArgs) -> Result<Place, CliError> {
    let space = lookup::space(handle, args.at.space.as_deref()).await?.id;
    let (channel, thread) = somewhere(
        handle,
        space,
        args.channel.as_deref(),
        args.thread.as_deref(),
    )
    .await?;
    Ok(Place {
        space,
        channel,
        thread,
    })
}

pub(super) async fn read(
    handle: &Handle,
    args: &ReadArgs,
    context: &Context,
) -> Result<Output, CliError> {
    if args.follow && context.shell {
        return Err(CliError::usage(
            "in the shell, `decent shell --notices` tells what comes; --follow is for the program",
        ));
    }
    let place = place(handle, args).await?;
    let (space, channel, thread) = (place.space, place.channel.id, place.thread);
    // a forum without a thread has no one row of posts: its threads are what there is to read
    if place.channel.kind == ChannelKind::Forum && thread.is_none() && !args.pins {
        return threads_of(handle, space, place.channel, args.limit.get()).await;
    }
    let limit = args.limit.get();
    let posts = if args.pins {
        ask(handle, move |node| node.pins(space, channel)).await?
    } else {
        ask(handle, move |node| {
            node.posts(space, channel, thread, limit)
        })
        .await?
    };
    Ok(Output::Posts(Page {
        heading: Some(format!("#{}", place.channel.name)),
        posts,
        people: names(handle, space).await?,
        all: args.all,
    }))
}

pub(super) async fn save(
    handle: &Handle,
    args: &SaveArgs,
    context: &Context,
) -> Result<Output, CliError> {
    let space = lookup::space(handle, args.at.space.as_deref()).await?.id;
    let op = lookup::post(handle, space, &args.post, context).await?;
    let files = ask(handle, move |node| node.post(space, op))
        .await?
        .attachments;
    let file = which_file(&files, args.file.as_deref())?;
    let to = files::destination(args.to.as_deref(), &file.name);
    files::vacant(&to, args.force)?;
    let bar = Bar::bytes(&clean::line(&file.name), context.bars);
    let saved = handle.save(space, file, &to, |done, total| bar.at(done, total));
    saved.await.map_err(|source| CliError::Attach {
        doing: format!("save {}", to.display()),
        source,
    })?;
    Ok(Output::File {
        what: "attachment",
        path: to,
        bytes: file.size,
        left_out: None,
    })
}

/// Returns the file that is meant: by number from 1, by name, or the only one.
fn which_file<'a>(
    files: &'a [Attachment],
    wanted: Option<&str>,
) -> Result<&'a Attachment, CliError> {
    let list = || {
        let lines: Vec<_> = files
            .iter()
            .enumerate()
            .map(|(at, file)| format!("  {}  {}", at + 1, clean::line(&file.name)))
            .collect();
        lines.join("\n")
    };
    let Some(wanted) = wanted else {
        return match files {
            [one] => Ok(one),
            [] => Err(CliError::Nothing {
                what: "this post has no files".to_owned(),
            }),
            _ => Err(CliError::Nothing {
                what: format!(
                    "this post has several files; say which with --file:\n{}",
                    list()
                ),
            }),
        };
    };
    let mut named = files.iter().filter(|file| file.name == wanted);
    if let (Some(one), None) = (named.next(), named.next()) {
        return Ok(one);
    }
    let number = wanted.parse::<usize>().ok();
    number
        .and_then(|number| files.get(number.checked_sub(1)?))
        .ok_or_else(|| CliError::Nothing {
            what: format!("no file {wanted:?} in this post; there is:\n{}", list()),
        })
}

/// Finds the channel, or the thread with its channel.
async fn somewhere(
    handle: &Handle,
    space: SpaceId,
    channel: Option<&str>,
    thread: Option<&str>,
) -> Result<(ChannelView, Option<OpId>), CliError> {
    match thread {
        Some(wanted) => {
            let (channel, thread) = lookup::thread(handle, space, channel, wanted).await?;
            Ok((channel, Some(thread.id)))
        }
        None => {
            let channel = lookup::channel(handle, space, channel, ChannelKind::Chat).await?;
            Ok((channel, None))
        }
    }
}

/// Returns the text from the command line or standard input.
fn text(text: Option<String>, context: &Context) -> Result<String, CliError> {
    match text {
        Some(text) if text != "-" => Ok(text),
        _ if context.shell => Err(CliError::usage(
            "in the shell the text stands on the line, in quotes",
        )),
        _ => files::text_from_stdin("the text"),
    }
}

/// Seals and stores files, one after the other.
async fn attach(
    handle: &Handle,
    space: SpaceId,
    paths: &[PathBuf],
    context: &Context,
) -> Result<Vec<Attachment>, CliError> {
    let mut attachments = Vec::with_capacity(paths.len());
    for path in paths {
        let shown = clean::line(&path.display().to_string());
        let bar = Bar::bytes(&shown, context.bars);
        let attached = handle.attach(space, Content::File(path), None, |done, total| {
            bar.at(done, total);
        });
        let attached = attached.await.map_err(|source| CliError::Attach {
            doing: format!("attach {shown}"),
            source,
        })?;
        attachments.push(attached);
    }
    Ok(attachments)
}

/// Gives the chunks of files time to reach a relay. The post is there already, and what
/// is missing is sent the next time, so this fails silently.
async fn uploaded(handle: &Handle, files: bool, context: &Context) {
    if !files || context.offline || context.shell {
        return;
    }
    let waiting = async || handle.query(LiveNode::uploads_waiting).await.unwrap_or(0) as u64;
    let total = waiting().await;
    let bar = Bar::ops("uploading pieces", context.bars);
    let mut looks = reach::Looks::until(handle, context.timeout);
    let mut synced = pin!(handle.command(Command::Sync));
    loop {
        bar.at(total.saturating_sub(waiting().await), total);
        tokio::select! {
            _ = &mut synced => return,
            more = looks.again() => if !more { return },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples;

    #[test]
    fn a_file_is_named_by_number_or_name() {
        let files = [
            samples::attachment("a.txt", 1),
            samples::attachment("2", 2),
            samples::attachment("a.txt", 3),
        ];
        let size = |wanted: &str| which_file(&files, Some(wanted)).map(|f| f.size);
        assert_eq!(size("1").unwrap(), 1);
        assert_eq!(size("3").unwrap(), 3);
        // a file that is really called so comes before the number
        assert_eq!(size("2").unwrap(), 2);
        for wanted in ["a.txt", "0", "4", "b.txt", "-1"] {
            assert_eq!(size(wanted).unwrap_err().code().number(), 3, "{wanted}");
        }
        assert!(which_file(&files, None).is_err());
        assert!(which_file(&[], None).is_err());
        assert_eq!(which_file(&files[..1], None).unwrap().size, 1);
    }
}
