//! Reading logs: records, segments, how far they go.

use std::collections::BTreeSet;

use oplog::SpaceId;
use oplog::store::{Label, Location, StoreError};

use super::bundle::Part;
use super::{Log, Mark, Segment};
use crate::disk::{Disk, DiskFile, damaged};
use crate::segment::{FOOTER_BYTES, RECORDS_AT, Scanned, Scanner};

impl<D: Disk> Log<D> {
    /// Reads a record, staged or written.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] when it is not there as it was appended.
    pub fn read(&self, space: &SpaceId, at: &Location) -> Result<Vec<u8>, StoreError> {
        let segment = self.segment(space, at.segment)?;
        let end = at.offset.checked_add(at.len);
        if end.is_none_or(|end| end > segment.end) {
            return Err(damaged(format!(
                "record at {} of segment {}: beyond the end",
                at.offset, at.segment
            )));
        }
        let mut bytes = vec![0; at.len as usize];
        if at.offset < segment.written {
            self.with_segment(space, at.segment, |file| {
                file.read_at(u64::from(at.offset), &mut bytes)
            })?;
        } else {
            let staged = self.staged.iter().find_map(|w| {
                let here = w.space == *space && w.segment == at.segment;
                let from = at.offset.checked_sub(w.offset).filter(|_| here)? as usize;
                w.bytes.get(from..from + bytes.len())
            });
            bytes.copy_from_slice(staged.ok_or_else(|| damaged("a staged record"))?);
        }
        segment.context.open(at.offset, &bytes)
    }

    /// Returns a scanner over one segment, from `from` bytes on.
    ///
    /// # Errors
    /// When there is no such segment, or the disk fails.
    pub fn scanner(&self, space: &SpaceId, number: u32, from: u32) -> Result<Scanner, StoreError> {
        let context = self.segment(space, number)?.context.clone();
        self.with_segment(space, number, |file| Scanner::new(context, &file, from))
    }

    /// Moves a scanner on.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn scan_next(
        &self,
        space: &SpaceId,
        number: u32,
        scanner: &mut Scanner,
    ) -> Result<Scanned, StoreError> {
        self.with_segment(space, number, |file| scanner.next_in(&file))
    }

    /// Returns the Spaces that have a log.
    pub fn spaces(&self) -> impl Iterator<Item = SpaceId> {
        self.spaces.keys().copied()
    }

    /// Returns the numbers of a Space's segments, in order.
    #[must_use]
    pub fn segments(&self, space: &SpaceId) -> Vec<u32> {
        let log = self.spaces.get(space);
        log.map_or_else(Vec::new, |l| l.segments.keys().copied().collect())
    }

    /// Returns the labels of every segment's key.
    #[must_use]
    pub fn labels(&self) -> BTreeSet<Label> {
        let segments = self.spaces.values().flat_map(|l| l.segments.values());
        segments.map(|s| s.label).collect()
    }

    /// Returns where the log of a Space ends, staged records counted.
    #[must_use]
    pub fn end(&self, space: &SpaceId) -> Mark {
        self.newest(space).map_or(Mark::default(), |s| Mark {
            segment: s.context.number,
            end: s.end,
        })
    }

    /// Returns where the log of a Space ends, staged records not counted.
    #[must_use]
    pub fn written_end(&self, space: &SpaceId) -> Mark {
        let log = self.spaces.get(space);
        let written = log.and_then(|l| l.segments.values().rfind(|s| s.written > 0));
        written.map_or(Mark::default(), |s| Mark {
            segment: s.context.number,
            end: s.written,
        })
    }

    /// Returns where one segment ends; 0 when there is none.
    #[must_use]
    pub fn segment_end(&self, space: &SpaceId, number: u32) -> u32 {
        self.segment(space, number).map_or(0, |s| s.written)
    }

    /// Returns the bytes of all logs.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        let segments = self.spaces.values().flat_map(|l| l.segments.values());
        segments.map(|s| u64::from(s.written)).sum()
    }

    /// Checks every full segment against its footer; returns those that fail.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn verify(&self) -> Result<Vec<(SpaceId, u32)>, StoreError> {
        let mut wrong = Vec::new();
        for (space, log) in &self.spaces {
            for (number, segment) in &log.segments {
                let found =
                    self.with_segment(space, *number, |file| segment.context.verify(&file))?;
                if found == Some(false) {
                    wrong.push((*space, *number));
                }
            }
        }
        Ok(wrong)
    }

    pub(super) fn newest(&self, space: &SpaceId) -> Option<&Segment> {
        self.spaces.get(space)?.segments.values().next_back()
    }

    pub(super) fn segment(&self, space: &SpaceId, number: u32) -> Result<&Segment, StoreError> {
        let log = self.spaces.get(space);
        let found = log.and_then(|l| l.segments.get(&number));
        found.ok_or_else(|| damaged(format!("segment {number} of {}", space.short())))
    }

    /// Lets `act` read a segment as if it had a file of its own.
    pub(super) fn with_segment<T>(
        &self,
        space: &SpaceId,
        number: u32,
        act: impl FnOnce(Part<'_, D::File>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let segment = self.segment(space, number)?;
        let whole = (u64::from(RECORDS_AT), u64::MAX);
        let (at, size) = segment.within.map_or(whole, |(_, at)| {
            (at, u64::from(segment.end) + u64::from(FOOTER_BYTES))
        });
        self.with_file(space, number, |file| act(Part { file, at, size }))
    }

    /// Lets `act` use the file that holds a segment.
    pub(super) fn with_file<T>(
        &self,
        space: &SpaceId,
        number: u32,
        act: impl FnOnce(&D::File) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let name = self.segment(space, number)?.file();
        let path = || self.path(space, name);
        self.files.with((*space, name), path, act)
    }
}
