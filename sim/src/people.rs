//! What people do, with whatever they see at that moment.

use node::view::{PostState, PostView};
use node::{ChannelKind, Command, LatePolicy, Weight};
use oplog::payload::History;
use oplog::{ChannelId, OpId, SpaceId, UserId};

use crate::schedule::Act;
use crate::trace::Kind;
use crate::world::World;

/// Words that no relay may ever see.
pub(crate) const CANARY: &str = "xyzzy-plaintext-canary";

impl World {
    /// Lets somebody do something, if there is anything to do it with.
    pub(crate) fn act(&mut self, who: u16, act: Act) {
        if !self.runs(who) || self.device(who).node.is_none() {
            return;
        }
        let text = format!("{act:?}");
        self.note(Some(who), None, Kind::Act, text.as_bytes(), || text.clone());
        if let Act::Cheat { class, nth } = act {
            self.cheat(who, class, nth);
            return;
        }
        if let Act::Sign = act {
            self.sign(who);
            return;
        }
        if let Some(command) = self.command_of(who, &act) {
            self.command(who, command, Some(act));
        }
    }

    fn command_of(&mut self, who: u16, act: &Act) -> Option<Command> {
        if let Act::Found = act {
            let name = "the world".to_owned();
            return self
                .space
                .is_none()
                .then_some(Command::CreateSpace { name });
        }
        if let Act::Join = act {
            let link = self.links.last().cloned()?;
            return Some(Command::Join { link });
        }
        let space = self.space?;
        self.devices[usize::from(who)]
            .node
            .as_ref()?
            .members(space)
            .ok()?;
        Some(match act {
            Act::Found | Act::Join | Act::Sign | Act::Cheat { .. } => return None,
            Act::Seal => Command::Seal { space },
            Act::Attest { nth } => {
                let late = |p: &PostView| matches!(p.state, PostState::Late { .. });
                let mut posts = self.posts(who, space);
                posts.retain(late);
                Command::Attest {
                    space,
                    target: nth_of(&posts, *nth)?.id,
                }
            }
            Act::Freeze { nth } => {
                let seen = self.node(who)?.equivocations(space).ok()?;
                Command::Freeze {
                    space,
                    device: nth_of(&seen, *nth)?.device,
                }
            }
            Act::Propose { whom, deed } => Command::ProposeQuorum {
                space,
                act: Box::new(self.proposed(space, *whom, *deed)?),
                valid_secs: 86_400,
                device: None,
            },
            Act::Bring => {
                let own = self.node(who)?.me().device;
                let newest = self.motions.iter().rfind(|motion| motion.device == own)?;
                let copies = self.motions.iter().filter(|m| m.is_copy_of(newest));
                Command::BringQuorum {
                    copies: copies.cloned().collect(),
                }
            }
            Act::Sync => Command::Sync,
            Act::Invite { uses, approval } => Command::CreateInvite {
                space,
                weight: Weight::MEMBER,
                max_uses: *uses,
                valid_secs: 30 * 86_400,
                channel: None,
                approval: *approval,
            },
            Act::Approve => {
                let request = self.node(who)?.join_requests(space).ok()?;
                Command::Approve {
                    space,
                    user: request.first()?.user,
                }
            }
            Act::RevokeInvite { nth } => {
                let open = self.node(who)?.invites(space).ok()?;
                Command::RevokeInvite {
                    space,
                    invite: nth_of(&open, *nth)?.op,
                }
            }
            Act::Post { channel, len } => Command::Post {
                space,
                channel: self.channel(who, *channel)?,
                thread: None,
                reply_to: None,
                body: self.words(who, *len),
                attachments: Vec::new(),
            },
            Act::Thread { channel, len } => Command::CreateThread {
                space,
                channel: self.channel(who, *channel)?,
                title: "a thread".to_owned(),
                tags: vec!["tag".to_owned()],
                body: self.words(who, *len),
                attachments: Vec::new(),
            },
            Act::Reply { nth, len } => {
                let post = self.post(who, space, *nth)?;
                let thread = if post.title.is_some() {
                    Some(post.id)
                } else {
                    post.thread
                };
                Command::Post {
                    space,
                    channel: post.channel,
                    thread,
                    reply_to: Some(post.id),
                    body: self.words(who, *len),
                    attachments: Vec::new(),
                }
            }
            Act::Edit { nth } => {
                let me = self.node(who)?.me().user;
                let own: Vec<PostView> = self
                    .posts(who, space)
                    .into_iter()
                    .filter(|p| p.author == me)
                    .collect();
                Command::Edit {
                    space,
                    target: nth_of(&own, *nth)?.id,
                    body: self.words(who, 20),
                }
            }
            Act::Delete { nth } => Command::Delete {
                space,
                target: self.post(who, space, *nth)?.id,
                reason: "because".to_owned(),
            },
            Act::Restore { nth } => {
                let hidden: Vec<PostView> = self
                    .posts(who, space)
                    .into_iter()
                    .filter(|p| matches!(p.state, PostState::Hidden { .. }))
                    .collect();
                Command::Restore {
                    space,
                    target: nth_of(&hidden, *nth)?.id,
                }
            }
            Act::React { nth, emoji, add } => Command::React {
                space,
                target: self.post(who, space, *nth)?.id,
                emoji: ["+1", "heart", "eyes"][usize::from(*emoji) % 3].to_owned(),
                add: *add,
            },
            Act::Pin { nth, pin } => Command::Pin {
                space,
                target: self.post(who, space, *nth)?.id,
                pin: *pin,
            },
            Act::Kick { whom } => Command::Kick {
                space,
                user: self.user(*whom)?,
                reason: String::new(),
                late: None,
                purge: Vec::new(),
            },
            Act::Ban { whom } => Command::Ban {
                space,
                user: self.user(*whom)?,
                reason: String::new(),
                late: None,
                purge: Vec::new(),
            },
            Act::Unban { whom } => Command::Unban {
                space,
                user: self.user(*whom)?,
            },
            Act::Mute { whom, secs } => Command::Mute {
                space,
                user: self.user(*whom)?,
                channel: None,
                for_secs: Some(u64::from(*secs)),
                reason: String::new(),
            },
            Act::Unmute { whom } => Command::Unmute {
                space,
                user: self.user(*whom)?,
                channel: None,
            },
            Act::Role { whom, weight } => Command::SetRole {
                space,
                user: self.user(*whom)?,
                weight: [
                    Weight::GUEST,
                    Weight::MEMBER,
                    Weight::MODERATOR,
                    Weight::ADMIN,
                ][usize::from(*weight) % 4],
                reason: String::new(),
            },
            Act::Channel => Command::CreateChannel {
                space,
                name: format!("room-{who}"),
                kind: ChannelKind::Chat,
                topic: String::new(),
                category: None,
                history: History::Recent,
            },
            Act::Rename { channel, archived } => Command::UpdateChannel {
                space,
                channel: self.channel(who, *channel)?,
                name: Some(format!("renamed by {who}")),
                topic: None,
                archived: archived.then_some(true),
                permissions: Vec::new(),
            },
            Act::Policy { late } => Command::SetPolicy {
                space,
                name: None,
                kick_late: Some(
                    [
                        LatePolicy::Accept,
                        LatePolicy::Quarantine,
                        LatePolicy::Reject,
                    ][usize::from(*late) % 3],
                ),
                ban_late: None,
                seal_every: None,
            },
            Act::Leave => Command::Leave {
                space,
                reason: String::new(),
            },
            Act::UpdateKeys => Command::UpdateKeys { space },
        })
    }

    /// Signs the newest motion that somebody proposed, if they may; the copy goes back at once.
    fn sign(&mut self, who: u16) {
        let (Some(node), Some(motion)) = (self.node(who), self.motions.last()) else {
            return;
        };
        match node.sign_motion(motion) {
            Ok(signed) => self.motions.push(signed),
            Err(error) => self.sometimes.note_error(&error),
        }
    }

    /// What a quorum is asked to do.
    fn proposed(&self, space: SpaceId, whom: u16, deed: u8) -> Option<Command> {
        let user = self.user(whom)?;
        let (reason, late, purge) = (String::new(), None, Vec::new());
        let role = |weight| Command::SetRole {
            space,
            user,
            weight,
            reason: String::new(),
        };
        Some(match deed % 6 {
            0 => Command::Ban {
                space,
                user,
                reason,
                late,
                purge,
            },
            1 => Command::Kick {
                space,
                user,
                reason,
                late,
                purge,
            },
            2 => role(Weight::ADMIN),
            3 => role(Weight::MEMBER),
            4 => Command::Mute {
                space,
                user,
                channel: None,
                for_secs: Some(600),
                reason,
            },
            _ => Command::Unban { space, user },
        })
    }

    fn node(&self, who: u16) -> Option<&crate::device::SimNode> {
        self.devices.get(usize::from(who))?.node.as_ref()
    }

    fn user(&self, whom: u16) -> Option<UserId> {
        Some(self.node(whom)?.me().user)
    }

    pub(crate) fn channel(&self, who: u16, nth: u16) -> Option<ChannelId> {
        let all = self.channels(who);
        nth_of(&all, u32::from(nth)).copied()
    }

    /// The newest posts that somebody sees, threads and their answers included.
    pub(crate) fn posts(&self, who: u16, space: SpaceId) -> Vec<PostView> {
        let mut posts = Vec::new();
        let Some(node) = self.node(who) else {
            return posts;
        };
        for channel in self.channels(who) {
            posts.extend(node.posts(space, channel, None, 8).unwrap_or_default());
            for thread in node.threads(space, channel, 2).unwrap_or_default() {
                posts.extend(
                    node.posts(space, channel, Some(thread.id), 4)
                        .unwrap_or_default(),
                );
            }
        }
        posts
    }

    fn post(&self, who: u16, space: SpaceId, nth: u32) -> Option<PostView> {
        nth_of(&self.posts(who, space), nth).cloned()
    }

    /// Something to say.
    fn words(&mut self, who: u16, len: u32) -> String {
        let number = self.device(who).rng.next();
        let mut words = format!("{CANARY} {number:x} ");
        while words.len() < len as usize {
            words.push_str("and so on ");
        }
        words
    }

    /// An op that somebody sees, for tricks.
    pub(crate) fn some_op(&self, who: u16, nth: u32) -> Option<OpId> {
        let space = self.space?;
        Some(self.post(who, space, nth)?.id)
    }
}

fn nth_of<T>(of: &[T], nth: u32) -> Option<&T> {
    let len = u32::try_from(of.len()).ok().filter(|len| *len > 0)?;
    of.get((nth % len) as usize)
}
