//! Removing people, and with them what they wrote.

use crate::world::{Relay, World, text};

#[test]
fn a_purge_hides_everything_in_every_channel() {
    let world = World::new();
    let relay = Relay::start(&world);
    let alice = world.founder("Alice", &relay);
    let channels = ["general", "one", "two", "three", "four"];
    for channel in &channels[1..] {
        alice.ok(&["channel", "create", channel]);
    }
    for (name, way) in [("Bob", "kick"), ("Carol", "ban")] {
        let person = world.person(name);
        let mut online = alice.shell();
        person.ok(&["join", &text(&online.ask("invite create")[0]["link"])]);
        online.end();
        for channel in channels {
            person.ok(&["post", &format!("by {name}"), "--channel", channel]);
        }
        alice.ok(&[way, name, "--purge", "--reason", "spam"]);
        for channel in channels {
            let rows = alice.ok(&["read", channel]);
            let by = |row: &&serde_json::Value| row["author_name"] == name;
            let states: Vec<String> = rows.iter().filter(by).map(|r| text(&r["state"])).collect();
            assert_eq!(states, ["hidden"], "{way} in {channel}: {rows:?}");
        }
    }
}
