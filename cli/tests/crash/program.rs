//! The real program as a process: what it is told, what it answers, and how it ended.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use serde_json::Value;

use crate::report::Counters;

/// Whoever says nothing for so long hangs.
const PATIENCE: Duration = Duration::from_secs(120);

/// Names another build of the program than the one beside the tests, such as one that is released.
const PROGRAM: &str = "CRASH_PROGRAM";

/// Returns the program, with nothing of this machine's settings.
pub(crate) fn decent() -> Command {
    let beside = || env!("CARGO_BIN_EXE_decent").into();
    let mut command = Command::new(std::env::var_os(PROGRAM).unwrap_or_else(beside));
    for variable in [
        "DECENT_PROFILE",
        "DECENT_SPACE",
        "DECENT_PASSPHRASE",
        "DECENT_NAME",
        "DECENT_LOG",
    ] {
        command.env_remove(variable);
    }
    command
}

/// Returns the program, about to do something on a profile.
pub(crate) fn on(profile: &Path, words: &[&str]) -> Command {
    let mut command = decent();
    command
        .args(words)
        .arg("--profile")
        .arg(profile)
        .args(["--insecure-plaintext-key", "--json"]);
    command
}

/// Runs a command to its end, which must be a good one, and returns its rows.
pub(crate) fn ok(profile: &Path, words: &[&str]) -> Vec<Value> {
    let output = on(profile, words).stdin(Stdio::null()).output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{words:?}: {stderr}");
    let stdout = String::from_utf8(output.stdout).unwrap();
    stdout
        .lines()
        .map(|line| serde_json::from_str(line).expect(line))
        .collect()
}

/// A process whose lines are read as they come, and whose errors lie in a file.
pub(crate) struct Program {
    child: Child,
    input: Option<ChildStdin>,
    lines: Receiver<String>,
    errors: PathBuf,
    /// What was said that nobody has asked for.
    pub(crate) notices: VecDeque<Value>,
    asked: u64,
}

impl Program {
    pub(crate) fn start(mut command: Command, errors: &Path) -> Self {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(File::create(errors).unwrap())
            .spawn()
            .unwrap();
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
        Self {
            input: child.stdin.take(),
            child,
            lines,
            errors: errors.to_owned(),
            notices: VecDeque::new(),
            asked: 0,
        }
    }

    /// Gives a line and does not wait. Returns the id that the answer will have.
    pub(crate) fn tell(&mut self, line: &str) -> String {
        self.asked += 1;
        let id = format!("q{}", self.asked);
        if let Some(input) = &mut self.input {
            // A process that has ended says so when its answer is waited for.
            let _gone = writeln!(input, "id={id} {line}");
        }
        id
    }

    /// Waits for the answer of this id; `None` when the process ended first.
    pub(crate) fn answer(&mut self, id: &str) -> Option<Value> {
        loop {
            let said = self.line()?;
            let said: Value = serde_json::from_str(&said).expect(&said);
            if said["id"] == id {
                return Some(said);
            }
            self.notices.push_back(said);
        }
    }

    /// Gives a line and returns the answer; `None` when the process ended first.
    pub(crate) fn ask(&mut self, line: &str) -> Option<Value> {
        let id = self.tell(line);
        self.answer(&id)
    }

    /// Returns the next line; `None` at the end.
    pub(crate) fn line(&self) -> Option<String> {
        match self.lines.recv_timeout(PATIENCE) {
            Ok(line) => Some(line),
            Err(std::sync::mpsc::RecvTimeoutError::Disconnected) => None,
            Err(std::sync::mpsc::RecvTimeoutError::Timeout) => {
                panic!("a program says nothing: {:?}", self.said())
            }
        }
    }

    /// Ends it in the middle of whatever it does.
    pub(crate) fn kill(mut self, counters: &mut Counters) -> Vec<String> {
        self.child.kill().unwrap();
        let status = self.child.wait().unwrap();
        self.judge(status, counters);
        // What it had said before it died counts too.
        self.lines.iter().collect()
    }

    /// Lets it end by itself, and returns how.
    pub(crate) fn end(mut self, counters: &mut Counters) -> ExitStatus {
        self.tell("exit");
        self.input = None;
        let status = self.child.wait().unwrap();
        self.judge(status, counters);
        status
    }

    /// What it wrote to standard error.
    pub(crate) fn said(&self) -> String {
        fs::read_to_string(&self.errors).unwrap_or_default()
    }

    fn judge(&self, status: ExitStatus, counters: &mut Counters) {
        let said = self.said();
        let mut panics = said
            .lines()
            .filter(|line| line.contains("panicked at"))
            .peekable();
        // SIGABRT and SIGSEGV: nobody here sends them.
        let died = matches!(status.signal(), Some(6 | 11));
        if panics.peek().is_none() && !died {
            return;
        }
        // The database panics on some damage. That is caught, and ends in a new index (`store::index`).
        if !died && panics.all(|line| line.contains("/fjall-") || line.contains("/lsm-tree-")) {
            counters.one("panics_of_the_database_caught");
        } else {
            counters.bad("panics", format!("{status}: {said}"));
        }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It may have ended already.
        let _gone = self.child.kill();
        let _status = self.child.wait();
    }
}

/// Returns the rows of an answer, or its error as text.
pub(crate) fn rows(answer: &Value) -> Result<&[Value], String> {
    match answer["ok"].as_array() {
        Some(rows) => Ok(rows),
        None => Err(answer["error"].to_string()),
    }
}

/// Returns the texts of posts, oldest first.
pub(crate) fn bodies(rows: &[Value]) -> Vec<&str> {
    rows.iter()
        .filter(|row| row["type"] == "post")
        .map(|row| row["body"].as_str().expect("a post has a text"))
        .collect()
}
