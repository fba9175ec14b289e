//! The tree of epochs: every commit ever accepted, forks included, and which chain counts (B5).
//!
//! Commits are key-plane facts: they are never void, and losing a fork costs re-keying, never a
//! message. Which chain is canonical is a pure function of the commits, of who is a member
//! by now, and of which epochs are eligible. No time and no commit bytes take part, so that
//! nobody can grind for it.

mod contest;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use imbl::OrdSet;
use oplog::authority::EpochRecord;
use oplog::dag::ControlDag;
use oplog::hash::H;
use oplog::payload::{Commit, CommitClass, Genesis, RosterDelta, RosterEntry, Weight};
use oplog::{AcceptedOp, Digest, EpochId, OpId, UserId};

pub use contest::WonBy;

/// All epochs of a Space.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EpochTree {
    nodes: BTreeMap<EpochId, Node>,
    root: Option<EpochId>,
    /// By the epoch complained about.
    complaints: BTreeMap<EpochId, BTreeSet<(OpId, UserId)>>,
}

/// What of a tree counts for the search of a tip. Nothing here may depend on arrival.
pub struct Seen<'a> {
    /// Who is a member by now.
    pub member: &'a dyn Fn(&UserId) -> bool,
    /// Which epochs may be on the chain at all, complaints aside.
    pub eligible: &'a dyn Fn(&EpochId) -> bool,
    /// Which complaints count, by op.
    pub complaint: &'a dyn Fn(&OpId) -> bool,
}

impl core::fmt::Debug for Seen<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Seen").finish_non_exhaustive()
    }
}

/// The tree, looked at once from below.
#[derive(Default)]
struct Weighed {
    authors: BTreeMap<EpochId, OrdSet<UserId>>,
    /// Epochs that complaints take out, with all that follows them.
    rejected: BTreeSet<EpochId>,
}

/// What complaints come to about one commit (A3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Complaints {
    /// The complaints that count.
    pub ops: Vec<OpId>,
    /// How many people raised them.
    pub people: usize,
    /// How many people it takes.
    pub needed: usize,
    /// Whether the group goes on from before the commit.
    pub set_aside: bool,
}

/// Most complaints that suffice against a commit which nobody follows (A3). Guess: three people who
/// say so outweigh one, and two may err together.
const COMPLAINTS_FEW_MAX: usize = 3;
/// In how many epochs one person's complaint against one author counts once (A3).
const COMPLAINT_EPOCHS: u64 = 8;

/// The people of an epoch who are members by now.
fn electorate(record: &EpochRecord, seen: &Seen<'_>) -> BTreeSet<UserId> {
    let users = record.roster.values().map(|(user, _)| *user);
    users.filter(|user| (seen.member)(user)).collect()
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Node {
    record: EpochRecord,
    /// Of the committer at the commit's own past.
    weight: Weight,
    /// Sorted.
    children: Vec<EpochId>,
    /// An ancestor some way back, so that any ancestor is found in O(log n) steps
    /// (Myers 1983, "An applicative random-access stack"). The root's is itself.
    jump: EpochId,
}

impl EpochTree {
    /// Begins the tree with a Space's Genesis. Later ones change nothing.
    pub(crate) fn found(&mut self, op: &AcceptedOp, genesis: &Genesis) {
        let Some(id) = op.begins_epoch().filter(|_| self.root.is_none()) else {
            return;
        };
        let header = op.header();
        let founder = RosterEntry {
            device: header.device,
            user: header.user,
            key_package: genesis.leaf,
        };
        let roster = BTreeMap::from([(founder.device, (founder.user, founder.key_package))]);
        let record = EpochRecord {
            id,
            parent: None,
            number: 0,
            commit: op.id(),
            class: CommitClass::Add,
            user: header.user,
            device: header.device,
            delta: RosterDelta {
                added: vec![founder],
                removed: Vec::new(),
            },
            root_commit: genesis.root_commit,
            roster: Arc::new(roster),
        };
        self.root = Some(id);
        self.insert(record, Weight::OWNER, id);
    }

    /// Adds the epoch of a commit. One whose parent is unknown adds nothing; acceptance refuses it.
    pub(crate) fn branch(&mut self, op: &AcceptedOp, commit: &Commit, weight: Weight) {
        let Some(id) = op.begins_epoch().filter(|id| !self.nodes.contains_key(id)) else {
            return;
        };
        let Some(parent) = self.nodes.get(&commit.parent) else {
            return;
        };
        let jump = self.jump_below(parent);
        let header = op.header();
        let record = EpochRecord {
            id,
            parent: Some(commit.parent),
            number: parent.record.number.saturating_add(1),
            commit: op.id(),
            class: commit.class,
            user: header.user,
            device: header.device,
            delta: commit.delta.clone(),
            root_commit: commit.root_commit,
            roster: roster_after(&parent.record.roster, &commit.delta),
        };
        if let Some(parent) = self.nodes.get_mut(&commit.parent) {
            let at = parent.children.partition_point(|child| *child < id);
            parent.children.insert(at, id);
        }
        self.insert(record, weight, jump);
    }

    /// Returns an epoch.
    #[must_use]
    pub fn epoch(&self, id: &EpochId) -> Option<&EpochRecord> {
        self.nodes.get(id).map(|node| &node.record)
    }

    /// Returns the first epoch of the Space.
    #[must_use]
    pub const fn genesis(&self) -> Option<&EpochId> {
        self.root.as_ref()
    }

    /// Returns every epoch, by id.
    pub fn iter(&self) -> impl Iterator<Item = &EpochRecord> {
        self.nodes.values().map(|node| &node.record)
    }

    /// Returns how many epochs there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Returns whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// Returns the epochs that follow this one, sorted.
    #[must_use]
    pub fn children(&self, id: &EpochId) -> &[EpochId] {
        self.nodes.get(id).map_or(&[], |node| &node.children)
    }

    /// Returns every epoch with more than one child, by id.
    pub fn forks(&self) -> impl Iterator<Item = &EpochRecord> {
        let forked = self.nodes.values().filter(|node| node.children.len() > 1);
        forked.map(|node| &node.record)
    }

    /// Returns whether `a` is `b` or one of the epochs it came from. Numbers alone never say so (A14).
    #[must_use]
    pub fn is_ancestor(&self, a: &EpochId, b: &EpochId) -> bool {
        let Some(target) = self.epoch(a).map(|record| record.number) else {
            return false;
        };
        let mut at = *b;
        while let Some(node) = self.nodes.get(&at) {
            if node.record.number <= target {
                break;
            }
            let Some(parent) = node.record.parent else {
                break;
            };
            let leaps = self
                .epoch(&node.jump)
                .is_some_and(|jump| jump.number >= target && jump.number < node.record.number);
            at = if leaps { node.jump } else { parent };
        }
        at == *a
    }

    /// Returns the chain from the first epoch to this one, both included; empty for unknown epochs.
    #[must_use]
    pub fn chain(&self, tip: &EpochId) -> Vec<EpochId> {
        let mut chain = Vec::new();
        let mut at = self.epoch(tip);
        while let Some(record) = at {
            chain.push(record.id);
            at = record.parent.and_then(|parent| self.epoch(&parent));
        }
        chain.reverse();
        chain
    }

    /// Returns whether an epoch's commit was written with a control op in its past.
    #[must_use]
    pub fn commit_sees(&self, dag: &ControlDag, epoch: &EpochId, op: &OpId) -> bool {
        self.epoch(epoch)
            .is_some_and(|record| dag.precedes(op, &record.commit))
    }

    /// Returns `E1(R)`: the first epoch on a chain whose commit had this removal in its past,
    /// so that by K2 its roster lacks the target. `chain` as [`Self::chain`] gives it.
    ///
    /// A commit has its parent's commit in its past (R5), so what one has seen all later ones
    /// have: O(log n).
    #[must_use]
    pub fn first_seeing(
        &self,
        dag: &ControlDag,
        chain: &[EpochId],
        removal: &OpId,
    ) -> Option<EpochId> {
        let blind = chain.partition_point(|epoch| !self.commit_sees(dag, epoch, removal));
        chain.get(blind).copied()
    }

    /// Returns where the canonical chain leads from this epoch on, whether it is on it itself or
    /// not; `None` for an unknown epoch: the greatest eligible child by (support in powers of two,
    /// class, weight, support, fixed chance), until there is none.
    ///
    /// A user supports an epoch who authored an eligible commit in its subtree, belonged to the
    /// group before it, and is a member by now. So neither people added inside a branch nor people
    /// removed since can carry it. Cost: O(1) for each epoch of the chain while nothing forks and
    /// nobody complains, else once O(n log n) over everything.
    #[must_use]
    pub fn canonical_tip_after(&self, start: &EpochId, seen: &Seen<'_>) -> Option<EpochId> {
        let mut tip = self.nodes.get(start)?;
        let mut weighed: Option<Weighed> = None;
        loop {
            let kids: Vec<&Node> = tip
                .children
                .iter()
                .filter(|kid| (seen.eligible)(kid))
                .filter_map(|kid| self.nodes.get(kid))
                .collect();
            tip = match kids.as_slice() {
                [] => return Some(tip.record.id),
                [kid] if !self.complaints.contains_key(&kid.record.id) => kid,
                kids => {
                    let weighed = weighed.get_or_insert_with(|| self.weigh(seen));
                    let electorate = electorate(&tip.record, seen);
                    let key = |kid: &&&Node| {
                        let below = weighed.authors.get(&kid.record.id);
                        let supporters = below.into_iter().flatten();
                        let support = supporters.filter(|u| electorate.contains(*u)).count();
                        kid.preference(support)
                    };
                    let standing = kids
                        .iter()
                        .filter(|kid| !weighed.rejected.contains(&kid.record.id));
                    match standing.max_by_key(key) {
                        Some(kid) => kid,
                        None => return Some(tip.record.id),
                    }
                }
            };
        }
    }

    /// Notes a complaint about an epoch, known or not.
    pub(crate) fn complain(&mut self, epoch: EpochId, by: UserId, op: OpId) {
        self.complaints.entry(epoch).or_default().insert((op, by));
    }

    /// Returns the complaints that count about a commit, and how many it takes to set it aside; `None`
    /// for an unknown epoch. Cost: O(n log n) over all epochs.
    #[must_use]
    pub fn complaints_about(&self, epoch: &EpochId, seen: &Seen<'_>) -> Option<Complaints> {
        let record = self.epoch(epoch)?;
        let weighed = self.weigh(seen);
        let below = weighed.authors.get(epoch).cloned().unwrap_or_default();
        let counted = self.counted_complaints(seen).remove(epoch);
        let people = counted.unwrap_or_default();
        let raised = self.complaints.get(epoch).into_iter().flatten();
        let counts = raised.filter(|(op, by)| people.contains(by) && (seen.complaint)(op));
        Some(Complaints {
            ops: counts.map(|(op, _)| *op).collect(),
            people: people.len(),
            needed: self.complaints_borne(record, &below, seen),
            set_aside: weighed.rejected.contains(epoch),
        })
    }

    /// The authors of the eligible commits in each eligible subtree, and what complaints take out.
    ///
    /// From the deepest up: whether an epoch stands depends on its own subtree alone.
    fn weigh(&self, seen: &Seen<'_>) -> Weighed {
        let mut deepest_first: Vec<&Node> = self
            .nodes
            .values()
            .filter(|node| (seen.eligible)(&node.record.id))
            .collect();
        deepest_first.sort_by_key(|node| core::cmp::Reverse(node.record.number));
        let counted = self.counted_complaints(seen);
        let mut weighed = Weighed::default();
        let authors = &mut weighed.authors;
        for node in deepest_first {
            let record = &node.record;
            let own = authors.entry(record.id).or_default();
            let complaints = counted.get(&record.id).map_or(0, BTreeSet::len);
            if complaints > 0 && complaints >= self.complaints_borne(record, own, seen) {
                weighed.rejected.insert(record.id);
                continue;
            }
            own.insert(record.user);
            let own = own.clone();
            if let Some(parent) = record.parent {
                let above = authors.entry(parent).or_default();
                // The smaller into the larger: the larger keeps its shared structure.
                let (mut large, small) = if above.len() >= own.len() {
                    (above.clone(), own)
                } else {
                    (own, above.clone())
                };
                for user in small {
                    large.insert(user);
                }
                *above = large;
            }
        }
        weighed
    }

    /// A3: how many complaints make an epoch stand no more: as many as a few people can raise, or
    /// as others follow it.
    fn complaints_borne(
        &self,
        record: &EpochRecord,
        below: &OrdSet<UserId>,
        seen: &Seen<'_>,
    ) -> usize {
        let Some(parent) = record.parent.and_then(|parent| self.epoch(&parent)) else {
            return usize::MAX;
        };
        let users: BTreeSet<UserId> = parent.roster.values().map(|(user, _)| *user).collect();
        let few = (users.len().saturating_sub(1) / 2).clamp(1, COMPLAINTS_FEW_MAX);
        let electorate = electorate(parent, seen);
        let followers = below
            .iter()
            .filter(|user| **user != record.user && electorate.contains(*user))
            .count();
        few.max(followers.saturating_sub(1))
    }

    /// A3: who complains about each epoch, of those who may. Against one author a person counts once
    /// in 8 epochs, from the lowest on.
    fn counted_complaints(&self, seen: &Seen<'_>) -> BTreeMap<EpochId, BTreeSet<UserId>> {
        let mut against: BTreeMap<(UserId, UserId), BTreeSet<(u64, EpochId)>> = BTreeMap::new();
        for (epoch, complaints) in &self.complaints {
            let Some(record) = self.epoch(epoch) else {
                continue;
            };
            let Some(parent) = record.parent.and_then(|parent| self.epoch(&parent)) else {
                continue;
            };
            let electorate = electorate(parent, seen);
            for (op, by) in complaints {
                if *by != record.user && electorate.contains(by) && (seen.complaint)(op) {
                    let of_pair = against.entry((*by, record.user)).or_default();
                    of_pair.insert((record.number, *epoch));
                }
            }
        }
        let mut counted: BTreeMap<EpochId, BTreeSet<UserId>> = BTreeMap::new();
        for ((by, _), epochs) in against {
            let mut free_from = 0;
            for (number, epoch) in epochs {
                if number >= free_from {
                    counted.entry(epoch).or_default().insert(by);
                    free_from = number.saturating_add(COMPLAINT_EPOCHS);
                }
            }
        }
        counted
    }

    fn insert(&mut self, record: EpochRecord, weight: Weight, jump: EpochId) {
        let id = record.id;
        let node = Node {
            record,
            weight,
            children: Vec::new(),
            jump,
        };
        self.nodes.insert(id, node);
    }

    /// Where a child of this node jumps: as far again as the two jumps above it, if they are equal.
    fn jump_below(&self, parent: &Node) -> EpochId {
        let number = |id: &EpochId| self.epoch(id).map_or(0, |record| record.number);
        let first = self.nodes.get(&parent.jump);
        let second = first.map_or(parent.jump, |node| node.jump);
        let here = parent.record.number;
        let near = here.saturating_sub(number(&parent.jump));
        let far = number(&parent.jump).saturating_sub(number(&second));
        if near == far && near > 0 {
            second
        } else {
            parent.record.id
        }
    }
}

impl Node {
    /// How this epoch compares with its siblings; the greatest is canonical (B5, A4).
    fn preference(&self, support: usize) -> Preference {
        let parent = self.record.parent.unwrap_or(EpochId::ZERO);
        let chance = H::new("rank")
            .field(parent.as_bytes())
            .field(self.record.device.as_bytes())
            .finish();
        Preference {
            bucket: support.max(1).ilog2(),
            class: self.record.class,
            weight: self.weight,
            support,
            chance: core::cmp::Reverse(Digest::from_bytes(chance)),
            commit: core::cmp::Reverse(self.record.commit),
        }
    }
}

/// Compared field by field, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Preference {
    /// ⌊log₂ support⌋: only twice the support outweighs what follows, so that a late commit
    /// does not flip a chain that people already follow.
    bucket: u32,
    /// A removal beats its target's race.
    class: CommitClass,
    weight: Weight,
    support: usize,
    /// Fixed by parent and device: nothing in the commit can be ground for it.
    chance: core::cmp::Reverse<Digest>,
    commit: core::cmp::Reverse<OpId>,
}

type Roster = BTreeMap<oplog::DeviceId, (UserId, Digest)>;

/// The roster after a commit; the same map when nothing changed.
fn roster_after(before: &Arc<Roster>, delta: &RosterDelta) -> Arc<Roster> {
    if delta.added.is_empty() && delta.removed.is_empty() {
        return before.clone();
    }
    let mut roster = (**before).clone();
    for device in &delta.removed {
        roster.remove(device);
    }
    for entry in &delta.added {
        roster.insert(entry.device, (entry.user, entry.key_package));
    }
    Arc::new(roster)
}
