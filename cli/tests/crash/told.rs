//! What programs write while three of them do their work, with every log at its finest level: to standard
//! error, and to standard output. No passphrase, phrase, key, link, name or text is in a log, and no passphrase,
//! phrase or key in an answer.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::kills::serve;
use crate::program::{Program, decent, rows};
use crate::report::Counters;
use crate::work::{Workshop, files_below};

const PASSPHRASES: [&str; 2] = ["Xq7Wz pass of Alice", "Xq7Wz pass of Bob"];
/// What people are called and say, and why.
const SAID: [&str; 7] = [
    "Alice Xq7Na",
    "Bob Xq7Na",
    "Club Xq7Na",
    "annex-xq7na",
    "post Xq7Na",
    "reason Xq7Na",
    "reaches Xq7Na",
];

struct Teller {
    folder: PathBuf,
    /// Everything that was answered.
    answers: String,
}

impl Teller {
    fn command(&self, who: usize, words: &[&str]) -> Command {
        let mut command = decent();
        command
            .args(words)
            .arg("--profile")
            .arg(self.folder.join(format!("profile{who}")))
            .arg("--json")
            .env("DECENT_PASSPHRASE", PASSPHRASES[who])
            .env("DECENT_LOG", "trace");
        command
    }

    /// Runs a command to its end, whatever end that is.
    fn run(&mut self, who: usize, words: &[&str]) -> String {
        let output = self
            .command(who, words)
            .stdin(std::process::Stdio::null())
            .output()
            .unwrap();
        let log = self
            .folder
            .join(format!("log{}", files_below(&self.folder).len()));
        std::fs::write(log, &output.stderr).unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        self.answers.push_str(&said);
        said
    }

    fn start(&self, who: usize) -> Program {
        let errors = self.folder.join(format!("log-of-shell{who}"));
        Program::start(self.command(who, &["shell", "--notices"]), &errors)
    }

    fn ask(&mut self, program: &mut Program, line: &str) -> serde_json::Value {
        let answer = program.ask(line).expect("an answer");
        self.answers.push_str(&answer.to_string());
        answer
    }
}

pub(crate) fn told(workshop: &Workshop, times: u64, counters: &mut Counters) {
    for _ in 0..times {
        once(workshop, counters);
    }
}

fn once(workshop: &Workshop, counters: &mut Counters) {
    let mut teller = Teller {
        folder: workshop.folder("told"),
        answers: String::new(),
    };
    let data = workshop.folder("told-relay");
    let log = teller.folder.join("log-of-relay");
    let (relay, address) = serve(
        &data,
        "/ip4/127.0.0.1/tcp/0",
        &log,
        &[("DECENT_LOG", "trace")],
    );
    let address = address.expect("a relay tells its address");
    let mut phrases = Vec::new();
    for (who, name) in SAID.iter().take(2).enumerate() {
        // The one answer that must have the phrase is not kept.
        let made = teller.run(who, &["init", "--name", name]);
        let row: serde_json::Value = serde_json::from_str(made.trim()).unwrap();
        phrases.push(row["phrase"].as_str().expect("a phrase").to_owned());
        teller.answers.clear();
    }
    teller.run(0, &["relays", "add", &address]);
    teller.run(0, &["space", "create", SAID[2]]);
    let mut alice = teller.start(0);
    let invite = teller.ask(&mut alice, "invite create --no-qr");
    let link = rows(&invite).expect("an invite")[0]["link"]
        .as_str()
        .unwrap()
        .to_owned();
    teller.run(1, &["join", &link]);
    let mut bob = teller.start(1);
    for line in [
        format!("channel create {} --topic \"{}\"", SAID[3], SAID[5]),
        format!("post --channel general \"{}\"", SAID[4]),
        format!("mute Bob --reason \"{}\"", SAID[5]),
        "unmute Bob".to_owned(),
        "status".to_owned(),
        // What fails tells something too.
        format!("post --channel {} x", SAID[6]),
        format!("join {link}x"),
        format!("join {}", link.replacen("decent", "decnet", 1)),
        "import /nowhere/Xq7".to_owned(),
        "doctor".to_owned(),
    ] {
        teller.ask(&mut alice, &line);
    }
    for line in ["sync", "read general", "members", "status"] {
        teller.ask(&mut bob, line);
    }
    let seen = teller.ask(&mut bob, "read general");
    assert!(seen.to_string().contains(SAID[4]), "Bob reads it: {seen}");
    alice.end(counters);
    bob.end(counters);
    relay.kill(counters);
    teller.run(1, &["whoami", "--passphrase-file", "/nowhere/at/all"]);
    let backup = teller.folder.join("backup").display().to_string();
    teller.run(0, &["backup", &backup]);
    std::fs::remove_file(backup).unwrap();
    look(&teller, &link, &phrases, counters);
}

/// Looks through everything that was written.
fn look(teller: &Teller, link: &str, phrases: &[String], counters: &mut Counters) {
    // Two words of a phrase side by side are no accident.
    let pairs: Vec<String> = phrases
        .iter()
        .flat_map(|phrase| {
            let words: Vec<&str> = phrase.split(' ').collect();
            words
                .windows(2)
                .map(|pair| pair.join(" "))
                .collect::<Vec<_>>()
        })
        .collect();
    let secret: Vec<&str> = PASSPHRASES
        .into_iter()
        .chain(pairs.iter().map(String::as_str))
        .collect();
    let code = link.rsplit(['/', '#', ':']).next().unwrap();
    let private: Vec<&str> = SAID
        .into_iter()
        .chain([code])
        .chain(secret.iter().copied())
        .collect();
    let find = |what: &str, text: &str, canaries: &[&str], counters: &mut Counters| {
        for canary in canaries {
            counters.one("canaries_looked_for");
            if text.contains(canary) {
                let at = text
                    .lines()
                    .find(|line| line.contains(canary))
                    .unwrap_or_default();
                let at: String = at.chars().take(400).collect();
                counters.bad("wrong_data", format!("{what} says {canary:?}: {at}"));
            }
        }
    };
    find("an answer", &teller.answers, &secret, counters);
    let logs: Vec<PathBuf> = files_below(&teller.folder)
        .into_iter()
        .filter(|path| is_log(path))
        .collect();
    for path in &logs {
        let text = String::from_utf8_lossy(&std::fs::read(path).unwrap()).into_owned();
        counters.add("bytes_of_logs", text.len() as u64);
        // Errors say on standard error what somebody asked for; a log has a level on each line.
        let log: String = text
            .lines()
            .filter(|line| is_logged(line))
            .collect::<Vec<_>>()
            .join("\n");
        counters.add("lines_of_logs", log.lines().count() as u64);
        find(&path.display().to_string(), &log, &private, counters);
        find(&path.display().to_string(), &text, &secret, counters);
    }
    if counters.get("lines_of_logs") < 100 {
        counters.bad("harness_failures", "hardly anything was logged");
    }
    // And it would be found.
    let found = Counters::quietly(|counters| {
        find("control", &format!("TRACE {}", SAID[4]), &private, counters);
        find(
            "control",
            &format!("{{\"x\":\"{}\"}}", pairs[7]),
            &secret,
            counters,
        );
    });
    if found.get("wrong_data") != 2 {
        counters.bad("harness_failures", "a canary that is planted is not found");
    }
    counters.one("controls");
}

fn is_log(path: &Path) -> bool {
    path.file_name()
        .and_then(|name| name.to_str())
        .is_some_and(|name| name.starts_with("log"))
}

fn is_logged(line: &str) -> bool {
    ["TRACE", "DEBUG", "INFO", "WARN", "ERROR"]
        .iter()
        .any(|level| line.contains(level))
}
