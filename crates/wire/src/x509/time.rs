//! Points in time: UTCTime and GeneralizedTime, as RFC 5280 allows them.

use super::der::Der;

const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
const DAY_S: i64 = 24 * 60 * 60;

/// The next element as seconds since 1970.
pub(super) fn next(der: &mut Der<'_>) -> Option<i64> {
    let (tag, text) = der.next()?;
    let (year, rest) = match tag {
        // RFC 5280, section 4.1.2.5.1: two digits are 1950 to 2049.
        UTC_TIME => {
            let (year, rest) = digits(text, 2)?;
            (if year < 50 { 2000 + year } else { 1900 + year }, rest)
        }
        GENERALIZED_TIME => digits(text, 4)?,
        _ => return None,
    };
    let (month, rest) = digits(rest, 2)?;
    let (day, rest) = digits(rest, 2)?;
    let (hour, rest) = digits(rest, 2)?;
    let (minute, rest) = digits(rest, 2)?;
    let (second, rest) = digits(rest, 2)?;
    let is_real = (1..=12).contains(&month) && (1..=31).contains(&day) && hour < 24 && minute < 60 && second <= 60;
    let is_utc = rest.last() == Some(&b'Z');
    (is_real && is_utc).then(|| days(year, month, day) * DAY_S + hour * 3600 + minute * 60 + second)
}

fn digits(text: &[u8], count: usize) -> Option<(i64, &[u8])> {
    let (number, rest) = text.split_at_checked(count)?;
    number.iter().all(u8::is_ascii_digit).then_some(())?;
    Some((number.iter().fold(0, |number, digit| number * 10 + i64::from(digit - b'0')), rest))
}

/// Days from 1970 to a date of the Gregorian calendar; years begin in March, so that the leap day comes last.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let (year, month) = if month < 3 { (year - 1, month + 9) } else { (year, month - 3) };
    let of_year = (153 * month + 2) / 5 + day - 1;
    year * 365 + year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400) + of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    fn utc(text: &str) -> Option<i64> {
        let mut bytes = vec![if text.len() > 13 { GENERALIZED_TIME } else { UTC_TIME }, 0];
        bytes[1] = u8::try_from(text.len()).unwrap();
        bytes.extend_from_slice(text.as_bytes());
        next(&mut Der::new(&bytes))
    }

    #[test]
    fn both_forms_are_read() {
        assert_eq!(utc("700101000000Z"), Some(0));
        assert_eq!(utc("000229120000Z"), Some(951_825_600));
        assert_eq!(utc("500101000000Z"), Some(-631_152_000));
        assert_eq!(utc("20500101000000Z"), Some(2_524_608_000));
    }

    #[test]
    fn what_is_no_time_is_none() {
        for text in ["", "7001", "701301000000Z", "700132000000Z", "700101240000Z", "700101000000+", "7001010000xxZ"] {
            assert_eq!(utc(text), None, "{text}");
        }
    }
}
