//! The MLS state of one device in one epoch: a value, never changed in place.
//!
//! OpenMLS keeps a group as rows of a key-value store. Each epoch has its own copy of all of
//! them, so that branches share nothing (I17): an operation copies the rows of the epoch it
//! starts from, works on the copy, and gives back a new state.

use core::fmt;
use std::collections::BTreeMap;

use minicbor::decode::{Decoder, Error as DecodeError};
use minicbor::encode::{Encoder, Error as EncodeError, Write};
use minicbor::{Decode, Encode};
use oplog::Digest;
use oplog::codec;
use zeroize::Zeroizing;

use crate::digits;
use crate::error::Error;
use crate::roster::Roster;

/// Longest encoded state in bytes; 1,000 devices need about 2 MB before packing.
pub const STATE_BYTES_MAX: usize = 32 * 1024 * 1024;
/// Longest state in bytes once unpacked.
const STATE_UNPACKED_MAX: usize = 64 * 1024 * 1024;
/// Which layout and which OpenMLS wrote the rows: 2 = JSON rows of openmls 0.9, their lists of bytes
/// as bytes ([`digits`]), packed by LZ4. Version 1, without the lists, is read too.
const FORMAT: u8 = 2;
const FORMAT_PLAIN: u8 = 1;

/// Rows of OpenMLS's storage. Secret: wiped when dropped, never shown.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Rows(BTreeMap<Vec<u8>, Zeroizing<Vec<u8>>>);

impl Rows {
    pub(crate) fn from_storage(rows: impl Iterator<Item = (Vec<u8>, Vec<u8>)>) -> Self {
        Self(rows.map(|(k, v)| (k, Zeroizing::new(v))).collect())
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&Vec<u8>, &Zeroizing<Vec<u8>>)> {
        self.0.iter()
    }

    /// Drops every row whose key is also in `other`.
    pub(crate) fn remove_all(&mut self, other: &Self) {
        self.0.retain(|key, _| !other.0.contains_key(key));
    }

    /// Returns how many bytes keys and values have together.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        self.0.iter().map(|(k, v)| k.len() + v.len()).sum()
    }
}

impl fmt::Debug for Rows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Rows({})", self.0.len())
    }
}

impl<C> Encode<C> for Rows {
    fn encode<W: Write>(&self, e: &mut Encoder<W>, _: &mut C) -> Result<(), EncodeError<W::Error>> {
        e.map(self.0.len() as u64)?;
        for (key, value) in &self.0 {
            e.bytes(key)?.bytes(value)?;
        }
        Ok(())
    }
}

impl<'b, C> Decode<'b, C> for Rows {
    fn decode(d: &mut Decoder<'b>, _: &mut C) -> Result<Self, DecodeError> {
        let claimed = d
            .map()?
            .ok_or_else(|| DecodeError::message("indefinite map"))?;
        // Each row read consumes input, so a false claim ends with the input.
        (0..claimed)
            .map(|_| Ok((d.bytes()?.to_vec(), Zeroizing::new(d.bytes()?.to_vec()))))
            .collect::<Result<_, _>>()
            .map(Self)
    }
}

/// One device's view of the group in one epoch, with everything needed to go on from there.
#[derive(Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct GroupState {
    #[n(0)]
    pub(crate) group_id: Digest,
    #[n(1)]
    pub(crate) number: u64,
    #[n(2)]
    pub(crate) roster: Roster,
    #[n(3)]
    pub(crate) rows: Rows,
}

impl GroupState {
    /// Returns the bytes to be sealed and stored. They are secret.
    #[must_use]
    pub fn encode(&self) -> Zeroizing<Vec<u8>> {
        pack(&Zeroizing::new(codec::encode(self)))
    }

    /// Reads [`GroupState::encode`] back.
    ///
    /// # Errors
    /// [`Error::Damaged`] when the bytes are not a state, of another format, or too long.
    pub fn decode(bytes: &[u8]) -> Result<Self, Error> {
        read(&unpack(bytes)?)
    }

    /// Returns the epoch's number: a label, equal on every branch of one height.
    #[must_use]
    pub const fn number(&self) -> u64 {
        self.number
    }

    /// Returns the random id of the MLS group.
    #[must_use]
    pub const fn group_id(&self) -> &Digest {
        &self.group_id
    }

    /// Returns who is in the group.
    #[must_use]
    pub const fn roster(&self) -> &Roster {
        &self.roster
    }

    /// Returns the size of the rows in bytes, before packing.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        self.rows.size_bytes()
    }
}

impl fmt::Debug for GroupState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GroupState")
            .field("number", &self.number)
            .field("devices", &self.roster.len())
            .finish_non_exhaustive()
    }
}

const DAMAGED: Error = Error::Damaged {
    what: "group state",
};

/// Packs secret bytes: format ‖ length before packing ‖ LZ4 block.
pub(crate) fn pack(plain: &[u8]) -> Zeroizing<Vec<u8>> {
    let squeezed = digits::squeeze(plain);
    let packed = Zeroizing::new(lz4_flex::block::compress_prepend_size(&squeezed));
    Zeroizing::new([&[FORMAT], packed.as_slice()].concat())
}

/// Reads exactly one value from bytes that we wrote. They are not encoded again to compare, as
/// [`codec::decode`] does with what others wrote: that would only leave one more secret copy.
pub(crate) fn read<T: for<'b> Decode<'b, ()>>(bytes: &[u8]) -> Result<T, Error> {
    let mut decoder = Decoder::new(bytes);
    let value = decoder.decode().map_err(|_cause| DAMAGED)?;
    if decoder.position() == bytes.len() {
        Ok(value)
    } else {
        Err(DAMAGED)
    }
}

/// Reverses [`pack`]. The claimed length is checked before anything is allocated for it.
pub(crate) fn unpack(bytes: &[u8]) -> Result<Zeroizing<Vec<u8>>, Error> {
    if bytes.len() > STATE_BYTES_MAX {
        return Err(DAMAGED);
    }
    let Some((format, packed)) = bytes.split_first() else {
        return Err(DAMAGED);
    };
    if *format != FORMAT && *format != FORMAT_PLAIN {
        return Err(DAMAGED);
    }
    let (len, block) = lz4_flex::block::uncompressed_size(packed).map_err(|_cause| DAMAGED)?;
    if len > STATE_UNPACKED_MAX {
        return Err(DAMAGED);
    }
    let plain = lz4_flex::block::decompress(block, len).map_err(|_cause| DAMAGED)?;
    let plain = Zeroizing::new(plain);
    // A shorter result than claimed is not what `pack` wrote.
    if plain.len() != len {
        return Err(DAMAGED);
    }
    if *format == FORMAT_PLAIN {
        return Ok(plain);
    }
    digits::undo(&plain, STATE_UNPACKED_MAX).ok_or(DAMAGED)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sample() -> GroupState {
        let rows = (0..20u8).map(|i| (vec![i], vec![i; 300]));
        GroupState {
            group_id: Digest::from_bytes([4; 32]),
            number: 3,
            roster: Roster::default(),
            rows: Rows::from_storage(rows),
        }
    }

    #[test]
    fn a_state_comes_back_as_it_was() {
        let bytes = sample().encode();
        assert_eq!(GroupState::decode(&bytes).unwrap(), sample());
        assert!(bytes.len() < sample().size_bytes() / 4, "it is packed");
    }

    #[test]
    fn a_state_that_an_earlier_version_kept_is_read() {
        let plain = codec::encode(&sample());
        let packed = lz4_flex::block::compress_prepend_size(&plain);
        let earlier = [&[FORMAT_PLAIN], packed.as_slice()].concat();
        assert_eq!(GroupState::decode(&earlier).unwrap(), sample());
    }

    #[test]
    fn a_claim_of_four_gigabytes_is_refused_before_it_is_believed() {
        assert!(unpack(&[FORMAT, 0xff, 0xff, 0xff, 0xff, 0]).is_err());
        assert!(unpack(&[FORMAT + 1, 0, 0, 0, 0, 0]).is_err());
        assert!(unpack(&[]).is_err());
    }

    proptest! {
        #[test]
        fn any_bytes_decode_or_fail_cleanly(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = GroupState::decode(&[&[FORMAT], bytes.as_slice()].concat());
        }

        #[test]
        fn any_changed_byte_decodes_or_fails_cleanly(at in any::<prop::sample::Index>(), to in any::<u8>()) {
            let mut bytes = sample().encode();
            let at = at.index(bytes.len());
            bytes[at] = to;
            let _ = GroupState::decode(&bytes);
        }
    }
}
