//! People named in a text, as `@name` or by the beginning of their id: found when it is written, and
//! again where it is shown.

use std::ops::Range;

use oplog::UserId;
use oplog::payload::MENTIONS_MAX;

/// Least characters of an id that name somebody.
const ID_CHARS_MIN: usize = 8;
/// Places looked at in one text: whatever it holds costs no more than these.
const PLACES_MAX: usize = 4 * MENTIONS_MAX;

/// Somebody named in a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mention {
    /// Where, in bytes, with the `@`.
    pub range: Range<usize>,
    /// Who.
    pub user: UserId,
}

/// Finds who is named in a text, in order. Of several names that fit the longest counts, and of two alike
/// the first. Names may have spaces; their case does not matter.
#[must_use]
pub fn find(text: &str, people: &[(UserId, &str)]) -> Vec<Mention> {
    let mut found: Vec<Mention> = Vec::new();
    for (at, _) in text.match_indices('@').take(PLACES_MAX) {
        let (before, rest) = (text.get(..at), text.get(at + 1..));
        let (Some(before), Some(rest)) = (before, rest) else {
            continue;
        };
        let inside = before.chars().next_back().is_some_and(is_part_of_word);
        if inside || found.last().is_some_and(|last| last.range.end > at) {
            continue;
        }
        let mut best: Option<(usize, UserId)> = None;
        for (user, name) in people {
            if let Some(len) = begins_with(rest, name)
                && best.is_none_or(|(longest, _)| len > longest)
            {
                best = Some((len, *user));
            }
        }
        if let Some((len, user)) = best.or_else(|| by_id(rest, people)) {
            let range = at..at + 1 + len;
            found.push(Mention { range, user });
        }
    }
    found
}

/// Returns the length of a name at the beginning of a text, if it ends there as a word.
fn begins_with(text: &str, name: &str) -> Option<usize> {
    let mut rest = text.chars();
    for letter in name.chars() {
        let same = rest.next()?.to_lowercase().eq(letter.to_lowercase());
        same.then_some(())?;
    }
    let rest = rest.as_str();
    let ends = !rest.chars().next().is_some_and(is_part_of_word);
    (ends && !name.is_empty()).then(|| text.len() - rest.len())
}

fn by_id(text: &str, people: &[(UserId, &str)]) -> Option<(usize, UserId)> {
    let end = text.find(|c| !is_part_of_word(c)).unwrap_or(text.len());
    let word = text.get(..end).filter(|word| word.len() >= ID_CHARS_MIN)?;
    let mut fits = people.iter().map(|(user, _)| *user);
    let user = fits.find(|user| user.to_string().starts_with(word))?;
    Some((end, user))
}

fn is_part_of_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn user(n: u8) -> UserId {
        UserId::from_bytes([n; 32])
    }

    #[test]
    fn people_are_found_by_name_and_by_id() {
        let people = [
            (user(1), "Ann"),
            (user(2), "Ann Miller"),
            (user(3), "Ann"),
            (user(4), "ÉLAN"),
            (user(5), "-"),
        ];
        for (text, expected) in [
            ("@Ann", &[(1, "@Ann")][..]),
            ("@ann, @ANN MILLER!", &[(1, "@ann"), (2, "@ANN MILLER")]),
            ("(@Ann Millers)", &[(1, "@Ann")]),
            ("@élan", &[(4, "@élan")]),
            ("@Anna a@Ann @ Ann @", &[]),
            ("@03030303 @0303030", &[(3, "@03030303")]),
            ("@@Ann @_ @-", &[(1, "@Ann"), (5, "@-")]),
        ] {
            let found = find(text, &people);
            let found: Vec<_> = found
                .into_iter()
                .map(|m| (m.user.as_bytes()[0], text.get(m.range).unwrap()))
                .collect();
            assert_eq!(found, expected, "{text}");
        }
    }

    #[test]
    fn a_text_of_nothing_but_marks_costs_a_bounded_look() {
        let people = [(user(1), "x")];
        assert_eq!(find(&"@x ".repeat(20_000), &people).len(), PLACES_MAX);
    }

    proptest! {
        #[test]
        fn what_is_found_lies_in_order_within_the_text(text in ".{0,60}", name in "[@a-cA-C é]{0,4}") {
            let text = text.replace('b', "@").replace('c', "a");
            let people = [(user(1), name.as_str())];
            let mut last = 0;
            for mention in find(&text, &people) {
                prop_assert!(mention.range.start >= last);
                let named = text.get(mention.range.clone()).unwrap();
                let named = named.strip_prefix('@').unwrap();
                prop_assert_eq!(named.to_lowercase(), name.to_lowercase());
                last = mention.range.end;
            }
        }
    }
}
