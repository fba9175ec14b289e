//! One sitting of somebody who does a bit of everything, and what must be there afterwards.

use std::collections::BTreeSet;
use std::path::Path;

use crate::program::{Program, bodies, ok, on, rows};
use crate::report::Counters;

/// Something to do: the line, and where it shows afterwards: a line to ask, and what the answer then has.
pub(crate) struct Act {
    line: String,
    ask: &'static str,
    shows: String,
}

/// The exit code of a program that the shim has stopped.
const STOPPED: i32 = 137;

/// What is shown before the sitting begins.
pub(crate) const BEFORE: [&str; 2] = ["before 1", "before 2"];

const READ: &str = "read general --limit 100 --space S0";

/// Makes the profile that every sitting begins with: two posts, and an index with tables and a journal.
pub(crate) fn base(at: &Path, attachment: &Path) {
    std::fs::write(attachment, vec![b'a'; 70_000]).unwrap();
    ok(at, &["init", "--name", "Kim"]);
    ok(at, &["space", "create", "S0", "--offline"]);
    for body in BEFORE {
        ok(at, &["post", body, "--channel", "general", "--offline"]);
    }
}

/// Returns what is done in a sitting: content, control ops, founding a group, settings, files.
pub(crate) fn acts(attachment: &Path) -> Vec<Act> {
    let act = |line: &str, ask, shows: &str| Act {
        line: line.to_owned(),
        ask,
        shows: shows.to_owned(),
    };
    let long = "long ".repeat(300);
    vec![
        act("post --channel general --space S0 \"one\"", READ, "\"one\""),
        act(
            &format!(
                "post --channel general --space S0 \"two {}\"",
                long.trim_end()
            ),
            READ,
            "\"two ",
        ),
        act(
            "channel create annex --space S0",
            "channel list --space S0",
            "\"annex\"",
        ),
        act("space create S1", "space list", "\"S1\""),
        act(
            "post --channel general --space S1 \"three\"",
            "read general --space S1",
            "\"three\"",
        ),
        act(
            "relays add /ip4/127.0.0.1/tcp/9/p2p/12D3KooWEyoppNCUx8Yx66oV9fJnriXwCcXwDDUA2kj6vnc6iDEp",
            "relays list",
            "12D3KooWEyoppNCUx8Yx66oV9fJnriXwCcXwDDUA2kj6vnc6iDEp",
        ),
        act(
            "invite create --no-qr --space S0 --max-uses 3",
            "invite list --space S0",
            "\"invite\"",
        ),
        act(
            "thread new --channel forum --space S0 \"Heading\" \"four\"",
            "thread list --channel forum --space S0",
            "\"Heading\"",
        ),
        act(
            &format!(
                "post --channel general --space S0 --attach {} \"five\"",
                attachment.display()
            ),
            READ,
            "\"five\"",
        ),
        act("space update --name S2 --space S1", "space list", "\"S2\""),
        act("post --channel general --space S0 \"six\"", READ, "\"six\""),
    ]
}

/// How far a sitting came.
#[derive(Clone, Default)]
pub(crate) struct Reached {
    /// Which acts were acknowledged.
    pub(crate) acknowledged: BTreeSet<usize>,
    /// Which were refused; all others may have happened or not.
    pub(crate) refused: BTreeSet<usize>,
    /// Whether the program came to its end by itself.
    pub(crate) ended: bool,
}

/// Does everything, one after the other. `after` is called behind every answer.
pub(crate) fn sit(
    mut program: Program,
    acts: &[Act],
    counters: &mut Counters,
    mut after: impl FnMut(&Reached),
) -> Reached {
    let mut reached = Reached::default();
    for (n, act) in acts.iter().enumerate() {
        let Some(answer) = program.ask(&act.line) else {
            // It died, as it was told to.
            program.end(counters);
            return reached;
        };
        match rows(&answer) {
            Ok(_) => reached.acknowledged.insert(n),
            Err(_) => reached.refused.insert(n),
        };
        after(&reached);
    }
    reached.ended = program.end(counters).code() != Some(STOPPED);
    reached
}

/// Starts the plain program on what is left and compares. Returns whether it started.
pub(crate) fn look(
    profile: &Path,
    errors: &Path,
    acts: &[Act],
    reached: &Reached,
    counters: &mut Counters,
    case: &str,
) -> bool {
    counters.one("starts");
    let mut program = Program::start(on(profile, &["shell", "--offline"]), errors);
    let seen = look_with(&mut program, acts, reached, counters, case);
    if seen {
        // That it ends by itself is part of it. The code is that of a line that failed, if one did.
        if program.end(counters).code().is_none() {
            counters.bad(
                "failed_starts",
                format!("{case}: it does not end by itself"),
            );
        }
    } else {
        program.kill(counters);
    }
    seen
}

/// Asks a running program for everything and compares.
pub(crate) fn look_with(
    program: &mut Program,
    acts: &[Act],
    reached: &Reached,
    counters: &mut Counters,
    case: &str,
) -> bool {
    let asks: BTreeSet<&str> = acts.iter().map(|act| act.ask).chain([READ]).collect();
    for ask in asks {
        // A Space that was not founded, or has its other name by now, is asked for in vain.
        let Some(answer) = program.ask(ask) else {
            counters.bad("failed_starts", format!("{case}: {}", program.said()));
            return false;
        };
        let shown = if ask.contains("--space S1") && rows(&answer).is_err() {
            let Some(again) = program.ask(&ask.replace("S1", "S2")) else {
                counters.bad("failed_starts", format!("{case}: {}", program.said()));
                return false;
            };
            again
        } else {
            answer
        };
        let text = shown.to_string();
        for (n, act) in acts.iter().enumerate().filter(|(_, act)| act.ask == ask) {
            // The first name of a Space goes when it gets its second.
            let renamed = act.shows == "\"S1\"" && text.contains("\"S2\"");
            let there = text.contains(&act.shows) || renamed;
            if reached.acknowledged.contains(&n) && !there {
                counters.bad(
                    "lost_ops",
                    format!("{case}: `{}` is gone: {text}", act.line),
                );
            }
            counters.one("ops_checked");
        }
        if ask == READ {
            let Ok(rows) = rows(&shown) else {
                counters.bad("lost_ops", format!("{case}: {shown}"));
                continue;
            };
            let shown = bodies(rows);
            check_bodies(&shown, counters, case);
            for before in BEFORE {
                if !shown.contains(&before) {
                    counters.bad("lost_ops", format!("{case}: {before} is gone"));
                }
            }
        }
    }
    true
}

/// Whatever is shown was written, and once.
pub(crate) fn check_bodies(shown: &[&str], counters: &mut Counters, case: &str) {
    let mut seen = BTreeSet::new();
    let long = format!("two {}", "long ".repeat(300));
    let known = [
        "before 1",
        "before 2",
        "one",
        long.trim_end(),
        "five",
        "six",
    ];
    for body in shown {
        if !seen.insert(body) || !known.contains(body) {
            counters.bad("wrong_data", format!("{case}: shows {body:?}"));
        }
    }
}
