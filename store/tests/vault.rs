//! The vault by itself: its door, its slots, how it grows, what crashes leave of it.
#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests fail by panicking, as tests do"
)]

use std::collections::{BTreeMap, BTreeSet};

use oplog::keys::Secret;
use oplog::store::{Label, StoreError};
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use store::{BANK_SLOTS, Chance, Disk, KdfCost, MemDisk, SlotKind, Unlock, Vault, VaultError};

const CHEAP: KdfCost = KdfCost {
    memory_kib: 8,
    passes: 1,
    lanes: 1,
};
const VAULT: &str = "vault.bin";

fn seed(n: u8) -> Secret {
    Secret::from_bytes([n; 32])
}

fn label(n: usize) -> Label {
    Label::new("test", &[&n.to_be_bytes()])
}

fn content(disk: &MemDisk, path: &str) -> Vec<u8> {
    let files = disk.files();
    let found = files.into_iter().find(|(name, _)| name == path);
    found.unwrap().1
}

fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    haystack.windows(needle.len()).any(|part| part == needle)
}

#[test]
fn only_the_right_passphrase_opens_the_vault_and_a_wrong_one_changes_nothing() {
    let disk = MemDisk::new();
    let right = Unlock::Passphrase(b"correct horse", CHEAP);
    let wrong = Unlock::Passphrase(b"correct house", CHEAP);
    let key = seed(9);
    let mut vault = Vault::create(&disk, VAULT, right, &seed(1)).unwrap();
    let mut chance = Chance::new(&seed(2));
    vault
        .put_now(SlotKind::User, label(1), &seed(3), &mut chance)
        .unwrap();
    drop(vault);
    let before = content(&disk, VAULT);
    for with in [wrong, Unlock::Key(&key)] {
        let opened = Vault::open(&disk, VAULT, with);
        assert!(
            matches!(opened, Err(VaultError::WrongPassphrase)),
            "{with:?}"
        );
        assert_eq!(content(&disk, VAULT), before, "{with:?}");
    }
    let mut vault = Vault::open(&disk, VAULT, right).unwrap();
    assert_eq!(vault.secret(label(1)), Some(seed(3)));
    vault.change_root(wrong, &mut chance).unwrap();
    drop(vault);
    assert!(
        Vault::open(&disk, VAULT, right).is_err(),
        "the old one is dead"
    );
    let mut vault = Vault::open(&disk, VAULT, wrong).unwrap();
    vault.change_root(Unlock::Key(&key), &mut chance).unwrap();
    drop(vault);
    assert!(Vault::open(&disk, VAULT, wrong).is_err());
    let vault = Vault::open(&disk, VAULT, Unlock::Key(&key)).unwrap();
    assert_eq!(vault.secret(label(1)), Some(seed(3)));
}

#[test]
fn a_power_cut_while_the_passphrase_changes_leaves_one_that_opens() {
    let (old, new) = (seed(8), seed(9));
    for call in 0..8 {
        let disk = MemDisk::new();
        let mut vault = Vault::create(&disk, VAULT, Unlock::Key(&old), &seed(1)).unwrap();
        let mut chance = Chance::new(&seed(2));
        disk.die_after(call);
        let changed = vault.change_root(Unlock::Key(&new), &mut chance).is_ok();
        drop(vault);
        disk.power_cut(&mut ChaCha20Rng::seed_from_u64(call));
        let by_new = Vault::open(&disk, VAULT, Unlock::Key(&new)).is_ok();
        let by_old = Vault::open(&disk, VAULT, Unlock::Key(&old)).is_ok();
        assert!(by_new || by_old, "after {call} calls");
        assert!(!changed || (by_new && !by_old), "after {call} calls");
    }
}

#[test]
fn erased_secrets_leave_zeros_and_nothing_is_readable_at_rest() {
    let disk = MemDisk::new();
    let key = seed(1);
    let mut vault = Vault::create(&disk, VAULT, Unlock::Key(&key), &seed(1)).unwrap();
    let empty = content(&disk, VAULT);
    let mut chance = Chance::new(&seed(2));
    let secret = Secret::from_bytes(*b"a secret of thirty-two bytes 123");
    let keep = BTreeMap::from([(label(1), Some(secret.clone()))]);
    vault.begin(&keep, &mut chance).unwrap();
    vault.finish().unwrap();
    let with = content(&disk, VAULT);
    for needle in [secret.as_bytes().as_slice(), label(1).as_bytes()] {
        assert!(!contains(&with, needle), "readable at rest");
    }
    let erase = BTreeMap::from([(label(1), None)]);
    vault.begin(&erase, &mut chance).unwrap();
    vault.finish().unwrap();
    assert_eq!(vault.secret(label(1)), None);
    let after = content(&disk, VAULT);
    assert_eq!(after.len(), empty.len(), "the file never grows");
    // But for the slots that hold the counter, it is as it was.
    let differing = after.iter().zip(&empty).filter(|(a, b)| a != b).count();
    assert!(differing <= 4 * 128, "{differing} bytes differ");
    let slot = 2 * 4096 + 8 * 128;
    assert_ne!(
        with[slot..slot + 128],
        [0; 128],
        "the test looks at the right place"
    );
    assert_eq!(after[slot..slot + 128], [0; 128]);
    assert_eq!(
        after[slot + BANK_SLOTS * 128..slot + BANK_SLOTS * 128 + 128],
        [0; 128]
    );
}

#[test]
fn any_flipped_bit_in_the_vault_is_healed() {
    let disk = MemDisk::new();
    let key = seed(1);
    let mut vault = Vault::create(&disk, VAULT, Unlock::Key(&key), &seed(1)).unwrap();
    let mut chance = Chance::new(&seed(2));
    let keep = (0..5)
        .map(|n| (label(usize::from(n)), Some(seed(10 + n))))
        .collect();
    vault.begin(&keep, &mut chance).unwrap();
    vault.finish().unwrap();
    let counter = vault.counter();
    drop(vault);
    let whole = content(&disk, VAULT);
    let mut rng = ChaCha20Rng::seed_from_u64(5);
    let used: Vec<usize> = (0..whole.len()).filter(|at| whole[*at] != 0).collect();
    for round in 0..120_usize {
        let disk = disk.copy();
        let at = if round.is_multiple_of(10) {
            rng.next_u32() as usize % whole.len()
        } else {
            used[rng.next_u32() as usize % used.len()]
        };
        disk.flip(VAULT, at, u8::try_from(round).unwrap());
        let mut vault = Vault::open(&disk, VAULT, Unlock::Key(&key)).unwrap();
        assert!(vault.settle(counter, &[]).unwrap(), "at {at}");
        for n in 0..5 {
            assert_eq!(vault.secret(label(n.into())), Some(seed(10 + n)), "at {at}");
        }
        drop(vault);
        if at >= 8192 || whole[at] != 0 {
            assert_eq!(content(&disk, VAULT), whole, "healed at {at}");
        }
    }
}

/// A vault with every slot of its first bank taken, settled.
fn full() -> (MemDisk, usize) {
    let disk = MemDisk::new();
    let key = seed(1);
    let mut vault = Vault::create(&disk, VAULT, Unlock::Key(&key), &seed(1)).unwrap();
    let room = vault.free_count();
    keep(&mut vault, 0..room).unwrap();
    assert_eq!(vault.free_count(), 0);
    (disk, room)
}

type MemVault = Vault<<MemDisk as Disk>::File>;

fn keep(vault: &mut MemVault, labels: impl Iterator<Item = usize>) -> Result<(), VaultError> {
    let secrets: BTreeMap<_, _> = labels.map(|n| (label(n), Some(seed(2)))).collect();
    vault.begin(&secrets, &mut Chance::new(&seed(2)))?;
    vault.finish()
}

fn open(disk: &MemDisk) -> MemVault {
    Vault::open(disk, VAULT, Unlock::Key(&seed(1))).unwrap()
}

fn held(vault: &MemVault, labels: impl Iterator<Item = usize>) -> usize {
    labels.filter(|n| vault.secret(label(*n)).is_some()).count()
}

#[test]
fn a_full_vault_grows_and_what_is_erased_is_used_again() {
    let (disk, room) = full();
    let before = content(&disk, VAULT).len();
    let mut vault = open(&disk);
    assert!(vault.settle(1, &[]).unwrap());
    keep(&mut vault, room..room + 10).unwrap();
    let grown = content(&disk, VAULT).len();
    assert_eq!(grown - before, 2 * BANK_SLOTS * 128, "by one bank");
    assert_eq!(vault.free_count(), BANK_SLOTS - 10);
    let mut vault = vault.reopen(&disk, VAULT).unwrap();
    assert!(vault.settle(2, &[]).unwrap());
    assert_eq!(held(&vault, 0..room + 10), room + 10);
    // Free slots of any bank come before growing again.
    let some: BTreeSet<_> = (100..200).chain(room..room + 5).map(label).collect();
    vault.erase_now(&some).unwrap();
    let free = vault.free_count();
    keep(&mut vault, 2 * room..2 * room + free).unwrap();
    assert_eq!(vault.free_count(), 0);
    assert_eq!(content(&disk, VAULT).len(), grown);
    assert_eq!(held(&vault, 2 * room..2 * room + free), free);
}

#[test]
fn a_vault_without_room_to_grow_says_so_and_keeps_what_it_has() {
    let (disk, room) = full();
    let mut vault = open(&disk);
    assert!(vault.settle(1, &[]).unwrap());
    let used: u64 = disk.files().iter().map(|(_, c)| c.len() as u64).sum();
    for extra in [0, 4096, 700_000] {
        disk.set_capacity(Some(used + extra));
        let refused = keep(&mut vault, room..room + 3);
        assert!(
            matches!(refused, Err(VaultError::Store(StoreError::Full))),
            "{refused:?}"
        );
        vault.abort().unwrap();
        assert_eq!(held(&vault, 0..room + 3), room);
        assert_eq!(held(&open(&disk), 0..room + 3), room, "{extra} of room");
    }
    disk.set_capacity(None);
    keep(&mut vault, room..room + 3).unwrap();
    assert_eq!(held(&vault, 0..room + 3), room + 3);
}

#[test]
fn a_crash_while_the_vault_grows_loses_nothing_and_invents_nothing() {
    let (base, room) = full();
    for power in [false, true] {
        for call in 0.. {
            let disk = base.copy();
            let mut vault = open(&disk);
            assert!(vault.settle(1, &[]).unwrap());
            disk.die_after(call);
            let done = keep(&mut vault, room..room + 3).is_ok();
            drop(vault);
            if power {
                disk.power_cut(&mut ChaCha20Rng::seed_from_u64(call));
            } else {
                disk.kill();
            }
            let case = format!("{call} calls, power cut: {power}");
            let mut vault = open(&disk);
            let counter = vault.counter();
            assert!(counter == 2 || (counter <= 2 && !done), "{case}");
            // The commit was recorded, or was not.
            for committed in [counter.max(1), 1] {
                let disk = disk.copy();
                let mut vault = open(&disk);
                assert!(vault.settle(committed, &[]).unwrap(), "{case}");
                assert_eq!(held(&vault, 0..room), room, "{case}");
                let new = held(&vault, room..room + 3);
                assert!(new == 0 || committed == 2, "{case}: {new} of a step undone");
                assert!(new == 3 || !done || committed == 1, "{case}: {new}");
                keep(&mut vault, 2 * room..2 * room + 20).unwrap();
                let mut vault = vault.reopen(&disk, VAULT).unwrap();
                assert!(vault.settle(committed + 1, &[]).unwrap(), "{case}");
                assert_eq!(held(&vault, 0..room), room, "{case}");
                assert_eq!(held(&vault, 2 * room..2 * room + 20), 20, "{case}");
            }
            vault.settle(counter, &[]).unwrap();
            if done {
                assert!(call > 10, "only {call} crashes tried");
                break;
            }
        }
    }
}

#[test]
fn a_vault_cut_short_loses_only_what_was_cut_off() {
    let (disk, room) = full();
    let mut vault = open(&disk);
    assert!(vault.settle(1, &[]).unwrap());
    keep(&mut vault, room..room + 100).unwrap();
    drop(vault);
    let whole = content(&disk, VAULT).len();
    // Within the second bank: behind its first slots, and before them.
    for (cut, left) in [
        (whole - 2 * BANK_SLOTS * 128 + 50 * 128, room + 50),
        (whole - 2 * BANK_SLOTS * 128, room),
        (whole - BANK_SLOTS * 128, room + 100),
    ] {
        let disk = disk.copy();
        let file = disk.open(VAULT).unwrap().unwrap();
        store::DiskFile::set_len(&file, cut as u64).unwrap();
        let mut vault = open(&disk);
        let counter = vault.counter();
        assert!(vault.settle(counter, &[]).unwrap());
        assert_eq!(held(&vault, 0..room + 100), left, "cut at {cut}");
        keep(&mut vault, 3 * room..3 * room + 200).unwrap();
        assert_eq!(held(&vault, 3 * room..3 * room + 200), 200);
    }
}
