//! One person's device: the production node, the machine below it, and its clock.

use std::collections::{BTreeMap, BTreeSet};

use node::{CommandId, Identity, Node, RelayId, Timer};
use oplog::{EpochId, OpId, SpaceId, Timestamp};
use rand_chacha::ChaCha20Rng;

use crate::clock::Clock;
use crate::line::Conn;
use crate::queue::Millis;
use crate::rng::{Seed, Stream};
use crate::schedule::Act;
use crate::storage::{Copy, Machine, SimChunks, SimStore};

/// The node under test.
pub(crate) type SimNode = Node<SimStore, SimChunks, ChaCha20Rng>;

/// A device in the world.
pub(crate) struct Device {
    pub(crate) index: u16,
    /// `None` while the process is not running.
    pub(crate) node: Option<SimNode>,
    parked: Option<(SimStore, SimChunks)>,
    pub(crate) machine: Machine,
    pub(crate) clock: Clock,
    pub(crate) timers: BTreeMap<Timer, Timestamp>,
    /// Counts re-plannings of the next timer: older plans are void.
    pub(crate) wake: u64,
    pub(crate) boots: u32,
    pub(crate) asleep_until: Option<Millis>,
    /// The process or machine ends after so many more events, before their effects.
    pub(crate) dies_after: Option<u64>,
    /// One for each relay of the world.
    pub(crate) conns: Vec<Conn>,
    pub(crate) relay_names: BTreeMap<RelayId, u16>,
    pub(crate) commands: u64,
    pub(crate) pending: BTreeMap<CommandId, Act>,
    /// Cheats on purpose: what it holds is not judged.
    pub(crate) byzantine: bool,
    /// Its keys are, or were, in two places: it came back from a copy of its disk.
    pub(crate) cloned: bool,
    /// Its disk was damaged: what it lost it must get back from others.
    pub(crate) damaged: bool,
    /// When its store was last read again after it failed.
    pub(crate) mended_at: Option<Millis>,
    /// Starts in a row that failed.
    pub(crate) failed_starts: u32,
    /// Could not be opened again.
    pub(crate) broken: Option<String>,
    /// What its person was told was written.
    pub(crate) acked: BTreeSet<OpId>,
    /// Ops it took in, as it told, since the last start.
    pub(crate) accepted: BTreeSet<OpId>,
    pub(crate) changed: bool,
    pub(crate) copy: Option<Copy>,
    pub(crate) words: String,
    pub(crate) backup: Option<Vec<u8>>,
    /// When it came into the Space, in milliseconds since the world began.
    pub(crate) joined_at: Option<Millis>,
    /// The epochs it stood in as it told, durably, with their numbers; the last one last.
    pub(crate) epochs_told: Vec<(EpochId, u64)>,
    pub(crate) rng: Stream,
}

impl Device {
    /// Makes a person with a new profile.
    pub(crate) fn new(index: u16, on_disk: bool, relays: u16, seed: Seed) -> Self {
        let name = format!("node/{index}");
        let clock = Clock::default();
        let mut rng = seed.crypto(&format!("{name}/identity"));
        let me = Identity::generate(&format!("person{index}"), clock.read(0), &mut rng);
        let words = me
            .phrase()
            .map_or_else(String::new, |p| p.words().to_owned());
        let (machine, store, chunks) = Machine::new(on_disk, seed, &name);
        let rng = seed.crypto(&format!("{name}/boot/0"));
        let node = Node::create(store, chunks, rng, me, clock.read(0))
            .expect("a new machine has no faults");
        Self {
            index,
            node: Some(node),
            parked: None,
            machine,
            clock,
            timers: BTreeMap::new(),
            wake: 0,
            boots: 0,
            asleep_until: None,
            dies_after: None,
            conns: (0..relays)
                .map(|relay| Conn::new(index, relay, seed))
                .collect(),
            relay_names: BTreeMap::new(),
            commands: 0,
            pending: BTreeMap::new(),
            byzantine: false,
            cloned: false,
            damaged: false,
            mended_at: None,
            failed_starts: 0,
            broken: None,
            acked: BTreeSet::new(),
            accepted: BTreeSet::new(),
            changed: true,
            copy: None,
            words,
            backup: None,
            joined_at: None,
            epochs_told: Vec::new(),
            rng: seed.stream(&name),
        }
    }

    /// Says whether the process runs and is not frozen.
    pub(crate) fn runs(&self, now: Millis) -> bool {
        self.node.is_some() && self.asleep_until.is_none_or(|until| until <= now)
    }

    /// Says whether what it does counts.
    pub(crate) const fn is_honest(&self) -> bool {
        !self.byzantine && !self.cloned
    }

    /// Says whether it runs and nothing of what it took in is missing: a log with a gap is not closed,
    /// and cannot be judged anew.
    pub(crate) fn is_whole(&self) -> bool {
        let status = self.node.as_ref().and_then(|node| node.status().ok());
        status.is_some_and(|s| s.spaces.iter().all(|space| space.lost == 0))
    }

    /// The process ends; with the power, unless it is a kill.
    pub(crate) fn crash(&mut self, power: bool) {
        let Some(mut node) = self.node.take() else {
            return;
        };
        let mut store = std::mem::replace(node.store_mut(), SimStore::Mem(Box::default()));
        let chunks = std::mem::replace(node.chunks_mut(), SimChunks::Mem(Box::default()));
        self.machine.crash(&mut store, power, &mut self.rng);
        self.parked = Some((store, chunks));
        self.timers.clear();
        self.relay_names.clear();
        self.pending.clear();
        self.dies_after = None;
    }

    /// Starts the process again. Says what went wrong, if something did.
    pub(crate) fn boot(&mut self, seed: Seed, now: Millis) -> Result<(), String> {
        let Some(old) = self.parked.take() else {
            return Ok(());
        };
        self.boots += 1;
        let name = format!("node/{}/boot/{}", self.index, self.boots);
        let chance = seed.derive(&format!("{name}/disk"));
        let opened = self.machine.open(old, chance);
        if opened.is_err() {
            if self.machine.is_off() {
                // The power went while it started: it comes back before the next try.
                let mut nothing = SimStore::Mem(Box::default());
                self.machine.crash(&mut nothing, true, &mut self.rng);
            }
            // What the process held is on its disk: the next try begins from there.
            self.parked = Some((
                SimStore::Mem(Box::default()),
                SimChunks::Mem(Box::default()),
            ));
        }
        let (store, chunks) = opened?;
        let opened = Node::open(store, chunks, seed.crypto(&name), self.clock.read(now));
        let node = opened
            .map_err(|e| crate::storage::chain(&e))?
            .ok_or("the profile holds no identity")?;
        self.node = Some(node);
        self.note_losses();
        self.changed = true;
        Ok(())
    }

    /// Tells the node what its log has lost without a trace, as the driver does.
    fn note_losses(&mut self) {
        let Some(node) = &mut self.node else {
            return;
        };
        for space in node.store().unnamed_losses() {
            node.note_lost_records(space.as_ref());
        }
    }

    /// What the driver does after the store failed: reads store and node again. Returns what the node
    /// wants done, `None` when that fails too.
    pub(crate) fn read_again(&mut self) -> Option<Vec<node::Effect>> {
        let node = self.node.as_mut()?;
        let read_anew = node.store_mut().resume().ok()?;
        let effects = node.reload().ok()?;
        if read_anew {
            self.note_losses();
        }
        Some(effects)
    }

    /// Puts the copy of the disk in place of the present one; the process must have ended.
    pub(crate) fn roll_back(&mut self) -> bool {
        let (Some(copy), Some((store, _))) = (&self.copy, &mut self.parked) else {
            return false;
        };
        self.machine.put_back(copy, store);
        self.cloned = true;
        true
    }

    /// Starts over on a new machine, from words and backup.
    pub(crate) fn restore(&mut self, seed: Seed, now: Millis) -> Result<(), String> {
        let Some(backup) = &self.backup else {
            return Err("there is no backup".to_owned());
        };
        self.boots += 1;
        let name = format!("node/{}/boot/{}", self.index, self.boots);
        let on_disk = self.machine.disk().is_some();
        let (machine, store, chunks) = Machine::new(on_disk, seed, &name);
        let words = node::RecoveryPhrase::parse(&self.words).map_err(|e| e.to_string())?;
        let node = Node::restore(
            store,
            chunks,
            seed.crypto(&name),
            &words,
            backup,
            self.clock.read(now),
        );
        self.node = Some(node.map_err(|e| crate::storage::chain(&e))?);
        self.machine = machine;
        self.parked = None;
        self.copy = None;
        self.changed = true;
        Ok(())
    }

    /// Returns what the device holds of a Space, by asking it.
    pub(crate) fn ops(&self, space: SpaceId) -> BTreeSet<OpId> {
        let Some(node) = &self.node else {
            return BTreeSet::new();
        };
        let ops = node.held_ops(space).unwrap_or_default();
        ops.into_iter().map(|op| op.id()).collect()
    }
}
