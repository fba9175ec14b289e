//! Nodes and relays in one thread under virtual time: the real cores, wired without sockets.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use blobstore::MemChunks;
use net::wire::{Push, PutRequest, Request, Response};
use node::view::Notice;
use node::{
    Answer, Command, CommandError, CommandId, Effect, Event, Identity, Node, RecoveryPhrase,
    RelayId, RequestId, Timer,
};
use oplog::Timestamp;
use oplog::store::MemStore;
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;
use relay::{ConnId, Limits, PushId, RelayCore};

pub type TestNode = Node<MemStore, MemChunks, ChaCha20Rng>;

/// 2026-01-01.
pub const START: Timestamp = Timestamp::from_ms(1_767_225_600_000);

/// A person with a node.
pub struct Person {
    pub node: TestNode,
    /// With which relays they are connected.
    pub online: BTreeSet<usize>,
    pub notices: Vec<Notice>,
    /// How far their clock is behind, in milliseconds.
    pub late_ms: u64,
    /// What the node calls each relay: a number, given anew at every start.
    pub relays: BTreeMap<usize, RelayId>,
    timers: BTreeMap<Timer, Timestamp>,
    answers: BTreeMap<CommandId, Result<Answer, CommandError>>,
    commands: u64,
}

/// Between whom: a person and a relay.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Way {
    who: usize,
    relay: usize,
}

enum Wire {
    Request(Way, RequestId, Request),
    Response(Way, RequestId, Response),
    Push(Way, PushId, Push),
}

/// What a relay says instead of the truth.
pub type Lie = Box<dyn FnMut(usize, &Request, Response) -> Response>;

/// A relay.
pub struct TestRelay {
    pub core: RelayCore<relay::MemStore>,
    /// What it took in, with the time, so that it can be made to lose some.
    pub taken: Vec<(Timestamp, PutRequest)>,
    /// Changes its answers.
    pub lie: Option<Lie>,
    /// Whether its pushes get lost.
    pub silent: bool,
    /// Whether it says that there are envelopes and gives none.
    pub withholds: bool,
    /// How many requests each person sent.
    pub requests: BTreeMap<usize, u64>,
}

impl TestRelay {
    fn new() -> Self {
        Self {
            core: RelayCore::new(relay::MemStore::new(), Limits::default()),
            taken: Vec::new(),
            lie: None,
            silent: false,
            withholds: false,
            requests: BTreeMap::new(),
        }
    }
}

/// Everything.
pub struct World {
    pub people: Vec<Person>,
    pub relays: Vec<TestRelay>,
    pub now: Timestamp,
    /// Every sealed byte the relay was sent.
    pub relay_saw: Vec<Vec<u8>>,
    wire: VecDeque<Wire>,
    rng: ChaCha20Rng,
}

impl World {
    pub fn new(names: &[&str]) -> Self {
        Self::with_relays(names, 1)
    }

    /// People who all use so many relays.
    pub fn with_relays(names: &[&str], relays: usize) -> Self {
        let mut people = Vec::new();
        for (seed, name) in names.iter().enumerate() {
            let mut rng = ChaCha20Rng::seed_from_u64(seed as u64 + 1);
            let me = Identity::generate(name, START, &mut rng);
            let node = Node::create(MemStore::new(), MemChunks::new(), rng, me, START).unwrap();
            people.push(Person {
                node,
                online: BTreeSet::new(),
                notices: Vec::new(),
                late_ms: 0,
                relays: BTreeMap::new(),
                timers: BTreeMap::new(),
                answers: BTreeMap::new(),
                commands: 0,
            });
        }
        let mut world = Self {
            people,
            relays: (0..relays).map(|_| TestRelay::new()).collect(),
            now: START,
            relay_saw: Vec::new(),
            wire: VecDeque::new(),
            rng: ChaCha20Rng::seed_from_u64(99),
        };
        for who in 0..names.len() {
            world.event(who, Event::Started);
            for relay in 0..relays {
                let address = format!("/memory/{relay}");
                world.command(who, Command::AddRelay { address }).unwrap();
            }
        }
        world
    }

    /// Connects somebody with every relay and lets everything happen that follows.
    pub fn connect(&mut self, who: usize) {
        for relay in 0..self.relays.len() {
            self.connect_to(who, relay);
        }
    }

    pub fn connect_to(&mut self, who: usize, relay: usize) {
        self.connect_slowly(who, relay);
        self.settle();
    }

    /// Connects somebody with a relay and leaves what follows on its way.
    pub fn connect_slowly(&mut self, who: usize, relay: usize) {
        let core = &mut self.relays[relay].core;
        assert!(core.connected(ConnId(who as u64), self.now, &mut self.rng));
        self.people[who].online.insert(relay);
        let relay = self.people[who].relays[&relay];
        self.event(who, Event::RelayConnected(relay));
    }

    pub fn disconnect(&mut self, who: usize) {
        for relay in std::mem::take(&mut self.people[who].online) {
            self.relays[relay].core.disconnected(ConnId(who as u64));
            let event = Event::RelayDisconnected {
                relay: self.people[who].relays[&relay],
                reason: "unplugged".to_owned(),
            };
            self.event(who, event);
        }
        self.settle();
    }

    /// Gives a command and returns its answer, which must come at once.
    pub fn command(&mut self, who: usize, command: Command) -> Result<Answer, CommandError> {
        let id = self.begin(who, command);
        self.settle();
        self.answer(who, id).expect("no answer")
    }

    /// Gives a command whose answer may take time.
    pub fn begin(&mut self, who: usize, command: Command) -> CommandId {
        self.people[who].commands += 1;
        let id = CommandId(self.people[who].commands);
        self.event(who, Event::Command { id, command });
        id
    }

    pub fn answer(&mut self, who: usize, id: CommandId) -> Option<Result<Answer, CommandError>> {
        self.people[who].answers.remove(&id)
    }

    /// Delivers everything that is on its way, without letting time pass.
    pub fn settle(&mut self) {
        let delivered = self.deliver(200_000);
        assert!(delivered < 200_000, "the network never settles");
    }

    /// Delivers at most so many messages, and returns how many there were.
    pub fn deliver(&mut self, most: usize) -> usize {
        let mut delivered = 0;
        while delivered < most
            && let Some(wire) = self.wire.pop_front()
        {
            delivered += 1;
            match wire {
                Wire::Request(way, id, request) => self.relay_handles(way, id, request),
                Wire::Response(way, id, response) if self.is_online(way) => {
                    let event = Event::RelayAnswered {
                        relay: self.people[way.who].relays[&way.relay],
                        request: id,
                        result: Ok(response),
                    };
                    self.event(way.who, event);
                }
                Wire::Push(way, push_id, mut push) if self.is_online(way) => {
                    if let (true, Push::Envelopes { items, .. }) =
                        (self.relays[way.relay].withholds, &mut push)
                    {
                        items.clear();
                    }
                    if !self.relays[way.relay].silent {
                        let relay = self.people[way.who].relays[&way.relay];
                        self.event(way.who, Event::RelayPushed { relay, push });
                    }
                    let core = &mut self.relays[way.relay].core;
                    let answer = core.push_done(ConnId(way.who as u64), push_id, true);
                    self.push(way.relay, answer.pushes);
                }
                Wire::Response(..) | Wire::Push(..) => {}
            }
        }
        delivered
    }

    fn is_online(&self, way: Way) -> bool {
        self.people[way.who].online.contains(&way.relay)
    }

    /// Lets time pass, timers run out and everything settle.
    pub fn pass(&mut self, ms: u64) {
        let until = self.now.plus_ms(ms);
        loop {
            let next = self
                .people
                .iter()
                .enumerate()
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

    /// Lets time pass while every machine sleeps; the timers run out on waking.
    pub fn sleep(&mut self, ms: u64) {
        self.now = self.now.plus_ms(ms);
        self.pass(0);
    }

    /// Kills a node and starts it again from what was committed.
    pub fn restart(&mut self, who: usize) {
        self.restart_after(who, |_| {});
    }

    /// Kills a node, does something to its disk, and starts it again.
    pub fn restart_after(&mut self, who: usize, harm: impl FnOnce(&mut MemStore)) {
        // Nobody tells the node: what is under way to and from it is lost.
        for relay in std::mem::take(&mut self.people[who].online) {
            self.relays[relay].core.disconnected(ConnId(who as u64));
        }
        let person = &mut self.people[who];
        let mut store = person.node.store().clone();
        store.crash();
        harm(&mut store);
        let chunks = person.node.chunks_mut().clone();
        let rng = ChaCha20Rng::seed_from_u64(1000 + who as u64);
        person.node = Node::open(store, chunks, rng, self.now).unwrap().unwrap();
        person.timers.clear();
        self.event(who, Event::Started);
        self.settle();
    }

    /// The recovery words of the person at this place, drawn again from their seed.
    pub fn phrase(&self, who: usize) -> String {
        let mut rng = ChaCha20Rng::seed_from_u64(who as u64 + 1);
        let me = Identity::generate("", START, &mut rng);
        assert_eq!(me.user(), self.people[who].node.me().user);
        me.phrase().unwrap().words().to_owned()
    }

    /// Puts a restored profile in somebody's place.
    pub fn restore(&mut self, who: usize, phrase: &str, backup: &[u8]) {
        let seed = RecoveryPhrase::parse(phrase).unwrap();
        let rng = ChaCha20Rng::seed_from_u64(2000 + who as u64);
        let (store, chunks) = (MemStore::new(), MemChunks::new());
        let person = &mut self.people[who];
        person.node = Node::restore(store, chunks, rng, &seed, backup, self.now).unwrap();
        person.timers.clear();
        self.event(who, Event::Started);
        self.settle();
    }

    /// The first relay loses its disk.
    pub fn wipe_relay(&mut self) {
        self.lose_at(0, |_| true);
    }

    /// A relay loses some of the envelopes it took in. Whoever was connected connects again.
    pub fn lose_at(&mut self, relay: usize, mut lost: impl FnMut(&PutRequest) -> bool) {
        let online: Vec<usize> = (0..self.people.len())
            .filter(|who| self.people[*who].online.contains(&relay))
            .collect();
        for who in &online {
            self.disconnect(*who);
        }
        let mut fresh = TestRelay::new();
        let scribe = ConnId(u64::MAX);
        assert!(fresh.core.connected(scribe, START, &mut self.rng));
        for (at, put) in std::mem::take(&mut self.relays[relay].taken) {
            if !lost(&put) {
                let request = Request::Put(put.clone());
                fresh
                    .core
                    .handle(scribe, request, at, &mut self.rng)
                    .unwrap();
                fresh.taken.push((at, put));
            }
        }
        fresh.core.disconnected(scribe);
        self.relays[relay] = fresh;
        for who in online {
            self.connect(who);
        }
    }

    pub fn event(&mut self, who: usize, event: Event) {
        let late_ms = self.people[who].late_ms;
        let clock = Timestamp::from_ms(self.now.as_ms() - late_ms);
        let effects = self.people[who].node.handle(event, clock).unwrap();
        self.people[who].node.sync().unwrap();
        self.run(who, effects);
    }

    /// Does what a node asks its driver for.
    pub fn run(&mut self, who: usize, effects: Vec<Effect>) {
        let late_ms = self.people[who].late_ms;
        for effect in effects {
            match effect {
                Effect::Request { relay, id, request } => {
                    let names = &self.people[who].relays;
                    let (relay, _) = names.iter().find(|(_, name)| **name == relay).unwrap();
                    let way = Way { who, relay: *relay };
                    if self.is_online(way) {
                        self.wire.push_back(Wire::Request(way, id, request));
                    }
                }
                Effect::SetTimer { timer, at } => {
                    let at = at.plus_ms(late_ms);
                    self.people[who].timers.insert(timer, at);
                }
                Effect::Answer { id, result } => {
                    self.people[who].answers.insert(id, *result);
                }
                Effect::Notify(notice) => self.people[who].notices.push(notice),
                Effect::Connect { relay, address } => {
                    let number = address.rsplit_once('/').unwrap().1.parse().unwrap();
                    self.people[who].relays.insert(number, relay);
                }
                Effect::Disconnect(_) => {}
            }
        }
    }

    fn relay_handles(&mut self, way: Way, id: RequestId, request: Request) {
        if !self.is_online(way) {
            return;
        }
        self.relay_saw
            .push(net::wire::encode_call(net::wire::Call::Request(
                request.clone(),
            )));
        let relay = &mut self.relays[way.relay];
        *relay.requests.entry(way.who).or_default() += 1;
        let conn = ConnId(way.who as u64);
        let answer = relay
            .core
            .handle(conn, request.clone(), self.now, &mut self.rng)
            .unwrap();
        relay.core.sync().unwrap();
        if let Some(mut response) = answer.response {
            if let (Request::Put(put), Response::Filed { .. }) = (&request, &response) {
                relay.taken.push((self.now, put.clone()));
            }
            if let (true, Response::Page { items, more }) = (relay.withholds, &mut response) {
                *more |= !items.is_empty();
                items.clear();
            }
            if let Some(lie) = &mut relay.lie {
                response = lie(way.who, &request, response);
            }
            self.wire.push_back(Wire::Response(way, id, response));
        }
        self.push(way.relay, answer.pushes);
    }

    fn push(&mut self, relay: usize, pushes: Vec<relay::Pushed>) {
        for pushed in pushes {
            let who = pushed.conn.0 as usize;
            let way = Way { who, relay };
            self.wire.push_back(Wire::Push(way, pushed.id, pushed.push));
        }
    }
}
