//! Lines and field syntax.

use wire::h1::{Parsed, parse_request};
use wire::head::Request;

use super::{LIMITS, get, parse, status, text};

#[test]
fn rfc9112_2_2_up_to_four_empty_lines_are_passed_over() {
    for lines in 0..=6 {
        let head = "\r\n".repeat(lines) + &get("");
        assert_eq!(status(&head), if lines <= 4 { 0 } else { 400 }, "{lines}");
    }
    assert_eq!(status("\n\nGET / HTTP/1.1\r\nHost: a\r\n\r\n"), 400);
    assert_eq!(status("\r\rGET / HTTP/1.1\r\nHost: a\r\n\r\n"), 400);
}

#[test]
fn rfc9112_2_2_bare_line_ends_are_refused() {
    let table = [
        "GET / HTTP/1.1\nHost: a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\n\n",
        "GET / HTTP/1.1\r\nHost: a\r\n\rX\r\n",
        "GET / HTTP/1.1\r\rHost: a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\rX: b\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nX: b\r\r\n\r\n",
        "GET /\r HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET\r\n / HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nX\r: b\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nX\n: b\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nX:\n b\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nX: b\nTransfer-Encoding: chunked\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nX: b\n\nGET /admin HTTP/1.1\r\n\r\n",
    ];
    for head in table {
        assert_eq!(status(head), 400, "{head:?}");
    }
}

#[test]
fn rfc9112_2_2_white_space_before_the_first_field_is_refused() {
    assert_eq!(status("GET / HTTP/1.1\r\n Host: a\r\n\r\n"), 400);
    assert_eq!(status("GET / HTTP/1.1\r\n\tX: b\r\nHost: a\r\n\r\n"), 400);
    assert_eq!(status("GET / HTTP/1.1\r\n \r\nHost: a\r\n\r\n"), 400);
}

#[test]
fn rfc9112_5_1_field_names_are_tokens_directly_before_the_colon() {
    for line in [
        "X : b",
        "X\t: b",
        ": b",
        "X",
        "X Y: b",
        "X(: b",
        "X\"y: b",
        "X\0: b",
        "\u{e9}: b",
        "X\u{7f}: b",
        "{}: b",
        "X/Y: b",
        "X@: b",
        "Content-Length : 5",
        "Transfer-Encoding\t: chunked",
        "Host : b",
        "[]: b",
        "=:b",
        ",:b",
        ";:b",
    ] {
        assert_eq!(status(&get(&format!("{line}\r\n"))), 400, "{line:?}");
    }
    assert_eq!(status(&get("!#$%&'*+-.^_`|~09azAZ: b\r\n")), 0);
}

#[test]
fn rfc9112_5_2_line_folding_is_refused() {
    assert_eq!(status(&get("X: a\r\n b\r\n")), 400);
    assert_eq!(status(&get("X: a\r\n\tb\r\n")), 400);
    assert_eq!(status(&get("X: a\r\n \r\n")), 400);
    assert_eq!(status(&get("Transfer-Encoding:\r\n chunked\r\n")), 400);
}

#[test]
fn rfc9110_5_5_values_hold_text_and_no_control_character() {
    for byte in 0..=255_u8 {
        let head = [b"GET / HTTP/1.1\r\nHost: a\r\nX: b", &[byte][..], b"c\r\n\r\n"].concat();
        let mut out = Request::default();
        let found = parse_request(&head, &LIMITS, &mut out);
        if byte >= 0x20 && byte != 0x7f || byte == b'\t' {
            assert_eq!(found, Ok(Parsed::Complete(head.len())), "{byte:#x}");
            assert_eq!(out.field(&head, b"x"), Some(&[b'b', byte, b'c'][..]));
        } else {
            assert_eq!(found.map_err(|refusal| refusal.status), Err(400), "{byte:#x}");
        }
    }
}

#[test]
fn rfc9110_5_5_white_space_around_values_is_not_part_of_them() {
    let head = get("A:b\r\nC: \t d\t e \t\r\nF:\t\r\nG: \r\nH:\r\n");
    let request = parse(&head).unwrap();
    for (name, value) in [("a", "b"), ("c", "d\t e"), ("f", ""), ("g", ""), ("h", "")] {
        assert_eq!(request.field(head.as_bytes(), name.as_bytes()).map(text), Some(value), "{name}");
    }
}
