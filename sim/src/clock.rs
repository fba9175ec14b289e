//! What a device takes for the time.

use oplog::Timestamp;

use crate::queue::Millis;

/// When worlds begin: 2026-01-01 UTC.
pub(crate) const START: Timestamp = Timestamp::from_ms(1_767_225_600_000);

/// A clock that may be off, too fast, or stand still.
#[derive(Clone, Debug, Default)]
pub(crate) struct Clock {
    offset_ms: i64,
    drift_ppm: i32,
    drift_since: Millis,
    frozen: Option<i64>,
}

impl Clock {
    /// Reads the clock.
    pub(crate) fn read(&self, now: Millis) -> Timestamp {
        let local = self.frozen.unwrap_or_else(|| self.local(now));
        Timestamp::from_ms(u64::try_from(local).unwrap_or(0))
    }

    /// Returns how long until the clock shows `at`, as far as can be told now.
    pub(crate) fn until(&self, at: Timestamp, now: Millis) -> Millis {
        at.since(self.read(now))
    }

    pub(crate) const fn jump(&mut self, by_ms: i64) {
        self.offset_ms = self.offset_ms.saturating_add(by_ms);
        if let Some(frozen) = &mut self.frozen {
            *frozen = frozen.saturating_add(by_ms);
        }
    }

    /// Sets the clock to 1970.
    pub(crate) fn reset(&mut self, now: Millis) {
        let local = self.local(now);
        self.jump(1_000 - local);
    }

    pub(crate) fn drift(&mut self, ppm: i32, now: Millis) {
        self.offset_ms += self.drifted(now);
        self.drift_ppm = ppm;
        self.drift_since = now;
    }

    pub(crate) fn freeze(&mut self, now: Millis) {
        self.frozen = Some(self.local(now));
    }

    pub(crate) const fn thaw(&mut self) {
        self.frozen = None;
    }

    /// Says whether the clock stands still.
    pub(crate) const fn is_frozen(&self) -> bool {
        self.frozen.is_some()
    }

    fn local(&self, now: Millis) -> i64 {
        let real = START.as_ms() as i64 + now as i64;
        real.saturating_add(self.offset_ms)
            .saturating_add(self.drifted(now))
    }

    fn drifted(&self, now: Millis) -> i64 {
        (now.saturating_sub(self.drift_since) as i64).saturating_mul(i64::from(self.drift_ppm))
            / 1_000_000
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_is_off_fast_or_still_as_told() {
        let mut clock = Clock::default();
        assert_eq!(clock.read(5), START.plus_ms(5));
        clock.drift(500, 0);
        assert_eq!(clock.read(1_000_000), START.plus_ms(1_000_500));
        clock.jump(-500);
        assert_eq!(clock.read(1_000_000), START.plus_ms(1_000_000));
        clock.freeze(1_000_000);
        assert_eq!(clock.read(9_000_000), START.plus_ms(1_000_000));
        clock.thaw();
        clock.reset(9_000_000);
        assert_eq!(clock.read(9_000_000).as_ms(), 1_000);
    }
}
