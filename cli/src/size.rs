//! Amounts of bytes as people write them: `500M`, `10G`.

/// Why a text is not an amount of bytes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not an amount of bytes: write a number and a unit, like 64K, 500M, 10G or 2T")]
pub(crate) struct SizeError {
    text: String,
}

/// Reads an amount of bytes: a whole number, not zero, and one of `K`, `M`, `G`, `T`, each
/// 1024 times the one before; without a unit, bytes.
///
/// # Errors
/// For anything else, and for more than fits.
pub(crate) fn parse(text: &str) -> Result<u64, SizeError> {
    let wrong = || SizeError {
        text: text.to_owned(),
    };
    let number = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit: u64 = match text.strip_prefix(number) {
        Some("") => 1,
        Some("K" | "k") => 1 << 10,
        Some("M") => 1 << 20,
        Some("G") => 1 << 30,
        Some("T") => 1 << 40,
        _ => return Err(wrong()),
    };
    if !number.bytes().all(|b| b.is_ascii_digit()) {
        return Err(wrong());
    }
    let count: u64 = number.parse().map_err(|_not_a_number| wrong())?;
    match count.checked_mul(unit) {
        Some(bytes) if bytes > 0 => Ok(bytes),
        _ => Err(wrong()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_with_units_are_read_and_nothing_else() {
        for (text, bytes) in [
            ("1", 1),
            ("64K", 65_536),
            ("500M", 500 << 20),
            ("2T", 2 << 40),
        ] {
            assert_eq!(parse(text), Ok(bytes), "{text}");
        }
        for text in ["", "G", "0", "-1", "+1", "1.5G", "1 G", "1GB", "99999999T"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
