//! Who may do what, when several act at once: the questions that the protocol was made for.

use node::view::PostState;

use super::cast::Script;
use super::{End, Scenario, nothing};
use crate::fault::Class;
use crate::schedule::Act;
use crate::world::World;

/// John is 3, Bob the moderator 2, and 4 looks on.
const JOHN: u16 = 3;
const BOB: u16 = 2;
const LOOKING_ON: &[u16] = &[0, 1, 2, 4];

pub(super) const JOHN_A: Scenario = Scenario {
    name: "john-bob-a",
    what: "Bob saw John's post and removes John: the post stays as any other",
    script: |seed| {
        let mut script = Script::new(seed, 5, 1, 10);
        let start = script.start();
        script.post(start, JOHN);
        script.act(start + 30, BOB, Act::Kick { whom: JOHN });
        script.post(start + 120, 4);
        script.done()
    },
    before: nothing,
    end: |world| {
        john_is_out(world)?;
        world.last_post_is(LOOKING_ON, JOHN, |state| *state == PostState::Normal)
    },
};

pub(super) const JOHN_B: Scenario = Scenario {
    name: "john-bob-b",
    what: "Bob had not seen John's post when he removed John: it is history, flagged late",
    script: |seed| {
        let mut script = Script::new(seed, 5, 1, 10);
        let start = script.start();
        script.cut(start, start + 120, &[JOHN], &[0]);
        script.post(start + 30, JOHN);
        script.act(start + 60, BOB, Act::Kick { whom: JOHN });
        script.post(start + 300, 4);
        script.done()
    },
    before: nothing,
    end: |world| {
        john_is_out(world)?;
        world.last_post_is(LOOKING_ON, JOHN, |state| {
            matches!(
                state,
                PostState::Late {
                    unverified: false,
                    quarantined: false,
                    ..
                }
            )
        })
    },
};

pub(super) const JOHN_C: Scenario = Scenario {
    name: "john-bob-c",
    what: "John writes on after he saw his removal, with a node that lets him: nobody takes it",
    script: |seed| {
        let mut script = Script::new(seed, 5, 1, 10);
        script.config.byzantine.insert(JOHN);
        let start = script.start();
        script.post(start, JOHN);
        script.act(start + 30, BOB, Act::Kick { whom: JOHN });
        for nth in 0..3 {
            let class = Class::ByzAfterRemoval;
            let at = start + 90 + u64::from(nth) * 20;
            script.act(at, JOHN, Act::Cheat { class, nth });
        }
        script.post(start + 300, 4);
        script.done()
    },
    before: nothing,
    end: |world| {
        john_is_out(world)?;
        if !world.fired.0.contains_key(&Class::ByzAfterRemoval) {
            return Err("John did not write on".to_owned());
        }
        world.each(LOOKING_ON.iter().copied(), |node| {
            match world.posts_by(node, JOHN)?.len() {
                1 => Ok(()),
                posts => Err(format!("holds {posts} posts of John's")),
            }
        })
    },
};

fn john_is_out(world: &World) -> End {
    world.members_are(LOOKING_ON, LOOKING_ON)
}

pub(super) const DUEL: Scenario = Scenario {
    name: "admin-duel",
    what: "two admins remove each other while apart: the senior one stays, everywhere",
    script: |seed| {
        let mut script = Script::new(seed, 5, 1, 15);
        let start = script.start();
        script.act(start, 0, Act::Role { whom: 2, weight: 3 });
        script.cut(start + 60, start + 200, &[1, 2], &[0]);
        script.act(start + 90, 1, Act::Kick { whom: 2 });
        script.act(start + 90, 2, Act::Kick { whom: 1 });
        // What the junior may do meanwhile falls with him.
        script.act(start + 95, 2, Act::Kick { whom: 3 });
        script.done()
    },
    before: nothing,
    end: |world| {
        let stay = [0, 1, 3, 4];
        world.members_are(&stay, &stay)
    },
};

pub(super) const DEMOTE_BAN: Scenario = Scenario {
    name: "demote-ban",
    what: "the owner demotes an admin who bans somebody at the same time: the ban is void",
    script: |seed| {
        let mut script = Script::new(seed, 5, 1, 15);
        let start = script.start();
        script.cut(start, start + 120, &[1], &[0]);
        script.act(start + 30, 1, Act::Ban { whom: 4 });
        script.act(start + 30, 0, Act::Role { whom: 1, weight: 1 });
        script.done()
    },
    before: nothing,
    end: |world| {
        let stay = world.all_but(&[]);
        world.members_are(&[0, 1, 2, 3], &stay)
    },
};

pub(super) const BAN_REINVITE: Scenario = Scenario {
    name: "ban-reinvite",
    what: "the owner bans somebody who is let in again by others at the same time: the ban holds",
    script: |seed| {
        let mut script = Script::new(seed, 5, 1, 15);
        let start = script.start();
        script.act(start - 10, 2, Act::Kick { whom: 4 });
        script.invite(start);
        script.cut(start + 60, start + 200, &[0], &[0]);
        script.act(start + 90, 0, Act::Ban { whom: 4 });
        script.act(start + 90, 4, Act::Join);
        script.done()
    },
    before: nothing,
    end: |world| {
        let stay = [0, 1, 2, 3];
        world.members_are(&stay, &stay)
    },
};

pub(super) const BANNED_ASKS: Scenario = Scenario {
    name: "banned-asks",
    what: "somebody who left is banned and asks to come in again while the owner sleeps: he stays out",
    script: |seed| {
        let mut script = Script::empty(seed, 3, 1, 5);
        script.act(1, 0, Act::Found);
        script.invite(3);
        script.act(12, 1, Act::Join);
        script.act(24, 2, Act::Join);
        script.act(58, 0, Act::Role { whom: 1, weight: 3 });
        script.act(100, 2, Act::Leave);
        script.sleep(222, 3_222, 0);
        script.act(258, 1, Act::Ban { whom: 2 });
        // The owner finds this in his mailbox, and learns of the ban as soon as of that.
        script.act(349, 2, Act::Join);
        script.done()
    },
    before: nothing,
    end: |world| world.members_are(&[0, 1], &[0, 1]),
};

pub(super) const COLLUSION: Scenario = Scenario {
    name: "collusion",
    what: "somebody banned asks friends to let him in again by the old link: nobody can",
    script: |seed| {
        let mut script = Script::new(seed, 5, 1, 15);
        let start = script.start();
        script.invite(start - 10);
        script.act(start, 1, Act::Ban { whom: 4 });
        for again in 0..4 {
            script.act(start + 60 + again * 60, 4, Act::Join);
        }
        // Nobody but the friend is there.
        script.cut(start + 100, start + 240, &[0, 1, 2], &[0]);
        script.post(start + 400, 3);
        script.done()
    },
    before: nothing,
    end: |world| {
        let stay = [0, 1, 2, 3];
        world.members_are(&stay, &stay)
    },
};

pub(super) const OWNER_STAYS: Scenario = Scenario {
    name: "owner-stays",
    what: "the only owner wants to leave, and to be a member only: a Space is never left without one",
    script: |seed| {
        let mut script = Script::new(seed, 4, 1, 10);
        let start = script.start();
        script.act(start, 0, Act::Role { whom: 0, weight: 1 });
        script.act(start + 30, 0, Act::Leave);
        script.post(start + 60, 1);
        script.done()
    },
    before: nothing,
    end: |world| {
        let all = world.all_but(&[]);
        world.members_are(&all, &all)?;
        let owner = world.user_of(0)?;
        world.each(all, |node| {
            let owns = |m: &node::view::MemberView| {
                m.user == owner && m.weight == Some(node::Weight::OWNER)
            };
            if world.members_of(node).iter().any(owns) {
                return Ok(());
            }
            Err("counts no owner".to_owned())
        })
    },
};

pub(super) const KICKED: Scenario = Scenario {
    name: "kicked-stays-out",
    what: "somebody kicked does not come back by the request that once let him in, though the link has room",
    script: |seed| {
        let mut script = Script::empty(seed, 4, 1, 15);
        script.act(1, 0, Act::Found);
        script.invite(3);
        for who in 1..4 {
            script.act(6 + u64::from(who) * 6, who, Act::Join);
        }
        let start = script.start();
        script.act(start, 0, Act::Kick { whom: 3 });
        script.post(start + 120, 1);
        script.done()
    },
    before: nothing,
    end: |world| {
        let stay = [0, 1, 2];
        world.members_are(&stay, &stay)
    },
};

/// Posts that John writes unseen: two more than are accepted late.
const LATE: usize = 514;
/// Most late posts of one lane (B16).
const QUOTA: usize = 512;

pub(super) const LATE_POSTS: Scenario = Scenario {
    name: "late-posts",
    what: "John wrote 514 posts that nobody saw before his removal: the first 512 are late, the rest refused",
    script: |seed| {
        let mut script = Script::new(seed, 5, 1, 25);
        let start = script.start();
        script.cut(start, start + 600, &[JOHN], &[0]);
        for nth in 0..LATE as u64 {
            let (channel, len) = (1, 20);
            let act = Act::Post { channel, len };
            let at = (start + 60) * 1_000 + nth * 700;
            script.add(at, crate::schedule::What::Act { who: JOHN, act });
        }
        script.act(start + 500, BOB, Act::Kick { whom: JOHN });
        script.done()
    },
    before: nothing,
    end: |world| {
        john_is_out(world)?;
        world.each(LOOKING_ON.iter().copied(), |node| {
            let posts = world.posts_by(node, JOHN)?;
            let late = |post: &node::view::PostView| matches!(post.state, PostState::Late { .. });
            let first = posts.iter().take_while(|post| late(post)).count();
            let refused = |post: &node::view::PostView| {
                matches!(post.state, PostState::Refused { rule: "D3", .. })
            };
            let then = posts
                .iter()
                .skip(first)
                .filter(|post| refused(post))
                .count();
            if (first, then) == (QUOTA, LATE - QUOTA) {
                return Ok(());
            }
            let all = posts.len();
            Err(format!(
                "of {all} posts {first} are late and {then} refused"
            ))
        })
    },
};

pub(super) const OPEN_SCOPE: Scenario = Scenario {
    name: "open-scope",
    what: "Bob removes John without knowing of a channel that John posts in: late, and unverified",
    script: |seed| {
        let mut script = Script::new(seed, 5, 1, 15);
        let start = script.start();
        script.cut(start, start + 200, &[BOB], &[0]);
        script.act(start + 30, 1, Act::Channel);
        // The fourth channel is the new one: three come with the Space.
        let (channel, len) = (3, 40);
        script.act(start + 60, JOHN, Act::Post { channel, len });
        script.act(start + 90, BOB, Act::Kick { whom: JOHN });
        script.post(start + 400, 4);
        script.done()
    },
    before: nothing,
    end: |world| {
        john_is_out(world)?;
        world.last_post_is(LOOKING_ON, JOHN, |state| {
            matches!(
                state,
                PostState::Late {
                    unverified: true,
                    ..
                }
            )
        })
    },
};

pub(super) const VOID_GRANT: Scenario = Scenario {
    name: "void-grant",
    what: "an admin makes a moderator while the owner demotes the admin: what the moderator does falls too",
    script: |seed| {
        let mut script = Script::new(seed, 5, 2, 15);
        let start = script.start();
        script.cut(start, start + 200, &[0, 2, 4], &[1]);
        script.cut(start, start + 200, &[1, JOHN], &[0]);
        let moderator = Act::Role {
            whom: JOHN,
            weight: 2,
        };
        script.act(start + 30, 1, moderator);
        script.act(start + 90, JOHN, Act::Kick { whom: 4 });
        script.act(start + 90, 0, Act::Role { whom: 1, weight: 1 });
        script.done()
    },
    before: nothing,
    end: |world| {
        let all = world.all_but(&[]);
        // 4 lost his place in the group for a while; whether he is back yet is not asked here.
        world.members_are(&[0, 1, 2, 3], &all)?;
        world.weight_is(&[0, 1, 2, 3], JOHN, node::Weight::MEMBER)
    },
};

pub(super) const COLLUDERS: Scenario = Scenario {
    name: "colluders",
    what: "an admin lifts the owner's ban of a friend, removes him and lets him in again: the ban holds",
    script: |seed| {
        let mut script = Script::new(seed, 5, 1, 15);
        let start = script.start();
        script.invite(start - 10);
        script.cut(start + 20, start + 120, &[1, 4], &[0]);
        script.act(start + 30, 0, Act::Ban { whom: 4 });
        script.act(start + 30, 1, Act::Kick { whom: 4 });
        script.act(start + 180, 1, Act::Unban { whom: 4 });
        script.act(start + 200, 4, Act::Join);
        script.act(
            start + 260,
            1,
            Act::Invite {
                uses: 5,
                approval: false,
            },
        );
        script.act(start + 280, 4, Act::Join);
        script.post(start + 400, JOHN);
        script.done()
    },
    before: nothing,
    end: |world| {
        let stay = [0, 1, 2, 3];
        world.members_are(&stay, &stay)
    },
};

pub(super) const BACKDATED: Scenario = Scenario {
    name: "backdated-commit",
    what: "an admin who was removed acts and commits as if it were before: nothing of it counts",
    script: |seed| {
        let mut script = Script::new(seed, 5, 1, 20);
        script.config.byzantine.insert(1);
        let start = script.start();
        script.act(start, 1, Act::Channel);
        script.act(start + 60, 0, Act::Kick { whom: 1 });
        for nth in 0..3 {
            let class = Class::ByzBackdateAct;
            let at = start + 120 + u64::from(nth) * 30;
            script.act(at, 1, Act::Cheat { class, nth });
        }
        script.post(start + 400, JOHN);
        script.done()
    },
    before: nothing,
    end: |world| {
        let stay = [0, 2, 3, 4];
        world.fired_at_least(Class::ByzBackdateAct, 3)?;
        world.members_are(&stay, &stay)?;
        world.weight_is(&stay, JOHN, node::Weight::MEMBER)?;
        world.weight_is(&stay, 4, node::Weight::MEMBER)?;
        world.all_alike(&stay)
    },
};

pub(super) const EQUIVOCATION: Scenario = Scenario {
    name: "equivocation",
    what: "somebody says two things at one place of his lane: everybody holds both, and shows the same",
    script: |seed| {
        let mut script = Script::new(seed, 5, 1, 15);
        script.config.byzantine.insert(JOHN);
        let start = script.start();
        script.post(start, JOHN);
        // In the second channel: the first is for announcements, where nobody takes it from him.
        let (class, nth) = (Class::ByzEquivocate, 1);
        script.act(start + 30, JOHN, Act::Cheat { class, nth });
        script.post(start + 300, 4);
        script.done()
    },
    before: nothing,
    end: |world| {
        world.fired_at_least(Class::ByzEquivocate, 1)?;
        for (one, other) in &world.memory.halves {
            for index in LOOKING_ON {
                let held = &world.devices[usize::from(*index)].accepted;
                if !held.contains(one) || !held.contains(other) {
                    return Err(format!("node {index} does not hold both halves"));
                }
            }
        }
        world.all_alike(LOOKING_ON)
    },
};
