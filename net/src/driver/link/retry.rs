//! When to dial again: twice as late each time, and not everybody at once.

use core::time::Duration;

use oplog::hash::H;

use crate::RelayId;

/// The first wait in milliseconds.
const FIRST_MS: u64 = 250;
/// The longest wait in milliseconds: a relay that is back is found within half a minute.
const LAST_MS: u64 = 30_000;

/// Waits of one relay: 250 ms, doubling to 30 s, each shortened by up to half.
#[derive(Debug)]
pub(super) struct Retry {
    relay: RelayId,
    /// Differs between clients, so that those of a relay that died do not come back together.
    salt: Vec<u8>,
    attempts: u32,
    at_once: bool,
}

impl Retry {
    pub(super) const fn new(relay: RelayId, salt: Vec<u8>) -> Self {
        Self {
            relay,
            salt,
            attempts: 0,
            at_once: false,
        }
    }

    /// Makes the next wait none.
    pub(super) const fn at_once(&mut self) {
        self.attempts = 0;
        self.at_once = true;
    }

    pub(super) const fn reset(&mut self) {
        self.attempts = 0;
        self.at_once = false;
    }

    pub(super) fn next(&mut self) -> Duration {
        if core::mem::take(&mut self.at_once) {
            return Duration::ZERO;
        }
        let full = FIRST_MS
            .saturating_mul(1 << self.attempts.min(16))
            .min(LAST_MS);
        self.attempts = self.attempts.saturating_add(1);
        let draw = H::new("retry")
            .field(self.relay.as_bytes())
            .field(&self.salt)
            .field(&self.attempts.to_be_bytes())
            .finish();
        let draw = u64::from(draw.first().copied().unwrap_or(0));
        Duration::from_millis(full - full * draw / 512)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_half_a_minute_and_start_again() {
        let mut retry = Retry::new(RelayId::from_bytes([7; 32]), vec![1]);
        for attempt in 0..20 {
            let full = (FIRST_MS << attempt.min(16)).min(LAST_MS);
            let wait = u64::try_from(retry.next().as_millis()).unwrap();
            assert!(wait <= full && wait >= full / 2, "{attempt}: {wait}");
        }
        retry.reset();
        assert!(retry.next() <= Duration::from_millis(FIRST_MS));
        retry.at_once();
        assert_eq!(retry.next(), Duration::ZERO);
        assert_ne!(retry.next(), Duration::ZERO);
    }
}
