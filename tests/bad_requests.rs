//! Malformed and ambiguous requests: refused, each with its status, and no backend gets to see a byte.

use crate::harness::{Backend, Evenkeel, GET, Method, OK, Setup, eventually, text};

/// What is sent, what is wrong with it, and the status that says so.
struct Case {
    about: &'static str,
    sent: Vec<u8>,
    status: u16,
}

fn case(status: u16, about: &'static str, sent: impl AsRef<[u8]>) -> Case {
    Case { about, sent: sent.as_ref().to_vec(), status }
}

/// A request with these field lines (each ends with CRLF).
fn with_fields(status: u16, about: &'static str, fields: &str) -> Case {
    case(status, about, format!("POST / HTTP/1.1\r\nHost: a\r\n{fields}\r\n"))
}

fn with_target(status: u16, about: &'static str, target: &str) -> Case {
    case(status, about, format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n"))
}

fn with_host(status: u16, about: &'static str, host: &str) -> Case {
    case(status, about, format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n"))
}

fn request_lines() -> Vec<Case> {
    vec![
        case(400, "no method", " / HTTP/1.1\r\nHost: a\r\n\r\n"),
        case(400, "method with a colon", "G:T / HTTP/1.1\r\nHost: a\r\n\r\n"),
        case(400, "control character in the method", "G\x01T / HTTP/1.1\r\nHost: a\r\n\r\n"),
        case(501, "endless method", format!("{} / HTTP/1.1\r\nHost: a\r\n\r\n", "M".repeat(100))),
        case(501, "CONNECT", "CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n"),
        case(501, "TRACE", "TRACE / HTTP/1.1\r\nHost: a\r\n\r\n"),
        case(400, "HTTP/0.9", "GET /\r\n\r\n"),
        case(400, "two spaces", "GET  / HTTP/1.1\r\nHost: a\r\n\r\n"),
        case(400, "space at the end", "GET / HTTP/1.1 \r\nHost: a\r\n\r\n"),
        case(400, "tab in place of a space", "GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n"),
        case(400, "lower-case version", "GET / http/1.1\r\nHost: a\r\n\r\n"),
        case(400, "version without a dot", "GET / HTTP/11\r\nHost: a\r\n\r\n"),
        case(400, "version with two digits", "GET / HTTP/1.10\r\nHost: a\r\n\r\n"),
        case(505, "HTTP/2.0", "GET / HTTP/2.0\r\nHost: a\r\n\r\n"),
        case(505, "HTTP/0.9 by name", "GET / HTTP/0.9\r\nHost: a\r\n\r\n"),
        case(400, "preface of an HTTP/2 that nobody speaks", "PRI * HTTP/2.1\r\n\r\nSM\r\n\r\n"),
        case(400, "bare LF", "GET / HTTP/1.1\nHost: a\n\n"),
        case(400, "bare CR", "GET / HTTP/1.1\rHost: a\r\r"),
        case(400, "TLS hello", b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03AAAA\r\n\r\n"),
        case(400, "empty lines without end", "\r\n".repeat(50)),
    ]
}

fn targets() -> Vec<Case> {
    vec![
        with_target(400, "relative path", "a/b"),
        with_target(400, "fragment", "/a#b"),
        with_target(400, "asterisk with GET", "*"),
        with_target(400, "other scheme", "ftp://a/"),
        with_target(400, "no authority in absolute form", "http:///a"),
        with_target(400, "user information in absolute form", "http://u:p@a/"),
        with_target(400, "escaped NUL", "/a%00b"),
        with_target(400, "escaped line end", "/a%0d%0aX:1"),
        with_target(400, "escaped DEL", "/a%7f"),
        with_target(400, "broken escape", "/a%zz"),
        with_target(400, "escape cut short", "/a%2"),
        with_target(400, "backslash", "/a\\..\\b"),
        with_target(400, "bytes beyond ASCII", "/\u{e9}"),
        with_target(414, "9,000 bytes of path", &format!("/{}", "a".repeat(9000))),
        with_target(414, "9,000 bytes of query", &format!("/?{}", "a".repeat(9000))),
    ]
}

fn hosts() -> Vec<Case> {
    vec![
        case(400, "no Host", "GET / HTTP/1.1\r\n\r\n"),
        case(400, "two Hosts", "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"),
        case(400, "the same Host twice", "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n"),
        with_host(400, "empty Host", ""),
        with_host(400, "two hosts in one", "a, b"),
        with_host(400, "space in Host", "a b"),
        with_host(400, "user information in Host", "u@a"),
        with_host(400, "path in Host", "a/b"),
        with_host(400, "port out of range", "a:65536"),
        with_host(400, "port that is no number", "a:8o"),
        with_host(400, "broken IPv6 address", "[::1"),
        with_host(400, "percent-escape in Host", "a%2eb"),
    ]
}

fn fields() -> Vec<Case> {
    vec![
        with_fields(400, "space before the colon", "X-A : 1\r\n"),
        with_fields(400, "line folding", "X-A: 1\r\n 2\r\n"),
        with_fields(400, "white space before the first name", " X-A: 1\r\n"),
        with_fields(400, "no colon", "X-A\r\n"),
        with_fields(400, "empty name", ": 1\r\n"),
        with_fields(400, "invalid name", "X{A}: 1\r\n"),
        with_fields(400, "NUL in a value", "X-A: a\0b\r\n"),
        with_fields(400, "bare CR in a value", "X-A: a\rb\r\n"),
        with_fields(400, "bare LF after a field", "X-A: a\nX-B: b\r\n"),
        with_fields(431, "101 fields and more", &"X-A: 1\r\n".repeat(120)),
        with_fields(431, "a field of 40,000 bytes", &format!("X-A: {}\r\n", "a".repeat(40_000))),
        with_fields(417, "other expectation", "Expect: gold\r\nContent-Length: 0\r\n"),
        with_fields(400, "Connection names Host", "Connection: Host\r\n"),
        with_fields(400, "Connection names Content-Length", "Connection: Content-Length\r\nContent-Length: 0\r\n"),
        with_fields(
            400,
            "Connection names Transfer-Encoding",
            "Connection: Transfer-Encoding\r\nTransfer-Encoding: chunked\r\n",
        ),
    ]
}

fn framing() -> Vec<Case> {
    vec![
        with_fields(400, "length and chunked", "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n"),
        with_fields(400, "chunked and length", "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n"),
        with_fields(400, "two lengths", "Content-Length: 3\r\nContent-Length: 4\r\n"),
        with_fields(400, "two lengths in one", "Content-Length: 3, 4\r\n"),
        with_fields(400, "signed length", "Content-Length: +3\r\n"),
        with_fields(400, "negative length", "Content-Length: -3\r\n"),
        with_fields(400, "hexadecimal length", "Content-Length: 0x3\r\n"),
        with_fields(400, "empty length", "Content-Length:\r\n"),
        with_fields(400, "length beyond all numbers", "Content-Length: 99999999999999999999999\r\n"),
        with_fields(501, "other coding", "Transfer-Encoding: gzip, chunked\r\n"),
        with_fields(400, "chunked is not last", "Transfer-Encoding: chunked, gzip\r\n"),
        with_fields(400, "chunked twice", "Transfer-Encoding: chunked, chunked\r\n"),
        with_fields(400, "chunked twice in two lines", "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"),
        with_fields(400, "empty coding", "Transfer-Encoding:\r\n"),
        with_fields(400, "identity", "Transfer-Encoding: identity\r\n"),
        with_fields(400, "chunked behind a control character", "Transfer-Encoding: \x0bchunked\r\n"),
        case(400, "chunked in HTTP/1.0", "POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    ]
}

/// Bodies that turn out to be wrong after the head has passed.
fn chunked_bodies() -> Vec<Case> {
    let chunked = |about, body: &str| with_body(about, body);
    vec![
        chunked("no chunk size", "\r\nabc\r\n0\r\n\r\n"),
        chunked("chunk size that is no number", "zz\r\nabc\r\n0\r\n\r\n"),
        chunked("signed chunk size", "+3\r\nabc\r\n0\r\n\r\n"),
        chunked("0x in a chunk size", "0x3\r\nabc\r\n0\r\n\r\n"),
        chunked("chunk size beyond all numbers", "fffffffffffffffff\r\nabc\r\n0\r\n\r\n"),
        chunked("space before the chunk size", " 3\r\nabc\r\n0\r\n\r\n"),
        chunked("bare LF after a chunk size", "3\nabc\r\n0\r\n\r\n"),
        chunked("chunk longer than it says", "3\r\nabcd\r\n0\r\n\r\n"),
        chunked("bare LF after a chunk", "3\r\nabc\n0\r\n\r\n"),
        chunked("NUL in a chunk extension", "3;a=\0\r\nabc\r\n0\r\n\r\n"),
        chunked("trailer without a colon", "3\r\nabc\r\n0\r\nX-A\r\n\r\n"),
        chunked("request line among the trailers", "0\r\nGET /hidden HTTP/1.1\r\nHost: a\r\n\r\n"),
        chunked("folded trailer", "3\r\nabc\r\n0\r\nX-A: 1\r\n 2\r\n\r\n"),
    ]
}

fn with_body(about: &'static str, body: &str) -> Case {
    case(400, about, format!("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{body}"))
}

/// Sends a case with a good request behind it; what came back as long as something came.
fn answers(front: &Evenkeel, case: &Case) -> Vec<u16> {
    let mut client = front.client();
    let _ = client.try_send([case.sent.as_slice(), GET.as_bytes()].concat());
    let mut statuses = Vec::new();
    while let Ok(answer) = client.read_answer(Method::Other) {
        statuses.push(answer.status());
    }
    statuses
}

/// Each case gets its status, then the connection closes: nothing behind it is served, nothing reaches a backend.
fn refused_unseen(cases: Vec<Case>) {
    let backend = Backend::answering(OK);
    let front = Setup::new(&backend).start();
    let mut wrong = Vec::new();
    for case in &cases {
        let statuses = answers(&front, case);
        if statuses != [case.status] {
            wrong.push(format!("{}: {statuses:?} instead of {}: {:?}", case.about, case.status, shown(case)));
        }
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
    assert_eq!(backend.received(), "", "a backend saw something");
    assert_eq!(backend.connections(), 0);
    assert_eq!(front.counter("refused"), u64::try_from(cases.len()).unwrap());
    assert_eq!(front.exchange(GET).status(), 200);
}

fn shown(case: &Case) -> String {
    text(&case.sent).chars().take(200).collect()
}

#[test]
fn rfc9112_3_malformed_request_lines_are_refused() {
    refused_unseen(request_lines());
}

#[test]
fn rfc9112_3_2_malformed_targets_are_refused() {
    refused_unseen(targets());
}

#[test]
fn rfc9112_3_2_ambiguous_hosts_are_refused() {
    refused_unseen(hosts());
}

#[test]
fn rfc9112_5_malformed_fields_are_refused() {
    refused_unseen(fields());
}

#[test]
fn rfc9112_6_ambiguous_framing_is_refused() {
    refused_unseen(framing());
}

#[test]
fn rfc9112_7_1_malformed_chunks_are_refused_and_never_look_whole() {
    let backend = Backend::answering(OK);
    let front = Setup::new(&backend).start();
    let cases = chunked_bodies();
    for case in &cases {
        let statuses = answers(&front, case);
        assert_eq!(statuses, [case.status], "{}: {:?}", case.about, shown(case));
    }
    assert_eq!(backend.requests(), [], "no backend read a whole request");
    eventually("all are on record", || front.failures().len() == cases.len());
    let failures = front.failures();
    assert!(failures.iter().all(|failure| failure["cause"] == "bad-request"), "{failures:?}");
}

#[test]
fn refusals_say_why() {
    let backend = Backend::answering(OK);
    let front = Setup::new(&backend).start();
    let answer = front.exchange("GET / HTTP/1.1\r\n\r\n");
    assert!(answer.lists("Connection", "close"), "{answer:?}");
    assert!(answer.value("Proxy-Status").contains("error=http_request_error"), "{answer:?}");
    assert!(answer.body_text().contains("no Host"), "{answer:?}");
    let failure = front.failure();
    assert_eq!((&failure["cause"], &failure["status"]), (&"bad-request".into(), &400.into()));
}

#[test]
fn refused_requests_are_known_by_their_line_where_it_can_be_read() {
    let backend = Backend::answering(OK);
    let front = Setup::new(&backend).start();
    let seen = |number: usize, key: &str| front.failures()[number][key].clone();
    let refused = [
        ("PUT /a/b?c HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", "PUT", "/a/b"),
        ("POST http://shop.example/a HTTP/1.1\r\nHost: a\r\nX-A : 1\r\n\r\n", "POST", "/a"),
        ("GET /%00 HTTP/1.1\r\nHost: a\r\n\r\n", "GET", "/%00"),
        ("HEAD /a HTTP/1.1\r\n\r\n", "HEAD", "/a"),
        ("GET /a b HTTP/1.1\r\nHost: a\r\n\r\n", "", ""),
        ("\x16\x03\x01", "", ""),
    ];
    for (number, (request, method, path)) in refused.into_iter().enumerate() {
        let asked = if method == "HEAD" { Method::Head } else { Method::Other };
        let mut client = front.client();
        client.send(request);
        assert_eq!(client.answer(asked).status(), 400, "{request:?}");
        client.expect_close();
        eventually("the failure is on record", || front.failures().len() > number);
        assert_eq!((seen(number, "method"), seen(number, "path")), (method.into(), path.into()), "{request:?}");
    }
    assert_eq!(seen(1, "host"), "shop.example");
}

#[test]
fn refused_head_does_not_spoil_what_was_asked_before_it() {
    let backend = Backend::answering(OK);
    let front = Setup::new(&backend).start();
    let mut client = front.client();
    client.send(format!("{GET}{GET}GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n{GET}"));
    let statuses: Vec<u16> = (0..3).map(|_| client.answer(Method::Other).status()).collect();
    assert_eq!(statuses, [200, 200, 400]);
    client.expect_close();
    assert_eq!(backend.requests().len(), 2);
}

#[test]
fn rfc9112_9_6_a_refused_client_that_still_sends_reads_its_answer() {
    let backend = Backend::answering(OK);
    let front = Setup::new(&backend).more("[limits]\nbody_bytes = \"1KiB\"").start();
    let mut client = front.client();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 500000\r\n\r\n");
    client.send(vec![b'x'; 500_000]);
    assert_eq!(client.answer(Method::Other).status(), 413);
}

/// Refused before a megabyte has been taken.
fn refused_early(start: &str, endless: &str) {
    let backend = Backend::answering(OK);
    let front = Setup::new(&backend).start();
    let mut client = front.client();
    let _ = client.try_send(start);
    let _ = client.try_send(endless.repeat(1_000_000 / endless.len()));
    let status = client.answer(Method::Other).status();
    assert!(matches!(status, 400 | 413 | 431), "{status}");
    assert_eq!(backend.requests(), []);
}

#[test]
fn rfc9112_7_1_1_endless_chunk_extensions_are_refused() {
    refused_early("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3;", "a=b;");
}

#[test]
fn rfc9112_7_1_2_endless_trailers_are_refused() {
    let start = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n";
    refused_early(start, "X-A: 1\r\n");
}

#[test]
fn rfc9112_7_1_chunk_sizes_without_end_are_refused() {
    refused_early("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", "0");
}
