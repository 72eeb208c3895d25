//! Request targets (RFC 9112, section 3.2): where the target ends, whom it names, what its path is.
//!
//! Owns the four forms and which of them this proxy takes. What a normal path is belongs to [`crate::path`].

use super::{Refusal, Stop, bad};
use crate::grammar::{is_plain_path_byte, is_target_byte};
use crate::head::{Method, Request, Span};
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
#[inline]
pub(super) fn scan(buf: &[u8], start: usize, limit: usize, method: Method) -> Result<Target, Stop> {
    let bounded = &buf[..buf.len().min(start.saturating_add(limit).saturating_add(1))];
    let found = match bounded.get(start) {
        Some(b'/') => scan_origin_form(bounded, start),
        Some(_) => scan_other_form(bounded, start, method),
        None => Err(Stop::Partial),
    };
    match found {
        Err(Stop::Partial) if bounded.len() - start > limit => {
            Err(Refusal { status: 414, why: "request target too long" }.into())
        }
        found => found,
    }
}

/// `/path` and perhaps `?query`, or what follows the authority of an absolute-form target.
#[inline]
fn scan_origin_form(buf: &[u8], start: usize) -> Result<Target, Stop> {
    let mut at = start;
    let mut unusual = false;
    while at < buf.len() {
        let byte = buf[at];
        if !is_plain_path_byte(byte) {
            match byte {
                b'.' => unusual |= buf[at - 1] == b'/',
                b'%' | b'\\' => unusual = true,
                _ => break,
            }
        }
        at += 1;
    }
    let path = Span::new(start, at);
    let mut query = None;
    if buf.get(at) == Some(&b'?') {
        let from = at + 1;
        at = from;
        while at < buf.len() && is_target_byte(buf[at]) {
            at += 1;
        }
        query = Some(Span::new(from, at));
    }
    expect_space(buf, at)?;
    Ok(Target { end: at, next: at, authority: Span::default(), path, query, unusual })
}

#[inline]
fn expect_space(buf: &[u8], at: usize) -> Result<(), Stop> {
    match buf.get(at) {
        Some(b' ') => Ok(()),
        None => Err(Stop::Partial),
        Some(b'#') => Err(bad("fragment in the request target")),
        Some(b'\r' | b'\n') => Err(bad("no version in the request line")),
        Some(_) => Err(bad("invalid character in the request target")),
    }
}

/// Asterisk-form and absolute-form.
#[cold]
fn scan_other_form(buf: &[u8], start: usize, method: Method) -> Result<Target, Stop> {
    if buf[start] == b'*' {
        let end = start + 1;
        expect_space(buf, end)?;
        if method != Method::Options {
            return Err(bad("target * with a method other than OPTIONS"));
        }
        let path = Span::new(start, end);
        return Ok(Target { end, next: end, authority: Span::default(), path, query: None, unusual: false });
    }
    let from = skip_scheme(buf, start)?;
    let is_end = |byte: &u8| matches!(byte, b'/' | b'?') || !is_target_byte(*byte);
    let length = buf[from..].iter().position(is_end).ok_or(Stop::Partial)?;
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
#[inline]
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
