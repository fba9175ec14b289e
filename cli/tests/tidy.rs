//! What must hold for the repository as a whole: who may depend on whom, what pure
//! crates may name, which versions of dependencies are safe, what no file may say.
//!
//! `ARCHITECTURE.md` gives the reasons. A failure names the file or crate, and the rule.

#![expect(clippy::unwrap_used, reason = "a helper that fails fails its test")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use serde_json::Value;

/// Every crate of the workspace and the ones it may use. Arrows point down only; an edge that is
/// missing here is a decision, not an oversight.
const ARCHITECTURE: &[(&str, &[&str])] = &[
    ("oplog", &[]),
    ("fold", &["oplog"]),
    ("mls", &["oplog"]),
    ("blobstore", &["oplog"]),
    ("net", &["oplog"]),
    ("store", &["blobstore", "oplog"]),
    ("relay", &["net", "oplog"]),
    (
        "node",
        &["blobstore", "fold", "mls", "net", "oplog", "store"],
    ),
    ("app-egui", &["node"]),
    ("cli", &["node", "relay"]),
    (
        "sim",
        &["blobstore", "net", "node", "oplog", "relay", "store"],
    ),
];

/// Crates that know no clock, chance, file, socket or thread at all.
const PURE: &[&str] = &["oplog", "fold", "mls", "blobstore"];

/// Crates whose impure modules stand behind these features; the rest of them is pure.
const PURE_WITHOUT: &[(&str, &str)] = &[
    ("net", "driver"),
    ("relay", "server"),
    ("node", "runtime"),
    ("store", "disk"),
];

/// Features that weaken what they touch: the simulator alone asks for them, so that no program
/// that people run contains them.
const TEST_ONLY: &[&str] = &["stub-crypto", "test-utils", "tuning"];

/// What pure code must not depend on, by name or by the start of its name.
const IMPURE_CRATES: &[&str] = &[
    "tokio",
    "async-std",
    "smol",
    "mio",
    "socket2",
    "libp2p",
    "quinn",
    "fjall",
    "lsm-tree",
    "hickory",
    "notify",
    "reqwest",
    "hyper",
];

/// What pure code must not name.
const IMPURE_WORDS: &[&str] = &[
    "std::fs",
    "std::net",
    "std::thread",
    "std::process",
    "std::env",
    "SystemTime",
    "Instant::",
    "time::Instant",
    "tokio::",
    "libp2p::",
    "fjall::",
    "getrandom::",
    "thread_rng",
    "OsRng",
    "SysRng",
];

/// The least safe version of each dependency, and why. Advisories: rustsec.org, GitHub.
const FLOORS: &[(&str, &str, &str)] = &[
    (
        "yamux",
        "0.13.10",
        "CVE-2026-32314: a frame panics the node",
    ),
    (
        "libp2p-gossipsub",
        "0.50.0",
        "RUSTSEC-2026-0536: topics grow without bound",
    ),
    (
        "libp2p-quic",
        "0.13.1",
        "GHSA-5hq8-qhww-jm7q: a bad certificate panics",
    ),
    (
        "libp2p-relay",
        "0.22.0",
        "a missing reservation panics the server",
    ),
    (
        "libp2p-rendezvous",
        "0.17.1",
        "CVE-2026-35405: namespaces without limit",
    ),
    (
        "quinn-proto",
        "0.11.15",
        "RUSTSEC-2026-0185: reassembly memory",
    ),
    (
        "rustls-webpki",
        "0.103.13",
        "RUSTSEC-2026-0104: a CRL panics",
    ),
    ("hickory-proto", "0.26.1", "RUSTSEC-2026-0118: endless loop"),
    (
        "hickory-resolver",
        "0.26.1",
        "RUSTSEC-2026-0118: endless loop",
    ),
    (
        "openmls",
        "0.9.0",
        "GHSA-rrmv-c79f-cf5r: bytes panic the decoder",
    ),
    ("hpke-rs", "0.6.0", "RUSTSEC-2026-0069: nonce reuse"),
    (
        "hpke-rs-rust-crypto",
        "0.6.0",
        "RUSTSEC-2026-0072: all-zero X25519 unchecked",
    ),
    ("curve25519-dalek", "4.1.3", "RUSTSEC-2024-0344: timing"),
    (
        "ed25519-dalek",
        "2.0.0",
        "RUSTSEC-2022-0093: double public key oracle",
    ),
    (
        "fjall",
        "3.1.8",
        "fjall#304: a sync that implied what it did not do",
    ),
    (
        "lz4_flex",
        "0.12.1",
        "RUSTSEC-2026-0041: leaks an earlier buffer",
    ),
    (
        "blake3",
        "1.8.7",
        "RUSTSEC-2026-0260: older ones use a hijacked crate",
    ),
    (
        "negentropy",
        "0.5.3",
        "first with the frame limits that we rely on",
    ),
];

/// What must not appear in `Cargo.lock`, and why. A version, if given, is the only one refused.
const BANNED: &[(&str, Option<&str>, &str)] = &[
    (
        "serde_cbor",
        None,
        "RUSTSEC-2021-0127: unmaintained, overflows the stack",
    ),
    ("arrayref", Some("0.3.10"), "RUSTSEC-2026-0260: hijacked"),
    ("internment", None, "RUSTSEC-2026-0266: hijacked"),
    ("append-only-vec", None, "RUSTSEC-2026-0262: hijacked"),
    ("openssl", None, "one TLS is enough, and it is rustls"),
    ("openssl-sys", None, "one TLS is enough, and it is rustls"),
    ("native-tls", None, "one TLS is enough, and it is rustls"),
];

#[test]
fn crates_depend_downward_only() {
    let mut found = BTreeMap::new();
    for package in workspace() {
        let name = package.name.clone();
        let uses: BTreeSet<String> = package
            .normal()
            .filter(|d| d.ours)
            .map(|d| d.name.clone())
            .collect();
        found.insert(name, uses);
    }
    let expected: BTreeMap<String, BTreeSet<String>> = ARCHITECTURE
        .iter()
        .map(|(name, uses)| {
            (
                (*name).to_owned(),
                uses.iter().map(|u| (*u).to_owned()).collect(),
            )
        })
        .collect();
    assert_eq!(
        found, expected,
        "the crates and their edges are those of ARCHITECTURE.md"
    );
}

#[test]
fn pure_crates_name_no_impure_dependency() {
    for package in workspace() {
        let pure = PURE.contains(&package.name.as_str());
        let half = PURE_WITHOUT.iter().any(|(name, _)| *name == package.name);
        for dependency in &package.dependencies {
            let impure = is_impure(&dependency.name) || dependency.name == "getrandom";
            // A dependency for bare wasm alone never runs with us: it only lets others compile.
            if !impure || dependency.only_wasm {
                continue;
            }
            assert!(
                !pure,
                "{} is pure and depends on {}",
                package.name, dependency.name
            );
            assert!(
                !half || dependency.optional || dependency.kind != "normal",
                "{} must not need {} without its feature",
                package.name,
                dependency.name
            );
        }
    }
}

#[test]
fn pure_crates_reach_no_impure_dependency() {
    let metadata = cargo_metadata(&["--filter-platform", &host()]);
    let names: BTreeMap<&str, &str> = array(&metadata, "packages")
        .map(|p| (text(p, "id"), text(p, "name")))
        .collect();
    let mut edges: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for node in array(metadata.get("resolve").unwrap(), "nodes") {
        let normal = array(node, "deps")
            .filter(|d| array(d, "dep_kinds").any(|k| k.get("kind").unwrap().is_null()));
        edges.insert(text(node, "id"), normal.map(|d| text(d, "pkg")).collect());
    }
    for pure in PURE {
        let start = names
            .iter()
            .find(|(_, name)| *name == pure)
            .map(|(id, _)| *id)
            .unwrap();
        let mut seen = BTreeSet::from([start]);
        let mut waiting = vec![start];
        while let Some(id) = waiting.pop() {
            let name = names.get(id).unwrap();
            assert!(!is_impure(name), "{pure} reaches {name}");
            waiting.extend(
                edges
                    .get(id)
                    .unwrap()
                    .iter()
                    .filter(|next| seen.insert(next)),
            );
        }
        assert!(seen.len() > 10, "{pure}: the graph was read");
    }
}

#[test]
fn nothing_but_the_simulator_asks_for_what_only_tests_may_have() {
    let metadata = cargo_metadata(&["--no-deps"]);
    let mut found = BTreeSet::new();
    for package in array(&metadata, "packages") {
        let name = text(package, "name");
        let features = package.get("features").and_then(Value::as_object).unwrap();
        for only in TEST_ONLY {
            found.extend(features.contains_key(*only).then_some(*only));
            // Whatever a feature turns on, and so on.
            let mut reached = BTreeSet::from(["default".to_owned()]);
            let mut waiting = vec!["default".to_owned()];
            while let Some(feature) = waiting.pop() {
                let more = features.get(&feature).into_iter().flat_map(|list| {
                    let list = list.as_array().unwrap();
                    list.iter().map(|f| f.as_str().unwrap().to_owned())
                });
                waiting.extend(more.filter(|next| reached.insert(next.clone())));
            }
            let turned_on = |f: &String| f.split('/').next_back() == Some(only);
            assert!(!reached.iter().any(turned_on), "{name} turns {only} on");
            // A feature of that name may hand it on; a dependency may not ask for it outright.
            for dependency in array(package, "dependencies") {
                let dev = dependency.get("kind").and_then(Value::as_str) == Some("dev");
                let asked = array(dependency, "features").any(|f| f.as_str() == Some(only));
                assert!(
                    !asked || dev || name == "sim",
                    "{name} asks {} for {only}",
                    text(dependency, "name")
                );
            }
        }
    }
    assert_eq!(found.len(), TEST_ONLY.len(), "each exists somewhere");
    for package in workspace() {
        let sim = package.normal().any(|d| d.name == "sim");
        assert!(!sim, "{} depends on the simulator", package.name);
    }
}

#[test]
fn pure_code_names_no_clock_chance_file_or_socket() {
    let mut read = 0;
    for (name, _) in ARCHITECTURE {
        let impure: Vec<PathBuf> = match PURE_WITHOUT.iter().find(|(half, _)| half == name) {
            Some((_, feature)) => gated_modules(name, feature),
            None if PURE.contains(name) => Vec::new(),
            None => continue,
        };
        let src = root().join(name).join("src");
        for file in rust_files(&src) {
            let inside = file.strip_prefix(&src).unwrap();
            if impure
                .iter()
                .any(|m| inside == m.with_extension("rs") || inside.starts_with(m))
            {
                continue;
            }
            read += 1;
            for (number, line) in production_lines(&fs::read_to_string(&file).unwrap()) {
                for word in IMPURE_WORDS {
                    assert!(
                        !line.contains(word),
                        "{}:{number}: pure code names {word}",
                        file.display()
                    );
                }
            }
        }
    }
    assert!(read > 20, "only {read} files were read");
}

#[test]
fn dependencies_are_not_below_their_safe_version() {
    for (name, version) in locked() {
        for (_, floor, why) in FLOORS.iter().filter(|(floored, ..)| *floored == name) {
            assert!(
                number(&version) >= number(floor),
                "{name} {version} is below {floor}: {why}"
            );
        }
    }
}

#[test]
fn no_normal_build_has_deliberate_bugs() {
    let metadata = cargo_metadata(&["--no-deps"]);
    let on = |feature: &str| feature == "mutants" || feature.ends_with("/mutants");
    let mut known = BTreeSet::new();
    for package in array(&metadata, "packages") {
        let name = text(package, "name");
        for dependency in array(package, "dependencies") {
            let mut asks = array(dependency, "features").filter_map(Value::as_str);
            assert!(
                !asks.any(on),
                "{name} turns on the mutants of {}",
                text(dependency, "name")
            );
        }
        let features = package.get("features").and_then(Value::as_object).unwrap();
        for (feature, sets) in features {
            let mut sets = sets.as_array().unwrap().iter().filter_map(Value::as_str);
            if on(feature) {
                known.insert(name.to_owned());
            } else {
                assert!(
                    !sets.any(on),
                    "{name}: the feature {feature} turns mutants on"
                );
            }
        }
    }
    let expected = ["oplog", "sim"].map(str::to_owned);
    assert_eq!(
        known,
        BTreeSet::from(expected),
        "who has the feature at all"
    );
    // And where a feature is off, the switch is a constant.
    let source = fs::read_to_string(root().join("oplog/src/mutants.rs")).unwrap();
    assert!(source.contains("pub const fn on(_: Mutant) -> bool {\n        false\n    }"));
}

#[test]
fn banned_dependencies_are_absent() {
    for (name, version) in locked() {
        for (_, only, why) in BANNED.iter().filter(|(banned, ..)| *banned == name) {
            assert!(
                only.is_some_and(|only| only != version),
                "{name} {version}: {why}"
            );
        }
    }
}

#[test]
fn dependencies_come_from_the_registry_with_a_checksum() {
    let lock = fs::read_to_string(root().join("Cargo.lock")).unwrap();
    for block in lock.split("[[package]]").skip(1) {
        let name = field(block, "name").unwrap();
        let ours = ARCHITECTURE.iter().any(|(known, _)| *known == name);
        let source = field(block, "source");
        assert_eq!(
            source.is_none(),
            ours,
            "{name}: only our own crates have no source"
        );
        if let Some(source) = source {
            assert!(
                source.starts_with("registry+"),
                "{name} comes from {source}"
            );
            assert!(field(block, "checksum").is_some(), "{name} has no checksum");
        }
    }
}

#[test]
fn every_crate_lies_in_its_folder_and_inherits_the_lints() {
    for package in workspace() {
        let folder = package.manifest.parent().unwrap();
        assert_eq!(
            folder.parent().unwrap(),
            root(),
            "{} lies flat",
            package.name
        );
        assert_eq!(folder.file_name().unwrap().to_str().unwrap(), package.name);
        let manifest = fs::read_to_string(&package.manifest).unwrap();
        assert!(
            manifest.contains("[lints]\nworkspace = true\n"),
            "{} does not inherit the workspace's lints",
            package.name
        );
        for line in manifest.lines().filter(|l| l.contains('=')) {
            let own = line.contains("version = \"") && !line.contains("package = \"");
            assert!(
                !own,
                "{}: versions belong in the root manifest: {line}",
                package.name
            );
        }
    }
}

#[test]
fn nothing_is_left_to_do_by_a_panic() {
    let words = [
        concat!("to", "do!("),
        concat!("unimple", "mented!("),
        concat!("#[ig", "nore"),
    ];
    for file in text_files().filter(|f| f.extension().is_some_and(|e| e == "rs")) {
        let source = fs::read_to_string(&file).unwrap();
        for word in words {
            assert!(!source.contains(word), "{} says {word}", file.display());
        }
    }
}

#[test]
fn no_file_names_the_machine_it_was_written_on() {
    // Cut in two, or this file would be the first to fail.
    let words = [
        concat!("/wo", "rk/"),
        concat!("/tmp/", "t-"),
        concat!("/ro", "ot/"),
    ];
    for file in text_files() {
        let Ok(source) = fs::read_to_string(&file) else {
            continue;
        };
        for word in words {
            assert!(!source.contains(word), "{} says {word}", file.display());
        }
    }
}

#[test]
fn every_document_that_is_named_exists() {
    let mut named = BTreeMap::new();
    // This file names documents that its own tests made up.
    for file in text_files().filter(|f| !f.ends_with("cli/tests/tidy.rs")) {
        let Ok(source) = fs::read_to_string(&file) else {
            continue;
        };
        for found in documents_named(&source) {
            named.entry(found).or_insert_with(|| file.clone());
        }
    }
    assert!(
        named.contains_key("docs/protocol.md"),
        "the scan found nothing"
    );
    for (document, by) in named {
        assert!(
            root().join(&document).is_file(),
            "{} names {document}, which does not exist",
            by.display()
        );
    }
}

#[test]
fn every_link_between_documents_leads_somewhere() {
    let mut followed = 0;
    for file in text_files().filter(|f| f.extension().is_some_and(|e| e == "md")) {
        let source = fs::read_to_string(&file).unwrap();
        for link in links(&source).filter(|l| !l.contains("://") && !l.starts_with('#')) {
            let target = file.parent().unwrap().join(link.split('#').next().unwrap());
            assert!(
                target.exists(),
                "{} links to {link}, which does not exist",
                file.display()
            );
            followed += 1;
        }
    }
    assert!(followed > 5, "only {followed} links were found");
}

#[test]
fn every_acceptance_rule_is_in_protocol_and_list() {
    let read = |name: &str| {
        let path = root().join("docs").join(name);
        fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
    };
    let (protocol, list) = (read("protocol.md"), read("acceptance.md"));
    let rules = [("R", 1..=9), ("D", 0..=4), ("K", 1..=6)];
    for rule in rules
        .into_iter()
        .flat_map(|(letter, numbers)| numbers.map(move |n| format!("{letter}{n}")))
    {
        assert!(
            has_word(&protocol, &rule),
            "docs/protocol.md does not have {rule}"
        );
        assert!(
            has_word(&list, &rule),
            "docs/acceptance.md does not have {rule}"
        );
    }
}

// ---- the checks' own tests -------------------------------------------------

#[test]
fn versions_compare_as_numbers() {
    for (less, more) in [
        ("0.9.9", "0.10.0"),
        ("1.2.3", "2.0.0"),
        ("0.13.1", "0.13.10"),
        ("1.0.0", "1.0.1+x"),
    ] {
        assert!(number(less) < number(more), "{less} {more}");
    }
    assert_eq!(number("1.2.3-rc.1"), [1, 2, 3]);
}

#[test]
fn tests_and_comments_are_not_production_lines() {
    let source = "use a;\n// std::fs\n    /// std::fs\ncall(); // std::fs\n#[cfg(test)]\nmod tests {\n    use std::fs;\n}\n";
    let lines: Vec<_> = production_lines(source)
        .map(|(n, l)| (n, l.trim()))
        .collect();
    assert_eq!(lines, [(1, "use a;"), (4, "call();")]);
    let kept = "#[cfg(test)]\nuse x;\nstd::fs\n";
    assert_eq!(production_lines(kept).count(), 3);
}

#[test]
fn document_names_are_found_in_prose_and_code() {
    let found: Vec<_> =
        documents_named("see `docs/a.md` and (docs/b-c.md), docs/d.txt, xdocs/e.md").collect();
    assert_eq!(found, ["docs/a.md", "docs/b-c.md"]);
}

// ---- reading the workspace -------------------------------------------------

struct Package {
    name: String,
    manifest: PathBuf,
    dependencies: Vec<Dependency>,
}

struct Dependency {
    name: String,
    kind: String,
    optional: bool,
    ours: bool,
    only_wasm: bool,
}

impl Package {
    fn normal(&self) -> impl Iterator<Item = &Dependency> {
        self.dependencies.iter().filter(|d| d.kind != "dev")
    }
}

fn workspace() -> Vec<Package> {
    let metadata = cargo_metadata(&["--no-deps"]);
    let packages: Vec<Package> = array(&metadata, "packages")
        .map(|package| Package {
            name: text(package, "name").to_owned(),
            manifest: PathBuf::from(text(package, "manifest_path")),
            dependencies: array(package, "dependencies").map(dependency).collect(),
        })
        .collect();
    assert!(!packages.is_empty());
    packages
}

fn dependency(value: &Value) -> Dependency {
    let optional_text = |key: &str| value.get(key).and_then(Value::as_str);
    Dependency {
        name: text(value, "name").to_owned(),
        kind: optional_text("kind").unwrap_or("normal").to_owned(),
        optional: value.get("optional").and_then(Value::as_bool).unwrap(),
        ours: optional_text("path").is_some(),
        only_wasm: optional_text("target").is_some_and(|t| t.contains("wasm32")),
    }
}

fn cargo_metadata(more: &[&str]) -> Value {
    let run = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--locked", "--offline"])
        .args(more)
        .current_dir(root())
        .output()
        .unwrap();
    assert!(
        run.status.success(),
        "cargo metadata: {}",
        String::from_utf8_lossy(&run.stderr)
    );
    serde_json::from_slice(&run.stdout).unwrap()
}

fn host() -> String {
    let rustc = env::var("RUSTC").unwrap_or_else(|_| "rustc".to_owned());
    let run = Command::new(rustc).arg("-vV").output().unwrap();
    let said = String::from_utf8(run.stdout).unwrap();
    said.lines()
        .find_map(|l| l.strip_prefix("host: "))
        .unwrap()
        .to_owned()
}

fn array<'a>(value: &'a Value, key: &str) -> impl Iterator<Item = &'a Value> {
    value.get(key).and_then(Value::as_array).unwrap().iter()
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value.get(key).and_then(Value::as_str).unwrap()
}

/// Returns name and version of every package in `Cargo.lock`.
fn locked() -> Vec<(String, String)> {
    let lock = fs::read_to_string(root().join("Cargo.lock")).unwrap();
    let packages: Vec<_> = lock
        .split("[[package]]")
        .skip(1)
        .map(|block| {
            (
                field(block, "name").unwrap().to_owned(),
                field(block, "version").unwrap().to_owned(),
            )
        })
        .collect();
    assert!(
        packages.len() > 100,
        "only {} packages were read",
        packages.len()
    );
    packages
}

fn field<'a>(block: &'a str, name: &str) -> Option<&'a str> {
    let prefix = format!("{name} = \"");
    block
        .lines()
        .find_map(|line| line.strip_prefix(&prefix)?.strip_suffix('"'))
}

/// Returns a version's numbers; what stands behind `-` or `+` does not count.
fn number(version: &str) -> Vec<u64> {
    let release = version.split(['-', '+']).next().unwrap();
    release.split('.').map(|n| n.parse().unwrap()).collect()
}

fn is_impure(name: &str) -> bool {
    IMPURE_CRATES.iter().any(|i| {
        name == *i
            || name
                .strip_prefix(i)
                .is_some_and(|rest| rest.starts_with('-'))
    })
}

/// Returns the modules that `lib.rs` declares only with this feature.
fn gated_modules(name: &str, feature: &str) -> Vec<PathBuf> {
    let lib = fs::read_to_string(root().join(name).join("src/lib.rs")).unwrap();
    let gate = format!("#[cfg(feature = \"{feature}\")]");
    let lines: Vec<&str> = lib.lines().map(str::trim).collect();
    lines
        .windows(2)
        .filter_map(|pair| match pair {
            [gated, module] if *gated == gate => {
                let module = module.strip_prefix("pub ").unwrap_or(module);
                module
                    .strip_prefix("mod ")?
                    .strip_suffix(';')
                    .map(PathBuf::from)
            }
            _ => None,
        })
        .collect()
}

/// Returns numbered lines without comments, up to the tests at the end of the file.
fn production_lines(source: &str) -> impl Iterator<Item = (usize, &str)> {
    let lines: Vec<&str> = source.lines().collect();
    let tests = lines.windows(2).position(|pair| match pair {
        [gate, module] => {
            gate.trim() == "#[cfg(test)]"
                && module.trim().starts_with("mod ")
                && module.ends_with('{')
        }
        _ => false,
    });
    let count = tests.unwrap_or(lines.len());
    lines
        .into_iter()
        .take(count)
        .enumerate()
        .map(|(at, line)| (at + 1, line.split("//").next().unwrap_or(line)))
        .filter(|(_, line)| !line.trim().is_empty())
}

fn documents_named(source: &str) -> impl Iterator<Item = String> + '_ {
    source.match_indices("docs/").filter_map(|(at, _)| {
        let (before, rest) = source.split_at(at);
        let apart = !before.ends_with(|c: char| c.is_alphanumeric() || "/_-.".contains(c));
        let end = rest
            .find(|c: char| !c.is_ascii_alphanumeric() && !"/-_.".contains(c))
            .unwrap_or(rest.len());
        let name = rest.split_at(end).0.trim_end_matches('.');
        (apart && name.ends_with(".md")).then(|| name.to_owned())
    })
}

/// Returns the targets of Markdown links: `](target)`.
fn links(source: &str) -> impl Iterator<Item = &str> {
    source
        .split("](")
        .skip(1)
        .filter_map(|rest| rest.split_once(')').map(|(target, _)| target))
}

fn has_word(text: &str, word: &str) -> bool {
    text.split(|c: char| !c.is_ascii_alphanumeric())
        .any(|w| w == word)
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap()
        .to_owned()
}

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = files_below(folder);
    files.retain(|f| {
        f.extension().is_some_and(|e| e == "rs") && f.file_name().is_none_or(|n| n != "tests.rs")
    });
    files
}

/// Returns every file of the repository that people write, tools and lock file aside.
fn text_files() -> impl Iterator<Item = PathBuf> {
    files_below(&root())
        .into_iter()
        .filter(|f| f.file_name().is_none_or(|n| n != "Cargo.lock"))
}

fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut waiting = vec![folder.to_owned()];
    while let Some(folder) = waiting.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap();
            if path.is_dir() {
                if name != "target" && name != ".git" {
                    waiting.push(path);
                }
            } else if name != ".git" {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}
