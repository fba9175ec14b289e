//! What can go wrong at the terminal, and the one place that says which exit code it is.

use std::io;
use std::path::PathBuf;

use relay::server::ServeError;
use serde_json::{Value, json};

use crate::api::{AttachError, CommandError, LinkError, MotionError, StartError, StoreError};
use crate::duration::DurationError;
use crate::print::Gone;
use crate::words::WordsError;

/// The exit codes of `decent`, as `docs/cli.md` promises them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Code {
    /// Anything that has no code of its own.
    Other = 1,
    /// The command line is wrong.
    Usage = 2,
    /// No such thing, or more than one of that name.
    NotFound = 3,
    /// The Space's rules refuse it.
    NotAllowed = 4,
    /// No relay is reachable, or nothing came in time.
    NoRelay = 5,
    /// The profile is missing, in use, locked or damaged.
    Profile = 6,
    /// What was handed in (an invite, a bundle, a text) cannot be used.
    BadInput = 7,
    /// A disk refused to read or write.
    Disk = 8,
}

impl Code {
    /// Returns the number that the process ends with.
    pub(crate) const fn number(self) -> u8 {
        self as u8
    }

    /// Returns the word that `--json` gives for it; stable.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Other => "other",
            Self::Usage => "usage",
            Self::NotFound => "not-found",
            Self::NotAllowed => "not-allowed",
            Self::NoRelay => "no-relay",
            Self::Profile => "profile",
            Self::BadInput => "bad-input",
            Self::Disk => "disk",
        }
    }
}

/// Why a command did not do what it should.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CliError {
    /// The command line asks for something that makes no sense.
    #[error("{what}")]
    Usage {
        /// What is wrong with it.
        what: String,
    },
    /// A line of the shell that clap refused; the text is clap's own.
    #[error("{text}")]
    Line {
        /// What clap says.
        text: String,
    },
    /// A line of the shell that does not fall into words.
    #[error(transparent)]
    Words(#[from] WordsError),
    /// Not a length of time.
    #[error(transparent)]
    Duration(#[from] DurationError),
    /// Nothing here goes by this name.
    #[error("no {what} named {wanted:?}{hint}")]
    Unknown {
        /// What was looked for.
        what: &'static str,
        /// The name or id that was given.
        wanted: String,
        /// What is there instead; empty, or begins with a separator.
        hint: String,
    },
    /// Several things go by this name.
    #[error("{wanted:?} could be more than one {what}:\n{}", candidates.join("\n"))]
    Ambiguous {
        /// What was looked for.
        what: &'static str,
        /// The name or id that was given.
        wanted: String,
        /// Name and id of each, one a line.
        candidates: Vec<String>,
    },
    /// There is none at all, or none to choose without being told.
    #[error("{what}")]
    Nothing {
        /// What is missing and how to get it.
        what: String,
    },
    /// The profile could not be opened or made.
    #[error(transparent)]
    Start(#[from] StartError),
    /// The profile is locked and nobody gave the passphrase.
    #[error("{what}")]
    Locked {
        /// What is missing.
        what: String,
    },
    /// There is no profile where one is to be opened.
    #[error(
        "no profile in {}: `decent init` makes one, --profile DIR names another folder",
        dir.display()
    )]
    NoProfile {
        /// Where it was looked for.
        dir: PathBuf,
    },
    /// This device came back from a backup and nobody has let it in yet.
    #[error(
        "this device has not been let into {space} yet: `decent sync` waits for it, while another \
         member is online"
    )]
    NotLetIn {
        /// The Space's name.
        space: String,
    },
    /// The Space's rules refuse it; names stand for ids.
    #[error("not allowed ({rule}): {why}")]
    NotAllowed {
        /// The id of the rule, as in `docs/acceptance.md`.
        rule: &'static str,
        /// Why, in words.
        why: String,
    },
    /// The node refused or failed.
    #[error(transparent)]
    Command(#[from] CommandError),
    /// A file could not be attached or saved.
    #[error("cannot {doing}")]
    Attach {
        /// Attach or save what.
        doing: String,
        /// Why.
        source: AttachError,
    },
    /// Not an invite link.
    #[error(transparent)]
    Link(#[from] LinkError),
    /// Not a motion to the admins.
    #[error(transparent)]
    Motion(#[from] MotionError),
    /// What was handed in cannot be used.
    #[error("{what}")]
    Input {
        /// What, and why.
        what: String,
    },
    /// A file outside the profile could not be read or written.
    #[error("cannot {doing} {}", path.display())]
    File {
        /// `read`, `write`.
        doing: &'static str,
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It took longer than `--timeout` allows.
    #[error("timed out while {doing}")]
    TimedOut {
        /// Doing what.
        doing: &'static str,
    },
    /// The relay could not be started or stopped working.
    #[error("the relay failed")]
    Relay(#[from] ServeError),
    /// The node's answer is not one that the command can have.
    #[error("the node gave an answer that this program does not know")]
    Unexpected,
    /// Interrupted from the keyboard.
    #[error("interrupted")]
    Interrupted,
    /// The demo saw something else than it should have.
    #[error("the demo failed at \"{step}\": {differed}")]
    Demo {
        /// The step's description.
        step: String,
        /// What was expected and what was seen.
        differed: String,
    },
    /// The terminal or a pipe is gone.
    #[error(transparent)]
    Output(#[from] Gone),
    /// The operating system refused something that is not about files.
    #[error("cannot {doing}")]
    System {
        /// What was being done.
        doing: &'static str,
        /// What it said.
        source: io::Error,
    },
}

impl CliError {
    /// A command line that makes no sense.
    pub(crate) fn usage(what: impl Into<String>) -> Self {
        Self::Usage { what: what.into() }
    }

    /// Returns the exit code. The only mapping from errors to codes.
    pub(crate) fn code(&self) -> Code {
        match self {
            Self::Usage { .. } | Self::Line { .. } | Self::Words(_) | Self::Duration(_) => {
                Code::Usage
            }
            Self::Unknown { .. } | Self::Ambiguous { .. } | Self::Nothing { .. } => Code::NotFound,
            Self::Start(error) => start_code(error),
            Self::Locked { .. } | Self::NoProfile { .. } => Code::Profile,
            Self::NotLetIn { .. } | Self::NotAllowed { .. } => Code::NotAllowed,
            Self::Command(error) => command_code(error),
            Self::Attach { source, .. } => attach_code(source),
            Self::Link(_) | Self::Motion(_) | Self::Input { .. } => Code::BadInput,
            Self::File { doing, source, .. } => file_code(doing, source),
            Self::TimedOut { .. } => Code::NoRelay,
            Self::Relay(error) => relay_code(error),
            Self::Unexpected
            | Self::Interrupted
            | Self::Demo { .. }
            | Self::Output(_)
            | Self::System { .. } => Code::Other,
        }
    }

    /// Returns the message with its causes, as people read it.
    pub(crate) fn message(&self) -> String {
        let mut text = self.to_string();
        let mut cause = std::error::Error::source(self);
        while let Some(source) = cause {
            let said = source.to_string();
            if !text.contains(&said) {
                text.push_str(": ");
                text.push_str(&said);
            }
            cause = source.source();
        }
        if self.code() == Code::Disk && self.is_full() {
            text.push_str("; nothing that was saved is lost: make room and try again");
        }
        text
    }

    /// Whether the reason is a disk without room.
    fn is_full(&self) -> bool {
        let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(self);
        while let Some(error) = cause {
            let full = error
                .downcast_ref::<StoreError>()
                .is_some_and(|e| matches!(e, StoreError::Full));
            let no_room = error
                .downcast_ref::<io::Error>()
                .is_some_and(|e| e.kind() == io::ErrorKind::StorageFull);
            if full || no_room {
                return true;
            }
            cause = error.source();
        }
        false
    }

    /// Returns the error as `--json` prints it.
    pub(crate) fn to_json(&self) -> Value {
        let code = self.code();
        json!({"code": code.number(), "kind": code.word(), "message": self.message()})
    }
}

fn start_code(error: &StartError) -> Code {
    match error {
        StartError::Store { source } => store_code(source, Code::Profile),
        StartError::Io { .. } => Code::Disk,
        StartError::Phrase(_) | StartError::Backup(_) => Code::BadInput,
        StartError::Relay { .. } => Code::Usage,
        StartError::NoProfile { .. }
        | StartError::Exists { .. }
        | StartError::Occupied { .. }
        | StartError::InUse { .. }
        | StartError::WrongPassphrase
        | StartError::HasPassphrase
        | StartError::NoPassphrase
        | StartError::Unfinished { .. }
        | StartError::Damaged { .. } => Code::Profile,
    }
}

fn command_code(error: &CommandError) -> Code {
    match error {
        CommandError::UnknownSpace { .. }
        | CommandError::NoJoin { .. }
        | CommandError::UnknownChannel { .. }
        | CommandError::UnknownOp { .. }
        | CommandError::NotAMember { .. }
        | CommandError::NotFound { .. } => Code::NotFound,
        CommandError::NotAllowed { .. } | CommandError::Removed => Code::NotAllowed,
        CommandError::Motion(refused) if refused.rule().is_some() => Code::NotAllowed,
        CommandError::Invalid { .. }
        | CommandError::Motion(_)
        | CommandError::TooLong { .. }
        | CommandError::Invite { .. }
        | CommandError::Bundle { .. } => Code::BadInput,
        CommandError::NoRelay { .. } | CommandError::TimedOut { .. } => Code::NoRelay,
        CommandError::Store { source } => store_code(source, Code::Profile),
        CommandError::ImportStopped { .. } | CommandError::NoRoom { .. } | CommandError::Unsure => {
            Code::Disk
        }
        CommandError::Group { .. } | CommandError::Damaged | CommandError::DamagedOp { .. } => {
            Code::Profile
        }
        CommandError::UpdateNeeded | CommandError::KeysBehind | CommandError::Stopping => {
            Code::Other
        }
        // what a later node adds
        _ => Code::Other,
    }
}

fn attach_code(error: &AttachError) -> Code {
    match error {
        AttachError::Command(error) => command_code(error),
        AttachError::NotAFile { .. }
        | AttachError::TooLarge { .. }
        | AttachError::Changed { .. } => Code::BadInput,
        AttachError::Missing { .. } => Code::BadInput,
        AttachError::Io { .. } => Code::Disk,
    }
}

/// A file that is not there was named wrongly; all else is the disk's.
fn file_code(doing: &str, error: &io::Error) -> Code {
    if doing == "read" && error.kind() == io::ErrorKind::NotFound {
        Code::BadInput
    } else {
        Code::Disk
    }
}

fn relay_code(error: &ServeError) -> Code {
    match error {
        ServeError::Address { .. } => Code::Usage,
        ServeError::Locked | ServeError::Identity => Code::Profile,
        ServeError::Store(error) => store_code(error, Code::Profile),
        ServeError::Listen { .. }
        | ServeError::Transport(_)
        | ServeError::Own(_)
        | ServeError::Worker => Code::Other,
    }
}

/// Damage on disk is the profile's problem; anything else the disk's.
fn store_code(error: &StoreError, damaged: Code) -> Code {
    match error {
        StoreError::Damaged { .. } => damaged,
        StoreError::Full | StoreError::Io { .. } => Code::Disk,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::{OpId, SpaceId};

    #[test]
    fn every_kind_of_failure_has_its_documented_code() {
        let space = SpaceId::from_bytes([1; 32]);
        let dir = PathBuf::from("/p");
        let io = || io::Error::from(io::ErrorKind::PermissionDenied);
        let table: Vec<(CliError, u8)> = vec![
            (CliError::Interrupted, 1),
            (CommandError::KeysBehind.into(), 1),
            (CommandError::Stopping.into(), 1),
            (CliError::usage("x"), 2),
            (WordsError::OpenQuote { quote: '"' }.into(), 2),
            (CommandError::UnknownSpace { space }.into(), 3),
            (
                CommandError::UnknownOp {
                    op: OpId::from_bytes([1; 32]),
                }
                .into(),
                3,
            ),
            (
                CommandError::NotAllowed {
                    rule: "R4",
                    why: String::new(),
                }
                .into(),
                4,
            ),
            (CommandError::Damaged.into(), 6),
            (CommandError::Removed.into(), 4),
            (CommandError::NoRelay { why: String::new() }.into(), 5),
            (CliError::TimedOut { doing: "joining" }, 5),
            (StartError::InUse { dir: dir.clone() }.into(), 6),
            (StartError::WrongPassphrase.into(), 6),
            (StartError::NoProfile { dir: dir.clone() }.into(), 6),
            (ServeError::Locked.into(), 6),
            (ServeError::Store(StoreError::Full).into(), 8),
            (LinkError::Damaged.into(), 7),
            (MotionError::Damaged.into(), 7),
            (CommandError::Bundle { why: String::new() }.into(), 7),
            (
                CommandError::Store {
                    source: StoreError::Full,
                }
                .into(),
                8,
            ),
            (
                CliError::File {
                    doing: "read",
                    path: dir,
                    source: io(),
                },
                8,
            ),
            (
                CliError::Attach {
                    doing: "attach x".to_owned(),
                    source: CommandError::Removed.into(),
                },
                4,
            ),
        ];
        for (error, code) in table {
            assert_eq!(error.code().number(), code, "{error:?}");
        }
    }

    #[test]
    fn a_full_disk_is_said_with_what_to_do() {
        let full: CliError = CommandError::Store {
            source: StoreError::Full,
        }
        .into();
        assert!(full.message().ends_with("make room and try again"));
    }

    #[test]
    fn a_message_names_its_causes_once() {
        let error = CliError::File {
            doing: "read",
            path: PathBuf::from("/x"),
            source: io::Error::other("no such luck"),
        };
        assert_eq!(error.message(), "cannot read /x: no such luck");
    }
}
