//! Profiles, relays and shells for a test: each a process, each with a folder of its own.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use crate::documented;

/// A test that waits longer for a line has failed.
const PATIENCE: Duration = Duration::from_secs(60);

/// How often to look when nothing is told.
const NOW_AND_THEN: Duration = Duration::from_millis(100);

/// A folder for everything.
pub(crate) struct World {
    home: TempDir,
}

impl World {
    pub(crate) fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        Self { home }
    }

    /// Returns a path in the world's folder.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    /// Returns somebody who has no profile yet.
    pub(crate) fn nobody(&self, name: &str) -> Person {
        Person {
            profile: self.path(name),
            phrase: String::new(),
        }
    }

    /// Makes somebody's profile.
    pub(crate) fn person(&self, name: &str) -> Person {
        let mut person = self.nobody(name);
        let rows = person.ok(&["init", "--name", name]);
        person.phrase = text(&rows[0]["phrase"]);
        person
    }

    /// Makes somebody who knows the relay and has founded the Space "Club".
    pub(crate) fn founder(&self, name: &str, relay: &Relay) -> Person {
        let person = self.person(name);
        person.ok(&["relays", "add", &relay.address]);
        person.ok(&["space", "create", "Club"]);
        person
    }

    /// Makes Alice, who founded "Club", and Bob, whom she has let in. Neither has a program running.
    pub(crate) fn founder_and_member(&self, relay: &Relay) -> (Person, Person) {
        let alice = self.founder("Alice", relay);
        let bob = self.person("Bob");
        let mut online = alice.shell();
        bob.ok(&["join", &text(&online.ask("invite create")[0]["link"])]);
        online.end();
        (alice, bob)
    }
}

/// What a command came to.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) rows: Vec<Value>,
    pub(crate) stderr: String,
}

impl Ran {
    /// Returns the message of the error; the test fails when there is none.
    pub(crate) fn message(&self) -> String {
        let line = self.stderr.lines().last().expect("an error");
        let error: Value = serde_json::from_str(line).expect(line);
        assert_eq!(error["error"]["code"], self.code, "{line}");
        text(&error["error"]["message"])
    }
}

/// One profile, and whoever sits before it.
pub(crate) struct Person {
    pub(crate) profile: PathBuf,
    pub(crate) phrase: String,
}

impl Person {
    /// Returns the program, about to do something on this profile.
    pub(crate) fn command(&self, words: &[&str]) -> Command {
        let mut command = decent(words);
        command
            .arg("--profile")
            .arg(&self.profile)
            .args(["--insecure-plaintext-key", "--json"]);
        command
    }

    /// Runs a command to its end.
    pub(crate) fn run(&self, words: &[&str]) -> Ran {
        let output = self.command(words).stdin(Stdio::null()).output().unwrap();
        let stdout = String::from_utf8(output.stdout).unwrap();
        let rows: Vec<Value> = stdout
            .lines()
            .map(|line| serde_json::from_str(line).expect(line))
            .collect();
        rows.iter().for_each(documented::check);
        Ran {
            code: output.status.code().expect("not killed"),
            rows,
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// Runs a command that must succeed, and returns its rows.
    pub(crate) fn ok(&self, words: &[&str]) -> Vec<Value> {
        let ran = self.run(words);
        assert_eq!(ran.code, 0, "{words:?}: {}", ran.stderr);
        ran.rows
    }

    /// Runs a command that must fail with this exit code, and returns the message.
    pub(crate) fn fails(&self, code: i32, words: &[&str]) -> String {
        let ran = self.run(words);
        assert_eq!(ran.code, code, "{words:?}: {} {:?}", ran.stderr, ran.rows);
        ran.message()
    }

    /// Opens an invite with these further words and returns its link and op.
    pub(crate) fn invite(&self, words: &[&str]) -> (String, String) {
        let rows = self.ok(&[&["invite", "create"], words].concat());
        (text(&rows[0]["link"]), text(&rows[0]["op"]))
    }

    /// Returns the texts in a channel as this profile knows them, without asking a relay.
    pub(crate) fn texts(&self, channel: &str) -> Vec<String> {
        let rows = self.ok(&["read", channel, "--offline", "--limit", "1000"]);
        rows.iter().map(|post| text(&post["body"])).collect()
    }

    /// Returns the id of the post with this text.
    pub(crate) fn post_saying(&self, body: &str) -> String {
        let rows = self.ok(&["read", "general", "--offline"]);
        let post = rows.iter().find(|post| post["body"] == body).expect(body);
        text(&post["id"])
    }

    /// Returns the hash of the state of the only Space.
    pub(crate) fn state(&self) -> String {
        let rows = self.ok(&["status", "--offline"]);
        let space = rows.iter().find(|row| row["type"] == "space-status");
        text(&space.expect("a Space")["state_hash"])
    }

    /// Keeps the profile open.
    pub(crate) fn shell(&self) -> Shell {
        let mut child = self
            .command(&["shell", "--notices"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let lines = lines_of(&mut child);
        Shell {
            input: child.stdin.take().unwrap(),
            child: Ending(child),
            lines,
            notices: VecDeque::new(),
            asked: 0,
        }
    }
}

/// A program that is open: answers whoever asks, and lets people in meanwhile.
pub(crate) struct Shell {
    child: Ending,
    input: ChildStdin,
    lines: Receiver<String>,
    notices: VecDeque<Value>,
    asked: u32,
}

impl Shell {
    /// Gives a line and returns the answer to it, whatever it is.
    pub(crate) fn answer(&mut self, line: &str) -> Value {
        self.asked += 1;
        let id = format!("q{}", self.asked);
        writeln!(self.input, "id={id} {line}").unwrap();
        loop {
            let said = self.next();
            if said["id"] == id {
                return said;
            }
            self.notices.push_back(said);
        }
    }

    /// Gives a line that must succeed, and returns its rows.
    pub(crate) fn ask(&mut self, line: &str) -> Vec<Value> {
        let answer = self.answer(line);
        let rows = answer["ok"].as_array().cloned();
        let rows = rows.unwrap_or_else(|| panic!("{line}: {answer}"));
        rows.iter().for_each(documented::check);
        rows
    }

    /// Gives a line again and again until the rows are right: when something has happened, and now
    /// and then, since not everything is told (that others have seen a post is not).
    pub(crate) fn until(&mut self, line: &str, right: impl Fn(&[Value]) -> bool) -> Vec<Value> {
        let mut rows = Vec::new();
        for _ in 0..PATIENCE.as_millis() / NOW_AND_THEN.as_millis() {
            self.notices.clear();
            rows = self.ask(line);
            if right(&rows) {
                return rows;
            }
            if self.notices.is_empty()
                && let Ok(line) = self.lines.recv_timeout(NOW_AND_THEN)
            {
                self.notices
                    .push_back(serde_json::from_str(&line).expect(&line));
            }
        }
        panic!("{line}: never right: {rows:?}");
    }

    /// Waits for a notice that was not seen yet.
    pub(crate) fn notice(&mut self, right: impl Fn(&Value) -> bool) -> Value {
        loop {
            let notice = match self.notices.pop_front() {
                Some(notice) => notice,
                None => self.next(),
            };
            if right(&notice) {
                return notice;
            }
        }
    }

    /// Ends the program in the middle of whatever it does.
    pub(crate) fn kill(mut self) {
        self.child.0.kill().unwrap();
        self.child.0.wait().unwrap();
    }

    /// Lets the program end by itself.
    pub(crate) fn end(mut self) {
        writeln!(self.input, "exit").unwrap();
        let status = self.child.0.wait().unwrap();
        assert!(status.success(), "{status}");
    }

    fn next(&self) -> Value {
        let line = self.lines.recv_timeout(PATIENCE).expect("a line in time");
        serde_json::from_str(&line).expect(&line)
    }
}

/// A relay that can be killed and started again at the same address.
pub(crate) struct Relay {
    child: Ending,
    data: PathBuf,
    /// Where it listens, with its key.
    pub(crate) address: String,
}

impl Relay {
    /// Starts a relay with its data in the world's folder.
    pub(crate) fn start(world: &World) -> Self {
        // A port of our own choice, so that the relay has it again after a restart.
        let port = TcpListener::bind("127.0.0.1:0")
            .and_then(|listener| listener.local_addr())
            .unwrap()
            .port();
        let data = world.path("relay");
        let (child, address) = serve(&data, &format!("/ip4/127.0.0.1/tcp/{port}"));
        Self {
            child,
            data,
            address,
        }
    }

    /// Kills it, as the machine's power would.
    pub(crate) fn kill(&mut self) {
        self.child.0.kill().unwrap();
        self.child.0.wait().unwrap();
    }

    /// Starts it again.
    pub(crate) fn again(&mut self) {
        let listen = self.address.rsplit_once("/p2p/").unwrap().0.to_owned();
        let (child, address) = serve(&self.data, &listen);
        assert_eq!(address, self.address, "the relay kept its key");
        self.child = child;
    }
}

fn serve(data: &Path, listen: &str) -> (Ending, String) {
    let mut child = decent(&[
        "relay",
        "--print-address",
        "--until-eof",
        "--listen",
        listen,
    ])
    .arg("--data")
    .arg(data)
    .stdin(Stdio::piped())
    .stdout(Stdio::piped())
    .stderr(Stdio::null())
    .spawn()
    .unwrap();
    let address = lines_of(&mut child).recv_timeout(PATIENCE);
    (Ending(child), address.expect("the relay's address"))
}

/// A process that does not outlive its test.
struct Ending(Child);

impl Drop for Ending {
    fn drop(&mut self) {
        // It may have ended already.
        let _gone = self.0.kill();
        let _status = self.0.wait();
    }
}

/// Returns the program, with nothing of this machine's settings.
pub(crate) fn decent(words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_decent"));
    for variable in [
        "DECENT_PROFILE",
        "DECENT_SPACE",
        "DECENT_PASSPHRASE",
        "DECENT_NAME",
        "DECENT_LOG",
    ] {
        command.env_remove(variable);
    }
    command.args(words);
    command
}

/// Returns a text field.
pub(crate) fn text(value: &Value) -> String {
    value
        .as_str()
        .unwrap_or_else(|| panic!("{value} is a text"))
        .to_owned()
}

fn lines_of(child: &mut Child) -> Receiver<String> {
    let stdout = child.stdout.take().unwrap();
    let (send, lines) = channel();
    // Ends with the process.
    thread::spawn(move || {
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            if send.send(line).is_err() {
                return;
            }
        }
    });
    lines
}
