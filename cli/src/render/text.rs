//! Answers as people read them.

use super::clean;
use super::doctor;
use super::look::{Look, Tone};
use super::state::sent_words;
use super::status::{self, counted};
use super::table::{self, Cell};
use super::{posts, qr, time};
use crate::api::{
    ChannelKind, ChannelView, DeviceView, EquivocationView, InviteView, JoinRequestView,
    KeptMotion, MemberView, Membership, MotionState, OpId, QuorumView, SpaceSummary, UserId,
    Weight,
};
use crate::duration;
use crate::output::{Done, MotionPage, NewInvite, Output, WaitingFor};

/// Returns the answer as lines of text.
pub(crate) fn render(output: &Output, look: Look) -> String {
    match output {
        Output::Done(done) => self::done(done, look),
        Output::Me(me) => {
            let rows = [
                ("name", clean::line(&me.name)),
                ("identity", me.did.clone()),
                ("user id", me.user.to_string()),
                ("device id", me.device.to_string()),
            ]
            .map(|(what, value)| vec![Cell::new(Tone::Faint, what), Cell::plain(value)]);
            table::render(&rows, "", look)
        }
        Output::Spaces {
            spaces: known,
            joins,
        } => {
            let mut out = String::new();
            if !known.is_empty() || joins.is_empty() {
                out.push_str(&spaces(known, look));
            }
            out.push_str(&status::joins(joins, "", look));
            out
        }
        Output::Space(page) => {
            let mut out = spaces(std::slice::from_ref(&page.summary), look);
            out.push_str(&look.paint(Tone::Strong, "Channels"));
            out.push('\n');
            out.push_str(&channels(&page.channels, "  ", look));
            out.push_str(&look.paint(Tone::Strong, "Members"));
            out.push('\n');
            out.push_str(&members(&page.members, "  ", look));
            out
        }
        Output::Channels(list) => channels(list, "", look),
        Output::Invite(invite) => self::invite(invite, look),
        Output::Invites(list) => invites(list, look),
        Output::Motion(page) => motion(page, look),
        Output::Motions(list) => motions(list, look),
        Output::Equivocations(list) => equivocations(list, look),
        Output::Devices(list) => devices(list, look),
        Output::Requests(list) => requests(list, look),
        Output::Threads { forum, threads } => posts::threads(forum, threads, look),
        Output::Posts(page) => posts::page(page, look),
        Output::Members(list) => members(list, "", look),
        Output::Status(page) => status::page(page, look),
        Output::Doctor(page) => doctor::page(page, look),
        Output::Relays(list) => status::relays(list, "", look),
        Output::Synced {
            received,
            sent,
            relays,
            came_in,
            waiting,
        } => {
            let mut out = format!(
                "in step with {}: {received} received, {sent} sent\n",
                counted(*relays, "relay")
            );
            for space in came_in {
                let said = format!("{} has let this device in", clean::line(&space.name));
                out.push_str(&look.paint(Tone::Good, &said));
                out.push('\n');
            }
            for wait in waiting {
                out.push_str(&look.paint(Tone::Warn, &still_waiting(wait)));
                out.push('\n');
            }
            out
        }
        Output::Imported {
            space,
            new,
            known,
            unreadable,
            waiting,
            refused,
        } => {
            let mut out = format!(
                "{}: {new} new, {known} known, {} refused\n",
                space.short(),
                refused.len()
            );
            for (count, what) in [
                (unreadable, "in it cannot be read: it is damaged"),
                (
                    waiting,
                    "build on something that is not here and were left out; import again once it is",
                ),
            ] {
                if *count > 0 {
                    let line = format!("  {count} {what}");
                    out.push_str(&look.paint(Tone::Warn, &line));
                    out.push('\n');
                }
            }
            for (op, rule) in refused {
                let line = format!("  {}  {}", op.short(), clean::line(rule));
                out.push_str(&look.paint(Tone::Bad, &line));
                out.push('\n');
            }
            out
        }
        Output::Audit(page) => crate::audit::text(page, look),
        Output::File {
            what,
            path,
            bytes,
            left_out,
        } => {
            let mut out = format!(
                "{what} saved to {} ({})\n",
                clean::line(&path.display().to_string()),
                posts::size(*bytes)
            );
            if let Some(count) = left_out.filter(|count| *count > 0) {
                let line = format!(
                    "{count} ops are damaged on this disk and not in it: `decent status` names them"
                );
                out.push_str(&look.paint(Tone::Warn, &line));
                out.push('\n');
            }
            out
        }
    }
}

/// Says whom a device that is not let in waits for.
fn still_waiting(wait: &WaitingFor) -> String {
    let name = clean::line(&wait.space.name);
    let by: Vec<_> = wait
        .by
        .iter()
        .take(NAMED_MAX)
        .map(|name| clean::line(name))
        .collect();
    let by = match (by.as_slice(), wait.by.len().saturating_sub(NAMED_MAX)) {
        ([], _) => {
            return format!("{name} has not let this device in, and has no other member to do so");
        }
        ([one], _) => format!("{one} has"),
        (several, 0) => format!("one of {} has", several.join(", ")),
        (several, more) => format!("one of {} and {more} more has", several.join(", ")),
    };
    format!(
        "{name} has not let this device in yet: {by} to be online (`decent sync` is enough); then \
         `decent sync` again"
    )
}

/// Most people named in a sentence.
const NAMED_MAX: usize = 5;

/// Returns our standing in a Space.
pub(super) fn membership(membership: Membership) -> String {
    match membership {
        Membership::Member(weight) => role(weight),
        Membership::Waiting(weight) => {
            format!("{}, waiting to be let into the group", role(weight))
        }
        // known from an import
        Membership::Removed(OpId::ZERO) => "not a member".to_owned(),
        Membership::Removed(op) => format!("removed by {}", op.short()),
    }
}

/// Returns a role's name, or its weight when it has none.
pub(super) fn role(weight: Weight) -> String {
    weight
        .role_name()
        .map_or_else(|| format!("weight {}", weight.get()), ToOwned::to_owned)
}

/// Returns a channel kind's name.
pub(crate) const fn kind(kind: ChannelKind) -> &'static str {
    match kind {
        ChannelKind::Forum => "forum",
        ChannelKind::Chat => "chat",
        ChannelKind::Announcement => "announcement",
    }
}

fn done(done: &Done, look: Look) -> String {
    let mut out = clean::line(&done.said);
    if let Some(sent) = done.sent {
        out.push_str(&look.paint(Tone::Faint, &format!(" · {}", sent_words(sent))));
    }
    out.push('\n');
    out
}

fn spaces(spaces: &[SpaceSummary], look: Look) -> String {
    if spaces.is_empty() {
        return "no Spaces yet: `decent space create NAME` or `decent join LINK`\n".to_owned();
    }
    let rows: Vec<_> = spaces
        .iter()
        .map(|space| {
            vec![
                Cell::new(Tone::Faint, space.id.short()),
                Cell::new(Tone::Strong, clean::line(&space.name)),
                Cell::plain(membership(space.membership)),
                Cell::plain(counted(space.members, "member")),
                Cell::plain(counted(space.channels, "channel")),
                Cell::plain(format!("epoch {}", space.epoch_number)),
            ]
        })
        .collect();
    table::render(&rows, "", look)
}

fn channels(channels: &[ChannelView], indent: &str, look: Look) -> String {
    if channels.is_empty() {
        return format!("{indent}no channels yet: `decent channel create NAME`\n");
    }
    let rows: Vec<_> = channels
        .iter()
        .map(|channel| {
            let mut notes = Vec::new();
            notes.extend(channel.category.as_deref().map(clean::line));
            if !channel.topic.is_empty() {
                notes.push(clean::line(&channel.topic));
            }
            if channel.archived {
                notes.push("archived".to_owned());
            }
            vec![
                Cell::new(Tone::Faint, channel.id.short()),
                Cell::new(Tone::Strong, clean::line(&channel.name)),
                Cell::plain(kind(channel.kind)),
                Cell::plain(notes.join(" · ")),
            ]
        })
        .collect();
    table::render(&rows, indent, look)
}

fn members(members: &[MemberView], indent: &str, look: Look) -> String {
    let rows: Vec<_> = members
        .iter()
        .map(|member| {
            let mut notes = Vec::new();
            if let Some(op) = member.banned {
                notes.push(format!("banned ({})", op.short()));
            } else if let Some(op) = member.removed {
                notes.push(format!("removed ({})", op.short()));
            }
            if let Some((op, until)) = member.muted {
                notes.push(match until {
                    Some(until) => {
                        format!(
                            "muted until {} ({})",
                            time::minute(until.to_wall()),
                            op.short()
                        )
                    }
                    None => format!("muted ({})", op.short()),
                });
            }
            for other in &member.namesakes {
                notes.push(format!("looks like {}", other.short()));
            }
            vec![
                Cell::new(Tone::Faint, member.user.short()),
                Cell::new(Tone::Strong, clean::line(&member.name)),
                Cell::plain(member.weight.map_or_else(|| "former".to_owned(), role)),
                Cell::plain(match member.devices.len() {
                    0 => String::new(),
                    devices => counted(devices, "device"),
                }),
                // nothing is known of when somebody came who is gone
                Cell::plain(match member.joined.to_wall().as_ms() {
                    0 => String::new(),
                    _ => format!("since {}", time::minute(member.joined.to_wall())),
                }),
                Cell::new(Tone::Warn, notes.join(" · ")),
            ]
        })
        .collect();
    table::render(&rows, indent, look)
}

fn invite(invite: &NewInvite, look: Look) -> String {
    let link = invite.link.to_string();
    let mut out = String::new();
    if invite.qr {
        match qr::draw(&link) {
            Some(code) => {
                out.push_str(&code);
                out.push('\n');
            }
            None => out.push_str("(the link is too long for a QR code)\n"),
        }
    }
    out.push_str(&look.paint(Tone::Strong, &link));
    out.push('\n');
    let mut notes = vec![
        format!("invite {}", invite.op.short()),
        format!("valid for {}", duration::words(invite.valid_secs)),
        match invite.max_uses {
            1 => "for one person".to_owned(),
            n => format!("for {n} people"),
        },
    ];
    if invite.approval {
        notes.push("each must be approved".to_owned());
    }
    if invite.link.relays.is_empty() {
        notes.push("names no relay: newcomers must know one".to_owned());
    }
    notes.push(sent_words(invite.sent));
    out.push_str(&look.paint(Tone::Faint, &notes.join(" · ")));
    out.push('\n');
    out
}

fn invites(invites: &[InviteView], look: Look) -> String {
    if invites.is_empty() {
        return "no open invites: `decent invite create`\n".to_owned();
    }
    let rows: Vec<_> = invites
        .iter()
        .map(|invite| {
            vec![
                Cell::new(Tone::Faint, invite.op.short()),
                Cell::plain(role(invite.weight)),
                Cell::plain(format!("used {} of {}", invite.uses, invite.max_uses)),
                Cell::plain(format!("until {}", time::minute(invite.expires.to_wall()))),
                Cell::plain(if invite.approval {
                    "needs approval"
                } else {
                    ""
                }),
            ]
        })
        .collect();
    table::render(&rows, "", look)
}

fn motion(page: &MotionPage, look: Look) -> String {
    let view = &page.view;
    let names = |list: &[(UserId, String)]| match list {
        [] => "nobody".to_owned(),
        list => {
            let names: Vec<_> = list.iter().map(|(_, name)| clean::line(name)).collect();
            names.join(", ")
        }
    };
    let by = view.submitter.as_ref();
    let by = by.map_or_else(
        || "somebody unknown".to_owned(),
        |(_, name)| clean::line(name),
    );
    let mut out = format!(
        "{}  {}\n  to be submitted by {by} on device {}; good until {}\n  signed by {}; {} must sign, of {}\n",
        look.paint(Tone::Faint, &view.id.short()),
        look.paint(Tone::Strong, &clean::line(&view.about)),
        view.device.short(),
        time::minute(view.expires.to_wall()),
        names(&view.signed),
        view.needs,
        counted(view.signed.len() + view.unsigned.len(), "admin"),
    );
    if view.signed.len() < view.needs {
        out.push_str(&format!("  not signed yet by {}\n", names(&view.unsigned)));
    }
    match &view.state {
        MotionState::Open | MotionState::Ready => {
            let ready = view.state == MotionState::Ready;
            out.push_str(match (ready, view.may_bring) {
                (false, _) if view.may_sign => "  `decent quorum sign` adds your signature\n",
                (false, true) => {
                    "  hand this to the other admins; `decent quorum submit` takes what comes back\n"
                }
                (true, true) => "  `decent quorum submit` publishes it\n",
                (_, false) => "  give this to whoever is to submit it\n",
            });
        }
        MotionState::Taken { .. }
        | MotionState::Over
        | MotionState::Behind
        | MotionState::Void { .. } => {
            out.push_str(&format!("  {}\n", motion_state(view)));
        }
    }
    if page.command != "quorum show" {
        out.push_str(&page.text);
        out.push('\n');
    }
    out
}

/// How far a motion is, in words.
fn motion_state(view: &QuorumView) -> String {
    match &view.state {
        MotionState::Open => format!("{} of {} signed", view.signed.len(), view.needs),
        MotionState::Ready => "signed by enough, not submitted".to_owned(),
        MotionState::Taken { op, void: None } => format!("submitted: {}", op.short()),
        MotionState::Taken {
            op,
            void: Some(why),
        } => format!(
            "submitted as {}, and void: {}",
            op.short(),
            clean::line(why)
        ),
        MotionState::Over => "expired".to_owned(),
        MotionState::Behind => {
            "its proposer had seen more than is here yet: `decent sync`".to_owned()
        }
        MotionState::Void { why } => format!("cannot be submitted: {}", clean::line(why)),
    }
}

fn motions(list: &[KeptMotion], look: Look) -> String {
    if list.is_empty() {
        return "no motions: `decent quorum propose` makes one, and `decent quorum show` keeps one that you were handed\n".to_owned();
    }
    let rows: Vec<_> = list
        .iter()
        .map(|kept| {
            let signed = kept.view.signed.iter();
            let who: Vec<_> = signed.map(|(_, name)| clean::line(name)).collect();
            vec![
                Cell::new(Tone::Faint, kept.view.id.short()),
                Cell::plain(clean::line(&kept.view.about)),
                Cell::plain(motion_state(&kept.view)),
                Cell::plain(if who.is_empty() {
                    String::new()
                } else {
                    format!("by {}", who.join(", "))
                }),
                Cell::plain(format!(
                    "until {}",
                    time::minute(kept.view.expires.to_wall())
                )),
                Cell::plain(if kept.proposed { "yours" } else { "" }),
            ]
        })
        .collect();
    table::render(&rows, "", look)
}

fn equivocations(list: &[EquivocationView], look: Look) -> String {
    let mut out = String::new();
    for view in list {
        let whose = view.user_name.as_deref().unwrap_or("somebody unknown");
        let place = match view.scope.channel() {
            Some(channel) => format!("in channel {}", channel.short()),
            None => "in the control plane".to_owned(),
        };
        let ops: Vec<_> = view.ops.iter().map(ToString::to_string).collect();
        out.push_str(&format!(
            "{} of {} signed {} for place {} {place}\n  {}\n",
            look.paint(Tone::Strong, &view.device.short()),
            clean::line(whose),
            counted(view.ops.len(), "op"),
            view.seq,
            ops.join("\n  "),
        ));
        out.push_str(&match (view.ended, view.is_this) {
            (Some(end), _) => format!("  ended by {}\n", end.short()),
            (None, true) => "  this very device: its profile was copied, or put back from a copy; revoke it from another device of yours, or `decent restore` anew\n".to_owned(),
            (None, false) => format!(
                "  a copied profile does this by mistake: ask {}; `decent freeze {}` ends the device for good\n",
                clean::line(whose),
                view.device.short()
            ),
        });
    }
    if out.is_empty() {
        out.push_str("no device has signed two ops for one place, as far as is known here\n");
    }
    out
}

fn devices(devices: &[DeviceView], look: Look) -> String {
    let rows: Vec<_> = devices
        .iter()
        .map(|device| {
            let state = match (device.ended, device.in_group) {
                (Some(op), _) => format!("ended by {}", op.short()),
                (None, true) if device.is_this => "this one".to_owned(),
                (None, true) => "reads and writes".to_owned(),
                (None, false) => "not let in yet".to_owned(),
            };
            vec![
                Cell::new(Tone::Faint, device.device.short()),
                Cell::new(Tone::Strong, clean::line(&device.name)),
                Cell::plain(state),
            ]
        })
        .collect();
    if rows.is_empty() {
        return "no device of yours is known there\n".to_owned();
    }
    table::render(&rows, "", look)
}

fn requests(requests: &[JoinRequestView], look: Look) -> String {
    if requests.is_empty() {
        return "nobody is waiting to be let in\n".to_owned();
    }
    let rows: Vec<_> = requests
        .iter()
        .map(|request| {
            vec![
                Cell::new(Tone::Faint, request.user.short()),
                Cell::new(Tone::Strong, clean::line(&request.name)),
                Cell::plain(format!("by invite {}", request.invite.short())),
            ]
        })
        .collect();
    table::render(&rows, "", look)
}
