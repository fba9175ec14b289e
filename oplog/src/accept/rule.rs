//! The rules of acceptance, as data: what the log cites when it refuses an op.

use core::fmt;

/// A rule that an op can break. Ids are those of `docs/protocol.md`; `docs/acceptance.md` has a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rule {
    /// The op stands on its own: its Space, its limits.
    S0,
    /// Everything it names is in the log.
    S1,
    /// Its lane is a chain.
    R1,
    /// Its time is after everything it names, and not absurdly so.
    R2,
    /// Its author forgets nothing.
    R3,
    /// Its author is a member and this is their device.
    R4,
    /// Its device is in the group of its epoch.
    R5,
    /// Its author may do this, there, to them.
    R6,
    /// Its lane is not too fast.
    R7,
    /// What its kind demands.
    R8,
    /// Who undoes outranks what is undone.
    R9,
    /// A commit's header and payload agree on what it follows.
    K1,
    /// A commit implements authority and nothing else.
    K2,
    /// Any member may commit.
    K3,
    /// One commit for each device and parent.
    K4,
    /// Key updates are spaced.
    K5,
    /// Floods of the control plane.
    K6,
    /// A complaint is about a commit that its device could have followed.
    K7,
    /// A Seal fixes what is canonical and closes what is ripe.
    K8,
    /// New kinds need a feature that an owner switched on.
    A18,
}

impl Rule {
    /// Every rule, in the order in which ops are judged.
    pub const ALL: &'static [Self] = &[
        Self::S0,
        Self::S1,
        Self::A18,
        Self::R1,
        Self::R2,
        Self::R3,
        Self::R4,
        Self::R5,
        Self::R6,
        Self::R7,
        Self::R8,
        Self::R9,
        Self::K1,
        Self::K2,
        Self::K3,
        Self::K4,
        Self::K5,
        Self::K6,
        Self::K7,
        Self::K8,
    ];

    /// Returns its id, as in `docs/protocol.md`.
    #[must_use]
    pub const fn id(self) -> &'static str {
        match self {
            Self::S0 => "S0",
            Self::S1 => "S1",
            Self::R1 => "R1",
            Self::R2 => "R2",
            Self::R3 => "R3",
            Self::R4 => "R4",
            Self::R5 => "R5",
            Self::R6 => "R6",
            Self::R7 => "R7",
            Self::R8 => "R8",
            Self::R9 => "R9",
            Self::K1 => "K1",
            Self::K2 => "K2",
            Self::K3 => "K3",
            Self::K4 => "K4",
            Self::K5 => "K5",
            Self::K6 => "K6",
            Self::K7 => "K7",
            Self::K8 => "K8",
            Self::A18 => "A18",
        }
    }

    /// Returns what it says, in one line.
    #[must_use]
    pub const fn text(self) -> &'static str {
        match self {
            Self::S0 => {
                "the op belongs to this space, respects the limits and has what its kind needs"
            }
            Self::S1 => "everything the op names is valid and of the right plane",
            Self::R1 => "an op continues its lane without gaps",
            Self::R2 => "an op's time is after everything it names, by at most 366 days",
            Self::R3 => "an author never forgets what their earlier ops had seen",
            Self::R4 => "the author is a member and the device is theirs",
            Self::R5 => "the device is in the group of the epoch that the op names",
            Self::R6 => "the author has the permission, and outranks whom they act on",
            Self::R7 => "a lane carries at most 120 content or 60 control ops in a minute",
            Self::R8 => "the op is what its kind demands",
            Self::R9 => "undoing a restriction needs the rank that made it",
            Self::K1 => "a commit follows the epoch that its header names",
            Self::K2 => "a commit leaves in the group exactly who may be there",
            Self::K3 => "any member may commit",
            Self::K4 => "a device commits once on each epoch",
            Self::K5 => "key updates of one person are 8 epochs or 6 hours apart",
            Self::K6 => "a day holds at most 32 commits, 8 MiB and 4 new devices",
            Self::K7 => "a complaint is about a commit that its device could have followed",
            Self::K8 => "a seal fixes what is canonical and closes what is ripe",
            Self::A18 => "a new kind needs a feature that an owner switched on",
        }
    }

    /// Returns where it is explained.
    #[must_use]
    pub fn anchor(self) -> String {
        format!("docs/acceptance.md#{}", self.id().to_lowercase())
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.id())
    }
}
