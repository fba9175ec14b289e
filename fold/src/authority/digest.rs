//! One hash for a whole view, so that replicas can compare what they hold.
//!
//! Covers everything a view answers, and nothing that depends on how the view came about.

use minicbor::encode::Encoder;
use oplog::authority::View;
use oplog::hash::H;
use oplog::{Digest, OpId};

use super::act::Act;
use super::state::{AuthorityView, Logged, Register};

impl AuthorityView {
    /// Returns a hash of this state: equal exactly if two views hold the same.
    #[must_use]
    pub fn state_hash(&self) -> Digest {
        Digest::from_bytes(H::new("authority-view").field(&self.canonical()).finish())
    }

    fn canonical(&self) -> Vec<u8> {
        let mut out = Vec::new();
        let written = self.write(&mut Encoder::new(&mut out));
        debug_assert!(written.is_ok(), "writing to a Vec cannot fail");
        out
    }

    fn write(&self, e: &mut Encoder<&mut Vec<u8>>) -> Written {
        e.array(11)?;
        ids(e, self.frontier.iter())?;
        e.map(len(self.users.len()))?;
        for (user, state) in &self.users {
            e.encode(user)?.array(10)?;
            register(e, &state.member)?;
            register(e, &state.role)?;
            register(e, &state.added)?;
            logs(e, &state.member_log)?;
            logs(e, &state.role_log)?;
            acts(e, &state.bans)?;
            acts(e, &state.demotions)?;
            e.array(len(state.removals.len()))?;
            for act in state.removals.values() {
                e.encode(act.id)?;
            }
            e.array(len(state.devices.len()))?;
            for device in &state.devices {
                e.encode(device)?;
            }
            e.array(len(state.dead_devices.len()))?;
            for device in &state.dead_devices {
                e.encode(device)?;
            }
        }
        e.map(len(self.devices.len()))?;
        for (device, state) in &self.devices {
            e.encode(device)?.array(4)?;
            register(e, &state.first)?;
            register(e, &state.newest)?;
            acts(e, &state.revokes)?;
            acts(e, &state.proofs)?;
        }
        e.map(len(self.mutes.len()))?;
        for ((user, channel), state) in &self.mutes {
            e.array(2)?.encode(user)?.encode(channel)?.array(2)?;
            register(e, &state.register)?;
            acts(e, &state.standing)?;
        }
        e.map(len(self.channels.len()))?;
        for (id, state) in &self.channels {
            e.encode(id)?.array(5)?;
            for field in [&state.name, &state.topic, &state.category, &state.archived] {
                register(e, field)?;
            }
            e.map(len(state.permissions.len()))?;
            for (verb, writers) in &state.permissions {
                e.encode(verb)?;
                register(e, writers)?;
            }
        }
        e.array(7)?;
        let policy = &self.policy;
        for field in [
            &policy.name,
            &policy.kick_late,
            &policy.ban_late,
            &policy.timing_privacy,
            &policy.dedup,
            &policy.seal_every,
        ] {
            register(e, field)?;
        }
        e.u64(policy.features.bits())?;
        e.map(len(self.invites.len()))?;
        for (op, state) in &self.invites {
            e.encode(op)?.array(2)?.u32(state.uses)?;
            logs(e, &state.revokes)?;
        }
        e.map(len(self.key_packages.len()))?;
        for device in self.key_packages.keys() {
            e.encode(device)?.encode(self.key_packages(device))?;
        }
        e.map(len(self.attests.len()))?;
        for (removal, attests) in &self.attests {
            e.encode(removal)?;
            acts(e, attests)?;
        }
        acts(e, &self.seals.all)?;
        e.map(len(self.void.len()))?;
        for (op, verdict) in &self.void {
            e.encode(op)?;
            if let Some(reason) = verdict.reason() {
                e.array(2)?.str(reason.rule())?;
                ids(e, reason.deciding().iter())?;
            } else {
                e.null()?;
            }
        }
        Ok(())
    }
}

type Written = Result<(), minicbor::encode::Error<core::convert::Infallible>>;

fn register(e: &mut Encoder<&mut Vec<u8>>, register: &Register) -> Written {
    ids(e, register.0.iter().map(|act| &act.id))
}

fn acts(e: &mut Encoder<&mut Vec<u8>>, acts: &[std::sync::Arc<Act>]) -> Written {
    ids(e, acts.iter().map(|act| &act.id))
}

fn logs(e: &mut Encoder<&mut Vec<u8>>, logs: &[Logged]) -> Written {
    e.array(len(logs.len()))?;
    for entry in logs {
        e.array(2)?.encode(entry.act.id)?.bool(entry.effective)?;
    }
    Ok(())
}

fn ids<'a>(e: &mut Encoder<&mut Vec<u8>>, ids: impl ExactSizeIterator<Item = &'a OpId>) -> Written {
    e.array(len(ids.len()))?;
    for id in ids {
        e.encode(id)?;
    }
    Ok(())
}

fn len(n: usize) -> u64 {
    n as u64
}
