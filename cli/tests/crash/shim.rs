//! The shim that stands between a program and its files (`shim.c`): built when it is needed, with the C
//! compiler of this machine.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::report::Counters;
use crate::work::Workshop;

/// How the program is harmed at the call that is chosen.
#[derive(Clone, Copy)]
pub(crate) enum How {
    /// The process ends before the call.
    Stop,
    /// Half of a write is made, then the process ends.
    Half,
    /// A sync fails, once.
    Sync,
    /// From this call on there is no room.
    Full,
}

impl How {
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Stop => "stop",
            Self::Half => "half",
            Self::Sync => "sync",
            Self::Full => "full",
        }
    }
}

pub(crate) struct Shim {
    library: PathBuf,
    count: PathBuf,
    pub(crate) trace: PathBuf,
}

impl Shim {
    /// Builds it; `None`, and said plainly, where that cannot be done.
    pub(crate) fn build(workshop: &Workshop, counters: &mut Counters) -> Option<Self> {
        if !cfg!(target_os = "linux") {
            counters.skip("calls of the system are counted on Linux only");
            return None;
        }
        let library = workshop.path("shim.so");
        let shim = Self {
            library: library.clone(),
            count: workshop.path("shim.count"),
            trace: workshop.path("shim.trace"),
        };
        if library.exists() {
            return Some(shim);
        }
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/crash/shim.c");
        let built = Command::new("cc")
            .args(["-shared", "-fPIC", "-O2", "-o"])
            .arg(&library)
            .arg(source)
            .arg("-ldl")
            .status();
        match built {
            Ok(status) => assert!(status.success(), "the shim does not compile"),
            Err(error) => {
                counters.skip(format!("no C compiler to build the shim with: {error}"));
                return None;
            }
        }
        Some(shim)
    }

    /// Puts it under a program that works in a folder.
    pub(crate) fn under(&self, command: &mut Command, folder: &Path, harm: Option<(How, u64)>) {
        command
            .env("LD_PRELOAD", &self.library)
            .env("CRASH_ROOT", folder)
            .env("CRASH_COUNT", &self.count);
        if let Some((how, at)) = harm {
            command
                .env("CRASH_HOW", how.word())
                .env("CRASH_AT", at.to_string());
        }
    }

    /// Has it write down every call.
    pub(crate) fn tracing(&self, command: &mut Command) {
        if self.trace.exists() {
            fs::remove_file(&self.trace).unwrap();
        }
        command.env("CRASH_TRACE", &self.trace);
    }

    /// Returns how many calls, or syncs, the last program made.
    pub(crate) fn count(&self) -> u64 {
        fs::read(&self.count)
            .ok()
            .and_then(|bytes| Some(u64::from_ne_bytes(bytes.try_into().ok()?)))
            .unwrap_or(0)
    }
}
