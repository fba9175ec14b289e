//! Letters: how two branches of the group's keys hear of each other.
//!
//! Each commit travels under the keys of the epoch it follows, so of a branch whose first commit
//! a device cannot process it could read nothing further, and each side would take its own
//! branch for the canonical one for good. So whoever sees a fork tells the other side its control
//! ops. A letter lies under the topic key of a generation, which all have who were in the group since
//! its last removal, whatever branch they came to; inside it only devices that the Space has not removed
//! can open it: who was removed has the topic key too.
//!
//! Content needs no letters: once all stand on one branch, everybody sends what is missing there.
//!
//! # Invariants
//! - A letter is opened by devices of `authorised_devices(fold(all))` at its writer, and no others; or by
//!   one device that was removed, and then it holds nothing that its removal does not rest on.

use std::collections::{BTreeMap, BTreeSet};

use minicbor::bytes::ByteVec;
use minicbor::{Decode, Encode};
use mls::sealed_box::{self, BoxKey, WRAPPED_LEN};
use oplog::aead::{self, NONCE_LEN};
use oplog::authority::{Authority, View};
use oplog::payload::Payload;
use oplog::store::{Store, StoreError};
use oplog::tuning::{Knob, tuned};
use oplog::{DeviceId, Digest, EpochId, Hlc, Kind, OpId, Scope, Secret, SignedOp, SpaceId, codec};
use rand_core::CryptoRng;

use crate::blobs::ChunkStore;
use crate::event::Timer;
use crate::message::Sealed;
use crate::node::Node;
use crate::space::Space;

const LETTER_INFO: &[u8] = b"decent letter v1";
/// The least envelope that a long letter is made to fill, in bytes: the next one is four times as long.
const LETTER_BYTES_LEAST: usize = 64 << 10;
/// What a letter takes besides keys and ops, and around each of those, in bytes, rounded up.
const AROUND_LETTER: usize = 512;
const AROUND_PART: usize = 16;
/// Most devices that one letter is for: those of a group (B16).
const RECIPIENTS_MAX: usize = mls::DEVICES_MAX;
/// How long a node waits for its turn to write, for each place in the order, in milliseconds.
const TURN_MS: u64 = 700;
/// Most ops remembered as told; beyond that all are told again.
const TOLD_MAX: usize = 20_000;
/// How soon what somebody lacks still is told again, in milliseconds: a letter may be on its way to
/// them, and a slow line takes half a minute for a large one. Then after twice as long, and so on.
const AGAIN_MS_MIN: u64 = 60_000;
/// The longest time between, in milliseconds.
const AGAIN_MS_MAX: u64 = 3_600_000;

/// Control ops for devices of another branch.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub(crate) struct Letter {
    /// The key of the content, sealed to each device; sorted by device.
    #[n(0)]
    keys: Vec<LetterKey>,
    /// Nonce ‖ ciphertext of a list of ops, parents first.
    #[n(1)]
    sealed: ByteVec,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
#[cbor(map)]
struct LetterKey {
    #[n(0)]
    device: DeviceId,
    #[n(1)]
    wrapped: ByteVec,
}

/// What one Space has told, and has to tell, across branches. Not kept: telling again is harmless.
#[derive(Debug, Default)]
pub(crate) struct Letters {
    /// Epochs where branches part, of which the other side may not have heard, and when our turn is,
    /// in milliseconds.
    due: BTreeMap<EpochId, u64>,
    /// Ops that letters held, our own or of others, by the generation that they lay under.
    told: BTreeMap<(EpochId, OpId), Told>,
    /// When devices were told of their removal.
    told_removed: BTreeMap<DeviceId, Told>,
    /// Ops that were told and that somebody lacked all the same.
    lacked: BTreeSet<OpId>,
    /// For whom others wrote since our turn began to run, and under which generation.
    written_to: BTreeSet<(EpochId, DeviceId)>,
}

/// When a letter held an op, and how often.
#[derive(Clone, Copy, Debug, Default)]
struct Told {
    /// The last time, in milliseconds.
    at: u64,
    times: u32,
    /// Somebody lacked it since, and the wait is over.
    again: bool,
}

impl Told {
    /// When it may be told again, in milliseconds: at once when the clock was set back since.
    fn next(self, now: u64) -> u64 {
        if now < self.at {
            return now;
        }
        let doubled = AGAIN_MS_MIN.saturating_mul(1 << self.times.saturating_sub(1).min(16));
        self.at.saturating_add(doubled.min(AGAIN_MS_MAX))
    }

    fn tell(&mut self, now: u64) {
        *self = Self {
            at: now,
            times: self.times.saturating_add(1),
            again: false,
        };
    }
}

/// Whom a letter is for, and under which generation it lies.
struct Address {
    generation: EpochId,
    /// Who may lack what is in it.
    devices: BTreeSet<DeviceId>,
    /// Who else opens it, and sees that they need not write the same.
    readers: BTreeSet<DeviceId>,
}

impl Letters {
    /// A letter of this generation held ops.
    pub(crate) fn told(&mut self, generation: EpochId, ops: impl Iterator<Item = OpId>, now: u64) {
        if self.told.len() > TOLD_MAX {
            self.told.clear();
        }
        for op in ops {
            self.told.entry((generation, op)).or_default().tell(now);
        }
    }

    /// Somebody wrote a letter that is not for us.
    pub(crate) fn written_to(
        &mut self,
        generation: EpochId,
        devices: impl Iterator<Item = DeviceId>,
    ) {
        self.written_to
            .extend(devices.map(|device| (generation, device)));
    }

    fn is_told(&self, to: &Address, op: OpId) -> bool {
        let told = self.told.get(&(to.generation, op));
        told.is_some_and(|told| !told.again)
    }

    /// Whether an op was never told to them, or so long ago that it may have got lost.
    fn may_tell(&self, to: &Address, op: OpId, now: u64) -> bool {
        let told = self.told.get(&(to.generation, op));
        told.is_none_or(|told| told.again || told.next(now) <= now)
    }

    /// Notes that somebody lacks ops. Returns when the first of them can be told, in milliseconds.
    fn lack(&mut self, ops: &[OpId], now: u64) -> u64 {
        self.lacked.extend(ops.iter().copied());
        let mut next: BTreeMap<OpId, u64> = ops.iter().map(|op| (*op, u64::MAX)).collect();
        for ((_, op), told) in &self.told {
            if let Some(at) = next.get_mut(op) {
                *at = (*at).min(if told.again { now } else { told.next(now) });
            }
        }
        let never = |at: u64| if at == u64::MAX { now } else { at };
        next.into_values().map(never).min().unwrap_or(now)
    }

    /// Lets what somebody lacks be told again where it was told long enough ago.
    fn allow_again(&mut self, now: u64) {
        let lacked = std::mem::take(&mut self.lacked);
        for ((_, op), told) in &mut self.told {
            if !lacked.contains(op) {
                continue;
            }
            if told.next(now) <= now {
                told.again = true;
            } else {
                self.lacked.insert(*op);
            }
        }
    }

    /// When the next turn is, in milliseconds.
    fn next_due(&self) -> Option<u64> {
        self.due.values().copied().min()
    }
}

impl<S: Store, C: ChunkStore, R: CryptoRng> Node<S, C, R> {
    /// A commit came that is not on the branch that counts, or took its place: whoever is on either
    /// side should know both.
    pub(crate) fn consider_letter(&mut self, space: &SpaceId, epoch: &EpochId) {
        let Some(s) = self.spaces.get(space) else {
            return;
        };
        let Some(parting) = s.parting_of(epoch) else {
            return;
        };
        self.write_soon(space, [parting]);
    }

    /// Somebody lacks these ops. Where the branch that counts begins with one of them, other keys than
    /// those of that branch are all they have, and a letter got lost.
    pub(crate) fn consider_letter_again(&mut self, space: &SpaceId, lacked: &[OpId]) {
        let Some(s) = self.spaces.get_mut(space) else {
            return;
        };
        let epochs = s.authority.epochs();
        let dag = s.log.dag();
        let begins = |op: &OpId| {
            // Nearly all that somebody lacks is content, which begins no epoch.
            let commit = dag.node(op)?.op.header().kind() == Some(Kind::Commit);
            let record = commit.then(|| epochs.epoch(&EpochId::of_commit(op)))??;
            let parting = record.parent?;
            let parts = epochs.children(&parting).len() > 1;
            (parts && epochs.is_ancestor(&record.id, &s.canonical)).then_some(parting)
        };
        let partings: Vec<EpochId> = lacked.iter().filter_map(begins).collect();
        if partings.is_empty() {
            return;
        }
        let now = self.now.as_ms();
        let from = s.letters.lack(lacked, now);
        self.write_at(space, partings, from.max(now));
    }

    fn write_soon(&mut self, space: &SpaceId, partings: impl IntoIterator<Item = EpochId>) {
        self.write_at(space, partings, self.now.as_ms());
    }

    /// Lets our turn begin to run at this time.
    fn write_at(
        &mut self,
        space: &SpaceId,
        partings: impl IntoIterator<Item = EpochId>,
        from: u64,
    ) {
        let at = from.saturating_add(self.letter_turn(space));
        if let Some(s) = self.spaces.get_mut(space) {
            for parting in partings {
                let due = s.letters.due.entry(parting).or_insert(at);
                *due = (*due).min(at);
            }
            s.letters.written_to.clear();
        }
        self.letters_due(space);
    }

    /// How long until it is our turn to write, in milliseconds.
    fn letter_turn(&self, space: &SpaceId) -> u64 {
        let now = Hlc::from_wall(self.now);
        let one = tuned(Knob::LetterTurn, TURN_MS);
        let turn = |s: &Space| s.place_in_group(&self.me.device_id()) * one * s.slack(now);
        self.spaces.get(space).map_or(0, turn)
    }

    /// Our turn: tells what nobody told meanwhile.
    pub(crate) fn write_letters(&mut self, space: &SpaceId) -> Result<(), StoreError> {
        if !self.online() {
            // Kept for when a relay is there; catching up asks again.
            return Ok(());
        }
        let now = self.now.as_ms();
        let Some(s) = self.spaces.get_mut(space) else {
            return Ok(());
        };
        s.letters.allow_again(now);
        let (due, later) = std::mem::take(&mut s.letters.due)
            .into_iter()
            .partition(|(_, at)| *at <= now);
        s.letters.due = later;
        let due: BTreeMap<EpochId, u64> = due;
        for parting in due.into_keys() {
            self.write_letter(space, &parting)?;
        }
        self.letters_due(space);
        Ok(())
    }

    /// A relay is there again: turns that passed meanwhile begin to run now.
    pub(crate) fn letters_again(&mut self, space: &SpaceId) {
        let now = self.now.as_ms();
        let next = self.spaces.get(space).and_then(|s| s.letters.next_due());
        // A turn costs a hash for each device of the group.
        if next.is_some_and(|at| at <= now) {
            let turn = now.saturating_add(self.letter_turn(space));
            if let Some(s) = self.spaces.get_mut(space) {
                let passed = s.letters.due.values_mut().filter(|at| **at <= now);
                passed.for_each(|at| *at = turn);
            }
        }
        self.letters_due(space);
    }

    /// Sets the timer for the next letter, if one is to be written.
    fn letters_due(&mut self, space: &SpaceId) {
        let due = self.spaces.get(space).and_then(|s| s.letters.next_due());
        if let Some(at) = due {
            self.set_timer(Timer::Letter(*space), at.saturating_sub(self.now.as_ms()));
        }
    }

    fn write_letter(&mut self, space: &SpaceId, parting: &EpochId) -> Result<(), StoreError> {
        let to = self.spaces.get(space).map(|s| s.addresses(parting));
        for address in to.unwrap_or_default() {
            self.write_to(space, parting, &address)?;
        }
        let removed = self.spaces.get(space).map(|s| s.removed_aside(parting));
        for (device, epoch, ops) in removed.unwrap_or_default() {
            self.write_removed(space, &epoch, device, &ops)?;
        }
        Ok(())
    }

    fn write_to(
        &mut self,
        space: &SpaceId,
        parting: &EpochId,
        to: &Address,
    ) -> Result<(), StoreError> {
        let Some(s) = self.spaces.get(space) else {
            return Ok(());
        };
        let Some(record) = s.authority.epoch(parting) else {
            return Ok(());
        };
        let dag = s.log.dag();
        let news: Vec<(OpId, Vec<u8>)> = dag
            .iter()
            .filter(|node| !s.letters.is_told(to, node.op.id()))
            .filter(|node| {
                node.op.id() != record.commit && !dag.precedes(&node.op.id(), &record.commit)
            })
            .map(|node| (node.op.id(), node.op.encode()))
            .collect();
        let own = self.me.device_id();
        let knowing = s.who_knows_of_the_winner(parting);
        let needless = |device: &DeviceId| {
            let written = || s.letters.written_to.contains(&(to.generation, *device));
            *device == own || knowing.contains(device) || written()
        };
        if news.is_empty() || to.devices.iter().all(needless) {
            return Ok(());
        }
        self.send_letters(space, to, &news)
    }

    /// Somebody asked under keys that are not the newest, and may have no others: the control ops that
    /// they lack go under those keys, in a letter, because somebody who was removed may have them too.
    pub(crate) fn write_behind(
        &mut self,
        space: &SpaceId,
        epoch: &EpochId,
        ops: &BTreeSet<OpId>,
    ) -> Result<(), StoreError> {
        let now = self.now.as_ms();
        let Some(s) = self.spaces.get(space).filter(|_| self.online()) else {
            return Ok(());
        };
        let leaves = s.leaves(epoch).into_iter();
        let to = Address {
            generation: s.generation_of(epoch),
            devices: leaves.map(|(device, _)| device).collect(),
            readers: BTreeSet::new(),
        };
        let dag = s.log.dag().iter();
        let news: Vec<(OpId, Vec<u8>)> = dag
            .filter(|node| {
                ops.contains(&node.op.id()) && s.letters.may_tell(&to, node.op.id(), now)
            })
            .map(|node| (node.op.id(), node.op.encode()))
            .collect();
        self.send_letters(space, &to, &news)
    }

    /// Tells a device that was removed what led there, unless somebody just did.
    pub(crate) fn write_removed(
        &mut self,
        space: &SpaceId,
        epoch: &EpochId,
        device: DeviceId,
        ops: &BTreeSet<OpId>,
    ) -> Result<(), StoreError> {
        let now = self.now.as_ms();
        let online = self.online();
        let Some(s) = self.spaces.get_mut(space).filter(|_| online) else {
            return Ok(());
        };
        let told = s.letters.told_removed.get(&device).copied();
        let told = told.unwrap_or_default();
        let lately = told.times > 0 && now < told.next(now);
        let generation = s.generation_of(epoch);
        if lately || s.letters.written_to.contains(&(generation, device)) {
            return Ok(());
        }
        let told = s.letters.told_removed.entry(device).or_default();
        told.tell(now);
        let dag = s.log.dag().iter();
        let news: Vec<(OpId, Vec<u8>)> = dag
            .filter(|node| ops.contains(&node.op.id()))
            .map(|node| (node.op.id(), node.op.encode()))
            .collect();
        let to = Address {
            generation,
            devices: BTreeSet::from([device]),
            readers: BTreeSet::new(),
        };
        self.send_letters(space, &to, &news)
    }

    fn send_letters(
        &mut self,
        space: &SpaceId,
        to: &Address,
        news: &[(OpId, Vec<u8>)],
    ) -> Result<(), StoreError> {
        let own = self.me.device_id();
        let Some(s) = self.spaces.get(space) else {
            return Ok(());
        };
        let recipients: Vec<_> = to
            .devices
            .iter()
            .chain(&to.readers)
            .filter(|device| **device != own)
            .filter_map(|device| Some((*device, s.hpke_key(device)?)))
            .take(RECIPIENTS_MAX)
            .collect();
        let at = self.now.as_ms();
        let room = room_for_ops(recipients.len());
        let mut rest = news;
        while !rest.is_empty() {
            let mut bytes = 0;
            let fit = rest.iter().take_while(|(_, op)| {
                bytes += op.len() + AROUND_PART;
                bytes <= room
            });
            let (now, later) = rest.split_at(fit.count().max(1).min(rest.len()));
            let ops: Vec<ByteVec> = now
                .iter()
                .map(|(_, op)| ByteVec::from(op.clone()))
                .collect();
            let letter = Letter::seal(space, &recipients, &ops, &mut self.rng);
            if let Some(put) = self.seal_letter(space, &to.generation, letter) {
                self.publish(&put);
            }
            if let Some(s) = self.spaces.get_mut(space) {
                let told = now.iter().map(|(id, _)| *id);
                s.letters.told(to.generation, told, at);
            }
            rest = later;
        }
        Ok(())
    }

    /// Opens a letter of this generation; nothing in it, if it is for others. Nothing else may lie
    /// under those keys, which people who were removed may have.
    pub(crate) fn read_letter(
        &mut self,
        space: &SpaceId,
        generation: EpochId,
        plain: &[u8],
    ) -> Vec<ByteVec> {
        let Ok(Sealed::Letter(letter)) = codec::decode("letter", plain) else {
            return Vec::new();
        };
        let (device, now) = (self.me.device_id(), self.now.as_ms());
        let opened = letter.open(space, &device, &BoxKey::from_seed(&self.me.hpke));
        let list = opened.unwrap_or_default();
        let ids = list.iter().filter_map(|op| SignedOp::decode(op).ok());
        let ids: Vec<OpId> = ids.map(|op| op.id()).collect();
        if let Some(s) = self.spaces.get_mut(space) {
            // One that names us and does not open is nobody's honest work.
            if !letter.devices().any(|to| to == device) {
                // Names of nobody would fill the memory: who was removed can write them.
                let known = letter.devices().filter(|to| s.view.device(to).is_some());
                s.letters.written_to(generation, known);
            }
            s.letters.told(generation, ids.into_iter(), now);
        }
        list
    }
}

impl Letter {
    /// For whom it is.
    pub(crate) fn devices(&self) -> impl Iterator<Item = DeviceId> + '_ {
        self.keys.iter().map(|key| key.device)
    }

    fn seal(
        space: &SpaceId,
        recipients: &[(DeviceId, Digest)],
        ops: &[ByteVec],
        rng: &mut impl CryptoRng,
    ) -> Self {
        let key = Secret::generate(rng);
        let mut nonce = [0; NONCE_LEN];
        rng.fill_bytes(&mut nonce);
        let plain = codec::encode(&ops.to_vec());
        let sealed = aead::seal(key.as_bytes(), &nonce, space.as_bytes(), &plain);
        let mut keys: Vec<LetterKey> = recipients
            .iter()
            .filter_map(|(device, hpke)| {
                // A device with an unusable key is left out (A21).
                let wrapped =
                    sealed_box::wrap_key(hpke, LETTER_INFO, space.as_bytes(), &key, rng).ok()?;
                Some(LetterKey {
                    device: *device,
                    wrapped: ByteVec::from(wrapped),
                })
            })
            .collect();
        keys.sort_unstable();
        Self {
            keys,
            sealed: ByteVec::from([nonce.as_slice(), &sealed].concat()),
        }
    }

    fn open(&self, space: &SpaceId, device: &DeviceId, key: &BoxKey) -> Option<Vec<ByteVec>> {
        let at = self
            .keys
            .binary_search_by_key(device, |key| key.device)
            .ok()?;
        let wrapped = &self.keys.get(at)?.wrapped;
        if wrapped.len() != WRAPPED_LEN {
            return None;
        }
        let key = sealed_box::unwrap_key(key, LETTER_INFO, space.as_bytes(), wrapped).ok()?;
        let (nonce, sealed) = self.sealed.split_first_chunk::<NONCE_LEN>()?;
        let plain = aead::open(key.as_bytes(), nonce, space.as_bytes(), sealed).ok()?;
        codec::decode("letter", &plain).ok()
    }
}

impl Space {
    /// The devices of an epoch that count as members', with the key packages that they came with: who
    /// is added again comes with another.
    fn leaves(&self, epoch: &EpochId) -> BTreeSet<(DeviceId, Digest)> {
        let authorised = self.view.authorised_devices();
        let record = self.authority.epochs().epoch(epoch);
        let leaves = record.into_iter().flat_map(|record| record.roster.iter());
        leaves
            .filter(|(device, _)| authorised.contains_key(*device))
            .map(|(device, (_, package))| (*device, *package))
            .collect()
    }

    /// To whom letters about branches that part here go, as far as the topic keys for them are here: who
    /// was in the group where they part, and who is where other branches than the canonical one end.
    fn addresses(&self, parting: &EpochId) -> Vec<Address> {
        let mut to: BTreeMap<EpochId, BTreeSet<DeviceId>> = BTreeMap::new();
        let add = |epoch: &EpochId| {
            let devices = self.leaves(epoch).into_iter().map(|(device, _)| device);
            let of_generation = to.entry(self.generation_of(epoch)).or_default();
            of_generation.extend(devices);
        };
        let ends = self.ends_aside(parting);
        ends.iter().chain([parting]).for_each(add);
        // Who was removed on one branch may have the topic key, and would see who came after: so those
        // open it only while nobody was.
        let here = self.generation_of(&self.canonical);
        let known = to
            .into_iter()
            .filter(|(id, _)| self.generation(id).is_some());
        known
            .map(|(generation, devices)| {
                let reads = generation == here;
                let readers = reads.then(|| self.leaves(&self.canonical));
                let readers = readers.into_iter().flatten().map(|(device, _)| device);
                Address {
                    generation,
                    readers: readers.filter(|device| !devices.contains(device)).collect(),
                    devices,
                }
            })
            .collect()
    }

    /// Where the branches end that part here from the one that counts.
    fn ends_aside(&self, parting: &EpochId) -> Vec<EpochId> {
        let epochs = self.authority.epochs();
        let aside = |id: &&EpochId| !epochs.is_ancestor(id, &self.canonical);
        let children = epochs.children(parting).iter();
        let mut branch: Vec<EpochId> = children.filter(aside).copied().collect();
        let mut ends = Vec::new();
        while let Some(epoch) = branch.pop() {
            let next = epochs.children(&epoch);
            branch.extend(next);
            if next.is_empty() {
                ends.push(epoch);
            }
        }
        ends
    }

    /// Devices that go on where such a branch ends, though their people were removed, with what led
    /// there: nobody on that branch may know, and what they say lies under its keys alone. Once each.
    fn removed_aside(&self, parting: &EpochId) -> Vec<(DeviceId, EpochId, BTreeSet<OpId>)> {
        let dag = self.log.dag();
        let mut removed = Vec::new();
        for end in self.ends_aside(parting) {
            let Some(record) = self.authority.epoch(&end) else {
                continue;
            };
            let seen = |op: &OpId| *op == record.commit || dag.precedes(op, &record.commit);
            for (device, (user, _)) in record.roster.iter() {
                let mut out = self.why_out(user);
                out.retain(|op| !seen(op));
                if out.is_empty() || self.letters.told_removed.contains_key(device) {
                    continue;
                }
                let led = |op: &OpId| self.led_to(op, &out) && !seen(op);
                let ops = dag.iter().map(|node| node.op.id()).filter(led).collect();
                removed.push((*device, end, ops));
            }
        }
        removed
    }

    /// Opens what lies under the keys of an epoch.
    pub(crate) fn open(&self, scope: &Scope, envelope: &[u8]) -> Option<(EpochId, Vec<u8>)> {
        // Nearly all lie under the newest keys, and every other epoch costs a try.
        let newest = self.keys.get_key_value(&self.tip).into_iter();
        newest.chain(&self.keys).find_map(|(epoch, keys)| {
            let plain = mls::envelope::open_in(envelope, scope, [keys]).ok()?;
            Some((*epoch, plain))
        })
    }

    /// Opens the envelope of a letter. Returns the generation that it lies under.
    pub(crate) fn open_letter(&self, envelope: &[u8]) -> Option<(EpochId, Vec<u8>)> {
        self.generations.iter().find_map(|generation| {
            let (_, plain) = mls::envelope::open(envelope, [&generation.letters]).ok()?;
            Some((generation.epoch, plain))
        })
    }

    /// The key that letters to a device are sealed to. One that a removal kept from coming in is certified
    /// by its op all the same.
    fn hpke_key(&self, device: &DeviceId) -> Option<Digest> {
        if let Some(known) = self.view.device(device) {
            return Some(known.cert.hpke_key);
        }
        let adds = |kind| matches!(kind, Some(Kind::MemberAdd | Kind::DeviceAdd));
        let mut nodes = self.log.dag().iter().rev();
        nodes.find_map(|node| {
            let op = Some(&node.op).filter(|op| adds(op.header().kind()))?;
            let certs = if let Payload::DeviceAdd(add) = op.payload().ok()?? {
                vec![add.cert]
            } else if let Payload::MemberAdd(add) = op.payload().ok()?? {
                add.members.into_iter().map(|member| member.cert).collect()
            } else {
                Vec::new()
            };
            let of_device = certs.into_iter().find(|cert| cert.device == *device);
            of_device.map(|cert| cert.hpke_key)
        })
    }

    /// Devices that wrote a control op with the branch that counts in its past, as far back as it parts
    /// here from others: they ask for what they lack themselves.
    fn who_knows_of_the_winner(&self, parting: &EpochId) -> BTreeSet<DeviceId> {
        let epochs = self.authority.epochs();
        let wins = |id: &&EpochId| epochs.is_ancestor(id, &self.canonical);
        let winner = epochs.children(parting).iter().find(wins);
        let Some(record) = winner.and_then(|id| epochs.epoch(id)) else {
            return BTreeSet::new();
        };
        let dag = self.log.dag();
        let knows = |op: &OpId| *op == record.commit || dag.precedes(&record.commit, op);
        let nodes = dag.iter().filter(|node| knows(&node.op.id()));
        nodes.map(|node| node.op.header().device).collect()
    }

    /// Where the branch of an epoch parts from another: from the canonical one, or, for an epoch of
    /// the canonical one itself, from a sibling beside it. `None` where nothing parts.
    fn parting_of(&self, epoch: &EpochId) -> Option<EpochId> {
        let epochs = self.authority.epochs();
        let mut at = epochs.epoch(epoch)?;
        loop {
            let parent = at.parent?;
            let beside = epochs.children(&parent).len() > 1;
            if beside && epochs.is_ancestor(&parent, &self.canonical) {
                return Some(parent);
            }
            if epochs.is_ancestor(&at.id, &self.canonical) {
                return None;
            }
            at = epochs.epoch(&parent)?;
        }
    }
}

/// How many bytes of ops a letter to so many devices has room for: as many as fill an envelope of which
/// the keys are a quarter at most.
fn room_for_ops(recipients: usize) -> usize {
    let key = DeviceId::LEN + WRAPPED_LEN + AROUND_PART;
    let keys = recipients.saturating_mul(key);
    let fits = |size: &usize| *size >= LETTER_BYTES_LEAST && keys <= size / 4;
    let size = mls::envelope::SIZES.into_iter().find(fits);
    size.unwrap_or(LETTER_BYTES_LEAST)
        .saturating_sub(keys + AROUND_LETTER)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand_chacha::ChaCha20Rng;
    use rand_core::{Rng, SeedableRng};

    #[test]
    fn long_letters_fill_their_envelopes_and_fit_them() {
        let mut rng = ChaCha20Rng::seed_from_u64(1);
        let space = SpaceId::from_bytes([1; 32]);
        let hpke = *BoxKey::generate(&mut rng).public();
        for (count, size) in [(1, 64 << 10), (100, 64 << 10), (RECIPIENTS_MAX, 1 << 20)] {
            let mut device = || {
                let mut id = [0; 32];
                rng.fill_bytes(&mut id);
                (DeviceId::from_bytes(id), hpke)
            };
            let recipients: Vec<_> = (0..count).map(|_| device()).collect();
            let room = room_for_ops(count);
            for op in [100, 1_000, 20_000] {
                let ops = vec![ByteVec::from(vec![7; op]); room / (op + AROUND_PART)];
                let letter = Letter::seal(&space, &recipients, &ops, &mut rng);
                let bytes = codec::encode(&Sealed::Letter(letter)).len() + mls::envelope::OVERHEAD;
                assert!(bytes + 4 <= size, "{count} devices, ops of {op}: {bytes}");
                assert!(op > 1_000 || bytes > size * 3 / 4, "{count}, {op}: {bytes}");
            }
        }
    }

    #[test]
    fn only_those_a_letter_is_for_open_it() {
        let mut rng = ChaCha20Rng::seed_from_u64(1);
        let space = SpaceId::from_bytes([1; 32]);
        let device = |n: u8| DeviceId::from_bytes([n; 32]);
        let keys: Vec<BoxKey> = (0..4).map(|_| BoxKey::generate(&mut rng)).collect();
        let recipients: Vec<_> = [2u8, 0, 1]
            .map(|n| (device(n), *keys[usize::from(n)].public()))
            .to_vec();
        let ops = vec![ByteVec::from(vec![1, 2, 3])];
        let letter = Letter::seal(&space, &recipients, &ops, &mut rng);
        let back: Letter = codec::decode("letter", &codec::encode(&letter)).unwrap();
        for n in 0..4u8 {
            let opened = back.open(&space, &device(n), &keys[usize::from(n)]);
            assert_eq!(opened, (n < 3).then(|| ops.clone()), "{n}");
        }
        assert_eq!(back.open(&space, &device(0), &keys[1]), None, "another key");
        let other = SpaceId::from_bytes([2; 32]);
        assert_eq!(back.open(&other, &device(0), &keys[0]), None);
        let mut bad = back;
        let at = bad.sealed.len() - 1;
        bad.sealed[at] ^= 1;
        assert_eq!(bad.open(&space, &device(0), &keys[0]), None);
    }
}
