//! Templates: texts with places for parts of the request, in redirects and header rules.
//!
//! Owns the filling in and the promise that nothing comes out which would break a field line (RFC 9110, section 5.5) or
//! lead a redirect to a foreign host.

use std::fmt::Display;
use std::io::Write;
use std::net::IpAddr;

use crate::plan::{Piece, Template};

/// What the places stand for.
#[derive(Clone, Copy, Debug)]
pub struct Parts<'a> {
    /// The request's host without port.
    pub host: &'a [u8],
    /// The normalised path.
    pub path: &'a [u8],
    /// What the `*` of the path condition stood for: `path` from `Matched::rest_at`.
    pub rest: &'a [u8],
    /// The query without `?`, if the request had one.
    pub query: Option<&'a [u8]>,
    /// `http` or `https`.
    pub scheme: &'a str,
    /// The client's address.
    pub client: IpAddr,
    /// The request id.
    pub request_id: &'a [u8],
}

/// The result would hold a control character (CR, LF, NUL, …), or a space where none may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnsafeText;

impl Display for UnsafeText {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "the result holds a character that is not allowed there")
    }
}

impl std::error::Error for UnsafeText {}

/// Appends the value of a field to `out`.
///
/// # Errors
/// A control character other than a tab is in it; `out` is then as before.
pub fn render(template: &Template, parts: &Parts<'_>, out: &mut Vec<u8>) -> Result<(), UnsafeText> {
    let start = out.len();
    fill(template, parts, out);
    keep_if(out, start, |byte| byte == b'\t' || !byte.is_ascii_control())
}

/// Appends the target of a redirect to `out`.
///
/// A result that begins with `//` names a host, for browsers also `/\`: `/api//evil.example` on `{rest}` must not turn
/// into such a one. Only a template that itself begins with `//` may.
///
/// # Errors
/// A control character or a space is in it; `out` is then as before.
pub fn render_location(template: &Template, parts: &Parts<'_>, out: &mut Vec<u8>) -> Result<(), UnsafeText> {
    let start = out.len();
    fill(template, &without_asterisk(*parts), out);
    if !names_host(template) {
        let slashes = out[start..].iter().take_while(|byte| matches!(byte, b'/' | b'\\')).count();
        if slashes > 1 {
            out.splice(start..start + slashes, [b'/']);
        }
    }
    keep_if(out, start, |byte| byte != b' ' && !byte.is_ascii_control())
}

/// `*` (OPTIONS *) is no path that could follow a host.
fn without_asterisk(parts: Parts<'_>) -> Parts<'_> {
    let path = if parts.path.starts_with(b"/") { parts.path } else { b"" };
    Parts { path, ..parts }
}

fn names_host(template: &Template) -> bool {
    matches!(template.0.first(), Some(Piece::Text(text)) if text.starts_with("//"))
}

fn fill(template: &Template, parts: &Parts<'_>, out: &mut Vec<u8>) {
    for piece in &template.0 {
        match piece {
            Piece::Text(text) => out.extend_from_slice(text.as_bytes()),
            Piece::Host => out.extend_from_slice(parts.host),
            Piece::Path => out.extend_from_slice(parts.path),
            Piece::Rest => out.extend_from_slice(parts.rest),
            Piece::Query => {
                if let Some(query) = parts.query {
                    out.push(b'?');
                    out.extend_from_slice(query);
                }
            }
            Piece::Scheme => out.extend_from_slice(parts.scheme.as_bytes()),
            Piece::Client => write_client(parts.client, out),
            Piece::RequestId => out.extend_from_slice(parts.request_id),
        }
    }
}

fn write_client(client: IpAddr, out: &mut Vec<u8>) {
    // Writing to a vector cannot fail.
    let _ = write!(out, "{}", client.to_canonical());
}

fn keep_if(out: &mut Vec<u8>, start: usize, allowed: impl Fn(u8) -> bool) -> Result<(), UnsafeText> {
    if out[start..].iter().all(|&byte| allowed(byte)) {
        return Ok(());
    }
    out.truncate(start);
    Err(UnsafeText)
}
