//! The tree of epochs (B5), as the commits declare it.

use std::collections::{BTreeMap, BTreeSet};

use super::act::Act;
use super::cbor::Cbor;
use super::crypto::hash;
use super::graph::Graph;
use super::id::Id;
use super::op::Op;
use super::state::State;

/// Who is in the group: device, then user and hash of the key package.
pub(super) type Roster = BTreeMap<Id, (Id, Id)>;

/// One epoch.
#[derive(Clone, Debug)]
pub(super) struct Epoch {
    pub(super) id: Id,
    pub(super) parent: Option<Id>,
    /// The op that began it.
    pub(super) commit: Id,
    pub(super) class: u8,
    pub(super) roster: Roster,
}

/// Every epoch that some op began.
pub(super) struct Epochs {
    by_id: BTreeMap<Id, Epoch>,
}

impl Epochs {
    pub(super) fn of(graph: &Graph) -> Self {
        let mut epochs = Self {
            by_id: BTreeMap::new(),
        };
        // Parents come first in the order of time (R2).
        let mut ops: Vec<&Op> = graph.ops().filter(|op| op.is_control()).collect();
        ops.sort_by_key(|op| (op.hlc, op.id));
        for op in ops {
            epochs.begin(op);
        }
        epochs
    }

    fn begin(&mut self, op: &Op) {
        let epoch = match &op.act {
            Some(Act::Genesis(genesis)) => Epoch {
                id: hash("epoch", &[&op.founds.0]),
                parent: None,
                commit: op.id,
                class: 1,
                roster: Roster::from([(op.device, (op.user, genesis.leaf))]),
            },
            Some(Act::Commit(commit)) => {
                let Some(parent) = self.by_id.get(&commit.parent) else {
                    return;
                };
                let mut roster = parent.roster.clone();
                for device in &commit.delta.removed {
                    roster.remove(device);
                }
                for leaf in &commit.delta.added {
                    roster.insert(leaf.device, (leaf.user, leaf.key_package));
                }
                Epoch {
                    id: hash("epoch", &[&op.id.0]),
                    parent: Some(commit.parent),
                    commit: op.id,
                    class: commit.class,
                    roster,
                }
            }
            _ => return,
        };
        self.by_id.insert(epoch.id, epoch);
    }

    pub(super) fn get(&self, id: &Id) -> Option<&Epoch> {
        self.by_id.get(id)
    }

    /// An epoch and those before it, the newest first.
    pub(super) fn chain<'a>(&'a self, from: &Id) -> impl Iterator<Item = &'a Epoch> + use<'a> {
        core::iter::successors(self.get(from), |e| self.get(e.parent.as_ref()?))
    }

    /// The epoch that a commit began and those before it; none of any other op.
    pub(super) fn chain_of_commit(&self, commit: &Id) -> impl Iterator<Item = Id> {
        let begun = self.by_id.values().find(|e| e.commit == *commit);
        begun
            .into_iter()
            .flat_map(|e| self.chain(&e.id))
            .map(|e| e.id)
    }

    /// Whether an epoch is another or comes after it.
    pub(super) fn descends(&self, epoch: &Id, ancestor: &Id) -> bool {
        self.chain(epoch).any(|e| e.id == *ancestor)
    }

    /// E1: the first epoch on the chain to a tip whose commit had seen a removal, and how far it is
    /// from the first.
    pub(super) fn first_seeing(
        &self,
        graph: &Graph,
        tip: &Id,
        removal: &Id,
    ) -> Option<(usize, Id)> {
        let mut chain: Vec<&Epoch> = self.chain(tip).collect();
        chain.reverse();
        let sees = |e: &&&Epoch| graph.sees(&e.commit, removal);
        let place = chain.iter().position(|e| sees(&e))?;
        Some((place, chain.get(place)?.id))
    }

    fn children<'a>(&'a self, of: &'a Id) -> impl Iterator<Item = &'a Epoch> {
        self.by_id.values().filter(|e| e.parent == Some(*of))
    }

    /// The canonical tip of a folded set, sought from the epoch of its Seal, or from the first.
    pub(super) fn tip(&self, all: &State<'_, '_>) -> Option<Id> {
        let first = || self.by_id.values().find(|e| e.parent.is_none());
        let mut at = all.sealed_epoch().or_else(|| Some(first()?.id))?;
        let weighed = self.weigh(all);
        while let Some(child) = self
            .children(&at)
            .filter(|child| weighed.authors.contains_key(&child.id))
            .max_by_key(|child| self.key(child, &weighed, all))
        {
            at = child.id;
        }
        Some(at)
    }

    /// The epochs that a set knows.
    fn known<'s>(&'s self, all: &'s State<'_, '_>) -> impl Iterator<Item = &'s Epoch> {
        self.by_id
            .values()
            .filter(|e| all.fold.effective.contains(&e.commit))
    }

    /// The eligible epochs, each with the authors of the eligible commits in its subtree, its own
    /// included. From the leaves up: whether one is eligible depends on what is below it alone.
    fn weigh(&self, all: &State<'_, '_>) -> Weighed {
        let mut deepest: Vec<&Epoch> = self.known(all).collect();
        deepest.sort_by_cached_key(|e| core::cmp::Reverse(self.chain(&e.id).count()));
        let mut members = all.people();
        members.retain(|user| all.is_member(user));
        let complaints = self.complaints(&members, all);
        let mut weighed = BTreeMap::<Id, BTreeSet<Id>>::new();
        for x in deepest {
            let mut authors: BTreeSet<Id> = self
                .children(&x.id)
                .filter_map(|child| weighed.get(&child.id))
                .flatten()
                .copied()
                .collect();
            let against = complaints.get(&x.id).map_or(0, BTreeSet::len);
            let author = all.authority.graph.op(&x.commit).map(|op| op.user);
            let mut followers = self.electorate(x, &members);
            followers.retain(|user| authors.contains(user) && Some(*user) != author);
            let borne = self.few(x).max(followers.len().saturating_sub(1));
            if against == 0 || against < borne {
                authors.extend(author);
                weighed.insert(x.id, authors);
            }
        }
        Weighed {
            members,
            authors: weighed,
        }
    }

    /// `θ`: so many complaints stand against a commit that nobody follows.
    fn few(&self, x: &Epoch) -> usize {
        let users = self.before(x).len();
        (users.saturating_sub(1) / 2).clamp(1, 3)
    }

    /// The people of the parent's roster.
    fn before(&self, x: &Epoch) -> BTreeSet<Id> {
        let parent = x.parent.and_then(|parent| self.get(&parent));
        let roster = parent.into_iter().flat_map(|parent| parent.roster.values());
        roster.map(|(user, _)| *user).collect()
    }

    /// Those of them who are members by now.
    fn electorate(&self, x: &Epoch, members: &BTreeSet<Id>) -> BTreeSet<Id> {
        let mut users = self.before(x);
        users.retain(|user| members.contains(user));
        users
    }

    /// Who complains about each epoch (A3): of one person against one author one in 8 epoch numbers
    /// counts, from the lowest on.
    fn complaints(
        &self,
        members: &BTreeSet<Id>,
        all: &State<'_, '_>,
    ) -> BTreeMap<Id, BTreeSet<Id>> {
        let mut of_pairs: BTreeMap<(Id, Id), BTreeSet<(usize, Id)>> = BTreeMap::new();
        for op in all.ops() {
            let Some(Act::Complaint(complaint)) = op.deed() else {
                continue;
            };
            let Some(x) = self.get(&complaint.epoch) else {
                continue;
            };
            let Some(author) = all.authority.graph.op(&x.commit).map(|op| op.user) else {
                continue;
            };
            if author != op.user && self.electorate(x, members).contains(&op.user) {
                let number = self.chain(&x.id).count();
                let of_pair = of_pairs.entry((op.user, author)).or_default();
                of_pair.insert((number, x.id));
            }
        }
        let mut counted: BTreeMap<Id, BTreeSet<Id>> = BTreeMap::new();
        for ((by, _), epochs) in of_pairs {
            let mut last = None;
            for (number, epoch) in epochs {
                if last.is_none_or(|last| number >= last + 8) {
                    counted.entry(epoch).or_default().insert(by);
                    last = Some(number);
                }
            }
        }
        counted
    }

    fn key(
        &self,
        x: &Epoch,
        weighed: &Weighed,
        all: &State<'_, '_>,
    ) -> (u32, u8, Option<u8>, usize, core::cmp::Reverse<(Id, Id)>) {
        let authority = all.authority;
        let commit = authority.graph.op(&x.commit);
        let parent = x.parent.unwrap_or(x.id);
        let (user, device) = commit.map_or((x.id, x.id), |op| (op.user, op.device));
        let mut supporters = self.electorate(x, &weighed.members);
        let authors = weighed.authors.get(&x.id);
        supporters.retain(|user| authors.is_some_and(|authors| authors.contains(user)));
        let support = supporters.len();
        let rank = hash("rank", &[&parent.0, &device.0]);
        (
            support.max(1).ilog2(),
            x.class,
            authority.state_before(&x.commit).weight(&user),
            support,
            core::cmp::Reverse((rank, x.id)),
        )
    }
}

/// What the choice among epochs rests on.
struct Weighed {
    members: BTreeSet<Id>,
    /// The epochs that may be on the canonical chain, with who authored what is below them.
    authors: BTreeMap<Id, BTreeSet<Id>>,
}

/// `H("roster", CBOR [[device, user, key package]…] sorted by device)`.
pub(super) fn roster_hash(roster: &Roster) -> Id {
    let bytes = |id: &Id| Cbor::Bytes(id.0.to_vec());
    let list = roster.iter().map(|(device, (user, package))| {
        Cbor::List(vec![bytes(device), bytes(user), bytes(package)])
    });
    hash("roster", &[&Cbor::List(list.collect()).write()])
}
