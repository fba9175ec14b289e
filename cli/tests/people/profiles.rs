//! Profiles that are missing, in use, locked, damaged, or something else altogether.

use std::fs;
use std::path::Path;
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
fn a_plaintext_key_that_is_gone_or_changed_is_named() {
    let world = World::new();
    let alice = world.person("Alice");
    let (code, said) = with_passphrase(&alice, "any", &["whoami"]);
    assert_eq!(code, 6);
    assert!(said.contains("--insecure-plaintext-key opens it"), "{said}");
    let path = alice.profile.join("insecure-plaintext-key");
    let key = fs::read(&path).unwrap();
    let mut flipped = key.clone();
    flipped[7] ^= 1;
    fs::write(&path, flipped).unwrap();
    let message = alice.fails(6, &["whoami"]);
    assert!(message.contains("holds another key"), "{message}");
    fs::write(&path, b"short").unwrap();
    let message = alice.fails(6, &["whoami"]);
    assert!(message.contains("is damaged"), "{message}");
    fs::remove_file(&path).unwrap();
    let message = alice.fails(6, &["whoami"]);
    assert!(message.contains("is missing"), "{message}");
    let message = alice.fails(6, &["init", "--name", "Alice"]);
    assert!(message.contains("already"), "{message}");
    fs::write(&path, key).unwrap();
    alice.ok(&["whoami"]);
}

/// Every set of files that a killed `init` can leave: those that a whole profile has, made in
/// this order, up to some point.
#[test]
fn a_profile_whose_making_was_cut_short_is_made_again() {
    let world = World::new();
    let whole = world.person("Whole");
    let parts = [
        "lock",
        "insecure-plaintext-key",
        "vault.bin",
        "state",
        "index",
    ];
    for len in 0..=parts.len() {
        let alice = world.nobody(&format!("Alice{len}"));
        fs::create_dir(&alice.profile).unwrap();
        fs::write(alice.profile.join("unfinished"), b"").unwrap();
        for part in &parts[..len] {
            copy(&whole.profile.join(part), &alice.profile.join(part));
        }
        let message = alice.fails(6, &["whoami"]);
        assert!(message.contains("never finished"), "{len}: {message}");
        // Even under another key than before.
        let (code, said) = with_passphrase(&alice, "new", &["init", "--name", "Alice"]);
        assert_eq!(code, 0, "{len}: {said}");
        let (code, said) = with_passphrase(&alice, "new", &["whoami"]);
        assert_eq!(code, 0, "{len}: {said}");
        let (code, said) = with_passphrase(&alice, "new", &["init", "--name", "Alice"]);
        assert_eq!(code, 6, "{len}: {said}");
    }
    // Whoever makes one just now is not disturbed.
    let bob = world.nobody("Bob");
    fs::create_dir(&bob.profile).unwrap();
    fs::write(bob.profile.join("unfinished"), b"").unwrap();
    let lock = fs::File::create(bob.profile.join("lock")).unwrap();
    lock.lock().unwrap();
    for words in [&["init", "--name", "Bob"][..], &["whoami"]] {
        let message = bob.fails(6, words);
        assert!(message.contains("in use"), "{message}");
    }
    drop(lock);
    bob.ok(&["init", "--name", "Bob"]);
    bob.ok(&["whoami"]);
}

fn copy(from: &Path, to: &Path) {
    if !from.is_dir() {
        fs::copy(from, to).unwrap();
        return;
    }
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let name = entry.unwrap().file_name();
        copy(&from.join(&name), &to.join(&name));
    }
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

#[test]
fn a_log_that_was_cut_is_said_to_be() {
    let world = World::new();
    let alice = world.person("Alice");
    alice.ok(&["space", "create", "Club", "--offline"]);
    alice.ok(&["post", "first", "--offline"]);
    let log = fs::read_dir(alice.profile.join("log")).unwrap().next();
    let segment = log.unwrap().unwrap().path().join("00000000.seg");
    let until_here = fs::read(&segment).unwrap();
    alice.ok(&["post", "second", "--offline"]);
    let cut_is_named = || {
        let rows = alice.ok(&["status", "--offline"]);
        let mended = rows.iter().filter(|row| row["type"] == "mended");
        let said: Vec<String> = mended.map(|row| text(&row["what"])).collect();
        let cut = |what: &String| what.contains("part of the log is gone");
        assert!(said.iter().any(cut), "{said:?}");
    };

    fs::write(&segment, until_here).unwrap();
    cut_is_named();
    assert_eq!(alice.texts("general"), ["first"]);
    // What was cut off may have been the own newest op: nothing is written at its place.
    let refused = alice.fails(6, &["post", "third", "--offline"]);
    assert!(refused.contains("damaged"), "{refused}");
    fs::remove_file(&segment).unwrap();
    cut_is_named();
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
