//! Fields of heads on their way out in HTTP/2.

use wire::h2::HeadWriter;
use wire::head::{Field, Framing, Method};

use super::websocket::{is_asked, is_handshake};
use crate::h1::{RequestHead, keeps_request_field, max_forwards, put_forwarding, shadows_rules};

/// Copies a field as it came.
pub(super) fn put_field(writer: &mut HeadWriter<'_>, field: &Field, buf: &[u8]) {
    let (name, value) = (field.name.of(buf), field.value.of(buf));
    if field.never_indexed {
        writer.secret_field(name, value);
    } else {
        writer.field(name, value);
    }
}

/// Adds whole field lines.
pub(super) fn put_lines(writer: &mut HeadWriter<'_>, lines: &[u8]) {
    for line in lines.split(|&byte| byte == b'\n') {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if let Some(colon) = line.iter().position(|&byte| byte == b':') {
            writer.field(&line[..colon], line[colon + 1..].trim_ascii());
        }
    }
}

/// Writes the fields of a request that goes on to a backend.
pub(super) fn put_request_fields(writer: &mut HeadWriter<'_>, head: &RequestHead<'_>) {
    let (request, buf, plain) = (head.request, head.buf, head.changes.rules.is_empty());
    let is_switch = is_asked(request, buf);
    for field in &request.fields {
        let name = field.name.of(buf);
        if is_switch && is_handshake(name) {
            continue;
        }
        let is_changed = !plain && (head.changes.drops(name) || shadows_rules(&head.changes, name));
        if keeps_request_field(head, field) && !is_changed {
            put_field(writer, field, buf);
        }
    }
    if let (Framing::Chunked, Some(length)) = (request.framing, head.length) {
        writer.field(b"content-length", length.to_string().as_bytes());
    }
    if request.takes_trailers {
        writer.field(b"te", b"trailers");
    }
    if request.method == Method::Options
        && let Some(left) = max_forwards(request, buf)
    {
        writer.field(b"max-forwards", left.saturating_sub(1).to_string().as_bytes());
    }
    let mut lines = Vec::with_capacity(256);
    put_forwarding(&mut lines, head);
    put_lines(writer, &lines);
    put_lines(writer, head.changes.lines);
}
