//! Texts, files and messages of others that are no op: each by its own way in, with its own error.

use blobstore::{BlobRef, Description, Manifest, SealedChunk, Sealer};
use data_encoding::BASE32_NOPAD;
use minicbor::bytes::ByteVec;
use minicbor::{Decode, Encode};
use mls::envelope::{self as envelopes, SealKeys};
use mls::sealed_box::{self, BoxKey};
use mls::{EpochKeys, EpochRoot, LocalDevice, check_key_package, key_package};
use net::driver::RelayAddr;
use net::wire::{Call, Cursor, Filed, Push, Reply, Request, Response, Sealed};
use node::quorum::Motion;
use node::{Command, CommandError, InviteLink, RecoveryPhrase};
use oplog::hash::hash16;
use oplog::payload::SpaceKind;
use oplog::{
    Authoring, BlobId, DeviceId, Digest, Hlc, OpId, Payload, Scope, Secret, SecretKey, Signature,
    SignedOp, SpaceId, SpaceLog, SpaceNo, Tag, UserId, codec,
};
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;

use crate::cast::*;
use crate::cbor::{Kind, changes};
use crate::memory::bounded;
use crate::stage::{PROOF_MAGIC, Proof, Victim};
use crate::table::{Table, variant};

fn rng(seed: u64) -> ChaCha20Rng {
    ChaCha20Rng::seed_from_u64(seed)
}

/// Notes a case that goes one way.
fn one<T, E: std::fmt::Debug>(
    table: &mut Table,
    way: &'static str,
    name: &str,
    must: &str,
    seen: Result<T, E>,
) {
    let name = format!("{way}: {name}");
    let seen = seen.map_or_else(|error| variant(&error), |_| "taken".to_owned());
    table.case(&name, &format!("{way} {must}"));
    table.run(&name, way, &seen.as_str(), &must);
}

pub fn run(table: &mut Table) {
    let mut cast = Cast::new(41);
    links(table);
    addresses(table);
    phrases(table);
    imports(table, &mut cast);
    proofs(table, &cast);
    backups(table);
    attachments(table);
    packages(table);
    seals(table);
    wire(table);
}

#[derive(Clone, Encode, Decode)]
#[cbor(map)]
struct Link {
    #[n(0)]
    space: SpaceId,
    #[n(1)]
    invite: OpId,
    #[n(2)]
    secret: Digest,
    #[n(3)]
    relays: Vec<String>,
    #[n(4)]
    name: String,
    #[n(5)]
    check: u32,
}

impl Link {
    fn new(relays: Vec<String>, name: &str) -> Self {
        let mut link = Self {
            space: SpaceId::from_bytes([1; 32]),
            invite: OpId::from_bytes([2; 32]),
            secret: Digest::from_bytes([3; 32]),
            relays,
            name: name.to_owned(),
            check: 0,
        };
        let mut parts: Vec<&[u8]> = vec![
            link.space.as_bytes(),
            link.invite.as_bytes(),
            link.secret.as_bytes(),
        ];
        parts.extend(link.relays.iter().map(String::as_bytes));
        parts.push(link.name.as_bytes());
        let hash = hash16("invite-check", &parts);
        link.check = u32::from_be_bytes(hash[..4].try_into().unwrap());
        link
    }

    fn text(&self) -> String {
        written(&codec::encode(self))
    }
}

fn written(bytes: &[u8]) -> String {
    format!(
        "decent://join/{}",
        BASE32_NOPAD.encode(bytes).to_lowercase()
    )
}

/// What people paste, scan or open: one parser for all of it.
fn links(table: &mut Table) {
    let plain = Link::new(vec!["/ip4/10.0.0.1/tcp/1/p2p/x".into()], "Allotment");
    let text = plain.text();
    assert!(
        text.parse::<InviteLink>().is_ok(),
        "the link that is changed here"
    );
    let code = text.strip_prefix("decent://join/").unwrap().to_owned();
    let relay = "/ip4/10.0.0.1/tcp/1/p2p/x".to_owned();
    let mut wrong_check = plain.clone();
    wrong_check.check ^= 1;
    let mut other_secret = plain.clone();
    other_secret.secret = Digest::ZERO;
    let letter = |at: usize, with: &str| {
        let mut code = code.clone();
        code.replace_range(at..=at, with);
        format!("decent://join/{code}")
    };
    let mut cases: Vec<(String, String, &str)> = vec![
        ("nothing".into(), String::new(), "NotALink"),
        ("blanks".into(), " \t\n ".into(), "NotALink"),
        (
            "a web address".into(),
            format!("https://join/{code}"),
            "NotALink",
        ),
        (
            "another scheme".into(),
            format!("decant://join/{code}"),
            "NotALink",
        ),
        (
            "the scheme in capitals".into(),
            format!("DECENT://join/{code}"),
            "NotALink",
        ),
        (
            "a scheme in Cyrillic".into(),
            format!("d\u{435}cent://join/{code}"),
            "NotALink",
        ),
        (
            "a mark before it".into(),
            format!("\u{202e}{text}"),
            "NotALink",
        ),
        (
            "a byte order mark before it".into(),
            format!("\u{feff}{text}"),
            "NotALink",
        ),
        ("a script".into(), "javascript:alert(1)".into(), "NotALink"),
        ("a file".into(), "file:///etc/passwd".into(), "NotALink"),
        (
            "a motion".into(),
            format!("decent://quorum/{code}"),
            "NotALink",
        ),
        (
            "the prefix alone".into(),
            "decent://join/".into(),
            "Damaged",
        ),
        ("a path behind".into(), format!("{text}/../../x"), "Damaged"),
        ("a query behind".into(), format!("{text}?a=b"), "Damaged"),
        ("padding behind".into(), format!("{text}===="), "Damaged"),
        ("its code behind".into(), format!("{text}{code}"), "Damaged"),
        (
            "another link behind".into(),
            format!("{text} {text}"),
            "Damaged",
        ),
        (
            "a letter fewer".into(),
            text[..text.len() - 1].to_owned(),
            "Damaged",
        ),
        (
            "half of it".into(),
            text[..text.len() / 2].to_owned(),
            "Damaged",
        ),
        ("a letter more".into(), format!("{text}a"), "Damaged"),
        (
            "a digit that base32 lacks".into(),
            letter(9, "1"),
            "Damaged",
        ),
        (
            "another letter".into(),
            letter(9, if &code[9..10] == "b" { "c" } else { "b" }),
            "Damaged",
        ),
        ("a Cyrillic letter".into(), letter(9, "\u{430}"), "Damaged"),
        ("a wide letter".into(), letter(9, "\u{ff41}"), "Damaged"),
        (
            "a letter that turns the text".into(),
            letter(9, "\u{202e}"),
            "Damaged",
        ),
        ("a NUL".into(), letter(9, "\0"), "Damaged"),
        ("a line break within".into(), letter(9, "\n"), "Damaged"),
        ("a blank within".into(), letter(9, " "), "Damaged"),
        ("another checksum".into(), wrong_check.text(), "Damaged"),
        ("another secret".into(), other_secret.text(), "Damaged"),
        (
            "five relays".into(),
            Link::new(vec!["r".into(); 5], "A").text(),
            "TooLong",
        ),
        (
            "a name of 65 bytes".into(),
            Link::new(vec![relay], &"a".repeat(65)).text(),
            "TooLong",
        ),
        (
            "a relay of a kilobyte".into(),
            Link::new(vec!["r".repeat(1_024)], "A").text(),
            "TooLong",
        ),
        (
            "a thousand and more letters".into(),
            format!("{text}{}", "a".repeat(1_024)),
            "TooLong",
        ),
        (
            "ten million letters".into(),
            "decent://join/".to_owned() + &"a".repeat(10_000_000),
            "TooLong",
        ),
    ];
    // Its bytes said otherwise, one change of each kind.
    let mut seen = std::collections::BTreeSet::new();
    for (what, _, bytes) in changes(&codec::encode(&plain)) {
        let kind = what.split(" at /").next().unwrap_or_default().to_owned();
        let changed = written(&bytes);
        if seen.insert(kind) && changed.len() <= 1_024 {
            cases.push((what, changed, "Damaged"));
        }
    }
    for (what, text, must) in cases {
        let (parsed, fits) = bounded(text.as_bytes(), |_| text.parse::<InviteLink>());
        table.check(&what, "a link costs no more memory than it may", fits);
        one(table, "pasted link", &what, must, parsed);
    }
    for (what, text, must) in [
        ("nothing", String::new(), "NotAMotion"),
        ("an invite", text.clone(), "NotAMotion"),
        ("the prefix alone", "decent://quorum/".to_owned(), "Damaged"),
        (
            "an invite's bytes",
            format!("decent://quorum/{code}"),
            "Damaged",
        ),
        ("no base32", "decent://quorum/0189".to_owned(), "Damaged"),
        (
            "a megabyte and more",
            "decent://quorum/".to_owned() + &"a".repeat(1 << 20),
            "TooLong",
        ),
    ] {
        one(table, "pasted motion", what, must, text.parse::<Motion>());
    }
}

/// What a link or a person says where a relay is.
fn addresses(table: &mut Table) {
    for (what, text, must) in [
        ("nothing", "", "NoPeer"),
        ("no key", "/ip4/10.0.0.1/tcp/4001", "NoPeer"),
        (
            "a name without a key",
            "/dns4/example.org/tcp/443",
            "NoPeer",
        ),
        ("a web address", "https://example.org/", "Malformed"),
        ("a host and port", "example.org:4001", "Malformed"),
        (
            "a key of nonsense",
            "/ip4/10.0.0.1/tcp/4001/p2p/nonsense",
            "Malformed",
        ),
        ("a port too large", "/ip4/10.0.0.1/tcp/65536", "Malformed"),
        (
            "a number of five parts",
            "/ip4/10.0.0.1.1/tcp/1",
            "Malformed",
        ),
        ("half a protocol", "/ip4", "Malformed"),
        (
            "an RSA key",
            "/ip4/10.0.0.1/tcp/1/p2p/QmYyQSo1c1Ym7orWxLYvCrM2EmxFTANf8wXmmE7DWjhx5N",
            "KeyType",
        ),
    ] {
        one(
            table,
            "relay address",
            what,
            must,
            text.parse::<RelayAddr>(),
        );
    }
}

fn phrases(table: &mut Table) {
    let good = "abandon ".repeat(23) + "art";
    assert!(RecoveryPhrase::parse(&good).is_ok());
    for (what, words) in [
        ("nothing", String::new()),
        ("23 words", "abandon ".repeat(23)),
        ("25 words", format!("{good} abandon")),
        ("12 words", "abandon ".repeat(11) + "about"),
        ("a wrong checksum", "abandon ".repeat(24)),
        ("a word that is none", "abandon ".repeat(23) + "decent"),
        ("a Cyrillic letter", good.replacen('a', "\u{430}", 1)),
        (
            "a word with a mark",
            good.replacen("abandon", "abandon\u{200b}", 1),
        ),
        ("commas", good.replace(' ', ",")),
        ("a million words", "abandon ".repeat(1_000_000)),
    ] {
        one(
            table,
            "recovery phrase",
            what,
            "PhraseError",
            RecoveryPhrase::parse(&words),
        );
    }
}

/// Files that are said to be exports.
fn imports(table: &mut Table, cast: &mut Cast) {
    const WAY: &str = "import of a new Space";
    let ops: Vec<Vec<u8>> = cast.space.ops().iter().map(SignedOp::encode).collect();
    let id = cast.space.id();
    let whole = node::export_of(id, ops.iter().take(6).cloned());
    let sealed = |body: &[u8]| {
        let hash = oplog::hash::H::new("bundle").field(body).finish();
        [&b"decent bundle v1"[..], &hash, body].concat()
    };
    let body = whole[48..].to_vec();
    assert_eq!(sealed(&body), whole);
    let mut flipped = whole.clone();
    flipped[whole.len() / 2] ^= 1;
    let other_magic = [&b"decent bundle v2"[..], &whole[16..]].concat();
    let mut cases: Vec<(String, Vec<u8>)> = vec![
        ("nothing".into(), Vec::new()),
        ("zeros".into(), vec![0; 1_000]),
        ("the beginning alone".into(), whole[..16].to_vec()),
        ("without a hash".into(), [&whole[..16], &body].concat()),
        ("another version".into(), other_magic),
        ("cut short".into(), whole[..whole.len() - 1].to_vec()),
        ("a byte more".into(), [whole.as_slice(), &[0]].concat()),
        ("a bit of it".into(), flipped),
        ("a proof".into(), [PROOF_MAGIC, &whole[15..]].concat()),
        ("no ops".into(), node::export_of(id, Vec::new())),
        (
            "no founding op".into(),
            node::export_of(id, ops.iter().skip(1).cloned()),
        ),
        (
            "the ops of another Space".into(),
            node::export_of(SpaceId::from_bytes([9; 32]), ops.clone()),
        ),
        (
            "no Space's id".into(),
            node::export_of(SpaceId::ZERO, ops.clone()),
        ),
        ("a nest".into(), sealed(&vec![0x81; 100_000])),
        (
            "a list of 4 GiB".into(),
            sealed(
                &[
                    &[0xa2, 0, 0x58, 32][..],
                    &[1; 32],
                    &[1, 0x9a, 0xff, 0xff, 0xff, 0xff],
                ]
                .concat(),
            ),
        ),
    ];
    // Founding ops that found nothing.
    let Ok(Some(Payload::Genesis(founding))) = cast.space.genesis().payload() else {
        panic!("another payload");
    };
    let owner = cast.owner.clone();
    let clean = Authoring::genesis(owner.user(), owner.id(), oplog::testing::START);
    let founds = |header: &oplog::Header, payload: &oplog::payload::Genesis| {
        SignedOp::sign(
            header.clone(),
            &Payload::Genesis(payload.clone()),
            owner.key(),
        )
    };
    let (mut direct, mut not_own, mut unsigned) =
        (founding.clone(), founding.clone(), founding.clone());
    direct.kind = SpaceKind::Direct;
    not_own.cert = cast.stranger.cert().clone();
    unsigned.cert.sig = Signature::ZERO;
    let (mut named, mut late, mut seen, mut epoch) =
        (clean.clone(), clean.clone(), clean.clone(), clean.clone());
    named.space = SpaceId::from_bytes([1; 32]);
    late.seq = 1;
    seen.ctl = vec![OpId::from_bytes([1; 32])];
    epoch.epoch = crate::stage::NOWHERE;
    for (what, header, payload, must) in [
        ("a direct Space", &clean, &direct, "BadGenesis"),
        ("another's certificate", &clean, &not_own, "BadGenesis"),
        (
            "an unsigned certificate",
            &clean,
            &unsigned,
            "BadCertificate",
        ),
        ("a Space's name", &named, &founding, "BadGenesis"),
        ("a later place", &late, &founding, "BadGenesis"),
        ("an epoch", &epoch, &founding, "BadGenesis"),
    ] {
        let op = founds(header, payload);
        let mut log = SpaceLog::new(op.space(), SpaceNo(1));
        let mut authority = fold::AuthorityFold::new();
        let mut store = oplog::store::MemStore::new();
        let judged = log.accept(
            op.clone().verify().unwrap(),
            cast.now,
            &mut store,
            &mut authority,
        );
        one(table, "founding op", what, must, judged);
        cases.push((
            format!("founded with {what}"),
            node::export_of(op.space(), [op.encode()]),
        ));
    }
    let op = founds(&seen, &founding);
    cases.push((
        "founded with a past".into(),
        node::export_of(op.space(), [op.encode()]),
    ));
    let name = "\u{202e}".to_owned() + &"n".repeat(70);
    let long = oplog::payload::Genesis {
        name,
        ..founding.clone()
    };
    let op = founds(&clean, &long);
    cases.push((
        "founded with a long name".into(),
        node::export_of(op.space(), [op.encode()]),
    ));
    let mut kinds = std::collections::BTreeSet::new();
    for (what, _, bytes) in changes(&body) {
        let kind = what.split(" at /").next().unwrap_or_default().to_owned();
        if kinds.insert(kind) {
            cases.push((what, sealed(&bytes)));
        }
    }
    let mut victim = Victim::new(71, cast.now);
    for (what, bundle) in cases {
        let seen = victim.command(Command::Import { bundle });
        let left = victim.node.spaces().len();
        table.check(&what, "an import that failed left a Space", left == 0);
        let strange = !matches!(seen, Err(CommandError::Bundle { .. }) | Ok(_));
        table.check(&what, "an import fails as such", !strange);
        one(table, WAY, &what, "Bundle", seen);
    }
}

/// Proofs for outsiders that claim what their ops do not show.
fn proofs(table: &mut Table, cast: &Cast) {
    const WAY: &str = "proof of others";
    let mut victim = Victim::new(72, cast.now);
    let ops = cast.space.ops().iter().map(SignedOp::encode);
    let bundle = node::export_of(cast.space.id(), ops);
    victim.command(Command::Import { bundle }).unwrap();
    let whole = victim.node.prove(cast.space.id(), cast.said.id()).unwrap();
    assert!(node::audit::verify(&whole).is_ok());
    let good = Proof::open(&whole);
    let spoilt = |f: &dyn Fn(&mut Proof)| {
        let mut proof = good.clone();
        f(&mut proof);
        proof.seal()
    };
    let pruned = |bytes: &ByteVec| {
        let op = SignedOp::decode(bytes).unwrap();
        ByteVec::from(op.pruned().encode())
    };
    let mut flipped = whole.clone();
    flipped[whole.len() - 9] ^= 1;
    let member = cast.member.key();
    let cases: Vec<(&str, Vec<u8>, &str)> = vec![
        ("nothing", Vec::new(), "NotAProof"),
        ("its beginning", whole[..15].to_vec(), "NotAProof"),
        (
            "another version",
            [&b"decent proof v2"[..], &whole[15..]].concat(),
            "NotAProof",
        ),
        ("a bit of it", flipped, "Changed"),
        ("cut short", whole[..whole.len() - 1].to_vec(), "Changed"),
        ("a byte more", [whole.as_slice(), &[0]].concat(), "Changed"),
        ("no ops", spoilt(&|p| p.ops.clear()), "Lacks"),
        (
            "an op twice",
            spoilt(&|p| p.ops.insert(0, p.ops[0].clone())),
            "Order",
        ),
        ("two ops turned", spoilt(&|p| p.ops.swap(1, 2)), "Order"),
        (
            "an op that is none",
            spoilt(&|p| p.ops[1] = ByteVec::from(vec![0])),
            "Malformed",
        ),
        (
            "without the founding op",
            spoilt(&|p| {
                p.ops.remove(0);
            }),
            "Incomplete",
        ),
        (
            "without the commit",
            spoilt(&|p| {
                p.ops.remove(2);
            }),
            "Incomplete",
        ),
        (
            "a control op without its payload",
            spoilt(&|p| p.ops[1] = pruned(&p.ops[1])),
            "Refused",
        ),
        (
            "of another Space",
            spoilt(&|p| p.space = SpaceId::from_bytes([9; 32])),
            "Refused",
        ),
        (
            "about an op that it lacks",
            spoilt(&|p| p.claim.op = OpId::from_bytes([9; 32])),
            "Lacks",
        ),
        ("fewer heads", spoilt(&|p| p.claim.heads.clear()), "Heads"),
        (
            "other heads",
            spoilt(&|p| p.claim.heads = vec![p.claim.op]),
            "Heads",
        ),
        (
            "another outcome",
            spoilt(&|p| p.claim.state = "deleted".into()),
            "Differs",
        ),
        (
            "an outcome of nonsense",
            spoilt(&|p| p.claim.state = "\u{202e}fine".into()),
            "Differs",
        ),
        (
            "a rule that did not decide",
            spoilt(&|p| p.claim.rule = Some("D3".into())),
            "Differs",
        ),
        (
            "an op that did not decide",
            spoilt(&|p| p.claim.deciding = vec![p.claim.op]),
            "Differs",
        ),
        (
            "a signature of another",
            spoilt(&|p| {
                let bytes: Vec<u8> = p.ops[0].to_vec();
                let op = SignedOp::decode(&bytes).unwrap();
                let at = bytes
                    .windows(64)
                    .position(|w| w == op.signature().as_bytes())
                    .unwrap();
                let mut bytes = bytes;
                bytes[at..at + 64].copy_from_slice(member.sign(b"else").as_bytes());
                p.ops[0] = ByteVec::from(bytes);
            }),
            "Signature",
        ),
    ];
    for (what, bytes, must) in cases {
        one(table, WAY, what, must, node::audit::verify(&bytes));
    }
    let mut kinds = std::collections::BTreeSet::new();
    for (what, _, body) in changes(&whole[47..]) {
        let kind = what.split(" at /").next().unwrap_or_default().to_owned();
        if kinds.insert(kind) {
            let hash = oplog::hash::H::new("proof").field(&body).finish();
            let bytes = [PROOF_MAGIC, &hash, &body].concat();
            one(table, WAY, &what, "Malformed", node::audit::verify(&bytes));
        }
    }
}

fn backups(table: &mut Table) {
    let now = oplog::testing::START;
    let mut victim = Victim::new(73, now);
    victim
        .command(Command::CreateSpace {
            name: "Mine".into(),
        })
        .unwrap();
    let whole = victim.node.backup().unwrap();
    let seed = Secret::generate(&mut rng(73));
    assert!(node::backup::check(&seed, &whole).is_ok());
    let mut turned = whole.clone();
    turned[20] ^= 0x80;
    let mut last = whole.clone();
    *last.last_mut().unwrap() ^= 1;
    for (what, bytes, must) in [
        ("nothing", Vec::new(), "NotABackup"),
        ("zeros", vec![0; 1_000], "NotABackup"),
        (
            "another version",
            [&b"decent backup v2"[..], &whole[16..]].concat(),
            "NotABackup",
        ),
        ("its beginning", whole[..16].to_vec(), "NotABackup"),
        ("another salt", turned, "Sealed"),
        ("the last bit", last, "Sealed"),
        ("cut short", whole[..whole.len() - 1].to_vec(), "Sealed"),
        ("a byte more", [whole.as_slice(), &[0]].concat(), "Sealed"),
        (
            "itself behind",
            [whole.as_slice(), &whole[48..]].concat(),
            "Sealed",
        ),
    ] {
        one(
            table,
            "backup",
            what,
            must,
            node::backup::check(&seed, &bytes),
        );
    }
    let other = Secret::from_bytes([8; 32]);
    one(
        table,
        "backup",
        "another person's",
        "Sealed",
        node::backup::check(&other, &whole),
    );
}

/// Chunks and manifests of files.
fn attachments(table: &mut Table) {
    let made = |seed: u64, name: &str| {
        let mut rng = rng(seed);
        let sealed = Sealer::new(&mut rng).finish().unwrap().1;
        let about = Description {
            name: name.into(),
            media_type: "text/plain".into(),
            thumbnail: None,
        };
        sealed.describe(about, &mut rng).unwrap()
    };
    let ((blob, chunk), (other, other_chunk)) = (made(1, "file"), made(2, "../../x"));
    assert!(Manifest::open(&blob, &chunk).is_ok());
    let bytes = chunk.bytes().to_vec();
    let named = |id: BlobId| BlobRef {
        manifest: id,
        ..blob.clone()
    };
    for (what, id, bytes) in [
        (
            "another's bytes",
            blob.manifest,
            other_chunk.bytes().to_vec(),
        ),
        (
            "a byte fewer",
            blob.manifest,
            bytes[..bytes.len() - 1].to_vec(),
        ),
        (
            "a byte more",
            blob.manifest,
            [bytes.as_slice(), &[0]].concat(),
        ),
        ("no id", BlobId::from_bytes([0; 32]), bytes.clone()),
    ] {
        one(
            table,
            "chunk",
            what,
            "NotTheOne",
            SealedChunk::expect(id, bytes),
        );
    }
    for (what, len, must) in [
        ("half a megabyte", 512 * 1024, "TooLong"),
        ("less than a seal", 15, "TooShort"),
        ("nothing", 0, "TooShort"),
    ] {
        let bytes = vec![0; len];
        let id = BlobId::of_sealed(&bytes);
        one(table, "chunk", what, must, SealedChunk::expect(id, bytes));
    }
    one(
        table,
        "manifest",
        "of another file",
        "NotTheOne",
        Manifest::open(&blob, &other_chunk),
    );
    let mixed = BlobRef {
        manifest: other.manifest,
        ..blob.clone()
    };
    one(
        table,
        "manifest",
        "under another key",
        "Seal",
        Manifest::open(&mixed, &other_chunk),
    );
    for at in [0, bytes.len() / 2, bytes.len() - 1] {
        let mut bad = bytes.clone();
        bad[at] ^= 1;
        let id = BlobId::of_sealed(&bad);
        let chunk = SealedChunk::expect(id, bad).unwrap();
        one(
            table,
            "manifest",
            &format!("a bit at {at}"),
            "Seal",
            Manifest::open(&named(id), &chunk),
        );
    }
}

/// Key packages as they come in requests to join.
fn packages(table: &mut Table) {
    let device = |n: u8| {
        let key = |m: u8| SecretKey::from_seed(&[n.wrapping_mul(4) + m; 32]);
        let (identity, device, mls_key) = (key(0), key(1), key(2));
        let mut cert = oplog::payload::DeviceCert {
            user: UserId::from_bytes(identity.public()),
            device: DeviceId::from_bytes(device.public()),
            mls_key: Digest::from_bytes(mls_key.public()),
            hpke_key: Digest::ZERO,
            created: Hlc::from_raw(1),
            name: format!("device {n}"),
            sig: Signature::ZERO,
        };
        cert.sig = identity.sign(&cert.message());
        LocalDevice::new(cert, mls_key).unwrap()
    };
    let (me, other) = (device(1), device(2));
    let bytes = key_package(&me, &mut rng(1)).unwrap().0;
    assert!(check_key_package(&bytes, me.cert()).is_ok());
    for (what, bytes, must) in [
        ("nothing", Vec::new(), "Malformed"),
        ("zeros", vec![0; 300], "Malformed"),
        ("ones", vec![0xff; 300], "Malformed"),
        ("cut short", bytes[..bytes.len() - 1].to_vec(), "Malformed"),
        (
            "a byte more",
            [bytes.as_slice(), &[0]].concat(),
            "Malformed",
        ),
        (
            "itself behind",
            [bytes.as_slice(), &bytes].concat(),
            "Malformed",
        ),
        ("a megabyte", vec![0; 1 << 20], "TooLong"),
    ] {
        one(
            table,
            "key package",
            what,
            must,
            check_key_package(&bytes, me.cert()),
        );
    }
    let seen = check_key_package(&bytes, other.cert());
    one(
        table,
        "key package",
        "of another device",
        "UnknownCert",
        seen,
    );
    for at in (0..bytes.len()).step_by(bytes.len() / 16) {
        let mut bad = bytes.clone();
        bad[at] ^= 0x10;
        let refused = check_key_package(&bad, me.cert()).is_err();
        let name = format!("key package: a bit at {at}");
        table.case(&name, "key package changed");
        table.run(&name, "key package", &refused, &true);
    }
}

/// Envelopes and boxes, which only those can open who have the key.
fn seals(table: &mut Table) {
    let keys = |n: u8, scope: Scope| {
        let root = EpochRoot::new(Secret::from_bytes([n; 32]));
        SealKeys::new(&EpochKeys::new(&root), &scope)
    };
    let mine = keys(7, Scope::Control);
    let tag = Tag::from_bytes([3; 16]);
    let whole = envelopes::seal(&mine, &tag, b"content", &mut rng(1)).unwrap();
    let changed = |at: usize| {
        let mut bytes = whole.clone();
        bytes[at] ^= 1;
        bytes
    };
    let channel = Scope::Channel(oplog::ChannelId::from_bytes([1; 16]));
    for (what, bytes, keys, must) in [
        ("nothing", Vec::new(), &mine, "WrongSize"),
        ("a byte fewer", whole[..1023].to_vec(), &mine, "WrongSize"),
        (
            "a byte more",
            [whole.as_slice(), &[0]].concat(),
            &mine,
            "WrongSize",
        ),
        ("two megabytes", vec![0; 2 << 20], &mine, "WrongSize"),
        ("zeros", vec![0; 1024], &mine, "NoMatch"),
        (
            "under another epoch's keys",
            whole.clone(),
            &keys(8, Scope::Control),
            "NoMatch",
        ),
        (
            "under another scope's keys",
            whole.clone(),
            &keys(7, channel),
            "NoMatch",
        ),
        ("a bit at the end", changed(1023), &mine, "Tampered"),
        ("a bit in the middle", changed(512), &mine, "Tampered"),
    ] {
        let seen = envelopes::open(&bytes, [keys]);
        one(table, "envelope", what, must, seen);
    }
    let key = BoxKey::from_seed(&Secret::from_bytes([7; 32]));
    let other = BoxKey::from_seed(&Secret::from_bytes([8; 32]));
    let sealed =
        sealed_box::seal_to(key.public(), b"info", b"ad", b"content", &mut rng(1)).unwrap();
    let mut bad = sealed.clone();
    *bad.last_mut().unwrap() ^= 1;
    for (what, key, info, ad, bytes) in [
        (
            "nothing",
            &key,
            b"info".as_slice(),
            b"ad".as_slice(),
            Vec::new(),
        ),
        ("for another", &other, b"info", b"ad", sealed.clone()),
        ("for another purpose", &key, b"else", b"ad", sealed.clone()),
        ("beside other data", &key, b"info", b"else", sealed.clone()),
        ("the last bit", &key, b"info", b"ad", bad),
        (
            "cut short",
            &key,
            b"info",
            b"ad",
            sealed[..sealed.len() - 1].to_vec(),
        ),
        ("a weak key", &key, b"info", b"ad", vec![0; sealed.len()]),
    ] {
        let refused = sealed_box::open_with(key, info, ad, &bytes).is_err();
        let name = format!("box: {what}");
        table.case(&name, "box refused");
        table.run(&name, "box", &refused, &true);
    }
}

/// What a relay says, and what it is told.
fn wire(table: &mut Table) {
    let items = vec![Filed {
        cursor: Cursor::from_raw(1 << 40),
        sealed: Sealed::new(vec![7; 40]),
    }];
    let tag = Tag::from_bytes([3; 16]);
    let push = Push::Envelopes {
        tag,
        prev: Cursor::START,
        items: items.clone(),
    };
    let push = net::wire::encode_call(Call::Push(push));
    let page = Response::Page {
        items: items.clone(),
        more: false,
    };
    let page = net::wire::encode_reply(Reply::Response(page));
    let fetch = Request::Fetch {
        tag,
        after: Cursor::START,
        limit: 9,
    };
    let fetch = net::wire::encode_call(Call::Request(fetch));
    type Reads = fn(&[u8]) -> Result<(), oplog::CodecError>;
    let call: Reads = |bytes| net::wire::decode_call(bytes).map(|_| ());
    let reply: Reads = |bytes| net::wire::decode_reply(bytes).map(|_| ());
    for (way, valid, reads) in [
        ("push of a relay", &push, call),
        ("answer of a relay", &page, reply),
        ("request to a relay", &fetch, call),
    ] {
        assert!(reads(valid).is_ok());
        let mut kinds = std::collections::BTreeSet::new();
        for (what, kind, bytes) in changes(valid) {
            let sort = what.split(" at /").next().unwrap_or_default().to_owned();
            if !kinds.insert(sort) {
                continue;
            }
            let (seen, fits) = bounded(&bytes, reads);
            table.check(&what, "a message costs no more memory than it may", fits);
            let name = format!("{way}: {what}");
            table.case(&name, &format!("{way} {kind:?}"));
            let seen = seen.map_or_else(|error| variant(&error), |()| "taken".to_owned());
            let right = match kind {
                Kind::Wide => seen == "NotCanonical" || seen == "Malformed",
                // That it is another form of the same list shows when it is written again.
                Kind::Odd if what.contains("list without length") => seen == "NotCanonical",
                Kind::Odd => seen == "Malformed",
            };
            table.run(&name, way, &(right, seen.clone()), &(true, seen));
        }
    }
    let many = |n: usize| {
        let items = vec![items[0].clone(); n];
        net::wire::encode_reply(Reply::Response(Response::Page { items, more: false }))
    };
    assert!(net::wire::decode_reply(&many(256)).is_ok());
    let subscribe = |n: u16| {
        let tags = (0..n).map(|n| net::wire::Subscription {
            tag: Tag::from_bytes([n.to_be_bytes(); 8].concat().try_into().unwrap()),
            after: Cursor::START,
        });
        let request = Request::Subscribe {
            tags: tags.collect(),
            replace: false,
        };
        net::wire::encode_call(Call::Request(request))
    };
    let chunk = |len: usize| {
        let bytes = Sealed::new(vec![0; len]);
        net::wire::encode_reply(Reply::Response(Response::Chunk { bytes }))
    };
    for (what, bytes, reads, must) in [
        ("257 envelopes at once", many(257), reply, "Malformed"),
        ("257 tags at once", subscribe(257), call, "Malformed"),
        (
            "a chunk of a byte too many",
            chunk(net::wire::CHUNK_BYTES_MAX + 1),
            reply,
            "Malformed",
        ),
        (
            "a message of two megabytes",
            chunk(2 << 20),
            reply,
            "TooLong",
        ),
        ("a push as an answer", push.clone(), reply, "NotCanonical"),
        ("an answer as a push", page.clone(), call, "Malformed"),
    ] {
        one(table, "message", what, must, reads(&bytes));
    }
}
