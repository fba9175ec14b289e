//! What a post looks like after everything that was done to it, and how lists and pages find it.

mod content_support;

use std::collections::BTreeSet;

use content_support::*;
use fold::content::{
    Cursor, HiddenBy, Include, Late, Line, OrderKey, PostState, ThreadSort, index,
};
use oplog::payload::{LatePolicy, Payload};
use oplog::store::{Location, Store};
use oplog::{AcceptedOp, Kind, OpId};

/// Ada writes, Mo moderates, Sue moderates and is senior to Mo, John is anybody.
struct Cast {
    ada: Author,
    mo: Author,
    sue: Author,
    john: Author,
    fiat: Fiat,
}

fn cast() -> Cast {
    let [ada, mo, sue, john] = [(1, 11), (2, 12), (3, 13), (4, 14)].map(|(u, d)| Author::new(u, d));
    let mut fiat = Fiat::default();
    fiat.promote(&mo, 20, 9);
    fiat.promote(&sue, 20, 4);
    Cast {
        ada,
        mo,
        sue,
        john,
        fiat,
    }
}

/// Asserts that every order of these ops gives one hash, and returns the replica.
fn any_order(fiat: &Fiat, ops: &[AcceptedOp]) -> Replica {
    let replica = Replica::of(fiat, ops);
    for order in permutations(ops) {
        let other = Replica::of(fiat, &order);
        assert_eq!(other.rows(), replica.rows());
        assert_eq!(other.hash(), replica.hash());
    }
    replica
}

fn is_hidden(replica: &Replica, op: &AcceptedOp) -> bool {
    matches!(replica.state(op), PostState::Hidden { .. })
}

#[test]
fn b0_delete_and_post_commute_and_the_post_stays_in_the_log() {
    let mut c = cast();
    let post = c.ada.post(10, "text");
    let edit = c.ada.edit(11, &post, "more");
    let deletion = c.mo.tombstone(12, &post, "rude");
    let replica = any_order(&c.fiat, &[post.clone(), edit, deletion.clone()]);
    let shown = replica.post(&post);
    assert_eq!(
        shown.state,
        PostState::Hidden {
            what: HiddenBy::Tombstone,
            op: deletion.id(),
            by: c.mo.user,
            reason: "rude".into()
        }
    );
    assert_eq!(
        (shown.state.rule(), shown.state.decided_by()),
        (Some("B10"), Some(deletion.id()))
    );
    assert!(shown.body.is_empty() && shown.history.is_empty());
}

#[test]
fn a_restore_needs_rank_and_to_be_later() {
    #[derive(Debug, Clone, Copy)]
    enum By {
        Mo,
        Sue,
    }
    // who deletes, who restores, whether the restore names the tombstone and not the post → shown
    for (deleter, restorer, names_tombstone, shown) in [
        (By::Mo, By::Mo, true, true),
        (By::Mo, By::Mo, false, true), // one lane
        (By::Mo, By::Sue, true, true),
        (By::Mo, By::Sue, false, true), // and later
        (By::Sue, By::Mo, true, false), // junior
        (By::Sue, By::Mo, false, false),
    ] {
        let mut c = cast();
        let post = c.ada.post(10, "text");
        let deletion = match deleter {
            By::Mo => c.mo.tombstone(12, &post, ""),
            By::Sue => c.sue.tombstone(12, &post, ""),
        };
        let target = if names_tombstone { &deletion } else { &post };
        let restore = match restorer {
            By::Mo => c.mo.act(20, target, &Payload::ModRestore),
            By::Sue => c.sue.act(20, target, &Payload::ModRestore),
        };
        let replica = any_order(&c.fiat, &[post.clone(), deletion, restore]);
        assert_eq!(
            !is_hidden(&replica, &post),
            shown,
            "{deleter:?} {restorer:?} {names_tombstone}"
        );
    }
}

#[test]
fn a_restore_does_not_undo_what_comes_after_it() {
    let mut c = cast();
    let post = c.ada.post(10, "text");
    // Dated before the tombstone; and in the lane of its own author, before it.
    let senior = c.sue.act(11, &post, &Payload::ModRestore);
    let own = c.mo.act(12, &post, &Payload::ModRestore);
    let deletion = c.mo.tombstone(20, &post, "");
    assert!(is_hidden(
        &any_order(&c.fiat, &[post.clone(), senior, own, deletion]),
        &post
    ));
}

#[test]
fn a_restore_on_another_branch_of_a_forked_lane_undoes_nothing() {
    let mut c = cast();
    let post = c.ada.post(10, "text");
    let base = c.mo.post(11, "base");
    let deletion = c.mo.tombstone(12, &post, "");
    c.mo.forget_after(&base);
    let filler = c.mo.post(13, "elsewhere");
    let restore = c.mo.act(14, &post, &Payload::ModRestore);
    assert!(is_hidden(
        &any_order(&c.fiat, &[post.clone(), base, deletion, filler, restore]),
        &post
    ));
}

#[test]
fn a_restore_that_names_a_tombstone_undoes_that_one_alone_and_a_new_one_hides_again() {
    let mut c = cast();
    let post = c.ada.post(10, "text");
    let first = c.mo.tombstone(12, &post, "mo");
    let second = c.sue.tombstone(13, &post, "sue");
    let mut ops = vec![post.clone(), first.clone(), second.clone()];
    let standing = |ops: &[AcceptedOp]| -> Vec<OpId> {
        let replica = Replica::of(&c.fiat, ops);
        let tombstones = replica.view().tombstones(&post.id()).unwrap();
        tombstones.into_iter().map(|t| t.op).collect()
    };
    assert_eq!(
        standing(&ops),
        [second.id(), first.id()],
        "greatest rank first"
    );
    ops.push(c.sue.act(20, &first, &Payload::ModRestore));
    assert_eq!(standing(&ops), [second.id()]);
    ops.push(c.sue.act(21, &second, &Payload::ModRestore));
    assert_eq!(standing(&ops), []);
    ops.push(c.mo.tombstone(22, &post, "again"));
    assert!(is_hidden(&Replica::of(&c.fiat, &ops), &post));
}

#[test]
fn a_tombstone_without_a_readable_payload_hides_alike() {
    let mut c = cast();
    let post = c.ada.post(10, "text");
    let deletion = c.mo.garble(12, Kind::ModTombstone, &[post.id()]);
    assert!(is_hidden(&Replica::of(&c.fiat, [&post, &deletion]), &post));
}

#[test]
fn a_tombstoned_thread_hides_its_posts_and_a_self_deleted_one_does_not() {
    let mut c = cast();
    let thread = c.ada.thread(10, "t");
    let reply = c.john.reply(11, &thread, "r");
    let deletion = c.mo.tombstone(12, &thread, "");
    let replica = any_order(&c.fiat, &[thread.clone(), reply.clone(), deletion.clone()]);
    let PostState::Hidden { what, op, .. } = replica.state(&reply) else {
        panic!("shown");
    };
    assert_eq!((what, op), (HiddenBy::ThreadTombstone, deletion.id()));

    let gone = c.ada.act(13, &thread, &Payload::SelfDelete);
    let replica = any_order(&c.fiat, &[thread.clone(), reply.clone(), gone.clone()]);
    assert_eq!(
        replica.state(&thread),
        PostState::SelfDeleted { op: gone.id() }
    );
    assert_eq!(replica.state(&reply), PostState::Normal);
    let listed = replica
        .view()
        .threads(&CHANNEL, ThreadSort::Created, Include::Shown, 9)
        .unwrap();
    assert_eq!(listed.len(), 1, "the replies are others'");
}

#[test]
fn the_newest_accepted_edit_of_the_author_wins_with_its_history() {
    let mut c = cast();
    let mut ada2 = Author::new(1, 21);
    let post = c.ada.post(10, "one");
    let second = c.ada.edit(20, &post, "two");
    let third = ada2.edit(30, &post, "three");
    let between = ada2.edit(40, &post, "four");
    let foreign = c.john.edit(50, &post, "not mine");
    let garbled = c.ada.garble(60, Kind::Edit, &[post.id()]);
    let ops = [
        post.clone(),
        second.clone(),
        third.clone(),
        between.clone(),
        foreign,
        garbled,
    ];
    let replica = any_order(&c.fiat, &ops);
    let shown = replica.post(&post);
    assert_eq!(
        (shown.body.as_str(), shown.edit),
        ("four", Some(between.id()))
    );
    let history: Vec<_> = shown
        .history
        .iter()
        .map(|r| (r.op, r.wall.as_ms(), r.body.as_str()))
        .collect();
    assert_eq!(
        history,
        [
            (post.id(), 10_000, "one"),
            (second.id(), 20_000, "two"),
            (third.id(), 30_000, "three")
        ]
    );
}

#[test]
fn a_late_edit_brings_its_flag_and_a_refused_one_changes_nothing() {
    for (policy, body, state) in [
        (LatePolicy::Accept, "late", Some(false)),
        (LatePolicy::Quarantine, "late", Some(true)),
        (LatePolicy::Reject, "in time", None),
    ] {
        let mut c = cast();
        let post = c.john.post(10, "in time");
        let edit = c.john.edit(20, &post, "late");
        let mut kick = removal(control(5), policy);
        kick.cut = cut(Some(&post));
        c.fiat.remove(&c.john, kick);
        let replica = any_order(&c.fiat, &[post.clone(), edit]);
        let shown = replica.post(&post);
        assert_eq!(shown.body, body);
        let expected = state.map_or(PostState::Normal, |quarantined| {
            PostState::Late(Late {
                quarantined,
                unverified: false,
                removal: control(5),
            })
        });
        assert_eq!(shown.state, expected);
    }
}

#[test]
fn reactions_are_add_wins_for_each_person_and_emoji() {
    // r = react, u = unreact, by device 1 or 2 of one person, in this order of time → stands
    for (script, stands) in [
        ("r1", true),
        ("r1 u1", false),
        ("r1 u1 r1", true),
        ("u1 r1", true),
        ("r1 r2 u2", false),
        ("r1 u2", false),
        ("u2 r1", true),
        ("r1 u1 r2", true),
        ("r1 r1 u1", false),
    ] {
        let mut c = cast();
        let post = c.john.post(1, "p");
        let mut devices = [Author::new(1, 11), Author::new(1, 21)];
        let mut ops = vec![post.clone()];
        for (i, step) in script.split(' ').enumerate() {
            let device = if step.ends_with('1') {
                &mut devices[0]
            } else {
                &mut devices[1]
            };
            let at = 10 + i as u64;
            ops.push(match step.as_bytes()[0] {
                b'r' => device.react(at, &post, "👍"),
                _ => device.unreact(at, &post, "👍"),
            });
        }
        // Another emoji, another person: neither is touched.
        ops.push(c.ada.react(90, &post, "🎉"));
        let replica = any_order(&c.fiat, &ops);
        let reactions = replica.post(&post).reactions;
        let thumbs: Vec<_> = reactions.iter().filter(|r| r.emoji == "👍").collect();
        assert_eq!(!thumbs.is_empty(), stands, "{script}");
        assert!(
            reactions
                .iter()
                .any(|r| r.emoji == "🎉" && r.users == [c.ada.user])
        );
    }
}

#[test]
fn a_fork_of_a_lane_takes_back_only_what_is_on_its_chain() {
    let mut c = cast();
    let post = c.john.post(1, "p");
    let base = c.ada.post(2, "base");
    let reacted = c.ada.react(10, &post, "👍");
    c.ada.forget_after(&base);
    let filler = c.ada.post(11, "elsewhere");
    let taken = c.ada.unreact(12, &post, "👍");
    let replica = any_order(&c.fiat, &[post.clone(), base, reacted, filler, taken]);
    assert_eq!(replica.post(&post).reactions.len(), 1);
}

#[test]
fn a_late_reaction_is_told_apart() {
    let mut c = cast();
    let post = c.ada.post(1, "p");
    let mut kick = removal(control(5), LatePolicy::Accept);
    let in_time = c.john.react(2, &post, "👍");
    let late = c.john.react(3, &post, "🎉");
    let hers = c.sue.react(4, &post, "🎉");
    kick.cut = cut(Some(&in_time));
    c.fiat.remove(&c.john, kick);
    let replica = any_order(&c.fiat, &[post.clone(), in_time, late, hers]);
    let got: Vec<_> = replica
        .post(&post)
        .reactions
        .into_iter()
        .map(|r| (r.emoji, r.users, r.late))
        .collect();
    assert_eq!(
        got,
        [
            ("🎉".to_owned(), vec![c.sue.user], vec![c.john.user]),
            ("👍".to_owned(), vec![c.john.user], vec![])
        ]
    );
}

#[test]
fn deletion_by_the_author_yields_to_a_moderators_and_needs_the_same_person() {
    let mut c = cast();
    let post = c.ada.post(10, "text");
    let own = c.ada.act(11, &post, &Payload::SelfDelete);
    let replica = any_order(&c.fiat, &[post.clone(), own.clone()]);
    assert_eq!(
        replica.state(&post),
        PostState::SelfDeleted { op: own.id() }
    );
    let foreign = c.john.act(12, &post, &Payload::SelfDelete);
    assert_eq!(
        Replica::of(&c.fiat, [&post, &foreign]).state(&post),
        PostState::Normal
    );
    let deletion = c.mo.tombstone(12, &post, "");
    assert!(is_hidden(
        &any_order(&c.fiat, &[post.clone(), own, deletion]),
        &post
    ));
}

#[test]
fn a_post_that_cannot_be_decoded_is_unreadable_and_can_be_hidden() {
    let mut c = cast();
    let post = c.ada.garble(10, Kind::Post, &[]);
    let replica = any_order(&c.fiat, std::slice::from_ref(&post));
    assert_eq!(replica.state(&post), PostState::Unreadable);
    let page = replica
        .view()
        .page(&main_line(), Cursor::Oldest, Include::Shown, 9)
        .unwrap();
    assert_eq!(page.posts.len(), 1);
    let edit = c.ada.edit(11, &post, "does not help");
    let replica = any_order(&c.fiat, &[post.clone(), edit]);
    assert_eq!(
        (replica.state(&post), replica.post(&post).body),
        (PostState::Unreadable, String::new())
    );
    let deletion = c.mo.tombstone(12, &post, "");
    assert!(is_hidden(&Replica::of(&c.fiat, [&post, &deletion]), &post));
}

#[test]
fn a_thread_or_answer_that_prev_does_not_name_is_none() {
    let mut c = cast();
    let thread = c.ada.thread(10, "t");
    let loose = c.john.write(
        11,
        CHANNEL,
        &[],
        &post(Some(thread.id()), Some(thread.id()), "loose", &[]),
    );
    let tied = c.john.write(
        12,
        CHANNEL,
        &[thread.id()],
        &post(Some(thread.id()), Some(thread.id()), "tied", &[]),
    );
    let replica = any_order(&c.fiat, &[thread.clone(), loose.clone(), tied.clone()]);
    let [loose, tied] = [&loose, &tied].map(|op| replica.post(op));
    assert_eq!((loose.thread, loose.reply_to), (None, None));
    assert_eq!(
        (tied.thread, tied.reply_to),
        (Some(thread.id()), Some(thread.id()))
    );
    assert_eq!(bodies(&replica.view(), &main_line()), ["loose"]);
    assert_eq!(
        bodies(&replica.view(), &line_in(&thread)),
        ["about t", "tied"]
    );
}

#[test]
fn the_last_pin_or_unpin_decides_and_pins_are_listed_while_shown() {
    let mut c = cast();
    let [a, b, d] = [(10, "a"), (11, "b"), (12, "d")].map(|(at, text)| c.ada.post(at, text));
    let ops = [
        a.clone(),
        b.clone(),
        d.clone(),
        c.mo.act(20, &a, &Payload::Pin),
        c.sue.act(21, &b, &Payload::Pin),
        c.mo.act(22, &d, &Payload::Pin),
        c.sue.act(23, &a, &Payload::Unpin),
        c.mo.act(24, &a, &Payload::Pin),
        c.mo.act(25, &b, &Payload::Unpin),
        c.sue.tombstone(26, &d, ""),
    ];
    let replica = Replica::of(&c.fiat, &ops);
    let pins: Vec<_> = replica
        .view()
        .pins(&CHANNEL)
        .unwrap()
        .into_iter()
        .map(|p| (p.id, p.pinned))
        .collect();
    assert_eq!(pins, [(a.id(), Some(ops[7].id()))]);
}

#[test]
fn threads_are_listed_by_activity_or_opening() {
    let mut c = cast();
    let old = c.ada.thread(10, "old");
    let new = c.ada.thread(20, "new");
    let hidden = c.ada.thread(30, "hidden");
    let ops = [
        old.clone(),
        new.clone(),
        hidden.clone(),
        c.john.reply(40, &old, "one"),
        c.john.reply(50, &old, "two"),
        c.john.reply(60, &new, "gone"),
        c.john.reply(61, &hidden, "gone too"),
        c.ada.retitle(70, &new, "renamed"),
        c.mo.tombstone(80, &hidden, ""),
        c.mo.act(81, &new, &Payload::Pin),
    ];
    let gone = c.mo.tombstone(82, &ops[5], "");
    for quick in [false, true] {
        c.fiat.quick = quick;
        let replica = Replica::of(&c.fiat, ops.iter().chain([&gone]));
        let view = replica.view();
        let list = |sort, include, limit| -> Vec<_> {
            let threads = view.threads(&CHANNEL, sort, include, limit).unwrap();
            threads
                .into_iter()
                .map(|t| (t.title, t.replies, t.last_activity.hlc, t.pinned.is_some()))
                .collect()
        };
        let row = |title: &str, replies, at, pinned| (title.to_owned(), replies, hlc(at), pinned);
        let (by_activity, by_opening) = (ThreadSort::Activity, ThreadSort::Created);
        assert_eq!(
            list(by_activity, Include::Shown, 9),
            [row("old", 2, 50, false), row("renamed", 0, 20, true)]
        );
        assert_eq!(
            list(by_opening, Include::Shown, 9),
            [row("renamed", 0, 20, true), row("old", 2, 50, false)]
        );
        assert_eq!(
            list(by_opening, Include::Placeholders, 1),
            [row("", 0, 30, false)]
        );
        assert_eq!(
            list(by_activity, Include::Shown, 1),
            [row("old", 2, 50, false)]
        );
        assert_eq!(list(by_activity, Include::Shown, 0), []);
    }
}

#[test]
fn mentions_follow_the_text_that_stands() {
    let mut c = cast();
    let me = c.sue.user;
    let plain = c
        .ada
        .write(10, CHANNEL, &[], &post(None, None, "hi", &[me]));
    let dropped = c
        .ada
        .write(11, CHANNEL, &[], &post(None, None, "hi", &[me]));
    let drop = c.ada.edit(20, &dropped, "never mind");
    let added = c.ada.post(12, "hello");
    let with = |body: &str| {
        Payload::Edit(oplog::payload::Edit {
            body: body.into(),
            mentions: vec![me],
        })
    };
    let add = c.ada.act(21, &added, &with("hello sue"));
    let again = c.ada.act(22, &plain, &with("hi sue"));
    let added_again = c.ada.act(22, &added, &with("hello, sue"));
    let hidden = c.ada.write(23, CHANNEL, &[], &post(None, None, "x", &[me]));
    let deletion = c.mo.tombstone(24, &hidden, "");
    let ops = [
        &plain,
        &dropped,
        &drop,
        &added,
        &add,
        &again,
        &added_again,
        &hidden,
        &deletion,
    ];
    let replica = Replica::of(&c.fiat, ops);
    let ids = |since: Option<OrderKey>, limit| -> Vec<OpId> {
        let found = replica.view().mentions(&me, since.as_ref(), limit).unwrap();
        found.into_iter().map(|p| p.id).collect()
    };
    assert_eq!(
        ids(None, 9),
        [added.id(), plain.id()],
        "an edit mentions anew only whom the post did not"
    );
    assert_eq!(ids(None, 1), [added.id()]);
    assert_eq!(ids(Some(OrderKey::of(&plain)), 9), [added.id()]);
    assert_eq!(ids(Some(OrderKey::of(&added_again)), 9), []);
}

#[test]
fn unread_counts_what_is_shown_and_not_ones_own() {
    let mut c = cast();
    let thread = c.ada.thread(5, "t");
    let posts: Vec<_> = (0..6).map(|i| c.ada.post(10 + i, "x")).collect();
    let mine = c.john.post(30, "mine");
    let reply = c.ada.reply(31, &thread, "r");
    let deletion = c.mo.tombstone(32, &posts[5], "");
    let own = BTreeSet::from([c.john.device()]);
    for quick in [false, true] {
        c.fiat.quick = quick;
        let replica = Replica::of(
            &c.fiat,
            posts.iter().chain([&thread, &mine, &reply, &deletion]),
        );
        let view = replica.view();
        let at = OrderKey::of(&posts[1]);
        assert_eq!(view.unread(&main_line(), Some(&at), &own).unwrap(), 3);
        assert_eq!(view.unread(&main_line(), None, &own).unwrap(), 5);
        assert_eq!(
            view.unread(&main_line(), None, &BTreeSet::new()).unwrap(),
            6
        );
        assert_eq!(
            view.unread_in_channel(&CHANNEL, Some(&at), &own).unwrap(),
            4
        );
    }
}

#[test]
fn a_page_goes_on_where_the_last_one_ended_in_both_directions() {
    let mut c = cast();
    let ops: Vec<_> = (0..10)
        .map(|i| c.ada.post(10 + i, &i.to_string()))
        .collect();
    let hidden = [
        c.mo.tombstone(90, &ops[3], ""),
        c.mo.tombstone(91, &ops[4], ""),
    ];
    let replica = Replica::of(&c.fiat, ops.iter().chain(&hidden));
    let page = |cursor, include, limit| {
        let page = replica
            .view()
            .page(&main_line(), cursor, include, limit)
            .unwrap();
        let texts: String = page
            .posts
            .iter()
            .map(|p| if p.body.is_empty() { "_" } else { &p.body })
            .collect();
        (texts, page.next)
    };
    let shown = Include::Shown;
    let (texts, next) = page(Cursor::Newest, shown, 4);
    assert_eq!(texts, "6789");
    let (texts, next) = page(next.unwrap(), shown, 4);
    assert_eq!(
        (texts.as_str(), next.is_some()),
        ("0125", false),
        "the hidden ones are filled up"
    );
    assert_eq!(page(Cursor::Newest, Include::Placeholders, 8).0, "2__56789");
    let (texts, next) = page(Cursor::After(OrderKey::of(&ops[1])), shown, 3);
    assert_eq!(texts, "256");
    assert_eq!(page(next.unwrap(), shown, 3), ("789".into(), None));
    assert_eq!(
        page(Cursor::Before(OrderKey::of(&ops[2])), shown, 9),
        ("01".into(), None)
    );
    assert_eq!(page(Cursor::Oldest, shown, 10).1, None);
}

#[test]
fn one_damaged_record_costs_one_op_and_is_named() {
    let mut c = cast();
    let ops = [
        c.ada.post(10, "a"),
        c.ada.post(11, "b"),
        c.ada.post(12, "c"),
    ];
    let reaction = c.john.react(13, &ops[0], "x");
    let mut replica = Replica::of(&c.fiat, ops.iter().chain([&reaction]));
    replica.log.damaged.extend([ops[1].id(), reaction.id()]);
    let view = replica.view();
    assert_eq!(bodies(&view, &main_line()), ["a", "c"]);
    let mut missing = vec![ops[1].id(), reaction.id()];
    missing.sort();
    assert_eq!(view.damaged(), missing);
}

#[test]
fn a_row_is_small_and_a_space_does_not_see_anothers() {
    let mut c = cast();
    let at = Location {
        segment: 1,
        offset: 2,
        len: 3,
    };
    let thread = c.ada.thread(9, "t");
    let ops = [
        (c.ada.post(10, "x"), 1),
        (c.john.reply(12, &thread, "x"), 1),
        (thread.clone(), 2),
        (c.ada.edit(13, &thread, "x"), 1),
        (c.ada.react(14, &thread, "x"), 1),
        (c.mo.tombstone(15, &thread, "x"), 2),
        (c.mo.act(16, &thread, &Payload::Pin), 2),
    ];
    for (op, count) in &ops {
        let rows = index::rows(PREFIX, op, at);
        assert_eq!(rows.len(), *count);
        for row in rows {
            assert!(row.key.starts_with(PREFIX) && row.key.len() + row.value.len() <= 150);
        }
    }
    let mut replica = Replica::of(&c.fiat, ops.iter().map(|(op, _)| op));
    index::insert(
        &mut replica.store,
        b"sp08",
        &c.ada.post(20, "elsewhere"),
        at,
    );
    let before = replica.rows().len();
    assert_eq!(bodies(&replica.view(), &main_line()), ["x"]);
    index::clear(&mut replica.store, PREFIX).unwrap();
    assert_eq!((replica.rows().len(), before), (1, 11));
    replica.store.commit().unwrap();
}

#[test]
fn channels_are_apart() {
    let mut c = cast();
    let here = c.ada.post(10, "here");
    let there = c.ada.write(11, OTHER, &[], &post(None, None, "there", &[]));
    let replica = any_order(&c.fiat, &[here, there]);
    let other = Line {
        channel: OTHER,
        thread: None,
    };
    assert_eq!(bodies(&replica.view(), &main_line()), ["here"]);
    assert_eq!(bodies(&replica.view(), &other), ["there"]);
    let hash = |channels: &[_]| replica.view().state_hash(channels).unwrap();
    assert_ne!(hash(&[CHANNEL]), hash(&[OTHER]));
}
