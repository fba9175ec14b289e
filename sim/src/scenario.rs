//! Worlds that somebody thought out: who does what when, and how it must end.
//!
//! Seeds find what nobody thought of; a scenario pins down what everybody asks about. It is a
//! script of acts and faults over a config without chance faults. The seed still draws keys,
//! delays and order, so a scenario runs with any. All checkers look on as in every other world,
//! and at the end the scenario says whether it came out as the protocol promises (`SC`).

mod authority;
mod cast;
mod crowds;
mod finality;
mod machines;
mod relays;

use crate::config::Config;
use crate::schedule::Entry;
use crate::world::World;

/// What a scenario finds wrong, if anything.
pub(crate) type End = Result<(), String>;

/// One scenario.
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    pub(crate) what: &'static str,
    script: fn(u64) -> (Config, Vec<Entry>),
    /// Looked at when the script is over and nothing was healed yet.
    before: fn(&World) -> End,
    /// Looked at when all was healed.
    end: fn(&World) -> End,
}

/// Every scenario.
pub(crate) const ALL: &[Scenario] = &[
    crowds::QUIET,
    crowds::ONBOARDING,
    crowds::INVITE_USED_UP,
    crowds::TWO_WELCOMES,
    crowds::UPDATE_STORM,
    crowds::RAID,
    crowds::STORM,
    crowds::BYZANTINE,
    authority::JOHN_A,
    authority::JOHN_B,
    authority::JOHN_C,
    authority::DUEL,
    authority::DEMOTE_BAN,
    authority::BAN_REINVITE,
    authority::BANNED_ASKS,
    authority::COLLUSION,
    authority::KICKED,
    authority::OWNER_STAYS,
    authority::LATE_POSTS,
    authority::OPEN_SCOPE,
    authority::VOID_GRANT,
    authority::COLLUDERS,
    authority::BACKDATED,
    authority::EQUIVOCATION,
    finality::QUORUM,
    finality::SEAL_NAMES,
    finality::SEAL_CLOSES,
    machines::BACKUP,
    machines::CLONE,
    machines::LAPTOP,
    machines::MONTHS,
    machines::PHONE,
    machines::DISK_FULL,
    machines::CLOCK_1970,
    machines::CRASH_POINTS,
    relays::LOSES_ALL,
    relays::FORKED_VIEWS,
];

/// Those that fail still: the checker that speaks, and why. Told, and not counted.
pub(crate) const KNOWN: &[(&str, &str, &str)] = &[];

/// Why a scenario may fail with this checker, if it is known to.
pub(crate) fn known(name: &str, checker: &str) -> Option<&'static str> {
    let fits = |(n, c, _): &&(&str, &str, &str)| *n == name && *c == checker;
    KNOWN.iter().find(fits).map(|(.., why)| *why)
}

/// The one in which nothing goes wrong.
pub(crate) const QUIET: &Scenario = &crowds::QUIET;

/// Finds one by its name.
pub(crate) fn find(name: &str) -> Option<&'static Scenario> {
    ALL.iter().find(|scenario| scenario.name == name)
}

impl Scenario {
    /// Makes its world of this seed.
    pub(crate) fn build(&self, seed: u64) -> (Config, Vec<Entry>) {
        let (mut config, mut entries) = (self.script)(seed);
        config.scenario = Some(self.name.to_owned());
        entries.sort_by_key(|entry| entry.at);
        (config, entries)
    }
}

impl World {
    /// SC: what the scenario demands before anything is healed.
    pub(crate) fn check_scenario_before(&mut self) {
        self.check_scenario(|scenario| scenario.before);
    }

    /// SC: what the scenario demands at the end.
    pub(crate) fn check_scenario_end(&mut self) {
        self.check_scenario(|scenario| scenario.end);
    }

    fn check_scenario(&mut self, of: impl Fn(&Scenario) -> fn(&Self) -> End) {
        let Some(scenario) = self.config.scenario.as_deref().and_then(find) else {
            return;
        };
        if let Err(what) = of(scenario)(self) {
            let what = format!("{}: {what}", scenario.name);
            self.fail("SC", None, what);
        }
    }
}

const fn nothing(_: &World) -> End {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run;
    use std::collections::BTreeSet;

    #[test]
    fn every_scenario_has_a_name_of_its_own() {
        let names: BTreeSet<_> = ALL.iter().map(|scenario| scenario.name).collect();
        assert_eq!(names.len(), ALL.len());
        assert!(ALL.iter().all(|s| find(s.name).is_some()));
        for (name, checker, _) in KNOWN {
            assert!(find(name).is_some() && known(name, checker).is_some());
            assert_eq!(known(name, "no checker"), None);
        }
    }

    /// The short ones. All of them: `sim run --scenario all`.
    #[test]
    fn john_and_bob_end_as_promised() {
        for name in [
            "john-bob-a",
            "john-bob-b",
            "john-bob-c",
            "admin-duel",
            "open-scope",
        ] {
            let (config, entries) = find(name).expect("it is in the list").build(1);
            let outcome = run::run(&config, &entries, 0);
            assert_eq!(outcome.failure, None, "{name}");
            assert!(outcome.ops > 10, "{name}: {} ops", outcome.ops);
        }
    }

    /// In every way at once. Each way alone: `sim swarm --scenario byzantine-n-2 --seeds 0..N`. With the
    /// sixth seed the two do not come to hold the same; in the next round of all ways they do.
    #[test]
    fn two_honest_people_agree_however_many_cheat() {
        let mut people = BTreeSet::new();
        for seed in (0..5).chain([5 + crowds::BYZANTINE_SEEDS]) {
            let (config, entries) = crowds::BYZANTINE.build(seed);
            assert_eq!(config.byzantine.len(), usize::from(config.nodes) - 2);
            assert!(config.on.len() > 30, "{} ways to cheat", config.on.len());
            people.insert(config.nodes);
            let outcome = run::run(&config, &entries, 0);
            assert_eq!(outcome.failure, None, "{} people", config.nodes);
            assert!(outcome.fired.total() > 0 && outcome.ops > 10);
        }
        assert_eq!(people, (3..=8).collect());
    }

    #[test]
    fn the_seeds_of_the_byzantine_scenario_go_through_every_way_with_every_number() {
        let (mut ways, seeds) = (BTreeSet::new(), crowds::BYZANTINE_SEEDS);
        for seed in 0..seeds {
            let (config, _) = crowds::BYZANTINE.build(seed);
            ways.insert((config.nodes, config.on));
        }
        assert_eq!(ways.len() as u64, seeds);
    }
}
