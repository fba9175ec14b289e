//! `sim mutants`: turns on one deliberate bug after the other, and tells what found it.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
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
use crate::config::{Config, Crypto};
use crate::mutants::{BUILT, Place, place};
use crate::run;
use crate::scenario;
use crate::schedule::{Entry, What};

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
    /// Others that found it in worlds before.
    also: BTreeSet<String>,
    /// Where.
    place: String,
    seed: u64,
    /// Worlds that were run until then.
    worlds: u64,
    /// Those of them that fail without the bug too, and so tell nothing.
    sick: u64,
    wall_ms: u64,
    /// What the failure shrank to.
    shrunk: Option<Shrunk>,
    what: String,
}

/// A shrunk failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
struct Shrunk {
    people: usize,
    /// Acts and faults.
    events: usize,
    /// Faults among them.
    faults: usize,
    wall_ms: u64,
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
                say!("{id:<20}{area:<8}{checkers:<20}{breaks}");
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
        // Whoever hunts one bug only has all hands free to shrink it.
        let jobs = if chosen.len() == 1 { self.jobs } else { 1 };
        let rows: Mutex<BTreeMap<usize, Row>> = Mutex::new(BTreeMap::new());
        thread::scope(|scope| {
            for _ in 0..self.jobs.max(1) {
                scope.spawn(|| {
                    while let Some((at, mutant)) = {
                        let at = next.fetch_add(1, Ordering::Relaxed);
                        chosen.get(at).map(|mutant| (at, *mutant))
                    } {
                        let row = self.hunt(mutant, jobs);
                        if !json {
                            eprintln!("{}", line(&row));
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
            say!("{}", serde_json::to_string(&rows).unwrap_or_default());
        } else {
            table(&rows);
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

    /// Runs world after world with the bug on, until a checker named for it speaks in one that
    /// passes without it.
    #[expect(
        clippy::disallowed_methods,
        reason = "wall time bounds the search and decides nothing in a world"
    )]
    fn hunt(&self, mutant: Mutant, jobs: usize) -> Row {
        let since = Instant::now();
        let over = || since.elapsed() >= Duration::from_millis(self.budget);
        let mut row = Row {
            mutant: mutant.id(),
            area: mutant.area(),
            breaks: mutant.breaks(),
            expected: mutant.checkers(),
            killed_by: None,
            as_named: false,
            also: BTreeSet::new(),
            place: match place(mutant) {
                Place::Theme(profile, _) => format!("{profile:?}").to_lowercase(),
                Place::Scenario(name) => name.to_owned(),
            },
            seed: 0,
            worlds: 0,
            sick: 0,
            wall_ms: 0,
            shrunk: None,
            what: String::new(),
        };
        let mut found = None;
        for seed in in_order(mutant, self.seeds) {
            if over() {
                break;
            }
            let Some((config, entries)) = world(mutant, seed) else {
                continue;
            };
            row.worlds += 1;
            let Some(failure) = run::run(&config, &entries, 0).failure else {
                continue;
            };
            if fails_anyway(&config, &entries) {
                row.sick += 1;
                continue;
            }
            let as_named = mutant.checkers().contains(&failure.checker.as_str());
            if !as_named {
                row.also.insert(failure.checker.clone());
            }
            // Who was not named counts only if nobody who was ever speaks.
            if as_named || found.is_none() {
                row.seed = seed;
                row.as_named = as_named;
                row.what = failure.what;
                row.killed_by = Some(failure.checker);
                found = Some((config, entries));
            }
            if as_named {
                break;
            }
        }
        row.wall_ms = since.elapsed().as_millis() as u64;
        if let Some((config, entries)) = found {
            self.keep(&config, &entries, &mut row, jobs);
        }
        row
    }

    /// Shrinks and keeps what found it, as asked.
    #[expect(
        clippy::disallowed_methods,
        reason = "wall time is told, and decides nothing"
    )]
    fn keep(&self, config: &Config, entries: &[Entry], row: &mut Row, jobs: usize) {
        if self.shrink.is_none() && self.out.is_none() {
            return;
        }
        let Some(mut capsule) = Capsule::of(config, entries) else {
            return;
        };
        let since = Instant::now();
        let small = self
            .shrink
            .and_then(|budget| shrink(&capsule, budget, jobs));
        if let Some(small) = small {
            let is_fault = |e: &&Entry| matches!(e.what, What::Fault(_));
            row.shrunk = Some(Shrunk {
                people: small.people(),
                events: small.entries.len(),
                faults: small.entries.iter().filter(is_fault).count(),
                wall_ms: since.elapsed().as_millis() as u64,
            });
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

/// The seeds in the order in which they are tried. Worlds of four people come first: they are the
/// smallest in which somebody has a rank between, so they are fast to run and to shrink. Among them
/// those with few cheats and many acts, as most bugs need two acts that meet. Real cryptography comes
/// last: it is slow and hides no bug of the list.
fn in_order(mutant: Mutant, seeds: u64) -> Vec<u64> {
    let mut order: Vec<u64> = (0..seeds).collect();
    if let Place::Theme(profile, _) = place(mutant) {
        order.sort_by_cached_key(|seed| {
            let config = Config::draw(*seed, Some(profile));
            let late = config.crypto == Crypto::Real || config.nodes < 4;
            let ways = config
                .on
                .iter()
                .filter(|class| class.group() == "byzantine");
            let cheats = config.byzantine.len() * ways.count();
            let acts = config.lasts_ms * u64::from(config.nodes) / config.act_every_ms.max(1);
            (late, config.nodes, cheats, Reverse(acts))
        });
    }
    order
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

/// Says whether the world fails without the bug too: then it may not be the bug that was found.
fn fails_anyway(config: &Config, entries: &[Entry]) -> bool {
    let mut sane = config.clone();
    sane.mutant = None;
    run::run(&sane, entries, 0).failure.is_some()
}

/// The names of the columns.
fn heading() -> String {
    format!(
        "{:<20}{:<8}{:<10}{:<7}{:<17}{:>5}{:>7}{:>9}{:>8}{:>8}{:>8}{:>7}",
        "mutant",
        "crate",
        "found by",
        "named",
        "in",
        "seed",
        "worlds",
        "ms",
        "people",
        "events",
        "faults",
        "s"
    )
}

fn line(row: &Row) -> String {
    let found = row.killed_by.as_deref().unwrap_or("NOBODY");
    let named = if row.as_named { "yes" } else { "NO" };
    let of = |count: fn(&Shrunk) -> u64| {
        let shrunk = row.shrunk.as_ref().map(count);
        shrunk.map_or_else(|| "-".to_owned(), |count| count.to_string())
    };
    format!(
        "{:<20}{:<8}{found:<10}{named:<7}{:<17}{:>5}{:>7}{:>9}{:>8}{:>8}{:>8}{:>7}",
        row.mutant,
        row.area,
        row.place,
        row.seed,
        row.worlds,
        row.wall_ms,
        of(|s| s.people as u64),
        of(|s| s.events as u64),
        of(|s| s.faults as u64),
        of(|s| s.wall_ms / 1_000),
    )
}

/// All rows, and what they come to.
fn table(rows: &[Row]) {
    say!("{}", heading());
    for row in rows {
        say!("{}", line(row));
    }
    say!("");
    let killed = rows.iter().filter(|row| row.killed_by.is_some()).count();
    let named = rows.iter().filter(|row| row.as_named).count();
    let worlds = rows.iter().map(|row| row.worlds);
    say!(
        "{killed} of {} mutants found, {named} of them by a checker named for it; {} worlds for one of them at most, {} in the median",
        rows.len(),
        worlds.clone().max().unwrap_or(0),
        median(worlds),
    );
    for row in rows.iter().filter(|row| row.killed_by.is_none()) {
        say!("SURVIVES: {} ({})", row.mutant, row.breaks);
    }
    for row in rows.iter().filter(|row| !row.also.is_empty()) {
        let also: Vec<&str> = row.also.iter().map(String::as_str).collect();
        say!("{} was found by {} too", row.mutant, also.join(", "));
    }
    let shrunk: Vec<Shrunk> = rows.iter().filter_map(|row| row.shrunk).collect();
    if !shrunk.is_empty() {
        let of = |count: fn(&Shrunk) -> u64| {
            let most = shrunk.iter().map(count).max().unwrap_or(0);
            (median(shrunk.iter().map(count)), most)
        };
        let (people, events, ms) = (
            of(|s| s.people as u64),
            of(|s| s.events as u64),
            of(|s| s.wall_ms),
        );
        say!(
            "shrunk: {} people, {} events, {} s in the median; {} people, {} events, {} s at most",
            people.0,
            events.0,
            ms.0 / 1_000,
            people.1,
            events.1,
            ms.1 / 1_000,
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

    #[test]
    fn every_seed_has_its_turn_and_small_worlds_come_first() {
        let order = in_order(Mutant::AnybodyMay, 300);
        let mut sorted = order.clone();
        sorted.sort_unstable();
        assert_eq!(sorted, (0..300).collect::<Vec<_>>());
        let people = |seed: u64| Config::draw(seed, Some(crate::config::Profile::Moderation)).nodes;
        assert_eq!(people(order[0]), 4);
        assert!(order.iter().rev().take(10).any(|seed| people(*seed) != 4));
        assert_eq!(in_order(Mutant::CutShort, 3), [0, 1, 2]);
    }

    /// Only where there are bugs to turn on: `cargo test -p sim --features mutants`.
    #[cfg(feature = "mutants")]
    #[test]
    fn a_bug_of_a_scenario_is_found_and_shrinks_without_it() {
        for mutant in [Mutant::BannedComesBack, Mutant::CutShort] {
            let found = (0..4).find_map(|seed| {
                let (config, entries) = world(mutant, seed)?;
                let capsule = Capsule::of(&config, &entries)?;
                (!fails_anyway(&config, &entries)).then_some(capsule)
            });
            let capsule = found.expect("one of four worlds shows it");
            assert!(
                mutant
                    .checkers()
                    .contains(&capsule.failure.checker.as_str())
            );
            let small = shrink(&capsule, 60_000, 2).expect("it fails as it did");
            assert_eq!(small.failure.checker, capsule.failure.checker);
            assert_eq!(small.config.scenario, None, "{mutant:?}");
            assert!(small.entries.len() < capsule.entries.len());
            assert!(!fails_anyway(&small.config, &small.entries));
        }
    }

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
