//! What random histories reach rarely or never: judged by both, step by step.

use oplog::authority::View;
use oplog::payload::{DeviceAdd, LatePolicy, Leave, Mute, Payload, RoleSet, Unban, Weight};
use oplog::{Hlc, OpId, UserId};

use crate::random::{agree, refuses_alike};
use crate::world::{OWNER, Saying, World, post, removal};

const ADA: usize = 1;
const BEN: usize = 3;
const MIA: usize = 4;
const PIA: usize = 6;

fn both_agree(world: &World) {
    for result in [agree(world), refuses_alike(world)] {
        if let Err(error) = result {
            panic!("{error}");
        }
    }
}

fn user(world: &World, who: usize) -> UserId {
    world.devices[who].user()
}

fn role(world: &mut World, who: usize, whom: usize, weight: u8) -> OpId {
    let target = user(world, whom);
    let set = RoleSet {
        target,
        weight: Weight::new(weight),
        reason: String::new(),
    };
    world.say(who, Saying::new(Payload::RoleSet(set))).unwrap()
}

fn ban(world: &mut World, who: usize, whom: usize) -> OpId {
    let ban = removal(user(world, whom), vec![], None, vec![]);
    world.say(who, Saying::new(Payload::Ban(ban))).unwrap()
}

fn state_of(world: &World, op: OpId) -> (String, String) {
    let rows = world.dump().into_iter();
    let rows = rows.map(|line| serde_json::from_str::<serde_json::Value>(&line).unwrap());
    let mut rows = rows.filter(|row| row["type"] == "dump-op");
    let row = rows.find(|row| row["op"] == op.to_string()).unwrap();
    let text = |field: &str| row[field].as_str().unwrap_or("-").to_owned();
    (text("state"), text("rule"))
}

/// A10: who lifts a ban took a greater one for void, because a demotion of its author stood; that
/// turns out to be nothing, since the demoter had left.
#[test]
fn a10_an_unban_that_would_undo_more_than_it_saw() {
    let mut world = World::new();
    role(&mut world, OWNER, MIA, 100);
    world.tell_all();
    let before = *world.order.last().unwrap();
    // They were let in together: their ids say who is senior.
    let view = world.view(OWNER);
    let rank = |who: usize| view.rank(&user(&world, who));
    let (senior, junior) = if rank(ADA) > rank(BEN) {
        (ADA, BEN)
    } else {
        (BEN, ADA)
    };
    let greater = ban(&mut world, senior, PIA);
    role(&mut world, OWNER, senior, 20);
    // The junior knows of both, so there the greater ban is void.
    world.tell(OWNER, junior);
    world.tell(senior, junior);
    ban(&mut world, junior, PIA);
    let target = user(&world, PIA);
    let unban = Payload::Unban(Unban { target });
    let unban = world.say(junior, Saying::new(unban)).unwrap();
    assert_eq!(state_of(&world, unban).0, "effective");
    both_agree(&world);
    // The owner had left before, on a device that forked.
    let all = world.minds[OWNER].clone();
    world.minds[OWNER].knows.retain(|op| {
        let place = |id: &OpId| world.order.iter().position(|o| o == id);
        place(op) <= place(&before)
    });
    let mut leaving = Saying::new(Payload::Leave(Leave {
        reason: String::new(),
    }));
    leaving.after = Some(before);
    world.say(OWNER, leaving).unwrap();
    world.minds[OWNER].knows.extend(all.knows);
    assert_eq!(state_of(&world, greater).0, "effective");
    assert_eq!(
        state_of(&world, unban),
        ("void".to_owned(), "A10".to_owned())
    );
    both_agree(&world);
}

/// B10: a mute flags what was written between it and a longer one on top of it.
#[test]
fn b10_a_longer_mute_does_not_unflag_what_was_written_before_it() {
    let mut world = World::new();
    let chat = world.chat;
    let mute = |world: &mut World, secs: u32| {
        let now = Hlc::from_wall(world.space.now);
        let mute = Payload::Mute(Mute {
            target: user(world, PIA),
            channel: None,
            expires: Some(now.plus_secs(secs)),
            reason: String::new(),
        });
        world.say(OWNER, Saying::new(mute)).unwrap()
    };
    mute(&mut world, 600);
    let said = Saying::new(post(None, None, "unheard")).on(chat, &[]);
    let said = world.say(PIA, said).unwrap();
    let muted = ("muted".to_owned(), "B10".to_owned());
    assert_eq!(state_of(&world, said), muted);
    mute(&mut world, 6000);
    assert_eq!(state_of(&world, said), muted);
    both_agree(&world);
}

/// D3: 512 late posts in a listed scope and not one more; in an open one as many as you like.
#[test]
fn d3_the_quota_of_a_listed_lane() {
    let mut world = World::new();
    let chat = world.chat;
    world
        .say(PIA, Saying::new(post(None, None, "seen")).on(chat, &[]))
        .unwrap();
    world.tell_all();
    let scopes = [chat];
    let cut = world.cut(BEN, &user(&world, PIA), &scopes);
    let out = removal(user(&world, PIA), cut, Some(LatePolicy::Accept), vec![]);
    world.say(BEN, Saying::new(Payload::Kick(out))).unwrap();
    let mut last = None;
    for n in 0..514 {
        let said = post(None, None, &format!("{n}"));
        last = Some(world.say(PIA, Saying::new(said).on(chat, &[])).unwrap());
    }
    assert_eq!(
        state_of(&world, last.unwrap()),
        ("refused".to_owned(), "D3".to_owned())
    );
    both_agree(&world);
}

/// R1, R2, R7, K6: what no honest clock and lane does.
#[test]
fn lanes_and_clocks_are_judged_alike() {
    let mut world = World::new();
    let chat = world.chat;
    let say = |world: &mut World, hlc: Hlc| {
        let mut said = Saying::new(post(None, None, "quick")).on(chat, &[]);
        said.hlc = Some(hlc);
        world.say(PIA, said)
    };
    let now = Hlc::from_wall(world.space.now);
    for n in 0..120 {
        say(&mut world, Hlc::from_raw(now.as_raw() + n)).unwrap();
    }
    // The 121st within a minute; one that is not after; one that is a year and two days on.
    assert_eq!(
        say(&mut world, Hlc::from_raw(now.as_raw() + 120)),
        Err("R7")
    );
    assert_eq!(say(&mut world, now), Err("R2"));
    let far = now.plus_secs(368 * 86_400);
    assert_eq!(say(&mut world, far), Err("R2"));
    // Admins may wake a Space.
    let mut merge = Saying::new(Payload::Merge);
    merge.hlc = Some(far);
    world.say(ADA, merge).unwrap();
    world.tell_all();
    // Five new devices in a day, and ones of somebody else.
    for n in 1..=5 {
        let device = world.space.person("ben").device(n);
        let add = Payload::DeviceAdd(DeviceAdd {
            cert: device.cert().clone(),
            key_package: device.key_package().into(),
            identity_sig: None,
        });
        let said = world.say(BEN, Saying::new(add));
        assert_eq!(said.err(), (n == 5).then_some("K6"));
    }
    let stranger = world.space.person("stranger").device(0);
    let add = |identity_sig| {
        Payload::DeviceAdd(DeviceAdd {
            cert: stranger.cert().clone(),
            key_package: stranger.key_package().into(),
            identity_sig,
        })
    };
    assert_eq!(world.say(BEN, Saying::new(add(None))), Err("R8"));
    let forged = oplog::Signature::from_bytes([1; 64]);
    assert!(world.say(BEN, Saying::new(add(Some(forged)))).is_err());
    // A payload that is none.
    let mut nonsense = Saying::new(Payload::Merge);
    nonsense.bytes = Some(vec![1, 2, 3]);
    assert_eq!(world.say(BEN, nonsense), Err("R8"));
    both_agree(&world);
}
