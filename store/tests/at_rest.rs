//! What lies readable in the files of a profile: nothing but the keys of derived rows.
#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests fail by panicking, as tests do"
)]

use std::fs;
use std::path::Path;

use oplog::SpaceId;
use oplog::keys::Secret;
use oplog::store::{Label, Store, StoreError, Table};
use store::{
    DiskStore, Index, MemDisk, MemIndex, Options, Profile, RootKey, RowChange, Rows, Unlock,
};
use zeroize::Zeroizing;

const SPACE: SpaceId = SpaceId::from_bytes(*b"which Space it is is nobody's ..");
/// In the key of a derived row, where it stays readable: shows that the search would find it.
const CONTROL: &[u8] = b"xq7 control zk";

fn root() -> RootKey {
    RootKey::Passphrase {
        passphrase: Zeroizing::new("the words of Wq5Lk".to_owned()),
        cost: store::KdfCost {
            memory_kib: 8,
            passes: 1,
            lanes: 1,
        },
    }
}

fn options() -> Options {
    Options {
        reserve_bytes: 0,
        ..Options::default()
    }
}

fn files(dir: &Path, out: &mut Vec<(String, Vec<u8>)>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            out.push((path.display().to_string(), Vec::new()));
            files(&path, out);
        } else {
            out.push((path.display().to_string(), fs::read(&path).unwrap()));
        }
    }
}

fn holds(haystack: &[u8], needle: &[u8]) -> bool {
    haystack.windows(needle.len()).any(|part| part == needle)
}

#[test]
fn no_canary_is_found_in_any_file() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = DiskStore::create(dir.path(), &root(), options()).unwrap();
    // A name, a title, a body, a reaction; unlike each other, so that no compression hides one.
    let written: [&[u8]; 6] = [
        b"Vx3 name of a person Pj",
        b"Hn8 title of a thread Lw",
        b"Rk2 body of a post Zt",
        b"Ub6 a value of the index Dq",
        b"Cy4 a kept value Mo",
        b"Fe9 a kept key Sg",
    ];
    let secret = Secret::from_bytes(*b"Ta1 a secret of 32 bytes, kept. ");
    for round in 0..3_u8 {
        for (n, text) in (0_u8..).zip(written) {
            let at = store.append(&SPACE, text).unwrap();
            let key = [CONTROL, &[round, n]].concat();
            store.put(Table("thread"), &key, &at.to_bytes());
            store.put(Table("queue"), &key, text);
            store.put(
                Table("node"),
                &[b"Fe9 a kept key Sg", &key[..]].concat(),
                text,
            );
        }
        store.keep_secret(Label::new("test", &[]), &secret);
        store.commit().unwrap();
        store.sync().unwrap();
        if round == 1 {
            store.flush_idle().unwrap();
        }
    }
    for open in [true, false] {
        let mut all = Vec::new();
        files(dir.path(), &mut all);
        let space = SPACE.to_string();
        let mut needles = written.to_vec();
        needles.extend([
            secret.as_bytes().as_slice(),
            SPACE.as_bytes(),
            space.as_bytes(),
            b"Wq5Lk",
        ]);
        for (path, content) in &all {
            for needle in &needles {
                let text = String::from_utf8_lossy(needle);
                assert!(!holds(content, needle), "{path} holds {text}, open: {open}");
                assert!(!holds(path.as_bytes(), needle), "{path} is called {text}");
            }
        }
        assert!(
            all.iter().any(|(_, c)| holds(c, CONTROL)),
            "nothing is found"
        );
        if open {
            store.flush_idle().unwrap();
        }
    }
    // And all of it is there for who has the passphrase.
    drop(store);
    let store = DiskStore::open(dir.path(), &root(), options()).unwrap();
    assert!(store.recovery().is_clean(), "{:?}", store.recovery());
    let key = [CONTROL, &[2, 1]].concat();
    let found = store.get(Table("queue"), &key).unwrap();
    assert_eq!(found.as_deref(), Some(written[1]));
}

/// A profile in memory with one row in each of two tables, and its index.
fn with_rows() -> (MemDisk, MemIndex) {
    let (disk, index) = (MemDisk::new(), MemIndex::new());
    let (key, seed) = (Secret::from_bytes([1; 32]), Secret::from_bytes([2; 32]));
    let with = Unlock::Key(&key);
    let mut profile =
        Profile::create_in(disk.clone(), index.clone(), with, options(), &seed).unwrap();
    profile.append(&SPACE, b"a record").unwrap();
    for table in [Table("one"), Table("two")] {
        profile.put(table, b"a", b"value of a");
        profile.put(table, b"b", b"value of b");
    }
    profile.commit().unwrap();
    profile.sync().unwrap();
    drop(profile);
    disk.kill();
    index.kill();
    (disk, index)
}

fn open(disk: &MemDisk, index: &MemIndex) -> Profile<MemDisk, MemIndex> {
    let (key, seed) = (Secret::from_bytes([1; 32]), Secret::from_bytes([3; 32]));
    let with = Unlock::Key(&key);
    Profile::open_in(disk.clone(), index.clone(), with, options(), &seed).unwrap()
}

#[test]
fn a_value_moved_to_another_row_is_damage_and_ends_in_a_new_index() {
    for (from, to) in [
        (("one", b"a"), ("one", b"b")),
        (("one", b"a"), ("two", b"a")),
    ] {
        let (disk, index) = with_rows();
        let mut rows = index.open().unwrap();
        let value = rows.get(from.0, from.1).unwrap();
        assert!(value.as_ref().is_some_and(|v| v.len() == 10 + 40));
        rows.apply(&[RowChange {
            table: to.0.into(),
            key: to.1.to_vec(),
            value,
        }])
        .unwrap();
        drop(rows);
        let mut profile = open(&disk, &index);
        let table = Table(to.0);
        assert!(matches!(
            profile.get(table, to.1),
            Err(StoreError::Damaged { .. })
        ));
        let mut seen = 0;
        let scanned = profile.scan(
            table,
            b"a",
            b"z",
            oplog::store::Direction::Forward,
            &mut |_, _| {
                seen += 1;
                core::ops::ControlFlow::Continue(())
            },
        );
        assert!(matches!(scanned, Err(StoreError::Damaged { .. })) && seen < 2);
        profile.resume().unwrap();
        assert!(profile.recovery().index_rebuilt);
        assert_eq!(profile.take_unindexed(9).unwrap().len(), 1);
    }
}

#[test]
fn a_dropped_index_leaves_noise() {
    let (disk, index) = with_rows();
    let old = index.copy();
    index.condemn().unwrap();
    let profile = open(&disk, &index);
    assert!(profile.recovery().index_rebuilt);
    drop(profile);
    disk.kill();
    // The old files come back, whole: nothing opens them any more.
    let profile = open(&disk, &old);
    assert!(profile.recovery().index_rebuilt);
    assert_eq!(profile.get(Table("one"), b"a").unwrap(), None);
}
