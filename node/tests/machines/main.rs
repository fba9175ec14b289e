//! Nodes over disks: what of their secrets lies there, and what a machine that goes off at any call leaves.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::cast_possible_truncation,
    clippy::wildcard_enum_match_arm,
    unreachable_pub,
    reason = "a test that cannot go on should stop, and nobody else sees it"
)]

mod off;
mod scan;
mod secrets;
mod told;
mod world;

/// Whether to take minutes instead of seconds: `MACHINES=all`.
fn everything() -> bool {
    std::env::var("MACHINES").is_ok_and(|said| said == "all")
}
