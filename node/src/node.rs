//! The node: one person's device, its Spaces and its relays, as a state machine.
//!
//! [`Node::handle`] takes one event and the time, and returns everything that follows.
//! It never waits, reads no clock and draws only from the generator it was given; what it
//! must remember it stages in the store, which makes all of one event one step.
//!
//! # Invariants
//! - What an effect tells anyone was committed before `handle` returned it.
//! - A peer's fault becomes a notice or nothing, never an error of `handle`.
//! - After an error of `handle` the event was not taken; [`Node::reload`] is due.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

use oplog::store::{Store, StoreError};
use oplog::{DeviceId, OpId, SpaceId, Timestamp, UserId};
use rand_core::CryptoRng;

use crate::admit::{AdmitTurn, Applicant, Asked};
use crate::blobs::{Blobs, ChunkStore};
use crate::cache::BUDGET_BYTES;
use crate::command::{Answer, Command, CommandId};
use crate::error::CommandError;
use crate::event::{Effect, Event, RelayId, RequestId, Timer};
use crate::exchange::{Purpose, Relay, TICK_MS};
use crate::identity::Identity;
use crate::import::Import;
use crate::join::PendingJoin;
use crate::room::Room;
use crate::space::Space;
use crate::tags::{TagSpan, TagsMade};
use crate::view::{Me, Notice, RelayStatus};

/// One person's device.
#[derive(Debug)]
pub struct Node<S, C, R> {
    pub(crate) store: S,
    /// Sealed chunks of attachments.
    pub(crate) chunks: C,
    pub(crate) rng: R,
    pub(crate) me: Identity,
    pub(crate) spaces: BTreeMap<SpaceId, Space>,
    pub(crate) relays: BTreeMap<RelayId, Relay>,
    pub(crate) joins: BTreeMap<SpaceId, PendingJoin>,
    /// Devices that asked to come in and wait for their turn or for approval.
    pub(crate) applicants: BTreeMap<(SpaceId, DeviceId), Applicant>,
    pub(crate) blobs: Blobs,
    /// Commands whose answer needs an exchange first.
    pub(crate) waiting: Vec<(CommandId, Waiting)>,
    /// Imports that are not done, the oldest first.
    pub(crate) imports: VecDeque<Import>,
    /// By which invite somebody asked to come in.
    pub(crate) invited_by: BTreeMap<(SpaceId, UserId), Asked>,
    pub(crate) admit_turns: BTreeMap<SpaceId, AdmitTurn>,
    /// When this device let somebody in last.
    pub(crate) admitted_at: BTreeMap<SpaceId, Timestamp>,
    pub(crate) requests: BTreeMap<RequestId, (RelayId, Purpose)>,
    pub(crate) next_request: u64,
    pub(crate) effects: Vec<Effect>,
    pub(crate) now: Timestamp,
    pub(crate) started: bool,
    /// Tags may have come or gone since the last exchange.
    pub(crate) tags_changed: bool,
    /// What the last tick saw of the time.
    pub(crate) tags_span: Option<TagSpan>,
    pub(crate) tags_made: RefCell<TagsMade>,
    /// The day up to which the store says that everything was received, once it was looked at.
    pub(crate) day_noted: Option<u64>,
    /// When the oldest Welcome that is kept was made, in milliseconds, once they were looked at.
    pub(crate) welcomes_from: Option<u64>,
    pub(crate) caught_up_with: BTreeSet<RelayId>,
    pub(crate) delivered: Vec<(SpaceId, OpId)>,
    pub(crate) received_count: u64,
    pub(crate) sent_count: u64,
    /// What the start found and mended, in words.
    pub(crate) recovered: Vec<String>,
    /// On the disk.
    pub(crate) room: Room,
}

/// What a command waits for.
#[derive(Debug)]
pub(crate) enum Waiting {
    /// Everything exchanged; counts from when it began.
    Sync { received: u64, sent: u64 },
    /// The bundle that lets us in.
    Join(SpaceId),
    /// Chunks.
    Blob(BTreeSet<oplog::BlobId>),
}

impl<S: Store, C: ChunkStore, R: CryptoRng> Node<S, C, R> {
    /// Makes a profile: keeps the identity and returns a node without Spaces.
    ///
    /// # Errors
    /// When storage fails.
    pub fn create(
        mut store: S,
        chunks: C,
        rng: R,
        me: Identity,
        now: Timestamp,
    ) -> Result<Self, StoreError> {
        me.save(&mut store);
        store.commit()?;
        store.sync()?;
        Self::load(store, chunks, rng, me, now)
    }

    /// Opens a profile; `None` when the store holds no identity.
    ///
    /// # Errors
    /// When storage fails.
    pub fn open(store: S, chunks: C, rng: R, now: Timestamp) -> Result<Option<Self>, StoreError> {
        let Some(me) = Identity::load(&store)? else {
            return Ok(None);
        };
        Self::load(store, chunks, rng, me, now).map(Some)
    }

    fn load(store: S, chunks: C, rng: R, me: Identity, now: Timestamp) -> Result<Self, StoreError> {
        let mut node = Self {
            store,
            chunks,
            rng,
            me,
            spaces: BTreeMap::new(),
            relays: BTreeMap::new(),
            joins: BTreeMap::new(),
            applicants: BTreeMap::new(),
            blobs: Blobs::new(BUDGET_BYTES),
            waiting: Vec::new(),
            imports: VecDeque::new(),
            invited_by: BTreeMap::new(),
            admit_turns: BTreeMap::new(),
            admitted_at: BTreeMap::new(),
            requests: BTreeMap::new(),
            next_request: 0,
            effects: Vec::new(),
            now,
            started: false,
            tags_changed: true,
            tags_span: None,
            tags_made: RefCell::default(),
            day_noted: None,
            welcomes_from: None,
            caught_up_with: BTreeSet::new(),
            delivered: Vec::new(),
            received_count: 0,
            sent_count: 0,
            recovered: Vec::new(),
            room: Room::default(),
        };
        node.load_relays()?;
        node.load_spaces()?;
        node.load_joins()?;
        node.load_applicants()?;
        node.load_blobs()?;
        node.follow_pending()?;
        node.store.commit()?;
        Ok(node)
    }

    /// Reads everything from the store again, after an error of [`Node::handle`] left memory ahead of it.
    /// Returns what the driver must run: the answers to what cannot go on, and what begins again.
    ///
    /// # Errors
    /// When storage still fails.
    pub fn reload(&mut self) -> Result<Vec<Effect>, StoreError> {
        // What the event that failed had staged already belongs to no step.
        self.store.abandon();
        self.spaces.clear();
        self.joins.clear();
        self.blobs = Blobs::new(self.blobs.budget);
        self.effects.clear();
        self.tags_changed = true;
        self.day_noted = None;
        self.welcomes_from = None;
        self.stop_imports();
        self.load_spaces()?;
        self.load_joins()?;
        self.load_applicants()?;
        self.load_blobs()?;
        self.begin_again()?;
        Ok(std::mem::take(&mut self.effects))
    }

    /// Asks relays anew and sets the clock of housekeeping: the effects of what failed never ran, so
    /// their requests are never answered and their timers never run out.
    fn begin_again(&mut self) -> Result<(), StoreError> {
        if !self.started {
            return Ok(());
        }
        self.requests.clear();
        self.set_timer(Timer::Tick, TICK_MS);
        let connected = self.relays.iter().filter(|(_, relay)| relay.connected);
        for id in connected.map(|(id, _)| *id).collect::<Vec<_>>() {
            if let Some(relay) = self.relays.get_mut(&id) {
                relay.begin_again();
            }
            self.relay_connected(id)?;
        }
        Ok(())
    }

    /// Advances by one event. Never waits.
    ///
    /// # Errors
    /// Only when the store fails: the event was not taken, and [`Node::reload`] is due.
    pub fn handle(&mut self, event: Event, now: Timestamp) -> Result<Vec<Effect>, StoreError> {
        self.now = now;
        match event {
            Event::Started => self.start()?,
            Event::Command { id, command } => self.command(id, command)?,
            Event::RelayConnected(relay) => self.relay_connected(relay)?,
            Event::RelayDisconnected { relay, reason } => self.relay_disconnected(relay, reason)?,
            Event::RelayAnswered {
                relay,
                request,
                result,
            } => self.relay_answered(relay, request, result)?,
            Event::RelayPushed { relay, push } => self.relay_pushed(relay, push)?,
            Event::TimerExpired(timer) => self.timer(timer)?,
            Event::DiskFree { bytes } => self.disk_free(bytes)?,
        }
        self.lose_damaged()?;
        self.store.commit()?;
        Ok(std::mem::take(&mut self.effects))
    }

    /// Makes what the last events committed survive a power cut. The driver calls this before it runs
    /// their effects.
    ///
    /// # Errors
    /// When storage fails; then none of those effects may run.
    pub fn sync(&mut self) -> Result<(), StoreError> {
        self.store.sync()
    }

    /// Returns who this profile is.
    pub fn me(&self) -> Me {
        Me {
            user: self.me.user(),
            device: self.me.device_id(),
            name: self.me.cert.name.clone(),
            did: self.me.did(),
        }
    }

    /// Returns the relays and how they are.
    pub fn relays(&self) -> Vec<RelayStatus> {
        self.relays.values().map(Relay::status).collect()
    }

    /// Returns the store, for what is not the node's business: files, statistics.
    pub const fn store(&self) -> &S {
        &self.store
    }

    /// Returns the store, for what is not the node's business.
    pub const fn store_mut(&mut self) -> &mut S {
        &mut self.store
    }

    /// Returns the sealed chunks of attachments.
    pub const fn chunks_mut(&mut self) -> &mut C {
        &mut self.chunks
    }

    /// Notes something that opening the profile found and mended, for the health report.
    pub fn note_recovery(&mut self, what: String) {
        if !self.recovered.contains(&what) {
            self.recovered.push(what);
        }
    }

    fn start(&mut self) -> Result<(), StoreError> {
        self.started = true;
        for (id, relay) in &self.relays {
            self.effects.push(Effect::Connect {
                relay: *id,
                address: relay.address.clone(),
            });
        }
        self.set_timer(Timer::Tick, TICK_MS);
        self.after_exchange()
    }

    fn timer(&mut self, timer: Timer) -> Result<(), StoreError> {
        match timer {
            Timer::Tick => self.tick(),
            Timer::Reconcile(space) => {
                self.reconcile_now(&space)?;
                self.after_exchange()
            }
            Timer::Admit(space) => {
                self.admit_in_turn(&space)?;
                self.after_exchange()
            }
            Timer::Have(space) => self.say_have(&space),
            Timer::Want(space) => self.say_want(&space),
            Timer::Give(space) => {
                self.give_now(&space)?;
                self.after_exchange()
            }
            Timer::Letter(space) => {
                self.write_letters(&space)?;
                self.after_exchange()
            }
            Timer::Import => self.import_more(),
        }
    }

    fn command(&mut self, id: CommandId, command: Command) -> Result<(), StoreError> {
        match self.execute(id, command) {
            Ok(Some(answer)) => self.answer(id, Ok(answer)),
            Ok(None) => {}
            Err(CommandError::Store { source }) => return Err(source),
            Err(error) => self.answer(id, Err(error)),
        }
        self.after_exchange()
    }

    pub(crate) fn answer(&mut self, id: CommandId, result: Result<Answer, CommandError>) {
        self.effects.push(Effect::Answer {
            id,
            result: Box::new(result),
        });
    }

    pub(crate) fn notify(&mut self, notice: Notice) {
        self.effects.push(Effect::Notify(notice));
    }

    /// Answers the commands whose exchange is over.
    pub(crate) fn settle_waiting(&mut self) -> Result<(), StoreError> {
        if self.waiting.is_empty() {
            return Ok(());
        }
        let reachable = self.relays.values().filter(|r| r.connected).count();
        let tried = self.relays.values().all(|r| r.tried);
        let quiet = self.online()
            && self
                .relays
                .values()
                .filter(|r| r.connected)
                .all(|r| r.caught_up && !r.is_comparing())
            && self.nothing_to_send()?;
        let mut still = Vec::new();
        for (id, waiting) in std::mem::take(&mut self.waiting) {
            let result = match &waiting {
                Waiting::Sync { .. } if self.relays.is_empty() => {
                    Some(Err(CommandError::NoRelay {
                        why: "none is configured".to_owned(),
                    }))
                }
                Waiting::Sync { received, sent } if quiet && tried => Some(Ok(Answer::Synced {
                    received: self.received_count - received,
                    sent: self.sent_count - sent,
                    relays: reachable,
                })),
                Waiting::Sync { .. } if reachable == 0 && tried => {
                    let why: Vec<String> = self
                        .relays
                        .values()
                        .filter_map(|r| r.error.clone())
                        .collect();
                    Some(Err(CommandError::NoRelay {
                        why: why.join("; "),
                    }))
                }
                Waiting::Sync { .. } => None,
                Waiting::Join(space)
                    if self.is_in(space)
                        && self.joins.get(space).is_none_or(|j| j.landed_at.is_some()) =>
                {
                    Some(Ok(Answer::Joined { space: *space }))
                }
                Waiting::Join(space) => self.join_failure(space).map(Err),
                Waiting::Blob(missing) => self.blob_progress(missing)?,
            };
            match result {
                Some(result) => self.answer(id, result),
                None => still.push((id, waiting)),
            }
        }
        self.waiting = still;
        Ok(())
    }

    /// Whether everything of ours that can go out has gone out.
    fn nothing_to_send(&self) -> Result<bool, StoreError> {
        if self.uploads_waiting() > 0 || self.mail_waiting()? || self.asking() {
            return Ok(false);
        }
        let sending = self.requests.values().any(|(_, purpose)| {
            matches!(
                purpose,
                Purpose::Put { .. } | Purpose::Gossip | Purpose::Mail(_) | Purpose::PutChunk(_)
            )
        });
        Ok(!sending)
    }
}
