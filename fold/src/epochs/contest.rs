//! Why one branch of the epochs counts and not another: the order of B5, told field by field.

use core::fmt;

use oplog::EpochId;

use super::{EpochTree, Node, Seen, electorate};

/// What decided between two commits on one epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum WonBy {
    /// A Seal lies on the winner, or on what follows from it (B9).
    Seal,
    /// Enough people complained about the loser (A3).
    Complaints,
    /// At least twice as many of the people who were there go on from the winner.
    Support {
        /// How many from the winner.
        winner: usize,
        /// How many from the loser.
        loser: usize,
    },
    /// What the commits change: removals go first, then additions, then mere updates.
    Class,
    /// The winner's author had the greater weight.
    Weight,
    /// More of the people who were there go on from the winner.
    MoreSupport {
        /// How many from the winner.
        winner: usize,
        /// How many from the loser.
        loser: usize,
    },
    /// A draw that parent and devices fix.
    Chance,
}

impl fmt::Display for WonBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Seal => f.write_str("a Seal lies on that branch"),
            Self::Complaints => f.write_str("members complained that they cannot follow this one"),
            Self::Support { winner, loser } | Self::MoreSupport { winner, loser } => write!(
                f,
                "{winner} of those who were there go on from it, and {loser} from this one"
            ),
            Self::Class => f.write_str("removals go before additions, and these before updates"),
            Self::Weight => f.write_str("its author has the higher role"),
            Self::Chance => f.write_str("all else being equal, the draw is for it"),
        }
    }
}

impl EpochTree {
    /// Returns what decides for `winner` against its sibling `loser`; `None` when one is unknown, they
    /// are no siblings, or nothing here does: `loser` would win. Seals are not looked at. Cost:
    /// O(n log n) over all epochs.
    #[must_use]
    pub fn won_by(&self, winner: &EpochId, loser: &EpochId, seen: &Seen<'_>) -> Option<WonBy> {
        let (winner, loser) = (self.nodes.get(winner)?, self.nodes.get(loser)?);
        let parent = winner
            .record
            .parent
            .filter(|p| loser.record.parent == Some(*p))?;
        let weighed = self.weigh(seen);
        if weighed.rejected.contains(&winner.record.id) {
            return None;
        }
        if weighed.rejected.contains(&loser.record.id) {
            return Some(WonBy::Complaints);
        }
        let electorate = electorate(self.epoch(&parent)?, seen);
        let support = |node: &Node| {
            let below = weighed.authors.get(&node.record.id).into_iter().flatten();
            below.filter(|user| electorate.contains(*user)).count()
        };
        let (for_winner, for_loser) = (support(winner), support(loser));
        let (a, b) = (winner.preference(for_winner), loser.preference(for_loser));
        if a <= b {
            return None;
        }
        Some(if a.bucket != b.bucket {
            WonBy::Support {
                winner: for_winner,
                loser: for_loser,
            }
        } else if a.class != b.class {
            WonBy::Class
        } else if a.weight != b.weight {
            WonBy::Weight
        } else if a.support != b.support {
            WonBy::MoreSupport {
                winner: for_winner,
                loser: for_loser,
            }
        } else {
            WonBy::Chance
        })
    }
}
