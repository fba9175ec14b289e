//! Asking to be added again: when the Space goes on with keys that cannot come here otherwise.
//!
//! A device gets there by losing its group state, by being behind for longer than states are
//! kept, or on a branch that lost while nobody here could process the one that won. Its ops are
//! good all the same; only keys are missing. So it asks, in an op and at the return tag, and any
//! member takes its leaf out and puts it in again in one commit (B5). No person has to do anything.

use minicbor::bytes::ByteVec;
use mls::stored;
use oplog::accept::READD_SECS;
use oplog::authority::{Authority, View};
use oplog::payload::{CommitComplaint, Payload, ReaddRequest};
use oplog::store::{Store, StoreError};
use oplog::{DeviceId, Digest, EpochId, Hlc, Kind, OpId, Scope, SpaceId, UserId};
use rand_core::CryptoRng;

use crate::blobs::ChunkStore;
use crate::complaints::Complaint;
use crate::error::CommandError;
use crate::group::group_error;
use crate::join::PendingJoin;
use crate::node::Node;
use crate::space::Space;

/// How long a device is behind before it asks, in milliseconds: keys may be on their way.
const PATIENCE_MS: u64 = 15_000;
/// After how long without any sign of the others a device takes it that they have gone on without it, in
/// milliseconds: 25 days. Relays forget after 30, and whoever is online renews keys about weekly.
const LOST_TOUCH_MS: u64 = 25 * 86_400_000;
/// How long such a device listens before it asks, in milliseconds.
const SILENCE_MS: u64 = 600_000;
/// How long others are silent towards a device, that is given what no key of its opens, before it takes it
/// that they have gone on without it, and how long it listens then, in milliseconds: an hour.
const SHUT_OUT_MS: u64 = 3_600_000;
/// How long an answer is waited for then: perhaps nobody else is there any more.
const ASK_IN_SILENCE_MS: u64 = 7 * 86_400_000;
/// How long an answer is waited for before asking anew, in milliseconds: a device is re-added at
/// most every 6 h (K6).
const ASK_EVERY_MS: u64 = READD_SECS as u64 * 1_000;
/// How long until the next request where the answer was of no use, or got lost, in milliseconds.
const ASK_AGAIN_MS: u64 = 600_000;
/// How long after an answer others are still read, in milliseconds: another branch may have added
/// this device too, and count. As long as key packages live: 7 days (B1).
const LANDED_MS: u64 = 7 * 86_400_000;

impl<S: Store, C: ChunkStore, R: CryptoRng> Node<S, C, R> {
    /// Housekeeping: asks where keys are missing for some time, and forgets answers that are old.
    pub(crate) fn consider_readds(&mut self) -> Result<(), StoreError> {
        self.end_withdrawn_joins()?;
        let online = self.online();
        let spaces: Vec<SpaceId> = self.spaces.keys().copied().collect();
        for space in spaces {
            self.end_old_landing(&space)?;
            let (user, device, now) = (self.me.user(), self.me.device_id(), self.now.as_ms());
            let Some(s) = self.spaces.get_mut(&space) else {
                continue;
            };
            let (patience, every) = if s.lacks_keys(&user, &device) {
                (PATIENCE_MS, ASK_EVERY_MS)
            } else if online && s.lost_touch(&device, now) {
                (SILENCE_MS, ASK_IN_SILENCE_MS)
            } else if online && s.shut_out(&device) {
                (SHUT_OUT_MS, ASK_IN_SILENCE_MS)
            } else {
                s.behind_since = None;
                continue;
            };
            let since = *s.behind_since.get_or_insert(now);
            let readded = s.readded_lately(&s.canonical, &device, Hlc::from_wall(self.now));
            let join = self.joins.get(&space);
            let waits = !readded && join.is_some_and(|join| join.waits(now, every));
            if waits || !online || now.saturating_sub(since) < patience {
                continue;
            }
            let asked = if readded {
                self.ask_for_answer(&space)
            } else {
                self.ask_for_keys(&space, None)
            };
            match asked {
                Ok(()) => {}
                Err(CommandError::Store { source }) => return Err(source),
                Err(error) => tracing::debug!(%error, "cannot ask to be added again"),
            }
        }
        Ok(())
    }

    /// Asks to be added again; with an epoch by the complaint that its commit cannot be followed.
    pub(crate) fn ask_for_keys(
        &mut self,
        space: &SpaceId,
        complaint: Option<Complaint>,
    ) -> Result<(), CommandError> {
        let me = self.local_device()?;
        let (package, secret) = mls::key_package(&me, &mut self.rng).map_err(group_error)?;
        let mut nonce = [0; 32];
        self.rng.fill_bytes(&mut nonce);
        let (key_package, nonce) = (ByteVec::from(package.clone()), Digest::from_bytes(nonce));
        let payload = match complaint {
            None => Payload::ReaddRequest(ReaddRequest { key_package, nonce }),
            Some(Complaint { epoch, .. }) => Payload::CommitComplaint(CommitComplaint {
                epoch,
                key_package,
                nonce,
            }),
        };
        let mut header = self.next_header(space, payload.kind(), Scope::Control, &[])?;
        if let Some(Complaint { parent, .. }) = complaint {
            header.epoch = parent;
        }
        let op = self.sign_and_take(space, header, &payload)?;
        let bytes = self.op_bytes(space, &op)?.unwrap_or_default();
        stored::save_key_package(&mut self.store, space, &secret, &mut self.rng);
        self.ask_by_op(space, package, bytes)
    }

    /// The branch that counts has added this device, and the answer did not come: it may have got lost at
    /// a relay, or gone to a mailbox that a relay forgot. Whoever made the commit has kept it (B19).
    fn ask_for_answer(&mut self, space: &SpaceId) -> Result<(), CommandError> {
        let device = self.me.device_id();
        let s = self.known_space(space)?;
        let Some((package, op)) = s.added_by(&device) else {
            return Ok(());
        };
        let digest = mls::key_package_digest(&package);
        let asks = |join: &PendingJoin| {
            let same = mls::key_package_digest(&join.key_package) == digest;
            same && join.landed_at.is_none() && join.failed.is_none()
        };
        // A request that nobody answers is put again as it is (`join`).
        let asked = self.joins.get(space).is_some_and(asks);
        let ours = stored::load_key_package(&self.store, space, &digest);
        if asked || !matches!(ours, Ok(Some(_))) {
            return Ok(());
        }
        let bytes = self.op_bytes(space, &op)?.unwrap_or_default();
        self.ask_by_op(space, package, bytes)
    }

    /// Puts a request under the return tag of each relay: a key package, and the op that offers it.
    fn ask_by_op(
        &mut self,
        space: &SpaceId,
        package: Vec<u8>,
        op: Vec<u8>,
    ) -> Result<(), CommandError> {
        let relays = self.relays.values().map(|r| r.address.clone()).collect();
        let mut join = self.next_join(*space, relays, package);
        join.comes_back = Some(ByteVec::from(op));
        join.asked_at = Some(self.now.as_ms());
        self.keep_join(join);
        for relay in self.relays.keys().copied().collect::<Vec<_>>() {
            self.continue_joins(relay)?;
        }
        Ok(())
    }

    fn end_old_landing(&mut self, space: &SpaceId) -> Result<(), StoreError> {
        let now = self.now.as_ms();
        let landed = self.joins.get(space).and_then(|join| join.landed_at);
        if landed.is_some_and(|at| now.saturating_sub(at) > LANDED_MS) {
            self.forget_join(space)?;
        }
        Ok(())
    }
}

impl PendingJoin {
    /// Whether asking again is of no use yet: an answer may come.
    fn waits(&self, now: u64, every: u64) -> bool {
        // What was asked before the clock was set back is not recent.
        // Nobody answers a link of somebody who turns out to be a member all the time.
        let patience = if self.failed.is_some() || self.comes_back.is_none() {
            ASK_AGAIN_MS
        } else {
            every
        };
        let recent = |at: u64| now.checked_sub(at).is_some_and(|since| since < patience);
        let comes = |at: u64| at.saturating_sub(now) < ASK_EVERY_MS;
        let landed = self.landed_at.is_some();
        self.early_until.is_some_and(comes) || !landed && self.asked_at.is_none_or(recent)
    }
}

impl Space {
    /// Whether the Space goes on with keys that this device should have, and has not.
    pub(crate) fn lacks_keys(&self, user: &UserId, device: &DeviceId) -> bool {
        let authorised = self.view.authorised_user(device) == Some(*user);
        // Where damage took the record of the present epoch, ops are missing, not keys.
        let whole = self.authority.epoch(&self.tip).is_some();
        // Without the topic key nothing of its own is sent.
        let has = self.keys.contains_key(&self.tip) && self.generation_for(&self.tip).is_some();
        authorised && whole && !(self.is_canonical() && has)
    }

    /// Whether nothing was heard of the others for so long that what would show newer keys is gone from
    /// the relays.
    pub(crate) fn lost_touch(&self, device: &DeviceId, now: u64) -> bool {
        let last = self.last_sign(device).unwrap_or(now);
        self.has_others(device) && now.saturating_sub(last) > LOST_TOUCH_MS
    }

    /// Whether relays were given what no key here opens, long after the last that was heard of the others:
    /// the commit that made its key is lost, and whoever has it speaks under it alone.
    pub(crate) fn shut_out(&self, device: &DeviceId) -> bool {
        let since = self.last_sign(device).unwrap_or(u64::MAX);
        self.has_others(device) && self.unopened_last > since.saturating_add(SHUT_OUT_MS)
    }

    /// Whether this device shares the group with another.
    fn has_others(&self, device: &DeviceId) -> bool {
        self.in_group(device) && self.roster().any(|other| other != *device)
    }

    /// When the others gave a sign last, heads or a commit, in milliseconds; `None` where nothing at all is known.
    fn last_sign(&self, device: &DeviceId) -> Option<u64> {
        let epochs = self.authority.epochs();
        let mut at = epochs.epoch(&self.tip);
        while let Some(record) = at.filter(|record| record.device == *device) {
            at = record.parent.and_then(|parent| epochs.epoch(&parent));
        }
        let node = at.and_then(|record| self.log.dag().node(&record.commit));
        // Where no other has made a commit yet, the founding is the last that is known of them.
        let first = || self.log.dag().iter().next();
        let changed = node.or_else(first)?.op.header().hlc.to_wall().as_ms();
        Some(self.repair.last_heard().unwrap_or(0).max(changed))
    }

    /// The key package with which a device that is in the group asks to be put in again, if the
    /// newest thing it offered is that and no epoch of this branch has used it.
    pub(crate) fn asked_again(&self, device: &DeviceId, now: Hlc) -> Option<Vec<u8>> {
        let (_, op) = self.newest_offer(device)?;
        let op = &self.log.dag().node(&op)?.op;
        // Everybody who came in has offered one, in an op that takes long to decode.
        let may_ask = [Kind::ReaddRequest, Kind::CommitComplaint].map(Some);
        if !may_ask.contains(&op.header().kind()) {
            return None;
        }
        let asks = match op.payload() {
            Ok(Some(Payload::ReaddRequest(_))) => true,
            // Where the group did not go on from that commit, the keys are there.
            Ok(Some(Payload::CommitComplaint(complaint))) => {
                let epochs = self.authority.epochs();
                epochs.is_ancestor(&complaint.epoch, &self.tip)
            }
            Ok(_) | Err(_) => false,
        };
        if !asks || self.readded_lately(&self.tip, device, now) {
            return None;
        }
        self.fresh_key_package(device)
    }

    /// The key package by which the branch that counts added a device last, and the op that offered it.
    fn added_by(&self, device: &DeviceId) -> Option<(Vec<u8>, OpId)> {
        let epochs = self.authority.epochs();
        let chain = epochs.chain(&self.canonical);
        let records = chain.iter().rev().filter_map(|id| epochs.epoch(id));
        let mut added = records.flat_map(|record| record.delta.added.iter());
        let entry = added.find(|entry| entry.device == *device)?;
        let offers = self.view.key_packages(device).into_iter();
        let mut of_entry = offers.filter(|(digest, _)| *digest == entry.key_package);
        let (digest, op) = of_entry.next()?;
        Some((self.offered_package(&op, &digest)?, op))
    }

    /// K6: whether the branch to this tip re-added a device within the last 6 h. What another branch
    /// did is of no use to it.
    pub(crate) fn readded_lately(&self, tip: &EpochId, device: &DeviceId, now: Hlc) -> bool {
        let epochs = self.authority.epochs();
        let time = |commit| self.log.dag().node(commit).map(|node| node.op.header().hlc);
        // Times fall strictly along the branch (R2), so the walk ends with the span.
        let mut at = epochs.epoch(tip);
        while let Some(record) = at
            && time(&record.commit).is_some_and(|then| now < then.plus_secs(READD_SECS))
        {
            let delta = &record.delta;
            if delta.removed.contains(device) && delta.added.iter().any(|e| e.device == *device) {
                return true;
            }
            at = record.parent.and_then(|parent| epochs.epoch(&parent));
        }
        false
    }
}
