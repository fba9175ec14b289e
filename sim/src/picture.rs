//! A run as a picture: a lane for each relay and device, arrows for frames, bands for cuts and
//! sleeps, marks for what happened.
//!
//! Hours of silence lie between moments of which each millisecond counts. So the axis of time is not
//! even: a gap is as wide as the logarithm of how long it is.

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
/// Acts and faults with a name beside them at most: more lie on each other.
const NAMES_MAX: usize = 80;
/// What fits between two moments that are named on the axis.
const TICK_WIDTH: f64 = 92.0;
/// About how wide a letter of a name is.
const LETTER: f64 = 5.6;
/// A gap of so long is as wide as one unit of the axis, twice as long is less than two.
const GAP_MS: f64 = 20.0;

/// Draws the rows between two moments.
pub(crate) fn svg(config: &Config, rows: &[Row], title: &str, from: Millis, to: Millis) -> String {
    let to = to.max(from + 1);
    let rows: Vec<&Row> = rows.iter().filter(|r| r.at >= from && r.at <= to).collect();
    let tells = |row: &&&Row| row.kind != Kind::Timer && !is_routine(row);
    let moments = rows.iter().filter(tells).map(|row| row.at);
    let picture = Picture {
        config,
        axis: Axis::new(moments.chain([from, to])),
    };
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

/// Where each moment lies between 0 and 1.
struct Axis(Vec<(Millis, f64)>);

impl Axis {
    fn new(moments: impl Iterator<Item = Millis>) -> Self {
        let moments: BTreeSet<Millis> = moments.collect();
        let mut places = Vec::with_capacity(moments.len());
        let (mut last, mut at) = (None, 0.0);
        for moment in moments {
            if let Some(last) = last {
                at += ((moment - last) as f64 / GAP_MS).ln_1p();
            }
            places.push((moment, at));
            last = Some(moment);
        }
        for place in &mut places {
            place.1 /= if at > 0.0 { at } else { 1.0 };
        }
        Self(places)
    }

    fn place(&self, moment: Millis) -> f64 {
        let after = self.0.partition_point(|(at, _)| *at <= moment);
        match (
            after.checked_sub(1).and_then(|at| self.0.get(at)),
            self.0.get(after),
        ) {
            (Some((from, x)), Some((to, next))) => {
                x + (next - x) * (moment - from) as f64 / (to - from) as f64
            }
            (Some((_, x)), None) => *x,
            (None, _) => 0.0,
        }
    }
}

struct Picture<'a> {
    config: &'a Config,
    axis: Axis,
}

impl Picture<'_> {
    fn x(&self, at: Millis) -> f64 {
        LEFT + WIDTH * self.axis.place(at)
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

    /// Names the moments that come after the longest gaps, and as many more as there is room for.
    fn axis(&self, out: &mut String, height: f64) {
        let places = &self.axis.0;
        let mut by_gap: Vec<(f64, Millis)> = places
            .windows(2)
            .map(|pair| (pair[1].1 - pair[0].1, pair[1].0))
            .collect();
        by_gap.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        let ends = places.first().into_iter().chain(places.last());
        let mut named: Vec<f64> = Vec::new();
        for at in ends
            .map(|(at, _)| *at)
            .chain(by_gap.into_iter().map(|(_, at)| at))
        {
            let x = self.x(at);
            if named.iter().any(|other| (other - x).abs() < TICK_WIDTH) {
                continue;
            }
            named.push(x);
            let bottom = height - 40.0;
            let text = crate::cli::one::time(at);
            let _ = write!(
                out,
                "<line x1='{x:.1}' x2='{x:.1}' y1='{TOP}' y2='{bottom}' stroke='#e2e0d8'/><text x='{x:.1}' y='{}' text-anchor='middle' fill='#777'>{text}</text>",
                TOP - 12.0
            );
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
            .filter(|r| matches!(r.kind, Kind::Send | Kind::Lost) && !is_routine(r))
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
                (y2, "stroke='#9aa5b1' marker-end='url(#a)'")
            };
            let _ = write!(
                out,
                "<line x1='{x1:.1}' y1='{y1:.1}' x2='{x2:.1}' y2='{y2:.1}' {style} stroke-width='.7' opacity='.6'><title>{title}</title></line>"
            );
        }
    }

    fn marks(&self, out: &mut String, rows: &[&Row]) {
        let mut last: BTreeMap<(Option<u16>, Kind), i64> = BTreeMap::new();
        let named = rows.iter().filter(|row| has_name(row)).count() <= NAMES_MAX;
        // Where the last name ends, by lane and row of names.
        let mut names: BTreeMap<(i64, u8), f64> = BTreeMap::new();
        for row in rows {
            let Some((sign, colour, drop)) = mark(row) else {
                continue;
            };
            let x = self.x(row.at);
            let y = row.node.map_or(TOP - 2.0, |node| self.node(node));
            if named && has_name(row) {
                let name = name(&row.text);
                let free = (0_u8..3).find(|above| {
                    names
                        .get(&(y as i64, *above))
                        .is_none_or(|end| *end < x - 4.0)
                });
                if let Some(above) = free {
                    let end = x + name.chars().count() as f64 * LETTER;
                    names.insert((y as i64, above), end);
                    let _ = write!(
                        out,
                        "<text x='{:.1}' y='{:.1}' font-size='10' fill='{colour}'>{}</text>",
                        x + 5.0,
                        y - 8.0 - 10.0 * f64::from(above),
                        escape(&name)
                    );
                }
            }
            // One mark of a sort where several would lie on each other.
            let slot = (x / 4.0) as i64;
            if row.kind != Kind::Check && last.insert((row.node, row.kind), slot) == Some(slot) {
                continue;
            }
            let size = if row.kind == Kind::Check { 26 } else { 11 };
            let _ = write!(
                out,
                "<text x='{x:.1}' y='{:.1}' font-size='{size}' fill='{colour}' text-anchor='middle'>{sign}<title>{} {}</title></text>",
                y + drop,
                crate::cli::one::time(row.at),
                escape(&row.text)
            );
        }
    }

    fn legend(&self, out: &mut String, y: f64) {
        let mut x = LEFT;
        let mut next = |sign: String, text: &str| {
            let _ = write!(
                out,
                "{sign}<text x='{:.1}' y='{y}' fill='#555'>{text}</text>",
                x + 16.0
            );
            x += 34.0 + text.chars().count() as f64 * (LETTER + 0.4);
            x
        };
        let mut at = LEFT;
        for (sign, colour, text) in [
            ("●", ACT, "act"),
            ("▼", FAULT, "fault"),
            ("▪", OPS, "ops accepted"),
            ("◆", EPOCH, "epoch"),
            ("⊘", REFUSED, "refused"),
            ("✖", PROCESS, "process ends or starts"),
            ("▤", DISK, "disk"),
            ("★", CHECK, "checker"),
            ("→", "#7a8794", "frame"),
            ("⇢", CHECK, "lost"),
        ] {
            at = next(
                format!("<text x='{at:.1}' y='{y}' fill='{colour}'>{sign}</text>"),
                text,
            );
        }
        for (colour, text) in [
            ("#f3c6a5", "cut"),
            ("#b9c4d6", "asleep"),
            ("#e0c3e8", "relay"),
            ("#e8dfb8", "other"),
        ] {
            let top = y - 9.0;
            at = next(
                format!("<rect x='{at:.1}' y='{top}' width='11' height='11' fill='{colour}'/>"),
                text,
            );
        }
        let _ = write!(
            out,
            "<text x='{at:.1}' y='{y}' fill='#777'>time runs faster where nothing happens; pings and the like are left out</text>"
        );
    }
}

const ACT: &str = "#2d6cb5";
const FAULT: &str = "#9a6a00";
const EPOCH: &str = "#2f8f4e";
const PROCESS: &str = "#111";
const DISK: &str = "#a0522d";
const REFUSED: &str = "#c98a00";
const CHECK: &str = "#d0392b";
const OPS: &str = "#6b5fb0";

/// The sign for a row, its colour, and how far below its lane it stands: acts lie above, what came of
/// them below.
const fn mark(row: &Row) -> Option<(&'static str, &'static str, f64)> {
    Some(match row.kind {
        Kind::Act => ("●", ACT, -4.0),
        Kind::Fault if row.node.is_some() => ("▼", FAULT, -4.0),
        Kind::Process => ("✖", PROCESS, 4.0),
        Kind::Disk => ("▤", DISK, 4.0),
        Kind::Check => ("★", CHECK, -2.0),
        Kind::Ops => ("▪", OPS, 12.0),
        Kind::Epoch => ("◆", EPOCH, 21.0),
        Kind::Refused => ("⊘", REFUSED, 21.0),
        _ => return None,
    })
}

const fn has_name(row: &Row) -> bool {
    matches!(row.kind, Kind::Act) || matches!(row.kind, Kind::Fault) && row.node.is_some()
}

/// What an act or a fault is called: its first word, or what sort of cheat or crash it is.
fn name(text: &str) -> String {
    let class = text.split("class: ").nth(1);
    let text = class.unwrap_or(text);
    let ends = |c: char| !c.is_alphanumeric();
    text.split(ends).next().unwrap_or_default().to_owned()
}

/// Pings, renewed subscriptions and bare answers come all the time and tell nothing.
fn is_routine(row: &Row) -> bool {
    let mut words = row
        .text
        .split(' ')
        .filter(|word| !matches!(*word, "up" | "down"));
    matches!(row.kind, Kind::Send | Kind::Recv | Kind::Lost)
        && matches!(
            words.next(),
            Some("ping" | "pong" | "mbox-subscribe" | "ok")
        )
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_goes_on_and_silence_takes_little_room() {
        let axis = Axis::new([1_000, 0, 1_020, 3_600_000].into_iter());
        assert_eq!((axis.place(0), axis.place(3_600_000)), (0.0, 1.0));
        let places: Vec<f64> = (0..3_600).map(|at| axis.place(at * 1_000)).collect();
        assert!(places.is_sorted());
        let burst = axis.place(1_020) - axis.place(1_000);
        let hour = axis.place(3_600_000) - axis.place(1_020);
        assert!(burst > 0.02 && hour < 0.8, "{burst} {hour}");
        assert_eq!(axis.place(Millis::MAX), 1.0);
        assert_eq!(Axis::new([5].into_iter()).place(5), 0.0);
    }

    #[test]
    fn acts_and_faults_are_named_by_what_they_do() {
        assert_eq!(name("Post { channel: 1, len: 20 }"), "Post");
        assert_eq!(name("Found"), "Found");
        assert_eq!(name("Cheat { class: ByzEdit, nth: 3 }"), "ByzEdit");
    }
}
