//! Keys of a blob: its own, the ones derived from it, the convergent one, and the token that deletes it.

use core::fmt;

use minicbor::bytes::ByteArray;
use oplog::hash::{H, hkdf};
use oplog::payload::Attachment;
use oplog::{BlobId, ChannelId, Digest, Secret};
use rand_core::CryptoRng;
use zeroize::Zeroizing;

use crate::chunk::CHUNK_BYTES;
use crate::pad::PADDED_BYTES_MIN;

/// The key of one blob, carried inside the op that refers to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlobKey(Secret);

impl BlobKey {
    pub(crate) fn generate(rng: &mut impl CryptoRng) -> Self {
        Self(Secret::generate(rng))
    }

    /// The key that seals chunks: `HKDF(blob key, "data")`.
    pub(crate) fn data(&self) -> Zeroizing<[u8; 32]> {
        hkdf(self.0.as_bytes(), "data", &[])
    }

    /// The key that seals the manifest: `HKDF(blob key, "manifest" ‖ salt)`. Apart from the data
    /// key, and never convergent: two people who share one file give it different names (A7).
    pub(crate) fn manifest(&self, salt: &Salt) -> Zeroizing<[u8; 32]> {
        hkdf(self.0.as_bytes(), "manifest", &[&salt.0])
    }
}

/// Sixteen random bytes that make a manifest's key its own, carried in the op.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Salt([u8; 16]);

impl Salt {
    pub(crate) fn generate(rng: &mut impl CryptoRng) -> Self {
        let mut bytes = [0; 16];
        rng.fill_bytes(&mut bytes);
        Self(bytes)
    }
}

/// What an op needs to say so that its readers can fetch and open a blob.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlobRef {
    /// The sealed manifest.
    pub manifest: BlobId,
    /// The blob's key.
    pub key: BlobKey,
    /// The manifest's salt.
    pub salt: Salt,
}

impl BlobRef {
    /// Returns the part of an op's payload that carries this reference.
    #[must_use]
    pub fn to_attachment(&self, size: u64, name: String, media_type: String) -> Attachment {
        Attachment {
            manifest: self.manifest,
            key: Digest::from_bytes(*self.key.0.as_bytes()),
            salt: ByteArray::from(self.salt.0),
            size,
            name,
            media_type,
        }
    }
}

impl From<&Attachment> for BlobRef {
    fn from(attachment: &Attachment) -> Self {
        Self {
            manifest: attachment.manifest,
            key: BlobKey(Secret::from_bytes(*attachment.key.as_bytes())),
            salt: Salt(*attachment.salt),
        }
    }
}

/// The secret under which equal files of one channel and key generation get equal chunks.
///
/// Off by default: whoever has it can test whether a guessed file is there.
#[derive(Clone, Debug)]
pub struct DedupKey(Secret);

impl DedupKey {
    /// Derives the key of a channel from the topic key of a key generation (A7).
    #[must_use]
    pub fn derive(topic_key: &Secret, channel: &ChannelId) -> Self {
        let key = hkdf(topic_key.as_bytes(), "dedup", &[channel.as_bytes()]);
        Self(Secret::from_bytes(*key))
    }

    /// The blob key of this content: `HKDF(k_dedup, content digest)`.
    pub(crate) fn blob_key(&self, content: &ContentDigest) -> BlobKey {
        let key = hkdf(self.0.as_bytes(), "dedup-blob", &[content.0.as_bytes()]);
        BlobKey(Secret::from_bytes(*key))
    }
}

/// `H(the exact bytes sealed, chunk size, pad rule)`: equal digests mean equal sealed chunks (A7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ContentDigest(Digest);

/// Digests content as it streams by.
#[derive(Clone)]
pub struct ContentHasher {
    bytes: blake3::Hasher,
}

impl ContentHasher {
    /// Begins with nothing.
    #[must_use]
    pub fn new() -> Self {
        Self {
            bytes: blake3::Hasher::new_derive_key("decent/v1/dedup-bytes"),
        }
    }

    /// Adds bytes.
    pub fn push(&mut self, bytes: &[u8]) {
        self.bytes.update(bytes);
    }

    /// Returns the digest of everything added.
    #[must_use]
    pub fn finish(&self) -> ContentDigest {
        let digest = H::new("dedup-content")
            .field(self.bytes.finalize().as_bytes())
            .field(&self.bytes.count().to_be_bytes())
            .field(&(CHUNK_BYTES as u64).to_be_bytes())
            .field(b"padme last")
            .field(&(PADDED_BYTES_MIN as u64).to_be_bytes())
            .finish();
        ContentDigest(Digest::from_bytes(digest))
    }
}

impl Default for ContentHasher {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for ContentHasher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ContentHasher({} bytes)", self.bytes.count())
    }
}

/// Random for every upload; what is made of it takes that upload back, chunk by chunk.
///
/// A relay is given the hash of [`DeleteToken::for_chunk`] with each chunk, and drops a chunk when
/// every upload of it was taken back: nobody can delete what somebody else uploaded too (A7).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeleteToken(Secret);

impl DeleteToken {
    /// Draws a token.
    pub fn generate(rng: &mut impl CryptoRng) -> Self {
        Self(Secret::generate(rng))
    }

    /// Takes a token back from where it was stored.
    #[must_use]
    pub const fn from_secret(secret: Secret) -> Self {
        Self(secret)
    }

    /// Returns the token's bytes, to be stored sealed.
    #[must_use]
    pub const fn secret(&self) -> &Secret {
        &self.0
    }

    /// Returns `HKDF(token, "delete-token" ‖ chunk)`: what the relay wants to see before it lets go
    /// of this chunk. Different for each chunk, so that a relay cannot tell which belong together.
    #[must_use]
    pub fn for_chunk(&self, chunk: &BlobId) -> Digest {
        Digest::from_bytes(*hkdf(
            self.0.as_bytes(),
            "delete-token",
            &[chunk.as_bytes()],
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand_chacha::ChaCha20Rng;
    use rand_chacha::rand_core::SeedableRng;

    #[test]
    fn keys_of_one_blob_are_all_different() {
        let rng = &mut ChaCha20Rng::from_seed([1; 32]);
        let key = BlobKey::generate(rng);
        let (salt, other) = (Salt::generate(rng), Salt::generate(rng));
        assert_ne!(key.data(), key.manifest(&salt));
        assert_ne!(key.manifest(&salt), key.manifest(&other));
    }

    #[test]
    fn a_reference_survives_the_op() {
        let rng = &mut ChaCha20Rng::from_seed([2; 32]);
        let blob = BlobRef {
            manifest: BlobId::of_sealed(b"m"),
            key: BlobKey::generate(rng),
            salt: Salt::generate(rng),
        };
        let attachment = blob.to_attachment(5, "a.txt".into(), "text/plain".into());
        assert_eq!(BlobRef::from(&attachment), blob);
    }

    #[test]
    fn the_digest_depends_on_the_bytes_and_not_on_how_they_came() {
        let digest = |parts: &[&[u8]]| {
            let mut hasher = ContentHasher::new();
            parts.iter().for_each(|p| hasher.push(p));
            hasher.finish()
        };
        assert_eq!(digest(&[b"ab", b"c"]), digest(&[b"abc"]));
        assert_ne!(digest(&[b"abc"]), digest(&[b"abcd"]));
        assert_ne!(digest(&[]), digest(&[b"\0"]));
    }

    #[test]
    fn an_upload_has_a_token_of_its_own_for_every_chunk() {
        let token = DeleteToken::generate(&mut ChaCha20Rng::from_seed([3; 32]));
        let (a, b) = (BlobId::of_sealed(b"a"), BlobId::of_sealed(b"b"));
        assert_ne!(token.for_chunk(&a), token.for_chunk(&b));
        let again = DeleteToken::from_secret(token.secret().clone());
        assert_eq!(again.for_chunk(&a), token.for_chunk(&a));
    }

    #[test]
    fn debug_shows_no_key() {
        let rng = &mut ChaCha20Rng::from_seed([4; 32]);
        let key = BlobKey::generate(rng);
        let blob = BlobRef {
            manifest: BlobId::ZERO,
            key: key.clone(),
            salt: Salt::generate(rng),
        };
        let byte = format!("{:02x}{:02x}", key.0.as_bytes()[0], key.0.as_bytes()[1]);
        assert!(!format!("{blob:?}").contains(&byte));
        assert_eq!(
            format!("{:?}", DeleteToken(key.0)),
            "DeleteToken(Secret(..))"
        );
    }
}
