//! Named values of a request: fields, cookies, query parameters.

use std::borrow::Cow;

use wire::head::{Name, Request};

use crate::plan::FieldTest;

/// Whether the values that a name has in the request satisfy the test. Where a name occurs several times, one value
/// that fits is enough.
pub(super) fn holds<'a>(test: &FieldTest, mut values: impl Iterator<Item = Cow<'a, [u8]>>) -> bool {
    match test {
        FieldTest::Present => values.next().is_some(),
        FieldTest::Absent => values.next().is_none(),
        FieldTest::Exact(wanted) => values.any(|value| *value == *wanted.as_bytes()),
        FieldTest::Regex(pattern) => values.any(|value| pattern.regex.is_match(&value)),
    }
}

/// The values of all field lines of that name (compared without case), each line for itself.
pub(crate) fn field_values<'a>(head: &'a Request, buf: &'a [u8], name: &'a str) -> impl Iterator<Item = Cow<'a, [u8]>> {
    head.fields
        .iter()
        .filter(move |field| field.name.of(buf).eq_ignore_ascii_case(name.as_bytes()))
        .map(move |field| Cow::Borrowed(field.value.of(buf)))
}

/// The values of all cookies of that name, as they were written (RFC 6265, section 4.2.1); HTTP/2 may send one line for
/// each (RFC 9113, section 8.2.3).
pub(crate) fn cookie_values<'a>(
    head: &'a Request,
    buf: &'a [u8],
    name: &'a str,
) -> impl Iterator<Item = Cow<'a, [u8]>> {
    head.fields
        .iter()
        .filter(|field| field.known == Name::Cookie)
        .flat_map(move |field| field.value.of(buf).split(|&b| b == b';'))
        .map(|pair| cut(pair.trim_ascii(), b'='))
        .filter(move |(own, _)| own.trim_ascii_end() == name.as_bytes())
        .map(|(_, value)| Cow::Borrowed(value.trim_ascii_start()))
}

/// The decoded values of all query parameters of that name. A parameter without `=` has the empty value.
pub(crate) fn query_values<'a>(query: &'a [u8], name: &'a str) -> impl Iterator<Item = Cow<'a, [u8]>> {
    query
        .split(|&b| b == b'&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| cut(pair, b'='))
        .filter(move |(own, _)| Decoded(own).eq(name.bytes()))
        .map(|(_, value)| decode(value))
}

fn cut(pair: &[u8], at: u8) -> (&[u8], &[u8]) {
    match pair.iter().position(|&b| b == at) {
        Some(i) => (&pair[..i], &pair[i + 1..]),
        None => (pair, &[]),
    }
}

fn decode(written: &[u8]) -> Cow<'_, [u8]> {
    if written.iter().any(|b| matches!(b, b'%' | b'+')) {
        Cow::Owned(Decoded(written).collect())
    } else {
        Cow::Borrowed(written)
    }
}

/// Bytes of a form-encoded text: `+` is a space, `%41` is `A`, a `%` without two hex digits is itself.
struct Decoded<'a>(&'a [u8]);

impl Iterator for Decoded<'_> {
    type Item = u8;

    fn next(&mut self) -> Option<u8> {
        let (&first, rest) = self.0.split_first()?;
        if first == b'%'
            && let [high, low, after @ ..] = rest
            && let (Some(high), Some(low)) = (hex(*high), hex(*low))
        {
            self.0 = after;
            return Some(high << 4 | low);
        }
        self.0 = rest;
        Some(if first == b'+' { b' ' } else { first })
    }
}

fn hex(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(query: &str, name: &str) -> Vec<String> {
        query_values(query.as_bytes(), name).map(|value| String::from_utf8_lossy(&value).into_owned()).collect()
    }

    #[test]
    fn query_parameters_are_decoded() {
        assert_eq!(values("a=1&b=2&a=3", "a"), ["1", "3"]);
        assert_eq!(values("q=caf%C3%A9+noir", "q"), ["café noir"]);
        assert_eq!(values("%61=x", "a"), ["x"]);
        assert_eq!(values("a+b=x", "a b"), ["x"]);
        assert_eq!(values("a=1=2", "a"), ["1=2"]);
    }

    #[test]
    fn a_parameter_without_value_is_there_and_empty() {
        assert_eq!(values("debug", "debug"), [""]);
        assert_eq!(values("debug=", "debug"), [""]);
        assert!(values("", "").is_empty());
        assert!(values("&&", "").is_empty());
    }

    #[test]
    fn a_broken_escape_is_itself() {
        for text in ["%", "%4", "%zz", "100%", "%%34"] {
            let wanted = if text == "%%34" { "%4" } else { text };
            assert_eq!(values(&format!("a={text}"), "a"), [wanted]);
        }
    }

    #[test]
    fn nothing_is_copied_where_nothing_is_encoded() {
        assert!(matches!(decode(b"plain-value"), Cow::Borrowed(_)));
        assert!(matches!(decode(b"a+b"), Cow::Owned(_)));
    }
}
