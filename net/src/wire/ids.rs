//! Names that only client and relay share.

use core::fmt;

use minicbor::decode::{Decoder, Error as DecodeError};
use minicbor::encode::{Encoder, Error as EncodeError, Write};
use minicbor::{Decode, Encode};
use oplog::Timestamp;
use oplog::mutants::{Mutant, on};

/// Milliseconds in an hour, the unit of arrival times in reconciliation.
const HOUR_MS: u64 = 3_600_000;
/// Bits of a cursor below its milliseconds: 65,536 arrivals a millisecond before cursors run ahead of the clock.
const COUNTER_BITS: u32 = 16;

/// Where something stands in the order of arrival at one relay.
///
/// Milliseconds since 1970 shifted left by 16, or one more than the cursor before, whichever is
/// greater: a relay that lost its disk goes on above what its clients remember.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cursor(u64);

impl Cursor {
    /// Before everything.
    pub const START: Self = Self(0);

    /// Wraps the number on the wire.
    #[must_use]
    pub const fn from_raw(raw: u64) -> Self {
        Self(raw)
    }

    /// Returns the number on the wire.
    #[must_use]
    pub const fn as_raw(self) -> u64 {
        self.0
    }

    /// Returns the cursor of something that arrives now, after everything up to `last`.
    #[must_use]
    pub fn next(now: Timestamp, last: Self) -> Self {
        let step = u64::from(!on(Mutant::CursorRepeats));
        Self(Self::at(now).0.max(last.0.saturating_add(step)))
    }

    /// Returns the first cursor of this time.
    #[must_use]
    pub const fn at(time: Timestamp) -> Self {
        Self(time.as_ms().saturating_mul(1 << COUNTER_BITS))
    }

    /// Returns when it arrived, by the relay's clock.
    #[must_use]
    pub const fn arrived(self) -> Timestamp {
        Timestamp::from_ms(self.0 >> COUNTER_BITS)
    }

    /// Returns the hour in which it arrived.
    #[must_use]
    pub const fn hour(self) -> Hour {
        Hour::of(self.arrived())
    }
}

/// Hours since 1970: the resolution in which a relay and a client compare what arrived.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hour(u32);

impl Hour {
    /// The last hour there is.
    pub const MAX: Self = Self(u32::MAX);

    /// Wraps hours since 1970.
    #[must_use]
    pub const fn from_raw(hours: u32) -> Self {
        Self(hours)
    }

    /// Returns hours since 1970.
    #[must_use]
    pub const fn as_raw(self) -> u32 {
        self.0
    }

    /// Returns the hour of a time.
    #[must_use]
    #[expect(
        clippy::cast_possible_truncation,
        reason = "the minimum with u32::MAX fits"
    )]
    pub const fn of(time: Timestamp) -> Self {
        let hours = time.as_ms() / HOUR_MS;
        if hours > u32::MAX as u64 {
            Self::MAX
        } else {
            Self(hours as u32)
        }
    }

    /// Returns the time at which the hour begins.
    #[must_use]
    pub const fn start(self) -> Timestamp {
        Timestamp::from_ms(self.0 as u64 * HOUR_MS)
    }
}

macro_rules! number {
    ($name:ident, $read:ident) => {
        impl<C> Encode<C> for $name {
            fn encode<W: Write>(
                &self,
                e: &mut Encoder<W>,
                _: &mut C,
            ) -> Result<(), EncodeError<W::Error>> {
                e.$read(self.0)?.ok()
            }
        }

        impl<'b, C> Decode<'b, C> for $name {
            fn decode(d: &mut Decoder<'b>, _: &mut C) -> Result<Self, DecodeError> {
                d.$read().map(Self)
            }
        }
    };
}

number!(Cursor, u64);
number!(Hour, u32);

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $len:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name([u8; $len]);

        impl $name {
            /// How many bytes it has.
            pub const LEN: usize = $len;

            /// Wraps raw bytes.
            #[must_use]
            pub const fn from_bytes(bytes: [u8; $len]) -> Self {
                Self(bytes)
            }

            /// Returns the raw bytes.
            #[must_use]
            pub const fn as_bytes(&self) -> &[u8; $len] {
                &self.0
            }
        }

        impl fmt::Debug for $name {
            // Whoever knows a mailbox id can use it: logs must not.
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(concat!(stringify!($name), "(..)"))
            }
        }

        oplog::fixed_bytes!($name, $len);
    };
}

name!(
    /// The owner's name for a mailbox: drawn by the relay, useless without the owner's key.
    RecvId, 16
);
name!(
    /// The writers' name for a mailbox: drawn by the relay, unlinkable to the owner's name from outside.
    SendId, 16
);
name!(
    /// What a relay wants signed on this connection, so that no signature can be used on another.
    Challenge, 32
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cursors_follow_the_clock_and_never_go_back() {
        let at = Timestamp::from_ms;
        let a = Cursor::next(at(1_000), Cursor::START);
        assert_eq!(a.arrived(), at(1_000));
        let b = Cursor::next(at(1_000), a);
        let c = Cursor::next(at(400), b);
        assert!(a < b && b < c && c.arrived() == at(1_000));
        assert_eq!(Cursor::next(at(7_200_000), c).hour(), Hour::from_raw(2));
    }
}
