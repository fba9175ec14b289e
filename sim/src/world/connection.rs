//! Connections between devices and relays: dialling, pings, breaking, and what cuts them off.

use node::Event;
use relay::ConnId;

use super::frames::transport_error;
use super::{Cut, DIAL_TIMEOUT_MS, Next, PINGS_MS, World};
use crate::queue::Millis;
use crate::trace::Kind;

impl World {
    pub(super) fn dial_soon(&mut self, node: u16, relay: u16, after: Millis) {
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

    pub(super) fn dial(&mut self, node: u16, relay: u16, dial: u64) {
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

    pub(super) fn dialed(
        &mut self,
        node: u16,
        relay: u16,
        dial: u64,
        refused: Option<&'static str>,
    ) {
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

    pub(super) fn broken(&mut self, node: u16, relay: u16, id: ConnId, why: &'static str) {
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

    pub(super) fn relay_name(&self, node: u16, relay: u16) -> Option<node::RelayId> {
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
}

/// The address of a relay in a world.
pub(crate) fn address(relay: u16) -> String {
    format!("/sim/{relay}/p2p/{relay}")
}

pub(super) fn relay_index(address: &str) -> Option<u16> {
    address.rsplit('/').next()?.parse().ok()
}
