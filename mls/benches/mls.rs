//! What an epoch and an envelope cost.
#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a bench that cannot set up has nothing to measure"
)]

use std::collections::BTreeMap;
use std::hint::black_box;
use std::ops::ControlFlow;

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use mls::envelope::{Day, SealKeys, TagKey, open, seal};
use mls::stored::{TABLE, load_root, load_state, save_epoch};
use mls::{
    Change, Committed, Epoch, EpochKeys, EpochRoot, Expected, ExpectedJoin, GroupState,
    LocalDevice, Processed, cert_book, check_key_package, commit, found, join, key_package,
    process,
};
use oplog::payload::DeviceCert;
use oplog::store::{Direction, MemStore, Store};
use oplog::{
    ChannelId, DeviceId, Digest, EpochId, Hlc, Scope, Secret, SecretKey, Signature, SpaceId, UserId,
};
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;

const AAD: &[u8] = &[7; 64];

fn rng() -> ChaCha20Rng {
    ChaCha20Rng::seed_from_u64(1)
}

fn device(n: u16) -> LocalDevice {
    let seed = |purpose: u8| {
        let [high, low] = n.to_be_bytes();
        let mut seed = [purpose; 32];
        (seed[0], seed[1]) = (high, low);
        SecretKey::from_seed(&seed)
    };
    let (identity, mls_key) = (seed(1), seed(2));
    let mut cert = DeviceCert {
        user: UserId::from_bytes(identity.public()),
        device: DeviceId::from_bytes(seed(3).public()),
        mls_key: Digest::from_bytes(mls_key.public()),
        hpke_key: Digest::ZERO,
        created: Hlc::from_raw(1),
        name: "someone".to_owned(),
        sig: Signature::ZERO,
    };
    cert.sig = identity.sign(&cert.message());
    LocalDevice::new(cert, mls_key).expect("the certificate is of this key")
}

/// A group of `n`, seen by its founder and by the device that joined first.
struct Group {
    founder: Epoch,
    other: Epoch,
    certs: BTreeMap<Digest, DeviceCert>,
}

impl Group {
    fn of(n: u16) -> Self {
        let devices: Vec<_> = (0..n + 2).map(device).collect();
        let certs = cert_book(devices.iter().map(LocalDevice::cert));
        let mut rng = rng();
        let first = found(&devices[0], &Digest::ZERO, &mut rng).expect("founds");
        let mut secrets = Vec::new();
        let add = devices[1..usize::from(n)].iter().map(|device| {
            let (bytes, secret) = key_package(device, &mut rng).expect("makes");
            secrets.push(secret);
            (device.cert().clone(), bytes)
        });
        let change = Change {
            add: add.collect(),
            ..Change::default()
        };
        let made = commit(&devices[0], &first.state, &change, AAD, &certs, &mut rng);
        let made = made.expect("commits");
        let expected = ExpectedJoin {
            group_id: Digest::ZERO,
            number: 1,
            device: devices[0].cert().device,
            roster: made.next.roster(),
            root_commit: made.root_commit,
            roster_hash: made.roster_hash,
        };
        let welcome = made.welcome.as_deref().expect("added somebody");
        let other = join(&secrets[0], welcome, &expected, &certs).expect("joins");
        Self {
            founder: made.next,
            other,
            certs,
        }
    }

    fn commit(&self, change: &Change) -> Committed {
        let state = &self.founder.state;
        commit(&device(0), state, change, AAD, &self.certs, &mut rng()).expect("commits")
    }
}

fn expected(made: &Committed) -> Expected<'_> {
    Expected {
        aad: AAD,
        device: device(0).cert().device,
        delta: &made.delta,
        root_commit: made.root_commit,
        roster_hash: made.roster_hash,
    }
}

fn groups(c: &mut Criterion) {
    for n in [10, 100] {
        let group = Group::of(n);
        let newcomer = device(n + 1);
        let (bytes, _) = key_package(&newcomer, &mut ChaCha20Rng::seed_from_u64(2)).expect("makes");
        let add = Change {
            add: vec![(newcomer.cert().clone(), bytes.clone())],
            ..Change::default()
        };
        let update = Change::default();
        for (name, change) in [("add", &add), ("update", &update)] {
            c.bench_function(&format!("commit {name}, {n} devices"), |b| {
                b.iter(|| group.commit(black_box(change)));
            });
            let made = group.commit(change);
            c.bench_function(&format!("process {name}, {n} devices"), |b| {
                b.iter(|| {
                    let state = &group.other.state;
                    let done = process(state, &made.message, &expected(&made), &group.certs);
                    matches!(done, Ok(Processed::Next(_)))
                });
            });
        }
        let encoded = group.founder.state.encode();
        c.bench_function(&format!("encode state, {n} devices"), |b| {
            b.iter(|| group.founder.state.encode());
        });
        c.bench_function(&format!("decode state, {n} devices"), |b| {
            b.iter(|| GroupState::decode(black_box(&encoded)));
        });
        c.bench_function(&format!("check key package, {n} devices"), |b| {
            b.iter(|| check_key_package(black_box(&bytes), newcomer.cert()));
        });
    }
}

/// What following a fork costs a member of a Space of five hundred devices: wanted are at most 60 ms
/// and 200 KB for each sibling commit, and 250 ms to switch.
fn siblings(c: &mut Criterion) {
    let group = Group::of(500);
    let space = SpaceId::from_bytes([5; 32]);
    let id = |n: u8| EpochId::from_bytes([n; 32]);
    let mut store = MemStore::new();
    let mut rng = ChaCha20Rng::seed_from_u64(3);
    save_epoch(&mut store, &space, &id(0), &group.other, &mut rng);
    store.commit().expect("memory");
    let made = group.commit(&Change::default());
    let follow = |store: &mut MemStore, rng: &mut ChaCha20Rng| {
        let state = load_state(store, &space, &id(0)).expect("memory");
        let state = state.expect("kept");
        let done = process(&state, &made.message, &expected(&made), &group.certs);
        let Ok(Processed::Next(next)) = done else {
            return false;
        };
        save_epoch(store, &space, &id(1), &next, rng);
        store.commit().is_ok()
    };
    let mut followed = store.clone();
    assert!(follow(&mut followed, &mut rng), "the commit is good");
    let kept = |store: &MemStore| {
        let mut len = 0;
        let mut add = |_: &[u8], value: &[u8]| {
            len += value.len();
            ControlFlow::Continue(())
        };
        let all = (&[0_u8][..], &[0xff; 40][..]);
        let scanned = store.scan(TABLE, all.0, all.1, Direction::Forward, &mut add);
        scanned.expect("memory");
        len
    };
    println!(
        "a sibling commit, 500 devices: commit {} bytes, kept of it {} bytes (compressed and sealed)",
        made.message.len(),
        kept(&followed) - kept(&store)
    );
    c.bench_function(
        "follow a sibling commit, 500 devices: load, process, save",
        |b| {
            b.iter(|| follow(&mut store, &mut rng));
        },
    );
    // Where a device switches to, the state is on disk: it loads it, seals there, and commits there.
    let scope = Scope::Channel(ChannelId::from_bytes([2; 16]));
    let me = device(1);
    c.bench_function(
        "switch to a sibling branch, 500 devices: load, seal, commit there, save",
        |b| {
            b.iter(|| {
                let state = load_state(&followed, &space, &id(1)).expect("memory");
                let state = state.expect("kept");
                let root = load_root(&followed, &space, &id(1)).expect("kept");
                let epoch = EpochKeys::new(&root);
                let keys = SealKeys::new(&epoch, &scope);
                let tag = TagKey::derive(&epoch.topic(), &scope, Day::from_number(20_000)).tag();
                let sealed = seal(&keys, &tag, &[3; 400], &mut rng);
                let change = Change::default();
                let next = commit(&me, &state, &change, AAD, &group.certs, &mut rng);
                let next = next.expect("commits").next;
                save_epoch(&mut store, &space, &id(2), &next, &mut rng);
                store.commit().expect("memory");
                sealed
            });
        },
    );
}

fn envelopes(c: &mut Criterion) {
    let root = EpochRoot::new(Secret::from_bytes([1; 32]));
    let epoch = EpochKeys::new(&root);
    let scope = Scope::Channel(ChannelId::from_bytes([2; 16]));
    c.bench_function("epoch and scope keys", |b| {
        b.iter(|| SealKeys::new(&EpochKeys::new(black_box(&root)), &scope));
    });
    let keys = SealKeys::new(&epoch, &scope);
    let tag = TagKey::derive(&epoch.topic(), &scope, Day::from_number(20_000)).tag();
    let others: Vec<_> = (0..16)
        .map(|n| EpochKeys::new(&EpochRoot::new(Secret::from_bytes([n + 9; 32]))))
        .map(|epoch| SealKeys::new(&epoch, &scope))
        .collect();
    for (name, len) in [("400 B", 400), ("60 KiB", 60 << 10)] {
        let content = vec![3; len];
        let mut rng = rng();
        c.bench_function(&format!("seal {name}"), |b| {
            b.iter(|| seal(&keys, &tag, black_box(&content), &mut rng));
        });
        let sealed = seal(&keys, &tag, &content, &mut rng).expect("fits");
        c.bench_function(&format!("open {name}, 17 candidates"), |b| {
            b.iter_batched(
                || others.iter().chain([&keys]),
                |candidates| open(black_box(&sealed), candidates),
                BatchSize::SmallInput,
            );
        });
    }
}

criterion_group!(benches, groups, siblings, envelopes);
criterion_main!(benches);
