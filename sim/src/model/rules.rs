//! Acceptance: the static rules of `docs/acceptance.md`, each a function of an op and its past.

use std::collections::{BTreeMap, BTreeSet};

use super::act::{
    Act, Cert, Closure, Commit, Complaint, DeviceAdd, DeviceRevoke, Head, InviteCreate, MemberAdd,
    NewMember, Proof, QuorumAct, ReaddRequest, Signed, feature,
};
use super::authority::{Authority, Facet, Rank};
use super::cbor::Cbor;
use super::crypto::{Signatures, cert_message, hash};
use super::epoch::{Epochs, Roster, roster_hash};
use super::graph::Graph;
use super::id::{Channel, Id, unhex};
use super::op::Op;
use super::state::State;
use super::verb::{self, Verb};

/// Seconds as logical time.
const fn secs(n: u64) -> u64 {
    n << 32
}

const DAY: u64 = secs(86_400);

/// The rule that refuses an op, if one does.
pub(super) struct Judge<'s, 'a> {
    graph: &'a Graph,
    authority: &'s Authority<'a>,
    epochs: &'s Epochs,
    space: Id,
    signatures: Signatures,
}

type Verdict = Result<(), &'static str>;

/// By whose right something is done.
struct Hand {
    /// `None`: a quorum's, which is nobody.
    user: Option<Id>,
    weight: Option<u8>,
    rank: Option<Rank>,
}

/// Devices, each with the hash of a key package.
type Offers = BTreeSet<(Id, Id)>;

/// Passes when it holds, else names the rule.
fn must(holds: bool, rule: &'static str) -> Verdict {
    if holds { Ok(()) } else { Err(rule) }
}

impl<'s, 'a> Judge<'s, 'a> {
    pub(super) const fn new(
        authority: &'s Authority<'a>,
        epochs: &'s Epochs,
        space: Id,
        signatures: Signatures,
    ) -> Self {
        Self {
            graph: authority.graph,
            authority,
            epochs,
            space,
            signatures,
        }
    }

    /// Every rule that an op breaks. Where one is broken on which others build (there must be a
    /// past and a payload to judge), those are left out.
    pub(super) fn judge(&self, o: &Op) -> Vec<&'static str> {
        if let Err(rule) = self.s0(o) {
            return vec![rule];
        }
        if o.kind == 0 {
            return self.genesis(o).err().into_iter().collect();
        }
        let view = self.authority.state_before(&o.id);
        if let Err(rule) = self.s1(o).and_then(|()| self.a18(o, &view)) {
            return vec![rule];
        }
        let mut broken = vec![self.r1(o), self.r2(o, &view), self.r3(o)];
        broken.push(self.r4(o, &view));
        // What follows reads control payloads, so they parse.
        let plane = o.is_control() == (o.kind < 64);
        broken.push(must(plane && (!o.is_control() || o.act.is_some()), "R8"));
        if broken.last() == Some(&Ok(())) {
            broken.extend([self.r5(o), self.r6(o, &view), self.r7(o)]);
            broken.extend([self.r8(o, &view), self.r9(o, &view)]);
            broken.extend(self.commit(o, &view));
            broken.extend([self.k7(o), self.k8(o, &view)]);
            broken.push(self.k6(o));
        }
        broken.into_iter().filter_map(Result::err).collect()
    }

    /// Kinds that this version cannot judge. With their feature on they would wait, and a dump
    /// has no waiting ops.
    fn a18(&self, o: &Op, view: &State<'_, 'a>) -> Verdict {
        let needs = match verb::of(o.kind) {
            Some(_) => return Ok(()),
            None => feature(o.kind).unwrap_or(u64::MAX),
        };
        must(view.features() & needs != 0, "A18")
    }

    fn s0(&self, o: &Op) -> Verdict {
        let payload_max = if o.is_control() { 1 << 20 } else { 61_440 };
        let ctl_max = if o.is_control() { 16 } else { 4 };
        let own = if o.kind == 0 {
            o.space.is_zero() && o.founds == self.space
        } else {
            o.space == self.space
        };
        let fits = o.header_len <= 2048
            && o.payload_len <= payload_max
            && o.ctl.len() <= ctl_max
            && o.prev.len() <= 16;
        let whole = !o.is_control() || o.payload.is_some();
        must(own && fits && whole && o.signed, "S0")
    }

    fn genesis(&self, o: &Op) -> Verdict {
        let Some(Act::Genesis(genesis)) = &o.act else {
            return Err("R8");
        };
        let alone = o.refs().next().is_none() && o.seq == 0 && o.epoch.is_zero();
        let cert = self.certs_of(o);
        let certified = genesis.cert.user == o.user
            && genesis.cert.device == o.device
            && cert
                .iter()
                .all(|(cert, message)| self.is_signed(cert, message));
        must(
            alone && o.is_control() && certified && genesis.kind == 0,
            "R8",
        )
    }

    fn s1(&self, o: &Op) -> Verdict {
        let control = |id: &Id| self.graph.op(id).is_some_and(Op::is_control);
        let content = |id: &Id| self.graph.op(id).is_some_and(|op| !op.is_control());
        let back = o.back.as_ref().is_none_or(|b| control(b) == o.is_control());
        must(
            back && o.ctl.iter().all(control) && o.prev.iter().all(content),
            "S1",
        )
    }

    fn r1(&self, o: &Op) -> Verdict {
        let Some(back) = o.back.as_ref().and_then(|b| self.graph.op(b)) else {
            return must(o.seq == 0 && o.back.is_none(), "R1");
        };
        let lane = back.device == o.device && back.channel == o.channel;
        must(lane && back.seq.checked_add(1) == Some(o.seq), "R1")
    }

    fn r2(&self, o: &Op, view: &State<'_, 'a>) -> Verdict {
        let newest = o.refs().filter_map(|id| self.graph.op(id)).map(|op| op.hlc);
        let newest = newest.max().unwrap_or(0);
        let far = o.hlc.saturating_sub(newest) > 366 * DAY;
        let wakes = o.is_control() && view.weight(&o.user) >= Some(50);
        must(o.hlc > newest && (!far || wakes), "R2")
    }

    fn r3(&self, o: &Op) -> Verdict {
        let past = self.graph.past(&o.id);
        let seen = o.back.iter().chain(&o.prev);
        let mut seen = seen.map(|id| self.graph.past(id));
        must(seen.all(|earlier| earlier.is_subset(&past)), "R3")
    }

    fn r4(&self, o: &Op, view: &State<'_, 'a>) -> Verdict {
        let device = self.brings_itself(o) || view.device_user(&o.device) == Some(o.user);
        must(view.is_member(&o.user) && device, "R4")
    }

    fn is_signed(&self, cert: &Cert, message: &Option<Id>) -> bool {
        message.as_ref().is_some_and(|message| {
            self.signatures
                .signed(&cert.user, "decent cert v1", message, &cert.sig)
        })
    }

    /// A DeviceAdd of the device that signs it, with the identity key's fresh signature (A1); or a
    /// DeviceRevoke with one, from whatever device.
    fn brings_itself(&self, o: &Op) -> bool {
        match &o.act {
            Some(Act::DeviceAdd(add)) => {
                add.cert.device == o.device && self.identity_signed(o, add)
            }
            Some(Act::DeviceRevoke(revoke)) => self.identity_revoked(o, revoke),
            _ => false,
        }
    }

    fn identity_revoked(&self, o: &Op, revoke: &DeviceRevoke) -> bool {
        let message = hash("device-revoke", &[&o.binding.0, &revoke.device.0]);
        revoke.identity_sig.is_some_and(|sig| {
            self.signatures
                .signed(&o.user, "decent revoke v1", &message, &sig)
        })
    }

    fn identity_signed(&self, o: &Op, add: &DeviceAdd) -> bool {
        add.identity_sig.is_some_and(|sig| {
            self.signatures
                .signed(&o.user, "decent device v1", &o.binding, &sig)
        })
    }

    fn r5(&self, o: &Op) -> Verdict {
        let exempt = match &o.act {
            Some(Act::ReaddRequest(_)) => true,
            Some(Act::DeviceAdd(add)) => self.identity_signed(o, add),
            Some(Act::DeviceRevoke(revoke)) => self.identity_revoked(o, revoke),
            _ => false,
        };
        if exempt {
            return Ok(());
        }
        let epoch = self.epochs.get(&o.epoch).ok_or("R5")?;
        must(self.graph.sees(&o.id, &epoch.commit), "R5")?;
        let there = epoch.roster.get(&o.device).map(|(user, _)| *user) == Some(o.user);
        let external = matches!(&o.act, Some(Act::Commit(commit)) if is_external(o, commit));
        must(there || external, "R5")
    }

    fn r6(&self, o: &Op, view: &State<'_, 'a>) -> Verdict {
        if let Some(channel) = &o.channel {
            self.r6_channel(o, channel, view)?;
        }
        let weight = view.weight(&o.user);
        if let Some(Act::MemberAdd(MemberAdd {
            invite: Some(invite),
            members,
        })) = &o.act
        {
            let terms = view.invite(invite).ok_or("R6")?;
            must(o.hlc < terms.expires, "R6")?;
            must(members.iter().all(|m| m.weight == terms.weight), "R6")?;
        }
        must(weight >= Some(verb::needed(o, view)), "R6")?;
        if let Some(quorum) = o.quorum() {
            let admins = view.admins(quorum.target());
            must(quorum.signers.len() >= quorum.needs(admins.len()), "R6")?;
            self.r6_owner_stays(quorum, view)?;
        }
        self.r6_act(o, &self.hand(o, view), view)
    }

    /// Who acts: the author, or a quorum with its own rank.
    fn hand(&self, o: &Op, view: &State<'_, 'a>) -> Hand {
        if o.quorum().is_some() {
            Hand {
                user: None,
                weight: Some(90),
                rank: self.authority.rank(o),
            }
        } else {
            Hand {
                user: Some(o.user),
                weight: view.weight(&o.user),
                rank: view.rank(&o.user),
            }
        }
    }

    /// A quorum that takes an owner away leaves another one with a live device.
    fn r6_owner_stays(&self, quorum: &QuorumAct, view: &State<'_, 'a>) -> Verdict {
        let takes = !matches!(*quorum.action, Act::Mute(_));
        let owner = quorum
            .target()
            .filter(|user| view.weight(user) == Some(100));
        match owner {
            Some(owner) if takes => must(Self::other_owner(&owner, view), "R6"),
            _ => Ok(()),
        }
    }

    /// What the rule asks of acts on targets.
    fn r6_act(&self, o: &Op, by: &Hand, view: &State<'_, 'a>) -> Verdict {
        let weight = by.weight;
        let all_reach = by.user.is_none() && view.owner_removable();
        let outranks =
            |target: &Id| Some(*target) != by.user && (all_reach || view.rank(target) < by.rank);
        let exists = |c: &Option<Channel>| c.as_ref().is_none_or(|c| view.channel(c).is_some());
        match o.deed() {
            Some(Act::PolicySet(policy)) if policy.features.is_some() => {
                must(weight == Some(100), "R6")
            }
            Some(Act::Kick(r) | Act::Ban(r)) => must(outranks(&r.target), "R6"),
            Some(Act::Unban { target }) => must(outranks(target), "R6"),
            Some(Act::Mute(m)) => must(outranks(&m.target) && exists(&m.channel), "R6"),
            Some(Act::Unmute(m)) => must(outranks(&m.target), "R6"),
            Some(Act::RoleSet(role)) => {
                let may = by.user.is_none() && (role.weight < 100 || all_reach);
                must(may || weight >= Some(role.weight), "R6")?;
                if Some(role.target) == by.user {
                    let down = weight > Some(role.weight);
                    must(
                        !down || weight != Some(100) || Self::other_owner(&o.user, view),
                        "R6",
                    )
                } else {
                    must(outranks(&role.target), "R6")
                }
            }
            Some(Act::Leave) => must(
                weight != Some(100) || Self::other_owner(&o.user, view),
                "R6",
            ),
            Some(Act::MemberAdd(add)) => {
                let known = |m: &NewMember| matches!(m.weight, 5 | 10 | 20 | 50 | 100);
                let may = |m: &NewMember| add.invite.is_some() || weight >= Some(m.weight);
                must(add.members.iter().all(|m| known(m) && may(m)), "R6")
            }
            Some(Act::InviteCreate(invite)) => must(
                weight >= Some(invite.weight) && exists(&invite.channel),
                "R6",
            ),
            Some(Act::InviteRevoke { invite }) => must(view.invite(invite).is_some(), "R6"),
            Some(Act::ChannelUpdate(update)) => must(exists(&Some(update.channel)), "R6"),
            _ => Ok(()),
        }
    }

    fn r6_channel(&self, o: &Op, channel: &Channel, view: &State<'_, 'a>) -> Verdict {
        let state = view.channel(channel).ok_or("R6")?;
        must(view.muted(&o.user, Some(*channel), o.hlc).is_empty(), "R6")?;
        must(!(state.archived && matches!(o.kind, 64..=69)), "R6")?;
        // Acting on what somebody else wrote.
        let target = o.target().and_then(|t| self.graph.op(t));
        let other = target.filter(|t| t.user != o.user);
        if let Some(other) = other.filter(|_| matches!(o.kind, 65 | 71)) {
            let least = view.least(Verb::Tombstone, Some(channel));
            must(view.weight(&o.user) >= Some(least), "R6")?;
            must(view.rank(&other.user) < view.rank(&o.user), "R6")?;
        }
        Ok(())
    }

    /// Another owner who is a member with a live device.
    fn other_owner(than: &Id, view: &State<'_, 'a>) -> bool {
        view.people().iter().any(|user| {
            user != than && view.weight(user) == Some(100) && !view.devices(user).is_empty()
        })
    }

    fn r7(&self, o: &Op) -> Verdict {
        let places = if o.is_control() { 60 } else { 120 };
        let then = self.graph.lane(o).nth(places);
        must(
            then.is_none_or(|then| o.hlc >= then.hlc.saturating_add(secs(60))),
            "R7",
        )
    }

    fn r8(&self, o: &Op, view: &State<'_, 'a>) -> Verdict {
        if !o.is_control() {
            return self.r8_content(o);
        }
        let certs = self.certs_of(o);
        must(
            certs
                .iter()
                .all(|(cert, message)| self.is_signed(cert, message)),
            "R8",
        )?;
        if let Some(quorum) = o.quorum() {
            self.r8_quorum(o, quorum, view)?;
        }
        match o.deed() {
            Some(Act::MemberAdd(add)) => self.r8_members(o, add, view),
            Some(Act::DeviceRevoke(revoke)) => {
                let own = view.device_user(&revoke.device) == Some(o.user);
                let proof = revoke.identity_sig.is_none() || self.identity_revoked(o, revoke);
                must(own && proof, "R8")
            }
            Some(Act::Proof(proof)) => self.r8_proof(o, proof),
            Some(Act::Attest(attest)) => {
                let seen = self.graph.sees(&o.id, &attest.removal);
                let removal = self.graph.op(&attest.removal).and_then(Op::deed);
                let takes_out = matches!(
                    removal,
                    Some(Act::Kick(_) | Act::Ban(_) | Act::DeviceRevoke(_) | Act::Proof(_))
                );
                must(seen && takes_out, "R8")
            }
            Some(Act::DeviceAdd(add)) => {
                let mine = add.cert.user == o.user;
                let new = view.device_user(&add.cert.device).is_none()
                    && view.ends(&add.cert.device).is_empty();
                let room = view.devices(&o.user).len() < 8;
                let proof = add.identity_sig.is_none() || self.identity_signed(o, add);
                must(mine && new && room && proof, "R8")
            }
            Some(Act::Kick(r)) => must(view.is_member(&r.target), "R8"),
            Some(Act::Ban(r)) => must(view.banned(&r.target).is_empty(), "R8"),
            Some(Act::Unban { target }) => must(!view.banned(target).is_empty(), "R8"),
            Some(Act::RoleSet(role)) => {
                let has = view.weight(&role.target);
                must(has.is_some() && has != Some(role.weight), "R8")
            }
            Some(Act::Mute(m)) => {
                let end = m.expires.unwrap_or(u64::MAX);
                let standing = view.mutes(&m.target, m.channel);
                let longer = standing.iter().all(|s| view.mute_end(s) < end);
                must(view.is_member(&m.target) && end > o.hlc && longer, "R8")
            }
            Some(Act::Unmute(m)) => {
                let standing = view.mutes(&m.target, m.channel);
                let lasts = standing.iter().any(|s| view.mute_end(s) > o.hlc);
                must(lasts, "R8")
            }
            _ => Ok(()),
        }
    }

    fn r8_content(&self, o: &Op) -> Verdict {
        let prev: Vec<&Op> = o.prev.iter().filter_map(|id| self.graph.op(id)).collect();
        must(prev.iter().all(|op| op.channel == o.channel), "R8")?;
        if !o.has_target() {
            return Ok(());
        }
        let [target] = prev.as_slice() else {
            return Err("R8");
        };
        let fits = match o.kind {
            65 => target.kind == super::act::THREAD_CREATE,
            _ => target.is_post(),
        };
        let own = !matches!(o.kind, 67 | 70) || target.user == o.user;
        must(fits && own, "R8")
    }

    fn r8_members(&self, o: &Op, add: &MemberAdd, view: &State<'_, 'a>) -> Verdict {
        let mut named = BTreeSet::new();
        for m in &add.members {
            let owner = view.device_user(&m.cert.device);
            let free = owner.is_none_or(|user| user == m.cert.user)
                && view.ends(&m.cert.device).is_empty();
            let devices = view.devices(&m.cert.user);
            let room = devices.contains(&m.cert.device) || devices.len() < 8;
            let once = named.insert(m.cert.device);
            let new = !view.is_member(&m.cert.user);
            must(free && room && once && new, "R8")?;
            must(m.proof.is_some() == add.invite.is_some(), "R8")?;
        }
        let Some((invite, terms)) = add.invite.and_then(|i| Some((i, view.invite(&i)?))) else {
            return Ok(());
        };
        must(self.proofs_hold(o, add, terms), "R8")?;
        let uses = view.invite_uses(&invite) + add.members.len() as u64;
        must(uses <= terms.max_uses, "R8")
    }

    /// A19: the signatures hold, for this act and once.
    fn r8_quorum(&self, o: &Op, quorum: &QuorumAct, view: &State<'_, 'a>) -> Verdict {
        let past = self.graph.past(&o.id);
        let digest = quorum.digest(&o.space, &o.device);
        let same = |op: &Op| {
            let other = op.quorum().map(|q| q.digest(&op.space, &op.device));
            other == Some(digest)
        };
        let mut earlier = past.iter().filter_map(|id| self.graph.op(id));
        let admins = view.admins(quorum.target());
        let signed = quorum.signers.iter().all(|signer| {
            admins.contains(&signer.user)
                && view.device_user(&signer.device) == Some(signer.user)
                && self
                    .signatures
                    .signed(&signer.device, "decent quorum v1", &digest, &signer.sig)
        });
        let seen = quorum.frontier.iter().all(|id| past.contains(id));
        must(
            seen && signed && o.hlc < quorum.expires && !earlier.any(same),
            "R8",
        )
    }

    /// B11: two headers of this Space for one place, signed by their device; one proof a person.
    fn r8_proof(&self, o: &Op, proof: &Proof) -> Verdict {
        let read = |half: &Signed| {
            let header = Op::signed_header(&half.header, &half.sig, self.signatures).ok();
            header.filter(|header| header.signed && header.space == o.space)
        };
        let (Some(a), Some(b)) = (read(&proof.first), read(&proof.second)) else {
            return Err("R8");
        };
        let place = |op: &Op| (op.device, op.channel, op.seq);
        let mut heads = proof.cut.iter().flat_map(|cut| &cut.heads);
        let own_cut = heads.all(|head| head.device == a.device);
        let past = self.graph.past(&o.id);
        let again = past.iter().filter_map(|id| self.graph.op(id)).any(|op| {
            op.user == o.user && matches!(&op.act, Some(Act::Proof(p)) if p.device == a.device)
        });
        must(place(&a) == place(&b) && own_cut && !again, "R8")
    }

    /// K7.
    fn k7(&self, o: &Op) -> Verdict {
        let Some(Act::Complaint(complaint)) = &o.act else {
            return Ok(());
        };
        let epoch = self.epochs.get(&complaint.epoch).ok_or("K7")?;
        let author = self.graph.op(&epoch.commit).map(|op| op.user);
        let past = self.graph.past(&o.id);
        let again = past.iter().filter_map(|id| self.graph.op(id)).any(|op| {
            op.user == o.user
                && matches!(&op.act, Some(Act::Complaint(c)) if c.epoch == complaint.epoch)
        });
        let about = past.contains(&epoch.commit)
            && epoch.parent == Some(o.epoch)
            && author != Some(o.user)
            && epoch.roster.contains_key(&o.device);
        must(about && !again, "K7")
    }

    /// K8.
    fn k8(&self, o: &Op, view: &State<'_, 'a>) -> Verdict {
        let Some(Act::Seal(seal)) = &o.act else {
            return Ok(());
        };
        let tip = self.epochs.tip(view).ok_or("K8")?;
        let sealed = view.sealed_epoch();
        let behind = sealed.is_none_or(|sealed| self.epochs.descends(&seal.epoch, &sealed));
        must(self.epochs.descends(&tip, &seal.epoch) && behind, "K8")?;
        must(
            !seal.closures.is_empty() || sealed != Some(seal.epoch),
            "K8",
        )?;
        let closes = |closure: &Closure| self.k8_closes(o, closure, view);
        must(seal.closures.iter().all(closes), "K8")
    }

    fn k8_closes(&self, o: &Op, closure: &Closure, view: &State<'_, 'a>) -> bool {
        let r = view.ops().find(|op| op.id == closure.removal);
        let Some((r, known)) = r.and_then(|r| Some((r, view.cut(r)?))) else {
            return false;
        };
        let stands = match r.deed() {
            Some(Act::Kick(removal) | Act::Ban(removal)) => view
                .removals(&removal.target)
                .iter()
                .any(|op| op.id == r.id),
            Some(Act::DeviceRevoke(revoke)) => {
                view.ends(&revoke.device).iter().any(|op| op.id == r.id)
            }
            _ => true,
        };
        let named: BTreeMap<_, BTreeSet<Head>> = closure
            .cut
            .iter()
            .map(|cut| (cut.scope, cut.heads.iter().copied().collect()))
            .collect();
        let all_named = known.len() == named.len()
            && known
                .iter()
                .all(|(scope, heads)| named.get(scope).is_some_and(|named| heads.is_subset(named)));
        let ripe = |since: u64| o.hlc >= since.saturating_add(secs(72 * 3600));
        let past = self.graph.past(&o.id);
        let mut seen = past.iter().filter_map(|id| self.graph.op(id));
        let witnessed = seen.any(|c| {
            c.kind == 18
                && c.user != o.user
                && c.user != r.user
                && self.graph.sees(&c.id, &r.id)
                && ripe(c.hlc)
        });
        let owner = view.weight(&o.user) == Some(100);
        let open = view.closure(&r.id).is_none();
        stands && open && all_named && ripe(r.hlc) && (owner || witnessed)
    }

    fn proofs_hold(&self, o: &Op, add: &MemberAdd, terms: &InviteCreate) -> bool {
        let certs = raw_certs(o);
        add.members.iter().zip(certs).all(|(m, cert)| {
            let package = unhex(&m.key_package).unwrap_or_default();
            let message = hash("join-proof", &[&terms.key.0, &cert.write(), &package]);
            m.proof.is_some_and(|proof| {
                self.signatures
                    .signed(&terms.key, "decent join v1", &message, &proof)
            })
        })
    }

    fn r9(&self, o: &Op, view: &State<'_, 'a>) -> Verdict {
        let rank: Option<Rank> = self.hand(o, view).rank;
        let enough = |standing: Vec<Id>| must(rank >= view.bar(&standing), "R9");
        match o.deed() {
            Some(Act::Unban { target }) => enough(view.banned(target)),
            Some(Act::Unmute(m)) => enough(view.mutes(&m.target, m.channel)),
            Some(Act::RoleSet(role)) if view.weight(&role.target) < Some(role.weight) => {
                enough(view.demotions(&role.target))
            }
            Some(Act::MemberAdd(add)) => {
                let mut people = add.members.iter().map(|m| m.cert.user);
                must(people.all(|user| view.banned(&user).is_empty()), "R9")
            }
            _ => Ok(()),
        }
    }

    /// K1–K5.
    fn commit(&self, o: &Op, view: &State<'_, 'a>) -> Vec<Verdict> {
        let Some(Act::Commit(commit)) = &o.act else {
            return Vec::new();
        };
        // R5 is about the epoch that the header names; that the payload names the same is K1.
        if commit.parent != o.epoch {
            return vec![Err("K1")];
        }
        let Some(parent) = self.epochs.get(&commit.parent) else {
            return vec![Err("R5")];
        };
        let past = self.graph.past(&o.id);
        let earlier = past.iter().filter_map(|id| self.graph.op(id));
        let mut earlier = earlier.filter(|op| op.device == o.device);
        let again = |op: &Op| matches!(&op.act, Some(Act::Commit(c)) if c.parent == commit.parent);
        vec![
            self.k2(o, commit, &parent.roster, view),
            must(!earlier.any(again), "K4"),
            self.k5(o, commit),
        ]
    }

    fn k2(&self, o: &Op, commit: &Commit, before: &Roster, view: &State<'_, 'a>) -> Verdict {
        let authorised = view.authorised();
        let added: BTreeMap<Id, (Id, Id)> = commit
            .delta
            .added
            .iter()
            .map(|leaf| (leaf.device, (leaf.user, leaf.key_package)))
            .collect();
        must(added.len() == commit.delta.added.len(), "K2")?;
        let removed: BTreeSet<Id> = commit.delta.removed.iter().copied().collect();
        let external = is_external(o, commit);
        let (offered, asked) = Self::key_packages(view);
        for device in &removed {
            let (user, _) = before.get(device).ok_or("K2")?;
            let lost = authorised.get(device) != Some(user);
            must(lost || added.contains_key(device), "K2")?;
        }
        for (device, (user, package)) in &added {
            must(authorised.get(device) == Some(user), "K2")?;
            let had = before.get(device).map(|(_, package)| package);
            must(had.is_some() == removed.contains(device), "K2")?;
            // A leaf that lets itself in has no key package.
            let offers = if had.is_some() { &asked } else { &offered };
            let offered = offers.contains(&(*device, *package)) && had != Some(package);
            must(external || offered, "K2")?;
        }
        let mut after = before.clone();
        after.retain(|device, _| !removed.contains(device));
        after.extend(added.iter().map(|(device, leaf)| (*device, *leaf)));
        let mut stay = after.iter();
        let allowed = stay.all(|(device, (user, _))| authorised.get(device) == Some(user));
        must(allowed || external, "K2")?;
        must(after.len() <= 1000, "K2")?;
        let others_go = removed.iter().any(|device| {
            !added.contains_key(device) && before.get(device).is_some_and(|(u, _)| *u != o.user)
        });
        let class = match (others_go, removed.is_empty() && added.is_empty()) {
            (true, _) => 2,
            (false, true) => 0,
            (false, false) => 1,
        };
        must(commit.class == class, "K2")?;
        must(commit.roster_hash == roster_hash(&after), "K2")
    }

    /// The key packages that ops which count offered for devices, and of them those that a device asked
    /// itself to be added again with.
    fn key_packages(view: &State<'_, 'a>) -> (Offers, Offers) {
        let (mut offered, mut asked) = (Offers::new(), Offers::new());
        let digest = |package: &str| hash("key-package", &[&unhex(package).unwrap_or_default()]);
        for op in view.ops() {
            match &op.act {
                Some(Act::MemberAdd(add)) => {
                    let admitted = add
                        .members
                        .iter()
                        .filter(|m| view.fold.reaches(&op.id, &m.cert.user, Facet::Member));
                    offered.extend(admitted.map(|m| (m.cert.device, digest(&m.key_package))));
                }
                Some(Act::DeviceAdd(add)) => {
                    offered.insert((add.cert.device, digest(&add.key_package)));
                }
                Some(
                    Act::ReaddRequest(ReaddRequest { key_package })
                    | Act::Complaint(Complaint { key_package, .. }),
                ) => {
                    let offer = (op.device, digest(key_package));
                    offered.insert(offer);
                    asked.insert(offer);
                }
                _ => {}
            }
        }
        (offered, asked)
    }

    fn k5(&self, o: &Op, commit: &Commit) -> Verdict {
        if commit.class != 0 {
            return Ok(());
        }
        let chain = self.epochs.chain(&commit.parent);
        // The new epoch is one after the parent.
        for (back, epoch) in (1..).zip(chain) {
            let Some(then) = self.graph.op(&epoch.commit) else {
                continue;
            };
            if epoch.class == 0 && then.user == o.user {
                let spaced = back >= 8 || o.hlc >= then.hlc.saturating_add(secs(6 * 3600));
                return must(spaced, "K5");
            }
        }
        Ok(())
    }

    fn k6(&self, o: &Op) -> Verdict {
        let recent = |op: &&Op| op.hlc.saturating_add(DAY) > o.hlc;
        if o.is_control() {
            let lane: Vec<&Op> = self.graph.lane(o).take_while(recent).collect();
            let commits = lane.iter().filter(|op| op.kind == 18).count();
            let bytes: u64 = lane.iter().map(|op| op.payload_len).sum();
            must(o.kind != 18 || commits <= 32, "K6")?;
            must(bytes <= 8 << 20, "K6")?;
        }
        match &o.act {
            Some(Act::DeviceAdd(_)) => {
                let past = self.graph.past(&o.id);
                let earlier = past.iter().filter_map(|id| self.graph.op(id));
                let earlier = earlier.filter(|op| op.kind == 15 && op.user == o.user);
                must(earlier.filter(recent).count() < 4, "K6")
            }
            Some(Act::Commit(commit)) => {
                let again = |c: &Commit| -> BTreeSet<Id> {
                    let added = c.delta.added.iter().map(|leaf| leaf.device);
                    added.filter(|d| c.delta.removed.contains(d)).collect()
                };
                let devices = again(commit);
                for epoch in self.epochs.chain(&commit.parent) {
                    let Some(then) = self.graph.op(&epoch.commit) else {
                        continue;
                    };
                    let Some(Act::Commit(earlier)) = &then.act else {
                        continue;
                    };
                    let soon = o.hlc < then.hlc.saturating_add(secs(6 * 3600));
                    must(!soon || again(earlier).is_disjoint(&devices), "K6")?;
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// The certificates of an op, each with what its person's key signs.
    fn certs_of<'o>(&self, o: &'o Op) -> Vec<(&'o Cert, Option<Id>)> {
        let messages = raw_certs(o).into_iter().map(|cert| cert_message(&cert));
        let certs: Vec<&Cert> = match &o.act {
            Some(Act::Genesis(genesis)) => vec![&genesis.cert],
            Some(Act::MemberAdd(add)) => add.members.iter().map(|m| &m.cert).collect(),
            Some(Act::DeviceAdd(add)) => vec![&add.cert],
            _ => Vec::new(),
        };
        certs.into_iter().zip(messages).collect()
    }
}

/// A commit by which a device lets itself in (A5).
fn is_external(o: &Op, commit: &Commit) -> bool {
    matches!(commit.delta.added.as_slice(), [leaf] if leaf.device == o.device)
        && commit
            .delta
            .removed
            .iter()
            .all(|device| *device == o.device)
}

/// The certificates in a payload, as they were signed.
fn raw_certs(o: &Op) -> Vec<Cbor> {
    let Some(payload) = o.payload.as_deref().and_then(Cbor::read) else {
        return Vec::new();
    };
    match o.kind {
        0 => payload.get(2).into_iter().cloned().collect(),
        15 => payload.get(0).into_iter().cloned().collect(),
        7 => payload
            .get(0)
            .and_then(Cbor::list)
            .unwrap_or_default()
            .iter()
            .filter_map(|member| member.get(0).cloned())
            .collect(),
        _ => Vec::new(),
    }
}
