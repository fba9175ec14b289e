//! Who this profile is: one person's identity key, one device's keys, and the words that bring the person back.
//!
//! The 24 words are the identity seed (BIP-39, 256 bits of entropy). They restore the
//! person, never a device: a restored profile draws new device keys, because two
//! copies of one device would write two ops at one place of a lane.

use core::fmt;

use bip39::{Language, Mnemonic};
use minicbor::{Decode, Encode};
use mls::sealed_box::BoxKey;
use oplog::payload::{DeviceCert, NAME_BYTES_MAX};
use oplog::store::{Label, Store, StoreError, Table};
use oplog::{DeviceId, Digest, Hlc, Secret, SecretKey, Signature, Timestamp, UserId, codec};
use rand_core::CryptoRng;
use zeroize::Zeroizing;

/// The node's own rows: settings, queues, cursors. Not derived from the log.
pub(crate) const NODE_TABLE: Table = Table("node");

/// Rows that a rebuild may drop: queues, cursors, what others have seen. What is lost of them is
/// sent or fetched once more.
pub(crate) const QUEUE_TABLE: Table = Table("queue");

const ME_KEY: &[u8] = b"me";
/// Before the name in what the vault keeps of a certificate: its time, and the length of the name.
const KEPT_HEAD_LEN: usize = 8 + 1;

/// 24 words that bring a person back. `Debug` shows none of them.
#[derive(Clone)]
pub struct RecoveryPhrase(Zeroizing<String>);

impl RecoveryPhrase {
    /// Returns the words, separated by single spaces, to be shown once.
    #[must_use]
    pub fn words(&self) -> &str {
        &self.0
    }

    fn of_seed(seed: &Secret) -> Option<Self> {
        let mnemonic = Mnemonic::from_entropy(seed.as_bytes()).ok()?;
        Some(Self(Zeroizing::new(mnemonic.to_string())))
    }

    /// Reads the words back to the identity seed.
    ///
    /// # Errors
    /// When a word is unknown, the count is not 24, or the checksum does not match.
    pub fn parse(words: &str) -> Result<Secret, PhraseError> {
        let normal = words
            .split_whitespace()
            .map(str::to_lowercase)
            .collect::<Vec<_>>()
            .join(" ");
        let mnemonic = Mnemonic::parse_in_normalized(Language::English, &normal)
            .map_err(|e| PhraseError { why: e.to_string() })?;
        let entropy = Zeroizing::new(mnemonic.to_entropy());
        let seed = <[u8; 32]>::try_from(entropy.as_slice());
        seed.map(Secret::from_bytes).map_err(|_cause| PhraseError {
            why: "there must be 24 words".to_owned(),
        })
    }
}

impl fmt::Debug for RecoveryPhrase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RecoveryPhrase(..)")
    }
}

/// The words are not a recovery phrase.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a recovery phrase: {why}")]
pub struct PhraseError {
    /// What is wrong with them; never one of the words.
    pub why: String,
}

/// The keys of one person on one device.
#[derive(Clone, Debug)]
pub struct Identity {
    /// Signs device certificates.
    pub(crate) identity: SecretKey,
    /// Signs ops.
    pub(crate) device: SecretKey,
    /// Signs MLS leaves and commits.
    pub(crate) mls: SecretKey,
    /// Seed of the key that opens what is sealed to this device (X25519).
    pub(crate) hpke: Secret,
    /// Says that the device belongs to the person.
    pub(crate) cert: DeviceCert,
}

#[derive(Encode, Decode)]
#[cbor(map)]
struct MeRow {
    #[n(0)]
    cert: DeviceCert,
}

impl Identity {
    /// Draws a new person with a new device.
    pub fn generate(name: &str, now: Timestamp, rng: &mut impl CryptoRng) -> Self {
        let seed = Secret::generate(rng);
        Self::new_device(&seed, name, now, rng)
    }

    /// Draws a new device for the person with this identity seed.
    pub fn new_device(seed: &Secret, name: &str, now: Timestamp, rng: &mut impl CryptoRng) -> Self {
        let identity = SecretKey::from_seed(seed.as_bytes());
        let device = SecretKey::generate(rng);
        let mls_key = SecretKey::generate(rng);
        let hpke = Secret::generate(rng);
        let (created, name) = (Hlc::from_wall(now), clamp_name(name));
        let cert = certified(&identity, &device, &mls_key, &hpke, created, name);
        Self {
            identity,
            device,
            mls: mls_key,
            hpke,
            cert,
        }
    }

    /// Stages everything for the store's next commit.
    pub fn save(&self, store: &mut impl Store) {
        let secrets = [
            ("identity", Secret::from_bytes(*self.identity.to_seed())),
            ("device", Secret::from_bytes(*self.device.to_seed())),
            ("mls", Secret::from_bytes(*self.mls.to_seed())),
            ("hpke", self.hpke.clone()),
        ];
        for (purpose, secret) in &secrets {
            store.keep_secret(Label::new(purpose, &[]), secret);
        }
        let name = self.cert.name.as_bytes();
        let len = u8::try_from(name.len()).unwrap_or(u8::MAX);
        let created = self.cert.created.as_raw().to_be_bytes();
        let kept = [created.as_slice(), &[len], name].concat();
        for (at, part) in kept.chunks(32).enumerate() {
            let mut secret = [0; 32];
            secret
                .iter_mut()
                .zip(part)
                .for_each(|(to, byte)| *to = *byte);
            store.keep_secret(kept_label(at), &Secret::from_bytes(secret));
        }
        store.put(
            NODE_TABLE,
            ME_KEY,
            &codec::encode(&MeRow {
                cert: self.cert.clone(),
            }),
        );
    }

    /// Loads what [`Identity::save`] stored; `None` when the profile has no identity yet.
    ///
    /// # Errors
    /// When storage fails, or holds only a part of it.
    pub fn load(store: &impl Store) -> Result<Option<Self>, StoreError> {
        let damaged = |what: &str| StoreError::Damaged {
            what: what.to_owned(),
        };
        let row = match store.get(NODE_TABLE, ME_KEY) {
            Ok(row) => row,
            Err(StoreError::Damaged { .. }) => None,
            Err(error) => return Err(error),
        };
        let row = row.and_then(|row| codec::decode::<MeRow>("identity", &row).ok());
        let kept = kept(store);
        if row.is_none() && kept.is_none() {
            return Ok(None);
        }
        let secret = |purpose| {
            store
                .secret(Label::new(purpose, &[]))
                .ok_or_else(|| damaged("the vault lacks a key of this device"))
        };
        let (identity, device) = (secret("identity")?, secret("device")?);
        let (mls, hpke) = (secret("mls")?, secret("hpke")?);
        let (identity, device) = (seeded(&identity), seeded(&device));
        let (mls, cert) = (seeded(&mls), row.map(|row| row.cert));
        // Damage may have taken the row: what it held follows from the vault, to the last bit.
        let cert = match (cert, kept) {
            (Some(cert), _) => cert,
            (None, Some((created, name))) => {
                certified(&identity, &device, &mls, &hpke, created, name)
            }
            (None, None) => return Err(damaged("the identity's certificate")),
        };
        Ok(Some(Self {
            identity,
            device,
            mls,
            hpke,
            cert,
        }))
    }

    /// Returns the words that bring this person back.
    #[must_use]
    pub fn phrase(&self) -> Option<RecoveryPhrase> {
        RecoveryPhrase::of_seed(&Secret::from_bytes(*self.identity.to_seed()))
    }

    /// Returns what says that the device belongs to the person.
    #[must_use]
    pub const fn cert(&self) -> &DeviceCert {
        &self.cert
    }

    /// Returns the person.
    #[must_use]
    pub const fn user(&self) -> UserId {
        self.cert.user
    }

    /// Returns the device.
    #[must_use]
    pub const fn device_id(&self) -> DeviceId {
        self.cert.device
    }

    /// Returns the person as a `did:key` (multicodec ed25519-pub, base58btc).
    #[must_use]
    pub fn did(&self) -> String {
        let key = [&[0xed, 0x01][..], self.cert.user.as_bytes()].concat();
        format!("did:key:z{}", bs58::encode(key).into_string())
    }
}

/// Certifies a device's keys. The same keys, time and name give the same certificate.
fn certified(
    identity: &SecretKey,
    device: &SecretKey,
    mls: &SecretKey,
    hpke: &Secret,
    created: Hlc,
    name: String,
) -> DeviceCert {
    let mut cert = DeviceCert {
        user: UserId::from_bytes(identity.public()),
        device: DeviceId::from_bytes(device.public()),
        mls_key: Digest::from_bytes(mls.public()),
        hpke_key: *BoxKey::from_seed(hpke).public(),
        created,
        name,
        sig: Signature::ZERO,
    };
    cert.sig = identity.sign(&cert.message());
    cert
}

fn seeded(secret: &Secret) -> SecretKey {
    SecretKey::from_seed(secret.as_bytes())
}

/// Returns what the vault keeps of this device's certificate: its time and the name.
fn kept(store: &impl Store) -> Option<(Hlc, String)> {
    let part = |at| store.secret(kept_label(at));
    let mut bytes = part(0)?.as_bytes().to_vec();
    let len = KEPT_HEAD_LEN + usize::from(*bytes.get(KEPT_HEAD_LEN - 1)?);
    for at in 1..len.div_ceil(32) {
        bytes.extend_from_slice(part(at)?.as_bytes());
    }
    let created = u64::from_be_bytes(*bytes.first_chunk::<8>()?);
    let name = bytes.get(KEPT_HEAD_LEN..len)?.to_vec();
    Some((Hlc::from_raw(created), String::from_utf8(name).ok()?))
}

fn kept_label(part: usize) -> Label {
    let part = u8::try_from(part).unwrap_or(u8::MAX);
    Label::new("certificate", &[&[part]])
}

/// Shortens a name to what a certificate may hold, at a character boundary.
fn clamp_name(name: &str) -> String {
    let mut out = String::new();
    for c in name.trim().chars() {
        if out.len() + c.len_utf8() > NAME_BYTES_MAX {
            break;
        }
        out.push(c);
    }
    if out.is_empty() {
        "somebody".to_owned()
    } else {
        out
    }
}

#[cfg(test)]
mod tests {
    use oplog::store::MemStore;
    use rand_chacha::ChaCha20Rng;
    use rand_core::SeedableRng as _;

    use super::*;

    #[test]
    fn the_vault_alone_gives_the_identity_back() {
        let mut rng = ChaCha20Rng::seed_from_u64(1);
        for name in ["Ann", &"é".repeat(NAME_BYTES_MAX), ""] {
            let mut store = MemStore::new();
            assert!(Identity::load(&store).unwrap().is_none());
            let me = Identity::generate(name, Timestamp::from_ms(1_700_000_000_123), &mut rng);
            me.save(&mut store);
            store.delete(NODE_TABLE, ME_KEY);
            store.commit().unwrap();
            let back = Identity::load(&store).unwrap().unwrap();
            assert_eq!(back.cert, me.cert, "{name}");
            assert!(back.cert.is_signed());
            assert_eq!(back.device.to_seed(), me.device.to_seed());
        }
    }
}
