//! Where rank alone does not decide, or decides for good: admins together, and Seals.

use node::Weight;
use node::view::{PostState, PostView};

use super::cast::Script;
use super::{Scenario, nothing};
use crate::schedule::{Act, What};

const JOHN: u16 = 3;
const BOB: u16 = 2;
const HOUR: u64 = 3_600;
/// How many posts of one person in a listed scope may be late.
const QUOTA: usize = 512;

pub(super) const QUORUM: Scenario = Scenario {
    name: "quorum",
    what: "the senior admin goes rogue while the owner is away: the two others remove him, whatever he does meanwhile",
    script: |seed| {
        let mut script = Script::new(seed, 6, 1, 20);
        let start = script.start();
        for (after, whom) in [(0, 2), (5, 3)] {
            script.act(start + after, 0, Act::Role { whom, weight: 3 });
        }
        // The owner is gone until it is over.
        script.cut(start + 30, start + 900, &[0], &[0]);
        let rogue = 1;
        script.act(start + 60, 2, Act::Ban { whom: rogue });
        script.act(
            start + 70,
            2,
            Act::Propose {
                whom: rogue,
                deed: 0,
            },
        );
        script.act(start + 80, 3, Act::Sign);
        // He bans them all before he hears of it.
        script.cut(start + 85, start + 300, &[rogue], &[0]);
        script.act(start + 90, 2, Act::Bring);
        script.act(start + 95, rogue, Act::Ban { whom: 2 });
        script.act(start + 96, rogue, Act::Kick { whom: 3 });
        script.act(start + 97, rogue, Act::Role { whom: 4, weight: 3 });
        script.post(start + 400, 2);
        script.post(start + 420, 3);
        script.done()
    },
    before: nothing,
    end: |world| {
        let stay = [0, 2, 3, 4, 5];
        world.members_are(&stay, &stay)?;
        world.weight_is(&stay, 2, Weight::ADMIN)?;
        world.weight_is(&stay, 3, Weight::ADMIN)?;
        world.weight_is(&stay, 4, Weight::MEMBER)?;
        for who in [2, 3] {
            world.last_post_is(&stay, who, |state| *state == PostState::Normal)?;
        }
        world.in_one_epoch(&stay)?;
        world.all_alike(&stay)
    },
};

/// John writes while he is cut off; Bob kicks him; after three days the owner seals.
fn late_and_sealed(seed: u64, posts: u64, back_before_the_seal: bool) -> Script {
    let mut script = Script::new(seed, 5, 1, 80 * 60);
    let start = script.start();
    let back = if back_before_the_seal {
        start + 900
    } else {
        start + 76 * HOUR
    };
    script.cut(start, back, &[JOHN], &[0]);
    for nth in 0..posts {
        let (channel, len) = (1, 20);
        let act = Act::Post { channel, len };
        let at = (start + 60) * 1_000 + nth * 700;
        script.add(at, What::Act { who: JOHN, act });
    }
    script.act(start + 500, BOB, Act::Kick { whom: JOHN });
    script.act(start + 74 * HOUR, 0, Act::Seal);
    script.post(start + 79 * HOUR, 4);
    script
}

/// By the seed, the numbers around the quota.
fn how_many(seed: u64) -> u64 {
    match seed % 4 {
        0 => 1,
        1 => 511,
        2 => 512,
        _ => 513,
    }
}

fn refused(post: &PostView) -> bool {
    matches!(post.state, PostState::Refused { rule: "D3", .. })
}

pub(super) const SEAL_NAMES: Scenario = Scenario {
    name: "seal-late-shown",
    what: "John wrote 1, 511, 512 or 513 late posts that all have seen when the owner seals: up to 512 stay for good, and no more",
    script: |seed| late_and_sealed(seed, how_many(seed), true).done(),
    before: nothing,
    end: |world| {
        let stay = [0, 1, 2, 4];
        let posts = how_many(world.config.seed) as usize;
        world.members_are(&stay, &stay)?;
        world.each(stay, |node| {
            let all = world.posts_by(node, JOHN)?;
            let kept = all.iter().filter(|p| p.state == PostState::Normal).count();
            let gone = all.iter().skip(kept).filter(|p| refused(p)).count();
            let expected = (posts.min(QUOTA), posts - posts.min(QUOTA));
            if (kept, gone) == expected {
                return Ok(());
            }
            let len = all.len();
            Err(format!("of {len} posts {kept} stay and {gone} are refused"))
        })?;
        world.all_alike(&stay)
    },
};

pub(super) const SEAL_CLOSES: Scenario = Scenario {
    name: "seal-late-unseen",
    what: "John wrote 1, 511, 512 or 513 posts that nobody had seen when the owner sealed: none of them ever counts",
    script: |seed| late_and_sealed(seed, how_many(seed), false).done(),
    before: nothing,
    end: |world| {
        let stay = [0, 1, 2, 4];
        let posts = how_many(world.config.seed) as usize;
        world.members_are(&stay, &stay)?;
        world.each(stay, |node| {
            let all = world.posts_by(node, JOHN)?;
            if all.len() == posts && all.iter().all(refused) {
                return Ok(());
            }
            let gone = all.iter().filter(|p| refused(p)).count();
            Err(format!("of {} posts {gone} are refused", all.len()))
        })?;
        world.all_alike(&stay)
    },
};
