//! `kill -9` of a real process that writes a real profile, and bits flipped in its files.
//!
//! The test binary runs itself as the process to be killed. Progress is read from its output:
//! nobody sleeps.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "helpers of tests fail by panicking, as tests do"
)]

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use oplog::SpaceId;
use oplog::keys::Secret;
use oplog::store::{Direction, Label, Location, Store, Table};
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use store::{DiskStore, Options, RootKey};

const OPS: Table = Table("op");
const NODE: Table = Table("node");
const DIR: &str = "STORE_TEST_DIR";
const SPACE: SpaceId = SpaceId::from_bytes([7; 32]);

fn options() -> Options {
    Options {
        reserve_bytes: 0,
        ..Options::default()
    }
}

fn open(dir: &Path) -> DiskStore {
    DiskStore::open(dir, &RootKey::InsecurePlaintext, options()).unwrap()
}

fn record(n: u32) -> Vec<u8> {
    let len = usize::try_from(n).unwrap() * 131 % 900;
    [n.to_be_bytes().as_slice(), &vec![n.to_le_bytes()[0]; len]].concat()
}

fn append(store: &mut DiskStore, n: u32) {
    let at = store.append(&SPACE, &record(n)).unwrap();
    store.put(OPS, &n.to_be_bytes(), &at.to_bytes());
}

/// Indexes what the index does not know; returns how many records there were.
fn catch_up(store: &mut DiskStore) -> usize {
    let mut count = 0;
    loop {
        let batch = store.take_unindexed(100).unwrap();
        if batch.is_empty() {
            break;
        }
        count += batch.len();
        for found in batch {
            store.put(OPS, &found.record[..4], &found.at.to_bytes());
        }
        store.commit().unwrap();
    }
    store.commit().unwrap();
    store.sync().unwrap();
    count
}

/// Returns every record that the index knows, after checking each against what was written.
fn known(store: &DiskStore) -> BTreeSet<u32> {
    let mut rows = Vec::new();
    store
        .scan(
            OPS,
            &[0],
            &[255; 64],
            Direction::Forward,
            &mut |key, value| {
                let n = u32::from_be_bytes(key.try_into().unwrap());
                rows.push((n, Location::from_bytes(value).unwrap()));
                ControlFlow::Continue(())
            },
        )
        .unwrap();
    for (n, at) in &rows {
        assert_eq!(store.read(&SPACE, at).unwrap(), record(*n));
    }
    rows.into_iter().map(|(n, _)| n).collect()
}

/// Not a test of its own: the process that others kill. It writes on from where the last one died.
#[test]
fn child_writes_until_killed() {
    let Some(dir) = std::env::var_os(DIR).map(PathBuf::from) else {
        return;
    };
    let mut store = open(&dir);
    catch_up(&mut store);
    let mut next = known(&store).last().map_or(0, |n| n + 1);
    let mut out = std::io::stdout();
    loop {
        // Groups of 1 to 5; now and then with kept rows and a secret replaced.
        let group = next % 5 + 1;
        for n in next..next + group {
            append(&mut store, n);
        }
        next += group;
        if next.is_multiple_of(3) {
            store.put(NODE, b"next", &next.to_be_bytes());
            let secret = Secret::from_bytes([next.to_le_bytes()[0]; 32]);
            store.keep_secret(Label::new("test", &[]), &secret);
        }
        store.commit().unwrap();
        store.sync().unwrap();
        writeln!(out, "\nacknowledged {}", next - 1).unwrap();
        out.flush().unwrap();
    }
}

fn spawn(dir: &Path, test: &str) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture", "--test-threads=1"])
        .env(DIR, dir)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

#[test]
fn kill_9_loses_nothing_acknowledged() {
    let dir = tempfile::tempdir().unwrap();
    let store = DiskStore::create(dir.path(), &RootKey::InsecurePlaintext, options());
    drop(store.unwrap());
    let mut acknowledged = None;
    for round in 0..20_usize {
        let mut child = spawn(dir.path(), "child_writes_until_killed");
        let output = BufReader::new(child.stdout.take().unwrap());
        let mut groups = 0;
        for line in output.lines() {
            let line = line.unwrap();
            if let Some(n) = line.strip_prefix("acknowledged ") {
                acknowledged = Some(n.parse::<u32>().unwrap());
                groups += 1;
                if groups > round * 7 % 40 {
                    break;
                }
            }
        }
        assert!(groups > 0, "round {round}: the child wrote nothing");
        child.kill().unwrap();
        child.wait().unwrap();

        let mut store = open(dir.path());
        let recovery = store.recovery().clone();
        assert!(!recovery.index_rebuilt, "round {round}: {recovery:?}");
        assert!(
            recovery.bad_records.is_empty(),
            "round {round}: {recovery:?}"
        );
        assert!(!recovery.rolled_back && !recovery.kept_rows_damaged);
        catch_up(&mut store);
        let known = known(&store);
        let last = *known.last().unwrap();
        assert!(
            Some(last) >= acknowledged,
            "round {round}: {acknowledged:?} is gone"
        );
        assert_eq!(known, (0..=last).collect(), "round {round}: a hole");
        // Kept row and secret are of one step.
        let row = store.get(NODE, b"next").unwrap();
        let secret = store.secret(Label::new("test", &[]));
        let byte = row.map(|row| row[3]);
        assert_eq!(byte, secret.map(|s| s.as_bytes()[0]), "round {round}");
    }
}

/// Not a test of its own: opens a profile whose index may make fjall abort.
#[test]
fn child_opens_and_reads() {
    let Some(dir) = std::env::var_os(DIR).map(PathBuf::from) else {
        return;
    };
    let mut store = open(&dir);
    catch_up(&mut store);
    // A damaged block shows when it is read; then the index is built anew.
    let mut seen = BTreeSet::new();
    let whole = store.scan(OPS, &[0], &[255; 64], Direction::Forward, &mut |key, _| {
        seen.insert(u32::from_be_bytes(key.try_into().unwrap()));
        ControlFlow::Continue(())
    });
    if whole.is_err() {
        store.resume().unwrap();
        catch_up(&mut store);
    }
    println!("\nknown {}", known(&store).len());
}

#[test]
fn flipped_bits_in_the_index_cost_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = DiskStore::create(dir.path(), &RootKey::InsecurePlaintext, options()).unwrap();
    for n in 0..400 {
        append(&mut store, n);
        if n % 10 == 0 {
            store.commit().unwrap();
        }
        if n == 200 {
            // Part of it in tables, part in the journal.
            store.commit().unwrap();
            store.flush_idle().unwrap();
        }
    }
    store.commit().unwrap();
    store.sync().unwrap();
    drop(store);
    let mut rng = ChaCha20Rng::seed_from_u64(1);
    for round in 0..24 {
        let copy = tempfile::tempdir().unwrap();
        copy_dir(dir.path(), copy.path());
        let mut files = Vec::new();
        list_files(&copy.path().join("index"), &mut files);
        let file = &files[round % files.len()];
        flip(file, &mut rng);
        // fjall may abort the process on a damaged manifest, so another one opens it; twice at most.
        let outcomes: Vec<_> = (0..3).map(|_| run_child(copy.path())).collect();
        assert!(
            outcomes.contains(&Some(400)),
            "round {round}, {}: {outcomes:?}",
            file.display()
        );
        assert!(
            outcomes.iter().flatten().all(|known| *known == 400),
            "round {round}: wrong data"
        );
    }
}

/// Returns how many records a child process found; `None` when it died.
fn run_child(dir: &Path) -> Option<usize> {
    known_by(spawn(dir, "child_opens_and_reads"))
}

fn known_by(child: Child) -> Option<usize> {
    let output = child.wait_with_output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let line = text.lines().find_map(|line| line.strip_prefix("known "));
    line.map(|n| n.parse().unwrap())
}

/// fjall asserts what stands there and ends the process: that must be seen before it looks.
#[test]
fn a_flipped_bit_at_the_beginning_of_a_manifest_ends_no_process() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = DiskStore::create(dir.path(), &RootKey::InsecurePlaintext, options()).unwrap();
    for n in 0..400 {
        append(&mut store, n);
    }
    store.commit().unwrap();
    store.flush_last().unwrap();
    store.sync().unwrap();
    drop(store);
    let keyspaces = dir.path().join("index/keyspaces");
    let mut files = Vec::new();
    list_files(&keyspaces, &mut files);
    files.retain(|file| file.file_name().unwrap().to_str().unwrap().starts_with('v'));
    assert!(files.len() > 1, "{files:?}");
    // Format, version of the crate, kind of tree, levels, hash of filters.
    let cases = files
        .iter()
        .flat_map(|file| (0..10_usize).map(move |at| (file, at)));
    let cases: Vec<_> = cases.collect();
    let mut failed = Vec::new();
    for cases in cases.chunks(8) {
        let running = cases.iter().map(|(file, at)| {
            let copy = tempfile::tempdir().unwrap();
            copy_dir(dir.path(), copy.path());
            let harmed = copy.path().join(file.strip_prefix(dir.path()).unwrap());
            let mut bytes = fs::read(&harmed).unwrap();
            bytes[*at] ^= 1 << (at % 8);
            fs::write(&harmed, bytes).unwrap();
            let child = spawn(copy.path(), "child_opens_and_reads");
            (format!("byte {at} of {}", file.display()), copy, child)
        });
        for (case, _copy, child) in running.collect::<Vec<_>>() {
            let found = known_by(child);
            if found != Some(400) {
                failed.push(format!("{case}: {found:?}"));
            }
        }
    }
    assert!(failed.is_empty(), "{failed:#?}");
}

#[test]
fn an_index_that_is_gone_empty_or_of_another_schema_is_built_anew() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = DiskStore::create(dir.path(), &RootKey::InsecurePlaintext, options()).unwrap();
    for n in 0..50 {
        append(&mut store, n);
    }
    store.put(NODE, b"kept", b"row");
    store.commit().unwrap();
    store.sync().unwrap();
    drop(store);
    let newer = Options {
        schema: oplog::Digest::from_bytes([1; 32]),
        ..options()
    };
    let index = dir.path().join("index");
    for (what, options) in [
        ("gone", options()),
        ("schema", newer.clone()),
        ("again", newer),
    ] {
        if what == "gone" {
            fs::remove_dir_all(&index).unwrap();
        }
        let mut store = DiskStore::open(dir.path(), &RootKey::InsecurePlaintext, options).unwrap();
        let anew = what != "again";
        assert_eq!(store.recovery().index_rebuilt, anew, "{what}");
        assert_eq!(catch_up(&mut store), if anew { 50 } else { 0 }, "{what}");
        assert_eq!(known(&store), (0..50).collect(), "{what}");
        assert_eq!(store.get(NODE, b"kept").unwrap(), Some(b"row".to_vec()));
    }
}

/// One harm to a file or folder that is there.
type Harm = fn(&Path);

const FILE_HARMS: [(&str, Harm); 6] = [
    ("removed", |path| fs::remove_file(path).unwrap()),
    ("emptied", |path| fs::write(path, b"").unwrap()),
    ("cut to half", |path| {
        let bytes = fs::read(path).unwrap();
        fs::write(path, &bytes[..written(&bytes) / 2]).unwrap();
    }),
    ("one bit flipped", |path| {
        flip(path, &mut ChaCha20Rng::seed_from_u64(7));
    }),
    ("garbage", |path| {
        let mut bytes = vec![0; written(&fs::read(path).unwrap()).max(16)];
        ChaCha20Rng::seed_from_u64(8).fill_bytes(&mut bytes);
        fs::write(path, bytes).unwrap();
    }),
    ("a folder", |path| {
        fs::remove_file(path).unwrap();
        fs::create_dir(path).unwrap();
    }),
];

const FOLDER_HARMS: [(&str, Harm); 4] = [
    ("with a stranger in it", |path| {
        fs::create_dir(path.join("stranger")).unwrap();
    }),
    ("removed", |path| fs::remove_dir_all(path).unwrap()),
    ("emptied", |path| {
        fs::remove_dir_all(path).unwrap();
        fs::create_dir(path).unwrap();
    }),
    ("a file", |path| {
        fs::remove_dir_all(path).unwrap();
        fs::write(path, b"x").unwrap();
    }),
];

#[test]
fn an_index_with_anything_harmed_is_built_anew() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = DiskStore::create(dir.path(), &RootKey::InsecurePlaintext, options()).unwrap();
    for n in 0..400 {
        append(&mut store, n);
        if n == 200 {
            // Part of it in tables, part in the journal.
            store.commit().unwrap();
            store.put(Table("big"), b"k", &vec![7; 1 << 20]);
            store.commit().unwrap();
            store.flush_last().unwrap();
        }
    }
    store.commit().unwrap();
    store.sync().unwrap();
    drop(store);
    let (mut files, mut folders) = (Vec::new(), Vec::new());
    walk(&dir.path().join("index"), &mut files, &mut folders);
    for path in files.iter().filter(|path| path.extension().is_some()) {
        // Preallocated, and costly to copy.
        let bytes = fs::read(path).unwrap();
        fs::write(path, &bytes[..written(&bytes)]).unwrap();
    }
    let tables = |path: &&PathBuf| path.parent().unwrap().ends_with("tables");
    assert!(files.iter().filter(tables).count() > 2, "{files:?}");
    let of_files = files
        .iter()
        .flat_map(|path| FILE_HARMS.map(|harm| (path, harm)));
    let of_folders = folders.iter();
    let of_folders = of_folders.flat_map(|path| FOLDER_HARMS.map(|harm| (path, harm)));
    let cases: Vec<_> = of_files.chain(of_folders).collect();
    let mut failed = Vec::new();
    // Some at a time: most of it is waiting for the disk.
    for cases in cases.chunks(8) {
        let running = cases.iter().map(|(path, (what, harm))| {
            let name = path.strip_prefix(dir.path()).unwrap();
            let copy = tempfile::tempdir().unwrap();
            copy_dir(dir.path(), copy.path());
            harm(&copy.path().join(name));
            // In another process: fjall may abort on what it reads.
            let child = spawn(copy.path(), "child_opens_and_reads");
            (format!("{} {what}", name.display()), copy, child)
        });
        for (case, _copy, child) in running.collect::<Vec<_>>() {
            let found = known_by(child);
            if found != Some(400) {
                failed.push(format!("{case}: {found:?}"));
            }
        }
    }
    assert!(failed.is_empty(), "{failed:#?}");
}

fn copy_dir(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_dir(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// Everything in a folder, itself too, in an order that does not depend on the file system.
fn walk(dir: &Path, files: &mut Vec<PathBuf>, folders: &mut Vec<PathBuf>) {
    folders.push(dir.to_owned());
    let mut entries: Vec<_> = fs::read_dir(dir)
        .unwrap()
        .map(|e| e.unwrap().path())
        .collect();
    entries.sort();
    for path in entries {
        if path.is_dir() {
            walk(&path, files, folders);
        } else {
            files.push(path);
        }
    }
}

/// Journals are preallocated: how much of one was written.
fn written(bytes: &[u8]) -> usize {
    bytes
        .iter()
        .rposition(|b| *b != 0)
        .map_or(0, |last| last + 1)
}

/// Files that have content, in an order that does not depend on the file system.
fn list_files(dir: &Path, out: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            list_files(&path, out);
        } else if fs::metadata(&path).unwrap().len() > 0 {
            out.push(path);
        }
    }
    out.sort();
}

fn flip(file: &Path, rng: &mut impl Rng) {
    let mut bytes = fs::read(file).unwrap();
    let at = usize::try_from(rng.next_u32()).unwrap() % written(&bytes).max(1);
    if let Some(byte) = bytes.get_mut(at) {
        *byte ^= 1 << (rng.next_u32() % 8);
    }
    fs::write(file, bytes).unwrap();
}
