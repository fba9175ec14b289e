//! [`Disk`] on the file system of the machine.

use std::fs::{self, File, OpenOptions};
use std::io::{Error, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use oplog::store::StoreError;

use crate::disk::{Disk, DiskFile, damaged, failed};
use crate::folder::ProfileLock;

/// A folder on the machine.
#[derive(Clone, Debug)]
pub struct RealDisk {
    root: Arc<Path>,
    /// Goes with the last clone.
    _lock: Option<Arc<ProfileLock>>,
}

impl RealDisk {
    /// Means this folder, which must exist before anything is created in it.
    #[must_use]
    pub fn new(root: &Path) -> Self {
        Self {
            root: root.into(),
            _lock: None,
        }
    }

    /// Means this folder, and holds its lock.
    pub(crate) fn locked(root: &Path, lock: ProfileLock) -> Self {
        Self {
            root: root.into(),
            _lock: Some(Arc::new(lock)),
        }
    }

    /// Returns the folder.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    fn at(&self, path: &str) -> PathBuf {
        let mut full = self.root.to_path_buf();
        full.extend(path.split('/').filter(|part| !part.is_empty()));
        full
    }
}

impl Disk for RealDisk {
    type File = RealFile;

    fn open(&self, path: &str) -> Result<Option<RealFile>, StoreError> {
        match OpenOptions::new()
            .read(true)
            .write(true)
            .open(self.at(path))
        {
            Ok(file) => Ok(Some(RealFile(file))),
            Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
            Err(e) => Err(io("open a file", e)),
        }
    }

    fn create(&self, path: &str) -> Result<RealFile, StoreError> {
        let mut how = OpenOptions::new();
        how.read(true).write(true).create(true).truncate(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut how, 0o600);
        how.open(self.at(path))
            .map(RealFile)
            .map_err(|e| io("create a file", e))
    }

    fn create_dir(&self, path: &str) -> Result<(), StoreError> {
        fs::create_dir_all(self.at(path)).map_err(|e| io("create a folder", e))
    }

    fn list(&self, dir: &str) -> Result<Vec<String>, StoreError> {
        let entries = match fs::read_dir(self.at(dir)) {
            Ok(entries) => entries,
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            Err(e) => return Err(io("list a folder", e)),
        };
        let mut names = Vec::new();
        for entry in entries {
            let entry = entry.map_err(|e| io("list a folder", e))?;
            // A name that is not text is not ours.
            names.extend(entry.file_name().into_string().ok());
        }
        names.sort();
        Ok(names)
    }

    fn rename(&self, from: &str, to: &str) -> Result<(), StoreError> {
        fs::rename(self.at(from), self.at(to)).map_err(|e| io("rename a file", e))
    }

    fn remove(&self, path: &str) -> Result<(), StoreError> {
        gone(fs::remove_file(self.at(path)), "remove a file")
    }

    fn remove_dir(&self, path: &str) -> Result<(), StoreError> {
        gone(fs::remove_dir_all(self.at(path)), "remove a folder")
    }

    fn sync_dir(&self, dir: &str) -> Result<(), StoreError> {
        // Windows has no such call: NTFS journals names by itself.
        if cfg!(unix) {
            let folder = File::open(self.at(dir)).map_err(|e| io("open a folder", e))?;
            folder.sync_all().map_err(|e| io("sync a folder", e))?;
        }
        Ok(())
    }

    #[cfg(unix)]
    fn free_bytes(&self) -> Option<u64> {
        let stat = rustix::fs::statvfs(&*self.root).ok()?;
        stat.f_bavail.checked_mul(stat.f_frsize)
    }

    #[cfg(not(unix))]
    fn free_bytes(&self) -> Option<u64> {
        None
    }
}

/// A file on the machine.
#[derive(Debug)]
pub struct RealFile(File);

impl DiskFile for RealFile {
    fn size(&self) -> Result<u64, StoreError> {
        let meta = self.0.metadata().map_err(|e| io("measure a file", e))?;
        Ok(meta.len())
    }

    #[cfg(unix)]
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<(), StoreError> {
        use std::os::unix::fs::FileExt;
        self.0.read_exact_at(buf, offset).map_err(read_error)
    }

    #[cfg(unix)]
    fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<(), StoreError> {
        use std::os::unix::fs::FileExt;
        let written = self.0.write_all_at(bytes, offset);
        written.map_err(|e| io("write a file", e))
    }

    #[cfg(windows)]
    fn read_at(&self, mut offset: u64, mut buf: &mut [u8]) -> Result<(), StoreError> {
        use std::os::windows::fs::FileExt;
        while !buf.is_empty() {
            let n = self.0.seek_read(buf, offset).map_err(read_error)?;
            if n == 0 {
                return Err(read_error(ErrorKind::UnexpectedEof.into()));
            }
            offset += n as u64;
            buf = buf.get_mut(n..).unwrap_or_default();
        }
        Ok(())
    }

    #[cfg(windows)]
    fn write_at(&self, mut offset: u64, mut bytes: &[u8]) -> Result<(), StoreError> {
        use std::os::windows::fs::FileExt;
        while !bytes.is_empty() {
            let n = self.0.seek_write(bytes, offset);
            let n = n.map_err(|e| io("write a file", e))?;
            offset += n as u64;
            bytes = bytes.get(n..).unwrap_or_default();
        }
        Ok(())
    }

    fn set_len(&self, len: u64) -> Result<(), StoreError> {
        self.0.set_len(len).map_err(|e| io("resize a file", e))
    }

    fn sync(&self) -> Result<(), StoreError> {
        self.0.sync_data().map_err(|e| io("sync a file", e))
    }
}

/// Sorts out a full disk from everything else.
pub(crate) fn io(doing: &'static str, error: Error) -> StoreError {
    if is_full(&error) {
        return StoreError::Full;
    }
    failed(doing, error)
}

pub(crate) fn is_full(error: &Error) -> bool {
    let kind = error.kind();
    matches!(kind, ErrorKind::StorageFull | ErrorKind::QuotaExceeded)
}

fn read_error(error: Error) -> StoreError {
    if error.kind() == ErrorKind::UnexpectedEof {
        return damaged("a file is shorter than it was");
    }
    io("read a file", error)
}

fn gone(result: std::io::Result<()>, doing: &'static str) -> Result<(), StoreError> {
    match result {
        Err(e) if e.kind() != ErrorKind::NotFound => Err(io(doing, e)),
        _ => Ok(()),
    }
}
