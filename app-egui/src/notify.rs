//! What somebody who looks elsewhere is told of by the desktop: which posts, in which words.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use crate::api::{CommandError, LiveNode, OpId, PostState, PostView, SpaceId, Timestamp};
use crate::markdown;
use crate::model::LineId;
use crate::text::{self, Arg};

/// Older posts come from a backlog, and are seen when somebody comes back: 15 minutes, in milliseconds.
const FRESH_MS: u64 = 15 * 60_000;
/// Ops looked at in one piece of news.
const OPS_MAX: usize = 200;
/// Posts told of one by one; more are told of together.
const ONE_BY_ONE: usize = 3;
/// Characters of a post that are shown.
const BODY_CHARS: usize = 180;

/// A notification of the desktop.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notification {
    /// Who, and where.
    pub title: String,
    /// What; empty where that is for nobody else's eyes.
    pub body: String,
}

/// Shows notifications. Called from a thread that may wait for the desktop.
#[derive(Clone)]
pub struct Notifier(Arc<dyn Fn(Notification) + Send + Sync>);

impl Notifier {
    /// Hands notifications to `show`.
    pub fn new(show: impl Fn(Notification) + Send + Sync + 'static) -> Self {
        Self(Arc::new(show))
    }

    /// Hands them to the desktop (Desktop Notifications Specification 1.2, and what others have instead).
    #[must_use]
    pub fn desktop() -> Self {
        Self::new(|notification| {
            let shown = notify_rust::Notification::new()
                .appname("Decent")
                .icon("decent-desktop")
                .summary(&notification.title)
                .body(&notification.body)
                .show();
            if let Err(error) = shown {
                tracing::debug!(%error, "this desktop shows no notifications");
            }
        })
    }

    pub(crate) fn show(&self, notification: Notification) {
        (self.0)(notification);
    }
}

impl fmt::Debug for Notifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Notifier").finish_non_exhaustive()
    }
}

/// Of which posts in a channel one is told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Level {
    /// Of all.
    All,
    /// Of those that mention one, answer one, or stand in a topic that one opened.
    #[default]
    Mentions,
    /// Of none.
    Nothing,
}

impl Level {
    /// The beginning of the names under which levels are kept.
    const KEPT: &'static str = "notify";

    /// The name under which the level of a channel is kept.
    pub(crate) fn keepsake(line: LineId) -> String {
        LineId {
            thread: None,
            ..line
        }
        .keepsake(Self::KEPT)
    }

    pub(crate) const fn to_bytes(self) -> &'static [u8] {
        match self {
            Self::All => b"all",
            Self::Mentions => b"mentions",
            Self::Nothing => b"nothing",
        }
    }

    fn from_bytes(bytes: &[u8]) -> Self {
        match bytes {
            b"all" => Self::All,
            b"nothing" => Self::Nothing,
            _ => Self::Mentions,
        }
    }
}

/// What is set about notifications.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// Whether there are any.
    pub on: bool,
    /// Whether they say what was written: they may lie on a locked screen.
    pub texts: bool,
}

impl Default for Wanted {
    fn default() -> Self {
        Self {
            on: true,
            texts: true,
        }
    }
}

impl Wanted {
    /// The name under which it is kept.
    pub(crate) const NAME: &'static str = "notifications";

    pub(crate) fn to_bytes(self) -> Vec<u8> {
        let sign = |is| if is { b'y' } else { b'n' };
        vec![sign(self.on), sign(self.texts)]
    }

    fn from_bytes(bytes: &[u8]) -> Self {
        match bytes {
            [on, texts] => Self {
                on: *on == b'y',
                texts: *texts == b'y',
            },
            _ => Self::default(),
        }
    }
}

/// All that is set, for channels and in general.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Choices {
    pub(crate) wanted: Wanted,
    levels: BTreeMap<String, Level>,
}

impl Choices {
    /// Reads what was kept.
    pub(crate) fn read(kept: &[(String, Vec<u8>)]) -> Self {
        let mut choices = Self::default();
        for (name, value) in kept {
            if name == Wanted::NAME {
                choices.wanted = Wanted::from_bytes(value);
            } else if name.split('/').next() == Some(Level::KEPT) {
                let level = Level::from_bytes(value);
                choices.levels.insert(name.clone(), level);
            }
        }
        choices
    }

    /// The level of the channel of a line.
    pub(crate) fn level(&self, line: LineId) -> Level {
        let level = self.levels.get(&Level::keepsake(line));
        level.copied().unwrap_or_default()
    }

    pub(crate) fn set_level(&mut self, line: LineId, level: Level) {
        self.levels.insert(Level::keepsake(line), level);
    }
}

/// Returns what to tell of ops that came, by what is set.
pub(crate) fn about(
    node: &LiveNode,
    space: SpaceId,
    ops: &[OpId],
    choices: &Choices,
    now: Timestamp,
) -> Result<Vec<Notification>, CommandError> {
    let mut posts = Vec::new();
    for op in ops.iter().rev().take(OPS_MAX) {
        // What is no post is nobody's message.
        if let Ok(post) = node.post(space, *op)
            && is_news(node, space, &post, choices, now)
        {
            posts.push(post);
        }
    }
    posts.reverse();
    if posts.is_empty() {
        return Ok(Vec::new());
    }
    let spaces = node.spaces();
    let summary = spaces.into_iter().find(|summary| summary.id == space);
    let space_name = summary.map_or_else(String::new, |summary| summary.name);
    if posts.len() > ONE_BY_ONE {
        let args = [
            ("count", Arg::Number(posts.len())),
            ("space", Arg::Text(&space_name)),
        ];
        let title = text::with("notify-many", &args);
        let body = String::new();
        return Ok(vec![Notification { title, body }]);
    }
    let channels = node.channels(space)?;
    let told = posts.iter().map(|post| {
        let channel = channels.iter().find(|channel| channel.id == post.channel);
        let channel = channel.map_or("", |channel| &channel.name);
        let args = [
            ("name", Arg::Text(&post.author_name)),
            ("channel", Arg::Text(channel)),
            ("space", Arg::Text(&space_name)),
        ];
        let shown = choices.wanted.texts.then(|| words(post));
        Notification {
            title: text::with("notify-title", &args),
            body: shown.unwrap_or_default(),
        }
    });
    Ok(told.collect())
}

fn words(post: &PostView) -> String {
    let words = markdown::excerpt(&post.body, BODY_CHARS);
    match (&post.title, post.attachments.first()) {
        (Some(title), _) => title.clone(),
        (None, Some(file)) if words.is_empty() => file.name.clone(),
        (None, _) => words,
    }
}

fn is_news(
    node: &LiveNode,
    space: SpaceId,
    post: &PostView,
    choices: &Choices,
    now: Timestamp,
) -> bool {
    let me = node.me().user;
    let fresh = now.as_ms().saturating_sub(post.wall.as_ms()) <= FRESH_MS;
    if post.author == me || !fresh || post.state != PostState::Normal {
        return false;
    }
    let line = LineId {
        space,
        channel: post.channel,
        thread: post.thread,
    };
    let mine = |op: Option<OpId>| {
        let post = op.and_then(|op| node.post(space, op).ok());
        post.is_some_and(|post| post.author == me)
    };
    match choices.level(line) {
        Level::All => true,
        Level::Mentions => post.mentions.contains(&me) || mine(post.reply_to) || mine(post.thread),
        Level::Nothing => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::ChannelId;

    #[test]
    fn what_is_set_is_kept() {
        let line = |n| LineId {
            space: SpaceId::from_bytes([1; 32]),
            channel: ChannelId::from_bytes([n; 16]),
            thread: Some(OpId::from_bytes([n; 32])),
        };
        let mut choices = Choices::default();
        assert_eq!(choices.level(line(1)), Level::Mentions);
        assert!(choices.wanted.on && choices.wanted.texts);
        let mut kept = Vec::new();
        for (n, level) in [(1, Level::All), (2, Level::Nothing), (3, Level::Mentions)] {
            choices.set_level(line(n), level);
            kept.push((Level::keepsake(line(n)), level.to_bytes().to_vec()));
        }
        for (on, texts) in [(false, true), (true, false)] {
            choices.wanted = Wanted { on, texts };
            let mut kept = kept.clone();
            kept.push((Wanted::NAME.to_owned(), choices.wanted.to_bytes()));
            kept.push(("draft/x".to_owned(), b"all".to_vec()));
            assert_eq!(Choices::read(&kept), choices);
        }
    }
}
