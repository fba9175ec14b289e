//! One person: a profile, and the shell that has it open.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStdin, ChildStdout};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};

use super::script::Who;
use super::{DemoError, process};

/// How long a command may take.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);
/// Lines on their way from a process; it waits when they are not read.
const LINES: usize = 1_024;
/// Notices kept for later steps.
const HEARD_MAX: usize = 4_096;

/// What a command came to: rows, or the exit code and message.
pub(super) type Outcome = Result<Vec<Value>, (u64, String)>;

/// A person's profile and process.
pub(super) struct Person {
    who: Who,
    profile: PathBuf,
    log: PathBuf,
    running: Option<Running>,
    asked: u64,
    heard: VecDeque<(Instant, Value)>,
}

struct Running {
    child: Child,
    stdin: ChildStdin,
    lines: mpsc::Receiver<(Instant, Value)>,
}

impl Person {
    /// Makes the profile; the process is started by [`Self::start`].
    ///
    /// # Errors
    /// When the profile cannot be made.
    pub(super) async fn new(who: Who, dir: &Path) -> Result<Self, DemoError> {
        let name = who.name();
        let profile = dir.join(name.to_lowercase());
        let log = dir.join(format!("{}.log", name.to_lowercase()));
        let path = profile.display().to_string();
        process::run(
            &["init", "--name", name, "--profile", &path, "--json"],
            &log,
        )
        .await?;
        Ok(Self {
            who,
            profile,
            log,
            running: None,
            asked: 0,
            heard: VecDeque::new(),
        })
    }

    /// Starts the shell.
    ///
    /// # Errors
    /// When it does not come up.
    pub(super) async fn start(&mut self, offline: bool, relay: &str) -> Result<(), DemoError> {
        let profile = self.profile.display().to_string();
        let mut words = vec![
            "shell",
            "--json",
            "--notices",
            "--timeout",
            "20s",
            "--profile",
            &profile,
        ];
        words.extend(if offline {
            vec!["--offline"]
        } else {
            vec!["--relay", relay]
        });
        let mut child = process::start(&words, &self.log)?;
        let (Some(stdin), Some(stdout)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(self.gone("has no pipes"));
        };
        let (send, lines) = mpsc::channel(LINES);
        // ends with the process, when its standard output closes
        tokio::spawn(forward(stdout, send));
        self.running = Some(Running {
            child,
            stdin,
            lines,
        });
        match self.ask("whoami").await? {
            Ok(_) => Ok(()),
            Err((_, message)) => Err(self.gone(&message)),
        }
    }

    /// Ends the shell and waits for it; fine when none runs.
    ///
    /// # Errors
    /// When it must be ended by force.
    pub(super) async fn stop(&mut self) -> Result<(), DemoError> {
        let Some(running) = self.running.take() else {
            return Ok(());
        };
        // the end of its input ends the shell; dropping the lines lets it write its last ones nowhere
        drop(running.stdin);
        drop(running.lines);
        process::end(self.who.name(), running.child).await
    }

    /// Has the shell do a line and returns what it answers.
    ///
    /// # Errors
    /// When the process is gone or does not answer.
    pub(super) async fn ask(&mut self, line: &str) -> Result<Outcome, DemoError> {
        self.asked += 1;
        let id = format!("d{}", self.asked);
        let Some(running) = &mut self.running else {
            return Err(self.gone("is not running"));
        };
        let line = format!("id={id} {line}\n");
        if let Err(error) = running.stdin.write_all(line.as_bytes()).await {
            return Err(self.gone(&error.to_string()));
        }
        let answered = timeout(ANSWER_WITHIN, self.answer(&id)).await;
        answered.unwrap_or_else(|_| Err(self.gone("does not answer")))
    }

    /// Waits for the next thing the node tells by itself; `false` when nothing came in time.
    ///
    /// # Errors
    /// When the process is gone.
    pub(super) async fn listen(&mut self, wait: Duration) -> Result<bool, DemoError> {
        let Some(running) = &mut self.running else {
            return Err(self.gone("is not running"));
        };
        match timeout(wait, running.lines.recv()).await {
            Ok(Some(line)) => {
                self.remember(line);
                Ok(true)
            }
            Ok(None) => Err(self.gone("ended")),
            Err(_) => Ok(false),
        }
    }

    /// Returns what the node told by itself, oldest first, and when.
    pub(super) fn heard(&self) -> impl Iterator<Item = (Instant, &Value)> {
        self.heard.iter().map(|(at, notice)| (*at, notice))
    }

    async fn answer(&mut self, id: &str) -> Result<Outcome, DemoError> {
        loop {
            let Some(running) = &mut self.running else {
                return Err(self.gone("is not running"));
            };
            let Some((at, line)) = running.lines.recv().await else {
                return Err(self.gone("ended"));
            };
            if line.get("id").and_then(Value::as_str) != Some(id) {
                self.remember((at, line));
                continue;
            }
            if let Some(Value::Array(rows)) = line.get("ok") {
                return Ok(Ok(rows.clone()));
            }
            let code = line.pointer("/error/code").and_then(Value::as_u64);
            let message = line.pointer("/error/message").and_then(Value::as_str);
            return Ok(Err((
                code.unwrap_or(1),
                message.unwrap_or("no message").to_owned(),
            )));
        }
    }

    fn remember(&mut self, line: (Instant, Value)) {
        if self.heard.len() == HEARD_MAX {
            self.heard.pop_front();
        }
        self.heard.push_back(line);
    }

    fn gone(&self, why: &str) -> DemoError {
        DemoError::Process {
            what: format!(
                "{}'s process {why}: {}",
                self.who.name(),
                process::last_words(&self.log)
            ),
        }
    }
}

/// Reads lines of JSON as they come, until the process closes its output.
async fn forward(stdout: ChildStdout, to: mpsc::Sender<(Instant, Value)>) {
    let mut lines = BufReader::new(stdout).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        let at = Instant::now();
        let value = serde_json::from_str(&line).unwrap_or(Value::String(line));
        if to.send((at, value)).await.is_err() {
            // nobody listens any more, but the process must be able to write to its end
            while let Ok(Some(_)) = lines.next_line().await {}
            return;
        }
    }
}
