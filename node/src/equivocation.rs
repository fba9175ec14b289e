//! Devices that signed two ops for one place of a lane: seeing them, and proving it (B11).
//!
//! A proof ends the device for good, and takes it out of the group. It is a person's act, never the
//! client's own: a profile folder that was copied, or put back from a copy, equivocates by mistake,
//! and its person is told so and can revoke it themself. Until somebody proves it nothing is lost,
//! because both branches are kept and judged by the same rules everywhere.

use std::collections::{BTreeMap, BTreeSet};

use minicbor::bytes::ByteVec;
use oplog::payload::{CutHead, EquivocationProof, ScopeCut, SignedHeader};
use oplog::store::{Store, StoreError};
use oplog::{DeviceId, Lane, OpId, Payload, Scope, SpaceId};
use rand_core::CryptoRng;

use crate::blobs::ChunkStore;
use crate::error::CommandError;
use crate::node::Node;
use crate::space::Space;
use crate::view::EquivocationView;

impl<S: Store, C: ChunkStore, R: CryptoRng> Node<S, C, R> {
    /// Returns the lanes here that have forked: of each the first place with two ops, by device.
    ///
    /// # Errors
    /// When the Space is not here, or storage fails.
    pub fn equivocations(&self, space: SpaceId) -> Result<Vec<EquivocationView>, CommandError> {
        let s = self.known_space(&space)?;
        let mut seen = Vec::new();
        for (lane, seq, ops) in s.forked(&self.store)? {
            let user = s.device_user(&lane.device);
            let device = s.view.device(&lane.device);
            seen.push(EquivocationView {
                device: lane.device,
                device_name: device.map(|d| fold::content::text::display_name(&d.cert.name)),
                user,
                user_name: user.map(|user| s.person(&user)),
                scope: lane.scope,
                seq,
                ops,
                is_this: lane.device == self.me.device_id(),
                ended: s.view.ends_of(&lane.device).first().map(|end| end.op),
            });
        }
        seen.sort_by_key(|view| (view.device, view.scope));
        Ok(seen)
    }

    /// Proves that a device equivocates: it ends for good.
    pub(crate) fn freeze(
        &mut self,
        space: &SpaceId,
        device: DeviceId,
    ) -> Result<OpId, CommandError> {
        self.may_write(space)?;
        let s = self.known_space(space)?;
        let forked = s.forked(&self.store)?;
        let Some((_, _, ops)) = forked.iter().find(|(lane, ..)| lane.device == device) else {
            return Err(CommandError::Invalid {
                what: "no two ops of this device stand at one place: it cannot be frozen"
                    .to_owned(),
            });
        };
        let mut headers = Vec::new();
        for op in ops {
            let Some(op) = s.op(&self.store, op)? else {
                return Err(self.lacks(space, op)?);
            };
            headers.push(SignedHeader {
                header: ByteVec::from(op.header_bytes().to_vec()),
                sig: *op.signature(),
            });
        }
        headers.sort();
        let [first, second, ..] = headers.as_slice() else {
            return Err(CommandError::Invalid {
                what: "one of the two ops is not here".to_owned(),
            });
        };
        let proof = EquivocationProof {
            first: first.clone(),
            second: second.clone(),
            cut: s.all_of_device(&self.store, &device)?,
        };
        self.govern(space, Payload::EquivocationProof(proof))
    }
}

impl Space {
    /// Every lane that has forked, with the first place that holds two ops, and those.
    fn forked<S: Store>(&self, store: &S) -> Result<Vec<(Lane, u64, Vec<OpId>)>, StoreError> {
        let mut forked = Vec::new();
        for lane in self.table.branches(store)?.into_keys() {
            let mut before = None;
            for (seq, _) in self.table.range(store, &lane, 0, None, usize::MAX)? {
                if before == Some(seq) {
                    forked.push((lane, seq, self.table.at(store, &lane, seq)?));
                    break;
                }
                before = Some(seq);
            }
        }
        Ok(forked)
    }

    /// The ends of all that is here of a device, in every scope: what an honest reporter had seen.
    fn all_of_device<S: Store>(
        &self,
        store: &S,
        device: &DeviceId,
    ) -> Result<Vec<ScopeCut>, StoreError> {
        let mut scopes: BTreeMap<Scope, BTreeSet<CutHead>> = self
            .scopes()
            .into_iter()
            .map(|scope| (scope, BTreeSet::new()))
            .collect();
        let branches = self.table.branches(store)?;
        for head in self.table.all_lanes(store)? {
            if head.lane.device != *device {
                continue;
            }
            let mut ends = branches.get(&head.lane).cloned().unwrap_or_default();
            ends.extend(head.ops.iter().map(|op| (head.seq, *op)));
            let heads = scopes.entry(head.lane.scope).or_default();
            heads.extend(ends.into_iter().map(|(seq, op)| CutHead {
                device: *device,
                seq,
                op,
            }));
        }
        Ok(scopes
            .into_iter()
            .map(|(scope, heads)| ScopeCut {
                scope,
                heads: heads.into_iter().collect(),
            })
            .collect())
    }
}
