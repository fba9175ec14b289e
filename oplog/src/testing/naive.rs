//! An authority fold that is as plain as B4 allows: every view from scratch, by search over the whole past.
//!
//! Where the text of the protocol leaves a choice, the one made here stands beside it.

use core::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::accept::{default_least, least_to_give, verb};
use crate::authority::{Authority, EpochRecord, Rank, Restriction, View};
use crate::dag::{ControlDag, Past};
use crate::hash::H;
use crate::hlc::{Hlc, Timestamp};
use crate::ids::{ChannelId, DeviceId, Digest, EpochId, OpId, Scope, UserId};
use crate::kind::Features;
use crate::op::AcceptedOp;
use crate::payload::{
    ChannelKind, CommitClass, CutHead, EquivocationProof, InviteCreate, Payload, RosterDelta,
    ScopeCut, Verb, Weight,
};

/// The reference fold. Cost: about n² for a view, n³ for the first view over n control ops.
#[derive(Clone, Debug, Default)]
pub struct NaiveAuthority {
    epochs: BTreeMap<EpochId, EpochRecord>,
    acts: BTreeMap<OpId, Arc<Act>>,
    views: BTreeMap<Vec<OpId>, Arc<NaiveView>>,
}

/// What one past folds to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NaiveView {
    /// Weight and the rank of an ordinary op, of every member.
    pub members: BTreeMap<UserId, (Weight, Rank)>,
    /// Certified devices, members' or not.
    pub devices: BTreeMap<DeviceId, UserId>,
    /// Channels, and whether they are archived.
    pub channels: BTreeMap<ChannelId, (ChannelKind, bool)>,
    /// Overrides of the least weight in a channel.
    pub permissions: BTreeMap<(ChannelId, Verb), Weight>,
    /// Standing mutes by key.
    pub mutes: BTreeMap<(UserId, Option<ChannelId>), Restriction>,
    /// Standing bans.
    pub bans: BTreeMap<UserId, Restriction>,
    /// Standing demotions.
    pub demotions: BTreeMap<UserId, Restriction>,
    /// Live invites, with the rank of the op and the admissions so far.
    pub invites: BTreeMap<OpId, (InviteCreate, Rank, u32)>,
    /// What is switched on.
    pub features: Features,
    /// Key packages offered for each device.
    pub key_packages: BTreeMap<DeviceId, Vec<(Digest, OpId)>>,
    /// The ops of this past that are void.
    pub void: BTreeSet<OpId>,
    /// Devices that never come back (A1).
    pub revoked: BTreeSet<DeviceId>,
    /// What Genesis says of it.
    pub owner_removable: bool,
    /// The epochs of effective Seals, the last of them last.
    pub seals: Vec<EpochId>,
    /// Removals that an effective Seal closed.
    pub closed: BTreeSet<OpId>,
    /// What each effective removal named as seen, united with what attests add.
    pub cuts: BTreeMap<OpId, Vec<ScopeCut>>,
    /// Where each certified device came in: depth and op.
    pub certified: BTreeMap<DeviceId, (u64, OpId)>,
}

/// One control op with what its own past says about it.
#[derive(Clone, Debug)]
struct Act {
    op: Arc<AcceptedOp>,
    payload: Payload,
    rank: Rank,
    /// The weight its author needed.
    needed: Weight,
    /// Of a RoleSet: whether it lowers.
    lowers: bool,
    /// Whether admins did it together; who of them lost the right meanwhile plays no part here.
    quorum: bool,
    depth: u64,
}

impl NaiveAuthority {
    /// Returns a fold that knows nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn act(&mut self, dag: &ControlDag, id: &OpId) -> Option<Arc<Act>> {
        if let Some(act) = self.acts.get(id) {
            return Some(Arc::clone(act));
        }
        let node = dag.node(id)?;
        let mut payload = node.op.payload().ok()??;
        let action = match &payload {
            Payload::QuorumAct(act) => act.action(),
            _ => None,
        };
        let quorum = action.is_some();
        if let Some(action) = action {
            payload = action;
        }
        let together = Rank {
            weight: Weight::QUORUM.get(),
            seniority: Reverse((node.depth, *id, UserId::ZERO)),
            sub: 0,
        };
        let frontier: Vec<OpId> = node.op.header().refs().collect();
        let before = self.view(dag, &frontier);
        let (user, device) = (node.op.header().user, node.op.header().device);
        let act = Arc::new(Act {
            op: Arc::clone(&node.op),
            rank: if quorum {
                together
            } else {
                rank_of(&payload, &user, &device, &before)
            },
            quorum,
            needed: needed(&payload, &user, &before),
            lowers: matches!(&payload, Payload::RoleSet(set)
                if before.weight(&set.target).is_some_and(|now| set.weight < now)),
            depth: node.depth,
            payload,
        });
        self.acts.insert(*id, Arc::clone(&act));
        Some(act)
    }
}

impl Authority for NaiveAuthority {
    type View = NaiveView;

    fn view(&mut self, dag: &ControlDag, frontier: &[OpId]) -> Arc<NaiveView> {
        let frontier = dag.minimal(frontier);
        if let Some(view) = self.views.get(&frontier) {
            return Arc::clone(view);
        }
        let past = dag.past_of(&frontier);
        let ids: Vec<OpId> = dag
            .iter()
            .map(|node| node.op.id())
            .filter(|id| dag.in_past(id, &past))
            .collect();
        // Parents first, so that judging an act finds the views before it done: no deep recursion.
        let acts: Vec<Arc<Act>> = ids.iter().filter_map(|id| self.act(dag, id)).collect();
        let view = Arc::new(Fold::new(dag, acts).view());
        self.views.insert(frontier, Arc::clone(&view));
        view
    }

    fn admit(&mut self, dag: &ControlDag, op: &OpId) {
        let Some(node) = dag.node(op) else { return };
        let h = node.op.header();
        let record = match node.op.payload() {
            Ok(Some(Payload::Genesis(genesis))) => EpochRecord {
                id: EpochId::genesis(&node.op.space()),
                parent: None,
                number: 0,
                commit: *op,
                class: CommitClass::Update,
                user: h.user,
                device: h.device,
                delta: RosterDelta::default(),
                root_commit: genesis.root_commit,
                roster: Arc::new(BTreeMap::from([(h.device, (h.user, genesis.leaf))])),
            },
            Ok(Some(Payload::Commit(commit))) => {
                let Some(parent) = self.epochs.get(&commit.parent) else {
                    return;
                };
                let mut roster = BTreeMap::clone(&parent.roster);
                for device in &commit.delta.removed {
                    roster.remove(device);
                }
                for leaf in &commit.delta.added {
                    roster.insert(leaf.device, (leaf.user, leaf.key_package));
                }
                EpochRecord {
                    id: EpochId::of_commit(op),
                    parent: Some(commit.parent),
                    number: parent.number + 1,
                    commit: *op,
                    class: commit.class,
                    user: h.user,
                    device: h.device,
                    delta: commit.delta.clone(),
                    root_commit: commit.root_commit,
                    roster: Arc::new(roster),
                }
            }
            _ => return,
        };
        self.epochs.insert(record.id, record);
    }

    /// Complaints play no part here, nor do weights.
    fn is_canonical(
        &self,
        dag: &ControlDag,
        past: &Past,
        view: &NaiveView,
        epoch: &EpochId,
    ) -> bool {
        let known = |r: &&EpochRecord| dag.in_past(&r.commit, past);
        let kids = |of: Option<EpochId>| {
            let known = self.epochs.values().filter(known);
            known.filter(move |r| r.parent == of)
        };
        let mut at = view.sealed_epoch();
        while at != Some(*epoch) {
            let users: BTreeSet<UserId> = at
                .and_then(|at| self.epochs.get(&at))
                .into_iter()
                .flat_map(|r| r.roster.values().map(|(user, _)| *user))
                .filter(|user| view.members.contains_key(user))
                .collect();
            let support = |kid: &EpochRecord| {
                let mut below = vec![(kid.id, kid.user)];
                let mut authors = BTreeSet::new();
                while let Some((at, user)) = below.pop() {
                    authors.insert(user);
                    below.extend(kids(Some(at)).map(|r| (r.id, r.user)));
                }
                authors.intersection(&users).count()
            };
            let best = kids(at).max_by_key(|kid| {
                let chance = H::new("rank")
                    .field(at.unwrap_or(EpochId::ZERO).as_bytes())
                    .field(kid.device.as_bytes())
                    .finish();
                let support = support(kid);
                let last = Reverse((chance, kid.commit));
                (support.max(1).ilog2(), kid.class, support, last)
            });
            match best {
                Some(best) => at = Some(best.id),
                None => return false,
            }
        }
        true
    }

    fn epoch(&self, epoch: &EpochId) -> Option<&EpochRecord> {
        self.epochs.get(epoch)
    }
}

fn rank_of(payload: &Payload, user: &UserId, device: &DeviceId, before: &NaiveView) -> Rank {
    match payload {
        Payload::DeviceRevoke(revoke) => {
            let since = |device| before.certified.get(device);
            let older = since(device)
                .zip(since(&revoke.device))
                .is_some_and(|(own, other)| own < other);
            Rank {
                sub: if revoke.identity_sig.is_some() {
                    2
                } else {
                    i8::from(older)
                },
                ..before.rank(user).unwrap_or(LEAST)
            }
        }
        Payload::Genesis(_) => Rank::TOP,
        Payload::MemberAdd(add) => match add.invite.and_then(|id| before.invites.get(&id)) {
            Some((_, rank, _)) => rank.just_below(),
            None => before.rank(user).unwrap_or(LEAST),
        },
        _ => before.rank(user).unwrap_or(LEAST),
    }
}

/// A rank below every member's; ops that pass R4 never get it.
const LEAST: Rank = Rank {
    weight: 0,
    seniority: Reverse((u64::MAX, OpId::ZERO, UserId::ZERO)),
    sub: i8::MIN,
};

/// Returns the weight that an act needs: that of its verb, of what it gives, and of whom it acts on.
fn needed(payload: &Payload, user: &UserId, before: &NaiveView) -> Weight {
    let of = |verb: Verb, channel: Option<&ChannelId>| before.least(verb, channel);
    let on = |target: &UserId| match before.weight(target) {
        Some(weight) if target != user => weight,
        _ => Weight::new(0),
    };
    match payload {
        Payload::Kick(p) => of(Verb::Kick, None).max(on(&p.target)),
        Payload::Ban(p) => of(Verb::Ban, None).max(on(&p.target)),
        Payload::Unban(p) => of(Verb::Ban, None).max(on(&p.target)),
        Payload::Mute(p) => of(Verb::Mute, p.channel.as_ref()).max(on(&p.target)),
        Payload::Unmute(p) => of(Verb::Mute, p.channel.as_ref()).max(on(&p.target)),
        Payload::RoleSet(p) if p.target == *user => Weight::new(0),
        Payload::RoleSet(p) => of(Verb::Roles, None)
            .max(least_to_give(p.weight))
            .max(on(&p.target)),
        Payload::MemberAdd(p) => p.members.iter().fold(of(Verb::Invite, None), |most, m| {
            if m.weight > Weight::MEMBER {
                most.max(least_to_give(m.weight))
            } else {
                most
            }
        }),
        Payload::PolicySet(p) if p.features.is_some() => Weight::OWNER,
        Payload::Leave(_) => Weight::new(0),
        _ => of(verb(payload.kind()), None),
    }
}

/// The evaluation of one past: which acts count, then what they make of each key.
struct Fold<'a> {
    dag: &'a ControlDag,
    acts: Vec<Arc<Act>>,
    /// Decided so far.
    effective: BTreeMap<OpId, bool>,
}

impl<'a> Fold<'a> {
    fn new(dag: &'a ControlDag, acts: Vec<Arc<Act>>) -> Self {
        let mut fold = Self {
            dag,
            acts,
            effective: BTreeMap::new(),
        };
        let mut order = fold.acts.clone();
        order.sort_by_key(|act| {
            // What devices say of each other comes first, then who goes; self-revocations are
            // first among equals (A12), then parents before children.
            let stage = match act.payload {
                Payload::DeviceRevoke(_) => (0, Reverse(act.rank.sub)),
                Payload::Leave(_) => (1, Reverse(0)),
                _ => (2, Reverse(0)),
            };
            let later = !act.revokes_author();
            (stage, Reverse(act.rank), later, act.depth, act.id())
        });
        for act in order {
            let effective = fold.decide(&act);
            fold.effective.insert(act.id(), effective);
        }
        fold
    }

    fn decide(&self, act: &Act) -> bool {
        match &act.payload {
            // Commits are facts about keys, never void (K2); a Merge says nothing.
            Payload::Genesis(_) | Payload::Commit(_) | Payload::Merge => true,
            Payload::EquivocationProof(_) => true,
            _ if act.quorum => true,
            _ if self.device_is_revoked(act) || self.device_is_frozen(act) => false,
            Payload::DeviceRevoke(_) | Payload::Leave(_) => true,
            // By an invite: its authority is the invite's (A17).
            Payload::MemberAdd(add) if let Some(invite) = add.invite => self.counts(&invite),
            _ => self.has_live_grant(act) && !self.is_voided(act),
        }
    }

    /// A1: its person revoked the device without having seen this, or though it had seen that.
    fn device_is_revoked(&self, act: &Act) -> bool {
        let h = act.op.header();
        let gives_up = act.revokes_author() || act.revoked_device().is_some();
        self.acts.iter().any(|r| {
            r.revoked_device() == Some(h.device)
                && r.op.header().user == h.user
                && r.id() != act.id()
                && self.counts(&r.id())
                && !self.dag.precedes(&act.id(), &r.id())
                && !(gives_up && r.rank.sub <= act.rank.sub)
        })
    }

    /// B11: its device signed two ops for one place, and no proof of that had seen this one.
    fn device_is_frozen(&self, act: &Act) -> bool {
        let h = act.op.header();
        let proofs: Vec<&EquivocationProof> = self
            .acts
            .iter()
            .filter_map(|p| match &p.payload {
                Payload::EquivocationProof(proof) if proof.device() == Some(h.device) => {
                    Some(proof)
                }
                _ => None,
            })
            .collect();
        let seen = self.acts.iter().any(|p| {
            let proves = matches!(&p.payload, Payload::EquivocationProof(proof)
                if proof.device() == Some(h.device));
            proves && self.dag.precedes(&act.id(), &p.id())
        });
        let named = proofs.iter().any(|proof| {
            let heads = proof.cut.iter().flat_map(|c| &c.heads);
            heads.map(|head| head.op).any(|head| {
                let here = self.acts.iter().any(|other| other.id() == head);
                here && (head == act.id() || self.dag.precedes(&act.id(), &head))
            })
        });
        let by_identity = act.revoked_device().is_some() && act.rank.sub == 2;
        !proofs.is_empty() && !seen && !named && !by_identity
    }

    /// A9: a grant of what was needed, of higher rank, that no revocation came between.
    fn has_live_grant(&self, act: &Act) -> bool {
        let user = act.op.header().user;
        self.acts.iter().any(|grant| {
            let level = grant.gives(&user);
            level.is_some_and(|level| level >= act.needed)
                && self.dag.precedes(&grant.id(), &act.id())
                && self.counts(&grant.id())
                && grant.rank > act.rank
                && !self.acts.iter().any(|r| {
                    r.takes(&user, act.needed)
                        && self.dag.precedes(&grant.id(), &r.id())
                        && self.dag.precedes(&r.id(), &act.id())
                        // Not decided yet counts as standing.
                        && self.effective.get(&r.id()) != Some(&false)
                })
        })
    }

    fn is_voided(&self, act: &Act) -> bool {
        let user = act.op.header().user;
        self.acts.iter().any(|r| {
            let own = r.revokes_author() && r.op.header().user == user && !act.revokes_author();
            r.takes(&user, act.needed)
                && self.dag.concurrent(&r.id(), &act.id())
                && self.counts(&r.id())
                && (r.rank > act.rank || (own && r.rank == act.rank))
        })
    }

    /// Returns whether an act is decided to count.
    fn counts(&self, id: &OpId) -> bool {
        self.effective.get(id) == Some(&true)
    }

    /// Returns the effective acts that write a key, without those another of them has seen.
    fn writers<T>(&self, value: impl Fn(&Act) -> Option<T>) -> Vec<(Arc<Act>, T)> {
        let all: Vec<(Arc<Act>, T)> = self
            .acts
            .iter()
            .filter(|act| self.counts(&act.id()))
            .filter_map(|act| value(act).map(|v| (Arc::clone(act), v)))
            .collect();
        let ids: Vec<OpId> = all.iter().map(|(act, _)| act.id()).collect();
        let seen = |id: &OpId| ids.iter().any(|other| self.dag.precedes(id, other));
        all.into_iter()
            .filter(|(act, _)| !seen(&act.id()))
            .collect()
    }

    /// Returns the value of a key: of the latest writers the greatest by rank, then strictness.
    fn value<T>(&self, value: impl Fn(&Act) -> Option<T>) -> Option<(Arc<Act>, T)> {
        self.writers(value)
            .into_iter()
            .max_by_key(|(act, _)| act.precedence())
    }

    /// Returns the greatest rank among effective acts of one sort that no sufficient reversal follows (A10).
    fn standing(
        &self,
        restricts: impl Fn(&Act) -> bool,
        reverses: impl Fn(&Act) -> bool,
    ) -> Option<(OpId, Rank)> {
        let counted = || self.acts.iter().filter(|act| self.counts(&act.id()));
        let standing = counted().filter(|act| restricts(act)).filter(|act| {
            !counted().any(|undo| {
                reverses(undo) && self.dag.precedes(&act.id(), &undo.id()) && undo.rank >= act.rank
            })
        });
        standing
            .map(|act| (act.rank, act.id()))
            .max()
            .map(|(rank, id)| (id, rank))
    }

    fn view(&self) -> NaiveView {
        let mut view = NaiveView {
            void: self.acts.iter().map(|act| act.id()).collect(),
            ..NaiveView::default()
        };
        view.void.retain(|id| !self.counts(id));
        let mut users = BTreeSet::new();
        for act in &self.acts {
            users.extend(act.named_users());
        }
        for user in &users {
            self.fold_user(user, &mut view);
        }
        self.fold_devices(&mut view);
        self.fold_evidence(&mut view);
        self.fold_channels(&mut view);
        self.fold_invites(&mut view);
        for act in self.acts.iter().filter(|act| self.counts(&act.id())) {
            if let Payload::Genesis(genesis) = &act.payload {
                view.owner_removable = genesis.owner_removable;
            }
            if let Payload::PolicySet(set) = &act.payload {
                view.features = view.features.union(set.features());
            }
        }
        view
    }

    fn fold_user(&self, user: &UserId, view: &mut NaiveView) {
        let member = self.value(|act| act.admits_or_removes(user));
        let role = self.value(|act| act.gives(user));
        if let (Some((_, true)), Some((grant, weight))) = (&member, role) {
            let seniority = Reverse((grant.depth, grant.id(), *user));
            let rank = Rank {
                weight: weight.get(),
                seniority,
                sub: 0,
            };
            view.members.insert(*user, (weight, rank));
        }
        let removes = |act: &Act| act.removes(user);
        let unbans = |act: &Act| matches!(&act.payload, Payload::Unban(p) if p.target == *user);
        if let Some((last, _)) = &member
            && let Payload::Ban(_) = last.payload
        {
            let rank = self.standing(removes, unbans).map_or(last.rank, |s| s.1);
            let ban = Restriction {
                op: last.id(),
                rank,
                expires: None,
            };
            view.bans.insert(*user, ban);
        }
        let lowers = |act: &Act| act.lowers && act.role_of() == Some(*user);
        let raises = |act: &Act| !act.lowers && act.role_of() == Some(*user);
        if let Some((op, rank)) = self.standing(lowers, raises) {
            let demotion = Restriction {
                op,
                rank,
                expires: None,
            };
            view.demotions.insert(*user, demotion);
        }
        self.fold_mutes(user, view);
    }

    fn fold_mutes(&self, user: &UserId, view: &mut NaiveView) {
        let keys: BTreeSet<Option<ChannelId>> = self
            .acts
            .iter()
            .filter_map(|act| match &act.payload {
                Payload::Mute(p) if p.target == *user => Some(p.channel),
                _ => None,
            })
            .collect();
        for key in keys {
            let mutes = |act: &Act| {
                matches!(&act.payload,
                Payload::Mute(p) if p.target == *user && p.channel == key)
            };
            let unmutes = |act: &Act| {
                matches!(&act.payload,
                Payload::Unmute(p) if p.target == *user && p.channel == key)
            };
            let last = self.value(|act| match &act.payload {
                Payload::Mute(p) if mutes(act) => Some(Some(p.expires)),
                _ if unmutes(act) => Some(None),
                _ => None,
            });
            if let Some((act, Some(expires))) = last {
                let rank = self.standing(mutes, unmutes).map_or(act.rank, |s| s.1);
                let mute = Restriction {
                    op: act.id(),
                    rank,
                    expires,
                };
                view.mutes.insert((*user, key), mute);
            }
        }
    }

    fn fold_devices(&self, view: &mut NaiveView) {
        let mut devices = BTreeSet::new();
        for act in &self.acts {
            if let Payload::EquivocationProof(proof) = &act.payload {
                view.revoked.extend(proof.device());
            }
            devices.extend(act.certifies().into_iter().map(|(device, _)| device));
            if self.counts(&act.id()) {
                for (device, digest) in act.offers() {
                    let offers = view.key_packages.entry(device).or_default();
                    offers.push((digest, act.id()));
                }
            }
        }
        view.key_packages
            .values_mut()
            .for_each(|offers| offers.sort_unstable());
        for device in devices {
            let owner = self.value(|act| {
                let certs = act.certifies();
                certs.into_iter().find(|(d, _)| *d == device).map(|c| c.1)
            });
            let Some((_, user)) = owner else { continue };
            let counted = || self.acts.iter().filter(|act| self.counts(&act.id()));
            let certs = counted().filter(|act| act.certifies().contains(&(device, user)));
            if let Some(first) = certs.map(|act| (act.depth, act.id())).min() {
                view.certified.insert(device, first);
            }
            let revokes =
                |act: &Act| act.revoked_device() == Some(device) && act.op.header().user == user;
            if counted().any(|act| revokes(act)) {
                view.revoked.insert(device);
            } else if !view.revoked.contains(&device) {
                view.devices.insert(device, user);
            }
        }
    }

    fn fold_evidence(&self, view: &mut NaiveView) {
        let mut counted: Vec<&Arc<Act>> = self
            .acts
            .iter()
            .filter(|act| self.counts(&act.id()))
            .collect();
        counted.sort_by_key(|act| (act.depth, act.id()));
        let mut cuts: BTreeMap<OpId, BTreeMap<Scope, BTreeSet<CutHead>>> = BTreeMap::new();
        for act in counted {
            let (removal, cut) = match &act.payload {
                Payload::Kick(p) | Payload::Ban(p) => (act.id(), &p.cut),
                Payload::DeviceRevoke(p) => (act.id(), &p.cut),
                Payload::EquivocationProof(p) => (act.id(), &p.cut),
                Payload::CutAttest(p) => (p.removal, &p.cut),
                Payload::Seal(p) => {
                    view.seals.push(p.epoch);
                    view.closed.extend(p.closures.iter().map(|c| c.removal));
                    continue;
                }
                _ => continue,
            };
            let united = cuts.entry(removal).or_default();
            for scope in cut {
                united.entry(scope.scope).or_default().extend(&scope.heads);
            }
        }
        for (removal, united) in cuts {
            let cut = |(scope, heads): (Scope, BTreeSet<CutHead>)| ScopeCut {
                scope,
                heads: heads.into_iter().collect(),
            };
            view.cuts
                .insert(removal, united.into_iter().map(cut).collect());
        }
    }

    fn fold_channels(&self, view: &mut NaiveView) {
        for act in self.acts.iter().filter(|act| self.counts(&act.id())) {
            let Payload::ChannelCreate(create) = &act.payload else {
                continue;
            };
            let channel = ChannelId::of_create(&act.id());
            let archived = self.value(|act| match &act.payload {
                Payload::ChannelUpdate(p) if p.channel == channel => p.archived,
                _ => None,
            });
            let archived = archived.is_some_and(|(_, archived)| archived);
            view.channels.insert(channel, (create.kind, archived));
            for verb in VERBS {
                let least = self.value(|act| match &act.payload {
                    Payload::ChannelUpdate(p) if p.channel == channel => {
                        let set = p.permissions.iter().find(|set| set.verb == verb);
                        set.map(|set| set.least)
                    }
                    _ => None,
                });
                if let Some((_, least)) = least {
                    view.permissions.insert((channel, verb), least);
                }
            }
        }
    }

    fn fold_invites(&self, view: &mut NaiveView) {
        let counted = || self.acts.iter().filter(|act| self.counts(&act.id()));
        for act in counted() {
            let Payload::InviteCreate(invite) = &act.payload else {
                continue;
            };
            let id = act.id();
            let revoked =
                counted().any(|r| matches!(&r.payload, Payload::InviteRevoke(p) if p.invite == id));
            let uses = counted().map(|add| match &add.payload {
                Payload::MemberAdd(p) if p.invite == Some(id) => p.members.len(),
                _ => 0,
            });
            let uses = u32::try_from(uses.sum::<usize>()).unwrap_or(u32::MAX);
            if !revoked {
                view.invites.insert(id, (invite.clone(), act.rank, uses));
            }
        }
    }
}

const VERBS: [Verb; 14] = [
    Verb::Post,
    Verb::React,
    Verb::Thread,
    Verb::Pin,
    Verb::Tombstone,
    Verb::Mute,
    Verb::Kick,
    Verb::Invite,
    Verb::Ban,
    Verb::Channels,
    Verb::Roles,
    Verb::Policy,
    Verb::Own,
    Verb::Upkeep,
];

impl Act {
    fn id(&self) -> OpId {
        self.op.id()
    }

    /// How it compares with other latest writers of one key (B4).
    fn precedence(&self) -> (Rank, u8, Hlc, Timestamp, DeviceId, OpId) {
        let strictness = match &self.payload {
            Payload::Ban(_) => 5,
            Payload::Kick(_) | Payload::Leave(_) => 4,
            Payload::RoleSet(_) if self.lowers => 3,
            Payload::Mute(_) => 2,
            _ => 0,
        };
        let h = self.op.header();
        (self.rank, strictness, h.hlc, h.wall, h.device, self.id())
    }

    /// The weight it gives somebody, if it sets one.
    fn gives(&self, user: &UserId) -> Option<Weight> {
        match &self.payload {
            Payload::Genesis(p) if p.cert.user == *user => Some(Weight::OWNER),
            Payload::MemberAdd(p) => {
                let member = p.members.iter().find(|m| m.cert.user == *user);
                member.map(|m| m.weight)
            }
            Payload::RoleSet(p) if p.target == *user => Some(p.weight),
            _ => None,
        }
    }

    /// Whether it takes from somebody an authority of this weight.
    fn takes(&self, user: &UserId, level: Weight) -> bool {
        match &self.payload {
            Payload::RoleSet(p) => p.target == *user && self.lowers && p.weight < level,
            _ => self.removes(user),
        }
    }

    fn removes(&self, user: &UserId) -> bool {
        match &self.payload {
            Payload::Kick(p) | Payload::Ban(p) => p.target == *user,
            Payload::Leave(_) => self.op.header().user == *user,
            _ => false,
        }
    }

    /// What it says about somebody's membership.
    fn admits_or_removes(&self, user: &UserId) -> Option<bool> {
        match &self.payload {
            Payload::Genesis(p) if p.cert.user == *user => Some(true),
            Payload::MemberAdd(p) => p
                .members
                .iter()
                .any(|m| m.cert.user == *user)
                .then_some(true),
            Payload::Unban(p) if p.target == *user => Some(false),
            _ => self.removes(user).then_some(false),
        }
    }

    fn role_of(&self) -> Option<UserId> {
        match &self.payload {
            Payload::RoleSet(p) => Some(p.target),
            _ => None,
        }
    }

    /// Whether its author takes from themself: by leaving or stepping down (A12).
    fn revokes_author(&self) -> bool {
        let own = self.role_of() == Some(self.op.header().user) && self.lowers;
        (own && !self.quorum) || matches!(self.payload, Payload::Leave(_))
    }

    fn revoked_device(&self) -> Option<DeviceId> {
        match &self.payload {
            Payload::DeviceRevoke(p) => Some(p.device),
            _ => None,
        }
    }

    fn certifies(&self) -> Vec<(DeviceId, UserId)> {
        match &self.payload {
            Payload::Genesis(p) => vec![(p.cert.device, p.cert.user)],
            Payload::DeviceAdd(p) => vec![(p.cert.device, p.cert.user)],
            Payload::MemberAdd(p) => {
                let members = p.members.iter();
                members.map(|m| (m.cert.device, m.cert.user)).collect()
            }
            _ => Vec::new(),
        }
    }

    fn offers(&self) -> Vec<(DeviceId, Digest)> {
        let hash = super::key_package_hash;
        match &self.payload {
            Payload::DeviceAdd(p) => vec![(p.cert.device, hash(&p.key_package))],
            Payload::ReaddRequest(p) => vec![(self.op.header().device, hash(&p.key_package))],
            Payload::CommitComplaint(p) => {
                vec![(self.op.header().device, hash(&p.key_package))]
            }
            Payload::MemberAdd(p) => {
                let members = p.members.iter();
                members
                    .map(|m| (m.cert.device, hash(&m.key_package)))
                    .collect()
            }
            _ => Vec::new(),
        }
    }

    fn named_users(&self) -> Vec<UserId> {
        match &self.payload {
            Payload::Kick(p) | Payload::Ban(p) => vec![p.target],
            Payload::Mute(p) => vec![p.target],
            Payload::RoleSet(p) => vec![p.target],
            _ => self.certifies().into_iter().map(|(_, user)| user).collect(),
        }
    }
}

impl View for NaiveView {
    fn weight(&self, user: &UserId) -> Option<Weight> {
        self.members.get(user).map(|(weight, _)| *weight)
    }

    fn rank(&self, user: &UserId) -> Option<Rank> {
        self.members.get(user).map(|(_, rank)| *rank)
    }

    fn device_user(&self, device: &DeviceId) -> Option<UserId> {
        self.devices.get(device).copied()
    }

    fn is_device_revoked(&self, device: &DeviceId) -> bool {
        self.revoked.contains(device)
    }

    fn device_count(&self, user: &UserId) -> usize {
        self.devices.values().filter(|owner| *owner == user).count()
    }

    fn has_channel(&self, channel: &ChannelId) -> bool {
        self.channels.contains_key(channel)
    }

    fn is_archived(&self, channel: &ChannelId) -> bool {
        self.channels
            .get(channel)
            .is_some_and(|(_, archived)| *archived)
    }

    fn least(&self, verb: Verb, channel: Option<&ChannelId>) -> Weight {
        let Some(channel) = channel else {
            return default_least(verb);
        };
        if let Some(least) = self.permissions.get(&(*channel, verb)) {
            return *least;
        }
        let announcements = matches!(
            self.channels.get(channel),
            Some((ChannelKind::Announcement, _))
        );
        match verb {
            Verb::Post | Verb::Thread if announcements => Weight::MODERATOR,
            _ => default_least(verb),
        }
    }

    fn mute(&self, user: &UserId, channel: Option<&ChannelId>, at: Hlc) -> Option<Restriction> {
        let keys = [None, channel.copied()];
        let mut found = keys.iter().filter_map(|key| self.mutes.get(&(*user, *key)));
        found
            .find(|mute| mute.expires.is_none_or(|end| at < end))
            .copied()
    }

    fn mute_at_key(&self, user: &UserId, channel: Option<&ChannelId>) -> Option<Restriction> {
        self.mutes.get(&(*user, channel.copied())).copied()
    }

    fn ban(&self, user: &UserId) -> Option<Restriction> {
        self.bans.get(user).copied()
    }

    fn demotion(&self, user: &UserId) -> Option<Restriction> {
        self.demotions.get(user).copied()
    }

    fn invite(&self, invite: &OpId) -> Option<(InviteCreate, Rank)> {
        let (invite, rank, _) = self.invites.get(invite)?;
        Some((invite.clone(), *rank))
    }

    fn invite_uses(&self, invite: &OpId) -> u32 {
        self.invites.get(invite).map_or(0, |(_, _, uses)| *uses)
    }

    fn features(&self) -> Features {
        self.features
    }

    fn authorised_devices(&self) -> BTreeMap<DeviceId, UserId> {
        let live = self.devices.iter();
        live.filter(|(_, user)| self.members.contains_key(*user))
            .map(|(device, user)| (*device, *user))
            .collect()
    }

    fn admins(&self) -> Vec<UserId> {
        let members = self.members.iter();
        members
            .filter(|(_, (weight, _))| *weight >= Weight::ADMIN && *weight < Weight::OWNER)
            .map(|(user, _)| *user)
            .collect()
    }

    fn owner_removable(&self) -> bool {
        self.owner_removable
    }

    fn sealed_epoch(&self) -> Option<EpochId> {
        self.seals.last().copied()
    }

    fn is_closed(&self, removal: &OpId) -> bool {
        self.closed.contains(removal)
    }

    fn removal_cut(&self, removal: &OpId) -> Option<Vec<ScopeCut>> {
        self.cuts.get(removal).cloned()
    }

    fn key_packages(&self, device: &DeviceId) -> Vec<(Digest, OpId)> {
        self.key_packages.get(device).cloned().unwrap_or_default()
    }
}
