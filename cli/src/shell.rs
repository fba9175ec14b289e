//! `decent shell`: keeps one profile open and reads commands, one a line.
//!
//! For scripts, tests and the demo: every line is answered by exactly one line of
//! JSON with the line's id, and what happens meanwhile comes as lines of its own.
//! A line that fails does not end the shell; the last failure is its exit code.

use std::io::IsTerminal;
use std::process::ExitCode;

use clap::Parser;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::sync::broadcast::error::RecvError;

use crate::api::{Handle, Notice};
use crate::args::{Cmd, Line, LineCmd, RogueArgs, ShellArgs};
use crate::error::CliError;
use crate::execute::{Context, execute, rogue};
use crate::output::Output;
use crate::print::{Printer, note};
use crate::render::{clean, json as rows};
use crate::{signals, words};

/// Reads and does commands until the input ends, says `exit`, or the keyboard says stop.
///
/// # Errors
/// When standard input or output is gone.
pub(crate) async fn run(
    handle: &Handle,
    args: &ShellArgs,
    context: &Context,
    printer: Printer,
) -> Result<ExitCode, CliError> {
    let notices = async {
        if args.notices {
            tell(handle, printer).await
        } else {
            std::future::pending().await
        }
    };
    tokio::select! {
        ended = read(handle, context, printer) => ended,
        ended = notices => ended.map(|()| ExitCode::SUCCESS),
        () = signals::stop() => Ok(ExitCode::SUCCESS),
    }
}

async fn read(handle: &Handle, context: &Context, printer: Printer) -> Result<ExitCode, CliError> {
    let prompt = !printer.json && std::io::stdin().is_terminal();
    if prompt {
        note(
            "one command a line, like on the command line without `decent`; `help` lists them, `exit` ends",
        );
    }
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    let mut number: u64 = 0;
    let mut code = ExitCode::SUCCESS;
    loop {
        if prompt {
            printer.text("decent> ")?;
        }
        let line = lines.next_line().await.map_err(|source| CliError::System {
            doing: "read standard input",
            source,
        })?;
        let Some(line) = line else {
            return Ok(code);
        };
        number += 1;
        let (id, said) = split_id(&line, number);
        let outcome = match understand(said) {
            Ok(Some(Said::Cmd(cmd))) => execute(handle, *cmd, context).await.map(Reply::Output),
            Ok(Some(Said::Rogue(args))) => rogue(handle, args).await.map(Reply::Output),
            Ok(Some(Said::Help(text))) => Ok(Reply::Help(text)),
            Ok(Some(Said::Exit)) => {
                if printer.json {
                    printer.row(&answer(&id, &Ok(Reply::Nothing)))?;
                }
                return Ok(code);
            }
            // an empty line or a comment asks for nothing
            Ok(None) => continue,
            Err(error) => Err(error),
        };
        if let Err(error) = &outcome {
            code = ExitCode::from(error.code().number());
        }
        match (&outcome, printer.json) {
            (_, true) => printer.row(&answer(&id, &outcome))?,
            (Ok(Reply::Output(output)), false) => printer.output(output)?,
            (Ok(Reply::Help(text)), false) => printer.text(text)?,
            (Ok(Reply::Nothing), false) => {}
            (Err(error), false) => printer.error(error),
        }
    }
}

/// What a line came to.
enum Reply {
    Output(Output),
    Help(String),
    Nothing,
}

/// What a line asks for.
#[derive(Debug)]
enum Said {
    Cmd(Box<Cmd>),
    Rogue(RogueArgs),
    Help(String),
    Exit,
}

/// Takes the id off the front of a line: `id=a1 whoami`; without one it is the line's number.
fn split_id(line: &str, number: u64) -> (String, &str) {
    let line = line.trim();
    if let Some(rest) = line.strip_prefix("id=") {
        let (id, rest) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
        if !id.is_empty() {
            return (id.to_owned(), rest);
        }
    }
    (number.to_string(), line)
}

fn understand(line: &str) -> Result<Option<Said>, CliError> {
    if line.is_empty() || line.starts_with('#') {
        return Ok(None);
    }
    let words = words::split(line)?;
    match Line::try_parse_from(words) {
        Ok(line) => Ok(Some(match line.command {
            LineCmd::Cmd(cmd) => Said::Cmd(Box::new(cmd)),
            LineCmd::RoguePost(args) => Said::Rogue(args),
            LineCmd::Exit => Said::Exit,
        })),
        Err(refusal) if refusal.exit_code() == 0 => {
            Ok(Some(Said::Help(refusal.render().to_string())))
        }
        Err(refusal) => Err(CliError::Line {
            text: refusal.render().to_string(),
        }),
    }
}

fn answer(id: &str, outcome: &Result<Reply, CliError>) -> Value {
    match outcome {
        Ok(Reply::Output(output)) => json!({"id": id, "ok": output.rows()}),
        Ok(Reply::Help(text)) => json!({"id": id, "ok": [{"type": "help", "text": text}]}),
        Ok(Reply::Nothing) => json!({"id": id, "ok": []}),
        Err(error) => json!({"id": id, "error": error.to_json()}),
    }
}

/// Prints what happens until the node stops.
async fn tell(handle: &Handle, printer: Printer) -> Result<(), CliError> {
    let mut notices = handle.notices();
    loop {
        match notices.recv().await {
            Ok(notice) if printer.json => printer.row(&rows::notice(&notice))?,
            Ok(notice) => {
                if let Some(words) = words_for(&notice) {
                    printer.text(&format!("* {words}\n"))?;
                }
            }
            Err(RecvError::Lagged(missed)) if printer.json => {
                printer.row(&json!({"notice": "missed", "count": missed}))?;
            }
            Err(RecvError::Lagged(missed)) => {
                printer.text(&format!("* and {missed} more\n"))?;
            }
            Err(RecvError::Closed) => return Ok(()),
        }
    }
}

fn words_for(notice: &Notice) -> Option<String> {
    Some(match notice {
        Notice::Ops { space, ops } => format!("{} new in {}", ops.len(), space.short()),
        Notice::Refused {
            space,
            op,
            rule,
            why,
        } => format!(
            "refused {} in {} by rule {rule}: {}",
            op.short(),
            space.short(),
            clean::line(why)
        ),
        Notice::Gone { space, ops } => format!(
            "{} of your own ops in {} were damaged before anybody else had them, and are gone",
            ops.len(),
            space.short()
        ),
        Notice::Epoch { space, epoch } => {
            format!("new keys in {}: epoch {}", space.short(), epoch.short())
        }
        Notice::Fork { space, parent } => format!(
            "two members changed the keys of {} at once, after epoch {}; all come to one of them",
            space.short(),
            parent.short()
        ),
        Notice::Joined { space } => format!("joined {}", space.short()),
        Notice::Removed { space, by } => {
            format!("removed from {} by {}", space.short(), by.short())
        }
        Notice::JoinRequest { space, request } => format!(
            "{} ({}) asks to be let into {}: `approve`",
            clean::line(&request.name),
            request.user.short(),
            space.short()
        ),
        Notice::Relay(relay) if relay.connected => {
            format!("connected to {}", clean::line(&relay.address))
        }
        Notice::Relay(relay) => format!(
            "no connection to {}{}",
            clean::line(&relay.address),
            relay
                .error
                .as_deref()
                .map_or_else(String::new, |error| format!(": {}", clean::line(error)))
        ),
        // nothing to act on
        Notice::Importing { .. } | Notice::CaughtUp => return None,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_may_bring_its_own_id() {
        for (line, id, rest) in [
            ("whoami", "7", "whoami"),
            ("  id=a1   whoami ", "a1", "  whoami"),
            ("id=a1", "a1", ""),
            ("id= whoami", "7", "id= whoami"),
            ("post id=3", "7", "post id=3"),
        ] {
            assert_eq!(split_id(line, 7), (id.to_owned(), rest), "{line:?}");
        }
    }

    #[test]
    fn lines_are_commands_help_or_mistakes() {
        assert!(matches!(
            understand("post --channel general 'good morning'"),
            Ok(Some(Said::Cmd(cmd))) if matches!(&*cmd, Cmd::Post(args) if args.text.as_deref() == Some("good morning"))
        ));
        assert!(matches!(understand("exit"), Ok(Some(Said::Exit))));
        assert!(matches!(understand("quit"), Ok(Some(Said::Exit))));
        assert!(matches!(understand(""), Ok(None)));
        assert!(matches!(understand("# a comment"), Ok(None)));
        for line in ["help", "post --help", "--help"] {
            assert!(
                matches!(understand(line), Ok(Some(Said::Help(_)))),
                "{line}"
            );
        }
        for line in [
            "frobnicate",
            "post 'open",
            "init --name x",
            "shell",
            "post a b",
        ] {
            let error = understand(line).unwrap_err();
            assert_eq!(error.code().number(), 2, "{line}");
        }
    }

    #[test]
    fn every_line_is_answered_with_its_id() {
        let failed = understand("post 'open").map(|_| Reply::Nothing);
        insta::assert_snapshot!(answer("a1", &failed), @r#"{"error":{"code":2,"kind":"usage","message":"a ' is never closed"},"id":"a1"}"#);
        insta::assert_snapshot!(answer("2", &Ok(Reply::Nothing)), @r#"{"id":"2","ok":[]}"#);
    }
}
