//! From a failing run to a small one that fails in the same checker.
//!
//! In this order: less time, fewer fault classes, fewer people, fewer entries (ddmin, Zeller
//! and Hildebrandt 2002), smaller values. Because every stream of chance has its own name,
//! what is taken away leaves the rest as it was.

use std::collections::BTreeSet;

use crate::config::Config;
use crate::fault::Class;
use crate::run::{self, Outcome};
use crate::schedule::{Act, Entry, What};

/// A run that is getting smaller.
pub(crate) struct Shrinker<'a> {
    pub(crate) config: Config,
    pub(crate) entries: Vec<Entry>,
    checker: String,
    /// Says whether time is up.
    over: &'a dyn Fn() -> bool,
    pub(crate) runs: u64,
}

impl<'a> Shrinker<'a> {
    pub(crate) fn new(
        config: Config,
        entries: Vec<Entry>,
        checker: &str,
        over: &'a dyn Fn() -> bool,
    ) -> Self {
        Self {
            config,
            entries,
            checker: checker.to_owned(),
            over,
            runs: 0,
        }
    }

    /// Shrinks until nothing helps or time is up.
    pub(crate) fn shrink(&mut self) {
        self.less_time();
        self.fewer_classes();
        self.fewer_people();
        self.fewer_entries();
        self.simpler_line();
        self.smaller_values();
        // What was struck out may have been all that kept other things in.
        self.fewer_people();
        self.fewer_entries();
    }

    /// Runs a candidate; keeps it when the same checker speaks.
    fn keeps(&mut self, config: Config, entries: Vec<Entry>) -> Option<Outcome> {
        if (self.over)() {
            return None;
        }
        self.runs += 1;
        let outcome = run::run(&config, &entries, 0);
        let same = outcome
            .failure
            .as_ref()
            .is_some_and(|f| f.checker == self.checker);
        if !same {
            return None;
        }
        self.config = config;
        self.entries = entries;
        Some(outcome)
    }

    fn less_time(&mut self) {
        // A checker of the safety phase spoke at some moment: what comes later is not needed.
        let outcome = run::run(&self.config, &self.entries, 0);
        if let Some(failure) = outcome.failure
            && failure.at < self.config.lasts_ms
        {
            let mut config = self.config.clone();
            config.lasts_ms = failure.at + 1;
            let entries = self
                .entries
                .iter()
                .filter(|e| e.at <= failure.at)
                .cloned()
                .collect();
            self.keeps(config, entries);
        }
        for _ in 0..8 {
            let mut config = self.config.clone();
            config.lasts_ms = config.lasts_ms * 2 / 3;
            let entries = self
                .entries
                .iter()
                .filter(|e| e.at < config.lasts_ms)
                .cloned()
                .collect();
            if self.keeps(config, entries).is_none() {
                break;
            }
        }
    }

    fn fewer_classes(&mut self) {
        let classes: BTreeSet<Class> = self.entries.iter().filter_map(|e| e.what.class()).collect();
        for class in classes.into_iter().chain(self.config.on.clone()) {
            let mut config = self.config.clone();
            config.on.remove(&class);
            match class {
                Class::Loss => config.line.loss_ppm = 0,
                Class::Duplicate => config.line.duplicate_ppm = 0,
                Class::Delay | Class::Reorder => config.line.delay_mean_ms = 0,
                Class::Tail => config.line.tail_ppm = 0,
                Class::Bandwidth => config.line.bytes_per_sec = 0,
                Class::QueueFull => config.line.queue_frames = 0,
                _ => {}
            }
            let entries = self
                .entries
                .iter()
                .filter(|e| e.what.class() != Some(class))
                .cloned()
                .collect();
            self.keeps(config, entries);
        }
    }

    fn fewer_people(&mut self) {
        for who in (1..self.config.nodes).rev() {
            if self.config.absent.contains(&who) {
                continue;
            }
            let mut config = self.config.clone();
            config.absent.insert(who);
            let entries = self
                .entries
                .iter()
                .filter(|e| e.what.node() != Some(who))
                .cloned()
                .collect();
            self.keeps(config, entries);
        }
        // A tail of absent people need not be there at all.
        while self.config.nodes > 2 && self.config.absent.contains(&(self.config.nodes - 1)) {
            let mut config = self.config.clone();
            config.nodes -= 1;
            config.absent.remove(&config.nodes);
            config.disks.remove(&config.nodes);
            config.byzantine.remove(&config.nodes);
            let entries = self.entries.clone();
            if self.keeps(config, entries).is_none() {
                break;
            }
        }
    }

    fn fewer_entries(&mut self) {
        let mut parts = 2;
        while self.entries.len() > 1 && !(self.over)() {
            let size = self.entries.len().div_ceil(parts);
            let mut smaller = false;
            let mut at = 0;
            while at < self.entries.len() {
                let end = (at + size).min(self.entries.len());
                let mut entries = self.entries.clone();
                entries.drain(at..end);
                if self.keeps(self.config.clone(), entries).is_some() {
                    smaller = true;
                } else {
                    at = end;
                }
                if (self.over)() {
                    return;
                }
            }
            if size == 1 && !smaller {
                return;
            }
            parts = (parts * 2).min(self.entries.len().max(2));
        }
    }

    fn simpler_line(&mut self) {
        let mut config = self.config.clone();
        config.line = crate::config::Line::good();
        let entries = self.entries.clone();
        self.keeps(config, entries);
        let mut config = self.config.clone();
        config.disks.clear();
        let entries = self.entries.clone();
        self.keeps(config, entries);
        while self.config.relays > 1 {
            let mut config = self.config.clone();
            config.relays -= 1;
            let entries = self.entries.clone();
            if self.keeps(config, entries).is_none() {
                break;
            }
        }
    }

    fn smaller_values(&mut self) {
        for at in 0..self.entries.len() {
            let mut entries = self.entries.clone();
            let Some(entry) = entries.get_mut(at) else {
                return;
            };
            match &mut entry.what {
                What::Act {
                    act: Act::Post { len, .. } | Act::Thread { len, .. } | Act::Reply { len, .. },
                    ..
                } if *len > 20 => {
                    *len = 20;
                }
                What::Fault(fault) => match fault.halved() {
                    Some(half) => *fault = half,
                    None => continue,
                },
                What::Act { .. } => continue,
            }
            self.keeps(self.config.clone(), entries);
        }
    }
}
