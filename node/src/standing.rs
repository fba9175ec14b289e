//! What the content plane asks about authors, answered from the authority fold of one Space.

use core::ops::Range;
use std::collections::BTreeMap;
use std::sync::Arc;

use fold::AuthorityView;
use fold::authority::RemovalKind;
use fold::content::{Bodies, Closed, EffectiveRemoval, Sponsorship, Standing};
use oplog::authority::{Rank, View};
use oplog::dag::Past;
use oplog::payload::{Verb, Weight};
use oplog::store::{Location, Store, StoreError};
use oplog::{AcceptedOp, ChannelId, DeviceId, EpochId, Header, Lane, OpId, UserId};

use crate::space::Space;

/// Views of pasts kept: they share structure, and content clings to few.
const PASTS_MAX: usize = 256;

/// The fold at frontiers that content names. It never changes, so it may be remembered.
pub(crate) type Pasts = BTreeMap<Vec<OpId>, Arc<AuthorityView>>;

/// One Space, as its content is judged by it. Lives as long as one query.
pub(crate) struct SpaceStanding<'a> {
    space: &'a Space,
    chain: Vec<EpochId>,
}

impl<'a> SpaceStanding<'a> {
    pub(crate) fn new(space: &'a Space) -> Self {
        let chain = space.authority.epochs().chain(&space.canonical);
        Self { space, chain }
    }

    fn past(&self, op: &Header) -> Past {
        self.space.log.dag().past_of(&op.ctl)
    }

    /// The fold of what the author had seen.
    fn past_view(&self, op: &Header) -> Arc<AuthorityView> {
        if op.ctl == self.space.view.frontier() {
            return Arc::clone(&self.space.view);
        }
        if let Some(view) = self.space.pasts.borrow().get(&op.ctl) {
            return Arc::clone(view);
        }
        let view = Arc::new(
            self.space
                .authority
                .recompute(self.space.log.dag(), &op.ctl),
        );
        let dag = self.space.log.dag();
        if !op.ctl.iter().all(|id| dag.contains(id)) {
            // Damage has taken some of it: what is folded now is not what the author had seen.
            return view;
        }
        let mut pasts = self.space.pasts.borrow_mut();
        if pasts.len() >= PASTS_MAX {
            pasts.clear();
        }
        pasts.insert(op.ctl.clone(), Arc::clone(&view));
        view
    }

    fn first_epoch(&self, removal: &OpId) -> Option<EpochId> {
        self.space
            .authority
            .epochs()
            .first_seeing(self.space.log.dag(), &self.chain, removal)
    }
}

impl Standing for SpaceStanding<'_> {
    fn sponsorship(&self, op: &Header) -> Sponsorship {
        let all = &self.space.view;
        // The common case needs no view of the past: a member now is one by an effective grant.
        if all.is_member(&op.user) && View::device_user(&**all, &op.device) == Some(op.user) {
            return Sponsorship::Held;
        }
        match all.unsponsored_by(&op.user, &op.device, &self.past_view(op)) {
            None => Sponsorship::Held,
            Some(by) => Sponsorship::Void { by },
        }
    }

    fn removals(&self, op: &Header) -> Vec<Arc<EffectiveRemoval>> {
        let mut removals = self.space.view.removals_of(&op.user);
        removals.extend(self.space.view.ends_of(&op.device));
        // The first is named where several refuse (D3).
        let depth = |op: &OpId| self.space.log.dag().node(op).map(|node| node.depth);
        removals.sort_by_key(|r| (depth(&r.op), r.op));
        if removals.is_empty() {
            return Vec::new();
        }
        let past = self.past(op);
        let unseen = removals
            .into_iter()
            .filter(|r| !self.space.log.dag().in_past(&r.op, &past));
        unseen
            .map(|r| {
                let rank = self
                    .space
                    .authority
                    .standing(&r.op)
                    .map_or(Rank::TOP, |standing| standing.rank);
                Arc::new(EffectiveRemoval {
                    op: r.op,
                    kind: r.kind,
                    device: matches!(r.kind, RemovalKind::Device | RemovalKind::Equivocation)
                        .then_some(op.device),
                    by: r.author,
                    hlc: r.hlc,
                    rank,
                    cut: r.cut,
                    late: r.late,
                    purge: r.purge.to_vec(),
                    reason: r.reason.to_owned(),
                    first_epoch: self.first_epoch(&r.op),
                    closure: r.closure.map(|(seal, cut)| Closed {
                        seal,
                        cut: cut.to_vec(),
                    }),
                })
            })
            .collect()
    }

    fn void_act(&self, op: &Header, verb: Verb) -> Option<OpId> {
        let past = self.past_view(op);
        let all = &self.space.view;
        let needed = past.least(verb, op.scope.channel().as_ref());
        if needed <= Weight::MEMBER {
            return None;
        }
        if let Some(void) = all.void_grant(&op.user, needed, &past) {
            return Some(void);
        }
        let seen = self.past(op);
        let demotions = all.demotions_of(&op.user).filter(|demotion| {
            !self.space.log.dag().in_past(demotion, &seen)
                && self
                    .first_epoch(demotion)
                    .is_some_and(|first| self.descends(&op.epoch, &first))
        });
        demotions.last()
    }

    fn mute(&self, op: &Header) -> Option<OpId> {
        let dag = self.space.log.dag();
        let seen = self.past(op);
        let here = [None, op.scope.channel()];
        let mutes = self.space.view.mutes().filter(|mute| {
            mute.user == op.user
                && here.contains(&mute.channel)
                && mute.expires.is_none_or(|end| op.hlc < end)
                && dag
                    .node(&mute.op)
                    .is_some_and(|node| node.op.header().hlc < op.hlc)
                && !dag.in_past(&mute.op, &seen)
        });
        let rank = |mute: &OpId| self.space.authority.standing(mute).map(|s| s.rank);
        let hlc = |mute: &OpId| dag.node(mute).map(|node| node.op.header().hlc);
        mutes
            .map(|mute| mute.op)
            .max_by_key(|mute| (rank(mute), hlc(mute), *mute))
    }

    fn rank_at(&self, op: &Header) -> Option<Rank> {
        self.past_view(op).rank(&op.user)
    }

    fn saw(&self, op: &Header, control: &OpId) -> bool {
        self.space.log.dag().in_past(control, &self.past(op))
    }

    fn devices(&self, user: &UserId) -> Vec<DeviceId> {
        let devices = self.space.view.devices();
        let theirs = devices.filter(|device| device.user == *user);
        theirs.map(|device| device.device).collect()
    }

    fn channels(&self) -> Vec<ChannelId> {
        self.space
            .view
            .channels()
            .map(|channel| channel.id)
            .collect()
    }

    fn descends(&self, epoch: &EpochId, ancestor: &EpochId) -> bool {
        self.space.authority.epochs().is_ancestor(ancestor, epoch)
    }

    fn is_quiet(&self, device: &DeviceId) -> bool {
        let all = &self.space.view;
        let Some(user) = View::device_user(&**all, device) else {
            return false;
        };
        all.is_member(&user) && all.void_ops().next().is_none() && all.removals_of(&user).is_empty()
    }
}

/// Where the accepted ops of a Space lie.
pub(crate) struct SpaceBodies<'a, S> {
    pub(crate) space: &'a Space,
    pub(crate) store: &'a S,
}

impl<S: Store> Bodies for SpaceBodies<'_, S> {
    fn read(&self, id: &OpId, at: &Location) -> Result<AcceptedOp, StoreError> {
        let read = self.space.table.read(self.store, id, at);
        if matches!(read, Err(StoreError::Damaged { .. })) {
            self.space.note_damaged(id);
        }
        read
    }

    fn op(&self, id: &OpId) -> Result<Option<AcceptedOp>, StoreError> {
        self.space.op(self.store, id)
    }

    fn lane(
        &self,
        lane: &Lane,
        seqs: Range<u64>,
        visit: &mut dyn FnMut(u64, OpId),
    ) -> Result<(), StoreError> {
        for (seq, id) in
            self.space
                .table
                .range(self.store, lane, seqs.start, Some(seqs.end), usize::MAX)?
        {
            visit(seq, id);
        }
        Ok(())
    }
}
