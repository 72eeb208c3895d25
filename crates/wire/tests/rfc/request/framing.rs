//! How the end of a request body is found.

use wire::head::Framing;

use super::{get, status, with};

#[test]
fn rfc9112_6_3_a_request_without_length_or_coding_has_no_body() {
    assert_eq!(with("").unwrap().framing, Framing::None);
    assert_eq!(with("Content-Length: 0\r\n").unwrap().framing, Framing::Length(0));
    assert_eq!(with("Content-Length: 18446744073709551615\r\n").unwrap().framing, Framing::Length(u64::MAX));
    assert_eq!(with("Content-Length: 007\r\n").unwrap().framing, Framing::Length(7));
}

#[test]
fn rfc9112_6_3_both_length_and_chunked_is_refused() {
    assert_eq!(status(&get("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n")), 400);
    assert_eq!(status(&get("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n")), 400);
    assert_eq!(status(&get("transfer-encoding: CHUNKED\r\nX: y\r\ncontent-length: 0\r\n")), 400);
    assert_eq!(status(&get("Transfer-Encoding: \r\nContent-Length: 5\r\n")), 400);
    assert_eq!(status(&get("Transfer-Encoding: gzip\r\nContent-Length: 5\r\n")), 400);
}

#[test]
fn rfc9112_6_3_invalid_or_repeated_lengths_are_refused() {
    for value in [
        "",
        "+5",
        "-5",
        "5 5",
        "5,5",
        "5, 5",
        "5,",
        ",5",
        "0x5",
        "5.0",
        "5e1",
        "18446744073709551616",
        "99999999999999999999999999",
        "five",
        "5;q=1",
        "\"5\"",
        "\u{665}",
        "5\t5",
        "1_000",
    ] {
        assert_eq!(status(&get(&format!("Content-Length: {value}\r\n"))), 400, "{value:?}");
    }
    assert_eq!(status(&get("Content-Length: 5\r\nContent-Length: 6\r\n")), 400);
    assert_eq!(status(&get("Content-Length: 5\r\nContent-Length: 5\r\n")), 400);
    assert_eq!(status(&get("Content-Length: 5\r\nX: y\r\ncontent-LENGTH: 5\r\n")), 400);
}

#[test]
fn rfc9112_6_1_exactly_chunked_is_the_only_coding_taken() {
    for value in ["chunked", "Chunked", "CHUNKED", " chunked ", ",chunked", "chunked,", ", ,chunked\t, ,"] {
        assert_eq!(with(&format!("Transfer-Encoding: {value}\r\n")).unwrap().framing, Framing::Chunked, "{value:?}");
    }
    assert_eq!(with("Transfer-Encoding: ,\r\nTransfer-Encoding: chunked\r\n").unwrap().framing, Framing::Chunked);
    for lines in ["gzip, chunked", "identity, chunked", "xchunked, chunked", "gzip\r\nTransfer-Encoding: chunked"] {
        assert_eq!(status(&get(&format!("Transfer-Encoding: {lines}\r\n"))), 501, "{lines:?}");
    }
}

#[test]
fn rfc9112_6_3_a_request_coding_that_does_not_end_in_chunked_is_refused() {
    for lines in [
        "",
        ",",
        "gzip",
        "identity",
        "chunked, gzip",
        "chunked, chunked",
        "gzip, chunked, chunked",
        "chunked;q=1",
        "chunked ;x=y",
        "\"chunked\"",
        "xchunked",
        "chunkedx",
        "chunked\u{b}x",
        "chun ked",
        "chunked\r\nTransfer-Encoding: chunked",
        "chunked\r\nTransfer-Encoding: identity",
        "'chunked'",
        "chunked\u{a0}",
    ] {
        assert_eq!(status(&get(&format!("Transfer-Encoding: {lines}\r\n"))), 400, "{lines:?}");
    }
}

#[test]
fn rfc9112_6_1_a_coding_in_http_1_0_is_refused() {
    assert_eq!(status("POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"), 400);
    assert_eq!(status("POST / HTTP/1.0\r\nTransfer-Encoding: identity\r\n\r\n"), 400);
}
