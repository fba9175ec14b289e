//! Filling in what was kept, and comparing rows with what they must show.

use std::collections::BTreeMap;

use serde_json::Value;

use super::DemoError;
use super::script::{Fields, Rows};

/// What was kept so far, by name.
pub(super) type Kept = BTreeMap<String, String>;

/// Returns `text` with every `{name}` filled in.
///
/// # Errors
/// When nothing is kept under a name: the script is wrong.
pub(super) fn expand(text: &str, kept: &Kept) -> Result<String, DemoError> {
    let mut out = text.to_owned();
    for name in names_in(text) {
        let value = kept.get(&name).ok_or_else(|| DemoError::Differed {
            what: format!("the script uses {{{name}}} before anything is kept as that"),
        })?;
        out = out.replace(&format!("{{{name}}}"), value);
    }
    Ok(out)
}

/// Returns the names in braces.
pub(super) fn names_in(text: &str) -> Vec<String> {
    let parts = text.split('{').skip(1);
    parts
        .filter_map(|part| part.split_once('}').map(|(name, _)| name.to_owned()))
        .collect()
}

/// Compares rows with what they must show; what differs, in words, is the error.
pub(super) fn check(rows: &[Value], wanted: Rows, kept: &Kept) -> Result<(), DemoError> {
    match wanted {
        Rows::Has(find, has) => {
            let Some(row) = first(rows, find, kept)? else {
                return differed(format!(
                    "no row with {} among {} rows",
                    words(find, kept)?,
                    rows.len()
                ));
            };
            for (name, value) in has {
                let value = expand(value, kept)?;
                let seen = field(row, name);
                if seen != value {
                    return differed(format!("{name} is {seen:?}, expected {value:?}"));
                }
            }
            Ok(())
        }
        Rows::Lacks(find) => match first(rows, find, kept)? {
            None => Ok(()),
            Some(_) => differed(format!("there is a row with {}", words(find, kept)?)),
        },
    }
}

/// Whether a row has all these fields.
///
/// # Errors
/// When the script names something that is not kept.
pub(super) fn matches(row: &Value, fields: Fields, kept: &Kept) -> Result<bool, DemoError> {
    for (name, value) in fields {
        if field(row, name) != expand(value, kept)? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Returns a field as text: strings bare, everything else as JSON; `name` may be a JSON pointer.
pub(super) fn field(row: &Value, name: &str) -> String {
    let value = if name.starts_with('/') {
        row.pointer(name)
    } else {
        row.get(name)
    };
    match value {
        None => "nothing".to_owned(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    }
}

fn first<'a>(rows: &'a [Value], find: Fields, kept: &Kept) -> Result<Option<&'a Value>, DemoError> {
    for row in rows {
        if matches(row, find, kept)? {
            return Ok(Some(row));
        }
    }
    Ok(None)
}

fn words(fields: Fields, kept: &Kept) -> Result<String, DemoError> {
    let mut parts = Vec::with_capacity(fields.len());
    for (name, value) in fields {
        parts.push(format!("{name} {}", expand(value, kept)?));
    }
    Ok(parts.join(", "))
}

fn differed<T>(what: String) -> Result<T, DemoError> {
    Err(DemoError::Differed { what })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn kept() -> Kept {
        Kept::from([("a".to_owned(), "77".to_owned())])
    }

    fn said(wanted: Rows) -> String {
        let rows = [
            json!({"id": "1", "state": "normal", "files": [{"name": "x"}], "by": null}),
            json!({"id": "77", "state": "late"}),
        ];
        match check(&rows, wanted, &kept()) {
            Ok(()) => "ok".to_owned(),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn rows_are_compared_field_by_field() {
        use Rows::{Has, Lacks};
        for (wanted, outcome) in [
            (Has(&[("id", "{a}")], &[("state", "late")]), "ok"),
            (
                Has(&[("id", "1")], &[("/files/0/name", "x"), ("by", "null")]),
                "ok",
            ),
            (
                Has(&[("id", "{a}")], &[("state", "normal")]),
                r#"state is "late", expected "normal""#,
            ),
            (Has(&[("id", "9")], &[]), "no row with id 9 among 2 rows"),
            (
                Has(&[("id", "1")], &[("gone", "x")]),
                r#"gone is "nothing", expected "x""#,
            ),
            (Lacks(&[("id", "9")]), "ok"),
            (
                Lacks(&[("id", "{a}"), ("state", "late")]),
                "there is a row with id 77, state late",
            ),
            (Lacks(&[("id", "{a}"), ("state", "normal")]), "ok"),
            (
                Has(&[("id", "{b}")], &[]),
                "the script uses {b} before anything is kept as that",
            ),
        ] {
            assert_eq!(said(wanted), outcome, "{wanted:?}");
        }
    }
}
