//! A profile whose files somebody changed.

use std::sync::LazyLock;

use oplog::store::{Location, Store, StoreError, Table};
use oplog::{Secret, SpaceId};
use store::{Disk, DiskFile, MemDisk, MemIndex, OpenError, Options, Profile, Unlock};

use crate::edits::edits;

const SPACE: SpaceId = SpaceId::from_bytes([7; 32]);
const RECORDS: u8 = 20;

fn options() -> Options {
    Options {
        reserve_bytes: 0,
        ..Options::default()
    }
}

/// Files of a profile, and where its records stand.
type Files = (Vec<(String, Vec<u8>)>, Vec<(Location, Vec<u8>)>);

static FILES: LazyLock<Files> = LazyLock::new(|| {
    let (disk, index) = (MemDisk::new(), MemIndex::new());
    let (key, seed) = (Secret::from_bytes([1; 32]), Secret::from_bytes([2; 32]));
    let with = Unlock::Key(&key);
    let made = Profile::create_in(disk.clone(), index, with, options(), &seed);
    let mut profile = made.expect("an empty disk");
    let mut places = Vec::new();
    for n in 0..RECORDS {
        let record = vec![n; 50 + usize::from(n) * 13];
        let at = profile.append(&SPACE, &record).expect("room");
        places.push((at, record));
        profile.put(Table("node"), &[n], &[n; 40]);
        profile.commit().expect("room");
    }
    profile.sync().expect("a whole disk");
    (disk.files(), places)
});

/// Opening succeeds or says why not; a record that can be read is the one that was written there; and
/// what opened can be written.
pub fn profile(data: &[u8]) {
    let Some((which, changes)) = data.split_first() else {
        return;
    };
    let (files, places) = &*FILES;
    let changed = usize::from(*which) % files.len();
    let disk = MemDisk::new();
    for (at, (path, content)) in files.iter().enumerate() {
        let content = if at == changed {
            edits(content, changes)
        } else {
            content.clone()
        };
        if let Some((dir, _)) = path.rsplit_once('/') {
            disk.create_dir(dir).expect("a folder");
        }
        let file = disk.create(path).expect("a file");
        file.write_at(0, &content).expect("room");
    }
    let (key, seed) = (Secret::from_bytes([1; 32]), Secret::from_bytes([3; 32]));
    let opened = Profile::open_in(disk, MemIndex::new(), Unlock::Key(&key), options(), &seed);
    let mut profile = match opened {
        Ok(profile) => profile,
        Err(OpenError::Vault(_) | OpenError::WrongPassphrase | OpenError::Missing) => return,
        Err(error) => panic!("{}: {error:?}", files[changed].0),
    };
    while !profile
        .take_unindexed(1_000)
        .expect("it was read")
        .is_empty()
    {}
    for (at, record) in places {
        match profile.read(&SPACE, at) {
            Ok(read) => assert_eq!(&read, record),
            Err(StoreError::Damaged { .. }) => {}
            Err(error) => panic!("{error}"),
        }
    }
    for n in 0..RECORDS {
        if let Ok(Some(row)) = profile.get(Table("node"), &[n]) {
            assert_eq!(row, [n; 40]);
        }
    }
    if profile.is_poisoned() {
        profile.resume().expect("it opens again");
    }
    let at = profile.append(&SPACE, b"one more").expect("room");
    profile.commit().expect("room");
    assert_eq!(
        profile.read(&SPACE, &at).expect("it was written"),
        b"one more"
    );
}
