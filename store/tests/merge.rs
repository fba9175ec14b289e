//! Full segments merged into one file: locations stay, keys go, crashes cost nothing.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "helpers of tests fail by panicking, as tests do"
)]

use oplog::SpaceId;
use oplog::keys::Secret;
use oplog::store::{Location, Store, StoreError, Table};
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use store::{MemDisk, MemIndex, Options, Profile, Unlock};

type Sim = Profile<MemDisk, MemIndex>;
type Places = Vec<(SpaceId, Location, Vec<u8>)>;

const OPS: Table = Table("op");
const NODE: Table = Table("node");
/// Two or three records of the size below.
const SEGMENT: u32 = 8192 + 3000;

fn space(n: u8) -> SpaceId {
    SpaceId::from_bytes([n; 32])
}

fn options() -> Options {
    Options {
        reserve_bytes: 0,
        segment_bytes: SEGMENT,
        bundle_bytes: 12_000,
        // Always in want of slots.
        slots_low: usize::MAX,
        ..Options::default()
    }
}

fn open_with(disk: &MemDisk, index: &MemIndex, seed: u8, options: Options) -> Sim {
    let seed = Secret::from_bytes([seed; 32]);
    let with = Secret::from_bytes([1; 32]);
    let with = Unlock::Key(&with);
    let opened = Profile::open_in(disk.clone(), index.clone(), with, options, &seed);
    opened.unwrap()
}

fn open(disk: &MemDisk, index: &MemIndex, seed: u8) -> Sim {
    open_with(disk, index, seed, options())
}

fn append(profile: &mut Sim, space: SpaceId, n: u32) -> (SpaceId, Location, Vec<u8>) {
    let record = n.to_le_bytes().repeat(300 + n as usize % 40);
    let at = profile.append(&space, &record).unwrap();
    profile.put(OPS, &record[..4], &at.to_bytes());
    (space, at, record)
}

/// A profile with `count` records in two Spaces, synced.
fn filled(count: u32) -> (MemDisk, MemIndex, Places) {
    let (disk, index) = (MemDisk::new(), MemIndex::new());
    let (with, seed) = (Secret::from_bytes([1; 32]), Secret::from_bytes([2; 32]));
    let with = Unlock::Key(&with);
    let mut profile =
        Profile::create_in(disk.clone(), index.clone(), with, options(), &seed).unwrap();
    let mut places = Vec::new();
    for n in 0..count {
        let of = space(u8::from(n % 5 == 0));
        places.push(append(&mut profile, of, n));
        profile.commit().unwrap();
    }
    profile.put(NODE, b"k", b"v");
    profile.commit().unwrap();
    profile.sync().unwrap();
    drop(profile);
    disk.kill();
    index.kill();
    (disk, index, places)
}

/// Merges until there is nothing left to merge.
fn merge_all(profile: &mut Sim) {
    let mut before = usize::MAX;
    while profile.stats().vault_taken_count < before {
        before = profile.stats().vault_taken_count;
        profile.flush_idle().unwrap();
    }
}

fn check(profile: &Sim, places: &Places, case: &str) {
    for (space, at, record) in places {
        assert_eq!(
            profile.read(space, at).unwrap(),
            *record,
            "{case}: at {at:?}"
        );
        let row = profile.get(OPS, &record[..4]).unwrap().unwrap();
        assert_eq!(Location::from_bytes(&row), Some(*at), "{case}");
    }
    for space in profile.spaces() {
        let mut found = Vec::new();
        let mut visit = |at, record| found.push((space, at, record));
        assert_eq!(profile.records(&space, &mut visit).unwrap(), [], "{case}");
        let wanted: Vec<_> = places.iter().filter(|p| p.0 == space).cloned().collect();
        assert_eq!(found, wanted, "{case}: each once, in order");
    }
    assert_eq!(profile.verify().unwrap(), [], "{case}");
}

fn log_files(disk: &MemDisk) -> usize {
    let files = disk.files().into_iter();
    files.filter(|(path, _)| path.starts_with("log/")).count()
}

#[test]
fn merged_segments_keep_their_records_and_free_their_slots() {
    let (disk, index, places) = filled(40);
    let mut profile = open(&disk, &index, 3);
    let before = (profile.stats().vault_taken_count, log_files(&disk));
    let numbers = profile.segments(&space(0));
    let first = disk.copy();
    merge_all(&mut profile);
    check(&profile, &places, "merged");
    assert_eq!(profile.segments(&space(0)), numbers, "numbers stay");
    let after = (profile.stats().vault_taken_count, log_files(&disk));
    assert!(after.1 * 2 < before.1, "{before:?} files, {after:?} now");
    assert_eq!(
        before.0 - after.0,
        before.1 - after.1,
        "a key for each file"
    );
    drop(profile);
    disk.kill();
    index.kill();
    let mut profile = open(&disk, &index, 4);
    assert!(profile.recovery().is_clean(), "{:?}", profile.recovery());
    check(&profile, &places, "opened again");
    // The old keys are gone: with the vault of now, the files of then are noise.
    let key_gone = first.copy();
    for (path, content) in disk.files() {
        if path == "vault.bin" {
            use store::{Disk, DiskFile};
            let file = key_gone.open(&path).unwrap().unwrap();
            file.write_at(0, &content).unwrap();
        }
    }
    let old = open(&key_gone, &MemIndex::new(), 5);
    let unread = places.iter().filter(|(s, at, _)| old.read(s, at).is_err());
    assert!(unread.count() > 30);
    // Writing goes on behind what is merged, and that is merged in turn.
    let mut places = places;
    for n in 100..130 {
        places.push(append(&mut profile, space(0), n));
        profile.commit().unwrap();
    }
    merge_all(&mut profile);
    check(&profile, &places, "merged again");
}

#[test]
fn nothing_is_merged_without_need() {
    let (disk, index, places) = filled(40);
    let relaxed = Options {
        slots_low: 10,
        ..options()
    };
    let mut profile = open_with(&disk, &index, 3, relaxed);
    let before = log_files(&disk);
    profile.flush_idle().unwrap();
    assert_eq!(log_files(&disk), before);
    drop(profile);
    // But what is small is: a larger segment would have held these.
    let roomy = Options {
        slots_low: 10,
        segment_bytes: 100_000,
        ..options()
    };
    let mut profile = open_with(&disk, &index, 3, roomy);
    merge_all(&mut profile);
    assert!(
        log_files(&disk) <= 6,
        "{} of {before} files",
        log_files(&disk)
    );
    check(&profile, &places, "small ones merged");
}

#[test]
fn a_crash_while_segments_are_merged_costs_nothing() {
    let (base, base_index, places) = filled(25);
    for power in [false, true] {
        for call in 0.. {
            let (disk, index) = (base.copy(), base_index.copy());
            let mut profile = open(&disk, &index, 3);
            disk.die_after(call);
            let done = (0..3).try_for_each(|_| profile.flush_idle()).is_ok();
            drop(profile);
            let case = format!("{call} calls, power cut: {power}");
            if power {
                disk.power_cut(&mut ChaCha20Rng::seed_from_u64(call));
                index.power_cut();
            } else {
                disk.kill();
                index.kill();
            }
            let mut profile = open(&disk, &index, 4);
            let found = profile.recovery().clone();
            assert!(found.bad_records.is_empty(), "{case}: {found:?}");
            assert!(!found.index_rebuilt && !found.rolled_back, "{case}");
            assert!(!found.kept_rows_damaged, "{case}");
            check(&profile, &places, &case);
            merge_all(&mut profile);
            check(&profile, &places, &case);
            // No key is left that no file names: the others are the store.s own.
            let keys = profile.stats().vault_taken_count;
            assert_eq!(keys, log_files(&disk) + INTERNAL_KEYS, "{case}");
            if done {
                assert!(call > 40, "only {call} crashes tried");
                break;
            }
        }
    }
}

/// Names of logs, profile id, index, journal.
const INTERNAL_KEYS: usize = 4;

#[test]
fn a_failed_write_or_sync_while_merging_costs_nothing() {
    let (base, base_index, places) = filled(25);
    for n in 0..60 {
        for sync in [false, true] {
            let (disk, index) = (base.copy(), base_index.copy());
            let mut profile = open(&disk, &index, 3);
            if sync {
                disk.fail_sync(n);
            } else {
                disk.fail_write(n);
            }
            let case = format!("{n}th fails, sync: {sync}");
            for _ in 0..3 {
                if profile.flush_idle().is_err() && profile.is_poisoned() {
                    break;
                }
            }
            disk.heal();
            if profile.is_poisoned() {
                profile.resume().unwrap();
            }
            check(&profile, &places, &case);
            merge_all(&mut profile);
            check(&profile, &places, &case);
            drop(profile);
            disk.power_cut(&mut ChaCha20Rng::seed_from_u64(n));
            index.power_cut();
            check(&open(&disk, &index, 5), &places, &case);
        }
    }
}

#[test]
fn a_full_disk_leaves_segments_unmerged() {
    let (base, base_index, places) = filled(25);
    let used: u64 = base.files().iter().map(|(_, c)| c.len() as u64).sum();
    for room in (0..24_000).step_by(1_500) {
        let (disk, index) = (base.copy(), base_index.copy());
        let mut profile = open(&disk, &index, 3);
        disk.set_capacity(Some(used + room));
        for _ in 0..3 {
            match profile.flush_idle() {
                Ok(()) | Err(StoreError::Full) => {}
                Err(e) => panic!("{room} of room: {e}"),
            }
        }
        disk.set_capacity(None);
        if profile.is_poisoned() {
            profile.resume().unwrap();
        }
        check(&profile, &places, "full");
        merge_all(&mut profile);
        check(&profile, &places, "room again");
    }
}

#[test]
fn one_segment_of_a_bundle_can_be_erased() {
    let (disk, index, mut places) = filled(40);
    let mut profile = open(&disk, &index, 3);
    merge_all(&mut profile);
    let before = disk.copy();
    let gone = profile.segments(&space(0))[1];
    profile.erase_segment(&space(0), gone).unwrap();
    let erased: Vec<_> = places
        .extract_if(.., |(s, at, _)| *s == space(0) && at.segment == gone)
        .collect();
    assert!(!erased.is_empty());
    for round in 0..2 {
        for (space, at, _) in &erased {
            assert!(profile.read(space, at).is_err(), "round {round}");
        }
        check(&profile, &places, "without it");
        drop(profile);
        disk.kill();
        index.kill();
        profile = open(&disk, &index, 4 + round);
    }
    // The key went with it.
    use store::{Disk, DiskFile};
    let vault = disk.files().into_iter().find(|(p, _)| p == "vault.bin");
    let file = before.open("vault.bin").unwrap().unwrap();
    file.write_at(0, &vault.unwrap().1).unwrap();
    let old = open(&before, &MemIndex::new(), 7);
    assert!(erased.iter().all(|(s, at, _)| old.read(s, at).is_err()));
}

#[test]
fn a_flipped_bit_in_a_bundle_costs_at_most_the_record_it_hits() {
    let (disk, index, places) = filled(25);
    let mut profile = open(&disk, &index, 3);
    merge_all(&mut profile);
    drop(profile);
    disk.kill();
    index.kill();
    let mut rng = ChaCha20Rng::seed_from_u64(6);
    let bundles = disk.files().into_iter();
    let bundles: Vec<_> = bundles.filter(|(p, _)| p.ends_with(".bun")).collect();
    assert!(bundles.len() > 1);
    for round in 0..200_u32 {
        let (disk, index) = (disk.copy(), index.copy());
        let (path, content) = &bundles[round as usize % bundles.len()];
        let at = match round % 4 {
            0 => rng.next_u32() as usize % 4096,
            _ => rng.next_u32() as usize % content.len(),
        };
        disk.flip(path, at, u8::try_from(round % 8).unwrap());
        let mut profile = open(&disk, &index, 4);
        let lost = |profile: &Sim| {
            let read = places.iter().filter(|(s, at, record)| {
                let there = profile.read(s, at).ok();
                assert!(there.as_ref().is_none_or(|there| there == record));
                there.is_none()
            });
            read.count()
        };
        assert!(lost(&profile) <= 1, "{path} at {at}");
        // Merging on leaves the damaged one alone.
        let before = lost(&profile);
        merge_all(&mut profile);
        assert_eq!(lost(&profile), before, "{path} at {at}");
    }
}

#[test]
fn years_of_use_take_few_slots_and_files() {
    let (disk, index) = (MemDisk::new(), MemIndex::new());
    let (with, seed) = (Secret::from_bytes([1; 32]), Secret::from_bytes([2; 32]));
    let with = Unlock::Key(&with);
    let options = Options {
        bundle_bytes: 120_000,
        slots_low: 4096 - 60,
        ..options()
    };
    let mut profile = Profile::create_in(disk.clone(), index, with, options, &seed).unwrap();
    let (mut bytes, mut most) = (0, 0);
    for n in 0..2_000 {
        let (_, at, _) = append(&mut profile, space(0), n);
        bytes += u64::from(at.len);
        profile.commit().unwrap();
        if n % 10 == 0 {
            profile.flush_idle().unwrap();
        }
        most = most.max(profile.stats().vault_taken_count);
    }
    let segments = profile.segments(&space(0)).len();
    assert!(segments > 900, "{segments} segments");
    let bound = 60 + 10 + usize::try_from(bytes / 120_000).unwrap() * 2;
    assert!(most <= bound, "{most} slots at once, {bound} expected");
    assert!(log_files(&disk) < 100, "{} files", log_files(&disk));
}
