//! `sim`: runs worlds, and tells what broke in them.

use std::process::ExitCode;

fn main() -> ExitCode {
    sim::cli::main()
}
