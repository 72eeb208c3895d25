//! Answer heads (RFC 9112, sections 4 to 6).
//!
//! Owns what an answer may look like and how its body ends. A backend is trusted no more than a client: an answer whose
//! end is in doubt would let one exchange's bytes become the next one's answer.

use super::facts::{Coding, Facts};
use super::fields::{after_line_end, mark_named_by_connection, read_fields};
use super::{Limits, Malformed, Parsed, Stop, bad, is_surely_partial};
use crate::head::{Answer, Field, Framing, Method, Name, Span, Version};
use crate::scan::after_text;

/// Parses an answer head at the front of `buf`; `method` is that of the request it answers. On [`Parsed::Partial`], call
/// again with the same bytes and more. `limits.target_bytes` is not looked at.
///
/// `Connection` options remove the fields that they name as in requests; those that they may not remove are kept.
///
/// # Errors
/// Why the answer cannot be trusted.
pub fn parse_answer(buf: &[u8], limits: &Limits, method: Method, out: &mut Answer) -> Result<Parsed, Malformed> {
    out.clear();
    let limit = limits.head_bytes.min(u32::MAX as usize);
    let head = &buf[..buf.len().min(limit)];
    match read_head(head, limits, method, out) {
        Ok(end) => Ok(Parsed::Complete(end)),
        Err(Stop::Refused(refusal)) => Err(Malformed { why: refusal.why }),
        Err(Stop::Partial) if head.len() == limit => Err(Malformed { why: "answer head too large" }),
        Err(Stop::Partial) => Ok(Parsed::Partial),
    }
}

fn read_head(buf: &[u8], limits: &Limits, method: Method, out: &mut Answer) -> Result<usize, Stop> {
    let at = read_status_line(buf, out)?;
    if is_surely_partial(buf) {
        return Err(Stop::Partial);
    }
    let mut facts = Facts::default();
    let end = read_fields(buf, at, limits.fields, &mut out.fields, &mut facts)?;
    out.framing = framing(&facts, method, out)?;
    if facts.length.is_some() && is_bodiless(out.status) {
        keep_length_back(&mut out.fields);
    }
    if facts.named > 0 {
        mark_named_by_connection(buf, &mut out.fields);
    }
    out.keep_alive =
        !facts.close && out.framing != Framing::UntilClose && (out.version == Version::Http11 || facts.keep_alive);
    if out.status == 101 {
        out.upgrade = facts.upgrade;
    }
    Ok(end)
}

/// Reads the status line and returns where the field lines start.
#[inline]
fn read_status_line(buf: &[u8], out: &mut Answer) -> Result<usize, Stop> {
    const PATTERN: &[u8; 12] = b"HTTP/1.9 999";
    let fits = |(byte, wanted): (&u8, &u8)| byte == wanted || *wanted == b'9' && byte.is_ascii_digit();
    let known = if buf.starts_with(b"HTTP/1.1 ") { 9 } else { 0 };
    if !buf.iter().zip(PATTERN).skip(known).all(fits) {
        return Err(bad("invalid status line"));
    }
    let Some(line) = buf.first_chunk::<12>() else { return Err(Stop::Partial) };
    out.version = if line[7] == b'0' { Version::Http10 } else { Version::Http11 };
    out.status = line[9..].iter().fold(0, |status, digit| status * 10 + u16::from(digit - b'0'));
    if !(100..=599).contains(&out.status) {
        return Err(bad("invalid status code"));
    }
    // The SP after the code is required even when the reason phrase is empty, but some servers leave it out.
    let start = if buf.get(12) == Some(&b' ') { 13 } else { 12 };
    let after = if start == 13 { after_text(&buf[13..]) } else { &buf[12..] };
    let fields = after_line_end(after, "invalid status line")?;
    out.reason = Span::new(start, buf.len() - after.len());
    Ok(buf.len() - fields.len())
}

/// RFC 9112, section 6.3.
fn framing(facts: &Facts, method: Method, answer: &Answer) -> Result<Framing, Stop> {
    let bodiless = is_bodiless(answer.status);
    match (facts.coding, facts.length) {
        (Coding::Absent, _) => {}
        (_, Some(_)) => return Err(bad("both Transfer-Encoding and Content-Length")),
        (Coding::Chunked, None) if answer.version == Version::Http10 => {
            return Err(bad("Transfer-Encoding in HTTP/1.0"));
        }
        (Coding::Chunked, None) if bodiless => return Err(bad("Transfer-Encoding in an answer without a body")),
        (Coding::Chunked, None) => {}
        _ => return Err(bad("Transfer-Encoding other than chunked")),
    }
    if bodiless && facts.length.is_some_and(|length| length > 0) {
        return Err(bad("Content-Length in an answer without a body"));
    }
    if bodiless || answer.status == 304 || method == Method::Head {
        return Ok(Framing::None);
    }
    Ok(match (facts.coding, facts.length) {
        (Coding::Chunked, _) => Framing::Chunked,
        (_, Some(length)) => Framing::Length(length),
        _ => Framing::UntilClose,
    })
}

/// Answers that say nothing of a body (RFC 9110, section 8.6).
fn is_bodiless(status: u16) -> bool {
    matches!(status, 100..200 | 204)
}

/// `Content-Length: 0` in an answer that may have none is harmless, and common, but goes no further.
#[cold]
fn keep_length_back(fields: &mut [Field]) {
    fields.iter_mut().filter(|field| field.known == Name::ContentLength).for_each(|field| field.hop_by_hop = true);
}
