//! `decent desktop`: starts the app in a window, the program beside this one.

use std::path::PathBuf;
use std::process::{Command, ExitCode};

use crate::args::{DesktopArgs, Globals};
use crate::error::CliError;

/// The program's name; it is installed beside `decent`.
const PROGRAM: &str = "decent-desktop";

/// Starts the app and waits until its window is closed.
///
/// # Errors
/// When it is not there, or the system refuses.
pub(crate) fn run(globals: &Globals, args: &DesktopArgs) -> Result<ExitCode, CliError> {
    let status = command(globals, args)?.status();
    let status = status.map_err(|source| CliError::System {
        doing: "start decent-desktop, which is installed beside decent (docs/desktop.md)",
        source,
    })?;
    Ok(if status.success() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn command(globals: &Globals, args: &DesktopArgs) -> Result<Command, CliError> {
    let mut command = Command::new(program()?);
    if let Some(dir) = &globals.profile {
        command.arg("--profile").arg(dir);
    }
    if globals.offline {
        command.arg("--offline");
    }
    for relay in &globals.relay {
        command.args(["--relay", relay]);
    }
    if let Some(link) = &args.link {
        // What comes next is no option, whatever it begins with.
        command.args(["--", link]);
    }
    Ok(command)
}

fn program() -> Result<PathBuf, CliError> {
    let this = std::env::current_exe().map_err(|source| CliError::System {
        doing: "find this program",
        source,
    })?;
    let mut path = this.with_file_name(PROGRAM);
    path.set_extension(std::env::consts::EXE_EXTENSION);
    Ok(path)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::args::{Cli, Top};

    #[test]
    fn what_holds_for_every_command_holds_for_the_window() {
        let words = [
            "decent",
            "desktop",
            "--offline",
            "--profile",
            "p",
            "--relay",
            "r",
            "decent://join/x",
        ];
        let cli = Cli::try_parse_from(words).unwrap();
        let Top::Desktop(args) = cli.command else {
            panic!("not the desktop");
        };
        let command = command(&cli.globals, &args).unwrap();
        let given: Vec<_> = command.get_args().map(|a| a.to_str().unwrap()).collect();
        let wanted = [
            "--profile",
            "p",
            "--offline",
            "--relay",
            "r",
            "--",
            "decent://join/x",
        ];
        assert_eq!(given, wanted);
        assert!(command.get_program().to_str().unwrap().contains(PROGRAM));
    }
}
