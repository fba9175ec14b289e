//! Several people and a relay in one thread: the real cores under virtual time.

mod audit;
mod import;
mod story;
mod world;
