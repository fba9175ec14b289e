//! Several people and a relay in one thread: the real cores under virtual time.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::wildcard_enum_match_arm,
    clippy::cast_possible_truncation,
    unreachable_pub,
    reason = "a test that cannot go on should stop, and nobody else sees it"
)]

mod audit;
mod chunks;
mod compare;
mod devices;
mod examine;
mod forks;
mod import;
mod joins;
mod mend;
mod quorum;
mod room;
mod scene;
mod seals;
mod story;
mod witness;
mod world;
