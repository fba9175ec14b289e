//! One file of sealed records: a header, records, and a footer once it is full.
//!
//! ```text
//! header  at 0 and again at 4096, 104 bytes each; records begin at 8192
//!         magic 8 ‖ number u32 ‖ label 16 ‖ nonce 24 ‖ sealed(space 32) 48 ‖ crc32c u32 ‖ zeros
//! record  len u32 ‖ crc32c u32 ‖ nonce 24 ‖ sealed(len bytes) len + 16
//! footer  0xffffffff ‖ crc32c u32 ‖ count u32 ‖ H("segment", BLAKE3 of each record…) 32
//! ```
//!
//! Integers are little-endian. The crc of a record covers segment number, offset,
//! length and nonce, so that a place where a record begins can be told from any
//! other without the key; the seal covers the rest and binds Space, segment and
//! offset. The key lies in the vault under `label`: erase it there and the file
//! is noise.
//!
//! # Invariants
//! - A record is returned only when every byte of it is what was written, at this very place.
//! - Damage costs the records it hits and no other: scanning finds the next one.

use oplog::SpaceId;
use oplog::aead::{self, NONCE_LEN, TAG_LEN};
use oplog::hash::H;
use oplog::keys::Secret;
use oplog::store::{Label, Location, StoreError};

use crate::disk::{DiskFile, damaged};

/// A segment takes no record beyond this size, unless it is the first. From `docs/storage.md`.
pub const SEGMENT_BYTES: u32 = 8 * 1024 * 1024;
/// Where records begin.
pub(crate) const RECORDS_AT: u32 = 8192;
/// Where the second copy of the header stands: in another page, so that one bad page spares it.
const SECOND_HEADER_AT: u64 = 4096;
const HEADER_BYTES: usize = 104;
const MAGIC: &[u8; 8] = b"dcntseg1";
/// Bytes before the sealed part of a record.
const HEAD_BYTES: usize = 32;
/// What sealing a record adds to it.
const RECORD_OVERHEAD: u32 = 48;
const _: () = assert!(RECORD_OVERHEAD as usize == HEAD_BYTES + TAG_LEN);
const RECORD_AD_BYTES: usize = 6 + 32 + 4 + 4;
const FOOTER_MARK: u32 = u32::MAX;
pub(crate) const FOOTER_BYTES: u32 = 44;
/// How much of a file is read at once when scanning.
const WINDOW_BYTES: usize = 256 * 1024;

/// What seals the records of one segment, and what they are bound to.
#[derive(Clone, Debug)]
pub struct SegmentContext {
    /// Whose log.
    pub space: SpaceId,
    /// Which segment of it.
    pub number: u32,
    /// The segment's key.
    pub key: Secret,
}

/// A segment's header, still sealed.
pub(crate) struct Header {
    pub(crate) number: u32,
    pub(crate) label: Label,
    nonce: [u8; NONCE_LEN],
    sealed: Vec<u8>,
}

impl Header {
    /// Reads whichever copy is whole; `None` when neither is.
    pub(crate) fn read(file: &impl DiskFile) -> Option<Self> {
        [0, SECOND_HEADER_AT].into_iter().find_map(|at| {
            let mut bytes = [0; HEADER_BYTES];
            file.read_at(at, &mut bytes).ok()?;
            Self::decode(&bytes)
        })
    }

    fn decode(bytes: &[u8; HEADER_BYTES]) -> Option<Self> {
        let (body, crc) = bytes.split_last_chunk::<4>()?;
        let mut rest = body.strip_prefix(MAGIC)?;
        if crc32c::crc32c(body) != u32::from_le_bytes(*crc) {
            return None;
        }
        Some(Self {
            number: u32::from_le_bytes(take(&mut rest)?),
            label: Label::from_bytes(take(&mut rest)?),
            nonce: take(&mut rest)?,
            sealed: rest.to_vec(),
        })
    }

    /// Says whose log this is, given the key that `label` names.
    pub(crate) fn open(&self, key: &Secret) -> Option<SpaceId> {
        let ad = header_ad(self.number, self.label);
        let space = aead::open(key.as_bytes(), &self.nonce, &ad, &self.sealed).ok()?;
        Some(SpaceId::from_bytes(space.try_into().ok()?))
    }
}

impl SegmentContext {
    /// Returns the bytes a new segment begins with.
    #[must_use]
    pub fn header(&self, label: Label, nonce: &[u8; NONCE_LEN]) -> Vec<u8> {
        let ad = header_ad(self.number, label);
        let sealed = aead::seal(self.key.as_bytes(), nonce, &ad, self.space.as_bytes());
        let mut one = Vec::with_capacity(HEADER_BYTES);
        one.extend_from_slice(MAGIC);
        one.extend_from_slice(&self.number.to_le_bytes());
        one.extend_from_slice(label.as_bytes());
        one.extend_from_slice(nonce);
        one.extend_from_slice(&sealed);
        one.extend_from_slice(&crc32c::crc32c(&one).to_le_bytes());
        let mut page = one;
        page.resize(4096, 0);
        page.repeat(2)
    }

    /// Appends to `out` the record that stands at `offset` of the segment.
    ///
    /// # Errors
    /// [`StoreError::Full`] for a record too long for its length field.
    pub fn seal(
        &self,
        offset: u32,
        nonce: &[u8; NONCE_LEN],
        plain: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<Location, StoreError> {
        let len = u32::try_from(plain.len()).unwrap_or(u32::MAX);
        let whole = len.checked_add(RECORD_OVERHEAD).ok_or(StoreError::Full)?;
        offset.checked_add(whole).ok_or(StoreError::Full)?;
        out.extend_from_slice(&len.to_le_bytes());
        out.extend_from_slice(&self.head_crc(offset, len, nonce).to_le_bytes());
        out.extend_from_slice(nonce);
        let ad = self.record_ad(offset);
        out.extend_from_slice(&aead::seal(self.key.as_bytes(), nonce, &ad, plain));
        Ok(Location {
            segment: self.number,
            offset,
            len: whole,
        })
    }

    /// Opens the record that was read at `offset`.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] when it is not, to the byte, what [`SegmentContext::seal`] made.
    pub fn open(&self, offset: u32, record: &[u8]) -> Result<Vec<u8>, StoreError> {
        self.try_open(offset, record).ok_or_else(|| {
            damaged(format!(
                "record at {offset} of segment {} of {}",
                self.number,
                self.space.short()
            ))
        })
    }

    fn try_open(&self, offset: u32, record: &[u8]) -> Option<Vec<u8>> {
        let head = self.head(offset, record)?;
        let (nonce, sealed) = (head.nonce, record.get(HEAD_BYTES..)?);
        if sealed.len() != usize::try_from(head.len).ok()? + TAG_LEN {
            return None;
        }
        let ad = self.record_ad(offset);
        aead::open(self.key.as_bytes(), &nonce, &ad, sealed).ok()
    }

    fn head(&self, offset: u32, bytes: &[u8]) -> Option<Head> {
        let mut rest = bytes;
        let len = u32::from_le_bytes(take(&mut rest)?);
        let crc = u32::from_le_bytes(take(&mut rest)?);
        let nonce = take(&mut rest)?;
        let whole = self.head_crc(offset, len, &nonce) == crc && len != FOOTER_MARK;
        whole.then_some(Head { len, nonce })
    }

    fn head_crc(&self, offset: u32, len: u32, nonce: &[u8; NONCE_LEN]) -> u32 {
        let crc = crc32c::crc32c(&self.number.to_le_bytes());
        let crc = crc32c::crc32c_append(crc, &offset.to_le_bytes());
        let crc = crc32c::crc32c_append(crc, &len.to_le_bytes());
        crc32c::crc32c_append(crc, nonce)
    }

    /// Every field has a fixed length, so plain concatenation cannot be read two ways.
    fn record_ad(&self, offset: u32) -> [u8; RECORD_AD_BYTES] {
        let mut ad = [0; RECORD_AD_BYTES];
        let (name, rest) = ad.split_at_mut(6);
        let (space, rest) = rest.split_at_mut(32);
        let (number, at) = rest.split_at_mut(4);
        name.copy_from_slice(b"record");
        space.copy_from_slice(self.space.as_bytes());
        number.copy_from_slice(&self.number.to_le_bytes());
        at.copy_from_slice(&offset.to_le_bytes());
        ad
    }

    fn footer_crc(&self, offset: u32, body: &[u8]) -> u32 {
        let crc = crc32c::crc32c(&self.number.to_le_bytes());
        let crc = crc32c::crc32c_append(crc, &offset.to_le_bytes());
        crc32c::crc32c_append(crc, body)
    }

    /// Returns the footer for the records up to `end`, by reading them.
    pub(crate) fn footer(&self, file: &impl DiskFile, end: u32) -> Result<Vec<u8>, StoreError> {
        let body = self.tally(file, end)?;
        let mut out = FOOTER_MARK.to_le_bytes().to_vec();
        out.extend_from_slice(&self.footer_crc(end, &body).to_le_bytes());
        out.extend_from_slice(&body);
        Ok(out)
    }

    /// Says whether a full segment is, to the byte, what it was when its footer was written;
    /// `None` when it has no footer. Needs no key: an operator can check what he cannot read.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn verify(&self, file: &impl DiskFile) -> Result<Option<bool>, StoreError> {
        let size = u32::try_from(file.size()?).map_err(|_long| damaged("segment size"))?;
        let Some(end) = size.checked_sub(FOOTER_BYTES) else {
            return Ok(None);
        };
        let mut footer = [0; FOOTER_BYTES as usize];
        file.read_at(u64::from(end), &mut footer)?;
        match self.footer_body(end, &footer) {
            None => Ok(None),
            Some(body) => Ok(Some(self.tally(file, end).is_ok_and(|tally| tally == body))),
        }
    }

    fn footer_body(&self, offset: u32, bytes: &[u8]) -> Option<Vec<u8>> {
        let mut rest = bytes.get(..FOOTER_BYTES as usize)?;
        let mark = u32::from_le_bytes(take(&mut rest)?);
        let crc = u32::from_le_bytes(take(&mut rest)?);
        let whole = mark == FOOTER_MARK && self.footer_crc(offset, rest) == crc;
        whole.then(|| rest.to_vec())
    }

    fn tally(&self, file: &impl DiskFile, end: u32) -> Result<Vec<u8>, StoreError> {
        let mut window = Window::default();
        let (mut at, mut count, mut hash) = (RECORDS_AT, 0_u32, H::new("segment"));
        while at < end {
            let bytes = window.bytes(file, at, HEAD_BYTES, end)?;
            let head = self.head(at, bytes).ok_or_else(|| damaged("a record"))?;
            let whole = head.whole().ok_or_else(|| damaged("a record"))?;
            let bytes = window.bytes(file, at, whole as usize, end)?;
            hash = hash.field(blake3::hash(bytes).as_bytes());
            (at, count) = (at + whole, count + 1);
        }
        Ok([&count.to_le_bytes(), hash.finish().as_slice()].concat())
    }
}

struct Head {
    len: u32,
    nonce: [u8; NONCE_LEN],
}

impl Head {
    fn whole(&self) -> Option<u32> {
        self.len.checked_add(RECORD_OVERHEAD)
    }
}

/// What a scan comes upon.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scanned {
    /// A whole record.
    Record(Location, Vec<u8>),
    /// Bytes that are no record, with whole records behind them.
    Bad(Location),
    /// Nothing more: the last whole record ends here.
    End {
        /// Where.
        at: u32,
        /// The segment has its footer.
        full: bool,
    },
}

/// Reads a segment from some place to its end, past all damage.
#[derive(Debug)]
pub struct Scanner {
    context: SegmentContext,
    at: u32,
    until: u32,
    window: Window,
}

impl Scanner {
    /// Begins at `from`, which must be where a record begins.
    ///
    /// # Errors
    /// When the file cannot be measured.
    pub fn new(
        context: SegmentContext,
        file: &impl DiskFile,
        from: u32,
    ) -> Result<Self, StoreError> {
        let size = u32::try_from(file.size()?).unwrap_or(u32::MAX);
        Ok(Self {
            context,
            at: from.max(RECORDS_AT),
            until: size,
            window: Window::default(),
        })
    }

    /// Returns the next thing in the file. After `End` it stays `End`.
    ///
    /// # Errors
    /// When the file cannot be read; damage is no error.
    pub fn next_in(&mut self, file: &impl DiskFile) -> Result<Scanned, StoreError> {
        let start = self.at;
        let mut at = start;
        while at < self.until {
            match self.probe(file, at)? {
                Probe::Record(location, plain) if at == start => {
                    self.at = location.offset + location.len;
                    return Ok(Scanned::Record(location, plain));
                }
                Probe::Footer if at == start => {
                    return Ok(Scanned::End {
                        at: start,
                        full: true,
                    });
                }
                // A head that is whole before a body that is not: the length holds, go past it.
                Probe::Broken(whole)
                    if at == start
                        && whole < self.until - at
                        && self.begins(file, at + whole)? =>
                {
                    return Ok(self.bad(start, at + whole));
                }
                Probe::Record(..) | Probe::Footer => return Ok(self.bad(start, at)),
                Probe::Broken(_) | Probe::Nothing => at += 1,
            }
        }
        Ok(Scanned::End {
            at: start,
            full: false,
        })
    }

    fn bad(&mut self, start: u32, end: u32) -> Scanned {
        self.at = end;
        Scanned::Bad(Location {
            segment: self.context.number,
            offset: start,
            len: end - start,
        })
    }

    fn begins(&mut self, file: &impl DiskFile, at: u32) -> Result<bool, StoreError> {
        Ok(!matches!(self.probe(file, at)?, Probe::Nothing))
    }

    fn probe(&mut self, file: &impl DiskFile, at: u32) -> Result<Probe, StoreError> {
        let left = (self.until - at) as usize;
        if left < HEAD_BYTES {
            return Ok(Probe::Nothing);
        }
        let n = left.min(FOOTER_BYTES as usize);
        let bytes = self.window.bytes(file, at, n, self.until)?;
        if self.context.footer_body(at, bytes).is_some() {
            return Ok(Probe::Footer);
        }
        let Some(head) = self.context.head(at, bytes) else {
            return Ok(Probe::Nothing);
        };
        let Some(whole) = head.whole() else {
            return Ok(Probe::Nothing);
        };
        if whole as usize > left {
            return Ok(Probe::Broken(whole));
        }
        let bytes = self.window.bytes(file, at, whole as usize, self.until)?;
        Ok(match self.context.try_open(at, bytes) {
            Some(plain) => Probe::Record(
                Location {
                    segment: self.context.number,
                    offset: at,
                    len: whole,
                },
                plain,
            ),
            None => Probe::Broken(whole),
        })
    }
}

enum Probe {
    Record(Location, Vec<u8>),
    /// A good head, a bad body; the whole record would have this many bytes.
    Broken(u32),
    Footer,
    Nothing,
}

/// A part of a file, read ahead.
#[derive(Debug, Default)]
struct Window {
    start: u32,
    bytes: Vec<u8>,
}

impl Window {
    fn bytes(
        &mut self,
        file: &impl DiskFile,
        at: u32,
        len: usize,
        until: u32,
    ) -> Result<&[u8], StoreError> {
        let inside = |w: &Self| {
            let from = usize::try_from(at.checked_sub(w.start)?).ok()?;
            let to = from.checked_add(len)?;
            (to <= w.bytes.len()).then_some((from, to))
        };
        if inside(self).is_none() {
            let left = until.saturating_sub(at) as usize;
            self.bytes.resize(left.min(len.max(WINDOW_BYTES)), 0);
            self.start = at;
            file.read_at(u64::from(at), &mut self.bytes)?;
        }
        inside(self)
            .and_then(|(from, to)| self.bytes.get(from..to))
            .ok_or_else(|| damaged("a segment is shorter than it was"))
    }
}

fn header_ad(number: u32, label: Label) -> Vec<u8> {
    [MAGIC.as_slice(), &number.to_le_bytes(), label.as_bytes()].concat()
}

/// Cuts `N` bytes from the front.
pub(crate) fn take<const N: usize>(from: &mut &[u8]) -> Option<[u8; N]> {
    let (head, rest) = from.split_first_chunk::<N>()?;
    *from = rest;
    Some(*head)
}
