//! What `decent audit dump --json` prints, for nodes in a simulated world.

use node::audit::{Dump, DumpOp, DumpRefused, Value as Field};
use node::view::{ChannelView, MemberView, PostState, PostView};
use node::{ChannelKind, OpId};
use serde_json::{Map, Value, json};

/// Returns the lines (docs/cli.md, Audit).
#[must_use]
pub fn lines(dump: &Dump) -> Vec<String> {
    let end = &dump.end;
    let ops = dump.ops.iter().map(op);
    let ops = ops.chain(dump.refused.iter().map(refused));
    let ops = ops.chain(dump.damaged.iter().map(|op| {
        let channel = op.scope.channel();
        json!({
            "type": "dump-damaged", "space": dump.space.to_string(), "op": op.op.to_string(),
            "device": op.device.to_string(),
            "plane": if channel.is_none() { "control" } else { "content" },
            "channel": text(channel), "seq": op.seq,
        })
    }));
    let state = end.channels.iter().map(channel);
    let state = state.chain(end.members.iter().map(member));
    let state = state.chain(end.posts.iter().map(post));
    let last = json!({
        "type": "dump-end", "space": dump.space.to_string(), "name": end.name,
        "heads": ids(&dump.heads), "ops": dump.ops.len(),
        "refused": dump.refused.len(), "damaged": dump.damaged.len(),
        "authority_hash": dump.authority_hash.to_string(),
        "state_hash": end.state_hash.to_string(),
        "epoch": dump.epoch.to_string(), "at": dump.at.as_raw().to_string(),
    });
    ops.chain(state)
        .chain([last])
        .map(|row| row.to_string())
        .collect()
}

fn op(op: &DumpOp) -> Value {
    let (h, o) = (&op.header, &op.outcome);
    json!({
        "type": "dump-op", "op": o.op.to_string(), "kind": o.kind, "author": o.author.to_string(),
        "author_name": o.author_name, "device": o.device.to_string(),
        "hlc": o.hlc.as_raw().to_string(), "wall_ms": o.wall.as_ms(), "state": o.state,
        "rule": o.rule, "why": o.why, "deciding": ids(&o.deciding),
        "space": h.space.to_string(),
        "plane": if h.is_control() { "control" } else { "content" },
        "kind_number": h.kind,
        "channel": text(h.scope.channel()), "seq": h.seq, "back": text(h.back),
        "ctl": ids(&h.ctl), "prev": ids(&h.prev), "epoch": h.epoch.to_string(),
        "payload_hash": h.payload_hash.to_string(), "payload_len": h.payload_len,
        "payload": op.payload.as_ref().map(field),
        "sig": hex::encode(op.sig.as_bytes()), "bytes": hex::encode(&op.bytes),
        "accepted": true,
    })
}

fn refused(dumped: &DumpRefused) -> Value {
    let r = &dumped.refused;
    json!({
        "type": "dump-refused", "op": r.op.to_string(), "rule": r.rule, "why": r.text,
        "when_ms": r.when.as_ms(), "kept": dumped.op.is_some(), "accepted": false,
        "bytes": dumped.op.as_ref().map(|op| hex::encode(op.encode())),
    })
}

fn field(value: &Field) -> Value {
    match value {
        Field::Null => Value::Null,
        Field::Bool(yes) => json!(yes),
        Field::Number(n) => json!(n),
        Field::Clock(clock) => json!(clock.to_string()),
        Field::Text(text) => json!(text),
        Field::Bytes(bytes) => json!(hex::encode(bytes)),
        Field::List(items) => items.iter().map(field).collect(),
        Field::Map(map) => {
            let fields = map
                .iter()
                .map(|(name, value)| ((*name).to_owned(), field(value)));
            Value::Object(fields.collect::<Map<_, _>>())
        }
    }
}

fn channel(channel: &ChannelView) -> Value {
    json!({
        "type": "channel", "id": channel.id.to_string(), "name": channel.name,
        "kind": match channel.kind {
            ChannelKind::Forum => "forum",
            ChannelKind::Chat => "chat",
            ChannelKind::Announcement => "announcement",
        },
        "topic": channel.topic, "category": channel.category, "archived": channel.archived,
    })
}

fn member(member: &MemberView) -> Value {
    let devices: Vec<_> = member.devices.iter().map(ToString::to_string).collect();
    let until = member.muted.and_then(|(_, until)| until);
    json!({
        "type": "member", "user": member.user.to_string(), "name": member.name,
        "weight": member.weight.map(|w| w.get()),
        "role": member.weight.and_then(|w| w.role_name()),
        "devices": devices,
        "joined_ms": Some(member.joined.to_wall().as_ms()).filter(|ms| *ms > 0),
        "banned": text(member.banned), "removed": text(member.removed),
        "muted": text(member.muted.map(|(op, _)| op)),
        "muted_until_ms": until.map(|until| until.to_wall().as_ms()),
    })
}

fn post(post: &PostView) -> Value {
    let files = post.attachments.iter().map(|file| {
        json!({
            "manifest": file.manifest.to_string(), "name": file.name, "size": file.size,
            "media_type": file.media_type,
        })
    });
    let reactions = post.reactions.iter().map(|(emoji, by)| {
        let by: Vec<_> = by.iter().map(ToString::to_string).collect();
        json!({"emoji": emoji, "by": by})
    });
    let mentions = post.mentions.iter().map(ToString::to_string);
    let mut row = json!({
        "type": "post", "id": post.id.to_string(), "channel": post.channel.to_string(),
        "thread": text(post.thread), "title": post.title, "reply_to": text(post.reply_to),
        "author": post.author.to_string(), "author_name": post.author_name,
        "device": post.device.to_string(), "hlc": post.hlc.as_raw().to_string(),
        "wall_ms": post.wall.as_ms(), "body": post.body, "history": post.history,
        "attachments": files.collect::<Vec<_>>(), "reactions": reactions.collect::<Vec<_>>(),
        "mentions": mentions.collect::<Vec<_>>(), "pinned": post.pinned,
        "delivery": null, "delivery_count": null,
    });
    if let (Value::Object(row), Value::Object(state)) = (&mut row, state(&post.state)) {
        row.extend(state);
    }
    row
}

fn state(state: &PostState) -> Value {
    match state {
        PostState::Normal => json!({"state": "normal"}),
        PostState::Late {
            removal,
            unverified,
            quarantined,
        } => json!({
            "state": "late", "state_by": removal.to_string(), "unverified": unverified,
            "quarantined": quarantined,
        }),
        PostState::Muted { mute } => json!({"state": "muted", "state_by": mute.to_string()}),
        PostState::Hidden {
            by,
            moderator,
            reason,
        } => json!({
            "state": "hidden", "state_by": by.to_string(), "moderator": moderator.to_string(),
            "reason": reason,
        }),
        PostState::Deleted { by } => json!({"state": "deleted", "state_by": by.to_string()}),
        PostState::Refused { rule, by } => {
            json!({"state": "refused", "rule": rule, "state_by": text(*by)})
        }
        PostState::Unreadable => json!({"state": "unreadable"}),
    }
}

fn ids(ops: &[OpId]) -> Value {
    ops.iter().map(|op| json!(op.to_string())).collect()
}

fn text<T: ToString>(value: Option<T>) -> Option<String> {
    value.map(|value| value.to_string())
}
