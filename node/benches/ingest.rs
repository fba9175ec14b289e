//! 100,000 posts taken in by a real profile, beside the bare limit of the same run.
//!
//! The workload is that of an archive: 20 authors, 50 threads, 300 characters a post. *Bare* is what nobody
//! can leave out: parse, check signatures in batches of 1,024, hash, write body and two keys of an index in one
//! transaction a batch, sync. It knows no Space, no rights, no order, seals nothing. *Product* is
//! `Command::Import` through a running `Handle`, until the answer, which comes after the sync. Both run in
//! pairs, and the share is that of the product's rate in the bare one's. CPU time of the whole process counts,
//! since that is what a loaded machine distorts least; wall time stands beside it.
//!
//! `cargo bench -p node --bench ingest -- [--posts N] [--pairs N]`

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::cast_precision_loss,
    clippy::disallowed_methods,
    reason = "a bench reads the clock, and stops when something fails"
)]

use std::path::Path;
use std::time::{Duration, Instant};

use ed25519_zebra::{Signature, VerificationKeyBytes, batch};
use fjall::{Database, KeyspaceCreateOptions, PersistMode};
use minicbor::{Decoder, Encoder};
use node::runtime::{self, Handle, KeySource, Options};
use node::{Answer, Command};
use oplog::payload::{ChannelKind, Payload, Post, ThreadCreate, Weight};
use oplog::testing::{Device, TestSpace};
use oplog::{ChannelId, OpId, SignedOp, SpaceId};
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;

const AUTHORS: usize = 20;
const THREADS: usize = 50;
/// Characters a post.
const BODY: usize = 300;
const BATCH: usize = 1_024;

/// A Space's ops, parents first, as they travel.
struct Workload {
    space: SpaceId,
    channel: ChannelId,
    thread: OpId,
    /// How many posts the thread has.
    in_thread: usize,
    control: Vec<Vec<u8>>,
    posts: Vec<Vec<u8>>,
}

impl Workload {
    fn new(posts: usize) -> Self {
        let mut space = TestSpace::found(1);
        let owner = space.founder();
        let authors: Vec<Device> = (0..AUTHORS)
            .map(|n| space.person(&format!("author {n}")).device(0))
            .collect();
        let members: Vec<(&Device, Weight)> = authors.iter().map(|d| (d, Weight::MEMBER)).collect();
        space.add(&owner, &members);
        let devices: Vec<&Device> = authors.iter().collect();
        space.commit(&owner, &devices, &[]).sign();
        let channel = space.channel(&owner, ChannelKind::Forum);
        let threads: Vec<OpId> = (0..THREADS)
            .map(|n| {
                let create = ThreadCreate {
                    title: format!("Topic {n}"),
                    tags: Vec::new(),
                    body: "the first post".to_owned(),
                    attachments: Vec::new(),
                    mentions: Vec::new(),
                };
                let by = &authors[n % AUTHORS];
                let draft = space.op(by, Payload::ThreadCreate(create));
                draft.channel(channel).sign().id()
            })
            .collect();
        let control = space.ops().iter().map(SignedOp::encode).collect();
        let mut text = text();
        let posts = (0..posts)
            .map(|n| {
                // Neither the authors nor the threads in step.
                let thread = threads[(n / 7) % THREADS];
                let post = Payload::Post(Post {
                    thread: Some(thread),
                    reply_to: None,
                    body: text(),
                    attachments: Vec::new(),
                    mentions: Vec::new(),
                });
                let draft = space.op(&authors[n % AUTHORS], post);
                draft.channel(channel).prev(&[thread]).sign().encode()
            })
            .collect::<Vec<_>>();
        Self {
            space: space.id(),
            channel,
            thread: threads[7],
            in_thread: (0..posts.len()).filter(|n| (n / 7) % THREADS == 7).count(),
            control,
            posts,
        }
    }

    /// As `decent export` writes it (`docs/format.md`).
    fn bundle(&self) -> Vec<u8> {
        let mut body = Vec::new();
        let count = (self.control.len() + self.posts.len()) as u64;
        let mut e = Encoder::new(&mut body);
        let written = e
            .map(2)
            .and_then(|e| e.u8(0)?.bytes(self.space.as_bytes()))
            .and_then(|e| e.u8(1)?.array(count));
        written.expect("a vector takes all");
        for op in self.control.iter().chain(&self.posts) {
            e.bytes(op).expect("a vector takes all");
        }
        let hash = oplog::hash::H::new("bundle").field(&body).finish();
        [b"decent bundle v1".as_slice(), &hash, &body].concat()
    }
}

/// Texts that hardly compress: 64 symbols, drawn by a generator of a fixed seed.
fn text() -> impl FnMut() -> String {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let symbols = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789 .";
    move || {
        (0..BODY)
            .map(|_| {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                char::from(symbols[(state % 64) as usize])
            })
            .collect()
    }
}

/// What a run took.
#[derive(Clone, Copy)]
struct Cost {
    wall: Duration,
    cpu: Duration,
}

/// CPU time of all threads of this process.
fn cpu() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    let secs = u64::try_from(time.tv_sec).expect("it does not run backwards");
    let nanos = u32::try_from(time.tv_nsec).expect("below a second");
    Duration::new(secs, nanos)
}

fn measure<T>(work: impl FnOnce() -> T) -> (T, Cost) {
    let (wall, before) = (Instant::now(), cpu());
    let result = work();
    let cost = Cost {
        wall: wall.elapsed(),
        cpu: cpu().saturating_sub(before),
    };
    (result, cost)
}

/// The limit: nothing but parsing, signatures, one hash, and rows on a synced disk.
fn bare(dir: &Path, posts: &[Vec<u8>]) -> usize {
    let mut rng = ChaCha20Rng::seed_from_u64(1);
    let database = Database::builder(dir).open().expect("a database");
    let open = |name| {
        database
            .keyspace(name, KeyspaceCreateOptions::default)
            .expect("a keyspace")
    };
    let (bodies, by_id, by_thread) = (open("body"), open("id"), open("thread"));
    let mut stored = 0;
    for batch in posts.chunks(BATCH) {
        let mut verifier = batch::Verifier::new();
        let mut writes = database.batch();
        for wire in batch {
            let (device, header, signature) = parse(wire).expect("an op");
            let id = blake3::Hasher::new_derive_key("decent/v1/op")
                .update(&(u32::try_from(header.len()).expect("short")).to_be_bytes())
                .update(header)
                .finalize();
            let message = [b"decent op v1".as_slice(), id.as_bytes()].concat();
            let key = VerificationKeyBytes::from(device);
            verifier.queue((key, Signature::from(signature), &message));
            let at = (stored as u64).to_be_bytes();
            writes.insert(&bodies, at, wire.as_slice());
            writes.insert(&by_id, id.as_bytes(), at);
            writes.insert(&by_thread, at, id.as_bytes());
            stored += 1;
        }
        verifier.verify(&mut rng).expect("good signatures");
        writes.commit().expect("room");
        database.persist(PersistMode::SyncAll).expect("a sync");
    }
    stored
}

/// Device, header and signature of an op.
type Parts<'a> = ([u8; 32], &'a [u8], [u8; 64]);

/// Takes `[header, signature, payload]` apart.
fn parse(wire: &[u8]) -> Result<Parts<'_>, minicbor::decode::Error> {
    let mut op = Decoder::new(wire);
    op.array()?;
    let header = op.bytes()?;
    let wrong = |_| minicbor::decode::Error::message("a wrong length");
    let signature = op.bytes()?.try_into().map_err(wrong)?;
    let mut fields = Decoder::new(header);
    for _ in 0..fields.map()?.unwrap_or(0) {
        if fields.u8()? == 5 {
            return Ok((
                fields.bytes()?.try_into().map_err(wrong)?,
                header,
                signature,
            ));
        }
        fields.skip()?;
    }
    Err(minicbor::decode::Error::message("no device"))
}

/// A new profile takes the bundle in.
async fn product(node: &Handle, bundle: Vec<u8>) -> u64 {
    let answer = node.command(Command::Import { bundle }).await;
    let Answer::Imported { new, refused, .. } = answer.expect("taken in") else {
        return 0;
    };
    assert!(refused.is_empty(), "refused: {:?}", refused.first());
    new
}

async fn open(dir: &Path) -> Handle {
    let offline = Options {
        offline: true,
        ..Options::default()
    };
    let opened = runtime::open(dir, &KeySource::InsecurePlaintext, offline);
    opened.await.expect("a profile")
}

/// Lists one thread whole, and returns how many posts came.
async fn list(node: &Handle, work: &Workload) -> usize {
    let (space, channel, thread) = (work.space, work.channel, work.thread);
    let posts = node.query(move |node| node.posts(space, channel, Some(thread), usize::MAX));
    posts.await.expect("a node").expect("a thread").len()
}

fn option(name: &str, default: usize) -> usize {
    let mut args = std::env::args().skip_while(|arg| arg != name).skip(1);
    args.next()
        .and_then(|value| value.parse().ok())
        .unwrap_or(default)
}

fn main() {
    let posts = option("--posts", 100_000);
    let pairs = option("--pairs", 3);
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let work = Workload::new(posts);
    let bundle = work.bundle();
    let all = (work.control.len() + posts) as u64;
    println!(
        "{posts} posts by {AUTHORS} authors in {THREADS} threads, {} MB",
        bundle.len() / 1_000_000
    );
    println!(
        "{:>8} {:>14} {:>14} {:>12} {:>12}",
        "", "ops/cpu-s", "ops/s wall", "list thread", "reopen+list"
    );
    let rate = |time: Duration| posts as f64 / time.as_secs_f64();
    let mut shares = Vec::new();
    for _ in 0..pairs {
        let dir = tempfile::tempdir().expect("a folder");
        let (stored, limit) = measure(|| bare(dir.path(), &work.posts));
        assert_eq!(stored, posts, "the limit stored them all");
        println!(
            "{:>8} {:>14.0} {:>14.0}",
            "bare",
            rate(limit.cpu),
            rate(limit.wall)
        );

        let dir = tempfile::tempdir().expect("a folder");
        runtime::create(dir.path(), &KeySource::InsecurePlaintext, "Archivist").expect("a profile");
        let (cost, listed, again) = runtime.block_on(async {
            let node = open(dir.path()).await;
            let (wall, before) = (Instant::now(), cpu());
            let new = product(&node, bundle.clone()).await;
            let cost = Cost {
                wall: wall.elapsed(),
                cpu: cpu().saturating_sub(before),
            };
            assert_eq!(new, all, "all were taken in");
            let wall = Instant::now();
            // The thread's own post stands first.
            assert_eq!(
                list(&node, &work).await,
                work.in_thread + 1,
                "all are listed"
            );
            let listed = wall.elapsed();
            node.shutdown().await;
            let wall = Instant::now();
            let node = open(dir.path()).await;
            assert_eq!(
                list(&node, &work).await,
                work.in_thread + 1,
                "all are still there"
            );
            let again = wall.elapsed();
            node.shutdown().await;
            (cost, listed, again)
        });
        println!(
            "{:>8} {:>14.0} {:>14.0} {:>9.1} ms {:>9.1} ms",
            "product",
            rate(cost.cpu),
            rate(cost.wall),
            listed.as_secs_f64() * 1e3,
            again.as_secs_f64() * 1e3
        );
        shares.push(limit.cpu.as_secs_f64() / cost.cpu.as_secs_f64());
    }
    shares.sort_by(f64::total_cmp);
    let median = shares[shares.len() / 2];
    println!(
        "the product's rate is {median:.2} of the bare limit's (median of {pairs}, {:.2} to {:.2}, CPU time)",
        shares[0],
        shares[shares.len() - 1]
    );
}
