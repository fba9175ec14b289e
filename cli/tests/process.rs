//! The program as scripts see it, where no Space is needed: exit codes, streams, no colours in pipes.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot run its program must fail"
)]

use std::path::Path;
use std::process::{Command, Output, Stdio};

/// Runs the program in an empty home, with nothing of this machine's settings.
fn decent(home: &Path, words: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_decent"));
    for variable in [
        "DECENT_PROFILE",
        "DECENT_SPACE",
        "DECENT_PASSPHRASE",
        "DECENT_NAME",
        "XDG_DATA_HOME",
        "USER",
    ] {
        command.env_remove(variable);
    }
    command
        .args(words)
        .env("HOME", home)
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

#[test]
fn exit_codes_are_the_documented_ones() {
    let home = tempfile::tempdir().unwrap();
    let plain = "--insecure-plaintext-key";
    for (words, code) in [
        (&["--help"][..], 0),
        (&["--version"], 0),
        (&["help", "invite", "create"], 0),
        (&["completions", "bash"], 0),
        (&[], 2),
        (&["frobnicate"], 2),
        (&["mute", "John", "--for", "soon"], 2),
        // nobody gives a name
        (&["init", plain], 2),
        // nobody gives a passphrase
        (&["whoami"], 6),
        (&["whoami", "--passphrase-file", "/nowhere/at/all"], 7),
        // no profile is there
        (&["whoami", plain], 6),
        (&["restore", "/nowhere/at/all", plain], 7),
    ] {
        let output = decent(home.path(), words);
        assert_eq!(
            output.status.code(),
            Some(code),
            "{words:?}: {}",
            stderr(&output)
        );
    }
}

#[test]
fn errors_are_one_object_with_json_and_one_line_without() {
    let home = tempfile::tempdir().unwrap();
    let output = decent(home.path(), &["whoami", "--json"]);
    assert_eq!(stdout(&output), "");
    let error: serde_json::Value = serde_json::from_str(&stderr(&output)).unwrap();
    assert_eq!(error["type"], "error");
    assert_eq!(error["error"]["code"], 6);
    assert_eq!(error["error"]["kind"], "profile");
    let text = stderr(&decent(home.path(), &["whoami"]));
    assert_eq!(text.lines().count(), 1);
    assert!(text.starts_with("error: no passphrase"), "{text}");
}

#[test]
fn a_key_without_passphrase_is_warned_of_loudly() {
    let home = tempfile::tempdir().unwrap();
    let output = decent(home.path(), &["whoami", "--insecure-plaintext-key"]);
    assert!(stderr(&output).contains("WARNING"), "{}", stderr(&output));
}

#[test]
fn pipes_get_no_colours() {
    let home = tempfile::tempdir().unwrap();
    for words in [&["--help"][..], &["frobnicate"], &["whoami"]] {
        let output = decent(home.path(), words);
        assert!(!stdout(&output).contains('\u{1b}'), "{words:?}");
        assert!(!stderr(&output).contains('\u{1b}'), "{words:?}");
    }
}

#[test]
fn the_home_is_left_alone_by_what_fails() {
    let home = tempfile::tempdir().unwrap();
    decent(home.path(), &["whoami", "--insecure-plaintext-key"]);
    decent(home.path(), &["completions", "fish"]);
    let left = std::fs::read_dir(home.path()).unwrap().count();
    assert_eq!(left, 0);
}
