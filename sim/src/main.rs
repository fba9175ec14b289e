//! `sim`: runs worlds, and tells what broke in them.

fn main() {}
