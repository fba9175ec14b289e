//! Files that are attached, looked at and read, on a profile of its own.

#![cfg(feature = "runtime")]
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot go on should stop"
)]

use std::fs;
use std::path::Path;

use node::runtime::{AttachError, Content, Handle, KeySource, Options, create, open};
use node::{Answer, Command, SpaceId, THUMBNAIL_BYTES_MAX};

async fn profile(dir: &Path) -> (Handle, SpaceId) {
    create(dir, &KeySource::InsecurePlaintext, "Ann").unwrap();
    let options = Options {
        offline: true,
        relays: Vec::new(),
    };
    let handle = open(dir, &KeySource::InsecurePlaintext, options)
        .await
        .unwrap();
    let name = "Allotment".to_owned();
    match handle.command(Command::CreateSpace { name }).await {
        Ok(Answer::Space(space)) => (handle, space),
        other => panic!("{other:?}"),
    }
}

/// Counts the files in a folder and all its folders.
fn files(dir: &Path) -> usize {
    let Ok(entries) = fs::read_dir(dir) else {
        return 0;
    };
    let paths = entries.map(|entry| entry.unwrap().path());
    paths
        .map(|path| if path.is_dir() { files(&path) } else { 1 })
        .sum()
}

#[tokio::test]
async fn bytes_come_back_with_their_thumbnail() {
    let dir = tempfile::tempdir().unwrap();
    let profile_dir = dir.path().join("profile");
    let (handle, space) = profile(&profile_dir).await;
    let bytes: Vec<u8> = (0..600_000_u32).map(|n| (n % 251) as u8).collect();
    let content = Content::Bytes {
        name: "beds.png",
        bytes: &bytes,
    };
    let mut heard = Vec::new();
    let progress = |done, total| heard.push((done, total));
    let thumbnail = Some(vec![7; THUMBNAIL_BYTES_MAX]);
    let file = handle.attach(space, content, thumbnail.clone(), progress);
    let file = file.await.unwrap();
    assert_eq!((file.name.as_str(), file.size), ("beds.png", 600_000));
    assert_eq!(file.media_type, "image/png");
    assert_eq!(heard.first(), Some(&(0, 600_000)));
    assert_eq!(heard.last(), Some(&(600_000, 600_000)));
    let preview = handle.preview(space, &file).await.unwrap();
    assert_eq!((preview.len, preview.thumbnail), (600_000, thumbnail));
    let mut heard = Vec::new();
    let progress = |done, total| heard.push((done, total));
    let content = handle.content(space, &file, 600_000, progress).await;
    assert_eq!(content.unwrap(), bytes);
    assert_eq!(heard.last(), Some(&(600_000, 600_000)));
    // What the op says of the size is the sender's word: the manifest's is checked.
    let small = node::Attachment {
        size: 1,
        ..file.clone()
    };
    let refused = handle.content(space, &small, 599_999, |_, _| {}).await;
    assert!(
        matches!(
            refused,
            Err(AttachError::TooLarge {
                len: 600_000,
                max: 599_999,
                ..
            })
        ),
        "{refused:?}"
    );
    handle.shutdown().await;
}

#[tokio::test]
async fn a_file_with_too_long_a_thumbnail_leaves_nothing_behind() {
    let dir = tempfile::tempdir().unwrap();
    let profile_dir = dir.path().join("profile");
    let (handle, space) = profile(&profile_dir).await;
    let path = dir.path().join("beds.png");
    fs::write(&path, vec![1; 300_000]).unwrap();
    let before = files(&profile_dir.join("chunks"));
    let thumbnail = Some(vec![7; THUMBNAIL_BYTES_MAX + 1]);
    let refused = handle
        .attach(space, Content::File(&path), thumbnail, |_, _| {})
        .await;
    let words = refused.unwrap_err().to_string();
    assert!(words.contains("thumbnail"), "{words}");
    assert_eq!(
        files(&profile_dir.join("chunks")),
        before,
        "its chunks are gone again"
    );
    handle.shutdown().await;
}
