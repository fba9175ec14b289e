//! A small control plane to play with: people, their ops, and the fold of them.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use fold::{AuthorityFold, AuthorityView};
use oplog::authority::{Authority, View};
use oplog::dag::ControlDag;
use oplog::payload::{
    CutHead, DeviceAdd, DeviceCert, DeviceRevoke, EquivocationProof, Genesis, InviteCreate,
    InviteRevoke, Leave, MemberAdd, Mute, NewMember, QuorumAct, QuorumSigner, Removal, RoleSet,
    ScopeCut, SignedHeader, SpaceKind, Unban, Unmute, Weight,
};
use oplog::{
    AcceptedOp, DeviceId, Digest, EpochId, Header, Hlc, OpId, Payload, Scope, SecretKey, Signature,
    SignedOp, SpaceId, Timestamp, UserId,
};

/// How many devices anybody has.
const DEVICES: u8 = 4;

/// A person, by number. Number 0 founds the Space.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct P(pub(crate) u8);

/// What somebody does; ops are named by their place in [`World::ids`].
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Do {
    Found,
    Add(Vec<(P, u8)>),
    /// By the invite at this place.
    Admit(Vec<P>, usize),
    Kick(P),
    Ban(P),
    Unban(P),
    Role(P, u8),
    Leave,
    Mute(P),
    Unmute(P),
    Invite(u32),
    CloseInvite(usize),
    Merge,
    /// Certifies the author's device of this number.
    Device(u8),
    /// Revokes it, with or without the identity key.
    Revoke(u8, bool),
    /// Proves that this device of somebody equivocates; the op at this place was seen.
    Prove(P, u8, Option<usize>),
    /// These admins do it together.
    Quorum(Vec<P>, Box<Self>),
}

#[derive(Clone, Default)]
pub(crate) struct World {
    pub(crate) dag: ControlDag,
    pub(crate) fold: AuthorityFold,
    pub(crate) ids: Vec<OpId>,
    /// Author, action and parents of each op, for whoever wants to judge it independently.
    pub(crate) told: Vec<(P, Do, Vec<usize>)>,
    /// With which device of theirs each author acted.
    pub(crate) devices: Vec<u8>,
    /// The last op of each device, where ops go on lanes. Else every op begins one.
    pub(crate) lanes: Option<BTreeMap<DeviceId, OpId>>,
}

/// What was done, one line an op: a failure should fit on a screen.
impl core::fmt::Debug for World {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        for (i, (who, what, seen)) in self.told.iter().enumerate() {
            let device = self.devices[i];
            writeln!(f, "{i}: {who:?} on {device} {what:?} after {seen:?}")?;
        }
        Ok(())
    }
}

impl P {
    pub(crate) fn user(self) -> UserId {
        UserId::from_bytes([self.0 + 1; 32])
    }

    pub(crate) fn device(self) -> DeviceId {
        self.nth_device(0)
    }

    /// Devices sign, so they are keys; people never do here.
    pub(crate) fn nth_device(self, n: u8) -> DeviceId {
        // Every check names some, and a public key costs more than the rest of the check.
        static NAMES: LazyLock<Vec<DeviceId>> = LazyLock::new(|| {
            let all = (0..=u8::MAX).flat_map(|p| (0..DEVICES).map(move |n| (P(p), n)));
            all.map(|(p, n)| DeviceId::from_bytes(p.key(n).public()))
                .collect()
        });
        NAMES[usize::from(self.0) * usize::from(DEVICES) + usize::from(n)]
    }

    fn key(self, n: u8) -> SecretKey {
        let mut seed = [0; 32];
        seed[0] = self.0;
        seed[1] = n;
        SecretKey::from_seed(&seed)
    }

    pub(crate) fn cert(self, n: u8) -> DeviceCert {
        DeviceCert {
            user: self.user(),
            device: self.nth_device(n),
            mls_key: Digest::ZERO,
            hpke_key: Digest::ZERO,
            created: Hlc::from_raw(u64::from(n) + 1),
            name: format!("p{}", self.0),
            sig: Signature::ZERO,
        }
    }

    fn joining(self, weight: u8) -> NewMember {
        NewMember {
            cert: self.cert(0),
            key_package: vec![self.0].into(),
            weight: Weight::new(weight),
            proof: None,
        }
    }
}

impl World {
    /// A Space founded by person 0 with these members.
    pub(crate) fn with(members: &[(u8, u8)]) -> Self {
        let mut world = Self::default();
        world.act(P(0), Do::Found, &[]);
        if !members.is_empty() {
            let members = members.iter().map(|(p, w)| (P(*p), *w)).collect();
            world.act(P(0), Do::Add(members), &[0]);
        }
        world
    }

    /// Someone acts, having seen the ops at these places. Returns the op's place.
    pub(crate) fn act(&mut self, who: P, what: Do, seen: &[usize]) -> usize {
        self.act_on(0, who, what, seen)
    }

    /// Someone acts with the device of this number.
    pub(crate) fn act_on(&mut self, device: u8, who: P, what: Do, seen: &[usize]) -> usize {
        let payload = self.payload_of(who, &what);
        self.told.push((who, what, seen.to_vec()));
        self.devices.push(device);
        self.say(who, device, payload, seen)
    }

    /// Someone says any payload from any device of theirs.
    pub(crate) fn say(&mut self, who: P, device: u8, payload: Payload, seen: &[usize]) -> usize {
        let op = self.sign(who, device, payload, seen);
        self.take(op)
    }

    pub(crate) fn sign(
        &self,
        who: P,
        device: u8,
        payload: Payload,
        seen: &[usize],
    ) -> Arc<AcceptedOp> {
        let mut ctl: Vec<OpId> = seen.iter().map(|i| self.ids[*i]).collect();
        ctl.sort_unstable();
        let newest = ctl
            .iter()
            .filter_map(|id| self.dag.node(id))
            .map(|node| node.op.header().hlc.as_raw())
            .max();
        let key = who.key(device);
        let header = Header {
            space: if seen.is_empty() {
                SpaceId::ZERO
            } else {
                SpaceId::from_bytes([9; 32])
            },
            kind: 0,
            user: who.user(),
            device: DeviceId::from_bytes(key.public()),
            scope: Scope::Control,
            // Lanes are acceptance's business; that every op begins one, the graph allows.
            seq: self.ids.len() as u64,
            back: self
                .lanes
                .as_ref()
                .and_then(|lanes| lanes.get(&who.nth_device(device)).copied()),
            ctl,
            prev: Vec::new(),
            epoch: if let Payload::Commit(commit) = &payload {
                commit.parent
            } else {
                EpochId::ZERO
            },
            hlc: Hlc::from_raw(newest.unwrap_or(0) + 1),
            wall: Timestamp::from_ms(0),
            payload_hash: Digest::ZERO,
            payload_len: 0,
        };
        let op = SignedOp::sign(header, &payload, &key);
        Arc::new(AcceptedOp::danger_from_own_store(op))
    }

    pub(crate) fn take(&mut self, op: Arc<AcceptedOp>) -> usize {
        let id = op.id();
        if let Some(lanes) = &mut self.lanes {
            lanes.insert(op.header().device, id);
        }
        self.dag.insert(op);
        self.fold.admit(&self.dag, &id);
        self.ids.push(id);
        self.ids.len() - 1
    }

    pub(crate) fn view(&mut self, seen: &[usize]) -> Arc<AuthorityView> {
        let frontier: Vec<OpId> = seen.iter().map(|i| self.ids[*i]).collect();
        self.fold.view(&self.dag, &frontier)
    }

    pub(crate) fn all(&mut self) -> Arc<AuthorityView> {
        self.fold.view_all(&self.dag)
    }

    pub(crate) fn counts(&mut self, op: usize) -> bool {
        let id = self.ids[op];
        self.all().verdict(&id).is_effective()
    }

    pub(crate) fn rule(&mut self, op: usize) -> Option<&'static str> {
        let id = self.ids[op];
        self.all().verdict(&id).reason().map(|reason| reason.rule())
    }

    pub(crate) fn weight(&mut self, who: u8) -> Option<u8> {
        self.all().weight(&P(who).user()).map(Weight::get)
    }

    /// The same ops, arriving in another order.
    pub(crate) fn replayed(&self, order: &[usize]) -> Self {
        let mut world = Self::default();
        for place in order {
            let node = self.dag.node(&self.ids[*place]).expect("own op");
            world.take(node.op.clone());
        }
        world
    }

    pub(crate) fn payload(&self, what: &Do) -> Payload {
        self.payload_of(P(0), what)
    }

    pub(crate) fn payload_of(&self, who: P, what: &Do) -> Payload {
        match what {
            Do::Device(n) => Payload::DeviceAdd(DeviceAdd {
                cert: who.cert(*n),
                key_package: vec![who.0, *n].into(),
                identity_sig: None,
            }),
            Do::Quorum(signers, action) => {
                let action = self.payload_of(who, action);
                Payload::QuorumAct(QuorumAct {
                    frontier: vec![self.ids[0]],
                    kind: action.kind().number(),
                    action: action.encode().into(),
                    nonce: Digest::ZERO,
                    expires: Hlc::from_raw(u64::MAX),
                    signers: signers
                        .iter()
                        .map(|p| QuorumSigner {
                            user: p.user(),
                            device: p.device(),
                            sig: Signature::ZERO,
                        })
                        .collect(),
                })
            }
            Do::Prove(p, n, seen) => {
                let device = p.nth_device(*n);
                let heads = seen.iter().map(|at| CutHead {
                    device,
                    seq: 0,
                    op: self.ids[*at],
                });
                let cut = ScopeCut {
                    scope: Scope::Control,
                    heads: heads.collect(),
                };
                Payload::EquivocationProof(EquivocationProof {
                    first: signed_header(device, 1),
                    second: signed_header(device, 2),
                    cut: vec![cut],
                })
            }
            Do::Revoke(n, identity) => Payload::DeviceRevoke(DeviceRevoke {
                device: who.nth_device(*n),
                cut: Vec::new(),
                late: None,
                reason: String::new(),
                purge: Vec::new(),
                compromised: false,
                identity_sig: identity.then_some(Signature::ZERO),
            }),
            Do::Found => Payload::Genesis(Genesis {
                name: "space".into(),
                kind: SpaceKind::Community,
                cert: P(0).cert(0),
                group_id: Digest::ZERO,
                root_commit: Digest::ZERO,
                owner_removable: false,
                leaf: Digest::ZERO,
            }),
            Do::Add(members) => {
                let mut members: Vec<NewMember> =
                    members.iter().map(|(p, w)| p.joining(*w)).collect();
                members.sort_by_key(|m| m.cert.user);
                Payload::MemberAdd(MemberAdd {
                    members,
                    invite: None,
                })
            }
            Do::Admit(people, invite) => {
                let mut members: Vec<NewMember> = people.iter().map(|p| p.joining(10)).collect();
                members.sort_by_key(|m| m.cert.user);
                for member in &mut members {
                    member.proof = Some(Signature::ZERO);
                }
                Payload::MemberAdd(MemberAdd {
                    members,
                    invite: Some(self.ids[*invite]),
                })
            }
            Do::Kick(p) => Payload::Kick(removal(*p)),
            Do::Ban(p) => Payload::Ban(removal(*p)),
            Do::Unban(p) => Payload::Unban(Unban { target: p.user() }),
            Do::Role(p, weight) => Payload::RoleSet(RoleSet {
                target: p.user(),
                weight: Weight::new(*weight),
                reason: String::new(),
            }),
            Do::Leave => Payload::Leave(Leave {
                reason: String::new(),
            }),
            Do::Mute(p) => Payload::Mute(Mute {
                target: p.user(),
                channel: None,
                expires: None,
                reason: String::new(),
            }),
            Do::Unmute(p) => Payload::Unmute(Unmute {
                target: p.user(),
                channel: None,
            }),
            Do::Invite(max_uses) => Payload::InviteCreate(InviteCreate {
                key: Digest::ZERO,
                weight: Weight::MEMBER,
                max_uses: *max_uses,
                expires: Hlc::from_raw(u64::MAX),
                channel: None,
                approval: false,
            }),
            Do::CloseInvite(invite) => Payload::InviteRevoke(InviteRevoke {
                invite: self.ids[*invite],
            }),
            Do::Merge => Payload::Merge,
        }
    }

    /// What acceptance would say (R4, R6, R9, A10, A17), by the op's own past.
    pub(crate) fn is_allowed(&mut self, who: P, what: &Do, seen: &[usize]) -> bool {
        self.is_allowed_on(0, who, what, seen)
    }

    pub(crate) fn is_allowed_on(&mut self, device: u8, who: P, what: &Do, seen: &[usize]) -> bool {
        let at = self.view(seen);
        let user = who.user();
        let holds = |n: u8| at.device_user(&who.nth_device(n)) == Some(user);
        if !holds(device) && !matches!(what, Do::Revoke(_, true)) {
            return false;
        }
        let (Some(weight), Some(rank)) = (at.weight(&user), at.rank(&user)) else {
            return matches!(what, Do::Found);
        };
        let weight = weight.get();
        let outranks = |p: &P| at.rank(&p.user()).is_some_and(|r| r < rank);
        let undoes = |r: Option<oplog::authority::Restriction>| r.is_none_or(|r| rank >= r.rank);
        let may_join = |p: &P| {
            !at.is_member(&p.user())
                && at.ban(&p.user()).is_none()
                && !at.is_device_revoked(&p.device())
        };
        match what {
            Do::Found => false,
            Do::Add(members) => {
                weight >= 20 && members.iter().all(|(p, w)| *w <= weight && may_join(p))
            }
            Do::Admit(people, invite) => {
                let id = self.ids[*invite];
                let uses = at.invite_uses(&id) as usize + people.len();
                weight >= 10
                    && people.iter().all(may_join)
                    && at
                        .invite(&id)
                        .is_some_and(|(terms, _)| uses <= terms.max_uses as usize)
            }
            Do::Kick(p) => weight >= 20 && outranks(p),
            Do::Ban(p) => weight >= 50 && outranks(p),
            Do::Unban(p) => {
                let ban = at.ban(&p.user());
                weight >= 50 && ban.is_some() && undoes(ban)
            }
            Do::Role(p, w) if *p == who => *w < weight,
            Do::Role(p, w) => {
                let Some(now) = at.weight(&p.user()) else {
                    return false;
                };
                let up = *w > now.get();
                weight >= 50
                    && outranks(p)
                    && *w != now.get()
                    && (*w <= 20 || weight == 100)
                    && (!up || undoes(at.demotion(&p.user())))
            }
            Do::Leave => weight < 100,
            Do::Mute(p) => weight >= 20 && outranks(p) && at.mute_at_key(&p.user(), None).is_none(),
            Do::Unmute(p) => {
                let mute = at.mute_at_key(&p.user(), None);
                weight >= 20 && mute.is_some() && undoes(mute)
            }
            Do::Invite(_) => weight >= 20,
            Do::CloseInvite(invite) => weight >= 20 && at.invite(&self.ids[*invite]).is_some(),
            Do::Merge => seen.len() > 1,
            Do::Device(n) => !holds(*n) && !at.is_device_revoked(&who.nth_device(*n)),
            Do::Revoke(n, _) => holds(*n),
            Do::Prove(..) => true,
            Do::Quorum(signers, action) => {
                let target = match &**action {
                    Do::Kick(p) | Do::Ban(p) | Do::Role(p, _) => Some(*p),
                    _ => None,
                };
                let mut admins = at.admins();
                admins.retain(|admin| target.map(P::user) != Some(*admin));
                let all = matches!(**action, Do::Role(_, 50..));
                let share = if all {
                    admins.len()
                } else {
                    (2 * admins.len()).div_ceil(3)
                };
                let holds = |p: &P| at.device_user(&p.device()) == Some(p.user());
                let vote = |p: &P| holds(p) && admins.contains(&p.user());
                let rank = |p: &P| at.weight(&p.user()).map(Weight::get);
                signers.len() >= share.max(2)
                    && signers.iter().all(vote)
                    && match &**action {
                        Do::Kick(p) => rank(p).is_some_and(|w| w < 90),
                        Do::Ban(p) => rank(p).is_none_or(|w| w < 90) && at.ban(&p.user()).is_none(),
                        Do::Unban(p) => at.ban(&p.user()).is_some_and(|b| b.rank.weight <= 90),
                        Do::Role(p, w) => rank(p).is_some_and(|now| {
                            now < 90
                                && now != *w
                                && *w < 100
                                && (*w < now
                                    || at.demotion(&p.user()).is_none_or(|d| d.rank.weight <= 90))
                        }),
                        _ => false,
                    }
            }
        }
    }
}

/// A header of a device; the fold leaves signatures to acceptance.
fn signed_header(device: DeviceId, wall: u64) -> SignedHeader {
    let header = Header {
        space: SpaceId::from_bytes([9; 32]),
        kind: 1,
        user: UserId::ZERO,
        device,
        scope: Scope::Control,
        seq: 0,
        back: None,
        ctl: Vec::new(),
        prev: Vec::new(),
        epoch: EpochId::ZERO,
        hlc: Hlc::from_raw(1),
        wall: Timestamp::from_ms(wall),
        payload_hash: Digest::ZERO,
        payload_len: 0,
    };
    SignedHeader {
        header: header.encode().into(),
        sig: Signature::ZERO,
    }
}

pub(crate) fn removal(target: P) -> Removal {
    Removal {
        target: target.user(),
        cut: Vec::new(),
        late: None,
        reason: String::new(),
        purge: Vec::new(),
    }
}
