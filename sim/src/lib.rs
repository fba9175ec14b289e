//! The deterministic simulator: the real node in a seeded, hostile world.
//!
//! Many production nodes and relays run in one thread under virtual time. Networks, disks,
//! clocks and people misbehave as a seed tells; checkers look on after every step; then the
//! world is healed and has to converge. One seed and one commit give the same bytes, always.
//!
//! Nothing here decides what is right: [`model`] does, from the protocol's text alone, and
//! the checkers ask the nodes whether they agree.

pub mod model;
