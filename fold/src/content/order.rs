//! The one order of content: `(hlc, wall, device, id)`, which extends causality (B3, B0.5).

use oplog::mutants::{Mutant, on};
use oplog::{DeviceId, Hlc, OpId, SignedOp, Timestamp};

/// Where an op stands among all others. Sorts as its bytes do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct OrderKey {
    /// Logical time.
    pub hlc: Hlc,
    /// The author's wall clock.
    pub wall: Timestamp,
    /// The author's device.
    pub device: DeviceId,
    /// The op.
    pub id: OpId,
}

impl OrderKey {
    /// Length of [`OrderKey::to_bytes`] in bytes.
    pub const LEN: usize = 80;

    /// Returns where this op stands.
    #[must_use]
    pub fn of(op: &SignedOp) -> Self {
        let header = op.header();
        let hlc = if on(Mutant::OrderByWall) {
            Hlc::from_wall(header.wall)
        } else {
            header.hlc
        };
        Self {
            hlc,
            wall: header.wall,
            device: header.device,
            id: op.id(),
        }
    }

    /// Returns big-endian bytes, for row keys and for cursors that leave the process.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; Self::LEN] {
        let mut out = [0; Self::LEN];
        let (hlc, rest) = out.split_at_mut(8);
        let (wall, rest) = rest.split_at_mut(8);
        let (device, id) = rest.split_at_mut(32);
        hlc.copy_from_slice(&self.hlc.as_raw().to_be_bytes());
        wall.copy_from_slice(&self.wall.as_ms().to_be_bytes());
        device.copy_from_slice(self.device.as_bytes());
        id.copy_from_slice(self.id.as_bytes());
        out
    }

    /// Reads [`OrderKey::to_bytes`] back; `None` when the length is wrong.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (hlc, rest) = bytes.split_first_chunk()?;
        let (wall, rest) = rest.split_first_chunk()?;
        let (device, rest) = rest.split_first_chunk()?;
        let id = <[u8; 32]>::try_from(rest).ok()?;
        Some(Self {
            hlc: Hlc::from_raw(u64::from_be_bytes(*hlc)),
            wall: Timestamp::from_ms(u64::from_be_bytes(*wall)),
            device: DeviceId::from_bytes(*device),
            id: OpId::from_bytes(id),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn arb_key() -> impl Strategy<Value = OrderKey> {
        (0..3u64, 0..3u64, 0..3u8, 0..3u8).prop_map(|(hlc, wall, device, id)| OrderKey {
            hlc: Hlc::from_raw(hlc << 40),
            wall: Timestamp::from_ms(wall << 20),
            device: DeviceId::from_bytes([device; 32]),
            id: OpId::from_bytes([id; 32]),
        })
    }

    proptest! {
        #[test]
        fn bytes_sort_as_keys_do_and_read_back(a in arb_key(), b in arb_key()) {
            prop_assert_eq!(a.cmp(&b), a.to_bytes().cmp(&b.to_bytes()));
            prop_assert_eq!(OrderKey::from_bytes(&a.to_bytes()), Some(a));
            prop_assert_eq!(OrderKey::from_bytes(&a.to_bytes()[1..]), None);
        }
    }
}
