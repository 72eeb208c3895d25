//! WebSocket between the HTTP versions (RFC 6455, RFC 8441).
//!
//! Owns the translation. Inside there is one spelling, that of HTTP/1.1: GET with `Upgrade: websocket`, answered by 101.
//! An extended CONNECT of a client becomes that before anything else sees it, with a key of our own; towards backends of
//! HTTP/2 it becomes an extended CONNECT again. The key and the proof of it exist in HTTP/1.1 only.

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use wire::head::{Answer, Field, Framing, Method, Name, Request, Span, Version};

/// The protocol, as `Upgrade` and `:protocol` name it.
pub(super) const PROTOCOL: &[u8] = b"websocket";
const KEY: &[u8] = b"sec-websocket-key";
const ACCEPT: &[u8] = b"sec-websocket-accept";
/// What the key is hashed with (RFC 6455, section 1.3).
const MAGIC: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
/// Bytes of a key (RFC 6455, section 4.1).
const KEY_BYTES: usize = 16;

/// Whether a request asks for WebSocket.
pub(crate) fn is_asked(request: &Request, buf: &[u8]) -> bool {
    request.upgrade.of(buf).eq_ignore_ascii_case(PROTOCOL)
}

/// Whether a field belongs to the handshake of HTTP/1.1 alone.
pub(super) fn is_handshake(name: &[u8]) -> bool {
    name.eq_ignore_ascii_case(KEY) || name.eq_ignore_ascii_case(ACCEPT)
}

/// Makes of an extended CONNECT the GET that it stands for. `false` where it asks for another protocol than WebSocket.
pub(super) fn translate(request: &mut Request, buf: &mut Vec<u8>) -> bool {
    if !is_asked(request, buf) {
        return false;
    }
    request.fields.retain(|field| !is_handshake(field.name.of(buf)));
    let start = buf.len();
    buf.extend_from_slice(KEY);
    buf.extend_from_slice(b": ");
    let mut key = [0; KEY_BYTES];
    // Without random numbers it is a worse key: it proves nothing but that the backend speaks the protocol.
    let _ = aws_lc_rs::rand::fill(&mut key);
    put_base64(buf, &key);
    push_field(&mut request.fields, (start, KEY.len()), buf.len());
    buf.extend_from_slice(b"\r\n");
    let method = buf.len();
    buf.extend_from_slice(b"GET");
    request.method = Method::Get;
    request.method_span = Span::new(method, buf.len());
    request.framing = Framing::None;
    request.expects_continue = false;
    true
}

/// Whether a backend has proved that it means WebSocket. Clients of HTTP/1.1 look for themselves.
pub(crate) fn is_proved((request, buf): (&Request, &[u8]), (answer, answer_buf): (&Answer, &[u8])) -> bool {
    if request.version != Version::Http2 || !is_asked(request, buf) {
        return true;
    }
    let Some(key) = key_of(request, buf) else { return false };
    answer.field(answer_buf, ACCEPT).is_some_and(|accept| accept == proof(key))
}

/// The key of a request.
pub(super) fn key_of<'a>(request: &Request, buf: &'a [u8]) -> Option<&'a [u8]> {
    let field = request.fields.iter().find(|field| field.name.of(buf).eq_ignore_ascii_case(KEY))?;
    Some(field.value.of(buf))
}

/// What proves that a key was read: `Sec-WebSocket-Accept` (RFC 6455, section 4.2.2).
pub(super) fn proof(key: &[u8]) -> Vec<u8> {
    let hash = digest(&SHA1_FOR_LEGACY_USE_ONLY, &[key, MAGIC].concat());
    let mut proof = Vec::with_capacity(28);
    put_base64(&mut proof, hash.as_ref());
    proof
}

/// Makes of the success of an extended CONNECT the 101 that it stands for.
pub(super) fn switch(answer: &mut Answer, buf: &mut Vec<u8>, proof: &[u8]) {
    answer.fields.retain(|field| !is_handshake(field.name.of(buf)));
    let start = buf.len();
    buf.extend_from_slice(ACCEPT);
    buf.extend_from_slice(b": ");
    buf.extend_from_slice(proof);
    push_field(&mut answer.fields, (start, ACCEPT.len()), buf.len());
    buf.extend_from_slice(b"\r\n");
    let upgrade = buf.len();
    buf.extend_from_slice(PROTOCOL);
    answer.upgrade = Span::new(upgrade, buf.len());
    answer.status = 101;
    answer.framing = Framing::None;
}

/// A field whose line was put at the end of the buffer, which heads are copied from in whole lines.
fn push_field(fields: &mut Vec<Field>, (start, name_bytes): (usize, usize), end: usize) {
    let name = Span::new(start, start + name_bytes);
    let value = Span::new(start + name_bytes + 2, end);
    fields.push(Field { name, value, known: Name::Other, hop_by_hop: false, never_indexed: false });
}

/// RFC 4648, section 4.
fn put_base64(out: &mut Vec<u8>, bytes: &[u8]) {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for group in bytes.chunks(3) {
        let bits = group.iter().fold(0u32, |bits, &byte| bits << 8 | u32::from(byte)) << (8 * (3 - group.len()));
        for at in 0..4 {
            let letter = LETTERS[(bits >> (18 - 6 * at) & 63) as usize];
            out.push(if at <= group.len() { letter } else { b'=' });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc6455_1_3_the_proof_of_a_key() {
        assert_eq!(proof(b"dGhlIHNhbXBsZSBub25jZQ=="), b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }

    #[test]
    fn rfc4648_10_base64() {
        for (plain, coded) in [("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foobar", "Zm9vYmFy")] {
            let mut out = Vec::new();
            put_base64(&mut out, plain.as_bytes());
            assert_eq!(out, coded.as_bytes());
        }
    }

    #[test]
    fn rfc8441_5_an_extended_connect_becomes_a_get_with_a_fresh_key() {
        let mut buf = b"websocketSec-WebSocket-Key: theirs\r\n".to_vec();
        let mut request = Request { upgrade: Span::new(0, 9), method: Method::Connect, ..Request::default() };
        push_field(&mut request.fields, (9, KEY.len()), 34);
        assert!(translate(&mut request, &mut buf));
        assert_eq!((request.method, request.method_span.of(&buf)), (Method::Get, &b"GET"[..]));
        let key = key_of(&request, &buf).unwrap().to_vec();
        assert_eq!((request.fields.len(), key.len()), (1, 24));
        assert_ne!(key, b"theirs");
    }
}
