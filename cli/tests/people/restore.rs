//! Coming back on a new disk with a backup and 24 words.

use std::fs;

use crate::world::{Relay, World, text};

#[test]
fn a_restored_device_is_let_in_and_reads_what_was_written_meanwhile() {
    let world = World::new();
    let relay = Relay::start(&world);
    let (alice, bob) = world.founder_and_member(&relay);
    bob.ok(&["post", "before the loss"]);
    let backup = world.path("bob.backup");
    let backup = backup.to_str().unwrap();
    bob.ok(&["backup", backup]);
    bob.fails(8, &["backup", backup]);

    // The words of somebody else open nothing, and leave nothing behind.
    let phrase = world.path("phrase");
    let phrase_file = phrase.to_str().unwrap();
    let back = world.nobody("Bob again");
    let restore = ["restore", backup, "--phrase-file", phrase_file];
    for (words, why) in [
        (&alice.phrase, "belongs to another recovery phrase"),
        (&"abandon ability".to_owned(), "not a recovery phrase"),
        (&"zebra ".repeat(30_000), "longer than"),
    ] {
        fs::write(&phrase, words).unwrap();
        let message = back.fails(7, &restore);
        assert!(message.contains(why), "{message}");
        assert!(!back.profile.exists());
    }
    fs::write(&phrase, &bob.phrase).unwrap();
    fs::remove_dir_all(&bob.profile).unwrap();
    back.ok(&restore);
    back.fails(6, &restore);

    // A process that ends at once must not have asked in vain.
    back.ok(&["relays", "list"]);
    back.shell().kill();
    let space = text(&back.ok(&["space", "list"])[0]["id"]);
    let synced = back.ok(&["sync", "--timeout", "1s"]);
    assert_eq!(synced[0]["waiting"], serde_json::json!([space]));
    let message = back.fails(4, &["post", "too early"]);
    assert!(message.contains("has not been let into Club"), "{message}");
    assert_eq!(back.texts("general"), ["before the loss"]);

    // A member's program that took the request and was killed is followed by one that answers it.
    let mut first = alice.shell();
    first.notice(|notice| notice["notice"] == "caught-up");
    first.kill();
    let mut online = alice.shell();
    online.ask("post --channel general \"while he was away\"");
    let synced = back.ok(&["sync", "--timeout", "50s"]);
    assert_eq!(
        synced[0]["let_in"],
        serde_json::json!([space]),
        "{synced:?}"
    );
    back.ok(&["sync"]);
    assert_eq!(
        back.texts("general"),
        ["before the loss", "while he was away"]
    );
    back.ok(&["post", "I am back"]);
    online.until("read general", |posts| {
        posts
            .iter()
            .any(|post| post["body"] == "I am back" && post["state"] == "normal")
    });
    online.end();
}

#[test]
fn a_restored_device_is_let_in_where_all_come_for_a_moment_only() {
    let world = World::new();
    let relay = Relay::start(&world);
    let (alice, bob) = world.founder_and_member(&relay);
    let (backup, phrase) = (world.path("bob.backup"), world.path("phrase"));
    bob.ok(&["backup", backup.to_str().unwrap()]);
    fs::write(&phrase, &bob.phrase).unwrap();
    fs::remove_dir_all(&bob.profile).unwrap();
    let (backup, phrase) = (backup.to_str().unwrap(), phrase.to_str().unwrap());
    let back = world.nobody("Bob again");
    back.ok(&["restore", backup, "--phrase-file", phrase]);
    back.ok(&["sync", "--timeout", "1s"]);
    alice.ok(&["sync", "--timeout", "60s"]);
    let synced = back.ok(&["sync", "--timeout", "60s"]);
    assert_eq!(synced[0]["let_in"].as_array().map(Vec::len), Some(1));
    back.ok(&["post", "I am back"]);
}
