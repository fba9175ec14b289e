//! Opening logs: which files there are, which of them count, what a crash left.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use oplog::keys::Secret;
use oplog::store::{Label, Location, StoreError};

use super::bundle::BundleHeader;
use super::files::{FileName, Files, NEW, folder_of};
use super::{LOG_DIR, Log, Segment, SpaceLog, Write};
use crate::disk::{Disk, DiskFile};
use crate::recovery::BadPart;
use crate::segment::{Header, RECORDS_AT, SegmentContext};

impl<D: Disk> Log<D> {
    /// Finds every segment whose key the vault holds. What cannot be read is reported, not opened.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn open(
        disk: D,
        segment_bytes: u32,
        name_key: Secret,
        key: impl Fn(Label) -> Option<Secret>,
    ) -> Result<(Self, Vec<BadPart>), StoreError> {
        let mut log = Self {
            files: Files::new(disk),
            segment_bytes,
            name_key,
            spaces: BTreeMap::new(),
            staged: Vec::new(),
            begun: Vec::new(),
            dirty_dirs: BTreeSet::new(),
        };
        let mut bad = Vec::new();
        for folder in log.files.disk.list(LOG_DIR)? {
            log.open_folder(&format!("{LOG_DIR}/{folder}"), &key, &mut bad)?;
        }
        Ok((log, bad))
    }

    fn open_folder(
        &mut self,
        folder: &str,
        key: &impl Fn(Label) -> Option<Secret>,
        bad: &mut Vec<BadPart>,
    ) -> Result<(), StoreError> {
        let disk = self.files.disk.clone();
        let mut folder = Folder {
            disk: &disk,
            log: SpaceLog {
                folder: folder.to_owned(),
                ..SpaceLog::default()
            },
            owner: None,
            unreadable: Vec::new(),
            removed: false,
        };
        let names = disk.list(&folder.log.folder)?;
        if names.iter().any(|name| name == NEW) {
            disk.remove(&format!("{}/{NEW}", folder.log.folder))?;
        }
        let names: Vec<FileName> = names.iter().filter_map(|n| FileName::parse(n)).collect();
        folder.take_bundles(&names, key)?;
        for name in names {
            if let FileName::Segment(number) = name {
                folder.take_segment(number, key)?;
            }
        }
        if folder.removed {
            disk.sync_dir(&folder.log.folder)?;
        }
        let space = folder.owner;
        bad.extend(folder.unreadable.into_iter().map(|(segment, len)| BadPart {
            space,
            at: Location {
                segment,
                offset: 0,
                len,
            },
        }));
        if let Some(space) = space {
            self.spaces.insert(space, folder.log);
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
            let path = format!("{folder}/{}", FileName::Segment(write.segment));
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
}

/// What has been found in the folder of a Space.
struct Folder<'a, D> {
    disk: &'a D,
    log: SpaceLog,
    owner: Option<oplog::SpaceId>,
    /// The numbers of files that do not open, and how long they are.
    unreadable: Vec<(u32, u32)>,
    removed: bool,
}

impl<D: Disk> Folder<'_, D> {
    /// Takes the segments in bundles in, those merged last first.
    fn take_bundles(
        &mut self,
        names: &[FileName],
        key: &impl Fn(Label) -> Option<Secret>,
    ) -> Result<(), StoreError> {
        let mut found = Vec::new();
        for name in names {
            let FileName::Bundle(number) = *name else {
                continue;
            };
            let Some((file, size)) = self.file(*name)? else {
                continue;
            };
            match BundleHeader::read(&file, key) {
                Some((header, key)) => found.push((number, header, key)),
                None => self.unreadable.push((number, size)),
            }
        }
        found.sort_by_key(|(_, header, _)| Reverse(header.generation));
        for (name, header, key) in found {
            let mut counts = false;
            for (member, at) in header.places() {
                self.log.next_number = self.log.next_number.max(member.number.saturating_add(1));
                if self.log.segments.contains_key(&member.number) {
                    continue;
                }
                counts = true;
                let context = SegmentContext {
                    space: header.space,
                    number: member.number,
                    key: key.clone(),
                };
                let segment = Segment {
                    full: true,
                    within: Some((name, at)),
                    ..Segment::new(header.label, context, member.end, member.end)
                };
                self.log.segments.insert(member.number, segment);
            }
            if counts {
                self.log.generations.insert(name, header.generation);
                self.owner = Some(header.space);
            } else {
                // Merged with others, and a crash came before this file went.
                self.remove(FileName::Bundle(name))?;
            }
        }
        Ok(())
    }

    fn take_segment(
        &mut self,
        number: u32,
        key: &impl Fn(Label) -> Option<Secret>,
    ) -> Result<(), StoreError> {
        let name = FileName::Segment(number);
        if self.log.segments.contains_key(&number) {
            return self.remove(name);
        }
        let Some((file, size)) = self.file(name)? else {
            return Ok(());
        };
        let opened = Header::read(&file).and_then(|header| {
            let key = key(header.label)?;
            let space = header.open(&key)?;
            (header.number == number).then_some((space, header.label, key))
        });
        let Some((space, label, key)) = opened else {
            if size < RECORDS_AT {
                // A torn beginning, which holds no record.
                return self.remove(name);
            }
            self.unreadable.push((number, size));
            return Ok(());
        };
        self.owner = Some(space);
        let context = SegmentContext { space, number, key };
        let end = size.max(RECORDS_AT);
        let segment = Segment::new(label, context, end, end);
        self.log.segments.insert(number, segment);
        Ok(())
    }

    fn file(&mut self, name: FileName) -> Result<Option<(D::File, u32)>, StoreError> {
        let Some(file) = self.disk.open(&self.path(name))? else {
            return Ok(None);
        };
        self.log.next_number = self.log.next_number.max(name.number().saturating_add(1));
        let size = u32::try_from(file.size()?).unwrap_or(u32::MAX);
        Ok(Some((file, size)))
    }

    fn remove(&mut self, name: FileName) -> Result<(), StoreError> {
        self.removed = true;
        self.disk.remove(&self.path(name))
    }

    fn path(&self, name: FileName) -> String {
        format!("{}/{name}", self.log.folder)
    }
}
