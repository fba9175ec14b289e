//! The tables of `docs/cli.md`, held against what the program prints.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::OnceLock;

use serde_json::Value;

/// What the manual says of one type of row.
#[derive(Clone, Debug, Default)]
struct Fields {
    /// Those that every row has.
    always: BTreeSet<String>,
    /// Those that some rows have.
    sometimes: BTreeSet<String>,
}

/// Fails when a row has a field that the manual does not name, or lacks one that it names.
pub(crate) fn check(row: &Value) {
    let fields = row.as_object().expect("an object");
    let kind = row["type"].as_str().expect("a type");
    let manual = manual();
    let documented = manual
        .get(kind)
        .unwrap_or_else(|| panic!("docs/cli.md has no type {kind}"));
    for name in fields.keys().filter(|name| *name != "type") {
        assert!(
            documented.always.contains(name) || documented.sometimes.contains(name),
            "docs/cli.md: {kind} has no field {name}: {row}"
        );
    }
    // Of an op that was refused when it came little is known; the manual says what.
    if row["state"] == "not-accepted" {
        return;
    }
    for name in &documented.always {
        assert!(fields.contains_key(name), "{kind} lacks {name}: {row}");
    }
}

fn manual() -> &'static BTreeMap<String, Fields> {
    static MANUAL: OnceLock<BTreeMap<String, Fields>> = OnceLock::new();
    MANUAL.get_or_init(|| {
        let text = include_str!("../../../docs/cli.md");
        let json = text.split("\n## JSON\n").nth(1).expect("a part on JSON");
        let json = json.split("\n## ").next().unwrap();
        let mut manual = BTreeMap::new();
        for line in json.lines().filter(|line| line.starts_with("| `")) {
            let mut cells = line.trim_matches('|').split(" | ");
            let kinds = quoted(cells.next().unwrap());
            let said = without_brackets(cells.next().expect("fields"));
            let fields = fields(&said, &manual);
            for kind in kinds {
                manual.insert(kind, fields.clone());
            }
        }
        manual
    })
}

/// Reads one cell: names in quotes; after a semicolon and "also" or "only" those of some rows;
/// "those of" another type.
fn fields(said: &str, manual: &BTreeMap<String, Fields>) -> Fields {
    let mut fields = Fields::default();
    let mut said = said.to_owned();
    if let Some((_, rest)) = said.clone().split_once("those of `") {
        let (other, rest) = rest.split_once('`').unwrap();
        fields = manual.get(other).expect(other).clone();
        said = rest.to_owned();
    }
    for part in said.split(';') {
        let some = part.contains(" also ") || part.contains(" only ");
        for name in quoted(part) {
            if some {
                fields.sometimes.insert(name);
            } else {
                fields.always.insert(name);
            }
        }
        if part.contains("`state` and its fields") {
            for name in [
                "state_by",
                "unverified",
                "quarantined",
                "moderator",
                "reason",
                "rule",
            ] {
                fields.sometimes.insert(name.to_owned());
            }
        }
    }
    fields
}

fn quoted(text: &str) -> BTreeSet<String> {
    text.split('`')
        .skip(1)
        .step_by(2)
        .map(ToOwned::to_owned)
        .collect()
}

/// Takes out what stands in brackets: values and inner fields.
fn without_brackets(text: &str) -> String {
    let mut depth = 0_usize;
    let mut out = String::new();
    for letter in text.chars() {
        match letter {
            '(' => depth += 1,
            ')' => depth -= 1,
            letter if depth == 0 => out.push(letter),
            _ => {}
        }
    }
    out
}
