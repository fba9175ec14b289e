//! Finds the one thing that a name or the beginning of an id means.
//!
//! Names are other people's choice, so a name never silently wins over an id: when
//! somebody calls himself `1a2b3c4d` and another's id begins so, both are listed.
//! `id:…` looks at ids only.

use crate::error::CliError;

/// Fewest digits of an id that are taken for one.
pub(crate) const ID_DIGITS_MIN: usize = 4;
/// Most names that are suggested or listed.
const LISTED_MAX: usize = 8;

/// Something that can be named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Candidate<T> {
    /// What it is for the program.
    pub(crate) key: T,
    /// Its id in hex.
    pub(crate) id: String,
    /// Its name, or the beginning of its text; may be empty.
    pub(crate) name: String,
}

/// Returns the one candidate that `wanted` names: by its name, or by at least
/// [`ID_DIGITS_MIN`] first digits of its id.
///
/// # Errors
/// [`CliError::Unknown`] with near names, or [`CliError::Ambiguous`] with the candidates.
pub(crate) fn pick<T: Clone>(
    what: &'static str,
    wanted: &str,
    candidates: &[Candidate<T>],
) -> Result<T, CliError> {
    let bare = bare(wanted);
    let by_id_only = bare.strip_prefix("id:");
    let digits = by_id_only.unwrap_or(bare).to_ascii_lowercase();
    let is_id = digits.len() >= ID_DIGITS_MIN && digits.bytes().all(|b| b.is_ascii_hexdigit());
    let named = |exact: bool| {
        candidates.iter().enumerate().filter(move |(_, c)| {
            if exact {
                c.name == bare
            } else {
                c.name.to_lowercase() == bare.to_lowercase()
            }
        })
    };
    let mut found: Vec<(usize, &Candidate<T>)> = Vec::new();
    if by_id_only.is_none() && !bare.is_empty() {
        found.extend(named(true));
        if found.is_empty() {
            found.extend(named(false));
        }
    }
    if is_id {
        let by_id = candidates.iter().enumerate();
        found.extend(by_id.filter(|(_, c)| c.id.starts_with(&digits)));
    }
    found.sort_by_key(|(at, _)| *at);
    found.dedup_by_key(|(at, _)| *at);
    match found.as_slice() {
        [(_, one)] => Ok(one.key.clone()),
        [] => Err(CliError::Unknown {
            what,
            wanted: wanted.to_owned(),
            hint: hint(bare, candidates),
        }),
        several => Err(CliError::Ambiguous {
            what,
            wanted: wanted.to_owned(),
            candidates: several
                .iter()
                .take(LISTED_MAX)
                .map(|(_, c)| format!("  {}  {}", short(&c.id), c.name))
                .collect(),
        }),
    }
}

/// Takes off the sign in front: `@name`, `#channel`.
fn bare(wanted: &str) -> &str {
    wanted.strip_prefix(['@', '#']).unwrap_or(wanted)
}

/// Returns the first digits that are enough to show.
fn short(id: &str) -> &str {
    id.get(..8).unwrap_or(id)
}

fn hint<T>(wanted: &str, candidates: &[Candidate<T>]) -> String {
    if candidates.is_empty() {
        return "; there is none at all yet".to_owned();
    }
    let wanted = wanted.to_lowercase();
    // a third of the letters may be wrong, one always
    let allowed = (wanted.chars().count() / 3).max(1);
    let mut near: Vec<(usize, &str)> = candidates
        .iter()
        .filter(|c| !c.name.is_empty())
        .filter_map(|c| {
            let name = c.name.to_lowercase();
            let begins = !wanted.is_empty() && name.starts_with(&wanted);
            let far = if begins { 0 } else { distance(&wanted, &name) };
            (far <= allowed).then_some((far, c.name.as_str()))
        })
        .collect();
    near.sort_unstable();
    near.dedup();
    if !near.is_empty() {
        let names: Vec<_> = near.iter().take(3).map(|(_, n)| *n).collect();
        return format!("; did you mean {}?", names.join(" or "));
    }
    let names: Vec<_> = candidates
        .iter()
        .map(|c| c.name.as_str())
        .filter(|n| !n.is_empty())
        .take(LISTED_MAX)
        .collect();
    if names.is_empty() || candidates.len() > LISTED_MAX {
        return String::new();
    }
    format!("; there is {}", names.join(", "))
}

/// Returns how many letters must be changed, added or taken away (Levenshtein).
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        let mut next = Vec::with_capacity(row.len());
        next.push(left);
        for (to, above) in b.iter().zip(row.iter().skip(1)) {
            let change = diagonal + usize::from(from != *to);
            left = change.min(left + 1).min(above + 1);
            diagonal = *above;
            next.push(left);
        }
        row = next;
    }
    row.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn people() -> Vec<Candidate<u8>> {
        [
            (1, "1a2b3c4d00", "Alice"),
            (2, "1a2b999900", "Bob"),
            (3, "77770000aa", "alice"),
            (4, "8888000000", "1a2b3c4d"),
            (5, "9999000000", "John"),
        ]
        .map(|(key, id, name)| Candidate {
            key,
            id: id.to_owned(),
            name: name.to_owned(),
        })
        .to_vec()
    }

    #[test]
    fn names_and_unique_beginnings_of_ids_find_their_thing() {
        for (wanted, key) in [
            ("Alice", 1),
            ("alice", 3),
            ("@Bob", 2),
            ("bob", 2),
            ("JOHN", 5),
            ("1a2b9", 2),
            ("1A2B9999", 2),
            ("id:1a2b3c4d", 1),
            ("7777", 3),
        ] {
            assert_eq!(pick("member", wanted, &people()).unwrap(), key, "{wanted}");
        }
    }

    #[test]
    fn a_name_that_looks_like_anothers_id_is_never_taken_silently() {
        let error = pick("member", "1a2b3c4d", &people()).unwrap_err();
        insta::assert_snapshot!(error, @r#"
        "1a2b3c4d" could be more than one member:
          1a2b3c4d  Alice
          88880000  1a2b3c4d
        "#);
    }

    #[test]
    fn several_candidates_are_listed() {
        for wanted in ["1a2b", "ALICE", "id:1a2b"] {
            let error = pick("member", wanted, &people()).unwrap_err();
            assert!(
                matches!(&error, CliError::Ambiguous { candidates, .. } if candidates.len() == 2),
                "{wanted}: {error}"
            );
        }
    }

    #[test]
    fn the_unknown_comes_with_near_names() {
        let said = |wanted: &str| pick("member", wanted, &people()).unwrap_err().to_string();
        assert_eq!(said("Jon"), r#"no member named "Jon"; did you mean John?"#);
        assert_eq!(said("Jo"), r#"no member named "Jo"; did you mean John?"#);
        assert_eq!(
            said("Zacharias"),
            r#"no member named "Zacharias"; there is Alice, Bob, alice, 1a2b3c4d, John"#
        );
        // too short for an id, and nobody's name
        assert!(said("1a2").starts_with(r#"no member named "1a2""#));
        let none: [Candidate<u8>; 0] = [];
        assert_eq!(
            pick("Space", "x", &none).unwrap_err().to_string(),
            r#"no Space named "x"; there is none at all yet"#
        );
    }

    #[test]
    fn distance_counts_edits() {
        for (a, b, expected) in [
            ("", "", 0),
            ("a", "", 1),
            ("", "abc", 3),
            ("john", "jon", 1),
            ("kitten", "sitting", 3),
            ("grün", "grun", 1),
        ] {
            assert_eq!(distance(a, b), expected, "{a} {b}");
            assert_eq!(distance(b, a), expected, "{b} {a}");
        }
    }
}
