//! After a crash: records that the log holds and the index does not.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use oplog::store::{Direction, Location, Store, StoreError, prefix_end};
use oplog::{DeviceId, OpTable, SpaceId, SpaceNo, codec};

use crate::identity::{Identity, NODE_TABLE};
use crate::outbox::{Queued, queue_again};
use crate::space::{SPACE, SpaceRow};

/// Indexes records of the logs again, before a node opens: after a crash, or when the index was
/// damaged and dropped. Own ops go back into the queue, since what was lost may have been their
/// acknowledgement. Returns how many records were ops of known Spaces.
///
/// # Errors
/// When storage fails.
pub fn index_records<S: Store>(
    store: &mut S,
    records: Vec<(SpaceId, Location, Vec<u8>)>,
) -> Result<usize, StoreError> {
    let numbers = space_numbers(store)?;
    let own: Option<DeviceId> = Identity::load(store)?.map(|me| me.device_id());
    let mut count = 0;
    for (space, at, record) in records {
        let Some(no) = numbers.get(&space) else {
            continue;
        };
        let table = OpTable::new(space, *no);
        // A record of something else, or a damaged one, is left to the log's own report.
        let Ok(Some(op)) = table.index_record(store, &record, at) else {
            continue;
        };
        count += 1;
        if !op.header().is_control() {
            fold::content::index::insert(store, &no.0.to_be_bytes(), &op, at);
        }
        if Some(op.header().device) == own {
            queue_again(
                store,
                *no,
                &Queued {
                    hlc: op.header().hlc,
                    op: op.id(),
                },
            );
        }
    }
    Ok(count)
}

fn space_numbers(store: &impl Store) -> Result<BTreeMap<SpaceId, SpaceNo>, StoreError> {
    let mut numbers = BTreeMap::new();
    store.scan(
        NODE_TABLE,
        SPACE,
        &prefix_end(SPACE),
        Direction::Forward,
        &mut |key, value| {
            let no = key
                .get(SPACE.len()..)
                .and_then(|k| k.try_into().ok())
                .map(u16::from_be_bytes);
            if let (Some(no), Ok(row)) = (no, codec::decode::<SpaceRow>("space", value)) {
                numbers.insert(row.id, SpaceNo(no));
            }
            ControlFlow::Continue(())
        },
    )?;
    Ok(numbers)
}
