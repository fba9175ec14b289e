//! A profile as a folder on the machine: the lock, the root key, and fjall for the index.

use std::fs::{self, File, TryLockError};
use std::path::Path;

use oplog::keys::Secret;
use oplog::store::StoreError;

use crate::disk::{Disk, DiskFile, failed};
use crate::index::FjallIndex;
use crate::profile::{OpenError, Options, PLAINTEXT_KEY_PATH, Profile, VAULT_PATH};
use crate::real_disk::{RealDisk, io};
use crate::superblock::{RootKey, Unlock};
use crate::vault::{Vault, VaultError};

const LOCK_PATH: &str = "lock";

/// The one right to write to a profile, held as long as the process lives or this does.
#[derive(Debug)]
pub struct ProfileLock {
    // The operating system gives the lock back when the file closes, even after `kill -9`.
    file: File,
}

impl Drop for ProfileLock {
    fn drop(&mut self) {
        // Closing is not enough: a process that another thread is just starting holds a copy
        // of the file for a moment.
        if let Err(error) = self.file.unlock() {
            tracing::debug!(%error, "the lock goes when the process ends");
        }
    }
}

impl ProfileLock {
    /// Takes the lock of a folder.
    ///
    /// # Errors
    /// [`OpenError::InUse`] when another process, or this one, holds it.
    pub fn take(dir: &Path) -> Result<Self, OpenError> {
        let file = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(dir.join(LOCK_PATH))
            .map_err(|e| io("open the lock", e))?;
        match file.try_lock() {
            Ok(()) => Ok(Self { file }),
            Err(TryLockError::WouldBlock) => Err(OpenError::InUse),
            Err(TryLockError::Error(e)) => Err(io("take the lock", e).into()),
        }
    }
}

/// A profile on disk. Its disk holds the folder's lock for as long as anything of it lives.
pub type DiskStore = Profile<RealDisk, FjallIndex>;

impl DiskStore {
    /// Creates a profile in a folder, which is created too.
    ///
    /// # Errors
    /// [`OpenError::Exists`], [`OpenError::InUse`], or when the disk fails.
    pub fn create(dir: &Path, root: &RootKey, options: Options) -> Result<Self, OpenError> {
        fs::create_dir_all(dir).map_err(|e| io("create a folder", e))?;
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let own = fs::Permissions::from_mode(0o700);
            fs::set_permissions(dir, own).map_err(|e| io("protect a folder", e))?;
        }
        let lock = ProfileLock::take(dir)?;
        let disk = RealDisk::locked(dir, lock);
        if disk.open(VAULT_PATH)?.is_some() {
            return Err(OpenError::Exists);
        }
        let seed = fresh_seed()?;
        let key = match root {
            RootKey::InsecurePlaintext => Some(write_plaintext_key(&disk)?),
            RootKey::Passphrase { .. } => None,
        };
        let index = FjallIndex::new(dir);
        let with = unlock(root, key.as_ref())?;
        Self::create_in(disk, index, with, options, &seed)
    }

    /// Opens a profile, whatever state it is in; [`Profile::recovery`] says what was found.
    ///
    /// # Errors
    /// [`OpenError::Missing`], [`OpenError::InUse`], [`OpenError::WrongPassphrase`]; a vault
    /// beyond repair, or a disk that fails.
    pub fn open(dir: &Path, root: &RootKey, options: Options) -> Result<Self, OpenError> {
        let disk = RealDisk::new(dir);
        if disk.open(VAULT_PATH)?.is_none() {
            return Err(OpenError::Missing);
        }
        let disk = RealDisk::locked(dir, ProfileLock::take(dir)?);
        // Damaged in both copies: opening says so.
        let closed = Vault::has_passphrase(&disk, VAULT_PATH)?;
        let key = match (root, closed) {
            (RootKey::InsecurePlaintext, Some(true)) => return Err(OpenError::HasPassphrase),
            (RootKey::Passphrase { .. }, Some(false)) => return Err(OpenError::NoPassphrase),
            (RootKey::InsecurePlaintext, _) => Some(read_plaintext_key(&disk)?),
            (RootKey::Passphrase { .. }, _) => None,
        };
        let with = unlock(root, key.as_ref())?;
        let seed = fresh_seed()?;
        match Self::open_in(disk, FjallIndex::new(dir), with, options, &seed) {
            Err(OpenError::WrongPassphrase) if key.is_some() => Err(OpenError::PlaintextKey {
                what: "holds another key than the one that opens this profile",
            }),
            opened => opened,
        }
    }

    /// Seals the profile under another root key; the old one opens nothing afterwards. To a
    /// plaintext key and from one too.
    ///
    /// # Errors
    /// When the disk fails; then either opens it.
    pub fn change_root_key(&mut self, to: &RootKey) -> Result<(), OpenError> {
        let disk = self.disk.clone();
        let key = match to {
            RootKey::InsecurePlaintext => Some(write_plaintext_key(&disk)?),
            RootKey::Passphrase { .. } => None,
        };
        self.change_root(unlock(to, key.as_ref())?)?;
        if key.is_none() {
            disk.remove(PLAINTEXT_KEY_PATH)?;
            disk.sync_dir("")?;
        }
        Ok(())
    }
}

fn unlock<'a>(root: &'a RootKey, key: Option<&'a Secret>) -> Result<Unlock<'a>, OpenError> {
    match (root, key) {
        (RootKey::Passphrase { passphrase, cost }, _) => {
            Ok(Unlock::Passphrase(passphrase.as_bytes(), *cost))
        }
        (RootKey::InsecurePlaintext, Some(key)) => Ok(Unlock::Key(key)),
        (RootKey::InsecurePlaintext, None) => Err(VaultError::WrongPassphrase.into()),
    }
}

fn write_plaintext_key(disk: &RealDisk) -> Result<Secret, OpenError> {
    let key = fresh_seed()?;
    let file = disk.create(PLAINTEXT_KEY_PATH)?;
    file.write_at(0, key.as_bytes())?;
    file.sync()?;
    disk.sync_dir("")?;
    Ok(key)
}

fn read_plaintext_key(disk: &RealDisk) -> Result<Secret, OpenError> {
    let file = disk.open(PLAINTEXT_KEY_PATH)?;
    let file = file.ok_or(OpenError::PlaintextKey { what: "is missing" })?;
    if file.size()? != 32 {
        return Err(OpenError::PlaintextKey {
            what: "is damaged: it has not the length of a key",
        });
    }
    let mut key = [0; 32];
    file.read_at(0, &mut key)?;
    Ok(Secret::from_bytes(key))
}

#[expect(
    clippy::disallowed_methods,
    reason = "this is the driver: the one place where the store's seed enters"
)]
fn fresh_seed() -> Result<Secret, StoreError> {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).map_err(|e| failed("draw randomness", e))?;
    Ok(Secret::from_bytes(seed))
}
