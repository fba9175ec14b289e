//! Control ops: the permission table (R6), what each kind demands (R8), and undoing (R9, A10).

use crate::authority::{Authority, View};
use crate::ids::OpId;
use crate::keys;
use crate::kind::Kind;
use crate::payload::{
    CutHead, DeviceAdd, DeviceCert, DeviceRevoke, EquivocationProof, InviteCreate, MemberAdd, Mute,
    NewMember, Payload, RoleSet, Unmute, Verb, Weight,
};

use super::{AcceptError, DEVICES_PER_USER_MAX, Judge, Passport, permission};

/// Most commits of a lane in [`FLOOD_SECS`] (K6).
const COMMITS_MAX: u64 = 32;
/// Most bytes of control payload of a lane in [`FLOOD_SECS`] (K6).
const LANE_BYTES_MAX: u64 = 8 * 1024 * 1024;
/// Most DeviceAdds of a person in [`FLOOD_SECS`] (K6).
const DEVICE_ADDS_MAX: usize = 4;
/// The span over which K6 counts, in seconds: 24 hours.
const FLOOD_SECS: u32 = 86_400;

impl<A: Authority> Judge<'_, A> {
    /// Finds by what right the device acts. An identity signature that does not hold is no right.
    pub(super) fn passport(&self, payload: Option<&Payload>) -> Result<Passport, AcceptError> {
        let h = self.op.header();
        match payload {
            Some(Payload::ReaddRequest(_)) => Ok(Passport::Readd),
            Some(Payload::Commit(commit)) if commit.is_external(&h.device) => {
                Ok(Passport::External)
            }
            Some(Payload::DeviceAdd(add)) => match &add.identity_sig {
                None => Ok(Passport::Group),
                Some(sig) => {
                    // Fresh for this op: a certificate's own signature could be replayed (A1).
                    let message = DeviceAdd::identity_message(&h.binding());
                    match keys::verify(h.user.as_bytes(), &message, sig) {
                        Ok(()) if add.cert.device == h.device => Ok(Passport::OwnCertificate),
                        Ok(()) => Ok(Passport::Identity),
                        Err(_) => Err(AcceptError::BadProof),
                    }
                }
            },
            Some(Payload::DeviceRevoke(revoke)) => match &revoke.identity_sig {
                None => Ok(Passport::Group),
                // The identity key vouches for the device that writes, whichever it is: somebody
                // who lost all of theirs has none that may be added before one is revoked.
                Some(sig) => {
                    let message = DeviceRevoke::identity_message(&h.binding(), &revoke.device);
                    keys::verify(h.user.as_bytes(), &message, sig)
                        .map(|()| Passport::OwnCertificate)
                        .map_err(|_which| AcceptError::BadProof)
                }
            },
            _ => Ok(Passport::Group),
        }
    }

    /// R6 for control ops, as far as it does not depend on a target.
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "the table says it for every other kind"
    )]
    pub(super) fn permitted(
        &self,
        kind: Kind,
        payload: &Payload,
        weight: Weight,
    ) -> Result<(), AcceptError> {
        let verb = match payload {
            // By a live invite any member admits; the inviter's permission is in the invite.
            Payload::MemberAdd(add) if add.invite.is_some() => {
                return self.has(Verb::Upkeep, weight, Weight::MEMBER);
            }
            // Stepping down needs nobody's leave.
            Payload::RoleSet(set) if set.target == self.op.header().user => Verb::Upkeep,
            Payload::Mute(Mute { channel, .. }) | Payload::Unmute(Unmute { channel, .. }) => {
                let needs = self.view.least(Verb::Mute, channel.as_ref());
                return self.has(Verb::Mute, weight, needs);
            }
            _ => permission::verb(kind),
        };
        self.may(verb, weight)
    }

    /// R6 on targets, R8 and R9 of each control kind; commits are judged apart.
    pub(super) fn control_kind(
        &self,
        payload: &Payload,
        weight: Weight,
    ) -> Result<(), AcceptError> {
        let user = self.op.header().user;
        match payload {
            Payload::ChannelUpdate(update) => self.channel_exists(&update.channel),
            Payload::PolicySet(set) if set.features.is_some() && weight < Weight::OWNER => {
                Err(AcceptError::OwnersOnly)
            }
            Payload::InviteCreate(invite) => {
                self.may_give_at_most(weight, invite.weight)?;
                match &invite.channel {
                    Some(channel) => self.channel_exists(channel),
                    None => Ok(()),
                }
            }
            Payload::InviteRevoke(revoke) => match self.view.invite(&revoke.invite) {
                Some(_) => Ok(()),
                None => Err(AcceptError::InviteNotLive {
                    invite: revoke.invite,
                }),
            },
            Payload::MemberAdd(add) => self.member_add(add, weight),
            Payload::Kick(kick) => {
                self.outranks(&kick.target)?;
                self.target_is_member(&kick.target)
            }
            Payload::Ban(ban) => {
                self.outranks(&ban.target)?;
                // A stranger or someone kicked may be banned; someone banned may not (A10).
                self.changes_something(self.view.ban(&ban.target).is_none())
            }
            Payload::Unban(unban) => {
                self.outranks(&unban.target)?;
                let Some(ban) = self.view.ban(&unban.target) else {
                    return Err(AcceptError::NoEffect);
                };
                self.may_undo(ban)
            }
            Payload::Leave(_) => self.an_owner_stays(weight),
            Payload::RoleSet(set) => self.role_set(set, weight),
            Payload::Mute(mute) => self.mute(mute),
            Payload::Unmute(unmute) => self.unmute(unmute),
            Payload::DeviceAdd(add) => {
                if add.cert.user != user {
                    return Err(AcceptError::BadCertificate {
                        device: add.cert.device,
                    });
                }
                self.device_is_free(&add.cert)?;
                self.changes_something(self.view.device_user(&add.cert.device).is_none())
            }
            Payload::DeviceRevoke(revoke) => {
                let device = revoke.device;
                if self.view.device_user(&device) == Some(user) {
                    Ok(())
                } else if self.view.is_device_revoked(&device) {
                    Err(AcceptError::DeviceRevoked { device })
                } else {
                    Err(AcceptError::NotOwnDevice { device })
                }
            }
            Payload::EquivocationProof(proof) => self.equivocation(proof),
            Payload::QuorumAct(act) => self.quorum_act(act),
            Payload::CommitComplaint(complaint) => self.complaint(complaint),
            Payload::Seal(seal) => self.seal(seal, weight),
            Payload::CutAttest(attest) => self.removal_seen(&attest.removal),
            Payload::Genesis(_)
            | Payload::Merge
            | Payload::ChannelCreate(_)
            | Payload::PolicySet(_)
            | Payload::Commit(_)
            | Payload::ReaddRequest(_)
            | Payload::ThreadCreate(_)
            | Payload::ThreadUpdate(_)
            | Payload::Post(_)
            | Payload::Edit(_)
            | Payload::React(_)
            | Payload::Unreact(_)
            | Payload::SelfDelete
            | Payload::ModTombstone(_)
            | Payload::ModRestore
            | Payload::Pin
            | Payload::Unpin => Ok(()),
        }
    }

    /// K6, but for re-adds: floods of the control plane.
    pub(super) fn no_flood(&self, kind: Kind) -> Result<(), AcceptError> {
        let h = self.op.header();
        let since = day_before(h.hlc);
        let (commits, bytes) = h
            .back
            .map_or((0, 0), |back| self.records.load_since(&back, since));
        if kind == Kind::Commit && commits >= COMMITS_MAX {
            return Err(AcceptError::TooManyCommits);
        }
        if bytes + u64::from(h.payload_len) > LANE_BYTES_MAX {
            return Err(AcceptError::TooManyBytes);
        }
        if kind == Kind::DeviceAdd {
            let adds = self.records.device_adds_since(&h.user, since);
            let seen = adds.filter(|id| self.dag.in_past(id, self.past)).count();
            if seen >= DEVICE_ADDS_MAX {
                return Err(AcceptError::TooManyNewDevices);
            }
        }
        Ok(())
    }

    fn member_add(&self, add: &MemberAdd, weight: Weight) -> Result<(), AcceptError> {
        let invite = match &add.invite {
            None => None,
            Some(id) => Some(self.live_invite(id, add.members.len(), weight)?),
        };
        let mut devices = std::collections::BTreeSet::new();
        for member in &add.members {
            let user = member.cert.user;
            match &invite {
                Some(invite) if invite.weight != member.weight => {
                    return Err(AcceptError::GrantTooHigh {
                        weight: member.weight,
                    });
                }
                Some(_) => {}
                None => self.may_admit_as(weight, member.weight)?,
            }
            if let Some(ban) = self.view.ban(&user) {
                return Err(AcceptError::Banned { user, by: ban.op });
            }
            if self.view.weight(&user).is_some() {
                return Err(AcceptError::AlreadyMember { user });
            }
            if !devices.insert(member.cert.device) {
                return Err(AcceptError::DeviceTaken {
                    device: member.cert.device,
                });
            }
            self.device_is_free(&member.cert)?;
            if let Some(invite) = &invite {
                check_proof(invite, member)?;
            }
        }
        Ok(())
    }

    /// R6, R8 and A17: the invite lives, has not expired and has room in this past.
    fn live_invite(
        &self,
        id: &OpId,
        coming: usize,
        weight: Weight,
    ) -> Result<InviteCreate, AcceptError> {
        let Some((invite, _)) = self.view.invite(id) else {
            return Err(AcceptError::InviteNotLive { invite: *id });
        };
        if self.op.header().hlc >= invite.expires {
            return Err(AcceptError::InviteExpired { invite: *id });
        }
        if invite.approval {
            self.may(Verb::Invite, weight)?;
        }
        let uses = u64::from(self.view.invite_uses(id)) + u64::try_from(coming).unwrap_or(u64::MAX);
        if uses > u64::from(invite.max_uses) {
            return Err(AcceptError::InviteUsedUp { invite: *id });
        }
        Ok(invite)
    }

    fn role_set(&self, set: &RoleSet, weight: Weight) -> Result<(), AcceptError> {
        let Some(current) = self.view.weight(&set.target) else {
            return Err(AcceptError::TargetNotMember { target: set.target });
        };
        if set.target == self.op.header().user && self.quorum.is_none() {
            // Only down; a role one has already, given again, would cost seniority for nothing.
            if set.weight > current {
                return Err(AcceptError::GrantTooHigh { weight: set.weight });
            }
            self.changes_something(set.weight < current)?;
            return self.an_owner_stays(weight);
        }
        self.outranks(&set.target)?;
        // From admin up a quorum is all of them, and then what matters is that they may at all.
        let may_give = if self.quorum.is_some() {
            set.weight < Weight::OWNER || self.view.owner_removable()
        } else {
            weight >= permission::least_to_give(set.weight) && set.weight <= weight
        };
        if !may_give {
            return Err(AcceptError::GrantTooHigh { weight: set.weight });
        }
        self.changes_something(set.weight != current)?;
        match self.view.demotion(&set.target) {
            Some(demotion) if set.weight > current => self.may_undo(demotion),
            _ => Ok(()),
        }
    }

    fn mute(&self, mute: &Mute) -> Result<(), AcceptError> {
        self.outranks(&mute.target)?;
        self.target_is_member(&mute.target)?;
        if let Some(channel) = &mute.channel {
            self.channel_exists(channel)?;
        }
        let hlc = self.op.header().hlc;
        self.changes_something(mute.expires.is_none_or(|end| end > hlc))?;
        match self.view.mute_at_key(&mute.target, mute.channel.as_ref()) {
            None => Ok(()),
            Some(standing) => self.changes_something(match (standing.expires, mute.expires) {
                (None, _) => false,
                (Some(_), None) => true,
                (Some(old), Some(new)) => new > old,
            }),
        }
    }

    fn unmute(&self, unmute: &Unmute) -> Result<(), AcceptError> {
        self.outranks(&unmute.target)?;
        let hlc = self.op.header().hlc;
        let standing = self
            .view
            .mute_at_key(&unmute.target, unmute.channel.as_ref());
        match standing {
            Some(mute) if mute.expires.is_none_or(|end| end > hlc) => self.may_undo(mute),
            _ => Err(AcceptError::NoEffect),
        }
    }

    fn device_is_free(&self, cert: &DeviceCert) -> Result<(), AcceptError> {
        let (device, user) = (cert.device, cert.user);
        if !cert.is_signed() {
            return Err(AcceptError::BadCertificate { device });
        }
        if self.view.is_device_revoked(&device) {
            return Err(AcceptError::DeviceRevoked { device });
        }
        match self.view.device_user(&device) {
            Some(owner) if owner != user => Err(AcceptError::DeviceTaken { device }),
            None if self.view.device_count(&user) >= DEVICES_PER_USER_MAX => {
                Err(AcceptError::TooManyDevices { user })
            }
            _ => Ok(()),
        }
    }

    /// B11: both headers stand on their own (S0), and no honest device signs both.
    fn equivocation(&self, proof: &EquivocationProof) -> Result<(), AcceptError> {
        let h = self.op.header();
        let wrong = |detail| Err(AcceptError::NotEquivocation { detail });
        let (Some(a), Some(b)) = (proof.first.verify(), proof.second.verify()) else {
            return wrong("a header is none that its device signed");
        };
        if a.space != h.space || b.space != h.space {
            return wrong("a header is of another space");
        }
        if a.lane() != b.lane() || a.seq != b.seq {
            return wrong("the headers stand at different places");
        }
        let of_device = |head: &CutHead| head.device == a.device;
        if !proof.cut.iter().flat_map(|c| &c.heads).all(of_device) {
            return wrong("the cut names another device");
        }
        // One cut a person: that is all the word that anybody has in this.
        let earlier = self.records.proofs(&h.user, &a.device);
        self.changes_something(!earlier.iter().any(|id| self.dag.in_past(id, self.past)))
    }

    /// R8: what an attest adds to is in its past, and takes somebody out.
    fn removal_seen(&self, removal: &OpId) -> Result<(), AcceptError> {
        let node = self.dag.node(removal);
        let kind = node.and_then(|node| node.op.header().kind());
        let by_quorum = || match node.and_then(|node| node.op.payload().ok().flatten()) {
            Some(Payload::QuorumAct(act)) => {
                matches!(act.action(), Some(Payload::Kick(_) | Payload::Ban(_)))
            }
            _ => false,
        };
        let takes_out = match kind {
            Some(Kind::Kick | Kind::Ban | Kind::DeviceRevoke | Kind::EquivocationProof) => true,
            Some(Kind::QuorumAct) => by_quorum(),
            _ => false,
        };
        if takes_out && self.dag.in_past(removal, self.past) {
            Ok(())
        } else {
            Err(AcceptError::NotRemoval { op: *removal })
        }
    }

    fn channel_exists(&self, channel: &crate::ids::ChannelId) -> Result<(), AcceptError> {
        if self.view.has_channel(channel) {
            Ok(())
        } else {
            Err(AcceptError::NoChannel { channel: *channel })
        }
    }

    fn target_is_member(&self, target: &crate::ids::UserId) -> Result<(), AcceptError> {
        match self.view.weight(target) {
            Some(_) => Ok(()),
            None => Err(AcceptError::TargetNotMember { target: *target }),
        }
    }

    /// R6, granting: never more than one has. The rank that results is lower by itself, since a
    /// new grant is always junior to the giver's own, which it has in its past.
    fn may_give_at_most(&self, own: Weight, given: Weight) -> Result<(), AcceptError> {
        if given <= own {
            Ok(())
        } else {
            Err(AcceptError::GrantTooHigh { weight: given })
        }
    }

    /// R6: who may admit may admit members; a higher role at once needs the right to give roles,
    /// or the permission `invite` would be worth as much as `roles`.
    fn may_admit_as(&self, own: Weight, given: Weight) -> Result<(), AcceptError> {
        if given.role_name().is_none()
            || (given > Weight::MEMBER && own < permission::least_to_give(given))
        {
            return Err(AcceptError::GrantTooHigh { weight: given });
        }
        self.may_give_at_most(own, given)
    }

    /// R6: a Space without an owner could never change its policies again.
    fn an_owner_stays(&self, weight: Weight) -> Result<(), AcceptError> {
        if weight < Weight::OWNER {
            return Ok(());
        }
        let author = self.op.header().user;
        let devices = self.view.authorised_devices();
        let another = devices
            .values()
            .any(|user| *user != author && self.view.weight(user) == Some(Weight::OWNER));
        if another {
            Ok(())
        } else {
            Err(AcceptError::LastOwner)
        }
    }

    /// R9: the rank of all that stands, not only of the last (A10).
    fn may_undo(&self, standing: crate::authority::Restriction) -> Result<(), AcceptError> {
        if self.rank().is_some_and(|own| own >= standing.rank) {
            Ok(())
        } else {
            Err(AcceptError::UndoRank {
                undone: standing.op,
            })
        }
    }

    fn changes_something(&self, changes: bool) -> Result<(), AcceptError> {
        if changes {
            Ok(())
        } else {
            Err(AcceptError::NoEffect)
        }
    }
}

fn check_proof(invite: &InviteCreate, member: &NewMember) -> Result<(), AcceptError> {
    let Some(proof) = &member.proof else {
        return Err(AcceptError::BadProof);
    };
    let message = NewMember::proof_message(&invite.key, &member.cert, &member.key_package);
    keys::verify(invite.key.as_bytes(), &message, proof).map_err(|_which| AcceptError::BadProof)
}

fn day_before(hlc: crate::hlc::Hlc) -> crate::hlc::Hlc {
    crate::hlc::Hlc::from_raw(hlc.as_raw().saturating_sub(u64::from(FLOOD_SECS) << 32))
}
