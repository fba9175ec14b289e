//! What a folded set of control ops comes to: who is a member, with which role and devices, what
//! channels there are, who is banned or muted. Every answer is computed from the ops anew.

use core::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use super::act::{Act, Cert, ChannelCreate, Cut, Head, InviteCreate, Seal};
use super::authority::{Authority, Facet, Fold, MuteKey, Rank, revokes};
use super::graph::Set;
use super::id::{Bytes, Channel, Id};
use super::op::Op;
use super::verb::Verb;

/// A folded set.
pub(super) struct State<'s, 'a> {
    pub(super) authority: &'s Authority<'a>,
    pub(super) fold: Rc<Fold>,
}

/// A channel as it stands.
#[derive(Clone, Debug)]
pub(super) struct ChannelState {
    pub(super) id: Channel,
    pub(super) created: (u64, Channel),
    pub(super) name: String,
    pub(super) kind: u8,
    pub(super) topic: String,
    pub(super) category: Option<String>,
    pub(super) archived: bool,
}

impl<'s, 'a> State<'s, 'a> {
    /// What given ops come to, all of which count.
    pub(super) fn of(authority: &'s Authority<'a>, fold: Fold) -> Self {
        Self {
            authority,
            fold: Rc::new(fold),
        }
    }

    /// Every op that counts.
    pub(super) fn ops(&self) -> impl Iterator<Item = &'a Op> {
        let ids = self.fold.effective.iter();
        ids.filter_map(|id| self.authority.graph.op(id))
    }

    pub(super) fn rank_of(&self, id: &Id) -> Option<Rank> {
        self.authority.rank(self.authority.graph.op(id)?)
    }

    /// The op that decides a key: of those that write it, the greatest of the causally maximal.
    fn winner(&self, writes: impl Fn(&Op) -> bool) -> Option<&'a Op> {
        self.authority
            .greatest(self.ops().filter(|op| writes(op)).collect())
    }

    /// Whether an op counts and says something of somebody here.
    fn speaks(&self, op: &Op, user: &Id, facet: Facet) -> bool {
        self.authority.says(op, user, facet).is_some() && self.fold.reaches(&op.id, user, facet)
    }

    /// The op that decides whether somebody is a member.
    pub(super) fn membership(&self, user: &Id) -> Option<&'a Op> {
        self.winner(|op| self.speaks(op, user, Facet::Member))
    }

    pub(super) fn is_member(&self, user: &Id) -> bool {
        self.membership(user)
            .is_some_and(|op| self.authority.says(op, user, Facet::Member) == Some(1))
    }

    /// The op that let somebody in, also below a promotion that confirmed them.
    pub(super) fn admission(&self, user: &Id) -> Option<&'a Op> {
        self.winner(|op| {
            matches!(op.deed(), Some(Act::Genesis(_) | Act::MemberAdd(_)))
                && self.speaks(op, user, Facet::Member)
        })
    }

    /// The op that gave a member the role they have.
    pub(super) fn grant(&self, user: &Id) -> Option<&'a Op> {
        if !self.is_member(user) {
            return None;
        }
        self.winner(|op| self.speaks(op, user, Facet::Role))
    }

    pub(super) fn weight(&self, user: &Id) -> Option<u8> {
        self.authority.says(self.grant(user)?, user, Facet::Role)
    }

    /// `rank(user, view) = (weight, −g(grant), ¬grant, ¬user)`.
    pub(super) fn rank(&self, user: &Id) -> Option<Rank> {
        let grant = self.grant(user)?;
        let weight = self.authority.says(grant, user, Facet::Role)?;
        let depth = self.authority.graph.depth(&grant.id);
        Some((u16::from(weight), Reverse((depth, grant.id, *user)), 0))
    }

    /// The admins, without one person: those who decide together (A19).
    pub(super) fn admins(&self, without: Option<Id>) -> BTreeSet<Id> {
        let mut admins = self.people();
        admins.retain(|user| {
            let weight = self.weight(user).unwrap_or(0);
            (50..100).contains(&weight) && Some(*user) != without
        });
        admins
    }

    /// Whether a quorum makes and removes owners.
    pub(super) fn owner_removable(&self) -> bool {
        self.ops()
            .any(|op| matches!(op.deed(), Some(Act::Genesis(genesis)) if genesis.owner_removable))
    }

    /// The epoch from which the tip is sought: that of the last Seal that counts.
    pub(super) fn sealed_epoch(&self) -> Option<Id> {
        self.seal_of(self.fold.seals.last()?).map(|seal| seal.epoch)
    }

    fn seal_of(&self, op: &Id) -> Option<&'a Seal> {
        match self.authority.graph.op(op)?.deed() {
            Some(Act::Seal(seal)) => Some(seal),
            _ => None,
        }
    }

    /// The Seal that closed a removal, with what it names: the greatest of those that count, of
    /// equals the earlier.
    pub(super) fn closure(&self, removal: &Id) -> Option<(Id, &'a [Cut])> {
        let closures = self.fold.seals.iter().filter_map(|op| {
            let closures = self.seal_of(op)?.closures.iter();
            let mut of_removal = closures.filter(|closure| closure.removal == *removal);
            Some((*op, of_removal.next()?.cut.as_slice()))
        });
        closures.max_by_key(|(op, _)| {
            let depth = self.authority.graph.depth(op);
            (self.rank_of(op), Reverse((depth, *op)))
        })
    }

    /// What a removal's author had seen, by scope, and what effective attests add; `None` of what has
    /// no cut.
    pub(super) fn cut(&self, removal: &Op) -> Option<BTreeMap<Option<Channel>, BTreeSet<Head>>> {
        let own = match removal.deed() {
            Some(Act::Kick(r) | Act::Ban(r)) => &r.cut,
            Some(Act::DeviceRevoke(revoke)) => &revoke.cut,
            Some(Act::Proof(proof)) => &proof.cut,
            _ => return None,
        };
        let attests = self.ops().filter_map(|op| match op.deed() {
            Some(Act::Attest(attest)) if attest.removal == removal.id => Some(&attest.cut),
            _ => None,
        });
        let mut cut: BTreeMap<Option<Channel>, BTreeSet<Head>> = BTreeMap::new();
        for scope in core::iter::once(own).chain(attests).flatten() {
            cut.entry(scope.scope).or_default().extend(&scope.heads);
        }
        Some(cut)
    }

    /// Everybody about whose membership an op that counts says something.
    pub(super) fn people(&self) -> BTreeSet<Id> {
        let mut people = BTreeSet::new();
        for op in self.ops() {
            match op.deed() {
                Some(Act::Genesis(_) | Act::Leave) => {
                    people.insert(op.user);
                }
                Some(Act::MemberAdd(add)) => people.extend(add.members.iter().map(|m| m.cert.user)),
                Some(Act::Kick(r) | Act::Ban(r)) => {
                    people.insert(r.target);
                }
                Some(Act::RoleSet(role)) => {
                    people.insert(role.target);
                }
                _ => {}
            }
        }
        people.retain(|user| self.membership(user).is_some());
        people
    }

    /// The removals of somebody that count, but for those that a greater admission or
    /// confirmation, concurrent with them, overrode.
    pub(super) fn removals(&self, user: &Id) -> Vec<&'a Op> {
        let says = |op: &Op| {
            let says = self.authority.says(op, user, Facet::Member);
            says.filter(|_| self.fold.reaches(&op.id, user, Facet::Member))
        };
        let overridden = |r: &Op| {
            self.ops().any(|y| {
                says(y) == Some(1)
                    && self.authority.graph.concurrent(&y.id, &r.id)
                    && self.authority.order(y) > self.authority.order(r)
            })
        };
        let removals = self.ops().filter(|op| says(op) == Some(0));
        removals.filter(|r| !overridden(r)).collect()
    }

    /// The effective ops that ended a device for good: its person's, and proofs.
    pub(super) fn ends(&self, device: &Id) -> Vec<&'a Op> {
        let holder = self.certificate(device).map(|(_, cert)| cert.user);
        let ends = |op: &Op| match op.deed() {
            Some(Act::Proof(proof)) => proof.device == *device,
            _ => revokes(op, device) && Some(op.user) == holder,
        };
        self.ops().filter(|op| ends(op)).collect()
    }

    /// The certificates that an op brings.
    pub(super) fn certs(op: &Op) -> Vec<&Cert> {
        match op.deed() {
            Some(Act::Genesis(genesis)) => vec![&genesis.cert],
            Some(Act::MemberAdd(add)) => add.members.iter().map(|m| &m.cert).collect(),
            Some(Act::DeviceAdd(add)) => vec![&add.cert],
            _ => Vec::new(),
        }
    }

    /// The ops that count and certify a device, each with the certificate.
    fn claims(&self, device: &Id) -> Vec<(&'a Op, &'a Cert)> {
        let claims = self.ops().filter_map(|op| {
            let cert = State::certs(op).into_iter().find(|c| c.device == *device)?;
            Some((op, cert))
        });
        claims
            .filter(|(op, cert)| self.fold.reaches(&op.id, &cert.user, Facet::Member))
            .collect()
    }

    /// The claim that says whose a device is: the greatest of the causally first. A certificate does
    /// not prove that the device agreed.
    pub(super) fn first_claim(&self, device: &Id) -> Option<&'a Op> {
        let graph = self.authority.graph;
        let claims = self.claims(device);
        let first = claims
            .iter()
            .map(|(op, _)| *op)
            .filter(|a| !claims.iter().any(|(b, _)| graph.sees(&a.id, &b.id)));
        first.max_by_key(|op| self.authority.order(op))
    }

    /// The op that certifies a device now or did at last, with the certificate.
    pub(super) fn certificate(&self, device: &Id) -> Option<(&'a Op, &'a Cert)> {
        let claims = self.claims(device);
        let first = self.first_claim(device)?;
        let (_, first) = claims.iter().find(|(op, _)| op.id == first.id)?;
        let own: Vec<&Op> = claims
            .iter()
            .filter(|(_, cert)| cert.user == first.user)
            .map(|(op, _)| *op)
            .collect();
        let newest = self.authority.greatest(own)?;
        claims.into_iter().find(|(op, _)| op.id == newest.id)
    }

    /// Whose a device is; nobody's once it was ended.
    pub(super) fn device_user(&self, device: &Id) -> Option<Id> {
        let (_, cert) = self.certificate(device)?;
        self.ends(device).is_empty().then_some(cert.user)
    }

    /// The live devices of a person.
    pub(super) fn devices(&self, user: &Id) -> BTreeSet<Id> {
        let mut own = self.all_devices(user);
        own.retain(|device| self.ends(device).is_empty());
        own
    }

    /// Every device that is a person's or was.
    pub(super) fn all_devices(&self, user: &Id) -> BTreeSet<Id> {
        let certs = self.ops().flat_map(State::certs);
        let mut all: BTreeSet<Id> = certs.map(|cert| cert.device).collect();
        all.retain(|d| self.certificate(d).map(|(_, cert)| cert.user) == Some(*user));
        all
    }

    /// The name in somebody's newest certificate, of a live device if they have one.
    pub(super) fn name_of(&self, user: &Id) -> Option<String> {
        let mut devices = self.devices(user);
        if devices.is_empty() {
            devices = self.all_devices(user);
        }
        let certs = devices
            .into_iter()
            .filter_map(|d| Some((self.certificate(&d)?.1, d)));
        let newest = certs.max_by_key(|(cert, device)| (cert.created, *device));
        newest.map(|(cert, _)| cert.name.clone())
    }

    /// Every certified device of every member.
    pub(super) fn authorised(&self) -> BTreeMap<Id, Id> {
        let members = self.people().into_iter().filter(|u| self.is_member(u));
        members
            .flat_map(|user| self.devices(&user).into_iter().map(move |d| (d, user)))
            .collect()
    }

    /// Restrictive ops that no sufficient reversal followed (R9).
    fn standing(
        &self,
        restricts: impl Fn(&Op) -> bool,
        reverses: impl Fn(&Op, &Op) -> bool,
    ) -> Vec<Id> {
        let lifted = |op: &Op| {
            self.ops().any(|r| {
                self.authority.graph.sees(&r.id, &op.id)
                    && self.authority.rank(r) >= self.authority.rank(op)
                    && reverses(r, op)
            })
        };
        let restrictions = self.ops().filter(|op| restricts(op));
        restrictions
            .filter(|op| !lifted(op))
            .map(|op| op.id)
            .collect()
    }

    /// Bans that nothing of sufficient rank lifted: an Unban, an admission, a confirmation.
    pub(super) fn bans(&self, user: &Id) -> Vec<Id> {
        self.standing(
            |op| matches!(op.deed(), Some(Act::Ban(r)) if r.target == *user),
            |op, _| {
                let unbans = matches!(op.deed(), Some(Act::Unban { target }) if target == user);
                unbans
                    || (self.authority.says(op, user, Facet::Member) == Some(1)
                        && self.fold.reaches(&op.id, user, Facet::Member))
            },
        )
    }

    /// The bans of somebody who is no member: of a member, an admission overrode them.
    pub(super) fn banned(&self, user: &Id) -> Vec<Id> {
        if self.is_member(user) {
            Vec::new()
        } else {
            self.bans(user)
        }
    }

    /// Mutes under a key that nothing of sufficient rank lifted.
    pub(super) fn unlifted_mutes(&self, user: &Id, key: MuteKey) -> Vec<Id> {
        self.standing(
            |op| matches!(op.deed(), Some(Act::Mute(m)) if m.target == *user && m.channel == key),
            |op, _| matches!(op.deed(), Some(Act::Unmute(m)) if m.target == *user && m.channel == key),
        )
    }

    /// Mutes that stand under a key; none where an Unmute decides it.
    pub(super) fn mutes(&self, user: &Id, key: MuteKey) -> Vec<Id> {
        let decides = self.winner(|op| match op.deed() {
            Some(Act::Mute(m)) => m.target == *user && m.channel == key,
            Some(Act::Unmute(m)) => m.target == *user && m.channel == key,
            _ => false,
        });
        match decides.map(|op| op.deed()) {
            Some(Some(Act::Mute(_))) => self.unlifted_mutes(user, key),
            _ => Vec::new(),
        }
    }

    /// Demotions that nothing of sufficient rank lifted: a higher role.
    pub(super) fn demotions(&self, user: &Id) -> Vec<Id> {
        let level = |op: &Op| self.authority.says(op, user, Facet::Role);
        self.standing(
            |op| level(op).is_some() && self.authority.is_demotion(op),
            |op, demotion| {
                level(op) > level(demotion) && self.fold.reaches(&op.id, user, Facet::Role)
            },
        )
    }

    /// The greatest rank among standing restrictions.
    pub(super) fn bar(&self, standing: &[Id]) -> Option<Rank> {
        standing.iter().filter_map(|id| self.rank_of(id)).max()
    }

    /// The one to name among standing restrictions.
    pub(super) fn strongest(&self, standing: &[Id]) -> Option<Id> {
        let standing = standing.iter().filter_map(|id| self.authority.graph.op(id));
        let strongest = standing.max_by_key(|op| self.authority.order(op));
        strongest.map(|op| op.id)
    }

    /// When a mute ends; `u64::MAX` when never.
    pub(super) fn mute_end(&self, mute: &Id) -> u64 {
        match self.authority.graph.op(mute).map(|op| op.deed()) {
            Some(Some(Act::Mute(mute))) => mute.expires.unwrap_or(u64::MAX),
            _ => 0,
        }
    }

    /// The mutes in force on somebody in a channel at a time: those of the channel and those of
    /// everywhere.
    pub(super) fn muted(&self, user: &Id, channel: Option<Channel>, at: u64) -> Vec<Id> {
        let mut mutes = self.mutes(user, None);
        if channel.is_some() {
            mutes.extend(self.mutes(user, channel));
        }
        mutes.retain(|mute| at < self.mute_end(mute));
        mutes
    }

    /// An invite that counts and was not closed.
    pub(super) fn invite(&self, invite: &Id) -> Option<&'a InviteCreate> {
        let closed = self
            .ops()
            .any(|op| matches!(op.deed(), Some(Act::InviteRevoke { invite: i }) if i == invite));
        match self.ops().find(|op| op.id == *invite).map(|op| op.deed()) {
            Some(Some(Act::InviteCreate(terms))) if !closed => Some(terms),
            _ => None,
        }
    }

    /// How many people an invite let in.
    pub(super) fn invite_uses(&self, invite: &Id) -> u64 {
        let uses = self.ops().map(|op| match op.deed() {
            Some(Act::MemberAdd(add)) if add.invite == Some(*invite) => add.members.len() as u64,
            _ => 0,
        });
        uses.sum()
    }

    /// The features that owners switched on.
    pub(super) fn features(&self) -> u64 {
        self.ops().fold(0, |all, op| match op.deed() {
            Some(Act::PolicySet(policy)) if self.authority.rank(op).map(|r| r.0) == Some(100) => {
                all | policy.features.unwrap_or(0)
            }
            _ => all,
        })
    }

    /// What stands under one field of a channel or policy, out of the ops that set it.
    fn field<T>(&self, read: impl Fn(&'a Op) -> Option<T>) -> Option<T> {
        let op = self.winner_of(&read)?;
        read(op)
    }

    fn winner_of<T>(&self, read: &impl Fn(&'a Op) -> Option<T>) -> Option<&'a Op> {
        let setters: Set = self
            .ops()
            .filter(|op| read(op).is_some())
            .map(|op| op.id)
            .collect();
        self.winner(|op| setters.contains(&op.id))
    }

    fn created(&self, channel: &Channel) -> Option<(&'a Op, &'a ChannelCreate)> {
        self.ops().find_map(|op| match op.deed() {
            Some(Act::ChannelCreate(create)) if channel_of(&op.id) == *channel => {
                Some((op, create))
            }
            _ => None,
        })
    }

    pub(super) fn channel(&self, id: &Channel) -> Option<ChannelState> {
        let (op, create) = self.created(id)?;
        let update = |op: &'a Op| match op.deed() {
            Some(Act::ChannelUpdate(update)) if update.channel == *id => Some(update),
            _ => None,
        };
        let is_creation = |other: &Op| other.id == op.id;
        Some(ChannelState {
            id: *id,
            created: (op.hlc, *id),
            kind: create.kind,
            name: self.field(|op| match update(op) {
                Some(update) => update.name.clone(),
                None => is_creation(op).then(|| create.name.clone()),
            })?,
            topic: self.field(|op| match update(op) {
                Some(update) => update.topic.clone(),
                None => is_creation(op).then(|| create.topic.clone()),
            })?,
            category: self
                .field(|op| match update(op) {
                    Some(update) => update.category.clone().map(Some),
                    None => is_creation(op).then(|| create.category.clone()),
                })?
                .filter(|category| !category.is_empty()),
            archived: self
                .field(|op| update(op).and_then(|update| update.archived))
                .unwrap_or(false),
        })
    }

    /// Every channel, in the order of their making.
    pub(super) fn channels(&self) -> Vec<ChannelState> {
        let mut channels: Vec<ChannelState> = self
            .ops()
            .filter(|op| matches!(op.deed(), Some(Act::ChannelCreate(_))))
            .filter_map(|op| self.channel(&channel_of(&op.id)))
            .collect();
        channels.sort_by_key(|channel| channel.created);
        channels
    }

    /// The least weight for a verb, in a channel or in the Space.
    pub(super) fn least(&self, verb: Verb, channel: Option<&Channel>) -> u8 {
        let Some(channel) = channel else {
            return verb.default_least();
        };
        let set = self.field(|op| match op.deed() {
            Some(Act::ChannelUpdate(update)) if update.channel == *channel => update
                .permissions
                .iter()
                .find(|p| p.verb == verb as u8)
                .map(|p| p.least),
            _ => None,
        });
        let announces = self
            .created(channel)
            .is_some_and(|(_, create)| create.kind == 2);
        let default = match verb {
            Verb::Post | Verb::Thread if announces => 20,
            _ => verb.default_least(),
        };
        set.unwrap_or(default)
    }

    /// The late policy of the Space for kicks (0) or bans (1).
    pub(super) fn late_policy(&self, ban: bool) -> u8 {
        let set = self.field(|op| match op.deed() {
            Some(Act::PolicySet(policy)) if ban => policy.ban_late,
            Some(Act::PolicySet(policy)) => policy.kick_late,
            _ => None,
        });
        set.unwrap_or(u8::from(ban))
    }

    /// The name of the Space.
    pub(super) fn name(&self) -> Option<String> {
        self.field(|op| match op.deed() {
            Some(Act::Genesis(genesis)) => Some(genesis.name.clone()),
            Some(Act::PolicySet(policy)) => policy.name.clone(),
            _ => None,
        })
    }
}

/// The first 16 bytes of the id of the op that made it.
pub(super) fn channel_of(create: &Id) -> Channel {
    let mut id = [0; 16];
    for (to, from) in id.iter_mut().zip(create.0) {
        *to = from;
    }
    Bytes(id)
}
