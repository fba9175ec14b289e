//! `sim model`: whether a dump is right.

use std::io;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use serde_json::json;

use crate::config::Crypto;
use crate::model::{ModelError, main_check};

/// Reads what `decent audit dump --json` or `sim dump` printed, and computes every verdict again.
#[derive(Debug, Args)]
pub(crate) struct Model {
    /// The file.
    file: PathBuf,
    /// What signatures in it are: those of a simulated world may be stubs.
    #[arg(long, default_value = "real")]
    crypto: Crypto,
}

impl Model {
    pub(crate) fn run(&self, as_json: bool) -> io::Result<ExitCode> {
        match main_check(&self.file, self.crypto.signatures()) {
            Ok(found) if as_json => {
                let row = json!({
                    "type": "model", "agrees": true, "ops": found.ops,
                    "refused": found.refused, "states": found.states,
                    "channels": found.channels, "members": found.members, "posts": found.posts,
                });
                say!("{row}");
            }
            Ok(found) => {
                say!(
                    "the model agrees: {} ops, {} refused, {} channels, {} members, {} posts",
                    found.ops,
                    found.refused,
                    found.channels,
                    found.members,
                    found.posts
                );
                for (state, count) in &found.states {
                    say!("  {count:>6} {state}");
                }
            }
            Err(ModelError::Io(error)) => return Err(error),
            Err(ModelError::Differs(differences)) => {
                for d in &differences {
                    if as_json {
                        let row = json!({
                            "type": "difference", "what": d.what, "field": d.field,
                            "dump": d.dump, "model": d.model,
                        });
                        say!("{row}");
                    } else {
                        say!("{d}");
                    }
                }
                return Ok(ExitCode::FAILURE);
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}
