//! Many connections at once, most of which mean no good: what holds whatever the time.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::wildcard_enum_match_arm,
    clippy::cast_possible_truncation,
    reason = "helpers of tests, outside of test functions"
)]

#[path = "common/attack.rs"]
mod attack;
mod common;

use std::time::Duration;

use attack::{KINDS, Kind};
use common::{Client, Server, any_port, envelope, put, tag_key, within};
use net::wire::{Cursor, ErrorCode, PutRequest, Request, Response, Sealed};
use oplog::{Digest, SecretKey, Tag};
use relay::Limits;
use tokio::sync::{mpsc, watch};

type Test = Result<(), Box<dyn std::error::Error>>;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_means_no_good_is_bounded_and_others_are_served() -> Test {
    const EACH: usize = 6;
    const MESSAGES: u64 = 5;
    let dir = tempfile::tempdir()?;
    let limits = Limits {
        connections_max: 30,
        ..Limits::default()
    };
    let server = Server::start(dir.path(), &any_port(), limits).await;
    let mut honest = Client::connect(server.tcp()).await;
    let (stop, stopped) = watch::channel(false);
    let (done, mut finished) = mpsc::unbounded_channel();
    let mut attacks = Vec::new();
    for kind in KINDS.into_iter().flat_map(|kind| [kind; EACH]) {
        let every = Duration::from_millis(5);
        let attack = attack::attack(
            kind,
            server.tcp(),
            MESSAGES,
            every,
            done.clone(),
            stopped.clone(),
        );
        attacks.push((kind, tokio::spawn(attack)));
    }
    // Meanwhile somebody writes and reads.
    let key = tag_key(1);
    for n in 0..50 {
        let answer = honest.ask(put(&key, n)).await;
        assert!(matches!(answer, Response::Filed { .. }), "{answer:?}");
    }
    for _ in 0..attacks.len() {
        within(finished.recv()).await.unwrap();
    }
    let stats = server.ready.stats.borrow().clone();
    assert!(stats.connections <= 30, "{} connections", stats.connections);
    let fetch = Request::Fetch {
        tag: Tag::of_key(&key.public()),
        after: Cursor::START,
        limit: 256,
    };
    match honest.ask(fetch).await {
        Response::Page { items, more: false } => assert_eq!(items.len(), 50),
        other => panic!("{other:?}"),
    }
    stop.send(true)?;
    let (mut shed, mut connected) = (0, 0);
    for (kind, task) in attacks {
        let seen = within(task).await?;
        shed += usize::from(seen.shed && kind != Kind::Slow);
        connected += usize::from(seen.connected);
        match kind {
            // No answer to what is no message: the stream ends.
            Kind::Claim | Kind::Garbage => assert_eq!(seen.answered, 0, "{kind:?}: {seen:?}"),
            Kind::Half | Kind::Slow => assert_eq!(seen.answered, 0, "{kind:?}: {seen:?}"),
            Kind::Replay | Kind::Token | Kind::Greedy => {
                assert!(seen.shed || seen.answered == MESSAGES, "{kind:?}: {seen:?}");
            }
        }
    }
    // 36 of them came as far as a connection, beside the honest one, and 30 have room.
    assert!(shed >= 7, "{shed} were sent away");
    assert!(connected > 20, "{connected} were ever connected");
    let stats = server.ready.stats.borrow().clone();
    assert!(
        stats.usage.entries <= 51,
        "what was replayed lies there once"
    );
    server.stop().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn quotas_are_exact_under_64_writers_at_once() -> Test {
    const WRITERS: u32 = 64;
    let dir = tempfile::tempdir()?;
    let (of_tag, of_mailbox, of_all) = (100, 20, 170);
    let limits = Limits {
        tag_bytes_max: of_tag * 1024 + 1_023,
        mailbox_messages_max: of_mailbox,
        total_bytes_max: of_all * 1024 + 1_023,
        ..Limits::default()
    };
    let server = Server::start(dir.path(), &any_port(), limits).await;
    let mut owner = Client::connect(server.tcp()).await;
    let recv_pk = Digest::from_bytes(SecretKey::from_seed(&[9; 32]).public());
    let Response::Mailbox { send_id, .. } = owner.ask(Request::MboxNew { recv_pk }).await else {
        panic!("a mailbox");
    };
    let mut writers = Vec::new();
    for n in 0..WRITERS {
        let addr = server.tcp();
        writers.push(tokio::spawn(async move {
            let mut client = Client::connect(addr).await;
            let mut answers = [const { Vec::new() }; 3];
            // All of them to one tag, then to one mailbox, then each to a tag of its own.
            let own = tag_key(100 + n as u8);
            let mut sent = Vec::new();
            for m in 0..3 {
                sent.push((0, client.send(put(&tag_key(2), n * 10 + m)).await));
            }
            for m in 0..2 {
                let mail = Request::MboxPut {
                    send_id,
                    bytes: Sealed::new(envelope(n * 10 + m)),
                    ttl_secs: 3_600,
                };
                sent.push((1, client.send(mail).await));
            }
            for (which, id) in sent {
                answers[which].push(client.answer(id).await.unwrap());
            }
            for m in 0..2 {
                answers[2].push(client.ask(put(&own, n * 10 + m)).await);
            }
            answers
        }));
    }
    let mut filed = [0_u64; 3];
    for writer in writers {
        for (which, answers) in within(writer).await?.into_iter().enumerate() {
            for answer in answers {
                match answer {
                    Response::Filed { .. } => filed[which] += 1,
                    Response::Error(error) => assert!(
                        matches!(error.code, ErrorCode::QuotaExceeded | ErrorCode::Full),
                        "{error:?}"
                    ),
                    other => panic!("{other:?}"),
                }
            }
        }
    }
    println!("filed under one tag, in one mailbox, elsewhere: {filed:?}");
    let stats = server.ready.stats.borrow().clone();
    assert!(
        filed[0] <= of_tag && filed[1] <= of_mailbox as u64,
        "{filed:?}"
    );
    // More was asked of each than there is room, so the whole is full to the last envelope.
    assert_eq!(filed.iter().sum::<u64>(), of_all);
    assert_eq!(stats.usage.bytes, of_all * 1024);
    server.stop().await;

    // Again without the bound of the whole: each of the others is met exactly.
    let dir = tempfile::tempdir()?;
    let limits = Limits {
        tag_bytes_max: of_tag * 1024 + 1_023,
        ..Limits::default()
    };
    let server = Server::start(dir.path(), &any_port(), limits).await;
    let mut writers = Vec::new();
    for n in 0..WRITERS {
        let addr = server.tcp();
        writers.push(tokio::spawn(async move {
            let mut client = Client::connect(addr).await;
            let mut sent = Vec::new();
            for m in 0..3 {
                sent.push(client.send(put(&tag_key(2), n * 10 + m)).await);
            }
            let mut filed = 0;
            for id in sent {
                filed += u64::from(matches!(
                    client.answer(id).await,
                    Ok(Response::Filed { .. })
                ));
            }
            filed
        }));
    }
    let mut filed = 0;
    for writer in writers {
        filed += within(writer).await?;
    }
    assert_eq!(filed, of_tag);
    server.stop().await;
    Ok(())
}

/// A relay of 256 KiB: 192 for what comes in, 32 for what goes to one client.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_on_their_way_have_room_for_so_many_bytes_and_it_comes_back() -> Test {
    let dir = tempfile::tempdir()?;
    let limits = Limits {
        message_bytes_max: 256 << 10,
        ..Limits::default()
    };
    let server = Server::start(dir.path(), &any_port(), limits).await;
    let mut client = Client::connect(server.tcp()).await;
    let key = tag_key(3);
    let sized = |n: u8, len: usize| Request::Put(PutRequest::sign(&key, vec![n; len], 3_600));
    // More than fit at once, one after the other.
    for n in 0..24 {
        let answer = client.ask(sized(n, 16 << 10)).await;
        assert!(matches!(answer, Response::Filed { .. }), "{answer:?}");
    }
    client.try_ask(sized(99, 256 << 10)).await.unwrap_err();
    let fetch = |limit| Request::Fetch {
        tag: Tag::of_key(&key.public()),
        after: Cursor::START,
        limit,
    };
    for _ in 0..8 {
        match client.ask(fetch(3)).await {
            Response::Error(error) => {
                assert_eq!(error.code, ErrorCode::RateLimited);
                assert!(error.retry_after_ms > 0);
            }
            other => panic!("{other:?}"),
        }
        match client.ask(fetch(1)).await {
            Response::Page { items, .. } => assert_eq!(items.len(), 1),
            other => panic!("{other:?}"),
        }
    }
    server.stop().await;
    Ok(())
}
