//! The bytes of version 1, frozen (`docs/format.md`).
//!
//! A failure means that old devices cannot read new ops. Do not change a vector: add a
//! version. `DECENT_WRITE_VECTORS=1` writes the files of kinds that have none yet.

#![cfg(test)]
#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "Genesis is the one that differs"
)]

mod samples;

use std::fmt::Write as _;
use std::path::PathBuf;

use oplog::hash::{H, hash16, hkdf, hmac};
use oplog::keys::SecretKey;
use oplog::payload::{NewMember, PolicySet};
use oplog::{
    Authoring, BlobId, ChannelId, DeviceId, Digest, EpochId, Hlc, Kind, LaneEnd, OpId, Payload,
    Scope, SignedOp, SpaceId, Tag, Timestamp, UserId, roster_hash,
};
use samples::Dice;

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[track_caller]
fn check(name: &str, text: &str) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let path = path.join("tests/vectors").join(format!("{name}.hex"));
    if !path.exists() && std::env::var_os("DECENT_WRITE_VECTORS").is_some() {
        std::fs::write(&path, text).expect("the folder is there");
    }
    let frozen = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(text, frozen, "{name} changed, or has no vector");
}

/// Kinds whose number was frozen before their payload: the first vector of each has none.
const NUMBERED_FIRST: [Kind; 6] = [
    Kind::DeviceRevoke,
    Kind::QuorumAct,
    Kind::CommitComplaint,
    Kind::CutAttest,
    Kind::EquivocationProof,
    Kind::Seal,
];

/// The op that stands for a kind: every header field set, payload drawn from the kind's number.
fn sample(kind: Kind) -> SignedOp {
    let mut dice = Dice(u64::from(kind.number()));
    sample_of(kind, samples::payload(kind, &mut dice).as_ref())
}

fn sample_of(kind: Kind, payload: Option<&Payload>) -> SignedOp {
    let key = SecretKey::from_seed(&[7; 32]);
    let now = Timestamp::from_ms(1_735_689_600_123);
    let user = UserId::from_bytes([1; 32]);
    let device = DeviceId::from_bytes(key.public());
    let dep = |n: u8| (OpId::from_bytes([n; 32]), Hlc::from_wall(now));
    let header = match kind {
        Kind::Genesis => Authoring::genesis(user, device, now),
        _ => Authoring {
            space: SpaceId::from_bytes([2; 32]),
            user,
            device,
            scope: match kind.is_control() {
                true => Scope::Control,
                false => Scope::Channel(ChannelId::from_bytes([3; 16])),
            },
            head: Some(LaneEnd {
                id: OpId::from_bytes([4; 32]),
                seq: 1_000,
                hlc: Hlc::from_wall(now),
            }),
            ctl: vec![dep(5), dep(6)],
            prev: match kind.is_control() {
                true => vec![],
                false => vec![dep(7)],
            },
            epoch: EpochId::from_bytes([8; 32]),
            now,
        }
        .header(kind)
        .expect("few references"),
    };
    match payload {
        Some(payload) => SignedOp::sign(header, payload, &key),
        None => {
            let header = oplog::Header {
                kind: kind.number(),
                ..header
            };
            SignedOp::sign_raw(header, vec![], &key)
        }
    }
}

#[test]
fn ops_of_every_kind_are_frozen() {
    for kind in Kind::ALL {
        let name = format!("op_v1_{}", kind.name().replace('-', "_"));
        let frozen = |name: &str, op: SignedOp| {
            let text = format!("{}\n{}\n", op.id(), hex(&op.encode()));
            check(name, &text);
            assert!(op.verify().is_ok(), "{kind}");
        };
        if NUMBERED_FIRST.contains(kind) {
            frozen(&name, sample_of(*kind, None));
            let op = sample(*kind);
            if op.payload_bytes().is_some_and(|bytes| !bytes.is_empty()) {
                frozen(&format!("{name}_payload"), op);
            }
        } else if *kind == Kind::PolicySet {
            // From before it had all of its fields: who does not set one writes the same bytes.
            let Ok(Some(Payload::PolicySet(set))) = sample(*kind).payload() else {
                panic!("no policies");
            };
            assert!(set.seal_every.is_some(), "the vector shows nothing of it");
            let before = Payload::PolicySet(PolicySet {
                seal_every: None,
                ..set
            });
            frozen(&name, sample_of(*kind, Some(&before)));
            frozen(&format!("{name}_seal_every"), sample(*kind));
        } else {
            frozen(&name, sample(*kind));
        }
    }
}

#[test]
fn frozen_ops_decode_to_what_they_were_made_of() {
    for kind in Kind::ALL {
        let op = sample(*kind);
        assert_eq!(SignedOp::decode(&op.encode()).as_ref(), Ok(&op), "{kind}");
        assert_eq!(op.header().kind(), Some(*kind));
    }
}

#[test]
fn ids_and_derivations_are_frozen() {
    let op = sample(Kind::Post);
    let key = SecretKey::from_seed(&[7; 32]);
    let Ok(Some(Payload::MemberAdd(add))) = sample(Kind::MemberAdd).payload() else {
        panic!("not an admission");
    };
    let roster = [1_u8, 2].map(|n| {
        let entry = (
            UserId::from_bytes([n + 1; 32]),
            Digest::from_bytes([n + 2; 32]),
        );
        (DeviceId::from_bytes([n; 32]), entry)
    });
    let header = op.header_bytes();
    let lines = [
        (
            "H(\"test\", \"a\", \"\")",
            hex(&H::new("test").field(b"a").field(b"").finish()),
        ),
        ("H16(\"test\", \"a\")", hex(&hash16("test", &[b"a"]))),
        (
            "HMAC([1; 32], \"a\", \"b\")",
            hex(&hmac(&[1; 32], &[b"a", b"b"])),
        ),
        (
            "HKDF([1; 32], \"test\", \"a\")",
            hex(&*hkdf(&[1; 32], "test", &[b"a"])),
        ),
        ("op id", OpId::of_header(header).to_string()),
        ("space id", SpaceId::of_genesis(header).to_string()),
        (
            "genesis epoch id",
            EpochId::genesis(&SpaceId::of_genesis(header)).to_string(),
        ),
        ("epoch id", EpochId::of_commit(&op.id()).to_string()),
        ("channel id", ChannelId::of_create(&op.id()).to_string()),
        ("blob id", BlobId::of_sealed(b"sealed").to_string()),
        ("tag", Tag::of_key(&key.public()).to_string()),
        ("device id", hex(&key.public())),
        ("binding", op.header().binding().to_string()),
        ("signature", op.signature().to_string()),
        ("certificate message", hex(&add.members[0].cert.message())),
        ("certificate hash", add.members[0].cert.hash().to_string()),
        (
            "join proof message",
            hex(&NewMember::proof_message(
                &Digest::from_bytes([9; 32]),
                &add.members[0].cert,
                &add.members[0].key_package,
            )),
        ),
        (
            "roster hash",
            roster_hash(&roster.into_iter().collect()).to_string(),
        ),
        (
            "hlc of 1735689600123 ms",
            format!(
                "{:016x}",
                Hlc::from_wall(Timestamp::from_ms(1_735_689_600_123)).as_raw()
            ),
        ),
    ];
    let text: String = lines.iter().fold(String::new(), |mut text, (name, value)| {
        let _ = writeln!(text, "{name} = {value}");
        text
    });
    check("ids_v1", &text);
}
