//! Times as people read them, in the time zone of this machine.

use jiff::ZonedDateTime;
use jiff::tz::TimeZone;

use crate::api::Timestamp;
use crate::text;

/// Days since 1970 in local time, to tell where a day ends.
pub(crate) fn day(time: Timestamp) -> i64 {
    let local = local(time);
    let date = local.date();
    i64::from(date.year()) * 400 + i64::from(date.day_of_year())
}

/// The hour: `14:05`.
pub(crate) fn hour(time: Timestamp) -> String {
    local(time).strftime("%H:%M").to_string()
}

/// A day as a heading: `Today`, `Yesterday`, `Monday, 23 November 2026`.
pub(crate) fn day_heading(time: Timestamp, now: Timestamp) -> String {
    match days_between(time, now) {
        Some(0) => text::t("day-today"),
        Some(1) => text::t("day-yesterday"),
        _ => local(time).strftime("%A, %-d %B %Y").to_string(),
    }
}

/// The moment in full.
pub(crate) fn full(time: Timestamp) -> String {
    local(time).strftime("%A, %-d %B %Y, %H:%M:%S").to_string()
}

/// A short moment: the hour today, else the day.
pub(crate) fn short(time: Timestamp, now: Timestamp) -> String {
    match days_between(time, now) {
        Some(0) => hour(time),
        Some(1) => text::t("day-yesterday"),
        _ => local(time).strftime("%-d %b %Y").to_string(),
    }
}

/// How long ago: `now`, `5 min`, `3 h`, `2 d`, then the date.
pub(crate) fn ago(time: Timestamp, now: Timestamp) -> String {
    let seconds = now.as_ms().saturating_sub(time.as_ms()) / 1_000;
    let whole = |n: u64| usize::try_from(n).unwrap_or(usize::MAX);
    match seconds {
        0..=59 => text::t("ago-now"),
        60..=3_599 => text::count("ago-minutes", whole(seconds / 60)),
        3_600..=86_399 => text::count("ago-hours", whole(seconds / 3_600)),
        86_400..=604_799 => text::count("ago-days", whole(seconds / 86_400)),
        _ => local(time).strftime("%-d %b %Y").to_string(),
    }
}

/// The clock of this machine: what is shown as "today" depends on it, and nothing else does.
#[expect(clippy::disallowed_methods, reason = "the shell shows what time it is")]
pub(crate) fn now() -> Timestamp {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    Timestamp::from_ms(since.map_or(0, |d| u64::try_from(d.as_millis()).unwrap_or(u64::MAX)))
}

fn days_between(time: Timestamp, now: Timestamp) -> Option<i32> {
    let days = local(now).date().since(local(time).date()).ok()?;
    Some(days.get_days())
}

fn local(time: Timestamp) -> ZonedDateTime {
    let ms = i64::try_from(time.as_ms()).unwrap_or(i64::MAX);
    jiff::Timestamp::from_millisecond(ms)
        .unwrap_or_default()
        .to_zoned_datetime(TimeZone::system())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_told_as_people_tell_them() {
        let at = Timestamp::from_ms;
        let now = 1_780_000_000_000;
        for (before_s, expected) in [(5, "now"), (125, "2 min"), (7_300, "2 h"), (90_000, "1 d")] {
            assert_eq!(ago(at(now - before_s * 1_000), at(now)), expected);
        }
        assert_eq!(day(at(now)), day(at(now)));
        assert_ne!(day(at(now)), day(at(now + 86_400_000)));
        assert_eq!(day_heading(at(now), at(now)), text::t("day-today"));
    }
}
