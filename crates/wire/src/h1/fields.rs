//! Field lines (RFC 9112, section 5): finding, checking and marking them.
//!
//! Owns the syntax of a line and which fields go no further than this connection. What single fields mean for framing and
//! persistence belongs to [`super::facts`].

use super::facts::Facts;
use super::{Refusal, Stop, bad};
use crate::grammar::{
    after_letters_and_hyphens, after_printable_ascii, after_text, after_token, list, trimmed_end, trimmed_start,
};
use crate::head::{Field, Name, Span};

/// A field line and what follows it.
pub(super) struct Line<'a> {
    name: &'a [u8],
    /// What follows the colon and the white space behind it.
    from_value: &'a [u8],
    value: &'a [u8],
    /// The next lines.
    pub(super) rest: &'a [u8],
}

impl Line<'_> {
    /// The field in `buf`, at whose end the line was found, with all that follows it.
    #[inline(always)]
    pub(super) fn field(&self, buf: &[u8], line: &[u8]) -> Field {
        let start = buf.len() - line.len();
        let value = buf.len() - self.from_value.len();
        let known = Name::of(self.name);
        Field {
            name: Span::new(start, start + self.name.len()),
            value: Span::new(value, value + self.value.len()),
            known,
            hop_by_hop: known != Name::Other && known.is_hop_by_hop(),
        }
    }
}

/// Reads all field lines from `at` on and returns where the head ends.
#[inline(never)]
pub(super) fn read_fields(
    buf: &[u8],
    at: usize,
    limit: usize,
    fields: &mut Vec<Field>,
    facts: &mut Facts,
) -> Result<usize, Stop> {
    let mut rest = &buf[at..];
    loop {
        let line = match plain_line(rest) {
            Some(line) => line,
            None if rest.starts_with(LINE_END) => return Ok(buf.len() - rest.len() + LINE_END.len()),
            None => other_line(rest)?,
        };
        if fields.len() == limit {
            return Err(Refusal { status: 431, why: "too many field lines" }.into());
        }
        let field = line.field(buf, rest);
        if field.known != Name::Other {
            facts.note(field.known, field.value, line.value)?;
        }
        fields.push(field);
        rest = line.rest;
    }
}

/// Ends a line, and alone the section.
pub(super) const LINE_END: &[u8] = b"\r\n";

/// Reads one line of a field section; none if it is the empty line that ends the section.
#[inline(always)]
pub(super) fn next_line(bytes: &[u8]) -> Result<Option<Line<'_>>, Stop> {
    match plain_line(bytes) {
        Some(line) => Ok(Some(line)),
        None if bytes.starts_with(LINE_END) => Ok(None),
        None => other_line(bytes).map(Some),
    }
}

/// The line if it is what nearly all are: a name of letters and hyphens, a colon and a space, printable ASCII, CRLF.
#[inline(always)]
fn plain_line(bytes: &[u8]) -> Option<Line<'_>> {
    let colon = after_letters_and_hyphens(bytes);
    let name = &bytes[..bytes.len() - colon.len()];
    let from_value = colon.strip_prefix(b": ")?;
    let line_end = after_printable_ascii(bytes);
    let rest = line_end.strip_prefix(LINE_END)?;
    let value = from_value.get(..from_value.len().wrapping_sub(line_end.len()))?;
    let (first, last) = (value.first()?, value.last()?);
    if name.is_empty() || *first == b' ' || *last == b' ' {
        return None;
    }
    Some(Line { name, from_value, value, rest })
}

/// A line of any look, but not the empty one.
#[inline(never)]
fn other_line(bytes: &[u8]) -> Result<Line<'_>, Stop> {
    let after_name = after_token(bytes);
    let name = &bytes[..bytes.len() - after_name.len()];
    let [b':', after_colon @ ..] = after_name else { return Err(no_colon(name, after_name)) };
    if name.is_empty() {
        return Err(bad("empty field name"));
    }
    let from_value = trimmed_start(after_colon);
    let after_value = after_text(from_value);
    let rest = after_line_end(after_value, "control character in a field value")?;
    let value = trimmed_end(&from_value[..from_value.len() - after_value.len()]);
    Ok(Line { name, from_value, value, rest })
}

/// Why no colon follows the name, which may be empty.
#[cold]
fn no_colon(name: &[u8], after_name: &[u8]) -> Stop {
    match after_name {
        [] => Stop::Partial,
        [b'\r' | b'\n', ..] if name.is_empty() => no_line_end(after_name, ""),
        [b' ' | b'\t', ..] if name.is_empty() => bad("line folding or white space before a field name"),
        [b' ' | b'\t', ..] => bad("white space before the colon of a field"),
        [b'\r' | b'\n', ..] => bad("field line without a colon"),
        _ => bad("invalid character in a field name"),
    }
}

/// What follows the line end that must be at the front of `bytes`. `control` says what a control character there would be.
#[inline(always)]
pub(super) fn after_line_end<'a>(bytes: &'a [u8], control: &'static str) -> Result<&'a [u8], Stop> {
    bytes.strip_prefix(LINE_END).ok_or_else(|| no_line_end(bytes, control))
}

/// Why no line ends at the front of `bytes`.
#[cold]
fn no_line_end(bytes: &[u8], control: &'static str) -> Stop {
    match bytes {
        [] | [b'\r'] => Stop::Partial,
        [b'\r', ..] => bad("bare CR"),
        [b'\n', ..] => bad("bare LF as line end"),
        _ => bad(control),
    }
}

/// Marks the fields that `Connection` options name (RFC 9110, section 7.6.1). The number of options is bounded by
/// [`Facts`], so that this cannot be made slow.
#[cold]
pub(super) fn mark_named_by_connection(buf: &[u8], fields: &mut [Field]) {
    for at in 0..fields.len() {
        if fields[at].known != Name::Connection {
            continue;
        }
        for option in list(fields[at].value.of(buf)).filter(|option| !is_protected(option)) {
            for field in fields.iter_mut().filter(|f| f.name.of(buf).eq_ignore_ascii_case(option)) {
                field.hop_by_hop = true;
            }
        }
    }
}

/// Fields that a `Connection` option may not remove: with them gone, the backend would see another request, or one
/// without the client's credentials or the address that proxies vouch for.
fn is_protected(option: &[u8]) -> bool {
    const FORWARDED: &[u8] = b"x-forwarded-";
    let known = matches!(
        Name::of(option),
        Name::Host | Name::ContentLength | Name::Cookie | Name::XRequestId | Name::Via | Name::Forwarded
    );
    let start = &option[..option.len().min(FORWARDED.len())];
    known || option.eq_ignore_ascii_case(b"authorization") || start.eq_ignore_ascii_case(FORWARDED)
}
