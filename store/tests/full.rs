//! A full disk: opening lets the reserve go, what was refused stays refused, and work goes on
//! once there is room.
#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests fail by panicking, as tests do"
)]

use core::ops::ControlFlow;
use std::collections::{BTreeMap, BTreeSet};

use oplog::SpaceId;
use oplog::keys::Secret;
use oplog::store::{Direction, Label, Location, Store, StoreError, Table, Visit};
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng;
use store::{
    Disk, DiskFile, Index, MemDisk, MemIndex, MemRows, OpenError, Options, Profile, RowChange,
    Rows, Unlock,
};

const NODE: Table = Table("node");
const SPACE: SpaceId = SpaceId::from_bytes([7; 32]);
/// The file of [`DiskIndex`].
const INDEX: &str = "index";
/// What opening that index takes and gives back.
const OPENING_BYTES: usize = 100;

/// An index that takes room as fjall does: a batch has to go into a journal first. One that did
/// not go in closes the index, waits in a buffer, and is tried once more when it is dropped.
#[derive(Clone)]
struct DiskIndex {
    disk: MemDisk,
    rows: MemIndex,
}

struct DiskRows {
    disk: MemDisk,
    rows: MemRows,
    waiting: Option<Vec<RowChange>>,
}

impl DiskIndex {
    fn on(disk: &MemDisk) -> Self {
        Self {
            disk: disk.clone(),
            rows: MemIndex::new(),
        }
    }
}

impl Index for DiskIndex {
    type Rows = DiskRows;

    fn open(&self) -> Result<DiskRows, StoreError> {
        let note = self.disk.create("opening")?;
        note.write_at(0, &[1; OPENING_BYTES])?;
        self.disk.remove("opening")?;
        Ok(DiskRows {
            disk: self.disk.clone(),
            rows: self.rows.open()?,
            waiting: None,
        })
    }

    fn condemn(&self) -> Result<(), StoreError> {
        self.rows.condemn()
    }

    fn discard(&self) -> Result<(), StoreError> {
        self.disk.remove(INDEX)?;
        self.rows.discard()
    }
}

impl DiskRows {
    fn write(&mut self, changes: &[RowChange]) -> Result<(), StoreError> {
        let file = match self.disk.open(INDEX)? {
            Some(file) => file,
            None => self.disk.create(INDEX)?,
        };
        let len = |c: &RowChange| c.key.len() + c.value.as_ref().map_or(0, Vec::len);
        let end = file.size()?;
        let bytes = vec![1; changes.iter().map(len).sum()];
        file.write_at(end, &bytes)
            .inspect_err(|_| file.set_len(end).unwrap())?;
        self.rows.apply(changes)
    }
}

impl Drop for DiskRows {
    fn drop(&mut self) {
        if let Some(changes) = self.waiting.take() {
            // There may be room by now, or not.
            let _ = self.write(&changes);
        }
    }
}

impl Rows for DiskRows {
    fn get(&self, table: &str, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.rows.get(table, key)
    }

    fn scan(
        &self,
        table: &str,
        from: &[u8],
        to: &[u8],
        order: Direction,
        visit: Visit<'_>,
    ) -> Result<(), StoreError> {
        self.rows.scan(table, from, to, order, visit)
    }

    fn tables(&self) -> Result<Vec<String>, StoreError> {
        self.rows.tables()
    }

    fn apply(&mut self, changes: &[RowChange]) -> Result<(), StoreError> {
        if self.waiting.is_some() {
            return Err(StoreError::Io {
                doing: "write the index",
                source: "it is closed".into(),
            });
        }
        self.write(changes)
            .inspect_err(|_| self.waiting = Some(changes.to_vec()))
    }

    fn sync(&mut self) -> Result<(), StoreError> {
        self.rows.sync()
    }

    fn flush_idle(&mut self) -> Result<(), StoreError> {
        self.rows.flush_idle()
    }

    fn flush_last(&mut self) -> Result<(), StoreError> {
        self.rows.flush_last()
    }

    fn bytes(&self) -> u64 {
        self.rows.bytes()
    }
}

type Sim = Profile<MemDisk, DiskIndex>;

const RESERVE_BYTES: u64 = 64 * 1024;

fn options(reserve_bytes: u64) -> Options {
    Options {
        reserve_bytes,
        ..Options::default()
    }
}

fn create(reserve_bytes: u64) -> (MemDisk, DiskIndex, Sim) {
    let disk = MemDisk::new();
    let index = DiskIndex::on(&disk);
    let (key, seed) = (Secret::from_bytes([1; 32]), Secret::from_bytes([2; 32]));
    let with = Unlock::Key(&key);
    let options = options(reserve_bytes);
    let made = Profile::create_in(disk.clone(), index.clone(), with, options, &seed);
    (disk, index, made.unwrap())
}

fn open(disk: &MemDisk, index: &DiskIndex, seed: u8) -> Result<Sim, OpenError> {
    let (key, seed) = (Secret::from_bytes([1; 32]), Secret::from_bytes([seed; 32]));
    let with = Unlock::Key(&key);
    let options = options(RESERVE_BYTES);
    Profile::open_in(disk.clone(), index.clone(), with, options, &seed)
}

/// Leaves so much room and no more.
fn leave(disk: &MemDisk, bytes: u64) {
    let used: u64 = disk.files().iter().map(|(_, c)| c.len() as u64).sum();
    disk.set_capacity(Some(used + bytes));
}

#[test]
fn a_full_disk_opens_by_letting_the_reserve_go() {
    let (disk, index, mut profile) = create(RESERVE_BYTES);
    let at: Vec<Location> = (0..5_u8)
        .map(|n| {
            let at = profile.append(&SPACE, &[n; 300]).unwrap();
            profile.put(NODE, &[n], &[n]);
            profile.commit().unwrap();
            at
        })
        .collect();
    profile.sync().unwrap();
    assert!(profile.stats().reserve_held);
    drop(profile);
    disk.kill();
    for (room, held) in [(OPENING_BYTES as u64, true), (0, false)] {
        leave(&disk, room);
        let profile = open(&disk, &index, 3).unwrap();
        assert_eq!(profile.stats().reserve_held, held, "{room} bytes of room");
        assert!(!profile.recovery().index_rebuilt);
        for (n, at) in (0..).zip(&at) {
            assert_eq!(profile.read(&SPACE, at).unwrap(), [n; 300]);
            assert_eq!(profile.get(NODE, &[n]).unwrap(), Some(vec![n]));
        }
        disk.kill();
    }
    // Somebody else took what was let go: it says so, and loses nothing.
    leave(&disk, 0);
    let refused = open(&disk, &index, 4).map(drop);
    assert!(matches!(refused, Err(OpenError::Store(StoreError::Full))));
    disk.set_capacity(None);
    let mut profile = open(&disk, &index, 5).unwrap();
    assert!(profile.stats().reserve_held, "there is room again");
    assert_eq!(profile.read(&SPACE, at.last().unwrap()).unwrap(), [4; 300]);
    profile.append(&SPACE, b"more").unwrap();
    profile.commit().unwrap();
}

/// What became of the steps of a run.
#[derive(Debug, Default)]
struct Steps {
    done: BTreeSet<Vec<u8>>,
    refused: BTreeSet<Vec<u8>>,
    rows: BTreeMap<u8, Vec<u8>>,
}

/// Writes until the disk is full, and on: every third step with a kept row, every fifth with a
/// secret too.
fn fill(profile: &mut Sim, steps: &mut Steps, from: u8) {
    for n in from..from + 40 {
        let records: Vec<Vec<u8>> = (0..=n % 3)
            .map(|m| [vec![n, m], vec![n; usize::from(n) * 61 % 700]].concat())
            .collect();
        for record in &records {
            let at = profile.append(&SPACE, record).unwrap();
            profile.put(Table("op"), record.get(..2).unwrap(), &at.to_bytes());
        }
        let row = vec![n; 200];
        if n % 3 == 0 {
            profile.put(NODE, &[n], &row);
        }
        if n % 5 == 0 {
            profile.keep_secret(Label::new("test", &[]), &Secret::from_bytes([n; 32]));
        }
        match profile.commit() {
            Ok(()) => {
                steps.done.extend(records);
                if n % 3 == 0 {
                    steps.rows.insert(n, row);
                }
            }
            Err(error) => {
                assert!(matches!(error, StoreError::Full), "{error:?}");
                steps.refused.extend(records);
            }
        }
        if !profile.is_poisoned() && n % 4 == 3 {
            profile.sync().unwrap();
        }
        // As the driver does: with luck it works again.
        if profile.is_poisoned() && profile.resume().is_err() {
            return;
        }
    }
}

/// Checks that all that was done is there, in the log and in the index, and nothing else.
fn check(profile: &mut Sim, steps: &Steps, case: &str) {
    loop {
        let batch = profile.take_unindexed(3).unwrap();
        if batch.is_empty() {
            break;
        }
        for found in batch {
            let key = found.record.get(..2).unwrap();
            profile.put(Table("op"), key, &found.at.to_bytes());
        }
        profile.commit().unwrap();
    }
    let mut found = BTreeSet::new();
    let visit = &mut |_, record| {
        found.insert(record);
    };
    let bad = profile.records(&SPACE, visit).unwrap();
    assert_eq!(bad, [], "{case}");
    let back = found.intersection(&steps.refused).count();
    assert_eq!(back, 0, "{case}: refused, and there all the same");
    assert!(
        found == steps.done,
        "{case}: {} of {}",
        found.len(),
        steps.done.len()
    );
    let mut indexed = 0;
    let each = &mut |_: &[u8], _: &[u8]| {
        indexed += 1;
        ControlFlow::Continue(())
    };
    let (from, to) = ([0], [255; 3]);
    profile
        .scan(Table("op"), &from, &to, Direction::Forward, each)
        .unwrap();
    assert_eq!(indexed, found.len(), "{case}: index and log differ");
    for n in 0..=u8::MAX {
        let row = profile.get(NODE, &[n]).unwrap();
        assert_eq!(row.as_ref(), steps.rows.get(&n), "{case}: row {n}");
    }
    let recovery = profile.recovery();
    assert!(
        !recovery.rolled_back && !recovery.kept_rows_damaged,
        "{case}"
    );
}

#[test]
fn what_a_full_disk_refused_stays_refused() {
    let mut refusals = 0;
    let rooms = (0..24_000).step_by(631);
    let cases = rooms.flat_map(|room| [(room, 0), (room, 4096)]);
    for ((room, reserve), killed) in cases.flat_map(|case| [(case, false), (case, true)]) {
        let (disk, index, mut profile) = create(reserve);
        let mut steps = Steps::default();
        for n in 0..3_u8 {
            let record = vec![200 + n; 50];
            let at = profile.append(&SPACE, &record).unwrap();
            profile.put(Table("op"), &record[..2], &at.to_bytes());
            profile.commit().unwrap();
            steps.done.insert(record);
        }
        profile.sync().unwrap();
        leave(&disk, room);
        fill(&mut profile, &mut steps, 0);
        let case = format!("{room} bytes of room, {reserve} in reserve, killed: {killed}");
        refusals += steps.refused.len();
        disk.set_capacity(None);
        if killed {
            drop(profile);
            disk.kill();
            profile = open(&disk, &index, 9).unwrap();
        } else if profile.is_poisoned() {
            profile.resume().unwrap();
        }
        check(&mut profile, &steps, &case);
        // What comes now takes the place of what was refused, and stays.
        fill(&mut profile, &mut steps, 60);
        check(&mut profile, &steps, &case);
        profile.sync().unwrap();
        drop(profile);
        disk.power_cut(&mut ChaCha20Rng::seed_from_u64(room));
        let mut profile = open(&disk, &index, 10).unwrap();
        check(&mut profile, &steps, &case);
    }
    assert!(refusals > 1_000, "only {refusals} records were refused");
}
