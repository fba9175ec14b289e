//! Who looks on: one small file for each checker, and what must happen *sometimes*.
//!
//! A checker asks the nodes what they hold and compares. It never repairs, never draws from
//! chance, and names the device and the first thing that is wrong.

pub(crate) mod agreement;
mod authority;
mod bounds;
mod durability;
mod erasure;
mod keys;
mod lanes;
pub(crate) mod liveness;
mod promptness;
mod removed;
mod secrecy;
mod verdicts;

use std::collections::BTreeMap;

use node::CommandError;
use oplog::{Digest, Hlc, OpId};
use serde::{Deserialize, Serialize};

use crate::queue::Millis;
use crate::world::World;

/// Every checker by its id, with what it demands.
pub(crate) const CHECKERS: &[(&str, &str)] = &[
    ("S1", "whoever holds the same ops shows the same state"),
    (
        "S2",
        "everybody comes to one verdict on an op, and it stays, after any start",
    ),
    ("S3", "no honest node accepts an op that breaks the rules"),
    ("S4", "what a person was told is written survives any crash"),
    ("S5", "no post is shown twice, and its author signed it"),
    (
        "S6",
        "no key seals two things under one nonce, no place of a lane is written twice",
    ),
    (
        "S7",
        "what was erased is on no disk, and what is no longer needed is erased",
    ),
    (
        "S8",
        "somebody removed opens nothing that was sealed by who knew",
    ),
    (
        "S9",
        "whoever held both halves of an equivocation holds both still",
    ),
    ("S10", "no relay sees a word in clear"),
    ("S11", "nothing panics"),
    (
        "S12",
        "after a crash log, rows and group agree on the epoch, and the profile opens",
    ),
    (
        "S13",
        "logical time is never above what its author had seen or his clock showed, and what is dated ahead waits",
    ),
    ("S14", "whoever changes a post may"),
    (
        "S15",
        "nobody is counted among those who have seen an op who does not hold it",
    ),
    ("L1", "a healed core comes to one state"),
    (
        "L2",
        "a healed core is in one epoch, with nobody who was removed",
    ),
    ("L3", "what the core's people wrote reaches all of the core"),
    (
        "L4",
        "a healed core has nothing left to send, and what left the queue is at a relay",
    ),
    ("L5", "a device with a damaged disk is whole again"),
    (
        "L6",
        "the same ops make the same branch of keys canonical (healing forks is to come)",
    ),
    (
        "I11",
        "an epoch's root is the one that its commit declares, on every device",
    ),
    (
        "R1",
        "holdback and other waiting rooms stay within their caps",
    ),
    (
        "R2",
        "the world comes to rest: no two nodes talk without end",
    ),
    (
        "R3",
        "where nothing goes wrong, what is written is everywhere at once",
    ),
    ("R4", "a relay keeps nothing longer than it was asked to"),
    ("SC", "a scenario ends as it must"),
];

/// What checkers remember of a world.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    /// By nonce and commitment to the key, the hash of what was sealed (S6).
    pub(crate) nonces: BTreeMap<Vec<u8>, Digest>,
    /// Who accepted an op first (S2).
    pub(crate) accepted: BTreeMap<OpId, u16>,
    /// Who refused an op, and by which rule (S2).
    pub(crate) refused: BTreeMap<OpId, (u16, &'static str)>,
    /// Pairs of ops at one place of a lane (S9).
    pub(crate) halves: Vec<(OpId, OpId)>,
    /// Ops that a cheat dated ahead (S13).
    pub(crate) ahead: BTreeMap<OpId, Hlc>,
    /// Somebody was removed at some time (S8).
    pub(crate) somebody_removed: bool,
    /// When each op was first seen (R3).
    pub(crate) born: BTreeMap<OpId, Millis>,
    /// What relays said they filed (R4).
    pub(crate) filed: Vec<promptness::FiledAt>,
}

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

/// What is noted when keys fork.
pub(crate) const FORKED: &str = "two commits followed one epoch";

/// What is noted when somebody proves that a device equivocated.
pub(crate) const FROZEN: &str = "somebody proved that a device equivocated";

/// What must have happened *sometimes* over a campaign: where it never does, a checker looks at
/// nothing. `sim cover` runs until each has.
pub(crate) const SOMETIMES: &[&str] = &[
    "two devices held the same ops and were compared",
    "the model judged all that a device held",
    FORKED,
    "somebody came in by an invite",
    "somebody learned that he was removed",
    "somebody removed tried to open what was sealed after",
    "somebody who was removed tried to write",
    "an op was held back",
    "an envelope waited for a key",
    "an op from the future was accepted in its time",
    "a device held both halves of an equivocation",
    FROZEN,
    "somebody was counted among those who have seen a post",
    "a device started again and had everything",
    "a start failed with the disk and was tried again",
    "the store failed and was read again",
    "a vault on disk was compared with what its node can get",
    "the roots of several epochs were compared with their commits",
    "a relay let go of what had expired",
    "all of a quiet world was up to date when it was looked at",
    "an op was refused by R1",
    "an op was refused by R2",
    "an op was refused by R3",
    "an op was refused by R5",
    "an op was refused by R6",
    "an op was refused by R7",
    "an op was refused by K2",
    "a command was refused by R6",
    "a command was refused by R9",
];

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
            CommandError::Motion(refused) => match refused.rule() {
                Some(rule) => format!("a command was refused by {rule}"),
                None => return,
            },
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
        self.check_seen(2);
        self.check_bounds();
        self.check_nobody_waits();
        self.check_expired();
    }

    /// What is looked at once, at the end.
    pub(crate) fn check_end(&mut self) {
        self.check_all();
        self.check_posts();
        self.check_times();
        self.check_kept();
        self.check_seen(64);
        self.check_model();
        self.check_lanes();
        self.check_roots();
        self.check_halves();
        self.check_branch();
        self.check_erased();
        self.check_forgotten();
    }
}
