//! Opening and making profiles: where they are, and what unlocks them.

use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};

use serde_json::json;

use crate::api::{self, Created, Handle, KeySource, Options, StartError};
use crate::args::{Globals, InitArgs, RestoreArgs};
use crate::error::CliError;
use crate::files;
use crate::print::{Gone, Printer, note};
use crate::render::clean;

/// How often a mistyped word may be tried again before the phrase is shown once more.
const TRIES: usize = 3;

/// Whether a passphrase is asked for once or, since nobody could notice a typing error, twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unlock {
    Existing,
    New,
}

/// Opens the profile.
///
/// # Errors
/// When there is none, it is in use or damaged, or nothing unlocks it.
pub(crate) async fn open(globals: &Globals) -> Result<Handle, CliError> {
    let dir = dir(globals)?;
    let key = key(globals, Unlock::Existing)?;
    let options = Options {
        offline: globals.offline,
        relays: globals.relay.clone(),
    };
    match api::open(&dir, &key, options).await {
        Err(StartError::HasPassphrase) => Err(CliError::Locked {
            what: "this profile has a passphrase: leave out --insecure-plaintext-key".to_owned(),
        }),
        Err(StartError::NoPassphrase) => Err(CliError::Locked {
            what: "this profile has no passphrase: --insecure-plaintext-key opens it".to_owned(),
        }),
        Err(StartError::NoProfile { dir }) => Err(CliError::NoProfile { dir }),
        opened => Ok(opened?),
    }
}

/// Makes a profile and shows its recovery phrase.
///
/// # Errors
/// When one is there already, or the disk refuses.
pub(crate) fn init(globals: &Globals, args: &InitArgs, printer: Printer) -> Result<(), CliError> {
    let dir = dir(globals)?;
    let name = args
        .name
        .clone()
        .or_else(|| std::env::var("USER").ok())
        .filter(|name| !name.trim().is_empty())
        .ok_or_else(|| CliError::usage("no name: give --name NAME"))?;
    let key = key(globals, Unlock::New)?;
    let created = api::create(&dir, &key, name.trim())?;
    show(&dir, &created, printer)?;
    let interactive =
        !printer.json && !args.no_check && io::stdin().is_terminal() && io::stdout().is_terminal();
    if interactive {
        check(&created, printer)?;
    }
    Ok(())
}

/// Makes a profile from a backup.
///
/// # Errors
/// When the phrase or the backup is not right, a profile is there already, or the disk refuses.
pub(crate) fn restore(
    globals: &Globals,
    args: &RestoreArgs,
    printer: Printer,
) -> Result<(), CliError> {
    let dir = dir(globals)?;
    let backup = files::read(&args.file)?;
    let phrase = match &args.phrase_file {
        Some(path) => files::secret(path)?,
        None => files::text_from_stdin("the 24 words")?,
    };
    let phrase = phrase.split_whitespace().collect::<Vec<_>>().join(" ");
    let key = key(globals, Unlock::New)?;
    let created = api::restore(&dir, &key, &phrase, &backup)?;
    let me = &created.me;
    if printer.json {
        printer.row(&json!({
            "type": "restored", "dir": dir.display().to_string(), "user": me.user.to_string(),
            "device": me.device.to_string(), "name": me.name, "did": me.did,
        }))?;
    } else {
        printer.text(&format!(
            "{} is back, with a new device, in {}\n\
             next: `decent sync`, which waits for another member who is online to let the device in\n",
            clean::line(&me.name),
            dir.display()
        ))?;
    }
    Ok(())
}

/// Returns the profile's folder: the option, else `decent` in the XDG data folder.
///
/// # Errors
/// When neither is known.
pub(crate) fn dir(globals: &Globals) -> Result<PathBuf, CliError> {
    match &globals.profile {
        Some(dir) => Ok(dir.clone()),
        None => data_dir("decent"),
    }
}

/// Returns a folder of the XDG data folder (XDG Base Directory Specification 0.8).
///
/// # Errors
/// When there is no home.
pub(crate) fn data_dir(name: &str) -> Result<PathBuf, CliError> {
    let of = |variable: &str| {
        let path = std::env::var_os(variable).map(PathBuf::from);
        path.filter(|path| path.is_absolute())
    };
    of("XDG_DATA_HOME")
        .or_else(|| of("HOME").map(|home| home.join(".local").join("share")))
        .map(|data| data.join(name))
        .ok_or_else(|| CliError::usage("no home folder: give --profile DIR or --data DIR"))
}

fn key(globals: &Globals, unlock: Unlock) -> Result<KeySource, CliError> {
    if globals.insecure_plaintext_key {
        note(
            "WARNING: --insecure-plaintext-key keeps the key to this profile on the disk in the clear.",
        );
        note("WARNING: whoever can read the disk can read everything and write in your name.");
        return Ok(KeySource::InsecurePlaintext);
    }
    if let Some(path) = &globals.passphrase_file {
        let text = files::secret(path)?;
        let first = text.lines().next().unwrap_or_default();
        return passphrase(first.to_owned());
    }
    if let Ok(text) = std::env::var("DECENT_PASSPHRASE") {
        return passphrase(text);
    }
    if !io::stdin().is_terminal() {
        return Err(CliError::Locked {
            what: "no passphrase: give --passphrase-file FILE or set DECENT_PASSPHRASE".to_owned(),
        });
    }
    let ask = |what: &str| {
        rpassword::prompt_password(what).map_err(|source| CliError::System {
            doing: "read the passphrase",
            source,
        })
    };
    let first = ask("Passphrase: ")?;
    if unlock == Unlock::New && ask("Once more: ")? != first {
        return Err(CliError::Locked {
            what: "the two passphrases differ".to_owned(),
        });
    }
    passphrase(first)
}

fn passphrase(text: String) -> Result<KeySource, CliError> {
    if text.is_empty() {
        return Err(CliError::Locked {
            what: "the passphrase is empty".to_owned(),
        });
    }
    Ok(KeySource::Passphrase(text))
}

fn show(dir: &Path, created: &Created, printer: Printer) -> Result<(), Gone> {
    let me = &created.me;
    if printer.json {
        return printer.row(&json!({
            "type": "profile", "dir": dir.display().to_string(), "user": me.user.to_string(),
            "device": me.device.to_string(), "name": me.name, "did": me.did,
            "phrase": created.phrase,
        }));
    }
    printer.text(&format!(
        "{}  {}\nprofile in {}\n\n{}\n\
         These 24 words are you. Write them down on paper, now: they are not shown again.\n\
         With them and a backup (`decent backup`) you come back after a lost disk.\n",
        clean::line(&me.name),
        me.did,
        dir.display(),
        numbered(&created.phrase)
    ))
}

/// Returns the words of a phrase in rows of four, each with its number.
fn numbered(phrase: &str) -> String {
    let words: Vec<_> = phrase.split_whitespace().collect();
    let mut out = String::new();
    for (row, four) in words.chunks(4).enumerate() {
        for (column, word) in four.iter().enumerate() {
            out.push_str(&format!("  {:>2} {word:<10}", row * 4 + column + 1));
        }
        let end = out.trim_end().len();
        out.truncate(end);
        out.push('\n');
    }
    out
}

/// Asks for two words of the phrase until they are right.
fn check(created: &Created, printer: Printer) -> Result<(), CliError> {
    let words: Vec<_> = created.phrase.split_whitespace().collect();
    for position in asked(created.me.user.as_bytes(), words.len()) {
        let Some(right) = words.get(position) else {
            continue;
        };
        let mut tries = 0;
        loop {
            printer.text(&format!("Word {}: ", position + 1))?;
            let mut answer = String::new();
            let read = io::stdin().read_line(&mut answer);
            // Ctrl-D ends the check: the profile is made, nothing is lost but the check
            if read.map_or(true, |bytes| bytes == 0) {
                return Ok(());
            }
            if answer.trim().eq_ignore_ascii_case(right) {
                break;
            }
            tries += 1;
            printer.text("That is another word.\n")?;
            if tries % TRIES == 0 {
                printer.text(&format!("{}\n", numbered(&created.phrase)))?;
            }
        }
    }
    printer.text("Right. Keep them where no one else looks.\n")?;
    Ok(())
}

/// Returns the positions of two different words to ask for, taken from the identity:
/// which ones does not matter, only that people cannot know before.
fn asked(seed: &[u8; 32], words: usize) -> Vec<usize> {
    let [a, b, ..] = seed;
    if words < 2 {
        return (0..words).collect();
    }
    let first = usize::from(*a) % words;
    let step = 1 + usize::from(*b) % (words - 1);
    vec![first, (first + step) % words]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_asked_for_are_two_different_ones() {
        for a in 0..=255 {
            for b in 0..=255 {
                let mut seed = [0; 32];
                seed[0] = a;
                seed[1] = b;
                let asked = asked(&seed, 24);
                assert!(matches!(asked.as_slice(), [x, y] if x != y && *x < 24 && *y < 24));
            }
        }
        assert_eq!(asked(&[9; 32], 1), [0]);
    }

    #[test]
    fn a_phrase_is_shown_with_numbers() {
        let phrase = "abandon ability able about above absent";
        assert_eq!(
            numbered(phrase),
            "   1 abandon      2 ability      3 able         4 about\n   5 above        6 absent\n"
        );
    }
}
