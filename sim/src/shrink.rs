//! From a failing run to a small one that fails in the same checker.
//!
//! In this order: less time, fewer fault classes, fewer people, fewer entries (ddmin, Zeller
//! and Hildebrandt 2002), smaller values. Big cuts come first, and what was tried once is not run
//! again. Because every stream of chance has its own name, what is taken away leaves the rest as
//! it was.
//!
//! # Invariants
//! - A smaller world counts only if the same checker speaks in it. If the world has a deliberate
//!   bug, it must also pass without it: otherwise the search slides into something else that is
//!   wrong, or strikes out what the end of a scenario asks for.
//! - The number of jobs changes how long it takes, and nothing of what comes out unless time runs out.

use std::collections::{BTreeMap, BTreeSet};
use std::mem::discriminant;
use std::thread;

use crate::config::{Config, Line, Profile};
use crate::fault::Class;
use crate::queue::Millis;
use crate::run;
use crate::scenario;
use crate::schedule::{Act, Entry, Fault, What};

/// A world, and what happens in it.
type World = (Config, Vec<Entry>);

/// Bounds on healing that are tried, in milliseconds; with none at all nothing is asked but what is
/// looked at when a world ends.
const HEALED_MS: [Millis; 4] = [0, 60_000, 240_000, 600_000];
/// Length of a post that says nothing in particular.
const LEN_MIN: u32 = 20;
/// Shortest fault worth a try.
const FAULT_MS_MIN: Millis = 1_000;

/// A world, and when the checker speaks in it.
#[derive(Clone, Debug)]
struct Small {
    config: Config,
    entries: Vec<Entry>,
    fails_at: Millis,
}

/// A run that is getting smaller.
pub(crate) struct Shrinker<'a> {
    small: Small,
    checker: String,
    jobs: usize,
    /// Says whether time is up.
    over: &'a (dyn Fn() -> bool + Sync),
    /// When the checker speaks in a world that was tried, by its hash; nothing if it does not count.
    tried: BTreeMap<[u8; 32], Option<Millis>>,
}

impl<'a> Shrinker<'a> {
    pub(crate) fn new(
        config: Config,
        entries: Vec<Entry>,
        checker: &str,
        jobs: usize,
        over: &'a (dyn Fn() -> bool + Sync),
    ) -> Self {
        Self {
            small: Small {
                config,
                entries,
                fails_at: Millis::MAX,
            },
            checker: checker.to_owned(),
            jobs: jobs.max(1),
            over,
            tried: BTreeMap::new(),
        }
    }

    /// Shrinks until nothing helps or time is up.
    pub(crate) fn shrink(mut self) -> World {
        // Where it fails now; what comes later is not needed.
        let whole = (self.small.config.clone(), self.small.entries.clone());
        if !self.keeps(vec![whole]) {
            return (self.small.config, self.small.entries);
        }
        self.no_script();
        self.less_time();
        self.simpler_line();
        self.fewer_classes();
        self.fewer_people();
        self.fewer_entries();
        self.smaller_values();
        // What was struck out may have been all that kept other things in.
        loop {
            let before = self.size();
            self.less_time();
            self.simpler_line();
            self.fewer_people();
            self.fewer_entries();
            if self.size() == before || (self.over)() {
                return (self.small.config, self.small.entries);
            }
        }
    }

    fn size(&self) -> (usize, usize, Millis) {
        let people = usize::from(self.small.config.nodes) - self.small.config.absent.len();
        (people, self.small.entries.len(), self.small.config.lasts_ms)
    }

    /// Tries these, so many at once as there are jobs, and keeps the first that counts.
    fn keeps(&mut self, candidates: Vec<World>) -> bool {
        self.first(candidates).is_some()
    }

    /// As [`Shrinker::keeps`]; says which it was.
    fn first(&mut self, candidates: Vec<World>) -> Option<usize> {
        let mut at = 0;
        for batch in candidates.chunks(self.jobs) {
            if (self.over)() {
                return None;
            }
            let verdicts = self.verdicts(batch);
            let found = verdicts.iter().position(Option::is_some);
            if let Some(found) = found
                && let Some((config, entries)) = batch.get(found)
            {
                let fails_at = verdicts[found].unwrap_or(Millis::MAX);
                self.small = Small {
                    config: config.clone(),
                    entries: entries.clone(),
                    fails_at,
                };
                return Some(at + found);
            }
            at += batch.len();
        }
        None
    }

    /// When the checker speaks in each of these, if it counts.
    fn verdicts(&mut self, batch: &[World]) -> Vec<Option<Millis>> {
        let keys: Vec<[u8; 32]> = batch.iter().map(key).collect();
        let checker = self.checker.as_str();
        let new: Vec<([u8; 32], &World)> = keys
            .iter()
            .copied()
            .zip(batch)
            .filter(|(key, _)| !self.tried.contains_key(key))
            .collect();
        let ran: Vec<([u8; 32], Option<Millis>)> = thread::scope(|scope| {
            let running: Vec<_> = new
                .into_iter()
                .map(|(key, (config, entries))| {
                    (key, scope.spawn(|| fails(config, entries, checker)))
                })
                .collect();
            running
                .into_iter()
                .map(|(key, run)| (key, run.join().unwrap_or(None)))
                .collect()
        });
        self.tried.extend(ran);
        keys.iter()
            .map(|key| self.tried.get(key).copied().flatten())
            .collect()
    }

    /// Strikes out of the world what it fails without.
    fn strike<T: Clone>(&mut self, items: Vec<T>, without: impl Fn(&Small, &[T]) -> World) {
        let jobs = self.jobs;
        ddmin(items, jobs, |parts| {
            let candidates = parts.iter().map(|part| without(&self.small, part));
            let candidates = candidates.collect();
            self.first(candidates)
        });
    }

    /// What a scenario asks for at its end holds only in the whole of it: that is in the way unless it
    /// is what failed.
    fn no_script(&mut self) {
        let mut config = self.small.config.clone();
        let Some(name) = config.scenario.take() else {
            return;
        };
        if name != scenario::QUIET.name {
            // A calm world without a script would be taken for one in which nothing goes wrong (R3).
            config.profile = Profile::Chat;
        }
        self.keeps(vec![(config, self.small.entries.clone())]);
    }

    fn less_time(&mut self) {
        // A checker of the safety phase spoke at some moment: what comes later is not needed, and
        // nobody need be healed.
        let at = self.small.fails_at;
        if at < self.small.config.lasts_ms {
            self.keeps(vec![
                self.lasting(at + 1, Some(0)),
                self.lasting(at + 1, None),
            ]);
        }
        if self.may_hurry() {
            let bound = self.small.config.liveness_ms.unwrap_or(Millis::MAX);
            let shorter = HEALED_MS.iter().filter(|ms| **ms < bound);
            let lasts = self.small.config.lasts_ms;
            let shorter = shorter.map(|ms| self.lasting(lasts, Some(*ms)));
            self.keeps(shorter.collect());
        }
        loop {
            let lasts = self.small.config.lasts_ms;
            let parts = [
                lasts / 8,
                lasts / 4,
                lasts / 2,
                lasts * 3 / 4,
                lasts * 9 / 10,
            ];
            let parts = parts.iter().map(|ms| self.lasting(*ms, None));
            if !self.keeps(parts.collect()) {
                return;
            }
        }
    }

    /// Says whether less time to heal is a fair try: any world fails to heal in no time at all, unless
    /// it is known to heal in that time without its deliberate bug.
    fn may_hurry(&self) -> bool {
        let about_healing = self.checker.starts_with('L') || self.checker == "SC";
        self.small.config.mutant.is_some() || !about_healing
    }

    /// The same world, over sooner.
    fn lasting(&self, lasts_ms: Millis, liveness_ms: Option<Millis>) -> World {
        let mut config = self.small.config.clone();
        config.lasts_ms = lasts_ms;
        config.calm_ms = config.calm_ms.min(lasts_ms);
        config.liveness_ms = liveness_ms.or(config.liveness_ms);
        let entries = self.small.entries.iter().filter(|e| e.at < lasts_ms);
        (config, entries.cloned().collect())
    }

    fn fewer_classes(&mut self) {
        let of_entries = self.small.entries.iter().filter_map(|e| e.what.class());
        let classes: BTreeSet<Class> = of_entries
            .chain(self.small.config.on.iter().copied())
            .collect();
        self.strike(classes.into_iter().collect(), |small, gone| {
            let mut config = small.config.clone();
            for class in gone {
                config.on.remove(class);
                match class {
                    Class::Loss => config.line.loss_ppm = 0,
                    Class::Duplicate => config.line.duplicate_ppm = 0,
                    Class::Delay | Class::Reorder => config.line.delay_mean_ms = 0,
                    Class::Tail => config.line.tail_ppm = 0,
                    Class::Bandwidth => config.line.bytes_per_sec = 0,
                    Class::QueueFull => config.line.queue_frames = 0,
                    _ => {}
                }
            }
            let is_left = |e: &&Entry| e.what.class().is_none_or(|class| !gone.contains(&class));
            (
                config,
                small.entries.iter().filter(is_left).cloned().collect(),
            )
        });
    }

    fn fewer_people(&mut self) {
        let absent = &self.small.config.absent;
        let people: Vec<u16> = (1..self.small.config.nodes)
            .filter(|who| !absent.contains(who))
            .collect();
        self.strike(people, |small, gone| {
            let mut config = small.config.clone();
            config.absent.extend(gone);
            let is_left = |e: &&Entry| e.what.node().is_none_or(|who| !gone.contains(&who));
            (
                config,
                small.entries.iter().filter(is_left).cloned().collect(),
            )
        });
        // A tail of absent people need not be there at all.
        let mut config = self.small.config.clone();
        while config.nodes > 2 && config.absent.remove(&(config.nodes - 1)) {
            config.nodes -= 1;
            config.disks.remove(&config.nodes);
            config.byzantine.remove(&config.nodes);
        }
        if config != self.small.config {
            self.keeps(vec![(config, self.small.entries.clone())]);
        }
    }

    fn fewer_entries(&mut self) {
        // Whole sorts of acts first: few worlds need reactions to show a lost op.
        let mut sorts = Vec::new();
        for entry in &self.small.entries {
            let sort = sort(&entry.what);
            if !sorts.contains(&sort) {
                sorts.push(sort);
            }
        }
        self.strike(sorts, |small, gone| {
            let is_left = |e: &&Entry| !gone.contains(&sort(&e.what));
            let entries = small.entries.iter().filter(is_left);
            (small.config.clone(), entries.cloned().collect())
        });
        self.strike(self.small.entries.clone(), |small, gone| {
            let is_left = |e: &&Entry| !gone.contains(e);
            let entries = small.entries.iter().filter(is_left);
            (small.config.clone(), entries.cloned().collect())
        });
    }

    fn simpler_line(&mut self) {
        let with = |change: fn(&mut Config)| {
            let mut config = self.small.config.clone();
            change(&mut config);
            (config, self.small.entries.clone())
        };
        let simpler: Vec<_> = [
            with(|config| {
                config.line = Line::good();
                config.disks.clear();
                config.relays = 1;
            }),
            with(|config| {
                config.line = Line::good();
                config.disks.clear();
            }),
        ]
        .into();
        if !self.keeps(simpler) {
            let mut config = self.small.config.clone();
            config.line = Line::good();
            self.keeps(vec![(config, self.small.entries.clone())]);
            let mut config = self.small.config.clone();
            config.disks.clear();
            self.keeps(vec![(config, self.small.entries.clone())]);
        }
        while self.small.config.relays > 1 {
            let mut config = self.small.config.clone();
            config.relays -= 1;
            if !self.keeps(vec![(config, self.small.entries.clone())]) {
                break;
            }
        }
    }

    /// Halves lengths and durations, all at once at first, then one by one.
    fn smaller_values(&mut self) {
        let mut all = self.small.entries.clone();
        let count = all.iter_mut().filter_map(smaller).count();
        if count > 0 && self.keeps(vec![(self.small.config.clone(), all)]) {
            return;
        }
        for at in 0..self.small.entries.len() {
            loop {
                let mut entries = self.small.entries.clone();
                if entries.get_mut(at).and_then(smaller).is_none()
                    || !self.keeps(vec![(self.small.config.clone(), entries)])
                {
                    break;
                }
            }
        }
    }
}

/// Strikes ever smaller parts out of a list, the whole of it first, and returns what must stay. What
/// comes last hangs on least, so it goes first. `may_go` is given some parts that lie side by side,
/// says which of them went as the first, and has it gone for good.
fn ddmin<T: Clone>(
    mut items: Vec<T>,
    jobs: usize,
    mut may_go: impl FnMut(&[&[T]]) -> Option<usize>,
) -> Vec<T> {
    let mut size = items.len();
    while size > 0 {
        let mut end = items.len();
        while end > 0 {
            let mut parts = Vec::new();
            let mut to = end;
            while to > 0 && parts.len() < jobs.max(1) {
                let from = to.saturating_sub(size);
                parts.push(from..to);
                to = from;
            }
            let slices: Vec<&[T]> = parts.iter().map(|part| &items[part.clone()]).collect();
            match may_go(&slices).and_then(|at| parts.get(at)) {
                Some(part) => {
                    end = part.start;
                    items.drain(part.clone());
                }
                None => end = to,
            }
        }
        let half = size.div_ceil(2).min(items.len());
        size = if size == 1 { 0 } else { half };
    }
    items
}

/// Runs a world; says when this checker speaks, if it counts.
fn fails(config: &Config, entries: &[Entry], checker: &str) -> Option<Millis> {
    let failure = run::run(config, entries, 0).failure?;
    if failure.checker != checker {
        return None;
    }
    if config.mutant.is_some() {
        let mut sane = config.clone();
        sane.mutant = None;
        if run::run(&sane, entries, 0).failure.is_some() {
            return None;
        }
    }
    Some(failure.at)
}

fn key((config, entries): &World) -> [u8; 32] {
    let json = serde_json::to_vec(&(config, entries)).unwrap_or_default();
    *blake3::hash(&json).as_bytes()
}

/// Two entries of one sort do the same thing, to whomever.
fn sort(what: &What) -> (Option<std::mem::Discriminant<Act>>, Option<Class>) {
    match what {
        What::Act { act, .. } => (Some(discriminant(act)), what.class()),
        What::Fault(_) => (None, what.class()),
    }
}

/// Makes an entry smaller, if it can be.
fn smaller(entry: &mut Entry) -> Option<()> {
    match &mut entry.what {
        What::Act {
            act: Act::Post { len, .. } | Act::Thread { len, .. } | Act::Reply { len, .. },
            ..
        } if *len > LEN_MIN => *len = LEN_MIN,
        What::Fault(fault) => *fault = halved(fault)?,
        What::Act { .. } => return None,
    }
    Some(())
}

fn halved(fault: &Fault) -> Option<Fault> {
    fault.lasts_ms().filter(|ms| *ms > FAULT_MS_MIN)?;
    fault.halved()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_go_goes_and_what_must_stay_stays() {
        for jobs in [1, 2, 5] {
            for needed in [&[][..], &[0], &[63], &[3, 17, 40]] {
                let mut left: Vec<u32> = (0..64).collect();
                let mut tries = 0;
                let stays = ddmin(left.clone(), jobs, |parts| {
                    assert!((1..=jobs).contains(&parts.len()));
                    tries += parts.len();
                    let at = parts
                        .iter()
                        .position(|part| needed.iter().all(|n| !part.contains(n)))?;
                    left.retain(|n| !parts[at].contains(n));
                    Some(at)
                });
                assert_eq!(stays, needed, "{jobs} jobs");
                assert_eq!(stays, left);
                // Far fewer than one try for each and each again.
                assert!(tries < 40 * jobs, "{tries} tries for {needed:?}");
            }
        }
    }

    #[test]
    fn values_shrink_down_to_an_end() {
        let at = 7;
        let act = Act::Post {
            channel: 1,
            len: 3_000,
        };
        let mut post = Entry {
            at,
            what: What::Act { who: 0, act },
        };
        assert_eq!(smaller(&mut post), Some(()));
        assert_eq!(smaller(&mut post), None);
        let mut clog = Entry {
            at,
            what: What::Fault(Fault::Clog {
                node: 0,
                relay: 0,
                for_ms: 40_000,
            }),
        };
        let halvings = core::iter::from_fn(|| smaller(&mut clog)).count();
        assert!((2..10).contains(&halvings), "{halvings}");
    }

    #[test]
    fn a_world_that_does_not_fail_stays_as_it_is() {
        let mut config = Config::draw(5, Some(Profile::Chat));
        config.lasts_ms = config.calm_ms + 60_000;
        let entries = run::schedule(&config);
        let over = || false;
        let shrinker = Shrinker::new(config.clone(), entries.clone(), "S3", 2, &over);
        assert_eq!(shrinker.shrink(), (config, entries));
    }
}
