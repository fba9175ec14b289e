//! Epochs and key packages at rest, each erasable by itself (B6).
//!
//! A state is large, so it lies in a row, sealed under a random key of its own; that key, like a
//! root, is a secret in the vault. Erasing the secret makes every copy of the row unreadable,
//! wherever storage may still hold one. State and root have different lives: a state goes after
//! eight epochs or seven days, a root after relays have dropped what it opens.
//!
//! Members give a state back that a disk has damaged: they add the device again. Who is alone in a group
//! has nobody for that, and keeps a second copy ([`copy_state`]), sealed and erased like the first.
//!
//! All writes are staged; the caller commits them in one step with the ops they belong to.

use core::ops::ControlFlow;

use oplog::aead::{self, NONCE_LEN};
use oplog::mutants::{Mutant, on};
use oplog::store::{Direction, Label, Store, StoreError, Table, prefix_end};
use oplog::{Digest, EpochId, Secret, SpaceId};
use rand_core::CryptoRng;
use zeroize::Zeroizing;

use crate::error::Error;
use crate::group::Epoch;
use crate::key_package::KeyPackageSecret;
use crate::keys::EpochRoot;
use crate::state::GroupState;

/// Rows of this crate. Keys: kind ‖ Space ‖ epoch, or kind ‖ Space ‖ key package hash.
pub const TABLE: Table = Table("mls");

/// Second copies, in a table of their own so that storage keeps them apart from the first. Keys as above.
pub const COPY_TABLE: Table = Table("mls-copy");

/// Reading back failed.
#[derive(Debug, thiserror::Error)]
pub enum StoredError {
    /// Storage failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// What lies there is not what was written.
    #[error(transparent)]
    Mls(#[from] Error),
}

/// An epoch of which something is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoredEpoch {
    /// Which.
    pub epoch: EpochId,
    /// Whether its state can be loaded.
    pub has_state: bool,
    /// Whether its root can be loaded.
    pub has_root: bool,
}

/// What kind of thing a row is about.
#[derive(Clone, Copy)]
enum Kind {
    State,
    StateCopy,
    Root,
    KeyPackage,
}

impl Kind {
    const fn byte(self) -> u8 {
        match self {
            Self::State | Self::StateCopy => b's',
            Self::Root => b'r',
            Self::KeyPackage => b'k',
        }
    }

    const fn table(self) -> Table {
        match self {
            Self::StateCopy => COPY_TABLE,
            Self::State | Self::Root | Self::KeyPackage => TABLE,
        }
    }

    const fn label(self) -> &'static str {
        match self {
            Self::State => "mls-state",
            Self::StateCopy => "mls-state-copy",
            Self::Root => "epoch-root",
            Self::KeyPackage => "key-package",
        }
    }
}

/// The name of a row and of the secret that goes with it.
struct Name {
    table: Table,
    key: Vec<u8>,
    label: Label,
}

fn name(kind: Kind, space: &SpaceId, of: &[u8; 32]) -> Name {
    Name {
        table: kind.table(),
        key: [&[kind.byte()], space.as_bytes().as_slice(), of].concat(),
        label: Label::new(kind.label(), &[space.as_bytes(), of]),
    }
}

/// Returns the vault's name for the key that seals an epoch's state.
#[must_use]
pub fn state_label(space: &SpaceId, epoch: &EpochId) -> Label {
    name(Kind::State, space, epoch.as_bytes()).label
}

/// Returns the vault's name for the key that seals the second copy of an epoch's state.
#[must_use]
pub fn state_copy_label(space: &SpaceId, epoch: &EpochId) -> Label {
    name(Kind::StateCopy, space, epoch.as_bytes()).label
}

/// Returns the vault's name for an epoch's root.
#[must_use]
pub fn root_label(space: &SpaceId, epoch: &EpochId) -> Label {
    name(Kind::Root, space, epoch.as_bytes()).label
}

/// Returns the vault's name for the key that seals a key package's secret.
#[must_use]
pub fn key_package_label(space: &SpaceId, key_package: &Digest) -> Label {
    name(Kind::KeyPackage, space, key_package.as_bytes()).label
}

/// Stages an epoch: state and root.
pub fn save_epoch(
    store: &mut impl Store,
    space: &SpaceId,
    epoch: &EpochId,
    content: &Epoch,
    rng: &mut impl CryptoRng,
) {
    let state = name(Kind::State, space, epoch.as_bytes());
    save_sealed(store, &state, &content.state.encode(), rng);
    let root = name(Kind::Root, space, epoch.as_bytes());
    store.keep_secret(root.label, content.root.secret());
    store.put(TABLE, &root.key, &[]);
}

/// Stages a second copy of an epoch's state, unless there is one. Staged apart from the first, so that no
/// one record holds both.
///
/// # Errors
/// When storage fails or the state is damaged.
pub fn copy_state(
    store: &mut impl Store,
    space: &SpaceId,
    epoch: &EpochId,
    rng: &mut impl CryptoRng,
) -> Result<(), StoredError> {
    let copy = name(Kind::StateCopy, space, epoch.as_bytes());
    if !matches!(load_sealed(store, &copy), Ok(Some(_)))
        && let Some(plain) = load_sealed(store, &name(Kind::State, space, epoch.as_bytes()))?
    {
        save_sealed(store, &copy, &plain, rng);
    }
    Ok(())
}

/// Returns an epoch's state, from its copy where the first is damaged; `None` when it was never stored or
/// is erased.
///
/// # Errors
/// When storage fails or the row is damaged.
pub fn load_state(
    store: &impl Store,
    space: &SpaceId,
    epoch: &EpochId,
) -> Result<Option<GroupState>, StoredError> {
    let first = load_sealed(store, &name(Kind::State, space, epoch.as_bytes()));
    let plain = match first {
        Ok(Some(plain)) => Some(plain),
        Err(StoredError::Store(error)) if !matches!(error, StoreError::Damaged { .. }) => {
            return Err(error.into());
        }
        Ok(None) | Err(_) => {
            let copy = load_sealed(store, &name(Kind::StateCopy, space, epoch.as_bytes()))?;
            match copy {
                Some(plain) => Some(plain),
                None => first?,
            }
        }
    };
    Ok(plain.map(|p| GroupState::decode(&p)).transpose()?)
}

/// Returns an epoch's root, `None` when it was never stored or is erased.
#[must_use]
pub fn load_root(store: &impl Store, space: &SpaceId, epoch: &EpochId) -> Option<EpochRoot> {
    let root = store.secret(root_label(space, epoch))?;
    Some(EpochRoot::new(if on(Mutant::RootChanges) {
        Secret::from_bytes(*epoch.as_bytes())
    } else {
        root
    }))
}

/// Stages the erasure of an epoch's state; its root stays.
pub fn erase_state(store: &mut impl Store, space: &SpaceId, epoch: &EpochId) {
    erase(store, &name(Kind::State, space, epoch.as_bytes()));
    erase(store, &name(Kind::StateCopy, space, epoch.as_bytes()));
}

/// Stages the erasure of an epoch's root; its state, if any, stays.
pub fn erase_root(store: &mut impl Store, space: &SpaceId, epoch: &EpochId) {
    erase(store, &name(Kind::Root, space, epoch.as_bytes()));
}

/// Returns the epochs of a Space of which something is stored, in order of id.
///
/// # Errors
/// When storage fails.
pub fn list(store: &impl Store, space: &SpaceId) -> Result<Vec<StoredEpoch>, StoredError> {
    let mut states = ids(store, Kind::State, space)?;
    states.extend(ids(store, Kind::StateCopy, space)?);
    states.sort_unstable();
    let roots = ids(store, Kind::Root, space)?;
    let mut all: Vec<_> = states.iter().chain(&roots).copied().collect();
    all.sort();
    all.dedup();
    let all = all.into_iter().map(|id| StoredEpoch {
        epoch: EpochId::from_bytes(id),
        has_state: states.binary_search(&id).is_ok(),
        has_root: roots.binary_search(&id).is_ok(),
    });
    Ok(all.collect())
}

/// Stages the secret half of a key package.
pub fn save_key_package(
    store: &mut impl Store,
    space: &SpaceId,
    secret: &KeyPackageSecret,
    rng: &mut impl CryptoRng,
) {
    let name = name(Kind::KeyPackage, space, secret.digest().as_bytes());
    save_sealed(store, &name, &secret.encode(), rng);
}

/// Returns the secret half of a key package, `None` when it was never stored or is erased.
///
/// # Errors
/// When storage fails or the row is damaged.
pub fn load_key_package(
    store: &impl Store,
    space: &SpaceId,
    key_package: &Digest,
) -> Result<Option<KeyPackageSecret>, StoredError> {
    let name = name(Kind::KeyPackage, space, key_package.as_bytes());
    let plain = load_sealed(store, &name)?;
    Ok(plain.map(|p| KeyPackageSecret::decode(&p)).transpose()?)
}

/// Stages the erasure of a key package's secret half.
pub fn erase_key_package(store: &mut impl Store, space: &SpaceId, key_package: &Digest) {
    if !on(Mutant::KeyPackageKept) {
        erase(
            store,
            &name(Kind::KeyPackage, space, key_package.as_bytes()),
        );
    }
}

/// Returns the hashes of the key packages whose secrets are stored, in order.
///
/// # Errors
/// When storage fails.
pub fn list_key_packages(store: &impl Store, space: &SpaceId) -> Result<Vec<Digest>, StoredError> {
    let found = ids(store, Kind::KeyPackage, space)?;
    Ok(found.into_iter().map(Digest::from_bytes).collect())
}

/// Row: nonce ‖ ciphertext, its own key as associated data, so that rows cannot be swapped.
fn save_sealed(store: &mut impl Store, name: &Name, plain: &[u8], rng: &mut impl CryptoRng) {
    let key = Secret::generate(rng);
    let mut nonce = [0; NONCE_LEN];
    rng.fill_bytes(&mut nonce);
    let sealed = aead::seal(key.as_bytes(), &nonce, &name.key, plain);
    store.keep_secret(name.label, &key);
    store.put(name.table, &name.key, &[nonce.as_slice(), &sealed].concat());
}

fn load_sealed(store: &impl Store, name: &Name) -> Result<Option<Zeroizing<Vec<u8>>>, StoredError> {
    let damaged = || {
        StoredError::Mls(Error::Damaged {
            what: "sealed mls row",
        })
    };
    let (Some(key), Some(row)) = (store.secret(name.label), store.get(name.table, &name.key)?)
    else {
        return Ok(None);
    };
    let (nonce, sealed) = row.split_first_chunk::<NONCE_LEN>().ok_or_else(damaged)?;
    let plain = aead::open(key.as_bytes(), nonce, &name.key, sealed);
    Ok(Some(Zeroizing::new(plain.map_err(|_cause| damaged())?)))
}

fn erase(store: &mut impl Store, name: &Name) {
    store.erase_secret(name.label);
    store.delete(name.table, &name.key);
}

fn ids(store: &impl Store, kind: Kind, space: &SpaceId) -> Result<Vec<[u8; 32]>, StoreError> {
    let prefix = [&[kind.byte()], space.as_bytes().as_slice()].concat();
    let mut found = Vec::new();
    let mut visit = |key: &[u8], _: &[u8]| {
        if let Some(id) = key.last_chunk::<32>() {
            found.push(*id);
        }
        ControlFlow::Continue(())
    };
    let end = prefix_end(&prefix);
    store.scan(kind.table(), &prefix, &end, Direction::Forward, &mut visit)?;
    Ok(found)
}
