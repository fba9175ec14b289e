//! The rules on commits, each broken once in each way (`docs/acceptance.md`).

#![cfg(test)]

mod world;

use oplog::authority::Authority;
use oplog::payload::{
    Closure, Commit, CommitClass, CommitComplaint, CutAttest, CutHead, DeviceAdd, Leave, Payload,
    ReaddRequest, Removal, RosterEntry, ScopeCut, Seal, Weight,
};
use oplog::testing::Device;
use oplog::{Digest, EpochId, OpId, Rule, Scope, SignedOp};
use world::World;

const HOUR: u64 = 3_600_000;

fn kick(who: &Device) -> Payload {
    Payload::Kick(Removal {
        target: who.user(),
        cut: vec![],
        late: None,
        reason: String::new(),
        purge: vec![],
    })
}

fn readd(device: &Device) -> Payload {
    Payload::ReaddRequest(ReaddRequest {
        key_package: device.key_package().into(),
        nonce: Digest::from_bytes([1; 32]),
    })
}

/// Signs a commit on the current epoch whose payload was changed; later ops do not know of it.
fn spoilt(
    w: &mut World,
    by: &Device,
    added: &[&Device],
    removed: &[&Device],
    spoil: impl FnOnce(&mut Commit),
) -> SignedOp {
    let removed: Vec<_> = removed.iter().map(|d| d.id()).collect();
    let epoch = w.space.epoch();
    let mut commit = w.space.commit_payload(epoch, by, added, &removed);
    spoil(&mut commit);
    w.space.op(by, Payload::Commit(commit)).forge()
}

#[test]
fn k1_header_and_payload_name_one_parent() {
    let mut w = World::new();
    let (owner, genesis) = (w.owner.clone(), EpochId::genesis(&w.space.id()));
    let op = spoilt(&mut w, &owner, &[], &[], |c| c.parent = genesis);
    w.refuses(Rule::K1, "WrongParent", &op);
}

#[test]
fn k2_who_lost_the_right_to_be_there_is_taken_out() {
    let mut w = World::new();
    let (member, other) = (w.member.clone(), w.second_member.clone());
    w.space.op(&w.moderator.clone(), kick(&other)).sign();
    w.catch_up();
    let op = spoilt(&mut w, &member, &[], &[], |_| {});
    w.refuses(Rule::K2, "Delta", &op);
    let op = w.space.commit(&member, &[], &[other.id()]).sign();
    w.accepts(&op);
    let record = w.replica.authority.epoch(&w.space.epoch()).expect("begun");
    assert_eq!(record.class, CommitClass::Remove);
    assert!(!record.roster.contains_key(&other.id()));
}

#[test]
fn k2_nobody_is_removed_or_added_without_an_op_that_says_so() {
    let mut w = World::new();
    let (owner, member) = (w.owner.clone(), w.member.clone());
    let stranger = w.space.person("stranger").device(0);
    let new = w.space.person("new").device(0);
    w.space.add(&owner, &[(&new, Weight::MEMBER)]);
    w.catch_up();

    let op = spoilt(&mut w, &member, &[], &[&owner], |_| {});
    w.refuses(Rule::K2, "Delta", &op);
    let op = spoilt(&mut w, &member, &[], &[&stranger], |_| {});
    w.refuses(Rule::K2, "Delta", &op);
    let op = spoilt(&mut w, &member, &[&stranger], &[], |_| {});
    w.refuses(Rule::K2, "Delta", &op);
    let op = spoilt(&mut w, &member, &[&owner], &[], |_| {});
    w.refuses(Rule::K2, "Delta", &op);
    // With a key package that nobody offered.
    let fresh = new.clone().renewed();
    let op = spoilt(&mut w, &member, &[&fresh], &[], |_| {});
    w.refuses(Rule::K2, "Delta", &op);
    // Under somebody else's name.
    let (user, device) = (member.user(), new.id());
    let op = spoilt(&mut w, &member, &[&new], &[], |c| {
        c.delta.added = vec![RosterEntry {
            device,
            user,
            key_package: new.key_package_hash(),
        }];
    });
    w.refuses(Rule::K2, "Delta", &op);
    let op = w.space.commit(&member, &[&new], &[]).sign();
    w.accepts(&op);
}

#[test]
fn k2_a_device_is_added_again_only_when_it_asked() {
    let mut w = World::new();
    let (member, other) = (w.member.clone(), w.second_member.clone());
    let fresh = other.clone().renewed();
    for again in [&other, &fresh] {
        let op = spoilt(&mut w, &member, &[again], &[&other], |_| {});
        w.refuses(Rule::K2, "Delta", &op);
    }
    w.space.op(&other, readd(&fresh)).sign();
    w.catch_up();
    let op = spoilt(&mut w, &member, &[&other], &[&other], |_| {});
    w.refuses(Rule::K2, "Delta", &op);
    let op = w.space.commit(&member, &[&fresh], &[other.id()]).sign();
    w.accepts(&op);
    assert_eq!(class(&w), CommitClass::Add);
    // The same request answers once.
    w.space.now = w.space.now.plus_ms(24 * HOUR);
    let op = spoilt(&mut w, &member, &[&fresh], &[&other], |_| {});
    w.refuses(Rule::K2, "Delta", &op);
}

fn class(w: &World) -> CommitClass {
    let record = w.replica.authority.epoch(&w.space.epoch());
    record.expect("begun").class
}

#[test]
fn k2_a_device_comes_back_by_an_external_commit_of_its_own() {
    let mut w = World::new();
    let member = w.member.clone();
    let lost = member.clone().renewed();
    // It may not clean up on the way, so it may leave in whom others must remove (A5).
    w.space
        .op(&w.moderator.clone(), kick(&w.second_member))
        .sign();
    let op = w.space.commit(&member, &[&lost], &[member.id()]).sign();
    w.catch_up();
    assert_eq!(class(&w), CommitClass::Add);
    assert!(w.replica.has(&op.id()));
    // A device that no commit added yet comes in by itself; a stranger does not.
    let laptop = w.space.person("member").device(1);
    let add = Payload::DeviceAdd(DeviceAdd {
        cert: laptop.cert().clone(),
        key_package: laptop.key_package().into(),
        identity_sig: None,
    });
    w.space.op(&member, add).sign();
    w.catch_up();
    let op = w.space.commit(&laptop, &[&laptop], &[]).sign();
    w.accepts(&op);
    // Twice in the group is once too many.
    let op = spoilt(&mut w, &laptop, &[&laptop], &[], |_| {});
    w.refuses(Rule::K2, "Delta", &op);
    let stranger = w.space.person("stranger").device(0);
    let op = spoilt(&mut w, &stranger, &[&stranger], &[], |_| {});
    w.refuses(Rule::R4, "NotMember", &op);
}

#[test]
fn k2_what_is_declared_is_what_is_done() {
    let mut w = World::new();
    let (owner, member) = (w.owner.clone(), w.member.clone());
    for wrong in [CommitClass::Add, CommitClass::Remove] {
        let op = spoilt(&mut w, &owner, &[], &[], |c| c.class = wrong);
        w.refuses(Rule::K2, "WrongDeclaration", &op);
    }
    let op = spoilt(&mut w, &owner, &[], &[], |c| c.roster_hash = Digest::ZERO);
    w.refuses(Rule::K2, "WrongDeclaration", &op);
    // Taking out a leaf of one's own is no removal of somebody (A4).
    let leaver = w.second_member.clone();
    w.space
        .op(
            &leaver,
            Payload::Leave(Leave {
                reason: String::new(),
            }),
        )
        .sign();
    w.catch_up();
    let op = spoilt(&mut w, &member, &[], &[&leaver], |c| {
        c.class = CommitClass::Add
    });
    w.refuses(Rule::K2, "WrongDeclaration", &op);
}

#[test]
fn k2_a_group_has_an_end() {
    let mut w = World::new();
    let owner = w.owner.clone();
    // 7 are there; 10 × 100 come.
    let mut devices: Vec<Device> = Vec::new();
    for hundred in 0..10 {
        let new: Vec<Device> = (0..100)
            .map(|n| w.space.person(&format!("{hundred}-{n}")).device(0))
            .collect();
        let members: Vec<(&Device, Weight)> = new.iter().map(|d| (d, Weight::MEMBER)).collect();
        w.space.add(&owner, &members);
        devices.extend(new);
    }
    w.catch_up();
    let all: Vec<&Device> = devices.iter().collect();
    let op = spoilt(&mut w, &owner, &all, &[], |_| {});
    w.refuses(Rule::K2, "GroupTooLarge", &op);
    let op = spoilt(&mut w, &owner, &all[..993], &[], |_| {});
    w.accepts(&op);
}

#[test]
fn k3_any_member_may_commit() {
    let mut w = World::new();
    let (member, guest) = (w.member.clone(), w.guest.clone());
    let op = w.space.commit(&member, &[], &[]).sign();
    w.accepts(&op);
    let op = w.space.commit(&guest, &[], &[]).sign();
    w.accepts(&op);
}

#[test]
fn k4_a_device_commits_once_on_an_epoch() {
    let mut w = World::new();
    let (member, other) = (w.member.clone(), w.second_member.clone());
    let parent = w.space.epoch();
    let first = w.space.commit(&member, &[], &[]).sign();
    w.accepts(&first);
    w.space.now = w.space.now.plus_ms(24 * HOUR);
    let op = w.space.commit_on(parent, &member, &[], &[]).forge();
    w.refuses(Rule::K4, "SecondCommit", &op);
    // Another device may: that is a fork, which the tip rule decides.
    let op = w.space.commit_on(parent, &other, &[], &[]).forge();
    w.accepts(&op);
}

#[test]
fn k5_updates_of_one_person_are_spaced() {
    let mut w = World::new();
    let member = w.member.clone();
    w.space.commit(&member, &[], &[]).sign();
    w.catch_up();
    let op = w.space.commit(&member, &[], &[]).forge();
    w.refuses(Rule::K5, "UpdateTooSoon", &op);
    // Six hours later it is fine, in whatever epoch.
    let last = w.space.ops().last().expect("the update").header().hlc;
    let six = last.plus_secs(6 * 3_600);
    let op = w.space.commit(&member, &[], &[]).hlc(six).forge();
    w.accepts(&op);
    // So it is eight epochs later, at whatever time.
    let updates = w.epoch_number();
    let others = [
        w.owner.clone(),
        w.admin.clone(),
        w.moderator.clone(),
        w.second_moderator.clone(),
        w.second_member.clone(),
        w.guest.clone(),
    ];
    for device in &others {
        w.space.commit(device, &[], &[]).sign();
    }
    w.catch_up();
    let op = w.space.commit(&member, &[], &[]).forge();
    w.refuses(Rule::K5, "UpdateTooSoon", &op);
    let new = w.join("new", Weight::MEMBER);
    assert_eq!(w.epoch_number(), updates + 7);
    let op = w.space.commit(&member, &[], &[]).forge();
    w.accepts(&op);
    let _ = new;
}

#[test]
fn k5_looks_at_its_own_branch() {
    let mut w = World::new();
    let (member, other) = (w.member.clone(), w.second_member.clone());
    let parent = w.space.epoch();
    w.space.commit(&member, &[], &[]).sign();
    let fork = w.space.commit_on(parent, &other, &[], &[]).sign();
    w.catch_up();
    // On the other branch there is no update of this member yet.
    let branch = EpochId::of_commit(&fork.id());
    let op = w.space.commit_on(branch, &member, &[], &[]).forge();
    w.accepts(&op);
}

#[test]
fn k6_a_lane_carries_32_commits_a_day() {
    let mut w = World::new();
    let member = w.member.clone();
    for n in 0..32 {
        // Class 1, which K5 does not space: each adds somebody.
        let new = w.space.person(&format!("new {n}")).device(0);
        w.space.add(&w.owner.clone(), &[(&new, Weight::MEMBER)]);
        w.space.commit(&member, &[&new], &[]).sign();
    }
    w.catch_up();
    let new = w.space.person("one more").device(0);
    w.space.add(&w.owner.clone(), &[(&new, Weight::MEMBER)]);
    w.catch_up();
    let op = spoilt(&mut w, &member, &[&new], &[], |_| {});
    w.refuses(Rule::K6, "TooManyCommits", &op);
    w.space.now = w.space.now.plus_ms(24 * HOUR);
    let op = spoilt(&mut w, &member, &[&new], &[], |_| {});
    w.accepts(&op);
}

#[test]
fn k6_a_lane_carries_8_mib_a_day() {
    let mut w = World::new();
    let (owner, member) = (w.owner.clone(), w.member.clone());
    // Each adds somebody, which K5 does not space.
    let heavy = |w: &mut World, n: u64| {
        let new = w.space.person(&format!("new {n}")).device(0);
        w.space.add(&owner, &[(&new, Weight::MEMBER)]);
        w.catch_up();
        spoilt(w, &member, &[&new], &[], |c| {
            c.mls = vec![0; 1_000_000].into();
        })
    };
    for n in 0..8 {
        let op = heavy(&mut w, n);
        w.space.record(&op);
        w.catch_up();
    }
    let op = heavy(&mut w, 8);
    w.refuses(Rule::K6, "TooManyBytes", &op);
    w.space.now = w.space.now.plus_ms(24 * HOUR);
    let op = heavy(&mut w, 9);
    w.accepts(&op);
}

#[test]
fn k6_a_device_is_added_again_after_6_hours() {
    let mut w = World::new();
    let (member, other) = (w.member.clone(), w.second_member.clone());
    let fresh = other.clone().renewed();
    let fresher = fresh.clone().renewed();
    w.space.op(&other, readd(&fresh)).sign();
    let first = w.space.commit(&member, &[&fresh], &[other.id()]).sign();
    w.space.op(&other, readd(&fresher)).sign();
    w.catch_up();
    let edge = first.header().hlc.plus_secs(6 * 3_600);
    let early = oplog::Hlc::from_raw(edge.as_raw() - 1);
    let again = |w: &mut World, hlc| {
        let draft = w.space.commit(&member, &[&fresher], &[other.id()]);
        draft.hlc(hlc).forge()
    };
    let op = again(&mut w, early);
    w.refuses(Rule::K6, "ReaddTooSoon", &op);
    let op = again(&mut w, edge);
    w.accepts(&op);
}

#[test]
fn k6_a_person_adds_4_devices_a_day() {
    let mut w = World::new();
    let person = w.space.person("member");
    let member = w.member.clone();
    let add = |device: &Device| {
        Payload::DeviceAdd(DeviceAdd {
            cert: device.cert().clone(),
            key_package: device.key_package().into(),
            identity_sig: None,
        })
    };
    for n in 1..=4 {
        w.space.op(&member, add(&person.device(n))).sign();
    }
    w.catch_up();
    let op = w.space.op(&member, add(&person.device(5))).forge();
    w.refuses(Rule::K6, "TooManyNewDevices", &op);
    w.space.now = w.space.now.plus_ms(24 * HOUR);
    let op = w.space.op(&member, add(&person.device(5))).forge();
    w.accepts(&op);
}

fn complaint(about: EpochId, device: &Device) -> Payload {
    Payload::CommitComplaint(CommitComplaint {
        epoch: about,
        key_package: device.key_package().into(),
        nonce: Digest::from_bytes([2; 32]),
    })
}

#[test]
fn k7_a_complaint_is_about_a_commit_that_one_could_have_followed() {
    let mut w = World::new();
    let (admin, member, guest) = (w.admin.clone(), w.member.clone(), w.guest.clone());
    let before = w.space.epoch();
    w.space.commit(&admin, &[], &[]).sign();
    let about = w.space.epoch();
    w.catch_up();
    let nowhere = EpochId::from_bytes([9; 32]);
    for (by, epoch, inside) in [
        (&member, nowhere, before),
        (&member, about, about),
        (&admin, about, before),
    ] {
        let op = w.space.op(by, complaint(epoch, by)).epoch(inside).forge();
        w.refuses(Rule::K7, "WrongComplaint", &op);
    }
    let fresh = member.clone().renewed();
    let first = w.space.op(&member, complaint(about, &fresh)).epoch(before);
    first.sign();
    w.catch_up();
    let again = w.space.op(&member, complaint(about, &fresh)).epoch(before);
    let again = again.forge();
    w.refuses(Rule::K7, "SecondComplaint", &again);
    // It asks to be added again, too.
    w.space.commit(&admin, &[&fresh], &[member.id()]).sign();
    w.catch_up();
    // Whom a commit removes has nothing to follow.
    w.space.op(&w.moderator, kick(&guest)).sign();
    let parent = w.space.epoch();
    w.space.commit(&admin, &[], &[guest.id()]).sign();
    let gone = w.space.epoch();
    w.catch_up();
    let unaware = w.space.ops()[..w.space.ops().len() - 2].last();
    let unaware = unaware.map(SignedOp::id).into_iter().collect::<Vec<_>>();
    let op = w.space.op(&guest, complaint(gone, &guest));
    let op = op.epoch(parent).ctl(&unaware).forge();
    w.refuses(Rule::K7, "WrongComplaint", &op);
}

fn seal(epoch: EpochId, closures: Vec<Closure>) -> Payload {
    Payload::Seal(Seal {
        epoch,
        public_state: Digest::from_bytes([3; 32]),
        closures,
        strata: None,
    })
}

#[test]
fn k8_a_seal_fixes_what_is_canonical() {
    let mut w = World::new();
    let (owner, admin, member) = (w.owner.clone(), w.admin.clone(), w.member.clone());
    let parent = w.space.epoch();
    let seen = w.space.heads();
    let lone = w.space.commit_on(parent, &member, &[], &[]).ctl(&seen);
    let lone = lone.sign();
    w.space.op(&w.moderator, kick(&w.guest)).sign();
    let removing = w.space.commit_on(parent, &owner, &[], &[w.guest.id()]);
    removing.sign();
    let tip = w.space.epoch();
    w.catch_up();
    let op = w.space.op(&member, seal(tip, vec![])).forge();
    w.refuses(Rule::R6, "NotPermitted", &op);
    for epoch in [EpochId::of_commit(&lone.id()), EpochId::from_bytes([9; 32])] {
        let op = w.space.op(&admin, seal(epoch, vec![])).forge();
        w.refuses(Rule::K8, "NotCanonical", &op);
    }
    w.space.op(&admin, seal(tip, vec![])).sign();
    w.catch_up();
    let op = w.space.op(&owner, seal(tip, vec![])).forge();
    w.refuses(Rule::K8, "NothingSealed", &op);
    // Nothing before it can be sealed any more, by whomever.
    let op = w.space.op(&owner, seal(parent, vec![])).forge();
    w.refuses(Rule::K8, "NotCanonical", &op);
}

#[test]
fn k8_a_seal_closes_what_is_ripe() {
    let mut w = World::new();
    let (admin, moderator, member) = (w.admin.clone(), w.moderator.clone(), w.member.clone());
    let head = |seq| CutHead {
        device: member.id(),
        seq,
        op: OpId::from_bytes([4; 32]),
    };
    let cut = |scope, seqs: &[u64]| ScopeCut {
        scope: Scope::Channel(scope),
        heads: seqs.iter().map(|seq| head(*seq)).collect(),
    };
    let (chat, forum) = (w.chat, w.forum);
    let removal = Payload::Kick(Removal {
        target: member.user(),
        cut: vec![cut(chat, &[3])],
        late: None,
        reason: String::new(),
        purge: vec![],
    });
    let removal = w.space.op(&admin, removal).sign().id();
    let attest = Payload::CutAttest(CutAttest {
        removal,
        cut: vec![cut(chat, &[7])],
    });
    w.space.op(&moderator, attest).sign();
    // The remover's own commit is no witness.
    w.space.commit(&admin, &[], &[member.id()]).sign();
    w.catch_up();
    let epoch = w.space.epoch();
    let closing = |removal, cut| seal(epoch, vec![Closure { removal, cut }]);
    let good = || vec![cut(chat, &[3, 7, 9])];
    w.space.now = w.space.now.plus_ms(80 * HOUR);
    let op = w.space.op(&admin, closing(removal, good())).forge();
    w.refuses(Rule::K8, "BadClosure", &op);
    // An owner needs none.
    let owner = w.owner.clone();
    let op = w.space.op(&owner, closing(removal, good())).forge();
    w.accepts(&op);
    w.space.commit(&moderator, &[], &[]).sign();
    w.catch_up();
    w.space.now = w.space.now.plus_ms(71 * HOUR);
    let op = w.space.op(&admin, closing(removal, good())).forge();
    w.refuses(Rule::K8, "BadClosure", &op);
    w.space.now = w.space.now.plus_ms(2 * HOUR);
    for cut in [
        vec![cut(chat, &[3, 9])],
        vec![cut(chat, &[3, 7]), cut(forum, &[])],
        vec![cut(forum, &[3, 7])],
    ] {
        let mut cut = cut;
        cut.sort_by_key(|c| c.scope);
        let op = w.space.op(&admin, closing(removal, cut)).forge();
        w.refuses(Rule::K8, "BadClosure", &op);
    }
    let stranger = w.space.genesis().id();
    let op = w.space.op(&admin, closing(stranger, good())).forge();
    w.refuses(Rule::K8, "BadClosure", &op);
    w.space.op(&admin, closing(removal, good())).sign();
    w.catch_up();
    let op = w.space.op(&owner, closing(removal, good())).forge();
    w.refuses(Rule::K8, "BadClosure", &op);
}
