//! What the simulated disk and index do when told: tests of the tests' own tools.
#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests fail by panicking, as tests do"
)]

use std::collections::BTreeSet;

use oplog::SpaceId;
use oplog::keys::Secret;
use oplog::store::{Direction, Store, StoreError, Table};
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng;
use store::{
    Disk, DiskFile, Index, MemDisk, MemIndex, Options, Profile, RowChange, Rows, Unlock, Unsynced,
};

fn content(disk: &MemDisk, path: &str) -> Option<Vec<u8>> {
    let files = disk.files().into_iter();
    files.filter(|(p, _)| p == path).map(|(_, c)| c).next()
}

/// A file of two synced sectors, then three sectors written over and behind, not synced.
fn half_written() -> MemDisk {
    let disk = MemDisk::new();
    let file = disk.create("f").unwrap();
    file.write_at(0, &[1; 1024]).unwrap();
    file.sync().unwrap();
    disk.sync_dir("").unwrap();
    file.write_at(512, &[2; 1536]).unwrap();
    disk
}

#[test]
fn a_power_cut_can_keep_any_subset_of_sectors() {
    let mut outcomes = BTreeSet::new();
    for subset in 0..8_u32 {
        let disk = half_written();
        assert_eq!(disk.unsynced_count(), 3);
        let mut asked = Vec::new();
        disk.power_cut_keeping(&mut |what| {
            let Unsynced::Sector { path: "f", sector } = what else {
                panic!("{what:?}");
            };
            asked.push(sector);
            subset >> (asked.len() - 1) & 1 == 1
        });
        assert_eq!(asked, [1, 2, 3]);
        let bytes = content(&disk, "f").unwrap();
        for sector in 0..bytes.len() / 512 {
            let kept = sector > 0 && subset >> (sector - 1) & 1 == 1;
            let expected = match (kept, sector) {
                (true, _) => 2,
                (false, 0 | 1) => 1,
                (false, _) => 0,
            };
            assert_eq!(
                bytes[sector * 512..][..512],
                [expected; 512],
                "subset {subset}, sector {sector}"
            );
        }
        outcomes.insert(bytes);
    }
    assert_eq!(outcomes.len(), 8);
}

#[test]
fn names_that_were_not_synced_are_lost_in_order() {
    // created, renamed and removed, none of it synced; how many steps survive
    for kept in 0..=3 {
        let disk = MemDisk::new();
        for name in ["old", "gone"] {
            disk.create(name).unwrap();
        }
        disk.sync_dir("").unwrap();
        disk.create("new").unwrap();
        disk.rename("old", "renamed").unwrap();
        disk.remove("gone").unwrap();
        let mut left = kept;
        disk.power_cut_keeping(&mut |_| {
            left -= 1;
            left >= 0
        });
        let expected = [
            vec!["gone", "old"],
            vec!["gone", "new", "old"],
            vec!["gone", "new", "renamed"],
            vec!["new", "renamed"],
        ];
        assert_eq!(disk.list("").unwrap(), expected[kept as usize]);
    }
}

#[test]
fn reads_fail_once_or_until_the_sector_is_written() {
    let disk = half_written();
    let file = disk.open("f").unwrap().unwrap();
    let read = |at: u64, len: usize| file.read_at(at, &mut vec![0; len]);
    disk.fail_read(1);
    assert!(read(0, 1).is_ok());
    assert!(matches!(read(0, 1), Err(StoreError::Io { .. })));
    assert!(read(0, 1).is_ok());
    disk.rot("f", 1);
    for (at, len, fails) in [
        (0, 512, false),
        (0, 513, true),
        (1023, 1, true),
        (1024, 9, false),
    ] {
        assert_eq!(read(at, len).is_err(), fails, "{at}+{len}");
    }
    file.write_at(512, &[3; 100]).unwrap();
    assert!(read(600, 1).is_err(), "only a part was written");
    file.write_at(512, &[3; 512]).unwrap();
    assert!(read(600, 1).is_ok());
}

#[test]
fn a_roll_back_puts_everything_back_and_closes_files() {
    let disk = half_written();
    let before = disk.copy();
    let file = disk.open("f").unwrap().unwrap();
    file.write_at(0, &[9; 4096]).unwrap();
    disk.create("more").unwrap();
    disk.roll_back(&before);
    assert!(file.write_at(0, b"x").is_err(), "the file was closed");
    assert_eq!(disk.files(), before.files());
    assert_eq!(disk.unsynced_count(), 3, "in doubt as before");
}

#[test]
fn the_index_in_memory_loses_its_last_batches() {
    let table = Table("t");
    let change = |key: u8, value: Option<u8>| RowChange {
        table: "t".into(),
        key: vec![key],
        value: value.map(|v| vec![v]),
    };
    for kept in 0..=3 {
        let index = MemIndex::new();
        let mut rows = index.open().unwrap();
        rows.apply(&[change(1, Some(1)), change(2, Some(1))])
            .unwrap();
        rows.sync().unwrap();
        rows.apply(&[change(1, Some(2)), change(3, Some(2))])
            .unwrap();
        rows.apply(&[change(1, None), change(3, Some(3))]).unwrap();
        rows.apply(&[change(1, Some(4)), change(1, Some(5))])
            .unwrap();
        assert_eq!(index.unsynced_count(), 3);
        index.power_cut_keeping(kept);
        assert!(rows.get(table.0, &[1]).is_err(), "opened before the crash");
        let rows = index.open().unwrap();
        let mut found = Vec::new();
        rows.scan(table.0, &[0], &[9], Direction::Forward, &mut |k, v| {
            found.push((k[0], v[0]));
            core::ops::ControlFlow::Continue(())
        })
        .unwrap();
        let expected = [
            vec![(1, 1), (2, 1)],
            vec![(1, 2), (2, 1), (3, 2)],
            vec![(2, 1), (3, 3)],
            vec![(1, 5), (2, 1), (3, 3)],
        ];
        assert_eq!(found, expected[kept]);
    }
}

type Sim = Profile<MemDisk, MemIndex>;

fn options() -> Options {
    Options {
        reserve_bytes: 0,
        ..Options::default()
    }
}

fn create(seed: u8) -> (MemDisk, MemIndex, Sim) {
    let (disk, index) = (MemDisk::new(), MemIndex::new());
    let (key, seed) = (Secret::from_bytes([1; 32]), Secret::from_bytes([seed; 32]));
    let with = Unlock::Key(&key);
    let made = Profile::create_in(disk.clone(), index.clone(), with, options(), &seed);
    (disk, index, made.unwrap())
}

fn open(disk: &MemDisk, index: &MemIndex, seed: u8) -> Result<Sim, store::OpenError> {
    let (key, seed) = (Secret::from_bytes([1; 32]), Secret::from_bytes([seed; 32]));
    let with = Unlock::Key(&key);
    Profile::open_in(disk.clone(), index.clone(), with, options(), &seed)
}

#[test]
fn two_profiles_of_one_seed_are_alike_to_the_byte() {
    let run = || {
        let (disk, _, mut profile) = create(7);
        for n in 0..50_u8 {
            let space = SpaceId::from_bytes([n % 3; 32]);
            let at = profile.append(&space, &[n; 100]).unwrap();
            profile.put(Table("op"), &[n], &at.to_bytes());
            profile.put(Table("node"), &[n % 5], &[n]);
            profile.commit().unwrap();
        }
        profile.flush_idle().unwrap();
        disk.power_cut(&mut ChaCha20Rng::seed_from_u64(1));
        disk.files()
    };
    assert_eq!(run(), run());
}

#[test]
fn many_profiles_fit_into_memory_and_their_copies_share() {
    let all: Vec<_> = (0..200_u8).map(create).collect();
    let copies: Vec<_> = all.iter().map(|(disk, ..)| disk.copy()).collect();
    for (n, (disk, ..)) in all.iter().enumerate() {
        assert_eq!(disk.files(), copies[n].files());
        // A vault is a megabyte, nearly all of it zeros.
        assert!(disk.stored_bytes() < 100_000, "{}", disk.stored_bytes());
    }
}

#[test]
fn a_read_that_fails_while_opening_is_an_error_and_the_next_opening_succeeds() {
    let (disk, index, mut profile) = create(1);
    let space = SpaceId::from_bytes([3; 32]);
    for n in 0..20 {
        profile.append(&space, &[n; 300]).unwrap();
        profile.put(Table("node"), &[n], &[n]);
        profile.commit().unwrap();
    }
    profile.sync().unwrap();
    drop(profile);
    for n in 0..400 {
        let (disk, index) = (disk.copy(), index.copy());
        disk.fail_read(n);
        let opened = open(&disk, &index, 2);
        let failed = opened.is_err();
        drop(opened);
        disk.heal();
        let profile = open(&disk, &index, 3).unwrap();
        let mut found = 0;
        profile.records(&space, &mut |_, _| found += 1).unwrap();
        assert_eq!(found, 20, "read {n}, failed: {failed}");
        assert_eq!(profile.get(Table("node"), &[19]).unwrap(), Some(vec![19]));
    }
}
