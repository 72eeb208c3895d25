//! Request heads (RFC 9113, section 8.3.1; RFC 8441, section 4).

use super::{Common, HeadFault, HeadSlot, Section};
use crate::grammar::{is_token, is_word, list};
use crate::h1::{Limits, Refusal, method_of, read_path};
use crate::h2::error::ConnectionError;
use crate::h2::hpack::{Decoder, Kind, Line, Pseudo};
use crate::head::{Field, Framing, Method, Name, Request, Span, Version};
use crate::host;

/// Bytes of a method.
const MAX_METHOD_BYTES: usize = 32;

/// What else was said of the request.
#[derive(Clone, Copy, Debug)]
pub(in crate::h2) struct Ends {
    /// END_STREAM came with the head.
    pub(in crate::h2) stream: bool,
    /// We have told the client that it may ask for tunnels by CONNECT.
    pub(in crate::h2) extended_connect: bool,
}

/// What is gathered line by line.
#[derive(Debug, Default)]
struct Found {
    common: Common,
    /// Which pseudo-header fields there were.
    seen: u8,
    scheme: Span,
    protocol: Span,
    path: Span,
    host: Span,
    hosts: u32,
    cookies: u32,
    expects_continue: bool,
    expects_other: bool,
}

impl Found {
    fn has(&self, pseudo: Pseudo) -> bool {
        self.seen & 1 << pseudo as u8 != 0
    }
}

/// Decodes the block of a request head into `slot`; gives back what its Content-Length is.
pub(in crate::h2) fn read_request(
    decoder: &mut Decoder,
    block: &[u8],
    limits: &Limits,
    (slot, ends): (&mut HeadSlot, Ends),
) -> Result<Result<Option<u64>, HeadFault>, ConnectionError> {
    let HeadSlot { buf, request, .. } = slot;
    buf.clear();
    request.clear();
    request.version = Version::Http2;
    request.keep_alive = true;
    let mut found = Found::default();
    let mut section = Section::begin(decoder, block, limits)?;
    while let Some(line) = section.next(decoder, buf)? {
        if let Some(why) = line.fault.why() {
            found.common.blame(why);
        }
        match line.kind {
            Kind::Pseudo(pseudo) => note_pseudo(pseudo, &line, &mut found, request),
            Kind::Field(known) => note_field(known, line.field, buf, (&mut found, request)),
        }
    }
    let judged = judge(buf, &found, (request, ends), limits);
    // What is beyond the limits was not looked at, so that nothing may be missed there.
    let cut = section.is_over && found.common.fault.is_none();
    let judged = if cut { Err(too_large(&section)) } else { judged };
    if judged.is_err() {
        request.fields.clear();
    } else if found.cookies > 1 {
        join_cookies(buf, &mut request.fields);
    }
    Ok(judged.map(|()| found.common.length))
}

#[cold]
fn too_large(section: &Section<'_>) -> HeadFault {
    let why = if section.lines > section.limits.fields { "too many field lines" } else { "request head too large" };
    HeadFault::Refused(Refusal { status: 431, why })
}

#[inline]
fn note_pseudo(pseudo: Pseudo, line: &Line, found: &mut Found, request: &mut Request) {
    if !request.fields.is_empty() {
        found.common.blame("pseudo-header field behind other fields");
    }
    if found.has(pseudo) {
        found.common.blame("pseudo-header field more than once");
    }
    found.seen |= 1 << pseudo as u8;
    let value = line.field.value;
    match pseudo {
        Pseudo::Method => request.method_span = value,
        Pseudo::Scheme => found.scheme = value,
        Pseudo::Authority => request.authority = value,
        Pseudo::Path => found.path = value,
        Pseudo::Protocol => found.protocol = value,
        Pseudo::Status => found.common.blame(":status in a request"),
    }
}

#[inline]
fn note_field(known: Name, field: Field, buf: &mut Vec<u8>, (found, request): (&mut Found, &mut Request)) {
    if known != Name::Other {
        if known == Name::Cookie && joins_previous(&field, buf, &mut request.fields) {
            return;
        }
        note_known(known, &field, buf, (found, request));
    }
    request.fields.push(field);
}

#[inline(never)]
fn note_known(known: Name, field: &Field, buf: &[u8], (found, request): (&mut Found, &mut Request)) {
    let value = field.value.of(buf);
    match known {
        Name::Host => {
            found.host = field.value;
            found.hosts += 1;
        }
        Name::Cookie => found.cookies += 1,
        Name::Te if is_word(value, b"trailers") => request.takes_trailers = true,
        Name::Te => found.common.blame("TE other than trailers"),
        Name::Expect => {
            for expectation in list(value) {
                if is_word(expectation, b"100-continue") {
                    found.expects_continue = true;
                } else {
                    found.expects_other = true;
                }
            }
        }
        _ => found.common.note(known, field, buf),
    }
}

/// Cookie crumbs are one field (RFC 9113, section 8.2.3). One right behind another is joined where it stands.
#[inline]
fn joins_previous(field: &Field, buf: &mut Vec<u8>, fields: &mut [Field]) -> bool {
    let Some(previous) = fields.last_mut().filter(|last| last.known == Name::Cookie) else { return false };
    let (end, value) = (previous.value.end as usize, field.value.start as usize..field.value.end as usize);
    let length = value.len();
    buf.copy_within(value, end + 2);
    buf[end..end + 2].copy_from_slice(b"; ");
    buf.truncate(end + 2 + length);
    previous.value = Span::new(previous.value.start as usize, buf.len());
    previous.never_indexed |= field.never_indexed;
    buf.extend_from_slice(b"\r\n");
    true
}

/// Others are joined in a line of their own.
#[cold]
fn join_cookies(buf: &mut Vec<u8>, fields: &mut Vec<Field>) {
    let start = buf.len();
    buf.extend_from_slice(b"cookie: ");
    let mut joined = Field { known: Name::Cookie, ..Field::default() };
    for crumb in fields.iter_mut().filter(|field| field.known == Name::Cookie) {
        if buf.len() > start + 8 {
            buf.extend_from_slice(b"; ");
        }
        buf.extend_from_within(crumb.value.start as usize..crumb.value.end as usize);
        joined.never_indexed |= crumb.never_indexed;
        crumb.hop_by_hop = true;
        crumb.known = Name::Other;
    }
    joined.name = Span::new(start, start + 6);
    joined.value = Span::new(start + 8, buf.len());
    buf.extend_from_slice(b"\r\n");
    fields.push(joined);
}

/// A 400 with its cause.
fn bad(why: &'static str) -> HeadFault {
    HeadFault::Refused(Refusal::bad(why))
}

#[inline]
fn judge(buf: &[u8], found: &Found, (request, ends): (&mut Request, Ends), limits: &Limits) -> Result<(), HeadFault> {
    if let Some(why) = found.common.fault {
        return Err(HeadFault::Malformed(why));
    }
    judge_method(buf, found, request, ends)?;
    judge_pseudo(buf, found)?;
    judge_framing(found, request, ends)?;
    judge_authority(buf, found, request)?;
    if request.method == Method::Trace {
        return Err(HeadFault::Refused(Refusal { status: 501, why: "TRACE is not supported" }));
    }
    read_path(buf, found.path, limits.target_bytes, request).map_err(HeadFault::Refused)?;
    if found.expects_other {
        return Err(HeadFault::Refused(Refusal { status: 417, why: "expectation other than 100-continue" }));
    }
    Ok(())
}

#[inline]
fn judge_method(buf: &[u8], found: &Found, request: &mut Request, ends: Ends) -> Result<(), HeadFault> {
    let method = request.method_span.of(buf);
    if method != b"GET" {
        if !is_token(method) {
            return Err(HeadFault::Malformed("no valid :method"));
        }
        if method.len() > MAX_METHOD_BYTES {
            return Err(HeadFault::Refused(Refusal { status: 501, why: "method too long" }));
        }
        request.method = method_of(method);
    }
    match (request.method, found.has(Pseudo::Protocol)) {
        (Method::Connect, true) if ends.extended_connect => {
            if !is_token(found.protocol.of(buf)) {
                return Err(HeadFault::Malformed("no valid :protocol"));
            }
            request.upgrade = found.protocol;
            Ok(())
        }
        (_, true) => Err(HeadFault::Malformed(":protocol where it may not be")),
        (Method::Connect, false) if found.has(Pseudo::Scheme) || found.has(Pseudo::Path) => {
            Err(HeadFault::Malformed(":scheme or :path with CONNECT"))
        }
        (Method::Connect, false) => {
            Err(HeadFault::Refused(Refusal { status: 501, why: "CONNECT: this is not a forward proxy" }))
        }
        _ => Ok(()),
    }
}

#[inline]
fn judge_pseudo(buf: &[u8], found: &Found) -> Result<(), HeadFault> {
    let scheme = found.scheme.of(buf);
    if scheme.is_empty() {
        return Err(HeadFault::Malformed("no :scheme"));
    }
    if found.path.is_empty() {
        return Err(HeadFault::Malformed("no :path"));
    }
    if scheme != b"https" && scheme != b"http" && !is_word(scheme, b"https") && !is_word(scheme, b"http") {
        return Err(bad(":scheme other than http and https"));
    }
    Ok(())
}

#[inline]
fn judge_framing(found: &Found, request: &mut Request, ends: Ends) -> Result<(), HeadFault> {
    request.framing = match (found.common.length, ends.stream) {
        (None, true) => Framing::None,
        (Some(0), true) => Framing::Length(0),
        (Some(_), true) => return Err(HeadFault::Malformed("less data than Content-Length says")),
        (Some(_), false) if request.method == Method::Connect => {
            return Err(HeadFault::Malformed("Content-Length with CONNECT"));
        }
        (Some(length), false) => Framing::Length(length),
        (None, false) => Framing::Chunked,
    };
    request.expects_continue = found.expects_continue && !matches!(request.framing, Framing::None | Framing::Length(0));
    Ok(())
}

/// RFC 9113, section 8.3.1: `:authority` and `Host` say the same, where both are there.
#[inline]
fn judge_authority(buf: &[u8], found: &Found, request: &mut Request) -> Result<(), HeadFault> {
    if found.hosts > 1 {
        return Err(bad("more than one Host"));
    }
    if !found.has(Pseudo::Authority) {
        if found.hosts == 0 {
            return Err(bad("no :authority and no Host"));
        }
        request.authority = found.host;
    } else if found.hosts > 0 && !request.authority.of(buf).eq_ignore_ascii_case(found.host.of(buf)) {
        return Err(HeadFault::Malformed("Host other than :authority"));
    }
    host::check(request.authority.of(buf)).map_err(bad)
}
