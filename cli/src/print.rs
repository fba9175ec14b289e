//! Standard output and standard error.
//!
//! Whole lines only, so that notices and answers never mix within a line, and no
//! panic when the other end of a pipe is gone.

use std::io::{self, Write};

use serde_json::{Value, json};

use crate::error::CliError;
use crate::output::Output;
use crate::render::Look;

/// Nobody reads standard output any more.
#[derive(Debug, thiserror::Error)]
#[error("cannot write the answer")]
pub(crate) struct Gone {
    /// What the system said; a broken pipe is no failure of ours.
    pub(crate) source: io::Error,
}

/// How to print.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Printer {
    /// JSON instead of text.
    pub(crate) json: bool,
    /// Colours of standard output.
    pub(crate) look: Look,
}

impl Printer {
    /// A printer for standard output.
    pub(crate) fn new(json: bool) -> Self {
        let look = if json { Look::PLAIN } else { Look::of_stdout() };
        Self { json, look }
    }

    /// Prints the answer to a command.
    ///
    /// # Errors
    /// When standard output is gone.
    pub(crate) fn output(self, output: &Output) -> Result<(), Gone> {
        if self.json {
            output.rows().iter().try_for_each(|row| self.row(row))
        } else {
            self.text(&output.text(self.look))
        }
    }

    /// Prints one object on its line.
    ///
    /// # Errors
    /// When standard output is gone.
    pub(crate) fn row(self, row: &Value) -> Result<(), Gone> {
        self.text(&format!("{row}\n"))
    }

    /// Prints text as it is.
    ///
    /// # Errors
    /// When standard output is gone.
    pub(crate) fn text(self, text: &str) -> Result<(), Gone> {
        let mut out = io::stdout().lock();
        out.write_all(text.as_bytes())
            .and_then(|()| out.flush())
            .map_err(|source| Gone { source })
    }

    /// Prints an error to standard error.
    pub(crate) fn error(self, error: &CliError) {
        if self.json {
            note(&json!({"type": "error", "error": error.to_json()}).to_string());
        } else if let CliError::Line { text } = error {
            note(text.trim_end());
        } else {
            note(&format!("error: {}", error.message()));
        }
    }
}

/// Prints a line to standard error, for people.
pub(crate) fn note(text: &str) {
    // a closed standard error leaves nobody to tell
    let _ = writeln!(io::stderr().lock(), "{text}");
}
