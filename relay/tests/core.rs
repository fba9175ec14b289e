//! The core against a store in memory: quotas to the byte, who hears what, and who may do what.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::wildcard_enum_match_arm,
    reason = "helpers of tests, outside of test functions"
)]

use std::collections::BTreeMap;

use net::wire::{
    Cursor, ErrorCode, MailboxVerb, Push, PutRequest, RecvAuth, RecvId, Request, Response, Sealed,
    SendId, Subscription, token_hash,
};
use oplog::{BlobId, Digest, SecretKey, Tag, Timestamp};
use proptest::prelude::*;
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;
use relay::{ConnId, EnvelopeStore, Limits, MemStore, Pushed, Rate, RelayCore, Shelf};

const DAY_MS: u64 = 86_400_000;
const START: Timestamp = Timestamp::from_ms(20_000 * DAY_MS);
const ALICE: ConnId = ConnId(1);
const BOB: ConnId = ConnId(2);

struct Relay {
    core: RelayCore<MemStore>,
    rng: ChaCha20Rng,
    now: Timestamp,
    pushes: Vec<Pushed>,
}

impl Relay {
    fn new(limits: Limits) -> Self {
        let mut this = Self {
            core: RelayCore::new(MemStore::new(), limits),
            rng: ChaCha20Rng::from_seed([1; 32]),
            now: START,
            pushes: Vec::new(),
        };
        for conn in [ALICE, BOB] {
            assert!(this.core.connected(conn, START, &mut this.rng));
        }
        this
    }

    fn ask(&mut self, conn: ConnId, request: Request) -> Response {
        let answer = self.core.handle(conn, request, self.now, &mut self.rng);
        let answer = answer.unwrap();
        self.pushes.extend(answer.pushes);
        answer.response.unwrap()
    }

    fn put(&mut self, key: &SecretKey, n: u32, len: usize) -> Response {
        self.ask(ALICE, put(key, n, len))
    }

    fn subscribe(&mut self, conn: ConnId, tag: Tag, after: Cursor) -> Response {
        let tags = vec![Subscription { tag, after }];
        self.ask(
            conn,
            Request::Subscribe {
                tags,
                replace: false,
            },
        )
    }

    fn fetch(&mut self, tag: Tag, after: Cursor, limit: u16) -> (Vec<Cursor>, bool) {
        match self.ask(BOB, Request::Fetch { tag, after, limit }) {
            Response::Page { items, more } => (items.iter().map(|i| i.cursor).collect(), more),
            other => panic!("{other:?}"),
        }
    }

    fn mailbox(&mut self, owner: &SecretKey) -> (RecvId, SendId) {
        let recv_pk = Digest::from_bytes(owner.public());
        match self.ask(BOB, Request::MboxNew { recv_pk }) {
            Response::Mailbox { recv_id, send_id } => (recv_id, send_id),
            other => panic!("{other:?}"),
        }
    }

    /// Acks every push so far; what that releases is among the pushes afterwards.
    fn ack_all(&mut self) -> Vec<Push> {
        let pushes = core::mem::take(&mut self.pushes);
        for pushed in &pushes {
            let answer = self.core.push_done(pushed.conn, pushed.id, true);
            self.pushes.extend(answer.pushes);
        }
        pushes.into_iter().map(|p| p.push).collect()
    }
}

fn key(n: u8) -> SecretKey {
    SecretKey::from_seed(&[n; 32])
}

fn tag_of(key: &SecretKey) -> Tag {
    Tag::of_key(&key.public())
}

fn sealed(n: u32, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    bytes[..4].copy_from_slice(&n.to_be_bytes());
    bytes
}

fn put(key: &SecretKey, n: u32, len: usize) -> Request {
    Request::Put(PutRequest::sign(key, sealed(n, len), 3_600))
}

fn cursor(response: Response) -> Cursor {
    match response {
        Response::Filed { cursor } => cursor,
        other => panic!("{other:?}"),
    }
}

fn code(response: Response) -> Option<ErrorCode> {
    match response {
        Response::Error(error) => Some(error.code),
        _ => None,
    }
}

/// No rates, so that only the limit under test binds.
fn unhurried() -> Limits {
    let rate = Rate {
        per_sec: 1 << 40,
        burst: 1 << 40,
    };
    Limits {
        requests: rate,
        upload_bytes: rate,
        new_mailboxes: rate,
        ..Limits::default()
    }
}

#[test]
fn a_put_needs_the_tags_key_a_bucket_and_a_life() {
    let mut relay = Relay::new(unhurried());
    let (good, other) = (key(1), key(2));
    let sign = |len, ttl| PutRequest::sign(&good, sealed(1, len), ttl);
    let forged = |change: &dyn Fn(&mut PutRequest)| {
        let mut put = sign(1024, 60);
        change(&mut put);
        put
    };
    for (put, expected) in [
        (sign(1024, 60), None),
        (sign(1024, 0), Some(ErrorCode::Malformed)),
        (sign(1024, 30 * 24 * 3600), None),
        (sign(1024, 30 * 24 * 3600 + 1), Some(ErrorCode::Malformed)),
        (sign(1023, 60), Some(ErrorCode::Malformed)),
        (sign(1025, 60), Some(ErrorCode::Malformed)),
        (sign(1024 * 1024, 60), None),
        (
            forged(&|p| p.tag = tag_of(&other)),
            Some(ErrorCode::BadSignature),
        ),
        (forged(&|p| p.ttl_secs += 1), Some(ErrorCode::BadSignature)),
        (
            forged(&|p| p.envelope = Sealed::new(sealed(2, 1024))),
            Some(ErrorCode::BadSignature),
        ),
        (
            forged(&|p| {
                p.pk = Digest::from_bytes(other.public());
                p.tag = tag_of(&other);
            }),
            Some(ErrorCode::BadSignature),
        ),
    ] {
        let what = format!("{put:?}");
        assert_eq!(
            code(relay.ask(ALICE, Request::Put(put))),
            expected,
            "{what}"
        );
    }
}

#[test]
fn a_tags_day_is_full_to_the_byte_and_ends_at_midnight() {
    let mut relay = Relay::new(Limits {
        tag_day_bytes_max: 1024 + 4096,
        ..unhurried()
    });
    let key_a = key(1);
    assert_eq!(code(relay.put(&key_a, 1, 4096)), None);
    assert_eq!(
        code(relay.put(&key_a, 2, 4096)),
        Some(ErrorCode::QuotaExceeded)
    );
    assert_eq!(code(relay.put(&key_a, 3, 1024)), None);
    assert_eq!(
        code(relay.put(&key_a, 4, 1024)),
        Some(ErrorCode::QuotaExceeded)
    );
    // What is there already costs nothing.
    assert_eq!(code(relay.put(&key_a, 3, 1024)), None);
    assert_eq!(code(relay.put(&key(2), 4, 1024)), None, "another tag");
    relay.now = START.plus_ms(DAY_MS - 1);
    assert_eq!(
        code(relay.put(&key_a, 4, 1024)),
        Some(ErrorCode::QuotaExceeded)
    );
    relay.now = START.plus_ms(DAY_MS);
    assert_eq!(code(relay.put(&key_a, 4, 1024)), None);
}

#[test]
fn a_full_tag_takes_more_once_something_has_expired_until_its_day_is_full() {
    let mut relay = Relay::new(Limits {
        tag_bytes_max: 4 * 1024,
        tag_day_bytes_max: 9 * 1024,
        ..unhurried()
    });
    let key = key(1);
    for hour in 0..3 {
        relay.now = START.plus_ms(hour * 3_600_000);
        relay.core.expire(relay.now).unwrap();
        let first = u32::try_from(hour).unwrap() * 8;
        let taken = (first..first + 8).take_while(|n| code(relay.put(&key, *n, 1024)).is_none());
        let expected = if hour < 2 { 4 } else { 1 };
        assert_eq!(taken.count(), expected, "hour {hour}");
        let refused = code(relay.put(&key, first + 7, 1024));
        assert_eq!(refused, Some(ErrorCode::QuotaExceeded), "hour {hour}");
    }
}

#[test]
fn the_disk_is_full_to_the_byte_until_things_expire() {
    let mut relay = Relay::new(Limits {
        total_bytes_max: 3 * 1024,
        ..unhurried()
    });
    let (owner, k) = (key(9), key(1));
    let (_, send_id) = relay.mailbox(&owner);
    let chunk = Sealed::new(vec![1; 1024]);
    let chunk = Request::PutChunk {
        id: BlobId::of_sealed(chunk.as_bytes()),
        bytes: chunk,
        delete_token_hash: Digest::ZERO,
    };
    let mail = |n| Request::MboxPut {
        send_id,
        bytes: Sealed::new(sealed(n, 1024)),
        ttl_secs: 3_600,
    };
    assert_eq!(code(relay.put(&k, 1, 1024)), None);
    assert_eq!(code(relay.ask(ALICE, chunk.clone())), None);
    assert_eq!(code(relay.ask(ALICE, mail(1))), None);
    assert_eq!(code(relay.put(&k, 2, 1024)), Some(ErrorCode::Full));
    assert_eq!(code(relay.ask(ALICE, mail(2))), Some(ErrorCode::Full));
    // One more token for a chunk that is there takes no room.
    assert_eq!(code(relay.ask(ALICE, chunk)), None);
    relay.now = START.plus_ms(3_600_000);
    assert_eq!(code(relay.put(&k, 2, 1024)), None);
}

#[test]
fn a_mailbox_holds_so_many_and_gives_them_to_its_owner() {
    let mut relay = Relay::new(unhurried());
    let owner = key(9);
    let (recv_id, send_id) = relay.mailbox(&owner);
    let mail = |n| Request::MboxPut {
        send_id,
        bytes: Sealed::new(sealed(n, 1024)),
        ttl_secs: 3_600,
    };
    let mut last = Cursor::START;
    for n in 0..128 {
        last = cursor(relay.ask(ALICE, mail(n)));
    }
    assert_eq!(
        code(relay.ask(ALICE, mail(128))),
        Some(ErrorCode::QuotaExceeded)
    );
    let Response::Pong { challenge } = relay.ask(BOB, Request::Ping) else {
        panic!("a challenge");
    };
    let sign = |verb, at| RecvAuth::sign(&owner, verb, &recv_id, at, &challenge);
    let get = |auth| Request::MboxGet {
        recv_id,
        after: Cursor::START,
        auth,
    };
    let refused = Some(ErrorCode::BadSignature);
    // A signature fits one verb, one cursor, one connection.
    let wrong_verb = sign(MailboxVerb::Del, Cursor::START);
    assert_eq!(code(relay.ask(BOB, get(wrong_verb))), refused);
    let wrong_cursor = sign(MailboxVerb::Get, last);
    assert_eq!(code(relay.ask(BOB, get(wrong_cursor))), refused);
    let right = sign(MailboxVerb::Get, Cursor::START);
    assert_eq!(code(relay.ask(ALICE, get(right))), refused);
    let Response::Page { items, more } = relay.ask(BOB, get(right)) else {
        panic!("a page");
    };
    assert_eq!((items.len(), more), (128, false));
    let delete = Request::MboxDel {
        recv_id,
        upto: items[99].cursor,
        auth: sign(MailboxVerb::Del, items[99].cursor),
    };
    assert_eq!(relay.ask(BOB, delete), Response::Ok);
    let shelf = Shelf::Mailbox(recv_id);
    assert_eq!(relay.core.store().count(&shelf), 28);
    assert_eq!(code(relay.ask(ALICE, mail(128))), None);
    let lost = Request::MboxPut {
        send_id: SendId::from_bytes([0; 16]),
        bytes: Sealed::new(sealed(1, 1024)),
        ttl_secs: 1,
    };
    assert_eq!(code(relay.ask(ALICE, lost)), Some(ErrorCode::NotFound));
}

#[test]
fn an_idle_mailbox_closes_and_a_used_one_stays() {
    let mut relay = Relay::new(Limits {
        mailbox_idle_secs: 10 * 24 * 3600,
        ..unhurried()
    });
    let owner = key(9);
    let (idle, used) = (relay.mailbox(&owner), relay.mailbox(&owner));
    let Response::Pong { challenge } = relay.ask(BOB, Request::Ping) else {
        panic!("a challenge");
    };
    let get = |recv_id| Request::MboxGet {
        recv_id,
        after: Cursor::START,
        auth: RecvAuth::sign(
            &owner,
            MailboxVerb::Get,
            &recv_id,
            Cursor::START,
            &challenge,
        ),
    };
    relay.now = START.plus_ms(5 * DAY_MS);
    assert_eq!(code(relay.ask(BOB, get(used.0))), None);
    relay.now = START.plus_ms(12 * DAY_MS);
    assert_eq!(code(relay.ask(BOB, get(idle.0))), Some(ErrorCode::NotFound));
    assert_eq!(code(relay.ask(BOB, get(used.0))), None);
}

#[test]
fn rates_bind_one_connection_and_say_when_to_come_back() {
    let mut relay = Relay::new(Limits {
        requests: Rate {
            per_sec: 10,
            burst: 5,
        },
        ..Limits::default()
    });
    for _ in 0..5 {
        assert_eq!(code(relay.ask(ALICE, Request::Ping)), None);
    }
    let Response::Error(error) = relay.ask(ALICE, Request::Ping) else {
        panic!("an error");
    };
    assert_eq!(
        (error.code, error.retry_after_ms),
        (ErrorCode::RateLimited, 100)
    );
    assert_eq!(code(relay.ask(BOB, Request::Ping)), None);
    relay.now = START.plus_ms(100);
    assert_eq!(code(relay.ask(ALICE, Request::Ping)), None);
    // Eight MiB of uploads at once, and not a byte more.
    let mut relay = Relay::new(Limits::default());
    let k = key(1);
    for n in 0..8 {
        assert_eq!(code(relay.put(&k, n, 1 << 20)), None, "{n}");
    }
    assert_eq!(code(relay.put(&k, 8, 1024)), Some(ErrorCode::RateLimited));
}

#[test]
fn subscriptions_connections_tokens_and_mailboxes_are_counted() {
    let mut relay = Relay::new(Limits {
        connections_max: 2,
        subscriptions_max: 3,
        chunk_tokens_max: 2,
        mailboxes_max: 2,
        ..unhurried()
    });
    let rng = &mut ChaCha20Rng::from_seed([2; 32]);
    assert!(!relay.core.connected(ConnId(3), START, rng));
    relay.core.disconnected(BOB);
    assert!(relay.core.connected(ConnId(3), START, rng));
    let tag = |n| Tag::from_bytes([n; 16]);
    for n in 0..3 {
        assert_eq!(relay.subscribe(ALICE, tag(n), Cursor::START), Response::Ok);
    }
    let full = Some(ErrorCode::QuotaExceeded);
    assert_eq!(code(relay.subscribe(ALICE, tag(3), Cursor::START)), full);
    assert_eq!(
        relay.subscribe(ALICE, tag(0), Cursor::START),
        Response::Ok,
        "again"
    );
    let replace = Request::Subscribe {
        tags: vec![Subscription {
            tag: tag(7),
            after: Cursor::START,
        }],
        replace: true,
    };
    assert_eq!(relay.ask(ALICE, replace), Response::Ok);
    assert_eq!(relay.core.stats().subscriptions, 1);
    relay.core.disconnected(ALICE);
    assert_eq!(relay.core.stats().subscriptions, 0);
    assert!(relay.core.connected(ALICE, START, rng));
    let bytes = Sealed::new(vec![1; 10]);
    let id = BlobId::of_sealed(bytes.as_bytes());
    for (n, expected) in [(1, None), (2, None), (3, full)] {
        let token = Digest::from_bytes([n; 32]);
        let chunk = Request::PutChunk {
            id,
            bytes: bytes.clone(),
            delete_token_hash: token_hash(&token),
        };
        assert_eq!(code(relay.ask(ALICE, chunk)), expected);
    }
    for expected in [None, None, Some(ErrorCode::Full)] {
        let recv_pk = Digest::from_bytes([1; 32]);
        assert_eq!(
            code(relay.ask(ALICE, Request::MboxNew { recv_pk })),
            expected
        );
    }
}

#[test]
fn a_slow_reader_falls_behind_and_catches_up_by_cursor() {
    let mut relay = Relay::new(Limits {
        outbound_bytes_max: 4 * 1024,
        ..unhurried()
    });
    let k = key(1);
    let tag = tag_of(&k);
    relay.subscribe(BOB, tag, Cursor::START);
    let cursors: Vec<Cursor> = (0..10).map(|n| cursor(relay.put(&k, n, 1024))).collect();
    // Four fit; the other six are one word, said once there is room.
    assert_eq!(relay.pushes.len(), 4);
    let first = relay.ack_all();
    let pushed: Vec<Cursor> = first
        .iter()
        .flat_map(|p| -> Vec<Cursor> {
            match p {
                Push::Envelopes { items, .. } => items.iter().map(|i| i.cursor).collect(),
                other => panic!("{other:?}"),
            }
        })
        .collect();
    assert_eq!(pushed, cursors[..4]);
    assert_eq!(relay.ack_all(), vec![Push::Behind { tag }]);
    assert!(relay.pushes.is_empty(), "said once");
    let (page, more) = relay.fetch(tag, cursors[3], 4);
    assert_eq!((page, more), (cursors[4..8].to_vec(), true));
    assert_eq!(
        relay.fetch(tag, cursors[7], 4),
        (cursors[8..].to_vec(), false)
    );
    // Live again, and the push says what it follows.
    relay.put(&k, 99, 1024);
    let live = relay.ack_all();
    assert!(matches!(&live[..], [Push::Envelopes { prev, .. }] if *prev == cursors[9]));
    assert_eq!(relay.core.stats().behind, 6);
    // A push that was lost is announced too.
    relay.put(&k, 100, 1024);
    let lost = relay.pushes.remove(0);
    let answer = relay.core.push_done(BOB, lost.id, false);
    assert_eq!(answer.pushes[0].push, Push::Behind { tag });
}

#[test]
fn nobody_hears_after_unsubscribing_or_leaving() {
    let mut relay = Relay::new(unhurried());
    let k = key(1);
    let tag = tag_of(&k);
    relay.subscribe(ALICE, tag, Cursor::START);
    relay.subscribe(BOB, tag, Cursor::START);
    relay.put(&k, 1, 1024);
    assert_eq!(relay.ack_all().len(), 2);
    relay.ask(ALICE, Request::Unsubscribe { tags: vec![tag] });
    relay.put(&k, 2, 1024);
    assert_eq!(
        relay.pushes.iter().map(|p| p.conn).collect::<Vec<_>>(),
        vec![BOB]
    );
    relay.core.disconnected(BOB);
    relay.pushes.clear();
    relay.put(&k, 3, 1024);
    assert!(relay.pushes.is_empty());
}

#[test]
fn what_expired_is_not_given_out() {
    let mut relay = Relay::new(unhurried());
    let k = key(1);
    let tag = tag_of(&k);
    relay.put(&k, 1, 1024);
    relay.now = START.plus_ms(3_599_999);
    assert_eq!(relay.fetch(tag, Cursor::START, 9).0.len(), 1);
    relay.now = START.plus_ms(3_600_000);
    assert!(relay.fetch(tag, Cursor::START, 9).0.is_empty());
    assert_eq!(relay.core.stats().usage.bytes, 0);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Whatever comes when, a client that follows pushes and fetches where told has every envelope,
    /// in order and once.
    #[test]
    fn a_client_that_follows_the_rules_misses_nothing(
        steps in prop::collection::vec((0u8..3, 0u8..6), 1..80),
        room in 1usize..6,
    ) {
        let mut relay = Relay::new(Limits { outbound_bytes_max: room * 1024, ..unhurried() });
        let keys = [key(1), key(2), key(3)];
        let mut filed: BTreeMap<Tag, Vec<Cursor>> = BTreeMap::new();
        let mut seen: BTreeMap<Tag, Vec<Cursor>> = BTreeMap::new();
        let tags: Vec<_> = keys.iter().map(|k| Subscription { tag: tag_of(k), after: Cursor::START }).collect();
        let mut n = 0;
        let drain = |relay: &mut Relay, seen: &mut BTreeMap<Tag, Vec<Cursor>>| {
            while !relay.pushes.is_empty() {
                for push in relay.ack_all() {
                    let (tag, items, gap) = match push {
                        Push::Envelopes { tag, prev, items } => {
                            let last = seen.get(&tag).and_then(|s| s.last()).copied().unwrap_or_default();
                            (tag, items.into_iter().map(|i| i.cursor).collect(), last < prev)
                        }
                        Push::Behind { tag } => (tag, Vec::new(), true),
                        other => panic!("{other:?}"),
                    };
                    let mine = seen.entry(tag).or_default();
                    if gap {
                        loop {
                            let after = mine.last().copied().unwrap_or_default();
                            let (page, more) = relay.fetch(tag, after, 3);
                            mine.extend(page);
                            if !more { break }
                        }
                    } else {
                        let last = mine.last().copied().unwrap_or_default();
                        let items: Vec<Cursor> = items;
                        mine.extend(items.into_iter().filter(|c| *c > last));
                    }
                }
            }
        };
        relay.ask(BOB, Request::Subscribe { tags: tags.clone(), replace: true });
        for (which, what) in steps {
            let k = &keys[usize::from(which)];
            match what {
                0 => drain(&mut relay, &mut seen),
                // The connection breaks: pushes on their way are lost.
                1 => {
                    relay.pushes.clear();
                    relay.core.disconnected(BOB);
                    let rng = &mut relay.rng;
                    assert!(relay.core.connected(BOB, START, rng));
                    let tags = tags.iter().map(|s| Subscription {
                        after: seen.get(&s.tag).and_then(|s| s.last()).copied().unwrap_or_default(), ..*s
                    }).collect();
                    relay.ask(BOB, Request::Subscribe { tags, replace: true });
                }
                _ => {
                    n += 1;
                    let at = cursor(relay.put(k, n, 1024));
                    filed.entry(tag_of(k)).or_default().push(at);
                }
            }
        }
        drain(&mut relay, &mut seen);
        seen.retain(|_, cursors| !cursors.is_empty());
        prop_assert_eq!(seen, filed);
    }
}
