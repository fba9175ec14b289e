//! Deliberate bugs, one at a time: which worlds show each, and turning it on for one of them.

use oplog::mutants::Mutant;

use crate::config::{Config, Profile};

/// Says whether this program was built with deliberate bugs to turn on.
pub(crate) const BUILT: bool = cfg!(feature = "mutants");

/// Where a bug shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// In worlds of this theme, seed after seed.
    Theme(Profile),
    /// In this scenario, whatever the seed.
    Scenario(&'static str),
}

/// Returns where to look for a bug: the theme in which people or cheats do what it is about.
pub(crate) const fn place(mutant: Mutant) -> Place {
    use Mutant as M;
    Place::Theme(match mutant {
        M::SignatureUnchecked
        | M::LaneGaps
        | M::TimeGoesBack
        | M::ViewShrinks
        | M::EpochUnseen
        | M::EpochOfOthers
        | M::EqualRank
        | M::OthersText
        | M::TooFast
        | M::AcrossChannels
        | M::KicksKey
        | M::TwoCommits
        | M::FutureNow
        | M::RefusalsForgotten => Profile::Byz,
        M::AnybodyMay
        | M::LastOwnerGoes
        | M::MutedSpeaks
        | M::NothingChanges
        | M::UndoByAnyone
        | M::BannedComesBack
        | M::InviteForAll
        | M::UpdatesAnytime
        | M::RevokesPast
        | M::RevokesNothing
        | M::GrantNotNeeded
        | M::OwnBanStands
        | M::DigestFirst
        | M::StrictestFirst
        | M::PastDecides
        | M::LateSwapped
        | M::CutShort
        | M::OpenAsListed
        | M::AnyRestore
        | M::OrderByWall
        | M::SealedForRemoved
        | M::NeverReconciles => Profile::Moderation,
        M::ArchivedOpen | M::FirstEditWins | M::UnreactWins | M::FirstPinWins => Profile::Forum,
        M::HaveLies | M::GivesNothing => Profile::Relays,
        M::HeldForever | M::SentIsTaken | M::RootChanges | M::NonceRepeats | M::KeptTooLong => {
            Profile::Chat
        }
        M::StateKept => Profile::Onboarding,
        M::OutboxForgets
        | M::CommitSealedAhead
        | M::CursorRepeats
        | M::PageSkips
        | M::NobodyTold => Profile::Calm,
        M::SyncSkipped
        | M::KeyPackageKept
        | M::SlotKept
        | M::JournalUnsynced
        | M::LogUnsynced
        | M::RedoSkipped
        | M::AheadTrusted => Profile::Storage,
        M::OneMoreLate => return Place::Scenario("late-posts"),
    })
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

#[cfg(all(test, feature = "mutants"))]
mod tests {
    use super::*;
    use crate::run;

    /// If the checkers slept, every other test of a world could pass.
    #[test]
    fn the_canary_is_found_within_a_handful_of_worlds() {
        let found = (0..5).any(|seed| {
            let mut config = Config::draw(seed, Some(Profile::Moderation));
            config.mutant = Some(Mutant::CANARY.id().to_owned());
            let failure = run::run(&config, &run::schedule(&config), 0).failure;
            failure.is_some_and(|f| Mutant::CANARY.checkers().contains(&f.checker.as_str()))
        });
        assert!(found, "the canary lives");
    }

    #[test]
    fn a_bug_is_gone_when_its_world_is() {
        let mut config = Config::draw(1, Some(Profile::Chat));
        config.mutant = Some(Mutant::LaneGaps.id().to_owned());
        drop(turn_on(&config));
        assert!(!oplog::mutants::on(Mutant::LaneGaps));
    }
}
