//! The Space's MLS group on this device: following commits, making them, sealing for the group.
//!
//! Authority lies in control ops; a commit only brings the keys in line with them
//! ("reconcile"). Whoever wrote the op that changed the roster commits at once; others wait
//! their turn and find it done. Until concurrent commits are healed by choosing a branch, a
//! node keeps the one it merged, reports the fork and commits no more.
//!
//! # Invariants
//! - Op, new epoch and queue entry of an own commit are one step of the store.
//! - No content is sealed for a group that holds somebody whom the Space removed.
//! - A commit's MLS bytes are checked by `mls` before its epoch is entered, whoever sent it.

use std::collections::{BTreeMap, BTreeSet};

use minicbor::bytes::ByteVec;
use mls::envelope::{Day, SealKeys, TagKey};
use mls::{
    Change, Committed, EpochKeys, Expected, LocalDevice, Processed, cert_book, commit_aad, stored,
};
use net::wire::PutRequest;
use oplog::authority::{Authority, View};
use oplog::hash::H;
use oplog::payload::{Commit, DeviceCert, Genesis, SpaceKind};
use oplog::store::{Store, StoreError};
use oplog::{
    AcceptedOp, Authoring, DeviceId, Digest, EpochId, Features, Hlc, Kind, OpId, Payload, Scope,
    SecretKey, Signature, SignedOp, SpaceId, codec,
};
use rand_core::CryptoRng;

use crate::blobs::ChunkStore;
use crate::error::CommandError;
use crate::event::Timer;
use crate::exchange::{ENVELOPE_TTL_SECS, Queued};
use crate::ingest::Outcome;
use crate::message::Sealed;
use crate::node::Node;
use crate::space::{ROOT_AGE_MS_MAX, Space};
use crate::view::Notice;

/// Snapshots kept of the branch this device is on (B6).
const SNAPSHOTS_MAX: usize = 8;
/// One place further back in the order of reconciling, in milliseconds (B5).
const TURN_MS: u64 = 2_000;
/// The last place in that order.
const TURNS_MAX: usize = 8;
/// Most devices that one commit adds: larger crowds come in several.
const ADDS_MAX: usize = 100;
/// Most bytes of ops in one envelope, so that it fits the 256 KiB bucket; a longer single op gets its own.
const ENVELOPE_OPS_BYTES_MAX: usize = 240 * 1024;

/// An envelope ready to be put, with the queued ops inside.
#[derive(Debug)]
pub(crate) struct Put {
    pub(crate) ops: Vec<Queued>,
    pub(crate) request: PutRequest,
}

impl<S: Store, C: ChunkStore, R: CryptoRng> Node<S, C, R> {
    pub(crate) fn local_device(&self) -> Result<LocalDevice, CommandError> {
        LocalDevice::new(self.me.cert.clone(), self.me.mls.clone()).map_err(group_error)
    }

    /// Founds a Space: the group, Genesis, the first channels.
    pub(crate) fn create_space(&mut self, name: &str) -> Result<SpaceId, CommandError> {
        let me = self.local_device()?;
        let mut group_id = [0; 32];
        self.rng.fill_bytes(&mut group_id);
        let group_id = Digest::from_bytes(group_id);
        let epoch = mls::found(&me, &group_id, &mut self.rng).map_err(group_error)?;
        let payload = Payload::Genesis(Genesis {
            name: name.trim().to_owned(),
            kind: SpaceKind::Community,
            cert: self.me.cert.clone(),
            group_id,
            root_commit: epoch.root.commitment(),
            owner_removable: false,
            leaf: epoch
                .roster()
                .as_map()
                .get(&self.me.device_id())
                .map_or(Digest::ZERO, |(_, leaf)| *leaf),
        });
        let bytes = payload.encode();
        Payload::decode(Kind::Genesis, &bytes).map_err(|e| CommandError::Invalid {
            what: e.to_string(),
        })?;
        let header = Authoring::genesis(self.me.user(), self.me.device_id(), self.now);
        let op = SignedOp::sign(header, &payload, &self.me.device);
        let space = op.space();
        let queued = Queued {
            hlc: op.header().hlc,
            op: op.id(),
        };
        let fresh = self.new_space(space);
        self.spaces.insert(space, fresh);
        let genesis = EpochId::genesis(&space);
        self.enter_epoch(&space, genesis, &epoch)?;
        let verified = op.verify().map_err(|e| CommandError::Invalid {
            what: e.to_string(),
        })?;
        let mut outcome = Outcome::default();
        self.accept_all(&space, vec![verified], &mut outcome)?;
        if let Some((_, rule, why)) = outcome.refused.into_iter().next() {
            self.spaces.remove(&space);
            return Err(CommandError::NotAllowed { rule, why });
        }
        self.enqueue(&space, &queued);
        for channel in Self::first_channels() {
            self.write(
                &space,
                Scope::Control,
                Payload::ChannelCreate(channel),
                Vec::new(),
            )?;
        }
        Ok(space)
    }

    /// Moves this device to an epoch whose state it holds: keys, snapshot, topic.
    pub(crate) fn enter_epoch(
        &mut self,
        space: &SpaceId,
        id: EpochId,
        epoch: &mls::Epoch,
    ) -> Result<(), StoreError> {
        stored::save_epoch(&mut self.store, space, &id, epoch, &mut self.rng);
        let now = self.now.as_ms();
        self.store.put(
            crate::identity::NODE_TABLE,
            &epoch_row(space, &id),
            &now.to_be_bytes(),
        );
        let keys = EpochKeys::new(&epoch.root);
        let topic = keys.topic();
        let Some(s) = self.spaces.get_mut(space) else {
            return Ok(());
        };
        s.keys.insert(id, keys);
        s.tip = id;
        s.stuck = None;
        let generation = s.generation_of(&id);
        // A generation is named by the topic key of the epoch that began it; others inherit it.
        if generation == id || s.generations.is_empty() {
            self.keep_topic(space, generation, topic);
        }
        self.save_space(space);
        self.tags_changed = true;
        self.notify(Notice::Epoch {
            space: *space,
            epoch: id,
        });
        Ok(())
    }

    fn load_state(
        &self,
        space: &SpaceId,
        epoch: &EpochId,
    ) -> Result<Option<mls::GroupState>, CommandError> {
        stored::load_state(&self.store, space, epoch).map_err(|error| match error {
            stored::StoredError::Store(source) => CommandError::Store { source },
            stored::StoredError::Mls(error) => group_error(error),
        })
    }

    /// Follows an accepted commit, if it goes on from the epoch we are in.
    pub(crate) fn follow_commit(
        &mut self,
        space: &SpaceId,
        op: &AcceptedOp,
    ) -> Result<(), StoreError> {
        let id = EpochId::of_commit(&op.id());
        let Some(s) = self.spaces.get(space) else {
            return Ok(());
        };
        if s.keys.contains_key(&id) || op.header().device == self.me.device_id() {
            return Ok(());
        }
        let Ok(Some(Payload::Commit(commit))) = op.payload() else {
            return Ok(());
        };
        if commit.parent != s.tip {
            if s.keys.contains_key(&commit.parent) && s.is_forked() {
                self.notify(Notice::Fork {
                    space: *space,
                    parent: commit.parent,
                });
            }
            return Ok(());
        }
        let state = match self.load_state(space, &commit.parent) {
            Ok(Some(state)) => state,
            Ok(None) => return Ok(()),
            Err(CommandError::Store { source }) => return Err(source),
            Err(error) => return self.stick(space, op.id(), &error.to_string()),
        };
        let certs = s.certs();
        let aad = commit_aad(&op.header().binding(), &commit.parent);
        let expected = Expected {
            aad: &aad,
            device: op.header().device,
            delta: &commit.delta,
            root_commit: commit.root_commit,
            roster_hash: commit.roster_hash,
        };
        match mls::process(&state, &commit.mls, &expected, &certs) {
            Ok(Processed::Next(epoch)) => self.enter_epoch(space, id, &epoch),
            // We are out: the last epoch we were in stays, for what we may still read.
            Ok(Processed::Removed { .. }) => Ok(()),
            Err(error) => self.stick(space, op.id(), &error.to_string()),
        }
    }

    /// The commit's keys cannot be followed: its author's fault. Reported; re-adding is to come.
    fn stick(&mut self, space: &SpaceId, commit: OpId, why: &str) -> Result<(), StoreError> {
        if let Some(s) = self.spaces.get_mut(space) {
            s.stuck = Some((commit, why.to_owned()));
        }
        self.notify(Notice::Refused {
            space: *space,
            op: commit,
            rule: "K1",
            why: why.to_owned(),
        });
        Ok(())
    }

    /// What the group lacks and has too much, against the fold of everything.
    fn pending_change(&self, s: &Space) -> Pending {
        let authorised = s.view.authorised_devices();
        let roster: BTreeSet<DeviceId> = s.roster().collect();
        let remove: Vec<DeviceId> = roster
            .iter()
            .filter(|d| !authorised.contains_key(d))
            .copied()
            .collect();
        let mut add = Vec::new();
        for device in authorised
            .keys()
            .filter(|d| !roster.contains(d))
            .take(ADDS_MAX)
        {
            let cert = s.view.device(device).map(|d| (*d.cert).clone());
            if let (Some(package), Some(cert)) = (s.fresh_key_package(device), cert) {
                // One bad key package must not keep the others out (A21).
                if mls::check_key_package(&package, &cert).is_ok() {
                    add.push((cert, package));
                }
            }
        }
        Pending { add, remove }
    }

    /// After control ops of others: if the group is out of line, take our turn in bringing it back.
    pub(crate) fn consider_reconcile(&mut self, space: &SpaceId) -> Result<(), StoreError> {
        let Some(s) = self.spaces.get(space) else {
            return Ok(());
        };
        if !self.can_commit(s) || self.pending_change(s).is_empty() {
            return Ok(());
        }
        let wait = self.turn_in_group(s) * TURN_MS;
        let jitter = u64::from(self.rng.next_u32() % 1_000);
        self.set_timer(Timer::Reconcile(*space), wait + jitter);
        Ok(())
    }

    /// Our place in the order B5 draws for this epoch.
    fn turn_in_group(&self, s: &Space) -> u64 {
        let draw = |device: &DeviceId| {
            H::new("elect")
                .field(s.tip.as_bytes())
                .field(device.as_bytes())
                .finish()
        };
        let own = draw(&self.me.device_id());
        let before = s.roster().filter(|device| draw(device) < own).count();
        u64::try_from(before.min(TURNS_MAX) + 1).unwrap_or(1)
    }

    /// After an own control op: bring the group in line at once.
    pub(crate) fn reconcile_own(&mut self, space: &SpaceId) -> Result<(), CommandError> {
        let s = self.known_space(space)?;
        if !self.can_commit(s) {
            return Ok(());
        }
        let pending = self.pending_change(s);
        if pending.is_empty() {
            return Ok(());
        }
        self.commit_change(space, pending.into_change()).map(|_| ())
    }

    pub(crate) fn reconcile_now(&mut self, space: &SpaceId) -> Result<(), StoreError> {
        match self.reconcile_own(space) {
            Ok(()) => Ok(()),
            Err(CommandError::Store { source }) => Err(source),
            // What we may not do, somebody else will; what nobody can do shows in the health report.
            Err(error) => {
                tracing::debug!(%error, "not reconciled");
                Ok(())
            }
        }
    }

    fn can_commit(&self, s: &Space) -> bool {
        s.in_group(&self.me.device_id())
            && s.is_member(&self.me.user())
            && !s.is_forked()
            && s.stuck.is_none()
            && s.log.awaited_features() == Features::NONE
    }

    pub(crate) fn update_keys(&mut self, space: &SpaceId) -> Result<OpId, CommandError> {
        let s = self.known_space(space)?;
        if s.is_forked() {
            return Err(CommandError::Forked);
        }
        let change = Change {
            add: Vec::new(),
            remove: Vec::new(),
            force_path: true,
        };
        self.commit_change(space, change).map(|made| made.op)
    }

    /// Commits a change: the op, the new epoch and the queue entry, in one step.
    pub(crate) fn commit_change(
        &mut self,
        space: &SpaceId,
        change: Change,
    ) -> Result<MadeCommit, CommandError> {
        let me = self.local_device()?;
        let header = self.next_header(space, Kind::Commit, Scope::Control, &[])?;
        let parent = self.known_space(space)?.tip;
        let state = self.load_state(space, &parent)?;
        let state = state.ok_or_else(|| CommandError::Group {
            why: "the group's state is not here".to_owned(),
        })?;
        let certs = self.known_space(space)?.certs();
        let aad = commit_aad(&header.binding(), &parent);
        let made: Committed =
            mls::commit(&me, &state, &change, &aad, &certs, &mut self.rng).map_err(group_error)?;
        let payload = Payload::Commit(Commit {
            parent,
            mls: ByteVec::from(made.message.clone()),
            root_commit: made.root_commit,
            roster_hash: made.roster_hash,
            class: made.class,
            delta: made.delta.clone(),
            group_info: ByteVec::from(made.group_info.clone()),
            welcomes: made.welcome.iter().map(|w| welcome_hash(w)).collect(),
        });
        let op = SignedOp::sign(header, &payload, &self.me.device);
        let id = EpochId::of_commit(&op.id());
        let queued = Queued {
            hlc: op.header().hlc,
            op: op.id(),
        };
        let verified = op.verify().map_err(|e| CommandError::Invalid {
            what: e.to_string(),
        })?;
        let mut outcome = Outcome::default();
        // Accepting first: `follow_commit` leaves own commits alone, their epoch is entered below.
        self.accept_all(space, vec![verified], &mut outcome)?;
        if let Some((_, rule, why)) = outcome.refused.into_iter().next() {
            return Err(CommandError::NotAllowed { rule, why });
        }
        self.enter_epoch(space, id, &made.next)?;
        self.enqueue(space, &queued);
        self.retry_unopened(space)?;
        let added: BTreeSet<DeviceId> = made.delta.added.iter().map(|entry| entry.device).collect();
        let made = MadeCommit {
            op: queued.op,
            welcome: made.welcome,
        };
        self.welcome_newcomers(space, &made, &added)?;
        Ok(made)
    }

    /// Seals queued ops into envelopes for one relay, in the order of their writing.
    pub(crate) fn seal_ops(
        &mut self,
        space: &SpaceId,
        queued: &[Queued],
    ) -> Result<Vec<Put>, StoreError> {
        let Some(s) = self.spaces.get(space) else {
            return Ok(Vec::new());
        };
        let blocked = s.holds_removed() && s.is_member(&self.me.user());
        let tip = s.tip;
        let mut ops: Vec<(Queued, AcceptedOp)> = Vec::with_capacity(queued.len());
        for q in queued {
            // A damaged record is found and fetched again elsewhere; here it only cannot be sent.
            ops.extend(s.table.op(&self.store, &q.op)?.map(|op| (*q, op)));
        }
        // Until the relay has our last commit, its readers are in the epoch before it.
        let last_commit = ops
            .iter()
            .rposition(|(_, op)| op.header().kind() == Some(Kind::Commit));
        let mut groups: Vec<Group> = Vec::new();
        for (at, (q, op)) in ops.iter().enumerate() {
            let h = op.header();
            if blocked && !h.is_control() {
                continue;
            }
            let unsent_commit_follows =
                h.is_control() && last_commit.is_some_and(|last| at <= last);
            let genesis = h.kind() == Some(Kind::Genesis);
            let epoch = if genesis {
                EpochId::genesis(space)
            } else if unsent_commit_follows {
                h.epoch
            } else {
                tip
            };
            let bytes = op.encode();
            let fits = |list: &[(Queued, Vec<u8>)]| {
                list.iter().map(|(_, b)| b.len()).sum::<usize>() + bytes.len()
                    <= ENVELOPE_OPS_BYTES_MAX
            };
            match groups.last_mut() {
                Some((scope, of, list)) if *scope == h.scope && *of == epoch && fits(list) => {
                    list.push((*q, bytes));
                }
                _ => groups.push((h.scope, epoch, vec![(*q, bytes)])),
            }
        }
        let mut puts = Vec::with_capacity(groups.len());
        for (scope, epoch, list) in groups {
            let (ops, bytes): (Vec<Queued>, Vec<Vec<u8>>) = list.into_iter().unzip();
            let sealed = Sealed::Ops(bytes.into_iter().map(ByteVec::from).collect());
            if let Some(request) = self.seal_under(space, scope, &epoch, &sealed)? {
                puts.push(Put { ops, request });
            }
        }
        Ok(puts)
    }

    /// Seals accepted ops of anybody again, for the group as it is now.
    pub(crate) fn seal_again(
        &mut self,
        space: &SpaceId,
        ops: &BTreeSet<OpId>,
    ) -> Result<Vec<PutRequest>, StoreError> {
        let Some(s) = self.spaces.get(space) else {
            return Ok(Vec::new());
        };
        if s.holds_removed() {
            return Ok(Vec::new());
        }
        let mut by_scope: BTreeMap<Scope, Vec<(Hlc, Vec<u8>)>> = BTreeMap::new();
        for id in ops {
            if let Some(op) = s.table.op(&self.store, id)? {
                by_scope
                    .entry(op.header().scope)
                    .or_default()
                    .push((op.header().hlc, op.encode()));
            }
        }
        let mut puts = Vec::new();
        for (scope, mut list) in by_scope {
            list.sort_unstable();
            let mut rest = list.as_slice();
            while !rest.is_empty() {
                let mut bytes = 0;
                let fit = rest.iter().take_while(|(_, op)| {
                    bytes += op.len();
                    bytes <= ENVELOPE_OPS_BYTES_MAX
                });
                let (now, later) = rest.split_at(fit.count().max(1).min(rest.len()));
                let sealed = Sealed::Ops(
                    now.iter()
                        .map(|(_, op)| ByteVec::from(op.clone()))
                        .collect(),
                );
                puts.extend(self.seal_for(space, scope, &sealed)?);
                rest = later;
            }
        }
        Ok(puts)
    }

    /// Seals for the group as it is now.
    pub(crate) fn seal_for(
        &mut self,
        space: &SpaceId,
        scope: Scope,
        sealed: &Sealed,
    ) -> Result<Option<PutRequest>, StoreError> {
        let Some(tip) = self.spaces.get(space).map(|s| s.tip) else {
            return Ok(None);
        };
        self.seal_under(space, scope, &tip, sealed)
    }

    pub(crate) fn seal_under(
        &mut self,
        space: &SpaceId,
        scope: Scope,
        epoch: &EpochId,
        sealed: &Sealed,
    ) -> Result<Option<PutRequest>, StoreError> {
        let day = Day::of(self.now);
        let Some(s) = self.spaces.get(space) else {
            return Ok(None);
        };
        let (Some(keys), Some(generation)) =
            (s.keys.get(epoch), s.generation(&s.generation_of(epoch)))
        else {
            return Ok(None);
        };
        let writer = TagKey::derive(&generation.topic, &scope, day);
        let plain = codec::encode(sealed);
        let envelope = mls::envelope::seal(
            &SealKeys::new(keys, &scope),
            &writer.tag(),
            &plain,
            &mut self.rng,
        );
        Ok(envelope
            .ok()
            .map(|envelope| PutRequest::sign(writer.secret(), envelope, ENVELOPE_TTL_SECS)))
    }

    /// Forgets snapshots beyond the newest few and roots beyond their age (B6).
    pub(crate) fn expire_snapshots(&mut self, space: &SpaceId) {
        let Some(s) = self.spaces.get(space) else {
            return;
        };
        let mut chain = vec![s.tip];
        while let Some(parent) = chain
            .last()
            .and_then(|e| s.authority.epoch(e))
            .and_then(|r| r.parent)
        {
            chain.push(parent);
        }
        let now = self.now.as_ms();
        let mut dropped = Vec::new();
        for (age, epoch) in chain.iter().enumerate() {
            if age >= SNAPSHOTS_MAX {
                stored::erase_state(&mut self.store, space, epoch);
            }
            let entered = self
                .store
                .get(crate::identity::NODE_TABLE, &epoch_row(space, epoch))
                .ok()
                .flatten();
            let entered = entered
                .and_then(|v| v.try_into().ok())
                .map_or(now, u64::from_be_bytes);
            if age > 0 && now.saturating_sub(entered) > ROOT_AGE_MS_MAX {
                stored::erase_root(&mut self.store, space, epoch);
                dropped.push(*epoch);
            }
        }
        if let Some(s) = self.spaces.get_mut(space) {
            for epoch in dropped {
                s.keys.remove(&epoch);
            }
        }
    }
}

impl Space {
    /// The certificates that accepted ops carry, as the group's leaves name them.
    pub(crate) fn certs(&self) -> BTreeMap<Digest, DeviceCert> {
        let certs: Vec<_> = self.view.devices().map(|device| device.cert).collect();
        cert_book(certs.iter().map(|cert| &**cert))
    }

    /// The newest key package offered for a device that no epoch has used.
    fn fresh_key_package(&self, device: &DeviceId) -> Option<Vec<u8>> {
        let used: BTreeSet<Digest> = self
            .authority
            .epochs()
            .iter()
            .flat_map(|epoch| epoch.delta.added.iter())
            .filter(|entry| entry.device == *device)
            .map(|entry| entry.key_package)
            .collect();
        let offers = self.view.key_packages(device);
        let mut fresh: Vec<_> = offers
            .into_iter()
            .filter(|(digest, _)| !used.contains(digest))
            .collect();
        fresh.sort_by_key(|(_, op)| self.log.dag().node(op).map(|node| (node.depth, *op)));
        let (digest, op) = fresh.pop()?;
        let payload = self.log.dag().node(&op)?.op.payload().ok()??;
        let packages: Vec<ByteVec> = if let Payload::MemberAdd(add) = payload {
            add.members
                .into_iter()
                .map(|member| member.key_package)
                .collect()
        } else if let Payload::DeviceAdd(add) = payload {
            vec![add.key_package]
        } else if let Payload::ReaddRequest(request) = payload {
            vec![request.key_package]
        } else {
            Vec::new()
        };
        packages
            .into_iter()
            .map(Vec::from)
            .find(|bytes| mls::key_package_digest(bytes) == digest)
    }
}

/// Ops that go into one envelope: where, under which epoch, and which.
type Group = (Scope, EpochId, Vec<(Queued, Vec<u8>)>);

/// A commit of our own.
#[derive(Debug)]
pub(crate) struct MadeCommit {
    pub(crate) op: OpId,
    pub(crate) welcome: Option<Vec<u8>>,
}

struct Pending {
    add: Vec<(DeviceCert, Vec<u8>)>,
    remove: Vec<DeviceId>,
}

impl Pending {
    fn is_empty(&self) -> bool {
        self.add.is_empty() && self.remove.is_empty()
    }

    fn into_change(self) -> Change {
        let force_path = !self.remove.is_empty();
        Change {
            add: self.add,
            remove: self.remove,
            force_path,
        }
    }
}

pub(crate) fn welcome_hash(welcome: &[u8]) -> Digest {
    Digest::from_bytes(H::new("welcome").field(welcome).finish())
}

#[expect(clippy::needless_pass_by_value, reason = "shaped for map_err")]
pub(crate) fn group_error(error: mls::Error) -> CommandError {
    CommandError::Group {
        why: error.to_string(),
    }
}

/// When this device entered an epoch.
fn epoch_row(space: &SpaceId, epoch: &EpochId) -> Vec<u8> {
    [b"epoch/".as_slice(), space.as_bytes(), epoch.as_bytes()].concat()
}

/// An identity key's signature for a device that is in no roster (A1).
pub(crate) fn identity_signature(identity: &SecretKey, header: &oplog::Header) -> Signature {
    identity.sign(&oplog::payload::DeviceAdd::identity_message(
        &header.binding(),
    ))
}
