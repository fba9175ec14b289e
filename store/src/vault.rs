//! `vault.bin`: secrets in fixed slots, written in place, so that erasing one really erases it.
//!
//! ```text
//! superblock, two pages · 4,096 slots of 128 bytes · the same slots again
//! slot: nonce 24 ‖ sealed(kind u8 ‖ counter u64 ‖ label 16 ‖ secret 32) 73 ‖ crc32c u32 ‖ zeros
//! ```
//!
//! The file never grows. Every slot stands twice, far apart; one bad copy is
//! healed when the vault opens. A free slot is zeros. Slots 0 to 7 take turns in
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

use core::fmt;
use std::collections::{BTreeMap, BTreeSet};

use oplog::aead;
use oplog::keys::Secret;
use oplog::store::{Label, StoreError};

use crate::chance::Chance;
use crate::disk::{Disk, DiskFile, damaged, parent, write_again};
use crate::segment::take;
use crate::superblock::{KdfCost, PAGE, PAGE_LEN, Superblock, Unlock};

/// How many slots there are, counter slots among them.
pub const SLOTS: usize = 4096;
const COUNTER_SLOTS: usize = 8;
const SLOT_BYTES: usize = 128;
const SEALED_BYTES: usize = 73;
const COPY_BYTES: u64 = (SLOTS * SLOT_BYTES) as u64;
const SLOTS_AT: u64 = 2 * PAGE;
/// Bytes of the file.
const VAULT_BYTES: u64 = SLOTS_AT + 2 * COPY_BYTES;

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
    /// Every slot is taken.
    #[error("all {SLOTS} slots of the vault are taken")]
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
    file: F,
    key: Secret,
    slots: Vec<Option<Slot>>,
    by_label: BTreeMap<Label, usize>,
    /// Of the last commit that is known to have happened.
    counter: u64,
    /// The greatest counter seen in the file.
    seen: u64,
    begun: Begun,
    report: VaultReport,
}

#[derive(Clone, PartialEq, Eq)]
struct Slot {
    kind: SlotKind,
    counter: u64,
    label: Label,
    secret: Secret,
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
        // Real zeros: the room is taken now, and writes in place cannot fail for want of it.
        let zeros = vec![0; SLOTS * SLOT_BYTES];
        file.write_at(SLOTS_AT, &zeros)?;
        file.write_at(SLOTS_AT + COPY_BYTES, &zeros)?;
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

    /// Reads everything again from the disk, as after a crash.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn reopen<D: Disk<File = F>>(&self, disk: &D, path: &str) -> Result<Self, VaultError> {
        let file = disk.open(path)?.ok_or(VaultError::Missing)?;
        let vault = Self::load(file, self.key.clone())?;
        write_again(&vault.file, SLOTS_AT, VAULT_BYTES)?;
        vault.file.sync()?;
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
            let at = self.free_slot().ok_or(VaultError::TableFull)?;
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
        let at = self.free_slot().ok_or(VaultError::TableFull)?;
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
        let newest = self.pages()?.iter().map(|b| b.generation).max();
        let generation = newest.unwrap_or(0) + 1;
        let block = Superblock::seal(&self.key, to, generation, chance)?;
        write_pages(&self.file, &block)
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

    /// Returns how many secrets there is room for.
    #[must_use]
    pub fn free_count(&self) -> usize {
        let taken = self.slots.iter().flatten().count();
        SLOTS - COUNTER_SLOTS - taken
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

    fn pages(&self) -> Result<Vec<Superblock>, VaultError> {
        read_pages(&self.file)
    }

    fn load(file: F, key: Secret) -> Result<Self, VaultError> {
        let mut copies = [Vec::new(), Vec::new()];
        for (at, copy) in [SLOTS_AT, SLOTS_AT + COPY_BYTES]
            .into_iter()
            .zip(&mut copies)
        {
            copy.resize(SLOTS * SLOT_BYTES, 0);
            // A file cut short has lost the slots behind the cut, not the ones before.
            let there = file.size()?.saturating_sub(at);
            let there = usize::try_from(there).unwrap_or(usize::MAX).min(copy.len());
            if let Some(part) = copy.get_mut(..there) {
                file.read_at(at, part)?;
            }
        }
        let mut vault = Self {
            file,
            key,
            slots: vec![None; SLOTS],
            by_label: BTreeMap::new(),
            counter: 0,
            seen: 0,
            begun: Begun::default(),
            report: VaultReport::default(),
        };
        if vault.file.size()? < VAULT_BYTES {
            vault.file.set_len(VAULT_BYTES)?;
        }
        let [first, second] = copies;
        let pairs = first
            .chunks_exact(SLOT_BYTES)
            .zip(second.chunks_exact(SLOT_BYTES));
        let mut touched = false;
        for (at, (a, b)) in pairs.enumerate() {
            touched |= vault.load_slot(at, a, b)?;
        }
        if touched {
            vault.file.sync()?;
        }
        let by_label = vault.slots.iter().enumerate();
        vault.by_label = by_label
            .filter_map(|(at, slot)| Some((slot.as_ref()?.label, at)))
            .collect();
        vault.counter = vault.seen;
        Ok(vault)
    }

    /// Takes one slot in; returns whether it had to be written again.
    fn load_slot(&mut self, at: usize, a: &[u8], b: &[u8]) -> Result<bool, VaultError> {
        let zero = [0; SLOT_BYTES];
        if a == zero && b == zero {
            return Ok(false);
        }
        let open = |bytes: &[u8]| self.unseal(at, bytes);
        let first = open(a);
        let second = if a == b { first.clone() } else { open(b) };
        let newer = |x: &Opened, y: &Opened| x.counter() >= y.counter();
        let (found, bytes) = match (first, second) {
            (Some(x), Some(y)) if newer(&x, &y) => (Some(x), a),
            (Some(x), None) => (Some(x), a),
            (_, Some(y)) => (Some(y), b),
            (None, None) => (None, zero.as_slice()),
        };
        match &found {
            None => self.report.lost_count += 1,
            Some(opened) => {
                self.seen = self.seen.max(opened.counter());
                if a != b {
                    self.report.healed_count += 1;
                }
            }
        }
        if let Some(Opened::Slot(slot)) = found
            && let Some(place) = self.slots.get_mut(at)
        {
            *place = Some(slot);
        }
        if a == b && bytes == a {
            return Ok(false);
        }
        let bytes = bytes.to_vec();
        self.write_raw(at, &bytes)?;
        Ok(true)
    }

    fn free_slot(&self) -> Option<usize> {
        let mut free = self.slots.iter().enumerate().skip(COUNTER_SLOTS);
        free.find(|(_, slot)| slot.is_none()).map(|(at, _)| at)
    }

    fn write(&mut self, at: usize, slot: Slot, chance: &mut Chance) -> Result<(), VaultError> {
        let mut plain = vec![kind_byte(slot.kind)];
        plain.extend_from_slice(&slot.counter.to_le_bytes());
        plain.extend_from_slice(slot.label.as_bytes());
        plain.extend_from_slice(slot.secret.as_bytes());
        let bytes = self.seal(at, &plain, chance);
        if let Some(place) = self.slots.get_mut(at) {
            *place = Some(slot);
        }
        self.write_raw(at, &bytes)
    }

    fn write_counter(&mut self, counter: u64, chance: &mut Chance) -> Result<(), VaultError> {
        let at = usize::try_from(counter % COUNTER_SLOTS as u64).unwrap_or(0);
        let mut plain = vec![KIND_COUNTER];
        plain.extend_from_slice(&counter.to_le_bytes());
        plain.resize(SEALED_BYTES - aead::TAG_LEN, 0);
        let bytes = self.seal(at, &plain, chance);
        self.write_raw(at, &bytes)
    }

    fn write_raw(&self, at: usize, bytes: &[u8]) -> Result<(), VaultError> {
        let offset = SLOTS_AT + (at * SLOT_BYTES) as u64;
        self.file.write_at(offset, bytes)?;
        self.file.write_at(offset + COPY_BYTES, bytes)?;
        Ok(())
    }

    fn zero(&mut self, slots: &BTreeSet<usize>) -> Result<(), VaultError> {
        if slots.is_empty() {
            return Ok(());
        }
        for at in slots {
            self.write_raw(*at, &[0; SLOT_BYTES])?;
        }
        self.file.sync()?;
        // Only now: a slot whose zeros did not reach the disk is not free.
        for at in slots {
            if let Some(place) = self.slots.get_mut(*at) {
                *place = None;
            }
        }
        Ok(())
    }

    fn seal(&self, at: usize, plain: &[u8], chance: &mut Chance) -> Vec<u8> {
        let nonce = chance.nonce();
        let mut out = nonce.to_vec();
        out.extend_from_slice(&aead::seal(
            self.key.as_bytes(),
            &nonce,
            &slot_ad(at),
            plain,
        ));
        out.extend_from_slice(&crc32c::crc32c(&out).to_le_bytes());
        out.resize(SLOT_BYTES, 0);
        out
    }

    fn unseal(&self, at: usize, bytes: &[u8]) -> Option<Opened> {
        let mut rest = bytes;
        let nonce = take(&mut rest)?;
        let sealed: [u8; SEALED_BYTES] = take(&mut rest)?;
        let crc = u32::from_le_bytes(take(&mut rest)?);
        let covered = bytes.get(..aead::NONCE_LEN + SEALED_BYTES)?;
        if crc32c::crc32c(covered) != crc || rest.iter().any(|b| *b != 0) {
            return None;
        }
        let plain = aead::open(self.key.as_bytes(), &nonce, &slot_ad(at), &sealed).ok()?;
        let plain = zeroize::Zeroizing::new(plain);
        let mut rest = plain.as_slice();
        let [kind] = take(&mut rest)?;
        let counter = u64::from_le_bytes(take(&mut rest)?);
        if kind == KIND_COUNTER {
            return Some(Opened::Counter(counter));
        }
        Some(Opened::Slot(Slot {
            kind: kind_of(kind)?,
            counter,
            label: Label::from_bytes(take(&mut rest)?),
            secret: Secret::from_bytes(take(&mut rest)?),
        }))
    }
}

impl<F> fmt::Debug for Vault<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Vault({} secrets)", self.by_label.len())
    }
}

#[derive(Clone)]
enum Opened {
    Counter(u64),
    Slot(Slot),
}

impl Opened {
    const fn counter(&self) -> u64 {
        match self {
            Self::Counter(counter) => *counter,
            Self::Slot(slot) => slot.counter,
        }
    }
}

const KIND_COUNTER: u8 = 0;

const fn kind_byte(kind: SlotKind) -> u8 {
    match kind {
        SlotKind::User => 1,
        SlotKind::Segment => 2,
        SlotKind::Internal => 3,
    }
}

const fn kind_of(byte: u8) -> Option<SlotKind> {
    match byte {
        1 => Some(SlotKind::User),
        2 => Some(SlotKind::Segment),
        3 => Some(SlotKind::Internal),
        _ => None,
    }
}

fn slot_ad(at: usize) -> Vec<u8> {
    [b"slot".as_slice(), &(at as u64).to_le_bytes()].concat()
}

fn read_pages(file: &impl DiskFile) -> Result<Vec<Superblock>, VaultError> {
    let mut found = Vec::new();
    for at in [0, PAGE] {
        let mut page = [0; PAGE_LEN];
        match file.read_at(at, &mut page) {
            Ok(()) => found.extend(Superblock::decode(&page)),
            Err(StoreError::Damaged { .. }) => {}
            Err(e) => return Err(e.into()),
        }
    }
    Ok(found)
}

/// One page after the other: a power cut leaves one of them whole.
fn write_pages(file: &impl DiskFile, block: &Superblock) -> Result<(), VaultError> {
    let page = block.encode();
    for at in [0, PAGE] {
        file.write_at(at, &page)?;
        file.sync()?;
    }
    // Read back: a passphrase that a person will rely on for years is worth one read.
    if read_pages(file)?.iter().all(|found| found == block) {
        Ok(())
    } else {
        Err(damaged("the vault's first page").into())
    }
}
