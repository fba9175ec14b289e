//! `sim cover`, `sim bench`, `sim dump`: what fires, how fast it goes, what a device holds.

use std::io;
use std::process::ExitCode;
use std::time::Instant;

use clap::Args;

use crate::check::{CHECKERS, SOMETIMES, Sometimes};
use crate::cli::capsules::Source;
use crate::cli::one::{seed, time};
use crate::config::{Config, Profile};
use crate::fault::{Class, Fired, NOT_MET};
use crate::run;
use crate::scenario;
use crate::world::World;

/// Classes that a campaign must show to fire.
const CLASSES_MIN: usize = 45;

/// Shows that every fault class really fires.
#[derive(Debug, Args)]
pub(crate) struct Cover {
    /// Seeds tried for each theme, until all of its classes have fired.
    #[arg(long, default_value = "60", value_parser = seed)]
    seeds: u64,
}

impl Cover {
    pub(crate) fn run(&self, json: bool) -> ExitCode {
        let (mut fired, mut sometimes) = (Fired::default(), Sometimes::default());
        let mut worlds = 0;
        // What nobody can tell from a config before it happened needs worlds of every theme.
        let (quiet, entries) = scenario::QUIET.build(1);
        let outcome = run::run(&quiet, &entries, 0);
        sometimes.add(&outcome.sometimes);
        for seed in 0..self.seeds {
            for profile in Profile::SWARM {
                let config = Config::draw(seed, Some(profile));
                let new_class = config.on.iter().any(|class| !fired.0.contains_key(class));
                // Only worlds that can show something new.
                if !new_class && never(&sometimes).next().is_none() {
                    continue;
                }
                let outcome = run::run(&config, &run::schedule(&config), 0);
                fired.add(&outcome.fired);
                sometimes.add(&outcome.sometimes);
                worlds += 1;
            }
        }
        let missing: Vec<&str> = never(&sometimes).collect();
        if json {
            let all = serde_json::json!({
                "worlds": worlds, "fired": fired, "sometimes": sometimes, "never": missing,
            });
            println!("{all}");
        } else {
            let mut group = "";
            for class in Class::ALL {
                if class.group() != group {
                    group = class.group();
                    println!("{group}");
                }
                let count = fired.0.get(class).copied().unwrap_or(0);
                let name = format!("{class:?}");
                println!("  {name:<22}{count:>9}  {}", class.what());
            }
            println!("sometimes");
            for (what, count) in &sometimes.0 {
                println!("  {count:>9}  {what}");
            }
            for what in &missing {
                println!("      NEVER  {what}");
            }
            println!("checkers");
            for (id, what) in CHECKERS {
                println!("  {id:<5}{what}");
            }
            println!("not met, and why");
            for (what, why) in NOT_MET {
                println!("  {what}: {why}");
            }
            println!(
                "{} of {} classes fired in {worlds} worlds; {} of {} things happened that must sometimes",
                fired.0.len(),
                Class::ALL.len(),
                SOMETIMES.len() - missing.len(),
                SOMETIMES.len()
            );
        }
        ExitCode::from(u8::from(fired.0.len() < CLASSES_MIN || !missing.is_empty()))
    }
}

/// What must happen sometimes and did not.
fn never(sometimes: &Sometimes) -> impl Iterator<Item = &'static str> {
    let all = SOMETIMES.iter().copied();
    all.filter(|what| !sometimes.0.contains_key(*what))
}

/// Measures how fast worlds go.
#[derive(Debug, Args)]
pub(crate) struct Bench {
    /// People.
    #[arg(long, default_value_t = 20)]
    nodes: u16,
    /// Simulated minutes of chat.
    #[arg(long, default_value_t = 60)]
    minutes: u64,
    /// How often each is measured; the best counts.
    #[arg(long, default_value_t = 3)]
    rounds: u32,
}

impl Bench {
    #[expect(clippy::disallowed_methods, reason = "measuring is what it is for")]
    pub(crate) fn run(&self, json: bool) -> ExitCode {
        let mut best: Option<(u128, run::Outcome)> = None;
        for _ in 0..self.rounds.max(1) {
            let mut config = Config::draw(1, Some(Profile::Calm));
            config.nodes = self.nodes;
            config.lasts_ms = self.minutes * 60_000;
            config.act_every_ms = 60_000;
            let entries = run::schedule(&config);
            let since = Instant::now();
            let outcome = run::run(&config, &entries, 0);
            let micros = since.elapsed().as_micros().max(1);
            if best.as_ref().is_none_or(|(least, _)| micros < *least) {
                best = Some((micros, outcome));
            }
        }
        let Some((micros, outcome)) = best else {
            return ExitCode::FAILURE;
        };
        let per_sec = |n: u64| (u128::from(n) * 1_000_000 / micros) as u64;
        let speed = per_sec(outcome.sim_ms) / 1_000;
        if json {
            let all = serde_json::json!({
                "nodes": self.nodes, "sim_ms": outcome.sim_ms, "wall_us": micros as u64,
                "simulated_seconds_per_second": speed, "deliveries_per_second": per_sec(outcome.delivered),
                "frames_per_second": per_sec(outcome.frames), "events_per_second": per_sec(outcome.events),
            });
            println!("{all}");
        } else {
            println!(
                "real cryptography, {} people chatting for {}: {} ms of wall time",
                self.nodes,
                time(outcome.sim_ms),
                micros / 1000
            );
            println!(
                "{speed} simulated seconds a second, {} deliveries, {} frames, {} events a second",
                per_sec(outcome.delivered),
                per_sec(outcome.frames),
                per_sec(outcome.events)
            );
        }
        ExitCode::from(u8::from(outcome.failure.is_some()))
    }
}

/// Prints what a device holds at the end, as `decent audit dump --json` does.
#[derive(Debug, Args)]
pub(crate) struct Dump {
    #[command(flatten)]
    source: Source,
    /// Which device.
    #[arg(long, default_value_t = 0)]
    device: u16,
}

impl Dump {
    pub(crate) fn run(&self) -> io::Result<ExitCode> {
        let (config, entries) = self.source.world()?;
        let lasts = config.lasts_ms;
        let mut world = World::new(config, entries, 0);
        world.run_until(world.config.calm_ms);
        world.line = world.config.line.clone();
        world.run_until(lasts);
        for line in world.dump_lines(self.device)? {
            println!("{line}");
        }
        Ok(ExitCode::SUCCESS)
    }
}
