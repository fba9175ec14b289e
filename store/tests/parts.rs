//! Logs, chunks and the profile's doors, each by itself.
#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests fail by panicking, as tests do"
)]

use std::collections::BTreeSet;

use oplog::keys::Secret;
use oplog::store::{Label, Location, Store, StoreError, Table};
use oplog::{BlobId, SpaceId};
use proptest::prelude::*;
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use store::{
    Chance, ChunkDir, Disk, DiskFile, DiskStore, KdfCost, MemDisk, MemIndex, OpenError, Options,
    Profile, RealDisk, RootKey, Scanned, Scanner, SegmentContext, Unlock,
};
use zeroize::Zeroizing;

const CHEAP: KdfCost = KdfCost {
    memory_kib: 8,
    passes: 1,
    lanes: 1,
};
const SPACE: SpaceId = SpaceId::from_bytes([7; 32]);

fn seed(n: u8) -> Secret {
    Secret::from_bytes([n; 32])
}

fn label(n: u16) -> Label {
    Label::new("test", &[&n.to_be_bytes()])
}

fn options() -> Options {
    Options {
        reserve_bytes: 0,
        ..Options::default()
    }
}

type Sim = Profile<MemDisk, MemIndex>;

fn open(disk: &MemDisk, index: &MemIndex, n: u8) -> Sim {
    let key = seed(1);
    let with = Unlock::Key(&key);
    Profile::open_in(disk.clone(), index.clone(), with, options(), &seed(n)).unwrap()
}

fn profile_with_records(count: u8) -> (MemDisk, MemIndex, Vec<(Location, Vec<u8>)>) {
    let (disk, index) = (MemDisk::new(), MemIndex::new());
    let key = seed(1);
    let with = Unlock::Key(&key);
    let mut profile =
        Profile::create_in(disk.clone(), index.clone(), with, options(), &seed(2)).unwrap();
    let mut places = Vec::new();
    for n in 0..count {
        let record = vec![n; 50 + usize::from(n) * 13 % 400];
        places.push((profile.append(&SPACE, &record).unwrap(), record));
        if n % 8 == 7 {
            profile.commit().unwrap();
        }
    }
    profile.put(Table("node"), b"k", b"v");
    profile.commit().unwrap();
    profile.sync().unwrap();
    (disk, index, places)
}

#[test]
fn any_flipped_bit_costs_at_most_what_it_hits() {
    let (disk, index, places) = profile_with_records(40);
    let mut rng = ChaCha20Rng::seed_from_u64(6);
    for (path, bytes) in disk.files() {
        for round in 0..60 {
            let (disk, index) = (disk.copy(), index.copy());
            let at = rng.next_u32() as usize % bytes.len();
            disk.flip(&path, at, round);
            let case = format!("{path} at {at}");
            let mut profile = open(&disk, &index, 3);
            while !profile.take_unindexed(10).unwrap().is_empty() {
                profile.commit().unwrap();
            }
            let mut lost = 0;
            for (place, record) in &places {
                match profile.read(&SPACE, place) {
                    Ok(there) => assert_eq!(there, *record, "{case}"),
                    Err(StoreError::Damaged { .. }) => lost += 1,
                    Err(e) => panic!("{case}: {e}"),
                }
            }
            assert!(lost <= 1, "{case}: {lost} records lost");
            let mut found = 0;
            let bad = profile.records(&SPACE, &mut |at, record| {
                assert!(places.contains(&(at, record)), "{case}: made up");
                found += 1;
            });
            assert_eq!(found + lost, places.len(), "{case}: {:?}", bad.unwrap());
            // Writing goes on.
            let at = profile.append(&SPACE, b"more").unwrap();
            profile.commit().unwrap();
            assert_eq!(profile.read(&SPACE, &at).unwrap(), b"more", "{case}");
        }
    }
}

/// The vault's table of secrets has no second place; what it holds is told as lost.
#[test]
fn a_log_or_journal_cut_anywhere_never_keeps_a_profile_from_opening() {
    let (disk, index, places) = profile_with_records(10);
    for (path, bytes) in disk.files() {
        if path == "vault.bin" {
            continue;
        }
        let ends = (0..bytes.len()).step_by(97).chain([bytes.len() - 1]);
        for end in ends {
            let disk = disk.copy();
            disk.create(&path)
                .unwrap()
                .write_at(0, &bytes[..end])
                .unwrap();
            let case = format!("{path} of {} bytes cut at {end}", bytes.len());
            for index in [index.copy(), MemIndex::new()] {
                let mut profile = open(&disk.copy(), &index, 3);
                while !profile.take_unindexed(10).unwrap().is_empty() {
                    profile.commit().unwrap();
                }
                for (place, record) in &places {
                    match profile.read(&SPACE, place) {
                        Ok(there) => assert_eq!(there, *record, "{case}"),
                        Err(StoreError::Damaged { .. }) => {}
                        Err(e) => panic!("{case}: {e}"),
                    }
                }
                let at = profile.append(&SPACE, b"more").unwrap();
                profile.commit().unwrap();
                assert_eq!(profile.read(&SPACE, &at).unwrap(), b"more", "{case}");
            }
        }
    }
}

/// Long rows stay on disk. Found damaged while in use, they cost no more than at a start.
#[test]
fn a_kept_row_that_is_damaged_is_gone_once_the_profile_is_read_again() {
    let (disk, index) = (MemDisk::new(), MemIndex::new());
    let (key, node) = (seed(1), Table("node"));
    let with = Unlock::Key(&key);
    let mut profile =
        Profile::create_in(disk.clone(), index.clone(), with, options(), &seed(2)).unwrap();
    for (row, len) in [(b"a", 9), (b"b", 9_000), (b"c", 9)] {
        profile.put(node, row, &vec![1; len]);
        profile.commit().unwrap();
    }
    profile.sync().unwrap();
    let is_state = |(path, _): &(String, Vec<u8>)| path.starts_with("state/");
    let (path, bytes) = disk.files().into_iter().find(is_state).unwrap();
    disk.flip(&path, bytes.len() - 5_000, 1);
    let damaged = profile.get(node, b"b");
    assert!(
        matches!(damaged, Err(StoreError::Damaged { .. })),
        "{damaged:?}"
    );
    assert!(profile.is_poisoned(), "nobody would read it again");
    profile.resume().unwrap();
    assert!(!profile.is_poisoned() && profile.recovery().kept_rows_damaged);
    let there = [b"a", b"b", b"c"].map(|row| profile.get(node, row).unwrap().map(|v| v.len()));
    assert_eq!(there, [Some(9), None, Some(9)]);
    profile.put(node, b"b", b"new");
    profile.commit().unwrap();
    assert_eq!(
        profile.get(node, b"b").unwrap().as_deref(),
        Some(&b"new"[..])
    );
}

#[test]
fn an_older_copy_of_the_vault_or_of_everything_else_is_noticed() {
    let (disk, index, _) = profile_with_records(4);
    let secrets = |profile: &mut Sim, from: u16| {
        for n in from..from + 3 {
            profile.keep_secret(label(n), &seed(1));
            profile.commit().unwrap();
        }
        profile.sync().unwrap();
    };
    disk.kill();
    index.kill();
    let mut profile = open(&disk, &index, 3);
    assert!(profile.recovery().is_clean(), "{:?}", profile.recovery());
    secrets(&mut profile, 0);
    let old = disk.copy();
    secrets(&mut profile, 10);
    drop(profile);
    // What is put back over what stays.
    for (put_back, noticed) in [("vault.bin", true), ("state/", true), ("nothing", false)] {
        let disk = disk.copy();
        for (path, content) in old.files() {
            if path.starts_with(put_back) {
                disk.create(&path).unwrap().write_at(0, &content).unwrap();
            }
        }
        let profile = open(&disk, &index.copy(), 4);
        assert_eq!(profile.recovery().rolled_back, noticed, "{put_back}");
        assert!(
            profile.secret(label(0)).is_some(),
            "{put_back}: guessed and erased"
        );
    }
}

#[test]
fn an_erased_segment_is_gone_and_the_rest_stays() {
    let (disk, index, _) = profile_with_records(2);
    disk.kill();
    index.kill();
    let mut profile = open(&disk, &index, 3);
    let first = profile.append(&SPACE, &[1; 5_000_000]).unwrap();
    let second = profile.append(&SPACE, &[2; 5_000_000]).unwrap();
    profile.commit().unwrap();
    assert_eq!(profile.segments(&SPACE), [0, 1]);
    let free = profile.stats().vault_free_count;
    assert!(profile.erase_segment(&SPACE, 1).is_err(), "it still grows");
    profile.erase_segment(&SPACE, 0).unwrap();
    assert_eq!(profile.stats().vault_free_count, free + 1, "its key too");
    assert!(profile.read(&SPACE, &first).is_err());
    assert_eq!(profile.read(&SPACE, &second).unwrap()[0], 2);
    drop(profile);
    disk.kill();
    index.kill();
    let profile = open(&disk, &index, 4);
    assert_eq!(profile.segments(&SPACE), [1]);
    assert_eq!(profile.read(&SPACE, &second).unwrap()[0], 2);
}

#[test]
fn what_was_handed_out_and_not_committed_is_handed_out_again() {
    let (disk, _, places) = profile_with_records(20);
    disk.kill();
    let index = MemIndex::new();
    let mut profile = open(&disk, &index, 3);
    assert!(profile.recovery().index_rebuilt);
    assert_eq!(profile.take_unindexed(6).unwrap().len(), 6);
    profile.commit().unwrap();
    assert_eq!(profile.take_unindexed(6).unwrap().len(), 6);
    drop(profile);
    disk.kill();
    index.kill();
    let mut profile = open(&disk, &index, 4);
    // What is appended meanwhile does not count as old.
    profile.append(&SPACE, b"new").unwrap();
    let mut rest = Vec::new();
    loop {
        let batch = profile.take_unindexed(5).unwrap();
        if batch.is_empty() {
            break;
        }
        rest.extend(batch.into_iter().map(|found| (found.at, found.record)));
        profile.commit().unwrap();
    }
    assert_eq!(rest, places[6..], "each once, in order");
}

#[test]
fn a_profile_has_one_user_one_root_key_and_one_beginning() {
    let dir = tempfile::tempdir().unwrap();
    let passphrase = |words: &str| RootKey::Passphrase {
        passphrase: Zeroizing::new(words.to_owned()),
        cost: CHEAP,
    };
    let (right, wrong) = (passphrase("right"), passphrase("wrong"));
    let open = |root: &RootKey| DiskStore::open(dir.path(), root, options());
    assert!(matches!(open(&right), Err(OpenError::Missing)));
    let mut store = DiskStore::create(dir.path(), &right, options()).unwrap();
    assert!(matches!(open(&right), Err(OpenError::InUse)));
    store.put(Table("node"), b"k", b"v");
    store.commit().unwrap();
    store.flush_idle().unwrap();
    let stats = store.stats();
    assert!(stats.free_bytes.is_some_and(|free| free > 0) && stats.kept_bytes > 0);
    drop(store);
    assert!(matches!(open(&wrong), Err(OpenError::WrongPassphrase)));
    assert!(matches!(
        open(&RootKey::InsecurePlaintext),
        Err(OpenError::HasPassphrase)
    ));
    let again = DiskStore::create(dir.path(), &right, options());
    assert!(matches!(again, Err(OpenError::Exists)));
    let mut store = open(&right).unwrap();
    store.change_root_key(&RootKey::InsecurePlaintext).unwrap();
    drop(store);
    assert!(matches!(open(&right), Err(OpenError::NoPassphrase)));
    let mut store = open(&RootKey::InsecurePlaintext).unwrap();
    store.change_root_key(&wrong).unwrap();
    drop(store);
    let store = open(&wrong).unwrap();
    assert_eq!(store.get(Table("node"), b"k").unwrap(), Some(b"v".to_vec()));
    assert!(!dir.path().join("insecure-plaintext-key").exists());
}

#[test]
fn the_folder_of_chunks_conforms() {
    blobstore::conformance::check(|| ChunkDir::open(MemDisk::new()).unwrap()).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let mut n = 0;
    blobstore::conformance::check(|| {
        n += 1;
        let fresh = dir.path().join(n.to_string());
        std::fs::create_dir(&fresh).unwrap();
        ChunkDir::open(RealDisk::new(&fresh)).unwrap()
    })
    .unwrap();
}

#[test]
fn chunks_are_what_their_name_says() {
    let disk = MemDisk::new();
    let mut chunks = ChunkDir::open(disk.clone()).unwrap();
    let bodies: Vec<Vec<u8>> = (0..20_u8).map(|n| vec![n; 1000 + usize::from(n)]).collect();
    for body in &bodies {
        let id = BlobId::of_sealed(body);
        assert!(chunks.get(&id).unwrap().is_none() && !chunks.has(&id).unwrap());
        chunks.put(&id, body).unwrap();
        chunks.put(&id, body).unwrap();
        assert_eq!(chunks.get(&id).unwrap().as_ref(), Some(body));
    }
    let wrong = BlobId::of_sealed(b"other");
    assert!(chunks.put(&wrong, b"bytes").is_err());
    let total: u64 = bodies.iter().map(|b| b.len() as u64).sum();
    assert_eq!(chunks.total_bytes(), total);
    disk.power_cut(&mut ChaCha20Rng::seed_from_u64(1));
    let mut chunks = ChunkDir::open(disk.clone()).unwrap();
    assert_eq!(chunks.total_bytes(), total);
    let listed: BTreeSet<BlobId> = chunks.list().unwrap().into_iter().collect();
    assert_eq!(
        listed,
        bodies.iter().map(|b| BlobId::of_sealed(b)).collect()
    );
    assert!(chunks.list().unwrap().is_sorted());
    let id = BlobId::of_sealed(&bodies[3]);
    let path = disk
        .files()
        .into_iter()
        .find(|(p, _)| p.ends_with(&id.to_string()));
    disk.flip(&path.unwrap().0, 500, 3);
    assert!(matches!(chunks.get(&id), Err(StoreError::Damaged { .. })));
    chunks.put(&id, &bodies[3]).unwrap();
    assert!(chunks.get(&id).unwrap().is_some(), "put again");
    assert!(chunks.remove(&id).unwrap() && !chunks.remove(&id).unwrap());
    chunks.put(&id, &bodies[3]).unwrap();
    assert_eq!(chunks.get(&id).unwrap().as_ref(), Some(&bodies[3]));
    assert_eq!(chunks.total_bytes(), total);
}

fn segment(records: &[Vec<u8>]) -> (MemDisk, SegmentContext, Vec<Location>) {
    let disk = MemDisk::new();
    let context = SegmentContext {
        space: SPACE,
        number: 3,
        key: seed(4),
    };
    let mut chance = Chance::new(&seed(5));
    let mut bytes = context.header(label(1), &chance.nonce());
    let mut places = Vec::new();
    for record in records {
        let offset = u32::try_from(bytes.len()).unwrap();
        places.push(
            context
                .seal(offset, &chance.nonce(), record, &mut bytes)
                .unwrap(),
        );
    }
    disk.create("s").unwrap().write_at(0, &bytes).unwrap();
    (disk, context, places)
}

fn scan(disk: &MemDisk, context: &SegmentContext) -> (Vec<(Location, Vec<u8>)>, usize, u32) {
    let file = disk.open("s").unwrap().unwrap();
    let mut scanner = Scanner::new(context.clone(), &file, 0).unwrap();
    let (mut records, mut bad) = (Vec::new(), 0);
    loop {
        match scanner.next_in(&file).unwrap() {
            Scanned::Record(at, record) => records.push((at, record)),
            Scanned::Bad(_) => bad += 1,
            Scanned::End { at, .. } => return (records, bad, at),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever bytes are overwritten, every record they did not touch is found, and nothing else.
    #[test]
    fn damage_costs_the_records_it_hits(
        records in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..200), 1..20),
        at in any::<prop::sample::Index>(),
        junk in prop::collection::vec(any::<u8>(), 1..100),
    ) {
        let (disk, context, places) = segment(&records);
        let file = disk.open("s").unwrap().unwrap();
        let size = file.size().unwrap();
        let begin = 8192 + at.index(usize::try_from(size - 8192).unwrap());
        let junk = &junk[..junk.len().min(usize::try_from(size).unwrap() - begin)];
        file.write_at(begin as u64, junk).unwrap();
        let end = begin + junk.len();
        let (found, _, _) = scan(&disk, &context);
        for (place, record) in places.iter().zip(&records) {
            let (from, to) = (place.offset as usize, (place.offset + place.len) as usize);
            let hit = from < end && begin < to;
            prop_assert!(hit || found.contains(&(*place, record.clone())));
        }
        for (place, record) in &found {
            let known = places.iter().position(|p| p == place);
            prop_assert_eq!(known.map(|n| &records[n]), Some(record));
        }
    }

    /// A segment cut anywhere holds exactly the records before the cut.
    #[test]
    fn a_cut_segment_ends_before_the_cut(
        records in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..200), 1..10),
        cut in any::<prop::sample::Index>(),
    ) {
        let (disk, context, places) = segment(&records);
        let file = disk.open("s").unwrap().unwrap();
        let size = usize::try_from(file.size().unwrap()).unwrap();
        let cut = 8192 + cut.index(size - 8192 + 1);
        file.set_len(cut as u64).unwrap();
        let (found, bad, end) = scan(&disk, &context);
        let whole = places.iter().filter(|p| (p.offset + p.len) as usize <= cut).count();
        prop_assert_eq!(found.len(), whole);
        prop_assert_eq!(bad, 0);
        prop_assert_eq!(end, whole.checked_sub(1).map_or(8192, |n| places[n].offset + places[n].len));
    }

    /// A record opens at its own place, in its own segment, of its own Space, under its own key.
    #[test]
    fn a_record_opens_nowhere_else(record in prop::collection::vec(any::<u8>(), 0..100)) {
        let context = SegmentContext { space: SPACE, number: 3, key: seed(4) };
        let mut bytes = Vec::new();
        context.seal(9000, &[5; 24], &record, &mut bytes).unwrap();
        prop_assert_eq!(context.open(9000, &bytes).unwrap(), record);
        prop_assert!(context.open(9001, &bytes).is_err());
        for other in [
            SegmentContext { space: SpaceId::ZERO, ..context.clone() },
            SegmentContext { number: 4, ..context.clone() },
            SegmentContext { key: seed(5), ..context.clone() },
        ] {
            prop_assert!(other.open(9000, &bytes).is_err());
        }
    }
}
