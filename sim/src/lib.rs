//! The deterministic simulator: the real node in a seeded, hostile world.
//!
//! Many production nodes and relays run in one thread under virtual time. Networks, disks,
//! clocks and people misbehave as a seed tells; checkers look on after every step; then the
//! world is healed and has to converge. One seed and one commit give the same bytes, always.
//!
//! Nothing here decides what is right: [`model`] does, from the protocol's text alone, and
//! the checkers ask the nodes whether they agree.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::wildcard_enum_match_arm,
    reason = "a simulator that cannot go on should stop; its numbers are small"
)]

mod byzantine;
mod capsule;
mod check;
pub mod cli;
mod clock;
mod config;
mod device;
pub mod dump;
mod fault;
mod hashing;
mod havoc;
mod line;
pub mod model;
mod mutants;
mod people;
mod picture;
mod queue;
mod relay_host;
mod rng;
mod run;
mod scenario;
mod schedule;
mod shrink;
mod storage;
mod trace;
mod workload;
mod world;
