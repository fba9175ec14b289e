//! Audits.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::{Args, Subcommand, ValueHint};

use super::Where;

/// What to audit.
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum AuditCmd {
    /// List the newest ops, what they did and what became of them.
    Log(AuditLogArgs),
    /// Explain what became of an op: by which rule, and which ops decided.
    Explain(AuditExplainArgs),
    /// Print every op with its verdict, and the state they make.
    Dump(AuditDumpArgs),
    /// List devices that signed two ops for one place of a lane, as a copied profile does.
    #[command(after_help = "Examples:\n  decent audit equivocations")]
    Equivocations(Where),
    /// Write a proof of what became of an op, for people without a profile.
    Prove(AuditProveArgs),
    /// Check a proof; needs no profile and no network.
    Verify(AuditVerifyArgs),
    /// Show the Space as it stood.
    Replay(AuditReplayArgs),
}

/// The newest ops.
#[derive(Clone, Debug, Args)]
#[command(after_help = "Examples:\n  decent audit log\n  decent audit log --limit 100 --json")]
pub(crate) struct AuditLogArgs {
    /// Where.
    #[command(flatten)]
    pub(crate) at: Where,
    /// How many at most.
    #[arg(long, value_name = "N", default_value = "30")]
    pub(crate) limit: NonZeroUsize,
}

/// One op.
#[derive(Clone, Debug, Args)]
#[command(
    after_help = "Examples:\n  decent audit explain 1f2e3d4c\n  decent audit explain 1f2e3d4c --space Allotment"
)]
pub(crate) struct AuditExplainArgs {
    /// Where.
    #[command(flatten)]
    pub(crate) at: Where,
    /// Which op, by id.
    pub(crate) op: String,
}

/// Everything.
#[derive(Clone, Debug, Args)]
#[command(after_help = "Examples:\n  decent audit dump --json > allotment.jsonl")]
pub(crate) struct AuditDumpArgs {
    /// Where.
    #[command(flatten)]
    pub(crate) at: Where,
}

/// A proof to write.
#[derive(Clone, Debug, Args)]
#[command(after_help = "Examples:\n  decent audit prove 1f2e3d4c --to proof.decent")]
pub(crate) struct AuditProveArgs {
    /// Where.
    #[command(flatten)]
    pub(crate) at: Where,
    /// Which op, by id.
    pub(crate) op: String,
    /// The file to write.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) to: PathBuf,
    /// Replace a file that is there already.
    #[arg(long)]
    pub(crate) force: bool,
}

/// A proof to check.
#[derive(Clone, Debug, Args)]
#[command(
    after_help = "Examples:\n  decent audit verify proof.decent\n  decent audit verify proof.decent --json"
)]
pub(crate) struct AuditVerifyArgs {
    /// The file to read.
    #[arg(value_hint = ValueHint::FilePath)]
    pub(crate) file: PathBuf,
}

/// A moment.
#[derive(Clone, Debug, Args)]
#[command(
    after_help = "Examples:\n  decent audit replay --until \"2026-03-01 12:00\"\n  decent audit replay --until 1f2e3d4c"
)]
pub(crate) struct AuditReplayArgs {
    /// Where.
    #[command(flatten)]
    pub(crate) at: Where,
    /// Until when, in UTC (`2026-03-01`, `2026-03-01 12:00`, milliseconds as `ms:…`), or an op's
    /// id: what its author had seen.
    #[arg(long, value_name = "TIME|OP")]
    pub(crate) until: String,
}

/// A post that breaks the rules.
#[derive(Clone, Debug, Args)]
pub(crate) struct RogueArgs {
    /// Where.
    #[command(flatten)]
    pub(crate) at: Where,
    /// The channel.
    #[arg(short, long)]
    pub(crate) channel: Option<String>,
    /// The text.
    pub(crate) text: String,
}
