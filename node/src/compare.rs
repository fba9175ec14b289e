//! Comparing with each relay what arrived there: what it lost or kept from us is found and made good.
//!
//! The normal way is the cursor. Beside it, after catching up and once a day, each tag is reconciled by
//! negentropy over (hour of arrival, envelope id), for the hours that are settled: nothing is on its
//! way any more, and gossip has expired. What we lack is fetched by id, and so is the envelope of an op
//! that our disk damaged: where no member has that op yet, the relay may. What the relay lacks of ops
//! that we hold is sealed again and put there, by members in turn.
//!
//! # Invariants
//! - A relay's answers change nothing but which envelopes are asked for and which ops are put again.
//! - One comparison sends a bounded number of requests, takes bounded bytes and gives bounded bytes,
//!   whatever the relay claims.
//! - When nothing differs, a tag costs one short exchange.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use mls::envelope::{Day, TagKey};
use net::neg::{Items, NegStep, Reconciler};
use net::wire::{
    ErrorCode, Filed, Hour, HourRange, IDS_MAX, RelayError, Request, Response, Sealed,
};
use oplog::store::{Store, StoreError};
use oplog::{Digest, OpId, Scope, SpaceId, Tag};
use rand_core::CryptoRng;

use crate::arrivals::{Arrivals, Arrived, WINDOW_HOURS, op_ids};
use crate::blobs::ChunkStore;
use crate::event::RelayId;
use crate::exchange::{Purpose, Relay};
use crate::flood::Pace;
use crate::identity::QUEUE_TABLE;
use crate::mend::GIVEN_WITHIN_MS;
use crate::node::Node;
use crate::room::Room;
use crate::tags::TagUse;

/// The newest hours are left to the cursor: something may be on its way, and gossip is still there.
const UNSETTLED_HOURS: u32 = 2;
/// Comparisons begin at most so often, in milliseconds: an hour, in which no more hours settle.
const EVERY_MS: u64 = 3_600_000;
/// Days of tags that are compared when the whole window was compared today already.
const LIGHT_DAYS: u64 = 2;
/// Most tags in one comparison.
const TAGS_MAX: usize = 4_096;
/// Tags compared at once.
const RUNNING_MAX: usize = 4;
/// Tags begun between two ticks: half of what a relay lets one connection ask at once, so that what
/// people write never waits for a comparison.
const BEGUN_MAX: usize = 100;
/// How often a tag is begun again when the relay says that it is too fast.
const TRIES_MAX: u8 = 3;
/// Most envelopes fetched for one tag.
const NEED_MAX: usize = 1_024;
/// Most bytes of envelopes taken in one comparison: 64 MiB.
const TAKE_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Most ops put again after one comparison.
const GIVE_OPS_MAX: usize = 2_000;
/// Who keeps losing what was put again is given no more after so many comparisons in a row.
const GIVEN_IN_VAIN_MAX: u8 = 3;

/// One comparison with one relay.
#[derive(Debug)]
pub(crate) struct Comparison {
    queue: VecDeque<Job>,
    running: BTreeMap<Tag, Running>,
    /// Envelopes seen when it began.
    seen: BTreeMap<SpaceId, Arrivals>,
    /// Envelopes seen that held what our disk damaged since.
    of_lost: EnvelopesOfLost,
    /// Envelopes that the relay lacks.
    lacked: BTreeMap<SpaceId, BTreeSet<Digest>>,
    /// Whether it takes all of the window.
    whole: bool,
    take_bytes: usize,
    /// How many tags were begun since the last tick.
    begun: usize,
    /// Nothing is sent before the next tick: it was enough, or the relay asked for patience.
    paused: bool,
}

type EnvelopesOfLost = BTreeMap<(SpaceId, Tag), Vec<Digest>>;

/// A tag to compare.
#[derive(Clone, Copy, Debug)]
struct Job {
    space: SpaceId,
    scope: Scope,
    tag: Tag,
    hours: HourRange,
    tries: u8,
}

#[derive(Debug)]
enum Running {
    /// Rounds of negentropy.
    Asking(Job, Box<Reconciler>),
    /// Envelopes that are still to be fetched.
    Fetching(Job, Vec<Digest>),
}

/// What is kept of comparisons with a relay.
#[derive(Clone, Copy, Debug, Default)]
struct Kept {
    /// The day of the last whole one.
    day: u64,
    /// When the last one began, in milliseconds.
    at: u64,
    /// In how many in a row it lacked something.
    in_vain: u8,
}

impl Relay {
    /// Whether a comparison is under way and not only waiting for the next tick.
    pub(crate) fn is_comparing(&self) -> bool {
        self.comparison
            .as_ref()
            .is_some_and(|c| !c.paused || !c.running.is_empty())
    }
}

impl<S: Store, C: ChunkStore, R: CryptoRng> Node<S, C, R> {
    /// After catching up, and at every tick: begins a comparison if one is due.
    pub(crate) fn consider_comparing(&mut self, id: RelayId) -> Result<(), StoreError> {
        if self.room < Room::Low {
            return Ok(());
        }
        let Some(relay) = self
            .relays
            .get_mut(&id)
            .filter(|r| r.connected && r.caught_up)
        else {
            return Ok(());
        };
        if let Some(comparison) = &mut relay.comparison {
            comparison.paused = false;
            comparison.begun = 0;
            return self.advance_comparison(id);
        }
        let key = relay.key();
        let mut kept = self.kept(&key)?;
        if self.now.as_ms().saturating_sub(kept.at) < EVERY_MS && !self.lost_unasked(kept.at) {
            return Ok(());
        }
        let today = self.now.day();
        let whole = kept.day < today;
        kept.at = self.now.as_ms();
        self.keep(&key, kept);
        let mut comparison = Comparison {
            queue: VecDeque::new(),
            running: BTreeMap::new(),
            seen: BTreeMap::new(),
            of_lost: EnvelopesOfLost::new(),
            lacked: BTreeMap::new(),
            whole,
            take_bytes: TAKE_BYTES_MAX,
            begun: 0,
            paused: false,
        };
        let spaces: Vec<SpaceId> = self.spaces.keys().copied().collect();
        for space in spaces {
            if whole {
                self.expire_arrivals(&space)?;
            }
            let mut hours = self.settled_hours(&space)?;
            let of_lost = self.envelopes_of_lost(&space)?;
            let Some(s) = self.spaces.get(&space) else {
                continue;
            };
            let unsettled = hours.from > hours.to;
            if !s.in_group(&self.me.device_id()) || (unsettled && of_lost.is_empty()) {
                continue;
            }
            if unsettled {
                // In a Space that young nothing is compared; what is lost is fetched all the same.
                hours = HourRange {
                    from: Hour::from_raw(0),
                    to: Hour::from_raw(0),
                };
            }
            let first = day_of(hours.from).saturating_sub(1);
            let first = if whole && !unsettled {
                first
            } else {
                first.max(today.saturating_sub(LIGHT_DAYS))
            };
            for scope in s.scopes_heard() {
                for generation in &s.generations {
                    for day in first..=today {
                        let day = Day::from_number(day);
                        let tag = TagKey::derive(&generation.topic, &scope, day).tag();
                        comparison.queue.push_back(Job {
                            space,
                            scope,
                            tag,
                            hours,
                            tries: 0,
                        });
                    }
                }
            }
            let seen = self.arrivals(&space)?;
            comparison.seen.insert(space, seen);
            comparison.of_lost.extend(of_lost);
        }
        comparison.queue.truncate(TAGS_MAX);
        if let Some(relay) = self
            .relays
            .get_mut(&id)
            .filter(|_| !comparison.queue.is_empty())
        {
            relay.comparison = Some(comparison);
        }
        self.advance_comparison(id)
    }

    /// Whether an op was damaged since, and members have not given it in the time that they had: then
    /// relays are asked at once.
    fn lost_unasked(&self, compared_at: u64) -> bool {
        let lost = self.spaces.values().filter_map(|s| s.repair.lost_since());
        let mut unasked = lost.filter(|since| *since > compared_at);
        unasked.any(|since| self.now.as_ms().saturating_sub(since) >= GIVEN_WITHIN_MS)
    }

    /// The envelopes that held what our disk damaged, by tag.
    fn envelopes_of_lost(&self, space: &SpaceId) -> Result<EnvelopesOfLost, StoreError> {
        let mut envelopes = EnvelopesOfLost::new();
        let lost = self.spaces.get(space).map(|s| s.log.lost());
        if let Some(lost) = lost.filter(|lost| !lost.is_empty()) {
            self.each_arrival(space, &mut |tag, id, _, ops| {
                if op_ids(ops).any(|op| lost.contains_key(&op)) {
                    envelopes.entry((*space, tag)).or_default().push(id);
                }
            })?;
        }
        Ok(envelopes)
    }

    /// The hours that are compared for a Space.
    fn settled_hours(&mut self, space: &SpaceId) -> Result<HourRange, StoreError> {
        let now = Hour::of(self.now).as_raw();
        let from = self.arrivals_from(space)?.as_raw();
        Ok(HourRange {
            from: Hour::from_raw(from.max(now.saturating_sub(WINDOW_HOURS))),
            to: Hour::from_raw(now.saturating_sub(UNSETTLED_HOURS)),
        })
    }

    /// Begins with the next tags, and ends the comparison after the last.
    fn advance_comparison(&mut self, id: RelayId) -> Result<(), StoreError> {
        loop {
            let Some(comparison) = self.relays.get_mut(&id).and_then(|r| r.comparison.as_mut())
            else {
                return Ok(());
            };
            if comparison.begun >= BEGUN_MAX && !comparison.queue.is_empty() {
                comparison.paused = true;
            }
            if comparison.paused || comparison.running.len() >= RUNNING_MAX {
                return Ok(());
            }
            comparison.begun += 1;
            let Some(job) = comparison.queue.pop_front() else {
                if comparison.running.is_empty() {
                    return self.compared(id);
                }
                return Ok(());
            };
            let seen = comparison
                .seen
                .get(&job.space)
                .and_then(|seen| seen.get(&job.tag));
            let items = seen
                .into_iter()
                .flatten()
                .filter(|(_, hour)| (job.hours.from..=job.hours.to).contains(hour))
                .map(|(id, hour)| (u64::from(hour.as_raw()), *id));
            let begun = Items::new(items).and_then(Reconciler::start);
            // More than can be compared at once: the cursor must do for this tag.
            let Ok((reconciler, frame)) = begun else {
                continue;
            };
            let running = Running::Asking(job, Box::new(reconciler));
            comparison.running.insert(job.tag, running);
            self.ask_to_compare(id, &job, frame);
        }
    }

    fn ask_to_compare(&mut self, id: RelayId, job: &Job, frame: Vec<u8>) {
        let request = Request::Neg {
            tag: job.tag,
            hours: job.hours,
            frame: Sealed::new(frame),
        };
        self.request(id, Purpose::Compare(job.tag), request);
    }

    /// Takes a round's answer.
    pub(crate) fn compare_answered(
        &mut self,
        id: RelayId,
        tag: &Tag,
        result: Result<Response, RelayError>,
    ) -> Result<(), StoreError> {
        let Some(comparison) = self.relays.get_mut(&id).and_then(|r| r.comparison.as_mut()) else {
            return Ok(());
        };
        let Some(Running::Asking(mut job, mut reconciler)) = comparison.running.remove(tag) else {
            return Ok(());
        };
        match result {
            Ok(Response::Neg { frame }) => match reconciler.step(frame.as_bytes()) {
                Ok(NegStep::Send(frame)) => {
                    let running = Running::Asking(job, reconciler);
                    comparison.running.insert(*tag, running);
                    self.ask_to_compare(id, &job, frame);
                }
                Ok(NegStep::Done { have, need }) => self.differs(id, job, &have, &need)?,
                Err(error) => tracing::debug!(%error, "a relay's comparison makes no sense"),
            },
            Err(RelayError {
                code: ErrorCode::RateLimited,
                ..
            }) if job.tries < TRIES_MAX => {
                job.tries += 1;
                comparison.queue.push_front(job);
                comparison.paused = true;
            }
            // Other answers and refusals leave this tag to the cursor.
            Ok(_) | Err(_) => {}
        }
        self.advance_comparison(id)
    }

    /// Both sides of a tag are known: fetches what we lack, notes what the relay lacks.
    fn differs(
        &mut self,
        id: RelayId,
        job: Job,
        have: &[Digest],
        need: &[Digest],
    ) -> Result<(), StoreError> {
        // The same envelope may lie in two hours at two relays: then it is in both lists.
        let lacked: Vec<Digest> = have
            .iter()
            .filter(|id| need.binary_search(id).is_err())
            .copied()
            .collect();
        let comparison = self.relays.get_mut(&id).and_then(|r| r.comparison.as_mut());
        let lost = comparison.and_then(|c| c.of_lost.remove(&(job.space, job.tag)));
        let mut fetch = lost.unwrap_or_default();
        fetch.retain(|id| !lacked.contains(id));
        fetch.truncate(NEED_MAX);
        for id in need {
            if fetch.len() >= NEED_MAX {
                break;
            }
            // It may have come meanwhile, or lie in an hour that was not compared.
            if self.arrival(&job.space, &job.tag, id)?.is_none() {
                fetch.push(*id);
            }
        }
        let Some(comparison) = self.relays.get_mut(&id).and_then(|r| r.comparison.as_mut()) else {
            return Ok(());
        };
        comparison
            .lacked
            .entry(job.space)
            .or_default()
            .extend(lacked);
        self.fetch_lacking(id, job, fetch);
        Ok(())
    }

    fn fetch_lacking(&mut self, id: RelayId, job: Job, mut ids: Vec<Digest>) {
        if ids.is_empty() {
            return;
        }
        let Some(comparison) = self.relays.get_mut(&id).and_then(|r| r.comparison.as_mut()) else {
            return;
        };
        let rest = ids.split_off(ids.len().min(IDS_MAX));
        let all = [ids.as_slice(), &rest].concat();
        comparison
            .running
            .insert(job.tag, Running::Fetching(job, all));
        let request = Request::FetchIds { tag: job.tag, ids };
        self.request(id, Purpose::FetchIds(job.tag), request);
    }

    /// Takes envelopes that were asked for by id.
    pub(crate) fn ids_fetched(
        &mut self,
        id: RelayId,
        tag: &Tag,
        result: Result<Response, RelayError>,
    ) -> Result<(), StoreError> {
        let Some(comparison) = self.relays.get_mut(&id).and_then(|r| r.comparison.as_mut()) else {
            return Ok(());
        };
        let Some(Running::Fetching(job, mut wanted)) = comparison.running.remove(tag) else {
            return Ok(());
        };
        if let Ok(Response::Page { items, .. }) = result {
            let mut taken = Vec::new();
            for Filed { cursor, sealed } in items {
                let envelope = sealed.id();
                let at = wanted.iter().position(|id| *id == envelope);
                // What was not asked for is not looked at.
                let Some(at) = at.filter(|_| sealed.len() <= comparison.take_bytes) else {
                    continue;
                };
                wanted.swap_remove(at);
                comparison.take_bytes -= sealed.len();
                taken.push(Arrived {
                    hour: cursor.hour(),
                    sealed,
                });
            }
            let progressed = !taken.is_empty();
            let found = TagUse::Scope(job.space, job.scope);
            self.open_envelopes(id, job.tag, found, taken, Pace::Free)?;
            // It claims to have them and does not give them: enough.
            if progressed {
                self.fetch_lacking(id, job, wanted);
            }
        }
        self.advance_comparison(id)
    }

    /// The last tag is through: what the relay lacks altogether is owed to it.
    fn compared(&mut self, id: RelayId) -> Result<(), StoreError> {
        let Some(relay) = self.relays.get_mut(&id) else {
            return Ok(());
        };
        let (key, Some(comparison)) = (relay.key(), relay.comparison.take()) else {
            return Ok(());
        };
        let mut count = 0;
        let mut kept = self.kept(&key)?;
        if comparison.whole {
            kept.day = self.now.day();
        }
        for (space, lacked) in comparison.lacked {
            let ops = self.lacked_ops(&space, &lacked)?;
            count += ops.len();
            if kept.in_vain < GIVEN_IN_VAIN_MAX {
                self.owe_relay(id, &space, ops);
            }
        }
        let lacked_before = kept.in_vain > 0;
        kept.in_vain = if count == 0 {
            0
        } else {
            kept.in_vain.saturating_add(1).min(GIVEN_IN_VAIN_MAX)
        };
        self.keep(&key, kept);
        if let Some(relay) = self
            .relays
            .get_mut(&id)
            .filter(|_| count > 0 || lacked_before)
        {
            relay.error = (count > 0).then(|| format!("it has lost or withholds {count} ops"));
        }
        Ok(())
    }

    /// Returns the ops of envelopes that a relay lacks, without those it has in other envelopes.
    fn lacked_ops(
        &self,
        space: &SpaceId,
        lacked: &BTreeSet<Digest>,
    ) -> Result<BTreeSet<OpId>, StoreError> {
        let mut ops = BTreeSet::new();
        if lacked.is_empty() {
            return Ok(ops);
        }
        self.each_arrival(space, &mut |_, id, _, inside| {
            if lacked.contains(&id) {
                ops.extend(op_ids(inside));
            }
        })?;
        self.each_arrival(space, &mut |_, id, _, inside| {
            if !lacked.contains(&id) {
                for op in op_ids(inside) {
                    ops.remove(&op);
                }
            }
        })?;
        let mut held = BTreeSet::new();
        for op in ops {
            if held.len() < GIVE_OPS_MAX && self.has_op(space, &op)? {
                held.insert(op);
            }
        }
        Ok(held)
    }

    fn kept(&self, relay: &Digest) -> Result<Kept, StoreError> {
        let row = self.store.get(QUEUE_TABLE, &kept_row(relay))?;
        let read = |row: &[u8]| {
            let (day, rest) = row.split_first_chunk::<8>()?;
            let (at, rest) = rest.split_first_chunk::<8>()?;
            Some(Kept {
                day: u64::from_be_bytes(*day),
                at: u64::from_be_bytes(*at),
                in_vain: *rest.first()?,
            })
        };
        Ok(row.as_deref().and_then(read).unwrap_or_default())
    }

    fn keep(&mut self, relay: &Digest, kept: Kept) {
        let value = [
            kept.day.to_be_bytes().as_slice(),
            &kept.at.to_be_bytes(),
            &[kept.in_vain],
        ]
        .concat();
        self.store.put(QUEUE_TABLE, &kept_row(relay), &value);
    }
}

fn kept_row(relay: &Digest) -> Vec<u8> {
    [b"compared/".as_slice(), relay.as_bytes()].concat()
}

const fn day_of(hour: Hour) -> u64 {
    hour.as_raw() as u64 / 24
}
