//! Coming in: by an invite, with no particular member online; or back, from a backup.
//!
//! Who wants in leaves a request under the invite's tag and waits at a mailbox. Any
//! member who is online admits them: MemberAdd, commit, and a bundle with everything a
//! member has, sealed to the newcomer's device. Members wait their turn so that one
//! does it; whoever opened the invite goes first (`docs/protocol.md` B19).
//!
//! # Invariants
//! - A bundle is trusted in nothing: its ops pass the same acceptance as all others, the Space id is
//!   the one in the link, and the Welcome must lead to the roster that the commit op declares.
//! - Nothing of a bundle is kept unless all of that holds.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use fold::AuthorityFold;
use minicbor::bytes::ByteVec;
use minicbor::{Decode, Encode};
use mls::envelope::{SealKeys, TagKey};
use mls::sealed_box::{self, BoxKey};
use mls::{ExpectedJoin, Roster, TopicKey, cert_book, key_package_digest, stored};
use net::wire::{
    Cursor, Filed, MAIL_BYTES_MAX, MailboxVerb, PutRequest, RecvAuth, RecvId, RelayError, Request,
    Response, SendId, bucket_for,
};
use oplog::authority::{Authority, View};
use oplog::hash::H;
use oplog::payload::{Attachment, History, MemberAdd, NewMember, Payload};
use oplog::store::{Direction, MemStore, Store, StoreError, prefix_end};
use oplog::{
    Accept, DeviceId, Digest, EpochId, Hlc, Kind, Lane, OpId, Scope, Secret, SecretKey, SignedOp,
    SpaceId, SpaceLog, SpaceNo, UserId, codec,
};
use rand_core::CryptoRng;

use crate::blobs::ChunkStore;
use crate::command::{Answer, CommandId};
use crate::error::CommandError;
use crate::event::{RelayId, Timer};
use crate::exchange::{ENVELOPE_TTL_SECS, Purpose, relay_key};
use crate::group::{MadeCommit, group_error, identity_signature, welcome_hash};
use crate::identity::NODE_TABLE;
use crate::invite::InviteLink;
use crate::message::{BUNDLE_BYTES_MAX, JoinBundle, JoinRequest, Mail};
use crate::node::{Node, Waiting};
use crate::view::{JoinRequestView, Notice};

/// One place further back in the order of admitting, in milliseconds.
const TURN_MS: u64 = 2_000;
/// The last place in that order.
const TURNS_MAX: u64 = 8;
/// Most people whose requests are kept at once.
const APPLICANTS_MAX: usize = 1_000;
/// How long a bundle waits at a mailbox, in seconds.
const MAIL_TTL_SECS: u32 = ENVELOPE_TTL_SECS;
const MAIL_INFO: &[u8] = b"decent mail v1";
const JOIN: &[u8] = b"join/";
const MAIL: &[u8] = b"mail/";

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

/// A message that waits for its relay.
#[derive(Clone, Debug, Encode, Decode)]
#[cbor(map)]
struct MailRow {
    #[n(0)]
    relay: Digest,
    #[n(1)]
    send_id: SendId,
    #[n(2)]
    bytes: ByteVec,
}

impl<S: Store, C: ChunkStore, R: CryptoRng> Node<S, C, R> {
    // --- who wants in ---

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
        if !self.joins.contains_key(&link.space) {
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
                        self.ask_to_join(id, &key, join);
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

    fn ask_to_join(&mut self, id: RelayId, relay: &Digest, mut join: PendingJoin) {
        let Some(address) = self.relays.get(&id).map(|r| r.address.clone()) else {
            return;
        };
        let Some(mailbox) = join.mailboxes.iter_mut().find(|m| m.relay == *relay) else {
            return;
        };
        let Some(send_id) = mailbox.send_id else {
            return;
        };
        mailbox.asked = true;
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
        self.keep_join(join);
        let put = PutRequest::sign(writer.secret(), envelope, ENVELOPE_TTL_SECS);
        self.request(id, Purpose::AskToJoin(space), Request::Put(put));
    }

    pub(crate) fn asked_to_join(&mut self, space: SpaceId, result: Result<Response, RelayError>) {
        let Some(mut join) = self.joins.get(&space).cloned() else {
            return;
        };
        if let Err(error) = result {
            join.failed = Some(error.to_string());
            self.keep_join(join);
        }
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
        if generation_of(&authority, &id) != bundle.generation {
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

    // --- who lets in ---

    pub(crate) fn join_requested(
        &mut self,
        space: &SpaceId,
        invite: &OpId,
        envelope: &[u8],
    ) -> Result<(), StoreError> {
        let Some(s) = self.spaces.get(space) else {
            return Ok(());
        };
        let Some((terms, _)) = s.view.invite(invite) else {
            return Ok(());
        };
        let Some(request) = self.read_request(&SealKeys::of_invite(&terms.key), envelope) else {
            return Ok(());
        };
        let message = NewMember::proof_message(&terms.key, &request.cert, &request.key_package);
        let proved = request
            .proof
            .is_some_and(|p| oplog::keys::verify(terms.key.as_bytes(), &message, &p).is_ok());
        let over = s.view.invite_uses(invite) >= terms.max_uses
            || terms.expires <= Hlc::from_wall(self.now);
        let user = request.cert.user;
        let refused = if !proved || s.is_member(&user) {
            // Not from a holder of the link, or answered already: silence.
            return Ok(());
        } else if over {
            Some("the invite has been used up or has expired")
        } else if s.view.ban(&user).is_some() {
            Some("you are banned from this Space")
        } else {
            None
        };
        if let Some(why) = refused {
            // One answer is enough: whoever opened the invite gives it.
            if self.opened_invite(space, invite) {
                self.send_mail_to(&request, &Mail::Refused(why.to_owned()));
            }
            return Ok(());
        }
        if self.applicants.len() >= APPLICANTS_MAX {
            return Ok(());
        }
        let view = JoinRequestView {
            user,
            name: fold::content::text::display_name(&request.cert.name),
            invite: *invite,
        };
        let first = self.applicants.insert((*space, user), request).is_none();
        self.invited_by.insert((*space, user), *invite);
        if terms.approval {
            if first {
                self.notify(Notice::JoinRequest {
                    space: *space,
                    request: view,
                });
            }
            return Ok(());
        }
        // What we have not fetched yet may tell that somebody let them in long ago.
        if self.online() {
            self.consider_admission(space, &user)
        } else {
            Ok(())
        }
    }

    /// Takes our turn in admitting somebody; whoever opened the invite goes first.
    fn consider_admission(&mut self, space: &SpaceId, user: &UserId) -> Result<(), StoreError> {
        let Some(invite) = self.invited_by.get(&(*space, *user)).copied() else {
            return Ok(());
        };
        let terms = self.spaces.get(space).and_then(|s| s.view.invite(&invite));
        if terms.is_none_or(|(terms, _)| terms.approval) {
            return Ok(());
        }
        if self.opened_invite(space, &invite) {
            return self.admit_now(space, user);
        }
        let wait = self.turn_to_admit(space, user) * TURN_MS;
        self.set_timer(Timer::Admit(*space, *user), wait);
        Ok(())
    }

    /// After catching up: whoever still waits is admitted, whoever came in meanwhile is forgotten.
    pub(crate) fn consider_applicants(&mut self) -> Result<(), StoreError> {
        let keys: Vec<(SpaceId, UserId)> = self.applicants.keys().copied().collect();
        for (space, user) in keys {
            let device = self
                .applicants
                .get(&(space, user))
                .map(|request| request.cert.device);
            let inside = self
                .spaces
                .get(&space)
                .is_some_and(|s| s.roster().any(|d| Some(d) == device));
            if inside {
                self.applicants.remove(&(space, user));
                self.invited_by.remove(&(space, user));
            } else {
                self.consider_admission(&space, &user)?;
            }
        }
        Ok(())
    }

    pub(crate) fn return_requested(
        &mut self,
        space: &SpaceId,
        envelope: &[u8],
    ) -> Result<(), StoreError> {
        let Some(request) = self.read_request(&SealKeys::of_return(space), envelope) else {
            return Ok(());
        };
        let Some(op) = request.device_add.clone() else {
            return Ok(());
        };
        let user = request.cert.user;
        if !self.spaces.get(space).is_some_and(|s| s.is_member(&user))
            || self.applicants.len() >= APPLICANTS_MAX
        {
            return Ok(());
        }
        self.applicants.insert((*space, user), request);
        // Acceptance judges the op: the identity key must have signed it for this very Space.
        self.take_ops(space, vec![op.to_vec()])?;
        self.consider_reconcile(space)
    }

    fn read_request(&self, keys: &SealKeys, envelope: &[u8]) -> Option<JoinRequest> {
        let (_, plain) = mls::envelope::open(envelope, [keys]).ok()?;
        let request = JoinRequest::decode(&plain).ok()?;
        let sound = request.cert.is_signed()
            && mls::check_key_package(&request.key_package, &request.cert).is_ok();
        sound.then_some(request)
    }

    fn opened_invite(&self, space: &SpaceId, invite: &OpId) -> bool {
        let node = self
            .spaces
            .get(space)
            .and_then(|s| s.log.dag().node(invite));
        node.is_some_and(|node| node.op.header().device == self.me.device_id())
    }

    fn turn_to_admit(&self, space: &SpaceId, user: &UserId) -> u64 {
        let Some(s) = self.spaces.get(space) else {
            return TURNS_MAX;
        };
        let draw = |device: &DeviceId| {
            H::new("elect")
                .field(user.as_bytes())
                .field(device.as_bytes())
                .finish()
        };
        let own = draw(&self.me.device_id());
        let before = s.roster().filter(|device| draw(device) < own).count();
        u64::try_from(before)
            .unwrap_or(TURNS_MAX)
            .saturating_add(1)
            .min(TURNS_MAX)
    }

    pub(crate) fn admit_now(&mut self, space: &SpaceId, user: &UserId) -> Result<(), StoreError> {
        match self.admit(space, user) {
            Ok(()) => Ok(()),
            Err(CommandError::Store { source }) => Err(source),
            Err(error) => {
                tracing::debug!(%error, "not admitted");
                Ok(())
            }
        }
    }

    pub(crate) fn approve(&mut self, space: &SpaceId, user: &UserId) -> Result<(), CommandError> {
        self.known_space(space)?;
        if !self.applicants.contains_key(&(*space, *user)) {
            return Err(CommandError::NotFound {
                what: "a request of this person to join".to_owned(),
            });
        }
        self.admit(space, user)
    }

    fn admit(&mut self, space: &SpaceId, user: &UserId) -> Result<(), CommandError> {
        let Some(request) = self.applicants.get(&(*space, *user)).cloned() else {
            return Ok(());
        };
        let s = self.known_space(space)?;
        if s.is_member(user) || !s.in_group(&self.me.device_id()) {
            return Ok(());
        }
        if s.is_forked() {
            return Err(CommandError::Forked);
        }
        let Some(invite) = self.invited_by.get(&(*space, *user)).copied() else {
            return Ok(());
        };
        let Some((terms, _)) = s.view.invite(&invite) else {
            return Ok(());
        };
        let member = NewMember {
            cert: request.cert.clone(),
            key_package: request.key_package.clone(),
            weight: terms.weight,
            proof: request.proof,
        };
        let payload = Payload::MemberAdd(MemberAdd {
            members: vec![member],
            invite: Some(invite),
        });
        self.write(space, Scope::Control, payload, Vec::new())?;
        self.reconcile_own(space)
    }

    /// After a commit of ours that adds devices: whoever asked gets their bundle.
    pub(crate) fn welcome_newcomers(
        &mut self,
        space: &SpaceId,
        made: &MadeCommit,
        added: &BTreeSet<DeviceId>,
    ) -> Result<(), CommandError> {
        let Some(welcome) = &made.welcome else {
            return Ok(());
        };
        let newcomers: Vec<(SpaceId, UserId)> = self
            .applicants
            .iter()
            .filter(|((at, _), request)| at == space && added.contains(&request.cert.device))
            .map(|(key, _)| *key)
            .collect();
        for key in newcomers {
            let Some(request) = self.applicants.remove(&key) else {
                continue;
            };
            self.invited_by.remove(&key);
            let bundle = self.bundle(space, made.op, welcome)?;
            self.send_bundle(&request, bundle)?;
        }
        Ok(())
    }

    fn bundle(
        &mut self,
        space: &SpaceId,
        commit: OpId,
        welcome: &[u8],
    ) -> Result<JoinBundle, CommandError> {
        let s = self.known_space(space)?;
        let generation = s.generation_of(&s.tip);
        let topic = s
            .generation(&generation)
            .map(|g| Digest::from_bytes(*g.topic.secret().as_bytes()));
        let topic = topic.ok_or_else(|| CommandError::Group {
            why: "the topic key is not here".to_owned(),
        })?;
        let control = s
            .log
            .dag()
            .iter()
            .map(|node| ByteVec::from(node.op.encode()))
            .collect();
        let content = self.history(space)?;
        let relays = self.relays.values().map(|r| r.address.clone()).collect();
        Ok(JoinBundle {
            space: *space,
            control,
            commit,
            welcome: ByteVec::from(welcome.to_vec()),
            generation,
            topic,
            content,
            relays,
        })
    }

    /// What of the past a newcomer gets: everything while it fits, headers alone where the channel's
    /// policy keeps the past to those who were there, and for what is too long. The graph stays whole.
    fn history(&self, space: &SpaceId) -> Result<Vec<ByteVec>, CommandError> {
        let s = self.known_space(space)?;
        let mut ops: Vec<(Hlc, OpId, SignedOp)> = Vec::new();
        for channel in s.view.channels() {
            for head in s.table.lanes(&self.store, &Scope::Channel(channel.id))? {
                let lane: Lane = head.lane;
                for seq in 0..=head.seq {
                    for op in s.table.at(&self.store, &lane, seq)? {
                        let Some(op) = s.table.op(&self.store, &op)? else {
                            continue;
                        };
                        let op: SignedOp = (*op).clone();
                        let op = if channel.history == History::SinceJoin {
                            op.pruned()
                        } else {
                            op
                        };
                        ops.push((op.header().hlc, op.id(), op));
                    }
                }
            }
        }
        ops.sort_unstable_by_key(|(hlc, id, _)| (*hlc, *id));
        let mut room = BUNDLE_BYTES_MAX / 2;
        let mut out: Vec<ByteVec> = Vec::with_capacity(ops.len());
        for (_, _, op) in ops.into_iter().rev() {
            let bytes = op.encode();
            let fits = bytes.len() <= room;
            room = room.saturating_sub(bytes.len());
            out.push(ByteVec::from(if fits {
                bytes
            } else {
                op.pruned().encode()
            }));
        }
        out.reverse();
        Ok(out)
    }

    fn send_bundle(
        &mut self,
        request: &JoinRequest,
        bundle: JoinBundle,
    ) -> Result<(), CommandError> {
        let mail = Mail::Bundle(Box::new(bundle));
        if fits_mail(codec::encode(&mail).len()) {
            self.send_mail_to(request, &mail);
            return Ok(());
        }
        let Mail::Bundle(bundle) = mail else {
            return Ok(());
        };
        let attachment = self.store_blob(&codec::encode(&*bundle), "bundle")?;
        self.send_mail_to(request, &Mail::Blob(attachment));
        Ok(())
    }

    fn send_mail_to(&mut self, request: &JoinRequest, mail: &Mail) {
        let Some(send_id) = request.reply_to.as_bytes().first_chunk::<{ SendId::LEN }>() else {
            return;
        };
        let sealed = sealed_box::seal_to(
            &request.cert.hpke_key,
            MAIL_INFO,
            &[],
            &codec::encode(mail),
            &mut self.rng,
        );
        let Ok(bytes) = sealed else { return };
        let row = MailRow {
            relay: relay_key(&request.relay),
            send_id: SendId::from_bytes(*send_id),
            bytes: ByteVec::from(bytes),
        };
        let encoded = codec::encode(&row);
        let name = H::new("mail").field(&encoded).finish();
        self.store
            .put(NODE_TABLE, &[MAIL, &name].concat(), &encoded);
    }

    pub(crate) fn send_mail(&mut self, relays: &[RelayId]) -> Result<(), StoreError> {
        let mut rows: Vec<(Vec<u8>, MailRow)> = Vec::new();
        self.store.scan(
            NODE_TABLE,
            MAIL,
            &prefix_end(MAIL),
            Direction::Forward,
            &mut |key, value| {
                if let Ok(row) = codec::decode::<MailRow>("mail row", value) {
                    rows.push((key.to_vec(), row));
                }
                ControlFlow::Continue(())
            },
        )?;
        for (key, row) in rows {
            let flying = self
                .requests
                .values()
                .any(|(_, purpose)| matches!(purpose, Purpose::Mail(k) if *k == key));
            let at = relays
                .iter()
                .find(|id| self.relays.get(id).is_some_and(|r| r.key() == row.relay))
                .copied();
            // What a message points to goes before it.
            let Some(id) = at.filter(|id| !flying && !self.uploads_pending(*id)) else {
                continue;
            };
            let request = Request::MboxPut {
                send_id: row.send_id,
                bytes: net::wire::Sealed::new(row.bytes.to_vec()),
                ttl_secs: MAIL_TTL_SECS,
            };
            self.request(id, Purpose::Mail(key), request);
        }
        Ok(())
    }

    pub(crate) fn mail_answered(
        &mut self,
        _: RelayId,
        key: &[u8],
        result: Result<Response, RelayError>,
    ) -> Result<(), StoreError> {
        use net::wire::ErrorCode::{BadSignature, Malformed, NotFound, QuotaExceeded, TooLarge};
        match result {
            Ok(_) => self.store.delete(NODE_TABLE, key),
            // The mailbox is gone or will never take it: whoever waits asks again.
            Err(e)
                if matches!(
                    e.code,
                    NotFound | Malformed | TooLarge | BadSignature | QuotaExceeded
                ) =>
            {
                self.store.delete(NODE_TABLE, key);
            }
            Err(_) => {}
        }
        Ok(())
    }

    /// Returns whether somebody waits for a message of ours.
    pub(crate) fn mail_waiting(&self) -> Result<bool, StoreError> {
        let mut any = false;
        self.store.scan(
            NODE_TABLE,
            MAIL,
            &prefix_end(MAIL),
            Direction::Forward,
            &mut |_, _| {
                any = true;
                ControlFlow::Break(())
            },
        )?;
        Ok(any)
    }

    /// Returns who asks to come in and needs approval.
    ///
    /// # Errors
    /// When the Space is not here.
    pub fn join_requests(&self, space: SpaceId) -> Result<Vec<JoinRequestView>, CommandError> {
        self.known_space(&space)?;
        let of_space = self.applicants.iter().filter(|((at, _), _)| *at == space);
        Ok(of_space
            .filter_map(|(key, request)| {
                let invite = *self.invited_by.get(key)?;
                let name = fold::content::text::display_name(&request.cert.name);
                Some(JoinRequestView {
                    user: key.1,
                    name,
                    invite,
                })
            })
            .collect())
    }
}

enum BundleError {
    Wrong(String),
    Store(StoreError),
}

fn generation_of(authority: &AuthorityFold, epoch: &EpochId) -> EpochId {
    let mut at = *epoch;
    while let Some(record) = authority.epoch(&at) {
        match record.parent {
            Some(parent) if record.class != oplog::payload::CommitClass::Remove => at = parent,
            _ => return at,
        }
    }
    at
}

fn group_id(dag: &oplog::dag::ControlDag) -> Option<Digest> {
    let genesis = dag.iter().next()?;
    match genesis.op.payload().ok()?? {
        Payload::Genesis(genesis) => Some(genesis.group_id),
        _ => None,
    }
}

/// Returns whether so many bytes fit one mailbox message; longer ones travel as a blob.
fn fits_mail(len: usize) -> bool {
    // Room for the box's own length prefix.
    bucket_for(len + sealed_box::OVERHEAD + 8).is_some_and(|bucket| bucket <= MAIL_BYTES_MAX)
}
