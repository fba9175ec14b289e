//! The timeline, as people and as programs read it.

use serde_json::{Value, json};
use tokio::time::Instant;

use super::DemoError;
use super::check::field;
use super::script::Who;
use crate::print::Printer;
use crate::render::clean;

/// Letters of a post in the side-by-side view.
const POST_LETTERS: usize = 28;

/// Prints what happens, each with the time since the beginning.
#[derive(Clone, Copy, Debug)]
pub(super) struct Teller {
    printer: Printer,
    began: Instant,
}

impl Teller {
    /// Begins now.
    pub(super) fn new(printer: Printer) -> Self {
        Self {
            printer,
            began: Instant::now(),
        }
    }

    /// Returns the milliseconds since the beginning.
    pub(super) fn at_ms(self) -> u128 {
        self.began.elapsed().as_millis()
    }

    /// A heading.
    pub(super) fn chapter(self, title: &str) -> Result<(), DemoError> {
        self.say(
            || format!("\n{title}\n"),
            || json!({"type": "chapter", "title": title}),
        )
    }

    /// Something was done.
    pub(super) fn did(self, who: &str, tell: &str, line: &str) -> Result<(), DemoError> {
        self.say(
            || format!("{}  {who:<6} {tell}\n", self.clock()),
            || {
                json!({
                    "type": "step", "at_ms": self.at_ms(), "who": who, "tell": tell, "line": line,
                })
            },
        )
    }

    /// Something was expected and seen.
    pub(super) fn saw(self, who: &[Who], tell: &str) -> Result<(), DemoError> {
        let names: Vec<_> = who.iter().map(|w| w.name()).collect();
        let sees = if names.len() == 1 { "sees" } else { "see" };
        self.say(
            || format!("{}    ✓ {} {sees}: {tell}\n", self.clock(), listed(&names)),
            || json!({"type": "seen", "at_ms": self.at_ms(), "who": names, "tell": tell}),
        )
    }

    /// Something that nobody in particular saw.
    pub(super) fn fact(self, tell: &str) -> Result<(), DemoError> {
        self.say(
            || format!("{}    ✓ {tell}\n", self.clock()),
            || json!({"type": "fact", "at_ms": self.at_ms(), "tell": tell}),
        )
    }

    /// Something is left out.
    pub(super) fn skipped(self, command: &str) -> Result<(), DemoError> {
        self.say(
            || {
                format!(
                    "{}    – left out: this build has no command `{command}`\n",
                    self.clock()
                )
            },
            || json!({"type": "skipped", "at_ms": self.at_ms(), "command": command}),
        )
    }

    /// What people see, side by side.
    pub(super) fn views(self, views: &[(Who, Vec<Value>)]) -> Result<(), DemoError> {
        self.say(
            || side_by_side(views),
            || {
                let views: Vec<_> = views
                    .iter()
                    .map(|(who, rows)| json!({"who": who.name(), "posts": rows}))
                    .collect();
                json!({"type": "views", "at_ms": self.at_ms(), "views": views})
            },
        )
    }

    /// How long posts took.
    pub(super) fn latency(self, from: Who, to: Who, took_ms: &[u128]) -> Result<(), DemoError> {
        let mut sorted = took_ms.to_vec();
        sorted.sort_unstable();
        let median = sorted.get(sorted.len() / 2).copied().unwrap_or_default();
        let most = sorted.last().copied().unwrap_or_default();
        self.say(
            || {
                format!(
                    "{}    ✓ a post of {} is visible to {} after {median} ms (median of {}, {most} ms at most)\n",
                    self.clock(),
                    from.name(),
                    to.name(),
                    took_ms.len()
                )
            },
            || {
                json!({
                    "type": "latency", "at_ms": self.at_ms(), "from": from.name(),
                    "to": to.name(), "median_ms": median, "max_ms": most, "all_ms": took_ms,
                })
            },
        )
    }

    /// The end.
    pub(super) fn end(self, hash: &str, skipped: &[String]) -> Result<(), DemoError> {
        let took = self.at_ms();
        self.say(
            || {
                let left_out = if skipped.is_empty() {
                    String::new()
                } else {
                    format!("; left out: {}", skipped.join(", "))
                };
                format!(
                    "\nEverything came out as promised, in {}.{} s{left_out}.\n",
                    took / 1000,
                    took % 1000 / 100
                )
            },
            || {
                json!({
                    "type": "demo", "ok": true, "took_ms": took, "state_hash": hash,
                    "skipped": skipped,
                })
            },
        )
    }

    fn clock(self) -> String {
        let ms = self.at_ms();
        format!("{:>4}.{}s", ms / 1000, ms % 1000 / 100)
    }

    fn say(
        self,
        text: impl FnOnce() -> String,
        row: impl FnOnce() -> Value,
    ) -> Result<(), DemoError> {
        if self.printer.json {
            self.printer.row(&row())?;
        } else {
            self.printer.text(&text())?;
        }
        Ok(())
    }
}

/// Returns `Alice`, `Alice and Bob`, `Alice, Bob and John`.
fn listed(names: &[&str]) -> String {
    match names {
        [] => "nobody".to_owned(),
        [one] => (*one).to_owned(),
        [most @ .., last] => format!("{} and {last}", most.join(", ")),
    }
}

/// Returns a table: a line for each post, a column for each person with its state there.
fn side_by_side(views: &[(Who, Vec<Value>)]) -> String {
    let mut posts: Vec<(String, String)> = Vec::new();
    for row in views.iter().flat_map(|(_, rows)| rows) {
        let id = field(row, "id");
        let body = field(row, "body");
        let author = field(row, "author_name");
        let words = format!("{author}: {}", clean::snippet(&body, POST_LETTERS));
        match posts.iter_mut().find(|(known, _)| *known == id) {
            None => posts.push((id, words)),
            // whoever may not show the text has an empty one
            Some((_, known)) if known.len() < words.len() => *known = words,
            Some(_) => {}
        }
    }
    let mut out = format!("          {:<36}", "");
    for (who, _) in views {
        out.push_str(&format!(" {:<8}", who.name()));
    }
    out = format!("{}\n", out.trim_end());
    for (id, words) in posts {
        let mut line = format!("          {words:<36}");
        for (_, rows) in views {
            let row = rows.iter().find(|row| field(row, "id") == id);
            let state = row.map_or_else(|| "–".to_owned(), |row| field(row, "state"));
            line.push_str(&format!(" {state:<8}"));
        }
        out.push_str(line.trim_end());
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_people_see_stands_side_by_side() {
        let post = |id: &str, body: &str, state: &str| json!({"id": id, "author_name": "John", "body": body, "state": state});
        let views = [
            (
                Who::Alice,
                vec![
                    post("1", "", "hidden"),
                    post("2", "case B: meanwhile", "late"),
                ],
            ),
            (Who::John, vec![post("1", "case A: before", "normal")]),
        ];
        insta::assert_snapshot!(side_by_side(&views), @"
                                             Alice    John
        John: case A: before                 hidden   normal
        John: case B: meanwhile              late     –
        ");
    }

    #[test]
    fn names_are_listed_as_in_a_sentence() {
        assert_eq!(listed(&["Alice"]), "Alice");
        assert_eq!(listed(&["Alice", "Bob", "John"]), "Alice, Bob and John");
    }
}
