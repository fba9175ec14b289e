//! What a lane counted, and how it is told.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use serde_json::{Map, Value, json};

/// What must be nought, whatever the lane. A lane that has nothing to say of one leaves it at nought.
pub(crate) const BAD: [&str; 5] = [
    "lost_ops",
    "failed_starts",
    "panics",
    "wrong_data",
    "harness_failures",
];

/// Failures told in full; of more only the number.
const TOLD_MAX: usize = 12;

/// What one lane counted.
pub(crate) struct Counters {
    lane: &'static str,
    aloud: bool,
    begun: Instant,
    budget: Duration,
    counts: BTreeMap<&'static str, u64>,
    failures: Vec<String>,
    /// What was left out, and why.
    skipped: Vec<String>,
    seconds: u64,
}

impl Counters {
    /// Counts what happens meanwhile. A harness that fails has found something too: that it cannot go on.
    pub(crate) fn during(
        lane: &'static str,
        budget: Duration,
        work: impl FnOnce(&mut Self),
    ) -> Self {
        let mut counters = Self::new(lane, true, budget);
        if catch_unwind(AssertUnwindSafe(|| work(&mut counters))).is_err() {
            counters.bad("harness_failures", "the harness panicked; see above");
        }
        counters.seconds = counters.begun.elapsed().as_secs();
        counters
    }

    /// Counts what must be found, without a word about it: do the checks see anything at all?
    pub(crate) fn quietly(work: impl FnOnce(&mut Self)) -> Self {
        let mut counters = Self::new("control", false, Duration::MAX);
        work(&mut counters);
        counters
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "how long it took decides how much is tried, and nothing else"
    )]
    fn new(lane: &'static str, aloud: bool, budget: Duration) -> Self {
        Self {
            lane,
            aloud,
            begun: Instant::now(),
            budget,
            counts: BAD.iter().map(|bad| (*bad, 0)).collect(),
            failures: Vec::new(),
            skipped: Vec::new(),
            seconds: 0,
        }
    }

    /// Whether the lane has had its time. What it has counted by then is what was tried.
    pub(crate) fn is_over(&mut self) -> bool {
        let over = self.begun.elapsed() > self.budget;
        if over {
            self.counts.insert("cut_short_by_time", 1);
        }
        over
    }

    pub(crate) fn add(&mut self, what: &'static str, count: u64) {
        *self.counts.entry(what).or_default() += count;
    }

    pub(crate) fn one(&mut self, what: &'static str) {
        self.add(what, 1);
    }

    /// Keeps the greatest that was seen.
    pub(crate) fn most(&mut self, what: &'static str, count: u64) {
        let most = self.counts.entry(what).or_default();
        *most = count.max(*most);
    }

    pub(crate) fn get(&self, what: &str) -> u64 {
        self.counts.get(what).copied().unwrap_or(0)
    }

    /// Counts something that must never happen, and tells it at once.
    pub(crate) fn bad(&mut self, what: &'static str, why: impl Into<String>) {
        assert!(BAD.contains(&what), "{what} is told as bad and is not");
        self.one(what);
        let why = why.into();
        if self.aloud && self.failures.len() < TOLD_MAX {
            eprintln!("{}: {what}: {why}", self.lane);
        }
        self.failures.push(format!("{what}: {why}"));
    }

    /// Says that something was not tried. A lane that skips is not one that passes.
    pub(crate) fn skip(&mut self, what: impl Into<String>) {
        let what = what.into();
        eprintln!("{}: SKIPPED: {what}", self.lane);
        self.skipped.push(what);
    }

    fn is_good(&self) -> bool {
        BAD.iter().all(|bad| self.get(bad) == 0)
    }

    fn json(&self) -> Value {
        let mut fields = Map::new();
        fields.insert("lane".to_owned(), json!(self.lane));
        for (name, count) in &self.counts {
            fields.insert((*name).to_owned(), json!(count));
        }
        fields.insert("seconds".to_owned(), json!(self.seconds));
        if !self.skipped.is_empty() {
            fields.insert("skipped".to_owned(), json!(self.skipped));
        }
        fields.into()
    }
}

/// Prints one line of JSON and a table of all lanes; returns whether nothing bad happened.
pub(crate) fn print(lanes: &[Counters]) -> bool {
    let good = lanes.iter().all(Counters::is_good);
    let all: Vec<Value> = lanes.iter().map(Counters::json).collect();
    println!("{}", json!({"type": "crash", "ok": good, "lanes": all}));
    println!();
    let columns = ["lost", "starts", "panics", "wrong", "harness"];
    println!(
        "{:13}{}  {:>7}  counted",
        "lane",
        columns.map(|c| format!("{c:>8}")).concat(),
        "s"
    );
    for lane in lanes {
        let bad = BAD.map(|name| format!("{:>8}", lane.get(name))).concat();
        let rest: Vec<String> = lane
            .counts
            .iter()
            .filter(|(name, _)| !BAD.contains(name))
            .map(|(name, count)| format!("{name} {count}"))
            .collect();
        println!(
            "{:13}{bad}  {:>7}  {}",
            lane.lane,
            lane.seconds,
            rest.join(", ")
        );
        for what in &lane.skipped {
            println!("{:13}SKIPPED: {what}", "");
        }
    }
    let failures = lanes.iter().flat_map(|lane| &lane.failures);
    for failure in failures.clone().take(TOLD_MAX * 2) {
        println!("FAILED: {failure}");
    }
    println!(
        "{}",
        match failures.count() {
            0 =>
                "nothing lost, nothing that did not start, no panic, nothing wrong shown".to_owned(),
            count => format!("{count} FAILURES"),
        }
    );
    good
}
