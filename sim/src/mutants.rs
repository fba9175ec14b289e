//! Deliberate bugs in the production crates, to see whether the checkers find them.
//!
//! They are compiled in with the feature `mutants` only; without it nothing of them is in the
//! crates. One is on at a time, in one thread.

use std::io;

/// Turns one mutant on, or all off, in this thread.
///
/// # Errors
/// When there is none of this name, or they were not compiled in.
pub(crate) fn set(name: Option<&str>) -> io::Result<()> {
    match name {
        None => Ok(()),
        Some(name) => Err(io::Error::other(format!(
            "the mutant `{name}` is not compiled in"
        ))),
    }
}
