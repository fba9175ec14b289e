//! Mailboxes: made by who proves the key, read and ended by their owner.

use net::wire::{Challenge, Cursor, ErrorCode, MailboxVerb, RecvAuth, RecvId, Response, SendId};
use oplog::{Digest, Timestamp};
use rand_core::CryptoRng;

use super::{ConnId, EnvelopeStore, Mailbox, Refusal, RelayCore};

impl<S: EnvelopeStore> RelayCore<S> {
    pub(super) fn new_mailbox(
        &mut self,
        conn: ConnId,
        recv_pk: Digest,
        now: Timestamp,
        rng: &mut impl CryptoRng,
    ) -> Result<Response, Refusal> {
        let state = self.conns.get_mut(&conn).ok_or(ErrorCode::Internal)?;
        state.new_mailboxes.take(1, now).map_err(Refusal::later)?;
        if self.store.usage().mailboxes >= self.limits.mailboxes_max {
            return Err(ErrorCode::Full.into());
        }
        let mut names = [0; RecvId::LEN + SendId::LEN];
        rng.fill_bytes(&mut names);
        let (recv, send) = names.split_at(RecvId::LEN);
        let mut mailbox = Mailbox {
            recv: RecvId::from_bytes([0; RecvId::LEN]),
            send: SendId::from_bytes([0; SendId::LEN]),
            recv_pk,
            expires: self.mailbox_expiry(now),
        };
        if let (Ok(recv), Ok(send)) = (recv.try_into(), send.try_into()) {
            mailbox.recv = RecvId::from_bytes(recv);
            mailbox.send = SendId::from_bytes(send);
        }
        self.store.put_mailbox(&mailbox)?;
        Ok(Response::Mailbox {
            recv_id: mailbox.recv,
            send_id: mailbox.send,
        })
    }

    /// Checks that the mailbox's owner asks, and renews the mailbox at most once a day.
    pub(super) fn owner(
        &mut self,
        conn: ConnId,
        verb: MailboxVerb,
        recv: &RecvId,
        cursor: Cursor,
        auth: &RecvAuth,
        now: Timestamp,
    ) -> Result<(), Refusal> {
        let challenge = self.challenge(conn)?;
        let mut mailbox = self.store.mailbox(recv).ok_or(ErrorCode::NotFound)?;
        auth.verify(&mailbox.recv_pk, verb, recv, cursor, &challenge)
            .or(Err(Refusal::from(ErrorCode::BadSignature)))?;
        let renewed = self.mailbox_expiry(now);
        if renewed.since(mailbox.expires) > 24 * 3_600_000 {
            mailbox.expires = renewed;
            self.store.put_mailbox(&mailbox)?;
        }
        Ok(())
    }

    pub(super) fn mailbox_expiry(&self, now: Timestamp) -> Timestamp {
        now.plus_ms(u64::from(self.limits.mailbox_idle_secs) * 1000)
    }

    pub(super) fn challenge(&self, conn: ConnId) -> Result<Challenge, Refusal> {
        let state = self.conns.get(&conn).ok_or(ErrorCode::Internal)?;
        Ok(state.challenge)
    }
}
