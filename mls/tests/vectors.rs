//! The MLS working group's vectors against our provider. `vectors/README.md` says which are run.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "all of this is tests, which clippy sees only in functions marked so"
)]

use openmls::prelude::{
    KeyPackage, MIXED_PLAINTEXT_WIRE_FORMAT_POLICY, MlsGroup, MlsGroupJoinConfig, MlsMessageBodyIn,
    MlsMessageIn, OpenMlsSignaturePublicKey, ProcessedMessageContent, RatchetTreeIn, StagedWelcome,
    Verifiable, Welcome,
};
use openmls::schedule::PreSharedKeyId;
use openmls_traits::OpenMlsProvider;
use openmls_traits::crypto::OpenMlsCrypto;
use openmls_traits::storage::{CURRENT_VERSION, Entity, StorageProvider, traits};
use openmls_traits::types::{HashType, HpkeCiphertext, HpkePrivateKey, SignatureScheme};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tls_codec::Deserialize as _;

use mls::{CIPHERSUITE, Crypto, Provider, Rows};
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;

/// Bytes written as hex.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "String")]
struct Hex(Vec<u8>);

impl TryFrom<String> for Hex {
    type Error = hex::FromHexError;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        hex::decode(text).map(Self)
    }
}

impl core::ops::Deref for Hex {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        &self.0
    }
}

fn read<T: DeserializeOwned>(json: &str) -> Vec<T> {
    serde_json::from_str(json).unwrap()
}

fn provider() -> Provider {
    Provider::new(&Rows::default(), &mut ChaCha20Rng::seed_from_u64(1))
}

// ---- passive clients

#[derive(Deserialize)]
struct PassiveClient {
    external_psks: Vec<ExternalPsk>,
    key_package: Hex,
    encryption_priv: Hex,
    init_priv: Hex,
    welcome: Hex,
    ratchet_tree: Option<Hex>,
    initial_epoch_authenticator: Hex,
    epochs: Vec<PassiveEpoch>,
}

#[derive(Deserialize)]
struct ExternalPsk {
    psk_id: Hex,
    psk: Hex,
}

#[derive(Deserialize)]
struct PassiveEpoch {
    proposals: Vec<Hex>,
    commit: Hex,
    epoch_authenticator: Hex,
}

/// What OpenMLS stores for a key package of its own; its type cannot be made from outside.
#[derive(Serialize, Deserialize)]
struct Bundle {
    key_package: KeyPackage,
    private_init_key: HpkePrivateKey,
    private_encryption_key: PrivateKey,
}

#[derive(Serialize, Deserialize)]
struct PrivateKey {
    key: HpkePrivateKey,
}

impl Entity<CURRENT_VERSION> for Bundle {}
impl traits::KeyPackage<CURRENT_VERSION> for Bundle {}

/// Takes a key package as it is: those of the vectors are past their lifetimes.
fn unchecked(message: &[u8]) -> KeyPackage {
    let message = MlsMessageIn::tls_deserialize_exact(message).unwrap();
    let MlsMessageBodyIn::KeyPackage(package) = message.extract() else {
        panic!("not a key package");
    };
    let mut json = serde_json::to_value(&package).unwrap();
    json["serialized_payload"] = serde_json::Value::Null;
    serde_json::from_value(json).unwrap()
}

fn own(provider: &Provider, package: KeyPackage, init: &[u8], encryption: &[u8]) {
    let reference = package.hash_ref(provider.crypto()).unwrap();
    let bundle = Bundle {
        key_package: package,
        private_init_key: init.into(),
        private_encryption_key: PrivateKey {
            key: encryption.into(),
        },
    };
    let stored = provider.storage().write_key_package(&reference, &bundle);
    stored.unwrap();
}

fn welcome_in(bytes: &[u8]) -> Welcome {
    let message = MlsMessageIn::tls_deserialize_exact(bytes).unwrap();
    let MlsMessageBodyIn::Welcome(welcome) = message.extract() else {
        panic!("not a welcome");
    };
    welcome
}

fn config() -> MlsGroupJoinConfig {
    MlsGroupJoinConfig::builder()
        .use_ratchet_tree_extension(true)
        .wire_format_policy(MIXED_PLAINTEXT_WIRE_FORMAT_POLICY)
        .number_of_resumption_psks(16)
        .build()
}

fn follow(client: &PassiveClient) {
    let provider = provider();
    for psk in &client.external_psks {
        let id = PreSharedKeyId::external(psk.psk_id.to_vec(), vec![]);
        id.store(&provider, &psk.psk).unwrap();
    }
    let package = unchecked(&client.key_package);
    own(
        &provider,
        package,
        &client.init_priv,
        &client.encryption_priv,
    );
    let mut join =
        StagedWelcome::build_from_welcome(&provider, &config(), welcome_in(&client.welcome))
            .unwrap()
            .skip_lifetime_validation();
    if let Some(tree) = &client.ratchet_tree {
        join = join.with_ratchet_tree(RatchetTreeIn::tls_deserialize_exact(&**tree).unwrap());
    }
    let mut group = join.build().unwrap().into_group(&provider).unwrap();
    let authenticator = |group: &MlsGroup| group.epoch_authenticator().as_slice().to_vec();
    assert_eq!(authenticator(&group), client.initial_epoch_authenticator.0);
    for epoch in &client.epochs {
        for message in epoch.proposals.iter().chain([&epoch.commit]) {
            handle(&provider, &mut group, message);
        }
        assert_eq!(authenticator(&group), epoch.epoch_authenticator.0);
    }
}

fn handle(provider: &Provider, group: &mut MlsGroup, message: &[u8]) {
    let message = MlsMessageIn::tls_deserialize_exact(message).unwrap();
    let message = message.try_into_protocol_message().unwrap();
    let processed = group.process_message(provider, message).unwrap();
    let content = processed.into_content();
    if let ProcessedMessageContent::ProposalMessage(proposal) = content {
        let stored = group.store_pending_proposal(provider.storage(), *proposal);
        stored.unwrap();
    } else if let ProcessedMessageContent::StagedCommitMessage(commit) = content {
        group.merge_staged_commit(provider, *commit).unwrap();
    } else {
        panic!("{content:?}");
    }
}

#[test]
fn passive_clients_join_by_welcome() {
    let clients: Vec<PassiveClient> = read(include_str!("vectors/passive-client-welcome.json"));
    assert_eq!(clients.len(), 8);
    clients.iter().for_each(follow);
}

#[test]
fn passive_clients_handle_commits() {
    let clients = include_str!("vectors/passive-client-handling-commit.json");
    let clients: Vec<PassiveClient> = read(clients);
    assert_eq!(clients.len(), 13);
    assert!(clients.iter().all(|client| client.epochs.len() == 2));
    clients.iter().for_each(follow);
}

// ---- welcome, messages

#[test]
fn a_welcome_opens_and_its_signer_is_found() {
    #[derive(Deserialize)]
    struct Vector {
        init_priv: Hex,
        key_package: Hex,
        signer_pub: Hex,
        welcome: Hex,
    }
    for vector in read::<Vector>(include_str!("vectors/welcome.json")) {
        let provider = provider();
        let package = unchecked(&vector.key_package);
        own(&provider, package, &vector.init_priv, &[1; 32]);
        let welcome = welcome_in(&vector.welcome);
        let joining = StagedWelcome::build_from_welcome(&provider, &config(), welcome).unwrap();
        let info = joining.processed_welcome().unverified_group_info();
        let key = |bytes: &[u8]| {
            OpenMlsSignaturePublicKey::new(bytes.to_vec().into(), SignatureScheme::ED25519).unwrap()
        };
        let signed_by = |bytes: &[u8]| info.verify_no_out(provider.crypto(), &key(bytes)).is_ok();
        assert!(signed_by(&vector.signer_pub));
        assert!(!signed_by(&[0x11; 32]));
    }
}

#[test]
fn every_message_is_read_exactly() {
    const FIELDS: [&str; 7] = [
        "mls_welcome",
        "mls_group_info",
        "mls_key_package",
        "public_message_application",
        "public_message_proposal",
        "public_message_commit",
        "private_message",
    ];
    let vectors: Vec<serde_json::Value> = read(include_str!("vectors/messages.json"));
    assert_eq!(vectors.len(), 40);
    for vector in &vectors {
        for field in FIELDS {
            let bytes = hex::decode(vector[field].as_str().unwrap()).unwrap();
            let read = |bytes: &[u8]| MlsMessageIn::tls_deserialize_exact(bytes).is_ok();
            assert!(read(&bytes), "{field}");
            assert!(!read(&bytes[..bytes.len() - 1]), "{field}, a byte less");
            assert!(!read(&[&*bytes, &[0]].concat()), "{field}, a byte more");
        }
    }
}

// ---- the labelled functions of RFC 9420 on our primitives

fn vl(bytes: &[u8]) -> Vec<u8> {
    let len = match bytes.len() {
        n @ 0..=63 => vec![u8::try_from(n).unwrap()],
        n => (u16::try_from(n).unwrap() | 0x4000).to_be_bytes().to_vec(),
    };
    [len, bytes.to_vec()].concat()
}

fn labelled(label: &str, content: &[u8]) -> Vec<u8> {
    [vl(format!("MLS 1.0 {label}").as_bytes()), vl(content)].concat()
}

fn extract(c: &Crypto, salt: &[u8], ikm: &[u8]) -> Vec<u8> {
    let prk = c.hkdf_extract(HashType::Sha2_256, salt, ikm).unwrap();
    prk.as_slice().to_vec()
}

fn expand(c: &Crypto, secret: &[u8], label: &str, context: &[u8], len: usize) -> Vec<u8> {
    let info = [
        u16::try_from(len).unwrap().to_be_bytes().to_vec(),
        labelled(label, context),
    ]
    .concat();
    let okm = c.hkdf_expand(HashType::Sha2_256, secret, &info, len);
    okm.unwrap().as_slice().to_vec()
}

fn derive(c: &Crypto, secret: &[u8], label: &str) -> Vec<u8> {
    expand(c, secret, label, &[], 32)
}

fn derive_tree(c: &Crypto, secret: &[u8], label: &str, generation: u32, len: usize) -> Vec<u8> {
    expand(c, secret, label, &generation.to_be_bytes(), len)
}

fn sha256(c: &Crypto, data: &[u8]) -> Vec<u8> {
    c.hash(HashType::Sha2_256, data).unwrap()
}

#[test]
fn crypto_basics() {
    let p = provider();
    let c = p.crypto();
    let text = include_str!("vectors/crypto-basics.json");
    for v in read::<serde_json::Value>(text) {
        let get = |at: &str| hex::decode(v.pointer(at).unwrap().as_str().unwrap()).unwrap();
        let label = |at: &str| v.pointer(at).unwrap()["label"].as_str().unwrap().to_owned();
        let input = [
            vl(label("/ref_hash").as_bytes()),
            vl(&get("/ref_hash/value")),
        ]
        .concat();
        assert_eq!(sha256(c, &input), get("/ref_hash/out"));
        let expanded = expand(
            c,
            &get("/expand_with_label/secret"),
            &label("/expand_with_label"),
            &get("/expand_with_label/context"),
            32,
        );
        assert_eq!(expanded, get("/expand_with_label/out"));
        let derived = derive(c, &get("/derive_secret/secret"), &label("/derive_secret"));
        assert_eq!(derived, get("/derive_secret/out"));
        let generation = v["derive_tree_secret"]["generation"].as_u64().unwrap();
        let derived = derive_tree(
            c,
            &get("/derive_tree_secret/secret"),
            &label("/derive_tree_secret"),
            u32::try_from(generation).unwrap(),
            32,
        );
        assert_eq!(derived, get("/derive_tree_secret/out"));

        let content = labelled(&label("/sign_with_label"), &get("/sign_with_label/content"));
        let ed = SignatureScheme::ED25519;
        let public = get("/sign_with_label/pub");
        let signature = get("/sign_with_label/signature");
        c.verify_signature(ed, &content, &public, &signature)
            .unwrap();
        let ours = c.sign(ed, &content, &get("/sign_with_label/priv")).unwrap();
        assert_eq!(ours, signature, "Ed25519 signs in one way only");

        let info = labelled(
            &label("/encrypt_with_label"),
            &get("/encrypt_with_label/context"),
        );
        let suite = || CIPHERSUITE.hpke_config();
        let given = HpkeCiphertext {
            kem_output: get("/encrypt_with_label/kem_output").into(),
            ciphertext: get("/encrypt_with_label/ciphertext").into(),
        };
        let (public, secret) = (
            get("/encrypt_with_label/pub"),
            get("/encrypt_with_label/priv"),
        );
        let plain = get("/encrypt_with_label/plaintext");
        assert_eq!(
            c.hpke_open(suite(), &given, &secret, &info, &[]).unwrap(),
            plain
        );
        let ours = c.hpke_seal(suite(), &public, &info, &[], &plain).unwrap();
        assert_eq!(
            c.hpke_open(suite(), &ours, &secret, &info, &[]).unwrap(),
            plain
        );
    }
}

#[test]
fn key_schedule() {
    let p = provider();
    let c = p.crypto();
    let text = include_str!("vectors/key-schedule.json");
    for v in read::<serde_json::Value>(text) {
        let bytes = |value: &serde_json::Value| hex::decode(value.as_str().unwrap()).unwrap();
        let mut init = bytes(&v["initial_init_secret"]);
        let epochs = v["epochs"].as_array().unwrap();
        assert_eq!(epochs.len(), 5);
        for epoch in epochs {
            let get = |name: &str| bytes(&epoch[name]);
            let context = get("group_context");
            let commit = extract(c, &init, &get("commit_secret"));
            let joiner = expand(c, &commit, "joiner", &context, 32);
            assert_eq!(joiner, get("joiner_secret"));
            let member = extract(c, &joiner, &get("psk_secret"));
            assert_eq!(derive(c, &member, "welcome"), get("welcome_secret"));
            let secret = expand(c, &member, "epoch", &context, 32);
            for (label, name) in [
                ("sender data", "sender_data_secret"),
                ("encryption", "encryption_secret"),
                ("exporter", "exporter_secret"),
                ("external", "external_secret"),
                ("confirm", "confirmation_key"),
                ("membership", "membership_key"),
                ("resumption", "resumption_psk"),
                ("authentication", "epoch_authenticator"),
                ("init", "init_secret"),
            ] {
                assert_eq!(derive(c, &secret, label), get(name), "{name}");
            }
            let pair = c.derive_hpke_keypair(CIPHERSUITE.hpke_config(), &get("external_secret"));
            assert_eq!(pair.unwrap().public, get("external_pub"));
            let exporter = &epoch["exporter"];
            let label = exporter["label"].as_str().unwrap();
            let exported = expand(
                c,
                &derive(c, &get("exporter_secret"), label),
                "exported",
                &sha256(c, &bytes(&exporter["context"])),
                32,
            );
            assert_eq!(exported, bytes(&exporter["secret"]));
            init = get("init_secret");
        }
    }
}

#[test]
fn psk_secrets() {
    #[derive(Deserialize)]
    struct Psk {
        psk_id: Hex,
        psk: Hex,
        psk_nonce: Hex,
    }
    #[derive(Deserialize)]
    struct Vector {
        psks: Vec<Psk>,
        psk_secret: Hex,
    }
    let p = provider();
    let c = p.crypto();
    let vectors = read::<Vector>(include_str!("vectors/psk_secret.json"));
    assert_eq!(vectors.len(), 11);
    for v in vectors {
        let count = u16::try_from(v.psks.len()).unwrap().to_be_bytes();
        let mut secret = vec![0; 32];
        for (index, psk) in v.psks.iter().enumerate() {
            let index = u16::try_from(index).unwrap().to_be_bytes();
            let label = [
                &[1],
                &*vl(&psk.psk_id),
                &*vl(&psk.psk_nonce),
                &index,
                &count,
            ]
            .concat();
            let extracted = extract(c, &[0; 32], &psk.psk);
            let input = expand(c, &extracted, "derived psk", &label, 32);
            secret = extract(c, &input, &secret);
        }
        assert_eq!(secret, v.psk_secret.0);
    }
}

#[test]
fn secret_tree() {
    #[derive(Deserialize)]
    struct SenderData {
        sender_data_secret: Hex,
        ciphertext: Hex,
        key: Hex,
        nonce: Hex,
    }
    #[derive(Deserialize)]
    struct Generation {
        generation: u32,
        application_key: Hex,
        application_nonce: Hex,
        handshake_key: Hex,
        handshake_nonce: Hex,
    }
    #[derive(Deserialize)]
    struct Vector {
        encryption_secret: Hex,
        sender_data: SenderData,
        leaves: Vec<Vec<Generation>>,
    }
    /// The secret of leaf `at` under a node that spans `span` leaves.
    fn leaf(c: &Crypto, node: Vec<u8>, span: usize, at: usize) -> Vec<u8> {
        if span == 1 {
            return node;
        }
        let half = span / 2;
        let side = if at < half { "left" } else { "right" };
        let child = expand(c, &node, "tree", side.as_bytes(), 32);
        leaf(c, child, half, at % half)
    }
    fn ratchet(c: &Crypto, leaf: &[u8], kind: &str, generation: u32) -> (Vec<u8>, Vec<u8>) {
        let start = derive(c, leaf, kind);
        let secret = (0..generation).fold(start, |s, g| derive_tree(c, &s, "secret", g, 32));
        (
            derive_tree(c, &secret, "key", generation, 32),
            derive_tree(c, &secret, "nonce", generation, 12),
        )
    }
    let p = provider();
    let c = p.crypto();
    let vectors = read::<Vector>(include_str!("vectors/secret-tree.json"));
    assert_eq!(vectors.len(), 3);
    for v in vectors {
        let data = &v.sender_data;
        let sample = &data.ciphertext[..32];
        let part = |label, len| expand(c, &data.sender_data_secret, label, sample, len);
        assert_eq!(
            (part("key", 32), part("nonce", 12)),
            (data.key.to_vec(), data.nonce.to_vec())
        );
        let span = v.leaves.len().next_power_of_two();
        for (at, generations) in v.leaves.iter().enumerate() {
            let secret = leaf(c, v.encryption_secret.to_vec(), span, at);
            for g in generations {
                let application = ratchet(c, &secret, "application", g.generation);
                let expected = (g.application_key.to_vec(), g.application_nonce.to_vec());
                assert_eq!(application, expected);
                let handshake = ratchet(c, &secret, "handshake", g.generation);
                let expected = (g.handshake_key.to_vec(), g.handshake_nonce.to_vec());
                assert_eq!(handshake, expected);
            }
        }
    }
}

#[test]
fn transcript_hashes() {
    #[derive(Deserialize)]
    struct Vector {
        confirmation_key: Hex,
        authenticated_content: Hex,
        interim_transcript_hash_before: Hex,
        confirmed_transcript_hash_after: Hex,
        interim_transcript_hash_after: Hex,
    }
    let p = provider();
    let c = p.crypto();
    for v in read::<Vector>(include_str!("vectors/transcript-hashes.json")) {
        // The confirmation tag stands at the end, with its length.
        let (signed, tag) = v
            .authenticated_content
            .split_at(v.authenticated_content.len() - 33);
        let before = &*v.interim_transcript_hash_before;
        let confirmed = sha256(c, &[before, signed].concat());
        assert_eq!(confirmed, v.confirmed_transcript_hash_after.0);
        let interim = sha256(c, &[&confirmed, tag].concat());
        assert_eq!(interim, v.interim_transcript_hash_after.0);
        let computed = c.hmac(HashType::Sha2_256, &v.confirmation_key, &confirmed);
        assert_eq!(computed.unwrap().as_slice(), &tag[1..]);
    }
}

#[test]
fn public_messages_are_signed_and_tagged() {
    #[derive(Deserialize)]
    struct Vector {
        group_id: Hex,
        epoch: u64,
        tree_hash: Hex,
        confirmed_transcript_hash: Hex,
        signature_pub: Hex,
        membership_key: Hex,
        proposal_pub: Hex,
        commit_pub: Hex,
    }
    let p = provider();
    let c = p.crypto();
    for v in read::<Vector>(include_str!("vectors/message-protection.json")) {
        let context = [
            b"\x00\x01\x00\x03".as_slice(),
            &vl(&v.group_id),
            &v.epoch.to_be_bytes(),
            &vl(&v.tree_hash),
            &vl(&v.confirmed_transcript_hash),
            &[0],
        ]
        .concat();
        // Behind the content: signature, a commit's confirmation tag, membership tag.
        for (message, confirmation) in [(&v.proposal_pub, 0), (&v.commit_pub, 33)] {
            let auth_at = message.len() - 33 - confirmation - 66;
            let (content, auth) = message.split_at(auth_at);
            let (auth, membership) = auth.split_at(66 + confirmation);
            let tbs = [content, &context].concat();
            let signed = labelled("FramedContentTBS", &tbs);
            let scheme = SignatureScheme::ED25519;
            c.verify_signature(scheme, &signed, &v.signature_pub, &auth[2..66])
                .unwrap();
            let tag = c.hmac(
                HashType::Sha2_256,
                &v.membership_key,
                &[&tbs, auth].concat(),
            );
            assert_eq!(tag.unwrap().as_slice(), &membership[1..]);
        }
    }
}
