//! Who looks on: one small file for each checker, and what must happen *sometimes*.
//!
//! A checker asks the nodes what they hold and compares. It never repairs, never draws from
//! chance, and names the device and the first thing that is wrong.

pub(crate) mod agreement;
mod authority;
mod bounds;
mod durability;
pub(crate) mod liveness;
mod secrecy;

use std::collections::BTreeMap;

use node::CommandError;
use serde::{Deserialize, Serialize};

use crate::queue::Millis;
use crate::world::World;

/// Every checker by its id, with what it demands.
pub(crate) const CHECKERS: &[(&str, &str)] = &[
    ("S1", "whoever holds the same ops shows the same state"),
    (
        "S2",
        "what was accepted once stays accepted, after any start",
    ),
    ("S3", "no honest node accepts an op that breaks the rules"),
    ("S4", "what a person was told is written survives any crash"),
    ("S5", "no post is shown twice, and its author signed it"),
    ("S10", "no relay sees a word in clear"),
    ("S11", "nothing panics"),
    (
        "S12",
        "after a crash log, rows and group agree on the epoch, and the profile opens",
    ),
    (
        "S13",
        "logical time is never above what its author had seen or his clock showed",
    ),
    ("S14", "whoever changes a post may"),
    ("L1", "a healed core comes to one state"),
    ("L2", "a healed core is in one epoch"),
    ("L3", "what the core's people wrote reaches all of the core"),
    ("L4", "a healed core has nothing left to send"),
    ("L5", "a device with a damaged disk is whole again"),
    (
        "R1",
        "holdback and other waiting rooms stay within their caps",
    ),
    (
        "R2",
        "the world comes to rest: no two nodes talk without end",
    ),
];

/// What a checker found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Failure {
    pub(crate) checker: String,
    pub(crate) node: Option<u16>,
    pub(crate) at: Millis,
    /// Number of the trace's row.
    pub(crate) row: u64,
    pub(crate) what: String,
}

/// Things that a campaign must have seen at least once: otherwise it tests less than it says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Sometimes(pub(crate) BTreeMap<String, u64>);

impl Sometimes {
    pub(crate) fn note(&mut self, what: &str) {
        match self.0.get_mut(what) {
            Some(count) => *count += 1,
            None => {
                self.0.insert(what.to_owned(), 1);
            }
        }
    }

    pub(crate) fn note_rule(&mut self, rule: &str) {
        self.note(&format!("an op was refused by {rule}"));
    }

    pub(crate) fn note_error(&mut self, error: &CommandError) {
        let what = match error {
            CommandError::NotAllowed { rule, .. } => format!("a command was refused by {rule}"),
            CommandError::Removed => "somebody who was removed tried to write".to_owned(),
            CommandError::KeysBehind => {
                "somebody waited for keys of the branch that counts".to_owned()
            }
            CommandError::Store { .. } => "a command failed with the disk".to_owned(),
            CommandError::Invite { .. } => "an invite could not be used".to_owned(),
            _ => return,
        };
        self.note(&what);
    }

    pub(crate) fn add(&mut self, other: &Self) {
        for (what, count) in &other.0 {
            *self.0.entry(what.clone()).or_default() += count;
        }
    }
}

impl World {
    /// What is looked at every so often, and at the end.
    pub(crate) fn check_all(&mut self) {
        self.check_agreement();
        self.check_bounds();
    }

    /// What is looked at once, at the end.
    pub(crate) fn check_end(&mut self) {
        self.check_all();
        self.check_posts();
        self.check_times();
        self.check_kept();
        self.check_model();
    }
}
