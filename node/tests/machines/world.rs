//! People whose profiles lie on disks, and a relay, in one thread under virtual time.

use std::collections::{BTreeMap, VecDeque};

use blobstore::MemChunks;
use net::wire::{Push, PutRequest, Request, Response};
use node::{
    Answer, Command, CommandError, CommandId, Effect, Event, Identity, InviteLink, Node, RelayId,
    RequestId, Timer,
};
use oplog::payload::Weight;
use oplog::store::{Store, StoreError};
use oplog::{ChannelId, Secret, SpaceId, Timestamp};
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;
use relay::{ConnId, Limits, PushId, RelayCore};
use store::{DiskStore, Index, MemDisk, MemIndex, Options, Profile, Unlock};

/// 2026-01-01.
pub const START: Timestamp = Timestamp::from_ms(1_767_225_600_000);
const DAY_MS: u64 = 86_400_000;

pub type Sim = Profile<MemDisk, MemIndex>;

/// A person with a node, or without one while it is off.
pub struct Person<S: Store> {
    pub node: Option<Node<S, MemChunks, ChaCha20Rng>>,
    pub online: bool,
    relay: Option<RelayId>,
    timers: BTreeMap<Timer, Timestamp>,
    answers: BTreeMap<CommandId, Result<Answer, CommandError>>,
    commands: u64,
}

enum Wire {
    Request(usize, RequestId, Request),
    Response(usize, RequestId, Response),
    Push(usize, PushId, Push),
}

/// Everything.
pub struct World<S: Store> {
    pub people: Vec<Person<S>>,
    pub now: Timestamp,
    relay: RelayCore<relay::MemStore>,
    /// What the relay took in, so that another can be given it.
    pub taken: Vec<(Timestamp, PutRequest)>,
    wire: VecDeque<Wire>,
    rng: ChaCha20Rng,
    /// Whose store has failed, and with what.
    pub failed: Option<(usize, StoreError)>,
}

impl<S: Store> World<S> {
    pub fn new(now: Timestamp) -> Self {
        Self {
            people: Vec::new(),
            now,
            relay: RelayCore::new(relay::MemStore::new(), Limits::default()),
            taken: Vec::new(),
            wire: VecDeque::new(),
            rng: ChaCha20Rng::seed_from_u64(99),
            failed: None,
        }
    }

    /// Makes a relay's content again.
    pub fn refill(&mut self, taken: &[(Timestamp, PutRequest)]) {
        let scribe = ConnId(u64::MAX);
        assert!(self.relay.connected(scribe, START, &mut self.rng));
        for (at, put) in taken {
            let request = Request::Put(put.clone());
            self.relay
                .handle(scribe, request, *at, &mut self.rng)
                .unwrap();
        }
        self.relay.disconnected(scribe);
        self.taken = taken.to_vec();
    }

    /// Adds somebody who has no profile yet.
    pub fn add_new(&mut self, name: &str, store: S) -> usize {
        let seed = self.people.len() as u64 + 1;
        let mut rng = ChaCha20Rng::seed_from_u64(seed);
        let me = Identity::generate(name, START, &mut rng);
        let node = Node::create(store, MemChunks::new(), rng, me, self.now).unwrap();
        let who = self.add(node);
        let address = "/memory/0".to_owned();
        self.command(who, Command::AddRelay { address }).unwrap();
        who
    }

    pub fn add(&mut self, node: Node<S, MemChunks, ChaCha20Rng>) -> usize {
        let who = self.people.len();
        self.people.push(Person {
            node: None,
            online: false,
            relay: None,
            timers: BTreeMap::new(),
            answers: BTreeMap::new(),
            commands: 0,
        });
        self.start(who, node);
        who
    }

    /// Puts a node that was just opened in somebody's place.
    pub fn start(&mut self, who: usize, node: Node<S, MemChunks, ChaCha20Rng>) {
        self.unplug(who);
        let person = &mut self.people[who];
        person.node = Some(node);
        person.timers.clear();
        self.event(who, Event::Started);
    }

    /// Ends somebody's program; what is under way to and from it is lost.
    pub fn stop(&mut self, who: usize) {
        self.unplug(who);
        self.people[who].node = None;
        self.people[who].timers.clear();
    }

    fn unplug(&mut self, who: usize) {
        if std::mem::take(&mut self.people[who].online) {
            self.relay.disconnected(ConnId(who as u64));
        }
    }

    pub fn node(&self, who: usize) -> &Node<S, MemChunks, ChaCha20Rng> {
        self.people[who].node.as_ref().expect("it runs")
    }

    pub fn connect(&mut self, who: usize) {
        assert!(
            self.relay
                .connected(ConnId(who as u64), self.now, &mut self.rng)
        );
        self.people[who].online = true;
        let relay = self.people[who].relay.expect("a relay is known");
        self.event(who, Event::RelayConnected(relay));
        self.settle();
    }

    /// Gives a command, and waits a little for its answer.
    pub fn command(&mut self, who: usize, command: Command) -> Result<Answer, CommandError> {
        let id = self.begin(who, command);
        self.settle();
        for _ in 0..30 {
            if let Some(answer) = self.answer(who, id) {
                return answer;
            }
            self.pass(1_000);
        }
        panic!("no answer");
    }

    pub fn begin(&mut self, who: usize, command: Command) -> CommandId {
        self.people[who].commands += 1;
        let id = CommandId(self.people[who].commands);
        self.event(who, Event::Command { id, command });
        id
    }

    pub fn answer(&mut self, who: usize, id: CommandId) -> Option<Result<Answer, CommandError>> {
        self.people[who].answers.remove(&id)
    }

    /// Delivers everything that is on its way.
    pub fn settle(&mut self) {
        for _ in 0..100_000 {
            match self.wire.pop_front() {
                None => return,
                Some(Wire::Request(who, id, request)) => self.relay_handles(who, id, request),
                Some(Wire::Response(who, request, response)) if self.people[who].online => {
                    let relay = self.people[who].relay.expect("a relay is known");
                    let result = Ok(response);
                    self.event(
                        who,
                        Event::RelayAnswered {
                            relay,
                            request,
                            result,
                        },
                    );
                }
                Some(Wire::Push(who, id, push)) if self.people[who].online => {
                    let relay = self.people[who].relay.expect("a relay is known");
                    self.event(who, Event::RelayPushed { relay, push });
                    let pushes = self.relay.push_done(ConnId(who as u64), id, true).pushes;
                    self.push(pushes);
                }
                Some(Wire::Response(..) | Wire::Push(..)) => {}
            }
        }
        panic!("the network never settles");
    }

    /// Lets time pass, timers run out and everything settle.
    pub fn pass(&mut self, ms: u64) {
        let until = self.now.plus_ms(ms);
        loop {
            let timers = self.people.iter().enumerate();
            let next = timers
                .flat_map(|(who, p)| p.timers.iter().map(move |(timer, at)| (*at, who, *timer)))
                .filter(|(at, ..)| *at <= until)
                .min();
            let Some((at, who, timer)) = next else { break };
            self.now = self.now.max(at);
            self.people[who].timers.remove(&timer);
            self.event(who, Event::TimerExpired(timer));
            self.settle();
        }
        self.now = until;
    }

    pub fn event(&mut self, who: usize, event: Event) {
        let Some(node) = &mut self.people[who].node else {
            return;
        };
        let done = node.handle(event, self.now).and_then(|effects| {
            node.sync()?;
            Ok(effects)
        });
        match done {
            Ok(effects) => self.run(who, effects),
            Err(error) => {
                // The machine is off: nothing that it wanted to tell leaves it.
                self.failed = Some((who, error));
                self.stop(who);
            }
        }
    }

    fn run(&mut self, who: usize, effects: Vec<Effect>) {
        let person = &mut self.people[who];
        for effect in effects {
            match effect {
                Effect::Request { id, request, .. } if person.online => {
                    self.wire.push_back(Wire::Request(who, id, request));
                }
                Effect::SetTimer { timer, at } => {
                    person.timers.insert(timer, at);
                }
                Effect::Answer { id, result } => {
                    person.answers.insert(id, *result);
                }
                Effect::Connect { relay, .. } => person.relay = Some(relay),
                Effect::Request { .. } | Effect::Notify(_) | Effect::Disconnect(_) => {}
            }
        }
    }

    fn relay_handles(&mut self, who: usize, id: RequestId, request: Request) {
        if !self.people[who].online {
            return;
        }
        let conn = ConnId(who as u64);
        let answer = self
            .relay
            .handle(conn, request.clone(), self.now, &mut self.rng)
            .unwrap();
        self.relay.sync().unwrap();
        if let Some(response) = answer.response {
            if let (Request::Put(put), Response::Filed { .. }) = (request, &response) {
                self.taken.push((self.now, put));
            }
            self.wire.push_back(Wire::Response(who, id, response));
        }
        self.push(answer.pushes);
    }

    fn push(&mut self, pushes: Vec<relay::Pushed>) {
        for pushed in pushes {
            let who = usize::try_from(pushed.conn.0).unwrap();
            self.wire.push_back(Wire::Push(who, pushed.id, pushed.push));
        }
    }

    // ---- what people do ----------------------------------------------------

    pub fn found(&mut self, who: usize) -> SpaceId {
        let name = "Allotment".to_owned();
        match self.command(who, Command::CreateSpace { name }).unwrap() {
            Answer::Space(space) => space,
            other => panic!("{other:?}"),
        }
    }

    pub fn invite(&mut self, who: usize, space: SpaceId) -> InviteLink {
        let command = Command::CreateInvite {
            space,
            weight: Weight::MEMBER,
            max_uses: 10,
            valid_secs: 86_400,
            channel: None,
            approval: false,
        };
        match self.command(who, command).unwrap() {
            Answer::Invite { link, .. } => link,
            other => panic!("{other:?}"),
        }
    }

    pub fn join(&mut self, who: usize, link: InviteLink) {
        self.command(who, Command::Join { link }).unwrap();
    }

    pub fn general(&self, who: usize, space: SpaceId) -> ChannelId {
        let channels = self.node(who).channels(space).unwrap();
        channels.iter().find(|c| c.name == "general").unwrap().id
    }

    pub fn post(&mut self, who: usize, space: SpaceId, body: &str) -> Result<Answer, CommandError> {
        let channel = self.general(who, space);
        let command = post(space, channel, body);
        self.command(who, command)
    }

    pub fn texts(&self, who: usize, space: SpaceId) -> Vec<String> {
        let channel = self.general(who, space);
        let posts = self.node(who).posts(space, channel, None, 1000).unwrap();
        posts.into_iter().map(|post| post.body).collect()
    }

    /// A day goes by, and another: what is kept no longer is forgotten.
    pub fn days(&mut self, days: u64) {
        for _ in 0..days {
            self.now = self.now.plus_ms(DAY_MS);
            self.pass(1_000);
        }
    }
}

pub fn post(space: SpaceId, channel: ChannelId, body: &str) -> Command {
    Command::Post {
        space,
        channel,
        thread: None,
        reply_to: None,
        body: body.to_owned(),
        attachments: Vec::new(),
    }
}

pub fn options() -> Options {
    Options {
        reserve_bytes: 0,
        ..Options::default()
    }
}

/// A disk in memory, the index beside it, and the key of its vault.
#[derive(Clone)]
pub struct Machine {
    pub disk: MemDisk,
    pub index: MemIndex,
    pub root: Secret,
    starts: u64,
}

impl Machine {
    /// Makes a machine with an empty profile on it.
    pub fn new(n: u8) -> (Self, Sim) {
        let root: [u8; 32] =
            std::array::from_fn(|at| n.wrapping_mul(31).wrapping_add(at as u8 * 7));
        let machine = Self {
            disk: MemDisk::new(),
            index: MemIndex::new(),
            root: Secret::from_bytes(root),
            starts: 0,
        };
        let (disk, index) = (machine.disk.clone(), machine.index.clone());
        let with = Unlock::Key(&machine.root);
        let profile = Profile::create_in(disk, index, with, options(), &seed(n, 0)).unwrap();
        (machine, profile)
    }

    /// Copies everything that is on it.
    pub fn copy(&self) -> Self {
        Self {
            disk: self.disk.copy(),
            index: self.index.copy(),
            root: self.root.clone(),
            starts: self.starts,
        }
    }

    /// Opens the profile as the driver does.
    pub fn open(&mut self, now: Timestamp) -> Node<Sim, MemChunks, ChaCha20Rng> {
        self.starts += 1;
        let (disk, index) = (self.disk.clone(), self.index.clone());
        let with = Unlock::Key(&self.root);
        let seed = seed(0, self.starts);
        let mut profile = Profile::open_in(disk, index, with, options(), &seed).unwrap();
        index_rest(&mut profile);
        let rng = ChaCha20Rng::seed_from_u64(7_000 + self.starts);
        Node::open(profile, MemChunks::new(), rng, now)
            .unwrap()
            .unwrap()
    }
}

fn seed(n: u8, start: u64) -> Secret {
    let mut seed = [n; 32];
    seed[..8].copy_from_slice(&start.to_le_bytes());
    seed[31] = 200;
    Secret::from_bytes(seed)
}

fn index_rest<I: Index + Clone>(profile: &mut Profile<MemDisk, I>) {
    loop {
        let records = profile.take_unindexed(1_000).unwrap();
        if records.is_empty() {
            return;
        }
        let records = records.into_iter().map(|r| (r.space, r.at, r.record));
        node::recover::index_records(profile, records.collect()).unwrap();
        profile.commit().unwrap();
    }
}

/// A profile in a folder, as a world keeps it.
pub type Real = DiskStore;
