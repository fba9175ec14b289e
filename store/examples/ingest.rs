//! Stores small posts as a node does when it catches up: for profilers, and to compare settings.
//!
//! ```sh
//! cargo build -p store --example ingest && perf stat -e task-clock:u target/debug/examples/ingest /tmp/profile 100000 1024
//! ```
//!
//! Each op is a record of about a post's size and the three rows of a post; a commit and a sync
//! for each group. An existing folder is an error. Prints how much there is at the end.

#![expect(
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a program for measuring may stop and speak"
)]

use std::env::args;
use std::path::PathBuf;

use oplog::SpaceId;
use oplog::store::{Store, Table};
use store::{DiskStore, Options, RootKey};

const SPACE: SpaceId = SpaceId::from_bytes([7; 32]);
/// A post of 300 characters with header and signature.
const RECORD_BYTES: usize = 480;

fn main() {
    let mut given = args().skip(1);
    let dir = PathBuf::from(given.next().expect("a folder that does not exist"));
    let count: u64 = given
        .next()
        .map_or(100_000, |n| n.parse().expect("a number"));
    let group: u64 = given.next().map_or(1024, |n| n.parse().expect("a number"));
    let mut store = DiskStore::create(&dir, &RootKey::InsecurePlaintext, Options::default())
        .expect("a fresh profile");
    for n in 0..count {
        let id = blake3::hash(&n.to_be_bytes());
        let author = blake3::hash(&(n % 20).to_be_bytes());
        let thread = blake3::hash(&(n % 50).to_be_bytes());
        let mut record = id.as_bytes().repeat(RECORD_BYTES / 32);
        let at = store.append(&SPACE, &record).expect("room");
        record.clear();
        let (no, channel) = (&[0, 1][..], &[9; 16][..]);
        let op = [no, id.as_bytes()].concat();
        store.put(Table("op"), &op, &at.to_bytes());
        let seq = (n / 20).to_be_bytes();
        let lane = [no, &[1], channel, author.as_bytes(), &seq, id.as_bytes()].concat();
        store.put(Table("lane"), &lane, &[]);
        let time = (1 << 50 | n << 20).to_be_bytes();
        let order = [&time, &time, author.as_bytes().as_slice(), id.as_bytes()].concat();
        let line = [no, channel, thread.as_bytes(), &order].concat();
        let value = [&[10, 0], at.to_bytes().as_slice()].concat();
        store.put(Table("thread"), &line, &value);
        if n % group == group - 1 {
            store.commit().expect("committed");
            store.sync().expect("synced");
        }
    }
    store.commit().expect("committed");
    store.flush_idle().expect("flushed");
    println!("{:?}", store.stats());
}
