//! Files outside the profile: what people hand in and take away.

use std::fs::{self, File, OpenOptions};
use std::io::{self, IsTerminal, Read, Write};
use std::path::{Path, PathBuf};

use crate::api::file_name;
use crate::error::CliError;
use crate::print::note;

/// Longest text that is read from standard input, in bytes; the node's own limit is lower and says so.
const TEXT_BYTES_MAX: u64 = 1 << 20;
/// Longest file that is read whole, in bytes: the most that the node takes in.
const FILE_BYTES_MAX: u64 = 1 << 30;
/// Longest passphrase or phrase file, in bytes.
const SECRET_BYTES_MAX: u64 = 64 << 10;

/// Reads all of standard input as a text, without its last line break.
///
/// # Errors
/// When it is too long or not UTF-8.
pub(crate) fn text_from_stdin(what: &str) -> Result<String, CliError> {
    let stdin = io::stdin();
    if stdin.is_terminal() {
        note(&format!("(write {what}, then Ctrl-D)"));
    }
    let mut text = text_of(
        stdin.lock(),
        what,
        Path::new("standard input"),
        TEXT_BYTES_MAX,
    )?;
    let end = text.trim_end_matches(['\n', '\r']).len();
    text.truncate(end);
    Ok(text)
}

/// Reads a short text from a file, a pipe too: a passphrase, a phrase. No longer than such things are.
///
/// # Errors
/// When it cannot be read, is too long or not UTF-8.
pub(crate) fn secret(path: &Path) -> Result<String, CliError> {
    let file = File::open(path).map_err(|source| CliError::File {
        doing: "read",
        path: path.to_owned(),
        source,
    })?;
    text_of(file, &path.display().to_string(), path, SECRET_BYTES_MAX)
}

fn text_of(from: impl Read, what: &str, path: &Path, bytes_max: u64) -> Result<String, CliError> {
    let mut bytes = Vec::new();
    from.take(bytes_max + 1)
        .read_to_end(&mut bytes)
        .map_err(|source| CliError::File {
            doing: "read",
            path: path.to_owned(),
            source,
        })?;
    if bytes.len() as u64 > bytes_max {
        return Err(CliError::Input {
            what: format!("{what}: longer than {} KiB", bytes_max >> 10),
        });
    }
    String::from_utf8(bytes).map_err(|_not_utf8| CliError::Input {
        what: format!("{what}: not a text (UTF-8)"),
    })
}

/// Reads a whole file.
///
/// # Errors
/// When it is missing, unreadable, too large or no file: a pipe or a device may never end.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>, CliError> {
    let failed = |source| CliError::File {
        doing: "read",
        path: path.to_owned(),
        source,
    };
    let unusable = |why: &str| CliError::Input {
        what: format!("{} {why}", path.display()),
    };
    // Before opening: to open a pipe waits for somebody who writes.
    if !fs::metadata(path).map_err(failed)?.is_file() {
        return Err(unusable("is not a file"));
    }
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes))
        .map_err(failed)?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(unusable("is too large: 1 GiB at most"));
    }
    Ok(bytes)
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
    // a name that nobody's own file has
    partial.push(format!(".{}.part", std::process::id()));
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
    let name = file_name(name);
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
    fn what_never_ends_is_not_read() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(read(dir.path()).unwrap_err().code().number(), 7);
        let endless = io::repeat(b'x');
        let error = text_of(endless, "the text", Path::new("-"), 10).unwrap_err();
        assert_eq!(error.to_string(), "the text: longer than 0 KiB");
        let error = text_of(&b"\xff"[..], "the text", Path::new("-"), 10).unwrap_err();
        assert_eq!(error.code().number(), 7);
        let whole = text_of(&b"0123456789"[..], "the text", Path::new("-"), 10).unwrap();
        assert_eq!(whole, "0123456789");
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
