//! Which file holds a segment, and the files that are open.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use oplog::SpaceId;
use oplog::hash::hash16;
use oplog::keys::Secret;
use oplog::store::StoreError;

use super::LOG_DIR;
use crate::disk::{Disk, damaged};

/// How many files stay open. Guess: far below any limit of a process, far above one page's reads.
const OPEN_FILES_MAX: usize = 64;
/// The name of a bundle that is being written.
pub(super) const NEW: &str = "new";

/// A file in the folder of a Space.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum FileName {
    /// One segment.
    Segment(u32),
    /// Several, named after the first it held.
    Bundle(u32),
}

impl FileName {
    pub(super) fn parse(name: &str) -> Option<Self> {
        let (hex, kind) = name.split_once('.')?;
        let number = u32::from_str_radix(hex, 16)
            .ok()
            .filter(|_| hex.len() == 8)?;
        match kind {
            "seg" => Some(Self::Segment(number)),
            "bun" => Some(Self::Bundle(number)),
            _ => None,
        }
    }

    pub(super) const fn number(self) -> u32 {
        match self {
            Self::Segment(number) | Self::Bundle(number) => number,
        }
    }
}

impl std::fmt::Display for FileName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Segment(number) => write!(f, "{number:08x}.seg"),
            Self::Bundle(number) => write!(f, "{number:08x}.bun"),
        }
    }
}

/// Open files, a few at a time.
pub(super) struct Files<D: Disk> {
    pub(super) disk: D,
    open: Mutex<BTreeMap<(SpaceId, FileName), D::File>>,
    /// Written and not synced.
    pub(super) dirty: BTreeSet<(SpaceId, FileName)>,
}

impl<D: Disk> Files<D> {
    pub(super) fn new(disk: D) -> Self {
        Self {
            disk,
            open: Mutex::default(),
            dirty: BTreeSet::new(),
        }
    }

    /// Lets `act` use a file, opened at `path` unless it is open.
    pub(super) fn with<T>(
        &self,
        at: (SpaceId, FileName),
        path: impl FnOnce() -> String,
        act: impl FnOnce(&D::File) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let mut open = self.lock();
        if !open.contains_key(&at) {
            let file = self.disk.open(&path())?;
            let file = file.ok_or_else(|| damaged(format!("the file {} is gone", at.1)))?;
            self.insert(&mut open, at, file);
        }
        match open.get(&at) {
            Some(file) => act(file),
            None => Err(damaged("a segment")),
        }
    }

    pub(super) fn holds(&self, at: (SpaceId, FileName)) -> bool {
        self.lock().contains_key(&at)
    }

    pub(super) fn keep(&self, at: (SpaceId, FileName), file: D::File) {
        self.insert(&mut self.lock(), at, file);
    }

    pub(super) fn close(&mut self, at: (SpaceId, FileName)) {
        self.lock().remove(&at);
        self.dirty.remove(&at);
    }

    pub(super) fn close_space(&mut self, space: &SpaceId) {
        self.lock().retain(|(of, _), _| of != space);
        self.dirty.retain(|(of, _)| of != space);
    }

    fn insert(
        &self,
        open: &mut BTreeMap<(SpaceId, FileName), D::File>,
        at: (SpaceId, FileName),
        file: D::File,
    ) {
        if open.len() >= OPEN_FILES_MAX {
            // One that is not synced stays: another handle may not hear why its sync fails.
            let other = open.keys().find(|at| !self.dirty.contains(at)).copied();
            other.and_then(|other| open.remove(&other));
        }
        open.insert(at, file);
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<(SpaceId, FileName), D::File>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns the folder of a Space: a name that tells nothing without the key.
pub(super) fn folder_of(name_key: &Secret, space: &SpaceId) -> String {
    let name = hash16("log-folder", &[name_key.as_bytes(), space.as_bytes()]);
    // The hex of a label: sixteen bytes are sixteen bytes.
    let hex: String = name.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{LOG_DIR}/{hex}")
}
