//! Several full segments in one file under one key.
//!
//! ```text
//! header  at 0 and again at 4096: magic 8 ‖ generation u32 ‖ label 16 ‖ count u32 ‖ nonce 24
//!         ‖ sealed(space 32 ‖ (number u32 ‖ end u32) × count) ‖ crc32c u32 ‖ zeros
//! from 8192 on, for each segment: its records, its footer, without its header
//! ```
//!
//! A record keeps its segment's number and its offset, so no row that points to it
//! changes; it is sealed anew under the bundle's key. A file under this name is whole:
//! it was synced under another one. Of two files that hold a segment, the one with the
//! greater generation counts.

use oplog::SpaceId;
use oplog::aead::{self, NONCE_LEN, TAG_LEN};
use oplog::keys::Secret;
use oplog::store::{Label, StoreError};

use crate::disk::DiskFile;
use crate::segment::{FOOTER_BYTES, RECORDS_AT, take};

/// Segments of one bundle at most: what the header's page has room for.
pub(super) const MEMBERS_MAX: usize = 256;
const MAGIC: &[u8; 8] = b"dcntbun1";
const PAGE: usize = 4096;
const FIXED_BYTES: usize = 8 + 4 + 16 + 4 + NONCE_LEN;
const MEMBER_BYTES: usize = 8;
const _: () = assert!(FIXED_BYTES + 32 + MEMBERS_MAX * MEMBER_BYTES + TAG_LEN + 4 <= PAGE);

/// A segment within a bundle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Member {
    pub(super) number: u32,
    /// Where its last record ends, in its own offsets.
    pub(super) end: u32,
}

impl Member {
    /// Bytes it takes in the file.
    pub(super) const fn bytes(self) -> u64 {
        (self.end - RECORDS_AT) as u64 + FOOTER_BYTES as u64
    }
}

/// What a bundle's header says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct BundleHeader {
    pub(super) generation: u32,
    pub(super) label: Label,
    pub(super) space: SpaceId,
    pub(super) members: Vec<Member>,
}

impl BundleHeader {
    /// Reads whichever copy is whole, given how to find a key; `None` when neither is.
    pub(super) fn read(
        file: &impl DiskFile,
        key: impl Fn(Label) -> Option<Secret>,
    ) -> Option<(Self, Secret)> {
        [0, PAGE as u64].into_iter().find_map(|at| {
            let mut page = [0; PAGE];
            file.read_at(at, &mut page).ok()?;
            Self::decode(&page, &key)
        })
    }

    fn decode(page: &[u8], key: &impl Fn(Label) -> Option<Secret>) -> Option<(Self, Secret)> {
        let mut rest = page.strip_prefix(MAGIC)?;
        let generation = u32::from_le_bytes(take(&mut rest)?);
        let label = Label::from_bytes(take(&mut rest)?);
        let count = u32::from_le_bytes(take(&mut rest)?) as usize;
        let nonce: [u8; NONCE_LEN] = take(&mut rest)?;
        (count <= MEMBERS_MAX).then_some(())?;
        let (sealed, crc) = rest.split_at_checked(32 + count * MEMBER_BYTES + TAG_LEN)?;
        let covered = page.get(..FIXED_BYTES + sealed.len())?;
        (crc.first_chunk() == Some(&crc32c::crc32c(covered).to_le_bytes())).then_some(())?;
        let key = key(label)?;
        let ad = page.get(..FIXED_BYTES - NONCE_LEN)?;
        let plain = aead::open(key.as_bytes(), &nonce, ad, sealed).ok()?;
        let mut rest = plain.as_slice();
        let space = SpaceId::from_bytes(take(&mut rest)?);
        let mut members = Vec::with_capacity(count);
        for _ in 0..count {
            let number = u32::from_le_bytes(take(&mut rest)?);
            let end = u32::from_le_bytes(take(&mut rest)?);
            (end >= RECORDS_AT).then_some(())?;
            members.push(Member { number, end });
        }
        let header = Self {
            generation,
            label,
            space,
            members,
        };
        Some((header, key))
    }

    /// Returns the two pages that begin the file.
    pub(super) fn encode(&self, key: &Secret, nonce: &[u8; NONCE_LEN]) -> Vec<u8> {
        let count = u32::try_from(self.members.len()).unwrap_or(u32::MAX);
        let mut page = MAGIC.to_vec();
        page.extend_from_slice(&self.generation.to_le_bytes());
        page.extend_from_slice(self.label.as_bytes());
        page.extend_from_slice(&count.to_le_bytes());
        let mut plain = self.space.as_bytes().to_vec();
        for member in &self.members {
            plain.extend_from_slice(&member.number.to_le_bytes());
            plain.extend_from_slice(&member.end.to_le_bytes());
        }
        let sealed = aead::seal(key.as_bytes(), nonce, &page, &plain);
        page.extend_from_slice(nonce);
        page.extend_from_slice(&sealed);
        page.extend_from_slice(&crc32c::crc32c(&page).to_le_bytes());
        page.resize(PAGE, 0);
        page.repeat(2)
    }

    /// Returns each segment and where its bytes begin in the file.
    pub(super) fn places(&self) -> impl Iterator<Item = (Member, u64)> {
        let mut at = u64::from(RECORDS_AT);
        self.members.iter().map(move |member| {
            let here = at;
            at += member.bytes();
            (*member, here)
        })
    }
}

/// A segment's part of a bundle, read as if it were a file of its own. Never written to.
pub(super) struct Part<'a, F> {
    pub(super) file: &'a F,
    /// Where its bytes begin.
    pub(super) at: u64,
    /// How long its own file would be.
    pub(super) size: u64,
}

impl<F: DiskFile> Part<'_, F> {
    fn place(&self, offset: u64) -> Option<u64> {
        Some(self.at + offset.checked_sub(u64::from(RECORDS_AT))?)
    }
}

impl<F: DiskFile> DiskFile for Part<'_, F> {
    fn size(&self) -> Result<u64, StoreError> {
        let there = self.file.size()?.saturating_sub(self.at);
        Ok(self.size.min(u64::from(RECORDS_AT) + there))
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<(), StoreError> {
        let inside = offset + buf.len() as u64 <= self.size;
        let place = self.place(offset).filter(|_| inside);
        let place = place.ok_or_else(|| crate::disk::damaged("beyond a segment of a bundle"))?;
        self.file.read_at(place, buf)
    }

    fn write_at(&self, _: u64, _: &[u8]) -> Result<(), StoreError> {
        Err(never_written())
    }

    fn set_len(&self, _: u64) -> Result<(), StoreError> {
        Err(never_written())
    }

    fn sync(&self) -> Result<(), StoreError> {
        self.file.sync()
    }
}

fn never_written() -> StoreError {
    crate::disk::failed("write to a bundle", "it never changes")
}
