//! Devices with certificates, and groups of them.

use std::collections::BTreeMap;

use oplog::payload::{DeviceCert, RosterDelta};
use oplog::{DeviceId, Digest, Hlc, SecretKey, Signature};
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;

use crate::{
    Change, Committed, Epoch, Error, Expected, ExpectedJoin, KeyPackageSecret, LocalDevice,
    Processed, cert_book, commit, found, join, key_package, process,
};

pub(super) const AAD: &[u8] = b"binding and parent";
pub(super) const GROUP: Digest = Digest::from_bytes([0x99; 32]);

pub(super) fn rng(seed: u64) -> ChaCha20Rng {
    ChaCha20Rng::seed_from_u64(seed)
}

/// The certificate of a device with these keys. Users 1 to 4 own devices 1 to 4; device 14 is
/// user 4's second.
pub(super) fn certified(device: u8, mls: u8) -> LocalDevice {
    let identity = SecretKey::from_seed(&[device % 10; 32]);
    let mls_key = SecretKey::from_seed(&[mls ^ 0x80; 32]);
    let mut cert = DeviceCert {
        user: oplog::UserId::from_bytes(identity.public()),
        device: DeviceId::from_bytes(SecretKey::from_seed(&[device ^ 0x40; 32]).public()),
        mls_key: Digest::from_bytes(mls_key.public()),
        hpke_key: Digest::from_bytes([device; 32]),
        created: Hlc::from_raw(1),
        name: format!("d{device}"),
        sig: Signature::ZERO,
    };
    cert.sig = identity.sign(&cert.message());
    LocalDevice::new(cert, mls_key).unwrap()
}

pub(super) fn device(n: u8) -> LocalDevice {
    certified(n, n)
}

pub(super) fn id(n: u8) -> DeviceId {
    device(n).cert().device
}

/// Everybody's certificates, and a second one of device 2 with another MLS key.
pub(super) fn certs() -> BTreeMap<Digest, DeviceCert> {
    let all: Vec<_> = (1..=20).map(device).chain([certified(2, 99)]).collect();
    cert_book(all.iter().map(LocalDevice::cert))
}

/// A group; every member's epoch is kept, so that all can be compared.
pub(super) struct World {
    pub(super) members: BTreeMap<u8, Epoch>,
    pub(super) seed: u64,
}

impl World {
    /// Device 1 founds, the others are added in turn, one commit each.
    pub(super) fn new(others: &[u8]) -> Self {
        let founder = found(&device(1), &GROUP, &mut rng(1)).unwrap();
        let mut world = Self {
            members: BTreeMap::from([(1, founder)]),
            seed: 1,
        };
        for n in others {
            world.commit(1, &[*n], &[], false).unwrap();
        }
        world
    }

    pub(super) fn change(&mut self, add: &[u8], remove: &[u8]) -> (Change, Vec<KeyPackageSecret>) {
        let mut secrets = Vec::new();
        let add = add.iter().map(|n| {
            self.seed += 1;
            let (bytes, secret) = key_package(&device(*n), &mut rng(self.seed)).unwrap();
            secrets.push(secret);
            (device(*n).cert().clone(), bytes)
        });
        let change = Change {
            add: add.collect(),
            remove: remove.iter().map(|n| id(*n)).collect(),
            force_path: false,
        };
        (change, secrets)
    }

    /// One commits, all others process or join, and everybody must agree.
    pub(super) fn commit(
        &mut self,
        by: u8,
        add: &[u8],
        remove: &[u8],
        force_path: bool,
    ) -> Result<Committed, Error> {
        let (mut change, secrets) = self.change(add, remove);
        change.force_path = force_path;
        self.seed += 1;
        let from = &self.members[&by].state;
        let made = commit(
            &device(by),
            from,
            &change,
            AAD,
            &certs(),
            &mut rng(self.seed),
        )?;
        let mut next = BTreeMap::from([(by, made.next.clone())]);
        for (n, epoch) in self.members.iter().filter(|(n, _)| **n != by) {
            match process(&epoch.state, &made.message, &expected(&made, by), &certs())? {
                Processed::Next(epoch) => {
                    assert!(!remove.contains(n) || add.contains(n));
                    next.insert(*n, *epoch);
                }
                Processed::Removed { roster } => {
                    assert!(remove.contains(n));
                    assert_eq!(roster.hash(), made.roster_hash);
                }
            }
        }
        for (n, secret) in add.iter().zip(&secrets) {
            let welcome = made.welcome.as_deref().unwrap();
            let epoch = join(secret, welcome, &expected_join(&made, by), &certs())?;
            next.insert(*n, epoch);
        }
        for epoch in next.values() {
            assert_eq!(epoch.root, made.next.root);
            assert_eq!(epoch.roster(), made.next.roster());
            assert_eq!(epoch.number(), made.next.number());
        }
        self.members = next;
        Ok(made)
    }
}

pub(super) fn expected(made: &Committed, by: u8) -> Expected<'_> {
    Expected {
        aad: AAD,
        device: id(by),
        delta: &made.delta,
        root_commit: made.root_commit,
        roster_hash: made.roster_hash,
    }
}

pub(super) fn expected_join(made: &Committed, by: u8) -> ExpectedJoin<'_> {
    ExpectedJoin {
        group_id: GROUP,
        number: made.next.number(),
        device: id(by),
        roster: made.next.roster(),
        root_commit: made.root_commit,
        roster_hash: made.roster_hash,
    }
}

pub(super) fn no_delta() -> RosterDelta {
    RosterDelta::default()
}
