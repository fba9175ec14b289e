//! Getting: which tags are listened to at each relay, and up to where each is known.
//!
//! A tag is first fetched to its end and then subscribed to, from where the fetches ended. What was
//! received up to where lies in rows, so that a restart goes on there.

use std::collections::BTreeMap;

use net::wire::{Cursor, Filed, RelayError, Request, Response, Subscription};
use oplog::Tag;
use oplog::store::{Store, StoreError};
use rand_core::CryptoRng;

use crate::arrivals::Arrived;
use crate::blobs::ChunkStore;
use crate::event::RelayId;
use crate::exchange::Purpose;
use crate::flood::Pace;
use crate::identity::QUEUE_TABLE;
use crate::node::Node;
use crate::room::Room;
use crate::tags::TagUse;

/// How long a tag's backlog is looked for after an absence: what relays keep (B16).
const RETENTION_DAYS: u64 = 30;
/// Envelopes asked for in one page.
const PAGE_ITEMS: u16 = 64;
/// Fetches in flight at one relay.
const FETCHES_MAX: usize = 16;
/// Fetches of a tag without anything new, though the relay says that there is more, before it is left
/// alone until the next tick: a relay that withholds would have us ask without end.
const FRUITLESS_MAX: u8 = 3;
const LAST_DAY_KEY: &[u8] = b"last-day";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TagSync {
    /// What comes under it.
    found: TagUse,
    pub(crate) cursor: Cursor,
    pub(crate) phase: Phase,
    /// Fetches in a row that gave nothing new.
    fruitless: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Phase {
    Unknown,
    Fetching,
    Fetched,
    Subscribing,
    /// Fetched to its end, and the relay did not take the subscription, or does not give what it says
    /// is there: asked anew at the next tick.
    Unsubscribed,
    Subscribed,
}

impl<S: Store, C: ChunkStore, R: CryptoRng> Node<S, C, R> {
    /// Brings what we ask of a relay in line with the tags that matter now.
    pub(crate) fn listen(
        &mut self,
        id: RelayId,
        wanted: &BTreeMap<Tag, TagUse>,
    ) -> Result<(), StoreError> {
        let Some(relay) = self.relays.get_mut(&id).filter(|relay| relay.connected) else {
            return Ok(());
        };
        relay.tags.retain(|tag, _| wanted.contains_key(tag));
        let key = relay.key();
        for (tag, found) in wanted {
            let tags = self.relays.get_mut(&id).map(|relay| &mut relay.tags);
            if let Some(known) = tags.and_then(|tags| tags.get_mut(tag)) {
                known.found = *found;
                continue;
            }
            let cursor = self.cursor(&key, tag)?;
            if let Some(relay) = self.relays.get_mut(&id) {
                relay.caught_up = false;
                relay.tags.insert(
                    *tag,
                    TagSync {
                        found: *found,
                        cursor,
                        phase: Phase::Unknown,
                        fruitless: 0,
                    },
                );
            }
        }
        self.advance(id);
        Ok(())
    }

    /// Sends the next fetches and subscriptions.
    pub(crate) fn advance(&mut self, id: RelayId) {
        let Some(relay) = self.relays.get_mut(&id).filter(|r| r.connected) else {
            return;
        };
        let mut fetches = Vec::new();
        for (tag, sync) in &mut relay.tags {
            if sync.phase == Phase::Unknown && relay.fetching < FETCHES_MAX {
                sync.phase = Phase::Fetching;
                relay.fetching += 1;
                fetches.push((*tag, sync.cursor));
            }
        }
        let idle = relay.fetching == 0 && !relay.subscribing;
        let ready: Vec<Subscription> = relay
            .tags
            .iter()
            .filter(|(_, sync)| idle && sync.phase == Phase::Fetched)
            .map(|(tag, sync)| Subscription {
                tag: *tag,
                after: sync.cursor,
            })
            .take(net::wire::SUBSCRIBE_TAGS_MAX)
            .collect();
        for subscription in &ready {
            if let Some(sync) = relay.tags.get_mut(&subscription.tag) {
                sync.phase = Phase::Subscribing;
            }
        }
        relay.subscribing |= !ready.is_empty();
        let caught_up =
            idle && ready.is_empty() && relay.tags.values().all(|t| t.phase >= Phase::Unsubscribed);
        let newly = caught_up && !relay.caught_up;
        relay.caught_up = caught_up;
        relay.tried |= caught_up;
        for (tag, after) in fetches {
            self.request(
                id,
                Purpose::Fetch(tag),
                Request::Fetch {
                    tag,
                    after,
                    limit: PAGE_ITEMS,
                },
            );
        }
        if !ready.is_empty() {
            let tags = ready.iter().map(|s| s.tag).collect();
            self.request(
                id,
                Purpose::Subscribe(tags),
                Request::Subscribe {
                    tags: ready,
                    replace: false,
                },
            );
        }
        if newly {
            self.caught_up_with.insert(id);
        }
    }

    pub(crate) fn fetch_again(&mut self, id: RelayId, tag: Tag) {
        if let Some(sync) = self.relays.get_mut(&id).and_then(|r| r.tags.get_mut(&tag))
            && sync.phase != Phase::Fetching
        {
            sync.phase = if sync.fruitless < FRUITLESS_MAX {
                Phase::Unknown
            } else {
                Phase::Unsubscribed
            };
        }
        self.advance(id);
    }

    /// Fetches every tag from where its cursor stands.
    pub(crate) fn fetch_all_again(&mut self, id: RelayId) {
        let tags = self.relays.get_mut(&id).map(|relay| &mut relay.tags);
        for sync in tags.into_iter().flat_map(|tags| tags.values_mut()) {
            if sync.phase > Phase::Fetching {
                sync.phase = Phase::Unknown;
            }
        }
        self.advance(id);
    }

    pub(crate) fn fetched(
        &mut self,
        id: RelayId,
        tag: Tag,
        result: Result<Response, RelayError>,
    ) -> Result<(), StoreError> {
        let Some(relay) = self.relays.get_mut(&id) else {
            return Ok(());
        };
        relay.fetching = relay.fetching.saturating_sub(1);
        let (items, more) = match result {
            Ok(Response::Page { items, more }) => (items, more),
            // Refused or nonsense: treat the tag as empty for now; the next connection asks again.
            _ => (Vec::new(), false),
        };
        let cursor = |node: &Self| {
            let tags = node.relays.get(&id).map(|relay| &relay.tags);
            tags.and_then(|tags| tags.get(&tag)).map(|sync| sync.cursor)
        };
        let before = cursor(self);
        self.received(id, tag, items)?;
        let progressed = cursor(self) > before;
        if let Some(sync) = self.relays.get_mut(&id).and_then(|r| r.tags.get_mut(&tag)) {
            sync.fruitless = if progressed {
                0
            } else {
                sync.fruitless.saturating_add(1)
            };
            sync.phase = match (more, progressed) {
                (true, true) => Phase::Unknown,
                // It does not give what it says is there.
                (true, false) => Phase::Unsubscribed,
                (false, _) => Phase::Fetched,
            };
        }
        Ok(())
    }

    pub(crate) fn subscribed(&mut self, id: RelayId, tags: &[Tag], fine: bool) {
        let Some(relay) = self.relays.get_mut(&id) else {
            return;
        };
        relay.subscribing = false;
        for tag in tags {
            if let Some(sync) = relay
                .tags
                .get_mut(tag)
                .filter(|s| s.phase == Phase::Subscribing)
            {
                // Without live push there is still the backlog: take it as it is.
                sync.phase = if fine {
                    Phase::Subscribed
                } else {
                    Phase::Unsubscribed
                };
            }
        }
        if !fine {
            relay.error = Some("the relay refused a subscription".to_owned());
            relay.tried = true;
        }
    }

    /// Fetches the tags that a relay does not push, and asks again that it does. Its refusal may have
    /// been no more than an answer that was lost on a connection that stayed up.
    pub(crate) fn subscribe_again(&mut self, id: RelayId) {
        let tags = self.relays.get_mut(&id).map(|relay| &mut relay.tags);
        for sync in tags.into_iter().flat_map(|tags| tags.values_mut()) {
            sync.fruitless = 0;
            if sync.phase == Phase::Unsubscribed {
                sync.phase = Phase::Unknown;
            }
        }
    }

    pub(crate) fn received(
        &mut self,
        id: RelayId,
        tag: Tag,
        items: Vec<Filed>,
    ) -> Result<(), StoreError> {
        if self.room < Room::Low {
            // Fetched once there is room: the cursor stays.
            return Ok(());
        }
        let Some(relay) = self.relays.get_mut(&id) else {
            return Ok(());
        };
        // What was not asked for is slowed down when it is too much (A20).
        let pace = if relay.tried {
            Pace::Slowed
        } else {
            Pace::Free
        };
        let key = relay.key();
        let Some(sync) = relay.tags.get_mut(&tag) else {
            return Ok(());
        };
        let new: Vec<Filed> = items
            .into_iter()
            .filter(|item| item.cursor > sync.cursor)
            .collect();
        let Some(last) = new.iter().map(|item| item.cursor).max() else {
            return Ok(());
        };
        sync.cursor = last;
        let found = sync.found;
        self.store.put(
            QUEUE_TABLE,
            &cursor_row(&key, &tag),
            &last.as_raw().to_be_bytes(),
        );
        let envelopes = new
            .into_iter()
            .map(|item| Arrived {
                hour: item.cursor.hour(),
                sealed: item.sealed,
            })
            .collect();
        self.open_envelopes(id, tag, found, envelopes, pace)
    }

    fn cursor(&self, relay: &oplog::Digest, tag: &Tag) -> Result<Cursor, StoreError> {
        let row = self.store.get(QUEUE_TABLE, &cursor_row(relay, tag))?;
        let raw = row
            .and_then(|r| r.try_into().ok())
            .map_or(0, u64::from_be_bytes);
        Ok(Cursor::from_raw(raw))
    }

    /// Returns the days whose tags matter: from the last time we were in touch to tomorrow.
    pub(crate) fn days(&self) -> Result<(u64, u64), StoreError> {
        let today = self.now.day();
        let row = self.store.get(QUEUE_TABLE, LAST_DAY_KEY)?;
        let last = row
            .and_then(|r| r.try_into().ok())
            .map_or(today, u64::from_be_bytes);
        let from = last
            .min(today)
            .saturating_sub(1)
            .max(today.saturating_sub(RETENTION_DAYS));
        Ok((from, today + 1))
    }

    /// Notes that everything up to now was received.
    pub(crate) fn note_day(&mut self) -> Result<(), StoreError> {
        let all = self
            .relays
            .values()
            .filter(|r| r.connected)
            .all(|r| r.caught_up);
        let today = self.now.day().to_be_bytes();
        let known = self.day_noted == Some(self.now.day());
        if !known && all && self.room >= Room::Low && self.online() {
            if self.store.get(QUEUE_TABLE, LAST_DAY_KEY)?.as_deref() != Some(&today) {
                self.store.put(QUEUE_TABLE, LAST_DAY_KEY, &today);
            }
            self.day_noted = Some(self.now.day());
        }
        Ok(())
    }
}

fn cursor_row(relay: &oplog::Digest, tag: &Tag) -> Vec<u8> {
    [b"cursor/", relay.as_bytes().as_slice(), tag.as_bytes()].concat()
}
