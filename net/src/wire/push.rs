//! What a relay tells a client unasked. The client acks each one.

use minicbor::{Decode, Encode};
use oplog::Tag;

use super::PAGE_ITEMS_MAX;
use super::bounded::list;
use super::ids::{Cursor, RecvId};
use super::response::Filed;

/// Something arrived.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Push {
    /// Under a tag.
    #[n(0)]
    Envelopes {
        /// Which tag.
        #[n(0)]
        tag: Tag,
        /// The arrival before the first of these; one who has less than this fetches what is between.
        #[n(1)]
        prev: Cursor,
        /// In order of arrival.
        #[cbor(n(2), decode_with = "list::<_, PAGE_ITEMS_MAX, _>")]
        items: Vec<Filed>,
    },
    /// More arrived under a tag than this connection could take: fetch by cursor.
    #[n(1)]
    Behind {
        /// Which tag.
        #[n(0)]
        tag: Tag,
    },
    /// In a mailbox.
    #[n(2)]
    Mail {
        /// Which mailbox.
        #[n(0)]
        recv_id: RecvId,
        /// In order of arrival.
        #[cbor(n(1), decode_with = "list::<_, PAGE_ITEMS_MAX, _>")]
        items: Vec<Filed>,
        /// The arrival before the first of these; one who has less than this subscribes anew.
        #[n(2)]
        prev: Cursor,
    },
    /// More arrived in a mailbox than this connection could take.
    #[n(3)]
    MailBehind {
        /// Which mailbox.
        #[n(0)]
        recv_id: RecvId,
    },
}

impl Push {
    /// Returns how many sealed bytes it carries.
    #[must_use]
    pub fn sealed_len(&self) -> usize {
        match self {
            Self::Envelopes { items, .. } | Self::Mail { items, .. } => {
                items.iter().map(|item| item.sealed.len()).sum()
            }
            Self::Behind { .. } | Self::MailBehind { .. } => 0,
        }
    }
}
