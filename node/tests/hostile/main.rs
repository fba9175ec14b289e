//! Hostile input at every way in: one table of cases, each with the error that it must meet.
//!
//! Every op of the table is tried by a decoder and a log alone, from an envelope that a relay pushes, from one
//! that it gives when asked, from a file that is imported, and inside a proof for outsiders. Each way must
//! come to the same rule in the same words, and change nothing (`docs/acceptance.md`).

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::wildcard_enum_match_arm,
    clippy::cast_possible_truncation,
    unreachable_pub,
    reason = "a test that cannot go on should stop, and nobody else sees it"
)]

mod cast;
mod cbor;
mod files;
mod floods;
mod forms;
mod memory;
mod names;
mod rules;
mod signatures;
mod stage;
mod table;

use cast::Cast;
use oplog::Rule;
use stage::Stage;
use table::{Case, Expect, Table};

#[test]
fn every_op_meets_its_rule_at_every_way_in() {
    let mut cast = Cast::new(1);
    let mut cases = forms::cases(&mut cast);
    cases.extend(signatures::cases(&mut cast));
    cases.extend(rules::cases(&mut cast));
    let mut stage = Stage::set(&cast.space, cast.said.id(), cast.now);
    let mut table = Table::default();
    for case in &cases {
        stage.run(&mut table, case);
    }
    floods::run(&mut table);
    table.finish("hostile ops");
    assert!(table.cases() >= 500, "{} cases", table.cases());
    for (rule, error) in documented() {
        let shown = format!("{rule} {error}");
        let never = UNREACHABLE.contains(&shown.as_str());
        assert_ne!(table.has_error(&shown), never, "{shown}");
        assert!(table.has_rule(&rule), "{rule}");
    }
}

#[test]
fn every_text_file_and_message_meets_its_error() {
    let mut table = Table::default();
    files::run(&mut table);
    table.finish("hostile texts, files and messages");
    assert!(table.cases() >= 200, "{} cases", table.cases());
}

#[test]
fn names_neither_turn_nor_pass_for_another() {
    let mut table = Table::default();
    names::turned(&mut table);
    names::alike(&mut table);
    table.finish("hostile names");
}

/// The table is not asked to believe: what it expects wrongly is told, on every way.
#[test]
fn a_wrong_expectation_is_found() {
    let mut cast = Cast::new(2);
    let op = cast.space.op(&cast.member, cast::kick(&cast.other)).forge();
    let fine = cast.space.op(&cast.owner, cast::kick(&cast.other)).forge();
    let mut stage = Stage::set(&cast.space, cast.said.id(), cast.now);
    for (name, op, expect) in [
        (
            "another error",
            &op,
            Expect::Refused(Rule::R6, "RankTooLow"),
        ),
        (
            "another rule",
            &op,
            Expect::Refused(Rule::R8, "NotPermitted"),
        ),
        ("no signature", &op, Expect::Unsigned("Mismatch")),
        ("no op", &op, Expect::NoOp("Malformed")),
        ("held", &op, Expect::Held),
        ("deferred", &op, Expect::Deferred),
        (
            "refused, and is fine",
            &fine,
            Expect::Refused(Rule::R6, "NotPermitted"),
        ),
    ] {
        let mut table = Table::default();
        stage.run(&mut table, &Case::new(name, op.encode(), expect));
        assert!(!table.failures().is_empty(), "{name}");
    }
}

/// What no op from the wire meets: decoding finds a broken limit first, and a founding op inside a Space
/// founds another one (the way in of a new Space is in `files`).
const UNREACHABLE: [&str; 2] = ["S0 Limit", "R8 BadGenesis"];

/// The rules and errors of `docs/acceptance.md`, but for K3, which grants and raises none.
fn documented() -> Vec<(String, String)> {
    let page = include_str!("../../../docs/acceptance.md");
    let rows = page.lines().filter_map(|line| {
        let mut cells = line.strip_prefix("| [")?.split('|');
        let rule = cells.next()?.split(']').next()?.to_owned();
        let errors: Vec<String> = cells
            .nth(1)?
            .split('`')
            .skip(1)
            .step_by(2)
            .map(str::to_owned)
            .collect();
        Some((rule, errors))
    });
    let all = rows.flat_map(|(rule, errors)| errors.into_iter().map(move |e| (rule.clone(), e)));
    let all: Vec<(String, String)> = all.collect();
    assert!(
        all.len() > 60,
        "the table was not read: {} errors",
        all.len()
    );
    all
}
