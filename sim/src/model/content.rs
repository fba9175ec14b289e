//! What becomes of content (B8, B10): the D-rules, and what people see.

use core::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use super::act::{self, Act, Head, Purge, Text};
use super::authority::{Authority, Facet, Rank};
use super::epoch::Epochs;
use super::graph::Graph;
use super::id::{Channel, Id};
use super::op::{Op, Order};
use super::state::State;
use super::verb;

/// What became of a content op.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Normal,
    Late {
        removal: Id,
        unverified: bool,
        quarantined: bool,
    },
    Muted {
        mute: Id,
    },
    Hidden {
        by: Id,
        moderator: Id,
        reason: String,
        /// By a purge, not by a tombstone.
        purge: bool,
    },
    Deleted {
        by: Id,
    },
    Refused {
        rule: &'static str,
        by: Id,
    },
    Unreadable,
}

impl Outcome {
    /// Whether a post is shown, with a flag or without.
    const fn is_shown(&self) -> bool {
        matches!(
            self,
            Self::Normal | Self::Late { .. } | Self::Muted { .. } | Self::Unreadable
        )
    }

    /// How gravely it warns.
    fn gravity(&self) -> u8 {
        match self {
            Self::Normal => 0,
            Self::Muted { .. } => 1,
            Self::Late {
                unverified,
                quarantined,
                ..
            } => 2 + u8::from(*unverified) + 2 * u8::from(*quarantined),
            _ => u8::MAX,
        }
    }
}

/// One post as people see it.
#[derive(Clone, Debug)]
pub(super) struct PostState<'a> {
    pub(super) op: &'a Op,
    pub(super) thread: Option<Id>,
    pub(super) title: Option<String>,
    pub(super) reply_to: Option<Id>,
    pub(super) body: String,
    pub(super) history: Vec<String>,
    pub(super) text: Option<&'a Text>,
    pub(super) mentions: Vec<Id>,
    pub(super) reactions: BTreeMap<String, BTreeSet<Id>>,
    pub(super) pinned: bool,
    pub(super) outcome: Outcome,
}

/// Most late ops of a person in a listed scope, and in all open ones together (D3).
const QUOTA: usize = 512;
const OPEN_QUOTA: usize = 2048;
const QUARANTINE: u8 = 1;
const REJECT: u8 = 2;

/// All of a Space, judged from everything known.
pub(super) struct Content<'s, 'a> {
    graph: &'a Graph,
    authority: &'s Authority<'a>,
    epochs: &'s Epochs,
    all: &'s State<'s, 'a>,
    pub(super) tip: Id,
}

impl<'s, 'a> Content<'s, 'a> {
    pub(super) const fn new(
        authority: &'s Authority<'a>,
        epochs: &'s Epochs,
        all: &'s State<'s, 'a>,
        tip: Id,
    ) -> Self {
        Self {
            graph: authority.graph,
            authority,
            epochs,
            all,
            tip,
        }
    }

    /// D0–D4: whether an op is accepted, and how. Never hidden or deleted: that is for posts.
    pub(super) fn verdict(&self, o: &Op) -> Outcome {
        let past = self.authority.state_before(&o.id);
        if let Some(by) = self.unsponsored(o, &past) {
            return Outcome::Refused { rule: "D0", by };
        }
        let needed = self.needed(o, &past);
        let void = (needed > 10).then(|| self.act_void(o, needed, &past));
        if let Some(by) = void.flatten() {
            return Outcome::Refused { rule: "D4", by };
        }
        match self.late(o) {
            Some(Outcome::Late { removal, .. }) if self.moderates(o) => Outcome::Refused {
                rule: "D4",
                by: removal,
            },
            late => late.unwrap_or(Outcome::Normal),
        }
    }

    /// Acts that need authority over others: tombstone, restore, pin, unpin, and changing what
    /// another opened.
    fn moderates(&self, o: &Op) -> bool {
        matches!(o.kind, 71..=74) || self.changes_anothers(o)
    }

    fn changes_anothers(&self, o: &Op) -> bool {
        let target = o.target().and_then(|t| self.graph.op(t));
        o.kind == 65 && target.is_some_and(|t| t.user != o.user)
    }

    fn needed(&self, o: &Op, past: &State<'_, 'a>) -> u8 {
        let least = verb::needed(o, past);
        if self.changes_anothers(o) {
            least.max(past.least(verb::Verb::Tombstone, o.channel.as_ref()))
        } else {
            least
        }
    }

    /// D0: the void grant, unless the author is sponsored.
    fn unsponsored(&self, o: &Op, past: &State<'_, 'a>) -> Option<Id> {
        if self.all.is_member(&o.user) && self.all.device_user(&o.device) == Some(o.user) {
            return None;
        }
        let counts = |op: &Op| self.all.fold.reaches(&op.id, &o.user, Facet::Member);
        let member = past.membership(&o.user)?;
        let admission = past.admission(&o.user);
        if !counts(member) && !admission.is_some_and(counts) {
            return Some(member.id);
        }
        let device = past.certificate(&o.device)?.0;
        (!counts(device)).then_some(device.id)
    }

    /// The effective removals of the author, and of the device, that the op had not seen. What a
    /// leaver dated before the own departure counts as having seen it.
    fn removals(&self, o: &Op) -> Vec<&'a Op> {
        let mut removals = self.all.removals(&o.user);
        removals.extend(self.all.ends(&o.device));
        removals.retain(|r| !self.graph.sees(&o.id, &r.id));
        removals.retain(|r| !matches!(r.deed(), Some(Act::Leave)) || o.hlc > r.hlc);
        removals
    }

    /// Whether some removal of these lists a scope, so that it is not open.
    fn is_listed(&self, scope: Option<Channel>, removals: &[&Op]) -> bool {
        let mut cuts = removals.iter().filter_map(|r| self.all.cut(r));
        cuts.any(|cut| cut.contains_key(&scope))
    }

    /// Whether an op is on the chain that one of these heads ends.
    fn is_on_chain(&self, o: &Op, heads: &BTreeSet<Head>) -> bool {
        let forked = self.graph.first_fork(o).is_some_and(|fork| fork <= o.seq);
        heads
            .iter()
            .filter(|head| head.device == o.device && o.seq <= head.seq)
            .any(|head| {
                let end = self.graph.op(&head.op);
                !forked
                    || end.is_some_and(|end| {
                        end.seq == head.seq && self.graph.lane(end).any(|op| op.id == o.id)
                    })
            })
    }

    /// D1: the position is not behind that of a head which some removal names for the lane, or the
    /// Seal that closed it; from the first fork of the lane on, the op is on the chain that ends in
    /// the named head.
    fn is_covered(&self, o: &Op, removals: &[&Op]) -> bool {
        let mut heads = BTreeSet::new();
        for r in removals {
            let cut = self.all.cut(r).unwrap_or_default();
            heads.extend(cut.get(&o.channel).into_iter().flatten().copied());
            heads.extend(
                self.closed(o, r)
                    .map(|(_, heads)| heads)
                    .unwrap_or_default(),
            );
        }
        self.is_on_chain(o, &heads)
    }

    /// The Seal that closed a removal in the scope of an op, and what that names there.
    fn closed(&self, o: &Op, removal: &Op) -> Option<(Id, BTreeSet<Head>)> {
        let (seal, cut) = self.all.closure(&removal.id)?;
        let scope = cut.iter().find(|cut| cut.scope == o.channel)?;
        Some((seal, scope.heads.iter().copied().collect()))
    }

    /// D3, A13: whether so many late ops of the person stand before this one.
    fn quota_is_spent(&self, o: &Op, removals: &[&Op], listed: bool) -> bool {
        let mut devices = self.all.all_devices(&o.user);
        devices.insert(o.device);
        let about = |r: &Op, device: &Id| match r.deed() {
            Some(Act::Proof(proof)) => proof.device == *device,
            Some(Act::DeviceRevoke(revoke)) => revoke.device == *device,
            _ => true,
        };
        let unseen = |x: &Op| {
            let mut about = removals.iter().filter(|r| about(r, &x.device));
            about.any(|r| !self.graph.sees(&x.id, &r.id))
        };
        let here =
            |x: &Op| x.channel == o.channel || (!listed && !self.is_listed(x.channel, removals));
        let before = self.graph.ops().filter(|x| {
            !x.is_control()
                && devices.contains(&x.device)
                && (x.seq, x.device, x.id) < (o.seq, o.device, o.id)
                && unseen(x)
                && here(x)
                && !self.is_covered(x, removals)
        });
        before.count() >= if listed { QUOTA } else { OPEN_QUOTA }
    }

    /// D1–D3: `None` when the op is like any other.
    fn late(&self, o: &Op) -> Option<Outcome> {
        let removals = self.removals(o);
        let refused = |by: &Op| {
            Some(Outcome::Refused {
                rule: "D3",
                by: by.id,
            })
        };
        // The strictest is named; rank and id make that one op for everybody.
        let strictest = removals
            .iter()
            .max_by_key(|r| (self.policy(r), self.authority.rank(r), r.id))?;
        let depth = |r: &&&Op| (self.graph.depth(&r.id), r.id);
        let left_out = |r: &&&Op| {
            let closed = self.closed(o, r);
            closed.is_some_and(|(_, heads)| !self.is_on_chain(o, &heads))
        };
        if let Some(r) = removals.iter().filter(left_out).min_by_key(depth) {
            let by = self.closed(o, r).map_or(r.id, |(seal, _)| seal);
            return Some(Outcome::Refused { rule: "D3", by });
        }
        if self.is_covered(o, &removals) {
            return None;
        }
        let seen_by = |r: &&&Op| {
            let first = self.epochs.first_seeing(self.graph, &self.tip, &r.id);
            first.is_some_and(|(_, epoch)| self.epochs.descends(&o.epoch, &epoch))
        };
        if let Some(r) = removals.iter().filter(seen_by).min_by_key(depth) {
            return refused(r);
        }
        let listed = self.is_listed(o.channel, &removals);
        let policy = self.policy(strictest);
        let rejected = listed && policy == REJECT;
        if rejected || self.quota_is_spent(o, &removals, listed) {
            return refused(strictest);
        }
        Some(Outcome::Late {
            removal: strictest.id,
            unverified: !listed,
            quarantined: policy >= QUARANTINE,
        })
    }

    /// What a removal says of late posts, or the Space now where it says nothing.
    fn policy(&self, removal: &Op) -> u8 {
        match removal.deed() {
            Some(Act::Kick(r)) => r.late.unwrap_or_else(|| self.all.late_policy(false)),
            Some(Act::Ban(r)) => r.late.unwrap_or_else(|| self.all.late_policy(true)),
            Some(Act::DeviceRevoke(r)) => {
                let default = if r.compromised { REJECT } else { 0 };
                r.late.unwrap_or(default)
            }
            Some(Act::Proof(_)) => REJECT,
            _ => 0,
        }
    }

    /// D4 for acts in time: no grant of the weight counts, or the epoch shows that the act is
    /// later than a demotion that stands.
    fn act_void(&self, o: &Op, needed: u8, past: &State<'_, 'a>) -> Option<Id> {
        let seen = self.graph.past(&o.id);
        let says = |op: &Op| self.authority.says(op, &o.user, Facet::Role);
        let counts = |op: &&Op| self.all.fold.reaches(&op.id, &o.user, Facet::Role);
        let said = || {
            seen.iter()
                .filter_map(|id| self.graph.op(id))
                .filter(counts)
        };
        // Not taken again, in the author's sight, before the act.
        let taken = |g: &Op| {
            said().any(|r| self.graph.sees(&r.id, &g.id) && says(r).is_some_and(|w| w < needed))
        };
        let mut grants = said().filter(|g| says(g) >= Some(needed));
        if !grants.any(|g| !taken(g)) {
            return past.grant(&o.user).map(|g| g.id);
        }
        let demotions = self.all.demotions(&o.user);
        let later = demotions.into_iter().filter(|d| {
            let first = self.epochs.first_seeing(self.graph, &self.tip, d);
            !self.graph.sees(&o.id, d)
                && first.is_some_and(|(_, epoch)| self.epochs.descends(&o.epoch, &epoch))
        });
        later.max_by_key(|d| (self.graph.depth(d), *d))
    }

    /// An effective mute that was in force and that the author had not seen.
    fn muted(&self, o: &Op) -> Option<Id> {
        let mut mutes = self.all.muted(&o.user, o.channel, o.hlc);
        mutes.retain(|m| {
            let begun = self.graph.op(m).is_some_and(|m| m.hlc < o.hlc);
            begun && !self.graph.sees(&o.id, m)
        });
        self.all.strongest(&mutes)
    }

    /// The flag of a post or edit whose D-rules came to this.
    fn flag(&self, o: &Op, verdict: Outcome) -> Outcome {
        match (verdict, self.muted(o)) {
            (Outcome::Normal, Some(mute)) => Outcome::Muted { mute },
            (verdict, _) => verdict,
        }
    }

    /// The ops of given kinds on a target that are accepted, by order.
    fn on(&self, target: &Id, kinds: &[u16]) -> Vec<&'a Op> {
        let mut ops: Vec<&Op> = self
            .graph
            .ops()
            .filter(|op| kinds.contains(&op.kind) && op.target() == Some(target))
            .filter(|op| !matches!(self.verdict(op), Outcome::Refused { .. }))
            .collect();
        ops.sort_by_key(|op| op.order());
        ops
    }

    /// Whether `b` comes after `a`: in one lane by the chain, across lanes by the order key.
    fn after(&self, b: &Op, a: &Op) -> bool {
        if (a.device, a.channel) == (b.device, b.channel) {
            self.graph.lane(b).any(|op| op.id == a.id)
        } else {
            b.order() > a.order()
        }
    }

    /// The tombstone that hides one op: of those that no restore undid, the one of greatest rank,
    /// and of these the earliest.
    fn tombstone(&self, target: &Op) -> Option<Outcome> {
        let restores = self.on(&target.id, &[72]);
        let mut standing = self.on(&target.id, &[71]);
        standing.retain(|t| {
            let rank = self.rank(t);
            let mut restores = restores.iter();
            !restores.any(|restore| self.after(restore, t) && self.rank(restore) >= rank)
        });
        let key = |t: &&&Op| (self.rank(t), Reverse(t.order()));
        let first = standing.iter().max_by_key(key)?;
        let reason = match &first.act {
            Some(Act::ModTombstone { reason }) => reason.clone(),
            _ => String::new(),
        };
        Some(Outcome::Hidden {
            by: first.id,
            moderator: first.user,
            reason,
            purge: false,
        })
    }

    fn rank(&self, o: &Op) -> Option<Rank> {
        self.authority.state_before(&o.id).rank(&o.user)
    }

    /// The removal whose purge hides a post: it has not seen the removal, and nobody who had, with
    /// rank enough, restored the post.
    fn purged(&self, target: &Op) -> Option<Outcome> {
        let restores = self.on(&target.id, &[72]);
        let restored = |r: &Op| {
            restores.iter().any(|restore| {
                self.graph.sees(&restore.id, &r.id) && self.rank(restore) >= self.authority.rank(r)
            })
        };
        let removals = self.all.removals(&target.user).into_iter();
        let removals = removals.chain(self.all.ends(&target.device));
        let purges = removals
            .filter(|r| !self.graph.sees(&target.id, &r.id) && !restored(r))
            .filter_map(|op| Some((op, purge(op)?)))
            .filter(|(_, (purge, _))| {
                purge.iter().any(|p| {
                    let lane = p.device == target.device && p.scope == target.channel;
                    lane && p.seq <= target.seq
                })
            });
        let (op, (_, reason)) = purges.max_by_key(|(op, _)| (self.authority.rank(op), op.id))?;
        Some(Outcome::Hidden {
            by: op.id,
            moderator: op.user,
            reason: reason.to_owned(),
            purge: true,
        })
    }

    /// The thread that a post belongs to: what payload and `prev` name.
    fn thread(&self, o: &'a Op) -> Option<&'a Op> {
        let Some(Act::Post(text)) = &o.act else {
            return None;
        };
        let thread = text.thread.filter(|t| o.prev.contains(t))?;
        self.graph.op(&thread)
    }

    /// What became of any content op.
    pub(super) fn outcome(&self, o: &'a Op) -> Outcome {
        if o.is_post() {
            self.post(o).outcome
        } else {
            self.verdict(o)
        }
    }

    /// What became of a post, its edits aside: refused before hidden, hidden before deleted, and
    /// only then flags.
    fn state(&self, o: &'a Op) -> Outcome {
        let verdict = self.verdict(o);
        if matches!(verdict, Outcome::Refused { .. }) {
            return verdict;
        }
        let hidden = self
            .tombstone(o)
            .or_else(|| self.purged(o))
            .or_else(|| self.tombstone(self.thread(o)?));
        if let Some(hidden) = hidden {
            return hidden;
        }
        if let Some(deletion) = self.on(&o.id, &[70]).first() {
            return Outcome::Deleted { by: deletion.id };
        }
        if o.act.is_none() {
            return Outcome::Unreadable;
        }
        self.flag(o, verdict)
    }

    /// A post as people see it.
    pub(super) fn post(&self, o: &'a Op) -> PostState<'a> {
        let mut post = PostState {
            op: o,
            thread: match o.kind {
                act::THREAD_CREATE => Some(o.id),
                _ => self.thread(o).map(|thread| thread.id),
            },
            title: None,
            reply_to: None,
            body: String::new(),
            history: Vec::new(),
            text: None,
            mentions: Vec::new(),
            reactions: BTreeMap::new(),
            pinned: false,
            outcome: self.state(o),
        };
        if !post.outcome.is_shown() {
            return post;
        }
        post.reactions = self.reactions(o);
        let pins = self.on(&o.id, &[73, 74]);
        post.pinned = pins.last().is_some_and(|op| op.kind == 73);
        let Some(Act::Post(text) | Act::ThreadCreate(text)) = &o.act else {
            return post;
        };
        post.text = Some(text);
        post.reply_to = text.reply_to.filter(|r| o.prev.contains(r));
        post.title.clone_from(&text.title);
        for update in self.on(&o.id, &[65]) {
            if let Some(Act::ThreadUpdate(Text {
                title: Some(title), ..
            })) = &update.act
            {
                post.title = Some(title.clone());
            }
        }
        // The newest edit gives the text, and its flag if that is the graver one.
        let mut texts = vec![text.body.clone()];
        post.mentions.clone_from(&text.mentions);
        let mut flag = Outcome::Normal;
        for edit in self.on(&o.id, &[67]) {
            if let Some(Act::Edit(text)) = &edit.act {
                texts.push(text.body.clone());
                post.mentions.clone_from(&text.mentions);
                flag = self.flag(edit, self.verdict(edit));
            }
        }
        post.body = texts.pop().unwrap_or_default();
        post.history = texts;
        if flag.gravity() > post.outcome.gravity() {
            post.outcome = flag;
        }
        post
    }

    /// For each emoji, who has it on a post: add wins over what was taken back before.
    fn reactions(&self, o: &Op) -> BTreeMap<String, BTreeSet<Id>> {
        let mut out: BTreeMap<String, BTreeSet<Id>> = BTreeMap::new();
        let takings = self.on(&o.id, &[69]);
        for op in self.on(&o.id, &[68]) {
            let Some(Act::React { emoji }) = &op.act else {
                continue;
            };
            let taken = takings.iter().any(|t| {
                t.user == op.user
                    && matches!(&t.act, Some(Act::Unreact { emoji: e }) if e == emoji)
                    && self.after(t, op)
            });
            if !taken {
                out.entry(emoji.clone()).or_default().insert(op.user);
            }
        }
        out
    }

    /// Every post of a channel in the order of the dump. What names as its thread something that
    /// is none stands nowhere.
    pub(super) fn line(&self, channel: Channel) -> Vec<PostState<'a>> {
        let mut ops: Vec<&Op> = self
            .graph
            .ops()
            .filter(|op| op.is_post() && op.channel == Some(channel))
            .collect();
        ops.sort_by_key(|op| op.order());
        let posts: Vec<PostState<'a>> = ops.into_iter().map(|op| self.post(op)).collect();
        // A thread stands where its last shown reply stands; one without, or hidden, where it began.
        let mut threads: Vec<(Order, Id)> = Vec::new();
        for opening in posts.iter().filter(|p| p.op.kind == act::THREAD_CREATE) {
            let replies = posts.iter().filter(|p| {
                p.thread == Some(opening.op.id) && p.op.id != opening.op.id && p.outcome.is_shown()
            });
            let last = replies.map(|p| p.op.order()).max();
            let last = last.filter(|_| self.tombstone(opening.op).is_none());
            threads.push((last.unwrap_or_else(|| opening.op.order()), opening.op.id));
        }
        threads.sort_by(|a, b| b.cmp(a));
        let lines = core::iter::once(None).chain(threads.into_iter().map(|(_, id)| Some(id)));
        lines
            .flat_map(|line| posts.iter().filter(move |p| p.thread == line))
            .cloned()
            .collect()
    }
}

/// What a removal tombstones in bulk, and why.
fn purge(op: &Op) -> Option<(&[Purge], &str)> {
    match op.deed() {
        Some(Act::Kick(r) | Act::Ban(r)) => Some((&r.purge, &r.reason)),
        Some(Act::DeviceRevoke(r)) => Some((&r.purge, &r.reason)),
        _ => None,
    }
}
