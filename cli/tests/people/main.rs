//! People at their terminals: processes of the real program, a real relay, real sockets and disks.
//!
//! Every row that any command prints on the way is held against the tables of `docs/cli.md`.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "a test that cannot go on should stop"
)]

mod audit;
mod catching_up;
mod documented;
mod exchange;
mod files;
mod invites;
mod kill;
mod profiles;
mod ranks;
mod relay;
mod removals;
mod restore;
mod together;
mod world;
