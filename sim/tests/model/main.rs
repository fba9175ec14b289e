//! The reference model against the production crates, on random histories and on altered dumps.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::wildcard_enum_match_arm,
    reason = "a test that cannot go on should stop"
)]

mod altered;
mod directed;
#[path = "../../../node/tests/people/world.rs"]
#[expect(
    dead_code,
    unreachable_pub,
    clippy::cast_possible_truncation,
    reason = "shared with the tests of the node"
)]
mod nodes;
mod people;
mod random;
mod world;

/// A dump with something in every field.
fn people_dump() -> Vec<String> {
    random::a_full_dump()
}
