//! Mailboxes of those who want in: opened at each relay, read until the bundle is there.

use minicbor::{Decode, Encode};
use mls::sealed_box::{self, BoxKey};
use net::wire::{
    Challenge, Cursor, Filed, MailboxVerb, RecvAuth, RecvId, RelayError, Request, Response, SendId,
};
use oplog::store::{Store, StoreError};
use oplog::{Digest, Secret, SecretKey, SpaceId, codec};
use rand_core::CryptoRng;

use crate::blobs::ChunkStore;
use crate::event::RelayId;
use crate::exchange::Purpose;
use crate::join::{MAIL_INFO, Parcel, PendingJoin};
use crate::message::Mail;
use crate::node::Node;
use crate::relays::peer_of;
use crate::room::Room;

#[derive(Clone, Debug, Encode, Decode)]
#[cbor(map)]
pub(crate) struct Mailbox {
    #[n(0)]
    pub(crate) relay: Digest,
    /// Seed of the key that reads it.
    #[n(1)]
    pub(crate) key: Digest,
    #[n(2)]
    pub(crate) recv_id: Option<RecvId>,
    #[n(3)]
    pub(crate) send_id: Option<SendId>,
    #[n(4)]
    pub(crate) read_to: Cursor,
    #[n(5)]
    pub(crate) asked: bool,
    /// Of an earlier link: an answer to it may still come, but none is asked for.
    #[n(6)]
    #[cbor(default)]
    pub(crate) earlier: bool,
}

impl Mailbox {
    /// Whether it is the one at this relay for the present link.
    pub(crate) fn is_at(&self, relay: &Digest) -> bool {
        self.relay == *relay && !self.earlier
    }
}

/// How long after asking for a mailbox it is asked for again, in milliseconds, then twice as long, and
/// so on. The relay pushes what comes, so this is for one that loses or keeps back a push.
const READ_EVERY_MS_MIN: u64 = 60_000;
/// The longest time between, in milliseconds. Shorter than the days after which a mailbox of which
/// nobody asks is closed.
const READ_EVERY_MS_MAX: u64 = 600_000;

/// A mailbox that a relay was asked for on the present connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reading {
    /// When it was asked for, in milliseconds.
    at: u64,
    /// How long until it is again, in milliseconds.
    every: u64,
}

impl Reading {
    /// What follows when a mailbox is considered now: what to note if it has to be asked for.
    fn next(known: Option<Self>, now: u64) -> Option<Self> {
        let every = match known {
            None => READ_EVERY_MS_MIN,
            // A clock that was set back must not make it wait for ever.
            Some(Self { at, every }) if now < at || now - at >= every => {
                (every * 2).min(READ_EVERY_MS_MAX)
            }
            Some(_) => return None,
        };
        Some(Self { at: now, every })
    }
}

impl<S: Store, C: ChunkStore, R: CryptoRng> Node<S, C, R> {
    /// Goes on with every pending join at a relay: mailbox, request, answers.
    pub(crate) fn continue_joins(&mut self, id: RelayId) -> Result<(), StoreError> {
        let Some(relay) = self.relays.get(&id).filter(|r| r.connected) else {
            return Ok(());
        };
        let (key, Some(challenge)) = (relay.key(), relay.challenge) else {
            return Ok(());
        };
        let peer = peer_of(&relay.address);
        let here = |join: &PendingJoin| {
            join.withdrawn_at.is_none()
                && join.relays.iter().any(|address| peer_of(address) == peer)
        };
        let joins = self.joins.iter().filter(|(_, join)| here(join));
        let spaces: Vec<SpaceId> = joins.map(|(space, _)| *space).collect();
        for space in spaces {
            let mailboxes = self.joins.get(&space).map(|join| &join.mailboxes);
            let known = |m: &&Mailbox| m.relay == key && m.recv_id.is_some();
            let mailboxes = mailboxes.into_iter().flatten().filter(known);
            for mailbox in mailboxes.cloned().collect::<Vec<_>>() {
                if let Some(recv_id) = mailbox.recv_id {
                    self.read_mailbox(id, space, &mailbox, recv_id, &challenge);
                }
            }
            let Some(join) = self.joins.get(&space) else {
                continue;
            };
            let mailbox = join.mailboxes.iter().find(|m| m.is_at(&key));
            match mailbox.filter(|m| m.recv_id.is_some() && m.send_id.is_some()) {
                None if join.landed_at.is_some() || self.opening(id, &space) => {}
                Some(_) if self.asks(id, &space) => {}
                // Also when an earlier process, or an earlier connection, never heard the answer.
                None => self.open_mailbox(id, key, join.clone()),
                Some(mailbox) if !mailbox.asked && join.landed_at.is_none() => {
                    self.ask_to_join(id, &key, join.clone());
                }
                Some(_) => {}
            }
        }
        Ok(())
    }

    fn read_mailbox(
        &mut self,
        id: RelayId,
        space: SpaceId,
        mailbox: &Mailbox,
        recv_id: RecvId,
        challenge: &Challenge,
    ) {
        let now = self.now.as_ms();
        let Some(relay) = self.relays.get_mut(&id) else {
            return;
        };
        let Some(next) = Reading::next(relay.reading.get(&recv_id).copied(), now) else {
            return;
        };
        relay.reading.insert(recv_id, next);
        let reader = SecretKey::from_seed(mailbox.key.as_bytes());
        let after = mailbox.read_to;
        let auth = RecvAuth::sign(&reader, MailboxVerb::Subscribe, &recv_id, after, challenge);
        self.request(
            id,
            Purpose::ReadMailbox(space, recv_id),
            Request::MboxSubscribe {
                recv_id,
                after,
                auth,
            },
        );
    }

    /// Has a mailbox asked for at the next tick: something that lies there was not taken.
    pub(crate) fn read_again(&mut self, recv_id: &RecvId) {
        for relay in self.relays.values_mut() {
            relay.reading.remove(recv_id);
        }
    }

    /// Whether a relay has yet to answer our wish for a mailbox.
    fn opening(&self, id: RelayId, space: &SpaceId) -> bool {
        self.requests.values().any(|(at, purpose)| {
            *at == id && matches!(purpose, Purpose::OpenMailbox(of) if of == space)
        })
    }

    fn open_mailbox(&mut self, id: RelayId, relay: Digest, mut join: PendingJoin) {
        let seed = Secret::generate(&mut self.rng);
        let recv_pk = Digest::from_bytes(SecretKey::from_seed(seed.as_bytes()).public());
        join.mailboxes.retain(|m| !m.is_at(&relay));
        join.mailboxes.push(Mailbox {
            relay,
            key: Digest::from_bytes(*seed.as_bytes()),
            recv_id: None,
            send_id: None,
            read_to: Cursor::START,
            asked: false,
            earlier: false,
        });
        let space = join.space;
        self.keep_join(join);
        self.request(
            id,
            Purpose::OpenMailbox(space),
            Request::MboxNew { recv_pk },
        );
    }

    pub(crate) fn mailbox_opened(
        &mut self,
        id: RelayId,
        space: SpaceId,
        result: Result<Response, RelayError>,
    ) -> Result<(), StoreError> {
        let Some(key) = self.relays.get(&id).map(crate::exchange::Relay::key) else {
            return Ok(());
        };
        let Some(mut join) = self.joins.get(&space).cloned() else {
            return Ok(());
        };
        match result {
            Ok(Response::Mailbox { recv_id, send_id }) => {
                if let Some(mailbox) = join.mailboxes.iter_mut().find(|m| m.is_at(&key)) {
                    mailbox.recv_id = Some(recv_id);
                    mailbox.send_id = Some(send_id);
                }
            }
            Ok(_) | Err(_) => join.mailboxes.retain(|m| !m.is_at(&key)),
        }
        let opened = join.mailboxes.iter().any(|m| m.is_at(&key));
        self.keep_join(join);
        if opened {
            self.continue_joins(id)
        } else {
            Ok(())
        }
    }

    pub(crate) fn mailbox_read(
        &mut self,
        id: RelayId,
        space: SpaceId,
        recv_id: RecvId,
        result: Result<Response, RelayError>,
    ) -> Result<(), StoreError> {
        let Some(mut join) = self.joins.get(&space).cloned() else {
            return Ok(());
        };
        match result {
            // The relay has forgotten the mailbox: open another and ask again.
            Err(RelayError {
                code: net::wire::ErrorCode::NotFound,
                ..
            }) => {
                join.mailboxes.retain(|m| m.recv_id != Some(recv_id));
                self.keep_join(join);
                self.continue_joins(id)
            }
            Ok(Response::Page { items, .. }) => self.take_mail(&space, recv_id, items),
            Ok(_) => Ok(()),
            Err(_) => {
                self.read_again(&recv_id);
                Ok(())
            }
        }
    }

    pub(crate) fn mail_received(
        &mut self,
        id: RelayId,
        recv_id: RecvId,
        prev: Cursor,
        items: Vec<Filed>,
    ) -> Result<(), StoreError> {
        let mailboxes = |join: &PendingJoin| {
            let of = join.mailboxes.iter().find(|m| m.recv_id == Some(recv_id));
            of.map(|mailbox| (join.space, mailbox.read_to))
        };
        let Some((space, read_to)) = self.joins.values().find_map(mailboxes) else {
            return Ok(());
        };
        if prev > read_to {
            // A push was lost: to read on from here would leave out what it held, for good.
            self.read_again(&recv_id);
            return self.continue_joins(id);
        }
        self.take_mail(&space, recv_id, items)
    }

    fn take_mail(
        &mut self,
        space: &SpaceId,
        recv_id: RecvId,
        items: Vec<Filed>,
    ) -> Result<(), StoreError> {
        if self.room < Room::Low {
            // It stays in the mailbox until there is room.
            self.read_again(&recv_id);
            return Ok(());
        }
        for item in items {
            let Some(mut join) = self.joins.get(space).cloned() else {
                return Ok(());
            };
            let is_it = |m: &&mut Mailbox| m.recv_id == Some(recv_id);
            let Some(mailbox) = join.mailboxes.iter_mut().find(is_it) else {
                return Ok(());
            };
            if join.withdrawn_at.is_some() {
                // Whoever asks again by the same link finds the answer there.
                self.read_again(&recv_id);
                return Ok(());
            }
            if item.cursor <= mailbox.read_to {
                continue;
            }
            mailbox.read_to = item.cursor;
            let earlier = mailbox.earlier;
            self.keep_join(join);
            let key = BoxKey::from_seed(&self.me.hpke);
            let mail = sealed_box::open_with(&key, MAIL_INFO, &[], item.sealed.as_bytes()).ok();
            let Some(Ok(mail)) = mail.map(|plain| codec::decode::<Mail>("mail", &plain)) else {
                continue;
            };
            match mail {
                Mail::Bundle(bundle) => self.take_bundle(space, &bundle, earlier)?,
                Mail::Blob(blob) => self.fetch_bundle(space, Parcel { blob, earlier }),
                Mail::Refused(_) if earlier => {}
                Mail::Refused(why) => self.fail_join(space, &why),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mailbox_is_asked_for_ever_more_rarely_and_whatever_the_clock_does() {
        let mut reading = None;
        let mut times = Vec::new();
        for now in (0..4_000_000).step_by(30_000) {
            if let Some(next) = Reading::next(reading, now) {
                reading = Some(next);
                times.push(now / 1_000);
            }
        }
        assert_eq!(
            times,
            [0, 60, 180, 420, 900, 1_500, 2_100, 2_700, 3_300, 3_900]
        );
        assert!(
            Reading::next(reading, 1_000).is_some(),
            "the clock was set back"
        );
    }
}
