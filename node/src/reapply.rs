//! Own acts that do not count after all, and doing them again.
//!
//! A moderator acts on what they have seen. When it turns out that somebody of higher rank had
//! changed things at the same time, the act is void for everybody (`docs/protocol.md` B4). It may
//! still be wanted: then the same is written once more, with all that is known by now in its past.

use fold::content::text::display_name;
use fold::explain::Key;
use oplog::payload::Payload;
use oplog::store::Store;
use oplog::{Hlc, OpId, SpaceId};
use rand_core::CryptoRng;

use crate::audit::keys_of;
use crate::blobs::ChunkStore;
use crate::error::CommandError;
use crate::node::Node;
use crate::space::Space;
use crate::view::VoidedOp;

/// How long somebody is reminded of an act of theirs that is void, in milliseconds. A guess: 30 days.
const REMIND_MS: u64 = 30 * 86_400_000;

struct Act {
    hlc: Hlc,
    op: OpId,
    payload: Payload,
    /// What it decides in the fold.
    writes: Vec<Key>,
}

impl<S: Store, C: ChunkStore, R: CryptoRng> Node<S, C, R> {
    /// Returns own acts of the last 30 days that are void and were not done again, newest first.
    ///
    /// # Errors
    /// When the Space is not here.
    pub fn voided(&self, space: SpaceId) -> Result<Vec<VoidedOp>, CommandError> {
        let s = self.known_space(&space)?;
        let me = self.me.user();
        let since = self.now.as_ms().saturating_sub(REMIND_MS);
        let mut own: Vec<Act> = Vec::new();
        for node in s.log.dag().iter() {
            let h = node.op.header();
            if h.user == me
                && h.hlc.to_wall().as_ms() >= since
                && let Ok(Some(payload)) = node.op.payload()
                && is_act(&payload)
            {
                let (hlc, op) = (h.hlc, node.op.id());
                let writes = keys_of(&op, h, &payload);
                own.push(Act {
                    hlc,
                    op,
                    payload,
                    writes,
                });
            }
        }
        own.sort_unstable_by_key(|act| (act.hlc, act.op));
        let mut voided = Vec::new();
        while let Some(Act {
            op,
            payload,
            writes,
            ..
        }) = own.pop()
        {
            // Whoever goes back and forth means the last of it.
            own.retain(|earlier| {
                let rest = earlier.writes.iter().any(|key| !writes.contains(key));
                rest || (earlier.writes.is_empty() && earlier.payload != payload)
            });
            if let fold::Verdict::Void(reason) = s.view.verdict(&op) {
                voided.push(VoidedOp {
                    op,
                    kind: payload.kind().name(),
                    about: s.about(&payload, &writes),
                    rule: reason.rule(),
                    why: reason.to_string(),
                });
            }
        }
        Ok(voided)
    }

    /// Writes an own act that is void once more.
    pub(crate) fn reapply(&mut self, space: &SpaceId, op: &OpId) -> Result<OpId, CommandError> {
        let s = self.known_space(space)?;
        let Some(found) = s.op(&self.store, op)? else {
            return Err(self.lacks(space, op)?);
        };
        let refuse = |what: &str| {
            Err(CommandError::Invalid {
                what: what.to_owned(),
            })
        };
        if found.header().user != self.me.user() {
            return refuse("this was done by somebody else");
        }
        let payload = found.payload().ok().flatten();
        let Some(payload) = payload.filter(is_act) else {
            return refuse("only acts of moderation can be done again");
        };
        if matches!(s.view.verdict(op), fold::Verdict::Effective) {
            return refuse("this counts already");
        }
        if let Payload::Mute(mute) = &payload
            && mute
                .expires
                .is_some_and(|at| at <= Hlc::from_wall(self.now))
        {
            return refuse("that mute would be over by now");
        }
        // What has been seen of somebody since is inside the cut now.
        let payload = if let Payload::Kick(r) = payload {
            Payload::Kick(self.removal(space, r.target, r.reason, r.late, r.purge)?)
        } else if let Payload::Ban(r) = payload {
            Payload::Ban(self.removal(space, r.target, r.reason, r.late, r.purge)?)
        } else {
            payload
        };
        self.govern(space, payload)
    }
}

impl Space {
    /// Whom or what an act is about, for people.
    fn about(&self, payload: &Payload, writes: &[Key]) -> String {
        match writes.first() {
            Some(Key::Member(user) | Key::Role(user) | Key::Mute(user, _)) => self.person(user),
            Some(Key::Channel(id, _) | Key::Permission(id, _)) => {
                let channel = self.view.channel(id);
                channel.map_or_else(|| id.short(), |c| display_name(&c.name))
            }
            Some(Key::Invite(invite)) => invite.short(),
            Some(Key::Device(device) | Key::DeviceEnd(device)) => device.short(),
            Some(Key::Policy(_)) => self.name(),
            // A channel that was to be made.
            None => {
                if let Payload::ChannelCreate(channel) = payload {
                    display_name(&channel.name)
                } else {
                    self.name()
                }
            }
        }
    }
}

/// Whether this kind is an act of moderation or of running a Space, which can be done again as it is.
const fn is_act(payload: &Payload) -> bool {
    matches!(
        payload,
        Payload::Kick(_)
            | Payload::Ban(_)
            | Payload::Unban(_)
            | Payload::RoleSet(_)
            | Payload::Mute(_)
            | Payload::Unmute(_)
            | Payload::ChannelCreate(_)
            | Payload::ChannelUpdate(_)
            | Payload::PolicySet(_)
            | Payload::InviteRevoke(_)
    )
}
