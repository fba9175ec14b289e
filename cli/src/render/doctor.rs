//! What an examination of the profile found.

use indicatif::HumanBytes;
use serde_json::{Value, json};

use super::clean;
use super::look::{Look, Tone};
use super::status::counted;
use super::table::{self, Cell};
use crate::api::{Care, Finding, SpaceId};
use crate::output::DoctorPage;

/// Returns the report for people.
pub(super) fn page(page: &DoctorPage, look: Look) -> String {
    let found = &page.examination;
    let mut out = look.paint(Tone::Strong, "Looked at");
    out.push('\n');
    let mut rows: Vec<Vec<Cell>> = Vec::new();
    for space in &found.spaces {
        rows.push(vec![
            Cell::new(Tone::Strong, clean::line(&space.name)),
            Cell::plain(format!(
                "{} with signature and rows, {} of the log, keys",
                amount(space.ops, "op"),
                amount(space.records, "record")
            )),
        ]);
    }
    rows.push(vec![
        Cell::plain("index"),
        Cell::plain(amount(found.rows, "row")),
    ]);
    rows.push(vec![
        Cell::plain("attachments"),
        Cell::plain(amount(found.chunks, "chunk")),
    ]);
    let free = found
        .free_bytes
        .map_or_else(String::new, |free| format!("; {} free", HumanBytes(free)));
    rows.push(vec![
        Cell::plain("disk"),
        Cell::plain(format!(
            "log {}, index {}{free}",
            HumanBytes(found.log_bytes),
            HumanBytes(found.index_bytes)
        )),
    ]);
    out.push_str(&table::render(&rows, "  ", look));
    if !found.findings.is_empty() {
        out.push_str(&look.paint(Tone::Strong, "Found"));
        out.push('\n');
        for finding in &found.findings {
            out.push_str(&line(page, finding, look));
        }
    }
    if !page.recovered.is_empty() {
        out.push_str(&look.paint(Tone::Strong, "Mended since the start"));
        out.push('\n');
        for what in &page.recovered {
            out.push_str(&clean::block(what, "  "));
        }
    }
    let (tone, verdict) = match page.worst() {
        None if page.recovered.is_empty() => (Tone::Good, "All is well."),
        None | Some(Care::Mended) => (Tone::Good, "All is well again."),
        Some(Care::Awaited) => (
            Tone::Warn,
            "Some of it takes others: it mends itself once they are online.",
        ),
        Some(Care::Yours) => (Tone::Bad, "Some of it takes you: see above."),
    };
    out.push_str(&look.paint(tone, verdict));
    out.push('\n');
    out
}

fn line(page: &DoctorPage, finding: &Finding, look: Look) -> String {
    let tone = match finding.care {
        Care::Mended => Tone::Good,
        Care::Awaited => Tone::Warn,
        Care::Yours => Tone::Bad,
    };
    let of = finding.space.and_then(|id| name(page, &id));
    let of = of.map_or_else(String::new, |name| format!("{}, ", clean::line(name)));
    format!(
        "  {}  {of}{}: {}\n",
        look.paint(tone, word(finding.care)),
        finding.part.name(),
        clean::line(&finding.what)
    )
}

const fn word(care: Care) -> &'static str {
    match care {
        Care::Mended => "mended      ",
        Care::Awaited => "takes others",
        Care::Yours => "takes you   ",
    }
}

fn name<'a>(page: &'a DoctorPage, space: &SpaceId) -> Option<&'a str> {
    let mut spaces = page.examination.spaces.iter();
    let found = spaces.find(|examined| examined.id == *space);
    found.map(|examined| examined.name.as_str())
}

fn amount(count: u64, what: &str) -> String {
    counted(usize::try_from(count).unwrap_or(usize::MAX), what)
}

/// Returns the report for programs.
pub(super) fn rows(page: &DoctorPage) -> Vec<Value> {
    let found = &page.examination;
    let mut rows = vec![json!({
        "type": "examined", "rows": found.rows, "chunks": found.chunks,
        "log_bytes": found.log_bytes, "index_bytes": found.index_bytes,
        "free_bytes": found.free_bytes,
    })];
    rows.extend(found.spaces.iter().map(|space| {
        json!({
            "type": "examined-space", "space": space.id.to_string(), "name": space.name,
            "ops": space.ops, "records": space.records,
        })
    }));
    rows.extend(found.findings.iter().map(|finding| {
        json!({
            "type": "finding", "part": finding.part.name(), "care": finding.care.name(),
            "space": finding.space.map(|space| space.to_string()), "what": finding.what,
        })
    }));
    let mended = page.recovered.iter();
    rows.extend(mended.map(|what| json!({"type": "mended", "what": what})));
    rows
}
