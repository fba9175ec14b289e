//! Machines that are lost, copied, asleep, full or wrong about the time.

use super::cast::Script;
use super::{Scenario, nothing};
use crate::fault::Class;
use crate::schedule::{Act, Fault};

/// Whose machine it is.
const ANNA: u16 = 2;
const HOUR: u64 = 3_600;
const DAY: u64 = 24 * HOUR;

pub(super) const BACKUP: Scenario = Scenario {
    name: "restored-backup",
    what: "a machine is lost and its person comes back by words and backup: in the group again, with everything",
    script: |seed| {
        let mut script = Script::new(seed, 4, 1, 30);
        script.config.on.insert(Class::Restore);
        let start = script.start();
        script.post(start, ANNA);
        script.fault(start + 60, Fault::Snapshot { node: ANNA });
        script.post(start + 120, ANNA);
        script.post(start + 130, 1);
        script.fault(start + 180, Fault::Restore { node: ANNA });
        script.post(start + 900, 1);
        script.done()
    },
    before: nothing,
    end: |world| {
        world.members_are(&world.all_but(&[]), &world.all_but(&[]))?;
        world.all_alike(&world.all_but(&[]))
    },
};

pub(super) const CLONE: Scenario = Scenario {
    name: "clone",
    what: "a machine goes back to a copy of its disk: the others notice nothing, and it has all that they have",
    script: |seed| {
        let mut script = Script::new(seed, 4, 1, 30);
        script.config.on.insert(Class::Clone);
        script.config.disks.insert(ANNA);
        let start = script.start();
        script.post(start, ANNA);
        script.fault(start + 60, Fault::Snapshot { node: ANNA });
        script.post(start + 120, 1);
        script.post(start + 130, ANNA);
        script.fault(start + 180, Fault::Clone { node: ANNA });
        script.post(start + 400, 1);
        script.post(start + 600, 3);
        script.done()
    },
    before: nothing,
    end: |world| {
        world.all_alike(&[0, 1, 3])?;
        let (one, copy) = (
            &world.devices[0].accepted,
            &world.devices[usize::from(ANNA)].accepted,
        );
        match one.difference(copy).count() {
            0 => Ok(()),
            lacks => Err(format!("the copy lacks {lacks} ops")),
        }
    },
};

pub(super) const LAPTOP: Scenario = Scenario {
    name: "stale-laptop",
    what: "a laptop is shut for nine days in which keys and members change: it comes back whole",
    script: |seed| {
        let mut script = Script::new(seed, 5, 1, 9 * 24 * 60 + 120);
        let start = script.start();
        script.sleep(start, start + 9 * DAY, ANNA);
        for day in 0..9 {
            script.post(start + HOUR + day * DAY, 1);
            script.act(start + 2 * HOUR + day * DAY, 1, Act::UpdateKeys);
        }
        script.act(start + 3 * DAY, 0, Act::Kick { whom: 4 });
        script.done()
    },
    before: |world| world.all_alike(&[0, 1, 2, 3]),
    end: |world| world.members_are(&[0, 1, 2, 3], &[0, 1, 2, 3]),
};

pub(super) const MONTHS: Scenario = Scenario {
    name: "laptop-months",
    what: "a laptop is shut for two months, longer than a relay keeps anything: it comes back whole",
    script: |seed| {
        let mut script = Script::new(seed, 4, 1, 62 * 24 * 60 + 120);
        let start = script.start();
        script.post(start, ANNA);
        script.sleep(start + 60, start + 62 * DAY, ANNA);
        for week in 0..8 {
            script.post(start + HOUR + week * 7 * DAY, 1);
            script.act(start + 2 * HOUR + week * 7 * DAY, 1, Act::UpdateKeys);
        }
        script.done()
    },
    before: |world| world.all_alike(&world.all_but(&[])),
    end: |world| {
        let all = world.all_but(&[]);
        world.members_are(&all, &all)?;
        world.in_one_epoch(&all)?;
        world.all_alike(&all)
    },
};

pub(super) const PHONE: Scenario = Scenario {
    name: "phone",
    what: "a phone runs one second every ten minutes: enough to have what was written, though not for others to mend it",
    script: |seed| {
        let mut script = Script::new(seed, 4, 1, 4 * 60);
        let start = script.start();
        for wake in 0..20 {
            let at = start + wake * 605;
            script.sleep(at, at + 604, ANNA);
            script.post(at + 60, 1);
            script.post(at + 120, 3);
        }
        // Frozen to the end: nothing but the wakes can have brought it what it has.
        let last = start + 20 * 605;
        script.sleep(last, last + 4 * HOUR, ANNA);
        script.done()
    },
    before: |world| {
        let phone = &world.devices[usize::from(ANNA)].accepted;
        match world.devices[0].accepted.difference(phone).count() {
            0 => Ok(()),
            lacks => Err(format!(
                "the phone lacks {lacks} ops that its wakes had time for"
            )),
        }
    },
    end: |world| world.all_alike(&world.all_but(&[])),
};

pub(super) const DISK_FULL: Scenario = Scenario {
    name: "disk-full",
    what: "a disk fills in the middle of a conversation and is emptied again: nothing acknowledged is lost",
    script: |seed| {
        let mut script = Script::new(seed, 4, 1, 30);
        script.config.disks.insert(ANNA);
        let start = script.start();
        for at in 0..60 {
            script.post(start + at * 10, if at % 2 == 0 { ANNA } else { 1 });
        }
        let full = Fault::Disk {
            class: Class::DiskFull,
            node: ANNA,
            nth: 700,
            for_ms: 200_000,
        };
        script.fault(start + 100, full);
        script.done()
    },
    before: |world| world.all_alike(&world.all_but(&[])),
    end: nothing,
};

pub(super) const CLOCK_1970: Scenario = Scenario {
    name: "clock-1970",
    what: "a machine starts with the clock of 1970 and writes: its posts are taken, and it takes those of others",
    script: |seed| {
        let mut script = Script::new(seed, 4, 1, 30);
        let start = script.start();
        let clock = Fault::Clock {
            class: Class::Clock1970,
            node: ANNA,
            by_ms: 0,
            for_ms: 600_000,
        };
        script.fault(start, clock);
        script.post(start + 60, ANNA);
        script.post(start + 90, 1);
        script.post(start + 120, ANNA);
        script.done()
    },
    before: |world| world.all_alike(&world.all_but(&[])),
    end: |world| {
        world.each(world.all_but(&[]), |node| {
            match world.posts_by(node, ANNA)?.len() {
                2 => Ok(()),
                posts => Err(format!("has {posts} of the two posts")),
            }
        })
    },
};

/// Calls to a disk within which a post is written or taken in, and two more.
const POST_CALLS: u64 = 4;
/// Calls within which new keys are, which go through the journal and the vault too.
const KEYS_CALLS: u64 = 12;
/// Space between two, until nobody doubts any more what the crash before may have taken.
const POSTS_EVERY: u64 = 600;
/// Two do it by turns, and nobody renews his keys twice in six hours (K5).
const KEYS_EVERY: u64 = 7 * HOUR / 2;

pub(super) const CRASH_POINTS: Scenario = Scenario {
    name: "crash-points",
    what: "a machine loses power after every number of disk calls, while it writes and while it takes in: nothing it told is lost, and it needs nobody to mend it",
    script: |seed| {
        let minutes = (POST_CALLS * 2 * POSTS_EVERY + KEYS_CALLS * 2 * KEYS_EVERY) / 60 + 10;
        let mut script = Script::new(seed, 3, 1, minutes);
        script.config.disks.insert(ANNA);
        script.config.on.insert(Class::CrashMidWrite);
        let mut at = script.start();
        let channel = 1;
        for (calls, every, act) in [
            (POST_CALLS, POSTS_EVERY, Act::Post { channel, len: 40 }),
            (KEYS_CALLS, KEYS_EVERY, Act::UpdateKeys),
        ] {
            for after in 0..calls {
                for who in [ANNA, 1] {
                    let crash = Fault::Crash {
                        class: Class::CrashMidWrite,
                        node: ANNA,
                        after,
                        down_ms: 1_000,
                    };
                    script.fault(at, crash);
                    script.act(at, who, act.clone());
                    script.post(at + 30, 3 - who);
                    at += every;
                }
            }
        }
        script.done()
    },
    before: nothing,
    end: |world| {
        world.fired_at_least(Class::CrashMidWrite, KEYS_CALLS * 2)?;
        world.all_alike(&world.all_but(&[]))
    },
};
