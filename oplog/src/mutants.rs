//! Deliberate bugs, each behind a switch that only the simulator can turn: do its checkers find them?
//!
//! A checker that never spoke may be blind. So each rule that matters has a *mutant* here, and one
//! short call at the place of the rule. Without the feature `mutants` the call is the constant
//! `false` and nothing of it is left; no normal build has the feature (`cli/tests/tidy.rs`).
//!
//! All crates share the list, because this one lies below all of them. It names the place of each
//! bug and what must find it, and knows nothing else of the crates above.

/// Declares the mutants once: name, crate, what is wrong with it on, which checkers must speak.
macro_rules! mutants {
    ($($name:ident $area:literal $breaks:literal [$($checker:literal)+];)*) => {
        /// One deliberate bug.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Mutant { $(#[doc = $breaks] $name,)* }

        impl Mutant {
            /// Every mutant, by crate.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// Returns its name.
            #[must_use]
            pub const fn id(self) -> &'static str {
                match self { $(Self::$name => stringify!($name),)* }
            }

            /// Returns the crate it is in.
            #[must_use]
            pub const fn area(self) -> &'static str {
                match self { $(Self::$name => $area,)* }
            }

            /// Returns what is wrong while it is on.
            #[must_use]
            pub const fn breaks(self) -> &'static str {
                match self { $(Self::$name => $breaks,)* }
            }

            /// Returns the checkers of the simulator of which one must find it.
            #[must_use]
            pub const fn checkers(self) -> &'static [&'static str] {
                match self { $(Self::$name => &[$($checker,)+],)* }
            }
        }
    };
}

mutants! {
    SignatureUnchecked "oplog" "S0: whoever signs, the op counts as signed" ["S3" "S5"];
    HeldForever "oplog" "S1: holdback does not release what nothing is missing for" ["L1" "L3" "R3"];
    LaneGaps "oplog" "R1: a lane may skip positions" ["S3"];
    TimeGoesBack "oplog" "R2: an op may be older than what it names" ["S3"];
    ViewShrinks "oplog" "R3: an op may forget what its author had seen" ["S3"];
    EpochUnseen "oplog" "R5: an op may name an epoch that nobody knows" ["S3"];
    EpochOfOthers "oplog" "R5: the author's device need not be in the group of the epoch" ["S3"];
    AnybodyMay "oplog" "R6: no weight is needed for anything" ["S3"];
    EqualRank "oplog" "R6: an equal rank suffices: `>=` for `>`" ["S3"];
    LastOwnerGoes "oplog" "R6: the last owner may leave" ["S3" "SC"];
    OthersText "oplog" "R6: anybody edits and deletes what others wrote" ["S3" "S14"];
    MutedSpeaks "oplog" "R6: a mute stops nobody" ["S3"];
    ArchivedOpen "oplog" "R6: an archived channel still takes posts" ["S3"];
    TooFast "oplog" "R7: a lane may have any pace" ["S3"];
    AcrossChannels "oplog" "R8: an op may act on another channel" ["S3"];
    NothingChanges "oplog" "R8, A10: an op that changes nothing is valid" ["S3"];
    UndoByAnyone "oplog" "R9: any rank undoes a restriction" ["S3"];
    BannedComesBack "oplog" "A10: somebody banned is let in again" ["S3"];
    InviteForAll "oplog" "A17: an invite has no last use" ["S3" "SC"];
    KicksKey "oplog" "K2: a commit may remove who has the right to be there" ["S3"];
    TwoCommits "oplog" "K4: a device may commit twice on one epoch" ["S3"];
    UpdatesAnytime "oplog" "K5: key updates need no space between them" ["S3"];
    FutureNow "oplog" "B3: an op from the future is taken at once" ["S13"];

    RevokesPast "fold" "B4: a revocation also voids what it had seen" ["S3"];
    RevokesNothing "fold" "B4: a concurrent revocation voids nothing" ["S3" "SC"];
    GrantNotNeeded "fold" "A9: an op counts without a live grant" ["S3"];
    OwnBanStands "fold" "A10: who banned cannot lift it: `>=` for `>`" ["S3"];
    DigestFirst "fold" "B4: among concurrent writers the op id decides before rank" ["S3"];
    StrictestFirst "fold" "B4: among concurrent writers the stricter act decides before rank" ["S3"];
    PastDecides "fold" "B4: a writer that a later one saw still takes part" ["S3"];
    LateSwapped "fold" "B8: a kick without a policy quarantines late posts" ["S3" "SC"];
    CutShort "fold" "D1: a cut does not cover the head that it names" ["S3" "SC"];
    OpenAsListed "fold" "D2: a scope that nobody listed counts as listed" ["S3" "SC"];
    OneMoreLate "fold" "D3: the quota lets one late post too many pass" ["S3" "SC"];
    FirstEditWins "fold" "B10: the first edit decides" ["S3"];
    UnreactWins "fold" "B10: taking back also removes a reaction made later" ["S3"];
    AnyRestore "fold" "B10: a restore of any rank undoes a tombstone" ["S3"];
    FirstPinWins "fold" "B10: the first of pins and unpins decides" ["S3"];
    OrderByWall "fold" "B3: content is ordered by clocks before logical time" ["S3"];

    SealedForRemoved "node" "content is sealed for a group that holds somebody removed" ["S8"];
    OutboxForgets "node" "an own op is not queued for sending" ["L4" "L3" "R3"];
    SentIsTaken "node" "an op leaves the queue when it is sent, not when it is acknowledged" ["L4"];
    NeverReconciles "node" "nobody takes a removed device out of the group" ["L2" "L3" "L4"];
    HaveLies "node" "a device tells of more ops than it holds" ["S15" "L1" "L3" "SC"];
    GivesNothing "node" "whoever lacks an op is given nothing" ["L1" "L3" "L5" "SC"];
    RefusalsForgotten "node" "a refused op leaves no trace" ["S2"];
    CommitSealedAhead "node" "a commit is sealed under the epoch that it begins" ["R3" "L1" "L3" "L2"];
    StateKept "node" "old group states are not erased" ["S7"];
    SyncSkipped "driver" "effects run before what they tell is durable" ["S4" "S12"];

    KeyPackageKept "mls" "the secret of a used key package stays" ["S7"];
    RootChanges "mls" "an epoch's root comes back changed after a start" ["I11" "L1" "L3"];
    NonceRepeats "mls" "every envelope has the same nonce" ["S6"];

    SlotKept "store" "an erased secret stays in the vault" ["S7"];
    JournalUnsynced "store" "a commit's journal is not synced" ["S4" "S12"];
    LogUnsynced "store" "a sync leaves out the log" ["S4" "S2" "S12"];
    RedoSkipped "store" "what a crash cut off after the commit is not completed" ["S4" "S2" "S12"];
    AheadTrusted "store" "an index that is ahead of the log is trusted" ["S4" "S2" "S12" "S11"];

    CursorRepeats "net" "two envelopes may have one cursor" ["R3" "L1" "L3" "L4"];
    PageSkips "relay" "a page leaves out its first envelope" ["SC" "L1" "L3"];
    NobodyTold "relay" "subscribers are not told of new envelopes" ["R3" "SC"];
    KeptTooLong "relay" "nothing expires" ["R4"];
}

impl Mutant {
    /// The one that must always be found within a handful of worlds. If it is not, the checkers sleep.
    pub const CANARY: Self = Self::AnybodyMay;

    /// Finds one by its name.
    #[must_use]
    pub fn by_id(id: &str) -> Option<Self> {
        Self::ALL.iter().find(|mutant| mutant.id() == id).copied()
    }
}

#[cfg(not(feature = "mutants"))]
mod switch {
    use super::Mutant;

    /// Says whether this bug is on: never.
    #[must_use]
    #[inline(always)]
    pub const fn on(_: Mutant) -> bool {
        false
    }
}

#[cfg(feature = "mutants")]
mod switch {
    use core::cell::Cell;

    use super::Mutant;

    // One world runs in one thread, and several run side by side.
    thread_local! {
        static ON: Cell<Option<Mutant>> = const { Cell::new(None) };
    }

    /// Says whether this bug is on in this thread.
    #[must_use]
    pub fn on(mutant: Mutant) -> bool {
        ON.get() == Some(mutant)
    }

    /// Turns one bug on in this thread, or none; returns which was on before.
    pub fn turn_on(mutant: Option<Mutant>) -> Option<Mutant> {
        ON.replace(mutant)
    }
}

pub use switch::*;

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_mutant_has_a_name_a_place_and_a_checker_of_its_own() {
        let names: BTreeSet<_> = Mutant::ALL.iter().map(|m| m.id()).collect();
        let words: BTreeSet<_> = Mutant::ALL.iter().map(|m| m.breaks()).collect();
        assert!(names.len() >= 40, "{}", names.len());
        assert_eq!(words.len(), names.len());
        for mutant in Mutant::ALL {
            assert_eq!(Mutant::by_id(mutant.id()), Some(*mutant));
            assert!(!mutant.checkers().is_empty() && !mutant.area().is_empty());
        }
        assert_eq!(Mutant::by_id("no such bug"), None);
    }

    #[test]
    fn a_bug_is_on_only_where_it_was_turned_on() {
        assert!(Mutant::ALL.iter().all(|mutant| !on(*mutant)));
        #[cfg(feature = "mutants")]
        {
            assert_eq!(turn_on(Some(Mutant::LaneGaps)), None);
            assert!(on(Mutant::LaneGaps) && !on(Mutant::TooFast));
            assert_eq!(turn_on(None), Some(Mutant::LaneGaps));
            assert!(!on(Mutant::LaneGaps));
        }
    }
}
