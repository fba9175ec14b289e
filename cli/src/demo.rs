//! `decent demo`: Alice, Bob and John live through `docs/protocol.md` B0, for real.
//!
//! A relay and three people, each a process of this program with a profile of its own,
//! talk over libp2p on this machine. The story is data (`script`); `play` plays it and
//! checks after each step what everybody sees. Nothing is simulated and nothing is
//! expected that is not checked.

mod check;
mod person;
mod play;
mod process;
mod script;
mod tell;

use std::path::Path;

use crate::args::DemoArgs;
use crate::error::CliError;
use crate::print::{Gone, Printer};
use crate::signals;

/// What went otherwise than it should.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DemoError {
    /// A check failed, or a command that should succeed did not.
    #[error("{what}")]
    Differed {
        /// What was expected and what was seen.
        what: String,
    },
    /// A process could not be started, or ended too early.
    #[error("{what}")]
    Process {
        /// Which, and what it said last.
        what: String,
    },
    /// Standard output is gone.
    #[error(transparent)]
    Output(#[from] Gone),
}

/// Plays the demo in a new folder.
///
/// # Errors
/// When anything differs from the script, naming it; nothing is left running.
pub(crate) async fn run(args: &DemoArgs, printer: Printer) -> Result<(), CliError> {
    let dir = match &args.keep {
        Some(dir) => dir.clone(),
        None => std::env::temp_dir().join(format!("decent-demo-{}", std::process::id())),
    };
    make(&dir)?;
    let ended = tokio::select! {
        ended = play::play(&dir, printer) => ended,
        // dropping the play ends every process it started
        () = signals::stop() => Err(CliError::Interrupted),
    };
    if args.keep.is_none()
        && let Err(source) = std::fs::remove_dir_all(&dir)
    {
        crate::print::note(&format!(
            "the folder {} could not be removed: {source}",
            dir.display()
        ));
    }
    ended?;
    if args.keep.is_some() && !printer.json {
        printer.text(&how_to_look(&dir))?;
    }
    Ok(())
}

/// Says how to look at what was kept.
fn how_to_look(dir: &Path) -> String {
    let look = |name: &str, words: &str| {
        let profile = dir.join(name).display().to_string();
        format!(
            "  DECENT_PASSPHRASE={} decent --offline --profile {} {words}\n",
            process::PASSPHRASE,
            quoted(&profile)
        )
    };
    format!(
        "\nThe profiles are kept in {}. To look at them:\n{}{}{}",
        dir.display(),
        look("alice", "read general"),
        look("bob", "audit log"),
        look("john", "status"),
    )
}

/// Returns a word as a shell reads it back.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+:@".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', "'\\''"))
}

/// Makes the folder; it must be new, so that nothing of anybody's is in the way.
/// Only its owner may look into it.
fn make(dir: &Path) -> Result<(), CliError> {
    let mut builder = std::fs::DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(dir).map_err(|source| CliError::File {
        doing: "make the new folder",
        path: dir.to_owned(),
        source,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_kept_is_opened_by_the_words_that_are_told() {
        let said = how_to_look(Path::new("/tmp/it's here"));
        let line = said.lines().find(|line| line.contains("read general"));
        let words = crate::words::split(line.unwrap().trim_start()).unwrap();
        assert_eq!(words[0], "DECENT_PASSPHRASE=demo");
        assert!(words.contains(&"--profile".to_owned()), "{words:?}");
        assert_eq!(quoted("/tmp/demo-1"), "/tmp/demo-1");
        assert_eq!(quoted("/tmp/it's here"), r"'/tmp/it'\''s here'");
    }
}
