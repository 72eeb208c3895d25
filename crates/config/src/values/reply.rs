//! What a probe says and what it wants to hear: bytes, and ranges of statuses.

use crate::diagnostic::Problem;

/// Reads text with escapes as bytes: `\r`, `\n`, `\t`, `\0`, `\xHH`, `\\`.
pub(crate) fn bytes(text: &str) -> Result<Vec<u8>, Problem> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        if *first != b'\\' {
            bytes.push(*first);
            continue;
        }
        let (byte, after) = escaped(rest).ok_or_else(|| unknown_escape(rest))?;
        bytes.push(byte);
        rest = after;
    }
    Ok(bytes)
}

fn unknown_escape(rest: &[u8]) -> Problem {
    let letter = String::from_utf8_lossy(rest).chars().next().map(String::from).unwrap_or_default();
    Problem::value(format!("`\\{letter}` stands for no byte"))
        .remedy("known are `\\r`, `\\n`, `\\t`, `\\0`, `\\xHH`, and `\\\\` for the sign itself")
}

/// The byte after a backslash, and what follows it.
fn escaped(text: &[u8]) -> Option<(u8, &[u8])> {
    let (letter, rest) = text.split_first()?;
    let byte = match letter {
        b'r' => b'\r',
        b'n' => b'\n',
        b't' => b'\t',
        b'0' => 0,
        b'\\' => b'\\',
        b'x' => {
            let (digits, rest) = rest.split_at_checked(2)?;
            let value = |digit: u8| char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok());
            return Some(((value(digits[0])? << 4) | value(digits[1])?, rest));
        }
        _ => return None,
    };
    Some((byte, rest))
}

/// Reads `"200-299"` or `"200"`.
pub(crate) fn statuses(text: &str) -> Result<(u16, u16), Problem> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    match (first.trim().parse(), last.trim().parse()) {
        (Ok(first), Ok(last)) if 200 <= first && first <= last && last <= 599 => Ok((first, last)),
        _ => Err(Problem::value(format!("`{text}` is not a range of statuses"))
            .remedy("write for instance `\"200-299\"`, within 200 and 599")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_stand_for_bytes() {
        assert_eq!(bytes(r"PING\r\n").unwrap(), b"PING\r\n");
        assert_eq!(bytes(r"\x00\xfF\\\t\0").unwrap(), [0, 255, b'\\', b'\t', 0]);
        assert_eq!(bytes("plain ß").unwrap(), "plain ß".as_bytes());
        for text in ["\\", r"\q", r"\x", r"\x1", r"\xgg", r"\ß"] {
            assert!(bytes(text).is_err(), "{text}");
        }
    }

    #[test]
    fn ranges_hold_both_ends() {
        assert_eq!(statuses("200-299").unwrap(), (200, 299));
        assert_eq!(statuses("204").unwrap(), (204, 204));
        for text in ["", "-", "299-200", "100-200", "200-600", "2xx", "200-299-300"] {
            assert!(statuses(text).is_err(), "{text}");
        }
    }
}
