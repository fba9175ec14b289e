//! `decent audit`: why things are as they are, and proofs of it for people without a profile.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::{Map, Value, json};

use crate::api::{Branch, CommandError, Handle, LiveNode, OpId, ProofError, SpaceId, verify_proof};
use crate::api::{
    DumpRefused, Explanation, Field, Header, Op, Outcome, Proof, RefusedOp, Snapshot, SpaceDump,
    Timestamp, Until,
};
use crate::args::{AuditCmd, AuditVerifyArgs};
use crate::error::CliError;
use crate::execute::{Context, ask, lookup};
use crate::files;
use crate::output::Output;
use crate::render::{Look, clean, json as rows, time};
use crate::resolve::{Candidate, ID_DIGITS_MIN, pick};

/// What an audit came to.
#[derive(Debug)]
pub(crate) enum Page {
    /// The newest ops, and those that were refused when they came.
    Log(Vec<Outcome>, Vec<RefusedOp>),
    /// One op explained.
    Explanation(Explanation),
    /// Everything.
    Dump(Box<SpaceDump>),
    /// A proof that holds.
    Verified(Box<Proof>),
    /// The Space as it stood.
    Replay(Box<Snapshot>),
}

/// Does what was asked.
///
/// # Errors
/// When something it names does not exist, a proof does not hold, or a disk fails.
pub(crate) async fn run(handle: &Handle, cmd: AuditCmd, _: &Context) -> Result<Output, CliError> {
    let page = match cmd {
        AuditCmd::Verify(args) => return verify(&args),
        AuditCmd::Log(args) => {
            let space = lookup::space(handle, args.at.space.as_deref()).await?.id;
            let limit = args.limit.get();
            let log = ask(handle, move |node| node.audit_log(space, limit)).await?;
            let refused = ask(handle, move |node| node.refused_ops(space, limit)).await?;
            Page::Log(log, refused)
        }
        AuditCmd::Explain(args) => {
            let space = lookup::space(handle, args.at.space.as_deref()).await?.id;
            let op = op(handle, space, &args.op).await?;
            Page::Explanation(of_op(handle, move |node| node.explain(space, op)).await?)
        }
        AuditCmd::Equivocations(at) => {
            let space = lookup::space(handle, at.space.as_deref()).await?.id;
            let seen = ask(handle, move |node| node.equivocations(space)).await?;
            return Ok(Output::Equivocations(seen));
        }
        AuditCmd::Dump(args) => {
            let space = lookup::space(handle, args.at.space.as_deref()).await?.id;
            Page::Dump(Box::new(ask(handle, move |node| node.dump(space)).await?))
        }
        AuditCmd::Prove(args) => {
            files::vacant(&args.to, args.force)?;
            let space = lookup::space(handle, args.at.space.as_deref()).await?.id;
            let op = op(handle, space, &args.op).await?;
            let proof = of_op(handle, move |node| node.prove(space, op)).await?;
            files::write(&args.to, &proof, args.force)?;
            return Ok(Output::File {
                what: "proof",
                path: args.to,
                bytes: proof.len() as u64,
                left_out: None,
            });
        }
        AuditCmd::Replay(args) => {
            let space = lookup::space(handle, args.at.space.as_deref()).await?.id;
            let until = match moment(&args.until) {
                Some(time) => Until::Time(time),
                None if is_id(&args.until) => Until::Op(op(handle, space, &args.until).await?),
                None => {
                    return Err(CliError::usage(format!(
                        "{:?} is no time (like 2026-03-01 or \"2026-03-01 12:00\", in UTC) and no op",
                        args.until
                    )));
                }
            };
            let snapshot = of_op(handle, move |node| node.replay(space, until)).await?;
            Page::Replay(Box::new(snapshot))
        }
    };
    Ok(Output::Audit(page))
}

/// Checks a proof; opens no profile.
///
/// # Errors
/// When it cannot be read or does not hold.
pub(crate) fn verify(args: &AuditVerifyArgs) -> Result<Output, CliError> {
    let proof = verify_proof(&files::read(&args.file)?).map_err(refused)?;
    Ok(Output::Audit(Page::Verified(Box::new(proof))))
}

fn refused(error: ProofError) -> CliError {
    let mut what = format!("the proof does not hold: {error}");
    if let Some(source) = std::error::Error::source(&error) {
        let _ = write!(what, ": {source}");
    }
    CliError::Input { what }
}

/// Asks something about an op of any kind, which may not be here.
async fn of_op<T: Send + 'static>(
    handle: &Handle,
    question: impl Fn(&LiveNode) -> Result<T, CommandError> + Send + Sync + 'static,
) -> Result<T, CliError> {
    match ask(handle, question).await {
        Err(CliError::Command(CommandError::UnknownOp { op })) => Err(CliError::Unknown {
            what: "op",
            wanted: op.to_string(),
            hint: " in this Space".to_owned(),
        }),
        other => other,
    }
}

/// Returns the op, of any kind, that is meant.
/// Returns the op of any kind whose id begins so.
pub(crate) async fn op(handle: &Handle, space: SpaceId, wanted: &str) -> Result<OpId, CliError> {
    if let Ok(op) = wanted.parse() {
        return Ok(op);
    }
    let digits = wanted.strip_prefix("id:").unwrap_or(wanted).to_lowercase();
    let like = digits.clone();
    let found = ask(handle, move |node| node.ops_beginning(space, &like)).await?;
    let candidates: Vec<_> = found
        .into_iter()
        .map(|(key, kind, _, wall)| Candidate {
            key,
            id: key.to_string(),
            name: format!("{kind}, {}", time::minute(wall)),
        })
        .collect();
    match pick("op", &format!("id:{digits}"), &candidates) {
        Err(CliError::Unknown { what, .. }) => Err(CliError::Unknown {
            what,
            wanted: wanted.to_owned(),
            hint: "; give at least four digits of its id, as `decent audit log` shows it"
                .to_owned(),
        }),
        other => other,
    }
}

/// Whether a text can be the beginning of an op's id.
fn is_id(text: &str) -> bool {
    let digits = text.strip_prefix("id:").unwrap_or(text);
    digits.len() >= ID_DIGITS_MIN && digits.bytes().all(|b| b.is_ascii_hexdigit())
}

/// Reads `2026-03-01`, `2026-03-01 12:00`, `2026-03-01T12:00:30Z` (UTC) or `ms:1772366400000`.
fn moment(text: &str) -> Option<Timestamp> {
    if let Some(ms) = text.strip_prefix("ms:") {
        return ms.parse().ok().map(Timestamp::from_ms);
    }
    let text = text.strip_suffix('Z').unwrap_or(text);
    let (date, clock) = text.split_once([' ', 'T']).unwrap_or((text, "00:00"));
    let numbers = |text: &str, by: char| -> Option<Vec<u64>> {
        text.split(by).map(|n| n.parse().ok()).collect()
    };
    let [year, month, day] = *numbers(date, '-')? else {
        return None;
    };
    let clock = numbers(clock, ':')?;
    let (hour, minute, second) = match *clock {
        [hour, minute] => (hour, minute, 0),
        [hour, minute, second] => (hour, minute, second),
        _ => return None,
    };
    let sound = (1970..=9999).contains(&year)
        && (1..=12).contains(&month)
        && (1..=days_of(year, month)).contains(&day)
        && hour < 24
        && minute < 60
        && second < 60;
    if !sound {
        return None;
    }
    // Hinnant, "chrono-compatible low-level date algorithms", `days_from_civil`.
    let year = if month <= 2 { year - 1 } else { year };
    let (era, of_era) = (year / 400, year % 400);
    let month_from_march = (month + 9) % 12;
    let of_year = (153 * month_from_march + 2) / 5 + day - 1;
    let days = era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468;
    let secs = days * 86_400 + hour * 3_600 + minute * 60 + second;
    Some(Timestamp::from_ms(secs * 1_000))
}

/// Returns the days of a month of the Gregorian calendar.
const fn days_of(year: u64, month: u64) -> u64 {
    let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    match month {
        2 if leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Returns what programs read.
pub(crate) fn json(page: &Page) -> Vec<Value> {
    match page {
        Page::Log(log, refused) => {
            let rows = log.iter().map(|o| outcome("audit-op", o));
            let refused = refused.iter().map(|r| {
                json!({
                    "type": "refused-op", "op": r.op.to_string(), "rule": r.rule, "why": r.text,
                    "when_ms": r.when.as_ms(),
                })
            });
            rows.chain(refused).collect()
        }
        Page::Explanation(Explanation::Accepted {
            outcome: o,
            steps,
            deciding,
        }) => {
            let mut row = outcome("explanation", o);
            let parties: Vec<_> = deciding
                .iter()
                .map(|p| {
                    json!({
                        "op": p.op.to_string(), "kind": p.kind, "author_name": p.author_name,
                        "wall_ms": p.wall.as_ms(),
                    })
                })
                .collect();
            if let Value::Object(map) = &mut row {
                map.insert("steps".to_owned(), json!(steps));
                map.insert("parties".to_owned(), json!(parties));
            }
            vec![row]
        }
        Page::Explanation(Explanation::Refused { op, rule, text }) => vec![json!({
            "type": "explanation", "op": op.to_string(), "state": "not-accepted", "rule": rule,
            "why": text,
        })],
        Page::Dump(dump) => {
            let mut out: Vec<Value> = dump.ops.iter().map(dump_op).collect();
            out.extend(dump.refused.iter().map(dump_refused));
            let damaged = dump.damaged.iter();
            out.extend(damaged.map(|op| rows::damaged("dump-damaged", dump.space, op)));
            out.extend(snapshot(&dump.end));
            out.push(json!({
                "type": "dump-end", "space": dump.space.to_string(), "name": dump.end.name,
                "heads": ids(&dump.heads), "ops": dump.ops.len(),
                "refused": dump.refused.len(), "damaged": dump.damaged.len(),
                "authority_hash": dump.authority_hash.to_string(),
                "state_hash": dump.end.state_hash.to_string(),
                "epoch": dump.epoch.to_string(), "at": dump.at.as_raw().to_string(),
            }));
            out
        }
        Page::Verified(proof) => {
            let mut row = outcome("proof", &proof.outcome);
            if let Value::Object(map) = &mut row {
                map.insert("space".to_owned(), json!(proof.space.to_string()));
                map.insert("space_name".to_owned(), json!(proof.name));
                map.insert("body".to_owned(), json!(proof.body));
                map.insert("heads".to_owned(), ids(&proof.heads));
                map.insert("ops".to_owned(), json!(proof.ops));
                map.insert("holds".to_owned(), json!(true));
            }
            vec![row]
        }
        Page::Replay(stood) => {
            let mut out = snapshot(stood);
            out.push(json!({
                "type": "replay-end", "name": stood.name, "ops": stood.ops,
                "state_hash": stood.state_hash.to_string(),
            }));
            out
        }
    }
}

fn outcome(kind: &str, o: &Outcome) -> Value {
    json!({
        "type": kind, "op": o.op.to_string(), "kind": o.kind, "author": o.author.to_string(),
        "author_name": o.author_name, "device": o.device.to_string(),
        "hlc": o.hlc.as_raw().to_string(), "wall_ms": o.wall.as_ms(), "state": o.state,
        "rule": o.rule, "why": o.why, "deciding": ids(&o.deciding),
        "branch": o.branch.map(|branch| match branch {
            Branch::Counts => "counts",
            Branch::Lost { .. } => "lost",
        }),
    })
}

fn dump_op(op: &Op) -> Value {
    let mut row = outcome("dump-op", &op.outcome);
    if let Value::Object(map) = &mut row {
        map.extend(header(&op.header));
        map.insert("payload".to_owned(), json!(op.payload.as_ref().map(field)));
        map.insert("sig".to_owned(), json!(hex(op.sig.as_bytes())));
        map.insert("bytes".to_owned(), json!(hex(&op.bytes)));
        map.insert("accepted".to_owned(), json!(true));
    }
    row
}

/// An op that was refused: what it says of itself, and by which rule it is no op of the Space.
fn dump_refused(dumped: &DumpRefused) -> Value {
    let r = &dumped.refused;
    let mut row = json!({
        "type": "dump-refused", "op": r.op.to_string(), "rule": r.rule, "why": r.text,
        "when_ms": r.when.as_ms(), "kept": dumped.op.is_some(), "accepted": false,
    });
    let (Value::Object(map), Some(op)) = (&mut row, &dumped.op) else {
        return row;
    };
    let h = op.header();
    map.extend(header(h));
    let kind = h.kind().map_or("unknown", |kind| kind.name());
    let fields = json!({
        "kind": kind, "author": h.user.to_string(), "device": h.device.to_string(),
        "hlc": h.hlc.as_raw().to_string(), "wall_ms": h.wall.as_ms(),
        "payload": dumped.payload.as_ref().map(field),
        "sig": hex(op.signature().as_bytes()),
        "bytes": hex(&op.encode()),
    });
    if let Value::Object(fields) = fields {
        map.extend(fields);
    }
    row
}

/// What of a header is not in what became of the op.
fn header(h: &Header) -> Map<String, Value> {
    let fields = json!({
        "space": h.space.to_string(),
        "plane": if h.is_control() { "control" } else { "content" },
        "kind_number": h.kind,
        "channel": h.scope.channel().map(|c| c.to_string()),
        "seq": h.seq,
        "back": h.back.map(|b| b.to_string()),
        "ctl": ids(&h.ctl),
        "prev": ids(&h.prev),
        "epoch": h.epoch.to_string(),
        "payload_hash": h.payload_hash.to_string(),
        "payload_len": h.payload_len,
    });
    if let Value::Object(fields) = fields {
        return fields;
    }
    Map::new()
}

fn field(value: &Field) -> Value {
    match value {
        Field::Null => Value::Null,
        Field::Bool(yes) => json!(yes),
        Field::Number(n) => json!(n),
        Field::Clock(clock) => json!(clock.to_string()),
        Field::Text(text) => json!(text),
        Field::Bytes(bytes) => json!(hex(bytes)),
        Field::List(items) => items.iter().map(field).collect(),
        Field::Map(map) => {
            let fields = map
                .iter()
                .map(|(name, value)| ((*name).to_owned(), field(value)));
            Value::Object(fields.collect::<Map<_, _>>())
        }
    }
}

fn snapshot(stood: &Snapshot) -> Vec<Value> {
    let mut out: Vec<Value> = stood.channels.iter().map(rows::channel).collect();
    out.extend(stood.members.iter().map(rows::member));
    out.extend(stood.posts.iter().map(rows::post));
    out
}

fn ids(ops: &[OpId]) -> Value {
    ops.iter().map(|op| json!(op.to_string())).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut out, byte| {
        let _ = write!(out, "{byte:02x}");
        out
    })
}

/// Returns what people read.
pub(crate) fn text(page: &Page, look: Look) -> String {
    match page {
        Page::Log(log, refused) => {
            let mut out: String = log.iter().map(line).collect();
            out.extend(refused.iter().map(refused_line));
            out
        }
        Page::Explanation(Explanation::Accepted {
            outcome: o,
            steps,
            deciding,
        }) => {
            let mut out = head(o);
            for step in steps {
                let _ = writeln!(out, "  - {}", clean::line(step));
            }
            for party in deciding {
                let _ = writeln!(
                    out,
                    "  decided by {} {} of {}, {}",
                    party.kind,
                    party.op,
                    clean::line(&party.author_name),
                    time::minute(party.wall)
                );
            }
            out
        }
        Page::Explanation(Explanation::Refused { op, rule, text }) => format!(
            "{op}\n  refused when it came, by rule {rule}: {text}\n  it is not in the log and nobody sees it; `decent audit dump` shows it as it came\n"
        ),
        Page::Dump(dump) => {
            let mut out: String = dump.ops.iter().map(|op| line(&op.outcome)).collect();
            out.extend(dump.refused.iter().map(|r| refused_line(&r.refused)));
            for op in &dump.damaged {
                let _ = writeln!(out, "damaged on this disk: {}", op.op);
            }
            out.push_str(&stood(&dump.end, look));
            out
        }
        Page::Verified(proof) => {
            let mut out = format!(
                "the proof holds: {} signed ops of Space \"{}\" ({}) checked\n",
                proof.ops,
                clean::line(&proof.name),
                proof.space.short()
            );
            out.push_str(&head(&proof.outcome));
            let _ = writeln!(
                out,
                "  {}: {}",
                proof.outcome.state,
                verdict(&proof.outcome)
            );
            if let Some(body) = &proof.body {
                out.push_str(&clean::block(body, "  > "));
            }
            let heads: Vec<_> = proof.heads.iter().map(OpId::short).collect();
            let _ = writeln!(out, "  as of control heads {}", heads.join(" "));
            out
        }
        Page::Replay(snapshot) => stood(snapshot, look),
    }
}

fn refused_line(r: &RefusedOp) -> String {
    format!(
        "{}  refused when it came, by rule {}: {}  {}\n",
        time::minute(r.when),
        r.rule,
        r.text,
        r.op
    )
}

fn head(o: &Outcome) -> String {
    format!(
        "{} {}\n  by {} ({}), {}\n",
        o.kind,
        o.op,
        clean::line(&o.author_name),
        o.author.short(),
        time::minute(o.wall)
    )
}

fn line(o: &Outcome) -> String {
    let mut out = format!(
        "{}  {}  {:<14} {}  {}",
        time::minute(o.wall),
        o.op.short(),
        o.kind,
        clean::line(&o.author_name),
        o.state,
    );
    // what is as it should be needs no reason
    if o.rule.is_some() || !o.deciding.is_empty() {
        out.push_str(&format!(": {}", verdict(o)));
    }
    out.push('\n');
    out
}

fn verdict(o: &Outcome) -> String {
    let why = clean::line(&o.why);
    o.rule
        .map_or_else(|| why.clone(), |rule| format!("{why} (rule {rule})"))
}

fn stood(stood: &Snapshot, look: Look) -> String {
    let mut out = format!("{}: {} ops\n", clean::line(&stood.name), stood.ops);
    out.push_str(&Output::Members(stood.members.clone()).text(look));
    out.push_str(&Output::Channels(stood.channels.clone()).text(look));
    let people: BTreeMap<_, _> = stood
        .members
        .iter()
        .map(|m| (m.user, m.name.clone()))
        .collect();
    for channel in &stood.channels {
        let posts = stood.posts.iter().filter(|p| p.channel == channel.id);
        let page = crate::output::Page {
            heading: Some(channel.name.clone()),
            posts: posts.cloned().collect(),
            people: people.clone(),
            all: false,
        };
        if !page.posts.is_empty() {
            out.push_str(&Output::Posts(page).text(look));
        }
    }
    let _ = writeln!(out, "state {}", stood.state_hash);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_dates_and_ids_are_not() {
        for (text, ms) in [
            ("1970-01-01", 0),
            ("2000-02-29 00:00", 951_782_400_000),
            ("2025-11-22T18:08:23Z", 1_763_834_903_000),
            ("ms:17", 17),
        ] {
            assert_eq!(moment(text), Some(Timestamp::from_ms(ms)), "{text}");
        }
        for text in [
            "1f2e3d4c",
            "2026",
            "2026-13-01",
            "2026-02-29",
            "1900-02-29",
            "2026-04-31",
            "2026-03-01 25:00",
            "ms:x",
            "",
        ] {
            assert_eq!(moment(text), None, "{text}");
        }
    }

    #[test]
    fn a_file_that_is_no_proof_is_bad_input() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("x");
        std::fs::write(&file, b"decent proof v1 and so on").unwrap();
        let error = verify(&AuditVerifyArgs { file }).unwrap_err();
        assert_eq!(error.code().number(), 7);
        assert!(error.to_string().contains("proof"), "{error}");
    }
}
