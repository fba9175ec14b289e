//! What a view tells the content fold and people: members, channels, removals, decisions.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use oplog::authority::{Rank, Restriction, View};
use oplog::mutants::{Mutant, on};
use oplog::payload::{
    ChannelKind, CutHead, DeviceCert, History, InviteCreate, LatePolicy, PurgeFrom, ScopeCut, Verb,
    Weight,
};
use oplog::{ChannelId, DeviceId, EpochId, Features, Hlc, OpId, Scope, UserId};

use super::act::{Act, Deed};
use super::state::{AuthorityView, DeviceState, InviteState, Register, UserState};
use crate::explain::{ChannelField, Decision, Key, PolicyField, Verdict};

/// A member of the Space.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Who.
    pub user: UserId,
    /// The name in the newest certificate of a live device.
    pub name: String,
    /// What they may do.
    pub weight: Weight,
    /// How their ops rank.
    pub rank: Rank,
    /// The op that gave the present weight.
    pub grant: OpId,
    /// The op that admitted them, or the promotion that confirmed them if no admission counts.
    pub admission: OpId,
    /// When that was.
    pub joined: Hlc,
    /// The invite they came by.
    pub invite: Option<OpId>,
    /// Whether more people came by that invite than it allows, because some were admitted
    /// at the same time (A17).
    pub over_invited: bool,
    /// Their live devices, sorted.
    pub devices: Vec<DeviceId>,
}

/// Someone who was a member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FormerMember {
    /// Who.
    pub user: UserId,
    /// The last name they had.
    pub name: String,
    /// How it ended.
    pub how: RemovalKind,
    /// The op that decided it.
    pub by: OpId,
}

/// How a membership ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum RemovalKind {
    /// The person left.
    Leave,
    /// Somebody kicked them.
    Kick,
    /// Somebody banned them.
    Ban,
    /// Only a device of theirs went: they revoked it.
    Device,
    /// Only a device of theirs went: it was proved to equivocate.
    Equivocation,
}

/// An effective removal of a person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemovalRecord<'a> {
    /// The op.
    pub op: OpId,
    /// How.
    pub kind: RemovalKind,
    /// Its author.
    pub author: UserId,
    /// When.
    pub hlc: Hlc,
    /// What the remover had seen of the target, united with what attests add; empty for a Leave.
    pub cut: Vec<ScopeCut>,
    /// What becomes of the rest: the op's own choice, or the Space's policy, or the default of B8.
    pub late: LatePolicy,
    /// Lanes tombstoned in bulk.
    pub purge: &'a [PurgeFrom],
    /// Why.
    pub reason: &'a str,
    /// The Seal that closed it, and what that names as seen.
    pub closure: Option<(OpId, &'a [ScopeCut])>,
}

/// A device that somebody certified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Device {
    /// Its key.
    pub device: DeviceId,
    /// Whose it is.
    pub user: UserId,
    /// The certificate in force.
    pub cert: Arc<DeviceCert>,
    /// The op that brought it.
    pub op: OpId,
    /// Whether its user is a member now.
    pub of_member: bool,
    /// The op that ended it for good, the first of several.
    pub ended_by: Option<OpId>,
}

/// A channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Channel {
    /// Its id.
    pub id: ChannelId,
    /// Its name.
    pub name: String,
    /// How it is used.
    pub kind: ChannelKind,
    /// What it is about.
    pub topic: String,
    /// The heading it stands under.
    pub category: Option<String>,
    /// How much newcomers see.
    pub history: History,
    /// Whether it is closed for posting.
    pub archived: bool,
    /// Weights that differ from the default of its kind.
    pub permissions: BTreeMap<Verb, Weight>,
    /// The op that made it.
    pub created_by: OpId,
    /// When.
    pub created: Hlc,
}

/// The policies of a Space.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policies {
    /// The Space's name.
    pub name: String,
    /// What late posts of kicked people become.
    pub kick_late: LatePolicy,
    /// What late posts of banned people become.
    pub ban_late: LatePolicy,
    /// What is switched on.
    pub features: Features,
    /// Whether clients delay sends and add cover traffic.
    pub timing_privacy: bool,
    /// Whether equal attachments are stored once.
    pub dedup: bool,
    /// After how many commits clients seal by themselves, 0: never; `None` where nobody said.
    pub seal_every: Option<u32>,
    /// Whether a quorum of admins may remove the owner.
    pub owner_removable: bool,
}

/// An effective invite.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invite {
    /// The op that opened it.
    pub op: OpId,
    /// Its author.
    pub author: UserId,
    /// Its terms.
    pub terms: InviteCreate,
    /// How many people came by it.
    pub uses: u32,
    /// What closed it.
    pub revoked_by: Option<OpId>,
}

impl Invite {
    /// Returns whether more people came than it allows. Then it is burnt, and who came is flagged (A17).
    #[must_use]
    pub const fn is_overused(&self) -> bool {
        self.uses > self.terms.max_uses
    }
}

/// A mute that stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MuteRecord<'a> {
    /// Whose.
    pub user: UserId,
    /// Where; `None`: everywhere.
    pub channel: Option<ChannelId>,
    /// The op.
    pub op: OpId,
    /// Its author.
    pub author: UserId,
    /// Until when; `None`: until an unmute.
    pub expires: Option<Hlc>,
    /// Why.
    pub reason: &'a str,
}

impl AuthorityView {
    /// Returns the control heads whose past this is, sorted.
    #[must_use]
    pub fn frontier(&self) -> &[OpId] {
        &self.frontier
    }

    /// Returns whether an op counts. Ask only about control ops of this view's past:
    /// of any other op the view knows nothing and says that it does.
    #[must_use]
    pub fn verdict(&self, op: &OpId) -> &Verdict {
        self.void.get(op).map_or(&Verdict::Effective, |v| v)
    }

    /// Returns every control op of this past that does not count.
    pub fn void_ops(&self) -> impl Iterator<Item = (&OpId, &Verdict)> {
        self.void.iter().map(|(op, verdict)| (op, &**verdict))
    }

    /// Returns whether the person is a member.
    #[must_use]
    pub fn is_member(&self, user: &UserId) -> bool {
        self.membership(user).is_some()
    }

    /// Returns a member.
    #[must_use]
    pub fn member(&self, user: &UserId) -> Option<Member> {
        let (state, membership) = self.membership(user)?;
        let grant = state.role.winner()?;
        let admission = state.added.winner().unwrap_or(membership);
        let invite = admission.admission_by_invite().map(|(_, invite)| invite);
        let devices = self.live_devices(user);
        Some(Member {
            user: *user,
            name: self.name_of(user),
            weight: self.weight(user)?,
            rank: self.rank(user)?,
            grant: grant.id,
            admission: admission.id,
            joined: admission.hlc,
            invite,
            over_invited: invite
                .and_then(|i| self.invite_record(&i))
                .is_some_and(|i| i.is_overused()),
            devices,
        })
    }

    /// Returns every member, by user id.
    pub fn members(&self) -> impl Iterator<Item = Member> + '_ {
        self.users.keys().filter_map(|user| self.member(user))
    }

    /// Returns everyone who was a member and is none, by user id.
    pub fn former_members(&self) -> impl Iterator<Item = FormerMember> + '_ {
        self.users.iter().filter_map(|(user, state)| {
            let last = state.member.winner()?;
            if last.makes_member(user) == Some(true) {
                return None;
            }
            let ban = state.bans.iter().max_by_key(|act| act.order());
            let by = ban.unwrap_or(last);
            Some(FormerMember {
                user: *user,
                name: self.name_of(user),
                how: removal_kind(by)?,
                by: by.id,
            })
        })
    }

    /// Returns the effective removals of a person over all time, earliest first, without those
    /// that a concurrent higher-ranked admission or promotion overrode.
    #[must_use]
    pub fn removals_of(&self, user: &UserId) -> Vec<RemovalRecord<'_>> {
        let state = self.users.get(user).into_iter();
        let removals = state.flat_map(|state| state.removals.values());
        removals
            .filter_map(|act| self.removal_record(act))
            .collect()
    }

    /// Returns the effective ops that ended a device, earliest first.
    #[must_use]
    pub fn ends_of(&self, device: &DeviceId) -> Vec<RemovalRecord<'_>> {
        let state = self.devices.get(device).into_iter();
        state
            .flat_map(|state| state.ended_by())
            .filter_map(|act| self.removal_record(act))
            .collect()
    }

    /// Returns the epoch of the effective Seal, from which the canonical branch is sought, and the
    /// Seal: of those that count the one with the latest epoch.
    #[must_use]
    pub fn seal(&self) -> Option<(&EpochId, OpId)> {
        let (_, act) = self.seals.chain.last_key_value()?;
        Some((&act.seal()?.epoch, act.id))
    }

    /// Returns the Seals that count, by epoch: each one's epoch is an ancestor of the next one's, or
    /// the same.
    pub fn seals(&self) -> impl Iterator<Item = (EpochId, OpId)> + '_ {
        let chain = self.seals.chain.values();
        chain.filter_map(|act| Some((act.seal()?.epoch, act.id)))
    }

    fn closure(&self, removal: &OpId) -> Option<(OpId, &[ScopeCut])> {
        let seal = self.seals.closed.get(removal)?;
        let mut closures = seal.seal()?.closures.iter();
        let closure = closures.find(|closure| closure.removal == *removal)?;
        Some((seal.id, &closure.cut))
    }

    pub(super) fn removal_record<'a>(&'a self, act: &'a Act) -> Option<RemovalRecord<'a>> {
        let kind = removal_kind(act)?;
        let (cut, late, purge, reason) = if let Deed::Leave { reason } = &act.deed {
            (&[][..], LatePolicy::Accept, &[][..], reason.as_str())
        } else if let Some((_, cut)) = act.freezes() {
            (cut, LatePolicy::Reject, &[][..], "")
        } else if let Some(revoke) = act.device_revoke() {
            let default = if revoke.compromised {
                LatePolicy::Reject
            } else {
                LatePolicy::Accept
            };
            let late = revoke.late.unwrap_or(default);
            let reason = revoke.reason.as_str();
            (revoke.cut.as_slice(), late, revoke.purge.as_slice(), reason)
        } else {
            let removal = act.removal()?;
            let late = removal.late.unwrap_or_else(|| self.late_default(kind));
            let reason = removal.reason.as_str();
            (
                removal.cut.as_slice(),
                late,
                removal.purge.as_slice(),
                reason,
            )
        };
        let attests = self.attests.get(&act.id).into_iter().flatten();
        let attests = attests.filter_map(|act| act.attest());
        Some(RemovalRecord {
            op: act.id,
            kind,
            author: act.user,
            hlc: act.hlc,
            cut: united(std::iter::once(cut).chain(attests.map(|a| a.cut.as_slice()))),
            late,
            purge,
            reason,
            closure: self.closure(&act.id),
        })
    }

    /// Returns everyone under a standing ban, by user id.
    pub fn bans(&self) -> impl Iterator<Item = (UserId, Restriction)> + '_ {
        self.users
            .keys()
            .filter_map(|user| Some((*user, self.ban(user)?)))
    }

    /// Returns every standing mute, expired ones too.
    pub fn mutes(&self) -> impl Iterator<Item = MuteRecord<'_>> {
        self.mutes.iter().flat_map(|((user, channel), state)| {
            let standing = is_muting(&state.register).then_some(&state.standing);
            standing.into_iter().flatten().filter_map(|act| {
                let Deed::Mute(mute) = &act.deed else {
                    return None;
                };
                Some(MuteRecord {
                    user: *user,
                    channel: *channel,
                    op: act.id,
                    author: act.user,
                    expires: mute.expires,
                    reason: &mute.reason,
                })
            })
        })
    }

    /// Returns a device that some effective op certified, of a member or not.
    #[must_use]
    pub fn device(&self, device: &DeviceId) -> Option<Device> {
        self.device_of(device, self.devices.get(device)?)
    }

    /// Returns whose device this is, if it counts as a member's: as `authorised_devices` has it.
    #[must_use]
    pub fn authorised_user(&self, device: &DeviceId) -> Option<UserId> {
        let has = |state: &UserState| state.devices.contains(device);
        let mut users = self.users.iter().rev();
        users
            .find(|(user, state)| has(state) && state.membership(user).is_some())
            .map(|(user, _)| *user)
    }

    /// Returns every certified device, by device id.
    pub fn devices(&self) -> impl Iterator<Item = Device> + '_ {
        self.devices
            .iter()
            .filter_map(|(device, state)| self.device_of(device, state))
    }

    /// Returns a channel.
    #[must_use]
    pub fn channel(&self, id: &ChannelId) -> Option<Channel> {
        let state = self.channels.get(id)?;
        let created = state.create.channel_create()?;
        let update = |register: &Register| register.winner().cloned();
        let name = update(&state.name);
        let topic = update(&state.topic);
        let category = update(&state.category);
        let said = |act: &Option<Arc<Act>>,
                    of: fn(&oplog::payload::ChannelUpdate) -> Option<String>| {
            act.as_deref().and_then(Act::channel_update).and_then(of)
        };
        Some(Channel {
            id: *id,
            name: said(&name, |u| u.name.clone()).unwrap_or_else(|| created.name.clone()),
            kind: created.kind,
            topic: said(&topic, |u| u.topic.clone()).unwrap_or_else(|| created.topic.clone()),
            category: said(&category, |u| u.category.clone())
                .or_else(|| created.category.clone())
                .filter(|c| !c.is_empty()),
            history: created.history,
            archived: self.is_archived(id),
            permissions: state
                .permissions
                .iter()
                .filter_map(|(verb, r)| Some((*verb, r.winner()?.permission(*verb)?)))
                .collect(),
            created_by: state.create.id,
            created: state.create.hlc,
        })
    }

    /// Returns every channel, by id.
    pub fn channels(&self) -> impl Iterator<Item = Channel> + '_ {
        self.channels.keys().filter_map(|id| self.channel(id))
    }

    /// Returns the policies of the Space.
    #[must_use]
    pub fn policies(&self) -> Policies {
        let policy = &self.policy;
        let set = |register: &Register| register.winner().cloned();
        let flag = |register: &Register, of: fn(&oplog::payload::PolicySet) -> Option<bool>| {
            set(register)
                .and_then(|a| a.policy_set().and_then(of))
                .unwrap_or(false)
        };
        let (first_name, owner_removable) = if let Some(Deed::Genesis {
            name,
            owner_removable,
            ..
        }) = policy.genesis.as_deref().map(|act| &act.deed)
        {
            (name.clone(), *owner_removable)
        } else {
            (String::new(), false)
        };
        Policies {
            name: set(&policy.name)
                .and_then(|a| a.policy_set().and_then(|p| p.name.clone()))
                .unwrap_or(first_name),
            kick_late: self.late_default(RemovalKind::Kick),
            ban_late: self.late_default(RemovalKind::Ban),
            features: policy.features,
            timing_privacy: flag(&policy.timing_privacy, |p| p.timing_privacy),
            dedup: flag(&policy.dedup, |p| p.dedup),
            seal_every: set(&policy.seal_every).and_then(|a| a.policy_set()?.seal_every),
            owner_removable,
        }
    }

    /// Returns an effective invite, closed or not.
    #[must_use]
    pub fn invite_record(&self, op: &OpId) -> Option<Invite> {
        let state = self.invites.get(op)?;
        Some(Invite {
            op: *op,
            author: state.create.user,
            terms: state.create.invite_terms()?.clone(),
            uses: state.uses,
            revoked_by: closer(state),
        })
    }

    /// Returns every effective invite, by op id.
    pub fn invites(&self) -> impl Iterator<Item = Invite> + '_ {
        self.invites.keys().filter_map(|op| self.invite_record(op))
    }

    /// D0 (A2): whether content by this person and device counts, when `past` is the view at
    /// the content op's own control frontier and `self` is the fold of everything.
    ///
    /// Either the grants in force there are effective here, or the person is a member and the
    /// device theirs by now: a later effective grant ratifies.
    #[must_use]
    pub fn is_sponsored(&self, user: &UserId, device: &DeviceId, past: &Self) -> bool {
        self.unsponsored_by(user, device, past).is_none()
    }

    /// Returns what leaves such content without a sponsor: the op that made its author a member
    /// there, or else the one that certified the device, and does not count here.
    #[must_use]
    pub fn unsponsored_by(&self, user: &UserId, device: &DeviceId, past: &Self) -> Option<OpId> {
        if self.is_member(user) && self.device_user(device) == Some(*user) {
            return None;
        }
        let counts = |act: &Arc<Act>| self.reaches(act, user);
        let Some((state, membership)) = past.membership(user) else {
            return Some(OpId::ZERO);
        };
        if !counts(membership) && !state.added.winner().is_some_and(counts) {
            return Some(membership.id);
        }
        let held = past.devices.get(device);
        let held = held.filter(|d| d.cert.as_ref().is_some_and(|c| c.user == *user));
        match held.and_then(|d| d.newest.winner()) {
            Some(certified) => (!counts(certified)).then_some(certified.id),
            None => Some(membership.id),
        }
    }

    /// D4 (A2): whether some grant of this weight in `past` is effective here.
    #[must_use]
    pub fn is_weight_sponsored(&self, user: &UserId, weight: Weight, past: &Self) -> bool {
        past.users.get(user).is_some_and(|state| {
            state.role_log.iter().any(|l| {
                l.act.level(user).is_some_and(|w| w >= weight.get()) && self.reaches(&l.act, user)
            })
        })
    }

    /// Returns the grant in force in `past` if neither it nor any other of this weight there is
    /// effective here (D4).
    #[must_use]
    pub fn void_grant(&self, user: &UserId, weight: Weight, past: &Self) -> Option<OpId> {
        if self.is_weight_sponsored(user, weight, past) {
            return None;
        }
        let grant = past.users.get(user).and_then(|state| state.role.winner());
        Some(grant.map_or(OpId::ZERO, |act| act.id))
    }

    /// Returns the demotions of a person that no promotion of sufficient rank followed, earliest
    /// first.
    pub fn demotions_of(&self, user: &UserId) -> impl Iterator<Item = OpId> + '_ {
        let state = self.users.get(user).into_iter();
        state.flat_map(|state| state.demotions.iter().map(|act| act.id))
    }

    /// Returns which op decided a key in this view, and over which concurrent others; `None`
    /// when nothing wrote the key.
    #[must_use]
    pub fn decided_by(&self, key: &Key) -> Option<Decision> {
        let channel = |id: &ChannelId| self.channels.get(id);
        let register = match key {
            Key::Member(user) => &self.users.get(user)?.member,
            Key::Role(user) => &self.users.get(user)?.role,
            Key::Mute(user, at) => &self.mutes.get(&(*user, *at))?.register,
            Key::Device(device) => &self.devices.get(device)?.first,
            Key::DeviceEnd(device) => {
                let first = self.devices.get(device)?.ended_by().next()?;
                return Some(Decision::of(first, &[]));
            }
            Key::Channel(id, ChannelField::Name) => &channel(id)?.name,
            Key::Channel(id, ChannelField::Topic) => &channel(id)?.topic,
            Key::Channel(id, ChannelField::Category) => &channel(id)?.category,
            Key::Channel(id, ChannelField::Archived) => &channel(id)?.archived,
            Key::Permission(id, verb) => channel(id)?.permissions.get(verb)?,
            Key::Policy(PolicyField::Name) => &self.policy.name,
            Key::Policy(PolicyField::KickLate) => &self.policy.kick_late,
            Key::Policy(PolicyField::BanLate) => &self.policy.ban_late,
            Key::Policy(PolicyField::TimingPrivacy) => &self.policy.timing_privacy,
            Key::Policy(PolicyField::Dedup) => &self.policy.dedup,
            Key::Policy(PolicyField::SealEvery) => &self.policy.seal_every,
            Key::Invite(op) => {
                let state = self.invites.get(op)?;
                let act = effective_closer(state).unwrap_or(&state.create);
                return Some(Decision::of(act, &[]));
            }
        };
        let (winner, over) = register.0.split_first()?;
        Some(Decision::of(winner, over))
    }

    pub(super) fn membership(&self, user: &UserId) -> Option<(&UserState, &Arc<Act>)> {
        let state = self.users.get(user)?;
        Some((state, state.membership(user)?))
    }

    /// Whether this act is effective here, for this person: an admission can be effective and
    /// not reach one of its people, whom a ban of higher rank keeps out.
    fn reaches(&self, act: &Act, user: &UserId) -> bool {
        if !self.verdict(&act.id).is_effective() {
            return false;
        }
        let state = self.users.get(user);
        !matches!(act.deed, Deed::MemberAdd { .. })
            || state.is_some_and(|s| s.admissions.contains(&act.id))
    }

    fn live_devices(&self, user: &UserId) -> Vec<DeviceId> {
        let state = self.users.get(user);
        state.map_or_else(Vec::new, |s| s.devices.iter().copied().collect())
    }

    fn name_of(&self, user: &UserId) -> String {
        let Some(state) = self.users.get(user) else {
            return String::new();
        };
        let newest = |devices: &BTreeSet<DeviceId>| {
            let certs = devices.iter().filter_map(|device| {
                let cert = self.devices.get(device)?.cert.as_ref()?;
                Some((cert.created, *device, cert.name.clone()))
            });
            certs.max().map(|(_, _, name)| name)
        };
        let name = newest(&state.devices).or_else(|| newest(&state.dead_devices));
        name.unwrap_or_default()
    }

    fn device_of(&self, device: &DeviceId, state: &DeviceState) -> Option<Device> {
        let cert = state.cert.clone()?;
        Some(Device {
            device: *device,
            user: cert.user,
            of_member: self.is_member(&cert.user),
            op: state.newest.winner()?.id,
            ended_by: state.ended_by().next().map(|act| act.id),
            cert,
        })
    }

    fn late_default(&self, kind: RemovalKind) -> LatePolicy {
        let policy = &self.policy;
        let set = |register: &Register,
                   of: fn(&oplog::payload::PolicySet) -> Option<LatePolicy>| {
            register.winner().and_then(|a| a.policy_set().and_then(of))
        };
        match kind {
            RemovalKind::Leave | RemovalKind::Device => LatePolicy::Accept,
            RemovalKind::Equivocation => LatePolicy::Reject,
            RemovalKind::Kick => {
                let default = if on(Mutant::LateSwapped) {
                    LatePolicy::Quarantine
                } else {
                    LatePolicy::Accept
                };
                set(&policy.kick_late, |p| p.kick_late).unwrap_or(default)
            }
            RemovalKind::Ban => {
                set(&policy.ban_late, |p| p.ban_late).unwrap_or(LatePolicy::Quarantine)
            }
        }
    }
}

impl Decision {
    fn of(winner: &Act, over: &[Arc<Act>]) -> Self {
        Self {
            winner: winner.id,
            user: winner.user,
            rank: winner.rank,
            over: over.iter().map(|act| act.id).collect(),
        }
    }
}

/// Returns everything that any of these cuts names, sorted: coverage only ever grows (B8).
fn united<'a>(cuts: impl Iterator<Item = &'a [ScopeCut]>) -> Vec<ScopeCut> {
    let mut scopes: BTreeMap<Scope, BTreeSet<CutHead>> = BTreeMap::new();
    for cut in cuts.flatten() {
        scopes.entry(cut.scope).or_default().extend(&cut.heads);
    }
    let cut = |(scope, heads): (_, BTreeSet<_>)| ScopeCut {
        scope,
        heads: heads.into_iter().collect(),
    };
    scopes.into_iter().map(cut).collect()
}

pub(super) fn is_muting(register: &Register) -> bool {
    let winner = register.winner();
    winner.is_some_and(|act| act.muted_until().is_some())
}

fn effective_closer(state: &InviteState) -> Option<&Arc<Act>> {
    let effective = state.revokes.iter().find(|l| l.effective);
    effective.map(|l| &l.act)
}

pub(super) fn closer(state: &InviteState) -> Option<OpId> {
    effective_closer(state).map(|act| act.id)
}

fn removal_kind(act: &Act) -> Option<RemovalKind> {
    if act.is_leave() {
        return Some(RemovalKind::Leave);
    }
    if act.revoked_device().is_some() {
        return Some(RemovalKind::Device);
    }
    if act.freezes().is_some() {
        return Some(RemovalKind::Equivocation);
    }
    act.removal()?;
    Some(if matches!(act.deed, Deed::Ban(_)) {
        RemovalKind::Ban
    } else {
        RemovalKind::Kick
    })
}
