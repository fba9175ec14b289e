//! The table: every case with what must become of it, and what was seen.

use std::collections::{BTreeMap, BTreeSet};

use oplog::Rule;

/// What must become of an op.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expect {
    /// It is no op: this variant of `CodecError`.
    NoOp(&'static str),
    /// This variant of `SignatureError`.
    Unsigned(&'static str),
    /// This rule, with this variant of `AcceptError`.
    Refused(Rule, &'static str),
    /// Kept apart until what it names comes.
    Held,
    /// Kept apart until its time comes.
    Deferred,
}

/// One hostile op.
#[derive(Clone, Debug)]
pub struct Case {
    pub name: String,
    /// What comes before it by the same way, and is refused or held.
    pub before: Vec<Vec<u8>>,
    pub bytes: Vec<u8>,
    pub expect: Expect,
}

impl Case {
    pub fn new(name: impl Into<String>, bytes: Vec<u8>, expect: Expect) -> Self {
        Self {
            name: name.into(),
            before: Vec::new(),
            bytes,
            expect,
        }
    }

    pub fn after(mut self, before: Vec<Vec<u8>>) -> Self {
        self.before = before;
        self
    }
}

/// What was tried and seen.
#[derive(Default)]
pub struct Table {
    names: BTreeSet<String>,
    /// Runs by way in.
    runs: BTreeMap<&'static str, usize>,
    /// Cases by error.
    errors: BTreeMap<String, usize>,
    rules: BTreeSet<&'static str>,
    checks: usize,
    failures: Vec<String>,
}

impl Table {
    /// Begins a case. Its name is its own.
    pub fn case(&mut self, name: &str, error: &str) {
        if !self.names.insert(name.to_owned()) {
            self.failures.push(format!("{name}: twice in the table"));
        }
        *self.errors.entry(error.to_owned()).or_default() += 1;
    }

    pub fn rule(&mut self, rule: Rule) {
        self.rules.insert(rule.id());
    }

    /// Notes one case on one way in: whether what was seen is what must be.
    pub fn run<T: PartialEq + std::fmt::Debug>(
        &mut self,
        name: &str,
        way: &'static str,
        seen: &T,
        must: &T,
    ) {
        *self.runs.entry(way).or_default() += 1;
        if seen != must {
            self.failures
                .push(format!("{name} by {way}: {seen:?}, and not {must:?}"));
        }
    }

    /// Notes what must hold of a case beside what a way in says.
    pub fn check(&mut self, name: &str, what: &str, holds: bool) {
        self.checks += 1;
        if !holds {
            self.failures.push(format!("{name}: {what}"));
        }
    }

    /// What was not as it must be.
    pub fn failures(&self) -> &[String] {
        &self.failures
    }

    pub fn has_rule(&self, rule: &str) -> bool {
        self.rules.contains(rule)
    }

    pub fn has_error(&self, error: &str) -> bool {
        self.errors.contains_key(error)
    }

    pub fn cases(&self) -> usize {
        self.names.len()
    }

    /// Prints the counters, and fails when anything was not as it must be.
    pub fn finish(&self, what: &str) {
        let runs: usize = self.runs.values().sum();
        println!(
            "{what}: {} cases, {runs} runs, {} checks, {} distinct errors, {} rules",
            self.cases(),
            self.checks,
            self.errors.len(),
            self.rules.len()
        );
        for (way, runs) in &self.runs {
            println!("  {runs:5} runs by {way}");
        }
        for (error, cases) in &self.errors {
            println!("  {cases:5} cases of {error}");
        }
        assert!(
            self.failures.is_empty(),
            "{} of {runs} runs:\n{}",
            self.failures.len(),
            self.failures.join("\n")
        );
    }
}

/// The name of an error's variant.
pub fn variant(error: &impl std::fmt::Debug) -> String {
    let text = format!("{error:?}");
    text.chars().take_while(|c| c.is_alphanumeric()).collect()
}
