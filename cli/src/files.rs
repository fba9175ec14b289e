//! Files outside the profile: what people hand in and take away.

use std::fs::{self, OpenOptions};
use std::io::{self, IsTerminal, Read, Write};
use std::path::{Path, PathBuf};

use crate::error::CliError;
use crate::print::note;
use crate::render::clean;

/// Longest text that is read from standard input, in bytes; the node's own limit is lower and says so.
const TEXT_BYTES_MAX: u64 = 1 << 20;
/// Longest bundle that is read whole, in bytes: a log of a million ops with room to spare.
const BUNDLE_BYTES_MAX: u64 = 4 << 30;

/// Reads all of standard input as a text, without its last line break.
///
/// # Errors
/// When it is too long or not UTF-8.
pub(crate) fn text_from_stdin(what: &str) -> Result<String, CliError> {
    let stdin = io::stdin();
    if stdin.is_terminal() {
        note(&format!("(write {what}, then Ctrl-D)"));
    }
    let mut text = String::new();
    let mut input = stdin.lock().take(TEXT_BYTES_MAX + 1);
    input
        .read_to_string(&mut text)
        .map_err(|source| CliError::File {
            doing: "read",
            path: PathBuf::from("standard input"),
            source,
        })?;
    if text.len() as u64 > TEXT_BYTES_MAX {
        return Err(CliError::Input {
            what: format!("{what} is longer than {TEXT_BYTES_MAX} bytes"),
        });
    }
    let end = text.trim_end_matches(['\n', '\r']).len();
    text.truncate(end);
    Ok(text)
}

/// Reads a whole file.
///
/// # Errors
/// When it is missing, unreadable or too large.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>, CliError> {
    let failed = |source| CliError::File {
        doing: "read",
        path: path.to_owned(),
        source,
    };
    let length = fs::metadata(path).map_err(failed)?.len();
    if length > BUNDLE_BYTES_MAX {
        return Err(CliError::Input {
            what: format!("{} is too large", path.display()),
        });
    }
    fs::read(path).map_err(failed)
}

/// Writes a file that is not there yet, or replaces it when `force` says so. Only its
/// owner may read it. What was there stays whole until the new bytes are on the disk.
///
/// # Errors
/// When it is there already, or the disk refuses.
pub(crate) fn write(path: &Path, bytes: &[u8], force: bool) -> Result<(), CliError> {
    vacant(path, force)?;
    let failed = |source| CliError::File {
        doing: "write",
        path: path.to_owned(),
        source,
    };
    let mut partial = path.as_os_str().to_owned();
    partial.push(".part");
    let partial = PathBuf::from(partial);
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let written = options
        .open(&partial)
        .and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_all()))
        .and_then(|()| fs::rename(&partial, path));
    if written.is_err() {
        // the half-written file is of no use; the first error is the one to tell
        let _ = fs::remove_file(&partial);
    }
    written.map_err(failed)
}

/// Makes sure that `path` may be written.
///
/// # Errors
/// When something is there already and `force` does not say to replace it.
pub(crate) fn vacant(path: &Path, force: bool) -> Result<(), CliError> {
    if !force && fs::symlink_metadata(path).is_ok() {
        return Err(CliError::File {
            doing: "write",
            path: path.to_owned(),
            source: io::Error::new(
                io::ErrorKind::AlreadyExists,
                "it is there already; --force replaces it",
            ),
        });
    }
    Ok(())
}

/// Returns where to save a file that its sender calls `name`: `to`, in the folder `to`, or here.
pub(crate) fn destination(to: Option<&Path>, name: &str) -> PathBuf {
    let name = clean::file_name(name);
    match to {
        None => PathBuf::from(name),
        Some(to) if to.is_dir() => to.join(name),
        Some(to) => to.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_replaced_unasked() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        write(&path, b"1", false).unwrap();
        let error = write(&path, b"2", false).unwrap_err();
        assert_eq!(error.code().number(), 8);
        assert_eq!(read(&path).unwrap(), b"1");
        write(&path, b"2", true).unwrap();
        assert_eq!(read(&path).unwrap(), b"2");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_senders_name_never_leaves_the_folder() {
        let dir = tempfile::tempdir().unwrap();
        let to = destination(Some(dir.path()), "../../x");
        assert_eq!(to.parent(), Some(dir.path()));
        assert_eq!(destination(None, "a.txt"), PathBuf::from("a.txt"));
        let file = dir.path().join("b");
        assert_eq!(destination(Some(&file), "a.txt"), file);
    }
}
