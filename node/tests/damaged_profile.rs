//! A running profile whose files are damaged: whatever is asked first is answered, because the
//! index is made again on the way; and looking at everything finds what is not as it should be.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "helpers of tests fail by panicking, as tests do"
)]

use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use node::runtime::{Content, Handle, KeySource, Options, create, open};
use node::view::{Care, Part};
use node::{Answer, Command, CommandError};
use oplog::store::{Direction, prefix_end};
use oplog::{ChannelId, SpaceId};
use store::{FjallIndex, Index, RowChange, Rows};

/// Tables of the index that hold something in a profile like this one.
const TABLES_MIN: usize = 4;

async fn start(dir: &Path) -> Handle {
    let options = Options {
        offline: true,
        relays: Vec::new(),
    };
    open(dir, &KeySource::InsecurePlaintext, options)
        .await
        .unwrap()
}

async fn bodies(handle: &Handle, space: SpaceId, channel: ChannelId) -> Vec<String> {
    let posts = handle.ask(move |node| node.posts(space, channel, None, 100));
    posts.await.unwrap().into_iter().map(|p| p.body).collect()
}

async fn post(handle: &Handle, space: SpaceId, channel: ChannelId, body: &str) {
    let command = Command::Post {
        space,
        channel,
        thread: None,
        reply_to: None,
        body: body.to_owned(),
        attachments: Vec::new(),
    };
    handle.command(command).await.unwrap();
}

/// Returns the names of the tables, with those of rows in them.
fn tables(dir: &Path) -> Vec<(String, Vec<Vec<u8>>)> {
    let rows = FjallIndex::new(dir).open().unwrap();
    let keys = |table: &str| {
        let mut keys = Vec::new();
        let each = &mut |key: &[u8], value: &[u8]| {
            // An empty value is not sealed: there is nothing to harm.
            if !value.is_empty() || table == "#tables" {
                keys.push(key.to_vec());
            }
            ControlFlow::Continue(())
        };
        let all = (&[0][..], prefix_end(&[]));
        rows.scan(table, all.0, &all.1, Direction::Forward, each)
            .unwrap();
        keys
    };
    let named = keys("#tables").into_iter();
    let named = named.map(|name| String::from_utf8(name).unwrap());
    named
        .filter(|name| name != "#tables")
        .map(|name| (name.clone(), keys(&name)))
        .filter(|(_, keys)| !keys.is_empty())
        .collect()
}

fn damage(dir: &Path, table: &str, keys: &[Vec<u8>]) {
    let mut rows = FjallIndex::new(dir).open().unwrap();
    let changes: Vec<RowChange> = keys
        .iter()
        .map(|key| RowChange {
            table: table.to_owned().into(),
            key: key.clone(),
            value: Some(b"no sealed value".to_vec()),
        })
        .collect();
    rows.apply(&changes).unwrap();
    rows.sync().unwrap();
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// A profile with a Space and so many posts.
async fn profile(dir: &Path, posts: usize) -> (Handle, SpaceId, ChannelId) {
    create(dir, &KeySource::InsecurePlaintext, "Ann").unwrap();
    let handle = start(dir).await;
    let name = "Home".to_owned();
    let Answer::Space(space) = handle.command(Command::CreateSpace { name }).await.unwrap() else {
        panic!("no Space");
    };
    let channels = handle.ask(move |node| node.channels(space)).await.unwrap();
    let channel = channels.iter().find(|c| c.name == "general").unwrap().id;
    for n in 0..posts {
        post(&handle, space, channel, &format!("post {n}")).await;
    }
    (handle, space, channel)
}

#[tokio::test]
async fn whatever_is_damaged_in_the_index_the_first_question_is_answered() {
    let dir = tempfile::tempdir().unwrap();
    let (handle, space, channel) = profile(dir.path(), 20).await;
    let before = bodies(&handle, space, channel).await;
    assert_eq!(before.len(), 20);
    handle.shutdown().await;

    let tables = tables(dir.path());
    assert!(tables.len() >= TABLES_MIN, "{tables:?}");
    for (table, keys) in tables {
        for first in ["read", "post", "backup"] {
            let case = format!("{table} is damaged, then {first}");
            let harmed = tempfile::tempdir().unwrap();
            copy(dir.path(), harmed.path());
            damage(harmed.path(), &table, &keys);
            let handle = start(harmed.path()).await;
            let mut expected = before.clone();
            match first {
                "read" => {}
                "post" => {
                    post(&handle, space, channel, "one more").await;
                    expected.push("one more".to_owned());
                }
                _ => assert!(
                    !handle.backup(|_, _| {}).await.unwrap().is_empty(),
                    "{case}"
                ),
            }
            assert_eq!(bodies(&handle, space, channel).await, expected, "{case}");
            handle.shutdown().await;
        }
    }
}

/// The file with most bytes in a folder or below it.
fn largest(dir: &Path) -> PathBuf {
    let mut files = Vec::new();
    let mut folders = vec![dir.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                files.push((fs::metadata(&path).unwrap().len(), path));
            }
        }
    }
    files.sort();
    files.pop().unwrap().1
}

fn flip(file: &Path, at: impl Fn(usize) -> usize) {
    let mut bytes = fs::read(file).unwrap();
    let at = at(bytes.len());
    bytes[at] ^= 1;
    fs::write(file, bytes).unwrap();
}

/// What looking at everything finds: part, who cares, what.
async fn found(handle: &Handle) -> Vec<(Part, Care, String)> {
    let examined = handle.examine(|_, _| {}).await.unwrap();
    let findings = examined.findings.into_iter();
    findings.map(|f| (f.part, f.care, f.what)).collect()
}

#[tokio::test]
async fn looking_at_a_whole_profile_reads_all_of_it_and_finds_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let (handle, space, _) = profile(dir.path(), 20).await;
    let mut progress = Vec::new();
    let examined = handle.examine(|done, total| progress.push((done, total)));
    let examined = examined.await.unwrap();
    assert_eq!(examined.findings, []);
    let [of] = &examined.spaces[..] else {
        panic!("{:?}", examined.spaces);
    };
    let status = handle.ask(|node| node.status()).await.unwrap();
    let ops = status.spaces[0].control_ops as u64 + 20;
    assert_eq!((of.id, of.ops, of.records), (space, ops, ops));
    assert!(examined.rows > of.ops, "{}", examined.rows);
    assert_eq!(progress.last(), Some(&(of.ops, of.ops)));
    handle.shutdown().await;
}

#[tokio::test]
async fn looking_finds_rows_that_the_index_lacks_and_writes_them_again() {
    let dir = tempfile::tempdir().unwrap();
    let (handle, space, channel) = profile(dir.path(), 20).await;
    let before = bodies(&handle, space, channel).await;
    handle.shutdown().await;
    // Not damaged: gone.
    let (table, keys) = tables(dir.path())
        .into_iter()
        .find(|(table, _)| table == "thread")
        .unwrap();
    let mut rows = FjallIndex::new(dir.path()).open().unwrap();
    let changes: Vec<RowChange> = keys
        .iter()
        .take(7)
        .map(|key| RowChange {
            table: table.clone().into(),
            key: key.clone(),
            value: None,
        })
        .collect();
    rows.apply(&changes).unwrap();
    rows.sync().unwrap();
    drop(rows);
    let handle = start(dir.path()).await;
    assert_eq!(bodies(&handle, space, channel).await.len(), 13);
    let what = "rows that the index lacked, written again: 7".to_owned();
    assert_eq!(found(&handle).await, [(Part::Ops, Care::Mended, what)]);
    assert_eq!(bodies(&handle, space, channel).await, before);
    handle.shutdown().await;
    let handle = start(dir.path()).await;
    assert_eq!(bodies(&handle, space, channel).await, before);
    assert_eq!(found(&handle).await, []);
    handle.shutdown().await;
}

#[tokio::test]
async fn looking_at_a_damaged_index_has_it_made_again_whichever_table_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let (handle, ..) = profile(dir.path(), 3).await;
    handle.shutdown().await;
    for (table, keys) in tables(dir.path()) {
        let harmed = tempfile::tempdir().unwrap();
        copy(dir.path(), harmed.path());
        // Of many rows the last one, which nobody asks for when the profile opens.
        damage(harmed.path(), &table, &keys[keys.len() - 1..]);
        let handle = start(harmed.path()).await;
        assert_eq!(found(&handle).await, [], "{table}");
        let status = handle.ask(|node| node.status()).await.unwrap();
        let made = |line: &String| line.contains("the index was damaged and made again");
        assert!(status.recovered.iter().any(made), "{table}: {status:?}");
        handle.shutdown().await;
    }
}

#[tokio::test]
async fn looking_finds_damaged_records_and_chunks() {
    let dir = tempfile::tempdir().unwrap();
    let (handle, space, channel) = profile(dir.path(), 20).await;
    let file = dir.path().join("picture");
    fs::write(&file, vec![7; 600_000]).unwrap();
    let attachment = handle
        .attach(space, Content::File(&file), None, |_, _| {})
        .await
        .unwrap();
    let command = Command::Post {
        space,
        channel,
        thread: None,
        reply_to: None,
        body: "look".to_owned(),
        attachments: vec![attachment],
    };
    handle.command(command).await.unwrap();
    handle.shutdown().await;
    flip(&largest(&dir.path().join("chunks")), |_| 100);
    // In the last record but a few, which are posts.
    flip(&largest(&dir.path().join("log")), |len| len - 2_000);
    let handle = start(dir.path()).await;
    let findings = found(&handle).await;
    let of = |part| {
        let of = findings.iter().filter(|(of, ..)| *of == part);
        of.map(|(_, care, what)| (*care, what.as_str()))
            .collect::<Vec<_>>()
    };
    let [(Care::Mended, log)] = of(Part::Log)[..] else {
        panic!("{findings:?}");
    };
    assert!(
        log.starts_with("bytes that are no record, left out: "),
        "{log}"
    );
    let chunks = "damaged ones, removed and fetched again when wanted: 1";
    assert_eq!(of(Part::Chunks), [(Care::Mended, chunks)]);
    let status = handle.ask(|node| node.status()).await.unwrap();
    assert_eq!(status.spaces[0].lost, 1);
    assert_eq!(found(&handle).await.len(), 1, "the chunk is gone by now");
    handle.shutdown().await;
}

/// Somebody put back an old copy of everything but the vault: what came after it may be anywhere, so
/// nothing may take its places.
#[tokio::test]
async fn nothing_is_written_over_what_an_older_copy_has_forgotten() {
    let dir = tempfile::tempdir().unwrap();
    let (handle, space, channel) = profile(dir.path(), 3).await;
    let address = "/ip4/127.0.0.1/tcp/9/p2p/12D3KooWJT4xeKHJuvZeDk1jBjr2ECZbU2jiSgPrwukjwreX9BtC";
    let command = Command::AddRelay {
        address: address.to_owned(),
    };
    handle.command(command).await.unwrap();
    handle.shutdown().await;
    let old = tempfile::tempdir().unwrap();
    copy(dir.path(), old.path());
    let handle = start(dir.path()).await;
    post(&handle, space, channel, "after the copy").await;
    // The vault goes on too, by more than a crash could leave undone.
    for name in ["Second", "Third"] {
        let name = name.to_owned();
        handle.command(Command::CreateSpace { name }).await.unwrap();
    }
    handle.shutdown().await;
    fs::copy(dir.path().join("vault.bin"), old.path().join("vault.bin")).unwrap();
    let handle = start(old.path()).await;
    assert_eq!(bodies(&handle, space, channel).await.len(), 3);
    let status = handle.ask(|node| node.status()).await.unwrap();
    let older = |line: &String| line.contains("older than it was");
    assert!(status.recovered.iter().any(older), "{status:?}");
    let command = Command::Post {
        space,
        channel,
        thread: None,
        reply_to: None,
        body: "over it".to_owned(),
        attachments: Vec::new(),
    };
    let refused = handle.command(command).await.unwrap_err();
    assert!(matches!(refused, CommandError::Damaged), "{refused}");
    handle.shutdown().await;
}
