//! Times for people: UTC, because the terminal's zone is known to no library here and a wrong guess misleads.

use crate::api::Timestamp;

/// Returns `2025-11-22 18:08` in UTC.
pub(crate) fn minute(at: Timestamp) -> String {
    let secs = at.as_ms() / 1_000;
    let (year, month, day) = civil(secs / 86_400);
    let (hour, minute) = (secs / 3_600 % 24, secs / 60 % 60);
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}")
}

/// Returns year, month and day of a day since 1970.
/// Hinnant, "chrono-compatible low-level date algorithms", `civil_from_days`.
const fn civil(days: u64) -> (u64, u64, u64) {
    let shifted = days + 719_468; // days since 0000-03-01
    let era = shifted / 146_097;
    let day_of_era = shifted % 146_097;
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 {
        month_from_march + 3
    } else {
        month_from_march - 9
    };
    let year = year_of_era + era * 400;
    (if month <= 2 { year + 1 } else { year }, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_read_as_calendars_say() {
        for (secs, text) in [
            (0, "1970-01-01 00:00"),
            (951_782_400, "2000-02-29 00:00"),
            (1_709_164_799, "2024-02-28 23:59"),
            (1_763_834_903, "2025-11-22 18:08"),
            (4_102_444_799, "2099-12-31 23:59"),
        ] {
            assert_eq!(minute(Timestamp::from_ms(secs * 1_000)), text);
        }
    }
}
