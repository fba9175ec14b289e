//! Until both sides know which Spaces they share, and who the other is in each.

use oplog::Digest;

use super::{Round, Stage, Stop, SyncAction, SyncFailure, SyncSession, Task};
use crate::sync::frame::{Frame, SYNC_VERSION, Salted};
use crate::sync::handshake::{Handshake, Role};
use crate::sync::source::SyncSource;

impl SyncSession {
    pub(super) fn on_open(
        &mut self,
        version: u8,
        theirs: &Digest,
        actions: &mut Vec<SyncAction>,
    ) -> Result<(), Stop> {
        if !matches!(self.stage, Stage::Open) {
            return Err(SyncFailure::Unexpected("open").into());
        }
        if version != SYNC_VERSION {
            return Err(SyncFailure::Version(version).into());
        }
        let keys = core::mem::take(&mut self.keys);
        let mut handshake = Handshake::new(self.role, keys, &self.nonce, theirs, &self.binding);
        let interests = handshake.interests(&self.padding);
        self.handshake = Some(handshake);
        if self.role == Role::Responder {
            actions.push(SyncAction::Send(self.open().encode()));
        }
        // The initiator's goes out with its claims.
        self.outgoing.frame(Frame::Hello { interests });
        self.stage = Stage::Hello;
        Ok(())
    }

    pub(super) fn on_hello(
        &mut self,
        interests: Vec<Salted>,
        source: &impl SyncSource,
    ) -> Result<(), Stop> {
        let (Stage::Hello, Some(handshake)) = (&self.stage, &mut self.handshake) else {
            return Err(SyncFailure::Unexpected("hello").into());
        };
        handshake.match_interests(&interests);
        self.peer_interests = interests;
        if self.role == Role::Initiator {
            let claims = handshake.claims(&self.peer_interests, source);
            self.outgoing.frame(Frame::Auth { claims });
        }
        self.stage = Stage::Auth;
        Ok(())
    }

    pub(super) fn on_auth(
        &mut self,
        claims: &[crate::sync::frame::Claim],
        source: &impl SyncSource,
        actions: &mut Vec<SyncAction>,
    ) -> Result<(), Stop> {
        let last = matches!(self.stage, Stage::LastAuth);
        let (Stage::Auth | Stage::LastAuth, Some(handshake)) = (&self.stage, &mut self.handshake)
        else {
            return Err(SyncFailure::Unexpected("auth").into());
        };
        if !handshake.check_claims(claims) {
            return Err(SyncFailure::Forged.into());
        }
        if !last {
            let claims = handshake.claims(&self.peer_interests, source);
            self.outgoing.frame(Frame::Auth { claims });
        }
        if self.role == Role::Responder && !last {
            self.stage = Stage::LastAuth;
            return Ok(());
        }
        self.peers = handshake.shared();
        for (space, device) in &self.peers {
            actions.push(SyncAction::Peer {
                space: *space,
                device: *device,
            });
        }
        if self.role == Role::Responder {
            self.stage = Stage::Serving;
            return Ok(());
        }
        self.tasks = self
            .peers
            .keys()
            .map(|s| Task::Control(Round::first(*s)))
            .collect();
        self.next_task(source)
    }

    pub(super) fn on_done(&mut self) -> Result<(), Stop> {
        match (&self.stage, self.role) {
            (Stage::Serving, Role::Responder) => {
                self.outgoing.frame(Frame::Done);
                self.stage = Stage::Closing;
                Ok(())
            }
            (Stage::Closing, Role::Initiator) if self.outgoing.is_idle() => {
                self.stage = Stage::Over;
                Ok(())
            }
            _ => Err(SyncFailure::Unexpected("done").into()),
        }
    }
}
