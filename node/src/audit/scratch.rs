//! A Space run again from nothing but ops, in memory: what proofs and replays stand on.

use oplog::store::{MemStore, Store, StoreError};
use oplog::{
    Accept, AcceptError, AcceptedOp, OpId, OpTable, SignedOp, SpaceId, SpaceLog, SpaceNo, Timestamp,
};

use fold::{AuthorityFold, AuthorityView};

use crate::space::Space;

/// The only Space of a scratch store.
const NO: SpaceNo = SpaceNo(1);

/// A Space without keys, and its ops.
pub(super) struct Scratch {
    pub(super) space: Space,
    pub(super) store: MemStore,
}

/// Why ops do not make a Space.
#[derive(Debug)]
pub(super) enum ScratchError {
    /// A signature does not hold.
    Signature(OpId),
    /// A rule refuses it.
    Refused {
        op: OpId,
        rule: &'static str,
        why: String,
    },
    /// It builds on something that is not here, or is here twice.
    Incomplete(OpId),
    Store(StoreError),
}

impl From<StoreError> for ScratchError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl Scratch {
    /// Verifies every signature, accepts every op by the same rules as everybody's log, and
    /// folds them. They must come parents first; one that is not accepted ends it.
    pub(super) fn of(id: SpaceId, ops: Vec<SignedOp>) -> Result<Self, ScratchError> {
        let mut building = Building::new(id, ops.iter());
        for op in ops {
            building.judge(op)?;
        }
        building.end()
    }

    /// Folds ops out of this node's own store, parents first. Control ops are accepted again;
    /// content was judged when it came, and may build on what the disk has damaged since.
    pub(super) fn of_own(id: SpaceId, ops: Vec<AcceptedOp>) -> Result<Self, ScratchError> {
        let mut building = Building::new(id, ops.iter().map(|op| &**op));
        for op in ops {
            if op.header().is_control() {
                building.judge(SignedOp::clone(&op))?;
            } else {
                building.table.put(&mut building.store, &op)?;
                building.index(&op)?;
            }
        }
        building.end()
    }
}

/// A scratch Space while ops come in.
struct Building {
    id: SpaceId,
    now: Timestamp,
    store: MemStore,
    authority: AuthorityFold,
    log: SpaceLog<AuthorityView>,
    table: OpTable,
}

impl Building {
    fn new<'a>(id: SpaceId, ops: impl Iterator<Item = &'a SignedOp>) -> Self {
        // Nothing here is from the future: the newest op is now.
        let now = ops.map(|op| op.header().hlc.to_wall()).max();
        Self {
            id,
            now: now.unwrap_or(Timestamp::from_ms(0)),
            store: MemStore::new(),
            authority: AuthorityFold::new(),
            log: SpaceLog::new(id, NO),
            table: OpTable::new(id, NO),
        }
    }

    fn judge(&mut self, op: SignedOp) -> Result<(), ScratchError> {
        let op_id = op.id();
        let op = op.verify().map_err(|_bad| ScratchError::Signature(op_id))?;
        let accepted = self
            .log
            .accept(op, self.now, &mut self.store, &mut self.authority);
        match accepted {
            Ok(Accept::Applied { accepted, .. }) => {
                for op in accepted.iter().filter(|op| !op.header().is_control()) {
                    self.index(op)?;
                }
                Ok(())
            }
            Ok(_) => Err(ScratchError::Incomplete(op_id)),
            Err(AcceptError::Store(error)) => Err(ScratchError::Store(error)),
            Err(error) => Err(ScratchError::Refused {
                op: op_id,
                rule: error.rule().map_or("?", oplog::Rule::id),
                why: error.to_string(),
            }),
        }
    }

    fn index(&mut self, op: &AcceptedOp) -> Result<(), StoreError> {
        if let Some(stored) = self.table.stored(&self.store, &op.id())? {
            let prefix = NO.0.to_be_bytes();
            fold::content::index::insert(&mut self.store, &prefix, op, stored.at);
        }
        Ok(())
    }

    fn end(self) -> Result<Scratch, ScratchError> {
        let Self {
            id,
            mut store,
            authority,
            log,
            ..
        } = self;
        store.commit()?;
        let mut space = Space::new(NO, id, log, authority);
        space.tip = space.canonical;
        Ok(Scratch { space, store })
    }
}
