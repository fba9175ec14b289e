//! Commands about what is not here yet: the relays are asked before anything is said to be wrong.

use crate::world::{Relay, World, text};

#[test]
fn what_others_wrote_meanwhile_is_fetched_when_it_is_named() {
    let world = World::new();
    let relay = Relay::start(&world);
    let (alice, bob) = world.founder_and_member(&relay);
    alice.ok(&["role", "Bob", "moderator"]);
    let post = |body: &str| text(&alice.ok(&["post", body])[0]["op"]);
    bob.ok(&["react", &post("one")[..8], "👍"]);
    bob.ok(&["react", &post("two"), "👍"]);
    bob.ok(&["pin", &post("three")[..8]]);
    bob.ok(&["post", "an answer", "--reply-to", &post("four")[..8]]);
    alice.ok(&["thread", "new", "Slugs", "What helps?"]);
    bob.ok(&["post", "ducks", "--thread", "Slugs"]);
    alice.ok(&["channel", "create", "seeds"]);
    bob.ok(&["post", "marigold", "--channel", "seeds"]);
    let unseen = post("five");
    for wanted in [&unseen[..8], &unseen] {
        let message = bob.fails(3, &["react", wanted, "👍", "--offline"]);
        assert!(message.contains("`decent sync`"), "{message}");
    }
    let message = bob.fails(3, &["react", &"f".repeat(64), "👍"]);
    assert!(message.contains("`decent sync`"), "{message}");
}

#[test]
fn whoever_was_removed_while_away_comes_back_at_once() {
    let world = World::new();
    let relay = Relay::start(&world);
    let alice = world.founder("Alice", &relay);
    let bob = world.person("Bob");
    let mut online = alice.shell();
    bob.ok(&["join", &text(&online.ask("invite create")[0]["link"])]);
    online.ask("ban Bob");
    online.ask("unban Bob");
    bob.ok(&["join", &text(&online.ask("invite create")[0]["link"])]);
    bob.ok(&["post", "back"]);
    let again = text(&online.ask("invite create")[0]["link"]);
    let message = bob.fails(7, &["join", &again]);
    assert!(
        message.contains("a member of this Space already"),
        "{message}"
    );
}
