//! The thread that owns the node: what waits is handled, synced once, then its effects run.

use std::collections::{BTreeMap, VecDeque};
use std::path::{Path, PathBuf};
use std::time::Duration;
use std::{fmt, io, thread};

use net::driver::{Link, LinkCommand, LinkError, LinkEvent, RelayAddr};
use net::wire::{ErrorCode, RelayError};
use oplog::Timestamp;
use oplog::store::{Store, StoreError};
use tokio::sync::{broadcast, mpsc, oneshot};

use super::{LiveNode, now};
use crate::command::{Answer, Command, CommandId};
use crate::error::CommandError;
use crate::event::{Effect, Event, RelayId, RequestId, Timer};
use crate::room::Room;
use crate::view::Notice;

/// Events handled before one sync.
const GROUP_MAX: usize = 64;
/// The index is flushed after so long without anything to do, so that the next start is fast.
const IDLE: Duration = Duration::from_secs(5);
/// How often a store that has failed is tried again when nobody asks for anything.
const MEND_EVERY: Duration = Duration::from_secs(5);

/// What wants the node itself, or hears why it cannot be had.
pub(super) type Work = Box<dyn FnOnce(Result<&mut LiveNode, CommandError>) + Send>;

/// Something for the node's thread.
pub(super) enum Job {
    /// A person's command.
    Command {
        command: Command,
        reply: oneshot::Sender<Result<Answer, CommandError>>,
    },
    /// Anything that is no command.
    Work(Work),
    /// The end.
    Shutdown(oneshot::Sender<()>),
}

impl fmt::Debug for Job {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Job")
    }
}

/// Starts the thread.
pub(super) fn start(
    node: LiveNode,
    dir: PathBuf,
    jobs: mpsc::Receiver<Job>,
    link: Option<Link>,
    notices: broadcast::Sender<Notice>,
) -> Result<(), io::Error> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()?;
    let driver = Driver {
        node,
        link,
        notices,
        relays: BTreeMap::new(),
        timers: BTreeMap::new(),
        replies: BTreeMap::new(),
        next_command: 0,
        waiting: disk_free(&dir)
            .into_iter()
            .chain([Event::Started])
            .collect(),
        dir,
        outgoing: VecDeque::new(),
        broken: None,
        mended: false,
        mended_at: None,
        stopping: None,
    };
    let name = "decent-node".to_owned();
    thread::Builder::new()
        .name(name)
        .spawn(move || runtime.block_on(driver.run(jobs)))?;
    Ok(())
}

struct Driver {
    node: LiveNode,
    /// The profile's folder: its disk is watched.
    dir: PathBuf,
    link: Option<Link>,
    notices: broadcast::Sender<Notice>,
    /// Names of relays on the network and in the node.
    relays: BTreeMap<net::RelayId, RelayId>,
    timers: BTreeMap<Timer, Timestamp>,
    replies: BTreeMap<CommandId, oneshot::Sender<Result<Answer, CommandError>>>,
    next_command: u64,
    waiting: Vec<Event>,
    /// What the network task has no room for yet. Bounded by what the node has in flight.
    outgoing: VecDeque<LinkCommand>,
    /// Why the store can neither be written nor read again. Until it can, the node takes no event:
    /// its memory holds nothing.
    broken: Option<Failure>,
    /// Whether nothing has succeeded since the store was mended.
    mended: bool,
    /// When it was mended last: all is asked of relays anew then, which must not go on without a rest.
    mended_at: Option<Timestamp>,
    stopping: Option<oneshot::Sender<()>>,
}

/// Why the store failed, as often as it must be told.
#[derive(Clone, Debug)]
enum Failure {
    Full,
    Damaged { what: String },
    Io { doing: &'static str, said: String },
}

impl Failure {
    fn of(error: &StoreError) -> Self {
        match error {
            StoreError::Full => Self::Full,
            StoreError::Damaged { what } => Self::Damaged { what: what.clone() },
            StoreError::Io { doing, source } => Self::Io {
                doing,
                said: source.to_string(),
            },
        }
    }

    fn told(&self) -> CommandError {
        let source = match self {
            Self::Full => StoreError::Full,
            Self::Damaged { what } => StoreError::Damaged { what: what.clone() },
            Self::Io { doing, said } => StoreError::Io {
                doing,
                source: said.clone().into(),
            },
        };
        CommandError::Store { source }
    }
}

enum Woken {
    Job(Option<Job>),
    Link(Option<LinkEvent>),
    Room,
    Timer,
    Idle,
    Mend,
}

impl Driver {
    async fn run(mut self, mut jobs: mpsc::Receiver<Job>) {
        let mut dirty = false;
        while self.stopping.is_none() {
            if !self.waiting.is_empty() && self.broken.is_none() {
                self.handle_group();
                self.send_outgoing();
                dirty = true;
                // Effects may have made events of their own.
                self.drain(&mut jobs);
                continue;
            }
            match self.wait(&mut jobs, dirty).await {
                Woken::Job(Some(job)) => self.take_job(job),
                Woken::Job(None) => break,
                Woken::Link(event) => self.take_link_event(event),
                Woken::Room => self.send_outgoing(),
                Woken::Timer => self.take_timers(),
                Woken::Mend => self.mend(),
                Woken::Idle => {
                    dirty = false;
                    if let Err(error) = self.node.store_mut().flush_idle() {
                        tracing::debug!(%error, "not flushed");
                        self.mend_if_due();
                    }
                }
            }
            self.drain(&mut jobs);
        }
        self.close().await;
    }

    async fn wait(&mut self, jobs: &mut mpsc::Receiver<Job>, dirty: bool) -> Woken {
        let next = self.timers.values().min().copied();
        let until = next.map(|at| Duration::from_millis(at.since(now())));
        let full = !self.outgoing.is_empty();
        if self.broken.is_some() {
            // Events of the network wait in its queue, which is bounded.
            return tokio::select! {
                job = jobs.recv() => Woken::Job(job),
                () = pause(Some(MEND_EVERY)) => Woken::Mend,
            };
        }
        let (events, room) = match &mut self.link {
            Some(link) => (Some(&mut link.events), Some(&link.commands)),
            None => (None, None),
        };
        tokio::select! {
            job = jobs.recv() => Woken::Job(job),
            event = recv(events) => Woken::Link(event),
            () = has_room(room), if full => Woken::Room,
            () = pause(until) => Woken::Timer,
            () = pause(Some(IDLE)), if dirty => Woken::Idle,
        }
    }

    /// Takes what else is there, without waiting: it shares the next sync.
    fn drain(&mut self, jobs: &mut mpsc::Receiver<Job>) {
        while self.waiting.len() < GROUP_MAX && self.stopping.is_none() {
            if let Ok(job) = jobs.try_recv() {
                self.take_job(job);
                continue;
            }
            if self.broken.is_some() {
                return;
            }
            match self.link.as_mut().map(|link| link.events.try_recv()) {
                Some(Ok(event)) => self.take_link_event(Some(event)),
                _ => break,
            }
        }
        self.take_timers();
    }

    fn take_job(&mut self, job: Job) {
        if self.broken.is_some() {
            // There may be room again.
            self.mend();
        }
        match job {
            Job::Command { command, reply } => {
                if let Some(failure) = &self.broken {
                    // Whoever asked may be gone.
                    drop(reply.send(Err(failure.told())));
                    return;
                }
                if self.node.room() < Room::Plenty {
                    // Whoever has just made room need not wait until it is looked at anyway.
                    self.waiting.extend(disk_free(&self.dir));
                }
                self.next_command += 1;
                let id = CommandId(self.next_command);
                self.replies.insert(id, reply);
                self.waiting.push(Event::Command { id, command });
            }
            Job::Work(work) => {
                work(match &self.broken {
                    Some(failure) => Err(failure.told()),
                    None => Ok(&mut self.node),
                });
                // What it read may have been damaged.
                self.mend_if_due();
            }
            Job::Shutdown(done) => self.stopping = Some(done),
        }
    }

    fn take_link_event(&mut self, event: Option<LinkEvent>) {
        let Some(event) = event else {
            // The network task has ended; without it there are no relays.
            self.link = None;
            for relay in self.relays.values() {
                self.waiting.push(Event::RelayDisconnected {
                    relay: *relay,
                    reason: "the network task has ended".to_owned(),
                });
            }
            return;
        };
        let named = |id: &net::RelayId| self.relays.get(id).copied();
        let event = match event {
            LinkEvent::Connected { relay } => named(&relay).map(Event::RelayConnected),
            LinkEvent::Disconnected { relay, reason } => {
                named(&relay).map(|relay| Event::RelayDisconnected { relay, reason })
            }
            LinkEvent::Response { relay, id, result } => {
                named(&relay).map(|relay| Event::RelayAnswered {
                    relay,
                    request: RequestId(id.0),
                    result: result.map_err(|error| relay_error(&error)),
                })
            }
            LinkEvent::Push { relay, push } => {
                named(&relay).map(|relay| Event::RelayPushed { relay, push })
            }
        };
        self.waiting.extend(event);
    }

    fn take_timers(&mut self) {
        let time = now();
        let due = self.timers.iter().filter(|(_, at)| **at <= time);
        let due: Vec<Timer> = due.map(|(timer, _)| *timer).collect();
        for timer in due {
            self.timers.remove(&timer);
            if timer == Timer::Tick {
                self.waiting.extend(disk_free(&self.dir));
            }
            self.waiting.push(Event::TimerExpired(timer));
        }
    }

    /// Handles what waits, syncs once, runs the effects.
    fn handle_group(&mut self) {
        let mut effects = Vec::new();
        let mut events = std::mem::take(&mut self.waiting).into_iter();
        while let Some(event) = events.next() {
            let (command, copy) = (commanded(&event), repeatable(&event));
            match self.node.handle(event, now()) {
                Ok(more) => effects.extend(more),
                Err(error) => {
                    // What is damaged is made again, once.
                    let again = matches!(error, StoreError::Damaged { .. }) && !self.mended;
                    let again = copy.filter(|_| again);
                    let refused = if again.is_some() { None } else { command };
                    let unseen = again.into_iter().chain(events);
                    return self.store_failed(refused, unseen.collect(), effects, &error);
                }
            }
        }
        match self.node.sync() {
            Ok(()) => {
                self.mended = false;
                for effect in effects {
                    self.run_effect(effect);
                }
                self.mend_if_due();
            }
            Err(error) => self.store_failed(None, Vec::new(), effects, &error),
        }
    }

    /// The store failed: whoever was refused is told, and memory is read from disk again. Commands
    /// that nobody had looked at wait for that. What was committed before is told once it is known
    /// to be there; its other effects begin anew, and so does all that relays had sent.
    fn store_failed(
        &mut self,
        refused: Option<CommandId>,
        unseen: Vec<Event>,
        committed: Vec<Effect>,
        error: &StoreError,
    ) {
        tracing::warn!(%error, "the store failed; reading it again");
        let failure = Failure::of(error);
        if let Some(id) = refused {
            self.reply(id, Err(failure.told()));
        }
        let mut kept = !self.node.store().is_poisoned() && self.node.sync().is_ok();
        self.broken = Some(failure.clone());
        // What fails again soon is tried again later, not without end.
        let soon = |at: Timestamp| u128::from(now().since(at)) < MEND_EVERY.as_millis();
        if !self.mended && !self.mended_at.is_some_and(soon) {
            self.mend();
            kept |= self.broken.is_none() && self.node.store().recovery().is_whole();
        }
        for effect in committed {
            match effect {
                Effect::Answer { id, result } => {
                    self.reply(
                        id,
                        if kept {
                            *result
                        } else {
                            Err(CommandError::Unsure)
                        },
                    );
                }
                // Nobody may be watching.
                Effect::Notify(notice) if kept => drop(self.notices.send(notice)),
                Effect::Connect { .. }
                | Effect::Disconnect(_)
                | Effect::Request { .. }
                | Effect::SetTimer { .. }
                | Effect::Notify(_) => {}
            }
        }
        for event in unseen {
            match commanded(&event) {
                Some(_) if self.broken.is_none() => self.waiting.push(event),
                Some(id) => self.reply(id, Err(failure.told())),
                None => {}
            }
        }
    }

    /// Reads the store again when it asks for it without an event having failed.
    fn mend_if_due(&mut self) {
        if self.broken.is_none() && self.node.store().is_poisoned() {
            self.mend();
        }
    }

    /// Opens the store again and reads everything from it. Connections begin anew: what was
    /// asked on them in the group that failed was never sent.
    fn mend(&mut self) {
        match self.read_again() {
            Ok(ended) => {
                self.broken = None;
                self.mended = true;
                self.mended_at = Some(now());
                ended.into_iter().for_each(|effect| self.run_effect(effect));
                self.waiting.extend(disk_free(&self.dir));
                self.waiting.push(Event::Started);
                self.outgoing.push_back(LinkCommand::Redial);
            }
            Err(error) => {
                tracing::warn!(%error, "the profile stays closed");
                self.broken = Some(Failure::of(&error));
            }
        }
    }

    fn read_again(&mut self) -> Result<Vec<Effect>, StoreError> {
        let ended = self.read_once()?;
        if self.node.store().is_poisoned() {
            // Reading came upon damage, and went past it.
            return self.read_once();
        }
        Ok(ended)
    }

    fn read_once(&mut self) -> Result<Vec<Effect>, StoreError> {
        let read_anew = self.node.store().is_poisoned();
        if read_anew {
            self.node.store_mut().resume()?;
        } else {
            self.node.store_mut().abandon();
        }
        let indexed = super::index_rest(self.node.store_mut())?;
        let effects = self.node.reload()?;
        if read_anew {
            for line in super::recovery_report(self.node.store(), indexed) {
                self.node.note_recovery(line);
            }
            super::note_losses(&mut self.node);
        }
        self.node.sync()?;
        Ok(effects)
    }

    fn run_effect(&mut self, effect: Effect) {
        match effect {
            Effect::Connect { relay, address } => self.connect(relay, &address),
            Effect::Disconnect(relay) => {
                if let Some(id) = self.network_name(relay) {
                    self.relays.remove(&id);
                    self.outgoing.push_back(LinkCommand::RemoveRelay(id));
                }
            }
            Effect::Request { relay, id, request } => {
                match self.network_name(relay).filter(|_| self.link.is_some()) {
                    Some(relay) => self.outgoing.push_back(LinkCommand::Request {
                        relay,
                        id: net::driver::RequestId(id.0),
                        request,
                    }),
                    None => self.waiting.push(Event::RelayAnswered {
                        relay,
                        request: id,
                        result: Err(relay_error(&LinkError::NotConnected)),
                    }),
                }
            }
            Effect::SetTimer { timer, at } => {
                self.timers.insert(timer, at);
            }
            Effect::Answer { id, result } => self.reply(id, *result),
            // Nobody may be watching.
            Effect::Notify(notice) => drop(self.notices.send(notice)),
        }
    }

    fn connect(&mut self, relay: RelayId, address: &str) {
        let refused = |reason: String| Event::RelayDisconnected { relay, reason };
        match address.parse::<RelayAddr>() {
            _ if self.link.is_none() => self.waiting.push(refused("offline".to_owned())),
            Ok(address) => {
                self.relays.insert(address.id(), relay);
                self.outgoing.push_back(LinkCommand::AddRelay(address));
            }
            Err(error) => self.waiting.push(refused(error.to_string())),
        }
    }

    fn network_name(&self, relay: RelayId) -> Option<net::RelayId> {
        self.relays
            .iter()
            .find(|(_, named)| **named == relay)
            .map(|(id, _)| *id)
    }

    /// Hands over what the network task has room for.
    fn send_outgoing(&mut self) {
        let Some(link) = &self.link else {
            self.outgoing.clear();
            return;
        };
        while let Some(command) = self.outgoing.pop_front() {
            if let Err(mpsc::error::TrySendError::Full(command)) = link.commands.try_send(command) {
                self.outgoing.push_front(command);
                break;
            }
        }
    }

    fn reply(&mut self, id: CommandId, result: Result<Answer, CommandError>) {
        if let Some(reply) = self.replies.remove(&id) {
            // Whoever asked may be gone.
            drop(reply.send(result));
        }
    }

    async fn close(mut self) {
        if let Some(link) = self.link.take() {
            // The task may have ended already; dropping both ends ends it too.
            drop(link.commands.try_send(LinkCommand::Shutdown));
            drop((link.commands, link.events));
            drop(link.task.await);
        }
        let flushed = self
            .node
            .sync()
            .and_then(|()| self.node.store_mut().flush_last());
        if let Err(error) = flushed {
            tracing::warn!(%error, "not flushed");
        }
        drop(self.node);
        if let Some(done) = self.stopping {
            // Whoever asked may be gone.
            let _gone = done.send(());
        }
    }
}

/// Tells how much is free for this user on the disk of a folder; nothing when the system does not say.
fn disk_free(dir: &Path) -> Option<Event> {
    let stat = rustix::fs::statvfs(dir).ok()?;
    let bytes = stat.f_bavail.saturating_mul(stat.f_frsize);
    Some(Event::DiskFree { bytes })
}

async fn recv(events: Option<&mut mpsc::Receiver<LinkEvent>>) -> Option<LinkEvent> {
    match events {
        Some(events) => events.recv().await,
        None => std::future::pending().await,
    }
}

async fn has_room(commands: Option<&mpsc::Sender<LinkCommand>>) {
    match commands {
        // The permit goes back at once; a closed queue wakes us too.
        Some(commands) => drop(commands.reserve().await),
        None => std::future::pending().await,
    }
}

async fn pause(until: Option<Duration>) {
    match until {
        Some(duration) => tokio::time::sleep(duration).await,
        None => std::future::pending().await,
    }
}

/// Returns a command that can be given once more, if it is no burden to keep it.
fn repeatable(event: &Event) -> Option<Event> {
    let Event::Command { id, command } = event else {
        return None;
    };
    let is_large = matches!(command, Command::Import { .. } | Command::Upload { .. });
    (!is_large).then(|| Event::Command {
        id: *id,
        command: command.clone(),
    })
}

const fn commanded(event: &Event) -> Option<CommandId> {
    if let Event::Command { id, .. } = event {
        Some(*id)
    } else {
        None
    }
}

const fn relay_error(error: &LinkError) -> RelayError {
    let code = match error {
        LinkError::Busy => ErrorCode::RateLimited,
        LinkError::NotConnected
        | LinkError::Disconnected
        | LinkError::Timeout
        | LinkError::Protocol(_) => ErrorCode::Internal,
    };
    RelayError {
        code,
        retry_after_ms: 1_000,
    }
}
