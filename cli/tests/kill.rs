//! A profile whose process is killed at any moment: every start succeeds, and nothing acknowledged is lost.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot run its program must fail"
)]

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// Processes killed, one after the other, on the same profile.
const KILLS: usize = 12;

fn decent(profile: &Path, words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_decent"));
    command
        .arg("--profile")
        .arg(profile)
        .args(["--insecure-plaintext-key", "--offline", "--json"])
        .args(words)
        .stderr(Stdio::null());
    command
}

fn run(profile: &Path, words: &[&str]) -> String {
    let output = decent(profile, words).output().unwrap();
    assert!(output.status.success(), "{words:?} failed");
    String::from_utf8(output.stdout).unwrap()
}

fn shell(profile: &Path) -> Child {
    let mut command = decent(profile, &["shell"]);
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

#[test]
fn no_acknowledged_post_is_lost_to_kill_9() {
    let home = tempfile::tempdir().unwrap();
    let profile = home.path().join("kim");
    run(&profile, &["init", "--name", "Kim"]);
    run(&profile, &["space", "create", "Log"]);
    let mut written = 0_u32;
    let mut acknowledged = Vec::new();
    for kill in 0..KILLS {
        let mut child = shell(&profile);
        let mut input = child.stdin.take().unwrap();
        let mut answers = BufReader::new(child.stdout.take().unwrap()).lines();
        for _ in 0..=kill % 5 {
            written += 1;
            writeln!(
                input,
                "id=p{written} post --channel general \"post {written}.\""
            )
            .unwrap();
            let answer = answers.next().unwrap().unwrap();
            assert!(answer.contains("\"ok\""), "{answer}");
            acknowledged.push(written);
        }
        // Of the last one nobody waits for the answer: it may be half done.
        written += 1;
        writeln!(
            input,
            "id=p{written} post --channel general \"post {written}.\""
        )
        .unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
    }
    let read = run(&profile, &["read", "general", "--limit", "1000"]);
    let lost: Vec<u32> = acknowledged
        .iter()
        .copied()
        .filter(|n| !read.contains(&format!("\"post {n}.\"")))
        .collect();
    assert_eq!(lost, Vec::<u32>::new());
    assert!(acknowledged.len() >= KILLS);
}
