//! An independent model of acceptance, authority and content.
//!
//! It takes what `decent audit dump --json` tells of a Space and computes again which ops are
//! valid, what each was worth, who is a member and what everybody sees. It shares no code with
//! the crates it judges, was written from `docs/` alone, and is made for clearness, not for speed:
//! sets, and questions answered anew each time.
//!
//! Not recomputed: MLS bytes (declared changes are judged, A15), the state hashes, and how far own
//! messages got. Texts with anything but printable ASCII are compared only as raw payloads, since
//! views make them harmless first.

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "each question is about a few kinds of values"
)]

mod act;
mod authority;
mod cbor;
mod content;
mod crypto;
mod epoch;
mod form;
mod graph;
mod id;
mod op;
mod rows;
mod rules;
mod state;
mod verb;

use core::fmt;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::rc::Rc;

use serde_json::Value;

use self::authority::Authority;
use self::content::Content;
use self::graph::Graph;
use self::id::{Id, unhex};
use self::op::Op;
use self::rules::Judge;

pub use self::crypto::Signatures;

/// What a dump that the model agrees with holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Every op.
    pub ops: usize,
    /// Ops whose refusal was judged again.
    pub refused: usize,
    /// How many ops have each state, by its name.
    pub states: BTreeMap<String, usize>,
    /// Present and former members.
    pub members: usize,
    /// Channels.
    pub channels: usize,
    /// Posts, shown or not.
    pub posts: usize,
}

/// Where a dump and the model differ.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The row: an op with its kind, a person, a channel, or the line.
    pub what: String,
    /// Which field of it.
    pub field: String,
    /// What the dump says there.
    pub dump: String,
    /// What the model says.
    pub model: String,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            what,
            field,
            dump,
            model,
        } = self;
        write!(
            f,
            "{what}: {field}: the dump says {dump}, the model {model}"
        )
    }
}

/// Why a file could not be judged, or what is wrong with it.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// It cannot be read.
    #[error("cannot read the dump")]
    Io(#[from] std::io::Error),
    /// The model disagrees.
    #[error("the dump and the model differ in {} places", .0.len())]
    Differs(Vec<Difference>),
}

/// Computes everything again out of the lines of a dump.
///
/// # Errors
/// Every place where the dump says something else than the model.
pub fn check<'a>(lines: impl IntoIterator<Item = &'a str>) -> Result<Summary, Vec<Difference>> {
    check_signed(Signatures::Ed25519, lines)
}

/// The same for a world whose signatures may be stubs.
///
/// # Errors
/// As [`check`].
pub fn check_signed<'a>(
    signatures: Signatures,
    lines: impl IntoIterator<Item = &'a str>,
) -> Result<Summary, Vec<Difference>> {
    let mut dump = Dump::read(lines);
    dump.signatures = signatures;
    let graph = dump.graph();
    let mut found = core::mem::take(&mut dump.found);
    let mut summary = dump.compare(&graph, &mut found);
    summary.refused = dump.refusals(graph, &mut found);
    if found.is_empty() {
        Ok(summary)
    } else {
        Err(found)
    }
}

/// Reads a dump from a file and computes everything again.
///
/// # Errors
/// When it cannot be read, or says something else than the model.
pub fn main_check(path: &Path, signatures: Signatures) -> Result<Summary, ModelError> {
    let text = std::fs::read_to_string(path)?;
    check_signed(signatures, text.lines()).map_err(ModelError::Differs)
}

/// Says which static rules an op breaks whose past is in a dump, by the op's encoded bytes. Where
/// a broken rule leaves nothing to judge the others by, it stands alone.
pub fn judge<'a>(lines: impl IntoIterator<Item = &'a str>, candidate: &[u8]) -> Vec<&'static str> {
    let mut graph = Dump::read(lines).graph();
    let Ok(op) = Op::read(candidate, Signatures::Ed25519) else {
        return vec!["S0"];
    };
    let id = op.id;
    // Of what it names something is not here: nobody could judge it.
    if graph.insert(op).is_err() {
        return vec!["S1"];
    }
    let space = graph.ops().find(|op| op.kind == 0).map(|op| op.founds);
    let authority = Authority::new(&graph);
    let epochs = &authority.epochs;
    let (Some(space), Some(op)) = (space, graph.op(&id)) else {
        return vec!["S0"];
    };
    Judge::new(&authority, epochs, space, Signatures::Ed25519).judge(op)
}

/// The rows of a dump, by type.
#[derive(Default)]
struct Dump {
    ops: Vec<Value>,
    refused: Vec<Value>,
    damaged: Vec<Value>,
    channels: Vec<Value>,
    members: Vec<Value>,
    posts: Vec<Value>,
    end: Option<Value>,
    signatures: Signatures,
    found: Vec<Difference>,
}

impl Dump {
    fn read<'a>(lines: impl IntoIterator<Item = &'a str>) -> Self {
        let mut dump = Self::default();
        for (number, line) in (1_usize..).zip(lines) {
            let row: Value = serde_json::from_str(line).unwrap_or(Value::Null);
            let kind = row.get("type").and_then(Value::as_str).unwrap_or_default();
            let after_end = dump.end.is_some();
            match kind {
                "dump-op" => dump.ops.push(row),
                "dump-refused" => dump.refused.push(row),
                "dump-damaged" => dump.damaged.push(row),
                "channel" => dump.channels.push(row),
                "member" => dump.members.push(row),
                "post" => dump.posts.push(row),
                "dump-end" => dump.end = Some(row),
                other => differ(
                    &mut dump.found,
                    &format!("line {number}"),
                    "type",
                    other,
                    &"a row of a dump",
                ),
            }
            if after_end {
                let what = format!("line {number}");
                differ(
                    &mut dump.found,
                    &what,
                    "place",
                    "after dump-end",
                    &"nothing",
                );
            }
        }
        dump
    }

    /// Reads every op and puts it where it belongs.
    fn graph(&mut self) -> Graph {
        let mut graph = Graph::default();
        let mut last = None;
        for row in &self.ops {
            let claimed = row.get("op").and_then(Value::as_str).unwrap_or("?");
            let what = format!("op {claimed}");
            let bytes = row.get("bytes").and_then(Value::as_str).and_then(unhex);
            let op = match Op::read(&bytes.unwrap_or_default(), self.signatures) {
                Ok(op) => op,
                Err(why) => {
                    differ(&mut self.found, &what, "bytes", why, &"an op");
                    continue;
                }
            };
            for (field, expected) in op.differing(row) {
                let said = row.get(field).unwrap_or(&Value::Null);
                differ(&mut self.found, &what, field, said, &expected);
            }
            if !op.signed {
                differ(
                    &mut self.found,
                    &what,
                    "sig",
                    "a signature",
                    &"not by its device",
                );
            }
            let place = (op.hlc, op.id);
            if last.is_some_and(|last| last >= place) {
                differ(
                    &mut self.found,
                    &what,
                    "place",
                    "here",
                    &"earlier: by hlc, then op",
                );
            }
            last = Some(place);
            if let Err(missing) = graph.insert(op) {
                let model = format!("{missing} is not before it");
                differ(&mut self.found, &what, "references", "complete", &model);
            }
        }
        graph
    }

    /// Judges again what was refused, as far as it is there to be judged. Returns how many were.
    fn refusals(&self, mut graph: Graph, found: &mut Vec<Difference>) -> usize {
        let mut refused: Vec<(Op, &Value)> = Vec::new();
        for row in &self.refused {
            let claimed = row.get("op").and_then(Value::as_str).unwrap_or("?");
            let what = format!("refused op {claimed}");
            let Some(bytes) = row.get("bytes").and_then(Value::as_str).and_then(unhex) else {
                continue;
            };
            match Op::read(&bytes, self.signatures) {
                Ok(op) if op.id.to_string() == claimed && op.signed => refused.push((op, row)),
                Ok(_) => differ(found, &what, "bytes", "the op", &"another"),
                Err(why) => differ(found, &what, "bytes", why, &"an op"),
            }
        }
        refused.sort_by_key(|(op, _)| (op.hlc, op.id));
        let space = graph.ops().find(|op| op.kind == 0).map(|op| op.founds);
        let invalid: BTreeSet<Id> = refused.iter().map(|(op, _)| op.id).collect();
        let (falls, judged): (Vec<_>, Vec<_>) = refused
            .into_iter()
            .partition(|(op, _)| op.refs().any(|id| invalid.contains(id)));
        let mut verdicts: Vec<(Id, &Value, Option<Vec<&'static str>>)> = Vec::new();
        // What builds on an invalid op is invalid.
        for (op, row) in falls {
            verdicts.push((op.id, row, Some(vec!["S1"])));
        }
        let mut placed = Vec::new();
        for (op, row) in judged {
            let id = op.id;
            match graph.insert(op) {
                Ok(()) => placed.push((id, row)),
                // What it names came later, or is damaged: nobody could judge it by this dump.
                Err(_) => verdicts.push((id, row, None)),
            }
        }
        let authority = Authority::new(&graph);
        let epochs = &authority.epochs;
        if let Some(space) = space {
            let judge = Judge::new(&authority, epochs, space, self.signatures);
            for (id, row) in placed {
                let broken = graph.op(&id).map(|op| judge.judge(op));
                verdicts.push((id, row, broken));
            }
        }
        let mut count = 0;
        for (id, row, broken) in verdicts {
            let Some(broken) = broken else {
                continue;
            };
            count += 1;
            let rule = row.get("rule").and_then(Value::as_str).unwrap_or("none");
            if !broken.contains(&rule) {
                let what = format!("refused op {id}");
                differ(found, &what, "rule", rule, &broken.join(" and "));
            }
        }
        count
    }

    fn compare(&self, graph: &Graph, found: &mut Vec<Difference>) -> Summary {
        let authority = Authority::new(graph);
        let epochs = &authority.epochs;
        let all = authority.state(Rc::new(graph.control()));
        let geneses: Vec<Id> = graph
            .ops()
            .filter(|op| op.kind == 0)
            .map(|op| op.founds)
            .collect();
        let Some(space) = geneses.first().copied() else {
            differ(found, "the dump", "genesis", "none", &"one");
            return Summary::default();
        };
        let end = self.end.clone().unwrap_or_default();
        let canonical = epochs.tip(&all);
        let tip = rows::id_at(&end, "epoch").or(canonical).unwrap_or(space);
        let content = Content::new(&authority, epochs, &all, tip);
        let mut summary = Summary {
            ops: self.ops.len(),
            members: self.members.len(),
            channels: self.channels.len(),
            posts: self.posts.len(),
            ..Summary::default()
        };
        let judge = Judge::new(&authority, epochs, space, self.signatures);
        let rows = rows::Rows {
            all: &all,
            content: &content,
        };
        for row in &self.ops {
            let Some(op) = rows::id_at(row, "op").and_then(|id| graph.op(&id)) else {
                continue;
            };
            let what = format!("op {} ({})", op.id, act::kind_name(op.kind));
            let broken = judge.judge(op);
            if !broken.is_empty() {
                let model = format!("refused by {}", broken.join(" and "));
                differ(found, &what, "static verdict", "accepted", &model);
            }
            let expected = rows.outcome(op);
            if let Some((_, Value::String(state))) =
                expected.iter().find(|(field, _)| *field == "state")
            {
                *summary.states.entry(state.clone()).or_default() += 1;
            }
            rows::compare(row, &expected, &what, found);
        }
        let rows_of_ops = (self.ops.len(), self.refused.len(), self.damaged.len());
        rows.compare_end(&self.end, epochs, space, rows_of_ops, found);
        let at = end.get("at").and_then(Value::as_str);
        let at = at.and_then(|at| at.parse().ok()).unwrap_or(u64::MAX);
        rows::compare_all(&self.channels, &rows.channels(), "channel", found);
        rows::compare_all(&self.members, &rows.members(at), "member", found);
        rows::compare_all(&self.posts, &rows.posts(), "post", found);
        summary
    }
}

/// Notes a difference.
fn differ(
    found: &mut Vec<Difference>,
    what: &str,
    field: &str,
    dump: impl fmt::Display,
    model: &impl fmt::Display,
) {
    found.push(Difference {
        what: what.to_owned(),
        field: field.to_owned(),
        dump: dump.to_string(),
        model: model.to_string(),
    });
}
