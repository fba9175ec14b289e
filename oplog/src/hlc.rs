//! Time inside ops: a hybrid logical clock (Kulkarni et al. 2014) whose value is `uhlc::NTP64`.
//!
//! The tick is our own and pure. `uhlc::HLC` reads a global clock and refuses by local drift;
//! here time is an argument and a clock never decides whether an op is accepted
//! (`docs/protocol.md` B3).

use core::fmt;
use core::time::Duration;

use minicbor::decode::{Decoder, Error as DecodeError};
use minicbor::encode::{Encoder, Error as EncodeError, Write};
use uhlc::NTP64;

/// Wall-clock time in milliseconds since 1970-01-01 UTC, as a driver or the simulator tells it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(u64);

impl Timestamp {
    /// Wraps milliseconds since 1970.
    #[must_use]
    pub const fn from_ms(ms: u64) -> Self {
        Self(ms)
    }

    /// Returns milliseconds since 1970.
    #[must_use]
    pub const fn as_ms(self) -> u64 {
        self.0
    }

    /// Returns the UTC day: days since 1970. Tags rotate by it.
    #[must_use]
    pub const fn day(self) -> u64 {
        self.0 / 86_400_000
    }

    /// Returns this time moved later by `ms`.
    #[must_use]
    pub const fn plus_ms(self, ms: u64) -> Self {
        Self(self.0.saturating_add(ms))
    }

    /// Returns the milliseconds from `earlier` to this time, 0 when it lies in the future.
    #[must_use]
    pub const fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

/// An op's logical time: seconds since 1970 as 32.32 fixed point. Strictly
/// greater than that of every op it refers to (R2).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hlc(NTP64);

impl Hlc {
    /// The least value; no op carries it.
    pub const ZERO: Self = Self(NTP64(0));

    /// Wraps the raw 32.32 fixed-point value.
    #[must_use]
    pub const fn from_raw(raw: u64) -> Self {
        Self(NTP64(raw))
    }

    /// Returns the raw 32.32 fixed-point value.
    #[must_use]
    pub const fn as_raw(self) -> u64 {
        self.0.0
    }

    /// Returns the value that the wall clock alone would give. Past 2106 it stays at the end of the range.
    #[must_use]
    pub fn from_wall(now: Timestamp) -> Self {
        let secs = now.as_ms() / 1000;
        if secs > u64::from(u32::MAX) {
            return Self(NTP64(u64::MAX));
        }
        Self(NTP64::from(Duration::from_millis(now.as_ms())))
    }

    /// Returns the wall time this value stands for, rounded down to milliseconds.
    #[must_use]
    pub fn to_wall(self) -> Timestamp {
        let raw = self.as_raw();
        let secs = raw >> 32;
        let millis = ((raw & 0xffff_ffff) * 1000) >> 32;
        Timestamp::from_ms(secs * 1000 + millis)
    }

    /// Returns this value moved later by whole seconds, saturating.
    #[must_use]
    pub const fn plus_secs(self, secs: u32) -> Self {
        Self(NTP64(self.0.0.saturating_add((secs as u64) << 32)))
    }

    /// Returns the next value of a clock: greater than `last` and than every
    /// dependency, and not before the wall clock.
    #[must_use]
    pub fn tick(now: Timestamp, last: Self, deps: impl IntoIterator<Item = Self>) -> Self {
        let floor = deps
            .into_iter()
            .fold(last, Self::max)
            .as_raw()
            .saturating_add(1);
        Self::from_wall(now).max(Self::from_raw(floor))
    }
}

impl fmt::Display for Hlc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl fmt::Debug for Hlc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Hlc({:#x})", self.as_raw())
    }
}

impl<C> minicbor::Encode<C> for Hlc {
    fn encode<W: Write>(&self, e: &mut Encoder<W>, _: &mut C) -> Result<(), EncodeError<W::Error>> {
        e.u64(self.as_raw())?.ok()
    }
}

impl<'b, C> minicbor::Decode<'b, C> for Hlc {
    fn decode(d: &mut Decoder<'b>, _: &mut C) -> Result<Self, DecodeError> {
        d.u64().map(Self::from_raw)
    }
}

impl<C> minicbor::Encode<C> for Timestamp {
    fn encode<W: Write>(&self, e: &mut Encoder<W>, _: &mut C) -> Result<(), EncodeError<W::Error>> {
        e.u64(self.0)?.ok()
    }
}

impl<'b, C> minicbor::Decode<'b, C> for Timestamp {
    fn decode(d: &mut Decoder<'b>, _: &mut C) -> Result<Self, DecodeError> {
        d.u64().map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tick_is_above_everything_seen_and_follows_the_wall() {
        let at = |ms| Hlc::from_wall(Timestamp::from_ms(ms));
        // now, last, deps → expected floor
        for (now, last, deps) in [
            (5_000, 1_000, vec![]),
            (1_000, 5_000, vec![]),
            (1_000, 2_000, vec![9_000, 3_000]),
        ] {
            let got = Hlc::tick(
                Timestamp::from_ms(now),
                at(last),
                deps.iter().map(|d| at(*d)),
            );
            assert!(got > at(last) && deps.iter().all(|d| got > at(*d)) && got >= at(now));
        }
    }

    #[test]
    fn wall_time_survives_the_round_trip_to_the_millisecond() {
        for ms in [
            0,
            1,
            999,
            1_000,
            1_763_831_901_123,
            u64::from(u32::MAX) * 1000,
        ] {
            let back = Hlc::from_wall(Timestamp::from_ms(ms)).to_wall().as_ms();
            assert!(ms - back <= 1, "{ms} came back as {back}");
        }
    }
}
