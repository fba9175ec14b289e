//! The control plane as a graph: who had seen what.
//!
//! Every control op gets the causal past of its parents as a clock over *chains*. A
//! chain is a path along `back`: an op continues the chain of the op before it in
//! its lane when it is the first to do so, and begins a chain when it forks the
//! lane. Chain numbers depend on arrival; the relation they answer does not, not
//! even for lanes that equivocate.
//!
//! # Invariants
//! - Parents are inserted before children.
//! - `a ≺ b` exactly when a path of references leads from b to a.

use std::collections::BTreeMap;
use std::sync::Arc;

use imbl::OrdMap;

use crate::ids::{OpId, Scope};
use crate::op::AcceptedOp;

/// A number for a chain, local to this replica: never stored, sent or compared across replicas.
type Chain = u32;

/// Which control ops lie in some causal past: for each chain, how many of its ops.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Past(OrdMap<Chain, u64>);

impl Past {
    /// Returns whether everything in `other` is in this past too.
    #[must_use]
    pub fn contains_all(&self, other: &Self) -> bool {
        self.0.ptr_eq(&other.0)
            || other
                .0
                .iter()
                .all(|(chain, len)| self.0.get(chain).is_some_and(|mine| mine >= len))
    }

    /// Returns whether nothing is in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn holds(&self, chain: Chain, position: u64) -> bool {
        self.0.get(&chain).is_some_and(|len| *len > position)
    }

    fn join(&mut self, other: &Self) {
        if self.0.ptr_eq(&other.0) {
            return;
        }
        // Fold the smaller into the larger, so that the larger keeps its shared structure.
        let (mut big, small) = if self.0.len() >= other.0.len() {
            (self.0.clone(), &other.0)
        } else {
            (other.0.clone(), &self.0)
        };
        for (chain, len) in small {
            if big.get(chain).is_none_or(|mine| mine < len) {
                big.insert(*chain, *len);
            }
        }
        self.0 = big;
    }
}

/// Where one op stands, so that two can be compared without looking either up. It means
/// something only among places of one graph: never store, send or compare it across replicas.
#[derive(Clone, Debug)]
pub struct Place {
    past: Past,
    chain: Chain,
    position: u64,
}

impl Place {
    /// Returns whether the author of the `later` op had seen this one. No op has seen itself.
    #[must_use]
    pub fn precedes(&self, later: &Self) -> bool {
        later.past.holds(self.chain, self.position)
    }
}

/// One control op and its place in the graph.
#[derive(Clone, Debug)]
pub struct ControlNode {
    /// The op.
    pub op: Arc<AcceptedOp>,
    /// Everything before it, itself excluded.
    pub past: Past,
    /// `g`: 1 + the greatest depth among its parents.
    pub depth: u64,
    /// Its parents without those that another parent had seen: the same past, named by fewest. An op
    /// names the one before it in its lane too, however long ago that was.
    pub follows: Vec<OpId>,
    /// How many ops of the graph follow it so.
    pub followers: usize,
    chain: Chain,
    position: u64,
}

impl ControlNode {
    /// Returns where the op stands.
    #[must_use]
    pub fn place(&self) -> Place {
        Place {
            past: self.past.clone(),
            chain: self.chain,
            position: self.position,
        }
    }
}

/// All accepted control ops of a Space, with their order.
#[derive(Clone, Debug, Default)]
pub struct ControlDag {
    /// Parents before children.
    nodes: Vec<ControlNode>,
    /// Where each op lies among them.
    index: BTreeMap<OpId, usize>,
    heads: Vec<OpId>,
    chains: u32,
    /// The op that ends each chain so far.
    chain_ends: BTreeMap<OpId, Chain>,
}

impl ControlDag {
    /// Returns an empty graph.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds an op whose parents are all here; does nothing for content ops and ops already here.
    /// Returns whether it was added.
    pub fn insert(&mut self, op: Arc<AcceptedOp>) -> bool {
        let id = op.id();
        if op.header().scope != Scope::Control || self.contains(&id) {
            return false;
        }
        let parents: Vec<OpId> = op.header().refs().collect();
        let follows = self.minimal(&parents);
        let past = self.past_of(&follows);
        let mut depth = 1;
        for parent in &follows {
            let at = self.index.get(parent);
            if let Some(parent) = at.and_then(|at| self.nodes.get_mut(*at)) {
                parent.followers += 1;
                depth = depth.max(1 + parent.depth);
            }
        }
        let continued = op
            .header()
            .back
            .and_then(|back| self.chain_ends.remove(&back));
        let chain = continued.unwrap_or_else(|| {
            self.chains += 1;
            self.chains
        });
        let position = past.0.get(&chain).copied().unwrap_or(0);
        self.chain_ends.insert(id, chain);
        self.heads.retain(|head| !parents.contains(head));
        let at = self.heads.partition_point(|head| *head < id);
        self.heads.insert(at, id);
        self.index.insert(id, self.nodes.len());
        self.nodes.push(ControlNode {
            op,
            past,
            depth,
            follows,
            followers: 0,
            chain,
            position,
        });
        true
    }

    /// Returns an op's node.
    #[must_use]
    pub fn node(&self, id: &OpId) -> Option<&ControlNode> {
        self.nodes.get(*self.index.get(id)?)
    }

    /// Returns whether this control op is here.
    #[must_use]
    pub fn contains(&self, id: &OpId) -> bool {
        self.index.contains_key(id)
    }

    /// Returns how many ops there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Returns whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// Returns the ops without children, sorted.
    #[must_use]
    pub fn heads(&self) -> &[OpId] {
        &self.heads
    }

    /// Returns every op, parents before children. The order among concurrent ops is that of arrival.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &ControlNode> {
        self.nodes.iter()
    }

    /// Returns everything up to and including these ops. Ids that are not here count for nothing.
    #[must_use]
    pub fn past_of(&self, frontier: &[OpId]) -> Past {
        let mut past = Past::default();
        for node in frontier.iter().filter_map(|id| self.node(id)) {
            past.join(&node.past);
            let len = past
                .0
                .get(&node.chain)
                .copied()
                .unwrap_or(0)
                .max(node.position + 1);
            past.0.insert(node.chain, len);
        }
        past
    }

    /// Returns whether this op lies in that past.
    #[must_use]
    pub fn in_past(&self, id: &OpId, past: &Past) -> bool {
        self.node(id)
            .is_some_and(|node| past.holds(node.chain, node.position))
    }

    /// Returns whether a ≺ b: b's author had seen a.
    #[must_use]
    pub fn precedes(&self, a: &OpId, b: &OpId) -> bool {
        a != b && self.node(b).is_some_and(|b| self.in_past(a, &b.past))
    }

    /// Returns whether neither author had seen the other's op.
    #[must_use]
    pub fn concurrent(&self, a: &OpId, b: &OpId) -> bool {
        a != b && !self.precedes(a, b) && !self.precedes(b, a)
    }

    /// Returns these ops without those that lie in the past of another one: the same past, named by fewest.
    #[must_use]
    pub fn minimal(&self, frontier: &[OpId]) -> Vec<OpId> {
        let nodes = frontier.iter().map(|id| (id, self.node(id)));
        let nodes: Vec<(&OpId, Option<&ControlNode>)> = nodes.collect();
        let pasts = || nodes.iter().filter_map(|(_, node)| Some(&(*node)?.past));
        let covered =
            |node: &ControlNode| pasts().any(|past| past.holds(node.chain, node.position));
        let last = nodes.iter().filter(|(_, node)| !node.is_some_and(covered));
        let mut out: Vec<OpId> = last.map(|(id, _)| **id).collect();
        out.sort_unstable();
        out.dedup();
        out
    }
}
