//! `sim swarm`: many worlds side by side, one thread each.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};
use std::{fs, io, thread};

use clap::Args;
use serde::Serialize;

use crate::capsule::Capsule;
use crate::check::Sometimes;
use crate::cli::measure::cpu_us;
use crate::cli::one::{duration, fail_line, keep, seed, time};
use crate::config::{Config, Crypto, Profile};
use crate::fault::Fired;
use crate::run::{self, Outcome};
use crate::scenario;
use crate::schedule::Entry;

/// Which worlds.
#[derive(Debug, Args)]
pub(crate) struct Worlds {
    /// Which seeds: `0..2000`, or so many from a drawn start.
    #[arg(long, default_value = "0..200")]
    seeds: String,
    /// Derive the first seed from this text, such as a commit id; then `--seeds` is a count.
    #[arg(long)]
    from: Option<String>,
    /// Theme of all of them; each draws its own unless given.
    #[arg(long)]
    profile: Option<Profile>,
    /// A world that somebody thought out, with each of the seeds.
    #[arg(long, conflicts_with = "profile")]
    scenario: Option<String>,
    /// What signs and seals; one seed in ten is real unless given.
    #[arg(long)]
    crypto: Option<Crypto>,
}

/// Many worlds.
#[derive(Debug, Args)]
pub(crate) struct Swarm {
    #[command(flatten)]
    worlds: Worlds,
    /// Worlds at once.
    #[arg(long, default_value_t = 2)]
    jobs: usize,
    /// Stop after so long, like 6m.
    #[arg(long, value_parser = duration)]
    budget: Option<u64>,
    /// Run one seed in so many twice and compare.
    #[arg(long, default_value_t = 20)]
    twice: u64,
    /// Write the hash of each world's trace to this file, one a line by seed: another build of the
    /// same commit must write the same.
    #[arg(long)]
    traces: Option<PathBuf>,
    /// Where capsules of failures go.
    #[arg(long, default_value = "out")]
    out: PathBuf,
    /// Say nothing while it runs.
    #[arg(long, short)]
    quiet: bool,
}

/// What came of all of them.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Summary {
    pub(crate) seeds: u64,
    pub(crate) failed: u64,
    pub(crate) excused: BTreeMap<String, u64>,
    pub(crate) not_deterministic: u64,
    pub(crate) run_twice: u64,
    pub(crate) sim_ms: u64,
    pub(crate) node_ms: u64,
    pub(crate) wall_ms: u64,
    pub(crate) cpu_ms: u64,
    pub(crate) events: u64,
    pub(crate) frames: u64,
    pub(crate) delivered: u64,
    pub(crate) healed_ms_max: u64,
    pub(crate) fired: Fired,
    pub(crate) sometimes: Sometimes,
    pub(crate) failures: Vec<String>,
    pub(crate) by_profile: BTreeMap<String, (u64, u64, u64)>,
    #[serde(skip)]
    traces: BTreeMap<u64, String>,
}

impl Summary {
    pub(crate) fn add(&mut self, profile: Profile, outcome: &Outcome, wall_ms: u64) {
        self.seeds += 1;
        self.sim_ms += outcome.sim_ms;
        self.node_ms += outcome.sim_ms * u64::from(outcome.nodes);
        self.events += outcome.events;
        self.frames += outcome.frames;
        self.delivered += outcome.delivered;
        self.healed_ms_max = self.healed_ms_max.max(outcome.healed_ms.unwrap_or(0));
        self.fired.add(&outcome.fired);
        self.sometimes.add(&outcome.sometimes);
        if let Some(why) = &outcome.excused {
            *self.excused.entry(why.clone()).or_default() += 1;
        }
        self.traces.insert(outcome.seed, outcome.trace_hash.clone());
        let row = self
            .by_profile
            .entry(format!("{profile:?}").to_lowercase())
            .or_default();
        row.0 += 1;
        row.1 += u64::from(outcome.failure.is_some());
        row.2 += wall_ms;
        if outcome.failure.is_some() {
            self.failed += 1;
        }
    }
}

impl Worlds {
    /// The seeds, from the first to before the last.
    ///
    /// # Errors
    /// When they cannot be read.
    pub(crate) fn range(&self) -> Result<(u64, u64), String> {
        let (from, to) = match self.seeds.split_once("..") {
            Some((from, to)) => (seed(from)?, seed(to)?),
            None => (0, seed(&self.seeds)?),
        };
        Ok(match &self.from {
            None => (from, to),
            Some(text) => {
                let hash = blake3::hash(text.as_bytes());
                let start = hash
                    .as_bytes()
                    .iter()
                    .take(6)
                    .fold(0, |n, byte| n << 8 | u64::from(*byte));
                (start, start + (to - from))
            }
        })
    }

    /// The world of a seed; none if there is no such scenario.
    pub(crate) fn world(&self, seed: u64) -> Option<(Config, Vec<Entry>)> {
        if let Some(name) = &self.scenario {
            let (mut config, entries) = scenario::find(name)?.build(seed);
            config.crypto = self.crypto.unwrap_or(config.crypto);
            return Some((config, entries));
        }
        let mut config = Config::draw(seed, self.profile);
        config.crypto = self.crypto.unwrap_or(config.crypto);
        let entries = run::schedule(&config);
        Some((config, entries))
    }
}

impl Swarm {
    #[expect(
        clippy::disallowed_methods,
        reason = "wall time bounds the campaign and decides nothing in a world"
    )]
    pub(crate) fn run(&self, json: bool) -> ExitCode {
        let (from, to) = match self.worlds.range() {
            Ok(range) => range,
            Err(error) => {
                eprintln!("--seeds: {error}");
                return ExitCode::from(2);
            }
        };
        if self.worlds.world(from).is_none() {
            eprintln!("sim: there is no such scenario");
            return ExitCode::from(2);
        }
        let next = AtomicU64::new(from);
        let summary = Mutex::new(Summary::default());
        let (since, cpu) = (Instant::now(), cpu_us());
        let last = Mutex::new(Instant::now());
        let over = || {
            self.budget
                .is_some_and(|ms| since.elapsed() >= Duration::from_millis(ms))
        };
        thread::scope(|scope| {
            for _ in 0..self.jobs.max(1) {
                scope.spawn(|| {
                    loop {
                        let seed = next.fetch_add(1, Ordering::Relaxed);
                        if seed >= to || over() {
                            break;
                        }
                        self.one(seed, &summary, json);
                        let mut last = last.lock().unwrap_or_else(PoisonError::into_inner);
                        if !self.quiet && !json && last.elapsed() > Duration::from_secs(5) {
                            *last = Instant::now();
                            let s = summary.lock().unwrap_or_else(PoisonError::into_inner);
                            eprintln!(
                                "{:>6}/{} worlds, {} failed, {} simulated, {} s, {} ms of processor time a world",
                                s.seeds,
                                to - from,
                                s.failed,
                                time(s.sim_ms),
                                since.elapsed().as_secs(),
                                (cpu_us() - cpu) / 1_000 / s.seeds.max(1)
                            );
                        }
                    }
                });
            }
        });
        let mut summary = summary.into_inner().unwrap_or_else(PoisonError::into_inner);
        summary.wall_ms = since.elapsed().as_millis() as u64;
        summary.cpu_ms = (cpu_us() - cpu) / 1_000;
        if json {
            say!("{}", serde_json::to_string(&summary).unwrap_or_default());
        } else {
            table(&summary);
        }
        if let Some(path) = &self.traces
            && let Err(error) = write_traces(path, &summary.traces)
        {
            eprintln!("--traces: {error}");
            return ExitCode::from(2);
        }
        ExitCode::from(u8::from(summary.failed + summary.not_deterministic > 0))
    }

    /// One in each so many, by turns the first and the fourth: stub and real ones both.
    const fn is_run_twice(&self, seed: u64) -> bool {
        match (seed.checked_div(self.twice), seed.checked_rem(self.twice)) {
            (Some(block), Some(at)) => at == 3 * (block % 2) % self.twice,
            _ => false,
        }
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "wall time is told, and decides nothing"
    )]
    fn one(&self, seed: u64, summary: &Mutex<Summary>, json: bool) {
        let Some((config, entries)) = self.worlds.world(seed) else {
            return;
        };
        let since = Instant::now();
        let outcome = run::run(&config, &entries, 0);
        let wall_ms = since.elapsed().as_millis() as u64;
        let twice = self.is_run_twice(seed);
        let same = !twice || run::run(&config, &entries, 0).trace_hash == outcome.trace_hash;
        let mut s = summary.lock().unwrap_or_else(PoisonError::into_inner);
        s.add(config.profile, &outcome, wall_ms);
        s.run_twice += u64::from(twice);
        if !same {
            s.not_deterministic += 1;
            let line = format!("NOT DETERMINISTIC seed={seed:#x}");
            if !json {
                say!("{line}");
            }
            s.failures.push(line);
        }
        if let Some(failure) = &outcome.failure {
            let line = fail_line(&outcome, failure);
            if !json {
                say!("{line}");
            }
            s.failures.push(line);
            drop(s);
            if let Some(capsule) = Capsule::of(&config, &entries) {
                keep(&capsule, &self.out);
            }
        }
    }
}

fn write_traces(path: &Path, traces: &BTreeMap<u64, String>) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    let lines = traces
        .iter()
        .map(|(seed, hash)| format!("{seed:#x} {hash}\n"));
    fs::write(path, lines.collect::<String>())
}

fn table(s: &Summary) {
    say!("");
    say!(
        "{:<14}{:>8}{:>8}{:>12}",
        "profile",
        "worlds",
        "failed",
        "ms a world"
    );
    for (profile, (worlds, failed, ms)) in &s.by_profile {
        say!(
            "{profile:<14}{worlds:>8}{failed:>8}{:>12}",
            ms / worlds.max(&1)
        );
    }
    say!(
        "{:<14}{:>8}{:>8}{:>12}",
        "all",
        s.seeds,
        s.failed,
        s.wall_ms / s.seeds.max(1)
    );
    say!("");
    for (why, count) in &s.excused {
        say!("{count} worlds were not asked to converge: {why}");
    }
    let node_hours = s.node_ms as f64 / 3_600_000.0;
    say!(
        "{} world-hours ({:.2} node-years) in {} s of wall time, {} s of processor time; {} events, {} frames, {} deliveries",
        s.sim_ms / 3_600_000,
        node_hours / 8_766.0,
        s.wall_ms / 1000,
        s.cpu_ms / 1000,
        s.events,
        s.frames,
        s.delivered
    );
    say!(
        "{} fault classes fired, {} times; {} worlds ran twice, {} differed; healing took at most {}",
        s.fired.0.len(),
        s.fired.total(),
        s.run_twice,
        s.not_deterministic,
        time(s.healed_ms_max)
    );
}
