//! Request targets (RFC 9112, section 3.2): where the target ends, whom it names, what its path is.
//!
//! Owns the four forms and which of them this proxy takes. What a normal path is belongs to [`crate::path`].

use super::{Refusal, Stop, bad};
use crate::grammar::is_plain_path_byte;
use crate::head::{Method, Request, Span};
use crate::scan::{after_plain_path, after_target};
use crate::{host, path};

/// A request target, found but not yet checked against the path rules.
pub(super) struct Target {
    /// One past its last byte, where a SP is.
    pub(super) end: usize,
    /// Where the field lines start.
    pub(super) next: usize,
    /// The authority of an absolute-form target; else empty.
    pub(super) authority: Span,
    path: Span,
    query: Option<Span>,
    /// The path may differ from its normal form.
    unusual: bool,
}

/// Finds the target that starts at `start`; it ends with a SP.
#[inline(always)]
pub(super) fn scan(buf: &[u8], start: usize, limit: usize, method: Method) -> Result<Target, Stop> {
    let bounded = &buf[..buf.len().min(limit.saturating_add(start + 1))];
    let found = match bounded.get(start) {
        Some(b'/') => scan_origin_form(bounded, start),
        Some(_) => scan_other_form(bounded, start, method),
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
fn scan_origin_form(buf: &[u8], start: usize) -> Result<Target, Stop> {
    let (after_path, unusual) = after_path(&buf[start..]);
    let path = Span::new(start, buf.len() - after_path.len());
    let (rest, query) = match after_path {
        [b'?', from_query @ ..] => {
            let rest = after_target(from_query);
            (rest, Some(Span::new(buf.len() - from_query.len(), buf.len() - rest.len())))
        }
        _ => (after_path, None),
    };
    expect_space(rest)?;
    let end = buf.len() - rest.len();
    Ok(Target { end, next: end, authority: Span::default(), path, query, unusual })
}

/// What follows the path at the front of `bytes`, and whether the path may differ from its normal form.
#[inline(always)]
fn after_path(bytes: &[u8]) -> (&[u8], bool) {
    let (mut rest, mut unusual) = (bytes, false);
    loop {
        rest = after_plain_path(rest);
        match rest {
            [b'.', ..] => unusual |= bytes[..bytes.len() - rest.len()].ends_with(b"/"),
            [b'%' | b'\\', ..] => unusual = true,
            [byte, ..] if is_plain_path_byte(*byte) => {}
            _ => return (rest, unusual),
        }
        rest = &rest[1..];
    }
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
fn scan_other_form(buf: &[u8], start: usize, method: Method) -> Result<Target, Stop> {
    if buf[start] == b'*' {
        let end = start + 1;
        expect_space(&buf[end..])?;
        if method != Method::Options {
            return Err(bad("target * with a method other than OPTIONS"));
        }
        let path = Span::new(start, end);
        return Ok(Target { end, next: end, authority: Span::default(), path, query: None, unusual: false });
    }
    let from = skip_scheme(buf, start)?;
    let target = &buf[from..buf.len() - after_target(&buf[from..]).len()];
    let length = target.iter().position(|b| matches!(b, b'/' | b'?')).unwrap_or(target.len());
    if from + length == buf.len() {
        return Err(Stop::Partial);
    }
    let authority = Span::new(from, from + length);
    host::check(authority.of(buf)).map_err(bad)?;
    let mut target = scan_origin_form(buf, from + length)?;
    target.authority = authority;
    Ok(target)
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

/// Gives `out` its path and query.
#[inline(always)]
pub(super) fn fill_path(buf: &[u8], target: &Target, out: &mut Request) -> Result<(), Stop> {
    out.path = target.path;
    out.query = target.query.unwrap_or(Span::new(target.end, target.end));
    out.has_query = target.query.is_some();
    if target.unusual {
        path::normalise(target.path.of(buf), &mut out.normal_path).map_err(bad)?;
    } else if target.path.is_empty() && out.method == Method::Options && !out.has_query {
        // RFC 9112, section 3.2.4: what a client asks of the whole server reaches the server as `*`.
        out.normal_path.push(b'*');
    }
    Ok(())
}
