//! From ops to state: who may do what, which epoch counts, and what people see.
//!
//! Pure functions of the accepted ops. No clock, no chance, no IO; equal sets of ops
//! give equal bits, in whatever order they came (`docs/protocol.md` B4, B5, B10).

pub mod authority;
pub mod content;
pub mod epochs;
pub mod explain;

pub use authority::{AuthorityFold, AuthorityView};
pub use epochs::{Complaints, EpochTree, Seen, WonBy};
pub use explain::{Decision, Key, Verdict, VoidReason};
