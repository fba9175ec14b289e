//! A disk that fills: what stops first, what last, and that all goes on once there is room.

use crate::scene::{ALICE, BOB, JOHN, scene};
use node::room::{BLOBS_BYTES_MIN, OTHERS_BYTES_MIN, OWN_BYTES_MIN, Room};
use node::{Attachment, BlobId, Command, CommandError, Digest, Event};

#[test]
fn thresholds_are_those_of_the_document() {
    for (free, room) in [
        (u64::MAX, Room::Plenty),
        (BLOBS_BYTES_MIN, Room::Plenty),
        (BLOBS_BYTES_MIN - 1, Room::Low),
        (OTHERS_BYTES_MIN, Room::Low),
        (OTHERS_BYTES_MIN - 1, Room::Scarce),
        (OWN_BYTES_MIN, Room::Scarce),
        (OWN_BYTES_MIN - 1, Room::Full),
        (0, Room::Full),
    ] {
        assert_eq!(Room::of(free), room, "{free}");
    }
}

#[test]
fn a_disk_that_runs_low_stops_blobs_then_others_then_writing_and_resumes() {
    let mut scene = scene();
    let disk = |scene: &mut crate::scene::Scene, bytes| {
        scene.world.event(JOHN, Event::DiskFree { bytes });
        scene.world.settle();
    };
    disk(&mut scene, BLOBS_BYTES_MIN - 1);
    let attachment = Attachment {
        manifest: BlobId::of_sealed(b"somewhere"),
        key: Digest::ZERO,
        salt: [0; 16].into(),
        size: 1,
        name: "picture".into(),
        media_type: "image/png".into(),
    };
    let fetch = Command::FetchBlob {
        space: scene.space,
        attachment,
    };
    let refused = scene.world.command(JOHN, fetch).unwrap_err();
    assert!(matches!(refused, CommandError::NoRoom { .. }), "{refused}");
    scene.post(ALICE, "ops still come");
    assert_eq!(scene.texts(JOHN), ["ops still come"]);

    disk(&mut scene, OTHERS_BYTES_MIN - 1);
    scene.post(ALICE, "waits");
    scene.post(BOB, "waits too");
    scene.post(JOHN, "own posts go on");
    assert_eq!(scene.texts(JOHN), ["ops still come", "own posts go on"]);
    let status = scene.world.people[JOHN].node.status().unwrap();
    let said = |words: &str| status.recovered.iter().any(|line| line.contains(words));
    assert!(said("nearly full"), "{:?}", status.recovered);

    disk(&mut scene, 0);
    let post = Command::Post {
        space: scene.space,
        channel: scene.general,
        thread: None,
        reply_to: None,
        body: "no".into(),
        attachments: vec![],
    };
    let refused = scene.world.command(JOHN, post).unwrap_err();
    assert!(
        refused.to_string().contains("read, not written"),
        "{refused}"
    );
    // Days go by; tags change.
    scene.world.sleep(2 * 86_400_000);
    scene.post(ALICE, "days later");

    disk(&mut scene, u64::MAX);
    scene.world.pass(60_000);
    let mut texts = scene.texts(JOHN);
    texts.sort();
    let all = [
        "days later",
        "ops still come",
        "own posts go on",
        "waits",
        "waits too",
    ];
    assert_eq!(texts, all);
    let status = scene.world.people[JOHN].node.status().unwrap();
    assert_eq!(status.recovered, Vec::<String>::new());
    scene.assert_converged(&[ALICE, BOB, JOHN]);
}
