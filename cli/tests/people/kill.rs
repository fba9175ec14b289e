//! Programs killed at any moment: every start succeeds, and nothing acknowledged is lost.

use std::io::{BufRead, BufReader, Write};
use std::process::Stdio;

use crate::world::{Relay, World, text};

/// Processes killed, one after the other, on the same profile.
const KILLS: usize = 12;

#[test]
fn no_acknowledged_post_is_lost_to_kill_9() {
    let world = World::new();
    let kim = world.person("Kim");
    kim.ok(&["space", "create", "Log", "--offline"]);
    let mut written = 0_u32;
    let mut acknowledged = Vec::new();
    for kill in 0..KILLS {
        let mut child = kim
            .command(&["shell", "--offline"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut input = child.stdin.take().unwrap();
        let mut answers = BufReader::new(child.stdout.take().unwrap()).lines();
        for last in [false, true] {
            for _ in 0..=if last { 0 } else { kill % 5 } {
                written += 1;
                writeln!(input, "post --channel general \"post {written}.\"").unwrap();
                // Of the last one nobody waits for the answer: it may be half done.
                if !last {
                    let answer = answers.next().unwrap().unwrap();
                    assert!(answer.contains("\"ok\""), "{answer}");
                    acknowledged.push(format!("post {written}."));
                }
            }
        }
        child.kill().unwrap();
        child.wait().unwrap();
    }
    let read = kim.texts("general");
    let lost: Vec<&String> = acknowledged
        .iter()
        .filter(|post| !read.contains(post))
        .collect();
    assert_eq!(lost, Vec::<&String>::new());
    assert!(acknowledged.len() >= KILLS);
}

#[test]
fn joining_and_moderating_go_on_after_kill_9() {
    let world = World::new();
    let relay = Relay::start(&world);
    let alice = world.founder("Alice", &relay);
    let (link, _) = alice.invite(&[]);
    let bob = world.person("Bob");
    let mut online = alice.shell();
    // Bob's program is killed while it asks, and once more when Alice has let him in.
    let mut asking = bob
        .command(&["join", &link])
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    asking.kill().unwrap();
    asking.wait().unwrap();
    let mut asking = bob
        .command(&["join", &link])
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    online.notice(|notice| notice["notice"] == "epoch");
    asking.kill().unwrap();
    asking.wait().unwrap();
    let joined = bob.run(&["join", &link]);
    assert!(
        joined.code == 0 || joined.message().contains("a member of this Space already"),
        "{joined:?}"
    );
    let post = text(&bob.ok(&["post", "through all that"])[0]["op"]);
    online.until("read general", |posts| {
        posts.iter().any(|p| p["id"] == *post)
    });

    // Alice's program is killed in the middle of a ban; whatever became of it, she goes on.
    online.ask("post --channel general \"before the ban\"");
    let mut banning = {
        online.end();
        let mut child = alice.command(&["shell"]);
        child
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap()
    };
    let mut input = banning.stdin.take().unwrap();
    writeln!(input, "ban Bob").unwrap();
    banning.kill().unwrap();
    banning.wait().unwrap();
    let again = alice.run(&["ban", "Bob"]);
    assert!(
        again.code == 0 || again.message().contains("change nothing"),
        "{again:?}"
    );
    assert!(!alice.ok(&["members"])[1]["removed"].is_null());
    alice.ok(&["post", "after the ban"]);
    let texts = alice.texts("general");
    assert_eq!(
        texts,
        ["through all that", "before the ban", "after the ban"]
    );
    bob.ok(&["sync"]);
    bob.fails(4, &["post", "I am out"]);
}
