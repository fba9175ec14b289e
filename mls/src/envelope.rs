//! Envelopes: how ops travel and lie at relays (B13, A23, A24).
//!
//! `tag16 ‖ nonce24 ‖ commit16 ‖ XChaCha20-Poly1305(key of epoch and scope, ad = tag16 ‖ commit16,
//! u32 length ‖ content ‖ zeros)`. Nothing in clear tells epoch, sender or op. `commit16` lets a
//! member find the epoch without trying every key, and binds the envelope to it, which the cipher
//! alone does not. The tag names a day, a scope and a generation to those who can derive it.

use core::fmt;

use oplog::aead::{self, NONCE_LEN};
use oplog::hash::{H, hkdf, hmac};
use oplog::mutants::{Mutant, on};
use oplog::{Digest, Scope, Secret, SecretKey, SpaceId, Tag, Timestamp};
use rand_core::CryptoRng;

use crate::keys::{EpochKeys, TopicKey};
use crate::padding::{BUCKETS, PREFIX_LEN, pad, unpad};

pub use crate::padding::BUCKETS as SIZES;

/// Bytes of an envelope besides its padded content.
pub const OVERHEAD: usize = Tag::LEN + NONCE_LEN + COMMIT_LEN + aead::TAG_LEN;
/// Longest content of one envelope in bytes.
pub const CONTENT_BYTES_MAX: usize = (1 << 20) - OVERHEAD - PREFIX_LEN;

const COMMIT_LEN: usize = 16;

/// Why an envelope could not be made or opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EnvelopeError {
    /// B13. The content does not fit the largest size.
    #[error("{len} bytes do not fit an envelope")]
    TooLong {
        /// How long the content is, in bytes.
        len: usize,
    },
    /// B13. Not of one of the sizes that envelopes have.
    #[error("not the size of an envelope")]
    WrongSize,
    /// A24. None of the candidates sealed it.
    #[error("sealed under none of these keys")]
    NoMatch,
    /// A candidate made its commitment, but the bytes are not what it sealed.
    #[error("tampered with")]
    Tampered,
}

/// A UTC day: days since 1970-01-01.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Day(u64);

impl Day {
    /// Returns the day of a time.
    #[must_use]
    pub const fn of(time: Timestamp) -> Self {
        Self(time.as_ms() / 86_400_000)
    }

    /// Wraps a number of days since 1970-01-01.
    #[must_use]
    pub const fn from_number(days: u64) -> Self {
        Self(days)
    }

    /// Returns the number of days since 1970-01-01.
    #[must_use]
    pub const fn number(self) -> u64 {
        self.0
    }

    /// Returns the days to listen on: the one before, this one, the one after, since clocks differ.
    #[must_use]
    pub const fn window(self) -> [Self; 3] {
        [
            Self(self.0.saturating_sub(1)),
            self,
            Self(self.0.saturating_add(1)),
        ]
    }
}

/// The right to write under a tag, and thereby the tag (A23).
#[derive(Clone, Debug)]
pub struct TagKey(SecretKey);

impl TagKey {
    /// Derives the key of a scope on a day in a generation.
    #[must_use]
    pub fn derive(topic: &TopicKey, scope: &Scope, day: Day) -> Self {
        let context = [scope.as_bytes(), &day.0.to_be_bytes()];
        let seed = hkdf(topic.as_bytes(), "tag-key", &context);
        Self(SecretKey::from_seed(&seed))
    }

    /// The key of an invite: whoever has the link may write to its tag (B19).
    #[must_use]
    pub const fn of_invite(secret: SecretKey) -> Self {
        Self(secret)
    }

    /// The key under which devices come back to a Space: known to whoever knows its id.
    #[must_use]
    pub fn of_return(space: &SpaceId) -> Self {
        let seed = hkdf(space.as_bytes(), "return-key", &[]);
        Self(SecretKey::from_seed(&seed))
    }

    /// Returns the tag.
    #[must_use]
    pub fn tag(&self) -> Tag {
        Tag::of_key(&self.0.public())
    }

    /// Returns the public key that goes with a PUT.
    #[must_use]
    pub fn public(&self) -> [u8; 32] {
        self.0.public()
    }

    /// Returns the key that signs PUTs ([`oplog::tag::sign_put`]).
    #[must_use]
    pub const fn secret(&self) -> &SecretKey {
        &self.0
    }
}

/// What seals and opens envelopes of one epoch and scope, or of one invite.
#[derive(Clone)]
pub struct SealKeys {
    key: Secret,
    hint: Secret,
    /// Goes into `commit16` besides the nonce.
    scope: Vec<u8>,
}

impl fmt::Debug for SealKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SealKeys(..)")
    }
}

impl SealKeys {
    /// The keys of a scope in an epoch.
    #[must_use]
    pub fn new(epoch: &EpochKeys, scope: &Scope) -> Self {
        Self {
            key: epoch.scope(scope),
            hint: epoch.hint().clone(),
            scope: scope.as_bytes().to_vec(),
        }
    }

    /// The keys for join requests by an invite: known to members and to whoever has the link (B19).
    #[must_use]
    pub fn of_invite(invite_pk: &Digest) -> Self {
        Self::of_shared(H::new("join-key").field(invite_pk.as_bytes()).finish())
    }

    /// The keys for what returning devices send: known to whoever knows the Space's id.
    #[must_use]
    pub fn of_return(space: &SpaceId) -> Self {
        Self::of_shared(H::new("return-seal").field(space.as_bytes()).finish())
    }

    /// The keys of letters between branches: known to whoever was here in this generation, whatever
    /// epochs they have (B5).
    #[must_use]
    pub fn of_letters(topic: &TopicKey) -> Self {
        let shared = hkdf(topic.as_bytes(), "letters", &[]);
        Self::of_shared(*shared)
    }

    fn of_shared(shared: [u8; 32]) -> Self {
        let part = |label| Secret::from_bytes(*hkdf(&shared, label, &[]));
        Self {
            key: part("seal"),
            hint: part("hint"),
            scope: Vec::new(),
        }
    }

    fn commit(&self, nonce: &[u8; NONCE_LEN]) -> [u8; COMMIT_LEN] {
        commitment(&self.hint, nonce, &self.scope)
    }
}

/// `HMAC(hint key, nonce ‖ scope)[..16]`.
fn commitment(hint: &Secret, nonce: &[u8; NONCE_LEN], scope: &[u8]) -> [u8; COMMIT_LEN] {
    let full = hmac(hint.as_bytes(), &[nonce, scope]);
    let mut out = [0; COMMIT_LEN];
    out.copy_from_slice(full.split_at(COMMIT_LEN).0);
    out
}

/// Seals content into an envelope under a tag.
///
/// # Errors
/// [`EnvelopeError::TooLong`] beyond [`CONTENT_BYTES_MAX`].
pub fn seal(
    keys: &SealKeys,
    tag: &Tag,
    content: &[u8],
    rng: &mut impl CryptoRng,
) -> Result<Vec<u8>, EnvelopeError> {
    let padded = pad(content, OVERHEAD).ok_or(EnvelopeError::TooLong { len: content.len() })?;
    let padded = zeroize::Zeroizing::new(padded);
    let mut nonce = [0; NONCE_LEN];
    if !on(Mutant::NonceRepeats) {
        rng.fill_bytes(&mut nonce);
    }
    let commit = keys.commit(&nonce);
    let sealed = aead::seal(keys.key.as_bytes(), &nonce, &ad(tag, &commit), &padded);
    Ok([tag.as_bytes().as_slice(), &nonce, &commit, &sealed].concat())
}

/// Opens an envelope with the candidate that sealed it; returns which one that was, and the content.
///
/// Every candidate costs the same, about a microsecond, matching or not; only the match is opened.
///
/// # Errors
/// [`EnvelopeError::NoMatch`] when no candidate sealed it, else when it was changed on the way.
pub fn open<'k>(
    envelope: &[u8],
    candidates: impl IntoIterator<Item = &'k SealKeys>,
) -> Result<(usize, Vec<u8>), EnvelopeError> {
    let parts = Parts::read(envelope)?;
    let mut found = None;
    for (index, keys) in candidates.into_iter().enumerate() {
        if equal(&keys.commit(parts.nonce), parts.commit) {
            found = found.or(Some((index, keys)));
        }
    }
    let (index, keys) = found.ok_or(EnvelopeError::NoMatch)?;
    parts.open(&keys.key).map(|content| (index, content))
}

/// Opens an envelope of a scope with the epoch that sealed it. As [`open`] with the keys of all
/// these epochs, but only those of the match are derived.
///
/// # Errors
/// As [`open`].
pub fn open_in<'k>(
    envelope: &[u8],
    scope: &Scope,
    epochs: impl IntoIterator<Item = &'k EpochKeys>,
) -> Result<Vec<u8>, EnvelopeError> {
    let parts = Parts::read(envelope)?;
    let mut found = None;
    for epoch in epochs {
        let commit = commitment(epoch.hint(), parts.nonce, scope.as_bytes());
        if equal(&commit, parts.commit) {
            found = found.or(Some(epoch));
        }
    }
    let epoch = found.ok_or(EnvelopeError::NoMatch)?;
    parts.open(&epoch.scope(scope))
}

/// Returns the tag an envelope was sealed for.
///
/// # Errors
/// [`EnvelopeError::WrongSize`] when it is no envelope.
pub fn tag_of(envelope: &[u8]) -> Result<Tag, EnvelopeError> {
    Parts::read(envelope).map(|parts| Tag::from_bytes(*parts.tag))
}

struct Parts<'a> {
    tag: &'a [u8; Tag::LEN],
    nonce: &'a [u8; NONCE_LEN],
    commit: &'a [u8; COMMIT_LEN],
    sealed: &'a [u8],
}

impl<'a> Parts<'a> {
    fn read(envelope: &'a [u8]) -> Result<Self, EnvelopeError> {
        if !BUCKETS.contains(&envelope.len()) {
            return Err(EnvelopeError::WrongSize);
        }
        let parts = || {
            let (tag, rest) = envelope.split_first_chunk()?;
            let (nonce, rest) = rest.split_first_chunk()?;
            let (commit, sealed) = rest.split_first_chunk()?;
            Some(Self {
                tag,
                nonce,
                commit,
                sealed,
            })
        };
        parts().ok_or(EnvelopeError::WrongSize)
    }

    fn open(&self, key: &Secret) -> Result<Vec<u8>, EnvelopeError> {
        let ad = ad(&Tag::from_bytes(*self.tag), self.commit);
        aead::open(key.as_bytes(), self.nonce, &ad, self.sealed)
            .ok()
            .and_then(unpad)
            .ok_or(EnvelopeError::Tampered)
    }
}

fn ad(tag: &Tag, commit: &[u8; COMMIT_LEN]) -> Vec<u8> {
    [tag.as_bytes().as_slice(), commit].concat()
}

/// Compares in time that does not depend on where two commitments differ.
fn equal(a: &[u8; COMMIT_LEN], b: &[u8; COMMIT_LEN]) -> bool {
    a.iter().zip(b).fold(0, |diff, (x, y)| diff | (x ^ y)) == 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::EpochRoot;
    use oplog::ChannelId;
    use proptest::prelude::*;
    use rand_chacha::ChaCha20Rng;
    use rand_core::SeedableRng;
    use std::collections::BTreeSet;

    fn rng() -> ChaCha20Rng {
        ChaCha20Rng::seed_from_u64(1)
    }

    fn epoch(n: u8) -> EpochKeys {
        EpochKeys::new(&EpochRoot::new(Secret::from_bytes([n; 32])))
    }

    fn channel(n: u8) -> Scope {
        Scope::Channel(ChannelId::from_bytes([n; 16]))
    }

    fn tag(n: u8) -> Tag {
        TagKey::derive(&epoch(n).topic(), &channel(1), Day(20_000)).tag()
    }

    #[test]
    fn sizes_are_only_those_of_the_buckets() {
        let keys = SealKeys::new(&epoch(1), &channel(1));
        for len in [
            0,
            1,
            900,
            948,
            949,
            5_000,
            60_000,
            200_000,
            CONTENT_BYTES_MAX,
        ] {
            let sealed = seal(&keys, &tag(1), &vec![3; len], &mut rng()).unwrap();
            assert!(
                SIZES.contains(&sealed.len()),
                "{len} gives {}",
                sealed.len()
            );
            assert_eq!(open(&sealed, [&keys]), Ok((0, vec![3; len])));
        }
        let long = vec![0; CONTENT_BYTES_MAX + 1];
        let refused = seal(&keys, &tag(1), &long, &mut rng());
        assert_eq!(refused, Err(EnvelopeError::TooLong { len: long.len() }));
    }

    #[test]
    fn only_the_epoch_and_scope_that_sealed_open() {
        let sealed_by = |epoch_n, scope: &Scope| SealKeys::new(&epoch(epoch_n), scope);
        let sealed = seal(&sealed_by(2, &channel(1)), &tag(2), b"hi", &mut rng()).unwrap();
        let others = [
            sealed_by(1, &channel(1)),
            sealed_by(3, &channel(1)),
            sealed_by(2, &channel(2)),
            sealed_by(2, &Scope::Control),
            SealKeys::of_invite(&Digest::from_bytes([2; 32])),
            SealKeys::of_return(&SpaceId::from_bytes([2; 32])),
        ];
        assert_eq!(open(&sealed, &others), Err(EnvelopeError::NoMatch));
        let right = sealed_by(2, &channel(1));
        let found = open(&sealed, others.iter().chain([&right]));
        assert_eq!(found, Ok((6, b"hi".to_vec())));

        let epochs = [epoch(1), epoch(3), epoch(2)];
        let opened = open_in(&sealed, &channel(1), &epochs);
        assert_eq!(opened, Ok(b"hi".to_vec()));
        let no_match = Err(EnvelopeError::NoMatch);
        assert_eq!(open_in(&sealed, &channel(2), &epochs), no_match);
        let (without, _) = epochs.split_at(2);
        assert_eq!(open_in(&sealed, &channel(1), without), no_match);
        let mut changed = sealed;
        changed[100] ^= 1;
        let tampered = Err(EnvelopeError::Tampered);
        assert_eq!(open_in(&changed, &channel(1), &epochs), tampered);
    }

    #[test]
    fn every_day_scope_and_generation_has_its_own_tag() {
        let mut tags = BTreeSet::new();
        for generation in 0..4 {
            for scope in [Scope::Control, channel(1), channel(2)] {
                for day in Day::of(Timestamp::from_ms(86_400_000 * 20_000)).window() {
                    tags.insert(TagKey::derive(&epoch(generation).topic(), &scope, day).tag());
                }
            }
        }
        assert_eq!(tags.len(), 4 * 3 * 3);
    }

    #[test]
    fn the_tag_key_signs_what_a_relay_accepts() {
        let key = TagKey::derive(&epoch(1).topic(), &Scope::Control, Day(1));
        let hash = oplog::tag::envelope_hash(b"envelope");
        let sig = oplog::tag::sign_put(key.secret(), &hash, 60);
        let put = oplog::tag::verify_put(&key.tag(), &key.public(), &hash, 60, &sig);
        assert_eq!(put, Ok(()));
    }

    #[test]
    fn join_requests_and_returns_open_for_whoever_knows_the_key() {
        for keys in [
            SealKeys::of_invite(&Digest::from_bytes([5; 32])),
            SealKeys::of_return(&SpaceId::from_bytes([5; 32])),
        ] {
            let sealed = seal(&keys, &tag(1), b"let me in", &mut rng()).unwrap();
            assert_eq!(open(&sealed, [&keys]), Ok((0, b"let me in".to_vec())));
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(300))]
        #[test]
        fn any_changed_byte_is_refused(at in 0usize..1024, flip in 1u8..) {
            let keys = SealKeys::new(&epoch(1), &channel(1));
            let mut sealed = seal(&keys, &tag(1), b"a short post", &mut rng()).unwrap();
            sealed[at] ^= flip;
            prop_assert!(open(&sealed, [&keys]).is_err());
        }

        #[test]
        fn any_bytes_fail_cleanly(mut bytes in proptest::collection::vec(any::<u8>(), 0..2048), whole: bool) {
            if whole { bytes.resize(1024, 0); }
            let keys = SealKeys::new(&epoch(1), &channel(1));
            prop_assert!(open(&bytes, [&keys]).is_err());
        }
    }
}
