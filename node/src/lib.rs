//! The node: what apps talk to. Sans-IO at its heart, tokio only in `runtime`.

pub mod command;
pub mod error;
pub mod invite;
pub mod view;
