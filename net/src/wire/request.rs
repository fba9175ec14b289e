//! What a client asks of a relay, and the messages it signs for that.

use minicbor::{Decode, Encode};
use oplog::hash::H;
use oplog::keys;
use oplog::tag::PutError;
use oplog::{BlobId, Digest, SecretKey, Signature, SignatureError, Tag};

use super::bounded::{list, sealed};
use super::ids::{Challenge, Cursor, Hour, RecvId, SendId};
use super::{
    CHUNK_BYTES_MAX, ENVELOPE_BYTES_MAX, IDS_MAX, MAIL_BYTES_MAX, NEG_FRAME_BYTES_MAX,
    SUBSCRIBE_TAGS_MAX, Sealed,
};

/// A client's request. Ids of envelopes are `oplog::tag::envelope_hash`.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Request {
    /// Answered by [`super::Response::Pong`]: is the relay there, and what shall I sign here?
    #[n(0)]
    Ping,
    /// Files an envelope. Answered by `Filed`, also when it was there already.
    #[n(1)]
    Put(#[n(0)] PutRequest),
    /// Asks for what arrives under these tags from now on, and for what arrived after each cursor.
    /// Answered by `Ok`; envelopes come as pushes.
    #[n(2)]
    Subscribe {
        /// Which tags, and up to where they are known.
        #[cbor(n(0), decode_with = "list::<_, SUBSCRIBE_TAGS_MAX, _>")]
        tags: Vec<Subscription>,
        /// Whether these replace all earlier subscriptions to tags, or join them.
        #[n(1)]
        replace: bool,
    },
    /// Asks for no more pushes under these tags.
    #[n(3)]
    Unsubscribe {
        /// Which tags.
        #[cbor(n(0), decode_with = "list::<_, SUBSCRIBE_TAGS_MAX, _>")]
        tags: Vec<Tag>,
    },
    /// Asks for a page of what is filed under a tag. Answered by `Page`.
    #[n(4)]
    Fetch {
        /// Which tag.
        #[n(0)]
        tag: Tag,
        /// What arrived after this.
        #[n(1)]
        after: Cursor,
        /// At most so many envelopes; the relay may give fewer.
        #[n(2)]
        limit: u16,
    },
    /// One round of negentropy over (hour of arrival, envelope id). Answered by `Neg`.
    #[n(5)]
    Neg {
        /// Which tag.
        #[n(0)]
        tag: Tag,
        /// Which hours of arrival.
        #[n(1)]
        hours: HourRange,
        /// What [`crate::neg::Reconciler`] gave.
        #[cbor(n(2), decode_with = "sealed::<NEG_FRAME_BYTES_MAX, _>")]
        frame: Sealed,
    },
    /// Asks for envelopes by id. Answered by `Page`; what does not fit is asked for again.
    #[n(6)]
    FetchIds {
        /// Which tag.
        #[n(0)]
        tag: Tag,
        /// Which envelopes.
        #[cbor(n(1), decode_with = "list::<_, IDS_MAX, _>")]
        ids: Vec<Digest>,
    },
    /// Files a sealed chunk. Answered by `Ok`.
    #[n(7)]
    PutChunk {
        /// BLAKE3 of the bytes.
        #[n(0)]
        id: BlobId,
        /// The sealed chunk.
        #[cbor(n(1), decode_with = "sealed::<CHUNK_BYTES_MAX, _>")]
        bytes: Sealed,
        /// [`token_hash`] of the random token that takes this upload back (A7).
        #[n(2)]
        delete_token_hash: Digest,
    },
    /// Asks for a chunk. Answered by `Chunk`.
    #[n(8)]
    GetChunk {
        /// Which chunk.
        #[n(0)]
        id: BlobId,
    },
    /// Asks which chunks are there. Answered by `Has`, in the order of the ids.
    #[n(9)]
    HasChunks {
        /// Which chunks.
        #[cbor(n(0), decode_with = "list::<_, IDS_MAX, _>")]
        ids: Vec<BlobId>,
    },
    /// Takes one upload of a chunk back; the chunk goes with its last token (A7).
    #[n(10)]
    DeleteChunk {
        /// Which chunk.
        #[n(0)]
        id: BlobId,
        /// The token whose hash came with the upload.
        #[n(1)]
        token: Digest,
    },
    /// Opens a mailbox. Answered by `Mailbox`.
    #[n(11)]
    MboxNew {
        /// The Ed25519 key that will sign what its owner asks: one per mailbox, used nowhere else.
        #[n(0)]
        recv_pk: Digest,
    },
    /// Leaves a message in a mailbox. Answered by `Filed`.
    #[n(12)]
    MboxPut {
        /// Which mailbox.
        #[n(0)]
        send_id: SendId,
        /// The sealed message, padded to a bucket.
        #[cbor(n(1), decode_with = "sealed::<MAIL_BYTES_MAX, _>")]
        bytes: Sealed,
        /// How long to keep it, in seconds.
        #[n(2)]
        ttl_secs: u32,
    },
    /// Asks for a page of messages after a cursor. Answered by `Page`.
    #[n(13)]
    MboxGet {
        /// Which mailbox.
        #[n(0)]
        recv_id: RecvId,
        /// What arrived after this.
        #[n(1)]
        after: Cursor,
        /// The owner's signature.
        #[n(2)]
        auth: RecvAuth,
    },
    /// Deletes the messages up to and including a cursor. Answered by `Ok`.
    #[n(14)]
    MboxDel {
        /// Which mailbox.
        #[n(0)]
        recv_id: RecvId,
        /// The last one to go.
        #[n(1)]
        upto: Cursor,
        /// The owner's signature.
        #[n(2)]
        auth: RecvAuth,
    },
    /// Asks for messages as they arrive, and for what arrived after a cursor. Answered by `Ok`.
    #[n(15)]
    MboxSubscribe {
        /// Which mailbox.
        #[n(0)]
        recv_id: RecvId,
        /// What arrived after this.
        #[n(1)]
        after: Cursor,
        /// The owner's signature.
        #[n(2)]
        auth: RecvAuth,
    },
}

impl Request {
    /// Returns how many bytes this asks the relay to keep.
    #[must_use]
    pub fn upload_len(&self) -> usize {
        match self {
            Self::Put(put) => put.envelope.len(),
            Self::PutChunk { bytes, .. } | Self::MboxPut { bytes, .. } => bytes.len(),
            Self::Ping
            | Self::Subscribe { .. }
            | Self::Unsubscribe { .. }
            | Self::Fetch { .. }
            | Self::Neg { .. }
            | Self::FetchIds { .. }
            | Self::GetChunk { .. }
            | Self::HasChunks { .. }
            | Self::DeleteChunk { .. }
            | Self::MboxNew { .. }
            | Self::MboxGet { .. }
            | Self::MboxDel { .. }
            | Self::MboxSubscribe { .. } => 0,
        }
    }
}

/// An envelope with its proof of write access (A23).
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct PutRequest {
    /// `Tag::of_key(pk)`.
    #[n(0)]
    pub tag: Tag,
    /// The tag's public key.
    #[n(1)]
    pub pk: Digest,
    /// By `pk` over `oplog::tag::put_message`.
    #[n(2)]
    pub sig: Signature,
    /// The sealed envelope, exactly as long as a bucket.
    #[cbor(n(3), decode_with = "sealed::<ENVELOPE_BYTES_MAX, _>")]
    pub envelope: Sealed,
    /// How long to keep it, in seconds; relays may keep it for less.
    #[n(4)]
    pub ttl_secs: u32,
}

impl PutRequest {
    /// Signs an envelope for the tag of this key.
    #[must_use]
    pub fn sign(key: &SecretKey, envelope: Vec<u8>, ttl_secs: u32) -> Self {
        let pk = key.public();
        let envelope = Sealed::new(envelope);
        Self {
            tag: Tag::of_key(&pk),
            pk: Digest::from_bytes(pk),
            sig: oplog::tag::sign_put(key, &envelope.id(), ttl_secs),
            envelope,
            ttl_secs,
        }
    }

    /// Checks that the writer may write here, and returns the envelope's id.
    ///
    /// # Errors
    /// When the tag is not that of the key, or the key did not sign this.
    pub fn verify(&self) -> Result<Digest, PutError> {
        let hash = self.envelope.id();
        let pk = self.pk.as_bytes();
        oplog::tag::verify_put(&self.tag, pk, &hash, self.ttl_secs, &self.sig)?;
        Ok(hash)
    }
}

/// A tag and how much of it the client has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Subscription {
    /// Which tag.
    #[n(0)]
    pub tag: Tag,
    /// Everything up to here is known.
    #[n(1)]
    pub after: Cursor,
}

/// Hours of arrival, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct HourRange {
    /// The first hour.
    #[n(0)]
    pub from: Hour,
    /// The last hour.
    #[n(1)]
    pub to: Hour,
}

impl HourRange {
    /// Returns whether the hour lies in the range.
    #[must_use]
    pub fn contains(&self, hour: Hour) -> bool {
        self.from <= hour && hour <= self.to
    }
}

/// What a mailbox's owner asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MailboxVerb {
    /// Read messages.
    Get,
    /// Delete messages.
    Del,
    /// Be told of messages.
    Subscribe,
}

/// The owner's signature over verb, mailbox, cursor and the challenge of this connection.
///
/// Useless on another connection, and each verb may be repeated without harm.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct RecvAuth {
    /// By the key the mailbox was opened with.
    #[n(0)]
    pub sig: Signature,
}

impl RecvAuth {
    /// Signs as the mailbox's owner.
    #[must_use]
    pub fn sign(
        key: &SecretKey,
        verb: MailboxVerb,
        recv_id: &RecvId,
        cursor: Cursor,
        challenge: &Challenge,
    ) -> Self {
        Self {
            sig: key.sign(&recv_message(verb, recv_id, cursor, challenge)),
        }
    }

    /// Checks that the mailbox's owner asks for this, on this connection.
    ///
    /// # Errors
    /// When the key did not sign exactly this.
    pub fn verify(
        &self,
        recv_pk: &Digest,
        verb: MailboxVerb,
        recv_id: &RecvId,
        cursor: Cursor,
        challenge: &Challenge,
    ) -> Result<(), SignatureError> {
        let message = recv_message(verb, recv_id, cursor, challenge);
        keys::verify(recv_pk.as_bytes(), &message, &self.sig)
    }
}

/// Returns what a relay keeps of a deletion token: `H("chunk-token", token)`.
#[must_use]
pub fn token_hash(token: &Digest) -> Digest {
    Digest::from_bytes(H::new("chunk-token").field(token.as_bytes()).finish())
}

fn recv_message(
    verb: MailboxVerb,
    recv_id: &RecvId,
    cursor: Cursor,
    challenge: &Challenge,
) -> Vec<u8> {
    let verb: &[u8] = match verb {
        MailboxVerb::Get => b"get",
        MailboxVerb::Del => b"del",
        MailboxVerb::Subscribe => b"subscribe",
    };
    let digest = H::new("mbox")
        .field(verb)
        .field(recv_id.as_bytes())
        .field(&cursor.as_raw().to_be_bytes())
        .field(challenge.as_bytes())
        .finish();
    [b"decent mbox v1".as_slice(), &digest].concat()
}
