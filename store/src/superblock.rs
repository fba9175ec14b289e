//! The first two pages of the vault: how the root key opens the vault's own key.
//!
//! ```text
//! page 0 and page 1: magic 8 ‖ generation u64 ‖ kind u8 ‖ memory u32 ‖ passes u32 ‖ lanes u32
//!                    ‖ salt 16 ‖ nonce 24 ‖ sealed(vault key 32) 48 ‖ crc32c u32
//! ```
//!
//! A passphrase makes a key by Argon2id (RFC 9106), that key seals the vault key,
//! so changing the passphrase writes two pages and nothing else. The pages are
//! written and synced one after the other: a power cut leaves one of them whole.

use core::fmt;

use argon2::{Algorithm, Argon2, Params, Version};
use oplog::aead;
use oplog::keys::Secret;
use oplog::store::StoreError;
use zeroize::Zeroizing;

use crate::chance::Chance;
use crate::disk::{DiskFile, damaged};
use crate::segment::take;
use crate::vault::VaultError;

/// Bytes of one copy, a page.
pub(crate) const PAGE: u64 = PAGE_LEN as u64;
const PAGE_LEN: usize = 4096;
const MAGIC: &[u8; 8] = b"dcntvlt1";
const BODY_BYTES: usize = 117;

/// What opens a profile.
#[derive(Clone)]
pub enum RootKey {
    /// A passphrase, and what a new vault or a changed passphrase shall cost to try.
    Passphrase {
        /// As the person types it.
        passphrase: Zeroizing<String>,
        /// Used when sealing; opening reads the cost from the vault.
        cost: KdfCost,
    },
    /// No protection: the key lies beside the vault in a file named `insecure-plaintext-key`.
    /// For tests and demonstrations; whoever copies the folder reads everything.
    InsecurePlaintext,
}

impl fmt::Debug for RootKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Passphrase { .. } => "Passphrase(..)",
            Self::InsecurePlaintext => "InsecurePlaintext",
        })
    }
}

/// A root key at the vault's own door.
#[derive(Clone, Copy)]
pub enum Unlock<'a> {
    /// A passphrase, and what sealing with it shall cost.
    Passphrase(&'a [u8], KdfCost),
    /// 32 bytes from elsewhere.
    Key(&'a Secret),
}

impl fmt::Debug for Unlock<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Passphrase(..) => "Passphrase(..)",
            Self::Key(_) => "Key(..)",
        })
    }
}

/// What one try of a passphrase costs (RFC 9106).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KdfCost {
    /// Memory in KiB.
    pub memory_kib: u32,
    /// Passes over it.
    pub passes: u32,
    /// Lanes.
    pub lanes: u32,
}

impl KdfCost {
    /// 64 MiB, three passes, one lane: about RFC 9106's second choice, one lane for phones.
    pub const STANDARD: Self = Self {
        memory_kib: 64 * 1024,
        passes: 3,
        lanes: 1,
    };

    /// A damaged page must not make us allocate without end: 1 GiB and 64 passes at most.
    fn bounded(self) -> bool {
        self.memory_kib <= 1024 * 1024 && self.passes <= 64 && self.lanes <= 16
    }
}

impl Default for KdfCost {
    fn default() -> Self {
        Self::STANDARD
    }
}

/// One whole copy.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Superblock {
    pub(crate) generation: u64,
    kind: u8,
    cost: KdfCost,
    salt: [u8; 16],
    nonce: [u8; aead::NONCE_LEN],
    sealed: Vec<u8>,
}

impl Superblock {
    /// Seals the vault key under a root key.
    pub(crate) fn seal(
        vault_key: &Secret,
        with: Unlock<'_>,
        generation: u64,
        chance: &mut Chance,
    ) -> Result<Self, VaultError> {
        let (kind, cost) = match with {
            Unlock::Passphrase(_, cost) => (KIND_PASSPHRASE, cost),
            Unlock::Key(_) => (KIND_KEY, KdfCost::STANDARD),
        };
        let mut block = Self {
            generation,
            kind,
            cost,
            salt: chance.bytes(),
            nonce: chance.nonce(),
            sealed: Vec::new(),
        };
        let root = block.root(with)?;
        block.sealed = aead::seal(
            root.as_bytes(),
            &block.nonce,
            &block.bound(),
            vault_key.as_bytes(),
        );
        Ok(block)
    }

    /// Returns whether a passphrase opens it.
    pub(crate) const fn has_passphrase(&self) -> bool {
        self.kind == KIND_PASSPHRASE
    }

    /// Opens the vault key.
    pub(crate) fn open(&self, with: Unlock<'_>) -> Result<Secret, VaultError> {
        let root = self.root(with)?;
        let plain = aead::open(root.as_bytes(), &self.nonce, &self.bound(), &self.sealed);
        let plain = plain.map_err(|_why| VaultError::WrongPassphrase)?;
        let key = plain
            .try_into()
            .map_err(|_why| VaultError::WrongPassphrase)?;
        Ok(Secret::from_bytes(key))
    }

    fn root(&self, with: Unlock<'_>) -> Result<Secret, VaultError> {
        match (with, self.kind) {
            (Unlock::Key(key), KIND_KEY) => Ok(key.clone()),
            (Unlock::Passphrase(words, _), KIND_PASSPHRASE) => self.stretch(words),
            _ => Err(VaultError::WrongPassphrase),
        }
    }

    fn stretch(&self, words: &[u8]) -> Result<Secret, VaultError> {
        let cost = self.cost;
        if !cost.bounded() {
            return Err(VaultError::Cost(cost));
        }
        let params = Params::new(cost.memory_kib, cost.passes, cost.lanes, Some(32));
        let params = params.map_err(|_why| VaultError::Cost(cost))?;
        let mut out = Zeroizing::new([0; 32]);
        Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
            .hash_password_into(words, &self.salt, out.as_mut())
            .map_err(|_why| VaultError::Cost(cost))?;
        Ok(Secret::from_bytes(*out))
    }

    /// Returns a page.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = self.bound();
        out.extend_from_slice(&self.nonce);
        out.extend_from_slice(&self.sealed);
        out.extend_from_slice(&crc32c::crc32c(&out).to_le_bytes());
        out.resize(PAGE_LEN, 0);
        out
    }

    /// Reads a page; `None` when it is not whole.
    pub(crate) fn decode(page: &[u8]) -> Option<Self> {
        let (body, mut rest) = page.split_at_checked(BODY_BYTES)?;
        let crc = u32::from_le_bytes(take(&mut rest)?);
        if crc32c::crc32c(body) != crc {
            return None;
        }
        let mut rest = body.strip_prefix(MAGIC)?;
        Some(Self {
            generation: u64::from_le_bytes(take(&mut rest)?),
            kind: u8::from_le_bytes(take(&mut rest)?),
            cost: KdfCost {
                memory_kib: u32::from_le_bytes(take(&mut rest)?),
                passes: u32::from_le_bytes(take(&mut rest)?),
                lanes: u32::from_le_bytes(take(&mut rest)?),
            },
            salt: take(&mut rest)?,
            nonce: take(&mut rest)?,
            sealed: rest.to_vec(),
        })
    }

    /// Everything before the nonce: what the seal binds.
    fn bound(&self) -> Vec<u8> {
        let mut out = MAGIC.to_vec();
        out.extend_from_slice(&self.generation.to_le_bytes());
        out.push(self.kind);
        out.extend_from_slice(&self.cost.memory_kib.to_le_bytes());
        out.extend_from_slice(&self.cost.passes.to_le_bytes());
        out.extend_from_slice(&self.cost.lanes.to_le_bytes());
        out.extend_from_slice(&self.salt);
        out
    }
}

/// Returns the copies that are whole.
pub(crate) fn read_pages(file: &impl DiskFile) -> Result<Vec<Superblock>, VaultError> {
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

/// Writes one page after the other: a power cut leaves one of them whole.
pub(crate) fn write_pages(file: &impl DiskFile, block: &Superblock) -> Result<(), VaultError> {
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

const KIND_KEY: u8 = 0;
const KIND_PASSPHRASE: u8 = 1;
