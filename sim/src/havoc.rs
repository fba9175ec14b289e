//! Making things go wrong, and ending it.

use crate::fault::Class;
use crate::line::State;
use crate::queue::Millis;
use crate::rng::Stream;
use crate::schedule::{Fault, Way};
use crate::trace::Kind;
use crate::world::{Cut, Heal, Next, World};

impl World {
    /// Makes something go wrong.
    pub(crate) fn fault(&mut self, fault: Fault) {
        let text = format!("{fault:?}");
        let about = crate::schedule::What::Fault(fault.clone()).node();
        let now = self.now();
        let until = fault.lasts_ms().map(|ms| now + ms);
        let bytes = text.as_bytes();
        self.note_until(about, None, Kind::Fault, until, bytes, || text.clone());
        match fault {
            Fault::Cut {
                class,
                nodes,
                relays,
                way,
                for_ms,
            } => {
                let flapping = class == Class::PartitionFlapping;
                let cut = Cut {
                    class,
                    nodes,
                    relays,
                    up: way != Way::Down,
                    down: way != Way::Up,
                    active: true,
                };
                let cut = self.cut(cut);
                let heal = if flapping {
                    let every_ms = 1_000 + now % 29_000;
                    let until = now + for_ms;
                    self.queue.plan(
                        now + every_ms,
                        Next::Heal(Heal::Flap {
                            cut,
                            every_ms,
                            until,
                        }),
                    );
                    Heal::Cut(cut)
                } else {
                    Heal::Cut(cut)
                };
                self.queue.plan(now + for_ms, Next::Heal(heal));
            }
            Fault::Clog {
                node,
                relay,
                for_ms,
            } => {
                self.device(node).conns[usize::from(relay)].clogged_until = now + for_ms;
            }
            Fault::HalfOpen {
                node,
                relay,
                for_ms,
            } => {
                let conn = &mut self.device(node).conns[usize::from(relay)];
                conn.dead_until = now + for_ms;
                if let State::Up(conn) = conn.state {
                    // Nobody pings: the whole time passes before either end finds out.
                    let why = "the connection was dead for long";
                    self.queue.plan(
                        now + for_ms,
                        Next::Broken {
                            node,
                            relay,
                            conn,
                            why,
                        },
                    );
                    self.queue.plan(now + for_ms, Next::Forget { relay, conn });
                }
            }
            Fault::Reset { node, relay } => {
                let conn = &self.device(node).conns[usize::from(relay)];
                if let State::Up(id) = conn.state {
                    self.fired.note(Class::Reset);
                    self.break_both(node, relay, id, "reset");
                }
            }
            Fault::Suspend {
                class,
                node,
                for_ms,
            } => {
                let device = self.device(node);
                if device.node.is_none() {
                    return;
                }
                device.asleep_until = Some(now + for_ms);
                self.fired.note(class);
                for relay in 0..self.config.relays {
                    // The other end finds out by pings; longer sleeps find the connection gone.
                    if let State::Up(conn) = self.device(node).conns[usize::from(relay)].state
                        && for_ms > 20_000
                    {
                        self.queue.plan(now + 20_000, Next::Forget { relay, conn });
                        let why = "gone while asleep";
                        self.queue.plan(
                            now + for_ms,
                            Next::Broken {
                                node,
                                relay,
                                conn,
                                why,
                            },
                        );
                    }
                }
                self.queue
                    .plan(now + for_ms, Next::Heal(Heal::Awake { node }));
            }
            Fault::Crash {
                class,
                node,
                after,
                down_ms,
            } => self.crash_fault(class, node, after, down_ms),
            Fault::Snapshot { node } => {
                let backed_up = self.config.on.contains(&Class::Restore);
                let device = self.device(node);
                if let Some(running) = &mut device.node {
                    device.copy = Some(device.machine.copy(running.store()));
                    if backed_up {
                        device.backup = running.backup().ok();
                    }
                }
            }
            Fault::Clone { node } => {
                if self.device(node).copy.is_none() {
                    return;
                }
                self.crash(node, false, Class::Kill);
                if self.device(node).roll_back() {
                    self.fired.note(Class::Clone);
                }
            }
            Fault::Restore { node } => {
                let (seed, space) = (self.seed, self.space);
                if self.device(node).backup.is_none() {
                    return;
                }
                self.crash(node, true, Class::PowerCut);
                let device = self.device(node);
                match device.restore(seed, now) {
                    Ok(()) => {
                        device.acked.clear();
                        device.epochs_told.clear();
                        device.reload_accepted(space);
                        self.fired.note(Class::Restore);
                        self.event(node, node::Event::Started);
                        self.plan_wake(node);
                    }
                    Err(why) => self.fail(
                        "S12",
                        Some(node),
                        format!("a backup does not restore: {why}"),
                    ),
                }
            }
            Fault::Clock {
                class,
                node,
                by_ms,
                for_ms,
            } => {
                let device = self.device(node);
                let heal = match class {
                    Class::ClockFreeze => {
                        device.clock.freeze(now);
                        Heal::Thaw { node }
                    }
                    Class::Clock1970 => {
                        let before = device.clock.read(now);
                        device.clock.reset(now);
                        let back = before.as_ms() as i64 - device.clock.read(now).as_ms() as i64;
                        Heal::Jump { node, by_ms: back }
                    }
                    _ => {
                        device.clock.jump(by_ms);
                        Heal::Jump {
                            node,
                            by_ms: -by_ms,
                        }
                    }
                };
                self.queue.plan(now + for_ms, Next::Heal(heal));
                self.fired.note(class);
                self.plan_wake(node);
            }
            Fault::Drift { node, ppm } => {
                self.device(node).clock.drift(ppm, now);
                self.fired.note(Class::ClockDrift);
                self.plan_wake(node);
            }
            Fault::Disk {
                class,
                node,
                nth,
                for_ms,
            } => self.disk_fault(class, node, nth, for_ms),
            Fault::RelayDown {
                class,
                relay,
                for_ms,
            } => {
                self.relay_gone(relay, "the relay restarts");
                self.fired.note(class);
                if class == Class::RelayLosesAll {
                    self.host(relay).wipe();
                }
                self.host(relay).up = false;
                self.queue
                    .plan(now + for_ms, Next::Heal(Heal::RelayUp { relay }));
            }
            Fault::RelayLies {
                class,
                relay,
                for_ms,
                share,
            } => {
                self.host(relay).lies.insert(class, (now + for_ms, share));
            }
        }
    }

    fn crash_fault(&mut self, class: Class, node: u16, after: u64, down_ms: Millis) {
        let _ = down_ms;
        let device = self.device(node);
        match class {
            Class::Kill => self.crash(node, false, class),
            Class::PowerCut => self.crash(node, true, class),
            Class::CrashMidWrite => match device.machine.disk() {
                Some(disk) => disk.die_after(after),
                None => device.dies_after = Some(after),
            },
            _ => device.dies_after = Some(after),
        }
    }

    fn disk_fault(&mut self, class: Class, node: u16, nth: u64, for_ms: Millis) {
        let now = self.now();
        let device = self.device(node);
        let Some(disk) = device.machine.disk().cloned() else {
            return;
        };
        match class {
            Class::DiskFull => {
                let used: usize = disk.files().iter().map(|(_, content)| content.len()).sum();
                disk.set_capacity(Some(used as u64 + nth));
            }
            Class::SyncError => disk.fail_sync(nth % 8),
            Class::WriteError => disk.fail_write(nth % 8),
            Class::BitFlip => {
                // Not in the vault: it has two copies of each page and nothing else to come back from.
                let files: Vec<_> = disk
                    .files()
                    .into_iter()
                    .filter(|(path, content)| path.contains("seg") && !content.is_empty())
                    .collect();
                let Some((path, content)) = device.rng.pick(&files).cloned() else {
                    return;
                };
                let at = device.rng.below(content.len() as u64) as usize;
                disk.flip(&path, at, (nth % 8) as u8);
                device.damaged = true;
            }
            Class::IndexLost => {
                use store::Index as _;
                if let Some(index) = device.machine.index()
                    && index.condemn().is_ok()
                {
                    device.damaged = true;
                    self.fired.note(class);
                    self.crash(node, false, Class::Kill);
                }
                return;
            }
            _ => return,
        }
        self.fired.note(class);
        self.queue
            .plan(now + for_ms, Next::Heal(Heal::Disk { node }));
    }

    /// Ends something that went wrong.
    pub(crate) fn heal(&mut self, heal: Heal) {
        let text = format!("{heal:?}");
        self.note(None, None, Kind::Heal, text.as_bytes(), || text.clone());
        let now = self.now();
        match heal {
            Heal::Cut(cut) => {
                self.cuts.remove(&cut);
            }
            Heal::Flap {
                cut,
                every_ms,
                until,
            } => {
                if let Some(state) = self.cuts.get_mut(&cut) {
                    state.active = !state.active;
                    self.ping_cut(cut);
                    if now + every_ms < until {
                        self.queue.plan(
                            now + every_ms,
                            Next::Heal(Heal::Flap {
                                cut,
                                every_ms,
                                until,
                            }),
                        );
                    }
                }
            }
            Heal::Awake { node } => {
                let device = self.device(node);
                if device.asleep_until.is_some_and(|until| until <= now) {
                    device.asleep_until = None;
                    self.plan_wake(node);
                    self.redial(node);
                }
            }
            Heal::Boot { node } => self.boot(node),
            Heal::Thaw { node } => {
                self.device(node).clock.thaw();
                self.plan_wake(node);
            }
            // The healing of a core sets every clock right; to jump back from there would set it wrong for good.
            Heal::Jump { node, by_ms } if self.core.is_none() => {
                self.device(node).clock.jump(by_ms);
                self.plan_wake(node);
            }
            Heal::Jump { .. } => {}
            Heal::Disk { node } => {
                let device = self.device(node);
                if let Some(disk) = device.machine.disk() {
                    disk.heal();
                }
            }
            Heal::RelayUp { relay } => self.host(relay).up = true,
        }
    }
}

/// Draws what goes wrong on purpose, class by class, each from its own stream.
pub(crate) fn draw(config: &crate::config::Config) -> Vec<crate::schedule::Entry> {
    let seed = crate::rng::Seed(config.seed);
    let mut entries = Vec::new();
    for class in &config.on {
        if class.group() == "byzantine" {
            continue;
        }
        let mut s = seed.stream(&format!("schedule/{class:?}"));
        let mut at = config.calm_ms + s.below(config.fault_every_ms.min(config.lasts_ms));
        while at < config.lasts_ms {
            entries.extend(draw_one(config, *class, at, &mut s));
            at += s.exponential(config.fault_every_ms).max(500);
        }
    }
    entries
}

fn draw_one(
    config: &crate::config::Config,
    class: Class,
    at: Millis,
    s: &mut Stream,
) -> Vec<crate::schedule::Entry> {
    use crate::schedule::{Entry, What};
    let node = s.below(u64::from(config.nodes)) as u16;
    let relay = s.below(u64::from(config.relays)) as u16;
    let all_relays = (0..config.relays).collect();
    let one = |fault| {
        vec![Entry {
            at,
            what: What::Fault(fault),
        }]
    };
    let cut = |nodes, relays, way, for_ms| {
        one(Fault::Cut {
            class,
            nodes,
            relays,
            way,
            for_ms,
        })
    };
    match class {
        Class::PartitionUniform => {
            let nodes = (0..config.nodes).filter(|_| s.below(2) == 0).collect();
            cut(nodes, all_relays, Way::Both, s.within(5_000, 900_000))
        }
        Class::PartitionOne => cut(
            [node].into(),
            all_relays,
            Way::Both,
            s.within(5_000, 3_600_000),
        ),
        Class::PartitionIslands => {
            let mut entries = Vec::new();
            let for_ms = s.within(10_000, 900_000);
            for relay in 0..config.relays {
                let nodes = (0..config.nodes)
                    .filter(|n| n % config.relays != relay)
                    .collect();
                entries.extend(cut(nodes, [relay].into(), Way::Both, for_ms));
            }
            entries
        }
        Class::PartitionOneWay => {
            let nodes = (0..config.nodes).filter(|_| s.below(2) == 0).collect();
            let way = if s.below(2) == 0 { Way::Up } else { Way::Down };
            cut(nodes, all_relays, way, s.within(5_000, 600_000))
        }
        Class::PartitionFlapping => {
            let nodes = (0..config.nodes).filter(|_| s.below(2) == 0).collect();
            cut(nodes, all_relays, Way::Both, s.within(30_000, 600_000))
        }
        Class::Clog => one(Fault::Clog {
            node,
            relay,
            for_ms: s.within(500, 5_000),
        }),
        Class::HalfOpen => one(Fault::HalfOpen {
            node,
            relay,
            for_ms: s.within(30_000, 7_200_000),
        }),
        Class::Reset => one(Fault::Reset { node, relay }),
        Class::Suspend => one(Fault::Suspend {
            class,
            node,
            for_ms: s.within(60_000, 6 * 3_600_000),
        }),
        Class::Wake => {
            // Asleep, then awake for some seconds, again and again.
            let mut entries = Vec::new();
            let mut at = at;
            for _ in 0..s.within(2, 6) {
                let for_ms = s.within(60_000, 3_600_000);
                let what = What::Fault(Fault::Suspend {
                    class,
                    node,
                    for_ms,
                });
                entries.push(Entry { at, what });
                at += for_ms + s.within(5_000, 25_000);
            }
            entries
        }
        Class::Gone => one(Fault::Suspend {
            class,
            node,
            for_ms: s.within(20, 40) * 86_400_000,
        }),
        Class::Clone | Class::Restore => {
            let back = at + s.within(60_000, 1_200_000);
            let node = if node == 0 { 1 } else { node };
            let then = if class == Class::Clone {
                Fault::Clone { node }
            } else {
                Fault::Restore { node }
            };
            vec![
                Entry {
                    at,
                    what: What::Fault(Fault::Snapshot { node }),
                },
                Entry {
                    at: back,
                    what: What::Fault(then),
                },
            ]
        }
        Class::Kill | Class::PowerCut | Class::CrashUnsynced | Class::CrashMidWrite => {
            one(Fault::Crash {
                class,
                node,
                after: s.below(60),
                down_ms: s.within(50, 60_000),
            })
        }
        Class::DiskFull
        | Class::SyncError
        | Class::WriteError
        | Class::BitFlip
        | Class::IndexLost => {
            let disks: Vec<u16> = config.disks.iter().copied().collect();
            let Some(node) = s.pick(&disks).copied() else {
                return Vec::new();
            };
            let nth = s.below(100_000);
            one(Fault::Disk {
                class,
                node,
                nth,
                for_ms: s.within(10_000, 600_000),
            })
        }
        Class::ClockSkew => {
            let by_ms = s.within(0, 1_200_000) as i64 - 600_000;
            one(Fault::Clock {
                class,
                node,
                by_ms,
                for_ms: s.within(600_000, 36_000_000),
            })
        }
        Class::ClockJump => {
            let by_ms = s.within(0, 7_200_000) as i64 - 3_600_000;
            one(Fault::Clock {
                class,
                node,
                by_ms,
                for_ms: s.within(1_000, 3_600_000),
            })
        }
        Class::ClockYears => {
            let by_ms = s.within(0, 20) as i64 - 10;
            let by_ms = by_ms * 365 * 86_400_000;
            one(Fault::Clock {
                class,
                node,
                by_ms,
                for_ms: s.within(60_000, 3_600_000),
            })
        }
        Class::ClockFreeze | Class::Clock1970 => one(Fault::Clock {
            class,
            node,
            by_ms: 0,
            for_ms: s.within(10_000, 1_800_000),
        }),
        Class::ClockDrift => one(Fault::Drift {
            node,
            ppm: s.within(0, 1_000) as i32 - 500,
        }),
        Class::RelayRestart | Class::RelayLosesAll => one(Fault::RelayDown {
            class,
            relay,
            for_ms: s.within(100, 120_000),
        }),
        _ if class.group() == "relay" => {
            let for_ms = s.within(30_000, 1_200_000);
            one(Fault::RelayLies {
                class,
                relay,
                for_ms,
                share: s.within(10, 255) as u8,
            })
        }
        // Lines draw for themselves, frame by frame.
        _ => Vec::new(),
    }
}
