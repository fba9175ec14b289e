//! Payloads that people write: threads, posts, edits, reactions, moderation of content.
//!
//! Kinds that act on one earlier op name it as their only `prev`; the payload does
//! not repeat it, so that acceptance reads headers alone.

use minicbor::bytes::ByteArray;
use minicbor::{Decode, Encode};

use super::{Limit, limit};
use crate::codec::is_sorted_set;
use crate::ids::{BlobId, Digest, OpId, UserId};

/// Longest text of a post, in bytes of UTF-8.
pub const BODY_BYTES_MAX: usize = 48 * 1024;
/// Longest title of a thread, in bytes of UTF-8.
pub const TITLE_BYTES_MAX: usize = 256;
/// Most tags of a thread, each at most 32 bytes.
pub const TAGS_MAX: usize = 8;
/// Most attachments of a post.
pub const ATTACHMENTS_MAX: usize = 16;
/// Most people one post mentions.
pub const MENTIONS_MAX: usize = 64;
/// Longest reaction, in bytes of UTF-8: the longest emoji sequences have about 40.
pub const EMOJI_BYTES_MAX: usize = 64;
const TAG_BYTES_MAX: usize = 32;
const FILE_NAME_BYTES_MAX: usize = 255;
const REASON_BYTES_MAX: usize = 1024;

/// A file that hangs on a post: where its manifest lies and the key to it (B17).
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Attachment {
    /// The sealed manifest.
    #[n(0)]
    pub manifest: BlobId,
    /// The blob key.
    #[n(1)]
    pub key: Digest,
    /// Random; part of the manifest's key (A7).
    #[n(2)]
    pub salt: ByteArray<16>,
    /// Length of the file in bytes.
    #[n(3)]
    pub size: u64,
    /// Its name, to be shown only after it is made harmless.
    #[n(4)]
    pub name: String,
    /// What the sender says it is.
    #[n(5)]
    pub media_type: String,
}

impl Attachment {
    fn check_limits(&self) -> Limit {
        limit(
            self.name.len() <= FILE_NAME_BYTES_MAX,
            "a file name is too long",
        )?;
        limit(
            self.media_type.len() <= FILE_NAME_BYTES_MAX,
            "a media type is too long",
        )
    }
}

/// Opens a titled thread with its first post.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct ThreadCreate {
    /// The title.
    #[n(0)]
    pub title: String,
    /// Tags, sorted.
    #[n(1)]
    pub tags: Vec<String>,
    /// The first post's text, Markdown.
    #[n(2)]
    pub body: String,
    /// Its files.
    #[n(3)]
    pub attachments: Vec<Attachment>,
    /// Whom it mentions, sorted.
    #[n(4)]
    pub mentions: Vec<UserId>,
}

impl ThreadCreate {
    pub(super) fn check_limits(&self) -> Limit {
        limit(
            !self.title.is_empty() && self.title.len() <= TITLE_BYTES_MAX,
            "the title is empty or too long",
        )?;
        check_tags(&self.tags)?;
        check_text(&self.body, &self.attachments, &self.mentions)
    }
}

/// Changes a thread's title or tags; what is absent stays.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct ThreadUpdate {
    /// A new title.
    #[n(0)]
    pub title: Option<String>,
    /// New tags, sorted.
    #[n(1)]
    pub tags: Option<Vec<String>>,
}

impl ThreadUpdate {
    pub(super) fn check_limits(&self) -> Limit {
        let title = self.title.as_ref();
        limit(
            title.is_none_or(|t| !t.is_empty() && t.len() <= TITLE_BYTES_MAX),
            "the title is empty or too long",
        )?;
        self.tags.as_deref().map_or(Ok(()), check_tags)
    }
}

/// Says something in a channel, or in a thread of it.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Post {
    /// The thread, named in `prev` too; absent in a chat.
    #[n(0)]
    pub thread: Option<OpId>,
    /// The post it answers, named in `prev` too.
    #[n(1)]
    pub reply_to: Option<OpId>,
    /// The text, Markdown.
    #[n(2)]
    pub body: String,
    /// Its files.
    #[n(3)]
    pub attachments: Vec<Attachment>,
    /// Whom it mentions, sorted.
    #[n(4)]
    pub mentions: Vec<UserId>,
}

impl Post {
    pub(super) fn check_limits(&self) -> Limit {
        limit(
            !self.body.is_empty() || !self.attachments.is_empty(),
            "an empty post",
        )?;
        check_text(&self.body, &self.attachments, &self.mentions)
    }
}

/// Replaces the text of the target, an own post or thread.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Edit {
    /// The new text, Markdown.
    #[n(0)]
    pub body: String,
    /// Whom it mentions now, sorted.
    #[n(1)]
    pub mentions: Vec<UserId>,
}

impl Edit {
    pub(super) fn check_limits(&self) -> Limit {
        check_text(&self.body, &[], &self.mentions)
    }
}

/// Adds (React) or takes back (Unreact) one emoji on the target.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct React {
    /// The emoji.
    #[n(0)]
    pub emoji: String,
}

impl React {
    pub(super) fn check_limits(&self) -> Limit {
        limit(
            !self.emoji.is_empty() && self.emoji.len() <= EMOJI_BYTES_MAX,
            "the emoji is empty or too long",
        )
    }
}

/// Hides the target for everyone; the op stays in the log.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct ModTombstone {
    /// Why, for the audit log.
    #[n(0)]
    pub reason: String,
}

impl ModTombstone {
    pub(super) fn check_limits(&self) -> Limit {
        limit(
            self.reason.len() <= REASON_BYTES_MAX,
            "the reason is too long",
        )
    }
}

fn check_tags(tags: &[String]) -> Limit {
    limit(
        tags.len() <= TAGS_MAX && is_sorted_set(tags),
        "too many tags, or not sorted",
    )?;
    limit(
        tags.iter()
            .all(|t| !t.is_empty() && t.len() <= TAG_BYTES_MAX),
        "a tag is empty or too long",
    )
}

fn check_text(body: &str, attachments: &[Attachment], mentions: &[UserId]) -> Limit {
    limit(body.len() <= BODY_BYTES_MAX, "the text is too long")?;
    limit(attachments.len() <= ATTACHMENTS_MAX, "too many attachments")?;
    attachments.iter().try_for_each(Attachment::check_limits)?;
    limit(
        mentions.len() <= MENTIONS_MAX && is_sorted_set(mentions),
        "too many mentions, or not sorted",
    )
}
