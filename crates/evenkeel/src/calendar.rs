//! Times and ages for people.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

/// How long ago a Unix time in milliseconds is, from now.
pub(crate) fn age(since_ms: u64, now: SystemTime) -> String {
    let now_ms = now.duration_since(UNIX_EPOCH).unwrap_or_default();
    span(now_ms.saturating_sub(Duration::from_millis(since_ms)))
}

/// A duration in its two largest units: `3 d 4 h`, `12 min 5 s`, `7 s`.
pub(crate) fn span(duration: Duration) -> String {
    let s = duration.as_secs();
    let two = |large: u64, large_unit: &str, small: u64, small_unit: &str| match small {
        0 => format!("{large} {large_unit}"),
        small => format!("{large} {large_unit} {small} {small_unit}"),
    };
    match s {
        0..MINUTE => format!("{s} s"),
        MINUTE..HOUR => two(s / MINUTE, "min", s % MINUTE, "s"),
        HOUR..DAY => two(s / HOUR, "h", s % HOUR / MINUTE, "min"),
        _ => two(s / DAY, "d", s % DAY / HOUR, "h"),
    }
}

/// A Unix time in milliseconds as `2026-11-20 13:17:03.042Z`.
pub(crate) fn utc(unix_ms: u64) -> String {
    let (s, ms) = (unix_ms / 1000, unix_ms % 1000);
    let (year, month, day) = date(s / DAY);
    let (hour, minute, second) = (s % DAY / HOUR, s % HOUR / MINUTE, s % MINUTE);
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}.{ms:03}Z")
}

/// Year, month and day of a number of days after 1970-01-01, in the Gregorian calendar.
///
/// Years are counted from March, so that the leap day is the last of its year; 400 years have 146,097 days.
fn date(days: u64) -> (u64, u64, u64) {
    /// From 0000-03-01 to 1970-01-01.
    const TO_1970: u64 = 719_468;
    const DAYS_OF_400_YEARS: u64 = 146_097;
    let days = days + TO_1970;
    let (era, day_of_era) = (days / DAYS_OF_400_YEARS, days % DAYS_OF_400_YEARS);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    // From March, five months have 153 days.
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    (era * 400 + year_of_era + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_follow_each_other_through_leap_years() {
        let leap = |year: u64| year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
        let mut expected = (1970, 1, 1);
        for day in 0..200 * 366 {
            assert_eq!(date(day), expected);
            let (year, month, of_month) = expected;
            let length = match month {
                2 if leap(year) => 29,
                2 => 28,
                4 | 6 | 9 | 11 => 30,
                _ => 31,
            };
            expected = match (of_month == length, month == 12) {
                (false, _) => (year, month, of_month + 1),
                (true, false) => (year, month + 1, 1),
                (true, true) => (year + 1, 1, 1),
            };
        }
    }

    #[test]
    fn times_are_utc() {
        assert_eq!(utc(0), "1970-01-01 00:00:00.000Z");
        assert_eq!(utc(1_795_181_199_270), "2026-11-20 13:26:39.270Z");
    }

    #[test]
    fn spans_have_two_units() {
        for (s, expected) in
            [(0, "0 s"), (59, "59 s"), (60, "1 min"), (725, "12 min 5 s"), (7_260, "2 h 1 min"), (273_600, "3 d 4 h")]
        {
            assert_eq!(span(Duration::from_secs(s)), expected);
        }
    }

    #[test]
    fn what_is_to_come_has_no_age() {
        assert_eq!(age(5_000, UNIX_EPOCH), "0 s");
        assert_eq!(age(5_000, UNIX_EPOCH + Duration::from_secs(12)), "7 s");
    }
}
