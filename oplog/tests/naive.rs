//! The reference fold does what B4 says, on the cases people ask about.

#![cfg(test)]

mod world;

use std::sync::Arc;

use oplog::authority::{Authority, View};
use oplog::payload::{Leave, Payload, Removal, RoleSet, Unban, Weight};
use oplog::testing::{Device, NaiveView, member_add};
use oplog::{OpId, SignedOp};
use world::World;

fn ban(who: &Device) -> Payload {
    Payload::Ban(Removal {
        target: who.user(),
        cut: vec![],
        late: None,
        reason: String::new(),
        purge: vec![],
    })
}

fn role(who: &Device, weight: Weight) -> Payload {
    Payload::RoleSet(RoleSet {
        target: who.user(),
        weight,
        reason: String::new(),
    })
}

/// Signs an op that has seen nothing beyond `heads`, and delivers it.
fn act(w: &mut World, by: &Device, payload: Payload, heads: &[OpId]) -> SignedOp {
    let op = w.space.op(by, payload).ctl(heads).sign();
    w.accepts(&op);
    op
}

fn view(w: &mut World) -> Arc<NaiveView> {
    let replica = &mut w.replica;
    let heads = replica.log.dag().heads().to_vec();
    replica.authority.view(replica.log.dag(), &heads)
}

/// A World with two admins, the first of them senior.
fn two_admins() -> (World, Device, Device) {
    let mut w = World::new();
    let (owner, first, second) = (w.owner.clone(), w.admin.clone(), w.moderator.clone());
    w.space.op(&owner, role(&second, Weight::ADMIN)).sign();
    w.catch_up();
    (w, first, second)
}

#[test]
fn of_two_admins_who_ban_each_other_the_senior_stays() {
    let (mut w, senior, junior) = two_admins();
    let heads = w.space.heads();
    act(&mut w, &senior, ban(&junior), &heads);
    // The junior may not even try: a senior is not outranked (R6). So it goes for the rest.
    let member = w.member.clone();
    let hit = act(&mut w, &junior, ban(&member), &heads);
    let view = view(&mut w);
    assert!(view.weight(&senior.user()).is_some());
    assert_eq!(view.weight(&junior.user()), None);
    // What the junior did without having seen the ban does not count …
    assert!(view.void.contains(&hit.id()));
    assert!(view.weight(&w.member.user()).is_some());
}

#[test]
fn what_the_remover_had_seen_stands() {
    let (mut w, senior, junior) = two_admins();
    let heads = w.space.heads();
    let member = w.member.clone();
    let hit = act(&mut w, &junior, ban(&member), &heads);
    act(&mut w, &senior, ban(&junior), &[hit.id()]);
    let view = view(&mut w);
    assert!(view.void.is_empty());
    assert!(view.ban(&w.member.user()).is_some());
}

#[test]
fn a_demotion_takes_what_it_takes_and_no_more() {
    let (mut w, senior, junior) = two_admins();
    let owner = w.owner.clone();
    let heads = w.space.heads();
    act(&mut w, &owner, role(&junior, Weight::MODERATOR), &heads);
    let member = w.member.clone();
    let ban = act(&mut w, &junior, ban(&member), &heads);
    let other = w.second_member.clone();
    let kick = Payload::Kick(Removal {
        target: other.user(),
        cut: vec![],
        late: None,
        reason: String::new(),
        purge: vec![],
    });
    let kick = w.space.op(&junior, kick).ctl(&heads).sign();
    w.accepts(&kick);
    let view = view(&mut w);
    // Moderators kick, admins ban.
    assert!(view.void.contains(&ban.id()) && !view.void.contains(&kick.id()));
    assert_eq!(view.weight(&other.user()), None);
    assert_eq!(view.weight(&junior.user()), Some(Weight::MODERATOR));
    let demotion = view.demotion(&junior.user()).expect("it stands");
    assert!(view.rank(&senior.user()) < Some(demotion.rank));
}

#[test]
fn a_concurrent_invitation_does_not_undo_a_ban_by_somebody_higher() {
    let mut w = World::new();
    let (owner, moderator, member) = (w.owner.clone(), w.moderator.clone(), w.member.clone());
    let kick = w.space.op(
        &moderator,
        Payload::Kick(Removal {
            target: member.user(),
            cut: vec![],
            late: None,
            reason: String::new(),
            purge: vec![],
        }),
    );
    kick.sign();
    w.catch_up();
    let heads = w.space.heads();
    act(&mut w, &owner, ban(&member), &heads);
    let back = member_add(&[(&member, Weight::MEMBER)], None);
    act(&mut w, &moderator, back, &heads);
    let seen = view(&mut w);
    assert_eq!(seen.weight(&member.user()), None);
    assert!(seen.ban(&member.user()).is_some());
    let unban = Payload::Unban(Unban {
        target: member.user(),
    });
    let heads = w.space.heads();
    act(&mut w, &owner, unban, &heads);
    let seen = view(&mut w);
    assert_eq!(seen.ban(&member.user()), None);
    assert_eq!(seen.weight(&member.user()), None, "an unban admits nobody");
}

#[test]
fn after_leaving_nothing_the_leaver_does_counts() {
    let (mut w, _, admin) = two_admins();
    let heads = w.space.heads();
    let leave = Payload::Leave(Leave {
        reason: String::new(),
    });
    let left = act(&mut w, &admin, leave, &heads);
    // From another device, as if it had not heard of it (A12). Here: a fork of the lane.
    let hit = w.space.op(&admin, ban(&w.member)).ctl(&heads).after(None);
    let hit = hit.forge();
    w.accepts(&hit);
    let view = view(&mut w);
    assert!(view.void.contains(&hit.id()) && !view.void.contains(&left.id()));
    assert!(view.weight(&w.member.user()).is_some());
    assert_eq!(view.weight(&admin.user()), None);
}
