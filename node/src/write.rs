//! Our own ops: written at the end of our lanes, with everything we have seen behind them.

use fold::content::{Cursor, Include, Line};

use oplog::payload::{CutHead, ScopeCut};
use oplog::store::{Store, StoreError};
use oplog::{
    ChannelId, DeviceId, DraftError, Header, Intent, Kind, Lane, MERGE_ABOVE, OpId, Payload, Scope,
    SignedOp, SpaceId, Timestamp, UserId,
};
use rand_core::CryptoRng;

use crate::blobs::ChunkStore;
use crate::error::CommandError;
use crate::ingest::Outcome;
use crate::node::Node;
use crate::outbox::Queued;
use crate::seal::check_fits;

/// Posts looked at to find the newest of a line.
const NEWEST_LOOKED_AT: usize = 1;

impl<S: Store, C: ChunkStore, R: CryptoRng> Node<S, C, R> {
    /// Writes an op, has it judged like everybody's, stores it and queues it for sending.
    pub(crate) fn write(
        &mut self,
        space: &SpaceId,
        scope: Scope,
        payload: Payload,
        prev: Vec<OpId>,
    ) -> Result<OpId, CommandError> {
        self.may_write(space)?;
        // The limits of the format come first: acceptance would call a long text unreadable, not wrong.
        let bytes = payload.encode();
        Payload::decode(payload.kind(), &bytes).map_err(|e| CommandError::Invalid {
            what: e.to_string(),
        })?;
        let header = self.next_header(space, payload.kind(), scope, &prev)?;
        self.sign_and_take(space, header, &payload)
    }

    pub(crate) fn sign_and_take(
        &mut self,
        space: &SpaceId,
        header: Header,
        payload: &Payload,
    ) -> Result<OpId, CommandError> {
        let op = SignedOp::sign(header, payload, &self.me.device);
        check_fits(&op)?;
        let queued = Queued {
            hlc: op.header().hlc,
            op: op.id(),
        };
        let verified = op.verify().map_err(|e| CommandError::Invalid {
            what: e.to_string(),
        })?;
        let mut outcome = Outcome::default();
        self.accept_all(space, vec![verified], &mut outcome)?;
        if let Some((_, rule, why)) = outcome
            .refused
            .into_iter()
            .find(|(op, ..)| *op == queued.op)
        {
            return Err(CommandError::NotAllowed { rule, why });
        }
        if !outcome.accepted.contains(&queued.op) {
            return Err(CommandError::Group {
                why: "an own op names something that is not here".to_owned(),
            });
        }
        self.enqueue(space, &queued);
        Ok(queued.op)
    }

    pub(crate) fn may_write(&self, space: &SpaceId) -> Result<(), CommandError> {
        let s = self.known_space(space)?;
        if s.log.awaited_features() != oplog::Features::NONE {
            return Err(CommandError::UpdateNeeded);
        }
        if !s.is_member(&self.me.user()) {
            return Err(CommandError::Removed);
        }
        Ok(())
    }

    /// Returns the header of our next op. Joins control heads first where there are too many.
    pub(crate) fn next_header(
        &mut self,
        space: &SpaceId,
        kind: Kind,
        scope: Scope,
        prev: &[OpId],
    ) -> Result<Header, CommandError> {
        if self.known_space(space)?.log.dag().heads().len() > MERGE_ABOVE {
            self.merge_heads(space)?;
        }
        let now = self.now;
        match self.draft(space, kind, scope, prev) {
            Err(DraftError::MergeFirst { .. }) => {
                self.merge_heads(space)?;
                let again = self.draft(space, kind, scope, prev);
                again.map_err(|error| draft_error(error, now))
            }
            other => other.map_err(|error| draft_error(error, now)),
        }
    }

    fn draft(
        &self,
        space: &SpaceId,
        kind: Kind,
        scope: Scope,
        prev: &[OpId],
    ) -> Result<Header, DraftError> {
        let Some(s) = self.spaces.get(space) else {
            return Err(DraftError::Missing { op: OpId::ZERO });
        };
        if s.doubted {
            return Err(DraftError::Lost { op: OpId::ZERO });
        }
        let intent = Intent {
            user: self.me.user(),
            device: self.me.device_id(),
            kind,
            scope,
            prev,
            epoch: s.tip,
            now: self.now,
        };
        let drafted = s.log.draft(&intent, &self.store);
        if let Err(DraftError::Lost { op }) = &drafted {
            s.note_damaged(op);
        }
        drafted
    }

    /// Joins control heads until few are left: a Merge takes 16 at a time.
    fn merge_heads(&mut self, space: &SpaceId) -> Result<(), CommandError> {
        while self.known_space(space)?.log.dag().heads().len() > 1 {
            let header = self
                .draft(space, Kind::Merge, Scope::Control, &[])
                .map_err(|error| draft_error(error, self.now))?;
            self.sign_and_take(space, header, &Payload::Merge)?;
        }
        Ok(())
    }

    /// Returns the newest post of a line, if there is one.
    pub(crate) fn newest_in(
        &self,
        space: &SpaceId,
        channel: ChannelId,
        thread: Option<OpId>,
    ) -> Result<Option<OpId>, CommandError> {
        let line = Line { channel, thread };
        let page = self.with_content(space, |content| {
            content.page(
                &line,
                Cursor::Newest,
                Include::Placeholders,
                NEWEST_LOOKED_AT,
            )
        })?;
        Ok(page.posts.first().map(|post| post.id))
    }

    /// Returns what we have seen of a person: the cut of a removal (B8).
    pub(crate) fn cut_of(
        &self,
        space: &SpaceId,
        target: &UserId,
    ) -> Result<Vec<ScopeCut>, CommandError> {
        let s = self.known_space(space)?;
        let devices: Vec<DeviceId> = s
            .view
            .devices()
            .filter(|d| d.user == *target)
            .map(|d| d.device)
            .collect();
        let mut cut = Vec::new();
        for scope in s
            .scopes()
            .into_iter()
            .filter(|scope| *scope != Scope::Control)
        {
            let mut heads = Vec::new();
            for device in &devices {
                let lane = Lane {
                    device: *device,
                    scope,
                };
                let head = s.table.lane_head(&self.store, &lane)?;
                // Of a lane with two ends either names what we saw; the first is as good.
                let seen = head.and_then(|head| head.ops.first().map(|op| (head.seq, *op)));
                heads.extend(seen.map(|(seq, op)| CutHead {
                    device: *device,
                    seq,
                    op,
                }));
            }
            heads.sort_unstable_by_key(|head| head.device);
            cut.push(ScopeCut { scope, heads });
        }
        cut.sort_unstable_by_key(|c| c.scope);
        Ok(cut)
    }

    /// Returns the encoded bytes of an accepted op.
    pub(crate) fn op_bytes(
        &self,
        space: &SpaceId,
        op: &OpId,
    ) -> Result<Option<Vec<u8>>, StoreError> {
        let Some(s) = self.spaces.get(space) else {
            return Ok(None);
        };
        Ok(s.op(&self.store, op)?.map(|op| op.encode()))
    }
}

fn draft_error(error: DraftError, now: Timestamp) -> CommandError {
    match error {
        DraftError::Store(source) => CommandError::Store { source },
        DraftError::Missing { op } => CommandError::UnknownOp { op },
        DraftError::Lost { .. } => CommandError::Damaged,
        DraftError::Forked { .. } => CommandError::Group {
            why: "this device has written two ops at one place, as a restored copy would; it must not write on"
                .to_owned(),
        },
        DraftError::TooFast { until } => CommandError::NotAllowed {
            rule: oplog::Rule::R7.id(),
            why: format!(
                "this device has written too much within a minute; it may go on in {} s",
                until.as_ms().saturating_sub(now.as_ms()).div_ceil(1000).max(1)
            ),
        },
        other @ (DraftError::MergeFirst { .. } | DraftError::TooManyRefs { .. }) => {
            CommandError::Invalid { what: other.to_string() }
        }
    }
}
