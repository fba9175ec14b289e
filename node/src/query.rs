//! What people are shown, computed from log and fold when asked for.

use std::collections::BTreeMap;

use fold::content::text::{display_name, file_name, sanitise};
use fold::content::{self, ContentView, Cursor, HiddenBy, Include, Line, ThreadSort};
use oplog::authority::View;
use oplog::hash::H;
use oplog::payload::{Attachment, Verb};
use oplog::store::{Store, StoreError};
use oplog::{ChannelId, Digest, EpochId, Hlc, Kind, OpId, Scope, SpaceId, UserId};
use rand_core::CryptoRng;

use crate::blobs::ChunkStore;
use crate::error::CommandError;
use crate::namesakes::namesakes;
use crate::node::Node;
use crate::space::Space;
use crate::standing::{SpaceBodies, SpaceStanding};
use crate::view::{
    Branch, ChannelView, DamagedOp, Delivery, InviteView, MemberView, OwnOp, PageFrom, Place,
    PolicyView, PostPage, PostState, PostView, Rooms, SpaceStatus, SpaceSummary, Status,
    ThreadSummary, Unread,
};

impl<S: Store, C: ChunkStore, R: CryptoRng> Node<S, C, R> {
    /// Returns every Space of this profile, by name.
    pub fn spaces(&self) -> Vec<SpaceSummary> {
        let mut list: Vec<SpaceSummary> = self.spaces.values().map(|s| self.summary(s)).collect();
        list.sort_by(|a, b| (&a.name, a.id).cmp(&(&b.name, b.id)));
        list
    }

    fn summary(&self, s: &Space) -> SpaceSummary {
        SpaceSummary {
            id: s.id,
            name: s.name(),
            membership: s.membership(&self.me.user(), &self.me.device_id()),
            members: s.view.members().count(),
            channels: s.view.channels().count(),
            epoch: s.tip,
            epoch_number: s
                .authority
                .epochs()
                .epoch(&s.tip)
                .map_or(0, |record| record.number),
        }
    }

    /// Returns the channels of a Space, in the order of their making.
    ///
    /// # Errors
    /// When the Space is not here.
    pub fn channels(&self, space: SpaceId) -> Result<Vec<ChannelView>, CommandError> {
        Ok(self.known_space(&space)?.channel_views())
    }

    /// Returns members by weight and seniority, then those who were members.
    ///
    /// # Errors
    /// When the Space is not here.
    pub fn members(&self, space: SpaceId) -> Result<Vec<MemberView>, CommandError> {
        let now = Hlc::from_wall(self.now);
        Ok(self.known_space(&space)?.member_views(now))
    }

    /// Returns the policies of a Space.
    ///
    /// # Errors
    /// When the Space is not here.
    pub fn policies(&self, space: SpaceId) -> Result<PolicyView, CommandError> {
        let s = self.known_space(&space)?;
        let policies = s.view.policies();
        Ok(PolicyView {
            name: s.name(),
            kick_late: policies.kick_late,
            ban_late: policies.ban_late,
            seal_every: s.seal_every(),
        })
    }

    /// Returns the invites that are open.
    ///
    /// # Errors
    /// When the Space is not here.
    pub fn invites(&self, space: SpaceId) -> Result<Vec<InviteView>, CommandError> {
        let space = &space;
        let s = self.known_space(space)?;
        let now = Hlc::from_wall(self.now);
        let open = s.view.invites().filter(|invite| {
            invite.revoked_by.is_none()
                && invite.uses < invite.terms.max_uses
                && invite.terms.expires > now
        });
        Ok(open
            .map(|invite| InviteView {
                op: invite.op,
                weight: invite.terms.weight,
                uses: invite.uses,
                max_uses: invite.terms.max_uses,
                expires: invite.terms.expires,
                approval: invite.terms.approval,
            })
            .collect())
    }

    /// Returns the threads of a channel, newest activity first.
    ///
    /// # Errors
    /// When Space or channel are not here.
    pub fn threads(
        &self,
        space: SpaceId,
        channel: ChannelId,
        limit: usize,
    ) -> Result<Vec<ThreadSummary>, CommandError> {
        let (space, channel) = (&space, &channel);
        self.known_channel(space, channel)?;
        let threads = self.with_content(space, |content| {
            content.threads(channel, ThreadSort::Activity, Include::Placeholders, limit)
        })?;
        let s = self.known_space(space)?;
        Ok(threads
            .into_iter()
            .map(|t| ThreadSummary {
                id: t.id,
                title: sanitise(&t.title),
                tags: t.tags.iter().map(|tag| display_name(tag)).collect(),
                author: t.author,
                author_name: s.person(&t.author),
                created: t.created.wall,
                replies: t.replies,
                last_activity: t.last_activity.wall,
                state: post_state(&t.state),
            })
            .collect())
    }

    /// Returns the newest posts of a thread, or of a channel's main line, oldest first.
    ///
    /// # Errors
    /// When Space or channel are not here.
    pub fn posts(
        &self,
        space: SpaceId,
        channel: ChannelId,
        thread: Option<OpId>,
        limit: usize,
    ) -> Result<Vec<PostView>, CommandError> {
        let (space, channel) = (&space, &channel);
        self.known_channel(space, channel)?;
        let line = Line {
            channel: *channel,
            thread,
        };
        let page = self.with_content(space, |content| {
            content.page(&line, Cursor::Newest, Include::Everything, limit)
        })?;
        page.posts
            .into_iter()
            .map(|post| self.post_view(space, post))
            .collect()
    }

    /// Returns a page of a thread, or of a channel's main line.
    ///
    /// # Errors
    /// When Space or channel are not here.
    pub fn page(
        &self,
        space: SpaceId,
        channel: ChannelId,
        thread: Option<OpId>,
        from: PageFrom,
        limit: usize,
    ) -> Result<PostPage, CommandError> {
        let (space, channel) = (&space, &channel);
        self.known_channel(space, channel)?;
        let line = Line {
            channel: *channel,
            thread,
        };
        let cursor = match from {
            PageFrom::Newest => Cursor::Newest,
            PageFrom::Before(place) => Cursor::Before(place.0),
            PageFrom::After(place) => Cursor::After(place.0),
        };
        let page = self.with_content(space, |content| {
            content.page(&line, cursor, Include::Everything, limit)
        })?;
        let posts = page.posts.into_iter();
        Ok(PostPage {
            posts: posts
                .map(|post| self.post_view(space, post))
                .collect::<Result<_, _>>()?,
            more: page.next.is_some(),
        })
    }

    /// Returns what others wrote in a thread, or a channel's main line, behind a place; all of it if
    /// none is given. Looks at so many posts at most.
    ///
    /// # Errors
    /// When Space or channel are not here.
    pub fn unread(
        &self,
        space: SpaceId,
        channel: ChannelId,
        thread: Option<OpId>,
        behind: Option<Place>,
        limit: usize,
    ) -> Result<Unread, CommandError> {
        let (space, channel) = (&space, &channel);
        self.known_channel(space, channel)?;
        let line = Line {
            channel: *channel,
            thread,
        };
        let cursor = behind.map_or(Cursor::Oldest, |place| Cursor::After(place.0));
        let page = self.with_content(space, |content| {
            content.page(&line, cursor, Include::Shown, limit)
        })?;
        let me = self.me.user();
        let others = page.posts.iter().filter(|post| post.author != me);
        Ok(Unread {
            posts: others.clone().count(),
            mentions: others.filter(|post| post.mentions.contains(&me)).count(),
            more: page.next.is_some(),
        })
    }

    /// Returns the name that somebody goes by in a Space, or the beginning of their id.
    ///
    /// # Errors
    /// When the Space is not here.
    pub fn person_name(&self, space: SpaceId, user: &UserId) -> Result<String, CommandError> {
        Ok(self.known_space(&space)?.person(user))
    }

    /// Returns one post or thread opening, refused or not.
    ///
    /// # Errors
    /// When it is not here.
    pub fn post(&self, space: SpaceId, op: OpId) -> Result<PostView, CommandError> {
        let (space, op) = (&space, &op);
        let post = self.with_content(space, |content| content.post(op))?;
        self.post_view(space, post.ok_or(CommandError::UnknownOp { op: *op })?)
    }

    /// Returns the pinned posts of a channel.
    ///
    /// # Errors
    /// When Space or channel are not here.
    pub fn pins(&self, space: SpaceId, channel: ChannelId) -> Result<Vec<PostView>, CommandError> {
        let (space, channel) = (&space, &channel);
        self.known_channel(space, channel)?;
        let posts = self.with_content(space, |content| content.pins(channel))?;
        posts
            .into_iter()
            .map(|post| self.post_view(space, post))
            .collect()
    }

    /// Returns the hash of everything visible and of who may do what: equal on every replica that
    /// holds the same ops.
    ///
    /// # Errors
    /// When the Space is not here.
    pub fn state_hash(&self, space: SpaceId) -> Result<Digest, CommandError> {
        Ok(self.known_space(&space)?.state_hash(&self.store)?)
    }

    /// Returns what waits in a Space.
    ///
    /// # Errors
    /// When the Space is not here.
    pub fn rooms(&self, space: SpaceId) -> Result<Rooms, CommandError> {
        let s = self.known_space(&space)?;
        let waiting = self.waiting_to_send(&space)?;
        Ok(Rooms {
            held: s.log.holdback().len(),
            unopened: s.unopened,
            queued: waiting
                .iter()
                .filter(|(_, row)| row.taken.is_empty())
                .count(),
            forks: s.authority.epochs().forks().count(),
            commits: s.authority.epochs().len().saturating_sub(1),
        })
    }

    /// Returns the health report.
    ///
    /// # Errors
    /// When storage fails.
    pub fn status(&self) -> Result<Status, CommandError> {
        let mut spaces = Vec::new();
        for s in self.spaces.values() {
            // First, since it finds what is damaged.
            let state_hash = self.state_hash(s.id)?;
            let rooms = self.rooms(s.id)?;
            spaces.push(SpaceStatus {
                summary: self.summary(s),
                control_ops: s.log.dag().len(),
                held: rooms.held,
                lost: s.log.lost().len() + s.damaged.borrow().len(),
                unopened: rooms.unopened,
                queued: rooms.queued,
                forks: s
                    .authority
                    .epochs()
                    .forks()
                    .map(|record| record.id)
                    .collect::<Vec<EpochId>>(),
                behind: s.lacks_keys(&self.me.user(), &self.me.device_id()),
                reconcile: s.out_of_line(),
                update_needed: s.log.awaited_features() != oplog::Features::NONE,
                seal: s.seal_view(),
                seal_every: s.seal_every(),
                state_hash,
            });
        }
        let relays = self.relays();
        let mut voided = BTreeMap::new();
        for space in self.spaces.keys() {
            voided.insert(*space, self.voided(*space)?);
        }
        Ok(Status {
            voided,
            me: self.me(),
            relays,
            spaces,
            joins: self.join_statuses(),
            recovered: {
                let mut found = self.recovered.clone();
                found.extend(self.room.words().map(str::to_owned));
                found.extend(self.damage());
                found
            },
        })
    }

    /// What of all logs is damaged, and what was given again, in words.
    fn damage(&self) -> Vec<String> {
        let mended: usize = self.spaces.values().map(|s| s.mended).sum();
        let mut words = Vec::new();
        if mended > 0 {
            words.push(format!("{mended} damaged ops were fetched again"));
        }
        if self.spaces.values().any(|s| s.doubted) {
            let what = "damaged records may be own ops: writing waits until a member was online";
            words.push(what.to_owned());
        }
        words
    }

    /// Returns own ops of a Space, newest first, and how far each got.
    ///
    /// # Errors
    /// When the Space is not here.
    pub fn own_ops(&self, space: SpaceId, limit: usize) -> Result<Vec<OwnOp>, CommandError> {
        let space = &space;
        let s = self.known_space(space)?;
        let me = self.me.device_id();
        let mut ops: BTreeMap<(Hlc, OpId), OwnOp> = BTreeMap::new();
        for head in s
            .table
            .all_lanes(&self.store)?
            .into_iter()
            .filter(|head| head.lane.device == me)
        {
            let first = head
                .seq
                .saturating_sub(u64::try_from(limit).unwrap_or(u64::MAX));
            for (_, id) in s
                .table
                .range(&self.store, &head.lane, first, None, usize::MAX)?
            {
                let Some(op) = s.op(&self.store, &id)? else {
                    continue;
                };
                let h = op.header();
                let own = OwnOp {
                    op: id,
                    kind: h.kind().map_or("unknown", Kind::name),
                    wall: h.wall,
                    delivery: self.delivery(space, &id, &h.scope, h.seq)?,
                    resent: h.kind() != Some(Kind::Commit)
                        && s.branch_of(&h.epoch) != Branch::Counts,
                };
                ops.insert((h.hlc, id), own);
            }
        }
        Ok(ops.into_values().rev().take(limit).collect())
    }

    /// Returns the ops of a Space that were accepted here and that the disk has damaged since.
    ///
    /// # Errors
    /// When the Space is not here, or storage fails.
    pub fn damaged(&self, space: SpaceId) -> Result<Vec<DamagedOp>, CommandError> {
        Ok(self.known_space(&space)?.damaged(&self.store)?)
    }

    pub(crate) fn delivery(
        &self,
        space: &SpaceId,
        op: &OpId,
        scope: &Scope,
        seq: u64,
    ) -> Result<Delivery, StoreError> {
        let seen = self.seen_by(space, scope, seq)?;
        if seen > 0 {
            return Ok(Delivery::SeenBy(seen));
        }
        Ok(match self.taken_by(space, op)? {
            0 => Delivery::Saved,
            relays => Delivery::OnRelay(relays),
        })
    }

    /// Runs a query over the content of a Space as it stands now.
    pub(crate) fn with_content<T>(
        &self,
        space: &SpaceId,
        query: impl FnOnce(
            &ContentView<'_, S, SpaceBodies<'_, S>, SpaceStanding<'_>>,
        ) -> Result<T, StoreError>,
    ) -> Result<T, CommandError> {
        Ok(self.known_space(space)?.with_content(&self.store, query)?)
    }

    fn known_channel(&self, space: &SpaceId, channel: &ChannelId) -> Result<(), CommandError> {
        if self.known_space(space)?.view.has_channel(channel) {
            Ok(())
        } else {
            Err(CommandError::UnknownChannel { channel: *channel })
        }
    }

    fn post_view(
        &self,
        space: &SpaceId,
        post: content::PostView,
    ) -> Result<PostView, CommandError> {
        let s = self.known_space(space)?;
        let delivery = if post.device == self.me.device_id() {
            let header = self.header(space, &post.id)?;
            Some(self.delivery(space, &post.id, &header.scope, header.seq)?)
        } else {
            None
        };
        Ok(s.post_view(post, delivery))
    }
}

impl Space {
    /// Returns the channels, in the order of their making.
    pub(crate) fn channel_views(&self) -> Vec<ChannelView> {
        let mut channels: Vec<_> = self.view.channels().collect();
        channels.sort_by_key(|channel| (channel.created, channel.id));
        let view = |channel: fold::authority::Channel| ChannelView {
            id: channel.id,
            name: display_name(&channel.name),
            kind: channel.kind,
            topic: sanitise(&channel.topic),
            category: channel.category.as_deref().map(display_name),
            archived: channel.archived,
            least_post: self.view.least(Verb::Post, Some(&channel.id)),
            least_thread: self.view.least(Verb::Thread, Some(&channel.id)),
        };
        channels.into_iter().map(view).collect()
    }

    /// Returns members by weight and seniority, then those who were members.
    pub(crate) fn member_views(&self, now: Hlc) -> Vec<MemberView> {
        let mut members: Vec<_> = self.view.members().collect();
        members.sort_by_key(|member| core::cmp::Reverse(member.rank));
        let mut list: Vec<MemberView> = members
            .into_iter()
            .map(|m| MemberView {
                user: m.user,
                name: display_name(&m.name),
                namesakes: Vec::new(),
                weight: Some(m.weight),
                devices: m.devices,
                joined: m.joined,
                banned: None,
                muted: self
                    .view
                    .mute(&m.user, None, now)
                    .map(|mute| (mute.op, mute.expires)),
                removed: None,
            })
            .collect();
        list.extend(self.view.former_members().map(|m| MemberView {
            user: m.user,
            name: display_name(&m.name),
            namesakes: Vec::new(),
            weight: None,
            devices: Vec::new(),
            joined: Hlc::ZERO,
            banned: self.view.ban(&m.user).map(|ban| ban.op),
            muted: None,
            removed: Some(m.by),
        }));
        let names: Vec<_> = list.iter().map(|m| (m.user, m.name.as_str())).collect();
        let mut alike = namesakes(&names);
        for member in &mut list {
            member.namesakes = alike.remove(&member.user).unwrap_or_default();
        }
        list
    }

    /// Returns the hash of everything visible and of who may do what.
    pub(crate) fn state_hash<S: Store>(&self, store: &S) -> Result<Digest, StoreError> {
        let channels: Vec<ChannelId> = self.view.channels().map(|channel| channel.id).collect();
        let content = self.with_content(store, |content| content.state_hash(&channels))?;
        let authority = self.view.state_hash();
        let digest = H::new("state")
            .field(authority.as_bytes())
            .field(content.as_bytes())
            .finish();
        Ok(Digest::from_bytes(digest))
    }

    /// Runs a query over the content as it stands now.
    pub(crate) fn with_content<S: Store, T>(
        &self,
        store: &S,
        query: impl FnOnce(
            &ContentView<'_, S, SpaceBodies<'_, S>, SpaceStanding<'_>>,
        ) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let prefix = self.no.0.to_be_bytes();
        let bodies = SpaceBodies { space: self, store };
        let standing = SpaceStanding::new(self);
        query(&ContentView::new(&prefix, store, &bodies, &standing))
    }

    /// Returns a post as people are shown it.
    pub(crate) fn post_view(
        &self,
        post: content::PostView,
        delivery: Option<Delivery>,
    ) -> PostView {
        PostView {
            id: post.id,
            channel: post.channel,
            thread: post.thread,
            title: post.title.as_deref().map(sanitise),
            reply_to: post.reply_to,
            author: post.author,
            author_name: self.person(&post.author),
            device: post.device,
            hlc: post.hlc,
            wall: post.wall,
            body: sanitise(&post.body),
            history: post
                .history
                .iter()
                .map(|revision| sanitise(&revision.body))
                .collect(),
            attachments: post
                .attachments
                .into_iter()
                .map(|file| Attachment {
                    name: file_name(&file.name),
                    media_type: display_name(&file.media_type),
                    ..file
                })
                .collect(),
            reactions: post
                .reactions
                .into_iter()
                .map(|r| {
                    let mut users = r.users;
                    users.extend(r.late);
                    users.sort_unstable();
                    (display_name(&r.emoji), users)
                })
                .collect(),
            mentions: post.mentions,
            pinned: post.pinned.is_some(),
            state: post_state(&post.state),
            delivery,
        }
    }

    /// The name that a person goes by here, or the beginning of their id.
    pub(crate) fn person(&self, user: &UserId) -> String {
        let member = self.view.member(user).map(|m| m.name);
        let former = || {
            self.view
                .former_members()
                .find(|m| m.user == *user)
                .map(|m| m.name)
        };
        member
            .or_else(former)
            .map_or_else(|| user.short(), |name| display_name(&name))
    }

    /// How many devices should be in the group and are not, or are and should not be.
    pub(crate) fn out_of_line(&self) -> usize {
        let authorised = self.view.authorised_devices();
        let roster: Vec<_> = self.roster().collect();
        let too_many = roster
            .iter()
            .filter(|device| !authorised.contains_key(device))
            .count();
        let missing = authorised
            .keys()
            .filter(|device| !roster.contains(device))
            .count();
        too_many + missing
    }
}

pub(crate) fn post_state(state: &content::PostState) -> PostState {
    match state {
        content::PostState::Normal => PostState::Normal,
        content::PostState::Late(late) => PostState::Late {
            removal: late.removal,
            unverified: late.unverified,
            quarantined: late.quarantined,
        },
        content::PostState::MutedConcurrently { mute } => PostState::Muted { mute: *mute },
        content::PostState::Hidden {
            what,
            op,
            by,
            reason,
        } => {
            let reason = match what {
                HiddenBy::Tombstone | HiddenBy::ThreadTombstone | HiddenBy::Purge => {
                    sanitise(reason)
                }
            };
            PostState::Hidden {
                by: *op,
                moderator: *by,
                reason,
            }
        }
        content::PostState::SelfDeleted { op } => PostState::Deleted { by: *op },
        content::PostState::Unreadable => PostState::Unreadable,
        content::PostState::NotAccepted { rule, op } => PostState::Refused {
            rule: rule.id(),
            by: Some(*op),
        },
    }
}
