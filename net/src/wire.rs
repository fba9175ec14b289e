//! What client and relay say to each other, as canonical CBOR (`docs/relay.md`).
//!
//! A [`Call`] goes one way and a [`Reply`] comes back, both ways over one protocol: clients
//! send [`Request`]s, relays send [`Push`]es. This module only gives the messages their bytes
//! and their limits; who may do what is decided by the relay's core.
//!
//! # Invariants
//! - One encoding for every message; other bytes are refused.
//! - No list is read before its length was compared with the limit of its field.
//! - Nothing in a message names a Space, author, op or epoch.

mod bounded;
mod ids;
mod push;
mod request;
mod response;
#[cfg(test)]
mod tests;

use minicbor::{Decode, Encode};
use oplog::CodecError;
use oplog::codec;

pub use bounded::Sealed;
pub(crate) use bounded::list;
pub use ids::{Challenge, Cursor, Hour, RecvId, SendId};
pub use push::Push;
pub use request::{
    HourRange, MailboxVerb, PutRequest, RecvAuth, Request, Subscription, token_hash,
};
pub use response::{ErrorCode, Filed, RelayError, Response};

/// The version of these messages; a relay answers others with [`ErrorCode::Malformed`].
pub const WIRE_VERSION: u8 = 1;
/// Sizes in bytes that an envelope or a mailbox message may have (B13): nothing else is told by its length.
pub const BUCKETS: [usize; 6] = [
    1024,
    4 * 1024,
    16 * 1024,
    64 * 1024,
    256 * 1024,
    1024 * 1024,
];
/// Longest envelope in bytes: the last bucket.
pub const ENVELOPE_BYTES_MAX: usize = 1024 * 1024;
/// Longest mailbox message in bytes; longer Welcomes travel as sealed blobs (B13).
pub const MAIL_BYTES_MAX: usize = 64 * 1024;
/// Longest sealed chunk in bytes: 256 KiB and what sealing adds (B17).
pub const CHUNK_BYTES_MAX: usize = 256 * 1024 + 64;
/// Most tags in one Subscribe or Unsubscribe (B12).
pub const SUBSCRIBE_TAGS_MAX: usize = 256;
/// Most ids in one FetchIds or HasChunks (B12).
pub const IDS_MAX: usize = 256;
/// Most envelopes in one answer or push; the bytes bind first for all but the smallest bucket.
pub const PAGE_ITEMS_MAX: usize = 256;
/// Most bytes of envelopes in one answer or push: one of the largest always fits.
pub const PAGE_BYTES_MAX: usize = 1024 * 1024;
/// Longest negentropy frame in bytes (B12).
pub const NEG_FRAME_BYTES_MAX: usize = 128 * 1024;
/// Longest time to live in seconds: 30 days (B16). Relays may keep things for less.
pub const TTL_SECS_MAX: u32 = 30 * 24 * 3600;
/// Longest message in bytes: a full page, and room for the framing of its items.
pub const MESSAGE_BYTES_MAX: usize = PAGE_BYTES_MAX + 64 * 1024;

/// What either side opens an exchange with.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Call {
    /// Client to relay.
    #[n(0)]
    Request(#[n(0)] Request),
    /// Relay to client.
    #[n(1)]
    Push(#[n(0)] Push),
}

/// What comes back.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Reply {
    /// Relay to client.
    #[n(0)]
    Response(#[n(0)] Response),
    /// Client to relay: the push was taken.
    #[n(1)]
    Ack,
}

#[derive(Encode, Decode)]
struct Frame<T> {
    #[n(0)]
    version: u8,
    #[n(1)]
    message: T,
}

/// Returns the bytes of a call.
#[must_use]
pub fn encode_call(call: Call) -> Vec<u8> {
    codec::encode(&Frame {
        version: WIRE_VERSION,
        message: call,
    })
}

/// Returns the bytes of a reply.
#[must_use]
pub fn encode_reply(reply: Reply) -> Vec<u8> {
    codec::encode(&Frame {
        version: WIRE_VERSION,
        message: reply,
    })
}

/// Reads a call.
///
/// # Errors
/// When the bytes are too long, malformed, not canonical or of another version.
pub fn decode_call(bytes: &[u8]) -> Result<Call, CodecError> {
    decode_frame("relay call", bytes)
}

/// Reads a reply.
///
/// # Errors
/// As [`decode_call`].
pub fn decode_reply(bytes: &[u8]) -> Result<Reply, CodecError> {
    decode_frame("relay reply", bytes)
}

/// Returns the bucket that holds `len` bytes, `None` when no bucket does.
#[must_use]
pub fn bucket_for(len: usize) -> Option<usize> {
    BUCKETS.into_iter().find(|bucket| len <= *bucket)
}

/// Returns whether this is exactly the size of a bucket.
#[must_use]
pub fn is_bucket(len: usize) -> bool {
    BUCKETS.contains(&len)
}

fn decode_frame<T>(what: &'static str, bytes: &[u8]) -> Result<T, CodecError>
where
    T: for<'b> Decode<'b, ()> + Encode<()>,
{
    let frame: Frame<T> = codec::decode_bounded(what, bytes, MESSAGE_BYTES_MAX)?;
    if frame.version != WIRE_VERSION {
        return Err(CodecError::Forbidden {
            what,
            detail: "unknown version",
        });
    }
    Ok(frame.message)
}
