//! What people set out to do: who comes in when, and what they do once they are there.

use crate::config::{Config, Profile};
use crate::queue::Millis;
use crate::rng::{Seed, Stream};
use crate::schedule::{Act, Entry, What};

/// Weights by which acts are drawn, by theme.
type Mix = &'static [(u32, Deed)];

/// A sort of act, before its numbers are drawn.
#[derive(Clone, Copy, Debug)]
enum Deed {
    Post,
    Thread,
    Reply,
    Edit,
    Delete,
    Restore,
    React,
    Pin,
    Kick,
    Ban,
    Unban,
    Mute,
    Unmute,
    Role,
    Channel,
    Rename,
    Policy,
    Leave,
    UpdateKeys,
    Invite,
    Revoke,
    Join,
    Approve,
    Sync,
    Seal,
    Attest,
    Propose,
    Sign,
    Bring,
    Freeze,
}

const CHAT: Mix = &[
    (60, Deed::Post),
    (15, Deed::Reply),
    (5, Deed::Edit),
    (10, Deed::React),
    (3, Deed::Delete),
    (3, Deed::Sync),
    (1, Deed::UpdateKeys),
    (1, Deed::Channel),
];
const FORUM: Mix = &[
    (15, Deed::Thread),
    (40, Deed::Reply),
    (10, Deed::Edit),
    (20, Deed::React),
    (5, Deed::Delete),
    (5, Deed::Pin),
    (3, Deed::Rename),
];
const MODERATION: Mix = &[
    (30, Deed::Post),
    (8, Deed::Reply),
    (8, Deed::Delete),
    (5, Deed::Restore),
    (6, Deed::Kick),
    (6, Deed::Ban),
    (5, Deed::Unban),
    (6, Deed::Mute),
    (4, Deed::Unmute),
    (10, Deed::Role),
    (2, Deed::Policy),
    (1, Deed::Leave),
    (6, Deed::Join),
    (2, Deed::Invite),
    (2, Deed::Revoke),
    (1, Deed::Channel),
    (2, Deed::UpdateKeys),
    (3, Deed::Approve),
];
const RAID: Mix = &[
    (70, Deed::Post),
    (6, Deed::Ban),
    (6, Deed::Kick),
    (4, Deed::Mute),
    (6, Deed::Delete),
    (6, Deed::Join),
    (2, Deed::Policy),
];

/// What admins do together, and what makes the past final. Drawn beside the rest, in every third
/// world, so that others are what they were.
const FINALITY: Mix = &[
    (2, Deed::Seal),
    (4, Deed::Attest),
    (3, Deed::Propose),
    (5, Deed::Sign),
    (5, Deed::Bring),
];
/// How much rarer that is than the rest.
const FINALITY_RARER: Millis = 4;

/// Proving that a device signed two ops for one place. Drawn beside the rest as well, in another third
/// of the worlds; there is something to prove where somebody cheats, or a disk went back in time.
const WITNESS: Mix = &[(1, Deed::Freeze)];
/// How much rarer that is than the rest.
const WITNESS_RARER: Millis = 6;

/// Draws everything that people set out to do.
pub(crate) fn draw(config: &Config) -> Vec<Entry> {
    let seed = Seed(config.seed);
    let mut entries = arrivals(config, seed);
    let mix = match config.profile {
        Profile::Chat
        | Profile::Mobile
        | Profile::Storage
        | Profile::Relays
        | Profile::Onboarding
        | Profile::Calm => CHAT,
        Profile::Forum => FORUM,
        Profile::Moderation | Profile::Byz => MODERATION,
        Profile::Raid => RAID,
    };
    for who in 0..config.nodes {
        let s = seed.stream(&format!("act/{who}"));
        spread(config, who, mix, config.act_every_ms, s, &mut entries);
    }
    let together = matches!(config.profile, Profile::Moderation | Profile::Byz);
    if together && config.seed.is_multiple_of(3) {
        let every = config.act_every_ms.saturating_mul(FINALITY_RARER);
        for who in 0..config.nodes {
            let s = seed.stream(&format!("finality/{who}"));
            spread(config, who, FINALITY, every, s, &mut entries);
        }
    }
    if together && config.seed % 3 == 1 {
        let every = config.act_every_ms.saturating_mul(WITNESS_RARER);
        for who in 0..config.nodes {
            let s = seed.stream(&format!("witness/{who}"));
            spread(config, who, WITNESS, every, s, &mut entries);
        }
    }
    entries
}

/// Spreads acts of one person over the time that the world lasts.
fn spread(
    config: &Config,
    who: u16,
    mix: Mix,
    every: Millis,
    mut s: Stream,
    entries: &mut Vec<Entry>,
) {
    let mut at = config.calm_ms.max(20_000) + s.below(every);
    while at < config.lasts_ms {
        let act = one(config, who, mix, &mut s);
        entries.push(Entry {
            at,
            what: What::Act { who, act },
        });
        at += s.exponential(every).max(50);
    }
}

/// The founder opens the Space, people come in, some get rights.
fn arrivals(config: &Config, seed: Seed) -> Vec<Entry> {
    let mut s = seed.stream("arrivals");
    let mut entries = Vec::new();
    let mut add = |at, who, act| {
        entries.push(Entry {
            at,
            what: What::Act { who, act },
        })
    };
    add(1_000, 0, Act::Found);
    add(
        3_000,
        0,
        Act::Invite {
            uses: 200,
            approval: false,
        },
    );
    let at_once = matches!(config.profile, Profile::Onboarding);
    for who in 1..config.nodes {
        let at: Millis = if at_once {
            5_000 + s.below(3_000)
        } else {
            5_000 + u64::from(who) * 6_000 + s.below(2_000)
        };
        add(at, who, Act::Join);
        // Whoever failed tries once more, like people do.
        add(at + config.lasts_ms / 3, who, Act::Join);
    }
    if config.nodes > 2 && !matches!(config.profile, Profile::Calm) {
        let at = (config.calm_ms / 2).max(30_000) + u64::from(config.nodes) * 3_000;
        add(at, 0, Act::Role { whom: 1, weight: 3 });
        if config.nodes > 3 {
            add(at + 500, 0, Act::Role { whom: 2, weight: 2 });
        }
    }
    entries
}

fn one(config: &Config, who: u16, mix: Mix, s: &mut Stream) -> Act {
    let total: u32 = mix.iter().map(|(weight, _)| weight).sum();
    let mut draw = s.below(u64::from(total)) as u32;
    let mut deed = Deed::Post;
    for (weight, candidate) in mix {
        if draw < *weight {
            deed = *candidate;
            break;
        }
        draw -= weight;
    }
    let nth = s.below(64) as u32;
    let len = [20, 60, 200, 3_000][s.below(4) as usize];
    let mut whom = s.below(u64::from(config.nodes)) as u16;
    if whom == who {
        whom = (whom + 1) % config.nodes.max(1);
    }
    let channel = s.below(4) as u16;
    match deed {
        Deed::Post => Act::Post { channel, len },
        Deed::Thread => Act::Thread { channel: 2, len },
        Deed::Reply => Act::Reply { nth, len },
        Deed::Edit => Act::Edit { nth },
        Deed::Delete => Act::Delete { nth },
        Deed::Restore => Act::Restore { nth },
        Deed::React => Act::React {
            nth,
            emoji: s.below(3) as u8,
            add: s.below(4) > 0,
        },
        Deed::Pin => Act::Pin {
            nth,
            pin: s.below(3) > 0,
        },
        Deed::Kick => Act::Kick { whom },
        Deed::Ban => Act::Ban { whom },
        Deed::Unban => Act::Unban { whom },
        Deed::Mute => Act::Mute {
            whom,
            secs: s.within(30, 3_600) as u32,
        },
        Deed::Unmute => Act::Unmute { whom },
        Deed::Role => Act::Role {
            whom,
            weight: s.below(4) as u8,
        },
        Deed::Channel => Act::Channel,
        Deed::Rename => Act::Rename {
            channel,
            archived: s.below(8) == 0,
        },
        Deed::Policy => Act::Policy {
            late: s.below(3) as u8,
        },
        Deed::Leave => Act::Leave,
        Deed::UpdateKeys => Act::UpdateKeys,
        Deed::Invite => Act::Invite {
            uses: s.within(1, 20) as u32,
            approval: s.below(4) == 0,
        },
        Deed::Revoke => Act::RevokeInvite { nth },
        Deed::Join => Act::Join,
        Deed::Approve => Act::Approve,
        Deed::Sync => Act::Sync,
        Deed::Seal => Act::Seal,
        Deed::Attest => Act::Attest { nth },
        Deed::Propose => Act::Propose {
            whom,
            deed: s.below(6) as u8,
        },
        Deed::Sign => Act::Sign,
        Deed::Bring => Act::Bring,
        Deed::Freeze => Act::Freeze { nth },
    }
}
