//! Why everything is as it is: outcomes with their rules, proofs for outsiders, the past as it stood.
//!
//! Reads only. What it says about one op ([`Outcome`]) comes from the same log and folds that
//! everybody's view comes from; a proof and a replay run them again over nothing but ops.

mod dump;
mod explain;
mod outcome;
mod proof;
mod replay;
mod scratch;
mod shape;

pub use dump::{Dump, DumpOp, DumpRefused, dump_of};
pub(crate) use explain::keys_of;
pub use explain::{Explanation, Party};
pub use outcome::Outcome;
pub use proof::{PROOF_BYTES_MAX, Proof, ProofError, verify};
pub use replay::{Snapshot, Until};
pub use shape::Value;
