//! S7 and I17: what was erased is on no disk, and what is no longer needed is erased.

use std::collections::BTreeSet;

use oplog::Secret;
use store::{MemDisk, SlotKind, Unlock, Vault};

use crate::world::World;

/// Group states that a device may hold: eight of its branch and four of others (B6), and those
/// that came since the last housekeeping.
const STATES_MAX: usize = 20;
/// Key packages for which a device may keep secrets: that of its newest request, and those of four
/// before it, by which another branch may add it (B5).
const KEY_PACKAGES_MAX: usize = 5;
const VAULT: &str = "vault.bin";

impl World {
    /// S7: the vault on disk, read as a thief would who has the root key, holds nothing that the
    /// node itself can no longer get; and no secret lies anywhere in clear.
    pub(crate) fn check_erased(&mut self) {
        for at in 0..self.devices.len() {
            let device = &self.devices[at];
            let index = device.index;
            // What an older copy of the disk brought back, nothing erases on a guess.
            if device.byzantine || device.cloned {
                continue;
            }
            let (Some(node), Some((disk, root))) = (&device.node, device.machine.disk_and_root())
            else {
                continue;
            };
            if node.store().is_poisoned() {
                continue;
            }
            let found = match vault_of(disk, root) {
                Ok(found) => found,
                Err(why) => {
                    return self.fail("S7", Some(index), format!("no vault to look at: {why}"));
                }
            };
            let mut seen = BTreeSet::new();
            let mut secrets = BTreeSet::new();
            for (label, on_disk) in &found {
                use oplog::store::Store as _;
                let twice = !seen.insert(*label);
                let known = node.store().secret(*label);
                if twice || known.as_ref() != Some(on_disk) {
                    let what = format!(
                        "the vault still holds a secret of {label:?} that was {}",
                        if known.is_some() {
                            "replaced"
                        } else {
                            "erased"
                        }
                    );
                    return self.fail("S7", Some(index), what);
                }
                secrets.insert(*on_disk.as_bytes());
            }
            if let Some(path) = in_clear(disk, &secrets) {
                let what = format!("a secret lies in clear in {path}");
                return self.fail("S7", Some(index), what);
            }
            self.sometimes
                .note("a vault on disk was compared with what its node can get");
        }
    }

    /// I17: key packages that were used and states that are too old are gone.
    pub(crate) fn check_forgotten(&mut self) {
        let Some(space) = self.space else {
            return;
        };
        for at in 0..self.devices.len() {
            let device = &self.devices[at];
            let index = device.index;
            let (true, Some(node)) = (device.is_honest() && !device.damaged, &device.node) else {
                continue;
            };
            let Ok(kept) = node.peek_kept(&space) else {
                continue;
            };
            if kept.key_packages > kept.joining.min(KEY_PACKAGES_MAX) {
                let what = format!("keeps {} secrets of key packages", kept.key_packages);
                return self.fail("S7", Some(index), what);
            }
            if kept.states > STATES_MAX {
                let what = format!("keeps the group's state of {} epochs", kept.states);
                return self.fail("S7", Some(index), what);
            }
        }
    }
}

/// Every secret of the node in the vault on a disk, slot by slot.
fn vault_of(
    disk: &MemDisk,
    root: &Secret,
) -> Result<Vec<(oplog::store::Label, Secret)>, store::VaultError> {
    let copy = disk.copy();
    copy.heal();
    copy.kill();
    let vault = Vault::open(&copy, VAULT, Unlock::Key(root))?;
    Ok(vault
        .labels(SlotKind::User)
        .into_iter()
        .filter_map(|label| Some((label, vault.secret(label)?)))
        .collect())
}

/// A file that holds one of these as it is.
fn in_clear(disk: &MemDisk, secrets: &BTreeSet<[u8; 32]>) -> Option<String> {
    // Which two bytes a secret begins with: nearly everything on a disk begins otherwise.
    let mut begins = vec![false; 1 << 16];
    for secret in secrets {
        begins[start_of(secret[0], secret[1])] = true;
    }
    disk.files().into_iter().find_map(|(path, content)| {
        let mut windows = content.windows(32);
        let holds = windows.any(|window| {
            begins[start_of(window[0], window[1])]
                && secrets.iter().any(|secret| secret.as_slice() == window)
        });
        holds.then_some(path)
    })
}

fn start_of(first: u8, second: u8) -> usize {
    usize::from(u16::from_be_bytes([first, second]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use store::{Disk as _, DiskFile as _};

    #[test]
    fn a_secret_in_clear_is_found_wherever_it_lies() {
        let disk = MemDisk::new();
        let secret = [7; 32];
        let file = disk.create("a").expect("a new disk has no faults");
        file.write_at(0, &[vec![0; 5_001], secret.to_vec(), vec![1; 9]].concat())
            .expect("a new disk has no faults");
        let of = |secret| in_clear(&disk, &[secret].into());
        assert_eq!(of(secret).as_deref(), Some("a"));
        assert_eq!(of([8; 32]), None);
        // One that begins as most of a disk does, and one that differs at its end alone.
        let late: [u8; 32] = std::array::from_fn(|at| if at < 8 { 0 } else { 7 });
        assert_eq!(of(late).as_deref(), Some("a"));
        let other: [u8; 32] = std::array::from_fn(|at| if at < 31 { 7 } else { 8 });
        assert_eq!(of(other), None);
    }
}
