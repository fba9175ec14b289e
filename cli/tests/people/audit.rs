//! Audits from the command line: why things are as they are, and proofs of it.

use std::fs;

use serde_json::Value;

use crate::world::{Relay, World, text};

#[test]
fn audits_say_what_became_of_every_op_and_why() {
    let world = World::new();
    let relay = Relay::start(&world);
    let alice = world.founder("Alice", &relay);
    let bob = world.person("Bob");
    let mut online = alice.shell();
    bob.ok(&["join", &text(&online.ask("invite create")[0]["link"])]);
    online.end();
    let first = text(&bob.ok(&["post", "first words"])[0]["op"]);
    // Bob does not see the ban: what he writes then is late.
    let ban = text(&alice.ok(&["ban", "Bob", "--reason", "for a while"])[0]["op"]);
    let late = text(&bob.ok(&["post", "late words", "--offline"])[0]["op"]);
    let file = world.path("bob.export");
    bob.ok(&["export", file.to_str().unwrap(), "--offline"]);
    alice.ok(&["import", file.to_str().unwrap(), "--offline"]);
    let hide = text(&alice.ok(&["delete", &first, "--reason", "rude"])[0]["op"]);

    let log = alice.ok(&["audit", "log", "--limit", "100", "--offline"]);
    let of = |op: &str| -> &Value { log.iter().find(|row| row["op"] == op).expect(op) };
    assert_eq!(of(&first)["state"], "hidden");
    assert_eq!(of(&first)["deciding"], serde_json::json!([hide]));
    assert_eq!(of(&late)["state"], "late");
    assert_eq!(of(&ban)["state"], "effective");
    let explained = alice.ok(&["audit", "explain", &late[..8], "--offline"]);
    assert_eq!(explained[0]["state"], "late");
    assert_eq!(explained[0]["parties"][0]["op"], *ban);
    alice.fails(3, &["audit", "explain", "ffff", "--offline"]);
    alice.fails(3, &["audit", "explain", &"f".repeat(64), "--offline"]);

    let dump = alice.ok(&["audit", "dump", "--offline"]);
    let ops: Vec<&Value> = dump.iter().filter(|row| row["type"] == "dump-op").collect();
    let end = dump.last().unwrap();
    assert_eq!(end["type"], "dump-end");
    assert_eq!(end["ops"], ops.len());
    assert_eq!(end["state_hash"], alice.state());
    let time = |row: &Value| text(&row["hlc"]).parse::<u64>().unwrap();
    assert!(ops.is_sorted_by_key(|row| (time(row), text(&row["op"]))));
    let refused = ops.iter().filter(|row| row["accepted"] != true);
    assert_eq!(refused.count(), 0);

    // As it stood when Bob wrote first, and when he wrote last.
    let replay = |until: &str| alice.ok(&["audit", "replay", "--until", until, "--offline"]);
    let body = |rows: &[Value], id: &str| {
        let post = rows
            .iter()
            .find(|row| row["type"] == "post" && row["id"] == id);
        post.map(|post| text(&post["body"]))
    };
    let then = replay(&first);
    assert_eq!(body(&then, &first).as_deref(), Some("first words"));
    assert_eq!(body(&then, &late), None);
    let bobs = then
        .iter()
        .find(|row| row["type"] == "member" && row["name"] == "Bob");
    assert_eq!(bobs.unwrap()["banned"], Value::Null);
    let wall = of(&ban)["wall_ms"].as_u64().unwrap();
    let at_ban = replay(&format!("ms:{wall}"));
    let bobs = at_ban
        .iter()
        .find(|row| row["type"] == "member" && row["name"] == "Bob");
    assert_eq!(bobs.unwrap()["banned"], *ban);
    assert_eq!(
        replay("9999-12-31").last().unwrap()["state_hash"],
        alice.state()
    );
    for (until, code) in [
        ("yesterday", 2),
        ("2026-02-31", 2),
        ("1999-01-01", 3),
        ("ffff", 3),
    ] {
        alice.fails(code, &["audit", "replay", "--until", until, "--offline"]);
    }
}

#[test]
fn a_proof_convinces_a_stranger_and_every_change_of_it_is_noticed() {
    let world = World::new();
    let alice = world.person("Alice");
    alice.ok(&["space", "create", "Club", "--offline"]);
    let op = text(&alice.ok(&["post", "said and meant", "--offline"])[0]["op"]);
    let file = world.path("proof");
    let path = file.to_str().unwrap();
    alice.ok(&["audit", "prove", &op[..10], "--to", path, "--offline"]);
    alice.fails(8, &["audit", "prove", &op, "--to", path, "--offline"]);
    // Somebody without a profile.
    let eve = world.nobody("Eve");
    let proof = eve.ok(&["audit", "verify", path]);
    assert_eq!(proof[0]["op"], *op);
    assert_eq!(proof[0]["body"], "said and meant");
    assert_eq!(proof[0]["holds"], true);
    let whole = fs::read(&file).unwrap();
    for at in (0..whole.len()).step_by(whole.len() / 16) {
        let mut changed = whole.clone();
        changed[at] ^= 1;
        fs::write(&file, changed).unwrap();
        let message = eve.fails(7, &["audit", "verify", path]);
        assert!(message.contains("does not hold"), "byte {at}: {message}");
    }
    assert!(!eve.profile.exists());
}
