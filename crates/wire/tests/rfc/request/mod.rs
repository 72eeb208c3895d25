//! Request heads.

mod connection;
mod fields;
mod framing;
mod line;
mod model;

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

fn text(bytes: &[u8]) -> &str {
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

#[test]
fn each_limit_has_its_own_refusal_and_is_exact() {
    let head = get("X: y\r\n");
    let refused = |buf: &str, limits: Limits| match parse_request(buf.as_bytes(), &limits, &mut Request::default()) {
        Err(refusal) => refusal.status,
        Ok(Parsed::Complete(_)) => 0,
        Ok(Parsed::Partial) => 1,
    };
    assert_eq!(refused(&head, Limits { head_bytes: head.len(), ..LIMITS }), 0);
    assert_eq!(refused(&head, Limits { head_bytes: head.len() - 1, ..LIMITS }), 431);
    assert_eq!(refused(&format!("{head}{head}"), Limits { head_bytes: head.len(), ..LIMITS }), 0);
    let partial = &head[..head.len() - 2];
    assert_eq!(refused(partial, Limits { head_bytes: partial.len() + 1, ..LIMITS }), 1);
    assert_eq!(refused(partial, Limits { head_bytes: partial.len(), ..LIMITS }), 431);
    assert_eq!(refused(&head, Limits { fields: 2, ..LIMITS }), 0);
    assert_eq!(refused(&head, Limits { fields: 1, ..LIMITS }), 431);
    let target = "GET /abcd HTTP/1.1\r\nHost: a\r\n\r\n";
    assert_eq!(refused(target, Limits { target_bytes: 5, ..LIMITS }), 0);
    assert_eq!(refused(target, Limits { target_bytes: 4, ..LIMITS }), 414);
    assert_eq!(refused("GET /abcd", Limits { target_bytes: 5, ..LIMITS }), 1);
    assert_eq!(refused("GET /abcd", Limits { target_bytes: 4, ..LIMITS }), 414);
    assert_eq!(refused("GET /a?bcdef", Limits { target_bytes: 7, ..LIMITS }), 414);
    assert_eq!(refused("GET http://abcdefgh", Limits { target_bytes: 9, ..LIMITS }), 414);
}

#[test]
fn a_long_head_that_comes_in_pieces_is_read_when_it_is_whole() {
    let head = "\r\n\r\n".to_owned() + &get(&format!("X: {}\r\nY: z\r\n", "v".repeat(9000)));
    assert_eq!(status(&head), 0);
    assert_eq!(status(&get(&format!("X: {}\0\r\nY: z\r\n", "v".repeat(9000)))), 400);
}

#[test]
fn a_long_head_is_not_read_before_its_end_has_come() {
    let faulty = |bytes: usize| get(&format!("X: {}\0", "v".repeat(bytes)));
    let found = |head: &str| parse_request(head.trim_end().as_bytes(), &LIMITS, &mut Request::default());
    assert_eq!(found(&faulty(9000)), Ok(Parsed::Partial), "each byte would cost a pass over all before it");
    assert_eq!(found(&faulty(100)).map_err(|refusal| refusal.status), Err(400));
}

#[test]
fn bytes_after_a_head_are_left_alone() {
    let head = get("Content-Length: 4\r\n");
    let buf = format!("{head}\0\r\n\rGET /");
    assert_eq!(parse_request(buf.as_bytes(), &LIMITS, &mut Request::default()), Ok(Parsed::Complete(head.len())));
}

#[test]
fn a_request_that_is_used_again_forgets_the_one_before() {
    let mut out = Request::default();
    let first = "POST /a/../b?c HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\nContent-Length: 5\r\n\r\n";
    assert!(parse_request(first.as_bytes(), &LIMITS, &mut out).is_ok());
    let second = "GET /x HTTP/1.0\r\n\r\n";
    assert!(parse_request(second.as_bytes(), &LIMITS, &mut out).is_ok());
    assert_eq!(format!("{out:?}"), format!("{:?}", parse(second).unwrap()));
}

#[test]
fn a_refused_request_is_known_by_its_line_where_that_is_whole() {
    let line_of = |head: &str| {
        let mut out = Request::default();
        let found = parse_request(head.as_bytes(), &LIMITS, &mut out);
        assert!(!matches!(found, Ok(Parsed::Complete(_))), "{head:?}");
        assert_eq!((out.fields.len(), out.framing, out.keep_alive), (0, Framing::None, false), "{head:?}");
        let buf = head.as_bytes();
        (text(out.method_span.of(buf)).to_owned(), text(out.path.of(buf)).to_owned(), out.version)
    };
    let line = |method: &str, path: &str, version| (method.to_owned(), path.to_owned(), version);
    for rest in
        ["", "\r\n", "Host: a\r\nHost: b\r\n\r\n", "Host: a\r\nX: y\0\r\n\r\n", "Host: a\r\nContent-Length: 5\r\nX"]
    {
        let head = format!("PUT /a/../b?c HTTP/1.0\r\n{rest}");
        if rest != "\r\n" {
            assert_eq!(line_of(&head), line("PUT", "/a/../b", Version::Http10), "{head:?}");
        }
    }
    assert_eq!(line_of("GET /%00 HTTP/1.1\r\nHost: a\r\n\r\n"), line("GET", "/%00", Version::Http11));
    for none in
        ["GET", "GET /a", "GET /a HTTP/1.1\r", "GET /a HTTP/2.0\r\n", "G@T / HTTP/1.1\r\n", "GET /a b HTTP/1.1\r\n"]
    {
        assert_eq!(line_of(none), line("", "", Version::Http11), "{none:?}");
    }
}
