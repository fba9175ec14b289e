//! The line between one device and one relay, in either direction.
//!
//! Frames of one connection may be lost, doubled, late and out of order, which is more than
//! the real transport does to them: it would report most of this as a request that failed.

use std::collections::{BTreeSet, VecDeque};

use node::RequestId;
use relay::ConnId;

use crate::config::Line;
use crate::fault::{Class, Fired};
use crate::queue::Millis;
use crate::rng::{Seed, Stream};

/// A connection as the device's network task sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Off,
    Dialing,
    Up(ConnId),
}

/// What a device's network task knows of one relay.
#[derive(Debug)]
pub(crate) struct Conn {
    /// The node asked for it.
    pub(crate) wanted: bool,
    pub(crate) state: State,
    /// Failed dials in a row.
    pub(crate) attempts: u32,
    /// Counts dials: older plans are void.
    pub(crate) dial: u64,
    pub(crate) in_flight: BTreeSet<RequestId>,
    pub(crate) clogged_until: Millis,
    pub(crate) dead_until: Millis,
    pub(crate) up: Way,
    pub(crate) down: Way,
    pub(crate) retry: Stream,
}

impl Conn {
    pub(crate) fn new(node: u16, relay: u16, seed: Seed) -> Self {
        Self {
            wanted: false,
            state: State::Off,
            attempts: 0,
            dial: 0,
            in_flight: BTreeSet::new(),
            clogged_until: 0,
            dead_until: 0,
            up: Way::new(&format!("link/n{node}>r{relay}"), seed),
            down: Way::new(&format!("link/r{relay}>n{node}"), seed),
            retry: seed.stream(&format!("link/n{node}>r{relay}/retry")),
        }
    }

    /// The next wait before dialling again: 250 ms, doubling to 30 s, shortened by up to half.
    pub(crate) fn next_wait(&mut self) -> Millis {
        let full = (250_u64 << self.attempts.min(16)).min(30_000);
        self.attempts = self.attempts.saturating_add(1);
        full - self.retry.below(full / 2 + 1)
    }
}

/// One direction of a line, with a stream for each thing that can happen to a frame.
#[derive(Debug)]
pub(crate) struct Way {
    loss: Stream,
    duplicate: Stream,
    delay: Stream,
    tail: Stream,
    busy_until: Millis,
    waiting: VecDeque<Millis>,
    last_arrival: Millis,
}

impl Way {
    fn new(name: &str, seed: Seed) -> Self {
        let stream = |what: &str| seed.stream(&format!("{name}/{what}"));
        Self {
            loss: stream("loss"),
            duplicate: stream("duplicate"),
            delay: stream("delay"),
            tail: stream("tail"),
            busy_until: 0,
            waiting: VecDeque::new(),
            last_arrival: 0,
        }
    }

    /// Sends a frame; returns when it arrives: never, once, or twice.
    pub(crate) fn send(
        &mut self,
        line: &Line,
        bytes: usize,
        now: Millis,
        not_before: Millis,
        fired: &mut Fired,
    ) -> Arrivals {
        if self.loss.chance(line.loss_ppm) {
            fired.note(Class::Loss);
            return Arrivals::default();
        }
        let mut sent = now;
        if let Some(on_the_line) = (bytes as u64 * 1000).checked_div(line.bytes_per_sec) {
            while self.waiting.front().is_some_and(|until| *until <= now) {
                self.waiting.pop_front();
            }
            if line.queue_frames > 0 && self.waiting.len() as u64 >= line.queue_frames {
                fired.note(Class::QueueFull);
                return Arrivals::default();
            }
            if self.busy_until > now {
                fired.note(Class::Bandwidth);
            }
            sent = self.busy_until.max(now) + on_the_line;
            self.busy_until = sent;
            self.waiting.push_back(sent);
        }
        let first = self.arrival(line, sent, not_before, fired);
        let second = if self.duplicate.chance(line.duplicate_ppm) {
            fired.note(Class::Duplicate);
            Some(self.arrival(line, sent, not_before, fired))
        } else {
            None
        };
        Arrivals(Some(first), second)
    }

    fn arrival(
        &mut self,
        line: &Line,
        sent: Millis,
        not_before: Millis,
        fired: &mut Fired,
    ) -> Millis {
        let mut extra = if line.delay_mean_ms > 0 {
            self.delay.exponential(line.delay_mean_ms)
        } else {
            0
        };
        if self.tail.chance(line.tail_ppm) {
            fired.note(Class::Tail);
            extra = (extra + line.delay_min_ms) * 50;
        }
        if extra > line.delay_min_ms {
            fired.note(Class::Delay);
        }
        let at = (sent + line.delay_min_ms + extra).max(not_before);
        if at < self.last_arrival {
            fired.note(Class::Reorder);
        }
        self.last_arrival = self.last_arrival.max(at);
        at
    }
}

/// When the copies of a frame arrive.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Arrivals(pub(crate) Option<Millis>, pub(crate) Option<Millis>);
