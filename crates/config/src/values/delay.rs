//! When a second attempt begins: a percentile or a time.

use policy::plan::HedgeAfter;

use super::duration::{self, Bounds};
use crate::diagnostic::Problem;
use crate::keys::Off;

/// Percentiles that may be written, in thousandths.
const PERMILLE: std::ops::RangeInclusive<u16> = 500..=999;

/// Reads `"p95"`, `"p99.9"` or `"200ms"`.
pub(crate) fn parse(text: &str) -> Result<HedgeAfter, Problem> {
    let Some(percentile) = text.strip_prefix('p') else {
        let time = duration::parse(text, Bounds { off: Off::Refused, min_ms: 1 });
        return match time {
            Ok(Some(time)) => Ok(HedgeAfter::Time(time)),
            Ok(None) => Err(malformed(text)),
            Err(problem) => Err(Problem { remedy: Some(REMEDY.to_owned()), ..problem }),
        };
    };
    let (whole, tenth) = percentile.split_once('.').unwrap_or((percentile, "0"));
    let is_number = |text: &str, digits| text.len() == digits && text.bytes().all(|byte| byte.is_ascii_digit());
    if !is_number(whole, 2) || !is_number(tenth, 1) {
        return Err(malformed(text));
    }
    let permille = format!("{whole}{tenth}").parse().ok().filter(|permille| PERMILLE.contains(permille));
    permille.map(HedgeAfter::Permille).ok_or_else(|| malformed(text))
}

const REMEDY: &str = "write a time such as `\"200ms\"`, or a percentile from `\"p50\"` to `\"p99.9\"`";

fn malformed(text: &str) -> Problem {
    Problem::value(format!("`{text}` is neither a time nor a percentile")).remedy(REMEDY)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn times_and_percentiles_are_read() {
        assert_eq!(parse("200ms"), Ok(HedgeAfter::Time(Duration::from_millis(200))));
        assert_eq!(parse("p50"), Ok(HedgeAfter::Permille(500)));
        assert_eq!(parse("p95"), Ok(HedgeAfter::Permille(950)));
        assert_eq!(parse("p99.9"), Ok(HedgeAfter::Permille(999)));
    }

    #[test]
    fn all_else_is_refused_with_both_ways() {
        for text in
            ["", "p", "p5", "p49", "p49.9", "p100", "p99.99", "p9x", "p-1", "p95%", "95", "0ms", "off", "p+5", "P95"]
        {
            let problem = parse(text).expect_err(text);
            assert_eq!(problem.remedy.as_deref(), Some(REMEDY), "{text}");
        }
    }
}
