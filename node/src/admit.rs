//! Letting people in: who does it, in what order, and what a newcomer is given.
//!
//! Any member who is online may; whoever opened the invite goes first, the others wait their
//! turn and find it done. Nothing is decided before we have caught up, since what we have not
//! fetched may tell that somebody let them in long ago (`docs/protocol.md` B19).

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use minicbor::bytes::ByteVec;
use minicbor::{Decode, Encode};
use mls::envelope::SealKeys;
use oplog::authority::View;
use oplog::payload::{MEMBERS_PER_ADD_MAX, MemberAdd, NewMember, Payload};
use oplog::store::{Direction, Store, StoreError, prefix_end};
use oplog::tuning::{Knob, tuned};
use oplog::{
    AcceptedOp, DeviceId, Digest, EpochId, Hlc, Kind, OpId, Scope, SpaceId, Timestamp, UserId,
    codec,
};
use rand_core::CryptoRng;

use crate::blobs::ChunkStore;
use crate::error::CommandError;
use crate::event::Timer;
use crate::identity::NODE_TABLE;
use crate::message::{JoinRequest, Mail};
use crate::node::Node;
use crate::space::Space;
use crate::view::{JoinRequestView, Notice};

/// One place further back in the order of admitting, in milliseconds.
const TURN_MS: u64 = 2_000;
/// How long who comes right after somebody else is let wait, in milliseconds, so that a crowd comes in
/// by a few commits.
const GATHER_MS: u64 = 1_000;
/// Most people whose requests are kept at once.
const APPLICANTS_MAX: usize = 1_000;
const USED_UP: &str = "the invite has been used up or has expired";
/// Most mailboxes beside the first to which an answer goes.
const REPLIES_MAX: usize = 3;
const APPLICANT: &[u8] = b"applicant/";

/// A row of somebody who asked to come in.
#[derive(Clone, Debug, Encode, Decode)]
#[cbor(map)]
struct ApplicantRow {
    #[n(0)]
    space: SpaceId,
    /// `None`: back from a backup.
    #[n(1)]
    invite: Option<OpId>,
    #[n(2)]
    request: ByteVec,
    #[n(3)]
    #[cbor(default)]
    also: Vec<ReplyTo>,
}

/// Somebody who asked to come in.
#[derive(Clone, Debug)]
pub(crate) struct Applicant {
    pub(crate) request: JoinRequest,
    /// Mailboxes at other relays that the same request named: one relay may lose the answer, or change it.
    also: Vec<ReplyTo>,
}

/// A mailbox for the answer.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
struct ReplyTo {
    #[n(0)]
    mailbox: Digest,
    #[n(1)]
    relay: String,
}

impl Applicant {
    fn new(request: JoinRequest) -> Self {
        Self {
            request,
            also: Vec::new(),
        }
    }

    /// The request as it names each of its mailboxes.
    pub(crate) fn replies(&self) -> impl Iterator<Item = JoinRequest> + '_ {
        let also = self.also.iter().map(|reply| JoinRequest {
            reply_to: reply.mailbox,
            relay: reply.relay.clone(),
            ..self.request.clone()
        });
        std::iter::once(self.request.clone()).chain(also)
    }

    /// Adds the mailboxes of an earlier request, if it is the same one.
    fn follow(&mut self, earlier: &Self) {
        if earlier.request.key_package != self.request.key_package {
            return;
        }
        for earlier in earlier.replies() {
            let reply = ReplyTo {
                mailbox: earlier.reply_to,
                relay: earlier.relay,
            };
            // One at each relay: whoever opens another one reads the earlier one no more.
            let known = |relay: &String| *relay == reply.relay;
            let there = known(&self.request.relay) || self.also.iter().any(|r| known(&r.relay));
            if !there && self.also.len() < REPLIES_MAX {
                self.also.push(reply);
            }
        }
    }
}

/// By what somebody asked to come in, and since when this process knows.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked {
    invite: OpId,
    since: Timestamp,
}

/// When this device lets people into a Space.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AdmitTurn {
    /// The epoch by which the order was drawn.
    tip: EpochId,
    at: Timestamp,
}

impl<S: Store, C: ChunkStore, R: CryptoRng> Node<S, C, R> {
    pub(crate) fn join_requested(
        &mut self,
        space: &SpaceId,
        invite: &OpId,
        envelope: &[u8],
    ) -> Result<(), StoreError> {
        let Some(request) = self.proved_request(space, invite, envelope) else {
            return Ok(());
        };
        if self.answer_again(space, &request)? {
            return Ok(());
        }
        let Some(s) = self.spaces.get(space) else {
            return Ok(());
        };
        let Some(known) = s.view.invites().find(|known| known.op == *invite) else {
            return Ok(());
        };
        let (terms, revoked) = (&known.terms, known.revoked_by.is_some());
        let over = s.view.invite_uses(invite) >= terms.max_uses
            || terms.expires <= Hlc::from_wall(self.now);
        let user = request.cert.user;
        // Let in by an op, and the commit that gives the keys is not made: whoever makes it must know
        // where to send them.
        let admitted = s.is_member(&user) && s.lacks_in_group(&request);
        let refused = if admitted {
            None
        } else if s.is_member(&user) && s.has_been_offered(&request) {
            return Ok(());
        } else if s.is_member(&user) {
            Some(
                "you are a member already; if not on this device, a moderator must remove you first",
            )
        } else if revoked {
            Some("the invite has been revoked")
        } else if over {
            Some(USED_UP)
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
        let first = self.keep_applicant(space, Some(*invite), request);
        let since = self.now;
        self.invited_by
            .entry((*space, user))
            .and_modify(|asked| asked.invite = *invite)
            .or_insert(Asked {
                invite: *invite,
                since,
            });
        if admitted {
            return self.consider_reconcile(space);
        }
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
            self.consider_admission(space)
        } else {
            Ok(())
        }
    }

    /// Opens a request by invite; `None` unless it comes from a holder of the link and was not answered
    /// long ago.
    fn proved_request(
        &self,
        space: &SpaceId,
        invite: &OpId,
        envelope: &[u8],
    ) -> Option<JoinRequest> {
        let s = self.spaces.get(space)?;
        let key = s
            .view
            .invites()
            .find(|known| known.op == *invite)?
            .terms
            .key;
        let request = self.read_request(&SealKeys::of_invite(&key), envelope)?;
        let message = NewMember::proof_message(&key, &request.cert, &request.key_package);
        let proof = request.proof?;
        let proved = oplog::keys::verify(key.as_bytes(), &message, &proof).is_ok();
        (proved && !s.is_spent(&request)).then_some(request)
    }

    /// Whether somebody waits whom this device lets in once it is its turn.
    pub(crate) fn admits_soon(&self) -> bool {
        let own = self.me.device_id();
        let can = |s: &&Space| s.in_group(&own) && s.is_canonical();
        let spaces = self.spaces.values().filter(can);
        spaces.into_iter().any(|s| self.waiting_at(s).count() > 0)
    }

    /// Who waits to be let into a Space without anybody's approval.
    fn waiting_at<'a>(&'a self, s: &'a Space) -> impl Iterator<Item = (UserId, Asked)> + 'a {
        let of_space = self.invited_by.iter().filter(|((at, _), _)| *at == s.id);
        let waiting = of_space.map(|((_, user), asked)| (*user, *asked));
        waiting.filter(|(user, asked)| {
            let terms = s.view.invite(&asked.invite);
            terms.is_some_and(|(terms, _)| !terms.approval) && !s.is_member(user)
        })
    }

    /// Takes our turn in letting in who waits; whoever opened their invite goes first, and lets in together
    /// who comes within a second.
    fn consider_admission(&mut self, space: &SpaceId) -> Result<(), StoreError> {
        let Some(s) = self.spaces.get(space) else {
            return Ok(());
        };
        let waiting: Vec<(UserId, Asked)> = self.waiting_at(s).collect();
        if waiting.is_empty() {
            return Ok(());
        }
        let tip = s.tip;
        let opened = waiting
            .iter()
            .any(|(_, asked)| self.opened_invite(space, &asked.invite));
        let at = if opened {
            let gathered = |at: &Timestamp| at.plus_ms(GATHER_MS);
            let last = self.admitted_at.get(space).map(gathered);
            // A clock that was set back makes nobody wait.
            last.filter(|at| *at <= self.now.plus_ms(GATHER_MS))
                .unwrap_or(self.now)
        } else {
            let turn = tuned(Knob::AdmitTurn, TURN_MS) * s.slack(Hlc::from_wall(self.now));
            let place = s.place_in_group(&self.me.device_id());
            self.now.plus_ms((place + 1) * turn)
        };
        if at <= self.now {
            return self.admit_waiting(space);
        }
        // Who comes later makes nobody wait longer.
        let set = self.admit_turns.get(space);
        if set.is_some_and(|set| set.tip == tip && set.at > self.now && set.at <= at) {
            return Ok(());
        }
        self.admit_turns.insert(*space, AdmitTurn { tip, at });
        let wait = at.as_ms().saturating_sub(self.now.as_ms());
        self.set_timer(Timer::Admit(*space), wait);
        Ok(())
    }

    /// Our turn has come; unless the group has gone on since, and with it the order.
    pub(crate) fn admit_in_turn(&mut self, space: &SpaceId) -> Result<(), StoreError> {
        let turn = self.admit_turns.remove(space);
        let tip = self.spaces.get(space).map(|s| s.tip);
        if turn.map(|turn| turn.tip) == tip {
            self.admit_waiting(space)
        } else {
            self.consider_admission(space)
        }
    }

    /// Lets in, by one commit, everybody whose invite we opened, or whose opener had their turn.
    fn admit_waiting(&mut self, space: &SpaceId) -> Result<(), StoreError> {
        let Some(s) = self.spaces.get(space) else {
            return Ok(());
        };
        let ours = |asked: &Asked| {
            let waited = self.now.as_ms().saturating_sub(asked.since.as_ms());
            waited >= tuned(Knob::AdmitTurn, TURN_MS) || self.opened_invite(space, &asked.invite)
        };
        let users: Vec<UserId> = self
            .waiting_at(s)
            .filter(|(_, asked)| ours(asked))
            .map(|(user, _)| user)
            .collect();
        match self.admit(space, &users) {
            Ok(()) => {}
            Err(CommandError::Store { source }) => return Err(source),
            Err(error) => tracing::debug!(%error, "not admitted"),
        }
        // Who came meanwhile, and what one commit cannot take, has its turn later.
        let more = self.spaces.get(space).is_some_and(|s| {
            self.can_commit(s) && self.waiting_at(s).any(|(user, _)| !users.contains(&user))
        });
        if more {
            return self.consider_admission(space);
        }
        Ok(())
    }

    /// After catching up: whoever still waits is admitted, whoever came in meanwhile is forgotten.
    pub(crate) fn consider_applicants(&mut self) -> Result<(), StoreError> {
        let keys: Vec<(SpaceId, DeviceId)> = self.applicants.keys().copied().collect();
        for (space, device) in &keys {
            let answered = self
                .spaces
                .get(space)
                .zip(self.applicants.get(&(*space, *device)))
                .is_some_and(|(s, applicant)| {
                    let package = mls::key_package_digest(&applicant.request.key_package);
                    s.has_used(device, &package)
                });
            if answered {
                self.forget_applicant(space, device);
            }
        }
        let spaces: BTreeSet<SpaceId> = keys.iter().map(|(space, _)| *space).collect();
        for space in spaces {
            self.consider_admission(&space)?;
        }
        Ok(())
    }

    /// Loads those who asked to come in and were not answered: whoever approves may do it much later.
    pub(crate) fn load_applicants(&mut self) -> Result<(), StoreError> {
        let mut rows: Vec<ApplicantRow> = Vec::new();
        self.store.scan(
            NODE_TABLE,
            APPLICANT,
            &prefix_end(APPLICANT),
            Direction::Forward,
            &mut |_, value| {
                rows.extend(codec::decode::<ApplicantRow>("applicant", value));
                ControlFlow::Continue(())
            },
        )?;
        for row in rows {
            if let Ok(request) = JoinRequest::decode(&row.request) {
                let since = self.now;
                let asked = row.invite.map(|invite| Asked { invite, since });
                let user = (row.space, request.cert.user);
                self.invited_by.extend(asked.map(|asked| (user, asked)));
                let device = (row.space, request.cert.device);
                let also = row.also;
                self.applicants.insert(device, Applicant { request, also });
            }
        }
        Ok(())
    }

    /// Keeps a request. Returns whether nobody asked from this device before.
    fn keep_applicant(
        &mut self,
        space: &SpaceId,
        invite: Option<OpId>,
        request: JoinRequest,
    ) -> bool {
        let key = (*space, request.cert.device);
        let mut applicant = Applicant::new(request);
        let earlier = self.applicants.get(&key);
        let first = earlier.is_none();
        if let Some(earlier) = earlier {
            applicant.follow(earlier);
        }
        let row = ApplicantRow {
            space: *space,
            invite,
            request: ByteVec::from(codec::encode(&applicant.request)),
            also: applicant.also.clone(),
        };
        let row_key = applicant_row(space, &key.1);
        self.store.put(NODE_TABLE, &row_key, &codec::encode(&row));
        self.applicants.insert(key, applicant);
        first
    }

    pub(crate) fn forget_applicant(
        &mut self,
        space: &SpaceId,
        device: &DeviceId,
    ) -> Option<Applicant> {
        self.store.delete(NODE_TABLE, &applicant_row(space, device));
        let gone = self.applicants.remove(&(*space, *device))?;
        let user = gone.request.cert.user;
        if self.applicants_of(space, &user).next().is_none() {
            self.invited_by.remove(&(*space, user));
        }
        Some(gone)
    }

    fn applicants_of<'a>(
        &'a self,
        space: &'a SpaceId,
        user: &'a UserId,
    ) -> impl Iterator<Item = &'a Applicant> + 'a {
        let of_space = self
            .applicants
            .iter()
            .filter(move |((at, _), _)| at == space);
        let applicants = of_space.map(|(_, applicant)| applicant);
        applicants.filter(move |applicant| applicant.request.cert.user == *user)
    }

    pub(crate) fn return_requested(
        &mut self,
        space: &SpaceId,
        envelope: &[u8],
    ) -> Result<(), StoreError> {
        let Some(request) = self.read_request(&SealKeys::of_return(space), envelope) else {
            return Ok(());
        };
        let Some(op) = request.comes_back.clone() else {
            return Ok(());
        };
        let user = request.cert.user;
        if !self.spaces.get(space).is_some_and(|s| s.is_member(&user))
            || self.applicants.len() >= APPLICANTS_MAX
            || self.answer_again(space, &request)?
        {
            return Ok(());
        }
        // The commit that brings them in may be made by a later process: it must find the request.
        self.keep_applicant(space, None, request);
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

    pub(crate) fn approve(&mut self, space: &SpaceId, user: &UserId) -> Result<(), CommandError> {
        self.known_space(space)?;
        if self.applicants_of(space, user).next().is_none() {
            return Err(CommandError::NotFound {
                what: "a request of this person to join".to_owned(),
            });
        }
        self.admit(space, &[*user])
    }

    /// Makes people members, one op for each invite, and brings all of them in by one commit.
    fn admit(&mut self, space: &SpaceId, users: &[UserId]) -> Result<(), CommandError> {
        let mut coming: BTreeMap<OpId, Vec<JoinRequest>> = BTreeMap::new();
        for user in users {
            let Some(applicant) = self.applicants_of(space, user).next() else {
                continue;
            };
            let request = applicant.request.clone();
            let s = self.known_space(space)?;
            if s.is_spent(&request) {
                // Somebody else let them in, and they were removed since.
                self.forget_applicant(space, &request.cert.device);
                continue;
            }
            if s.is_member(user) {
                continue;
            }
            if let Some(asked) = self.invited_by.get(&(*space, *user)) {
                coming.entry(asked.invite).or_default().push(request);
            }
        }
        let s = self.known_space(space)?;
        if coming.is_empty() || !s.in_group(&self.me.device_id()) {
            return Ok(());
        }
        if !s.is_canonical() {
            return Err(CommandError::KeysBehind);
        }
        self.admitted_at.insert(*space, self.now);
        let mut failed = None;
        for (invite, mut requests) in coming {
            requests.sort_unstable_by_key(|request| request.cert.user);
            if let Err(error) = self.add_members(space, invite, &requests) {
                failed = Some(error);
            }
        }
        self.reconcile_own(space)?;
        failed.map_or(Ok(()), Err)
    }

    /// Writes who comes in by an invite. What the rules refuse in one of them must not keep the others
    /// out: then everybody is tried alone.
    fn add_members(
        &mut self,
        space: &SpaceId,
        invite: OpId,
        requests: &[JoinRequest],
    ) -> Result<(), CommandError> {
        let Some((terms, _)) = self.known_space(space)?.view.invite(&invite) else {
            return Ok(());
        };
        let weight = terms.weight;
        let used = self.known_space(space)?.view.invite_uses(&invite);
        let room = usize::try_from(terms.max_uses.saturating_sub(used)).unwrap_or(usize::MAX);
        let (requests, over) = requests.split_at(requests.len().min(room));
        if self.opened_invite(space, &invite) {
            for request in over {
                self.send_mail_to(request, &Mail::Refused(USED_UP.to_owned()));
                self.forget_applicant(space, &request.cert.device);
            }
        }
        let mut failed = None;
        for some in requests.chunks(MEMBERS_PER_ADD_MAX) {
            let add = |node: &mut Self, some: &[JoinRequest]| {
                let members = some.iter().map(|request| NewMember {
                    cert: request.cert.clone(),
                    key_package: request.key_package.clone(),
                    weight,
                    proof: request.proof,
                });
                let payload = Payload::MemberAdd(MemberAdd {
                    members: members.collect(),
                    invite: Some(invite),
                });
                node.write(space, Scope::Control, payload, Vec::new())
            };
            match add(self, some) {
                Ok(_) => {}
                Err(error @ CommandError::Store { .. }) => return Err(error),
                Err(_) if some.len() > 1 => {
                    for one in some.chunks(1) {
                        failed = add(self, one).err().or(failed);
                    }
                }
                Err(error) => failed = Some(error),
            }
        }
        failed.map_or(Ok(()), Err)
    }

    /// Returns who asks to come in and needs approval.
    ///
    /// # Errors
    /// When the Space is not here.
    pub fn join_requests(&self, space: SpaceId) -> Result<Vec<JoinRequestView>, CommandError> {
        self.known_space(&space)?;
        let of_space = self.applicants.iter().filter(|((at, _), _)| *at == space);
        Ok(of_space
            .filter_map(|(_, applicant)| {
                let cert = &applicant.request.cert;
                let invite = self.invited_by.get(&(space, cert.user))?.invite;
                let name = fold::content::text::display_name(&cert.name);
                Some(JoinRequestView {
                    user: cert.user,
                    name,
                    invite,
                })
            })
            .collect())
    }
}

impl Space {
    /// Whether the op that lets this device in is here, and the group lacks it.
    fn lacks_in_group(&self, request: &JoinRequest) -> bool {
        let device = request.cert.device;
        let package = self.fresh_key_package(&device);
        !self.roster().any(|inside| inside == device)
            && package.is_some_and(|package| package == *request.key_package)
    }

    /// Whether some op offers the key package of this request.
    fn has_been_offered(&self, request: &JoinRequest) -> bool {
        let package = mls::key_package_digest(&request.key_package);
        let offered = self.view.key_packages(&request.cert.device);
        offered.into_iter().any(|(known, _)| known == package)
    }

    /// Whether somebody was let in by this very request and removed after that. Relays keep requests
    /// for weeks: without this a kick would be worth nothing as long as the invite has room. Whoever
    /// wants to come back asks anew, with a new key package.
    fn is_spent(&self, request: &JoinRequest) -> bool {
        let removals = self.view.removals_of(&request.cert.user);
        if removals.is_empty() {
            return false;
        }
        let dag = self.log.dag();
        let admits = |op: &AcceptedOp| match op.payload() {
            Ok(Some(Payload::MemberAdd(add))) => add.members.iter().any(|member| {
                member.cert.device == request.cert.device
                    && member.key_package == request.key_package
            }),
            Ok(_) | Err(_) => false,
        };
        dag.iter()
            .filter(|node| node.op.header().kind() == Some(Kind::MemberAdd))
            .filter(|node| admits(&node.op))
            .map(|node| node.op.id())
            .any(|add| {
                removals
                    .iter()
                    .any(|removal| !dag.precedes(&removal.op, &add))
            })
    }
}

fn applicant_row(space: &SpaceId, device: &DeviceId) -> Vec<u8> {
    [APPLICANT, space.as_bytes(), device.as_bytes()].concat()
}
