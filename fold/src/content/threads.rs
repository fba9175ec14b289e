//! The threads of a channel, as a list.

use oplog::store::{Direction, Store, StoreError};
use oplog::{ChannelId, DeviceId, Kind, OpId, UserId};

use super::Bodies;
use super::index::{self, Line, TOPIC};
use super::order::OrderKey;
use super::page::{BATCH_ROWS, Cursor, Include};
use super::post::{PostState, PostView};
use super::standing::Standing;
use super::view::{ContentView, Row};

/// How a list of threads is sorted, newest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ThreadSort {
    /// By the last shown post.
    Activity,
    /// By the opening.
    Created,
}

/// A thread in a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ThreadView {
    /// The op that opened it.
    pub id: OpId,
    /// Its channel.
    pub channel: ChannelId,
    /// Its title now; empty when it is not shown.
    pub title: String,
    /// Its tags now.
    pub tags: Vec<String>,
    /// Who opened it.
    pub author: UserId,
    /// With which device.
    pub device: DeviceId,
    /// When it was opened.
    pub created: OrderKey,
    /// How many replies are shown.
    pub replies: u64,
    /// When the last shown post came: a reply, or the opening.
    pub last_activity: OrderKey,
    /// The pin that stands.
    pub pinned: Option<OpId>,
    /// What became of its first post; a tombstone on that hides the thread.
    pub state: PostState,
}

impl<S: Store + ?Sized, B: Bodies + ?Sized, A: Standing + ?Sized> ContentView<'_, S, B, A> {
    /// Returns the threads of a channel, newest first. A thread that is not shown but has shown
    /// replies is listed all the same, since they belong to others.
    ///
    /// Cost: by activity, one step for each thread of the channel, then a count of the replies of
    /// those returned; by opening, only these.
    ///
    /// # Errors
    /// When storage fails.
    pub fn threads(
        &self,
        channel: &ChannelId,
        sort: ThreadSort,
        include: Include,
        limit: usize,
    ) -> Result<Vec<ThreadView>, StoreError> {
        let start = index::channel_start(self.prefix, channel);
        let mut found: Vec<(OrderKey, Row)> = Vec::new();
        let mut threads = Vec::new();
        self.each_row(TOPIC, &start, Direction::Backward, &mut |row| match sort {
            ThreadSort::Created => {
                threads.extend(self.thread_at(channel, row, include)?);
                Ok(threads.len() < limit)
            }
            ThreadSort::Activity => {
                let activity = self.last_activity(channel, row)?.unwrap_or(row.at);
                found.push((activity, row.clone()));
                Ok(true)
            }
        })?;
        found.sort_by_key(|(activity, _)| core::cmp::Reverse(*activity));
        for (_, row) in found {
            if threads.len() >= limit {
                break;
            }
            threads.extend(self.thread_at(channel, &row, include)?);
        }
        threads.truncate(limit);
        Ok(threads)
    }

    /// Returns a thread by the op that opened it, whatever became of it; `None` when that op is
    /// not here or opens none.
    ///
    /// # Errors
    /// When storage fails.
    pub fn thread(&self, id: &OpId) -> Result<Option<ThreadView>, StoreError> {
        match self.post(id)? {
            Some(post) if post.thread == Some(*id) => self.thread_of(post).map(Some),
            Some(_) | None => Ok(None),
        }
    }

    fn thread_at(
        &self,
        channel: &ChannelId,
        row: &Row,
        include: Include,
    ) -> Result<Option<ThreadView>, StoreError> {
        let Some(post) = self.post_at(row)? else {
            return Ok(None);
        };
        let listed = include.admits(&post) || self.last_activity(channel, row)?.is_some();
        if listed {
            self.thread_of(post).map(Some)
        } else {
            Ok(None)
        }
    }

    fn thread_of(&self, post: PostView) -> Result<ThreadView, StoreError> {
        let created = post.key();
        let line = Line {
            channel: post.channel,
            thread: Some(post.id),
        };
        let (mut replies, mut last_activity) = (0, created);
        self.each_shown(&line, Some(&created), &mut |row| {
            replies += 1;
            last_activity = row.at;
        })?;
        Ok(ThreadView {
            id: post.id,
            channel: post.channel,
            title: post.title.unwrap_or_default(),
            tags: post.tags,
            author: post.author,
            device: post.device,
            created,
            replies,
            last_activity,
            pinned: post.pinned,
            state: post.state,
        })
    }

    /// Returns where the last shown reply stands, `None` when there is none.
    fn last_activity(
        &self,
        channel: &ChannelId,
        thread: &Row,
    ) -> Result<Option<OrderKey>, StoreError> {
        let line = Line {
            channel: *channel,
            thread: Some(thread.at.id),
        };
        if self.hidden_thread(&thread.at.id)?.is_some() {
            return Ok(None);
        }
        // Nearly always the first row decides.
        let (mut at, mut batch) = (Cursor::Newest, 1);
        loop {
            let rows = self.line_rows(&line, at, batch)?;
            for row in &rows {
                at = Cursor::Before(row.at);
                if row.entry.kind != Kind::ThreadCreate && self.is_shown(channel, row)? {
                    return Ok(Some(row.at));
                }
            }
            if rows.len() < batch {
                return Ok(None);
            }
            batch = BATCH_ROWS;
        }
    }
}
