//! Random bytes from one seed: BLAKE3 in counter mode.
//!
//! The store draws nonces and keys inside calls of [`oplog::store::Store`], which
//! carry no generator, so it holds one. The driver seeds it from the operating
//! system; the simulator seeds it as it likes.

use core::convert::Infallible;
use core::fmt;

use oplog::Secret;
use rand_core::{TryCryptoRng, TryRng};

/// A generator seeded once.
pub struct Chance(blake3::OutputReader);

impl Chance {
    /// Starts the stream that belongs to this seed.
    #[must_use]
    pub fn new(seed: &Secret) -> Self {
        let mut hasher = blake3::Hasher::new_derive_key("decent/v1/store-chance");
        hasher.update(seed.as_bytes());
        Self(hasher.finalize_xof())
    }

    /// Draws a nonce.
    pub fn nonce(&mut self) -> [u8; 24] {
        self.bytes()
    }

    /// Draws bytes.
    pub fn bytes<const N: usize>(&mut self) -> [u8; N] {
        let mut out = [0; N];
        self.0.fill(&mut out);
        out
    }
}

impl TryRng for Chance {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        Ok(u32::from_le_bytes(self.bytes()))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        Ok(u64::from_le_bytes(self.bytes()))
    }

    fn try_fill_bytes(&mut self, dst: &mut [u8]) -> Result<(), Infallible> {
        self.0.fill(dst);
        Ok(())
    }
}

impl TryCryptoRng for Chance {}

impl fmt::Debug for Chance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Chance(..)")
    }
}
