//! The ways by which an op comes in, each with a device of its own that has the whole Space.

use blobstore::MemChunks;
use fold::AuthorityFold;
use minicbor::bytes::ByteVec;
use minicbor::{Decode, Encode};
use mls::envelope::{self as envelopes, Day, SealKeys, TagKey};
use mls::{EpochKeys, EpochRoot};
use net::wire::{Challenge, Cursor, Filed, Push, Request, Response, Sealed};
use node::audit::ProofError;
use node::view::Notice;
use node::{Answer, Command, CommandId, Effect, Event, Identity, Node, RelayId};
use oplog::hash::H;
use oplog::store::{MemStore, Store};
use oplog::testing::TestSpace;
use oplog::{
    Accept, Digest, EpochId, Header, OpId, Scope, Secret, SignedOp, SpaceId, SpaceLog, SpaceNo,
    Tag, Timestamp, codec,
};
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;

use crate::memory::bounded;
use crate::table::{Case, Expect, Table, variant};

type TestNode = Node<MemStore, MemChunks, ChaCha20Rng>;

/// What an envelope holds.
#[derive(Encode)]
pub enum Content {
    #[n(0)]
    Ops(#[n(0)] Vec<ByteVec>),
}

#[derive(Clone, Encode, Decode)]
#[cbor(map)]
pub struct Claim {
    #[n(0)]
    pub op: OpId,
    #[n(1)]
    pub state: String,
    #[n(2)]
    pub rule: Option<String>,
    #[n(3)]
    pub deciding: Vec<OpId>,
    #[n(4)]
    pub heads: Vec<OpId>,
}

/// What a proof for outsiders holds.
#[derive(Clone, Encode, Decode)]
#[cbor(map)]
pub struct Proof {
    #[n(0)]
    pub space: SpaceId,
    #[n(1)]
    pub claim: Claim,
    #[n(2)]
    pub ops: Vec<ByteVec>,
}

pub const PROOF_MAGIC: &[u8] = b"decent proof v1";

impl Proof {
    pub fn open(bytes: &[u8]) -> Self {
        let body = &bytes[PROOF_MAGIC.len() + 32..];
        codec::decode("proof", body).expect("our own proof")
    }

    pub fn seal(&self) -> Vec<u8> {
        let body = codec::encode(self);
        let hash = H::new("proof").field(&body).finish();
        [PROOF_MAGIC, &hash, &body].concat()
    }
}

/// What became of an op, as a way in tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Refused by this rule, in these words.
    Refused(String, String),
    /// Not even an op.
    NoOp,
    /// Nothing was said and nothing changed.
    Nothing,
    /// It waits.
    Waits,
    Accepted,
    /// Something else, in words.
    Other(String),
}

/// A device in the Space that only listens.
pub struct Victim {
    pub node: TestNode,
    pub now: Timestamp,
    relay: RelayId,
    commands: u64,
    answer: Option<Result<Answer, node::CommandError>>,
    refused: Vec<(OpId, String, String)>,
    /// What the relay gives when it is asked next.
    shelf: Vec<Filed>,
    cursor: u64,
    /// Requests that were sent.
    pub asked: Vec<Request>,
}

impl Victim {
    pub fn new(seed: u64, now: Timestamp) -> Self {
        let mut rng = ChaCha20Rng::seed_from_u64(seed);
        let me = Identity::generate("Victim", now, &mut rng);
        let node = Node::create(MemStore::new(), MemChunks::new(), rng, me, now).unwrap();
        let mut victim = Self {
            node,
            now,
            relay: RelayId(0),
            commands: 0,
            answer: None,
            refused: Vec::new(),
            shelf: Vec::new(),
            cursor: Cursor::at(now).as_raw(),
            asked: Vec::new(),
        };
        victim.event(Event::Started);
        let address = "/memory/0".to_owned();
        victim.command(Command::AddRelay { address }).unwrap();
        victim
    }

    /// A device that has these ops, and keys of the epoch.
    fn in_space(seed: u64, space: &TestSpace, root: &EpochRoot, now: Timestamp) -> Self {
        let mut victim = Self::new(seed, now);
        let ops = space.ops().iter().map(SignedOp::encode);
        let bundle = node::export_of(space.id(), ops);
        match victim.command(Command::Import { bundle }) {
            Ok(Answer::Imported { new, .. }) => assert_eq!(new, space.ops().len() as u64),
            other => panic!("{other:?}"),
        }
        let entered = victim.node.danger_enter(&space.id(), space.epoch(), root);
        entered.unwrap();
        victim.event(Event::RelayConnected(victim.relay));
        victim
    }

    pub fn event(&mut self, event: Event) {
        let mut events = vec![event];
        while let Some(event) = events.pop() {
            let effects = self.node.handle(event, self.now).unwrap();
            self.node.sync().unwrap();
            for effect in effects {
                match effect {
                    Effect::Request { relay, id, request } => {
                        self.asked.push(request.clone());
                        let result = self.serve(&request);
                        events.push(Event::RelayAnswered {
                            relay,
                            request: id,
                            result,
                        });
                    }
                    Effect::Answer { result, .. } => self.answer = Some(*result),
                    Effect::Notify(Notice::Refused { op, rule, why, .. }) => {
                        self.refused.push((op, rule.to_owned(), why));
                    }
                    Effect::Connect { relay, .. } => self.relay = relay,
                    Effect::Notify(_) | Effect::SetTimer { .. } | Effect::Disconnect(_) => {}
                }
            }
        }
    }

    fn serve(&mut self, request: &Request) -> Result<Response, net::wire::RelayError> {
        Ok(match request {
            Request::Ping => Response::Pong {
                challenge: Challenge::from_bytes([1; 32]),
            },
            Request::Fetch { .. } => Response::Page {
                items: std::mem::take(&mut self.shelf),
                more: false,
            },
            Request::Put(_) => Response::Filed {
                cursor: Cursor::at(self.now),
            },
            Request::Subscribe { .. } | Request::Unsubscribe { .. } => Response::Ok,
            _ => return Err(net::wire::ErrorCode::NotFound.into()),
        })
    }

    /// Gives a command that is answered at once.
    pub fn command(&mut self, command: Command) -> Result<Answer, node::CommandError> {
        self.commands += 1;
        let id = CommandId(self.commands);
        self.event(Event::Command { id, command });
        self.answer.take().expect("no answer")
    }

    fn filed(&mut self, envelope: Vec<u8>) -> Filed {
        self.cursor += 1;
        Filed {
            cursor: Cursor::from_raw(self.cursor),
            sealed: Sealed::new(envelope),
        }
    }

    /// The relay pushes an envelope.
    pub fn push(&mut self, tag: Tag, envelope: Vec<u8>) {
        let item = self.filed(envelope);
        let push = Push::Envelopes {
            tag,
            prev: Cursor::START,
            items: vec![item],
        };
        let relay = self.relay;
        self.event(Event::RelayPushed { relay, push });
    }

    /// The relay says that there is something, and gives it when it is asked.
    pub fn fetch(&mut self, tag: Tag, envelope: Vec<u8>) {
        let item = self.filed(envelope);
        self.shelf.push(item);
        let relay = self.relay;
        let push = Push::Behind { tag };
        self.event(Event::RelayPushed { relay, push });
        assert!(self.shelf.is_empty(), "it did not ask");
    }

    pub fn take_refused(&mut self) -> Vec<(OpId, String, String)> {
        std::mem::take(&mut self.refused)
    }

    /// Hash of all that its ops make, how many wait, and how many control ops there are.
    pub fn state(&self) -> (Digest, usize, usize) {
        let status = self.node.status().unwrap();
        let space = &status.spaces[0];
        (space.state_hash, space.held, space.control_ops)
    }
}

/// The Space on every way in.
pub struct Stage {
    id: SpaceId,
    now: Timestamp,
    scopes: Vec<Scope>,
    keys: EpochKeys,
    pushed: Victim,
    fetched: Victim,
    imported: Victim,
    proof: Proof,
    log: SpaceLog<fold::AuthorityView>,
    store: MemStore,
    authority: AuthorityFold,
    sealed: u64,
}

impl Stage {
    /// Sets the stage. `about` is an accepted op, which a proof is about.
    pub fn set(space: &TestSpace, about: OpId, now: Timestamp) -> Self {
        let root = EpochRoot::new(Secret::from_bytes([7; 32]));
        let victim = |seed| Victim::in_space(seed, space, &root, now);
        let [pushed, fetched, imported] = [1, 2, 3].map(victim);
        let mut proof = Proof::open(&imported.node.prove(space.id(), about).unwrap());
        proof.ops = {
            let mut ops: Vec<&SignedOp> = space.ops().iter().collect();
            ops.sort_by_key(|op| (op.header().hlc, op.id()));
            ops.iter().map(|op| ByteVec::from(op.encode())).collect()
        };
        assert!(node::audit::verify(&proof.seal()).is_ok());
        let mut log = SpaceLog::new(space.id(), SpaceNo(1));
        let (mut store, mut authority) = (MemStore::new(), AuthorityFold::new());
        for op in space.ops() {
            let op = op.clone().verify().unwrap();
            log.accept(op, now, &mut store, &mut authority).unwrap();
        }
        store.commit().unwrap();
        let mut scopes: Vec<Scope> = space.ops().iter().map(|op| op.header().scope).collect();
        scopes.sort_unstable();
        scopes.dedup();
        Self {
            id: space.id(),
            now,
            scopes,
            keys: EpochKeys::new(&root),
            pushed,
            fetched,
            imported,
            proof,
            log,
            store,
            authority,
            sealed: 0,
        }
    }

    /// Seals ops as a member would; `None` when they fit no envelope.
    fn envelope(&mut self, ops: &[Vec<u8>]) -> Option<(Tag, Vec<u8>)> {
        self.sealed += 1;
        let last = ops.last().and_then(|bytes| SignedOp::decode(bytes).ok());
        let scope = last.map_or(Scope::Control, |op| op.header().scope);
        let known = self.scopes.contains(&scope);
        let scope = if known { scope } else { Scope::Control };
        let day = Day::from_number(self.now.day());
        let tag = TagKey::derive(&self.keys.topic(), &scope, day).tag();
        let ops = ops.iter().map(|op| ByteVec::from(op.clone())).collect();
        let content = codec::encode(&Content::Ops(ops));
        let mut rng = ChaCha20Rng::seed_from_u64(self.sealed);
        let keys = SealKeys::new(&self.keys, &scope);
        let envelope = envelopes::seal(&keys, &tag, &content, &mut rng).ok()?;
        Some((tag, envelope))
    }

    /// Runs a case by every way, each of which must come to the same.
    pub fn run(&mut self, table: &mut Table, case: &Case) {
        let error = match &case.expect {
            Expect::NoOp(variant) => format!("CodecError::{variant}"),
            Expect::Unsigned(variant) => format!("SignatureError::{variant}"),
            Expect::Refused(rule, variant) => {
                table.rule(*rule);
                format!("{} {variant}", rule.id())
            }
            Expect::Held => "held".to_owned(),
            Expect::Deferred => "deferred".to_owned(),
        };
        table.case(&case.name, &error);
        let words = self.by_log(table, case);
        let id = SignedOp::decode(&case.bytes).ok().map(|op| op.id());
        let must = match (&case.expect, id) {
            (Expect::NoOp(_), None) => Fate::NoOp,
            (Expect::Unsigned(_), Some(_)) => Fate::Refused("S0".to_owned(), words),
            (Expect::Refused(rule, _), Some(_)) => Fate::Refused(rule.id().to_owned(), words),
            (Expect::Held, Some(_)) => Fate::Waits,
            // What waits for its time is counted nowhere.
            (Expect::Deferred, Some(_)) => Fate::Nothing,
            _ => Fate::Other("the log says otherwise".to_owned()),
        };
        let before: Vec<Vec<u8>> = case.before.clone();
        let mut ops = before;
        ops.push(case.bytes.clone());
        if let Some((tag, envelope)) = self.envelope(&ops) {
            // What is no op is passed over without a word.
            let quiet = match &must {
                Fate::NoOp => Fate::Nothing,
                other => other.clone(),
            };
            let pushed = watch(&mut self.pushed, id, |v| v.push(tag, envelope.clone()));
            table.run(&case.name, "relay push", &pushed, &quiet);
            let fetched = watch(&mut self.fetched, id, |v| v.fetch(tag, envelope));
            table.run(&case.name, "relay answer", &fetched, &quiet);
        }
        let bundle = node::export_of(self.id, ops);
        let (mut unreadable, mut waits) = (0, 0);
        let seen = watch(&mut self.imported, id, |v| {
            match v.command(Command::Import { bundle }) {
                Ok(Answer::Imported {
                    unreadable: n,
                    waiting,
                    ..
                }) => {
                    (unreadable, waits) = (n, waiting);
                }
                other => panic!("{other:?}"),
            }
        });
        let kept = matches!(case.expect, Expect::Held | Expect::Deferred);
        table.check(
            &case.name,
            "the import counts what waits",
            (waits > 0) == kept,
        );
        let seen = match (seen, unreadable) {
            (Fate::Nothing, 1) => Fate::NoOp,
            (seen, 0) => seen,
            (seen, n) => Fate::Other(format!("{seen:?}, {n} unreadable")),
        };
        table.run(&case.name, "import file", &seen, &must);
        if case.before.is_empty() && case.expect != Expect::Deferred {
            self.by_proof(table, case, &must);
        }
    }

    /// Decodes, verifies and judges by hand: gives the typed error, and its words.
    fn by_log(&mut self, table: &mut Table, case: &Case) -> String {
        const WAY: &str = "decoder and log";
        for bytes in &case.before {
            if let Ok(op) = SignedOp::decode(bytes)
                && let Ok(op) = op.verify()
            {
                let _ = self
                    .log
                    .accept(op, self.now, &mut self.store, &mut self.authority);
            }
        }
        let (decoded, fits) = bounded(&case.bytes, SignedOp::decode);
        table.check(&case.name, "memory before the signature is bounded", fits);
        let (seen, words) = match decoded.map(SignedOp::verify) {
            Err(error) => (
                format!("CodecError::{}", variant(&error)),
                error.to_string(),
            ),
            Ok(Err(error)) => (
                format!("SignatureError::{}", variant(&error)),
                error.to_string(),
            ),
            Ok(Ok(op)) => {
                let judged = self
                    .log
                    .accept(op, self.now, &mut self.store, &mut self.authority);
                match judged {
                    Err(error) => {
                        let rule = error.rule().map_or("?", oplog::Rule::id);
                        (format!("{rule} {}", variant(&error)), error.to_string())
                    }
                    Ok(Accept::Held { .. }) => ("held".to_owned(), String::new()),
                    Ok(Accept::Deferred { .. }) => ("deferred".to_owned(), String::new()),
                    Ok(other) => (variant(&other), String::new()),
                }
            }
        };
        let must = match &case.expect {
            Expect::NoOp(variant) => format!("CodecError::{variant}"),
            Expect::Unsigned(variant) => format!("SignatureError::{variant}"),
            Expect::Refused(rule, variant) => format!("{} {variant}", rule.id()),
            Expect::Held => "held".to_owned(),
            Expect::Deferred => "deferred".to_owned(),
        };
        table.run(&case.name, WAY, &seen, &must);
        words
    }

    /// A proof for outsiders that holds the op among all others.
    fn by_proof(&self, table: &mut Table, case: &Case, must: &Fate) {
        let mut proof = self.proof.clone();
        let op = SignedOp::decode(&case.bytes).ok();
        let key = |bytes: &[u8]| {
            let op = SignedOp::decode(bytes).expect("an op");
            (op.header().hlc, op.id())
        };
        let place = op.as_ref().map_or(proof.ops.len(), |op| {
            let at = (op.header().hlc, op.id());
            proof.ops.iter().filter(|bytes| key(bytes) < at).count()
        });
        // A proof lists ops by time: of what comes later, it lacks what the op builds on.
        let there: Vec<OpId> = proof.ops[..place].iter().map(|b| key(b).1).collect();
        let lacks = |header: &Header| header.refs().any(|id| !there.contains(&id));
        let must = match (must, &op) {
            (Fate::NoOp, _) | (_, None) => "Malformed".to_owned(),
            (_, Some(_)) if matches!(case.expect, Expect::Unsigned(_)) => "Signature".to_owned(),
            (_, Some(op)) if op.space() == self.id && lacks(op.header()) => "Incomplete".to_owned(),
            (Fate::Refused(rule, words), Some(_)) => format!("Refused {rule} {words}"),
            (_, Some(_)) => "Incomplete".to_owned(),
        };
        proof.ops.insert(place, ByteVec::from(case.bytes.clone()));
        let seen = match node::audit::verify(&proof.seal()) {
            Ok(_) => "a proof".to_owned(),
            Err(ProofError::Refused { rule, why, .. }) => format!("Refused {rule} {why}"),
            Err(error) => variant(&error),
        };
        table.run(&case.name, "proof file", &seen, &must);
    }
}

/// What one way does with an op, judged by what the device says and by its state.
fn watch(victim: &mut Victim, id: Option<OpId>, come: impl FnOnce(&mut Victim)) -> Fate {
    let before = victim.state();
    come(victim);
    let after = victim.state();
    let refused = victim.take_refused();
    let of_it = refused.into_iter().find(|(op, ..)| Some(*op) == id);
    match of_it {
        _ if (before.0, before.2) != (after.0, after.2) => Fate::Accepted,
        Some((_, rule, why)) => Fate::Refused(rule, why),
        None if after.1 > before.1 => Fate::Waits,
        None => Fate::Nothing,
    }
}

/// The epoch of nobody.
pub const NOWHERE: EpochId = EpochId::from_bytes([9; 32]);
