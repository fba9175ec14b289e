//! What the relay remembers of one connection, all of it bounded.

use std::collections::{BTreeMap, BTreeSet};

use net::wire::{Challenge, Push};
use oplog::Timestamp;

use crate::bucket::Bucket;
use crate::limits::Limits;
use crate::store::Shelf;

/// A connection, named by the driver. Names are not reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ConnId(pub u64);

/// One push on its way; the driver says how it ended with [`crate::RelayCore::push_done`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PushId(pub u64);

#[derive(Debug)]
pub(crate) struct Conn {
    pub(crate) challenge: Challenge,
    pub(crate) requests: Bucket,
    pub(crate) uploads: Bucket,
    pub(crate) new_mailboxes: Bucket,
    /// Subscriptions, at most `subscriptions_max` tags and `mailbox_subscriptions_max` mailboxes.
    pub(crate) shelves: BTreeSet<Shelf>,
    /// Pushes not yet acked, at most `outbound_pushes_max`.
    in_flight: BTreeMap<PushId, (Shelf, usize)>,
    in_flight_bytes: usize,
    /// Subscribed shelves with something that was not pushed and not yet announced.
    behind: BTreeSet<Shelf>,
}

impl Conn {
    pub(crate) const fn new(challenge: Challenge, limits: &Limits, now: Timestamp) -> Self {
        Self {
            challenge,
            requests: Bucket::full(limits.requests, now),
            uploads: Bucket::full(limits.upload_bytes, now),
            new_mailboxes: Bucket::full(limits.new_mailboxes, now),
            shelves: BTreeSet::new(),
            in_flight: BTreeMap::new(),
            in_flight_bytes: 0,
            behind: BTreeSet::new(),
        }
    }

    /// Returns how many subscriptions of the shelf's sort there are.
    pub(crate) fn subscriptions_like(&self, shelf: &Shelf) -> usize {
        let same = |other: &&Shelf| {
            core::mem::discriminant::<Shelf>(*other) == core::mem::discriminant(shelf)
        };
        self.shelves.iter().filter(same).count()
    }

    /// Returns how many more sealed bytes may be pushed; 0 also when the pushes are used up.
    pub(crate) fn room(&self, limits: &Limits) -> usize {
        if self.in_flight.len() >= limits.outbound_pushes_max {
            return 0;
        }
        limits
            .outbound_bytes_max
            .saturating_sub(self.in_flight_bytes)
    }

    /// Notes a push that goes out.
    pub(crate) fn sent(&mut self, id: PushId, shelf: Shelf, push: &Push) {
        let bytes = push.sealed_len();
        self.in_flight_bytes += bytes;
        self.in_flight.insert(id, (shelf, bytes));
    }

    /// Notes that a push could not go out.
    pub(crate) fn fell_behind(&mut self, shelf: Shelf) {
        if self.shelves.contains(&shelf) {
            self.behind.insert(shelf);
        }
    }

    /// Notes that a push was acked or lost.
    pub(crate) fn finished(&mut self, id: PushId, acked: bool) {
        if let Some((shelf, bytes)) = self.in_flight.remove(&id) {
            self.in_flight_bytes -= bytes;
            if !acked {
                self.fell_behind(shelf);
            }
        }
    }

    /// Takes one shelf to announce as behind, once at least half of the room is free again:
    /// the client then fetches without new pushes crowding in between.
    pub(crate) fn next_behind(&mut self, limits: &Limits) -> Option<Shelf> {
        let drained = self.in_flight_bytes <= limits.outbound_bytes_max / 2
            && self.in_flight.len() <= limits.outbound_pushes_max / 2;
        if drained {
            self.behind.pop_first()
        } else {
            None
        }
    }

    pub(crate) fn unsubscribe(&mut self, shelf: &Shelf) {
        self.shelves.remove(shelf);
        self.behind.remove(shelf);
    }
}
