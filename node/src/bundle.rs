//! The bundle that makes somebody a member: judged whole, then taken in.
//!
//! # Invariants
//! - A bundle is trusted in nothing: its ops pass the same acceptance as all others, the Space id is
//!   the one in the link, and the Welcome must lead to the roster that the commit op declares.
//! - Nothing of a bundle is kept unless all of that holds.

use fold::AuthorityFold;
use mls::{ExpectedJoin, Roster, TopicKey, cert_book, stored};
use oplog::authority::Authority;
use oplog::deferral::Deferral;
use oplog::payload::Payload;
use oplog::store::{MemStore, Store, StoreError};
use oplog::{
    Accept, Digest, EpochId, Secret, SignedOp, SpaceId, SpaceLog, SpaceNo, Timestamp, codec,
};
use rand_core::CryptoRng;

use crate::blobs::ChunkStore;
use crate::commit::welcome_hash;
use crate::join::{Parcel, PendingJoin};
use crate::message::{BUNDLE_BYTES_MAX, EARLIER_TOPICS_MAX, JoinBundle};
use crate::node::Node;
use crate::space::Space;
use crate::view::Notice;

/// Most bundles of one Space that are fetched at once: each branch that lets us in has one.
const BUNDLES_MAX: usize = 8;

impl<S: Store, C: ChunkStore, R: CryptoRng> Node<S, C, R> {
    pub(crate) fn fetch_bundle(&mut self, space: &SpaceId, parcel: Parcel) {
        let Some(mut join) = self.joins.get(space).cloned() else {
            return;
        };
        if parcel.blob.size > BUNDLE_BYTES_MAX as u64 {
            return self.refuse_bundle(space, parcel.earlier, "the bundle is too long");
        }
        if join.bundles.len() < BUNDLES_MAX && !join.bundles.iter().any(|b| b.blob == parcel.blob) {
            join.bundles.push(parcel);
            self.keep_join(join);
        }
    }

    /// Goes on with bundles that came as blobs.
    pub(crate) fn continue_bundles(&mut self) -> Result<(), StoreError> {
        let waiting: Vec<(SpaceId, Parcel)> = self
            .joins
            .values()
            .filter(|j| j.withdrawn_at.is_none())
            .flat_map(|j| j.bundles.iter().map(|b| (j.space, b.clone())))
            .collect();
        for (space, Parcel { blob, earlier }) in waiting {
            let missing = self.blob_missing(&blob)?;
            if !missing.is_empty() {
                self.want(&missing);
                continue;
            }
            match self.read_blob(&blob)? {
                Some(bytes) => {
                    match codec::decode_bounded::<JoinBundle>("bundle", &bytes, BUNDLE_BYTES_MAX) {
                        Ok(bundle) => self.take_bundle(&space, &bundle, earlier)?,
                        Err(error) => self.refuse_bundle(&space, earlier, &error.to_string()),
                    }
                }
                None => self.refuse_bundle(&space, earlier, "the bundle cannot be opened"),
            }
            if let Some(mut join) = self.joins.get(&space).cloned() {
                join.bundles.retain(|parcel| parcel.blob != blob);
                self.keep_join(join);
            }
        }
        Ok(())
    }

    /// An answer to what was asked before says nothing about what is asked now.
    fn refuse_bundle(&mut self, space: &SpaceId, earlier: bool, why: &str) {
        if !earlier {
            self.fail_join(space, why);
        }
    }

    /// Lets a bundle make us a member, if everything in it holds.
    pub(crate) fn take_bundle(
        &mut self,
        space: &SpaceId,
        bundle: &JoinBundle,
        earlier: bool,
    ) -> Result<(), StoreError> {
        let Some(join) = self.joins.get(space).cloned() else {
            return Ok(());
        };
        let epoch = EpochId::of_commit(&bundle.commit);
        let entered = |s: &Space| s.keys.contains_key(&epoch);
        if self.spaces.get(space).is_some_and(entered)
            && matches!(self.load_state(space, &epoch), Ok(Some(_)))
        {
            // It came by another relay too. Where the disk has damaged the state, it makes it again.
            return Ok(());
        }
        match self.check_bundle(space, &join, bundle) {
            Ok(epoch) => self.enter_by_bundle(space, bundle, &epoch),
            Err(BundleError::Store(error)) => Err(error),
            Err(BundleError::Early(until)) => self.keep_early(space, bundle, earlier, until),
            Err(BundleError::Wrong(why)) => {
                self.refuse_bundle(space, earlier, &why);
                Ok(())
            }
        }
    }

    /// Judges a bundle without keeping anything of it.
    fn check_bundle(
        &mut self,
        space: &SpaceId,
        join: &PendingJoin,
        bundle: &JoinBundle,
    ) -> Result<mls::Epoch, BundleError> {
        let wrong = |why: &str| {
            Err(BundleError::Wrong(format!(
                "the answer is not usable: {why}"
            )))
        };
        if bundle.space != *space {
            return wrong("it is for another Space");
        }
        let mut scratch = MemStore::new();
        let mut authority = AuthorityFold::new();
        let mut log = SpaceLog::new(*space, SpaceNo(1));
        let known: Vec<Vec<u8>> = match self.spaces.get(space) {
            Some(s) => s.log.dag().iter().map(|node| node.op.encode()).collect(),
            None => Vec::new(),
        };
        let ops = known
            .iter()
            .map(Vec::as_slice)
            .chain(bundle.control.iter().map(|b| b.as_slice()));
        let signed: Vec<SignedOp> = ops
            .filter_map(|bytes| SignedOp::decode(bytes).ok())
            .collect();
        let ahead = signed
            .iter()
            .filter_map(|op| Deferral::until(op.header().hlc, self.now))
            .max();
        for op in SignedOp::verify_batch(signed, &mut self.rng)
            .into_iter()
            .flatten()
        {
            match log.accept(op, self.now, &mut scratch, &mut authority) {
                Ok(
                    Accept::Applied { .. }
                    | Accept::Duplicate
                    | Accept::Held { .. }
                    | Accept::Deferred { .. }
                    | Accept::Waiting(_),
                ) => {}
                Err(error) => {
                    tracing::debug!(%error, "a bundle holds an op that is refused");
                }
            }
        }
        let view = authority.view_all(log.dag());
        let id = EpochId::of_commit(&bundle.commit);
        let Some(record) = authority.epoch(&id) else {
            return match ahead {
                Some(until) => Err(BundleError::Early(until)),
                None => wrong("it lacks the commit that adds us"),
            };
        };
        let own = record
            .roster
            .get(&self.me.device_id())
            .map(|(_, package)| *package);
        let Some(own) = own.filter(|own| join.packages().any(|made| made == *own)) else {
            return wrong("its commit does not add this device with a key package we made");
        };
        let Some(Ok(Some(Payload::Commit(commit)))) =
            log.dag().node(&bundle.commit).map(|n| n.op.payload())
        else {
            return wrong("it lacks the commit that adds us");
        };
        if !commit.welcomes.contains(&welcome_hash(&bundle.welcome)) {
            return wrong("its Welcome is not the commit's");
        }
        if crate::space::generation_of(&authority, &id) != bundle.generation {
            return wrong("its tags are not those of the commit");
        }
        let secret = stored::load_key_package(&self.store, space, &own);
        let secret = secret.map_err(|error| match error {
            stored::StoredError::Store(source) => BundleError::Store(source),
            stored::StoredError::Mls(error) => BundleError::Wrong(error.to_string()),
        })?;
        let Some(secret) = secret else {
            return wrong("the key package's secrets are gone");
        };
        let Some(group_id) = group_id(log.dag()) else {
            return wrong("it lacks the op that founded the Space");
        };
        let roster = Roster::from((*record.roster).clone());
        let expected = ExpectedJoin {
            group_id,
            number: record.number,
            device: record.device,
            roster: &roster,
            root_commit: record.root_commit,
            roster_hash: commit.roster_hash,
        };
        let certs: Vec<_> = view.devices().map(|device| device.cert).collect();
        mls::join(
            &secret,
            &bundle.welcome,
            &expected,
            &cert_book(certs.iter().map(|cert| &**cert)),
        )
        .map_err(|e| BundleError::Wrong(e.to_string()))
    }

    fn enter_by_bundle(
        &mut self,
        space: &SpaceId,
        bundle: &JoinBundle,
        epoch: &mls::Epoch,
    ) -> Result<(), StoreError> {
        if !self.spaces.contains_key(space) {
            let fresh = self.new_space(*space);
            self.spaces.insert(*space, fresh);
            self.doubt_returned(space)?;
        }
        self.take_ops(space, bundle.control.iter().map(|b| b.to_vec()).collect())?;
        let topic = TopicKey::new(Secret::from_bytes(*bundle.topic.as_bytes()));
        self.keep_topic(space, bundle.generation, topic);
        for earlier in bundle.earlier.iter().take(EARLIER_TOPICS_MAX) {
            let topic = TopicKey::new(Secret::from_bytes(*earlier.key.as_bytes()));
            self.keep_topic(space, earlier.generation, topic);
        }
        let entered = EpochId::of_commit(&bundle.commit);
        self.enter_epoch(space, entered, epoch);
        let next = self
            .spaces
            .get(space)
            .map(|s| s.authority.epochs().children(&entered).to_vec());
        self.follow_commits(space, next.unwrap_or_default())?;
        self.take_ops(space, bundle.content.iter().map(|b| b.to_vec()).collect())?;
        self.retry_unopened(space)?;
        for address in &bundle.relays {
            self.add_relay(address);
        }
        if let Some((invite, _)) = self.joins.get(space).and_then(|join| join.invite) {
            self.note_landing(space, &invite)?;
        }
        // Kept for a while: another branch may let us in too, and be the one that counts.
        if let Some(mut join) = self.joins.get(space).cloned() {
            join.failed = None;
            join.landed_at = Some(self.now.as_ms());
            self.keep_join(join);
        }
        self.save_space(space);
        self.notify(Notice::Joined { space: *space });
        Ok(())
    }
}

enum BundleError {
    Wrong(String),
    /// It cannot be looked at before this.
    Early(Timestamp),
    Store(StoreError),
}

fn group_id(dag: &oplog::dag::ControlDag) -> Option<Digest> {
    let genesis = dag.iter().next()?;
    if let Payload::Genesis(genesis) = genesis.op.payload().ok()?? {
        Some(genesis.group_id)
    } else {
        None
    }
}
