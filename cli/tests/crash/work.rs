//! Where the lanes work, how much of it they do, and the chance they draw.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::Lane;

/// A file system in memory on most machines: killing needs no disk, and there it costs none.
const MEMORY: &str = "/dev/shm";

/// Numbers from the command line.
pub(crate) struct Amounts(BTreeMap<String, u64>);

impl Amounts {
    pub(crate) fn of(words: &[String]) -> Self {
        let pairs = words.iter().filter_map(|word| word.split_once('='));
        Self(
            pairs
                .map(|(name, number)| {
                    let number = number.parse().unwrap_or_else(|_| panic!("{name}={number}"));
                    (name.to_owned(), number)
                })
                .collect(),
        )
    }

    pub(crate) fn get(&self, name: &str) -> Option<u64> {
        self.0.get(name).copied()
    }

    pub(crate) fn seed(&self) -> u64 {
        self.get("--seed").unwrap_or(1)
    }

    /// How long a lane may take; what it has not tried by then it does not try.
    pub(crate) fn budget(&self) -> Duration {
        self.get("--seconds-a-lane")
            .map_or(Duration::MAX, Duration::from_secs)
    }

    pub(crate) fn names(&self, lane: &Lane) -> bool {
        self.0.contains_key(lane.amount.0)
    }

    pub(crate) fn names_any(&self, lanes: &[Lane]) -> bool {
        lanes.iter().any(|lane| self.names(lane))
    }
}

/// A folder for everything, removed at the end unless something failed.
pub(crate) struct Workshop {
    folder: PathBuf,
    seed: u64,
}

impl Workshop {
    pub(crate) fn new(seed: u64) -> Self {
        let mut how = tempfile::Builder::new();
        how.prefix("decent-crash-");
        let folder = match how.tempdir_in(MEMORY) {
            Ok(folder) => folder,
            Err(_) => how.tempdir().unwrap(),
        };
        Self {
            folder: folder.keep(),
            seed,
        }
    }

    /// Returns an empty folder of this name.
    pub(crate) fn folder(&self, name: &str) -> PathBuf {
        let path = self.folder.join(name);
        if path.exists() {
            fs::remove_dir_all(&path).unwrap();
        }
        fs::create_dir_all(&path).unwrap();
        path
    }

    /// Returns a path in the folder, where nothing need be.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    pub(crate) fn chance(&self, lane: &str) -> Chance {
        let mut state = self.seed;
        for byte in lane.bytes() {
            state = state.rotate_left(7) ^ u64::from(byte);
        }
        Chance(state)
    }

    pub(crate) fn end(self, good: bool) {
        if good {
            fs::remove_dir_all(&self.folder).unwrap();
        } else {
            println!("everything is left in {}", self.folder.display());
        }
    }
}

/// SplitMix64 (Steele et al. 2014): which moment, which byte, which of several.
pub(crate) struct Chance(u64);

impl Chance {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Returns a number below this one.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.next() % end.max(1)
    }

    /// Spends a moment of no certain length, so that what another process is doing meanwhile is not
    /// always the same.
    pub(crate) fn idle(&mut self) {
        let mut left = 1_u64 << self.below(22);
        left -= self.below(left);
        for n in 0..left {
            std::hint::black_box(n);
        }
    }
}

/// Copies a folder; `to` need not exist.
pub(crate) fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
    // Whoever may look into it may look into the copy.
    fs::set_permissions(to, fs::metadata(from).unwrap().permissions()).unwrap();
}

/// Puts a copy in the place of whatever is there.
pub(crate) fn put_back(from: &Path, to: &Path) {
    if to.exists() {
        fs::remove_dir_all(to).unwrap();
    }
    copy(from, to);
}

/// Returns every file in a folder and below, in an order that does not depend on the file system.
pub(crate) fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut waiting = vec![folder.to_owned()];
    while let Some(folder) = waiting.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let entry = entry.unwrap();
            if entry.file_type().unwrap().is_dir() {
                waiting.push(entry.path());
            } else {
                found.push(entry.path());
            }
        }
    }
    found.sort();
    found
}

/// Returns a folder and every folder below it.
pub(crate) fn folders_below(folder: &Path) -> Vec<PathBuf> {
    let mut found = vec![folder.to_owned()];
    let mut at = 0;
    while at < found.len() {
        for entry in fs::read_dir(&found[at]).unwrap() {
            let entry = entry.unwrap();
            if entry.file_type().unwrap().is_dir() {
                found.push(entry.path());
            }
        }
        at += 1;
    }
    found
}
