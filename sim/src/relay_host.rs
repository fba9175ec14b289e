//! A relay: the production core, and what a lying operator does around it.

use std::collections::{BTreeMap, VecDeque};

use net::wire::{ErrorCode, Filed, Push, RelayError, Request, Response, Sealed};
use oplog::{Digest, Timestamp};
use rand_chacha::ChaCha20Rng;
use relay::{Answer, ConnId, EnvelopeStore as _, Limits, RelayCore, Shelf};

use crate::fault::{Class, Fired};
use crate::queue::Millis;
use crate::rng::{Seed, Stream};

/// Envelopes a relay remembers, to tell them again.
const REMEMBERED: usize = 32;

/// A relay in the world.
pub(crate) struct RelayHost {
    core: RelayCore<relay::MemStore>,
    rng: ChaCha20Rng,
    pub(crate) up: bool,
    /// Whose connection each is.
    pub(crate) conns: BTreeMap<ConnId, u16>,
    /// Which lies are told, until when, and to or of how many in 256.
    pub(crate) lies: BTreeMap<Class, (Millis, u8)>,
    seen: VecDeque<Filed>,
    chance: Stream,
}

/// What becomes of a request before the relay's core sees it.
pub(crate) enum Fate {
    /// It is handled.
    Handle,
    /// This is answered instead.
    Instead(Response),
    /// Nothing is answered.
    Silence,
}

impl RelayHost {
    pub(crate) fn new(index: u16, seed: Seed) -> Self {
        Self {
            core: RelayCore::new(relay::MemStore::new(), limits()),
            rng: seed.crypto(&format!("relay/{index}")),
            up: true,
            conns: BTreeMap::new(),
            lies: BTreeMap::new(),
            seen: VecDeque::new(),
            chance: seed.stream(&format!("relay/{index}/lies")),
        }
    }

    pub(crate) fn connected(&mut self, conn: ConnId, node: u16, now: Timestamp) -> bool {
        let fine = self.up && self.core.connected(conn, now, &mut self.rng);
        if fine {
            self.conns.insert(conn, node);
        }
        fine
    }

    pub(crate) fn disconnected(&mut self, conn: ConnId) {
        self.core.disconnected(conn);
        self.conns.remove(&conn);
    }

    /// Loses everything it held.
    pub(crate) fn wipe(&mut self) {
        self.core = RelayCore::new(relay::MemStore::new(), limits());
        self.conns.clear();
        self.seen.clear();
    }

    /// Handles a request as the production server does: answer only after a sync.
    pub(crate) fn handle(&mut self, conn: ConnId, request: Request, now: Timestamp) -> Answer {
        let answer = self.core.handle(conn, request, now, &mut self.rng);
        let synced = self.core.sync();
        match (answer, synced) {
            (Ok(answer), Ok(())) => answer,
            _ => Answer::default(),
        }
    }

    /// Says whether an envelope can still be had.
    pub(crate) fn holds(&mut self, now: Timestamp, shelf: &Shelf, id: &Digest) -> bool {
        let expired = self.core.expire(now);
        expired.is_ok() && self.core.store().find(shelf, id).is_some()
    }

    pub(crate) fn push_done(&mut self, conn: ConnId, id: relay::PushId, acked: bool) -> Answer {
        self.core.push_done(conn, id, acked)
    }

    fn lie(&self, class: Class, now: Millis) -> Option<u8> {
        let (until, share) = *self.lies.get(&class)?;
        (now < until).then_some(share)
    }

    /// Decides about a request.
    pub(crate) fn before(&mut self, request: &Request, now: Millis, fired: &mut Fired) -> Fate {
        if let Some(share) = self.lie(Class::RelayStalls, now)
            && self.chance.below(256) < u64::from(share)
        {
            fired.note(Class::RelayStalls);
            return Fate::Silence;
        }
        match request {
            Request::Put(_) | Request::MboxPut { .. } | Request::PutChunk { .. } => {
                if let Some(share) = self.lie(Class::RelayRefuses, now)
                    && self.chance.below(256) < u64::from(share)
                {
                    fired.note(Class::RelayRefuses);
                    let code = [
                        ErrorCode::Full,
                        ErrorCode::QuotaExceeded,
                        ErrorCode::RateLimited,
                    ];
                    let code = *self.chance.pick(&code).unwrap_or(&ErrorCode::Full);
                    let retry_after_ms = self.chance.below(20_000) as u32;
                    return Fate::Instead(Response::Error(RelayError {
                        code,
                        retry_after_ms,
                    }));
                }
                if let Some(share) = self.lie(Class::RelayDrops, now)
                    && self.chance.below(256) < u64::from(share)
                {
                    fired.note(Class::RelayDrops);
                    return Fate::Instead(match request {
                        Request::PutChunk { .. } => Response::Ok,
                        _ => Response::Filed {
                            cursor: net::wire::Cursor::from_raw(self.chance.below(1 << 20)),
                        },
                    });
                }
                Fate::Handle
            }
            Request::MboxGet { .. } | Request::MboxSubscribe { .. } => {
                if let Some(share) = self.lie(Class::RelayForgetsMail, now)
                    && self.chance.below(256) < u64::from(share)
                {
                    fired.note(Class::RelayForgetsMail);
                    return Fate::Instead(ErrorCode::NotFound.into());
                }
                Fate::Handle
            }
            _ => Fate::Handle,
        }
    }

    /// Changes what is told to a device.
    pub(crate) fn twist_response(
        &mut self,
        to: u16,
        response: &mut Response,
        now: Millis,
        fired: &mut Fired,
    ) {
        if let Response::Page { items, more } = response {
            self.twist(to, items, now, fired);
            if self.lie(Class::RelayClaimsComplete, now).is_some() && items.len() > 1 {
                let keep = items.len() / 2;
                items.truncate(keep);
                *more = false;
                fired.note(Class::RelayClaimsComplete);
            }
        }
    }

    /// Changes what is pushed to a device.
    pub(crate) fn twist_push(&mut self, to: u16, push: &mut Push, now: Millis, fired: &mut Fired) {
        match push {
            Push::Envelopes { items, .. } | Push::Mail { items, .. } => {
                self.twist(to, items, now, fired);
            }
            Push::Behind { .. } | Push::MailBehind { .. } => {}
        }
    }

    fn twist(&mut self, to: u16, items: &mut Vec<Filed>, now: Millis, fired: &mut Fired) {
        if self.lies.is_empty() {
            return;
        }
        for item in items.iter() {
            if self.seen.len() == REMEMBERED {
                self.seen.pop_front();
            }
            self.seen.push_back(item.clone());
        }
        let before = items.len();
        if let Some(share) = self.lie(Class::RelayWithholds, now) {
            // From the same people throughout.
            if (to.wrapping_mul(97) ^ 0x5b) as u8 <= share {
                items.clear();
            }
            if items.len() < before {
                fired.note(Class::RelayWithholds);
            }
        }
        if let Some(share) = self.lie(Class::RelayForks, now) {
            let before = items.len();
            items.retain(|item| {
                let mut hasher = blake3::Hasher::new();
                hasher.update(item.sealed.as_bytes());
                hasher.update(&to.to_be_bytes());
                hasher.finalize().as_bytes()[0] > share
            });
            if items.len() < before {
                fired.note(Class::RelayForks);
            }
        }
        for item in items.iter_mut() {
            if let Some(share) = self.lie(Class::RelayTampers, now)
                && self.chance.below(256) < u64::from(share)
            {
                let mut bytes = item.sealed.as_bytes().to_vec();
                let at = self.chance.below(bytes.len() as u64) as usize;
                if let Some(byte) = bytes.get_mut(at) {
                    *byte ^= 1 << self.chance.below(8);
                }
                item.sealed = Sealed::new(bytes);
                fired.note(Class::RelayTampers);
            }
            if let Some(share) = self.lie(Class::RelayTruncates, now)
                && self.chance.below(256) < u64::from(share)
            {
                let mut bytes = item.sealed.as_bytes().to_vec();
                let keep = self.chance.below(bytes.len() as u64 + 1) as usize;
                bytes.truncate(keep);
                item.sealed = Sealed::new(bytes);
                fired.note(Class::RelayTruncates);
            }
        }
        if self.lie(Class::RelayReplays, now).is_some()
            && let Some(old) = self.chance.pick(&Vec::from(self.seen.clone())).cloned()
            && items.len() < 200
        {
            let cursor = items.last().map_or(old.cursor, |last| last.cursor);
            items.push(Filed {
                cursor,
                sealed: old.sealed,
            });
            fired.note(Class::RelayReplays);
        }
        if self.lie(Class::RelayReorders, now).is_some() && items.len() > 1 {
            items.reverse();
            fired.note(Class::RelayReorders);
        }
    }
}

fn limits() -> Limits {
    Limits::default()
}
