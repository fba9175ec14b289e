//! Invites that let people in, and those that do not.

use serde_json::{Value, json};

use crate::world::{Relay, World, text};

#[test]
fn an_invite_that_cannot_be_used_says_so_and_changes_nothing() {
    let world = World::new();
    let relay = Relay::start(&world);
    let alice = world.founder("Alice", &relay);
    let (used_up, _) = alice.invite(&["--max-uses", "1"]);
    let (revoked, op) = alice.invite(&[]);
    alice.ok(&["invite", "revoke", &op]);
    let (expired, expired_op) = alice.invite(&["--expires", "1s"]);
    let (good, _) = alice.invite(&[]);
    let mut online = alice.shell();
    let is_open = |rows: &[Value]| rows.iter().any(|row| row["op"] == *expired_op);
    while is_open(&online.ask("invite list")) {}
    let bob = world.person("Bob");
    bob.ok(&["join", &used_up]);

    let carl = world.person("Carl");
    let mut mistyped = good.clone();
    let last = mistyped.pop().unwrap();
    mistyped.push(if last == 'a' { 'b' } else { 'a' });
    for (link, why) in [
        (&used_up, "used up or has expired"),
        (&expired, "used up or has expired"),
        (&revoked, "has been revoked"),
        (&mistyped, "incomplete or mistyped"),
        (&"hello".to_owned(), "not an invite"),
    ] {
        let message = carl.fails(7, &["join", link]);
        assert!(message.contains(why), "{message}");
        assert!(carl.ok(&["space", "list"]).is_empty());
    }
    // What was refused before does not stand in the way of a link that is good.
    carl.ok(&["join", &good]);
    let message = carl.fails(7, &["join", &good]);
    assert!(
        message.contains("member of this Space already"),
        "{message}"
    );
    let members = online.ask("members");
    let names: Vec<String> = members.iter().map(|m| text(&m["name"])).collect();
    assert_eq!(names, ["Alice", "Bob", "Carl"]);
    online.end();
}

#[test]
fn nobody_online_is_told_and_the_request_waits() {
    let world = World::new();
    let mut relay = Relay::start(&world);
    let alice = world.founder("Alice", &relay);
    let (link, _) = alice.invite(&["--approval"]);
    let bob = world.person("Bob");
    let message = bob.fails(5, &["join", &link, "--timeout", "1s"]);
    assert!(message.contains("ask a member to be online"), "{message}");
    let asked = |row: &Value| row["type"] == "join" && row["failed"].is_null();
    for words in [["space", "list"], ["status", "--offline"]] {
        let rows = bob.ok(&words);
        let join = rows.iter().find(|row| asked(row)).expect("the request");
        assert_eq!(
            (text(&join["name"]), &join["relays"]),
            ("Club".to_owned(), &json!(1))
        );
    }
    // Given up, and asked again.
    bob.ok(&["join", "--cancel", "Club"]);
    assert!(bob.ok(&["space", "list"]).is_empty());
    let message = bob.fails(3, &["join", "--cancel", &link]);
    assert!(message.contains("no request to join"), "{message}");
    bob.fails(5, &["join", &link, "--timeout", "1s"]);
    // Alice looks later, and not all the time.
    let requests = alice.ok(&["requests"]);
    assert_eq!(requests[0]["name"], "Bob");
    alice.ok(&["approve", "Bob"]);
    bob.ok(&["join", &link]);
    assert!(!bob.ok(&["space", "list"]).iter().any(asked));
    assert_eq!(bob.ok(&["space", "list"])[0]["standing"], "member");

    relay.kill();
    let carl = world.person("Carl");
    let message = carl.fails(5, &["join", &link]);
    assert!(message.contains("no relay is reachable"), "{message}");
}
