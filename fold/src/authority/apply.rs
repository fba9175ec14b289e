//! From verdicts to state: each key takes the greatest of its causally maximal effective writers (B4).
//!
//! All ops of the base lie before all ops applied here, so a key that nobody here
//! writes keeps what it had, and a key that somebody here writes forgets the base.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use imbl::OrdMap;
use oplog::payload::{ChannelUpdate, PolicySet, Weight};
use oplog::{ChannelId, DeviceId, OpId, UserId};

use super::act::{Act, Deed, Facet};
use super::pass::{self, Verdicts, restricts};
use super::state::{
    AuthorityView, ChannelState, DeviceState, InviteState, Logged, MuteKey, Register, SealState,
    UserState,
};
use crate::epochs::EpochTree;
use crate::explain::{Verdict, VoidReason};

/// Folds these ops onto a view all of whose ops lie in the past of each of them. Changes the view in
/// place where nobody else holds it, and shares with it what stays the same otherwise.
pub(super) fn fold_onto(
    epochs: &EpochTree,
    base: Arc<AuthorityView>,
    acts: Vec<Arc<Act>>,
    frontier: Vec<OpId>,
) -> Arc<AuthorityView> {
    let found = pass::judge(&base, acts);
    let mut folded = base;
    let view = Arc::make_mut(&mut folded);
    view.frontier = frontier;
    for user in found.about.keys() {
        let state = view.users.entry(*user).or_default();
        apply_user(&found, user, Arc::make_mut(state));
    }
    for key in found.mutes.keys() {
        apply_mutes(&found, key, view);
    }
    let effective = found.acts.iter().filter(|act| found.is_effective(act));
    let mut effective: Vec<&Arc<Act>> = effective.collect();
    effective.sort_by_key(|act| (act.depth, act.id));
    apply_devices(&found, &effective, view);
    apply_channels(&effective, view);
    apply_policies(&effective, view);
    apply_invites(&found, &effective, view);
    apply_attests(&effective, view);
    for (op, reason) in &found.void {
        view.void
            .insert(*op, Arc::new(Verdict::Void(reason.clone())));
    }
    apply_seals(epochs, &effective, view);
    folded
}

/// Returns whether what these ops say leaves the verdicts of a base alone, all of which lies in
/// their past. A later proof that a device equivocates does not: it keeps what it saw, also what an
/// earlier one, in the base, had made void (A6).
pub(super) fn changes_nothing_before(base: &AuthorityView, acts: &[Arc<Act>]) -> bool {
    acts.iter()
        .filter_map(|act| act.freezes())
        .all(|(device, _)| {
            let before = base.devices.get(&device);
            let before = before.map_or(&[][..], |state| state.proofs.as_slice());
            before.is_empty()
                || !base.void.values().any(|verdict| {
                    matches!(**verdict, Verdict::Void(VoidReason::Frozen { by })
                    if before.iter().any(|proof| proof.id == by))
                })
        })
}

fn apply_user(found: &Verdicts, user: &UserId, state: &mut UserState) {
    let about = found.about(user);
    let reaching = |facet: Facet| {
        about
            .iter()
            .filter(move |w| w.writes(user, facet) && found.reaches(w, user, facet))
    };
    state.member.supersede(reaching(Facet::Member).cloned());
    state.role.supersede(reaching(Facet::Role).cloned());
    let admissions = || {
        reaching(Facet::Member)
            .filter(|w| matches!(w.deed, Deed::Genesis { .. } | Deed::MemberAdd { .. }))
    };
    state.added.supersede(admissions().cloned());
    state.admissions.extend(admissions().map(|w| w.id));

    for facet in [Facet::Member, Facet::Role] {
        // A void admission is nothing anyone can lean on; a void removal or role may still
        // stand against ops that rank too high for it to be decided when they are.
        let logged = about
            .iter()
            .filter(|w| w.writes(user, facet))
            .filter_map(|w| {
                let effective = found.reaches(w, user, facet);
                let idle =
                    !effective && facet == Facet::Member && w.makes_member(user) == Some(true);
                (!idle).then(|| Logged {
                    act: w.clone(),
                    effective,
                })
            });
        let log = match facet {
            Facet::Member => &mut state.member_log,
            Facet::Role => &mut state.role_log,
        };
        log.extend(logged);
        prune_log(user, facet, log);

        let standing = match facet {
            Facet::Member => &mut state.bans,
            Facet::Role => &mut state.demotions,
        };
        let added = about
            .iter()
            .filter(|w| restricts(w, user, facet) && found.is_effective(w));
        standing.extend(added.cloned());
        standing.retain(|r| !found.is_reversed(r, user, facet, None));
        prune_standing(standing, |later, earlier| match facet {
            Facet::Member => true,
            // A lower one would hide the higher one's return when it is half undone.
            Facet::Role => later.level(user) == earlier.level(user),
        });
    }

    let overridden = |removal: &Act| {
        reaching(Facet::Member).any(|y| {
            y.makes_member(user) == Some(true)
                && y.order() > removal.order()
                && y.is_concurrent(removal)
        })
    };
    let removals =
        reaching(Facet::Member).filter(|w| w.makes_member(user) == Some(false) && !overridden(w));
    for act in removals {
        state.removals.insert((act.depth, act.id), act.clone());
    }
}

/// Drops what no later op can lean on.
fn prune_log(user: &UserId, facet: Facet, log: &mut Vec<Logged>) {
    log.sort_by_key(|l| (l.act.depth, l.act.id));
    if log.len() > 1 {
        let all = log.clone();
        log.retain(|l| {
            !all.iter()
                .any(|k| makes_irrelevant(k, l, user, facet) && l.act.precedes(&k.act))
        });
    }
}

/// Returns whether a later writer makes an earlier one irrelevant to every op after both:
/// whenever the pass would count the earlier one as standing, it counts the later one too.
fn makes_irrelevant(later: &Logged, earlier: &Logged, user: &UserId, facet: Facet) -> bool {
    let outlasts = later.effective
        && later.act.rank >= earlier.act.rank
        && (!earlier.act.is_self_revocation() || later.act.rank > earlier.act.rank);
    match facet {
        Facet::Member => {
            // What removes counts for ops of every rank: as decided below it, as undecided above.
            let always = later.effective && later.act.makes_member(user) == Some(false);
            always || (outlasts && earlier.act.makes_member(user) == Some(true))
        }
        Facet::Role => outlasts && later.act.level(user) <= earlier.act.level(user),
    }
}

/// Drops restrictions that a later one of no lower rank repeats, so that what undoes the
/// later one undoes the earlier one, and what the earlier one stops the later one stops.
fn prune_standing(standing: &mut Vec<Arc<Act>>, repeats: impl Fn(&Act, &Act) -> bool) {
    standing.sort_by_key(|act| (act.depth, act.id));
    if standing.len() > 1 {
        let all = standing.clone();
        standing.retain(|r| {
            !all.iter()
                .any(|k| k.rank >= r.rank && repeats(k, r) && r.precedes(k))
        });
    }
}

fn apply_mutes(found: &Verdicts, key: &MuteKey, view: &mut AuthorityView) {
    let acts = found.mutes.get(key).map_or(&[][..], Vec::as_slice);
    let effective = || acts.iter().filter(|a| found.is_effective(a));
    if effective().next().is_none() {
        return;
    }
    let state = Arc::make_mut(view.mutes.entry(*key).or_default());
    state.register.supersede(effective().cloned());
    let mutes = effective().filter(|a| a.muted_until().is_some());
    state.standing.extend(mutes.cloned());
    state.standing.retain(|r| !found.is_unmuted(r, key, None));
    // A longer one on top does not make the earlier one irrelevant: it flags what was written
    // before the longer one began.
    state.standing.sort_by_key(|act| (act.depth, act.id));
}

fn apply_devices(found: &Verdicts, effective: &[&Arc<Act>], view: &mut AuthorityView) {
    let mut claims: BTreeMap<DeviceId, Vec<Arc<Act>>> = BTreeMap::new();
    for act in effective {
        for (cert, key_package) in act.certs() {
            if matches!(act.deed, Deed::MemberAdd { .. })
                && !found.reaches(act, &cert.user, Facet::Member)
            {
                continue;
            }
            claims.entry(cert.device).or_default().push((*act).clone());
            if !matches!(act.deed, Deed::Genesis { .. }) {
                offer(view, cert.device, act.id, key_package);
            }
        }
        if let Deed::ReaddRequest { key_package } = act.deed {
            offer(view, act.device, act.id, key_package);
        }
    }
    let mut revokes: BTreeMap<DeviceId, Vec<Arc<Act>>> = BTreeMap::new();
    let mut proofs: BTreeMap<DeviceId, Vec<Arc<Act>>> = BTreeMap::new();
    for act in effective {
        if let Some(device) = act.revoked_device() {
            claims.entry(device).or_default();
            revokes.entry(device).or_default().push((*act).clone());
        }
        if let Some((device, _)) = act.freezes() {
            claims.entry(device).or_default();
            proofs.entry(device).or_default().push((*act).clone());
        }
    }
    for (device, claims) in claims {
        let state = Arc::make_mut(view.devices.entry(device).or_default());
        state.claim(device, claims);
        state
            .revokes
            .extend(revokes.remove(&device).unwrap_or_default());
        state.revokes.sort_by_key(|act| (act.depth, act.id));
        state
            .proofs
            .extend(proofs.remove(&device).unwrap_or_default());
        state.proofs.sort_by_key(|act| (act.depth, act.id));
        file_device(device, state, &mut view.users);
    }
}

/// Puts a device among those of its holder, who never changes once there is one.
fn file_device(device: DeviceId, state: &DeviceState, users: &mut OrdMap<UserId, Arc<UserState>>) {
    let Some(owner) = state.cert.as_ref().map(|cert| cert.user) else {
        return;
    };
    let live = state.live_user().is_some();
    let held = users.get(&owner);
    if held.is_some_and(|user| {
        if live {
            user.devices.contains(&device)
        } else {
            user.dead_devices.contains(&device)
        }
    }) {
        return;
    }
    let user = Arc::make_mut(users.entry(owner).or_default());
    if live {
        user.devices.insert(device);
    } else {
        user.devices.remove(&device);
        user.dead_devices.insert(device);
    }
}

fn offer(view: &mut AuthorityView, device: DeviceId, op: OpId, package: oplog::Digest) {
    let offered = view.key_packages.entry(device).or_default();
    offered.insert((op, package));
}

impl DeviceState {
    /// Takes in more certificates of a device.
    fn claim(&mut self, device: DeviceId, claims: Vec<Arc<Act>>) {
        let holder = |act: &Act| {
            let certs = act.certs();
            let cert = certs.into_iter().find(|(c, _)| c.device == device);
            cert.map(|(c, _)| c.clone())
        };
        if self.first.0.is_empty() {
            let saw_another = |a: &Arc<Act>| claims.iter().any(|b| b.precedes(a));
            let first: Vec<Arc<Act>> = claims.iter().filter(|a| !saw_another(a)).cloned().collect();
            self.first = Register::of(first);
        }
        let Some(owner) = self.first.winner().and_then(|a| holder(a)).map(|c| c.user) else {
            return;
        };
        let own = claims
            .into_iter()
            .filter(|a| holder(a).is_some_and(|c| c.user == owner));
        self.newest.supersede(own);
        self.cert = self.newest.winner().and_then(|a| holder(a));
    }
}

fn apply_channels(effective: &[&Arc<Act>], view: &mut AuthorityView) {
    let mut updates: BTreeMap<ChannelId, Vec<Arc<Act>>> = BTreeMap::new();
    for act in effective {
        if act.channel_create().is_some() {
            let id = ChannelId::of_create(&act.id);
            let channel = ChannelState::new(act);
            view.channels.insert(id, Arc::new(channel));
        }
        if let Some(update) = act.channel_update() {
            let entry = updates.entry(update.channel).or_default();
            entry.push((*act).clone());
        }
    }
    for (id, updates) in updates {
        // The channel of a void create does not exist, and nothing brings it back.
        if let Some(channel) = view.channels.get_mut(&id) {
            Arc::make_mut(channel).update(&updates);
        }
    }
}

impl ChannelState {
    fn new(create: &Arc<Act>) -> Self {
        let register = || Register::of([create.clone()]);
        Self {
            create: create.clone(),
            name: register(),
            topic: register(),
            category: register(),
            archived: register(),
            permissions: BTreeMap::new(),
        }
    }

    fn update(&mut self, updates: &[Arc<Act>]) {
        let naming = |says: fn(&ChannelUpdate) -> bool| {
            updates
                .iter()
                .filter(move |a| a.channel_update().is_some_and(says))
                .cloned()
        };
        self.name.supersede(naming(|u| u.name.is_some()));
        self.topic.supersede(naming(|u| u.topic.is_some()));
        self.category.supersede(naming(|u| u.category.is_some()));
        self.archived.supersede(naming(|u| u.archived.is_some()));
        let verbs: BTreeSet<_> = updates
            .iter()
            .filter_map(|a| a.channel_update())
            .flat_map(|u| u.permissions.iter().map(|p| p.verb))
            .collect();
        for verb in verbs {
            let writers = updates
                .iter()
                .filter(|a| a.permission(verb).is_some())
                .cloned();
            self.permissions.entry(verb).or_default().supersede(writers);
        }
    }
}

fn apply_policies(effective: &[&Arc<Act>], view: &mut AuthorityView) {
    let genesis = effective
        .iter()
        .find(|a| matches!(a.deed, Deed::Genesis { .. }));
    let sets: Vec<&Arc<Act>> = effective
        .iter()
        .filter(|a| a.policy_set().is_some())
        .copied()
        .collect();
    if genesis.is_none() && sets.is_empty() {
        return;
    }
    let policy = Arc::make_mut(&mut view.policy);
    if let Some(genesis) = genesis {
        policy.genesis = Some((*genesis).clone());
        policy.name = Register::of([(*genesis).clone()]);
    }
    let naming = |says: fn(&PolicySet) -> bool| {
        sets.iter()
            .filter(move |a| a.policy_set().is_some_and(says))
            .map(|a| (*a).clone())
    };
    policy.name.supersede(naming(|p| p.name.is_some()));
    policy
        .kick_late
        .supersede(naming(|p| p.kick_late.is_some()));
    policy.ban_late.supersede(naming(|p| p.ban_late.is_some()));
    let timing = naming(|p| p.timing_privacy.is_some());
    policy.timing_privacy.supersede(timing);
    policy.dedup.supersede(naming(|p| p.dedup.is_some()));
    policy
        .seal_every
        .supersede(naming(|p| p.seal_every.is_some()));
    for set in sets {
        // A18: only an owner switches a feature on.
        if set.rank.weight == Weight::OWNER.get()
            && let Some(payload) = set.policy_set()
        {
            policy.features = policy.features.union(payload.features());
        }
    }
}

fn apply_seals(epochs: &EpochTree, effective: &[&Arc<Act>], view: &mut AuthorityView) {
    let new = effective.iter().filter(|act| act.seal().is_some());
    let new: Vec<Arc<Act>> = new.map(|act| (*act).clone()).collect();
    if new.is_empty() {
        return;
    }
    let mut seals = (*view.seals).clone();
    for seal in new {
        seals.all.push(seal.clone());
        // What fits all that count changes nothing about the others.
        if seals.fits(epochs, &seal) {
            seals.count(epochs, seal);
        } else {
            seals.choose(epochs);
        }
    }
    seals.all.sort_by_key(|act| (act.depth, act.id));
    for (seal, by) in seals.displaced(epochs) {
        let reason = VoidReason::Displaced { by };
        view.void.insert(seal, Arc::new(Verdict::Void(reason)));
    }
    for seal in seals.chain.values() {
        view.void.remove(&seal.id);
    }
    view.seals = Arc::new(seals);
}

impl SealState {
    /// Chooses the chain anew: by descending rank, whatever fits those chosen before (A16).
    fn choose(&mut self, epochs: &EpochTree) {
        let mut all = self.all.clone();
        all.sort_by_key(|act| (core::cmp::Reverse(act.rank), act.depth, act.id));
        self.chain.clear();
        self.closed.clear();
        for seal in all {
            if self.fits(epochs, &seal) {
                self.count(epochs, seal);
            }
        }
    }

    /// The Seals that do not count, each with the greatest of those that it does not fit.
    fn displaced(&self, epochs: &EpochTree) -> Vec<(OpId, OpId)> {
        let counts = |seal: &Act| self.chain.contains_key(&(number(epochs, seal), seal.id));
        let out = self.all.iter().filter(|seal| !counts(seal));
        out.filter_map(|seal| {
            let others = self.chain.values();
            let greater = others.filter(|other| !on_one_branch(epochs, seal, other));
            let by = greater.max_by_key(|other| precedence(other))?;
            Some((seal.id, by.id))
        })
        .collect()
    }

    fn count(&mut self, epochs: &EpochTree, seal: Arc<Act>) {
        for closure in seal.seal().into_iter().flat_map(|seal| &seal.closures) {
            let closes = self.closed.entry(closure.removal).or_insert(seal.clone());
            if precedence(&seal) > precedence(closes) {
                *closes = seal.clone();
            }
        }
        self.chain.insert((number(epochs, &seal), seal.id), seal);
    }

    /// Returns whether a Seal is on the branch of the chain. That is one, so its neighbours tell.
    fn fits(&self, epochs: &EpochTree, seal: &Act) -> bool {
        let at = (number(epochs, seal), seal.id);
        let below = self.chain.range(..at).next_back();
        let above = self.chain.range(at..).next();
        let mut neighbours = below.into_iter().chain(above);
        neighbours.all(|(_, other)| on_one_branch(epochs, seal, other))
    }
}

fn on_one_branch(epochs: &EpochTree, a: &Act, b: &Act) -> bool {
    let (Some(a), Some(b)) = (a.seal(), b.seal()) else {
        return false;
    };
    epochs.is_ancestor(&a.epoch, &b.epoch) || epochs.is_ancestor(&b.epoch, &a.epoch)
}

/// Which of two Seals that close one removal says what stays.
fn precedence(seal: &Act) -> impl Ord + use<> {
    (seal.rank, core::cmp::Reverse((seal.depth, seal.id)))
}

fn number(epochs: &EpochTree, seal: &Act) -> u64 {
    let epoch = seal.seal().and_then(|seal| epochs.epoch(&seal.epoch));
    epoch.map_or(0, |record| record.number)
}

fn apply_attests(effective: &[&Arc<Act>], view: &mut AuthorityView) {
    for act in effective {
        if let Some(attest) = act.attest() {
            let of_removal = view.attests.entry(attest.removal).or_default();
            of_removal.push((*act).clone());
            of_removal.sort_by_key(|act| (act.depth, act.id));
        }
    }
}

fn apply_invites(found: &Verdicts, effective: &[&Arc<Act>], view: &mut AuthorityView) {
    for act in effective {
        if act.invite_terms().is_some() {
            let state = InviteState {
                create: (*act).clone(),
                revokes: Vec::new(),
                uses: 0,
            };
            view.invites.insert(act.id, Arc::new(state));
        }
    }
    let mut change = |invite: &OpId, f: &mut dyn FnMut(&mut InviteState)| {
        if let Some(state) = view.invites.get_mut(invite) {
            f(Arc::make_mut(state));
        }
    };
    for act in &found.acts {
        let effective = found.is_effective(act);
        if let Some(invite) = act.closes_invite() {
            change(&invite, &mut |state| {
                let act = act.clone();
                state.revokes.push(Logged { act, effective });
                state.revokes.sort_by_key(|l| (l.act.depth, l.act.id));
            });
        }
        if let Some((members, invite)) = act.admission_by_invite()
            && effective
        {
            let people = u32::try_from(members.len()).unwrap_or(u32::MAX);
            change(&invite, &mut |state| {
                state.uses = state.uses.saturating_add(people);
            });
        }
    }
}
