//! Reading the node: what the model holds, put together on the node's own thread.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::api::{
    ChannelId, ChannelKind, CommandError, LiveNode, Membership, OpId, PageFrom, Place, PostState,
    SpaceId, Unread, UserId,
};
use crate::markdown;
use crate::model::{
    Audit, ChannelItem, Home, Line, LineId, Post, SpaceData, SpaceItem, Topic, Topics, Why,
};
use crate::text::{self, Arg};

/// Posts counted as unread in one line; more are shown as "99+".
pub(crate) const UNREAD_MAX: usize = 100;
/// Topics of a forum that are listed and looked through for what is unread.
pub(crate) const TOPICS_MAX: usize = 500;
/// Ops in the audit log.
const AUDIT_MAX: usize = 2_000;
/// Characters of a post that a reply shows of it.
const QUOTE_CHARS: usize = 120;

/// Up to where each line was read.
pub(crate) type Marks = BTreeMap<LineId, Place>;

/// What is unread in each channel of a Space.
pub(crate) fn unread(
    node: &LiveNode,
    space: SpaceId,
    marks: &Marks,
) -> Result<BTreeMap<ChannelId, Unread>, CommandError> {
    let mut found = BTreeMap::new();
    for channel in node.channels(space)? {
        let line = |thread| LineId {
            space,
            channel: channel.id,
            thread,
        };
        let mut sum = of_line(node, line(None), marks)?;
        if channel.kind == ChannelKind::Forum {
            for thread in node.threads(space, channel.id, TOPICS_MAX)? {
                sum = add(sum, of_line(node, line(Some(thread.id)), marks)?);
            }
        }
        found.insert(channel.id, sum);
    }
    Ok(found)
}

fn of_line(node: &LiveNode, line: LineId, marks: &Marks) -> Result<Unread, CommandError> {
    let behind = marks.get(&line).copied();
    node.unread(line.space, line.channel, line.thread, behind, UNREAD_MAX)
}

fn add(a: Unread, b: Unread) -> Unread {
    Unread {
        posts: a.posts + b.posts,
        mentions: a.mentions + b.mentions,
        more: a.more || b.more,
    }
}

/// The window as a whole.
pub(crate) fn home(
    node: &LiveNode,
    unread: &BTreeMap<SpaceId, BTreeMap<ChannelId, Unread>>,
) -> Home {
    let of = |space: &SpaceId| {
        let channels = unread.get(space).into_iter().flat_map(BTreeMap::values);
        channels.fold(Unread::default(), |sum, channel| add(sum, *channel))
    };
    Home {
        me: node.me(),
        spaces: node
            .spaces()
            .into_iter()
            .map(|summary| SpaceItem {
                unread: match summary.membership {
                    Membership::Member(_) | Membership::Waiting(_) => of(&summary.id),
                    // Nothing new comes there.
                    Membership::Removed(_) => Unread::default(),
                },
                summary,
            })
            .collect(),
        joins: node.join_statuses(),
        relays: node.relays(),
    }
}

/// One Space.
pub(crate) fn space(
    node: &LiveNode,
    id: SpaceId,
    unread: &BTreeMap<ChannelId, Unread>,
) -> Result<SpaceData, CommandError> {
    let rooms = node.rooms(id)?;
    Ok(SpaceData {
        id,
        channels: node
            .channels(id)?
            .into_iter()
            .map(|view| ChannelItem {
                unread: unread.get(&view.id).copied().unwrap_or_default(),
                view,
            })
            .collect(),
        members: node.members(id)?,
        requests: node.join_requests(id)?,
        devices: node.devices(id)?,
        policies: node.policies(id)?,
        invites: node.invites(id)?,
        voided: node.voided(id)?,
        forks: rooms.forks,
        queued: rooms.queued,
        unopened: rooms.unopened,
    })
}

/// The topics of a forum.
pub(crate) fn topics(
    node: &LiveNode,
    space: SpaceId,
    channel: ChannelId,
    marks: &Marks,
) -> Result<Topics, CommandError> {
    let mut topics = Vec::new();
    for summary in node.threads(space, channel, TOPICS_MAX)? {
        let line = LineId {
            space,
            channel,
            thread: Some(summary.id),
        };
        let unread = of_line(node, line, marks)?;
        topics.push(Topic { summary, unread });
    }
    Ok(Topics {
        space,
        channel,
        topics,
    })
}

/// The newest posts of a line. Posts that did not change are those of `before`.
pub(crate) fn line(
    node: &LiveNode,
    id: LineId,
    limit: usize,
    read: Option<Place>,
    before: Option<&Line>,
) -> Result<Line, CommandError> {
    let page = node.page(id.space, id.channel, id.thread, PageFrom::Newest, limit)?;
    let known: BTreeMap<OpId, &Arc<Post>> = before
        .into_iter()
        .flat_map(|line| &line.posts)
        .map(|post| (post.view.id, post))
        .collect();
    let mut posts: Vec<Arc<Post>> = Vec::with_capacity(page.posts.len());
    for view in page.posts {
        let same = known.get(&view.id).filter(|post| post.view == view);
        posts.push(match same {
            Some(post) => Arc::clone(post),
            None => Arc::new(post(node, id.space, view)),
        });
    }
    Ok(Line {
        id,
        posts,
        older: page.more,
        read,
    })
}

fn post(node: &LiveNode, space: SpaceId, view: crate::api::PostView) -> Post {
    let quote = view.reply_to.map(|target| match node.post(space, target) {
        Ok(answered) => {
            let words = match answered.state {
                PostState::Normal | PostState::Muted { .. } | PostState::Late { .. } => {
                    markdown::excerpt(&answered.body, QUOTE_CHARS)
                }
                PostState::Hidden { .. }
                | PostState::Deleted { .. }
                | PostState::Refused { .. }
                | PostState::Unreadable => text::t("quote-gone"),
            };
            (answered.author_name, answered.author, words)
        }
        Err(_) => (String::new(), view.author, text::t("quote-gone")),
    });
    let mut blocks = markdown::parse(&view.body);
    let name = |user| node.person_name(space, &user).unwrap_or_default();
    let people: Vec<(UserId, String)> = view
        .mentions
        .iter()
        .map(|user| (*user, name(*user)))
        .collect();
    markdown::mark_mentions(&mut blocks, &people);
    Post {
        blocks,
        quote,
        view,
    }
}

/// What was decided in a Space.
pub(crate) fn audit(node: &LiveNode, space: SpaceId) -> Result<Audit, CommandError> {
    let mut outcomes = node.audit_log(space, AUDIT_MAX)?;
    outcomes.sort_by_key(|outcome| core::cmp::Reverse((outcome.hlc, outcome.op)));
    Ok(Audit { space, outcomes })
}

/// Why an op came out as it did.
pub(crate) fn why(node: &LiveNode, space: SpaceId, op: OpId) -> Result<Why, CommandError> {
    use crate::api::Explanation;
    Ok(match node.explain(space, op)? {
        Explanation::Accepted {
            outcome,
            steps,
            deciding,
        } => Why {
            op,
            state: outcome.state.to_owned(),
            about: text::with(
                "why-about",
                &[
                    ("kind", Arg::Text(outcome.kind)),
                    ("name", Arg::Text(&outcome.author_name)),
                ],
            ),
            steps,
            deciding: deciding
                .into_iter()
                .map(|party| {
                    let by = [
                        ("kind", Arg::Text(party.kind)),
                        ("name", Arg::Text(&party.author_name)),
                    ];
                    text::with("why-about", &by)
                })
                .collect(),
        },
        Explanation::Refused { op, rule, text } => Why {
            op,
            state: text::t("why-refused"),
            about: text::named("why-rule", rule),
            steps: vec![text.to_owned()],
            deciding: Vec::new(),
        },
    })
}
