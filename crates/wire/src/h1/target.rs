//! Request targets (RFC 9112, section 3.2): where the target ends, whom it names, what its path is.
//!
//! Owns the four forms and which of them this proxy takes. What a normal path is belongs to [`crate::path`].

use super::{Refusal, Stop, bad};
use crate::grammar::is_plain_path_byte;
use crate::head::{Method, Request, Span};
use crate::scan::{after_plain_path, after_target};
use crate::{host, path};

/// A request target, noted in a [`Request`] but not yet checked against the path rules.
pub(super) struct Target {
    /// One past its last byte, where a SP is.
    pub(super) end: usize,
    /// The path may differ from its normal form.
    unusual: bool,
}

/// Finds the target that starts at `start`; it ends with a SP. `out`, which knows its method, gets the path, the query and
/// the authority of an absolute-form target.
#[inline(always)]
pub(super) fn scan(buf: &[u8], start: usize, limit: usize, out: &mut Request) -> Result<Target, Stop> {
    let bounded = &buf[..buf.len().min(limit.saturating_add(start + 1))];
    let found = match bounded.get(start) {
        Some(b'/') => scan_origin_form(bounded, start, out),
        Some(_) => scan_other_form(bounded, start, out),
        None => Err(Stop::Partial),
    };
    found.map_err(|stop| match stop {
        Stop::Partial if bounded.len() - start > limit => {
            Refusal { status: 414, why: "request target too long" }.into()
        }
        stop => stop,
    })
}

/// `/path` and perhaps `?query`, or what follows the authority of an absolute-form target.
#[inline(always)]
fn scan_origin_form(buf: &[u8], start: usize, out: &mut Request) -> Result<Target, Stop> {
    let (mut rest, unusual) = after_path(&buf[start..]);
    out.path = Span::new(start, buf.len() - rest.len());
    let mut query = buf.len() - rest.len();
    if let [b'?', from_query @ ..] = rest {
        query = buf.len() - from_query.len();
        rest = after_target(from_query);
        out.has_query = true;
    }
    expect_space(rest)?;
    let end = buf.len() - rest.len();
    out.query = Span::new(query, end);
    Ok(Target { end, unusual })
}

/// Reads a target that HTTP/2 gives as a value of its own, in `buf[at]`: origin-form, or `*` for OPTIONS. `out`, which knows
/// its method, gets the path and the query.
#[inline]
pub(crate) fn read_path(buf: &[u8], at: Span, limit: usize, out: &mut Request) -> Result<(), Refusal> {
    let value = at.of(buf);
    if value.len() > limit {
        return Err(Refusal { status: 414, why: "request target too long" });
    }
    let end = at.end as usize;
    if value == b"*" {
        (out.path, out.query) = (at, Span::new(end, end));
        let allowed = out.method == Method::Options;
        return if allowed { Ok(()) } else { Err(Refusal::bad("target * with a method other than OPTIONS")) };
    }
    if value.first() != Some(&b'/') {
        return Err(Refusal::bad("request target is not a path"));
    }
    let (mut rest, unusual) = after_path(value);
    out.path = Span::new(at.start as usize, end - rest.len());
    let mut query = end - rest.len();
    if let [b'?', from_query @ ..] = rest {
        query = end - from_query.len();
        rest = after_target(from_query);
        out.has_query = true;
    }
    if !rest.is_empty() {
        let is_fragment = rest.starts_with(b"#");
        let why =
            if is_fragment { "fragment in the request target" } else { "invalid character in the request target" };
        return Err(Refusal::bad(why));
    }
    out.query = Span::new(query, end);
    if unusual {
        path::normalise(out.path.of(buf), &mut out.normal_path).map_err(Refusal::bad)?;
    }
    Ok(())
}

/// What follows the path at the front of `bytes`, and whether the path may differ from its normal form.
#[inline(always)]
fn after_path(bytes: &[u8]) -> (&[u8], bool) {
    let mut rest = after_plain_path(bytes);
    // Dots within names are common and harmless.
    while let [b'.', others @ ..] = rest
        && !bytes[..bytes.len() - rest.len()].ends_with(b"/")
    {
        rest = after_plain_path(others);
    }
    match rest {
        [b' ' | b'?', ..] => (rest, false),
        _ => after_other_path(bytes, rest),
    }
}

/// The same from `rest` on, byte by byte: escapes come in rows.
#[inline(never)]
fn after_other_path<'a>(bytes: &'a [u8], mut rest: &'a [u8]) -> (&'a [u8], bool) {
    let mut unusual = false;
    while let [byte, others @ ..] = rest {
        if !is_plain_path_byte(*byte) {
            match byte {
                b'.' => unusual |= bytes[..bytes.len() - rest.len()].ends_with(b"/"),
                b'%' | b'\\' => unusual = true,
                _ => break,
            }
        }
        rest = others;
    }
    (rest, unusual)
}

#[inline(always)]
fn expect_space(rest: &[u8]) -> Result<(), Stop> {
    match rest {
        [b' ', ..] => Ok(()),
        [] => Err(Stop::Partial),
        [b'#', ..] => Err(bad("fragment in the request target")),
        [b'\r' | b'\n', ..] => Err(bad("no version in the request line")),
        _ => Err(bad("invalid character in the request target")),
    }
}

/// Asterisk-form and absolute-form.
#[cold]
fn scan_other_form(buf: &[u8], start: usize, out: &mut Request) -> Result<Target, Stop> {
    if buf[start] == b'*' {
        let end = start + 1;
        expect_space(&buf[end..])?;
        if out.method != Method::Options {
            return Err(bad("target * with a method other than OPTIONS"));
        }
        (out.path, out.query) = (Span::new(start, end), Span::new(end, end));
        return Ok(Target { end, unusual: false });
    }
    let from = skip_scheme(buf, start)?;
    let target = &buf[from..buf.len() - after_target(&buf[from..]).len()];
    let length = target.iter().position(|b| matches!(b, b'/' | b'?')).unwrap_or(target.len());
    if from + length == buf.len() {
        return Err(Stop::Partial);
    }
    out.authority = Span::new(from, from + length);
    host::check(out.authority.of(buf)).map_err(bad)?;
    scan_origin_form(buf, from + length, out)
}

/// RFC 9112, section 3.2.2: absolute-form with a scheme that HTTP is spoken for.
fn skip_scheme(buf: &[u8], start: usize) -> Result<usize, Stop> {
    let rest = &buf[start..];
    for scheme in [&b"http://"[..], b"https://"] {
        let length = rest.len().min(scheme.len());
        if rest[..length].eq_ignore_ascii_case(&scheme[..length]) {
            return if length == scheme.len() { Ok(start + length) } else { Err(Stop::Partial) };
        }
    }
    Err(bad("request target is neither a path nor an http URI"))
}

/// Gives `out` the normal form of its path.
#[inline(always)]
pub(super) fn normalise_path(buf: &[u8], target: &Target, out: &mut Request) -> Result<(), Stop> {
    if target.unusual {
        path::normalise(out.path.of(buf), &mut out.normal_path).map_err(bad)?;
    } else if out.path.is_empty() && out.method == Method::Options && !out.has_query {
        // RFC 9112, section 3.2.4: what a client asks of the whole server reaches the server as `*`.
        out.normal_path.push(b'*');
    }
    Ok(())
}
