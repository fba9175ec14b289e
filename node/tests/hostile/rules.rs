//! Ops by people with valid keys that break a rule of acceptance, each in another way.

use oplog::payload::*;
use oplog::testing::{Device, TestSpace, channel_create, invite, member_add, post};
use oplog::{
    ChannelId, Digest, EpochId, Hlc, OpId, Payload, Rule, Scope, SignedOp, SpaceId, Timestamp,
};

use crate::cast::*;
use crate::stage::NOWHERE;
use crate::table::{Case, Expect};

/// A list of cases that break rules.
#[derive(Default)]
pub struct Breaks(pub Vec<Case>);

impl Breaks {
    pub fn op(&mut self, rule: Rule, variant: &'static str, what: &str, op: &SignedOp) {
        self.0.push(Case::new(
            format!("{} {variant}: {what}", rule.id()),
            op.encode(),
            Expect::Refused(rule, variant),
        ));
    }
}

pub fn cases(c: &mut Cast) -> Vec<Case> {
    let mut all = Breaks::default();
    places(c, &mut all);
    times(c, &mut all);
    authors(c, &mut all);
    permissions(c, &mut all);
    ranks(c, &mut all);
    channels(c, &mut all);
    invites(c, &mut all);
    targets(c, &mut all);
    devices(c, &mut all);
    evidence(c, &mut all);
    quorums(c, &mut all);
    effects(c, &mut all);
    commits(c, &mut all);
    let mut cases = all.0;
    cases.extend(waiting(c));
    cases
}

/// S0, S1, A18, R1, R3.
fn places(c: &mut Cast, all: &mut Breaks) {
    let op = c.space.op(&c.owner, role(&c.member, Weight::GUEST)).forge();
    all.op(
        Rule::S0,
        "PayloadMissing",
        "a control op without its payload",
        &op.pruned(),
    );
    let op = c.space.commit(&c.owner.clone(), &[], &[]).forge();
    all.op(
        Rule::S0,
        "PayloadMissing",
        "a commit without its payload",
        &op.pruned(),
    );
    let space = SpaceId::from_bytes([4; 32]);
    let mut header = c
        .space
        .post(&c.member, c.chat, "where")
        .forge()
        .header()
        .clone();
    header.space = space;
    let op = SignedOp::sign(header, &post("where"), c.member.key());
    all.op(Rule::S0, "OtherSpace", "a Space that is none", &op);

    let bad = c.space.post(&c.guest, c.chat, "I may only read").forge();
    let child = c.space.op(&c.member, react()).channel(c.chat);
    let child = child.prev(&[bad.id()]).forge();
    let on_invalid = Expect::Refused(Rule::S1, "DependsOnInvalid");
    all.0.push(
        Case::new(
            "S1: builds on what is invalid",
            child.encode(),
            on_invalid.clone(),
        )
        .after(vec![bad.encode()]),
    );
    let bad = c.space.op(&c.member, kick(&c.owner)).forge();
    let after = c
        .space
        .op(&c.admin, Payload::Merge)
        .ctl(&[bad.id()])
        .forge();
    all.0.push(
        Case::new(
            "S1: has seen a void kick",
            after.encode(),
            on_invalid.clone(),
        )
        .after(vec![bad.encode()]),
    );
    let bad = c.space.post(&c.muted, c.chat, "I may not").forge();
    let next = c
        .space
        .post(&c.muted, c.chat, "nor now")
        .after(Some(&bad))
        .forge();
    all.0.push(
        Case::new("S1: goes on in an invalid lane", next.encode(), on_invalid)
            .after(vec![bad.encode()]),
    );
    let (genesis, said) = (c.space.genesis().id(), c.said.id());
    let op = c.space.post(&c.member, c.chat, "hi").ctl(&[said]).forge();
    all.op(Rule::S1, "WrongPlane", "content as a control head", &op);
    let op = c
        .space
        .post(&c.member, c.chat, "hi")
        .prev(&[genesis])
        .forge();
    all.op(Rule::S1, "WrongPlane", "the founding op as a target", &op);
    let op = c
        .space
        .op(&c.member, Payload::Merge)
        .after(Some(&c.said))
        .forge();
    all.op(
        Rule::S1,
        "WrongPlane",
        "a control lane that begins with content",
        &op,
    );
    let founding = c.space.genesis().clone();
    let op = c
        .space
        .post(&c.owner, c.chat, "hi")
        .after(Some(&founding))
        .forge();
    all.op(
        Rule::S1,
        "WrongPlane",
        "a content lane that begins with the founding op",
        &op,
    );

    for kind in [24, 40, 63] {
        let op = c.space.op(&c.member, Payload::Merge).kind(kind);
        let op = op.bytes(b"from the future".to_vec()).forge();
        all.op(
            Rule::A18,
            "FeatureOff",
            &format!("control kind {kind}"),
            &op,
        );
    }
    for kind in [75, 76, 200, u16::MAX] {
        let op = c.space.post(&c.member, c.chat, "?").kind(kind).forge();
        all.op(
            Rule::A18,
            "FeatureOff",
            &format!("content kind {kind}"),
            &op,
        );
    }

    let (first, other_lane) = (c.said.clone(), c.there.clone());
    let op = c
        .space
        .post(&c.member, c.chat, "gap")
        .tweak(|h| h.seq += 1)
        .forge();
    all.op(Rule::R1, "BrokenLane", "a gap", &op);
    let op = c
        .space
        .post(&c.member, c.chat, "far")
        .tweak(|h| h.seq = u64::MAX)
        .forge();
    all.op(Rule::R1, "BrokenLane", "the last position there is", &op);
    let op = c
        .space
        .post(&c.member, c.chat, "overlap")
        .after(Some(&first));
    all.op(
        Rule::R1,
        "BrokenLane",
        "an overlap",
        &op.tweak(|h| h.seq += 1).forge(),
    );
    let op = c
        .space
        .post(&c.member, c.chat, "headless")
        .tweak(|h| h.back = None)
        .forge();
    all.op(Rule::R1, "BrokenLane", "no op before it", &op);
    let op = c
        .space
        .post(&c.member, c.chat, "tailless")
        .tweak(|h| h.seq = 0)
        .forge();
    all.op(Rule::R1, "BrokenLane", "position 0 after an op", &op);
    let op = c
        .space
        .post(&c.member, c.chat, "strays")
        .after(Some(&other_lane))
        .forge();
    all.op(
        Rule::R1,
        "BrokenLane",
        "after an op of another channel",
        &op,
    );
    let op = c
        .space
        .post(&c.other, c.chat, "stolen")
        .after(Some(&c.more.clone()))
        .forge();
    all.op(Rule::R1, "BrokenLane", "after an op of another device", &op);
    let founding = c.space.genesis().clone();
    let op = c
        .space
        .op(&c.member, leave())
        .after(Some(&founding))
        .forge();
    all.op(
        Rule::R1,
        "BrokenLane",
        "after the founding op of the owner",
        &op,
    );
    let op = c
        .space
        .op(&c.owner, Payload::Merge)
        .tweak(|h| h.seq += 7)
        .forge();
    all.op(Rule::R1, "BrokenLane", "a gap in the control lane", &op);

    let before = c.before.clone();
    let op = c
        .space
        .post(&c.member, c.chat, "what?")
        .ctl(&before)
        .forge();
    all.op(Rule::R3, "Forgets", "its own lane's control ops", &op);
    let last = c.space.ops().last().unwrap().id();
    let op = c.space.op(&c.other, react()).channel(c.chat).prev(&[last]);
    all.op(
        Rule::R3,
        "Forgets",
        "what its target had seen",
        &op.ctl(&before).forge(),
    );
}

/// R2.
fn times(c: &mut Cast, all: &mut Breaks) {
    let last = c.space.ops().last().unwrap().header().hlc;
    let back = Hlc::from_wall(Timestamp::from_ms(1));
    for (what, hlc) in [
        ("the time of what it names", last),
        ("a tick before it", Hlc::from_raw(last.as_raw() - 1)),
        ("time 0", Hlc::ZERO),
        ("1970", back),
    ] {
        let op = c.space.post(&c.member, c.chat, what).hlc(hlc).forge();
        all.op(Rule::R2, "NotAfter", what, &op);
    }
    let head = c.space.heads();
    let seen = c.space.ops().iter().filter(|op| head.contains(&op.id()));
    let seen = seen.map(|op| op.header().hlc).max().unwrap();
    let op = c.space.op(&c.admin, Payload::Merge).hlc(seen).forge();
    all.op(
        Rule::R2,
        "NotAfter",
        "a control op no later than its heads",
        &op,
    );
    let far = last.plus_secs(366 * 86_400);
    let op = c
        .space
        .post(&c.member, c.chat, "far")
        .hlc(Hlc::from_raw(far.as_raw() + 1))
        .forge();
    all.op(Rule::R2, "TooFarAhead", "a tick over 366 days", &op);
    let far = last.plus_secs(400 * 86_400);
    let op = c.space.op(&c.moderator, Payload::Merge).hlc(far).forge();
    all.op(Rule::R2, "TooFarAhead", "a moderator wakes the Space", &op);
    let op = c.space.op(&c.member, leave()).hlc(far).forge();
    all.op(Rule::R2, "TooFarAhead", "a late goodbye", &op);
}

/// R4, R5.
fn authors(c: &mut Cast, all: &mut Breaks) {
    let (chat, member) = (c.chat, c.member.clone());
    for (what, by) in [
        ("a stranger posts", c.stranger.clone()),
        ("who was kicked posts", c.kicked.clone()),
        ("who was banned posts", c.banned.clone()),
    ] {
        let op = c.space.post(&by, chat, what).forge();
        all.op(Rule::R4, "NotMember", what, &op);
    }
    for (what, by) in [
        ("a stranger merges", c.stranger.clone()),
        ("who was kicked merges", c.kicked.clone()),
        ("who was banned merges", c.banned.clone()),
    ] {
        let op = c.space.op(&by, Payload::Merge).forge();
        all.op(Rule::R4, "NotMember", what, &op);
    }
    let op = c.space.op(&c.kicked, kick(&c.admin)).forge();
    all.op(Rule::R4, "NotMember", "who was kicked kicks back", &op);
    let op = c.space.op(&c.banned, unban(&c.banned)).forge();
    all.op(Rule::R4, "NotMember", "who was banned lifts it", &op);
    let op = c.space.post(&member, chat, "hi").ctl(&[]).forge();
    all.op(Rule::R4, "NotMember", "has seen nothing at all", &op);
    let stranger = c.stranger.clone();
    let op = c
        .space
        .op(&stranger, device_add(&stranger))
        .identity_signed()
        .forge();
    all.op(Rule::R4, "NotMember", "a stranger certifies himself", &op);
    let op = c.space.commit(&stranger, &[&stranger], &[]).forge();
    all.op(Rule::R4, "NotMember", "a stranger commits himself in", &op);
    let op = c.space.op(&stranger, readd(&stranger)).forge();
    all.op(Rule::R4, "NotMember", "a stranger asks to come back", &op);

    for (what, user) in [
        ("under another member's name", c.other.user()),
        ("under the owner's name", c.owner.user()),
    ] {
        let op = c.space.post(&member, chat, what).user(user).forge();
        all.op(Rule::R4, "NotTheirDevice", what, &op);
    }
    let (admin, stranger) = (c.admin.clone(), c.stranger.clone());
    let op = c
        .space
        .op(&stranger, kick(&member))
        .user(admin.user())
        .forge();
    all.op(
        Rule::R4,
        "NotTheirDevice",
        "a stranger's device in the admin's name",
        &op,
    );
    let lost = c.lost.clone();
    let op = c.space.op(&lost, Payload::Merge).forge();
    all.op(Rule::R4, "NotTheirDevice", "a revoked device merges", &op);
    let op = c.space.post(&lost, chat, "still here").forge();
    all.op(Rule::R4, "NotTheirDevice", "a revoked device posts", &op);
    let op = c.space.op(&lost, readd(&lost)).forge();
    all.op(
        Rule::R4,
        "NotTheirDevice",
        "a revoked device asks to come back",
        &op,
    );
    let phone = c.space.person("member").device(2);
    let op = c.space.op(&phone, device_add(&phone)).forge();
    all.op(
        Rule::R4,
        "NotTheirDevice",
        "a device certifies itself unsigned",
        &op,
    );
    let op = c.space.op(&phone, revoke(&member)).forge();
    all.op(
        Rule::R4,
        "NotTheirDevice",
        "a new device revokes unsigned",
        &op,
    );

    for (what, epoch) in [
        ("an epoch of nobody", NOWHERE),
        ("no epoch", EpochId::ZERO),
        (
            "the first epoch of another Space",
            EpochId::genesis(&SpaceId::from_bytes([4; 32])),
        ),
    ] {
        let op = c.space.post(&member, chat, what).epoch(epoch).forge();
        all.op(Rule::R5, "UnseenEpoch", what, &op);
    }
    let op = c.space.op(&c.owner, kick(&c.member)).epoch(NOWHERE).forge();
    all.op(Rule::R5, "UnseenEpoch", "a kick in an epoch of nobody", &op);
    let early = c.space.ops()[1].id();
    let op = c.space.post(&c.two, chat, "early").ctl(&[early]).forge();
    all.op(
        Rule::R5,
        "UnseenEpoch",
        "an epoch that it had not seen begin",
        &op,
    );
    let laptop = c.laptop.clone();
    let op = c.space.op(&laptop, Payload::Merge).forge();
    all.op(
        Rule::R5,
        "NotInRoster",
        "a device that no commit added merges",
        &op,
    );
    let op = c.space.post(&laptop, chat, "too early").forge();
    all.op(
        Rule::R5,
        "NotInRoster",
        "a device that no commit added posts",
        &op,
    );
    let first = EpochId::genesis(&c.space.id());
    let op = c
        .space
        .post(&member, chat, "before I came")
        .epoch(first)
        .forge();
    all.op(Rule::R5, "NotInRoster", "the epoch before it came", &op);
}

/// R6: what takes a role.
fn permissions(c: &mut Cast, all: &mut Breaks) {
    let new = c.space.person("new").device(0);
    let (terms, _) = invite(11, 5, Hlc::from_raw(u64::MAX));
    let mut chat = update(c.chat);
    chat.permissions = vec![ChannelPermission {
        verb: Verb::Post,
        least: Weight::GUEST,
    }];
    let (member, moderator) = (c.member.clone(), c.moderator.clone());
    let target = c.other.clone();
    let epoch = c.space.epoch();
    let cuts = vec![cut(Scope::Channel(c.chat), vec![])];
    for (what, by, payload) in [
        ("a member kicks", &member, kick(&target)),
        ("a member mutes", &member, mute(&target, None, None)),
        ("a member invites", &member, Payload::InviteCreate(terms)),
        (
            "a member admits",
            &member,
            member_add(&[(&new, Weight::MEMBER)], None),
        ),
        ("a member bans", &member, ban(&target)),
        (
            "a member gives a role",
            &member,
            role(&target, Weight::MODERATOR),
        ),
        ("a member makes a channel", &member, Cast::new_channel()),
        ("a member seals", &member, seal(epoch, vec![])),
        ("a member attests", &member, attest(c.removal, cuts)),
        ("a member lifts a mute", &member, unmute(&c.muted, None)),
        ("a moderator bans", &moderator, ban(&target)),
        (
            "a moderator gives a role",
            &moderator,
            role(&target, Weight::MODERATOR),
        ),
        (
            "a moderator changes a channel",
            &moderator,
            Payload::ChannelUpdate(chat),
        ),
        (
            "a moderator sets policies",
            &moderator,
            Payload::PolicySet(PolicySet::default()),
        ),
        (
            "a moderator makes a channel",
            &moderator,
            Cast::new_channel(),
        ),
        ("a moderator lifts a ban", &moderator, unban(&c.banned)),
    ] {
        let op = c.space.op(by, payload).forge();
        all.op(Rule::R6, "NotPermitted", what, &op);
    }
    let (guest, on) = (c.guest.clone(), [c.decree.id()]);
    let (chat, news) = (c.chat, c.news);
    for (what, by, payload, prev, channel) in [
        ("a guest posts", &guest, post("hi"), &[][..], chat),
        ("a guest opens a thread", &guest, thread(), &[], chat),
        ("a guest reacts", &guest, react(), &on, chat),
        ("a member announces", &member, post("news"), &[], news),
        ("a member pins", &member, Payload::Pin, &on, chat),
        ("a member unpins", &member, Payload::Unpin, &on, chat),
        ("a member restores", &member, Payload::ModRestore, &on, chat),
        ("a member hides", &member, tombstone(), &on, chat),
    ] {
        let op = c.space.op(by, payload).channel(channel).prev(prev).forge();
        all.op(Rule::R6, "NotPermitted", what, &op);
    }
    let topic = [c.topic.id()];
    let op = c
        .space
        .op(&member, rename())
        .channel(chat)
        .prev(&topic)
        .forge();
    all.op(
        Rule::R6,
        "NotPermitted",
        "a member renames another's thread",
        &op,
    );
}

/// R6: rank, gifts and owners; R9.
fn ranks(c: &mut Cast, all: &mut Breaks) {
    let (owner, admin, moderator) = (c.owner.clone(), c.admin.clone(), c.moderator.clone());
    for (what, by, payload) in [
        ("an admin kicks the owner", &admin, kick(&owner)),
        ("an admin bans the owner", &admin, ban(&owner)),
        ("an admin mutes the owner", &admin, mute(&owner, None, None)),
        (
            "an admin demotes the owner",
            &admin,
            role(&owner, Weight::GUEST),
        ),
        ("an admin bans himself", &admin, ban(&admin)),
        ("a moderator kicks an admin", &moderator, kick(&admin)),
        (
            "a moderator mutes an admin",
            &moderator,
            mute(&admin, None, None),
        ),
        (
            "a moderator mutes himself",
            &moderator,
            mute(&moderator, None, None),
        ),
        (
            "a moderator unmutes an admin",
            &moderator,
            unmute(&admin, None),
        ),
    ] {
        let op = c.space.op(by, payload).forge();
        all.op(Rule::R6, "RankTooLow", what, &op);
    }
    for (what, payload, on) in [
        (
            "a moderator hides the owner's words",
            tombstone(),
            c.decree.id(),
        ),
        (
            "a moderator renames the owner's thread",
            rename(),
            c.topic.id(),
        ),
    ] {
        let op = c
            .space
            .op(&moderator, payload)
            .channel(c.chat)
            .prev(&[on])
            .forge();
        all.op(Rule::R6, "RankTooLow", what, &op);
    }
    let new = c.space.person("new").device(0);
    let member = c.member.clone();
    for (what, by, payload) in [
        (
            "an admin makes an admin",
            &admin,
            role(&member, Weight::ADMIN),
        ),
        (
            "an admin makes an owner",
            &admin,
            role(&member, Weight::OWNER),
        ),
        (
            "an admin admits an admin",
            &admin,
            member_add(&[(&new, Weight::ADMIN)], None),
        ),
        (
            "a moderator admits a moderator",
            &moderator,
            member_add(&[(&new, Weight::MODERATOR)], None),
        ),
        (
            "the owner admits at no role",
            &owner,
            member_add(&[(&new, Weight::new(30))], None),
        ),
        (
            "the owner admits at weight 0",
            &owner,
            member_add(&[(&new, Weight::new(0))], None),
        ),
        (
            "a moderator raises himself",
            &moderator,
            role(&moderator, Weight::ADMIN),
        ),
    ] {
        let op = c.space.op(by, payload).forge();
        all.op(Rule::R6, "GrantTooHigh", what, &op);
    }
    for (what, payload) in [
        ("the only owner leaves", leave()),
        ("the only owner steps down", role(&owner, Weight::ADMIN)),
        (
            "the only owner becomes a guest",
            role(&owner, Weight::GUEST),
        ),
    ] {
        let op = c.space.op(&owner, payload).forge();
        all.op(Rule::R6, "LastOwner", what, &op);
    }
    for (what, bits) in [
        ("no feature", 0),
        ("a feature", 16),
        ("every feature", u64::MAX),
    ] {
        let set = Payload::PolicySet(PolicySet {
            features: Some(bits),
            ..PolicySet::default()
        });
        let op = c.space.op(&admin, set).forge();
        all.op(
            Rule::R6,
            "OwnersOnly",
            &format!("an admin switches on {what}"),
            &op,
        );
    }
    let again = role(&c.demoted, Weight::MODERATOR);
    for (what, by, payload) in [
        ("an admin lifts the owner's ban", &admin, unban(&c.banned)),
        (
            "a moderator lifts the owner's mute",
            &moderator,
            unmute(&c.muted, None),
        ),
        (
            "an admin lifts the owner's mute",
            &admin,
            unmute(&c.muted, None),
        ),
        ("an admin undoes the owner's demotion", &admin, again),
    ] {
        let op = c.space.op(by, payload).forge();
        all.op(Rule::R9, "UndoRank", what, &op);
    }
    for (what, by) in [
        ("the owner", &owner),
        ("an admin", &admin),
        ("a moderator", &moderator),
    ] {
        let back = member_add(&[(&c.banned, Weight::MEMBER)], None);
        let op = c.space.op(by, back).forge();
        all.op(
            Rule::R9,
            "Banned",
            &format!("{what} admits who is banned"),
            &op,
        );
    }
    let key = &c.open.key;
    let back = member_add(&[(&c.banned, Weight::MEMBER)], Some((c.open.op, key)));
    let op = c.space.op(&c.other, back).forge();
    all.op(
        Rule::R9,
        "Banned",
        "who is banned comes back by invite",
        &op,
    );
}

/// R6: channels and mutes; R8: planes.
fn channels(c: &mut Cast, all: &mut Breaks) {
    let nowhere = ChannelId::from_bytes([9; 16]);
    let (admin, member) = (c.admin.clone(), c.member.clone());
    let op = c.space.post(&member, nowhere, "hi").forge();
    all.op(Rule::R6, "NoChannel", "a post", &op);
    let op = c.space.post(&member, ChannelId::ZERO, "hi").forge();
    all.op(Rule::R6, "NoChannel", "a post in channel zero", &op);
    let (mut terms, _) = invite(12, 5, Hlc::from_raw(u64::MAX));
    terms.channel = Some(nowhere);
    for (what, payload) in [
        ("an update", Payload::ChannelUpdate(update(nowhere))),
        ("a mute", mute(&member, Some(nowhere), None)),
        ("an invite", Payload::InviteCreate(terms)),
    ] {
        let op = c.space.op(&admin, payload).forge();
        all.op(Rule::R6, "NoChannel", what, &op);
    }
    let closed = c.closed;
    for (what, payload) in [("a post", post("after")), ("a thread", thread())] {
        let op = c.space.op(&member, payload).channel(closed).forge();
        all.op(Rule::R6, "Archived", what, &op);
    }
    let op = c
        .space
        .op(&c.owner, post("even the owner"))
        .channel(closed)
        .forge();
    all.op(Rule::R6, "Archived", "the owner's post", &op);
    let (muted, said) = (c.muted.clone(), c.said.id());
    for (what, payload, prev) in [
        ("a post", post("but"), &[][..]),
        ("a thread", thread(), &[]),
        ("a reaction", react(), &[said]),
    ] {
        for (place, channel) in [("chat", c.chat), ("forum", c.forum)] {
            if prev.is_empty() || channel == c.chat {
                let op = c
                    .space
                    .op(&muted, payload.clone())
                    .channel(channel)
                    .prev(prev)
                    .forge();
                all.op(Rule::R6, "Muted", &format!("{what} in {place}"), &op);
            }
        }
    }
    let op = c.space.op(&member, post("hi")).forge();
    all.op(Rule::R8, "WrongScope", "a post in the control plane", &op);
    let op = c.space.op(&member, react()).forge();
    all.op(
        Rule::R8,
        "WrongScope",
        "a reaction in the control plane",
        &op,
    );
    for (what, payload) in [
        ("a merge", Payload::Merge),
        ("a kick", kick(&member)),
        ("a role", role(&member, Weight::MODERATOR)),
    ] {
        let op = c.space.op(&c.owner, payload).channel(c.chat).forge();
        all.op(Rule::R8, "WrongScope", &format!("{what} in a channel"), &op);
    }
}

fn invites(c: &mut Cast, all: &mut Breaks) {
    let (moderator, member) = (c.moderator.clone(), c.other.clone());
    let person = |c: &Cast, name: &str| c.space.person(name).device(0);
    let [a, b, d] = ["a", "b", "d"].map(|name| person(c, name));
    let one = [(&a, Weight::MEMBER)];
    let admit = |c: &mut Cast, by: &Device, who: &[(&Device, Weight)], op, key: &_| {
        c.space.op(by, member_add(who, Some((op, key)))).forge()
    };
    let key = oplog::SecretKey::from_seed(&c.open.key.to_seed());
    let op = admit(c, &member, &one, OpId::from_bytes([9; 32]), &key);
    all.op(Rule::R6, "InviteNotLive", "an invite of nobody", &op);
    let said = c.said.id();
    let op = admit(c, &member, &one, said, &key);
    all.op(Rule::R6, "InviteNotLive", "a post as the invite", &op);
    let revoked = oplog::SecretKey::from_seed(&c.revoked.key.to_seed());
    let (open, spent, closed, asks) = (c.open.op, c.spent.op, c.revoked.op, c.asks.op);
    let op = admit(c, &moderator, &one, closed, &revoked);
    all.op(Rule::R6, "InviteNotLive", "a revoked invite", &op);
    let close = |invite| Payload::InviteRevoke(InviteRevoke { invite });
    let op = c.space.op(&moderator, close(closed)).forge();
    all.op(Rule::R6, "InviteNotLive", "revoked once more", &op);
    let guest = c.guest.clone();
    let op = admit(c, &guest, &one, open, &key);
    all.op(Rule::R6, "NotPermitted", "a guest admits by invite", &op);
    let asking = oplog::SecretKey::from_seed(&c.asks.key.to_seed());
    let op = admit(c, &member, &one, asks, &asking);
    all.op(Rule::R6, "NotPermitted", "a member approves", &op);
    let late = Hlc::from_wall(c.space.now).plus_secs(7_200);
    let payload = member_add(&one, Some((open, &key)));
    let op = c.space.op(&member, payload).hlc(late).forge();
    all.op(Rule::R6, "InviteExpired", "an hour later", &op);
    for weight in [Weight::GUEST, Weight::MODERATOR, Weight::OWNER] {
        let op = admit(c, &member, &[(&a, weight)], open, &key);
        let what = format!("an invite gives {weight}");
        all.op(Rule::R6, "GrantTooHigh", &what, &op);
    }
    let three = [
        (&a, Weight::MEMBER),
        (&b, Weight::MEMBER),
        (&d, Weight::MEMBER),
    ];
    let op = admit(c, &member, &three, open, &key);
    all.op(Rule::R8, "InviteUsedUp", "three by an invite for two", &op);
    let spent_key = oplog::SecretKey::from_seed(&c.spent.key.to_seed());
    let op = admit(c, &member, &one, spent, &spent_key);
    all.op(Rule::R8, "InviteUsedUp", "a used invite", &op);
    let (_, wrong) = invite(77, 2, late);
    let op = admit(c, &member, &one, open, &wrong);
    all.op(Rule::R8, "BadProof", "an invite by another key", &op);
    // The proof of one person and key package admits nobody else.
    let Payload::MemberAdd(good) = member_add(&one, Some((open, &key))) else {
        panic!("another payload");
    };
    let mut other = good.clone();
    other.members[0].cert = b.cert().clone();
    let op = c.space.op(&member, Payload::MemberAdd(other)).forge();
    all.op(
        Rule::R8,
        "BadProof",
        "an invite's proof for another person",
        &op,
    );
    let mut other = good.clone();
    other.members[0].key_package = b.key_package().into();
    let op = c.space.op(&member, Payload::MemberAdd(other)).forge();
    all.op(
        Rule::R8,
        "BadProof",
        "an invite's proof for another key package",
        &op,
    );
}

fn targets(c: &mut Cast, all: &mut Breaks) {
    let (member, other) = (c.member.clone(), c.other.clone());
    let (said, more, there) = (c.said.id(), c.more.id(), c.there.id());
    let cheer = c.cheer.id();
    for (what, by, payload, prev, variant) in [
        ("reacts to nothing", &other, react(), vec![], "NotOneTarget"),
        (
            "reacts to two",
            &other,
            react(),
            vec![said, more],
            "NotOneTarget",
        ),
        ("edits nothing", &member, edit(), vec![], "NotOneTarget"),
        (
            "deletes two",
            &member,
            Payload::SelfDelete,
            vec![said, more],
            "NotOneTarget",
        ),
        (
            "renames nothing",
            &c.owner,
            rename(),
            vec![],
            "NotOneTarget",
        ),
        (
            "hides nothing",
            &c.owner,
            tombstone(),
            vec![],
            "NotOneTarget",
        ),
        (
            "pins two",
            &c.owner,
            Payload::Pin,
            vec![said, more],
            "NotOneTarget",
        ),
        (
            "reacts across channels",
            &other,
            react(),
            vec![there],
            "OtherChannel",
        ),
        (
            "replies across channels",
            &other,
            post("re"),
            vec![there],
            "OtherChannel",
        ),
        (
            "hides across channels",
            &c.owner,
            tombstone(),
            vec![there],
            "OtherChannel",
        ),
        (
            "reacts to a reaction",
            &other,
            react(),
            vec![cheer],
            "WrongTarget",
        ),
        (
            "edits a reaction",
            &other,
            edit(),
            vec![cheer],
            "WrongTarget",
        ),
        (
            "renames a post",
            &member,
            rename(),
            vec![said],
            "WrongTarget",
        ),
        (
            "pins a reaction",
            &c.owner,
            Payload::Pin,
            vec![cheer],
            "WrongTarget",
        ),
        (
            "hides a reaction",
            &c.owner,
            tombstone(),
            vec![cheer],
            "WrongTarget",
        ),
        ("edits another's post", &other, edit(), vec![said], "NotOwn"),
        (
            "deletes another's post",
            &other,
            Payload::SelfDelete,
            vec![said],
            "NotOwn",
        ),
        (
            "the owner edits another's post",
            &c.owner,
            edit(),
            vec![said],
            "NotOwn",
        ),
        (
            "the owner deletes another's post",
            &c.owner,
            Payload::SelfDelete,
            vec![said],
            "NotOwn",
        ),
    ] {
        let op = c.space.op(by, payload).channel(c.chat).prev(&prev).forge();
        all.op(Rule::R8, variant, what, &op);
    }
}

fn devices(c: &mut Cast, all: &mut Breaks) {
    let (member, other, owner) = (c.member.clone(), c.other.clone(), c.owner.clone());
    let person = c.space.person("member");
    let phone = person.device(2);
    let op = c.space.op(&other, device_add(&phone)).forge();
    all.op(
        Rule::R8,
        "BadCertificate",
        "another's device as one's own",
        &op,
    );
    let changed = |f: &dyn Fn(&mut DeviceCert)| {
        let mut payload = device_add(&phone);
        if let Payload::DeviceAdd(add) = &mut payload {
            f(&mut add.cert);
        }
        payload
    };
    for (what, payload) in [
        (
            "with another name",
            changed(&|cert| cert.name = "else".into()),
        ),
        (
            "with another MLS key",
            changed(&|cert| cert.mls_key = Digest::ZERO),
        ),
        (
            "with another HPKE key",
            changed(&|cert| cert.hpke_key = Digest::ZERO),
        ),
        (
            "with another time",
            changed(&|cert| cert.created = Hlc::ZERO),
        ),
        (
            "without a signature",
            changed(&|cert| cert.sig = oplog::Signature::ZERO),
        ),
        (
            "signed by the device",
            changed(&|cert| cert.sig = member.key().sign(&cert.message())),
        ),
    ] {
        let op = c.space.op(&member, payload).forge();
        all.op(
            Rule::R8,
            "BadCertificate",
            &format!("a certificate {what}"),
            &op,
        );
    }
    let real = c
        .space
        .op(&phone, device_add(&phone))
        .identity_signed()
        .forge();
    let replayed = real.payload().unwrap().unwrap();
    let now = c.space.now;
    c.space.now = now.plus_ms(5_000);
    let op = c.space.op(&phone, replayed).forge();
    c.space.now = now;
    all.op(
        Rule::R8,
        "BadProof",
        "an identity signature over another op",
        &op,
    );
    let stolen = person.certify(other.key().clone(), 0);
    let op = c.space.op(&member, device_add(&stolen)).forge();
    all.op(
        Rule::R8,
        "DeviceTaken",
        "another's device under one's own name",
        &op,
    );
    let op = c.space.op(&other, device_add(&c.laptop)).forge();
    all.op(Rule::R8, "NoEffect", "a device that is certified", &op);
    let lost = c.lost.clone();
    for (what, by, payload) in [
        ("certified again", &member, device_add(&lost)),
        ("revoked again", &member, revoke(&lost)),
    ] {
        let op = c.space.op(by, payload).forge();
        all.op(Rule::R8, "DeviceRevoked", what, &op);
    }
    let stolen = c.space.person("new").certify(lost.key().clone(), 9);
    let op = c
        .space
        .op(&owner, member_add(&[(&stolen, Weight::MEMBER)], None))
        .forge();
    all.op(
        Rule::R8,
        "DeviceRevoked",
        "a revoked device as a newcomer",
        &op,
    );
    for (what, by, payload) in [
        ("a member revokes another's", &member, revoke(&other)),
        ("the owner revokes another's", &owner, revoke(&other)),
        ("nobody's device", &member, revoke(&c.stranger)),
    ] {
        let op = c.space.op(by, payload).forge();
        all.op(Rule::R8, "NotOwnDevice", what, &op);
    }
    let signed = c
        .space
        .op(&other, revoke(&c.laptop))
        .identity_signed()
        .forge();
    let Ok(Some(Payload::DeviceRevoke(mut turned))) = signed.payload() else {
        panic!("another payload");
    };
    turned.device = other.id();
    let op = c.space.op(&other, Payload::DeviceRevoke(turned)).forge();
    all.op(
        Rule::R8,
        "BadProof",
        "an identity signature over another device",
        &op,
    );
    // Newcomers.
    let new = c.space.person("new").device(0);
    let Payload::MemberAdd(good) = member_add(&[(&new, Weight::MEMBER)], None) else {
        panic!("another payload");
    };
    let mut bad = good.clone();
    bad.members[0].cert.sig = oplog::Signature::ZERO;
    let op = c.space.op(&owner, Payload::MemberAdd(bad)).forge();
    all.op(
        Rule::R8,
        "BadCertificate",
        "a newcomer without a signature",
        &op,
    );
    let taken = c.space.person("new").certify(member.key().clone(), 3);
    let op = c
        .space
        .op(&owner, member_add(&[(&taken, Weight::MEMBER)], None))
        .forge();
    all.op(
        Rule::R8,
        "DeviceTaken",
        "a newcomer with a member's device",
        &op,
    );
    let twice = c.space.person("newer").certify(new.key().clone(), 4);
    let both = member_add(&[(&new, Weight::MEMBER), (&twice, Weight::MEMBER)], None);
    let op = c.space.op(&owner, both).forge();
    all.op(
        Rule::R8,
        "DeviceTaken",
        "two newcomers with one device",
        &op,
    );
}

fn evidence(c: &mut Cast, all: &mut Breaks) {
    let (guest, member) = (c.guest.clone(), c.member.clone());
    let (chat, forum) = (c.chat, c.forum);
    let first = c.space.post(&member, chat, "one way").forge();
    let second = c.space.post(&member, chat, "another way").forge();
    let later = c
        .space
        .post(&member, chat, "later")
        .tweak(|h| h.seq += 1)
        .forge();
    let elsewhere = c.space.post(&member, forum, "one way").forge();
    let mut abroad = TestSpace::found(2);
    let foreign = ["x", "y"].map(|body| abroad.post(&member, chat, body).forge());
    let good = proof(&first, &second);
    let mut unsigned = good.clone();
    unsigned.first.sig = oplog::Signature::ZERO;
    let mut broken = good.clone();
    broken.second.header = vec![0xff; 40].into();
    let mut strays = good.clone();
    let head = CutHead {
        device: guest.id(),
        seq: 0,
        op: first.id(),
    };
    strays.cut = vec![cut(Scope::Control, vec![head])];
    let mut swapped = good.clone();
    std::mem::swap(&mut swapped.first.sig, &mut swapped.second.sig);
    for (what, bad, variant) in [
        (
            "two places of a lane",
            proof(&first, &later),
            "NotEquivocation",
        ),
        ("two lanes", proof(&first, &elsewhere), "NotEquivocation"),
        (
            "two ops of another Space",
            proof(&foreign[0], &foreign[1]),
            "NotEquivocation",
        ),
        ("an unsigned header", unsigned, "NotEquivocation"),
        (
            "signatures in each other's place",
            swapped,
            "NotEquivocation",
        ),
        ("a header that is none", broken, "NotEquivocation"),
        ("a cut of another device", strays, "NotEquivocation"),
        ("an op with itself", proof(&first, &first), "Payload"),
    ] {
        let op = c.space.op(&guest, Payload::EquivocationProof(bad)).forge();
        all.op(Rule::R8, variant, &format!("proves with {what}"), &op);
    }
    let moderator = c.moderator.clone();
    let (genesis, removal) = (c.space.genesis().id(), c.removal);
    let cuts = |scope| vec![cut(scope, vec![])];
    for (what, of, cut, variant) in [
        (
            "the founding op",
            genesis,
            cuts(Scope::Channel(chat)),
            "NotRemoval",
        ),
        (
            "an op of nobody",
            OpId::from_bytes([7; 32]),
            cuts(Scope::Channel(chat)),
            "NotRemoval",
        ),
        (
            "a post",
            c.said.id(),
            cuts(Scope::Channel(chat)),
            "NotRemoval",
        ),
        ("nothing", removal, vec![], "Payload"),
        (
            "the control plane",
            removal,
            cuts(Scope::Control),
            "Payload",
        ),
    ] {
        let op = c.space.op(&moderator, attest(of, cut)).forge();
        all.op(Rule::R8, variant, &format!("attests {what}"), &op);
    }
    let seen = c.space.genesis().id();
    let epoch = EpochId::genesis(&c.space.id());
    let op = c
        .space
        .op(&c.owner, attest(removal, cuts(Scope::Channel(chat))));
    let op = op.ctl(&[seen]).epoch(epoch).after(None).tweak(|h| {
        h.seq = 1;
        h.back = h.ctl.first().copied();
    });
    all.op(
        Rule::R8,
        "NotRemoval",
        "attests what it had not seen",
        &op.forge(),
    );
}

fn quorums(c: &mut Cast, all: &mut Breaks) {
    let member = c.member.clone();
    let [admin, two, three] = [&c.admin, &c.two, &c.three].map(Clone::clone);
    let owner = c.owner.clone();
    let by = |c: &Cast, signers: &[&Device], action: &Payload| {
        Payload::QuorumAct(together(&c.space, &member, signers, action))
    };
    let promote = role(&c.other, Weight::ADMIN);
    let payload = by(c, &[&admin, &two], &promote);
    let op = c.space.op(&member, payload).forge();
    all.op(Rule::R6, "NoQuorum", "two of three make an admin", &op);
    for (what, action) in [
        ("kicks", kick(&owner)),
        ("bans", ban(&owner)),
        ("demotes", role(&owner, Weight::MEMBER)),
    ] {
        let payload = by(c, &[&admin, &two, &three], &action);
        let op = c.space.op(&member, payload).forge();
        all.op(
            Rule::R6,
            "LastOwner",
            &format!("a quorum {what} the owner"),
            &op,
        );
    }
    let payload = by(c, &[&admin, &two, &three], &role(&member, Weight::OWNER));
    let op = c.space.op(&member, payload).forge();
    all.op(Rule::R6, "GrantTooHigh", "a quorum makes an owner", &op);
    let out = kick(&admin);
    let outsider = c.moderator.clone();
    for (what, signers) in [
        ("its target has a vote", vec![&two, &admin]),
        ("a moderator has a vote", vec![&two, &outsider]),
        ("the owner has a vote", vec![&two, &owner]),
        ("a stranger has a vote", vec![&two, &c.stranger]),
    ] {
        let payload = by(c, &signers, &out);
        let op = c.space.op(&member, payload).forge();
        all.op(Rule::R8, "BadQuorum", what, &op);
    }
    let good = together(&c.space, &member, &[&two, &three], &ban(&c.guest));
    let spoil = |f: &dyn Fn(&mut QuorumAct)| {
        let mut act = good.clone();
        f(&mut act);
        Payload::QuorumAct(act)
    };
    let other = ban(&c.other).encode();
    for (what, bad, variant) in [
        (
            "another act",
            spoil(&|a| a.action = other.clone().into()),
            "BadProof",
        ),
        (
            "another nonce",
            spoil(&|a| a.nonce = Digest::ZERO),
            "BadProof",
        ),
        (
            "a signature of zeros",
            spoil(&|a| a.signers[0].sig = oplog::Signature::ZERO),
            "BadProof",
        ),
        (
            "an end that has come",
            spoil(&|a| a.expires = Hlc::from_raw(1)),
            "BadQuorum",
        ),
        (
            "a past of nobody",
            spoil(&|a| a.frontier = vec![OpId::from_bytes([7; 32])]),
            "BadQuorum",
        ),
        ("no past", spoil(&|a| a.frontier.clear()), "Payload"),
        ("one signer", spoil(&|a| a.signers.truncate(1)), "Payload"),
        (
            "a signer twice",
            spoil(&|a| a.signers[1] = a.signers[0].clone()),
            "Payload",
        ),
        (
            "signers out of order",
            spoil(&|a| a.signers.reverse()),
            "Payload",
        ),
        ("a founding act", spoil(&|a| a.kind = 0), "Payload"),
        ("an act within an act", spoil(&|a| a.kind = 17), "Payload"),
        ("a commit", spoil(&|a| a.kind = 18), "Payload"),
        ("an unknown act", spoil(&|a| a.kind = 999), "Payload"),
        (
            "an act cut off",
            spoil(&|a| {
                let mut b = a.action.to_vec();
                b.pop();
                a.action = b.into();
            }),
            "Payload",
        ),
    ] {
        let op = c.space.op(&member, bad).forge();
        all.op(Rule::R8, variant, &format!("a quorum with {what}"), &op);
    }
    let op = c.space.op(&c.other, Payload::QuorumAct(good)).forge();
    all.op(
        Rule::R8,
        "BadProof",
        "a quorum brought by another device",
        &op,
    );
}

fn effects(c: &mut Cast, all: &mut Breaks) {
    let (owner, admin, moderator) = (c.owner.clone(), c.admin.clone(), c.moderator.clone());
    let (member, stranger) = (c.member.clone(), c.stranger.clone());
    let past = c.space.genesis().header().hlc;
    let hour = Hlc::from_wall(c.space.now).plus_secs(3_600);
    for (what, by, payload, variant) in [
        (
            "admits a member",
            &owner,
            member_add(&[(&member, Weight::MEMBER)], None),
            "AlreadyMember",
        ),
        (
            "admits the owner as a guest",
            &moderator,
            member_add(&[(&owner, Weight::GUEST)], None),
            "AlreadyMember",
        ),
        (
            "kicks a stranger",
            &moderator,
            kick(&stranger),
            "TargetNotMember",
        ),
        (
            "kicks who was kicked",
            &moderator,
            kick(&c.kicked),
            "TargetNotMember",
        ),
        (
            "kicks who was banned",
            &admin,
            kick(&c.banned),
            "TargetNotMember",
        ),
        (
            "mutes a stranger",
            &moderator,
            mute(&stranger, None, None),
            "TargetNotMember",
        ),
        (
            "gives a stranger a role",
            &owner,
            role(&stranger, Weight::MODERATOR),
            "TargetNotMember",
        ),
        ("bans twice", &owner, ban(&c.banned), "NoEffect"),
        ("unbans a member", &owner, unban(&member), "NoEffect"),
        ("unbans a stranger", &owner, unban(&stranger), "NoEffect"),
        (
            "gives the role that is had",
            &owner,
            role(&member, Weight::MEMBER),
            "NoEffect",
        ),
        (
            "takes the role that is had",
            &moderator,
            role(&moderator, Weight::MODERATOR),
            "NoEffect",
        ),
        (
            "mutes for less",
            &owner,
            mute(&c.muted, None, Some(hour)),
            "NoEffect",
        ),
        (
            "mutes for the past",
            &owner,
            mute(&c.guest, None, Some(past)),
            "NoEffect",
        ),
        (
            "unmutes where nothing stands",
            &owner,
            unmute(&member, Some(c.chat)),
            "NoEffect",
        ),
    ] {
        let op = c.space.op(by, payload).forge();
        all.op(Rule::R8, variant, what, &op);
    }
}

/// K1, K2, K4 where people were removed.
fn commits(c: &mut Cast, all: &mut Breaks) {
    let (owner, member, other) = (c.owner.clone(), c.member.clone(), c.other.clone());
    let (kicked, banned) = (c.kicked.clone(), c.banned.clone());
    let stranger = c.stranger.clone();
    let epoch = c.space.epoch();
    let genesis = EpochId::genesis(&c.space.id());
    let gone = [kicked.id(), banned.id()];
    let spoilt = |c: &mut Cast,
                  by: &Device,
                  added: &[&Device],
                  removed: &[oplog::DeviceId],
                  spoil: &dyn Fn(&mut Commit)| {
        let mut commit = c.space.commit_payload(epoch, by, added, removed);
        spoil(&mut commit);
        c.space.op(by, Payload::Commit(commit)).forge()
    };
    for (what, parent) in [
        ("the first epoch", genesis),
        ("an epoch of nobody", NOWHERE),
        ("no epoch", EpochId::ZERO),
    ] {
        let op = spoilt(c, &owner, &[], &gone, &|commit| commit.parent = parent);
        all.op(
            Rule::K1,
            "WrongParent",
            &format!("its payload follows {what}"),
            &op,
        );
    }
    let plus = |more: oplog::DeviceId| [gone.as_slice(), &[more]].concat();
    for (what, by, added, removed) in [
        ("leaves who was removed in", &member, vec![], vec![]),
        ("takes out one of two", &member, vec![], vec![kicked.id()]),
        ("takes the owner out", &member, vec![], plus(owner.id())),
        ("takes itself out", &member, vec![], plus(member.id())),
        ("takes a stranger out", &member, vec![], plus(stranger.id())),
        ("adds a stranger", &member, vec![&stranger], gone.to_vec()),
        ("adds who is there", &member, vec![&owner], gone.to_vec()),
        (
            "adds who was kicked",
            &member,
            vec![&kicked],
            vec![banned.id()],
        ),
        (
            "adds a revoked device",
            &member,
            vec![&c.lost],
            gone.to_vec(),
        ),
        (
            "adds again who did not ask",
            &member,
            vec![&other],
            plus(other.id()),
        ),
    ] {
        let added = added.clone();
        let op = {
            let mut commit = c.space.commit_payload(epoch, by, &added, &removed);
            commit.delta.removed.sort();
            c.space.op(by, Payload::Commit(commit)).forge()
        };
        all.op(Rule::K2, "Delta", what, &op);
    }
    let laptop = c.laptop.clone();
    let op = spoilt(c, &member, &[&laptop.clone().renewed()], &gone, &|_| {});
    all.op(
        Rule::K2,
        "Delta",
        "adds by a key package that nobody offered",
        &op,
    );
    let op = spoilt(c, &member, &[&laptop], &gone, &|commit| {
        commit.delta.added[0].user = member.user();
    });
    all.op(Rule::K2, "Delta", "adds under another's name", &op);
    for class in [CommitClass::Update, CommitClass::Add] {
        let op = spoilt(c, &owner, &[], &gone, &|commit| commit.class = class);
        all.op(
            Rule::K2,
            "WrongDeclaration",
            &format!("says that a removal is {class:?}"),
            &op,
        );
    }
    for (what, hash) in [
        ("zeros", Digest::ZERO),
        ("ones", Digest::from_bytes([0xff; 32])),
    ] {
        let op = spoilt(c, &owner, &[], &gone, &|commit| commit.roster_hash = hash);
        all.op(
            Rule::K2,
            "WrongDeclaration",
            &format!("a roster hash of {what}"),
            &op,
        );
    }
    let before = c.space.commit_payload(epoch, &owner, &[], &[]).roster_hash;
    let op = spoilt(c, &owner, &[], &gone, &|commit| commit.roster_hash = before);
    all.op(
        Rule::K2,
        "WrongDeclaration",
        "the roster hash of before",
        &op,
    );
    for (what, spoil) in [
        (
            "removals out of order",
            &(|commit: &mut Commit| commit.delta.removed.reverse()) as &dyn Fn(&mut Commit),
        ),
        ("a removal twice", &|commit| {
            let first = commit.delta.removed[0];
            commit.delta.removed.insert(0, first);
        }),
        ("Welcomes out of order", &|commit| {
            commit.welcomes = vec![Digest::from_bytes([2; 32]), Digest::from_bytes([1; 32])];
        }),
        ("a GroupInfo of 5 KiB", &|commit| {
            commit.group_info = vec![0; 5 * 1024].into()
        }),
    ] {
        let op = spoilt(c, &owner, &[], &gone, spoil);
        all.op(Rule::R8, "Payload", &format!("a commit with {what}"), &op);
    }
    let _ = channel_create("x", ChannelKind::Chat);
}

/// Ops that lack something, or come from the future.
fn waiting(c: &mut Cast) -> Vec<Case> {
    let mut all = Vec::new();
    let mut waits = |what: &str, expect: Expect, op: SignedOp| {
        all.push(Case::new(format!("waits: {what}"), op.encode(), expect));
    };
    let (member, chat) = (c.member.clone(), c.chat);
    let nobody = |n: u8| OpId::from_bytes([n; 32]);
    let hidden = c.space.post(&member, chat, "never shown").forge();
    let op = c
        .space
        .post(&member, chat, "after it")
        .after(Some(&hidden))
        .forge();
    waits("an op before it never comes", Expect::Held, op);
    let op = c
        .space
        .post(&member, chat, "heads")
        .ctl(&[nobody(0xf1)])
        .forge();
    waits("a control head never comes", Expect::Held, op);
    let op = c
        .space
        .op(&member, react())
        .channel(chat)
        .prev(&[nobody(0xf2)])
        .forge();
    waits("a target never comes", Expect::Held, op);
    let op = c
        .space
        .op(&c.admin, Payload::Merge)
        .ctl(&[nobody(0xf3)])
        .forge();
    waits("a parent of a control op never comes", Expect::Held, op);
    let many: Vec<OpId> = (0..16).map(|n| nobody(0xe0 + n)).collect();
    let op = c.space.op(&c.admin, Payload::Merge).ctl(&many).forge();
    waits("16 parents never come", Expect::Held, op);
    let op = c.space.post(&member, chat, "targets").prev(&many).forge();
    waits("16 targets never come", Expect::Held, op);
    // As near to naming itself as a hash allows.
    let probe = c.space.post(&member, chat, "me").forge();
    let mut own = *probe.id().as_bytes();
    own[31] ^= 1;
    let op = c
        .space
        .post(&member, chat, "me")
        .prev(&[OpId::from_bytes(own)])
        .forge();
    waits("a target that is nearly itself", Expect::Held, op);
    let own = probe.id();
    let op = c.space.post(&member, chat, "me").prev(&[own]).forge();
    waits("what it would be without a target", Expect::Held, op);
    let mut known = c.space.heads();
    known.push(nobody(0xf4));
    let op = c.space.post(&member, chat, "some").ctl(&known).forge();
    waits("one head of several never comes", Expect::Held, op);

    let ahead = |ms: u64| Hlc::from_wall(c.now.plus_ms(ms));
    for (what, hlc) in [
        ("6 minutes ahead", ahead(6 * 60_000)),
        ("a year ahead", ahead(365 * 86_400_000)),
        ("100 years ahead", ahead(36_500 * 86_400_000)),
        ("the end of time", Hlc::from_raw(u64::MAX)),
    ] {
        let op = c.space.post(&member, chat, what).hlc(hlc).forge();
        waits(what, Expect::Deferred, op);
        let op = c.space.op(&c.owner, kick(&c.other)).hlc(hlc).forge();
        waits(&format!("a kick from {what}"), Expect::Deferred, op);
    }
    // A chain of which the beginning is kept back.
    let root = c.space.post(&c.other, chat, "root").forge();
    let mut last = root;
    let mut chain = Vec::new();
    for n in 0..200 {
        let op = c
            .space
            .post(&c.other, chat, &format!("link {n}"))
            .after(Some(&last))
            .forge();
        chain.push(op.encode());
        last = op;
    }
    let end = chain.pop().unwrap();
    all.push(
        Case::new(
            "waits: the end of a chain of 200 without beginning",
            end,
            Expect::Held,
        )
        .after(chain),
    );
    all
}
