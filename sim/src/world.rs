//! The world: devices, relays and lines under virtual time, one thing after the other.
//!
//! [`World::step`] takes the next thing that happens. Nodes and relays are the production
//! cores; everything around them that the real drivers do (dial, time out, retry, sync, run
//! effects) is done here in virtual time, as the drivers do it.

use std::collections::{BTreeMap, BTreeSet};

use net::wire::{Push, Request, Response};
use node::view::Notice;
use node::{Answer, CommandError, CommandId, Effect, Event, InviteLink, RequestId, StoreError};
use oplog::{ChannelId, OpId, SpaceId, Timestamp};
use relay::{ConnId, PushId};

use crate::check::{Failure, Sometimes};
use crate::clock::START;
use crate::config::{Config, Line};
use crate::device::Device;
use crate::fault::{Class, Fired};
use crate::queue::{Millis, Queue};
use crate::relay_host::RelayHost;
use crate::rng::Seed;
use crate::schedule::{Entry, What};
use crate::storage::chain;
use crate::trace::{Kind, Trace};

/// Something that will happen.
#[derive(Debug)]
pub(crate) enum Next {
    /// An entry of the schedule is due.
    Entry(usize),
    /// A device's next timer may be due.
    Wake {
        node: u16,
        wake: u64,
    },
    Dial {
        node: u16,
        relay: u16,
        dial: u64,
    },
    Dialed {
        node: u16,
        relay: u16,
        dial: u64,
        refused: Option<&'static str>,
    },
    ToRelay {
        node: u16,
        relay: u16,
        conn: ConnId,
        frame: UpFrame,
    },
    ToNode {
        node: u16,
        relay: u16,
        conn: ConnId,
        frame: DownFrame,
    },
    /// A request has waited long enough.
    Timeout {
        node: u16,
        relay: u16,
        conn: ConnId,
        id: RequestId,
    },
    /// A push has waited long enough for its ack.
    PushLost {
        relay: u16,
        conn: ConnId,
        id: PushId,
    },
    /// Pings had time to find a dead connection.
    Pings {
        node: u16,
        relay: u16,
        conn: ConnId,
    },
    /// A relay's end of a connection learns that it is gone.
    Forget {
        relay: u16,
        conn: ConnId,
    },
    /// A request was made without a connection.
    Unsent {
        node: u16,
        relay: node::RelayId,
        id: RequestId,
    },
    /// A device's end of a connection learns that it broke.
    Broken {
        node: u16,
        relay: u16,
        conn: ConnId,
        why: &'static str,
    },
    Heal(Heal),
    /// Checkers that look at everything.
    Check,
}

/// The end of something that went wrong.
#[derive(Clone, Debug)]
pub(crate) enum Heal {
    Cut(u64),
    Flap {
        cut: u64,
        every_ms: Millis,
        until: Millis,
    },
    Awake {
        node: u16,
    },
    Boot {
        node: u16,
    },
    Thaw {
        node: u16,
    },
    Jump {
        node: u16,
        by_ms: i64,
    },
    Disk {
        node: u16,
    },
    RelayUp {
        relay: u16,
    },
}

/// From device to relay.
#[derive(Clone, Debug)]
pub(crate) enum UpFrame {
    Request(RequestId, Box<Request>),
    Ack(PushId),
}

/// From relay to device.
#[derive(Clone, Debug)]
pub(crate) enum DownFrame {
    Response(RequestId, Box<Response>),
    Push(PushId, Box<Push>),
}

/// A cut between some devices and some relays.
#[derive(Clone, Debug)]
pub(crate) struct Cut {
    pub(crate) class: Class,
    pub(crate) nodes: BTreeSet<u16>,
    pub(crate) relays: BTreeSet<u16>,
    pub(crate) up: bool,
    pub(crate) down: bool,
    pub(crate) active: bool,
}

/// Longest a request may take (`net::driver`).
pub(crate) const REQUEST_TIMEOUT_MS: Millis = 30_000;
/// Longest a dial may take (`net::driver`).
const DIAL_TIMEOUT_MS: Millis = 4_000;
/// When pings have found a dead connection (`net::driver`: every 15 s, 5 s to answer).
const PINGS_MS: Millis = 20_000;

/// Starts that may fail in a row while the disk fails.
const STARTS_MAX: u32 = 200;

/// Everything.
pub(crate) struct World {
    pub(crate) config: Config,
    pub(crate) seed: Seed,
    pub(crate) entries: Vec<Entry>,
    pub(crate) queue: Queue<Next>,
    pub(crate) devices: Vec<Device>,
    pub(crate) relays: Vec<RelayHost>,
    pub(crate) line: Line,
    pub(crate) cuts: BTreeMap<u64, Cut>,
    cuts_made: u64,
    conns_made: u64,
    pub(crate) trace: Trace,
    pub(crate) fired: Fired,
    pub(crate) sometimes: Sometimes,
    pub(crate) space: Option<SpaceId>,
    pub(crate) links: Vec<InviteLink>,
    /// Ops that no honest node may ever accept, with the trick behind each.
    pub(crate) forged: BTreeMap<OpId, Class>,
    /// The furthest that an honest clock was ahead, in milliseconds.
    pub(crate) ahead_ms: u64,
    /// State hashes by set of ops (S1).
    pub(crate) states: BTreeMap<[u8; 32], (oplog::Digest, u16, Millis)>,
    pub(crate) failure: Option<Failure>,
    pub(crate) delivered: u64,
    pub(crate) frames: u64,
    pub(crate) events: u64,
    /// Only these devices run; the rest is frozen for good (liveness phase).
    pub(crate) core: Option<BTreeSet<u16>>,
}

impl World {
    /// Makes a world in which nothing has happened yet.
    pub(crate) fn new(config: Config, entries: Vec<Entry>, rows_kept: usize) -> Self {
        let seed = Seed(config.seed);
        let mut devices: Vec<Device> = (0..config.nodes)
            .map(|n| Device::new(n, config.disks.contains(&n), config.relays, seed))
            .collect();
        for device in &mut devices {
            device.byzantine = config.byzantine.contains(&device.index);
        }
        let relays = (0..config.relays)
            .map(|r| RelayHost::new(r, seed))
            .collect();
        let line = if config.calm_ms > 0 {
            Line::good()
        } else {
            config.line.clone()
        };
        let mut queue = Queue::new();
        for (at, entry) in entries.iter().enumerate() {
            queue.plan(entry.at, Next::Entry(at));
        }
        let mut world = Self {
            seed,
            entries,
            queue,
            devices,
            relays,
            line,
            cuts: BTreeMap::new(),
            cuts_made: 0,
            conns_made: 0,
            trace: Trace::new(rows_kept),
            fired: Fired::default(),
            sometimes: Sometimes::default(),
            space: None,
            links: Vec::new(),
            forged: BTreeMap::new(),
            ahead_ms: 0,
            states: BTreeMap::new(),
            failure: None,
            delivered: 0,
            frames: 0,
            events: 0,
            core: None,
            config,
        };
        for node in 0..world.config.nodes {
            world.event(node, Event::Started);
            for relay in 0..world.config.relays {
                let address = address(relay);
                world.command(node, node::Command::AddRelay { address }, None);
            }
        }
        let every = world.check_every();
        world.queue.plan(every, Next::Check);
        world
    }

    pub(crate) fn check_every(&self) -> Millis {
        (self.config.lasts_ms / 40).max(5_000)
    }

    pub(crate) const fn now(&self) -> Millis {
        self.queue.now()
    }

    /// The true time.
    pub(crate) const fn time(&self) -> Timestamp {
        START.plus_ms(self.queue.now())
    }

    /// Lets things happen until `until`, or a checker speaks.
    pub(crate) fn run_until(&mut self, until: Millis) {
        while self.failure.is_none() {
            let Some(next) = self.queue.next(until) else {
                self.queue.advance(until);
                return;
            };
            self.events += 1;
            self.step(next);
        }
    }

    fn step(&mut self, next: Next) {
        match next {
            Next::Entry(at) => {
                let Some(entry) = self.entries.get(at).cloned() else {
                    return;
                };
                match entry.what {
                    What::Act { who, act } => self.act(who, act),
                    What::Fault(fault) => self.fault(fault),
                }
            }
            Next::Wake { node, wake } => self.wake(node, wake),
            Next::Dial { node, relay, dial } => self.dial(node, relay, dial),
            Next::Dialed {
                node,
                relay,
                dial,
                refused,
            } => self.dialed(node, relay, dial, refused),
            Next::ToRelay {
                node,
                relay,
                conn,
                frame,
            } => self.reach_relay(node, relay, conn, frame),
            Next::ToNode {
                node,
                relay,
                conn,
                frame,
            } => self.reach_node(node, relay, conn, frame),
            Next::Timeout {
                node,
                relay,
                conn,
                id,
            } => self.timeout(node, relay, conn, id),
            Next::PushLost { relay, conn, id } => {
                let answer = self.host(relay).push_done(conn, id, false);
                self.pushes(relay, answer.pushes);
            }
            Next::Pings { node, relay, conn } => {
                if self.is_up(node, relay, conn)
                    && !(self.passes(node, relay, true) && self.passes(node, relay, false))
                {
                    self.break_both(node, relay, conn, "pings were not answered");
                }
            }
            Next::Broken {
                node,
                relay,
                conn,
                why,
            } => self.broken(node, relay, conn, why),
            Next::Forget { relay, conn } => self.host(relay).disconnected(conn),
            Next::Unsent { node, relay, id } => {
                let result = Err(transport_error());
                self.event(
                    node,
                    Event::RelayAnswered {
                        relay,
                        request: id,
                        result,
                    },
                );
            }
            Next::Heal(heal) => self.heal(heal),
            Next::Check => {
                self.check_all();
                let at = self.now() + self.check_every();
                self.queue.plan(at, Next::Check);
            }
        }
    }

    pub(crate) fn device(&mut self, node: u16) -> &mut Device {
        &mut self.devices[usize::from(node)]
    }

    pub(crate) fn host(&mut self, relay: u16) -> &mut RelayHost {
        &mut self.relays[usize::from(relay)]
    }

    /// Says whether a device takes part now: not down, not asleep, not frozen for good.
    pub(crate) fn runs(&self, node: u16) -> bool {
        let in_core = self.core.as_ref().is_none_or(|core| core.contains(&node));
        in_core
            && !self.config.absent.contains(&node)
            && self.devices[usize::from(node)].runs(self.now())
    }

    // ---- the node and its effects

    /// Gives a node an event, as the driver does: handle, sync, then the effects.
    pub(crate) fn event(&mut self, node: u16, event: Event) {
        if !self.runs(node) {
            return;
        }
        let now = self.now();
        let command = match &event {
            Event::Command { id, .. } => Some(*id),
            _ => None,
        };
        let device = self.device(node);
        let local = device.clock.read(now);
        let honest = device.is_honest();
        if honest {
            self.ahead_ms = self.ahead_ms.max(local.since(self.time()));
        }
        let device = self.device(node);
        let Some(running) = &mut device.node else {
            return;
        };
        let handled = running.handle(event, local);
        if let Some(left) = device.dies_after {
            if left == 0 {
                // Committed, and the power goes before the sync.
                self.crash(node, true, Class::CrashUnsynced);
                return;
            }
            device.dies_after = Some(left - 1);
        }
        match handled {
            Err(error) => self.store_failed(node, command, &[], &error),
            Ok(effects) => {
                let Some(running) = &mut self.device(node).node else {
                    return;
                };
                match running.sync() {
                    Ok(()) => self.run_effects(node, effects),
                    Err(error) => self.store_failed(node, command, &effects, &error),
                }
            }
        }
    }

    fn store_failed(
        &mut self,
        node: u16,
        command: Option<CommandId>,
        effects: &[Effect],
        error: &StoreError,
    ) {
        let why = chain(error);
        self.note(Some(node), None, Kind::Disk, why.as_bytes(), || {
            format!("store: {why}")
        });
        self.sometimes.note("the store failed and was read again");
        let space = self.space;
        let device = self.device(node);
        for id in effects.iter().filter_map(answered).chain(command) {
            device.pending.remove(&id);
        }
        let Some(running) = &mut device.node else {
            return;
        };
        let resumed = running.store_mut().resume();
        let reloaded = running.reload();
        device.changed = true;
        if let (true, Ok(effects)) = (resumed, reloaded) {
            device.reload_accepted(space);
            self.run_effects(node, effects);
            return;
        }
        // The machine is off, or its disk does not come back: the process ends.
        let class = if device.machine.is_off() {
            Class::CrashMidWrite
        } else {
            Class::Kill
        };
        self.crash(node, class == Class::CrashMidWrite, class);
    }

    /// Ends a process; it starts again after a while.
    pub(crate) fn crash(&mut self, node: u16, power: bool, class: Class) {
        let now = self.now();
        let device = self.device(node);
        if device.node.is_none() {
            return;
        }
        let down_ms = device.rng.within(50, 20_000);
        device.crash(power);
        // Whatever starts again is awake.
        device.asleep_until = None;
        self.fired.note(class);
        self.note(
            Some(node),
            None,
            Kind::Process,
            class.what().as_bytes(),
            || format!("down: {}", class.what()),
        );
        // The other end sees a reset when the process died, and nothing when the power went.
        for relay in 0..self.config.relays {
            self.drop_conn(node, relay, if power { PINGS_MS } else { 50 });
        }
        self.queue
            .plan(now + down_ms, Next::Heal(Heal::Boot { node }));
    }

    /// Starts a process again.
    pub(crate) fn boot(&mut self, node: u16) {
        let (seed, now, space) = (self.seed, self.now(), self.space);
        let device = self.device(node);
        if device.node.is_some() || device.broken.is_some() {
            return;
        }
        match device.boot(seed, now) {
            Ok(()) => {
                device.failed_starts = 0;
                device.reload_accepted(space);
                let boots = device.boots;
                self.note(
                    Some(node),
                    None,
                    Kind::Process,
                    &boots.to_be_bytes(),
                    || format!("up again, start {boots}"),
                );
                self.check_after_start(node);
                self.event(node, Event::Started);
                self.plan_wake(node);
            }
            Err(why) if device.failed_starts < STARTS_MAX && device.machine.disk().is_some() => {
                // The disk failed just then: whoever uses it tries again.
                device.failed_starts += 1;
                self.sometimes
                    .note("a start failed with the disk and was tried again");
                self.note(Some(node), None, Kind::Disk, why.as_bytes(), || {
                    format!("does not open yet: {why}")
                });
                self.queue
                    .plan(now + 5_000, Next::Heal(Heal::Boot { node }));
            }
            Err(why) => {
                let text = why.clone();
                self.device(node).broken = Some(why);
                self.note(Some(node), None, Kind::Disk, text.as_bytes(), || {
                    format!("does not open: {text}")
                });
                self.check_broken(node, &text);
            }
        }
    }

    fn run_effects(&mut self, node: u16, effects: Vec<Effect>) {
        let mut timers = false;
        for effect in effects {
            match effect {
                Effect::Connect { relay, address } => {
                    let Some(index) = relay_index(&address) else {
                        continue;
                    };
                    let device = self.device(node);
                    device.relay_names.insert(relay, index);
                    if let Some(conn) = device.conns.get_mut(usize::from(index)) {
                        conn.wanted = true;
                    }
                    self.dial_soon(node, index, 0);
                }
                Effect::Disconnect(relay) => {
                    if let Some(index) = self.device(node).relay_names.remove(&relay) {
                        self.device(node).conns[usize::from(index)].wanted = false;
                        self.drop_conn(node, index, 50);
                    }
                }
                Effect::Request { relay, id, request } => {
                    self.send_request(node, relay, id, request)
                }
                Effect::SetTimer { timer, at } => {
                    self.device(node).timers.insert(timer, at);
                    timers = true;
                }
                Effect::Answer { id, result } => self.answered(node, id, *result),
                Effect::Notify(notice) => self.noticed(node, notice),
            }
        }
        if timers {
            self.plan_wake(node);
        }
    }

    /// Runs what a cheat's node wants done.
    pub(crate) fn rogue_effects(&mut self, node: u16, effects: Vec<Effect>) {
        self.run_effects(node, effects);
    }

    fn noticed(&mut self, node: u16, notice: Notice) {
        match notice {
            Notice::Ops { space, ops } => {
                let count = ops.len();
                self.delivered += count as u64;
                let mut bytes = Vec::with_capacity(count * 32);
                for op in &ops {
                    bytes.extend_from_slice(op.as_bytes());
                }
                let first = ops.first().copied();
                if Some(space) == self.space || self.space.is_none() {
                    let device = self.device(node);
                    device.accepted.extend(ops.iter().copied());
                    device.changed = true;
                }
                self.note(Some(node), None, Kind::Ops, &bytes, || {
                    format!(
                        "{count} from {}",
                        first.map_or_else(String::new, |op| op.short())
                    )
                });
                self.check_accepted(node, &ops);
            }
            Notice::Refused { op, rule, why, .. } => {
                self.sometimes.note_rule(rule);
                self.note(Some(node), None, Kind::Refused, op.as_bytes(), || {
                    format!("{} by {rule}: {why}", op.short())
                });
            }
            Notice::Epoch { epoch, space } => {
                if Some(space) == self.space {
                    let device = self.device(node);
                    let number = device.node.as_ref().and_then(|n| {
                        let all = n.spaces();
                        all.iter().find(|s| s.id == space).map(|s| s.epoch_number)
                    });
                    device.epoch_seen = device.epoch_seen.max(number.unwrap_or(0));
                }
                self.note(Some(node), None, Kind::Epoch, epoch.as_bytes(), || {
                    epoch.short()
                });
            }
            Notice::Fork { parent, .. } => {
                self.sometimes.note("two commits followed one epoch");
                self.note(Some(node), None, Kind::Epoch, parent.as_bytes(), || {
                    format!("fork at {}", parent.short())
                });
            }
            Notice::Joined { .. } => {
                self.sometimes.note("somebody came in by an invite");
                self.note(Some(node), None, Kind::Epoch, b"joined", || {
                    "joined".to_owned()
                });
            }
            Notice::Removed { by, .. } => {
                self.sometimes.note("somebody learned that he was removed");
                self.note(Some(node), None, Kind::Ops, by.as_bytes(), || {
                    "removed".to_owned()
                });
            }
            Notice::JoinRequest { .. } | Notice::Relay(_) | Notice::CaughtUp => {}
            _ => {}
        }
    }

    /// Gives a node a command.
    pub(crate) fn command(
        &mut self,
        node: u16,
        command: node::Command,
        act: Option<crate::schedule::Act>,
    ) {
        if !self.runs(node) {
            return;
        }
        let device = self.device(node);
        device.commands += 1;
        let id = CommandId(device.commands);
        if let Some(act) = act {
            device.pending.insert(id, act);
        }
        self.event(node, Event::Command { id, command });
    }

    fn answered(&mut self, node: u16, id: CommandId, result: Result<Answer, CommandError>) {
        let act = self.device(node).pending.remove(&id);
        let Some(act) = act else {
            return;
        };
        let text = match &result {
            Ok(answer) => format!("{answer:?}"),
            Err(error) => error.to_string(),
        };
        self.note(Some(node), None, Kind::Answer, text.as_bytes(), || {
            text.chars().take(120).collect()
        });
        match result {
            Ok(Answer::Space(space)) => {
                self.space = Some(space);
                self.device(node).reload_accepted(Some(space));
            }
            Ok(Answer::Invite { link, op }) => {
                self.links.push(link);
                self.device(node).acked.insert(op);
            }
            Ok(Answer::Op(op)) => {
                if !matches!(act, crate::schedule::Act::Cheat { .. }) {
                    self.device(node).acked.insert(op);
                }
            }
            Ok(Answer::Joined { space }) => self.device(node).reload_accepted(Some(space)),
            Ok(_) => {}
            Err(error) => self.sometimes.note_error(&error),
        }
    }

    // ---- timers

    /// Plans when the next timer of a device may run out.
    pub(crate) fn plan_wake(&mut self, node: u16) {
        let now = self.now();
        let device = self.device(node);
        device.wake += 1;
        let wake = device.wake;
        let Some(at) = device.timers.values().min().copied() else {
            return;
        };
        if device.clock.is_frozen() && device.clock.until(at, now) > 0 {
            // Planned again when the clock runs.
            return;
        }
        let mut wait = device.clock.until(at, now);
        if let Some(asleep) = device.asleep_until {
            wait = wait.max(asleep.saturating_sub(now));
        }
        self.queue.plan(now + wait, Next::Wake { node, wake });
    }

    fn wake(&mut self, node: u16, wake: u64) {
        let now = self.now();
        let device = self.device(node);
        if device.wake != wake || !self.runs(node) {
            return;
        }
        let device = self.device(node);
        let local = device.clock.read(now);
        let due: Vec<node::Timer> = device
            .timers
            .iter()
            .filter(|(_, at)| **at <= local)
            .map(|(timer, _)| *timer)
            .collect();
        for timer in due {
            if self.device(node).timers.remove(&timer).is_none() {
                continue;
            }
            let text = format!("{timer:?}");
            self.note(Some(node), None, Kind::Timer, text.as_bytes(), || {
                text.clone()
            });
            self.event(node, Event::TimerExpired(timer));
            // The driver does this when nothing happens for a while.
            if timer == node::Timer::Tick
                && let Some(running) = &mut self.device(node).node
                && let Err(error) = running.store_mut().flush_idle()
            {
                self.store_failed(node, None, &[], &error);
            }
        }
        self.plan_wake(node);
    }

    // ---- connections

    fn dial_soon(&mut self, node: u16, relay: u16, after: Millis) {
        let at = self.now() + after;
        let conn = &mut self.device(node).conns[usize::from(relay)];
        if conn.state != crate::line::State::Off || !conn.wanted {
            return;
        }
        conn.state = crate::line::State::Dialing;
        conn.dial += 1;
        let dial = conn.dial;
        self.queue.plan(at, Next::Dial { node, relay, dial });
    }

    fn dial(&mut self, node: u16, relay: u16, dial: u64) {
        let now = self.now();
        if self.device(node).conns[usize::from(relay)].dial != dial {
            return;
        }
        if !self.runs(node) {
            // Whoever wakes it dials.
            self.device(node).conns[usize::from(relay)].state = crate::line::State::Off;
            return;
        }
        let rtt = 2 * (self.line.delay_min_ms + self.line.delay_mean_ms / 2);
        let passes = self.passes(node, relay, true) && self.passes(node, relay, false);
        let (wait, refused) = if !passes || rtt > DIAL_TIMEOUT_MS {
            (DIAL_TIMEOUT_MS, Some("timed out"))
        } else if !self.relays[usize::from(relay)].up {
            (rtt, Some("connection refused"))
        } else {
            (rtt, None)
        };
        self.queue.plan(
            now + wait,
            Next::Dialed {
                node,
                relay,
                dial,
                refused,
            },
        );
    }

    fn dialed(&mut self, node: u16, relay: u16, dial: u64, refused: Option<&'static str>) {
        let time = self.time();
        let conn = &mut self.device(node).conns[usize::from(relay)];
        if conn.dial != dial {
            return;
        }
        conn.state = crate::line::State::Off;
        if !self.runs(node) {
            return;
        }
        let mut refused = refused;
        self.conns_made += 1;
        let id = ConnId(self.conns_made);
        if refused.is_none() && !self.host(relay).connected(id, node, time) {
            refused = Some("the relay is full or gone");
        }
        let named = self.relay_name(node, relay);
        let why = refused.unwrap_or("up");
        self.note(Some(node), Some(relay), Kind::Link, why.as_bytes(), || {
            why.to_owned()
        });
        let conn = &mut self.device(node).conns[usize::from(relay)];
        match refused {
            None => {
                conn.state = crate::line::State::Up(id);
                conn.attempts = 0;
                conn.in_flight.clear();
                if let Some(relay) = named {
                    self.event(node, Event::RelayConnected(relay));
                }
            }
            Some(reason) => {
                let wait = conn.next_wait();
                if let Some(relay) = named {
                    let reason = reason.to_owned();
                    self.event(node, Event::RelayDisconnected { relay, reason });
                }
                self.dial_soon(node, relay, wait);
            }
        }
    }

    /// The device's end is gone; the relay learns of it after a while.
    pub(crate) fn drop_conn(&mut self, node: u16, relay: u16, after: Millis) {
        let at = self.now() + after;
        let conn = &mut self.device(node).conns[usize::from(relay)];
        conn.dial += 1;
        if let crate::line::State::Up(id) = conn.state {
            self.queue.plan(at, Next::Forget { relay, conn: id });
        }
        let conn = &mut self.device(node).conns[usize::from(relay)];
        conn.state = crate::line::State::Off;
        conn.attempts = 0;
        conn.in_flight.clear();
    }

    /// Both ends learn that a connection is gone.
    pub(crate) fn break_both(&mut self, node: u16, relay: u16, conn: ConnId, why: &'static str) {
        self.host(relay).disconnected(conn);
        let at = self.now();
        self.queue.plan(
            at,
            Next::Broken {
                node,
                relay,
                conn,
                why,
            },
        );
    }

    fn broken(&mut self, node: u16, relay: u16, id: ConnId, why: &'static str) {
        let now = self.now();
        if !self.is_up(node, relay, id) {
            return;
        }
        if let Some(asleep) = self.device(node).asleep_until.filter(|until| *until > now) {
            self.queue.plan(
                asleep,
                Next::Broken {
                    node,
                    relay,
                    conn: id,
                    why,
                },
            );
            return;
        }
        self.note(Some(node), Some(relay), Kind::Link, why.as_bytes(), || {
            format!("down: {why}")
        });
        let conn = &mut self.device(node).conns[usize::from(relay)];
        conn.state = crate::line::State::Off;
        let unanswered = std::mem::take(&mut conn.in_flight);
        let wait = conn.next_wait();
        if let Some(name) = self.relay_name(node, relay) {
            for request in unanswered {
                let result = Err(transport_error());
                self.event(
                    node,
                    Event::RelayAnswered {
                        relay: name,
                        request,
                        result,
                    },
                );
            }
            let reason = why.to_owned();
            self.event(
                node,
                Event::RelayDisconnected {
                    relay: name,
                    reason,
                },
            );
        }
        self.dial_soon(node, relay, wait);
    }

    /// The relay forgot every connection: devices learn of it.
    pub(crate) fn relay_gone(&mut self, relay: u16, why: &'static str) {
        let at = self.now() + self.line.delay_min_ms;
        let conns: Vec<(ConnId, u16)> = self
            .host(relay)
            .conns
            .iter()
            .map(|(c, n)| (*c, *n))
            .collect();
        for (conn, node) in conns {
            self.host(relay).disconnected(conn);
            self.queue.plan(
                at,
                Next::Broken {
                    node,
                    relay,
                    conn,
                    why,
                },
            );
        }
    }

    /// Dials every relay again at once, as after a wake.
    pub(crate) fn redial(&mut self, node: u16) {
        for relay in 0..self.config.relays {
            let conn = &mut self.device(node).conns[usize::from(relay)];
            conn.attempts = 0;
            if conn.state == crate::line::State::Dialing {
                conn.dial += 1;
                conn.state = crate::line::State::Off;
            }
            self.dial_soon(node, relay, 0);
        }
    }

    pub(crate) fn is_up(&self, node: u16, relay: u16, id: ConnId) -> bool {
        self.devices[usize::from(node)].conns[usize::from(relay)].state
            == crate::line::State::Up(id)
    }

    /// Says whether frames pass, up to the relay or down from it.
    pub(crate) fn passes(&self, node: u16, relay: u16, up: bool) -> bool {
        let conn = &self.devices[usize::from(node)].conns[usize::from(relay)];
        if conn.dead_until > self.now() {
            return false;
        }
        !self.cuts.values().any(|cut| {
            cut.active
                && cut.nodes.contains(&node)
                && cut.relays.contains(&relay)
                && if up { cut.up } else { cut.down }
        })
    }

    fn relay_name(&self, node: u16, relay: u16) -> Option<node::RelayId> {
        let names = &self.devices[usize::from(node)].relay_names;
        names
            .iter()
            .find(|(_, index)| **index == relay)
            .map(|(name, _)| *name)
    }

    /// Adds a cut; connections across it are found dead by pings.
    pub(crate) fn cut(&mut self, cut: Cut) -> u64 {
        self.cuts_made += 1;
        let id = self.cuts_made;
        self.cuts.insert(id, cut);
        self.ping_cut(id);
        id
    }

    pub(crate) fn ping_cut(&mut self, id: u64) {
        let Some(cut) = self.cuts.get(&id).cloned() else {
            return;
        };
        let at = self.now() + PINGS_MS;
        for node in &cut.nodes {
            for relay in &cut.relays {
                let conn = &self.devices[usize::from(*node)].conns[usize::from(*relay)];
                if let crate::line::State::Up(conn) = conn.state {
                    self.queue.plan(
                        at,
                        Next::Pings {
                            node: *node,
                            relay: *relay,
                            conn,
                        },
                    );
                }
            }
        }
    }

    // ---- frames

    fn send_request(&mut self, node: u16, relay: node::RelayId, id: RequestId, request: Request) {
        let index = self.device(node).relay_names.get(&relay).copied();
        let state = index.map(|index| self.device(node).conns[usize::from(index)].state);
        let (Some(index), Some(crate::line::State::Up(conn))) = (index, state) else {
            let at = self.now();
            self.queue.plan(at, Next::Unsent { node, relay, id });
            return;
        };
        self.device(node).conns[usize::from(index)]
            .in_flight
            .insert(id);
        let at = self.now() + REQUEST_TIMEOUT_MS;
        self.queue.plan(
            at,
            Next::Timeout {
                node,
                relay: index,
                conn,
                id,
            },
        );
        self.up(node, index, conn, UpFrame::Request(id, Box::new(request)));
    }

    fn timeout(&mut self, node: u16, relay: u16, conn: ConnId, id: RequestId) {
        if !self.is_up(node, relay, conn) || !self.runs(node) {
            return;
        }
        if self.device(node).conns[usize::from(relay)]
            .in_flight
            .remove(&id)
            && let Some(name) = self.relay_name(node, relay)
        {
            let result = Err(transport_error());
            self.event(
                node,
                Event::RelayAnswered {
                    relay: name,
                    request: id,
                    result,
                },
            );
        }
    }

    fn up(&mut self, node: u16, relay: u16, conn: ConnId, frame: UpFrame) {
        let bytes = match &frame {
            UpFrame::Request(_, request) => {
                net::wire::encode_call(net::wire::Call::Request((**request).clone()))
            }
            UpFrame::Ack(_) => Vec::new(),
        };
        self.check_frame(node, &bytes);
        let (a, b) = self.carry(node, relay, true, &bytes, || match &frame {
            UpFrame::Request(_, request) => request_name(request),
            UpFrame::Ack(_) => "ack".to_owned(),
        });
        if let Some(at) = b {
            self.queue.plan(
                at,
                Next::ToRelay {
                    node,
                    relay,
                    conn,
                    frame: frame.clone(),
                },
            );
        }
        if let Some(at) = a {
            self.queue.plan(
                at,
                Next::ToRelay {
                    node,
                    relay,
                    conn,
                    frame,
                },
            );
        }
    }

    fn down(&mut self, node: u16, relay: u16, conn: ConnId, frame: DownFrame) {
        let bytes = match &frame {
            DownFrame::Response(_, response) => {
                net::wire::encode_reply(net::wire::Reply::Response((**response).clone()))
            }
            DownFrame::Push(_, push) => {
                net::wire::encode_call(net::wire::Call::Push((**push).clone()))
            }
        };
        let (a, b) = self.carry(node, relay, false, &bytes, || match &frame {
            DownFrame::Response(_, response) => response_name(response),
            DownFrame::Push(_, push) => push_name(push),
        });
        if let Some(at) = b {
            self.queue.plan(
                at,
                Next::ToNode {
                    node,
                    relay,
                    conn,
                    frame: frame.clone(),
                },
            );
        }
        if let Some(at) = a {
            self.queue.plan(
                at,
                Next::ToNode {
                    node,
                    relay,
                    conn,
                    frame,
                },
            );
        }
    }

    /// Puts a frame on the line; returns when its copies arrive.
    fn carry(
        &mut self,
        node: u16,
        relay: u16,
        up: bool,
        bytes: &[u8],
        name: impl Fn() -> String,
    ) -> (Option<Millis>, Option<Millis>) {
        self.frames += 1;
        let now = self.now();
        let passes = self.passes(node, relay, up);
        let ways = (Some(node), Some(relay));
        if !passes {
            let cut = self
                .cuts
                .values()
                .find(|c| c.active && c.nodes.contains(&node) && c.relays.contains(&relay));
            let class = cut.map_or(Class::HalfOpen, |c| c.class);
            self.fired.note(class);
            let text = if up { "up " } else { "down " };
            self.note(ways.0, ways.1, Kind::Lost, bytes, || {
                format!("{text}{}", name())
            });
            return (None, None);
        }
        let line = self.line.clone();
        let device = &mut self.devices[usize::from(node)];
        let conn = &mut device.conns[usize::from(relay)];
        let clogged = conn.clogged_until;
        let way = if up { &mut conn.up } else { &mut conn.down };
        if clogged > now {
            self.fired.note(Class::Clog);
        }
        let arrivals = way.send(&line, bytes.len(), now, clogged, &mut self.fired);
        let kind = if arrivals.0.is_some() {
            Kind::Send
        } else {
            Kind::Lost
        };
        let text = if up { "up " } else { "down " };
        let when = arrivals.0;
        self.note_until(ways.0, ways.1, kind, when, bytes, || {
            let after = when.map_or_else(String::new, |at| format!(" +{} ms", at - now));
            format!("{text}{}{after}", name())
        });
        (arrivals.0, arrivals.1)
    }

    fn reach_relay(&mut self, node: u16, relay: u16, conn: ConnId, frame: UpFrame) {
        let (now, time) = (self.now(), self.time());
        if !self.relays[usize::from(relay)].conns.contains_key(&conn) {
            // The machine at the other end knows no such connection and says so.
            let (at, why) = (now + self.line.delay_min_ms, "reset by the other end");
            self.queue.plan(
                at,
                Next::Broken {
                    node,
                    relay,
                    conn,
                    why,
                },
            );
            return;
        }
        match frame {
            UpFrame::Ack(id) => {
                let answer = self.host(relay).push_done(conn, id, true);
                self.pushes(relay, answer.pushes);
            }
            UpFrame::Request(id, request) => {
                let host = &mut self.relays[usize::from(relay)];
                match host.before(&request, now, &mut self.fired) {
                    crate::relay_host::Fate::Silence => {}
                    crate::relay_host::Fate::Instead(response) => {
                        self.down(
                            node,
                            relay,
                            conn,
                            DownFrame::Response(id, Box::new(response)),
                        );
                    }
                    crate::relay_host::Fate::Handle => {
                        let answer = host.handle(conn, *request, time);
                        if let Some(mut response) = answer.response {
                            let host = &mut self.relays[usize::from(relay)];
                            host.twist_response(node, &mut response, now, &mut self.fired);
                            let frame = DownFrame::Response(id, Box::new(response));
                            self.down(node, relay, conn, frame);
                        }
                        self.pushes(relay, answer.pushes);
                    }
                }
            }
        }
    }

    fn pushes(&mut self, relay: u16, pushes: Vec<relay::Pushed>) {
        let now = self.now();
        for pushed in pushes {
            let host = &mut self.relays[usize::from(relay)];
            let Some(node) = host.conns.get(&pushed.conn).copied() else {
                continue;
            };
            let mut push = pushed.push;
            host.twist_push(node, &mut push, now, &mut self.fired);
            let at = now + REQUEST_TIMEOUT_MS;
            self.queue.plan(
                at,
                Next::PushLost {
                    relay,
                    conn: pushed.conn,
                    id: pushed.id,
                },
            );
            self.down(
                node,
                relay,
                pushed.conn,
                DownFrame::Push(pushed.id, Box::new(push)),
            );
        }
    }

    fn reach_node(&mut self, node: u16, relay: u16, conn: ConnId, frame: DownFrame) {
        let now = self.now();
        if !self.is_up(node, relay, conn) {
            return;
        }
        if let Some(asleep) = self.device(node).asleep_until.filter(|until| *until > now) {
            // Left in the system's buffers until the app runs again.
            self.queue.plan(
                asleep,
                Next::ToNode {
                    node,
                    relay,
                    conn,
                    frame,
                },
            );
            return;
        }
        let Some(name) = self.relay_name(node, relay) else {
            return;
        };
        match frame {
            DownFrame::Response(id, response) => {
                self.note(
                    Some(node),
                    Some(relay),
                    Kind::Recv,
                    &id.0.to_be_bytes(),
                    || response_name(&response),
                );
                self.device(node).conns[usize::from(relay)]
                    .in_flight
                    .remove(&id);
                let event = Event::RelayAnswered {
                    relay: name,
                    request: id,
                    result: Ok(*response),
                };
                self.event(node, event);
            }
            DownFrame::Push(id, push) => {
                self.note(
                    Some(node),
                    Some(relay),
                    Kind::Recv,
                    &id.0.to_be_bytes(),
                    || push_name(&push),
                );
                self.up(node, relay, conn, UpFrame::Ack(id));
                self.event(
                    node,
                    Event::RelayPushed {
                        relay: name,
                        push: *push,
                    },
                );
            }
        }
    }

    // ---- telling

    pub(crate) fn note(
        &mut self,
        node: Option<u16>,
        relay: Option<u16>,
        kind: Kind,
        bytes: &[u8],
        text: impl FnOnce() -> String,
    ) {
        self.note_until(node, relay, kind, None, bytes, text);
    }

    /// Notes something that has an end.
    pub(crate) fn note_until(
        &mut self,
        node: Option<u16>,
        relay: Option<u16>,
        kind: Kind,
        until: Option<Millis>,
        bytes: &[u8],
        text: impl FnOnce() -> String,
    ) {
        let about = (self.queue.now(), node, relay, kind);
        self.trace.note(about, until, bytes, text);
    }

    /// Notes that a rule of the simulator was broken; the first one ends the run.
    pub(crate) fn fail(&mut self, checker: &'static str, node: Option<u16>, what: String) {
        if self.failure.is_some() {
            return;
        }
        self.note(node, None, Kind::Check, what.as_bytes(), || {
            format!("{checker}: {what}")
        });
        self.failure = Some(Failure {
            checker: checker.to_owned(),
            node,
            at: self.now(),
            row: self.trace.count(),
            what,
        });
    }

    /// Channels that a device sees.
    pub(crate) fn channels(&self, node: u16) -> Vec<ChannelId> {
        let (Some(space), Some(running)) = (self.space, &self.devices[usize::from(node)].node)
        else {
            return Vec::new();
        };
        let channels = running.channels(space).unwrap_or_default();
        channels.into_iter().map(|channel| channel.id).collect()
    }
}

impl Device {
    /// Asks the node which ops it holds: after a start it tells only of new ones.
    pub(crate) fn reload_accepted(&mut self, space: Option<SpaceId>) {
        if let Some(space) = space {
            self.accepted = self.ops(space);
            self.changed = true;
        }
    }
}

/// The address of a relay in a world.
pub(crate) fn address(relay: u16) -> String {
    format!("/sim/{relay}/p2p/{relay}")
}

fn relay_index(address: &str) -> Option<u16> {
    address.rsplit('/').next()?.parse().ok()
}

const fn answered(effect: &Effect) -> Option<CommandId> {
    match effect {
        Effect::Answer { id, .. } => Some(*id),
        _ => None,
    }
}

/// What the driver says when the transport failed.
fn transport_error() -> net::wire::RelayError {
    net::wire::RelayError {
        code: net::wire::ErrorCode::Internal,
        retry_after_ms: 1_000,
    }
}

fn request_name(request: &Request) -> String {
    let name = match request {
        Request::Ping => "ping",
        Request::Put(_) => "put",
        Request::Subscribe { .. } => "subscribe",
        Request::Unsubscribe { .. } => "unsubscribe",
        Request::Fetch { .. } => "fetch",
        Request::Neg { .. } => "neg",
        Request::FetchIds { .. } => "fetch-ids",
        Request::PutChunk { .. } => "put-chunk",
        Request::GetChunk { .. } => "get-chunk",
        Request::HasChunks { .. } => "has-chunks",
        Request::DeleteChunk { .. } => "delete-chunk",
        Request::MboxNew { .. } => "mbox-new",
        Request::MboxPut { .. } => "mbox-put",
        Request::MboxGet { .. } => "mbox-get",
        Request::MboxDel { .. } => "mbox-del",
        Request::MboxSubscribe { .. } => "mbox-subscribe",
    };
    name.to_owned()
}

fn response_name(response: &Response) -> String {
    match response {
        Response::Ok => "ok".to_owned(),
        Response::Error(error) => format!("error {}", error.code),
        Response::Pong { .. } => "pong".to_owned(),
        Response::Filed { .. } => "filed".to_owned(),
        Response::Page { items, more } => {
            format!("page of {}{}", items.len(), if *more { "+" } else { "" })
        }
        Response::Neg { .. } => "neg".to_owned(),
        Response::Chunk { .. } => "chunk".to_owned(),
        Response::Has { .. } => "has".to_owned(),
        Response::Mailbox { .. } => "mailbox".to_owned(),
    }
}

fn push_name(push: &Push) -> String {
    match push {
        Push::Envelopes { items, .. } => format!("push of {}", items.len()),
        Push::Behind { .. } => "behind".to_owned(),
        Push::Mail { items, .. } => format!("mail of {}", items.len()),
        Push::MailBehind { .. } => "mail behind".to_owned(),
    }
}
