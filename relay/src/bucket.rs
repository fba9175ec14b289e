//! A token bucket in integers: the same answer on every machine, and no clock of its own.

use oplog::Timestamp;

use crate::limits::Rate;

/// Thousandths: rates are per second, time is in milliseconds.
const SCALE: u64 = 1_000;

#[derive(Clone, Copy, Debug)]
pub(crate) struct Bucket {
    rate: Rate,
    level: u64,
    at: Timestamp,
}

impl Bucket {
    pub(crate) const fn full(rate: Rate, now: Timestamp) -> Self {
        Self {
            rate,
            level: rate.burst.saturating_mul(SCALE),
            at: now,
        }
    }

    /// Takes `amount`, or says in how many milliseconds it will be there.
    ///
    /// More than the bucket holds is granted once it is full: it is the caller's cap, not this one,
    /// that bounds single amounts.
    pub(crate) fn take(&mut self, amount: u64, now: Timestamp) -> Result<(), u32> {
        let full = self.rate.burst.saturating_mul(SCALE);
        let gained = self.rate.per_sec.saturating_mul(now.since(self.at));
        self.level = self.level.saturating_add(gained).min(full);
        self.at = self.at.max(now);
        let cost = amount.saturating_mul(SCALE).min(full);
        if cost <= self.level {
            self.level -= cost;
            return Ok(());
        }
        let wait = (cost - self.level).div_ceil(self.rate.per_sec.max(1));
        Err(u32::try_from(wait).unwrap_or(u32::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_gives_its_burst_and_then_its_rate() {
        let at = Timestamp::from_ms;
        let rate = Rate {
            per_sec: 10,
            burst: 3,
        };
        let mut bucket = Bucket::full(rate, at(0));
        let taken: Vec<_> = [0, 0, 0, 0, 99, 100, 150, 200, 10_000]
            .into_iter()
            .map(|ms| bucket.take(1, at(ms)))
            .collect();
        let expected = [
            Ok(()),
            Ok(()),
            Ok(()),
            Err(100),
            Err(1),
            Ok(()),
            Err(50),
            Ok(()),
            Ok(()),
        ];
        assert_eq!(taken, expected);
        assert_eq!(bucket.take(50, at(20_000)), Ok(()), "capped at the burst");
    }
}
