//! Every secret that code was handed in a long story, looked for on the disks of those who had it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::ops::ControlFlow;
use std::path::Path;

use node::Command;
use oplog::recorder::{self, Recorded};
use oplog::store::{Direction, Store, prefix_end};
use oplog::{Secret, SpaceId};
use store::{
    Disk, DiskFile, DiskStore, Index, KdfCost, MemDisk, MemIndex, RealDisk, RootKey, Rows,
    SlotKind, Unlock, Vault,
};

use crate::everything;
use crate::scan::Scanner;
use crate::world::{Machine, Real, START, World, options};

pub const ALICE: usize = 0;
pub const BOB: usize = 1;
pub const CAROL: usize = 2;

/// Rounds of the story, and the secrets they have to hand out before silence means anything.
const ROUNDS: (usize, usize) = (5, 1_200);
/// The same where there is time.
const ROUNDS_ALL: (usize, usize) = (68, 10_000);
const PASSPHRASE: &str = "the words of Wq5Lk";
const COST: KdfCost = KdfCost {
    memory_kib: 8,
    passes: 1,
    lanes: 1,
};

/// Somebody comes in and goes again, so many times; all say something; then it is quiet for so many days.
pub fn story<S: Store>(world: &mut World<S>, rounds: usize, days: u64) -> SpaceId {
    for who in [ALICE, BOB, CAROL] {
        world.connect(who);
    }
    let space = world.found(ALICE);
    for who in [BOB, CAROL] {
        let link = world.invite(ALICE, space);
        world.join(who, link);
    }
    for round in 0..rounds {
        for who in [ALICE, BOB, CAROL] {
            world
                .post(who, space, &format!("{round} said by {who}"))
                .unwrap();
        }
        let user = world.node(CAROL).me().user;
        let reason = String::new();
        let kick = Command::Kick {
            space,
            user,
            reason,
            late: None,
            purge: vec![],
        };
        world.command(ALICE, kick).unwrap();
        world.pass(120_000);
        let link = world.invite(ALICE, space);
        world.join(CAROL, link);
        // Key updates and commits have a pace of their own.
        world.days(1);
    }
    world.days(days);
    world.post(BOB, space, "at the end").unwrap();
    world.pass(10_000);
    for who in [ALICE, BOB, CAROL] {
        assert!(
            world.texts(who, space).contains(&"at the end".to_owned()),
            "{who}"
        );
    }
    space
}

/// What lies in an index in memory.
fn rows_of(index: &MemIndex) -> Vec<u8> {
    let rows = index.copy().open().unwrap();
    let mut bytes = Vec::new();
    for table in rows.tables().unwrap() {
        let each = &mut |key: &[u8], value: &[u8]| {
            bytes.extend_from_slice(key);
            bytes.extend_from_slice(value);
            ControlFlow::Continue(())
        };
        rows.scan(&table, &[], &prefix_end(&[]), Direction::Forward, each)
            .unwrap();
    }
    assert!(bytes.len() > 1_000, "an index has rows");
    bytes
}

/// Every secret that a vault still gives to whoever has its key.
fn live<F: DiskFile>(vault: &Vault<F>) -> BTreeSet<Vec<u8>> {
    let kinds = [SlotKind::User, SlotKind::Segment, SlotKind::Internal];
    let labels = kinds.into_iter().flat_map(|kind| vault.labels(kind));
    let secrets = labels.filter_map(|label| vault.secret(label));
    secrets
        .map(|secret: Secret| secret.as_bytes().to_vec())
        .collect()
}

/// What was counted; printed at the end.
#[derive(Debug, Default)]
struct Counted {
    secrets: usize,
    erased: usize,
    kept: usize,
    bytes: usize,
}

/// Fails when a secret lies anywhere in clear.
fn in_clear(told: &Recorded, scanner: &Scanner, place: &str, bytes: &[u8], counted: &mut Counted) {
    counted.bytes += bytes.len();
    if let Some(secret) = scanner.find(bytes).first() {
        panic!("{place} holds a secret of: {:?}", told.secrets[secret]);
    }
}

/// Fails when what was erased is still there in its sealed form, or what is kept is not: then nothing was
/// looked for where it lies.
fn erased(
    told: &Recorded,
    live: &BTreeSet<Vec<u8>>,
    place: &str,
    vault: &[u8],
    counted: &mut Counted,
) {
    let mut forms: BTreeMap<&[u8], &[u8]> = BTreeMap::new();
    for (secret, sealed) in &told.sealed {
        forms.insert(sealed, secret);
    }
    let scanner = Scanner::new(forms.keys().copied());
    let found = scanner.find(vault);
    let mut still = BTreeSet::new();
    for sealed in &found {
        let secret = forms[sealed.as_slice()];
        assert!(
            live.contains(secret),
            "{place} still holds what was erased: {:?}",
            told.secrets[secret]
        );
        still.insert(secret);
    }
    // Of what the vault gives only what it held before recording began is not known here.
    let known = live
        .iter()
        .filter(|s| told.sealed.iter().any(|(secret, _)| secret == *s));
    for secret in known {
        assert!(
            still.contains(secret.as_slice()),
            "{place} gives what is not found in it"
        );
        counted.kept += 1;
    }
    counted.erased += forms.len() - found.len();
}

fn all_of(disk: &MemDisk) -> Vec<(String, Vec<u8>)> {
    let history = disk.history().into_iter();
    let history = history.map(|bytes| ("a sector of earlier".to_owned(), bytes));
    disk.files().into_iter().chain(history).collect()
}

#[test]
fn no_secret_lies_in_any_sector_ever_and_none_is_left_of_what_was_erased() {
    recorder::begin();
    let mut world = World::new(START);
    let mut machines = Vec::new();
    for (n, name) in (0..).zip(["Alice", "Bob", "Carol"]) {
        let (machine, profile) = Machine::new(n + 1);
        machine.disk.remember();
        world.add_new(name, profile);
        machines.push(machine);
    }
    let (rounds, secrets_min) = if everything() { ROUNDS_ALL } else { ROUNDS };
    story(&mut world, rounds, 40);
    let told = recorder::told();
    let scanner = Scanner::new(told.secrets.keys().map(Vec::as_slice));
    let mut counted = Counted {
        secrets: scanner.len(),
        ..Counted::default()
    };
    assert!(
        counted.secrets >= secrets_min,
        "only {} secrets",
        counted.secrets
    );
    for (who, machine) in machines.iter().enumerate() {
        for (path, content) in all_of(&machine.disk) {
            in_clear(
                &told,
                &scanner,
                &format!("{path} of {who}"),
                &content,
                &mut counted,
            );
        }
        in_clear(
            &told,
            &scanner,
            "a row",
            &rows_of(&machine.index),
            &mut counted,
        );
        let copy = machine.disk.copy();
        copy.kill();
        let vault = Vault::open(&copy, "vault.bin", Unlock::Key(&machine.root)).unwrap();
        let content = copy
            .files()
            .into_iter()
            .find(|(path, _)| path == "vault.bin")
            .unwrap()
            .1;
        erased(
            &told,
            &live(&vault),
            &format!("the vault of {who}"),
            &content,
            &mut counted,
        );
    }
    assert!(counted.erased > 100 && counted.kept > 20, "{counted:?}");
    println!("secrets in memory: {counted:?}");

    // And it would be found: in a file that is there, and in one that is gone again.
    let disk = &machines[ALICE].disk;
    let planted = told.secrets.keys().next_back().unwrap();
    let file = disk.create("planted").unwrap();
    file.write_at(700, planted).unwrap();
    let holds = |(_, content): &(String, Vec<u8>)| scanner.find(content).contains(planted);
    assert!(disk.files().iter().any(holds));
    disk.remove("planted").unwrap();
    assert!(!disk.files().iter().any(holds));
    assert!(all_of(disk).iter().any(holds));
}

fn files_below(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let mut found = Vec::new();
    let mut waiting = vec![folder.to_owned()];
    while let Some(folder) = waiting.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                waiting.push(path);
            } else {
                found.push((path.display().to_string(), fs::read(&path).unwrap()));
            }
        }
    }
    found
}

#[test]
fn no_file_of_a_profile_holds_a_secret() {
    recorder::begin();
    // A file system in memory, where there is one: syncs cost nothing there.
    let dir = tempfile::tempdir_in("/dev/shm")
        .or_else(|_| tempfile::tempdir())
        .unwrap();
    let root = RootKey::Passphrase {
        passphrase: PASSPHRASE.to_owned().into(),
        cost: COST,
    };
    let names = ["Alice", "Bob", "Carol"];
    let mut world: World<Real> = World::new(START);
    for name in names {
        let store = DiskStore::create(&dir.path().join(name), &root, options()).unwrap();
        world.add_new(name, store);
    }
    story(&mut world, 2, 40);
    let told = recorder::told();
    let scanner = Scanner::new(told.secrets.keys().map(Vec::as_slice));
    let mut counted = Counted {
        secrets: scanner.len(),
        ..Counted::default()
    };
    for running in [true, false] {
        if !running {
            for who in 0..names.len() {
                world.stop(who);
            }
        }
        for (path, content) in files_below(dir.path()) {
            in_clear(&told, &scanner, &path, &content, &mut counted);
            assert_eq!(
                Scanner::new([PASSPHRASE.as_bytes()]).find(&content).len(),
                0,
                "{path}"
            );
        }
    }
    for name in names {
        let disk = RealDisk::new(&dir.path().join(name));
        let with = Unlock::Passphrase(PASSPHRASE.as_bytes(), COST);
        let vault = Vault::open(&disk, "vault.bin", with).unwrap();
        let content = fs::read(dir.path().join(name).join("vault.bin")).unwrap();
        erased(&told, &live(&vault), name, &content, &mut counted);
    }
    assert!(counted.erased > 100 && counted.kept > 20, "{counted:?}");
    println!("secrets in files: {counted:?}");
}
