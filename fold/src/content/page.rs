//! Pages of posts: one range scan of one line, then one read for each post on it.

use std::collections::BTreeSet;

use oplog::store::{Direction, Store, StoreError, prefix_end};
use oplog::{ChannelId, DeviceId, Kind, OpId, UserId};

use super::Bodies;
use super::index::{self, Line, MARK, MENTION, Mark, THREAD, TOPIC};
use super::order::OrderKey;
use super::post::PostView;
use super::standing::Standing;
use super::view::{ContentView, Row};

/// Rows fetched at once where nothing says how many are wanted.
pub(super) const BATCH_ROWS: usize = 512;

/// Where a page lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cursor {
    /// The first posts.
    Oldest,
    /// The last posts.
    Newest,
    /// The last posts before this one.
    Before(OrderKey),
    /// The first posts behind this one.
    After(OrderKey),
}

/// Which posts a page has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Include {
    /// Those that are shown.
    Shown,
    /// And, without their content, those that were hidden or deleted.
    Placeholders,
    /// And those that were refused.
    Everything,
}

/// Some posts of a line, oldest first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// The posts.
    pub posts: Vec<PostView>,
    /// Where the page continues in the direction of the cursor; `None` at the end of the line.
    pub next: Option<Cursor>,
}

impl<S: Store + ?Sized, B: Bodies + ?Sized, A: Standing + ?Sized> ContentView<'_, S, B, A> {
    /// Returns a page of a thread, or of the main line of a channel. Cost: one range scan, and a read
    /// for each post passed and for each op that acts on it; posts not included are passed over.
    ///
    /// # Errors
    /// When storage fails.
    pub fn page(
        &self,
        line: &Line,
        cursor: Cursor,
        include: Include,
        limit: usize,
    ) -> Result<Page, StoreError> {
        let forward = matches!(cursor, Cursor::Oldest | Cursor::After(_));
        let mut at = cursor;
        let mut posts = Vec::new();
        let mut more = true;
        while more && posts.len() < limit {
            // One row more than wanted says whether the line goes on.
            let wanted = limit - posts.len();
            let mut rows = self.line_rows(line, at, wanted.saturating_add(1))?;
            more = rows.len() > wanted;
            rows.truncate(wanted);
            for row in rows {
                at = if forward {
                    Cursor::After(row.at)
                } else {
                    Cursor::Before(row.at)
                };
                posts.extend(self.post_at(&row)?.filter(|post| include.admits(post)));
            }
        }
        if !forward {
            posts.reverse();
        }
        let next = more.then_some(at);
        Ok(Page { posts, next })
    }

    /// Returns the pinned posts of a channel that are shown, last pinned first.
    ///
    /// # Errors
    /// When storage fails.
    pub fn pins(&self, channel: &ChannelId) -> Result<Vec<PostView>, StoreError> {
        let start = index::mark_start(self.prefix, channel, Mark::Pin);
        let mut seen = BTreeSet::new();
        let mut posts = Vec::new();
        self.each_row(MARK, &start, Direction::Backward, &mut |row| {
            let target = row.entry.target.filter(|target| seen.insert(*target));
            if let Some(post) = target.map(|t| self.post(&t)).transpose()?.flatten() {
                posts.extend(Some(post).filter(|p| p.state.is_shown() && p.pinned.is_some()));
            }
            Ok(true)
        })?;
        Ok(posts)
    }

    /// Returns shown posts whose text mentions this person now and came to do so behind this place,
    /// newest mention first. An edit mentions anew only whom the first text did not.
    ///
    /// # Errors
    /// When storage fails.
    pub fn mentions(
        &self,
        user: &UserId,
        since: Option<&OrderKey>,
        limit: usize,
    ) -> Result<Vec<PostView>, StoreError> {
        let start = index::mention_start(self.prefix, user);
        let mut posts = Vec::new();
        if limit == 0 {
            return Ok(posts);
        }
        self.each_row(MENTION, &start, Direction::Backward, &mut |row| {
            if since.is_some_and(|since| row.at <= *since) {
                return Ok(false);
            }
            let Some(op) = self.read(&row.at.id, &row.entry.at)? else {
                return Ok(true);
            };
            let edited = index::target_of(&op).filter(|_| row.entry.kind == Kind::Edit);
            let post = match edited {
                Some(target) => self.post(&target)?,
                None => self.evaluate(&op)?,
            };
            let mentions = |p: &PostView| p.state.is_shown() && p.mentions.contains(user);
            let Some(post) = post.filter(mentions) else {
                return Ok(true);
            };
            let first = [start.as_slice(), &post.key().to_bytes()].concat();
            let anew = edited.is_none()
                || (post.edit == Some(row.at.id) && self.store.get(MENTION, &first)?.is_none());
            posts.extend(Some(post).filter(|_| anew));
            Ok(posts.len() < limit)
        })?;
        Ok(posts)
    }

    /// Returns how many shown posts of a line stand behind this place, those of some devices, the
    /// reader's own, aside. Reads bodies only of authors who are not [quiet](Standing::is_quiet)
    /// and of posts that a deletion names.
    ///
    /// # Errors
    /// When storage fails.
    pub fn unread(
        &self,
        line: &Line,
        since: Option<&OrderKey>,
        own: &BTreeSet<DeviceId>,
    ) -> Result<u64, StoreError> {
        let mut count = 0;
        self.each_shown(line, since, &mut |row| {
            count += u64::from(!own.contains(&row.at.device));
        })?;
        Ok(count)
    }

    /// Returns the same sum over the main line of a channel and all its threads.
    ///
    /// # Errors
    /// When storage fails.
    pub fn unread_in_channel(
        &self,
        channel: &ChannelId,
        since: Option<&OrderKey>,
        own: &BTreeSet<DeviceId>,
    ) -> Result<u64, StoreError> {
        let line = |thread| Line {
            channel: *channel,
            thread,
        };
        let mut count = self.unread(&line(None), since, own)?;
        let start = index::channel_start(self.prefix, channel);
        self.each_row(TOPIC, &start, Direction::Forward, &mut |row| {
            count += self.unread(&line(Some(row.at.id)), since, own)?;
            Ok(true)
        })?;
        Ok(count)
    }

    /// Visits the rows of the posts of a line that are shown, behind this place.
    pub(super) fn each_shown(
        &self,
        line: &Line,
        since: Option<&OrderKey>,
        visit: &mut dyn FnMut(&Row),
    ) -> Result<(), StoreError> {
        if let Some(thread) = line.thread
            && self.hidden_thread(&thread)?.is_some()
        {
            return Ok(());
        }
        let mut at = since.map_or(Cursor::Oldest, |key| Cursor::After(*key));
        loop {
            let rows = self.line_rows(line, at, BATCH_ROWS)?;
            for row in &rows {
                at = Cursor::After(row.at);
                if self.is_shown(&line.channel, row)? {
                    visit(row);
                }
            }
            if rows.len() < BATCH_ROWS {
                return Ok(());
            }
        }
    }

    /// Returns whether the post of this row is shown, its thread not being hidden.
    pub(super) fn is_shown(&self, channel: &ChannelId, row: &Row) -> Result<bool, StoreError> {
        let quiet = self.judge.standing.is_quiet(&row.at.device);
        if quiet && !self.is_deleted_by_anyone(channel, &row.at.id)? {
            return Ok(true);
        }
        let op = self.read(&row.at.id, &row.entry.at)?;
        let state = op.map(|op| self.state_of(&op)).transpose()?.flatten();
        Ok(state.is_some_and(|state| state.is_shown()))
    }

    /// Visits rows from a start of their keys, a batch at a time, until told to stop.
    pub(super) fn each_row(
        &self,
        table: oplog::store::Table,
        start: &[u8],
        order: Direction,
        visit: &mut dyn FnMut(&Row) -> Result<bool, StoreError>,
    ) -> Result<(), StoreError> {
        let (mut from, mut to) = (start.to_vec(), prefix_end(start));
        loop {
            let rows = self.rows(table, (&from, &to), order, BATCH_ROWS)?;
            for row in &rows {
                if !visit(row)? {
                    return Ok(());
                }
            }
            let Some(last) = rows.last().filter(|_| rows.len() == BATCH_ROWS) else {
                return Ok(());
            };
            match order {
                Direction::Forward => from = just_behind(&last.key),
                Direction::Backward => to.clone_from(&last.key),
            }
        }
    }

    /// Returns the post of a row, `None` when its record is damaged.
    pub(super) fn post_at(&self, row: &Row) -> Result<Option<PostView>, StoreError> {
        match self.read(&row.at.id, &row.entry.at)? {
            Some(op) => self.evaluate(&op),
            None => Ok(None),
        }
    }

    /// Returns rows of a line in the direction of the cursor.
    pub(super) fn line_rows(
        &self,
        line: &Line,
        cursor: Cursor,
        limit: usize,
    ) -> Result<Vec<Row>, StoreError> {
        let start = index::line_start(self.prefix, line);
        let end = prefix_end(&start);
        let at = |key: &OrderKey| [start.as_slice(), &key.to_bytes()].concat();
        let (from, to, order) = match &cursor {
            Cursor::Oldest => (start.clone(), end, Direction::Forward),
            Cursor::Newest => (start.clone(), end, Direction::Backward),
            Cursor::Before(key) => (start.clone(), at(key), Direction::Backward),
            Cursor::After(key) => (just_behind(&at(key)), end, Direction::Forward),
        };
        self.rows(THREAD, (&from, &to), order, limit)
    }

    fn is_deleted_by_anyone(&self, channel: &ChannelId, op: &OpId) -> Result<bool, StoreError> {
        if let Some(known) = self.deleted.borrow().get(channel) {
            return Ok(known.contains(op));
        }
        let start = index::mark_start(self.prefix, channel, Mark::Deletion);
        let mut targets = BTreeSet::new();
        self.each_row(MARK, &start, Direction::Forward, &mut |row| {
            targets.extend(row.entry.target);
            Ok(true)
        })?;
        let deleted = targets.contains(op);
        self.deleted.borrow_mut().insert(*channel, targets);
        Ok(deleted)
    }
}

impl Include {
    pub(super) const fn admits(self, post: &PostView) -> bool {
        use super::post::PostState::NotAccepted;
        match self {
            Self::Shown => post.state.is_shown(),
            Self::Placeholders => !matches!(post.state, NotAccepted { .. }),
            Self::Everything => true,
        }
    }
}

/// Returns the least key above this one.
pub(super) fn just_behind(key: &[u8]) -> Vec<u8> {
    [key, &[0]].concat()
}
