//! A device as a process: events, effects, timers, crashes and starts, as the real driver has them.

use crate::check::FORKED;
use node::view::Notice;
use node::{Answer, CommandError, CommandId, Effect, Event, StoreError};
use oplog::SpaceId;
use oplog::mutants::{Mutant, on};

use super::connection::relay_index;
use super::{Heal, Next, PINGS_MS, STARTS_MAX, World};
use crate::device::Device;
use crate::fault::Class;
use crate::queue::Millis;
use crate::storage::chain;
use crate::trace::Kind;

/// How long the driver rests when the store fails again, in milliseconds (`node::runtime::driver`).
const MEND_EVERY_MS: Millis = 5_000;

impl World {
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
        let begins = matches!(event, Event::Started);
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
        let failed = match handled {
            Err(error) => {
                self.store_failed(node, command, &[], &error);
                true
            }
            Ok(effects) => {
                let Some(running) = &mut self.device(node).node else {
                    return;
                };
                let synced = if on(Mutant::SyncSkipped) {
                    Ok(())
                } else {
                    running.sync()
                };
                match synced {
                    Ok(()) => {
                        self.run_effects(node, effects);
                        false
                    }
                    Err(error) => {
                        self.store_failed(node, command, &effects, &error);
                        true
                    }
                }
            }
        };
        if begins && failed {
            // The connections that it wished for at its start were not made: it starts once more.
            self.crash(node, false, Class::Kill);
        }
    }

    pub(super) fn store_failed(
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
        let (space, now) = (self.space, self.now());
        let device = self.device(node);
        for id in effects.iter().filter_map(answered).chain(command) {
            device.pending.remove(&id);
        }
        if device.node.is_none() {
            return;
        }
        device.changed = true;
        // The driver rests when the store fails again soon; here the process is down meanwhile.
        let soon = |at: Millis| now - at < MEND_EVERY_MS;
        if !device.mended_at.is_some_and(soon)
            && let Some(effects) = device.read_again()
        {
            device.mended_at = Some(now);
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

    pub(super) fn run_effects(&mut self, node: u16, effects: Vec<Effect>) {
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

    pub(super) fn noticed(&mut self, node: u16, notice: Notice) {
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
                self.check_accepted_by_all(node, &ops);
                self.check_not_early(node, &ops);
                self.check_prompt(node, &ops);
            }
            Notice::Gone { ops, .. } => {
                self.sometimes
                    .note("own ops were damaged before anybody had them");
                let device = self.device(node);
                for op in &ops {
                    device.accepted.remove(op);
                    device.acked.remove(op);
                }
                device.changed = true;
                if !device.damaged && !device.byzantine {
                    let what = format!("gives up {} own ops on a disk without damage", ops.len());
                    self.fail("S4", Some(node), what);
                }
            }
            Notice::Refused { op, rule, why, .. } => {
                self.sometimes.note_rule(rule);
                self.note(Some(node), None, Kind::Refused, op.as_bytes(), || {
                    format!("{} by {rule}: {why}", op.short())
                });
                self.check_refused(node, &op, rule);
            }
            Notice::Epoch { epoch, space } => {
                if Some(space) == self.space {
                    let device = self.device(node);
                    let stands = device.node.as_ref().and_then(|n| {
                        let of = n.spaces().into_iter().find(|s| s.id == space)?;
                        Some((of.epoch, of.epoch_number))
                    });
                    device.epochs_told.extend(stands);
                }
                self.note(Some(node), None, Kind::Epoch, epoch.as_bytes(), || {
                    epoch.short()
                });
            }
            Notice::Fork { parent, .. } => {
                self.sometimes.note(FORKED);
                self.note(Some(node), None, Kind::Epoch, parent.as_bytes(), || {
                    format!("fork at {}", parent.short())
                });
            }
            Notice::Joined { .. } => {
                self.sometimes.note("somebody came in by an invite");
                let now = self.now();
                self.device(node).joined_at.get_or_insert(now);
                self.note(Some(node), None, Kind::Epoch, b"joined", || {
                    "joined".to_owned()
                });
            }
            Notice::Removed { by, .. } => {
                self.sometimes.note("somebody learned that he was removed");
                self.memory.somebody_removed = true;
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

    pub(super) fn answered(
        &mut self,
        node: u16,
        id: CommandId,
        result: Result<Answer, CommandError>,
    ) {
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
                let now = self.now();
                self.device(node).joined_at = Some(now);
                self.device(node).reload_accepted(Some(space));
            }
            Ok(Answer::Invite { link, op }) => {
                self.links.push(link);
                self.device(node).acked.insert(op);
            }
            Ok(Answer::Motion(motion)) => self.motions.push(*motion),
            Ok(Answer::Op(op)) => {
                self.memory.somebody_removed |= act.removes();
                if matches!(act, crate::schedule::Act::Freeze { .. }) {
                    self.sometimes.note(crate::check::FROZEN);
                }
                if !matches!(act, crate::schedule::Act::Cheat { .. }) {
                    self.device(node).acked.insert(op);
                }
            }
            Ok(Answer::Joined { space }) => self.device(node).reload_accepted(Some(space)),
            Ok(_) => {}
            Err(error) => self.sometimes.note_error(&error),
        }
    }

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

    pub(super) fn wake(&mut self, node: u16, wake: u64) {
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

const fn answered(effect: &Effect) -> Option<CommandId> {
    match effect {
        Effect::Answer { id, .. } => Some(*id),
        _ => None,
    }
}
