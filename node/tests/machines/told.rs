//! What a program tells: its log at the finest level, `Debug` of what it holds, its errors, its panics. No
//! secret and nothing that people say is in any of them.

use core::error::Error;
use core::fmt::{self, Write as _};
use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex};

use node::runtime::KeySource;
use node::{Answer, Command, Identity, RecoveryPhrase};
use oplog::{EpochId, Secret, SecretKey, recorder};
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;
use store::RootKey;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

use crate::scan::{Scanner, forms};
use crate::secrets::{ALICE, story};
use crate::world::{Machine, START, World, post};

/// What people say and are called in the story.
const CANARIES: [&str; 6] = [
    "Alice Xq7Wz",
    "Bob Xq7Wz",
    "Carol Xq7Wz",
    "said by",
    "at the end",
    "Allotment",
];

/// Must be in the log: is anything written down?
const PROBE: &str = "written down";

/// Writes down everything, whatever the level.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<String>>);

struct Fields<'a>(&'a mut String);

impl Visit for Fields<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        write!(self.0, " {}={value:?}", field.name()).unwrap();
    }
}

impl Subscriber for Log {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        let mut text = self.0.lock().unwrap();
        text.push_str(span.metadata().name());
        span.record(&mut Fields(&mut text));
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, values: &Record<'_>) {
        values.record(&mut Fields(&mut self.0.lock().unwrap()));
    }

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut text = self.0.lock().unwrap();
        let of = event.metadata();
        write!(text, "\n{} {}", of.level(), of.target()).unwrap();
        event.record(&mut Fields(&mut text));
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

/// An error with its causes, as people and as developers see it.
fn chain(error: &dyn Error) -> String {
    let mut text = format!("{error} {error:?}");
    let mut cause = error.source();
    while let Some(at) = cause {
        write!(text, " {at} {at:?}").unwrap();
        cause = at.source();
    }
    text
}

#[test]
fn nothing_secret_and_nothing_said_is_in_logs_debug_errors_or_panics() {
    recorder::begin();
    let log = Log::default();
    let mut told = String::new();
    let mut phrase = String::new();
    let mut passphrase = "pass Xq7Wz phrase".to_owned();
    // The vault names the epochs whose keys it holds, and anybody may know their names.
    let mut public = BTreeSet::<Vec<u8>>::new();
    tracing::subscriber::with_default(log.clone(), || {
        tracing::trace!(probe = PROBE);
        let mut world = World::new(START);
        let mut machines = Vec::new();
        for (n, name) in (0..).zip(CANARIES).take(3) {
            let (machine, profile) = Machine::new(n + 60);
            world.add_new(name, profile);
            machines.push(machine);
        }
        let space = story(&mut world, 2, 3);
        // Most that is logged is what went wrong: disks that fail, and starts from what is left.
        for n in 0..12 {
            let machine = &mut machines[ALICE];
            match n % 3 {
                0 => machine.disk.fail_write(n / 3),
                1 => machine.disk.fail_sync(n / 3),
                _ => machine.index.fail_after(n / 3),
            }
            let channel = world.general(ALICE, space);
            world.begin(ALICE, post(space, channel, "said by Alice Xq7Wz"));
            world.settle();
            world.stop(ALICE);
            machine.disk.heal();
            machine.disk.kill();
            machine.index.power_cut();
            let node = machine.open(world.now);
            world.start(ALICE, node);
            world.connect(ALICE);
        }
        world.stop(ALICE);
        machines[ALICE].disk.kill();
        machines[ALICE].index.kill();
        let node = machines[ALICE].open(world.now);
        write!(told, "{node:?} {:?}", node.store()).unwrap();
        world.start(ALICE, node);

        let commits = world.node(ALICE).held_ops(space).unwrap();
        let epochs = commits.iter().map(|op| EpochId::of_commit(&op.id()));
        let epochs = epochs.chain([EpochId::genesis(&space)]);
        public.extend(epochs.map(|epoch| epoch.as_bytes().to_vec()));

        // `Debug` of whatever holds a secret.
        let link = world.invite(ALICE, space);
        let join = Command::Join { link: link.clone() };
        write!(
            told,
            "{link:?} {join:?} {:?}",
            Answer::Invite {
                link: link.clone(),
                op: oplog::OpId::from_bytes([1; 32])
            }
        )
        .unwrap();
        let mut rng = ChaCha20Rng::seed_from_u64(5);
        let me = Identity::generate("Dora Xq7Wz", START, &mut rng);
        let words = me.phrase().unwrap();
        phrase.push_str(words.words());
        write!(
            told,
            "{:?} {words:?}",
            Identity::generate("", START, &mut rng)
        )
        .unwrap();
        let secret = Secret::generate(&mut rng);
        recorder::secret("debug", secret.as_bytes());
        let seed: [u8; 32] = *Secret::generate(&mut rng).as_bytes();
        recorder::secret("debug", &seed);
        let key = SecretKey::from_seed(&seed);
        let keys = mls::keys::EpochKeys::new(&mls::keys::EpochRoot::new(secret.clone()));
        let source = KeySource::Passphrase(passphrase.clone());
        let root = RootKey::Passphrase {
            passphrase: passphrase.clone().into(),
            cost: store::KdfCost::default(),
        };
        write!(
            told,
            "{secret:?} {key:?} {keys:?} {:?} {source:?} {root:?}",
            keys.topic()
        )
        .unwrap();

        // Errors about what is secret.
        let wrong = phrase.replacen(' ', " xq7wz ", 1);
        told.push_str(&chain(&RecoveryPhrase::parse(&wrong).unwrap_err()));
        let cut = phrase.rsplit_once(' ').unwrap().0;
        told.push_str(&chain(&RecoveryPhrase::parse(cut).unwrap_err()));

        // A panic over a secret.
        let panicked = catch_unwind(AssertUnwindSafe(|| {
            let refuse = |secret: &Secret| -> Result<(), Secret> { Err(secret.clone()) };
            refuse(&secret).unwrap();
        }));
        let text = panicked.unwrap_err();
        told.push_str(text.downcast_ref::<String>().unwrap());
    });
    let log = log.0.lock().unwrap().clone();
    assert!(log.contains(PROBE), "nothing is written down: {log}");
    let mut secrets = recorder::told().secrets;
    // What keys are derived from can be public, such as the id of a Space.
    secrets.retain(|secret, whose| {
        whose.iter().any(|who| *who != "hkdf, key") && !public.contains(secret)
    });
    assert!(secrets.len() > 200, "only {} secrets", secrets.len());
    let all: Vec<Vec<u8>> = secrets.keys().flat_map(|secret| forms(secret)).collect();
    let scanner = Scanner::new(all.iter().map(Vec::as_slice));
    for (what, text) in [("the log", &log), ("Debug, errors and panics", &told)] {
        if let Some(found) = scanner.find(text.as_bytes()).first() {
            let whose = secrets
                .iter()
                .find(|(secret, _)| forms(secret).contains(found));
            let found = String::from_utf8_lossy(found);
            let at = text.find(&*found).unwrap();
            let before: String = text[..at].chars().rev().take(300).collect();
            let before: String = before.chars().rev().collect();
            panic!(
                "{what} shows {found} of {:?} after {before:?}",
                whose.unwrap().1
            );
        }
        assert!(!text.contains(&passphrase), "{what} shows the passphrase");
        for pair in phrase.split(' ').collect::<Vec<_>>().windows(2) {
            assert!(
                !text.contains(&pair.join(" ")),
                "{what} shows {pair:?} of the phrase"
            );
        }
    }
    for canary in CANARIES {
        assert!(!log.contains(canary), "the log says {canary:?}");
    }
    println!(
        "told: {} bytes of log, {} of the rest, {} secrets",
        log.len(),
        told.len(),
        secrets.len()
    );

    // And it would be found.
    let planted = secrets.keys().next().unwrap();
    let shown = format!("key={planted:?}");
    assert!(!scanner.find(shown.as_bytes()).is_empty());
    passphrase.clear();
}
