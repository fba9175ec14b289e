//! Backups: history, identity and Spaces of a person, sealed so that the 24 words open them.
//!
//! Never device keys and never MLS state: a restored profile is a new device, which asks
//! the members to let it in. Two copies of one device would write two ops at one place.
//!
//! Bytes: magic 16 ‖ salt 32 ‖ frames. A frame holds up to 1 MiB, sealed under
//! `HKDF(identity seed, "backup" ‖ salt)` with nonce = index (u64, big-endian) ‖ last flag ‖ zeros,
//! so that a backup that was cut, reordered or changed anywhere is refused.

use minicbor::bytes::ByteVec;
use minicbor::{Decode, Encode};
use oplog::aead::{self, NONCE_LEN, TAG_LEN};
use oplog::authority::View;
use oplog::hash::hkdf;
use oplog::store::{Store, StoreError};
use oplog::{Secret, SpaceId, Timestamp, codec};
use rand_core::CryptoRng;

use crate::blobs::ChunkStore;
use crate::error::CommandError;
use crate::identity::Identity;
use crate::node::Node;

const MAGIC: &[u8; 16] = b"decent backup v1";
const SALT_LEN: usize = 32;
const FRAME_BYTES: usize = 1024 * 1024;

/// A file that cannot be restored from.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BackupError {
    /// It does not begin like one.
    #[error("not a Decent backup")]
    NotABackup,
    /// Cut, changed, or sealed under another person's words.
    #[error("the backup is damaged, or belongs to another recovery phrase")]
    Sealed,
    /// It opens, and what is inside makes no sense.
    #[error("the backup's content is malformed: {why}")]
    Malformed {
        /// What.
        why: String,
    },
}

#[derive(Encode, Decode)]
#[cbor(map)]
struct Content {
    #[n(0)]
    name: String,
    #[n(1)]
    relays: Vec<String>,
    #[n(2)]
    spaces: Vec<SavedSpace>,
}

#[derive(Encode, Decode)]
#[cbor(map)]
struct SavedSpace {
    #[n(0)]
    id: SpaceId,
    /// Parents first.
    #[n(1)]
    ops: Vec<ByteVec>,
}

impl<S: Store, C: ChunkStore, R: CryptoRng> Node<S, C, R> {
    /// Returns a backup of this profile.
    ///
    /// # Errors
    /// When storage fails.
    pub fn backup(&mut self) -> Result<Vec<u8>, CommandError> {
        let mut spaces = Vec::new();
        for id in self.spaces.keys() {
            spaces.push((*id, self.all_ops(id)?));
        }
        Ok(self.backup_of(spaces))
    }

    /// Returns a backup of this profile with these ops, which come parents first.
    pub(crate) fn backup_of(&mut self, spaces: Vec<(SpaceId, Vec<Vec<u8>>)>) -> Vec<u8> {
        let spaces = spaces.into_iter().map(|(id, ops)| SavedSpace {
            id,
            ops: ops.into_iter().map(ByteVec::from).collect(),
        });
        let spaces = spaces.collect();
        let relays = self.relays.values().map(|r| r.address.clone()).collect();
        let content = Content {
            name: self.me.cert.name.clone(),
            relays,
            spaces,
        };
        let seed = Secret::from_bytes(*self.me.identity.to_seed());
        let mut salt = [0; SALT_LEN];
        self.rng.fill_bytes(&mut salt);
        seal(&seed, &salt, &codec::encode(&content))
    }

    /// Makes a profile from the words and a backup: the same person, a new device, every Space with
    /// its history, and a request to the members of each to let the device in.
    ///
    /// # Errors
    /// When the backup does not open, or storage fails.
    pub fn restore(
        store: S,
        chunks: C,
        mut rng: R,
        seed: &Secret,
        backup: &[u8],
        now: Timestamp,
    ) -> Result<Self, RestoreError> {
        let content: Content = codec::decode("backup", &open(seed, backup)?)
            .map_err(|e| BackupError::Malformed { why: e.to_string() })?;
        let me = Identity::new_device(seed, &content.name, now, &mut rng);
        let mut node = Self::create(store, chunks, rng, me, now)?;
        for relay in &content.relays {
            node.add_relay(relay);
        }
        for space in content.spaces {
            let fresh = node.new_space(space.id);
            node.spaces.insert(space.id, fresh);
            node.take_ops(&space.id, space.ops.into_iter().map(Vec::from).collect())?;
            node.return_to(&space.id)?;
            node.save_space(&space.id);
        }
        node.effects.clear();
        node.store.commit()?;
        node.store.sync()?;
        Ok(node)
    }

    /// Stands at the end of the group's chain, without its keys, and asks to be let in.
    fn return_to(&mut self, space: &SpaceId) -> Result<(), StoreError> {
        let me = self.me.user();
        let Some(s) = self.spaces.get_mut(space) else {
            return Ok(());
        };
        s.tip = s.canonical;
        if s.view.weight(&me).is_none() {
            return Ok(());
        }
        match self.ask_to_return(space) {
            Err(CommandError::Store { source }) => Err(source),
            Ok(()) => Ok(()),
            Err(error) => {
                self.recovered.push(format!(
                    "the members of a Space could not be asked to let this device in: {error}"
                ));
                Ok(())
            }
        }
    }
}

/// Why a profile was not restored.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// The backup.
    #[error(transparent)]
    Backup(#[from] BackupError),
    /// The disk.
    #[error("the profile cannot be written")]
    Store(#[from] StoreError),
}

/// Says whether these words open this backup, and it is whole.
///
/// # Errors
/// When they do not, or it is not.
pub fn check(seed: &Secret, backup: &[u8]) -> Result<(), BackupError> {
    open(seed, backup).map(|_| ())
}

fn seal(seed: &Secret, salt: &[u8; SALT_LEN], content: &[u8]) -> Vec<u8> {
    let key = hkdf(seed.as_bytes(), "backup", &[salt]);
    let mut out = [MAGIC.as_slice(), salt].concat();
    let frames: Vec<&[u8]> = content.chunks(FRAME_BYTES).collect();
    for (index, frame) in frames.iter().enumerate() {
        let nonce = nonce(index, index + 1 == frames.len());
        out.extend(aead::seal(&key, &nonce, MAGIC, frame));
    }
    out
}

fn open(seed: &Secret, bytes: &[u8]) -> Result<Vec<u8>, BackupError> {
    let body = bytes
        .strip_prefix(MAGIC.as_slice())
        .ok_or(BackupError::NotABackup)?;
    let (salt, body) = body
        .split_first_chunk::<SALT_LEN>()
        .ok_or(BackupError::NotABackup)?;
    let key = hkdf(seed.as_bytes(), "backup", &[salt]);
    let mut content = Vec::with_capacity(body.len());
    let frames: Vec<&[u8]> = body.chunks(FRAME_BYTES + TAG_LEN).collect();
    if frames.is_empty() {
        return Err(BackupError::Sealed);
    }
    for (index, frame) in frames.iter().enumerate() {
        let nonce = nonce(index, index + 1 == frames.len());
        content
            .extend(aead::open(&key, &nonce, MAGIC, frame).map_err(|_cause| BackupError::Sealed)?);
    }
    Ok(content)
}

fn nonce(index: usize, last: bool) -> [u8; NONCE_LEN] {
    let mut nonce = [0; NONCE_LEN];
    let (at, rest) = nonce.split_at_mut(8);
    at.copy_from_slice(&u64::try_from(index).unwrap_or(u64::MAX).to_be_bytes());
    if let Some(flag) = rest.first_mut() {
        *flag = u8::from(last);
    }
    nonce
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backup_opens_whole_or_not_at_all() {
        let seed = Secret::from_bytes([7; 32]);
        let content: Vec<u8> = (0..FRAME_BYTES + 1000)
            .map(|i| u8::try_from(i % 251).unwrap())
            .collect();
        let sealed = seal(&seed, &[1; SALT_LEN], &content);
        assert_eq!(open(&seed, &sealed), Ok(content));
        assert_eq!(
            open(&Secret::from_bytes([8; 32]), &sealed),
            Err(BackupError::Sealed)
        );
        assert_eq!(open(&seed, b"something else"), Err(BackupError::NotABackup));
        for cut in [
            MAGIC.len() + SALT_LEN,
            MAGIC.len() + SALT_LEN + FRAME_BYTES + TAG_LEN,
            sealed.len() - 1,
        ] {
            assert_eq!(
                open(&seed, &sealed[..cut]),
                Err(BackupError::Sealed),
                "cut at {cut}"
            );
        }
        for at in [MAGIC.len(), MAGIC.len() + SALT_LEN + 5, sealed.len() - 1] {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert_eq!(open(&seed, &changed), Err(BackupError::Sealed), "byte {at}");
        }
    }
}
