//! Epochs at rest: what survives a crash, and what erasure takes.

use std::ops::ControlFlow;

use oplog::store::{Direction, MemStore, Store};
use oplog::{EpochId, SpaceId};

use super::world::{World, device, rng};
use crate::stored::{
    COPY_TABLE, StoredEpoch, TABLE, copy_state, erase_key_package, erase_root, erase_state,
    key_package_label, list, list_key_packages, load_key_package, load_root, load_state,
    root_label, save_epoch, save_key_package, state_copy_label, state_label,
};
use crate::{Epoch, key_package};

const SPACE: SpaceId = SpaceId::from_bytes([1; 32]);
const OTHER: SpaceId = SpaceId::from_bytes([2; 32]);

fn epoch_id(n: u8) -> EpochId {
    EpochId::from_bytes([n; 32])
}

fn epochs() -> (Epoch, Epoch) {
    let mut world = World::new(&[2]);
    let first = world.members[&1].clone();
    world.commit(2, &[3], &[], false).unwrap();
    (first, world.members[&1].clone())
}

#[test]
fn an_epoch_is_there_as_a_whole_or_not_at_all() {
    let (first, second) = epochs();
    let mut store = MemStore::new();
    save_epoch(&mut store, &SPACE, &epoch_id(1), &first, &mut rng(1));
    store.commit().unwrap();
    // Dies between staging and commit: the second is as if never saved, the first untouched.
    save_epoch(&mut store, &SPACE, &epoch_id(2), &second, &mut rng(2));
    erase_state(&mut store, &SPACE, &epoch_id(1));
    store.crash();
    assert_eq!(
        load_state(&store, &SPACE, &epoch_id(1)).unwrap().as_ref(),
        Some(&first.state)
    );
    assert_eq!(
        load_root(&store, &SPACE, &epoch_id(1)).as_ref(),
        Some(&first.root)
    );
    assert_eq!(load_state(&store, &SPACE, &epoch_id(2)).unwrap(), None);
    assert_eq!(load_root(&store, &SPACE, &epoch_id(2)), None);

    save_epoch(&mut store, &SPACE, &epoch_id(2), &second, &mut rng(2));
    erase_state(&mut store, &SPACE, &epoch_id(1));
    store.commit().unwrap();
    store.crash();
    assert_eq!(
        load_state(&store, &SPACE, &epoch_id(2)).unwrap().as_ref(),
        Some(&second.state)
    );
    assert_eq!(load_state(&store, &SPACE, &epoch_id(1)).unwrap(), None);
    let expected = [(1, false), (2, true)].map(|(n, has_state)| StoredEpoch {
        epoch: epoch_id(n),
        has_state,
        has_root: true,
    });
    assert_eq!(list(&store, &SPACE).unwrap(), expected);
    assert_eq!(list(&store, &OTHER).unwrap(), []);
}

#[test]
fn state_and_root_are_erased_apart() {
    let (first, _) = epochs();
    let mut store = MemStore::new();
    save_epoch(&mut store, &SPACE, &epoch_id(1), &first, &mut rng(1));
    erase_root(&mut store, &SPACE, &epoch_id(1));
    assert_eq!(load_root(&store, &SPACE, &epoch_id(1)), None);
    assert!(load_state(&store, &SPACE, &epoch_id(1)).unwrap().is_some());
    erase_state(&mut store, &SPACE, &epoch_id(1));
    assert_eq!(list(&store, &SPACE).unwrap(), []);
    assert!(store.secret(state_label(&SPACE, &epoch_id(1))).is_none());
    assert!(store.secret(root_label(&SPACE, &epoch_id(1))).is_none());
}

#[test]
fn a_second_copy_stands_in_for_a_damaged_state_and_goes_with_it() {
    let (first, _) = epochs();
    let rows = |store: &MemStore, table| {
        let mut keys = Vec::new();
        let mut visit = |key: &[u8], _: &[u8]| {
            keys.push(key.to_vec());
            ControlFlow::Continue(())
        };
        let end = [0xff; 99];
        store
            .scan(table, b"s", &end, Direction::Forward, &mut visit)
            .unwrap();
        keys
    };
    let mut store = MemStore::new();
    copy_state(&mut store, &SPACE, &epoch_id(1), &mut rng(2)).unwrap();
    assert_eq!(
        rows(&store, COPY_TABLE).len(),
        0,
        "there is nothing to copy"
    );
    save_epoch(&mut store, &SPACE, &epoch_id(1), &first, &mut rng(1));
    for _ in 0..2 {
        copy_state(&mut store, &SPACE, &epoch_id(1), &mut rng(2)).unwrap();
    }
    assert_eq!(rows(&store, COPY_TABLE).len(), 1);
    let row = rows(&store, TABLE).remove(0);
    for damage in [None, Some([7; 60])] {
        match damage {
            None => store.delete(TABLE, &row),
            Some(bytes) => store.put(TABLE, &row, &bytes),
        }
        let loaded = load_state(&store, &SPACE, &epoch_id(1)).unwrap();
        assert_eq!(loaded.as_ref(), Some(&first.state));
        assert!(list(&store, &SPACE).unwrap()[0].has_state);
    }
    // Damage is told where there is nothing else.
    let copy = rows(&store, COPY_TABLE).remove(0);
    store.delete(COPY_TABLE, &copy);
    assert!(load_state(&store, &SPACE, &epoch_id(1)).is_err());
    erase_state(&mut store, &SPACE, &epoch_id(1));
    erase_root(&mut store, &SPACE, &epoch_id(1));
    assert_eq!(list(&store, &SPACE).unwrap(), []);
    assert!(
        store
            .secret(state_copy_label(&SPACE, &epoch_id(1)))
            .is_none()
    );
}

#[test]
fn a_row_without_its_secret_says_nothing() {
    let (first, _) = epochs();
    let mut store = MemStore::new();
    save_epoch(&mut store, &SPACE, &epoch_id(1), &first, &mut rng(1));
    let key = [b"s".as_slice(), SPACE.as_bytes(), epoch_id(1).as_bytes()].concat();
    let row = store.get(TABLE, &key).unwrap().unwrap();
    erase_state(&mut store, &SPACE, &epoch_id(1));
    // An old copy of the row turns up, as LSM trees keep them.
    store.put(TABLE, &key, &row);
    assert_eq!(load_state(&store, &SPACE, &epoch_id(1)).unwrap(), None);
    // Under a fresh key of the same name it is damage, not a state.
    save_epoch(&mut store, &SPACE, &epoch_id(1), &first, &mut rng(2));
    store.put(TABLE, &key, &row);
    assert!(load_state(&store, &SPACE, &epoch_id(1)).is_err());
}

#[test]
fn key_packages_are_kept_listed_and_erased() {
    let mut store = MemStore::new();
    let (_, secret) = key_package(&device(2), &mut rng(1)).unwrap();
    save_key_package(&mut store, &SPACE, &secret, &mut rng(2));
    store.commit().unwrap();
    let digest = *secret.digest();
    assert_eq!(
        load_key_package(&store, &SPACE, &digest).unwrap(),
        Some(secret)
    );
    assert_eq!(list_key_packages(&store, &SPACE).unwrap(), [digest]);
    erase_key_package(&mut store, &SPACE, &digest);
    store.commit().unwrap();
    assert_eq!(load_key_package(&store, &SPACE, &digest).unwrap(), None);
    assert!(store.secret(key_package_label(&SPACE, &digest)).is_none());
    assert_eq!(list_key_packages(&store, &SPACE).unwrap(), []);
}
