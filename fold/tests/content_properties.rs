//! Random histories: every order of arrival gives one view, the view after an authority change is
//! the one from scratch, pages cover each post once, and the index agrees with a reader that has none.

#![expect(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "helpers of tests: a panic is a failed test"
)]

mod content_support;

use std::collections::BTreeSet;

use content_support::*;
use fold::content::{Cursor, EffectiveRemoval, Include, OrderKey, PostState, PostView, ThreadSort};
use oplog::payload::{LatePolicy, Payload};
use oplog::{AcceptedOp, Header, Kind, OpId, UserId};
use proptest::prelude::*;
use proptest::sample::Index;

/// One step of a history: who does what to which earlier op, and how much later than it.
#[derive(Clone, Debug)]
struct Step {
    author: usize,
    act: u8,
    target: Index,
    wait: u64,
}

/// What authority says in the end.
#[derive(Clone, Debug)]
struct Decree {
    policy: u8,
    /// `None`: the scope is open; else how much of the target's lane is covered.
    cut: Option<Index>,
    purge: Option<Index>,
    unsponsored: bool,
    void_role: bool,
    muted: bool,
    quick: bool,
}

fn arb_history() -> impl Strategy<Value = Vec<Step>> {
    let step =
        (0..5usize, 0..14u8, any::<Index>(), 1..4u64).prop_map(|(author, act, target, wait)| {
            Step {
                author,
                act,
                target,
                wait,
            }
        });
    proptest::collection::vec(step, 1..40)
}

fn arb_decree() -> impl Strategy<Value = Decree> {
    let rare = || proptest::bool::weighted(0.2);
    (
        0..4u8,
        any::<Option<Index>>(),
        proptest::option::weighted(0.2, any::<Index>()),
        (rare(), rare(), rare(), any::<bool>()),
    )
        .prop_map(
            |(policy, cut, purge, (unsponsored, void_role, muted, quick))| Decree {
                policy,
                cut,
                purge,
                unsponsored,
                void_role,
                muted,
                quick,
            },
        )
}

/// People: Ada with two devices, John, two moderators. Everything in one channel.
fn authors() -> [Author; 5] {
    [(1, 11), (1, 21), (4, 14), (2, 12), (3, 13)].map(|(user, device)| Author::new(user, device))
}

fn write(steps: &[Step]) -> Vec<AcceptedOp> {
    let mut authors = authors();
    let mut clocks = [0; 5];
    let mut ops: Vec<AcceptedOp> = Vec::new();
    for step in steps {
        let author = &mut authors[step.author];
        let target = (!ops.is_empty()).then(|| step.target.get(&ops).clone());
        let time_of = |op: &AcceptedOp| op.header().hlc.as_raw() >> 32;
        let after = target.as_ref().map_or(0, time_of);
        let at = after.max(clocks[step.author]) + step.wait;
        clocks[step.author] = at;
        let text = format!("{at}");
        let Some(target) = target else {
            ops.push(author.post(at, &text));
            continue;
        };
        let is_post = matches!(
            target.header().kind(),
            Some(Kind::Post | Kind::ThreadCreate)
        );
        let own = target.header().user == author.user;
        let moderator = step.author >= 3;
        ops.push(match step.act {
            0 => author.post(at, &text),
            1 => author.thread(at, &text),
            2..=4 if is_post => author.reply(at, &target, &text),
            5 if is_post && own => author.edit(at, &target, &text),
            6 if is_post && own => author.act(at, &target, &Payload::SelfDelete),
            7 if is_post => author.react(at, &target, "+"),
            8 if is_post => author.unreact(at, &target, "+"),
            9 if is_post && moderator => author.tombstone(at, &target, &text),
            10 if moderator => author.act(at, &target, &Payload::ModRestore),
            11 if is_post && moderator => author.act(at, &target, &Payload::Pin),
            12 if is_post && moderator => author.act(at, &target, &Payload::Unpin),
            13 => author.retitle(at, &target, &text),
            _ => author.react(at, &target, "-"),
        });
    }
    ops
}

/// Removes John, and a moderator in some runs.
fn decree(decree: &Decree, ops: &[AcceptedOp]) -> Fiat {
    let authors = authors();
    let mut fiat = Fiat {
        quick: decree.quick,
        ..Fiat::default()
    };
    fiat.promote(&authors[3], 20, 9);
    fiat.promote(&authors[4], 20, 4);
    let whom = &authors[2 + usize::from(decree.void_role)];
    let policies = [
        LatePolicy::Accept,
        LatePolicy::Quarantine,
        LatePolicy::Reject,
    ];
    if let Some(policy) = policies.get(usize::from(decree.policy)) {
        let mut kick = removal(control(5), *policy);
        let lane: Vec<_> = ops
            .iter()
            .filter(|op| op.header().device == whom.device())
            .collect();
        if let Some(at) = decree.cut {
            kick.cut = cut((!lane.is_empty()).then(|| *at.get(&lane)));
        }
        if let Some(at) = decree.purge.filter(|_| !lane.is_empty()) {
            kick.purge = purge_from(lane[at.index(lane.len())]);
        }
        fiat.remove(whom, kick);
    }
    if decree.unsponsored {
        fiat.unsponsored.insert(authors[0].user, control(6));
    }
    if decree.void_role {
        fiat.void_roles.insert(authors[4].user, control(7));
    }
    if decree.muted {
        fiat.mutes.insert(authors[2].user, control(8));
    }
    fiat
}

/// All posts, whatever became of them, in order.
fn everything(replica: &Replica) -> Vec<PostView> {
    let view = replica.view();
    let ids = replica.rows().into_iter().filter(|r| r.table.0 == "thread");
    let ids = ids.map(|r| OrderKey::from_bytes(&r.key[r.key.len() - 80..]).unwrap().id);
    ids.map(|id| view.post(&id).unwrap().unwrap()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn arrival_order_is_irrelevant(
        (ops, shuffled, d) in (arb_history(), arb_decree()).prop_flat_map(|(steps, d)| {
            let ops = write(&steps);
            (Just(ops.clone()), Just(ops).prop_shuffle(), Just(d))
        })
    ) {
        let fiat = decree(&d, &ops);
        let here = Replica::of(&fiat, &ops);
        // Duplicates too.
        let there = Replica::of(&fiat, shuffled.iter().chain(shuffled.iter().take(5)));
        prop_assert_eq!(here.rows(), there.rows());
        prop_assert_eq!(everything(&here), everything(&there));
        prop_assert_eq!(here.hash(), there.hash());
        let list = |r: &Replica| r.view().threads(&CHANNEL, ThreadSort::Activity, Include::Everything, 99).unwrap();
        prop_assert_eq!(list(&here), list(&there));
    }

    #[test]
    fn incremental_is_from_scratch_across_authority_changes(
        steps in arb_history(), d1 in arb_decree(), d2 in arb_decree(), at in any::<Index>()
    ) {
        let ops = write(&steps);
        let mut grown = Replica { fiat: decree(&d1, &ops), ..Replica::default() };
        let (early, late) = ops.split_at(at.index(ops.len() + 1));
        early.iter().for_each(|op| grown.add(op));
        prop_assert_eq!(grown.hash(), Replica::of(&decree(&d1, &ops), early).hash());
        // Authority changes in between; nothing is rewritten.
        let devices = core::mem::take(&mut grown.fiat.devices);
        grown.fiat = Fiat { devices, ..decree(&d2, &ops) };
        late.iter().for_each(|op| grown.add(op));
        let scratch = Replica::of(&decree(&d2, &ops), &ops);
        prop_assert_eq!(grown.rows(), scratch.rows());
        prop_assert_eq!(everything(&grown), everything(&scratch));
    }

    #[test]
    fn pages_cover_every_post_exactly_once(
        steps in arb_history(), d in arb_decree(), limit in 1..7usize, include in 0..3usize
    ) {
        let ops = write(&steps);
        let replica = Replica::of(&decree(&d, &ops), &ops);
        let view = replica.view();
        let include = [Include::Shown, Include::Placeholders, Include::Everything][include];
        let mut lines: Vec<_> = ops.iter().map(line_in).collect();
        lines.push(main_line());
        for line in lines {
            let whole = view.page(&line, Cursor::Oldest, include, 1_000).unwrap();
            prop_assert_eq!(whole.next, None);
            prop_assert!(whole.posts.is_sorted_by(|a, b| a.key() < b.key()));
            for start in [Cursor::Oldest, Cursor::Newest] {
                let (mut walked, mut at) = (Vec::new(), Some(start));
                while let Some(cursor) = at {
                    let page = view.page(&line, cursor, include, limit).unwrap();
                    prop_assert!(page.posts.len() <= limit && page.next != Some(cursor));
                    if start == Cursor::Oldest {
                        walked.extend(page.posts);
                    } else {
                        walked.splice(0..0, page.posts);
                    }
                    at = page.next;
                }
                prop_assert_eq!(&walked, &whole.posts);
            }
        }
    }

    #[test]
    fn counting_agrees_with_reading(steps in arb_history(), d in arb_decree(), own in 0..5usize, at in any::<Index>()) {
        let ops = write(&steps);
        let replica = Replica::of(&decree(&d, &ops), &ops);
        let view = replica.view();
        let own = BTreeSet::from([authors()[own].device()]);
        let since = OrderKey::of(&ops[at.index(ops.len())]);
        let unread = |line: &fold::content::Line| {
            let page = view.page(line, Cursor::After(since), Include::Shown, 1_000).unwrap();
            page.posts.iter().filter(|p| !own.contains(&p.device)).count() as u64
        };
        let mut sum = unread(&main_line());
        for thread in view.threads(&CHANNEL, ThreadSort::Created, Include::Everything, 99).unwrap() {
            let line = fold::content::Line { channel: CHANNEL, thread: Some(thread.id) };
            let shown = view.page(&line, Cursor::Oldest, Include::Shown, 1_000).unwrap().posts;
            let replies: Vec<_> = shown.iter().filter(|p| p.id != thread.id).collect();
            prop_assert_eq!(thread.replies, replies.len() as u64);
            prop_assert_eq!(thread.last_activity, replies.last().map_or(thread.created, |p| p.key()));
            prop_assert_eq!(view.unread(&line, Some(&since), &own).unwrap(), unread(&line));
            sum += unread(&line);
        }
        prop_assert_eq!(view.unread_in_channel(&CHANNEL, Some(&since), &own).unwrap(), sum);
    }

    #[test]
    fn the_index_agrees_with_a_reader_that_has_none(steps in arb_history(), d in arb_decree()) {
        let ops = write(&steps);
        let fiat = decree(&d, &ops);
        let replica = Replica::of(&fiat, &ops);
        let oracle = Oracle { ops: &ops, fiat: &fiat };
        for op in ops.iter().filter(|op| is_post(op.header())) {
            let post = replica.post(op);
            prop_assert_eq!(name(&post.state), oracle.state(op));
            if post.state.is_shown() {
                prop_assert_eq!(post.edit, oracle.edit(op));
                let reacted = post.reactions.iter().filter(|r| r.emoji == "+");
                let reacted: BTreeSet<_> = reacted.flat_map(|r| r.users.iter().chain(&r.late)).copied().collect();
                prop_assert_eq!(reacted, oracle.reacted(op));
                prop_assert_eq!(post.pinned, oracle.pin(op));
            }
        }
    }
}

fn is_post(header: &Header) -> bool {
    matches!(header.kind(), Some(Kind::Post | Kind::ThreadCreate))
}

fn name(state: &PostState) -> &'static str {
    match state {
        // An edit's flag may be the post's: the oracle looks at the post alone.
        PostState::Normal | PostState::Late(_) | PostState::MutedConcurrently { .. } => "shown",
        PostState::Hidden { .. } => "hidden",
        PostState::SelfDeleted { .. } => "deleted",
        PostState::Unreadable => "unreadable",
        PostState::NotAccepted { .. } => "refused",
    }
}

/// The definitions of B8 and B10 over a plain list of ops, without index, lanes without forks.
struct Oracle<'a> {
    ops: &'a [AcceptedOp],
    fiat: &'a Fiat,
}

impl<'a> Oracle<'a> {
    fn removal(&self, op: &AcceptedOp) -> Option<&EffectiveRemoval> {
        let found = self
            .fiat
            .removals
            .iter()
            .find(|(user, _)| *user == op.header().user);
        found.map(|(_, removal)| &**removal)
    }

    /// "accepted", "late" or "refused".
    fn verdict(&self, op: &AcceptedOp) -> &'static str {
        let header = op.header();
        let act = matches!(
            header.kind(),
            Some(Kind::ModTombstone | Kind::ModRestore | Kind::Pin | Kind::Unpin)
        );
        let void_role = self.fiat.void_roles.contains_key(&header.user);
        if self.fiat.unsponsored.contains_key(&header.user) || (act && void_role) {
            return "refused";
        }
        let Some(removal) = self.removal(op) else {
            return "accepted";
        };
        let listed = removal.cut.first();
        let covered = listed
            .and_then(|scope| scope.heads.first())
            .is_some_and(|head| header.seq <= head.seq);
        if covered {
            return "accepted";
        }
        if act || (listed.is_some() && removal.late == LatePolicy::Reject) {
            return "refused";
        }
        "late"
    }

    fn on<'s>(&'s self, target: &AcceptedOp, kind: Kind) -> impl Iterator<Item = &'s AcceptedOp> {
        let id = target.id();
        self.ops.iter().filter(move |op| {
            op.header().kind() == Some(kind)
                && op.header().prev == [id]
                && self.verdict(op) != "refused"
        })
    }

    fn saw(&self, later: &AcceptedOp, earlier: &AcceptedOp) -> bool {
        let (a, b) = (earlier.header(), later.header());
        if a.device != b.device {
            return OrderKey::of(earlier) < OrderKey::of(later);
        }
        a.seq < b.seq
    }

    fn tombstoned(&self, op: &AcceptedOp) -> bool {
        self.on(op, Kind::ModTombstone).any(|deletion| {
            let of_post = self.on(op, Kind::ModRestore);
            let of_deletion = self.on(deletion, Kind::ModRestore);
            let rank = |op: &AcceptedOp| self.fiat.ranks[&op.header().user];
            !of_post
                .chain(of_deletion)
                .any(|restore| self.saw(restore, deletion) && rank(restore) >= rank(deletion))
        })
    }

    fn state(&self, op: &AcceptedOp) -> &'static str {
        let header = op.header();
        if self.verdict(op) == "refused" {
            return "refused";
        }
        let thread = self
            .ops
            .iter()
            .find(|thread| header.prev.contains(&thread.id()));
        let purged = self.removal(op).is_some_and(|r| {
            r.purge
                .iter()
                .any(|p| p.device == header.device && p.seq <= header.seq)
        });
        if self.tombstoned(op) || purged || thread.is_some_and(|t| self.tombstoned(t)) {
            return "hidden";
        }
        if self.on(op, Kind::SelfDelete).next().is_some() {
            return "deleted";
        }
        "shown"
    }

    fn edit(&self, op: &AcceptedOp) -> Option<OpId> {
        let last = self
            .on(op, Kind::Edit)
            .max_by_key(|edit| OrderKey::of(edit));
        last.map(|edit| edit.id())
    }

    fn pin(&self, op: &AcceptedOp) -> Option<OpId> {
        let acts = self.on(op, Kind::Pin).chain(self.on(op, Kind::Unpin));
        let last = acts.max_by_key(|act| OrderKey::of(act))?;
        (last.header().kind() == Some(Kind::Pin)).then(|| last.id())
    }

    fn reacted(&self, op: &AcceptedOp) -> BTreeSet<UserId> {
        let emoji = |op: &AcceptedOp| match op.payload() {
            Ok(Some(Payload::React(p) | Payload::Unreact(p))) => p.emoji,
            _ => String::new(),
        };
        let standing = self.on(op, Kind::React).filter(|add| {
            let user = add.header().user;
            emoji(add) == "+"
                && !self
                    .on(op, Kind::Unreact)
                    .any(|take| take.header().user == user && self.saw(take, add))
        });
        standing.map(|add| add.header().user).collect()
    }
}
