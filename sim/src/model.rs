//! An independent model of acceptance, authority and content.
//!
//! It takes what `decent audit dump --json` tells of a Space and computes again who is a member,
//! what each op was worth and what everybody sees. It shares no code with the crates it judges
//! and is written for clearness, not for speed.
