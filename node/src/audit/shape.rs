//! Payloads with the names of their fields, as plain values.
//!
//! The names are those of `docs/format.md`; a field that is absent is [`Value::Null`]. Enums and
//! weights stay the numbers that were signed, ids stay bytes.

use minicbor::data::Type;
use minicbor::decode::{Decoder, Error};
use oplog::Kind;

/// A field's value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// Absent.
    Null,
    /// Yes or no.
    Bool(bool),
    /// A number: a count, or what the format numbers.
    Number(u64),
    /// A time, as its 64-bit clock.
    Clock(u64),
    /// Text, as its author wrote it.
    Text(String),
    /// An id, a key, a signature, or what is opaque.
    Bytes(Vec<u8>),
    /// Several.
    List(Vec<Self>),
    /// Fields by name, in the order of the format.
    Map(Vec<(&'static str, Self)>),
}

/// What to read: anything that is no map, or a map with these fields from key 0 on.
enum Shape {
    Leaf,
    Clock,
    Map(&'static [(&'static str, Self)]),
    /// Items of this shape.
    List(&'static Self),
}

use Shape::{Clock, Leaf, List, Map};

const CERT: &[(&str, Shape)] = &[
    ("user", Leaf),
    ("device", Leaf),
    ("mls_key", Leaf),
    ("hpke_key", Leaf),
    ("created", Clock),
    ("name", Leaf),
    ("sig", Leaf),
];
const SIGNED_HEADER: &[(&str, Shape)] = &[("header", Leaf), ("sig", Leaf)];
const NEW_MEMBER: Shape = Map(&[
    ("cert", Map(CERT)),
    ("key_package", Leaf),
    ("weight", Leaf),
    ("proof", Leaf),
]);
const PERMISSION: Shape = Map(&[("verb", Leaf), ("least", Leaf)]);
const CUT: Shape = Map(&[("scope", Leaf), ("heads", List(&HEAD))]);
const HEAD: Shape = Map(&[("device", Leaf), ("seq", Leaf), ("op", Leaf)]);
const CLOSURE: Shape = Map(&[("removal", Leaf), ("cut", List(&CUT))]);
const SIGNER: Shape = Map(&[("user", Leaf), ("device", Leaf), ("sig", Leaf)]);
const PURGE: Shape = Map(&[("device", Leaf), ("scope", Leaf), ("seq", Leaf)]);
const ENTRY: Shape = Map(&[("device", Leaf), ("user", Leaf), ("key_package", Leaf)]);
const FILE: Shape = Map(&[
    ("manifest", Leaf),
    ("key", Leaf),
    ("salt", Leaf),
    ("size", Leaf),
    ("name", Leaf),
    ("media_type", Leaf),
]);

const fn fields(kind: Kind) -> &'static [(&'static str, Shape)] {
    match kind {
        Kind::Genesis => &[
            ("name", Leaf),
            ("kind", Leaf),
            ("cert", Map(CERT)),
            ("group_id", Leaf),
            ("root_commit", Leaf),
            ("owner_removable", Leaf),
            ("leaf", Leaf),
        ],
        Kind::ChannelCreate => &[
            ("name", Leaf),
            ("kind", Leaf),
            ("topic", Leaf),
            ("category", Leaf),
            ("history", Leaf),
            ("private", Leaf),
        ],
        Kind::ChannelUpdate => &[
            ("channel", Leaf),
            ("name", Leaf),
            ("topic", Leaf),
            ("category", Leaf),
            ("archived", Leaf),
            ("permissions", List(&PERMISSION)),
        ],
        Kind::PolicySet => &[
            ("name", Leaf),
            ("kick_late", Leaf),
            ("ban_late", Leaf),
            ("features", Leaf),
            ("timing_privacy", Leaf),
            ("dedup", Leaf),
            ("seal_every", Leaf),
        ],
        Kind::InviteCreate => &[
            ("key", Leaf),
            ("weight", Leaf),
            ("max_uses", Leaf),
            ("expires", Clock),
            ("channel", Leaf),
            ("approval", Leaf),
        ],
        Kind::InviteRevoke => &[("invite", Leaf)],
        Kind::MemberAdd => &[("members", List(&NEW_MEMBER)), ("invite", Leaf)],
        Kind::Kick | Kind::Ban => &[
            ("target", Leaf),
            ("cut", List(&CUT)),
            ("late", Leaf),
            ("reason", Leaf),
            ("purge", List(&PURGE)),
        ],
        Kind::Unban => &[("target", Leaf)],
        Kind::Leave | Kind::ModTombstone => &[("reason", Leaf)],
        Kind::RoleSet => &[("target", Leaf), ("weight", Leaf), ("reason", Leaf)],
        Kind::Mute => &[
            ("target", Leaf),
            ("channel", Leaf),
            ("expires", Clock),
            ("reason", Leaf),
        ],
        Kind::Unmute => &[("target", Leaf), ("channel", Leaf)],
        Kind::DeviceAdd => &[
            ("cert", Map(CERT)),
            ("key_package", Leaf),
            ("identity_sig", Leaf),
        ],
        Kind::DeviceRevoke => &[
            ("device", Leaf),
            ("cut", List(&CUT)),
            ("late", Leaf),
            ("reason", Leaf),
            ("purge", List(&PURGE)),
            ("compromised", Leaf),
            ("identity_sig", Leaf),
        ],
        Kind::EquivocationProof => &[
            ("first", Map(SIGNED_HEADER)),
            ("second", Map(SIGNED_HEADER)),
            ("cut", List(&CUT)),
        ],
        Kind::CutAttest => &[("removal", Leaf), ("cut", List(&CUT))],
        Kind::QuorumAct => &[
            ("frontier", List(&Leaf)),
            ("kind", Leaf),
            ("action", Leaf),
            ("nonce", Leaf),
            ("expires", Clock),
            ("signers", List(&SIGNER)),
        ],
        Kind::CommitComplaint => &[("epoch", Leaf), ("key_package", Leaf), ("nonce", Leaf)],
        Kind::Seal => &[
            ("epoch", Leaf),
            ("public_state", Leaf),
            ("closures", List(&CLOSURE)),
            ("strata", Leaf),
        ],
        Kind::Commit => &[
            ("parent", Leaf),
            ("mls", Leaf),
            ("root_commit", Leaf),
            ("roster_hash", Leaf),
            ("class", Leaf),
            (
                "delta",
                Map(&[("added", List(&ENTRY)), ("removed", List(&Leaf))]),
            ),
            ("group_info", Leaf),
            ("welcomes", List(&Leaf)),
        ],
        Kind::ReaddRequest => &[("key_package", Leaf), ("nonce", Leaf)],
        Kind::ThreadCreate => &[
            ("title", Leaf),
            ("tags", List(&Leaf)),
            ("body", Leaf),
            ("attachments", List(&FILE)),
            ("mentions", List(&Leaf)),
        ],
        Kind::ThreadUpdate => &[("title", Leaf), ("tags", List(&Leaf))],
        Kind::Post => &[
            ("thread", Leaf),
            ("reply_to", Leaf),
            ("body", Leaf),
            ("attachments", List(&FILE)),
            ("mentions", List(&Leaf)),
        ],
        Kind::Edit => &[("body", Leaf), ("mentions", List(&Leaf))],
        Kind::React | Kind::Unreact => &[("emoji", Leaf)],
        Kind::Merge
        | Kind::SelfDelete
        | Kind::ModRestore
        | Kind::Pin
        | Kind::Unpin
        | Kind::ReadMarker => &[],
    }
}

/// Returns the payload of an op by the names of its fields; the raw bytes when it does not parse.
pub(super) fn payload(kind: Option<Kind>, bytes: &[u8]) -> Value {
    let Some(kind) = kind else {
        return Value::Bytes(bytes.to_vec());
    };
    if bytes.is_empty() {
        return Value::Map(Vec::new());
    }
    let mut d = Decoder::new(bytes);
    match read_map(&mut d, fields(kind)) {
        Ok(map) if d.position() == bytes.len() => map,
        _ => Value::Bytes(bytes.to_vec()),
    }
}

/// Depth is bounded by the shape, length by the bytes that are there.
fn read(d: &mut Decoder<'_>, shape: &Shape) -> Result<Value, Error> {
    match (d.datatype()?, shape) {
        (Type::Null, _) => d.null().map(|()| Value::Null),
        (Type::Map, Map(fields)) => read_map(d, fields),
        (Type::Array, List(item)) => {
            let len = d.array()?.ok_or_else(|| Error::message("indefinite"))?;
            let mut items = Vec::new();
            for _ in 0..len {
                items.push(read(d, item)?);
            }
            Ok(Value::List(items))
        }
        (Type::U8 | Type::U16 | Type::U32 | Type::U64, Clock) => d.u64().map(Value::Clock),
        (Type::Bool, Leaf) => d.bool().map(Value::Bool),
        (Type::String, Leaf) => d.str().map(|s| Value::Text(s.to_owned())),
        (Type::Bytes, Leaf) => d.bytes().map(|b| Value::Bytes(b.to_vec())),
        (Type::U8 | Type::U16 | Type::U32 | Type::U64, Leaf) => d.u64().map(Value::Number),
        _ => Err(Error::message("another shape")),
    }
}

fn read_map(d: &mut Decoder<'_>, fields: &'static [(&'static str, Shape)]) -> Result<Value, Error> {
    let len = d.map()?.ok_or_else(|| Error::message("indefinite"))?;
    let mut map: Vec<_> = fields
        .iter()
        .map(|(name, _)| (*name, Value::Null))
        .collect();
    for _ in 0..len {
        let key = usize::from(d.u8()?);
        let (Some((_, shape)), Some((_, slot))) = (fields.get(key), map.get_mut(key)) else {
            return Err(Error::message("another field"));
        };
        *slot = read(d, shape)?;
    }
    Ok(Value::Map(map))
}

#[cfg(test)]
mod tests {
    use oplog::payload::{Post, RoleSet, Weight};
    use oplog::{OpId, Payload, UserId};

    use super::*;

    #[test]
    fn fields_have_their_names_and_nonsense_stays_bytes() {
        let post = Payload::Post(Post {
            thread: None,
            reply_to: Some(OpId::from_bytes([7; 32])),
            body: "hi".to_owned(),
            attachments: Vec::new(),
            mentions: Vec::new(),
        });
        let expected = Value::Map(vec![
            ("thread", Value::Null),
            ("reply_to", Value::Bytes(vec![7; 32])),
            ("body", Value::Text("hi".to_owned())),
            ("attachments", Value::List(Vec::new())),
            ("mentions", Value::List(Vec::new())),
        ]);
        assert_eq!(payload(Some(Kind::Post), &post.encode()), expected);
        let role = Payload::RoleSet(RoleSet {
            target: UserId::from_bytes([1; 32]),
            weight: Weight::ADMIN,
            reason: String::new(),
        });
        assert!(
            matches!(payload(Some(Kind::RoleSet), &role.encode()), Value::Map(m) if m.get(1) == Some(&("weight", Value::Number(50))))
        );
        assert_eq!(payload(Some(Kind::Post), b"\xa1"), Value::Bytes(vec![0xa1]));
        assert_eq!(payload(None, b"x"), Value::Bytes(b"x".to_vec()));
    }
}
