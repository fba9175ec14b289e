//! `sim corpus`: worlds that once failed, run again; none may fail any more.
//!
//! A capsule that a deliberate bug made fail is run without it: whoever makes that mistake in
//! earnest fails here, in a small world. In `known` lie worlds that fail still, for reasons that
//! are written down; they are told and not counted.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::{fs, io};

use clap::Args;
use serde::{Deserialize, Serialize};

use crate::capsule::Capsule;
use crate::cli::one::fail_line;
use crate::config::{Config, Profile};
use crate::run::{self, Outcome};
use crate::schedule::Entry;

/// Runs every world that once failed.
#[derive(Debug, Args)]
pub(crate) struct Corpus {
    /// Where they are: `seeds.json` and capsules.
    #[arg(long, default_value = "sim/corpus")]
    dir: PathBuf,
    /// List them and run nothing.
    #[arg(long)]
    list: bool,
}

/// A seed that once failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Seed {
    seed: u64,
    /// Its theme, where the seed did not draw it.
    profile: Option<Profile>,
    /// The checker that spoke.
    checker: String,
    /// What was wrong.
    why: String,
}

/// A world of the corpus, and what it is remembered for.
struct World {
    name: String,
    why: String,
    /// It fails still.
    known: bool,
    config: Config,
    entries: Vec<Entry>,
}

impl Corpus {
    pub(crate) fn run(&self, json: bool) -> io::Result<ExitCode> {
        let mut failed = 0;
        let worlds = worlds(&self.dir)?;
        for world in &worlds {
            if self.list {
                say!("{:<28}{}", world.name, world.why);
                continue;
            }
            let outcome = run::run(&world.config, &world.entries, 0);
            failed += u32::from(outcome.failure.is_some() && !world.known);
            tell(world, &outcome, json);
        }
        if !self.list && !json {
            say!("{} worlds, {failed} failed", worlds.len());
        }
        Ok(ExitCode::from(u8::from(failed > 0)))
    }
}

fn tell(world: &World, outcome: &Outcome, json: bool) {
    if json {
        let row = serde_json::json!({ "name": world.name, "outcome": outcome });
        return say!("{row}");
    }
    match &outcome.failure {
        Some(failure) => {
            let known = if world.known { "known: " } else { "" };
            say!("{:<28}{known}{}", world.name, fail_line(outcome, failure));
        }
        None if world.known => say!("{:<28}MENDED: no longer fails", world.name),
        None => say!("{:<28}fine: {}", world.name, world.why),
    }
}

/// Reads them, in the order of their names.
fn worlds(dir: &Path) -> io::Result<Vec<World>> {
    let seeds: Vec<Seed> =
        serde_json::from_slice(&fs::read(dir.join("seeds.json"))?).map_err(io::Error::other)?;
    let mut worlds: Vec<World> = seeds
        .into_iter()
        .map(|seed| {
            let config = Config::draw(seed.seed, seed.profile);
            let entries = run::schedule(&config);
            let profile = format!("{:?}", config.profile).to_lowercase();
            World {
                name: format!("{profile} {:#x}", seed.seed),
                why: format!("{}: {}", seed.checker, seed.why),
                known: false,
                config,
                entries,
            }
        })
        .collect();
    worlds.extend(capsules(dir, false)?);
    let known = dir.join("known");
    // There is none while everything is mended.
    if known.is_dir() {
        worlds.extend(capsules(&known, true)?);
    }
    Ok(worlds)
}

fn capsules(dir: &Path, known: bool) -> io::Result<Vec<World>> {
    let mut worlds = Vec::new();
    let mut files: Vec<PathBuf> = fs::read_dir(dir)?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| {
            path.extension().is_some_and(|e| e == "json") && !path.ends_with("seeds.json")
        })
        .collect();
    files.sort();
    for path in files {
        let mut capsule = Capsule::read(&path)?;
        let bug = capsule.config.mutant.take();
        let bug = bug.map_or_else(String::new, |bug| format!(" ({bug})"));
        let name = path.file_stem().unwrap_or_default();
        worlds.push(World {
            name: name.to_string_lossy().into_owned(),
            why: format!("{}{bug}: {}", capsule.failure.checker, capsule.failure.what),
            known,
            config: capsule.config,
            entries: capsule.entries,
        });
    }
    Ok(worlds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_world_of_the_corpus_fails_again() {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
        // Capsules are small; seeds are whole worlds, for the command.
        let worlds = capsules(&dir, false).expect("the corpus can be read");
        assert!(!worlds.is_empty());
        for world in worlds {
            let outcome = run::run(&world.config, &world.entries, 0);
            assert_eq!(outcome.failure, None, "{}: {}", world.name, world.why);
            assert!(outcome.events > 0, "{}", world.name);
        }
    }
}
