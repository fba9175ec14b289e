//! Ops that are too many, too soon, or about the group: each on a Space of its own.

use oplog::payload::*;
use oplog::testing::{Device, TestSpace, member_add};
use oplog::{ChannelId, Digest, EpochId, Hlc, OpId, Payload, Rule, Scope, SignedOp, Timestamp};

use crate::cast::*;
use crate::rules::Breaks;
use crate::stage::{NOWHERE, Stage};
use crate::table::Table;

const HOUR_MS: u64 = 3_600_000;

/// A Space of six.
struct Town {
    space: TestSpace,
    owner: Device,
    admin: Device,
    moderator: Device,
    member: Device,
    other: Device,
    guest: Device,
    chat: ChannelId,
    said: OpId,
}

impl Town {
    fn new(seed: u64) -> Self {
        let mut space = TestSpace::found(seed);
        let owner = space.founder();
        let device = |name: &str| space.person(name).device(0);
        let [admin, moderator, member, other, guest] =
            ["admin", "moderator", "member", "other", "guest"].map(device);
        let people = [
            (&admin, Weight::ADMIN),
            (&moderator, Weight::MODERATOR),
            (&member, Weight::MEMBER),
            (&other, Weight::MEMBER),
            (&guest, Weight::GUEST),
        ];
        space.add(&owner, &people);
        let devices: Vec<&Device> = people.iter().map(|(device, _)| *device).collect();
        space.commit(&owner, &devices, &[]).sign();
        let chat = space.channel(&owner, ChannelKind::Chat);
        let said = space.post(&other, chat, "hello").sign().id();
        Self {
            space,
            owner,
            admin,
            moderator,
            member,
            other,
            guest,
            chat,
            said,
        }
    }

    /// Lets the table see what breaks a rule here.
    fn judge(&self, table: &mut Table, breaks: Breaks) {
        let now = self.space.now.plus_ms(100 * 24 * HOUR_MS);
        let mut stage = Stage::set(&self.space, self.said, now);
        for case in &breaks.0 {
            stage.run(table, case);
        }
    }
}

pub fn run(table: &mut Table) {
    pace(table);
    keys(table);
    complaints_and_seals(table);
    again(table);
    many_commits(table);
    many_bytes(table);
    many_devices(table);
    a_thousand(table);
    closures(table);
}

/// R7.
fn pace(table: &mut Table) {
    let mut town = Town::new(21);
    let (member, other) = (town.member.clone(), town.other.clone());
    let start = town.space.now;
    let at = |space: &mut TestSpace, now: Timestamp| space.now = now;
    let mut first = None;
    for n in 0..120 {
        at(&mut town.space, start);
        let op = town.space.post(&member, town.chat, &n.to_string()).sign();
        first = first.or(Some(op.header().hlc));
    }
    let minute = first.unwrap().plus_secs(60);
    let mut breaks = Breaks::default();
    for (what, raw) in [
        ("a tick", 1),
        ("a second", 1 << 32),
        ("half a minute", 30 << 32),
    ] {
        let hlc = Hlc::from_raw(minute.as_raw() - raw);
        let op = town.space.post(&member, town.chat, what).hlc(hlc).forge();
        breaks.op(
            Rule::R7,
            "TooFast",
            &format!("121 posts in a minute less {what}"),
            &op,
        );
    }
    let start = town.space.now.plus_ms(10 * HOUR_MS);
    let mut first = None;
    for _ in 0..60 {
        at(&mut town.space, start);
        let op = town.space.op(&other, Payload::Merge).sign();
        first = first.or(Some(op.header().hlc));
    }
    let minute = first.unwrap().plus_secs(60);
    let hlc = Hlc::from_raw(minute.as_raw() - 1);
    let op = town.space.op(&other, Payload::Merge).hlc(hlc).forge();
    breaks.op(Rule::R7, "TooFast", "61 control ops in a minute", &op);
    town.judge(table, breaks);
}

/// K4 and K5.
fn keys(table: &mut Table) {
    let mut town = Town::new(22);
    let (member, owner) = (town.member.clone(), town.owner.clone());
    let parent = town.space.epoch();
    town.space.commit(&member, &[], &[]).sign();
    let mut breaks = Breaks::default();
    let op = town.space.commit(&member, &[], &[]).forge();
    breaks.op(Rule::K5, "UpdateTooSoon", "a second later", &op);
    let last = town.space.ops().last().unwrap().header().hlc;
    let six = Hlc::from_raw(last.plus_secs(6 * 3_600).as_raw() - 1);
    let op = town.space.commit(&member, &[], &[]).hlc(six).forge();
    breaks.op(Rule::K5, "UpdateTooSoon", "a tick before six hours", &op);
    let day = last.plus_secs(86_400);
    let op = town
        .space
        .commit_on(parent, &member, &[], &[])
        .hlc(day)
        .forge();
    breaks.op(Rule::K4, "SecondCommit", "on the epoch before", &op);
    let genesis = EpochId::genesis(&town.space.id());
    let op = town
        .space
        .commit_on(genesis, &owner, &[], &[])
        .hlc(day)
        .forge();
    breaks.op(Rule::K4, "SecondCommit", "on the first epoch", &op);
    town.judge(table, breaks);
}

/// K7, and of K8 what needs no time.
fn complaints_and_seals(table: &mut Table) {
    let mut town = Town::new(23);
    let (admin, member) = (town.admin.clone(), town.member.clone());
    let before = town.space.epoch();
    town.space.commit(&admin, &[], &[]).sign();
    let about = town.space.epoch();
    let fresh = member.clone().renewed();
    let first = town
        .space
        .op(&member, complaint(about, &fresh))
        .epoch(before);
    first.sign();
    let mut breaks = Breaks::default();
    for (what, by, epoch, inside, variant) in [
        (
            "of an epoch of nobody",
            &town.guest,
            NOWHERE,
            before,
            "WrongComplaint",
        ),
        (
            "of no epoch",
            &town.guest,
            EpochId::ZERO,
            before,
            "WrongComplaint",
        ),
        (
            "from within the epoch",
            &town.guest,
            about,
            about,
            "WrongComplaint",
        ),
        ("of its own commit", &admin, about, before, "WrongComplaint"),
        (
            "of the epoch that it is in",
            &town.guest,
            before,
            before,
            "WrongComplaint",
        ),
        ("once more", &member, about, before, "SecondComplaint"),
    ] {
        let op = town
            .space
            .op(by, complaint(epoch, by))
            .epoch(inside)
            .forge();
        breaks.op(Rule::K7, variant, &format!("a complaint {what}"), &op);
    }
    for (what, epoch) in [("an epoch of nobody", NOWHERE), ("no epoch", EpochId::ZERO)] {
        let op = town
            .space
            .op(&admin, seal(epoch, vec![]))
            .epoch(before)
            .forge();
        breaks.op(Rule::K8, "NotCanonical", &format!("seals {what}"), &op);
    }
    town.judge(table, breaks);

    // What is sealed is sealed.
    let mut town = Town::new(24);
    let owner = town.owner.clone();
    let genesis = EpochId::genesis(&town.space.id());
    let tip = town.space.epoch();
    town.space.op(&town.admin.clone(), seal(tip, vec![])).sign();
    let mut breaks = Breaks::default();
    let op = town.space.op(&owner, seal(tip, vec![])).forge();
    breaks.op(Rule::K8, "NothingSealed", "the same epoch once more", &op);
    let op = town.space.op(&owner, seal(genesis, vec![])).forge();
    breaks.op(
        Rule::K8,
        "NotCanonical",
        "seals what lies before a Seal",
        &op,
    );
    town.judge(table, breaks);
}

/// K6: devices that are added again.
fn again(table: &mut Table) {
    let mut town = Town::new(25);
    let (member, other) = (town.member.clone(), town.other.clone());
    let fresh = other.clone().renewed();
    let fresher = fresh.clone().renewed();
    town.space.op(&other, readd(&fresh)).sign();
    let first = town.space.commit(&member, &[&fresh], &[other.id()]).sign();
    town.space.op(&other, readd(&fresher)).sign();
    let edge = first.header().hlc.plus_secs(6 * 3_600);
    let mut breaks = Breaks::default();
    for (what, hlc) in [
        ("a tick", Hlc::from_raw(edge.as_raw() - 1)),
        ("five hours", first.header().hlc.plus_secs(3_600)),
    ] {
        let op = town
            .space
            .commit(&member, &[&fresher], &[other.id()])
            .hlc(hlc)
            .forge();
        breaks.op(
            Rule::K6,
            "ReaddTooSoon",
            &format!("added again {what} too soon"),
            &op,
        );
    }
    let day = first.header().hlc.plus_secs(86_400);
    let op = town
        .space
        .commit(&member, &[&fresh], &[other.id()])
        .hlc(day)
        .forge();
    breaks.op(Rule::K2, "Delta", "one request answered twice", &op);
    town.judge(table, breaks);
}

fn commit_adding(town: &mut Town, name: &str, bytes: usize) -> SignedOp {
    let (owner, member) = (town.owner.clone(), town.member.clone());
    let new = town.space.person(name).device(0);
    town.space.add(&owner, &[(&new, Weight::MEMBER)]);
    let epoch = town.space.epoch();
    let mut commit = town.space.commit_payload(epoch, &member, &[&new], &[]);
    commit.mls = vec![0; bytes].into();
    town.space.op(&member, Payload::Commit(commit)).forge()
}

fn many_commits(table: &mut Table) {
    let mut town = Town::new(26);
    for n in 0..32 {
        let op = commit_adding(&mut town, &format!("new {n}"), 8);
        town.space.record(&op);
    }
    let mut breaks = Breaks::default();
    let op = commit_adding(&mut town, "one more", 8);
    breaks.op(Rule::K6, "TooManyCommits", "the 33rd commit of a day", &op);
    town.judge(table, breaks);
}

fn many_bytes(table: &mut Table) {
    let mut town = Town::new(27);
    for n in 0..8 {
        let op = commit_adding(&mut town, &format!("new {n}"), 1_000_000);
        town.space.record(&op);
    }
    let mut breaks = Breaks::default();
    let op = commit_adding(&mut town, "one more", 1_000_000);
    breaks.op(Rule::K6, "TooManyBytes", "the ninth megabyte of a day", &op);
    town.judge(table, breaks);
}

fn many_devices(table: &mut Table) {
    let mut town = Town::new(28);
    let member = town.member.clone();
    let person = town.space.person("member");
    let mut breaks = Breaks::default();
    for n in 1..=4 {
        town.space.op(&member, device_add(&person.device(n))).sign();
    }
    let op = town
        .space
        .op(&member, device_add(&person.device(5)))
        .forge();
    breaks.op(
        Rule::K6,
        "TooManyNewDevices",
        "a fifth device in a day",
        &op,
    );
    let now = town.space.now;
    town.space.now = now.plus_ms(25 * HOUR_MS);
    for n in 5..=7 {
        town.space.op(&member, device_add(&person.device(n))).sign();
    }
    town.space.now = town.space.now.plus_ms(25 * HOUR_MS);
    let op = town
        .space
        .op(&member, device_add(&person.device(8)))
        .forge();
    breaks.op(Rule::R8, "TooManyDevices", "a ninth device", &op);
    town.judge(table, breaks);
}

fn a_thousand(table: &mut Table) {
    let mut town = Town::new(29);
    let owner = town.owner.clone();
    let mut devices: Vec<Device> = Vec::new();
    for hundred in 0..10 {
        let new: Vec<Device> = (0..100)
            .map(|n| town.space.person(&format!("{hundred}-{n}")).device(0))
            .collect();
        let members: Vec<(&Device, Weight)> = new.iter().map(|d| (d, Weight::MEMBER)).collect();
        town.space.add(&owner, &members);
        devices.extend(new);
    }
    let all: Vec<&Device> = devices.iter().collect();
    let mut breaks = Breaks::default();
    let epoch = town.space.epoch();
    let commit = town.space.commit_payload(epoch, &owner, &all, &[]);
    let op = town.space.op(&owner, Payload::Commit(commit)).forge();
    breaks.op(Rule::K2, "GroupTooLarge", "a group of 1,006", &op);
    let more: Vec<Device> = (0..101)
        .map(|n| town.space.person(&format!("x{n}")).device(0))
        .collect();
    let members: Vec<(&Device, Weight)> = more.iter().map(|d| (d, Weight::MEMBER)).collect();
    let op = town.space.op(&owner, member_add(&members, None)).forge();
    breaks.op(Rule::R8, "Payload", "101 people at once", &op);
    town.judge(table, breaks);
}

/// K8: what is not ripe, and what is not all of it.
fn closures(table: &mut Table) {
    let mut town = Town::new(30);
    let (owner, admin, moderator) = (
        town.owner.clone(),
        town.admin.clone(),
        town.moderator.clone(),
    );
    let member = town.member.clone();
    let head = |seq| CutHead {
        device: member.id(),
        seq,
        op: OpId::from_bytes([4; 32]),
    };
    let chat = Scope::Channel(town.chat);
    let elsewhere = Scope::Channel(ChannelId::from_bytes([8; 16]));
    let heads = |seqs: &[u64]| seqs.iter().map(|seq| head(*seq)).collect::<Vec<_>>();
    let mut gone = removal(member.user());
    gone.cut = vec![cut(chat, heads(&[3]))];
    let removal = town.space.op(&admin, Payload::Kick(gone)).sign().id();
    town.space
        .op(&moderator, attest(removal, vec![cut(chat, heads(&[7]))]))
        .sign();
    town.space.commit(&admin, &[], &[member.id()]).sign();
    let epoch = town.space.epoch();
    let closing = |removal, cut| seal(epoch, vec![Closure { removal, cut }]);
    let good = vec![cut(chat, heads(&[3, 7, 9]))];
    let mut breaks = Breaks::default();
    let op = town
        .space
        .op(&owner, closing(removal, good.clone()))
        .forge();
    breaks.op(Rule::K8, "BadClosure", "closes what is not ripe", &op);
    town.space.now = town.space.now.plus_ms(80 * HOUR_MS);
    let op = town
        .space
        .op(&admin, closing(removal, good.clone()))
        .forge();
    breaks.op(Rule::K8, "BadClosure", "closes without a witness", &op);
    let genesis = town.space.genesis().id();
    for (what, of, cuts) in [
        ("less than its cut", removal, vec![cut(chat, heads(&[7]))]),
        (
            "less than what was attested",
            removal,
            vec![cut(chat, heads(&[3, 6]))],
        ),
        (
            "another scope",
            removal,
            vec![cut(elsewhere, heads(&[3, 7]))],
        ),
        ("a removal that is none", genesis, good.clone()),
        (
            "a removal of nobody",
            OpId::from_bytes([7; 32]),
            good.clone(),
        ),
    ] {
        let op = town.space.op(&owner, closing(of, cuts)).forge();
        breaks.op(Rule::K8, "BadClosure", &format!("closes {what}"), &op);
    }
    for (what, closures) in [
        (
            "nothing",
            vec![Closure {
                removal,
                cut: vec![],
            }],
        ),
        (
            "the control plane",
            vec![Closure {
                removal,
                cut: vec![cut(Scope::Control, vec![])],
            }],
        ),
        (
            "one removal twice",
            vec![
                Closure {
                    removal,
                    cut: good.clone(),
                },
                Closure {
                    removal,
                    cut: good.clone(),
                },
            ],
        ),
    ] {
        let op = town.space.op(&owner, seal(epoch, closures)).forge();
        breaks.op(Rule::R8, "Payload", &format!("a Seal closes {what}"), &op);
    }
    let bundled = Payload::Seal(Seal {
        epoch,
        public_state: Digest::ZERO,
        closures: vec![],
        strata: Some(Digest::ZERO),
    });
    let op = town.space.op(&owner, bundled).forge();
    breaks.op(Rule::R8, "Payload", "a Seal with bundled history", &op);
    town.judge(table, breaks);
}
