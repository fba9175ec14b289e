//! Exports carried from one profile to another, and files that are none.

use std::fs;

use crate::world::{Relay, World, text};

#[test]
fn an_export_brings_what_somebody_offline_has_missed() {
    let world = World::new();
    let relay = Relay::start(&world);
    let (alice, bob) = world.founder_and_member(&relay);
    alice.ok(&["post", "carried by hand", "--offline"]);
    alice.ok(&["thread", "new", "A stick", "with a file on it", "--offline"]);
    let file = world.path("club.export");
    let file = file.to_str().unwrap();
    alice.ok(&["export", file, "--offline"]);

    // Bit by bit damaged, cut, continued: refused whole.
    let whole = fs::read(file).unwrap();
    let before = bob.state();
    let damaged = world.path("damaged");
    for (what, bytes) in [
        ("cut", whole[..whole.len() - 1].to_vec()),
        ("cut short", whole[..20].to_vec()),
        ("continued", [&whole[..], b"x"].concat()),
        ("changed at the end", changed(&whole, whole.len() - 3)),
        ("changed in the middle", changed(&whole, whole.len() / 2)),
        ("changed at the begin", changed(&whole, 3)),
    ] {
        fs::write(&damaged, bytes).unwrap();
        bob.fails(7, &["import", damaged.to_str().unwrap(), "--offline"]);
        assert_eq!(bob.state(), before, "{what}");
    }

    let imported = bob.ok(&["import", file, "--offline"]);
    assert_eq!(imported[0]["new"], 2, "{imported:?}");
    assert_eq!(imported[0]["refused"], serde_json::json!([]));
    assert_eq!(bob.texts("general"), ["carried by hand"]);
    let thread = bob.ok(&["read", "--thread", "A stick", "--offline"]);
    assert_eq!(thread[0]["body"], "with a file on it");
    assert_eq!(bob.state(), alice.state());
    let again = bob.ok(&["import", file, "--offline"]);
    assert_eq!(again[0]["new"], 0);

    // Somebody who was never a member can look into it, and no more.
    let eve = world.person("Eve");
    eve.ok(&["import", file, "--offline"]);
    assert_eq!(eve.ok(&["space", "list"])[0]["standing"], "outside");
    assert_eq!(eve.texts("general"), ["carried by hand"]);
    let message = eve.fails(4, &["post", "hello", "--offline"]);
    assert!(message.contains("not a member"), "{message}");
}

#[test]
fn files_of_the_wrong_kind_are_refused_everywhere() {
    let world = World::new();
    let alice = world.person("Alice");
    alice.ok(&["space", "create", "Club", "--offline"]);
    let posted = alice.ok(&["post", "hello", "--offline"]);
    let op = text(&posted[0]["op"]);
    let path = |name: &str| world.path(name).to_str().unwrap().to_owned();
    alice.ok(&["export", &path("export"), "--offline"]);
    alice.ok(&["backup", &path("backup"), "--offline"]);
    alice.ok(&["audit", "prove", &op, "--to", &path("proof"), "--offline"]);
    fs::write(path("empty"), b"").unwrap();
    fs::write(path("phrase"), &alice.phrase).unwrap();
    // As long as a file may seem: 100 MB without a block on the disk.
    let zeros = fs::File::create(path("zeros")).unwrap();
    zeros.set_len(100_000_000).unwrap();
    fs::create_dir(path("folder")).unwrap();
    let before = alice.state();

    let kinds = ["export", "backup", "proof", "empty", "zeros", "folder"];
    let mut names: Vec<String> = kinds.iter().map(|name| path(name)).collect();
    #[cfg(unix)]
    {
        let made = std::process::Command::new("mkfifo")
            .arg(path("pipe"))
            .status();
        assert!(made.unwrap().success());
        names.extend([path("pipe"), "/dev/zero".to_owned(), "/dev/null".to_owned()]);
    }
    let nobody = world.nobody("Nobody");
    for name in &names {
        let name = name.as_str();
        if !name.ends_with("export") {
            alice.fails(7, &["import", name, "--offline"]);
        }
        if !name.ends_with("proof") {
            alice.fails(7, &["audit", "verify", name]);
        }
        if !name.ends_with("backup") {
            nobody.fails(7, &["restore", name, "--phrase-file", &path("phrase")]);
            assert!(!nobody.profile.exists(), "{name}");
        }
    }
    for words in [&["import"][..], &["audit", "verify"], &["restore"]] {
        alice.fails(7, &[words, &[&path("nowhere")]].concat());
    }
    assert_eq!(alice.state(), before);
}

fn changed(bytes: &[u8], at: usize) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    bytes[at] ^= 0x10;
    bytes
}
