//! Making a profile, and making it again when that was cut short.
//!
//! A folder in which a profile is being made holds a mark. It is written before anything else,
//! and removed when the identity is durable: with it, whatever lies there is nobody's yet.

use std::fs;
use std::path::Path;

use oplog::store::StoreError;
use store::{Disk, OpenError, ProfileLock, RealDisk};

use super::{Look, PROFILE_FILES, StartError, lost_vault, start_error};

/// The file that says that a profile is not finished.
pub(super) const MARK: &str = "unfinished";

/// Marks a folder as one in which a profile is being made. What an earlier try left is removed.
///
/// # Errors
/// When there is a profile, somebody else makes one, or the folder is used for something else.
pub(super) fn begin(dir: &Path) -> Result<(), StartError> {
    no_strangers(dir)?;
    fs::create_dir_all(dir)?;
    let _lock = ProfileLock::take(dir).map_err(|e| start_error(e, dir))?;
    // Only now: whoever held the lock may have been about to finish.
    if is_unfinished(dir) {
        for entry in fs::read_dir(dir)? {
            let entry = entry?;
            let name = entry.file_name();
            if name == MARK || name == "lock" {
                continue;
            }
            if entry.file_type()?.is_dir() {
                fs::remove_dir_all(entry.path())?;
            } else {
                fs::remove_file(entry.path())?;
            }
        }
    } else if dir.join("vault.bin").exists() {
        return Err(start_error(OpenError::Exists, dir));
    }
    let disk = RealDisk::new(dir);
    disk.create(MARK)?;
    disk.sync_dir("")?;
    Ok(())
}

/// Says what lies in a folder.
pub(super) fn look(dir: &Path) -> Look {
    if is_unfinished(dir) {
        return Look::Nothing;
    }
    // A vault that was lost is told by opening.
    if dir.join("vault.bin").exists() || lost_vault(dir) {
        let key_beside = dir.join("insecure-plaintext-key").exists();
        return if key_beside { Look::Open } else { Look::Locked };
    }
    match no_strangers(dir) {
        Ok(()) => Look::Nothing,
        Err(_) => Look::Occupied,
    }
}

/// Removes the mark: the profile is somebody's.
///
/// # Errors
/// When the disk fails.
pub(super) fn end(dir: &Path) -> Result<(), StoreError> {
    let disk = RealDisk::new(dir);
    disk.remove(MARK)?;
    disk.sync_dir("")
}

/// Refuses a profile that was never finished.
///
/// # Errors
/// When it was not, or is being made just now.
pub(super) fn finished(dir: &Path) -> Result<(), StartError> {
    if !is_unfinished(dir) {
        return Ok(());
    }
    let _lock = ProfileLock::take(dir).map_err(|e| start_error(e, dir))?;
    Err(StartError::Unfinished {
        dir: dir.to_owned(),
    })
}

fn is_unfinished(dir: &Path) -> bool {
    dir.join(MARK).exists()
}

/// Refuses a folder that somebody uses for something else: a home, a relay. What a profile
/// leaves when making it was cut short may be there.
fn no_strangers(dir: &Path) -> Result<(), StartError> {
    // Not there yet, or no folder: making it says what is wrong.
    let Ok(entries) = fs::read_dir(dir) else {
        return Ok(());
    };
    if lost_vault(dir) && !is_unfinished(dir) {
        return Err(start_error(OpenError::Missing, dir));
    }
    for entry in entries {
        let name = entry?.file_name();
        let name = name.to_string_lossy();
        if !PROFILE_FILES.iter().any(|own| name.starts_with(own)) {
            return Err(StartError::Occupied {
                dir: dir.to_owned(),
            });
        }
    }
    Ok(())
}
