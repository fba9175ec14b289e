//! Commits, judged by what they declare (B5, A15): the MLS bytes are `mls`'s to check, and may be gone.

use std::collections::BTreeMap;

use crate::authority::{Authority, EpochRecord, View};
use crate::codec;
use crate::hash::H;
use crate::hlc::Hlc;
use crate::ids::{DeviceId, Digest, OpId, UserId};
use crate::kind::Kind;
use crate::payload::{Commit, CommitClass, RosterEntry};

use super::{AcceptError, Judge, Passport};

/// Most devices in one group (B16).
pub const DEVICES_PER_GROUP_MAX: usize = 1_000;
/// How many epochs apart two updates of one person are, unless [`UPDATE_SECS`] passed (K5).
const UPDATE_EPOCHS: u64 = 8;
/// How many seconds apart two updates of one person are, unless [`UPDATE_EPOCHS`] passed: 6 hours (K5).
const UPDATE_SECS: u32 = 6 * 3_600;
/// How many seconds apart two re-adds of one device are: 6 hours (K6).
pub const READD_SECS: u32 = 6 * 3_600;

/// Who is in a group: device, its user, and the hash of the key package it came with.
type Roster = BTreeMap<DeviceId, (UserId, Digest)>;

/// Returns `H("roster", canonical CBOR of [[device, user, key package]…])`, sorted by device.
#[must_use]
pub fn roster_hash(roster: &BTreeMap<DeviceId, (UserId, Digest)>) -> Digest {
    let rows: Vec<(DeviceId, UserId, Digest)> = roster
        .iter()
        .map(|(device, (user, key_package))| (*device, *user, *key_package))
        .collect();
    Digest::from_bytes(H::new("roster").field(&codec::encode(&rows)).finish())
}

impl<A: Authority> Judge<'_, A> {
    /// K1 (its declared half), K2, K4, K5, and K6 on re-adds.
    pub(super) fn commit(
        &self,
        commit: &Commit,
        parent: &EpochRecord,
        passport: Passport,
    ) -> Result<(), AcceptError> {
        let h = self.op.header();
        if commit.parent != h.epoch {
            return Err(AcceptError::WrongParent {
                parent: commit.parent,
            });
        }
        let after = self.roster_after(commit, parent, passport)?;
        if after.len() > DEVICES_PER_GROUP_MAX {
            return Err(AcceptError::GroupTooLarge {
                devices: after.len(),
            });
        }
        if commit.class != class_of(commit, parent, &h.user) {
            return Err(AcceptError::WrongDeclaration { what: "class" });
        }
        if commit.roster_hash != roster_hash(&after) {
            return Err(AcceptError::WrongDeclaration {
                what: "roster hash",
            });
        }
        let earlier = self.records.commits(&h.device, &commit.parent);
        if let Some(first) = earlier.iter().find(|id| self.dag.in_past(id, self.past)) {
            return Err(AcceptError::SecondCommit {
                parent: commit.parent,
                first: *first,
            });
        }
        if commit.class == CommitClass::Update {
            self.updates_are_spaced(parent)?;
        }
        self.readds_are_spaced(commit, parent)
    }

    /// K2: applies the declared change, and finds that exactly who may be there stays.
    fn roster_after(
        &self,
        commit: &Commit,
        parent: &EpochRecord,
        passport: Passport,
    ) -> Result<Roster, AcceptError> {
        let wrong = |device: &DeviceId, detail| {
            Err(AcceptError::Delta {
                device: *device,
                detail,
            })
        };
        let authorised = self.view.authorised_devices();
        let mut roster = Roster::clone(&parent.roster);
        for device in &commit.delta.removed {
            let Some((user, _)) = roster.remove(device) else {
                return wrong(device, "removed, but not in the group");
            };
            let back = commit.delta.added.iter().any(|leaf| leaf.device == *device);
            if !back && authorised.get(device) == Some(&user) {
                return wrong(device, "removed, but nobody took its right to be there");
            }
        }
        for leaf in &commit.delta.added {
            if roster.contains_key(&leaf.device) {
                return wrong(&leaf.device, "added, but in the group already");
            }
            if authorised.get(&leaf.device) != Some(&leaf.user) {
                return wrong(&leaf.device, "added, but has no right to be there");
            }
            if passport != Passport::External {
                self.key_package_is_offered(leaf, parent)?;
            }
            roster.insert(leaf.device, (leaf.user, leaf.key_package));
        }
        // An external commit cannot remove others; whoever sees it reconciles before sending (A5).
        let unwanted = roster
            .iter()
            .find(|(device, (user, _))| authorised.get(*device) != Some(user));
        match unwanted {
            Some((device, _)) if passport != Passport::External => {
                wrong(device, "stays, but has no right to be there")
            }
            _ => Ok(roster),
        }
    }

    /// K2: the leaf's key package was offered for it in this past, is not the one it has, and for a
    /// re-add the device itself asked.
    fn key_package_is_offered(
        &self,
        leaf: &RosterEntry,
        parent: &EpochRecord,
    ) -> Result<(), AcceptError> {
        let before = parent.roster.get(&leaf.device);
        let asked = |id: &OpId| {
            let kind = self.dag.node(id).and_then(|node| node.op.header().kind());
            let asks = matches!(kind, Some(Kind::ReaddRequest | Kind::CommitComplaint));
            before.is_none() || asks
        };
        let offered = self
            .view
            .key_packages(&leaf.device)
            .iter()
            .any(|(digest, by)| *digest == leaf.key_package && asked(by));
        let used = before.is_some_and(|(_, digest)| *digest == leaf.key_package);
        if offered && !used {
            return Ok(());
        }
        Err(AcceptError::Delta {
            device: leaf.device,
            detail: "added with a key package that it did not offer for this",
        })
    }

    /// K5: the same person's last update on this branch is 8 epochs back or 6 hours old.
    fn updates_are_spaced(&self, parent: &EpochRecord) -> Result<(), AcceptError> {
        let h = self.op.header();
        let near = |record: &EpochRecord| record.number + UPDATE_EPOCHS > parent.number + 1;
        let last = self
            .branch(parent)
            .take_while(|record| near(record))
            .find(|r| r.user == h.user && r.class == CommitClass::Update && r.parent.is_some());
        match last {
            Some(record) if h.hlc < self.time_of(record).plus_secs(UPDATE_SECS) => {
                Err(AcceptError::UpdateTooSoon {
                    last: record.commit,
                })
            }
            _ => Ok(()),
        }
    }

    /// K6: no device is re-added twice on a branch within 6 hours.
    fn readds_are_spaced(&self, commit: &Commit, parent: &EpochRecord) -> Result<(), AcceptError> {
        let hlc = self.op.header().hlc;
        let again = |device: &DeviceId| commit.delta.removed.binary_search(device).is_ok();
        let devices = || commit.delta.added.iter().map(|leaf| leaf.device);
        if !devices().any(|device| again(&device)) {
            return Ok(());
        }
        // Times fall strictly along the branch (R2), so the walk ends with the span.
        for record in self
            .branch(parent)
            .take_while(|record| hlc < self.time_of(record).plus_secs(READD_SECS))
        {
            let added = &record.delta.added;
            let readded = |device: &DeviceId| {
                added.binary_search_by_key(device, |l| l.device).is_ok()
                    && record.delta.removed.binary_search(device).is_ok()
            };
            if let Some(device) = devices().find(|d| again(d) && readded(d)) {
                return Err(AcceptError::ReaddTooSoon { device });
            }
        }
        Ok(())
    }

    /// The epochs from `last` back to the first.
    fn branch<'b>(&'b self, last: &'b EpochRecord) -> impl Iterator<Item = &'b EpochRecord> {
        core::iter::successors(Some(last), |record| self.authority.epoch(&record.parent?))
    }

    fn time_of(&self, record: &EpochRecord) -> Hlc {
        self.dag
            .node(&record.commit)
            .map_or(Hlc::ZERO, |node| node.op.header().hlc)
    }
}

/// Returns the class that the declared change has: 2 when a leaf of somebody else goes for good (A4).
fn class_of(commit: &Commit, parent: &EpochRecord, author: &UserId) -> CommitClass {
    let delta = &commit.delta;
    let returns = |device: &DeviceId| delta.added.iter().any(|leaf| leaf.device == *device);
    let of_other = |device: &DeviceId| {
        parent
            .roster
            .get(device)
            .is_some_and(|(user, _)| user != author)
    };
    if delta.removed.iter().any(|d| !returns(d) && of_other(d)) {
        CommitClass::Remove
    } else if delta.added.is_empty() && delta.removed.is_empty() {
        CommitClass::Update
    } else {
        CommitClass::Add
    }
}
