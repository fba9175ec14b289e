//! The fault classes by name: what each does, and which wait for a part not built yet.
//!
//! A class *fires* when it changed what would have happened otherwise, not when it was merely
//! on: `sim cover` counts firings.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Declares the classes once: variant, group, what it does.
macro_rules! classes {
    ($($variant:ident $group:literal $what:literal,)*) => {
        /// One way in which the world is hostile.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(rename_all = "kebab-case")]
        pub(crate) enum Class { $(#[doc = $what] $variant,)* }

        impl Class {
            /// Every class, by group.
            pub(crate) const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// Where it belongs.
            pub(crate) const fn group(self) -> &'static str {
                match self { $(Self::$variant => $group,)* }
            }

            /// Says whether it came when seeds were in use. Such a class draws from a stream of its
            /// own, so that those seeds still give the worlds they gave.
            pub(crate) const fn is_late(self) -> bool {
                self as u8 >= Self::ByzLaneGap as u8
            }

            /// What it does, in words.
            pub(crate) const fn what(self) -> &'static str {
                match self { $(Self::$variant => $what,)* }
            }
        }
    };
}

classes! {
    Loss "link" "a frame is lost",
    Duplicate "link" "a frame arrives twice",
    Delay "link" "a frame takes longer than the line needs",
    Tail "link" "a frame takes fifty times as long",
    Reorder "link" "a frame overtakes an earlier one",
    Bandwidth "link" "a frame waits for the line to be free",
    QueueFull "link" "a frame finds the line's queue full",
    Clog "link" "nothing passes for some seconds, then everything",
    HalfOpen "link" "a connection is dead and neither end is told",
    Reset "link" "a connection breaks with requests in flight",
    PartitionUniform "topology" "each device falls on one side by chance",
    PartitionOne "topology" "one device is cut off",
    PartitionIslands "topology" "each relay keeps only its own island",
    PartitionOneWay "topology" "frames pass in one direction only",
    PartitionFlapping "topology" "a cut comes and goes within seconds",
    Suspend "churn" "an app is frozen for minutes to days",
    Wake "churn" "a frozen app runs for some seconds, then is frozen again",
    Gone "churn" "a device is away for weeks",
    Clone "churn" "a device comes back from a copy of its disk",
    Restore "churn" "a person comes back by words and backup on a new device",
    Kill "crash" "a process dies",
    PowerCut "crash" "a machine loses power: what was not synced is lost in part",
    CrashUnsynced "crash" "a process dies after commit and before its effects",
    CrashMidWrite "crash" "a machine dies in the middle of a step of the store",
    DiskFull "disk" "the disk has no room",
    SyncError "disk" "a sync fails once",
    WriteError "disk" "a write fails once",
    BitFlip "disk" "a bit on disk flips",
    IndexLost "disk" "the index is damaged and made again",
    ClockSkew "clock" "a clock is minutes off",
    ClockYears "clock" "a clock is years off",
    ClockDrift "clock" "a clock is too fast or too slow",
    ClockJump "clock" "a clock jumps",
    ClockFreeze "clock" "a clock stands still",
    Clock1970 "clock" "a machine starts with the clock of 1970",
    RelayRestart "relay" "a relay restarts",
    RelayLosesAll "relay" "a relay loses everything it held",
    RelayDrops "relay" "a relay says it filed what it did not",
    RelayWithholds "relay" "a relay hides envelopes from some",
    RelayForks "relay" "a relay shows different things to different people",
    RelayTampers "relay" "a relay changes bytes",
    RelayTruncates "relay" "a relay cuts envelopes short",
    RelayReplays "relay" "a relay tells old things again",
    RelayReorders "relay" "a relay tells things in another order",
    RelayClaimsComplete "relay" "a relay says there is no more when there is",
    RelayRefuses "relay" "a relay refuses what it should take",
    RelayStalls "relay" "a relay does not answer",
    RelayForgetsMail "relay" "a relay loses mailboxes",
    ByzEquivocate "byzantine" "a member writes two ops at one place of a lane",
    ByzBackdate "byzantine" "a member writes into the past of his own lane",
    ByzFuture "byzantine" "a member dates an op beyond the cap of the clock rule",
    ByzFutureDefer "byzantine" "a member dates an op minutes ahead",
    ByzSignature "byzantine" "a member sends an op whose signature is wrong",
    ByzMalleated "byzantine" "a member changes a signature that verified",
    ByzImpersonate "byzantine" "a member writes as somebody else",
    ByzOtherSpace "byzantine" "a member replays an op of another Space",
    ByzEpoch "byzantine" "a member names an epoch that is not",
    ByzCanonical "byzantine" "a member sends an op in a longer encoding",
    ByzTrailing "byzantine" "a member sends bytes after an op",
    ByzGarbage "byzantine" "a member sends random bytes as ops",
    ByzDepth "byzantine" "a member sends nested containers without end",
    ByzLength "byzantine" "a member claims four gigabytes",
    ByzOversize "byzantine" "a member sends a payload above the limit",
    ByzWithhold "byzantine" "a member's op names a parent that never comes",
    ByzManyParents "byzantine" "a member's op names sixteen parents that never come",
    ByzSelfParent "byzantine" "a member's op names itself as well as it can",
    ByzWideFan "byzantine" "a member writes many ops that do not name each other",
    ByzPromote "byzantine" "a member gives himself the rights of an owner",
    ByzTombstone "byzantine" "a member deletes what others wrote",
    ByzEdit "byzantine" "a member edits what others wrote",
    ByzKick "byzantine" "a member removes somebody of higher rank",
    ByzAfterRemoval "byzantine" "somebody who was removed writes on",
    ByzGhostBan "byzantine" "somebody who was removed removes others",
    ByzCommit "byzantine" "a member commits nonsense",
    ByzCommitStorm "byzantine" "a member commits once a second",
    ByzHave "byzantine" "a member claims to have seen everything",
    ByzWantFlood "byzantine" "a member asks for thousands of ops",
    ByzJoinStranger "byzantine" "somebody asks to join with a forged proof",
    ByzUnknownKind "byzantine" "a member sends a kind that no version knows",
    ByzLaneGap "byzantine" "a member leaves a place of his lane empty",
    ByzForget "byzantine" "a member writes as if he had not seen what he saw",
    ByzOldEpoch "byzantine" "a member names an epoch that he was not in",
    ByzTooFast "byzantine" "a member writes faster than anybody may",
    ByzAcross "byzantine" "a member's post builds on one of another channel",
    ByzKickSelf "byzantine" "a member kicks somebody of equal rank: himself",
    ByzEvict "byzantine" "a member's commit takes out who may be there",
    ByzCommitTwice "byzantine" "a device commits a second time on one epoch",
    ByzCrowd "byzantine" "a member lets in more people than an invite has room for",
    ByzBackdateAct "byzantine" "somebody removed acts as if it were before his removal",
}

/// What of the fault model has no part to meet yet, and which part that is.
pub(crate) const NOT_MET: &[(&str, &str)] = &[
    (
        "NAT rebinding, address change under a connection",
        "libp2p runs below the node; its driver is tested over sockets",
    ),
    ("DNS gone", "relays are dialled by the driver"),
    (
        "LAN island",
        "nodes reach each other through relays only; peer links come later",
    ),
    (
        "app and notification process at once",
        "there is no notification process",
    ),
    (
        "misdirected and phantom write",
        "MemDisk does not have them yet",
    ),
    (
        "file descriptor cap, slow processor",
        "the node holds no descriptors and measures no time",
    ),
    (
        "versions N and N-1 mixed, upgrade in a run",
        "there is one version",
    ),
    (
        "external commits, complaints, Seals, CutAttest",
        "concurrent commits are a later issue",
    ),
    (
        "welcome replay, key package reuse",
        "needs a forge of bundles",
    ),
    ("ratchet gaps", "no op is an MLS application message"),
    ("blob bombs", "the simulator's people attach no files yet"),
    (
        "token double-spend, quota lies",
        "relays have no tokens yet",
    ),
];

/// How often each class fired.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Fired(pub(crate) BTreeMap<Class, u64>);

impl Fired {
    pub(crate) fn note(&mut self, class: Class) {
        *self.0.entry(class).or_default() += 1;
    }

    pub(crate) fn add(&mut self, other: &Self) {
        for (class, count) in &other.0 {
            *self.0.entry(*class).or_default() += count;
        }
    }

    pub(crate) fn total(&self) -> u64 {
        self.0.values().sum()
    }
}
