//! The file under the vault: sealed slots in banks, each slot twice.
//!
//! ```text
//! superblock, two pages · bank · bank · …
//! bank: 4,096 slots of 128 bytes · the same slots again
//! slot: nonce 24 ‖ sealed(kind u8 ‖ counter u64 ‖ label 16 ‖ secret 32) 73 ‖ crc32c u32 ‖ zeros
//! ```
//!
//! A bank counts once all its zeros are synced; what a crash leaves of a bank
//! before that is zeros, and is written again when the bank is needed. One bad
//! copy of a slot is healed when the file is read. A free slot is zeros.

use oplog::aead;
use oplog::keys::Secret;
use oplog::recorder;
use oplog::store::{Label, StoreError};
use zeroize::Zeroizing;

use super::{SlotKind, VaultError, VaultReport};
use crate::chance::Chance;
use crate::disk::{DiskFile, write_again};
use crate::segment::take;
use crate::superblock::PAGE;

/// Slots of one bank, by which the file grows.
pub const BANK_SLOTS: usize = 4096;
/// Banks of the largest file: 262,144 secrets in 64 MiB. Guess: at a key for each 8 MiB of log,
/// two terabytes.
pub const BANKS_MAX: usize = 64;
const SLOT_BYTES: usize = 128;
const SEALED_BYTES: usize = 73;
const COPY_BYTES: u64 = (BANK_SLOTS * SLOT_BYTES) as u64;
const BANK_BYTES: u64 = 2 * COPY_BYTES;
const BANKS_AT: u64 = 2 * PAGE;
const KIND_COUNTER: u8 = 0;

/// A secret and what belongs to it.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Slot {
    pub(super) kind: SlotKind,
    pub(super) counter: u64,
    pub(super) label: Label,
    pub(super) secret: Secret,
}

/// What a slot holds that is not free.
#[derive(Clone)]
pub(super) enum Content {
    Counter(u64),
    Secret(Slot),
}

impl Content {
    pub(super) const fn counter(&self) -> u64 {
        match self {
            Self::Counter(counter) => *counter,
            Self::Secret(slot) => slot.counter,
        }
    }
}

/// The open file.
pub(super) struct SlotFile<F> {
    pub(super) file: F,
    pub(super) key: Secret,
    banks: usize,
}

impl<F: DiskFile> SlotFile<F> {
    /// Writes the first bank of a new file; not synced.
    pub(super) fn create(file: &F) -> Result<(), StoreError> {
        write_bank(file, 0)
    }

    /// Reads every slot in order, healing what can be healed.
    pub(super) fn load(
        file: F,
        key: Secret,
    ) -> Result<(Self, Vec<Option<Content>>, VaultReport), VaultError> {
        let banks = count_banks(&file)?;
        let slots = Self { file, key, banks };
        let (mut found, mut report) = (Vec::new(), VaultReport::default());
        let mut touched = false;
        for bank in 0..banks {
            let at = bank_at(bank);
            let (first, second) = (slots.copy(at)?, slots.copy(at + COPY_BYTES)?);
            let pairs = first
                .chunks_exact(SLOT_BYTES)
                .zip(second.chunks_exact(SLOT_BYTES));
            for (n, (a, b)) in pairs.enumerate() {
                let n = bank * BANK_SLOTS + n;
                found.push(slots.load_slot(n, a, b, &mut report, &mut touched)?);
            }
        }
        if slots.file.size()? < bank_at(banks) {
            slots.file.set_len(bank_at(banks))?;
        }
        if touched {
            slots.file.sync()?;
        }
        Ok((slots, found, report))
    }

    /// Adds a bank, durable on return. Returns whether that was allowed.
    pub(super) fn grow(&mut self) -> Result<bool, StoreError> {
        if self.banks >= BANKS_MAX {
            return Ok(false);
        }
        write_bank(&self.file, self.banks)?;
        self.file.sync()?;
        self.banks += 1;
        Ok(true)
    }

    pub(super) fn write(
        &self,
        at: usize,
        content: &Content,
        chance: &mut Chance,
    ) -> Result<(), StoreError> {
        self.write_raw(at, &self.seal(at, content, chance))
    }

    pub(super) fn zero(&self, at: usize) -> Result<(), StoreError> {
        self.write_raw(at, &[0; SLOT_BYTES])
    }

    pub(super) fn sync(&self) -> Result<(), StoreError> {
        self.file.sync()
    }

    /// Writes all of it as it reads: what an earlier sync failed to write may be on no disk.
    pub(super) fn write_again(&self) -> Result<(), StoreError> {
        write_again(&self.file, BANKS_AT, bank_at(self.banks))?;
        self.file.sync()
    }

    /// Reads one copy of a bank. A file cut short has lost the slots behind the cut, not the
    /// ones before.
    fn copy(&self, at: u64) -> Result<Vec<u8>, StoreError> {
        let mut bytes = vec![0; BANK_SLOTS * SLOT_BYTES];
        let there = self.file.size()?.saturating_sub(at);
        let there = usize::try_from(there)
            .unwrap_or(usize::MAX)
            .min(bytes.len());
        if let Some(part) = bytes.get_mut(..there).filter(|part| !part.is_empty()) {
            self.file.read_at(at, part)?;
        }
        Ok(bytes)
    }

    /// Takes one slot in, and writes it again unless both copies are whole and alike.
    fn load_slot(
        &self,
        at: usize,
        a: &[u8],
        b: &[u8],
        report: &mut VaultReport,
        touched: &mut bool,
    ) -> Result<Option<Content>, VaultError> {
        let zero = [0; SLOT_BYTES];
        if a == zero && b == zero {
            return Ok(None);
        }
        let open = |bytes: &[u8]| self.unseal(at, bytes);
        let first = open(a);
        let second = if a == b { first.clone() } else { open(b) };
        let newer = |x: &Content, y: &Content| x.counter() >= y.counter();
        let (found, bytes) = match (first, second) {
            (Some(x), Some(y)) if newer(&x, &y) => (Some(x), a),
            (Some(x), None) => (Some(x), a),
            (_, Some(y)) => (Some(y), b),
            (None, None) => (None, zero.as_slice()),
        };
        match &found {
            None => report.lost_count += 1,
            Some(_) if a != b => report.healed_count += 1,
            Some(_) => {}
        }
        if a != b || bytes != a {
            self.write_raw(at, bytes)?;
            *touched = true;
        }
        Ok(found)
    }

    fn write_raw(&self, at: usize, bytes: &[u8]) -> Result<(), StoreError> {
        let offset = bank_at(at / BANK_SLOTS) + (at % BANK_SLOTS * SLOT_BYTES) as u64;
        self.file.write_at(offset, bytes)?;
        self.file.write_at(offset + COPY_BYTES, bytes)
    }

    fn seal(&self, at: usize, content: &Content, chance: &mut Chance) -> Vec<u8> {
        let mut plain = Zeroizing::new(Vec::with_capacity(SEALED_BYTES));
        match content {
            Content::Counter(counter) => {
                plain.push(KIND_COUNTER);
                plain.extend_from_slice(&counter.to_le_bytes());
            }
            Content::Secret(slot) => {
                plain.push(kind_byte(slot.kind));
                plain.extend_from_slice(&slot.counter.to_le_bytes());
                plain.extend_from_slice(slot.label.as_bytes());
                plain.extend_from_slice(slot.secret.as_bytes());
            }
        }
        plain.resize(SEALED_BYTES - aead::TAG_LEN, 0);
        let nonce = chance.nonce();
        let mut out = nonce.to_vec();
        out.extend_from_slice(&aead::seal(
            self.key.as_bytes(),
            &nonce,
            &slot_ad(at),
            &plain,
        ));
        if let Content::Secret(slot) = content {
            recorder::secret("vault", slot.secret.as_bytes());
            let sealed = out.get(aead::NONCE_LEN..).unwrap_or_default();
            recorder::sealed(slot.secret.as_bytes(), sealed);
        }
        out.extend_from_slice(&crc32c::crc32c(&out).to_le_bytes());
        out.resize(SLOT_BYTES, 0);
        out
    }

    fn unseal(&self, at: usize, bytes: &[u8]) -> Option<Content> {
        let mut rest = bytes;
        let nonce = take(&mut rest)?;
        let sealed: [u8; SEALED_BYTES] = take(&mut rest)?;
        let crc = u32::from_le_bytes(take(&mut rest)?);
        let covered = bytes.get(..aead::NONCE_LEN + SEALED_BYTES)?;
        if crc32c::crc32c(covered) != crc || rest.iter().any(|b| *b != 0) {
            return None;
        }
        let plain = aead::open(self.key.as_bytes(), &nonce, &slot_ad(at), &sealed).ok()?;
        let plain = Zeroizing::new(plain);
        let mut rest = plain.as_slice();
        let [kind] = take(&mut rest)?;
        let counter = u64::from_le_bytes(take(&mut rest)?);
        if kind == KIND_COUNTER {
            return Some(Content::Counter(counter));
        }
        Some(Content::Secret(Slot {
            kind: kind_of(kind)?,
            counter,
            label: Label::from_bytes(take(&mut rest)?),
            secret: Secret::from_bytes(take(&mut rest)?),
        }))
    }
}

const fn bank_at(bank: usize) -> u64 {
    BANKS_AT + bank as u64 * BANK_BYTES
}

/// Real zeros: the room is taken now, and writes in place cannot fail for want of it.
fn write_bank(file: &impl DiskFile, bank: usize) -> Result<(), StoreError> {
    let zeros = vec![0; BANK_SLOTS * SLOT_BYTES];
    file.write_at(bank_at(bank), &zeros)?;
    file.write_at(bank_at(bank) + COPY_BYTES, &zeros)
}

/// Returns how many banks count: all whole ones, and a last part that holds something, which a
/// file cut short has.
fn count_banks(file: &impl DiskFile) -> Result<usize, StoreError> {
    let bytes = file.size()?.saturating_sub(BANKS_AT);
    let whole = usize::try_from(bytes / BANK_BYTES).unwrap_or(BANKS_MAX);
    let mut part = vec![0; usize::try_from(bytes % BANK_BYTES).unwrap_or(0)];
    if whole < BANKS_MAX && !part.is_empty() {
        file.read_at(bank_at(whole), &mut part)?;
    }
    let cut = part.iter().any(|byte| *byte != 0);
    Ok((whole + usize::from(cut)).clamp(1, BANKS_MAX))
}

fn slot_ad(at: usize) -> Vec<u8> {
    [b"slot".as_slice(), &(at as u64).to_le_bytes()].concat()
}

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
