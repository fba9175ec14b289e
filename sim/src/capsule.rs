//! A failure, with everything that makes it happen again.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{fs, io};

use serde::{Deserialize, Serialize};

use crate::check::Failure;
use crate::config::Config;
use crate::run::{self, Outcome};
use crate::schedule::Entry;
use crate::trace::{ROWS_KEPT, Row};

/// The shape of this file.
const VERSION: u32 = 1;

/// A failed run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Capsule {
    pub(crate) version: u32,
    /// The commit it was found at; another may behave otherwise.
    pub(crate) commit: String,
    pub(crate) config_hash: String,
    pub(crate) config: Config,
    pub(crate) entries: Vec<Entry>,
    pub(crate) failure: Failure,
    pub(crate) trace_hash: String,
    /// The last rows before it.
    pub(crate) rows: Vec<Row>,
}

impl Capsule {
    /// Runs a failing world again, to keep its last rows.
    pub(crate) fn of(config: &Config, entries: &[Entry]) -> Option<Self> {
        let outcome = run::run(config, entries, ROWS_KEPT);
        Self::from_outcome(config, entries, outcome)
    }

    pub(crate) fn from_outcome(
        config: &Config,
        entries: &[Entry],
        outcome: Outcome,
    ) -> Option<Self> {
        Some(Self {
            version: VERSION,
            commit: commit(),
            config_hash: outcome.config_hash,
            config: config.clone(),
            entries: entries.to_vec(),
            failure: outcome.failure?,
            trace_hash: outcome.trace_hash,
            rows: outcome.rows,
        })
    }

    pub(crate) fn read(path: &Path) -> io::Result<Self> {
        serde_json::from_slice(&fs::read(path)?).map_err(io::Error::other)
    }

    pub(crate) fn write(&self, path: &Path) -> io::Result<()> {
        if let Some(dir) = path.parent() {
            fs::create_dir_all(dir)?;
        }
        fs::write(
            path,
            serde_json::to_vec_pretty(self).map_err(io::Error::other)?,
        )
    }

    /// Where it goes by default.
    pub(crate) fn path(&self, dir: &Path) -> PathBuf {
        let name = format!("{}-{:x}.json", self.failure.checker, self.config.seed);
        dir.join(name)
    }

    /// People who take part.
    pub(crate) fn people(&self) -> usize {
        usize::from(self.config.nodes) - self.config.absent.len()
    }
}

/// The commit of the working tree, as git tells it.
pub(crate) fn commit() -> String {
    let said = Command::new("git")
        .args(["rev-parse", "--short=12", "HEAD"])
        .output();
    let said = said.ok().filter(|out| out.status.success());
    said.map_or_else(
        || "unknown".to_owned(),
        |out| String::from_utf8_lossy(&out.stdout).trim().to_owned(),
    )
}
