//! The rows of a dump as the model would write them, and the comparison.

use serde_json::Value;

use super::content::{Content, Outcome, PostState};
use super::epoch::{Epoch, Epochs};
use super::id::Id;
use super::op::Op;
use super::state::State;
use super::{Difference, differ};

/// Fields by name, in order.
pub(super) type Fields = Vec<(&'static str, Value)>;

/// Writes rows.
pub(super) struct Rows<'r, 's, 'a> {
    pub(super) all: &'r State<'s, 'a>,
    pub(super) content: &'r Content<'r, 'a>,
}

impl<'a> Rows<'_, '_, 'a> {
    /// What became of an op.
    pub(super) fn outcome(&self, op: &'a Op) -> Fields {
        let (state, rule, deciding) = if op.is_control() {
            match self.all.fold.void.get(&op.id) {
                None => ("effective", None, self.won_over(op).into_iter().collect()),
                Some(void) => ("void", Some(void.rule), void.deciding.clone()),
            }
        } else {
            let outcome = self.content.outcome(op);
            let (rule, deciding) = match &outcome {
                Outcome::Normal | Outcome::Unreadable => (None, Vec::new()),
                Outcome::Late { removal, .. } => (Some("D2"), vec![*removal]),
                Outcome::Muted { mute } => (Some("B10"), vec![*mute]),
                Outcome::Hidden { by, purge, .. } => {
                    (Some(if *purge { "B8" } else { "B10" }), vec![*by])
                }
                Outcome::Deleted { by } => (Some("B10"), vec![*by]),
                Outcome::Refused { rule, by } => (Some(*rule), vec![*by]),
            };
            (state_name(&outcome), rule, deciding)
        };
        vec![
            ("state", Value::from(state)),
            ("rule", rule.map_or(Value::Null, Value::from)),
            ("deciding", ids(&deciding)),
        ]
    }

    /// Of a commit off the canonical branch: the one that stands there where it forked.
    fn won_over(&self, op: &Op) -> Option<Id> {
        if op.kind != 18 {
            return None;
        }
        let epochs = &self.all.authority.epochs;
        let tip = self.content.tip;
        let mine: Vec<Id> = epochs.chain_of_commit(&op.id).collect();
        let mut canonical: Vec<&Epoch> = epochs.chain(&tip).collect();
        canonical.reverse();
        if mine.is_empty() || canonical.iter().any(|e| Some(&e.id) == mine.first()) {
            return None;
        }
        let shared = canonical.iter().rposition(|e| mine.contains(&e.id))?;
        canonical.get(shared + 1).map(|e| e.commit)
    }

    pub(super) fn compare_end(
        &self,
        end: &Option<Value>,
        epochs: &Epochs,
        space: Id,
        ops: (usize, usize, usize),
        found: &mut Vec<Difference>,
    ) {
        let Some(end) = end else {
            differ(found, "the dump", "dump-end", "missing", &"there");
            return;
        };
        let graph = self.all.authority.graph;
        let heads: Vec<Id> = graph.heads().into_iter().collect();
        let expected = vec![
            ("space", Value::from(space.to_string())),
            ("heads", ids(&heads)),
            ("ops", Value::from(ops.0)),
            ("refused", Value::from(ops.1)),
            ("damaged", Value::from(ops.2)),
            ("name", Value::from(self.all.name())),
        ];
        compare(end, &expected, "dump-end", found);
        let tip = epochs.tip(self.all);
        if id_at(end, "epoch") != tip {
            let said = end.get("epoch").unwrap_or(&Value::Null);
            let tip = tip.map_or_else(|| "none".to_owned(), |tip| tip.to_string());
            differ(found, "dump-end", "epoch", said, &tip);
        }
    }

    pub(super) fn channels(&self) -> Vec<Fields> {
        let channels = self.all.channels().into_iter();
        channels
            .map(|c| {
                vec![
                    ("id", Value::from(c.id.to_string())),
                    ("name", Value::from(c.name)),
                    (
                        "kind",
                        Value::from(match c.kind {
                            0 => "forum",
                            1 => "chat",
                            _ => "announcement",
                        }),
                    ),
                    ("topic", Value::from(c.topic)),
                    ("category", Value::from(c.category)),
                    ("archived", Value::from(c.archived)),
                ]
            })
            .collect()
    }

    /// Members by rank, then those who were members.
    pub(super) fn members(&self, at: u64) -> Vec<Fields> {
        let people = self.all.people();
        let (mut members, former): (Vec<Id>, Vec<Id>) = people
            .into_iter()
            .partition(|user| self.all.is_member(user));
        members.sort_by_key(|user| core::cmp::Reverse(self.all.rank(user)));
        let members = members.iter().map(|user| self.member(user, at));
        members
            .chain(former.iter().map(|user| self.former(user)))
            .collect()
    }

    fn member(&self, user: &Id, at: u64) -> Fields {
        let weight = self.all.weight(user);
        let joined = self
            .all
            .admission(user)
            .or_else(|| self.all.membership(user));
        let devices: Vec<Id> = self.all.devices(user).into_iter().collect();
        let muted = self.all.muted(user, None, at);
        let muted = self.all.strongest(&muted);
        let until = muted.map(|mute| self.all.mute_end(&mute));
        vec![
            ("user", Value::from(user.to_string())),
            ("name", Value::from(self.name(user))),
            ("weight", Value::from(weight)),
            ("role", Value::from(weight.and_then(role))),
            ("devices", ids(&devices)),
            ("joined_ms", Value::from(joined.map(|op| wall(op.hlc)))),
            ("banned", Value::Null),
            ("removed", Value::Null),
            ("muted", text(muted)),
            (
                "muted_until_ms",
                Value::from(until.filter(|u| *u != u64::MAX).map(wall)),
            ),
        ]
    }

    fn former(&self, user: &Id) -> Fields {
        let banned = self.all.strongest(&self.all.bans(user));
        vec![
            ("user", Value::from(user.to_string())),
            ("name", Value::from(self.name(user))),
            ("weight", Value::Null),
            ("role", Value::Null),
            ("devices", ids(&[])),
            ("joined_ms", Value::Null),
            ("banned", text(banned)),
            (
                "removed",
                text(banned.or_else(|| Some(self.all.membership(user)?.id))),
            ),
            ("muted", Value::Null),
            ("muted_until_ms", Value::Null),
        ]
    }

    /// A name in which nothing can be seen is shown as `?`.
    fn name(&self, user: &Id) -> String {
        self.all.name_of(user).unwrap_or_else(|| "?".to_owned())
    }

    pub(super) fn posts(&self) -> Vec<Fields> {
        let channels = self.all.channels().into_iter();
        channels
            .flat_map(|channel| self.content.line(channel.id))
            .map(|post| self.post(&post))
            .collect()
    }

    fn post(&self, post: &PostState<'_>) -> Fields {
        let op = post.op;
        let reactions = post.reactions.iter().map(|(emoji, by)| {
            let by: Vec<Id> = by.iter().copied().collect();
            serde_json::json!({ "emoji": emoji, "by": ids(&by) })
        });
        let files = post
            .text
            .iter()
            .flat_map(|text| &text.attachments)
            .map(|f| {
                serde_json::json!({
                    "manifest": f.manifest.to_string(), "name": f.name, "size": f.size,
                    "media_type": f.media_type,
                })
            });
        let mut fields = vec![
            ("id", Value::from(op.id.to_string())),
            ("channel", text(op.channel)),
            ("thread", text(post.thread)),
            ("title", Value::from(post.title.clone())),
            ("reply_to", text(post.reply_to)),
            ("author", Value::from(op.user.to_string())),
            ("device", Value::from(op.device.to_string())),
            ("hlc", Value::from(op.hlc.to_string())),
            ("wall_ms", Value::from(op.wall)),
            ("body", Value::from(post.body.clone())),
            ("history", Value::from(post.history.clone())),
            ("attachments", files.collect()),
            ("reactions", reactions.collect()),
            ("mentions", ids(&post.mentions)),
            ("pinned", Value::from(post.pinned)),
            ("state", Value::from(state_name(&post.outcome))),
        ];
        match &post.outcome {
            Outcome::Normal | Outcome::Unreadable => {}
            Outcome::Late {
                removal,
                unverified,
                quarantined,
            } => fields.extend([
                ("state_by", text(Some(*removal))),
                ("unverified", Value::from(*unverified)),
                ("quarantined", Value::from(*quarantined)),
            ]),
            Outcome::Muted { mute } => fields.push(("state_by", text(Some(*mute)))),
            Outcome::Hidden {
                by,
                moderator,
                reason,
                ..
            } => fields.extend([
                ("state_by", text(Some(*by))),
                ("moderator", text(Some(*moderator))),
                ("reason", Value::from(reason.as_str())),
            ]),
            Outcome::Deleted { by } => fields.push(("state_by", text(Some(*by)))),
            Outcome::Refused { rule, by } => {
                fields.extend([("rule", Value::from(*rule)), ("state_by", text(Some(*by)))])
            }
        }
        fields
    }
}

const fn state_name(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Normal => "normal",
        Outcome::Late { .. } => "late",
        Outcome::Muted { .. } => "muted",
        Outcome::Hidden { .. } => "hidden",
        Outcome::Deleted { .. } => "deleted",
        Outcome::Refused { .. } => "refused",
        Outcome::Unreadable => "unreadable",
    }
}

const fn role(weight: u8) -> Option<&'static str> {
    match weight {
        5 => Some("guest"),
        10 => Some("member"),
        20 => Some("moderator"),
        50 => Some("admin"),
        100 => Some("owner"),
        _ => None,
    }
}

/// Logical time as milliseconds.
const fn wall(hlc: u64) -> u64 {
    (hlc >> 32) * 1000 + (((hlc & 0xffff_ffff) * 1000) >> 32)
}

fn ids(ids: &[Id]) -> Value {
    ids.iter().map(|id| Value::from(id.to_string())).collect()
}

fn text<T: ToString>(value: Option<T>) -> Value {
    Value::from(value.map(|value| value.to_string()))
}

pub(super) fn id_at(row: &Value, field: &str) -> Option<Id> {
    Id::parse(row.get(field)?.as_str()?)
}

/// Compares one row with what the model would say.
pub(super) fn compare(
    row: &Value,
    expected: &[(&'static str, Value)],
    what: &str,
    found: &mut Vec<Difference>,
) {
    for (field, value) in expected {
        let said = row.get(*field).unwrap_or(&Value::Null);
        if !is_shown_as(value, said) {
            differ(found, what, field, said, value);
        }
    }
}

/// Compares rows of one type, in their order.
pub(super) fn compare_all(
    rows: &[Value],
    expected: &[Fields],
    what: &'static str,
    found: &mut Vec<Difference>,
) {
    for at in 0..rows.len().max(expected.len()) {
        let name = |key: &Value| format!("{what} {}", key.as_str().unwrap_or("?"));
        let key = |row: &Value| {
            let id = row.get("id").or_else(|| row.get("user"));
            id.cloned().unwrap_or_default()
        };
        match (rows.get(at), expected.get(at)) {
            (Some(row), Some(fields)) => {
                let wanted = fields.first().map(|(_, id)| id.clone()).unwrap_or_default();
                if key(row) == wanted {
                    compare(row, fields, &name(&wanted), found);
                } else {
                    let place = format!("row {} of {what}s", at + 1);
                    differ(found, &place, "which", key(row), &wanted);
                }
            }
            (Some(row), None) => differ(found, &name(&key(row)), "row", "there", &"not there"),
            (None, Some(fields)) => {
                let wanted = fields.first().map(|(_, id)| id.clone()).unwrap_or_default();
                differ(found, &name(&wanted), "row", "not there", &"there");
            }
            (None, None) => {}
        }
    }
}

/// Whether a value may be shown so. Views make texts harmless: what is not plain is replaced, and
/// white space in names collapses; such texts may look otherwise, but not vanish.
fn is_shown_as(value: &Value, shown: &Value) -> bool {
    match (value, shown) {
        (Value::String(a), Value::String(b)) => {
            let plain = a
                .chars()
                .all(|c| c == '\n' || c == '\t' || (' '..='~').contains(&c));
            let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
            a == b
                || if plain {
                    words(a) == words(b)
                } else {
                    !b.is_empty()
                }
        }
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| is_shown_as(a, b))
        }
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len()
                && a.iter()
                    .all(|(name, a)| b.get(name).is_some_and(|b| is_shown_as(a, b)))
        }
        (a, b) => a == b,
    }
}
