//! Every word of the interface, by name, from `locales/en.ftl` (Project Fluent).
//!
//! A translation is another file of the same names. Names that people chose come in as arguments;
//! the node has made them harmless already.

use std::borrow::Cow;
use std::sync::OnceLock;

use fluent_bundle::concurrent::FluentBundle;
use fluent_bundle::{FluentArgs, FluentResource, FluentValue};
use unic_langid::LanguageIdentifier;

const ENGLISH: &str = include_str!("../locales/en.ftl");

static BUNDLE: OnceLock<FluentBundle<FluentResource>> = OnceLock::new();

/// Returns a text without arguments.
#[must_use]
pub fn t(id: &str) -> String {
    format(id, None)
}

/// Returns a text about a count, in the right plural form: `$count`.
#[must_use]
pub fn count(id: &str, count: usize) -> String {
    with(id, &[("count", Arg::Number(count))])
}

/// Returns a text about one name: `$name`.
#[must_use]
pub fn named(id: &str, name: &str) -> String {
    with(id, &[("name", Arg::Text(name))])
}

/// What fills a place in a text.
#[derive(Clone, Copy, Debug)]
pub enum Arg<'a> {
    /// Words.
    Text(&'a str),
    /// A count, which chooses the plural form.
    Number(usize),
}

/// Returns a text with its places filled.
#[must_use]
pub fn with(id: &str, args: &[(&str, Arg<'_>)]) -> String {
    let mut filled = FluentArgs::with_capacity(args.len());
    for (name, value) in args {
        let value = match *value {
            Arg::Text(text) => FluentValue::String(Cow::Owned(text.to_owned())),
            Arg::Number(number) => FluentValue::from(number),
        };
        filled.set((*name).to_owned(), value);
    }
    format(id, Some(&filled))
}

fn format(id: &str, args: Option<&FluentArgs<'_>>) -> String {
    let bundle = BUNDLE.get_or_init(bundle);
    let pattern = bundle.get_message(id).and_then(|message| message.value());
    let Some(pattern) = pattern else {
        // Better than nothing for a person; a test makes sure that it never shows.
        return id.to_owned();
    };
    let mut errors = Vec::new();
    bundle
        .format_pattern(pattern, args, &mut errors)
        .into_owned()
}

fn bundle() -> FluentBundle<FluentResource> {
    let language: LanguageIdentifier = "en".parse().unwrap_or_default();
    let mut bundle = FluentBundle::new_concurrent(vec![language]);
    // Isolation marks would show as boxes: text here runs in one direction.
    bundle.set_use_isolating(false);
    let resource = match FluentResource::try_new(ENGLISH.to_owned()) {
        Ok(resource) | Err((resource, _)) => resource,
    };
    // Two texts of one name: the first stands, and a test complains.
    let _ = bundle.add_resource(resource);
    bundle
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::*;

    fn names() -> BTreeSet<String> {
        let lines = ENGLISH.lines();
        let named = lines.filter(|line| line.starts_with(|c: char| c.is_ascii_lowercase()));
        let names: Vec<String> = named
            .filter_map(|line| line.split_once(" =").map(|(name, _)| name.to_owned()))
            .collect();
        let unique: BTreeSet<String> = names.iter().cloned().collect();
        assert_eq!(names.len(), unique.len(), "a name stands twice");
        unique
    }

    fn sources(dir: &Path, into: &mut String) {
        for entry in std::fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                sources(&path, into);
            } else if path.extension().is_some_and(|e| e == "rs") {
                into.push_str(&std::fs::read_to_string(&path).unwrap());
            }
        }
    }

    #[test]
    fn the_file_has_no_errors() {
        assert!(FluentResource::try_new(ENGLISH.to_owned()).is_ok());
    }

    #[test]
    fn every_text_that_is_used_exists_and_every_text_is_used() {
        let mut source = String::new();
        sources(
            &Path::new(env!("CARGO_MANIFEST_DIR")).join("src"),
            &mut source,
        );
        let names = names();
        for name in &names {
            assert!(
                source.contains(&format!("\"{name}\"")),
                "{name} is not used"
            );
        }
        let mut used = 0;
        for call in ["t(\"", "count(\"", "named(\"", "with(\""] {
            for (at, _) in source.match_indices(call) {
                let before = source.split_at(at).0.chars().next_back();
                if before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == '.') {
                    continue;
                }
                let name: String = source
                    .split_at(at + call.len())
                    .1
                    .chars()
                    .take_while(|c| *c != '"')
                    .collect();
                if name.is_empty()
                    || name.contains(|c: char| !c.is_ascii_alphanumeric() && c != '-')
                {
                    continue;
                }
                used += 1;
                assert!(names.contains(&name), "{name} has no text");
            }
        }
        assert!(used > 100, "only {used} uses were found");
    }

    #[test]
    fn counts_have_their_plural() {
        assert_eq!(count("members-count", 1), "1 member");
        assert_eq!(count("members-count", 3), "3 members");
    }
}
