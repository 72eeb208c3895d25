//! Sizes: a number of bytes with a unit.

use crate::diagnostic::Problem;
use crate::keys::Off;

/// Units with their bytes, the biggest first.
const UNITS: &[(&str, u64)] = &[
    ("GiB", 1 << 30),
    ("GB", 1_000_000_000),
    ("MiB", 1 << 20),
    ("MB", 1_000_000),
    ("KiB", 1 << 10),
    ("KB", 1_000),
    ("B", 1),
];

/// What a size may be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    pub(crate) off: Off,
    pub(crate) min: u64,
    pub(crate) max: u64,
}

/// Reads `"32KiB"`; `None` is `"off"`.
pub(crate) fn parse(text: &str, bounds: Bounds) -> Result<Option<u64>, Problem> {
    if text == "off" {
        return match bounds.off {
            Off::Allowed => Ok(None),
            Off::Refused => Err(Problem::value("this cannot be off").remedy("write a size such as `\"32KiB\"`")),
        };
    }
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, unit) = text.split_at(digits);
    let Some((_, scale)) = UNITS.iter().find(|(name, _)| *name == unit).filter(|_| !number.is_empty()) else {
        return Err(malformed(text, number, unit));
    };
    match number.parse::<u64>().ok().and_then(|number| number.checked_mul(*scale)) {
        Some(0) => Err(zero(bounds.off)),
        Some(bytes) if bytes < bounds.min => {
            Err(Problem::value(format!("`{text}` is too small; the least is {}", show(bounds.min))))
        }
        Some(bytes) if bytes <= bounds.max => Ok(Some(bytes)),
        _ => Err(Problem::value(format!("`{text}` is too big; the most is {}", show(bounds.max)))),
    }
}

/// The problem with a number that has no unit.
pub(crate) fn bare(number: Option<i64>, off: Off) -> Problem {
    match number {
        Some(0) => zero(off),
        Some(number) => Problem::value(format!("{number} has no unit"))
            .remedy(format!("write `\"{number}B\"` or `\"{number}KiB\"`")),
        None => Problem::value("a size has a unit").remedy("write `\"32KiB\"`"),
    }
}

fn zero(off: Off) -> Problem {
    let remedy = match off {
        Off::Allowed => "write `\"off\"`",
        Off::Refused => "write a size such as `\"32KiB\"`",
    };
    Problem::value("a size of 0 means nothing").remedy(remedy)
}

fn malformed(text: &str, number: &str, unit: &str) -> Problem {
    let lower = unit.trim().to_lowercase();
    let known = match lower.as_str() {
        "" | "byte" | "bytes" => Some("B"),
        "k" | "ki" => Some("KiB"),
        "m" | "mi" => Some("MiB"),
        "g" | "gi" => Some("GiB"),
        unit => UNITS.iter().map(|(name, _)| *name).find(|name| name.to_lowercase() == unit),
    };
    let problem = Problem::value(format!("`{text}` is not a size"));
    match known.filter(|_| !number.is_empty()) {
        Some(unit) => problem.remedy(format!("write `\"{number}{unit}\"`")),
        None => problem.remedy("write a whole number and one of `B`, `KB`, `KiB`, `MB`, `MiB`, `GB`, `GiB`"),
    }
}

/// The size as it would be written.
pub(crate) fn show(bytes: u64) -> String {
    let unit = UNITS.iter().find(|(_, scale)| bytes.is_multiple_of(*scale));
    unit.map_or_else(String::new, |(name, scale)| format!("{}{name}", bytes / scale))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANY: Bounds = Bounds { off: Off::Allowed, min: 1, max: u64::MAX };

    #[test]
    fn reads_each_unit_and_writes_it_back() {
        for (text, bytes) in [("7B", 7), ("64KB", 64_000), ("32KiB", 32_768), ("1MiB", 1 << 20), ("3GB", 3_000_000_000)]
        {
            assert_eq!(parse(text, ANY), Ok(Some(bytes)));
            assert_eq!(show(bytes), text);
        }
    }

    #[test]
    fn tells_how_to_write_it() {
        let remedy = |text| parse(text, ANY).unwrap_err().remedy.unwrap();
        assert_eq!(remedy("32k"), "write `\"32KiB\"`");
        assert_eq!(remedy("32kib"), "write `\"32KiB\"`");
        assert_eq!(remedy("32"), "write `\"32B\"`");
        assert_eq!(remedy("0B"), "write `\"off\"`");
    }

    #[test]
    fn refuses_what_is_out_of_bounds() {
        let narrow = Bounds { off: Off::Refused, min: 1024, max: 2048 };
        for text in ["off", "1B", "3KiB", "KiB", "-1KiB", "99999999999999999999B", "99999999999GiB"] {
            assert!(parse(text, narrow).is_err(), "{text}");
        }
    }
}
