//! The command `sim`: what can be asked, and how it is told.

/// Prints a line, as `println!` does; when nobody reads any more, the program ends.
macro_rules! say {
    ($($what:tt)*) => {
        $crate::cli::print_line(format_args!($($what)*))
    };
}

mod capsules;
mod corpus;
mod measure;
mod model;
mod mutants;
pub(crate) mod one;
mod scenarios;
mod swarm;
mod sweep;

use std::fmt;
use std::io::{self, ErrorKind, Write};
use std::process::{self, ExitCode};

use clap::{Parser, Subcommand};

/// Runs real nodes in seeded, hostile worlds and tells what broke.
#[derive(Debug, Parser)]
#[command(name = "sim", version, about, max_term_width = 100)]
struct Args {
    #[command(subcommand)]
    command: Command,
    /// Tell everything as JSON.
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run one world.
    Run(one::Run),
    /// Run many worlds, each from its own seed.
    Swarm(swarm::Swarm),
    /// Run a failure again and compare byte for byte.
    Replay(capsules::Replay),
    /// Make a failure smaller.
    Shrink(capsules::Shrink),
    /// Print what happened in a world.
    Trace(capsules::Trace),
    /// Draw a world as SVG.
    Picture(capsules::Picture),
    /// List the scenarios that `run --scenario` knows.
    Scenarios(scenarios::Scenarios),
    /// Run every world that once failed.
    Corpus(corpus::Corpus),
    /// Turn deliberate bugs on and see whether the checkers find them.
    Mutants(mutants::Mutants),
    /// Run the same worlds with one number after the other.
    Sweep(sweep::Sweep),
    /// Show that every fault class fires.
    Cover(measure::Cover),
    /// Measure how fast worlds go.
    Bench(measure::Bench),
    /// Print what a device holds, as `decent audit dump --json` does.
    Dump(measure::Dump),
    /// Compute everything in such a dump again, by a model that shares no code with the node.
    Model(model::Model),
}

/// Runs the program.
#[must_use]
pub fn main() -> ExitCode {
    crate::run::take_panics();
    let args = Args::parse();
    let result = match args.command {
        Command::Run(run) => run.run(args.json),
        Command::Swarm(swarm) => Ok(swarm.run(args.json)),
        Command::Replay(replay) => replay.run(args.json),
        Command::Shrink(shrink) => shrink.run(args.json),
        Command::Trace(trace) => trace.run(args.json),
        Command::Picture(picture) => picture.run(),
        Command::Scenarios(scenarios) => Ok(scenarios.run(args.json)),
        Command::Corpus(corpus) => corpus.run(args.json),
        Command::Mutants(mutants) => Ok(mutants.run(args.json)),
        Command::Sweep(sweep) => sweep.run(args.json),
        Command::Cover(cover) => Ok(cover.run(args.json)),
        Command::Bench(bench) => Ok(bench.run(args.json)),
        Command::Dump(dump) => dump.run(),
        Command::Model(model) => model.run(args.json),
    };
    result.unwrap_or_else(|error| {
        eprintln!("sim: {error}");
        ExitCode::from(2)
    })
}

fn print_line(line: fmt::Arguments<'_>) {
    match writeln!(io::stdout(), "{line}") {
        Ok(()) => {}
        // `sim trace … | head` has seen enough: no error, and nothing is left to do.
        Err(gone) if gone.kind() == ErrorKind::BrokenPipe => process::exit(0),
        Err(error) => {
            eprintln!("sim: cannot write what there is to say: {error}");
            process::exit(2)
        }
    }
}

/// One row for people.
pub(crate) fn row_text(row: &crate::trace::Row) -> String {
    let who = match (row.node, row.relay) {
        (Some(node), Some(relay)) => format!("n{node} r{relay}"),
        (Some(node), None) => format!("n{node}"),
        (None, Some(relay)) => format!("r{relay}"),
        (None, None) => "-".to_owned(),
    };
    let kind = format!("{:?}", row.kind).to_lowercase();
    format!(
        "{:>12.3} {who:<8} {kind:<8} {}",
        row.at as f64 / 1000.0,
        row.text
    )
}
