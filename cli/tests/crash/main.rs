//! What a machine does to a program: processes killed and stopped anywhere, power cut, bits flipped,
//! the disk full, syncs that fail. Each way is a *lane*, and each lane counts.
//!
//! Without words every lane runs for a moment, as a part of the tests. `-- LANE… NAME=NUMBER…` runs
//! these lanes, and as much of each as wanted; `--help` lists them. The last thing printed is one line
//! of JSON and a table; any acknowledged op that is lost, any start that fails, any panic and anything
//! shown that nobody wrote ends the program with 1.
//!
//! Not here: what many devices do to each other, which is the simulator's (`sim`), and the same harms
//! in memory, where far more of them can be tried (`store/tests/crash.rs`).

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a harness that cannot go on should stop"
)]

mod flips;
mod full;
mod kills;
mod power;
mod program;
mod report;
mod session;
mod shim;
mod stops;
mod told;
mod work;

use std::process::ExitCode;

use report::Counters;
use work::{Amounts, Workshop};

/// One way to harm a program.
struct Lane {
    name: &'static str,
    does: &'static str,
    /// The number that says how much of it to do, how much is enough among the tests, and how much before
    /// a release.
    amount: (&'static str, u64, u64),
    run: fn(&Workshop, u64, &mut Counters),
}

const LANES: &[Lane] = &[
    Lane {
        name: "kill-writer",
        does: "kill -9 of a program that writes, anywhere",
        amount: ("kills", 12, 14_000),
        run: kills::writer,
    },
    Lane {
        name: "kill-relay",
        does: "kill -9 of a relay that takes envelopes in, anywhere",
        amount: ("relay-kills", 6, 5_000),
        run: kills::relay,
    },
    Lane {
        name: "kill-three",
        does: "kill -9 of a sender, a receiver or the relay between them, while all run",
        amount: ("trio-kills", 4, 1_000),
        run: kills::three,
    },
    Lane {
        name: "stop",
        does: "a program that ends at its n-th write, half write, sync, new name, renaming or removal",
        amount: ("stops", 24, 1_000_000),
        run: stops::stops,
    },
    Lane {
        name: "sync-fails",
        does: "the n-th sync fails, once",
        amount: ("syncs", 8, 1_000_000),
        run: stops::syncs,
    },
    Lane {
        name: "full-at-call",
        does: "no room from the n-th call on",
        amount: ("full-calls", 8, 1_000_000),
        run: stops::full,
    },
    Lane {
        name: "power",
        does: "power cuts that keep any subset of the sectors and names that were not synced",
        amount: ("states", 24, 5_000),
        run: power::cuts,
    },
    Lane {
        name: "flip",
        does: "one bit flipped, so many times in every file of a profile",
        amount: ("flips", 1, 300),
        run: flips::flips,
    },
    Lane {
        name: "full",
        does: "a small disk, full at each 4 KiB before its edge",
        amount: ("full", 2, 500),
        run: full::full,
    },
    Lane {
        name: "told",
        does: "what programs log and answer, with every log at its finest level",
        amount: ("told", 1, 3),
        run: told::told,
    },
];

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let said = |word: &str| words.iter().any(|w| w == word);
    if said("--help") {
        println!("crash [--long] [--seed=N] [--seconds-a-lane=N] [LANE…] [NAME=NUMBER…]");
        for lane in LANES {
            let (amount, short, long) = lane.amount;
            println!(
                "  {:12} {}: {amount}={short}, {long} with --long",
                lane.name, lane.does
            );
        }
        return ExitCode::SUCCESS;
    }
    if said("--list") {
        LANES
            .iter()
            .for_each(|lane| println!("{}: test", lane.name));
        return ExitCode::SUCCESS;
    }
    let amounts = Amounts::of(&words);
    // A filter that is meant for other test programs names no lane here.
    let chosen: Vec<&String> = words
        .iter()
        .filter(|w| !w.starts_with('-') && !w.contains('='))
        .collect();
    let wanted = |lane: &Lane| {
        chosen.iter().any(|c| lane.name == *c)
            || chosen.is_empty() && (!amounts.names_any(LANES) || amounts.names(lane))
    };
    let workshop = Workshop::new(amounts.seed());
    let mut reports = Vec::new();
    for lane in LANES.iter().filter(|lane| wanted(lane)) {
        let (name, short, long) = lane.amount;
        let much = if said("--long") { long } else { short };
        let counters = Counters::during(lane.name, amounts.budget(), |counters| {
            (lane.run)(&workshop, amounts.get(name).unwrap_or(much), counters);
        });
        reports.push(counters);
    }
    let good = report::print(&reports);
    workshop.end(good);
    if good {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
