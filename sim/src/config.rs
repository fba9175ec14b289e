//! What one run is like: drawn from its seed, or given by name.
//!
//! A *swarm* draw first decides which fault classes are on at all, then their rates. With all
//! of them always on, each would hide the others.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::fault::Class;
use crate::model::Signatures;
use crate::queue::Millis;
use crate::rng::{Seed, Stream};

/// What people do and what goes wrong, by theme.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, clap::ValueEnum,
)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Profile {
    /// People talk in channels.
    Chat,
    /// People open threads, answer, edit and react.
    Forum,
    /// Phones: frozen for hours, awake for seconds.
    Mobile,
    /// Members with valid keys who cheat.
    Byz,
    /// Disks that lose, tear, flip, fill and fail.
    Storage,
    /// Moderators act all at once.
    Moderation,
    /// Thirty people come in at once.
    Onboarding,
    /// A crowd comes in, floods, and is removed.
    Raid,
    /// Relays that lie.
    Relays,
    /// Nothing goes wrong: for measuring.
    Calm,
}

impl Profile {
    /// Those that a swarm draws from.
    pub(crate) const SWARM: [Self; 9] = [
        Self::Chat,
        Self::Forum,
        Self::Mobile,
        Self::Byz,
        Self::Storage,
        Self::Moderation,
        Self::Onboarding,
        Self::Raid,
        Self::Relays,
    ];
}

/// What signs and seals in a world.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Crypto {
    /// Hashes of the same sizes that fail in the same ways (`oplog::stub`).
    Stub,
    /// What people run. Capsules without a word about it are from before there was a choice.
    #[default]
    Real,
}

impl Crypto {
    /// One seed in ten is real: what hangs on the true primitives must not go unseen.
    const fn of_seed(seed: u64) -> Self {
        if seed % 10 == 3 {
            Self::Real
        } else {
            Self::Stub
        }
    }

    /// What the model takes for a signature.
    pub(crate) const fn signatures(self) -> Signatures {
        match self {
            Self::Stub => Signatures::Stub,
            Self::Real => Signatures::Ed25519,
        }
    }

    /// Makes this thread compute so, until what it returns is dropped.
    pub(crate) fn enter(self) -> oplog::stub::Entered {
        oplog::stub::enter(self == Self::Stub)
    }
}

/// How the line between a device and a relay behaves.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Line {
    /// Frames lost, in a million.
    pub(crate) loss_ppm: u32,
    /// Frames doubled, in a million.
    pub(crate) duplicate_ppm: u32,
    /// Shortest way, in milliseconds.
    pub(crate) delay_min_ms: u64,
    /// Mean of what comes on top, in milliseconds.
    pub(crate) delay_mean_ms: u64,
    /// Frames that take fifty times as long, in a million.
    pub(crate) tail_ppm: u32,
    /// Bytes a second; 0: no limit.
    pub(crate) bytes_per_sec: u64,
    /// Frames that may wait for the line; 0: no limit.
    pub(crate) queue_frames: u64,
}

impl Line {
    /// A line without faults.
    pub(crate) const fn good() -> Self {
        Self {
            loss_ppm: 0,
            duplicate_ppm: 0,
            delay_min_ms: 20,
            delay_mean_ms: 0,
            tail_ppm: 0,
            bytes_per_sec: 0,
            queue_frames: 0,
        }
    }
}

/// One run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Config {
    pub(crate) seed: u64,
    pub(crate) profile: Profile,
    #[serde(default)]
    pub(crate) crypto: Crypto,
    /// People, each with one device.
    pub(crate) nodes: u16,
    pub(crate) relays: u16,
    /// How long the safety phase lasts, in milliseconds.
    pub(crate) lasts_ms: Millis,
    /// Until when nothing goes wrong, so that people can meet.
    pub(crate) calm_ms: Millis,
    pub(crate) line: Line,
    /// Devices with a disk below them; the others keep everything in memory.
    pub(crate) disks: BTreeSet<u16>,
    /// Members who cheat. Their own nodes are not judged.
    pub(crate) byzantine: BTreeSet<u16>,
    /// People who were struck out: their devices never run, and everybody else draws as before.
    #[serde(default)]
    pub(crate) absent: BTreeSet<u16>,
    /// Fault classes that are on.
    pub(crate) on: BTreeSet<Class>,
    /// The scenario that this is, by name; drawn from the seed otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) scenario: Option<String>,
    /// How long the healed world may take, if it is to be shorter than [`LIVENESS_MS`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) liveness_ms: Option<Millis>,
    /// The deliberate bug that is on, by name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) mutant: Option<String>,
    /// The number that is another than the chosen one, for all nodes alike.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) tuned: Option<Tuned>,
    /// Mean time between two acts of one person, in milliseconds.
    pub(crate) act_every_ms: u64,
    /// Mean time between two faults of one class, in milliseconds.
    pub(crate) fault_every_ms: u64,
}

/// Another value of a number.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Tuned {
    /// Of which, by name.
    pub(crate) knob: String,
    pub(crate) value: u64,
}

/// The longest a healed world may take to agree.
pub(crate) const LIVENESS_MS: Millis = 3 * 3_600_000;
/// How much longer where somebody of the core was added again by somebody outside of it, and the answer
/// got lost: nobody else may add them before 6 hours have passed (K6).
pub(crate) const READD_MS: Millis = 4 * 3_600_000;

impl Config {
    /// Draws a run of some theme.
    pub(crate) fn draw(seed: u64, profile: Option<Profile>) -> Self {
        let mut s = Seed(seed).stream("config");
        let profile = profile.unwrap_or_else(|| Profile::SWARM[s.below(9) as usize]);
        let nodes = match profile {
            Profile::Onboarding => s.within(8, 31),
            Profile::Raid => s.within(6, 14),
            Profile::Calm => 20,
            _ => s.within(2, 9),
        } as u16;
        let relays = match profile {
            Profile::Calm => 1,
            Profile::Relays => s.within(2, 3) as u16,
            _ => s.within(1, 3) as u16,
        };
        let minutes = match profile {
            Profile::Mobile => s.within(120, 72 * 60),
            Profile::Calm => 60,
            Profile::Onboarding => s.within(10, 40),
            _ => s.within(10, 120),
        };
        let mut config = Self {
            seed,
            profile,
            crypto: Crypto::of_seed(seed),
            nodes,
            relays,
            lasts_ms: minutes * 60_000,
            calm_ms: Self::draw_calm(&mut s, nodes),
            line: Line::good(),
            disks: BTreeSet::new(),
            byzantine: BTreeSet::new(),
            absent: BTreeSet::new(),
            on: BTreeSet::new(),
            scenario: None,
            liveness_ms: None,
            mutant: None,
            tuned: None,
            act_every_ms: 0,
            fault_every_ms: 0,
        };
        config.draw_on(&mut s);
        config.draw_line(&mut s);
        let disk_share = if profile == Profile::Storage {
            800_000
        } else {
            250_000
        };
        for node in 0..nodes {
            if profile != Profile::Calm && s.chance(disk_share) {
                config.disks.insert(node);
            }
        }
        if config.on.iter().any(|class| class.group() == "byzantine") {
            // The founder stays honest: otherwise nobody need ever come in.
            let most = u64::from(nodes.saturating_sub(2));
            let count = if profile == Profile::Byz {
                s.within(1, most.max(1))
            } else {
                1
            };
            for node in 0..count.min(most) {
                config.byzantine.insert(nodes - 1 - node as u16);
            }
        }
        // The longer a run, the rarer what happens: every run costs about the same.
        let acts = s.within(20, 160);
        config.act_every_ms = (config.lasts_ms * u64::from(nodes) / acts).max(2_000);
        let faults = s.within(4, 30);
        config.fault_every_ms =
            (config.lasts_ms * config.on.len().max(1) as u64 / faults).max(1_000);
        for class in Class::ALL.iter().filter(|class| class.is_late()) {
            let mut s = Seed(seed).stream(&format!("config/{class:?}"));
            if profile == Profile::Byz && !config.byzantine.is_empty() && s.chance(400_000) {
                config.on.insert(*class);
            }
        }
        config
    }

    /// Makes a long world short: the same acts and faults, closer together.
    pub(crate) fn squeeze(&mut self, lasts_ms: Millis) {
        if self.lasts_ms <= lasts_ms {
            return;
        }
        let fewer = |ms: Millis, least: Millis| (ms * lasts_ms / self.lasts_ms).max(least);
        self.act_every_ms = fewer(self.act_every_ms, 2_000);
        self.fault_every_ms = fewer(self.fault_every_ms, 1_000);
        self.lasts_ms = lasts_ms;
        self.calm_ms = self.calm_ms.min(lasts_ms / 4);
    }

    fn draw_calm(s: &mut Stream, nodes: u16) -> Millis {
        // One run in four has no calm beginning: people meet in the storm.
        if s.chance(250_000) {
            0
        } else {
            60_000 + u64::from(nodes) * 8_000
        }
    }

    fn draw_on(&mut self, s: &mut Stream) {
        for class in Class::ALL.iter().filter(|class| !class.is_late()) {
            let themed = match (self.profile, class.group()) {
                (Profile::Calm, _) => 0,
                (Profile::Byz, "byzantine") => 500_000,
                (_, "byzantine") => 0,
                (Profile::Storage, "disk" | "crash") => 700_000,
                (Profile::Relays, "relay") => 500_000,
                (Profile::Mobile, "churn") => 700_000,
                (_, "relay") => 80_000,
                (_, "disk") => 150_000,
                _ => 250_000,
            };
            // Rare ones make most of a run pointless: they come alone.
            let rare = matches!(
                class,
                Class::ClockYears
                    | Class::Clock1970
                    | Class::Clone
                    | Class::Restore
                    | Class::RelayLosesAll
            );
            let chance = if rare { themed / 4 } else { themed };
            if s.chance(chance) {
                self.on.insert(*class);
            }
        }
    }

    fn draw_line(&mut self, s: &mut Stream) {
        let on = |class| self.on.contains(&class);
        let line = Line {
            loss_ppm: if on(Class::Loss) {
                s.within(1_000, 300_000) as u32
            } else {
                0
            },
            duplicate_ppm: if on(Class::Duplicate) {
                s.within(1_000, 500_000) as u32
            } else {
                0
            },
            delay_min_ms: s.within(1, 30),
            delay_mean_ms: if on(Class::Delay) || on(Class::Reorder) {
                s.within(5, 800)
            } else {
                0
            },
            tail_ppm: if on(Class::Tail) { 10_000 } else { 0 },
            bytes_per_sec: if on(Class::Bandwidth) {
                s.within(4_000, 1_000_000)
            } else {
                0
            },
            queue_frames: if on(Class::QueueFull) {
                s.within(2, 20)
            } else {
                0
            },
        };
        self.line = line;
    }

    /// Says whether nothing goes wrong here at all.
    pub(crate) fn is_quiet(&self) -> bool {
        let cuts = self.scenario.as_deref().is_some_and(|name| name != "quiet");
        self.profile == Profile::Calm && self.on.is_empty() && self.byzantine.is_empty() && !cuts
    }

    /// Returns a short name of everything but the seed.
    pub(crate) fn hash(&self) -> String {
        let mut plain = self.clone();
        plain.seed = 0;
        let json = serde_json::to_vec(&plain).unwrap_or_default();
        blake3::hash(&json).to_hex().chars().take(8).collect()
    }
}
