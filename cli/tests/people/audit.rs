//! Audits from the command line: why things are as they are, and proofs of it.

use std::fs;

use serde_json::Value;

use crate::world::{Relay, World, text};

#[test]
fn audits_say_what_became_of_every_op_and_why() {
    let world = World::new();
    let relay = Relay::start(&world);
    let (alice, bob) = world.founder_and_member(&relay);
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

/// Computes a dump again with the reference model, which shares no code with the program.
fn judged(dump: &[Value]) -> sim::model::Summary {
    let lines: Vec<String> = dump.iter().map(Value::to_string).collect();
    sim::model::check(lines.iter().map(String::as_str)).unwrap_or_else(|differences| {
        let told: Vec<String> = differences.iter().map(ToString::to_string).collect();
        panic!("{}", told.join("\n"))
    })
}

#[test]
fn the_reference_model_agrees_with_the_dump_of_a_real_space() {
    let world = World::new();
    let relay = Relay::start(&world);
    let alice = world.founder("Alice", &relay);
    let people = ["Bob", "Carol", "John"].map(|name| world.person(name));
    let mut online = alice.shell();
    for person in &people {
        person.ok(&["join", &text(&online.ask("invite create")[0]["link"])]);
    }
    let [bob, carol, john] = people;
    online.ask("role Bob moderator");
    bob.ok(&["post", "hello all"]);
    let rude = text(&john.ok(&["post", "rude words"])[0]["op"]);
    bob.ok(&["mute", "Carol", "--for", "1h"]);
    bob.ok(&["delete", &rude, "--reason", "rude"]);
    online.ask("kick Carol");
    online.ask("ban John --late reject");
    // She has not heard of it.
    carol.ok(&["post", "late words"]);
    // John knows of the ban, and writes with a program that does not care.
    let mut rogue = john.shell();
    rogue.until("status", |rows| {
        rows.iter().any(|row| row["standing"] == "removed")
    });
    let forged = text(&rogue.ask("rogue-post --channel general cheat")[0]["op"]);
    online.notice(|notice| notice["notice"] == "refused" && notice["op"] == *forged);
    online.end();
    rogue.end();

    let dump = alice.ok(&["audit", "dump"]);
    let refused: Vec<_> = dump
        .iter()
        .filter(|row| row["type"] == "dump-refused")
        .collect();
    assert_eq!(refused.len(), 1, "{refused:?}");
    assert_eq!(
        (&refused[0]["op"], &refused[0]["rule"]),
        (&forged.as_str().into(), &"R4".into())
    );
    assert_eq!(refused[0]["payload"]["body"], "cheat");
    let summary = judged(&dump);
    assert_eq!((summary.refused, summary.members), (1, 4));
    // A rule that did not refuse it is found out.
    let mut altered = dump.clone();
    let row = altered.iter_mut().find(|row| row["type"] == "dump-refused");
    row.unwrap()["rule"] = "R9".into();
    let lines: Vec<String> = altered.iter().map(Value::to_string).collect();
    assert!(sim::model::check(lines.iter().map(String::as_str)).is_err());
    // No number of a payload is beyond what all readers of JSON keep.
    fn numbers(value: &Value, largest: &mut u64) {
        match value {
            Value::Number(n) => *largest = (*largest).max(n.as_u64().unwrap()),
            Value::Array(items) => items.iter().for_each(|item| numbers(item, largest)),
            Value::Object(map) => map.values().for_each(|item| numbers(item, largest)),
            Value::Null | Value::Bool(_) | Value::String(_) => {}
        }
    }
    let mut largest = 0;
    dump.iter().for_each(|row| numbers(row, &mut largest));
    assert!(largest < 1 << 53, "{largest}");
    // The beginning of its id finds a refused op.
    let explained = alice.ok(&["audit", "explain", &forged[..8], "--offline"]);
    assert_eq!(explained[0]["state"], "not-accepted");
    assert_eq!(explained[0]["rule"], "R4");
}

#[test]
fn a_damaged_record_is_left_out_and_named_and_all_else_goes_on() {
    let world = World::new();
    let alice = world.person("Alice");
    alice.ok(&["space", "create", "Club", "--offline"]);
    let log = fs::read_dir(alice.profile.join("log")).unwrap().next();
    let segment = log.unwrap().unwrap().path().join("00000000.seg");
    let length = || fs::metadata(&segment).unwrap().len();
    alice.ok(&["post", "one", "--offline"]);
    let before = length();
    let lost = text(&alice.ok(&["post", "two", "--offline"])[0]["op"]);
    let at = usize::try_from(u64::midpoint(before, length())).unwrap();
    alice.ok(&["post", "three", "--offline"]);
    let whole = alice
        .ok(&["audit", "log", "--limit", "1000", "--offline"])
        .len();
    let mut bytes = fs::read(&segment).unwrap();
    bytes[at] ^= 1;
    fs::write(&segment, bytes).unwrap();

    let log = alice.ok(&["audit", "log", "--limit", "1000", "--offline"]);
    assert_eq!(log.len() + 1, whole);
    let dump = alice.ok(&["audit", "dump", "--offline"]);
    let damaged = |row: &&Value| row["type"] == "dump-damaged" && row["op"] == *lost;
    assert_eq!(dump.iter().filter(damaged).count(), 1);
    assert_eq!(dump.last().unwrap()["damaged"], 1);
    let then = alice.ok(&["audit", "replay", "--until", "9999-12-31", "--offline"]);
    let shown = |body: &str| then.iter().any(|row| row["body"] == body);
    assert!(shown("one") && shown("three") && !shown("two"), "{then:?}");
    let status = alice.ok(&["status", "--offline"]);
    let named = |row: &Value| row["type"] == "damaged" && row["op"] == *lost;
    assert!(status.iter().any(named), "{status:?}");
    for what in ["export", "backup"] {
        let file = world.path(what);
        let made = alice.ok(&[what, file.to_str().unwrap(), "--offline"]);
        assert_eq!(made[0]["left_out"], 1, "{made:?}");
    }
    for words in [
        ["audit", "explain", &lost],
        ["audit", "explain", &lost[..8]],
    ] {
        let message = alice.fails(6, &[&words[..], &["--offline"]].concat());
        assert!(message.contains("the disk has damaged it"), "{message}");
    }
}
