//! A running profile whose index is damaged: whatever is asked first is answered, because the
//! index is made again on the way.
#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests fail by panicking, as tests do"
)]

use std::fs;
use std::ops::ControlFlow;
use std::path::Path;

use node::runtime::{Handle, KeySource, Options, create, open};
use node::{Answer, Command};
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

#[tokio::test]
async fn whatever_is_damaged_in_the_index_the_first_question_is_answered() {
    let dir = tempfile::tempdir().unwrap();
    create(dir.path(), &KeySource::InsecurePlaintext, "Ann").unwrap();
    let handle = start(dir.path()).await;
    let name = "Home".to_owned();
    let Answer::Space(space) = handle.command(Command::CreateSpace { name }).await.unwrap() else {
        panic!("no Space");
    };
    let channels = handle.ask(move |node| node.channels(space)).await.unwrap();
    let channel = channels.iter().find(|c| c.name == "general").unwrap().id;
    for n in 0..20 {
        post(&handle, space, channel, &format!("post {n}")).await;
    }
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
