//! Plays the story: starts everybody, goes through the steps, sees everybody to the end.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::CommandFactory;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Child;
use tokio::time::{Instant, timeout};

use super::check::{self, Kept, check, expand, field};
use super::person::Person;
use super::script::{Fields, Rows, STORY, Step, Who};
use super::tell::Teller;
use super::{DemoError, process};
use crate::args::Line;
use crate::error::CliError;
use crate::print::{Printer, note};

/// How long something may take until it is seen.
const SEEN_WITHIN: Duration = Duration::from_secs(15);
/// How long to wait for news before looking again.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// How long the relay may take to listen.
const RELAY_WITHIN: Duration = Duration::from_secs(10);
/// Posts for measuring the latency.
const LATENCY_POSTS: usize = 5;

/// Plays the story in `dir`, which is empty.
///
/// # Errors
/// The first thing that differs.
pub(super) async fn play(dir: &Path, printer: Printer) -> Result<(), CliError> {
    let mut stage = Stage {
        dir: dir.to_owned(),
        teller: Teller::new(printer),
        relay: None,
        people: BTreeMap::new(),
        kept: Kept::from([("dir".to_owned(), dir.display().to_string())]),
        step: "setting up".to_owned(),
        skipped: Vec::new(),
        hash: String::new(),
    };
    let played = stage.whole().await;
    let ended = stage.end().await;
    let differed = match played.and(ended) {
        Ok(()) => return Ok(()),
        Err(DemoError::Output(gone)) => return Err(gone.into()),
        Err(error) => error.to_string(),
    };
    // what went wrong may have been told by somebody else than the one who failed
    for name in ["relay", "alice", "bob", "john"] {
        let said = process::last_words(&dir.join(format!("{name}.log")));
        if !said.is_empty() {
            note(&format!("last words of {name}'s process:\n{said}"));
        }
    }
    Err(CliError::Demo {
        step: stage.step,
        differed,
    })
}

struct Stage {
    dir: PathBuf,
    teller: Teller,
    relay: Option<Child>,
    people: BTreeMap<Who, Person>,
    kept: Kept,
    /// What is being done, for the message when it fails.
    step: String,
    skipped: Vec<String>,
    hash: String,
}

impl Stage {
    async fn whole(&mut self) -> Result<(), DemoError> {
        self.set_up().await?;
        self.steps(STORY).await?;
        self.teller.end(&self.hash, &self.skipped)
    }

    /// Sees every process to its end, whatever happened; the first failure is the one to tell.
    async fn end(&mut self) -> Result<(), DemoError> {
        let mut ended = Ok(());
        for person in self.people.values_mut() {
            ended = ended.and(person.stop().await);
        }
        if let Some(mut relay) = self.relay.take() {
            drop(relay.stdin.take());
            ended = ended.and(process::end("the relay", relay).await);
        }
        ended
    }

    async fn set_up(&mut self) -> Result<(), DemoError> {
        let file = self.dir.join("rota.txt");
        let rota = "Sunday: Bob\nMonday: Alice\n".repeat(8_000);
        std::fs::write(&file, rota).map_err(|error| DemoError::Process {
            what: format!("cannot write {}: {error}", file.display()),
        })?;
        let (relay, address) = start_relay(&self.dir).await?;
        self.relay = Some(relay);
        self.kept.insert("relay".to_owned(), address.clone());
        self.teller
            .did("", "a relay listens on this machine", &address)?;
        let [alice, bob, john] = Who::ALL;
        let (alice, bob, john) = tokio::try_join!(
            Person::new(alice, &self.dir),
            Person::new(bob, &self.dir),
            Person::new(john, &self.dir),
        )?;
        for (who, person) in Who::ALL.into_iter().zip([alice, bob, john]) {
            let person = self.people.entry(who).or_insert(person);
            person.start(false, &address).await?;
        }
        self.teller
            .did("", "three people have made their identities", "init")
    }

    async fn steps(&mut self, steps: &'static [Step]) -> Result<(), DemoError> {
        for step in steps {
            if let Step::With(command, inner) = step {
                if Line::command().find_subcommand(command).is_none() {
                    self.skipped.push((*command).to_owned());
                    self.teller.skipped(command)?;
                    continue;
                }
                for step in *inner {
                    self.one(step).await?;
                }
            } else {
                self.one(step).await?;
            }
        }
        Ok(())
    }

    async fn one(&mut self, step: &'static Step) -> Result<(), DemoError> {
        match *step {
            Step::Chapter(title) => self.teller.chapter(title),
            Step::Does(who, tell, line, keep) => self.does(who, tell, line, keep).await,
            Step::Fails(who, tell, line, code) => self.fails(who, tell, line, code).await,
            Step::Sees(who, tell, line, rows) => {
                self.now(who, tell);
                for person in who {
                    self.sees(*person, line, rows).await?;
                }
                self.teller.saw(who, tell)
            }
            Step::Answers(who, tell, line, rows) => {
                self.now(&[who], tell);
                let line = expand(line, &self.kept)?;
                let answer = self.must(who, &line).await?;
                check(&answer, rows, &self.kept)?;
                self.teller.saw(&[who], tell)
            }
            Step::Hears(who, tell, fields) => {
                self.now(who, tell);
                for person in who {
                    self.hears(*person, fields).await?;
                }
                self.teller.saw(who, tell)
            }
            Step::Offline(who, tell) => self.restart(who, tell, true).await,
            Step::Online(who, tell) => self.restart(who, tell, false).await,
            Step::Latency(from, to) => self.latency(from, to).await,
            Step::Show(who, line) => self.show(who, line).await,
            Step::SameFile(tell, one, other) => self.same_file(tell, one, other),
            Step::Outsider(tell, words) => self.outsider(tell, words).await,
            Step::SameState => self.same_state().await,
            // `steps` unfolds it
            Step::With(..) => Ok(()),
        }
    }

    fn now(&mut self, who: &[Who], tell: &str) {
        let names: Vec<_> = who.iter().map(|w| w.name()).collect();
        self.step = format!("{}: {tell}", names.join(", "));
    }

    fn person(&mut self, who: Who) -> Result<&mut Person, DemoError> {
        self.people.get_mut(&who).ok_or_else(|| DemoError::Process {
            what: format!("{} is not there", who.name()),
        })
    }

    /// Has somebody do a line that must succeed.
    async fn must(&mut self, who: Who, line: &str) -> Result<Vec<Value>, DemoError> {
        match self.person(who)?.ask(line).await? {
            Ok(rows) => Ok(rows),
            Err((code, message)) => differed(format!("`{line}` failed with {code}: {message}")),
        }
    }

    async fn does(
        &mut self,
        who: Who,
        tell: &str,
        line: &str,
        keep: Fields,
    ) -> Result<(), DemoError> {
        self.now(&[who], tell);
        let line = expand(line, &self.kept)?;
        let rows = self.must(who, &line).await?;
        for (name, pointer) in keep {
            let value = rows.first().and_then(|row| row.pointer(pointer)?.as_str());
            let Some(value) = value else {
                return differed(format!("`{line}` answered without {pointer}"));
            };
            self.kept.insert((*name).to_owned(), value.to_owned());
        }
        self.teller.did(who.name(), tell, &line)
    }

    async fn fails(&mut self, who: Who, tell: &str, line: &str, code: u8) -> Result<(), DemoError> {
        self.now(&[who], tell);
        let line = expand(line, &self.kept)?;
        match self.person(who)?.ask(&line).await? {
            Err((seen, _)) if seen == u64::from(code) => self.teller.did(who.name(), tell, &line),
            Err((seen, message)) => differed(format!(
                "`{line}` failed with {seen}, expected {code}: {message}"
            )),
            Ok(_) => differed(format!("`{line}` succeeded, expected to fail with {code}")),
        }
    }

    /// Looks again whenever there is news, until it is seen or time is up.
    async fn sees(&mut self, who: Who, line: &str, rows: Rows) -> Result<(), DemoError> {
        let line = expand(line, &self.kept)?;
        let until = Instant::now() + SEEN_WITHIN;
        loop {
            let seen = match self.person(who)?.ask(&line).await? {
                Ok(answer) => check(&answer, rows, &self.kept),
                // what it names may not be there yet
                Err((code, message)) => differed(format!("failed with {code}: {message}")),
            };
            let Err(error) = seen else {
                return Ok(());
            };
            if Instant::now() > until {
                return differed(format!("{} with `{line}`: {error}", who.name()));
            }
            self.person(who)?.listen(LOOK_EVERY).await?;
        }
    }

    async fn hears(&mut self, who: Who, fields: Fields) -> Result<(), DemoError> {
        let until = Instant::now() + SEEN_WITHIN;
        loop {
            let kept = self.kept.clone();
            let person = self.person(who)?;
            for (_, notice) in person.heard() {
                if check::matches(notice, fields, &kept)? {
                    return Ok(());
                }
            }
            if Instant::now() > until {
                let name = who.name();
                return differed(format!("{name}'s node told nothing with {fields:?}"));
            }
            person.listen(LOOK_EVERY).await?;
        }
    }

    async fn restart(&mut self, who: Who, tell: &str, offline: bool) -> Result<(), DemoError> {
        self.now(&[who], tell);
        let relay = expand("{relay}", &self.kept)?;
        let person = self.person(who)?;
        person.stop().await?;
        person.start(offline, &relay).await?;
        let line = if offline { "--offline" } else { "--relay" };
        self.teller.did(who.name(), tell, line)
    }

    /// Measures from handing over the line until the other's node tells of the op.
    async fn latency(&mut self, from: Who, to: Who) -> Result<(), DemoError> {
        self.step = format!("how fast {} hears {}", to.name(), from.name());
        let mut took = Vec::with_capacity(LATENCY_POSTS);
        for n in 1..=LATENCY_POSTS {
            let began = Instant::now();
            let line = format!("post --channel general 'tick {n}'");
            let rows = self.must(from, &line).await?;
            let op = rows
                .first()
                .map_or_else(String::new, |row| field(row, "op"));
            let arrived = self.arrival(to, &op).await?;
            took.push(arrived.saturating_duration_since(began).as_millis());
        }
        self.teller.latency(from, to, &took)
    }

    async fn arrival(&mut self, who: Who, op: &str) -> Result<Instant, DemoError> {
        let until = Instant::now() + SEEN_WITHIN;
        loop {
            let person = self.person(who)?;
            let named = |notice: &Value| {
                let ops = notice.get("ops").and_then(Value::as_array);
                ops.is_some_and(|ops| ops.iter().any(|known| known.as_str() == Some(op)))
            };
            let found = person.heard().find(|(_, notice)| named(notice));
            if let Some((at, _)) = found {
                return Ok(at);
            }
            if Instant::now() > until {
                return differed(format!("{} never heard of {op}", who.name()));
            }
            person.listen(LOOK_EVERY).await?;
        }
    }

    async fn show(&mut self, who: &[Who], line: &str) -> Result<(), DemoError> {
        let line = expand(line, &self.kept)?;
        let mut views = Vec::with_capacity(who.len());
        for person in who {
            self.now(&[*person], &line);
            views.push((*person, self.must(*person, &line).await?));
        }
        self.teller.views(&views)
    }

    fn same_file(&mut self, tell: &str, one: &str, other: &str) -> Result<(), DemoError> {
        self.step = tell.to_owned();
        let read = |path: &str| {
            let path = expand(path, &self.kept)?;
            std::fs::read(&path).map_err(|error| DemoError::Differed {
                what: format!("cannot read {path}: {error}"),
            })
        };
        let (one, other) = (read(one)?, read(other)?);
        if one != other {
            return differed(format!(
                "the files differ: {} and {} bytes",
                one.len(),
                other.len()
            ));
        }
        self.teller.fact(tell)
    }

    async fn outsider(&mut self, tell: &str, words: &[&str]) -> Result<(), DemoError> {
        self.step = tell.to_owned();
        let words: Result<Vec<_>, _> = words.iter().map(|word| expand(word, &self.kept)).collect();
        let words = words?;
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        process::run(&words, &self.dir.join("outsider.log")).await?;
        self.teller.fact(tell)
    }

    /// Compares the hash of everything visible, until all three are equal or time is up.
    async fn same_state(&mut self) -> Result<(), DemoError> {
        "all three have the same state".clone_into(&mut self.step);
        let space = expand("{space}", &self.kept)?;
        let until = Instant::now() + SEEN_WITHIN;
        loop {
            let mut hashes = BTreeMap::new();
            for who in Who::ALL {
                let rows = self.must(who, "status").await?;
                let row = rows
                    .iter()
                    .find(|row| field(row, "type") == "space-status" && field(row, "id") == space);
                let hash = row.map_or_else(String::new, |row| field(row, "state_hash"));
                hashes.insert(who, hash);
            }
            let mut distinct: Vec<_> = hashes.values().cloned().collect();
            distinct.sort_unstable();
            distinct.dedup();
            if let [one] = distinct.as_slice()
                && !one.is_empty()
            {
                self.hash.clone_from(one);
                let short = one.get(..16).unwrap_or(one);
                return self.teller.fact(&format!(
                    "Alice, Bob and John have the same state, bit for bit: {short}"
                ));
            }
            if Instant::now() > until {
                return differed(format!("the states differ: {hashes:?}"));
            }
            self.person(Who::Alice)?.listen(LOOK_EVERY).await?;
        }
    }
}

/// Starts the relay and waits for the address it listens on.
async fn start_relay(dir: &Path) -> Result<(Child, String), DemoError> {
    let log = dir.join("relay.log");
    let data = dir.join("relay").display().to_string();
    let words = [
        "relay",
        "--data",
        &data,
        "--listen",
        "/ip4/127.0.0.1/tcp/0",
        "--print-address",
        "--until-eof",
    ];
    let mut child = process::start(&words, &log)?;
    let gone = || DemoError::Process {
        what: format!("the relay does not listen: {}", process::last_words(&log)),
    };
    let stdout = child.stdout.take().ok_or_else(gone)?;
    let mut lines = BufReader::new(stdout).lines();
    match timeout(RELAY_WITHIN, lines.next_line()).await {
        Ok(Ok(Some(address))) => Ok((child, address.trim().to_owned())),
        _ => Err(gone()),
    }
}

fn differed<T>(what: String) -> Result<T, DemoError> {
    Err(DemoError::Differed { what })
}
