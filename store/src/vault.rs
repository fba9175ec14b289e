//! `vault.bin`: secrets in slots, written in place, so that erasing one really erases it.
//!
//! Slots come in banks of 4,096 ([`slots`]); when all are taken, the file grows by one bank.
//! It never shrinks. Every slot stands twice, far apart. Slots 0 to 7 take turns in
//! holding the counter, so that a torn write of one leaves the one before.
//!
//! # One step with a commit elsewhere
//! [`Vault::begin`] writes new secrets beside the old ones, marked with the next
//! counter, and syncs. The journal of `state` then records that counter: this is
//! the commit. [`Vault::finish`] zeroes what was replaced or erased. A crash
//! leaves marks from which [`Vault::settle`] ends or undoes the same step: slots
//! above the recorded counter were never committed, slots below a newer one of
//! the same label were replaced. When the recorded counter does not fit at all, an
//! older copy of something was put back, and nothing is erased on such a guess.
//!
//! # Invariants
//! - A secret is on disk only sealed under the vault key, in its slot and its slot's copy.
//! - After [`Vault::finish`] or [`Vault::erase_now`] an erased secret is in neither.

mod slots;

use core::fmt;
use std::collections::{BTreeMap, BTreeSet};

use oplog::keys::Secret;
use oplog::mutants::{Mutant, on};
use oplog::store::{Label, StoreError};

use crate::chance::Chance;
use crate::disk::{Disk, DiskFile, parent};
use crate::superblock::{KdfCost, Superblock, Unlock, read_pages, write_pages};
pub use slots::{BANK_SLOTS, BANKS_MAX};
use slots::{Content, Slot, SlotFile};

/// Slots that hold the counter.
const COUNTER_SLOTS: usize = 8;

/// Why the vault does not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum VaultError {
    /// This root key does not open this vault. Nothing was changed.
    #[error("the passphrase or key does not open this vault")]
    WrongPassphrase,
    /// There is no vault here.
    #[error("there is no vault")]
    Missing,
    /// Neither copy of the superblock is whole: the profile's secrets are lost.
    #[error("both copies of the vault's first page are damaged")]
    Damaged,
    /// Every slot is taken, and the file has all the banks it may have.
    #[error("all slots of the vault are taken")]
    TableFull,
    /// Argon2 cannot run at this cost.
    #[error("cannot stretch a passphrase at {0:?}")]
    Cost(KdfCost),
    /// The disk failed.
    #[error("cannot reach the vault")]
    Store(#[from] StoreError),
}

impl From<VaultError> for StoreError {
    fn from(error: VaultError) -> Self {
        if let VaultError::Store(inner) = error {
            return inner;
        }
        crate::disk::failed("reach a secret", error)
    }
}

/// What a secret in the vault is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SlotKind {
    /// Kept through [`oplog::store::Store::keep_secret`].
    User,
    /// Seals a file of records; worthless once no file names it.
    Segment,
    /// The store's own.
    Internal,
}

/// What was found on opening.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct VaultReport {
    /// Slots of which one copy was bad, now rewritten from the other.
    pub healed_count: usize,
    /// Slots of which both copies were bad: these secrets are lost, or were never committed.
    pub lost_count: usize,
}

/// The open vault.
pub struct Vault<F> {
    file: SlotFile<F>,
    slots: Vec<Option<Slot>>,
    /// No slot before this one is free.
    free_from: usize,
    by_label: BTreeMap<Label, usize>,
    /// Of the last commit that is known to have happened.
    counter: u64,
    /// The greatest counter seen in the file.
    seen: u64,
    begun: Begun,
    report: VaultReport,
}

#[derive(Default)]
struct Begun {
    fresh: BTreeSet<usize>,
    stale: BTreeSet<usize>,
}

impl<F: DiskFile> Vault<F> {
    /// Creates the vault under a fresh key. The name is durable on return.
    ///
    /// # Errors
    /// When the disk fails, or Argon2 at this cost.
    pub fn create<D: Disk<File = F>>(
        disk: &D,
        path: &str,
        with: Unlock<'_>,
        seed: &Secret,
    ) -> Result<Self, VaultError> {
        let mut chance = Chance::new(seed);
        let key = Secret::from_bytes(chance.bytes());
        let page = Superblock::seal(&key, with, 1, &mut chance)?.encode();
        // Under another name first: a vault by its name is whole.
        let new = format!("{path}.new");
        let file = disk.create(&new)?;
        file.write_at(0, &page.repeat(2))?;
        SlotFile::create(&file)?;
        file.sync()?;
        disk.rename(&new, path)?;
        disk.sync_dir(parent(path))?;
        Self::load(file, key)
    }

    /// Opens the vault.
    ///
    /// # Errors
    /// [`VaultError::WrongPassphrase`]; then nothing was changed. Bad slots are no error.
    pub fn open<D: Disk<File = F>>(
        disk: &D,
        path: &str,
        with: Unlock<'_>,
    ) -> Result<Self, VaultError> {
        let file = disk.open(path)?.ok_or(VaultError::Missing)?;
        let (newest, pages_agree, key) = Self::unlock(&file, with)?;
        if !pages_agree {
            write_pages(&file, &newest)?;
        }
        Self::load(file, key)
    }

    /// Returns whether a passphrase opens the vault, `None` when neither copy of its superblock is
    /// whole.
    ///
    /// # Errors
    /// [`VaultError::Missing`], or when the disk fails.
    pub fn has_passphrase<D: Disk<File = F>>(
        disk: &D,
        path: &str,
    ) -> Result<Option<bool>, VaultError> {
        let file = disk.open(path)?.ok_or(VaultError::Missing)?;
        let pages = read_pages(&file)?;
        let newest = pages.iter().max_by_key(|page| page.generation);
        Ok(newest.map(Superblock::has_passphrase))
    }

    /// Reads everything again from the disk, as after a crash.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn reopen<D: Disk<File = F>>(&self, disk: &D, path: &str) -> Result<Self, VaultError> {
        let file = disk.open(path)?.ok_or(VaultError::Missing)?;
        let vault = Self::load(file, self.file.key.clone())?;
        vault.file.write_again()?;
        Ok(vault)
    }

    /// Ends what a crash interrupted, given the counter and the erased labels that the last
    /// commit recorded. Returns whether the counter fits; when it does not, an older copy of
    /// the vault or of what recorded the counter was put back, and no secret is erased.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn settle(&mut self, committed: u64, erased: &[Label]) -> Result<bool, VaultError> {
        let fits = self.seen == committed || self.seen.checked_sub(1) == Some(committed);
        self.counter = if fits {
            committed
        } else {
            self.seen.max(committed)
        };
        let mut gone = BTreeSet::new();
        let mut newest: BTreeMap<Label, usize> = BTreeMap::new();
        for (at, slot) in self.slots.iter().enumerate() {
            let Some(slot) = slot else { continue };
            let uncommitted = slot.counter > self.counter;
            if fits && (uncommitted || erased.contains(&slot.label)) {
                gone.insert(at);
                continue;
            }
            let before = newest.insert(slot.label, at);
            let older = before.and_then(|b| self.slots.get(b).cloned().flatten().map(|s| (b, s)));
            if let Some((before, other)) = older {
                let stale = if other.counter > slot.counter {
                    newest.insert(slot.label, before);
                    at
                } else {
                    before
                };
                if fits {
                    gone.insert(stale);
                }
            }
        }
        self.by_label = newest;
        self.zero(&gone)?;
        Ok(fits)
    }

    /// Writes new secrets and syncs; nothing counts before [`Vault::finish`]. Returns the
    /// counter to record in the commit.
    ///
    /// # Errors
    /// [`VaultError::TableFull`], or when the disk fails: call [`Vault::abort`].
    pub fn begin(
        &mut self,
        changes: &BTreeMap<Label, Option<Secret>>,
        chance: &mut Chance,
    ) -> Result<u64, VaultError> {
        let next = self.counter + 1;
        for (label, secret) in changes {
            let old = self.by_label.get(label).copied();
            self.begun.stale.extend(old);
            let Some(secret) = secret else { continue };
            let at = self.free_slot()?;
            let slot = Slot {
                kind: SlotKind::User,
                counter: next,
                label: *label,
                secret: secret.clone(),
            };
            self.begun.fresh.insert(at);
            self.write(at, slot, chance)?;
        }
        self.write_counter(next, chance)?;
        self.file.sync()?;
        Ok(next)
    }

    /// The commit happened: zeroes what it replaced or erased.
    ///
    /// # Errors
    /// When the disk fails. The commit stands; what was not zeroed is when the vault settles.
    pub fn finish(&mut self) -> Result<(), VaultError> {
        let begun = core::mem::take(&mut self.begun);
        self.counter += 1;
        self.seen = self.seen.max(self.counter);
        for at in &begun.stale {
            if let Some(slot) = self.slots.get(*at).and_then(Option::as_ref) {
                self.by_label.remove(&slot.label);
            }
        }
        for at in begun.fresh {
            if let Some(slot) = self.slots.get(at).and_then(Option::as_ref) {
                self.by_label.insert(slot.label, at);
            }
        }
        if on(Mutant::SlotKept) {
            return Ok(());
        }
        self.zero(&begun.stale)
    }

    /// The commit did not happen: zeroes what was written for it.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn abort(&mut self) -> Result<(), VaultError> {
        let begun = core::mem::take(&mut self.begun);
        self.zero(&begun.fresh)
    }

    /// Keeps a secret of the store's own, durable on return. Does nothing when the label is taken.
    ///
    /// # Errors
    /// [`VaultError::TableFull`], or when the disk fails.
    pub fn put_now(
        &mut self,
        kind: SlotKind,
        label: Label,
        secret: &Secret,
        chance: &mut Chance,
    ) -> Result<(), VaultError> {
        if self.by_label.contains_key(&label) {
            return Ok(());
        }
        let at = self.free_slot()?;
        let slot = Slot {
            kind,
            counter: self.counter,
            label,
            secret: secret.clone(),
        };
        self.write(at, slot, chance)?;
        self.file.sync()?;
        self.by_label.insert(label, at);
        Ok(())
    }

    /// Erases secrets of the store's own, durably on return.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn erase_now(&mut self, labels: &BTreeSet<Label>) -> Result<(), VaultError> {
        let gone = labels.iter().filter_map(|l| self.by_label.remove(l));
        let gone = gone.collect();
        self.zero(&gone)
    }

    /// Seals the vault key under another root key. The old one opens nothing afterwards.
    ///
    /// # Errors
    /// When the disk fails; then either opens the vault.
    pub fn change_root(&mut self, to: Unlock<'_>, chance: &mut Chance) -> Result<(), VaultError> {
        let newest = read_pages(&self.file.file)?
            .iter()
            .map(|b| b.generation)
            .max();
        let generation = newest.unwrap_or(0) + 1;
        let block = Superblock::seal(&self.file.key, to, generation, chance)?;
        write_pages(&self.file.file, &block)
    }

    /// Returns a secret.
    #[must_use]
    pub fn secret(&self, label: Label) -> Option<Secret> {
        let at = *self.by_label.get(&label)?;
        let slot = self.slots.get(at)?.as_ref()?;
        Some(slot.secret.clone())
    }

    /// Returns the labels of one kind.
    #[must_use]
    pub fn labels(&self, kind: SlotKind) -> Vec<Label> {
        let of_kind = self.slots.iter().flatten().filter(|s| s.kind == kind);
        of_kind.map(|s| s.label).collect()
    }

    /// Returns the counter of the last commit that changed secrets.
    #[must_use]
    pub const fn counter(&self) -> u64 {
        self.counter
    }

    /// Returns what opening found.
    #[must_use]
    pub const fn report(&self) -> VaultReport {
        self.report
    }

    /// Returns how many slots are free before the file grows.
    #[must_use]
    pub fn free_count(&self) -> usize {
        self.slots.len() - COUNTER_SLOTS - self.taken_count()
    }

    /// Returns how many slots hold a secret.
    #[must_use]
    pub fn taken_count(&self) -> usize {
        self.slots.iter().flatten().count()
    }

    fn unlock(file: &F, with: Unlock<'_>) -> Result<(Superblock, bool, Secret), VaultError> {
        let mut pages = read_pages(file)?;
        pages.sort_by_key(|b| core::cmp::Reverse(b.generation));
        let mut last = VaultError::Damaged;
        for page in &pages {
            match page.open(with) {
                Ok(key) => {
                    let agree = pages.len() == 2 && pages.iter().all(|p| p == page);
                    return Ok((page.clone(), agree, key));
                }
                Err(e) => last = e,
            }
            // Equal copies need no second stretching of a wrong passphrase.
            if pages.iter().all(|p| p == page) {
                break;
            }
        }
        Err(last)
    }

    fn load(file: F, key: Secret) -> Result<Self, VaultError> {
        let (file, found, report) = SlotFile::load(file, key)?;
        let seen = found.iter().flatten().map(Content::counter).max();
        let slots: Vec<Option<Slot>> = found
            .into_iter()
            .map(|content| match content {
                Some(Content::Secret(slot)) => Some(slot),
                Some(Content::Counter(_)) | None => None,
            })
            .collect();
        let labels = slots.iter().enumerate();
        let by_label = labels.filter_map(|(at, slot)| Some((slot.as_ref()?.label, at)));
        Ok(Self {
            by_label: by_label.collect(),
            file,
            slots,
            free_from: COUNTER_SLOTS,
            counter: seen.unwrap_or(0),
            seen: seen.unwrap_or(0),
            begun: Begun::default(),
            report,
        })
    }

    /// Returns a free slot; the file grows when there is none.
    fn free_slot(&mut self) -> Result<usize, VaultError> {
        let mut free = self.slots.iter().enumerate().skip(self.free_from);
        let found = free.find(|(_, slot)| slot.is_none()).map(|(at, _)| at);
        let at = if let Some(at) = found {
            at
        } else {
            let first = self.slots.len();
            if !self.file.grow()? {
                return Err(VaultError::TableFull);
            }
            self.slots.resize(first + BANK_SLOTS, None);
            first
        };
        self.free_from = at;
        Ok(at)
    }

    fn write(&mut self, at: usize, slot: Slot, chance: &mut Chance) -> Result<(), VaultError> {
        let content = Content::Secret(slot.clone());
        if let Some(place) = self.slots.get_mut(at) {
            *place = Some(slot);
        }
        Ok(self.file.write(at, &content, chance)?)
    }

    fn write_counter(&self, counter: u64, chance: &mut Chance) -> Result<(), VaultError> {
        let at = usize::try_from(counter % COUNTER_SLOTS as u64).unwrap_or(0);
        Ok(self.file.write(at, &Content::Counter(counter), chance)?)
    }

    fn zero(&mut self, slots: &BTreeSet<usize>) -> Result<(), VaultError> {
        let Some(first) = slots.first() else {
            return Ok(());
        };
        for at in slots {
            self.file.zero(*at)?;
        }
        self.file.sync()?;
        // Only now: a slot whose zeros did not reach the disk is not free.
        self.free_from = self.free_from.min(*first);
        for at in slots {
            if let Some(place) = self.slots.get_mut(*at) {
                *place = None;
            }
        }
        Ok(())
    }
}

impl<F> fmt::Debug for Vault<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Vault({} secrets)", self.by_label.len())
    }
}
