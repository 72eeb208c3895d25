//! Field lines (RFC 9112, section 5): finding, checking and marking them.
//!
//! Owns the syntax of a line and which fields go no further than this connection. What single fields mean for framing and
//! persistence belongs to [`super::facts`].

use super::facts::Facts;
use super::{Refusal, Stop, bad};
use crate::grammar::{after_token, list, trimmed_end, trimmed_start};
use crate::head::{Field, Name, Span};
use crate::scan::{after_letters_and_hyphens, after_printable_ascii, after_text};

/// Ends a line, and alone the section.
const LINE_END: &[u8] = b"\r\n";

/// A field line, cut into pieces.
pub(super) struct Line<'a> {
    name: &'a [u8],
    value: &'a [u8],
    /// The value and all that follows it.
    from_value: &'a [u8],
    /// What follows the line.
    pub(super) rest: &'a [u8],
}

impl Line<'_> {
    /// The field with its place in `buf`, whose last bytes are `bytes`, at the front of which is this line.
    #[inline(always)]
    pub(super) fn field(&self, buf: &[u8], bytes: &[u8]) -> Field {
        let name = buf.len() - bytes.len();
        let value = buf.len() - self.from_value.len();
        let known = Name::of(self.name);
        Field {
            name: Span::new(name, name + self.name.len()),
            value: Span::new(value, value + self.value.len()),
            known,
            hop_by_hop: known != Name::Other && known.is_hop_by_hop(),
            never_indexed: false,
        }
    }
}

/// Reads all field lines from `at` on and returns where the head ends. Not inlined, so that its loop has the registers.
#[inline(never)]
pub(super) fn read_fields(
    buf: &[u8],
    at: usize,
    limit: usize,
    fields: &mut Vec<Field>,
    facts: &mut Facts,
) -> Result<usize, Stop> {
    let mut rest = &buf[at..];
    while let Some(line) = next_line(rest, &mut facts.odd_names)? {
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
    Ok(buf.len() - rest.len() + LINE_END.len())
}

/// Reads the line of a field section at the front of `bytes`; none if it is the empty line that ends the section. Sets
/// `odd_names` if its name has other signs than hyphens in it.
#[inline(always)]
pub(super) fn next_line<'a>(bytes: &'a [u8], odd_names: &mut bool) -> Result<Option<Line<'a>>, Stop> {
    if let Some(line) = plain_line(bytes) {
        return Ok(Some(line));
    }
    if bytes.starts_with(LINE_END) { Ok(None) } else { other_line(bytes, odd_names).map(Some) }
}

/// The line if it looks as nearly all do: a name of letters and hyphens, a colon and a space, printable ASCII, CRLF.
#[inline(always)]
fn plain_line(bytes: &[u8]) -> Option<Line<'_>> {
    let colon = after_letters_and_hyphens(bytes);
    let name = &bytes[..bytes.len() - colon.len()];
    let from_value = colon.strip_prefix(b": ")?;
    // From the line's start and not the value's: the processor need not know the one to look for the other.
    let line_end = after_printable_ascii(bytes);
    let rest = line_end.strip_prefix(LINE_END)?;
    if name.is_empty() || from_value.len() <= line_end.len() {
        return None;
    }
    let value = &from_value[..from_value.len() - line_end.len()];
    if value.starts_with(b" ") || value.ends_with(b" ") {
        return None;
    }
    Some(Line { name, value, from_value, rest })
}

/// A line of any look, but not the empty one.
#[inline(never)]
fn other_line<'a>(bytes: &'a [u8], odd_names: &mut bool) -> Result<Line<'a>, Stop> {
    let after_name = after_token(bytes);
    let name = &bytes[..bytes.len() - after_name.len()];
    let [b':', after_colon @ ..] = after_name else { return Err(no_colon(name, after_name)) };
    if name.is_empty() {
        return Err(bad("empty field name"));
    }
    *odd_names |= has_odd_signs(name);
    let from_value = trimmed_start(after_colon);
    let after_value = after_text(from_value);
    let rest = after_line_end(after_value, "control character in a field value")?;
    let value = trimmed_end(&from_value[..from_value.len() - after_value.len()]);
    Ok(Line { name, value, from_value, rest })
}

/// Whether there are signs in a name that CGI takes for hyphens.
fn has_odd_signs(name: &[u8]) -> bool {
    !name.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'-')
}

/// Marks the fields whose names CGI takes for special ones (RFC 3875, section 4.1.18).
#[cold]
pub(super) fn mark_shadows(buf: &[u8], fields: &mut [Field]) {
    for field in fields.iter_mut().filter(|field| field.known == Name::Other) {
        field.known = Name::of_unusual(field.name.of(buf));
    }
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
