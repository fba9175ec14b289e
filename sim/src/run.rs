//! One run: safety under faults, then a healed core that must converge.
//!
//! In the safety phase anything may go wrong and nothing is promised about progress. Then a
//! random core of devices is healed, everything else is frozen for good, and the core has to
//! come to one state within a bound.

use std::any::Any;
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::panic::{self, AssertUnwindSafe};

use oplog::tuning::Knob;
use serde::{Deserialize, Serialize};

use crate::check::liveness::Verdict;
use crate::check::{Failure, Sometimes};
use crate::clock::Clock;
use crate::config::{Config, LIVENESS_MS, Line, READD_MS};
use crate::fault::Fired;
use crate::line::State;
use crate::queue::Millis;
use crate::rng::Seed;
use crate::schedule::Entry;
use crate::trace::Row;
use crate::world::World;

/// How often a healed core is asked whether it is whole, in milliseconds.
const ASK_EVERY_MS: Millis = 20_000;
/// A clock that was further ahead than this leaves ops that nobody can take for as long.
const AHEAD_MS_MAX: u64 = 6 * 3_600_000;

/// What came of a run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Outcome {
    pub(crate) seed: u64,
    pub(crate) config_hash: String,
    pub(crate) trace_hash: String,
    pub(crate) failure: Option<Failure>,
    /// Why convergence was not demanded, if it was not.
    pub(crate) excused: Option<String>,
    /// Virtual time that passed, in milliseconds.
    pub(crate) sim_ms: Millis,
    /// How long the healed core took, in milliseconds.
    pub(crate) healed_ms: Option<Millis>,
    pub(crate) nodes: u16,
    pub(crate) events: u64,
    pub(crate) frames: u64,
    /// What was put on the lines, also what got lost there.
    #[serde(default)]
    pub(crate) bytes: u64,
    /// Commits that the device knows which knows most, those of all branches.
    #[serde(default)]
    pub(crate) commits: usize,
    /// Epochs among them that more than one commit follows.
    #[serde(default)]
    pub(crate) forks: usize,
    /// Ops accepted, counted once for each device.
    pub(crate) delivered: u64,
    /// Those of them that another device had accepted before: all but an author's own.
    pub(crate) taken: u64,
    pub(crate) ops: usize,
    pub(crate) fired: Fired,
    pub(crate) sometimes: Sometimes,
    #[serde(skip)]
    pub(crate) rows: Vec<Row>,
}

/// Draws everything that people do and that goes wrong.
pub(crate) fn schedule(config: &Config) -> Vec<Entry> {
    let mut entries = crate::workload::draw(config);
    entries.extend(crate::havoc::draw(config));
    entries.extend(crate::byzantine::draw(config));
    // Stable: what was drawn first comes first.
    entries.sort_by_key(|entry| entry.at);
    entries
}

/// Runs a world to its end.
pub(crate) fn run(config: &Config, entries: &[Entry], rows_kept: usize) -> Outcome {
    crate::hashing::in_fixed_order(|| run_here(config, entries, rows_kept))
}

fn run_here(config: &Config, entries: &[Entry], rows_kept: usize) -> Outcome {
    let _on = crate::mutants::turn_on(config);
    let _entered = config.crypto.enter();
    let tuned = config.tuned.as_ref();
    let tuned = tuned.and_then(|tuned| Some((Knob::by_id(&tuned.knob)?, tuned.value)));
    let _tuned = oplog::tuning::tune(tuned);
    let mut world = None;
    let ran = quietly(|| {
        let world = world.insert(World::new(config.clone(), entries.to_vec(), rows_kept));
        phases(world)
    });
    let Some(mut world) = world else {
        return Outcome {
            seed: config.seed,
            config_hash: config.hash(),
            trace_hash: String::new(),
            failure: ran.err().map(|what| Failure {
                checker: "S11".to_owned(),
                node: None,
                at: 0,
                row: 0,
                what,
            }),
            excused: None,
            sim_ms: 0,
            healed_ms: None,
            nodes: config.nodes,
            events: 0,
            frames: 0,
            bytes: 0,
            commits: 0,
            forks: 0,
            delivered: 0,
            taken: 0,
            ops: 0,
            fired: Fired::default(),
            sometimes: Sometimes::default(),
            rows: Vec::new(),
        };
    };
    let (excused, healed_ms) = match ran {
        Ok(end) => end,
        Err(panic) => {
            world.fail("S11", None, panic);
            (None, None)
        }
    };
    let (commits, forks) = world.commits();
    Outcome {
        seed: config.seed,
        config_hash: config.hash(),
        trace_hash: world.trace.hash(),
        failure: world.failure.clone(),
        excused: excused.map(str::to_owned),
        sim_ms: world.now(),
        healed_ms,
        nodes: config.nodes,
        events: world.events,
        frames: world.frames,
        bytes: world.bytes,
        commits,
        forks,
        delivered: world.delivered,
        taken: world.taken,
        ops: world
            .devices
            .iter()
            .map(|d| d.accepted.len())
            .max()
            .unwrap_or(0),
        fired: world.fired.clone(),
        sometimes: world.sometimes.clone(),
        rows: world.trace.rows(),
    }
}

fn phases(world: &mut World) -> (Option<&'static str>, Option<Millis>) {
    let calm = world.config.calm_ms;
    world.run_until(calm);
    world.line = world.config.line.clone();
    world.run_until(world.config.lasts_ms);
    if world.failure.is_some() {
        return (None, None);
    }
    world.check_all();
    world.check_scenario_before();
    world.freeze_all_but_core();
    let from = world.now();
    let bound = world.config.liveness_ms.unwrap_or(LIVENESS_MS);
    let mut until = from + bound + world.ahead_ms.min(AHEAD_MS_MAX);
    let mut longer = world.config.liveness_ms.is_none();
    let far_ahead = world.ahead_ms > AHEAD_MS_MAX;
    let mut verdict = Verdict::Excused("a checker spoke");
    let mut healed = None;
    while world.failure.is_none() && world.now() < until {
        // Often at first, then rarely: asking costs more than living.
        let next = world.now() + ASK_EVERY_MS.max((world.now() - from) / 8);
        world.run_until(next);
        verdict = world.core_lacks();
        match verdict {
            Verdict::Lacks { .. } if far_ahead => {
                verdict =
                    Verdict::Excused("a clock was hours ahead, and its ops wait for their time");
                break;
            }
            Verdict::Lacks { checker, .. } => {
                if longer && world.now() >= until && world.waits_for_outsiders() {
                    longer = false;
                    until += READD_MS;
                    world
                        .sometimes
                        .note("who added somebody again was gone, and the answer lost");
                } else if world.now() >= until
                    && matches!(checker, "L1" | "L3" | "L4")
                    && world.outsiders_may_have_lost()
                {
                    verdict =
                        Verdict::Excused("a device outside may have what a disk of the core lost");
                }
            }
            Verdict::Excused(_) => break,
            Verdict::Whole => {
                healed = Some(world.now() - from);
                break;
            }
        }
    }
    if world.failure.is_none() {
        world.check_end();
        world.check_scenario_end();
    }
    match verdict {
        Verdict::Whole => (None, healed),
        Verdict::Excused(why) => (Some(why), None),
        Verdict::Lacks {
            checker,
            node,
            what,
        } => {
            world.fail(checker, Some(node), what);
            (None, None)
        }
    }
}

impl World {
    /// Commits and forks as the honest device sees them that knows most of them.
    fn commits(&self) -> (usize, usize) {
        let honest = self.devices.iter().filter(|device| device.is_honest());
        let rooms = honest.filter_map(|device| device.node.as_ref()?.rooms(self.space?).ok());
        let all = rooms.map(|rooms| (rooms.commits, rooms.forks));
        all.max().unwrap_or_default()
    }

    /// Heals a random core and freezes the rest for good.
    pub(crate) fn freeze_all_but_core(&mut self) {
        let mut s = Seed(self.config.seed).stream("core");
        let candidates: Vec<u16> = self
            .devices
            .iter()
            .filter(|d| {
                !d.byzantine && d.broken.is_none() && !self.config.absent.contains(&d.index)
            })
            .map(|d| d.index)
            .collect();
        let everybody = s.chance(500_000) || self.config.scenario.is_some();
        let fresh = s.chance(500_000);
        let mut core: BTreeSet<u16> = candidates
            .iter()
            .copied()
            .filter(|_| s.chance(600_000) || everybody)
            .collect();
        while core.len() < 2 && core.len() < candidates.len() {
            core.extend(s.pick(&candidates));
        }
        let text = format!("{core:?}");
        self.note(
            None,
            None,
            crate::trace::Kind::Heal,
            text.as_bytes(),
            || format!("the core is {text}"),
        );
        self.cuts.clear();
        self.line = Line::good();
        for relay in 0..self.config.relays {
            self.host(relay).lies.clear();
            self.host(relay).up = true;
        }
        self.entries.clear();
        for node in 0..self.config.nodes {
            // Who wakes finds that pings went unanswered.
            let asleep = self.device(node).asleep_until.is_some();
            for relay in 0..self.config.relays {
                let conn = &mut self.device(node).conns[usize::from(relay)];
                conn.clogged_until = 0;
                conn.dead_until = 0;
                if let State::Up(id) = conn.state {
                    // In half of the worlds what is up stays up: nobody gets a fresh start for nothing.
                    if core.contains(&node) && !fresh && !asleep {
                        continue;
                    }
                    if core.contains(&node) {
                        self.break_both(node, relay, id, "healed");
                    } else {
                        self.host(relay).disconnected(id);
                    }
                }
            }
            let device = self.device(node);
            if let Some(disk) = device.machine.disk() {
                disk.heal();
            }
            device.dies_after = None;
            device.asleep_until = None;
            device.clock = Clock::default();
        }
        self.core = Some(core.clone());
        for node in core {
            let device = self.device(node);
            if device.machine.is_off() {
                self.crash(node, true, crate::fault::Class::CrashMidWrite);
            }
            self.boot(node);
            self.redial(node);
            self.plan_wake(node);
        }
    }
}

thread_local! {
    static PANIC: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Takes panics of runs for itself, instead of printing each.
pub(crate) fn take_panics() {
    let before = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        let quiet = PANIC.with(|slot| match slot.try_borrow_mut() {
            Ok(mut slot) if slot.is_some() => {
                *slot = Some(info.to_string().replace('\n', " "));
                true
            }
            _ => false,
        });
        if !quiet {
            before(info);
        }
    }));
}

/// Runs something; a panic becomes its message.
fn quietly<T>(run: impl FnOnce() -> T) -> Result<T, String> {
    PANIC.with(|slot| *slot.borrow_mut() = Some(String::new()));
    let result = panic::catch_unwind(AssertUnwindSafe(run));
    let message = PANIC.with(|slot| slot.borrow_mut().take());
    result.map_err(|payload| match message {
        Some(message) if !message.is_empty() => message,
        _ => words_of(&*payload),
    })
}

fn words_of(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().map(|s| (*s).to_owned());
    text.or_else(|| payload.downcast_ref::<String>().cloned())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Profile;
    use crate::fault::Class;
    use crate::schedule::{Fault, What};

    /// A world small enough for every test run.
    fn small(seed: u64, profile: Profile) -> Config {
        let mut config = Config::draw(seed, Some(profile));
        config.nodes = config.nodes.min(4);
        config.disks.retain(|node| *node < 4);
        config.byzantine.retain(|node| *node < 4);
        config.lasts_ms = config.calm_ms + 300_000;
        config
    }

    #[test]
    fn a_seed_gives_the_same_bytes() {
        for profile in [Profile::Chat, Profile::Storage, Profile::Byz] {
            let config = small(11, profile);
            let entries = schedule(&config);
            let (one, other) = (run(&config, &entries, 0), run(&config, &entries, 0));
            assert!(one.events > 100, "{profile:?}");
            assert_eq!(one.trace_hash, other.trace_hash, "{profile:?}");
            assert_eq!(one.failure, None, "{profile:?}");
        }
    }

    #[test]
    fn another_seed_gives_another_world() {
        let hash = |seed| {
            let config = small(seed, Profile::Chat);
            run(&config, &schedule(&config), 0).trace_hash
        };
        assert_ne!(hash(1), hash(2));
    }

    #[test]
    fn what_is_struck_out_leaves_the_other_draws_alone() {
        let config = small(3, Profile::Moderation);
        let mut fewer = config.clone();
        fewer.on.remove(&Class::Kill);
        let others = |config: &Config| {
            let mut entries = crate::havoc::draw(config);
            entries.retain(|e| e.what.class() != Some(Class::Kill));
            entries
        };
        // The mean time between faults belongs to the config, not to the classes that are left.
        assert_eq!(others(&config), others(&fewer));
    }

    #[test]
    fn a_sleeping_device_that_crashes_wakes_up() {
        let mut config = small(5, Profile::Chat);
        config.on.clear();
        config.line = Line::good();
        let mut entries = schedule(&config);
        let at = config.calm_ms;
        let fault = |at, fault| Entry {
            at,
            what: What::Fault(fault),
        };
        entries.push(fault(
            at,
            Fault::Suspend {
                class: Class::Suspend,
                node: 1,
                for_ms: 86_400_000,
            },
        ));
        entries.push(fault(
            at + 1,
            Fault::Crash {
                class: Class::Kill,
                node: 1,
                after: 0,
                down_ms: 10,
            },
        ));
        let outcome = run(&config, &entries, 0);
        assert_eq!(outcome.failure, None);
        assert!(outcome.healed_ms.is_some(), "{:?}", outcome.excused);
    }
}
