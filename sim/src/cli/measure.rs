//! `sim cover`, `sim bench`, `sim dump`: what fires, how fast it goes, what a device holds.

use std::io;
use std::process::ExitCode;
use std::time::Instant;

use clap::{Args, ValueEnum};
use serde::Serialize;

use crate::check::{CHECKERS, SOMETIMES, Sometimes};
use crate::cli::capsules::Source;
use crate::cli::one::{duration, seed, time};
use crate::config::{Config, Crypto, Profile};
use crate::fault::{Class, Fired, NOT_MET};
use crate::run;
use crate::scenario;
use crate::schedule::{Act, Entry, What};
use crate::world::World;

/// Classes that a campaign must show to fire.
const CLASSES_MIN: usize = 45;

/// Shows that every fault class really fires.
#[derive(Debug, Args)]
pub(crate) struct Cover {
    /// Seeds tried for each theme, until all of its classes have fired.
    #[arg(long, default_value = "60", value_parser = seed)]
    seeds: u64,
}

impl Cover {
    pub(crate) fn run(&self, json: bool) -> ExitCode {
        let (mut fired, mut sometimes) = (Fired::default(), Sometimes::default());
        let mut worlds = 0;
        // What nobody can tell from a config before it happened needs worlds of every theme.
        let (quiet, entries) = scenario::QUIET.build(1);
        let outcome = run::run(&quiet, &entries, 0);
        sometimes.add(&outcome.sometimes);
        for seed in 0..self.seeds {
            for profile in Profile::SWARM {
                let config = Config::draw(seed, Some(profile));
                let new_class = config.on.iter().any(|class| !fired.0.contains_key(class));
                // Only worlds that can show something new.
                if !new_class && never(&sometimes).next().is_none() {
                    continue;
                }
                let outcome = run::run(&config, &run::schedule(&config), 0);
                fired.add(&outcome.fired);
                sometimes.add(&outcome.sometimes);
                worlds += 1;
            }
        }
        let missing: Vec<&str> = never(&sometimes).collect();
        if json {
            let all = serde_json::json!({
                "worlds": worlds, "fired": fired, "sometimes": sometimes, "never": missing,
            });
            println!("{all}");
        } else {
            let mut group = "";
            for class in Class::ALL {
                if class.group() != group {
                    group = class.group();
                    println!("{group}");
                }
                let count = fired.0.get(class).copied().unwrap_or(0);
                let name = format!("{class:?}");
                println!("  {name:<22}{count:>9}  {}", class.what());
            }
            println!("sometimes");
            for (what, count) in &sometimes.0 {
                println!("  {count:>9}  {what}");
            }
            for what in &missing {
                println!("      NEVER  {what}");
            }
            println!("checkers");
            for (id, what) in CHECKERS {
                println!("  {id:<5}{what}");
            }
            println!("not met, and why");
            for (what, why) in NOT_MET {
                println!("  {what}: {why}");
            }
            println!(
                "{} of {} classes fired in {worlds} worlds; {} of {} things happened that must sometimes",
                fired.0.len(),
                Class::ALL.len(),
                SOMETIMES.len() - missing.len(),
                SOMETIMES.len()
            );
        }
        ExitCode::from(u8::from(fired.0.len() < CLASSES_MIN || !missing.is_empty()))
    }
}

/// What must happen sometimes and did not.
fn never(sometimes: &Sometimes) -> impl Iterator<Item = &'static str> {
    let all = SOMETIMES.iter().copied();
    all.filter(|what| !sometimes.0.contains_key(*what))
}

/// Measures how fast worlds go, in processor time of one core: of other work on the machine it
/// shows nothing.
#[derive(Debug, Args)]
pub(crate) struct Bench {
    /// People.
    #[arg(long, default_value_t = 20)]
    nodes: u16,
    /// Simulated minutes of chat.
    #[arg(long, default_value_t = 60)]
    minutes: u64,
    /// Mean time between two acts of one person.
    #[arg(long, default_value = "60s", value_parser = duration)]
    act_every: u64,
    /// How often each is measured; the best counts.
    #[arg(long, default_value_t = 3)]
    rounds: u32,
    /// What signs and seals; both, one after the other, unless given.
    #[arg(long)]
    crypto: Option<Crypto>,
    /// How people write; both, one after the other, unless given.
    #[arg(long)]
    load: Option<Load>,
    /// Bursts of the dense load, one a minute.
    #[arg(long, default_value_t = 5)]
    bursts: u64,
    /// Posts of one person in a burst, 1 ms apart; a lane takes 120 a minute.
    #[arg(long, default_value_t = 50)]
    burst: u64,
}

/// How people write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "snake_case")]
enum Load {
    /// As people chat: mostly one op at a time.
    Chat,
    /// Everybody at once, in bursts: many ops to an envelope.
    Dense,
}

/// What one kind of world came to.
struct Measured {
    load: Load,
    crypto: Crypto,
    cpu_us: u64,
    wall_us: u64,
    outcome: run::Outcome,
}

impl Measured {
    /// So many a second of processor time.
    fn per_sec(&self, n: u64) -> u64 {
        (u128::from(n) * 1_000_000 / u128::from(self.cpu_us.max(1))) as u64
    }

    fn json(&self) -> serde_json::Value {
        serde_json::json!({
            "load": self.load, "crypto": self.crypto, "nodes": self.outcome.nodes, "sim_ms": self.outcome.sim_ms,
            "cpu_us": self.cpu_us, "wall_us": self.wall_us,
            "simulated_seconds_per_cpu_second": self.per_sec(self.outcome.sim_ms) / 1_000,
            "deliveries_per_cpu_second": self.per_sec(self.outcome.delivered),
            "deliveries_to_others_per_cpu_second": self.per_sec(self.outcome.taken),
            "frames_per_cpu_second": self.per_sec(self.outcome.frames),
            "events_per_cpu_second": self.per_sec(self.outcome.events),
            "ops": self.outcome.ops, "deliveries": self.outcome.delivered,
            "deliveries_to_others": self.outcome.taken,
            "frames": self.outcome.frames, "trace": self.outcome.trace_hash,
        })
    }
}

impl Bench {
    pub(crate) fn run(&self, json: bool) -> ExitCode {
        let kinds = match self.crypto {
            Some(one) => vec![one],
            None => vec![Crypto::Stub, Crypto::Real],
        };
        let loads = match self.load {
            Some(one) => vec![one],
            None => vec![Load::Chat, Load::Dense],
        };
        let mut failed = false;
        for (crypto, load) in kinds
            .iter()
            .flat_map(|crypto| loads.iter().map(move |load| (*crypto, *load)))
        {
            let rounds = (0..self.rounds.max(1)).map(|_| self.measure(crypto, load));
            let Some(best) = rounds.min_by_key(|round| round.cpu_us) else {
                return ExitCode::FAILURE;
            };
            failed |= best.outcome.failure.is_some();
            if json {
                println!("{}", best.json());
                continue;
            }
            let o = &best.outcome;
            println!(
                "{crypto:?}, {load:?}: {} people for {}, {} ops: {} ms of processor time",
                o.nodes,
                time(o.sim_ms),
                o.ops,
                best.cpu_us / 1000
            );
            println!(
                "  {} simulated seconds, {} deliveries to others, {} frames, {} events a second",
                best.per_sec(o.sim_ms) / 1_000,
                best.per_sec(o.taken),
                best.per_sec(o.frames),
                best.per_sec(o.events)
            );
        }
        ExitCode::from(u8::from(failed))
    }

    #[expect(clippy::disallowed_methods, reason = "measuring is what it is for")]
    fn measure(&self, crypto: Crypto, load: Load) -> Measured {
        let mut config = Config::draw(1, Some(Profile::Calm));
        config.crypto = crypto;
        config.nodes = self.nodes;
        config.lasts_ms = self.minutes * 60_000;
        config.act_every_ms = self.act_every;
        let entries = match load {
            Load::Chat => run::schedule(&config),
            Load::Dense => self.dense(&mut config),
        };
        let (since, cpu) = (Instant::now(), cpu_us());
        let outcome = run::run(&config, &entries, 0);
        Measured {
            load,
            crypto,
            cpu_us: cpu_us() - cpu,
            wall_us: since.elapsed().as_micros() as u64,
            outcome,
        }
    }
}

impl Bench {
    /// Everybody comes in as for the chat, and then posts in bursts.
    fn dense(&self, config: &mut Config) -> Vec<Entry> {
        let from = 60_000 + u64::from(config.nodes) * 8_000;
        config.lasts_ms = from + self.bursts * BURST_EVERY_MS;
        let mut entries = run::schedule(config);
        entries.retain(|entry| {
            let comes_in = matches!(
                entry.what,
                What::Act {
                    act: Act::Found | Act::Invite { .. } | Act::Join,
                    ..
                }
            );
            comes_in && entry.at < from
        });
        for burst in 0..self.bursts {
            for nth in 0..self.burst {
                let at = from + burst * BURST_EVERY_MS + nth;
                entries.extend((0..config.nodes).map(|who| Entry {
                    at,
                    what: What::Act {
                        who,
                        act: Act::Post {
                            channel: 0,
                            len: BURST_POST_LEN,
                        },
                    },
                }));
            }
        }
        entries
    }
}

/// From one burst to the next: the span over which the pace of a lane is counted.
const BURST_EVERY_MS: u64 = 61_000;
/// Length of a post in a burst.
const BURST_POST_LEN: u32 = 80;

/// Processor time that this process took so far, in microseconds.
pub(crate) fn cpu_us() -> u64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    let micros = time.tv_sec * 1_000_000 + time.tv_nsec / 1_000;
    u64::try_from(micros).unwrap_or(0)
}

/// Prints what a device holds at the end, as `decent audit dump --json` does.
#[derive(Debug, Args)]
pub(crate) struct Dump {
    #[command(flatten)]
    source: Source,
    /// Which device.
    #[arg(long, default_value_t = 0)]
    device: u16,
}

impl Dump {
    pub(crate) fn run(&self) -> io::Result<ExitCode> {
        let (config, entries) = self.source.world()?;
        let lasts = config.lasts_ms;
        let lines = crate::hashing::in_fixed_order(|| {
            let _entered = config.crypto.enter();
            let mut world = World::new(config, entries, 0);
            world.run_until(world.config.calm_ms);
            world.line = world.config.line.clone();
            world.run_until(lasts);
            world.dump_lines(self.device)
        })?;
        for line in lines {
            println!("{line}");
        }
        Ok(ExitCode::SUCCESS)
    }
}
