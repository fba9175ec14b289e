//! A relay under many hostile connections: how long an honest client waits, with and without them, and
//! what the relay's process holds. Run on demand, it takes as long as it is told.
//!
//! ```text
//! cargo run --locked -p relay --example hostile -- 1000 60
//! ```
//!
//! The relay is a process of its own. The arguments are how many connections and for how many seconds each
//! of the two measurements goes on; a third gives the milliseconds between two messages of one connection.

#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::wildcard_enum_match_arm,
    reason = "a tool for developers that measures, and may stop where it cannot go on"
)]

#[path = "../tests/common/attack.rs"]
mod attack;
#[path = "../tests/common/mod.rs"]
mod common;

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use attack::{KINDS, Kind, Seen};
use common::{Client, any_port, put, tag_key};
use net::driver::RelayAddr;
use net::wire::{Cursor, Request, Response};
use oplog::Tag;
use relay::Limits;
use relay::server::{Ready, ServerConfig, serve};
use tokio::sync::{mpsc, watch};

/// What the process of a relay on a small machine may hold.
const RSS_MAX_BYTES: u64 = 256 << 20;
/// How much longer an honest client may wait.
const RATIO_MAX: f64 = 2.0;

#[tokio::main]
async fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if args.first().is_some_and(|first| first == "--relay") {
        return run_relay(&args[1]).await;
    }
    let number = |at: usize, or: u64| {
        args.get(at)
            .map_or(or, |arg| arg.parse().expect("a number"))
    };
    let (connections, seconds, every) = (number(0, 1_000), number(1, 60), number(2, 1_000));
    let dir = tempfile::tempdir().unwrap();
    let mut child = Command::new(std::env::current_exe().unwrap())
        .arg("--relay")
        .arg(dir.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut told = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    told.read_line(&mut line).unwrap();
    let addr: RelayAddr = line.trim().parse().expect("the address of the relay");

    let mut honest = Client::connect(addr.clone()).await;
    let span = Duration::from_secs(seconds);
    let alone = measure(&mut honest, span, 1).await;
    tell("alone", &alone, &child);

    let (stop, stopped) = watch::channel(false);
    let (done, _finished) = mpsc::unbounded_channel();
    let mut attacks = Vec::new();
    for n in 0..connections {
        let kind = KINDS[n as usize % KINDS.len()];
        let every = Duration::from_millis(every);
        let attack = attack::attack(
            kind,
            addr.clone(),
            u64::MAX,
            every,
            done.clone(),
            stopped.clone(),
        );
        attacks.push((kind, tokio::spawn(attack)));
        if n % 20 == 19 {
            // Not more handshakes at once than the relay takes: they shall all come in.
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }
    let under = measure(&mut honest, span, 2).await;
    tell("under attack", &under, &child);
    stop.send(true).unwrap();
    let mut seen: Vec<(Kind, Seen)> = Vec::new();
    for (kind, task) in attacks {
        seen.push((kind, task.await.expect("an attack went on")));
    }
    for kind in KINDS {
        let of = || {
            seen.iter()
                .filter(|(k, _)| *k == kind)
                .map(|(_, seen)| seen)
        };
        println!(
            "{kind:?}: {} connections, {} came in, {} sent away; {} messages, {} answered, {} failed",
            of().count(),
            of().filter(|s| s.connected).count(),
            of().filter(|s| s.shed).count(),
            of().map(|s| s.sent).sum::<u64>(),
            of().map(|s| s.answered).sum::<u64>(),
            of().map(|s| s.failed).sum::<u64>(),
        );
    }
    let (_, most) = rss(&child);
    drop(child.stdin.take());
    let mut rest = String::new();
    told.read_to_string(&mut rest).unwrap();
    print!("{rest}");
    let ended = child.wait().unwrap();
    assert!(ended.success(), "the relay ended with {ended}");
    let ratio = under.p99.as_secs_f64() / alone.p99.as_secs_f64();
    println!("p99 under attack is {ratio:.2} times that alone (at most {RATIO_MAX})");
    println!("the relay held at most {most} bytes (at most {RSS_MAX_BYTES})");
    assert!(
        ratio <= RATIO_MAX && most <= RSS_MAX_BYTES,
        "a bound is broken"
    );
}

async fn run_relay(dir: &str) {
    let config = ServerConfig {
        listen: any_port(),
        data_dir: dir.into(),
        limits: Limits::default(),
    };
    let (stats_sender, stats) = tokio::sync::oneshot::channel();
    // Until whoever started it is gone, or says so.
    let stop = async {
        let mut rest = Vec::new();
        let _ = tokio::io::AsyncReadExt::read_to_end(&mut tokio::io::stdin(), &mut rest).await;
    };
    let ready = |ready: Ready| {
        let addr = ready
            .addrs
            .iter()
            .find(|addr| addr.to_string().contains("/tcp/"));
        println!("{}", addr.unwrap());
        let _ = stats_sender.send(ready.stats);
    };
    let watching = tokio::spawn(async move {
        let mut most = 0;
        let Ok(mut stats) = stats.await else { return };
        while stats.changed().await.is_ok() {
            most = most.max(stats.borrow_and_update().connections);
        }
        let stats = stats.borrow().clone();
        println!(
            "relay: at most {most} connections, {} requests, refused {:?}",
            stats.requests, stats.refused
        );
        println!("relay: {:?}", stats.usage);
    });
    serve(config, stop, ready).await.unwrap();
    watching.await.unwrap();
}

struct Waits {
    count: usize,
    p50: Duration,
    p99: Duration,
    max: Duration,
}

/// Puts and fetches one after the other, and how long each took.
async fn measure(client: &mut Client, span: Duration, tag: u8) -> Waits {
    let key = tag_key(tag);
    let fetch = Request::Fetch {
        tag: Tag::of_key(&key.public()),
        after: Cursor::START,
        limit: 4,
    };
    let begin = Instant::now();
    let mut waits = Vec::new();
    for n in 0.. {
        if begin.elapsed() >= span {
            break;
        }
        for request in [put(&key, n % 15_000), fetch.clone()] {
            let asked = Instant::now();
            let answer = client.ask(request).await;
            waits.push(asked.elapsed());
            assert!(!matches!(answer, Response::Error(_)), "{answer:?}");
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    waits.sort_unstable();
    let at = |share: usize| waits[(waits.len() * share / 100).min(waits.len() - 1)];
    Waits {
        count: waits.len(),
        p50: at(50),
        p99: at(99),
        max: at(100),
    }
}

fn tell(what: &str, waits: &Waits, child: &Child) {
    let (now, most) = rss(child);
    println!(
        "{what}: {} exchanges, p50 {:?}, p99 {:?}, longest {:?}; the relay holds {now} bytes, at most {most}",
        waits.count, waits.p50, waits.p99, waits.max
    );
}

/// What a process holds in memory, now and at most, in bytes.
fn rss(child: &Child) -> (u64, u64) {
    let status =
        std::fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap_or_default();
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        let kib = line.and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok());
        kib.unwrap_or(0) * 1024
    };
    (field("VmRSS:"), field("VmHWM:"))
}
