//! Admins who act together, Seals, and what members bear witness of: at the terminal.

use crate::world::{Person, Relay, World, text};

/// The text that a command about a motion prints.
fn motion(person: &Person, words: &[&str]) -> String {
    let rows = person.ok(words);
    assert_eq!(rows[0]["type"], "motion");
    text(&rows[0]["motion"])
}

fn role(person: &Person, who: &str) -> Option<String> {
    let members = person.ok(&["members"]);
    let row = members.iter().find(|m| m["name"] == who).expect(who);
    row["role"].as_str().map(str::to_owned)
}

#[test]
fn admins_ban_their_senior_and_make_an_owner_with_texts_that_they_hand_around() {
    let world = World::new();
    let relay = Relay::start(&world);
    let alice = world.person("Alice");
    alice.ok(&["relays", "add", &relay.address]);
    alice.ok(&["space", "create", "Allotment", "--owner-removable"]);
    let (link, _) = alice.invite(&[]);
    let [ada, abe, ann, mia] = ["Ada", "Abe", "Ann", "Mia"].map(|name| world.person(name));
    let mut online = alice.shell();
    for person in [&ada, &abe, &ann, &mia] {
        person.ok(&["join", &link]);
    }
    for who in ["Ada", "Abe", "Ann"] {
        online.ask(&format!("role {who} admin"));
    }
    online.end();
    for person in [&ada, &abe, &ann, &mia] {
        person.ok(&["sync"]);
    }

    // Alone nobody may.
    abe.fails(4, &["ban", "Ada"]);
    let asked = motion(
        &abe,
        &["quorum", "propose", "ban", "Ada", "--reason", "spam"],
    );
    let shown = ann.ok(&["quorum", "show", &asked]);
    assert_eq!(shown[0]["about"], "ban Ada (spam)");
    assert_eq!(
        (&shown[0]["needs"], &shown[0]["may_sign"]),
        (&2.into(), &true.into())
    );
    for (person, code, words) in [
        (&abe, 4, vec!["quorum", "submit", &asked]),
        (&abe, 7, vec!["quorum", "sign", &asked]),
        (&ada, 4, vec!["quorum", "sign", &asked]),
        (&mia, 4, vec!["quorum", "sign", &asked]),
        (&ann, 7, vec!["quorum", "submit", &asked]),
        (&ann, 7, vec!["quorum", "show", "decent://quorum/aaaa"]),
        (&ann, 7, vec!["quorum", "show", &asked[..asked.len() - 1]]),
        (&ann, 7, vec!["quorum", "sign", &link]),
        (&abe, 3, vec!["quorum", "propose", "kick", "Nobody"]),
    ] {
        person.fails(code, &words);
    }
    for words in [&["quorum", "propose", "leave"][..], &["quorum", "submit"]] {
        assert_eq!(abe.run(words).code, 2, "{words:?}");
    }
    // Who was shown it has it, and whoever has it can name it by its id.
    let list = ann.ok(&["quorum", "list"]);
    assert_eq!(list.len(), 1);
    let id = list[0]["id"].as_str().unwrap();
    assert_eq!(
        (&list[0]["state"], &list[0]["proposed"]),
        (&"open".into(), &false.into())
    );
    assert_eq!(abe.ok(&["quorum", "list"])[0]["proposed"], true);
    assert!(mia.ok(&["quorum", "list"]).is_empty());
    mia.fails(3, &["quorum", "sign", id]);
    ann.fails(7, &["quorum", "submit", id]);
    let signed = motion(&ann, &["quorum", "sign", id]);
    assert_eq!(ann.ok(&["quorum", "list"])[0]["state"], "ready");
    abe.ok(&["quorum", "show", &signed]);
    assert_eq!(abe.ok(&["quorum", "list"])[0]["state"], "ready");
    abe.ok(&["quorum", "submit", &id[..8]]);
    assert_eq!(abe.ok(&["quorum", "list"])[0]["state"], "taken");
    assert_eq!(role(&mia, "Ada"), None);
    assert_eq!(role(&alice, "Ada"), None);
    abe.fails(4, &["quorum", "submit", &signed]);

    let asked = motion(&mia, &["quorum", "propose", "role", "Mia", "owner"]);
    let copies = [&abe, &ann].map(|admin| motion(admin, &["quorum", "sign", &asked]));
    mia.ok(&["quorum", "submit", &copies[1], &copies[0]]);
    assert_eq!(role(&alice, "Mia").as_deref(), Some("owner"));
}

#[test]
fn a_seal_is_made_by_hand_and_told_of() {
    let world = World::new();
    let relay = Relay::start(&world);
    let (alice, bob) = world.founder_and_member(&relay);
    bob.fails(4, &["space", "seal"]);
    let done = alice.ok(&["space", "seal"]);
    assert_eq!(done[0]["command"], "space seal");
    let op = text(&done[0]["op"]);
    assert!(alice.fails(4, &["space", "seal"]).contains("K8"));
    bob.ok(&["sync"]);
    for person in [&alice, &bob] {
        let status = person.ok(&["status"]);
        let space = status.iter().find(|row| row["type"] == "space-status");
        assert_eq!(space.expect("a Space")["seal"], op);
    }
    let explained = bob.ok(&["audit", "explain", &op]);
    assert!(explained[0]["steps"].to_string().contains("are final"));

    for wrong in ["0", "10001", "-1", "never"] {
        let update = ["space", "update", "--seal-every", wrong];
        assert_eq!(alice.run(&update).code, 2, "{wrong}");
    }
    alice.ok(&["space", "update", "--seal-every", "off"]);
    let status = alice.ok(&["status"]);
    let space = status.iter().find(|row| row["type"] == "space-status");
    assert_eq!(space.expect("a Space")["seal_every"], 0);
}

#[test]
fn what_is_not_late_is_not_attested_and_no_device_is_frozen_without_cause() {
    let world = World::new();
    let relay = Relay::start(&world);
    let (alice, bob) = world.founder_and_member(&relay);
    bob.ok(&["post", "--channel", "general", "hello"]);
    alice.ok(&["sync"]);
    let post = alice.post_saying("hello");
    assert!(alice.fails(7, &["attest", &post]).contains("not late"));
    alice.fails(3, &["attest", "ffffffff"]);
    assert!(alice.ok(&["audit", "equivocations"]).is_empty());
    let device = text(&bob.ok(&["whoami"])[0]["device"]);
    alice.fails(3, &["freeze", &device, "--yes"]);
}
