//! A run as a picture: a lane for each relay and device, arrows for frames, bands for cuts and
//! sleeps, marks for what happened.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use crate::config::Config;
use crate::queue::Millis;
use crate::trace::{Kind, Row};

const LEFT: f64 = 90.0;
const TOP: f64 = 64.0;
const WIDTH: f64 = 1_400.0;
const LANE: f64 = 56.0;
/// Arrows drawn at most: more is a grey wall.
const ARROWS_MAX: usize = 1_500;

/// Draws the rows between two moments.
pub(crate) fn svg(config: &Config, rows: &[Row], title: &str, from: Millis, to: Millis) -> String {
    let picture = Picture {
        config,
        from,
        to: to.max(from + 1),
    };
    let rows: Vec<&Row> = rows.iter().filter(|r| r.at >= from && r.at <= to).collect();
    let lanes = usize::from(config.relays) + usize::from(config.nodes) - config.absent.len();
    let height = TOP + LANE * lanes as f64 + 70.0;
    let mut out = String::new();
    let total = LEFT + WIDTH + 40.0;
    let _ = write!(
        out,
        "<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {total} {height}' font-family='system-ui, sans-serif' font-size='11'>\
         <rect width='100%' height='100%' fill='#fcfcfa'/>\
         <defs><marker id='a' viewBox='0 0 6 6' refX='5' refY='3' markerWidth='5' markerHeight='5' orient='auto'><path d='M0 0L6 3L0 6z' fill='#7a8794'/></marker></defs>\
         <text x='{LEFT}' y='24' font-size='15' font-weight='600' fill='#222'>{}</text>",
        escape(title)
    );
    picture.axis(&mut out, height);
    picture.bands(&mut out, &rows);
    picture.lanes(&mut out);
    picture.arrows(&mut out, &rows);
    picture.marks(&mut out, &rows);
    picture.legend(&mut out, height - 22.0);
    out.push_str("</svg>\n");
    out
}

struct Picture<'a> {
    config: &'a Config,
    from: Millis,
    to: Millis,
}

impl Picture<'_> {
    fn x(&self, at: Millis) -> f64 {
        let at = at.clamp(self.from, self.to) - self.from;
        LEFT + WIDTH * at as f64 / (self.to - self.from) as f64
    }

    fn relay(&self, relay: u16) -> f64 {
        TOP + LANE * (f64::from(relay) + 0.5)
    }

    fn node(&self, node: u16) -> f64 {
        let before = (0..node)
            .filter(|n| !self.config.absent.contains(n))
            .count();
        TOP + LANE * (f64::from(self.config.relays) + before as f64 + 0.5)
    }

    fn axis(&self, out: &mut String, height: f64) {
        let step = nice_step((self.to - self.from) / 12);
        let mut at = self.from.div_ceil(step) * step;
        while at <= self.to {
            let x = self.x(at);
            let bottom = height - 40.0;
            let text = crate::cli::one::time(at);
            let _ = write!(
                out,
                "<line x1='{x:.1}' x2='{x:.1}' y1='{TOP}' y2='{bottom}' stroke='#ecebe6'/><text x='{x:.1}' y='{}' text-anchor='middle' fill='#777'>{text}</text>",
                TOP - 12.0
            );
            at += step;
        }
    }

    fn lanes(&self, out: &mut String) {
        let mut lane = |y: f64, name: &str, colour: &str| {
            let _ = write!(
                out,
                "<line x1='{LEFT}' x2='{}' y1='{y}' y2='{y}' stroke='{colour}' stroke-width='1.5'/><text x='{}' y='{}' text-anchor='end' fill='#333'>{name}</text>",
                LEFT + WIDTH,
                LEFT - 10.0,
                y + 4.0
            );
        };
        for relay in 0..self.config.relays {
            lane(self.relay(relay), &format!("relay {relay}"), "#5b7a9d");
        }
        for node in (0..self.config.nodes).filter(|n| !self.config.absent.contains(n)) {
            let mut name = format!("person {node}");
            if self.config.byzantine.contains(&node) {
                name.push_str(" ☠");
            }
            if self.config.disks.contains(&node) {
                name.push_str(" ▤");
            }
            lane(
                self.node(node),
                &name,
                if self.config.byzantine.contains(&node) {
                    "#b3423a"
                } else {
                    "#444"
                },
            );
        }
    }

    fn bands(&self, out: &mut String, rows: &[&Row]) {
        for row in rows.iter().filter(|r| r.kind == Kind::Fault) {
            let Some(until) = row.until else {
                continue;
            };
            let (x, width) = (self.x(row.at), (self.x(until) - self.x(row.at)).max(1.0));
            let colour = if row.text.starts_with("Suspend") {
                "#b9c4d6"
            } else if row.text.starts_with("Cut") {
                "#f3c6a5"
            } else if row.text.starts_with("Relay") {
                "#e0c3e8"
            } else {
                "#e8dfb8"
            };
            let mut band = |y: f64| {
                let _ = write!(
                    out,
                    "<rect x='{x:.1}' y='{:.1}' width='{width:.1}' height='{}' fill='{colour}' opacity='.55'><title>{}</title></rect>",
                    y - LANE * 0.4,
                    LANE * 0.8,
                    escape(&row.text)
                );
            };
            match row.node {
                Some(node) => band(self.node(node)),
                None => {
                    for node in cut_nodes(&row.text) {
                        band(self.node(node));
                    }
                    if let Some(relay) = relay_of(&row.text) {
                        band(self.relay(relay));
                    }
                }
            }
        }
    }

    fn arrows(&self, out: &mut String, rows: &[&Row]) {
        let frames: Vec<&&Row> = rows
            .iter()
            .filter(|r| matches!(r.kind, Kind::Send | Kind::Lost))
            .collect();
        let every = frames.len().div_ceil(ARROWS_MAX).max(1);
        for row in frames.into_iter().step_by(every) {
            let (Some(node), Some(relay)) = (row.node, row.relay) else {
                continue;
            };
            let up = row.text.starts_with("up");
            let (y1, y2) = if up {
                (self.node(node), self.relay(relay))
            } else {
                (self.relay(relay), self.node(node))
            };
            let x1 = self.x(row.at);
            let title = escape(&row.text);
            let lost = row.kind == Kind::Lost;
            let x2 = row.until.map_or(x1 + 6.0, |at| self.x(at));
            let (y2, style) = if lost {
                (
                    y1 + (y2 - y1) * 0.4,
                    "stroke='#d0392b' stroke-dasharray='3 2'",
                )
            } else {
                (y2, "stroke='#7a8794' marker-end='url(#a)'")
            };
            let _ = write!(
                out,
                "<line x1='{x1:.1}' y1='{y1:.1}' x2='{x2:.1}' y2='{y2:.1}' {style} stroke-width='.7' opacity='.7'><title>{title}</title></line>"
            );
        }
    }

    fn marks(&self, out: &mut String, rows: &[&Row]) {
        let mut last: BTreeMap<(Option<u16>, Kind), i64> = BTreeMap::new();
        for row in rows {
            let (sign, colour) = match row.kind {
                Kind::Act => ("●", "#2d6cb5"),
                Kind::Epoch => ("◆", "#2f8f4e"),
                Kind::Process => ("✖", "#111"),
                Kind::Disk => ("▤", "#a0522d"),
                Kind::Refused => ("⊘", "#c98a00"),
                Kind::Check => ("★", "#d0392b"),
                Kind::Ops => ("▪", "#6b5fb0"),
                _ => continue,
            };
            let x = self.x(row.at);
            // One mark of a sort where several would lie on each other.
            let slot = (x / 4.0) as i64;
            if row.kind != Kind::Check && last.insert((row.node, row.kind), slot) == Some(slot) {
                continue;
            }
            let y = row.node.map_or(TOP - 2.0, |node| self.node(node));
            let lift = if row.kind == Kind::Ops { 9.0 } else { -5.0 };
            let size = if row.kind == Kind::Check { 26 } else { 11 };
            let _ = write!(
                out,
                "<text x='{x:.1}' y='{:.1}' font-size='{size}' fill='{colour}' text-anchor='middle'>{sign}<title>{} {}</title></text>",
                y + lift,
                crate::cli::one::time(row.at),
                escape(&row.text)
            );
        }
    }

    fn legend(&self, out: &mut String, y: f64) {
        let text = "● act   ▪ ops accepted   ◆ epoch   ⊘ refused   ✖ process ends or starts   ▤ disk   ★ checker   \
                    grey arrow: frame, red: lost   bands: orange cut, blue asleep, violet relay, sand other faults";
        let _ = write!(out, "<text x='{LEFT}' y='{y}' fill='#555'>{text}</text>");
    }
}

fn nice_step(least: Millis) -> Millis {
    const STEPS: [Millis; 14] = [
        1,
        10,
        100,
        1_000,
        5_000,
        15_000,
        60_000,
        300_000,
        900_000,
        3_600_000,
        14_400_000,
        43_200_000,
        86_400_000,
        864_000_000,
    ];
    STEPS
        .into_iter()
        .find(|step| *step >= least)
        .unwrap_or(864_000_000)
}

/// The devices that a cut's row names: `nodes: {1, 4}`.
fn cut_nodes(text: &str) -> BTreeSet<u16> {
    let list = text
        .split("nodes: {")
        .nth(1)
        .and_then(|rest| rest.split('}').next());
    list.unwrap_or_default()
        .split(", ")
        .filter_map(|n| n.parse().ok())
        .collect()
}

fn relay_of(text: &str) -> Option<u16> {
    let rest = text.split("relay: ").nth(1)?;
    rest.chars()
        .take_while(char::is_ascii_digit)
        .collect::<String>()
        .parse()
        .ok()
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('\'', "&apos;")
}
