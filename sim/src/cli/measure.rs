//! `sim cover`, `sim bench`, `sim dump`: what fires, how fast it goes, what a device holds.

use std::collections::BTreeSet;
use std::panic::resume_unwind;
use std::process::ExitCode;
use std::time::Instant;
use std::{io, thread};

use clap::{Args, ValueEnum};
use oplog::OpId;
use serde::Serialize;

use crate::check::{CHECKERS, SOMETIMES, Sometimes};
use crate::cli::capsules::Source;
use crate::cli::one::{duration, seed, time};
use crate::config::{Config, Crypto, Profile};
use crate::device::Device;
use crate::fault::{Class, Fired, NOT_MET};
use crate::run::{self, Outcome};
use crate::scenario;
use crate::schedule::{Act, Entry, Fault, What};
use crate::world::World;

/// Classes that a campaign must show to fire.
const CLASSES_MIN: usize = 45;

/// Shows that every fault class really fires. Fails if one of them did not, within these seeds.
#[derive(Debug, Args)]
pub(crate) struct Cover {
    /// Seeds tried for each theme, until all of its classes have fired.
    #[arg(long, default_value = "60", value_parser = seed)]
    seeds: u64,
    /// Worlds at once.
    #[arg(long, default_value_t = 2)]
    jobs: usize,
}

/// Runs worlds at once.
fn side_by_side(configs: &[&Config]) -> Vec<Outcome> {
    thread::scope(|scope| {
        let running: Vec<_> = configs
            .iter()
            .map(|config| scope.spawn(|| run::run(config, &run::schedule(config), 0)))
            .collect();
        let ran = running.into_iter().map(|world| world.join());
        ran.map(|world| world.unwrap_or_else(|panic| resume_unwind(panic)))
            .collect()
    })
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
            let configs = Profile::SWARM.map(|profile| Config::draw(seed, Some(profile)));
            let lacks = never(&sometimes).next().is_some();
            // Only worlds that can show something new.
            let new = |config: &&Config| {
                let mut on = config.on.iter();
                lacks || on.any(|class| !fired.0.contains_key(class))
            };
            let configs: Vec<&Config> = configs.iter().filter(new).collect();
            for batch in configs.chunks(self.jobs.max(1)) {
                for outcome in side_by_side(batch) {
                    fired.add(&outcome.fired);
                    sometimes.add(&outcome.sometimes);
                    worlds += 1;
                }
            }
        }
        let missing: Vec<&str> = never(&sometimes).collect();
        let classes = Class::ALL.iter().copied();
        let silent: Vec<Class> = classes.filter(|c| !fired.0.contains_key(c)).collect();
        if json {
            let all = serde_json::json!({
                "worlds": worlds, "fired": fired, "sometimes": sometimes, "never": missing,
                "silent": silent, "not_met": NOT_MET,
            });
            say!("{all}");
        } else {
            let mut group = "";
            for class in Class::ALL {
                if class.group() != group {
                    group = class.group();
                    say!("{group}");
                }
                let count = fired.0.get(class).copied().unwrap_or(0);
                let name = format!("{class:?}");
                let count = match count {
                    0 => "NEVER".to_owned(),
                    count => count.to_string(),
                };
                say!("  {name:<22}{count:>9}  {}", class.what());
            }
            say!("sometimes");
            for (what, count) in &sometimes.0 {
                say!("  {count:>9}  {what}");
            }
            for what in &missing {
                say!("      NEVER  {what}");
            }
            say!("checkers");
            for (id, what) in CHECKERS {
                say!("  {id:<5}{what}");
            }
            say!("not met, and why: no class, and not counted");
            for (what, why) in NOT_MET {
                say!("  {what}: {why}");
            }
            say!(
                "{} of {} classes fired in {worlds} worlds; {} of {} things happened that must sometimes",
                fired.0.len(),
                Class::ALL.len(),
                SOMETIMES.len() - missing.len(),
                SOMETIMES.len()
            );
        }
        let all_fired = fired.0.len() >= CLASSES_MIN && silent.is_empty();
        ExitCode::from(u8::from(!all_fired || !missing.is_empty()))
    }
}

/// What must happen sometimes and did not.
fn never(sometimes: &Sometimes) -> impl Iterator<Item = &'static str> {
    let all = SOMETIMES.iter().copied();
    all.filter(|what| !sometimes.0.contains_key(*what))
}

/// Measures how fast worlds go, in processor time of one core: of other work on the machine it
/// shows nothing.
///
/// Two loads. `chat`: people come in and chat, one op at a time; the clock runs over the whole world,
/// checkers and end included. `catch-up`: four write in bursts while the others sleep, then all wake;
/// the clock runs from there until each of them has accepted every op, so it measures what a device
/// does that comes back to thousands of ops, over a good line and one relay. An op is delivered when a
/// device has accepted an op of somebody else.
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Bench {
    /// People.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u16).range(5..))]
    nodes: u16,
    /// Simulated minutes of chat.
    #[arg(long, default_value_t = 60)]
    minutes: u64,
    /// Mean time between two acts of one person who chats.
    #[arg(long, default_value = "60s", value_parser = duration)]
    act_every: u64,
    /// Posts that await those who were asleep.
    #[arg(long, default_value_t = 2_000)]
    posts: u64,
    /// Posts that one person writes for them in a row, 1 ms apart: several go into one envelope.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u64).range(1..=100))]
    burst: u64,
    /// How often each is measured; the best counts.
    #[arg(long, default_value_t = 3)]
    rounds: u32,
    /// What signs and seals; both, one after the other, unless given.
    #[arg(long)]
    crypto: Option<Crypto>,
    /// What people do; both, one after the other, unless given.
    #[arg(long)]
    load: Option<Load>,
}

/// What people do while the clock runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Load {
    /// They chat, one op at a time.
    Chat,
    /// They come back to what was written while they slept.
    CatchUp,
}

/// What one kind of world came to.
struct Measured {
    load: Load,
    crypto: Crypto,
    nodes: u16,
    /// Ops that the fullest device holds at the end.
    ops: usize,
    sim_ms: u64,
    cpu_us: u64,
    wall_us: u64,
    counts: Counts,
    trace: String,
    /// What makes the figures worthless, if anything does.
    wrong: Option<String>,
}

/// What happened while the clock ran.
#[derive(Clone, Copy, Debug)]
struct Counts {
    /// Ops that a device accepted of somebody else.
    delivered: u64,
    frames: u64,
    events: u64,
}

impl Counts {
    const fn of(world: &World) -> Self {
        Self {
            delivered: world.taken,
            frames: world.frames,
            events: world.events,
        }
    }

    const fn since(self, before: Self) -> Self {
        Self {
            delivered: self.delivered - before.delivered,
            frames: self.frames - before.frames,
            events: self.events - before.events,
        }
    }
}

impl Measured {
    /// So many a second of processor time.
    fn per_sec(&self, n: u64) -> u64 {
        (u128::from(n) * 1_000_000 / u128::from(self.cpu_us.max(1))) as u64
    }

    fn json(&self) -> serde_json::Value {
        serde_json::json!({
            "load": self.load, "crypto": self.crypto, "nodes": self.nodes, "sim_ms": self.sim_ms,
            "cpu_us": self.cpu_us, "wall_us": self.wall_us,
            "simulated_seconds_per_cpu_second": self.per_sec(self.sim_ms) / 1_000,
            "deliveries_per_cpu_second": self.per_sec(self.counts.delivered),
            "frames_per_cpu_second": self.per_sec(self.counts.frames),
            "events_per_cpu_second": self.per_sec(self.counts.events),
            "ops": self.ops, "deliveries": self.counts.delivered,
            "frames": self.counts.frames, "trace": self.trace, "wrong": self.wrong,
        })
    }

    fn text(&self) -> String {
        let (crypto, nodes, ops) = (self.crypto, self.nodes, self.ops);
        let (ms, counts) = (self.cpu_us / 1_000, &self.counts);
        let first = match self.load {
            Load::Chat => format!(
                "{nodes} people chatting for {}, {ops} ops",
                time(self.sim_ms)
            ),
            Load::CatchUp => format!(
                "{} of {nodes} people catching up on {ops} ops in {}",
                nodes - WRITERS,
                time(self.sim_ms)
            ),
        };
        format!(
            "{crypto:?}: {first}: {ms} ms of processor time\n  {} simulated seconds, {} deliveries, {} \
             frames, {} events a second",
            self.per_sec(self.sim_ms) / 1_000,
            self.per_sec(counts.delivered),
            self.per_sec(counts.frames),
            self.per_sec(counts.events)
        )
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
            None => vec![Load::Chat, Load::CatchUp],
        };
        let mut failed = false;
        for load in loads {
            for crypto in &kinds {
                let rounds = (0..self.rounds.max(1)).map(|_| self.measure(*crypto, load));
                let Some(best) = rounds.min_by_key(|round| round.cpu_us) else {
                    return ExitCode::FAILURE;
                };
                failed |= best.wrong.is_some();
                if json {
                    say!("{}", best.json());
                } else {
                    say!("{}", best.text());
                }
                if let Some(wrong) = best.wrong {
                    eprintln!("sim: {wrong}");
                }
            }
        }
        ExitCode::from(u8::from(failed))
    }

    fn measure(&self, crypto: Crypto, load: Load) -> Measured {
        let mut config = Config::draw(1, Some(Profile::Calm));
        config.crypto = crypto;
        config.nodes = self.nodes;
        match load {
            Load::Chat => self.chat(config),
            Load::CatchUp => crate::hashing::in_fixed_order(|| {
                let _entered = crypto.enter();
                self.catch_up(config)
            }),
        }
    }

    fn chat(&self, mut config: Config) -> Measured {
        config.lasts_ms = self.minutes * 60_000;
        config.act_every_ms = self.act_every;
        let entries = run::schedule(&config);
        let since = Clocks::now();
        let outcome = run::run(&config, &entries, 0);
        let (cpu_us, wall_us) = since.passed();
        Measured {
            load: Load::Chat,
            crypto: config.crypto,
            nodes: config.nodes,
            ops: outcome.ops,
            sim_ms: outcome.sim_ms,
            cpu_us,
            wall_us,
            counts: Counts {
                delivered: outcome.taken,
                frames: outcome.frames,
                events: outcome.events,
            },
            trace: outcome.trace_hash,
            wrong: outcome.failure.map(|failure| failure.what),
        }
    }

    fn catch_up(&self, mut config: Config) -> Measured {
        let nodes = config.nodes;
        // Everybody is in before the first burst.
        let from = 60_000 + u64::from(nodes) * 8_000;
        let bursts = self.posts.div_ceil(u64::from(WRITERS) * self.burst);
        let wake = from + bursts * BURST_EVERY_MS + 60_000;
        config.lasts_ms = wake + CATCH_UP_MS_MAX;
        let entries = self.bursts(&config, from, wake);
        // Whoever sleeps is not prompt.
        config.on.insert(Class::Suspend);
        let mut world = World::new(config.clone(), entries, 0);
        world.run_until(wake - 1);
        let written = world.devices[0].accepted.clone();
        let before = Counts::of(&world);
        let since = Clocks::now();
        // Half a second more or less does not show in what is done.
        while world.now() < wake + CATCH_UP_MS_MAX
            && world.failure.is_none()
            && lagging(&world, &written).is_some()
        {
            world.run_until(world.now() + 500);
        }
        let (cpu_us, wall_us) = since.passed();
        let least = self.posts as usize;
        let wrong = if written.len() < least {
            Some(format!(
                "{} ops were written, {least} were to be",
                written.len()
            ))
        } else {
            lagging(&world, &written).map(|node| format!("node {node} never caught up"))
        };
        Measured {
            load: Load::CatchUp,
            crypto: config.crypto,
            nodes,
            ops: written.len(),
            sim_ms: world.now() - wake,
            cpu_us,
            wall_us,
            counts: Counts::of(&world).since(before),
            trace: world.trace.hash(),
            wrong: world.failure.take().map(|failure| failure.what).or(wrong),
        }
    }

    /// People come in as for the chat; then all but the first few sleep, and those write in bursts.
    fn bursts(&self, config: &Config, from: u64, wake: u64) -> Vec<Entry> {
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
        let at = from - 10_000;
        entries.extend((WRITERS..config.nodes).map(|node| Entry {
            at,
            what: What::Fault(Fault::Suspend {
                class: Class::Suspend,
                node,
                for_ms: wake - at,
            }),
        }));
        let each = self.posts.div_ceil(u64::from(WRITERS));
        for nth in 0..each {
            let (burst, within) = (nth / self.burst, nth % self.burst);
            let at = from + burst * BURST_EVERY_MS + within;
            entries.extend((0..WRITERS).map(|who| Entry {
                at,
                what: What::Act {
                    who,
                    act: Act::Post {
                        channel: OPEN_CHANNEL,
                        len: BURST_POST_LEN,
                    },
                },
            }));
        }
        entries
    }
}

/// Who lacks one of these ops.
fn lagging(world: &World, ops: &BTreeSet<OpId>) -> Option<u16> {
    let lacks = |device: &&Device| !ops.is_subset(&device.accepted);
    world.devices.iter().find(lacks).map(|device| device.index)
}

/// People who write while the others sleep.
const WRITERS: u16 = 4;
/// From one burst of a person to the next: a lane takes 120 ops a minute (R7).
const BURST_EVERY_MS: u64 = 60_000;
/// The first channel is for admins alone.
const OPEN_CHANNEL: u16 = 1;
/// About how long a post of a burst is.
const BURST_POST_LEN: u32 = 60;
/// When those who woke must have everything: much later than they need.
const CATCH_UP_MS_MAX: u64 = 600_000;

/// Both clocks at one moment.
struct Clocks {
    cpu_us: u64,
    wall: Instant,
}

impl Clocks {
    #[expect(clippy::disallowed_methods, reason = "measuring is what it is for")]
    fn now() -> Self {
        Self {
            cpu_us: cpu_us(),
            wall: Instant::now(),
        }
    }

    /// Returns the processor time and the time on the wall that passed since, in microseconds.
    fn passed(&self) -> (u64, u64) {
        (
            cpu_us() - self.cpu_us,
            self.wall.elapsed().as_micros() as u64,
        )
    }
}

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
            say!("{line}");
        }
        Ok(ExitCode::SUCCESS)
    }
}
