//! A Space run again from nothing but ops, in memory: what proofs and replays stand on.

use oplog::store::{MemStore, Store, StoreError};
use oplog::{
    Accept, AcceptError, EpochId, OpId, OpTable, SignedOp, SpaceId, SpaceLog, SpaceNo, Timestamp,
};
use std::collections::BTreeMap;

use fold::AuthorityFold;

use crate::repair::Repair;
use crate::space::Space;

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
        // Nothing here is from the future: the newest op is now.
        let now = ops.iter().map(|op| op.header().hlc.to_wall()).max();
        let now = now.unwrap_or(Timestamp::from_ms(0));
        let no = SpaceNo(1);
        let mut store = MemStore::new();
        let mut authority = AuthorityFold::new();
        let mut log = SpaceLog::new(id, no);
        let table = OpTable::new(id, no);
        for op in ops {
            let op_id = op.id();
            let op = op.verify().map_err(|_bad| ScratchError::Signature(op_id))?;
            match log.accept(op, now, &mut store, &mut authority) {
                Ok(Accept::Applied { accepted, .. }) => {
                    for op in accepted.iter().filter(|op| !op.header().is_control()) {
                        if let Some(stored) = table.stored(&store, &op.id())? {
                            let prefix = no.0.to_be_bytes();
                            fold::content::index::insert(&mut store, &prefix, op, stored.at);
                        }
                    }
                }
                Ok(_) => return Err(ScratchError::Incomplete(op_id)),
                Err(AcceptError::Store(error)) => return Err(ScratchError::Store(error)),
                Err(error) => {
                    return Err(ScratchError::Refused {
                        op: op_id,
                        rule: error.rule().map_or("?", oplog::Rule::id),
                        why: error.to_string(),
                    });
                }
            }
        }
        store.commit()?;
        let view = authority.view_all(log.dag());
        let tip = authority.canonical_tip(log.dag(), |_| true);
        let space = Space {
            no,
            id,
            table,
            view,
            tip: tip.unwrap_or_else(|| EpochId::genesis(&id)),
            keys: BTreeMap::new(),
            generations: Vec::new(),
            stuck: None,
            repair: Repair::default(),
            unopened: 0,
            arrivals: None,
            flood: crate::flood::Flood::default(),
            damaged: std::cell::RefCell::default(),
            log,
            authority,
        };
        Ok(Self { space, store })
    }
}
