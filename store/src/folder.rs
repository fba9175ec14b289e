//! A profile as a folder on the machine: the lock, the root key, and fjall for the index.

use core::fmt;
use std::fs::{self, File, TryLockError};
use std::ops::{Deref, DerefMut};
use std::path::Path;

use oplog::SpaceId;
use oplog::keys::Secret;
use oplog::store::{Direction, Label, Location, Store, StoreError, Table, Visit};

use crate::disk::{Disk, DiskFile, damaged, failed};
use crate::index::FjallIndex;
use crate::profile::{OpenError, Options, Profile, VAULT_PATH};
use crate::real_disk::{RealDisk, io};
use crate::superblock::{RootKey, Unlock};
use crate::vault::VaultError;

/// The loud name of the file that makes a profile insecure.
const PLAINTEXT_KEY_PATH: &str = "insecure-plaintext-key";
const LOCK_PATH: &str = "lock";

/// The one right to write to a profile, held as long as the process lives or this does.
#[derive(Debug)]
pub struct ProfileLock {
    // The operating system gives the lock back when the file closes, even after `kill -9`.
    _file: File,
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
            Ok(()) => Ok(Self { _file: file }),
            Err(TryLockError::WouldBlock) => Err(OpenError::InUse),
            Err(TryLockError::Error(e)) => Err(io("take the lock", e).into()),
        }
    }
}

/// A profile on disk. Everything but opening is in [`Profile`], which this is.
pub struct DiskStore {
    // Dropped in this order: nobody else may open what is still closing.
    profile: Profile<RealDisk, FjallIndex>,
    _lock: ProfileLock,
}

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
        let disk = RealDisk::new(dir);
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
        let profile = Profile::create_in(disk, index, with, options, &seed)?;
        Ok(Self {
            profile,
            _lock: lock,
        })
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
        let lock = ProfileLock::take(dir)?;
        let key = match root {
            RootKey::InsecurePlaintext => Some(read_plaintext_key(&disk)?),
            RootKey::Passphrase { .. } => None,
        };
        let with = unlock(root, key.as_ref())?;
        let seed = fresh_seed()?;
        let profile = Profile::open_in(disk, FjallIndex::new(dir), with, options, &seed)?;
        Ok(Self {
            profile,
            _lock: lock,
        })
    }

    /// Seals the profile under another root key; the old one opens nothing afterwards. To a
    /// plaintext key and from one too.
    ///
    /// # Errors
    /// When the disk fails; then either opens it.
    pub fn change_root_key(&mut self, to: &RootKey) -> Result<(), OpenError> {
        let disk = self.profile.disk.clone();
        let key = match to {
            RootKey::InsecurePlaintext => Some(write_plaintext_key(&disk)?),
            RootKey::Passphrase { .. } => None,
        };
        self.profile.change_root(unlock(to, key.as_ref())?)?;
        if key.is_none() {
            disk.remove(PLAINTEXT_KEY_PATH)?;
            disk.sync_dir("")?;
        }
        Ok(())
    }
}

impl Deref for DiskStore {
    type Target = Profile<RealDisk, FjallIndex>;

    fn deref(&self) -> &Self::Target {
        &self.profile
    }
}

impl DerefMut for DiskStore {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.profile
    }
}

impl fmt::Debug for DiskStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.profile, f)
    }
}

impl Store for DiskStore {
    fn append(&mut self, space: &SpaceId, record: &[u8]) -> Result<Location, StoreError> {
        self.profile.append(space, record)
    }

    fn read(&self, space: &SpaceId, at: &Location) -> Result<Vec<u8>, StoreError> {
        self.profile.read(space, at)
    }

    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.profile.get(table, key)
    }

    fn scan(
        &self,
        table: Table,
        from: &[u8],
        to: &[u8],
        order: Direction,
        visit: Visit<'_>,
    ) -> Result<(), StoreError> {
        self.profile.scan(table, from, to, order, visit)
    }

    fn put(&mut self, table: Table, key: &[u8], value: &[u8]) {
        self.profile.put(table, key, value);
    }

    fn delete(&mut self, table: Table, key: &[u8]) {
        self.profile.delete(table, key);
    }

    fn keep_secret(&mut self, label: Label, secret: &Secret) {
        self.profile.keep_secret(label, secret);
    }

    fn erase_secret(&mut self, label: Label) {
        self.profile.erase_secret(label);
    }

    fn secret(&self, label: Label) -> Option<Secret> {
        self.profile.secret(label)
    }

    fn commit(&mut self) -> Result<(), StoreError> {
        self.profile.commit()
    }

    fn sync(&mut self) -> Result<(), StoreError> {
        self.profile.sync()
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

/// A profile without this file was closed with a passphrase.
fn read_plaintext_key(disk: &RealDisk) -> Result<Secret, OpenError> {
    let file = disk.open(PLAINTEXT_KEY_PATH)?;
    let file = file.ok_or(OpenError::WrongPassphrase)?;
    if file.size()? != 32 {
        return Err(damaged("the plaintext key").into());
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
