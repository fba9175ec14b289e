//! Relays that are down, killed and started again: work goes on, and what was written is sent later.

use serde_json::Value;

use crate::world::{Person, Relay, World, text};

/// Returns how far an own op got.
fn delivery(rows: &[Value], op: &str) -> Option<String> {
    let row = rows
        .iter()
        .find(|row| row["type"] == "own-op" && row["op"] == op);
    row.map(|row| text(&row["delivery"]))
}

fn relay_of(person: &Person, words: &[&str]) -> Value {
    let rows = person.ok(words);
    rows.into_iter().find(|row| row["type"] == "relay").unwrap()
}

#[test]
fn health_is_told_after_asking_the_relays() {
    let world = World::new();
    let mut relay = Relay::start(&world);
    let alice = world.founder("Alice", &relay);
    for words in [&["status"][..], &["relays", "list"]] {
        let row = relay_of(&alice, words);
        assert_eq!(
            (&row["connected"], &row["error"]),
            (&Value::Bool(true), &Value::Null)
        );
        let row = relay_of(&alice, &[words, &["--offline"]].concat());
        assert_eq!(row["connected"], false);
    }
    relay.kill();
    for words in [&["status"][..], &["relays", "list"]] {
        let row = relay_of(&alice, words);
        assert_eq!(row["connected"], false);
        assert!(
            text(&row["error"]).starts_with("Connection refused"),
            "{row}"
        );
    }
    let none = "/ip4/127.0.0.1/tcp/1/p2p/12D3KooWEdnTRJ8B3X1iqEHu2et2xuu6hQfZEd5wekQwWoAiMkWq";
    let said = alice.ok(&["relays", "add", none]);
    assert!(
        text(&said[0]["said"]).contains("does not answer now"),
        "{said:?}"
    );
    alice.ok(&["relays", "remove", none]);
    alice.fails(3, &["relays", "remove", none]);
    for wrong in ["", "nonsense", "/ip4/127.0.0.1/tcp/1"] {
        alice.fails(2, &["relays", "add", wrong]);
        alice.fails(2, &["sync", "--relay", wrong]);
    }
}

#[test]
fn what_is_written_without_a_relay_is_saved_and_sent_later() {
    let world = World::new();
    let mut relay = Relay::start(&world);
    let alice = world.founder("Alice", &relay);
    let bob = world.person("Bob");
    let mut online = alice.shell();
    bob.ok(&["join", &text(&online.ask("invite create")[0]["link"])]);
    online.end();

    relay.kill();
    let posted = alice.ok(&["post", "into the dark"]);
    assert_eq!(posted[0]["sent"], "saved");
    let op = text(&posted[0]["op"]);
    assert!(
        alice
            .fails(5, &["sync"])
            .starts_with("no relay is reachable")
    );
    assert_eq!(
        delivery(&alice.ok(&["status"]), &op).as_deref(),
        Some("saved")
    );
    // Reading goes on with what is here, and says so.
    let read = alice.run(&["read", "general"]);
    assert_eq!(read.code, 0);
    assert!(
        read.stderr.contains("no relay is reachable"),
        "{}",
        read.stderr
    );

    relay.again();
    assert_eq!(alice.ok(&["sync"])[0]["sent"], 1);
    assert_eq!(
        delivery(&alice.ok(&["status"]), &op).as_deref(),
        Some("on-relay")
    );
    let mut reader = bob.shell();
    reader.until("read general", |posts| {
        posts.iter().any(|post| post["id"] == *op)
    });
    let mut writer = alice.shell();
    writer.until("status", |rows| {
        delivery(rows, &op).as_deref() == Some("seen")
    });
    reader.end();
    writer.end();
}

#[test]
fn a_relay_killed_under_open_programs_is_found_again() {
    let world = World::new();
    let mut relay = Relay::start(&world);
    let alice = world.founder("Alice", &relay);
    let bob = world.person("Bob");
    let mut writer = alice.shell();
    bob.ok(&["join", &text(&writer.ask("invite create")[0]["link"])]);
    let mut reader = bob.shell();
    let connected = |yes: bool| move |n: &Value| n["notice"] == "relay" && n["connected"] == yes;
    reader.notice(connected(true));

    relay.kill();
    writer.notice(connected(false));
    let posted = writer.ask("post --channel general \"while the relay was away\"");
    assert_eq!(posted[0]["sent"], "saved");
    let op = text(&posted[0]["op"]);
    relay.again();
    reader.until("read general", |posts| {
        posts.iter().any(|post| post["id"] == *op)
    });
    writer.until("status", |rows| {
        delivery(rows, &op).as_deref() == Some("seen")
    });
    reader.end();
    writer.end();
}
