//! What a relay answers.

use minicbor::{Decode, Encode};

use super::bounded::{list, sealed};
use super::ids::{Challenge, Cursor, RecvId, SendId};
use super::{CHUNK_BYTES_MAX, IDS_MAX, NEG_FRAME_BYTES_MAX, PAGE_ITEMS_MAX, Sealed};

/// An envelope or message with its place in the order of arrival.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Filed {
    /// Its place.
    #[n(0)]
    pub cursor: Cursor,
    /// What was filed.
    #[n(1)]
    pub sealed: Sealed,
}

/// The answer to a request.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Response {
    /// Done.
    #[n(0)]
    Ok,
    /// Refused, with the reason.
    #[n(1)]
    Error(#[n(0)] RelayError),
    /// To `Ping`.
    #[n(2)]
    Pong {
        /// What mailbox owners sign on this connection.
        #[n(0)]
        challenge: Challenge,
    },
    /// To `Put` and `MboxPut`: it is on disk and has this place.
    #[n(3)]
    Filed {
        /// Its place.
        #[n(0)]
        cursor: Cursor,
    },
    /// To `Fetch`, `FetchIds` and `MboxGet`.
    #[n(4)]
    Page {
        /// In order of arrival.
        #[cbor(n(0), decode_with = "list::<_, PAGE_ITEMS_MAX, _>")]
        items: Vec<Filed>,
        /// Whether there is more than fitted.
        #[n(1)]
        more: bool,
    },
    /// To `Neg`.
    #[n(5)]
    Neg {
        /// For [`crate::neg::Reconciler`].
        #[cbor(n(0), decode_with = "sealed::<NEG_FRAME_BYTES_MAX, _>")]
        frame: Sealed,
    },
    /// To `GetChunk`.
    #[n(6)]
    Chunk {
        /// The sealed chunk.
        #[cbor(n(0), decode_with = "sealed::<CHUNK_BYTES_MAX, _>")]
        bytes: Sealed,
    },
    /// To `HasChunks`.
    #[n(7)]
    Has {
        /// In the order of the ids asked for.
        #[cbor(n(0), decode_with = "list::<_, IDS_MAX, _>")]
        has: Vec<bool>,
    },
    /// To `MboxNew`.
    #[n(8)]
    Mailbox {
        /// For the owner.
        #[n(0)]
        recv_id: RecvId,
        /// To give away.
        #[n(1)]
        send_id: SendId,
    },
}

impl Response {
    /// Returns how many bytes of others are in it; all else is small.
    #[must_use]
    pub fn sealed_len(&self) -> usize {
        match self {
            Self::Page { items, .. } => items.iter().map(|item| item.sealed.len()).sum(),
            Self::Neg { frame } => frame.len(),
            Self::Chunk { bytes } => bytes.len(),
            Self::Ok
            | Self::Error(_)
            | Self::Pong { .. }
            | Self::Filed { .. }
            | Self::Has { .. }
            | Self::Mailbox { .. } => 0,
        }
    }
}

/// Why a relay refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error, Encode, Decode)]
#[error("the relay refused: {code}")]
pub struct RelayError {
    /// What is wrong.
    #[n(0)]
    pub code: ErrorCode,
    /// For [`ErrorCode::RateLimited`]: when to try again, in milliseconds; otherwise 0.
    #[n(1)]
    pub retry_after_ms: u32,
}

impl From<ErrorCode> for RelayError {
    fn from(code: ErrorCode) -> Self {
        Self {
            code,
            retry_after_ms: 0,
        }
    }
}

impl From<ErrorCode> for Response {
    fn from(code: ErrorCode) -> Self {
        Self::Error(code.into())
    }
}

/// The kinds of refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, thiserror::Error, Encode, Decode)]
#[cbor(index_only)]
pub enum ErrorCode {
    /// The request breaks the format, or its size is no bucket.
    #[error("malformed request")]
    #[n(0)]
    Malformed,
    /// The writer or owner is not who may do this.
    #[error("bad signature")]
    #[n(1)]
    BadSignature,
    /// There is no such chunk, mailbox or token.
    #[error("not found")]
    #[n(2)]
    NotFound,
    /// More bytes than allowed.
    #[error("too large")]
    #[n(3)]
    TooLarge,
    /// This tag or mailbox, or this connection's subscriptions, have used up their share.
    #[error("quota exceeded")]
    #[n(4)]
    QuotaExceeded,
    /// Too much at once on this connection; see `retry_after_ms`.
    #[error("rate limited")]
    #[n(5)]
    RateLimited,
    /// The relay's disk or its cap is full.
    #[error("relay full")]
    #[n(6)]
    Full,
    /// The range holds more than a reconciliation may cover.
    #[error("too many items")]
    #[n(7)]
    TooMany,
    /// The relay failed; what was asked was not done.
    #[error("relay failure")]
    #[n(8)]
    Internal,
}
