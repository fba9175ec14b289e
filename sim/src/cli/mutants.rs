//! `sim mutants`: turns on one deliberate bug after the other, and tells what found it.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use clap::Args;
use oplog::mutants::Mutant;
use serde::Serialize;

use crate::capsule::Capsule;
use crate::cli::capsules::shrink;
use crate::cli::one::{duration, seed};
use crate::config::Config;
use crate::mutants::{BUILT, Place, place};
use crate::run::{self, Outcome};
use crate::scenario;
use crate::schedule::Entry;

/// How long a world may take to heal here, with a bug and without: half an hour. Those of sane
/// seeds take minutes, and a world that never heals is dear.
const HEALED_MS: u64 = 30 * 60_000;

/// How long a world lasts at most. The longer ones hold no more acts and faults, only more waiting.
const SQUEEZED_MS: u64 = 60 * 60_000;

/// Worlds within which the canary must be found.
const CANARY_WORLDS: u64 = 5;

/// Turns deliberate bugs on, one at a time, and sees whether the checkers find them.
#[derive(Debug, Args)]
pub(crate) struct Mutants {
    /// Only these, by name.
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// Only so many of them, chosen by `--by`.
    #[arg(long)]
    sample: Option<usize>,
    /// What chooses a sample: a commit's id, so that each commit tries others.
    #[arg(long, default_value = "", requires = "sample")]
    by: String,
    /// Worlds tried for each, at most.
    #[arg(long, default_value = "2000", value_parser = seed)]
    seeds: u64,
    /// How long each may be looked for.
    #[arg(long, default_value = "10m", value_parser = duration)]
    budget: u64,
    /// Bugs looked for at once.
    #[arg(long, default_value_t = 2)]
    jobs: usize,
    /// Shrink what found each, for so long.
    #[arg(long, value_parser = duration)]
    shrink: Option<u64>,
    /// Where capsules of what found them go; nowhere unless given.
    #[arg(long)]
    out: Option<PathBuf>,
    /// List them and run nothing.
    #[arg(long)]
    list: bool,
}

/// What became of one bug.
#[derive(Clone, Debug, Serialize)]
struct Row {
    mutant: &'static str,
    area: &'static str,
    breaks: &'static str,
    /// The checkers of which one must find it.
    expected: &'static [&'static str],
    /// The checker that found it; none: it survived.
    killed_by: Option<String>,
    /// Whether that is one of those expected.
    as_named: bool,
    /// Where.
    place: String,
    seed: u64,
    worlds: u64,
    wall_ms: u64,
    /// People and entries of the shrunk capsule.
    shrunk: Option<(usize, usize)>,
    shrink_ms: u64,
    what: String,
}

impl Mutants {
    pub(crate) fn run(&self, json: bool) -> ExitCode {
        let chosen = match self.chosen() {
            Ok(chosen) => chosen,
            Err(error) => {
                eprintln!("sim: {error}");
                return ExitCode::from(2);
            }
        };
        if self.list {
            for mutant in chosen {
                let checkers = mutant.checkers().join(" or ");
                let (id, area, breaks) = (mutant.id(), mutant.area(), mutant.breaks());
                println!("{id:<20}{area:<8}{checkers:<20}{breaks}");
            }
            return ExitCode::SUCCESS;
        }
        if !BUILT {
            eprintln!("sim: build it with deliberate bugs first:");
            eprintln!("cargo build --profile sim -p sim --features mutants --locked");
            return ExitCode::from(2);
        }
        if !self.canary_dies() {
            eprintln!("sim: the canary lives: the checkers sleep, and nothing they say counts");
            return ExitCode::from(3);
        }
        let next = AtomicUsize::new(0);
        let rows: Mutex<BTreeMap<usize, Row>> = Mutex::new(BTreeMap::new());
        thread::scope(|scope| {
            for _ in 0..self.jobs.max(1) {
                scope.spawn(|| {
                    while let Some((at, mutant)) = {
                        let at = next.fetch_add(1, Ordering::Relaxed);
                        chosen.get(at).map(|mutant| (at, *mutant))
                    } {
                        let row = self.hunt(mutant);
                        if !json {
                            tell(&row);
                        }
                        let mut rows = rows.lock().unwrap_or_else(PoisonError::into_inner);
                        rows.insert(at, row);
                    }
                });
            }
        });
        let rows = rows.into_inner().unwrap_or_else(PoisonError::into_inner);
        let rows: Vec<Row> = rows.into_values().collect();
        if json {
            println!("{}", serde_json::to_string(&rows).unwrap_or_default());
        } else {
            summary(&rows);
        }
        let lives = rows.iter().any(|row| row.killed_by.is_none());
        ExitCode::from(u8::from(lives))
    }

    fn chosen(&self) -> Result<Vec<Mutant>, String> {
        let by_name = |id: &String| Mutant::by_id(id).ok_or(format!("there is no mutant {id}"));
        let mut chosen: Vec<Mutant> = if self.only.is_empty() {
            Mutant::ALL.to_vec()
        } else {
            self.only.iter().map(by_name).collect::<Result<_, _>>()?
        };
        if let Some(count) = self.sample {
            chosen = sample(chosen, count, &self.by);
        }
        Ok(chosen)
    }

    /// Runs a handful of worlds with the bug that every campaign must find. If none does, whatever
    /// else passes means nothing.
    fn canary_dies(&self) -> bool {
        let worlds = (0..CANARY_WORLDS).filter_map(|seed| world(Mutant::CANARY, seed));
        worlds.into_iter().any(|(config, entries)| {
            let failure = run::run(&config, &entries, 0).failure;
            failure.is_some_and(|f| Mutant::CANARY.checkers().contains(&f.checker.as_str()))
        })
    }

    /// Runs world after world with the bug on, until a checker speaks that is silent without it.
    #[expect(
        clippy::disallowed_methods,
        reason = "wall time bounds the search and decides nothing in a world"
    )]
    fn hunt(&self, mutant: Mutant) -> Row {
        let since = Instant::now();
        let over = || since.elapsed() >= Duration::from_millis(self.budget);
        let mut row = Row {
            mutant: mutant.id(),
            area: mutant.area(),
            breaks: mutant.breaks(),
            expected: mutant.checkers(),
            killed_by: None,
            as_named: false,
            place: match place(mutant) {
                Place::Theme(profile, _) => format!("{profile:?}").to_lowercase(),
                Place::Scenario(name) => name.to_owned(),
            },
            seed: 0,
            worlds: 0,
            wall_ms: 0,
            shrunk: None,
            shrink_ms: 0,
            what: String::new(),
        };
        for seed in 0..self.seeds {
            if over() {
                break;
            }
            let Some((config, entries)) = world(mutant, seed) else {
                continue;
            };
            row.worlds += 1;
            let outcome = run::run(&config, &entries, 0);
            let Some(failure) = &outcome.failure else {
                continue;
            };
            if fails_anyway(&config, &entries, &outcome) {
                continue;
            }
            row.seed = seed;
            row.as_named = mutant.checkers().contains(&failure.checker.as_str());
            row.killed_by = Some(failure.checker.clone());
            row.what.clone_from(&failure.what);
            row.wall_ms = since.elapsed().as_millis() as u64;
            self.keep(&config, &entries, &mut row);
            return row;
        }
        row.wall_ms = since.elapsed().as_millis() as u64;
        row
    }

    /// Shrinks and keeps what found it, as asked.
    #[expect(
        clippy::disallowed_methods,
        reason = "wall time is told, and decides nothing"
    )]
    fn keep(&self, config: &Config, entries: &[Entry], row: &mut Row) {
        if self.shrink.is_none() && self.out.is_none() {
            return;
        }
        let Some(mut capsule) = Capsule::of(config, entries) else {
            return;
        };
        let since = Instant::now();
        if let Some(small) = self.shrink.and_then(|budget| shrink(&capsule, budget)) {
            row.shrink_ms = since.elapsed().as_millis() as u64;
            row.shrunk = Some((small.people(), small.entries.len()));
            capsule = small;
        }
        if let Some(dir) = &self.out {
            // The rows come back with every run.
            capsule.rows.clear();
            let path = dir.join(format!("{}.json", row.mutant));
            if let Err(error) = capsule.write(&path) {
                eprintln!("{}: {error}", path.display());
            }
        }
    }
}

/// So many of these: the first by a hash of their names and a text.
fn sample(mut of: Vec<Mutant>, count: usize, by: &str) -> Vec<Mutant> {
    of.sort_by_cached_key(|mutant| {
        let mut hash = blake3::Hasher::new();
        hash.update(by.as_bytes()).update(mutant.id().as_bytes());
        *hash.finalize().as_bytes()
    });
    of.truncate(count);
    of.sort_unstable();
    of
}

/// The world of a seed in which a bug is looked for; none where nothing could show it.
fn world(mutant: Mutant, seed: u64) -> Option<(Config, Vec<Entry>)> {
    let (mut config, entries) = match place(mutant) {
        Place::Theme(profile, classes) => {
            let mut config = Config::draw(seed, Some(profile));
            config.squeeze(SQUEEZED_MS);
            // No bug in the list needs a lying relay, and worlds with one are dear.
            config.on.retain(|class| class.group() != "relay");
            if !classes.is_empty() && !classes.iter().any(|class| config.on.contains(class)) {
                return None;
            }
            let entries = run::schedule(&config);
            (config, entries)
        }
        Place::Scenario(name) => scenario::find(name)?.build(seed),
    };
    config.mutant = Some(mutant.id().to_owned());
    config.liveness_ms = Some(HEALED_MS);
    Some((config, entries))
}

/// Says whether the same checker speaks without the bug: then it was not the bug that it found.
fn fails_anyway(config: &Config, entries: &[Entry], outcome: &Outcome) -> bool {
    let mut sane = config.clone();
    sane.mutant = None;
    let checker = |outcome: &Outcome| outcome.failure.as_ref().map(|f| f.checker.clone());
    checker(&run::run(&sane, entries, 0)) == checker(outcome)
}

fn tell(row: &Row) {
    let found = match &row.killed_by {
        None => "SURVIVES".to_owned(),
        Some(checker) if row.as_named => checker.clone(),
        Some(checker) => format!("{checker} (not {})", row.expected.join(", ")),
    };
    let shrunk = row.shrunk.map_or_else(String::new, |(people, entries)| {
        let secs = row.shrink_ms / 1_000;
        format!("  {people} people, {entries} entries in {secs} s")
    });
    println!(
        "{:<20}{:<8}{:<18}{:<18} seed {:<6}{:>5} worlds {:>8.1} s{shrunk}",
        row.mutant,
        row.area,
        found,
        row.place,
        row.seed,
        row.worlds,
        row.wall_ms as f64 / 1000.0,
    );
}

fn summary(rows: &[Row]) {
    let killed = rows.iter().filter(|row| row.killed_by.is_some()).count();
    let named = rows.iter().filter(|row| row.as_named).count();
    println!();
    println!(
        "{killed} of {} mutants found, {named} of them by a checker named for it",
        rows.len()
    );
    for row in rows.iter().filter(|row| row.killed_by.is_none()) {
        println!("SURVIVES: {} ({})", row.mutant, row.breaks);
    }
    let shrunk = || rows.iter().filter_map(|row| Some((row, row.shrunk?)));
    if shrunk().next().is_some() {
        let people = median(shrunk().map(|(_, small)| small.0 as u64));
        let entries = median(shrunk().map(|(_, small)| small.1 as u64));
        let ms = median(shrunk().map(|(row, _)| row.shrink_ms));
        let longest = shrunk().map(|(row, _)| row.shrink_ms).max().unwrap_or(0);
        println!(
            "shrunk: {people} people, {entries} entries, {} s in the median, {} s at most",
            ms / 1_000,
            longest / 1_000
        );
    }
}

/// The one in the middle; of two, the greater.
fn median(of: impl Iterator<Item = u64>) -> u64 {
    let mut all: Vec<u64> = of.collect();
    all.sort_unstable();
    all.get(all.len() / 2).copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn a_sample_hangs_on_the_text_and_nothing_else() {
        let of = |by: &str| sample(Mutant::ALL.to_vec(), 5, by);
        assert_eq!(of("a1").len(), 5);
        assert_eq!(of("a1"), of("a1"));
        let all: BTreeSet<Mutant> = (0..200).flat_map(|n| of(&n.to_string())).collect();
        assert_eq!(all.len(), Mutant::ALL.len(), "each comes up some time");
    }

    #[test]
    fn the_median_is_one_of_them() {
        assert_eq!(median([3, 1, 2].into_iter()), 2);
        assert_eq!(median([1, 4].into_iter()), 4);
        assert_eq!(median(std::iter::empty()), 0);
    }
}
