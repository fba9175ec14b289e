//! What K4, K6 and the control half of R7 look back at, kept beside the control graph.
//!
//! Lanes are chains that may fork when a device equivocates, so every op points to
//! the op before it and to one far before it (skew-binary jumps, Myers 1983): the op
//! at a position or time of the lane is found in logarithmic time on any branch.

use std::collections::{BTreeMap, BTreeSet};

use super::AcceptError;
use crate::hlc::Hlc;
use crate::ids::{DeviceId, Digest, EpochId, OpId, UserId};
use crate::kind::Kind;
use crate::op::SignedOp;
use crate::payload::{DeviceCert, Payload};

/// Facts about accepted control ops, by lane, person and epoch.
#[derive(Clone, Debug, Default)]
pub(crate) struct ControlRecords {
    lanes: BTreeMap<OpId, LaneNode>,
    device_adds: BTreeMap<UserId, Vec<(Hlc, OpId)>>,
    commits: BTreeMap<(DeviceId, EpochId), Vec<OpId>>,
    /// By what was decided and who brought it.
    quorums: BTreeMap<Digest, Vec<OpId>>,
    /// Every commit, in the order of arrival.
    all_commits: Vec<OpId>,
    /// By who complained about which epoch.
    complaints: BTreeMap<(UserId, EpochId), Vec<OpId>>,
    /// By who proved it of which device.
    proofs: BTreeMap<(UserId, DeviceId), Vec<OpId>>,
    /// Everybody who was ever let in by anybody, effective or not.
    users: BTreeSet<UserId>,
    devices: BTreeSet<DeviceId>,
}

impl ControlRecords {
    /// Notes an accepted control op; its `back` was noted before.
    pub(crate) fn insert(&mut self, op: &SignedOp) {
        let (h, id) = (op.header(), op.id());
        let commit = h.kind() == Some(Kind::Commit);
        let before = h.back.and_then(|back| self.lanes.get(&back));
        let node = LaneNode {
            seq: h.seq,
            hlc: h.hlc,
            back: h.back,
            jump: h.back.map_or(id, |back| self.jump_from(back)),
            commits: before.map_or(0, |b| b.commits) + u64::from(commit),
            bytes: before.map_or(0, |b| b.bytes) + u64::from(h.payload_len),
        };
        self.lanes.insert(id, node);
        match op.payload() {
            Ok(Some(Payload::Genesis(genesis))) => self.note_cert(&genesis.cert),
            Ok(Some(Payload::DeviceAdd(add))) => self.note_cert(&add.cert),
            Ok(Some(Payload::MemberAdd(add))) => {
                add.members.iter().for_each(|m| self.note_cert(&m.cert));
            }
            Ok(Some(Payload::QuorumAct(act))) => {
                let digest = act.digest(&h.space, &h.device);
                self.quorums.entry(digest).or_default().push(id);
            }
            Ok(Some(Payload::CommitComplaint(complaint))) => {
                let key = (h.user, complaint.epoch);
                self.complaints.entry(key).or_default().push(id);
            }
            Ok(Some(Payload::EquivocationProof(proof))) => {
                if let Some(device) = proof.device() {
                    self.proofs.entry((h.user, device)).or_default().push(id);
                }
            }
            _ => {}
        }
        if commit {
            let key = (h.device, h.epoch);
            self.commits.entry(key).or_default().push(id);
            self.all_commits.push(id);
        }
        if h.kind() == Some(Kind::DeviceAdd) {
            self.device_adds
                .entry(h.user)
                .or_default()
                .push((h.hlc, id));
        }
    }

    /// Returns how R4 fails without a view: no op at all lets the author or the device in. Anyone can
    /// sign ops with keys of their own, in anybody's name, and views are what costs.
    pub(crate) fn stranger(&self, op: &SignedOp) -> Option<AcceptError> {
        let h = op.header();
        let (user, device) = (h.user, h.device);
        if !self.users.contains(&user) {
            return Some(AcceptError::NotMember { user });
        }
        // These may come from a device that nothing certified yet (A1).
        let self_vouching = matches!(h.kind(), Some(Kind::DeviceAdd | Kind::DeviceRevoke));
        let known = self.devices.contains(&device) || self_vouching;
        (!known).then_some(AcceptError::NotTheirDevice { user, device })
    }

    /// Returns the time of the op at `seq` on the branch of the lane that ends in `from`.
    pub(crate) fn time_at(&self, from: &OpId, seq: u64) -> Option<Hlc> {
        self.ancestor(from, |node| node.seq <= seq)
            .map(|node| node.hlc)
    }

    /// Returns commits and payload bytes on the branch that ends in `from`, later than `since`.
    pub(crate) fn load_since(&self, from: &OpId, since: Hlc) -> (u64, u64) {
        let Some(last) = self.lanes.get(from) else {
            return (0, 0);
        };
        match self.ancestor(from, |node| node.hlc <= since) {
            Some(old) => (last.commits - old.commits, last.bytes - old.bytes),
            None => (last.commits, last.bytes),
        }
    }

    /// Returns the DeviceAdds of a person later than `since`, whatever their causality.
    pub(crate) fn device_adds_since(
        &self,
        user: &UserId,
        since: Hlc,
    ) -> impl Iterator<Item = &OpId> {
        let adds = self.device_adds.get(user).map_or(&[][..], Vec::as_slice);
        adds.iter()
            .filter(move |(hlc, _)| *hlc > since)
            .map(|(_, id)| id)
    }

    /// Returns the commits of a device on an epoch, whatever their causality.
    pub(crate) fn commits(&self, device: &DeviceId, parent: &EpochId) -> &[OpId] {
        let key = (*device, *parent);
        self.commits.get(&key).map_or(&[], Vec::as_slice)
    }

    /// Returns the acts of a quorum by these signatures, whatever their causality.
    pub(crate) fn quorums(&self, digest: &Digest) -> &[OpId] {
        self.quorums.get(digest).map_or(&[], Vec::as_slice)
    }

    /// Returns every commit, whatever its causality.
    pub(crate) fn all_commits(&self) -> &[OpId] {
        &self.all_commits
    }

    /// Returns the complaints of a person about an epoch, whatever their causality.
    pub(crate) fn complaints(&self, by: &UserId, epoch: &EpochId) -> &[OpId] {
        let key = (*by, *epoch);
        self.complaints.get(&key).map_or(&[], Vec::as_slice)
    }

    /// Returns the proofs by which this person froze a device, whatever their causality.
    pub(crate) fn proofs(&self, by: &UserId, device: &DeviceId) -> &[OpId] {
        let key = (*by, *device);
        self.proofs.get(&key).map_or(&[], Vec::as_slice)
    }

    /// Returns the nearest op at or before `from` for which `done` holds; once it holds, it holds
    /// for everything before.
    fn ancestor(&self, from: &OpId, done: impl Fn(&LaneNode) -> bool) -> Option<&LaneNode> {
        let mut node = self.lanes.get(from)?;
        while !done(node) {
            let back = node.back?;
            let jump = self.lanes.get(&node.jump)?;
            node = if done(jump) {
                self.lanes.get(&back)?
            } else {
                jump
            };
        }
        Some(node)
    }

    fn note_cert(&mut self, cert: &DeviceCert) {
        self.users.insert(cert.user);
        self.devices.insert(cert.device);
    }

    fn jump_from(&self, back: OpId) -> OpId {
        let place = |id: &OpId| self.lanes.get(id).map(|node| (node.seq, node.jump));
        let far = || {
            let (here, jump) = place(&back)?;
            let (there, jump_of_jump) = place(&jump)?;
            let (yonder, _) = place(&jump_of_jump)?;
            (here - there == there - yonder).then_some(jump_of_jump)
        };
        far().unwrap_or(back)
    }
}

#[derive(Clone, Debug)]
struct LaneNode {
    seq: u64,
    hlc: Hlc,
    back: Option<OpId>,
    /// An op far before this one; itself at the root.
    jump: OpId,
    /// Commits in the lane up to and including this op.
    commits: u64,
    /// Payload bytes in the lane up to and including this op.
    bytes: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A lane of `len` ops, one second apart, with a node for each.
    fn lane(len: u32) -> (ControlRecords, Vec<OpId>) {
        let mut records = ControlRecords::default();
        let mut ids: Vec<OpId> = Vec::new();
        for seq in 0..len {
            let id = OpId::of_header(&seq.to_be_bytes());
            let back = ids.last().copied();
            let node = LaneNode {
                seq: u64::from(seq),
                hlc: Hlc::ZERO.plus_secs(seq),
                back,
                jump: back.map_or(id, |back| records.jump_from(back)),
                commits: u64::from(seq / 3),
                bytes: u64::from(seq * 10),
            };
            records.lanes.insert(id, node);
            ids.push(id);
        }
        (records, ids)
    }

    #[test]
    fn every_position_of_a_lane_is_found_from_every_later_one() {
        let (records, ids) = lane(70);
        for (from, id) in (0..70_u32).zip(&ids) {
            for seq in 0..=from {
                let found = records.time_at(id, u64::from(seq));
                assert_eq!(found, Some(Hlc::ZERO.plus_secs(seq)));
            }
        }
    }

    #[test]
    fn a_long_lane_is_searched_in_few_steps() {
        let (records, ids) = lane(50_000);
        let steps = core::cell::Cell::new(0);
        let found = records.ancestor(&ids[49_999], |node| {
            steps.set(steps.get() + 1);
            node.seq <= 17
        });
        assert_eq!(found.map(|n| n.seq), Some(17));
        assert!(steps.get() < 200, "{} steps", steps.get());
    }

    #[test]
    fn load_counts_only_what_is_later() {
        let (records, ids) = lane(30);
        let since = |secs| records.load_since(&ids[29], Hlc::ZERO.plus_secs(secs));
        assert_eq!(since(29), (0, 0));
        assert_eq!(since(20), (9 - 6, 90));
    }
}
