//! Who is in the group, and the one check that every epoch passes before it is used.
//!
//! OpenMLS checks that a tree is consistent, not that its leaves are the people they claim to
//! be, nor that a commit does what its op declares. [`check_roster`] does, for all four ways
//! into an epoch: founding, one's own commit, somebody's commit, a Welcome. Two paths that each
//! did their own checking would drift apart.

use std::collections::BTreeMap;
use std::sync::Arc;

use minicbor::decode::{Decoder, Error as DecodeError};
use minicbor::encode::{Encoder, Error as EncodeError, Write};
use minicbor::{Decode, Encode};
use openmls::prelude::PublicGroup;
use oplog::codec;
use oplog::hash::H;
use oplog::payload::{RosterDelta, RosterEntry};
use oplog::{DeviceId, Digest, UserId};

use crate::device::Certs;
use crate::error::Refusal;
use crate::leaf::{Leaf, check_leaf, check_tree_keys};

/// Most devices in one group (B16).
pub const DEVICES_MAX: usize = 1000;

type Map = BTreeMap<DeviceId, (UserId, Digest)>;

/// The devices in the group in one epoch, each with its user and the hash of its key package.
/// Cheap to clone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Roster(Arc<Map>);

impl Roster {
    /// Returns how many devices there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Returns whether nobody is there.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns whether the device is there.
    #[must_use]
    pub fn contains(&self, device: &DeviceId) -> bool {
        self.0.contains_key(device)
    }

    /// Returns the devices in order, each with its user and the hash of its key package.
    #[must_use]
    pub fn as_map(&self) -> &BTreeMap<DeviceId, (UserId, Digest)> {
        &self.0
    }

    /// Returns `H("roster", CBOR of sorted [(device, user, key package hash)])`.
    #[must_use]
    pub fn hash(&self) -> Digest {
        Digest::from_bytes(H::new("roster").field(&codec::encode(self)).finish())
    }

    /// Returns the roster after a change.
    ///
    /// # Errors
    /// When the delta removes who is not there, adds who stays, or leaves nobody or too many.
    pub fn apply(&self, delta: &RosterDelta) -> Result<Self, Refusal> {
        let misfit = |reason| Refusal::DeltaMisfit { reason };
        let mut map = Map::clone(&self.0);
        for device in &delta.removed {
            map.remove(device)
                .ok_or(misfit("it removes who is not there"))?;
        }
        for added in &delta.added {
            let entry = (added.user, added.key_package);
            if map.insert(added.device, entry).is_some() {
                return Err(misfit("it adds who is already there"));
            }
        }
        if map.is_empty() {
            return Err(misfit("it leaves nobody"));
        }
        let roster = Self(Arc::new(map));
        roster.check_size()?;
        Ok(roster)
    }

    /// C.2-4: no more devices than [`DEVICES_MAX`].
    fn check_size(&self) -> Result<(), Refusal> {
        if self.len() <= DEVICES_MAX {
            return Ok(());
        }
        Err(Refusal::TooManyDevices {
            len: self.len(),
            max: DEVICES_MAX,
        })
    }
}

impl From<Arc<Map>> for Roster {
    fn from(map: Arc<Map>) -> Self {
        Self(map)
    }
}

impl From<Map> for Roster {
    fn from(map: Map) -> Self {
        Self(Arc::new(map))
    }
}

impl<C> Encode<C> for Roster {
    fn encode<W: Write>(
        &self,
        e: &mut Encoder<W>,
        ctx: &mut C,
    ) -> Result<(), EncodeError<W::Error>> {
        e.array(self.0.len() as u64)?;
        for (device, (user, key_package)) in self.0.iter() {
            e.array(3)?
                .encode_with(device, ctx)?
                .encode_with(user, ctx)?
                .encode_with(key_package, ctx)?;
        }
        Ok(())
    }
}

impl<'b, C> Decode<'b, C> for Roster {
    fn decode(d: &mut Decoder<'b>, ctx: &mut C) -> Result<Self, DecodeError> {
        let claimed = d
            .array()?
            .ok_or_else(|| DecodeError::message("indefinite array"))?;
        let mut map = Map::new();
        for _ in 0..claimed {
            if d.array()? != Some(3) {
                return Err(DecodeError::message("a roster entry has three parts"));
            }
            let device = DeviceId::decode(d, ctx)?;
            map.insert(device, (UserId::decode(d, ctx)?, Digest::decode(d, ctx)?));
        }
        Ok(Self(Arc::new(map)))
    }
}

/// The leaves of a tree by index, as checked.
pub(crate) type Leaves = BTreeMap<u32, Leaf>;

/// What a tree is held against.
pub(crate) enum Basis<'a> {
    /// The roster that it must hold: after founding or joining.
    Whole(&'a Roster),
    /// The epoch before, what the op declares, and what the commit's proposals do.
    Commit {
        before: &'a Leaves,
        roster: &'a Roster,
        declared: &'a RosterDelta,
        actual: &'a RosterDelta,
    },
}

/// Checks who is in a tree, and returns them.
///
/// - The actual delta is the declared one (A15).
/// - Every leaf matches its device's certificate, in credential and signature key (C.2-1), has
///   the one lifetime and capability set (C.2-4), and no key of the tree is weak (A21).
/// - No device has two leaves; who stayed kept leaf index, credential and signature key (C.2-2).
/// - The devices are exactly those of the roster, and not too many (A15, C.2-4).
pub(crate) fn check_roster(
    tree: &PublicGroup,
    basis: &Basis<'_>,
    certs: &impl Certs,
) -> Result<Roster, Refusal> {
    let roster = match basis {
        Basis::Whole(roster) => (*roster).clone(),
        Basis::Commit {
            roster,
            declared,
            actual,
            ..
        } => {
            if declared != actual {
                return Err(Refusal::DeltaMismatch);
            }
            roster.apply(declared)?
        }
    };
    roster.check_size()?;
    let leaves = leaves(tree, certs)?;
    check_tree_keys(tree)?;
    if let Basis::Commit {
        before, declared, ..
    } = basis
    {
        check_continuity(before, &leaves, declared)?;
    }
    let present = leaves.values().map(|leaf| (leaf.device, leaf.user));
    let expected = roster.0.iter().map(|(device, (user, _))| (*device, *user));
    if present.collect::<BTreeMap<_, _>>() != expected.collect::<BTreeMap<_, _>>() {
        return Err(Refusal::RosterMismatch);
    }
    Ok(roster)
}

/// Reads and checks every leaf of a tree.
pub(crate) fn leaves(tree: &PublicGroup, certs: &impl Certs) -> Result<Leaves, Refusal> {
    let mut seen = BTreeMap::new();
    let mut leaves = Leaves::new();
    for (index, node) in tree.treesync().full_leaves() {
        let leaf = check_leaf(index.u32(), node, certs)?;
        if seen.insert(leaf.device, index.u32()).is_some() {
            return Err(Refusal::DuplicateDevice {
                device: leaf.device,
            });
        }
        leaves.insert(index.u32(), leaf);
    }
    Ok(leaves)
}

/// C.2-2: whoever was neither removed nor added is where they were, and who they were.
fn check_continuity(before: &Leaves, after: &Leaves, delta: &RosterDelta) -> Result<(), Refusal> {
    for (index, old) in before {
        if delta.removed.binary_search(&old.device).is_ok() {
            continue;
        }
        if after.get(index) != Some(old) {
            return Err(Refusal::IdentityChanged { leaf: *index });
        }
    }
    Ok(())
}

/// Returns a delta in its one order.
pub(crate) fn sorted_delta(mut added: Vec<RosterEntry>, mut removed: Vec<DeviceId>) -> RosterDelta {
    added.sort();
    removed.sort();
    RosterDelta { added, removed }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn device(n: u8) -> DeviceId {
        DeviceId::from_bytes([n; 32])
    }

    fn entry(n: u8) -> RosterEntry {
        RosterEntry {
            device: device(n),
            user: UserId::from_bytes([n; 32]),
            key_package: Digest::from_bytes([n; 32]),
        }
    }

    #[test]
    fn a_delta_that_does_not_fit_is_refused() {
        let start = Roster::default()
            .apply(&sorted_delta(vec![entry(1), entry(2)], vec![]))
            .unwrap();
        for (added, removed, fits) in [
            (vec![], vec![], true),
            (vec![3], vec![1], true),
            (vec![1], vec![1], true), // re-added
            (vec![1], vec![], false),
            (vec![], vec![3], false),
            (vec![], vec![1, 2], false),
        ] {
            let delta = sorted_delta(
                added.iter().map(|n| entry(*n)).collect(),
                removed.iter().map(|n| device(*n)).collect(),
            );
            assert_eq!(start.apply(&delta).is_ok(), fits, "+{added:?} -{removed:?}");
        }
    }

    #[test]
    fn a_group_has_at_most_a_thousand_devices() {
        let numbered = |n: u16| {
            let mut bytes = [0; 32];
            bytes[..2].copy_from_slice(&n.to_be_bytes());
            RosterEntry {
                device: DeviceId::from_bytes(bytes),
                ..entry(1)
            }
        };
        let of = |n: u16| {
            let delta = sorted_delta((0..n).map(numbered).collect(), vec![]);
            Roster::default().apply(&delta)
        };
        assert_eq!(of(1000).map(|roster| roster.len()), Ok(1000));
        let max = DEVICES_MAX;
        assert_eq!(of(1001), Err(Refusal::TooManyDevices { len: 1001, max }));
    }

    #[test]
    fn the_hash_covers_every_part_and_the_codec_inverts() {
        let roster = |n: RosterEntry| Roster::default().apply(&sorted_delta(vec![n], vec![]));
        let base = roster(entry(1)).unwrap();
        for change in [
            RosterEntry {
                device: device(9),
                ..entry(1)
            },
            RosterEntry {
                user: UserId::from_bytes([9; 32]),
                ..entry(1)
            },
            RosterEntry {
                key_package: Digest::from_bytes([9; 32]),
                ..entry(1)
            },
        ] {
            assert_ne!(roster(change).unwrap().hash(), base.hash(), "{change:?}");
        }
        let bytes = codec::encode(&base);
        assert_eq!(codec::decode::<Roster>("roster", &bytes).unwrap(), base);
    }
}
