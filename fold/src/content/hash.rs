//! One hash over everything visible, to compare replicas by.

use oplog::hash::H;
use oplog::payload::Attachment;
use oplog::store::{Direction, Store, StoreError};
use oplog::{ChannelId, Digest};

use super::Bodies;
use super::index::{self, THREAD};
use super::post::{HiddenBy, PostState, PostView};
use super::standing::Standing;
use super::view::ContentView;

impl<S: Store + ?Sized, B: Bodies + ?Sized, A: Standing + ?Sized> ContentView<'_, S, B, A> {
    /// Returns `H("content-state", …)` over what is visible in these channels, as given: every post
    /// of every line that was not refused, by thread and then by order key, with what became of
    /// it. Equal on replicas with the same ops, whatever came first. One post is in memory at a time.
    ///
    /// # Errors
    /// When storage fails.
    pub fn state_hash(&self, channels: &[ChannelId]) -> Result<Digest, StoreError> {
        let mut hash = H::new("content-state");
        for channel in channels {
            hash.add(channel.as_bytes());
            let start = index::channel_start(self.prefix, channel);
            let mut bytes = Vec::new();
            self.each_row(THREAD, &start, Direction::Forward, &mut |row| {
                let post = self.post_at(row)?;
                let accepted = |p: &PostView| !matches!(p.state, PostState::NotAccepted { .. });
                bytes.clear();
                if let Some(post) = post.filter(accepted) {
                    canonical(&post, &mut bytes);
                    hash.add(&bytes);
                }
                Ok(true)
            })?;
        }
        Ok(Digest::from_bytes(hash.finish()))
    }
}

/// Appends every field of a post, each with its length or count before it.
fn canonical(post: &PostView, out: &mut Vec<u8>) {
    put(out, &post.key().to_bytes());
    put(out, post.author.as_bytes());
    put(out, post.channel.as_bytes());
    put_all(out, post.thread.iter().map(|id| id.as_bytes()));
    put_all(out, post.reply_to.iter().map(|id| id.as_bytes()));
    put_all(out, post.title.iter().map(String::as_bytes));
    put_all(out, post.tags.iter().map(String::as_bytes));
    put(out, post.body.as_bytes());
    put_all(out, post.edit.iter().map(|id| id.as_bytes()));
    count(out, post.history.len());
    for revision in &post.history {
        put(out, revision.op.as_bytes());
        put(out, &revision.wall.as_ms().to_be_bytes());
        put(out, revision.body.as_bytes());
    }
    count(out, post.attachments.len());
    for attachment in &post.attachments {
        attached(attachment, out);
    }
    put_all(out, post.mentions.iter().map(|id| id.as_bytes()));
    count(out, post.reactions.len());
    for reaction in &post.reactions {
        put(out, reaction.emoji.as_bytes());
        put_all(out, reaction.users.iter().map(|id| id.as_bytes()));
        put_all(out, reaction.late.iter().map(|id| id.as_bytes()));
    }
    put_all(out, post.pinned.iter().map(|id| id.as_bytes()));
    state(&post.state, out);
}

fn attached(attachment: &Attachment, out: &mut Vec<u8>) {
    put(out, attachment.manifest.as_bytes());
    put(out, attachment.key.as_bytes());
    put(out, attachment.salt.as_slice());
    put(out, &attachment.size.to_be_bytes());
    put(out, attachment.name.as_bytes());
    put(out, attachment.media_type.as_bytes());
}

fn state(state: &PostState, out: &mut Vec<u8>) {
    match state {
        PostState::Normal => out.push(0),
        PostState::Late(late) => {
            out.extend([1, u8::from(late.quarantined), u8::from(late.unverified)]);
            put(out, late.removal.as_bytes());
        }
        PostState::MutedConcurrently { mute } => {
            out.push(2);
            put(out, mute.as_bytes());
        }
        PostState::Hidden {
            what,
            op,
            by,
            reason,
        } => {
            let how = match what {
                HiddenBy::Tombstone => 0,
                HiddenBy::ThreadTombstone => 1,
                HiddenBy::Purge => 2,
            };
            out.extend([3, how]);
            put(out, op.as_bytes());
            put(out, by.as_bytes());
            put(out, reason.as_bytes());
        }
        PostState::SelfDeleted { op } => {
            out.push(4);
            put(out, op.as_bytes());
        }
        PostState::Unreadable => out.push(5),
        PostState::NotAccepted { rule, op } => {
            out.push(6);
            put(out, rule.id().as_bytes());
            put(out, op.as_bytes());
        }
    }
}

fn put_all<T: AsRef<[u8]>>(out: &mut Vec<u8>, items: impl ExactSizeIterator<Item = T>) {
    count(out, items.len());
    for item in items {
        put(out, item.as_ref());
    }
}

fn put(out: &mut Vec<u8>, bytes: &[u8]) {
    count(out, bytes.len());
    out.extend_from_slice(bytes);
}

fn count(out: &mut Vec<u8>, n: usize) {
    // A payload has at most 60 KiB and a page's reactions fit in memory: no count comes near.
    let n = u32::try_from(n).unwrap_or(u32::MAX);
    out.extend_from_slice(&n.to_be_bytes());
}
