//! Processes of this program: started, spoken to, and seen to their end.

use std::fs::File;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tokio::process::{Child, Command};

use super::DemoError;

/// The passphrase of the demo's profiles: they are thrown away, or kept to be looked at.
pub(super) const PASSPHRASE: &str = "demo";
/// How long a process may take to end by itself.
const END_WITHIN: Duration = Duration::from_secs(10);
/// Bytes of a process's standard error shown when it ends badly.
const LAST_WORDS_BYTES: usize = 2_000;

/// Starts this program with `words`. Its standard error goes to a file of its own.
///
/// # Errors
/// When the system refuses.
pub(super) fn start(words: &[&str], log: &Path) -> Result<Child, DemoError> {
    let failed = |doing: &str, error: std::io::Error| DemoError::Process {
        what: format!("cannot {doing}: {error}"),
    };
    let program = std::env::current_exe().map_err(|e| failed("find this program", e))?;
    let stderr = File::options()
        .create(true)
        .append(true)
        .open(log)
        .map_err(|e| failed("make a log file", e))?;
    let mut command = Command::new(program);
    command.args(words);
    // nothing of the person who runs the demo leaks into it
    for variable in ["DECENT_PROFILE", "DECENT_SPACE", "DECENT_NAME"] {
        command.env_remove(variable);
    }
    command
        .env("DECENT_PASSPHRASE", PASSPHRASE)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(stderr)
        .kill_on_drop(true)
        .spawn()
        .map_err(|e| failed("start a process", e))
}

/// Runs this program to its end and returns what it printed.
///
/// # Errors
/// When it cannot run or does not end well.
pub(super) async fn run(words: &[&str], log: &Path) -> Result<String, DemoError> {
    let mut child = start(words, log)?;
    drop(child.stdin.take());
    let output = child
        .wait_with_output()
        .await
        .map_err(|error| DemoError::Process {
            what: format!("`decent {}` cannot be waited for: {error}", words.join(" ")),
        })?;
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    if output.status.success() {
        return Ok(printed);
    }
    Err(DemoError::Process {
        what: format!(
            "`decent {}` ended with {}: {printed}{}",
            words.join(" "),
            output.status,
            last_words(log)
        ),
    })
}

/// Lets a process end, whose standard input is closed already, and ends it by force when it does not.
///
/// # Errors
/// When force was needed.
pub(super) async fn end(name: &str, mut child: Child) -> Result<(), DemoError> {
    if let Ok(Ok(_)) = tokio::time::timeout(END_WITHIN, child.wait()).await {
        return Ok(());
    }
    // already reported as a failure; there is no more to do about it
    let _ = child.kill().await;
    Err(DemoError::Process {
        what: format!(
            "{name}'s process did not end within {} s",
            END_WITHIN.as_secs()
        ),
    })
}

/// Returns the end of what a process wrote to standard error.
pub(super) fn last_words(log: &Path) -> String {
    let text = std::fs::read(log).unwrap_or_default();
    let from = text.len().saturating_sub(LAST_WORDS_BYTES);
    let tail = text.get(from..).unwrap_or_default();
    String::from_utf8_lossy(tail).trim().to_owned()
}
