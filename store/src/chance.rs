//! Random bytes from one seed: BLAKE3 in counter mode.
//!
//! The store draws nonces and keys inside calls of [`oplog::store::Store`], which
//! carry no generator, so it holds one. The driver seeds it from the operating
//! system; the simulator seeds it as it likes.

use core::convert::Infallible;
use core::fmt;

use oplog::Secret;
use rand_core::{TryCryptoRng, TryRng};
use zeroize::Zeroizing;

/// Drawn at once: BLAKE3 makes sixteen blocks for little more than the price of one.
const AHEAD_BYTES: usize = 1024;

/// A generator seeded once.
pub struct Chance {
    stream: blake3::OutputReader,
    /// What is drawn and not handed out, from `used` on. What is handed out is zeroed.
    ahead: Zeroizing<[u8; AHEAD_BYTES]>,
    used: usize,
}

impl Chance {
    /// Starts the stream that belongs to this seed.
    #[must_use]
    pub fn new(seed: &Secret) -> Self {
        let mut hasher = blake3::Hasher::new_derive_key("decent/v1/store-chance");
        hasher.update(seed.as_bytes());
        Self {
            stream: hasher.finalize_xof(),
            ahead: Zeroizing::new([0; AHEAD_BYTES]),
            used: AHEAD_BYTES,
        }
    }

    /// Draws a nonce.
    pub fn nonce(&mut self) -> [u8; 24] {
        self.bytes()
    }

    /// Draws a secret.
    pub fn secret(&mut self) -> Secret {
        Secret::from_bytes(self.bytes())
    }

    /// Draws bytes.
    pub fn bytes<const N: usize>(&mut self) -> [u8; N] {
        let mut out = [0; N];
        self.fill(&mut out);
        out
    }

    fn fill(&mut self, out: &mut [u8]) {
        for part in out.chunks_mut(AHEAD_BYTES) {
            if self.used + part.len() > AHEAD_BYTES {
                self.stream.fill(self.ahead.as_mut());
                self.used = 0;
            }
            let end = self.used + part.len();
            if let Some(drawn) = self.ahead.get_mut(self.used..end) {
                part.copy_from_slice(drawn);
                drawn.fill(0);
            }
            self.used = end;
        }
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
        self.fill(dst);
        Ok(())
    }
}

impl TryCryptoRng for Chance {}

impl fmt::Debug for Chance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Chance(..)")
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn nothing_is_drawn_twice_and_a_seed_says_all() {
        let seed = Secret::from_bytes([1; 32]);
        let (mut a, mut b) = (Chance::new(&seed), Chance::new(&seed));
        let mut seen = BTreeSet::new();
        for n in 0..1_000_usize {
            let nonce = a.nonce();
            assert_eq!(nonce, b.nonce());
            assert!(seen.insert(nonce) && nonce != [0; 24], "draw {n}");
            let mut long = vec![0; n * 37 % 3_000];
            a.fill(&mut long);
            assert!(long.len() < 32 || long.windows(32).all(|w| w.iter().any(|b| *b != 0)));
            b.fill(&mut long);
        }
        assert_ne!(a.nonce(), Chance::new(&Secret::from_bytes([2; 32])).nonce());
    }
}
