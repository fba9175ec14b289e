//! Looking at everything that a device holds: what is found, what is mended, and what is told.

use mls::stored;
use node::view::{Care, Finding, Part};
use node::{Command, OpId, Secret};
use oplog::store::Store;
use oplog::{Kind, OpTable, SignedOp, SpaceNo};

use crate::mend::damage;
use crate::scene::{ALICE, BOB, JOHN, Scene, scene};

/// Examines every op that somebody holds.
fn ops(scene: &mut Scene, who: usize) -> Vec<(Part, Care, String)> {
    let space = scene.space;
    let node = &mut scene.world.people[who].node;
    let ids = node.op_ids(&space).unwrap();
    told(node.examine_ops(&space, &ids).unwrap())
}

fn keys(scene: &Scene, who: usize) -> Vec<(Part, Care, String)> {
    let node = &scene.world.people[who].node;
    told(node.examine_keys(&scene.space).unwrap())
}

fn told(findings: Vec<Finding>) -> Vec<(Part, Care, String)> {
    let told = |f: Finding| (f.part, f.care, f.what);
    findings.into_iter().map(told).collect()
}

fn commits(scene: &Scene, who: usize) -> Vec<OpId> {
    let dump = scene.world.people[who].node.dump(scene.space).unwrap();
    let commits = dump.ops.iter();
    let commits = commits.filter(|op| op.header.kind() == Some(Kind::Commit));
    commits
        .map(|op| SignedOp::decode(&op.bytes).unwrap().id())
        .collect()
}

#[test]
fn whole_devices_have_nothing_to_tell_whatever_happened_before() {
    let mut scene = scene();
    for n in 0..10 {
        scene.post(n % 3, &format!("post {n}"));
    }
    let last = scene.post(JOHN, "spam");
    let (space, target) = (scene.space, last);
    let delete = Command::Delete {
        space,
        target,
        reason: "spam".to_owned(),
    };
    scene.world.command(BOB, delete).unwrap();
    scene.update_keys(ALICE).unwrap();
    scene.world.pass(30_000);
    for who in [ALICE, BOB, JOHN] {
        assert_eq!(ops(&mut scene, who), [], "{who}");
        assert_eq!(keys(&scene, who), [], "{who}");
    }
}

#[test]
fn a_post_that_nobody_looked_at_is_found_damaged_and_comes_again() {
    let mut scene = scene();
    let post = scene.post(ALICE, "one");
    damage(&mut scene, BOB, post);
    assert_eq!(ops(&mut scene, BOB), []);
    let lost = |scene: &Scene| scene.world.people[BOB].node.status().unwrap().spaces[0].lost;
    assert_eq!(lost(&scene), 1);
    scene.world.pass(60_000);
    assert_eq!(lost(&scene), 0);
    assert_eq!(scene.texts(BOB), ["one"]);
}

#[test]
fn what_the_control_plane_lost_on_the_disk_is_written_again_from_memory() {
    let mut scene = scene();
    scene.update_keys(ALICE).unwrap();
    scene.world.pass(30_000);
    let commit = *commits(&scene, BOB).last().unwrap();
    scene.world.disconnect(BOB);
    damage(&mut scene, BOB, commit);
    let what = "damaged records, written again from memory: 1".to_owned();
    assert_eq!(ops(&mut scene, BOB), [(Part::Ops, Care::Mended, what)]);
    assert_eq!(ops(&mut scene, BOB), []);
    // Alone, and with nothing but the disk.
    scene.world.restart(BOB);
    assert_eq!(*commits(&scene, BOB).last().unwrap(), commit);
    assert_eq!(ops(&mut scene, BOB), []);
}

/// Whoever has the keys of a profile may write into it; not in the name of others.
#[test]
fn an_op_without_its_authors_signature_is_found_however_well_it_is_filed() {
    let mut scene = scene();
    let post = scene.post(ALICE, "one");
    let space = scene.space;
    let store = scene.world.people[BOB].node.store_mut();
    let is_it = |record: &&Vec<u8>| SignedOp::decode(record).is_ok_and(|op| op.id() == post);
    let record = store.records(&space).iter().find(is_it).unwrap();
    let mut forged = record.clone();
    let signature = *SignedOp::decode(&forged).unwrap().signature();
    let at = forged.windows(64).position(|w| w == signature.as_bytes());
    forged[at.unwrap()] ^= 1;
    let forged = SignedOp::decode(&forged).unwrap();
    assert_eq!(forged.id(), post);
    let place = store.append(&space, &forged.encode()).unwrap();
    OpTable::new(space, SpaceNo(1)).index(store, &forged, place);
    store.commit().unwrap();
    let [
        (Part::Ops, Care::Mended, rows),
        (Part::Ops, Care::Yours, what),
    ] = &ops(&mut scene, BOB)[..]
    else {
        panic!("it was not found");
    };
    assert!(rows.starts_with("rows that the index lacked"), "{rows}");
    assert!(what.contains(&post.to_string()), "{what}");
}

#[test]
fn keys_that_are_gone_or_wrong_are_told() {
    let mut scene = scene();
    let space = scene.space;
    let epoch = scene.world.people[JOHN].node.spaces()[0].epoch;
    let store = scene.world.people[JOHN].node.store_mut();
    stored::erase_state(store, &space, &epoch);
    store.commit().unwrap();
    let [(Part::Keys, Care::Awaited, what)] = &keys(&scene, JOHN)[..] else {
        panic!("the state is not missed");
    };
    assert!(what.contains("damaged or gone"), "{what}");
    let store = scene.world.people[JOHN].node.store_mut();
    store.keep_secret(
        stored::root_label(&space, &epoch),
        &Secret::from_bytes([7; 32]),
    );
    store.commit().unwrap();
    let [(Part::Keys, Care::Yours, what), _] = &keys(&scene, JOHN)[..] else {
        panic!("the root is not compared");
    };
    assert!(what.contains(&epoch.short()), "{what}");
}
