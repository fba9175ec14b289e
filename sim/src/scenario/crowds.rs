//! Many people at once.

use super::cast::Script;
use super::{End, Scenario, nothing};
use crate::config::{Config, Profile};
use crate::fault::Class;
use crate::run;
use crate::schedule::{Act, Entry};
use crate::world::World;

pub(super) const QUIET: Scenario = Scenario {
    name: "quiet",
    what: "six people talk and nothing goes wrong: everything is everywhere at once",
    script: |seed| {
        let mut script = Script::new(seed, 6, 2, 10);
        let start = script.start();
        for at in 0..60 {
            script.post(start + at * 7, (at % 6) as u16);
        }
        // All at one moment, of which a clock tells no order.
        for who in 0..6 {
            script.post(start + 450, who);
        }
        script.act(start + 40, 1, Act::UpdateKeys);
        script.act(
            start + 80,
            3,
            Act::React {
                nth: 1,
                emoji: 0,
                add: true,
            },
        );
        script.done()
    },
    before: |world| world.all_alike(&world.all_but(&[])),
    end: |world| world.members_are(&world.all_but(&[]), &world.all_but(&[])),
};

pub(super) const ONBOARDING: Scenario = Scenario {
    name: "onboarding-30",
    what: "thirty people use one link within three seconds: all come in",
    script: |seed| {
        let mut script = Script::empty(seed, 31, 1, 20);
        script.act(1, 0, Act::Found);
        let (uses, approval) = (200, false);
        script.act(3, 0, Act::Invite { uses, approval });
        for who in 1..31 {
            script.act(6 + u64::from(who) / 10, who, Act::Join);
        }
        let start = script.start();
        for who in 0..31 {
            script.post(start + 900 + u64::from(who), who);
        }
        script.done()
    },
    before: nothing,
    end: |world| {
        world.members_are(&world.all_but(&[]), &world.all_but(&[]))?;
        world.all_alike(&world.all_but(&[]))
    },
};

pub(super) const INVITE_USED_UP: Scenario = Scenario {
    name: "invite-used-up",
    what: "four people have a link for two, and one lets strangers in by it: two come in",
    script: |seed| {
        let mut script = Script::empty(seed, 5, 1, 15);
        script.config.byzantine.insert(1);
        script.act(1, 0, Act::Found);
        let (uses, approval) = (2, false);
        script.act(3, 0, Act::Invite { uses, approval });
        for who in 1..5 {
            script.act(6 + u64::from(who) * 20, who, Act::Join);
        }
        let class = Class::ByzCrowd;
        script.act(200, 1, Act::Cheat { class, nth: 0 });
        script.done()
    },
    before: nothing,
    end: |world| {
        world.fired_at_least(Class::ByzCrowd, 1)?;
        world.members_are(&[0, 2], &[0, 1, 2])
    },
};

pub(super) const TWO_WELCOMES: Scenario = Scenario {
    name: "two-welcomes",
    what: "two who do not hear each other let the same person in: one of the two Welcomes counts",
    script: |seed| {
        let mut script = Script::empty(seed, 5, 2, 30);
        script.act(1, 0, Act::Found);
        script.invite(3);
        for who in 1..4 {
            script.act(6 + u64::from(who) * 6, who, Act::Join);
        }
        let start = script.start();
        script.cut(start, start + 200, &[0], &[1]);
        script.cut(start, start + 200, &[1, 2, 3], &[0]);
        script.act(start + 20, 4, Act::Join);
        for who in 0..5 {
            script.post(start + 500 + u64::from(who), who);
        }
        script.done()
    },
    before: nothing,
    end: |world| {
        let all = world.all_but(&[]);
        world.keys_forked()?;
        world.members_are(&all, &all)?;
        world.in_one_epoch(&all)?;
        world.all_alike(&all)
    },
};

pub(super) const UPDATE_STORM: Scenario = Scenario {
    name: "update-storm",
    what: "six people renew their keys at one moment, apart and together: one branch, and nothing is lost",
    script: |seed| {
        let mut script = Script::new(seed, 6, 1, 9 * 60);
        let start = script.start();
        script.cut(start, start + 60, &[0, 1, 2, 3, 4, 5], &[0]);
        for storm in 0..2 {
            let at = start + 10 + storm * 7 * 3_600;
            for who in 0..6 {
                script.act(at, who, Act::UpdateKeys);
                script.post(at + 5 + u64::from(who), who);
            }
        }
        script.done()
    },
    before: nothing,
    end: |world| {
        let all = world.all_but(&[]);
        world.keys_forked()?;
        world.in_one_epoch(&all)?;
        world.all_alike(&all)?;
        world.each(all, |node| {
            for who in 0..6 {
                match world.posts_by(node, who)?.len() {
                    2 => {}
                    posts => return Err(format!("has {posts} posts of node {who}, not 2")),
                }
            }
            Ok(())
        })
    },
};

/// The first of the raiders.
const RAIDERS_FROM: u16 = 4;

pub(super) const RAID: Scenario = Scenario {
    name: "raid",
    what: "eight strangers flood a channel and are banned: they are out, and what stays is the same for all",
    script: |seed| {
        let mut script = Script::new(seed, 12, 2, 15);
        let start = script.start();
        for who in RAIDERS_FROM..12 {
            for at in 0..20 {
                script.post(start + 10 + at * 2, who);
            }
            // One moderator acts: two at once would fork the keys, which is another scenario.
            let ban = start + 30 + u64::from(who - RAIDERS_FROM) * 20;
            script.act(ban, 1, Act::Ban { whom: who });
        }
        script.post(start + 400, 3);
        script.done()
    },
    before: nothing,
    end: |world| {
        let honest: Vec<u16> = (0..RAIDERS_FROM).collect();
        world.members_are(&honest, &honest)?;
        world.all_alike(&honest)
    },
};

pub(super) const STORM: Scenario = Scenario {
    name: "moderation-storm",
    what: "owner, admin and moderator act on the same people while they do not hear each other: one outcome",
    script: |seed| {
        let mut script = Script::new(seed, 7, 2, 15);
        let start = script.start();
        for who in 3..7 {
            script.post(start + u64::from(who), who);
        }
        script.cut(start + 30, start + 200, &[0, 1, 2], &[0, 1]);
        let at = start + 60;
        script.act(at, 0, Act::Role { whom: 3, weight: 2 });
        script.act(
            at,
            1,
            Act::Mute {
                whom: 3,
                secs: 3_000,
            },
        );
        script.act(
            at,
            2,
            Act::Mute {
                whom: 4,
                secs: 3_000,
            },
        );
        script.act(at, 0, Act::Role { whom: 2, weight: 1 });
        script.act(
            at + 5,
            1,
            Act::Rename {
                channel: 0,
                archived: false,
            },
        );
        script.act(
            at + 5,
            0,
            Act::Rename {
                channel: 0,
                archived: true,
            },
        );
        script.act(at + 6, 2, Act::Delete { nth: 1 });
        script.act(at + 7, 1, Act::Policy { late: 2 });
        script.act(at + 7, 0, Act::Policy { late: 1 });
        script.post(start + 400, 1);
        script.done()
    },
    before: |world| world.all_alike(&world.all_but(&[])),
    end: |world| world.all_alike(&world.all_but(&[])),
};

/// Numbers of people that [`BYZANTINE`] goes through: three to eight.
const BYZANTINE_PEOPLE: core::ops::RangeInclusive<u16> = 3..=8;

/// With so many seeds [`BYZANTINE`] has gone through all numbers of people and all ways to cheat.
#[cfg(test)]
pub(super) const BYZANTINE_SEEDS: u64 = {
    let (mut ways, mut at) = (1, 0);
    while at < Class::ALL.len() {
        ways += matches!(Class::ALL[at].group().as_bytes(), b"byzantine") as u64;
        at += 1;
    }
    ways * (*BYZANTINE_PEOPLE.end() - *BYZANTINE_PEOPLE.start() + 1) as u64
};

pub(super) const BYZANTINE: Scenario = Scenario {
    name: "byzantine-n-2",
    what: "all but two of three to eight people cheat, in every way at once or in one way only: the two agree",
    // The seed says how many people there are and how they cheat: `BYZANTINE_SEEDS` of them are all.
    script: |seed| {
        let mut config = Config::draw(seed, Some(Profile::Byz));
        let cheats: Vec<Class> = cheats().collect();
        let (least, counts) = (*BYZANTINE_PEOPLE.start(), BYZANTINE_PEOPLE.count() as u64);
        config.nodes = least + (seed % counts) as u16;
        config.byzantine = (2..config.nodes).collect();
        config.disks.retain(|node| *node < config.nodes);
        config.absent.clear();
        config.lasts_ms = config.lasts_ms.min(1_800_000).max(config.calm_ms + 900_000);
        let way = (seed / counts) as usize % (cheats.len() + 1);
        config.on = match way.checked_sub(1) {
            None => cheats.into_iter().collect(),
            Some(one) => cheats.get(one).copied().into_iter().collect(),
        };
        let entries: Vec<Entry> = run::schedule(&config);
        (config, entries)
    },
    before: nothing,
    end: the_two_agree,
};

/// Every way to cheat.
fn cheats() -> impl Iterator<Item = Class> {
    let all = Class::ALL.iter().copied();
    all.filter(|class| class.group() == "byzantine")
}

/// Two honest people, healed and both in, hold the same and show the same; S1 and S3 say the rest.
fn the_two_agree(world: &World) -> End {
    let space = world.space.ok_or("there is no Space")?;
    let counts_both = |index: u16| {
        let node = world.node_of(index)?;
        let members = node.members(space).unwrap_or_default();
        let is_in = |user| members.iter().any(|m| m.user == user && m.weight.is_some());
        Ok::<bool, String>(is_in(world.user_of(0)?) && is_in(world.user_of(1)?))
    };
    // One may have removed the other, or nobody ever let him in.
    if counts_both(0)? || counts_both(1)? {
        world.all_alike(&[0, 1])
    } else {
        Ok(())
    }
}
