//! Why one op came out as it did, in words.

use fold::explain::{ChannelField, Key, PolicyField};
use oplog::store::Store;
use oplog::{Header, OpId, Payload, SpaceId, Timestamp};
use rand_core::CryptoRng;

use super::outcome::Outcome;
use crate::blobs::ChunkStore;
use crate::error::CommandError;
use crate::node::Node;
use crate::space::Space;

/// An op that had a part in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Party {
    /// Which.
    pub op: OpId,
    /// What it does.
    pub kind: &'static str,
    /// Whose name.
    pub author_name: String,
    /// When, by the author's clock.
    pub wall: Timestamp,
}

/// Why an op came out as it did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Explanation {
    /// It is in the log.
    Accepted {
        /// What became of it.
        outcome: Box<Outcome>,
        /// Step by step, in words.
        steps: Vec<String>,
        /// The ops that decided.
        deciding: Vec<Party>,
    },
    /// It was refused when it came, and nobody keeps it.
    Refused {
        /// Which.
        op: OpId,
        /// The rule's id.
        rule: &'static str,
        /// The rule in words.
        text: &'static str,
    },
}

impl<S: Store, C: ChunkStore, R: CryptoRng> Node<S, C, R> {
    /// Explains what became of an op.
    ///
    /// # Errors
    /// When it never came here, or so long ago that its refusal is forgotten; when storage fails.
    pub fn explain(&self, space: SpaceId, op: OpId) -> Result<Explanation, CommandError> {
        let s = self.known_space(&space)?;
        let Some(found) = s.op(&self.store, &op)? else {
            let noted = self.refusal(&space, &op)?.map(|r| (r.rule, r.text));
            let now = || s.log.refused_by(&op).map(|rule| (rule.id(), rule.text()));
            return match noted.or_else(now) {
                Some((rule, text)) => Ok(Explanation::Refused { op, rule, text }),
                None => Err(self.lacks(&space, &op)?),
            };
        };
        let h = found.header();
        let outcome = s.outcome(&self.store, &found)?;
        let mut steps = vec![
            "acceptance: it broke no static rule (S0–S2) when judged by what its author had seen"
                .to_owned(),
        ];
        let rule = outcome
            .rule
            .map_or_else(String::new, |r| format!(" (rule {r})"));
        steps.push(format!("outcome: {}{rule}: {}", outcome.state, outcome.why));
        if h.is_control() && outcome.state == "effective" {
            let payload = found.payload().ok().flatten();
            steps.extend(s.effects(&op, h, payload.as_ref()));
            steps.extend(payload.map_or_else(Vec::new, |p| s.finality_words(&op, &p)));
        }
        let mut deciding = Vec::new();
        for id in &outcome.deciding {
            if let Some(by) = s.op(&self.store, id)? {
                let h = by.header();
                deciding.push(Party {
                    op: *id,
                    kind: h.kind().map_or("unknown", oplog::Kind::name),
                    author_name: s.person(&h.user),
                    wall: h.wall,
                });
            }
        }
        Ok(Explanation::Accepted {
            outcome: Box::new(outcome),
            steps,
            deciding,
        })
    }
}

impl Space {
    /// Says of everything that an effective control op wrote whether it stands, and over what.
    fn effects(&self, op: &OpId, header: &Header, payload: Option<&Payload>) -> Vec<String> {
        let keys = payload.map_or_else(Vec::new, |payload| keys_of(op, header, payload));
        let mut steps = Vec::new();
        for key in keys {
            let what = self.key_words(&key);
            let Some(decision) = self.view.decided_by(&key) else {
                continue;
            };
            let mut text = if decision.winner == *op {
                format!("it decides {what}")
            } else {
                format!(
                    "{what} is decided by {} instead",
                    self.deed(&decision.winner)
                )
            };
            if !decision.over.is_empty() {
                let over: Vec<String> = decision.over.iter().map(|o| self.deed(o)).collect();
                text.push_str(&format!(
                    ", of higher rank (weight {}) than concurrent {}",
                    decision.rank.weight,
                    over.join(", ")
                ));
            }
            steps.push(text);
        }
        steps
    }

    fn key_words(&self, key: &Key) -> String {
        match key {
            Key::Member(user) => format!("whether {} is a member", self.person(user)),
            Key::Role(user) => format!("the role of {}", self.person(user)),
            Key::Mute(user, None) => format!("whether {} is muted", self.person(user)),
            Key::Mute(user, Some(channel)) => format!(
                "whether {} is muted in channel {}",
                self.person(user),
                channel.short()
            ),
            Key::Device(device) => format!("whose device {} is", device.short()),
            Key::DeviceEnd(device) => format!("that device {} is revoked for good", device.short()),
            Key::Channel(id, field) => {
                format!("{field:?} of channel {}", id.short()).to_lowercase()
            }
            Key::Permission(id, verb) => {
                format!("who may {verb:?} in channel {}", id.short()).to_lowercase()
            }
            Key::Policy(field) => format!("the policy {field:?}").to_lowercase(),
            Key::Invite(invite) => format!("whether invite {} is open", invite.short()),
        }
    }
}

/// Returns what an op writes in the fold.
pub(crate) fn keys_of(op: &OpId, header: &Header, payload: &Payload) -> Vec<Key> {
    let both = |user| vec![Key::Member(user), Key::Role(user)];
    match payload {
        Payload::Genesis(_) => both(header.user),
        Payload::MemberAdd(add) => add.members.iter().flat_map(|m| both(m.cert.user)).collect(),
        Payload::Kick(removal) | Payload::Ban(removal) => vec![Key::Member(removal.target)],
        Payload::Unban(unban) => vec![Key::Member(unban.target)],
        Payload::Leave(_) => vec![Key::Member(header.user)],
        Payload::RoleSet(role) => vec![Key::Role(role.target)],
        Payload::Mute(mute) => vec![Key::Mute(mute.target, mute.channel)],
        Payload::Unmute(unmute) => vec![Key::Mute(unmute.target, unmute.channel)],
        Payload::DeviceAdd(add) => vec![Key::Device(add.cert.device)],
        Payload::DeviceRevoke(revoke) => vec![Key::DeviceEnd(revoke.device)],
        Payload::QuorumAct(act) => act
            .action()
            .map_or_else(Vec::new, |action| keys_of(op, header, &action)),
        Payload::EquivocationProof(proof) => {
            proof.device().map(Key::DeviceEnd).into_iter().collect()
        }
        Payload::InviteCreate(_) => vec![Key::Invite(*op)],
        Payload::InviteRevoke(revoke) => vec![Key::Invite(revoke.invite)],
        Payload::ChannelUpdate(update) => {
            let id = update.channel;
            let written = [
                (update.name.is_some(), ChannelField::Name),
                (update.topic.is_some(), ChannelField::Topic),
                (update.category.is_some(), ChannelField::Category),
                (update.archived.is_some(), ChannelField::Archived),
            ];
            let fields = written.into_iter().filter(|(set, _)| *set);
            let fields = fields.map(|(_, field)| Key::Channel(id, field));
            let permissions = update.permissions.iter();
            fields
                .chain(permissions.map(|p| Key::Permission(id, p.verb)))
                .collect()
        }
        Payload::PolicySet(policy) => [
            (policy.name.is_some(), PolicyField::Name),
            (policy.kick_late.is_some(), PolicyField::KickLate),
            (policy.ban_late.is_some(), PolicyField::BanLate),
            (policy.timing_privacy.is_some(), PolicyField::TimingPrivacy),
            (policy.dedup.is_some(), PolicyField::Dedup),
            (policy.seal_every.is_some(), PolicyField::SealEvery),
        ]
        .into_iter()
        .filter(|(set, _)| *set)
        .map(|(_, field)| Key::Policy(field))
        .collect(),
        Payload::Merge
        | Payload::ChannelCreate(_)
        | Payload::Commit(_)
        | Payload::ReaddRequest(_)
        | Payload::CutAttest(_)
        | Payload::CommitComplaint(_)
        | Payload::Seal(_)
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
        | Payload::Unpin => Vec::new(),
    }
}
