//! Answer heads.

use wire::h1::{Limits, Malformed, Parsed, parse_answer};
use wire::head::{Answer, Framing, Method, Version};

use super::LIMITS;

fn parse_for(method: Method, head: &str) -> Result<Answer, Malformed> {
    let mut out = Answer::default();
    for length in 0..head.len() {
        let found = parse_answer(&head.as_bytes()[..length], &LIMITS, method, &mut out);
        assert!(!matches!(found, Ok(Parsed::Complete(_))), "complete at {length} of {head:?}");
    }
    let parsed = parse_answer(head.as_bytes(), &LIMITS, method, &mut out)?;
    assert_eq!(parsed, Parsed::Complete(head.len()), "{head:?}");
    Ok(out)
}

fn parse(head: &str) -> Result<Answer, Malformed> {
    parse_for(Method::Get, head)
}

/// An answer of this status with these field lines.
fn with(status: u16, lines: &str) -> Result<Answer, Malformed> {
    parse(&format!("HTTP/1.1 {status} X\r\n{lines}\r\n"))
}

#[test]
fn a_plain_answer_is_read() {
    let head = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-Y:  z \r\n\r\n";
    let (answer, buf) = (parse(head).unwrap(), head.as_bytes());
    assert_eq!((answer.status, answer.version, answer.framing), (200, Version::Http11, Framing::Length(5)));
    assert_eq!(answer.reason.of(buf), b"OK");
    assert!(answer.keep_alive);
    assert_eq!(answer.field(buf, b"x-y"), Some(&b"z"[..]));
}

#[test]
fn rfc9112_4_status_lines_are_strict_but_for_a_missing_reason() {
    let table = [
        ("HTTP/1.1 200 OK", 200, "OK"),
        ("HTTP/1.0 404 Not Found", 404, "Not Found"),
        ("HTTP/1.1 200 ", 200, ""),
        ("HTTP/1.1 200", 200, ""),
        ("HTTP/1.7 599 a\tb", 599, "a\tb"),
        ("HTTP/1.1 200  two", 200, " two"),
        ("HTTP/1.1 299 \u{e9}", 299, "\u{e9}"),
    ];
    for (line, status, reason) in table {
        let head = format!("{line}\r\n\r\n");
        let answer = parse(&head).unwrap();
        assert_eq!((answer.status, answer.reason.of(head.as_bytes())), (status, reason.as_bytes()), "{line:?}");
    }
    let malformed = [
        "HTTP/2.0 200 OK",
        "HTTP/0.9 200 OK",
        "http/1.1 200 OK",
        "HTTP/1.1  200 OK",
        "HTTP/1.1 20 OK",
        "HTTP/1.1 2000 OK",
        "HTTP/1.1 2x0 OK",
        "HTTP/1.1 099 X",
        "HTTP/1.1 600 X",
        "HTTP/1.1 000 X",
        "HTTP/1.1 999 X",
        "HTTP/1.1\t200 OK",
        "HTTP/1.1 200\tOK",
        "HTTP/1.1 200 O\0K",
        "HTTP/1.1 200 O\u{7f}K",
        "HTTP/1.1 200 O\rK",
        "HTTP/11 200 OK",
        "HTTP/1.x 200 OK",
        " HTTP/1.1 200 OK",
        "\r\nHTTP/1.1 200 OK",
        "ICY 200 OK",
        "<html>",
        "HTTP/1.1 +20 OK",
        "HTTP/1.1 -20 OK",
        "HTTP/1.1 200OK",
    ];
    for line in malformed {
        assert!(parse(&format!("{line}\r\n\r\n")).is_err(), "{line:?}");
    }
}

#[test]
fn rfc9112_2_2_and_5_broken_lines_are_malformed() {
    let table = [
        "HTTP/1.1 200 OK\n\r\n",
        "HTTP/1.1 200\n\r\n",
        "HTTP/1.1 200 OK\r\nX: y\n\r\n",
        "HTTP/1.1 200 OK\r\nX: y\r\n\n",
        "HTTP/1.1 200 OK\r\n X: y\r\n\r\n",
        "HTTP/1.1 200 OK\r\nX: y\r\n z\r\n\r\n",
        "HTTP/1.1 200 OK\r\nX : y\r\n\r\n",
        "HTTP/1.1 200 OK\r\n: y\r\n\r\n",
        "HTTP/1.1 200 OK\r\nX\r\n\r\n",
        "HTTP/1.1 200 OK\r\nX: a\0b\r\n\r\n",
        "HTTP/1.1 200 OK\r\nX: a\rb\r\n\r\n",
        "HTTP/1.1 200 OK\r\nX: a\u{1b}b\r\n\r\n",
        "HTTP/1.1 200 OK\r\n\rX\r\n",
    ];
    for head in table {
        assert!(parse(head).is_err(), "{head:?}");
    }
}

#[test]
fn rfc9112_6_3_answers_that_never_have_a_body() {
    let lines = ["", "Content-Length: 5\r\n", "Transfer-Encoding: chunked\r\n"];
    for line in lines {
        let head = format!("HTTP/1.1 200 OK\r\n{line}\r\n");
        assert_eq!(parse_for(Method::Head, &head).unwrap().framing, Framing::None, "HEAD {line:?}");
        assert_eq!(with(304, line).unwrap().framing, Framing::None, "304 {line:?}");
    }
    for status in [100, 101, 103, 199, 204] {
        assert_eq!(with(status, "").unwrap().framing, Framing::None, "{status}");
        assert_eq!(with(status, "Content-Length: 0\r\n").unwrap().framing, Framing::None, "{status}");
        assert!(with(status, "Content-Length: 5\r\n").is_err(), "{status}");
        assert!(with(status, "Transfer-Encoding: chunked\r\n").is_err(), "{status}");
    }
}

#[test]
fn rfc9112_6_3_length_chunked_or_until_the_connection_closes() {
    assert_eq!(with(200, "Content-Length: 0\r\n").unwrap().framing, Framing::Length(0));
    assert_eq!(with(500, "Content-Length: 18446744073709551615\r\n").unwrap().framing, Framing::Length(u64::MAX));
    assert_eq!(with(200, "Transfer-Encoding: Chunked\r\n").unwrap().framing, Framing::Chunked);
    for head in ["HTTP/1.1 200 OK\r\n\r\n", "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n\r\n"] {
        let answer = parse(head).unwrap();
        assert_eq!((answer.framing, answer.keep_alive), (Framing::UntilClose, false), "{head:?}");
    }
}

#[test]
fn rfc9112_6_3_framing_in_doubt_is_malformed() {
    for method in [Method::Get, Method::Head] {
        for lines in [
            "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
            "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
            "Content-Length: 5\r\nContent-Length: 6\r\n",
            "Content-Length: 5\r\nContent-Length: 5\r\n",
            "Content-Length: 5, 5\r\n",
            "Content-Length: \r\n",
            "Content-Length: -1\r\n",
            "Content-Length: 18446744073709551616\r\n",
            "Transfer-Encoding: gzip\r\n",
            "Transfer-Encoding: gzip, chunked\r\n",
            "Transfer-Encoding: chunked, chunked\r\n",
            "Transfer-Encoding: chunked, identity\r\n",
            "Transfer-Encoding:\r\n",
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
            "Transfer-Encoding: identity\r\n",
        ] {
            assert!(parse_for(method, &format!("HTTP/1.1 200 OK\r\n{lines}\r\n")).is_err(), "{lines:?}");
        }
        let head = "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
        assert!(parse_for(method, head).is_err());
    }
}

#[test]
fn rfc9112_9_3_persistence_follows_version_and_connection() {
    let table = [
        ("1.1", "", true),
        ("1.1", "Connection: close\r\n", false),
        ("1.1", "Connection: x, Close\r\n", false),
        ("1.0", "", false),
        ("1.0", "Connection: Keep-Alive\r\n", true),
        ("1.0", "Connection: keep-alive, close\r\n", false),
        ("1.2", "", true),
    ];
    for (version, lines, keep_alive) in table {
        let answer = parse(&format!("HTTP/{version} 200 OK\r\nContent-Length: 0\r\n{lines}\r\n")).unwrap();
        assert_eq!(answer.keep_alive, keep_alive, "{version} {lines:?}");
    }
}

#[test]
fn rfc9110_7_6_1_hop_by_hop_fields_are_marked_and_protected_ones_kept() {
    let head = "HTTP/1.1 200 OK\r\nConnection: X-Hop, content-length, via, a b\r\nX-Hop: 1\r\nKeep-Alive: x\r\nContent-Length: 5\r\n\
                Via: x\r\nUpgrade: h2\r\nProxy-Authenticate: x\r\nTrailer: x\r\nSet-Cookie: x\r\n\r\n";
    let answer = parse(head).unwrap();
    let kept: Vec<_> = answer.fields.iter().filter(|f| !f.hop_by_hop).map(|f| f.name.of(head.as_bytes())).collect();
    assert_eq!(kept, [&b"Content-Length"[..], b"Via", b"Trailer", b"Set-Cookie"]);
}

#[test]
fn rfc9110_7_8_upgrade_counts_on_101_only() {
    let head = "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n";
    assert_eq!(parse(head).unwrap().upgrade.of(head.as_bytes()), b"websocket");
    assert!(with(200, "Connection: upgrade\r\nUpgrade: websocket\r\n").unwrap().upgrade.is_empty());
    assert!(with(426, "Connection: upgrade\r\nUpgrade: websocket\r\n").unwrap().upgrade.is_empty());
}

#[test]
fn limits_are_exact() {
    let head = "HTTP/1.1 200 OK\r\nA: b\r\nC: d\r\n\r\n";
    let parsed = |limits: &Limits| parse_answer(head.as_bytes(), limits, Method::Get, &mut Answer::default());
    assert_eq!(parsed(&Limits { head_bytes: head.len(), ..LIMITS }), Ok(Parsed::Complete(head.len())));
    assert!(parsed(&Limits { head_bytes: head.len() - 1, ..LIMITS }).is_err());
    assert_eq!(parsed(&Limits { fields: 2, ..LIMITS }), Ok(Parsed::Complete(head.len())));
    assert!(parsed(&Limits { fields: 1, ..LIMITS }).is_err());
}

#[test]
fn an_answer_that_is_used_again_forgets_the_one_before() {
    let mut out = Answer::default();
    let first = "HTTP/1.1 101 X\r\nUpgrade: websocket\r\n\r\n";
    assert!(parse_answer(first.as_bytes(), &LIMITS, Method::Get, &mut out).is_ok());
    let second = "HTTP/1.0 200 OK\r\n\r\n";
    assert!(parse_answer(second.as_bytes(), &LIMITS, Method::Get, &mut out).is_ok());
    assert_eq!(format!("{out:?}"), format!("{:?}", parse(second).unwrap()));
}

#[test]
fn rfc9110_6_6_1_whether_there_is_a_date_is_known() {
    for (lines, has_date) in [("", false), ("Date: x\r\n", true), ("date:x\r\n", true), ("X-Date: x\r\n", false)] {
        let head = format!("HTTP/1.1 200 X\r\n{lines}ETag: x\r\n\r\n");
        assert_eq!(parse(&head).unwrap().has_date(head.as_bytes()), has_date, "{lines:?}");
    }
}

#[test]
fn rfc9110_8_6_a_length_of_nothing_stays_behind_where_there_may_be_none() {
    for (status, stays) in [(200, true), (204, false), (103, false), (304, true)] {
        let answer = with(status, "Content-Length: 0\r\n").unwrap();
        assert_eq!(!answer.fields[0].hop_by_hop, stays, "{status}");
    }
}
