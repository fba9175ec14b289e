//! Ops whose bytes are not the one encoding of an op, though the signature holds over what they say.

use oplog::payload::Weight;
use oplog::testing::Device;
use oplog::{
    CONTENT_PAYLOAD_BYTES_MAX, CONTROL_PAYLOAD_BYTES_MAX, Digest, HEADER_BYTES_MAX, Header,
    OP_BYTES_MAX, OpId, Payload, Rule, Scope, SignedOp, payload_hash,
};

use crate::cast::*;
use crate::cbor::changes;
use crate::table::{Case, Expect};

/// An op of these parts, signed over whatever the header's bytes are.
fn assembled(header: &[u8], payload: Option<&[u8]>, by: &Device) -> Vec<u8> {
    let id = OpId::of_header(header);
    let message = [b"decent op v1".as_slice(), id.as_bytes()].concat();
    let sig = by.key().sign(&message);
    let mut e = minicbor::Encoder::new(Vec::new());
    e.array(3).unwrap().bytes(header).unwrap();
    e.bytes(sig.as_bytes()).unwrap();
    match payload {
        Some(payload) => e.bytes(payload).unwrap(),
        None => e.null().unwrap(),
    };
    e.into_writer()
}

/// What is left when every kind of change is tried once on each type of item, and three on every item.
fn chosen(all: Vec<(String, crate::cbor::Kind, Vec<u8>)>) -> Vec<(String, Vec<u8>)> {
    let mut seen = std::collections::BTreeSet::new();
    let everywhere = ["a longer", "a length of 4 GiB", "a tag in front"];
    let all = all.into_iter().filter_map(|(name, _, bytes)| {
        let what = name.split(" at /").next().unwrap_or_default().to_owned();
        let often = everywhere.iter().any(|begin| what.starts_with(begin));
        (seen.insert(what) || often).then_some((name, bytes))
    });
    all.collect()
}

pub fn cases(cast: &mut Cast) -> Vec<Case> {
    let mut cases = headers(cast);
    cases.extend(frames(cast));
    cases.extend(limits(cast));
    cases.extend(payloads(cast));
    cases
}

fn headers(cast: &mut Cast) -> Vec<Case> {
    let by = cast.member.clone();
    let op = cast.space.op(&by, react()).channel(cast.chat);
    let op = op.prev(&[cast.decree.id()]).forge();
    let payload = op.payload_bytes();
    chosen(changes(op.header_bytes()))
        .into_iter()
        .map(|(name, header)| {
            let longer = name.starts_with("a longer");
            let expect = Expect::NoOp(if longer { "NotCanonical" } else { "Malformed" });
            let bytes = assembled(&header, payload, &by);
            Case::new(format!("header: {name}"), bytes, expect)
        })
        .collect()
}

fn frames(cast: &mut Cast) -> Vec<Case> {
    let by = cast.member.clone();
    let op = cast.space.post(&by, cast.chat, "a frame").forge();
    chosen(changes(&op.encode()))
        .into_iter()
        .map(|(name, bytes)| {
            let same = name.starts_with("a longer") || name.ends_with(" behind");
            let expect = Expect::NoOp(if same { "NotCanonical" } else { "Malformed" });
            Case::new(format!("op: {name}"), bytes, expect)
        })
        .collect()
}

fn limits(cast: &mut Cast) -> Vec<Case> {
    let (by, owner) = (cast.member.clone(), cast.owner.clone());
    let heads = cast.space.heads();
    let many = |n: u16| -> Vec<OpId> {
        let id =
            |n: u16| OpId::from_bytes([(n >> 8) as u8, n as u8].repeat(16).try_into().unwrap());
        (1..=n).map(id).collect()
    };
    let mut all = Vec::new();
    let mut no_op = |name: &str, bytes: Vec<u8>, variant| {
        all.push(Case::new(
            format!("limits: {name}"),
            bytes,
            Expect::NoOp(variant),
        ));
    };
    let chat = cast.chat;
    let mut post = |spoil: &dyn Fn(&mut Header)| {
        let honest = cast.space.post(&by, chat, "limits").forge();
        let mut header = honest.header().clone();
        spoil(&mut header);
        SignedOp::sign_raw(header, honest.payload_bytes().unwrap().to_vec(), by.key()).encode()
    };
    no_op(
        "5 control heads in a content op",
        post(&|h| h.ctl = many(5)),
        "Forbidden",
    );
    no_op("17 control heads", post(&|h| h.ctl = many(17)), "Malformed");
    no_op("17 targets", post(&|h| h.prev = many(17)), "Malformed");
    no_op("60 targets", post(&|h| h.prev = many(60)), "TooLong");
    no_op("10,000 parents", post(&|h| h.ctl = many(10_000)), "TooLong");
    no_op(
        "a head twice",
        post(&|h| h.ctl = vec![heads[0]; 2]),
        "Forbidden",
    );
    no_op(
        "a target twice",
        post(&|h| h.prev = vec![heads[0]; 2]),
        "Forbidden",
    );
    no_op(
        "heads out of order",
        post(&|h| h.ctl = many(3).into_iter().rev().collect()),
        "Forbidden",
    );
    no_op(
        "targets out of order",
        post(&|h| h.prev = many(3).into_iter().rev().collect()),
        "Forbidden",
    );
    let honest = cast.space.op(&owner, Payload::Merge).forge();
    let mut named = honest.header().clone();
    named.prev = vec![cast.said.id()];
    let bytes = SignedOp::sign_raw(named, Vec::new(), owner.key()).encode();
    no_op("a control op names content", bytes, "Forbidden");

    // The payload and what the header says of it.
    let honest = cast.space.post(&by, chat, "the words").forge();
    let words = honest.payload_bytes().unwrap();
    let header = honest.header_bytes();
    no_op(
        "another payload",
        assembled(header, Some(b"other"), &by),
        "Forbidden",
    );
    let longer = [words, b"!"].concat();
    no_op(
        "a longer payload",
        assembled(header, Some(&longer), &by),
        "Forbidden",
    );
    no_op(
        "an empty payload",
        assembled(header, Some(b""), &by),
        "Forbidden",
    );
    let claims = |len: u32, hash: Digest| {
        let mut header = honest.header().clone();
        (header.payload_len, header.payload_hash) = (len, hash);
        assembled(&header.encode(), Some(words), &by)
    };
    let hash = payload_hash(words);
    no_op(
        "claims a byte less",
        claims(words.len() as u32 - 1, hash),
        "Forbidden",
    );
    no_op(
        "claims a byte more",
        claims(words.len() as u32 + 1, hash),
        "Forbidden",
    );
    no_op("claims 4 GiB", claims(u32::MAX, hash), "Forbidden");
    no_op(
        "claims another hash",
        claims(words.len() as u32, Digest::ZERO),
        "Forbidden",
    );
    let large = |len: usize, by: &Device, header: &Header| {
        SignedOp::sign_raw(header.clone(), vec![0; len], by.key()).encode()
    };
    no_op(
        "content of a byte too many",
        large(CONTENT_PAYLOAD_BYTES_MAX + 1, &by, honest.header()),
        "Forbidden",
    );
    no_op(
        "content of a control op's length",
        large(CONTROL_PAYLOAD_BYTES_MAX, &by, honest.header()),
        "Forbidden",
    );
    let control = cast.space.op(&owner, Payload::Merge).forge();
    no_op(
        "control of a byte too many",
        large(CONTROL_PAYLOAD_BYTES_MAX + 1, &owner, control.header()),
        "Forbidden",
    );
    no_op("a megabyte of zeros", vec![0; 1 << 20], "TooLong");
    no_op(
        "as long as an op may be, all zeros",
        vec![0; OP_BYTES_MAX],
        "Malformed",
    );
    no_op("64 KiB of nests", vec![0x81; 65_536], "Malformed");
    no_op("64 KiB of maps", vec![0xa1; 65_536], "Malformed");
    no_op("64 KiB of tags", vec![0xc1; 65_536], "Malformed");
    no_op("64 KiB without length", vec![0x9f; 65_536], "Malformed");
    no_op("64 KiB of pieces", vec![0x5f; 65_536], "Malformed");
    no_op("nothing", Vec::new(), "Malformed");
    let padded = [header, &[0; HEADER_BYTES_MAX]].concat();
    no_op(
        "a header that goes on",
        assembled(&padded, Some(words), &by),
        "TooLong",
    );
    let nested = [vec![0xa1, 0x00], vec![0x81; 2_000], vec![0x00]].concat();
    no_op(
        "a header of nests",
        assembled(&nested, Some(words), &by),
        "Malformed",
    );

    // Fields that contradict each other.
    let fields = |at: usize, item: &[u8]| {
        let mut map = vec![0xb0];
        let mut d = minicbor::Decoder::new(header);
        d.map().unwrap();
        for n in 0..16 {
            let from = d.position();
            d.skip().unwrap();
            map.extend(&header[from..d.position()]);
            let from = d.position();
            d.skip().unwrap();
            map.extend(if n == at {
                item
            } else {
                &header[from..d.position()]
            });
        }
        assembled(&map, Some(words), &by)
    };
    assert_eq!(fields(99, &[]), honest.encode());
    no_op("version 0", fields(0, &[0]), "Malformed");
    no_op("version 2", fields(0, &[2]), "Malformed");
    no_op(
        "the control plane in a channel",
        fields(2, &[0]),
        "Malformed",
    );
    no_op("a third plane", fields(2, &[2]), "Malformed");
    no_op("content in no channel", fields(6, &[0]), "Malformed");
    no_op("scope 1", fields(6, &[1]), "Malformed");
    no_op(
        "a channel of 32 bytes",
        fields(6, &[&[0x58, 32][..], &[1; 32]].concat()),
        "Malformed",
    );
    no_op("kind 65,536", fields(3, &[0x1a, 0, 1, 0, 0]), "Malformed");
    no_op(
        "a user of 31 bytes",
        fields(4, &[&[0x58, 31][..], &[1; 31]].concat()),
        "Malformed",
    );
    no_op(
        "a user of 33 bytes",
        fields(4, &[&[0x58, 33][..], &[1; 33]].concat()),
        "Malformed",
    );
    no_op("no device", fields(5, &[0x40]), "Malformed");
    no_op(
        "an epoch of 4 GiB",
        fields(11, &[0x5a, 0xff, 0xff, 0xff, 0xff]),
        "Malformed",
    );
    no_op("a negative time", fields(12, &[0x20]), "Malformed");
    no_op(
        "a payload of 2^32 bytes",
        fields(15, &[0x1b, 0, 0, 0, 1, 0, 0, 0, 0]),
        "Malformed",
    );
    let missing = {
        let mut h = honest.header().clone();
        h.back = None;
        h.seq = 0;
        let short = h.encode();
        // 15 entries claimed, and 14 there.
        let mut bytes = short.clone();
        bytes[0] = 0xb0;
        assembled(&bytes, Some(words), &by)
    };
    no_op("an entry fewer than claimed", missing, "Malformed");
    all
}

/// Control payloads that are not the one encoding of their kind: the op is signed and permitted.
fn payloads(cast: &mut Cast) -> Vec<Case> {
    let owner = cast.owner.clone();
    let new = cast.space.person("new").device(0);
    let commit = cast
        .space
        .commit_payload(cast.space.epoch(), &owner, &[], &[]);
    let two = [cast.admin.clone(), cast.two.clone()];
    let quorum = together(
        &cast.space,
        &owner,
        &[&two[0], &two[1]],
        &kick(&cast.member),
    );
    let a = cast.space.post(&cast.member, cast.chat, "a").forge();
    let b = cast.space.post(&cast.member, cast.chat, "b").forge();
    let cuts = vec![cut(Scope::Channel(cast.chat), vec![])];
    let policies = oplog::payload::PolicySet {
        name: Some("another".into()),
        ..oplog::payload::PolicySet::default()
    };
    let samples: Vec<Payload> = vec![
        Cast::new_channel(),
        Payload::ChannelUpdate(update(cast.chat)),
        Payload::PolicySet(policies),
        Payload::InviteCreate(oplog::testing::invite(9, 1, oplog::Hlc::from_raw(u64::MAX)).0),
        Payload::InviteRevoke(oplog::payload::InviteRevoke {
            invite: cast.open.op,
        }),
        oplog::testing::member_add(&[(&new, Weight::MEMBER)], None),
        kick(&cast.member),
        ban(&cast.member),
        unban(&cast.banned),
        leave(),
        role(&cast.member, Weight::MODERATOR),
        mute(&cast.member, None, None),
        unmute(&cast.muted, None),
        device_add(&owner),
        revoke(&owner),
        Payload::QuorumAct(quorum),
        Payload::Commit(commit),
        readd(&owner),
        complaint(cast.space.epoch(), &owner),
        attest(cast.removal, cuts),
        Payload::EquivocationProof(proof(&a, &b)),
        seal(cast.space.epoch(), vec![]),
    ];
    let mut all = Vec::new();
    for payload in samples {
        let kind = payload.kind().name();
        let changed = chosen(changes(&payload.encode()));
        // Six of each kind, spread over all its changes.
        let step = (changed.len() / 6).max(1);
        for (name, bytes) in changed.into_iter().step_by(step).take(7) {
            let op = cast.space.op(&owner, payload.clone()).bytes(bytes).forge();
            all.push(Case::new(
                format!("payload of {kind}: {name}"),
                op.encode(),
                Expect::Refused(Rule::R8, "Payload"),
            ));
        }
    }
    let op = cast.space.op(&owner, Payload::Merge).bytes(vec![0]).forge();
    all.push(Case::new(
        "payload of merge: any",
        op.encode(),
        Expect::Refused(Rule::R8, "Payload"),
    ));
    all
}
