//! A person's devices: one that was lost or stolen is revoked from another.

use node::view::Membership;
use node::{Command, CommandError, DeviceId, OpId, Weight};

use crate::scene::{ALICE, BOB, JOHN, Scene, op};
use crate::world::World;

/// John's second device.
const LAPTOP: usize = 3;

/// Alice, Bob and John, who has come back on a laptop and still has his phone.
fn two_devices() -> Scene {
    let world = World::new(&["Alice", "Bob", "John", "John's laptop"]);
    let mut scene = Scene::found(world, &[BOB, JOHN]);
    let phrase = scene.world.phrase(JOHN);
    let backup = scene.world.people[JOHN].node.backup().unwrap();
    scene.world.restore(LAPTOP, &phrase, &backup);
    scene.world.connect(LAPTOP);
    scene.world.pass(60_000);
    scene
}

fn device(scene: &Scene, who: usize) -> DeviceId {
    scene.world.people[who].node.me().device
}

fn revoke(
    scene: &mut Scene,
    by: usize,
    of: usize,
    compromised: bool,
) -> Result<OpId, CommandError> {
    let revoke = Command::RevokeDevice {
        space: scene.space,
        device: device(scene, of),
        compromised,
        reason: "left on the bus".into(),
    };
    scene.world.command(by, revoke).map(op)
}

/// Of each of John's devices, as one of them tells: whether the group holds it, and what ended it.
fn told(scene: &Scene, by: usize) -> Vec<(DeviceId, bool, Option<OpId>)> {
    let devices = scene.world.people[by].node.devices(scene.space).unwrap();
    let told = devices.iter().map(|d| (d.device, d.in_group, d.ended));
    told.collect()
}

#[test]
fn a_stolen_device_is_ended_from_another_and_what_it_wrote_unseen_never_shows() {
    let mut scene = two_devices();
    let (phone, laptop) = (device(&scene, JOHN), device(&scene, LAPTOP));
    let expected = [(phone, true, None), (laptop, true, None)];
    assert_eq!(told(&scene, LAPTOP), expected);
    scene.post(JOHN, "from the phone");
    scene.world.pass(5_000);
    scene.world.disconnect(JOHN);
    scene.post(JOHN, "by the thief");

    let end = revoke(&mut scene, LAPTOP, JOHN, true).unwrap();
    scene.world.pass(30_000);
    let expected = [(phone, false, Some(end)), (laptop, true, None)];
    assert_eq!(told(&scene, LAPTOP), expected);
    scene.post(ALICE, "after");

    scene.world.connect(JOHN);
    scene.world.pass(120_000);
    for who in [ALICE, BOB, LAPTOP] {
        assert_eq!(scene.texts(who), ["from the phone", "after"], "{who}");
    }
    // The person is a member as before, and the phone reads nothing that was written since.
    let summary = |who: usize| {
        let spaces = scene.world.people[who].node.spaces();
        spaces.into_iter().find(|s| s.id == scene.space).unwrap()
    };
    assert_eq!(
        summary(LAPTOP).membership,
        Membership::Member(Weight::MEMBER)
    );
    assert_eq!(summary(JOHN).membership, Membership::Removed(end));
    assert!(!scene.texts(JOHN).contains(&"after".to_owned()));
    scene.assert_converged(&[ALICE, BOB, LAPTOP]);

    // It writes no more, and does not come back.
    let post = Command::Post {
        space: scene.space,
        channel: scene.general,
        thread: None,
        reply_to: None,
        body: "again".into(),
        attachments: vec![],
    };
    assert!(scene.world.command(JOHN, post).is_err());
    scene.world.pass(8 * 3_600_000);
    assert_eq!(
        told(&scene, LAPTOP),
        [(phone, false, Some(end)), (laptop, true, None)]
    );
}

/// What others had by then, and the revoker not, stays of a device that was only lost.
#[test]
fn what_the_revoker_had_not_seen_counts_of_a_lost_device_and_not_of_a_stolen_one() {
    // Of what is refused nothing is shown but its place.
    for (compromised, expected) in [(false, ["on the way"]), (true, [""])] {
        let mut scene = two_devices();
        scene.world.disconnect(LAPTOP);
        scene.post(JOHN, "on the way");
        scene.world.pass(5_000);
        assert_eq!(scene.texts(ALICE), ["on the way"]);
        revoke(&mut scene, LAPTOP, JOHN, compromised).unwrap();
        scene.world.connect(LAPTOP);
        scene.world.pass(60_000);
        for who in [ALICE, BOB, LAPTOP] {
            assert_eq!(scene.texts(who), expected, "{who}");
        }
        scene.assert_converged(&[ALICE, BOB, LAPTOP]);
    }
}

#[test]
fn only_another_device_of_ones_own_is_revoked_and_once() {
    let mut scene = two_devices();
    let itself = revoke(&mut scene, LAPTOP, LAPTOP, false).unwrap_err();
    assert!(matches!(itself, CommandError::Invalid { .. }), "{itself}");
    let anothers = revoke(&mut scene, ALICE, JOHN, false).unwrap_err();
    assert!(
        matches!(anothers, CommandError::NotAllowed { .. }),
        "{anothers}"
    );
    revoke(&mut scene, LAPTOP, JOHN, false).unwrap();
    let again = revoke(&mut scene, LAPTOP, JOHN, false).unwrap_err();
    assert!(matches!(again, CommandError::NotAllowed { .. }), "{again}");
}
