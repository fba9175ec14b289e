//! Every bound of the relay stands in `docs/relay.md` with the value it has, and no other does.

#![expect(
    clippy::panic,
    clippy::expect_used,
    reason = "helpers of tests, outside of test functions"
)]

use std::collections::BTreeMap;

use relay::{Limits, Rate};

const SOURCES: [(&str, &str); 6] = [
    ("server/swarm.rs", include_str!("../src/server/swarm.rs")),
    ("server/worker.rs", include_str!("../src/server/worker.rs")),
    ("server.rs", include_str!("../src/server.rs")),
    ("log.rs", include_str!("../src/log.rs")),
    ("segment.rs", include_str!("../src/segment.rs")),
    ("core/filing.rs", include_str!("../src/core/filing.rs")),
];
/// Constants of the files above that bound nothing.
const NO_BOUNDS: [&str; 5] = [
    "HEADER_BYTES",
    "HEADER_LEN",
    "MAGIC",
    "FRAME_LEN",
    "MAILBOX_FILE",
];

/// The value of an expression as constants have them: numbers, products, sums and shifts.
fn value(expression: &str) -> u64 {
    let plain = expression
        .replace('_', "")
        .replace(" as u64", "")
        .replace("net::wire::TTLSECSMAX", "2592000");
    let inner = plain.strip_prefix("Duration::from");
    let plain = match inner.and_then(|rest| rest.split_once('(')) {
        Some(("secs", rest)) => format!("{} * 1000", rest.trim_end_matches(')')),
        Some(("millis", rest)) => rest.trim_end_matches(')').to_owned(),
        _ => plain,
    };
    let number = |text: &str| {
        text.trim()
            .parse::<u64>()
            .unwrap_or_else(|_| panic!("{expression}"))
    };
    let product = |text: &str| text.split('*').map(number).product::<u64>();
    let sum = |text: &str| text.split('+').map(product).sum::<u64>();
    match plain.split_once("<<") {
        Some((left, right)) => sum(left) << number(right),
        None => sum(&plain),
    }
}

fn in_code() -> BTreeMap<String, u64> {
    let mut all = BTreeMap::new();
    for (file, source) in SOURCES {
        for line in source.lines() {
            let line = line.trim_start_matches("pub(crate) ");
            let Some((name, rest)) = line.strip_prefix("const ").and_then(|l| l.split_once(':'))
            else {
                continue;
            };
            if name.starts_with("fn ") || NO_BOUNDS.contains(&name) {
                continue;
            }
            let (_, expression) = rest
                .split_once(" = ")
                .unwrap_or_else(|| panic!("{file}: {line}"));
            all.insert(name.to_owned(), value(expression.trim_end_matches(';')));
        }
    }
    let Limits {
        connections_max,
        address_connections_max,
        message_bytes_max,
        total_bytes_max,
        retention_secs,
        tag_bytes_max,
        tag_day_bytes_max,
        mailboxes_max,
        mailbox_messages_max,
        mailbox_retention_secs,
        mailbox_idle_secs,
        chunk_tokens_max,
        subscriptions_max,
        mailbox_subscriptions_max,
        outbound_bytes_max,
        outbound_pushes_max,
        requests,
        upload_bytes,
        new_mailboxes,
    } = Limits::default();
    let mut limit = |name: &str, value: u64| {
        all.insert(name.to_owned(), value);
    };
    limit("connections_max", connections_max as u64);
    limit("address_connections_max", address_connections_max as u64);
    limit("message_bytes_max", message_bytes_max as u64);
    limit("total_bytes_max", total_bytes_max);
    limit("retention_secs", retention_secs.into());
    limit("tag_bytes_max", tag_bytes_max);
    limit("tag_day_bytes_max", tag_day_bytes_max);
    limit("mailboxes_max", mailboxes_max as u64);
    limit("mailbox_messages_max", mailbox_messages_max as u64);
    limit("mailbox_retention_secs", mailbox_retention_secs.into());
    limit("mailbox_idle_secs", mailbox_idle_secs.into());
    limit("chunk_tokens_max", chunk_tokens_max as u64);
    limit("subscriptions_max", subscriptions_max as u64);
    limit(
        "mailbox_subscriptions_max",
        mailbox_subscriptions_max as u64,
    );
    limit("outbound_bytes_max", outbound_bytes_max as u64);
    limit("outbound_pushes_max", outbound_pushes_max as u64);
    for (name, Rate { per_sec, burst }) in [
        ("requests", requests),
        ("upload_bytes", upload_bytes),
        ("new_mailboxes", new_mailboxes),
    ] {
        limit(&format!("{name}.per_sec"), per_sec);
        limit(&format!("{name}.burst"), burst);
    }
    for (name, value) in [
        ("MESSAGE_BYTES_MAX", net::wire::MESSAGE_BYTES_MAX),
        ("ENVELOPE_BYTES_MAX", net::wire::ENVELOPE_BYTES_MAX),
        ("MAIL_BYTES_MAX", net::wire::MAIL_BYTES_MAX),
        ("CHUNK_BYTES_MAX", net::wire::CHUNK_BYTES_MAX),
        ("SUBSCRIBE_TAGS_MAX", net::wire::SUBSCRIBE_TAGS_MAX),
        ("IDS_MAX", net::wire::IDS_MAX),
        ("PAGE_ITEMS_MAX", net::wire::PAGE_ITEMS_MAX),
        ("PAGE_BYTES_MAX", net::wire::PAGE_BYTES_MAX),
        ("NEG_FRAME_BYTES_MAX", net::wire::NEG_FRAME_BYTES_MAX),
        ("TTL_SECS_MAX", net::wire::TTL_SECS_MAX as usize),
        ("NEG_ITEMS_MAX", net::neg::NEG_ITEMS_MAX),
    ] {
        limit(name, value as u64);
    }
    all
}

fn in_docs() -> BTreeMap<String, u64> {
    let page = include_str!("../../docs/relay.md");
    let (_, table) = page.split_once("## The numbers").expect("the section");
    let (table, _) = table.split_once("\n## ").expect("another section");
    let rows = table.lines().filter_map(|line| {
        let mut cells = line.strip_prefix("| `")?.split('|');
        let name = cells.next()?.trim().trim_end_matches('`').to_owned();
        Some((name, value(&cells.next()?.trim().replace(',', ""))))
    });
    rows.collect()
}

#[test]
fn the_table_of_bounds_is_that_of_the_code() {
    let (code, docs) = (in_code(), in_docs());
    assert!(code.len() > 50, "the sources were read: {}", code.len());
    for (name, value) in &code {
        assert_eq!(docs.get(name), Some(value), "{name}");
    }
    for name in docs.keys() {
        assert!(code.contains_key(name), "{name} is in the table alone");
    }
    println!("{} bounds", code.len());
}

#[test]
fn expressions_have_their_value() {
    for (text, expected) in [
        ("1_024", 1_024),
        ("32 << 20", 32 << 20),
        ("6 * 3600", 21_600),
        ("1024 * 1024 + 512", 1_049_088),
        ("Duration::from_secs(6 * 3600)", 21_600_000),
        ("Duration::from_millis(100)", 100),
        ("net::wire::TTL_SECS_MAX as u64 * 1000", 2_592_000_000),
    ] {
        assert_eq!(value(text), expected, "{text}");
    }
}
