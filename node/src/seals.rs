//! Making the past final: Seals, by hand and by the calendar (B9).
//!
//! Whoever may set policies may seal. By hand a Seal is about the newest epoch, and closes whatever
//! may be closed by now. By itself a client is slower on both counts, since what is sealed is not
//! taken back: it leaves out epochs that a branch may still overtake, and keeps removals open for a
//! month, so that honest late posts find their way. Devices take turns, owners first.
//!
//! # Invariants
//! - A closure names what is late and shown here without a click: sealing takes none of it away.

use core::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use fold::content::Verdict;
use oplog::authority::View;
use oplog::hash::H;
use oplog::payload::{Closure, CutHead, ScopeCut, Seal, Verb, Weight};
use oplog::store::{Store, StoreError};
use oplog::{DeviceId, Digest, EpochId, Header, Hlc, Kind, Lane, OpId, Payload, SpaceId, UserId};
use rand_core::CryptoRng;

use crate::blobs::ChunkStore;
use crate::error::CommandError;
use crate::node::Node;
use crate::space::Space;
use crate::view::SealView;

/// After how many commits clients seal, where no policy says (B16).
pub(crate) const SEAL_EVERY: u32 = 16;
const HOUR_MS: u64 = 3_600_000;
/// After how long they do at the latest, in milliseconds, if there was a commit (B16: 7 d).
const AGE_MS: u64 = 7 * 24 * HOUR_MS;
/// How old the commit of an epoch is at least before a client seals it by itself, in milliseconds.
/// Guess: who was offline for a day has told of their branch by then.
const SETTLED_MS: u64 = 24 * HOUR_MS;
/// How long a client leaves a removal open by itself, in seconds (B16: 30 d).
const OPEN_SECS: u32 = 30 * 24 * 3_600;
/// How long a removal stays open at least, in seconds (K8).
const CLOSURE_SECS: u32 = 72 * 3_600;
/// One place further back in the order of sealing, in milliseconds. Guess: a Seal has reached
/// whoever is online long before.
const TURN_MS: u64 = 5 * 60_000;
/// The last place in that order.
const TURNS_MAX: u64 = 8;
/// How often a client looks whether a Seal is due, in milliseconds: looking is slow.
const LOOK_MS: u64 = HOUR_MS;
/// When it tries again after the rules refused its Seal, in milliseconds.
const REFUSED_MS: u64 = 6 * HOUR_MS;
/// Most late ops of one lane that are looked at: twice the quota of a person in a scope (D3).
pub(crate) const LATE_LOOKED_AT: usize = 1_024;
/// Most heads and scopes that one Seal names, as its format allows.
const HEADS_MAX: usize = 4_000;

/// When this device looks next whether a Seal is due.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct SealTurn {
    /// In milliseconds.
    at: u64,
    /// It was due when this device looked last.
    due: bool,
}

impl<S: Store, C: ChunkStore, R: CryptoRng> Node<S, C, R> {
    /// Makes everything final that may be by now: the newest epoch, and every removal that has been
    /// open for long enough.
    pub(crate) fn seal_now(&mut self, space: &SpaceId) -> Result<OpId, CommandError> {
        self.may_write(space)?;
        let s = self.known_space(space)?;
        if !s.is_canonical() {
            return Err(CommandError::KeysBehind);
        }
        let seal = s.seal_of(&self.store, s.canonical, self.ripe(s, CLOSURE_SECS))?;
        self.govern(space, Payload::Seal(seal))
    }

    /// Housekeeping: seals where it is time, and this device's turn.
    pub(crate) fn consider_seals(&mut self) -> Result<(), StoreError> {
        if !self.online() {
            return Ok(());
        }
        let now = self.now.as_ms();
        let spaces: Vec<SpaceId> = self.spaces.keys().copied().collect();
        for space in spaces {
            let Some(s) = self.spaces.get(&space) else {
                continue;
            };
            let turn = s.seal_turn;
            // Turns are minutes away; a clock that was set back must not make this one wait for years.
            let waits = turn.at > now && turn.at - now <= REFUSED_MS;
            if waits || !self.can_commit(s) || !s.may_seal(&self.me.user()) {
                continue;
            }
            let at = |at: u64, due| SealTurn { at, due };
            let next = match self.due_seal(s)? {
                None => at(now.saturating_add(LOOK_MS), false),
                Some(_) if !turn.due => {
                    let place = s.place_to_seal(&self.me.device_id()).min(TURNS_MAX);
                    at(now.saturating_add((place + 1) * TURN_MS), true)
                }
                Some(seal) => match self.govern(&space, Payload::Seal(seal)) {
                    Ok(_) => at(now.saturating_add(LOOK_MS), false),
                    Err(CommandError::Store { source }) => return Err(source),
                    Err(error) => {
                        tracing::debug!(%error, "not sealed");
                        at(now.saturating_add(REFUSED_MS), false)
                    }
                },
            };
            if let Some(s) = self.spaces.get_mut(&space) {
                s.seal_turn = next;
            }
        }
        Ok(())
    }

    /// The Seal that it is time for by the calendar.
    fn due_seal(&self, s: &Space) -> Result<Option<Seal>, StoreError> {
        let every = s.seal_every();
        if every == 0 {
            return Ok(None);
        }
        let now = self.now.as_ms();
        let epochs = s.authority.epochs();
        let from = s.sealed_from();
        let epoch = s.settled(now);
        let number = |id: &EpochId| epochs.epoch(id).map_or(0, |record| record.number);
        let commits = number(&epoch).saturating_sub(number(&from));
        let since = s.view.seal().map(|(_, op)| op);
        let since = since.or_else(|| epochs.epoch(&from).map(|record| record.commit));
        let old = since
            .and_then(|op| s.clock_of(&op))
            .is_some_and(|then| now.saturating_sub(then) >= AGE_MS);
        let ripe = self.ripe(s, OPEN_SECS);
        if commits < u64::from(every) && !(old && commits > 0) && ripe.is_empty() {
            return Ok(None);
        }
        s.seal_of(&self.store, epoch, ripe).map(Some)
    }

    /// The removals that a Seal of ours may close by now, and that have stood for so long.
    fn ripe(&self, s: &Space, open_secs: u32) -> BTreeMap<OpId, Vec<ScopeCut>> {
        let (me, now) = (self.me.user(), Hlc::from_wall(self.now));
        let owner = s.view.weight(&me) == Some(Weight::OWNER);
        let dag = s.log.dag();
        let removals = dag.iter().filter(|node| {
            let h = node.op.header();
            removes(h) && now >= h.hlc.plus_secs(open_secs) && !s.view.is_closed(&node.op.id())
        });
        let mut ripe = BTreeMap::new();
        for node in removals {
            let (removal, r) = (node.op.id(), node.op.header());
            let witnessed = || {
                s.authority.epochs().iter().any(|record| {
                    let then = dag.node(&record.commit).map(|node| node.op.header().hlc);
                    record.user != me
                        && record.user != r.user
                        && then.is_some_and(|then| now >= then.plus_secs(CLOSURE_SECS))
                        && dag.precedes(&removal, &record.commit)
                })
            };
            if !(owner || witnessed()) {
                continue;
            }
            // What names no scope closes none.
            if let Some(cut) = s.view.removal_cut(&removal).filter(|cut| !cut.is_empty())
                && cut.iter().all(|scope| scope.scope.channel().is_some())
            {
                ripe.insert(removal, cut);
            }
        }
        ripe
    }

    /// Returns what the effective Seal of a Space says, if there is one.
    ///
    /// # Errors
    /// When the Space is not here.
    pub fn seal(&self, space: SpaceId) -> Result<Option<SealView>, CommandError> {
        Ok(self.known_space(&space)?.seal_view())
    }
}

impl Space {
    /// The policy: after how many commits clients seal, 0 for never.
    pub(crate) fn seal_every(&self) -> u32 {
        self.view.policies().seal_every.unwrap_or(SEAL_EVERY)
    }

    fn may_seal(&self, user: &UserId) -> bool {
        self.view.weight(user) >= Some(self.view.least(Verb::Policy, None))
    }

    /// The epoch from which the branch that counts is sought.
    fn sealed_from(&self) -> EpochId {
        let sealed = self.view.seal().map(|(epoch, _)| *epoch);
        sealed.unwrap_or_else(|| EpochId::genesis(&self.id))
    }

    fn clock_of(&self, op: &OpId) -> Option<u64> {
        let node = self.log.dag().node(op)?;
        Some(node.op.header().hlc.to_wall().as_ms())
    }

    /// The newest epoch of the branch that counts, behind the sealed one, whose commit is a day old.
    fn settled(&self, now: u64) -> EpochId {
        let from = self.sealed_from();
        let epochs = self.authority.epochs();
        let mut at = epochs.epoch(&self.canonical);
        while let Some(record) = at.filter(|record| record.id != from) {
            let then = self.clock_of(&record.commit);
            if then.is_some_and(|then| now.saturating_sub(then) >= SETTLED_MS) {
                return record.id;
            }
            at = record.parent.and_then(|parent| epochs.epoch(&parent));
        }
        from
    }

    /// The place of a device among those of the group whose people may seal: owners first, whose
    /// Seals nobody overrules; of equals by a draw for each Seal.
    fn place_to_seal(&self, device: &DeviceId) -> u64 {
        let from = self.sealed_from();
        let draw = |device: &DeviceId, user: &UserId| {
            let draw = H::new("seal-turn")
                .field(from.as_bytes())
                .field(device.as_bytes())
                .finish();
            (Reverse(self.view.weight(user)), draw)
        };
        let devices = self.view.authorised_devices();
        let Some(own) = devices.get(device).map(|user| draw(device, user)) else {
            return u64::MAX;
        };
        let before = self.roster().filter(|other| {
            let user = devices.get(other).filter(|user| self.may_seal(user));
            user.is_some_and(|user| draw(other, user) < own)
        });
        u64::try_from(before.count()).unwrap_or(u64::MAX)
    }

    /// The Seal of an epoch that closes these removals, as many as it has room for.
    fn seal_of<S: Store>(
        &self,
        store: &S,
        epoch: EpochId,
        ripe: BTreeMap<OpId, Vec<ScopeCut>>,
    ) -> Result<Seal, StoreError> {
        let mut closures = Vec::new();
        let mut room = HEADS_MAX;
        for (removal, cut) in ripe {
            let cut = self.kept_of_removed(store, &removal, cut)?;
            let names: usize = cut.iter().map(|scope| scope.heads.len() + 1).sum();
            let Some(left) = room.checked_sub(names) else {
                continue;
            };
            room = left;
            closures.push(Closure { removal, cut });
        }
        Ok(Seal {
            epoch,
            public_state: self.public_state(&epoch),
            closures,
            strata: None,
        })
    }

    /// What cut and attests of a removal name, and besides the ends of what is shown here of the
    /// removed in the same scopes. What stands behind a click ends with the Seal, unless somebody
    /// attested it: to name it would make it a post like any other.
    fn kept_of_removed<S: Store>(
        &self,
        store: &S,
        removal: &OpId,
        cut: Vec<ScopeCut>,
    ) -> Result<Vec<ScopeCut>, StoreError> {
        let devices = self.removed_devices(removal);
        let mut all = Vec::with_capacity(cut.len());
        for ScopeCut { scope, heads } in cut {
            let mut heads: BTreeSet<CutHead> = heads.into_iter().collect();
            for device in &devices {
                let device = *device;
                let from = behind(&heads, &device);
                let lane = Lane { device, scope };
                let late = self.late_ends(store, &lane, from)?;
                heads.extend(
                    late.into_iter()
                        .map(|(op, seq)| CutHead { device, seq, op }),
                );
            }
            let heads = heads.into_iter().collect();
            all.push(ScopeCut { scope, heads });
        }
        Ok(all)
    }

    /// The last ops of a lane, from a position on, that are late and shown without a click.
    fn late_ends<S: Store>(
        &self,
        store: &S,
        lane: &Lane,
        from: u64,
    ) -> Result<BTreeMap<OpId, u64>, StoreError> {
        let (mut ends, mut before) = (BTreeMap::new(), BTreeSet::new());
        for (seq, id) in self.table.range(store, lane, from, None, LATE_LOOKED_AT)? {
            let Some(op) = self.op(store, &id)? else {
                continue;
            };
            let verdict = self.with_content(store, |content| content.verdict(&op))?;
            if matches!(verdict, Verdict::Late(late) if !late.quarantined) {
                before.extend(op.header().back);
                ends.insert(id, seq);
            }
        }
        ends.retain(|id, _| !before.contains(id));
        Ok(ends)
    }

    /// The devices that a removal is about.
    pub(crate) fn removed_devices(&self, removal: &OpId) -> Vec<DeviceId> {
        let node = self.log.dag().node(removal);
        let payload = node.and_then(|node| node.op.payload().ok().flatten());
        let payload = match payload {
            Some(Payload::QuorumAct(act)) => act.action(),
            other => other,
        };
        match payload {
            Some(Payload::Kick(removal) | Payload::Ban(removal)) => self
                .view
                .devices()
                .filter(|device| device.user == removal.target)
                .map(|device| device.device)
                .collect(),
            Some(Payload::DeviceRevoke(revoke)) => vec![revoke.device],
            Some(Payload::EquivocationProof(proof)) => proof.device().into_iter().collect(),
            _ => Vec::new(),
        }
    }

    /// Hash of what is public of the group in an epoch. The GroupInfo of its commit names the tree
    /// by hash, and every member has it; the first epoch has none, and only its one leaf.
    fn public_state(&self, epoch: &EpochId) -> Digest {
        let record = self.authority.epochs().epoch(epoch);
        let node = record.and_then(|record| self.log.dag().node(&record.commit));
        let payload = node.and_then(|node| node.op.payload().ok().flatten());
        let hash = H::new("public-state");
        let hash = match &payload {
            Some(Payload::Commit(commit)) => hash.field(&commit.group_info),
            Some(Payload::Genesis(genesis)) => hash.field(genesis.leaf.as_bytes()),
            _ => hash,
        };
        Digest::from_bytes(hash.finish())
    }

    pub(crate) fn seal_view(&self) -> Option<SealView> {
        let (epoch, op) = self.view.seal()?;
        let h = self.log.dag().node(&op)?.op.header();
        let epochs = self.authority.epochs();
        let closed = |node: &&oplog::dag::ControlNode| self.view.is_closed(&node.op.id());
        Some(SealView {
            op,
            author_name: self.person(&h.user),
            wall: h.wall,
            epoch: *epoch,
            epoch_number: epochs.epoch(epoch).map_or(0, |record| record.number),
            closed: self.log.dag().iter().filter(closed).count(),
        })
    }

    /// What an effective Seal or complaint, or a removal that a Seal closed, comes to; in words.
    pub(crate) fn finality_words(&self, op: &OpId, payload: &Payload) -> Vec<String> {
        let mut words = Vec::new();
        if let Payload::Seal(seal) = payload {
            let number = self
                .authority
                .epochs()
                .epoch(&seal.epoch)
                .map_or(0, |r| r.number);
            words.push(format!(
                "the group's keys up to epoch {number} are final: no other branch from before counts"
            ));
            for closure in &seal.closures {
                words.push(format!(
                    "it closes {}: what it does not name of the removed, in {} channels, is refused for good",
                    self.deed(&closure.removal),
                    closure.cut.len()
                ));
            }
        }
        if let Payload::CommitComplaint(complaint) = payload {
            let commit = self
                .authority
                .epochs()
                .epoch(&complaint.epoch)
                .map(|r| r.commit);
            if let (Some(commit), Some(said)) = (commit, self.complaint_words(&complaint.epoch)) {
                words.push(format!("it is about {}{said}", self.deed(&commit)));
            }
        }
        if self.view.is_closed(op)
            && let Some(seal) = self.closed_by(op)
        {
            words.push(format!(
                "closed by {}: no late post that it does not name can count any more",
                self.deed(&seal)
            ));
        }
        words
    }

    /// The Seal that says what stays of whom a removal removed.
    fn closed_by(&self, removal: &OpId) -> Option<OpId> {
        for device in self.removed_devices(removal) {
            let user = self.view.device(&device).map(|device| device.user);
            let mut records = self.view.ends_of(&device);
            records.extend(
                user.into_iter()
                    .flat_map(|user| self.view.removals_of(&user)),
            );
            let record = records.into_iter().find(|record| record.op == *removal);
            if let Some((seal, _)) = record.and_then(|record| record.closure) {
                return Some(seal);
            }
        }
        None
    }
}

/// The first position in a device's lane that is behind what a cut names of it.
pub(crate) fn behind<'a>(heads: impl IntoIterator<Item = &'a CutHead>, device: &DeviceId) -> u64 {
    let of_device = heads.into_iter().filter(|head| head.device == *device);
    let behind = of_device.map(|head| head.seq.saturating_add(1));
    behind.max().unwrap_or(0)
}

/// Whether an op may be a removal with a cut, which a Seal can close.
pub(crate) fn removes(header: &Header) -> bool {
    matches!(
        header.kind(),
        Some(
            Kind::Kick | Kind::Ban | Kind::DeviceRevoke | Kind::EquivocationProof | Kind::QuorumAct
        )
    )
}
