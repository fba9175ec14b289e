//! Lengths of time as people write them: `10m`, `2h`, `7d`.

use std::time::Duration;

/// The longest length of time that makes sense anywhere here: ten years, in seconds.
const SECS_MAX: u64 = 3_650 * 86_400;

/// Why a text is not a length of time.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum DurationError {
    /// Not a number with a unit.
    #[error(
        "{text:?} is not a length of time: write a number and a unit, like 30s, 10m, 2h, 7d or 4w"
    )]
    Form {
        /// What was given.
        text: String,
    },
    /// More than ten years.
    #[error("{text:?} is too long: ten years at most")]
    TooLong {
        /// What was given.
        text: String,
    },
}

/// Reads a length of time: a whole number and one of `s`, `m`, `h`, `d`, `w`; not zero.
///
/// # Errors
/// For anything else, and for more than ten years.
pub(crate) fn parse(text: &str) -> Result<Duration, DurationError> {
    let form = || DurationError::Form {
        text: text.to_owned(),
    };
    let number = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit: u64 = match text.strip_prefix(number) {
        Some("s") => 1,
        Some("m") => 60,
        Some("h") => 3_600,
        Some("d") => 86_400,
        Some("w") => 7 * 86_400,
        _ => return Err(form()),
    };
    if number.is_empty() || !number.bytes().all(|b| b.is_ascii_digit()) {
        return Err(form());
    }
    // only digits: what fails to parse is too large
    let count = number.parse::<u64>().unwrap_or(u64::MAX);
    if count == 0 {
        return Err(form());
    }
    match count.checked_mul(unit) {
        Some(secs) if secs <= SECS_MAX => Ok(Duration::from_secs(secs)),
        _ => Err(DurationError::TooLong {
            text: text.to_owned(),
        }),
    }
}

/// Writes seconds with the largest unit up to days that leaves no rest: 90 is `90s`, 7200 is `2h`.
pub(crate) fn words(secs: u64) -> String {
    for (unit, letter) in [(86_400, 'd'), (3_600, 'h'), (60, 'm')] {
        if secs >= unit && secs.is_multiple_of(unit) {
            return format!("{}{letter}", secs / unit);
        }
    }
    format!("{secs}s")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_with_units_are_read_and_written_back() {
        for (text, secs) in [
            ("1s", 1),
            ("90s", 90),
            ("10m", 600),
            ("2h", 7_200),
            ("6d", 518_400),
            ("14d", 1_209_600),
        ] {
            assert_eq!(parse(text), Ok(Duration::from_secs(secs)), "{text}");
            assert_eq!(words(secs), text);
        }
        assert_eq!(parse("2w"), parse("14d"));
    }

    #[test]
    fn anything_else_is_refused_with_the_text_in_the_message() {
        for text in [
            "", "m", "10", "10 m", "-1m", "1.5h", "0m", "10M", "10mm", "ten", "1h30m", "５m", "+5m",
        ] {
            assert!(
                matches!(parse(text), Err(DurationError::Form { .. })),
                "{text:?}"
            );
        }
        for text in ["3651d", "99999999999999999999999s", "18446744073709551615w"] {
            assert!(
                matches!(parse(text), Err(DurationError::TooLong { .. })),
                "{text:?}"
            );
        }
    }
}
