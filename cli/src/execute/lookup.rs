//! From names to ids: asks the node what there is and lets `resolve` choose.

use std::collections::BTreeMap;

use super::{Context, ask, reach};
use crate::api::{
    ChannelKind, ChannelView, CommandError, DeviceView, Handle, InviteView, JoinRequestView,
    LiveNode, MemberView, Membership, OpId, PostView, SpaceId, SpaceSummary, ThreadSummary, UserId,
};
use crate::error::CliError;
use crate::render::clean;
use crate::resolve::{Candidate, pick};

/// Threads of a forum that are searched for a title or an id.
const THREADS_MAX: usize = 10_000;
/// Posts of a channel or thread that are searched for the beginning of an id; a whole id is always found.
const POSTS_MAX: usize = 10_000;
/// Letters of a post shown to tell candidates apart.
const SNIPPET_LETTERS: usize = 40;

/// Returns a text of the node with names in place of the ids of people and channels, and short ids
/// in place of all others.
pub(super) async fn with_names(handle: &Handle, text: &str) -> Result<String, CliError> {
    let known = handle
        .query(|node| {
            let mut known = BTreeMap::new();
            for space in node.spaces() {
                // a Space that cannot be read has no names to give
                for member in node.members(space.id).unwrap_or_default() {
                    known.insert(member.user.to_string(), clean::line(&member.name));
                }
                for channel in node.channels(space.id).unwrap_or_default() {
                    let name = format!("#{}", clean::line(&channel.name));
                    known.insert(channel.id.to_string(), name);
                }
            }
            known
        })
        .await?;
    Ok(named(text, &known))
}

fn named(text: &str, known: &BTreeMap<String, String>) -> String {
    let mut out = String::new();
    for word in text.split_inclusive(|c: char| !c.is_ascii_hexdigit()) {
        let id = word.trim_end_matches(|c: char| !c.is_ascii_hexdigit());
        let rest = word.get(id.len()..).unwrap_or_default();
        match (known.get(id), id.get(..8)) {
            (Some(name), _) => out.push_str(name),
            (None, Some(short)) if id.len() >= ID_DIGITS => out.push_str(short),
            (None, _) => out.push_str(id),
        }
        out.push_str(rest);
    }
    out
}

/// Digits of the shortest id, that of a channel.
const ID_DIGITS: usize = 32;

/// Returns the Space that is meant; the only one when none is named.
pub(crate) async fn space(handle: &Handle, wanted: Option<&str>) -> Result<SpaceSummary, CliError> {
    let spaces = handle.query(LiveNode::spaces).await?;
    let Some(wanted) = wanted else {
        return only(spaces);
    };
    let candidates: Vec<_> = spaces
        .iter()
        .map(|space| Candidate {
            key: space.clone(),
            id: space.id.to_string(),
            name: space.name.clone(),
        })
        .collect();
    pick("Space", wanted, &candidates)
}

/// The one Space, or the one of which we are still a member.
fn only(spaces: Vec<SpaceSummary>) -> Result<SpaceSummary, CliError> {
    if spaces.is_empty() {
        return Err(CliError::Nothing {
            what: "no Space yet: `decent space create NAME` or `decent join LINK`".to_owned(),
        });
    }
    let names: Vec<_> = spaces
        .iter()
        .map(|space| format!("  {}  {}", space.id.short(), clean::line(&space.name)))
        .collect();
    let one = |mut list: Vec<SpaceSummary>| if list.len() == 1 { list.pop() } else { None };
    let present: Vec<_> = spaces
        .iter()
        .filter(|space| !matches!(space.membership, Membership::Removed(_)))
        .cloned()
        .collect();
    one(spaces)
        .or_else(|| one(present))
        .ok_or_else(|| CliError::Nothing {
            what: format!(
                "there is more than one Space; say which with --space:\n{}",
                names.join("\n")
            ),
        })
}

/// Returns the channel that is meant; when none is named, the first open one of `kind`.
pub(super) async fn channel(
    handle: &Handle,
    space: SpaceId,
    wanted: Option<&str>,
    kind: ChannelKind,
) -> Result<ChannelView, CliError> {
    let channels = ask(handle, move |node| node.channels(space)).await?;
    match wanted {
        Some(wanted) => pick_channel(&channels, wanted),
        None => {
            let landing = ask(handle, move |node| node.landing(space)).await?;
            let open = |channel: &&ChannelView| channel.kind == kind && !channel.archived;
            channels
                .iter()
                .filter(open)
                .find(|channel| Some(channel.id) == landing)
                .or_else(|| channels.iter().find(open))
                .cloned()
                .ok_or_else(|| CliError::Nothing {
                    what: format!(
                        "this Space has no open {} channel; say which with --channel",
                        crate::render::text::kind(kind)
                    ),
                })
        }
    }
}

fn pick_channel(channels: &[ChannelView], wanted: &str) -> Result<ChannelView, CliError> {
    let candidates: Vec<_> = channels
        .iter()
        .map(|channel| Candidate {
            key: channel.clone(),
            id: channel.id.to_string(),
            name: channel.name.clone(),
        })
        .collect();
    pick("channel", wanted, &candidates)
}

/// Returns the thread that is meant, with its channel; looks in all forums when no channel is named.
pub(super) async fn thread(
    handle: &Handle,
    space: SpaceId,
    channel: Option<&str>,
    wanted: &str,
) -> Result<(ChannelView, ThreadSummary), CliError> {
    let mut channels = ask(handle, move |node| node.channels(space)).await?;
    if let Some(name) = channel {
        channels = vec![pick_channel(&channels, name)?];
    }
    let threads = ask(handle, move |node| {
        let mut all = Vec::new();
        for channel in &channels {
            if channel.kind == ChannelKind::Forum {
                let threads = node.threads(space, channel.id, THREADS_MAX)?;
                all.extend(threads.into_iter().map(|thread| (channel.clone(), thread)));
            }
        }
        Ok(all)
    });
    let candidates: Vec<_> = threads
        .await?
        .into_iter()
        .map(|(channel, thread)| Candidate {
            id: thread.id.to_string(),
            name: thread.title.clone(),
            key: (channel, thread),
        })
        .collect();
    pick("thread", wanted, &candidates)
}

/// Returns the post or thread op that is meant. When it is not here, the relays are asked once.
pub(super) async fn post(
    handle: &Handle,
    space: SpaceId,
    wanted: &str,
    context: &Context,
) -> Result<OpId, CliError> {
    match post_here(handle, space, wanted).await {
        Err(CliError::Unknown { .. }) if context.may_ask() => {
            reach::news(handle, context).await?;
            post_here(handle, space, wanted).await
        }
        found => found,
    }
}

async fn post_here(handle: &Handle, space: SpaceId, wanted: &str) -> Result<OpId, CliError> {
    if let Ok(op) = wanted.parse::<OpId>() {
        return match ask(handle, move |node| node.post(space, op)).await {
            Ok(_) => Ok(op),
            Err(CliError::Command(CommandError::UnknownOp { .. })) => Err(CliError::Unknown {
                what: "post",
                wanted: wanted.to_owned(),
                hint: NOT_HERE.to_owned(),
            }),
            Err(error) => Err(error),
        };
    }
    let digits = wanted.strip_prefix("id:").unwrap_or(wanted).to_lowercase();
    let candidates = ask(handle, move |node| beginning_with(node, space, &digits)).await?;
    // only ids count: a text is no name
    match pick("post", &format!("id:{}", bare(wanted)), &candidates) {
        Err(CliError::Unknown { what, .. }) => Err(CliError::Unknown {
            what,
            wanted: wanted.to_owned(),
            hint: format!(
                "; give at least four digits of its id, as `decent read` shows it{NOT_HERE}"
            ),
        }),
        other => other,
    }
}

/// What to do when a thing may only not be here yet.
const NOT_HERE: &str = "; if it was written elsewhere, `decent sync` fetches it";

fn bare(wanted: &str) -> &str {
    wanted.strip_prefix("id:").unwrap_or(wanted)
}

fn beginning_with(
    node: &LiveNode,
    space: SpaceId,
    digits: &str,
) -> Result<Vec<Candidate<OpId>>, CommandError> {
    let mut found: BTreeMap<OpId, String> = BTreeMap::new();
    let mut look = |posts: Vec<PostView>| {
        for post in posts {
            if post.id.to_string().starts_with(digits) {
                let body = clean::snippet(&post.body, SNIPPET_LETTERS);
                found.insert(
                    post.id,
                    format!("{}: {body}", clean::line(&post.author_name)),
                );
            }
        }
    };
    for channel in node.channels(space)? {
        if channel.kind != ChannelKind::Forum {
            look(node.posts(space, channel.id, None, POSTS_MAX)?);
            continue;
        }
        for thread in node.threads(space, channel.id, THREADS_MAX)? {
            look(node.posts(space, channel.id, Some(thread.id), POSTS_MAX)?);
        }
    }
    Ok(found
        .into_iter()
        .map(|(key, name)| Candidate {
            key,
            id: key.to_string(),
            name,
        })
        .collect())
}

/// Returns the member, present or former, that is meant.
pub(super) async fn member(
    handle: &Handle,
    space: SpaceId,
    wanted: &str,
) -> Result<MemberView, CliError> {
    let members = ask(handle, move |node| node.members(space)).await?;
    let candidates: Vec<_> = members
        .into_iter()
        .map(|member| Candidate {
            id: member.user.to_string(),
            name: member.name.clone(),
            key: member,
        })
        .collect();
    pick("member", wanted, &candidates)
}

/// Returns the own device that is meant.
pub(super) async fn device(
    handle: &Handle,
    space: SpaceId,
    wanted: &str,
) -> Result<DeviceView, CliError> {
    let devices = ask(handle, move |node| node.devices(space)).await?;
    let candidates: Vec<_> = devices
        .into_iter()
        .map(|device| Candidate {
            id: device.device.to_string(),
            name: device.name.clone(),
            key: device,
        })
        .collect();
    pick("device", wanted, &candidates)
}

/// Returns the person who asks to come in that is meant.
pub(super) async fn request(
    handle: &Handle,
    space: SpaceId,
    wanted: &str,
) -> Result<JoinRequestView, CliError> {
    let requests = ask(handle, move |node| node.join_requests(space)).await?;
    let candidates: Vec<_> = requests
        .into_iter()
        .map(|request| Candidate {
            id: request.user.to_string(),
            name: request.name.clone(),
            key: request,
        })
        .collect();
    pick("join request", wanted, &candidates)
}

/// Returns the open invite that is meant.
pub(super) async fn invite(
    handle: &Handle,
    space: SpaceId,
    wanted: &str,
) -> Result<InviteView, CliError> {
    let invites = ask(handle, move |node| node.invites(space)).await?;
    let candidates: Vec<_> = invites
        .into_iter()
        .map(|invite| Candidate {
            id: invite.op.to_string(),
            name: String::new(),
            key: invite,
        })
        .collect();
    pick("invite", wanted, &candidates)
}

/// Returns the names of everybody who is or was in a Space.
///
/// # Errors
/// When the Space is gone or the node stops.
pub(crate) async fn names(
    handle: &Handle,
    space: SpaceId,
) -> Result<BTreeMap<UserId, String>, CliError> {
    let members = ask(handle, move |node| node.members(space)).await?;
    Ok(members.into_iter().map(|m| (m.user, m.name)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples;

    #[test]
    fn the_only_space_may_be_left_unnamed() {
        let mut left = samples::summary(2, "Choir");
        left.membership = Membership::Removed(samples::op(1));
        let here = samples::summary(1, "Allotment");
        assert_eq!(only(vec![here.clone()]).unwrap().id, here.id);
        assert_eq!(only(vec![left.clone()]).unwrap().id, left.id);
        assert_eq!(only(vec![left, here.clone()]).unwrap().id, here.id);
        assert!(only(Vec::new()).unwrap_err().to_string().contains("join"));
        let two = only(vec![here, samples::summary(3, "Chess")]).unwrap_err();
        insta::assert_snapshot!(two, @"
        there is more than one Space; say which with --space:
          01010101  Allotment
          03030303  Chess
        ");
    }
}
