//! The D-rules, one table each (`docs/acceptance.md`), and B0's cases A, B and C.

mod content_support;

use content_support::*;
use fold::authority::RemovalKind;
use fold::content::{
    Closed, EffectiveRemoval, HiddenBy, Late, OPEN_LATE_OPS_MAX, PostState, Rule,
    SCOPE_LATE_OPS_MAX, Verdict,
};
use oplog::payload::LatePolicy::{self, Accept, Quarantine, Reject};
use oplog::payload::ScopeCut;
use oplog::{AcceptedOp, ChannelId, Scope};

const KICK: u8 = 0x50;

fn late(quarantined: bool, unverified: bool) -> PostState {
    PostState::Late(Late {
        quarantined,
        unverified,
        removal: control(KICK),
    })
}

fn refused(rule: Rule, by: u8) -> PostState {
    PostState::NotAccepted {
        rule,
        op: control(by),
    }
}

/// A lane of `n` posts, ten seconds apart.
fn lane(author: &mut Author, n: u64) -> Vec<AcceptedOp> {
    (0..n)
        .map(|i| author.post(10 + i, &format!("{i}")))
        .collect()
}

#[test]
fn b0_the_three_cases_of_a_removed_author_come_out_alike_in_every_order() {
    let mut john = Author::new(1, 11);
    let seen_by_bob = john.post(10, "A: Bob saw this");
    let unseen = john.post(20, "B: Bob did not");
    john.seen.insert(control(KICK));
    john.epoch = epoch(1);
    // The op names the removal, so acceptance (R4) refused it; one that only claims the new
    // epoch gets here.
    john.seen.clear();
    let claims_e1 = john.post(30, "C: claims the epoch after the removal");
    let mut fiat = Fiat::default();
    fiat.parents.insert(epoch(1), epoch(0));
    let mut kick = removal(control(KICK), Accept);
    kick.cut = cut(Some(&seen_by_bob));
    kick.first_epoch = Some(epoch(1));
    fiat.remove(&john, kick);

    let mut hashes = Vec::new();
    for order in permutations(&[seen_by_bob.clone(), unseen.clone(), claims_e1.clone()]) {
        let replica = Replica::of(&fiat, &order);
        assert_eq!(replica.state(&seen_by_bob), PostState::Normal, "case A");
        assert_eq!(replica.state(&unseen), late(false, false), "case B");
        assert_eq!(
            replica.state(&claims_e1),
            refused(Rule::Epoch, KICK),
            "case C"
        );
        assert_eq!(replica.post(&claims_e1).body, "");
        hashes.push(replica.hash());
    }
    hashes.dedup();
    assert_eq!(hashes.len(), 1);
}

#[test]
fn b0_a_second_membership_is_judged_by_its_own_removal() {
    let mut john = Author::new(1, 11);
    let first = john.post(10, "first time");
    john.seen.insert(control(KICK));
    john.epoch = epoch(2);
    let second = john.post(20, "invited again");
    let mut fiat = Fiat::default();
    fiat.parents
        .extend([(epoch(2), epoch(1)), (epoch(1), epoch(0))]);
    let mut kick = removal(control(KICK), Accept);
    kick.cut = cut(None);
    kick.first_epoch = Some(epoch(1));
    kick.purge = purge_from(&first);
    fiat.remove(&john, kick);
    let replica = Replica::of(&fiat, [&first, &second]);
    assert_eq!(replica.state(&second), PostState::Normal);
    assert!(matches!(
        replica.state(&first),
        PostState::Hidden {
            what: HiddenBy::Purge,
            ..
        }
    ));
}

#[test]
fn d0_an_unsponsored_author_is_not_heard() {
    let mut sybil = Author::new(1, 11);
    let mut mod_by_sybil = Author::new(2, 12);
    let post = sybil.post(10, "buy");
    let reaction = sybil.react(11, &post, "x");
    let other = mod_by_sybil.post(12, "fine");
    let deletion = sybil.tombstone(13, &other, "");
    let mut fiat = Fiat::default();
    fiat.unsponsored.insert(sybil.user, control(7));
    let replica = Replica::of(&fiat, [&post, &reaction, &other, &deletion]);
    assert_eq!(replica.state(&post), refused(Rule::Unsponsored, 7));
    assert_eq!(replica.state(&other), PostState::Normal);
    assert_eq!(bodies(&replica.view(), &main_line()), ["fine"]);
    // A later effective grant ratifies.
    let replica = Replica::of(&Fiat::default(), [&post, &reaction, &other, &deletion]);
    assert_eq!(replica.state(&post), PostState::Normal);
    assert!(matches!(replica.state(&other), PostState::Hidden { .. }));
}

#[test]
fn d1_d2_d3_by_cut_and_policy() {
    // policy, cut: None = scope open, Some(None) = nothing there, Some(Some(i)) = head at i;
    // then the state of op 2 of 0..=4
    type Cut = Option<Option<usize>>;
    let rows: [(LatePolicy, Cut, PostState); 12] = [
        (Accept, Some(Some(2)), PostState::Normal),
        (Reject, Some(Some(2)), PostState::Normal),
        (Reject, Some(Some(4)), PostState::Normal),
        (Accept, Some(Some(1)), late(false, false)),
        (Quarantine, Some(Some(1)), late(true, false)),
        (Reject, Some(Some(1)), refused(Rule::Policy, KICK)),
        (Accept, Some(None), late(false, false)),
        (Quarantine, Some(None), late(true, false)),
        (Reject, Some(None), refused(Rule::Policy, KICK)),
        (Accept, None, late(false, true)),
        (Quarantine, None, late(true, true)),
        // Open: an incomplete cut can never wipe honest history.
        (Reject, None, late(true, true)),
    ];
    for (policy, given, expected) in rows {
        let mut john = Author::new(1, 11);
        let ops = lane(&mut john, 5);
        let mut kick = removal(control(KICK), policy);
        kick.cut = given.map_or(vec![], |head| cut(head.map(|i| &ops[i])));
        let mut fiat = Fiat::default();
        fiat.remove(&john, kick);
        let replica = Replica::of(&fiat, &ops);
        assert_eq!(replica.state(&ops[2]), expected, "{policy:?} {given:?}");
    }
}

#[test]
fn d1_coverage_is_united_and_the_strictest_policy_decides_the_rest() {
    let mut john = Author::new(1, 11);
    let ops = lane(&mut john, 6);
    let mut fiat = Fiat::default();
    let mut kick = removal(control(KICK), Reject);
    kick.cut = cut(Some(&ops[1]));
    let mut ban = removal(control(0x51), Accept);
    ban.cut = cut(Some(&ops[3]));
    fiat.remove(&john, kick);
    fiat.remove(&john, ban);
    let replica = Replica::of(&fiat, &ops);
    let states: Vec<_> = ops.iter().map(|op| replica.state(op)).collect();
    assert!(states[..=3].iter().all(|s| *s == PostState::Normal));
    assert!(
        states[4..]
            .iter()
            .all(|s| *s == refused(Rule::Policy, KICK))
    );
}

#[test]
fn d3_the_epoch_counts_by_descent_and_never_by_number() {
    // epoch tree: 0 → 1 → 2, and 0 → 3 → 4 on another branch; E1 = 1
    for (claimed, expected) in [
        (0, late(false, false)),
        (1, refused(Rule::Epoch, KICK)),
        (2, refused(Rule::Epoch, KICK)),
        (3, late(false, false)),
        (4, late(false, false)),
    ] {
        let mut john = Author::new(1, 11);
        john.epoch = epoch(claimed);
        let post = john.post(10, "x");
        let mut fiat = Fiat::default();
        fiat.parents.extend([
            (epoch(1), epoch(0)),
            (epoch(2), epoch(1)),
            (epoch(3), epoch(0)),
            (epoch(4), epoch(3)),
        ]);
        let mut kick = removal(control(KICK), Accept);
        kick.cut = cut(None);
        kick.first_epoch = Some(epoch(1));
        fiat.remove(&john, kick);
        let replica = Replica::of(&fiat, [&post]);
        assert_eq!(replica.state(&post), expected, "epoch {claimed}");
    }
}

#[test]
fn d3_the_quota_is_512_uncovered_ops_in_a_listed_scope() {
    let mut john = Author::new(1, 11);
    let ops = lane(&mut john, SCOPE_LATE_OPS_MAX + 5);
    let quota = usize::try_from(SCOPE_LATE_OPS_MAX).unwrap();
    // head of the cut → first op that is refused; an open scope has a wider quota
    for (listed, head, first_refused) in [
        (true, None, Some(quota)),
        (true, Some(0), Some(quota + 1)),
        (true, Some(2), Some(quota + 3)),
        (false, None, None),
    ] {
        let mut kick = removal(control(KICK), Accept);
        if listed {
            kick.cut = cut(head.map(|i: usize| &ops[i]));
        }
        let mut fiat = Fiat::default();
        fiat.remove(&john, kick);
        let replica = Replica::of(&fiat, &ops);
        let found = ops.iter().position(|op| {
            replica.view().verdict(op).unwrap()
                == Verdict::Refused {
                    rule: Rule::Quota,
                    by: control(KICK),
                }
        });
        assert_eq!(found, first_refused, "listed {listed}, head {head:?}");
    }
}

#[test]
fn d1_an_equivocated_lane_is_covered_along_the_chain_alone() {
    let mut john = Author::new(1, 11);
    let base = john.post(10, "base");
    let a1 = john.post(11, "a1");
    let a2 = john.post(12, "a2");
    john.forget_after(&base);
    let b1 = john.post(13, "b1");
    let b2 = john.post(14, "b2");
    let b3 = john.post(15, "b3");
    let all = [&base, &a1, &a2, &b1, &b2, &b3];
    // head of the cut → what is covered
    for (head, covered) in [
        (&base, vec!["base"]),
        (&a1, vec!["base", "a1"]),
        (&a2, vec!["base", "a1", "a2"]),
        (&b2, vec!["base", "b1", "b2"]),
        (&b3, vec!["base", "b1", "b2", "b3"]),
    ] {
        let mut kick = removal(control(KICK), Accept);
        kick.cut = cut(Some(head));
        let mut fiat = Fiat::default();
        fiat.remove(&john, kick);
        let replica = Replica::of(&fiat, all);
        let view = replica.view();
        let normal: Vec<_> = all
            .iter()
            .filter(|op| view.verdict(op).unwrap() == Verdict::Accepted)
            .map(|op| replica.post(op).body)
            .collect();
        assert_eq!(normal, covered);
    }
}

#[test]
fn d3_the_quota_counts_every_branch_of_an_equivocated_lane() {
    let mut john = Author::new(1, 11);
    let base = john.post(1, "base");
    let mut ops = vec![base.clone()];
    ops.extend((0..300).map(|i| john.post(10 + i, "a")));
    john.forget_after(&base);
    ops.extend((0..300).map(|i| john.post(1_000 + i, "b")));
    let mut kick = removal(control(KICK), Accept);
    kick.cut = cut(Some(&base));
    let mut fiat = Fiat::default();
    fiat.remove(&john, kick);
    let replica = Replica::of(&fiat, &ops);
    let view = replica.view();
    let accepted = |op: &&AcceptedOp| view.verdict(op).unwrap().is_accepted();
    // Both branches together, not 512 each.
    assert_eq!(ops.iter().filter(accepted).count(), 1 + 512);
}

#[test]
fn d1_a_head_that_is_not_here_yet_covers_up_to_the_first_fork() {
    let mut john = Author::new(1, 11);
    let ops = lane(&mut john, 4);
    let mut kick = removal(control(KICK), Reject);
    kick.cut = cut(Some(&ops[3]));
    let mut fiat = Fiat::default();
    fiat.remove(&john, kick);
    let replica = Replica::of(&fiat, &ops[..2]);
    assert_eq!(replica.state(&ops[1]), PostState::Normal);
    // A fork makes it a question which branch the head is on.
    john.forget_after(&ops[0]);
    let fork = john.post(90, "fork");
    let replica = Replica::of(&fiat, [&ops[0], &ops[1], &fork]);
    assert_eq!(replica.state(&ops[0]), PostState::Normal);
    assert_eq!(replica.state(&ops[1]), refused(Rule::Policy, KICK));
    let replica = Replica::of(&fiat, ops.iter().chain([&fork]));
    assert_eq!(replica.state(&ops[1]), PostState::Normal);
    assert_eq!(replica.state(&fork), refused(Rule::Policy, KICK));
}

#[test]
fn d2_a_goodbye_flags_only_what_its_author_dated_after_it() {
    let mut john = Author::new(1, 11);
    let before = john.post(10, "before");
    let after = john.post(30, "after");
    let mut fiat = Fiat::default();
    let mut leave = removal(control(KICK), Accept);
    leave.kind = RemovalKind::Leave;
    leave.by = john.user;
    leave.hlc = hlc(20);
    fiat.remove(&john, leave);
    let replica = Replica::of(&fiat, [&before, &after]);
    assert_eq!(replica.state(&before), PostState::Normal);
    assert_eq!(replica.state(&after), late(false, true));
    // Against another's removal the own word does not count.
    let mut ban = removal(control(0x51), Reject);
    ban.cut = cut(None);
    fiat.remove(&john, ban);
    let replica = Replica::of(&fiat, [&before, &after]);
    assert_eq!(replica.state(&before), refused(Rule::Policy, 0x51));
}

#[test]
fn d4_acts_of_authority_are_void_when_late() {
    // covered?, what becomes of the act
    for (covered, policy) in [(true, Reject), (false, Accept), (false, Quarantine)] {
        let mut ada = Author::new(1, 11);
        let mut moderator = Author::new(2, 12);
        let post = ada.post(10, "text");
        let pin = moderator.act(11, &post, &oplog::Payload::Pin);
        let other = ada.post(12, "other");
        let deletion = moderator.tombstone(13, &other, "no");
        let said = moderator.post(14, "so said the moderator");
        let mut kick = removal(control(KICK), policy);
        kick.cut = cut(covered.then_some(&said));
        let mut fiat = Fiat::default();
        fiat.promote(&moderator, 20, 3);
        fiat.remove(&moderator, kick);
        let replica = Replica::of(&fiat, [&post, &pin, &other, &deletion, &said]);
        assert_eq!(replica.post(&post).pinned, covered.then_some(pin.id()));
        assert_eq!(replica.state(&other).is_shown(), !covered);
        // What they said stays, flagged: it took no authority.
        assert!(replica.state(&said).is_shown());
        let expected = if covered {
            Verdict::Accepted
        } else {
            Verdict::Refused {
                rule: Rule::ActVoid,
                by: control(KICK),
            }
        };
        assert_eq!(replica.view().verdict(&deletion).unwrap(), expected);
    }
}

#[test]
fn d4_acts_of_authority_are_void_without_an_effective_grant() {
    let mut ada = Author::new(1, 11);
    let mut moderator = Author::new(2, 12);
    let post = ada.post(10, "text");
    let deletion = moderator.tombstone(13, &post, "no");
    let said = moderator.post(14, "hello");
    let mut fiat = Fiat::default();
    fiat.promote(&moderator, 20, 3);
    fiat.void_roles.insert(moderator.user, control(9));
    // To change what another opened takes authority, to change one's own does not.
    let by_ada = ada.thread(15, "hers");
    let by_moderator = moderator.thread(16, "his");
    let hers = moderator.retitle(17, &by_ada, "taken over");
    let his = moderator.retitle(18, &by_moderator, "renamed");
    let ops = [&post, &deletion, &said, &by_ada, &by_moderator, &hers, &his];
    let replica = Replica::of(&fiat, ops);
    assert_eq!(replica.state(&post), PostState::Normal);
    assert_eq!(replica.state(&said), PostState::Normal);
    let (rule, by) = (Rule::ActVoid, control(9));
    for act in [&deletion, &hers] {
        let verdict = replica.view().verdict(act).unwrap();
        assert_eq!(verdict, Verdict::Refused { rule, by });
    }
    assert_eq!(replica.post(&by_ada).title.as_deref(), Some("hers"));
    assert_eq!(
        replica.post(&by_moderator).title.as_deref(),
        Some("renamed")
    );
}

#[test]
fn d4_a_late_change_of_anothers_thread_does_not_count_and_of_an_own_one_does() {
    let mut ada = Author::new(1, 11);
    let mut moderator = Author::new(2, 12);
    let by_ada = ada.thread(10, "ada's");
    let by_mod = moderator.thread(11, "mod's");
    let foreign = moderator.retitle(12, &by_ada, "changed");
    let own = moderator.retitle(13, &by_mod, "changed");
    let mut fiat = Fiat::default();
    fiat.remove(&moderator, removal(control(KICK), Accept));
    let replica = Replica::of(&fiat, [&by_ada, &by_mod, &foreign, &own]);
    assert_eq!(replica.post(&by_ada).title.as_deref(), Some("ada's"));
    assert_eq!(replica.post(&by_mod).title.as_deref(), Some("changed"));
    let replica = Replica::of(&Fiat::default(), [&by_ada, &by_mod, &foreign, &own]);
    assert_eq!(replica.post(&by_ada).title.as_deref(), Some("changed"));
}

#[test]
fn a_purge_hides_from_its_position_and_a_later_restore_of_enough_rank_shows_again() {
    for (weight, saw, shown) in [(50, true, true), (20, true, false), (50, false, false)] {
        let mut john = Author::new(1, 11);
        let mut moderator = Author::new(2, 12);
        let ops = lane(&mut john, 3);
        let mut kick = removal(control(KICK), Accept);
        kick.cut = cut(Some(&ops[2]));
        kick.purge = purge_from(&ops[1]);
        let mut fiat = Fiat::default();
        fiat.remove(&john, kick);
        fiat.promote(&moderator, weight, 0);
        let replica = Replica::of(&fiat, &ops);
        assert_eq!(replica.state(&ops[0]), PostState::Normal);
        for op in &ops[1..] {
            let state = replica.state(op);
            assert_eq!(
                (state.rule(), state.decided_by()),
                (Some("B8"), Some(control(KICK)))
            );
        }
        if saw {
            moderator.seen.insert(control(KICK));
        }
        let restore = moderator.act(40, &ops[1], &oplog::Payload::ModRestore);
        let replica = Replica::of(&fiat, ops.iter().chain([&restore]));
        assert_eq!(replica.state(&ops[1]).is_shown(), shown, "{weight} {saw}");
        assert!(!replica.state(&ops[2]).is_shown());
    }
}

#[test]
fn a_mute_that_the_author_had_not_seen_flags() {
    let mut john = Author::new(1, 11);
    let before = john.post(10, "x");
    john.seen.insert(control(0x60));
    let after_it_expired = john.post(20, "y");
    let mut fiat = Fiat::default();
    fiat.mutes.insert(john.user, control(0x60));
    let replica = Replica::of(&fiat, [&before, &after_it_expired]);
    let mute = control(0x60);
    assert_eq!(
        replica.state(&before),
        PostState::MutedConcurrently { mute }
    );
    assert_eq!(replica.state(&after_it_expired), PostState::Normal);
}

#[test]
fn the_quota_is_one_for_all_devices_of_a_person() {
    let (mut phone, mut laptop) = (Author::new(1, 1), Author::new(1, 2));
    let half = SCOPE_LATE_OPS_MAX / 2;
    let mut ops = lane(&mut phone, half + 1);
    ops.extend(lane(&mut laptop, half + 1));
    let mut fiat = Fiat::default();
    let listed = EffectiveRemoval {
        cut: cut(None),
        ..removal(control(KICK), Accept)
    };
    fiat.remove(&phone, listed);
    let replica = Replica::of(&fiat, &ops);
    // By position, then device: of the last position on each lane neither is among the first 512.
    let refused: Vec<u64> = ops
        .iter()
        .filter(|op| matches!(replica.state(op), PostState::NotAccepted { .. }))
        .map(|op| op.header().seq)
        .collect();
    assert_eq!(refused, vec![half, half]);
    // What another device wrote after it had seen the removal does not count.
    let (mut phone, mut laptop) = (Author::new(1, 3), Author::new(1, 4));
    let unaware = lane(&mut phone, SCOPE_LATE_OPS_MAX);
    laptop.seen.insert(control(KICK));
    let aware = lane(&mut laptop, 300);
    let replica = Replica::of(&fiat, unaware.iter().chain(&aware));
    let is_late = |op: &AcceptedOp| matches!(replica.state(op), PostState::Late(_));
    assert!(unaware.iter().all(is_late));
    assert!(!aware.iter().any(is_late));
}

#[test]
fn open_scopes_share_a_quota_of_their_own() {
    let mut john = Author::new(1, 1);
    let mut ops = lane(&mut john, OPEN_LATE_OPS_MAX - 1);
    for at in 0..3 {
        ops.push(john.write(5_000 + at, OTHER, &[], &post(None, None, "elsewhere", &[])));
    }
    let mut fiat = Fiat::default();
    fiat.remove(&john, removal(control(KICK), Reject));
    let replica = Replica::of(&fiat, &ops);
    let refused: Vec<(u64, ChannelId)> = ops
        .iter()
        .filter(|op| matches!(replica.state(op), PostState::NotAccepted { .. }))
        .map(|op| (op.header().seq, op.header().scope.channel().unwrap()))
        .collect();
    // 2,050 in all, of which the ends of the long lane come last.
    let last = OPEN_LATE_OPS_MAX - 2;
    assert_eq!(refused, vec![(last - 1, CHANNEL), (last, CHANNEL)]);
}

#[test]
fn what_a_seal_closes_without_naming_is_refused_for_good() {
    let mut john = Author::new(1, 1);
    let ops = lane(&mut john, 6);
    let closing = |head: u64, scope: ChannelId| Closed {
        seal: control(9),
        cut: vec![ScopeCut {
            scope: Scope::Channel(scope),
            heads: vec![head_of(&ops[usize::try_from(head).unwrap()])],
        }],
    };
    let mut kick = removal(control(KICK), Accept);
    kick.cut = cut(Some(&ops[1]));
    let states = |removals: &[EffectiveRemoval]| {
        let mut fiat = Fiat::default();
        for r in removals {
            fiat.remove(&john, r.clone());
        }
        let replica = Replica::of(&fiat, &ops);
        ops.iter().map(|op| replica.state(op)).collect::<Vec<_>>()
    };
    let gone = refused(Rule::Closed, 9);
    kick.closure = Some(closing(3, CHANNEL));
    let closed = states(&[kick.clone()]);
    assert!(closed[..4].iter().all(|s| *s == PostState::Normal));
    assert!(closed[4..].iter().all(|s| *s == gone));
    // A later removal whose cut goes further does not open it again, nor does an attest.
    let mut ban = removal(control(2), Accept);
    ban.cut = cut(Some(&ops[5]));
    kick.cut = cut(Some(&ops[5]));
    let reopened = states(&[kick.clone(), ban]);
    assert!(reopened[4..].iter().all(|s| *s == gone));
    // In another scope it says nothing.
    kick.closure = Some(closing(3, OTHER));
    assert!(states(&[kick]).iter().all(|s| *s == PostState::Normal));
}

#[test]
fn a_revoked_device_is_late_and_its_sibling_is_not() {
    let (mut phone, mut laptop) = (Author::new(1, 1), Author::new(1, 2));
    let (mine, theirs) = (phone.post(1, "mine"), laptop.post(2, "a thief"));
    let revoke = EffectiveRemoval {
        kind: RemovalKind::Device,
        device: Some(laptop.device()),
        by: phone.user,
        cut: cut(None),
        ..removal(control(KICK), Reject)
    };
    let mut fiat = Fiat::default();
    fiat.remove(&phone, revoke);
    let replica = Replica::of(&fiat, [&mine, &theirs]);
    assert_eq!(replica.state(&mine), PostState::Normal);
    // Though the person's own act, dated later: that is a rule about leaving.
    assert_eq!(replica.state(&theirs), refused(Rule::Policy, KICK));
}
