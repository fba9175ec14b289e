//! The forms of payloads, as the CDDL of `docs/format.md` gives them, with the names that the
//! dump uses. One table, read in two ways: strictly, to judge; loosely, to compare a row.

use serde_json::{Map, Value};

use super::cbor::Cbor;
use super::id::hex;

/// What a value must be.
pub(super) enum Form {
    /// A number of this range.
    Number(u64, u64),
    /// A 64-bit clock, which the dump shows as text.
    Clock,
    /// One of these numbers.
    OneOf(&'static [u64]),
    Bool,
    /// `false`.
    No,
    /// So many bytes.
    Bytes(usize),
    /// At most so many bytes.
    Blob(usize),
    /// UTF-8 of so many bytes.
    Text(usize, usize),
    /// 0 or a channel.
    Scope,
    /// From so many to so many items of this form.
    List(usize, usize, &'static Self),
    /// The same, strictly ascending.
    Set(usize, usize, &'static Self),
    Map(&'static [Field]),
}

/// Name and form of the field at a key; the keys are the places.
pub(super) struct Field(&'static str, Need, Form);

#[derive(PartialEq)]
enum Need {
    Must,
    May,
}

use Form::{Blob, Bool, Bytes, Clock, List, No, Number, OneOf, Scope, Set, Text};
use Need::{May, Must};

const ID: Form = Bytes(32);
const ANY: Form = Number(0, u64::MAX);
const WEIGHT: Form = Number(0, 100);
const LATE: Form = OneOf(&[0, 1, 2]);
const NAME: Form = Text(1, 64);
const REASON: Form = Text(0, 1024);
const KEY_PACKAGE: Form = Blob(2048);
const MANY: usize = usize::MAX;

const CERT: Form = Form::Map(&[
    Field("user", Must, ID),
    Field("device", Must, ID),
    Field("mls_key", Must, ID),
    Field("hpke_key", Must, ID),
    Field("created", Must, Clock),
    Field("name", Must, NAME),
    Field("sig", Must, Bytes(64)),
]);
const NEW_MEMBER: Form = Form::Map(&[
    Field("cert", Must, CERT),
    Field("key_package", Must, KEY_PACKAGE),
    Field("weight", Must, WEIGHT),
    Field("proof", May, Bytes(64)),
]);
const PERMISSION: Form = Form::Map(&[
    Field("verb", Must, Number(0, 13)),
    Field("least", Must, WEIGHT),
]);
const HEAD: Form = Form::Map(&[
    Field("device", Must, ID),
    Field("seq", Must, ANY),
    Field("op", Must, ID),
]);
const CUT: Form = Form::Map(&[
    Field("scope", Must, Bytes(16)),
    Field("heads", Must, Set(0, MANY, &HEAD)),
]);
/// With the control plane.
const WIDE_CUT: Form = Form::Map(&[
    Field("scope", Must, Scope),
    Field("heads", Must, Set(0, MANY, &HEAD)),
]);
const CLOSURE: Form = Form::Map(&[
    Field("removal", Must, ID),
    Field("cut", Must, Set(1, MANY, &CUT)),
]);
const SIGNED_HEADER: Form = Form::Map(&[
    Field("header", Must, Blob(2048)),
    Field("sig", Must, Bytes(64)),
]);
const SIGNER: Form = Form::Map(&[
    Field("user", Must, ID),
    Field("device", Must, ID),
    Field("sig", Must, Bytes(64)),
]);
const PURGE: Form = Form::Map(&[
    Field("device", Must, ID),
    Field("scope", Must, Scope),
    Field("seq", Must, ANY),
]);
const ENTRY: Form = Form::Map(&[
    Field("device", Must, ID),
    Field("user", Must, ID),
    Field("key_package", Must, ID),
]);
const DELTA: Form = Form::Map(&[
    Field("added", Must, Set(0, MANY, &ENTRY)),
    Field("removed", Must, Set(0, MANY, &ID)),
]);
const TAGS: Form = Set(0, 8, &Text(1, 32));
const BODY: Form = Text(0, 49152);
const MENTIONS: Form = Set(0, 64, &ID);
const FILES: Form = List(
    0,
    16,
    &Form::Map(&[
        Field("manifest", Must, ID),
        Field("key", Must, ID),
        Field("salt", Must, Bytes(16)),
        Field("size", Must, ANY),
        Field("name", Must, Text(0, 255)),
        Field("media_type", Must, Text(0, 255)),
    ]),
);

/// The form of a kind's payload; `None` for kinds without, and for those this model does not know.
const fn form(kind: u16) -> Option<Form> {
    Some(Form::Map(match kind {
        0 => &[
            Field("name", Must, NAME),
            Field("kind", Must, OneOf(&[0, 1])),
            Field("cert", Must, CERT),
            Field("group_id", Must, ID),
            Field("root_commit", Must, ID),
            Field("owner_removable", Must, Bool),
            Field("leaf", Must, ID),
        ],
        2 => &[
            Field("name", Must, NAME),
            Field("kind", Must, OneOf(&[0, 1, 2])),
            Field("topic", Must, REASON),
            Field("category", May, Text(0, 64)),
            Field("history", Must, OneOf(&[0, 1])),
            Field("private", Must, No),
        ],
        3 => &[
            Field("channel", Must, Bytes(16)),
            Field("name", May, NAME),
            Field("topic", May, REASON),
            Field("category", May, Text(0, 64)),
            Field("archived", May, Bool),
            Field("permissions", Must, Set(0, 32, &PERMISSION)),
        ],
        4 => &[
            Field("name", May, NAME),
            Field("kick_late", May, LATE),
            Field("ban_late", May, LATE),
            Field("features", May, ANY),
            Field("timing_privacy", May, Bool),
            Field("dedup", May, Bool),
            Field("seal_every", May, Number(0, 10_000)),
        ],
        5 => &[
            Field("key", Must, ID),
            Field("weight", Must, OneOf(&[5, 10])),
            Field("max_uses", Must, Number(1, 0xffff_ffff)),
            Field("expires", Must, Clock),
            Field("channel", May, Bytes(16)),
            Field("approval", Must, Bool),
        ],
        6 => &[Field("invite", Must, ID)],
        7 => &[
            Field("members", Must, Set(1, 100, &NEW_MEMBER)),
            Field("invite", May, ID),
        ],
        8 | 9 => &[
            Field("target", Must, ID),
            Field("cut", Must, Set(0, MANY, &CUT)),
            Field("late", May, LATE),
            Field("reason", Must, REASON),
            Field("purge", Must, Set(0, 4000, &PURGE)),
        ],
        10 => &[Field("target", Must, ID)],
        11 | 71 => &[Field("reason", Must, REASON)],
        12 => &[
            Field("target", Must, ID),
            Field("weight", Must, OneOf(&[5, 10, 20, 50, 100])),
            Field("reason", Must, REASON),
        ],
        13 => &[
            Field("target", Must, ID),
            Field("channel", May, Bytes(16)),
            Field("expires", May, Clock),
            Field("reason", Must, REASON),
        ],
        14 => &[Field("target", Must, ID), Field("channel", May, Bytes(16))],
        15 => &[
            Field("cert", Must, CERT),
            Field("key_package", Must, KEY_PACKAGE),
            Field("identity_sig", May, Bytes(64)),
        ],
        16 => &[
            Field("device", Must, ID),
            Field("cut", Must, Set(0, MANY, &CUT)),
            Field("late", May, LATE),
            Field("reason", Must, REASON),
            Field("purge", Must, Set(0, 4000, &PURGE)),
            Field("compromised", Must, Bool),
            Field("identity_sig", May, Bytes(64)),
        ],
        17 => &[
            Field("frontier", Must, Set(1, 16, &ID)),
            Field("kind", Must, OneOf(&[3, 4, 6, 8, 9, 10, 12, 13, 14])),
            Field("action", Must, Blob(MANY)),
            Field("nonce", Must, ID),
            Field("expires", Must, Clock),
            Field("signers", Must, Set(2, 100, &SIGNER)),
        ],
        18 => &[
            Field("parent", Must, ID),
            Field("mls", Must, Blob(MANY)),
            Field("root_commit", Must, ID),
            Field("roster_hash", Must, ID),
            Field("class", Must, OneOf(&[0, 1, 2])),
            Field("delta", Must, DELTA),
            Field("group_info", Must, Blob(4096)),
            Field("welcomes", Must, Set(0, MANY, &ID)),
        ],
        19 => &[
            Field("key_package", Must, KEY_PACKAGE),
            Field("nonce", Must, ID),
        ],
        20 => &[
            Field("epoch", Must, ID),
            Field("key_package", Must, KEY_PACKAGE),
            Field("nonce", Must, ID),
        ],
        21 => &[
            Field("removal", Must, ID),
            Field("cut", Must, Set(1, MANY, &CUT)),
        ],
        22 => &[
            Field("first", Must, SIGNED_HEADER),
            Field("second", Must, SIGNED_HEADER),
            Field("cut", Must, Set(0, MANY, &WIDE_CUT)),
        ],
        23 => &[
            Field("epoch", Must, ID),
            Field("public_state", Must, ID),
            Field("closures", Must, Set(0, 4000, &CLOSURE)),
            Field("strata", May, ID),
        ],
        64 => &[
            Field("title", Must, Text(1, 256)),
            Field("tags", Must, TAGS),
            Field("body", Must, BODY),
            Field("attachments", Must, FILES),
            Field("mentions", Must, MENTIONS),
        ],
        65 => &[Field("title", May, Text(1, 256)), Field("tags", May, TAGS)],
        66 => &[
            Field("thread", May, ID),
            Field("reply_to", May, ID),
            Field("body", Must, BODY),
            Field("attachments", Must, FILES),
            Field("mentions", Must, MENTIONS),
        ],
        67 => &[Field("body", Must, BODY), Field("mentions", Must, MENTIONS)],
        68 | 69 => &[Field("emoji", Must, Text(1, 64))],
        _ => return None,
    }))
}

/// A payload by the names of its fields, absent ones null. `None` unless it follows the format.
pub(super) fn strict(kind: u16, payload: &[u8]) -> Option<Value> {
    let Some(form) = form(kind) else {
        return payload.is_empty().then(|| Value::Object(Map::new()));
    };
    let value = value(&form, &Cbor::read(payload)?, true)?;
    also(kind, &value).then_some(value)
}

/// What the dump's row should say, in which limits do not matter; `None` where the bytes have
/// no one form, or another shape than the kind's.
pub(super) fn loose(kind: u16, payload: &[u8]) -> Option<Value> {
    match form(kind) {
        _ if payload.is_empty() => Some(Value::Object(Map::new())),
        Some(form) => value(&form, &Cbor::read(payload)?, false),
        None => None,
    }
}

/// What the table cannot say.
fn also(kind: u16, value: &Value) -> bool {
    let len = |name: &str| items(value, name).len();
    let cut = items(value, "cut");
    let is_device = |item: &Value| item.get("device") == value.get("device");
    match kind {
        8 | 9 => {
            let once = cut.iter().all(|c| differ(items(c, "heads"), "device"));
            is_cut(cut) && once
        }
        16 => {
            let lone = |scope: &Value| {
                let heads = items(scope, "heads");
                heads.len() <= 1 && heads.iter().all(is_device)
            };
            is_cut(cut) && cut.iter().all(lone) && items(value, "purge").iter().all(is_device)
        }
        17 => differ(items(value, "signers"), "user"),
        21 => is_cut(cut),
        22 => {
            let header = |which: &str| value.get(which)?.get("header")?.as_str();
            is_cut(cut) && header("first") < header("second")
        }
        // Bundled history is not built.
        23 => {
            let closures = items(value, "closures");
            let cuts = closures.iter().map(|closure| items(closure, "cut"));
            differ(closures, "removal")
                && cuts.clone().all(is_cut)
                && cuts.map(cut_len).sum::<usize>() <= 4000
                && value.get("strata").is_none_or(Value::is_null)
        }
        // A body or an attachment.
        66 => len("attachments") > 0 || value.get("body").is_some_and(|b| b != ""),
        _ => true,
    }
}

fn items<'v>(value: &'v Value, name: &str) -> &'v [Value] {
    let items = value.get(name).and_then(Value::as_array);
    items.map_or(&[], Vec::as_slice)
}

/// Whether no two of these, which are sorted, agree in their first field.
fn differ(items: &[Value], field: &str) -> bool {
    items
        .windows(2)
        .all(|pair| matches!(pair, [a, b] if a.get(field) != b.get(field)))
}

/// Heads and scopes together.
fn cut_len(cut: &[Value]) -> usize {
    cut.iter()
        .map(|scope| 1 + items(scope, "heads").len())
        .sum()
}

fn is_cut(cut: &[Value]) -> bool {
    differ(cut, "scope") && cut_len(cut) <= 4000
}

fn value(form: &Form, cbor: &Cbor, strict: bool) -> Option<Value> {
    match (form, cbor) {
        (Form::Map(fields), Cbor::Map(found)) => {
            let known = u64::try_from(fields.len()).ok()?;
            if found.iter().any(|(key, _)| *key >= known) {
                return None;
            }
            let mut out = Map::new();
            for (key, Field(name, need, form)) in (0..).zip(fields.iter()) {
                let value = match cbor.get(key) {
                    Some(field) => value(form, field, strict)?,
                    None if strict && *need == Must => return None,
                    None => Value::Null,
                };
                out.insert((*name).to_owned(), value);
            }
            Some(Value::Object(out))
        }
        (List(min, max, item), Cbor::List(items)) => {
            if strict && !(*min..=*max).contains(&items.len()) {
                return None;
            }
            items.iter().map(|i| value(item, i, strict)).collect()
        }
        (Set(min, max, item), Cbor::List(items)) => {
            let ascends = items
                .windows(2)
                .all(|pair| matches!(pair, [a, b] if a.before(b)));
            if strict && !(ascends && (*min..=*max).contains(&items.len())) {
                return None;
            }
            items.iter().map(|i| value(item, i, strict)).collect()
        }
        (Form::Map(_) | List(..) | Set(..), _) | (_, Cbor::Map(_) | Cbor::List(_)) => None,
        (form, leaf) => {
            let fits = match (form, leaf) {
                (Number(min, max), Cbor::Number(n)) => (min..=max).contains(&n),
                (OneOf(list), Cbor::Number(n)) => list.contains(n),
                (Clock, Cbor::Number(n)) => return Some(Value::from(n.to_string())),
                (Bool, Cbor::Bool(_)) | (No, Cbor::Bool(false)) | (Scope, Cbor::Number(0)) => true,
                (Bytes(n), Cbor::Bytes(bytes)) => bytes.len() == *n,
                (Blob(max), Cbor::Bytes(bytes)) => bytes.len() <= *max,
                (Text(min, max), Cbor::Text(text)) => (*min..=*max).contains(&text.len()),
                (Scope, Cbor::Bytes(bytes)) => bytes.len() == 16,
                _ => false,
            };
            (fits || !strict).then(|| json(leaf))
        }
    }
}

fn json(leaf: &Cbor) -> Value {
    match leaf {
        Cbor::Null | Cbor::List(_) | Cbor::Map(_) => Value::Null,
        Cbor::Bool(yes) => Value::from(*yes),
        Cbor::Number(n) => Value::from(*n),
        Cbor::Text(text) => Value::from(text.as_str()),
        Cbor::Bytes(bytes) => Value::from(hex(bytes)),
    }
}

impl Cbor {
    /// The order of sets: bytes as bytes, maps field by field, an absent field first.
    fn before(&self, other: &Self) -> bool {
        self.order(other).is_lt()
    }

    fn order(&self, other: &Self) -> core::cmp::Ordering {
        match (self, other) {
            (Self::Number(a), Self::Number(b)) => a.cmp(b),
            (Self::Bytes(a), Self::Bytes(b)) => a.cmp(b),
            (Self::Text(a), Self::Text(b)) => a.as_bytes().cmp(b.as_bytes()),
            // Scope 0 comes before every channel.
            (Self::Number(_), Self::Bytes(_)) => core::cmp::Ordering::Less,
            (Self::Bytes(_), Self::Number(_)) => core::cmp::Ordering::Greater,
            (Self::List(a), Self::List(b)) => {
                let mut first = a.iter().zip(b).map(|(a, b)| a.order(b));
                first
                    .find(|o| o.is_ne())
                    .unwrap_or_else(|| a.len().cmp(&b.len()))
            }
            (Self::Map(a), Self::Map(b)) => {
                let mut first = a.iter().zip(b).map(|((_, a), (_, b))| a.order(b));
                first
                    .find(|o| o.is_ne())
                    .unwrap_or_else(|| a.len().cmp(&b.len()))
            }
            _ => core::cmp::Ordering::Equal,
        }
    }
}
