//! Making commits: bringing the group in line with the roster, and renewing keys.
//!
//! Authority lies in control ops; a commit only brings the keys in line with them ("reconcile").
//! Whoever wrote the op that changed the roster commits at once; others wait their turn and find it
//! done.
//!
//! # Invariants
//! - Op, new epoch and queue entry of an own commit are one step of the store.

use std::collections::BTreeSet;

use minicbor::bytes::ByteVec;
use mls::{Change, Committed, commit_aad};
use oplog::authority::View;
use oplog::hash::H;
use oplog::mutants::{Mutant, on};
use oplog::payload::{Commit, DeviceCert};
use oplog::store::{Store, StoreError};
use oplog::tuning::{Knob, tuned};
use oplog::{
    DeviceId, Digest, EpochId, Features, Header, Hlc, Kind, OpId, Payload, Scope, SignedOp, SpaceId,
};
use rand_core::CryptoRng;

use crate::blobs::ChunkStore;
use crate::error::CommandError;
use crate::event::Timer;
use crate::group::group_error;
use crate::ingest::Outcome;
use crate::node::Node;
use crate::outbox::Queued;
use crate::seal::check_fits;
use crate::space::Space;

/// One place further back in the order of reconciling, in milliseconds (B5).
const TURN_MS: u64 = 2_000;
/// Most devices that one commit adds: larger crowds come in several.
const ADDS_MAX: usize = 100;

impl<S: Store, C: ChunkStore, R: CryptoRng> Node<S, C, R> {
    /// What the group lacks and has too much, against the fold of everything.
    fn pending_change(&self, s: &Space) -> Pending {
        let authorised = s.view.authorised_devices();
        let roster: BTreeSet<DeviceId> = s.roster().collect();
        let remove: Vec<DeviceId> = roster
            .iter()
            .filter(|d| !authorised.contains_key(d))
            .copied()
            .collect();
        let mut remove = remove;
        let mut add = Vec::new();
        let own = self.me.device_id();
        let now = Hlc::from_wall(self.now);
        for (device, user) in authorised.iter().filter(|(device, _)| **device != own) {
            if add.len() >= ADDS_MAX {
                break;
            }
            // Without the request nobody could send the Welcome, and the key package would be spent. Looked
            // for first: what was offered has to be decoded, and nearly nobody asks.
            let applicant = self.applicants.get(&(s.id, *device));
            let request = applicant.map(|applicant| &applicant.request);
            let Some(request) = request.filter(|request| request.cert.user == *user) else {
                continue;
            };
            let inside = roster.contains(device);
            let package = if inside {
                s.asked_again(device, now)
            } else {
                s.fresh_key_package(device)
            };
            let package = package.filter(|package| **package == **request.key_package);
            let cert = s.view.device(device).map(|d| (*d.cert).clone());
            if let (Some(package), Some(cert)) = (package, cert)
                // One bad key package must not keep the others out (A21).
                && mls::check_key_package(&package, &cert).is_ok()
            {
                add.push((cert, package));
                if inside {
                    remove.push(*device);
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
        let idle = !self.can_commit(s) || self.pending_change(s).is_empty();
        if idle || on(Mutant::NeverReconciles) {
            return Ok(());
        }
        let turn = tuned(Knob::CommitTurn, TURN_MS) * s.slack(Hlc::from_wall(self.now));
        let wait = (s.place_in_group(&self.me.device_id()) + 1) * turn;
        let jitter = u64::from(self.rng.next_u32() % 1_000);
        self.set_timer(Timer::Reconcile(*space), wait + jitter);
        Ok(())
    }

    /// Whether this device waits for its turn to bring some group in line, or to let somebody in. A
    /// program that ends before leaves that to others.
    #[must_use]
    pub fn has_turns(&self) -> bool {
        let changes = |s: &Space| self.can_commit(s) && !self.pending_change(s).is_empty();
        self.spaces.values().any(changes) || self.admits_soon()
    }

    /// After an own control op: bring the group in line at once.
    pub(crate) fn reconcile_own(&mut self, space: &SpaceId) -> Result<(), CommandError> {
        let s = self.known_space(space)?;
        if !self.can_commit(s) {
            return Ok(());
        }
        let pending = self.pending_change(s);
        let removes = !pending.remove.is_empty();
        if pending.is_empty() || (removes && on(Mutant::NeverReconciles)) {
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

    pub(crate) fn can_commit(&self, s: &Space) -> bool {
        s.in_group(&self.me.device_id())
            && s.is_member(&self.me.user())
            && s.is_canonical()
            && s.log.awaited_features() == Features::NONE
    }

    pub(crate) fn update_keys(&mut self, space: &SpaceId) -> Result<OpId, CommandError> {
        let s = self.known_space(space)?;
        if !s.is_canonical() {
            return Err(CommandError::KeysBehind);
        }
        let change = Change {
            add: Vec::new(),
            remove: Vec::new(),
            force_path: true,
        };
        self.commit_change(space, change).map(|made| made.op)
    }

    /// Commits a change.
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
        self.take_own_commit(space, header, parent, made)
    }

    /// Makes an own commit count: the op, the new epoch and the queue entry, in one step.
    pub(crate) fn take_own_commit(
        &mut self,
        space: &SpaceId,
        header: Header,
        parent: EpochId,
        made: Committed,
    ) -> Result<MadeCommit, CommandError> {
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
        check_fits(&op)?;
        let id = EpochId::of_commit(&op.id());
        let queued = Queued {
            hlc: op.header().hlc,
            op: op.id(),
        };
        let verified = op.verify().map_err(|e| CommandError::Invalid {
            what: e.to_string(),
        })?;
        let mut outcome = Outcome::default();
        // Accepting first: own commits are not followed, their epoch is entered below.
        self.accept_all(space, vec![verified], &mut outcome)?;
        if let Some((_, rule, why)) = outcome.refused.into_iter().next() {
            return Err(CommandError::NotAllowed { rule, why });
        }
        self.enter_epoch(space, id, &made.next);
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
}

impl Space {
    /// The newest key package offered for a device, and the op that did.
    pub(crate) fn newest_offer(&self, device: &DeviceId) -> Option<(Digest, OpId)> {
        let offers = self.view.key_packages(device).into_iter();
        let depth = |op: &OpId| self.log.dag().node(op).map(|node| node.depth);
        offers.max_by_key(|(_, op)| (depth(op), *op))
    }

    /// Whether an epoch of this branch added a device with this key package.
    pub(crate) fn has_used(&self, device: &DeviceId, package: &Digest) -> bool {
        let epochs = self.authority.epochs();
        let chain = epochs.chain(&self.tip);
        let mut added = chain
            .iter()
            .filter_map(|id| epochs.epoch(id))
            .flat_map(|epoch| epoch.delta.added.iter());
        added.any(|entry| entry.device == *device && entry.key_package == *package)
    }

    /// The newest key package offered for a device, unless this branch has used it. One that
    /// another branch used is good: its secrets are kept for that (B1).
    pub(crate) fn fresh_key_package(&self, device: &DeviceId) -> Option<Vec<u8>> {
        let (digest, op) = self.newest_offer(device)?;
        if self.has_used(device, &digest) {
            return None;
        }
        self.offered_package(&op, &digest)
    }

    /// The key package of this digest in the op that offers it.
    pub(crate) fn offered_package(&self, op: &OpId, digest: &Digest) -> Option<Vec<u8>> {
        let payload = self.log.dag().node(op)?.op.payload().ok()??;
        let packages: Vec<ByteVec> = if let Payload::MemberAdd(add) = payload {
            add.members
                .into_iter()
                .map(|member| member.key_package)
                .collect()
        } else if let Payload::DeviceAdd(add) = payload {
            vec![add.key_package]
        } else if let Payload::ReaddRequest(request) = payload {
            vec![request.key_package]
        } else if let Payload::CommitComplaint(complaint) = payload {
            vec![complaint.key_package]
        } else {
            Vec::new()
        };
        packages
            .into_iter()
            .map(Vec::from)
            .find(|bytes| mls::key_package_digest(bytes) == *digest)
    }
}

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
