//! The command `sim`: what can be asked, and how it is told.

mod one;
mod swarm;

use std::process::ExitCode;

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
}

/// Runs the program.
pub fn main() -> ExitCode {
    crate::run::take_panics();
    let args = Args::parse();
    match args.command {
        Command::Run(run) => run.run(args.json),
        Command::Swarm(swarm) => swarm.run(args.json),
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
