//! Merging full segments into a bundle, so that fewer files and fewer keys hold the same records.
//!
//! # The order of effects, and why a crash anywhere is harmless
//! 0. The bundle's key is in the vault. A crash leaves a key that no file names.
//! 1. The bundle is written under another name and synced. A crash leaves a file that opening
//!    removes.
//! 2. It gets its name, synced. From here on it is the one that counts, and what it replaces goes
//!    at the next opening if not in step 3.
//! 3. The old files go, synced; then the caller erases their keys.

use std::collections::BTreeSet;

use oplog::SpaceId;
use oplog::keys::Secret;
use oplog::store::{Label, StoreError};

use super::bundle::{BundleHeader, MEMBERS_MAX, Member, Part};
use super::files::{FileName, NEW};
use super::{Log, SpaceLog};
use crate::chance::Chance;
use crate::disk::{Disk, DiskFile, damaged, failed};
use crate::segment::{FOOTER_BYTES, RECORDS_AT, Scanned, SegmentContext};

/// Bytes written at once.
const WRITE_BYTES: usize = 1024 * 1024;

/// When neighbouring files are worth merging.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Merging {
    /// Bytes of all of them at most.
    pub(crate) bytes_max: u64,
    /// How many files at least.
    pub(crate) files_min: usize,
}

/// A file that takes no more records.
struct Closed {
    name: FileName,
    segments: Vec<u32>,
    bytes: u64,
}

impl<D: Disk> Log<D> {
    /// Returns the segments of the oldest files that are worth merging, in order.
    pub(crate) fn mergeable(&self, when: Merging) -> Option<(SpaceId, Vec<u32>)> {
        self.spaces.iter().find_map(|(space, log)| {
            let run = oldest_run(&closed_files(log), when)?;
            Some((*space, run))
        })
    }

    /// Returns the segments that share a file with this one.
    pub(crate) fn bundled_with(&self, space: &SpaceId, number: u32) -> Vec<u32> {
        let Ok(segment) = self.segment(space, number) else {
            return Vec::new();
        };
        let log = self.spaces.get(space);
        let all = log.into_iter().flat_map(|log| &log.segments);
        all.filter(|(n, other)| **n != number && other.file() == segment.file())
            .map(|(n, _)| *n)
            .collect()
    }

    /// Puts these segments, which lie in neighbouring files and are full and synced, into one file
    /// under this key, which is in the vault. Returns the labels of keys that nothing needs any
    /// more, for the caller to erase. Other segments of those files are gone then.
    ///
    /// # Errors
    /// When the disk fails or a record is damaged; nothing has changed then, unless the flag says
    /// that only opening again tells.
    pub(crate) fn merge(
        &mut self,
        space: &SpaceId,
        numbers: &[u32],
        (label, key): (Label, &Secret),
        chance: &mut Chance,
    ) -> Result<BTreeSet<Label>, (StoreError, bool)> {
        let new = format!("{}/{NEW}", self.folder(space));
        let log = self.spaces.get(space);
        let files: Vec<FileName> = log.map_or_else(Vec::new, |log| {
            let files = numbers.iter().filter_map(|n| log.segments.get(n));
            files.map(super::Segment::file).collect()
        });
        let first = files.first().map_or(0, |file| file.number());
        let older = log.and_then(|log| {
            let of = files.iter().map(|file| log.generations.get(&file.number()));
            of.flatten().max()
        });
        let mut header = BundleHeader {
            generation: older.copied().unwrap_or(0).saturating_add(1),
            label,
            space: *space,
            members: Vec::new(),
        };
        if let Err(error) = self.write_bundle(&new, &mut header, numbers, key, chance) {
            // What is left of it goes at the next opening at the latest.
            if self.files.disk.remove(&new).is_err() {
                tracing::debug!("an unfinished bundle stays for now");
            }
            return Err((error, false));
        }
        let name = FileName::Bundle(first);
        self.replace(name, &header, key, files.into_iter().collect())
            .map_err(|error| (error, true))
    }

    fn write_bundle(
        &mut self,
        path: &str,
        header: &mut BundleHeader,
        numbers: &[u32],
        key: &Secret,
        chance: &mut Chance,
    ) -> Result<(), StoreError> {
        if numbers.is_empty() || numbers.len() > MEMBERS_MAX {
            return Err(failed("merge segments", "too few or too many"));
        }
        let file = self.files.disk.create(path)?;
        let mut at = u64::from(RECORDS_AT);
        for number in numbers {
            let copied = self.copy_segment(&header.space, *number, key, &file, at, chance);
            if matches!(copied, Err(StoreError::Damaged { .. })) {
                let log = self.spaces.get_mut(&header.space);
                if let Some(segment) = log.and_then(|l| l.segments.get_mut(number)) {
                    segment.damaged = true;
                }
            }
            let member = copied?;
            header.members.push(member);
            at += member.bytes();
        }
        file.write_at(0, &header.encode(key, &chance.nonce()))?;
        file.sync()
    }

    /// Writes a segment's records, at their own offsets but under another key, from `at` on.
    fn copy_segment(
        &self,
        space: &SpaceId,
        number: u32,
        key: &Secret,
        file: &D::File,
        at: u64,
        chance: &mut Chance,
    ) -> Result<Member, StoreError> {
        let context = SegmentContext {
            key: key.clone(),
            ..self.segment(space, number)?.context.clone()
        };
        let mut scanner = self.scanner(space, number, RECORDS_AT)?;
        let (mut bytes, mut begins) = (Vec::new(), RECORDS_AT);
        let end = loop {
            let found = self.scan_next(space, number, &mut scanner)?;
            if let Scanned::Record(place, record) = &found {
                context.seal(place.offset, &chance.nonce(), record, &mut bytes)?;
                if bytes.len() < WRITE_BYTES {
                    continue;
                }
            }
            file.write_at(at + u64::from(begins - RECORDS_AT), &bytes)?;
            match found {
                Scanned::Record(place, _) => begins = place.offset + place.len,
                Scanned::End { at, full } if full || self.segment_end(space, number) <= at => {
                    break at;
                }
                Scanned::Bad(_) | Scanned::End { .. } => {
                    return Err(damaged(format!("segment {number}")));
                }
            }
            bytes.clear();
        };
        let size = u64::from(end) + u64::from(FOOTER_BYTES);
        let footer = context.footer(&Part { file, at, size }, end)?;
        file.write_at(at + u64::from(end - RECORDS_AT), &footer)?;
        Ok(Member { number, end })
    }

    /// Steps 2 and 3.
    fn replace(
        &mut self,
        name: FileName,
        header: &BundleHeader,
        key: &Secret,
        mut old: BTreeSet<FileName>,
    ) -> Result<BTreeSet<Label>, StoreError> {
        let space = header.space;
        let (disk, folder) = (self.files.disk.clone(), self.folder(&space));
        disk.rename(&format!("{folder}/{NEW}"), &self.path(&space, name))?;
        disk.sync_dir(&folder)?;
        for file in &old {
            self.files.close((space, *file));
        }
        let mut unneeded = BTreeSet::new();
        if let Some(log) = self.spaces.get_mut(&space) {
            log.segments.retain(|_, segment| {
                let replaced = old.contains(&segment.file());
                unneeded.extend(replaced.then_some(segment.label));
                !replaced
            });
            for (member, at) in header.places() {
                let context = SegmentContext {
                    space,
                    number: member.number,
                    key: key.clone(),
                };
                let segment = super::Segment {
                    full: true,
                    within: Some((name.number(), at)),
                    ..super::Segment::new(header.label, context, member.end, member.end)
                };
                log.segments.insert(member.number, segment);
            }
            for file in &old {
                if matches!(file, FileName::Bundle(_)) {
                    log.generations.remove(&file.number());
                }
            }
            log.generations.insert(name.number(), header.generation);
        }
        old.remove(&name);
        for file in &old {
            disk.remove(&self.path(&space, *file))?;
        }
        disk.sync_dir(&folder)?;
        Ok(unneeded)
    }

    /// Removes a file with one segment. Its key is the caller's to erase: only that makes it
    /// unreadable.
    ///
    /// # Errors
    /// When it is the newest segment, which still grows, or the disk fails.
    pub(crate) fn remove_segment(
        &mut self,
        space: &SpaceId,
        number: u32,
    ) -> Result<Label, StoreError> {
        let segment = self.segment(space, number)?;
        let (label, name) = (segment.label, segment.file());
        self.files.close((*space, name));
        self.files.disk.remove(&self.path(space, name))?;
        self.files.disk.sync_dir(&self.folder(space))?;
        if let Some(log) = self.spaces.get_mut(space) {
            log.segments.remove(&number);
        }
        Ok(label)
    }
}

/// Returns the files of a Space in order, but for the newest segment's, which still grows. A file
/// with damage in it is `None`: it stays as it is, for whoever mends it.
fn closed_files(log: &SpaceLog) -> Vec<Option<Closed>> {
    let damaged = log.segments.values().filter(|s| s.damaged);
    let damaged: BTreeSet<FileName> = damaged.map(super::Segment::file).collect();
    let newest = log.segments.keys().next_back();
    let mut files: Vec<Option<Closed>> = Vec::new();
    for (number, segment) in log.segments.iter().filter(|(n, _)| Some(*n) != newest) {
        let bytes = u64::from(segment.end.saturating_sub(RECORDS_AT));
        match files.last_mut() {
            _ if damaged.contains(&segment.file()) => files.push(None),
            Some(Some(last)) if last.name == segment.file() => {
                last.segments.push(*number);
                last.bytes += bytes;
            }
            Some(_) | None => files.push(Some(Closed {
                name: segment.file(),
                segments: vec![*number],
                bytes,
            })),
        }
    }
    files
}

fn oldest_run(files: &[Option<Closed>], when: Merging) -> Option<Vec<u32>> {
    (0..files.len()).find_map(|from| {
        let (mut run, mut bytes, mut count) = (Vec::new(), 0, 0);
        for file in files.iter().skip(from).map_while(Option::as_ref) {
            if bytes + file.bytes > when.bytes_max || run.len() + file.segments.len() > MEMBERS_MAX
            {
                break;
            }
            run.extend_from_slice(&file.segments);
            (bytes, count) = (bytes + file.bytes, count + 1);
        }
        (count >= when.files_min).then_some(run)
    })
}
