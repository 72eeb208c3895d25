//! Request heads (RFC 9112, sections 2, 3, 5 and 6).
//!
//! Owns what a request may look like. The rule behind each refusal: where two readers of the same bytes could disagree
//! about where a message ends or whom it is for, nobody behind us gets to see it.

use super::facts::{Coding, Facts};
use super::fields::{after_line_end, mark_named_by_connection, mark_shadows, read_fields};
use super::target::{self, Target};
use super::{Limits, Parsed, Refusal, Stop, bad, is_surely_partial};
use crate::grammar::{after_token, list};
use crate::head::{Framing, Method, Request, Span, Version};
use crate::host;

/// Empty lines that are passed over before a request line (RFC 9112, section 2.2).
const MAX_EMPTY_LINES: usize = 4;
/// Bytes of a method.
const MAX_METHOD_BYTES: usize = 32;
/// How the HTTP/2 connection preface starts (RFC 9113, section 3.4).
const HTTP2_REQUEST_LINE: &[u8] = b"PRI * HTTP/2.0\r\n";

/// Parses a request head at the front of `buf`. On [`Parsed::Partial`], call again with the same bytes and more; nothing
/// is remembered in between. Until the head is complete, and when it is refused, `out` holds what the request line says,
/// and nothing while that is not whole.
///
/// A `Connection` option that names `Host`, `Content-Length` or `Transfer-Encoding` is refused; one that names
/// credentials or forwarding fields (`Authorization`, `Cookie`, `Via`, `X-Forwarded-*`, …) does not remove them.
///
/// # Errors
/// What must be refused, with the status to answer: 400; 414 for `limits.target_bytes`; 417 for expectations other than
/// `100-continue`; 431 for `limits.head_bytes` and `limits.fields`; 501 for CONNECT, TRACE, overlong methods and transfer
/// codings other than `chunked`; 505 for other major versions.
pub fn parse_request(buf: &[u8], limits: &Limits, out: &mut Request) -> Result<Parsed, Refusal> {
    out.clear();
    let limit = limits.head_bytes.min(u32::MAX as usize);
    let head = &buf[..buf.len().min(limit)];
    match read_head(head, limits, out) {
        Ok(end) => Ok(Parsed::Complete(end)),
        Err(stop) => {
            keep_line(head, out);
            match stop {
                Stop::Refused(refusal) => Err(refusal),
                Stop::Partial if head.len() == limit => Err(Refusal { status: 431, why: "request head too large" }),
                Stop::Partial => Ok(Parsed::Partial),
            }
        }
    }
}

/// Forgets all but the request line of a head that is not whole or refused, and that, too, where it is at fault.
#[cold]
fn keep_line(buf: &[u8], out: &mut Request) {
    // Only a target that was read has an end, and what must follow it is the version and the line's end.
    let end = out.query.end as usize;
    let line = Request {
        method: out.method,
        method_span: out.method_span,
        authority: out.authority,
        path: out.path,
        query: out.query,
        has_query: out.has_query,
        version: out.version,
        ..Request::default()
    };
    out.clear();
    let after_target = buf.get(end..).and_then(<[u8]>::first_chunk::<11>);
    if let Some([b' ', b'H', b'T', b'T', b'P', b'/', b'1', b'.', b'0'..=b'9', b'\r', b'\n']) = after_target {
        let (fields, normal_path) = (std::mem::take(&mut out.fields), std::mem::take(&mut out.normal_path));
        *out = Request { fields, normal_path, ..line };
    }
}

fn read_head(buf: &[u8], limits: &Limits, out: &mut Request) -> Result<usize, Stop> {
    let start = skip_empty_lines(buf)?;
    let (target, fields) = read_request_line(buf, start, limits, out)?;
    if is_surely_partial(&buf[start..]) {
        return Err(Stop::Partial);
    }
    let mut facts = Facts::default();
    let end = read_fields(buf, fields, limits.fields, &mut out.fields, &mut facts)?;
    if facts.odd_names {
        mark_shadows(buf, &mut out.fields);
    }
    judge_authority(buf, &facts, out)?;
    judge_framing(&facts, out)?;
    judge_connection(buf, &facts, out)?;
    target::normalise_path(buf, &target, out)?;
    Ok(end)
}

#[inline]
fn skip_empty_lines(buf: &[u8]) -> Result<usize, Stop> {
    let mut rest = buf;
    while let [b'\r' | b'\n', ..] = rest {
        rest = after_line_end(rest, "")?;
        if buf.len() - rest.len() > 2 * MAX_EMPTY_LINES {
            return Err(bad("too many empty lines before the request line"));
        }
    }
    Ok(buf.len() - rest.len())
}

/// Returns the target and where the field lines start.
#[inline]
fn read_request_line(buf: &[u8], start: usize, limits: &Limits, out: &mut Request) -> Result<(Target, usize), Stop> {
    let method_end = read_method(buf, start, out)?;
    let target = target::scan(buf, method_end + 1, limits.target_bytes, out)?;
    let fields = read_version(buf, target.end + 1, out)?;
    Ok((target, fields))
}

/// Reads the method and returns where its SP is. GET, the default, is worth a look before all others.
#[inline]
fn read_method(buf: &[u8], start: usize, out: &mut Request) -> Result<usize, Stop> {
    if buf[start..].starts_with(b"GET ") {
        out.method_span = Span::new(start, start + 3);
        return Ok(start + 3);
    }
    read_other_method(buf, start, out)
}

#[inline(never)]
fn read_other_method(buf: &[u8], start: usize, out: &mut Request) -> Result<usize, Stop> {
    let end = buf.len() - after_token(&buf[start..]).len();
    let method = &buf[start..end];
    if method.len() > MAX_METHOD_BYTES {
        return Err(Refusal { status: 501, why: "method too long" }.into());
    }
    match buf.get(end) {
        None => return Err(Stop::Partial),
        Some(b' ') if end > start => {}
        Some(_) => return Err(bad("invalid method")),
    }
    out.method_span = Span::new(start, end);
    out.method = method_of(method);
    match out.method {
        Method::Connect => Err(Refusal { status: 501, why: "CONNECT: this is not a forward proxy" }.into()),
        Method::Trace => Err(Refusal { status: 501, why: "TRACE is not supported" }.into()),
        Method::Other if method == b"PRI" => refuse_http2(&buf[start..]).map(|()| end),
        _ => Ok(end),
    }
}

/// Methods are case-sensitive (RFC 9110, section 9.1).
#[inline]
pub(crate) fn method_of(token: &[u8]) -> Method {
    match token {
        b"GET" => Method::Get,
        b"HEAD" => Method::Head,
        b"POST" => Method::Post,
        b"PUT" => Method::Put,
        b"DELETE" => Method::Delete,
        b"OPTIONS" => Method::Options,
        b"TRACE" => Method::Trace,
        b"CONNECT" => Method::Connect,
        b"PATCH" => Method::Patch,
        _ => Method::Other,
    }
}

/// Tells a client that speaks HTTP/2 with prior knowledge from one that merely has a method called PRI.
#[cold]
fn refuse_http2(head: &[u8]) -> Result<(), Stop> {
    if head.starts_with(HTTP2_REQUEST_LINE) {
        Err(Refusal { status: 505, why: "HTTP/2 connection preface where HTTP/1 is spoken" }.into())
    } else if HTTP2_REQUEST_LINE.starts_with(head) {
        Err(Stop::Partial)
    } else {
        Ok(())
    }
}

/// Reads the version and the line's end at `at`; returns where the field lines start.
#[inline]
fn read_version(buf: &[u8], at: usize, out: &mut Request) -> Result<usize, Stop> {
    if buf[at..].starts_with(b"HTTP/1.1\r\n") {
        out.version = Version::Http11;
        return Ok(at + 10);
    }
    read_rare_version(buf, at, out)
}

#[inline(never)]
fn read_rare_version(buf: &[u8], at: usize, out: &mut Request) -> Result<usize, Stop> {
    const NAME: &[u8] = b"HTTP/";
    let rest = &buf[at..];
    if !rest.starts_with(NAME) {
        return Err(if NAME.starts_with(rest) { Stop::Partial } else { bad("invalid version in the request line") });
    }
    for (offset, byte) in rest.iter().enumerate().skip(NAME.len()).take(3) {
        if if offset == 6 { *byte != b'.' } else { !byte.is_ascii_digit() } {
            return Err(bad("invalid version in the request line"));
        }
    }
    let after = rest.get(8..).unwrap_or_default();
    let fields = after_line_end(after, "invalid version in the request line");
    if rest.len() >= 8 && rest[5] != b'1' {
        fields?;
        return Err(Refusal { status: 505, why: "only HTTP/1.0 and HTTP/1.1 are spoken here" }.into());
    }
    out.version = if rest.get(7) == Some(&b'0') { Version::Http10 } else { Version::Http11 };
    fields.map(|fields| buf.len() - fields.len())
}

/// RFC 9112, section 3.2: exactly one valid `Host`; an absolute-form target overrides it.
#[inline]
fn judge_authority(buf: &[u8], facts: &Facts, out: &mut Request) -> Result<(), Stop> {
    match (facts.hosts, out.version) {
        (0, Version::Http11) => return Err(bad("no Host")),
        (0, Version::Http10) => {}
        (1, _) => host::check(facts.host.of(buf)).map_err(bad)?,
        _ => return Err(bad("more than one Host")),
    }
    if out.authority.is_empty() {
        out.authority = facts.host;
    }
    Ok(())
}

/// RFC 9112, section 6.3, with everything refused that it lets a server refuse.
#[inline]
fn judge_framing(facts: &Facts, out: &mut Request) -> Result<(), Stop> {
    out.framing = match (facts.coding, facts.length) {
        (Coding::Absent, None) => Framing::None,
        (Coding::Absent, Some(length)) => Framing::Length(length),
        (_, Some(_)) => return Err(bad("both Transfer-Encoding and Content-Length")),
        _ if out.version == Version::Http10 => return Err(bad("Transfer-Encoding in HTTP/1.0")),
        (Coding::Chunked, None) => Framing::Chunked,
        (Coding::OthersThenChunked, None) => {
            return Err(Refusal { status: 501, why: "transfer coding other than chunked" }.into());
        }
        _ => return Err(bad("chunked is not the last transfer coding")),
    };
    Ok(())
}

#[inline]
fn judge_connection(buf: &[u8], facts: &Facts, out: &mut Request) -> Result<(), Stop> {
    if facts.named > 0 {
        if let Some(why) = facts.bad_option {
            return Err(bad(why));
        }
        mark_named_by_connection(buf, &mut out.fields);
    }
    out.keep_alive = !facts.close && (out.version == Version::Http11 || facts.keep_alive);
    if out.version == Version::Http10 {
        // Expect, TE and Upgrade of an HTTP/1.0 client are ignored (RFC 9110, sections 7.8, 10.1.1 and 10.1.4).
        return Ok(());
    }
    if facts.expects_other {
        return Err(Refusal { status: 417, why: "expectation other than 100-continue" }.into());
    }
    let has_body = !matches!(out.framing, Framing::None | Framing::Length(0));
    out.expects_continue = facts.expects_continue && has_body;
    out.takes_trailers = facts.takes_trailers;
    if facts.asks_upgrade && !list(facts.upgrade.of(buf)).any(is_h2c) {
        out.upgrade = facts.upgrade;
    }
    Ok(())
}

/// Whether an upgrade to HTTP/2 is asked for, of whatever version (RFC 9110, section 7.8): past it we could not see requests.
fn is_h2c(protocol: &[u8]) -> bool {
    protocol.split(|&byte| byte == b'/').next().is_some_and(|name| name.eq_ignore_ascii_case(b"h2c"))
}
