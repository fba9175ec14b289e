//! Answers to those who want in: they wait in rows until their relay has taken them.

use std::ops::ControlFlow;

use minicbor::bytes::ByteVec;
use minicbor::{Decode, Encode};
use mls::sealed_box;
use net::wire::{RelayError, Request, Response, SendId};
use oplog::hash::H;
use oplog::store::{Direction, Store, StoreError, prefix_end};
use oplog::{Digest, codec};
use rand_core::CryptoRng;

use crate::blobs::ChunkStore;
use crate::event::RelayId;
use crate::exchange::Purpose;
use crate::identity::NODE_TABLE;
use crate::join::MAIL_INFO;
use crate::message::{JoinRequest, Mail};
use crate::node::Node;
use crate::outbox::ENVELOPE_TTL_SECS;
use crate::relays::relay_key;

/// How long a bundle waits at a mailbox, in seconds.
const MAIL_TTL_SECS: u32 = ENVELOPE_TTL_SECS;
const MAIL: &[u8] = b"mail/";

/// A message that waits for its relay.
#[derive(Clone, Debug, Encode, Decode)]
#[cbor(map)]
struct MailRow {
    #[n(0)]
    relay: Digest,
    #[n(1)]
    send_id: SendId,
    #[n(2)]
    bytes: ByteVec,
}

impl<S: Store, C: ChunkStore, R: CryptoRng> Node<S, C, R> {
    pub(crate) fn send_mail_to(&mut self, request: &JoinRequest, mail: &Mail) {
        let Some(send_id) = request.reply_to.as_bytes().first_chunk::<{ SendId::LEN }>() else {
            return;
        };
        let sealed = sealed_box::seal_to(
            &request.cert.hpke_key,
            MAIL_INFO,
            &[],
            &codec::encode(mail),
            &mut self.rng,
        );
        let bytes = match sealed {
            Ok(bytes) => bytes,
            Err(error) => {
                // A key that nothing can be sealed to: the newcomer's fault, and theirs alone.
                tracing::debug!(%error, "an answer could not be sealed");
                return;
            }
        };
        let row = MailRow {
            relay: relay_key(&request.relay),
            send_id: SendId::from_bytes(*send_id),
            bytes: ByteVec::from(bytes),
        };
        let encoded = codec::encode(&row);
        let name = H::new("mail").field(&encoded).finish();
        self.store
            .put(NODE_TABLE, &[MAIL, &name].concat(), &encoded);
    }

    pub(crate) fn send_mail(&mut self, relays: &[RelayId]) -> Result<(), StoreError> {
        let mut rows: Vec<(Vec<u8>, MailRow)> = Vec::new();
        let is_flying = |key: &[u8]| {
            let mut requests = self.requests.values();
            requests.any(|(_, purpose)| matches!(purpose, Purpose::Mail(sent) if sent == key))
        };
        self.store.scan(
            NODE_TABLE,
            MAIL,
            &prefix_end(MAIL),
            Direction::Forward,
            &mut |key, value| {
                // A message is long, and what is on its way is not looked at.
                let row = (!is_flying(key)).then(|| codec::decode("mail row", value));
                if let Some(Ok(row)) = row {
                    rows.push((key.to_vec(), row));
                }
                ControlFlow::Continue(())
            },
        )?;
        for (key, row) in rows {
            let at = relays
                .iter()
                .find(|id| self.relays.get(id).is_some_and(|r| r.key() == row.relay))
                .copied();
            // What a message points to goes before it.
            let Some(id) = at.filter(|id| !self.uploads_pending(*id)) else {
                continue;
            };
            let request = Request::MboxPut {
                send_id: row.send_id,
                bytes: net::wire::Sealed::new(row.bytes.to_vec()),
                ttl_secs: MAIL_TTL_SECS,
            };
            self.request(id, Purpose::Mail(key), request);
        }
        Ok(())
    }

    pub(crate) fn mail_answered(
        &mut self,
        _: RelayId,
        key: &[u8],
        result: Result<Response, RelayError>,
    ) -> Result<(), StoreError> {
        use net::wire::ErrorCode::{BadSignature, Malformed, NotFound, QuotaExceeded, TooLarge};
        match result {
            Ok(_) => self.store.delete(NODE_TABLE, key),
            // The mailbox is gone or will never take it: whoever waits asks again.
            Err(e)
                if matches!(
                    e.code,
                    NotFound | Malformed | TooLarge | BadSignature | QuotaExceeded
                ) =>
            {
                self.store.delete(NODE_TABLE, key);
            }
            Err(_) => {}
        }
        Ok(())
    }

    /// Returns whether somebody waits for a message of ours.
    pub(crate) fn mail_waiting(&self) -> Result<bool, StoreError> {
        let mut any = false;
        self.store.scan(
            NODE_TABLE,
            MAIL,
            &prefix_end(MAIL),
            Direction::Forward,
            &mut |_, _| {
                any = true;
                ControlFlow::Break(())
            },
        )?;
        Ok(any)
    }
}
