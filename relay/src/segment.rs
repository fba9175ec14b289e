//! Append-only files of records that prove themselves.
//!
//! A file is a header of 16 bytes and then records: length (u32 big-endian), check (8 bytes),
//! body. The check covers file number, offset and body, so that neither a torn write nor a
//! stale block passes for a record. What follows the last good record is cut off when the
//! file is opened for appending; only writes that were never acknowledged can lie there.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use oplog::hash::H;
use oplog::store::StoreError;

/// Longest record body in bytes: the largest envelope and its fields.
pub(crate) const BODY_BYTES_MAX: usize = 1024 * 1024 + 512;
const HEADER_BYTES: usize = 16;
const HEADER_LEN: u64 = HEADER_BYTES as u64;
const MAGIC: &[u8; 8] = b"decrely1";
const FRAME_LEN: usize = 12;

/// Where a record lies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) file: u32,
    pub(crate) offset: u64,
    pub(crate) len: u32,
}

/// A file open for appending.
#[derive(Debug)]
pub(crate) struct Appender {
    number: u32,
    file: File,
    len: u64,
    dirty: bool,
}

impl Appender {
    /// Creates an empty file. It survives a power cut once this returns.
    pub(crate) fn create(path: &Path, number: u32) -> Result<Self, StoreError> {
        let doing = "create a segment";
        let mut file = OpenOptions::new()
            .create_new(true)
            .append(true)
            .open(path)
            .map_err(io_error(doing))?;
        file.write_all(&header(number)).map_err(io_error(doing))?;
        file.sync_all().map_err(io_error(doing))?;
        sync_parent(path)?;
        Ok(Self {
            number,
            file,
            len: HEADER_LEN,
            dirty: false,
        })
    }

    /// Opens a file whose records were scanned, and cuts off what follows the last good one.
    pub(crate) fn resume(path: &Path, number: u32, good: u64) -> Result<Self, StoreError> {
        let doing = "open a segment";
        let mut file = OpenOptions::new()
            .append(true)
            .open(path)
            .map_err(io_error(doing))?;
        file.set_len(good).map_err(io_error(doing))?;
        if good == 0 {
            file.write_all(&header(number)).map_err(io_error(doing))?;
        }
        file.sync_all().map_err(io_error(doing))?;
        Ok(Self {
            number,
            file,
            len: good.max(HEADER_LEN),
            dirty: false,
        })
    }

    /// Appends a record. After a failure the file is as it was.
    pub(crate) fn append(&mut self, body: &[u8]) -> Result<Place, StoreError> {
        let len = u32::try_from(body.len()).or(Err(StoreError::Full))?;
        let mut record = Vec::with_capacity(FRAME_LEN + body.len());
        record.extend_from_slice(&len.to_be_bytes());
        record.extend_from_slice(&check(self.number, self.len, body));
        record.extend_from_slice(body);
        self.dirty = true;
        if let Err(error) = self.file.write_all(&record) {
            self.file
                .set_len(self.len)
                .map_err(io_error("undo a torn write"))?;
            return Err(io_error("append to a segment")(error));
        }
        let place = Place {
            file: self.number,
            offset: self.len,
            len,
        };
        self.len += record.len() as u64;
        Ok(place)
    }

    pub(crate) fn sync(&mut self) -> Result<(), StoreError> {
        if self.dirty {
            self.file.sync_data().map_err(io_error("sync a segment"))?;
            self.dirty = false;
        }
        Ok(())
    }

    pub(crate) const fn number(&self) -> u32 {
        self.number
    }

    pub(crate) const fn len(&self) -> u64 {
        self.len
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.len <= HEADER_LEN
    }
}

/// Reads one record back.
pub(crate) fn read(path: &Path, place: Place) -> Result<Vec<u8>, StoreError> {
    let doing = "read a segment";
    let mut file = File::open(path).map_err(io_error(doing))?;
    file.seek(SeekFrom::Start(place.offset))
        .map_err(io_error(doing))?;
    let damaged = || StoreError::Damaged {
        what: format!("record at {} of segment {}", place.offset, place.file),
    };
    match read_record(&mut file, place.file, place.offset).map_err(io_error(doing))? {
        Some(body) if body.len() == place.len as usize => Ok(body),
        _ => Err(damaged()),
    }
}

/// Visits every good record from the start, and returns where the good part ends: 0 when
/// already the header is torn.
pub(crate) fn scan(
    path: &Path,
    number: u32,
    mut visit: impl FnMut(Place, &[u8]),
) -> Result<u64, StoreError> {
    let doing = "read a segment";
    let mut file = BufReader::new(File::open(path).map_err(io_error(doing))?);
    let mut start = [0; HEADER_BYTES];
    if !fill(&mut file, &mut start).map_err(io_error(doing))? || start != header(number) {
        return Ok(0);
    }
    let mut at = HEADER_LEN;
    while let Some(body) = read_record(&mut file, number, at).map_err(io_error(doing))? {
        let place = Place {
            file: number,
            offset: at,
            len: u32::try_from(body.len()).unwrap_or(u32::MAX),
        };
        visit(place, &body);
        at += (FRAME_LEN + body.len()) as u64;
    }
    Ok(at)
}

/// Returns the path of a numbered segment.
pub(crate) fn path_of(dir: &Path, number: u32) -> PathBuf {
    dir.join(format!("{number:010}.seg"))
}

/// Returns the numbers of all segments in a folder, ascending.
pub(crate) fn numbers(dir: &Path) -> Result<Vec<u32>, StoreError> {
    let doing = "list segments";
    let mut out = Vec::new();
    for entry in fs::read_dir(dir).map_err(io_error(doing))? {
        let path = entry.map_err(io_error(doing))?.path();
        let stem = path.file_stem().and_then(|s| s.to_str());
        if path.extension().is_some_and(|e| e == "seg")
            && let Some(number) = stem.and_then(|s| s.parse().ok())
        {
            out.push(number);
        }
    }
    out.sort_unstable();
    Ok(out)
}

/// Makes the creation, renaming or removal of a file survive a power cut.
pub(crate) fn sync_parent(path: &Path) -> Result<(), StoreError> {
    // Folders cannot be synced on every system; where they cannot, nothing better exists.
    if cfg!(unix)
        && let Some(parent) = path.parent()
    {
        File::open(parent)
            .and_then(|dir| dir.sync_all())
            .map_err(io_error("sync a folder"))?;
    }
    Ok(())
}

/// Wraps what the operating system said; a full disk is told apart.
pub(crate) fn io_error(doing: &'static str) -> impl Fn(io::Error) -> StoreError {
    move |error| {
        let full = [io::ErrorKind::StorageFull, io::ErrorKind::QuotaExceeded];
        if full.contains(&error.kind()) {
            return StoreError::Full;
        }
        StoreError::Io {
            doing,
            source: Box::new(error),
        }
    }
}

fn header(number: u32) -> [u8; HEADER_BYTES] {
    let mut out = [0; HEADER_BYTES];
    let (magic, rest) = out.split_at_mut(MAGIC.len());
    magic.copy_from_slice(MAGIC);
    rest.split_at_mut(4)
        .0
        .copy_from_slice(&number.to_be_bytes());
    out
}

fn check(number: u32, offset: u64, body: &[u8]) -> [u8; 8] {
    let digest = H::new("relay-record")
        .field(&number.to_be_bytes())
        .field(&offset.to_be_bytes())
        .field(body)
        .finish();
    let mut out = [0; 8];
    out.copy_from_slice(digest.split_at(8).0);
    out
}

/// Reads the record at `at`, `None` when there is no good one.
fn read_record(from: &mut impl Read, number: u32, at: u64) -> io::Result<Option<Vec<u8>>> {
    let mut frame = [0; FRAME_LEN];
    if !fill(from, &mut frame)? {
        return Ok(None);
    }
    let (len, sum) = frame.split_at(4);
    let len = len.try_into().map_or(0, u32::from_be_bytes) as usize;
    if len > BODY_BYTES_MAX {
        return Ok(None);
    }
    let mut body = vec![0; len];
    let whole = fill(from, &mut body)? && sum == check(number, at, &body);
    Ok(whole.then_some(body))
}

/// Fills the buffer; returns false when the file ends before.
fn fill(from: &mut impl Read, buffer: &mut [u8]) -> io::Result<bool> {
    match from.read_exact(buffer) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}
