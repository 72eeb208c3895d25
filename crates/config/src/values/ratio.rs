//! Ratios: numbers with at most two decimals, kept in hundredths.

use crate::diagnostic::Problem;

/// Reads `1.25` or `2` as it is written in TOML.
pub(crate) fn parse(text: &str, bounds: std::ops::RangeInclusive<u16>) -> Result<u16, Problem> {
    let range = format!("from {} to {}", show(*bounds.start()), show(*bounds.end()));
    let Some(hundredths) = text.trim().replace('_', "").parse::<f64>().ok().map(|number| number * 100.0) else {
        return Err(Problem::value(format!("`{text}` is not a number")).remedy(format!("write a number {range}")));
    };
    if !(f64::from(*bounds.start())..=f64::from(*bounds.end())).contains(&hundredths.round()) {
        return Err(Problem::value(format!("{text} is out of bounds")).remedy(format!("write a number {range}")));
    }
    // Decimals have no exact binary form.
    if (hundredths - hundredths.round()).abs() > 1e-6 {
        return Err(Problem::value(format!("{text} has more than two decimals")).remedy("round it"));
    }
    Ok(bounds.into_iter().find(|known| f64::from(*known) >= hundredths.round()).unwrap_or_default())
}

/// The ratio as it would be written.
pub(crate) fn show(hundredths: u16) -> String {
    match (hundredths / 100, hundredths % 100) {
        (whole, 0) => whole.to_string(),
        (whole, part) if part % 10 == 0 => format!("{whole}.{}", part / 10),
        (whole, part) => format!("{whole}.{part:02}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_hundredths_and_writes_them_back() {
        for (text, hundredths) in [("1.25", 125), ("1.01", 101), ("2", 200), ("2.5", 250), ("1.1", 110), ("10", 1000)] {
            assert_eq!(parse(text, 101..=1000), Ok(hundredths));
            assert_eq!(show(hundredths), text);
        }
        assert_eq!(parse("1_0.0", 101..=1000), Ok(1000));
    }

    #[test]
    fn refuses_what_is_no_such_number() {
        for text in ["1", "1.004", "10.01", "-1.25", "1.255", "inf", "nan", "x", ""] {
            assert!(parse(text, 101..=1000).is_err(), "{text}");
        }
    }
}
