//! The group's own messages, as a member or a relay may have changed them.

use std::sync::LazyLock;

use mls::{
    Certs, Change, Committed, Epoch, Expected, ExpectedJoin, GroupState, KeyPackageSecret,
    LocalDevice, cert_book, commit_aad,
};

use oplog::payload::{DeviceCert, RosterDelta};
use oplog::{DeviceId, Digest, EpochId, Hlc, SecretKey, Signature, SpaceId, UserId};
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;

use crate::edits::raw_or_edits;

fn device(n: u8) -> LocalDevice {
    let key = |m: u8| SecretKey::from_seed(&[n.wrapping_mul(4).wrapping_add(m); 32]);
    let (identity, device, mls_key) = (key(0), key(1), key(2));
    let mut cert = DeviceCert {
        user: UserId::from_bytes(identity.public()),
        device: DeviceId::from_bytes(device.public()),
        mls_key: Digest::from_bytes(mls_key.public()),
        hpke_key: Digest::ZERO,
        created: Hlc::from_raw(1),
        name: format!("device {n}"),
        sig: Signature::ZERO,
    };
    cert.sig = identity.sign(&cert.message());
    LocalDevice::new(cert, mls_key).expect("the certificate is of this key")
}

fn rng(n: u64) -> ChaCha20Rng {
    ChaCha20Rng::seed_from_u64(n)
}

/// A certificate and the key package that goes with it.
pub(crate) static OFFER: LazyLock<(DeviceCert, Vec<u8>)> = LazyLock::new(|| {
    let newcomer = device(9);
    let (package, _) = mls::key_package(&newcomer, &mut rng(9)).expect("a key package");
    (newcomer.cert().clone(), package)
});

/// A founder who lets three in, then renews the keys: what the first of the three sees.
struct Story {
    group_id: Digest,
    first: KeyPackageSecret,
    welcome: Vec<u8>,
    added: Committed,
    founder: DeviceId,
    before: GroupState,
    update: Committed,
    aad: Vec<u8>,
    certs: Vec<DeviceCert>,
}

impl Story {
    fn certs(&self) -> impl Certs {
        cert_book(self.certs.iter())
    }

    fn joins(&self, welcome: &[u8]) -> Result<Epoch, mls::Error> {
        let next = &self.added.next;
        let expected = ExpectedJoin {
            group_id: self.group_id,
            number: next.state.number(),
            device: self.founder,
            roster: next.roster(),
            root_commit: self.added.root_commit,
            roster_hash: self.added.roster_hash,
        };
        mls::join(&self.first, welcome, &expected, &self.certs())
    }
}

static STORY: LazyLock<Story> = LazyLock::new(|| {
    let founder = device(1);
    let group_id = Digest::from_bytes([5; 32]);
    let epoch = mls::found(&founder, &group_id, &mut rng(1)).expect("a group");
    let joiners: Vec<LocalDevice> = (2..5).map(device).collect();
    let mut change = Change::default();
    let mut secrets = Vec::new();
    for (at, joiner) in (0..).zip(&joiners) {
        let (package, secret) = mls::key_package(joiner, &mut rng(20 + at)).expect("a package");
        change.add.push((joiner.cert().clone(), package));
        secrets.push(secret);
    }
    let mut certs = vec![founder.cert().clone()];
    certs.extend(joiners.iter().map(|joiner| joiner.cert().clone()));
    let book = cert_book(certs.iter());
    let space = SpaceId::from_bytes([6; 32]);
    let aad = commit_aad(&Digest::from_bytes([7; 32]), &EpochId::genesis(&space));
    let added = mls::commit(&founder, &epoch.state, &change, &aad, &book, &mut rng(2));
    let added = added.expect("three come in");
    let update = mls::commit(
        &founder,
        &added.next.state,
        &Change::default(),
        &aad,
        &book,
        &mut rng(3),
    );
    let mut story = Story {
        group_id,
        first: secrets.swap_remove(0),
        welcome: added.welcome.clone().expect("a Welcome"),
        founder: founder.cert().device,
        before: epoch.state,
        update: update.expect("new keys"),
        added,
        aad,
        certs: certs.clone(),
    };
    let joined = story
        .joins(&story.welcome.clone())
        .expect("the first joins");
    story.before = joined.state;
    story
});

/// A commit that the op around it declares truly: only what was committed is followed.
pub fn commit(data: &[u8]) {
    let story = &*STORY;
    let bytes = raw_or_edits(std::slice::from_ref(&story.update.message), data);
    let delta = RosterDelta::default();
    let expected = Expected {
        aad: &story.aad,
        device: story.founder,
        delta: &delta,
        root_commit: story.update.root_commit,
        roster_hash: story.update.roster_hash,
    };
    let processed = mls::process(&story.before, &bytes, &expected, &story.certs());
    if processed.is_ok() {
        assert_eq!(bytes, story.update.message);
    }
}

/// A Welcome to one's own key package: only what the log declares is entered.
pub fn welcome(data: &[u8]) {
    let story = &*STORY;
    let bytes = raw_or_edits(std::slice::from_ref(&story.welcome), data);
    if let Ok(epoch) = story.joins(&bytes) {
        // Secrets of others in it may have been changed: they are not ours.
        assert_eq!(epoch.root.commitment(), story.added.root_commit);
    }
}
