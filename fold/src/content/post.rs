//! One post as it stands: its text, what hangs on it, and what became of it.

use std::collections::BTreeMap;

use oplog::mutants::{Mutant, on};
use oplog::payload::{Attachment, Payload};
use oplog::store::{Store, StoreError};
use oplog::{AcceptedOp, ChannelId, DeviceId, Hlc, Kind, OpId, Timestamp, UserId};

use super::Bodies;
use super::index::{self, Line};
use super::judge::{Late, Rule, Verdict};
use super::order::OrderKey;
use super::relations::{Counted, Relations};
use super::standing::Standing;
use super::view::ContentView;

/// A post, or a thread as its own first post. Texts are as their authors wrote them:
/// [`text`](super::text) makes them harmless.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PostView {
    /// Which op.
    pub id: OpId,
    /// Its channel.
    pub channel: ChannelId,
    /// Its thread; of a thread's first post, itself.
    pub thread: Option<OpId>,
    /// What it answers.
    pub reply_to: Option<OpId>,
    /// Who wrote it.
    pub author: UserId,
    /// With which device.
    pub device: DeviceId,
    /// Logical time.
    pub hlc: Hlc,
    /// The author's clock.
    pub wall: Timestamp,
    /// The thread's title now, on its first post.
    pub title: Option<String>,
    /// The thread's tags now, on its first post.
    pub tags: Vec<String>,
    /// The text now. This and all that follows but `state` is empty when the post is not shown.
    pub body: String,
    /// The edit that the text is from; `None` while it is the first one.
    pub edit: Option<OpId>,
    /// Earlier texts, oldest first.
    pub history: Vec<Revision>,
    /// Files.
    pub attachments: Vec<Attachment>,
    /// Whom the text mentions now.
    pub mentions: Vec<UserId>,
    /// Reactions, by emoji.
    pub reactions: Vec<Reaction>,
    /// The pin that stands.
    pub pinned: Option<OpId>,
    /// What became of it.
    pub state: PostState,
}

impl PostView {
    /// Returns where it stands among others: the cursor for the page before or behind it.
    #[must_use]
    pub const fn key(&self) -> OrderKey {
        OrderKey {
            hlc: self.hlc,
            wall: self.wall,
            device: self.device,
            id: self.id,
        }
    }
}

/// A text that a post once had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revision {
    /// The op that brought it: the post itself, or an edit.
    pub op: OpId,
    /// When, by the author's clock.
    pub wall: Timestamp,
    /// The text.
    pub body: String,
}

/// One emoji on a post.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reaction {
    /// The emoji.
    pub emoji: String,
    /// Whose reaction stands, sorted.
    pub users: Vec<UserId>,
    /// Whose reaction stands only as a late one (D2), sorted.
    pub late: Vec<UserId>,
}

/// What became of a post.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PostState {
    /// Shown like any other.
    Normal,
    /// D2: shown with a flag. Also when the post itself is not late but the edit is whose text it shows.
    Late(Late),
    /// Shown with a flag: its author had not seen this mute (B10).
    MutedConcurrently {
        /// The mute.
        mute: OpId,
    },
    /// By a moderator; the op stays in the log.
    Hidden {
        /// How.
        what: HiddenBy,
        /// The tombstone, or the removal that purges.
        op: OpId,
        /// Whose act.
        by: UserId,
        /// Why.
        reason: String,
    },
    /// By its author.
    SelfDeleted {
        /// The deletion.
        op: OpId,
    },
    /// Accepted, and its payload is malformed or pruned.
    Unreadable,
    /// Refused by a D-rule.
    NotAccepted {
        /// Which.
        rule: Rule,
        /// The op that decided.
        op: OpId,
    },
}

impl PostState {
    /// Returns whether the post is shown, with a flag or without.
    #[must_use]
    pub const fn is_shown(&self) -> bool {
        matches!(
            self,
            Self::Normal | Self::Late(_) | Self::MutedConcurrently { .. } | Self::Unreadable
        )
    }

    /// Returns the id of the rule that put it here, `None` for a normal or unreadable post.
    #[must_use]
    pub const fn rule(&self) -> Option<&'static str> {
        match self {
            Self::Normal | Self::Unreadable => None,
            Self::Late(_) => Some("D2"),
            Self::Hidden {
                what: HiddenBy::Purge,
                ..
            } => Some("B8"),
            Self::Hidden { .. } | Self::SelfDeleted { .. } | Self::MutedConcurrently { .. } => {
                Some("B10")
            }
            Self::NotAccepted { rule, .. } => Some(rule.id()),
        }
    }

    /// Returns the op that decided, where one did.
    #[must_use]
    pub const fn decided_by(&self) -> Option<OpId> {
        match self {
            Self::Normal | Self::Unreadable => None,
            Self::Late(late) => Some(late.removal),
            Self::MutedConcurrently { mute } => Some(*mute),
            Self::Hidden { op, .. } | Self::SelfDeleted { op } | Self::NotAccepted { op, .. } => {
                Some(*op)
            }
        }
    }

    /// Orders the states by how gravely they warn.
    const fn severity(&self) -> u8 {
        match self {
            Self::Normal => 0,
            Self::MutedConcurrently { .. } => 1,
            Self::Late(late) => 2 + late.unverified as u8 + 2 * late.quarantined as u8,
            Self::Unreadable
            | Self::SelfDeleted { .. }
            | Self::Hidden { .. }
            | Self::NotAccepted { .. } => u8::MAX,
        }
    }
}

/// How a moderator hid a post.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum HiddenBy {
    /// A tombstone on it.
    Tombstone,
    /// A tombstone on its thread.
    ThreadTombstone,
    /// `purge_from` in its author's removal.
    Purge,
}

impl<S: Store + ?Sized, B: Bodies + ?Sized, A: Standing + ?Sized> ContentView<'_, S, B, A> {
    /// Returns one post as it stands, refused or not; `None` when this op is not here or is neither
    /// a post nor a thread.
    ///
    /// # Errors
    /// When storage fails.
    pub fn post(&self, id: &OpId) -> Result<Option<PostView>, StoreError> {
        match self.judge.bodies.op(id)? {
            Some(op) => self.evaluate(&op),
            None => Ok(None),
        }
    }

    pub(super) fn evaluate(&self, op: &AcceptedOp) -> Result<Option<PostView>, StoreError> {
        let payload = op.payload().ok().flatten();
        let Some((line, relations)) = self.place(op, payload.as_ref())? else {
            return Ok(None);
        };
        let state = self.state(op, &line, payload.is_some(), &relations)?;
        let mut post = blank(op, &line, state);
        if !post.state.is_shown() {
            return Ok(Some(post));
        }
        match payload {
            Some(Payload::Post(p)) => {
                post.reply_to = index::reply_of(op, &p);
                post.body = p.body;
                post.attachments = p.attachments;
                post.mentions = p.mentions;
            }
            Some(Payload::ThreadCreate(p)) => {
                post.title = Some(p.title);
                post.tags = p.tags;
                post.body = p.body;
                post.attachments = p.attachments;
                post.mentions = p.mentions;
                self.apply_updates(&mut post, &relations)?;
            }
            // `line_of` lets posts and threads pass alone, so this one is unreadable.
            Some(_) | None => {}
        }
        self.apply_edits(&mut post, &relations)?;
        post.reactions = self.reactions(&relations)?;
        post.pinned = self.pin(&relations)?;
        Ok(Some(post))
    }

    /// Returns what became of a post without putting it together; `None` for other kinds.
    pub(super) fn state_of(&self, op: &AcceptedOp) -> Result<Option<PostState>, StoreError> {
        let payload = op.payload().ok().flatten();
        let Some((line, relations)) = self.place(op, payload.as_ref())? else {
            return Ok(None);
        };
        self.state(op, &line, payload.is_some(), &relations)
            .map(Some)
    }

    fn place(
        &self,
        op: &AcceptedOp,
        payload: Option<&Payload>,
    ) -> Result<Option<(Line, Relations)>, StoreError> {
        match index::line_of(op, payload) {
            Some(line) => Ok(Some((line, self.relations(&op.id())?))),
            None => Ok(None),
        }
    }

    /// B10: refused before hidden, hidden before deleted, and only then flags.
    fn state(
        &self,
        op: &AcceptedOp,
        line: &Line,
        readable: bool,
        relations: &Relations,
    ) -> Result<PostState, StoreError> {
        let verdict = self.judge.verdict(op)?;
        if let Verdict::Refused { rule, by } = verdict {
            return Ok(PostState::NotAccepted { rule, op: by });
        }
        if let Some(hidden) = self.hidden(op, line.thread, relations)? {
            return Ok(hidden);
        }
        let user = op.header().user;
        let deletions = self.counted(relations, &[Kind::SelfDelete])?;
        if let Some(own) = deletions.iter().find(|d| d.op.header().user == user) {
            return Ok(PostState::SelfDeleted { op: own.key.id });
        }
        if !readable {
            return Ok(PostState::Unreadable);
        }
        Ok(self.flag(op, verdict))
    }

    fn flag(&self, op: &AcceptedOp, verdict: Verdict) -> PostState {
        match (verdict, self.judge.standing.mute(op.header())) {
            (Verdict::Late(late), _) => PostState::Late(late),
            (_, Some(mute)) => PostState::MutedConcurrently { mute },
            (_, None) => PostState::Normal,
        }
    }

    /// The newest of the author's accepted edits gives the text, and its flag if that is the graver one.
    fn apply_edits(&self, post: &mut PostView, relations: &Relations) -> Result<(), StoreError> {
        let mut wall = post.wall;
        let mut flag = PostState::Normal;
        for edit in self.counted(relations, &[Kind::Edit])? {
            let Ok(Some(Payload::Edit(payload))) = edit.op.payload() else {
                continue;
            };
            if edit.op.header().user != post.author || post.state == PostState::Unreadable {
                continue;
            }
            if post.edit.is_some() && on(Mutant::FirstEditWins) {
                continue;
            }
            post.history.push(Revision {
                op: post.edit.unwrap_or(post.id),
                wall: core::mem::replace(&mut wall, edit.key.wall),
                body: core::mem::replace(&mut post.body, payload.body),
            });
            post.mentions = payload.mentions;
            post.edit = Some(edit.key.id);
            flag = self.flag(&edit.op, edit.verdict);
        }
        if flag.severity() > post.state.severity() {
            post.state = flag;
        }
        Ok(())
    }

    fn apply_updates(&self, post: &mut PostView, relations: &Relations) -> Result<(), StoreError> {
        for update in self.counted(relations, &[Kind::ThreadUpdate])? {
            if let Ok(Some(Payload::ThreadUpdate(payload))) = update.op.payload() {
                post.title = payload.title.or(post.title.take());
                post.tags = payload.tags.unwrap_or(core::mem::take(&mut post.tags));
            }
        }
        Ok(())
    }

    /// Add-wins for each person and emoji: taking back removes what its author had reacted before it.
    fn reactions(&self, relations: &Relations) -> Result<Vec<Reaction>, StoreError> {
        let mut takings: BTreeMap<(UserId, String), Vec<Counted>> = BTreeMap::new();
        for taking in self.counted(relations, &[Kind::Unreact])? {
            if let Some(key) = reacted(&taking.op) {
                takings.entry(key).or_default().push(taking);
            }
        }
        let mut standing: BTreeMap<String, BTreeMap<UserId, bool>> = BTreeMap::new();
        for adding in self.counted(relations, &[Kind::React])? {
            let Some((user, emoji)) = reacted(&adding.op) else {
                continue;
            };
            let mut taken = false;
            for taking in takings.get(&(user, emoji.clone())).into_iter().flatten() {
                taken = taken
                    || on(Mutant::UnreactWins)
                    || self.judge.precedes(&adding.op, &taking.op)?;
            }
            if !taken {
                let in_time = adding.verdict == Verdict::Accepted;
                *standing.entry(emoji).or_default().entry(user).or_default() |= in_time;
            }
        }
        let who = |users: &BTreeMap<UserId, bool>, wanted: bool| {
            let matching = users.iter().filter(|(_, in_time)| **in_time == wanted);
            matching.map(|(user, _)| *user).collect()
        };
        Ok(standing
            .into_iter()
            .map(|(emoji, users)| Reaction {
                emoji,
                users: who(&users, true),
                late: who(&users, false),
            })
            .collect())
    }

    /// The last of all pins and unpins decides: they do not fight over anything but a place in a list.
    fn pin(&self, relations: &Relations) -> Result<Option<OpId>, StoreError> {
        let acts = self.counted(relations, &[Kind::Pin, Kind::Unpin])?;
        let acts = acts.into_iter();
        let last = if on(Mutant::FirstPinWins) {
            acts.min_by_key(|act| act.key)
        } else {
            acts.max_by_key(|act| act.key)
        };
        Ok(last
            .filter(|act| act.op.header().kind() == Some(Kind::Pin))
            .map(|act| act.key.id))
    }
}

fn reacted(op: &AcceptedOp) -> Option<(UserId, String)> {
    let Ok(Some(Payload::React(p) | Payload::Unreact(p))) = op.payload() else {
        return None;
    };
    Some((op.header().user, p.emoji))
}

fn blank(op: &AcceptedOp, line: &Line, state: PostState) -> PostView {
    let header = op.header();
    PostView {
        id: op.id(),
        channel: line.channel,
        thread: line.thread,
        reply_to: None,
        author: header.user,
        device: header.device,
        hlc: header.hlc,
        wall: header.wall,
        title: None,
        tags: Vec::new(),
        body: String::new(),
        edit: None,
        history: Vec::new(),
        attachments: Vec::new(),
        mentions: Vec::new(),
        reactions: Vec::new(),
        pinned: None,
        state,
    }
}
