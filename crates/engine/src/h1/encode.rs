//! Heads on their way out: what is kept, dropped, replaced and added (RFC 9110, section 7.6).
//!
//! Owns the spelling of forwarded heads. Fields that stay are copied in runs as they came, not one by one.

use std::io::Write;
use std::time::Duration;

use wire::grpc;
use wire::h1::encode::{put_decimal, put_field, put_status_line, reason_phrase};
use wire::head::{Field, Framing, Method, Name, Request, Version};

use crate::date::Calendar;
use crate::seam::{AnswerHead, Changes, OwnAnswer, Peer};
use crate::tls::{Identity, is_identity_field};

/// How we name ourselves in `Via` and `Proxy-Status`.
pub(crate) const PSEUDONYM: &str = "evenkeel";

/// A request head on its way to a backend.
pub(crate) struct RequestHead<'a> {
    pub(crate) request: &'a Request,
    pub(crate) buf: &'a [u8],
    pub(crate) peer: &'a Peer,
    /// The path to ask for, after a rewrite.
    pub(crate) path: &'a [u8],
    /// The `Host` to send.
    pub(crate) host: &'a [u8],
    /// `None` keeps the field that came.
    pub(crate) request_id: Option<&'a [u8]>,
    /// Adds `Forwarded`.
    pub(crate) forwarded: bool,
    /// The whole body is here and so long, however it came: it goes in one piece, and nobody needs to ask for it.
    pub(crate) length: Option<u64>,
    /// How long the client of a gRPC call still waits, in place of what it said.
    pub(crate) deadline: Option<Duration>,
    /// What is said of the client's certificate.
    pub(crate) identity: Identity<'a>,
    pub(crate) changes: Changes<'a>,
}

/// Whether a backend may take a field for one that these rules set or remove: CGI and its kin make one variable of
/// `X-User` and `X_User`.
pub(crate) fn shadows_rules(changes: &Changes<'_>, name: &[u8]) -> bool {
    let folded = |byte: &u8| if byte.is_ascii_alphanumeric() { byte.to_ascii_lowercase() } else { b'-' };
    let same = |text: &String| text.len() == name.len() && text.bytes().zip(name).all(|(a, b)| folded(&a) == folded(b));
    let is_plain = name.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'-');
    !is_plain && (changes.rules.remove.iter().any(same) || changes.rules.set.iter().any(|(text, _)| same(text)))
}

impl RequestHead<'_> {
    /// How the body is framed on its way to the backend.
    pub(crate) fn framing(&self) -> Framing {
        self.length.map_or(self.request.framing, Framing::Length)
    }
}

/// Copies the fields that `keep` wants, in runs.
fn copy_fields(out: &mut Vec<u8>, buf: &[u8], fields: &[Field], keep: impl Fn(&Field) -> bool) {
    let mut at = 0;
    while at < fields.len() {
        if !keep(&fields[at]) {
            at += 1;
            continue;
        }
        let first = at;
        while at < fields.len() && keep(&fields[at]) {
            at += 1;
        }
        // Between the first name and the last value lie whole lines, their ends included.
        let run = fields[first].name.start as usize..fields[at - 1].value.end as usize;
        out.extend_from_slice(&buf[run]);
        out.extend_from_slice(b"\r\n");
    }
}

/// Writes the request head for an HTTP/1.1 backend.
pub(crate) fn put_request(out: &mut Vec<u8>, head: &RequestHead<'_>) {
    let (request, buf) = (head.request, head.buf);
    out.reserve(request.fields.last().map_or(0, |f| f.value.end as usize) + 512);
    out.extend_from_slice(request.method_span.of(buf));
    out.push(b' ');
    out.extend_from_slice(head.path);
    if request.has_query {
        out.push(b'?');
        out.extend_from_slice(request.query.of(buf));
    }
    out.extend_from_slice(b" HTTP/1.1\r\nHost: ");
    out.extend_from_slice(head.host);
    out.extend_from_slice(b"\r\n");
    if head.changes.rules.is_empty() {
        copy_fields(out, buf, &request.fields, |f| keeps_request_field(head, f));
    } else {
        copy_fields(out, buf, &request.fields, |f| {
            let name = f.name.of(buf);
            keeps_request_field(head, f) && !head.changes.drops(name) && !shadows_rules(&head.changes, name)
        });
    }
    put_connection_request(out, head);
    put_forwarding(out, head);
    out.extend_from_slice(head.changes.lines);
    out.extend_from_slice(b"\r\n");
}

// Asked for each field, at two places.
#[inline(always)]
pub(crate) fn keeps_request_field(head: &RequestHead<'_>, field: &Field) -> bool {
    if field.hop_by_hop {
        return false;
    }
    match field.known {
        Name::Other if head.deadline.is_some() && field.name.of(head.buf).eq_ignore_ascii_case(grpc::TIMEOUT) => false,
        Name::Other => !head.identity.strips || !is_identity_field(field.name.of(head.buf)),
        Name::Cookie | Name::ContentLength | Name::Via => true,
        Name::Host | Name::XForwardedFor | Name::Shadow => false,
        Name::XForwardedHost | Name::XForwardedPort | Name::XForwardedProto | Name::Forwarded => head.peer.trusted,
        Name::XRequestId => head.request_id.is_none(),
        Name::MaxForwards => head.request.method != Method::Options,
        Name::Expect => head.request.expects_continue && head.length.is_none(),
        _ => true,
    }
}

/// Fields that are about our connection to the backend.
fn put_connection_request(out: &mut Vec<u8>, head: &RequestHead<'_>) {
    let (request, buf) = (head.request, head.buf);
    match (request.framing, head.length) {
        (Framing::Chunked, None) => out.extend_from_slice(b"Transfer-Encoding: chunked\r\n"),
        (Framing::Chunked, Some(length)) => {
            out.extend_from_slice(b"Content-Length: ");
            put_decimal(out, length);
            out.extend_from_slice(b"\r\n");
        }
        // Its field is kept as it came.
        _ => {}
    }
    if !request.upgrade.is_empty() {
        out.extend_from_slice(b"Connection: upgrade\r\n");
        put_field(out, b"Upgrade", request.upgrade.of(buf));
    } else if request.takes_trailers {
        out.extend_from_slice(b"TE: trailers\r\nConnection: te\r\n");
    }
    if request.method == Method::Options
        && let Some(left) = max_forwards(request, buf)
    {
        out.extend_from_slice(b"Max-Forwards: ");
        put_decimal(out, left.saturating_sub(1));
        out.extend_from_slice(b"\r\n");
    }
}

/// The value of `Max-Forwards`, which counts for OPTIONS and TRACE (RFC 9110, section 7.6.2).
pub(crate) fn max_forwards(request: &Request, buf: &[u8]) -> Option<u64> {
    let field = request.fields.iter().find(|f| f.known == Name::MaxForwards)?;
    std::str::from_utf8(field.value.of(buf)).ok()?.parse().ok()
}

/// Fields that say who the client is and by which way it came.
pub(crate) fn put_forwarding(out: &mut Vec<u8>, head: &RequestHead<'_>) {
    let (request, buf, peer) = (head.request, head.buf, head.peer);
    // What the route sets or removes is not ours to say.
    let plain = head.changes.rules.is_empty();
    let ours = |name: &[u8]| plain || !head.changes.drops(name);
    let kept = |name: Name| peer.trusted && request.fields.iter().any(|f| f.known == name);
    if ours(b"x-forwarded-for") {
        put_forwarded_for(out, head);
    }
    if !kept(Name::XForwardedProto) && ours(b"x-forwarded-proto") {
        if peer.secure {
            out.extend_from_slice(b"X-Forwarded-Proto: https\r\n");
        } else {
            out.extend_from_slice(b"X-Forwarded-Proto: http\r\n");
        }
    }
    if !kept(Name::XForwardedHost) && !request.authority.is_empty() && ours(b"x-forwarded-host") {
        put_field(out, b"X-Forwarded-Host", request.authority.of(buf));
    }
    if !kept(Name::XForwardedPort) && peer.local_port != 0 && ours(b"x-forwarded-port") {
        out.extend_from_slice(b"X-Forwarded-Port: ");
        put_decimal(out, u64::from(peer.local_port));
        out.extend_from_slice(b"\r\n");
    }
    if let Some(id) = head.request_id.filter(|_| ours(b"x-request-id")) {
        put_field(out, b"X-Request-Id", id);
    }
    if let Some(left) = head.deadline.filter(|_| ours(grpc::TIMEOUT)) {
        out.extend_from_slice(b"grpc-timeout: ");
        grpc::put_timeout(out, left);
        out.extend_from_slice(b"\r\n");
    }
    if head.forwarded && ours(b"forwarded") {
        put_forwarded(out, head);
    }
    if !head.identity.lines.is_empty() {
        out.extend_from_slice(head.identity.lines);
    }
    out.extend_from_slice(match request.version {
        Version::Http10 => b"Via: 1.0 evenkeel\r\n",
        Version::Http11 => b"Via: 1.1 evenkeel\r\n",
        Version::Http2 => b"Via: 2.0 evenkeel\r\n",
    });
}

/// The hops that a trusted peer names, and the peer.
fn put_forwarded_for(out: &mut Vec<u8>, head: &RequestHead<'_>) {
    out.extend_from_slice(b"X-Forwarded-For: ");
    if head.peer.trusted {
        for field in head.request.fields.iter().filter(|f| f.known == Name::XForwardedFor && !f.value.is_empty()) {
            out.extend_from_slice(field.value.of(head.buf));
            out.extend_from_slice(b", ");
        }
    }
    put_ip(out, head.peer);
    out.extend_from_slice(b"\r\n");
}

fn put_ip(out: &mut Vec<u8>, peer: &Peer) {
    match peer.ip() {
        std::net::IpAddr::V4(ip) => {
            let (mut text, mut len) = ([0; 16], 0);
            for octet in ip.octets() {
                let (digits, count) = OCTETS[usize::from(octet)];
                text[len..len + 4].copy_from_slice(&digits);
                len += count;
            }
            out.extend_from_slice(&text[..len - 1]);
        }
        // Writing to a vector cannot fail.
        std::net::IpAddr::V6(ip) => drop(write!(out, "{ip}")),
    }
}

/// The digits of each octet with a dot behind them, and how many bytes that is.
static OCTETS: [([u8; 4], usize); 256] = octets();

#[expect(clippy::cast_possible_truncation, reason = "a digit is less than ten")]
const fn octets() -> [([u8; 4], usize); 256] {
    let mut table = [([b'.'; 4], 0); 256];
    let mut octet = 0;
    while octet < 256 {
        let digits = [b'0' + (octet / 100) as u8, b'0' + (octet / 10 % 10) as u8, b'0' + (octet % 10) as u8];
        let skipped = if octet >= 100 {
            0
        } else if octet >= 10 {
            1
        } else {
            2
        };
        let mut at = skipped;
        while at < 3 {
            table[octet].0[at - skipped] = digits[at];
            at += 1;
        }
        table[octet].1 = 4 - skipped;
        octet += 1;
    }
    table
}

/// RFC 7239: one element, `for` quoted for IPv6.
fn put_forwarded(out: &mut Vec<u8>, head: &RequestHead<'_>) {
    out.extend_from_slice(b"Forwarded: for=");
    if head.peer.ip().is_ipv6() {
        out.extend_from_slice(b"\"[");
        put_ip(out, head.peer);
        out.extend_from_slice(b"]\"");
    } else {
        put_ip(out, head.peer);
    }
    out.extend_from_slice(b";proto=");
    out.extend_from_slice(head.peer.scheme().as_bytes());
    out.extend_from_slice(b";host=\"");
    out.extend_from_slice(head.request.authority.of(head.buf));
    out.extend_from_slice(b"\"\r\n");
}

/// What an answer to this client must heed.
#[derive(Clone, Copy)]
pub(crate) struct Client {
    pub(crate) version: Version,
    pub(crate) method: Method,
    /// The connection goes on after this answer if framing allows.
    pub(crate) keep_alive: bool,
}

/// How an answer went out.
pub(crate) struct Begun {
    /// How its body must be written.
    pub(crate) framing: Framing,
    /// Whether the connection can serve another request.
    pub(crate) keep_alive: bool,
}

/// Writes a backend's answer head for an HTTP/1 client.
pub(crate) fn put_answer(out: &mut Vec<u8>, client: Client, head: &AnswerHead<'_>, calendar: &Calendar) -> Begun {
    let (answer, buf) = (head.answer, head.buf);
    out.reserve(answer.fields.last().map_or(0, |f| f.value.end as usize) + 128);
    put_status_line(out, answer.status, answer.reason.of(buf));
    let plain = head.changes.rules.is_empty();
    copy_fields(out, buf, &answer.fields, |f| !f.hop_by_hop && (plain || !head.changes.drops(f.name.of(buf))));
    let begun = frame(client, answer.framing);
    if begun.framing == Framing::Chunked {
        out.extend_from_slice(b"Transfer-Encoding: chunked\r\n");
    }
    if answer.status == 101 {
        out.extend_from_slice(b"Connection: upgrade\r\n");
        put_field(out, b"Upgrade", answer.upgrade.of(buf));
    } else if answer.status >= 200 {
        put_connection(out, client.version, begun.keep_alive);
        if !answer.has_date(buf) && (plain || !head.changes.drops(b"date")) {
            // RFC 9110, section 6.6.1: whoever has a clock says when an answer without a date came.
            out.extend_from_slice(&calendar.line());
        }
    }
    out.extend_from_slice(head.changes.lines);
    out.extend_from_slice(b"\r\n");
    begun
}

/// How the body of an answer is framed for a client (RFC 9112, section 6.3): HTTP/1.0 knows no chunks.
fn frame(client: Client, framing: Framing) -> Begun {
    let keep_alive = client.keep_alive;
    match framing {
        _ if client.method == Method::Head => Begun { framing: Framing::None, keep_alive },
        Framing::Chunked | Framing::UntilClose if client.version == Version::Http10 => {
            Begun { framing: Framing::UntilClose, keep_alive: false }
        }
        Framing::UntilClose => Begun { framing: Framing::Chunked, keep_alive },
        framing => Begun { framing, keep_alive },
    }
}

fn put_connection(out: &mut Vec<u8>, version: Version, keep_alive: bool) {
    match (version, keep_alive) {
        (Version::Http11 | Version::Http2, true) => {}
        (Version::Http10, true) => out.extend_from_slice(b"Connection: keep-alive\r\n"),
        (_, false) => out.extend_from_slice(b"Connection: close\r\n"),
    }
}

/// Writes an answer of our own, body included.
pub(crate) fn put_own(out: &mut Vec<u8>, client: Client, own: &OwnAnswer<'_>, calendar: &Calendar) -> Framing {
    put_status_line(out, own.status, reason_phrase(own.status).as_bytes());
    out.extend_from_slice(&calendar.line());
    let bodiless = matches!(own.status, 204 | 304);
    if !bodiless {
        out.extend_from_slice(b"Content-Length: ");
        put_decimal(out, own.body.len() as u64);
        out.extend_from_slice(b"\r\n");
    }
    for (name, value) in &own.fields {
        put_field(out, name.as_bytes(), value);
    }
    put_connection(out, client.version, client.keep_alive);
    out.extend_from_slice(b"\r\n");
    if client.method == Method::Head || bodiless {
        return Framing::None;
    }
    if own.is_small() {
        out.extend_from_slice(own.body);
        return Framing::None;
    }
    Framing::Length(own.body.len() as u64)
}

#[cfg(test)]
mod tests;
