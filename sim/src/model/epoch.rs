//! The tree of epochs (B5), as the commits declare it.

use std::collections::{BTreeMap, BTreeSet};

use super::act::Act;
use super::authority::Authority;
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

    /// The canonical tip of everything.
    pub(super) fn tip(&self, authority: &Authority<'_>, all: &State<'_, '_>) -> Option<Id> {
        let mut at = self.by_id.values().find(|e| e.parent.is_none())?.id;
        while let Some(child) = self
            .children(&at)
            .max_by_key(|child| self.key(child, authority, all))
        {
            at = child.id;
        }
        Some(at)
    }

    fn key(
        &self,
        x: &Epoch,
        authority: &Authority<'_>,
        all: &State<'_, '_>,
    ) -> (u32, u8, Option<u8>, usize, core::cmp::Reverse<(Id, Id)>) {
        let commit = authority.graph.op(&x.commit);
        let parent = x.parent.unwrap_or(x.id);
        let (user, device) = commit.map_or((x.id, x.id), |op| (op.user, op.device));
        let support = self.support(x, authority, all);
        let rank = hash("rank", &[&parent.0, &device.0]);
        (
            support.max(1).ilog2(),
            x.class,
            authority.state_before(&x.commit).weight(&user),
            support,
            core::cmp::Reverse((rank, x.id)),
        )
    }

    /// How many people of the parent's roster, still members, built on an epoch.
    fn support(&self, x: &Epoch, authority: &Authority<'_>, all: &State<'_, '_>) -> usize {
        let Some(parent) = x.parent.and_then(|p| self.get(&p)) else {
            return 0;
        };
        let there: BTreeSet<Id> = parent.roster.values().map(|(user, _)| *user).collect();
        let below = self.by_id.values().filter(|e| self.descends(&e.id, &x.id));
        let authors: BTreeSet<Id> = below
            .filter_map(|e| authority.graph.op(&e.commit))
            .map(|op| op.user)
            .collect();
        let there = there.intersection(&authors);
        there.filter(|user| all.is_member(user)).count()
    }
}

/// `H("roster", CBOR [[device, user, key package]…] sorted by device)`.
pub(super) fn roster_hash(roster: &Roster) -> Id {
    let bytes = |id: &Id| Cbor::Bytes(id.0.to_vec());
    let list = roster.iter().map(|(device, (user, package))| {
        Cbor::List(vec![bytes(device), bytes(user), bytes(package)])
    });
    hash("roster", &[&Cbor::List(list.collect()).write()])
}
