//! Crashes, damage and time, on real files.

use std::fs::{self, OpenOptions};
use std::io::Write;

use proptest::prelude::*;
use tempfile::TempDir;

use super::*;

const DAY_MS: u64 = 86_400_000;
const START: Timestamp = Timestamp::from_ms(20_000 * DAY_MS);

fn shelf(n: u8) -> Shelf {
    Shelf::Tag(oplog::Tag::from_bytes([n; 16]))
}

fn file(store: &mut LogStore, n: u8, now: Timestamp, ttl_ms: u64) -> Cursor {
    let bytes = Sealed::new(vec![n; 1024]);
    let cursor = Cursor::next(now, store.last_cursor());
    let entry = Entry {
        cursor,
        id: oplog::tag::envelope_hash(bytes.as_bytes()),
        len: 1024,
        expires: now.plus_ms(ttl_ms),
    };
    store.expire(now).unwrap();
    store.append(&shelf(n % 3), &entry, &bytes).unwrap();
    cursor
}

fn cursors(store: &LogStore) -> Vec<Cursor> {
    let mut out: Vec<Cursor> = (0..3)
        .flat_map(|n| store.list(&shelf(n), Cursor::START, 1_000))
        .map(|entry| entry.cursor)
        .collect();
    out.sort_unstable();
    out
}

fn segments(dir: &TempDir) -> Vec<u32> {
    segment::numbers(&dir.path().join("segments")).unwrap()
}

fn last_segment(dir: &TempDir) -> PathBuf {
    let number = *segments(dir).last().unwrap();
    segment::path_of(&dir.path().join("segments"), number)
}

#[test]
fn disk_conforms() {
    let mut dirs = Vec::new();
    crate::conformance::run(|| {
        let dir = tempfile::tempdir().unwrap();
        let store = LogStore::open(dir.path(), START).unwrap();
        dirs.push(dir);
        store
    });
}

#[test]
fn everything_is_there_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let mailbox = Mailbox {
        recv: RecvId::from_bytes([1; 16]),
        send: SendId::from_bytes([2; 16]),
        recv_pk: Digest::from_bytes([3; 32]),
        expires: START.plus_ms(DAY_MS),
    };
    let chunk = Sealed::new(vec![7; 3_000]);
    let id = BlobId::of_sealed(chunk.as_bytes());
    let token = |n| Digest::from_bytes([n; 32]);
    let mut expected = Vec::new();
    {
        let mut store = LogStore::open(dir.path(), START).unwrap();
        for n in 0..20 {
            expected.push(file(&mut store, n, START, DAY_MS));
        }
        store.put_mailbox(&mailbox).unwrap();
        let expires = START.plus_ms(DAY_MS);
        store.put_chunk(&id, &chunk, &token(1), expires).unwrap();
        store.put_chunk(&id, &chunk, &token(2), expires).unwrap();
        store.drop_token(&id, &token(1), START).unwrap();
        store.remove_upto(&shelf(0), expected[6], START).unwrap();
        store.sync().unwrap();
    }
    // Shelf 0 held numbers 0, 3, 6 …
    for n in [6, 3, 0] {
        expected.remove(n);
    }
    for _ in 0..2 {
        let store = LogStore::open(dir.path(), START).unwrap();
        assert_eq!(cursors(&store), expected);
        assert_eq!(store.mailbox_for(&mailbox.send), Some(mailbox));
        assert_eq!(store.chunk(&id).unwrap(), Some(chunk.clone()));
        assert_eq!(store.chunk_tokens(&id), 1);
        // Twenty envelopes were filed today, whatever was removed since.
        let today: u64 = (0..3).map(|n| store.day_bytes(&shelf(n), START)).sum();
        assert_eq!(today, 20 * 1024);
    }
}

#[test]
fn a_torn_end_is_cut_and_written_over() {
    for torn in [1usize, 5, 11, 13, 500, 1_100] {
        let dir = tempfile::tempdir().unwrap();
        let mut expected = Vec::new();
        {
            let mut store = LogStore::open(dir.path(), START).unwrap();
            for n in 0..5 {
                expected.push(file(&mut store, n, START, DAY_MS));
            }
            store.sync().unwrap();
        }
        // A record that was on its way: its first bytes are there, the rest is not.
        let path = last_segment(&dir);
        let copy = fs::read(&path).unwrap();
        let mut half = OpenOptions::new().append(true).open(&path).unwrap();
        half.write_all(&copy[16..16 + torn]).unwrap();
        drop(half);
        let mut store = LogStore::open(dir.path(), START).unwrap();
        assert_eq!(cursors(&store), expected, "torn after {torn}");
        expected.push(file(&mut store, 9, START, DAY_MS));
        store.sync().unwrap();
        drop(store);
        let store = LogStore::open(dir.path(), START).unwrap();
        assert_eq!(cursors(&store), expected, "torn after {torn}");
    }
}

#[test]
fn what_expires_leaves_the_disk() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = LogStore::open(dir.path(), START).unwrap();
    for hour in 0..5u64 {
        let now = START.plus_ms(hour * SEGMENT_AGE_MS);
        file(&mut store, u8::try_from(hour).unwrap(), now, DAY_MS);
    }
    assert_eq!(segments(&dir).len(), 5, "one an hour");
    let bytes = |dir: &TempDir| -> Vec<u8> {
        let read = |n: u32| fs::read(segment::path_of(&dir.path().join("segments"), n)).unwrap();
        segments(dir).into_iter().flat_map(read).collect()
    };
    let has = |dir: &TempDir, n: u8| bytes(dir).windows(64).any(|w| w == [n; 64]);
    assert!(has(&dir, 1));
    let later = START.plus_ms(DAY_MS + 2 * SEGMENT_AGE_MS);
    store.expire(later).unwrap();
    assert_eq!(segments(&dir), vec![4, 5]);
    assert!(!has(&dir, 2) && has(&dir, 3));
    // At last even the active one goes, when nothing new comes.
    store.expire(START.plus_ms(2 * DAY_MS)).unwrap();
    assert!((0..5).all(|n| !has(&dir, n)));
    drop(store);
    let store = LogStore::open(dir.path(), START.plus_ms(2 * DAY_MS)).unwrap();
    assert!(cursors(&store).is_empty());
}

#[test]
fn a_chunk_whose_file_is_gone_is_gone_and_strays_are_swept() {
    let dir = tempfile::tempdir().unwrap();
    let chunk = Sealed::new(vec![7; 3_000]);
    let id = BlobId::of_sealed(chunk.as_bytes());
    let token = Digest::from_bytes([1; 32]);
    let later = START.plus_ms(DAY_MS);
    {
        let mut store = LogStore::open(dir.path(), START).unwrap();
        store.put_chunk(&id, &chunk, &token, later).unwrap();
        store.sync().unwrap();
    }
    let stray = chunk_path(dir.path(), &BlobId::from_bytes([0xab; 32]));
    fs::create_dir_all(stray.parent().unwrap()).unwrap();
    fs::write(&stray, b"stray").unwrap();
    fs::write(chunk_path(dir.path(), &id), b"torn").unwrap();
    let mut store = LogStore::open(dir.path(), START).unwrap();
    assert!(!stray.exists());
    assert_eq!(store.chunk(&id).unwrap(), None);
    store.put_chunk(&id, &chunk, &token, later).unwrap();
    assert_eq!(store.chunk(&id).unwrap(), Some(chunk));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Whatever bytes rot, the store opens, and shows nothing that was not filed.
    #[test]
    fn rot_never_stops_the_store(flips in prop::collection::vec((any::<u16>(), 1u8..), 1..6)) {
        let dir = tempfile::tempdir().unwrap();
        let mut filed = Vec::new();
        {
            let mut store = LogStore::open(dir.path(), START).unwrap();
            for n in 0..8 {
                filed.push(file(&mut store, n, START, DAY_MS));
            }
            store.sync().unwrap();
        }
        let path = last_segment(&dir);
        let mut bytes = fs::read(&path).unwrap();
        for (at, flip) in flips {
            let at = usize::from(at) % bytes.len();
            bytes[at] ^= flip;
        }
        fs::write(&path, bytes).unwrap();
        let mut store = LogStore::open(dir.path(), START).unwrap();
        let left = cursors(&store);
        prop_assert!(left.iter().all(|c| filed.contains(c)));
        for n in 0..3 {
            for entry in store.list(&shelf(n), Cursor::START, 100) {
                let read = store.read(&shelf(n), entry.cursor).unwrap();
                let id = read.map(|bytes| oplog::tag::envelope_hash(bytes.as_bytes()));
                prop_assert_eq!(id, Some(entry.id));
            }
        }
        let more = file(&mut store, 20, START.plus_ms(1), DAY_MS);
        store.sync().unwrap();
        drop(store);
        prop_assert!(cursors(&LogStore::open(dir.path(), START).unwrap()).contains(&more));
    }
}
