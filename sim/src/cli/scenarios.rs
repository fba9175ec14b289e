//! `sim scenarios`, and `sim run --scenario`: worlds that somebody thought out.

use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use clap::Args;

use crate::capsule::Capsule;
use crate::cli::one::{fail_line, keep, time};
use crate::run;
use crate::scenario::{self, Scenario};

/// Lists the scenarios that `sim run --scenario` knows.
#[derive(Debug, Args)]
pub(crate) struct Scenarios {}

impl Scenarios {
    #[expect(clippy::unused_self, reason = "shaped like the other commands")]
    pub(crate) fn run(&self, json: bool) -> ExitCode {
        if json {
            let all = scenario::ALL
                .iter()
                .map(|s| serde_json::json!({ "name": s.name, "what": s.what }));
            say!("{}", all.collect::<serde_json::Value>());
        } else {
            say!("{}", list().trim_end());
        }
        ExitCode::SUCCESS
    }
}

/// Names and what they are about, for people.
pub(crate) fn list() -> String {
    let rows = scenario::ALL.iter();
    rows.map(|s| format!("{:<18}{}\n", s.name, s.what))
        .collect()
}

/// Runs one of them or all, and tells how each came out.
#[expect(
    clippy::disallowed_methods,
    reason = "wall time is told, and decides nothing"
)]
pub(crate) fn run(name: &str, seed: u64, dir: &Path, json: bool) -> ExitCode {
    let chosen: Vec<&Scenario> = match (name, scenario::find(name)) {
        ("all", _) => scenario::ALL.iter().collect(),
        (_, Some(scenario)) => vec![scenario],
        (_, None) => {
            eprintln!(
                "sim: there is no scenario {name}; these there are:\n{}",
                list()
            );
            return ExitCode::from(2);
        }
    };
    let mut failed = 0;
    for scenario in &chosen {
        let (config, entries) = scenario.build(seed);
        let since = Instant::now();
        let outcome = run::run(&config, &entries, 0);
        let wall_ms = since.elapsed().as_millis();
        let failure = outcome.failure.as_ref();
        let known = failure.and_then(|f| scenario::known(scenario.name, &f.checker));
        failed += u32::from(failure.is_some() && known.is_none());
        if json {
            let row = serde_json::json!({
                "scenario": scenario.name, "known": known, "outcome": outcome,
            });
            say!("{row}");
            continue;
        }
        let mended = scenario::KNOWN.iter().any(|known| known.0 == scenario.name);
        let how = match (failure, &outcome.excused) {
            (Some(failure), _) => {
                let known = known.map_or_else(String::new, |why| format!("known ({why}): "));
                format!("{known}{}", fail_line(&outcome, failure))
            }
            (None, _) if mended => "MENDED: no longer fails".to_owned(),
            (None, Some(why)) => format!("as promised; not asked to converge: {why}"),
            (None, None) => "as promised".to_owned(),
        };
        say!(
            "{:<18}{:>14} in {wall_ms:>6} ms  {how}",
            scenario.name,
            time(outcome.sim_ms)
        );
        if failure.is_some()
            && known.is_none()
            && let Some(capsule) = Capsule::of(&config, &entries)
        {
            keep(&capsule, dir);
        }
    }
    if chosen.len() > 1 && !json {
        say!("{} scenarios, {failed} came out otherwise", chosen.len());
    }
    ExitCode::from(u8::from(failed > 0))
}
