//! When a relay lost something, or a newcomer was not there: members give each other what is missing.
//!
//! After catching up, a node tells in each Space which heads it has, and asks for ops
//! that others name and it lacks. Whoever has them sends them again, sealed for the group
//! as it is now; the op stays the same op. To keep answers few, members wait their turn in
//! an order drawn by hash, and stay silent when somebody was faster.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use minicbor::bytes::ByteVec;
use oplog::authority::Authority as _;
use oplog::mutants::{Mutant, on};
use oplog::store::{Direction, Store, StoreError, prefix_end};
use oplog::tuning::{Knob, tuned};
use oplog::{DeviceId, Digest, EpochId, Lane, OpId, Scope, SpaceId, UserId, codec};
use rand_core::CryptoRng;

use crate::blobs::ChunkStore;
use crate::event::{RelayId, Timer};
use crate::heads::{LaneEnds, by_lane, is_told, told};
use crate::identity::QUEUE_TABLE;
use crate::message::{Gossip, Have, Sealed, WANT_IDS_MAX};
use crate::node::Node;
use crate::space::Space;

/// How long a node waits for a missing op before it asks, in milliseconds: relays deliver out of order.
const WANT_AFTER_MS: u64 = 1_500;
/// How long after something new its heads are told, in milliseconds.
const HAVE_AFTER_MS: u64 = 2_000;
/// Heads are told at most this often for each device in the group, in milliseconds: the whole
/// group together tells about two a second, however large it is.
const HAVE_EVERY_MS: u64 = 400;
/// While people go on talking, heads are told half as often each time, down to this, in milliseconds:
/// who writes shows by that what they have seen, and every message wakes every phone.
const HAVE_EVERY_MS_MAX: u64 = 120_000;
/// Envelopes of gossip remembered: more than come while the slower relays bring the same ones.
const GOSSIP_SEEN_MAX: usize = 64;
/// What is still missing is asked for again after this time, in milliseconds, then after twice as
/// long, and so on: whoever has it may not have been there, or a relay lost the question.
const AGAIN_MS_MIN: u64 = 60_000;
/// The longest time between, in milliseconds.
const AGAIN_MS_MAX: u64 = 3_600_000;
/// One place further back in the order of answering, in milliseconds.
const TURN_MS: u64 = 700;
/// How long relays keep what members tell each other here, in seconds: it is of use to those who are
/// online, and whoever comes back tells and hears anew. Shorter than the hours that are compared.
pub(crate) const GOSSIP_TTL_SECS: u32 = 3_600;
/// Most ops put again at one relay in one turn.
const GIVE_RELAY_MAX: usize = 256;
/// Most ops given to one asker at once.
const GIVE_MAX: usize = 2_000;

/// What is being mended in one Space.
#[derive(Debug, Default)]
pub(crate) struct Repair {
    /// Ops that somebody lacks and we have, until somebody else gave them.
    owed: BTreeSet<OpId>,
    /// Control ops that somebody lacks whose newest keys may be those of another epoch.
    owed_behind: BTreeMap<EpochId, BTreeSet<OpId>>,
    /// What devices lack of their own removal, and the epoch whose keys they asked under.
    owed_removed: BTreeMap<DeviceId, (EpochId, BTreeSet<OpId>)>,
    /// Ops that wait here and that their own device has lost, until somebody gave them.
    owed_aside: BTreeMap<DeviceId, BTreeSet<OpId>>,
    /// Ops that one relay lacks, until they arrive there.
    owed_to: BTreeMap<RelayId, BTreeSet<OpId>>,
    /// When and what each device last told of its heads.
    heard: BTreeMap<DeviceId, Heard>,
    said_have_at: u64,
    /// How long to keep silent after that, in milliseconds.
    have_every_ms: u64,
    /// Envelopes of gossip that were taken: another relay brings them too.
    gossip_seen: VecDeque<Digest>,
    /// When heads will be told, in milliseconds.
    have_due: Option<u64>,
    /// When what is missing was last asked for, in milliseconds; never since the start.
    pub(crate) said_want_at: Option<u64>,
    /// What was asked for then. It is not asked for at once again because what waits for it comes again.
    wanted: Vec<OpId>,
    /// After which op that began.
    wanted_after: Option<OpId>,
    /// Since when an op that was here is lost, in milliseconds, as far as noticed since the start.
    lost_since: Option<u64>,
    /// When heads without it were first told, in milliseconds.
    told_loss_at: Option<u64>,
    /// When gaps will be asked about, in milliseconds.
    want_due: Option<u64>,
    /// The place in the order of answering about the op and in the epoch asked for last: whoever lacks
    /// something tells so again and again.
    place: Option<(OpId, EpochId, u64)>,
    /// Somebody told of more than we hold.
    behind: bool,
    /// When to ask again, in milliseconds, and how long to wait after that.
    again_at: u64,
    again_ms: u64,
}

/// What a device last told that mattered.
#[derive(Clone, Copy, Debug)]
struct Heard {
    /// When, in milliseconds.
    at: u64,
    /// If it had more than we.
    between: Option<Between>,
    /// Since when it has told, since something was lost here, that it has no more than we, in
    /// milliseconds.
    lacks_since: Option<u64>,
}

/// What a device told, and what we held then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Between {
    theirs: Digest,
    ours: Digest,
}

impl Repair {
    /// Somebody sent this op: nobody else needs to.
    pub(crate) fn given(&mut self, op: &OpId) {
        self.owed.remove(op);
        for owed in self.owed_aside.values_mut() {
            owed.remove(op);
        }
    }

    /// Returns whether this envelope of gossip was taken already.
    pub(crate) fn knows_gossip(&self, envelope: &Digest) -> bool {
        self.gossip_seen.contains(envelope)
    }

    /// Notes that an envelope of gossip is taken.
    pub(crate) fn note_gossip(&mut self, envelope: Digest) {
        if self.gossip_seen.len() == GOSSIP_SEEN_MAX {
            self.gossip_seen.pop_front();
        }
        self.gossip_seen.push_back(envelope);
    }

    /// Heads are told now: the longer people go on, the longer until the next time.
    fn said_have(&mut self, now: u64, least_ms: u64) {
        let since = now.saturating_sub(self.said_have_at);
        let rested = since > self.have_every_ms.max(least_ms).saturating_mul(2);
        self.have_every_ms = match (self.said_have_at, rested) {
            // Somebody needed them at once.
            (0, _) => self.have_every_ms.max(least_ms),
            (_, true) => least_ms,
            (_, false) => (self.have_every_ms * 2).clamp(least_ms, HAVE_EVERY_MS_MAX.max(least_ms)),
        };
        self.said_have_at = now;
        if self.lost_since.is_some() {
            self.told_loss_at.get_or_insert(now);
        }
    }

    /// A relay is there (again), with others behind it: what is missing is asked for at once.
    pub(crate) fn caught_up(&mut self) {
        self.wanted.clear();
    }

    /// Whether anybody told of their heads since the start.
    pub(crate) fn heard_anybody(&self) -> bool {
        !self.heard.is_empty()
    }

    /// When somebody last told of their heads, in milliseconds.
    pub(crate) fn last_heard(&self) -> Option<u64> {
        self.heard.values().map(|heard| heard.at).max()
    }

    /// At every tick: whether an op that was here is lost.
    pub(crate) fn note_lost(&mut self, any: bool, now: u64) {
        self.lost_since = any.then(|| self.lost_since.unwrap_or(now));
        if !any {
            self.told_loss_at = None;
        }
    }

    /// Since when an op that was here is lost, in milliseconds.
    pub(crate) const fn lost_since(&self) -> Option<u64> {
        self.lost_since
    }

    /// Whether each of these devices told of its heads since something was lost here, none had more than
    /// we, and each had `time` milliseconds to give what it has and does not tell of: what waits there.
    pub(crate) fn nobody_has_lost(
        &self,
        mut devices: impl Iterator<Item = DeviceId>,
        now: u64,
        time: u64,
    ) -> bool {
        let had_time = |since: Option<u64>| since.is_some_and(|at| now.saturating_sub(at) >= time);
        self.lost_since.is_some()
            && had_time(self.told_loss_at)
            && devices.all(|device| {
                let heard = self.heard.get(&device);
                heard.is_some_and(|heard| had_time(heard.lacks_since))
            })
    }

    /// When heads were last told, in milliseconds, 0 when not since the start.
    pub(crate) const fn said_have_at(&self) -> u64 {
        self.said_have_at
    }

    /// Something new is here: what is missing still may come soon.
    pub(crate) fn progressed(&mut self, now: u64) {
        self.again_ms = again_ms_min();
        self.again_at = now.saturating_add(self.again_ms);
    }

    /// These ops arrived at this relay.
    pub(crate) fn given_at(&mut self, relay: RelayId, ops: &[OpId]) {
        if let Some(owed) = self.owed_to.get_mut(&relay) {
            for op in ops {
                owed.remove(op);
            }
        }
    }
}

impl<S: Store, C: ChunkStore, R: CryptoRng> Node<S, C, R> {
    /// After catching up, and after something new: our heads are worth telling, gaps worth asking about.
    pub(crate) fn consider_repair(&mut self, space: &SpaceId) {
        let now = self.now.as_ms();
        let Some(s) = self.spaces.get_mut(space) else {
            return;
        };
        let missing = !s.log.holdback().is_empty() || !s.log.lost().is_empty();
        // What was due before now and was not done has lost its timer, with what failed or ended.
        let ask = missing && s.repair.want_due.is_none_or(|due| due < now);
        let every = have_every_least(s).max(s.repair.have_every_ms);
        let soonest = (s.repair.said_have_at.saturating_add(every)).saturating_sub(now);
        let wait = tuned(Knob::HaveAfter, HAVE_AFTER_MS).max(soonest);
        let want_after = tuned(Knob::WantAfter, WANT_AFTER_MS);
        // What is due later may be needed sooner.
        let due = s.repair.have_due.filter(|due| *due >= now);
        let say = due.is_none_or(|due| now + wait < due);
        if say {
            s.repair.have_due = Some(now + wait);
        }
        if ask {
            s.repair.want_due = Some(now + want_after);
        }
        if say {
            self.set_timer(Timer::Have(*space), wait);
        }
        if ask {
            self.set_timer(Timer::Want(*space), want_after);
        }
    }

    pub(crate) fn say_have(&mut self, space: &SpaceId) -> Result<(), StoreError> {
        let now = self.now.as_ms();
        let Some(s) = self.spaces.get_mut(space) else {
            return Ok(());
        };
        s.repair.have_due = None;
        if !self.online() {
            return Ok(());
        }
        // None at all is worth telling too: then everything was damaged.
        let ends = self.own_ends(space)?;
        let mut lanes = told(&ends);
        if on(Mutant::HaveLies) {
            lanes.iter_mut().for_each(|lane| lane.seq += 100);
        }
        let have = Have::signed(space, lanes, &self.me.device);
        if let Some(s) = self.spaces.get_mut(space) {
            let least = have_every_least(s);
            s.repair.said_have(now, least);
        }
        self.gossip(space, &Gossip::Have(have))
    }

    pub(crate) fn say_want(&mut self, space: &SpaceId) -> Result<(), StoreError> {
        let Some(s) = self.spaces.get_mut(space) else {
            return Ok(());
        };
        s.repair.want_due = None;
        let now = self.now.as_ms();
        // A clock that was set back makes nothing recent.
        let since = s.repair.said_want_at.and_then(|at| now.checked_sub(at));
        let lately = since.is_some_and(|since| since < again_ms_min());
        // Where more is missing than one message names, the next one names what follows.
        let after = match s.repair.wanted.last() {
            Some(last) if !lately => *last,
            _ => s.repair.wanted_after.unwrap_or(OpId::ZERO),
        };
        let mut missing = s.log.missing_after(&after, WANT_IDS_MAX);
        let same = lately && s.repair.wanted == missing;
        if missing.is_empty() || same || !self.online() {
            return Ok(());
        }
        if let Some(s) = self.spaces.get_mut(space) {
            s.repair.said_want_at = Some(now);
            s.repair.wanted.clone_from(&missing);
            s.repair.wanted_after = Some(after);
        }
        missing.sort_unstable();
        self.gossip(space, &Gossip::Want(missing))
    }

    fn gossip(&mut self, space: &SpaceId, message: &Gossip) -> Result<(), StoreError> {
        let sealed = Sealed::Gossip(ByteVec::from(codec::encode(message)));
        if let Some(put) = self.seal_for(space, Scope::Control, &sealed)? {
            self.publish(&put);
        }
        Ok(())
    }

    /// Takes gossip that lay under the keys of this epoch.
    pub(crate) fn heard(
        &mut self,
        space: &SpaceId,
        under: &EpochId,
        bytes: &[u8],
    ) -> Result<(), StoreError> {
        // Malformed gossip is a member's fault and costs nothing but itself.
        let Ok(message) = Gossip::decode(bytes) else {
            return Ok(());
        };
        match message {
            Gossip::Want(ids) => {
                let mut have = Vec::new();
                for id in ids {
                    if self.has_op(space, &id)? {
                        have.push(id);
                    }
                }
                self.owe(space, under, have);
                Ok(())
            }
            Gossip::Have(have) => self.heard_have(space, under, &have),
        }
    }

    fn heard_have(
        &mut self,
        space: &SpaceId,
        under: &EpochId,
        have: &Have,
    ) -> Result<(), StoreError> {
        let Some(s) = self.spaces.get(space) else {
            return Ok(());
        };
        let Some(user) = s.device_user(&have.device) else {
            return Ok(());
        };
        if have.device == self.me.device_id() {
            return Ok(());
        }
        let now = self.now.as_ms();
        let last = s.repair.heard.get(&have.device).copied();
        let silent = u64::from(GOSSIP_TTL_SECS) * 1_000;
        let returns = last.is_none_or(|last| now.saturating_sub(last.at) > silent);
        let own = self.me.device_id();
        let mut highest = BTreeMap::<Lane, u64>::new();
        for head in have.lanes.iter().filter(|head| head.device == own) {
            let seq = highest.entry(head.lane()).or_default();
            *seq = head.seq.max(*seq);
        }
        let seen = self.newly_seen(space, &user, &highest)?;
        let ours = self.own_ends(space)?;
        let mut behind = false;
        let mut owed = Vec::new();
        // Whoever tells what we would tell lacks nothing and has nothing for us.
        let differs = !is_told(&ours, &have.lanes);
        let theirs = if differs {
            by_lane(&have.lanes)
        } else {
            LaneEnds::new()
        };
        for (lane, theirs) in &theirs {
            let ours = ours.get(lane).map_or(&[][..], Vec::as_slice);
            behind = behind || s.lacks_of(&self.store, lane, ours, theirs)?;
        }
        for (lane, ours) in ours.iter().filter(|_| differs) {
            let theirs = theirs.get(lane).map_or(&[][..], Vec::as_slice);
            let room = GIVE_MAX - owed.len();
            owed.extend(s.to_give(&self.store, lane, ours, theirs, room)?);
        }
        // Most heads tell nothing new: then nothing follows from them, whoever signed. Unless we have lost
        // something: then it matters that they do not have it either.
        // What waits here is told of to nobody; who wrote it needs it, or would write in its place (B11).
        let aside = s.lost_by(&have.device, &have.lanes);
        let caught_up = !behind && last.is_some_and(|last| last.between.is_some());
        let lacks_too = s.repair.lost_since.is_some();
        let tells =
            returns || behind || caught_up || lacks_too || !owed.is_empty() || !seen.is_empty();
        let tells = tells || !aside.is_empty();
        if !tells || !have.is_signed(space) {
            return Ok(());
        }
        for (key, seq) in seen {
            self.store.put(QUEUE_TABLE, &key, &seq.to_be_bytes());
        }
        let heard = Heard {
            at: now,
            between: behind.then(|| Between {
                theirs: Have::lanes_digest(&have.lanes),
                ours: Have::lanes_digest(&told(&ours)),
            }),
            lacks_since: s.repair.lost_since.filter(|_| !behind).map(|lost| {
                let before = last.and_then(|last| last.lacks_since);
                before.filter(|since| *since >= lost).unwrap_or(now)
            }),
        };
        let out = self.spaces.get(space).map(|s| s.why_out(&user));
        if let Some(out) = out.filter(|out| !out.is_empty()) {
            self.owe_removed(space, under, have.device, &out, owed);
            return Ok(());
        }
        let Some(s) = self.spaces.get_mut(space) else {
            return Ok(());
        };
        s.repair.heard.insert(have.device, heard);
        s.repair.behind &= s.repair.heard.values().any(|heard| heard.between.is_some());
        if returns {
            // Whoever comes back finds no heads of ours at the relays: tell them.
            self.consider_repair(space);
        }
        // They have more than we do: telling our heads makes them give. Once for what both hold now:
        // if it does not help, saying it again at once would not either, and it would go on for ever.
        let same = last.is_some_and(|last| last.between == heard.between);
        if behind
            && !same
            && let Some(s) = self.spaces.get_mut(space)
        {
            s.repair.behind = true;
            s.repair.said_have_at = 0;
            s.repair.progressed(now);
            self.consider_repair(space);
        }
        if !aside.is_empty() && !on(Mutant::GivesNothing) {
            let turn = self.turn(space, aside.first());
            if let Some(s) = self.spaces.get_mut(space) {
                s.repair.owed_aside.insert(have.device, aside);
                self.set_timer(Timer::Give(*space), turn);
            }
        }
        self.consider_letter_again(space, &owed);
        self.owe(space, under, owed);
        Ok(())
    }

    /// At every tick: what is still missing is asked for again, ever more rarely.
    pub(crate) fn ask_for_missing_again(&mut self, space: &SpaceId) {
        let now = self.now.as_ms();
        let online = self.online();
        let Some(s) = self.spaces.get_mut(space).filter(|_| online) else {
            return;
        };
        let missing = !s.log.missing(1).is_empty();
        let repair = &mut s.repair;
        if !(missing || repair.behind) || now < repair.again_at {
            return;
        }
        repair.again_ms = (repair.again_ms * 2).clamp(again_ms_min(), AGAIN_MS_MAX);
        repair.again_at = now.saturating_add(repair.again_ms);
        // Whoever told of more tells it again some day, if it is still so.
        repair.behind &= repair.again_ms < AGAIN_MS_MAX;
        repair.said_have_at = 0;
        self.consider_repair(space);
    }

    fn owe(&mut self, space: &SpaceId, under: &EpochId, ops: Vec<OpId>) {
        if ops.is_empty() || on(Mutant::GivesNothing) {
            return;
        }
        let turn = self.turn(space, ops.first());
        if let Some(s) = self.spaces.get_mut(space) {
            if *under != s.tip {
                let control = ops.iter().filter(|op| s.log.dag().node(op).is_some());
                let behind = s.repair.owed_behind.entry(*under).or_default();
                behind.extend(control);
            }
            s.repair.owed.extend(ops);
            self.set_timer(Timer::Give(*space), turn);
        }
    }

    /// Somebody who was removed goes on asking: they have not heard of it, and are owed what led there.
    /// Until their removal they were a member, and could have read it all.
    fn owe_removed(
        &mut self,
        space: &SpaceId,
        under: &EpochId,
        device: DeviceId,
        out: &BTreeSet<OpId>,
        ops: Vec<OpId>,
    ) {
        let turn = self.turn(space, out.first());
        let Some(s) = self.spaces.get_mut(space) else {
            return;
        };
        let ops: BTreeSet<OpId> = ops.into_iter().filter(|op| s.led_to(op, out)).collect();
        if !ops.is_disjoint(out) {
            s.repair.owed_removed.insert(device, (*under, ops));
            self.set_timer(Timer::Give(*space), turn);
        }
    }

    /// How long until it is our turn to answer about these ops, in milliseconds.
    fn turn(&mut self, space: &SpaceId, first: Option<&OpId>) -> u64 {
        let (device, first) = (self.me.device_id(), *first.unwrap_or(&OpId::ZERO));
        let Some(s) = self.spaces.get_mut(space) else {
            return 0;
        };
        let known = s.repair.place;
        let known = known.filter(|(op, epoch, _)| *op == first && *epoch == s.tip);
        let place = match known {
            Some((_, _, place)) => place,
            None => s.place_about(&first, &device),
        };
        // Where damage took the epoch's record, who was in it is not known for good.
        let certain = s.authority.epoch(&s.tip).is_some();
        s.repair.place = certain.then_some((first, s.tip, place));
        place * tuned(Knob::GiveTurn, TURN_MS)
    }

    pub(crate) fn give_now(&mut self, space: &SpaceId) -> Result<(), StoreError> {
        let Some(s) = self.spaces.get_mut(space) else {
            return Ok(());
        };
        let owed = std::mem::take(&mut s.repair.owed);
        let owed_to = std::mem::take(&mut s.repair.owed_to);
        let owed_behind = std::mem::take(&mut s.repair.owed_behind);
        let owed_removed = std::mem::take(&mut s.repair.owed_removed);
        let owed_aside = std::mem::take(&mut s.repair.owed_aside);
        if !owed.is_empty() && self.online() {
            for put in self.seal_again(space, &owed)? {
                self.publish(&put);
            }
        }
        for (device, ops) in owed_aside.iter().filter(|(_, ops)| !ops.is_empty()) {
            for put in self.seal_aside(space, device, ops)? {
                self.publish(&put);
            }
        }
        for (epoch, ops) in owed_behind {
            self.write_behind(space, &epoch, &ops)?;
        }
        for (device, (epoch, ops)) in owed_removed {
            self.write_removed(space, &epoch, device, &ops)?;
        }
        for (relay, ops) in owed_to {
            self.give_relay(space, relay, ops)?;
        }
        Ok(())
    }

    /// A comparison showed that a relay lacks ops: our turn to put them again comes, unless somebody
    /// is faster.
    pub(crate) fn owe_relay(&mut self, relay: RelayId, space: &SpaceId, ops: BTreeSet<OpId>) {
        let Some(first) = ops.first().copied() else {
            return;
        };
        let turn = self.turn(space, Some(&first));
        if let Some(s) = self.spaces.get_mut(space) {
            s.repair.owed_to.entry(relay).or_default().extend(ops);
            self.set_timer(Timer::Give(*space), turn);
        }
    }

    /// Puts ops again at one relay, some now and the rest at another turn.
    fn give_relay(
        &mut self,
        space: &SpaceId,
        relay: RelayId,
        mut ops: BTreeSet<OpId>,
    ) -> Result<(), StoreError> {
        if !self.relays.get(&relay).is_some_and(|r| r.connected) {
            // The next comparison finds it again.
            return Ok(());
        }
        let now: BTreeSet<OpId> = ops.iter().take(GIVE_RELAY_MAX).copied().collect();
        ops.retain(|op| !now.contains(op));
        for put in self.seal_again(space, &now)? {
            self.publish_at(relay, put);
        }
        if let Some(s) = self.spaces.get_mut(space).filter(|_| !ops.is_empty()) {
            s.repair.owed_to.entry(relay).or_default().extend(ops);
            self.set_timer(Timer::Give(*space), tuned(Knob::GiveTurn, TURN_MS));
        }
        Ok(())
    }

    /// Returns where every lane of this Space ends that we hold.
    fn own_ends(&self, space: &SpaceId) -> Result<Arc<LaneEnds<OpId>>, StoreError> {
        let s = self.spaces.get(space);
        s.map_or(Ok(Arc::default()), |s| s.lane_ends(&self.store))
    }

    /// Returns how much more of our own lanes somebody has than was known, as rows: what "seen by"
    /// counts.
    fn newly_seen(
        &self,
        space: &SpaceId,
        user: &UserId,
        lanes: &BTreeMap<Lane, u64>,
    ) -> Result<Vec<(Vec<u8>, u64)>, StoreError> {
        let mut rows = Vec::new();
        let own = self.me.device_id();
        let no = self.spaces.get(space).map(|s| s.no);
        let Some(no) = no.filter(|_| *user != self.me.user()) else {
            return Ok(rows);
        };
        for (lane, seq) in lanes.iter().filter(|(lane, _)| lane.device == own) {
            let key = seen_row(no, &lane.scope, Some(user));
            let known = self
                .store
                .get(QUEUE_TABLE, &key)?
                .and_then(|v| v.try_into().ok())
                .map(u64::from_be_bytes);
            if known.is_none_or(|known| known < *seq) {
                rows.push((key, *seq));
            }
        }
        Ok(rows)
    }

    /// Notes that somebody's op was written with ours in view.
    pub(crate) fn note_seen_op(
        &mut self,
        space: &SpaceId,
        user: &UserId,
        lane: &Lane,
        seq: u64,
    ) -> Result<(), StoreError> {
        for (key, seq) in self.newly_seen(space, user, &BTreeMap::from([(*lane, seq)]))? {
            self.store.put(QUEUE_TABLE, &key, &seq.to_be_bytes());
        }
        Ok(())
    }

    /// Returns how many other people have this op of ours.
    pub(crate) fn seen_by(
        &self,
        space: &SpaceId,
        scope: &Scope,
        seq: u64,
    ) -> Result<usize, StoreError> {
        let Some(no) = self.spaces.get(space).map(|s| s.no) else {
            return Ok(0);
        };
        let prefix = seen_row(no, scope, None);
        let mut count = 0;
        self.store.scan(
            QUEUE_TABLE,
            &prefix,
            &prefix_end(&prefix),
            Direction::Forward,
            &mut |_, value| {
                let seen = <[u8; 8]>::try_from(value).map(u64::from_be_bytes);
                count += usize::from(seen.is_ok_and(|seen| seen >= seq));
                std::ops::ControlFlow::Continue(())
            },
        )?;
        Ok(count)
    }
}

/// How often at most heads are told in a group of this size, in milliseconds.
fn have_every_least(s: &Space) -> u64 {
    let devices = u64::try_from(s.roster().count()).unwrap_or(u64::MAX);
    tuned(Knob::HaveEvery, HAVE_EVERY_MS).saturating_mul(devices)
}

/// How long to wait before what is missing is asked for again, at first, in milliseconds.
fn again_ms_min() -> u64 {
    tuned(Knob::AskAgain, AGAIN_MS_MIN)
}

fn seen_row(no: oplog::SpaceNo, scope: &Scope, user: Option<&UserId>) -> Vec<u8> {
    let scope_len = u8::try_from(scope.as_bytes().len()).unwrap_or(u8::MAX);
    let user = user.map_or(&[][..], |user| user.as_bytes());
    [
        b"seen/".as_slice(),
        &no.0.to_be_bytes(),
        &[scope_len],
        scope.as_bytes(),
        user,
    ]
    .concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// When heads are told while something new comes every second, from second 10 to second `until`.
    fn told(repair: &mut Repair, from: u64, until: u64, least_ms: u64) -> Vec<u64> {
        let mut times = Vec::new();
        for now in (from..until).map(|s| s * 1_000) {
            let every = least_ms.max(repair.have_every_ms);
            if now >= repair.said_have_at + every {
                repair.said_have(now, least_ms);
                times.push(now / 1_000);
            }
        }
        times
    }

    #[test]
    fn the_longer_people_talk_the_rarer_heads_are_told() {
        let mut repair = Repair::default();
        let times = told(&mut repair, 10, 700, 2_000);
        assert_eq!(times, [10, 12, 16, 24, 40, 72, 136, 256, 376, 496, 616]);
        // After a rest everything is as at first.
        let times = told(&mut repair, 1_000, 1_020, 2_000);
        assert_eq!(times, [1_000, 1_002, 1_006, 1_014]);
        // Who needs them at once gets them, and that changes nothing for the others.
        let every = repair.have_every_ms;
        repair.said_have_at = 0;
        repair.said_have(1_020_000, 2_000);
        assert_eq!(repair.have_every_ms, every);
    }

    #[test]
    fn a_large_group_is_never_more_talkative_than_its_share() {
        let mut repair = Repair::default();
        let least = HAVE_EVERY_MS * 1_000;
        let times = told(&mut repair, 10, 2_000, least);
        assert!(times.windows(2).all(|w| w[1] - w[0] >= least / 1_000));
    }

    #[test]
    fn gossip_is_taken_once_and_memory_of_it_is_bounded() {
        let mut repair = Repair::default();
        let id = |n: usize| Digest::from_bytes([u8::try_from(n).unwrap(); 32]);
        for n in 0..GOSSIP_SEEN_MAX + 1 {
            assert!(!repair.knows_gossip(&id(n)));
            repair.note_gossip(id(n));
            assert!(repair.knows_gossip(&id(n)));
        }
        assert!(!repair.knows_gossip(&id(0)), "the oldest makes room");
        assert_eq!(repair.gossip_seen.len(), GOSSIP_SEEN_MAX);
    }
}
