//! Field lines (RFC 9112, section 5): finding, checking and marking them.
//!
//! Owns the syntax of a line and which fields go no further than this connection. What single fields mean for framing and
//! persistence belongs to [`super::facts`].

use super::facts::Facts;
use super::{Refusal, Stop, bad};
use crate::grammar::{list, text_end, token_end};
use crate::head::{Field, Name, Span};

/// What the next line is.
pub(super) enum Line {
    /// A field line; the next line starts at the offset.
    Field(Field, usize),
    /// The empty line that ends the section; what follows starts at the offset.
    End(usize),
}

/// Reads all field lines from `at` on and returns where the head ends.
#[inline]
pub(super) fn read_fields(
    buf: &[u8],
    mut at: usize,
    limit: usize,
    fields: &mut Vec<Field>,
    facts: &mut Facts,
) -> Result<usize, Stop> {
    loop {
        match next_line(buf, at)? {
            Line::End(end) => return Ok(end),
            Line::Field(field, next) => {
                if fields.len() == limit {
                    return Err(Refusal { status: 431, why: "too many field lines" }.into());
                }
                if field.known != Name::Other {
                    facts.note(buf, &field)?;
                }
                fields.push(field);
                at = next;
            }
        }
    }
}

/// Reads one line of a field section.
#[inline]
pub(super) fn next_line(buf: &[u8], start: usize) -> Result<Line, Stop> {
    let colon = token_end(buf, start);
    if colon == start || buf.get(colon) != Some(&b':') {
        return line_without_name(buf, start, colon);
    }
    let mut value = colon + 1;
    while matches!(buf.get(value), Some(b' ' | b'\t')) {
        value += 1;
    }
    let stop = text_end(buf, value);
    let next = line_end(buf, stop, "control character in a field value")?;
    let mut end = stop;
    while end > value && matches!(buf[end - 1], b' ' | b'\t') {
        end -= 1;
    }
    let known = Name::of(&buf[start..colon]);
    let (name, value) = (Span::new(start, colon), Span::new(value, end));
    Ok(Line::Field(Field { name, value, known, hop_by_hop: known.is_hop_by_hop() }, next))
}

/// Where the next line starts, given that text ended at `at`. `control` says what a control character there would be.
#[inline]
pub(super) fn line_end(buf: &[u8], at: usize, control: &'static str) -> Result<usize, Stop> {
    match (buf.get(at), buf.get(at + 1)) {
        (Some(b'\r'), Some(b'\n')) => Ok(at + 2),
        (None, _) | (Some(b'\r'), None) => Err(Stop::Partial),
        (Some(b'\r'), _) => Err(bad("bare CR")),
        (Some(b'\n'), _) => Err(bad("bare LF as line end")),
        _ => Err(bad(control)),
    }
}

/// The empty line, the end of the bytes so far, or a fault. The name, if there is one, ends at `at`.
fn line_without_name(buf: &[u8], start: usize, at: usize) -> Result<Line, Stop> {
    match buf.get(at) {
        None => Err(Stop::Partial),
        Some(b'\r' | b'\n') if at == start => line_end(buf, at, "").map(Line::End),
        Some(b' ' | b'\t') if at == start => Err(bad("line folding or white space before a field name")),
        Some(b':') => Err(bad("empty field name")),
        Some(b' ' | b'\t') => Err(bad("white space before the colon of a field")),
        Some(b'\r' | b'\n') => Err(bad("field line without a colon")),
        Some(_) => Err(bad("invalid character in a field name")),
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
