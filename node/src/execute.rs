//! Commands become ops: who is asked for what, and what the op says.
//!
//! Whether the person may do it is not decided here: the op is put through the same
//! acceptance as everybody's, and its refusal is the command's error. Nothing is
//! stored then.

use oplog::payload::{
    Attachment, ChannelCreate, ChannelKind, ChannelUpdate, Edit, History, InviteCreate,
    InviteRevoke, LatePolicy, Leave, ModTombstone, Mute, PolicySet, Post, PurgeFrom, React,
    Removal, RoleSet, ThreadCreate, ThreadUpdate, Unban, Unmute,
};
use oplog::store::Store;
use oplog::{
    ChannelId, Digest, Hlc, Kind, OpId, Payload, Scope, Secret, SecretKey, SpaceId, UserId,
};
use rand_core::CryptoRng;

use crate::blobs::ChunkStore;
use crate::command::{Answer, Command, CommandId};
use crate::error::CommandError;
use crate::invite::{InviteLink, LINK_RELAYS_MAX};
use crate::mention;
use crate::node::{Node, Waiting};

type Outcome = Result<Option<Answer>, CommandError>;

impl<S: Store, C: ChunkStore, R: CryptoRng> Node<S, C, R> {
    /// Carries a command out. `None`: the answer comes later.
    pub(crate) fn execute(&mut self, id: CommandId, command: Command) -> Outcome {
        self.need_room_for(&command)?;
        match command {
            Command::CreateSpace { name } => self
                .create_space(&name)
                .map(|space| Some(Answer::Space(space))),
            Command::FoundSpace {
                name,
                owner_removable,
            } => self
                .found_space(&name, owner_removable)
                .map(|space| Some(Answer::Space(space))),
            Command::CreateChannel {
                space,
                name,
                kind,
                topic,
                category,
                history,
            } => {
                let payload = ChannelCreate {
                    name,
                    kind,
                    topic,
                    category,
                    history,
                    private: false,
                };
                let op = self.govern(&space, Payload::ChannelCreate(payload))?;
                Ok(Some(Answer::Channel(ChannelId::of_create(&op))))
            }
            Command::UpdateChannel {
                space,
                channel,
                name,
                topic,
                archived,
                mut permissions,
            } => {
                permissions.sort_unstable();
                let payload = ChannelUpdate {
                    channel,
                    name,
                    topic,
                    category: None,
                    archived,
                    permissions,
                };
                self.govern(&space, Payload::ChannelUpdate(payload))
                    .map(done)
            }
            Command::SetPolicy {
                space,
                name,
                kick_late,
                ban_late,
                seal_every,
            } => {
                let payload = PolicySet {
                    name,
                    kick_late,
                    ban_late,
                    seal_every,
                    ..PolicySet::default()
                };
                self.govern(&space, Payload::PolicySet(payload)).map(done)
            }
            Command::Seal { space } => self.seal_now(&space).map(op),
            Command::CreateInvite {
                space,
                weight,
                max_uses,
                valid_secs,
                channel,
                approval,
            } => {
                let secret = Secret::generate(&mut self.rng);
                let expires = Hlc::from_wall(self.now.plus_ms(valid_secs.saturating_mul(1000)));
                let key = Digest::from_bytes(SecretKey::from_seed(secret.as_bytes()).public());
                let payload = InviteCreate {
                    key,
                    weight,
                    max_uses,
                    expires,
                    channel,
                    approval,
                };
                let op = self.govern(&space, Payload::InviteCreate(payload))?;
                let link = self.invite_link(&space, op, secret)?;
                Ok(Some(Answer::Invite { link, op }))
            }
            Command::RevokeInvite { space, invite } => self
                .govern(&space, Payload::InviteRevoke(InviteRevoke { invite }))
                .map(done),
            Command::Join { link } => self.join(id, &link),
            Command::Keep { name, value } => self
                .keep_for_shell(&name, &value)
                .map(|()| Some(Answer::Done)),
            Command::CancelJoin { space } => self.cancel_join(space).map(|()| Some(Answer::Done)),
            Command::Approve { space, user } => {
                self.approve(&space, &user).map(|()| Some(Answer::Done))
            }
            Command::CreateThread {
                space,
                channel,
                title,
                mut tags,
                body,
                attachments,
            } => {
                tags.sort_unstable();
                tags.dedup();
                let mentions = self.mentions(&space, &body)?;
                let payload = ThreadCreate {
                    title,
                    tags,
                    body,
                    attachments,
                    mentions,
                };
                self.say(&space, channel, Payload::ThreadCreate(payload), &[])
                    .map(op)
            }
            Command::UpdateThread {
                space,
                thread,
                title,
                mut tags,
            } => {
                if let Some(tags) = &mut tags {
                    tags.sort_unstable();
                    tags.dedup();
                }
                self.act_on(
                    &space,
                    thread,
                    Payload::ThreadUpdate(ThreadUpdate { title, tags }),
                )
                .map(op)
            }
            Command::Post {
                space,
                channel,
                thread,
                reply_to,
                body,
                attachments,
            } => self
                .post_message(&space, channel, thread, reply_to, body, attachments)
                .map(op),
            Command::Edit {
                space,
                target,
                body,
            } => {
                let mentions = self.mentions(&space, &body)?;
                self.act_on(&space, target, Payload::Edit(Edit { body, mentions }))
                    .map(op)
            }
            Command::Delete {
                space,
                target,
                reason,
            } => {
                let own = self.header(&space, &target)?.user == self.me.user();
                let payload = if own {
                    Payload::SelfDelete
                } else {
                    Payload::ModTombstone(ModTombstone { reason })
                };
                self.act_on(&space, target, payload).map(op)
            }
            Command::Restore { space, target } => self.restore_post(&space, target).map(op),
            Command::React {
                space,
                target,
                emoji,
                add,
            } => {
                let payload = React { emoji };
                let payload = if add {
                    Payload::React(payload)
                } else {
                    Payload::Unreact(payload)
                };
                self.act_on(&space, target, payload).map(op)
            }
            Command::Pin { space, target, pin } => self
                .act_on(
                    &space,
                    target,
                    if pin { Payload::Pin } else { Payload::Unpin },
                )
                .map(op),
            Command::SetRole {
                space,
                user,
                weight,
                reason,
            } => self
                .govern(
                    &space,
                    Payload::RoleSet(RoleSet {
                        target: user,
                        weight,
                        reason,
                    }),
                )
                .map(op),
            Command::Mute {
                space,
                user,
                channel,
                for_secs,
                reason,
            } => {
                let expires =
                    for_secs.map(|s| Hlc::from_wall(self.now.plus_ms(s.saturating_mul(1000))));
                self.govern(
                    &space,
                    Payload::Mute(Mute {
                        target: user,
                        channel,
                        expires,
                        reason,
                    }),
                )
                .map(op)
            }
            Command::Unmute {
                space,
                user,
                channel,
            } => self
                .govern(
                    &space,
                    Payload::Unmute(Unmute {
                        target: user,
                        channel,
                    }),
                )
                .map(op),
            Command::Kick {
                space,
                user,
                reason,
                late,
                purge,
            } => {
                let removal = self.removal(&space, user, reason, late, purge)?;
                self.govern(&space, Payload::Kick(removal)).map(op)
            }
            Command::Ban {
                space,
                user,
                reason,
                late,
                purge,
            } => {
                let removal = self.removal(&space, user, reason, late, purge)?;
                self.govern(&space, Payload::Ban(removal)).map(op)
            }
            Command::Unban { space, user } => self
                .govern(&space, Payload::Unban(Unban { target: user }))
                .map(op),
            Command::Leave { space, reason } => self
                .govern(&space, Payload::Leave(Leave { reason }))
                .map(op),
            Command::RevokeDevice {
                space,
                device,
                compromised,
                reason,
            } => self
                .revoke_device(&space, device, compromised, reason)
                .map(op),
            Command::Reapply { space, op: done } => self.reapply(&space, &done).map(op),
            Command::ProposeQuorum {
                space,
                act,
                valid_secs,
                device,
            } => self
                .propose(space, *act, valid_secs, device)
                .map(|motion| Some(Answer::Motion(Box::new(motion)))),
            Command::KeepMotion { motion } => self
                .keep_motion(&motion, false)
                .map(|()| Some(Answer::Done)),
            Command::BringQuorum { copies } => self.bring(&copies).map(op),
            Command::Attest { space, target } => self.attest(&space, &target).map(op),
            Command::Freeze { space, device } => self.freeze(&space, device).map(op),
            Command::UpdateKeys { space } => self.update_keys(&space).map(op),
            Command::Sync => {
                let (received, sent) = (self.received_count, self.sent_count);
                self.waiting.push((id, Waiting::Sync { received, sent }));
                Ok(None)
            }
            Command::FetchBlob { space, attachment } => self.fetch_blob(id, &space, &attachment),
            Command::Upload { space, chunks } => {
                self.known_space(&space)?;
                self.queue_upload(&chunks);
                Ok(Some(Answer::Done))
            }
            Command::AddRelay { address } => {
                self.add_relay(&address);
                Ok(Some(Answer::Done))
            }
            Command::RemoveRelay { address } => {
                self.remove_relay(&address).map(|()| Some(Answer::Done))
            }
            Command::Import { bundle } => self.import(id, &bundle),
            Command::DangerPublishForged {
                space,
                channel,
                body,
            } => self.danger_publish_forged(space, channel, &body).map(op),
        }
    }

    /// Writes a control op, then brings the group in line with it.
    pub(crate) fn govern(
        &mut self,
        space: &SpaceId,
        payload: Payload,
    ) -> Result<OpId, CommandError> {
        let op = self.write(space, Scope::Control, payload, Vec::new())?;
        self.reconcile_own(space)?;
        Ok(op)
    }

    /// Says who is removed and what we had seen of them.
    pub(crate) fn removal(
        &self,
        space: &SpaceId,
        target: UserId,
        reason: String,
        late: Option<LatePolicy>,
        mut purge: Vec<PurgeFrom>,
    ) -> Result<Removal, CommandError> {
        purge.sort_unstable();
        purge.dedup();
        let cut = self.cut_of(space, &target)?;
        Ok(Removal {
            target,
            cut,
            late,
            reason,
            purge,
        })
    }

    fn say(
        &mut self,
        space: &SpaceId,
        channel: ChannelId,
        payload: Payload,
        refs: &[OpId],
    ) -> Result<OpId, CommandError> {
        self.write(space, Scope::Channel(channel), payload, refs.to_vec())
    }

    /// Writes an op that acts on one earlier op, in that op's channel.
    pub(crate) fn act_on(
        &mut self,
        space: &SpaceId,
        target: OpId,
        payload: Payload,
    ) -> Result<OpId, CommandError> {
        let scope = self.header(space, &target)?.scope;
        if scope == Scope::Control {
            return Err(CommandError::UnknownOp { op: target });
        }
        self.write(space, scope, payload, vec![target])
    }

    fn post_message(
        &mut self,
        space: &SpaceId,
        channel: ChannelId,
        thread: Option<OpId>,
        reply_to: Option<OpId>,
        body: String,
        attachments: Vec<Attachment>,
    ) -> Result<OpId, CommandError> {
        let mentions = self.mentions(space, &body)?;
        let mut refs: Vec<OpId> = Vec::new();
        if let Some(thread) = thread {
            let header = self.header(space, &thread)?;
            if header.kind() != Some(Kind::ThreadCreate) || header.scope != Scope::Channel(channel)
            {
                return Err(CommandError::UnknownOp { op: thread });
            }
            refs.push(thread);
        }
        if let Some(reply_to) = reply_to {
            if self.header(space, &reply_to)?.scope != Scope::Channel(channel) {
                return Err(CommandError::UnknownOp { op: reply_to });
            }
            refs.push(reply_to);
        }
        // The newest post seen here: whoever answers says what they had read, which orders the two.
        refs.extend(self.newest_in(space, channel, thread)?);
        refs.sort_unstable();
        refs.dedup();
        self.say(
            space,
            channel,
            Payload::Post(Post {
                thread,
                reply_to,
                body,
                attachments,
                mentions,
            }),
            &refs,
        )
    }

    /// Returns the members that a text names as `@name` or `@id`.
    fn mentions(&self, space: &SpaceId, body: &str) -> Result<Vec<UserId>, CommandError> {
        if !body.contains('@') {
            return Ok(Vec::new());
        }
        let members = self.members(*space)?;
        let people: Vec<(UserId, &str)> = members
            .iter()
            .filter(|member| member.weight.is_some())
            .map(|member| (member.user, member.name.as_str()))
            .collect();
        let found = mention::find(body, &people);
        let mut found: Vec<UserId> = found.into_iter().map(|mention| mention.user).collect();
        found.sort_unstable();
        found.dedup();
        found.truncate(oplog::payload::MENTIONS_MAX);
        Ok(found)
    }

    fn invite_link(
        &self,
        space: &SpaceId,
        invite: OpId,
        secret: Secret,
    ) -> Result<InviteLink, CommandError> {
        let name = self.known_space(space)?.name();
        let relays = self
            .relays
            .values()
            .map(|r| r.address.clone())
            .take(LINK_RELAYS_MAX)
            .collect();
        Ok(InviteLink {
            space: *space,
            invite,
            secret,
            relays,
            name,
        })
    }

    /// The channels that a new Space begins with.
    pub(crate) fn first_channels() -> [ChannelCreate; 3] {
        let channel = |name: &str, kind, topic: &str| ChannelCreate {
            name: name.to_owned(),
            kind,
            topic: topic.to_owned(),
            category: None,
            history: History::Recent,
            private: false,
        };
        [
            channel(
                "announcements",
                ChannelKind::Announcement,
                "News from those who run this Space",
            ),
            channel("general", ChannelKind::Chat, "Whatever comes up"),
            channel("forum", ChannelKind::Forum, "Topics worth a title"),
        ]
    }
}

const fn done(_: OpId) -> Option<Answer> {
    Some(Answer::Done)
}

const fn op(id: OpId) -> Option<Answer> {
    Some(Answer::Op(id))
}
