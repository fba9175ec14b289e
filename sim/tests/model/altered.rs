//! A dump in which one thing was changed is told from one that is right, and where.

use serde_json::{Value, json};

use crate::people_dump;

/// Changes one field of the first row that has some value there and passes the test.
fn altered(lines: &[String], kind: &str, field: &str, to: &dyn Fn(&Value) -> Value) -> Vec<String> {
    let mut done = false;
    let out = lines
        .iter()
        .map(|line| {
            let mut row: Value = serde_json::from_str(line).unwrap();
            let changed = row.get(field).map(to).filter(|new| new != &row[field]);
            if let (false, true, Some(new)) = (done, row["type"] == kind, changed) {
                row[field] = new;
                done = true;
            }
            row.to_string()
        })
        .collect();
    assert!(done, "no {kind} has a {field} to change");
    out
}

fn fields_told(lines: &[String]) -> Vec<String> {
    let differences = sim::model::check(lines.iter().map(String::as_str)).unwrap_err();
    differences.into_iter().map(|d| d.field).collect()
}

/// Another value of the same sort.
fn other(value: &Value) -> Value {
    match value {
        Value::Null => json!("00".repeat(32)),
        Value::Bool(yes) => json!(!yes),
        Value::Number(n) => json!(n.as_u64().unwrap_or(0) + 1),
        Value::String(text) if text.is_empty() => json!("x"),
        Value::String(text) => {
            let mut chars: Vec<char> = text.chars().collect();
            let last = chars.last_mut().unwrap();
            *last = if *last == '1' { '2' } else { '1' };
            json!(chars.into_iter().collect::<String>())
        }
        Value::Array(items) if items.is_empty() => json!(["00".repeat(32)]),
        Value::Array(items) => Value::Array(items[1..].to_vec()),
        Value::Object(_) => json!({}),
    }
}

#[test]
fn every_changed_field_is_told() {
    let lines = people_dump();
    assert!(sim::model::check(lines.iter().map(String::as_str)).is_ok());
    let fields = [
        (
            "dump-op",
            "op kind author device hlc wall_ms state rule deciding space plane kind_number channel seq back ctl prev epoch payload_hash payload_len payload sig accepted",
        ),
        ("channel", "id name kind topic category archived"),
        (
            "member",
            "user name weight role devices joined_ms banned removed muted muted_until_ms",
        ),
        (
            "post",
            "id channel thread title reply_to author device hlc wall_ms body history attachments reactions mentions pinned state",
        ),
        ("dump-end", "space name heads ops epoch"),
    ];
    for (kind, names) in fields {
        for field in names.split(' ') {
            let told = fields_told(&altered(&lines, kind, field, &other));
            let named = told.iter().any(|f| f == field);
            let row = matches!(field, "id" | "user" | "op") && !told.is_empty();
            assert!(named || row, "{kind} {field}: told {told:?}");
        }
    }
}

#[test]
fn changed_bytes_are_told_wherever_they_change() {
    let lines = people_dump();
    for place in [10, 60, 200, 500] {
        let flip = |value: &Value| {
            let text = value.as_str().unwrap();
            let at = place.min(text.len() - 1);
            let digit = if &text[at..=at] == "0" { "1" } else { "0" };
            json!(format!("{}{digit}{}", &text[..at], &text[at + 1..]))
        };
        assert!(!fields_told(&altered(&lines, "dump-op", "bytes", &flip)).is_empty());
    }
}

#[test]
fn rows_that_are_missing_or_not_asked_for_are_told() {
    let lines = people_dump();
    for kind in ["dump-op", "channel", "member", "post", "dump-end"] {
        let is_kind = |line: &String| line.contains(&format!("\"type\":\"{kind}\""));
        let last = lines.iter().rposition(is_kind).unwrap();
        let mut less = lines.clone();
        let row = less.remove(last);
        assert!(!fields_told(&less).is_empty(), "a {kind} is missing");
        if kind != "dump-op" {
            let mut more = lines.clone();
            more.insert(last, row);
            assert!(!fields_told(&more).is_empty(), "a {kind} is there twice");
        }
    }
    let mut swapped = lines.clone();
    swapped.swap(1, 2);
    assert!(!fields_told(&swapped).is_empty());
    let mut junk = lines;
    junk.push("not json".to_owned());
    assert!(!fields_told(&junk).is_empty());
}

/// An op that was never allowed: everything about it is right but that it was accepted.
#[test]
fn an_op_that_a_rule_refuses_is_told() {
    let world = crate::random::a_world();
    let (op, _, known) = world.refused.first().expect("somebody was refused");
    let ops = world.order.iter().take(*known).map(|id| &world.ops[id]);
    let mut ops: Vec<_> = ops.chain([op]).collect();
    ops.sort_by_key(|op| (op.header().hlc, op.id()));
    let lines: Vec<String> = ops
        .iter()
        .map(|op| {
            let (id, bytes) = (op.id().to_string(), hex::encode(op.encode()));
            json!({"type": "dump-op", "op": id, "bytes": bytes}).to_string()
        })
        .collect();
    assert!(
        fields_told(&lines)
            .iter()
            .any(|field| field == "static verdict")
    );
}
