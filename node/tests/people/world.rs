//! Nodes and a relay in one thread under virtual time: the real cores, wired without sockets.

use std::collections::{BTreeMap, VecDeque};

use blobstore::MemChunks;
use net::wire::{Push, Request, Response};
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

/// The relay everybody uses.
pub const RELAY: &str = "/memory/1";
/// 2026-01-01.
pub const START: Timestamp = Timestamp::from_ms(1_767_225_600_000);

/// A person with a node.
pub struct Person {
    pub node: TestNode,
    pub online: bool,
    pub notices: Vec<Notice>,
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
pub struct World {
    pub people: Vec<Person>,
    pub relay: RelayCore<relay::MemStore>,
    pub now: Timestamp,
    /// Every sealed byte the relay was sent.
    pub relay_saw: Vec<Vec<u8>>,
    wire: VecDeque<Wire>,
    rng: ChaCha20Rng,
}

impl World {
    pub fn new(names: &[&str]) -> Self {
        let mut people = Vec::new();
        for (seed, name) in names.iter().enumerate() {
            let mut rng = ChaCha20Rng::seed_from_u64(seed as u64 + 1);
            let me = Identity::generate(name, START, &mut rng);
            let node = Node::create(MemStore::new(), MemChunks::new(), rng, me, START).unwrap();
            people.push(Person {
                node,
                online: false,
                notices: Vec::new(),
                timers: BTreeMap::new(),
                answers: BTreeMap::new(),
                commands: 0,
            });
        }
        let mut world = Self {
            people,
            relay: RelayCore::new(relay::MemStore::new(), Limits::default()),
            now: START,
            relay_saw: Vec::new(),
            wire: VecDeque::new(),
            rng: ChaCha20Rng::seed_from_u64(99),
        };
        for who in 0..names.len() {
            world.event(who, Event::Started);
            world
                .command(
                    who,
                    Command::AddRelay {
                        address: RELAY.to_owned(),
                    },
                )
                .unwrap();
        }
        world
    }

    /// Connects somebody and lets everything happen that follows.
    pub fn connect(&mut self, who: usize) {
        assert!(
            self.relay
                .connected(ConnId(who as u64), self.now, &mut self.rng)
        );
        self.people[who].online = true;
        self.event(who, Event::RelayConnected(RelayId(0)));
        self.settle();
    }

    pub fn disconnect(&mut self, who: usize) {
        self.relay.disconnected(ConnId(who as u64));
        self.people[who].online = false;
        self.event(
            who,
            Event::RelayDisconnected {
                relay: RelayId(0),
                reason: "unplugged".to_owned(),
            },
        );
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
        let mut steps = 0;
        while let Some(wire) = self.wire.pop_front() {
            steps += 1;
            assert!(steps < 200_000, "the network never settles");
            match wire {
                Wire::Request(who, id, request) => self.relay_handles(who, id, request),
                Wire::Response(who, id, response) if self.people[who].online => {
                    let result = Ok(response);
                    self.event(
                        who,
                        Event::RelayAnswered {
                            relay: RelayId(0),
                            request: id,
                            result,
                        },
                    );
                }
                Wire::Push(who, push_id, push) if self.people[who].online => {
                    self.event(
                        who,
                        Event::RelayPushed {
                            relay: RelayId(0),
                            push,
                        },
                    );
                    let answer = self.relay.push_done(ConnId(who as u64), push_id, true);
                    for pushed in answer.pushes {
                        self.wire.push_back(Wire::Push(
                            pushed.conn.0 as usize,
                            pushed.id,
                            pushed.push,
                        ));
                    }
                }
                Wire::Response(..) | Wire::Push(..) => {}
            }
        }
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

    /// Kills a node and starts it again from what was committed.
    pub fn restart(&mut self, who: usize) {
        self.disconnect(who);
        let person = &mut self.people[who];
        let mut store = person.node.store().clone();
        store.crash();
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

    /// The relay loses its disk; connections stay.
    pub fn wipe_relay(&mut self) {
        let online: Vec<usize> = (0..self.people.len())
            .filter(|who| self.people[*who].online)
            .collect();
        for who in &online {
            self.disconnect(*who);
        }
        self.relay = RelayCore::new(relay::MemStore::new(), Limits::default());
        for who in online {
            self.connect(who);
        }
    }

    pub fn event(&mut self, who: usize, event: Event) {
        let effects = self.people[who].node.handle(event, self.now).unwrap();
        self.people[who].node.sync().unwrap();
        for effect in effects {
            match effect {
                Effect::Request { id, request, .. } => {
                    if self.people[who].online {
                        self.wire.push_back(Wire::Request(who, id, request));
                    }
                }
                Effect::SetTimer { timer, at } => {
                    self.people[who].timers.insert(timer, at);
                }
                Effect::Answer { id, result } => {
                    self.people[who].answers.insert(id, *result);
                }
                Effect::Notify(notice) => self.people[who].notices.push(notice),
                Effect::Connect { .. } | Effect::Disconnect(_) => {}
            }
        }
    }

    fn relay_handles(&mut self, who: usize, id: RequestId, request: Request) {
        if !self.people[who].online {
            return;
        }
        self.relay_saw
            .push(net::wire::encode_call(net::wire::Call::Request(
                request.clone(),
            )));
        let answer = self
            .relay
            .handle(ConnId(who as u64), request, self.now, &mut self.rng)
            .unwrap();
        self.relay.sync().unwrap();
        if let Some(response) = answer.response {
            self.wire.push_back(Wire::Response(who, id, response));
        }
        for pushed in answer.pushes {
            self.wire
                .push_back(Wire::Push(pushed.conn.0 as usize, pushed.id, pushed.push));
        }
    }
}
