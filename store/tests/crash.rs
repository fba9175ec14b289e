//! Crashes at every changing call of a simulated disk: what was acknowledged is there, what was
//! not is there whole or not at all, and the profile always opens.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "helpers of tests fail by panicking, as tests do"
)]

use std::collections::{BTreeMap, BTreeSet};

use oplog::SpaceId;
use oplog::keys::Secret;
use oplog::store::{Direction, Label, Location, Store, StoreError, Table, prefix_end};
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use store::{BadPart, MemDisk, MemIndex, Options, Profile, Unlock};

type Sim = Profile<MemDisk, MemIndex>;

const OPS: Table = Table("op");
const NODE: Table = Table("node");
/// Rows of the index that no record brings back.
const AUX: Table = Table("aux");
const STEPS: u8 = 24;

/// What the last of some steps left behind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Model {
    kept: Kept,
    secrets: Secrets,
    aux: Option<Vec<u8>>,
    records: BTreeSet<Vec<u8>>,
}

/// How far a run came before the crash.
struct Reached {
    models: Vec<Model>,
    committed: usize,
    synced: usize,
}

fn space(n: u8) -> SpaceId {
    SpaceId::from_bytes([n; 32])
}

fn label(n: u8) -> Label {
    Label::new("test", &[&[n]])
}

fn options() -> Options {
    Options {
        reserve_bytes: 0,
        ..Options::default()
    }
}

fn root() -> Secret {
    Secret::from_bytes([1; 32])
}

fn fresh() -> (MemDisk, MemIndex) {
    let (disk, index) = (MemDisk::new(), MemIndex::new());
    let seed = Secret::from_bytes([2; 32]);
    let with = root();
    let mut profile = Profile::create_in(
        disk.clone(),
        index.clone(),
        Unlock::Key(&with),
        options(),
        &seed,
    )
    .unwrap();
    profile.sync().unwrap();
    drop(profile);
    (disk, index)
}

fn open(disk: &MemDisk, index: &MemIndex, seed: u8) -> Sim {
    let seed = Secret::from_bytes([seed; 32]);
    let with = root();
    Profile::open_in(
        disk.clone(),
        index.clone(),
        Unlock::Key(&with),
        options(),
        &seed,
    )
    .unwrap()
}

/// What the node does with a record: one row, found again from its content.
fn index_record(profile: &mut Sim, record: &[u8], at: Location) {
    profile.put(OPS, record, &at.to_bytes());
}

/// One step of the work: records in two logs, rows of both sorts, secrets kept, replaced, erased.
fn stage(profile: &mut Sim, model: &mut Model, step: u8) -> Result<(), StoreError> {
    for n in 0..=(step % 3) {
        let len = 40 + usize::from(step) * 97 % 1300;
        let record = [vec![step % 2, step, n], vec![step ^ n; len]].concat();
        let at = profile.append(&space(step % 2), &record)?;
        index_record(profile, &record, at);
        model.records.insert(record);
    }
    if step.is_multiple_of(3) {
        let (key, value) = (
            vec![b'k', step % 5],
            vec![step; 3000 * usize::from(step % 4)],
        );
        profile.put(NODE, &key, &value);
        model.kept.insert(key, value);
        profile.put(AUX, b"at", &[step]);
        model.aux = Some(vec![step]);
        let key = vec![b'k', (step + 2) % 5];
        profile.delete(NODE, &key);
        model.kept.remove(&key);
    }
    if step.is_multiple_of(4) {
        let secret = [step + 1; 32];
        profile.keep_secret(label(step % 3), &Secret::from_bytes(secret));
        model.secrets.insert(label(step % 3), secret);
        profile.erase_secret(label((step + 1) % 3));
        model.secrets.remove(&label((step + 1) % 3));
    }
    Ok(())
}

fn work(profile: &mut Sim, reached: &mut Reached) -> Result<(), StoreError> {
    for step in 0..STEPS {
        let mut model = reached.models.last().cloned().unwrap_or_default();
        stage(profile, &mut model, step)?;
        // From here on the step may or may not have happened.
        reached.models.push(model);
        profile.commit()?;
        reached.committed = reached.models.len() - 1;
        if step % 4 == 1 {
            profile.sync()?;
            reached.synced = reached.committed;
        }
    }
    Ok(())
}

fn start() -> Reached {
    Reached {
        models: vec![Model::default()],
        committed: 0,
        synced: 0,
    }
}

/// Indexes what the index does not know, as a node does after opening.
fn catch_up(profile: &mut Sim) {
    loop {
        let batch = profile.take_unindexed(3).unwrap();
        if batch.is_empty() {
            break;
        }
        for found in batch {
            index_record(profile, &found.record, found.at);
        }
        profile.commit().unwrap();
    }
    profile.commit().unwrap();
}

type Kept = BTreeMap<Vec<u8>, Vec<u8>>;
type Secrets = BTreeMap<Label, [u8; 32]>;

fn kept_and_secrets(profile: &Sim) -> (Kept, Secrets) {
    let mut kept = BTreeMap::new();
    let collect = &mut |key: &[u8], value: &[u8]| {
        kept.insert(key.to_vec(), value.to_vec());
        core::ops::ControlFlow::Continue(())
    };
    profile
        .scan(NODE, b"k", &prefix_end(b"k"), Direction::Forward, collect)
        .unwrap();
    let secrets = (0..3).filter_map(|n| Some((label(n), *profile.secret(label(n))?.as_bytes())));
    (kept, secrets.collect())
}

/// Checks everything that must hold after a crash in which at least `least` steps survive.
fn check(profile: &mut Sim, reached: &Reached, least: usize, case: &str) {
    catch_up(profile);
    let (kept, secrets) = kept_and_secrets(profile);
    // Kept rows and secrets are those of one step, the same for both.
    let candidates = least..reached.models.len();
    let at = candidates
        .clone()
        .find(|n| reached.models[*n].kept == kept && reached.models[*n].secrets == secrets);
    let at =
        at.unwrap_or_else(|| panic!("{case}: no step from {least} has these rows and secrets"));
    let aux = profile.get(AUX, b"at").unwrap();
    // An index that got ahead of the log is dropped, and with it what no record brings back.
    let dropped = profile.recovery().index_rebuilt && aux.is_none();
    assert!(
        dropped || aux == reached.models[at].aux,
        "{case}: half of a step is gone"
    );
    let required = &reached.models[at.max(least)].records;
    let possible = &reached.models.last().unwrap().records;
    let mut found = BTreeSet::new();
    for space in profile.spaces() {
        let mut begins = BTreeSet::new();
        let bad = profile
            .records(&space, &mut |at, record| {
                begins.insert((at.segment, at.offset));
                found.insert(record);
            })
            .unwrap();
        begins.extend(bad.iter().map(|p| (p.at.segment, p.at.offset)));
        let followed = |p: &BadPart| begins.contains(&(p.at.segment, p.at.offset + p.at.len));
        assert!(
            bad.iter().all(followed),
            "{case}: a torn end was left: {bad:?}"
        );
        assert!(
            bad.iter().all(|part| part.at.len > 0),
            "{case}: {bad:?} is nothing"
        );
    }
    assert!(found.is_subset(possible), "{case}: records nobody appended");
    let must: BTreeSet<_> = reached.models[least].records.iter().collect();
    assert!(
        must.iter().all(|record| found.contains(*record)),
        "{case}: acknowledged records are gone"
    );
    // A step that touched kept rows brought its records along.
    if at > 0 && (at - 1).is_multiple_of(3) {
        assert!(
            required.iter().all(|record| found.contains(record)),
            "{case}: half of step {at} is gone"
        );
    }
    // The index knows exactly what is there.
    let mut rows = BTreeMap::new();
    profile
        .scan(
            OPS,
            b"",
            &[255; 64],
            Direction::Forward,
            &mut |key, value| {
                rows.insert(key.to_vec(), Location::from_bytes(value).unwrap());
                core::ops::ControlFlow::Continue(())
            },
        )
        .unwrap();
    assert_eq!(
        rows.keys().collect::<Vec<_>>(),
        found.iter().collect::<Vec<_>>(),
        "{case}: index and log differ"
    );
    for (record, at) in rows {
        let there = profile.read(&space(record[0]), &at).unwrap();
        assert_eq!(there, record, "{case}");
    }
    assert!(
        !profile.recovery().rolled_back,
        "{case}: a crash is no rollback"
    );
}

/// Without a crash exactly what was committed is there: of a step that was refused nothing.
fn check_refused(profile: &Sim, reached: &Reached, case: &str) {
    let mut found = BTreeSet::new();
    for space in profile.spaces() {
        let visit = &mut |_, record| {
            found.insert(record);
        };
        profile.records(&space, visit).unwrap();
    }
    let committed = &reached.models[reached.committed];
    assert!(
        found == committed.records,
        "{case}: {} records, not {}",
        found.len(),
        committed.records.len()
    );
    let (kept, secrets) = kept_and_secrets(profile);
    assert_eq!(
        (&kept, &secrets),
        (&committed.kept, &committed.secrets),
        "{case}"
    );
}

/// After a crash the profile works on, and what it then writes stays.
fn works_on(mut profile: Sim, disk: &MemDisk, index: &MemIndex, case: &str) {
    let at = profile.append(&space(0), b"\0afterwards").unwrap();
    index_record(&mut profile, b"\0afterwards", at);
    profile.put(NODE, b"after", b"1");
    profile.keep_secret(label(9), &root());
    profile.commit().unwrap();
    profile.sync().unwrap();
    drop(profile);
    disk.kill();
    index.kill();
    let profile = open(disk, index, 77);
    assert_eq!(
        profile.read(&space(0), &at).unwrap(),
        b"\0afterwards",
        "{case}"
    );
    assert_eq!(profile.get(NODE, b"after").unwrap(), Some(b"1".to_vec()));
    assert_eq!(profile.secret(label(9)), Some(root()), "{case}");
    assert!(!profile.has_unindexed(), "{case}: {:?}", profile.recovery());
}

/// Runs the work on copies of one profile, each dying one changing call later.
fn crash_everywhere(
    (base, base_index): (&MemDisk, &MemIndex),
    least_calls: u64,
    work: impl Fn(&mut Sim, &mut Reached) -> Result<(), StoreError>,
    mut crash: impl FnMut(&MemDisk, &MemIndex, Reached, u64),
) {
    for call in 0.. {
        let (disk, index) = (base.copy(), base_index.copy());
        let mut profile = open(&disk, &index, 3);
        let before = disk.changes();
        disk.die_after(call);
        let mut reached = start();
        let finished = work(&mut profile, &mut reached).is_ok();
        drop(profile);
        assert!(disk.changes() - before <= call);
        crash(&disk, &index, reached, call);
        if finished {
            assert!(call >= least_calls, "only {call} crashes tried");
            return;
        }
    }
}

#[test]
fn a_killed_process_loses_nothing_committed() {
    let (disk, index) = fresh();
    crash_everywhere((&disk, &index), 100, work, |disk, index, reached, call| {
        let case = format!("killed after {call} calls");
        disk.kill();
        index.kill();
        let mut profile = open(disk, index, 4);
        check(&mut profile, &reached, reached.committed, &case);
        works_on(profile, disk, index, &case);
    });
}

#[test]
fn a_power_cut_loses_nothing_synced() {
    let (disk, index) = fresh();
    for seed in 0..3 {
        crash_everywhere((&disk, &index), 100, work, |disk, index, reached, call| {
            let case = format!("power cut after {call} calls, seed {seed}");
            let mut rng = ChaCha20Rng::seed_from_u64(call ^ seed << 32);
            disk.power_cut(&mut rng);
            // What the index had not synced may be there all the same.
            if rng.next_u32() & 1 == 0 {
                index.power_cut();
            } else {
                index.kill();
            }
            let mut profile = open(disk, index, 4);
            check(&mut profile, &reached, reached.synced, &case);
            works_on(profile, disk, index, &case);
        });
    }
}

/// Kills and power cuts, at every call of some work on top of a prepared profile.
fn crash_both_ways(
    base: (&MemDisk, &MemIndex),
    least_calls: u64,
    work: impl Fn(&mut Sim, &mut Reached) -> Result<(), StoreError>,
    mut verify: impl FnMut(Sim, &Reached, usize, &str),
) {
    for power in [false, true] {
        crash_everywhere(base, least_calls, &work, |disk, index, reached, call| {
            let least = if power {
                disk.power_cut(&mut ChaCha20Rng::seed_from_u64(call));
                index.power_cut();
                reached.synced
            } else {
                disk.kill();
                index.kill();
                reached.committed
            };
            let case = format!("{call} calls, power cut: {power}");
            verify(open(disk, index, 4), &reached, least, &case);
        });
    }
}

#[test]
fn a_crash_while_a_segment_is_begun_keeps_both_whole() {
    let (disk, index) = fresh();
    let mut profile = open(&disk, &index, 9);
    let mut base = Vec::new();
    for n in 0..8 {
        base.push((profile.append(&space(0), &[n; 1_000_000]).unwrap(), n));
    }
    profile.commit().unwrap();
    profile.sync().unwrap();
    drop(profile);
    disk.kill();
    index.kill();
    let work = |profile: &mut Sim, reached: &mut Reached| {
        for n in 0..4 {
            profile.append(&space(0), &[100 + n; 200_000])?;
            if n == 2 {
                profile.put(NODE, b"k", b"v");
            }
            reached.models.push(Model::default());
            profile.commit()?;
            reached.committed += 1;
            profile.sync()?;
            reached.synced += 1;
        }
        assert!(profile.segments(&space(0)).len() > 1);
        assert_eq!(profile.verify()?, []);
        Ok(())
    };
    crash_both_ways((&disk, &index), 20, work, |mut profile, _, least, case| {
        for (at, n) in &base {
            assert_eq!(profile.read(&space(0), at).unwrap(), vec![*n; 1_000_000]);
        }
        while !profile.take_unindexed(10).unwrap().is_empty() {
            profile.commit().unwrap();
        }
        let mut found = Vec::new();
        let visit = &mut |_, record: Vec<u8>| found.push(record[0]);
        profile.records(&space(0), visit).unwrap();
        let new = found.iter().filter(|n| **n >= 100).count();
        assert!(new >= least, "{case}: {new} of {least}");
        assert_eq!(found.len(), 8 + new, "{case}");
        profile.append(&space(0), b"more").unwrap();
        profile.commit().unwrap();
        assert_eq!(profile.verify().unwrap(), [], "{case}");
    });
}

#[test]
fn a_crash_while_kept_rows_are_rewritten_keeps_them() {
    let (disk, index) = fresh();
    let mut profile = open(&disk, &index, 9);
    for n in 0..41_u8 {
        profile.put(NODE, &[b'k', n % 7], &[n; 100_000]);
        profile.put(NODE, &[b's', n], &[n]);
        profile.commit().unwrap();
    }
    profile.sync().unwrap();
    drop(profile);
    disk.kill();
    index.kill();
    let size = |disk: &MemDisk| {
        let files = disk.files().into_iter();
        let state = files.filter(|(path, _)| path.starts_with("state/"));
        state.map(|(_, content)| content.len()).max().unwrap()
    };
    let before = size(&disk);
    assert!((4_090_000..4_194_304).contains(&before), "{before}");
    let work = |profile: &mut Sim, reached: &mut Reached| {
        for n in 0..2 {
            profile.put(NODE, b"k\0", &[100 + n; 100_000]);
            reached.models.push(Model::default());
            profile.commit()?;
            reached.committed += 1;
            reached.synced += 1;
        }
        assert!(profile.stats().kept_bytes < 1_500_000, "it was rewritten");
        Ok(())
    };
    crash_both_ways(
        (&disk, &index),
        15,
        work,
        |profile, reached, least, case| {
            for n in 0..41_u8 {
                assert_eq!(
                    profile.get(NODE, &[b's', n]).unwrap(),
                    Some(vec![n]),
                    "{case}"
                );
            }
            for n in 1..7_u8 {
                let value = profile.get(NODE, &[b'k', n]).unwrap();
                assert_eq!(value, Some(vec![40 - (40 - n) % 7; 100_000]), "{case}");
            }
            let value = profile.get(NODE, b"k\0").unwrap().unwrap();
            let step = usize::from(value[0].saturating_sub(99));
            assert!(
                (least..reached.models.len()).contains(&step),
                "{case}: {step}"
            );
            assert!(!profile.recovery().kept_rows_damaged, "{case}");
        },
    );
}

#[test]
fn a_crash_while_a_space_is_removed_ends_in_either_state() {
    let (disk, index) = fresh();
    let mut profile = open(&disk, &index, 9);
    for n in 0..3 {
        let at = profile.append(&space(n), &[n; 100]).unwrap();
        index_record(&mut profile, &[n; 100], at);
        // The last commit names records of the Space that goes.
        profile.put(NODE, b"k", &[n]);
        profile.commit().unwrap();
    }
    profile.sync().unwrap();
    drop(profile);
    disk.kill();
    index.kill();
    let work = |profile: &mut Sim, reached: &mut Reached| {
        reached.models.push(Model::default());
        profile.remove_space(&space(2))?;
        reached.committed += 1;
        reached.synced += 1;
        Ok(())
    };
    crash_both_ways((&disk, &index), 5, work, |profile, _, least, case| {
        let spaces = profile.spaces();
        assert!(
            spaces.contains(&space(0)) && spaces.contains(&space(1)),
            "{case}"
        );
        assert!(
            least == 0 || !spaces.contains(&space(2)),
            "{case}: it came back"
        );
        assert!(!profile.recovery().index_rebuilt, "{case}");
        if spaces.contains(&space(2)) {
            let mut found = 0;
            profile.records(&space(2), &mut |_, _| found += 1).unwrap();
            assert_eq!(found, 1, "{case}: half removed");
        }
    });
}

#[test]
fn a_crash_while_recovering_is_recovered_from() {
    // Dies in the middle of the work, then again at every call of the opening after it.
    let (base, base_index) = fresh();
    for call in (5..125).step_by(7) {
        let (disk, index) = (base.copy(), base_index.copy());
        let mut profile = open(&disk, &index, 3);
        disk.die_after(call);
        let mut reached = start();
        let finished = work(&mut profile, &mut reached).is_ok();
        drop(profile);
        assert!(!finished, "{call} calls are the whole work");
        let mut rng = ChaCha20Rng::seed_from_u64(call);
        disk.power_cut(&mut rng);
        index.power_cut();
        for again in 0..200 {
            let (disk, index) = (disk.copy(), index.copy());
            disk.die_after(again);
            let with = root();
            let opened = Profile::open_in(
                disk.clone(),
                index.clone(),
                Unlock::Key(&with),
                options(),
                &Secret::from_bytes([5; 32]),
            );
            let done = opened.is_ok();
            drop(opened);
            disk.power_cut(&mut rng);
            index.power_cut();
            let mut profile = open(&disk, &index, 6);
            let case = format!("crash at {call}, again at {again}");
            check(&mut profile, &reached, reached.synced, &case);
            if done {
                break;
            }
        }
    }
}

#[test]
fn a_failed_sync_is_never_acknowledged_and_resuming_goes_on() {
    let (base, base_index) = fresh();
    for n in 0..60 {
        let (disk, index) = (base.copy(), base_index.copy());
        let mut profile = open(&disk, &index, 3);
        disk.fail_sync(n);
        let mut reached = start();
        let failed = work(&mut profile, &mut reached).is_err();
        disk.heal();
        let case = format!("sync {n} fails");
        if failed && profile.is_poisoned() {
            assert!(
                profile.commit().is_err() && profile.sync().is_err(),
                "{case}"
            );
            profile.resume().unwrap();
        }
        assert!(!profile.is_poisoned(), "{case}");
        check(&mut profile, &reached, reached.synced, &case);
        check_refused(&profile, &reached, &case);
        let resumed = kept_and_secrets(&profile);
        profile.sync().unwrap();
        drop(profile);
        // The kernel forgot what it could not write; what was seen since is there all the same.
        disk.power_cut(&mut ChaCha20Rng::seed_from_u64(n));
        index.power_cut();
        let mut profile = open(&disk, &index, 6);
        assert_eq!(kept_and_secrets(&profile), resumed, "{case}");
        check(&mut profile, &reached, reached.synced, &case);
    }
}

#[test]
fn a_failed_write_takes_nothing_and_the_store_goes_on() {
    let (base, base_index) = fresh();
    for n in 0..90 {
        let (disk, index) = (base.copy(), base_index.copy());
        let mut profile = open(&disk, &index, 3);
        disk.fail_write(n);
        let mut reached = start();
        let failed = work(&mut profile, &mut reached).is_err();
        disk.heal();
        let case = format!("write {n} fails");
        if profile.is_poisoned() {
            assert!(failed, "{case}");
            profile.resume().unwrap();
        }
        check(&mut profile, &reached, reached.committed, &case);
        check_refused(&profile, &reached, &case);
        works_on(profile, &disk, &index, &case);
    }
}

#[test]
fn a_full_disk_refuses_cleanly_and_takes_over_when_space_returns() {
    let (base, base_index) = fresh();
    let used: u64 = base.files().iter().map(|(_, c)| c.len() as u64).sum();
    for extra in (0..70_000).step_by(1_021) {
        let (disk, index) = (base.copy(), base_index.copy());
        let mut profile = open(&disk, &index, 3);
        disk.set_capacity(Some(used + extra));
        let mut reached = start();
        let result = work(&mut profile, &mut reached);
        let case = format!("{extra} bytes of room");
        if let Err(e) = result {
            assert!(matches!(e, StoreError::Full), "{case}: {e:?}");
        }
        // Still full: what is there can be read.
        let _ = kept_and_secrets(&profile);
        disk.set_capacity(None);
        if profile.is_poisoned() {
            profile.resume().unwrap();
        }
        check(&mut profile, &reached, reached.committed, &case);
        check_refused(&profile, &reached, &case);
        works_on(profile, &disk, &index, &case);
    }
}

/// Every step is refused at some point; what becomes of it when the power goes right after?
#[test]
fn what_was_refused_is_gone_after_a_power_cut_too() {
    type Fault = fn(&MemDisk, &MemIndex, u64);
    let faults: [(&str, Fault); 3] = [
        ("write", |disk, _, n| disk.fail_write(n)),
        ("sync", |disk, _, n| disk.fail_sync(n)),
        ("batch of the index", |_, index, n| index.fail_after(n)),
    ];
    let (base, base_index) = fresh();
    for (what, fault) in faults {
        for n in 0..90 {
            let (disk, index) = (base.copy(), base_index.copy());
            let mut profile = open(&disk, &index, 3);
            fault(&disk, &index, n);
            let mut reached = start();
            let failed = work(&mut profile, &mut reached).is_err();
            let case = format!("{what} {n} fails");
            // Of a sync that failed nothing was refused.
            let refused = failed && reached.committed + 1 < reached.models.len();
            drop(profile);
            disk.power_cut(&mut ChaCha20Rng::seed_from_u64(n));
            index.power_cut();
            disk.heal();
            let mut profile = open(&disk, &index, 4);
            if refused {
                reached.models.pop();
            }
            check(&mut profile, &reached, reached.synced, &case);
            works_on(profile, &disk, &index, &case);
        }
    }
}

#[test]
fn the_reserve_carries_one_commit_over_a_full_disk() {
    let (disk, index) = (MemDisk::new(), MemIndex::new());
    let with = root();
    let options = Options {
        reserve_bytes: 64 * 1024,
        ..Options::default()
    };
    let seed = Secret::from_bytes([2; 32]);
    let mut profile =
        Profile::create_in(disk.clone(), index, Unlock::Key(&with), options, &seed).unwrap();
    profile.append(&space(1), b"first").unwrap();
    profile.commit().unwrap();
    assert!(profile.stats().reserve_held);
    let used: u64 = disk.files().iter().map(|(_, c)| c.len() as u64).sum();
    disk.set_capacity(Some(used + 100));
    profile.append(&space(1), &[7; 30_000]).unwrap();
    profile.put(NODE, b"k", b"v");
    profile.commit().unwrap();
    assert!(!profile.stats().reserve_held, "it was needed");
    profile.append(&space(1), &[7; 60_000]).unwrap();
    assert!(matches!(profile.commit(), Err(StoreError::Full)));
    assert!(!profile.is_poisoned());
    disk.set_capacity(None);
    profile.flush_idle().unwrap();
    assert!(profile.stats().reserve_held, "it is back");
}
