//! What an epoch and an envelope cost.
#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a bench that cannot set up has nothing to measure"
)]

use std::collections::BTreeMap;
use std::hint::black_box;

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use mls::envelope::{Day, SealKeys, TagKey, open, seal};
use mls::{
    Change, Committed, Epoch, EpochKeys, EpochRoot, Expected, ExpectedJoin, GroupState,
    LocalDevice, Processed, cert_book, check_key_package, commit, found, join, key_package,
    process,
};
use oplog::payload::DeviceCert;
use oplog::{ChannelId, DeviceId, Digest, Hlc, Scope, Secret, SecretKey, Signature, UserId};
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

criterion_group!(benches, groups, envelopes);
criterion_main!(benches);
