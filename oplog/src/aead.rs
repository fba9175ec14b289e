//! XChaCha20-Poly1305, behind functions that are not generic, so that they are optimised here once.
//!
//! Nonces have 24 bytes and are drawn at random by the caller; ciphertexts carry a 16-byte tag.

use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{Key, XChaCha20Poly1305, XNonce};

use crate::recorder;

/// Bytes of a nonce.
pub const NONCE_LEN: usize = 24;
/// Bytes that sealing adds.
pub const TAG_LEN: usize = 16;

/// The bytes were not sealed under this key, nonce and associated data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the seal does not match")]
pub struct OpenError;

/// Seals bytes.
#[must_use]
pub fn seal(key: &[u8; 32], nonce: &[u8; NONCE_LEN], ad: &[u8], plain: &[u8]) -> Vec<u8> {
    recorder::secret("aead", key);
    #[cfg(feature = "stub-crypto")]
    if crate::stub::is_on() {
        return crate::stub::seal(key, nonce, ad, plain);
    }
    let cipher = XChaCha20Poly1305::new(&Key::from(*key));
    // Fails only beyond 256 GiB, which no caller can hold.
    cipher
        .encrypt(
            &XNonce::from(*nonce),
            Payload {
                msg: plain,
                aad: ad,
            },
        )
        .unwrap_or_default()
}

/// Opens what [`seal`] made.
///
/// # Errors
/// When anything differs from what was sealed.
pub fn open(
    key: &[u8; 32],
    nonce: &[u8; NONCE_LEN],
    ad: &[u8],
    sealed: &[u8],
) -> Result<Vec<u8>, OpenError> {
    recorder::secret("aead", key);
    #[cfg(feature = "stub-crypto")]
    if crate::stub::is_on() {
        return crate::stub::open(key, nonce, ad, sealed);
    }
    let cipher = XChaCha20Poly1305::new(&Key::from(*key));
    cipher
        .decrypt(
            &XNonce::from(*nonce),
            Payload {
                msg: sealed,
                aad: ad,
            },
        )
        .map_err(|_opaque| OpenError)
}
