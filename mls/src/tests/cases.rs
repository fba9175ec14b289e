//! What the tables of hostile messages are made of.

use openmls::prelude::{
    BasicCredential, Capabilities, CommitBuilder, CredentialWithKey, Initial, KeyPackage,
    KeyPackageIn, Lifetime, MlsGroup, ProtocolVersion,
};
use openmls_traits::OpenMlsProvider as _;
use oplog::payload::{RosterDelta, RosterEntry};
use oplog::{DeviceId, Digest};
use tls_codec::{Deserialize as _, Serialize as _};

use super::forge::cheat;
use super::world::{AAD, World, certs, device, id, no_delta, rng};
use crate::provider::{CIPHERSUITE, MlsSigner};
use crate::roster::sorted_delta;
use crate::{
    Error, Expected, GroupState, LocalDevice, Provider, Refusal, Rows, key_package,
    key_package_digest, process,
};

/// Device 2 cheats, device 1 receives, device 3 is there.
pub(super) fn world() -> World {
    World::new(&[2, 3])
}

pub(super) type Builder<'a> = CommitBuilder<'a, Initial>;

/// A commit of device 2 that OpenMLS itself is content with.
pub(super) fn raw(
    from: &GroupState,
    build: impl for<'a> FnOnce(Builder<'a>) -> Builder<'a>,
) -> Vec<u8> {
    cheat(from, &device(2), |group, provider, signer| {
        group.set_aad(AAD.to_vec());
        finish_raw(group, provider, signer, build)
    })
}

pub(super) fn finish_raw(
    group: &mut MlsGroup,
    provider: &Provider,
    signer: &MlsSigner<'_>,
    build: impl for<'a> FnOnce(Builder<'a>) -> Builder<'a>,
) -> Vec<u8> {
    build(group.commit_builder())
        .load_psks(provider.storage())
        .unwrap()
        .build(provider.rand(), provider.crypto(), signer, |_| true)
        .unwrap()
        .stage_commit(provider)
        .unwrap()
        .commit()
        .to_bytes()
        .unwrap()
}

pub(super) fn valid(bytes: &[u8]) -> KeyPackage {
    KeyPackageIn::tls_deserialize_exact(bytes)
        .unwrap()
        .validate(
            Provider::without_randomness(&Rows::default()).crypto(),
            ProtocolVersion::Mls10,
        )
        .unwrap()
}

pub(super) fn package_of(n: u8) -> Vec<u8> {
    key_package(&device(n), &mut rng(u64::from(n) + 600))
        .unwrap()
        .0
}

/// A key package that differs from an honest one in what the arguments say.
pub(super) fn odd_package(
    name: CredentialWithKey,
    signer: &LocalDevice,
    life: Lifetime,
    caps: Capabilities,
    last_resort: bool,
) -> Vec<u8> {
    let provider = Provider::new(&Rows::default(), &mut rng(31));
    let mut builder = KeyPackage::builder()
        .key_package_lifetime(life)
        .leaf_node_capabilities(caps);
    if last_resort {
        builder = builder.mark_as_last_resort();
    }
    let signer = MlsSigner(signer.mls_key());
    let bundle = builder
        .build(CIPHERSUITE, &provider, &signer, name)
        .unwrap();
    bundle.key_package().tls_serialize_detached().unwrap()
}

pub(super) fn added(n: u8, bytes: &[u8]) -> RosterDelta {
    let entry = RosterEntry {
        device: id(n),
        user: device(n).cert().user,
        key_package: key_package_digest(bytes),
    };
    sorted_delta(vec![entry], vec![])
}

pub(super) fn removed(n: u8) -> RosterDelta {
    sorted_delta(vec![], vec![id(n)])
}

/// A credential saying `name`, under the key of a device.
pub(super) fn named(name: Vec<u8>, key: &LocalDevice) -> CredentialWithKey {
    CredentialWithKey {
        credential: BasicCredential::new(name).into(),
        signature_key: key.cert().mls_key.as_bytes().to_vec().into(),
    }
}

pub(super) struct Case {
    pub(super) name: &'static str,
    pub(super) message: Vec<u8>,
    pub(super) delta: RosterDelta,
    pub(super) aad: &'static [u8],
    pub(super) device: DeviceId,
    pub(super) refused: fn(&Refusal) -> bool,
}

impl Case {
    pub(super) fn new(name: &'static str, message: Vec<u8>, refused: fn(&Refusal) -> bool) -> Self {
        Self {
            name,
            message,
            delta: no_delta(),
            aad: AAD,
            device: id(2),
            refused,
        }
    }

    pub(super) fn declaring(mut self, delta: RosterDelta) -> Self {
        self.delta = delta;
        self
    }
}

macro_rules! by {
    ($pattern:pat) => {
        |refusal| matches!(refusal, $pattern)
    };
}

pub(super) fn check(world: &World, cases: Vec<Case>) {
    let from = &world.members[&1].state;
    let before = from.encode();
    for case in &cases {
        let expected = Expected {
            aad: case.aad,
            device: case.device,
            delta: &case.delta,
            root_commit: Digest::ZERO,
            roster_hash: Digest::ZERO,
        };
        let name = case.name;
        match process(from, &case.message, &expected, &certs()) {
            Err(Error::Refused(why)) => assert!((case.refused)(&why), "{name}: refused by {why:?}"),
            other => panic!("{name}: {other:?}"),
        }
        assert!(from.encode() == before, "{name}: the state changed");
    }
}

pub(super) use by;
