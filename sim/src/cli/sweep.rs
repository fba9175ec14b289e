//! `sim sweep`: the same worlds with one number after the other. What does each cost, and give?

use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

use clap::Args;
use oplog::tuning::Knob;
use serde::Serialize;

use crate::cli::swarm::Worlds;
use crate::config::Tuned;
use crate::run::{self, Outcome};

/// The same worlds with one number after the other, for all nodes alike.
#[derive(Debug, Args)]
pub(crate) struct Sweep {
    /// Which number; without it all are listed.
    name: Option<String>,
    /// Its values, like `500,1000,2000`.
    #[arg(value_delimiter = ',', requires = "name")]
    values: Vec<u64>,
    #[command(flatten)]
    worlds: Worlds,
    /// Worlds at once.
    #[arg(long, default_value_t = 2)]
    jobs: usize,
}

/// What came of one value.
#[derive(Debug, Serialize)]
struct Row {
    value: u64,
    worlds: usize,
    /// Worlds that could not be asked whether they are whole again.
    excused: usize,
    /// How long the others took, in milliseconds: in the median, nine in ten, at most.
    whole_ms: [u64; 3],
    commits: usize,
    forks: usize,
    frames: u64,
    bytes: u64,
    failures: Vec<String>,
}

impl Row {
    fn of(value: u64, outcomes: &[&Outcome]) -> Self {
        let mut whole: Vec<u64> = outcomes.iter().filter_map(|o| o.healed_ms).collect();
        whole.sort_unstable();
        let at = |tenths: usize| {
            let last = whole.len().saturating_sub(1);
            whole.get(last * tenths / 10).copied().unwrap_or(0)
        };
        let failures = outcomes.iter().filter_map(|o| {
            let failure = o.failure.as_ref()?;
            Some(format!("{:#x} {}", o.seed, failure.checker))
        });
        Self {
            value,
            worlds: outcomes.len(),
            excused: outcomes.iter().filter(|o| o.excused.is_some()).count(),
            whole_ms: [at(5), at(9), at(10)],
            commits: outcomes.iter().map(|o| o.commits).sum(),
            forks: outcomes.iter().map(|o| o.forks).sum(),
            frames: outcomes.iter().map(|o| o.frames).sum(),
            bytes: outcomes.iter().map(|o| o.bytes).sum(),
            failures: failures.collect(),
        }
    }

    fn tell(&self) {
        let [median, most, last] = self.whole_ms.map(|ms| ms / 1_000);
        say!(
            "{:>10}{:>8}{:>8}{median:>8}{most:>8}{last:>8}{:>9}{:>7}{:>10}{:>8}{:>8}  {}",
            self.value,
            self.worlds,
            self.excused,
            self.commits,
            self.forks,
            self.frames / 1_000,
            self.bytes >> 20,
            self.failures.len(),
            self.failures.join(", ")
        );
    }
}

impl Sweep {
    pub(crate) fn run(&self, json: bool) -> Result<ExitCode, std::io::Error> {
        let Some(name) = &self.name else {
            for knob in Knob::ALL {
                let (id, unit) = (knob.id(), knob.unit());
                say!("{id:<16}{:<24}{unit:<13}{}", knob.area(), knob.says());
            }
            return Ok(ExitCode::SUCCESS);
        };
        let knob = Knob::by_id(name)
            .ok_or_else(|| std::io::Error::other(format!("there is no number {name}")))?;
        let (from, to) = self.worlds.range().map_err(std::io::Error::other)?;
        let runs: Vec<(u64, u64)> = self
            .values
            .iter()
            .flat_map(|value| (from..to).map(move |seed| (*value, seed)))
            .collect();
        let outcomes = self.outcomes(knob, &runs)?;
        if !json {
            say!("{}, in {}: {}", knob.id(), knob.unit(), knob.says());
            say!("                                whole again, s");
            say!(
                "{:>10}{:>8}{:>8}{:>8}{:>8}{:>8}{:>9}{:>7}{:>10}{:>8}{:>8}",
                "value",
                "worlds",
                "excused",
                "median",
                "9 in 10",
                "most",
                "commits",
                "forks",
                "1k frames",
                "MiB",
                "failed"
            );
        }
        for value in &self.values {
            let of_value = outcomes.iter().filter(|(other, _)| other == value);
            let row = Row::of(*value, &of_value.map(|(_, o)| o).collect::<Vec<_>>());
            if json {
                say!("{}", serde_json::to_string(&row).unwrap_or_default());
            } else {
                row.tell();
            }
        }
        Ok(ExitCode::SUCCESS)
    }

    /// Runs them side by side, each in a thread of its own.
    fn outcomes(
        &self,
        knob: Knob,
        runs: &[(u64, u64)],
    ) -> Result<Vec<(u64, Outcome)>, std::io::Error> {
        let next = AtomicUsize::new(0);
        let outcomes = Mutex::new(Vec::new());
        let one = || {
            while let Some((value, seed)) = runs.get(next.fetch_add(1, Ordering::Relaxed)) {
                let Some((mut config, entries)) = self.worlds.world(*seed) else {
                    break;
                };
                config.tuned = Some(Tuned {
                    knob: knob.id().to_owned(),
                    value: *value,
                });
                let outcome = run::run(&config, &entries, 0);
                let mut outcomes = outcomes.lock().unwrap_or_else(PoisonError::into_inner);
                outcomes.push((*value, outcome));
            }
        };
        thread::scope(|scope| {
            for _ in 0..self.jobs.max(1) {
                scope.spawn(one);
            }
        });
        let outcomes = outcomes
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner);
        if outcomes.len() < runs.len() {
            return Err(std::io::Error::other("there is no such scenario"));
        }
        Ok(outcomes)
    }
}
