//! Coming in: by an invite, with no particular member online; or back, from a backup.
//!
//! Who wants in leaves a request under the invite's tag and waits at a mailbox, where a
//! bundle with everything a member has arrives, sealed to this device (`docs/protocol.md`
//! B19). The mailbox is in `mailbox`, what becomes of the bundle in `bundle`, and how members
//! answer in `admit`.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use minicbor::bytes::ByteVec;
use minicbor::{Decode, Encode};
use mls::envelope::{SealKeys, TagKey};
use mls::stored;
use net::wire::{ErrorCode, PutRequest, RelayError, Request, Response, SendId};
use oplog::payload::{Attachment, NewMember, Payload};
use oplog::store::{Direction, Store, StoreError, prefix_end};
use oplog::{Digest, Kind, OpId, Scope, SecretKey, SpaceId, Timestamp, codec};
use rand_core::CryptoRng;

use crate::blobs::ChunkStore;
use crate::command::{Answer, CommandId};
use crate::error::CommandError;
use crate::event::RelayId;
use crate::exchange::Purpose;
use crate::group::{group_error, identity_signature};
use crate::identity::NODE_TABLE;
use crate::invite::InviteLink;
use crate::mailbox::Mailbox;
use crate::message::JoinRequest;
use crate::node::{Node, Waiting};
use crate::outbox::ENVELOPE_TTL_SECS;
use crate::view::JoinStatus;

pub(crate) const MAIL_INFO: &[u8] = b"decent mail v1";
const JOIN: &[u8] = b"join/";
/// Most key packages of earlier requests that are kept.
const EARLIER_MAX: usize = 4;
/// Most mailboxes of earlier links and requests that are still read.
const MAILBOXES_MAX: usize = 16;

/// How long until a request is put again that nobody answered, in milliseconds; twice as long each time.
const PUT_AGAIN_MS: u64 = 600_000;
/// How often that doubles: up to every 5 h and 20 min.
const PUT_AGAIN_DOUBLED_MAX: u32 = 5;

/// A Space we want into. Survives the process.
#[derive(Clone, Debug, Encode, Decode)]
#[cbor(map)]
pub(crate) struct PendingJoin {
    #[n(0)]
    pub(crate) space: SpaceId,
    /// By invite: its op and the seed of its key.
    #[n(1)]
    pub(crate) invite: Option<(OpId, Digest)>,
    /// Coming back: the op that says so, for whoever has not got it otherwise.
    #[n(2)]
    pub(crate) comes_back: Option<ByteVec>,
    /// Where the Space can be reached.
    #[n(3)]
    pub(crate) relays: Vec<String>,
    /// Our key package for this join; its secrets lie in the store under its hash.
    #[n(4)]
    pub(crate) key_package: ByteVec,
    /// A mailbox at each relay.
    #[n(5)]
    pub(crate) mailboxes: Vec<Mailbox>,
    /// Bundles that lie at a relay as blobs, once somebody told.
    #[n(14)]
    #[cbor(default)]
    pub(crate) bundles: Vec<Parcel>,
    /// Why it failed, if it did.
    #[n(7)]
    pub(crate) failed: Option<String>,
    /// When it was begun, in milliseconds.
    #[n(8)]
    pub(crate) asked_at: Option<u64>,
    /// When it was answered, in milliseconds. Kept for a while: two branches may both let us in.
    #[n(9)]
    pub(crate) landed_at: Option<u64>,
    /// What the link calls the Space.
    #[n(10)]
    pub(crate) name: Option<String>,
    /// When it was given up, in milliseconds. Somebody may have answered already, and only this key
    /// package opens the answer: it is kept for whoever asks again.
    #[n(11)]
    pub(crate) withdrawn_at: Option<u64>,
    /// When an answer can be looked at that is dated ahead of the own clock, in milliseconds.
    #[n(12)]
    pub(crate) early_until: Option<u64>,
    /// Key packages of earlier requests, oldest first. A branch that did not hear of this request may
    /// add us by one of them, and be the one that counts.
    #[n(13)]
    #[cbor(default)]
    pub(crate) earlier: Vec<Digest>,
    /// When a relay last took the request, in milliseconds.
    #[n(15)]
    pub(crate) put_at: Option<u64>,
    /// How often it was put again since.
    #[n(16)]
    #[cbor(default)]
    pub(crate) puts: u32,
}

/// A bundle that lies at a relay as a blob.
#[derive(Clone, Debug, Encode, Decode)]
#[cbor(map)]
pub(crate) struct Parcel {
    #[n(0)]
    pub(crate) blob: Attachment,
    /// Told of at the mailbox of an earlier link or request.
    #[n(1)]
    pub(crate) earlier: bool,
}

impl PendingJoin {
    pub(crate) fn new(space: SpaceId, relays: Vec<String>, key_package: Vec<u8>) -> Self {
        Self {
            space,
            invite: None,
            comes_back: None,
            relays,
            key_package: ByteVec::from(key_package),
            mailboxes: Vec::new(),
            bundles: Vec::new(),
            failed: None,
            asked_at: None,
            landed_at: None,
            name: None,
            withdrawn_at: None,
            early_until: None,
            earlier: Vec::new(),
            put_at: None,
            puts: 0,
        }
    }

    /// Whether the request is to be put again: a relay that took it may have lost it, and nobody else
    /// knows of it.
    fn is_stale(&self, now: u64) -> bool {
        let waits =
            self.landed_at.is_none() && self.withdrawn_at.is_none() && self.failed.is_none();
        let wait = PUT_AGAIN_MS << self.puts.min(PUT_AGAIN_DOUBLED_MAX);
        // A clock that was set back must not make it wait for ever.
        let old = |at: u64| now < at || now - at >= wait;
        waits && self.put_at.is_some_and(old)
    }

    /// The key packages by which somebody may add us.
    pub(crate) fn packages(&self) -> impl Iterator<Item = Digest> {
        let present = mls::key_package_digest(&self.key_package);
        self.earlier.iter().copied().chain([present])
    }

    /// Goes on listening for answers to an earlier request. Returns the key packages that are too many.
    fn follow(&mut self, old: Self) -> Vec<Digest> {
        let present = mls::key_package_digest(&self.key_package);
        self.earlier = old.packages().filter(|p| *p != present).collect();
        self.early_until = old.early_until;
        self.bundles = old.bundles;
        self.bundles.iter_mut().for_each(|b| b.earlier = true);
        let many = self.earlier.len().saturating_sub(EARLIER_MAX);
        self.keep_mailboxes(old.mailboxes);
        self.earlier.drain(..many).collect()
    }

    /// Reads these from now on without asking there.
    fn keep_mailboxes(&mut self, mut old: Vec<Mailbox>) {
        let many = old.len().saturating_sub(MAILBOXES_MAX);
        old.drain(..many);
        for mailbox in &mut old {
            mailbox.earlier = true;
        }
        self.mailboxes = old;
    }

    /// Asks by another link. Whoever answers an earlier one still lets us in.
    fn ask_by(&mut self, link: &InviteLink, relays: Vec<String>) {
        let secret = Digest::from_bytes(*link.secret.as_bytes());
        self.invite = Some((link.invite, secret));
        self.name = Some(link.name.clone());
        for relay in relays {
            if !self.relays.contains(&relay) {
                self.relays.push(relay);
            }
        }
        let old = std::mem::take(&mut self.mailboxes);
        self.keep_mailboxes(old);
    }

    /// Whether an invite's request is still to be answered.
    fn is_open(&self) -> bool {
        self.invite.is_some() && self.landed_at.is_none() && self.withdrawn_at.is_none()
    }
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
        let mut relays = link.relays.clone();
        relays.extend(self.relays.values().map(|r| r.address.clone()));
        relays.dedup();
        for address in &relays {
            self.add_relay(address);
        }
        let asked = self.joins.get(&link.space).cloned();
        let mut join = match asked.filter(|join| join.invite.is_some() && join.landed_at.is_none())
        {
            Some(join) => join,
            None => self.new_join(link.space, relays.clone())?,
        };
        if join.invite.map(|(invite, _)| invite) != Some(link.invite) {
            join.ask_by(link, relays);
        }
        join.failed = None;
        join.withdrawn_at = None;
        for mailbox in &mut join.mailboxes {
            mailbox.asked = false;
        }
        self.keep_join(join);
        for relay in self.relays.keys().copied().collect::<Vec<_>>() {
            self.continue_joins(relay)?;
        }
        self.waiting.push((id, Waiting::Join(link.space)));
        // The answer may be here, from before it was given up.
        self.take_early()?;
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
        let mut join = self.next_join(*space, relays, package);
        join.comes_back = Some(ByteVec::from(bytes));
        join.asked_at = Some(self.now.as_ms());
        self.keep_join(join);
        Ok(())
    }

    fn new_join(
        &mut self,
        space: SpaceId,
        relays: Vec<String>,
    ) -> Result<PendingJoin, CommandError> {
        let me = self.local_device()?;
        let (package, secret) = mls::key_package(&me, &mut self.rng).map_err(group_error)?;
        // Who was in comes back by what they ask for now, and by nothing from before their removal.
        self.forget_join(&space)?;
        stored::save_key_package(&mut self.store, &space, &secret, &mut self.rng);
        let mut join = PendingJoin::new(space, relays, package);
        join.asked_at = Some(self.now.as_ms());
        Ok(join)
    }

    /// Begins a request to be put in again, and goes on listening for what answers the one before it.
    pub(crate) fn next_join(
        &mut self,
        space: SpaceId,
        relays: Vec<String>,
        package: Vec<u8>,
    ) -> PendingJoin {
        let mut join = PendingJoin::new(space, relays, package);
        if let Some(old) = self.joins.get(&space).cloned() {
            for package in join.follow(old) {
                stored::erase_key_package(&mut self.store, &space, &package);
            }
        }
        join
    }

    /// Gives up asking to come in. Somebody may have let us in already; then members see somebody who
    /// never comes.
    pub(crate) fn cancel_join(&mut self, space: SpaceId) -> Result<(), CommandError> {
        let open = self.joins.get(&space).cloned();
        let Some(mut join) = open.filter(PendingJoin::is_open) else {
            return Err(CommandError::NoJoin { space });
        };
        join.withdrawn_at = Some(self.now.as_ms());
        self.keep_join(join);
        Ok(())
    }

    /// Housekeeping: an answer to what was given up is on no relay any more.
    pub(crate) fn end_withdrawn_joins(&mut self) -> Result<(), StoreError> {
        let now = self.now.as_ms();
        let old = |join: &&PendingJoin| {
            let since = join.withdrawn_at.map(|at| now.saturating_sub(at));
            since.is_some_and(|since| since > u64::from(ENVELOPE_TTL_SECS) * 1_000)
        };
        let old: Vec<SpaceId> = self.joins.values().filter(old).map(|j| j.space).collect();
        for space in old {
            self.forget_join(&space)?;
        }
        Ok(())
    }

    /// Returns the requests to come in by invite that nobody has answered yet.
    #[must_use]
    pub fn join_statuses(&self) -> Vec<JoinStatus> {
        let open = self.joins.values().filter(|join| join.is_open());
        open.map(|join| JoinStatus {
            space: join.space,
            name: fold::content::text::display_name(join.name.as_deref().unwrap_or_default()),
            asked: join.asked_at.map(Timestamp::from_ms),
            relays: join.mailboxes.iter().filter(|m| m.asked).count(),
            failed: join.failed.clone(),
            early_until: join.early_until.map(Timestamp::from_ms),
        })
        .collect()
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

    pub(crate) fn keep_join(&mut self, join: PendingJoin) {
        self.store.put(
            NODE_TABLE,
            &[JOIN, join.space.as_bytes()].concat(),
            &codec::encode(&join),
        );
        self.joins.insert(join.space, join);
    }

    pub(crate) fn end_join(&mut self, space: &SpaceId) {
        self.store
            .delete(NODE_TABLE, &[JOIN, space.as_bytes()].concat());
        self.joins.remove(space);
    }

    /// Ends a request and those before it, with the secrets of their key packages: no answer to them
    /// can be opened any more.
    pub(crate) fn forget_join(&mut self, space: &SpaceId) -> Result<(), StoreError> {
        if let Some(join) = self.joins.get(space) {
            for package in join.packages() {
                stored::erase_key_package(&mut self.store, space, &package);
            }
            self.end_join(space);
            self.drop_early(space)?;
        }
        Ok(())
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

    pub(crate) fn ask_to_join(&mut self, id: RelayId, relay: &Digest, mut join: PendingJoin) {
        let Some(address) = self.relays.get(&id).map(|r| r.address.clone()) else {
            return;
        };
        let Some(mailbox) = join.mailboxes.iter().find(|m| m.is_at(relay)) else {
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
            comes_back: join.comes_back.clone(),
        };
        let space = join.space;
        let envelope = mls::envelope::seal(
            &keys,
            &writer.tag(),
            &codec::encode(&request),
            &mut self.rng,
        );
        let envelope = match envelope {
            Ok(envelope) => envelope,
            Err(error) => {
                join.failed = Some(error.to_string());
                return self.keep_join(join);
            }
        };
        let put = PutRequest::sign(writer.secret(), envelope, ENVELOPE_TTL_SECS);
        self.request(id, Purpose::AskToJoin(space, send_id), Request::Put(put));
    }

    pub(crate) fn asked_to_join(
        &mut self,
        id: RelayId,
        space: SpaceId,
        reply_to: SendId,
        result: Result<Response, RelayError>,
    ) {
        let Some(mut join) = self.joins.get(&space).cloned() else {
            return;
        };
        match result {
            // Only now: a process that ended before the relay had the request must ask again. And only
            // for the mailbox it named: that may be gone meanwhile, and another be there.
            Ok(_) => {
                let named = |m: &&mut Mailbox| m.send_id == Some(reply_to) && !m.earlier;
                for mailbox in join.mailboxes.iter_mut().filter(named) {
                    mailbox.asked = true;
                }
                join.put_at = Some(self.now.as_ms());
            }
            Err(error) => match error.code {
                ErrorCode::Malformed | ErrorCode::BadSignature | ErrorCode::TooLarge => {
                    join.failed = Some(error.to_string());
                }
                // The same request goes there again: a new one would make the answers to this one
                // worthless.
                ErrorCode::NotFound
                | ErrorCode::QuotaExceeded
                | ErrorCode::RateLimited
                | ErrorCode::TooMany
                | ErrorCode::Full
                | ErrorCode::Internal => {
                    if let Some(relay) = self.relays.get_mut(&id) {
                        relay.error = Some(error.to_string());
                    }
                }
            },
        }
        self.keep_join(join);
    }

    /// Housekeeping: has requests put again that nobody has answered for long.
    pub(crate) fn ask_again(&mut self) {
        let now = self.now.as_ms();
        let stale = self.joins.values().filter(|join| join.is_stale(now));
        for mut join in stale.cloned().collect::<Vec<_>>() {
            join.puts = join.puts.saturating_add(1);
            join.put_at = Some(now);
            let present = join.mailboxes.iter_mut().filter(|m| !m.earlier);
            present.for_each(|mailbox| mailbox.asked = false);
            self.keep_join(join);
        }
    }

    /// Whether the request of this Space is on its way to this relay.
    pub(crate) fn asks(&self, id: RelayId, space: &SpaceId) -> bool {
        self.requests.values().any(|(at, purpose)| {
            *at == id && matches!(purpose, Purpose::AskToJoin(of, _) if of == space)
        })
    }

    /// Whether a request to come in is still on its way to some relay.
    pub(crate) fn asking(&self) -> bool {
        !self.joins.is_empty()
            && self.requests.values().any(|(_, purpose)| {
                matches!(
                    purpose,
                    Purpose::Ping
                        | Purpose::OpenMailbox(_)
                        | Purpose::ReadMailbox(..)
                        | Purpose::AskToJoin(..)
                )
            })
    }

    pub(crate) fn fail_join(&mut self, space: &SpaceId, why: &str) {
        let open = self.joins.get(space).cloned();
        if let Some(mut join) = open.filter(|join| join.landed_at.is_none()) {
            join.failed = Some(why.to_owned());
            self.keep_join(join);
        }
    }
}
