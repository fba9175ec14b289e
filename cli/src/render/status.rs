//! The health report for people.

use super::clean;
use super::look::{Look, Tone};
use super::state::{delivery_tone, delivery_words};
use super::table::{self, Cell};
use super::text::membership;
use super::time;
use crate::api::{JoinStatus, Membership, RelayStatus, SpaceStatus};
use crate::output::StatusPage;

/// Damaged ops that are named one by one.
const DAMAGED_SHOWN: usize = 20;

/// Returns the whole report.
pub(super) fn page(page: &StatusPage, look: Look) -> String {
    let status = &page.status;
    let me = &status.me;
    let mut out = format!(
        "{}  {}\ndevice {}\n",
        look.paint(Tone::Strong, &clean::line(&me.name)),
        me.did,
        me.device.short()
    );
    out.push_str(&look.paint(Tone::Strong, "Relays"));
    out.push('\n');
    out.push_str(&relays(&status.relays, "  ", look));
    out.push_str(&look.paint(Tone::Strong, "Spaces"));
    out.push('\n');
    if status.spaces.is_empty() && status.joins.is_empty() {
        out.push_str("  none yet: `decent space create NAME` or `decent join LINK`\n");
    }
    for space in &status.spaces {
        out.push_str(&one(space, look));
        let own = page.own.get(&space.summary.id);
        let rows: Vec<_> = own
            .into_iter()
            .flatten()
            .map(|op| {
                vec![
                    Cell::new(Tone::Faint, op.op.short()),
                    Cell::new(Tone::Faint, time::minute(op.wall)),
                    Cell::plain(op.kind),
                    Cell::new(delivery_tone(op.delivery), delivery_words(op.delivery)),
                    Cell::new(
                        Tone::Faint,
                        if op.resent {
                            "sent again: keys had forked"
                        } else {
                            ""
                        },
                    ),
                ]
            })
            .collect();
        let voided = status.voided.get(&space.summary.id).into_iter().flatten();
        for op in voided {
            let line = format!(
                "    your {} of {} does not count (rule {}): {}",
                op.kind,
                clean::line(&op.about),
                op.rule,
                clean::line(&op.why)
            );
            out.push_str(&look.paint(Tone::Warn, &line));
            out.push_str(&format!(
                "\n      `decent reapply {}` does it again\n",
                op.op.short()
            ));
        }
        let damaged = page.damaged.get(&space.summary.id);
        if let Some(damaged) = damaged.filter(|damaged| !damaged.is_empty()) {
            let line = format!(
                "    damaged on this disk, {}:",
                counted(damaged.len(), "op")
            );
            out.push_str(&look.paint(Tone::Bad, &line));
            out.push('\n');
            for op in damaged.iter().take(DAMAGED_SHOWN) {
                out.push_str(&format!("      {}\n", op.op));
            }
            if damaged.len() > DAMAGED_SHOWN {
                out.push_str("      and more, which --json lists\n");
            }
        }
        if !rows.is_empty() {
            out.push_str("    what you wrote, newest first:\n");
            out.push_str(&table::render(&rows, "      ", look));
        }
    }
    out.push_str(&joins(&status.joins, "  ", look));
    if !status.recovered.is_empty() {
        out.push_str(&look.paint(Tone::Strong, "Mended"));
        out.push('\n');
        for what in &status.recovered {
            out.push_str(&clean::block(what, "  "));
        }
    }
    out
}

/// Returns a list of relays.
pub(super) fn relays(relays: &[RelayStatus], indent: &str, look: Look) -> String {
    if relays.is_empty() {
        return format!("{indent}none yet: `decent relays add ADDR`\n");
    }
    let rows: Vec<_> = relays
        .iter()
        .map(|relay| {
            let (tone, word) = if relay.connected {
                (Tone::Good, "connected")
            } else {
                (Tone::Warn, "not connected")
            };
            vec![
                Cell::new(tone, word),
                Cell::plain(clean::line(&relay.address)),
                Cell::new(
                    Tone::Bad,
                    clean::line(relay.error.as_deref().unwrap_or_default()),
                ),
            ]
        })
        .collect();
    table::render(&rows, indent, look)
}

/// Returns what was asked for by invite and not answered.
pub(super) fn joins(joins: &[JoinStatus], indent: &str, look: Look) -> String {
    let rows: Vec<_> = joins
        .iter()
        .map(|join| {
            let (tone, state) = match (&join.failed, join.early_until, join.relays) {
                (Some(why), _, _) => (Tone::Bad, format!("not let in: {}", clean::line(why))),
                (None, Some(until), _) => {
                    let at = time::minute(until);
                    (Tone::Warn, format!("this clock is behind: let in at {at}"))
                }
                (None, None, 0) => (Tone::Warn, "asking to join, on no relay yet".to_owned()),
                (None, None, _) => (Tone::Warn, "waiting to be let in".to_owned()),
            };
            let since = join.asked.map(time::minute);
            vec![
                Cell::new(Tone::Faint, join.space.short()),
                Cell::new(Tone::Strong, clean::line(&join.name)),
                Cell::new(tone, state),
                Cell::new(
                    Tone::Faint,
                    since.map_or_else(String::new, |since| format!("since {since}")),
                ),
            ]
        })
        .collect();
    table::render(&rows, indent, look)
}

fn one(space: &SpaceStatus, look: Look) -> String {
    let summary = &space.summary;
    let mut out = format!(
        "  {}  {}  {} · {} · {} · epoch {}\n",
        look.paint(Tone::Strong, &clean::line(&summary.name)),
        look.paint(Tone::Faint, &summary.id.short()),
        membership(summary.membership),
        counted(summary.members, "member"),
        counted(summary.channels, "channel"),
        summary.epoch_number,
    );
    out.push_str(&format!(
        "    {} · state {}\n",
        counted(space.control_ops, "control op"),
        space.state_hash.short()
    ));
    let mut warn = |tone: Tone, text: String| {
        out.push_str("    ");
        out.push_str(&look.paint(tone, &text));
        out.push('\n');
    };
    if space.queued > 0 {
        warn(
            Tone::Warn,
            format!("{} not on any relay yet", counted(space.queued, "own op")),
        );
    }
    if space.held > 0 {
        warn(
            Tone::Warn,
            format!("{} waiting for others", counted(space.held, "op")),
        );
    }
    if space.lost > 0 {
        warn(
            Tone::Warn,
            format!(
                "{} damaged on this disk, asked for again",
                counted(space.lost, "op")
            ),
        );
    }
    let inside = !matches!(summary.membership, Membership::Removed(_));
    if space.unopened > 0 && inside {
        warn(
            Tone::Warn,
            format!("{} waiting for a key", counted(space.unopened, "envelope")),
        );
    }
    if space.reconcile > 0 && inside {
        warn(
            Tone::Warn,
            format!(
                "{} to bring into or out of the group",
                counted(space.reconcile, "device")
            ),
        );
    }
    if space.behind {
        warn(
            Tone::Bad,
            "goes on with keys that are not on this device: it asks the members for them"
                .to_owned(),
        );
    }
    if space.update_needed {
        warn(
            Tone::Bad,
            "uses a feature that this version does not know: update needed".to_owned(),
        );
    }
    out
}

/// Returns `1 member`, `2 members`.
pub(super) fn counted(count: usize, what: &str) -> String {
    if count == 1 {
        format!("1 {what}")
    } else {
        format!("{count} {what}s")
    }
}
