//! Turning answers into text for people and JSON for programs.

pub(crate) mod clean;
mod doctor;
pub(crate) mod json;
mod look;
mod posts;
mod qr;
pub(crate) mod state;
mod status;
mod table;
pub(crate) mod text;
pub(crate) mod time;

#[cfg(test)]
mod tests;

pub(crate) use look::Look;
pub(crate) use status::counted;
