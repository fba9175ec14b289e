//! Answers as programs read them: field names stay as `docs/cli.md` describes them.
//!
//! Ids are whole, times are milliseconds since 1970, 64-bit clocks are decimal strings.

use serde_json::{Map, Value, json};

use super::state::{delivery_json, sent_word, state_json};
use super::text::kind;
use crate::api::{
    ChannelView, DamagedOp, DeviceView, EquivocationView, InviteView, JoinRequestView, JoinStatus,
    KeptMotion, Me, MemberView, Membership, MotionState, Notice, OpId, OwnOp, PostView, QuorumView,
    RelayStatus, SpaceId, SpaceStatus, SpaceSummary, ThreadSummary, UserId, VoidedOp,
};
use crate::output::{Done, MotionPage, NewInvite, Output};

/// An op that the disk has damaged.
pub(crate) fn damaged(kind: &str, space: SpaceId, op: &DamagedOp) -> Value {
    let channel = op.scope.channel();
    json!({
        "type": kind, "space": space.to_string(), "op": op.op.to_string(),
        "device": op.device.to_string(),
        "plane": if channel.is_none() { "control" } else { "content" },
        "channel": channel.map(|channel| channel.to_string()), "seq": op.seq,
    })
}

/// Returns the answer as objects, one for each line.
pub(crate) fn rows(output: &Output) -> Vec<Value> {
    match output {
        Output::Done(done) => vec![self::done(done)],
        Output::Me(me) => vec![self::me(me)],
        Output::Spaces { spaces, joins } => {
            let joins = joins.iter().map(join);
            spaces.iter().map(space).chain(joins).collect()
        }
        Output::Space(page) => {
            let mut rows = vec![space(&page.summary)];
            rows.extend(page.channels.iter().map(channel));
            rows.extend(page.members.iter().map(member));
            rows
        }
        Output::Channels(list) => list.iter().map(channel).collect(),
        Output::Invite(new) => vec![new_invite(new)],
        Output::Invites(list) => list.iter().map(invite).collect(),
        Output::Motion(page) => vec![motion(page)],
        Output::Motions(list) => list.iter().map(kept_motion).collect(),
        Output::Equivocations(list) => list.iter().map(equivocation).collect(),
        Output::Devices(list) => list.iter().map(device).collect(),
        Output::Requests(list) => list.iter().map(request).collect(),
        Output::Threads { threads, .. } => threads.iter().map(thread).collect(),
        Output::Posts(page) => page.posts.iter().map(post).collect(),
        Output::Members(list) => list.iter().map(member).collect(),
        Output::Status(page) => {
            let status = &page.status;
            let mut rows = vec![me(&status.me)];
            rows.extend(status.relays.iter().map(relay));
            for space in &status.spaces {
                rows.push(space_status(space));
                let own = page.own.get(&space.summary.id);
                rows.extend(
                    own.into_iter()
                        .flatten()
                        .map(|op| own_op(space.summary.id, op)),
                );
                let voided = status.voided.get(&space.summary.id).into_iter().flatten();
                rows.extend(voided.map(|op| self::voided(space.summary.id, op)));
                let damaged = page.damaged.get(&space.summary.id).into_iter().flatten();
                rows.extend(damaged.map(|op| self::damaged("damaged", space.summary.id, op)));
            }
            rows.extend(status.joins.iter().map(join));
            let mended = status.recovered.iter();
            rows.extend(mended.map(|what| json!({"type": "mended", "what": what})));
            rows
        }
        Output::Doctor(page) => super::doctor::rows(page),
        Output::Relays(list) => list.iter().map(relay).collect(),
        Output::Synced {
            received,
            sent,
            relays,
            came_in,
            waiting,
        } => {
            let came_in: Vec<_> = came_in.iter().map(|space| space.id.to_string()).collect();
            let waiting: Vec<_> = waiting.iter().map(|w| w.space.id.to_string()).collect();
            vec![json!({
                "type": "synced", "received": received, "sent": sent, "relays": relays,
                "let_in": came_in, "waiting": waiting,
            })]
        }
        Output::Imported {
            space,
            new,
            known,
            unreadable,
            waiting,
            refused,
        } => {
            let refused: Vec<_> = refused
                .iter()
                .map(|(op, rule)| json!({"op": op.to_string(), "rule": rule}))
                .collect();
            vec![json!({
                "type": "imported", "space": space.to_string(), "new": new, "known": known,
                "unreadable": unreadable, "waiting": waiting, "refused": refused,
            })]
        }
        Output::Audit(page) => crate::audit::json(page),
        Output::File {
            what,
            path,
            bytes,
            left_out,
        } => vec![json!({
            "type": "file", "what": what, "path": path.display().to_string(), "bytes": bytes,
            "left_out": left_out,
        })],
    }
}

/// Returns what happened meanwhile; `notice` names the kind.
pub(crate) fn notice(notice: &Notice) -> Value {
    match notice {
        Notice::Ops { space, ops } => {
            let ops: Vec<_> = ops.iter().map(OpId::to_string).collect();
            json!({"notice": "ops", "space": space.to_string(), "ops": ops})
        }
        Notice::Gone { space, ops } => {
            let ops: Vec<_> = ops.iter().map(OpId::to_string).collect();
            json!({"notice": "gone", "space": space.to_string(), "ops": ops})
        }
        Notice::Refused {
            space,
            op,
            rule,
            why,
        } => json!({
            "notice": "refused", "space": space.to_string(), "op": op.to_string(), "rule": rule,
            "why": why,
        }),
        Notice::Epoch { space, epoch } => {
            json!({"notice": "epoch", "space": space.to_string(), "epoch": epoch.to_string()})
        }
        Notice::Fork { space, parent } => {
            json!({"notice": "fork", "space": space.to_string(), "parent": parent.to_string()})
        }
        Notice::Joined { space } => json!({"notice": "joined", "space": space.to_string()}),
        Notice::Removed { space, by } => {
            json!({"notice": "removed", "space": space.to_string(), "by": by.to_string()})
        }
        Notice::JoinRequest { space, request } => json!({
            "notice": "join-request", "space": space.to_string(),
            "user": request.user.to_string(), "name": request.name,
            "invite": request.invite.to_string(),
        }),
        Notice::Relay(relay) => json!({
            "notice": "relay", "address": relay.address, "connected": relay.connected,
            "error": relay.error,
        }),
        Notice::Importing { space, done, total } => {
            json!({"notice": "importing", "space": space.to_string(), "done": done, "total": total})
        }
        Notice::CaughtUp => json!({"notice": "caught-up"}),
        // what a later node tells and this shell does not know yet
        _ => json!({"notice": "other"}),
    }
}

fn done(done: &Done) -> Value {
    json!({
        "type": "done",
        "command": done.command,
        "said": done.said,
        "space": text(done.space),
        "channel": text(done.channel),
        "op": text(done.op),
        "sent": done.sent.map(sent_word),
    })
}

fn me(me: &Me) -> Value {
    json!({
        "type": "me", "user": me.user.to_string(), "device": me.device.to_string(),
        "name": me.name, "did": me.did,
    })
}

fn space(space: &SpaceSummary) -> Value {
    let (standing, weight, removal) = match space.membership {
        Membership::Member(weight) => ("member", Some(weight.get()), None),
        Membership::Waiting(weight) => ("waiting", Some(weight.get()), None),
        Membership::Removed(OpId::ZERO) => ("outside", None, None),
        Membership::Removed(op) => ("removed", None, Some(op)),
    };
    json!({
        "type": "space", "id": space.id.to_string(), "name": space.name, "standing": standing,
        "weight": weight, "removal": text(removal), "members": space.members,
        "channels": space.channels, "epoch": space.epoch.to_string(),
        "epoch_number": space.epoch_number,
    })
}

pub(crate) fn channel(channel: &ChannelView) -> Value {
    json!({
        "type": "channel", "id": channel.id.to_string(), "name": channel.name,
        "kind": kind(channel.kind), "topic": channel.topic, "category": channel.category,
        "archived": channel.archived,
    })
}

pub(crate) fn member(member: &MemberView) -> Value {
    let devices: Vec<_> = member.devices.iter().map(ToString::to_string).collect();
    let until = member.muted.and_then(|(_, until)| until);
    let namesakes: Vec<_> = member.namesakes.iter().map(ToString::to_string).collect();
    json!({
        "type": "member", "user": member.user.to_string(), "name": member.name,
        "namesakes": namesakes,
        "weight": member.weight.map(|w| w.get()),
        "role": member.weight.and_then(|w| w.role_name()),
        "devices": devices, "joined_ms": Some(member.joined.to_wall().as_ms()).filter(|ms| *ms > 0),
        "banned": text(member.banned), "removed": text(member.removed),
        "muted": text(member.muted.map(|(op, _)| op)),
        "muted_until_ms": until.map(|until| until.to_wall().as_ms()),
    })
}

fn new_invite(new: &NewInvite) -> Value {
    json!({
        "type": "new-invite", "link": new.link.to_string(), "op": new.op.to_string(),
        "space": new.link.space.to_string(), "valid_secs": new.valid_secs,
        "max_uses": new.max_uses, "approval": new.approval, "relays": new.link.relays,
        "sent": sent_word(new.sent),
    })
}

fn invite(invite: &InviteView) -> Value {
    json!({
        "type": "invite", "op": invite.op.to_string(), "weight": invite.weight.get(),
        "role": invite.weight.role_name(), "uses": invite.uses, "max_uses": invite.max_uses,
        "expires_ms": invite.expires.to_wall().as_ms(), "approval": invite.approval,
    })
}

fn request(request: &JoinRequestView) -> Value {
    json!({
        "type": "join-request", "user": request.user.to_string(), "name": request.name,
        "invite": request.invite.to_string(),
    })
}

fn motion(page: &MotionPage) -> Value {
    let mut row = motion_view(&page.view);
    row.insert("type".to_owned(), "motion".into());
    row.insert("command".to_owned(), page.command.into());
    row.insert("motion".to_owned(), page.text.clone().into());
    Value::Object(row)
}

fn kept_motion(kept: &KeptMotion) -> Value {
    let mut row = motion_view(&kept.view);
    row.insert("type".to_owned(), "kept-motion".into());
    row.insert("command".to_owned(), "quorum list".into());
    row.insert("motion".to_owned(), kept.motion.to_string().into());
    row.insert("proposed".to_owned(), kept.proposed.into());
    row.insert("since_ms".to_owned(), kept.since.as_ms().into());
    Value::Object(row)
}

fn motion_view(view: &QuorumView) -> Map<String, Value> {
    let people = |list: &[(UserId, String)]| -> Value {
        list.iter()
            .map(|(user, name)| json!({"user": user.to_string(), "name": name}))
            .collect()
    };
    let (state, op, why) = match &view.state {
        MotionState::Open => ("open", None, None),
        MotionState::Ready => ("ready", None, None),
        MotionState::Taken { op, void: None } => ("taken", Some(op), None),
        MotionState::Taken {
            op,
            void: Some(why),
        } => ("void", Some(op), Some(why.clone())),
        MotionState::Over => ("expired", None, None),
        MotionState::Behind => ("behind", None, None),
        MotionState::Void { why } => ("void", None, Some(why.clone())),
    };
    object(json!({
        "id": view.id.to_string(),
        "space": view.space.to_string(), "kind": view.kind, "about": view.about,
        "submitter": view.submitter.as_ref().map(|(user, _)| user.to_string()),
        "submitter_name": view.submitter.as_ref().map(|(_, name)| name.clone()),
        "device": view.device.to_string(), "expires_ms": view.expires.to_wall().as_ms(),
        "state": state, "op": text(op), "why": why,
        "signed": people(&view.signed), "unsigned": people(&view.unsigned), "needs": view.needs,
        "may_sign": view.may_sign, "may_submit": view.may_bring,
    }))
}

fn equivocation(view: &EquivocationView) -> Value {
    let ops: Vec<_> = view.ops.iter().map(ToString::to_string).collect();
    json!({
        "type": "equivocation", "device": view.device.to_string(), "name": view.device_name,
        "user": text(view.user), "user_name": view.user_name,
        "channel": text(view.scope.channel()), "seq": view.seq, "ops": ops, "this": view.is_this,
        "ended": text(view.ended),
    })
}

fn device(device: &DeviceView) -> Value {
    json!({
        "type": "device", "device": device.device.to_string(), "name": device.name,
        "this": device.is_this, "added_ms": device.added.to_wall().as_ms(),
        "in_group": device.in_group, "ended": text(device.ended),
    })
}

fn thread(thread: &ThreadSummary) -> Value {
    let mut row = object(json!({
        "type": "thread", "id": thread.id.to_string(), "title": thread.title,
        "tags": thread.tags, "author": thread.author.to_string(),
        "author_name": thread.author_name, "created_ms": thread.created.as_ms(),
        "replies": thread.replies, "last_activity_ms": thread.last_activity.as_ms(),
    }));
    row.extend(state_json(&thread.state).into_iter().map(named));
    Value::Object(row)
}

/// Returns one post.
pub(crate) fn post(post: &PostView) -> Value {
    let files: Vec<_> = post
        .attachments
        .iter()
        .map(|file| {
            json!({
                "manifest": file.manifest.to_string(), "name": file.name, "size": file.size,
                "media_type": file.media_type,
            })
        })
        .collect();
    let reactions: Vec<_> = post
        .reactions
        .iter()
        .map(|(emoji, by)| {
            let by: Vec<_> = by.iter().map(ToString::to_string).collect();
            json!({"emoji": emoji, "by": by})
        })
        .collect();
    let mentions: Vec<_> = post.mentions.iter().map(ToString::to_string).collect();
    let (delivery, count) = delivery_json(post.delivery);
    let mut row = object(json!({
        "type": "post", "id": post.id.to_string(), "channel": post.channel.to_string(),
        "thread": text(post.thread), "title": post.title, "reply_to": text(post.reply_to),
        "author": post.author.to_string(), "author_name": post.author_name,
        "device": post.device.to_string(), "hlc": post.hlc.as_raw().to_string(),
        "wall_ms": post.wall.as_ms(), "body": post.body, "history": post.history,
        "attachments": files, "reactions": reactions, "mentions": mentions,
        "pinned": post.pinned, "delivery": delivery, "delivery_count": count,
    }));
    row.extend(state_json(&post.state).into_iter().map(named));
    Value::Object(row)
}

fn relay(relay: &RelayStatus) -> Value {
    json!({
        "type": "relay", "address": relay.address, "connected": relay.connected,
        "error": relay.error,
    })
}

fn space_status(status: &SpaceStatus) -> Value {
    let forks: Vec<_> = status.forks.iter().map(ToString::to_string).collect();
    let mut row = object(space(&status.summary));
    row.extend(object(json!({
        "type": "space-status", "control_ops": status.control_ops, "held": status.held,
        "lost": status.lost,
        "unopened": status.unopened, "queued": status.queued, "forks": forks, "behind": status.behind,
        "reconcile": status.reconcile, "update_needed": status.update_needed,
        "seal": status.seal.as_ref().map(|seal| seal.op.to_string()),
        "sealed_number": status.seal.as_ref().map(|seal| seal.epoch_number),
        "closed": status.seal.as_ref().map_or(0, |seal| seal.closed),
        "seal_every": status.seal_every,
        "state_hash": status.state_hash.to_string(),
    })));
    Value::Object(row)
}

fn voided(space: SpaceId, op: &VoidedOp) -> Value {
    json!({
        "type": "voided", "space": space.to_string(), "op": op.op.to_string(), "kind": op.kind,
        "about": op.about, "rule": op.rule, "why": op.why,
    })
}

fn join(join: &JoinStatus) -> Value {
    json!({
        "type": "join", "space": join.space.to_string(), "name": join.name,
        "asked_ms": join.asked.map(|asked| asked.as_ms()), "relays": join.relays,
        "failed": join.failed, "early_until_ms": join.early_until.map(|at| at.as_ms()),
    })
}

fn own_op(space: SpaceId, own: &OwnOp) -> Value {
    let (delivery, count) = delivery_json(Some(own.delivery));
    json!({
        "type": "own-op", "space": space.to_string(), "op": own.op.to_string(),
        "kind": own.kind, "wall_ms": own.wall.as_ms(), "delivery": delivery,
        "delivery_count": count, "resent": own.resent,
    })
}

fn text<T: ToString>(value: Option<T>) -> Option<String> {
    value.map(|value| value.to_string())
}

fn named((name, value): (&'static str, Value)) -> (String, Value) {
    (name.to_owned(), value)
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
            Map::new()
        }
    }
}
