//! Bytes to values, with nothing else around.

use std::sync::LazyLock;

use blobstore::{Description, Manifest, SealedChunk, Sealer};
use mls::envelope::{self as envelopes, SealKeys};
use mls::sealed_box::{self, BoxKey};
use mls::{EpochKeys, EpochRoot, check_key_package};
use net::neg::{Items, NegStep, Reconciler};
use net::wire::{Call, Request};
use node::InviteLink;
use node::quorum::Motion;
use oplog::payload::{ChannelKind, DeviceCert};
use oplog::testing::{Device, TestSpace};
use oplog::{Digest, Header, Kind, Payload, Scope, Secret, SignedOp, SpaceId};
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;

use crate::edits::raw_or_edits;
use crate::memory::bounded;
use crate::people;

/// A Space with a little of most things in it.
static OPS: LazyLock<Vec<SignedOp>> = LazyLock::new(|| {
    let mut space = TestSpace::found(7);
    let owner = space.founder();
    let bob = space.person("bob").device(0);
    let members: [(&Device, _); 1] = [(&bob, oplog::payload::Weight::MEMBER)];
    space.add(&owner, &members);
    space.commit(&owner, &[&bob], &[]).sign();
    let chat = space.channel(&owner, ChannelKind::Chat);
    for n in 0..5 {
        space.post(&bob, chat, &format!("post {n}")).sign();
    }
    space.ops().to_vec()
});

fn encoded_ops() -> Vec<Vec<u8>> {
    OPS.iter().map(SignedOp::encode).collect()
}

/// An op: what decodes encodes to the same bytes, and only then is its signature looked at.
pub fn op(data: &[u8]) {
    let bytes = raw_or_edits(&encoded_ops(), data);
    if let Ok(op) = bounded(&bytes, SignedOp::decode) {
        assert_eq!(op.encode(), bytes);
        assert_eq!(Header::decode(op.header_bytes()).as_ref(), Ok(op.header()));
        let _ = op.verify();
    }
}

/// A header alone.
pub fn header(data: &[u8]) {
    let headers: Vec<Vec<u8>> = OPS.iter().map(|op| op.header_bytes().to_vec()).collect();
    let bytes = raw_or_edits(&headers, data);
    if let Ok(header) = bounded(&bytes, Header::decode) {
        assert_eq!(header.encode(), bytes);
    }
}

/// A payload of any kind: the first byte says of which.
pub fn payload(data: &[u8]) {
    let Some((kind, rest)) = data.split_first() else {
        return;
    };
    let Some(kind) = Kind::ALL.get(usize::from(*kind) % Kind::ALL.len()) else {
        return;
    };
    let of_kind = OPS.iter().filter(|op| op.header().kind() == Some(*kind));
    let valid: Vec<Vec<u8>> = of_kind
        .filter_map(|op| op.payload_bytes().map(<[u8]>::to_vec))
        .collect();
    let bytes = raw_or_edits(&valid, rest);
    if let Ok(payload) = bounded(&bytes, |bytes| Payload::decode(*kind, bytes)) {
        assert_eq!(payload.encode(), bytes);
    }
}

/// What a client sends to a relay, and what a relay pushes.
pub fn relay_call(data: &[u8]) {
    let bytes = raw_or_edits(&people::CALLS, data);
    if let Ok(call) = bounded(&bytes, net::wire::decode_call) {
        assert_eq!(net::wire::encode_call(call.clone()), bytes);
        if let Call::Request(Request::Put(put)) = call {
            let _ = put.verify();
        }
    }
}

/// What is answered.
pub fn relay_reply(data: &[u8]) {
    let bytes = raw_or_edits(&people::REPLIES, data);
    if let Ok(reply) = bounded(&bytes, net::wire::decode_reply) {
        assert_eq!(net::wire::encode_reply(reply), bytes);
    }
}

/// Frames of set reconciliation, at both ends.
pub fn neg(data: &[u8]) {
    let items = || {
        let ids = (0..100_u8).map(|n| (u64::from(n), Digest::from_bytes([n; 32])));
        Items::new(ids).expect("a hundred items are few")
    };
    let _ = net::neg::answer(&items(), data);
    let (mut reconciler, first) = Reconciler::start(items()).expect("a hundred items are few");
    let answer = net::neg::answer(&items(), &first).expect("an honest frame");
    for frame in [data, &crate::edits(&answer, data)] {
        match reconciler.step(frame) {
            Ok(NegStep::Send(_)) => {}
            Ok(NegStep::Done { .. }) | Err(_) => return,
        }
    }
}

fn seal_keys() -> SealKeys {
    let root = EpochRoot::new(Secret::from_bytes([7; 32]));
    SealKeys::new(&EpochKeys::new(&root), &Scope::Control)
}

/// Sealed envelopes: changed ones do not open.
pub fn envelope(data: &[u8]) {
    static SEALED: LazyLock<Vec<u8>> = LazyLock::new(|| {
        let tag = oplog::Tag::from_bytes([3; 16]);
        let mut rng = ChaCha20Rng::seed_from_u64(1);
        envelopes::seal(&seal_keys(), &tag, b"content", &mut rng).expect("it is short")
    });
    let bytes = raw_or_edits(std::slice::from_ref(&*SEALED), data);
    let _ = envelopes::tag_of(&bytes);
    if let Ok((_, content)) = envelopes::open(&bytes, &[seal_keys()]) {
        assert_eq!((content.as_slice(), &bytes), (&b"content"[..], &*SEALED));
    }
}

/// Boxes sealed to a device.
pub fn sealed_box(data: &[u8]) {
    let key = BoxKey::from_seed(&Secret::from_bytes([7; 32]));
    static SEALED: LazyLock<Vec<u8>> = LazyLock::new(|| {
        let key = BoxKey::from_seed(&Secret::from_bytes([7; 32]));
        let mut rng = ChaCha20Rng::seed_from_u64(1);
        sealed_box::seal_to(key.public(), b"info", b"ad", b"content", &mut rng)
            .expect("it is short")
    });
    let bytes = raw_or_edits(std::slice::from_ref(&*SEALED), data);
    if let Ok(content) = sealed_box::open_with(&key, b"info", b"ad", &bytes) {
        assert_eq!((content.as_slice(), &bytes), (&b"content"[..], &*SEALED));
    }
}

/// Key packages: changed ones are refused.
pub fn key_package(data: &[u8]) {
    let (cert, valid) = &*crate::group::OFFER;
    let bytes = raw_or_edits(std::slice::from_ref(valid), data);
    if check_key_package(&bytes, cert).is_ok() {
        assert_eq!(&bytes, valid);
    }
    let other = DeviceCert {
        device: oplog::DeviceId::from_bytes([9; 32]),
        ..cert.clone()
    };
    assert!(check_key_package(&bytes, &other).is_err());
}

/// Manifests of attachments: sealed by anybody who knows the key, and named by what they are.
pub fn manifest(data: &[u8]) {
    static BLOB: LazyLock<(blobstore::BlobRef, SealedChunk)> = LazyLock::new(|| {
        let mut rng = ChaCha20Rng::seed_from_u64(1);
        let sealer = Sealer::new(&mut rng);
        let (_, sealed) = sealer.finish().expect("nothing is short");
        let about = Description {
            name: "file".into(),
            media_type: "text/plain".into(),
            thumbnail: None,
        };
        sealed.describe(about, &mut rng).expect("it is short")
    });
    let (blob, sealed) = &*BLOB;
    let bytes = raw_or_edits(&[sealed.bytes().to_vec()], data);
    let id = oplog::BlobId::of_sealed(&bytes);
    let Ok(chunk) = SealedChunk::expect(id, bytes.clone()) else {
        return;
    };
    let named = blobstore::BlobRef {
        manifest: id,
        ..blob.clone()
    };
    if Manifest::open(&named, &chunk).is_ok() {
        assert_eq!(bytes, sealed.bytes());
    }
}

/// Texts that people hand each other: what parses says itself again.
pub fn link(data: &[u8]) {
    let valid: Vec<Vec<u8>> = people::LINKS
        .iter()
        .map(|l| l.as_bytes().to_vec())
        .collect();
    let bytes = raw_or_edits(&valid, data);
    let Ok(text) = std::str::from_utf8(&bytes) else {
        return;
    };
    if let Ok(link) = text.parse::<InviteLink>() {
        assert_eq!(link.to_string().parse::<InviteLink>().as_ref(), Ok(&link));
    }
    if let Ok(motion) = text.parse::<Motion>() {
        assert_eq!(motion.to_string().parse::<Motion>().as_ref(), Ok(&motion));
    }
    let _ = node::RecoveryPhrase::parse(text);
    let _ = text.parse::<SpaceId>();
}

/// Proofs for outsiders: a changed one proves nothing.
pub fn proof(data: &[u8]) {
    let bytes = raw_or_edits(std::slice::from_ref(&*people::PROOF), data);
    if node::audit::verify(&bytes).is_ok() {
        assert_eq!(bytes, *people::PROOF);
    }
}

/// What people name things: shown without control and direction characters, and never longer.
pub fn text(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let harmful = |c: char| {
        let turns = matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        turns || c.is_control() && c != '\n' && c != '\t'
    };
    for shown in [
        fold::content::text::display_name(&text),
        fold::content::text::sanitise(&text),
        fold::content::text::file_name(&text),
    ] {
        assert!(!shown.contains(harmful), "{shown:?}");
    }
    let file = fold::content::text::file_name(&text);
    assert!(
        !file.contains(['/', '\\']) && file != "." && file != "..",
        "{file:?}"
    );
}
