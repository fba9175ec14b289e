//! A Space as it stood: at some time, or as the author of some op saw it.

use std::collections::BTreeSet;

use fold::content::{Cursor, Include, Line, ThreadSort};
use oplog::store::{Store, StoreError};
use oplog::{AcceptedOp, Digest, Hlc, OpId, SpaceId, Timestamp};
use rand_core::CryptoRng;

use super::scratch::{Scratch, ScratchError};
use crate::blobs::ChunkStore;
use crate::error::CommandError;
use crate::node::Node;
use crate::space::Space;
use crate::view::{ChannelView, MemberView, PostView};

/// Which ops count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Until {
    /// Those dated until then, by their logical time.
    Time(Timestamp),
    /// This op and everything its author had seen. A control op names no content; then the content
    /// counts that is dated until then and was written in what its author had seen of control.
    Op(OpId),
}

/// A Space at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// Its name.
    pub name: String,
    /// How many ops count.
    pub ops: usize,
    /// Present and former members.
    pub members: Vec<MemberView>,
    /// Channels.
    pub channels: Vec<ChannelView>,
    /// Every post, channel by channel, threads after the main line, oldest first.
    pub posts: Vec<PostView>,
    /// The hash of all this.
    pub state_hash: Digest,
}

impl Space {
    /// Returns every accepted op, in causal order.
    pub(super) fn accepted_ops<S: Store>(&self, store: &S) -> Result<Vec<AcceptedOp>, StoreError> {
        let mut ops = Vec::new();
        for head in self.table.all_lanes(store)? {
            for (_, id) in self.table.range(store, &head.lane, 0, None, usize::MAX)? {
                ops.extend(self.op(store, &id)?);
            }
        }
        // Times grow along references (R2).
        ops.sort_by_key(|op| (op.header().hlc, op.id()));
        Ok(ops)
    }

    /// Returns everything that people see.
    pub(super) fn snapshot<S: Store>(
        &self,
        store: &S,
        now: Timestamp,
        ops: usize,
    ) -> Result<Snapshot, StoreError> {
        let channels = self.channel_views();
        let mut posts = Vec::new();
        self.with_content(store, |content| {
            let mut take = |line: Line| -> Result<(), StoreError> {
                let page = content.page(&line, Cursor::Newest, Include::Everything, usize::MAX)?;
                posts.extend(page.posts);
                Ok(())
            };
            for channel in &channels {
                take(Line {
                    channel: channel.id,
                    thread: None,
                })?;
                let order = ThreadSort::Activity;
                for thread in
                    content.threads(&channel.id, order, Include::Everything, usize::MAX)?
                {
                    take(Line {
                        channel: channel.id,
                        thread: Some(thread.id),
                    })?;
                }
            }
            Ok(())
        })?;
        Ok(Snapshot {
            name: self.name(),
            ops,
            members: self.member_views(Hlc::from_wall(now)),
            posts: posts.into_iter().map(|p| self.post_view(p, None)).collect(),
            channels,
            state_hash: self.state_hash(store)?,
        })
    }
}

impl<S: Store, C: ChunkStore, R: CryptoRng> Node<S, C, R> {
    /// Returns the Space as it stood, by running the ops that count again.
    ///
    /// # Errors
    /// When Space or op are not here, nothing had happened yet, or storage fails.
    pub fn replay(&self, space: SpaceId, until: Until) -> Result<Snapshot, CommandError> {
        let all = self.accepted_ops(&space)?;
        let counts: Vec<AcceptedOp> = match until {
            Until::Time(time) => {
                let end = time.as_ms();
                let ops = all.into_iter();
                ops.filter(|op| op.header().hlc.to_wall().as_ms() <= end)
                    .collect()
            }
            Until::Op(op) => {
                let Some(past) = past_of(&all, op) else {
                    return Err(self.lacks(&space, &op)?);
                };
                let ops = all.into_iter();
                ops.filter(|op| past.contains(&op.id())).collect()
            }
        };
        if counts.is_empty() {
            return Err(CommandError::NotFound {
                what: "anything of this Space from before then".to_owned(),
            });
        }
        let last = counts.iter().map(|op| op.header().hlc.to_wall()).max();
        let now = match until {
            Until::Time(time) => time,
            Until::Op(_) => last.unwrap_or(Timestamp::from_ms(0)),
        };
        let ops = counts.len();
        let scratch = Scratch::of_own(space, counts).map_err(scratch_error)?;
        Ok(scratch.space.snapshot(&scratch.store, now, ops)?)
    }

    /// Returns every accepted op of a Space, in causal order.
    pub(super) fn accepted_ops(&self, space: &SpaceId) -> Result<Vec<AcceptedOp>, CommandError> {
        Ok(self.known_space(space)?.accepted_ops(&self.store)?)
    }
}

/// Returns an op and what counts as its past, out of ops in causal order.
fn past_of(ops: &[AcceptedOp], op: OpId) -> Option<BTreeSet<OpId>> {
    let end = ops.iter().find(|candidate| candidate.id() == op)?.header();
    let mut past = BTreeSet::from([op]);
    for candidate in ops.iter().rev() {
        if past.contains(&candidate.id()) {
            past.extend(candidate.header().refs());
        }
    }
    if end.is_control() {
        for candidate in ops {
            let h = candidate.header();
            if !h.is_control() && h.hlc <= end.hlc && h.ctl.iter().all(|id| past.contains(id)) {
                past.insert(candidate.id());
            }
        }
    }
    Some(past)
}

pub(super) fn scratch_error(error: ScratchError) -> CommandError {
    match error {
        ScratchError::Store(source) => CommandError::Store { source },
        ScratchError::Signature(op) | ScratchError::Incomplete(op) => CommandError::Group {
            why: format!("op {op} cannot be run again"),
        },
        ScratchError::Refused { op, rule, why } => CommandError::Group {
            why: format!("op {op} is refused when run again: {rule}: {why}"),
        },
    }
}
