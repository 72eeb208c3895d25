//! Request heads.

use wire::h1::{Limits, Parsed, Refusal, parse_request};
use wire::head::{Framing, Method, Request, Version};

use super::LIMITS;

/// Parses a whole head.
fn parse(head: &str) -> Result<Request, Refusal> {
    let mut out = Request::default();
    let parsed = parse_request(head.as_bytes(), &LIMITS, &mut out)?;
    assert_eq!(parsed, Parsed::Complete(head.len()), "{head:?}");
    Ok(out)
}

/// A GET with these field lines beside `Host`.
fn with(lines: &str) -> Result<Request, Refusal> {
    parse(&get(lines))
}

fn get(lines: &str) -> String {
    format!("GET / HTTP/1.1\r\nHost: a\r\n{lines}\r\n")
}

/// The status of the refusal, 0 if there is none. Also checks that no prefix is taken for a whole head.
fn status(head: &str) -> u16 {
    let mut out = Request::default();
    for length in 0..head.len() {
        let found = parse_request(&head.as_bytes()[..length], &LIMITS, &mut out);
        assert!(!matches!(found, Ok(Parsed::Complete(_))), "complete at {length} of {head:?}");
    }
    match parse_request(head.as_bytes(), &LIMITS, &mut out) {
        Err(refusal) => refusal.status,
        Ok(parsed) => {
            assert_eq!(parsed, Parsed::Complete(head.len()), "{head:?}");
            0
        }
    }
}

fn text<'a>(bytes: &'a [u8]) -> &'a str {
    std::str::from_utf8(bytes).expect("tests use ASCII")
}

#[test]
fn a_plain_request_is_read() {
    let head = "POST /a/b?c=d HTTP/1.1\r\nhost: Shop.Example:8080\r\nX-Y:  z \t\r\nContent-Length: 5\r\nEmpty:\r\n\r\n";
    let request = parse(head).unwrap();
    let buf = head.as_bytes();
    assert_eq!(request.method, Method::Post);
    assert_eq!(text(request.method_span.of(buf)), "POST");
    assert_eq!(text(request.path(buf)), "/a/b");
    assert_eq!(text(request.query.of(buf)), "c=d");
    assert!(request.has_query && request.keep_alive);
    assert_eq!(text(request.authority.of(buf)), "Shop.Example:8080");
    assert_eq!(request.version, Version::Http11);
    assert_eq!(request.framing, Framing::Length(5));
    assert_eq!(request.fields.len(), 4);
    assert_eq!(request.field(buf, b"x-y"), Some(&b"z"[..]));
    assert_eq!(request.field(buf, b"empty"), Some(&b""[..]));
}
