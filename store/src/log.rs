//! The logs of all Spaces: one folder each, one file a segment.
//!
//! A folder's name is a hash of the Space under a key that lies in the vault, so
//! names tell nothing; which Space it is stands sealed in every file's header.
//! Full segments may be merged into one file ([`bundle`]), where they keep their numbers.
//! Appending stages bytes in memory; [`Log::write_staged`] writes them, and
//! [`Log::sync`] makes them durable. The same staged bytes can be written again
//! after a crash ([`Log::redo`]), which is how a commit that also touched secrets
//! or kept rows becomes whole.
//!
//! # Invariants
//! - A segment grows at its end only, and only the newest one grows.
//! - When a segment is begun, the one before is whole and synced first.
//! - A location means the same record for as long as the record is there.

mod bundle;
mod files;
mod merge;
mod open;
mod read;

use core::fmt;
use std::collections::{BTreeMap, BTreeSet};

use oplog::SpaceId;
use oplog::hash::hash16;
use oplog::keys::Secret;
use oplog::store::{Label, Location, StoreError};

use crate::chance::Chance;
use crate::disk::{Disk, DiskFile, damaged, write_again};
use crate::segment::{RECORDS_AT, SegmentContext};
use files::{FileName, Files, folder_of};
pub(crate) use merge::Merging;

/// The folder of all logs.
const LOG_DIR: &str = "log";
/// A position in the log of a Space: everything before `end` of `segment`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mark {
    /// The segment.
    pub segment: u32,
    /// Bytes of it.
    pub end: u32,
}

/// Bytes that go to one place of one segment.
#[derive(Clone, PartialEq, Eq)]
pub struct Write {
    /// Whose log.
    pub space: SpaceId,
    /// Which segment.
    pub segment: u32,
    /// Where; 0 begins a new file.
    pub offset: u32,
    /// What: sealed records, after a header when the file is new.
    pub bytes: Vec<u8>,
}

impl fmt::Debug for Write {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (segment, offset, len) = (self.segment, self.offset, self.bytes.len());
        write!(f, "Write({segment}@{offset}+{len})")
    }
}

/// The logs of all Spaces.
pub struct Log<D: Disk> {
    files: Files<D>,
    /// A segment takes no record beyond this size, unless it is the first.
    segment_bytes: u32,
    name_key: Secret,
    spaces: BTreeMap<SpaceId, SpaceLog>,
    staged: Vec<Write>,
    /// Segments begun since the last commit.
    begun: Vec<Begun>,
    /// Folders with names that are not synced.
    dirty_dirs: BTreeSet<String>,
}

struct Begun {
    space: SpaceId,
    number: u32,
    label: Label,
    /// Whether the segment before took no more records already.
    before_full: bool,
}

#[derive(Default)]
struct SpaceLog {
    folder: String,
    segments: BTreeMap<u32, Segment>,
    /// How often the content of each bundle was merged.
    generations: BTreeMap<u32, u32>,
    /// Also above files that cannot be read.
    next_number: u32,
}

#[derive(Clone)]
struct Segment {
    label: Label,
    context: SegmentContext,
    /// Where the next record goes, staged ones counted.
    end: u32,
    /// Where the next record goes, staged ones not counted.
    written: u32,
    /// Takes no more records.
    full: bool,
    /// The bundle that holds it, and where in it; a file of its own when none.
    within: Option<(u32, u64)>,
    /// Some of it could not be read when it was to be merged.
    damaged: bool,
}

impl Segment {
    const fn new(label: Label, context: SegmentContext, end: u32, written: u32) -> Self {
        Self {
            label,
            context,
            end,
            written,
            full: false,
            within: None,
            damaged: false,
        }
    }

    const fn file(&self) -> FileName {
        match self.within {
            Some((bundle, _)) => FileName::Bundle(bundle),
            None => FileName::Segment(self.context.number),
        }
    }
}

impl<D: Disk> Log<D> {
    /// Makes the log of a Space exist; nothing happens when it does.
    pub fn begin_space(&mut self, space: &SpaceId, chance: &mut Chance) {
        if self.newest(space).is_none() {
            self.begin_segment(space, chance);
        }
    }

    /// Stages a record and says where it will be.
    ///
    /// # Errors
    /// [`StoreError::Full`] when it is too long for any segment.
    pub fn append(
        &mut self,
        space: &SpaceId,
        record: &[u8],
        chance: &mut Chance,
    ) -> Result<Location, StoreError> {
        let len = u32::try_from(record.len()).map_err(|_long| StoreError::Full)?;
        let limit = self.segment_bytes;
        let fits = |s: &Segment| {
            let end = s.end.saturating_add(len);
            !s.full && (end <= limit || s.end == RECORDS_AT)
        };
        if !self.newest(space).is_some_and(fits) {
            self.begin_segment(space, chance);
        }
        let nonce = chance.nonce();
        let newest = self.spaces.get_mut(space).and_then(|log| {
            let mut segments = log.segments.values_mut();
            segments.next_back()
        });
        let segment = newest.ok_or_else(|| damaged("a log without segments"))?;
        let at = Location {
            segment: segment.context.number,
            offset: segment.end,
            len: 0,
        };
        // Straight into what is staged: the body is copied once, when it is sealed.
        let staged = staged_for(&mut self.staged, *space, at.segment, at.offset);
        let at = segment
            .context
            .seal(at.offset, &nonce, record, &mut staged.bytes)?;
        segment.end = at.offset + at.len;
        Ok(at)
    }

    /// Returns what is staged.
    #[must_use]
    pub fn staged(&self) -> &[Write] {
        &self.staged
    }

    /// Returns the label and key of every segment begun since the last commit: they must be in
    /// the vault before [`Log::write_staged`].
    pub fn begun_keys(&self) -> impl Iterator<Item = (Label, &Secret)> {
        self.begun.iter().filter_map(|begun| {
            let segment = self.segment(&begun.space, begun.number).ok()?;
            Some((begun.label, &segment.context.key))
        })
    }

    /// Writes what is staged. May be called again after an error: the same bytes go to the same
    /// places. All of it stays staged until [`Log::settle_staged`] or [`Log::drop_staged`].
    ///
    /// # Errors
    /// [`StoreError::Full`] or when the disk fails; what was written stays, beyond every mark.
    pub fn write_staged(&mut self) -> Result<(), StoreError> {
        let staged = core::mem::take(&mut self.staged);
        let written = staged.iter().try_for_each(|w| self.put(w));
        self.staged = staged;
        written?;
        let begun: Vec<_> = self.begun.iter().map(|b| (b.space, b.number)).collect();
        for (space, number) in begun {
            self.seal_before(&space, number)?;
        }
        Ok(())
    }

    /// Takes what was written for good.
    pub fn settle_staged(&mut self) {
        self.begun.clear();
        for write in core::mem::take(&mut self.staged) {
            let log = self.spaces.get_mut(&write.space);
            if let Some(segment) = log.and_then(|l| l.segments.get_mut(&write.segment)) {
                segment.written = segment.end;
            }
        }
    }

    /// Forgets what is staged, cutting off what was written of it: durably, so that it comes back
    /// after no power cut either. Returns the labels of keys that no segment needs any more.
    ///
    /// # Errors
    /// When the disk fails. It stays staged then, so that this can be tried again.
    pub fn drop_staged(&mut self) -> Result<BTreeSet<Label>, StoreError> {
        let mut unneeded = BTreeSet::new();
        while let Some(begun) = self.begun.last() {
            let (space, number) = (begun.space, begun.number);
            let (label, before_full) = (begun.label, begun.before_full);
            self.remove_file(&space, FileName::Segment(number))?;
            let log = self.spaces.get(&space);
            let before = log.and_then(|l| l.segments.range(..number).next_back());
            match before.map(|(before, _)| *before) {
                Some(_) if before_full => {}
                // It may have got its footer.
                Some(before) => self.cut_to_written(&space, before)?,
                None => drop(self.spaces.remove(&space)),
            }
            if let Some(log) = self.spaces.get_mut(&space) {
                log.segments.remove(&number);
                if let Some(before) = log.segments.values_mut().next_back() {
                    before.full = before_full;
                }
            }
            unneeded.insert(label);
            self.begun.pop();
        }
        while let Some(write) = self.staged.last() {
            let (space, number) = (write.space, write.segment);
            self.cut_to_written(&space, number)?;
            self.staged.pop();
        }
        Ok(unneeded)
    }

    fn remove_file(&mut self, space: &SpaceId, name: FileName) -> Result<(), StoreError> {
        self.files.close((*space, name));
        let path = self.path(space, name);
        if self.files.disk.open(&path)?.is_some() {
            self.files.disk.remove(&path)?;
            self.files.disk.sync_dir(&self.folder(space))?;
        }
        Ok(())
    }

    /// Makes every written record survive a power cut.
    ///
    /// # Errors
    /// When the disk fails. The caller must not sync again and trust it.
    pub fn sync(&mut self) -> Result<(), StoreError> {
        for at in core::mem::take(&mut self.files.dirty) {
            let path = || self.path(&at.0, at.1);
            self.files.with(at, path, DiskFile::sync)?;
        }
        // Children first: a folder's own name is worth syncing once what it holds is there.
        for dir in core::mem::take(&mut self.dirty_dirs).iter().rev() {
            self.files.disk.sync_dir(dir)?;
        }
        Ok(())
    }

    /// Ends a segment here: cuts off what lies behind unless it is a footer.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn end_segment(
        &mut self,
        space: &SpaceId,
        number: u32,
        end: u32,
        full: bool,
    ) -> Result<(), StoreError> {
        if !full {
            self.with_file(space, number, |file| {
                if file.size()? > u64::from(end) {
                    file.set_len(u64::from(end))?;
                    file.sync()?;
                }
                Ok(())
            })?;
        }
        let log = self.spaces.get_mut(space);
        if let Some(segment) = log.and_then(|l| l.segments.get_mut(&number)) {
            (segment.end, segment.written, segment.full) = (end, end, full);
        }
        Ok(())
    }

    /// Removes the folder of a Space and returns the labels of its keys, for the caller to erase.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn remove_space(&mut self, space: &SpaceId) -> Result<BTreeSet<Label>, StoreError> {
        self.files.close_space(space);
        self.staged.retain(|w| w.space != *space);
        self.begun.retain(|b| b.space != *space);
        let folder = self.folder(space);
        self.dirty_dirs.remove(&folder);
        let disk = &self.files.disk;
        disk.remove_dir(&folder)?;
        if disk.list("")?.iter().any(|name| name == LOG_DIR) {
            disk.sync_dir(LOG_DIR)?;
        }
        let log = self.spaces.remove(space).unwrap_or_default();
        Ok(log.segments.values().map(|s| s.label).collect())
    }

    /// Returns a name of the Space for a row, which tells nothing without the key.
    pub(crate) fn mark_name(&self, space: &SpaceId) -> [u8; 16] {
        hash16("log-mark", &[self.name_key.as_bytes(), space.as_bytes()])
    }

    /// Has the next [`Log::sync`] write this segment from here on: a process that died, or a sync
    /// that failed, may have left it in memory only.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn distrust(&mut self, space: &SpaceId, number: u32, from: u32) -> Result<(), StoreError> {
        let segment = self.segment(space, number)?;
        if segment.within.is_some() {
            // Synced before it had its name, and never written since.
            return Ok(());
        }
        let (name, end) = (segment.file(), segment.written);
        self.with_file(space, number, |file| {
            write_again(file, u64::from(from), u64::from(end))
        })?;
        self.files.dirty.insert((*space, name));
        let folder = self.folder(space);
        self.dirty_dirs
            .extend([String::new(), LOG_DIR.to_owned(), folder]);
        Ok(())
    }

    fn cut_to_written(&mut self, space: &SpaceId, number: u32) -> Result<(), StoreError> {
        let log = self.spaces.get_mut(space);
        let Some(segment) = log.and_then(|l| l.segments.get_mut(&number)) else {
            return Ok(());
        };
        segment.end = segment.written;
        let end = u64::from(segment.written);
        self.with_file(space, number, |file| {
            if file.size()? > end {
                file.set_len(end)?;
                file.sync()?;
            }
            Ok(())
        })
    }

    fn begin_segment(&mut self, space: &SpaceId, chance: &mut Chance) {
        let label = Label::from_bytes(chance.bytes());
        let folder = folder_of(&self.name_key, space);
        let log = self.spaces.entry(*space).or_insert_with(|| SpaceLog {
            folder,
            ..SpaceLog::default()
        });
        let number = log.next_number;
        log.next_number = number.saturating_add(1);
        let context = SegmentContext {
            space: *space,
            number,
            key: Secret::from_bytes(chance.bytes()),
        };
        let header = context.header(label, &chance.nonce());
        let before_full = log
            .segments
            .values_mut()
            .next_back()
            .is_none_or(|last| core::mem::replace(&mut last.full, true));
        let segment = Segment::new(label, context, RECORDS_AT, 0);
        log.segments.insert(number, segment);
        self.begun.push(Begun {
            space: *space,
            number,
            label,
            before_full,
        });
        staged_for(&mut self.staged, *space, number, 0).bytes = header;
    }

    fn put(&mut self, write: &Write) -> Result<(), StoreError> {
        let at = (write.space, FileName::Segment(write.segment));
        let path = self.path(&at.0, at.1);
        if write.offset == 0 && !self.files.holds(at) {
            let folder = self.folder(&write.space);
            self.files.disk.create_dir(&folder)?;
            let file = self.files.disk.create(&path)?;
            self.files.keep(at, file);
            self.dirty_dirs
                .extend([String::new(), LOG_DIR.to_owned(), folder]);
        }
        self.files.dirty.insert(at);
        self.files.with(
            at,
            || path,
            |file| file.write_at(u64::from(write.offset), &write.bytes),
        )
    }

    /// Gives the segment before `number` its footer and syncs it.
    fn seal_before(&mut self, space: &SpaceId, number: u32) -> Result<(), StoreError> {
        let log = self.spaces.get(space);
        let before = log.and_then(|l| l.segments.range(..number).next_back());
        let Some((before, segment)) = before.map(|(n, s)| (*n, s.clone())) else {
            return Ok(());
        };
        if segment.within.is_some() {
            return Ok(());
        }
        self.with_file(space, before, |file| {
            // A segment with damage in it gets no footer; it is whole in no sense.
            if let Ok(footer) = segment.context.footer(file, segment.end) {
                file.write_at(u64::from(segment.end), &footer)?;
            }
            file.sync()
        })?;
        self.files.dirty.remove(&(*space, segment.file()));
        Ok(())
    }

    fn folder(&self, space: &SpaceId) -> String {
        let log = self.spaces.get(space);
        log.map_or_else(|| folder_of(&self.name_key, space), |l| l.folder.clone())
    }

    fn path(&self, space: &SpaceId, name: FileName) -> String {
        format!("{}/{name}", self.folder(space))
    }
}

impl<D: Disk> fmt::Debug for Log<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Log({} spaces)", self.spaces.len())
    }
}

/// Returns what is staged for a segment; begins it at `offset` when there is nothing.
fn staged_for(staged: &mut Vec<Write>, space: SpaceId, segment: u32, offset: u32) -> &mut Write {
    let same = |w: &Write| w.space == space && w.segment == segment;
    let at = staged.iter().position(same).unwrap_or_else(|| {
        staged.push(Write {
            space,
            segment,
            offset,
            bytes: Vec::new(),
        });
        staged.len() - 1
    });
    // Found, or pushed, just above.
    #[expect(clippy::indexing_slicing, reason = "found or pushed just above")]
    &mut staged[at]
}
