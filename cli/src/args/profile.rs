//! The profile itself, its relays, and the programs around it.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand, ValueHint};
use clap_complete::Shell;

use super::Where;
use crate::{duration, size};

/// A new identity.
#[derive(Clone, Debug, Args)]
#[command(
    after_help = "Examples:\n  decent init --name Alice\n  decent init --name Alice --profile /media/stick/decent\n  DECENT_PASSPHRASE=… decent init --name Alice --json"
)]
pub(crate) struct InitArgs {
    /// The name others see [default: the user's name on this machine].
    #[arg(long, env = "DECENT_NAME")]
    pub(crate) name: Option<String>,
    /// Do not ask for two words of the recovery phrase to see that it was written down.
    #[arg(long)]
    pub(crate) no_check: bool,
}

/// A profile from a backup.
#[derive(Clone, Debug, Args)]
#[command(
    after_help = "Examples:\n  decent restore decent-backup.bin\n  decent restore decent-backup.bin --phrase-file phrase.txt --profile ./new"
)]
pub(crate) struct RestoreArgs {
    /// The backup.
    #[arg(value_hint = ValueHint::FilePath)]
    pub(crate) file: PathBuf,
    /// Read the 24 words from this file instead of asking.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) phrase_file: Option<PathBuf>,
}

/// The shell.
#[derive(Clone, Debug, Args)]
#[command(
    after_help = "Examples:\n  decent shell\n  printf 'whoami\\nsync\\nread general\\n' | decent shell --json\n  decent shell --json --notices\n\nWith --json each line is answered by one line, {\"id\":…,\"ok\":[…]} or {\"id\":…,\"error\":{…}}.\nThe id is the number of the line, or what the line says: id=a1 whoami"
)]
pub(crate) struct ShellArgs {
    /// Print what happens meanwhile, too.
    #[arg(long)]
    pub(crate) notices: bool,
}

/// The app in a window.
#[derive(Clone, Debug, Args)]
#[command(
    after_help = "Examples:\n  decent desktop\n  decent desktop --profile ./demo/alice\n  decent desktop decent://join/…"
)]
pub(crate) struct DesktopArgs {
    /// An invite to look at first.
    #[arg(value_name = "LINK")]
    pub(crate) link: Option<String>,
}

/// The demo.
#[derive(Clone, Debug, Args)]
#[command(
    after_help = "Examples:\n  decent demo\n  decent demo --keep ./demo\n  decent demo --json"
)]
pub(crate) struct DemoArgs {
    /// Keep the profiles in this new folder, to look around in afterwards.
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(crate) keep: Option<PathBuf>,
}

/// A relay.
#[derive(Clone, Debug, Args)]
#[command(
    after_help = "Examples:\n  decent relay\n  decent relay --data /var/lib/decent-relay --listen /ip4/0.0.0.0/tcp/4001 --storage 50G\n  decent relay --data ./relay --listen /ip4/127.0.0.1/tcp/0 --print-address"
)]
pub(crate) struct RelayArgs {
    /// Folder for its key and the envelopes [default: decent-relay in the XDG data folder].
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(crate) data: Option<PathBuf>,
    /// Where to listen, a multiaddress; may be given again.
    #[arg(long, value_name = "ADDR", default_values_t = ["/ip4/0.0.0.0/tcp/4001".to_owned(), "/ip4/0.0.0.0/udp/4001/quic-v1".to_owned()])]
    pub(crate) listen: Vec<String>,
    /// Most bytes kept at rest [default: 10G].
    #[arg(long, value_name = "SIZE", value_parser = size::parse)]
    pub(crate) storage: Option<u64>,
    /// Longest an envelope or chunk is kept [default: 30d].
    #[arg(long, value_name = "TIME", value_parser = duration::parse)]
    pub(crate) retention: Option<Duration>,
    /// Most connections at once [default: 4096].
    #[arg(long, value_name = "N")]
    pub(crate) connections: Option<NonZeroUsize>,
    /// Most connections of one address; those of this machine are not counted [default: 256].
    #[arg(long, value_name = "N")]
    pub(crate) connections_per_address: Option<NonZeroUsize>,
    /// Most bytes of messages on their way, in and out, at least 16M [default: 256M].
    #[arg(long, value_name = "SIZE", value_parser = size::parse)]
    pub(crate) message_memory: Option<u64>,
    /// Print nothing but its addresses, one a line.
    #[arg(long)]
    pub(crate) print_address: bool,
    /// Stop when standard input ends: for programs that start a relay of their own.
    #[arg(long, hide = true)]
    pub(crate) until_eof: bool,
}

/// Completions.
#[derive(Clone, Debug, Args)]
#[command(
    after_help = "Examples:\n  decent completions bash > ~/.local/share/bash-completion/completions/decent\n  decent completions zsh > ~/.zfunc/_decent\n  decent completions fish > ~/.config/fish/completions/decent.fish"
)]
pub(crate) struct CompletionsArgs {
    /// For which shell.
    #[arg(value_enum)]
    pub(crate) shell: Shell,
}

/// Health.
#[derive(Clone, Debug, Args)]
#[command(after_help = "Examples:\n  decent status\n  decent status --limit 5 --json")]
pub(crate) struct StatusArgs {
    /// Only this Space.
    #[command(flatten)]
    pub(crate) at: Where,
    /// How many of your newest messages in each Space.
    #[arg(long, value_name = "N", default_value = "20")]
    pub(crate) limit: NonZeroUsize,
}

/// An export.
#[derive(Clone, Debug, Args)]
#[command(after_help = "Examples:\n  decent export allotment.decent --space Allotment")]
pub(crate) struct ExportArgs {
    /// Of which Space.
    #[command(flatten)]
    pub(crate) at: Where,
    /// The file to write.
    #[arg(value_hint = ValueHint::FilePath)]
    pub(crate) file: PathBuf,
    /// Replace a file that is there already.
    #[arg(long)]
    pub(crate) force: bool,
}

/// An import.
#[derive(Clone, Debug, Args)]
#[command(after_help = "Examples:\n  decent import allotment.decent")]
pub(crate) struct ImportArgs {
    /// The file to read.
    #[arg(value_hint = ValueHint::FilePath)]
    pub(crate) file: PathBuf,
}

/// A backup.
#[derive(Clone, Debug, Args)]
#[command(after_help = "Examples:\n  decent backup decent-backup.bin")]
pub(crate) struct BackupArgs {
    /// The file to write.
    #[arg(value_hint = ValueHint::FilePath)]
    pub(crate) file: PathBuf,
    /// Replace a file that is there already.
    #[arg(long)]
    pub(crate) force: bool,
}

/// What to do with relays.
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum RelaysCmd {
    /// Use one more relay for every Space.
    #[command(after_help = "Examples:\n  decent relays add /ip4/192.0.2.7/tcp/4001/p2p/12D3KooW…")]
    Add {
        /// Its address, ending in /p2p/…
        address: String,
    },
    /// Stop using a relay.
    #[command(
        after_help = "Examples:\n  decent relays remove /ip4/192.0.2.7/tcp/4001/p2p/12D3KooW…"
    )]
    Remove {
        /// Its address.
        address: String,
    },
    /// List the relays and whether they answer.
    #[command(after_help = "Examples:\n  decent relays list")]
    List,
}
