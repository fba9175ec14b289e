//! Everything that people do and that goes wrong on purpose, as a list.
//!
//! A run is a config and this list, nothing else: to shrink a run is to strike entries out.
//! Entries name things by number (`the third post that I see`), so that they mean something
//! whatever was struck out before them.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::fault::Class;
use crate::queue::Millis;

/// One entry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Entry {
    /// When, in milliseconds since the world began.
    pub(crate) at: Millis,
    /// What.
    pub(crate) what: What,
}

/// What an entry does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum What {
    /// Somebody does something.
    Act { who: u16, act: Act },
    /// Something goes wrong.
    Fault(Fault),
}

/// What a person does. `nth` counts among what the person sees, whatever that is then.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Act {
    Found,
    Invite {
        uses: u32,
        approval: bool,
    },
    /// Joins by the newest link of whoever opened one.
    Join,
    Approve,
    Post {
        channel: u16,
        len: u32,
    },
    Thread {
        channel: u16,
        len: u32,
    },
    Reply {
        nth: u32,
        len: u32,
    },
    Edit {
        nth: u32,
    },
    Delete {
        nth: u32,
    },
    Restore {
        nth: u32,
    },
    React {
        nth: u32,
        emoji: u8,
        add: bool,
    },
    Pin {
        nth: u32,
        pin: bool,
    },
    Kick {
        whom: u16,
    },
    Ban {
        whom: u16,
    },
    Unban {
        whom: u16,
    },
    Mute {
        whom: u16,
        secs: u32,
    },
    Unmute {
        whom: u16,
    },
    Role {
        whom: u16,
        weight: u8,
    },
    Channel,
    Rename {
        channel: u16,
        archived: bool,
    },
    Policy {
        late: u8,
    },
    Leave,
    UpdateKeys,
    RevokeInvite {
        nth: u32,
    },
    Sync,
    /// Makes the past final.
    Seal,
    /// Says of a late post that it was seen in time.
    Attest {
        nth: u32,
    },
    /// Proves a device that signed two ops for one place.
    Freeze {
        nth: u32,
    },
    /// Proposes something to the admins.
    Propose {
        whom: u16,
        deed: u8,
    },
    /// Signs the newest motion.
    Sign,
    /// Brings the own newest motion, with the signatures that came back.
    Bring,
    /// Cheats, by this class of fault.
    Cheat {
        class: Class,
        nth: u32,
    },
}

/// What goes wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Fault {
    /// Lines between these devices and these relays are cut.
    Cut {
        class: Class,
        nodes: BTreeSet<u16>,
        relays: BTreeSet<u16>,
        way: Way,
        for_ms: Millis,
    },
    Clog {
        node: u16,
        relay: u16,
        for_ms: Millis,
    },
    HalfOpen {
        node: u16,
        relay: u16,
        for_ms: Millis,
    },
    Reset {
        node: u16,
        relay: u16,
    },
    Suspend {
        class: Class,
        node: u16,
        for_ms: Millis,
    },
    Crash {
        class: Class,
        node: u16,
        after: u64,
        down_ms: Millis,
    },
    /// Copies the disk, to come back to later.
    Snapshot {
        node: u16,
    },
    Clone {
        node: u16,
    },
    Restore {
        node: u16,
    },
    Clock {
        class: Class,
        node: u16,
        by_ms: i64,
        for_ms: Millis,
    },
    Drift {
        node: u16,
        ppm: i32,
    },
    Disk {
        class: Class,
        node: u16,
        nth: u64,
        for_ms: Millis,
    },
    RelayDown {
        class: Class,
        relay: u16,
        for_ms: Millis,
    },
    RelayLies {
        class: Class,
        relay: u16,
        for_ms: Millis,
        share: u8,
    },
}

/// In which direction a cut lets nothing through.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Way {
    Both,
    Up,
    Down,
}

impl Act {
    /// Says whether somebody is out when it is done.
    pub(crate) const fn removes(&self) -> bool {
        matches!(
            self,
            Self::Kick { .. } | Self::Ban { .. } | Self::Leave | Self::Bring | Self::Freeze { .. }
        )
    }
}

impl What {
    /// The class of fault that an entry belongs to, if it is one.
    pub(crate) fn class(&self) -> Option<Class> {
        match self {
            Self::Act {
                act: Act::Cheat { class, .. },
                ..
            } => Some(*class),
            Self::Act { .. } => None,
            Self::Fault(fault) => Some(match fault {
                Fault::Cut { class, .. }
                | Fault::Suspend { class, .. }
                | Fault::Crash { class, .. }
                | Fault::Clock { class, .. }
                | Fault::Disk { class, .. }
                | Fault::RelayDown { class, .. }
                | Fault::RelayLies { class, .. } => *class,
                Fault::Clog { .. } => Class::Clog,
                Fault::HalfOpen { .. } => Class::HalfOpen,
                Fault::Reset { .. } => Class::Reset,
                Fault::Snapshot { .. } | Fault::Clone { .. } => Class::Clone,
                Fault::Restore { .. } => Class::Restore,
                Fault::Drift { .. } => Class::ClockDrift,
            }),
        }
    }

    /// The device that an entry is about, if it is about one.
    pub(crate) fn node(&self) -> Option<u16> {
        match self {
            Self::Act { who, .. } => Some(*who),
            Self::Fault(fault) => match fault {
                Fault::Clog { node, .. }
                | Fault::HalfOpen { node, .. }
                | Fault::Reset { node, .. }
                | Fault::Suspend { node, .. }
                | Fault::Crash { node, .. }
                | Fault::Snapshot { node }
                | Fault::Clone { node }
                | Fault::Restore { node }
                | Fault::Clock { node, .. }
                | Fault::Drift { node, .. }
                | Fault::Disk { node, .. } => Some(*node),
                Fault::Cut { .. } | Fault::RelayDown { .. } | Fault::RelayLies { .. } => None,
            },
        }
    }
}

impl Fault {
    /// How long it lasts, if it has an end of its own.
    pub(crate) const fn lasts_ms(&self) -> Option<Millis> {
        match self {
            Self::Cut { for_ms, .. }
            | Self::Clog { for_ms, .. }
            | Self::HalfOpen { for_ms, .. }
            | Self::Suspend { for_ms, .. }
            | Self::Clock { for_ms, .. }
            | Self::Disk { for_ms, .. }
            | Self::RelayDown { for_ms, .. }
            | Self::RelayLies { for_ms, .. } => Some(*for_ms),
            Self::Reset { .. }
            | Self::Crash { .. }
            | Self::Snapshot { .. }
            | Self::Clone { .. }
            | Self::Restore { .. }
            | Self::Drift { .. } => None,
        }
    }

    /// The same with half of its length.
    pub(crate) fn halved(&self) -> Option<Self> {
        let mut half = self.clone();
        match &mut half {
            Self::Cut { for_ms, .. }
            | Self::Clog { for_ms, .. }
            | Self::HalfOpen { for_ms, .. }
            | Self::Suspend { for_ms, .. }
            | Self::Clock { for_ms, .. }
            | Self::Disk { for_ms, .. }
            | Self::RelayDown { for_ms, .. }
            | Self::RelayLies { for_ms, .. }
                if *for_ms > 2_000 =>
            {
                *for_ms /= 2;
            }
            _ => return None,
        }
        Some(half)
    }
}
