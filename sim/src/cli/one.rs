//! `sim run`: one world, told in a few lines.

use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use clap::Args;

use crate::capsule::Capsule;
use crate::cli::scenarios;
use crate::config::{Config, Crypto, Profile};
use crate::run::{self, Outcome};
use crate::scenario;
use crate::schedule::Entry;
use crate::trace::ROWS_KEPT;

/// One world.
#[derive(Debug, Args)]
pub(crate) struct Run {
    /// The seed, decimal or 0x….
    #[arg(long, default_value = "1", value_parser = seed)]
    seed: u64,
    /// What people do and what goes wrong; drawn from the seed unless given.
    #[arg(long)]
    profile: Option<Profile>,
    /// A world that somebody thought out, or `all` of them; `sim scenarios` lists them.
    #[arg(long, conflicts_with_all = ["profile", "nodes", "lasts"])]
    scenario: Option<String>,
    /// Turn this deliberate bug on; `sim mutants --list` lists them.
    #[arg(long)]
    mutant: Option<String>,
    /// What signs and seals; one seed in ten is real unless given.
    #[arg(long)]
    crypto: Option<Crypto>,
    /// How many people.
    #[arg(long)]
    nodes: Option<u16>,
    /// How long the world lasts before it is healed, like 90s, 20m, 2h, 3d.
    #[arg(long = "for", value_parser = duration)]
    lasts: Option<u64>,
    /// Run twice and compare.
    #[arg(long)]
    twice: bool,
    /// Where the capsule of a failure goes.
    #[arg(long, default_value = "out")]
    dir: PathBuf,
}

impl Run {
    /// The world that is asked for.
    ///
    /// # Errors
    /// When there is no such scenario or mutant, or this program was built without mutants.
    pub(crate) fn world(&self) -> io::Result<(Config, Vec<Entry>)> {
        let (mut config, entries) = match &self.scenario {
            Some(name) => {
                let found = scenario::find(name);
                let found = found.ok_or_else(|| io::Error::other(format!("no scenario {name}")))?;
                found.build(self.seed)
            }
            None => {
                let config = self.config();
                let entries = run::schedule(&config);
                (config, entries)
            }
        };
        config.mutant.clone_from(&self.mutant);
        crate::mutants::check(&config)?;
        Ok((config, entries))
    }

    fn config(&self) -> Config {
        let mut config = Config::draw(self.seed, self.profile);
        config.crypto = self.crypto.unwrap_or(config.crypto);
        if let Some(nodes) = self.nodes {
            config.nodes = nodes;
            config.disks.retain(|node| *node < nodes);
            config.byzantine.retain(|node| *node < nodes && *node > 0);
        }
        if let Some(lasts) = self.lasts {
            config.lasts_ms = lasts;
        }
        config
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "wall time is told, and decides nothing"
    )]
    pub(crate) fn run(&self, json: bool) -> io::Result<ExitCode> {
        if let (Some(name), None) = (&self.scenario, &self.mutant) {
            return Ok(scenarios::run(name, self.seed, &self.dir, json));
        }
        let (config, entries) = self.world()?;
        let since = Instant::now();
        let outcome = run::run(&config, &entries, ROWS_KEPT);
        let wall_ms = since.elapsed().as_millis() as u64;
        if json {
            say!("{}", serde_json::to_string(&outcome).unwrap_or_default());
        } else {
            tell(&config, &outcome, wall_ms);
        }
        if self.twice {
            let again = run::run(&config, &entries, 0);
            if again.trace_hash != outcome.trace_hash {
                eprintln!(
                    "NOT DETERMINISTIC: {} then {}",
                    outcome.trace_hash, again.trace_hash
                );
                return Ok(ExitCode::from(2));
            }
        }
        let failed = outcome.failure.is_some();
        if let Some(capsule) = Capsule::from_outcome(&config, &entries, outcome)
            && !json
        {
            keep(&capsule, &self.dir);
        }
        Ok(ExitCode::from(u8::from(failed)))
    }
}

/// Writes a capsule and prints the command that replays it.
pub(crate) fn keep(capsule: &Capsule, dir: &Path) {
    let path = capsule.path(dir);
    match capsule.write(&path) {
        Ok(()) => say!("  replay: sim replay {}", path.display()),
        Err(error) => eprintln!("  the capsule was not written: {error}"),
    }
}

fn tell(config: &Config, outcome: &Outcome, wall_ms: u64) {
    let on: Vec<String> = config.on.iter().map(|class| format!("{class:?}")).collect();
    say!(
        "seed {:#x}  profile {:?}  crypto {:?}  {} people, {} on disks, {} cheats, {} relays",
        config.seed,
        config.profile,
        config.crypto,
        config.nodes,
        config.disks.len(),
        config.byzantine.len(),
        config.relays
    );
    say!(
        "faults on: {}",
        if on.is_empty() {
            "none".to_owned()
        } else {
            on.join(" ")
        }
    );
    say!(
        "{} simulated in {wall_ms} ms ({} x), {} events, {} frames, {} ops, {} deliveries, {} faults fired",
        time(outcome.sim_ms),
        outcome.sim_ms / wall_ms.max(1),
        outcome.events,
        outcome.frames,
        outcome.ops,
        outcome.delivered,
        outcome.fired.total()
    );
    match (&outcome.failure, &outcome.excused, outcome.healed_ms) {
        (Some(failure), ..) => say!("{}", fail_line(outcome, failure)),
        (None, Some(why), _) => say!("fine; convergence not demanded: {why}"),
        (None, None, healed) => say!(
            "fine; whole again {} after healing",
            time(healed.unwrap_or(0))
        ),
    }
    say!("trace {}", outcome.trace_hash);
}

/// The one line of a failure.
pub(crate) fn fail_line(outcome: &Outcome, failure: &crate::check::Failure) -> String {
    let node = failure
        .node
        .map_or_else(String::new, |node| format!(" node {node}"));
    format!(
        "FAIL {} at {}{node}: {}  seed={:#x} cfg={}",
        failure.checker,
        time(failure.at),
        failure.what,
        outcome.seed,
        outcome.config_hash
    )
}

/// Milliseconds for people.
pub(crate) fn time(ms: u64) -> String {
    let secs = ms / 1000;
    if secs < 120 {
        format!("{}.{:03} s", secs, ms % 1000)
    } else if secs < 7_200 {
        format!("{} min {} s", secs / 60, secs % 60)
    } else {
        format!("{} h {} min", secs / 3_600, secs / 60 % 60)
    }
}

/// Reads `0x1f` or `31`.
pub(crate) fn seed(text: &str) -> Result<u64, String> {
    let read = match text.strip_prefix("0x") {
        Some(hex) => u64::from_str_radix(hex, 16),
        None => text.parse(),
    };
    read.map_err(|e| e.to_string())
}

/// Reads `90s`, `20m`, `2h`, `3d` into milliseconds.
pub(crate) fn duration(text: &str) -> Result<u64, String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let number: u64 = digits
        .parse()
        .map_err(|_e| format!("`{text}` is no duration"))?;
    let unit = match text.strip_prefix(digits).unwrap_or_default() {
        "ms" => 1,
        "s" | "" => 1_000,
        "m" | "min" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        other => return Err(format!("unknown unit `{other}`")),
    };
    Ok(number * unit)
}
