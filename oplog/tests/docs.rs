//! `docs/acceptance.md` and the code name the same rules, errors and tests.

#![cfg(test)]

use std::collections::BTreeSet;

use oplog::{Kind, Rule};

const DOCS: &str = include_str!("../../docs/acceptance.md");
const ERRORS: &str = include_str!("../src/accept/error.rs");
const TESTS: [&str; 3] = [
    include_str!("acceptance.rs"),
    include_str!("commits.rs"),
    include_str!("table.rs"),
];

/// The rows of the table of rules: id, text, errors, tests.
fn rows() -> Vec<[String; 4]> {
    DOCS.lines()
        .filter(|line| line.starts_with("| ["))
        .map(|line| {
            let cells: Vec<String> = line.split('|').map(|c| c.trim().to_owned()).collect();
            let [_, id, text, errors, tests, _] = cells.try_into().expect("four cells");
            let id = id.trim_start_matches('[');
            let (id, link) = id.split_once(']').expect("a link");
            assert_eq!(link, format!("(#{})", id.to_lowercase()));
            [id.to_owned(), text, errors, tests]
        })
        .collect()
}

fn quoted(cell: &str) -> BTreeSet<String> {
    cell.split('`')
        .skip(1)
        .step_by(2)
        .map(str::to_owned)
        .collect()
}

/// The variants that `rule()` maps to each rule, read from its source.
fn variants() -> Vec<(String, String)> {
    let body = ERRORS
        .split("pub const fn rule(")
        .nth(1)
        .expect("the match");
    let body = body.split("pub const fn fault(").next().expect("before");
    let mut pending = Vec::new();
    let mut out = Vec::new();
    for word in body.split(|c: char| !c.is_alphanumeric() && c != ':') {
        if let Some(variant) = word.strip_prefix("Self::") {
            pending.push(variant.to_owned());
        } else if let Some(rule) = word.strip_prefix("Rule::") {
            out.extend(pending.drain(..).map(|v| (rule.to_owned(), v)));
        } else if word == "None" {
            pending.clear();
        }
    }
    out.retain(|(_, variant)| variant != "RefusedBefore");
    out
}

#[test]
fn every_rule_is_in_the_docs_and_the_other_way_round() {
    let rows = rows();
    let documented: Vec<&str> = rows.iter().map(|row| row[0].as_str()).collect();
    let rules: Vec<&str> = Rule::ALL.iter().map(|rule| rule.id()).collect();
    assert_eq!(documented, rules);
    for (row, rule) in rows.iter().zip(Rule::ALL) {
        assert_eq!(row[1], rule.text(), "{rule}");
        assert!(
            DOCS.contains(&format!("\n### {rule}\n")),
            "{rule} has no section"
        );
        let anchor = format!("docs/acceptance.md#{}", rule.id().to_lowercase());
        assert_eq!(rule.anchor(), anchor);
    }
}

#[test]
fn every_error_stands_beside_its_rule_and_is_provoked() {
    let variants = variants();
    assert!(variants.len() > 45, "found only {}", variants.len());
    for row in rows() {
        let expected: BTreeSet<String> = variants
            .iter()
            .filter(|(rule, _)| *rule == row[0])
            .map(|(_, variant)| variant.clone())
            .collect();
        assert_eq!(quoted(&row[2]), expected, "{}", row[0]);
    }
    for (rule, variant) in &variants {
        let provoked = TESTS
            .iter()
            .any(|test| test.contains(&format!("\"{variant}\"")));
        assert!(provoked, "{rule}: no test provokes {variant}");
    }
}

#[test]
fn every_test_of_a_rule_is_named() {
    for row in rows() {
        let prefix = format!("fn {}_", row[0].to_lowercase());
        let tests: BTreeSet<String> = TESTS
            .iter()
            .flat_map(|test| test.lines())
            .filter(|line| line.starts_with(&prefix))
            .filter_map(|line| line.strip_prefix("fn ")?.split('(').next())
            .map(str::to_owned)
            .collect();
        assert!(!tests.is_empty(), "{} has no test", row[0]);
        assert_eq!(quoted(&row[3]), tests, "{}", row[0]);
    }
}

const FORMAT: &str = include_str!("../../docs/format.md");

#[test]
fn every_kind_is_in_the_format_with_its_number_and_feature() {
    for kind in Kind::ALL {
        let prefix = format!("| {} | {} | ", kind.number(), kind.name());
        let row = FORMAT.lines().find(|line| line.starts_with(&prefix));
        let row = row.unwrap_or_else(|| panic!("{kind} has no row"));
        let bits = kind.feature().bits();
        let feature = (bits != 0).then(|| bits.trailing_zeros().to_string());
        let cell = row.split('|').nth_back(1).expect("four cells").trim();
        assert_eq!(cell, feature.unwrap_or_default(), "{kind}");
        assert_eq!(row.contains("reserved"), bits != 0, "{kind}");
    }
}

#[test]
fn the_limits_in_the_format_are_those_of_the_code() {
    use oplog::accept::{DEVICES_PER_GROUP_MAX, DEVICES_PER_USER_MAX};
    use oplog::payload::{KEY_PACKAGE_BYTES_MAX, MEMBERS_PER_ADD_MAX};
    for (name, value) in [
        ("REFS_MAX", oplog::REFS_MAX),
        ("CONTENT_CTL_REFS_MAX", oplog::CONTENT_CTL_REFS_MAX),
        ("HEADER_BYTES_MAX", oplog::HEADER_BYTES_MAX),
        (
            "CONTENT_PAYLOAD_BYTES_MAX",
            oplog::CONTENT_PAYLOAD_BYTES_MAX,
        ),
        (
            "CONTROL_PAYLOAD_BYTES_MAX",
            oplog::CONTROL_PAYLOAD_BYTES_MAX,
        ),
        ("OP_BYTES_MAX", oplog::OP_BYTES_MAX),
        ("MEMBERS_PER_ADD_MAX", MEMBERS_PER_ADD_MAX),
        ("KEY_PACKAGE_BYTES_MAX", KEY_PACKAGE_BYTES_MAX),
        ("DEVICES_PER_USER_MAX", DEVICES_PER_USER_MAX),
        ("DEVICES_PER_GROUP_MAX", DEVICES_PER_GROUP_MAX),
    ] {
        let end = format!("| `{name}` |");
        let row = FORMAT.lines().find(|line| line.ends_with(&end));
        let row = row.unwrap_or_else(|| panic!("{name} has no row"));
        let stated = row.split('|').nth(2).expect("three cells").trim();
        assert_eq!(
            stated.trim_end_matches(" bytes"),
            value.to_string(),
            "{name}"
        );
    }
}

#[test]
fn every_hash_domain_is_in_the_format() {
    const SOURCES: [&str; 8] = [
        include_str!("../src/accept/commit.rs"),
        include_str!("../src/header.rs"),
        include_str!("../src/ids.rs"),
        include_str!("../src/op.rs"),
        include_str!("../src/payload/control.rs"),
        include_str!("../src/payload/evidence.rs"),
        include_str!("../src/payload/member.rs"),
        include_str!("../src/store.rs"),
    ];
    let mut domains = BTreeSet::new();
    for source in SOURCES {
        for call in ["H::new(\"", "hash(\"", "hash16(\""] {
            let found = source.split(call).skip(1);
            domains.extend(found.filter_map(|rest| rest.split('"').next()));
        }
    }
    assert!(domains.len() > 9, "found only {domains:?}");
    for domain in domains {
        assert!(FORMAT.contains(&format!("\n| `{domain}` | ")), "{domain}");
    }
}
