//! Answers on their way to a client: a backend's, and our own.

use std::borrow::Cow;

use wire::h1::{Parsed, parse_answer};
use wire::head::Answer;

use super::*;

const STAYS: Client = Client { version: Version::Http11, method: Method::Get, keep_alive: true };

fn old(keep_alive: bool) -> Client {
    Client { version: Version::Http10, method: Method::Get, keep_alive }
}

/// What a client gets of a backend's answer.
fn forward(client: Client, start: &str, fields: &str, rules: &Rules) -> (Begun, Vec<String>) {
    let text = format!("{start}\r\n{fields}\r\n");
    let mut answer = Answer::default();
    let parsed = parse_answer(text.as_bytes(), &LIMITS, client.method, &mut answer);
    assert_eq!(parsed, Ok(Parsed::Complete(text.len())), "{text}");
    let changes = rules.changes();
    let head = AnswerHead { answer: &answer, buf: text.as_bytes(), changes, request_done: true };
    let mut out = Vec::new();
    let begun = put_answer(&mut out, client, &head, &Calendar::at(784_887_151));
    (begun, lines(&out))
}

fn ok(client: Client, fields: &str) -> (Begun, Vec<String>) {
    forward(client, "HTTP/1.1 200 OK", fields, &Rules::none())
}

#[test]
fn rfc9112_4_the_status_line_keeps_code_and_reason_and_says_our_version() {
    for (start, expected) in [
        ("HTTP/1.1 200 OK", "HTTP/1.1 200 OK"),
        ("HTTP/1.0 404 Gone fishing", "HTTP/1.1 404 Gone fishing"),
        ("HTTP/1.1 299 ", "HTTP/1.1 299 "),
    ] {
        assert_eq!(forward(STAYS, start, "Content-Length: 0\r\n", &Rules::none()).1[0], expected);
    }
}

#[test]
fn rfc9110_7_6_1_fields_of_the_connection_stay_behind() {
    let (_, lines) = ok(
        STAYS,
        "Connection: close, x-mine\r\nKeep-Alive: timeout=5\r\nX-Mine: 1\r\nProxy-Authenticate: Basic\r\nUpgrade: h2c\r\n\
         Server: b\r\nContent-Length: 0\r\n",
    );
    for name in ["connection", "keep-alive", "x-mine", "proxy-authenticate", "upgrade"] {
        assert_eq!(values(&lines, name), [""; 0], "{name}");
    }
    assert_eq!(values(&lines, "server"), ["b"]);
}

/// Client, fields of the answer, framing towards the client, whether its connection goes on, coding, length, connection.
type Row = (Client, &'static str, Framing, bool, &'static str, &'static str, &'static str);

#[test]
fn rfc9112_6_3_each_client_gets_a_framing_that_it_knows() {
    let head = Client { method: Method::Head, ..STAYS };
    let closes = Client { keep_alive: false, ..STAYS };
    let table: [Row; 12] = [
        (STAYS, "Content-Length: 5\r\n", Framing::Length(5), true, "", "5", ""),
        (STAYS, "Transfer-Encoding: chunked\r\n", Framing::Chunked, true, "chunked", "", ""),
        (STAYS, "", Framing::Chunked, true, "chunked", "", ""),
        (closes, "Content-Length: 5\r\n", Framing::Length(5), false, "", "5", "close"),
        (closes, "", Framing::Chunked, false, "chunked", "", "close"),
        (old(false), "Content-Length: 5\r\n", Framing::Length(5), false, "", "5", "close"),
        (old(true), "Content-Length: 5\r\n", Framing::Length(5), true, "", "5", "keep-alive"),
        (old(true), "Transfer-Encoding: chunked\r\n", Framing::UntilClose, false, "", "", "close"),
        (old(true), "", Framing::UntilClose, false, "", "", "close"),
        (head, "Content-Length: 5\r\n", Framing::None, true, "", "5", ""),
        (head, "", Framing::None, true, "", "", ""),
        (head, "Transfer-Encoding: chunked\r\n", Framing::None, true, "", "", ""),
    ];
    for (client, fields, framing, keep_alive, coding, length, connection) in table {
        let (begun, lines) = ok(client, fields);
        let said =
            [values(&lines, "transfer-encoding"), values(&lines, "content-length"), values(&lines, "connection")];
        assert_eq!((begun.framing, begun.keep_alive), (framing, keep_alive), "{fields:?}");
        assert_eq!(said.map(|values| values.join(",")), [coding, length, connection], "{fields:?}");
    }
}

#[test]
fn rfc9110_15_answers_without_a_body_have_no_framing() {
    for (start, fields) in [
        ("HTTP/1.1 204 No Content", ""),
        ("HTTP/1.1 304 Not Modified", "ETag: \"x\"\r\n"),
        ("HTTP/1.1 304 Not Modified", "Content-Length: 77\r\n"),
        ("HTTP/1.1 103 Early Hints", "Link: </a.css>\r\n"),
    ] {
        for client in [STAYS, old(true)] {
            let (begun, lines) = forward(client, start, fields, &Rules::none());
            assert_eq!((begun.framing, begun.keep_alive), (Framing::None, true));
            assert_eq!(values(&lines, "transfer-encoding"), [""; 0]);
        }
    }
}

#[test]
fn rfc9110_15_2_an_interim_answer_says_nothing_of_the_connection() {
    let client = Client { keep_alive: false, ..STAYS };
    let (_, lines) = forward(client, "HTTP/1.1 100 Continue", "", &Rules::none());
    assert_eq!(lines, ["HTTP/1.1 100 Continue"]);
}

#[test]
fn rfc9110_7_8_a_switch_of_protocols_is_passed_on() {
    let fields = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: a\r\n";
    let (_, lines) = forward(STAYS, "HTTP/1.1 101 Switching Protocols", fields, &Rules::none());
    assert_eq!(values(&lines, "connection"), ["upgrade"]);
    assert_eq!(values(&lines, "upgrade"), ["websocket"]);
    assert_eq!(values(&lines, "sec-websocket-accept"), ["a"]);
}

#[test]
fn rules_remove_set_and_add() {
    let fields = "Server: b\r\nX-A: 1\r\nServer: c\r\nContent-Length: 0\r\n";
    let of = |rules: Rules| forward(STAYS, "HTTP/1.1 200 OK", fields, &rules).1;
    assert_eq!(values(&of(Rules::remove("server")), "server"), [""; 0]);
    let set = of(Rules::set("server", "ours"));
    assert_eq!((values(&set, "server"), values(&set, "x-a")), (vec!["ours"], vec!["1"]));
    let added = of(Rules { lines: "Server: d\r\n".to_owned(), ..Rules::none() });
    assert_eq!(values(&added, "server"), ["b", "c", "d"]);
}

/// An answer of our own: its head and its body.
fn own(client: Client, status: u16, fields: Vec<(&str, Cow<'_, [u8]>)>) -> (Vec<String>, Vec<u8>) {
    let mut out = Vec::new();
    let own = OwnAnswer { status, fields, body: b"no such page\n", request_done: true };
    put_own(&mut out, client, &own, &Calendar::at(0));
    let end = out.windows(4).position(|bytes| bytes == b"\r\n\r\n").expect("a head") + 4;
    (lines(&out[..end]), out[end..].to_vec())
}

#[test]
fn rfc9110_8_6_answers_of_our_own_have_a_length_and_a_date() {
    let (lines, body) = own(STAYS, 404, vec![("X-Why", Cow::from(&b"because"[..]))]);
    assert_eq!(lines[0], "HTTP/1.1 404 Not Found");
    assert_eq!(values(&lines, "content-length"), ["13"]);
    assert_eq!(values(&lines, "x-why"), ["because"]);
    assert_eq!(values(&lines, "connection"), [""; 0]);
    assert!(httpdate::parse_http_date(values(&lines, "date")[0]).is_ok());
    assert_eq!(body, b"no such page\n");
}

#[test]
fn rfc9110_9_3_2_an_answer_to_head_has_the_length_and_not_the_body() {
    let (lines, body) = own(Client { method: Method::Head, ..STAYS }, 404, Vec::new());
    assert_eq!((values(&lines, "content-length"), body.len()), (vec!["13"], 0));
}

#[test]
fn rfc9110_15_3_5_and_15_4_5_have_neither() {
    for status in [204, 304] {
        let (lines, body) = own(STAYS, status, Vec::new());
        assert_eq!((values(&lines, "content-length").len(), body.len()), (0, 0));
    }
}

#[test]
fn rfc9112_9_3_a_connection_that_closes_says_so() {
    let closes = Client { keep_alive: false, ..STAYS };
    for (client, expected) in [(STAYS, ""), (closes, "close"), (old(true), "keep-alive"), (old(false), "close")] {
        assert_eq!(values(&own(client, 404, Vec::new()).0, "connection").join(","), expected);
    }
}

#[test]
fn rfc9110_6_6_1_an_answer_without_a_date_gets_one() {
    let ours = ["Tue, 15 Nov 1994 08:12:31 GMT"];
    for (start, fields, expected) in [
        ("HTTP/1.1 200 OK", "Content-Length: 0\r\n", &ours[..]),
        ("HTTP/1.1 304 Not Modified", "", &ours),
        ("HTTP/1.1 500 No", "Content-Length: 0\r\n", &ours),
        ("HTTP/1.1 200 OK", "date: theirs\r\nContent-Length: 0\r\n", &["theirs"]),
        ("HTTP/1.1 103 Early Hints", "", &[]),
    ] {
        let (_, lines) = forward(STAYS, start, fields, &Rules::none());
        assert_eq!(values(&lines, "date"), expected, "{start} {fields}");
    }
    let (_, lines) = forward(STAYS, "HTTP/1.1 200 OK", "Content-Length: 0\r\n", &Rules::remove("Date"));
    assert_eq!(values(&lines, "date"), [""; 0], "a rule has the last word");
    let (_, lines) = forward(STAYS, "HTTP/1.1 200 OK", "Date: a\r\nContent-Length: 0\r\n", &Rules::set("date", "b"));
    assert_eq!(values(&lines, "date"), ["b"]);
}

#[test]
fn rfc9110_8_6_an_answer_that_has_no_body_says_no_length() {
    for (start, expected) in [("HTTP/1.1 204 No Content", &[""; 0][..]), ("HTTP/1.1 200 OK", &["0"])] {
        let (_, lines) = forward(STAYS, start, "Content-Length: 0\r\n", &Rules::none());
        assert_eq!(values(&lines, "content-length"), expected, "{start}");
    }
}
