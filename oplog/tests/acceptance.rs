//! Every rule of acceptance but those on commits, broken once in each way (`docs/acceptance.md`).

#![cfg(test)]

mod world;

use oplog::payload::{
    ChannelPermission, ChannelUpdate, CutAttest, CutHead, DeviceAdd, DeviceRevoke, Edit,
    EquivocationProof, InviteRevoke, Leave, ModTombstone, Mute, Payload, PolicySet, PurgeFrom,
    QuorumAct, QuorumSigner, React, ReaddRequest, Removal, RoleSet, ScopeCut, SignedHeader,
    SpaceKind, ThreadCreate, ThreadUpdate, Unban, Unmute, Verb, Weight,
};
use oplog::testing::{Device, TestSpace, channel_create, invite, member_add, post};
use oplog::{
    AcceptedOp, Authoring, ChannelId, EpochId, Features, Hlc, OpId, Rule, Scope, SignedOp, SpaceId,
    UserId,
};
use world::World;

fn removal(target: UserId) -> Removal {
    Removal {
        target,
        cut: vec![],
        late: None,
        reason: String::new(),
        purge: vec![],
    }
}

fn kick(who: &Device) -> Payload {
    Payload::Kick(removal(who.user()))
}

fn ban(who: &Device) -> Payload {
    Payload::Ban(removal(who.user()))
}

fn role(who: &Device, weight: Weight) -> Payload {
    Payload::RoleSet(RoleSet {
        target: who.user(),
        weight,
        reason: String::new(),
    })
}

fn mute(who: &Device, channel: Option<ChannelId>, expires: Option<Hlc>) -> Payload {
    Payload::Mute(Mute {
        target: who.user(),
        channel,
        expires,
        reason: String::new(),
    })
}

fn unmute(who: &Device, channel: Option<ChannelId>) -> Payload {
    Payload::Unmute(Unmute {
        target: who.user(),
        channel,
    })
}

fn leave() -> Payload {
    Payload::Leave(Leave {
        reason: String::new(),
    })
}

fn update(channel: ChannelId) -> ChannelUpdate {
    ChannelUpdate {
        channel,
        name: None,
        topic: None,
        category: None,
        archived: None,
        permissions: vec![],
    }
}

fn thread() -> Payload {
    Payload::ThreadCreate(ThreadCreate {
        title: "a thread".into(),
        tags: vec![],
        body: "body".into(),
        attachments: vec![],
        mentions: vec![],
    })
}

fn edit() -> Payload {
    Payload::Edit(Edit {
        body: "other words".into(),
        mentions: vec![],
    })
}

fn react() -> Payload {
    Payload::React(React {
        emoji: "👍".into()
    })
}

fn tombstone() -> Payload {
    Payload::ModTombstone(ModTombstone {
        reason: String::new(),
    })
}

fn device_add(device: &Device) -> Payload {
    Payload::DeviceAdd(DeviceAdd {
        cert: device.cert().clone(),
        key_package: device.key_package().into(),
        identity_sig: None,
    })
}

fn revoke(device: &Device) -> Payload {
    Payload::DeviceRevoke(DeviceRevoke {
        device: device.id(),
        cut: vec![],
        late: None,
        reason: String::new(),
        purge: vec![],
        compromised: false,
        identity_sig: None,
    })
}

/// A feature that this version lacks.
const FUTURE: Features = Features::from_bits(1 << 9);

#[test]
fn s0_the_op_stands_on_its_own() {
    let mut w = World::new();
    let mut elsewhere = TestSpace::found(2);
    let founder = elsewhere.founder();
    let op = elsewhere.op(&founder, Payload::Merge).forge();
    w.refuses(Rule::S0, "OtherSpace", &op);
    w.refuses(Rule::S0, "OtherSpace", elsewhere.genesis());

    let five: Vec<OpId> = w.space.ops().iter().take(5).map(SignedOp::id).collect();
    let op = w.space.post(&w.member, w.chat, "hi").ctl(&five).forge();
    w.refuses(Rule::S0, "Limit", &op);
    assert!(SignedOp::decode(&op.encode()).is_err());

    let op = w.space.op(&w.owner, role(&w.member, Weight::GUEST)).sign();
    w.refuses(Rule::S0, "PayloadMissing", &op.clone().pruned());
    w.accepts(&op);
}

#[test]
fn s1_what_an_op_names_is_valid_and_of_its_plane() {
    let mut w = World::new();
    let bad = w.space.post(&w.guest, w.chat, "I may only read").sign();
    w.refuses(Rule::R6, "NotPermitted", &bad);
    let child = w.space.op(&w.member, react()).channel(w.chat);
    let child = child.prev(&[bad.id()]).forge();
    w.refuses(Rule::S1, "DependsOnInvalid", &child);

    let fine = w.space.post(&w.member, w.chat, "hi").sign();
    w.accepts(&fine);
    let op = w
        .space
        .post(&w.member, w.chat, "hi")
        .ctl(&[fine.id()])
        .forge();
    w.refuses(Rule::S1, "WrongPlane", &op);
    let genesis = w.space.genesis().id();
    let op = w
        .space
        .post(&w.member, w.chat, "hi")
        .prev(&[genesis])
        .forge();
    w.refuses(Rule::S1, "WrongPlane", &op);
    let op = w
        .space
        .op(&w.member, Payload::Merge)
        .after(Some(&fine))
        .forge();
    w.refuses(Rule::S1, "WrongPlane", &op);
}

#[test]
fn a18_new_kinds_need_a_feature_that_an_owner_switched_on() {
    let mut w = World::new();
    let revoke = |w: &mut World| {
        let draft = w.space.op(&w.member, Payload::Merge).kind(40);
        draft.bytes(b"from the future".to_vec()).forge()
    };
    let unknown = |w: &mut World| w.space.post(&w.member, w.chat, "?").kind(200).forge();
    let op = revoke(&mut w);
    w.refuses(Rule::A18, "FeatureOff", &op);
    let op = unknown(&mut w);
    w.refuses(Rule::A18, "FeatureOff", &op);
}

#[test]
fn r1_a_lane_is_a_chain() {
    let mut w = World::new();
    let first = w.space.post(&w.member, w.chat, "one").sign();
    let second = w.space.post(&w.member, w.chat, "two").sign();
    let other_lane = w.space.post(&w.member, w.forum, "there").sign();
    w.catch_up();
    let gap = w.space.post(&w.member, w.chat, "gap").tweak(|h| h.seq += 1);
    let gap = gap.forge();
    w.refuses(Rule::R1, "BrokenLane", &gap);
    let overlap = w.space.post(&w.member, w.chat, "overlap");
    let overlap = overlap.after(Some(&first)).tweak(|h| h.seq += 1).forge();
    w.refuses(Rule::R1, "BrokenLane", &overlap);
    let headless = w.space.post(&w.member, w.chat, "headless");
    let headless = headless.tweak(|h| h.back = None).forge();
    w.refuses(Rule::R1, "BrokenLane", &headless);
    let tailless = w.space.post(&w.member, w.chat, "tailless");
    let tailless = tailless.tweak(|h| h.seq = 0).forge();
    w.refuses(Rule::R1, "BrokenLane", &tailless);
    let strays = w.space.post(&w.member, w.chat, "strays");
    let strays = strays.after(Some(&other_lane)).forge();
    w.refuses(Rule::R1, "BrokenLane", &strays);
    let stolen = w.space.post(&w.second_member, w.chat, "stolen");
    let stolen = stolen.after(Some(&second)).forge();
    w.refuses(Rule::R1, "BrokenLane", &stolen);

    // Two ops at one place are an equivocation, which both survive (B11).
    let fork = w.space.post(&w.member, w.chat, "fork").after(Some(&first));
    let fork = fork.forge();
    w.accepts(&fork);
}

#[test]
fn r2_time_follows_what_an_op_names() {
    let mut w = World::new();
    let post_at = |w: &mut World, hlc| w.space.post(&w.member, w.chat, "now").hlc(hlc).forge();
    let last = w.space.ops().last().expect("there are ops").header().hlc;
    let op = post_at(&mut w, last);
    w.refuses(Rule::R2, "NotAfter", &op);
    let edge = last.plus_secs(366 * 86_400);
    let op = post_at(&mut w, Hlc::from_raw(edge.as_raw() + 1));
    w.refuses(Rule::R2, "TooFarAhead", &op);
    let op = post_at(&mut w, edge);
    w.accepts(&op);

    let far = last.plus_secs(400 * 86_400);
    let op = w.space.op(&w.moderator, Payload::Merge).hlc(far).forge();
    w.refuses(Rule::R2, "TooFarAhead", &op);
    // An admin may wake a Space that slept.
    let op = w.space.op(&w.admin, Payload::Merge).hlc(far).forge();
    w.accepts(&op);
}

#[test]
fn r3_an_author_forgets_nothing() {
    let mut w = World::new();
    let before = w.space.heads();
    let before_epoch = w.space.epoch();
    w.space
        .channel(&w.owner.clone(), oplog::payload::ChannelKind::Chat);
    let first = w.space.post(&w.member, w.chat, "I saw it").sign();
    w.catch_up();
    let op = w
        .space
        .post(&w.member, w.chat, "what?")
        .ctl(&before)
        .forge();
    w.refuses(Rule::R3, "Forgets", &op);
    // Nor may somebody else answer it without having seen what it had seen.
    let op = w.space.op(&w.second_member, react()).channel(w.chat);
    let op = op
        .prev(&[first.id()])
        .ctl(&before)
        .epoch(before_epoch)
        .forge();
    w.refuses(Rule::R3, "Forgets", &op);
}

#[test]
fn r4_the_author_is_a_member_with_this_device() {
    let mut w = World::new();
    let stranger = w.space.person("stranger").device(0);
    let op = w.space.post(&stranger, w.chat, "hi").forge();
    w.refuses(Rule::R4, "NotMember", &op);
    let op = w.space.post(&w.member, w.chat, "hi").ctl(&[]).forge();
    w.refuses(Rule::R4, "NotMember", &op);
    let borrowed = w.second_member.user();
    let op = w.space.post(&w.member, w.chat, "hi").user(borrowed).forge();
    w.refuses(Rule::R4, "NotTheirDevice", &op);
    // Nor does it say that a member is none when a device of nobody here takes the name.
    let op = w.space.post(&stranger, w.chat, "hi").user(borrowed).forge();
    w.refuses(Rule::R4, "NotTheirDevice", &op);

    let before = w.space.heads();
    w.space.op(&w.moderator.clone(), kick(&w.member)).sign();
    w.catch_up();
    // Having seen the kick it is refused; not having seen it, it is history (B0).
    let op = w.space.post(&w.member, w.chat, "C").forge();
    w.refuses(Rule::R4, "NotMember", &op);
    let op = w.space.post(&w.member, w.chat, "B").ctl(&before).forge();
    w.accepts(&op);
}

#[test]
fn r5_the_device_is_in_the_group_of_its_epoch() {
    let mut w = World::new();
    let nowhere = EpochId::from_bytes([9; 32]);
    let op = w.space.post(&w.member, w.chat, "hi").epoch(nowhere).forge();
    w.refuses(Rule::R5, "UnseenEpoch", &op);

    let new = w.space.person("new").device(0);
    w.space.add(&w.owner.clone(), &[(&new, Weight::MEMBER)]);
    w.catch_up();
    let unseen = w.space.heads();
    let op = w.space.post(&new, w.chat, "too early").forge();
    w.refuses(Rule::R5, "NotInRoster", &op);
    w.space.commit(&w.owner.clone(), &[&new], &[]).sign();
    w.catch_up();
    // The epoch is there, but the op does not say that its author had seen it begin.
    let op = w.space.post(&new, w.chat, "still").ctl(&unseen).forge();
    w.refuses(Rule::R5, "UnseenEpoch", &op);
    let op = w.space.post(&new, w.chat, "now").forge();
    w.accepts(&op);
}

#[test]
fn r5_exempts_who_asks_to_come_back() {
    let mut w = World::new();
    let laptop = w.space.person("member").device(1);
    w.space.op(&w.member.clone(), device_add(&laptop)).sign();
    w.catch_up();
    // The laptop is certified, but no commit added it.
    let op = w.space.op(&laptop, Payload::Merge).forge();
    w.refuses(Rule::R5, "NotInRoster", &op);
    let ask = Payload::ReaddRequest(ReaddRequest {
        key_package: laptop.clone().renewed().key_package().into(),
        nonce: oplog::Digest::from_bytes([1; 32]),
    });
    let op = w.space.op(&laptop, ask).epoch(EpochId::from_bytes([9; 32]));
    let op = op.forge();
    w.accepts(&op);

    // A new phone, made from the recovery phrase, certifies itself (A1).
    let phone = w.space.person("member").device(2);
    let unsigned = w.space.op(&phone, device_add(&phone)).forge();
    w.refuses(Rule::R4, "NotTheirDevice", &unsigned);
    let op = w.space.op(&phone, device_add(&phone)).identity_signed();
    let op = op.epoch(EpochId::ZERO).forge();
    w.accepts(&op);
    // A stranger's identity signature opens nothing.
    let stranger = w.space.person("stranger").device(0);
    let op = w
        .space
        .op(&stranger, device_add(&stranger))
        .identity_signed();
    let op = op.forge();
    w.refuses(Rule::R4, "NotMember", &op);
}

#[test]
fn r6_each_act_needs_its_permission() {
    let mut w = World::new();
    let (owner, admin) = (w.owner.clone(), w.admin.clone());
    let (moderator, member) = (w.moderator.clone(), w.member.clone());
    let (target, guest) = (w.second_member.clone(), w.guest.clone());
    let (invite, _) = invite(1, 5, Hlc::from_raw(u64::MAX));
    let mut chat = update(w.chat);
    chat.permissions = vec![ChannelPermission {
        verb: Verb::Post,
        least: Weight::GUEST,
    }];
    let new = w.space.person("new").device(0);
    // who may just not, who may, what
    for (below, enough, payload) in [
        (&member, &moderator, kick(&target)),
        (&member, &moderator, mute(&target, None, None)),
        (&member, &moderator, Payload::InviteCreate(invite)),
        (
            &member,
            &moderator,
            member_add(&[(&new, Weight::MEMBER)], None),
        ),
        (&moderator, &admin, ban(&target)),
        (&moderator, &admin, role(&target, Weight::MODERATOR)),
        (&moderator, &admin, Payload::ChannelUpdate(chat)),
        (&moderator, &admin, Payload::PolicySet(PolicySet::default())),
        (
            &moderator,
            &admin,
            channel_create("more", oplog::payload::ChannelKind::Chat),
        ),
    ] {
        let op = w.space.op(below, payload.clone()).forge();
        w.refuses(Rule::R6, "NotPermitted", &op);
        let op = w.space.op(enough, payload).forge();
        w.accepts(&op);
    }
    let target = w.space.post(&owner, w.chat, "the owner's words").sign();
    w.catch_up();
    let anywhere = (w.chat, w.chat);
    let on = [target.id()];
    for (below, enough, payload, prev, (refused_in, accepted_in)) in [
        (&guest, &member, post("hi"), &[][..], anywhere),
        (&guest, &member, thread(), &[], anywhere),
        (&guest, &member, react(), &on, anywhere),
        (&member, &moderator, post("news"), &[], (w.news, w.news)),
        (&member, &moderator, Payload::Pin, &on, anywhere),
        (&member, &moderator, Payload::Unpin, &on, anywhere),
        (&member, &moderator, Payload::ModRestore, &on, anywhere),
        (&member, &owner, tombstone(), &on, anywhere),
    ] {
        let op = w.space.op(below, payload.clone()).channel(refused_in);
        let op = op.prev(prev).forge();
        w.refuses(Rule::R6, "NotPermitted", &op);
        let op = w.space.op(enough, payload).channel(accepted_in);
        let op = op.prev(prev).forge();
        w.accepts(&op);
    }
}

#[test]
fn r6_channels_override_the_least_weight() {
    let mut w = World::new();
    let mut change = update(w.chat);
    change.permissions = vec![ChannelPermission {
        verb: Verb::Post,
        least: Weight::GUEST,
    }];
    let (admin, guest) = (w.admin.clone(), w.guest.clone());
    w.space.op(&admin, Payload::ChannelUpdate(change)).sign();
    w.catch_up();
    let op = w.space.post(&guest, w.chat, "I may").forge();
    w.accepts(&op);
    let op = w.space.post(&guest, w.forum, "but not here").forge();
    w.refuses(Rule::R6, "NotPermitted", &op);
}

#[test]
fn r6_acting_on_people_needs_a_higher_rank() {
    let mut w = World::new();
    let (owner, admin) = (w.owner.clone(), w.admin.clone());
    let (moderator, equal) = (w.moderator.clone(), w.second_moderator.clone());
    // The two moderators were admitted by one op; who of them is senior is settled by their ids.
    let view = oplog::authority::Authority::view(
        &mut w.replica.authority,
        w.replica.log.dag(),
        &w.space.heads(),
    );
    let rank = |d: &Device| view.members[&d.user()].1;
    let (senior, junior) = if rank(&moderator) > rank(&equal) {
        (moderator, equal)
    } else {
        (equal, moderator)
    };
    for (by, payload) in [
        (&junior, kick(&senior)),
        (&junior, mute(&senior, None, None)),
        (&senior, kick(&senior)),
        (&admin, kick(&owner)),
        (&admin, ban(&admin)),
        (&admin, role(&owner, Weight::GUEST)),
        (&junior, unmute(&senior, None)),
    ] {
        let op = w.space.op(by, payload).forge();
        w.refuses(Rule::R6, "RankTooLow", &op);
    }
    let op = w.space.op(&senior, mute(&junior, None, None)).forge();
    w.accepts(&op);

    let words = w.space.post(&senior, w.chat, "words").sign();
    let topic = w.space.op(&owner, thread()).channel(w.chat).sign();
    w.catch_up();
    let change = Payload::ThreadUpdate(ThreadUpdate {
        title: Some("another".into()),
        tags: None,
    });
    for (payload, on) in [(tombstone(), &words), (change.clone(), &topic)] {
        let op = w.space.op(&junior, payload).channel(w.chat);
        let op = op.prev(&[on.id()]).forge();
        w.refuses(Rule::R6, "RankTooLow", &op);
    }
    // To change another's thread is moderation, not what opening threads allows.
    let op = w.space.op(&w.member, change).channel(w.chat);
    let op = op.prev(&[topic.id()]).forge();
    w.refuses(Rule::R6, "NotPermitted", &op);
    // Once they are gone, their words may be hidden by any moderator.
    let op = w.space.op(&owner, kick(&senior)).sign();
    w.accepts(&op);
    let op = w.space.op(&junior, tombstone()).channel(w.chat);
    let op = op.prev(&[words.id()]).forge();
    w.accepts(&op);
}

#[test]
fn r6_nobody_gives_more_than_they_may() {
    let mut w = World::new();
    let (owner, admin, moderator) = (w.owner.clone(), w.admin.clone(), w.moderator.clone());
    let new = w.space.person("new").device(0);
    for (by, payload) in [
        (&admin, role(&w.member, Weight::ADMIN)),
        (&admin, member_add(&[(&new, Weight::ADMIN)], None)),
        (&moderator, member_add(&[(&new, Weight::MODERATOR)], None)),
        (&owner, member_add(&[(&new, Weight::new(30))], None)),
        (&moderator, role(&moderator, Weight::ADMIN)),
    ] {
        let op = w.space.op(by, payload).forge();
        w.refuses(Rule::R6, "GrantTooHigh", &op);
    }
    let op = w.space.op(&owner, role(&w.member, Weight::OWNER)).sign();
    w.accepts(&op);
    let op = w
        .space
        .op(&admin, member_add(&[(&new, Weight::MODERATOR)], None))
        .sign();
    w.accepts(&op);
}

#[test]
fn r6_a_space_keeps_an_owner() {
    let mut w = World::new();
    let (owner, member) = (w.owner.clone(), w.member.clone());
    for payload in [leave(), role(&owner, Weight::ADMIN)] {
        let op = w.space.op(&owner, payload).forge();
        w.refuses(Rule::R6, "LastOwner", &op);
    }
    let op = w.space.op(&member, leave()).forge();
    w.accepts(&op);
    w.space.op(&owner, role(&w.admin, Weight::OWNER)).sign();
    w.catch_up();
    let op = w.space.op(&owner, leave()).forge();
    w.accepts(&op);
}

#[test]
fn r6_features_are_the_owners() {
    let mut w = World::new();
    let set = Payload::PolicySet(PolicySet {
        features: Some(0),
        ..PolicySet::default()
    });
    let op = w.space.op(&w.admin, set.clone()).forge();
    w.refuses(Rule::R6, "OwnersOnly", &op);
    let op = w.space.op(&w.owner, set).forge();
    w.accepts(&op);
}

#[test]
fn r6_who_is_muted_is_silent_there_and_then() {
    let mut w = World::new();
    let (moderator, member) = (w.moderator.clone(), w.member.clone());
    let end = w.hlc().plus_secs(3_600);
    w.space
        .op(&moderator, mute(&member, Some(w.chat), Some(end)))
        .sign();
    w.catch_up();
    let say = |w: &mut World, channel, hlc| {
        let draft = w.space.post(&member, channel, "but");
        match hlc {
            None => draft.forge(),
            Some(hlc) => draft.hlc(hlc).forge(),
        }
    };
    let (chat, forum) = (w.chat, w.forum);
    let op = say(&mut w, chat, None);
    w.refuses(Rule::R6, "Muted", &op);
    let op = say(&mut w, chat, Some(Hlc::from_raw(end.as_raw() - 1)));
    w.refuses(Rule::R6, "Muted", &op);
    let op = say(&mut w, chat, Some(end));
    w.accepts(&op);
    let op = say(&mut w, forum, None);
    w.accepts(&op);
    w.space.op(&moderator, mute(&member, None, None)).sign();
    w.catch_up();
    let op = say(&mut w, forum, None);
    w.refuses(Rule::R6, "Muted", &op);
}

#[test]
fn r6_channels_exist_and_are_open() {
    let mut w = World::new();
    let nowhere = ChannelId::from_bytes([9; 16]);
    let op = w.space.post(&w.member, nowhere, "hi").forge();
    w.refuses(Rule::R6, "NoChannel", &op);
    let op = w
        .space
        .op(&w.admin, Payload::ChannelUpdate(update(nowhere)));
    let op = op.forge();
    w.refuses(Rule::R6, "NoChannel", &op);
    let op = w
        .space
        .op(&w.admin, mute(&w.member, Some(nowhere), None))
        .forge();
    w.refuses(Rule::R6, "NoChannel", &op);
    let (mut to_nowhere, _) = invite(1, 5, Hlc::from_raw(u64::MAX));
    to_nowhere.channel = Some(nowhere);
    let op = w
        .space
        .op(&w.admin, Payload::InviteCreate(to_nowhere))
        .forge();
    w.refuses(Rule::R6, "NoChannel", &op);

    let said = w.space.post(&w.member.clone(), w.chat, "before").sign();
    let mut archive = update(w.chat);
    archive.archived = Some(true);
    w.space
        .op(&w.admin.clone(), Payload::ChannelUpdate(archive))
        .sign();
    w.catch_up();
    for (payload, prev) in [
        (post("after"), vec![]),
        (thread(), vec![]),
        (react(), vec![said.id()]),
        (edit(), vec![said.id()]),
    ] {
        let op = w.space.op(&w.member, payload).channel(w.chat);
        let op = op.prev(&prev).forge();
        w.refuses(Rule::R6, "Archived", &op);
    }
    let op = w.space.op(&w.member, Payload::SelfDelete).channel(w.chat);
    let op = op.prev(&[said.id()]).forge();
    w.accepts(&op);
}

#[test]
fn r6_invites_admit_while_they_live() {
    let mut w = World::new();
    let (moderator, member) = (w.moderator.clone(), w.member.clone());
    let expires = w.hlc().plus_secs(3_600);
    let (mut open, secret) = invite(1, 2, expires);
    let opened = w
        .space
        .op(&moderator, Payload::InviteCreate(open.clone()))
        .sign();
    w.catch_up();
    let [a, b, c] = ["a", "b", "c"].map(|name| w.space.person(name).device(0));

    let op = w.admit(&member, &[&a], OpId::from_bytes([9; 32]), &secret);
    w.refuses(Rule::R6, "InviteNotLive", &op);
    let op = w.admit(&w.guest.clone(), &[&a], opened.id(), &secret);
    w.refuses(Rule::R6, "NotPermitted", &op);
    let payload = member_add(&[(&a, Weight::MEMBER)], Some((opened.id(), &secret)));
    let op = w.space.op(&member, payload.clone()).hlc(expires).forge();
    w.refuses(Rule::R6, "InviteExpired", &op);
    let other = member_add(&[(&a, Weight::GUEST)], Some((opened.id(), &secret)));
    let op = w.space.op(&member, other).forge();
    w.refuses(Rule::R6, "GrantTooHigh", &op);
    // A proof for one person admits nobody else, and no other key package.
    let (_, wrong) = invite(2, 2, expires);
    let op = w.admit(&member, &[&a], opened.id(), &wrong);
    w.refuses(Rule::R8, "BadProof", &op);

    let op = w.admit(&member, &[&a, &b, &c], opened.id(), &secret);
    w.refuses(Rule::R8, "InviteUsedUp", &op);
    w.space.op(&member, payload).sign();
    w.catch_up();
    let op = w.admit(&member, &[&b, &c], opened.id(), &secret);
    w.refuses(Rule::R8, "InviteUsedUp", &op);
    let op = w.admit(&member, &[&b], opened.id(), &secret);
    w.accepts(&op);

    // With approval it takes a moderator.
    open.approval = true;
    let asked = w.space.op(&moderator, Payload::InviteCreate(open)).sign();
    w.catch_up();
    let op = w.admit(&member, &[&c], asked.id(), &secret);
    w.refuses(Rule::R6, "NotPermitted", &op);
    let op = w.admit(&moderator, &[&c], asked.id(), &secret);
    w.accepts(&op);

    let close = Payload::InviteRevoke(InviteRevoke { invite: asked.id() });
    w.space.op(&moderator, close.clone()).sign();
    w.catch_up();
    let op = w.admit(&moderator, &[&c], asked.id(), &secret);
    w.refuses(Rule::R6, "InviteNotLive", &op);
    let op = w.space.op(&moderator, close).forge();
    w.refuses(Rule::R6, "InviteNotLive", &op);
}

#[test]
fn r7_a_lane_is_not_too_fast() {
    let mut w = World::new();
    let member = w.member.clone();
    let start = w.space.now;
    for n in 0..120 {
        w.space.now = start;
        w.space.post(&member, w.chat, &n.to_string()).sign();
    }
    w.catch_up();
    let first = w.space.ops()[w.space.ops().len() - 120].header().hlc;
    let minute = first.plus_secs(60);
    let fast = |w: &mut World, raw| {
        let draft = w.space.post(&member, w.chat, "fast");
        draft.hlc(Hlc::from_raw(raw)).forge()
    };
    let op = fast(&mut w, minute.as_raw() - 1);
    w.refuses(Rule::R7, "TooFast", &op);
    // After a restart the times come from the store, not from memory.
    w.replica.commit();
    w.replica.restart();
    let op = fast(&mut w, minute.as_raw() - 2);
    w.refuses(Rule::R7, "TooFast", &op);
    let op = fast(&mut w, minute.as_raw());
    w.accepts(&op);
}

#[test]
fn r7_control_lanes_are_slower() {
    let mut w = World::new();
    let member = w.member.clone();
    let start = w.space.now;
    for _ in 0..60 {
        w.space.now = start;
        w.space.op(&member, Payload::Merge).sign();
    }
    w.catch_up();
    let first = w.space.ops()[w.space.ops().len() - 60].header().hlc;
    let minute = first.plus_secs(60);
    let before = Hlc::from_raw(minute.as_raw() - 1);
    let op = w.space.op(&member, Payload::Merge).hlc(before).forge();
    w.refuses(Rule::R7, "TooFast", &op);
    let op = w.space.op(&member, Payload::Merge).hlc(minute).forge();
    w.accepts(&op);
}

#[test]
fn r7_counts_the_own_branch_of_a_forked_lane() {
    let mut w = World::new();
    let member = w.member.clone();
    let root = w.space.post(&member, w.chat, "root").sign();
    // Position 1 holds two ops: one early, and one from which a fast branch goes on.
    w.space.post(&member, w.chat, "early").sign();
    let start = w.space.now.plus_ms(61_000);
    w.space.now = start;
    let mut last = w.space.post(&member, w.chat, "1").after(Some(&root)).sign();
    for n in 2..=120 {
        w.space.now = start;
        let draft = w.space.post(&member, w.chat, &n.to_string());
        last = draft.after(Some(&last)).sign();
    }
    w.catch_up();
    let next = |w: &mut World, after| {
        let hlc = Hlc::from_raw(last.header().hlc.as_raw() + after);
        let draft = w.space.post(&member, w.chat, "121").after(Some(&last));
        draft.hlc(hlc).forge()
    };
    let op = next(&mut w, 1);
    w.refuses(Rule::R7, "TooFast", &op);
    w.replica.commit();
    w.replica.restart();
    let op = next(&mut w, 2);
    w.refuses(Rule::R7, "TooFast", &op);
    let op = next(&mut w, 61 << 32);
    w.accepts(&op);
}

#[test]
fn r8_control_payloads_parse() {
    let mut w = World::new();
    let owner = w.owner.clone();
    let op = w.space.op(&owner, Payload::Merge).bytes(vec![1]).forge();
    w.refuses(Rule::R8, "Payload", &op);
    let op = w
        .space
        .op(&owner, kick(&w.member))
        .bytes(vec![0xa0])
        .forge();
    w.refuses(Rule::R8, "Payload", &op);
    // A content payload that does not parse is unreadable, never invalid.
    let op = w.space.post(&w.member, w.chat, "").bytes(vec![1]).forge();
    w.accepts(&op);
}

#[test]
fn r8_kinds_keep_to_their_plane() {
    let mut w = World::new();
    let op = w.space.op(&w.member, post("hi")).forge();
    w.refuses(Rule::R8, "WrongScope", &op);
    let op = w.space.op(&w.owner, Payload::Merge).channel(w.chat).forge();
    w.refuses(Rule::R8, "WrongScope", &op);
}

#[test]
fn r8_a_space_is_founded_once_and_by_its_owner() {
    let mut w = World::new();
    // A founding op inside a Space founds another one.
    let genesis = w.space.genesis().payload().expect("fine").expect("there");
    let op = w.space.op(&w.owner, genesis.clone()).forge();
    w.refuses(Rule::S0, "OtherSpace", &op);

    let Payload::Genesis(founding) = genesis else {
        panic!("not a founding op");
    };
    let founder = w.owner.clone();
    let other = w.space.person("other").device(0);
    let clean = Authoring::genesis(founder.user(), founder.id(), oplog::testing::START);
    let mut direct = founding.clone();
    direct.kind = SpaceKind::Direct;
    let mut not_own = founding.clone();
    not_own.cert = other.cert().clone();
    let mut unsigned = founding.clone();
    unsigned.cert.sig = oplog::Signature::ZERO;
    let mut named = clean.clone();
    named.space = SpaceId::from_bytes([1; 32]);
    let mut late = clean.clone();
    late.seq = 1;
    for (header, payload, variant) in [
        (&clean, &direct, "BadGenesis"),
        (&clean, &not_own, "BadGenesis"),
        (&named, &founding, "BadGenesis"),
        (&late, &founding, "BadGenesis"),
        (&clean, &unsigned, "BadCertificate"),
    ] {
        let op = SignedOp::sign(
            header.clone(),
            &Payload::Genesis(payload.clone()),
            founder.key(),
        );
        let mut store = oplog::store::MemStore::new();
        let mut authority = oplog::testing::NaiveAuthority::new();
        let mut log = oplog::SpaceLog::new(op.space(), world::NO);
        let op = op.verify().expect("signed");
        let error = log
            .accept(op, world::LATER, &mut store, &mut authority)
            .expect_err("not a founding op");
        assert_eq!(
            (world::name_of(&error).as_str(), error.rule()),
            (variant, Some(Rule::R8))
        );
    }
}

#[test]
fn r8_content_acts_on_content_of_its_channel() {
    let mut w = World::new();
    let (member, other) = (w.member.clone(), w.second_member.clone());
    let topic = w.space.op(&member, thread()).channel(w.chat).sign();
    let said = w.space.post(&member, w.chat, "one").sign();
    let more = w.space.post(&member, w.chat, "two").sign();
    let cheer = w.space.op(&other, react()).channel(w.chat);
    let cheer = cheer.prev(&[said.id()]).sign();
    let there = w.space.post(&member, w.forum, "elsewhere").sign();
    w.catch_up();
    let rename = Payload::ThreadUpdate(ThreadUpdate {
        title: None,
        tags: None,
    });
    for (by, payload, prev, variant) in [
        (&other, react(), vec![], "NotOneTarget"),
        (&other, react(), vec![said.id(), more.id()], "NotOneTarget"),
        (&other, react(), vec![there.id()], "OtherChannel"),
        (&other, post("re"), vec![there.id()], "OtherChannel"),
        (&other, react(), vec![cheer.id()], "WrongTarget"),
        (&member, edit(), vec![cheer.id()], "WrongTarget"),
        (&member, rename.clone(), vec![said.id()], "WrongTarget"),
        (&other, edit(), vec![said.id()], "NotOwn"),
        (&other, Payload::SelfDelete, vec![said.id()], "NotOwn"),
    ] {
        let op = w.space.op(by, payload).channel(w.chat);
        let op = op.prev(&prev).forge();
        w.refuses(Rule::R8, variant, &op);
    }
    for (by, payload, target) in [
        (&member, edit(), &said),
        (&member, edit(), &topic),
        (&member, rename, &topic),
        (&member, Payload::SelfDelete, &more),
        (&other, react(), &topic),
    ] {
        let op = w.space.op(by, payload).channel(w.chat);
        let op = op.prev(&[target.id()]).sign();
        w.accepts(&op);
    }
}

#[test]
fn r8_devices_are_certified_once_by_their_person() {
    let mut w = World::new();
    let person = w.space.person("member");
    let member = w.member.clone();
    let laptop = person.device(1);

    let op = w.space.op(&w.second_member, device_add(&laptop)).forge();
    w.refuses(Rule::R8, "BadCertificate", &op);
    let mut unsigned = device_add(&laptop);
    if let Payload::DeviceAdd(add) = &mut unsigned {
        add.cert.name = "someone else".into();
    }
    let op = w.space.op(&member, unsigned).forge();
    w.refuses(Rule::R8, "BadCertificate", &op);
    // A signature of the identity key, but over another op: a replay (A1).
    let real = w.space.op(&laptop, device_add(&laptop)).identity_signed();
    let replayed = real.forge().payload().expect("fine").expect("there");
    w.space.now = w.space.now.plus_ms(5_000);
    let op = w.space.op(&laptop, replayed).forge();
    w.refuses(Rule::R8, "BadProof", &op);
    // Somebody else's device.
    let stolen = person.certify(w.second_member.key().clone(), 0);
    let op = w.space.op(&member, device_add(&stolen)).forge();
    w.refuses(Rule::R8, "DeviceTaken", &op);

    w.space.op(&member, device_add(&laptop)).sign();
    w.catch_up();
    let op = w.space.op(&member, device_add(&laptop)).forge();
    w.refuses(Rule::R8, "NoEffect", &op);
    for n in 2..8 {
        w.space.now = w.space.now.plus_ms(86_400_000);
        w.space.op(&member, device_add(&person.device(n))).sign();
    }
    w.catch_up();
    w.space.now = w.space.now.plus_ms(86_400_000);
    let op = w.space.op(&member, device_add(&person.device(8))).forge();
    w.refuses(Rule::R8, "TooManyDevices", &op);
}

#[test]
fn r8_a_revoked_device_never_comes_back() {
    let mut w = World::new();
    let laptop = w.space.person("member").device(1);
    w.space.op(&w.member, device_add(&laptop)).sign();
    w.space.op(&w.member, revoke(&laptop)).sign();
    w.catch_up();
    let op = w.space.op(&w.member, device_add(&laptop)).forge();
    w.refuses(Rule::R8, "DeviceRevoked", &op);
    let op = w.space.op(&w.member, revoke(&laptop)).forge();
    w.refuses(Rule::R8, "DeviceRevoked", &op);
    // Nor with another person's certificate, nor when its own person is admitted anew.
    let stolen = w.space.person("new").certify(laptop.key().clone(), 9);
    let op = member_add(&[(&stolen, Weight::MEMBER)], None);
    let op = w.space.op(&w.owner, op).forge();
    w.refuses(Rule::R8, "DeviceRevoked", &op);
    w.space.op(&w.admin, kick(&w.member)).sign();
    w.catch_up();
    let op = member_add(&[(&laptop, Weight::MEMBER)], None);
    let op = w.space.op(&w.owner, op).forge();
    w.refuses(Rule::R8, "DeviceRevoked", &op);
}

#[test]
fn r8_people_revoke_their_own_devices() {
    let mut w = World::new();
    let (member, other) = (w.member.clone(), w.second_member.clone());
    let op = w.space.op(&member, revoke(&other)).forge();
    w.refuses(Rule::R8, "NotOwnDevice", &op);
    // Nobody else's rank helps, not even the owner's.
    let op = w.space.op(&w.owner, revoke(&other)).forge();
    w.refuses(Rule::R8, "NotOwnDevice", &op);
    let op = w.space.op(&member, revoke(&w.space.person("x").device(0)));
    let op = op.forge();
    w.refuses(Rule::R8, "NotOwnDevice", &op);
    let mut named = revoke(&member);
    if let Payload::DeviceRevoke(revoke) = &mut named {
        revoke.purge = vec![PurgeFrom {
            device: other.id(),
            scope: Scope::Channel(w.chat),
            seq: 0,
        }];
    }
    let op = w.space.op(&member, named).forge();
    w.refuses(Rule::R8, "Payload", &op);
    // A signature for revoking one device does not revoke another.
    let laptop = w.space.person("member").device(1);
    w.space.op(&member, device_add(&laptop)).sign();
    w.catch_up();
    let signed = w.space.op(&member, revoke(&laptop)).identity_signed();
    let Ok(Some(Payload::DeviceRevoke(mut turned))) = signed.forge().payload() else {
        panic!("not a revocation");
    };
    turned.device = member.id();
    let op = w.space.op(&laptop, Payload::DeviceRevoke(turned)).forge();
    w.refuses(Rule::R8, "BadProof", &op);
    w.space.op(&member, revoke(&laptop)).sign();
    w.catch_up();
    // R4 from then on, for whoever has seen it.
    let op = w.space.op(&laptop, Payload::Merge).forge();
    w.refuses(Rule::R4, "NotTheirDevice", &op);
}

fn signed(op: &SignedOp) -> SignedHeader {
    SignedHeader {
        header: op.header_bytes().to_vec().into(),
        sig: *op.signature(),
    }
}

fn proof(a: &SignedOp, b: &SignedOp) -> EquivocationProof {
    let mut both = [signed(a), signed(b)];
    both.sort();
    let [first, second] = both;
    EquivocationProof {
        first,
        second,
        cut: vec![],
    }
}

#[test]
fn r8_two_headers_for_one_place_prove_equivocation() {
    let mut w = World::new();
    let (guest, member) = (w.guest.clone(), w.member.clone());
    let first = w.space.post(&member, w.chat, "one").forge();
    let second = w.space.post(&member, w.chat, "two").forge();
    let later = w.space.post(&member, w.chat, "three").tweak(|h| h.seq += 1);
    let later = later.forge();
    let elsewhere = w.space.post(&member, w.forum, "one").forge();
    let mut abroad = TestSpace::found(2);
    let foreign = ["x", "y"].map(|body| abroad.post(&member, w.chat, body).forge());
    let good = proof(&first, &second);
    let mut unsigned = good.clone();
    unsigned.first.sig = signed(&later).sig;
    let mut strays = good.clone();
    strays.cut = vec![ScopeCut {
        scope: Scope::Control,
        heads: vec![CutHead {
            device: guest.id(),
            seq: 0,
            op: first.id(),
        }],
    }];
    for (bad, variant) in [
        (proof(&first, &later), "NotEquivocation"),
        (proof(&first, &elsewhere), "NotEquivocation"),
        (proof(&foreign[0], &foreign[1]), "NotEquivocation"),
        (unsigned, "NotEquivocation"),
        (strays, "NotEquivocation"),
        (proof(&first, &first), "Payload"),
    ] {
        let op = w.space.op(&guest, Payload::EquivocationProof(bad));
        let op = op.forge();
        w.refuses(Rule::R8, variant, &op);
    }
    // Any member proves it, with ops that nobody accepted; once each.
    let proves = Payload::EquivocationProof(good);
    w.space.op(&guest, proves.clone()).sign();
    w.catch_up();
    let op = w.space.op(&guest, proves.clone()).forge();
    w.refuses(Rule::R8, "NoEffect", &op);
    w.space.op(&w.moderator, proves).sign();
    w.catch_up();
    // The device is frozen for whoever has seen it: it writes no more, and is nobody's again.
    let op = w.space.post(&member, w.chat, "still here").forge();
    w.refuses(Rule::R4, "NotTheirDevice", &op);
    let op = w.space.op(&member, Payload::Merge).forge();
    w.refuses(Rule::R4, "NotTheirDevice", &op);
    let owner = w.owner.clone();
    let op = w.space.commit(&owner, &[], &[]).forge();
    w.refuses(Rule::K2, "Delta", &op);
    w.space.commit(&owner, &[], &[member.id()]).sign();
    let fresh = w.space.person("member").device(1);
    let add = w.space.op(&fresh, device_add(&fresh));
    add.identity_signed().sign();
    w.catch_up();
}

#[test]
fn r8_an_attest_adds_to_a_removal_that_it_saw() {
    let mut w = World::new();
    let (moderator, member) = (w.moderator.clone(), w.member.clone());
    let cut = |scope| {
        vec![ScopeCut {
            scope,
            heads: vec![],
        }]
    };
    let before = w.space.heads();
    let removal = w.space.op(&w.admin, kick(&member)).sign().id();
    w.catch_up();
    let chat = Scope::Channel(w.chat);
    let attest = |removal, cut| Payload::CutAttest(CutAttest { removal, cut });
    let other = w.space.genesis().id();
    for (removal, cut, variant) in [
        (other, cut(chat), "NotRemoval"),
        (OpId::from_bytes([7; 32]), cut(chat), "NotRemoval"),
        (removal, vec![], "Payload"),
        (removal, cut(Scope::Control), "Payload"),
    ] {
        let op = w.space.op(&moderator, attest(removal, cut)).forge();
        w.refuses(Rule::R8, variant, &op);
    }
    let unseen = w.space.op(&moderator, attest(removal, cut(chat)));
    let unseen = unseen.ctl(&before).forge();
    w.refuses(Rule::R8, "NotRemoval", &unseen);
    let second = w.second_member.clone();
    let op = w.space.op(&second, attest(removal, cut(chat))).forge();
    w.refuses(Rule::R6, "NotPermitted", &op);
    w.space.op(&moderator, attest(removal, cut(chat))).sign();
    w.catch_up();
}

/// Signs an action together, for this device to bring.
fn together(space: &TestSpace, by: &Device, signers: &[&Device], action: &Payload) -> QuorumAct {
    let mut act = QuorumAct {
        frontier: space.heads(),
        kind: action.kind().number(),
        action: action.encode().into(),
        nonce: oplog::Digest::from_bytes([5; 32]),
        expires: Hlc::from_raw(u64::MAX),
        signers: vec![],
    };
    let message = act.message(&space.id(), &by.id());
    act.signers = signers
        .iter()
        .map(|device| QuorumSigner {
            user: device.user(),
            device: device.id(),
            sig: device.key().sign(&message),
        })
        .collect();
    act.signers.sort_by_key(|signer| signer.user);
    act
}

#[test]
fn r6_a_quorum_is_two_thirds_of_the_admins() {
    let mut w = World::new();
    let (owner, admin, member) = (w.owner.clone(), w.admin.clone(), w.member.clone());
    let [two, three, four] = ["two", "three", "four"].map(|name| w.join(name, Weight::ADMIN));
    let by = |w: &World, signers: &[&Device], action: &Payload| {
        Payload::QuorumAct(together(&w.space, &member, signers, action))
    };
    let out = kick(&admin);
    // The target has no vote: two of the other three.
    let op = by(&w, &[&two, &admin], &out);
    let op = w.space.op(&member, op).forge();
    w.refuses(Rule::R8, "BadQuorum", &op);
    let promote = role(&member, Weight::ADMIN);
    let op = by(&w, &[&admin, &two, &three], &promote);
    let op = w.space.op(&member, op).forge();
    w.refuses(Rule::R6, "NoQuorum", &op);
    for action in [kick(&owner), role(&owner, Weight::MEMBER)] {
        let op = by(&w, &[&admin, &two, &three], &action);
        let op = w.space.op(&member, op).forge();
        w.refuses(Rule::R6, "LastOwner", &op);
    }
    let crown = role(&member, Weight::OWNER);
    let op = by(&w, &[&admin, &two, &three, &four], &crown);
    let op = w.space.op(&member, op).forge();
    w.refuses(Rule::R6, "GrantTooHigh", &op);
    // Anybody brings it, once.
    let act = by(&w, &[&two, &three], &out);
    w.space.op(&member, act.clone()).sign();
    w.catch_up();
    let op = w.space.op(&member, act).forge();
    w.refuses(Rule::R8, "BadQuorum", &op);
    let op = w.space.post(&admin, w.chat, "still here").forge();
    w.refuses(Rule::R4, "NotMember", &op);
    // Everybody left agrees to a new admin.
    let op = by(&w, &[&two, &three, &four], &promote);
    w.space.op(&member, op).sign();
    w.catch_up();
    assert_eq!(w.owner.user(), owner.user());
}

#[test]
fn r8_signatures_of_a_quorum_hold_for_one_act() {
    let mut w = World::new();
    let member = w.member.clone();
    let [two, three] = ["two", "three"].map(|name| w.join(name, Weight::ADMIN));
    let out = ban(&w.guest);
    let good = together(&w.space, &member, &[&two, &three], &out);
    let spoil = |f: &dyn Fn(&mut QuorumAct)| {
        let mut act = good.clone();
        f(&mut act);
        Payload::QuorumAct(act)
    };
    let other = ban(&w.second_member).encode();
    for (bad, variant) in [
        (spoil(&|a| a.action = other.clone().into()), "BadProof"),
        (spoil(&|a| a.nonce = oplog::Digest::ZERO), "BadProof"),
        (spoil(&|a| a.expires = Hlc::from_raw(1)), "BadQuorum"),
        (
            spoil(&|a| a.frontier = vec![OpId::from_bytes([7; 32])]),
            "BadQuorum",
        ),
        (spoil(&|a| a.frontier.clear()), "Payload"),
        (spoil(&|a| a.signers.truncate(1)), "Payload"),
        (spoil(&|a| a.kind = 0), "Payload"),
        (spoil(&|a| a.kind = 17), "Payload"),
    ] {
        let op = w.space.op(&member, bad).forge();
        w.refuses(Rule::R8, variant, &op);
    }
    // Nobody else brings it.
    let op = w
        .space
        .op(&w.second_member, Payload::QuorumAct(good.clone()));
    let op = op.forge();
    w.refuses(Rule::R8, "BadProof", &op);
    w.space.op(&member, Payload::QuorumAct(good)).sign();
    w.catch_up();
}

/// A1: who lost every device comes back with the identity key alone.
#[test]
fn r5_the_identity_key_revokes_from_a_device_that_nobody_knows() {
    let mut w = World::new();
    let fresh = w.space.person("member").device(7);
    let op = w.space.op(&fresh, revoke(&w.member)).forge();
    w.refuses(Rule::R4, "NotTheirDevice", &op);
    w.space
        .op(&fresh, revoke(&w.member))
        .identity_signed()
        .sign();
    w.space
        .op(&fresh, device_add(&fresh))
        .identity_signed()
        .sign();
    w.catch_up();
    let op = w.space.post(&w.member, w.chat, "still me").forge();
    w.refuses(Rule::R4, "NotTheirDevice", &op);
    // The group follows: a commit may take the old device out, and must not leave it in.
    let (owner, old) = (w.owner.clone(), w.member.id());
    let op = w.space.commit(&owner, &[], &[]).forge();
    w.refuses(Rule::K2, "Delta", &op);
    w.space.commit(&owner, &[&fresh], &[old]).sign();
    w.catch_up();
    w.space.post(&fresh, w.chat, "back").sign();
    w.catch_up();
}

#[test]
fn r8_an_act_changes_something() {
    let mut w = World::new();
    let (owner, admin, moderator) = (w.owner.clone(), w.admin.clone(), w.moderator.clone());
    let (member, other) = (w.member.clone(), w.second_member.clone());
    let stranger = w.space.person("stranger").device(0);
    let hour = w.hlc().plus_secs(3_600);
    w.space.op(&admin, ban(&other)).sign();
    w.space
        .op(&moderator, mute(&member, None, Some(hour)))
        .sign();
    w.catch_up();
    let past = w.space.genesis().header().hlc;
    let unban = |who: &Device| Payload::Unban(Unban { target: who.user() });
    for (by, payload, variant) in [
        (
            &owner,
            member_add(&[(&member, Weight::MEMBER)], None),
            "AlreadyMember",
        ),
        (&moderator, kick(&stranger), "TargetNotMember"),
        (&moderator, kick(&other), "TargetNotMember"),
        (&moderator, mute(&stranger, None, None), "TargetNotMember"),
        (&owner, role(&other, Weight::MODERATOR), "TargetNotMember"),
        (&owner, ban(&other), "NoEffect"),
        (&owner, unban(&member), "NoEffect"),
        (&owner, role(&member, Weight::MEMBER), "NoEffect"),
        (&moderator, role(&moderator, Weight::MODERATOR), "NoEffect"),
        // A mute no longer than the one that stands (A10), and one that is over already.
        (&owner, mute(&member, None, Some(hour)), "NoEffect"),
        (&owner, mute(&w.guest, None, Some(past)), "NoEffect"),
        (&owner, unmute(&member, Some(w.chat)), "NoEffect"),
    ] {
        let op = w.space.op(by, payload).forge();
        w.refuses(Rule::R8, variant, &op);
    }
    // One who was removed may be banned; a stranger too, before they come.
    for payload in [ban(&stranger), kick(&member)] {
        w.space.op(&admin, payload).sign();
    }
    w.space.op(&admin, ban(&member)).sign();
    w.catch_up();
}

#[test]
fn r9_undoing_needs_the_rank_that_did_it() {
    let mut w = World::new();
    let (owner, admin) = (w.owner.clone(), w.admin.clone());
    let (moderator, member) = (w.moderator.clone(), w.member.clone());
    let (banned, muted) = (w.second_member.clone(), w.guest.clone());
    w.space.op(&owner, ban(&banned)).sign();
    w.space.op(&owner, mute(&muted, None, None)).sign();
    w.space.op(&owner, role(&moderator, Weight::MEMBER)).sign();
    w.catch_up();
    let unban = Payload::Unban(Unban {
        target: banned.user(),
    });
    let again = role(&moderator, Weight::MODERATOR);
    let second = w.second_moderator.clone();
    for (by, payload) in [
        (&admin, unban.clone()),
        (&second, unmute(&muted, None)),
        (&admin, again.clone()),
    ] {
        let op = w.space.op(by, payload).forge();
        w.refuses(Rule::R9, "UndoRank", &op);
    }
    let back = member_add(&[(&banned, Weight::MEMBER)], None);
    let op = w.space.op(&owner, back.clone()).forge();
    w.refuses(Rule::R9, "Banned", &op);
    for payload in [unban, unmute(&muted, None), again, back] {
        w.space.op(&owner, payload).sign();
    }
    // Whom nobody demoted, any admin promotes.
    w.space.op(&admin, role(&member, Weight::MODERATOR)).sign();
    w.catch_up();
}

#[test]
fn r9_a_longer_mute_by_a_junior_does_not_lower_the_bar() {
    let mut w = World::new();
    let (owner, moderator, member) = (w.owner.clone(), w.moderator.clone(), w.member.clone());
    let hour = w.hlc().plus_secs(3_600);
    w.space.op(&owner, mute(&member, None, Some(hour))).sign();
    w.space.op(&moderator, mute(&member, None, None)).sign();
    w.catch_up();
    // The moderator's own mute is the last, but the owner's stands too (A10).
    let op = w.space.op(&moderator, unmute(&member, None)).forge();
    w.refuses(Rule::R9, "UndoRank", &op);
    let op = w.space.op(&owner, unmute(&member, None)).forge();
    w.accepts(&op);
}

#[test]
fn a_verdict_is_remembered_and_can_be_reached_again() {
    let mut w = World::new();
    let op = w.space.post(&w.guest, w.chat, "hi").forge();
    let first = w.replica.deliver(&op).expect_err("a guest");
    let second = w.replica.deliver(&op).expect_err("still a guest");
    assert_eq!(world::name_of(&second), "RefusedBefore");
    assert_eq!(second.rule(), first.rule());
    w.replica.commit();
    w.replica.restart();
    let third = w.replica.deliver(&op).expect_err("even now");
    assert_eq!(world::name_of(&third), world::name_of(&first));
}

#[test]
fn kinds_of_an_enabled_feature_wait_and_so_does_what_builds_on_them() {
    let mut w = World::new();
    let on = Payload::PolicySet(PolicySet {
        features: Some(FUTURE.bits()),
        ..PolicySet::default()
    });
    w.space.op(&w.owner.clone(), on).sign();
    w.catch_up();
    let member = w.member.clone();
    let revoke = w.space.op(&member, Payload::Merge).kind(40).sign();
    let after = w.space.post(&member, w.chat, "after").sign();
    let unknown = w.space.post(&w.second_member, w.chat, "?").kind(200);
    let unknown = unknown.ctl(revoke.header().ctl.as_slice()).forge();
    let waits = |result| matches!(result, Ok(oplog::Accept::Waiting(_)));
    // The child comes first: it is held, and then waits with its parent.
    assert!(matches!(
        w.replica.deliver(&after),
        Ok(oplog::Accept::Held { .. })
    ));
    assert!(waits(w.replica.deliver(&revoke)));
    assert!(waits(w.replica.deliver(&after)));
    assert!(waits(w.replica.deliver(&unknown)));
    assert_eq!(w.replica.log.waiting_len(), 3);
    assert_eq!(w.replica.log.awaited_features(), FUTURE);
    w.replica.commit();
    let records = w.replica.store.records(&w.space.id()).len();
    let resumed = w.replica.restart();
    assert!(resumed.accepted.is_empty());
    assert_eq!(w.replica.log.waiting_len(), 3);
    assert_eq!(w.replica.store.records(&w.space.id()).len(), records);
    // What has nothing to do with it goes on.
    let before = revoke.header().ctl.clone();
    let op = w
        .space
        .post(&w.second_member, w.chat, "on")
        .ctl(&before)
        .forge();
    w.accepts(&op);
}

#[test]
fn an_op_that_came_without_its_payload_is_completed() {
    let mut w = World::new();
    let op = w.space.post(&w.member, w.chat, "words").sign();
    w.accepts(&op.clone().pruned());
    let stored = |w: &World| {
        let table = w.replica.log.table();
        let op: AcceptedOp = table
            .op(&w.replica.store, &op.id())
            .expect("read")
            .expect("there");
        op.payload_bytes().is_some()
    };
    assert!(!stored(&w));
    w.accepts(&op);
    assert!(stored(&w));
    assert!(matches!(
        w.replica.deliver(&op),
        Ok(oplog::Accept::Duplicate)
    ));
    // Nothing takes the payload away again.
    let pruned = op.clone().pruned();
    assert!(matches!(
        w.replica.deliver(&pruned),
        Ok(oplog::Accept::Duplicate)
    ));
    assert!(stored(&w));
}
