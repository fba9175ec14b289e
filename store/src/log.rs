//! The logs of all Spaces: one folder each, one file a segment.
//!
//! A folder's name is a hash of the Space under a key that lies in the vault, so
//! names tell nothing; which Space it is stands sealed in every segment's header.
//! Appending stages bytes in memory; [`Log::write_staged`] writes them, and
//! [`Log::sync`] makes them durable. The same staged bytes can be written again
//! after a crash ([`Log::redo`]), which is how a commit that also touched secrets
//! or kept rows becomes whole.
//!
//! # Invariants
//! - A segment grows at its end only, and only the newest one grows.
//! - When a segment is begun, the one before is whole and synced first.

use core::fmt;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use oplog::SpaceId;
use oplog::hash::hash16;
use oplog::keys::Secret;
use oplog::store::{Label, Location, StoreError};

use crate::chance::Chance;
use crate::disk::{Disk, DiskFile, damaged, failed, write_again};
use crate::recovery::BadPart;
use crate::segment::{Header, RECORDS_AT, SEGMENT_BYTES, Scanned, Scanner, SegmentContext};

/// The folder of all logs.
const LOG_DIR: &str = "log";
/// How many files stay open. Guess: far below any limit of a process, far above one page's reads.
const OPEN_FILES_MAX: usize = 64;

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
    disk: D,
    name_key: Secret,
    spaces: BTreeMap<SpaceId, SpaceLog>,
    staged: Vec<Write>,
    /// Segments begun since the last commit.
    begun: Vec<Begun>,
    files: Mutex<BTreeMap<(SpaceId, u32), D::File>>,
    /// Written and not synced.
    dirty: BTreeSet<(SpaceId, u32)>,
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
}

impl<D: Disk> Log<D> {
    /// Finds every segment whose key the vault holds. What cannot be read is reported, not opened.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn open(
        disk: D,
        name_key: Secret,
        key: impl Fn(Label) -> Option<Secret>,
    ) -> Result<(Self, Vec<BadPart>), StoreError> {
        let mut log = Self {
            disk,
            name_key,
            spaces: BTreeMap::new(),
            staged: Vec::new(),
            begun: Vec::new(),
            files: Mutex::default(),
            dirty: BTreeSet::new(),
            dirty_dirs: BTreeSet::new(),
        };
        let mut bad = Vec::new();
        for folder in log.disk.list(LOG_DIR)? {
            log.open_folder(&folder, &key, &mut bad)?;
        }
        Ok((log, bad))
    }

    fn open_folder(
        &mut self,
        folder: &str,
        key: &impl Fn(Label) -> Option<Secret>,
        bad: &mut Vec<BadPart>,
    ) -> Result<(), StoreError> {
        let mut found = SpaceLog {
            folder: format!("{LOG_DIR}/{folder}"),
            ..SpaceLog::default()
        };
        let mut owner = None;
        let mut unreadable = Vec::new();
        for name in self.disk.list(&format!("{LOG_DIR}/{folder}"))? {
            let Some(number) = number_of(&name) else {
                continue;
            };
            let path = format!("{LOG_DIR}/{folder}/{name}");
            let Some(file) = self.disk.open(&path)? else {
                continue;
            };
            found.next_number = found.next_number.max(number.saturating_add(1));
            let size = u32::try_from(file.size()?).unwrap_or(u32::MAX);
            let opened = Header::read(&file).and_then(|header| {
                let key = key(header.label)?;
                let space = header.open(&key)?;
                (header.number == number).then_some((space, header.label, key))
            });
            let Some((space, label, key)) = opened else {
                if size < RECORDS_AT {
                    // A torn beginning, which holds no record.
                    self.disk.remove(&path)?;
                } else {
                    unreadable.push((number, size));
                }
                continue;
            };
            owner = Some(space);
            let context = SegmentContext { space, number, key };
            let end = size.max(RECORDS_AT);
            let segment = Segment {
                label,
                context,
                end,
                written: end,
                full: false,
            };
            found.segments.insert(number, segment);
        }
        bad.extend(unreadable.into_iter().map(|(segment, len)| BadPart {
            space: owner,
            at: Location {
                segment,
                offset: 0,
                len,
            },
        }));
        if let Some(space) = owner {
            self.spaces.insert(space, found);
        }
        Ok(())
    }

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
        let fits = |s: &Segment| {
            let end = s.end.saturating_add(len);
            !s.full && (end <= SEGMENT_BYTES || s.end == RECORDS_AT)
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
        let mut bytes = Vec::new();
        let at = segment
            .context
            .seal(segment.end, &nonce, record, &mut bytes)?;
        segment.end = at.offset + at.len;
        self.stage(*space, at.segment, at.offset, &bytes);
        Ok(at)
    }

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
            self.with_file(space, at.segment, |file| {
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

    /// Writes what is staged. May be called again after an error: the same bytes go to the same places.
    ///
    /// # Errors
    /// [`StoreError::Full`] or when the disk fails; what was written stays, beyond every mark.
    pub fn write_staged(&mut self) -> Result<(), StoreError> {
        let begun: Vec<_> = self.begun.iter().map(|b| (b.space, b.number)).collect();
        let staged = core::mem::take(&mut self.staged);
        let written = staged.iter().try_for_each(|w| self.put(w));
        self.staged = staged;
        written?;
        for (space, number) in begun {
            self.seal_before(&space, number)?;
        }
        self.begun.clear();
        for write in core::mem::take(&mut self.staged) {
            let log = self.spaces.get_mut(&write.space);
            if let Some(segment) = log.and_then(|l| l.segments.get_mut(&write.segment)) {
                segment.written = segment.end;
            }
        }
        Ok(())
    }

    /// Forgets what is staged, cutting off what was written of it. Returns the labels of keys
    /// that no segment needs any more.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn drop_staged(&mut self) -> Result<BTreeSet<Label>, StoreError> {
        let staged = core::mem::take(&mut self.staged);
        let begun = core::mem::take(&mut self.begun);
        let mut unneeded = BTreeSet::new();
        for begun in begun.into_iter().rev() {
            let at = (begun.space, begun.number);
            unneeded.insert(begun.label);
            self.lock_files().remove(&at);
            self.dirty.remove(&at);
            self.disk.remove(&self.path(&at.0, at.1))?;
            let Some(log) = self.spaces.get_mut(&at.0) else {
                continue;
            };
            log.segments.remove(&at.1);
            let before = log.segments.values_mut().next_back().map(|before| {
                before.full = begun.before_full;
                before.context.number
            });
            match before {
                // It may have got its footer.
                Some(before) => self.cut_to_written(&at.0, before)?,
                None => drop(self.spaces.remove(&at.0)),
            }
        }
        for write in staged {
            self.cut_to_written(&write.space, write.segment)?;
        }
        Ok(unneeded)
    }

    /// Makes every written record survive a power cut.
    ///
    /// # Errors
    /// When the disk fails. The caller must not sync again and trust it.
    pub fn sync(&mut self) -> Result<(), StoreError> {
        for (space, number) in core::mem::take(&mut self.dirty) {
            self.with_file(&space, number, DiskFile::sync)?;
        }
        // Children first: a folder's own name is worth syncing once what it holds is there.
        for dir in core::mem::take(&mut self.dirty_dirs).iter().rev() {
            self.disk.sync_dir(dir)?;
        }
        Ok(())
    }

    /// Writes once more what a commit recorded that a crash may have interrupted. Returns
    /// whether anything was missing. Call before [`Log::open`] decides what is there.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn redo(disk: &D, name_key: &Secret, writes: &[Write]) -> Result<bool, StoreError> {
        let mut missing = false;
        for write in writes {
            let folder = folder_of(name_key, &write.space);
            let path = format!("{folder}/{}", name_of(write.segment));
            let file = match disk.open(&path)? {
                Some(file) => file,
                None if write.offset == 0 => {
                    disk.create_dir(&folder)?;
                    disk.create(&path)?
                }
                // The file was there when this was recorded: it is lost for another reason.
                None => continue,
            };
            let mut there = vec![0; write.bytes.len()];
            let offset = u64::from(write.offset);
            if file.read_at(offset, &mut there).is_ok() && there == write.bytes {
                continue;
            }
            missing = true;
            file.write_at(offset, &write.bytes)?;
            file.sync()?;
            for dir in [folder.as_str(), LOG_DIR, ""] {
                disk.sync_dir(dir)?;
            }
        }
        Ok(missing)
    }

    /// Returns a scanner over one segment, from `from` bytes on.
    ///
    /// # Errors
    /// When there is no such segment, or the disk fails.
    pub fn scanner(&self, space: &SpaceId, number: u32, from: u32) -> Result<Scanner, StoreError> {
        let context = self.segment(space, number)?.context.clone();
        self.with_file(space, number, |file| Scanner::new(context, file, from))
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
        self.with_file(space, number, |file| scanner.next_in(file))
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

    /// Removes one file. Its key is the caller's to erase: only that makes it unreadable.
    ///
    /// # Errors
    /// When it is the newest segment, which still grows, or the disk fails.
    pub fn remove_segment(&mut self, space: &SpaceId, number: u32) -> Result<Label, StoreError> {
        let label = self.segment(space, number)?.label;
        if self
            .newest(space)
            .is_some_and(|s| s.context.number == number)
        {
            return Err(failed("erase a segment", "it is the newest"));
        }
        self.lock_files().remove(&(*space, number));
        self.dirty.remove(&(*space, number));
        self.disk.remove(&self.path(space, number))?;
        self.disk.sync_dir(&self.folder(space))?;
        if let Some(log) = self.spaces.get_mut(space) {
            log.segments.remove(&number);
        }
        Ok(label)
    }

    /// Removes the folder of a Space and returns the labels of its keys, for the caller to erase.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn remove_space(&mut self, space: &SpaceId) -> Result<BTreeSet<Label>, StoreError> {
        self.lock_files().retain(|(of, _), _| of != space);
        self.dirty.retain(|(of, _)| of != space);
        self.staged.retain(|w| w.space != *space);
        self.begun.retain(|b| b.space != *space);
        let folder = self.folder(space);
        self.dirty_dirs.remove(&folder);
        self.disk.remove_dir(&folder)?;
        if self.disk.list("")?.iter().any(|name| name == LOG_DIR) {
            self.disk.sync_dir(LOG_DIR)?;
        }
        let log = self.spaces.remove(space).unwrap_or_default();
        Ok(log.segments.values().map(|s| s.label).collect())
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

    /// Has the next [`Log::sync`] write this segment from here on: a process that died, or a sync
    /// that failed, may have left it in memory only.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn distrust(&mut self, space: &SpaceId, number: u32, from: u32) -> Result<(), StoreError> {
        let end = self.segment_end(space, number);
        self.with_file(space, number, |file| {
            write_again(file, u64::from(from), u64::from(end))
        })?;
        self.dirty.insert((*space, number));
        let folder = self.folder(space);
        self.dirty_dirs
            .extend([String::new(), LOG_DIR.to_owned(), folder]);
        Ok(())
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
                let found = self.with_file(space, *number, |file| segment.context.verify(file))?;
                if found == Some(false) {
                    wrong.push((*space, *number));
                }
            }
        }
        Ok(wrong)
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
        let segment = Segment {
            label,
            context,
            end: RECORDS_AT,
            written: 0,
            full: false,
        };
        log.segments.insert(number, segment);
        self.begun.push(Begun {
            space: *space,
            number,
            label,
            before_full,
        });
        self.stage(*space, number, 0, &header);
    }

    fn stage(&mut self, space: SpaceId, segment: u32, offset: u32, bytes: &[u8]) {
        let same = |w: &&mut Write| w.space == space && w.segment == segment;
        if let Some(write) = self.staged.iter_mut().find(same) {
            write.bytes.extend_from_slice(bytes);
        } else {
            self.staged.push(Write {
                space,
                segment,
                offset,
                bytes: bytes.to_vec(),
            });
        }
    }

    fn put(&mut self, write: &Write) -> Result<(), StoreError> {
        let at = (write.space, write.segment);
        if write.offset == 0 && !self.lock_files().contains_key(&at) {
            let folder = self.folder(&write.space);
            self.disk.create_dir(&folder)?;
            let file = self.disk.create(&self.path(&write.space, write.segment))?;
            self.lock_files().insert(at, file);
            self.dirty_dirs
                .extend([String::new(), LOG_DIR.to_owned(), folder]);
        }
        self.dirty.insert(at);
        self.with_file(&write.space, write.segment, |file| {
            file.write_at(u64::from(write.offset), &write.bytes)
        })
    }

    /// Gives the segment before `number` its footer and syncs it.
    fn seal_before(&mut self, space: &SpaceId, number: u32) -> Result<(), StoreError> {
        let log = self.spaces.get(space);
        let before = log.and_then(|l| l.segments.range(..number).next_back());
        let Some((before, segment)) = before.map(|(n, s)| (*n, s.clone())) else {
            return Ok(());
        };
        self.with_file(space, before, |file| {
            // A segment with damage in it gets no footer; it is whole in no sense.
            if let Ok(footer) = segment.context.footer(file, segment.end) {
                file.write_at(u64::from(segment.end), &footer)?;
            }
            file.sync()
        })?;
        self.dirty.remove(&(*space, before));
        Ok(())
    }

    fn newest(&self, space: &SpaceId) -> Option<&Segment> {
        self.spaces.get(space)?.segments.values().next_back()
    }

    fn segment(&self, space: &SpaceId, number: u32) -> Result<&Segment, StoreError> {
        let log = self.spaces.get(space);
        let found = log.and_then(|l| l.segments.get(&number));
        found.ok_or_else(|| damaged(format!("segment {number} of {}", space.short())))
    }

    fn with_file<T>(
        &self,
        space: &SpaceId,
        number: u32,
        act: impl FnOnce(&D::File) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let mut files = self.lock_files();
        if !files.contains_key(&(*space, number)) {
            let file = self.disk.open(&self.path(space, number))?;
            let file = file.ok_or_else(|| damaged(format!("segment {number} is gone")))?;
            if files.len() >= OPEN_FILES_MAX {
                let other = files.keys().find(|at| !self.dirty.contains(at)).copied();
                files.remove(&other.unwrap_or((*space, number)));
            }
            files.insert((*space, number), file);
        }
        match files.get(&(*space, number)) {
            Some(file) => act(file),
            None => Err(damaged("a segment")),
        }
    }

    fn lock_files(&self) -> MutexGuard<'_, BTreeMap<(SpaceId, u32), D::File>> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn folder(&self, space: &SpaceId) -> String {
        let log = self.spaces.get(space);
        log.map_or_else(|| folder_of(&self.name_key, space), |l| l.folder.clone())
    }

    fn path(&self, space: &SpaceId, number: u32) -> String {
        format!("{}/{}", self.folder(space), name_of(number))
    }
}

impl<D: Disk> fmt::Debug for Log<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Log({} spaces)", self.spaces.len())
    }
}

fn folder_of(name_key: &Secret, space: &SpaceId) -> String {
    let name = hash16("log-folder", &[name_key.as_bytes(), space.as_bytes()]);
    // The hex of a label: sixteen bytes are sixteen bytes.
    let hex: String = name.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{LOG_DIR}/{hex}")
}

fn name_of(number: u32) -> String {
    format!("{number:08x}.seg")
}

fn number_of(name: &str) -> Option<u32> {
    let hex = name.strip_suffix(".seg").filter(|hex| hex.len() == 8)?;
    u32::from_str_radix(hex, 16).ok()
}
