//! What every store must do; run by both.

use net::wire::{Cursor, RecvId, Sealed, SendId};
use oplog::{BlobId, Digest, Tag, Timestamp};

use crate::store::{Entry, EnvelopeStore, Mailbox, Shelf};

const DAY_MS: u64 = 86_400_000;
const START: Timestamp = Timestamp::from_ms(20_000 * DAY_MS);

/// Runs every check on a fresh store each.
pub(crate) fn run<S: EnvelopeStore>(mut fresh: impl FnMut() -> S) {
    for check in [
        order_and_pages::<S>,
        expiry_and_day_bytes::<S>,
        removal::<S>,
        mailboxes::<S>,
        chunks::<S>,
    ] {
        let mut store = fresh();
        check(&mut store);
        store.sync().unwrap();
    }
}

fn tag(n: u8) -> Shelf {
    Shelf::Tag(Tag::from_bytes([n; 16]))
}

/// Files `n` with this many bytes, and returns its cursor.
fn file(
    store: &mut impl EnvelopeStore,
    shelf: &Shelf,
    n: u8,
    len: usize,
    now: Timestamp,
    ttl_ms: u64,
) -> Cursor {
    let cursor = Cursor::next(now, store.last_cursor());
    let bytes = Sealed::new(vec![n; len]);
    let entry = Entry {
        cursor,
        id: oplog::tag::envelope_hash(bytes.as_bytes()),
        len: u32::try_from(len).unwrap(),
        expires: now.plus_ms(ttl_ms),
    };
    store.append(shelf, &entry, &bytes).unwrap();
    cursor
}

fn order_and_pages<S: EnvelopeStore>(store: &mut S) {
    let (a, b) = (tag(1), tag(2));
    let mut cursors = Vec::new();
    for n in 0..10 {
        let shelf = if n % 2 == 0 { &a } else { &b };
        cursors.push(file(store, shelf, n, 10 + usize::from(n), START, DAY_MS));
    }
    assert!(cursors.is_sorted_by(|x, y| x < y));
    let even: Vec<Cursor> = cursors.iter().step_by(2).copied().collect();
    let list = |store: &S, after, max| -> Vec<Cursor> {
        let entries = store.list(&a, after, max);
        entries.into_iter().map(|e| e.cursor).collect()
    };
    assert_eq!(list(store, Cursor::START, 100), even);
    assert_eq!(list(store, even[1], 2), even[2..4]);
    assert_eq!((store.head(&a), store.count(&a)), (even[4], 5));
    assert_eq!(
        (store.head(&tag(3)), store.count(&tag(3))),
        (Cursor::START, 0)
    );
    assert_eq!(store.last_cursor(), cursors[9]);
    for (n, cursor) in cursors.iter().enumerate() {
        let shelf = if n % 2 == 0 { &a } else { &b };
        let bytes = store.read(shelf, *cursor).unwrap().unwrap();
        assert_eq!(bytes.as_bytes(), vec![u8::try_from(n).unwrap(); 10 + n]);
        let id = oplog::tag::envelope_hash(bytes.as_bytes());
        assert_eq!(store.find(shelf, &id).map(|e| e.cursor), Some(*cursor));
    }
    assert_eq!(store.read(&a, cursors[1]).unwrap(), None, "another shelf's");
    assert_eq!(store.usage().entries, 10);
    assert_eq!(store.usage().bytes, (10..20).sum::<u64>());
}

fn expiry_and_day_bytes<S: EnvelopeStore>(store: &mut S) {
    let a = tag(1);
    let short = file(store, &a, 1, 100, START, 1_000);
    let long = file(store, &a, 2, 30, START, 2 * DAY_MS);
    assert_eq!(store.day_bytes(&a, START), 130);
    assert_eq!(store.shelf_bytes(&a), 130);
    store.expire(START.plus_ms(999)).unwrap();
    assert_eq!(store.count(&a), 2);
    store.expire(START.plus_ms(1_000)).unwrap();
    assert_eq!(store.list(&a, Cursor::START, 9).len(), 1);
    assert_eq!(store.read(&a, short).unwrap(), None);
    assert!(store.read(&a, long).unwrap().is_some());
    // What expired still counts for its day, or short lives would have no quota.
    assert_eq!(store.day_bytes(&a, START.plus_ms(1_000)), 130);
    assert_eq!(store.shelf_bytes(&a), 30);
    assert_eq!(store.day_bytes(&a, START.plus_ms(DAY_MS)), 0);
    file(store, &a, 3, 7, START.plus_ms(DAY_MS), DAY_MS);
    assert_eq!(store.day_bytes(&a, START.plus_ms(DAY_MS)), 7);
    assert_eq!(store.shelf_bytes(&a), 37);
    store.expire(START.plus_ms(3 * DAY_MS)).unwrap();
    assert_eq!(store.shelf_bytes(&a), 0);
    assert_eq!(store.usage().entries, 0);
    assert_eq!(store.usage().bytes, 0);
}

fn removal<S: EnvelopeStore>(store: &mut S) {
    let shelf = Shelf::Mailbox(RecvId::from_bytes([1; 16]));
    let cursors: Vec<Cursor> = (0..5)
        .map(|n| file(store, &shelf, n, 10, START, DAY_MS))
        .collect();
    store.remove_upto(&shelf, cursors[2], START).unwrap();
    let left: Vec<Cursor> = store
        .list(&shelf, Cursor::START, 9)
        .into_iter()
        .map(|e| e.cursor)
        .collect();
    assert_eq!(left, cursors[3..]);
    store.remove_upto(&shelf, cursors[2], START).unwrap();
    assert_eq!(store.usage().bytes, 20);
}

fn mailboxes<S: EnvelopeStore>(store: &mut S) {
    let mut mailbox = Mailbox {
        recv: RecvId::from_bytes([1; 16]),
        send: SendId::from_bytes([2; 16]),
        recv_pk: Digest::from_bytes([3; 32]),
        expires: START.plus_ms(1_000),
    };
    store.put_mailbox(&mailbox).unwrap();
    assert_eq!(store.mailbox(&mailbox.recv), Some(mailbox));
    assert_eq!(store.mailbox_for(&mailbox.send), Some(mailbox));
    let shelf = Shelf::Mailbox(mailbox.recv);
    file(store, &shelf, 1, 10, START, DAY_MS);
    mailbox.expires = START.plus_ms(2_000);
    store.put_mailbox(&mailbox).unwrap();
    store.expire(START.plus_ms(1_500)).unwrap();
    assert_eq!(store.mailbox(&mailbox.recv), Some(mailbox), "renewed");
    store.expire(START.plus_ms(2_000)).unwrap();
    assert_eq!(store.mailbox(&mailbox.recv), None);
    assert_eq!(store.mailbox_for(&mailbox.send), None);
    // Its messages go with it.
    assert_eq!((store.count(&shelf), store.usage().mailboxes), (0, 0));
}

fn chunks<S: EnvelopeStore>(store: &mut S) {
    let bytes = Sealed::new(vec![9; 5_000]);
    let id = BlobId::of_sealed(bytes.as_bytes());
    let token = |n| Digest::from_bytes([n; 32]);
    assert_eq!(store.chunk(&id).unwrap(), None);
    for n in 1..=3 {
        let expires = START.plus_ms(1_000 * u64::from(n));
        store.put_chunk(&id, &bytes, &token(n), expires).unwrap();
    }
    assert_eq!(store.chunk(&id).unwrap(), Some(bytes.clone()));
    assert_eq!((store.chunk_tokens(&id), store.usage().bytes), (3, 5_000));
    assert!(!store.drop_token(&id, &token(9), START).unwrap());
    assert!(store.drop_token(&id, &token(1), START).unwrap());
    assert!(!store.drop_token(&id, &token(1), START).unwrap());
    store.expire(START.plus_ms(2_000)).unwrap();
    assert_eq!(store.chunk_tokens(&id), 1);
    assert!(store.drop_token(&id, &token(3), START).unwrap());
    assert_eq!(store.chunk(&id).unwrap(), None);
    assert_eq!((store.usage().chunks, store.usage().bytes), (0, 0));
    // It can come back.
    store
        .put_chunk(&id, &bytes, &token(1), START.plus_ms(9_000))
        .unwrap();
    assert_eq!(store.chunk(&id).unwrap(), Some(bytes));
}

#[test]
fn memory_conforms() {
    run(crate::MemStore::new);
}
