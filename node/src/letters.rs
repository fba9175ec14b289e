//! Letters: how two branches of the group's keys hear of each other.
//!
//! Each commit travels under the keys of the epoch it follows, so of a branch whose first commit
//! a device cannot process it could read nothing further, and each side would take its own
//! branch for the canonical one for good. So whoever sees a fork tells the other side its control
//! ops. A letter lies under the keys of the epoch where the branches part, which both sides have,
//! and inside it only devices that the Space has not removed can open it: those keys are also
//! those of people whom one side removed. Who came to the other side only after the branches parted,
//! or was added again there, has no such keys: for them the letter lies under the last keys of their
//! branch, if they are here.
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
use oplog::store::{Store, StoreError};
use oplog::{DeviceId, Digest, EpochId, OpId, Scope, Secret, SpaceId, codec};
use rand_core::CryptoRng;

use crate::blobs::ChunkStore;
use crate::event::Timer;
use crate::message::Sealed;
use crate::node::Node;
use crate::space::Space;

const LETTER_INFO: &[u8] = b"decent letter v1";
/// Most bytes of ops in one letter: with the keys of 1,000 devices it still fits an envelope.
const LETTER_OPS_BYTES_MAX: usize = 240 * 1024;
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
    /// Written for those who came to a branch after it parted. The others of that branch can open it
    /// too, and see that they need not write the same.
    #[n(2)]
    #[cbor(default)]
    newcomers: bool,
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
    /// Ops that letters held, our own or of others.
    told: BTreeMap<OpId, Told>,
    /// Ops that letters held for newcomers of another branch, by its last epoch.
    told_newcomers: BTreeMap<(EpochId, OpId), Told>,
    /// When devices were told of their removal.
    told_removed: BTreeMap<DeviceId, Told>,
    /// Ops that were told and that somebody lacked all the same.
    lacked: BTreeSet<OpId>,
    /// For whom others wrote since our turn began to run, and under which keys.
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

/// Whom a letter is for, and under which epoch it lies.
struct Address {
    epoch: EpochId,
    devices: BTreeSet<DeviceId>,
    /// Who else can open it.
    readers: BTreeSet<DeviceId>,
    /// For those who came in after the branches parted.
    newcomers: bool,
}

impl Letters {
    /// A letter that lay under these keys held ops.
    pub(crate) fn read(&mut self, letter: &Letter, under: EpochId, ops: Vec<OpId>, now: u64) {
        self.told_at(under, letter.newcomers, ops.into_iter(), now);
    }

    fn told(&mut self, ops: impl IntoIterator<Item = OpId>, now: u64) {
        if self.told.len() > TOLD_MAX {
            self.told.clear();
        }
        for op in ops {
            self.told.entry(op).or_default().tell(now);
        }
    }

    /// Somebody wrote a letter that is not for us.
    pub(crate) fn written_to(&mut self, epoch: EpochId, devices: impl Iterator<Item = DeviceId>) {
        self.written_to
            .extend(devices.map(|device| (epoch, device)));
    }

    fn told_at(
        &mut self,
        under: EpochId,
        newcomers: bool,
        ops: impl Iterator<Item = OpId>,
        now: u64,
    ) {
        if !newcomers {
            return self.told(ops, now);
        }
        if self.told_newcomers.len() > TOLD_MAX {
            self.told_newcomers.clear();
        }
        for op in ops {
            let told = self.told_newcomers.entry((under, op)).or_default();
            told.tell(now);
        }
    }

    fn is_told(&self, to: &Address, op: OpId) -> bool {
        let told = if to.newcomers {
            self.told_newcomers.get(&(to.epoch, op))
        } else {
            self.told.get(&op)
        };
        told.is_some_and(|told| !told.again)
    }

    /// Whether an op was never told to them, or so long ago that it may have got lost.
    fn may_tell(&self, to: &Address, op: OpId, now: u64) -> bool {
        let told = self.told_newcomers.get(&(to.epoch, op));
        told.is_none_or(|told| told.again || told.next(now) <= now)
    }

    /// Notes that somebody lacks ops. Returns when the first of them can be told, in milliseconds.
    fn lack(&mut self, ops: &[OpId], now: u64) -> u64 {
        self.lacked.extend(ops.iter().copied());
        let of_newcomers = self.told_newcomers.iter().map(|((_, op), told)| (op, told));
        let mut next: BTreeMap<OpId, u64> = ops.iter().map(|op| (*op, u64::MAX)).collect();
        for (op, told) in self.told.iter().chain(of_newcomers) {
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
        let of_newcomers = self
            .told_newcomers
            .iter_mut()
            .map(|((_, op), told)| (op, told));
        for (op, told) in self.told.iter_mut().chain(of_newcomers) {
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
        let begins = |op: &OpId| {
            let record = epochs.epoch(&EpochId::of_commit(op))?;
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
        let at = from.saturating_add(self.turn(space, &[]) * TURN_MS);
        if let Some(s) = self.spaces.get_mut(space) {
            for parting in partings {
                let due = s.letters.due.entry(parting).or_insert(at);
                *due = (*due).min(at);
            }
            s.letters.written_to.clear();
        }
        self.letters_due(space);
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
        let turn = self.now.as_ms() + self.turn(space, &[]) * TURN_MS;
        let now = self.now.as_ms();
        if let Some(s) = self.spaces.get_mut(space) {
            let passed = s.letters.due.values_mut().filter(|at| **at <= now);
            passed.for_each(|at| *at = turn);
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
        let written = |device: &DeviceId| {
            *device == own || s.letters.written_to.contains(&(to.epoch, *device))
        };
        if news.is_empty() || to.devices.iter().all(written) {
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
        let to = Address {
            epoch: *epoch,
            devices: s
                .leaves(epoch)
                .into_iter()
                .map(|(device, _)| device)
                .collect(),
            readers: BTreeSet::new(),
            newcomers: true,
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
        let told = s.letters.told_removed.entry(device).or_default();
        let lately = told.times > 0 && now < told.next(now);
        if lately || s.letters.written_to.contains(&(*epoch, device)) {
            return Ok(());
        }
        told.tell(now);
        let dag = s.log.dag().iter();
        let news: Vec<(OpId, Vec<u8>)> = dag
            .filter(|node| ops.contains(&node.op.id()))
            .map(|node| (node.op.id(), node.op.encode()))
            .collect();
        let to = Address {
            epoch: *epoch,
            devices: BTreeSet::from([device]),
            readers: BTreeSet::new(),
            newcomers: true,
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
            .filter_map(|device| Some((*device, s.view.device(device)?.cert.hpke_key)))
            .take(RECIPIENTS_MAX)
            .collect();
        let at = self.now.as_ms();
        let mut rest = news;
        while !rest.is_empty() {
            let mut bytes = 0;
            let fit = rest.iter().take_while(|(_, op)| {
                bytes += op.len();
                bytes <= LETTER_OPS_BYTES_MAX
            });
            let (now, later) = rest.split_at(fit.count().max(1).min(rest.len()));
            let ops: Vec<ByteVec> = now
                .iter()
                .map(|(_, op)| ByteVec::from(op.clone()))
                .collect();
            let letter = Letter::seal(space, &recipients, &ops, to.newcomers, &mut self.rng);
            let sealed = Sealed::Letter(letter);
            if let Some(put) = self.seal_under(space, Scope::Control, &to.epoch, &sealed)? {
                self.publish(&put);
            }
            if let Some(s) = self.spaces.get_mut(space) {
                s.letters
                    .told_at(to.epoch, to.newcomers, now.iter().map(|(id, _)| *id), at);
            }
            rest = later;
        }
        Ok(())
    }

    /// Opens a letter; nothing in it, if it is for others.
    pub(crate) fn read_letter(&self, space: &SpaceId, letter: &Letter) -> Vec<ByteVec> {
        let key = BoxKey::from_seed(&self.me.hpke);
        letter
            .open(space, &self.me.device_id(), &key)
            .unwrap_or_default()
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
        newcomers: bool,
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
            newcomers,
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

    /// To whom letters about branches that part here go, as far as keys for them are here.
    fn addresses(&self, parting: &EpochId) -> Vec<Address> {
        let epochs = self.authority.epochs();
        let mut to = Vec::new();
        let before = self.leaves(parting);
        // Who came in after the branches parted, or again, may have no keys there; others of their
        // branch do.
        if self.keys.contains_key(parting) {
            to.push(Address {
                epoch: *parting,
                devices: before.iter().map(|(device, _)| *device).collect(),
                readers: BTreeSet::new(),
                newcomers: false,
            });
        }
        let aside = |id: &&EpochId| !epochs.is_ancestor(id, &self.canonical);
        let mut branch: Vec<EpochId> = epochs
            .children(parting)
            .iter()
            .filter(aside)
            .copied()
            .collect();
        while let Some(epoch) = branch.pop() {
            let next = epochs.children(&epoch);
            branch.extend(next);
            let is_last =
                self.keys.contains_key(&epoch) && !next.iter().any(|id| self.keys.contains_key(id));
            if is_last {
                let (here, there): (BTreeSet<_>, BTreeSet<_>) = self
                    .leaves(&epoch)
                    .into_iter()
                    .partition(|leaf| before.contains(leaf));
                let devices = |leaves: BTreeSet<(DeviceId, Digest)>| {
                    leaves.into_iter().map(|(device, _)| device).collect()
                };
                to.push(Address {
                    epoch,
                    devices: devices(there),
                    readers: devices(here),
                    newcomers: true,
                });
            }
        }
        to
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

#[cfg(test)]
mod tests {
    use super::*;
    use rand_chacha::ChaCha20Rng;
    use rand_core::SeedableRng;

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
        let letter = Letter::seal(&space, &recipients, &ops, false, &mut rng);
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
