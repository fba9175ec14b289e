//! The desktop app: the node's Spaces in a window.
//!
//! A shell and nothing else: no rule of a Space lives here. One thread owns the node and talks to the
//! window through two bounded channels ([`worker`]). What the node said lies in the [`model`], which
//! drawing only reads; what a person wants goes out as an [`Ask`](worker::Ask).
//!
//! # Invariants
//! - A frame waits for nothing: no disk, no network, no fold.
//! - Nothing is drawn again unless something changed.
//! - Every word on the screen comes from `locales/`, every colour and size from [`theme`].

pub mod api;
pub mod app;
pub mod bench;
pub mod markdown;
pub mod model;
pub mod notify;
pub mod picture;
pub mod text;
pub mod theme;
pub mod virtual_list;
pub mod worker;

mod avatar;
mod clock;
mod panels;
mod pictures;
mod snapshot;
mod ui_state;
mod widgets;

pub use app::{DesktopApp, Settings};
