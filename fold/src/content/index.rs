//! Rows that make a page one range scan.
//!
//! A row is a function of one op alone: never of what else is here, of what came
//! before, or of authority. That is why the rows of a set of ops do not depend on
//! the order of insertion, and why nothing has to be rewritten when somebody is
//! removed. `prefix` is whatever the caller puts before every key of a Space (its
//! local number); it is opaque here, and no prefix may begin another.
//!
//! | table | key after the prefix | one row for each |
//! |---|---|---|
//! | `thread` | channel 16 ‖ thread 32, zero for the main line ‖ order key 80 | post, and thread as its own first post |
//! | `topic` | channel 16 ‖ order key 80 | thread |
//! | `rel` | target 32 ‖ kind 1 ‖ order key 80 | edit, reaction, deletion, restore, pin, thread update |
//! | `mention` | user 32 ‖ order key 80 | person a post, thread or edit mentions |
//! | `mark` | channel 16 ‖ class 1 ‖ order key 80 | pin or unpin (class 0), deletion (class 1) |
//!
//! Values are kind 1 ‖ flags 1 ‖ location 12, in `mark` followed by the target 32.
//! An ordinary post costs one row: 142 bytes and its prefix, before the store compresses
//! what neighbours share.

use std::collections::BTreeSet;

use oplog::payload::{Payload, Post};
use oplog::store::{Direction, Location, Store, StoreError, Table, prefix_end};
use oplog::{AcceptedOp, ChannelId, Kind, OpId, SignedOp, UserId};

use super::order::OrderKey;

/// Posts in thread order.
pub const THREAD: Table = Table("thread");
/// Threads of a channel.
pub const TOPIC: Table = Table("topic");
/// What acts on an op.
pub const REL: Table = Table("rel");
/// Who is mentioned where.
pub const MENTION: Table = Table("mention");
/// Pins and deletions of a channel.
pub const MARK: Table = Table("mark");
/// Every table of this index, for those who drop and rebuild it.
pub const TABLES: [Table; 5] = [THREAD, TOPIC, REL, MENTION, MARK];

/// One running list of posts: a thread, or the main line of a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Line {
    /// The channel.
    pub channel: ChannelId,
    /// The op that opened the thread; `None` for the main line.
    pub thread: Option<OpId>,
}

/// One row to write.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Row {
    /// Which table.
    pub table: Table,
    /// Its key.
    pub key: Vec<u8>,
    /// Its value.
    pub value: Vec<u8>,
}

/// Returns the rows of an accepted op whose body lies at this place. Control ops, and kinds that
/// this version does not know, have none.
#[must_use]
pub fn rows(prefix: &[u8], op: &AcceptedOp, at: Location) -> Vec<Row> {
    let header = op.header();
    let (Some(channel), Some(kind)) = (header.scope.channel(), header.kind()) else {
        return Vec::new();
    };
    let key = OrderKey::of(op);
    let payload = op.payload().ok().flatten();
    let entry = Entry {
        kind,
        readable: payload.is_some(),
        at,
        target: None,
    };
    let mut rows = Vec::new();
    let mut put = |table, start: Vec<u8>, entry: &Entry| {
        rows.push(Row {
            table,
            key: [start.as_slice(), &key.to_bytes()].concat(),
            value: entry.to_bytes(),
        });
    };
    if let Some(line) = line_of(op, payload.as_ref()) {
        put(THREAD, line_start(prefix, &line), &entry);
        if kind == Kind::ThreadCreate {
            put(TOPIC, channel_start(prefix, &channel), &entry);
        }
    } else if kind.has_content_target()
        // S2 wants exactly one target; an op without one would act on nothing.
        && let Some(target) = target_of(op)
    {
        let mut start = target_start(prefix, &target);
        start.push(kind_byte(kind));
        put(REL, start, &entry);
        if let Some(mark) = Mark::of(kind) {
            let marked = Entry {
                target: Some(target),
                ..entry
            };
            put(MARK, mark_start(prefix, &channel, mark), &marked);
        }
    } else {
        return Vec::new();
    }
    for user in payload.as_ref().map_or(&[][..], mentions_of) {
        put(MENTION, mention_start(prefix, user), &entry);
    }
    rows
}

/// Stages the rows of an accepted op. Doing it again changes nothing.
pub fn insert(store: &mut impl Store, prefix: &[u8], op: &AcceptedOp, at: Location) {
    for row in rows(prefix, op, at) {
        store.put(row.table, &row.key, &row.value);
    }
}

/// Stages the removal of every row under this prefix, before a rebuild.
///
/// # Errors
/// When storage fails.
pub fn clear(store: &mut impl Store, prefix: &[u8]) -> Result<(), StoreError> {
    for table in TABLES {
        let mut keys = Vec::new();
        let end = prefix_end(prefix);
        store.scan(table, prefix, &end, Direction::Forward, &mut |key, _| {
            keys.push(key.to_vec());
            core::ops::ControlFlow::Continue(())
        })?;
        for key in keys {
            store.delete(table, &key);
        }
    }
    Ok(())
}

/// Stages the removal of every row of some ops, which are gone for good. Cost: a look at every row.
///
/// # Errors
/// When storage fails.
pub fn remove(
    store: &mut impl Store,
    prefix: &[u8],
    ids: &BTreeSet<OpId>,
) -> Result<(), StoreError> {
    for table in TABLES {
        let mut keys = Vec::new();
        let end = prefix_end(prefix);
        store.scan(table, prefix, &end, Direction::Forward, &mut |key, _| {
            let tail = key.get(key.len().saturating_sub(OrderKey::LEN)..);
            let id = tail.and_then(OrderKey::from_bytes).map(|at| at.id);
            if id.is_some_and(|id| ids.contains(&id)) {
                keys.push(key.to_vec());
            }
            core::ops::ControlFlow::Continue(())
        })?;
        for key in keys {
            store.delete(table, &key);
        }
    }
    Ok(())
}

/// What a row says beyond its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) kind: Kind,
    /// Whether the payload could be decoded.
    pub(super) readable: bool,
    pub(super) at: Location,
    /// In `mark` rows.
    pub(super) target: Option<OpId>,
}

impl Entry {
    fn to_bytes(self) -> Vec<u8> {
        let mut out = vec![kind_byte(self.kind), u8::from(!self.readable)];
        out.extend_from_slice(&self.at.to_bytes());
        if let Some(target) = self.target {
            out.extend_from_slice(target.as_bytes());
        }
        out
    }

    pub(super) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let ([kind, flags], rest) = bytes.split_first_chunk()?;
        let (at, target) = rest.split_at_checked(12)?;
        let target = match target {
            [] => None,
            bytes => Some(OpId::from_bytes(bytes.try_into().ok()?)),
        };
        Some(Self {
            kind: Kind::from_number(u16::from(*kind))?,
            readable: *flags & 1 == 0,
            at: Location::from_bytes(at)?,
            target,
        })
    }
}

/// The classes of rows in `mark`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mark {
    Pin,
    Deletion,
}

impl Mark {
    const fn of(kind: Kind) -> Option<Self> {
        if matches!(kind, Kind::Pin | Kind::Unpin) {
            Some(Self::Pin)
        } else if matches!(kind, Kind::ModTombstone | Kind::SelfDelete) {
            Some(Self::Deletion)
        } else {
            None
        }
    }
}

/// Returns the line of a post or of a thread's first post, `None` for other kinds. A thread that
/// the payload names and `prev` does not counts as none, so that what a post depends on is always
/// in its causal past; so does one in a payload that cannot be read.
pub(super) fn line_of(op: &SignedOp, payload: Option<&Payload>) -> Option<Line> {
    let channel = op.header().scope.channel()?;
    let kind = op.header().kind()?;
    let thread = if kind == Kind::ThreadCreate {
        Some(op.id())
    } else if let Some(Payload::Post(post)) = payload {
        linked(op, post.thread)
    } else if kind == Kind::Post {
        None
    } else {
        return None;
    };
    Some(Line { channel, thread })
}

/// Returns what a post answers, under the same condition.
pub(super) fn reply_of(op: &SignedOp, post: &Post) -> Option<OpId> {
    linked(op, post.reply_to)
}

/// Returns the one op that this one acts on.
pub(super) fn target_of(op: &SignedOp) -> Option<OpId> {
    op.header().prev.first().copied()
}

fn linked(op: &SignedOp, named: Option<OpId>) -> Option<OpId> {
    named.filter(|id| op.header().prev.contains(id))
}

fn mentions_of(payload: &Payload) -> &[UserId] {
    if let Payload::Post(p) = payload {
        &p.mentions
    } else if let Payload::ThreadCreate(p) = payload {
        &p.mentions
    } else if let Payload::Edit(p) = payload {
        &p.mentions
    } else {
        &[]
    }
}

pub(super) fn line_start(prefix: &[u8], line: &Line) -> Vec<u8> {
    let thread = line.thread.unwrap_or(OpId::ZERO);
    [prefix, line.channel.as_bytes(), thread.as_bytes()].concat()
}

/// Begins the keys of a channel in `thread` (all its lines) and in `topic`.
pub(super) fn channel_start(prefix: &[u8], channel: &ChannelId) -> Vec<u8> {
    [prefix, channel.as_bytes()].concat()
}

pub(super) fn target_start(prefix: &[u8], target: &OpId) -> Vec<u8> {
    [prefix, target.as_bytes()].concat()
}

pub(super) fn mention_start(prefix: &[u8], user: &UserId) -> Vec<u8> {
    [prefix, user.as_bytes()].concat()
}

pub(super) fn mark_start(prefix: &[u8], channel: &ChannelId, mark: Mark) -> Vec<u8> {
    let class = match mark {
        Mark::Pin => 0,
        Mark::Deletion => 1,
    };
    let mut start = channel_start(prefix, channel);
    start.push(class);
    start
}

fn kind_byte(kind: Kind) -> u8 {
    u8::try_from(kind.number()).unwrap_or(u8::MAX)
}
