//! Durations: a number and a unit.

use std::time::Duration;

use crate::diagnostic::Problem;
use crate::keys::{DURATION_MAX_MS, Off};

/// Units with their milliseconds, the longest first.
const UNITS: &[(&str, u64)] = &[("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

/// What a duration may be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    pub(crate) off: Off,
    pub(crate) min_ms: u64,
}

/// Reads `"10s"`; `None` is `"off"`.
pub(crate) fn parse(text: &str, bounds: Bounds) -> Result<Option<Duration>, Problem> {
    if text == "off" {
        return match bounds.off {
            Off::Allowed => Ok(None),
            Off::Refused => Err(Problem::value("this cannot be off").remedy("write a duration such as `\"10s\"`")),
        };
    }
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, unit) = text.split_at(digits);
    let Some((_, scale)) = UNITS.iter().find(|(name, _)| *name == unit).filter(|_| !number.is_empty()) else {
        return Err(malformed(text, number, unit));
    };
    let ms = number.parse::<u64>().ok().and_then(|number| number.checked_mul(*scale));
    match ms {
        Some(0) => Err(zero(bounds.off)),
        Some(ms) if ms < bounds.min_ms => {
            let least = show(Duration::from_millis(bounds.min_ms));
            Err(Problem::value(format!("`{text}` is too short; the least is {least}")))
        }
        Some(ms) if ms <= DURATION_MAX_MS => Ok(Some(Duration::from_millis(ms))),
        _ => Err(Problem::value(format!("`{text}` is too long; the most is ten years"))),
    }
}

/// The problem with a number that has no unit.
pub(crate) fn bare(number: Option<i64>, off: Off) -> Problem {
    match number {
        Some(0) => zero(off),
        Some(number) => {
            Problem::value(format!("{number} has no unit")).remedy(format!("write `\"{number}s\"` or `\"{number}ms\"`"))
        }
        None => Problem::value("a duration has a unit").remedy("write `\"10s\"`"),
    }
}

fn zero(off: Off) -> Problem {
    let remedy = match off {
        Off::Allowed => "write `\"off\"` for no limit",
        Off::Refused => "write a duration such as `\"10s\"`",
    };
    Problem::value("a duration of 0 means nothing").remedy(remedy)
}

fn malformed(text: &str, number: &str, unit: &str) -> Problem {
    let trimmed = unit.trim();
    let lower = trimmed.to_lowercase();
    let known = match lower.as_str() {
        "" => Some("s"),
        "sec" | "secs" | "second" | "seconds" => Some("s"),
        "min" | "mins" | "minute" | "minutes" => Some("m"),
        "hour" | "hours" | "hr" => Some("h"),
        "day" | "days" => Some("d"),
        "msec" | "millis" => Some("ms"),
        unit => UNITS.iter().map(|(name, _)| *name).find(|name| *name == unit),
    };
    let problem = Problem::value(format!("`{text}` is not a duration"));
    match known.filter(|_| !number.is_empty()) {
        Some(unit) => problem.remedy(format!("write `\"{number}{unit}\"`")),
        None => problem.remedy("write a whole number and one of `ms`, `s`, `m`, `h`, `d`, as in `\"10s\"`"),
    }
}

/// The duration as it would be written.
pub(crate) fn show(duration: Duration) -> String {
    let ms = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    let unit = UNITS.iter().find(|(_, scale)| ms.is_multiple_of(*scale));
    unit.map_or_else(String::new, |(name, scale)| format!("{}{name}", ms / scale))
}

#[cfg(test)]
mod tests {
    use super::*;

    const OFF: Bounds = Bounds { off: Off::Allowed, min_ms: 1 };

    #[test]
    fn reads_each_unit_and_writes_it_back() {
        for (text, ms) in
            [("250ms", 250), ("10s", 10_000), ("5m", 300_000), ("1h", 3_600_000), ("180d", 15_552_000_000)]
        {
            let duration = parse(text, OFF).unwrap().unwrap();
            assert_eq!(duration, Duration::from_millis(ms));
            assert_eq!(show(duration), text);
        }
        assert_eq!(parse("off", OFF), Ok(None));
    }

    #[test]
    fn tells_how_to_write_it() {
        let remedy = |text| parse(text, OFF).unwrap_err().remedy.unwrap();
        assert_eq!(remedy("10"), "write `\"10s\"`");
        assert_eq!(remedy("10 s"), "write `\"10s\"`");
        assert_eq!(remedy("5min"), "write `\"5m\"`");
        assert_eq!(remedy("3S"), "write `\"3s\"`");
        assert_eq!(remedy("0s"), "write `\"off\"` for no limit");
        assert!(remedy("1.5s").contains("whole number"));
        assert!(remedy("s").contains("whole number"));
    }

    #[test]
    fn refuses_what_is_out_of_bounds() {
        for text in ["", "-1s", "99999999999999999999s", "18446744073709551615d", "4000d", "ms", "1sm", "Ⅷs"] {
            assert!(parse(text, OFF).is_err(), "{text}");
        }
        assert!(parse("off", Bounds { off: Off::Refused, min_ms: 1 }).is_err());
        assert!(parse("9ms", Bounds { off: Off::Allowed, min_ms: 10 }).is_err());
    }
}
