//! Signatures that are none, and keys that sign everything.

use oplog::testing::TestSpace;
use oplog::{DeviceId, Payload, Rule, SecretKey, Signature, SignedOp};

use crate::cast::*;
use crate::table::{Case, Expect};

/// The order of the group, little-endian.
const ORDER: [u8; 32] = [
    0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14,
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
];

/// Points of small order, and other encodings of them.
const WEAK: [&str; 14] = [
    "0000000000000000000000000000000000000000000000000000000000000000",
    "0000000000000000000000000000000000000000000000000000000000000080",
    "0100000000000000000000000000000000000000000000000000000000000000",
    "0100000000000000000000000000000000000000000000000000000000000080",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
];

fn hex32(text: &str) -> [u8; 32] {
    let byte = |n| u8::from_str_radix(&text[n * 2..n * 2 + 2], 16).unwrap();
    std::array::from_fn(byte)
}

/// The op with another signature: it stands before the payload, behind the header.
fn with(op: &SignedOp, sig: [u8; 64]) -> Vec<u8> {
    let mut bytes = op.encode();
    let old = op.signature().as_bytes();
    let at = bytes.windows(64).position(|w| w == old).unwrap();
    bytes[at..at + 64].copy_from_slice(&sig);
    bytes
}

/// Adds little-endian numbers of 32 bytes.
fn plus(a: &[u8], b: &[u8]) -> [u8; 32] {
    let mut carry = 0_u16;
    std::array::from_fn(|n| {
        let sum = u16::from(a[n]) + u16::from(b[n]) + carry;
        carry = sum >> 8;
        sum as u8
    })
}

/// What is made of a good signature.
type Spoil = fn([u8; 64]) -> [u8; 64];

pub fn cases(cast: &mut Cast) -> Vec<Case> {
    let by = cast.member.clone();
    let (second, owner, stranger) = (
        cast.other.clone(),
        cast.owner.clone(),
        cast.stranger.clone(),
    );
    let lost = cast.lost.clone();
    let invite = SecretKey::from_seed(&cast.open.key.to_seed());
    let genesis = cast.space.genesis().clone();
    let mut n = 0;
    let mut fresh = |cast: &mut Cast| {
        n += 1;
        let chat = cast.chat;
        cast.space.post(&by, chat, &format!("signed {n}")).forge()
    };
    let mut all = Vec::new();
    let mut unsigned = |name: &str, bytes: Vec<u8>, variant| {
        let name = format!("signature: {name}");
        all.push(Case::new(name, bytes, Expect::Unsigned(variant)));
    };
    let message = |op: &SignedOp| [b"decent op v1".as_slice(), op.id().as_bytes()].concat();
    let mut other = |name: &str, sign: &dyn Fn(&SignedOp) -> Signature| {
        let op = fresh(cast);
        unsigned(name, with(&op, *sign(&op).as_bytes()), "Mismatch");
    };
    other("all zero", &|_| Signature::ZERO);
    other("all ones", &|_| Signature::from_bytes([0xff; 64]));
    other("of another member", &|op| second.key().sign(&message(op)));
    other("of the owner", &|op| owner.key().sign(&message(op)));
    other("of a stranger", &|op| stranger.key().sign(&message(op)));
    other("of the author's revoked device", &|op| {
        lost.key().sign(&message(op))
    });
    other("of the identity key", &|op| {
        by.identity().sign(&message(op))
    });
    other("of an invite's key", &|op| invite.sign(&message(op)));
    other("of the founding op", &|_| *genesis.signature());
    other("without the sentence", &|op| {
        by.key().sign(op.id().as_bytes())
    });
    other("over the header itself", &|op| {
        by.key().sign(op.header_bytes())
    });
    other("over the bytes of the payload", &|op| {
        by.key().sign(op.payload_bytes().unwrap())
    });
    for sentence in [
        "decent cert v1",
        "decent device v1",
        "decent revoke v1",
        "decent quorum v1",
        "decent join v1",
        "decent put v1",
        "decent have v1",
        "decent op v2",
        "decent op v1 ",
    ] {
        other(&format!("under the sentence {sentence:?}"), &|op| {
            by.key()
                .sign(&[sentence.as_bytes(), op.id().as_bytes()].concat())
        });
    }
    let parts: [(&str, Spoil); 9] = [
        ("S plus the group's order", |mut sig| {
            let s = plus(&sig[32..], &ORDER);
            sig[32..].copy_from_slice(&s);
            sig
        }),
        ("S plus eight times the order", |mut sig| {
            let mut s: [u8; 32] = sig[32..].try_into().unwrap();
            for _ in 0..8 {
                s = plus(&s, &ORDER);
            }
            sig[32..].copy_from_slice(&s);
            sig
        }),
        ("S with its highest bit", |mut sig| {
            sig[63] |= 0x80;
            sig
        }),
        ("S zero", |mut sig| {
            sig[32..].fill(0);
            sig
        }),
        ("S plus one", |mut sig| {
            let s = plus(&sig[32..], &[&[1][..], &[0; 31]].concat());
            sig[32..].copy_from_slice(&s);
            sig
        }),
        ("R with the other sign", |mut sig| {
            sig[31] ^= 0x80;
            sig
        }),
        ("R the neutral point", |mut sig| {
            sig[..32].fill(0);
            sig[0] = 1;
            sig
        }),
        ("R and S in each other's place", |mut sig| {
            sig.rotate_left(32);
            sig
        }),
        ("the first bit", |mut sig| {
            sig[0] ^= 1;
            sig
        }),
    ];
    for (name, spoil) in parts {
        other(name, &|op| {
            Signature::from_bytes(spoil(*op.signature().as_bytes()))
        });
    }
    // Two that would cancel each other out if a batch weighed them alike.
    let pair = [fresh(cast), fresh(cast)];
    let one = [&[1][..], &[0; 31]].concat();
    let minus_one = {
        let mut less = ORDER;
        less[0] -= 1;
        less
    };
    let shifted = |op: &SignedOp, by: &[u8]| {
        let mut sig = *op.signature().as_bytes();
        let sum = plus(&sig[32..], by);
        // Below the order again, so that only the sum of both is right.
        let reduced = if sum.iter().rev().lt(ORDER.iter().rev()) {
            sum
        } else {
            let mut borrow = 0_i16;
            std::array::from_fn(|n| {
                let diff = i16::from(sum[n]) - i16::from(ORDER[n]) + borrow;
                borrow = diff >> 8;
                diff as u8
            })
        };
        sig[32..].copy_from_slice(&reduced);
        with(op, sig)
    };
    let (up, down) = (shifted(&pair[0], &one), shifted(&pair[1], &minus_one));
    all.push(
        Case::new(
            "signature: two off by opposite amounts",
            down,
            Expect::Unsigned("Mismatch"),
        )
        .after(vec![up]),
    );

    // Keys under which anything is signed.
    for (n, weak) in WEAK.iter().enumerate() {
        let chat = cast.chat;
        let op = cast.space.post(&by, chat, &format!("weak {n}")).forge();
        let mut header = op.header().clone();
        header.device = DeviceId::from_bytes(hex32(weak));
        let payload = op.payload_bytes().unwrap().to_vec();
        let op = SignedOp::sign_raw(header, payload, by.key());
        // R is the key itself, S zero: what such a key accepts.
        let sig: [u8; 64] = [hex32(weak).as_slice(), &[0; 32]]
            .concat()
            .try_into()
            .unwrap();
        all.push(Case::new(
            format!("signature: by the weak key {}…{}", &weak[..8], &weak[62..]),
            with(&op, sig),
            Expect::Unsigned("BadKey"),
        ));
    }

    // The signature of another Space, epoch or group over what looks alike.
    let mut abroad = TestSpace::found(99);
    let chat = cast.chat;
    let there = abroad.post(&by, chat, "abroad").forge();
    all.push(Case::new(
        "replay: an op of another Space",
        there.encode(),
        Expect::Refused(Rule::S0, "OtherSpace"),
    ));
    let moved = {
        let mut header = there.header().clone();
        header.space = cast.space.id();
        header.ctl = cast.space.heads();
        let bytes = SignedOp::sign_raw(header, there.payload_bytes().unwrap().to_vec(), by.key());
        with(&bytes, *there.signature().as_bytes())
    };
    all.push(Case::new(
        "replay: another Space's signature over an op moved here",
        moved,
        Expect::Unsigned("Mismatch"),
    ));
    all.push(Case::new(
        "replay: the founding op of another Space",
        abroad.genesis().encode(),
        Expect::Refused(Rule::S0, "OtherSpace"),
    ));
    let founder = abroad.founder();
    let merge = abroad.op(&founder, Payload::Merge).forge();
    all.push(Case::new(
        "replay: a control op of another Space",
        merge.encode(),
        Expect::Refused(Rule::S0, "OtherSpace"),
    ));
    all
}
