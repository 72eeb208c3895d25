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
fn rfc9112_2_3_minor_versions_are_1_0_or_taken_for_1_1() {
    for (name, version) in
        [("1.0", Version::Http10), ("1.1", Version::Http11), ("1.2", Version::Http11), ("1.9", Version::Http11)]
    {
        let request = parse(&format!("GET / HTTP/{name}\r\nHost: a\r\n\r\n")).unwrap();
        assert_eq!(request.version, version, "{name}");
    }
}

#[test]
fn rfc9112_2_3_other_major_versions_are_505_and_misspelt_ones_400() {
    for name in ["HTTP/2.0", "HTTP/0.9", "HTTP/3.0", "HTTP/9.9"] {
        assert_eq!(status(&format!("GET / {name}\r\nHost: a\r\n\r\n")), 505, "{name}");
    }
    let misspelt = [
        "http/1.1",
        "HTTP/1",
        "HTTP/1.",
        "HTTP/1.10",
        "HTTP/11.1",
        "HTTP/1,1",
        "HTTP/x.1",
        "HTTP/1.x",
        "HTTP 1.1",
        "HTTP/ 1.1",
        "HTTP/1.1 ",
        " HTTP/1.1",
        "HTTP/1.1\t",
        "HTTQ/1.1",
        "ICE/1.0",
        "HTTP/-1.1",
        "",
        "HTTP/2",
        "HTTPS/1.1",
        "H",
        "HTTP/2.00",
    ];
    for name in misspelt {
        assert_eq!(status(&format!("GET / {name}\r\nHost: a\r\n\r\n")), 400, "{name:?}");
    }
}

#[test]
fn rfc9113_3_4_the_http2_preface_is_told_from_other_requests() {
    let preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    let mut out = Request::default();
    for length in 0..16 {
        assert_eq!(parse_request(&preface.as_bytes()[..length], &LIMITS, &mut out), Ok(Parsed::Partial), "{length}");
    }
    let refusal = parse(preface).unwrap_err();
    assert_eq!(refusal.status, 505);
    assert!(refusal.why.contains("HTTP/2 connection preface"));
    assert_eq!(status("PRI / HTTP/1.1\r\nHost: a\r\n\r\n"), 0);
    assert_eq!(status("PRI * HTTP/1.1\r\nHost: a\r\n\r\n"), 400);
    assert_eq!(status("PRIME / HTTP/1.1\r\nHost: a\r\n\r\n"), 0);
}

#[test]
fn rfc9112_3_request_lines_have_exactly_two_single_spaces() {
    let table = [
        " GET / HTTP/1.1",
        "GET  / HTTP/1.1",
        "GET /  HTTP/1.1",
        "GET\t/ HTTP/1.1",
        "GET /\tHTTP/1.1",
        "GET /",
        "GET",
        "GET / ",
        "GET HTTP/1.1",
        "GET / x HTTP/1.1",
        "G\0T / HTTP/1.1",
        "GET( / HTTP/1.1",
        "\u{e9} / HTTP/1.1",
        "{} / HTTP/1.1",
        "GET:/ HTTP/1.1",
        "\x16\x03\x01 / HTTP/1.1",
    ];
    for line in table {
        assert_eq!(status(&format!("{line}\r\nHost: a\r\n\r\n")), 400, "{line:?}");
    }
}

#[test]
fn rfc9110_9_1_methods_are_case_sensitive_tokens() {
    let known = [
        ("GET", Method::Get),
        ("HEAD", Method::Head),
        ("POST", Method::Post),
        ("PUT", Method::Put),
        ("DELETE", Method::Delete),
        ("OPTIONS", Method::Options),
        ("PATCH", Method::Patch),
        ("get", Method::Other),
        ("PROPFIND", Method::Other),
        ("M-SEARCH", Method::Other),
        ("!#$%&'*+-.^_`|~09azAZ", Method::Other),
    ];
    for (name, method) in known {
        let request = parse(&format!("{name} / HTTP/1.1\r\nHost: a\r\n\r\n")).unwrap();
        assert_eq!(request.method, method, "{name}");
    }
}

#[test]
fn rfc9112_3_methods_that_are_not_implemented_are_501() {
    assert_eq!(status("CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n"), 501);
    assert_eq!(status("TRACE / HTTP/1.1\r\nHost: a\r\n\r\n"), 501);
    assert_eq!(status(&format!("{} / HTTP/1.1\r\nHost: a\r\n\r\n", "M".repeat(33))), 501);
    assert_eq!(status(&"M".repeat(33)), 501);
    assert_eq!(status(&format!("{} / HTTP/1.1\r\nHost: a\r\n\r\n", "M".repeat(32))), 0);
    assert_eq!(status("connect / HTTP/1.1\r\nHost: a\r\n\r\n"), 0);
}

#[test]
fn rfc9112_3_2_targets_are_visible_ascii_without_fragment() {
    for byte in 0..=255_u8 {
        for place in [&b"/a"[..], b"/a?b"] {
            let head = [b"GET ", place, &[byte], b"c HTTP/1.1\r\nHost: a\r\n\r\n"].concat();
            let found = parse_request(&head, &LIMITS, &mut Request::default());
            let in_path = place == b"/a";
            let fine = (0x21..0x7f).contains(&byte) && byte != b'#' && !(in_path && matches!(byte, b'%' | b'\\'));
            assert_eq!(found.is_ok(), fine, "{byte:#x} after {}", text(place));
        }
    }
}

#[test]
fn rfc9112_3_2_1_origin_form_is_cut_at_the_first_question_mark() {
    let table = [
        ("/", "/", None),
        ("/a", "/a", None),
        ("/a?", "/a", Some("")),
        ("/a?b=c?d", "/a", Some("b=c?d")),
        ("/?/../", "/", Some("/../")),
        ("//", "//", None),
        ("//evil/x", "//evil/x", None),
        ("/a:b@c", "/a:b@c", None),
        ("/%2F%2f?%zz", "/%2F%2f", Some("%zz")),
        ("/a/../b?c/../d", "/b", Some("c/../d")),
        ("/.well-known/x", "/.well-known/x", None),
        ("/*", "/*", None),
    ];
    for (target, path, query) in table {
        let head = format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n");
        let request = parse(&head).unwrap();
        assert_eq!(text(request.path(head.as_bytes())), path, "{target}");
        assert_eq!(request.has_query.then(|| text(request.query.of(head.as_bytes()))), query, "{target}");
    }
}

#[test]
fn rfc9112_3_2_1_paths_with_a_hidden_meaning_are_refused() {
    for target in ["/%00", "/a%0d%0aX:b", "/%7f", "/%", "/%4", "/%4g", "/a\\b", "/..\\x", "/a%1F"] {
        assert_eq!(status(&format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n")), 400, "{target}");
    }
}

#[test]
fn rfc9112_3_2_2_the_authority_of_an_absolute_form_target_overrides_host() {
    let table = [
        ("http://b/x", "b", "/x", None),
        ("HTTP://b:80/", "b:80", "/", None),
        ("https://[::1]:8443/x?y", "[::1]:8443", "/x", Some("y")),
        ("http://b", "b", "/", None),
        ("http://b?q", "b", "/", Some("q")),
        ("http://b/a/../../c", "b", "/c", None),
        ("http://b//c", "b", "//c", None),
        ("HtTpS://b.", "b.", "/", None),
    ];
    for (target, authority, path, query) in table {
        let head = format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n");
        let (request, buf) = (parse(&head).unwrap(), head.as_bytes());
        assert_eq!(text(request.authority.of(buf)), authority, "{target}");
        assert_eq!(text(request.path(buf)), path, "{target}");
        assert_eq!(request.has_query.then(|| text(request.query.of(buf))), query, "{target}");
    }
}

#[test]
fn rfc9112_3_2_2_absolute_form_needs_an_http_scheme_and_a_valid_authority() {
    let table = [
        "http://",
        "http:///x",
        "http://u@b/",
        "http://u:p@b/",
        "http://b:99999/",
        "http://b c/",
        "http://b,c/",
        "ftp://b/",
        "ws://b/",
        "http:/b",
        "http:b",
        "b/c",
        "b:80",
        "https//b/",
        "http://[::1/",
        "http://b#c",
        "http://b\\c/",
        "http://:80/",
        "http://b%41/",
        "http://b/%00",
        "a",
        "?x",
        "httpx://b/",
    ];
    for target in table {
        assert_eq!(status(&format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n")), 400, "{target}");
    }
    assert_eq!(status("GET http://b/ HTTP/1.1\r\n\r\n"), 400, "Host is needed even then");
    assert_eq!(status("GET http://b/ HTTP/1.1\r\nHost: a b\r\n\r\n"), 400, "and must be valid");
    assert_eq!(status("GET http://b/ HTTP/1.0\r\n\r\n"), 0);
}

#[test]
fn rfc9112_3_2_4_asterisk_form_is_for_options_only() {
    let head = "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n";
    assert_eq!(text(parse(head).unwrap().path(head.as_bytes())), "*");
    let head = "OPTIONS http://b:8001 HTTP/1.1\r\nHost: a\r\n\r\n";
    assert_eq!(text(parse(head).unwrap().path(head.as_bytes())), "*");
    let head = "OPTIONS http://b:8001/ HTTP/1.1\r\nHost: a\r\n\r\n";
    assert_eq!(text(parse(head).unwrap().path(head.as_bytes())), "/");
    assert_eq!(status("GET * HTTP/1.1\r\nHost: a\r\n\r\n"), 400);
    assert_eq!(status("OPTIONS *x HTTP/1.1\r\nHost: a\r\n\r\n"), 400);
    assert_eq!(status("OPTIONS *?x HTTP/1.1\r\nHost: a\r\n\r\n"), 400);
}

#[test]
fn rfc9112_3_2_exactly_one_valid_host_is_needed() {
    assert_eq!(status("GET / HTTP/1.1\r\n\r\n"), 400);
    assert_eq!(status("GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n"), 400);
    assert_eq!(status("GET / HTTP/1.1\r\nHost: a\r\nX: y\r\nhOST: b\r\n\r\n"), 400);
    assert_eq!(status("GET / HTTP/1.0\r\nHost: a\r\nHost: a\r\n\r\n"), 400);
    for host in ["", " ", "a b", "a,b", "a, b", "u@a", "a/b", "a:b", "a:65536", "[::1", "a?", "http://a", "a\u{e9}"] {
        assert_eq!(status(&format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n")), 400, "{host:?}");
    }
    let request = parse("GET / HTTP/1.0\r\n\r\n").unwrap();
    assert!(request.authority.is_empty());
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

#[test]
fn rfc9112_9_3_persistence_follows_version_and_connection() {
    let table = [
        ("1.1", "", true),
        ("1.1", "Connection: close\r\n", false),
        ("1.1", "Connection: keep-alive\r\n", true),
        ("1.1", "Connection: Keep-Alive, CLOSE\r\n", false),
        ("1.1", "Connection: x\r\nConnection: close\r\n", false),
        ("1.0", "", false),
        ("1.0", "Connection: keep-alive\r\n", true),
        ("1.0", "Connection: Keep-Alive\r\n", true),
        ("1.0", "Connection: keep-alive, close\r\n", false),
        ("1.0", "Keep-Alive: timeout=5\r\n", false),
        ("1.0", "Proxy-Connection: keep-alive\r\n", false),
        ("1.1", "Proxy-Connection: close\r\n", true),
        ("1.2", "", true),
        ("1.1", "Connection: closed\r\n", true),
        ("1.1", "Connection:\r\n", true),
    ];
    for (version, lines, keep_alive) in table {
        let request = parse(&format!("GET / HTTP/{version}\r\nHost: a\r\n{lines}\r\n")).unwrap();
        assert_eq!(request.keep_alive, keep_alive, "{version} {lines:?}");
    }
}

#[test]
fn rfc9110_7_6_1_hop_by_hop_fields_are_marked() {
    let head = get(
        "Connection: keep-alive, X-Hop , te\r\nKeep-Alive: x\r\nProxy-Connection: x\r\nProxy-Authenticate: x\r\n\
         Proxy-Authorization: x\r\nTE: trailers\r\nTransfer-Encoding: chunked\r\nUpgrade: websocket\r\nHTTP2-Settings: x\r\n\
         x-hop: 1\r\nX-HOP: 2\r\nX-Hop-Not: x\r\nTrailer: x\r\nContent-Type: x\r\nConnection: x-other\r\nX-Other: x\r\n",
    );
    let request = parse(&head).unwrap();
    let kept: Vec<_> =
        request.fields.iter().filter(|f| !f.hop_by_hop).map(|f| text(f.name.of(head.as_bytes()))).collect();
    assert_eq!(kept, ["Host", "X-Hop-Not", "Trailer", "Content-Type"]);
    assert!(request.takes_trailers);
}

#[test]
fn rfc9110_7_6_1_connection_options_cannot_remove_framing_or_host() {
    for option in ["host", "Content-Length", "transfer-encoding", "close, HOST"] {
        assert_eq!(status(&get(&format!("Connection: {option}\r\n"))), 400, "{option}");
    }
    for option in [":authority", "a b", "a;b", "\"close\"", "x/y"] {
        assert_eq!(status(&get(&format!("Connection: {option}\r\n"))), 400, "{option}");
    }
}

#[test]
fn rfc9110_7_6_1_connection_options_do_not_remove_what_proxies_vouch_for() {
    let names = [
        "Authorization",
        "Cookie",
        "X-Forwarded-For",
        "X-Forwarded-Proto",
        "x-forwarded-host",
        "X-Forwarded-Port",
        "X-Forwarded-Client-Cert",
        "X-Request-Id",
        "Via",
        "Forwarded",
    ];
    for name in names {
        let request = with(&format!("{name}: x\r\nConnection: {name}, close\r\n")).unwrap();
        assert!(!request.fields[1].hop_by_hop, "{name}");
    }
}

#[test]
fn many_connection_options_are_refused() {
    let options = |count| format!("Connection: {}\r\n", vec!["x"; count].join(","));
    assert_eq!(status(&get(&options(32))), 0);
    assert_eq!(status(&get(&options(33))), 400);
}

#[test]
fn rfc9110_10_1_1_only_100_continue_is_expected_and_only_with_a_body() {
    let table = [
        ("1.1", "Expect: 100-continue\r\nContent-Length: 5\r\n", true),
        ("1.1", "Expect: 100-Continue\r\nTransfer-Encoding: chunked\r\n", true),
        ("1.1", "Expect: 100-continue\r\n", false),
        ("1.1", "Expect: 100-continue\r\nContent-Length: 0\r\n", false),
        ("1.0", "Expect: 100-continue\r\nContent-Length: 5\r\n", false),
        ("1.0", "Expect: x\r\nContent-Length: 5\r\n", false),
        ("1.1", "Content-Length: 5\r\n", false),
        ("1.1", "Expect:\r\nContent-Length: 5\r\n", false),
    ];
    for (version, lines, expects) in table {
        let request = parse(&format!("POST / HTTP/{version}\r\nHost: a\r\n{lines}\r\n")).unwrap();
        assert_eq!(request.expects_continue, expects, "{version} {lines:?}");
    }
    for value in ["200-ok", "100-continue, x", "100-continue=1", "x\r\nExpect: 100-continue"] {
        assert_eq!(status(&get(&format!("Expect: {value}\r\n"))), 417, "{value:?}");
    }
}

#[test]
fn rfc9110_7_8_upgrade_needs_its_connection_option_and_http_1_1() {
    let table = [
        ("1.1", "Upgrade: websocket\r\nConnection: Upgrade\r\n", "websocket"),
        ("1.1", "Connection: keep-alive, UPGRADE\r\nUpgrade: WebSocket\r\n", "WebSocket"),
        ("1.1", "Upgrade: websocket\r\n", ""),
        ("1.1", "Connection: upgrade\r\n", ""),
        ("1.0", "Upgrade: websocket\r\nConnection: Upgrade\r\n", ""),
        ("1.1", "Upgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: x\r\n", ""),
        ("1.1", "Upgrade: H2C, websocket\r\nConnection: Upgrade\r\n", ""),
        ("1.1", "Upgrade: websocket\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n", ""),
        ("1.1", "Upgrade: a\r\nUpgrade: b\r\nUpgrade: c\r\nConnection: Upgrade\r\n", ""),
    ];
    for (version, lines, upgrade) in table {
        let head = format!("GET / HTTP/{version}\r\nHost: a\r\n{lines}\r\n");
        assert_eq!(text(parse(&head).unwrap().upgrade.of(head.as_bytes())), upgrade, "{version} {lines:?}");
    }
}

#[test]
fn rfc9110_10_1_4_trailers_are_taken_where_te_says_so() {
    assert!(with("TE: trailers\r\n").unwrap().takes_trailers);
    assert!(with("TE: gzip;q=0.5, Trailers\r\n").unwrap().takes_trailers);
    assert!(!with("TE: deflate\r\n").unwrap().takes_trailers);
    assert!(!with("").unwrap().takes_trailers);
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
