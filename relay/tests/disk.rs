//! What lies on the relay's disk: nothing long past its time, and not much more than what counts.

#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests, outside of test functions"
)]

use std::fs;

use net::wire::{Cursor, Sealed};
use oplog::{BlobId, Digest, Tag, Timestamp};
use relay::{Entry, EnvelopeStore, LogStore, Shelf};
use tempfile::TempDir;

const HOUR_MS: u64 = 3_600_000;
/// More than the time between two looks at the segments.
const LOOK_MS: u64 = 1_500;
const START: Timestamp = Timestamp::from_ms(20_000 * 24 * HOUR_MS);

fn shelf(n: u8) -> Shelf {
    Shelf::Tag(Tag::from_bytes([n; 16]))
}

fn file(
    store: &mut LogStore,
    shelf: &Shelf,
    bytes: Vec<u8>,
    now: Timestamp,
    ttl_ms: u64,
) -> Cursor {
    let bytes = Sealed::new(bytes);
    let cursor = Cursor::next(now, store.last_cursor());
    let entry = Entry {
        cursor,
        id: bytes.id(),
        len: u32::try_from(bytes.len()).unwrap(),
        expires: now.plus_ms(ttl_ms),
    };
    store.expire(now).unwrap();
    store.append(shelf, &entry, &bytes).unwrap();
    cursor
}

/// Whether any file of the folder holds these bytes.
fn lies_in(dir: &TempDir, what: &[u8]) -> bool {
    let mut folders = vec![dir.path().to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if fs::read(path)
                .unwrap()
                .windows(what.len())
                .any(|w| w == what)
            {
                return true;
            }
        }
    }
    false
}

/// Somebody files beside others' what lasts for 30 days.
#[test]
fn nothing_is_readable_an_hour_past_its_time_whatever_lies_beside_it() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = LogStore::open(dir.path(), START).unwrap();
    let mut filed = Vec::new();
    for n in 0..30_u8 {
        let hours = if n % 3 == 0 { 720 } else { u64::from(n) + 1 };
        let at = START.plus_ms(u64::from(n));
        let cursor = file(
            &mut store,
            &shelf(n % 3),
            vec![n; 1024],
            at,
            hours * HOUR_MS,
        );
        filed.push((n, hours, cursor));
    }
    let chunk = Sealed::new(vec![0xcc; 3_000]);
    let id = BlobId::of_sealed(chunk.as_bytes());
    let token = Digest::from_bytes([1; 32]);
    store
        .put_chunk(&id, &chunk, &token, START.plus_ms(5 * HOUR_MS))
        .unwrap();
    let deleted = file(
        &mut store,
        &shelf(9),
        vec![0xdd; 1024],
        START,
        720 * HOUR_MS,
    );
    store.remove_upto(&shelf(9), deleted, START).unwrap();
    store.sync().unwrap();
    assert!(lies_in(&dir, &[0xdd; 1024]) && lies_in(&dir, &[0xcc; 3_000]));
    for hour in 1..36_u64 {
        // A little past the hour, so that nothing ends in this very moment.
        let now = START.plus_ms(hour * HOUR_MS + 60_000);
        // Each look lets one segment leave.
        for look in 0..3 {
            store.expire(now.plus_ms(look * LOOK_MS)).unwrap();
        }
        if hour % 12 == 0 {
            store.sync().unwrap();
            drop(store);
            store = LogStore::open(dir.path(), now.plus_ms(4 * LOOK_MS)).unwrap();
        }
        for (n, hours, cursor) in &filed {
            let read = store.read(&shelf(n % 3), *cursor).unwrap();
            assert_eq!(
                read.is_some(),
                hour < *hours,
                "number {n} after {hour} hours"
            );
            // A start cannot know since when: it counts from then.
            let past = hour > *hours + 1 && hour % 12 > 1;
            if hour < *hours || past {
                assert_eq!(
                    lies_in(&dir, &[*n; 1024]),
                    !past,
                    "number {n} after {hour} hours"
                );
            }
        }
        assert_eq!(
            lies_in(&dir, &[0xcc; 3_000]),
            hour < 5,
            "the chunk after {hour} hours"
        );
        assert!(
            hour < 2 || !lies_in(&dir, &[0xdd; 1024]),
            "what was deleted after {hour} hours"
        );
    }
    assert_eq!(store.usage().entries, 10);
}

/// Short-lived bytes do not fill the disk by lying beside a few that last.
#[test]
fn the_disk_holds_little_more_than_twice_what_counts() {
    const LEN: usize = 256 * 1024;
    let dir = tempfile::tempdir().unwrap();
    let mut store = LogStore::open(dir.path(), START).unwrap();
    let mut lasting = Vec::new();
    let mut most = 0;
    for n in 0..400_u64 {
        let now = START.plus_ms(n * 2_000);
        let mut bytes = vec![0; LEN];
        for (at, byte) in bytes.iter_mut().zip(n.to_be_bytes()) {
            *at = byte;
        }
        let lasts = n % 20 == 0;
        let ttl = if lasts { 720 * HOUR_MS } else { 10_000 };
        let cursor = file(&mut store, &shelf(1), bytes, now, ttl);
        if lasts {
            lasting.push((cursor, n));
        }
        let usage = store.usage();
        most = most.max(usage.disk.saturating_sub(2 * usage.bytes));
    }
    // 100 MiB came, and 5 MiB of it lasts.
    println!(
        "at most {most} bytes over twice what counts, {} at the end",
        store.usage().disk
    );
    assert!(most <= 4 << 20, "{most} bytes over");
    store.sync().unwrap();
    drop(store);
    let store = LogStore::open(dir.path(), START.plus_ms(900_000)).unwrap();
    assert_eq!(store.usage().entries, lasting.len());
    for (cursor, n) in lasting {
        let read = store.read(&shelf(1), cursor).unwrap().unwrap();
        assert!(read.as_bytes().starts_with(&n.to_be_bytes()));
    }
}
