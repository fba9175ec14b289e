//! Completions for the shells people use.

use clap::CommandFactory;

use crate::args::{Cli, CompletionsArgs};
use crate::error::CliError;
use crate::print::Printer;

/// Prints the completion script.
///
/// # Errors
/// When standard output is gone.
pub(crate) fn print(args: &CompletionsArgs, printer: Printer) -> Result<(), CliError> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "decent", &mut script);
    printer.text(&String::from_utf8_lossy(&script))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum;
    use clap_complete::Shell;

    use super::*;

    #[test]
    fn every_shell_gets_a_script_that_knows_the_commands() {
        for shell in Shell::value_variants() {
            let mut script = Vec::new();
            clap_complete::generate(*shell, &mut Cli::command(), "decent", &mut script);
            let script = String::from_utf8(script).unwrap();
            for word in ["restore-post", "invite", "passphrase-file"] {
                assert!(script.contains(word), "{shell}: {word}");
            }
        }
    }
}
