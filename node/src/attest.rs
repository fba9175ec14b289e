//! Saying of late content that it was seen in time, and showing again what a moderator hid.
//!
//! A removal names what its author had seen. Whoever may hide posts can add to that (B8): they had
//! the post, too, and stand by it. Then it counts like any other, with all that comes before it in
//! its lane.
//!
//! A device attests by itself what it had when a removal came to it (A16), if it was in touch then:
//! who catches up gets the removal and what the removed wrote later in one go, and cannot tell which
//! was first. It says nothing of scopes that the removal does not list, where that would make late
//! what others had, and nothing where the policy is to refuse what is late.

use std::collections::{BTreeMap, BTreeSet};

use fold::content::{Rule, Verdict};
use oplog::authority::View;
use oplog::payload::{CutAttest, CutHead, ScopeCut, Verb};
use oplog::store::{Store, StoreError};
use oplog::{AcceptedOp, DeviceId, Lane, OpId, Payload, Scope, SpaceId, UserId};
use rand_core::CryptoRng;

use crate::blobs::ChunkStore;
use crate::error::CommandError;
use crate::node::Node;
use crate::seals::{LATE_LOOKED_AT, behind, removes};
use crate::space::Space;
use crate::view::PostState;

/// One place further back in the order of those who attest by themselves, in milliseconds: what one has
/// attested is with the others long before.
const TURN_MS: u64 = 60_000;
/// The last place in that order.
const TURNS_MAX: u64 = 8;
/// Most removals of one Space about which a device waits for its turn.
const WITNESSED_MAX: usize = 64;

/// What a device had of somebody when their removal came: it attests that in its turn.
#[derive(Clone, Debug)]
pub(crate) struct Witnessed {
    had: Vec<ScopeCut>,
    /// When its turn is, in milliseconds.
    at: u64,
}

/// What waits for its turn, by removal.
pub(crate) type AllWitnessed = BTreeMap<OpId, Witnessed>;

impl<S: Store, C: ChunkStore, R: CryptoRng> Node<S, C, R> {
    /// Adds a late op, with what comes before it in its lane, to what was seen of whom a removal is
    /// about.
    pub(crate) fn attest(&mut self, space: &SpaceId, target: &OpId) -> Result<OpId, CommandError> {
        self.may_write(space)?;
        let s = self.known_space(space)?;
        let Some(found) = s.op(&self.store, target)? else {
            return Err(self.lacks(space, target)?);
        };
        let h = found.header();
        if h.scope == Scope::Control {
            return Err(CommandError::UnknownOp { op: *target });
        }
        let refuse = |what: &str| {
            Err(CommandError::Invalid {
                what: what.to_owned(),
            })
        };
        let removal = match self.with_content(space, |content| content.verdict(&found))? {
            Verdict::Late(late) => late.removal,
            Verdict::Refused {
                rule: Rule::Epoch | Rule::Quota | Rule::Policy,
                by,
            } => by,
            Verdict::Refused {
                rule: Rule::Closed, ..
            } => {
                return refuse("a seal has closed this for good: nobody can attest it any more");
            }
            Verdict::Refused { .. } => {
                return refuse("this is refused for another reason than being late");
            }
            Verdict::Accepted => return refuse("this is not late: there is nothing to attest"),
        };
        let attest = CutAttest {
            removal,
            cut: vec![ScopeCut {
                scope: h.scope,
                heads: vec![CutHead {
                    device: h.device,
                    seq: h.seq,
                    op: *target,
                }],
            }],
        };
        self.govern(space, Payload::CutAttest(attest))
    }

    /// Notes what this device had of whom a removal among these new ops is about, if it may attest.
    pub(crate) fn note_witnessed(
        &mut self,
        space: &SpaceId,
        ops: &[AcceptedOp],
    ) -> Result<(), StoreError> {
        let (me, device, now) = (self.me.user(), self.me.device_id(), self.now.as_ms());
        let in_touch = |relay: &crate::exchange::Relay| !relay.connected || relay.caught_up;
        let removal = |op: &&AcceptedOp| removes(op.header()) && op.header().device != device;
        if !ops.iter().any(|op| removal(&op))
            || !self.online()
            || !self.relays.values().all(in_touch)
        {
            return Ok(());
        }
        let Some(s) = self.spaces.get(space).filter(|s| s.may_attest(&me)) else {
            return Ok(());
        };
        // What came along with it was not here before.
        let along: BTreeSet<OpId> = ops.iter().map(|op| op.id()).collect();
        let mut witnessed = AllWitnessed::new();
        for op in ops.iter().filter(removal).take(WITNESSED_MAX) {
            let had = s.had_of_removed(&self.store, &op.id(), &along)?;
            if !had.is_empty() {
                let place = s.place_to_attest(&op.id(), &device).min(TURNS_MAX);
                let at = now.saturating_add(place * TURN_MS);
                witnessed.insert(op.id(), Witnessed { had, at });
            }
        }
        if let Some(s) = self.spaces.get_mut(space) {
            s.witnessed.append(&mut witnessed);
            while s.witnessed.len() > WITNESSED_MAX {
                s.witnessed.pop_first();
            }
        }
        Ok(())
    }

    /// Housekeeping: attests in its turn what is late still.
    pub(crate) fn consider_attests(&mut self) -> Result<(), StoreError> {
        if !self.online() {
            return Ok(());
        }
        let now = self.now.as_ms();
        for space in self.spaces.keys().copied().collect::<Vec<_>>() {
            let Some(s) = self.spaces.get_mut(&space) else {
                continue;
            };
            let due: AllWitnessed = s
                .witnessed
                .extract_if(.., |_, witnessed| witnessed.at <= now)
                .collect();
            for (removal, witnessed) in due {
                let Some(s) = self.spaces.get(&space) else {
                    continue;
                };
                let cut = s.still_late(&self.store, witnessed.had)?;
                if cut.is_empty() {
                    continue;
                }
                match self.govern(&space, Payload::CutAttest(CutAttest { removal, cut })) {
                    Ok(_) => {}
                    Err(CommandError::Store { source }) => return Err(source),
                    Err(error) => tracing::debug!(%error, "not attested"),
                }
            }
        }
        Ok(())
    }

    /// Shows again what a moderator hid.
    pub(crate) fn restore_post(
        &mut self,
        space: &SpaceId,
        target: OpId,
    ) -> Result<OpId, CommandError> {
        // It would be written and change nothing, and who asks for it means something else.
        if let Ok(post) = self.post(*space, target)
            && let PostState::Late { removal, .. } = post.state
        {
            return Err(CommandError::Invalid {
                what: format!(
                    "nobody has hidden this post: it is late, since {} does not cover it; who may hide \
                     posts can attest it instead",
                    self.known_space(space)?.deed(&removal)
                ),
            });
        }
        self.act_on(space, target, Payload::ModRestore)
    }
}

impl Space {
    pub(crate) fn may_attest(&self, user: &UserId) -> bool {
        self.view.weight(user) >= Some(self.view.least(Verb::Tombstone, None))
    }

    /// The ends of what is here of the removed and late, in the scopes that a removal lists.
    fn had_of_removed<S: Store>(
        &self,
        store: &S,
        removal: &OpId,
        along: &BTreeSet<OpId>,
    ) -> Result<Vec<ScopeCut>, StoreError> {
        let devices = self.removed_devices(removal);
        let mut had = Vec::new();
        for ScopeCut { scope, heads } in self.view.removal_cut(removal).unwrap_or_default() {
            let mut ends = BTreeSet::new();
            for device in &devices {
                let from = behind(&heads, device);
                ends.extend(self.last_late(store, *device, scope, from, along)?);
            }
            if !ends.is_empty() && scope.channel().is_some() {
                let heads = ends.into_iter().collect();
                had.push(ScopeCut { scope, heads });
            }
        }
        Ok(had)
    }

    /// The last op of a lane, from a position on, that is late and did not come with these.
    fn last_late<S: Store>(
        &self,
        store: &S,
        device: DeviceId,
        scope: Scope,
        from: u64,
        along: &BTreeSet<OpId>,
    ) -> Result<Option<CutHead>, StoreError> {
        let lane = Lane { device, scope };
        let all = self.table.range(store, &lane, from, None, LATE_LOOKED_AT)?;
        let before = all.into_iter().take_while(|(_, op)| !along.contains(op));
        let mut last = None;
        for (seq, op) in before {
            if self.is_late(store, &op)? {
                last = Some(CutHead { device, seq, op });
            }
        }
        Ok(last)
    }

    /// What of this nobody has attested since.
    fn still_late<S: Store>(
        &self,
        store: &S,
        had: Vec<ScopeCut>,
    ) -> Result<Vec<ScopeCut>, StoreError> {
        let mut late = Vec::new();
        for ScopeCut { scope, heads } in had {
            let mut left = Vec::new();
            for head in heads {
                if self.is_late(store, &head.op)? {
                    left.push(head);
                }
            }
            if !left.is_empty() {
                late.push(ScopeCut { scope, heads: left });
            }
        }
        Ok(late)
    }

    fn is_late<S: Store>(&self, store: &S, op: &OpId) -> Result<bool, StoreError> {
        let Some(op) = self.op(store, op)? else {
            return Ok(false);
        };
        let verdict = self.with_content(store, |content| content.verdict(&op))?;
        Ok(matches!(verdict, Verdict::Late(_)))
    }
}
