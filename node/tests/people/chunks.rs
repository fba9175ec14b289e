//! Chunks of attachments on a device: what goes when there are too many, and what never does.

use crate::scene::{ALICE, Scene, op, scene};
use blobstore::{ChunkStore, Description, Sealer};
use node::room::BLOBS_BYTES_MIN;
use node::{Attachment, BlobId, Command, Event};
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;

/// Seals a file of two chunks into Alice's chunk store. Returns all its chunks, the manifest last.
fn attach(scene: &mut Scene, seed: u64) -> (Attachment, Vec<BlobId>) {
    let mut rng = ChaCha20Rng::seed_from_u64(seed);
    let bytes = vec![seed as u8; 300 * 1024];
    let node = &mut scene.world.people[ALICE].node;
    let mut sealer = Sealer::new(&mut rng);
    let mut ids = Vec::new();
    let mut rest = bytes.as_slice();
    while let Some(chunk) = sealer.push(&mut rest).unwrap() {
        ids.push(chunk.id());
        node.chunks_mut().put(&chunk).unwrap();
    }
    let (last, sealed) = sealer.finish().unwrap();
    node.chunks_mut().put(&last).unwrap();
    ids.push(last.id());
    let about = Description {
        name: "file".into(),
        media_type: "text/plain".into(),
        thumbnail: None,
    };
    let (blob, manifest) = sealed.describe(about, &mut rng).unwrap();
    node.chunks_mut().put(&manifest).unwrap();
    ids.push(manifest.id());
    let size = bytes.len() as u64;
    let attachment = blob.to_attachment(size, "file".into(), "text/plain".into());
    (attachment, ids)
}

fn here(scene: &mut Scene, chunks: &[BlobId]) -> usize {
    let store = scene.world.people[ALICE].node.chunks_mut();
    chunks.iter().filter(|id| store.has(id).unwrap()).count()
}

#[test]
fn what_no_live_post_refers_to_goes_when_it_is_too_much_and_nothing_else() {
    let mut scene = scene();
    let space = scene.space;
    let (kept, kept_chunks) = attach(&mut scene, 1);
    let (gone, gone_chunks) = attach(&mut scene, 2);
    let (_, loose_chunks) = attach(&mut scene, 3);
    let mut posts = Vec::new();
    for (attachment, chunks) in [(kept, &kept_chunks), (gone, &gone_chunks)] {
        let chunks = chunks.clone();
        let upload = Command::Upload { space, chunks };
        scene.world.command(ALICE, upload).unwrap();
        let post = Command::Post {
            space,
            channel: scene.general,
            thread: None,
            reply_to: None,
            body: "look".into(),
            attachments: vec![attachment],
        };
        posts.push(op(scene.world.command(ALICE, post).unwrap()));
    }
    let delete = Command::Delete {
        space,
        target: posts[1],
        reason: String::new(),
    };
    scene.world.command(ALICE, delete).unwrap();
    scene.world.disconnect(ALICE);
    let (_, waiting_chunks) = attach(&mut scene, 4);
    let chunks = waiting_chunks.clone();
    scene
        .world
        .command(ALICE, Command::Upload { space, chunks })
        .unwrap();

    scene.world.sleep(86_400_000);
    assert_eq!(here(&mut scene, &gone_chunks), 3, "all fits the budget");

    // Room for one file that nothing holds, and the one used last stays.
    let node = &mut scene.world.people[ALICE].node;
    let len = |id| node.chunks_mut().get(id).unwrap().unwrap().bytes().len() as u64;
    let budget = gone_chunks.iter().map(len).sum();
    node.set_chunk_budget(budget);
    scene.world.sleep(86_400_000);
    assert_eq!(here(&mut scene, &loose_chunks), 0);
    assert_eq!(here(&mut scene, &gone_chunks), 3);

    // A disk that runs low has no room for it at all.
    let bytes = BLOBS_BYTES_MIN - 1;
    scene.world.event(ALICE, Event::DiskFree { bytes });
    assert_eq!(here(&mut scene, &gone_chunks), 0);
    assert_eq!(here(&mut scene, &kept_chunks), 3);
    assert_eq!(
        here(&mut scene, &waiting_chunks),
        3,
        "no relay has them yet"
    );
}
