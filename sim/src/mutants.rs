//! Deliberate bugs, one at a time: which worlds show each, and turning it on for one of them.

use std::io;

use oplog::mutants::Mutant;

use crate::config::{Config, Profile};
use crate::fault::Class;

/// Says whether this program was built with deliberate bugs to turn on.
pub(crate) const BUILT: bool = cfg!(feature = "mutants");

/// Where a bug shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// In worlds of this theme, seed after seed, where one of these classes is on, if any is named.
    Theme(Profile, &'static [Class]),
    /// In this scenario, with one seed after the other.
    Scenario(&'static str),
}

/// Classes that take what was not synced.
const CRASHES: &[Class] = &[Class::PowerCut, Class::CrashUnsynced, Class::CrashMidWrite];

/// Returns where to look for a bug: where people, cheats or machines do what it is about.
pub(crate) const fn place(mutant: Mutant) -> Place {
    use Mutant as M;
    use Place::{Scenario, Theme};
    use Profile::{Byz, Chat, Forum, Moderation, Storage};
    match mutant {
        M::SignatureUnchecked => Theme(Byz, &[Class::ByzSignature, Class::ByzJoinStranger]),
        M::LaneGaps => Theme(Byz, &[Class::ByzLaneGap]),
        M::TimeGoesBack => Theme(Byz, &[Class::ByzBackdate]),
        M::ViewShrinks => Theme(Byz, &[Class::ByzForget]),
        M::EpochUnseen => Theme(Byz, &[Class::ByzEpoch]),
        M::EpochOfOthers => Theme(Byz, &[Class::ByzOldEpoch]),
        M::EqualRank => Theme(Byz, &[Class::ByzKickSelf]),
        M::OthersText => Theme(Byz, &[Class::ByzEdit]),
        M::TooFast => Theme(Byz, &[Class::ByzTooFast]),
        M::AcrossChannels => Theme(Byz, &[Class::ByzAcross]),
        M::KicksKey => Theme(Byz, &[Class::ByzEvict]),
        M::TwoCommits => Theme(Byz, &[Class::ByzCommitTwice]),
        M::FutureNow => Theme(Byz, &[Class::ByzFutureDefer]),
        M::RefusalsForgotten => Theme(Byz, &[]),
        M::AnybodyMay
        | M::MutedSpeaks
        | M::NothingChanges
        | M::UndoByAnyone
        | M::UpdatesAnytime
        | M::RevokesPast
        | M::OwnBanStands
        | M::DigestFirst
        | M::StrictestFirst
        | M::PastDecides
        | M::AnyRestore
        | M::OrderByWall
        | M::SealedForRemoved => Theme(Moderation, &[]),
        M::ArchivedOpen | M::FirstEditWins | M::UnreactWins | M::FirstPinWins => Theme(Forum, &[]),
        M::HeldForever | M::HaveLies | M::SentIsTaken | M::NonceRepeats | M::KeptTooLong => {
            Theme(Chat, &[])
        }
        M::RootChanges => Theme(Chat, &[Class::Kill, Class::PowerCut, Class::CrashUnsynced]),
        M::KeyPackageKept => Scenario("stale-laptop"),
        M::SlotKept => Theme(Storage, &[]),
        M::SyncSkipped | M::JournalUnsynced | M::LogUnsynced => Theme(Storage, CRASHES),
        // They show in the few steps between journal, log and index: each has its turn there.
        M::RedoSkipped | M::AheadTrusted => Scenario("crash-points"),
        M::BannedComesBack => Scenario("banned-asks"),
        M::InviteForAll => Scenario("invite-used-up"),
        M::LastOwnerGoes => Scenario("owner-stays"),
        M::RevokesNothing => Scenario("admin-duel"),
        M::GrantNotNeeded => Scenario("void-grant"),
        M::LateSwapped => Scenario("john-bob-b"),
        M::CutShort | M::NeverReconciles => Scenario("john-bob-a"),
        M::OpenAsListed => Scenario("open-scope"),
        M::OneMoreLate => Scenario("late-posts"),
        M::GivesNothing => Scenario("relay-loses-all"),
        M::PageSkips => Scenario("phone"),
        M::StateKept => Scenario("onboarding-30"),
        M::OutboxForgets | M::CommitSealedAhead | M::CursorRepeats | M::NobodyTold => {
            Scenario("quiet")
        }
    }
}

/// Finds out whether a world can be run as its config says.
///
/// # Errors
/// When it is to have a bug that there is not, or that this program was built without.
pub(crate) fn check(config: &Config) -> io::Result<()> {
    match config.mutant.as_deref() {
        None => Ok(()),
        Some(id) if Mutant::by_id(id).is_none() => {
            Err(io::Error::other(format!("there is no mutant {id}")))
        }
        Some(_) if BUILT => Ok(()),
        Some(_) => Err(io::Error::other(
            "built without deliberate bugs: build it with --features mutants",
        )),
    }
}

/// Turns the bug on that a world is to have, until the guard goes.
pub(crate) fn turn_on(config: &Config) -> On {
    On::new(config.mutant.as_deref().and_then(Mutant::by_id))
}

/// While it lives, a bug is on in this thread.
pub(crate) struct On {
    #[cfg(feature = "mutants")]
    before: Option<Mutant>,
}

#[cfg(feature = "mutants")]
impl On {
    fn new(mutant: Option<Mutant>) -> Self {
        let before = oplog::mutants::turn_on(mutant);
        Self { before }
    }
}

#[cfg(feature = "mutants")]
impl Drop for On {
    fn drop(&mut self) {
        oplog::mutants::turn_on(self.before);
    }
}

#[cfg(not(feature = "mutants"))]
impl On {
    const fn new(_: Option<Mutant>) -> Self {
        Self {}
    }
}
