//! What a simulated disk holds, and what a power cut leaves of it.

use std::collections::{BTreeMap, BTreeSet};

use oplog::store::StoreError;

use super::pages::Pages;
use super::{SECTOR, Unsynced};
use crate::disk::{failed, parent};

pub(super) type NameStep = Vec<(String, Option<Entry>)>;

#[derive(Clone, Default)]
pub(super) struct Inner {
    pub(super) names: BTreeMap<String, Entry>,
    pub(super) durable_names: BTreeMap<String, Entry>,
    pub(super) unsynced_names: Vec<NameStep>,
    pub(super) files: BTreeMap<u64, Content>,
    pub(super) next_node: u64,
    pub(super) boots: u64,
    pub(super) changes: u64,
    pub(super) dies_after: Option<u64>,
    pub(super) fail_sync: Option<u64>,
    pub(super) fail_write: Option<u64>,
    pub(super) fail_read: Option<u64>,
    /// Sectors of files that cannot be read.
    pub(super) rotten: BTreeSet<(u64, usize)>,
    pub(super) capacity: Option<u64>,
    /// Every stretch that was ever written, with its surroundings, if somebody wants to know.
    pub(super) history: Option<Vec<Vec<u8>>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Entry {
    Folder,
    File(u64),
}

#[derive(Clone, Default)]
pub(super) struct Content {
    pub(super) now: Pages,
    pub(super) durable: Pages,
    pub(super) pending: Vec<Pending>,
    /// From the first failed sync on: what was written, and whether a later sync made it certain.
    pub(super) doubtful: Vec<(Pending, bool)>,
}

#[derive(Clone)]
pub(super) enum Pending {
    Write(usize, Vec<u8>),
    SetLen(usize),
}

impl Content {
    pub(super) fn write(&mut self, step: Pending) {
        step.apply(&mut self.now);
        self.pending.push(step);
    }
}

impl Pending {
    pub(super) fn apply(&self, content: &mut Pages) {
        match self {
            Self::SetLen(len) => content.set_len(*len),
            Self::Write(at, bytes) => content.write(*at, bytes),
        }
    }

    fn apply_in_part(
        &self,
        path: &str,
        content: &mut Pages,
        keeps: &mut dyn FnMut(Unsynced<'_>) -> bool,
    ) {
        match self {
            Self::SetLen(_) if keeps(Unsynced::Length { path }) => self.apply(content),
            Self::SetLen(_) => {}
            Self::Write(at, bytes) => {
                let mut done = 0;
                while done < bytes.len() {
                    let here = at + done;
                    let n = (SECTOR - here % SECTOR).min(bytes.len() - done);
                    let sector = (here / SECTOR) as u64;
                    if keeps(Unsynced::Sector { path, sector }) {
                        content.write(here, bytes.get(done..done + n).unwrap_or_default());
                    }
                    done += n;
                }
            }
        }
    }
}

impl Inner {
    pub(super) fn alive(&self) -> Result<(), StoreError> {
        match self.dies_after {
            Some(0) => Err(failed("use the disk", "the machine is off")),
            _ => Ok(()),
        }
    }

    pub(super) fn change(&mut self) -> Result<(), StoreError> {
        self.alive()?;
        self.dies_after = self.dies_after.map(|n| n - 1);
        self.changes += 1;
        Ok(())
    }

    pub(super) fn take_sync_fault(&mut self) -> Result<(), StoreError> {
        if let Some(n) = self.fail_sync {
            self.fail_sync = n.checked_sub(1);
            if n == 0 {
                return Err(failed("sync a file", "told to"));
            }
        }
        Ok(())
    }

    /// Keeps what stands around a write, so that what lies across two of them is seen too.
    pub(super) fn remember(&mut self, node: u64, start: usize, len: usize) {
        let Some(history) = &mut self.history else {
            return;
        };
        let Some(file) = self.files.get(&node) else {
            return;
        };
        let from = start.saturating_sub(SECTOR);
        let to = (start + len + SECTOR).min(file.now.len());
        let mut bytes = vec![0; to.saturating_sub(from)];
        if file.now.read(from, &mut bytes) {
            history.push(bytes);
        }
    }

    pub(super) fn used(&self) -> u64 {
        let named = self.names.values().filter_map(|entry| match entry {
            Entry::File(node) => self.files.get(node),
            Entry::Folder => None,
        });
        named.map(|f| f.now.len() as u64).sum()
    }

    pub(super) fn set_name(&mut self, path: &str, entry: Option<Entry>) {
        match entry {
            Some(entry) => self.names.insert(path.to_owned(), entry),
            None => self.names.remove(path),
        };
        self.unsynced_names.push(vec![(path.to_owned(), entry)]);
    }

    /// Files that no name leads to, now or after a power cut, are gone with their last handle.
    pub(super) fn forget_nameless(&mut self) {
        let steps = self.unsynced_names.iter().flatten();
        let mut named: BTreeSet<u64> = steps.filter_map(|(_, e)| e.as_ref()?.node()).collect();
        let names = self.names.values().chain(self.durable_names.values());
        named.extend(names.filter_map(Entry::node));
        self.files.retain(|node, _| named.contains(node));
    }

    pub(super) fn settle_names(&mut self, steps: Vec<NameStep>) {
        for (path, entry) in steps.into_iter().flatten() {
            match entry {
                Some(entry) => self.durable_names.insert(path, entry),
                None => self.durable_names.remove(&path),
            };
        }
    }

    pub(super) fn fall_back(&mut self, keeps: &mut dyn FnMut(Unsynced<'_>) -> bool) {
        let mut lost_in: Vec<String> = Vec::new();
        let mut kept = Vec::new();
        for step in core::mem::take(&mut self.unsynced_names) {
            let folder = folder_of(&step).to_owned();
            let path = step.first().map_or("", |(path, _)| path);
            if lost_in.contains(&folder) || !keeps(Unsynced::Name { path }) {
                lost_in.push(folder);
            } else {
                kept.push(step);
            }
        }
        self.settle_names(kept);
        let known = self.durable_names.clone();
        self.durable_names.retain(|path, _| {
            let mut above = parent(path);
            while !above.is_empty() {
                if known.get(above) != Some(&Entry::Folder) {
                    return false;
                }
                above = parent(above);
            }
            true
        });
        let mut paths: BTreeMap<u64, &str> = BTreeMap::new();
        for (path, entry) in self.names.iter().chain(&self.durable_names) {
            if let Entry::File(node) = entry {
                paths.insert(*node, path);
            }
        }
        for (node, file) in &mut self.files {
            let path = paths.get(node).copied().unwrap_or_default();
            let doubtful = core::mem::take(&mut file.doubtful);
            let pending = core::mem::take(&mut file.pending);
            let pending = pending.into_iter().map(|step| (step, false));
            for (step, certain) in doubtful.into_iter().chain(pending) {
                if certain {
                    step.apply(&mut file.durable);
                } else {
                    step.apply_in_part(path, &mut file.durable, keeps);
                }
            }
            file.now = file.durable.clone();
        }
        self.names = self.durable_names.clone();
        // What no name leads to is gone: nobody holds it open any more.
        let named: BTreeSet<u64> = self.names.values().filter_map(Entry::node).collect();
        self.files.retain(|node, _| named.contains(node));
    }
}

impl Entry {
    const fn node(&self) -> Option<u64> {
        match self {
            Self::File(node) => Some(*node),
            Self::Folder => None,
        }
    }
}

pub(super) fn folder_of(step: &NameStep) -> &str {
    step.first().map_or("", |(path, _)| parent(path))
}
