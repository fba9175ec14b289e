//! Coming in: by an invite, with no particular member online; or back, from a backup.
//!
//! Who wants in leaves a request under the invite's tag and waits at a mailbox, where a
//! bundle with everything a member has arrives, sealed to this device (`docs/protocol.md`
//! B19). How members answer is in `admit`.
//!
//! # Invariants
//! - A bundle is trusted in nothing: its ops pass the same acceptance as all others, the Space id is
//!   the one in the link, and the Welcome must lead to the roster that the commit op declares.
//! - Nothing of a bundle is kept unless all of that holds.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use fold::AuthorityFold;
use minicbor::bytes::ByteVec;
use minicbor::{Decode, Encode};
use mls::envelope::{SealKeys, TagKey};
use mls::sealed_box::{self, BoxKey};
use mls::{ExpectedJoin, Roster, TopicKey, cert_book, key_package_digest, stored};
use net::wire::{
    Cursor, Filed, MailboxVerb, PutRequest, RecvAuth, RecvId, RelayError, Request, Response, SendId,
};
use oplog::authority::Authority;
use oplog::payload::{Attachment, NewMember, Payload};
use oplog::store::{Direction, MemStore, Store, StoreError, prefix_end};
use oplog::{
    Accept, Digest, EpochId, Kind, OpId, Scope, Secret, SecretKey, SignedOp, SpaceId, SpaceLog,
    SpaceNo, codec,
};
use rand_core::CryptoRng;

use crate::blobs::ChunkStore;
use crate::command::{Answer, CommandId};
use crate::error::CommandError;
use crate::event::RelayId;
use crate::exchange::{ENVELOPE_TTL_SECS, Purpose, relay_key};
use crate::group::{group_error, identity_signature, welcome_hash};
use crate::identity::NODE_TABLE;
use crate::invite::InviteLink;
use crate::message::{BUNDLE_BYTES_MAX, JoinBundle, JoinRequest, Mail};
use crate::node::{Node, Waiting};
use crate::view::Notice;

pub(crate) const MAIL_INFO: &[u8] = b"decent mail v1";
const JOIN: &[u8] = b"join/";

/// A Space we want into. Survives the process.
#[derive(Clone, Debug, Encode, Decode)]
#[cbor(map)]
pub(crate) struct PendingJoin {
    #[n(0)]
    space: SpaceId,
    /// By invite: its op and the seed of its key.
    #[n(1)]
    invite: Option<(OpId, Digest)>,
    /// Back from a backup: the DeviceAdd that our identity key signed.
    #[n(2)]
    device_add: Option<ByteVec>,
    /// Where the Space can be reached.
    #[n(3)]
    relays: Vec<String>,
    /// Our key package for this join; its secrets lie in the store under its hash.
    #[n(4)]
    key_package: ByteVec,
    /// A mailbox at each relay.
    #[n(5)]
    mailboxes: Vec<Mailbox>,
    /// Where the bundle lies, once somebody told.
    #[n(6)]
    bundle: Option<Attachment>,
    /// Why it failed, if it did.
    #[n(7)]
    failed: Option<String>,
}

#[derive(Clone, Debug, Encode, Decode)]
#[cbor(map)]
struct Mailbox {
    #[n(0)]
    relay: Digest,
    /// Seed of the key that reads it.
    #[n(1)]
    key: Digest,
    #[n(2)]
    recv_id: Option<RecvId>,
    #[n(3)]
    send_id: Option<SendId>,
    #[n(4)]
    read_to: Cursor,
    #[n(5)]
    asked: bool,
}

impl<S: Store, C: ChunkStore, R: CryptoRng> Node<S, C, R> {
    /// Asks to join by a link. The answer comes once somebody has let us in.
    pub(crate) fn join(
        &mut self,
        id: CommandId,
        link: &InviteLink,
    ) -> Result<Option<Answer>, CommandError> {
        let unusable = |why: &str| {
            Err(CommandError::Invite {
                why: why.to_owned(),
            })
        };
        if self.is_in(&link.space) {
            return unusable("you are a member of this Space already");
        }
        if link.relays.is_empty() && self.relays.is_empty() {
            return unusable("it names no relay, and none is configured");
        }
        let by = |join: &PendingJoin| join.invite.as_ref().map(|(invite, _)| *invite);
        // An earlier link may have been refused; what still comes for it goes to its own mailbox.
        if self.joins.get(&link.space).and_then(by) != Some(link.invite) {
            let secret = Digest::from_bytes(*link.secret.as_bytes());
            let mut relays = link.relays.clone();
            relays.extend(self.relays.values().map(|r| r.address.clone()));
            relays.dedup();
            self.begin_join(link.space, Some((link.invite, secret)), None, relays)?;
        }
        if let Some(join) = self.joins.get_mut(&link.space) {
            join.failed = None;
            for mailbox in &mut join.mailboxes {
                mailbox.asked = false;
            }
        }
        for relay in self.relays.keys().copied().collect::<Vec<_>>() {
            self.continue_joins(relay)?;
        }
        self.waiting.push((id, Waiting::Join(link.space)));
        Ok(None)
    }

    /// Asks the members of a Space that came out of a backup to let this new device in.
    ///
    /// # Errors
    /// When the Space is not here, or the op cannot be written.
    pub(crate) fn ask_to_return(&mut self, space: &SpaceId) -> Result<(), CommandError> {
        let me = self.local_device()?;
        let (package, secret) = mls::key_package(&me, &mut self.rng).map_err(group_error)?;
        let header = self.next_header(space, Kind::DeviceAdd, Scope::Control, &[])?;
        let payload = Payload::DeviceAdd(oplog::payload::DeviceAdd {
            cert: self.me.cert.clone(),
            key_package: ByteVec::from(package.clone()),
            identity_sig: Some(identity_signature(&self.me.identity, &header)),
        });
        let op = self.sign_and_take(space, header, &payload)?;
        let bytes = self.op_bytes(space, &op)?.unwrap_or_default();
        stored::save_key_package(&mut self.store, space, &secret, &mut self.rng);
        let relays = self.relays.values().map(|r| r.address.clone()).collect();
        self.keep_join(PendingJoin {
            space: *space,
            invite: None,
            device_add: Some(ByteVec::from(bytes)),
            relays,
            key_package: ByteVec::from(package),
            mailboxes: Vec::new(),
            bundle: None,
            failed: None,
        });
        Ok(())
    }

    fn begin_join(
        &mut self,
        space: SpaceId,
        invite: Option<(OpId, Digest)>,
        device_add: Option<ByteVec>,
        relays: Vec<String>,
    ) -> Result<(), CommandError> {
        let me = self.local_device()?;
        let (package, secret) = mls::key_package(&me, &mut self.rng).map_err(group_error)?;
        stored::save_key_package(&mut self.store, &space, &secret, &mut self.rng);
        for address in &relays {
            self.add_relay(address);
        }
        self.keep_join(PendingJoin {
            space,
            invite,
            device_add,
            relays,
            key_package: ByteVec::from(package),
            mailboxes: Vec::new(),
            bundle: None,
            failed: None,
        });
        Ok(())
    }

    pub(crate) fn load_joins(&mut self) -> Result<(), StoreError> {
        let mut joins = BTreeMap::new();
        self.store.scan(
            NODE_TABLE,
            JOIN,
            &prefix_end(JOIN),
            Direction::Forward,
            &mut |_, value| {
                let join = codec::decode::<PendingJoin>("join", value);
                joins.extend(join.map(|join| (join.space, join)));
                ControlFlow::Continue(())
            },
        )?;
        self.joins = joins;
        Ok(())
    }

    fn keep_join(&mut self, join: PendingJoin) {
        self.store.put(
            NODE_TABLE,
            &[JOIN, join.space.as_bytes()].concat(),
            &codec::encode(&join),
        );
        self.joins.insert(join.space, join);
    }

    fn end_join(&mut self, space: &SpaceId) {
        self.store
            .delete(NODE_TABLE, &[JOIN, space.as_bytes()].concat());
        self.joins.remove(space);
    }

    pub(crate) fn join_failure(&self, space: &SpaceId) -> Option<CommandError> {
        let Some(join) = self.joins.get(space) else {
            return Some(CommandError::Invite {
                why: "the request was given up".to_owned(),
            });
        };
        if let Some(why) = &join.failed {
            return Some(CommandError::Invite { why: why.clone() });
        }
        let dead = self.relays.values().all(|r| !r.connected && r.tried);
        let errors: Vec<String> = self
            .relays
            .values()
            .filter_map(|r| r.error.clone())
            .collect();
        dead.then(|| CommandError::NoRelay {
            why: errors.join("; "),
        })
    }

    /// Goes on with every pending join at a relay: mailbox, request, answers.
    pub(crate) fn continue_joins(&mut self, id: RelayId) -> Result<(), StoreError> {
        let Some(relay) = self.relays.get(&id).filter(|r| r.connected) else {
            return Ok(());
        };
        let (key, Some(challenge)) = (relay.key(), relay.challenge) else {
            return Ok(());
        };
        let spaces: Vec<SpaceId> = self.joins.keys().copied().collect();
        for space in spaces {
            let Some(join) = self.joins.get(&space).cloned() else {
                continue;
            };
            if !join.relays.iter().any(|address| relay_key(address) == key) {
                continue;
            }
            match join.mailboxes.iter().find(|m| m.relay == key) {
                None => self.open_mailbox(id, key, join),
                Some(mailbox) => {
                    let (Some(recv_id), Some(_)) = (mailbox.recv_id, mailbox.send_id) else {
                        continue;
                    };
                    let reader = SecretKey::from_seed(mailbox.key.as_bytes());
                    let after = mailbox.read_to;
                    let auth = RecvAuth::sign(
                        &reader,
                        MailboxVerb::Subscribe,
                        &recv_id,
                        after,
                        &challenge,
                    );
                    self.request(
                        id,
                        Purpose::ReadMailbox(space),
                        Request::MboxSubscribe {
                            recv_id,
                            after,
                            auth,
                        },
                    );
                    if !mailbox.asked {
                        self.ask_to_join(id, &key, &join);
                    }
                }
            }
        }
        Ok(())
    }

    fn open_mailbox(&mut self, id: RelayId, relay: Digest, mut join: PendingJoin) {
        let seed = Secret::generate(&mut self.rng);
        let recv_pk = Digest::from_bytes(SecretKey::from_seed(seed.as_bytes()).public());
        join.mailboxes.push(Mailbox {
            relay,
            key: Digest::from_bytes(*seed.as_bytes()),
            recv_id: None,
            send_id: None,
            read_to: Cursor::START,
            asked: false,
        });
        let space = join.space;
        self.keep_join(join);
        self.request(
            id,
            Purpose::OpenMailbox(space),
            Request::MboxNew { recv_pk },
        );
    }

    pub(crate) fn mailbox_opened(
        &mut self,
        id: RelayId,
        space: SpaceId,
        result: Result<Response, RelayError>,
    ) -> Result<(), StoreError> {
        let Some(key) = self.relays.get(&id).map(crate::exchange::Relay::key) else {
            return Ok(());
        };
        let Some(mut join) = self.joins.get(&space).cloned() else {
            return Ok(());
        };
        match result {
            Ok(Response::Mailbox { recv_id, send_id }) => {
                if let Some(mailbox) = join.mailboxes.iter_mut().find(|m| m.relay == key) {
                    mailbox.recv_id = Some(recv_id);
                    mailbox.send_id = Some(send_id);
                }
            }
            Ok(_) | Err(_) => join.mailboxes.retain(|m| m.relay != key),
        }
        let opened = join.mailboxes.iter().any(|m| m.relay == key);
        self.keep_join(join);
        if opened {
            self.continue_joins(id)
        } else {
            Ok(())
        }
    }

    fn ask_to_join(&mut self, id: RelayId, relay: &Digest, join: &PendingJoin) {
        let Some(address) = self.relays.get(&id).map(|r| r.address.clone()) else {
            return;
        };
        let Some(mailbox) = join.mailboxes.iter().find(|m| m.relay == *relay) else {
            return;
        };
        let Some(send_id) = mailbox.send_id else {
            return;
        };
        let mut reply_to = [0; 32];
        reply_to
            .split_at_mut(SendId::LEN)
            .0
            .copy_from_slice(send_id.as_bytes());
        let (writer, keys, proof) = match &join.invite {
            Some((_, seed)) => {
                let invite = SecretKey::from_seed(seed.as_bytes());
                let public = Digest::from_bytes(invite.public());
                let message = NewMember::proof_message(&public, &self.me.cert, &join.key_package);
                let proof = invite.sign(&message);
                (
                    TagKey::of_invite(invite),
                    SealKeys::of_invite(&public),
                    Some(proof),
                )
            }
            None => (
                TagKey::of_return(&join.space),
                SealKeys::of_return(&join.space),
                None,
            ),
        };
        let request = JoinRequest {
            cert: self.me.cert.clone(),
            key_package: join.key_package.clone(),
            reply_to: Digest::from_bytes(reply_to),
            relay: address,
            proof,
            device_add: join.device_add.clone(),
        };
        let space = join.space;
        let envelope = mls::envelope::seal(
            &keys,
            &writer.tag(),
            &codec::encode(&request),
            &mut self.rng,
        );
        let Ok(envelope) = envelope else { return };
        let put = PutRequest::sign(writer.secret(), envelope, ENVELOPE_TTL_SECS);
        self.request(id, Purpose::AskToJoin(space), Request::Put(put));
    }

    pub(crate) fn asked_to_join(
        &mut self,
        id: RelayId,
        space: SpaceId,
        result: Result<Response, RelayError>,
    ) {
        let Some(mut join) = self.joins.get(&space).cloned() else {
            return;
        };
        match result {
            // Only now: a process that ended before the relay had the request must ask again.
            Ok(_) => {
                let key = self.relays.get(&id).map(crate::exchange::Relay::key);
                for mailbox in join.mailboxes.iter_mut().filter(|m| Some(m.relay) == key) {
                    mailbox.asked = true;
                }
            }
            Err(error) => join.failed = Some(error.to_string()),
        }
        self.keep_join(join);
    }

    /// Whether a request to come in is still on its way to some relay.
    pub(crate) fn asking(&self) -> bool {
        !self.joins.is_empty()
            && self.requests.values().any(|(_, purpose)| {
                matches!(
                    purpose,
                    Purpose::Ping
                        | Purpose::OpenMailbox(_)
                        | Purpose::ReadMailbox(_)
                        | Purpose::AskToJoin(_)
                )
            })
    }

    pub(crate) fn mailbox_read(
        &mut self,
        id: RelayId,
        space: SpaceId,
        result: Result<Response, RelayError>,
    ) -> Result<(), StoreError> {
        let Some(key) = self.relays.get(&id).map(crate::exchange::Relay::key) else {
            return Ok(());
        };
        let Some(mut join) = self.joins.get(&space).cloned() else {
            return Ok(());
        };
        match result {
            // The relay has forgotten the mailbox: open another and ask again.
            Err(RelayError {
                code: net::wire::ErrorCode::NotFound,
                ..
            }) => {
                join.mailboxes.retain(|m| m.relay != key);
                self.keep_join(join);
                self.continue_joins(id)
            }
            Ok(Response::Page { items, .. }) => self.take_mail(&space, &key, items),
            Ok(_) | Err(_) => Ok(()),
        }
    }

    pub(crate) fn mail_received(
        &mut self,
        id: RelayId,
        recv_id: RecvId,
        items: Vec<Filed>,
    ) -> Result<(), StoreError> {
        let Some(key) = self.relays.get(&id).map(crate::exchange::Relay::key) else {
            return Ok(());
        };
        let ours = |join: &&PendingJoin| {
            join.mailboxes
                .iter()
                .any(|m| m.relay == key && m.recv_id == Some(recv_id))
        };
        let Some(space) = self.joins.values().find(ours).map(|join| join.space) else {
            return Ok(());
        };
        self.take_mail(&space, &key, items)
    }

    fn take_mail(
        &mut self,
        space: &SpaceId,
        relay: &Digest,
        items: Vec<Filed>,
    ) -> Result<(), StoreError> {
        for item in items {
            let Some(mut join) = self.joins.get(space).cloned() else {
                return Ok(());
            };
            let Some(mailbox) = join.mailboxes.iter_mut().find(|m| m.relay == *relay) else {
                return Ok(());
            };
            if item.cursor <= mailbox.read_to {
                continue;
            }
            mailbox.read_to = item.cursor;
            self.keep_join(join);
            let key = BoxKey::from_seed(&self.me.hpke);
            let mail = sealed_box::open_with(&key, MAIL_INFO, &[], item.sealed.as_bytes()).ok();
            let Some(Ok(mail)) = mail.map(|plain| codec::decode::<Mail>("mail", &plain)) else {
                continue;
            };
            match mail {
                Mail::Bundle(bundle) => self.take_bundle(space, &bundle)?,
                Mail::Blob(attachment) => self.fetch_bundle(space, attachment),
                Mail::Refused(why) => self.fail_join(space, &why),
            }
        }
        Ok(())
    }

    fn fail_join(&mut self, space: &SpaceId, why: &str) {
        if let Some(mut join) = self.joins.get(space).cloned() {
            join.failed = Some(why.to_owned());
            self.keep_join(join);
        }
    }

    fn fetch_bundle(&mut self, space: &SpaceId, attachment: Attachment) {
        if attachment.size > BUNDLE_BYTES_MAX as u64 {
            return self.fail_join(space, "the bundle is too long");
        }
        if let Some(mut join) = self.joins.get(space).cloned() {
            join.bundle = Some(attachment);
            self.keep_join(join);
        }
    }

    /// Goes on with bundles that came as blobs.
    pub(crate) fn continue_bundles(&mut self) -> Result<(), StoreError> {
        let waiting: Vec<(SpaceId, Attachment)> = self
            .joins
            .values()
            .filter_map(|j| j.bundle.clone().map(|b| (j.space, b)))
            .collect();
        for (space, attachment) in waiting {
            let missing = self.blob_missing(&attachment)?;
            if !missing.is_empty() {
                self.want(&missing);
                continue;
            }
            match self.read_blob(&attachment)? {
                Some(bytes) => {
                    match codec::decode_bounded::<JoinBundle>("bundle", &bytes, BUNDLE_BYTES_MAX) {
                        Ok(bundle) => self.take_bundle(&space, &bundle)?,
                        Err(error) => self.fail_join(&space, &error.to_string()),
                    }
                }
                None => self.fail_join(&space, "the bundle cannot be opened"),
            }
            if let Some(mut join) = self.joins.get(&space).cloned() {
                join.bundle = None;
                self.keep_join(join);
            }
        }
        Ok(())
    }

    /// Lets a bundle make us a member, if everything in it holds.
    fn take_bundle(&mut self, space: &SpaceId, bundle: &JoinBundle) -> Result<(), StoreError> {
        let Some(join) = self.joins.get(space).cloned() else {
            return Ok(());
        };
        match self.check_bundle(space, &join, bundle) {
            Ok(epoch) => self.enter_by_bundle(space, bundle, &epoch),
            Err(BundleError::Store(error)) => Err(error),
            Err(BundleError::Wrong(why)) => {
                self.fail_join(space, &why);
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
            return wrong("it lacks the commit that adds us");
        };
        let own = record
            .roster
            .get(&self.me.device_id())
            .map(|(_, package)| *package);
        if own != Some(key_package_digest(&join.key_package)) {
            return wrong("its commit does not add this device with the key package we made");
        }
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
        let secret =
            stored::load_key_package(&self.store, space, &key_package_digest(&join.key_package));
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
        }
        self.take_ops(space, bundle.control.iter().map(|b| b.to_vec()).collect())?;
        let topic = TopicKey::new(Secret::from_bytes(*bundle.topic.as_bytes()));
        self.keep_topic(space, bundle.generation, topic);
        self.enter_epoch(space, EpochId::of_commit(&bundle.commit), epoch)?;
        self.take_ops(space, bundle.content.iter().map(|b| b.to_vec()).collect())?;
        self.retry_unopened(space)?;
        for address in &bundle.relays {
            self.add_relay(address);
        }
        if let Some(join) = self.joins.get(space) {
            stored::erase_key_package(
                &mut self.store,
                space,
                &key_package_digest(&join.key_package),
            );
        }
        self.end_join(space);
        self.save_space(space);
        self.notify(Notice::Joined { space: *space });
        Ok(())
    }
}

enum BundleError {
    Wrong(String),
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
