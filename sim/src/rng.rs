//! Chance in named streams: every part of the world draws from its own.
//!
//! A stream is named after who draws and for what (`link/n3>r0/loss`). So taking a node or a
//! fault class out of a run leaves what the others draw as it was, and shrinking does not
//! guess. All streams come from one seed by BLAKE3.

use rand_chacha::{ChaCha8Rng, ChaCha20Rng};
use rand_core::{Rng, SeedableRng};

/// Where all chance of one run comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Seed(pub(crate) u64);

impl Seed {
    /// Returns the stream of this name, for faults and choices.
    pub(crate) fn stream(self, name: &str) -> Stream {
        Stream(ChaCha8Rng::from_seed(self.derive(name)))
    }

    /// Returns the generator of this name, for a node or a relay.
    pub(crate) fn crypto(self, name: &str) -> ChaCha20Rng {
        ChaCha20Rng::from_seed(self.derive(name))
    }

    /// Returns 32 bytes that belong to this name.
    pub(crate) fn derive(self, name: &str) -> [u8; 32] {
        let mut hasher = blake3::Hasher::new_derive_key("decent/sim/v1/stream");
        hasher.update(&self.0.to_be_bytes());
        hasher.update(name.as_bytes());
        *hasher.finalize().as_bytes()
    }
}

/// One stream of choices.
#[derive(Clone, Debug)]
pub(crate) struct Stream(ChaCha8Rng);

impl Stream {
    /// Draws any number.
    pub(crate) fn next(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// Draws a number below `end`; 0 when there is none.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        if end == 0 {
            return 0;
        }
        // The bias is far below what any run could notice.
        ((u128::from(self.next()) * u128::from(end)) >> 64) as u64
    }

    /// Draws a number in `from..=to`.
    pub(crate) fn within(&mut self, from: u64, to: u64) -> u64 {
        from + self.below(to.saturating_sub(from).saturating_add(1))
    }

    /// Says yes `per_million` times in a million.
    pub(crate) fn chance(&mut self, per_million: u32) -> bool {
        self.below(1_000_000) < u64::from(per_million)
    }

    /// Draws one of a list.
    pub(crate) fn pick<'a, T>(&mut self, of: &'a [T]) -> Option<&'a T> {
        let at = usize::try_from(self.below(of.len() as u64)).unwrap_or(0);
        of.get(at)
    }

    /// Draws a wait whose mean is `mean`, most of them short and a few long (exponential).
    ///
    /// In whole numbers, so that debug and release, and any machine, draw the same.
    pub(crate) fn exponential(&mut self, mean: u64) -> u64 {
        let u = (self.next() >> 32) as u32 | 1;
        // log2(u) in 16.16: the bits before the point, and a straight line between powers.
        let bits = 31 - u.leading_zeros();
        let fraction = ((u64::from(u) << (32 - bits)) >> 16) & 0xffff;
        let log2 = (u64::from(bits) << 16) | fraction;
        let below_one = (32 << 16) - log2;
        // ln 2 = 45 426 / 65 536.
        ((u128::from(mean) * u128::from(below_one) * 45_426) >> 32) as u64
    }

    /// Returns the raw generator.
    pub(crate) const fn raw(&mut self) -> &mut ChaCha8Rng {
        &mut self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_do_not_depend_on_each_other() {
        let seed = Seed(7);
        let first = seed.stream("a").next();
        let mut other = seed.stream("b");
        other.next();
        assert_eq!(seed.stream("a").next(), first);
        assert_ne!(seed.stream("b").next(), first);
    }

    #[test]
    fn waits_have_the_mean_they_were_asked_for() {
        let mut stream = Seed(1).stream("wait");
        let sum: u64 = (0..20_000).map(|_| stream.exponential(1_000)).sum();
        let mean = sum / 20_000;
        assert!((930..1_070).contains(&mean), "{mean}");
    }
}
