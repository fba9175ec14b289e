//! Bundles whose time has not come: they wait until this device's clock is there.
//!
//! Whoever lets somebody in may have a clock that is ahead of theirs. Then the ops of the bundle,
//! the commit among them, are not to be looked at yet (B3), and without the commit nobody is let in.
//! To throw the bundle away would keep somebody out for good whose clock is a few minutes slow: it
//! is the only answer to their request. So it waits on the disk.
//!
//! # Invariants
//! - A bundle waits no longer than the key package it is for is kept.

use std::ops::ControlFlow;

use minicbor::{Decode, Encode};
use oplog::store::{Direction, Store, StoreError, prefix_end};
use oplog::{OpId, SpaceId, Timestamp, codec};
use rand_core::CryptoRng;

use crate::blobs::ChunkStore;
use crate::identity::NODE_TABLE;
use crate::join::PendingJoin;
use crate::message::JoinBundle;
use crate::node::Node;

const EARLY: &[u8] = b"early/";
/// Most bundles of one Space that wait: each branch that lets us in has one.
const EARLY_MAX: usize = 4;

/// A bundle that waits.
#[derive(Clone, Debug, Encode, Decode)]
#[cbor(map)]
struct Early {
    /// When it can be looked at, in milliseconds by the own clock.
    #[n(0)]
    until: u64,
    #[n(1)]
    bundle: JoinBundle,
    /// It answers an earlier link or request.
    #[n(2)]
    earlier: bool,
}

impl<S: Store, C: ChunkStore, R: CryptoRng> Node<S, C, R> {
    /// Puts a bundle aside until the clock is there. When too many wait, those that come latest go.
    pub(crate) fn keep_early(
        &mut self,
        space: &SpaceId,
        bundle: &JoinBundle,
        earlier: bool,
        until: Timestamp,
    ) -> Result<(), StoreError> {
        let early = Early {
            until: until.as_ms(),
            bundle: bundle.clone(),
            earlier,
        };
        self.store.put(
            NODE_TABLE,
            &row(space, &bundle.commit),
            &codec::encode(&early),
        );
        let mut waiting = self.early(space)?;
        waiting.sort_unstable_by_key(|(until, commit)| (*until, *commit));
        for (_, commit) in waiting.iter().skip(EARLY_MAX) {
            self.store.delete(NODE_TABLE, &row(space, commit));
        }
        self.note_early(space)
    }

    /// Takes the bundles whose time has come.
    pub(crate) fn take_early(&mut self) -> Result<(), StoreError> {
        let now = self.now.as_ms();
        // Who gave up is let in only when they ask again.
        let waits = |join: &&PendingJoin| {
            join.withdrawn_at.is_none() && join.early_until.is_some_and(|at| at <= now)
        };
        let spaces: Vec<SpaceId> = self.joins.values().filter(waits).map(|j| j.space).collect();
        for space in spaces {
            for (until, commit) in self.early(&space)? {
                if until > now {
                    continue;
                }
                let key = row(&space, &commit);
                let kept = self.store.get(NODE_TABLE, &key)?;
                self.store.delete(NODE_TABLE, &key);
                let early = kept.and_then(|bytes| codec::decode::<Early>("early", &bytes).ok());
                if let Some(early) = early {
                    self.take_bundle(&space, &early.bundle, early.earlier)?;
                }
            }
            self.note_early(&space)?;
        }
        Ok(())
    }

    /// Their key package goes: nothing opens them any more.
    pub(crate) fn drop_early(&mut self, space: &SpaceId) -> Result<(), StoreError> {
        for (_, commit) in self.early(space)? {
            self.store.delete(NODE_TABLE, &row(space, &commit));
        }
        Ok(())
    }

    /// Notes in the request when the next bundle can be looked at.
    fn note_early(&mut self, space: &SpaceId) -> Result<(), StoreError> {
        let next = self.early(space)?.iter().map(|(until, _)| *until).min();
        if let Some(mut join) = self.joins.get(space).cloned()
            && join.early_until != next
        {
            join.early_until = next;
            self.keep_join(join);
        }
        Ok(())
    }

    /// Returns when the bundles of a Space that wait can be looked at, and their commits.
    fn early(&self, space: &SpaceId) -> Result<Vec<(u64, OpId)>, StoreError> {
        let prefix = [EARLY, space.as_bytes()].concat();
        let mut rows = Vec::new();
        self.store.scan(
            NODE_TABLE,
            &prefix,
            &prefix_end(&prefix),
            Direction::Forward,
            &mut |key, value| {
                let commit = key.get(prefix.len()..).and_then(|id| id.try_into().ok());
                // What is damaged is due at once, and goes.
                let until = codec::decode::<Early>("early", value).map_or(0, |early| early.until);
                rows.extend(commit.map(|id| (until, OpId::from_bytes(id))));
                ControlFlow::Continue(())
            },
        )?;
        Ok(rows)
    }
}

fn row(space: &SpaceId, commit: &OpId) -> Vec<u8> {
    [EARLY, space.as_bytes(), commit.as_bytes()].concat()
}
