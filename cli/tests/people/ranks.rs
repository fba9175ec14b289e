//! What is above somebody's rank is refused, by name of the rule, and changes nothing.

use crate::world::{Relay, World};

#[test]
fn an_action_above_ones_rank_is_refused_and_changes_nothing() {
    let world = World::new();
    let relay = Relay::start(&world);
    let alice = world.founder("Alice", &relay);
    let (link, _) = alice.invite(&[]);
    let (guests, invite) = alice.invite(&["--role", "guest"]);
    let [ada, abe, mo, mia] = ["Ada", "Abe", "Mo", "Mia"].map(|name| world.person(name));
    let gus = world.person("Gus");
    let mut online = alice.shell();
    for person in [&ada, &abe, &mo, &mia] {
        person.ok(&["join", &link]);
    }
    gus.ok(&["join", &guests]);
    online.ask("post --channel general hello");
    for role in ["Ada admin", "Abe admin", "Mo moderator"] {
        online.ask(&format!("role {role}"));
    }
    online.end();
    for person in [&ada, &abe, &mo, &mia, &gus] {
        person.ok(&["sync"]);
    }
    let post = alice.post_saying("hello");
    let (post, invite) = (post.as_str(), invite.as_str());

    let moderators: &[&[&str]] = &[
        &["mute", "Alice", "--for", "1h"],
        &["mute", "Gus"],
        &["unmute", "Gus"],
        &["kick", "Gus"],
        &["delete", post, "--reason", "x"],
        &["restore-post", post],
        &["pin", post],
        &["unpin", post],
        &["invite", "create"],
        &["invite", "revoke", invite],
        &["post", "--channel", "announcements", "x"],
    ];
    let admins: &[&[&str]] = &[
        &["ban", "Gus"],
        &["unban", "Gus"],
        &["role", "Gus", "member"],
        &["space", "update", "--name", "Mine"],
        &["channel", "create", "mine"],
        &["channel", "update", "general", "--topic", "mine"],
    ];
    let members: &[&[&str]] = &[
        &["post", "x"],
        &["thread", "new", "x", "x"],
        &["react", post, "x"],
        &["edit", post, "x"],
    ];
    let above_moderators: &[&[&str]] = &[
        &["mute", "Alice"],
        &["kick", "Ada"],
        &["kick", "Mo"],
        &["delete", post],
        &["edit", post, "x"],
    ];
    let above_juniors: &[&[&str]] = &[
        &["role", "Ada", "member"],
        &["ban", "Ada"],
        &["kick", "Ada"],
        &["mute", "Ada"],
        &["role", "Alice", "member"],
        &["ban", "Alice"],
        &["role", "Mia", "admin"],
        &["role", "Mia", "owner"],
    ];
    let above_owners: &[&[&str]] = &[
        &["leave", "--yes"],
        &["role", "Alice", "member"],
        &["kick", "Alice"],
        &["unban", "Mia"],
        &["edit", post, ""],
    ];
    for (person, tries) in [
        (&gus, &[members, moderators, admins][..]),
        (&mia, &[moderators, admins]),
        (&mo, &[above_moderators, admins]),
        (&abe, &[above_juniors]),
        (&alice, &[&above_owners[..4]]),
    ] {
        let before = person.state();
        for words in tries.iter().copied().flatten() {
            let message = person.fails(4, &[words, &["--offline"][..]].concat());
            assert!(
                message.starts_with("not allowed (R"),
                "{words:?}: {message}"
            );
            // Names and roles, not numbers and ids.
            assert!(!message.contains("Weight"), "{words:?}: {message}");
            let id = message.split(|c: char| !c.is_ascii_hexdigit());
            assert!(id.map(str::len).max() < Some(16), "{words:?}: {message}");
        }
        assert_eq!(person.state(), before);
    }
    // A text that is no text is bad input, whoever gives it.
    alice.fails(7, &["edit", post, "", "--offline"]);
}
