//! The authority fold against the rules: a brute-force oracle, independent properties, and
//! the disputes that people will have.
#![expect(
    clippy::indexing_slicing,
    clippy::expect_used,
    clippy::cast_possible_truncation,
    clippy::wildcard_enum_match_arm,
    reason = "a test may panic"
)]

mod check;
mod duels;
mod epochs;
mod exhaustive;
mod lanes;
mod oracle;
mod random;
mod world;
