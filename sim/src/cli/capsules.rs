//! `sim replay`, `shrink`, `trace`, `picture`: what can be done with a failure.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};
use std::{fs, io};

use clap::Args;

use crate::capsule::{Capsule, commit};
use crate::cli::one::{Run, duration, fail_line, time};
use crate::cli::row_text;
use crate::config::Config;
use crate::run::{self, Outcome};
use crate::schedule::Entry;
use crate::shrink::Shrinker;
use crate::trace::Kind;

/// Runs a capsule again and compares, byte for byte.
#[derive(Debug, Args)]
pub(crate) struct Replay {
    /// The capsule.
    capsule: PathBuf,
}

impl Replay {
    pub(crate) fn run(&self, json: bool) -> io::Result<ExitCode> {
        let capsule = runnable(&self.capsule)?;
        let outcome = run::run(&capsule.config, &capsule.entries, 0);
        let same = outcome.trace_hash == capsule.trace_hash;
        if json {
            say!(
                "{}",
                serde_json::to_string(&outcome).map_err(io::Error::other)?
            );
        } else {
            match &outcome.failure {
                Some(failure) => say!("{}", fail_line(&outcome, failure)),
                None => say!("no checker spoke"),
            }
            let verdict = if same {
                "the same, byte for byte"
            } else {
                "another trace"
            };
            say!(
                "{verdict}: {} then, {} now",
                capsule.trace_hash,
                outcome.trace_hash
            );
            if !same && commit() != capsule.commit {
                say!("(found at commit {}, this is {})", capsule.commit, commit());
            }
        }
        Ok(ExitCode::from(if same { 0 } else { 2 }))
    }
}

/// Makes a failing run smaller.
#[derive(Debug, Args)]
pub(crate) struct Shrink {
    /// The capsule.
    capsule: PathBuf,
    /// How long it may take.
    #[arg(long, default_value = "120s", value_parser = duration)]
    budget: u64,
    /// Worlds at once.
    #[arg(long, default_value_t = 2)]
    jobs: usize,
    /// Where the small one goes; over the old one unless given.
    #[arg(long, short)]
    out: Option<PathBuf>,
}

impl Shrink {
    pub(crate) fn run(&self, json: bool) -> io::Result<ExitCode> {
        let capsule = runnable(&self.capsule)?;
        let (people, entries) = (capsule.people(), capsule.entries.len());
        let small = shrink(&capsule, self.budget, self.jobs)
            .ok_or_else(|| io::Error::other("it does not fail here as it did"))?;
        let path = self.out.clone().unwrap_or_else(|| self.capsule.clone());
        small.write(&path)?;
        if json {
            say!(
                "{}",
                serde_json::to_string(&small).map_err(io::Error::other)?
            );
        } else {
            say!(
                "{}: {people} people and {entries} entries became {} and {}, in {}",
                small.failure.checker,
                small.people(),
                small.entries.len(),
                time(small.config.lasts_ms)
            );
            for entry in &small.entries {
                say!("  {:>10.3}  {:?}", entry.at as f64 / 1000.0, entry.what);
            }
            say!("sim replay {}", path.display());
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// Reads a capsule that this program can run as it was.
fn runnable(path: &Path) -> io::Result<Capsule> {
    let capsule = Capsule::read(path)?;
    crate::mutants::check(&capsule.config)?;
    Ok(capsule)
}

/// Returns the smallest run found within a budget that fails in the same checker; a world with a
/// deliberate bug also has to pass without it.
#[expect(
    clippy::disallowed_methods,
    reason = "wall time bounds the search and decides nothing in a world"
)]
pub(crate) fn shrink(capsule: &Capsule, budget_ms: u64, jobs: usize) -> Option<Capsule> {
    let since = Instant::now();
    let over = || since.elapsed() >= Duration::from_millis(budget_ms);
    let checker = capsule.failure.checker.clone();
    let shrinker = Shrinker::new(
        capsule.config.clone(),
        capsule.entries.clone(),
        &checker,
        jobs,
        &over,
    );
    let (config, entries) = shrinker.shrink();
    let small = Capsule::of(&config, &entries)?;
    (small.failure.checker == checker).then_some(small)
}

/// Where a world comes from: a capsule, or a seed.
#[derive(Debug, Args)]
pub(crate) struct Source {
    /// A capsule; without one, the seed and its options.
    capsule: Option<PathBuf>,
    #[command(flatten)]
    run: Run,
}

impl Source {
    pub(crate) fn world(&self) -> io::Result<(Config, Vec<Entry>)> {
        match &self.capsule {
            Some(path) => {
                let capsule = runnable(path)?;
                Ok((capsule.config, capsule.entries))
            }
            None => self.run.world(),
        }
    }

    fn outcome(&self) -> io::Result<(Config, Outcome)> {
        let (config, entries) = self.world()?;
        let outcome = run::run(&config, &entries, usize::MAX);
        Ok((config, outcome))
    }
}

/// Prints rows of a run.
#[derive(Debug, Args)]
pub(crate) struct Trace {
    #[command(flatten)]
    source: Source,
    /// Only about this device.
    #[arg(long)]
    node: Option<u16>,
    /// Only these sorts of rows.
    #[arg(long, value_delimiter = ',')]
    kinds: Vec<Kind>,
    /// From this moment.
    #[arg(long, value_parser = duration)]
    from: Option<u64>,
    /// To this moment.
    #[arg(long, value_parser = duration)]
    until: Option<u64>,
}

impl Trace {
    pub(crate) fn run(&self, json: bool) -> io::Result<ExitCode> {
        let (_, outcome) = self.source.outcome()?;
        for row in &outcome.rows {
            let wanted = self.node.is_none_or(|node| row.node == Some(node))
                && (self.kinds.is_empty() || self.kinds.contains(&row.kind))
                && self.from.is_none_or(|from| row.at >= from)
                && self.until.is_none_or(|until| row.at <= until);
            if !wanted {
                continue;
            }
            if json {
                say!("{}", serde_json::to_string(row).map_err(io::Error::other)?);
            } else {
                say!("{}", row_text(row));
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// Draws a run as SVG.
#[derive(Debug, Args)]
pub(crate) struct Picture {
    #[command(flatten)]
    source: Source,
    /// Where it goes.
    #[arg(long, short, default_value = "world.svg")]
    out: PathBuf,
    /// From this moment.
    #[arg(long, value_parser = duration)]
    from: Option<u64>,
    /// To this moment.
    #[arg(long, value_parser = duration)]
    until: Option<u64>,
}

impl Picture {
    pub(crate) fn run(&self) -> io::Result<ExitCode> {
        let (config, outcome) = self.source.outcome()?;
        let last = outcome
            .failure
            .as_ref()
            .map_or(config.lasts_ms, |f| f.at + 1_000);
        let title = match &outcome.failure {
            Some(failure) => fail_line(&outcome, failure),
            None => format!(
                "seed {:#x}: {} people, {:?}",
                config.seed, config.nodes, config.profile
            ),
        };
        let to = self.until.unwrap_or(last);
        let drawn = crate::picture::svg(&config, &outcome.rows, &title, self.from.unwrap_or(0), to);
        fs::write(&self.out, drawn)?;
        say!(
            "{} rows drawn into {}",
            outcome.rows.len(),
            self.out.display()
        );
        Ok(ExitCode::SUCCESS)
    }
}
