//! Profiles that are missing, in use, locked, damaged, or something else altogether.

use std::fs;
use std::process::Stdio;

use crate::world::{Person, World, decent, text};

/// Runs a command with a passphrase and returns its exit code and last words.
fn with_passphrase(person: &Person, passphrase: &str, words: &[&str]) -> (i32, String) {
    let output = decent(words)
        .arg("--profile")
        .arg(&person.profile)
        .env("DECENT_PASSPHRASE", passphrase)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    (output.status.code().unwrap(), stderr)
}

#[test]
fn a_profile_opens_for_one_program_with_its_own_key() {
    let world = World::new();
    let alice = world.nobody("Alice");
    let (code, _) = with_passphrase(&alice, "right", &["init", "--name", "Alice", "--no-check"]);
    assert_eq!(code, 0);
    for (passphrase, code, why) in [
        ("right", 0, ""),
        ("wrong", 6, "wrong passphrase"),
        ("", 6, "the passphrase is empty"),
    ] {
        let (ended, said) = with_passphrase(&alice, passphrase, &["whoami"]);
        assert_eq!(ended, code, "{said}");
        assert!(said.contains(why), "{said}");
    }
    let message = alice.fails(6, &["whoami"]);
    assert!(message.contains("has a passphrase"), "{message}");

    let bob = world.person("Bob");
    let mut open = bob.shell();
    open.ask("whoami");
    let message = bob.fails(6, &["whoami"]);
    assert!(message.contains("in use"), "{message}");
    open.end();
    bob.ok(&["whoami"]);
    let message = bob.fails(6, &["init", "--name", "Bob"]);
    assert!(message.contains("already"), "{message}");
    let message = world.nobody("Carl").fails(6, &["whoami"]);
    assert!(message.contains("decent init"), "{message}");
}

#[test]
fn a_folder_of_something_else_is_left_alone() {
    let world = World::new();
    let alice = world.nobody("Alice");
    fs::create_dir(&alice.profile).unwrap();
    fs::write(alice.profile.join("diary.txt"), b"mine").unwrap();
    let message = alice.fails(6, &["init", "--name", "Alice"]);
    assert!(message.contains("not empty"), "{message}");
    let left = fs::read_dir(&alice.profile).unwrap().count();
    assert_eq!(left, 1);
    let bob = world.nobody("Bob");
    fs::write(&bob.profile, b"a file").unwrap();
    bob.fails(8, &["init", "--name", "Bob"]);
    // A relay does not settle in a profile.
    let carl = world.person("Carl");
    let data = carl.profile.to_str().unwrap();
    let relay = decent(&["relay", "--data", data, "--listen", "/ip4/127.0.0.1/tcp/0"]);
    let output = { relay }.output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    carl.ok(&["whoami"]);
}

/// Returns where the records of a segment begin, and how long they are (`docs/storage.md`).
fn records(segment: &[u8]) -> Vec<(usize, usize)> {
    let (mut at, mut found) = (8192, Vec::new());
    while let Some(len) = segment.get(at..at + 4) {
        let len = u32::from_le_bytes(len.try_into().unwrap());
        let len = usize::try_from(len).unwrap() + 48;
        found.push((at, len));
        at += len;
    }
    found
}

#[test]
fn a_damaged_log_costs_what_was_hit_and_says_so() {
    let world = World::new();
    let alice = world.person("Alice");
    alice.ok(&["space", "create", "Club", "--offline"]);
    for body in ["first", "middle", "last"] {
        alice.ok(&["post", body, "--offline"]);
    }
    let named = |words: &str| {
        let rows = alice.ok(&["status", "--offline"]);
        let mended = rows.iter().filter(|row| row["type"] == "mended");
        let said: Vec<String> = mended.map(|row| text(&row["what"])).collect();
        assert!(said.iter().any(|what| what.contains(words)), "{said:?}");
    };
    let log = fs::read_dir(alice.profile.join("log")).unwrap().next();
    let segment = log.unwrap().unwrap().path().join("00000000.seg");
    let whole = fs::read(&segment).unwrap();
    let records = records(&whole);
    let (at, len) = records[records.len() - 2];

    let mut bytes = whole.clone();
    bytes[at + len - 1] ^= 1;
    fs::write(&segment, bytes).unwrap();
    for _ in 0..2 {
        named("ops of Club that are damaged on the disk are left out (1)");
        assert_eq!(alice.texts("general"), ["first", "last"]);
    }
    let file = |name: &str| world.path(name).display().to_string();
    alice.ok(&["backup", &file("alice.backup"), "--offline"]);
    alice.ok(&["export", &file("club.bundle"), "--offline"]);
    assert!(!alice.ok(&["audit", "log", "--offline"]).is_empty());
    alice.ok(&["post", "more", "--offline"]);
    assert_eq!(alice.texts("general"), ["first", "last", "more"]);

    // Cut before that record.
    let bytes = fs::read(&segment).unwrap();
    fs::write(&segment, &bytes[..at]).unwrap();
    named("part of the log is gone");
    assert_eq!(alice.texts("general"), ["first"]);
    fs::remove_file(&segment).unwrap();
    named("part of the log is gone");
    assert!(alice.texts("general").is_empty());
}

#[test]
fn damage_is_mended_or_named() {
    let world = World::new();
    let alice = world.person("Alice");
    alice.ok(&["space", "create", "Club", "--offline"]);
    alice.ok(&["post", "hello", "--offline"]);
    let state = alice.state();
    let status = |words: &str| {
        let rows = alice.ok(&["status", "--offline"]);
        let mended = rows.iter().filter(|row| row["type"] == "mended");
        let said: Vec<String> = mended.map(|row| text(&row["what"])).collect();
        assert!(said.iter().any(|what| what.contains(words)), "{said:?}");
    };
    // The index can be made again from the log.
    fs::remove_dir_all(alice.profile.join("index")).unwrap();
    status("the index was damaged and made again");
    assert_eq!(alice.texts("general"), ["hello"]);
    assert_eq!(alice.state(), state);
    fs::remove_file(alice.profile.join("index/version")).unwrap();
    assert_eq!(alice.texts("general"), ["hello"]);
    assert_eq!(alice.state(), state);
    // A torn end of the log is cut off: nobody was told of it.
    let log = fs::read_dir(alice.profile.join("log")).unwrap().next();
    let segment = log.unwrap().unwrap().path().join("00000000.seg");
    let mut bytes = fs::read(&segment).unwrap();
    bytes.extend([0x55; 40]);
    fs::write(&segment, bytes).unwrap();
    status("unfinished");
    assert_eq!(alice.texts("general"), ["hello"]);
    assert_eq!(alice.state(), state);

    // Keys cannot be made again: what is lost is named, and nothing is written over the rest.
    let vault = fs::read(alice.profile.join("vault.bin")).unwrap();
    for (bytes, why) in [
        (Some(Vec::new()), "restore from a backup"),
        (None, "lost its vault"),
    ] {
        match bytes {
            Some(bytes) => fs::write(alice.profile.join("vault.bin"), bytes).unwrap(),
            None => fs::remove_file(alice.profile.join("vault.bin")).unwrap(),
        }
        for words in [&["status", "--offline"][..], &["post", "x", "--offline"]] {
            let message = alice.fails(6, words);
            assert!(message.contains(why), "{message}");
        }
        alice.fails(6, &["init", "--name", "Alice"]);
    }
    fs::write(alice.profile.join("vault.bin"), vault).unwrap();
    assert_eq!(alice.state(), state);
}
