//! One relay, some clients, real sockets and files.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::expect_used,
    clippy::panic,
    clippy::wildcard_enum_match_arm,
    reason = "helpers of tests, outside of test functions"
)]

mod common;

use std::time::Instant;

use common::{Client, Server, any_port, envelope, put, tag_key};
use net::driver::LinkCommand;
use net::neg::{Items, NegStep, Reconciler};
use net::wire::{
    Cursor, ErrorCode, Filed, Hour, HourRange, MailboxVerb, Push, RecvAuth, Request, Response,
    Sealed, Subscription, token_hash,
};
use oplog::{BlobId, Digest, SecretKey, Tag};
use relay::Limits;

type Test = Result<(), Box<dyn std::error::Error>>;

fn subscribe(tag: Tag, after: Cursor) -> Request {
    Request::Subscribe {
        tags: vec![Subscription { tag, after }],
        replace: false,
    }
}

fn filed(response: Response) -> Cursor {
    match response {
        Response::Filed { cursor } => cursor,
        other => panic!("{other:?}"),
    }
}

fn page(response: Response) -> Vec<Filed> {
    match response {
        Response::Page { items, more: false } => items,
        other => panic!("{other:?}"),
    }
}

fn numbers(items: &[Filed]) -> Vec<u32> {
    let number = |i: &Filed| u32::from_be_bytes(i.sealed.as_bytes()[..4].try_into().unwrap());
    items.iter().map(number).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_envelope_reaches_who_listens_and_who_comes_later() -> Test {
    let dir = tempfile::tempdir()?;
    let server = Server::start(dir.path(), &any_port(), Limits::default()).await;
    let key = tag_key(1);
    let tag = Tag::of_key(&key.public());
    // One over TCP, one over QUIC.
    let mut alice = Client::connect(server.tcp()).await;
    let mut bob = Client::connect(server.quic()).await;
    assert_eq!(bob.ask(subscribe(tag, Cursor::START)).await, Response::Ok);
    let first = filed(alice.ask(put(&key, 1)).await);
    let Push::Envelopes { items, prev, .. } = bob.push().await else {
        panic!("an envelope");
    };
    assert_eq!((prev, items[0].cursor), (Cursor::START, first));
    assert_eq!(items[0].sealed.as_bytes(), envelope(1));
    // Put again: the same place, and no second push.
    assert_eq!(filed(alice.ask(put(&key, 1)).await), first);
    let second = filed(alice.ask(put(&key, 2)).await);
    let Push::Envelopes { items, prev, .. } = bob.push().await else {
        panic!("an envelope");
    };
    assert_eq!((prev, numbers(&items)), (first, vec![2]));
    // Who comes later gets what is behind his cursor with his subscription.
    let mut carol = Client::connect(server.tcp()).await;
    assert_eq!(carol.ask(subscribe(tag, first)).await, Response::Ok);
    let Push::Envelopes { items, prev, .. } = carol.push().await else {
        panic!("an envelope");
    };
    assert_eq!((prev, items[0].cursor), (first, second));
    server.stop().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_relay_comes_back_with_all_it_acknowledged() -> Test {
    let dir = tempfile::tempdir()?;
    let mut server = Server::start(dir.path(), &any_port(), Limits::default()).await;
    let id = server.ready.id;
    let key = tag_key(2);
    let tag = Tag::of_key(&key.public());
    let owner = SecretKey::from_seed(&[9; 32]);
    let mut client = Client::connect(server.tcp()).await;
    let mut acked = Vec::new();
    let pk = Digest::from_bytes(owner.public());
    let Response::Mailbox { recv_id, send_id } = client.ask(Request::MboxNew { recv_pk: pk }).await
    else {
        panic!("a mailbox");
    };
    for round in 0..3u32 {
        // Some are acknowledged; some are in flight when the relay dies.
        for n in 0..20 {
            acked.push((
                filed(client.ask(put(&key, round * 100 + n)).await),
                round * 100 + n,
            ));
        }
        let mail = Request::MboxPut {
            send_id,
            bytes: Sealed::new(envelope(round)),
            ttl_secs: 3_600,
        };
        filed(client.ask(mail).await);
        for n in 50..70 {
            client.send(put(&key, round * 100 + n)).await;
        }
        let listen = server.listen_again();
        server.kill().await;
        client.disconnected().await;
        server = Server::start(dir.path(), &listen, Limits::default()).await;
        assert_eq!(server.ready.id, id, "the same key");
        // The link comes back by itself.
        client.connected().await;
    }
    let mut after = Cursor::START;
    let mut found = Vec::new();
    loop {
        let fetch = Request::Fetch {
            tag,
            after,
            limit: 7,
        };
        let Response::Page { items, more } = client.ask(fetch).await else {
            panic!("a page");
        };
        found.extend(items.iter().map(|i| i.cursor).zip(numbers(&items)));
        after = items.last().map_or(after, |i| i.cursor);
        if !more {
            break;
        }
    }
    assert!(found.is_sorted());
    let lost: Vec<_> = acked.iter().filter(|a| !found.contains(a)).collect();
    assert!(lost.is_empty(), "lost {lost:?}");
    let mail = read_mail(&mut client, &owner, recv_id).await;
    assert_eq!(numbers(&mail), vec![0, 1, 2]);
    server.stop().await;
    Ok(())
}

async fn read_mail(
    client: &mut Client,
    owner: &SecretKey,
    recv_id: net::wire::RecvId,
) -> Vec<Filed> {
    let Response::Pong { challenge } = client.ask(Request::Ping).await else {
        panic!("a challenge");
    };
    let after = Cursor::START;
    let get = Request::MboxGet {
        recv_id,
        after,
        auth: RecvAuth::sign(owner, MailboxVerb::Get, &recv_id, after, &challenge),
    };
    page(client.ask(get).await)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mailboxes_open_to_their_owner_only() -> Test {
    let dir = tempfile::tempdir()?;
    let server = Server::start(dir.path(), &any_port(), Limits::default()).await;
    let owner = SecretKey::from_seed(&[5; 32]);
    let thief = SecretKey::from_seed(&[6; 32]);
    let mut bob = Client::connect(server.tcp()).await;
    let mut alice = Client::connect(server.tcp()).await;
    let recv_pk = Digest::from_bytes(owner.public());
    let Response::Mailbox { recv_id, send_id } = bob.ask(Request::MboxNew { recv_pk }).await else {
        panic!("a mailbox");
    };
    assert_ne!(recv_id.as_bytes(), send_id.as_bytes());
    let Response::Pong { challenge } = bob.ask(Request::Ping).await else {
        panic!("a challenge");
    };
    let watch = |key: &SecretKey| Request::MboxSubscribe {
        recv_id,
        after: Cursor::START,
        auth: RecvAuth::sign(
            key,
            MailboxVerb::Subscribe,
            &recv_id,
            Cursor::START,
            &challenge,
        ),
    };
    let refused = Response::from(ErrorCode::BadSignature);
    assert_eq!(bob.ask(watch(&thief)).await, refused);
    // The owner's signature is worth nothing on another connection.
    assert_eq!(alice.ask(watch(&owner)).await, refused);
    assert_eq!(bob.ask(watch(&owner)).await, Response::Ok);
    let mail = Request::MboxPut {
        send_id,
        bytes: Sealed::new(envelope(7)),
        ttl_secs: 60,
    };
    let at = filed(alice.ask(mail).await);
    let Push::Mail { items, prev, .. } = bob.push().await else {
        panic!("mail");
    };
    assert_eq!((items[0].cursor, numbers(&items)), (at, vec![7]));
    assert_eq!(prev, Cursor::START);
    let mail = Request::MboxPut {
        send_id,
        bytes: Sealed::new(envelope(8)),
        ttl_secs: 60,
    };
    let first = at;
    let at = filed(alice.ask(mail).await);
    let Push::Mail { items, prev, .. } = bob.push().await else {
        panic!("mail");
    };
    assert_eq!((prev, numbers(&items)), (first, vec![8]), "after which one");
    let delete = Request::MboxDel {
        recv_id,
        upto: at,
        auth: RecvAuth::sign(&owner, MailboxVerb::Del, &recv_id, at, &challenge),
    };
    assert_eq!(bob.ask(delete.clone()).await, Response::Ok);
    assert_eq!(bob.ask(delete).await, Response::Ok, "a replay does no harm");
    assert!(read_mail(&mut bob, &owner, recv_id).await.is_empty());
    server.stop().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn chunks_are_checked_shared_and_taken_back() -> Test {
    let dir = tempfile::tempdir()?;
    let server = Server::start(dir.path(), &any_port(), Limits::default()).await;
    let mut client = Client::connect(server.quic()).await;
    let bytes: Vec<u8> = (0..256 * 1024 + 64).map(|n| (n % 251) as u8).collect();
    let id = BlobId::of_sealed(&bytes);
    let (one, two) = (Digest::from_bytes([1; 32]), Digest::from_bytes([2; 32]));
    let upload = |id, token: &Digest| Request::PutChunk {
        id,
        bytes: Sealed::new(bytes.clone()),
        delete_token_hash: token_hash(token),
    };
    let wrong = BlobId::of_sealed(b"other");
    assert_eq!(
        client.ask(upload(wrong, &one)).await,
        ErrorCode::Malformed.into()
    );
    assert_eq!(client.ask(upload(id, &one)).await, Response::Ok);
    assert_eq!(client.ask(upload(id, &two)).await, Response::Ok);
    assert_eq!(
        client
            .ask(Request::HasChunks {
                ids: vec![wrong, id]
            })
            .await,
        Response::Has {
            has: vec![false, true]
        }
    );
    let listen = server.listen_again();
    server.kill().await;
    let server = Server::start(dir.path(), &listen, Limits::default()).await;
    client.connected().await;
    assert_eq!(
        client.ask(Request::GetChunk { id }).await,
        Response::Chunk {
            bytes: Sealed::new(bytes.clone())
        }
    );
    for (token, expected) in [
        (one, Response::Ok),
        (one, ErrorCode::NotFound.into()),
        (two, Response::Ok),
    ] {
        assert_eq!(
            client.ask(Request::DeleteChunk { id, token }).await,
            expected
        );
    }
    assert_eq!(
        client.ask(Request::GetChunk { id }).await,
        ErrorCode::NotFound.into()
    );
    server.stop().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reconciliation_finds_what_a_relay_withholds_and_what_it_has() -> Test {
    let dir = tempfile::tempdir()?;
    let server = Server::start(dir.path(), &any_port(), Limits::default()).await;
    let mut client = Client::connect(server.tcp()).await;
    let key = tag_key(3);
    let tag = Tag::of_key(&key.public());
    let id = |n| oplog::tag::envelope_hash(&envelope(n));
    let mut known = Vec::new();
    let mut hour = 0;
    for n in 0..60 {
        let cursor = filed(client.ask(put(&key, n)).await);
        hour = cursor.hour().as_raw();
        // The client has not seen the last ten.
        if n < 50 {
            known.push((u64::from(hour), id(n)));
        }
    }
    // It has two from elsewhere that the relay does not show.
    known.extend([1_000, 1_001].map(|n| (u64::from(hour), id(n))));
    let hours = HourRange {
        from: Hour::from_raw(hour - 24),
        to: Hour::MAX,
    };
    let (mut asker, mut frame) = Reconciler::start(Items::new(known)?)?;
    let (have, need) = loop {
        let request = Request::Neg {
            tag,
            hours,
            frame: Sealed::new(frame),
        };
        let Response::Neg { frame: answer } = client.ask(request).await else {
            panic!("a frame");
        };
        match asker.step(answer.as_bytes())? {
            NegStep::Send(next) => frame = next,
            NegStep::Done { have, need } => break (have, need),
        }
    };
    let sorted = |mut ids: Vec<Digest>| {
        ids.sort();
        ids
    };
    assert_eq!(have, sorted(vec![id(1_000), id(1_001)]), "withheld");
    assert_eq!(need, sorted((50..60).map(id).collect()));
    let items = page(client.ask(Request::FetchIds { tag, ids: need }).await);
    assert_eq!(numbers(&items), (50..60).collect::<Vec<_>>());
    server.stop().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redial_and_wrong_keys() -> Test {
    let dir = tempfile::tempdir()?;
    let server = Server::start(dir.path(), &any_port(), Limits::default()).await;
    let mut client = Client::connect(server.tcp()).await;
    client.command(LinkCommand::Redial).await;
    client.connected().await;
    assert!(matches!(
        client.ask(Request::Ping).await,
        Response::Pong { .. }
    ));
    // Somebody else's key at this address: no connection.
    let other_dir = tempfile::tempdir()?;
    let other = Server::start(other_dir.path(), &any_port(), Limits::default()).await;
    let address = server.tcp().to_string();
    let place = address.split("/p2p/").next().unwrap();
    let peer = other.tcp().peer();
    let mut link = net::driver::spawn(vec![format!("{place}/p2p/{peer}").parse()?])?;
    let event = common::within(link.events.recv()).await.unwrap();
    assert!(
        matches!(event, net::driver::LinkEvent::Disconnected { .. }),
        "{event:?}"
    );
    server.stop().await;
    other.stop().await;
    Ok(())
}

/// Not a benchmark: shows the order of magnitude in the test's output, and fails only when live
/// delivery has become something else than a push.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn live_delivery_takes_milliseconds() -> Test {
    let dir = tempfile::tempdir()?;
    let server = Server::start(dir.path(), &any_port(), Limits::default()).await;
    let key = tag_key(4);
    let tag = Tag::of_key(&key.public());
    let mut alice = Client::connect(server.tcp()).await;
    let mut bob = Client::connect(server.tcp()).await;
    bob.ask(subscribe(tag, Cursor::START)).await;
    let mut times = Vec::new();
    for n in 0..200 {
        let request = put(&key, n);
        #[expect(clippy::disallowed_methods, reason = "measures real time")]
        let start = Instant::now();
        alice.send(request).await;
        bob.push().await;
        times.push(start.elapsed());
    }
    times.sort_unstable();
    let (p50, p99) = (times[100], times[198]);
    println!("put to push over loopback: p50 {p50:?}, p99 {p99:?}");
    assert!(p50.as_millis() < 1_000);
    server.stop().await;
    Ok(())
}
