//! Nodes, and what comes to them from relays, members, newcomers and files.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::LazyLock;

use mls::envelope::{self as envelopes, SealKeys, TagKey};
use mls::{EpochKeys, sealed_box, stored};
use net::wire::{Call, Cursor, Filed, Push, RecvId, Reply, Request, Sealed};
use node::{Command, Event, Identity, RecoveryPhrase, Timer};
use oplog::store::MemStore;
use oplog::{Digest, Scope, Secret, SecretKey, Tag};
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;

use crate::edits::raw_or_edits;
use crate::scene::{ALICE, BOB, JOHN, Scene, invite};
use crate::world::{START, World};

/// A scene is used so often before another takes its place: inputs leave things behind.
const USES: u32 = 200;
const MAIL_INFO: &[u8] = b"decent mail v1";

/// An envelope that a relay took: its tag and bytes.
type Put = (Tag, Vec<u8>);

/// What happened in one Space, for others to change.
struct Told {
    calls: Vec<Vec<u8>>,
    replies: Vec<Vec<u8>>,
    links: Vec<String>,
    proof: Vec<u8>,
    backup: (Secret, Vec<u8>),
    export: Vec<u8>,
}

static TOLD: LazyLock<Told> = LazyLock::new(|| {
    let replies = Rc::new(RefCell::new(Vec::new()));
    let mut world = World::new(&["Alice", "Bob", "John"]);
    let heard = Rc::clone(&replies);
    world.relays[0].lie = Some(Box::new(move |_, _, response| {
        heard
            .borrow_mut()
            .push(net::wire::encode_reply(Reply::Response(response.clone())));
        response
    }));
    let mut scene = Scene::found(world, &[BOB, JOHN]);
    let post = scene.post(BOB, "hello");
    scene.post(ALICE, "hello yourself");
    scene.world.pass(60_000);
    let link = invite(&mut scene.world, ALICE, scene.space).to_string();
    let phrase = scene.world.phrase(ALICE);
    let node = &mut scene.world.people[ALICE].node;
    let dump = node.dump(scene.space).expect("the Space is here");
    let ops = dump.ops.into_iter().map(|op| op.bytes);
    let export = node::export_of(scene.space, ops);
    let proof = node.prove(scene.space, post).expect("the post is here");
    let backup = node.backup().expect("the store does not fail");
    let seed = RecoveryPhrase::parse(&phrase).expect("her own words");
    let replies = replies.borrow().clone();
    Told {
        calls: scene.world.relay_saw.clone(),
        replies,
        links: vec![link],
        proof,
        backup: (seed, backup),
        export,
    }
});

pub(crate) static CALLS: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| TOLD.calls.clone());
pub(crate) static REPLIES: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| TOLD.replies.clone());
pub(crate) static LINKS: LazyLock<Vec<String>> = LazyLock::new(|| TOLD.links.clone());
pub(crate) static PROOF: LazyLock<Vec<u8>> = LazyLock::new(|| TOLD.proof.clone());

/// A scene with what its relay holds.
struct Stage {
    scene: Scene,
    puts: Vec<Put>,
    /// What Bob has read.
    texts: Vec<String>,
    /// What lies in the envelopes that Bob's keys open, and where.
    contents: Vec<(Scope, Tag, Vec<u8>)>,
    keys: EpochKeys,
    used: u32,
    filed: u64,
}

impl Stage {
    fn set() -> Self {
        let world = World::new(&["Alice", "Bob", "John"]);
        let mut scene = Scene::found(world, &[BOB, JOHN]);
        scene.make_admin(BOB);
        scene.post(ALICE, "one");
        scene.post(JOHN, "two");
        scene.world.pass(60_000);
        let texts = scene.texts(BOB);
        assert_eq!(texts.len(), 2);
        let taken = scene.world.relays[0].taken.iter();
        let puts: Vec<Put> = taken
            .map(|(_, put)| (put.tag, put.envelope.as_bytes().to_vec()))
            .collect();
        let bob = &scene.world.people[BOB].node;
        let epoch = bob.spaces()[0].epoch;
        let root = stored::load_root(bob.store(), &scene.space, &epoch).expect("his keys");
        let keys = EpochKeys::new(&root);
        let scopes = [Scope::Control, Scope::Channel(scene.general)];
        let mut contents = Vec::new();
        for (tag, envelope) in &puts {
            for scope in scopes {
                if let Ok(plain) = envelopes::open_in(envelope, &scope, [&keys]) {
                    contents.push((scope, *tag, plain));
                }
            }
        }
        assert!(contents.len() >= 2, "{} contents", contents.len());
        Self {
            scene,
            puts,
            texts,
            contents,
            keys,
            used: 0,
            filed: 0,
        }
    }

    /// A relay pushes this to Bob.
    fn push(&mut self, who: usize, tag: Tag, envelope: Vec<u8>) {
        self.filed += 1;
        let at = Cursor::at(self.scene.world.now).as_raw() + self.filed;
        let item = Filed {
            cursor: Cursor::from_raw(at),
            sealed: Sealed::new(envelope),
        };
        let push = Push::Envelopes {
            tag,
            prev: Cursor::START,
            items: vec![item],
        };
        self.take(who, push);
    }

    fn take(&mut self, who: usize, push: Push) {
        let relay = self.scene.world.people[who].relays[&0];
        self.event(who, Event::RelayPushed { relay, push });
        for timer in [
            Timer::Give,
            Timer::Want,
            Timer::Admit,
            Timer::Letter,
            Timer::Reconcile,
        ] {
            self.event(who, Event::TimerExpired(timer(self.scene.space)));
        }
    }

    fn event(&mut self, who: usize, event: Event) {
        let now = self.scene.world.now;
        let node = &mut self.scene.world.people[who].node;
        node.handle(event, now).expect("the store does not fail");
        node.sync().expect("the store does not fail");
    }

    /// Whatever came: what was there is there.
    fn check(&self) {
        let now = self.scene.texts(BOB);
        for text in &self.texts {
            assert!(now.contains(text), "{text:?} is gone");
        }
        let status = self.scene.world.people[BOB].node.status();
        let status = status.expect("the store does not fail");
        assert_eq!(status.spaces[0].lost, 0);
    }
}

thread_local! {
    static STAGE: RefCell<Option<Stage>> = const { RefCell::new(None) };
}

fn on_stage(play: impl FnOnce(&mut Stage)) {
    STAGE.with(|stage| {
        let mut stage = stage.borrow_mut();
        let worn = stage.as_ref().is_none_or(|stage| stage.used >= USES);
        if worn {
            *stage = Some(Stage::set());
        }
        if let Some(stage) = stage.as_mut() {
            stage.used += 1;
            play(stage);
            stage.check();
        }
    });
}

/// Envelopes as a relay may give them.
pub fn peer(data: &[u8]) {
    on_stage(|stage| {
        let which = usize::from(data.first().copied().unwrap_or(0) / 2) % stage.puts.len();
        let envelopes: Vec<Vec<u8>> = stage.puts.iter().map(|(_, e)| e.clone()).collect();
        let envelope = raw_or_edits(&envelopes, data);
        let tag = stage.puts[which].0;
        stage.push(BOB, tag, envelope);
    });
}

/// What a member seals: keys are right, the rest is theirs.
pub fn member(data: &[u8]) {
    on_stage(|stage| {
        let which = usize::from(data.first().copied().unwrap_or(0) / 2) % stage.contents.len();
        let contents: Vec<Vec<u8>> = stage.contents.iter().map(|(.., c)| c.clone()).collect();
        let content = raw_or_edits(&contents, data);
        let (scope, tag, _) = stage.contents[which];
        let keys = SealKeys::new(&stage.keys, &scope);
        let mut rng = ChaCha20Rng::seed_from_u64(stage.filed);
        if let Ok(envelope) = envelopes::seal(&keys, &tag, &content, &mut rng) {
            stage.push(BOB, tag, envelope);
        }
    });
}

/// Whoever has a link asks to be let in: the request is sealed under the link's key.
pub fn join_request(data: &[u8]) {
    thread_local! {
        static ASKED: RefCell<Option<(Stage, SecretKey, Vec<Vec<u8>>)>> = const { RefCell::new(None) };
    }
    ASKED.with(|asked| {
        let mut asked = asked.borrow_mut();
        if asked.as_ref().is_none_or(|(stage, ..)| stage.used >= USES) {
            let mut stage = Stage::set();
            let link = invite(&mut stage.scene.world, BOB, stage.scene.space);
            let key = SecretKey::from_seed(link.secret.as_bytes());
            let tag = TagKey::of_invite(SecretKey::from_seed(link.secret.as_bytes())).tag();
            let keys = SealKeys::of_invite(&Digest::from_bytes(key.public()));
            // Somebody asks in earnest, so that there is something to change.
            let mut other = World::new(&["Alice", "Bob", "John", "Carol"]);
            other.connect(3);
            let id = other.begin(3, Command::Join { link });
            other.settle();
            assert!(other.answer(3, id).is_none(), "nobody answers");
            let taken = other.relays[0]
                .taken
                .iter()
                .filter(|(_, put)| put.tag == tag);
            let opened = taken.filter_map(|(_, put)| {
                let opened = envelopes::open(put.envelope.as_bytes(), &[keys.clone()]);
                opened.ok().map(|(_, content)| content)
            });
            let requests: Vec<Vec<u8>> = opened.collect();
            assert!(!requests.is_empty(), "a request lies there");
            *asked = Some((stage, key, requests));
        }
        if let Some((stage, key, requests)) = asked.as_mut() {
            stage.used += 1;
            let content = raw_or_edits(requests, data);
            let public = Digest::from_bytes(key.public());
            let tag = TagKey::of_invite(SecretKey::from_seed(&key.to_seed())).tag();
            let mut rng = ChaCha20Rng::seed_from_u64(stage.filed);
            let sealed = envelopes::seal(&SealKeys::of_invite(&public), &tag, &content, &mut rng);
            if let Ok(envelope) = sealed {
                stage.push(BOB, tag, envelope);
            }
            stage.check();
        }
    });
}

/// Mail to somebody who waits to be let in: the answer of whoever has the link.
pub fn mail(data: &[u8]) {
    thread_local! {
        static WAITS: RefCell<Option<(World, RecvId, Digest, u64)>> = const { RefCell::new(None) };
    }
    WAITS.with(|waits| {
        let mut waits = waits.borrow_mut();
        if waits
            .as_ref()
            .is_none_or(|(.., used)| *used >= u64::from(USES))
        {
            let mut inside = Stage::set();
            let link = invite(&mut inside.scene.world, BOB, inside.scene.space);
            let mut world = World::new(&["Carol"]);
            world.connect(0);
            let id = world.begin(0, Command::Join { link });
            world.settle();
            assert!(world.answer(0, id).is_none(), "nobody answers");
            let mailbox =
                world
                    .relay_saw
                    .iter()
                    .find_map(|call| match net::wire::decode_call(call) {
                        Ok(Call::Request(Request::MboxSubscribe { recv_id, .. })) => Some(recv_id),
                        Ok(_) | Err(_) => None,
                    });
            let mut rng = ChaCha20Rng::seed_from_u64(1);
            let carol = Identity::generate("Carol", START, &mut rng);
            let key = carol.cert().hpke_key;
            *waits = Some((world, mailbox.expect("she listens"), key, 0));
        }
        let Some((world, recv_id, key, used)) = waits.as_mut() else {
            return;
        };
        *used += 1;
        let mut rng = ChaCha20Rng::seed_from_u64(*used);
        let content = raw_or_edits(&[], data);
        let Ok(sealed) = sealed_box::seal_to(key, MAIL_INFO, &[], &content, &mut rng) else {
            return;
        };
        let at = Cursor::at(world.now).as_raw() + *used;
        let item = Filed {
            cursor: Cursor::from_raw(at),
            sealed: Sealed::new(sealed),
        };
        let relay = world.people[0].relays[&0];
        let push = Push::Mail {
            recv_id: *recv_id,
            items: vec![item],
            prev: Cursor::START,
        };
        let now = world.now;
        let node = &mut world.people[0].node;
        let took = node.handle(Event::RelayPushed { relay, push }, now);
        took.expect("the store does not fail");
        node.sync().expect("the store does not fail");
        node.status().expect("the store does not fail");
    });
}

/// Files that are said to be exports.
pub fn export(data: &[u8]) {
    on_stage(|stage| {
        let bundle = raw_or_edits(std::slice::from_ref(&TOLD.export), data);
        let world = &mut stage.scene.world;
        let id = world.begin(BOB, Command::Import { bundle });
        world.settle();
        world.pass(1_000);
        assert!(world.answer(BOB, id).is_some(), "it was never answered");
    });
}

/// Files that are said to be backups.
pub fn backup(data: &[u8]) {
    let (seed, valid) = &TOLD.backup;
    let bytes = raw_or_edits(std::slice::from_ref(valid), data);
    if node::backup::check(seed, &bytes).is_ok() {
        assert_eq!(&bytes, valid);
    }
    let rng = ChaCha20Rng::seed_from_u64(1);
    let (store, chunks) = (MemStore::new(), blobstore::MemChunks::new());
    let _ = node::Node::restore(store, chunks, rng, seed, &bytes, START);
}
