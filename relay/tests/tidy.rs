//! Facts about the repository that must stay true.

use std::collections::BTreeMap;

/// Versions below these have a known remote fault (`docs/relay.md`, "Versions").
const FLOORS: [(&str, [u32; 3]); 6] = [
    ("yamux", [0, 13, 10]),
    ("libp2p-quic", [0, 13, 1]),
    ("quinn-proto", [0, 11, 15]),
    ("hickory-proto", [0, 26, 1]),
    ("rustls-webpki", [0, 103, 13]),
    ("libp2p-core", [0, 33, 0]),
];
/// Not used at all, for the faults they had and the doors they open.
const ABSENT: [&str; 5] = [
    "libp2p-gossipsub",
    "libp2p-rendezvous",
    "libp2p-kad",
    "libp2p-autonat",
    "libp2p-dcutr",
];

#[test]
fn locked_versions_are_above_their_floors() {
    let lock = include_str!("../../Cargo.lock");
    let mut versions: BTreeMap<&str, Vec<[u32; 3]>> = BTreeMap::new();
    let mut name = "";
    for line in lock.lines() {
        let value = |key| line.strip_prefix(key).map(|v: &str| v.trim_matches('"'));
        if let Some(n) = value("name = ") {
            name = n;
        } else if let Some(v) = value("version = ") {
            let mut parts = v.split(['.', '-', '+']).map(|p| p.parse().unwrap_or(0));
            let version = [(); 3].map(|()| parts.next().unwrap_or(0));
            versions.entry(name).or_default().push(version);
        }
    }
    for (name, floor) in FLOORS {
        for version in versions.get(name).into_iter().flatten() {
            assert!(*version >= floor, "{name} {version:?} is below {floor:?}");
        }
    }
    assert!(versions.contains_key("yamux"), "the lock file was read");
    for name in ABSENT {
        assert!(!versions.contains_key(name), "{name} is back");
    }
}
