//! `decent read --follow`: prints posts as they come.

use std::collections::{BTreeMap, BTreeSet};

use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;

use crate::api::{CommandError, Handle, Notice, OpId, PostView};
use crate::args::ReadArgs;
use crate::error::CliError;
use crate::execute::{Place, names, place};
use crate::output::{Output, Page};
use crate::print::Printer;

/// Posts fetched anew when notices came faster than they were printed.
const CATCH_UP_POSTS: usize = 200;

/// Prints what comes into the channel or thread, until it is dropped. `notices` must be
/// older than `first`, the page that was printed already, so that nothing falls between.
///
/// # Errors
/// When the channel is gone, the node stops or standard output is gone.
pub(crate) async fn run(
    handle: &Handle,
    args: &ReadArgs,
    mut notices: Receiver<Notice>,
    first: &Output,
    printer: Printer,
) -> Result<(), CliError> {
    let place = place(handle, args).await?;
    let mut shown: BTreeSet<OpId> = BTreeSet::new();
    let mut oldest = None;
    if let Output::Posts(page) = first {
        shown.extend(page.posts.iter().map(|post| post.id));
        oldest = page.posts.first().map(|post| post.hlc);
    }
    loop {
        let posts = match notices.recv().await {
            Ok(Notice::Ops { space, ops }) if space == place.space => {
                of_ops(handle, &place, ops).await?
            }
            Ok(_) => continue,
            Err(RecvError::Lagged(_)) => {
                let mut posts = newest(handle, &place).await?;
                // not those from before the first page, which nobody asked for
                posts.retain(|post| Some(post.hlc) > oldest);
                posts
            }
            Err(RecvError::Closed) => return Err(CommandError::Stopping.into()),
        };
        let fresh: Vec<_> = posts
            .into_iter()
            // however old: it may have been written offline and come only now
            .filter(|post| shown.insert(post.id))
            .collect();
        if !fresh.is_empty() {
            printer.output(&Output::Posts(Page {
                heading: None,
                posts: fresh,
                people: names(handle, place.space).await?,
                all: args.all,
            }))?;
        }
    }
}

/// Returns those of the ops that are posts here.
async fn of_ops(handle: &Handle, place: &Place, ops: Vec<OpId>) -> Result<Vec<PostView>, CliError> {
    let (space, channel, thread) = (place.space, place.channel.id, place.thread);
    let posts = handle.query(move |node| {
        let mut found = BTreeMap::new();
        for (at, op) in ops.into_iter().enumerate() {
            // edits, reactions and control ops are not posts: nothing to print for them
            if let Ok(post) = node.post(space, op)
                && post.channel == channel
                && (thread.is_none() || post.thread == thread || Some(post.id) == thread)
            {
                found.insert(at, post);
            }
        }
        found.into_values().collect()
    });
    Ok(posts.await?)
}

async fn newest(handle: &Handle, place: &Place) -> Result<Vec<PostView>, CliError> {
    let (space, channel, thread) = (place.space, place.channel.id, place.thread);
    let posts = handle.ask(move |node| node.posts(space, channel, thread, CATCH_UP_POSTS));
    Ok(posts.await?)
}
