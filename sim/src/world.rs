//! The world: devices, relays and lines under virtual time, one thing after the other.
//!
//! [`World::step`] takes the next thing that happens. Nodes and relays are the production
//! cores; everything around them that the real drivers do (dial, time out, retry, sync, run
//! effects) is done here in virtual time, as the drivers do it: [`process`] for what runs on a
//! device, [`connection`] and [`frames`] for what lies between device and relay.

mod connection;
mod frames;
mod process;

use std::collections::{BTreeMap, BTreeSet};

use net::wire::{Push, Request, Response};
use node::quorum::Motion;
use node::{Event, InviteLink, RequestId};
use oplog::{ChannelId, OpId, SpaceId, Timestamp};
use relay::{ConnId, PushId};

use self::connection::address;
use self::frames::{Hashed, transport_error};
use crate::check::{Failure, Memory, Sometimes};
use crate::clock::START;
use crate::config::{Config, Line};
use crate::device::Device;
use crate::fault::{Class, Fired};
use crate::queue::{Millis, Queue};
use crate::relay_host::RelayHost;
use crate::rng::Seed;
use crate::schedule::{Entry, What};
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
    /// For the trace.
    hashed: Hashed,
    pub(crate) fired: Fired,
    pub(crate) sometimes: Sometimes,
    pub(crate) space: Option<SpaceId>,
    pub(crate) links: Vec<InviteLink>,
    /// What admins were asked to sign, copies with signatures too, the newest last.
    pub(crate) motions: Vec<Motion>,
    /// Ops that no honest node may ever accept, with the trick behind each.
    pub(crate) forged: BTreeMap<OpId, Class>,
    /// The furthest that an honest clock was ahead, in milliseconds.
    pub(crate) ahead_ms: u64,
    /// State hashes by set of ops (S1).
    pub(crate) states: BTreeMap<[u8; 32], (oplog::Digest, u16, Millis)>,
    pub(crate) memory: Memory,
    pub(crate) failure: Option<Failure>,
    pub(crate) delivered: u64,
    /// Those of them that another device had accepted before.
    pub(crate) taken: u64,
    pub(crate) frames: u64,
    pub(crate) bytes: u64,
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
            hashed: Hashed::default(),
            fired: Fired::default(),
            sometimes: Sometimes::default(),
            space: None,
            links: Vec::new(),
            motions: Vec::new(),
            forged: BTreeMap::new(),
            ahead_ms: 0,
            states: BTreeMap::new(),
            memory: Memory::default(),
            failure: None,
            delivered: 0,
            taken: 0,
            frames: 0,
            bytes: 0,
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

    /// Asking everybody costs as much as living: a dozen times, and again when things end.
    pub(crate) fn check_every(&self) -> Millis {
        (self.config.lasts_ms / 12).max(5_000)
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
