//! Being written.

pub mod content;
