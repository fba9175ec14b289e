//! From sealed envelopes to accepted ops: the one way in, for relays, bundles, imports and our own.
//!
//! Ops of many envelopes are verified together, then accepted one by one. What an
//! accepted op sets off (an index row, a new epoch, a change of members) happens here,
//! whoever sent it.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use minicbor::bytes::ByteVec;
use net::wire::Hour;
use oplog::store::{Direction, Store, StoreError, Table, prefix_end};
use oplog::{
    Accept, AcceptError, AcceptedOp, EpochId, Kind, OpId, Rule, Scope, SignedOp, SpaceId, SpaceNo,
    Tag, UserId, VerifiedOp, codec,
};
use rand_core::CryptoRng;

use crate::arrivals::Arrived;
use crate::blobs::ChunkStore;
use crate::event::RelayId;
use crate::flood::Pace;
use crate::message::Sealed;
use crate::node::Node;
use crate::tags::TagUse;
use crate::view::Notice;

/// Envelopes that no key here opens yet: their commit is still on its way.
const UNOPENED: Table = Table("unopened");
/// Most such envelopes in one Space.
const UNOPENED_MAX: usize = 2_000;
/// How long they are kept, in days: as long as holdback keeps ops.
const UNOPENED_DAYS: u64 = 14;

/// What an envelope held for this device.
enum Opened {
    Ops(Vec<ByteVec>),
    /// Under the keys of which epoch it lay, and what it says.
    Gossip {
        under: EpochId,
        message: ByteVec,
    },
}

/// What became of some ops.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) accepted: Vec<OpId>,
    pub(crate) duplicates: u64,
    pub(crate) held: u64,
    /// Refused, with the rule and its words.
    pub(crate) refused: Vec<(OpId, &'static str, String)>,
    /// Those of them whose refusal is a verdict on the op, as they came.
    pub(crate) verdicts: Vec<(OpId, Rule, Vec<u8>)>,
    /// Not even ops.
    pub(crate) malformed: u64,
}

impl Outcome {
    /// Counts what became of some more.
    pub(crate) fn add(&mut self, more: Self) {
        self.accepted.extend(more.accepted);
        self.duplicates += more.duplicates;
        self.held += more.held;
        self.refused.extend(more.refused);
        self.malformed += more.malformed;
    }
}

impl<S: Store, C: ChunkStore, R: CryptoRng> Node<S, C, R> {
    /// Takes envelopes that a relay gave.
    pub(crate) fn open_envelopes(
        &mut self,
        from: RelayId,
        tag: Tag,
        found: TagUse,
        envelopes: Vec<Arrived>,
        pace: Pace,
    ) -> Result<(), StoreError> {
        match found {
            TagUse::Scope(space, scope) => {
                let mut outcome = Outcome::default();
                let mut ops = Vec::new();
                for Arrived { hour, sealed } in envelopes {
                    let id = sealed.id();
                    let s = self.spaces.get(&space);
                    if s.is_some_and(|s| s.repair.knows_gossip(&id)) {
                        continue;
                    }
                    if let Some((_, inside)) = self.arrival(&space, &tag, &id)? {
                        // Another relay brought it. That it is here too is what was hoped for.
                        if let Some(s) = self.spaces.get_mut(&space) {
                            s.repair.given_at(from, &inside);
                            // What the disk damaged since is taken from it once more.
                            if !inside.iter().any(|op| s.log.lost().contains_key(op)) {
                                continue;
                            }
                        }
                    }
                    match self.open_one(&space, &scope, sealed.as_bytes()) {
                        Some(Opened::Ops(list)) => {
                            let list = decode_ops(list, &mut outcome);
                            let inside: Vec<OpId> = list.iter().map(SignedOp::id).collect();
                            self.note_arrival(&space, &tag, &id, hour, &inside)?;
                            if let Some(s) = self.spaces.get_mut(&space) {
                                s.repair.given_at(from, &inside);
                            }
                            ops.extend(list);
                        }
                        Some(Opened::Gossip { under, message }) => {
                            if let Some(s) = self.spaces.get_mut(&space) {
                                s.repair.note_gossip(id);
                            }
                            self.heard(&space, &under, &message)?;
                        }
                        None => {
                            self.note_arrival(&space, &tag, &id, hour, &[])?;
                            self.keep_unopened(&space, tag, &scope, &sealed, hour)?;
                        }
                    }
                }
                self.take_signed(&space, ops, outcome, pace).map(|_| ())
            }
            TagUse::Join(space, invite) => envelopes.iter().try_for_each(|envelope| {
                self.join_requested(&space, &invite, envelope.sealed.as_bytes())
            }),
            TagUse::Return(space) => envelopes
                .iter()
                .try_for_each(|envelope| self.return_requested(&space, envelope.sealed.as_bytes())),
        }
    }

    fn open_one(&mut self, space: &SpaceId, scope: &Scope, envelope: &[u8]) -> Option<Opened> {
        let s = self.spaces.get(space)?;
        let Some((under, plain)) = s.open(scope, envelope) else {
            let (generation, plain) = s.open_letter(envelope)?;
            let list = self.read_letter(space, generation, &plain);
            return Some(Opened::Ops(list));
        };
        // Sealed by a member: nonsense inside is their fault and nobody's loss.
        match codec::decode("envelope content", &plain).ok()? {
            Sealed::Ops(list) => Some(Opened::Ops(list)),
            Sealed::Gossip(message) => Some(Opened::Gossip { under, message }),
            // A letter lies under the keys of its generation.
            Sealed::Letter(_) => Some(Opened::Ops(Vec::new())),
        }
    }

    /// Takes ops that anybody may have sent: decodes, verifies, accepts.
    pub(crate) fn take_ops(
        &mut self,
        space: &SpaceId,
        ops: Vec<Vec<u8>>,
    ) -> Result<Outcome, StoreError> {
        let mut outcome = Outcome::default();
        let ops = decode_ops(ops.into_iter().map(ByteVec::from), &mut outcome);
        self.take_signed(space, ops, outcome, Pace::Free)
    }

    /// Takes ops that anybody may have sent: verifies, accepts.
    fn take_signed(
        &mut self,
        space: &SpaceId,
        ops: Vec<SignedOp>,
        mut outcome: Outcome,
        pace: Pace,
    ) -> Result<Outcome, StoreError> {
        let mut signed = Vec::with_capacity(ops.len());
        for op in ops {
            if self.has_op(space, &op.id())? {
                outcome.duplicates += 1;
                if let Some(s) = self.spaces.get_mut(space) {
                    s.repair.given(&op.id());
                }
            } else {
                signed.push(op);
            }
        }
        let mut verified = Vec::with_capacity(signed.len());
        for result in SignedOp::verify_batch(signed, &mut self.rng) {
            match result {
                Ok(op) => verified.push(op),
                Err((op, error)) => outcome.refused.push((op.id(), "S0", error.to_string())),
            }
        }
        if pace == Pace::Slowed {
            verified = self.pace(space, verified)?;
        }
        self.accept_all(space, verified, &mut outcome)?;
        for (op, rule, bytes) in &outcome.verdicts {
            self.note_refusal(space, op, *rule, bytes)?;
        }
        for (op, rule, why) in &outcome.refused {
            self.notify(Notice::Refused {
                space: *space,
                op: *op,
                rule,
                why: why.clone(),
            });
        }
        self.received_count += outcome.accepted.len() as u64;
        Ok(outcome)
    }

    /// Accepts verified ops and lets happen what follows from them.
    pub(crate) fn accept_all(
        &mut self,
        space: &SpaceId,
        ops: Vec<VerifiedOp>,
        outcome: &mut Outcome,
    ) -> Result<(), StoreError> {
        let mut accepted: Vec<AcceptedOp> = Vec::with_capacity(ops.len());
        let lost_count = |node: &Self| node.spaces.get(space).map_or(0, |s| s.log.lost().len());
        let lost_before = lost_count(self);
        let held_count = |node: &Self| node.spaces.get(space).map_or(0, |s| s.log.holdback().len());
        let held_before = held_count(self);
        let me = self.me.device_id();
        for op in ops {
            let id = op.id();
            // Should it be refused, an outsider must be able to judge it too.
            let bytes = op.encode();
            let Some(s) = self.spaces.get_mut(space) else {
                return Ok(());
            };
            let (now, store, authority) = (self.now, &mut self.store, &mut s.authority);
            let taken = if op.header().device == me {
                s.log.accept_own(op, now, store, authority)
            } else {
                s.log.accept(op, now, store, authority)
            };
            match taken {
                Ok(Accept::Applied {
                    accepted: applied,
                    refused,
                }) => {
                    accepted.extend(applied);
                    refused
                        .into_iter()
                        .for_each(|r| outcome.refuse(r.id, &r.error, || r.op.encode()));
                }
                Ok(Accept::Held { .. } | Accept::Deferred { .. } | Accept::Waiting(_)) => {
                    outcome.held += 1
                }
                Ok(Accept::Duplicate) => outcome.duplicates += 1,
                Err(AcceptError::Store(source)) => return Err(source),
                Err(error) => outcome.refuse(id, &error, || bytes),
            }
        }
        outcome.accepted.extend(accepted.iter().map(|op| op.id()));
        let mended = lost_before.saturating_sub(lost_count(self));
        let now = self.now.as_ms();
        if let Some(s) = self.spaces.get_mut(space).filter(|_| !accepted.is_empty()) {
            s.mended += mended;
            s.repair.progressed(now);
        }
        if accepted.is_empty() && held_count(self) > held_before {
            // What they wait for is asked for, though nothing else was new. What was held before and
            // came again is not new either: to ask whenever it does would go on for ever.
            self.consider_repair(space);
        }
        self.applied(space, &accepted)
    }

    /// What newly accepted ops set off. They come parents first.
    pub(crate) fn applied(
        &mut self,
        space: &SpaceId,
        ops: &[AcceptedOp],
    ) -> Result<(), StoreError> {
        if ops.is_empty() {
            return Ok(());
        }
        let mut governed = false;
        for op in ops {
            self.index(space, op)?;
            governed |= op.header().is_control();
        }
        self.note_refs(space, ops)?;
        if governed {
            self.refresh_view(space);
            let commits = ops
                .iter()
                .filter(|op| op.header().kind() == Some(Kind::Commit))
                .map(|op| EpochId::of_commit(&op.id()));
            self.follow_commits(space, commits.collect())?;
            self.note_own_standing(space);
            self.note_witnessed(space, ops)?;
        }
        self.notify(Notice::Ops {
            space: *space,
            ops: ops.iter().map(|op| op.id()).collect(),
        });
        self.retry_unopened(space)?;
        if governed {
            self.consider_reconcile(space)?;
        }
        self.consider_repair(space);
        Ok(())
    }

    /// Writes the rows by which content is found. Control ops have none beside those of the log.
    fn index(&mut self, space: &SpaceId, op: &AcceptedOp) -> Result<(), StoreError> {
        let Some(s) = self.spaces.get_mut(space) else {
            return Ok(());
        };
        s.repair.given(&op.id());
        if op.header().is_control() {
            return Ok(());
        }
        if let Some(stored) = s.table.stored(&self.store, &op.id())? {
            fold::content::index::insert(&mut self.store, &s.no.0.to_be_bytes(), op, stored.at);
        }
        Ok(())
    }

    /// Whoever names an op of ours has seen it. Each named op is looked up once, however many name it.
    fn note_refs(&mut self, space: &SpaceId, ops: &[AcceptedOp]) -> Result<(), StoreError> {
        let me = self.me.user();
        let mut named: BTreeMap<OpId, BTreeSet<UserId>> = BTreeMap::new();
        for header in ops.iter().map(|op| op.header()).filter(|h| h.user != me) {
            for id in header.ctl.iter().chain(&header.prev) {
                named.entry(*id).or_default().insert(header.user);
            }
        }
        let own = self.me.device_id();
        for (id, users) in named {
            let Some(s) = self.spaces.get(space) else {
                return Ok(());
            };
            let (lane, seq) = match s.log.place_of(&id) {
                Some(place) => place,
                None => match s.op(&self.store, &id)? {
                    Some(op) => (op.header().lane(), op.header().seq),
                    None => continue,
                },
            };
            for user in users.iter().filter(|_| lane.device == own) {
                self.note_seen_op(space, user, &lane, seq)?;
            }
        }
        Ok(())
    }

    fn note_own_standing(&mut self, space: &SpaceId) {
        let me = self.me.user();
        let Some(s) = self.spaces.get(space) else {
            return;
        };
        if s.log.dag().is_empty() || s.is_member(&me) {
            return;
        }
        if let Some(by) = s.out_by(&me).last().copied() {
            self.notify(Notice::Removed { space: *space, by });
        }
    }

    fn keep_unopened(
        &mut self,
        space: &SpaceId,
        tag: Tag,
        scope: &Scope,
        envelope: &net::wire::Sealed,
        hour: Hour,
    ) -> Result<(), StoreError> {
        let (day, now) = (self.now.day(), Hour::of(self.now));
        let Some(s) = self.spaces.get_mut(space) else {
            return Ok(());
        };
        // A relay's clock may be ahead.
        let put_at = hour.min(now).start().as_ms();
        s.unopened_last = s.unopened_last.max(put_at);
        if s.unopened >= UNOPENED_MAX {
            return Ok(());
        }
        let key = unopened_row(s.no, day, &envelope.id());
        if self.store.get(UNOPENED, &key)?.is_none() {
            s.unopened += 1;
            let scope_len = u8::try_from(scope.as_bytes().len()).unwrap_or(u8::MAX);
            let value = [
                &[scope_len],
                scope.as_bytes(),
                tag.as_bytes().as_slice(),
                envelope.as_bytes(),
            ]
            .concat();
            self.store.put(UNOPENED, &key, &value);
        }
        Ok(())
    }

    /// Tries the envelopes that no key opened, if keys came since; what is in them may bring the
    /// next ones. In a loop: who is a thousand commits behind must not need as deep a stack.
    pub(crate) fn retry_unopened(&mut self, space: &SpaceId) -> Result<(), StoreError> {
        while let Some(s) = self.spaces.get_mut(space)
            && s.keys_are_new
            && !s.retrying
        {
            s.keys_are_new = false;
            if s.unopened == 0 {
                break;
            }
            s.retrying = true;
            let tried = self.try_unopened(space);
            if let Some(s) = self.spaces.get_mut(space) {
                s.retrying = false;
            }
            tried?;
        }
        Ok(())
    }

    fn try_unopened(&mut self, space: &SpaceId) -> Result<(), StoreError> {
        let Some(s) = self.spaces.get(space) else {
            return Ok(());
        };
        let prefix = s.no.0.to_be_bytes();
        let mut rows: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
        self.store.scan(
            UNOPENED,
            &prefix,
            &prefix_end(&prefix),
            Direction::Forward,
            &mut |key, value| {
                rows.push((key.to_vec(), value.to_vec()));
                ControlFlow::Continue(())
            },
        )?;
        let oldest = self.now.day().saturating_sub(UNOPENED_DAYS);
        let mut outcome = Outcome::default();
        let mut ops = Vec::new();
        for (key, value) in rows {
            let day = key
                .get(2..10)
                .and_then(|d| d.try_into().ok())
                .map_or(0, u64::from_be_bytes);
            let kept = read_unopened(&value);
            let sealed =
                kept.and_then(|(scope, _, envelope)| self.open_one(space, &scope, envelope));
            if sealed.is_some() || day < oldest {
                self.store.delete(UNOPENED, &key);
                if let Some(s) = self.spaces.get_mut(space) {
                    s.unopened = s.unopened.saturating_sub(1);
                }
            }
            match (sealed, kept) {
                (Some(Opened::Ops(list)), Some((_, tag, envelope))) => {
                    let list = decode_ops(list, &mut outcome);
                    let inside: Vec<OpId> = list.iter().map(SignedOp::id).collect();
                    let id = oplog::tag::envelope_hash(envelope);
                    if let Some((hour, _)) = self.arrival(space, &tag, &id)? {
                        self.note_arrival(space, &tag, &id, hour, &inside)?;
                    }
                    ops.extend(list);
                }
                (Some(Opened::Gossip { under, message }), _) => {
                    self.heard(space, &under, &message)?;
                }
                _ => {}
            }
        }
        self.take_signed(space, ops, outcome, Pace::Free)
            .map(|_| ())
    }

    pub(crate) fn count_unopened(&self, no: SpaceNo) -> Result<usize, StoreError> {
        let prefix = no.0.to_be_bytes();
        let mut count = 0;
        self.store.scan(
            UNOPENED,
            &prefix,
            &prefix_end(&prefix),
            Direction::Forward,
            &mut |_, _| {
                count += 1;
                ControlFlow::Continue(())
            },
        )?;
        Ok(count)
    }

    /// Lets go of what waited too long, and takes in what waited for its time.
    pub(crate) fn expire_ops(&mut self, space: &SpaceId) -> Result<(), StoreError> {
        let Some(s) = self.spaces.get_mut(space) else {
            return Ok(());
        };
        s.log.expire(self.now, &mut self.store)?;
        let mut accepted = Vec::new();
        let mut outcome = Outcome::default();
        for (id, result) in s.log.due(self.now, &mut self.store, &mut s.authority) {
            match result {
                Ok(Accept::Applied {
                    accepted: applied,
                    refused,
                }) => {
                    accepted.extend(applied);
                    refused
                        .into_iter()
                        .for_each(|r| outcome.refuse(r.id, &r.error, || r.op.encode()));
                }
                Err(AcceptError::Store(source)) => return Err(source),
                Err(error) => outcome.refuse(id, &error, Vec::new),
                Ok(_) => {}
            }
        }
        for (op, rule, bytes) in &outcome.verdicts {
            self.note_refusal(space, op, *rule, bytes)?;
        }
        self.applied(space, &accepted)?;
        self.take_slowed(space)
    }

    /// Indexes what the log holds beyond the index: after a crash, or when the index was rebuilt.
    ///
    /// # Errors
    /// When storage fails.
    pub fn index_again(&mut self, space: &SpaceId, ops: &BTreeSet<OpId>) -> Result<(), StoreError> {
        for id in ops {
            let Some(s) = self.spaces.get(space) else {
                return Ok(());
            };
            if let Some(op) = s.op(&self.store, id)? {
                self.index(space, &op)?;
            }
        }
        Ok(())
    }
}

impl Outcome {
    /// Notes that an op was refused. `bytes` gives it as it came, empty when nobody has it any more.
    fn refuse(&mut self, op: OpId, error: &AcceptError, bytes: impl FnOnce() -> Vec<u8>) {
        let rule = error.rule();
        if let Some(rule) = rule.filter(|_| error.is_verdict()) {
            self.verdicts.push((op, rule, bytes()));
        }
        let rule = rule.map_or("local", Rule::id);
        self.refused.push((op, rule, error.to_string()));
    }
}

fn unopened_row(no: SpaceNo, day: u64, id: &oplog::Digest) -> Vec<u8> {
    [
        no.0.to_be_bytes().as_slice(),
        &day.to_be_bytes(),
        id.as_bytes(),
    ]
    .concat()
}

fn read_unopened(value: &[u8]) -> Option<(Scope, Tag, &[u8])> {
    let (len, rest) = value.split_first()?;
    let (scope, rest) = rest.split_at_checked(usize::from(*len))?;
    let scope = match scope {
        [] => Scope::Control,
        bytes => Scope::Channel(oplog::ChannelId::from_bytes(bytes.try_into().ok()?)),
    };
    let (tag, envelope) = rest.split_first_chunk::<{ Tag::LEN }>()?;
    Some((scope, Tag::from_bytes(*tag), envelope))
}

/// Decodes ops; what is none is counted.
fn decode_ops(list: impl IntoIterator<Item = ByteVec>, outcome: &mut Outcome) -> Vec<SignedOp> {
    let mut ops = Vec::new();
    for bytes in list {
        match SignedOp::decode(&bytes) {
            Ok(op) => ops.push(op),
            Err(_) => outcome.malformed += 1,
        }
    }
    ops
}
