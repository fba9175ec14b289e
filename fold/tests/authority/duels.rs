//! The disputes that people will have, and how they end.

use oplog::authority::View;
use oplog::payload::{
    ChannelCreate, ChannelKind, ChannelUpdate, CutAttest, CutHead, DeviceAdd, DeviceRevoke,
    History, LatePolicy, PolicySet, ScopeCut, Verb, Weight,
};
use oplog::{ChannelId, Digest, Features, Hlc, OpId, Payload, Scope};

use fold::explain::{ChannelField, Key, PolicyField};

use crate::world::{Do, P, World, removal};

/// Owner 0, admins 1 and 2 of whom 1 came first, moderator 3, member 4.
fn community() -> (World, usize) {
    let mut world = World::with(&[(1, 50)]);
    let two = world.act(P(0), Do::Add(vec![(P(2), 50)]), &[1]);
    let three = world.act(P(0), Do::Add(vec![(P(3), 20)]), &[two]);
    let four = world.act(P(0), Do::Add(vec![(P(4), 10)]), &[three]);
    (world, four)
}

#[test]
fn of_two_admins_the_senior_survives_and_the_owner_always() {
    for (a, b) in [
        (Do::Kick as fn(P) -> Do, Do::Kick as fn(P) -> Do),
        (Do::Ban, Do::Kick),
        (Do::Kick, Do::Ban),
    ] {
        let (mut world, base) = community();
        let senior = world.act(P(1), a(P(2)), &[base]);
        // R6 would refuse this one; the fold does not need it to.
        let junior = world.act(P(2), b(P(1)), &[base]);
        assert!(world.counts(senior));
        assert_eq!(world.rule(junior), Some("B4"));
        assert_eq!((world.weight(1), world.weight(2)), (Some(50), None));
        let owner = world.act(P(0), Do::Kick(P(1)), &[base]);
        let mutiny = world.act(P(1), b(P(0)), &[base]);
        assert!(world.counts(owner));
        assert_eq!(world.rule(mutiny), Some("B4"));
        // With the senior's kick void, the junior's act stands on its own again.
        assert_eq!(world.rule(senior), Some("B4"));
        assert_eq!((world.weight(0), world.weight(1)), (Some(100), None));
    }
}

#[test]
fn a_ban_beside_a_reinvite_goes_by_rank_and_between_equals_by_strictness() {
    for (banner, inviter, member) in [(1, 0, true), (1, 2, false), (0, 1, false), (2, 1, true)] {
        let (mut world, base) = community();
        let out = world.act(P(3), Do::Kick(P(4)), &[base]);
        let ban = world.act(P(banner), Do::Ban(P(4)), &[base]);
        let back = world.act(P(inviter), Do::Add(vec![(P(4), 10)]), &[out]);
        assert!(world.counts(ban) && world.counts(back));
        assert_eq!(
            world.weight(4).is_some(),
            member,
            "{banner} bans, {inviter} invites"
        );
    }
    let (mut world, base) = community();
    let out = world.act(P(3), Do::Kick(P(4)), &[base]);
    world.act(P(1), Do::Add(vec![(P(4), 10)]), &[out]);
    // The same admin, from two devices.
    let ban = world.sign(P(1), 1, Payload::Ban(removal(P(4))), &[base]);
    world.take(ban);
    assert_eq!(world.weight(4), None);
    assert!(world.all().ban(&P(4).user()).is_some());
}

#[test]
fn a_demotion_voids_only_what_needed_the_lost_weight_and_was_not_seen() {
    let (mut world, base) = community();
    let seen = world.act(P(2), Do::Ban(P(4)), &[base]);
    let demotion = world.act(P(0), Do::Role(P(2), 20), &[seen]);
    let unseen_ban = world.act(P(2), Do::Ban(P(3)), &[seen]);
    let unseen_mute = world.act(P(2), Do::Invite(3), &[seen]);
    assert!(world.counts(seen) && world.counts(demotion));
    assert_eq!(world.rule(unseen_ban), Some("B4"));
    assert!(world.counts(unseen_mute), "a moderator may do that too");
    let all = world.all();
    let reason = all.verdict(&world.ids[unseen_ban]).reason().expect("void");
    assert_eq!(reason.deciding(), vec![world.ids[demotion]]);
}

/// Who is demoted meanwhile gives no role that the new weight may not give, even one as low as
/// what is left: an admin may admit moderators and a moderator may not.
#[test]
fn a_demotion_takes_the_right_to_give_roles() {
    let (mut world, base) = community();
    world.act(P(0), Do::Role(P(2), 20), &[base]);
    let admits = world.act(P(2), Do::Add(vec![(P(5), 20)]), &[base]);
    assert_eq!(world.rule(admits), Some("B4"));
    assert_eq!(world.weight(5), None);

    let (mut world, base) = community();
    let second = world.act(P(0), Do::Role(P(1), 100), &[base]);
    world.act(P(0), Do::Role(P(1), 50), &[second]);
    let gives = world.act(P(1), Do::Role(P(3), 50), &[second]);
    assert_eq!(world.rule(gives), Some("B4"));
    assert_eq!(world.weight(3), Some(20));
}

#[test]
fn a_junior_cannot_keep_in_whom_a_senior_removes() {
    let (mut world, base) = community();
    let out = world.act(P(2), Do::Kick(P(4)), &[base]);
    let back = world.act(P(2), Do::Add(vec![(P(4), 10)]), &[out]);
    assert_eq!(world.weight(4), Some(10));
    let senior = world.act(P(1), Do::Kick(P(4)), &[base]);
    assert!(world.counts(back) && world.counts(senior));
    assert_eq!(world.weight(4), None);
    let all = world.all();
    let decision = all.decided_by(&Key::Member(P(4).user())).expect("written");
    assert_eq!(decision.winner, world.ids[senior]);
    assert_eq!(decision.over, vec![world.ids[back]]);
    let removals: Vec<OpId> = all.removals_of(&P(4).user()).iter().map(|r| r.op).collect();
    assert_eq!(removals.len(), 2, "the first kick happened too");
}

#[test]
fn going_voids_what_other_devices_did_meanwhile_and_nobody_keeps_a_leaver_in() {
    let (mut world, base) = community();
    let leave = world.act(P(2), Do::Leave, &[base]);
    let laptop = world.sign(P(2), 1, Payload::Ban(removal(P(4))), &[base]);
    let laptop = world.take(laptop);
    let promoted = world.act(P(0), Do::Role(P(2), 100), &[base]);
    assert!(world.counts(leave) && world.counts(promoted));
    assert_eq!(world.rule(laptop), Some("A12"));
    assert_eq!((world.weight(2), world.weight(4)), (None, Some(10)));
    let back = world.act(P(0), Do::Add(vec![(P(2), 20)]), &[leave, promoted]);
    assert!(world.counts(back));
    assert_eq!(world.weight(2), Some(20));
}

#[test]
fn a_self_demotion_voids_what_it_no_longer_allows() {
    let (mut world, base) = community();
    let humble = world.act(P(2), Do::Role(P(2), 20), &[base]);
    let ban = world.act(P(2), Do::Ban(P(4)), &[base]);
    let twice = world.sign(P(2), 1, world.payload(&Do::Role(P(2), 10)), &[base]);
    let twice = world.take(twice);
    assert!(
        world.counts(humble) && world.counts(twice),
        "giving up twice is fine"
    );
    assert_eq!(world.rule(ban), Some("A12"));
    assert_eq!(
        world.weight(2),
        Some(10),
        "concurrent equals: by order key, one of both"
    );
}

#[test]
fn a_void_admission_takes_all_its_people_with_it() {
    let (mut world, base) = community();
    let crowd: Vec<(P, u8)> = (10..110).map(|p| (P(p), 10)).collect();
    let add = world.act(P(2), Do::Add(crowd), &[base]);
    assert_eq!(world.all().members().count(), 105);
    // One of them does something before anyone notices.
    let past = world.view(&[add]);
    let merge = world.act(P(11), Do::Merge, &[add]);
    let kick = world.act(P(0), Do::Kick(P(2)), &[base]);
    assert!(world.counts(kick));
    assert_eq!(world.rule(add), Some("B4"));
    assert_eq!(world.rule(merge), Some("A9"));
    let all = world.all();
    assert_eq!(all.members().count(), 4);
    for p in (10..110).map(P) {
        assert!(!all.is_sponsored(&p.user(), &p.device(), &past));
        assert_eq!(all.device_user(&p.device()), None);
    }
    let trail = world.fold.void_grants(
        &world.dag,
        &world.ids[merge],
        &P(11).user(),
        Weight::MEMBER,
        &all,
    );
    assert_eq!(trail, vec![world.ids[add]]);
    // A later effective grant ratifies what they said before (A2).
    let heads = [merge, kick];
    world.act(P(0), Do::Add(vec![(P(11), 10)]), &heads);
    assert!(
        world
            .all()
            .is_sponsored(&P(11).user(), &P(11).device(), &past)
    );
}

#[test]
fn a_ban_keeps_out_one_of_many_without_voiding_the_admission() {
    // Moderator 3 bans nobody: admin 1's ban of 5 looked void to moderator 3, who had seen
    // the owner demote admin 1 meanwhile; but that demotion was itself void.
    let mut world = World::with(&[(1, 50), (3, 20), (5, 10)]);
    let ban = world.act(P(1), Do::Ban(P(5)), &[1]);
    let demotion = world.act(P(0), Do::Role(P(1), 10), &[1]);
    let out = world.act(P(3), Do::Kick(P(5)), &[ban, demotion]);
    let back = world.act(P(3), Do::Add(vec![(P(5), 10), (P(6), 10)]), &[out]);
    assert_eq!((world.weight(5), world.weight(6)), (Some(10), Some(10)));
    let gone = world.act(P(0), Do::Leave, &[1]);
    assert_eq!(world.rule(demotion), Some("A12"));
    assert!(world.counts(ban) && world.counts(back) && world.counts(gone));
    assert_eq!((world.weight(5), world.weight(6)), (None, Some(10)));
    assert!(world.all().ban(&P(5).user()).is_some());
}

#[test]
fn a_promoted_member_outlives_who_admitted_them() {
    let (mut world, base) = community();
    let add = world.act(P(3), Do::Add(vec![(P(5), 10)]), &[base]);
    let up = world.act(P(0), Do::Role(P(5), 50), &[add]);
    let act = world.act(P(5), Do::Kick(P(4)), &[up]);
    assert!(world.counts(act), "the promotion is a grant from above");
    let kick = world.act(P(1), Do::Kick(P(3)), &[base]);
    assert!(world.counts(kick));
    assert_eq!(world.rule(add), Some("B4"));
    assert!(world.counts(act));
    assert_eq!(world.weight(5), Some(50));
}

/// A9: whether the kick counts may hang on the very op that it would stop, so it stands
/// against that op even though it turns out void; a fresh grant settles it.
#[test]
fn an_undecided_kick_stands_until_a_later_grant() {
    let mut world = World::with(&[(1, 50)]);
    let two = world.act(P(0), Do::Add(vec![(P(2), 50)]), &[1]);
    let base = world.act(P(0), Do::Add(vec![(P(4), 10)]), &[two]);
    let up = world.act(P(2), Do::Role(P(4), 20), &[base]);
    let junior = world.act(P(0), Do::Add(vec![(P(3), 20)]), &[up]);
    // Admin 1 kicks admin 2: for moderator 3 the promotion of 4 is void, and 4 a mere member.
    let coup = world.act(P(1), Do::Kick(P(2)), &[base]);
    let kick = world.act(P(3), Do::Kick(P(4)), &[junior, coup]);
    // The owner undoes both, so that 4 is a moderator after all, senior to 3.
    let end = world.act(P(0), Do::Kick(P(1)), &[base]);
    let fired = world.act(P(0), Do::Kick(P(3)), &[junior]);
    let seen = [kick, end, fired];
    assert!(world.is_allowed(P(4), &Do::Invite(1), &seen));
    let act = world.act(P(4), Do::Invite(1), &seen);
    assert!(!world.counts(coup) && !world.counts(kick) && world.counts(up));
    assert_eq!(world.rule(act), Some("A9"));
    let all = world.all();
    let reason = all.verdict(&world.ids[act]).reason().expect("void");
    assert_eq!(reason.deciding(), vec![world.ids[kick]]);
    assert_eq!(*all, world.fold.recompute(&world.dag, world.dag.heads()));
    let again = world.act(P(0), Do::Role(P(4), 20), &[act]);
    let act = world.act(P(4), Do::Invite(1), &[again]);
    assert!(world.counts(act));
}

#[test]
fn an_invite_admits_with_the_rank_of_who_made_it() {
    let (mut world, base) = community();
    let invite = world.act(P(1), Do::Invite(2), &[base]);
    // A plain member holds the door; being kicked by a lesser rank than the inviter's meanwhile is no matter.
    let door = world.act(P(4), Do::Admit(vec![P(5)], invite), &[invite]);
    let kick = world.act(P(3), Do::Kick(P(4)), &[invite]);
    assert!(world.counts(door) && world.counts(kick));
    assert_eq!(world.weight(5), Some(10));
    let newcomer = world.all().member(&P(5).user()).expect("a member");
    assert_eq!(newcomer.invite, Some(world.ids[invite]));
    assert!(!newcomer.over_invited);
    // The inviter is removed by someone who had not seen the invite: it was never open.
    let purge = world.act(P(0), Do::Ban(P(1)), &[base]);
    assert!(world.counts(purge));
    assert_eq!(world.rule(invite), Some("B4"));
    assert_eq!(world.rule(door), Some("A17"));
    assert_eq!(world.weight(5), None);
    assert!(world.all().invite(&world.ids[invite]).is_none());
}

#[test]
fn an_invite_used_too_often_is_burnt_and_who_came_is_flagged() {
    let (mut world, base) = community();
    let invite = world.act(P(1), Do::Invite(1), &[base]);
    let one = world.act(P(3), Do::Admit(vec![P(5)], invite), &[invite]);
    let two = world.act(P(4), Do::Admit(vec![P(6)], invite), &[invite]);
    assert!(
        world.counts(one) && world.counts(two),
        "two users, neither saw the other"
    );
    let all = world.all();
    assert_eq!(all.invite_uses(&world.ids[invite]), 2);
    assert!(all.member(&P(5).user()).expect("came").over_invited);
    assert!(!world.is_allowed(P(3), &Do::Admit(vec![P(7)], invite), &[one, two]));
    // One user, out of their own sight, is not owed the same.
    let three = world.sign(
        P(3),
        1,
        world.payload(&Do::Admit(vec![P(7)], invite)),
        &[invite],
    );
    let three = world.take(three);
    let counts = [one, three].map(|op| world.counts(op));
    assert!(counts[0] != counts[1], "exactly one of both");
    let void = if counts[0] { three } else { one };
    assert_eq!(world.rule(void), Some("A17"));
}

#[test]
fn a_closed_invite_admits_nobody_who_saw_it_closed() {
    let (mut world, base) = community();
    let invite = world.act(P(1), Do::Invite(9), &[base]);
    let close = world.act(P(3), Do::CloseInvite(invite), &[invite]);
    let beside = world.act(P(4), Do::Admit(vec![P(5)], invite), &[invite]);
    let after = world.act(P(4), Do::Admit(vec![P(6)], invite), &[close]);
    assert!(world.counts(beside));
    assert_eq!(world.rule(after), Some("A17"));
    let all = world.all();
    assert!(all.invite(&world.ids[invite]).is_none());
    let record = all.invite_record(&world.ids[invite]).expect("effective");
    assert_eq!(record.revoked_by, Some(world.ids[close]));
}

#[test]
fn a_kick_overridden_from_above_is_no_removal() {
    let (mut world, base) = community();
    let kick = world.act(P(3), Do::Kick(P(4)), &[base]);
    let up = world.act(P(0), Do::Role(P(4), 20), &[base]);
    assert!(world.counts(kick) && world.counts(up));
    assert_eq!(world.weight(4), Some(20));
    assert!(world.all().removals_of(&P(4).user()).is_empty());
}

#[test]
fn removals_tell_how_late_posts_are_treated() {
    let (mut world, base) = community();
    let set = PolicySet {
        kick_late: Some(LatePolicy::Quarantine),
        ..PolicySet::default()
    };
    let kick = world.act(P(1), Do::Kick(P(4)), &[base]);
    let user = P(4).user();
    let late = |world: &mut World| world.all().removals_of(&user).first().map(|r| r.late);
    assert_eq!(late(&mut world), Some(LatePolicy::Accept));
    let set = world.say(P(0), 0, Payload::PolicySet(set), &[kick]);
    assert_eq!(late(&mut world), Some(LatePolicy::Quarantine));
    assert_eq!(world.all().policies().kick_late, LatePolicy::Quarantine);
    let mut hard = removal(P(3));
    hard.late = Some(LatePolicy::Reject);
    world.say(P(1), 0, Payload::Ban(hard), &[set]);
    let all = world.all();
    assert_eq!(all.removals_of(&P(3).user())[0].late, LatePolicy::Reject);
    let former: Vec<_> = all.former_members().map(|f| (f.user, f.name)).collect();
    assert_eq!(
        former,
        vec![(P(3).user(), "p3".into()), (user, "p4".into())]
    );
}

#[test]
fn mutes_stack_and_yield_to_sufficient_rank() {
    let (mut world, base) = community();
    let user = P(4).user();
    let m1 = world.act(P(1), Do::Mute(P(4)), &[base]);
    let low = world.act(P(3), Do::Unmute(P(4)), &[m1]);
    assert_eq!(world.rule(low), Some("A10"));
    assert!(world.all().mute(&user, None, Hlc::from_raw(5)).is_some());
    world.act(P(1), Do::Unmute(P(4)), &[low]);
    assert!(world.all().mute(&user, None, Hlc::from_raw(5)).is_none());
}

#[test]
fn a_timeout_ends_and_a_channel_mute_stays_in_its_channel() {
    let (mut world, base) = community();
    let Payload::Mute(mut mute) = world.payload(&Do::Mute(P(4))) else {
        return;
    };
    mute.expires = Some(Hlc::from_raw(1_000));
    mute.channel = Some(ChannelId::from_bytes([7; 16]));
    world.say(P(3), 0, Payload::Mute(mute.clone()), &[base]);
    let all = world.all();
    let at = |hlc, channel| {
        all.mute(&P(4).user(), channel, Hlc::from_raw(hlc))
            .is_some()
    };
    let elsewhere = ChannelId::from_bytes([8; 16]);
    assert!(at(999, mute.channel.as_ref()));
    assert!(!at(1_000, mute.channel.as_ref()) && !at(5, None) && !at(5, Some(&elsewhere)));
    assert!(
        all.mute_at_key(&P(4).user(), mute.channel.as_ref())
            .is_some()
    );
}

#[test]
fn channels_are_made_changed_field_by_field_and_announce() {
    let (mut world, base) = community();
    let create = ChannelCreate {
        name: "news".into(),
        kind: ChannelKind::Announcement,
        topic: "old".into(),
        category: None,
        history: History::Recent,
        private: false,
    };
    let made = world.say(P(1), 0, Payload::ChannelCreate(create), &[base]);
    let id = ChannelId::of_create(&world.ids[made]);
    let change = |name: Option<&str>, topic: Option<&str>| {
        Payload::ChannelUpdate(ChannelUpdate {
            channel: id,
            name: name.map(Into::into),
            topic: topic.map(Into::into),
            category: None,
            archived: None,
            permissions: Vec::new(),
        })
    };
    let named = world.say(P(2), 0, change(Some("late"), Some("new")), &[made]);
    let senior = world.say(P(1), 0, change(Some("news2"), None), &[made]);
    let all = world.all();
    let channel = all.channel(&id).expect("made");
    assert_eq!(
        (channel.name.as_str(), channel.topic.as_str()),
        ("news2", "new")
    );
    let name = all
        .decided_by(&Key::Channel(id, ChannelField::Name))
        .expect("set");
    assert_eq!(
        (name.winner, name.over),
        (world.ids[senior], vec![world.ids[named]])
    );
    assert_eq!(all.least(Verb::Post, Some(&id)), Weight::MODERATOR);
    assert_eq!(all.least(Verb::Post, None), Weight::MEMBER);
    // Whoever made it was banned before: the channel is gone, and no update brings it back.
    world.act(P(0), Do::Ban(P(1)), &[base]);
    assert!(!world.all().has_channel(&id));
}

#[test]
fn only_an_owner_switches_features_on() {
    let (mut world, base) = community();
    let set = |bits| {
        Payload::PolicySet(PolicySet {
            name: Some(format!("name {bits}")),
            features: Some(bits),
            ..PolicySet::default()
        })
    };
    let admin = world.say(P(1), 0, set(1), &[base]);
    let all = world.all();
    assert_eq!(all.features(), Features::NONE);
    assert_eq!(all.policies().name, "name 1");
    world.say(P(0), 0, set(2), &[admin]);
    assert_eq!(world.all().features(), Features::from_bits(2));
    let decided = world.all().decided_by(&Key::Policy(PolicyField::Name));
    assert_eq!(decided.map(|d| d.user), Some(P(0).user()));
}

#[test]
fn a_device_key_stays_with_whoever_claimed_it_first() {
    let (mut world, base) = community();
    let add = |p: P, owner: P, n| {
        let mut cert = p.cert(n);
        cert.device = owner.nth_device(n);
        Payload::DeviceAdd(DeviceAdd {
            cert,
            key_package: vec![n].into(),
            identity_sig: None,
        })
    };
    let own = world.say(P(4), 0, add(P(4), P(4), 1), &[base]);
    let theft = world.say(P(1), 0, add(P(1), P(4), 1), &[own]);
    assert!(world.counts(theft));
    let all = world.all();
    let device = P(4).nth_device(1);
    assert_eq!(all.device_user(&device), Some(P(4).user()));
    assert_eq!(all.device_count(&P(4).user()), 2);
    assert_eq!(all.device_count(&P(1).user()), 1);
    assert_eq!(all.key_packages(&device).len(), 2);
    assert!(
        all.key_packages(&device)
            .iter()
            .all(|(hash, _)| *hash != Digest::ZERO)
    );
    assert_eq!(all.authorised_devices().get(&device), Some(&P(4).user()));
    let kicked = world.act(P(1), Do::Kick(P(4)), &[theft]);
    assert!(world.counts(kicked));
    let all = world.all();
    assert!(!all.authorised_devices().contains_key(&device));
    let shown = all.device(&device).expect("still shown");
    assert!(!shown.of_member && shown.cert.name == "p4");
}

#[test]
fn reasons_read_well() {
    let (mut world, base) = community();
    let kick = world.act(P(1), Do::Kick(P(2)), &[base]);
    let ban = world.act(P(2), Do::Ban(P(4)), &[base]);
    let all = world.all();
    let expected = format!(
        "void: B4: revoked by concurrent higher-ranked op {}",
        world.ids[kick].short()
    );
    assert_eq!(all.verdict(&world.ids[ban]).to_string(), expected);
    assert_eq!(all.void_ops().count(), 1);
}

#[test]
fn an_old_frontier_folds_again_after_its_snapshot_went() {
    let mut world = World::with(&[(1, 50), (2, 20), (3, 10)]);
    let mut last = 1;
    for i in 0..4_600 {
        let what = if i % 2 == 0 {
            Do::Role(P(3), 5)
        } else {
            Do::Role(P(3), 10)
        };
        last = world.act(P(1), what, &[last]);
    }
    for at in [50, 51, 333] {
        let frontier = [world.ids[at]];
        assert_eq!(
            *world.view(&[at]),
            world.fold.recompute(&world.dag, &frontier)
        );
    }
    // Someone wakes up who saw nothing since.
    world.act(P(0), Do::Kick(P(1)), &[40]);
    assert_eq!(world.weight(1), None);
    assert_eq!(world.rule(last), Some("B4"));
    let all = world.all();
    assert_eq!(*all, world.fold.recompute(&world.dag, world.dag.heads()));
}

#[test]
fn a_revoked_device_is_gone_whatever_it_did_meanwhile() {
    let (mut world, base) = community();
    let laptop = world.act(P(2), Do::Device(1), &[base]);
    // The thief has seen a promotion that the owner of the devices has not.
    let up = world.act(P(0), Do::Role(P(2), 100), &[laptop]);
    let loot = world.act_on(1, P(2), Do::Ban(P(4)), &[up]);
    let exit = world.act_on(1, P(2), Do::Leave, &[up]);
    let before = world.act_on(1, P(2), Do::Invite(1), &[laptop]);
    let revoke = world.act(P(2), Do::Revoke(1, false), &[before]);
    assert!(world.counts(revoke) && world.counts(before));
    assert_eq!(world.rule(loot), Some("A1"));
    assert_eq!(world.rule(exit), Some("A1"));
    assert_eq!((world.weight(2), world.weight(4)), (Some(100), Some(10)));
    let all = world.all();
    let device = P(2).nth_device(1);
    assert!(all.is_device_revoked(&device) && all.device_user(&device).is_none());
    assert_eq!(all.device_count(&P(2).user()), 1);
    assert!(!all.authorised_devices().contains_key(&device));
    let end = all.device(&device).expect("still shown").ended_by;
    assert_eq!(end, Some(world.ids[revoke]));
    assert!(!world.is_allowed(P(2), &Do::Device(1), &[revoke]));
}

#[test]
fn of_two_devices_the_older_wins_and_the_identity_key_beats_both() {
    let (mut world, base) = community();
    let laptop = world.act(P(2), Do::Device(1), &[base]);
    let by_younger = world.act_on(1, P(2), Do::Revoke(0, false), &[laptop]);
    let by_older = world.act(P(2), Do::Revoke(1, false), &[laptop]);
    assert_eq!(world.rule(by_younger), Some("A1"));
    assert!(world.counts(by_older));
    // The older one was the stolen one: a third device, which only the identity key knows.
    let by_key = world.act_on(2, P(2), Do::Revoke(0, true), &[laptop]);
    assert_eq!(world.rule(by_older), Some("A1"));
    assert!(world.counts(by_key) && world.counts(by_younger));
    let live = |world: &mut World, n| world.all().device_user(&P(2).nth_device(n)).is_some();
    assert!(!live(&mut world, 0) && live(&mut world, 1));
    // Of equals neither stops the other.
    let (mut world, base) = community();
    let laptop = world.act(P(2), Do::Device(1), &[base]);
    let phone = world.act(P(2), Do::Device(2), &[laptop]);
    let a = world.act_on(1, P(2), Do::Revoke(0, true), &[phone]);
    let b = world.act(P(2), Do::Revoke(1, true), &[phone]);
    assert!(world.counts(a) && world.counts(b));
    assert!(!live(&mut world, 0) && !live(&mut world, 1) && live(&mut world, 2));
}

/// Else a kick that raced the revocation would bring a stolen device back with the person.
#[test]
fn a_kick_does_not_undo_the_revocation_of_a_device() {
    let (mut world, base) = community();
    let laptop = world.act(P(4), Do::Device(1), &[base]);
    let revoke = world.act(P(4), Do::Revoke(1, false), &[laptop]);
    let kick = world.act(P(1), Do::Kick(P(4)), &[laptop]);
    assert!(world.counts(revoke) && world.counts(kick));
    world.act(P(1), Do::Add(vec![(P(4), 10)]), &[kick]);
    assert_eq!(world.weight(4), Some(10));
    let all = world.all();
    assert_eq!(all.device_user(&P(4).nth_device(1)), None);
    assert_eq!(all.device_user(&P(4).device()), Some(P(4).user()));
    // Nobody revokes for others, though they claim the key (acceptance refuses it).
    let Payload::DeviceRevoke(theft) = world.payload(&Do::Revoke(0, true)) else {
        return;
    };
    let theft = DeviceRevoke {
        device: P(4).device(),
        ..theft
    };
    world.say(P(1), 0, Payload::DeviceRevoke(theft), &[base]);
    assert_eq!(
        world.all().device_user(&P(4).device()),
        Some(P(4).user()),
        "only its person revokes a device"
    );
}

#[test]
fn a_revoked_device_says_what_becomes_of_its_late_posts() {
    let (mut world, base) = community();
    let laptop = world.act(P(4), Do::Device(1), &[base]);
    let Payload::DeviceRevoke(lost) = world.payload_of(P(4), &Do::Revoke(1, false)) else {
        return;
    };
    for (compromised, said, late) in [
        (false, None, LatePolicy::Accept),
        (true, None, LatePolicy::Reject),
        (true, Some(LatePolicy::Quarantine), LatePolicy::Quarantine),
    ] {
        let mut world = world.clone();
        let payload = DeviceRevoke {
            compromised,
            late: said,
            ..lost.clone()
        };
        let op = world.say(P(4), 0, Payload::DeviceRevoke(payload), &[laptop]);
        let all = world.all();
        let ends = all.ends_of(&P(4).nth_device(1));
        assert_eq!((ends[0].op, ends[0].late), (world.ids[op], late));
        assert!(all.removals_of(&P(4).user()).is_empty());
    }
}

#[test]
fn a_device_that_equivocates_keeps_what_any_proof_knew_of() {
    let (mut world, base) = community();
    let seen = world.act(P(2), Do::Mute(P(4)), &[base]);
    let named = world.act(P(2), Do::Mute(P(3)), &[base]);
    let hidden = world.act(P(2), Do::Invite(3), &[base]);
    let exit = world.act(P(2), Do::Leave, &[base]);
    let low = world.act(P(4), Do::Prove(P(2), 0, None), &[base]);
    for op in [seen, named, hidden, exit] {
        assert_eq!(world.rule(op), Some("B11"));
    }
    assert_eq!(
        world.weight(2),
        Some(50),
        "a clone cannot leave for its person"
    );
    let all = world.all();
    let reason = all.verdict(&world.ids[hidden]).reason().expect("void");
    assert_eq!(reason.deciding(), vec![world.ids[low]]);
    // An honest proof keeps what it had seen and what it names, whatever the first one said.
    world.act(P(3), Do::Prove(P(2), 0, Some(named)), &[seen]);
    assert!(world.counts(seen) && world.counts(named));
    assert_eq!(world.rule(hidden), Some("B11"));
    let all = world.all();
    assert!(all.is_device_revoked(&P(2).device()));
    assert_eq!(all.device_user(&P(2).device()), None);
    let ends = all.ends_of(&P(2).device());
    assert_eq!(ends.len(), 2);
    assert!(ends.iter().all(|end| end.late == LatePolicy::Reject));
    // The reporter's own removal changes nothing.
    world.act(P(0), Do::Ban(P(4)), &[base]);
    assert!(world.counts(low));
}

/// A named op that this replica has beyond a frontier says nothing about that frontier.
#[test]
fn a_view_does_not_know_what_a_proof_names_beyond_it() {
    let (mut world, base) = community();
    let ban = world.act(P(2), Do::Ban(P(4)), &[base]);
    let later = world.act(P(2), Do::Merge, &[ban]);
    let proof = world.act(P(3), Do::Prove(P(2), 0, Some(later)), &[base]);
    assert!(world.counts(ban));
    let before = world.view(&[ban, proof]);
    assert!(!before.verdict(&world.ids[ban]).is_effective());
    let mut alone = world.replayed(&[0, 1, 2, 3, 4, ban, proof]);
    assert_eq!(*before, *alone.all());
}

#[test]
fn attests_add_to_a_cut_while_they_count() {
    let (mut world, base) = community();
    let kick = world.act(P(1), Do::Kick(P(4)), &[base]);
    let channel = Scope::Channel(ChannelId::from_bytes([7; 16]));
    let attest = |seqs: &[u64]| {
        let heads = seqs.iter().map(|seq| CutHead {
            device: P(4).device(),
            seq: *seq,
            op: OpId::from_bytes([*seq as u8; 32]),
        });
        Payload::CutAttest(CutAttest {
            removal: world.ids[kick],
            cut: vec![ScopeCut {
                scope: channel,
                heads: heads.collect(),
            }],
        })
    };
    let payloads = [attest(&[]), attest(&[3, 9]), attest(&[5])];
    let seqs = |world: &mut World| {
        let all = world.all();
        let removals = all.removals_of(&P(4).user());
        let cut = removals[0].cut.iter().find(|c| c.scope == channel);
        cut.map(|c| c.heads.iter().map(|h| h.seq).collect::<Vec<u64>>())
    };
    assert_eq!(seqs(&mut world), None, "an open scope");
    world.say(P(3), 0, payloads[0].clone(), &[kick]);
    assert_eq!(seqs(&mut world), Some(vec![]), "synced, and nothing there");
    world.say(P(2), 0, payloads[1].clone(), &[kick]);
    let by_junior = world.say(P(3), 0, payloads[2].clone(), &[kick]);
    assert_eq!(seqs(&mut world), Some(vec![3, 5, 9]));
    world.act(P(1), Do::Kick(P(3)), &[kick]);
    assert_eq!(world.rule(by_junior), Some("B4"));
    assert_eq!(seqs(&mut world), Some(vec![3, 9]));
}

fn together(signers: &[u8], action: Do) -> Do {
    Do::Quorum(signers.iter().map(|p| P(*p)).collect(), Box::new(action))
}

/// Owner 0 and admins 1 to 4, the senior first.
fn council() -> (World, usize) {
    let mut world = World::with(&[]);
    let mut last = 0;
    for p in 1..5 {
        last = world.act(P(0), Do::Add(vec![(P(p), 50)]), &[last]);
    }
    (world, last)
}

/// I7 with a quorum: what a rogue senior admin does meanwhile is void.
#[test]
fn two_thirds_of_the_admins_outrank_the_senior_one() {
    let (mut world, base) = council();
    let purge = world.act(P(1), Do::Kick(P(2)), &[base]);
    let quorum = world.act(P(3), together(&[2, 3], Do::Kick(P(1))), &[base]);
    assert!(world.counts(quorum));
    assert_eq!(world.rule(purge), Some("B4"));
    assert_eq!((world.weight(1), world.weight(2)), (None, Some(50)));
    let all = world.all();
    let removals = all.removals_of(&P(1).user());
    assert_eq!(removals[0].op, world.ids[quorum]);
    // The owner is above it.
    let rescue = world.act(P(0), Do::Role(P(1), 20), &[base]);
    assert!(world.counts(rescue));
    let mutiny = world.act(P(3), together(&[2, 3, 4], Do::Kick(P(0))), &[base]);
    assert!(!world.is_allowed(P(3), &together(&[2, 3, 4], Do::Kick(P(0))), &[base]));
    world.act(P(0), Do::Kick(P(2)), &[base]);
    world.act(P(0), Do::Kick(P(3)), &[base]);
    assert_eq!(world.rule(quorum), Some("A19"), "both signers gone");
    assert_eq!(world.rule(mutiny), Some("A19"));
}

#[test]
fn who_lost_the_right_to_sign_is_subtracted() {
    let (mut world, base) = council();
    // Two of three suffice; of three who signed one may go.
    let quorum = world.act(P(4), together(&[2, 3, 4], Do::Role(P(1), 10)), &[base]);
    let one = world.act(P(0), Do::Role(P(2), 20), &[base]);
    assert!(world.counts(quorum));
    // Neither a junior's word nor a self-demotion counts against a signer, but a stolen device does.
    world.act(P(1), Do::Kick(P(3)), &[base]);
    assert!(world.counts(quorum));
    let two = world.act_on(1, P(3), Do::Revoke(0, true), &[base]);
    assert_eq!(world.rule(quorum), Some("A19"));
    let all = world.all();
    let reason = all.verdict(&world.ids[quorum]).reason().expect("void");
    let mut by = vec![world.ids[one], world.ids[two]];
    by.sort_unstable();
    assert_eq!(reason.deciding(), by);
}

#[test]
fn a_role_from_admin_up_takes_all_of_them() {
    let (mut world, base) = council();
    let member = world.act(P(0), Do::Add(vec![(P(5), 10)]), &[base]);
    let up = |signers: &[u8]| together(signers, Do::Role(P(5), 50));
    assert!(!world.is_allowed(P(1), &up(&[1, 2, 3]), &[member]));
    assert!(world.is_allowed(P(1), &up(&[1, 2, 3, 4]), &[member]));
    let all = world.act(P(1), up(&[1, 2, 3, 4]), &[member]);
    assert_eq!(world.weight(5), Some(50));
    world.act(P(0), Do::Role(P(4), 20), &[member]);
    assert_eq!(world.rule(all), Some("A19"));
    assert_eq!(world.weight(5), Some(10));
}

#[test]
fn signatures_are_used_once() {
    let (mut world, base) = council();
    let kick = together(&[2, 3], Do::Kick(P(1)));
    let first = world.act(P(2), kick.clone(), &[base]);
    let back = world.act(P(0), Do::Add(vec![(P(1), 50)]), &[first]);
    // The proposer's own lane forked; nobody else may bring it.
    let merge = world.act(P(4), Do::Merge, &[base]);
    let second = world.act(P(2), kick.clone(), &[base, merge]);
    let rules = [first, second].map(|op| world.rule(op));
    assert_eq!(rules, [None, Some("A19")]);
    assert_eq!(world.weight(1), Some(50));
    assert!(world.counts(back));
}
